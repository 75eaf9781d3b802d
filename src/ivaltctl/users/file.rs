//! users.toml on the disk: one writer at a time, and whoever reads finds the old file or the new one.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

use crate::replace::{beside, replace};
use crate::{Refused, surroundings, terminal};
use ivalt_core::trusted_file::{LARGE, ReadPermission};

/// How long a second writer waits for the first.
const PATIENCE: Duration = Duration::from_secs(10);

/// The users file of the settings.
#[derive(Debug)]
pub struct UsersFile {
    path: PathBuf,
}

/// The right to write, until it is dropped.
#[derive(Debug)]
pub struct Locked<'a> {
    file: &'a UsersFile,
    begin: Option<Stamp>,
    _lock: Flock<File>,
}

/// By which a file is known that somebody has changed: inode, size, and when its content or attributes changed.
type Stamp = (u64, u64, i64, i64);

impl UsersFile {
    /// The file at `path`, which need not exist.
    pub fn at(path: PathBuf) -> Self {
        Self { path }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The content, if the module would trust it.
    ///
    /// # Errors
    /// The module's own sentence.
    pub fn read(&self) -> Result<Vec<u8>, Refused> {
        may_open(&self.path)?;
        let trust = surroundings().trust;
        Ok(trust.read(&self.path, ReadPermission::Anybody, LARGE)?)
    }

    /// Waits for the right to write.
    ///
    /// The lock is on a file of its own. users.toml itself is replaced by every change, so that two writers could
    /// each hold a lock on another one; and the folder may be opened, and so locked for ever, by anybody who may
    /// read it. The lock file is never removed: who waits for a removed one would not see the next.
    ///
    /// # Errors
    /// There is no such folder, it is not writable, or another writer does not end.
    pub fn lock(&self) -> Result<Locked<'_>, Refused> {
        let path = beside(&self.path, "lock");
        let opened = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
            .open(&path);
        let mut lock = opened.map_err(|error| self.not_writable(&path, &error))?;
        let begin = Instant::now();
        let _notice = terminal::Notice::after_a_second(format!(
            "waiting for another ivaltctl, which is changing {}",
            self.path.display()
        ));
        loop {
            lock = match Flock::lock(lock, FlockArg::LockExclusiveNonblock) {
                Ok(_lock) => {
                    return Ok(Locked {
                        file: self,
                        begin: self.stamp(),
                        _lock,
                    });
                }
                Err((lock, Errno::EWOULDBLOCK | Errno::EINTR)) => lock,
                Err((_, errno)) => return Err(self.not_writable(&path, &errno.into())),
            };
            if begin.elapsed() > PATIENCE {
                return Err(self.busy(&path));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn stamp(&self) -> Option<Stamp> {
        let now = fs::symlink_metadata(&self.path).ok()?;
        Some((now.ino(), now.size(), now.ctime(), now.ctime_nsec()))
    }

    fn folder(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new("/"))
    }

    fn busy(&self, lock: &Path) -> Refused {
        Refused(format!(
            "{}: another ivaltctl has been changing it for {} s; nothing was changed; look for it: fuser -v {}",
            self.path.display(),
            PATIENCE.as_secs(),
            lock.display()
        ))
    }

    fn not_writable(&self, path: &Path, error: &io::Error) -> Refused {
        let folder = self.folder().display();
        match error.kind() {
            ErrorKind::PermissionDenied => needs_root(&self.path, "changed"),
            ErrorKind::NotFound => Refused(format!(
                "{folder}: does not exist; create it: install -d -o root -g root -m 0755 {folder}"
            )),
            _ => Refused(format!(
                "{}: cannot be written ({error}); look at it: namei -l {}",
                path.display(),
                path.display()
            )),
        }
    }
}

impl Locked<'_> {
    /// Puts `text` in the place of the old file, if there is one, with its owner, mode and SELinux label.
    ///
    /// # Errors
    /// Nothing was changed, and why.
    pub fn replace(&self, text: &str) -> Result<(), Refused> {
        if text.len() as u64 > LARGE {
            return Err(Refused(format!(
                "{}: would be larger than {} MiB, which the module refuses; nothing was changed",
                self.file.path.display(),
                LARGE >> 20
            )));
        }
        let path = &self.file.path;
        let _notice = terminal::Notice::after_a_second(format!("writing {}", path.display()));
        // An editor knows nothing of our lock.
        let unless_edited = || match self.file.stamp() == self.begin {
            true => Ok(()),
            false => Err(io::Error::other(
                "another program has just changed it; try again",
            )),
        };
        replace(path, text.as_bytes(), 0o600, unless_edited)
            .map_err(|error| self.file.not_writable(&beside(path, "new"), &error))
    }
}

/// Says so plainly where root is needed; all else is for the module's own rules to judge.
///
/// # Errors
/// This user may not read the file.
pub fn may_open(path: &Path) -> Result<(), Refused> {
    let opened = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY)
        .open(path);
    match opened {
        Err(error) if error.kind() == ErrorKind::PermissionDenied => Err(needs_root(path, "read")),
        _ => Ok(()),
    }
}

fn needs_root(path: &Path, done: &str) -> Refused {
    let words: Vec<String> = std::env::args_os()
        .skip(1)
        .map(|word| shell_word(&word.to_string_lossy()))
        .collect();
    Refused(format!(
        "{}: must not be {done} by you; run: sudo ivaltctl {}",
        path.display(),
        words.join(" ")
    ))
}

/// As it may be pasted into a shell.
pub fn shell_word(word: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._:@/+=-".contains(&byte);
    if !word.is_empty() && word.bytes().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}
