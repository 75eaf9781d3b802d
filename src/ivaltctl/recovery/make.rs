//! `recovery make`: new codes. They are on disk, synced, before the first of them is printed; if they cannot be printed,
//! they are revoked.

use std::ffi::{OsStr, OsString};
use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};

use super::revoke::remove;
use super::sheet::{self, Printed, Sheet};
use super::store::{Contents, Store, UserFolder, ranges};
use super::{fields, lock, not_read, not_written, now, refuse_faults};
use crate::audit::{Change, Outcome};
use crate::caller::caller;
use crate::check::recovery_warnings;
use crate::command_line::{Lifetime, MakeArgs};
use crate::output::Output;
use crate::root::Root;
use crate::system_error::{self, shell_word};
use crate::terminal::{self, visible};
use crate::users::{self, file::UsersFile, names};
use crate::{Refused, folder, trust};
use ivalt_core::recovery::code;
use ivalt_core::recovery::store::{
    CodeFile, LAST_NUMBER, SALT, SALT_LENGTH, code_file, new_salt, user_folder,
};
use ivalt_core::secret::Secret;
use ivalt_core::settings::Enrolment;
use ivalt_core::users::Entry;
use rustix::fs::OFlags;

/// Makes codes and prints them.
pub fn make(args: &MakeArgs, config: &Path, output: &mut Output) -> Result<(), Refused> {
    refuse_unseen(args)?;
    let settings = users::enrolment(config)?;
    let folder = folder_of(&args.name)?;
    refuse_volatile(args, &settings.recovery.directory)?;
    let root = Root::this_machine()?;
    refuse_unsyncable(&root, &settings.recovery.directory)?;
    // A user who is being removed has no new codes afterwards.
    let own = UsersFile::new(settings.users_file.clone());
    let _own = own.lock()?;
    let synced = synced_file(&args.name, &settings, config)?.map(UsersFile::new);
    let _synced = synced.as_ref().map(UsersFile::lock).transpose()?;
    // Once more: a sync may have changed it before its lock was had.
    synced_file(&args.name, &settings, config)?;
    let store = create(&root, &settings.recovery.directory)?;
    refuse_faults(&store, None)?;
    let _lock = lock(&store)?;
    let user = user(&store, &args.name, &folder)?;
    refuse_faults(&store, Some(&user))?;
    let batch = Batch {
        args,
        config,
        directory: &settings.recovery.directory,
        user: &user,
        made: now(),
    };
    batch.make(output)?;
    warn(&root, &settings, config);
    Ok(())
}

/// A pipe or a file may be anybody's.
fn refuse_unseen(args: &MakeArgs) -> Result<(), Refused> {
    if args.stdout || io::stdout().is_terminal() {
        return Ok(());
    }
    let why = "standard output is no terminal, and codes that are printed there may be read by others or kept in a file; \
               nothing was changed; if that is meant, add --stdout";
    Err(Refused(why.to_owned()))
}

fn folder_of(name: &str) -> Result<String, Refused> {
    if let Some(why) = names::invalid_reason(name) {
        return Err(Refused(format!("{name}: {why}; nothing was changed")));
    }
    user_folder(name.as_bytes()).ok_or_else(|| {
        Refused(format!(
            "{name}: the name is too long for a folder of recovery codes; nothing was changed"
        ))
    })
}

fn refuse_volatile(args: &MakeArgs, directory: &Path) -> Result<(), Refused> {
    match folder::volatile(directory).filter(|_| !args.volatile) {
        None => Ok(()),
        Some(file_system) => Err(Refused(format!(
            "{}: lies on {file_system}, so that the codes may be gone after a reboot, or used ones back; nothing was changed; \
             write under [recovery] in the settings: directory = a folder on a disk; or add --volatile",
            directory.display()
        ))),
    }
}

/// A login that cannot sync the folder has used up the code, and denies all the same.
fn refuse_unsyncable(root: &Root, directory: &Path) -> Result<(), Refused> {
    let mut folders = directory.ancestors();
    let nearest = folders.find_map(|folder| root.open_folder(folder, OFlags::empty()).ok());
    match nearest.map_or(Ok(()), |folder| folder.require_syncable()) {
        Ok(()) => Ok(()),
        Err(error) => Err(Refused(format!(
            "{}: lies where a folder cannot be synced ({}), so that a login would use up a code and deny it; nothing was \
             changed; write under [recovery] in the settings: directory = a folder on a disk",
            directory.display(),
            system_error::reason(&error)
        ))),
    }
}

/// Where an enrolled user's entry is, if that is not the file that is written by hand.
fn synced_file(
    name: &str,
    settings: &Enrolment,
    config: &Path,
) -> Result<Option<PathBuf>, Refused> {
    let files = settings.users();
    let command =
        |verb: &str| users::command(config, &format!("users {verb} {}", shell_word(name)));
    let found = files.look_up(trust(), name.as_bytes(), settings.mobile_format)?;
    let is_synced = files.is_synced(&found);
    Err(Refused(match found.entry {
        Entry::Enrolled(_) => return Ok(is_synced.then(|| found.file.to_owned())),
        Entry::Absent => format!(
            "{files}: no entry for {name}, and only enrolled users can use recovery codes; nothing was changed; enrol first: {} MOBILE",
            command("add")
        ),
        Entry::Disabled(_) if is_synced => format!(
            "{name}: is disabled, and only enabled users can use recovery codes; nothing was changed; enable the account where it is synced from, then: {}",
            users::command(config, "users sync")
        ),
        Entry::Disabled(_) => format!(
            "{name}: is disabled, and only enabled users can use recovery codes; nothing was changed; enable first: {}",
            command("enable")
        ),
        Entry::Bad(why) => format!("{why}; nothing was changed"),
    }))
}

/// The store, with the folders above it.
fn create(root: &Root, directory: &Path) -> Result<Store, Refused> {
    let above: Vec<_> = directory.ancestors().collect();
    let made = above.into_iter().rev().skip(1);
    let made = made.map(|folder| root.make_folder(folder, 0o700));
    let done = made.collect::<io::Result<()>>();
    done.map_err(|error| not_written(directory, &error))?;
    let opened = super::open(root, directory)?;
    let gone = || not_read(directory, &io::ErrorKind::NotFound.into());
    opened.ok_or_else(gone)
}

fn user(store: &Store, name: &str, folder: &str) -> Result<UserFolder, Refused> {
    let path = store.path.join(folder);
    let made = store.folder.make_folder(OsStr::new(folder), 0o700);
    made.map_err(|error| not_written(&path, &error))?;
    let opened = store.user(name).map_err(|error| not_read(&path, &error))?;
    opened.ok_or_else(|| not_read(&path, &io::ErrorKind::NotFound.into()))
}

/// The codes that one call makes.
struct Batch<'a> {
    args: &'a MakeArgs,
    config: &'a Path,
    directory: &'a Path,
    user: &'a UserFolder,
    made: u64,
}

impl Batch<'_> {
    fn make(&self, output: &mut Output) -> Result<(), Refused> {
        let read = self.user.read();
        let before = read.map_err(|error| not_read(&self.user.path, &error))?;
        let written = self.write(&before);
        let (files, printed) = written.map_err(|error| self.not_made(&error))?;
        let sheet = Sheet {
            name: &self.args.name,
            config: self.config,
            directory: self.directory,
            made: self.made,
            expires: self.expires(),
            replaced: self.replaced(&before),
            codes: printed,
        };
        let numbers: Vec<u32> = sheet.codes.iter().map(|printed| printed.number).collect();
        if let Err(error) = sheet::print(&sheet, output) {
            return Err(self.take_back(&files, &numbers, &error));
        }
        let replaced = self.replace(&before);
        self.record(&numbers, Outcome::Done);
        replaced
    }

    /// What was written of them is removed again.
    fn not_made(&self, error: &io::Error) -> Refused {
        let path = &self.user.path;
        match folder::unsynced(error) {
            None => not_written(path, error),
            Some(why) => Refused(format!(
                "{}: cannot be synced ({why}): no code is made; look for errors of that disk: dmesg",
                path.display()
            )),
        }
    }

    fn expires(&self) -> Option<u64> {
        match self.args.expires {
            Lifetime::For(time) => Some(self.made.saturating_add(time.as_secs())),
            Lifetime::Never => None,
        }
    }

    /// After this, a power cut loses none of them.
    fn write(&self, before: &Contents) -> io::Result<(Vec<OsString>, Vec<Printed>)> {
        let salt = self.salt(before)?;
        let too_many = || io::Error::other("has given all numbers to codes");
        let first = before.last_number.checked_add(1).ok_or_else(too_many)?;
        let last = before
            .last_number
            .checked_add(self.args.count)
            .ok_or_else(too_many)?;
        let folder = &self.user.folder;
        folder.replace(
            OsStr::new(LAST_NUMBER),
            last.to_string().as_bytes(),
            0o600,
            || Ok(()),
        )?;
        let (mut files, mut printed) = (Vec::new(), Vec::new());
        for number in first..=last {
            match self.write_one(&salt, number, &mut files) {
                Ok(code) => printed.push(Printed { number, code }),
                Err(error) => {
                    let _ = remove(self.user, &files, &[]);
                    return Err(error);
                }
            }
        }
        Ok((files, printed))
    }

    /// `files` names it also where it is written and not synced.
    fn write_one(
        &self,
        salt: &Secret,
        number: u32,
        files: &mut Vec<OsString>,
    ) -> io::Result<Secret> {
        let code = code::generate()?;
        let file = OsString::from(code_file(salt, self.args.name.as_bytes(), &code));
        let content = CodeFile {
            number,
            made: self.made,
            expires: self.expires(),
        };
        files.push(file.clone());
        let folder = &self.user.folder;
        // As a whole or not at all.
        folder.replace(&file, content.text().as_bytes(), 0o600, || Ok(()))?;
        Ok(code::format(&code))
    }

    /// Made once: with another one, no code of before could be found. One that a power cut has left empty was never used.
    fn salt(&self, before: &Contents) -> io::Result<Secret> {
        match self.user.salt()? {
            Some(bytes) if bytes.len() == SALT_LENGTH => return Ok(Secret::new(bytes)),
            _ if !before.codes.is_empty() && !self.args.replace => {
                return Err(io::Error::other(
                    "has codes, and no usable file named salt, without which none of them lets in; restore that file, or make new \
                     codes with --replace",
                ));
            }
            Some(_) => self.user.folder.remove(OsStr::new(SALT))?,
            None => {}
        }
        let salt = new_salt()?;
        self.user
            .folder
            .create(OsStr::new(SALT), salt.as_bytes(), 0o600)?;
        Ok(salt)
    }

    /// Those that `--replace` revokes.
    fn replaced(&self, before: &Contents) -> Vec<u32> {
        let codes = before.codes.iter().filter(|_| self.args.replace);
        codes
            .filter_map(|code| code.content)
            .map(|code| code.number)
            .collect()
    }

    /// Only now: whoever cannot print new ones keeps the old ones.
    fn replace(&self, before: &Contents) -> Result<(), Refused> {
        if !self.args.replace {
            return Ok(());
        }
        let files: Vec<_> = before.codes.iter().map(|code| code.file.clone()).collect();
        let numbers = self.replaced(before);
        remove(self.user, &files, &numbers).map_err(|error| {
            let problem = system_error::problem(&self.user.path, "cannot be written", &error);
            Refused(format!(
                "{problem}; the new codes are made, and the old ones ({}) count as well",
                ranges(&numbers, " to ", ", ")
            ))
        })
    }

    /// Nobody has seen all of them.
    fn take_back(&self, files: &[OsString], numbers: &[u32], error: &io::Error) -> Refused {
        let cause = format!(
            "the codes cannot be printed: {}",
            system_error::reason(error)
        );
        match remove(self.user, files, numbers) {
            Ok(()) => {
                self.record(numbers, Outcome::PutBack(&cause));
                Refused(format!("{cause}; they were revoked"))
            }
            Err(again) => {
                let why = format!(
                    "{cause}; and they cannot be revoked: {}",
                    system_error::reason(&again)
                );
                self.record(numbers, Outcome::Failed(&why));
                Refused(why)
            }
        }
    }

    fn record(&self, numbers: &[u32], outcome: Outcome) {
        let mut fields = fields(&self.args.name, numbers, self.directory);
        fields.push(("expires", sheet::until(self.expires())));
        let change = Change {
            command: "recovery make",
            fields,
            by: caller(),
        };
        change.record(outcome);
    }
}

/// What would keep these codes from being taken. The emergency is no time to learn of it.
fn warn(root: &Root, settings: &Enrolment, config: &Path) {
    let mut warnings = Vec::new();
    if !settings.recovery.codes {
        warnings.push(format!(
            "recovery.codes is false: no login takes these codes; write under [recovery] in {}: codes = true",
            config.display()
        ));
    }
    warnings.extend(recovery_warnings(
        root,
        config,
        &settings.recovery.directory,
    ));
    for warning in warnings {
        terminal::print_error(format_args!("warning: {}", visible(&warning)));
    }
}
