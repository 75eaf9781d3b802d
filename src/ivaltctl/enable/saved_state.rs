//! What `enable` changed, saved below /var/lib/ivalt until `disable`: one file a service, written before anything else.

use std::ffi::OsStr;
use std::fs::{self, Permissions};
use std::io::{self, ErrorKind, Read as _};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rustix::fs::OFlags;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::folder::Folder;
use crate::lock::{self, Lock, NoLock};
use crate::root::Root;
use crate::{Refused, system_error, trust};
use ivalt_core::problem::ProblemKind;
use ivalt_core::trusted_file::{LARGE, ReadPermission};

/// Where states are saved: root's alone.
pub const FOLDER: &str = "/var/lib/ivalt";
/// Not the name that older versions gave it: theirs could be opened, and so held, by every user.
const LOCK: &str = "exclusive.lock";

/// One service that was enabled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedState {
    /// The name of its file in pam.d.
    pub service: String,
    /// How far it has come.
    #[serde(rename = "state")]
    pub phase: Phase,
    /// When it is rolled back unless confirmed; it also tells one `enable` from the next.
    pub until: SystemTime,
    /// File by file, in the order in which they are written.
    pub changes: Vec<Change>,
    /// The folder that `enable` makes for one of them, if it was missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub folder: Option<PathBuf>,
    /// The boot in which it was enabled, for sentences alone: a restart that keeps the kernel keeps its id, too. States
    /// of older versions have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boot: Option<String>,
}

/// How far an `enable` has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// Waits for `ivaltctl confirm`.
    Pending,
    /// Stays until `disable`.
    Confirmed,
    /// Not confirmed in time; everything is as it was.
    #[serde(rename = "put-back")]
    RolledBack,
}

/// One file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// As the system calls it.
    pub path: PathBuf,
    /// What was there, if anything was.
    pub before: Option<Content>,
    /// What `enable` puts there, with the same rights.
    pub after: Content,
}

/// A file's bytes. In JSON a byte is the character of its number, so that text stays readable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content(pub Vec<u8>);

impl Serialize for Content {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(
            &self
                .0
                .iter()
                .map(|byte| char::from(*byte))
                .collect::<String>(),
        )
    }
}

impl<'de> Deserialize<'de> for Content {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let bytes = text.chars().map(u8::try_from).collect::<Result<_, _>>();
        bytes.map(Self).map_err(serde::de::Error::custom)
    }
}

impl SavedState {
    /// The state of an `enable` that has not begun.
    pub fn new(service: &str, within: Duration, changes: Vec<Change>) -> Self {
        Self {
            service: service.to_owned(),
            phase: Phase::Pending,
            until: SystemTime::now() + within,
            changes,
            folder: None,
            boot: None,
        }
    }
}

/// The id that the kernel drew when it started, see random(4).
pub fn boot_id() -> Option<String> {
    let id = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(id.trim_end().to_owned())
}

/// The folder of saved states.
pub struct StateDir {
    /// As this machine calls it, for sentences alone.
    path: PathBuf,
    folder: Option<Folder>,
}

/// The folder of saved states, which no other ivaltctl changes as long as this lives.
pub struct LockedStateDir {
    states: StateDir,
    _lock: Lock,
}

impl StateDir {
    /// Makes the folder if it is missing; one that others may read is closed to them.
    ///
    /// # Errors
    /// It cannot be made; or as [`StateDir::open`].
    pub fn create(root: &Root) -> Result<Self, Refused> {
        let folder = Path::new(FOLDER);
        let cannot = |error: &io::Error| cannot_be_used(&root.shown(folder), error);
        make(root, folder).map_err(|error| cannot(&error))?;
        let states = Self::open(root)?;
        let closed = Permissions::from_mode(0o700);
        let done = states.folder()?.handle().set_permissions(closed);
        done.map_err(|error| cannot(&error))?;
        Ok(states)
    }

    /// Changes nothing. Without the folder there are no states.
    ///
    /// # Errors
    /// It cannot be opened, or it is not root's alone to write.
    pub fn open(root: &Root) -> Result<Self, Refused> {
        let path = root.shown(Path::new(FOLDER));
        let folder = match root.open_folder(Path::new(FOLDER), OFlags::NOFOLLOW) {
            Ok(folder) => Some(folder),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => return Err(cannot_be_used(&path, &error)),
        };
        if let Some(folder) = &folder {
            refuse_if_others_write(&path, folder)?;
        }
        let path = path.into();
        Ok(Self { path, folder })
    }

    /// Whether [`StateDir::lock`] could be had; nothing is made, and nobody is waited for.
    ///
    /// # Errors
    /// Others may hold the lock, or the folder cannot be written.
    pub fn require_writable(&self, root: &Root) -> Result<(), Refused> {
        let path = self.path.join(LOCK);
        if let Some(folder) = &self.folder {
            let judged = lock::refuse_shared(folder, OsStr::new(LOCK), &path);
            judged.map_err(|why| no_lock(&path, why))?;
        }
        let done = root.require_writable(&Path::new(FOLDER).join(LOCK));
        done.map_err(|error| cannot_be_used(&self.path.to_string_lossy(), &error))
    }

    /// Waits, not for ever, until another ivaltctl has finished.
    ///
    /// # Errors
    /// It does not finish, or the folder cannot be written.
    pub fn lock(self) -> Result<LockedStateDir, Refused> {
        let path = self.path.join(LOCK);
        let lock = lock::acquire(self.folder()?, OsStr::new(LOCK), &path, &self.path);
        let lock = lock.map_err(|why| no_lock(&path, why))?;
        Ok(LockedStateDir {
            states: self,
            _lock: lock,
        })
    }

    /// The saved state of a service, if it was ever enabled. Without the lock it may be replaced at any moment, as a
    /// whole.
    ///
    /// # Errors
    /// It exists and cannot be read or trusted.
    pub fn load(&self, service: &str) -> Result<Option<SavedState>, Refused> {
        let Some(folder) = &self.folder else {
            return Ok(None);
        };
        let state = self.read(folder, OsStr::new(&file(service)))?;
        match state {
            // A copy must not be put back once more.
            Some(state) if state.service != service => Err(Refused(format!(
                "{}: is the saved state of {}, by another name; inspect it, then move it away",
                self.path(service).display(),
                state.service
            ))),
            state => Ok(state),
        }
    }

    /// All of them.
    ///
    /// # Errors
    /// One of them cannot be read or trusted.
    pub fn all(&self) -> Result<Vec<SavedState>, Refused> {
        let services = self.services()?;
        let states = services.iter().map(|service| self.load(service));
        Ok(states
            .collect::<Result<Vec<_>, _>>()?
            .into_iter()
            .flatten()
            .collect())
    }

    /// The services that have one, sorted.
    ///
    /// # Errors
    /// As readdir(3).
    pub fn services(&self) -> Result<Vec<String>, Refused> {
        let names = self.folder.as_ref().map_or(Ok(Vec::new()), Folder::names);
        let names = names.map_err(|error| cannot_be_used(FOLDER, &error))?;
        let names = names.iter().filter_map(|name| name.to_str());
        let services = names.filter_map(|name| name.strip_suffix(".json"));
        let mut services: Vec<_> = services.map(str::to_owned).collect();
        services.sort();
        Ok(services)
    }

    /// Where the state of a service is, for sentences alone.
    pub fn path(&self, service: &str) -> PathBuf {
        self.path.join(file(service))
    }

    /// Held by the one process that waits for the confirmation of a service, as long as it lives.
    ///
    /// # Errors
    /// Another process waits; or the folder cannot be written.
    pub fn wait_for(&self, service: &str) -> Result<Lock, Refused> {
        let name = waiters_lock(service);
        let path = self.path.join(&name);
        let lock = lock::acquire(self.folder()?, OsStr::new(&name), &path, &path);
        lock.map_err(|why| no_lock(&path, why))
    }

    /// Whether a process waits for the confirmation of a service.
    ///
    /// # Errors
    /// Others may hold its lock, or it cannot be read.
    pub fn is_waited_for(&self, service: &str) -> Result<bool, Refused> {
        let name = waiters_lock(service);
        let path = self.path.join(&name);
        let held = lock::is_held(self.folder()?, OsStr::new(&name), &path);
        held.map_err(|why| no_lock(&path, why))
    }

    /// Only what `enable` itself wrote is put back: root's, and closed to others.
    fn read(&self, folder: &Folder, name: &OsStr) -> Result<Option<SavedState>, Refused> {
        let path = self.path.join(name);
        let refuse = |what: String| {
            let path = path.display();
            Refused(format!(
                "{path}: {what}; it is what `enable` writes: inspect it, then move it away"
            ))
        };
        let opened = folder.open_file(name, OFlags::RDONLY, 0);
        let text = match trust().read_opened(&path, opened, ReadPermission::OwnerOnly, LARGE) {
            Err(problem) if problem.kind == ProblemKind::Missing => return Ok(None),
            Err(problem) => return Err(refuse(problem.what)),
            Ok(text) => text,
        };
        let state = serde_json::from_slice(&text);
        state.map(Some).map_err(|error| refuse(error.to_string()))
    }

    fn folder(&self) -> Result<&Folder, Refused> {
        let missing = || Refused(format!("{}: does not exist", self.path.display()));
        self.folder.as_ref().ok_or_else(missing)
    }
}

fn no_lock(path: &Path, why: NoLock) -> Refused {
    match why {
        NoLock::Io(error) => cannot_be_used(&path.to_string_lossy(), &error),
        NoLock::Refused(refused) => refused,
    }
}

fn file(service: &str) -> String {
    format!("{service}.json")
}

fn waiters_lock(service: &str) -> String {
    format!("rollback-{service}.lock")
}

impl std::ops::Deref for LockedStateDir {
    type Target = StateDir;

    fn deref(&self) -> &StateDir {
        &self.states
    }
}

impl LockedStateDir {
    /// Writes a state, atomically: whatever happens afterwards can be rolled back.
    ///
    /// # Errors
    /// Nothing has changed then.
    pub fn save(&self, state: &SavedState) -> Result<(), Refused> {
        let text = serde_json::to_vec_pretty(state).map_err(|error| Refused(error.to_string()))?;
        self.replace(&file(&state.service), &text)
    }

    /// Nothing is left to roll back.
    ///
    /// # Errors
    /// As unlink(2).
    pub fn forget(&self, service: &str) -> Result<(), Refused> {
        let name = file(service);
        let done = self.folder()?.remove(OsStr::new(&name));
        done.map_err(|error| self.named(&name, &error))
    }

    /// Keeps the edited version of a file that is put back, see [`LockedStateDir::keep`], and adds to a sentence where.
    ///
    /// # Errors
    /// It could not be written.
    pub fn keep_edited(
        &self,
        root: &Root,
        change: &Change,
        bytes: &[u8],
        sentence: &mut String,
    ) -> Result<(), Refused> {
        let kept = self.keep(&change.path, bytes)?;
        *sentence += &format!(
            "; {} was edited, that version is kept: {}",
            root.shown(&change.path),
            kept.display()
        );
        Ok(())
    }

    /// Keeps the edited version of a file that is put back, beside others that were kept before; returns where it is.
    ///
    /// # Errors
    /// It could not be written.
    pub fn keep(&self, path: &Path, bytes: &[u8]) -> Result<PathBuf, Refused> {
        let name = path
            .to_string_lossy()
            .trim_start_matches('/')
            .replace('/', "-");
        let first = name + ".edited";
        let others = (2..1000).map(|number| format!("{first}.{number}"));
        let mut names = std::iter::once(first.clone()).chain(others);
        let name = names.find(|name| self.has_room_for(name, bytes));
        let name = name.unwrap_or(first);
        self.replace(&name, bytes)?;
        Ok(self.path.join(name))
    }

    /// Whether nothing else is kept by this name.
    fn has_room_for(&self, name: &str, bytes: &[u8]) -> bool {
        let read = || -> io::Result<Vec<u8>> {
            let folder = self.folder.as_ref().ok_or(ErrorKind::NotFound)?;
            let mut kept = Vec::new();
            let mut file = folder.open_file(OsStr::new(name), OFlags::RDONLY, 0)?;
            file.read_to_end(&mut kept)?;
            Ok(kept)
        };
        match read() {
            Ok(kept) => kept == bytes,
            Err(error) => error.kind() == ErrorKind::NotFound,
        }
    }

    fn replace(&self, name: &str, bytes: &[u8]) -> Result<(), Refused> {
        let done = self
            .folder()?
            .replace(OsStr::new(name), bytes, 0o600, || Ok(()));
        done.map_err(|error| self.named(name, &error))
    }

    fn named(&self, name: &str, error: &io::Error) -> Refused {
        cannot_be_used(&self.path.join(name).to_string_lossy(), error)
    }
}

/// The folders above it, too.
fn make(root: &Root, folder: &Path) -> io::Result<()> {
    let above: Vec<_> = folder.ancestors().skip(1).collect();
    for above in above.into_iter().rev().skip(1) {
        root.make_folder(above, 0o755)?;
    }
    root.make_folder(folder, 0o700)
}

/// What is in a folder into which others could write may be theirs: nothing in it is used. One that they could only
/// read is of an older version.
fn refuse_if_others_write(path: &str, folder: &Folder) -> Result<(), Refused> {
    let refuse = |error: io::Error| cannot_be_used(path, &error);
    let metadata = folder.handle().metadata().map_err(refuse)?;
    let (mode, owner) = (metadata.mode() & 0o7777, metadata.uid());
    if ![0, trust().effective_uid].contains(&owner) || mode & 0o022 != 0 {
        return Err(Refused(format!(
            "{path}: belongs to user id {owner} and has the mode {mode:04o}, so what is in it may not be ivaltctl's; nothing was changed; inspect it (ls -la {path}), then move it away: mv {path} {path}.old"
        )));
    }
    Ok(())
}

fn cannot_be_used(path: &str, error: &io::Error) -> Refused {
    system_error::problem(Path::new(path), "cannot be used", error).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_comes_back() {
        let content = Content((0..=255).collect());
        let text = serde_json::to_string(&content).unwrap();
        assert_eq!(serde_json::from_str::<Content>(&text).unwrap(), content);
        assert!(serde_json::from_str::<Content>("\"\u{100}\"").is_err());
    }
}
