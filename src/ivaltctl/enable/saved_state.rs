//! What `enable` changed, saved below /var/lib/ivalt until `disable`: one file a service, written before anything else.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use nix::fcntl::{Flock, FlockArg};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::Refused;
use crate::replace::replace;
use crate::root::Root;

/// Where states are saved.
const FOLDER: &str = "/var/lib/ivalt";

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
        }
    }
}

/// The folder of saved states, locked against a second ivaltctl as long as this lives.
pub struct StateDir {
    folder: PathBuf,
    _lock: Flock<fs::File>,
}

impl StateDir {
    /// Waits until another ivaltctl has finished.
    ///
    /// # Errors
    /// The folder cannot be made or written.
    pub fn open(root: &Root) -> Result<Self, Refused> {
        let folder = root.real(Path::new(FOLDER));
        let refuse = |error: io::Error| {
            Refused(format!(
                "{}: {error}; run it as root: sudo ivaltctl …",
                folder.display()
            ))
        };
        fs::create_dir_all(&folder).map_err(refuse)?;
        let lock = fs::File::create(folder.join("lock")).map_err(refuse)?;
        let lock = Flock::lock(lock, FlockArg::LockExclusive)
            .map_err(|(_, error)| refuse(error.into()))?;
        Ok(Self {
            folder,
            _lock: lock,
        })
    }

    /// The saved state of a service, if it was ever enabled.
    ///
    /// # Errors
    /// It exists and cannot be read.
    pub fn load(&self, service: &str) -> Result<Option<SavedState>, Refused> {
        read(&self.file(service))
    }

    /// All of them.
    ///
    /// # Errors
    /// One of them cannot be read.
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
        fs::write(&kept, bytes).map(|()| kept)
    }

    fn file(&self, service: &str) -> PathBuf {
        self.folder.join(format!("{service}.json"))
    }
}

fn read(path: &Path) -> Result<Option<SavedState>, Refused> {
    let text = match fs::read(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        text => text?,
    };
    let state = serde_json::from_slice(&text);
    state.map(Some).map_err(|error| {
        let path = path.display();
        Refused(format!(
            "{path}: {error}; it is what `enable` writes: inspect it, then move it away"
        ))
    })
}

/// The saved state of a service without waiting for the lock: the file is replaced as a whole.
pub fn read_unlocked(root: &Root, service: &str) -> Result<Option<SavedState>, Refused> {
    read(&root.real(Path::new(FOLDER)).join(format!("{service}.json")))
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
