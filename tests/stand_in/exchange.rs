//! One request and its answer: recorded first, then checked from the outside in.

use std::collections::BTreeMap;
use std::error::Error;

use http_body_util::BodyExt;
use hyper::HeaderMap;
use hyper::body::Incoming;
use serde_json::Value;

use crate::answers::{self, Answer, Asked};
use crate::operations::{Answers, Operation};
use crate::push::Phones;
use crate::reply::{self, HangUp, Reply};
use crate::request_log::{Request, RequestLog};

/// What all requests share.
pub struct StandIn {
    api_key: String,
    port: u16,
    request_log: RequestLog,
    phones: Phones,
}

impl StandIn {
    pub fn new(api_key: String, port: u16, request_log: RequestLog, phones: Phones) -> Self {
        Self {
            api_key,
            port,
            request_log,
            phones,
        }
    }

    pub fn request_log(&self) -> &RequestLog {
        &self.request_log
    }

    /// A truncated request is recorded as far as it arrived; it gets no answer.
    pub async fn answer(
        &self,
        request: hyper::Request<Incoming>,
    ) -> Result<Reply, Box<dyn Error + Send + Sync>> {
        let (head, body) = request.into_parts();
        let (bytes, complete) = read(body).await;
        let request = Request {
            method: head.method.to_string(),
            path: head
                .uri
                .path_and_query()
                .map_or("", |path| path.as_str())
                .to_owned(),
            headers: headers(&head.headers),
            body: serde_json::from_slice(&bytes).unwrap_or(Value::Null),
            raw: String::from_utf8_lossy(&bytes).into_owned(),
        };
        self.request_log.note_request(&request)?;
        if !complete {
            return Err(HangUp.into());
        }
        reply::send(self.decide(&request)).await
    }

    /// Path, method, key, form, and only then the words or the phone.
    fn decide(&self, request: &Request) -> Answer {
        let Some(operation) = Operation::at(&request.path) else {
            return answers::json(404, r#"{"message":"Not Found"}"#);
        };
        if request.method != "POST" {
            return answers::json(405, r#"{"message":"Method Not Allowed"}"#)
                .with_header("allow", "POST".to_owned());
        }
        if request.headers.get("x-api-key") != Some(&self.api_key) {
            return answers::forbidden();
        }
        if let Err(detail) = check_form(operation, request) {
            return answers::refusal(400, "INVALID_REQUEST", &detail);
        }
        let asked = Asked {
            body: &request.body,
            api_key: &self.api_key,
            port: self.port,
        };
        match operation.answers {
            Answers::ByWords(fields) => answers::answer(&words(fields, &request.body), &asked),
            Answers::ByPhone(push) => self.phones.answer(push, &asked),
        }
    }
}

/// Everything that arrived, and whether that was all.
async fn read(mut body: Incoming) -> (Vec<u8>, bool) {
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        match frame {
            Ok(frame) => bytes.extend(frame.data_ref().into_iter().flatten()),
            Err(_) => return (bytes, false),
        }
    }
    (bytes, true)
}

fn headers(map: &HeaderMap) -> BTreeMap<String, String> {
    let mut headers: BTreeMap<String, String> = BTreeMap::new();
    for (name, value) in map {
        let value = String::from_utf8_lossy(value.as_bytes());
        headers
            .entry(name.as_str().to_owned())
            .and_modify(|values| *values += &format!(", {value}"))
            .or_insert_with(|| value.into_owned());
    }
    headers
}

/// The texts of these fields.
fn words<'a>(fields: &[&str], body: &'a Value) -> Vec<&'a str> {
    let word = |field: &&str| body[*field].as_str().unwrap_or_default();
    fields.iter().map(word).collect()
}

/// As documented: JSON by name, and by form what the operation demands.
fn check_form(operation: &Operation, request: &Request) -> Result<(), String> {
    let content_type = request
        .headers
        .get("content-type")
        .map_or("", String::as_str);
    let media_type = content_type.split(';').next().unwrap_or_default().trim();
    if !media_type.eq_ignore_ascii_case("application/json") {
        return Err("the content type is not application/json".to_owned());
    }
    operation.check(&request.body)
}
