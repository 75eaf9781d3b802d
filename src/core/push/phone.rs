//! What this host knows of one phone: a lock, so that one login at a time waits for it, and the requests that were not
//! approved. One file for each mobile, in [`DIRECTORY`], holds both.
//!
//! The record is written before a request leaves. Whatever ends the login then, SIGKILL included, the next one finds it.

use std::fmt;
use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::record::{Hold, Kind, Record, SIZE};
use crate::problem::{Problem, ProblemKind, reason};
use crate::sys::folder::{Folder, largest_file};
use crate::sys::{try_lock, unlock};
use crate::trusted_file::Trust;
use crate::users::Mobile;

/// Where the files are: root's alone, and gone after a reboot, as the requests are.
pub const DIRECTORY: &str = "/run/ivalt/push";

/// How many digits of a mobile name its file, from the last: the same number with and without its country code is one.
const DIGITS: usize = 9;

/// A phone to which no other login of this host sends a request before this is dropped. A request that has not been
/// ended by then counts as unanswered.
#[derive(Debug)]
pub struct Phone {
    file: File,
    /// For sentences: the file's own name is most of the mobile.
    shown: PathBuf,
    boot_clock: fn() -> Duration,
    /// `None` where the file holds anything else.
    record: Option<Record>,
    /// The record from before the request of this login, while that has not ended.
    before_request: Option<Record>,
}

/// Why a phone cannot be locked.
#[derive(Debug)]
pub enum NotLocked {
    /// Another login of this host has the lock.
    Busy,
    /// The directory or the file cannot be used as it is.
    Fault(Problem),
}

impl From<Problem> for NotLocked {
    fn from(problem: Problem) -> Self {
        Self::Fault(problem)
    }
}

/// How a request ends, other than unanswered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It has been approved, or is known not to count: nothing of it is left.
    Settled,
    /// It was refused on the phone.
    Denied,
}

/// Why no request may leave; shows itself in words for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Held {
    /// After this request, for so many more seconds.
    Request(Hold, u64),
    /// After so many requests in the last hour that were not answered; the last one that was not approved.
    Limit(usize, Option<Hold>),
    /// This file does not say what was before.
    Damaged(PathBuf),
}

impl fmt::Display for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const RELEASE: &str = "to end that, run: ivaltctl push release NAME";
        match self {
            Self::Request(hold, left) if hold.kind == Kind::Denied => write!(
                f,
                "the request {hold} was denied on the phone: unless its user began it, somebody else has passed the \
                 other factor; held for another {left} s"
            ),
            Self::Request(hold, left) => {
                write!(
                    f,
                    "the request {hold} was not answered; held for another {left} s; {RELEASE}"
                )
            }
            Self::Limit(count, Some(last)) => {
                write!(
                    f,
                    "{count} requests in an hour were not answered, the last one {last}; {RELEASE}"
                )
            }
            Self::Limit(count, None) => {
                write!(
                    f,
                    "{count} requests in an hour were not answered; {RELEASE}"
                )
            }
            Self::Damaged(path) => {
                write!(
                    f,
                    "{}: is damaged; run: ivaltctl push release NAME",
                    path.display()
                )
            }
        }
    }
}

impl Phone {
    /// Takes the lock of this mobile, or does without at once. What is missing of the directory is made.
    ///
    /// # Errors
    /// Another login has it, or the directory is not root's alone.
    pub fn lock(
        directory: &Path,
        mobile: &Mobile,
        trust: Trust,
        boot_clock: fn() -> Duration,
    ) -> Result<Self, NotLocked> {
        let shown = directory.join(mobile.masked());
        let file = opened(
            &shown,
            folder(directory, trust)?.lock_file(&file_name(mobile)),
        )?;
        let metadata = file.metadata().map_err(|error| unusable(&shown, &error))?;
        judge_file(trust, &shown, &metadata)?;
        if !try_lock(&file).map_err(|error| unusable(&shown, &error))? {
            return Err(NotLocked::Busy);
        }
        let mut phone = Self {
            file,
            shown,
            boot_clock,
            record: None,
            before_request: None,
        };
        phone.record = phone.read()?;
        Ok(phone)
    }

    /// Why no request may leave now, if none may.
    pub fn held(&mut self, max_unanswered: u64) -> Option<Held> {
        let now = self.now();
        let Some(record) = &mut self.record else {
            return Some(Held::Damaged(self.shown.clone()));
        };
        let read = record.clone();
        record.at(now);
        let changed = (*record != read).then(|| record.clone());
        let record = record.clone();
        if let Some(changed) = changed {
            // A time that had not come is over when it has come, not at each look anew.
            let _ = self.write(changed);
        }
        let Record { requests, hold } = record;
        let left = hold.as_ref().and_then(|hold| hold.left(now));
        match (hold, left) {
            (Some(hold), Some(left)) => Some(Held::Request(hold, left)),
            (hold, _) if requests.len() as u64 >= max_unanswered => {
                Some(Held::Limit(requests.len(), hold))
            }
            _ => None,
        }
    }

    /// Writes that a request is outstanding: before it leaves. `rhost` is that of the login.
    ///
    /// # Errors
    /// It cannot be written: then nothing may be sent.
    pub fn request_leaves(&mut self, rhost: &[u8]) -> Result<(), Problem> {
        let now = self.now();
        let before = self.record.clone().unwrap_or_default();
        let mut record = before.clone();
        record.at(now);
        record.requests.push(now);
        record.hold = Some(Hold::new(now, wall_clock(), rhost));
        self.write(record).map_err(|error| {
            let what = format!(
                "cannot be written ({}), so nothing was sent",
                reason(&error)
            );
            let fix = format!(
                "inspect: df {}",
                self.shown.parent().unwrap_or(&self.shown).display()
            );
            Problem::new(ProblemKind::Unreadable, what)
                .in_file(&self.shown)
                .fix(fix)
        })?;
        self.before_request = Some(before);
        Ok(())
    }

    /// Ends the request. Should that not be written, it stays outstanding and holds others back.
    pub fn end(&mut self, ending: Ending) {
        let Some(mut record) = self.before_request.take() else {
            return;
        };
        if ending == Ending::Denied {
            record.hold = self.hold_since_now(Kind::Denied);
        }
        let _ = self.write(record);
    }

    /// Forgets everything, whatever the file holds.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn release(&mut self) -> Result<(), Problem> {
        self.before_request = None;
        self.write(Record::default())
            .map_err(|error| unusable(&self.shown, &error))
    }

    fn hold_since_now(&self, kind: Kind) -> Option<Hold> {
        let since = self.now();
        let hold = self.record.as_ref()?.hold.clone()?;
        Some(Hold {
            kind,
            since,
            ..hold
        })
    }

    fn now(&self) -> u64 {
        (self.boot_clock)().as_secs()
    }

    fn read(&self) -> Result<Option<Record>, Problem> {
        let mut content = vec![0; SIZE + 1];
        let mut length = 0;
        while length < content.len() {
            match self.file.read_at(&mut content[length..], length as u64) {
                Ok(0) => break,
                Ok(more) => length += more,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(unusable(&self.shown, &error)),
            }
        }
        Ok(Record::parse(&content[..length]))
    }

    /// A write beyond the process's limit would end the application by a signal.
    fn write(&mut self, record: Record) -> io::Result<()> {
        if largest_file() < SIZE as u64 {
            return Err(io::Error::from_raw_os_error(libc::EFBIG));
        }
        self.file.write_all_at(&record.text(), 0)?;
        // One that was damaged may have been longer.
        self.file.set_len(SIZE as u64)?;
        self.record = Some(record);
        Ok(())
    }
}

/// Whatever way the login ends: a request that has not ended is unanswered from here on, and the lock is given up, also
/// where a child of the application has inherited it.
impl Drop for Phone {
    fn drop(&mut self) {
        if self.before_request.take().is_some() {
            let hold = self.hold_since_now(Kind::Unanswered);
            if let Some(record) = self.record.clone() {
                let _ = self.write(Record { hold, ..record });
            }
        }
        unlock(&self.file);
    }
}

fn file_name(mobile: &Mobile) -> String {
    let digits: Vec<_> = mobile
        .as_str()
        .chars()
        .filter(char::is_ascii_digit)
        .collect();
    digits[digits.len().saturating_sub(DIGITS)..]
        .iter()
        .collect()
}

fn wall_clock() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}

/// The directory and the one above, made with mode 0700 where they are missing. What has been judged is what is used.
fn folder(directory: &Path, trust: Trust) -> Result<Folder, Problem> {
    let above = directory.parent().unwrap_or(directory);
    let top = above.parent().unwrap_or(above);
    let top = opened(top, Folder::open(top))?;
    let above = made(&top, above, trust)?;
    made(&above, directory, trust)
}

fn made(parent: &Folder, path: &Path, trust: Trust) -> Result<Folder, Problem> {
    let name = path.file_name().unwrap_or_default();
    let folder = match parent.folder(name) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            parent.make(name).and_then(|()| parent.folder(name))
        }
        folder => folder,
    };
    let folder = opened(path, folder)?;
    let metadata = folder.metadata().map_err(|error| unusable(path, &error))?;
    judge(trust, path, &metadata, 0o022, "0700")?;
    Ok(folder)
}

fn judge_file(trust: Trust, path: &Path, metadata: &Metadata) -> Result<(), Problem> {
    if !metadata.is_file() {
        return Err(untrusted(path, "is not a regular file"));
    }
    if metadata.nlink() != 1 {
        return Err(untrusted(path, "has other names (hard links), or none"));
    }
    // Who may read it may lock it.
    judge(trust, path, metadata, 0o077, "0600")
}

fn judge(
    trust: Trust,
    path: &Path,
    metadata: &Metadata,
    others: u32,
    right: &str,
) -> Result<(), Problem> {
    let (mode, owner) = (metadata.mode() & 0o7777, metadata.uid());
    if owner != 0 && owner != trust.effective_uid {
        return Err(untrusted(path, format!("belongs to user id {owner}")));
    }
    if mode & others != 0 {
        let what = format!("is open to group or others (mode {mode:04o}, not {right})");
        return Err(untrusted(path, what));
    }
    Ok(())
}

fn untrusted(path: &Path, what: impl Into<String>) -> Problem {
    let directory = path.parent().unwrap_or(path).display();
    Problem::new(ProblemKind::Untrusted, what)
        .in_file(path)
        .fix(format!("inspect: ls -la {directory}"))
}

fn opened<T>(path: &Path, opened: io::Result<T>) -> Result<T, Problem> {
    opened.map_err(|error| match error.raw_os_error() {
        Some(libc::ELOOP) => untrusted(path, "is a symbolic link"),
        // As open(2) says it of a symbolic link, too, where a directory is wanted.
        Some(libc::ENOTDIR) => untrusted(path, "is not a directory"),
        Some(libc::EISDIR | libc::ENXIO) => untrusted(path, "is not a regular file"),
        _ => unusable(path, &error),
    })
}

fn unusable(path: &Path, error: &io::Error) -> Problem {
    let what = format!("cannot be used ({})", reason(error));
    let kind = match error.kind() {
        io::ErrorKind::PermissionDenied => ProblemKind::PermissionDenied,
        _ => ProblemKind::Unreadable,
    };
    let directory = path.parent().unwrap_or(path).display();
    Problem::new(kind, what)
        .in_file(path)
        .fix(format!("inspect: namei -l {directory}"))
}
