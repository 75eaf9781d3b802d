//! What comes back from the conversation: any bytes, none, errors, too much, and another user meanwhile.

use std::ffi::CString;

use super::application::{Act, CONFIG, DIGITS, Play, Seen, c_string, perform};

/// Records with NUL between them: letters that choose the surroundings, `PAM_USER`, `PAM_AUTHTOK` (a single blank:
/// not set), then one record for each prompt, whose first byte says what it is.
pub fn run(input: &[u8]) {
    let mut records = input.split(|byte| *byte == 0);
    let letters = records.next().unwrap_or_default();
    let chosen = |letter: u8| letters.contains(&letter);
    let mut next = || {
        records
            .next()
            .filter(|record| *record != b" ")
            .map(c_string)
    };
    let (user, authtok) = (next(), next());
    let acts: Vec<_> = records.map(act).collect();
    let password = authtok.clone();
    let first_pass = if chosen(b't') {
        Some(c"try_first_pass")
    } else {
        chosen(b'u').then_some(c"use_first_pass")
    };
    let config = if chosen(b'9') { DIGITS } else { CONFIG };
    let play = Play {
        words: [
            Some(config),
            first_pass,
            chosen(b'd').then_some(c"debug"),
            chosen(b'n').then_some(c"nodelay"),
        ]
        .into_iter()
        .flatten()
        .map(ToOwned::to_owned)
        .collect(),
        user,
        authtok,
        acts: acts.into(),
        message_code: if chosen(b'm') { 19 } else { 0 },
        nobody: chosen(b'0'),
        silent: chosen(b's'),
        ..Play::default()
    };
    let Some(seen) = perform(play) else {
        return;
    };
    assert_eq!(seen.delayed, !chosen(b'n'), "{}", seen.raw);
    let limit = if chosen(b'9') { 10 } else { 3 };
    counts(&seen, limit, first_pass.is_some());
    if seen.log().reason() == "unavailable" {
        worth_sending(&seen, password.as_ref(), first_pass.is_some(), chosen(b'9'));
    }
}

/// `t` and a reply, `e` and the code of an error, `u` and a user before a vertical bar before a reply, `m` and a reply
/// among too many, `n` no array at all; anything else is a reply that is NULL.
fn act(record: &[u8]) -> Act {
    let Some((kind, rest)) = record.split_first() else {
        return Act::default();
    };
    let reply = |text: &[u8]| Some(c_string(text));
    match kind {
        b't' => Act {
            reply: reply(rest),
            ..Act::default()
        },
        b'e' => Act {
            code: rest.first().map_or(19, |code| (*code).into()),
            ..Act::default()
        },
        b'u' => {
            let end = rest
                .iter()
                .position(|byte| *byte == b'|')
                .unwrap_or(rest.len());
            let text = rest.get(end + 1..).unwrap_or_default();
            Act {
                user: reply(&rest[..end]),
                reply: reply(text),
                ..Act::default()
            }
        }
        b'm' => Act {
            reply: reply(rest),
            too_many: true,
            ..Act::default()
        },
        b'n' => Act {
            no_array: true,
            ..Act::default()
        },
        _ => Act::default(),
    }
}

/// Nobody is asked, and nothing counted, more often than the settings say.
fn counts(seen: &Seen, limit: usize, first_pass: bool) {
    let prompts = seen
        .said
        .iter()
        .filter(|(_, text)| text.ends_with(b"iVALT token: "))
        .count();
    assert!(prompts <= limit, "{prompts} prompts: {}", seen.raw);
    let attempts: usize = seen.log().get("attempts").parse().expect("a number");
    assert!(
        attempts <= seen.replies.len() + usize::from(first_pass),
        "{}",
        seen.raw
    );
}

/// A request left the story: then the last answer was a token as the settings want it, and not the password.
fn worth_sending(seen: &Seen, password: Option<&CString>, first_pass: bool, digits: bool) {
    let password = password.map(|password| password.to_bytes().trim_ascii());
    let last = seen.replies.last().map(|reply| reply.trim_ascii());
    let fits = |token: &&[u8]| {
        let allowed = if digits {
            u8::is_ascii_digit
        } else {
            u8::is_ascii_graphic
        };
        let lengths = if digits { 4..=8 } else { 1..=512 };
        token.iter().all(allowed) && lengths.contains(&token.len())
    };
    let typed = last
        .filter(fits)
        .filter(|token| first_pass || Some(*token) != password);
    let taken = password.filter(fits).filter(|_| first_pass);
    assert!(
        typed.or(taken).is_some(),
        "sent: {} {:?}",
        seen.raw,
        seen.replies
    );
}
