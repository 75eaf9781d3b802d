//! Which files something was derived from, and what they held when they were read.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
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

/// Notes every file that is read, for the innermost caller who wants to know.
#[derive(Clone, Debug, Default)]
pub struct Recorder {
    open: RefCell<Vec<Sources>>,
    people: Cell<bool>,
}

impl Recorder {
    /// What `act` returns, and what was read meanwhile. What an inner call notes is not noted again.
    pub fn during<T>(&self, act: impl FnOnce() -> T) -> (T, Sources) {
        self.open.borrow_mut().push(Sources::default());
        let result = act();
        (result, self.open.borrow_mut().pop().unwrap_or_default())
    }

    /// What `act` returns; what is read meanwhile are files that list people.
    pub fn listing_people<T>(&self, act: impl FnOnce() -> T) -> T {
        let outside = self.people.replace(true);
        let result = act();
        self.people.set(outside);
        result
    }

    /// A file was read; nothing where that failed although it is there.
    pub fn note(&self, path: &Path, bytes: Option<&[u8]>) {
        let mut open = self.open.borrow_mut();
        let Some(sources) = open.last_mut() else {
            return;
        };
        let files = match self.people.get() {
            true => &mut sources.people,
            false => &mut sources.files,
        };
        // accepted.toml could not name a path that is not UTF-8.
        let digest = path.to_str().and(bytes).map(digest);
        files.insert(path.to_owned(), digest);
    }
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
        let read = |path| recorder.note(Path::new(path), Some(b"abc"));
        read("/before");
        let (inner, outer) = recorder.during(|| {
            read("/outer");
            let ((), inner) = recorder.during(|| read("/inner"));
            recorder.listing_people(|| read("/people"));
            recorder.note(Path::new("/denied"), None);
            inner
        });
        assert_eq!(paths(&inner.files), ["/inner"]);
        assert_eq!(paths(&outer.files), ["/denied", "/outer"]);
        assert_eq!(paths(&outer.people), ["/people"]);
        // FIPS 180-2, B.1.
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(outer.files[Path::new("/outer")].as_deref(), Some(abc));
        assert_eq!(outer.files[Path::new("/denied")], None);
    }
}
