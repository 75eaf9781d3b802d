//! Push: a request to a phone, and what polls say of it. No document of the vendor's has it; it is what public
//! integrations send and get.
//!
//! Every phone shows a request, and nobody taps on it, until a test writes into DIR, DIGITS being those of the mobile:
//!
//! | file | what |
//! | --- | --- |
//! | `tap-DIGITS` | a word of [`Tap`]: what the owner does with the request that is open; without one, nothing |
//! | `answers-DIGITS` | a word of [`choose`] a line for each of the next requests, the tap left out of account; after `slow-MS ` it takes so long, and one after `always ` stays |

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::answers::{self, Answer, Asked};

/// The two ways to poll, of which each belongs to an integration of its own; they start alike.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Push {
    /// `biometric-auth-request`
    Start,
    /// `biometric-geo-fence-auth-results`
    GeoFenceResults,
    /// `biometric-auth-result`
    AuthResult,
}

/// What the owner of a phone does with a request.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Tap {
    /// `approve`: polls say so until the next request leaves.
    Approve,
    /// `approve-once`: the first poll that says so is the last.
    ApproveOnce,
    /// `approve-sticky`: polls say so whatever leaves.
    ApproveSticky,
    /// `deny`
    Deny,
    /// `geofence`: approved at the wrong place.
    Geofence,
    /// `hours`: approved at the wrong time.
    Hours,
}

/// One mobile, as the service sees it.
#[derive(Default)]
struct Phone {
    /// A request that nobody has tapped on.
    open: bool,
    result: Option<Tap>,
}

/// All of them.
pub struct Phones {
    dir: PathBuf,
    phones: RefCell<BTreeMap<String, Phone>>,
}

impl Phones {
    pub fn new(dir: &Path) -> Self {
        Self {
            dir: dir.to_owned(),
            phones: RefCell::default(),
        }
    }

    pub fn answer(&self, push: Push, asked: &Asked) -> Answer {
        let digits = digits(asked);
        let mut phones = self.phones.borrow_mut();
        let phone = phones.entry(digits.clone()).or_default();
        if let Some(tap) = self.take_tap(&digits) {
            phone.tap(tap);
        }
        let word = phone.word(push).to_owned();
        let line = self.take_line(&digits).unwrap_or(word);
        match line
            .strip_prefix("slow-")
            .and_then(|line| line.split_once(' '))
        {
            Some((ms, word)) => choose(word, push, asked).after(ms.parse().unwrap_or(0)),
            None => choose(&line, push, asked),
        }
    }

    fn take_tap(&self, digits: &str) -> Option<Tap> {
        let file = self.dir.join(format!("tap-{digits}"));
        let word = fs::read_to_string(&file).ok()?;
        fs::remove_file(file).ok()?;
        Tap::of(word.trim())
    }

    /// The first of those that were ordered.
    fn take_line(&self, digits: &str) -> Option<String> {
        let file = self.dir.join(format!("answers-{digits}"));
        let text = fs::read_to_string(&file).ok()?;
        let (line, rest) = text.split_once('\n').unwrap_or((&text, ""));
        match line.strip_prefix("always ") {
            Some(line) => return Some(line.to_owned()),
            None if rest.is_empty() => fs::remove_file(file).ok()?,
            None => fs::write(file, rest).ok()?,
        }
        Some(line.to_owned())
    }
}

impl Phone {
    /// Where no request is open, there is nothing to tap on.
    fn tap(&mut self, tap: Tap) {
        if self.open {
            *self = Self {
                open: false,
                result: Some(tap),
            };
        }
    }

    /// What a request gets; it may change what the next one gets.
    fn word(&mut self, push: Push) -> &'static str {
        if push == Push::Start {
            let stays = self.result.filter(|tap| *tap == Tap::ApproveSticky);
            *self = Self {
                open: true,
                result: stays,
            };
            return "sent";
        }
        match self.result {
            None => "pending",
            Some(Tap::ApproveOnce) => {
                self.result = None;
                "approved"
            }
            Some(Tap::Approve | Tap::ApproveSticky) => "approved",
            Some(Tap::Deny) => "denied",
            Some(Tap::Geofence) => "geofence",
            Some(Tap::Hours) => "hours",
        }
    }
}

impl Tap {
    fn of(word: &str) -> Option<Self> {
        Some(match word {
            "approve" => Self::Approve,
            "approve-once" => Self::ApproveOnce,
            "approve-sticky" => Self::ApproveSticky,
            "deny" => Self::Deny,
            "geofence" => Self::Geofence,
            "hours" => Self::Hours,
            _ => return None,
        })
    }
}

/// The table. What is not in it is in that of tokens.
fn choose(word: &str, push: Push, asked: &Asked) -> Answer {
    let ours = details(asked);
    let (country, national) = (&ours["country_code"], &ours["mobile"]);
    let with = |field: &str, value: Value| {
        let mut details = ours.clone();
        details[field] = value;
        details
    };
    let whole = format!("+{}", digits(asked));
    let number: u64 = digits(asked).parse().unwrap_or(0);
    match word {
        "sent" => data(
            &json!(true),
            "Biometric Auth Request successfully sent.",
            Value::Null,
        ),
        "not-sent" => data(
            &json!(false),
            "Biometric Auth Request not sent.",
            Value::Null,
        ),
        "pending" => pending(push, asked, push.pending()),
        "pending-400" => pending(push, asked, 400),
        "pending-message" => {
            answers::json(push.pending(), r#"{"message":"Not authenticated yet"}"#)
        }
        "approved" => approved(&json!(true), ours.clone()),
        // Other forms of the same mobile.
        "approved-whole" => approved(&json!(true), json!({"mobile": whole})),
        "approved-as-number" => approved(&json!(true), json!({"mobile": number})),
        "approved-national" => approved(&json!(true), json!({"mobile": national})),
        "approved-numbers" => {
            let [country, national] = [country, national].map(as_number);
            approved(
                &json!(true),
                json!({"country_code": country, "mobile": national}),
            )
        }
        "approved-null-error" => json_of(
            200,
            &json!({"data": {"status": true, "details": ours}, "error": null}),
        ),
        // Approvals of something else.
        "approved-other" => approved(&json!(true), with("mobile", json!("4155550100"))),
        "approved-other-country" => approved(&json!(true), with("country_code", json!("+1"))),
        "approved-no-mobile" => approved(&json!(true), json!({"id": 4711, "name": NAME})),
        "approved-null-mobile" => approved(&json!(true), with("mobile", Value::Null)),
        "approved-array" => approved(&json!(true), json!([ours])),
        "approved-no-details" => approved(&json!(true), Value::Null),
        // What only looks like one.
        "approved-word" => approved(&json!("true"), ours.clone()),
        "approved-one" => approved(&json!(1), ours.clone()),
        "approved-false" => approved(&json!(false), ours.clone()),
        "approved-201" => approved(&json!(true), ours.clone()).with_status(201),
        "approved-with-error" => json_of(
            200,
            &json!({"data": {"status": true, "details": ours}, "error": {"detail": "denied"}}),
        ),
        "approved-above" => json_of(200, &json!({"status": true, "details": ours})),
        "approved-in-an-array" => {
            json_of(200, &json!([{"data": {"status": true, "details": ours}}]))
        }
        "approved-two-statuses" => twice(&ours, r#""status":false,"status":true"#, ""),
        "approved-two-mobiles" => twice(&ours, r#""status":true"#, r#","mobile":"4155550100""#),
        "success" => answers::json(
            200,
            r#"{"status":"success","message":"Authentication successful"}"#,
        ),
        "denied" => refused(push, 403, "Denied by the user."),
        "denied-401" => refused(push, 401, "Denied by the user."),
        "denied-message" => answers::json(403, r#"{"message":"Denied by the user."}"#),
        "geofence" => refused(push, 403, "The user is not within the geofencing location."),
        "hours" => refused(push, 403, "The user is not within the timezone."),
        "unknown" => refused(push, 404, "No such user."),
        "expired" => refused(push, 410, "The request has expired."),
        "html-404" => Answer {
            content_type: "text/html",
            ..answers::json(404, "<!doctype html><title>404</title><p>Not Found")
        },
        "echo" => {
            let [country, national] = [country, national].map(|text| text.as_str().unwrap_or(""));
            let said = format!("of {country}{national}, {whole}, by {}", asked.api_key);
            refused(
                push,
                403,
                &format!("{said}, {NAME} {EMAIL} {ADDRESS} {IMEI}"),
            )
        }
        _ => answers::choose(word, asked),
    }
}

impl Push {
    /// The status by which a poll says that nobody has tapped yet.
    fn pending(self) -> u16 {
        if self == Self::AuthResult { 422 } else { 404 }
    }

    /// As `instance` of an error names it.
    fn path(self) -> &'static str {
        match self {
            Self::Start => "/biometric-auth-request",
            Self::GeoFenceResults => "/biometric-geo-fence-auth-results",
            Self::AuthResult => "/biometric-auth-result",
        }
    }
}

/// Whose phone it is; nothing of it belongs into a log.
const NAME: &str = "Alice Liddell";
const EMAIL: &str = "alice.liddell@example.org";
const IMEI: &str = "356938035643809";
const ADDRESS: &str = "Christ Church, Oxford";

/// The mobile's, with a national number of ten digits.
fn details(asked: &Asked) -> Value {
    let digits = digits(asked);
    let (country, national) = digits.split_at(digits.len().saturating_sub(10));
    let country = if country.is_empty() { "91" } else { country };
    json!({
        "id": 4711, "name": NAME, "email": EMAIL, "country_code": format!("+{country}"), "mobile": national,
        "latitude": "51.7501", "longitude": "-1.2560", "imei": IMEI, "address": ADDRESS,
    })
}

fn digits(asked: &Asked) -> String {
    let mobile = asked.body["mobile"].as_str().unwrap_or_default();
    mobile.chars().filter(char::is_ascii_digit).collect()
}

fn as_number(text: &Value) -> Value {
    let text = text.as_str().unwrap_or_default().trim_start_matches('+');
    text.parse::<u64>().map_or(Value::Null, Value::from)
}

fn approved(status: &Value, details: Value) -> Answer {
    data(
        status,
        "Biometric Authentication successfully done.",
        details,
    )
}

/// The form of all that went well.
fn data(status: &Value, message: &str, details: Value) -> Answer {
    json_of(
        200,
        &json!({"data": {"status": status, "message": message, "details": details}}),
    )
}

/// A key of `data`, or of `details`, more than once.
fn twice(details: &Value, status: &str, more: &str) -> Answer {
    let details = details.to_string();
    let details = details.trim_end_matches('}');
    answers::json(
        200,
        &format!(r#"{{"data":{{{status},"details":{details}{more}}}}}}}"#),
    )
}

fn pending(push: Push, asked: &Asked, status: u16) -> Answer {
    let mobile = asked.body["mobile"].as_str().unwrap_or_default();
    refused(
        push,
        status,
        &format!("The mobile number provided ({mobile}) was not found."),
    )
}

/// The form of all errors.
fn refused(push: Push, status: u16, detail: &str) -> Answer {
    let error = json!({
        "type": "about:blank", "title": "Error", "status": status, "detail": detail, "instance": push.path(),
    });
    let debug = json!({"timestamp": "2026-11-26T17:00:00Z", "activityId": "0af7651916cd43dd"});
    json_of(status, &json!({"error": error, "debug": debug}))
}

fn json_of(status: u16, body: &Value) -> Answer {
    answers::json(status, &body.to_string())
}
