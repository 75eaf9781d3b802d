//! The stand-in plays push as public integrations have met it.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde_json::{Value, json};

use support::StandIn;

const MOBILE: &str = "+916283974746";
const START: &str = "biometric-auth-request";
const GEO_FENCE: &str = "biometric-geo-fence-auth-results";
const AUTH: &str = "biometric-auth-result";

/// One connection, for many requests: handshakes take most of the time.
struct Client<'a> {
    ivalt: &'a StandIn,
    key: &'static str,
    tls: StreamOwned<ClientConnection, TcpStream>,
}

impl<'a> Client<'a> {
    fn of(ivalt: &'a StandIn) -> Self {
        Self::with_key(ivalt, StandIn::API_KEY)
    }

    fn with_key(ivalt: &'a StandIn, key: &'static str) -> Self {
        let mut roots = RootCertStore::empty();
        let ca = CertificateDer::from_pem_file(ivalt.ca()).unwrap();
        roots.add(ca).unwrap();
        let config = ClientConfig::builder()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = ServerName::try_from("127.0.0.1").unwrap();
        let client = ClientConnection::new(Arc::new(config), name).unwrap();
        let stream = TcpStream::connect(("127.0.0.1", ivalt.port())).unwrap();
        let tls = StreamOwned::new(client, stream);
        Self { ivalt, key, tls }
    }

    /// Status and body of an answer; 0 where the connection was closed.
    fn ask(&mut self, path: &str) -> (u16, String) {
        let body = json!({ "mobile": MOBILE }).to_string();
        let request = format!(
            "POST /{path} HTTP/1.1\r\nhost: x\r\nx-api-key: {}\r\ncontent-type: application/json\r\n\
             content-length: {}\r\n\r\n{body}",
            self.key,
            body.len()
        );
        self.tls.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        let mut part = [0; 4096];
        loop {
            match self.tls.read(&mut part) {
                Ok(0) | Err(_) => return (0, answer),
                Ok(amount) => answer += std::str::from_utf8(&part[..amount]).unwrap(),
            }
            let Some((head, body)) = answer.split_once("\r\n\r\n") else {
                continue;
            };
            let length = head.split("content-length: ").nth(1).unwrap();
            let length: usize = length.lines().next().unwrap().parse().unwrap();
            if body.len() == length {
                let status = head.split(' ').nth(1).unwrap();
                return (status.parse().unwrap(), body.to_owned());
            }
        }
    }

    /// Status, and `error.detail` or `data.message`.
    fn said(&mut self, path: &str) -> (u16, String) {
        let (status, body) = json_of(self.ask(path));
        let told = [&body["error"]["detail"], &body["data"]["message"]];
        let told = told.iter().find_map(|text| text.as_str());
        (status, told.unwrap_or_default().to_owned())
    }

    fn tap(&self, word: &str) {
        self.ivalt.tap(MOBILE, word);
    }
}

fn json_of(answer: (u16, String)) -> (u16, Value) {
    (answer.0, serde_json::from_str(&answer.1).unwrap())
}

const SENT: &str = "Biometric Auth Request successfully sent.";
const DONE: &str = "Biometric Authentication successfully done.";
const PENDING: &str = "The mobile number provided (+916283974746) was not found.";

fn is(status: u16, text: &str) -> (u16, String) {
    (status, text.to_owned())
}

#[test]
fn a_request_is_tapped_on_and_polls_say_so() {
    let ivalt = StandIn::start();
    let mut client = Client::of(&ivalt);
    for (poll, pending) in [(GEO_FENCE, 404), (AUTH, 422)] {
        for (tap, status, told) in [
            ("approve", 200, DONE),
            ("deny", 403, "Denied by the user."),
            (
                "geofence",
                403,
                "The user is not within the geofencing location.",
            ),
            ("hours", 403, "The user is not within the timezone."),
        ] {
            // Nothing is open yet.
            client.tap(tap);
            assert_eq!(client.said(START), is(200, SENT));
            assert_eq!(client.said(poll), is(pending, PENDING));
            client.tap(tap);
            assert_eq!(client.said(poll), is(status, told));
            assert_eq!(client.said(poll), is(status, told), "{tap} stays");
            assert_eq!(client.said(START), is(200, SENT));
            assert_eq!(client.said(poll), is(pending, PENDING), "{tap} is void");
        }
    }
    assert_eq!(ivalt.operations(MOBILE)[..3], [START, GEO_FENCE, GEO_FENCE]);
}

#[test]
fn an_approval_may_be_read_once_or_stay_for_good() {
    let ivalt = StandIn::start();
    let mut client = Client::of(&ivalt);
    client.said(START);
    client.tap("approve-once");
    assert_eq!(client.said(GEO_FENCE), is(200, DONE));
    assert_eq!(client.said(GEO_FENCE), is(404, PENDING));
    client.said(START);
    client.tap("approve-sticky");
    assert_eq!(client.said(GEO_FENCE), is(200, DONE));
    assert_eq!(client.said(START), is(200, SENT));
    assert_eq!(client.said(GEO_FENCE), is(200, DONE));
}

#[test]
fn the_forms_are_those_that_were_seen() {
    let ivalt = StandIn::start();
    let mut client = Client::of(&ivalt);
    let sent = json!({"data": {"status": true, "message": SENT, "details": null}});
    assert_eq!(json_of(client.ask(START)), (200, sent));
    let (status, body) = json_of(client.ask(GEO_FENCE));
    let error = &body["error"];
    assert_eq!(
        (status, &error["status"], &error["instance"]),
        (404, &json!(404), &json!(format!("/{GEO_FENCE}")))
    );
    assert!(error["type"].is_string() && error["title"].is_string());
    assert!(body["debug"]["timestamp"].is_string() && body["debug"]["activityId"].is_string());
    client.tap("approve");
    let (status, body) = json_of(client.ask(AUTH));
    assert_eq!((status, &body["data"]["status"]), (200, &json!(true)));
    let details = body["data"]["details"].as_object().unwrap();
    let mut names: Vec<_> = details.keys().map(String::as_str).collect();
    names.sort_unstable();
    assert_eq!(
        names,
        [
            "address",
            "country_code",
            "email",
            "id",
            "imei",
            "latitude",
            "longitude",
            "mobile",
            "name"
        ]
    );
    assert_eq!(
        [&details["country_code"], &details["mobile"]],
        ["+91", "6283974746"]
    );
    let forbidden = r#"{"message":"Forbidden"}"#;
    let mut stranger = Client::with_key(&ivalt, "another");
    for path in [START, GEO_FENCE, AUTH] {
        assert_eq!(stranger.ask(path), is(403, forbidden));
        // Where the vendor's document has another operation of this name, nothing of ours answers.
        assert_eq!(client.ask(&format!("admin/public/api/{path}")).0, 404);
    }
}

#[test]
fn the_next_answers_can_be_ordered() {
    let ivalt = StandIn::start();
    let mut client = Client::of(&ivalt);
    for (word, status, contains) in [
        ("pending-400", 400, PENDING),
        ("denied-401", 401, "Denied"),
        ("unknown", 404, "No such user."),
        ("expired", 410, "expired"),
        ("approved-array", 200, r#""details":[{"#),
        ("approved-no-details", 200, r#""details":null"#),
        ("approved-other", 200, r#""mobile":"4155550100""#),
        ("approved-word", 200, r#""status":"true""#),
        (
            "approved-two-statuses",
            200,
            r#""status":false,"status":true,"details":{"#,
        ),
        ("approved-two-mobiles", 200, r#","mobile":"4155550100"}}}"#),
        ("success", 200, r#"{"status":"success","#),
        ("rate-limit", 429, "RATE_LIMIT_EXCEEDED"),
        ("http-503", 503, "status 503"),
        ("html-404", 404, "<!doctype html>"),
        ("slow-10 forbidden", 403, r#"{"message":"Forbidden"}"#),
    ] {
        ivalt.will_answer(MOBILE, &[word]);
        let (found, body) = client.ask(GEO_FENCE);
        assert_eq!(found, status, "{word}: {body}");
        assert!(body.contains(contains), "{word}: {body}");
    }
    ivalt.will_answer(MOBILE, &["http-500", "pending", "approved"]);
    let statuses = [GEO_FENCE, AUTH, AUTH, GEO_FENCE].map(|path| client.ask(path).0);
    assert_eq!(statuses, [500, 422, 200, 404]);
    ivalt.will_answer(MOBILE, &["always http-429"]);
    assert_eq!([START, AUTH, AUTH].map(|path| client.ask(path).0), [429; 3]);
    ivalt.will_answer(MOBILE, &["hang-up"]);
    assert_eq!(client.ask(AUTH), is(0, ""));
}
