//! `only_after=`: whether it is the turn of a line of pam.d, by what sshd says has passed.

use std::ffi::CStr;

use crate::arguments::Arguments;

/// What `only_after=` makes of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// The line has no such argument, or bad ones, which deny.
    Always,
    /// The method has passed. It is enough where a policy ignores: no module below is to decide then.
    AfterMethod,
    /// The method has not passed: nobody is asked, nothing is read, connected or logged.
    PassedOver,
}

impl Turn {
    /// Of a line with these words. `passed` is what sshd puts into the PAM environment as `SSH_AUTH_INFO_0`.
    #[must_use]
    pub fn of(words: &[&CStr], passed: &[u8]) -> Self {
        let only_after = Arguments::parse(words).ok();
        match only_after.and_then(|arguments| arguments.only_after) {
            None => Self::Always,
            Some(method) if names(passed, method) => Self::AfterMethod,
            Some(_) => Self::PassedOver,
        }
    }
}

/// Whether sshd has accepted a key, a host or a ticket of the account, which are the methods that it takes from root also
/// where `PermitRootLogin` is not `yes`.
pub(crate) fn has_proof(passed: &[u8]) -> bool {
    let methods = ["publickey", "hostbased", "gssapi-with-mic"];
    methods.into_iter().any(|method| names(passed, method))
}

/// One method a line, and behind it what sshd knows of it: `publickey ssh-ed25519 AAAA…`, `keyboard-interactive/pam`.
fn names(passed: &[u8], method: &str) -> bool {
    let first_word =
        |line: &[u8]| line.split(|byte| b" \t".contains(byte)).next() == Some(method.as_bytes());
    passed.split(|byte| *byte == b'\n').any(first_word)
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORDS: [&CStr; 1] = [c"only_after=publickey"];

    #[test]
    fn the_method_is_the_first_word_of_a_line() {
        for passed in [
            "publickey",
            "publickey\n",
            "publickey ssh-ed25519 AAAA\n",
            "publickey\tssh-ed25519",
            "keyboard-interactive/pam\npublickey ssh-ed25519 AAAA\n",
        ] {
            let turn = Turn::of(&WORDS, passed.as_bytes());
            assert_eq!(turn, Turn::AfterMethod, "{passed:?}");
        }
        for passed in [
            "",
            "\n",
            "public",
            "publickey-x",
            "publickey/x",
            "publickey=x",
            "publickey\r\n",
            "Publickey",
            " publickey",
            "xpublickey",
            "hostbased publickey",
            "hostbased\ngssapi-with-mic publickey",
        ] {
            let turn = Turn::of(&WORDS, passed.as_bytes());
            assert_eq!(turn, Turn::PassedOver, "{passed:?}");
        }
    }

    #[test]
    fn bad_arguments_are_never_passed_over() {
        for words in [
            &[][..],
            &[c"debug"],
            &[c"only_after=publickey", c"bogus"],
            &[c"only_after=bogus"],
            &[c"only_after=publickey", c"only_after=hostbased"],
        ] {
            for passed in ["", "publickey"] {
                let turn = Turn::of(words, passed.as_bytes());
                assert_eq!(turn, Turn::Always, "{words:?}");
            }
        }
    }
}
