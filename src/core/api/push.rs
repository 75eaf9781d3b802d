//! Requests to the phone, and what the answers mean. Only one place turns bytes into an approval.
//!
//! The vendor's page has neither operation: they are those of public integrations. No answer says which request it is
//! about, nor for which login.

use std::fmt;
use std::time::Duration;

use serde::Serialize;
use serde_json::value::RawValue;
use zeroize::Zeroizing;

use super::answer::{ApiError, Object, Sent};
use super::client::{Client, Failure, Reply};
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
    /// As [`super::Answer::LocalFault`].
    LocalFault(String),
}

/// One request that has ended, well or badly.
pub struct PushExchange {
    /// What was asked, as a path below the URL.
    pub operation: &'static str,
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

/// Without the body.
impl fmt::Debug for PushExchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("PushExchange");
        shown
            .field("answer", &self.answer)
            .field("http", &self.http);
        shown.finish_non_exhaustive()
    }
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
        operation: &'static str,
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
            (_, Err(Failure::Outage(cause))) => (PushAnswer::unavailable(cause), None),
            (_, Err(Failure::Local(cause))) => (PushAnswer::LocalFault(cause), None),
            (None, Ok(_)) => (PushAnswer::unavailable("answer: no status".into()), None),
        };
        let answer = self.redact(answer, mobile);
        if let Some(error) = answer.error().filter(|error| !error.activity.is_empty()) {
            steps += ", activity ";
            steps += &error.activity;
        }
        PushExchange {
            operation,
            answer,
            http,
            elapsed,
            steps,
            body,
        }
    }

    /// The text with `***` for the mobile, however it is written, and for the API key.
    #[must_use]
    pub fn hide(&self, text: &str, mobile: &str) -> String {
        let (secrets, mobile) = (&[self.key_text()], Some(mobile));
        Sent { secrets, mobile }.hide_in(text)
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
            Self::Sent | Self::Approved | Self::ApprovedByAnother | Self::LocalFault(_) => None,
            Self::Pending(error)
            | Self::Refused(error)
            | Self::ApiKeyRefused(error)
            | Self::Unavailable(_, error) => Some(error),
        }
    }

    fn map_error(self, change: impl FnOnce(ApiError) -> ApiError) -> Self {
        match self {
            Self::Sent | Self::Approved | Self::ApprovedByAnother | Self::LocalFault(_) => self,
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
    // The whole number in `mobile` begins with the country code, unless mobiles are kept without one.
    let is_whole = !mobile.starts_with('+') || national.starts_with(&country);
    !sent.is_empty() && ((is_whole && sent == *national) || sent == country + &national)
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
    statuses.contains(&status) && says_so && !object.refuses_api_key(status)
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

#[cfg(test)]
mod tests {
    use super::*;

    const MOBILE: &str = "+916283974746";
    const GEO: Dialect = Dialect::GeoFenceResults;
    const RESULT: Dialect = Dialect::AuthResult;

    /// In one letter: sent, pending, approved, another's, refused, key refused, unavailable.
    fn letter(answer: &PushAnswer) -> char {
        match answer {
            PushAnswer::Sent => 's',
            PushAnswer::Pending(_) => 'p',
            PushAnswer::Approved => 'A',
            PushAnswer::ApprovedByAnother => 'x',
            PushAnswer::Refused(_) => 'r',
            PushAnswer::ApiKeyRefused(_) => 'k',
            PushAnswer::Unavailable(..) => 'u',
            PushAnswer::LocalFault(_) => 'l',
        }
    }

    fn polled(dialect: Dialect, status: u16, body: &str) -> char {
        letter(&classify_poll(dialect, status, Ok(body.as_bytes()), MOBILE))
    }

    fn started(dialect: Dialect, status: u16, body: &str) -> char {
        letter(&classify_start(dialect, status, Ok(body.as_bytes())))
    }

    fn approval(details: &str) -> String {
        format!(r#"{{"data":{{"status":true,"message":"done","details":{details}}}}}"#)
    }

    #[test]
    fn an_approval_names_this_mobile_and_nothing_else_is_one() {
        let name = r#""id":1,"name":"A","email":"a@b.example","latitude":1.5"#;
        for (details, expected) in [
            (r#"{"country_code":"91","mobile":"6283974746"}"#, 'A'),
            (r#"{"country_code":"+91","mobile":"628-397 4746"}"#, 'A'),
            (r#"{"country_code":91,"mobile":6283974746}"#, 'A'),
            (r#"{"mobile":"+916283974746"}"#, 'A'),
            (r#"{"country_code":null,"mobile":"916283974746"}"#, 'A'),
            (r#"{"country_code":"91","mobile":"+91 6283974746"}"#, 'A'),
            (&format!(r#"{{{name},"mobile":916283974746}}"#), 'A'),
            (r#"{"country_code":"91","mobile":"6283974747"}"#, 'x'),
            (r#"{"country_code":"1","mobile":"6283974746"}"#, 'x'),
            // +44 916283974746 is another number.
            (r#"{"country_code":"44","mobile":"916283974746"}"#, 'x'),
            (r#"{"mobile":"6283974746"}"#, 'x'),
            (r#"{"mobile":""}"#, 'x'),
            (r#"{"mobile":null}"#, 'x'),
            (r#"{"mobile":-916283974746}"#, 'x'),
            (r#"{"mobile":916283974746.0}"#, 'x'),
            (r#"{"mobile":9.16283974746e11}"#, 'x'),
            (r#"{"mobile":["+916283974746"]}"#, 'x'),
            (r#"{"mobile":{"n":"+916283974746"}}"#, 'x'),
            (r#"{"mobile":"+916283974746 or +14155550100"}"#, 'x'),
            (r#"{"mobile":"+916283974746\u0000"}"#, 'x'),
            ("{\"mobile\":\"\u{ff19}16283974746\"}", 'x'),
            (
                r#"{"mobile":"+916283974746","mobile":"+916283974746"}"#,
                'x',
            ),
            (r#"{"mobile":"1","mob\u0069le":"+916283974746"}"#, 'x'),
            (
                r#"{"country_code":"91","country_code":"91","mobile":"6283974746"}"#,
                'x',
            ),
            (r#"{"country_code":[91],"mobile":"+916283974746"}"#, 'x'),
            (r#"{"Mobile":"+916283974746"}"#, 'x'),
            ("{}", 'x'),
            (r#"[{"mobile":"+916283974746"}]"#, 'x'),
            ("[]", 'x'),
            ("null", 'x'),
            ("true", 'x'),
            (r#""+916283974746""#, 'x'),
        ] {
            for dialect in [GEO, RESULT] {
                assert_eq!(
                    polled(dialect, 200, &approval(details)),
                    expected,
                    "{details}"
                );
            }
        }
    }

    #[test]
    fn what_is_not_such_an_answer_approves_nothing() {
        let good = approval(r#"{"mobile":"+916283974746"}"#);
        let details = r#""details":{"mobile":"+916283974746"}"#;
        for (body, expected) in [
            (good.clone(), 'A'),
            (format!(" \r\n{good}\n"), 'A'),
            (good.replacen('{', r#"{"error":null,"#, 1), 'A'),
            (good.replacen('{', r#"{"error":null,"error":null,"#, 1), 'A'),
            (good.replacen('{', r#"{"error":{},"#, 1), 'u'),
            (good.replacen('{', r#"{"error":false,"#, 1), 'u'),
            (good.replacen('{', r#"{"error":{},"error":null,"#, 1), 'u'),
            (good.replacen('{', r#"{"err\u006fr":"x","#, 1), 'u'),
            (good.replacen('{', r#"{"data":null,"#, 1), 'u'),
            (good.replacen('{', r#"{"data":{"status":true},"#, 1), 'u'),
            (format!("{good} x"), 'u'),
            (format!("{good}{good}"), 'u'),
            (format!("{good}\0"), 'u'),
            (format!("\u{feff}{good}"), 'u'),
            (format!("[{good}]"), 'u'),
            (good[..good.len() - 1].to_owned(), 'u'),
            (r#"{"status":"success"}"#.to_owned(), 'u'),
            (format!(r#"{{"status":"success",{details}}}"#), 'u'),
            (format!(r#"{{"status":true,{details}}}"#), 'u'),
            (format!(r#"{{"data":{{"status":"true",{details}}}}}"#), 'u'),
            (format!(r#"{{"data":{{"status":1,{details}}}}}"#), 'u'),
            (format!(r#"{{"data":{{"status":false,{details}}}}}"#), 'u'),
            (format!(r#"{{"data":{{"status":null,{details}}}}}"#), 'u'),
            (format!(r#"{{"data":{{"Status":true,{details}}}}}"#), 'u'),
            (
                format!(r#"{{"data":{{"status":true,"status":true,{details}}}}}"#),
                'u',
            ),
            (
                format!(r#"{{"data":{{"status":false,"st\u0061tus":true,{details}}}}}"#),
                'u',
            ),
            (format!(r#"{{"data":{{{details}}}}}"#), 'u'),
            (format!(r#"{{"data":[{{"status":true,{details}}}]}}"#), 'u'),
            (r#"{"data":{"status":true}}"#.to_owned(), 'x'),
            (
                format!(r#"{{"data":{{"status":true,{details},{details}}}}}"#),
                'x',
            ),
            (String::new(), 'u'),
            ("null".to_owned(), 'u'),
            ("<html>".to_owned(), 'u'),
        ] {
            for dialect in [GEO, RESULT] {
                assert_eq!(polled(dialect, 200, &body), expected, "{body}");
            }
        }
        for status in [
            100, 199, 201, 202, 204, 206, 299, 300, 302, 304, 500, 503, 599, 999,
        ] {
            assert_eq!(polled(GEO, status, &good), 'u', "{status}");
            assert_eq!(started(GEO, status, &good), 'u', "{status}");
        }
        let unread = classify_poll(GEO, 200, Err("body longer than 64 KiB"), MOBILE);
        let cause = "answer: HTTP 200: body longer than 64 KiB".to_owned();
        assert_eq!(unread, PushAnswer::unavailable(cause));
    }

    #[test]
    fn pending_is_said_by_each_dialect_in_its_own_way() {
        const DETAIL: &str = r#"{"error":{"type":"x","title":"Not Found","status":404,"detail":"The mobile number provided (6283974746) was not found.","instance":"/x"}}"#;
        const NOTHING: &str = r#"{"error":{}}"#;
        const MESSAGE: &str = r#"{"message":"not yet"}"#;
        // Status, then what each body is: a detail, an empty error, a message, no words, no JSON.
        for (dialect, status, expected) in [
            (GEO, 404, "pppuu"),
            (GEO, 422, "uuuuu"),
            (GEO, 400, "uuuuu"),
            (GEO, 401, "ruruu"),
            (GEO, 403, "ruruu"),
            (RESULT, 422, "pppuu"),
            (RESULT, 400, "pppuu"),
            (RESULT, 404, "ruruu"),
            (RESULT, 401, "ruruu"),
            (RESULT, 403, "ruruu"),
            (RESULT, 429, "uuuuu"),
            (GEO, 408, "uuuuu"),
            (GEO, 405, "uuuuu"),
            (GEO, 500, "uuuuu"),
        ] {
            let bodies = [DETAIL, NOTHING, MESSAGE, "{}", "<html>not found</html>"];
            let found: String = bodies
                .iter()
                .map(|body| polled(dialect, status, body))
                .collect();
            assert_eq!(found, expected, "{dialect:?} {status}");
        }
        for body in [
            r#"{"error":"not found"}"#,
            r#"{"error":["not found"]}"#,
            r#"{"error":null}"#,
            r#"{"message":""}"#,
            r#"{"message":{"x":1}}"#,
            r#"{"detail":"not found"}"#,
            r#"["message"]"#,
            r#"{"message":"not yet"} x"#,
        ] {
            assert_eq!(polled(GEO, 404, body), 'u', "{body}");
        }
    }

    #[test]
    fn a_refusal_has_words_and_a_refused_key_is_none() {
        for (status, body, expected) in [
            (
                403,
                r#"{"error":{"detail":"Not within the geofencing location."}}"#,
                'r',
            ),
            (
                403,
                r#"{"error":{"detail":["Not within the timezone."]}}"#,
                'r',
            ),
            (401, r#"{"error":{"code":"DENIED"}}"#, 'r'),
            (401, r#"{"message":"Denied"}"#, 'r'),
            (403, r#"{"message":"Forbidden","x":1}"#, 'r'),
            (401, r#"{"message":"Forbidden"}"#, 'r'),
            (403, r#"{"message":"Forbidden"}"#, 'k'),
            (403, r#"{"error":{"code":"API_KEY_INVALID"}}"#, 'k'),
            (404, r#"{"error":{"code":"API_KEY_INVALID"}}"#, 'k'),
            (400, r#"{"error":{"code":"API_KEY_INVALID"}}"#, 'k'),
            (200, r#"{"error":{"code":"API_KEY_INVALID"}}"#, 'u'),
            (403, r#"{"error":{"detail":""}}"#, 'u'),
            (403, r#"{"error":{"detail":5,"code":5}}"#, 'u'),
            (403, r#"{"error":"Denied"}"#, 'u'),
            (403, "Forbidden", 'u'),
            (403, "", 'u'),
        ] {
            for dialect in [GEO, RESULT] {
                assert_eq!(polled(dialect, status, body), expected, "{status} {body}");
                assert_eq!(started(dialect, status, body), expected, "{status} {body}");
            }
        }
        let words = classify_poll(
            GEO,
            403,
            Ok(br#"{"error":{"code":"C","detail":"D"}}"#),
            MOBILE,
        );
        let [code, detail] = ["C".to_owned(), "D".to_owned()];
        let activity = String::new();
        assert_eq!(
            words,
            PushAnswer::Refused(ApiError {
                code,
                detail,
                activity
            })
        );
    }

    #[test]
    fn a_request_is_sent_where_the_answer_says_true() {
        const SENT: &str = r#"{"data":{"status":true,"message":"Biometric Auth Request successfully sent.","details":null}}"#;
        for (dialect, status, body, expected) in [
            (GEO, 200, SENT, 's'),
            (RESULT, 200, SENT, 's'),
            (GEO, 201, SENT, 'u'),
            (GEO, 200, r#"{"status":"success"}"#, 'u'),
            (GEO, 200, r#"{"data":{"status":false}}"#, 'u'),
            (
                GEO,
                200,
                r#"{"data":{"status":true},"error":{"detail":"x"}}"#,
                'u',
            ),
            (GEO, 200, r#"{"data":{"status":true}}{}"#, 'u'),
            (GEO, 404, r#"{"message":"no such user"}"#, 'u'),
            (RESULT, 404, r#"{"message":"no such user"}"#, 'r'),
            (RESULT, 422, r#"{"message":"pending"}"#, 'u'),
            (GEO, 429, r#"{"error":{"code":"RATE_LIMIT_EXCEEDED"}}"#, 'u'),
        ] {
            assert_eq!(started(dialect, status, body), expected, "{status} {body}");
        }
    }

    /// National numbers are sent as they are written.
    #[test]
    fn a_national_number_is_compared_by_its_digits() {
        let poll = |sent: &str, details: &str| {
            letter(&classify_poll(
                GEO,
                200,
                Ok(approval(details).as_bytes()),
                sent,
            ))
        };
        let both = r#"{"country_code":"91","mobile":"6283974746"}"#;
        assert_eq!(poll("6283 974-746", both), 'A');
        assert_eq!(poll("06283974746", both), 'x');
        assert_eq!(poll("", r#"{"mobile":""}"#), 'x');
    }
}
