//! The words after the module's name in pam.d: every one is obeyed or refused by name.

use std::ffi::CStr;

use super::application::{Act, CONFIG, DIGITS, Play, c_string, perform};

/// One word after another, NUL between them.
pub fn run(input: &[u8]) {
    let words: Vec<_> = input.split(|byte| *byte == 0).map(c_string).collect();
    let bytes: Vec<_> = words.iter().map(|word| word.to_bytes().to_vec()).collect();
    let play = Play {
        words,
        user: Some(c"alice".to_owned()),
        authtok: Some(c"hunter-Wh1sp3r0ut".to_owned()),
        acts: [Act {
            reply: Some(c"token-Wh1sp3r0ut".to_owned()),
            ..Act::default()
        }]
        .into(),
        ..Play::default()
    };
    let seen = perform(play).expect("libpam has nothing against it");
    let (reason, cause) = (seen.log().reason(), seen.log().get("cause"));
    let delay = !bytes.iter().any(|word| word == b"nodelay");
    assert_eq!(seen.delayed, delay, "{}", seen.raw);
    match read(&bytes) {
        None => {
            assert!(
                reason == "misconfigured" && cause.starts_with("argument in pam.d: "),
                "{}",
                seen.raw
            );
        }
        Some(path) if path == path_of(CONFIG) => {
            assert_eq!(reason, "unavailable", "{}", seen.raw);
        }
        Some(path) if path == path_of(DIGITS) => {
            assert_eq!(
                reason,
                if first_pass(&bytes) == 1 {
                    "malformed-token"
                } else {
                    "unanswered"
                },
                "{}",
                seen.raw
            );
        }
        Some(_) => assert_eq!(reason, "misconfigured", "{}", seen.raw),
    }
}

/// `config=`, or `None` when something else than the five arguments stands there.
fn read(words: &[Vec<u8>]) -> Option<Vec<u8>> {
    let mut path = b"/etc/ivalt/ivalt.toml".to_vec();
    for word in words {
        if let Some(other) = word.strip_prefix(b"config=") {
            path = other.to_vec();
            if path.first() != Some(&b'/') {
                return None;
            }
        } else if !["debug", "nodelay", "try_first_pass", "use_first_pass"]
            .iter()
            .any(|known| known.as_bytes() == word)
        {
            return None;
        }
    }
    (first_pass(words) < 3).then_some(path)
}

/// 1 for `use_first_pass`, 2 for `try_first_pass`, 3 for both.
fn first_pass(words: &[Vec<u8>]) -> u8 {
    let has = |wanted: &[u8]| u8::from(words.iter().any(|word| word == wanted));
    has(b"use_first_pass") + 2 * has(b"try_first_pass")
}

fn path_of(config: &CStr) -> &[u8] {
    &config.to_bytes()["config=".len()..]
}
