//! What pam_ivalt(8) promises of every call, whatever went in, where no network can be reached.

use std::ffi::c_int;

use super::call::{Call, Seen};
use super::contains;
use support::log_line::{AUTHPRIV, LogLine, Severity};

/// Part of the API key, and in the seeds of passwords and tokens.
const SECRET: &[u8] = b"Wh1sp3r0ut";

/// Reason, code and level.
const REASONS: [(&str, c_int, Severity); 12] = [
    ("not-enrolled", 10, Severity::Notice),
    ("disabled", 10, Severity::Notice),
    ("bad-entry", 10, Severity::Notice),
    ("unanswered", 19, Severity::Notice),
    ("malformed-token", 7, Severity::Notice),
    ("password-as-token", 7, Severity::Warning),
    ("token-rejected", 7, Severity::Notice),
    ("token-rejected", 11, Severity::Notice),
    ("recovery-code-refused", 7, Severity::Warning),
    ("recovery-code-refused", 11, Severity::Warning),
    ("unavailable", 9, Severity::Warning),
    ("misconfigured", 3, Severity::Error),
];

/// What has to be known of a call before it is made.
pub struct Promises {
    silent: bool,
    /// Methods of `only_after=` that have not passed.
    not_passed: Vec<Vec<u8>>,
    /// What must not come out.
    hidden: Vec<Vec<u8>>,
    /// Unless it also went in here.
    open: Vec<Vec<u8>>,
}

impl Promises {
    /// For this call.
    #[must_use]
    pub fn for_call(call: &Call) -> Self {
        let replies = || call.replies.iter().filter_map(|reply| reply.text.as_ref());
        let hidden = replies().chain(&call.authtok).map(|text| text.to_bytes());
        let hidden = hidden.filter_map(telling).chain([SECRET]);
        let users = call.replies.iter().filter_map(|reply| reply.user.as_ref());
        // Asked for the name, a user may type anything: that is the name then.
        let names = replies().filter(|_| call.user.is_none());
        let items = [
            &call.user,
            &call.rhost,
            &call.tty,
            &call.ruser,
            &call.service,
        ];
        let open = items.into_iter().flatten().chain(&call.words);
        let open = open.chain(users).chain(names);
        let methods = call.words.iter().filter_map(|word| {
            let method = word.to_bytes().strip_prefix(b"only_after=")?;
            Some(method.to_vec())
        });
        Self {
            silent: call.silent,
            not_passed: methods.filter(|method| !has_passed(call, method)).collect(),
            hidden: hidden.map(<[u8]>::to_vec).collect(),
            open: open
                .map(|text| text.to_bytes().to_ascii_lowercase())
                .collect(),
        }
    }

    /// Panics where one is broken.
    pub fn hold(&self, seen: &Seen) {
        let line = seen.log();
        one_decision(seen, &line);
        who_it_was(seen, &line);
        assert_eq!(
            seen.descriptors[0], seen.descriptors[1],
            "descriptors left open"
        );
        self.what_was_said(seen);
        self.no_secret(seen, &line);
    }

    /// `PAM_IGNORE`: only for a method that has not passed, and then nothing is to be seen.
    pub fn passed_over(&self, seen: &Seen) {
        assert_eq!(self.not_passed.len(), 1, "PAM_IGNORE: {seen:?}");
        assert!(seen.said.is_empty() && seen.replies.is_empty(), "{seen:?}");
        assert!(!seen.delayed, "{seen:?}");
        assert_eq!(seen.users[0], seen.users[1], "a name was asked for");
        assert_eq!(seen.descriptors[0], seen.descriptors[1]);
    }

    fn what_was_said(&self, seen: &Seen) {
        for (style, text) in &seen.said {
            let text = std::str::from_utf8(text).expect("UTF-8");
            // PAM_MAX_MSG_SIZE
            assert!(text.len() < 512, "{text:?}");
            assert!(!text.contains(char::is_control), "{text:?}");
            let message = [3, 4].contains(style);
            assert!(!(self.silent && message), "PAM_SILENT, and {text:?}");
        }
    }

    fn no_secret(&self, seen: &Seen, line: &LogLine) {
        let fields = line.fields.iter().map(|field| &field.1);
        let said = seen.said.iter().map(|(_, text)| text);
        for text in fields.chain(said) {
            for secret in &self.hidden {
                // libpam makes the service lower case.
                let lower = secret.to_ascii_lowercase();
                let open = self.open.iter().any(|other| contains(other, &lower));
                assert!(open || !contains(text, secret), "{}", seen.raw);
            }
        }
    }
}

/// Whether sshd says so: `METHOD` or `METHOD …` is one of its lines.
#[must_use]
pub fn has_passed(call: &Call, method: &[u8]) -> bool {
    let auth_info = call.auth_info.as_ref().map(|text| text.to_bytes());
    let mut lines = auth_info.unwrap_or_default().split(|byte| *byte == b'\n');
    lines.any(|line| {
        let rest = line.strip_prefix(method);
        rest.is_some_and(|rest| rest.is_empty() || b" \t".contains(&rest[0]))
    })
}

/// Whether a host may have answered with this name. Users who are enrolled here have plain ones.
#[must_use]
pub fn is_name_of(user: &[u8], answer: &[u8]) -> bool {
    let domain = answer.iter().rposition(|byte| *byte == b'\\');
    let name = domain.map_or(answer, |at| &answer[at + 1..]);
    let realm = name.iter().position(|byte| *byte == b'@');
    let name = realm.map_or(name, |at| &name[..at]);
    answer == user || name.eq_ignore_ascii_case(user)
}

/// The beginning of a secret, since a log cuts; `None` if a sentence of ours could hold it by chance.
fn telling(secret: &[u8]) -> Option<&[u8]> {
    let secret = secret.trim_ascii();
    let secret = &secret[..secret.len().min(16)];
    let rare = |byte: &u8| b"#%^~$!".contains(byte) || *byte >= 0x80;
    (secret.len() >= 8 && secret.iter().any(rare)).then_some(secret)
}

fn one_decision(seen: &Seen, line: &LogLine) {
    let known = REASONS
        .iter()
        .find(|(reason, code, _)| *reason == line.reason() && *code == seen.code);
    let Some((.., severity)) = known else {
        panic!("code {} for {}", seen.code, seen.raw);
    };
    assert_eq!(
        (line.outcome().as_str(), line.severity, line.facility),
        ("deny", *severity, AUTHPRIV)
    );
}

fn who_it_was(seen: &Seen, line: &LogLine) {
    for (key, item) in &seen.items {
        assert_eq!(line.bytes(key), cut(item), "{key}");
    }
    let user = line.bytes("user");
    // Asked for the name, a user may type anything.
    let mut users = seen.users.iter().chain(&seen.replies);
    assert!(users.any(|known| cut(known) == user), "{}", seen.raw);
    let (mobile, logged) = match user {
        b"alice" => ("***4746", line.get("mobile")),
        b"bob" => ("***0100", line.get("mobile")),
        _ => ("", line.get("mobile")),
    };
    assert!(logged.is_empty() || logged == mobile, "{}", seen.raw);
    if line.reason() == "unavailable" {
        assert_eq!((user, mobile), (b"alice".as_slice(), logged.as_str()));
    }
}

/// As long as a value may be in a log.
#[must_use]
pub fn cut(bytes: &[u8]) -> &[u8] {
    &bytes[..bytes.len().min(256)]
}
