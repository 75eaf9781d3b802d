//! Changes files by their names in a folder that is open: whatever is renamed or linked above it meanwhile, they stay
//! in this one.

use std::ffi::{OsStr, OsString};
use std::fs::{File, Metadata, Permissions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};
use std::path::Path;

use rustix::fs::{Access, AtFlags, Dir, Mode, OFlags};
use rustix::io::Errno;

use crate::system_error;

/// The label by which SELinux lets sshd read the file.
const LABEL: &str = "security.selinux";

/// An open folder.
#[derive(Debug)]
pub struct Folder(File);

impl From<File> for Folder {
    fn from(opened: File) -> Self {
        Self(opened)
    }
}

impl Folder {
    /// A folder of this machine.
    ///
    /// # Errors
    /// As open(2).
    pub fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let opened = rustix::fs::open(path, flags, Mode::empty())?;
        Ok(Self(opened.into()))
    }

    /// The folder itself.
    pub fn handle(&self) -> &File {
        &self.0
    }

    /// The names in it.
    ///
    /// # Errors
    /// As readdir(3).
    pub fn names(&self) -> io::Result<Vec<OsString>> {
        let mut names = Vec::new();
        for entry in Dir::read_from(&self.0)? {
            let entry = entry?;
            let name = OsStr::from_bytes(entry.file_name().to_bytes());
            if name != "." && name != ".." {
                names.push(name.to_owned());
            }
        }
        Ok(names)
    }

    /// Whether this user may change what is in it.
    ///
    /// # Errors
    /// As access(2), for the effective user.
    pub fn require_writable(&self) -> io::Result<()> {
        let access = Access::WRITE_OK | Access::EXEC_OK;
        Ok(rustix::fs::accessat(
            &self.0,
            ".",
            access,
            AtFlags::EACCESS,
        )?)
    }

    /// What the disk says about a file in it, or about a link itself.
    ///
    /// # Errors
    /// As lstat(2).
    pub fn metadata(&self, name: &OsStr) -> io::Result<Metadata> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let place = rustix::fs::openat(&self.0, in_folder(name)?, flags, Mode::empty())?;
        File::from(place).metadata()
    }

    /// A regular file in it. What else may be there is not opened: a device may do something then.
    ///
    /// # Errors
    /// As open(2); `ELOOP` for a symbolic link, `ENXIO` for anything else that is no regular file.
    pub fn open_file(&self, name: &OsStr, flags: OFlags, mode: u32) -> io::Result<File> {
        match self.metadata(name) {
            Ok(found) if found.is_symlink() => return Err(Errno::LOOP.into()),
            Ok(found) if !found.is_file() => return Err(Errno::NXIO.into()),
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let flags = flags | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let mode = Mode::from_raw_mode(mode);
        Ok(rustix::fs::openat(&self.0, name, flags, mode)?.into())
    }

    /// A folder in it.
    ///
    /// # Errors
    /// As open(2); `ENOTDIR` for a symbolic link and anything else.
    pub fn open_folder(&self, name: &OsStr) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let opened = rustix::fs::openat(&self.0, in_folder(name)?, flags, Mode::empty())?;
        Ok(Self(opened.into()))
    }

    /// Makes a file that must not be there yet, root's, with this mode; once this has returned, it outlasts a power cut.
    ///
    /// # Errors
    /// As open(2) and write(2); a part of it may be left.
    pub fn create(&self, name: &OsStr, bytes: &[u8], mode: u32) -> io::Result<()> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL;
        let mut new = self.open_file(name, flags, 0o600)?;
        new.write_all(bytes)?;
        give_to_root(&new, mode)?;
        new.sync_all()?;
        self.sync_changed()
    }

    /// Adds to a file, which is made, root's with this mode, if it is missing; once this has returned, it outlasts a
    /// power cut.
    ///
    /// # Errors
    /// As open(2) and write(2); a part of it may be written.
    pub fn append(&self, name: &OsStr, bytes: &[u8], mode: u32) -> io::Result<()> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::APPEND;
        let mut file = self.open_file(name, flags, 0o600)?;
        file.write_all(bytes)?;
        give_to_root(&file, mode)?;
        file.sync_all()?;
        self.sync_changed()
    }

    /// Removes several files, and makes sure once that none of them comes back after a power cut. One that is gone
    /// already is no error.
    ///
    /// # Errors
    /// As unlink(2), at the first that cannot be removed; or they are removed, and the folder could not be synced.
    pub fn remove_all(&self, names: &[&OsStr]) -> io::Result<()> {
        for name in names {
            match self.unlink(name) {
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    // Those before it are gone.
                    let _ = self.sync_changed();
                    return Err(error);
                }
                _ => {}
            }
        }
        self.sync_changed()
    }

    /// Replaces the file `name` by `bytes`, by a rename (rename(2) is atomic): a reader, or the next boot after a power
    /// cut, finds the old one or the new one; once this has returned, the new one. It has the owner, mode and SELinux
    /// label of the old file; a new one is root's, with `new_mode`. Only one process at a time may do this for a file:
    /// what a killed one left is removed. `last_check` may still refuse, just before the rename.
    ///
    /// # Errors
    /// Nothing has changed then; unless the folder could not be synced, which the error says.
    pub fn replace(
        &self,
        name: &OsStr,
        bytes: &[u8],
        new_mode: u32,
        last_check: impl FnOnce() -> io::Result<()>,
    ) -> io::Result<()> {
        let new = sibling(name, "new");
        let rename = || Ok(rustix::fs::renameat(&self.0, &*new, &self.0, name)?);
        let done = self
            .write(name, &new, bytes, new_mode)
            .and_then(|()| last_check())
            .and_then(|()| rename());
        if done.is_err() {
            let _ = self.unlink(&new);
            return done;
        }
        self.sync_changed()
    }

    /// Removes a file, or a link itself; after a power cut, it does not come back.
    ///
    /// # Errors
    /// As unlink(2); or it is removed, and the folder could not be synced.
    pub fn remove(&self, name: &OsStr) -> io::Result<()> {
        self.unlink(name)?;
        self.sync_changed()
    }

    /// Makes sure that the file `name`, or that there is none, outlasts a power cut: whoever changed it may have been
    /// killed before that.
    ///
    /// # Errors
    /// As fsync(2).
    pub fn sync(&self, name: &OsStr) -> io::Result<()> {
        if let Ok(file) = self.open_file(name, OFlags::RDONLY, 0) {
            file.sync_all().map_err(|error| not_synced(&error))?;
        }
        self.sync_changed()
    }

    /// Whether a change in it can be made to outlast a power cut.
    ///
    /// # Errors
    /// As fsync(2); `EINVAL` where the file system cannot sync folders, as CIFS.
    pub fn require_syncable(&self) -> io::Result<()> {
        self.0.sync_all()
    }

    /// Makes a folder in it, with this mode whatever the umask; nothing where there is something of that name.
    ///
    /// # Errors
    /// As mkdir(2); or it is made, and could not be synced.
    pub fn make_folder(&self, name: &OsStr, mode: u32) -> io::Result<()> {
        match rustix::fs::mkdirat(&self.0, in_folder(name)?, Mode::from_raw_mode(mode)) {
            Err(Errno::EXIST) => return Ok(()),
            made => made?,
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let made = File::from(rustix::fs::openat(&self.0, name, flags, Mode::empty())?);
        made.set_permissions(Permissions::from_mode(mode))?;
        Self(made).sync_changed()?;
        self.sync_changed()
    }

    /// Removes a folder in it that is empty.
    ///
    /// # Errors
    /// As rmdir(2); or it is removed, and this one could not be synced.
    pub fn remove_folder(&self, name: &OsStr) -> io::Result<()> {
        rustix::fs::unlinkat(&self.0, in_folder(name)?, AtFlags::REMOVEDIR)?;
        self.sync_changed()
    }

    fn unlink(&self, name: &OsStr) -> io::Result<()> {
        Ok(rustix::fs::unlinkat(
            &self.0,
            in_folder(name)?,
            AtFlags::empty(),
        )?)
    }

    /// Until a folder is synced, a power cut may undo what was changed in it. The change is made, whatever comes of
    /// this; whoever must not build on one that does not last hears of it.
    fn sync_changed(&self) -> io::Result<()> {
        match self.0.sync_all() {
            // fsync(2): a file system that cannot sync a folder, such as CIFS, says so; there is no other way to do it.
            Err(error) if error.kind() == ErrorKind::InvalidInput => Ok(()),
            Err(error) => Err(not_synced(&error)),
            Ok(()) => Ok(()),
        }
    }

    fn write(&self, name: &OsStr, new: &OsStr, bytes: &[u8], new_mode: u32) -> io::Result<()> {
        match self.unlink(new) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                let what = format!(
                    "{} beside it cannot be removed: {error}",
                    Path::new(new).display()
                );
                return Err(io::Error::new(error.kind(), what));
            }
            _ => {}
        }
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL;
        let mut new = self.open_file(new, flags, 0o600)?;
        new.write_all(bytes)?;
        self.keep_attributes(name, &new, new_mode)?;
        new.sync_all()
    }

    fn keep_attributes(&self, name: &OsStr, new: &File, new_mode: u32) -> io::Result<()> {
        let old = match self.open_file(name, OFlags::RDONLY, 0) {
            Ok(old) => old,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return give_to_root(new, new_mode);
            }
            Err(error) => return Err(error),
        };
        let metadata = old.metadata()?;
        let created = new.metadata()?;
        if (metadata.uid(), metadata.gid()) != (created.uid(), created.gid()) {
            fchown(new, Some(metadata.uid()), Some(metadata.gid()))?;
        }
        // In a folder of others the old file may be a program of root's with the set-user-id bit, renamed meanwhile, and
        // the new bytes theirs.
        new.set_permissions(Permissions::from_mode(metadata.mode() & 0o777))?;
        keep_label(&old, new);
        Ok(())
    }
}

/// What the nearest folder that exists lies on, if that may not survive a reboot.
pub fn volatile(path: &Path) -> Option<&'static str> {
    let mut folders = path.ancestors();
    let found = folders.find_map(|folder| rustix::fs::statfs(folder).ok())?;
    match found.f_type {
        libc::TMPFS_MAGIC => Some("tmpfs"),
        libc::OVERLAYFS_SUPER_MAGIC => Some("an overlay"),
        _ => None,
    }
}

/// `.users.toml.WHAT`
pub fn sibling(name: &OsStr, what: &str) -> OsString {
    let mut sibling = OsString::from(".");
    sibling.push(name);
    sibling.push(".");
    sibling.push(what);
    sibling
}

fn not_synced(error: &io::Error) -> io::Error {
    io::Error::other(NotSynced(system_error::reason(error)))
}

/// What is changed, and not surely on the disk.
#[derive(Debug)]
struct NotSynced(String);

impl std::error::Error for NotSynced {}

impl std::fmt::Display for NotSynced {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self(why) = self;
        write!(
            f,
            "it cannot be synced ({why}): the change is made, and a power cut may undo it; look for errors of that disk: dmesg"
        )
    }
}

/// Whether what [`Folder`] was to change is changed, in spite of this error.
pub fn is_changed(error: &io::Error) -> bool {
    unsynced(error).is_some()
}

/// Why what [`Folder`] has changed is not surely on the disk, where that is all that failed.
pub fn unsynced(error: &io::Error) -> Option<&str> {
    let NotSynced(why) = error.get_ref()?.downcast_ref()?;
    Some(why)
}

/// A name that leads nowhere else.
fn in_folder(name: &OsStr) -> io::Result<&OsStr> {
    if Path::new(name).file_name() == Some(name) {
        return Ok(name);
    }
    Err(ErrorKind::InvalidInput.into())
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn no_file_becomes_a_program_that_runs_as_its_owner() {
        let dir = tempfile::TempDir::new().unwrap();
        let path = dir.path().join("sudo");
        fs::write(&path, "old").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o6755)).unwrap();
        let folder = Folder::open(dir.path()).unwrap();
        let done = folder.replace(OsStr::new("sudo"), b"new", 0o600, || Ok(()));
        assert!(done.is_ok());
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o755);
    }

    /// The last check sees the new file whole and the old one in its place; refused, nothing of the new one stays.
    #[test]
    fn the_last_check_is_just_before_the_rename() {
        let dir = tempfile::TempDir::new().unwrap();
        let (path, new) = (dir.path().join("sudo"), dir.path().join(".sudo.new"));
        fs::write(&path, "old").unwrap();
        let folder = Folder::open(dir.path()).unwrap();
        let name = OsStr::new("sudo");
        let refused = folder.replace(name, b"new", 0o600, || {
            assert_eq!(fs::read_to_string(&path)?, "old");
            assert_eq!(fs::read_to_string(&new)?, "new");
            Err(io::Error::other("edited"))
        });
        assert_eq!(refused.unwrap_err().to_string(), "edited");
        assert_eq!(fs::read_to_string(&path).unwrap(), "old");
        assert!(!new.exists());
    }

    #[test]
    fn the_label_is_that_of_the_old_file() {
        let dir = tempfile::TempDir::new().unwrap();
        let path = dir.path().join("sudo");
        fs::write(&path, "old").unwrap();
        let label = b"system_u:object_r:etc_t:s0\0";
        let none = rustix::fs::XattrFlags::empty();
        if let Err(error) = rustix::fs::setxattr(&path, LABEL, label, none) {
            // Root alone may, where the file system has such attributes.
            eprintln!("SKIPPED the_label_is_that_of_the_old_file: {error}");
            return;
        }
        let folder = Folder::open(dir.path()).unwrap();
        let done = folder.replace(OsStr::new("sudo"), b"new", 0o600, || Ok(()));
        assert!(done.is_ok());
        let mut kept = [0_u8; 100];
        let length = rustix::fs::getxattr(&path, LABEL, &mut kept).unwrap();
        assert_eq!(&kept[..length], label);
    }

    /// fsync(2) says `EINVAL` of a device, as a file system does that cannot sync folders.
    #[test]
    fn what_cannot_be_synced_is_no_fault_and_what_fails_is_said() {
        let unable = Folder::from(File::open("/dev/null").unwrap());
        assert!(unable.sync_changed().is_ok());
        assert!(unable.sync(OsStr::new("sudo")).is_ok());
        let unable = unable.require_syncable().unwrap_err();
        assert_eq!(unable.kind(), ErrorKind::InvalidInput);
        let failed = not_synced(&Errno::IO.into());
        assert!(is_changed(&failed));
        assert!(!is_changed(&Errno::IO.into()));
        assert!(!is_changed(&io::Error::other(failed.to_string())));
        assert_eq!(
            failed.to_string(),
            "it cannot be synced (Input/output error): the change is made, and a power cut may undo it; look for errors of \
             that disk: dmesg"
        );
    }
}
