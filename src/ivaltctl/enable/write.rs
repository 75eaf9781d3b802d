//! Writes the files of a change, puts them back, and has a running sshd read them.
//!
//! No state between, on the disk or in a running sshd, is more open than before and after; what a power cut leaves at the
//! next start of the system, where nothing is put back:
//!
//! | on the disk | key or password, then iVALT | key, then iVALT, where PAM asks for iVALT in the password's place |
//! | --- | --- | --- |
//! | nothing, or only the saved state | as before | as before |
//! | pam.d alone | first of all: a key, where that was enough; by password nobody without a token | never: a token alone would let in |
//! | sshd's settings alone | never: a password alone would let in, also where only keys did | first of all: key and password |
//! | both | as enabled | as enabled |
//!
//! The way back goes through the same states. What waits for a confirmation is as before once the start of the system has
//! rolled it back; what a `disable` has left, another puts back.

use std::io::{self, ErrorKind};
use std::path::Path;

use super::saved_state::{Change, SavedState};
use super::sshd;
use crate::root::Root;
use crate::{Refused, check, pam_stack, sshd_program, system_error};

/// The folder of a new file, which [`restore`] removes again.
fn make_missing_folder(root: &Root, state: &SavedState) -> Result<(), Refused> {
    let Some(folder) = &state.folder else {
        return Ok(());
    };
    let made = root.make_folder(folder, 0o755);
    made.map(drop)
        .map_err(|error| not_written(root, folder, &error))
}

/// What an administrator must know.
pub type Notice = Option<String>;

/// What `enable` changes; what somebody else has edited a moment ago is not overwritten.
///
/// # Errors
/// Some of it may be written.
pub fn write_all(root: &Root, state: &SavedState) -> Result<Notice, Refused> {
    write(
        root,
        state,
        |change| Some(&change.after.0),
        |_, _| Err(Refused("somebody else has just changed it".into())),
    )
}

/// The same with other bytes, or without a file. `if_edited` is as for [`restore`].
///
/// # Errors
/// Some of it may be written.
pub fn write<'a>(
    root: &Root,
    state: &'a SavedState,
    wanted: impl Fn(&'a Change) -> Option<&'a [u8]>,
    mut if_edited: impl FnMut(&Change, Vec<u8>) -> Result<(), Refused>,
) -> Result<Notice, Refused> {
    make_missing_folder(root, state)?;
    let mut put_all = |part: Part| {
        let mut changes = state.changes.iter().filter(|change| part(change));
        changes.try_for_each(|change| put(root, change, wanted(change), &mut if_edited))
    };
    if only_adds(state) {
        put_all(is_of_pam)?;
    }
    put_all(is_of_sshd)?;
    // One that is stopped has to start with them.
    if is_running_sshd(root, &state.service) && sshd_program::is_installed() {
        sshd::test(root)?;
    }
    let notice = reload(root, state)?;
    if !only_adds(state) {
        put_all(is_of_pam)?;
    }
    Ok(notice)
}

/// What was there before, in the reverse order; what `reload` returns. Where that fails, pam.d is put back all the same:
/// nobody stays locked out for it. `if_edited` is called with what an edited file holds, just before that is replaced: a
/// reload takes seconds, in which somebody may edit one.
///
/// # Errors
/// A file cannot be written; some of them may be restored.
pub fn restore(
    root: &Root,
    state: &SavedState,
    mut if_edited: impl FnMut(&Change, Vec<u8>) -> Result<(), Refused>,
    reload: impl FnOnce(&Root, &SavedState) -> Result<Notice, Refused>,
) -> Result<Result<Notice, Refused>, Refused> {
    let mut put_back = |part: Part| {
        let mut changes = state.changes.iter().rev().filter(|change| part(change));
        changes.try_for_each(|change| put(root, change, before(change), &mut if_edited))
    };
    if !only_adds(state) {
        put_back(is_of_pam)?;
    }
    put_back(is_of_sshd)?;
    let reloaded = reload(root, state);
    if only_adds(state) {
        put_back(is_of_pam)?;
    }
    if let Some(folder) = &state.folder {
        // Others may have put files there.
        let _ = root.remove_folder(folder);
    }
    Ok(reloaded)
}

type Part = fn(&Change) -> bool;

pub fn is_of_pam(change: &Change) -> bool {
    change.path.starts_with(pam_stack::PAM_D)
}

fn is_of_sshd(change: &Change) -> bool {
    !is_of_pam(change)
}

/// Whether PAM asks for all that it asked for before, and for iVALT; else iVALT is in the password's place.
fn only_adds(state: &SavedState) -> bool {
    let mut of_pam = state.changes.iter().filter(|change| is_of_pam(change));
    let key_line = check::KEY_LINE.as_bytes();
    of_pam.any(|change| {
        change
            .after
            .0
            .split(|byte| *byte == b'\n')
            .any(|line| line == key_line)
    })
}

/// sshd alone has settings of its own that changed; all other services read pam.d at every login.
pub fn reload(root: &Root, state: &SavedState) -> Result<Notice, Refused> {
    if is_running_sshd(root, &state.service) {
        sshd::reload(root)
    } else {
        Ok(None)
    }
}

pub fn is_running_sshd(root: &Root, service: &str) -> bool {
    service == "sshd" && root.is_this_machine()
}

/// Makes these the bytes of a file; with none there is no file. What is so already is only synced: a file that cannot be
/// written must not stop the rollback of the others.
fn put(
    root: &Root,
    change: &Change,
    wanted: Option<&[u8]>,
    if_edited: impl FnOnce(&Change, Vec<u8>) -> Result<(), Refused>,
) -> Result<(), Refused> {
    let path = &change.path;
    let is_so = read(root, path).is_ok_and(|now| now.as_deref() == wanted);
    let last_check = || match read(root, path)? {
        now if !is_edited(change, now.as_deref()) => Ok(()),
        now => {
            if_edited(change, now.unwrap_or_default()).map_err(|Refused(why)| io::Error::other(why))
        }
    };
    let done = match wanted {
        _ if is_so => root.sync(path),
        // Such files may be read by every user.
        Some(bytes) => root.replace(path, bytes, 0o644, last_check),
        None => match last_check().and_then(|()| root.remove(path)) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            done => done,
        },
    };
    done.map_err(|error| not_written(root, path, &error))
}

fn before(change: &Change) -> Option<&[u8]> {
    change.before.as_ref().map(|content| content.0.as_slice())
}

/// Whether a file that holds this is neither as `enable` writes it nor as before.
fn is_edited(change: &Change, now: Option<&[u8]>) -> bool {
    now != Some(&change.after.0) && now != before(change)
}

pub fn not_written(root: &Root, path: &Path, error: &io::Error) -> Refused {
    system_error::problem(Path::new(&root.shown(path)), "cannot be written", error).into()
}

pub fn not_read(root: &Root, path: &Path, error: &io::Error) -> Refused {
    system_error::problem(Path::new(&root.shown(path)), "cannot be read", error).into()
}

/// The files that are neither as `enable` wrote them nor as before, and what is in them.
///
/// # Errors
/// One of them cannot be read.
pub fn edited<'a>(
    root: &Root,
    state: &'a SavedState,
) -> Result<Vec<(&'a Change, Vec<u8>)>, Refused> {
    let mut edited = Vec::new();
    for change in &state.changes {
        let now = read(root, &change.path).map_err(|error| not_read(root, &change.path, &error))?;
        if is_edited(change, now.as_deref()) {
            edited.push((change, now.unwrap_or_default()));
        }
    }
    Ok(edited)
}

/// Nothing where there is no such file.
pub fn read(root: &Root, path: &Path) -> io::Result<Option<Vec<u8>>> {
    match root.read_bytes(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        bytes => bytes.map(Some),
    }
}
