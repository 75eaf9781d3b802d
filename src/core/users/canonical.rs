//! The line that `ivaltctl users` writes, `name = "value"` or `"name" = "value"`, told eight bytes at a time: of a
//! hundred thousand lines, nearly all are such.
//!
//! Eight bytes are one number. Where each of them is below 0x80, adding 0x80 − n to every one sets the highest bit of
//! those that are n or more, and none runs over into its neighbour. A class of bytes is thus a few additions, and its
//! answer the highest bit of each byte.

/// The highest bit of every byte.
const HIGH: u64 = every(0x80);

const fn every(byte: u8) -> u64 {
    0x0101_0101_0101_0101 * byte as u64
}

/// Such a line.
pub(super) struct Line<'t> {
    /// Without its quotes: letters, digits, `_` and `-`, or what may stand in quotes.
    pub name: &'t [u8],
    /// Of the line with its line feed, in bytes.
    pub length: usize,
}

/// The line that `text` begins with, if it is such; also `None` near the end of `text`, where that cannot be told.
#[inline(always)]
pub(super) fn line(text: &[u8]) -> Option<Line<'_>> {
    match text.strip_prefix(b"\"") {
        None => {
            let name = &text[..run(text, is_bare)?];
            entry(text, name, name.len(), b" = \"", b"\"\n")
        }
        Some(rest) => {
            let name = &rest[..run(rest, is_text)?];
            entry(text, name, name.len() + 1, b"\" = \"", b"\"\n")
        }
    }
}

/// The line of this name, which ends at `after_name`, if these are around its value. No name or value is empty: two
/// quotes may be the beginning of three.
#[inline(always)]
fn entry<'t, const B: usize, const A: usize>(
    text: &'t [u8],
    name: &'t [u8],
    after_name: usize,
    before: &[u8; B],
    after: &[u8; A],
) -> Option<Line<'t>> {
    let value = after_name + B;
    let close = value + run(text.get(value..)?, is_text)?;
    let whole = !name.is_empty()
        & (close != value)
        & (text.get(after_name..value)? == before)
        & (text.get(close..close + A)? == after);
    let length = close + A;
    whole.then_some(Line { name, length })
}

/// How many bytes at the beginning of `text` are of the class. Sixteen at a time, and without a branch between its
/// halves: lengths differ from line to line, and what the processor cannot guess costs more than the whole line.
#[inline(always)]
fn run(text: &[u8], class: impl Fn(u64) -> u64) -> Option<usize> {
    let mut length = 0;
    loop {
        let sixteen = u128::from_le_bytes(*text.get(length..)?.first_chunk()?);
        let (first, second) = (class(sixteen as u64), class((sixteen >> 64) as u64));
        let more = leading(u128::from(first) | u128::from(second) << 64);
        length += more;
        if more < 16 {
            return Some(length);
        }
    }
}

/// How many of the first bytes have their highest bit set, 0 to 16; no other bit is. On a little-endian number the first
/// is the lowest.
#[inline(always)]
fn leading(marks: u128) -> usize {
    const HIGHEST: u128 = (HIGH as u128) << 64 | HIGH as u128;
    (marks ^ HIGHEST).trailing_zeros() as usize / 8
}

/// Marks what may stand in a key without quotes.
#[inline(always)]
fn is_bare(bytes: u64) -> u64 {
    let low = bytes & !HIGH;
    // A capital with this bit is its small letter.
    let small = low | every(0x20);
    let letter = at_least(small, b'a') & !at_least(small, b'z' + 1);
    let digit = at_least(low, b'0') & !at_least(low, b'9' + 1);
    (letter | digit | !differs(low, b'_') | !differs(low, b'-')) & !bytes & HIGH
}

/// Marks what may stand between quotes as it is, of ASCII and without tabs.
#[inline(always)]
fn is_text(bytes: u64) -> u64 {
    let low = bytes & !HIGH;
    let visible = at_least(low, b' ') & !at_least(low, 0x7f);
    visible & differs(low, b'"') & differs(low, b'\\') & !bytes & HIGH
}

/// Marks every byte that is `least` or more; all are below 0x80.
#[inline(always)]
fn at_least(bytes: u64, least: u8) -> u64 {
    bytes.wrapping_add(every(0x80 - least))
}

/// Marks every byte that is not `byte`: there `^` leaves one or more. All are below 0x80.
#[inline(always)]
fn differs(bytes: u64, byte: u8) -> u64 {
    at_least(bytes ^ every(byte), 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every byte, in every place of a number, beside every other.
    #[test]
    fn classes_are_those_of_toml() {
        for byte in 0..=u8::MAX {
            let bare = byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
            let text = matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\');
            for beside in 0..=u8::MAX {
                for place in 0..8 {
                    let mut bytes = [beside; 8];
                    bytes[place] = byte;
                    let marked = |class: fn(u64) -> u64| {
                        class(u64::from_le_bytes(bytes)).to_le_bytes()[place] == 0x80
                    };
                    assert_eq!(marked(is_bare), bare, "{bytes:?}");
                    assert_eq!(marked(is_text), text, "{bytes:?}");
                }
            }
        }
    }

    #[test]
    fn lines_of_every_length() {
        for name in 1..50 {
            for value in 1..50 {
                let (bare, quoted, value) = ("n".repeat(name), ".".repeat(name), "v".repeat(value));
                for (name, key) in [(&bare, bare.clone()), (&quoted, format!("\"{quoted}\""))] {
                    let entry = format!("{key} = \"{value}\"\n");
                    let text = format!("{entry}{}", "x".repeat(16));
                    let line = line(text.as_bytes()).unwrap();
                    assert_eq!((line.name, line.length), (name.as_bytes(), entry.len()));
                }
            }
        }
    }

    #[test]
    fn nothing_else_is_such_a_line() {
        for text in [
            " = \"x\"\n",
            "a = \"\"\n",
            "a = \"\"\"\n",
            "a=\"x\"\n",
            "a  = \"x\"\n",
            "a = 'x'\n",
            "a = \"x\" \n",
            "a = \"x\"\r\n",
            "a = \"x\"",
            "a = \"x\n",
            "a = \"x\\\"\n",
            "a = \"\t\"\n",
            "a = \"\u{7f}\"\n",
            "a = \"\u{f6}\"\n",
            "a.b = \"x\"\n",
            "\"\" = \"x\"\n",
            "\"\"\"a\" = \"x\"\n",
            "\"a\"\" = \"x\"\n",
            "\"a = \"x\"\n",
            "a\" = \"x\"\n",
            "\"a\\\" = \"x\"\n",
            "\"a\"= \"x\"\n",
            "\u{f6} = \"x\"\n",
            " a = \"x\"\n",
            "[users]\n",
        ] {
            let padded = format!("{text}{}", "x".repeat(40));
            assert!(line(padded.as_bytes()).is_none(), "{text:?}");
            assert!(line(text.as_bytes()).is_none(), "{text:?}");
        }
    }
}
