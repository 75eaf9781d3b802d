//! How a recovery code is used: once, by whoever removes its file, and before anybody hears of it.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::code::Code;
use super::store::{self, CodeFile, SALT, SALT_LENGTH, USED, Use};
use crate::decision::Proof;
use crate::problem::{Problem, ProblemKind, reason};
use crate::secret::Secret;
use crate::sys::folder::{Folder, largest_file};
use crate::sys::memory::wipe_stack;
use crate::trusted_file::{ReadPermission, Trust};

/// In bytes; a code's file has about 50.
const LARGEST: u64 = 4096;

/// A code that nobody can use again.
#[derive(Debug)]
pub(crate) struct Taken {
    /// What it proves.
    pub proof: Proof,
    /// Its number, for people.
    pub number: u32,
    /// How many unexpired codes the user has now. `None` where the folder could not be read again.
    pub left: Option<usize>,
    folder: Folder,
}

/// Why a code is not taken.
#[derive(Debug)]
pub(crate) enum NotTaken {
    /// There is no such code of this user, or none any more. In words for the log.
    Unknown(String),
    /// The code of this number is past its time, and still there.
    Expired(u32),
    /// The store cannot be used as it is.
    Fault(Problem),
}

impl From<Problem> for NotTaken {
    fn from(problem: Problem) -> Self {
        Self::Fault(problem)
    }
}

/// Uses up a code of `user` at `now`, in seconds since 1970.
///
/// # Errors
/// It is not this user's, not unused, or not to be marked as used.
pub(crate) fn take(
    directory: &Path,
    trust: Trust,
    user: &[u8],
    code: &Code,
    now: u64,
) -> Result<Taken, NotTaken> {
    let user_folder = UserFolder::open(directory, trust, user)?;
    let name = store::code_file(&user_folder.salt()?, user, code);
    wipe_stack();
    let file = user_folder.code_file(OsStr::new(&name))?;
    if file.has_expired(now) {
        return Err(NotTaken::Expired(file.number));
    }
    let left = user_folder.remove(&name, now)?;
    Ok(Taken {
        // The file is gone for good: the only place where a code becomes a proof.
        proof: Proof::of_recovery_code(),
        number: file.number,
        left,
        folder: user_folder.folder,
    })
}

impl Taken {
    /// Notes when and from where; that it cannot does not matter.
    pub fn record(&self, line: &Use) {
        let _ = self.append(line.line().as_bytes());
    }

    fn append(&self, line: &[u8]) -> io::Result<()> {
        let mut file = self.folder.append(USED)?;
        let metadata = file.metadata()?;
        let end = metadata.len().saturating_add(line.len() as u64);
        if metadata.is_file() && metadata.nlink() == 1 && end <= largest_file() {
            file.write_all(line)?;
            file.sync_data()?;
        }
        Ok(())
    }
}

/// A user's folder that can be trusted.
struct UserFolder {
    trust: Trust,
    /// For sentences.
    path: PathBuf,
    folder: Folder,
}

impl UserFolder {
    fn open(directory: &Path, trust: Trust, user: &[u8]) -> Result<Self, NotTaken> {
        let name = store::user_folder(user).ok_or_else(|| {
            NotTaken::Unknown("the name is too long to have recovery codes".into())
        })?;
        let path = directory.join(&name);
        let above = opened(directory, Folder::open(directory))?;
        judge(trust, directory, &above)?;
        let folder = opened(&path, above.folder(&name))?;
        judge(trust, &path, &folder)?;
        Ok(Self {
            trust,
            path,
            folder,
        })
    }

    fn salt(&self) -> Result<Secret, NotTaken> {
        let path = self.path.join(SALT);
        let file = opened(&path, self.folder.file(OsStr::new(SALT)))?;
        let salt = Secret::new(self.read(&path, file)?);
        if salt.as_bytes().len() == SALT_LENGTH {
            return Ok(salt);
        }
        Err(Self::unusable(&path, format!("does not hold {SALT_LENGTH} bytes")).into())
    }

    /// Its name is a hash of the code, so no sentence shows it.
    fn code_file(&self, name: &OsStr) -> Result<CodeFile, NotTaken> {
        let path = self.path.join("code-*");
        let file = match self.folder.file(name) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Err(self.unknown()),
            file => opened(&path, file)?,
        };
        if file.metadata().is_ok_and(|metadata| metadata.nlink() == 0) {
            return Err(self.unknown());
        }
        let content = self.read(&path, file)?;
        CodeFile::parse(&content)
            .ok_or_else(|| Self::unusable(&path, "is not the file of a code".to_owned()).into())
    }

    fn unknown(&self) -> NotTaken {
        NotTaken::Unknown("unknown, used or revoked".to_owned())
    }

    fn read(&self, path: &Path, file: File) -> Result<Vec<u8>, Problem> {
        let links = file.metadata().map_or(1, |metadata| metadata.nlink());
        let content = self
            .trust
            .read_opened(path, Ok(file), ReadPermission::OwnerOnly, LARGEST)?;
        if links > 1 {
            let what = format!("has {links} hard links: a copy would stay when it is removed");
            let find = format!("find {} -type f -links +1", self.path.display());
            return Err(untrusted(path, what).fix(format!("inspect: {find}")));
        }
        Ok(content)
    }

    fn unusable(path: &Path, what: String) -> Problem {
        untrusted(path, what).run("ivaltctl recovery make NAME --replace".to_owned())
    }

    /// Removes the code's file and makes sure of it; how many other codes are left.
    fn remove(&self, name: &str, now: u64) -> Result<Option<usize>, NotTaken> {
        match self.folder.remove(name) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => return Err(self.unknown()),
            Err(error) => return Err(self.not_removed(&error).into()),
        }
        self.folder
            .sync()
            .map_err(|error| self.not_synced(&error))?;
        Ok(self.left(now))
    }

    fn not_removed(&self, error: &io::Error) -> Problem {
        let what = format!("no code can be marked as used ({})", reason(error));
        let fix = "must be writable to this process: file system, SELinux, AppArmor, ProtectSystem= of the unit";
        Problem::new(ProblemKind::Unreadable, what)
            .in_file(&self.path)
            .fix(fix)
    }

    fn not_synced(&self, error: &io::Error) -> Problem {
        let what = format!(
            "cannot be synced ({}): this code is spent, and let nobody in",
            reason(error)
        );
        Problem::new(ProblemKind::Unreadable, what)
            .in_file(&self.path)
            .fix("inspect: dmesg")
    }

    fn left(&self, now: u64) -> Option<usize> {
        let is_good = |name: &OsStr| {
            let file = self.folder.file(name).ok();
            let content = file.and_then(|file| self.read(&self.path, file).ok());
            let code = content.and_then(|content| CodeFile::parse(&content));
            code.is_some_and(|code| !code.has_expired(now))
        };
        let names = fs::read_dir(&self.path)
            .ok()?
            .map(|entry| entry.map(|entry| entry.file_name()));
        let names: Vec<_> = names.collect::<io::Result<_>>().ok()?;
        let codes = names
            .iter()
            .filter(|name| name.to_str().is_some_and(store::is_code_file));
        Some(codes.filter(|name| is_good(name)).count())
    }
}

/// What is not there has no codes in it; everything else that cannot be opened is a fault.
fn opened<T>(path: &Path, opened: io::Result<T>) -> Result<T, NotTaken> {
    opened.map_err(|error| match error.raw_os_error() {
        Some(libc::ENOENT) => NotTaken::Unknown(format!("{}: does not exist", path.display())),
        Some(libc::ELOOP) => {
            let fix = format!("inspect: namei -l {}", path.display());
            untrusted(path, "is a symbolic link").fix(fix).into()
        }
        // As open(2) says it of a symbolic link, too, where a directory is wanted.
        Some(libc::ENOTDIR) => {
            let fix = format!("inspect: namei -l {}", path.display());
            untrusted(path, "is not a directory").fix(fix).into()
        }
        _ => {
            let what = format!("cannot be opened ({})", reason(&error));
            let fix = format!("inspect: namei -l {}", path.display());
            Problem::new(ProblemKind::Unreadable, what)
                .in_file(path)
                .fix(fix)
                .into()
        }
    })
}

fn judge(trust: Trust, path: &Path, folder: &Folder) -> Result<(), NotTaken> {
    let metadata = opened(path, folder.metadata())?;
    Ok(trust.judge_folder(path, &metadata)?)
}

fn untrusted(path: &Path, what: impl Into<String>) -> Problem {
    Problem::new(ProblemKind::Untrusted, what).in_file(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recovery::code;
    use crate::sys::effective_uid;
    use std::fs::{DirBuilder, Permissions};
    use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
    use std::sync::Barrier;
    use std::thread;

    const THREADS: u32 = 64;
    const CODES: u32 = 40;

    fn write(path: &Path, content: &[u8]) {
        fs::write(path, content).unwrap();
        fs::set_permissions(path, Permissions::from_mode(0o600)).unwrap();
    }

    /// As often as there are codes: that of one of them the number comes back, and from all others nothing does.
    #[test]
    #[cfg_attr(miri, ignore = "Miri has no openat")]
    fn of_any_number_at_once_one_takes_a_code() {
        let directory = tempfile::tempdir().unwrap();
        fs::set_permissions(directory.path(), Permissions::from_mode(0o700)).unwrap();
        let folder = directory.path().join("user-alice");
        DirBuilder::new().mode(0o700).create(&folder).unwrap();
        let salt = store::new_salt().unwrap();
        write(&folder.join(SALT), salt.as_bytes());
        let trust = Trust {
            effective_uid: effective_uid(),
        };
        let everybody = Barrier::new(THREADS as usize);
        for number in 1..=CODES {
            let code = code::generate().unwrap();
            let (made, expires) = (1, None);
            let file = CodeFile {
                number,
                made,
                expires,
            };
            let name = store::code_file(&salt, b"alice", &code);
            write(&folder.join(name), file.text().as_bytes());
            let numbers: Vec<_> = thread::scope(|scope| {
                let takes = (0..THREADS).map(|_| {
                    scope.spawn(|| {
                        everybody.wait();
                        take(directory.path(), trust, b"alice", &code, 2)
                    })
                });
                let takes: Vec<_> = takes.collect();
                takes.into_iter().map(|take| take.join().unwrap()).collect()
            });
            let (taken, not_taken): (Vec<_>, Vec<_>) = numbers.into_iter().partition(Result::is_ok);
            let taken: Vec<_> = taken
                .into_iter()
                .map(|taken| taken.unwrap().number)
                .collect();
            assert_eq!(taken, [number]);
            for not_taken in not_taken {
                assert!(
                    matches!(not_taken, Err(NotTaken::Unknown(_))),
                    "{not_taken:?}"
                );
            }
        }
    }
}
