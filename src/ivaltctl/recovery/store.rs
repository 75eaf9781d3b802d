//! The store of recovery codes on the disk: what is in it, and whether the module would use it. What its files are
//! called and hold is in [`ivalt_core::recovery::store`].

use std::ffi::{OsStr, OsString};
use std::fs::Metadata;
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use ivalt_core::recovery::store::{
    CodeFile, LAST_NUMBER, SALT, USED, Use, is_code_file, parse_used, user_folder, user_of_folder,
};
use rustix::fs::OFlags;

use crate::folder::Folder;
use crate::root::Root;
use crate::{Refused, trust};

/// The service of a [`Use`] that is none: the code was revoked.
pub const REVOKED: &str = "ivaltctl";
/// By which one ivaltctl at a time changes the store.
pub const LOCK: &str = "exclusive.lock";
/// What ext4 has in its top folder, where that is the store.
const FSCK: &str = "lost+found";
/// A file of the store is smaller; `used` grows with each code, in bytes.
const LIMIT: u64 = 16 << 20;
/// Of folders; files have no bits to execute.
const FOLDER_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;

/// The folder of all users' codes.
#[derive(Debug)]
pub struct Store {
    /// For sentences alone.
    pub path: PathBuf,
    pub folder: Folder,
}

/// The folder of one user's codes.
#[derive(Debug)]
pub struct UserFolder {
    /// For sentences alone.
    pub path: PathBuf,
    pub name: String,
    pub folder: Folder,
}

/// What is in a user's folder.
#[derive(Debug, Default)]
pub struct Contents {
    /// Sorted by number; those that cannot be read first.
    pub codes: Vec<UnusedCode>,
    /// In the order of the file, codes that were revoked among them.
    pub used: Vec<Use>,
    /// The highest number that is known to have been given.
    pub last_number: u32,
}

/// A code that nobody has used.
#[derive(Debug)]
pub struct UnusedCode {
    pub file: OsString,
    /// `None` where the file says anything else: no login is let in by it.
    pub content: Option<CodeFile>,
}

/// A file or folder that is not as it must be.
#[derive(Debug, PartialEq, Eq)]
pub struct Fault {
    pub path: PathBuf,
    pub what: String,
    pub fix: String,
    /// Others may have written there.
    pub writable: bool,
}

/// Of a command that changes nothing where it finds one.
impl From<Fault> for Refused {
    fn from(fault: Fault) -> Self {
        Self(format!(
            "{}: {}; nothing was changed; {}",
            fault.path.display(),
            fault.what,
            fault.fix
        ))
    }
}

impl Store {
    /// The store at `path` of a system, if there is one.
    ///
    /// # Errors
    /// It is no folder, or cannot be opened.
    pub fn open(root: &Root, path: &Path) -> io::Result<Option<Self>> {
        match root.open_folder(path, OFlags::NOFOLLOW) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            opened => Ok(Some(Self {
                path: path.to_owned(),
                folder: opened?,
            })),
        }
    }

    /// The users who have a folder, sorted by its name.
    ///
    /// # Errors
    /// The store cannot be read, or one of them is no folder.
    pub fn users(&self) -> io::Result<Vec<UserFolder>> {
        let mut names = self.folder.names()?;
        names.sort();
        let users = names.into_iter().filter_map(|folder| {
            let user = user_of_folder(folder.to_str()?)?;
            self.open_user(&String::from_utf8_lossy(&user), &folder)
                .transpose()
        });
        users.collect()
    }

    /// The folder of a user, if there is one.
    ///
    /// # Errors
    /// It is no folder, or cannot be opened.
    pub fn user(&self, name: &str) -> io::Result<Option<UserFolder>> {
        match user_folder(name.as_bytes()) {
            Some(folder) => self.open_user(name, OsStr::new(&folder)),
            None => Ok(None),
        }
    }

    fn open_user(&self, name: &str, folder: &OsStr) -> io::Result<Option<UserFolder>> {
        match self.folder.open_folder(folder) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            opened => Ok(Some(UserFolder {
                path: self.path.join(folder),
                name: name.to_owned(),
                folder: opened?,
            })),
        }
    }

    /// What the module would refuse, and what lets others read the hashes.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn faults(&self) -> io::Result<Vec<Fault>> {
        let mut faults = Vec::new();
        let names = sorted(&self.folder)?;
        let of_store = fault(&self.path, &self.folder.handle().metadata()?, true);
        faults.extend(of_store.map(|fault| Fault {
            fix: own_folder(&names).unwrap_or(fault.fix),
            ..fault
        }));
        for name in names.into_iter().filter(|name| name != FSCK) {
            let is_of_user = name.to_str().and_then(user_of_folder).is_some();
            let found = self.folder.metadata(&name)?;
            faults.extend(fault(&self.path.join(&name), &found, is_of_user));
            if !is_of_user || !found.is_dir() {
                continue;
            }
            let folder = self.folder.open_folder(&name)?;
            for file in sorted(&folder)? {
                let path = self.path.join(&name).join(&file);
                faults.extend(fault(&path, &folder.metadata(&file)?, false));
            }
        }
        Ok(faults)
    }
}

/// Where there is something else in it, others need the folder as it is: the fix is another store.
fn own_folder(names: &[OsString]) -> Option<String> {
    let is_ours = |name: &OsString| {
        name == LOCK || name == FSCK || name.to_str().and_then(user_of_folder).is_some()
    };
    names.iter().any(|name| !is_ours(name)).then(|| {
        "it holds other things: write under [recovery] in the settings: directory = a folder for recovery codes alone"
            .to_owned()
    })
}

fn sorted(folder: &Folder) -> io::Result<Vec<OsString>> {
    let mut names = folder.names()?;
    names.sort();
    Ok(names)
}

/// What is wrong with a folder, or with a file.
pub fn fault(path: &Path, found: &Metadata, is_folder: bool) -> Option<Fault> {
    let mode = found.mode() & 0o7777;
    let (wanted, kind) = match is_folder {
        true => (FOLDER_MODE, "folder"),
        false => (FILE_MODE, "regular file"),
    };
    let ours = [0, trust().effective_uid].contains(&found.uid());
    let shown = crate::system_error::shell_word(&path.to_string_lossy());
    let (what, fix) = if found.is_dir() != is_folder || (!is_folder && !found.is_file()) {
        (
            format!("is not a {kind}"),
            format!("inspect it (ls -la {shown}), then move it out of the store"),
        )
    } else if !is_folder && found.nlink() > 1 {
        (
            "has another name elsewhere (a hard link)".to_owned(),
            format!("find it: find / -xdev -samefile {shown}"),
        )
    } else if !ours {
        (
            format!("belongs to user id {}, not to root", found.uid()),
            format!("chown root:root {shown}"),
        )
    } else if mode & !wanted & 0o777 != 0 {
        (
            format!("has the mode {mode:04o} instead of {wanted:04o}"),
            format!("chmod {wanted:04o} {shown}"),
        )
    } else {
        return None;
    };
    Some(Fault {
        path: path.to_owned(),
        what,
        fix,
        writable: !ours || mode & 0o022 != 0 || found.is_dir() != is_folder,
    })
}

impl UserFolder {
    /// # Errors
    /// A file cannot be read.
    pub fn read(&self) -> io::Result<Contents> {
        let used = self.read_file(OsStr::new(USED))?.unwrap_or_default();
        let mut contents = Contents {
            used: parse_used(&used),
            ..Contents::default()
        };
        for file in self.folder.names()? {
            if !file.to_str().is_some_and(is_code_file) {
                continue;
            }
            // A login may have used it meanwhile.
            if let Some(content) = self.read_file(&file)? {
                let content = CodeFile::parse(&content);
                contents.codes.push(UnusedCode { file, content });
            }
        }
        contents
            .codes
            .sort_by_key(|code| (code.number(), code.file.clone()));
        contents.last_number = self.last_number(&contents)?;
        Ok(contents)
    }

    /// Also where the file that says it is lost.
    fn last_number(&self, contents: &Contents) -> io::Result<u32> {
        let written = self.read_file(OsStr::new(LAST_NUMBER))?.unwrap_or_default();
        let written = String::from_utf8_lossy(&written).trim().parse().ok();
        let unused = contents.codes.iter().filter_map(UnusedCode::number);
        let used = contents.used.iter().map(|used| used.number);
        let all = unused.chain(used).chain(written);
        Ok(all.max().unwrap_or_default())
    }

    /// A small file in it, if it is there.
    ///
    /// # Errors
    /// As open(2); it is no regular file.
    pub fn read_file(&self, name: &OsStr) -> io::Result<Option<Vec<u8>>> {
        let file = match self.folder.open_file(name, OFlags::RDONLY, 0) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            opened => opened?,
        };
        let mut bytes = Vec::new();
        file.take(LIMIT).read_to_end(&mut bytes)?;
        Ok(Some(bytes))
    }

    /// Whether there is anything by which a login could be let in.
    ///
    /// # Errors
    /// As readdir(3).
    pub fn has_codes(&self) -> io::Result<bool> {
        let names = self.folder.names()?;
        Ok(names
            .iter()
            .any(|name| name.to_str().is_some_and(is_code_file)))
    }

    /// The key of the names of its codes.
    ///
    /// # Errors
    /// As open(2).
    pub fn salt(&self) -> io::Result<Option<Vec<u8>>> {
        self.read_file(OsStr::new(SALT))
    }
}

impl UnusedCode {
    pub fn number(&self) -> Option<u32> {
        self.content.map(|content| content.number)
    }
}

impl Contents {
    /// Those that would let in at this time.
    pub fn usable(&self, now: u64) -> impl Iterator<Item = CodeFile> {
        let readable = self.codes.iter().filter_map(|code| code.content);
        readable.filter(move |code| !code.has_expired(now))
    }

    /// The line of `used` with this number.
    pub fn use_of(&self, number: u32) -> Option<&Use> {
        self.used.iter().rfind(|used| used.number == number)
    }
}

/// `1 to 4, 7`, for sentences; numbers sorted.
pub fn ranges(numbers: &[u32], dash: &str, comma: &str) -> String {
    let mut ranges: Vec<(u32, u32)> = Vec::new();
    for number in numbers {
        match ranges.last_mut() {
            Some((_, last)) if last.checked_add(1) == Some(*number) => *last = *number,
            _ => ranges.push((*number, *number)),
        }
    }
    let shown = ranges.iter().map(|(first, last)| match last - first {
        0 => first.to_string(),
        1 => format!("{first}{comma}{last}"),
        _ => format!("{first}{dash}{last}"),
    });
    shown.collect::<Vec<_>>().join(comma)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_as_ranges() {
        for (numbers, expected) in [
            (&[][..], ""),
            (&[3], "3"),
            (&[3, 4], "3, 4"),
            (&[1, 2, 3, 7, 9, 10, 11], "1 to 3, 7, 9 to 11"),
            (&[u32::MAX, u32::MAX], "4294967295, 4294967295"),
        ] {
            assert_eq!(ranges(numbers, " to ", ", "), expected);
        }
    }
}
