//! Directories by descriptor (openat(2)): what has been judged is what is used, whatever is renamed meanwhile.

use std::ffi::{CString, OsStr, c_int};
use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::os::fd::{AsRawFd, FromRawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Whoever holds the place of a file or directory: no symbolic link is followed, a FIFO is not waited for, and no
/// terminal becomes this process's own.
const SAFE: c_int = libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY | libc::O_CLOEXEC;

/// An open directory. Names of what is in it hold no slash.
#[derive(Debug)]
pub struct Folder(File);

impl Folder {
    /// # Errors
    /// As open(2): `ELOOP` or `ENOTDIR` for a symbolic link at the end of the path.
    pub fn open(path: &Path) -> io::Result<Self> {
        // A slash at the end would have the link followed.
        let path: PathBuf = path.components().collect();
        let mut options = OpenOptions::new();
        options.read(true).custom_flags(SAFE | libc::O_DIRECTORY);
        options.open(path).map(Self)
    }

    /// A directory in it.
    ///
    /// # Errors
    /// As [`Folder::open`].
    pub fn folder(&self, name: impl AsRef<OsStr>) -> io::Result<Self> {
        let flags = libc::O_RDONLY | libc::O_DIRECTORY;
        self.open_at(name.as_ref(), flags).map(Self)
    }

    /// Makes a directory in it with mode 0700, whatever the umask; nothing where there is something of that name. Nobody
    /// else may be able to put anything into this one.
    ///
    /// # Errors
    /// As mkdirat(2), `EEXIST` excepted, and fchmodat(2).
    pub fn make(&self, name: &OsStr) -> io::Result<()> {
        let (folder, name) = (self.0.as_raw_fd(), CString::new(name.as_bytes())?);
        // SAFETY: the descriptor is open and the name is a C string.
        let made = unsafe {
            libc::mkdirat(folder, name.as_ptr(), 0o700) == 0
                && libc::fchmodat(folder, name.as_ptr(), 0o700, 0) == 0
        };
        if made {
            return Ok(());
        }
        match io::Error::last_os_error() {
            error if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            error => Err(error),
        }
    }

    /// A file in it, for reading.
    ///
    /// # Errors
    /// As openat(2): `ELOOP` for a symbolic link.
    pub fn file(&self, name: &OsStr) -> io::Result<File> {
        self.open_at(name, libc::O_RDONLY)
    }

    /// A file in it to lock, read and write, made with mode 0600 if there is none.
    ///
    /// # Errors
    /// As openat(2): `ELOOP` for a symbolic link.
    pub fn lock_file(&self, name: &str) -> io::Result<File> {
        self.open_at(name.as_ref(), libc::O_RDWR | libc::O_CREAT)
    }

    /// A file in it to write at its end, made with mode 0600 if there is none.
    ///
    /// # Errors
    /// As openat(2).
    pub fn append(&self, name: &str) -> io::Result<File> {
        let flags = libc::O_WRONLY | libc::O_APPEND | libc::O_CREAT;
        self.open_at(name.as_ref(), flags)
    }

    fn open_at(&self, name: &OsStr, flags: c_int) -> io::Result<File> {
        let name = CString::new(name.as_bytes())?;
        // SAFETY: the descriptor is open and the name is a C string; the new descriptor is nobody else's.
        unsafe {
            let mode: libc::mode_t = 0o600;
            match libc::openat(self.0.as_raw_fd(), name.as_ptr(), SAFE | flags, mode) {
                -1 => Err(io::Error::last_os_error()),
                descriptor => Ok(File::from_raw_fd(descriptor)),
            }
        }
    }

    /// Removes a file. Of any number of processes that do so at once, one succeeds.
    ///
    /// # Errors
    /// As unlinkat(2).
    pub fn remove(&self, name: &str) -> io::Result<()> {
        let name = CString::new(name)?;
        // SAFETY: the descriptor is open and the name is a C string.
        match unsafe { libc::unlinkat(self.0.as_raw_fd(), name.as_ptr(), 0) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }

    /// What was made or removed in it survives a power cut from here on.
    ///
    /// # Errors
    /// As fsync(2).
    pub fn sync(&self) -> io::Result<()> {
        self.0.sync_all()
    }

    /// # Errors
    /// As fstat(2).
    pub fn metadata(&self) -> io::Result<Metadata> {
        self.0.metadata()
    }
}

/// How large this process may make a file, in bytes. A write beyond it sends `SIGXFSZ`, which ends the application.
#[must_use]
pub fn largest_file() -> u64 {
    super::memory::soft_limit(libc::RLIMIT_FSIZE)
}
