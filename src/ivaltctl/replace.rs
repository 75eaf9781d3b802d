//! Replaces a file atomically: a reader, or the next boot after a power cut, finds the old one or the new one.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::unistd::{AccessFlags, eaccess};

use crate::Refused;

/// The label by which SELinux lets sshd read the file.
const LABEL: &str = "security.selinux";

/// Replaces the file at `path` by `bytes`, by a rename in its folder (rename(2) is atomic), with the owner, mode and
/// SELinux label of the old file. A new one is root's, with `new_mode`. Only one process at a time may do this for a
/// file: what a killed one left in its folder is removed. `last_check` may still refuse, just before the rename.
///
/// # Errors
/// Nothing has changed then.
pub fn replace(
    path: &Path,
    bytes: &[u8],
    new_mode: u32,
    last_check: impl FnOnce() -> io::Result<()>,
) -> io::Result<()> {
    let new = sibling(path, "new");
    let done = write(path, &new, bytes, new_mode)
        .and_then(|()| last_check())
        .and_then(|()| fs::rename(&new, path));
    if done.is_err() {
        let _ = fs::remove_file(&new);
        return done;
    }
    // Without this the name may still be the old file's after a power cut; the change itself can no longer fail.
    let folder = path.parent().unwrap_or(Path::new("/"));
    let _ = File::open(folder).and_then(|folder| folder.sync_all());
    Ok(())
}

/// Whether [`replace`] could begin: this user may write in the folder of `path`, or make it. Nothing is changed.
///
/// # Errors
/// Why not, and what helps.
pub fn require_writable(path: &Path) -> Result<(), Refused> {
    let folder = path.ancestors().skip(1).find(|folder| folder.exists());
    let folder = folder.unwrap_or(Path::new("/"));
    eaccess(folder, AccessFlags::W_OK | AccessFlags::X_OK).map_err(|errno| {
        let error = io::Error::from(errno);
        let hint = match errno {
            Errno::EACCES => "; run it as root: sudo ivaltctl …",
            _ => "",
        };
        Refused(format!(
            "{}: {error}; nothing was changed{hint}",
            folder.display()
        ))
    })
}

/// `/etc/ivalt/.users.toml.WHAT`
pub fn sibling(path: &Path, what: &str) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(".");
    name.push(what);
    path.with_file_name(name)
}

fn write(path: &Path, new: &Path, bytes: &[u8], new_mode: u32) -> io::Result<()> {
    match fs::remove_file(new) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut new = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .custom_flags(libc::O_NOFOLLOW)
        .open(new)?;
    new.write_all(bytes)?;
    keep_attributes(path, &new, new_mode)?;
    new.sync_all()
}

fn keep_attributes(path: &Path, new: &File, new_mode: u32) -> io::Result<()> {
    let old = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
        .open(path);
    let old = match old {
        Ok(old) => old,
        Err(error) if error.kind() == ErrorKind::NotFound => return give_to_root(new, new_mode),
        Err(error) => return Err(error),
    };
    let metadata = old.metadata()?;
    let created = new.metadata()?;
    if (metadata.uid(), metadata.gid()) != (created.uid(), created.gid()) {
        fchown(new, Some(metadata.uid()), Some(metadata.gid()))?;
    }
    new.set_permissions(Permissions::from_mode(metadata.mode() & 0o7777))?;
    keep_label(&old, new);
    Ok(())
}

/// A folder with the set-group-id bit would give another group.
fn give_to_root(new: &File, mode: u32) -> io::Result<()> {
    if nix::unistd::geteuid().is_root() {
        fchown(new, Some(0), Some(0))?;
    }
    new.set_permissions(Permissions::from_mode(mode))
}

/// Where there is no SELinux, there is no label.
fn keep_label(old: &File, new: &File) {
    let mut label = [0_u8; 4096];
    if let Ok(length) = rustix::fs::fgetxattr(old, LABEL, &mut label) {
        let none = rustix::fs::XattrFlags::empty();
        let _ = rustix::fs::fsetxattr(new, LABEL, &label[..length], none);
    }
}
