//! Files are opened first and judged by their open handle, so that what is judged is what is read.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use crate::problem::{Problem, ProblemKind, reason};
use crate::sys::memory::{self, OutOfMemory};

/// Size limit of settings, key and certificate files, in bytes.
pub const SMALL: u64 = 1 << 20;
/// Size limit of `users.toml`, in bytes.
pub const LARGE: u64 = 64 << 20;

/// Whose files are trusted: root's and those of the effective user id.
#[derive(Clone, Copy, Debug)]
pub struct Trust {
    /// The effective user id of this process, see geteuid(2).
    pub effective_uid: u32,
}

/// Who may read a file besides its owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadPermission {
    /// Nobody: the file holds a secret.
    OwnerOnly,
    /// Anybody.
    Anybody,
}

impl Trust {
    /// Reads the whole of `path` if it can be trusted: no symbolic link, a regular file of a trusted
    /// owner, closed to foreign writers (and readers, for `ReadPermission::OwnerOnly`), at most `limit` bytes.
    ///
    /// # Errors
    /// The path, what is wrong and the command that fixes it.
    pub fn read(
        self,
        path: &Path,
        permission: ReadPermission,
        limit: u64,
    ) -> Result<Vec<u8>, Problem> {
        self.read_opened(path, open(path, libc::O_NOFOLLOW), permission, limit)
    }

    /// As [`Trust::read`] for a path fixed in the code, which a distribution may make a symbolic link.
    ///
    /// # Errors
    /// As [`Trust::read`].
    pub fn read_system_file(self, path: &Path, limit: u64) -> Result<Vec<u8>, Problem> {
        self.read_opened(path, open(path, 0), ReadPermission::Anybody, limit)
    }

    /// As [`Trust::read`] for a file that was opened otherwise; `path` is what the sentences call it. Of what is no regular
    /// file, a descriptor of `O_PATH` is enough; of a symbolic link, `ELOOP`.
    ///
    /// # Errors
    /// As [`Trust::read`].
    pub fn read_opened(
        self,
        path: &Path,
        opened: io::Result<File>,
        permission: ReadPermission,
        limit: u64,
    ) -> Result<Vec<u8>, Problem> {
        self.judge_opened(path, opened, permission, limit)?.read()
    }

    /// As [`Trust::read`], but leaves the reading to the caller.
    ///
    /// # Errors
    /// As [`Trust::read`].
    pub fn open(
        self,
        path: &Path,
        permission: ReadPermission,
        limit: u64,
    ) -> Result<TrustedFile<'_>, Problem> {
        self.judge_opened(path, open(path, libc::O_NOFOLLOW), permission, limit)
    }

    fn judge_opened(
        self,
        path: &Path,
        opened: io::Result<File>,
        permission: ReadPermission,
        limit: u64,
    ) -> Result<TrustedFile<'_>, Problem> {
        let file = opened.map_err(|error| self.why_not_opened(path, permission, &error))?;
        let metadata = file.metadata().map_err(|error| unreadable(path, &error))?;
        self.judge(path, &metadata, permission, limit)?;
        Ok(TrustedFile {
            path,
            file,
            size: metadata.len(),
            limit,
        })
    }

    fn judge(
        self,
        path: &Path,
        metadata: &Metadata,
        permission: ReadPermission,
        limit: u64,
    ) -> Result<(), Problem> {
        let shown = path.display();
        let (mode, owner) = (metadata.mode() & 0o7777, metadata.uid());
        let (right, readable) = match permission {
            ReadPermission::OwnerOnly => ("0600", mode & 0o044 != 0),
            ReadPermission::Anybody => ("go-w", false),
        };
        let chmod = format!("chmod {right} {shown}");
        if !metadata.is_file() {
            return Err(not_a_file(path));
        }
        if owner != 0 && owner != self.effective_uid {
            return Err(self.foreign(path, owner, permission));
        }
        if mode & 0o022 != 0 {
            let what = format!("is writable by group or others (mode {mode:04o})");
            return Err(untrusted(path, what).run(chmod));
        }
        if readable {
            let what =
                format!("holds a secret and is readable by group or others (mode {mode:04o})");
            return Err(untrusted(path, what).run(chmod));
        }
        if metadata.len() > limit {
            Err(too_large(path, limit))
        } else {
            Ok(())
        }
    }

    /// Whether an open directory is such that nobody else can put anything into it or take anything out.
    ///
    /// # Errors
    /// The path, what is wrong and the command that fixes it.
    pub fn judge_folder(self, path: &Path, metadata: &Metadata) -> Result<(), Problem> {
        let (mode, owner) = (metadata.mode() & 0o7777, metadata.uid());
        if owner != 0 && owner != self.effective_uid {
            return Err(self.foreign(path, owner, ReadPermission::OwnerOnly));
        }
        if mode & 0o077 != 0 {
            let what = format!("is open to group or others (mode {mode:04o})");
            let fix = format!(
                "if it holds recovery codes alone, run: chmod 0700 {}",
                path.display()
            );
            return Err(untrusted(path, what).fix(fix));
        }
        Ok(())
    }

    fn foreign(self, path: &Path, owner: u32, permission: ReadPermission) -> Problem {
        let (shown, uid) = (path.display(), self.effective_uid);
        if uid == 0 {
            let what = format!("belongs to user id {owner}, not to root");
            return untrusted(path, what).run(format!("chown root:root {shown}"));
        }
        let what = format!("belongs to user id {owner}; {}", self.not_root(permission));
        let owner = match permission {
            ReadPermission::OwnerOnly => uid.to_string(),
            ReadPermission::Anybody => "root:root".to_owned(),
        };
        untrusted(path, what).run(format!("chown {owner} {shown}"))
    }

    fn why_not_opened(self, path: &Path, permission: ReadPermission, error: &io::Error) -> Problem {
        let shown = path.display();
        match error.raw_os_error() {
            Some(libc::ELOOP) => untrusted(path, "is a symbolic link")
                .fix(format!("use the real path: readlink -f {shown}")),
            Some(libc::ENOENT) => {
                let owner = match self.effective_uid {
                    0 => "-o root -g root".to_owned(),
                    uid => format!("-o {uid}"),
                };
                Problem::new(ProblemKind::Missing, "does not exist")
                    .in_file(path)
                    .fix(format!(
                        "create it: install {owner} -m 0600 /dev/null {shown}"
                    ))
            }
            // A socket cannot be opened; Linux says ENXIO for it.
            Some(libc::ENXIO) => not_a_file(path),
            Some(libc::EACCES) if self.effective_uid != 0 => self.denied(path, permission, error),
            _ => unreadable(path, error),
        }
    }

    /// Not root, as PostgreSQL and other services that ask PAM as a user of their own.
    fn denied(self, path: &Path, permission: ReadPermission, error: &io::Error) -> Problem {
        let (shown, uid) = (path.display(), self.effective_uid);
        let command = match permission {
            // A copy: root's services would not trust the file if it belonged to another user.
            ReadPermission::OwnerOnly => {
                let name = Path::new(path.file_name().unwrap_or_default()).display();
                format!("install -D -o {uid} -m 0600 {shown} /etc/ivalt-{uid}/{name}")
            }
            // No copy: in that of users.toml, users who are disabled would stay enabled.
            ReadPermission::Anybody if in_open_folders(path) => {
                format!("chgrp GROUP {shown} && chmod g+r {shown}")
            }
            ReadPermission::Anybody => format!("namei -l {shown}"),
        };
        unreadable(path, error).fix(format!("{}: {command}", self.not_root(permission)))
    }

    fn not_root(self, permission: ReadPermission) -> String {
        let uid = self.effective_uid;
        let need = match permission {
            ReadPermission::OwnerOnly => ": give this service its own by config=",
            ReadPermission::Anybody => ", and be readable to it",
        };
        format!("this process runs as uid {uid}, its files must belong to root or to it{need}")
    }
}

/// An open file that can be trusted.
#[derive(Debug)]
pub struct TrustedFile<'p> {
    path: &'p Path,
    file: File,
    size: u64,
    limit: u64,
}

impl TrustedFile<'_> {
    /// How large it was when it was judged, in bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The whole of it.
    ///
    /// # Errors
    /// As [`Trust::read`].
    pub fn read(self) -> Result<Vec<u8>, Problem> {
        read_at_most(self.file, self.size, self.limit)
            .map_err(|error| unreadable(self.path, &error))?
            .ok_or_else(|| too_large(self.path, self.limit))
    }

    /// What is at `offset`, no further than the file reached when it was judged; 0 at its end. [`TrustedFile::read`]
    /// begins at the beginning all the same.
    ///
    /// # Errors
    /// Those of pread(2).
    pub fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let left = self.size.saturating_sub(offset);
        let most = usize::try_from(left).map_or(buffer.len(), |left| left.min(buffer.len()));
        self.file.read_at(&mut buffer[..most], offset)
    }
}

/// Whether this process may search the folders above.
fn in_open_folders(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

/// `O_NONBLOCK`: opening a FIFO must not wait for a writer. std adds `O_CLOEXEC`.
fn open(path: &Path, flags: i32) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .custom_flags(flags | libc::O_NONBLOCK | libc::O_NOCTTY)
        .open(path)
}

/// As much as the open file was judged by; of one that says it is empty, what there is. `None` beyond `limit`.
fn read_at_most(file: File, expected: u64, limit: u64) -> io::Result<Option<Vec<u8>>> {
    let size = usize::try_from(expected).map_err(|_| ErrorKind::OutOfMemory)?;
    // Enough at once: growing step by step would cost time and memory.
    let mut bytes = memory::zeroed(size).map_err(|_| ErrorKind::OutOfMemory)?;
    if size == 0 {
        file.take(limit + 1).read_to_end(&mut bytes)?;
        memory::check_rest(bytes.capacity()).map_err(|_| ErrorKind::OutOfMemory)?;
    } else {
        fill(&file, size, &mut bytes)?;
    }
    Ok((bytes.len() as u64 <= limit).then_some(bytes))
}

/// `size` bytes, or what there is by now. std's `read_to_end` asks for 8 KiB, 16, 32 … of a file; here it is one call.
fn fill(mut file: impl Read, size: usize, bytes: &mut Vec<u8>) -> io::Result<()> {
    bytes.resize(size, 0);
    let mut filled = 0;
    while filled < size {
        match file.read(&mut bytes[filled..]) {
            Ok(0) => break,
            Ok(amount) => filled += amount,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    bytes.truncate(filled);
    Ok(())
}

fn untrusted(path: &Path, what: impl Into<String>) -> Problem {
    Problem::new(ProblemKind::Untrusted, what).in_file(path)
}

fn not_a_file(path: &Path) -> Problem {
    untrusted(path, "is not a regular file").fix(format!("inspect: ls -ld {}", path.display()))
}

fn unreadable(path: &Path, error: &io::Error) -> Problem {
    if error.kind() == ErrorKind::OutOfMemory {
        return Problem::from(OutOfMemory).in_file(path);
    }
    let kind = match error.kind() {
        ErrorKind::PermissionDenied => ProblemKind::PermissionDenied,
        _ => ProblemKind::Unreadable,
    };
    Problem::new(kind, format!("cannot be read ({})", reason(error)))
        .in_file(path)
        .fix(format!("inspect: namei -l {}", path.display()))
}

fn too_large(path: &Path, limit: u64) -> Problem {
    untrusted(path, format!("is larger than {} MiB", limit >> 20))
        .fix(format!("inspect: ls -l {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_grows_while_it_is_read_is_too_large() {
        let path = std::env::temp_dir().join(format!("pam_ivalt-grows-{}", std::process::id()));
        std::fs::write(&path, [b'x'; 11]).unwrap();
        let read = |limit| {
            read_at_most(File::open(&path).unwrap(), 0, limit)
                .unwrap()
                .map(|bytes| bytes.len())
        };
        assert_eq!((read(10), read(11)), (None, Some(11)));
        std::fs::remove_file(&path).unwrap();
    }

    /// What was judged is what is read: no byte that came later, and no zeros where the file was cut meanwhile.
    #[test]
    fn a_file_is_read_as_far_as_it_was_judged() {
        let path = std::env::temp_dir().join(format!("pam_ivalt-judged-{}", std::process::id()));
        std::fs::write(&path, "0123456789").unwrap();
        let read = |expected| {
            let file = File::open(&path).unwrap();
            let bytes = read_at_most(file, expected, 20).unwrap().unwrap();
            String::from_utf8(bytes).unwrap()
        };
        assert_eq!(read(4), "0123");
        assert_eq!(read(10), "0123456789");
        assert_eq!(read(20), "0123456789");
        std::fs::remove_file(&path).unwrap();
    }

    /// As a file system over the network, or one in user space, may give it.
    #[test]
    fn a_file_that_comes_in_pieces_is_read_to_its_end() {
        struct Pieces(Vec<io::Result<&'static [u8]>>);
        impl Read for Pieces {
            fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                let piece = self.0.pop().unwrap_or(Ok(&[]))?;
                buffer[..piece.len()].copy_from_slice(piece);
                Ok(piece.len())
            }
        }
        let read = |pieces| {
            let mut bytes = Vec::new();
            fill(Pieces(pieces), 6, &mut bytes).map(|()| bytes)
        };
        let interrupted = || Err(ErrorKind::Interrupted.into());
        let whole = vec![Ok(b"f".as_slice()), interrupted(), Ok(b"cde"), Ok(b"ab")];
        assert_eq!(read(whole).unwrap(), b"abcdef");
        let broken = vec![
            Err(ErrorKind::StaleNetworkFileHandle.into()),
            Ok(b"ab".as_slice()),
        ];
        assert!(read(broken).is_err());
    }
}
