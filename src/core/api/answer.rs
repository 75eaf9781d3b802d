//! What an HTTP answer of iVALT means. Only one place turns bytes into `Verified`.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::number::numbers;

/// What iVALT said. Only `Verified` lets a user in.
#[derive(Debug, PartialEq, Eq)]
pub enum Answer {
    /// HTTP 2xx and a JSON object whose `status` is exactly `success`.
    Verified,
    /// iVALT refused the request.
    Rejected(ApiError),
    /// iVALT, or the gateway before it, refuses this host's API key.
    ApiKeyRefused(ApiError),
    /// Not an answer to the question; the words say what it was.
    Unusable(String, ApiError),
    /// Nobody answered, because of a fault of this host, which the words name.
    LocalFault(String),
}

/// What iVALT gave as its reason, in its own words: foreign text.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct ApiError {
    /// `error.code`, as in `INVALID_GEOFENCE`.
    pub code: String,
    /// `error.detail`, else `message`.
    pub detail: String,
    /// `debug.activityId`, by which the vendor's support finds the request.
    pub activity: String,
}

/// The most of `debug.activityId` that is kept, in characters: a UUID has 36.
const ACTIVITY_LIMIT: usize = 64;

impl Answer {
    /// The same answer with `change` made to iVALT's words.
    #[must_use]
    pub(crate) fn map_error(self, change: impl FnOnce(ApiError) -> ApiError) -> Self {
        match self {
            Self::Verified => Self::Verified,
            Self::Rejected(error) => Self::Rejected(change(error)),
            Self::ApiKeyRefused(error) => Self::ApiKeyRefused(change(error)),
            Self::Unusable(cause, error) => Self::Unusable(cause, change(error)),
            Self::LocalFault(cause) => Self::LocalFault(cause),
        }
    }

    /// `debug.activityId`, if iVALT gave one.
    pub(crate) fn activity(&self) -> Option<&str> {
        match self {
            Self::Verified | Self::LocalFault(_) => None,
            Self::Rejected(error) | Self::ApiKeyRefused(error) | Self::Unusable(_, error) => {
                Some(error.activity.as_str()).filter(|activity| !activity.is_empty())
            }
        }
    }
}

impl ApiError {
    /// The same words with `***` for whatever of it iVALT repeated.
    #[must_use]
    pub(crate) fn redact(self, sent: &Sent) -> Self {
        Self {
            code: sent.hide_in(&self.code),
            detail: sent.hide_in(&self.detail),
            activity: sent.hide_in(&self.activity),
        }
    }
}

/// What the log must not repeat.
pub(crate) struct Sent<'a> {
    /// As they were sent.
    pub secrets: &'a [&'a str],
    /// However it is written.
    pub mobile: Option<&'a str>,
}

impl Sent<'_> {
    /// All are looked for in the same text: one that is part of another, a token of the mobile's digits, say, must not
    /// leave the rest of it.
    pub(crate) fn hide_in(&self, text: &str) -> String {
        let numbers = self.mobile.map(|mobile| numbers(text, mobile));
        let mut numbers = numbers.into_iter().flatten().peekable();
        let secrets = self.secrets.iter().filter(|secret| !secret.is_empty());
        let (mut shown, mut hidden_to) = (String::new(), 0);
        for (at, character) in text.char_indices() {
            let rest = text.get(at..).unwrap_or_default();
            let here = secrets.clone().filter(|secret| rest.starts_with(**secret));
            let ends = here.map(|secret| at + secret.len());
            let number = numbers.next_if(|number| number.start == at);
            if let Some(end) = ends.chain(number.map(|number| number.end)).max() {
                if at >= hidden_to {
                    shown += "***";
                }
                hidden_to = hidden_to.max(end);
            }
            if at >= hidden_to {
                shown.push(character);
            }
        }
        shown
    }
}

/// Classifies status and body. Instead of a body that was not read, `body` says why not.
#[must_use]
pub fn classify(status: u16, body: Result<&[u8], &str>) -> Answer {
    let unread = body.err();
    let object = body.ok().and_then(Object::parse).unwrap_or_default();
    match status {
        200..=299 => match object.only_status().as_deref() {
            Some("success") => Answer::Verified,
            Some(_) => Answer::Rejected(object.error()),
            None => Answer::Unusable(
                format!(
                    "answer: HTTP {status}: {}",
                    unread.unwrap_or(object.without_status())
                ),
                ApiError {
                    activity: object.activity(),
                    ..ApiError::default()
                },
            ),
        },
        400..=499 if object.refuses_api_key(status) => Answer::ApiKeyRefused(object.error()),
        408 | 429 => Answer::Unusable(format!("answer: HTTP {status}"), object.error()),
        400..=499 => Answer::Rejected(object.error()),
        300..=399 => Answer::Unusable(
            format!("answer: HTTP {status}, a redirect, is not followed"),
            ApiError::default(),
        ),
        _ => Answer::Unusable(format!("answer: HTTP {status}"), object.error()),
    }
}

/// The members of a JSON object (RFC 8259) in UTF-8, with nothing after the object. Values are parsed when they are
/// asked for: what is in the others does not matter.
#[derive(Default)]
pub(super) struct Object<'a>(Vec<(String, &'a RawValue)>);

impl<'a> Object<'a> {
    pub(super) fn parse(body: &'a [u8]) -> Option<Self> {
        serde_json::from_slice(body).ok()
    }

    /// The `status`, if there is exactly one and it is a string.
    fn only_status(&self) -> Option<String> {
        serde_json::from_str(self.only("status")?.get()).ok()
    }

    /// Why this is no answer. Other operations of iVALT's say true or false in `data.status`.
    fn without_status(&self) -> &'static str {
        let data = self.object("data");
        let elsewhere = data
            .last("status")
            .is_some_and(|status| ["true", "false"].contains(&status.get()));
        if self.last("status").is_none() && elsewhere {
            "status is in data.status, not the documented shape"
        } else {
            "body is not a JSON object with exactly one \"status\""
        }
    }

    /// The value under this key, if there is exactly one.
    pub(super) fn only(&self, key: &str) -> Option<&'a RawValue> {
        let mut values = self.all(key);
        values.next().filter(|_| values.next().is_none())
    }

    /// Every value under this key.
    pub(super) fn all(&self, key: &str) -> impl Iterator<Item = &'a RawValue> {
        let members = self.0.iter().filter(move |(name, _)| name == key);
        members.map(|(_, value)| *value)
    }

    /// Of several members with this key the last.
    pub(super) fn last(&self, key: &str) -> Option<&'a RawValue> {
        let mut members = self.0.iter().rev();
        members.find_map(|(name, value)| (name == key).then_some(*value))
    }

    /// The string under this key; empty where there is none. Not by way of `serde_json::Value`: it takes an object
    /// with a key of serde_json's own for the JSON in that key's string.
    pub(super) fn text(&self, key: &str) -> String {
        let value = self.last(key);
        value
            .and_then(|value| serde_json::from_str(value.get()).ok())
            .unwrap_or_default()
    }

    /// The same, or the strings of an array.
    fn texts(&self, key: &str) -> String {
        let array = self.last(key);
        let array: Option<Vec<&RawValue>> =
            array.and_then(|value| serde_json::from_str(value.get()).ok());
        let string = |value: &&RawValue| serde_json::from_str::<String>(value.get()).ok();
        match array {
            // No list of them: an answer may hold very many.
            Some(array) => {
                let (mut joined, mut separator) = (String::new(), "");
                for string in array.iter().filter_map(string) {
                    joined += std::mem::replace(&mut separator, "; ");
                    joined += &string;
                }
                joined
            }
            None => self.text(key),
        }
    }

    fn activity(&self) -> String {
        let activity = self.object("debug").text("activityId");
        activity.chars().take(ACTIVITY_LIMIT).collect()
    }

    /// The object under this key; empty where there is none.
    fn object(&self, key: &str) -> Self {
        let value = self.last(key);
        value
            .and_then(|value| Self::parse(value.get().as_bytes()))
            .unwrap_or_default()
    }

    /// Seen at the gateway: 403 with exactly `{"message":"Forbidden"}`; and of iVALT itself: code `API_KEY_INVALID`.
    pub(super) fn refuses_api_key(&self, status: u16) -> bool {
        let bare = self.0.iter().all(|(key, _)| key == "message");
        (status == 403 && bare && self.text("message") == "Forbidden")
            || self.object("error").text("code") == "API_KEY_INVALID"
    }

    pub(super) fn error(&self) -> ApiError {
        let error = self.object("error");
        let detail = error.texts("detail");
        ApiError {
            code: error.text("code"),
            detail: if detail.is_empty() {
                self.text("message")
            } else {
                detail
            },
            activity: self.activity(),
        }
    }
}

impl<'de> Deserialize<'de> for Object<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ObjectVisitor)
    }
}

struct ObjectVisitor;

impl<'de> Visitor<'de> for ObjectVisitor {
    type Value = Object<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Object<'de>, M::Error> {
        let mut members = Vec::new();
        while let Some(member) = map.next_entry()? {
            members.push(member);
        }
        Ok(Object(members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(status: u16, body: &str) -> Answer {
        classify(status, Ok(body.as_bytes()))
    }

    #[test]
    fn success_and_nothing_else_is_verified() {
        let deep = format!(
            r#"{{"status":"success","x":{}{}}}"#,
            "[".repeat(1000),
            "]".repeat(1000)
        );
        for body in [
            deep.as_str(),
            r#"{"status":"success"}"#,
            r#"{"status":"succ\u0065ss"}"#,
            r#"{"st\u0061tus":"success"}"#,
            " \r\n{\"message\":5,\"status\":\"success\",\"message\":{}}\n",
        ] {
            assert_eq!(judged(200, body), Answer::Verified, "{body}");
            assert_eq!(judged(299, body), Answer::Verified, "{body}");
        }
    }

    #[test]
    fn another_status_is_a_refusal() {
        for status in [
            "Success",
            "success ",
            "succes",
            "",
            "error",
            "success\\u0000",
        ] {
            let body = format!(r#"{{"status":"{status}"}}"#);
            assert_eq!(
                judged(200, &body),
                Answer::Rejected(ApiError::default()),
                "{body}"
            );
        }
    }

    #[test]
    fn what_is_not_such_an_object_is_unusable() {
        for body in [
            "",
            "null",
            "\"success\"",
            "[\"success\"]",
            "{}",
            r#"{"status":null}"#,
            r#"{"status":1}"#,
            r#"{"status":["success"]}"#,
            r#"{"Status":"success"}"#,
            r#"{"status":"success","status":"success"}"#,
            r#"{"status":"success","st\u0061tus":"error"}"#,
            r#"{"status":"success"} x"#,
            r#"{"status":"success"}{}"#,
            "{\"status\":\"success\"}\0",
            "\u{feff}{\"status\":\"success\"}",
            "{\"status\":\"success\",\"x\":\"\0\"}",
            r#"{"status":"success""#,
            "{'status':'success'}",
        ] {
            assert!(matches!(judged(200, body), Answer::Unusable(..)), "{body}");
        }
        assert!(matches!(
            classify(200, Ok(b"{\"status\":\"success\",\"x\":\"\xff\"}")),
            Answer::Unusable(..)
        ));
        assert!(matches!(classify(200, Err("x")), Answer::Unusable(..)));
    }

    #[test]
    fn success_counts_only_with_2xx() {
        for status in (100..200).chain(300..=999) {
            assert_ne!(
                judged(status, r#"{"status":"success"}"#),
                Answer::Verified,
                "{status}"
            );
        }
    }

    #[test]
    fn client_errors_are_refusals_with_their_words() {
        let rejected = |code: &str, detail: &str| {
            Answer::Rejected(ApiError {
                code: code.into(),
                detail: detail.into(),
                activity: String::new(),
            })
        };
        let full = r#"{"status":"error","error":{"code":"INVALID_GEOFENCE","detail":"outside"},"message":"m"}"#;
        assert_eq!(judged(403, full), rejected("INVALID_GEOFENCE", "outside"));
        assert_eq!(judged(200, full), rejected("INVALID_GEOFENCE", "outside"));
        assert_eq!(
            judged(400, r#"{"error":{"detail":"d"}}"#),
            rejected("", "d")
        );
        assert_eq!(judged(422, r#"{"message":"m"}"#), rejected("", "m"));
        assert_eq!(judged(404, "<html>"), rejected("", ""));
        assert_eq!(classify(404, Err("x")), rejected("", ""));
        assert_eq!(
            judged(403, r#"{"message":"Forbidden","x":1}"#),
            rejected("", "Forbidden")
        );
        assert_eq!(
            judged(401, r#"{"message":"Forbidden"}"#),
            rejected("", "Forbidden")
        );
    }

    #[test]
    fn what_is_in_other_members_does_not_matter() {
        for other in [r#""\ud800""#, "1e999", &"[".repeat(1000)] {
            let end = "]".repeat(other.matches('[').count());
            let body = format!(r#"{{"status":"success","message":{other}{end}}}"#);
            assert_eq!(judged(200, &body), Answer::Verified, "{body}");
        }
        assert!(matches!(
            judged(403, r#"{"message":"x","message":"Forbidden"}"#),
            Answer::ApiKeyRefused(_)
        ));
    }

    #[test]
    fn a_detail_may_be_several() {
        for (detail, expected) in [
            (r#"["a","b c"]"#, "a; b c"),
            (r#"["a"]"#, "a"),
            (r#"["a",5,null,["x"],{"y":"z"},"b"]"#, "a; b"),
            ("[]", "m"),
            ("[5]", "m"),
            (r#"{"a":"b"}"#, "m"),
            ("5", "m"),
        ] {
            let body = format!(r#"{{"error":{{"detail":{detail}}},"message":"m"}}"#);
            let error = ApiError {
                detail: expected.into(),
                ..ApiError::default()
            };
            assert_eq!(judged(422, &body), Answer::Rejected(error), "{detail}");
        }
    }

    #[test]
    fn a_status_in_data_is_named_and_is_none() {
        const ELSEWHERE: &str =
            "answer: HTTP 200: status is in data.status, not the documented shape";
        const NONE: &str =
            "answer: HTTP 200: body is not a JSON object with exactly one \"status\"";
        for (body, expected) in [
            (
                r#"{"data":{"status":true,"message":"ok","details":{"name":"Ann"}}}"#,
                ELSEWHERE,
            ),
            (r#"{"data":{"status":false}}"#, ELSEWHERE),
            (r#"{"data":{"status":"success"}}"#, NONE),
            (r#"{"data":{"status":true},"status":true}"#, NONE),
            (
                r#"{"data":{"status":true},"status":"success","status":"success"}"#,
                NONE,
            ),
            (r#"{"data":[{"status":true}]}"#, NONE),
            (r#"{"data":{}}"#, NONE),
        ] {
            let expected = Answer::Unusable(expected.to_owned(), ApiError::default());
            assert_eq!(judged(200, body), expected, "{body}");
        }
        let unread = Answer::Unusable("answer: HTTP 200: x".to_owned(), ApiError::default());
        assert_eq!(classify(200, Err("x")), unread);
    }

    #[test]
    fn the_activity_is_kept_within_bounds() {
        let long = "x".repeat(200);
        for (debug, expected) in [
            (r#"{"activityId":"abc"}"#.to_owned(), "abc"),
            (r#"{"activityId":5}"#.to_owned(), ""),
            (r#"["activityId"]"#.to_owned(), ""),
            (
                format!(r#"{{"activityId":"{long}"}}"#),
                &long[..ACTIVITY_LIMIT],
            ),
        ] {
            let body = format!(r#"{{"debug":{debug}}}"#);
            for status in [200, 401, 403, 500] {
                let (Answer::Rejected(error) | Answer::Unusable(_, error)) = judged(status, &body)
                else {
                    panic!("{status} {body}");
                };
                assert_eq!(error.activity, expected, "{status} {body}");
            }
        }
    }

    #[test]
    fn what_was_sent_is_not_repeated() {
        let error = ApiError {
            code: "A-tok-B".into(),
            detail: "tok +1415 1415".into(),
            activity: "+1415-tok".into(),
        };
        let expected = ApiError {
            code: "A-***-B".into(),
            detail: "*** *** ***".into(),
            activity: "***-***".into(),
        };
        let sent = Sent {
            secrets: &["tok", "1415", "", "+1415"],
            mobile: None,
        };
        assert_eq!(error.redact(&sent), expected);
    }

    /// The last four digits are in the line anyway.
    #[test]
    fn a_token_of_the_mobiles_digits_leaves_nothing_of_it() {
        for token in ["4746", "74", "9", "6283", "4746x", "to 91"] {
            let sent = Sent {
                secrets: &[token],
                mobile: Some("+916283974746"),
            };
            let shown = sent.hide_in("to +91-6283974746x");
            assert!(!shown.contains(|c: char| c.is_ascii_digit()), "{shown}");
        }
    }

    /// A key by which serde_json marks raw values: its `Value` would parse the string under it.
    #[test]
    fn json_in_a_string_stays_a_string() {
        const KEY: &str = r#""$serde_json::private::RawValue""#;
        let code = r#""{\"code\":\"API_KEY_INVALID\"}""#;
        let message = r#""\"Forbidden\"""#;
        for body in [
            format!(r#"{{"error":{{{KEY}:{code}}}}}"#),
            format!(r#"{{"message":{{{KEY}:{message}}}}}"#),
        ] {
            assert_eq!(
                judged(403, &body),
                Answer::Rejected(ApiError::default()),
                "{body}"
            );
        }
        let both = format!(r#"{{"error":{{{KEY}:{code},"code":"API_KEY_INVALID"}}}}"#);
        assert!(matches!(judged(403, &both), Answer::ApiKeyRefused(_)));
    }

    #[test]
    fn a_refused_api_key_is_no_refused_token() {
        assert!(matches!(
            judged(403, r#"{ "message": "Forbidden" }"#),
            Answer::ApiKeyRefused(_)
        ));
        for status in [400, 401, 403, 404, 429] {
            assert!(matches!(
                judged(status, r#"{"error":{"code":"API_KEY_INVALID"}}"#),
                Answer::ApiKeyRefused(_)
            ));
        }
        assert!(matches!(
            judged(
                200,
                r#"{"status":"error","error":{"code":"API_KEY_INVALID"}}"#
            ),
            Answer::Rejected(_)
        ));
    }

    #[test]
    fn the_rest_is_unusable() {
        for (status, cause) in [
            (302, "answer: HTTP 302, a redirect, is not followed"),
            (408, "answer: HTTP 408"),
            (429, "answer: HTTP 429"),
            (500, "answer: HTTP 500"),
            (199, "answer: HTTP 199"),
            (
                204,
                "answer: HTTP 204: body is not a JSON object with exactly one \"status\"",
            ),
        ] {
            let Answer::Unusable(words, _) = judged(status, "") else {
                panic!("{status}")
            };
            assert_eq!(words, cause);
        }
    }
}
