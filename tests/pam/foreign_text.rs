//! What iVALT's own words may do to a log and a terminal: nothing.

use std::fmt::Write as _;

use serde_json::json;

use crate::expect::{EXHAUSTED, expect};
use crate::table::*;
use support::sandbox_test;
use support::server::{Server, answer};

/// What could disturb a terminal or forge a log line, each in code and detail.
const FOREIGN_WORDS: [(&str, &str); 9] = [
    ("escape sequences", "\u{1b}[2J\u{1b}]0;owned\u{7}\u{1b}[31m"),
    (
        "newlines",
        "a\nuser=root\r\nNov 24 00:00:00 sshd[1]: pam_ivalt(sshd:auth): outcome=allow",
    ),
    ("quotes", "\" outcome=allow reason=\"verified\\\" \\x41"),
    (
        "NUL and the other controls",
        "\0\u{1}\u{8}\u{b}\u{c}\u{e}\u{7f}\t",
    ),
    ("C1 controls", "\u{80}\u{85}\u{9b}31m\u{9d}\u{9f}"),
    ("bidi", "\u{202e}\u{2066}\u{2069}\u{200f}\u{61c}evil"),
    ("invisible", "\u{200b}\u{feff}\u{2028}\u{2029}\u{ad}"),
    ("other scripts", "Grüße ☃ 日本 ѕuccess \u{1f600} e\u{301}"),
    ("format strings", "%s%n%x ${jndi:ldap://x} $(id) `id` ;|&"),
];

/// What the log may hold of these words: LogLine::parse takes back the escapes, and no other bytes.
fn logged(words: &str) -> String {
    String::from_utf8_lossy(&words.as_bytes()[..words.len().min(256)]).into_owned()
}

/// As JSON may write it: every character by its UTF-16 units.
fn escaped(text: &str) -> String {
    text.encode_utf16().fold(String::new(), |mut json, unit| {
        let _ = write!(json, "\\u{unit:04x}");
        json
    })
}

/// These words in every place where iVALT may put them.
fn said_everywhere(name: &str, words: &str) -> Vec<Answered> {
    let logged = logged(words);
    let plain = json!({"status": "error", "error": {"code": words, "detail": words}}).to_string();
    let coded = escaped(&logged);
    let coded = format!(r#"{{"status":"error","error":{{"code":"{coded}","detail":"{coded}"}}}}"#);
    let message = json!({"message": words}).to_string();
    let with = |status: u16, body: &str, ends: Ends| {
        let bytes = answer(&format!("{status} X"), "", body.as_bytes());
        row(&format!("{status} {name}"), bytes, ends)
    };
    let outage = Ends::unavailable("answer: HTTP 503").http(503);
    vec![
        with(403, &plain, Ends::rejected(403).said(&logged, &logged)),
        with(422, &coded, Ends::rejected(422).said(&logged, &logged)),
        with(400, &message, Ends::rejected(400).said("", &logged)),
        with(200, &plain, Ends::rejected(200).said(&logged, &logged)),
        with(503, &plain, outage.said(&logged, &logged)),
    ]
}

#[sandbox_test]
fn ivalts_words_reach_no_log_and_no_terminal_raw() {
    let long = "\u{1b}x".repeat(4_000);
    let words = FOREIGN_WORDS.into_iter().chain([("long", long.as_str())]);
    let rows: Vec<_> = words
        .flat_map(|(name, words)| said_everywhere(name, words))
        .collect();
    check_answers(&rows);
}

#[sandbox_test]
fn what_is_no_text_is_not_repeated() {
    let with = |name, body: &[u8]| row(name, answer("403 X", "", body), Ends::rejected(403));
    let value = |name, value: serde_json::Value| {
        let error = json!({"code": value, "detail": value});
        with(
            name,
            json!({"error": error, "message": value})
                .to_string()
                .as_bytes(),
        )
    };
    let (ae, quote) = (
        b"\xe4\x9b",
        br#"{"status":"error","error":{"code":"X","detail":""#,
    );
    check_answers(&[
        value("a number", json!(7)),
        value("null", json!(null)),
        value("an array without text", json!([7, ["x"]])),
        value("an object", json!({"x": "y"})),
        value("100 kB", json!("x".repeat(100_000))),
        with(
            "lone surrogates",
            br#"{"error":{"code":"\ud800","detail":"\udc00"}}"#,
        ),
        with("not UTF-8", &[quote.as_slice(), ae, b"\"}}"].concat()),
        with("breaks off", quote),
    ]);
}

/// iVALT gives several reasons as an array.
#[sandbox_test]
fn several_details_are_one() {
    let with = |detail: serde_json::Value, expected: &str| {
        let body = json!({"error": {"code": "X", "detail": detail}}).to_string();
        let ends = Ends::rejected(422).said("X", expected);
        row("details", answer("422 X", "", body.as_bytes()), ends)
    };
    check_answers(&[
        with(json!(["one", "two \"2\"\r\n"]), "one; two \"2\"\r\n"),
        with(json!(["one"]), "one"),
        with(json!([]), ""),
    ]);
}

/// The next prompt is a terminal, too.
#[sandbox_test]
fn the_next_prompt_repeats_none_of_ivalts_words() {
    let words = "\u{1b}[31m geofence\r\n\u{202e}";
    let body = json!({"status": "error", "error": {"code": words, "detail": words}}).to_string();
    let server = Server::answering(answer("403 X", "", body.as_bytes()));
    let report = with_lines(case(&url(&server)), "[token]\nattempts = 2\n").run();
    expect(&report, EXHAUSTED);
    let outside = "iVALT refused the token: outside the allowed area.";
    assert_eq!(
        report.prompts(),
        [
            "iVALT token: ".to_owned(),
            format!("{outside} iVALT token: ")
        ]
    );
    assert_eq!(report.told(), [outside]);
    assert_eq!(server.tokens(), ["accept-1", "accept-2"]);
}
