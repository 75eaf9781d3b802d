//! One ivaltctl at a time changes something. Whoever may open a file, even only to read it, may lock it (flock(2)): so a
//! lock file that others may open is refused, and nobody is waited for without end.

use std::ffi::OsStr;
use std::fs::{File, Metadata, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use rustix::fs::OFlags;

use crate::folder::Folder;
use crate::{Refused, terminal, trust};

/// How long a second ivaltctl waits for the first.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The right to change something, until it is dropped.
#[derive(Debug)]
pub struct Lock(#[expect(dead_code, reason = "held, not used")] Flock<File>);

/// Why there is no lock.
#[derive(Debug)]
pub enum NoLock {
    /// The file cannot be made or opened.
    Io(io::Error),
    /// Other users may hold it, or another ivaltctl does.
    Refused(Refused),
}

/// Waits for the lock on the file `name` in `folder`, by which one process at a time changes `what`. It is made if it is
/// missing. Sentences call it `path`.
///
/// # Errors
/// See [`NoLock`].
pub fn acquire(folder: &Folder, name: &OsStr, path: &Path, what: &Path) -> Result<Lock, NoLock> {
    let flags = OFlags::WRONLY | OFlags::CREATE;
    let mut file = folder.open_file(name, flags, 0o600).map_err(NoLock::Io)?;
    if is_shared(&file.metadata().map_err(NoLock::Io)?) {
        return Err(NoLock::Refused(shared(path)));
    }
    // An umask can have taken away what we need, too.
    file.set_permissions(Permissions::from_mode(0o600))
        .map_err(NoLock::Io)?;
    let begin = Instant::now();
    let _notice = terminal::ProgressHint::after_a_second(format!(
        "waiting for another ivaltctl, which is changing {}",
        what.display()
    ));
    loop {
        file = match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(held) => return Ok(Lock(held)),
            Err((file, Errno::EWOULDBLOCK | Errno::EINTR)) => file,
            Err((_, errno)) => return Err(NoLock::Io(errno.into())),
        };
        if begin.elapsed() > TIMEOUT {
            return Err(NoLock::Refused(busy(path, what)));
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Refuses what [`acquire`] would refuse; nothing is made, and nobody is waited for.
///
/// # Errors
/// See [`NoLock`].
pub fn refuse_shared(folder: &Folder, name: &OsStr, path: &Path) -> Result<(), NoLock> {
    unshared(folder, name, path).map(drop)
}

/// Whether a process has the lock that [`acquire`] gives; nothing is made, and nobody is waited for. Whoever asks holds
/// a shared lock for a moment: that answers no other question wrongly, and whoever acquires the lock tries again.
///
/// # Errors
/// See [`NoLock`].
pub fn is_held(folder: &Folder, name: &OsStr, path: &Path) -> Result<bool, NoLock> {
    let Some(file) = unshared(folder, name, path)? else {
        return Ok(false);
    };
    match Flock::lock(file, FlockArg::LockSharedNonblock) {
        Ok(_) => Ok(false),
        Err((_, Errno::EWOULDBLOCK)) => Ok(true),
        Err((_, errno)) => Err(NoLock::Io(errno.into())),
    }
}

/// The file, if it exists and other users cannot hold its lock.
fn unshared(folder: &Folder, name: &OsStr, path: &Path) -> Result<Option<File>, NoLock> {
    let file = match folder.open_file(name, OFlags::RDONLY, 0) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened.map_err(NoLock::Io)?,
    };
    if is_shared(&file.metadata().map_err(NoLock::Io)?) {
        return Err(NoLock::Refused(shared(path)));
    }
    Ok(Some(file))
}

fn is_shared(metadata: &Metadata) -> bool {
    let ours = [0, trust().effective_uid].contains(&metadata.uid());
    // By another name it is another file of root's, such as shadow(5).
    let linked = metadata.nlink() > 1;
    !metadata.is_file() || linked || !ours || metadata.mode() & 0o077 != 0
}

fn shared(path: &Path) -> Refused {
    let path = path.display();
    Refused(format!(
        "{path}: users other than root may open it, and so could keep ivaltctl waiting; nothing was changed; remove it: rm {path}"
    ))
}

fn busy(path: &Path, what: &Path) -> Refused {
    Refused(format!(
        "{}: another ivaltctl has been changing it for {} s; nothing was changed; find it: fuser -v {}",
        what.display(),
        TIMEOUT.as_secs(),
        path.display()
    ))
}
