//! What `enable` changed, saved below /var/lib/ivalt until `disable`: one file a service, written before anything else.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::lock::{self, Lock, NoLock};
use crate::replace::replace;
use crate::root::Root;
use crate::{Refused, trust};
use ivalt_core::problem::ProblemKind;
use ivalt_core::trusted_file::{LARGE, ReadPermission};

/// Where states are saved: root's alone.
const FOLDER: &str = "/var/lib/ivalt";
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
        }
    }
}

/// The folder of saved states.
pub struct StateDir {
    folder: PathBuf,
}

/// The folder of saved states, which no other ivaltctl changes as long as this lives.
pub struct LockedStateDir {
    states: StateDir,
    _lock: Lock,
}

impl StateDir {
    /// Makes the folder if it is missing.
    ///
    /// # Errors
    /// It cannot be made; or as [`StateDir::open`].
    pub fn create(root: &Root) -> Result<Self, Refused> {
        let folder = root.real(Path::new(FOLDER));
        make(&folder).map_err(|error| cannot_be_used(&folder, &error))?;
        Self::open(root)
    }

    /// Without the folder there are no states. One that others may read is closed to them.
    ///
    /// # Errors
    /// It cannot be opened, or it is not root's alone to write.
    pub fn open(root: &Root) -> Result<Self, Refused> {
        let folder = root.real(Path::new(FOLDER));
        let opened = OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_DIRECTORY | libc::O_NOFOLLOW)
            .open(&folder);
        match opened {
            Ok(opened) => close_to_others(&folder, &opened)?,
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(cannot_be_used(&folder, &error)),
        }
        Ok(Self { folder })
    }

    /// Waits, not for ever, until another ivaltctl has finished.
    ///
    /// # Errors
    /// It does not finish, or the folder cannot be written.
    pub fn lock(self) -> Result<LockedStateDir, Refused> {
        let path = self.folder.join(LOCK);
        let lock = lock::acquire(&path, &self.folder).map_err(|why| match why {
            NoLock::Io(error) => cannot_be_used(&path, &error),
            NoLock::Refused(refused) => refused,
        })?;
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
        read(&self.file(service))
    }

    /// All of them.
    ///
    /// # Errors
    /// One of them cannot be read or trusted.
    pub fn all(&self) -> Result<Vec<SavedState>, Refused> {
        let mut states = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let path = entry?.path();
            if path
                .extension()
                .is_some_and(|extension| extension == "json")
            {
                states.extend(read(&path)?);
            }
        }
        states.sort_by(|one: &SavedState, other| one.service.cmp(&other.service));
        Ok(states)
    }

    fn file(&self, service: &str) -> PathBuf {
        self.folder.join(format!("{service}.json"))
    }
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
        let text = serde_json::to_vec_pretty(state)?;
        Ok(replace(
            &self.file(&state.service),
            &text,
            0o600,
            || Ok(()),
        )?)
    }

    /// Nothing is left to roll back.
    ///
    /// # Errors
    /// As `fs::remove_file`.
    pub fn forget(&self, service: &str) -> Result<(), Refused> {
        Ok(fs::remove_file(self.file(service))?)
    }

    /// Keeps the edited version of a file that is rolled back, and returns where.
    ///
    /// # Errors
    /// It could not be written.
    pub fn keep(&self, path: &Path, bytes: &[u8]) -> io::Result<PathBuf> {
        let name = path
            .to_string_lossy()
            .trim_start_matches('/')
            .replace('/', "-");
        let kept = self.folder.join(name + ".edited");
        replace(&kept, bytes, 0o600, || Ok(())).map(|()| kept)
    }
}

/// The folders above it as they come; its own mode does not depend on the umask.
fn make(folder: &Path) -> io::Result<()> {
    if let Some(above) = folder.parent() {
        DirBuilder::new()
            .recursive(true)
            .mode(0o755)
            .create(above)?;
    }
    match DirBuilder::new().mode(0o700).create(folder) {
        Ok(()) => fs::set_permissions(folder, Permissions::from_mode(0o700)),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

/// What is in a folder into which others could write may be theirs: nothing in it is used. One that they could only
/// read is of an older version.
fn close_to_others(folder: &Path, opened: &File) -> Result<(), Refused> {
    let metadata = opened.metadata()?;
    let (mode, owner) = (metadata.mode() & 0o7777, metadata.uid());
    let shown = folder.display();
    if ![0, trust().effective_uid].contains(&owner) || mode & 0o022 != 0 {
        return Err(Refused(format!(
            "{shown}: belongs to user id {owner} and has the mode {mode:04o}, so what is in it may not be ivaltctl's; nothing was changed; inspect it (ls -la {shown}), then move it away: mv {shown} {shown}.old"
        )));
    }
    if mode & 0o077 != 0 {
        opened.set_permissions(Permissions::from_mode(0o700))?;
    }
    Ok(())
}

fn cannot_be_used(path: &Path, error: &io::Error) -> Refused {
    Refused(format!(
        "{}: {error}; run it as root: sudo ivaltctl …",
        path.display()
    ))
}

/// Only what `enable` itself wrote is put back: root's, and closed to others.
fn read(path: &Path) -> Result<Option<SavedState>, Refused> {
    let refuse = |what: String| {
        let path = path.display();
        Refused(format!(
            "{path}: {what}; it is what `enable` writes: inspect it, then move it away"
        ))
    };
    let text = match trust().read(path, ReadPermission::OwnerOnly, LARGE) {
        Err(problem) if problem.kind == ProblemKind::Missing => return Ok(None),
        Err(problem) => return Err(refuse(problem.what)),
        Ok(text) => text,
    };
    let state = serde_json::from_slice(&text);
    state.map(Some).map_err(|error| refuse(error.to_string()))
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
