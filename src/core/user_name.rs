//! User names that differ and mean one person.

/// `name` in lower case, without `DOMAIN\` before it and `@realm` behind it. Two names that are equal in this form are
/// spellings of one name, as winbind(8), sssd(8) and hosts that complete what was typed write it.
#[must_use]
pub fn folded(name: &[u8]) -> Vec<u8> {
    let bare = bare(name);
    match std::str::from_utf8(bare) {
        Ok(text) => text
            .chars()
            .flat_map(lower_case)
            .collect::<String>()
            .into_bytes(),
        Err(_) => bare.to_ascii_lowercase(),
    }
}

/// Whether `name` is `folded` in that form. It makes no copy of a name that is longer than it could be.
#[must_use]
pub fn is_spelling(name: &[u8], folded: &[u8]) -> bool {
    let bare = bare(name);
    if bare.is_ascii() {
        return bare.eq_ignore_ascii_case(folded);
    }
    // The lower case of a character takes three times its bytes at most, and so the other way round.
    let possible = bare.len() <= folded.len().saturating_mul(3);
    possible && self::folded(name) == folded
}

/// Character by character: what a name begins with is the same however it goes on. In Greek another sigma ends a word;
/// both are one.
fn lower_case(character: char) -> impl Iterator<Item = char> {
    let sigma = |lower| if lower == 'ς' { 'σ' } else { lower };
    character.to_lowercase().map(sigma)
}

fn bare(name: &[u8]) -> &[u8] {
    let without_domain = name.rsplit(|byte| *byte == b'\\').next().unwrap_or(name);
    let bare = without_domain
        .split(|byte| *byte == b'@')
        .next()
        .unwrap_or(without_domain);
    // Nothing but a domain or a realm is a name of its own.
    if bare.is_empty() { name } else { bare }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_realm_and_domain_do_not_make_another_name() {
        for spelling in [
            "ålice",
            "Ålice",
            "ÅLICE",
            "ålice@corp.example",
            "CORP\\ålice",
            "corp.example\\Ålice@REALM",
        ] {
            assert_eq!(
                folded(spelling.as_bytes()),
                "ålice".as_bytes(),
                "{spelling}"
            );
        }
        assert_eq!(folded(b"Al\xffice"), b"al\xffice");
    }

    #[test]
    fn a_spelling_is_what_folds_to_the_same() {
        let long = [b"CORP".repeat(1000), b"\\ALICE@x".to_vec()].concat();
        for (name, expected) in [
            (&b"Alice"[..], true),
            (&long, true),
            (b"alic", false),
            (b"", false),
            (b"alicealicealicealice", false),
        ] {
            assert_eq!(is_spelling(name, b"alice"), expected);
        }
        // Every character, and what it becomes.
        for character in '\0'..=char::MAX {
            let name = character.to_string();
            let folded = folded(name.as_bytes());
            assert!(is_spelling(name.as_bytes(), &folded), "{character:?}");
        }
        assert!(is_spelling(b"", b""));
    }

    /// First and last name without quotes are found by the first.
    #[test]
    fn what_follows_does_not_change_a_spelling() {
        for first in ["ΝΊΚΟΣ", "νίκος", "İ", "ẞ", "Åse"] {
            for rest in ["", ".Χ", ".x", ".", "2", "'s"] {
                let whole = folded(format!("{first}{rest}").as_bytes());
                assert!(
                    whole.starts_with(&folded(first.as_bytes())),
                    "{first}{rest}"
                );
            }
        }
        assert_eq!(folded("ΝΊΚΟΣ".as_bytes()), folded("νίκος".as_bytes()));
    }

    #[test]
    fn another_name_stays_another() {
        for name in ["alice2", "al.ice", " alice", "@alice", "alice\\", ""] {
            assert_ne!(folded(name.as_bytes()), b"alice", "{name}");
        }
        assert_eq!(folded(b"@realm"), b"@realm");
    }
}
