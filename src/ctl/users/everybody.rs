//! All entries of users.toml in one walk, each with the judgement a login would get.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::path::Path;

use crate::config::MobileFormat;
use crate::users::{self, Entry, Found, Lines, Register, Unusable, names_without_quotes, scan};

/// One name of the file.
#[derive(Debug)]
pub struct Person<'i> {
    /// As it is looked up.
    pub name: Cow<'i, str>,
    /// The line where it stands first.
    pub line: usize,
    /// What the module makes of it.
    pub entry: Entry,
}

/// Everybody, in the order of the file.
#[derive(Debug, Default)]
pub struct Everybody<'i> {
    people: Vec<Person<'i>>,
    places: HashMap<Cow<'i, str>, usize>,
}

impl<'i> Everybody<'i> {
    /// Reads `text`, the content of the file at `path`. A name of `asked` is also found where it lacks its quotes,
    /// as when it is looked up.
    ///
    /// # Errors
    /// The module would refuse everybody.
    pub fn read(
        path: &Path,
        text: &'i str,
        format: MobileFormat,
        asked: &HashSet<&str>,
    ) -> Result<Self, Unusable> {
        let ends: Vec<usize> = text.match_indices('\n').map(|(at, _)| at).collect();
        let before = |at: usize| ends.partition_point(|end| *end < at);
        let lines = Lines {
            path,
            before: &before,
        };
        let noted = Noted {
            asked,
            found: Vec::new(),
            places: HashMap::new(),
        };
        let noted = scan(text, noted).map_err(|not_toml| lines.not_toml(&not_toml))?;
        let judge = |(name, found): (Cow<'i, str>, Found<'i>)| Person {
            line: lines.number(found.at().unwrap_or_default()),
            entry: found.entry(&lines, name.as_bytes(), format),
            name,
        };
        Ok(Self {
            people: noted.found.into_iter().map(judge).collect(),
            places: noted.places,
        })
    }

    /// In the order of the file.
    pub fn people(&self) -> impl Iterator<Item = &Person<'i>> {
        let stands = |person: &&Person| person.entry != Entry::Absent;
        self.people.iter().filter(stands)
    }

    /// What a login of this name would find.
    pub fn of(&self, name: &str) -> Option<&Person<'i>> {
        let person = &self.people[*self.places.get(name)?];
        (person.entry != Entry::Absent).then_some(person)
    }
}

/// The bytes as text.
///
/// # Errors
/// They are not UTF-8; the module would refuse everybody.
pub fn text<'a>(path: &Path, bytes: &'a [u8]) -> Result<&'a str, Unusable> {
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
struct Noted<'i, 'a> {
    asked: &'a HashSet<&'a str>,
    found: Vec<(Cow<'i, str>, Found<'i>)>,
    places: HashMap<Cow<'i, str>, usize>,
}

impl<'i> Noted<'i, '_> {
    fn note(&mut self, name: &Cow<'i, str>) -> &mut Found<'i> {
        let next = self.found.len();
        let place = *self.places.entry(name.clone()).or_insert(next);
        if place == next {
            self.found.push((name.clone(), Found::default()));
        }
        &mut self.found[place].1
    }
}

impl<'i> Register<'i> for Noted<'i, '_> {
    fn of(&mut self, name: &Cow<'i, str>) -> Option<&mut Found<'i>> {
        Some(self.note(name))
    }

    fn unquoted(&mut self, keys: &[Cow<'i, str>]) -> Option<(String, &mut Found<'i>)> {
        let name = names_without_quotes(keys).find(|name| self.asked.contains(name.as_str()))?;
        let found = self.note(&Cow::Owned(name.clone()));
        Some((name, found))
    }
}
