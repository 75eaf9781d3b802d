//! Another spelling of a name that is in the file: for users who have no entry.

use std::borrow::Cow;

use super::{EntryVisitor, RawEntry, names_without_quotes, prefilter, scan};
use crate::toml_events::NotToml;
use crate::user_name::{folded, is_spelling};

/// The first name in the file that is a spelling of one of `names`, whatever is said of it.
///
/// # Errors
/// The text is not TOML, or there is no memory for it.
pub(super) fn find(text: &str, names: &[&[u8]]) -> Result<Option<String>, NotToml> {
    let wanted: Vec<Vec<u8>> = names.iter().map(|name| folded(name)).collect();
    let matches = |name: &[u8]| wanted.iter().any(|folded| is_spelling(name, folded));
    // `First = { last = "…" }` may be meant for first.last.
    let parts: Vec<&[u8]> = wanted.iter().flat_map(|name| before_dots(name)).collect();
    let may_match = |name: &[u8]| matches(name) || parts.iter().any(|part| is_spelling(name, part));
    let kept = prefilter::without_others(text, may_match)?;
    let visitor = || Spelling {
        matches,
        dots: !parts.is_empty(),
        found: None,
    };
    // What is wrong needs the whole file, for its lines.
    let read = scan(&kept, visitor()).or_else(|_| scan(text, visitor()))?;
    Ok(read.found)
}

/// `a` and `a.b` of `a.b.c`.
fn before_dots(name: &[u8]) -> impl Iterator<Item = &[u8]> {
    let dots = name.iter().enumerate().filter(|(_, byte)| **byte == b'.');
    dots.map(|(at, _)| &name[..at])
}

struct Spelling<F> {
    matches: F,
    /// Whether a name with dots is wanted.
    dots: bool,
    found: Option<String>,
}

impl<F: Fn(&[u8]) -> bool> Spelling<F> {
    fn note(&mut self, name: &str) {
        if self.found.is_none() && (self.matches)(name.as_bytes()) {
            self.found = Some(name.to_owned());
        }
    }
}

impl<'i, F: Fn(&[u8]) -> bool> EntryVisitor<'i> for Spelling<F> {
    fn visit(&mut self, name: &Cow<'i, str>) -> Option<&mut RawEntry<'i>> {
        self.note(name);
        None
    }

    fn unquoted(&mut self, keys: &[Cow<'i, str>]) -> Option<(String, &mut RawEntry<'i>)> {
        // No account has a longer name, and these are copies.
        const LONGEST: usize = 4096;
        let length: usize = keys.iter().map(|key| key.len() + 1).sum();
        if self.dots && length <= LONGEST {
            names_without_quotes(keys).for_each(|name| self.note(&name));
        }
        None
    }
}
