//! `ivaltctl users`: users.toml, edited.
//!
//! | room | what it does |
//! | --- | --- |
//! | [`everybody`] | all entries with the module's own judgement |
//! | [`watched`] | some entries, and whether all others stay as they are |
//! | [`places`] | where in the text things stand |
//! | [`edit`] | the text after a change |
//! | [`file`] | one writer at a time; the old file or the new one |
//! | [`import`] | rows of a CSV file |
//! | [`names`] | names of accounts |
//! | [`warnings`] | what is pointed out |
//! | [`report`] | what list and show say |

mod edit;
pub mod everybody;
mod file;
mod import;
mod names;
mod places;
mod report;
mod warnings;
mod watched;

#[cfg(test)]
mod properties;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use serde_json::{Value, json};

use super::command_line::{Users, UsersCommand};
use super::terminal::{self, Notice, plain};
use super::{Exit, Refused, surroundings};
use edit::New;
use everybody::{Everybody, text};
use file::{UsersFile, may_open, shell_word};
use ivalt_core::arguments::DEFAULT_CONFIG;
use ivalt_core::settings::{Enrolment, MobileFormat};
use ivalt_core::users::{Entry, Mobile, look_up, not_a_mobile};
use warnings::Warnings;
use watched::{Asked, Watched, digits};

/// What a file that does not exist begins with.
const EMPTY: &str = include_str!("../../../conf/users.toml");

/// Obeys one of the subcommands.
pub fn run(users: &Users, config: &Path) -> Result<Exit, Refused> {
    let office = Office::open(users, config)?;
    let done = match &users.command {
        UsersCommand::List => office.list(),
        UsersCommand::Show { name } => office.show(name),
        UsersCommand::Add { name, mobile } => office.add(name, mobile),
        UsersCommand::Remove { name } => office.remove(name),
        UsersCommand::Enable { name } => office.set_enabled(name, true),
        UsersCommand::Disable { name } => office.set_enabled(name, false),
        UsersCommand::Import { file } => office.import(file),
    };
    // Names come from files that somebody else may have filled.
    done.map(|()| Exit::Done)
        .map_err(|Refused(why)| Refused(plain(&why)))
}

/// Where users are enrolled, and how.
struct Office<'a> {
    file: UsersFile,
    format: MobileFormat,
    config: &'a Path,
    json: bool,
}

/// How the changed names must read afterwards.
type Wanted<'a> = HashMap<&'a str, Entry>;

impl<'a> Office<'a> {
    fn open(users: &Users, config: &'a Path) -> Result<Self, Refused> {
        let Enrolment {
            users_file,
            mobile_format,
        } = enrolment(config)?;
        Ok(Self {
            file: UsersFile::at(users_file),
            format: mobile_format,
            config,
            json: users.json,
        })
    }

    fn list(&self) -> Result<(), Refused> {
        let bytes = self.file.read()?;
        let notice = self.notice("reading");
        let text = text(self.file.path(), &bytes)?;
        let everybody = Everybody::read(self.file.path(), text, self.format)?;
        drop(notice);
        terminal::say(report::list(&everybody, self.json));
        Warnings::about_all(&everybody).tell();
        Ok(())
    }

    fn show(&self, name: &str) -> Result<(), Refused> {
        may_open(self.file.path())?;
        let trust = surroundings().trust;
        match look_up(self.file.path(), trust, name.as_bytes(), self.format)? {
            Entry::Absent => Err(self.no_entry(name)),
            entry => {
                terminal::say(report::show(name, &entry, self.json));
                Ok(())
            }
        }
    }

    fn add(&self, name: &str, written: &str) -> Result<(), Refused> {
        if let Some(why) = names::why_not(name) {
            return Err(Refused(format!("{name}: {why}; nothing was changed")));
        }
        let Some(mobile) = Mobile::parse(written, self.format) else {
            let what = not_a_mobile(self.format);
            return Err(Refused(format!("{name}: {what}; nothing was changed")));
        };
        let new = New {
            name,
            mobile: mobile.as_str(),
            enabled: true,
        };
        let wanted = Wanted::from([(name, Entry::Enrolled(mobile.clone()))]);
        let change = |text: &str, before: &Watched| match before.entry(name) {
            Entry::Absent => self.edited(edit::add(text, &[new])),
            entry => Err(self.stands_already(name, before.line(name), entry, &mobile)),
        };
        let warnings = self.change(&wanted, true, change)?;
        let said = json!({"done": "added", "name": name, "mobile": mobile.masked()});
        self.done(
            &format!("{name}: added with the mobile {}", mobile.masked()),
            said,
            &warnings,
        );
        Ok(())
    }

    fn remove(&self, name: &str) -> Result<(), Refused> {
        let wanted = Wanted::from([(name, Entry::Absent)]);
        self.change(&wanted, false, |text, before| match before.entry(name) {
            Entry::Absent => Err(self.no_entry(name)),
            _ => self.edited(edit::remove(text, name)),
        })?;
        let said = json!({"done": "removed", "name": name});
        self.done(&format!("{name}: removed"), said, &Warnings::default());
        Ok(())
    }

    fn set_enabled(&self, name: &str, enabled: bool) -> Result<(), Refused> {
        let word = if enabled { "enabled" } else { "disabled" };
        let locked = self.file.lock()?;
        let text = self.text(false)?;
        let asked = Asked {
            names: HashSet::from([name]),
            ..Asked::default()
        };
        let before = self.watch(&text, &asked)?;
        let Some(entry) = self.turned(name, before.entry(name), enabled)? else {
            let said = json!({"done": "nothing", "name": name, "state": word});
            let sentence = format!("{name}: is {word} already");
            self.done(&sentence, said, &Warnings::default());
            return Ok(());
        };
        let new = self.edited(edit::set_enabled(&text, name, enabled))?;
        self.verify(&before, &new, &asked, &Wanted::from([(name, entry)]))?;
        locked.replace(&new)?;
        let said = json!({"done": word, "name": name});
        self.done(&format!("{name}: {word}"), said, &Warnings::default());
        Ok(())
    }

    /// The entry with the other state; `None` if it has the wanted one.
    fn turned(&self, name: &str, entry: &Entry, enabled: bool) -> Result<Option<Entry>, Refused> {
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
        let wanted: Wanted = table.rows.iter().map(wanted_of).collect();
        let change = |text: &str, before: &Watched| {
            let mut problems = table.problems;
            for row in &table.rows {
                match before.entry(&row.name) {
                    Entry::Absent => {}
                    entry if *entry == wanted[row.name.as_str()] => {
                        skipped.insert(row.name.as_str());
                    }
                    entry => problems.push(self.in_the_way(row, before.line(&row.name), entry)),
                }
            }
            refuse_rows(path, problems)?;
            let new = |row: &'_ import::Row| !skipped.contains(row.name.as_str());
            let new: Vec<New> = table
                .rows
                .iter()
                .filter(|row| new(row))
                .map(new_of)
                .collect();
            if new.is_empty() {
                return Ok(text.to_owned());
            }
            self.edited(edit::add(text, &new))
        };
        let warnings = self.change(&wanted, true, change)?;
        self.imported(&table.rows, &skipped, &warnings);
        Ok(())
    }

    fn imported(&self, rows: &[import::Row], skipped: &HashSet<&str>, warnings: &Warnings) {
        let added = rows.len() - skipped.len();
        let mut names: Vec<&str> = skipped.iter().copied().collect();
        names.sort_unstable();
        let said = json!({"done": "imported", "added": added, "skipped": names});
        let there = match names.len() {
            0 => String::new(),
            1..=20 => format!("; there already: {}", names.join(", ")),
            many => format!("; there already: {many}"),
        };
        let users = if added == 1 { "user" } else { "users" };
        self.done(&format!("{added} {users} added{there}"), said, warnings);
    }

    /// Changes the file under the lock, once the result has been read back as the module would.
    fn change(
        &self,
        wanted: &Wanted,
        create: bool,
        change: impl FnOnce(&str, &Watched) -> Result<String, Refused>,
    ) -> Result<Warnings, Refused> {
        let locked = self.file.lock()?;
        let notice = self.notice("changing");
        let text = self.text(create)?;
        let asked = asked(wanted);
        let before = self.watch(&text, &asked)?;
        let new = change(&text, &before)?;
        let after = self.verify(&before, &new, &asked, wanted)?;
        drop(notice);
        if new != text {
            locked.replace(&new)?;
        }
        // The directory may be slow; others need not wait for it.
        drop(locked);
        let present = |name: &&str| wanted[name] != Entry::Absent;
        let mut names: Vec<&str> = wanted.keys().copied().filter(present).collect();
        names.sort_unstable();
        let shared: BTreeMap<_, _> = after.owners.into_iter().collect();
        let shared = shared.iter().map(|(mobile, owners)| {
            let owners = owners.iter().map(String::as_str);
            (mobile.clone(), owners.collect())
        });
        Ok(Warnings::about(names.into_iter(), shared))
    }

    /// The text as it is now, or as it begins.
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

    /// Reads the result back: the changed names as wanted, all others as before.
    fn verify<'w>(
        &self,
        before: &Watched,
        new: &str,
        asked: &Asked<'w>,
        wanted: &Wanted,
    ) -> Result<Watched<'w>, Refused> {
        let after = Watched::read(self.file.path(), new, self.format, asked)
            .map_err(|why| self.by_hand("the file", Some(&why.to_string())))?;
        if let Some((name, _)) = wanted
            .iter()
            .find(|(name, entry)| after.entry(name) != *entry)
        {
            let why = match before.entry(name) {
                Entry::Bad(why) => Some(why.as_str()),
                _ => None,
            };
            return Err(self.by_hand(name, why));
        }
        if after.others != before.others {
            return Err(self.by_hand("somebody else", None));
        }
        Ok(after)
    }

    fn by_hand(&self, name: &str, why: Option<&str>) -> Refused {
        let why = why.map(|why| format!(" ({why})")).unwrap_or_default();
        Refused(format!(
            "{}: {name} would not read as wanted afterwards{why}; nothing was changed; change it with an editor",
            self.file.path().display()
        ))
    }

    fn watch<'w>(&self, text: &str, asked: &Asked<'w>) -> Result<Watched<'w>, Refused> {
        Ok(Watched::read(self.file.path(), text, self.format, asked)?)
    }

    fn edited(
        &self,
        text: Result<String, ivalt_core::toml_events::NotToml>,
    ) -> Result<String, Refused> {
        text.map_err(|not_toml| {
            Refused(format!("{}: {}", self.file.path().display(), not_toml.what))
        })
    }

    fn no_entry(&self, name: &str) -> Refused {
        Refused(format!(
            "{}: no entry for {name}; add one: {} MOBILE",
            self.file.path().display(),
            self.command("add", name)
        ))
    }

    fn stands_already(&self, name: &str, line: usize, entry: &Entry, mobile: &Mobile) -> Refused {
        let place = format!("{}:{line}", self.file.path().display());
        let remove = self.command("remove", name);
        Refused(match entry {
            Entry::Bad(why) => {
                format!("{why}; nothing was changed; fix it, or take it out first: {remove}")
            }
            Entry::Disabled(same) if same == mobile => format!(
                "{place}: {name} stands here already with this mobile, disabled; let the person in again: {}",
                self.command("enable", name)
            ),
            Entry::Enrolled(same) if same == mobile => {
                format!("{place}: {name} stands here already with this mobile; nothing was changed")
            }
            _ => format!(
                "{place}: {name} stands here already; to change the mobile: {remove} && {} {}",
                self.command("add", name),
                shell_word(mobile.as_str())
            ),
        })
    }

    fn in_the_way(&self, row: &import::Row, line: usize, entry: &Entry) -> import::Problem {
        let name = &row.name;
        let what = match entry {
            Entry::Bad(why) => format!("{name}: has a bad entry already: {why}"),
            _ => format!(
                "{name}: stands otherwise in {}:{line} already",
                self.file.path().display()
            ),
        };
        import::Problem {
            line: row.line,
            what,
        }
    }

    /// A command of ours as it may be pasted into a shell.
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

    fn done(&self, sentence: &str, mut said: Value, warnings: &Warnings) {
        if self.json {
            said["file"] = self.file.path().display().to_string().into();
            said["warnings"] = warnings.0.clone().into();
            terminal::say(said);
        } else {
            terminal::say(plain(sentence));
        }
        warnings.tell();
    }

    fn notice(&self, doing: &str) -> Notice {
        Notice::after_a_second(format!("{doing} {}", self.file.path().display()))
    }
}

/// The settings need not be complete; where the package has just been unpacked, they need not be there.
fn enrolment(config: &Path) -> Result<Enrolment, Refused> {
    may_open(config)?;
    let missing =
        matches!(fs::symlink_metadata(config), Err(error) if error.kind() == ErrorKind::NotFound);
    // Another path was typed: then a mistake in it must not change the users of this machine.
    if missing && config == Path::new(DEFAULT_CONFIG) {
        let enrolment = Enrolment::by_default();
        terminal::complain(format_args!(
            "note: {} does not exist; going on with its defaults: {}, E.164 mobiles",
            config.display(),
            enrolment.users_file.display()
        ));
        return Ok(enrolment);
    }
    Ok(Enrolment::load(config, surroundings().trust)?)
}

fn wanted_of(row: &import::Row) -> (&str, Entry) {
    let mobile = row.mobile.clone();
    let entry = if row.enabled {
        Entry::Enrolled(mobile)
    } else {
        Entry::Disabled(mobile)
    };
    (&row.name, entry)
}

fn new_of(row: &import::Row) -> New<'_> {
    New {
        name: &row.name,
        mobile: row.mobile.as_str(),
        enabled: row.enabled,
    }
}

/// Tells every bad row, not only the first.
fn refuse_rows(path: &Path, mut problems: Vec<import::Problem>) -> Result<(), Refused> {
    problems.sort_by_key(|problem| problem.line);
    let file = match path.to_string_lossy() {
        stdin if stdin == "-" => "standard input".into(),
        file => file,
    };
    for import::Problem { line, what } in &problems {
        terminal::complain(format_args!("{file}:{line}: {}", plain(what)));
    }
    match problems.len() {
        0 => Ok(()),
        1 => Err(Refused("1 row is refused; nothing was changed".into())),
        many => Err(Refused(format!(
            "{many} rows are refused; nothing was changed"
        ))),
    }
}

/// Those who change, and everybody with one of their mobiles.
fn asked<'a>(wanted: &Wanted<'a>) -> Asked<'a> {
    let mobile = |entry: &Entry| match entry {
        Entry::Enrolled(mobile) | Entry::Disabled(mobile) => Some(digits(mobile.as_str())),
        Entry::Absent | Entry::Bad(_) => None,
    };
    Asked {
        names: wanted.keys().copied().collect(),
        mobiles: wanted.values().filter_map(mobile).collect(),
    }
}
