//! users.toml on the disk: one writer at a time, and readers find the old file or the new one.

use std::ffi::OsStr;
use std::fs::OpenOptions;
use std::io::{self, ErrorKind};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::folder::{Folder, is_changed, sibling};
use crate::lock::{self, Lock, NoLock};
use crate::system_error::{self, needs_root};
use crate::{Refused, terminal, trust};
use ivalt_core::problem::{Problem, ProblemKind};
use ivalt_core::trusted_file::{LARGE, ReadPermission};

/// The users file of the settings.
#[derive(Debug)]
pub struct UsersFile {
    path: PathBuf,
}

/// The right to write, until it is dropped.
#[derive(Debug)]
pub struct Locked<'a> {
    file: &'a UsersFile,
    folder: Folder,
    stamp: Option<Stamp>,
    _lock: Lock,
}

/// Tells whether another program has changed the file: inode, size, and when content or attributes changed.
type Stamp = (u64, u64, i64, i64);

impl UsersFile {
    /// The file at `path`, which need not exist.
    pub fn new(path: PathBuf) -> Self {
        Self { path }
    }

    /// The path of the file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The content, if the module would trust it.
    ///
    /// # Errors
    /// The module's own sentence.
    pub fn read(&self) -> Result<Vec<u8>, Refused> {
        require_permission(&self.path)?;
        Ok(trust().read(&self.path, ReadPermission::Anybody, LARGE)?)
    }

    /// Waits for the right to write.
    ///
    /// The lock is on a file of its own. users.toml itself is replaced by every change, so that two writers could
    /// each hold a lock on a different one; and the folder may be opened, and so locked for ever, by anyone who may
    /// read it. The lock file is never removed: a process that waits for a removed one would not see the next.
    ///
    /// # Errors
    /// There is no such folder, it is not writable, or another writer does not finish.
    pub fn lock(&self) -> Result<Locked<'_>, Refused> {
        let name = sibling(self.name(), "lock");
        let path = self.path.with_file_name(&name);
        let not_writable = |error| self.not_writable(&path, &error);
        let folder = Folder::open(self.folder()).map_err(not_writable)?;
        let lock = lock::acquire(&folder, &name, &path, &self.path).map_err(|why| match why {
            NoLock::Io(error) => not_writable(error),
            NoLock::Refused(refused) => refused,
        })?;
        Ok(Locked {
            file: self,
            stamp: self.stamp(&folder),
            folder,
            _lock: lock,
        })
    }

    /// Whether [`Self::lock`] could be had; nothing is made, and nobody is waited for.
    ///
    /// # Errors
    /// As [`Self::lock`].
    pub fn require_writable(&self) -> Result<(), Refused> {
        let name = sibling(self.name(), "lock");
        let path = self.path.with_file_name(&name);
        let not_writable = |error| self.not_writable(&path, &error);
        let folder = Folder::open(self.folder()).map_err(not_writable)?;
        lock::refuse_shared(&folder, &name, &path).map_err(|why| match why {
            NoLock::Io(error) => not_writable(error),
            NoLock::Refused(refused) => refused,
        })?;
        folder.require_writable().map_err(not_writable)
    }

    /// # Errors
    /// The module would refuse a file with this text.
    pub fn refuse_too_large(&self, text: &str) -> Result<(), Refused> {
        if text.len() as u64 <= LARGE {
            return Ok(());
        }
        Err(Refused(format!(
            "{}: would be larger than {} MiB, which the module refuses; nothing was changed",
            self.path.display(),
            LARGE >> 20
        )))
    }

    fn stamp(&self, folder: &Folder) -> Option<Stamp> {
        let now = folder.metadata(self.name()).ok()?;
        Some((now.ino(), now.size(), now.ctime(), now.ctime_nsec()))
    }

    fn name(&self) -> &OsStr {
        self.path.file_name().unwrap_or_default()
    }

    fn folder(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new("/"))
    }

    /// `path` is the file that could not be written; a user who may not write has no use for its name.
    fn not_writable(&self, path: &Path, error: &io::Error) -> Refused {
        let folder = self.folder().display();
        match error.kind() {
            ErrorKind::NotFound => Problem::new(ProblemKind::Missing, "does not exist")
                .in_file(self.folder())
                .fix(format!(
                    "create it: install -d -o root -g root -m 0755 {folder}"
                ))
                .into(),
            ErrorKind::PermissionDenied if !nix::unistd::geteuid().is_root() => {
                needs_root(&self.path).into()
            }
            _ => system_error::problem(path, "cannot be written", error).into(),
        }
    }
}

impl Locked<'_> {
    /// Replaces the file by `text`, with the owner, mode and SELinux label of the old one, if there is one. What is
    /// returned says why a power cut may undo that.
    ///
    /// # Errors
    /// Why nothing was changed.
    pub fn replace(&self, text: &str) -> Result<Result<(), Refused>, Refused> {
        self.file.refuse_too_large(text)?;
        let path = &self.file.path;
        let _notice = terminal::ProgressHint::after_a_second(format!("writing {}", path.display()));
        // An editor knows nothing of our lock.
        let refuse_if_edited = || {
            if self.file.stamp(&self.folder) == self.stamp {
                return Ok(());
            }
            let why = "another program has just changed it; try again";
            Err(io::Error::other(why))
        };
        let name = self.file.name();
        let done = self
            .folder
            .replace(name, text.as_bytes(), 0o600, refuse_if_edited);
        match done {
            Ok(()) => Ok(Ok(())),
            Err(error) if is_changed(&error) => Ok(Err(self.file.not_writable(path, &error))),
            // What the system has no number for is about the file itself.
            Err(error) if error.raw_os_error().is_none() => {
                Err(self.file.not_writable(path, &error))
            }
            Err(error) => {
                let new = path.with_file_name(sibling(name, "new"));
                Err(self.file.not_writable(&new, &error))
            }
        }
    }
}

/// Refuses where root is needed; everything else is judged by the module's own rules.
///
/// # Errors
/// This user may not read the file.
pub fn require_permission(path: &Path) -> Result<(), Refused> {
    let opened = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY)
        .open(path);
    match opened {
        Err(error) if error.kind() == ErrorKind::PermissionDenied => Err(needs_root(path).into()),
        _ => Ok(()),
    }
}
