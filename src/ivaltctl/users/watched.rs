//! Some users of users.toml, and a watch over all others: they must say the same before and after a change.
//!
//! Nothing is kept of the others, so that 64 MiB of them cost no more memory than a login.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;

use super::everybody::line_ends;
use ivalt_core::problem::Problem;
use ivalt_core::settings::MobileFormat;
use ivalt_core::users::{Entry, EntryVisitor, Lines, Mobile, RawEntry, names_without_quotes, scan};

/// Who is looked at.
#[derive(Clone, Debug, Default)]
pub struct Asked<'a> {
    /// Their entries.
    pub names: HashSet<&'a str>,
    /// Everybody's who has one of these, by [`digits`].
    pub mobiles: HashSet<String>,
}

/// What the file says.
#[derive(Debug)]
pub struct Watched<'a> {
    /// Those of `Asked::names` who stand there: in which line first, and the judgement of a login.
    entries: HashMap<&'a str, (usize, Entry)>,
    /// For each of `Asked::mobiles`, who has it.
    pub owners: HashMap<String, Vec<String>>,
    /// The same for as long as the others say the same, in the same order.
    pub others: u64,
}

impl<'a> Watched<'a> {
    /// Reads `text`, the content of the file at `path`.
    ///
    /// # Errors
    /// The module would refuse everybody.
    pub fn read(
        path: &Path,
        text: &str,
        format: MobileFormat,
        asked: &Asked<'a>,
    ) -> Result<Self, Problem> {
        let ends = line_ends(text);
        let before = |at: usize| ends.partition_point(|end| *end < at);
        let lines = Lines {
            path,
            before: &before,
        };
        let watch = scan(text, Watch::new(asked)).map_err(|not_toml| lines.not_toml(not_toml))?;
        Ok(watch.finish(&lines, format))
    }

    /// What a login of this name would find.
    pub fn entry(&self, name: &str) -> &Entry {
        self.entries.get(name).map_or(&ABSENT, |(_, entry)| entry)
    }

    /// The line where the name stands first.
    pub fn line(&self, name: &str) -> usize {
        self.entries.get(name).map_or(1, |(line, _)| *line)
    }
}

static ABSENT: Entry = Entry::Absent;

/// National numbers are compared, too, and may be written with blanks or without.
pub fn digits(mobile: &str) -> String {
    mobile.chars().filter(char::is_ascii_digit).collect()
}

struct Watch<'i, 'q, 'a> {
    asked: &'q Asked<'a>,
    found: HashMap<&'a str, RawEntry<'i>>,
    owners: HashMap<String, Vec<String>>,
    /// One thing that the file says about somebody else.
    other: Option<(Cow<'i, str>, RawEntry<'i>)>,
    others: DefaultHasher,
}

impl<'q, 'a> Watch<'_, 'q, 'a> {
    fn new(asked: &'q Asked<'a>) -> Self {
        Self {
            asked,
            found: HashMap::new(),
            owners: HashMap::new(),
            other: None,
            others: DefaultHasher::new(),
        }
    }

    fn pass(&mut self) {
        if let Some(other) = self.other.take() {
            other.hash(&mut self.others);
            self.own(&other.0, other.1.mobile());
        }
    }

    fn own(&mut self, name: &str, mobile: Option<&str>) {
        if self.asked.mobiles.is_empty() {
            return;
        }
        let mobile = mobile.map(digits);
        if let Some(mobile) = mobile.filter(|mobile| self.asked.mobiles.contains(mobile)) {
            self.owners.entry(mobile).or_default().push(name.to_owned());
        }
    }

    fn finish(mut self, lines: &Lines, format: MobileFormat) -> Watched<'a> {
        self.pass();
        let mut entries = HashMap::new();
        for (name, found) in std::mem::take(&mut self.found) {
            let line = lines.number(found.at().unwrap_or_default());
            let entry = found.entry(lines, name.as_bytes(), format);
            if let Entry::Enrolled(mobile) | Entry::Disabled(mobile) = &entry {
                self.own(name, Some(Mobile::as_str(mobile)));
            }
            if entry != Entry::Absent {
                entries.insert(name, (line, entry));
            }
        }
        Watched {
            entries,
            owners: self.owners,
            others: self.others.finish(),
        }
    }
}

impl<'i> EntryVisitor<'i> for Watch<'i, '_, '_> {
    fn visit(&mut self, name: &Cow<'i, str>) -> Option<&mut RawEntry<'i>> {
        self.pass();
        if let Some(name) = self.asked.names.get(name.as_ref()) {
            return Some(self.found.entry(name).or_default());
        }
        let (_, found) = self.other.insert((name.clone(), RawEntry::default()));
        Some(found)
    }

    fn unquoted(&mut self, keys: &[Cow<'i, str>]) -> Option<(String, &mut RawEntry<'i>)> {
        let dotted = |name: &&str| name.contains('.');
        let mut names = names_without_quotes(keys);
        let name = names.find_map(|name| self.asked.names.get(name.as_str()))?;
        dotted(name).then(|| ((*name).to_owned(), self.found.entry(name).or_default()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn others(text: &str) -> u64 {
        let asked = Asked {
            names: HashSet::from(["alice"]),
            ..Asked::default()
        };
        let path = Path::new("users.toml");
        let watched = Watched::read(path, text, MobileFormat::E164, &asked);
        watched.unwrap_or_else(|why| panic!("{why}")).others
    }

    #[test]
    fn whatever_is_said_of_others_counts_and_nothing_else() {
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
