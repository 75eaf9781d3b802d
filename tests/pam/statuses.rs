//! Every HTTP status with every kind of body, judged by a table of its own, and lines that are not status lines.

use crate::table::*;
use support::sandbox_test;
use support::server::{Server, answer};

const REFUSAL: &[u8] =
    br#"{"status":"error","error":{"code":"INVALID_GEOFENCE","detail":"outside"}}"#;
const CLOSED: &str = "answer: the server closed the connection";
const NO_HTTP: &str = "answer: not an HTTP answer";

/// What comes with a status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Body {
    Empty,
    Success,
    Refusal,
    /// As the gateway refuses a key.
    Forbidden,
    /// As iVALT refuses a key.
    KeyInvalid,
}

const BODIES: [Body; 5] = [
    Body::Empty,
    Body::Success,
    Body::Refusal,
    Body::Forbidden,
    Body::KeyInvalid,
];

impl Body {
    fn bytes(self) -> &'static [u8] {
        match self {
            Self::Empty => b"",
            Self::Success => SUCCESS,
            Self::Refusal => REFUSAL,
            Self::Forbidden => br#"{"message":"Forbidden"}"#,
            Self::KeyInvalid => br#"{"status":"error","error":{"code":"API_KEY_INVALID"}}"#,
        }
    }

    /// Its code and detail.
    fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Empty => ("", ""),
            Self::Success => ("", "ok"),
            Self::Refusal => ("INVALID_GEOFENCE", "outside"),
            Self::Forbidden => ("", "Forbidden"),
            Self::KeyInvalid => ("API_KEY_INVALID", ""),
        }
    }
}

/// The reasons of pam_ivalt(8), derived once more and in another manner than the module's.
fn expected(status: u16, body: Body) -> Ends {
    let (code, detail) = body.words();
    let nothing = Ends::unavailable(&format!(
        "answer: HTTP {status}: body is not a JSON object with exactly one \"status\""
    ));
    let broken = Ends::unavailable(&format!("answer: HTTP {status}")).http(status);
    match (status / 100, status, body) {
        // No final answer, but that the protocol is another now.
        (1, 101, _) => broken,
        // ureq wants 100 without headers; below the others a final answer is missing, and a body is not one.
        (1, _, Body::Empty) if status != 100 => Ends::unavailable(CLOSED),
        (1, ..) => Ends::unavailable(NO_HTTP),
        // These never have a body (RFC 9110 section 6.4.1).
        (2, 204, _) | (2, _, Body::Empty | Body::Forbidden) => nothing.http(status),
        (2, _, Body::Success) => Ends::verified(status),
        (2, _, Body::Refusal | Body::KeyInvalid) => Ends::rejected(status).said(code, detail),
        (3, ..) => Ends::unavailable(&format!(
            "answer: HTTP {status}, a redirect, is not followed"
        ))
        .http(status),
        (4, _, Body::KeyInvalid) | (4, 403, Body::Forbidden) => {
            Ends::key_refused(status).said(code, detail)
        }
        (4, 408 | 429, _) => broken.said(code, detail),
        (4, ..) => Ends::rejected(status).said(code, detail),
        _ => broken.said(code, detail),
    }
}

#[sandbox_test]
fn every_status_with_every_body_under_either_policy() {
    let one = |status: u16, body: Body| {
        let bytes = answer(&format!("{status} Reason"), "", body.bytes());
        row(&format!("{status} {body:?}"), bytes, expected(status, body))
    };
    let all = |body| {
        (100..=599)
            .map(|status| one(status, body))
            .collect::<Vec<_>>()
    };
    let tables = BODIES.map(|body| (check_answers as fn(&[Answered]), all(body)));
    let tolerant = (check_tolerantly as fn(&[Answered]), all(Body::Refusal));
    at_once(
        tables.into_iter().chain([tolerant]).collect(),
        |(check, rows)| check(&rows),
    );
}

/// A success below any status line.
fn below(line: &str) -> Vec<u8> {
    let length = SUCCESS.len();
    [
        format!("{line}\r\ncontent-length: {length}\r\n\r\n").as_bytes(),
        SUCCESS,
    ]
    .concat()
}

/// None of these is a status line of HTTP/1.
const NO_STATUS_LINES: &[&str] = &[
    "HTTP/2 200 OK",
    "HTTP/2.0 200 OK",
    "HTTP/0.9 200 OK",
    "HTTP/1.2 200 OK",
    "HTTP/11 200 OK",
    "http/1.1 200 OK",
    "PRI * HTTP/2.0",
    "ICY 200 OK",
    "HTTP/1.1 99 X",
    "HTTP/1.1 099 X",
    "HTTP/1.1 000 X",
    "HTTP/1.1 1000 X",
    "HTTP/1.1 200OK",
    "HTTP/1.1 2OO OK",
    "HTTP/1.1 -200 OK",
    "HTTP/1.1 +20 OK",
    "HTTP/1.1  200 OK",
    "HTTP/1.1\t200 OK",
    "HTTP/1.1 ",
    "HTTP/1.1",
    "200 OK",
    "",
    "{\"status\":\"success\"}",
    "HTTP/1.1 20",
    "HTTP/1.1 200 \u{1b}[31m",
];

#[sandbox_test]
fn status_lines_of_every_kind() {
    let none = || Ends::unavailable(NO_HTTP);
    let odd = |status| Ends::unavailable(&format!("answer: HTTP {status}")).http(status);
    let mut rows = vec![
        row("HTTP/1.0", below("HTTP/1.0 200 OK"), Ends::verified(200)),
        row("no reason", below("HTTP/1.1 200"), Ends::verified(200)),
        row(
            "a blank for a reason",
            below("HTTP/1.1 200 "),
            Ends::verified(200),
        ),
        row(
            "success as the reason",
            answer("500 success", "", SUCCESS),
            odd(500).said("", "ok"),
        ),
        row("600", below("HTTP/1.1 600 X"), odd(600).said("", "ok")),
        row("999", below("HTTP/1.1 999 X"), odd(999).said("", "ok")),
    ];
    for line in NO_STATUS_LINES {
        rows.push(row(&format!("{line:?}"), below(line), none()));
    }
    rows.push(row("nothing", "", Ends::unavailable(CLOSED)));
    rows.push(row(
        "half a head",
        "HTTP/1.1 200 OK\r\ncontent-le",
        Ends::unavailable(CLOSED),
    ));
    let settings = b"\0\0\x12\x04\0\0\0\0\0\0\x03\0\0\0\x64".as_slice();
    rows.push(row("a frame of HTTP/2", settings, none()));
    check_answers(&rows);
}

const CONTINUE: &str = "HTTP/1.1 100 Continue\r\n\r\n";
const HINTS: &str = "HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n";
const SWITCH: &str = "HTTP/1.1 101 Switching Protocols\r\nupgrade: h2c\r\n\r\n";

#[sandbox_test]
fn interim_answers_are_passed_over() {
    let then =
        |interim: &str, last: &[u8], ends| row(interim, [interim.as_bytes(), last].concat(), ends);
    let yes = answer("200 OK", "", SUCCESS);
    let no = answer("403 Forbidden", "", REFUSAL);
    let refused = Ends::rejected(403).said("INVALID_GEOFENCE", "outside");
    let many = [CONTINUE, HINTS].concat().repeat(9);
    check_answers(&[
        then(CONTINUE, &yes, Ends::verified(200)),
        then("HTTP/1.1 102 Processing\r\n\r\n", &yes, Ends::verified(200)),
        then(HINTS, &yes, Ends::verified(200)),
        then(&many, &yes, Ends::verified(200)),
        then(&many, &no, refused.clone()),
        then(CONTINUE, &no, refused),
        then(CONTINUE, b"", Ends::unavailable(CLOSED)),
        then(CONTINUE, SUCCESS, Ends::unavailable(NO_HTTP)),
        then(
            SWITCH,
            &yes,
            Ends::unavailable("answer: HTTP 101").http(101),
        ),
    ]);
}

#[sandbox_test]
fn redirects_are_not_followed() {
    let elsewhere = Server::answering(answer("200 OK", "", SUCCESS));
    let clear = Server::raw(drop);
    let another = format!("https://localhost:{}/base", elsewhere.port);
    let http = format!("http://127.0.0.1:{}/base", clear.port);
    let itself = "/base/validate/global/rest/auth";
    let mut rows = Vec::new();
    for status in [300, 301, 302, 303, 304, 305, 307, 308] {
        for location in [another.as_str(), &http, itself, "", "::://%"] {
            let header = format!("location: {location}\r\n");
            let bytes = answer(&format!("{status} X"), &header, SUCCESS);
            rows.push(row(
                &format!("{status} to {location}"),
                bytes,
                expected(status, Body::Success),
            ));
        }
    }
    check_answers(&rows);
    assert_eq!((elsewhere.connections(), clear.connections()), (0, 0));
}

/// What a browser would answer by asking again.
const INVITATIONS: [(u16, &str); 11] = [
    (401, "www-authenticate: Basic realm=\"x\"\r\n"),
    (407, "proxy-authenticate: Basic\r\n"),
    (408, "connection: close\r\n"),
    (413, "retry-after: 0\r\nconnection: close\r\n"),
    (421, ""),
    (425, ""),
    (426, "upgrade: TLS/1.0, HTTP/2\r\nconnection: upgrade\r\n"),
    (429, "retry-after: 0\r\n"),
    (431, ""),
    (451, "link: </x>; rel=\"blocked-by\"\r\n"),
    (503, "retry-after: 0\r\n"),
];

#[sandbox_test]
fn nothing_is_asked_twice() {
    let rows = INVITATIONS.map(|(status, header)| {
        let bytes = answer(&format!("{status} X"), header, b"");
        row(&status.to_string(), bytes, expected(status, Body::Empty))
    });
    check_answers(&rows);
}
