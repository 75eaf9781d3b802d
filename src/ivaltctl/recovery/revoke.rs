//! `recovery revoke`: takes codes away. What is revoked stands in the file `used`, as revoked, so that a code that comes
//! back from a backup is noticed.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::Path;

use super::store::{Contents, REVOKED, Store, UnusedCode, UserFolder, ranges};
use super::{fields, lock, not_read, not_written, now, open, refuse_faults};
use crate::audit::{Change, Outcome};
use crate::caller::caller;
use crate::output::Output;
use crate::root::Root;
use crate::terminal::visible;
use crate::{Refused, users};
use ivalt_core::recovery::store::{USED, Use, user_folder};

/// Revokes codes of a user: these numbers, or all.
pub fn revoke(
    name: &str,
    which: Option<&[u32]>,
    config: &Path,
    output: &mut Output,
) -> Result<(), Refused> {
    let directory = users::enrolment(config)?.recovery.directory;
    output.set("name", name);
    output.set("directory", directory.display().to_string());
    output.set("numbers", Vec::<u32>::new());
    let root = Root::this_machine()?;
    let Some(store) = open(&root, &directory)? else {
        return nothing_to_revoke(name, which, config, output);
    };
    refuse_faults(&store, None)?;
    let _lock = match output.dry_run {
        true => None,
        false => Some(lock(&store)?),
    };
    let user = store
        .user(name)
        .map_err(|error| not_read(&store.path, &error))?;
    let Some(user) = user else {
        return nothing_to_revoke(name, which, config, output);
    };
    let contents = user.read().map_err(|error| not_read(&user.path, &error))?;
    let chosen = chosen(&contents, which).map_err(|number| not_there(name, number, config))?;
    if chosen.is_empty() {
        return nothing_to_revoke(name, which, config, output);
    }
    let done = take(&user, &chosen, &directory, output);
    done.map_err(|error| partly(&user, config, &error))
}

/// Those that are meant, or the first number that none of them has.
fn chosen<'a>(contents: &'a Contents, which: Option<&[u32]>) -> Result<Vec<&'a UnusedCode>, u32> {
    let has = |number: &u32| {
        contents
            .codes
            .iter()
            .any(|code| code.number() == Some(*number))
    };
    if let Some(missing) = which.and_then(|numbers| numbers.iter().find(|number| !has(number))) {
        return Err(*missing);
    }
    let codes = contents.codes.iter();
    let meant = codes.filter(|code| match (which, code.number()) {
        (None, _) => true,
        (Some(numbers), Some(number)) => numbers.contains(&number),
        (Some(_), None) => false,
    });
    Ok(meant.collect())
}

fn not_there(name: &str, number: u32, config: &Path) -> Refused {
    Refused(format!(
        "{name}: has no unused code {number}; nothing was changed; list them: {}",
        users::command(config, "recovery list")
    ))
}

fn nothing_to_revoke(
    name: &str,
    which: Option<&[u32]>,
    config: &Path,
    output: &mut Output,
) -> Result<(), Refused> {
    if let Some(number) = which.and_then(|numbers| numbers.first()) {
        return Err(not_there(name, *number, config));
    }
    output.line(visible(&format!("{name}: has no unused recovery codes")));
    Ok(())
}

fn take(
    user: &UserFolder,
    codes: &[&UnusedCode],
    directory: &Path,
    output: &mut Output,
) -> io::Result<()> {
    let numbers: Vec<u32> = codes.iter().filter_map(|code| code.number()).collect();
    let files: Vec<OsString> = codes.iter().map(|code| code.file.clone()).collect();
    if !output.dry_run {
        remove(user, &files, &numbers)?;
        let change = Change {
            command: "recovery revoke",
            fields: fields(&user.name, &numbers, directory),
            by: caller(),
        };
        change.record(Outcome::Done);
    }
    output.set("numbers", numbers.clone());
    let unreadable = match files.len() - numbers.len() {
        0 => String::new(),
        many => format!(" and {many} unreadable"),
    };
    let word = if files.len() == 1 { "code" } else { "codes" };
    let sentence = format!(
        "{}: {word} {}{unreadable} revoked",
        user.name,
        ranges(&numbers, " to ", ", ")
    );
    output.done("revoked", visible(&sentence));
    Ok(())
}

fn partly(user: &UserFolder, config: &Path, error: &io::Error) -> Refused {
    let problem = crate::system_error::problem(&user.path, "cannot be written", error);
    Refused(format!(
        "{problem}; codes may still count: {}",
        users::command(config, "recovery list")
    ))
}

/// Removes files of codes, for good, and then notes their numbers as revoked, as far as that can be written: a code must
/// be gone also on a full disk.
///
/// # Errors
/// As [`crate::folder::Folder::remove_all`].
pub fn remove(user: &UserFolder, files: &[OsString], numbers: &[u32]) -> io::Result<()> {
    let files: Vec<&OsStr> = files.iter().map(OsString::as_os_str).collect();
    user.folder.remove_all(&files)?;
    let line = |number: &u32| Use::new(*number, now(), REVOKED.as_bytes(), b"").line();
    let lines: String = numbers.iter().map(line).collect();
    if !lines.is_empty() {
        let _ = user
            .folder
            .append(OsStr::new(USED), lines.as_bytes(), 0o600);
    }
    Ok(())
}

/// Whether a user has codes: of an earlier enrolment, if the user is not enrolled.
///
/// # Errors
/// The store cannot be read.
pub fn has_codes(root: &Root, directory: &Path, name: &str) -> Result<bool, Refused> {
    let Some(store) = open(root, directory)? else {
        return Ok(false);
    };
    let user = store
        .user(name)
        .map_err(|error| not_read(&store.path, &error))?;
    let has = user.map_or(Ok(false), |user| user.has_codes());
    has.map_err(|error| not_read(&store.path, &error))
}

/// Deletes all that is kept of a user's codes, who is about to be removed; returns how many codes that were. First the
/// codes: whatever happens meanwhile, whoever is enrolled under this name later has none of them.
///
/// # Errors
/// Some of it may be deleted then.
pub fn forget(root: &Root, directory: &Path, name: &str) -> Result<usize, Refused> {
    let Some(store) = open(root, directory)? else {
        return Ok(0);
    };
    let _lock = lock(&store)?;
    let user = store
        .user(name)
        .map_err(|error| not_read(&store.path, &error))?;
    user.map_or(Ok(0), |user| {
        let deleted = delete(&store, &user, name);
        deleted.map_err(|error| not_written(&user.path, &error))
    })
}

fn delete(store: &Store, user: &UserFolder, name: &str) -> io::Result<usize> {
    let mut names = user.folder.names()?;
    let is_code = |name: &OsString| {
        name.to_str()
            .is_some_and(ivalt_core::recovery::store::is_code_file)
    };
    let codes: Vec<_> = names.iter().filter(|name| is_code(name)).cloned().collect();
    remove(user, &codes, &[])?;
    names.retain(|name| !is_code(name));
    let names: Vec<&OsStr> = names.iter().map(OsString::as_os_str).collect();
    user.folder.remove_all(&names)?;
    if let Some(folder) = user_folder(name.as_bytes()) {
        store.folder.remove_folder(OsStr::new(&folder))?;
    }
    Ok(codes.len())
}
