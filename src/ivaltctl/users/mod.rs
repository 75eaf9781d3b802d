//! `ivaltctl users`: edits users.toml.
//!
//! | module | what it does |
//! | --- | --- |
//! | [`entries`] | all entries, judged as a login would |
//! | [`snapshot`] | some entries, and a hash of all others |
//! | [`spans`] | the byte ranges of a user's entries |
//! | [`edit`] | the text after a change |
//! | [`file`] | the file: trust, lock, replacement |
//! | [`import`] | rows of a CSV file |
//! | [`names`] | names of accounts |
//! | [`warnings`] | what a command points out |
//! | [`report`] | the output of list and show |

mod edit;
pub mod entries;
pub mod file;
mod import;
mod names;
mod report;
pub mod snapshot;
mod spans;
mod warnings;

#[cfg(test)]
mod properties;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use serde_json::{Value, json};

use super::command_line::{UsersArgs, UsersCommand};
use super::terminal::{self, ProgressHint, visible};
use super::{Exit, Refused, trust};
use edit::NewEntry;
use entries::text;
use file::{UsersFile, require_permission, shell_word};
use ivalt_core::arguments::DEFAULT_CONFIG;
use ivalt_core::problem::Problem;
use ivalt_core::settings::{Enrolment, MobileFormat};
use ivalt_core::toml_events::NotToml;
use ivalt_core::users::{Entry, Mobile, look_up, not_a_mobile};
use snapshot::{Selection, Snapshot, digits};
use warnings::Warnings;

/// What a file that does not exist begins with.
const EMPTY: &str = include_str!("../../../conf/users.toml");

/// Runs one of the subcommands.
pub fn run(args: &UsersArgs, config: &Path) -> Result<Exit, Refused> {
    let store = UserStore::open(args, config)?;
    let done = match &args.command {
        UsersCommand::List => store.list(),
        UsersCommand::Show { name } => store.show(name),
        UsersCommand::Add { name, mobile } => store.add(name, mobile),
        UsersCommand::Remove { name } => store.remove(name),
        UsersCommand::Enable { name } => store.set_enabled(name, true),
        UsersCommand::Disable { name } => store.set_enabled(name, false),
        UsersCommand::Import { file } => store.import(file),
    };
    // The sentence may quote names from a file that somebody else wrote.
    done.map(|()| Exit::Done)
        .map_err(|Refused(why)| Refused(visible(&why)))
}

/// Where users are enrolled, and how.
struct UserStore<'a> {
    file: UsersFile,
    format: MobileFormat,
    config: &'a Path,
    json: bool,
}

/// The entries that the changed users must have afterwards.
type Expected<'a> = HashMap<&'a str, Entry>;

impl<'a> UserStore<'a> {
    fn open(args: &UsersArgs, config: &'a Path) -> Result<Self, Refused> {
        let Enrolment {
            users_file,
            mobile_format,
        } = enrolment(config)?;
        Ok(Self {
            file: UsersFile::new(users_file),
            format: mobile_format,
            config,
            json: args.json,
        })
    }

    fn list(&self) -> Result<(), Refused> {
        let bytes = self.file.read()?;
        let hint = self.progress_hint("reading");
        let text = text(self.file.path(), &bytes)?;
        let users = entries::read_all(self.file.path(), text, self.format)?;
        drop(hint);
        match self.json {
            true => terminal::print_json(&report::list_json(&users)),
            false => terminal::print(report::list(&users)),
        }
        Warnings::for_all(&users).print();
        Ok(())
    }

    fn show(&self, name: &str) -> Result<(), Refused> {
        require_permission(self.file.path())?;
        match look_up(self.file.path(), trust(), name.as_bytes(), self.format)? {
            Entry::Absent => Err(self.no_entry(name)),
            entry => {
                match self.json {
                    true => terminal::print_json(&report::show_json(name, &entry)),
                    false => terminal::print(report::show(name, &entry)),
                }
                Ok(())
            }
        }
    }

    fn add(&self, name: &str, written: &str) -> Result<(), Refused> {
        if let Some(why) = names::invalid_reason(name) {
            return Err(Refused(format!("{name}: {why}; nothing was changed")));
        }
        let Some(mobile) = Mobile::parse(written, self.format) else {
            let what = not_a_mobile(self.format);
            return Err(Refused(format!("{name}: {what}; nothing was changed")));
        };
        let new = NewEntry {
            name,
            mobile: mobile.as_str(),
            enabled: true,
        };
        let expected = Expected::from([(name, Entry::Enrolled(mobile.clone()))]);
        let change = |text: &str, before: &Snapshot| match before.entry(name) {
            Entry::Absent => self.edited(edit::add(text, &[new])),
            entry => Err(self.already_enrolled(name, before.line(name), entry, &mobile)),
        };
        let warnings = self.change(&expected, true, change)?;
        let report =
            json!({"changed": true, "done": "added", "name": name, "mobile": mobile.masked()});
        self.report_done(
            &format!("{name}: added with the mobile {}", mobile.masked()),
            report,
            &warnings,
        );
        Ok(())
    }

    fn remove(&self, name: &str) -> Result<(), Refused> {
        let expected = Expected::from([(name, Entry::Absent)]);
        self.change(&expected, false, |text, before| match before.entry(name) {
            Entry::Absent => Err(self.no_entry(name)),
            _ => self.edited(edit::remove(text, name)),
        })?;
        let report = json!({"changed": true, "done": "removed", "name": name});
        self.report_done(&format!("{name}: removed"), report, &Warnings::default());
        Ok(())
    }

    fn set_enabled(&self, name: &str, enabled: bool) -> Result<(), Refused> {
        let word = if enabled { "enabled" } else { "disabled" };
        let locked = self.file.lock()?;
        let text = self.text(false)?;
        let selection = Selection {
            names: HashSet::from([name]),
            ..Selection::default()
        };
        let before = self.snapshot(&text, &selection)?;
        let Some(entry) = self.toggled(name, before.entry(name), enabled)? else {
            let report = json!({"changed": false, "done": "nothing", "name": name, "state": word});
            let sentence = format!("{name}: is already {word}");
            self.report_done(&sentence, report, &Warnings::default());
            return Ok(());
        };
        let new = self.edited(edit::set_enabled(&text, name, enabled))?;
        self.verify(&before, &new, &selection, &Expected::from([(name, entry)]))?;
        locked.replace(&new)?;
        let report = json!({"changed": true, "done": word, "name": name});
        self.report_done(&format!("{name}: {word}"), report, &Warnings::default());
        Ok(())
    }

    /// The entry in the other state; `None` if it already is in the requested one.
    fn toggled(&self, name: &str, entry: &Entry, enabled: bool) -> Result<Option<Entry>, Refused> {
        match entry {
            Entry::Absent => Err(self.no_entry(name)),
            Entry::Bad(why) => Err(Refused(format!("{why}; nothing was changed"))),
            Entry::Enrolled(mobile) if !enabled => Ok(Some(Entry::Disabled(mobile.clone()))),
            Entry::Disabled(mobile) if enabled => Ok(Some(Entry::Enrolled(mobile.clone()))),
            Entry::Enrolled(_) | Entry::Disabled(_) => Ok(None),
        }
    }

    fn import(&self, path: &Path) -> Result<(), Refused> {
        let bytes = import::read(path)?;
        let table = import::parse(&bytes, self.format);
        let mut skipped = HashSet::new();
        let expected: Expected = table.rows.iter().map(expected_entry).collect();
        let change = |text: &str, before: &Snapshot| {
            let mut problems = table.problems;
            for row in &table.rows {
                match before.entry(&row.name) {
                    Entry::Absent => {}
                    entry if *entry == expected[row.name.as_str()] => {
                        skipped.insert(row.name.as_str());
                    }
                    entry => problems.push(self.conflict(row, before.line(&row.name), entry)),
                }
            }
            require_no_problems(path, problems)?;
            let is_new = |row: &&import::Row| !skipped.contains(row.name.as_str());
            let new: Vec<NewEntry> = table.rows.iter().filter(is_new).map(new_entry).collect();
            if new.is_empty() {
                return Ok(text.to_owned());
            }
            self.edited(edit::add(text, &new))
        };
        let warnings = self.change(&expected, true, change)?;
        self.report_import(&table.rows, &skipped, &warnings);
        Ok(())
    }

    fn report_import(&self, rows: &[import::Row], skipped: &HashSet<&str>, warnings: &Warnings) {
        let added = rows.len() - skipped.len();
        let mut names: Vec<&str> = skipped.iter().copied().collect();
        names.sort_unstable();
        let report =
            json!({"changed": added > 0, "done": "imported", "added": added, "skipped": names});
        let skipped = match names.len() {
            0 => String::new(),
            1..=20 => format!("; already present: {}", names.join(", ")),
            many => format!("; already present: {many}"),
        };
        let users = if added == 1 { "user" } else { "users" };
        self.report_done(&format!("{added} {users} added{skipped}"), report, warnings);
    }

    /// Changes the file under the lock, after the result has been parsed as the module would.
    fn change(
        &self,
        expected: &Expected,
        create: bool,
        change: impl FnOnce(&str, &Snapshot) -> Result<String, Refused>,
    ) -> Result<Warnings, Refused> {
        let locked = self.file.lock()?;
        let hint = self.progress_hint("changing");
        let text = self.text(create)?;
        let selection = selection_for(expected);
        let before = self.snapshot(&text, &selection)?;
        let new = change(&text, &before)?;
        let after = self.verify(&before, &new, &selection, expected)?;
        drop(hint);
        if new != text {
            locked.replace(&new)?;
        }
        // The look-up of accounts may be slow (LDAP); other writers need not wait for it.
        drop(locked);
        let present = |name: &&str| expected[name] != Entry::Absent;
        let mut names: Vec<&str> = expected.keys().copied().filter(present).collect();
        names.sort_unstable();
        let shared: BTreeMap<_, _> = after.owners.into_iter().collect();
        let shared = shared.iter().map(|(mobile, owners)| {
            let owners = owners.iter().map(String::as_str);
            (mobile.clone(), owners.collect())
        });
        Ok(Warnings::for_names(names.into_iter(), shared))
    }

    /// The text of the file, or that of a new one.
    fn text(&self, create: bool) -> Result<String, Refused> {
        let path = self.file.path();
        let missing =
            matches!(fs::symlink_metadata(path), Err(error) if error.kind() == ErrorKind::NotFound);
        if create && missing {
            return Ok(EMPTY.to_owned());
        }
        let bytes = self.file.read()?;
        text(path, &bytes)?;
        Ok(String::from_utf8(bytes)?)
    }

    /// Parses the result: the changed users must be as expected, all others as before.
    fn verify<'n>(
        &self,
        before: &Snapshot,
        new: &str,
        selection: &Selection<'n>,
        expected: &Expected,
    ) -> Result<Snapshot<'n>, Refused> {
        let after = Snapshot::read(self.file.path(), new, self.format, selection)
            .map_err(|why| self.unsafe_edit(None, Some(&why)))?;
        if let Some((name, _)) = expected
            .iter()
            .find(|(name, entry)| after.entry(name) != *entry)
        {
            let why = match before.entry(name) {
                Entry::Bad(problem) => Some(problem),
                _ => None,
            };
            return Err(self.unsafe_edit(Some(name), why));
        }
        if after.others != before.others {
            return Err(self.unsafe_edit(Some("another user"), None));
        }
        Ok(after)
    }

    /// `who` is the user whose entry would be wrong; `None` where the whole file would be.
    fn unsafe_edit(&self, who: Option<&str>, cause: Option<&Problem>) -> Refused {
        let who = who.map(|who| format!("{who}: ")).unwrap_or_default();
        let cause = cause
            .map(|problem| format!(" ({problem})"))
            .unwrap_or_default();
        Refused(format!(
            "{}: {who}refusing to write: the result would not parse as intended{cause}; nothing was changed; edit the \
             file manually",
            self.file.path().display()
        ))
    }

    fn snapshot<'n>(&self, text: &str, selection: &Selection<'n>) -> Result<Snapshot<'n>, Refused> {
        Ok(Snapshot::read(
            self.file.path(),
            text,
            self.format,
            selection,
        )?)
    }

    fn edited(&self, text: Result<String, NotToml>) -> Result<String, Refused> {
        text.map_err(|not_toml| not_toml.problem.in_file(self.file.path()).into())
    }

    fn no_entry(&self, name: &str) -> Refused {
        Refused(format!(
            "{}: no entry for {name}; add one: {} MOBILE",
            self.file.path().display(),
            self.command("add", name)
        ))
    }

    fn already_enrolled(&self, name: &str, line: usize, entry: &Entry, mobile: &Mobile) -> Refused {
        let place = format!("{}:{line}", self.file.path().display());
        let remove = self.command("remove", name);
        Refused(match entry {
            Entry::Bad(why) => {
                format!("{why}; nothing was changed; fix it, or remove it first: {remove}")
            }
            Entry::Disabled(same) if same == mobile => format!(
                "{place}: {name}: already enrolled with this mobile, disabled; to enable: {}",
                self.command("enable", name)
            ),
            Entry::Enrolled(same) if same == mobile => {
                format!("{place}: {name}: already enrolled with this mobile; nothing was changed")
            }
            _ => format!(
                "{place}: {name}: already enrolled with another mobile; to change it: {remove} && {} {}",
                self.command("add", name),
                shell_word(mobile.as_str())
            ),
        })
    }

    fn conflict(&self, row: &import::Row, line: usize, entry: &Entry) -> Problem {
        let name = &row.name;
        let what = match entry {
            Entry::Bad(problem) => format!("{name}: already has a bad entry: {problem}"),
            _ => format!(
                "{name}: already enrolled differently in {}:{line}",
                self.file.path().display()
            ),
        };
        Problem::invalid(what).in_line(row.line)
    }

    /// A command of this tool, quoted for a shell.
    fn command(&self, verb: &str, name: &str) -> String {
        let config = if self.config == Path::new(DEFAULT_CONFIG) {
            String::new()
        } else {
            format!(
                "--config {} ",
                shell_word(&self.config.display().to_string())
            )
        };
        format!("ivaltctl {config}users {verb} {}", shell_word(name))
    }

    fn report_done(&self, sentence: &str, mut report: Value, warnings: &Warnings) {
        if self.json {
            report["file"] = self.file.path().display().to_string().into();
            report["warnings"] = warnings.0.clone().into();
            terminal::print_json(&report);
        } else {
            terminal::print(visible(sentence));
        }
        warnings.print();
    }

    fn progress_hint(&self, action: &str) -> ProgressHint {
        ProgressHint::after_a_second(format!("{action} {}", self.file.path().display()))
    }
}

/// The settings need not be complete; right after the installation they need not exist.
fn enrolment(config: &Path) -> Result<Enrolment, Refused> {
    require_permission(config)?;
    let missing =
        matches!(fs::symlink_metadata(config), Err(error) if error.kind() == ErrorKind::NotFound);
    // With `--config`, a typo in the path must not end in changes to the users of this machine.
    if missing && config == Path::new(DEFAULT_CONFIG) {
        let enrolment = Enrolment::by_default();
        terminal::print_error(format_args!(
            "note: {} does not exist; using the defaults: {}, E.164 mobiles",
            config.display(),
            enrolment.users_file.display()
        ));
        return Ok(enrolment);
    }
    Ok(Enrolment::load(config, trust())?)
}

fn expected_entry(row: &import::Row) -> (&str, Entry) {
    let mobile = row.mobile.clone();
    let entry = if row.enabled {
        Entry::Enrolled(mobile)
    } else {
        Entry::Disabled(mobile)
    };
    (&row.name, entry)
}

fn new_entry(row: &import::Row) -> NewEntry<'_> {
    NewEntry {
        name: &row.name,
        mobile: row.mobile.as_str(),
        enabled: row.enabled,
    }
}

/// Prints every bad row, not only the first.
fn require_no_problems(path: &Path, mut problems: Vec<Problem>) -> Result<(), Refused> {
    problems.sort_by_key(|problem| problem.line);
    let stdin = path == Path::new("-");
    let file = if stdin {
        Path::new("standard input")
    } else {
        path
    };
    for problem in &problems {
        let problem = problem.clone().in_file(file);
        terminal::print_error(visible(&problem.to_string()));
    }
    match problems.len() {
        0 => Ok(()),
        1 => Err(Refused("1 row is refused; nothing was changed".into())),
        many => Err(Refused(format!(
            "{many} rows are refused; nothing was changed"
        ))),
    }
}

/// The users that change, and all users with one of their mobiles.
fn selection_for<'a>(expected: &Expected<'a>) -> Selection<'a> {
    let mobile = |entry: &Entry| match entry {
        Entry::Enrolled(mobile) | Entry::Disabled(mobile) => Some(digits(mobile.as_str())),
        Entry::Absent | Entry::Bad(_) => None,
    };
    Selection {
        names: expected.keys().copied().collect(),
        mobiles: expected.values().filter_map(mobile).collect(),
    }
}
