//! `users.toml` of a hundred thousand users: nearly every line is plainly another user's entry, and need not be parsed.
//!
//! A line is left out only where a statement begins and ends in it, whatever is before and after, so that the rest
//! is TOML if and only if the whole is. The first line that is not plain ends this: from there on all is kept.

use crate::sys::bytes::memchr;
use crate::sys::memory::{self, OutOfMemory};

/// `text` without blank lines, comments, and the plain entries that do not concern `wanted`.
///
/// # Errors
/// There is no memory for it.
pub fn prefilter(text: &str, wanted: &str) -> Result<String, OutOfMemory> {
    without_others(text, |name| concerns(name, wanted.as_bytes()))
}

/// `text` without blank lines, comments, and the plain entries of names that are not `wanted`.
///
/// # Errors
/// There is no memory for it.
pub fn without_others(text: &str, wanted: impl Fn(&[u8]) -> bool) -> Result<String, OutOfMemory> {
    let (mut filter, mut rest) = (Filter::new(wanted), text);
    while !rest.is_empty() {
        let end = memchr(b'\n', rest.as_bytes()).map_or(rest.len(), |at| at + 1);
        let (line, after) = rest.split_at(end);
        if !filter.line(line)? {
            memory::push_str(&mut filter.kept, rest)?;
            break;
        }
        rest = after;
    }
    Ok(filter.kept)
}

/// What is left of the lines of a file.
pub(super) struct Filter<W> {
    pub wanted: W,
    pub kept: String,
    /// Whether `[users]` has been seen, and no line that is not plain.
    pub in_users: bool,
}

impl<W: Fn(&[u8]) -> bool> Filter<W> {
    pub fn new(wanted: W) -> Self {
        Self {
            wanted,
            kept: String::new(),
            in_users: false,
        }
    }

    /// Keeps the next line, which may have its end, or leaves it out. Whether it is plain: if not, nothing is done.
    ///
    /// # Errors
    /// There is no memory for it.
    pub fn line(&mut self, line: &str) -> Result<bool, OutOfMemory> {
        // A carriage return alone ends no line.
        let whole = line.strip_suffix("\r\n").or(line.strip_suffix('\n'));
        match plain(whole.unwrap_or(line).as_bytes(), self.in_users) {
            Some(Plain::Entry(name)) if (self.wanted)(name) => {
                memory::push_str(&mut self.kept, line)?;
            }
            // At the beginning, and only there, three bytes are a byte-order mark: what comes next must not move there.
            Some(Plain::Nothing) if self.kept.is_empty() => {
                memory::push_str(&mut self.kept, "\n")?;
            }
            Some(Plain::Entry(_) | Plain::Nothing) => {}
            Some(Plain::Users) => {
                self.in_users = true;
                memory::push_str(&mut self.kept, line)?;
            }
            None => return Ok(false),
        }
        Ok(true)
    }
}

/// `first = { last = "…" }` is what `first.last` gets who forgot the quotes. Of most names the length is enough to tell.
pub(super) fn concerns(name: &[u8], wanted: &[u8]) -> bool {
    match wanted.get(name.len()) {
        None => name == wanted,
        Some(b'.') => wanted.starts_with(name),
        Some(_) => false,
    }
}

/// What a line says, without its end.
enum Plain<'l> {
    /// Blank, or a comment.
    Nothing,
    /// `[users]`
    Users,
    /// `name = "…"` or `name = { key = "…", … }`, below `[users]`.
    Entry(&'l [u8]),
}

fn plain(line: &[u8], in_users: bool) -> Option<Plain<'_>> {
    let line = skip_whitespace(line);
    if end(line).is_some() {
        return Some(Plain::Nothing);
    }
    if let Some(rest) = line.strip_prefix(b"[users]") {
        return end(skip_whitespace(rest)).map(|()| Plain::Users);
    }
    if !in_users {
        return None;
    }
    let (name, rest) = key(line)?;
    let rest = inline_table(eat_equals(rest)?).or_else(|| scalar(eat_equals(rest)?))?;
    end(skip_whitespace(rest)).map(|()| Plain::Entry(name))
}

/// The end of a line, or a comment to its end, in which TOML allows no control characters but tabs.
fn end(line: &[u8]) -> Option<()> {
    match line {
        [] => Some(()),
        [b'#', comment @ ..] => comment.iter().all(|byte| is_text(*byte)).then_some(()),
        _ => None,
    }
}

fn is_text(byte: u8) -> bool {
    !byte.is_ascii_control() || byte == b'\t'
}

fn skip_whitespace(line: &[u8]) -> &[u8] {
    let blanks = line.iter().take_while(|byte| matches!(byte, b' ' | b'\t'));
    &line[blanks.count()..]
}

/// Takes `=` with white space around it.
fn eat_equals(line: &[u8]) -> Option<&[u8]> {
    skip_whitespace(line)
        .strip_prefix(b"=")
        .map(skip_whitespace)
}

/// A key without dots, with or without quotes, and what follows.
fn key(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let bare = |byte: &&u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    match line.iter().take_while(bare).count() {
        0 => string(line),
        length => Some(line.split_at(length)),
    }
}

/// The content of a string in double quotes without escapes, and what follows.
fn string(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let inner = line.strip_prefix(b"\"")?;
    let plain = |byte: &&u8| is_text(**byte) && !matches!(byte, b'"' | b'\\');
    let (content, rest) = inner.split_at(inner.iter().take_while(plain).count());
    let rest = rest.strip_prefix(b"\"")?;
    // Three quotes begin a string of several lines.
    let several = content.is_empty() && rest.first() == Some(&b'"');
    (!several).then_some((content, rest))
}

/// What follows a string, `true` or `false`.
fn scalar(line: &[u8]) -> Option<&[u8]> {
    let flag = |word: &[u8]| line.strip_prefix(word);
    string(line)
        .map(|(_, rest)| rest)
        .or_else(|| flag(b"true"))
        .or_else(|| flag(b"false"))
}

/// What follows a table in one line, of plain keys and scalars.
fn inline_table(line: &[u8]) -> Option<&[u8]> {
    let mut rest = skip_whitespace(line.strip_prefix(b"{")?);
    loop {
        rest = skip_whitespace(scalar(eat_equals(key(rest)?.1)?)?);
        match rest {
            [b'}', after @ ..] => return Some(after),
            [b',', after @ ..] => rest = skip_whitespace(after),
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    fn prefilter(text: &str, wanted: &str) -> String {
        super::prefilter(text, wanted).unwrap()
    }

    #[test]
    fn plain_lines_of_others_go() {
        let text = "# all\n\n  [users] # here\r\nalice = \"+1\"\n\tbob\t=\t\"\" # b\u{f6}b\n\"c.d\" = { mobile = \"+2\", enabled = false }\n\
            \"alice\" = {mobile=\"+3\"}\r\ne-_9 = true\n";
        let kept = "\n  [users] # here\r\nalice = \"+1\"\n\"alice\" = {mobile=\"+3\"}\r\n";
        assert_eq!(prefilter(text, "alice"), kept);
        assert_eq!(prefilter(text, "c.d").lines().count(), 3);
        assert_eq!(prefilter("[users]\nbob = \"\"", "alice"), "[users]\n");
        // Twice is for the parser to refuse.
        let twice = "[users]\n[users]\n";
        assert_eq!(prefilter(twice, "alice"), twice);
    }

    #[test]
    fn what_may_be_a_name_without_quotes_stays() {
        let text = "[users]\nfirst = { last = \"+1\" }\nfirstly = \"\"\n\"\" = { x = true }\n";
        let kept = "[users]\nfirst = { last = \"+1\" }\n";
        assert_eq!(prefilter(text, "first.last"), kept);
        assert_eq!(prefilter(text, ".x"), "[users]\n\"\" = { x = true }\n");
    }

    /// Nowhere else is it one.
    #[test]
    fn nothing_becomes_a_byte_order_mark() {
        let text = "# all\n\u{feff}[users]\n";
        assert_eq!(prefilter(text, "alice"), "\n\u{feff}[users]\n");
        let text = "\u{feff}[users]\nbob = \"\"\n";
        assert_eq!(prefilter(text, "alice"), text);
    }

    #[test]
    fn what_is_not_plain_stays_with_all_that_follows() {
        for line in [
            "first.last = \"+1\"",
            "bob = \"\"\"",
            "bob = \"\"\"\"\"\"",
            "bob = \"a\\u0062\"",
            "bob = 'x'",
            "bob = 5",
            "bob = truely",
            "bob = \"a\" \"b\"",
            "bob = \"a\u{7}\"",
            "bob \"a\"",
            "= \"a\"",
            "bob = {}",
            "bob = { mobile = \"+1\", }",
            "bob = { mobile = [\"+1\"] }",
            "bob = { a.b = true }",
            "bob = { mobile = \"+1\"",
            "bob = [",
            "# a\u{7}",
            "[users.bob]",
            "[ users ]",
            "[[users]]",
            "bob = \"a\rb\"",
            "# a\r\r",
        ] {
            let text = format!("[users]\ncarol = \"\"\n{line}\ndave = \"\"\n");
            let kept = format!("[users]\n{line}\ndave = \"\"\n");
            assert_eq!(prefilter(&text, "alice"), kept, "{line}");
        }
        assert_eq!(
            prefilter("[users]\ncarol = \"\"\r", "alice"),
            "[users]\ncarol = \"\"\r"
        );
        let outside = "bob = \"\"\n[users]\ncarol = \"\"\n";
        assert_eq!(prefilter(outside, "alice"), outside);
    }
}
