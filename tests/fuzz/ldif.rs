//! What ldapsearch prints of a directory that somebody else runs: read to the same entries when written anew, and never to
//! a part of them where it is cut off.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// Of the tool, which is no library.
#[path = "../../src/ivaltctl/users/sync/ldap/ldif.rs"]
mod reader;

use reader::{Entry, parse};

/// Where it is cut off, in two bytes, and LDIF.
pub fn run(input: &[u8]) {
    let Some((cut, text)) = input.split_first_chunk() else {
        return;
    };
    let Ok(entries) = parse(text) else {
        return;
    };
    assert_eq!(parse(written(&entries).as_bytes()).as_ref(), Ok(&entries));
    let cut = usize::from(u16::from_le_bytes(*cut)) % (text.len() + 1);
    // As a whole number of entries, or not at all.
    if let Ok(part) = parse(&text[..cut]) {
        assert!(entries.starts_with(&part), "{part:?}");
    }
    for entry in &entries {
        for (name, value) in &entry.attributes {
            assert!(
                entry
                    .values(&name.to_uppercase())
                    .any(|found| found == value)
            );
            assert!(!name.contains([';', ':', ' ', '\n']), "{name:?}");
        }
    }
}

/// In the plainest form.
fn written(entries: &[Entry]) -> String {
    let pair = |(name, value): &(String, Vec<u8>)| format!("{name}:: {}\n", STANDARD.encode(value));
    let mut text = String::new();
    for entry in entries {
        text += &format!("dn:: {}\n", STANDARD.encode(&entry.dn));
        text.extend(entry.attributes.iter().map(pair));
        text += "\n";
    }
    text
}
