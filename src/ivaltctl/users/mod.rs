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
//! | [`synced`] | the synced file, as seen by the others |
//! | [`names`] | names of accounts |
//! | [`number`] | mobile numbers as people write them |
//! | [`warnings`] | what a command points out |
//! | [`report`] | the output of list and show |
//! | [`sync`] | the synced file, from a directory or a CSV file |

mod edit;
pub mod entries;
pub mod file;
mod import;
pub mod names;
pub mod number;
mod report;
pub mod snapshot;
mod spans;
pub mod sync;
mod synced;
mod warnings;

#[cfg(test)]
mod properties;

use std::cell::Cell;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::audit::{self, Outcome};
use super::caller::caller;
use super::command_line::{ColumnTitles, UsersArgs, UsersCommand};
use super::output::Output;
use super::recovery::revoke as recovery;
use super::root::Root;
use super::system_error::shell_word;
use super::terminal::{self, ProgressHint, visible};
use super::{Exit, Refused, trust};
use edit::NewEntry;
use entries::{UserEntry, text};
use file::{Locked, UsersFile, require_permission};
use ivalt_core::arguments::DEFAULT_CONFIG;
use ivalt_core::problem::Problem;
use ivalt_core::settings::{Enrolment, MobileFormat};
use ivalt_core::toml_events::NotToml;
use ivalt_core::users::{Entry, Files, Mobile, look_up};
use snapshot::{Selection, Snapshot, digits};
use synced::SyncedFile;
use warnings::Warnings;

/// What a file that does not exist begins with.
const EMPTY: &str = include_str!("../../../conf/users.toml");

/// Runs one of the subcommands.
pub fn run(args: &UsersArgs, config: &Path) -> Exit {
    let mut output = Output::new(args.json, args.dry_run);
    if let UsersCommand::Sync(args) = &args.command {
        return sync::run(args, config, output);
    }
    let done = run_one(args, config, &mut output);
    // The sentence may quote names from a file that somebody else wrote.
    output.finish(done.map_err(|Refused(why)| Refused(visible(&why))))
}

fn run_one(args: &UsersArgs, config: &Path, output: &mut Output) -> Result<(), Refused> {
    let store = UserStore::open(args, config)?;
    let done = match &args.command {
        UsersCommand::List => store.list(output),
        UsersCommand::Show { name } => store.show(name, output),
        UsersCommand::Add { name, mobile } => store.add(name, mobile, output),
        UsersCommand::Remove { name } => store.remove(name, output),
        UsersCommand::Enable { name } => store.set_enabled(name, true, output),
        UsersCommand::Disable { name } => store.set_enabled(name, false, output),
        UsersCommand::Import { file, columns } => store.import(file, columns, output),
        UsersCommand::Sync(_) => Ok(()),
    };
    if store.is_changed.get() {
        output.set("changed", true);
    }
    done
}

/// Where users are enrolled, and how.
struct UserStore<'a> {
    /// Written by hand, and by these commands: what it says of a user counts.
    file: UsersFile,
    synced: Option<SyncedFile>,
    format: MobileFormat,
    /// Where the users' recovery codes are.
    codes: PathBuf,
    config: &'a Path,
    dry_run: bool,
    /// The file is another one now, even if a power cut may undo that.
    is_changed: Cell<bool>,
}

/// What `users enable` and `users disable` make of a user.
enum Toggled {
    /// The user is in that state.
    Already,
    /// The text of the file by hand, and its entry.
    Edited(String, Entry),
}

/// The entries that the changed users must have afterwards.
type Expected<'a> = HashMap<&'a str, Entry>;

impl<'a> UserStore<'a> {
    fn open(args: &UsersArgs, config: &'a Path) -> Result<Self, Refused> {
        let Enrolment {
            users_file,
            synced_users_file,
            mobile_format,
            recovery,
            ..
        } = enrolment(config)?;
        let synced = synced_users_file.as_deref();
        Ok(Self {
            file: UsersFile::new(users_file),
            synced: synced.map(|path| SyncedFile::new(path, mobile_format)),
            format: mobile_format,
            codes: recovery.directory,
            config,
            dry_run: args.dry_run,
            is_changed: Cell::new(false),
        })
    }

    /// Both files; one that cannot be read does not hide the other.
    fn list(&self, output: &mut Output) -> Result<(), Refused> {
        let hint = self.progress_hint("reading");
        let own = self.file.read();
        let synced = self.synced.as_ref().map(|synced| (synced, synced.read()));
        let users = |path, bytes| Ok(entries::read_all(path, text(path, bytes)?, self.format)?);
        let own = own.as_ref().map_err(Refused::clone);
        let own = own.and_then(|bytes| users(self.file.path(), bytes));
        let synced = synced.as_ref().map(|(synced, bytes)| {
            let bytes = bytes.as_ref().map_err(Refused::clone);
            bytes.and_then(|bytes| users(synced.path(), bytes))
        });
        drop(hint);
        let (own, synced, failed) = match (own, synced.transpose()) {
            (Err(why), Ok(None)) => return Err(why),
            (Err(why), Err(other)) => {
                terminal::print_error(visible(&other.0));
                return Err(why);
            }
            (Err(why), Ok(synced)) => (Vec::new(), synced, Err(why)),
            (Ok(own), Err(why)) => (own, None, Err(why)),
            (Ok(own), Ok(synced)) => (own, synced, Ok(())),
        };
        let users = entries::merged(own, synced.unwrap_or_default());
        let with_files = self.synced.is_some();
        output.report(
            || report::list(&users, with_files),
            || report::list_json(&users),
        );
        Warnings::for_all(&users, self.file.path()).print();
        failed
    }

    fn show(&self, name: &str, output: &mut Output) -> Result<(), Refused> {
        let user = self.shown_entry(name)?;
        output.report(
            || report::show(&user, self.synced.is_some()),
            || report::show_json(&user),
        );
        Ok(())
    }

    fn shown_entry<'n>(&'n self, name: &'n str) -> Result<UserEntry<'n>, Refused> {
        require_permission(self.file.path())?;
        let own = look_up(self.file.path(), trust(), name.as_bytes(), self.format)?;
        let user = |entry, file, covers| UserEntry {
            name: name.into(),
            entry,
            file,
            covers,
        };
        match (own, &self.synced) {
            (Entry::Absent, None) => Err(self.no_entry(name)),
            (Entry::Absent, Some(synced)) => match synced.entry(name)? {
                Entry::Absent => Err(self.no_entry(name)),
                entry => Ok(user(entry, synced.path(), None)),
            },
            (entry, synced) => {
                let has_it = |synced: &&SyncedFile| {
                    let entry = synced.entry(name);
                    entry.is_ok_and(|entry| entry != Entry::Absent)
                };
                let covered = synced.as_ref().filter(has_it).map(SyncedFile::path);
                Ok(user(entry, self.file.path(), covered))
            }
        }
    }

    fn add(&self, name: &str, written: &str, output: &mut Output) -> Result<(), Refused> {
        if let Some(why) = names::invalid_reason(name) {
            return Err(Refused(format!("{name}: {why}; nothing was changed")));
        }
        let mobile = number::read(written, self.format)
            .map_err(|why| Refused(format!("{name}: {why}; nothing was changed")))?;
        let new = NewEntry {
            name,
            mobile: mobile.as_str(),
            enabled: true,
            comment: None,
        };
        let expected = Expected::from([(name, Entry::Enrolled(mobile.clone()))]);
        let change = |text: &str, before: &Snapshot| match before.entry(name) {
            Entry::Absent => self.edited(edit::add(text, &[new])),
            entry => Err(self.already_enrolled(name, before.line(name), entry, &mobile)),
        };
        let warnings = self.change("users add", &expected, true, change)?;
        let mobile = mobile.masked();
        output.set("name", name);
        output.set("mobile", mobile.as_str());
        let sentence = format!("{name}: added with the mobile {mobile}");
        output.done("added", visible(&sentence));
        self.notice_of_synced([name].into_iter(), output);
        self.report_warnings(&warnings, output);
        Ok(())
    }

    /// Names that the synced file has, too: whoever is added by hand is no longer the directory's.
    fn notice_of_synced<'n>(&self, names: impl Iterator<Item = &'n str>, output: &mut Output) {
        let Some(synced) = &self.synced else { return };
        let notice = match synced.names_among(names) {
            Ok(names) if names.is_empty() => return,
            Ok(names) => format!(
                "{}: the entry written by hand counts now, not that of {}",
                names_in_sentence(&names),
                synced.path().display()
            ),
            Err(Refused(why)) => why,
        };
        let notice = visible(&notice);
        output.notices([notice.as_str()]);
    }

    fn remove(&self, name: &str, output: &mut Output) -> Result<(), Refused> {
        let expected = Expected::from([(name, Entry::Absent)]);
        let synced = self.synced.as_ref();
        let synced = synced.map_or(Ok(Entry::Absent), |synced| synced.entry(name));
        let change = |text: &str, before: &Snapshot| match (before.entry(name), synced) {
            (Entry::Absent, Ok(Entry::Absent)) => Err(self.no_entry(name)),
            (_, Ok(Entry::Absent)) => self.edited(edit::remove(text, name)),
            (Entry::Absent, Ok(_)) => Err(self.is_synced(name, None)),
            (_, Ok(_)) => Err(self.is_synced(name, Some(before.line(name)))),
            (_, Err(Refused(why))) => {
                let disable = self.command("disable", name);
                Err(Refused(format!(
                    "{why}; nothing was changed; to deny {name} meanwhile: {disable}"
                )))
            }
        };
        self.change("users remove", &expected, false, change)?;
        output.set("name", name);
        output.done("removed", visible(&format!("{name}: removed")));
        self.report_warnings(&Warnings::default(), output);
        Ok(())
    }

    /// Without the entry in this line of the file by hand, or without any, the synced one counts.
    fn is_synced(&self, name: &str, line: Option<usize>) -> Refused {
        let disable = self.command("disable", name);
        let synced = self.synced_path().display();
        let own = self.file.path().display();
        Refused(match line {
            None => format!(
                "{synced}: {name} is there by `ivaltctl users sync`, and would be again; nothing was changed; use users \
                 disable: {disable}"
            ),
            Some(line) => format!(
                "{own}:{line}: {name} is in {synced} as well, whose entry would count instead; nothing was changed; to deny \
                 {name}, use users disable: {disable}; to have the synced entry count, delete line {line} of {own}"
            ),
        })
    }

    fn set_enabled(&self, name: &str, enabled: bool, output: &mut Output) -> Result<(), Refused> {
        let (command, word) = if enabled {
            ("users enable", "enabled")
        } else {
            ("users disable", "disabled")
        };
        let locked = self.lock()?;
        let text = self.text(false)?;
        let selection = Selection {
            names: HashSet::from([name]),
            ..Selection::default()
        };
        let before = self.snapshot(&text, &selection)?;
        output.set("name", name);
        self.report_warnings(&Warnings::default(), output);
        let over_synced = self.toggled_over_synced(&text, name, before.entry(name), enabled)?;
        let of_synced = match over_synced {
            Some(_) => self.which_counts(enabled),
            None => String::new(),
        };
        let toggled = match over_synced {
            Some(toggled) => toggled,
            None => self.toggled(&text, name, before.entry(name), enabled)?,
        };
        let Toggled::Edited(new, entry) = toggled else {
            return self.already(name, word, output);
        };
        let expected = Expected::from([(name, entry)]);
        self.verify(&before, &new, &selection, &expected)?;
        self.write(locked.as_ref(), &new, command, &before, &expected)?;
        output.done(word, visible(&format!("{name}: {word}{of_synced}")));
        Ok(())
    }

    fn already(&self, name: &str, word: &str, output: &mut Output) -> Result<(), Refused> {
        output.set("state", word);
        output.line(visible(&format!("{name}: is already {word}")));
        Ok(())
    }

    /// Of a user of the synced file: whom no entry by hand names, or one that `users disable` wrote over it. `None` where
    /// what is written by hand decides.
    fn toggled_over_synced(
        &self,
        text: &str,
        name: &str,
        own: &Entry,
        enabled: bool,
    ) -> Result<Option<Toggled>, Refused> {
        let Some(synced) = &self.synced else {
            return Ok(None);
        };
        let by_disable = match own {
            Entry::Absent => false,
            Entry::Disabled(_) if enabled && self.edited(edit::is_by_disable(text, name))? => true,
            _ => return Ok(None),
        };
        let mobile = match (synced.entry(name)?, enabled) {
            (Entry::Absent, _) if by_disable => return Err(self.left(name)),
            (Entry::Absent, _) => return Err(self.no_entry(name)),
            (Entry::Bad(why), _) => return Err(Refused(format!("{why}; nothing was changed"))),
            (Entry::Disabled(_), true) => return Err(self.disabled_by_source(name)),
            (Entry::Enrolled(_), true) if !by_disable => return Ok(Some(Toggled::Already)),
            (Entry::Enrolled(mobile) | Entry::Disabled(mobile), _) => mobile,
        };
        Ok(Some(if by_disable {
            Toggled::Edited(self.edited(edit::remove(text, name))?, Entry::Absent)
        } else {
            let new = NewEntry {
                name,
                mobile: mobile.as_str(),
                enabled: false,
                comment: Some(edit::BY_DISABLE),
            };
            let new = self.edited(edit::add(text, &[new]))?;
            Toggled::Edited(new, Entry::Disabled(mobile))
        }))
    }

    fn which_counts(&self, enabled: bool) -> String {
        let (synced, own) = (self.synced_path().display(), self.file.path().display());
        match enabled {
            true => format!("; the entry in {synced} counts again"),
            false => format!("; the entry in {own} counts, whatever {synced} says"),
        }
    }

    fn disabled_by_source(&self, name: &str) -> Refused {
        Refused(format!(
            "{}: {name} is disabled there, and the source of `ivaltctl users sync` decides that; nothing was changed; enable \
             {name} in the source, then run: {}",
            self.synced_path().display(),
            command(self.config, "users sync")
        ))
    }

    /// Without the entry that denies, an unenrolled user might be let in.
    fn left(&self, name: &str) -> Refused {
        Refused(format!(
            "{}: {name} is no longer there, so that nothing but the entry in {} is left, which denies; nothing was changed; to \
             enrol {name} by hand: {} && {} MOBILE",
            self.synced_path().display(),
            self.file.path().display(),
            self.command("remove", name),
            self.command("add", name)
        ))
    }

    fn synced_path(&self) -> &Path {
        self.synced.as_ref().map_or(Path::new(""), SyncedFile::path)
    }

    /// Of a user whom the file by hand names.
    fn toggled(
        &self,
        text: &str,
        name: &str,
        own: &Entry,
        enabled: bool,
    ) -> Result<Toggled, Refused> {
        let entry = match own {
            Entry::Absent => return Err(self.no_entry(name)),
            Entry::Bad(why) => return Err(Refused(format!("{why}; nothing was changed"))),
            Entry::Enrolled(mobile) if !enabled => Entry::Disabled(mobile.clone()),
            Entry::Disabled(mobile) if enabled => Entry::Enrolled(mobile.clone()),
            Entry::Enrolled(_) | Entry::Disabled(_) => return Ok(Toggled::Already),
        };
        let new = self.edited(edit::set_enabled(text, name, enabled))?;
        Ok(Toggled::Edited(new, entry))
    }

    fn import(
        &self,
        path: &Path,
        columns: &ColumnTitles,
        output: &mut Output,
    ) -> Result<(), Refused> {
        let mut table = self.table(path, columns, output)?;
        let problems = std::mem::take(&mut table.problems);
        let mut skipped = HashSet::new();
        let expected: Expected = table.rows.iter().map(expected_entry).collect();
        let change = |text: &str, before: &Snapshot| {
            let mut problems = problems;
            for row in &table.rows {
                match before.entry(&row.name) {
                    Entry::Absent => {}
                    entry if *entry == expected[row.name.as_str()] => {
                        skipped.insert(row.name.as_str());
                    }
                    entry => problems.push(self.conflict(row, before.line(&row.name), entry)),
                }
            }
            require_no_problems(path, problems, output)?;
            let is_new = |row: &&import::Row| !skipped.contains(row.name.as_str());
            let new: Vec<NewEntry> = table.rows.iter().filter(is_new).map(new_entry).collect();
            if new.is_empty() {
                return Ok(text.to_owned());
            }
            self.edited(edit::add(text, &new))
        };
        let warnings = self.change("users import", &expected, true, change)?;
        report_import(&table, &skipped, output);
        let rows = table.rows.iter().map(|row| row.name.as_str());
        self.notice_of_synced(rows.filter(|name| !skipped.contains(name)), output);
        self.report_warnings(&warnings, output);
        Ok(())
    }

    fn table(
        &self,
        path: &Path,
        columns: &ColumnTitles,
        output: &mut Output,
    ) -> Result<import::Table, Refused> {
        let request = import::Request {
            format: self.format,
            name: columns.name_column.as_deref(),
            mobile: columns.mobile_column.as_deref(),
            command: self.command("import", &path.to_string_lossy()),
        };
        let table =
            import::parse(&import::read(path, "split it")?, &request).map_err(|problem| {
                let problem = problem.in_file(shown(path));
                Refused(format!("{problem}; nothing was changed"))
            })?;
        if let Some(note) = &table.note {
            terminal::print_error(format_args!("note: {}", visible(note)));
            output.set("notices", vec![note.as_str()]);
        }
        Ok(table)
    }

    /// Changes the file under the lock, after the result has been parsed as the module would.
    fn change(
        &self,
        command: &str,
        expected: &Expected,
        create: bool,
        change: impl FnOnce(&str, &Snapshot) -> Result<String, Refused>,
    ) -> Result<Warnings, Refused> {
        let locked = self.lock()?;
        let hint = self.progress_hint("changing");
        let text = self.text(create)?;
        let selection = selection_for(expected);
        let before = self.snapshot(&text, &selection)?;
        let new = change(&text, &before)?;
        let after = self.verify(&before, &new, &selection, expected)?;
        drop(hint);
        self.refuse_earlier_codes(&before, expected)?;
        if new != text {
            self.write(locked.as_ref(), &new, command, &before, expected)?;
        }
        // The look-up of accounts may be slow (LDAP); other writers need not wait for it.
        drop(locked);
        let present = |name: &&str| expected[name] != Entry::Absent;
        let mut names: Vec<&str> = expected.keys().copied().filter(present).collect();
        names.sort_unstable();
        let shared = self.with_synced(&new, after.owners, &selection.mobiles)?;
        let shared = shared.iter().map(|(mobile, owners)| {
            let owners = owners.iter().map(String::as_str);
            (mobile.clone(), owners.collect())
        });
        Ok(Warnings::for_names(names.into_iter(), shared))
    }

    /// Who has these mobiles, also in the synced file, as far as its entries count.
    fn with_synced(
        &self,
        text: &str,
        owners: HashMap<String, Vec<String>>,
        mobiles: &HashSet<String>,
    ) -> Result<BTreeMap<String, Vec<String>>, Refused> {
        let mut owners: BTreeMap<_, _> = owners.into_iter().collect();
        let synced = self.synced.as_ref().map(|synced| synced.owners(mobiles));
        // That it cannot be read is said elsewhere.
        let Some(Ok(synced)) = synced else {
            return Ok(owners);
        };
        let names = synced.values().flatten().map(String::as_str);
        let selection = Selection {
            names: names.collect(),
            ..Selection::default()
        };
        let by_hand = self.snapshot(text, &selection)?;
        for (mobile, names) in &synced {
            let counts = |name: &&String| *by_hand.entry(name) == Entry::Absent;
            let names = names.iter().filter(counts).cloned();
            owners.entry(mobile.clone()).or_default().extend(names);
        }
        Ok(owners)
    }

    /// The right to write; in a dry run only whether it could be had.
    fn lock(&self) -> Result<Option<Locked<'_>>, Refused> {
        if self.dry_run {
            return self.file.require_writable().map(|()| None);
        }
        self.file.lock().map(Some)
    }

    /// Writes the text and the line in the system log; nothing in a dry run.
    fn write(
        &self,
        locked: Option<&Locked>,
        new: &str,
        command: &str,
        before: &Snapshot,
        expected: &Expected,
    ) -> Result<(), Refused> {
        let Some(locked) = locked else {
            return self.file.refuse_too_large(new);
        };
        // Whom `users enable` leaves to the synced file is enrolled all the same.
        let deleted = match command {
            "users remove" => self.delete_codes(expected)?,
            _ => 0,
        };
        let synced = locked.replace(new).map_err(|Refused(why)| match deleted {
            0 => Refused(why),
            _ => Refused(format!(
                "{why}; the recovery codes are deleted all the same"
            )),
        })?;
        self.is_changed.set(true);
        let mut fields = changed_users(command, before, expected);
        if deleted > 0 {
            fields.push(("recovery_codes", deleted.to_string()));
        }
        let path = self.file.path();
        if path != Enrolment::by_default().users_file {
            fields.push(("file", path.display().to_string()));
        }
        let change = audit::Change {
            command,
            fields,
            by: caller(),
        };
        change.record(Outcome::Done);
        synced
    }

    /// Whoever is enrolled anew has no codes of somebody who had the name before, and whose entry was removed by hand.
    fn refuse_earlier_codes(&self, before: &Snapshot, expected: &Expected) -> Result<(), Refused> {
        let is_new = |(name, entry): &(&&str, &Entry)| {
            **entry != Entry::Absent && *before.entry(name) == Entry::Absent
        };
        let root = Root::this_machine()?;
        let mut having = Vec::new();
        for (name, _) in expected.iter().filter(is_new) {
            if recovery::has_codes(&root, &self.codes, name)?
                && !self.is_synced_as(name, &expected[name])
            {
                having.push(*name);
            }
        }
        having.sort_unstable();
        let Some(first) = having.first() else {
            return Ok(());
        };
        let who = some_names("", &having)
            .trim_start_matches("; : ")
            .to_owned();
        let revoke = format!("recovery revoke {} --all", shell_word(first));
        Err(Refused(format!(
            "{who}: recovery codes of an earlier entry would count again; nothing was changed; revoke them first: {}",
            command(self.config, &revoke)
        )))
    }

    /// Whether the synced file has this mobile for the user: then the codes are the user's own.
    fn is_synced_as(&self, name: &str, new: &Entry) -> bool {
        let mobile = |entry: &Entry| match entry {
            Entry::Enrolled(mobile) | Entry::Disabled(mobile) => Some(digits(mobile.as_str())),
            Entry::Absent | Entry::Bad(_) => None,
        };
        let synced = self.synced.as_ref().map(|synced| synced.entry(name));
        synced.is_some_and(|entry| entry.is_ok_and(|entry| mobile(&entry) == mobile(new)))
    }

    /// Of those who are removed, before they are: returns how many codes they had.
    fn delete_codes(&self, expected: &Expected) -> Result<usize, Refused> {
        let gone = expected
            .iter()
            .filter(|(_, entry)| **entry == Entry::Absent);
        let root = Root::this_machine()?;
        let mut deleted = 0;
        for (name, _) in gone {
            deleted += recovery::forget(&root, &self.codes, name).map_err(|Refused(why)| {
                let disable = self.command("disable", name);
                Refused(format!("{why}; to deny {name} meanwhile: {disable}"))
            })?;
        }
        Ok(deleted)
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
        let text = text(path, &bytes)?;
        Ok(text.to_owned())
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

    fn edited<T>(&self, text: Result<T, NotToml>) -> Result<T, Refused> {
        text.map_err(|not_toml| not_toml.problem.in_file(self.file.path()).into())
    }

    fn no_entry(&self, name: &str) -> Refused {
        let files = Files {
            own: self.file.path(),
            synced: self.synced.as_ref().map(SyncedFile::path),
        };
        Refused(format!(
            "{files}: no entry for {name}; add one: {} MOBILE",
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
        let place = format!("{}:{line}", self.file.path().display());
        let (what, verb) = match entry {
            Entry::Bad(problem) => (format!("already has a bad entry: {problem}"), "remove"),
            Entry::Enrolled(mobile) if *mobile == row.mobile => {
                (format!("already enrolled in {place}, enabled"), "disable")
            }
            Entry::Disabled(mobile) if *mobile == row.mobile => {
                (format!("already enrolled in {place}, disabled"), "enable")
            }
            _ => (
                format!("already enrolled with another mobile in {place}"),
                "remove",
            ),
        };
        let fix = format!(
            "take the row out, or first run: {}",
            self.command(verb, name)
        );
        Problem::invalid(format!("{name}: {what}"))
            .fix(fix)
            .in_line(row.line)
    }

    /// A command of this tool, quoted for a shell.
    fn command(&self, verb: &str, name: &str) -> String {
        command(self.config, &format!("users {verb} {}", shell_word(name)))
    }

    fn report_warnings(&self, warnings: &Warnings, output: &mut Output) {
        output.set("file", self.file.path().display().to_string());
        output.set("warnings", warnings.0.clone());
        warnings.print();
    }

    fn progress_hint(&self, action: &str) -> ProgressHint {
        ProgressHint::after_a_second(format!("{action} {}", self.file.path().display()))
    }
}

/// A command of this tool about these settings.
pub fn command(config: &Path, words: &str) -> String {
    let config = match config == Path::new(DEFAULT_CONFIG) {
        true => String::new(),
        false => format!("--config {} ", shell_word(&config.display().to_string())),
    };
    format!("ivaltctl {config}{words}")
}

/// The settings need not be complete; right after the installation they need not exist.
pub fn enrolment(config: &Path) -> Result<Enrolment, Refused> {
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

fn report_import(table: &import::Table, skipped: &HashSet<&str>, output: &mut Output) {
    let added = table.rows.len() - skipped.len();
    let mut names: Vec<&str> = skipped.iter().copied().collect();
    names.sort_unstable();
    output.set("added", added);
    output.set("without_mobile", names_of(&table.without_mobile));
    output.set("repeated", names_of(&table.repeated));
    let users = if added == 1 { "user" } else { "users" };
    let sentence = [
        format!("{added} {users} added"),
        some_names("already present", &names),
        some_names(
            "passed over without a mobile",
            &with_lines(&table.without_mobile),
        ),
        some_names("passed over as repeated", &with_lines(&table.repeated)),
    ];
    output.set("skipped", names);
    let sentence = visible(&sentence.concat());
    match added {
        0 => output.line(sentence),
        _ => output.done("imported", sentence),
    }
}

/// Whose entries a command changes, for the log.
fn changed_users<'a>(
    command: &str,
    before: &Snapshot,
    expected: &Expected,
) -> Vec<(&'a str, String)> {
    let changed = expected
        .iter()
        .filter(|(name, entry)| before.entry(name) != *entry);
    let mut changed: Vec<_> = changed.map(|(name, entry)| (*name, entry)).collect();
    changed.sort_unstable_by_key(|(name, _)| *name);
    let names: Vec<&str> = changed.iter().map(|(name, _)| *name).collect();
    if command == "users import" {
        let added = names.len().to_string();
        return vec![("added", added), ("users", names.join(","))];
    }
    let mut fields = vec![("user", names.join(","))];
    if let [(_, Entry::Enrolled(mobile) | Entry::Disabled(mobile))] = changed[..] {
        fields.push(("mobile", mobile.masked()));
    }
    fields
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
        comment: None,
    }
}

/// How a file is named in sentences.
fn shown(path: &Path) -> &Path {
    if path == Path::new("-") {
        Path::new("standard input")
    } else {
        path
    }
}

fn names_of(rows: &[(usize, String)]) -> Vec<&str> {
    rows.iter().map(|(_, name)| name.as_str()).collect()
}

/// So many names or problems are shown.
const MOST: usize = 20;

fn with_lines(rows: &[(usize, String)]) -> Vec<String> {
    let shown = |(line, name): &(usize, String)| format!("{name} (line {line})");
    rows.iter().map(shown).collect()
}

fn some_names<S: AsRef<str>>(what: &str, names: &[S]) -> String {
    let names: Vec<&str> = names.iter().map(AsRef::as_ref).collect();
    match names.len() {
        0 => String::new(),
        1..=MOST => format!("; {what}: {}", names.join(", ")),
        many => format!("; {what}: {many}"),
    }
}

fn names_in_sentence(names: &[&str]) -> String {
    match names.len() {
        0..=MOST => names.join(", "),
        many => format!("{} and {} more", names[..MOST].join(", "), many - MOST),
    }
}

/// Prints the bad rows, not only the first.
fn require_no_problems(
    path: &Path,
    mut problems: Vec<Problem>,
    output: &mut Output,
) -> Result<(), Refused> {
    problems.sort_by_key(|problem| problem.line);
    let in_file = |problem: &Problem| visible(&problem.clone().in_file(shown(path)).to_string());
    let sentences: Vec<String> = problems.iter().map(in_file).collect();
    for sentence in sentences.iter().take(MOST) {
        terminal::print_error(sentence.as_str());
    }
    if !sentences.is_empty() {
        output.set("problems", sentences);
    }
    let more = problems.len().saturating_sub(MOST);
    let more = match more {
        0 => String::new(),
        more => format!(" ({more} more than shown)"),
    };
    match problems.len() {
        0 => Ok(()),
        1 => Err(Refused("1 row is refused; nothing was changed".into())),
        many => Err(Refused(format!(
            "{many} rows are refused{more}; nothing was changed"
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
