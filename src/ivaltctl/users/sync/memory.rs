//! What earlier syncs wrote: the mobiles of names that are gone, and since when and until when each name was enabled. The
//! synced file is the truth of what is enrolled now; this adds what is gone.
//!
//! It is a file of its own for each synced file, replaced as a whole before that is: a power cut between them leaves a
//! memory that knows more than the file, never a file that says more than the memory.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use serde::{Deserialize, Serialize};

use super::file::Now;
use crate::enable::STATES;
use crate::recovery::store::fault;
use crate::root::Root;
use crate::system_error::shell_word;
use crate::{Refused, folder, system_error, trust};
use ivalt_core::problem::ProblemKind;
use ivalt_core::trusted_file::{LARGE, ReadPermission};

/// Of the file, in bytes. A name has more to remember than to be enrolled.
const LIMIT: u64 = 8 * LARGE;
const VERSION: u32 = 1;
/// In seconds.
pub const DAY: u64 = 86_400;
/// How long a name is remembered that is gone.
const KEPT: u64 = 400 * DAY;
/// No clock advances further between two syncs: a wrong one would make everything forgotten.
const MOST: u64 = 31 * DAY;

/// What is known of a name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Known {
    /// The mobile that was last written.
    pub mobile: String,
    /// Since when the name is, or was, enabled, but for less than a day. `None`: it is not known to have been, or an
    /// administrator has accepted that it is no longer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<u64>,
    /// When it ceased to be enabled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lost: Option<u64>,
    /// When it was last missing from the source, or not enrolled although it was there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gone: Option<u64>,
}

/// All of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// In seconds since 1970, but it goes neither back nor further than [`MOST`] at once, whatever the clock does.
    pub time: u64,
    /// What the clock showed then.
    wall: u64,
    /// By name.
    pub known: BTreeMap<String, Known>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Head {
    version: u32,
    file: PathBuf,
    time: u64,
    wall: u64,
    names: usize,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    name: String,
    known: Known,
}

impl Known {
    /// It is enabled, or was so less than a day ago.
    pub fn was_enabled_lately(&self, time: u64) -> bool {
        self.since.is_some() && self.lost.is_none_or(|lost| lost.saturating_add(DAY) > time)
    }

    /// It was enabled a day ago.
    pub fn was_enabled_a_day_ago(&self, time: u64) -> bool {
        let before = self
            .since
            .is_some_and(|since| since.saturating_add(DAY) <= time);
        before && self.was_enabled_lately(time)
    }

    /// After a sync.
    pub fn set_enabled(&mut self, enabled: bool, time: u64) {
        match (enabled, self.since, self.lost) {
            (true, Some(_), _) if self.was_enabled_lately(time) => self.lost = None,
            (true, ..) => (self.since, self.lost) = (Some(time), None),
            (false, Some(_), None) => self.lost = Some(time),
            (false, ..) => {}
        }
    }
}

impl Memory {
    /// The memory of a synced file; an empty one where there is none.
    ///
    /// # Errors
    /// It is damaged, or not root's alone; what removing it would mean.
    pub fn load(root: &Root, synced: &Path) -> Result<Self, Refused> {
        let path = path(synced)?;
        if let Ok(folder) = root.open_folder(&folder_path(), OFlags::NOFOLLOW) {
            refuse_faults(&folder_path(), &folder)?;
        }
        let permission = ReadPermission::OwnerOnly;
        match root.read_trusted(trust(), &path, permission, LIMIT) {
            Err(problem) if problem.kind == ProblemKind::Missing => Ok(Self::default()),
            Err(problem) => Err(Refused(format!("{problem}; nothing was changed"))),
            Ok(bytes) => Self::parse(&bytes, synced).map_err(|why| damaged(&path, &why)),
        }
    }

    fn parse(bytes: &[u8], synced: &Path) -> Result<Self, String> {
        let said = |error: serde_json::Error| error.to_string();
        let mut lines = bytes.split(|byte| *byte == b'\n');
        let head: Head = serde_json::from_slice(lines.next().unwrap_or_default()).map_err(said)?;
        if head.version != VERSION {
            return Err(format!("is of version {}, not {VERSION}", head.version));
        }
        if head.file != synced {
            return Err(format!("is about {}", head.file.display()));
        }
        let mut memory = Self {
            time: head.time,
            wall: head.wall,
            ..Self::default()
        };
        for line in lines.filter(|line| !line.is_empty()) {
            let Line { name, known } = serde_json::from_slice(line).map_err(said)?;
            memory.known.insert(name, known);
        }
        match memory.known.len() == head.names {
            true => Ok(memory),
            false => Err(format!(
                "has {} of {} names",
                memory.known.len(),
                head.names
            )),
        }
    }

    fn text(&self, synced: &Path) -> serde_json::Result<Vec<u8>> {
        let head = Head {
            version: VERSION,
            file: synced.to_owned(),
            time: self.time,
            wall: self.wall,
            names: self.known.len(),
        };
        let mut text = serde_json::to_vec(&head)?;
        for (name, known) in &self.known {
            let (name, known) = (name.clone(), known.clone());
            text.push(b'\n');
            serde_json::to_writer(&mut text, &Line { name, known })?;
        }
        text.push(b'\n');
        Ok(text)
    }

    /// Writes it below /var/lib/ivalt, which must be there. Once this has returned, it outlasts a power cut.
    ///
    /// # Errors
    /// The old one is there, or the new one.
    pub fn save(&self, root: &Root, synced: &Path) -> Result<(), Refused> {
        let path = path(synced)?;
        let refuse = |error: &io::Error| not_saved(&path, error);
        root.make_folder(&folder_path(), 0o700)
            .map_err(|error| refuse(&error))?;
        let folder = root.open_folder(&folder_path(), OFlags::NOFOLLOW);
        refuse_faults(&folder_path(), &folder.map_err(|error| refuse(&error))?)?;
        let text = self.text(synced).map_err(|error| refuse(&error.into()))?;
        root.replace(&path, &text, 0o600, || Ok(()))
            .map_err(|error| refuse(&error))
    }

    /// The same at this time, and with all that the synced file says: also where there was no memory.
    pub fn at(&self, wall: u64, now: &Now) -> Self {
        let mut memory = self.clone();
        memory.time = match self.time {
            0 => wall,
            time => time.saturating_add(wall.saturating_sub(self.wall).min(MOST)),
        };
        memory.wall = wall;
        for (name, present) in &now.entries {
            let known = memory.known.entry(name.clone()).or_default();
            present.mobile.as_str().clone_into(&mut known.mobile);
            if present.enabled {
                // Whoever is enabled and not known to be has been for long.
                known.since.get_or_insert(0);
                known.lost = None;
            }
        }
        memory
    }

    /// Whether it must be written: it knows something else than `before`, or the time is a day further.
    pub fn differs(&self, before: &Self) -> bool {
        self.known != before.known || self.wall.abs_diff(before.wall) >= DAY
    }

    /// Forgets names that have been gone for long, but those that are still in the file.
    pub fn forget(&mut self, is_written: impl Fn(&str) -> bool) {
        let time = self.time;
        let is_old = |known: &Known| {
            known
                .gone
                .is_some_and(|gone| gone.saturating_add(KEPT) <= time)
        };
        self.known
            .retain(|name, known| is_written(name) || !is_old(known));
    }

    /// For each name in lower case, one that is known.
    pub fn spellings(&self) -> HashMap<String, Vec<&str>> {
        let mut spellings: HashMap<String, Vec<&str>> = HashMap::new();
        for name in self.known.keys() {
            spellings.entry(name.to_lowercase()).or_default().push(name);
        }
        spellings
    }
}

fn folder_path() -> PathBuf {
    Path::new(STATES).join("sync")
}

/// `/var/lib/ivalt/sync/etc%2fivalt%2fsynced.toml`, where other bytes than those of names are `%XX`, too.
///
/// # Errors
/// The path is too long to be one name.
pub fn path(synced: &Path) -> Result<PathBuf, Refused> {
    let path = synced.as_os_str().as_bytes();
    let mut name = String::new();
    for byte in path.strip_prefix(b"/").unwrap_or(path) {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'-' => name.push(char::from(*byte)),
            b'.' if !name.is_empty() => name.push('.'),
            _ => name += &format!("%{byte:02x}"),
        }
    }
    // `.NAME.new` is beside it while it is written.
    if name.len() > 250 {
        return Err(Refused(format!(
            "{}: the path is too long for what must be remembered of it; nothing was changed; give synced_users_file a \
             shorter one",
            synced.display()
        )));
    }
    Ok(folder_path().join(name))
}

fn refuse_faults(path: &Path, opened: &folder::Folder) -> Result<(), Refused> {
    let found = opened.handle().metadata();
    let found = found.map_err(|error| system_error::problem(path, "cannot be read", &error))?;
    match fault(path, &found, true) {
        None => Ok(()),
        Some(fault) => Err(fault.into()),
    }
}

/// Nothing is built on a memory that a power cut may take back.
fn not_saved(path: &Path, error: &io::Error) -> Refused {
    let why = match folder::unsynced(error) {
        Some(why) => format!(
            "{}: cannot be synced ({why}); look for errors of that disk: dmesg",
            path.display()
        ),
        None => system_error::problem(path, "cannot be written", error).to_string(),
    };
    Refused(format!("{why}; no user was changed"))
}

fn damaged(path: &Path, why: &str) -> Refused {
    let shown = shell_word(&path.to_string_lossy());
    Refused(format!(
        "{}: is damaged ({why}); nothing was changed; restore it from a backup; without one: mv {shown} {shown}.damaged, and \
         then whoever is gone and comes back with another mobile is let in with that",
        path.display()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SYNCED: &str = "/etc/ivalt/synced.toml";

    fn memory(names: &[(&str, Known)]) -> Memory {
        let known = names
            .iter()
            .map(|(name, known)| ((*name).to_owned(), known.clone()));
        Memory {
            time: 1000 * DAY,
            wall: 1000 * DAY,
            known: known.collect(),
        }
    }

    fn known(since: Option<u64>, lost: Option<u64>, gone: Option<u64>) -> Known {
        let mobile = "+14155550100".to_owned();
        Known {
            mobile,
            since,
            lost,
            gone,
        }
    }

    #[test]
    fn what_is_written_is_read_back_and_a_part_of_it_is_damage() {
        let written = memory(&[
            ("alice", known(Some(5), None, None)),
            ("b\"\\\u{202e}", known(Some(5), Some(6), Some(7))),
        ]);
        let text = written.text(Path::new(SYNCED)).unwrap();
        assert_eq!(Memory::parse(&text, Path::new(SYNCED)), Ok(written));
        let ends = text.len() - 1;
        for end in 0..ends {
            assert!(
                Memory::parse(&text[..end], Path::new(SYNCED)).is_err(),
                "{end}"
            );
        }
        let other = Memory::parse(&text, Path::new("/etc/other.toml"));
        assert_eq!(other, Err("is about /etc/ivalt/synced.toml".to_owned()));
    }

    #[test]
    fn each_synced_file_has_a_memory_of_its_own() {
        let name = |synced: &str| {
            path(Path::new(synced))
                .unwrap()
                .file_name()
                .unwrap()
                .to_str()
                .unwrap()
                .to_owned()
        };
        assert_eq!(name(SYNCED), "etc%2fivalt%2fsynced.toml");
        assert_eq!(name("/.x"), "%2ex");
        assert_eq!(name("/a%2fb"), "a%252fb");
        let Refused(why) = path(Path::new(&"/a".repeat(130))).unwrap_err();
        assert!(why.contains("is too long"), "{why}");
    }

    #[test]
    fn time_goes_neither_back_nor_far_ahead() {
        let start = memory(&[]);
        for (wall, time) in [
            (1000 * DAY, 1000 * DAY),
            (1000 * DAY + 60, 1000 * DAY + 60),
            (0, 1000 * DAY),
            (5000 * DAY, 1031 * DAY),
        ] {
            assert_eq!(start.at(wall, &Now::default()).time, time, "{wall}");
        }
        assert_eq!(Memory::default().at(7, &Now::default()).time, 7);
    }

    #[test]
    fn who_was_enabled_a_day_ago() {
        const T: u64 = 1000 * DAY;
        for (since, lost, lately, a_day_ago) in [
            (None, None, false, false),
            (None, Some(T), false, false),
            (Some(0), None, true, true),
            (Some(T - DAY), None, true, true),
            (Some(T - DAY + 1), None, true, false),
            (Some(0), Some(T - DAY + 1), true, true),
            (Some(0), Some(T - DAY), false, false),
        ] {
            let known = known(since, lost, None);
            let found = (known.was_enabled_lately(T), known.was_enabled_a_day_ago(T));
            assert_eq!(found, (lately, a_day_ago), "{since:?} {lost:?}");
        }
    }

    #[test]
    fn away_for_less_than_a_day_is_not_away() {
        const T: u64 = 1000 * DAY;
        let mut away = known(Some(5), None, None);
        away.set_enabled(false, T);
        away.set_enabled(false, T + 10);
        assert_eq!((away.since, away.lost), (Some(5), Some(T)));
        let mut back = away.clone();
        back.set_enabled(true, T + 20);
        assert_eq!((back.since, back.lost), (Some(5), None));
        away.set_enabled(true, T + DAY);
        assert_eq!((away.since, away.lost), (Some(T + DAY), None));
    }

    #[test]
    fn after_400_days_a_name_is_forgotten_unless_it_is_in_the_file() {
        const T: u64 = 1000 * DAY;
        let mut memory = memory(&[
            ("new", known(None, None, Some(T - KEPT + 1))),
            ("old", known(None, None, Some(T - KEPT))),
            ("there", known(None, None, Some(0))),
        ]);
        memory.forget(|name| name == "there");
        assert_eq!(memory.known.keys().collect::<Vec<_>>(), ["new", "there"]);
    }
}
