//! The one log line of a call. Everything foreign is quoted here.

mod dev_log;

use std::borrow::Cow;
use std::fmt::Write;

use crate::decision::{Decision, Refusal};
use crate::report::Report;

/// The severity of a line; syslog's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Nothing to do.
    Info,
    /// A user was denied, as intended.
    Notice,
    /// The administrator should know.
    Warning,
    /// The administrator should fix it.
    Error,
    /// A fault of ours.
    Critical,
}

/// Who asked, as the application told libpam: foreign bytes, empty where it did not.
#[derive(Debug, Default)]
pub struct Origin {
    /// `PAM_SERVICE`
    pub service: Vec<u8>,
    /// `PAM_RHOST`
    pub rhost: Vec<u8>,
    /// `PAM_TTY`
    pub tty: Vec<u8>,
    /// `PAM_RUSER`
    pub ruser: Vec<u8>,
}

/// Writes the line to `/dev/log`; waits a second at most, and fails silently: no login hangs or fails for its log.
pub fn write(origin: &Origin, report: &Report) {
    let program = dev_log::application_name();
    dev_log::send(program, level(report.decision), &line(origin, report));
}

/// Writes a message of `program` to the same log, in the same way. Foreign values in it are quoted, see
/// [`quote_log_value`]. Whether it was sent.
pub fn write_message(program: &str, level: Level, message: &str) -> bool {
    dev_log::send(program.to_owned(), level, message)
}

/// The line as pam_ivalt(8) documents it: always these keys, in this order.
#[must_use]
pub fn line(origin: &Origin, report: &Report) -> String {
    let mut line = format!("pam_ivalt({}:auth):", label(&origin.service));
    for (key, value) in fields(origin, report) {
        let _ = write!(line, " {key}={}", quote_log_value(&value));
    }
    line
}

/// The fields of the line, not yet quoted.
#[must_use]
pub fn fields<'a>(origin: &'a Origin, report: &'a Report) -> [(&'static str, Cow<'a, [u8]>); 14] {
    let text = |text: &'a str| Cow::Borrowed(text.as_bytes());
    let number = |number: String| Cow::Owned(number.into_bytes());
    let http = report.http.map(|status| status.to_string());
    [
        ("outcome", text(report.decision.outcome())),
        ("reason", text(report.decision.reason())),
        ("user", Cow::Borrowed(&report.user)),
        ("service", Cow::Borrowed(&origin.service)),
        ("rhost", Cow::Borrowed(&origin.rhost)),
        ("tty", Cow::Borrowed(&origin.tty)),
        ("ruser", Cow::Borrowed(&origin.ruser)),
        ("mobile", text(&report.mobile)),
        ("http", number(http.unwrap_or_default())),
        ("code", text(&report.code)),
        ("detail", text(&report.detail)),
        ("cause", text(&report.cause)),
        ("attempts", number(report.attempts.to_string())),
        ("elapsed_ms", number(report.elapsed.as_millis().to_string())),
    ]
}

/// The severity of a decision.
#[must_use]
pub fn level(decision: Decision) -> Level {
    match decision {
        Decision::Allow(proof) if proof.is_recovery_code() => Level::Warning,
        Decision::Allow(_) => Level::Info,
        Decision::Ignore(_) => Level::Warning,
        Decision::Deny(refusal) => match refusal {
            Refusal::NotEnrolled | Refusal::Disabled | Refusal::BadEntry | Refusal::Unanswered => {
                Level::Notice
            }
            Refusal::MalformedToken
            | Refusal::DummyOfSshd
            | Refusal::RootBarredBySshd
            | Refusal::CodeMistyped
            | Refusal::TokenRejected
            | Refusal::TriesExhausted => Level::Notice,
            Refusal::PasswordAsToken | Refusal::Unavailable => Level::Warning,
            Refusal::PushDenied
            | Refusal::PushUnanswered
            | Refusal::PushBusy
            | Refusal::PushLimited
            | Refusal::PushStale
            | Refusal::PushUnavailable => Level::Warning,
            Refusal::CodeRefused | Refusal::CodeTriesExhausted | Refusal::CodeNotTakenHere => {
                Level::Warning
            }
            Refusal::ApiKeyRefused | Refusal::Misconfigured => Level::Error,
            Refusal::Internal => Level::Critical,
        },
    }
}

/// A value as it may appear in a log: at most 256 of its bytes, quoted and escaped unless every byte is plain.
#[must_use]
pub fn quote_log_value(value: &[u8]) -> String {
    let value = &value[..value.len().min(256)];
    if value.iter().all(|byte| is_plain(*byte)) {
        return String::from_utf8_lossy(value).into_owned();
    }
    let mut quoted = String::from('"');
    for byte in value {
        match byte {
            b'"' | b'\\' => quoted.extend(['\\', char::from(*byte)]),
            b' '..=b'~' => quoted.push(char::from(*byte)),
            _ => drop(write!(quoted, "\\x{byte:02x}")),
        }
    }
    quoted + "\""
}

fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"._:@/+*-".contains(&byte)
}

/// The service in the tag before the fields, where no quotes are possible.
fn label(service: &[u8]) -> String {
    service
        .iter()
        .take(64)
        .map(|byte| {
            if is_plain(*byte) {
                char::from(*byte)
            } else {
                '_'
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn the_documented_line() {
        let origin = Origin {
            service: b"sshd".to_vec(),
            rhost: b"203.0.113.7".to_vec(),
            tty: b"ssh".to_vec(),
            ruser: Vec::new(),
        };
        let report = Report {
            decision: Decision::Deny(Refusal::TokenRejected),
            user: b"alice".to_vec(),
            mobile: "***4746".to_owned(),
            http: Some(403),
            code: "INVALID_GEOFENCE".to_owned(),
            detail: "outside the allowed area".to_owned(),
            attempts: 1,
            elapsed: Duration::from_micros(182_900),
            ..Report::default()
        };
        assert_eq!(
            line(&origin, &report),
            "pam_ivalt(sshd:auth): outcome=deny reason=token-rejected user=alice service=sshd rhost=203.0.113.7 \
             tty=ssh ruser= mobile=***4746 http=403 code=INVALID_GEOFENCE detail=\"outside the allowed area\" \
             cause= attempts=1 elapsed_ms=182"
        );
    }

    #[test]
    fn foreign_bytes_are_quoted() {
        assert_eq!(quote_log_value(b""), "");
        assert_eq!(quote_log_value(b"aZ09._:@/+*-"), "aZ09._:@/+*-");
        assert_eq!(quote_log_value(b"a b"), "\"a b\"");
        assert_eq!(quote_log_value(b"a=\"\\"), "\"a=\\\"\\\\\"");
        assert_eq!(
            quote_log_value("\n\x1b[31m\u{e4}\x7f".as_bytes()),
            "\"\\x0a\\x1b[31m\\xc3\\xa4\\x7f\""
        );
        assert_eq!(quote_log_value(&[b'x'; 300]).len(), 256);
        assert_eq!(label(b"ss\nhd\") x"), "ss_hd___x");
    }
}
