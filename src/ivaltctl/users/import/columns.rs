//! The titles of a CSV file: which column holds what.

use csv::ByteRecord;

use super::Request;
use crate::system_error::shell_word;
use ivalt_core::problem::Problem;

/// Titles as directories export them, without case, blanks and what stands in brackets. In these stands the account:
/// Active Directory, Okta, Entra ID, LDAP.
const ACCOUNTS: [&str; 11] = [
    "samaccountname",
    "userprincipalname",
    "username",
    "login",
    "loginname",
    "account",
    "accountname",
    "uid",
    "userlogonname",
    "prewindows2000logonname",
    "oktausername",
];
/// In these it stands if no column is one of [`ACCOUNTS`]: in Active Directory, `Name` is `Alice Smith`.
const NAMES: [&str; 6] = [
    "name",
    "email",
    "emailaddress",
    "mail",
    "primaryemail",
    "user",
];
const MOBILES: [&str; 6] = [
    "mobile",
    "mobilephone",
    "mobilenumber",
    "mobilephonenumber",
    "cellphone",
    "cell",
];
/// What a title of a state makes of `true`.
const STATES: [(&str, State); 11] = [
    ("enabled", State::Enabled),
    ("accountenabled", State::Enabled),
    ("status", State::Enabled),
    ("userstatus", State::Enabled),
    ("oktauserstatus", State::Enabled),
    ("disabled", State::Disabled),
    ("accountdisabled", State::Disabled),
    ("blockcredential", State::Disabled),
    ("suspended", State::Disabled),
    ("archived", State::Disabled),
    ("useraccountcontrol", State::AccountControl),
];

/// How a column says whether a user may log in.
#[derive(Clone, Copy, Debug)]
enum State {
    /// `true`: the user may.
    Enabled,
    /// `true`: the user may not.
    Disabled,
    /// A number with the bit `ADS_UF_ACCOUNTDISABLE`.
    AccountControl,
}

/// The position of each column.
#[derive(Debug)]
pub struct Columns {
    titles: Vec<String>,
    titled: bool,
    name: usize,
    mobile: usize,
    states: Vec<(usize, State)>,
}

impl Columns {
    /// Of a file without titles.
    pub fn default_order() -> Self {
        Self {
            titles: ["name", "mobile", "enabled"].map(str::to_owned).to_vec(),
            titled: false,
            name: 0,
            mobile: 1,
            states: vec![(2, State::Enabled)],
        }
    }

    /// Of the titles in the first row; `None` if it already is a user's.
    ///
    /// # Errors
    /// They do not tell which column holds what; the titles found, and the command that says it.
    pub fn of_titles(first: &ByteRecord, request: &Request) -> Option<Result<Self, Problem>> {
        let titles: Vec<String> = first.iter().map(title).collect();
        let name = find(&titles, request.name, &[&ACCOUNTS, &NAMES], "account names");
        let mobile = find(&titles, request.mobile, &[&MOBILES], "mobiles");
        let named = request.name.is_some() || request.mobile.is_some();
        let is_user = match (&name, &mobile) {
            (Ok(_), Ok(_)) => false,
            (Err(_), Err(_)) => first.iter().any(is_number) || has_bad_number(first),
            _ => first.iter().any(is_number),
        };
        if is_user && !named {
            return None;
        }
        let title = |found: &Result<usize, String>| found.clone().ok().map(|at| titles[at].clone());
        let known = (title(&name), title(&mobile));
        Some(match (name, mobile) {
            (Ok(name), Ok(mobile)) => Ok(Self {
                states: states(&titles),
                titles,
                titled: true,
                name,
                mobile,
            }),
            (Err(what), _) | (_, Err(what)) => Err(unclear(&what, &titles, known, request)),
        })
    }

    /// What is read, where the titles are not those of our own pages.
    pub fn note(&self) -> Option<String> {
        let own = |title: &String| ["name", "mobile", "enabled"].contains(&folded(title).as_str());
        if self.titles.iter().all(own) {
            return None;
        }
        let title = |at: usize| format!("\"{}\"", self.titles[at]);
        let states: Vec<String> = self.states.iter().map(|(at, _)| title(*at)).collect();
        let states = match states.len() {
            0 => "no column says who is disabled".to_owned(),
            _ => format!("who is disabled from {}", states.join(" and ")),
        };
        Some(format!(
            "names are read from {}, mobiles from {}, {states}",
            title(self.name),
            title(self.mobile)
        ))
    }

    /// The fields of a row: name, mobile, and whether the user may log in, or why that cannot be told.
    ///
    /// # Errors
    /// There are too many columns or too few, or a field is not UTF-8.
    pub fn fields<'r>(&self, record: &'r ByteRecord) -> Result<Fields<'r>, String> {
        let (count, most) = (record.len(), self.titles.len());
        let beyond = record.iter().skip(most).any(|field| !field.is_empty());
        if beyond || count <= self.name.max(self.mobile) {
            let columns = if count == 1 { "column" } else { "columns" };
            return Err(match self.titled {
                true => format!(
                    "has {count} {columns}, and there are {most} titles; quotation marks belong around a value with the separator in it"
                ),
                false => {
                    format!("has {count} {columns}; expected name,mobile or name,mobile,enabled")
                }
            });
        }
        Ok(Fields {
            name: text(&record[self.name])?,
            mobile: text(&record[self.mobile])?,
            enabled: self.enabled(record),
        })
    }

    /// As [`Columns::fields`], and of a row that ends before or at a column which says who is disabled, as the last of a file
    /// does that was cut off, that is not known. `width` is the number of columns of the first row; `is_ended`: by the end of a line.
    ///
    /// # Errors
    /// As [`Columns::fields`].
    pub fn whole_fields<'r>(
        &self,
        record: &'r ByteRecord,
        width: usize,
        is_ended: bool,
    ) -> Result<Fields<'r>, String> {
        let ends_at = |at: usize| match record.get(at) {
            Some(field) => !is_ended && field.is_empty() && at + 1 == record.len(),
            None => at < width,
        };
        let mut fields = self.fields(record)?;
        if let Some((at, _)) = self.states.iter().find(|(at, _)| ends_at(*at)) {
            let title = &self.titles[*at];
            fields.enabled = Err(format!(
                "ends before the value of \"{title}\"; the file may be cut off"
            ));
        }
        Ok(fields)
    }

    /// Whoever is disabled by one column is disabled.
    fn enabled(&self, record: &ByteRecord) -> Result<bool, String> {
        let mut enabled = true;
        for (at, state) in &self.states {
            let field = record.get(*at).unwrap_or_default();
            // Okta's API writes LOCKED_OUT, its pages Locked out.
            let value = String::from_utf8_lossy(field)
                .to_lowercase()
                .replace('_', " ");
            let value = state.is_enabled(&value);
            enabled &= value.ok_or_else(|| {
                format!(
                    "{}: expected true or false, yes or no, 1 or 0, active or disabled; if the column is about something else, remove it",
                    self.titles[*at]
                )
            })?;
        }
        Ok(enabled)
    }
}

/// What a row says.
#[derive(Debug)]
pub struct Fields<'r> {
    /// The account.
    pub name: &'r str,
    /// The mobile, as it is written.
    pub mobile: &'r str,
    /// Whether the user may log in.
    pub enabled: Result<bool, String>,
}

impl State {
    /// Nothing said is enabled, as in users.toml.
    fn is_enabled(self, value: &str) -> Option<bool> {
        let yes = matches!(self, Self::Enabled);
        match (self, value) {
            (_, "") => Some(true),
            (Self::AccountControl, number) => Some(number.parse::<u32>().ok()? & 2 == 0),
            (_, "true" | "yes" | "1") => Some(yes),
            (_, "false" | "no" | "0") => Some(!yes),
            _ => says_enabled(value),
        }
    }
}

/// The states of Google Workspace and Okta. Whoever is locked out for a while or must change the password is a user all
/// the same; whoever is staged or provisioned is none yet.
fn says_enabled(word: &str) -> Option<bool> {
    match word {
        "enabled" | "active" | "locked out" | "password expired" | "password reset"
        | "recovery" => Some(true),
        "disabled"
        | "inactive"
        | "suspended"
        | "archived"
        | "deactivated"
        | "deprovisioned"
        | "staged"
        | "provisioned"
        | "pending user action" => Some(false),
        _ => None,
    }
}

fn states(titles: &[String]) -> Vec<(usize, State)> {
    let state = |title: &String| {
        let title = folded(title);
        STATES
            .iter()
            .find(|(usual, _)| *usual == title)
            .map(|(_, state)| *state)
    };
    let states = titles.iter().enumerate();
    states
        .filter_map(|(at, title)| Some((at, state(title)?)))
        .collect()
}

fn title(field: &[u8]) -> String {
    String::from_utf8_lossy(field).trim().to_owned()
}

/// `Email Address [Required]` is `emailaddress`.
fn folded(title: &str) -> String {
    let title = title.split('[').next().unwrap_or_default();
    let letters = title.chars().filter(|c| c.is_alphanumeric());
    letters.collect::<String>().to_lowercase()
}

fn text(field: &[u8]) -> Result<&str, String> {
    std::str::from_utf8(field)
        .map_err(|_| "is not UTF-8; save the file again as CSV in UTF-8".to_owned())
}

/// A mobile, in whatever form, or something else that is no title.
fn is_number(field: &[u8]) -> bool {
    let digits = field.iter().filter(|byte| byte.is_ascii_digit()).count();
    let letters = field
        .iter()
        .filter(|byte| byte.is_ascii_alphabetic())
        .count();
    digits >= 5 && digits > letters
}

/// `alice,0` in a file without titles: the row is bad, and no title.
fn has_bad_number(row: &ByteRecord) -> bool {
    let digit = |field: &[u8]| field.iter().any(u8::is_ascii_digit);
    (2..=3).contains(&row.len()) && digit(&row[1])
}

/// The column with the title that was asked for, or else the only one with a usual title.
fn find(
    titles: &[String],
    asked: Option<&str>,
    usual: &[&[&str]],
    what: &str,
) -> Result<usize, String> {
    if let Some(asked) = asked {
        let exactly = positions(titles, |title| title == asked);
        let found = match exactly.len() {
            0 => positions(titles, |title| title.to_lowercase() == asked.to_lowercase()),
            _ => exactly,
        };
        return match found[..] {
            [] => Err(format!("no column has the title \"{asked}\"")),
            [one] => Ok(one),
            _ => Err(format!("more than one column has the title \"{asked}\"")),
        };
    }
    for usual in usual {
        match positions(titles, |title| usual.contains(&folded(title).as_str()))[..] {
            [] => {}
            [one] => return Ok(one),
            ref several => {
                let several: Vec<String> = several
                    .iter()
                    .map(|at| format!("\"{}\"", titles[*at]))
                    .collect();
                return Err(format!(
                    "{} may each hold the {what}",
                    several.join(" and ")
                ));
            }
        }
    }
    Err(format!("no column is known to hold the {what}"))
}

fn positions(titles: &[String], wanted: impl Fn(&str) -> bool) -> Vec<usize> {
    let found = titles.iter().enumerate().filter(|(_, title)| wanted(title));
    found.map(|(at, _)| at).collect()
}

/// `known` are the titles that are clear.
fn unclear(
    what: &str,
    titles: &[String],
    known: (Option<String>, Option<String>),
    request: &Request,
) -> Problem {
    if let [only] = titles {
        let what = format!("{what}; the only title is \"{only}\"");
        return Problem::invalid(what).fix("separate the columns by commas, semicolons or TABs");
    }
    let titles: Vec<String> = titles.iter().map(|title| format!("\"{title}\"")).collect();
    let word = |title: Option<String>| title.map_or("TITLE".to_owned(), |title| shell_word(&title));
    let problem = Problem::invalid(format!("{what}; the titles are {}", titles.join(", ")));
    problem.run(format!(
        "{} --name-column {} --mobile-column {}",
        request.command,
        word(known.0),
        word(known.1)
    ))
}
