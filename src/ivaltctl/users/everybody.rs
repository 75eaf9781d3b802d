//! All entries of users.toml in one walk, each with the judgement a login would get: for those who want to see them.
//! Who changes some only [watches](super::watched) the rest.

use std::borrow::Cow;
use std::collections::HashMap;
use std::path::Path;

use ivalt_core::problem::Problem;
use ivalt_core::settings::MobileFormat;
use ivalt_core::users::{self, Entry, EntryVisitor, Lines, RawEntry, scan};

/// One name of the file.
#[derive(Debug)]
pub struct Person<'i> {
    /// As it is looked up.
    pub name: Cow<'i, str>,
    /// What the module makes of it.
    pub entry: Entry,
}

/// Everybody, in the order of the file.
#[derive(Debug, Default)]
pub struct Everybody<'i> {
    people: Vec<Person<'i>>,
}

impl<'i> Everybody<'i> {
    /// Reads `text`, the content of the file at `path`.
    ///
    /// # Errors
    /// The module would refuse everybody.
    pub fn read(path: &Path, text: &'i str, format: MobileFormat) -> Result<Self, Problem> {
        let ends = line_ends(text);
        let before = |at: usize| ends.partition_point(|end| *end < at);
        let lines = Lines {
            path,
            before: &before,
        };
        let noted = scan(text, Noted::default()).map_err(|not_toml| lines.not_toml(not_toml))?;
        let judge = |(name, found): (Cow<'i, str>, RawEntry<'i>)| Person {
            entry: found.entry(&lines, name.as_bytes(), format),
            name,
        };
        let people = noted.found.into_iter().map(judge);
        let stands = |person: &Person| person.entry != Entry::Absent;
        Ok(Self {
            people: people.filter(stands).collect(),
        })
    }

    /// In the order of the file.
    pub fn people(&self) -> &[Person<'i>] {
        &self.people
    }
}

/// Where lines end: counting anew for each of many would take the square of the time.
pub fn line_ends(text: &str) -> Vec<usize> {
    text.match_indices('\n').map(|(at, _)| at).collect()
}

/// The bytes as text.
///
/// # Errors
/// They are not UTF-8; the module would refuse everybody.
pub fn text<'a>(path: &Path, bytes: &'a [u8]) -> Result<&'a str, Problem> {
    let before = |at: usize| bytes[..at].iter().filter(|byte| **byte == b'\n').count();
    users::text(
        bytes,
        &Lines {
            path,
            before: &before,
        },
    )
}

/// Everybody, not yet judged.
#[derive(Default)]
struct Noted<'i> {
    found: Vec<(Cow<'i, str>, RawEntry<'i>)>,
    places: HashMap<Cow<'i, str>, usize>,
}

impl<'i> EntryVisitor<'i> for Noted<'i> {
    fn visit(&mut self, name: &Cow<'i, str>) -> Option<&mut RawEntry<'i>> {
        let next = self.found.len();
        let place = *self.places.entry(name.clone()).or_insert(next);
        if place == next {
            self.found.push((name.clone(), RawEntry::default()));
        }
        Some(&mut self.found[place].1)
    }

    /// The entry of its first part says that it lacks its quotes.
    fn unquoted(&mut self, _: &[Cow<'i, str>]) -> Option<(String, &mut RawEntry<'i>)> {
        None
    }
}
