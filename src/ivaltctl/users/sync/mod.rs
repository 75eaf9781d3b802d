//! `ivaltctl users sync`: brings the synced users file in step with a directory or a CSV file.
//!
//! | module | what it does |
//! | --- | --- |
//! | [`settings`] | directory.toml |
//! | [`person`] | what a source says of people |
//! | [`ldap`] | people of a directory |
//! | [`csv`] | a CSV file as a source |
//! | [`number`] | mobile numbers as directories hold them |
//! | [`wanted`] | what the source's people are to be here |
//! | [`file`] | the synced file |
//! | [`memory`] | what earlier syncs wrote |
//! | [`plan`] | what is to change, and what is held |
//! | [`report`] | what is said: to people, to programs, to the log |

mod csv;
mod file;
mod ldap;
mod memory;
mod number;
mod person;
mod plan;
mod report;
mod settings;
mod wanted;

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::path::Path;
use std::time::SystemTime;

use super::entries;
use super::file::{Locked, UsersFile, require_permission};
use super::{command, enrolment, recovery};
use crate::audit::Outcome;
use crate::caller::caller;
use crate::command_line::SyncArgs;
use crate::enable::{STATES, StateDir};
use crate::output::Output;
use crate::recovery::{now as clock, store::Store};
use crate::root::Root;
use crate::system_error::{self, shell_word};
use crate::terminal::{ProgressHint, visible};
use crate::utc::utc;
use crate::{Exit, Refused, trust};
use file::Now;
use ivalt_core::problem::ProblemKind;
use ivalt_core::settings::{Enrolment, Tolerance};
use ivalt_core::users::Entry;
pub use memory::Memory;
use person::{Answer, NoAnswer};
use plan::{Accept, Choices, Plan};
use report::Report;
use settings::ChangedMobiles;
pub use settings::DirectorySettings;
use wanted::{Fault, Judged, LocalAccounts, Rules};

/// Where the directory is described, whatever `--config` says.
pub const DIRECTORY: &str = "/etc/ivalt/directory.toml";
/// The time of the last sync that was completed, as RFC 3339 has it, and what it did.
pub const LAST_SYNC: &str = "last-sync";

/// Runs it.
pub fn run(args: &SyncArgs, config: &Path, mut output: Output) -> Exit {
    let done = Sync::load(args, config).and_then(|sync| sync.run(&mut output));
    let (why, exit) = match done {
        Ok(done) => return output.finish(done),
        Err(why) => {
            if !output.dry_run {
                report::log_not_done(&source_of(args), &caller(), &why);
            }
            match why {
                NoAnswer::Unavailable(why) => (why, Exit::Unavailable),
                NoAnswer::Refused(why) => (why, Exit::Refused),
            }
        }
    };
    // The sentence may quote names that somebody else wrote.
    output.finish(Err(Refused(visible(&why))));
    exit
}

fn source_of(args: &SyncArgs) -> String {
    let file = args.file.as_deref().map(super::shown);
    file.map_or("directory".to_owned(), |file| file.display().to_string())
}

/// One run: its settings.
struct Sync<'a> {
    args: &'a SyncArgs,
    config: &'a Path,
    enrolment: Enrolment,
    file: UsersFile,
    directory: DirectorySettings,
    root: Root,
}

/// What is here before anything changes.
struct Before {
    now: Now,
    memory: Memory,
    local: LocalAccounts,
    with_codes: BTreeSet<String>,
}

impl<'a> Sync<'a> {
    fn load(args: &'a SyncArgs, config: &'a Path) -> Result<Self, NoAnswer> {
        let enrolment = enrolment(config)?;
        let synced = enrolment.synced_users_file.clone();
        let synced = synced.ok_or_else(|| not_set(config, &enrolment))?;
        let root = Root::this_machine()?;
        refuse_same_file(&root, &synced, &enrolment)?;
        Ok(Self {
            directory: directory()?,
            file: UsersFile::new(synced),
            args,
            config,
            enrolment,
            root,
        })
    }

    /// Under the lock from before the source is read: an older answer must not replace a newer one. What is returned says
    /// why a power cut may undo what was done.
    fn run(&self, output: &mut Output) -> Result<Result<(), Refused>, NoAnswer> {
        report::start(output, &self.file.path().display().to_string());
        let locked = match output.dry_run {
            true => self.file.require_writable().map(|()| None)?,
            false => Some(self.file.lock()?),
        };
        let (answer, faults) = self.read()?;
        let before = self.before()?;
        let judged = self.judge(&answer, faults, &before);
        let memory = before.memory.at(clock(), &before.now);
        let choices = self.choices(&before);
        let plan = Plan::new(judged, &before.now, &memory, &choices)?;
        self.refuse_losses(&plan, &before.now, &memory)?;
        let format = self.enrolment.mobile_format;
        let text = before
            .now
            .change(self.file.path(), &plan.entries, &answer.source, format)?;
        if let Some(text) = &text {
            self.file.refuse_too_large(text)?;
        }
        let report = self.report(&plan, &answer);
        let Some(locked) = locked else {
            report.show(text.is_some(), output);
            return Ok(Ok(()));
        };
        let after = plan.remember(&memory, self.args.accept_losses);
        let changed = after.differs(&before.memory).then_some(&after);
        let synced = self.write(&locked, &plan, changed, text.as_deref())?;
        let noted = self.note_time(&plan);
        // The log may be slow, and there may be thousands of lines.
        drop(locked);
        let outcome = match &synced {
            Ok(()) => Outcome::Done,
            Err(Refused(why)) => Outcome::Failed(why),
        };
        report::log(&plan, &before.now, &answer.source, &caller(), outcome);
        report.show(text.is_some(), output);
        output.notices(noted.err().as_deref());
        Ok(synced)
    }

    fn read(&self) -> Result<(Answer, Vec<Fault>), NoAnswer> {
        let _hint = ProgressHint::after_a_second("reading people".to_owned());
        match (&self.args.file, &self.directory.ldap) {
            (Some(file), _) => csv::read(file, &self.args.columns, self.config),
            (None, Some(ldap)) => {
                let DirectorySettings { map, guard, .. } = &self.directory;
                ldap::read(ldap, map, guard).map(|answer| (answer, Vec::new()))
            }
            (None, None) => Err(NoAnswer::Refused(format!(
                "there is no directory to ask; nothing was changed; describe it under [ldap] in {DIRECTORY}, see \
                 ivalt-directory.toml(5), or name a CSV file: {}",
                command(self.config, "users sync FILE")
            ))),
        }
    }

    fn before(&self) -> Result<Before, NoAnswer> {
        let passwd = Path::new("/etc/passwd");
        let text = self
            .root
            .read(passwd)
            .map_err(|error| system_error::problem(passwd, "cannot be read", &error))?;
        Ok(Before {
            now: Now::read(&self.file, self.enrolment.mobile_format)?,
            memory: Memory::load(&self.root, self.file.path())?,
            local: LocalAccounts::new(
                &text,
                &self.directory.guard.local_accounts,
                self.by_hand(|entry| !matches!(entry, Entry::Enrolled(_))),
            ),
            with_codes: self.with_codes()?,
        })
    }

    fn judge(&self, answer: &Answer, faults: Vec<Fault>, before: &Before) -> Judged {
        let rules = Rules {
            map: &self.directory.map,
            format: self.enrolment.mobile_format,
            local: &before.local,
        };
        Judged::new(&answer.people, faults, &rules)
    }

    fn choices<'c>(&'c self, before: &'c Before) -> Choices<'c> {
        let all = self.args.accept_changes.iter().any(|name| name == "all");
        let apply = self.directory.guard.changed_mobiles == ChangedMobiles::Apply;
        Choices {
            accept: match all || apply {
                true => Accept::All,
                false => Accept::These(self.args.accept_changes.iter().cloned().collect()),
            },
            keep_leavers: self.enrolment.unenrolled == Tolerance::Ignore,
            format: self.enrolment.mobile_format,
            with_codes: &before.with_codes,
        }
    }

    fn refuse_losses(&self, plan: &Plan, now: &Now, memory: &Memory) -> Result<(), Refused> {
        if self.args.accept_losses {
            return Ok(());
        }
        let losses = plan.refuse_losses(now, memory, &self.directory.guard);
        losses.map_err(|why| {
            let accept = self.command("--accept-losses");
            Refused(format!("{why}; if all of them are meant to go: {accept}"))
        })
    }

    /// Who has recovery codes, and would have them again if enrolled now.
    fn with_codes(&self) -> Result<BTreeSet<String>, Refused> {
        let directory = &self.enrolment.recovery.directory;
        let refuse =
            |error| Refused::from(system_error::problem(directory, "cannot be read", &error));
        let mut names = BTreeSet::new();
        if let Some(store) = Store::open(&self.root, directory).map_err(refuse)? {
            for user in store.users().map_err(refuse)? {
                if user.has_codes().map_err(refuse)? {
                    names.insert(user.name);
                }
            }
        }
        if !names.is_empty() {
            // Those who are enrolled by hand have theirs already.
            for name in self.by_hand(|_| true) {
                names.remove(&name);
            }
        }
        Ok(names)
    }

    /// Whose entry in `users_file` is such a one; nobody where that file cannot be read, and nobody gets in.
    fn by_hand(&self, is: impl Fn(&Entry) -> bool) -> Vec<String> {
        let path = &self.enrolment.users_file;
        let bytes = UsersFile::new(path.clone()).read().unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        let users = entries::read_all(path, &text, self.enrolment.mobile_format);
        let users = users.unwrap_or_default().into_iter();
        let users = users.filter(|user| is(&user.entry));
        users.map(|user| user.name.into_owned()).collect()
    }

    /// Recovery codes of changed mobiles, then the memory, then the file: whatever is cut off, nobody is let in who was not.
    fn write(
        &self,
        locked: &Locked,
        plan: &Plan,
        memory: Option<&Memory>,
        text: Option<&str>,
    ) -> Result<Result<(), Refused>, Refused> {
        StateDir::create(&self.root)?;
        for name in &plan.accepted {
            recovery::forget(&self.root, &self.enrolment.recovery.directory, name)?;
        }
        if let Some(memory) = memory {
            memory.save(&self.root, self.file.path())?;
        }
        let written = text.map_or(Ok(Ok(())), |text| locked.replace(text));
        written.map_err(|Refused(why)| match plan.accepted.is_empty() {
            true => Refused(why),
            false => Refused(format!(
                "{why}; the recovery codes of those with an accepted mobile are deleted all the same"
            )),
        })
    }

    /// For `check`, which misses a sync that no longer runs.
    fn note_time(&self, plan: &Plan) -> Result<(), String> {
        let path = Path::new(STATES).join(LAST_SYNC);
        let text = format!(
            "{} added={} removed={} disabled={} enabled={} held={} problems={} unchanged={}\n",
            utc(SystemTime::now()),
            plan.added.len(),
            plan.removed.len(),
            plan.disabled.len(),
            plan.enabled.len(),
            plan.held.len(),
            plan.faults.len(),
            plan.unchanged
        );
        let noted = self.root.replace(&path, text.as_bytes(), 0o600, || Ok(()));
        noted.map_err(|error| system_error::problem(&path, "cannot be written", &error).to_string())
    }

    fn report<'r>(&self, plan: &'r Plan, answer: &'r Answer) -> Report<'r> {
        let named = self
            .args
            .accept_changes
            .iter()
            .filter(|name| *name != "all");
        let idle = named.filter(|name| !plan.accepted.contains(name));
        let idle = idle.map(|name| format!("{name}: no changed mobile is held"));
        Report {
            plan,
            source: &answer.source,
            notices: answer.notices.iter().cloned().chain(idle).collect(),
            accept: self.command("--accept-changes"),
        }
    }

    /// This command, with another option.
    fn command(&self, option: &str) -> String {
        let SyncArgs { file, columns, .. } = self.args;
        let mut words = "users sync".to_owned();
        if let Some(file) = file {
            words += &format!(" {}", shell_word(&file.to_string_lossy()));
        }
        for (option, title) in [
            ("--name-column", &columns.name_column),
            ("--mobile-column", &columns.mobile_column),
        ] {
            if let Some(title) = title {
                words += &format!(" {option} {}", shell_word(title));
            }
        }
        command(self.config, &format!("{words} {option}"))
    }
}

/// The defaults are for a CSV file: they have no directory.
fn directory() -> Result<DirectorySettings, NoAnswer> {
    let path = Path::new(DIRECTORY);
    require_permission(path)?;
    match DirectorySettings::load(path, trust()) {
        Err(problem) if problem.kind == ProblemKind::Missing => Ok(DirectorySettings::default()),
        loaded => Ok(loaded?),
    }
}

fn not_set(config: &Path, enrolment: &Enrolment) -> NoAnswer {
    NoAnswer::Refused(format!(
        "{}: synced_users_file is not set; nothing was changed; write above its first [table]: synced_users_file = \
         \"/etc/ivalt/users-synced.toml\"; from then on until the first sync is done, everybody is denied of whom {} says nothing",
        config.display(),
        enrolment.users_file.display()
    ))
}

/// By whatever names: what is written by hand must not be replaced.
fn refuse_same_file(root: &Root, synced: &Path, enrolment: &Enrolment) -> Result<(), Refused> {
    use std::os::unix::fs::MetadataExt;
    let place = |path: &Path| {
        root.metadata(path)
            .ok()
            .map(|found| (found.dev(), found.ino()))
    };
    let own = &enrolment.users_file;
    match place(synced) {
        Some(found) if place(own) == Some(found) => Err(Refused(format!(
            "{}: is the same file as users_file, {}, and a sync would replace what is written by hand; nothing was changed; \
             name another file in synced_users_file",
            synced.display(),
            own.display()
        ))),
        _ => Ok(()),
    }
}
