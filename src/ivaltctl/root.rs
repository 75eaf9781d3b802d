//! The system that is examined: this one, or one below a folder; and how it would be after a change.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

use crate::sources::{Kind, Recorder, Sources};

/// As many symbolic links as Linux follows in one path, see path_resolution(7).
const MAX_LINKS: usize = 40;

/// A system by its root folder. Paths that go in and out are those the system itself would use.
#[derive(Clone, Debug)]
pub struct Root {
    folder: PathBuf,
    changed: BTreeMap<PathBuf, String>,
    recorder: Recorder,
}

impl Root {
    /// The system below `folder`.
    pub fn new(folder: &Path) -> Self {
        Self {
            // A relative folder would be found in any sentence that names files below it.
            folder: std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned()),
            changed: BTreeMap::new(),
            recorder: Recorder::default(),
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

    /// Whether a file below `folder` would have other text than it has on disk: then no program can be asked about it.
    pub fn differs_below(&self, folder: &Path) -> bool {
        self.changed.keys().any(|path| path.starts_with(folder))
    }

    /// Where a path of the system really is. Its last part is not followed: whether it is a symbolic link may matter.
    pub fn real(&self, path: &Path) -> PathBuf {
        match (path.parent(), path.file_name()) {
            (Some(parent), Some(name)) => self.followed(parent).join(name),
            _ => self.followed(path),
        }
    }

    /// Where a path of the system really ends. Symbolic links are followed as the system itself would follow them:
    /// an absolute one begins at its own root again.
    pub fn followed(&self, path: &Path) -> PathBuf {
        if self.is_this_machine() {
            return path.to_owned();
        }
        let mut remaining = parts(path);
        let mut reached = PathBuf::new();
        let mut links = 0;
        while let Some(part) = remaining.pop() {
            if part == ".." {
                reached.pop();
                continue;
            }
            reached.push(part);
            match fs::read_link(self.folder.join(&reached)) {
                Ok(target) if links < MAX_LINKS => {
                    links += 1;
                    reached.pop();
                    if target.is_absolute() {
                        reached.clear();
                    }
                    remaining.extend(parts(&target));
                }
                _ => {}
            }
        }
        self.folder.join(reached)
    }

    /// The text of a file; bytes that are not UTF-8 replaced.
    ///
    /// # Errors
    /// As `fs::read`.
    pub fn read(&self, path: &Path) -> io::Result<String> {
        let bytes = self.read_bytes(path)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// The text of a file that lists people, where those in it matter whom a finding concerns, and no others.
    ///
    /// # Errors
    /// As [`Root::read`].
    pub fn read_people(&self, path: &Path) -> io::Result<String> {
        let bytes = self.bytes(path);
        self.recorder.note(path, Kind::People, &bytes);
        Ok(String::from_utf8_lossy(&bytes?).into_owned())
    }

    /// What `act` returns, and the files it was derived from: all that was read meanwhile.
    pub fn recorded<T>(&self, act: impl FnOnce() -> T) -> (T, Sources) {
        self.recorder.during(act)
    }

    /// The bytes of a file.
    ///
    /// # Errors
    /// As `fs::read`.
    pub fn read_bytes(&self, path: &Path) -> io::Result<Vec<u8>> {
        let bytes = self.bytes(path);
        self.recorder.note(path, Kind::Settings, &bytes);
        bytes
    }

    fn bytes(&self, path: &Path) -> io::Result<Vec<u8>> {
        match self.changed.get(path) {
            Some(text) => Ok(text.clone().into_bytes()),
            None => fs::read(self.followed(path)),
        }
    }

    /// The names in a folder, sorted; none where there is no such folder.
    pub fn names(&self, folder: &Path) -> BTreeSet<OsString> {
        let there = fs::read_dir(self.followed(folder)).into_iter().flatten();
        let there = there.filter_map(|entry| Some(entry.ok()?.file_name()));
        let added = self
            .changed
            .keys()
            .filter(|path| path.parent() == Some(folder));
        let added = added.filter_map(|path| path.file_name().map(OsString::from));
        there.chain(added).collect()
    }

    /// A sentence about files below the root, with the paths that the system itself uses.
    pub fn strip_root_prefix(&self, sentence: &str) -> String {
        match self.folder.to_str() {
            Some(folder) if !self.is_this_machine() => {
                sentence.replace(folder.trim_end_matches('/'), "")
            }
            _ => sentence.to_owned(),
        }
    }
}

/// The parts of a path, the last one first.
fn parts(path: &Path) -> Vec<OsString> {
    let parts = path.components().filter_map(|part| match part {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        _ => None,
    });
    let mut parts: Vec<_> = parts.collect();
    parts.reverse();
    parts
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    /// A folder of its own for each test.
    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("pam_ivalt-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        folder
    }

    #[test]
    fn links_stay_below_the_folder() {
        let folder = folder("links");
        let root = Root::new(&folder);
        fs::create_dir_all(folder.join("data/ivalt")).unwrap();
        fs::write(folder.join("data/ivalt/f"), "text").unwrap();
        fs::create_dir(folder.join("etc")).unwrap();
        symlink("/data/ivalt", folder.join("etc/ivalt")).unwrap();
        symlink("../../../data/ivalt/f", folder.join("etc/up")).unwrap();
        symlink("/etc/loop", folder.join("etc/loop")).unwrap();
        for path in ["/etc/ivalt/f", "/etc/up", "etc/../etc/ivalt/./f"] {
            assert_eq!(root.read(Path::new(path)).unwrap(), "text", "{path}");
        }
        assert_eq!(
            root.real(Path::new("/etc/ivalt/f")),
            folder.join("data/ivalt/f")
        );
        assert_eq!(root.real(Path::new("/etc/up")), folder.join("etc/up"));
        assert!(root.read(Path::new("/etc/loop")).is_err());
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_change_is_seen_and_not_written() {
        let folder = folder("change");
        let path = Path::new("/etc/pam.d/sshd");
        let root = Root::new(&folder).with(path, "auth".into());
        assert_eq!(root.read(path).unwrap(), "auth");
        assert!(
            root.names(Path::new("/etc/pam.d"))
                .contains(&OsString::from("sshd"))
        );
        assert!(root.differs_below(Path::new("/etc/pam.d")));
        assert!(!folder.join("etc").exists());
        fs::remove_dir(folder).unwrap();
    }
}
