//! The text of a file of pam.d into lines and words, as libpam does it (`_pam_assemble_line`, `_pam_tokenize`).

use std::ops::RangeInclusive;

/// libpam before 1.6 reads so many bytes of a line.
const MAX_LINE: usize = 1022;

/// Only these separate words: a carriage return is part of a word.
const BLANKS: [char; 3] = [' ', '\n', '\t'];

/// A line with those that continue it.
pub struct LogicalLine {
    /// The number of its first line, from 1.
    pub number: usize,
    /// That of its last line.
    pub last: usize,
    pub text: String,
    /// A comment or an empty line follows a backslash.
    pub interrupted: bool,
    pub too_long: bool,
}

/// Removes comments and joins continued lines, as libpam before 1.6 does it. The last one is [`Err`] where the file
/// ends before the line does: its first line.
pub fn logical_lines(text: &str) -> Vec<Result<LogicalLine, usize>> {
    let mut lines = Vec::new();
    let mut open: Option<LogicalLine> = None;
    for (index, raw) in text.split_inclusive('\n').enumerate() {
        let content = content(raw);
        if content.is_empty() || content.starts_with('#') {
            open.iter_mut().for_each(|line| line.interrupted = true);
            continue;
        }
        let mut line = open.take().unwrap_or_else(|| LogicalLine {
            number: index + 1,
            last: index + 1,
            text: String::new(),
            interrupted: false,
            too_long: false,
        });
        let continued = append(&mut line.text, content);
        line.last = index + 1;
        line.too_long = line.text.len() > MAX_LINE;
        if continued {
            open = Some(line);
        } else {
            lines.push(Ok(line));
        }
    }
    lines.extend(open.map(|line| Err(line.number)));
    lines
}

/// The lines, from 1, over which the one that begins at `number` continues; `None` where libpam's versions disagree.
pub fn extent(text: &str, number: usize) -> Option<RangeInclusive<usize>> {
    let mut lines = logical_lines(text).into_iter().flatten();
    let line = lines.find(|line| line.number == number)?;
    (!line.interrupted).then_some(line.number..=line.last)
}

/// Whether the next line continues this one.
pub fn is_continued(line: &str) -> bool {
    append(&mut String::new(), content(line))
}

/// C ends the text at a NUL.
fn content(raw: &str) -> &str {
    let raw = raw.split('\0').next().unwrap_or_default();
    raw.trim_start_matches(BLANKS)
}

/// Adds what counts of a line; whether the next one continues it.
fn append(text: &mut String, content: &str) -> bool {
    if let Some((before, _)) = content.split_once('#') {
        text.push_str(before);
        return false;
    }
    let trimmed = content.trim_end_matches(BLANKS);
    let Some(before) = trimmed.strip_suffix('\\') else {
        text.push_str(trimmed);
        return false;
    };
    text.push_str(before);
    text.push(' ');
    true
}

/// The first word, and what follows it. Brackets hold a word together; in them `\]` is a bracket of the word.
pub fn next_word(text: &str) -> (Option<String>, &str) {
    let text = text.trim_start_matches(BLANKS);
    if text.is_empty() {
        return (None, "");
    }
    let Some(bracketed) = text.strip_prefix('[') else {
        let end = text.find(BLANKS).unwrap_or(text.len());
        return (Some(text[..end].to_owned()), &text[end..]);
    };
    let mut word = String::new();
    let mut rest = bracketed.char_indices().peekable();
    while let Some((at, letter)) = rest.next() {
        match letter {
            ']' => return (Some(word), &bracketed[at + 1..]),
            '\\' if matches!(rest.peek(), Some((_, ']'))) => {
                word.push(']');
                rest.next();
            }
            _ => word.push(letter),
        }
    }
    (Some(word), "")
}

/// All words.
pub fn words(mut text: &str) -> Vec<String> {
    let mut words = Vec::new();
    while let (Some(word), rest) = next_word(text) {
        words.push(word);
        text = rest;
    }
    words
}
