//! iVALT's answer: the bytes that come out of TLS, through ureq's parser and ours. `Verified` needs a second opinion.

use std::collections::BTreeMap;
use std::fmt;
use std::str::from_utf8;

use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::{contains, push};
use ivalt_core::api::from_memory::{End, Sent};
use ivalt_core::api::{Answer, Client, Exchange, classify};
use ivalt_core::secret::Secret;

const TOKEN: &str = "tok-Wh1sp3r0ut";
const KEY: &str = "key-Wh1sp3r0ut";
const MOBILE: &str = "+916283974746";
const MOBILE_END: &str = "3974746";

/// As the whole answer; and, its first two bytes a status, as a body.
pub fn run(input: &[u8]) {
    let whole = validate(input, usize::MAX, End::Closed);
    let pieces = validate(input, 1 + input.len() % 11, End::Closed);
    let cut = validate(input, usize::MAX, End::Cut);
    for exchange in [&whole, &pieces, &cut] {
        judge_again(input, exchange);
    }
    assert_eq!(
        (pieces.http, &pieces.answer),
        (whole.http, &whole.answer),
        "in pieces another answer"
    );
    if let [high, low, body @ ..] = input {
        as_body(100 + u16::from_be_bytes([*high, *low]) % 900, body);
        as_body(200, body);
    }
}

fn judge_again(input: &[u8], exchange: &Exchange) {
    if exchange.answer == Answer::Verified {
        let read = read_answer(input);
        let success = read
            .as_ref()
            .is_some_and(|(status, body)| documented_success(*status, body));
        assert!(success, "verified, and read again: {read:?}");
    } else {
        assert!(!is_plain_success(input), "{exchange:?}");
    }
    keeps_secrets(&exchange.answer);
}

fn validate(input: &[u8], piece: usize, end: End) -> Exchange {
    let sent = Sent {
        bytes: input.into(),
        piece,
        end,
    };
    let secret = |text: &str| Secret::new(text.into());
    Client::validate_against(sent, secret(KEY), MOBILE, &secret(TOKEN))
}

/// The judgement, kind by kind, against pam_ivalt(8) read another way.
fn as_body(status: u16, body: &[u8]) {
    push::as_body(status, body);
    let judged = classify(status, Ok(body));
    let members = members(body);
    let error = members.get("error");
    let code = error.and_then(|error| text(&self::members(error.get().as_bytes()), "code"));
    let bare = members.len() == 1 && text(&members, "message").as_deref() == Some("Forbidden");
    let key_invalid = code.as_deref() == Some("API_KEY_INVALID");
    let expected = match status {
        200..=299 => match only_status(body).as_deref() {
            Some("success") => "verified",
            Some(_) => "rejected",
            None => "unusable",
        },
        403 if bare => "api key",
        400..=499 if key_invalid => "api key",
        408 | 429 => "unusable",
        400..=499 => "rejected",
        _ => "unusable",
    };
    let kind = match judged {
        Answer::Verified => "verified",
        Answer::Rejected(_) => "rejected",
        Answer::ApiKeyRefused(_) => "api key",
        Answer::Unusable(..) => "unusable",
        Answer::LocalFault(_) => "of this host, which no answer is",
    };
    assert_eq!(
        kind,
        expected,
        "{status} {:?}",
        String::from_utf8_lossy(body)
    );
}

/// Not as `serde_json::Value`, which takes an object with a key of serde_json's own for the JSON in that key's string.
type Members = BTreeMap<String, Box<RawValue>>;

fn members(object: &[u8]) -> Members {
    serde_json::from_slice(object).unwrap_or_default()
}

fn text(members: &Members, key: &str) -> Option<String> {
    serde_json::from_str(members.get(key)?.get()).ok()
}

fn documented_success(status: u16, body: &[u8]) -> bool {
    (200..300).contains(&status) && only_status(body).as_deref() == Some("success")
}

/// The `status` of a JSON object in UTF-8 that has exactly one, if it is a string.
fn only_status(body: &[u8]) -> Option<String> {
    struct Statuses(Vec<Box<RawValue>>);
    impl<'de> Visitor<'de> for Statuses {
        type Value = Vec<Box<RawValue>>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<M: MapAccess<'de>>(mut self, mut map: M) -> Result<Self::Value, M::Error> {
            while let Some(key) = map.next_key::<String>()? {
                if key == "status" {
                    self.0.push(map.next_value()?);
                } else {
                    map.next_value::<IgnoredAny>()?;
                }
            }
            Ok(self.0)
        }
    }
    let text = from_utf8(body).ok()?;
    let mut json = serde_json::Deserializer::from_str(text);
    let statuses = json.deserialize_map(Statuses(Vec::new())).ok()?;
    json.end().ok()?;
    match statuses.as_slice() {
        [status] => serde_json::from_str(status.get()).ok(),
        _ => None,
    }
}

/// RFC 9112, more patient than any client should be: what it cannot read nobody may take for a success.
fn read_answer(mut bytes: &[u8]) -> Option<(u16, Vec<u8>)> {
    loop {
        let (head, rest) = read_head(bytes)?;
        if (100..200).contains(&head.status) {
            bytes = rest;
            continue;
        }
        if head
            .values("content-encoding")
            .any(|value| !value.eq_ignore_ascii_case("identity"))
        {
            return None;
        }
        let body = if head.values("transfer-encoding").next().is_some() {
            // Section 6.1: in HTTP/1.0 that is faulty framing.
            if head.is_http_1_0 {
                return None;
            }
            read_chunks(rest)?
        } else if let Some(length) = head.values("content-length").next() {
            rest.get(..length.parse().ok()?)?.to_vec()
        } else {
            rest.to_vec()
        };
        return Some((head.status, body));
    }
}

struct Head {
    is_http_1_0: bool,
    status: u16,
    fields: Vec<(String, String)>,
}

impl Head {
    fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let named = self.fields.iter().filter(move |field| field.0 == name);
        named.map(|field| field.1.as_str())
    }
}

fn read_head(mut bytes: &[u8]) -> Option<(Head, &[u8])> {
    let mut line = next_line(&mut bytes)?;
    while line.is_empty() {
        line = next_line(&mut bytes)?;
    }
    let (version, rest) = line.split_once(' ')?;
    let status = rest.trim_start().get(..3)?.parse().ok()?;
    let mut fields = Vec::new();
    loop {
        let line = next_line(&mut bytes)?;
        if line.is_empty() {
            break;
        }
        let (name, value) = line.split_once(':')?;
        fields.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let is_http_1_0 = version == "HTTP/1.0";
    let head = Head {
        is_http_1_0,
        status,
        fields,
    };
    (is_http_1_0 || version == "HTTP/1.1").then_some((head, bytes))
}

/// Up to the next line feed, one character for each byte.
fn next_line(bytes: &mut &[u8]) -> Option<String> {
    let end = bytes.iter().position(|byte| *byte == b'\n')?;
    let line = bytes[..end].strip_suffix(b"\r").unwrap_or(&bytes[..end]);
    *bytes = &bytes[end + 1..];
    Some(line.iter().map(|byte| char::from(*byte)).collect())
}

/// Here a line feed alone ends nothing, not even for the patient (RFC 9112 section 2.2 speaks of the head only).
fn read_chunks(mut bytes: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let line = next_crlf_line(&mut bytes)?;
        let size = line.split(|byte| *byte == b';').next().unwrap_or_default();
        let size = usize::from_str_radix(from_utf8(size).ok()?.trim(), 16).ok()?;
        if size == 0 {
            return Some(body);
        }
        body.extend_from_slice(bytes.get(..size)?);
        bytes = bytes.get(size..)?;
        if !next_crlf_line(&mut bytes)?.is_empty() {
            return None;
        }
    }
}

fn next_crlf_line<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let end = bytes.windows(2).position(|pair| pair == b"\r\n")?;
    let line = &bytes[..end];
    *bytes = &bytes[end + 2..];
    Some(line)
}

/// An answer as any server sends it; refusing that would lock people out.
fn is_plain_success(input: &[u8]) -> bool {
    const HEAD: &str = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: ";
    let after_head = from_utf8(input)
        .ok()
        .and_then(|text| text.strip_prefix(HEAD));
    after_head
        .and_then(|text| text.split_once("\r\n\r\n"))
        .is_some_and(|(length, body)| {
            length == body.len().to_string() && documented_success(200, body.as_bytes())
        })
}

/// iVALT may repeat what it was sent; the log may not.
fn keeps_secrets(answer: &Answer) {
    let (Answer::Rejected(said) | Answer::ApiKeyRefused(said) | Answer::Unusable(_, said)) = answer
    else {
        return;
    };
    for text in [&said.code, &said.detail] {
        for secret in [TOKEN, KEY, MOBILE] {
            assert!(!contains(text.as_bytes(), secret.as_bytes()), "{answer:?}");
        }
        // What was replaced stands between what is left.
        let of_number = |letter: &char| letter.is_alphanumeric() || *letter == '*';
        let plain: String = text.chars().filter(of_number).collect();
        assert!(!plain.contains(MOBILE_END), "{answer:?}");
    }
}
