//! What this host knows of one phone: a lock, so that one login at a time waits for it, and the requests that were not
//! approved. One file for each mobile, in [`DIRECTORY`], holds both.
//!
//! The record is written before a request leaves. Whatever ends the login then, SIGKILL included, the next one finds it.

use std::fmt;
use std::fs::{File, Metadata, Permissions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
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
            Self::Limit(count, last) => {
                match count {
                    1 => write!(f, "1 request in an hour was not answered")?,
                    _ => write!(f, "{count} requests in an hour were not answered")?,
                }
                if let Some(last) = last {
                    write!(f, ", the last one {last}")?;
                }
                write!(f, "; {RELEASE}")
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
        give_whole_mode(&file, &metadata).map_err(|error| unusable(&shown, &error))?;
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

    /// Whether the lock is still the one that other logins find: root may have removed its file.
    #[must_use]
    pub fn is_in_place(&self) -> bool {
        let metadata = self.file.metadata();
        metadata.is_ok_and(|metadata| metadata.nlink() == 1)
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

/// Made with less under a umask, which under su is the caller's.
fn give_whole_mode(file: &File, metadata: &Metadata) -> io::Result<()> {
    if metadata.mode() & 0o600 == 0o600 {
        return Ok(());
    }
    file.set_permissions(Permissions::from_mode(0o600))
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;
    use std::fs;
    use std::os::unix::fs::{DirBuilderExt, symlink};

    use crate::settings::MobileFormat;

    thread_local!(static CLOCK: Cell<Duration> = const { Cell::new(Duration::from_secs(5_000)) });

    fn set_clock(seconds: u64) {
        CLOCK.set(Duration::from_secs(seconds));
    }

    struct Host(tempfile::TempDir);

    impl Host {
        fn new() -> Self {
            Self(tempfile::tempdir().unwrap())
        }

        fn directory(&self) -> PathBuf {
            self.0.path().join("ivalt/push")
        }

        fn lock(&self, mobile: &str) -> Result<Phone, NotLocked> {
            let mobile = Mobile::parse(mobile, MobileFormat::E164).unwrap();
            let effective_uid = fs::metadata("/proc/self").unwrap().uid();
            let trust = Trust { effective_uid };
            Phone::lock(&self.directory(), &mobile, trust, || CLOCK.get())
        }

        fn phone(&self) -> Phone {
            self.lock("+916283974746").unwrap()
        }

        fn held(&self) -> Option<String> {
            self.phone().held(3).map(|held| held.to_string())
        }

        /// What is wrong, below `ivalt`.
        fn fault(&self) -> String {
            let NotLocked::Fault(problem) = self.lock("+916283974746").unwrap_err() else {
                panic!("busy");
            };
            let path = problem.path.unwrap();
            let path = path.strip_prefix(self.0.path()).unwrap();
            format!("{}: {}", path.display(), problem.what)
        }

        fn file(&self) -> PathBuf {
            self.directory().join("283974746")
        }
    }

    fn mode(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn one_login_at_a_time_has_a_phone() {
        let host = Host::new();
        let first = host.phone();
        assert!(matches!(host.lock("+916283974746"), Err(NotLocked::Busy)));
        // Without its country code, or with another: its last nine digits are the same.
        assert!(matches!(host.lock("+283974746"), Err(NotLocked::Busy)));
        assert!(host.lock("+916283974747").is_ok());
        drop(first);
        assert!(host.lock("+283974746").is_ok());
        for path in ["ivalt", "ivalt/push"] {
            let metadata = host.0.path().join(path).metadata().unwrap();
            assert_eq!(metadata.mode() & 0o7777, 0o700, "{path}");
        }
        assert_eq!(host.file().metadata().unwrap().mode() & 0o7777, 0o600);
    }

    /// The application may have forked while its user was asked.
    #[test]
    fn a_lock_ends_although_a_child_has_its_descriptor() {
        let host = Host::new();
        let phone = host.phone();
        let inherited = phone.file.try_clone().unwrap();
        drop(phone);
        assert!(host.lock("+916283974746").is_ok());
        drop(inherited);
    }

    #[test]
    fn a_request_that_was_not_answered_holds_the_next_ones_back() {
        const SENTENCE: &str = "the request of the login at ";
        let host = Host::new();
        set_clock(5_000);
        let mut phone = host.phone();
        assert_eq!(phone.held(3), None);
        phone.request_leaves(b"203.0.113.7").unwrap();
        // As after SIGKILL.
        let killed = fs::read(host.file()).unwrap();
        set_clock(5_060);
        drop(phone);
        let ended = fs::read(host.file()).unwrap();
        for (content, since) in [(killed, 5_000), (ended, 5_060)] {
            fs::write(host.file(), content).unwrap();
            set_clock(since + 100);
            let held = host.held().unwrap();
            let rest = " with rhost=203.0.113.7 was not answered; held for another 201 s; to end that, run: ivaltctl push release NAME";
            assert!(held.starts_with(SENTENCE) && held.ends_with(rest), "{held}");
            set_clock(since + 300);
            assert!(host.held().is_some());
            set_clock(since + 301);
            assert_eq!(host.held(), None);
        }
    }

    #[test]
    fn a_denial_holds_longer_and_an_approval_not_at_all() {
        let host = Host::new();
        set_clock(5_000);
        for (ending, held_at) in [
            (Ending::Denied, [true, true]),
            (Ending::Settled, [false; 2]),
        ] {
            let mut phone = host.phone();
            phone.release().unwrap();
            phone.request_leaves(b"\n").unwrap();
            phone.end(ending);
            drop(phone);
            let held = [5_000, 5_900].map(|now| {
                set_clock(now);
                host.held()
            });
            assert_eq!(held.clone().map(|held| held.is_some()), held_at);
            if let Some(held) = &held[1] {
                let words = "was denied on the phone: unless its user began it, somebody else has passed the other \
                    factor; held for another 1 s";
                assert!(
                    held.contains(r#" with rhost="\x0a" was denied"#) && held.ends_with(words),
                    "{held}"
                );
            }
            set_clock(5_901);
            assert_eq!(host.held(), None);
            set_clock(5_000);
        }
    }

    #[test]
    fn so_many_in_an_hour_may_be_unanswered() {
        let host = Host::new();
        for start in [10_000, 10_400, 10_800] {
            set_clock(start);
            assert_eq!(host.held(), None);
            host.phone().request_leaves(b"198.51.100.1").unwrap();
        }
        // One that was approved is not among them.
        set_clock(11_200);
        let held = host.held().unwrap();
        let begin = "3 requests in an hour were not answered, the last one of the login at ";
        let end = " with rhost=198.51.100.1; to end that, run: ivaltctl push release NAME";
        assert!(held.starts_with(begin) && held.ends_with(end), "{held}");
        assert_eq!(host.phone().held(4), None);
        set_clock(13_600);
        assert!(host.held().is_some());
        set_clock(13_601);
        assert_eq!(host.held(), None);
        let mut phone = host.phone();
        phone.request_leaves(b"").unwrap();
        phone.end(Ending::Settled);
        assert_eq!(phone.held(3), None);
        assert_eq!(phone.record.as_ref().unwrap().requests, [10_400, 10_800]);
    }

    /// A file system that outlives a reboot, or a container whose host was started anew.
    #[test]
    fn a_clock_that_is_behind_does_not_end_a_hold_nor_keep_it() {
        let host = Host::new();
        set_clock(1_000_000);
        host.phone().request_leaves(b"").unwrap();
        set_clock(50);
        assert!(host.held().unwrap().contains("another 301 s"));
        set_clock(150);
        assert!(host.held().unwrap().contains("another 201 s"));
        set_clock(351);
        assert_eq!(host.held(), None);
    }

    #[test]
    fn a_damaged_record_holds_until_it_is_released() {
        let host = Host::new();
        drop(host.phone());
        for content in [&b"x"[..], &[0; SIZE], &[b'x'; 3 * SIZE]] {
            fs::write(host.file(), content).unwrap();
            let held = host.held().unwrap();
            let words = "/ivalt/push/***4746: is damaged; run: ivaltctl push release NAME";
            assert!(held.ends_with(words), "{held}");
            host.phone().release().unwrap();
            assert_eq!(host.held(), None);
        }
    }

    #[test]
    fn what_is_not_roots_alone_is_refused_and_left_as_it_is() {
        let plant = |what: &dyn Fn(&Host)| {
            let host = Host::new();
            drop(host.phone());
            what(&host);
            host.fault()
        };
        let away = |path: &Path| fs::rename(path, path.with_extension("away")).unwrap();
        let link = |path: PathBuf| {
            away(&path);
            symlink(path.with_extension("away"), &path).unwrap();
        };
        let file = |path: PathBuf| {
            away(&path);
            fs::write(path, "").unwrap();
        };
        let found = [
            plant(&|host| link(host.0.path().join("ivalt"))),
            plant(&|host| link(host.directory())),
            plant(&|host| link(host.file())),
            plant(&|host| file(host.0.path().join("ivalt"))),
            plant(&|host| mode(&host.0.path().join("ivalt"), 0o777)),
            plant(&|host| mode(&host.directory(), 0o720)),
            plant(&|host| mode(&host.file(), 0o640)),
            plant(&|host| fs::hard_link(host.file(), host.directory().join("x")).unwrap()),
            plant(&|host| {
                away(&host.file());
                fs::DirBuilder::new()
                    .mode(0o700)
                    .create(host.file())
                    .unwrap();
            }),
        ];
        let expected = [
            "ivalt: is not a directory",
            "ivalt/push: is not a directory",
            "ivalt/push/***4746: is a symbolic link",
            "ivalt: is not a directory",
            "ivalt: is open to group or others (mode 0777, not 0700)",
            "ivalt/push: is open to group or others (mode 0720, not 0700)",
            "ivalt/push/***4746: is open to group or others (mode 0640, not 0600)",
            "ivalt/push/***4746: has other names (hard links), or none",
            "ivalt/push/***4746: is not a regular file",
        ];
        assert_eq!(found, expected);
    }

    /// For sentences alone: what other users' phones are is nobody's business.
    #[test]
    fn no_sentence_has_the_mobile() {
        let host = Host::new();
        drop(host.phone());
        fs::write(host.file(), "x").unwrap();
        assert!(!host.held().unwrap().contains("283974746"));
        mode(&host.file(), 0o666);
        assert!(!host.fault().contains("283974746"));
    }
}
