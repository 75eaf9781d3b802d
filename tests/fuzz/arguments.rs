//! The words after the module's name in pam.d: every one is obeyed or refused by name.

use std::collections::BTreeSet;
use std::ffi::{CStr, OsStr};
use std::fs;
use std::os::unix::ffi::OsStrExt;

use super::application::{CONFIG, DIGITS, perform};
use super::call::{Call, Reply, Seen, c_string};

/// One method has passed.
const AUTH_INFO: &CStr = c"hostbased-x\npublickey ssh-ed25519 AAAA\n";
const PASSED: &[u8] = b"only_after=publickey";
const NOT_PASSED: [&[u8]; 2] = [b"only_after=hostbased", b"only_after=gssapi-with-mic"];

/// One word after another, NUL between them.
pub fn run(input: &[u8]) {
    let words: Vec<_> = input.split(|byte| *byte == 0).collect();
    let call = Call {
        words: words.iter().map(|word| c_string(word)).collect(),
        user: Some(c"alice".to_owned()),
        authtok: Some(c"hunter-Wh1sp3r0ut".to_owned()),
        auth_info: Some(AUTH_INFO.to_owned()),
        replies: [Reply::text(b"token-Wh1sp3r0ut")].into(),
        ..Call::default()
    };
    let seen = perform(call).expect("libpam has nothing against it");
    let not_passed = words.iter().any(|word| NOT_PASSED.contains(word));
    assert_eq!(
        seen.passed_over(),
        not_passed && config(&words).is_some(),
        "{seen:?}"
    );
    if seen.passed_over() {
        return;
    }
    assert_eq!(seen.delayed, !has(&words, "nodelay"), "{}", seen.raw);
    obeyed(&words, &seen);
}

fn obeyed(words: &[&[u8]], seen: &Seen) {
    let (reason, cause) = (seen.log().reason(), seen.log().get("cause"));
    let expected = match config(words) {
        None => {
            assert!(cause.starts_with("argument in pam.d: "), "{}", seen.raw);
            "misconfigured"
        }
        Some(path) if names(path, CONFIG) => "unavailable",
        // The password does not look like eight digits; nor does the token, and then nobody answers.
        Some(path) if names(path, DIGITS) && has(words, "use_first_pass") => "malformed-token",
        Some(path) if names(path, DIGITS) => "unanswered",
        Some(_) => "misconfigured",
    };
    assert_eq!(reason, expected, "{}", seen.raw);
}

/// The path of `config=`, or `None` when something there cannot be obeyed.
fn config<'a>(words: &[&'a [u8]]) -> Option<&'a [u8]> {
    let others = ["debug", "nodelay", "try_first_pass", "use_first_pass"];
    let mut path: &[u8] = b"/etc/ivalt/ivalt.toml";
    let mut methods = BTreeSet::new();
    for word in words {
        if let Some(other) = word.strip_prefix(b"config=") {
            path = other;
            if path.first() != Some(&b'/') {
                return None;
            }
        } else if *word == PASSED || NOT_PASSED.contains(word) {
            methods.insert(*word);
        } else if !others.iter().any(|known| known.as_bytes() == *word) {
            return None;
        }
    }
    let contradiction = has(words, "try_first_pass") && has(words, "use_first_pass");
    let contradiction = contradiction || methods.len() > 1;
    (!contradiction).then_some(path)
}

fn has(words: &[&[u8]], wanted: &str) -> bool {
    words.contains(&wanted.as_bytes())
}

/// Whether the path leads to the file of `config`, whatever detours it takes.
fn names(path: &[u8], config: &CStr) -> bool {
    let file = |path: &[u8]| fs::canonicalize(OsStr::from_bytes(path)).ok();
    file(path).is_some() && file(path) == file(&config.to_bytes()["config=".len()..])
}
