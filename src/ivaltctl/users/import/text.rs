//! The bytes of a CSV file: encoding, and what stands before its first row.

use std::borrow::Cow;
use std::cmp::Reverse;

use ivalt_core::problem::Problem;

/// A CSV file as UTF-8, though a field that nobody reads may be in another encoding.
#[derive(Debug)]
pub struct Text<'a> {
    bytes: Cow<'a, [u8]>,
    /// Where the first row begins.
    start: usize,
    /// What separates its columns.
    pub delimiter: u8,
}

impl<'a> Text<'a> {
    /// Reads byte-order mark, `sep=;` (Excel) and `#TYPE …` (Export-Csv of PowerShell 5).
    ///
    /// # Errors
    /// It is no CSV file, or an encoding that cannot be told.
    pub fn new(bytes: &'a [u8]) -> Result<Self, Problem> {
        let bytes = decoded(bytes)?;
        let (mut start, mut separator) = (0, None);
        loop {
            let line = first_line(&bytes[start..]);
            let named = named_separator(line);
            if named.is_none() && !line.starts_with(b"#TYPE ") {
                break;
            }
            separator = separator.or(named);
            start = (start + line.len() + 1).min(bytes.len());
        }
        let delimiter = separator.unwrap_or_else(|| most_frequent(&bytes[start..]));
        Ok(Self {
            bytes,
            start,
            delimiter,
        })
    }

    /// The rows.
    pub fn rows(&self) -> &[u8] {
        &self.bytes[self.start..]
    }

    /// The line of the file in which they begin.
    pub fn first_line(&self) -> usize {
        1 + line_ends(&self.bytes[..self.start])
    }
}

/// How many lines end in these bytes.
pub fn line_ends(bytes: &[u8]) -> usize {
    bytes.iter().filter(|byte| **byte == b'\n').count()
}

fn decoded(bytes: &[u8]) -> Result<Cow<'_, [u8]>, Problem> {
    const AGAIN: &str = "save it again as CSV in UTF-8 (Export-Csv -Encoding UTF8)";
    // The first bytes of ZIP and of OLE.
    if bytes.starts_with(b"PK\x03\x04") || bytes.starts_with(b"\xd0\xcf\x11\xe0") {
        return Err(
            Problem::invalid("is a workbook, not a CSV file").fix("save it as CSV in UTF-8")
        );
    }
    let text = match bytes {
        [0xef, 0xbb, 0xbf, text @ ..] => Cow::Borrowed(text),
        [0xff, 0xfe, text @ ..] => utf_16(text, u16::from_le_bytes)?,
        [0xfe, 0xff, text @ ..] => utf_16(text, u16::from_be_bytes)?,
        text => Cow::Borrowed(text),
    };
    if text.contains(&0) {
        let what = "contains NUL bytes, as UTF-16 without a byte-order mark does";
        return Err(Problem::invalid(what).fix(AGAIN));
    }
    Ok(text)
}

fn utf_16(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> Result<Cow<'_, [u8]>, Problem> {
    let broken = |_| {
        let what = "has a byte-order mark of UTF-16, but is not UTF-16 throughout";
        Problem::invalid(what).fix("save or copy it again; it may be cut off")
    };
    let units = bytes.chunks(2).map(|pair| match pair {
        [first, second] => unit([*first, *second]),
        // Half of a character: no unit stands for that, but half of a surrogate pair is as wrong.
        _ => 0xd800,
    });
    let text: String = char::decode_utf16(units)
        .collect::<Result<_, _>>()
        .map_err(broken)?;
    Ok(Cow::Owned(text.into_bytes()))
}

/// `sep=;`, in quotes or not.
fn named_separator(line: &[u8]) -> Option<u8> {
    let line = line.trim_ascii();
    let line = line
        .strip_prefix(b"\"")
        .and_then(|line| line.strip_suffix(b"\""))
        .unwrap_or(line);
    match line {
        [key @ .., separator @ (b',' | b';' | b'|')] if key.eq_ignore_ascii_case(b"sep=") => {
            Some(*separator)
        }
        // The blank of a TAB is taken off with other blanks.
        key if key.eq_ignore_ascii_case(b"sep=") => Some(b'\t'),
        _ => None,
    }
}

/// Spreadsheets write semicolons where the comma is a decimal point. Of two that are as frequent the first separates, as
/// in `alice;1,4E+10` and `alice,+14155550100;ext=1`.
fn most_frequent(rows: &[u8]) -> u8 {
    let (mut quoted, mut found) = (false, [(0, b','), (0, b';'), (0, b'\t')]);
    let rows = first_line(rows.trim_ascii_start());
    for byte in rows {
        quoted ^= *byte == b'"';
        if let Some((count, _)) = found.iter_mut().find(|(_, delimiter)| delimiter == byte) {
            *count += usize::from(!quoted);
        }
    }
    let first = |delimiter: u8| rows.iter().position(|byte| *byte == delimiter);
    let order = |(count, delimiter): &(usize, u8)| (*count, Reverse(first(*delimiter)));
    found
        .into_iter()
        .max_by_key(order)
        .map_or(b',', |(_, delimiter)| delimiter)
}

fn first_line(bytes: &[u8]) -> &[u8] {
    bytes
        .split(|byte| *byte == b'\n')
        .next()
        .unwrap_or_default()
}
