//! LDIF (RFC 2849) as `ldapsearch -LLL` prints entries. Whatever is not of that form makes the whole of it unusable.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// One entry of the directory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    /// Its distinguished name.
    pub dn: String,
    /// Names in small letters and without options such as `;binary`, in the order in which they came.
    pub(super) attributes: Vec<(String, Vec<u8>)>,
}

impl Entry {
    /// The values of an attribute, whose name is written in whatever case.
    pub fn values(&self, name: &str) -> impl Iterator<Item = &[u8]> {
        let named = self.attributes.iter();
        let named = named.filter(move |(attribute, _)| attribute.eq_ignore_ascii_case(name));
        named.map(|(_, value)| value.as_slice())
    }

    /// Whether one of the values is this text, in whatever case.
    pub fn has(&self, name: &str, text: &str) -> bool {
        let mut values = self.values(name);
        values.any(|value| value.eq_ignore_ascii_case(text.as_bytes()))
    }
}

/// Where it is not LDIF.
#[derive(Debug, PartialEq, Eq)]
pub struct NotLdif {
    /// From 1.
    pub line: usize,
    /// What is wrong there; it quotes no value.
    pub what: &'static str,
}

/// All entries.
///
/// # Errors
/// The first line that is none of LDIF, a value that is elsewhere (`<`), or an entry that is cut off.
pub fn parse(text: &[u8]) -> Result<Vec<Entry>, NotLdif> {
    let mut entries = Vec::new();
    let mut entry: Option<Entry> = None;
    let mut lines = Lines {
        rest: text,
        next: 1,
    };
    for (line, logical) in lines.by_ref() {
        let wrong = |what| NotLdif { line, what };
        if logical.is_empty() {
            entries.extend(entry.take());
        } else if !logical.starts_with(b"#") {
            let (name, value) = pair(&logical).map_err(wrong)?;
            match (&mut entry, name.as_str()) {
                (None, "dn") => {
                    let dn = String::from_utf8_lossy(&value).into_owned();
                    let attributes = Vec::new();
                    entry = Some(Entry { dn, attributes });
                }
                (None, _) => return Err(wrong("an entry begins without its dn")),
                (Some(_), "dn") => return Err(wrong("an entry begins within another")),
                (Some(entry), _) => entry.attributes.push((name, value)),
            }
        }
    }
    match entry {
        // ldapsearch ends every entry with an empty line.
        Some(_) => Err(NotLdif {
            line: lines.next,
            what: "the last entry is cut off",
        }),
        None => Ok(entries),
    }
}

/// Lines with what is continued in the next ones, which begin with a space.
struct Lines<'a> {
    rest: &'a [u8],
    next: usize,
}

impl Iterator for Lines<'_> {
    type Item = (usize, Vec<u8>);

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let number = self.next;
        let mut logical = self.physical().to_vec();
        while let Some(rest) = self.rest.strip_prefix(b" ") {
            if logical.is_empty() {
                break;
            }
            self.rest = rest;
            logical.extend_from_slice(self.physical());
        }
        Some((number, logical))
    }
}

impl<'a> Lines<'a> {
    fn physical(&mut self) -> &'a [u8] {
        let end = self.rest.iter().position(|byte| *byte == b'\n');
        let (line, rest) = match end {
            Some(end) => (&self.rest[..end], &self.rest[end + 1..]),
            None => (self.rest, &[][..]),
        };
        self.rest = rest;
        self.next += 1;
        line.strip_suffix(b"\r").unwrap_or(line)
    }
}

/// `name: value` or `name:: base64`.
fn pair(line: &[u8]) -> Result<(String, Vec<u8>), &'static str> {
    let colon = line.iter().position(|byte| *byte == b':');
    let (name, value) = line.split_at(colon.ok_or("a line has no colon")?);
    let name = attribute(name).ok_or("a line does not begin with an attribute")?;
    let value = &value[1..];
    let value = match value.split_first() {
        Some((b':', base64)) => {
            let base64 = base64.trim_ascii();
            STANDARD
                .decode(base64)
                .map_err(|_| "a value is not base64")?
        }
        Some((b'<', _)) => return Err("a value is not here, but at a URL"),
        _ => plain(value)?,
    };
    Ok((name, value))
}

/// In small letters, without its options.
fn attribute(name: &[u8]) -> Option<String> {
    let end = name.iter().position(|byte| *byte == b';');
    let name = &name[..end.unwrap_or(name.len())];
    let letters = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._".contains(byte);
    (!name.is_empty() && name.iter().all(letters))
        .then(|| String::from_utf8_lossy(name).to_ascii_lowercase())
}

/// What is not ASCII is written as base64.
fn plain(value: &[u8]) -> Result<Vec<u8>, &'static str> {
    let begin = value.iter().position(|byte| *byte != b' ');
    let value = &value[begin.unwrap_or(value.len())..];
    match value.iter().all(|byte| byte.is_ascii() && *byte != 0) {
        true => Ok(value.to_vec()),
        false => Err("a value is not ASCII"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values<'a>(entry: &'a Entry, name: &str) -> Vec<&'a [u8]> {
        entry.values(name).collect()
    }

    #[test]
    fn entries_as_ldapsearch_prints_them() {
        let text = b"dn: uid=alice,dc=test\nuid: alice\nuid: al\nmobile;lang-de:: KzQ5IDE3MQ==\nuserCertificate;binary:: AAH/\ndescription:\n\n\
            # refldap://other.test/dc=sub??sub\n\n\
            dn:: dWlkPWrDtnJnLGRjPXRlc3Q=\nuid: bo\n b\nobjectClass:  top\n# a comment\n  that goes on\n\n";
        let entries = parse(text).unwrap();
        assert_eq!(entries.len(), 2);
        assert_eq!(entries[0].dn, "uid=alice,dc=test");
        assert_eq!(values(&entries[0], "UID"), [&b"alice"[..], b"al"]);
        assert_eq!(values(&entries[0], "mobile"), [b"+49 171"]);
        assert_eq!(values(&entries[0], "usercertificate"), [[0, 1, 255]]);
        assert_eq!(values(&entries[0], "description"), [b""]);
        assert_eq!(entries[1].dn, "uid=j\u{f6}rg,dc=test");
        assert_eq!(values(&entries[1], "uid"), [b"bob"]);
        assert!(entries[1].has("objectclass", "TOP") && !entries[1].has("objectclass", "to"));
        assert_eq!(parse(b""), Ok(Vec::new()));
        assert_eq!(parse(b"# pagedresults: cookie=\n"), Ok(Vec::new()));
    }

    #[test]
    fn what_is_no_ldif_is_nothing() {
        for (text, line, what) in [
            (&b"dn: x\nuid: a\n"[..], 3, "the last entry is cut off"),
            (b"dn: x\nuid: a\n\ndn: y", 5, "the last entry is cut off"),
            (b"dn: x\nuid\n\n", 2, "a line has no colon"),
            (b"uid: a\n\n", 1, "an entry begins without its dn"),
            (b"dn: x\ndn: y\n\n", 2, "an entry begins within another"),
            (
                b"dn: x\nmobile:< file:///etc/shadow\n\n",
                2,
                "a value is not here, but at a URL",
            ),
            (b"dn: x\nmobile:: ====\n\n", 2, "a value is not base64"),
            (b"dn: x\nuid: \xc3\xb6\n\n", 2, "a value is not ASCII"),
            (b"dn: x\nuid: a\0b\n\n", 2, "a value is not ASCII"),
            (
                b"dn: x\n: a\n\n",
                2,
                "a line does not begin with an attribute",
            ),
            (
                b"dn: x\nui d: a\n\n",
                2,
                "a line does not begin with an attribute",
            ),
            (b" dn: x\n\n", 1, "a line does not begin with an attribute"),
            (
                b"\n dn: x\n\n",
                2,
                "a line does not begin with an attribute",
            ),
        ] {
            let shown = String::from_utf8_lossy(text);
            assert_eq!(parse(text), Err(NotLdif { line, what }), "{shown:?}");
        }
    }
}
