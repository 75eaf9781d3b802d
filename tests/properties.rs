//! What must hold for every input, not only for those that come to mind.

use std::path::Path;
use std::time::Duration;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use ivalt_core::api::from_memory::{End, Sent};
use ivalt_core::api::{Answer, Client, PushAnswer, classify, classify_poll};
use ivalt_core::decision::{Decision, Refusal};
use ivalt_core::log_line::{Origin, line};
use ivalt_core::problem::Problem;
use ivalt_core::report::Report;
use ivalt_core::secret::Secret;
use ivalt_core::settings::{Dialect, MobileFormat};
use ivalt_core::users::prefilter;
use ivalt_core::users::{Entry, Mobile, look_up_in};
use support::log_line;

#[path = "properties/recovery.rs"]
mod recovery;
#[path = "properties/settings.rs"]
mod settings;

fn cut(bytes: &[u8]) -> &[u8] {
    &bytes[..bytes.len().min(256)]
}

/// Bytes as hostile as they come, short and long.
fn foreign() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        vec(any::<u8>(), 0..40),
        vec(any::<u8>(), 250..300),
        "[ -~]{0,30}".prop_map(String::into_bytes)
    ]
}

/// Lines of a users file, and pieces of some.
const LINES: [&str; 24] = [
    "alice = \"+14155550101\"",
    "bob = \"+14155550102\"",
    "\"a.b\" = \"+14155550103\"",
    "a.b = \"+14155550104\"",
    "alice = { mobile = \"+14155550105\", enabled = false }",
    "bob = { mobile = \"+14155550106\", enabled = true }",
    "bob = { mobile = \"+14155550107\" ",
    "bob = { enabled = 5 }",
    "\"bob\" = true",
    "# a comment",
    "",
    "[users]",
    "[users.alice]",
    "[users.bob]",
    "[other]",
    "alice.enabled = false",
    "bob.mobile = \"+14155550108\"",
    "mobile = \"+14155550109\"",
    "carol = \"\"\"",
    "\"\"\"",
    "carol = [",
    "]",
    "carol = \"\\u0041\"",
    "carol = 'x' 5",
];

/// What may stand between two digits.
fn separators() -> impl Strategy<Value = String> {
    prop_oneof![
        Just(String::new()),
        "[ ./()+_:,;-]{0,4}",
        "[\\p{Zs}\\p{Pd}\\p{Ps}\\p{Pe}\\p{Po}\\p{Cc}\\p{Cf}]{0,3}",
    ]
}

/// A digit as it is, or of full width.
fn written(digit: char, wide: bool) -> char {
    let wide = char::from_u32(u32::from(digit) - u32::from('0') + 0xff10).filter(|_| wide);
    wide.unwrap_or(digit)
}

/// iVALT's words in the log, where it refuses this mobile with these.
fn logged(mobile: &str, detail: &str) -> String {
    let body = serde_json::json!({"error": {"detail": detail}}).to_string();
    let head = format!("HTTP/1.1 403 X\r\ncontent-length: {}\r\n\r\n", body.len());
    let sent = Sent {
        bytes: (head + &body).into_bytes().into(),
        piece: usize::MAX,
        end: End::Closed,
    };
    let secret = |text: &str| Secret::new(text.into());
    match Client::validate_against(sent, secret("KEY"), mobile, &secret("TOKEN")).answer {
        Answer::Rejected(error) => error.detail,
        other => panic!("{other:?}"),
    }
}

proptest! {
    /// However iVALT writes this number, and no other.
    #[test]
    fn an_approval_is_by_the_mobile_that_was_sent(
        digits in "[1-9][0-9]{6,14}",
        country in 0usize..4,
        between in vec("[ +().-]{0,2}", 16),
        [as_number, changed] in [any::<bool>(), any::<bool>()],
        at in 0usize..15,
        by in 1u8..10,
    ) {
        let mut named = digits.clone().into_bytes();
        if changed {
            let at = at % named.len();
            named[at] = b'0' + (named[at] - b'0' + by) % 10;
        }
        let spaced = |digits: &[u8]| {
            let pairs = digits.iter().zip(&between);
            pairs.map(|(digit, between)| format!("{between}{}", char::from(*digit))).collect::<String>()
        };
        let value = |digits: &[u8]| match as_number && !digits.is_empty() && digits[0] != b'0' {
            true => String::from_utf8(digits.to_vec()).unwrap(),
            false => format!("{:?}", spaced(digits)),
        };
        let (code, national) = named.split_at(country);
        let [code, national] = [code, national].map(value);
        let body = format!(
            r#"{{"data":{{"status":true,"details":{{"country_code":{code},"mobile":{national},"name":"A"}}}}}}"#
        );
        let answer = classify_poll(Dialect::GeoFenceResults, 200, Ok(body.as_bytes()), &format!("+{digits}"));
        let expected = if changed { PushAnswer::ApprovedByAnother } else { PushAnswer::Approved };
        prop_assert_eq!(answer, expected, "{}", body);
    }

    /// No part of an approval that is missing, cut off or of another kind leaves an approval.
    #[test]
    fn an_approval_is_whole(at in 0usize..74, byte in any::<u8>()) {
        const BODY: &str = r#"{"data":{"status":true,"details":{"country_code":"91","mobile":"6283974746"}}}"#;
        let approves = |body: &[u8]| {
            let answer = classify_poll(Dialect::AuthResult, 200, Ok(body), "+916283974746");
            answer == PushAnswer::Approved
        };
        let mut other = BODY.as_bytes().to_vec();
        prop_assert!(approves(&other));
        prop_assert!(!approves(&other[..at]) && !approves(&other[1 + at..]));
        let before = std::mem::replace(&mut other[at], byte);
        prop_assert!(byte == before || !approves(&other), "{}", String::from_utf8_lossy(&other));
    }

    /// The whole number, and the national one: only what is written in front of it may be left of it.
    #[test]
    fn a_mobile_is_not_logged_whatever_stands_between_its_digits(
        digits in "[1-9][0-9]{6,14}",
        left_out in 0usize..4,
        between in vec(separators(), 15),
        wide in vec(any::<bool>(), 15),
        [before, behind] in ["[a-z ]{0,5}[a-z]", "([a-z][a-z ]{0,5})?"],
    ) {
        let shown = digits.chars().skip(left_out.min(digits.len() - 7));
        let mut number = String::new();
        for ((digit, between), wide) in shown.zip(&between).zip(&wide) {
            number += between;
            number.push(written(digit, *wide));
        }
        let logged = logged(&format!("+{digits}"), &format!("{before}{number}{behind}"));
        prop_assert!(!logged.contains(char::is_numeric), "{number:?}: {logged:?}");
        prop_assert!(logged.starts_with(&before) && logged.ends_with(&behind), "{logged:?}");
    }

    /// What is left out of a file changes nobody's entry, nor whether it is TOML.
    #[test]
    fn plain_lines_of_others_make_no_difference(
        lines in vec(proptest::sample::select(LINES.as_slice()), 0..8),
        wanted in proptest::sample::select(["alice", "bob", "a.b", "carol", "dave"].as_slice()),
    ) {
        let read = |text: &str| {
            let entry = look_up_in(Path::new("users.toml"), text.as_bytes(), wanted.as_bytes(), MobileFormat::E164);
            entry.map_err(drop).map(|entry| match entry {
                // Its sentence has the line.
                Entry::Bad(problem) => Entry::Bad(Problem::new(problem.kind, "")),
                entry => entry,
            })
        };
        let text = format!("[users]\n{}\n", lines.join("\n"));
        // The same to TOML, and not plain: nothing is left out.
        let whole = text.replacen("[users]", "[ users ]", 1);
        prop_assert_eq!(prefilter(&whole, wanted).unwrap(), &*whole);
        prop_assert_eq!(read(&text), read(&whole), "{}", text);
        prop_assert_eq!(read(&prefilter(&text, wanted).unwrap()), read(&whole), "{}", text);
    }

    #[test]
    fn every_log_line_reads_back_to_what_went_in(
        [user, service, rhost, tty] in [foreign(), foreign(), foreign(), foreign()],
        [code, detail, cause] in [".{0,80}", ".{0,300}", ".{0,80}"],
        http in option::of(100u16..1000),
        attempts in any::<u64>(),
        elapsed in 0u64..1_000_000,
    ) {
        let origin = Origin { service, rhost, tty, ruser: Vec::new() };
        let report = Report {
            decision: Decision::Deny(Refusal::TokenRejected),
            user, code, detail, cause, http, attempts,
            elapsed: Duration::from_millis(elapsed),
            ..Report::default()
        };
        let read = log_line::LogLine::parse(&format!("<85>Nov 23 22:00:28 sshd[1]: {}", line(&origin, &report)));
        for (key, value) in [
            ("user", report.user.as_slice()),
            ("service", &origin.service),
            ("rhost", &origin.rhost),
            ("tty", &origin.tty),
            ("ruser", b""),
            ("code", report.code.as_bytes()),
            ("detail", report.detail.as_bytes()),
            ("cause", report.cause.as_bytes()),
        ] {
            prop_assert_eq!(read.bytes(key), cut(value), "{}", key);
        }
        prop_assert_eq!(read.get("http"), http.map(|status| status.to_string()).unwrap_or_default());
        prop_assert_eq!((read.get("attempts"), read.get("elapsed_ms")), (attempts.to_string(), elapsed.to_string()));
    }

    #[test]
    fn success_if_and_only_if_the_documented_condition(
        status in 100u16..1000,
        word in prop_oneof![Just("success".to_owned()), "[sS]uccess ?", ".{0,12}"],
        others in vec(("[a-z]{1,8}", any::<i32>()), 0..4),
        [before, after] in ["[ \t\r\n]{0,3}", "[ \t\r\n]{0,3}"],
    ) {
        let mut object: serde_json::Map<_, _> = others.into_iter().map(|(key, value)| (key, value.into())).collect();
        object.insert("status".to_owned(), word.clone().into());
        let body = format!("{before}{}{after}", serde_json::Value::Object(object));
        let verified = classify(status, Ok(body.as_bytes())) == Answer::Verified;
        prop_assert_eq!(verified, (200..300).contains(&status) && word == "success", "{} {}", status, body);
    }

    #[test]
    fn no_garbage_is_a_success(status in 100u16..1000, body in vec(any::<u8>(), 0..200)) {
        prop_assert_ne!(classify(status, Ok(&body)), Answer::Verified);
    }

    /// What a success becomes when one byte of it is replaced, left out or put in, unless it still says the same.
    #[test]
    fn a_damaged_success_is_none(at in 0usize..20, byte in any::<u8>(), how in 0..3) {
        let mut body = br#"{"status":"success"}"#.to_vec();
        match how {
            0 => body[at] = byte,
            1 => drop(body.remove(at)),
            _ => body.insert(at, byte),
        }
        let same = serde_json::from_slice::<serde_json::Value>(&body)
            .is_ok_and(|value| value.is_object() && value["status"] == "success");
        prop_assert_eq!(classify(200, Ok(&body)) == Answer::Verified, same, "{:?}", body);
    }

    #[test]
    fn a_mobile_is_accepted_if_and_only_if_e164(written in prop_oneof!["[+]?[0-9 .-]{0,20}", ".{0,20}"]) {
        let plain: String = written.chars().filter(|c| !" -.".contains(*c)).collect();
        let digits = plain.strip_prefix('+').unwrap_or("x");
        let e164 = digits.bytes().all(|byte| byte.is_ascii_digit())
            && (7..=15).contains(&digits.len())
            && !digits.starts_with('0');
        let accepted = Mobile::parse(&written, MobileFormat::E164);
        prop_assert_eq!(accepted.is_some(), e164);
        if let Some(mobile) = accepted {
            prop_assert_eq!(mobile.as_str(), plain);
        }
    }
}
