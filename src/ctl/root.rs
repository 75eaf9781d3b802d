//! The system that is looked at: this one, or one below a folder; and how it would be after a change.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// A system by its root folder. Paths that go in and out are those the system itself would use.
#[derive(Clone, Debug)]
pub struct Root {
    folder: PathBuf,
    changed: BTreeMap<PathBuf, String>,
}

impl Root {
    /// The system below `folder`.
    pub fn new(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
            changed: BTreeMap::new(),
        }
    }

    /// Whether it is the running system, whose programs and network may be asked.
    pub fn is_this_machine(&self) -> bool {
        self.folder == Path::new("/")
    }

    /// The same system with other text in one file; nothing is written.
    pub fn with(mut self, path: &Path, text: String) -> Self {
        self.changed.insert(path.to_owned(), text);
        self
    }

    /// Where a path of the system really is.
    pub fn real(&self, path: &Path) -> PathBuf {
        self.folder.join(path.strip_prefix("/").unwrap_or(path))
    }

    /// The text of a file; bytes that are not UTF-8 replaced.
    ///
    /// # Errors
    /// As `fs::read`.
    pub fn read(&self, path: &Path) -> io::Result<String> {
        match self.changed.get(path) {
            Some(text) => Ok(text.clone()),
            None => {
                fs::read(self.real(path)).map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            }
        }
    }
}
