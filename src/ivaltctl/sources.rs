//! Which files something was derived from, and what they held when they were read.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

/// Files by their paths in the examined system. A file that is not there is left out: once it is there, it is one more.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sources {
    /// SHA-256 in hexadecimal, nothing where the file cannot be read.
    pub files: BTreeMap<PathBuf, Option<String>>,
    /// The same for files that list people, such as passwd(5).
    pub people: BTreeMap<PathBuf, Option<String>>,
}

impl Sources {
    /// Adds what `other` has.
    pub fn extend(&mut self, other: &Self) {
        self.files.extend(other.files.clone());
        self.people.extend(other.people.clone());
    }
}

/// What a file is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Settings.
    Settings,
    /// People.
    People,
}

/// Notes every file that is read, for the innermost caller who wants to know.
#[derive(Clone, Debug, Default)]
pub struct Recorder(RefCell<Vec<Sources>>);

impl Recorder {
    /// What `act` returns, and what was read meanwhile. What an inner call notes is not noted again.
    pub fn during<T>(&self, act: impl FnOnce() -> T) -> (T, Sources) {
        self.0.borrow_mut().push(Sources::default());
        let result = act();
        (result, self.0.borrow_mut().pop().unwrap_or_default())
    }

    /// A file was read, or could not be.
    pub fn note(&self, path: &Path, kind: Kind, bytes: &io::Result<Vec<u8>>) {
        let mut open = self.0.borrow_mut();
        let Some(sources) = open.last_mut() else {
            return;
        };
        let digest = match bytes {
            Ok(bytes) => path.to_str().map(|_| digest(bytes)),
            Err(error) if is_no_file(error.kind()) => return,
            Err(_) => None,
        };
        let files = match kind {
            Kind::Settings => &mut sources.files,
            Kind::People => &mut sources.people,
        };
        files.insert(path.to_owned(), digest);
    }
}

fn is_no_file(kind: ErrorKind) -> bool {
    let none = [
        ErrorKind::NotFound,
        ErrorKind::NotADirectory,
        ErrorKind::IsADirectory,
    ];
    none.contains(&kind)
}

fn digest(bytes: &[u8]) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, bytes);
    digest
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(files: &BTreeMap<PathBuf, Option<String>>) -> Vec<&str> {
        files.keys().filter_map(|path| path.to_str()).collect()
    }

    #[test]
    fn the_innermost_call_notes_what_is_read() {
        let recorder = Recorder::default();
        let read = |path, kind| recorder.note(Path::new(path), kind, &Ok(b"abc".to_vec()));
        read("/before", Kind::Settings);
        let (inner, outer) = recorder.during(|| {
            read("/outer", Kind::Settings);
            let ((), inner) = recorder.during(|| read("/inner", Kind::Settings));
            read("/people", Kind::People);
            inner
        });
        assert_eq!(paths(&inner.files), ["/inner"]);
        assert_eq!(paths(&outer.files), ["/outer"]);
        assert_eq!(paths(&outer.people), ["/people"]);
        // FIPS 180-2, B.1.
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(outer.files[Path::new("/outer")].as_deref(), Some(abc));
    }

    #[test]
    fn what_is_not_there_is_left_out_and_what_is_unreadable_is_not() {
        let recorder = Recorder::default();
        let ((), sources) = recorder.during(|| {
            for kind in [ErrorKind::NotFound, ErrorKind::IsADirectory] {
                recorder.note(Path::new("/none"), Kind::Settings, &Err(kind.into()));
            }
            let denied = Err(ErrorKind::PermissionDenied.into());
            recorder.note(Path::new("/denied"), Kind::Settings, &denied);
        });
        assert_eq!(sources.files, BTreeMap::from([("/denied".into(), None)]));
    }
}
