//! Which word gets which answer: the table that tests are written against.
//!
//! Refusals have the shapes seen in public integrations (the vendor documents none).

use std::time::Duration;

use serde_json::Value;

/// What goes back over the wire, and how.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    pub status: u16,
    pub content_type: &'static str,
    /// One header beyond the usual.
    pub header: Option<(&'static str, String)>,
    pub body: String,
    /// How long to wait before the first byte.
    pub delay: Duration,
    pub ending: Ending,
}

/// How much of an answer really leaves.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Ending {
    Whole,
    /// 100 bytes announced, the 20 of `body` sent, then the connection is closed.
    HalfBody,
    /// The connection is closed without a byte.
    HangUp,
}

/// What an answer may repeat besides the word itself.
pub struct Asked<'a> {
    pub body: &'a Value,
    pub api_key: &'a str,
    pub port: u16,
}

/// Words with a variable end. `slow-reject-` comes before `slow-`: the first that fits is taken.
const FAMILIES: [&str; 7] = [
    "accept",
    "reject",
    "http-",
    "success-",
    "slow-reject-",
    "slow-",
    "body:",
];

/// The table. A word that is not in it is refused.
pub fn choose(word: &str, asked: &Asked) -> Answer {
    let (kind, rest) = split(word);
    match (kind, rest.parse::<u32>().ok()) {
        ("accept", _) => accepted(),
        ("reject", _) => rejected(),
        ("geofence", _) => refusal(403, "INVALID_GEOFENCE", "user is outside of the geofence"),
        ("timezone", _) => refusal(403, "INVALID_TIMEZONE", "user is outside of the timezone"),
        ("unknown-user", _) => refusal(404, "USER_NOT_FOUND", "user not found"),
        ("invalid-mobile", _) => refusal(422, "INVALID_MOBILE", "invalid mobile"),
        ("rate-limit", _) => refusal(429, "RATE_LIMIT_EXCEEDED", "rate limit exceeded")
            .with_header("retry-after", "30".to_owned()),
        ("api-key-invalid", _) => refusal(401, "API_KEY_INVALID", "api key invalid"),
        ("forbidden", _) => forbidden(),
        ("bare-detail", _) => json(400, r#"{"error":{"detail":"bare detail"}}"#),
        ("bare-message", _) => json(400, r#"{"message":"bare message"}"#),
        ("soft-reject", _) => rejected().with_status(200),
        ("http-", Some(status @ 200..=999)) => bare_status(status as u16, asked.port),
        ("success-", Some(status @ 200..=999)) => accepted().with_status(status as u16),
        ("slow-", Some(ms)) => accepted().after(ms),
        ("slow-reject-", Some(ms)) => rejected().after(ms),
        ("garbage", _) => json(200, "not json"),
        ("empty", _) => json(200, ""),
        ("html", _) => html(),
        ("hang-up", _) => accepted().ending(Ending::HangUp),
        ("half-body", _) => json(200, r#"{"status":"success","#).ending(Ending::HalfBody),
        ("oversize", _) => oversize(),
        ("echo", _) => echo(asked),
        ("escape", _) => refusal(403, "AUTHENTICATION_FAILED", ESCAPES),
        ("body:", _) => json(200, rest),
        _ => rejected(),
    }
}

/// Everything that could disturb a terminal or a log line.
const ESCAPES: &str = "red \u{1b}[31malert\u{1b}[0m\nsecond line \"quoted\" 'single' back\\slash \
     Grüße ☃ 日本 \u{202e}reversed";

/// With one word the table decides. With two (`auth_token`, `face_auth_token`) both count:
/// the second decides unless the first refused, or the second begins with `accept`.
pub fn answer(words: &[&str], asked: &Asked) -> Answer {
    let mut answer = rejected();
    for (place, word) in words.iter().enumerate() {
        if place == 0 || !word.starts_with("accept") {
            answer = choose(word, asked);
        }
        if !answer.accepts() {
            break;
        }
    }
    answer
}

/// `slow-250` is (`slow-`, `250`); a word of no family is itself, whole.
fn split(word: &str) -> (&str, &str) {
    let family = FAMILIES.iter().find(|family| word.starts_with(**family));
    word.split_at(family.map_or(word.len(), |family| family.len()))
}

impl Answer {
    /// Could a client take this for a yes?
    fn accepts(&self) -> bool {
        let status = serde_json::from_str(&self.body)
            .map(|body: Value| body["status"] == "success")
            .unwrap_or(false);
        (200..300).contains(&self.status) && status && self.ending == Ending::Whole
    }

    pub fn with_status(self, status: u16) -> Self {
        Self { status, ..self }
    }

    pub fn with_header(self, name: &'static str, value: String) -> Self {
        Self {
            header: Some((name, value)),
            ..self
        }
    }

    pub fn after(self, ms: u32) -> Self {
        Self {
            delay: Duration::from_millis(ms.into()),
            ..self
        }
    }

    fn ending(self, ending: Ending) -> Self {
        Self { ending, ..self }
    }
}

pub fn json(status: u16, body: &str) -> Answer {
    Answer {
        status,
        content_type: "application/json",
        header: None,
        body: body.to_owned(),
        delay: Duration::ZERO,
        ending: Ending::Whole,
    }
}

fn accepted() -> Answer {
    json(
        200,
        r#"{"status":"success","message":"Authentication successful"}"#,
    )
}

fn rejected() -> Answer {
    refusal(403, "AUTHENTICATION_FAILED", "authentication failed")
}

/// What the gateway in front of iVALT says to a wrong key; exactly these bytes.
pub fn forbidden() -> Answer {
    json(403, r#"{"message":"Forbidden"}"#)
}

/// The full form of a refusal, in the order in which iVALT writes it.
pub fn refusal(status: u16, code: &str, detail: &str) -> Answer {
    let (code, detail) = (Value::from(code), Value::from(detail));
    let body = format!(r#"{{"status":"error","error":{{"code":{code},"detail":{detail}}}}}"#);
    json(status, &body)
}

/// A redirect points back here, so that a client that follows it is seen in `requests.jsonl`.
fn bare_status(status: u16, port: u16) -> Answer {
    let answer = json(status, &format!(r#"{{"message":"status {status}"}}"#));
    match status {
        300..=399 => answer.with_header("location", format!("https://127.0.0.1:{port}/elsewhere")),
        _ => answer,
    }
}

/// What a captive portal or a broken load balancer sends.
fn html() -> Answer {
    Answer {
        content_type: "text/html",
        ..json(200, "<!doctype html><title>Sign in</title><p>Sign in")
    }
}

/// A success in its first bytes and as a whole, but longer than the 64 KiB a client may read.
fn oversize() -> Answer {
    let padding = "x".repeat(64 * 1024);
    let body = format!(
        r#"{{"status":"success","message":"Authentication successful","padding":"{padding}"}}"#
    );
    json(200, &body)
}

/// Repeats every field and the key, to prove that the client keeps them out of log and prompt.
fn echo(asked: &Asked) -> Answer {
    let mut detail = String::from("you sent");
    for (name, value) in asked.body.as_object().into_iter().flatten() {
        detail += &format!(" {name} {}", value.as_str().unwrap_or_default());
    }
    detail += &format!(" x-api-key {}", asked.api_key);
    refusal(403, "AUTHENTICATION_FAILED", &detail)
}
