//! PAM's items, as an application or an earlier module sets them.

use super::application::{Act, CONFIG, Play, c_string, perform};

/// `PAM_USER`, `PAM_RHOST`, `PAM_TTY`, `PAM_RUSER`, `PAM_SERVICE`, `PAM_AUTHTOK` and the answer, NUL between them;
/// what is missing, or is a single blank, is not set.
pub fn run(input: &[u8]) {
    let mut records = input.splitn(8, |byte| *byte == 0);
    let mut next = || {
        let record = records.next().filter(|record| *record != b" ")?;
        Some(c_string(record))
    };
    let mut play = Play {
        words: vec![CONFIG.to_owned()],
        user: next(),
        rhost: next(),
        tty: next(),
        ruser: next(),
        service: next(),
        authtok: next(),
        ..Play::default()
    };
    let reply = next();
    let (named, password) = (play.user.clone(), play.authtok.clone());
    let answer = reply.clone().unwrap_or_default();
    // The same to every prompt: without PAM_USER the first one asks for the name.
    play.acts = (0..4)
        .map(|_| Act {
            reply: reply.clone(),
            ..Act::default()
        })
        .collect();
    let Some(seen) = perform(play) else {
        return;
    };
    let line = seen.log();
    if let Some(user) = named {
        let user = user.to_bytes();
        assert_eq!(
            line.bytes("user"),
            &user[..user.len().min(256)],
            "{}",
            seen.raw
        );
    }
    let trimmed = answer.to_bytes().trim_ascii();
    let is_password = password.is_some_and(|password| password.to_bytes().trim_ascii() == trimmed);
    if line.reason() == "unavailable" {
        assert!(
            !is_password && (1..=512).contains(&trimmed.len()),
            "sent: {}",
            seen.raw
        );
        assert!(
            trimmed.iter().all(u8::is_ascii_graphic),
            "sent: {}",
            seen.raw
        );
    }
}
