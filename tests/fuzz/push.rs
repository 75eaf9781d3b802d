//! iVALT's answer about a request on a phone: an approval needs a second opinion.

use std::fmt;

use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use ivalt_core::api::{PushAnswer, classify_poll, classify_start};
use ivalt_core::settings::Dialect;

const MOBILE: &str = "+916283974746";

/// As the answer to a poll and to a request, with this status.
pub fn as_body(status: u16, body: &[u8]) {
    let says_true = status == 200 && says_true(body).is_some();
    let ours = status == 200 && names_ours(body).is_some();
    for dialect in [Dialect::GeoFenceResults, Dialect::AuthResult] {
        let polled = classify_poll(dialect, status, Ok(body), MOBILE);
        let approved =
            [PushAnswer::Approved, PushAnswer::ApprovedByAnother].map(|kind| kind == polled);
        let shown = String::from_utf8_lossy(body);
        assert_eq!(
            approved,
            [says_true && ours, says_true && !ours],
            "{status} {shown}"
        );
        let sent = classify_start(dialect, status, Ok(body)) == PushAnswer::Sent;
        assert_eq!(sent, says_true, "{status} {shown}");
        if let PushAnswer::Pending(_) = polled {
            assert!([400, 404, 422].contains(&status), "{status} {shown}");
        }
        if let PushAnswer::Refused(error) = polled {
            assert!([401, 403, 404].contains(&status), "{status} {shown}");
            assert!(
                !(error.code.is_empty() && error.detail.is_empty()),
                "{shown}"
            );
        }
    }
}

fn says_true(body: &[u8]) -> Option<()> {
    let members = Members::read(body)?;
    let errors = members.0.iter().filter(|(key, _)| key == "error");
    let no_error = errors.into_iter().all(|(_, error)| error.get() == "null");
    let data = Members::read(members.one("data")?.get().as_bytes())?;
    (no_error && data.one("status")?.get() == "true").then_some(())
}

fn names_ours(body: &[u8]) -> Option<()> {
    let data = Members::read(Members::read(body)?.one("data")?.get().as_bytes())?;
    let details = Members::read(data.one("details")?.get().as_bytes())?;
    let mobile = number(details.one("mobile")?)?;
    let has_country = details.0.iter().any(|(key, _)| key == "country_code");
    let country = match has_country {
        true => number(details.one("country_code")?)?,
        false => String::new(),
    };
    let sent = &MOBILE[1..];
    (mobile == sent || format!("{country}{mobile}") == sent).then_some(())
}

/// Digits, with what may stand between them if it is a string.
fn number(value: &RawValue) -> Option<String> {
    let digits = match serde_json::from_str::<serde_json::Value>(value.get()).ok()? {
        serde_json::Value::Null => String::new(),
        serde_json::Value::Number(_) => value.get().to_owned(),
        serde_json::Value::String(text) => text.replace([' ', '+', '-', '.', '(', ')'], ""),
        _ => return None,
    };
    digits
        .bytes()
        .all(|byte| byte.is_ascii_digit())
        .then_some(digits)
}

/// The members of an object in their order.
struct Members(Vec<(String, Box<RawValue>)>);

impl Members {
    fn read(object: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(object).ok()?;
        let mut json = serde_json::Deserializer::from_str(text);
        let members = json.deserialize_map(Collect).ok()?;
        json.end().ok()?;
        Some(Self(members))
    }

    fn one(&self, key: &str) -> Option<&RawValue> {
        let named: Vec<_> = self.0.iter().filter(|(name, _)| name == key).collect();
        match named.as_slice() {
            [(_, value)] => Some(value),
            _ => None,
        }
    }
}

struct Collect;

impl<'de> Visitor<'de> for Collect {
    type Value = Vec<(String, Box<RawValue>)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Self::Value, M::Error> {
        let mut members = Vec::new();
        while let Some(key) = map.next_key()? {
            members.push((key, map.next_value()?));
        }
        Ok(members)
    }
}
