//! Some users of users.toml, and a hash of all others: it must be the same before and after a change.
//!
//! Nothing else is kept of the others, so that 64 MiB of them cost no more memory than a login.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;

use super::entries::line_ends;
use ivalt_core::problem::Problem;
use ivalt_core::settings::MobileFormat;
use ivalt_core::users::{Entry, EntryVisitor, Lines, Mobile, RawEntry, names_without_quotes, scan};

/// Whose entries are kept.
#[derive(Clone, Debug, Default)]
pub struct Selection<'a> {
    /// These users'.
    pub names: HashSet<&'a str>,
    /// Those of all users with one of these mobiles, by [`digits`].
    pub mobiles: HashSet<String>,
}

/// What the file says about the selected users, and whether the rest has changed.
#[derive(Debug)]
pub struct Snapshot<'a> {
    /// Those of `Selection::names` that are in the file: the first line, and the judgement of a login.
    entries: HashMap<&'a str, (usize, Entry)>,
    /// For each of `Selection::mobiles`, the users who have it.
    pub owners: HashMap<String, Vec<String>>,
    /// A hash of what the file says about all others, in the order of the file.
    pub others: u64,
}

impl<'a> Snapshot<'a> {
    /// Reads `text`, the content of the file at `path`.
    ///
    /// # Errors
    /// The module would refuse everybody.
    pub fn read(
        path: &Path,
        text: &str,
        format: MobileFormat,
        selection: &Selection<'a>,
    ) -> Result<Self, Problem> {
        let ends = line_ends(text);
        let before = |at: usize| ends.partition_point(|end| *end < at);
        let lines = Lines {
            path,
            before: &before,
        };
        let watcher =
            scan(text, Watcher::new(selection)).map_err(|not_toml| lines.not_toml(not_toml))?;
        Ok(watcher.finish(&lines, format))
    }

    /// The entry that a login of this name would find.
    pub fn entry(&self, name: &str) -> &Entry {
        self.entries.get(name).map_or(&ABSENT, |(_, entry)| entry)
    }

    /// The first line of the entry.
    pub fn line(&self, name: &str) -> usize {
        self.entries.get(name).map_or(1, |(line, _)| *line)
    }
}

static ABSENT: Entry = Entry::Absent;

/// A mobile as it is compared: national numbers may be written with spaces or without.
pub fn digits(mobile: &str) -> String {
    mobile.chars().filter(char::is_ascii_digit).collect()
}

struct Watcher<'i, 'q, 'a> {
    selection: &'q Selection<'a>,
    found: HashMap<&'a str, RawEntry<'i>>,
    owners: HashMap<String, Vec<String>>,
    /// What the file says about another user, until it is hashed.
    other: Option<(Cow<'i, str>, RawEntry<'i>)>,
    others: DefaultHasher,
}

impl<'q, 'a> Watcher<'_, 'q, 'a> {
    fn new(selection: &'q Selection<'a>) -> Self {
        Self {
            selection,
            found: HashMap::new(),
            owners: HashMap::new(),
            other: None,
            others: DefaultHasher::new(),
        }
    }

    fn hash_other(&mut self) {
        if let Some(other) = self.other.take() {
            other.hash(&mut self.others);
            self.note_owner(&other.0, other.1.mobile());
        }
    }

    fn note_owner(&mut self, name: &str, mobile: Option<&str>) {
        if self.selection.mobiles.is_empty() {
            return;
        }
        let mobile = mobile.map(digits);
        if let Some(mobile) = mobile.filter(|mobile| self.selection.mobiles.contains(mobile)) {
            self.owners.entry(mobile).or_default().push(name.to_owned());
        }
    }

    fn finish(mut self, lines: &Lines, format: MobileFormat) -> Snapshot<'a> {
        self.hash_other();
        let mut entries = HashMap::new();
        for (name, found) in std::mem::take(&mut self.found) {
            let line = lines.number(found.at().unwrap_or_default());
            let entry = found.entry(lines, name.as_bytes(), format);
            if let Entry::Enrolled(mobile) | Entry::Disabled(mobile) = &entry {
                self.note_owner(name, Some(Mobile::as_str(mobile)));
            }
            if entry != Entry::Absent {
                entries.insert(name, (line, entry));
            }
        }
        Snapshot {
            entries,
            owners: self.owners,
            others: self.others.finish(),
        }
    }
}

impl<'i> EntryVisitor<'i> for Watcher<'i, '_, '_> {
    fn visit(&mut self, name: &Cow<'i, str>) -> Option<&mut RawEntry<'i>> {
        self.hash_other();
        if let Some(name) = self.selection.names.get(name.as_ref()) {
            return Some(self.found.entry(name).or_default());
        }
        let (_, found) = self.other.insert((name.clone(), RawEntry::default()));
        Some(found)
    }

    fn unquoted(&mut self, keys: &[Cow<'i, str>]) -> Option<(String, &mut RawEntry<'i>)> {
        let dotted = |name: &&str| name.contains('.');
        let mut names = names_without_quotes(keys);
        let name = names.find_map(|name| self.selection.names.get(name.as_str()))?;
        dotted(name).then(|| ((*name).to_owned(), self.found.entry(name).or_default()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn others(text: &str) -> u64 {
        let selection = Selection {
            names: HashSet::from(["alice"]),
            ..Selection::default()
        };
        let path = Path::new("users.toml");
        let snapshot = Snapshot::read(path, text, MobileFormat::E164, &selection);
        snapshot.unwrap_or_else(|why| panic!("{why}")).others
    }

    #[test]
    fn the_hash_covers_what_is_said_of_others_and_nothing_else() {
        let before = "[users]\nbob = { mobile = '+14155550100', enabled = true }\n";
        for same in [
            "# head\n[users]\nalice = 5\n'bob' = {mobile='+14155550100',enabled=true}",
            "[users]\nbob = { mobile = \"+14155550100\", enabled = true }\nalice.mobile = '+1'\n[users.alice.x]\n",
        ] {
            assert_eq!(others(before), others(same), "{same}");
        }
        for other in [
            "[users]\n",
            "[users]\nbob = { mobile = '+14155550101', enabled = true }\n",
            "[users]\nbob = { mobile = '+14155550100', enabled = false }\n",
            "[users]\nbob = { mobile = '+14155550100' }\n",
            "[users]\nbobby = { mobile = '+14155550100', enabled = true }\n",
            "[users]\nbob = { mobile = '+14155550100', enabled = true, x = 1 }\n",
            "[users]\nbob = { mobile = '+14155550100', enabled = true }\nbob = 5\n",
            "[users]\nbob = { mobile = '+14155550100', enabled = true }\n'bob' = 'x'\n",
            "[users]\nbob = { mobile = '+14155550100', enabled = true }\ncarol = 'x'\n",
        ] {
            assert_ne!(others(before), others(other), "{other}");
        }
        assert_ne!(
            others("[users]\nbob.x = 1\n"),
            others("[users]\nbob.y = 1\n")
        );
    }
}
