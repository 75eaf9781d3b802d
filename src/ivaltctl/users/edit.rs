//! Changes to the text of users.toml. Everything that a change does not concern stays byte for byte.

use std::ops::Range;

use super::spans::{Occurrence, Pair, Spans};
use ivalt_core::toml_events::NotToml;

/// An entry as it is to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewEntry<'a> {
    /// The account.
    pub name: &'a str,
    /// As it is to be written.
    pub mobile: &'a str,
    /// Whether the user may log in.
    pub enabled: bool,
    /// What stands behind it, where a comment can: TOML has no place for one in `users = { … }`.
    pub comment: Option<&'static str>,
}

/// Behind the entry that `users disable` writes for a user of the synced file.
pub const BY_DISABLE: &str = "# by `ivaltctl users disable`: counts in place of the synced entry";

impl NewEntry<'_> {
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

    /// With blanks before it.
    fn comment(&self) -> String {
        let comment = self.comment.map(|comment| format!("  {comment}"));
        comment.unwrap_or_default()
    }

    fn table(&self, newline: &str) -> String {
        let enabled = if self.enabled { "" } else { "enabled = false" };
        let mut table = format!(
            "{newline}[users.{}]{}{newline}mobile = \"{}\"{newline}",
            self.key(),
            self.comment(),
            self.mobile
        );
        if !enabled.is_empty() {
            table.push_str(enabled);
            table.push_str(newline);
        }
        table
    }
}

/// `alice`, `"first.last"`, `'DOM\user'`: the name as one TOML key.
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
pub fn add(text: &str, new: &[NewEntry]) -> Result<String, NotToml> {
    let insertion = Spans::find(text, "")?.insertion;
    let newline = newline(text);
    let lines = |indent: &str| -> String {
        let line = |new: &NewEntry| {
            let (key, value, comment) = (new.key(), new.value(), new.comment());
            format!("{indent}{key} = {value}{comment}{newline}")
        };
        new.iter().map(line).collect()
    };
    Ok(
        match (insertion.table, insertion.inline, insertion.dotted) {
            (Some(end), ..) => {
                let indent = insertion.last.map_or("", |start| indentation(text, start));
                let at = if insertion.followed {
                    line_end(text, end)
                } else {
                    text.len()
                };
                insert_lines(text, at, &lines(indent))
            }
            (None, Some((end, others)), _) => inserted(text, end, &in_braces(new, others)),
            (None, None, Some(end)) => insert_lines(text, line_end(text, end), &lines("users.")),
            (None, None, None) if insertion.tables => {
                let tables: String = new.iter().map(|new| new.table(newline)).collect();
                insert_lines(text, text.len(), &tables)
            }
            (None, None, None) => {
                let table = format!("[users]{newline}{}", lines(""));
                insert_lines(text, text.len(), &table)
            }
        },
    )
}

fn in_braces(new: &[NewEntry], others: bool) -> String {
    let pair = |new: &NewEntry| format!("{} = {}", new.key(), new.value());
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
    // One at a time: which comma goes with a pair depends on whether its neighbour is still there.
    while let Some(range) = first_to_remove(&text, name)? {
        text.replace_range(range, "");
    }
    Ok(text)
}

fn first_to_remove(text: &str, name: &str) -> Result<Option<Range<usize>>, NotToml> {
    let occurrences = Spans::find(text, name)?.occurrences;
    let whole = |occurrence: &&Occurrence| {
        matches!(occurrence, Occurrence::Entry(_) | Occurrence::Table(_))
    };
    let first = occurrences.iter().find(whole).or(occurrences.first());
    Ok(first.map(|occurrence| match occurrence {
        Occurrence::Entry(pair) | Occurrence::Mobile(pair) | Occurrence::Enabled(pair) => {
            removal_range(text, pair)
        }
        Occurrence::Table(range) => whole_lines(text, range),
    }))
}

fn removal_range(text: &str, pair: &Pair) -> Range<usize> {
    let range = pair.start..pair.value.end;
    let Some(comma_before) = pair.inline else {
        return whole_lines(text, &range);
    };
    match (comma_after(text, range.end), comma_before) {
        (Some(after), _) => {
            let blank = text[after..].len() - text[after..].trim_start_matches([' ', '\t']).len();
            range.start..after + blank
        }
        (None, Some(before)) => before..range.end,
        (None, None) => range,
    }
}

/// The offset behind the comma that follows, after white space and comments.
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

/// Whether the only entry of `name` is one that `users disable` wrote for a user of the synced file.
///
/// # Errors
/// The text is not TOML.
pub fn is_by_disable(text: &str, name: &str) -> Result<bool, NotToml> {
    let occurrences = Spans::find(text, name)?.occurrences;
    let mut whole = occurrences
        .iter()
        .filter_map(|occurrence| match occurrence {
            Occurrence::Entry(pair) => Some(&text[pair.value.end..line_end(text, pair.value.end)]),
            Occurrence::Table(range) => {
                let header = &text[range.start..line_end(text, range.start)];
                // A name in quotes may hold the bracket that ends others.
                let from_name = header.split_once(&quoted_key(name));
                let rest = from_name.map_or(header, |(_, rest)| rest);
                rest.split_once("]").map(|(_, rest)| rest)
            }
            Occurrence::Mobile(_) | Occurrence::Enabled(_) => None,
        });
    let first = whole.next();
    Ok(first.is_some_and(|rest| rest.trim() == BY_DISABLE) && whole.next().is_none())
}

/// The text in which `name` is enabled or not; the entry is neither bad nor absent.
///
/// # Errors
/// The text is not TOML.
pub fn set_enabled(text: &str, name: &str, enabled: bool) -> Result<String, NotToml> {
    let (mut enabled_key, mut mobile, mut entry) = (None, None, None);
    for occurrence in Spans::find(text, name)?.occurrences {
        match occurrence {
            Occurrence::Entry(pair) => entry = Some(pair),
            Occurrence::Enabled(pair) => enabled_key = Some(pair),
            Occurrence::Mobile(pair) => mobile = Some(pair),
            Occurrence::Table(_) => {}
        }
    }
    if let (true, Some(entry), Some(mobile)) = (enabled, &entry, &mobile) {
        let literal = &text[mobile.value.clone()];
        // As `disable` writes it: back to what there was before.
        if text[entry.value.clone()] == disabled(literal) {
            return Ok(replaced(text, entry.value.clone(), literal));
        }
    }
    Ok(match (enabled_key, mobile, entry) {
        (Some(pair), ..) => replaced(text, pair.value, &enabled.to_string()),
        (None, Some(mobile), _) => with_enabled_key(text, &mobile, enabled),
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
fn with_enabled_key(text: &str, mobile: &Pair, enabled: bool) -> String {
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

#[cfg(test)]
mod tests {
    use super::*;

    const NEW: NewEntry = NewEntry {
        name: "new",
        mobile: "+14155550100",
        enabled: true,
        comment: None,
    };

    #[test]
    fn a_new_entry_comes_last_below_users() {
        const LINE: &str = "new = \"+14155550100\"\n";
        for (before, after) in [
            ("", "[users]\nNEW".to_owned()),
            ("\u{feff}", "\u{feff}[users]\nNEW".to_owned()),
            ("# mine\n", "# mine\n[users]\nNEW".to_owned()),
            ("# mine", "# mine\n[users]\nNEW".to_owned()),
            ("[users]", "[users]\nNEW".to_owned()),
            ("[users]\n# a = 1\n", "[users]\n# a = 1\nNEW".to_owned()),
            ("[users]\na = '1'", "[users]\na = '1'\nNEW".to_owned()),
            (
                "[users]\n  a = '1' # x\n",
                "[users]\n  a = '1' # x\n  NEW".to_owned(),
            ),
            (
                "[users]\na = '1' # x\n\n# b\n[users.b]\nmobile = '1'\n",
                "[users]\na = '1' # x\nNEW\n# b\n[users.b]\nmobile = '1'\n".to_owned(),
            ),
            (
                "[users.b]\nmobile = '1'\n[users] # x\n[users.c]\n",
                "[users.b]\nmobile = '1'\n[users] # x\nNEW[users.c]\n".to_owned(),
            ),
            (
                "[users]\na = { mobile = '1',\n  enabled = true }\n[users.b]\n",
                "[users]\na = { mobile = '1',\n  enabled = true }\nNEW[users.b]\n".to_owned(),
            ),
            (
                "users.a = '1' # x\n",
                "users.a = '1' # x\nusers.NEW".to_owned(),
            ),
            (
                "users.a.mobile = '1'\n[users.b]\n",
                "users.a.mobile = '1'\nusers.NEW[users.b]\n".to_owned(),
            ),
        ] {
            assert_eq!(
                add(before, &[NEW]).unwrap(),
                after.replace("NEW", LINE),
                "{before}"
            );
        }
    }

    #[test]
    fn a_new_entry_in_other_forms() {
        for (before, after) in [
            ("users = {}", "users = { new = \"+14155550100\"}"),
            (
                "users = { a = '1' } # x",
                "users = { a = '1', new = \"+14155550100\" } # x",
            ),
            (
                "users = {\n  a = { mobile = '1' }, # x\n}\n",
                "users = {\n  a = { mobile = '1' }, new = \"+14155550100\", # x\n}\n",
            ),
            (
                "[users.a]\nmobile = '1'\n",
                "[users.a]\nmobile = '1'\n\n[users.new]\nmobile = \"+14155550100\"\n",
            ),
            (
                "[users]\r\na = '1'\r\n",
                "[users]\r\na = '1'\r\nnew = \"+14155550100\"\r\n",
            ),
            (
                "[users]\r\na = '1'",
                "[users]\r\na = '1'\r\nnew = \"+14155550100\"\r\n",
            ),
        ] {
            assert_eq!(add(before, &[NEW]).unwrap(), after, "{before}");
        }
    }

    #[test]
    fn a_new_and_disabled_entry() {
        let new = NewEntry {
            enabled: false,
            ..NEW
        };
        assert_eq!(
            add("[users]\n", &[new.clone(), NEW]).unwrap(),
            "[users]\nnew = { mobile = \"+14155550100\", enabled = false }\nnew = \"+14155550100\"\n"
        );
        assert_eq!(
            add("[users.a]\n", &[new]).unwrap(),
            "[users.a]\n\n[users.new]\nmobile = \"+14155550100\"\nenabled = false\n"
        );
    }

    #[test]
    fn an_entry_of_disable_is_known_by_its_comment() {
        let new = NewEntry {
            enabled: false,
            comment: Some(BY_DISABLE),
            ..NEW
        };
        let value = format!("{{ mobile = \"+14155550100\", enabled = false }}  {BY_DISABLE}");
        for (before, after) in [
            ("[users]\n", format!("[users]\nnew = {value}\n")),
            (
                "[users]\r\na = '1'",
                format!("[users]\r\na = '1'\r\nnew = {value}\r\n"),
            ),
            (
                "users.a = '1'\n",
                format!("users.a = '1'\nusers.new = {value}\n"),
            ),
            (
                "[users.a]\n",
                format!(
                    "[users.a]\n\n[users.new]  {BY_DISABLE}\nmobile = \"+14155550100\"\nenabled = false\n"
                ),
            ),
        ] {
            let text = add(before, std::slice::from_ref(&new)).unwrap();
            assert_eq!(text, after);
            assert_eq!(is_by_disable(&text, "new"), Ok(true), "{text}");
            assert_eq!(is_by_disable(&text, "a"), Ok(false), "{text}");
        }
        let bracket = NewEntry { name: "]", ..new };
        let text = add("[users.a]\n", &[bracket]).unwrap();
        assert_eq!(is_by_disable(&text, "]"), Ok(true), "{text}");
        // In braces there is no place for it.
        let text = add("users = {}", &[new]).unwrap();
        assert_eq!(
            text,
            "users = { new = { mobile = \"+14155550100\", enabled = false }}"
        );
        for other in [
            text,
            format!("[users]\nnew = {value} mine\n"),
            format!("[users]\nnew = {value}\nnew = {value}\n"),
            format!("[users]\nnew = '1'\n{BY_DISABLE}\n"),
            "[users]\n".to_owned(),
        ] {
            assert_eq!(is_by_disable(&other, "new"), Ok(false), "{other}");
        }
    }

    #[test]
    fn names_are_quoted_where_they_must_be() {
        for (name, key) in [
            ("alice", "alice"),
            ("a-b_C9", "a-b_C9"),
            ("first.last", "\"first.last\""),
            ("a b", "\"a b\""),
            ("m\u{fc}ller", "\"m\u{fc}ller\""),
            ("DOM\\user", "'DOM\\user'"),
            ("say\"hi\"", "'say\"hi\"'"),
            ("o'brien", "\"o'brien\""),
            ("o'br\\i\"en", "\"o'br\\\\i\\\"en\""),
            ("", "\"\""),
        ] {
            assert_eq!(quoted_key(name), key);
        }
    }

    #[test]
    fn removal_concerns_nobody_else() {
        for (before, after) in [
            ("[users]\na = '1' # x\nb = '2'\n", "[users]\nb = '2'\n"),
            ("[users]\nb = '2'\na = '1'", "[users]\nb = '2'\n"),
            ("[users]\n  'a' = 5\r\nb = '2'\r\n", "[users]\nb = '2'\r\n"),
            ("[users]\na = ['1',\n'2']\nb = '2'", "[users]\nb = '2'"),
            (
                "[users]\na = { mobile = '1',\n }\nb = '2'",
                "[users]\nb = '2'",
            ),
            (
                "[users]\na.mobile = '1'\nb = '2'\na.enabled = true\n",
                "[users]\nb = '2'\n",
            ),
            (
                "\u{feff}users.a = '1'\nusers.b = '2'\n",
                "\u{feff}users.b = '2'\n",
            ),
            (
                "# a\n[users.a] # x\n# y\nmobile = '1'\nenabled = true\n\n# b\n[users.b]\n",
                "# a\n\n# b\n[users.b]\n",
            ),
            ("[users.a]", ""),
            ("[[users.a]]\nmobile = '1'\n[users.b]\n", "[users.b]\n"),
            // Twice: both.
            (
                "[users]\na = '1'\nb = '2'\na = '3'\n[users.a]\nx = 1\n",
                "[users]\nb = '2'\n",
            ),
            ("users = { a = '1' }", "users = {  }"),
            ("users = { a = '1', b = '2' }", "users = { b = '2' }"),
            ("users = { b = '2', a = '1' }", "users = { b = '2' }"),
            (
                "users = { b = '2', a = '1', c = '3' }",
                "users = { b = '2', c = '3' }",
            ),
            (
                "users = { b = '2', a.mobile = '1', a.enabled = true }",
                "users = { b = '2' }",
            ),
            (
                "users = {\n  b = '2', # b\n  a = '1' # a,\n  , c = '3'\n}",
                "users = {\n  b = '2', # b\n  c = '3'\n}",
            ),
            // Other users, and names that only look alike.
            (
                "[users]\naa = '1'\n'a.b' = '1'\nb.a = '1'\n",
                "[users]\naa = '1'\n'a.b' = '1'\nb.a = '1'\n",
            ),
            (
                "[users]\na.b = '1'\n[users.a.c]\n",
                "[users]\na.b = '1'\n[users.a.c]\n",
            ),
        ] {
            assert_eq!(remove(before, "a").unwrap(), after, "{before}");
        }
    }

    #[test]
    fn disabled_and_enabled_again() {
        for (before, after) in [
            (
                "[users]\na = '1' # x\n",
                "[users]\na = { mobile = '1', enabled = false } # x\n",
            ),
            (
                "users.a = \"1\"",
                "users.a = { mobile = \"1\", enabled = false }",
            ),
            (
                "users = { a = '1' }",
                "users = { a = { mobile = '1', enabled = false } }",
            ),
        ] {
            assert_eq!(set_enabled(before, "a", false).unwrap(), after);
            assert_eq!(set_enabled(after, "a", true).unwrap(), before);
        }
    }

    #[test]
    fn enabled_is_a_key_like_any_other() {
        for (before, after) in [
            (
                "[users]\na = {mobile='1'}\n",
                "[users]\na = {mobile='1', enabled = false}\n",
            ),
            (
                "[users]\na = { enabled = true, mobile = '1' } # x\n",
                "[users]\na = { enabled = false, mobile = '1' } # x\n",
            ),
            (
                "[users.a] # x\n\tmobile = '1' # y\n[users.b]\nmobile = '2'\n",
                "[users.a] # x\n\tmobile = '1' # y\n\tenabled = false\n[users.b]\nmobile = '2'\n",
            ),
            (
                "[users.a]\r\nmobile = '1'",
                "[users.a]\r\nmobile = '1'\r\nenabled = false\r\n",
            ),
            (
                "[users]\n 'a' . mobile = '1'\nb = '2'\n",
                "[users]\n 'a' . mobile = '1'\n 'a' . enabled = false\nb = '2'\n",
            ),
            (
                "users.a.mobile = '1'\nusers.b = '2'\n",
                "users.a.mobile = '1'\nusers.a.enabled = false\nusers.b = '2'\n",
            ),
            (
                "users = { a.mobile = '1', b = '2' }",
                "users = { a.mobile = '1', a.enabled = false, b = '2' }",
            ),
            (
                "[users]\na.enabled = true\na.mobile = '1'\n",
                "[users]\na.enabled = false\na.mobile = '1'\n",
            ),
        ] {
            assert_eq!(set_enabled(before, "a", false).unwrap(), after);
            let again = set_enabled(after, "a", true).unwrap();
            assert_eq!(again, after.replace("enabled = false", "enabled = true"));
        }
    }
}
