//! PAM's items, as an application or an earlier module sets them.

use super::application::{CONFIG, perform};
use super::call::{Call, Reply, Seen, c_string};
use super::promises::{cut, is_name_of};

/// `PAM_USER`, `PAM_RHOST`, `PAM_TTY`, `PAM_RUSER`, `PAM_SERVICE`, `PAM_AUTHTOK` and the answer, NUL between them;
/// what is missing, or is a single blank, is not set.
pub fn run(input: &[u8]) {
    let mut records = input.splitn(8, |byte| *byte == 0);
    let mut next = || records.next().filter(|record| *record != b" ");
    let [user, rhost, tty, ruser, service, authtok, answer] = std::array::from_fn(|_| next());
    let set = |item: Option<&[u8]>| item.map(c_string);
    let call = Call {
        words: vec![CONFIG.to_owned()],
        user: set(user),
        rhost: set(rhost),
        tty: set(tty),
        ruser: set(ruser),
        service: set(service),
        authtok: set(authtok),
        // The same to every prompt: without PAM_USER the first one asks for the name.
        replies: (0..4)
            .map(|_| answer.map_or_else(Reply::default, Reply::text))
            .collect(),
        ..Call::default()
    };
    let Some(seen) = perform(call) else {
        return;
    };
    if let Some(user) = user {
        assert_eq!(seen.log().bytes("user"), cut(user), "{}", seen.raw);
    }
    if seen.log().reason() == "unavailable" {
        worth_sending(&seen, answer.unwrap_or_default(), authtok);
    }
}

fn worth_sending(seen: &Seen, answer: &[u8], password: Option<&[u8]>) {
    let token = answer.trim_ascii();
    let is_password = password.is_some_and(|password| password.trim_ascii() == token);
    let fits = (1..=512).contains(&token.len()) && token.iter().all(u8::is_ascii_graphic);
    let is_user = is_name_of(seen.log().bytes("user"), token);
    assert!(fits && !is_password && !is_user, "sent: {}", seen.raw);
}
