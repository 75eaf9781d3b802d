//! Requests to the phone, and what the answers mean. Only one place turns bytes into an approval.
//!
//! The vendor's page has neither operation: they are those of public integrations. No answer says which request it is
//! about, nor for which login.

use std::time::Duration;

use serde::Serialize;
use serde_json::value::RawValue;
use zeroize::Zeroizing;

use super::answer::{ApiError, Object, Sent};
use super::client::{Client, Reply};
use crate::settings::Dialect;

/// What an answer means.
#[derive(Debug, PartialEq, Eq)]
pub enum PushAnswer {
    /// The request is on its way to the phone.
    Sent,
    /// Nobody has approved or refused.
    Pending(ApiError),
    /// This mobile has approved: which request, nobody says.
    Approved,
    /// Somebody has approved, and the answer does not say that it was this mobile.
    ApprovedByAnother,
    /// Refused on the phone, or by place or hours.
    Refused(ApiError),
    /// iVALT, or the gateway before it, refuses this host's API key.
    ApiKeyRefused(ApiError),
    /// Nothing of that; the words say what it was.
    Unavailable(String, ApiError),
}

/// One request that has ended, well or badly.
#[derive(Debug)]
pub struct PushExchange {
    /// What it means.
    pub answer: PushAnswer,
    /// The HTTP status, if one came.
    pub http: Option<u16>,
    /// From the name look-up to the last byte.
    pub elapsed: Duration,
    /// As [`super::Exchange::steps`].
    pub steps: String,
    /// The answer as it came, where it was read to its end: it may hold name, e-mail, address and position of the user.
    pub body: Option<Zeroizing<Vec<u8>>>,
}

#[derive(Serialize)]
struct OfMobile<'a> {
    mobile: &'a str,
}

impl Client {
    /// "biometric-auth-request": asks the phone of `mobile` for an approval. `url` is `push.url`.
    #[must_use]
    pub fn start_push(&mut self, url: &str, dialect: Dialect, mobile: &str) -> PushExchange {
        self.push(url, "biometric-auth-request", mobile, |status, body| {
            classify_start(dialect, status, body)
        })
    }

    /// Whether `mobile` has approved: whatever request, whoever sent it.
    #[must_use]
    pub fn poll_push(&mut self, url: &str, dialect: Dialect, mobile: &str) -> PushExchange {
        let operation = match dialect {
            Dialect::GeoFenceResults => "biometric-geo-fence-auth-results",
            Dialect::AuthResult => "biometric-auth-result",
        };
        self.push(url, operation, mobile, |status, body| {
            classify_poll(dialect, status, body, mobile)
        })
    }

    fn push(
        &mut self,
        url: &str,
        operation: &str,
        mobile: &str,
        classify: impl FnOnce(u16, Result<&[u8], &str>) -> PushAnswer,
    ) -> PushExchange {
        let Reply {
            http,
            body,
            elapsed,
            mut steps,
        } = self.exchange(url, operation, &OfMobile { mobile });
        let (answer, body) = match (http, body) {
            (Some(status), Ok(Ok(body))) => (classify(status, Ok(&body)), Some(body)),
            (Some(status), Ok(Err(unread))) => (classify(status, Err(unread)), None),
            (_, Err(cause)) => (PushAnswer::unavailable(cause), None),
            (None, Ok(_)) => (PushAnswer::unavailable("answer: no status".into()), None),
        };
        let answer = self.redact(answer, mobile);
        if let Some(error) = answer.error().filter(|error| !error.activity.is_empty()) {
            steps += ", activity ";
            steps += &error.activity;
        }
        PushExchange {
            answer,
            http,
            elapsed,
            steps,
            body,
        }
    }

    fn redact(&self, answer: PushAnswer, mobile: &str) -> PushAnswer {
        let (secrets, mobile) = (&[self.key_text()], Some(mobile));
        answer.map_error(|error| error.redact(&Sent { secrets, mobile }))
    }
}

impl PushAnswer {
    fn unavailable(cause: String) -> Self {
        Self::Unavailable(cause, ApiError::default())
    }

    /// iVALT's own words, where there are any.
    #[must_use]
    pub fn error(&self) -> Option<&ApiError> {
        match self {
            Self::Sent | Self::Approved | Self::ApprovedByAnother => None,
            Self::Pending(error)
            | Self::Refused(error)
            | Self::ApiKeyRefused(error)
            | Self::Unavailable(_, error) => Some(error),
        }
    }

    fn map_error(self, change: impl FnOnce(ApiError) -> ApiError) -> Self {
        match self {
            Self::Sent | Self::Approved | Self::ApprovedByAnother => self,
            Self::Pending(error) => Self::Pending(change(error)),
            Self::Refused(error) => Self::Refused(change(error)),
            Self::ApiKeyRefused(error) => Self::ApiKeyRefused(change(error)),
            Self::Unavailable(cause, error) => Self::Unavailable(cause, change(error)),
        }
    }
}

/// Classifies the answer to a request. Instead of a body that was not read, `body` says why not.
#[must_use]
pub fn classify_start(dialect: Dialect, status: u16, body: Result<&[u8], &str>) -> PushAnswer {
    let object = body.ok().and_then(Object::parse);
    match &object {
        Some(object) if status == 200 && says_true(object) => PushAnswer::Sent,
        _ => refused_or_unavailable(dialect, status, body, object),
    }
}

/// Classifies the answer to the question whether `mobile`, as it was sent, has approved. Instead of a body that was not
/// read, `body` says why not.
#[must_use]
pub fn classify_poll(
    dialect: Dialect,
    status: u16,
    body: Result<&[u8], &str>,
    mobile: &str,
) -> PushAnswer {
    let object = body.ok().and_then(Object::parse);
    match &object {
        Some(object) if status == 200 && says_true(object) => match is_by(object, mobile) {
            true => PushAnswer::Approved,
            false => PushAnswer::ApprovedByAnother,
        },
        Some(object) if object.refuses_api_key(status) => PushAnswer::ApiKeyRefused(object.error()),
        Some(object) if is_pending(dialect, status, object) => PushAnswer::Pending(object.error()),
        _ => refused_or_unavailable(dialect, status, body, object),
    }
}

/// Exactly one `data`, in it exactly one `status`, which is `true`; and nothing that says otherwise.
fn says_true(object: &Object) -> bool {
    let data = object.only("data").and_then(parsed);
    let status = data.as_ref().and_then(|data| data.only("status"));
    let no_error = object.all("error").all(|error| error.get() == "null");
    no_error && status.is_some_and(|status| status.get() == "true")
}

/// Exactly one `details`, in it exactly one `mobile`, which has the digits of this one.
fn is_by(object: &Object, mobile: &str) -> bool {
    let data = object.only("data").and_then(parsed);
    let details = data.and_then(|data| data.only("details").and_then(parsed));
    details.is_some_and(|details| is_mobile_of(&details, mobile))
}

fn is_mobile_of(details: &Object, mobile: &str) -> bool {
    let national = details.only("mobile").and_then(digits);
    let country = match details.all("country_code").next() {
        None => Some(String::new()),
        Some(_) => details.only("country_code").and_then(digits),
    };
    let (Some(national), Some(country)) = (national, country) else {
        return false;
    };
    let sent: String = mobile.chars().filter(char::is_ascii_digit).collect();
    !sent.is_empty() && (sent == *national || sent == country + &national)
}

/// The digits of a string or of a whole number; `None` where there is anything but them and what numbers are written
/// with. `null` has none.
fn digits(value: &RawValue) -> Option<String> {
    let text = match value.get() {
        "null" => String::new(),
        number if number.bytes().all(|byte| byte.is_ascii_digit()) => number.to_owned(),
        string => serde_json::from_str(string).ok()?,
    };
    let is_written = |c: char| c.is_ascii_digit() || " +-.()".contains(c);
    let digits = text.chars().filter(char::is_ascii_digit).collect();
    text.chars().all(is_written).then_some(digits)
}

fn parsed(value: &RawValue) -> Option<Object<'_>> {
    Object::parse(value.get().as_bytes())
}

fn is_pending(dialect: Dialect, status: u16, object: &Object) -> bool {
    let statuses: &[u16] = match dialect {
        Dialect::GeoFenceResults => &[404],
        Dialect::AuthResult => &[422, 400],
    };
    let says_so =
        object.last("error").and_then(parsed).is_some() || !object.text("message").is_empty();
    statuses.contains(&status) && says_so
}

fn refused_or_unavailable(
    dialect: Dialect,
    status: u16,
    body: Result<&[u8], &str>,
    object: Option<Object>,
) -> PushAnswer {
    let Some(object) = object else {
        let what = body.err().unwrap_or("body is not a JSON object");
        return PushAnswer::unavailable(format!("answer: HTTP {status}: {what}"));
    };
    let error = object.error();
    let named = !error.code.is_empty() || !error.detail.is_empty();
    match status {
        400..=499 if object.refuses_api_key(status) => PushAnswer::ApiKeyRefused(error),
        401 | 403 if named => PushAnswer::Refused(error),
        404 if named && dialect == Dialect::AuthResult => PushAnswer::Refused(error),
        200 => PushAnswer::unavailable(
            "answer: HTTP 200: body is not a JSON object with exactly one \"data\", in it exactly one \"status\" true, \
             and no \"error\""
                .into(),
        ),
        300..=399 => PushAnswer::unavailable(format!(
            "answer: HTTP {status}, a redirect, is not followed"
        )),
        201..=299 => PushAnswer::unavailable(format!("answer: HTTP {status}")),
        _ => PushAnswer::Unavailable(format!("answer: HTTP {status}"), error),
    }
}
