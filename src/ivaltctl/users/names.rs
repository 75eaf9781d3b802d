//! Names of accounts: which are possible, and which exist.

use nix::unistd::User;

/// Why no account of Linux can have this name, if none can.
///
/// `DOM\user`, `user@realm`, spaces and capitals come from real directories, so they are accepted.
pub fn invalid_reason(name: &str) -> Option<&'static str> {
    if name.is_empty() {
        Some("the name is empty")
    } else if name.len() > 256 {
        Some("the name is longer than 256 bytes")
    } else if name.contains(char::is_control) {
        Some("the name contains a control character")
    } else if name.contains([':', '/']) {
        Some("an account name cannot contain : or /")
    } else if name.starts_with('-') || matches!(name, "." | "..") {
        Some("not a possible account name")
    } else if name.trim() != name {
        Some("the name begins or ends with white space")
    } else {
        None
    }
}

/// Whether this machine knows the account, locally or by NSS (LDAP, SSSD …); `None` if that cannot be determined.
pub fn is_known(name: &str) -> Option<bool> {
    User::from_name(name).ok().map(|user| user.is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_real_directories_are_accepted() {
        for name in [
            "alice",
            "first.last",
            "DOM\\user",
            "user@realm.example",
            "John Doe",
            "müller",
            "host$",
            "_svc",
            "42",
            "+nis",
        ] {
            assert_eq!(invalid_reason(name), None, "{name}");
        }
    }

    #[test]
    fn impossible_names_are_refused() {
        for (name, why) in [
            ("", "the name is empty"),
            ("a\nb", "the name contains a control character"),
            ("a\0", "the name contains a control character"),
            ("a\x1b[31m", "the name contains a control character"),
            ("a\u{85}", "the name contains a control character"),
            ("a:b", "an account name cannot contain : or /"),
            ("../a", "an account name cannot contain : or /"),
            ("-rf", "not a possible account name"),
            ("..", "not a possible account name"),
            (" a", "the name begins or ends with white space"),
            ("a ", "the name begins or ends with white space"),
        ] {
            assert_eq!(invalid_reason(name), Some(why), "{name:?}");
        }
        assert_eq!(invalid_reason(&"a".repeat(256)), None);
        assert!(invalid_reason(&"a".repeat(257)).is_some());
    }
}
