//! Changes to the text of users.toml. What a change does not concern stays byte for byte.

use std::ops::Range;

use super::places::{Pair, Place, Places};
use crate::toml_events::NotToml;

/// An entry as it is to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct New<'a> {
    /// The account.
    pub name: &'a str,
    /// As it is to be written.
    pub mobile: &'a str,
    /// Whether the person may log in.
    pub enabled: bool,
}

impl New<'_> {
    fn key(&self) -> String {
        quoted_key(self.name)
    }

    fn value(&self) -> String {
        if self.enabled {
            format!("\"{}\"", self.mobile)
        } else {
            disabled(&format!("\"{}\"", self.mobile))
        }
    }

    fn table(&self, newline: &str) -> String {
        let enabled = if self.enabled { "" } else { "enabled = false" };
        let mut table = format!(
            "{newline}[users.{}]{newline}mobile = \"{}\"{newline}",
            self.key(),
            self.mobile
        );
        if !enabled.is_empty() {
            table.push_str(enabled);
            table.push_str(newline);
        }
        table
    }
}

/// `alice`, `"first.last"`, `'DOM\user'`: as it must stand to be this one key.
pub fn quoted_key(name: &str) -> String {
    let bare = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
    if !name.is_empty() && name.bytes().all(bare) {
        return name.to_owned();
    }
    if name.contains(['"', '\\']) && !name.contains('\'') {
        return format!("'{name}'");
    }
    format!("\"{}\"", name.replace('\\', "\\\\").replace('"', "\\\""))
}

/// The text with these entries at the end of the table of users.
///
/// # Errors
/// The text is not TOML.
pub fn add(text: &str, new: &[New]) -> Result<String, NotToml> {
    let home = Places::of(text, "")?.home;
    let newline = newline(text);
    let lines = |indent: &str| -> String {
        let line = |new: &New| format!("{indent}{} = {}{newline}", new.key(), new.value());
        new.iter().map(line).collect()
    };
    Ok(match (home.table, home.inline, home.dotted) {
        (Some(end), ..) => {
            let indent = home.last.map_or("", |start| indentation(text, start));
            let at = if home.followed {
                line_end(text, end)
            } else {
                text.len()
            };
            insert_lines(text, at, &lines(indent))
        }
        (None, Some((end, others)), _) => inserted(text, end, &in_braces(new, others)),
        (None, None, Some(end)) => insert_lines(text, line_end(text, end), &lines("users.")),
        (None, None, None) if home.tables => {
            let tables: String = new.iter().map(|new| new.table(newline)).collect();
            insert_lines(text, text.len(), &tables)
        }
        (None, None, None) => {
            let table = format!("[users]{newline}{}", lines(""));
            insert_lines(text, text.len(), &table)
        }
    })
}

fn in_braces(new: &[New], others: bool) -> String {
    let pair = |new: &New| format!("{} = {}", new.key(), new.value());
    let pairs: Vec<String> = new.iter().map(pair).collect();
    if others {
        format!(", {}", pairs.join(", "))
    } else {
        format!(" {}", pairs.join(", "))
    }
}

/// The text without what it says about `name`, in whichever form and however often.
///
/// # Errors
/// The text is not TOML.
pub fn remove(text: &str, name: &str) -> Result<String, NotToml> {
    let mut text = text.to_owned();
    // One at a time: which comma goes with a pair shows only once its neighbour is gone.
    while let Some(range) = first_to_remove(&text, name)? {
        text.replace_range(range, "");
    }
    Ok(text)
}

fn first_to_remove(text: &str, name: &str) -> Result<Option<Range<usize>>, NotToml> {
    let places = Places::of(text, name)?.of_wanted;
    Ok(places.iter().find_map(|place| match place {
        Place::Entry(pair) | Place::Dotted(pair, _) => Some(with_its_line(text, pair)),
        Place::Table(range) => Some(whole_lines(text, range)),
        // Goes with the table it stands in.
        Place::Inner(..) => None,
    }))
}

fn with_its_line(text: &str, pair: &Pair) -> Range<usize> {
    let range = pair.start..pair.value.end;
    let Some(comma_before) = pair.inline else {
        return whole_lines(text, &range);
    };
    match (comma_after(text, range.end), comma_before) {
        (Some(after), _) => {
            let blanks = text[after..].len() - text[after..].trim_start_matches([' ', '\t']).len();
            range.start..after + blanks
        }
        (None, Some(before)) => before..range.end,
        (None, None) => range,
    }
}

/// Behind the comma that follows, blanks, line ends and comments between.
fn comma_after(text: &str, end: usize) -> Option<usize> {
    let mut rest = text[end..].trim_start();
    while rest.starts_with('#') {
        rest = rest
            .split_once('\n')
            .map_or("", |(_, rest)| rest)
            .trim_start();
    }
    rest.starts_with(',').then(|| text.len() - rest.len() + 1)
}

/// The text in which `name` is enabled or not; the entry is neither bad nor absent.
///
/// # Errors
/// The text is not TOML.
pub fn set_enabled(text: &str, name: &str, enabled: bool) -> Result<String, NotToml> {
    let places = Places::of(text, name)?.of_wanted;
    let mut written = None;
    let mut mobile = None;
    let mut entry = None;
    for place in places {
        match place {
            Place::Entry(pair) => entry = Some(pair),
            Place::Dotted(pair, true) | Place::Inner(pair, true) => written = Some(pair),
            Place::Dotted(pair, false) | Place::Inner(pair, false) => mobile = Some(pair),
            Place::Table(_) => {}
        }
    }
    if let (true, Some(entry), Some(mobile)) = (enabled, &entry, &mobile) {
        let literal = &text[mobile.value.clone()];
        // As `disable` writes it: back to what was before.
        if text[entry.value.clone()] == disabled(literal) {
            return Ok(replaced(text, entry.value.clone(), literal));
        }
    }
    Ok(match (written, mobile, entry) {
        (Some(written), ..) => replaced(text, written.value, &enabled.to_string()),
        (None, Some(mobile), _) => beside(text, &mobile, enabled),
        (None, None, Some(entry)) => {
            let literal = &text[entry.value.clone()];
            replaced(text, entry.value.clone(), &disabled(literal))
        }
        (None, None, None) => text.to_owned(),
    })
}

fn disabled(literal: &str) -> String {
    format!("{{ mobile = {literal}, enabled = false }}")
}

/// `enabled = …` after `mobile = …`, with the same keys before it.
fn beside(text: &str, mobile: &Pair, enabled: bool) -> String {
    let keys = &text[mobile.start..mobile.last_key];
    if mobile.inline.is_some() {
        let pair = format!(", {keys}enabled = {enabled}");
        return inserted(text, mobile.value.end, &pair);
    }
    let indent = indentation(text, mobile.start);
    let line = format!("{indent}{keys}enabled = {enabled}{}", newline(text));
    insert_lines(text, line_end(text, mobile.value.end), &line)
}

/// What the file ends its lines with.
fn newline(text: &str) -> &'static str {
    match text.find('\n') {
        Some(at) if text[..at].ends_with('\r') => "\r\n",
        _ => "\n",
    }
}

fn replaced(text: &str, range: Range<usize>, by: &str) -> String {
    [&text[..range.start], by, &text[range.end..]].concat()
}

fn inserted(text: &str, at: usize, what: &str) -> String {
    replaced(text, at..at, what)
}

/// Inserts at the beginning of a line, or at the end of a file whose last line may lack its end.
fn insert_lines(text: &str, at: usize, lines: &str) -> String {
    let before = &text[..at];
    let missing = if before.is_empty() || before.ends_with('\n') || before == BOM {
        ""
    } else {
        newline(text)
    };
    [before, missing, lines, &text[at..]].concat()
}

/// A byte-order mark belongs to no line.
const BOM: &str = "\u{feff}";

fn line_start(text: &str, at: usize) -> usize {
    let first = if text.starts_with(BOM) { BOM.len() } else { 0 };
    text[..at].rfind('\n').map_or(first, |end| end + 1)
}

fn line_end(text: &str, at: usize) -> usize {
    text[at..].find('\n').map_or(text.len(), |end| at + end + 1)
}

fn indentation(text: &str, at: usize) -> &str {
    let before = &text[line_start(text, at)..at];
    if before.trim_start_matches([' ', '\t']).is_empty() {
        before
    } else {
        ""
    }
}

fn whole_lines(text: &str, range: &Range<usize>) -> Range<usize> {
    line_start(text, range.start)..line_end(text, range.end)
}
