//! What comes back from the conversation: any bytes, none, errors, too much, and another user meanwhile.

use super::application::{CODES, CONFIG, DIGITS, perform};
use super::call::{Call, Reply, Seen, c_string};
use super::promises::is_name_of;
use super::recovery::{Meant, read};

/// Records with NUL between them: letters that choose the circumstances, `PAM_USER`, `PAM_AUTHTOK` (a single blank:
/// not set), then one record for each prompt, whose first byte says what it is.
pub fn run(input: &[u8]) {
    let mut records = input.split(|byte| *byte == 0);
    let circumstances = Circumstances(records.next().unwrap_or_default());
    let mut next = || records.next().filter(|record| *record != b" ");
    let (user, password) = (next(), next());
    let call = Call {
        user: user.map(c_string),
        authtok: password.map(c_string),
        replies: records.map(reply).collect(),
        ..circumstances.call()
    };
    let Some(seen) = perform(call) else {
        return;
    };
    assert_eq!(
        seen.passed_over(),
        circumstances.chosen(b'o') && !circumstances.chosen(b'k'),
        "{seen:?}"
    );
    if seen.passed_over() {
        return;
    }
    let delay = !circumstances.chosen(b'n');
    assert_eq!(seen.delayed, delay, "{}", seen.raw);
    circumstances.counts(&seen);
    if seen.log().reason() == "recovery-code-refused" {
        assert!(circumstances.takes_codes(), "{}", seen.raw);
    }
    if seen.log().reason() == "unavailable" {
        circumstances.worth_sending(&seen, password);
    }
}

/// Letters: `9` settings that want digits, `c` otherwise those that accept recovery codes, `t` and `u` for `try_first_pass` and `use_first_pass`, `d` debug, `n` no
/// delay, `m` messages fail, `0` no conversation function, `s` `PAM_SILENT`, `o` `only_after=`, `k` that method has
/// passed.
struct Circumstances<'a>(&'a [u8]);

impl Circumstances<'_> {
    fn chosen(&self, letter: u8) -> bool {
        self.0.contains(&letter)
    }

    fn first_pass(&self) -> bool {
        self.chosen(b't') || self.chosen(b'u')
    }

    fn call(&self) -> Call {
        let config = match (self.chosen(b'9'), self.chosen(b'c')) {
            (true, _) => DIGITS,
            (false, true) => CODES,
            (false, false) => CONFIG,
        };
        let letters = [
            (b't', c"try_first_pass"),
            (b'u', c"use_first_pass"),
            (b'd', c"debug"),
            (b'n', c"nodelay"),
            (b'o', c"only_after=gssapi-with-mic"),
        ];
        let words = letters
            .iter()
            .filter(|(letter, _)| self.chosen(*letter))
            .map(|(_, word)| *word);
        Call {
            words: [config]
                .into_iter()
                .chain(words)
                .map(ToOwned::to_owned)
                .collect(),
            message_code: if self.chosen(b'm') { 19 } else { 0 },
            nobody: self.chosen(b'0'),
            silent: self.chosen(b's'),
            auth_info: self.chosen(b'k').then(|| c"gssapi-with-mic".to_owned()),
            ..Call::default()
        }
    }

    /// Nobody is asked, and nothing counted, more often than the settings say.
    fn counts(&self, seen: &Seen) {
        let limit = if self.chosen(b'9') { 10 } else { 3 };
        let prompt = |said: &&(i32, Vec<u8>)| said.1.ends_with(b"iVALT token: ");
        let prompts = seen.said.iter().filter(prompt).count();
        assert!(prompts <= limit, "{prompts} prompts: {}", seen.raw);
        let attempts: usize = seen.log().get("attempts").parse().expect("a number");
        let answers = seen.replies.len() + usize::from(self.first_pass());
        assert!(attempts <= answers, "{}", seen.raw);
    }

    /// A request was about to be sent: then the answer was a token as the settings want it, and not the password.
    fn worth_sending(&self, seen: &Seen, password: Option<&[u8]>) {
        let password = password.map(<[u8]>::trim_ascii);
        let last = seen.replies.last().map(|reply| reply.trim_ascii());
        let first_pass = self.first_pass();
        let typed = last.filter(|token| self.fits(token));
        let typed = typed.filter(|token| first_pass || Some(*token) != password);
        let user = seen.log().bytes("user").to_vec();
        let typed = typed.filter(|token| !is_name_of(&user, token));
        let taken = password.filter(|token| first_pass && self.fits(token));
        let taken = taken.filter(|token| !is_name_of(&user, token));
        assert!(typed.or(taken).is_some(), "sent: {}", seen.raw);
    }

    fn takes_codes(&self) -> bool {
        self.chosen(b'c') && !self.chosen(b'9')
    }

    fn fits(&self, token: &[u8]) -> bool {
        if self.takes_codes() && read(token) != Meant::Otherwise {
            false
        } else if self.chosen(b'9') {
            (4..=8).contains(&token.len()) && token.iter().all(u8::is_ascii_digit)
        } else {
            (1..=512).contains(&token.len()) && token.iter().all(u8::is_ascii_graphic)
        }
    }
}

/// `t` and a reply, `e` and the code of an error, `u` and a user before a vertical bar before a reply, `m` and a reply
/// among too many, `n` no array at all; anything else is a reply that is NULL.
fn reply(record: &[u8]) -> Reply {
    let Some((kind, rest)) = record.split_first() else {
        return Reply::default();
    };
    match kind {
        b't' => Reply::text(rest),
        b'e' => Reply::code(rest.first().map_or(19, |code| (*code).into())),
        b'u' => {
            let mut parts = rest.splitn(2, |byte| *byte == b'|');
            let user = parts.next().map(c_string);
            let reply = parts.next().map_or_else(Reply::default, Reply::text);
            Reply { user, ..reply }
        }
        b'm' => Reply {
            too_many: true,
            ..Reply::text(rest)
        },
        b'n' => Reply {
            no_array: true,
            ..Reply::default()
        },
        _ => Reply::default(),
    }
}
