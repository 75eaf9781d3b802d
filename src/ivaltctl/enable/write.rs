//! Writes the files of a change, puts them back, and has a running sshd read them.

use std::io::{self, ErrorKind};
use std::path::Path;

use super::saved_state::SavedState;
use super::sshd;
use crate::root::Root;
use crate::{Refused, system_error};

/// The folder of a new file, which `restore_files` removes again.
pub fn make_missing_folder(root: &Root, state: &SavedState) -> Result<(), Refused> {
    let Some(folder) = &state.folder else {
        return Ok(());
    };
    let made = root.make_folder(folder, 0o755);
    made.map(drop)
        .map_err(|error| not_written(root, folder, &error))
}

/// What an administrator must know.
pub type Notice = Option<String>;

/// What `enable` changes.
///
/// # Errors
/// Some of it may be written.
pub fn write_all(root: &Root, state: &SavedState) -> Result<Notice, Refused> {
    make_missing_folder(root, state)?;
    for change in &state.changes {
        put(root, &change.path, Some(&change.after.0))?;
    }
    reload(root, state)
}

/// What was there before.
///
/// # Errors
/// Some of it may be restored.
pub fn restore(root: &Root, state: &SavedState) -> Result<Notice, Refused> {
    restore_files(root, state)?;
    reload(root, state)
}

/// In reverse order, so that PAM never asks for a token while sshd cannot carry one.
pub fn restore_files(root: &Root, state: &SavedState) -> Result<(), Refused> {
    for change in state.changes.iter().rev() {
        let before = change.before.as_ref().map(|content| content.0.as_slice());
        put(root, &change.path, before)?;
    }
    if let Some(folder) = &state.folder {
        // Others may have put files there.
        let _ = root.remove_folder(folder);
    }
    Ok(())
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
pub fn put(root: &Root, path: &Path, wanted: Option<&[u8]>) -> Result<(), Refused> {
    let is_so = read(root, path).is_ok_and(|now| now.as_deref() == wanted);
    let done = match wanted {
        _ if is_so => root.sync(path),
        // Such files may be read by every user.
        Some(bytes) => root.replace(path, bytes, 0o644),
        None => match root.remove(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            done => done,
        },
    };
    done.map_err(|error| not_written(root, path, &error))
}

pub fn not_written(root: &Root, path: &Path, error: &io::Error) -> Refused {
    system_error::problem(Path::new(&root.shown(path)), "cannot be written", error).into()
}

pub fn not_read(root: &Root, path: &Path, error: &io::Error) -> Refused {
    system_error::problem(Path::new(&root.shown(path)), "cannot be read", error).into()
}

/// Nothing where there is no such file.
pub fn read(root: &Root, path: &Path) -> io::Result<Option<Vec<u8>>> {
    match root.read_bytes(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        bytes => bytes.map(Some),
    }
}
