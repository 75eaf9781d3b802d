//! A large users file piece by piece: reading a million users whole would take their size in memory.

use std::io;
use std::str::from_utf8;

use super::canonical;
use super::prefilter::Filter;
use crate::sys::bytes::{memchr, memrchr};
use crate::sys::memory;

/// How much of a file is in memory at once, in bytes. What is no larger is read whole.
pub(super) const WINDOW: usize = 64 << 10;

/// What [`super::prefilter`] keeps of a file, without its whole text. `read_at` is as pread(2), and `size` that of the
/// window in bytes.
///
/// `None` if it takes the whole file to say what it is: a line is not plain, no UTF-8 or longer than the window, there
/// is no memory, or reading fails.
pub(super) fn filter(
    mut read_at: impl FnMut(&mut [u8], u64) -> io::Result<usize>,
    size: usize,
    wanted: impl Fn(&[u8]) -> bool,
) -> Option<String> {
    let mut filter = Filter::new(wanted);
    let mut window = memory::zeroed(size).ok()?;
    let (mut offset, mut filled) = (0, 0);
    // A full window without the end of a line never empties.
    while filled < window.len() {
        let read = read_at(&mut window[filled..], offset).ok()?;
        if read == 0 {
            // The last line may have no end.
            line(&mut filter, &window[..filled])?;
            return Some(filter.kept);
        }
        offset += read as u64;
        filled += read;
        let done = lines(&mut filter, &window[..filled])?;
        window.copy_within(done..filled, 0);
        filled -= done;
    }
    None
}

/// Takes all lines of `text` that have an end: how many bytes they are.
fn lines<W: Fn(&[u8]) -> bool>(filter: &mut Filter<W>, text: &[u8]) -> Option<usize> {
    let mut done = 0;
    loop {
        if filter.in_users {
            done += others(&filter.wanted, &text[done..]);
        }
        let Some(end) = memchr(b'\n', &text[done..]) else {
            return Some(done);
        };
        let next = done + end + 1;
        line(filter, &text[done..next])?;
        done = next;
    }
}

/// How many bytes at the beginning of `text` are canonical lines of users who are not wanted.
///
/// Where a line begins is known when the one before it has been read. So the processor gets one of each half of `text`,
/// and reads both at once.
fn others(wanted: impl Fn(&[u8]) -> bool, text: &[u8]) -> usize {
    let after_other = |at: usize| {
        let line = canonical::line(&text[at..]).filter(|line| !wanted(line.name));
        line.map(|line| at + line.length)
    };
    let middle = memrchr(b'\n', &text[..text.len() / 2]).map_or(0, |end| end + 1);
    let (mut first, mut second) = (0, middle);
    while first < middle {
        let Some(next) = after_other(first) else {
            return first;
        };
        first = next;
        second = after_other(second).unwrap_or(second);
    }
    second
}

/// UTF-8 has no line feed within a character, so that a text is UTF-8 if and only if each of its lines is.
fn line<W: Fn(&[u8]) -> bool>(filter: &mut Filter<W>, line: &[u8]) -> Option<()> {
    let plain = filter.line(from_utf8(line).ok()?).ok()?;
    plain.then_some(())
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::settings::MobileFormat;
    use crate::trusted_file::Trust;
    use crate::users::{Entry, from_memory, look_up, look_up_in, other_spelling, prefilter};

    fn kept(text: &str, size: usize) -> Option<String> {
        from_memory::filter(text.as_bytes(), "alice", size, usize::MAX)
    }

    #[test]
    fn lines_and_windows_of_nearly_one_length() {
        const ALICE: &str = "alice = \"+14155550100\"\n";
        let text = format!("[users]\n{ALICE}bob = \"+1\"\n");
        let left = format!("[users]\n{ALICE}");
        assert_eq!(kept(&text, ALICE.len() - 1), None);
        assert_eq!(kept(&text, ALICE.len()), Some(left.clone()));
        // Where every line once begins and ends at the border of a window.
        for size in ALICE.len()..80 {
            assert_eq!(kept(&text, size), Some(left.clone()), "{size}");
            let without_end = &text[..text.len() - 1];
            assert_eq!(kept(without_end, size), Some(left.clone()), "{size}");
            let bob_first = format!("[users]\nbob = \"+1\"\n{}", ALICE.trim_end());
            let expected = format!("[users]\n{}", ALICE.trim_end());
            assert_eq!(kept(&bob_first, size), Some(expected), "{size}");
        }
    }

    /// A window is read in halves.
    #[test]
    fn wherever_a_line_is_it_is_seen() {
        for line in [
            "alice = \"+14155550100\"\n",
            "\"alice\" = { mobile = \"+1\" }\n",
            "# alice = \"+1\"\n",
            "[users]\n",
            "[users.alice]\n",
            "'alice' = \"+1\"\n",
            "alice.enabled = false\n",
            "bob = \"\"\"\n",
            "bob = \"\\x\"\n",
            "bob = \"\u{7}\"\n",
            "bob = yes\n",
        ] {
            // Of the same length, and so that the halves never have the same number of lines.
            for first in [1, 19] {
                for before in 0..20 {
                    let mut lines = vec![format!("{} = \"+1\"\n", "n".repeat(first))];
                    lines.extend((1..20).map(|number| format!("user{number:02} = \"+1\"\n")));
                    lines.insert(before, line.to_owned());
                    let text = format!("[users]\n{}", lines.concat());
                    let expected = prefilter::prefilter(&text, "alice").unwrap();
                    let plain = !expected.contains("user19");
                    for size in [50, 64, 100, 150, 200, 300, text.len(), 4096] {
                        let expected = plain.then(|| expected.clone());
                        assert_eq!(kept(&text, size), expected, "{size}: {text}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_character_at_the_border_is_whole() {
        let text = "[users]\n\"j\u{f6}rg\" = \"+14155550100\" # \u{20ac}\n";
        for size in 40..60 {
            assert_eq!(kept(text, size).as_deref(), Some("[users]\n"), "{size}");
            let bytes = text.replace('\u{20ac}', "$").into_bytes();
            let broken: Vec<u8> = bytes
                .iter()
                .map(|byte| if *byte == b'$' { 0xe2 } else { *byte })
                .collect();
            assert_eq!(from_memory::filter(&broken, "alice", size, 7), None);
        }
    }

    #[test]
    fn a_read_that_fails_tells_nothing() {
        let text = b"[users]\n";
        let read_at = |buffer: &mut [u8], at: u64| {
            if at > 0 {
                return Err(io::ErrorKind::Interrupted.into());
            }
            buffer[..text.len()].copy_from_slice(text);
            Ok(text.len())
        };
        assert_eq!(filter(read_at, 64, |_| false), None);
    }

    struct Large(tempfile::TempDir);

    impl Large {
        /// `first` below `[users]`, others up to three windows, and `last`.
        fn new(first: &str, last: &[u8]) -> Self {
            let mut text = format!("[users]\n{first}").into_bytes();
            for number in 0.. {
                if text.len() > 3 * WINDOW {
                    break;
                }
                text.extend(format!("user{number} = \"+1415{number:07}\"\n").bytes());
            }
            text.extend(last);
            let folder = tempfile::tempdir().unwrap();
            let large = Self(folder);
            std::fs::write(large.path(), text).unwrap();
            large
        }

        fn path(&self) -> PathBuf {
            self.0.path().join("users.toml")
        }
    }

    fn trust() -> Trust {
        Trust {
            effective_uid: std::fs::metadata("/proc/self")
                .map(|found| std::os::unix::fs::MetadataExt::uid(&found))
                .unwrap(),
        }
    }

    #[test]
    fn a_large_file_says_what_it_says_as_a_whole() {
        let alice = "alice = \"+14155550100\"\n";
        let many: Vec<(&str, &[u8])> = vec![
            ("", b""),
            (alice, b""),
            ("", alice.as_bytes()),
            ("", alice.trim_end().as_bytes()),
            (alice, alice.as_bytes()),
            (alice, b"\"alice\" = \"+14155550101\"\n"),
            (alice, b"'alice' = \"+14155550101\"\n"),
            (alice, b"\"alic\\u0065\" = \"+14155550101\"\n"),
            (alice, b"alice.enabled = false\n"),
            (alice, b"[users.alice]\n"),
            (alice, b"[users]\n"),
            (alice, b"[other]\n"),
            (alice, b"bob = \"\"\"\nalice = \"+1\"\n\"\"\"\n"),
            (alice, b"bob = \"\xff\"\n"),
            (alice, b"bob = \"\0\"\n"),
            (alice, b"\xef\xbb\xbf\n"),
            (
                "alice = { mobile = \"+14155550100\", enabled = false }\n",
                b"",
            ),
            ("alice = \"+14155550100\"\r\n", b"bob = 5\r\n"),
            ("alice = \"no mobile\"\n", b""),
            ("first = { last = \"+14155550100\" }\n", b""),
        ];
        for (first, last) in many {
            let large = Large::new(first, last);
            let bytes = std::fs::read(large.path()).unwrap();
            for name in ["alice", "bob", "first.last", "user7", "", "nobody"] {
                let (name, format) = (name.as_bytes(), MobileFormat::E164);
                let whole = look_up_in(&large.path(), &bytes, name, format);
                let found = look_up(&large.path(), trust(), name, format);
                let shown = last.escape_ascii();
                assert_eq!(found, whole, "{name:?} in {first} and {shown}");
            }
        }
        let twice = Large::new(alice, alice.as_bytes());
        match look_up(&twice.path(), trust(), b"alice", MobileFormat::E164).unwrap() {
            Entry::Bad(problem) => assert!(problem.what.contains("in lines 2 and "), "{problem}"),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn another_spelling_in_a_large_file() {
        for (last, spelling) in [
            (&b"Alice = \"+14155550100\"\n"[..], Some("Alice")),
            (b"'Alice' = \"+14155550100\"\n", Some("Alice")),
            (
                b"\"CORP\\\\alice\" = \"+14155550100\"\n",
                Some("CORP\\alice"),
            ),
            (b"\"alice@corp\" = true\n", Some("alice@corp")),
            (b"alicea = \"+14155550100\"\n", None),
        ] {
            let large = Large::new("", last);
            let found = other_spelling(&large.path(), trust(), &[b"alice"]).unwrap();
            assert_eq!(found.as_deref(), spelling);
        }
        let large = Large::new("", b"First = { last = \"+14155550100\" }\n");
        let found = other_spelling(&large.path(), trust(), &[b"first.last"]).unwrap();
        assert_eq!(found.as_deref(), Some("First.last"));
        let broken = Large::new("", b"bob = yes\n");
        assert!(other_spelling(&broken.path(), trust(), &[b"alice"]).is_err());
    }
}
