//! User names that differ and mean one person.

/// `name` in lower case, without `DOMAIN\` before it and `@realm` behind it. Two names that are equal in this form are
/// spellings of one name, as winbind(8), sssd(8) and hosts that complete what was typed write it.
#[must_use]
pub fn folded(name: &[u8]) -> Vec<u8> {
    let without_domain = name.rsplit(|byte| *byte == b'\\').next().unwrap_or(name);
    let bare = without_domain
        .split(|byte| *byte == b'@')
        .next()
        .unwrap_or(without_domain);
    // Nothing but a domain or a realm is a name of its own.
    let bare = if bare.is_empty() { name } else { bare };
    match std::str::from_utf8(bare) {
        Ok(text) => text.to_lowercase().into_bytes(),
        Err(_) => bare.to_ascii_lowercase(),
    }
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
    fn another_name_stays_another() {
        for name in ["alice2", "al.ice", " alice", "@alice", "alice\\", ""] {
            assert_ne!(folded(name.as_bytes()), b"alice", "{name}");
        }
        assert_eq!(folded(b"@realm"), b"@realm");
    }
}
