//! Another spelling of a name that is in the file: for users who have no entry.

use std::borrow::Cow;

use super::{EntryVisitor, RawEntry, names_without_quotes, prefilter, scan};
use crate::toml_events::NotToml;
use crate::user_name::{folded, is_spelling};

/// Names, in every spelling.
pub(super) struct Spellings {
    folded: Vec<Vec<u8>>,
    /// `First = { last = "…" }` may be meant for first.last.
    parts: Vec<Vec<u8>>,
}

impl Spellings {
    pub fn of(names: &[&[u8]]) -> Self {
        let folded: Vec<Vec<u8>> = names.iter().map(|name| folded(name)).collect();
        let parts = folded.iter().flat_map(|name| before_dots(name));
        Self {
            parts: parts.map(<[u8]>::to_vec).collect(),
            folded,
        }
    }

    fn matches(&self, name: &[u8]) -> bool {
        self.folded.iter().any(|folded| is_spelling(name, folded))
    }

    /// Whether an entry of this name may be about one of them.
    pub fn may_match(&self, name: &[u8]) -> bool {
        self.matches(name) || self.parts.iter().any(|part| is_spelling(name, part))
    }

    /// The first name in the file that is one of them, whatever is said of it.
    ///
    /// # Errors
    /// The text is not TOML, or there is no memory for it.
    pub fn find(&self, text: &str) -> Result<Option<String>, NotToml> {
        let kept = prefilter::without_others(text, |name| self.may_match(name))?;
        // What is wrong needs the whole file, for its lines.
        self.scan(&kept).or_else(|_| self.scan(text))
    }

    /// As [`Spellings::find`], and nothing is left out.
    ///
    /// # Errors
    /// As [`Spellings::find`].
    pub fn scan(&self, text: &str) -> Result<Option<String>, NotToml> {
        let visitor = Spelling {
            matches: |name: &[u8]| self.matches(name),
            dots: !self.parts.is_empty(),
            found: None,
        };
        Ok(scan(text, visitor)?.found)
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    /// What is left out says nothing about the name, however it is spelled.
    #[test]
    fn leaving_lines_out_hides_no_spelling() {
        let names = [
            "alice",
            "Alice",
            "ALICE@corp",
            "first.last",
            "FIRST.Last",
            "a.b.c",
            "νίκος.χ",
            "ΝΊΚΟΣ.Χ",
            "İ.x",
            "@realm.x",
            ".x",
            "",
            "ς",
            "first.last@corp.example",
            "K.x",
        ];
        let keys = [
            "alice",
            "Alice",
            "\"ALICE@corp.x\"",
            "first",
            "\"First.Last\"",
            "\"FIRST@corp\"",
            "a",
            "\"A.b\"",
            "\"ΝΊΚΟΣ\"",
            "\"νίκοσ.Χ\"",
            "\"@realm\"",
            "\"\"",
            "\"Σ\"",
            "\"İ\"",
            "\"\u{212a}\"",
            "k",
        ];
        let inner = [
            "last",
            "Last.mobile",
            "b",
            "\"B.c\"",
            "\"Χ\"",
            "x",
            "mobile",
            "\"c.enabled\"",
            "\"\"",
            "\"last@corp\"",
        ];
        let entries = |key: &str| {
            let tables = inner.map(|inner| format!("{key} = {{ {inner} = \"+1\" }}"));
            tables.into_iter().chain([format!("{key} = \"+1\"")])
        };
        for entry in keys.iter().flat_map(|key| entries(key)) {
            let text = format!("[users]\nzoe = \"+1\"\n{entry}\n");
            for name in names {
                let spellings = Spellings::of(&[name.as_bytes()]);
                let whole = spellings.scan(&text);
                assert_eq!(spellings.find(&text), whole, "{name} in {entry}");
            }
        }
    }
}
