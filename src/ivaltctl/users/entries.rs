//! All entries of users.toml in one pass, each judged as a login would judge it: for commands that show them. A command
//! that changes some takes a [snapshot](super::snapshot) instead.

use std::borrow::Cow;
use std::collections::HashMap;
use std::path::Path;

use ivalt_core::problem::Problem;
use ivalt_core::settings::MobileFormat;
use ivalt_core::users::{self, Entry, EntryVisitor, Lines, RawEntry, scan};

/// One user of the file.
#[derive(Debug)]
pub struct UserEntry<'i> {
    /// The name, as it is looked up.
    pub name: Cow<'i, str>,
    /// What the module makes of it.
    pub entry: Entry,
    /// The file that has it.
    pub file: &'i Path,
    /// The other file, where it has an entry for the name, too, which does not count.
    pub covers: Option<&'i Path>,
}

/// The users of both files: what is written by hand counts.
pub fn merged<'i>(mut own: Vec<UserEntry<'i>>, synced: Vec<UserEntry<'i>>) -> Vec<UserEntry<'i>> {
    let places = own.iter().enumerate();
    let places: HashMap<_, _> = places.map(|(at, user)| (user.name.clone(), at)).collect();
    for user in synced {
        match places.get(&user.name) {
            Some(at) => own[*at].covers = Some(user.file),
            None => own.push(user),
        }
    }
    own
}

/// All entries of `text`, the content of the file at `path`, in the order of the file.
///
/// # Errors
/// The module would refuse everybody.
pub fn read_all<'i>(
    path: &'i Path,
    text: &'i str,
    format: MobileFormat,
) -> Result<Vec<UserEntry<'i>>, Problem> {
    let ends = line_ends(text);
    let before = |at: usize| ends.partition_point(|end| *end < at);
    let lines = Lines {
        path,
        before: &before,
    };
    let collector =
        scan(text, Collector::default()).map_err(|not_toml| lines.not_toml(not_toml))?;
    let judge = |(name, found): (Cow<'i, str>, RawEntry<'i>)| UserEntry {
        entry: found.entry(&lines, name.as_bytes(), format),
        name,
        file: path,
        covers: None,
    };
    let entries = collector.found.into_iter().map(judge);
    Ok(entries.filter(|user| user.entry != Entry::Absent).collect())
}

/// Where lines end: counting from the start for each of many entries would take quadratic time.
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

/// All entries, not yet judged.
#[derive(Default)]
struct Collector<'i> {
    found: Vec<(Cow<'i, str>, RawEntry<'i>)>,
    index: HashMap<Cow<'i, str>, usize>,
}

impl<'i> EntryVisitor<'i> for Collector<'i> {
    fn visit(&mut self, name: &Cow<'i, str>) -> Option<&mut RawEntry<'i>> {
        let next = self.found.len();
        let index = *self.index.entry(name.clone()).or_insert(next);
        if index == next {
            self.found.push((name.clone(), RawEntry::default()));
        }
        Some(&mut self.found[index].1)
    }

    /// The entry of the first part of such a name says that quotes are missing.
    fn unquoted(&mut self, _: &[Cow<'i, str>]) -> Option<(String, &mut RawEntry<'i>)> {
        None
    }
}
