//! The system that is examined: this one, or one below a folder; and how it would be after a change.
//!
//! The folder may be somebody else's, as that of a container or an image is. So this is the one door to every file of
//! the system: openat2(2) with `RESOLVE_IN_ROOT` follows links as the system itself would, and no link leads out,
//! however it is swapped meanwhile. No path of the system becomes one of this machine.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::fs::{File, Metadata};
use std::io::{self, ErrorKind, Read};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use crate::Refused;
use crate::folder::Folder;
use crate::sources::{Recorder, Sources};
use crate::system_error;
use ivalt_core::problem::{Problem, ProblemKind};
use ivalt_core::trusted_file::{ReadPermission, Trust};

/// Text files of a system are smaller, in bytes.
const LIMIT: u64 = 16 << 20;
/// How often a path is tried that is renamed meanwhile: openat2(2) answers `EAGAIN` then.
const TRIES: usize = 128;
/// A file of this name is empty, and so is a link to it, whether the system has its devices or not.
const NULL: &str = "/dev/null";

/// Why [`Root::unreadable`] has a link.
pub const BROKEN_LINK: &str = "is a symbolic link that leads to nothing in this system";

/// A system by its root folder. Paths that go in and out are those the system itself would use.
#[derive(Clone, Debug)]
pub struct Root {
    /// For sentences alone.
    folder: PathBuf,
    handle: Arc<File>,
    has_openat2: bool,
    changed: BTreeMap<PathBuf, String>,
    unreadable: Arc<Mutex<BTreeMap<PathBuf, String>>>,
    recorder: Recorder,
}

impl Root {
    /// The system below `folder`.
    ///
    /// # Errors
    /// It is no folder, or the kernel cannot keep to it.
    pub fn open(folder: &Path) -> Result<Self, Refused> {
        let shown = folder.display();
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let handle = rustix::fs::open(folder, flags, Mode::empty());
        let handle = handle.map_err(|error| match error {
            Errno::NOTDIR | Errno::NOENT => Refused(format!("{shown}: is not a folder")),
            error => Refused(format!("{shown}: {error}")),
        })?;
        let mut root = Self {
            // A relative folder would be found in any sentence that names files below it.
            folder: crate::system_error::absolute(folder)?,
            handle: Arc::new(handle.into()),
            has_openat2: true,
            changed: BTreeMap::new(),
            unreadable: Arc::default(),
            recorder: Recorder::default(),
        };
        if !root.is_this_machine() && root.is_root_folder() {
            return Err(Refused(format!(
                "{shown}: leads to the root folder of this machine, which is examined without --root, and where `enable` rolls \
                 itself back; if you did not expect that, somebody has changed the folder: namei -l {shown}"
            )));
        }
        // A kernel before 5.6 does not know the call; filters of older containers forbid it.
        root.has_openat2 = root.open_file(Path::new("/"), OFlags::PATH).is_ok();
        if root.has_openat2 || root.is_this_machine() {
            return Ok(root);
        }
        Err(Refused(format!(
            "{shown}: this kernel does not offer openat2(2), without which a link in the folder could lead out of it; it is \
             there from Linux 5.6 on (uname -r), unless a container's filter forbids it"
        )))
    }

    /// As [`Root::open`], for tests.
    #[cfg(test)]
    pub fn new(folder: &Path) -> Self {
        Self::open(folder).unwrap_or_else(|Refused(why)| panic!("{why}"))
    }

    /// The running system.
    ///
    /// # Errors
    /// As [`Root::open`].
    pub fn this_machine() -> Result<Self, Refused> {
        Self::open(Path::new("/"))
    }

    /// Where it is on this machine.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Whether it is the running system, whose programs and network may be asked.
    pub fn is_this_machine(&self) -> bool {
        self.folder == Path::new("/")
    }

    /// Whether the folder is that of this machine, whatever its name. Whoever owns a container's folder may have put a
    /// link there in its place.
    fn is_root_folder(&self) -> bool {
        let place = |metadata: Metadata| (metadata.dev(), metadata.ino());
        let ours = rustix::fs::open("/", OFlags::PATH | OFlags::CLOEXEC, Mode::empty());
        let ours = ours.map_err(io::Error::from);
        let ours = ours.and_then(|folder| File::from(folder).metadata());
        let theirs = self.handle.metadata();
        ours.is_ok_and(|ours| theirs.is_ok_and(|theirs| place(ours) == place(theirs)))
    }

    /// A file of the system as this machine calls it, for a sentence or a command that an administrator types.
    pub fn shown(&self, path: &Path) -> String {
        let below = path.strip_prefix("/").unwrap_or(path);
        self.folder.join(below).display().to_string()
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

    /// The text of a file; bytes that are not UTF-8 replaced.
    ///
    /// # Errors
    /// As [`Root::read_bytes`].
    pub fn read(&self, path: &Path) -> io::Result<String> {
        let bytes = self.read_bytes(path)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// What `act` returns, and the files it was derived from: all that was read meanwhile.
    pub fn recorded<T>(&self, act: impl FnOnce() -> T) -> (T, Sources) {
        self.recorder.during(act)
    }

    /// What `act` returns, which reads files that list people: of those in them, only those matter whom a finding
    /// concerns.
    pub fn listing_people<T>(&self, act: impl FnOnce() -> T) -> T {
        self.recorder.listing_people(act)
    }

    /// What follows is derived from this file, too, which is read for nothing else.
    pub fn record(&self, path: &Path) {
        let _ = self.whole(path);
    }

    fn note_source(&self, path: &Path, bytes: &io::Result<Vec<u8>>) {
        use ErrorKind::{IsADirectory, NotADirectory, NotFound};
        match bytes {
            Err(error) if [NotFound, NotADirectory, IsADirectory].contains(&error.kind()) => {}
            bytes => self.recorder.note(path, bytes.as_deref().ok()),
        }
    }

    fn note_trusted(&self, path: &Path, bytes: &Result<Vec<u8>, Problem>) {
        match bytes {
            Err(problem) if problem.kind == ProblemKind::Missing => {}
            bytes => self.recorder.note(path, bytes.as_deref().ok()),
        }
    }

    /// The bytes of a file.
    ///
    /// # Errors
    /// There is none, it cannot be read, it is not a regular file, or it is larger than 16 MiB.
    pub fn read_bytes(&self, path: &Path) -> io::Result<Vec<u8>> {
        let bytes = self.whole(path);
        if let Err(error) = &bytes {
            self.note(path, error);
        }
        bytes
    }

    fn whole(&self, path: &Path) -> io::Result<Vec<u8>> {
        let mut bytes = self.start(path, LIMIT + 1);
        if bytes.as_ref().is_ok_and(|bytes| bytes.len() as u64 > LIMIT) {
            let what = format!("is larger than {} MiB", LIMIT >> 20);
            bytes = Err(io::Error::other(what));
        }
        self.note_source(path, &bytes);
        bytes
    }

    /// What [`Root::read`] and [`Root::names`] could not read although it is there, and why. A file that this user may
    /// not read is left out.
    pub fn unreadable(&self) -> BTreeMap<PathBuf, String> {
        let unreadable = self.unreadable.lock();
        unreadable.unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn note(&self, path: &Path, error: &io::Error) {
        let (path, why) = match error.kind() {
            ErrorKind::PermissionDenied => return,
            ErrorKind::NotADirectory if !self.exists(path) => return,
            ErrorKind::NotFound => match self.broken_link(path) {
                Some(link) => (link, BROKEN_LINK.to_owned()),
                None => return,
            },
            _ => (path, system_error::reason(error)),
        };
        let unreadable = self.unreadable.lock();
        unreadable
            .unwrap_or_else(PoisonError::into_inner)
            .insert(path.to_owned(), why);
    }

    /// The link, in the path of what was not found, that leads nowhere below the folder. On this machine, it leads where
    /// it does for everybody.
    fn broken_link<'p>(&self, path: &'p Path) -> Option<&'p Path> {
        let mut ancestors = path.ancestors();
        let last = ancestors.find(|path| self.link_metadata(path).is_ok())?;
        let link = self.link_metadata(last).ok()?.is_symlink() && !self.exists(last);
        (link && !self.is_this_machine() && !self.is_link_to_null(last)).then_some(last)
    }

    /// The first bytes of a file, `most` of them.
    ///
    /// # Errors
    /// As [`Root::read_bytes`], but for the size.
    pub fn read_start(&self, path: &Path, most: u64) -> io::Result<Vec<u8>> {
        let bytes = self.start(path, most);
        self.note_source(path, &bytes);
        bytes
    }

    fn start(&self, path: &Path, most: u64) -> io::Result<Vec<u8>> {
        if let Some(text) = self.changed.get(path) {
            return Ok(text.clone().into_bytes());
        }
        let file = match self.open_to_judge(path, OFlags::empty()) {
            Err(error) if error.kind() == ErrorKind::NotFound && self.is_link_to_null(path) => {
                return Ok(Vec::new());
            }
            opened => opened?,
        };
        let metadata = file.metadata()?;
        if is_null(&metadata) {
            return Ok(Vec::new());
        }
        require_regular(&metadata)?;
        let mut bytes = Vec::new();
        file.take(most).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// The bytes of a file that a login trusts: as [`Trust::read`], on the disk, whatever would be changed.
    ///
    /// # Errors
    /// As [`Trust::read`].
    pub fn read_trusted(
        &self,
        trust: Trust,
        path: &Path,
        permission: ReadPermission,
        limit: u64,
    ) -> Result<Vec<u8>, Problem> {
        let opened = self.open_to_judge(path, OFlags::NOFOLLOW);
        let bytes = trust.read_opened(path, opened, permission, limit);
        self.note_trusted(path, &bytes);
        bytes
    }

    /// As [`Trust::read_system_file`], which may be a link.
    ///
    /// # Errors
    /// As [`Trust::read_system_file`].
    pub fn read_system_file(
        &self,
        trust: Trust,
        path: &Path,
        limit: u64,
    ) -> Result<Vec<u8>, Problem> {
        let opened = self.open_to_judge(path, OFlags::empty());
        let bytes = trust.read_opened(path, opened, ReadPermission::Anybody, limit);
        self.note_trusted(path, &bytes);
        bytes
    }

    /// The names in a folder, sorted; none where there is no such folder.
    pub fn names(&self, folder: &Path) -> BTreeSet<OsString> {
        let there = self.open_folder(folder, OFlags::empty());
        let there = there.and_then(|folder| folder.names());
        let there = there.unwrap_or_else(|error| {
            self.note(folder, &error);
            Vec::new()
        });
        let added = self
            .changed
            .keys()
            .filter(|path| path.parent() == Some(folder));
        let added = added.filter_map(|path| path.file_name().map(OsString::from));
        there.into_iter().chain(added).collect()
    }

    /// Whether a path names anything; a link that leads nowhere does not.
    pub fn exists(&self, path: &Path) -> bool {
        self.differs_below(path) || self.metadata(path).is_ok()
    }

    /// Whether a path names a folder.
    pub fn is_folder(&self, path: &Path) -> bool {
        self.metadata(path).is_ok_and(|found| found.is_dir())
    }

    /// What the disk says about a file; links are followed.
    ///
    /// # Errors
    /// As stat(2).
    pub fn metadata(&self, path: &Path) -> io::Result<Metadata> {
        self.open_file(path, OFlags::PATH)?.metadata()
    }

    /// What the disk says about a file or a link itself.
    ///
    /// # Errors
    /// As lstat(2).
    pub fn link_metadata(&self, path: &Path) -> io::Result<Metadata> {
        self.open_file(path, OFlags::PATH | OFlags::NOFOLLOW)?
            .metadata()
    }

    /// Where a link leads.
    ///
    /// # Errors
    /// As readlink(2).
    pub fn read_link(&self, path: &Path) -> io::Result<PathBuf> {
        let link = self.open_file(path, OFlags::PATH | OFlags::NOFOLLOW)?;
        let target = rustix::fs::readlinkat(&link, "", Vec::new())?;
        Ok(OsString::from_vec(target.into_bytes()).into())
    }

    /// A folder, to change what is in it.
    ///
    /// # Errors
    /// It is no folder, or cannot be opened.
    pub fn open_folder(&self, path: &Path, flags: OFlags) -> io::Result<Folder> {
        let flags = flags | OFlags::RDONLY | OFlags::DIRECTORY;
        self.open_file(path, flags).map(Folder::from)
    }

    /// Whether [`Root::replace`] could begin: this user may change the folder of `path`, or make it.
    ///
    /// # Errors
    /// Why not.
    pub fn require_writable(&self, path: &Path) -> io::Result<()> {
        for folder in path.ancestors().skip(1) {
            match self.open_folder(folder, OFlags::empty()) {
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                opened => return opened?.require_writable(),
            }
        }
        Err(ErrorKind::NotFound.into())
    }

    /// Replaces a file, see [`Folder::replace`].
    ///
    /// # Errors
    /// Nothing has changed then.
    pub fn replace(
        &self,
        path: &Path,
        bytes: &[u8],
        new_mode: u32,
        last_check: impl FnOnce() -> io::Result<()>,
    ) -> io::Result<()> {
        let (folder, name) = self.parent(path)?;
        folder.replace(name, bytes, new_mode, last_check)
    }

    /// Removes a file, or a link itself.
    ///
    /// # Errors
    /// As unlink(2).
    pub fn remove(&self, path: &Path) -> io::Result<()> {
        let (folder, name) = self.parent(path)?;
        folder.remove(name)
    }

    /// See [`Folder::sync`].
    ///
    /// # Errors
    /// As fsync(2).
    pub fn sync(&self, path: &Path) -> io::Result<()> {
        match self.parent(path) {
            Ok((folder, name)) => folder.sync(name),
            // Then there is nothing that could be lost.
            Err(_) => Ok(()),
        }
    }

    /// Makes a folder, see [`Folder::make_folder`].
    ///
    /// # Errors
    /// As mkdir(2).
    pub fn make_folder(&self, path: &Path, mode: u32) -> io::Result<()> {
        let (folder, name) = self.parent(path)?;
        folder.make_folder(name, mode)
    }

    /// Removes a folder that is empty.
    ///
    /// # Errors
    /// As rmdir(2).
    pub fn remove_folder(&self, path: &Path) -> io::Result<()> {
        let (folder, name) = self.parent(path)?;
        folder.remove_folder(name)
    }

    fn parent<'p>(&self, path: &'p Path) -> io::Result<(Folder, &'p OsStr)> {
        let parts = path.parent().zip(path.file_name());
        let (parent, name) = parts.ok_or(ErrorKind::InvalidInput)?;
        Ok((self.open_folder(parent, OFlags::empty())?, name))
    }

    /// An open regular file; of anything else its place alone, to judge it by. A device must not even be opened:
    /// /dev/watchdog begins to count then.
    fn open_to_judge(&self, path: &Path, flags: OFlags) -> io::Result<File> {
        let place = self.open_file(path, flags | OFlags::PATH)?;
        let found = place.metadata()?;
        if found.is_symlink() {
            return Err(Errno::LOOP.into());
        }
        if !found.is_file() {
            return Ok(place);
        }
        // It may be a FIFO by now, which must not be waited for.
        self.open_file(path, flags | OFlags::NONBLOCK | OFlags::NOCTTY)
    }

    fn open_file(&self, path: &Path, flags: OFlags) -> io::Result<File> {
        let flags = flags | OFlags::CLOEXEC;
        let path = Path::new("/").join(path);
        if !self.has_openat2 {
            return Ok(rustix::fs::openat(CWD, path, flags, Mode::empty())?.into());
        }
        // IN_ROOT forbids links of /proc that lead out, too, but openat2(2) does not promise that for ever.
        let in_root = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        let none = Mode::empty();
        for _ in 0..TRIES {
            match rustix::fs::openat2(&self.handle, &path, flags, none, in_root) {
                Err(Errno::AGAIN | Errno::INTR) => {}
                opened => return Ok(opened?.into()),
            }
        }
        Err(io::Error::other("is renamed again and again"))
    }

    fn is_link_to_null(&self, path: &Path) -> bool {
        self.read_link(path)
            .is_ok_and(|target| target == Path::new(NULL))
    }
}

/// The character device 1, 3; null(4).
fn is_null(metadata: &Metadata) -> bool {
    metadata.file_type().is_char_device() && metadata.rdev() == rustix::fs::makedev(1, 3)
}

/// # Errors
/// It is anything else; by the number that Linux has for a socket that is opened.
fn require_regular(metadata: &Metadata) -> io::Result<()> {
    if metadata.is_file() {
        return Ok(());
    }
    if metadata.is_dir() {
        return Err(Errno::ISDIR.into());
    }
    Err(Errno::NXIO.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;
    use tempfile::TempDir;

    #[test]
    fn links_stay_below_the_folder() {
        let dir = TempDir::new().unwrap();
        let (folder, root) = (dir.path(), Root::new(dir.path()));
        fs::create_dir_all(folder.join("data/ivalt")).unwrap();
        fs::write(folder.join("data/ivalt/f"), "text").unwrap();
        fs::create_dir(folder.join("etc")).unwrap();
        symlink("/data/ivalt", folder.join("etc/ivalt")).unwrap();
        symlink("../../../data/ivalt/f", folder.join("etc/up")).unwrap();
        symlink("/etc/loop", folder.join("etc/loop")).unwrap();
        for path in ["/etc/ivalt/f", "/etc/up", "etc/../etc/ivalt/./f"] {
            assert_eq!(root.read(Path::new(path)).unwrap(), "text", "{path}");
        }
        let target = root.read_link(Path::new("/etc/ivalt"));
        assert_eq!(target.unwrap(), Path::new("/data/ivalt"));
        assert!(root.read(Path::new("/etc/loop")).is_err());
    }

    #[test]
    fn this_machine_by_another_name_is_refused() {
        let dir = TempDir::new().unwrap();
        let link = dir.path().join("container");
        symlink("/", &link).unwrap();
        for folder in [
            link.as_path(),
            Path::new("/usr/.."),
            Path::new("/proc/self/root"),
        ] {
            let Refused(why) = Root::open(folder).unwrap_err();
            let begin = format!(
                "{}: leads to the root folder of this machine, ",
                folder.display()
            );
            assert!(why.starts_with(&begin), "{why}");
        }
        for folder in ["/", "//", "/."] {
            assert!(Root::new(Path::new(folder)).is_this_machine(), "{folder}");
        }
    }

    /// It may be as large as a disk, and have no content at all.
    #[test]
    fn a_file_without_end_is_no_source() {
        let dir = TempDir::new().unwrap();
        let root = Root::new(dir.path());
        let sparse = fs::File::create(dir.path().join("f")).unwrap();
        sparse.set_len(1 << 40).unwrap();
        let ((), sources) = root.recorded(|| root.record(Path::new("/f")));
        assert_eq!(sources.files, [("/f".into(), None)].into());
        assert!(root.unreadable().is_empty());
    }

    #[test]
    fn a_change_is_seen_and_not_written() {
        let dir = TempDir::new().unwrap();
        let path = Path::new("/etc/pam.d/sshd");
        let root = Root::new(dir.path()).with(path, "auth".into());
        assert_eq!(root.read(path).unwrap(), "auth");
        assert!(
            root.names(Path::new("/etc/pam.d"))
                .contains(&OsString::from("sshd"))
        );
        assert!(root.exists(path));
        assert!(root.differs_below(Path::new("/etc/pam.d")));
        assert!(!dir.path().join("etc").exists());
    }

    /// What `std` opens, and runs, knows nothing of the boundary.
    #[test]
    fn nothing_else_opens_files_of_the_system() {
        const WORDS: [&str; 14] = [
            " fs::",
            "(fs::",
            "std::fs::",
            "File::open",
            "File::create",
            "OpenOptions::new",
            "DirBuilder::new",
            "Command::new",
            ".exists()",
            ".is_dir()",
            ".is_file()",
            ".metadata()",
            ".read_dir()",
            "canonicalize",
        ];
        let allowed = [
            // They work with what is open.
            "root.rs",
            "folder.rs",
            "lock.rs",
            "terminal.rs",
            "recovery/store.rs",
            "enable/saved_state.rs",
            "users/sync/memory.rs",
            // They know no --root, and some look at processes.
            "caller.rs",
            "users/file.rs",
            "users/import.rs",
            "users/mod.rs",
            "users/sync/ldap/mod.rs",
            "users/sync/ldap/program.rs",
            "sshd_listener.rs",
            "enable/rollback.rs",
            "sshd_program.rs",
            // They ask first whether it is this machine.
            "check/exempt.rs",
            "check/log.rs",
            "check/program.rs",
            "check/recovery/apparmor.rs",
            "check/selinux.rs",
        ];
        let source = support::checkout().join("src/ivaltctl");
        let found = sources(&source).into_iter().filter(|path| {
            let text = fs::read_to_string(path).unwrap();
            let (code, _) = text
                .split_once("#[cfg(test)]\nmod tests {")
                .unwrap_or((&text, ""));
            let mut code = code.lines().filter(|line| !line.starts_with("use "));
            code.any(|line| WORDS.iter().any(|word| line.contains(word)))
        });
        let name = |path: PathBuf| {
            path.strip_prefix(&source)
                .unwrap()
                .to_str()
                .unwrap()
                .to_owned()
        };
        let found: BTreeSet<_> = found.map(name).collect();
        assert_eq!(found, allowed.map(str::to_owned).into());
    }

    /// Those of the program itself.
    fn sources(folder: &Path) -> Vec<PathBuf> {
        let of_tests = ["tests", "tests.rs", "properties.rs", "documents.rs"];
        let mut found = Vec::new();
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            match of_tests.iter().any(|name| path.ends_with(name)) {
                true => {}
                false if path.is_dir() => found.extend(sources(&path)),
                false => found.push(path),
            }
        }
        found.retain(|path| path.extension() == Some(OsStr::new("rs")));
        found
    }
}
