//! `ivaltctl recovery`: makes, lists and revokes one-time recovery codes. How a login takes one is in
//! [`ivalt_core::recovery`].
//!
//! | module | what it does |
//! | --- | --- |
//! | [`store`] | what is on the disk |
//! | [`make`] | new codes, on disk before they are printed |
//! | [`sheet`] | what is printed of them |
//! | [`list`] | all codes |
//! | [`revoke`] | takes codes away, also those of a user who is removed |

mod list;
mod make;
pub mod revoke;
mod sheet;
pub mod store;

use std::ffi::OsStr;
use std::io;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use super::command_line::{RecoveryArgs, RecoveryCommand};
use super::lock::{self, Lock, NoLock};
use super::output::Output;
use super::root::Root;
use super::terminal::visible;
use super::{Exit, Refused, folder, system_error};
use ivalt_core::settings::Recovery;
use store::{LOCK, Store, UserFolder};

/// Runs one of the subcommands.
pub fn run(args: &RecoveryArgs, config: &Path) -> Exit {
    let dry_run = matches!(args.command, RecoveryCommand::Revoke { dry_run: true, .. });
    let mut output = Output::new(args.json, dry_run);
    let done = match &args.command {
        RecoveryCommand::Make(args) => make::make(args, config, &mut output),
        RecoveryCommand::List { name } => list::list(name.as_deref(), config, &mut output),
        RecoveryCommand::Revoke {
            name, numbers, all, ..
        } => {
            let which = (!all).then_some(numbers.as_slice());
            revoke::revoke(name, which, config, &mut output)
        }
    };
    output.finish(done.map_err(|Refused(why)| Refused(visible(&why))))
}

/// Seconds since 1970, UTC.
pub fn now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.unwrap_or_default().as_secs()
}

/// The store, if there is one.
fn open(root: &Root, directory: &Path) -> Result<Option<Store>, Refused> {
    Store::open(root, directory).map_err(|error| not_read(directory, &error))
}

/// The right to change the store, until it is dropped.
fn lock(store: &Store) -> Result<Lock, Refused> {
    let path = store.path.join(LOCK);
    let lock = lock::acquire(&store.folder, OsStr::new(LOCK), &path, &store.path);
    lock.map_err(|why| match why {
        NoLock::Io(error) => not_written(&path, &error),
        NoLock::Refused(refused) => refused,
    })
}

/// Refuses what the module would not use, or what others may have written.
fn refuse_faults(store: &Store, user: Option<&UserFolder>) -> Result<(), Refused> {
    let faults = store
        .faults()
        .map_err(|error| not_read(&store.path, &error))?;
    let concerns =
        |path: &Path| path == store.path || user.is_some_and(|user| path.starts_with(&user.path));
    match faults.into_iter().find(|fault| concerns(&fault.path)) {
        None => Ok(()),
        Some(fault) => Err(fault.into()),
    }
}

fn not_read(path: &Path, error: &io::Error) -> Refused {
    system_error::problem(path, "cannot be read", error).into()
}

fn not_written(path: &Path, error: &io::Error) -> Refused {
    let Refused(why) = system_error::problem(path, "cannot be written", error).into();
    match folder::is_changed(error) {
        true => Refused(why),
        false => Refused(format!("{why}; nothing was changed")),
    }
}

/// The fields of a line in the system log.
fn fields<'a>(name: &str, numbers: &[u32], directory: &Path) -> Vec<(&'a str, String)> {
    let mut fields = vec![
        ("user", name.to_owned()),
        ("numbers", store::ranges(numbers, "-", ",")),
    ];
    if directory != Recovery::default().directory {
        fields.push(("directory", directory.display().to_string()));
    }
    fields
}
