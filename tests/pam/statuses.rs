//! Every HTTP status with every kind of body, judged by a table of its own, and status lines that are none.

use crate::server::{Server, answer};
use crate::support::no_stage;
use crate::table::*;

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

/// INTERFACE's rows, once more and in another way than the module has them.
fn expected(status: u16, body: Body) -> Ends {
    let (code, detail) = body.words();
    let nothing = Ends::unavailable(&format!(
        "answer: HTTP {status} without a JSON object that has one status"
    ));
    let broken = Ends::unavailable(&format!("answer: HTTP {status}")).http(status);
    match (status / 100, status, body) {
        // No final answer, but that the protocol is another now.
        (1, 101, _) => broken,
        // ureq wants 100 without headers; below the others a final answer is missing, and a body is none.
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

#[test]
fn every_status_with_every_body_under_either_policy() {
    if no_stage() {
        return;
    }
    let row = |status: u16, body: Body| Answered {
        name: format!("{status} {body:?}"),
        bytes: answer(&format!("{status} Reason"), "", body.bytes()),
        ends: expected(status, body),
    };
    let all = |body| {
        (100..=599)
            .map(|status| row(status, body))
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

#[test]
fn status_lines_of_every_kind() {
    if no_stage() {
        return;
    }
    let none = || Ends::unavailable(NO_HTTP);
    let odd = |status| Ends::unavailable(&format!("answer: HTTP {status}")).http(status);
    let mut rows = vec![
        Answered::new("HTTP/1.0", below("HTTP/1.0 200 OK"), Ends::verified(200)),
        Answered::new("no reason", below("HTTP/1.1 200"), Ends::verified(200)),
        Answered::new(
            "a blank for a reason",
            below("HTTP/1.1 200 "),
            Ends::verified(200),
        ),
        Answered::new(
            "success as the reason",
            answer("500 success", "", SUCCESS),
            odd(500).said("", "ok"),
        ),
        Answered::new("600", below("HTTP/1.1 600 X"), odd(600).said("", "ok")),
        Answered::new("999", below("HTTP/1.1 999 X"), odd(999).said("", "ok")),
    ];
    for line in NO_STATUS_LINES {
        rows.push(Answered::new(&format!("{line:?}"), below(line), none()));
    }
    rows.push(Answered::new("nothing", "", Ends::unavailable(CLOSED)));
    rows.push(Answered::new(
        "half a head",
        "HTTP/1.1 200 OK\r\ncontent-le",
        Ends::unavailable(CLOSED),
    ));
    let settings = b"\0\0\x12\x04\0\0\0\0\0\0\x03\0\0\0\x64".as_slice();
    rows.push(Answered::new("a frame of HTTP/2", settings, none()));
    check_answers(&rows);
}

#[test]
fn interim_answers_are_passed_over() {
    if no_stage() {
        return;
    }
    let then = |interim: &str, last: Vec<u8>| [interim.as_bytes(), &last].concat();
    let ok = || answer("200 OK", "", SUCCESS);
    let no = || answer("403 Forbidden", "", REFUSAL);
    let switch = Ends::unavailable("answer: HTTP 101").http(101);
    check_answers(&[
        Answered::new(
            "100",
            then("HTTP/1.1 100 Continue\r\n\r\n", ok()),
            Ends::verified(200),
        ),
        Answered::new(
            "102",
            then("HTTP/1.1 102 Processing\r\n\r\n", ok()),
            Ends::verified(200),
        ),
        Answered::new(
            "103",
            then("HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n", ok()),
            Ends::verified(200),
        ),
        Answered::new(
            "all of them",
            then(
                &"HTTP/1.1 100 A\r\n\r\nHTTP/1.1 102 B\r\n\r\nHTTP/1.1 103 C\r\n\r\n".repeat(9),
                ok(),
            ),
            Ends::verified(200),
        ),
        Answered::new(
            "100, then a refusal",
            then("HTTP/1.1 100 Continue\r\n\r\n", no()),
            Ends::rejected(403).said("INVALID_GEOFENCE", "outside"),
        ),
        Answered::new(
            "100, then nothing",
            "HTTP/1.1 100 Continue\r\n\r\n",
            Ends::unavailable(CLOSED),
        ),
        Answered::new(
            "100, then a body",
            then("HTTP/1.1 100 Continue\r\n\r\n", SUCCESS.to_vec()),
            Ends::unavailable(NO_HTTP),
        ),
        Answered::new(
            "101, then 200",
            then(
                "HTTP/1.1 101 Switching Protocols\r\nupgrade: h2c\r\nconnection: upgrade\r\n\r\n",
                ok(),
            ),
            switch,
        ),
    ]);
}

#[test]
fn no_answer_makes_it_ask_elsewhere_or_again() {
    if no_stage() {
        return;
    }
    let elsewhere = Server::answering(answer("200 OK", "", SUCCESS));
    let clear = Server::raw(drop);
    let mut rows = Vec::new();
    for status in [300, 301, 302, 303, 304, 305, 307, 308] {
        for (name, location) in [
            (
                "another host",
                format!("https://localhost:{}/base", elsewhere.port),
            ),
            ("http", format!("http://127.0.0.1:{}/base", clear.port)),
            ("itself", "/base/validate/global/rest/auth".to_owned()),
            ("itself, relative", String::new()),
            ("nonsense", "::://\u{1}".to_owned().replace('\u{1}', "%")),
        ] {
            let header = format!("location: {location}\r\n");
            let ends = Ends::unavailable(&format!(
                "answer: HTTP {status}, a redirect, is not followed"
            ));
            rows.push(Answered::new(
                &format!("{status} to {name}"),
                answer(&format!("{status} X"), &header, SUCCESS),
                ends.http(status),
            ));
        }
    }
    for (status, header) in [
        (401, "www-authenticate: Basic realm=\"x\"\r\n"),
        (407, "proxy-authenticate: Basic\r\n"),
        (413, "retry-after: 0\r\nconnection: close\r\n"),
        (421, ""),
        (426, "upgrade: TLS/1.0, HTTP/2\r\nconnection: upgrade\r\n"),
        (425, ""),
        (431, ""),
        (451, "link: </x>; rel=\"blocked-by\"\r\n"),
    ] {
        rows.push(Answered::new(
            &status.to_string(),
            answer(&format!("{status} X"), header, b""),
            Ends::rejected(status),
        ));
    }
    for (status, header) in [
        (503, "retry-after: 0\r\n"),
        (429, "retry-after: 0\r\n"),
        (408, "connection: close\r\n"),
    ] {
        let ends = Ends::unavailable(&format!("answer: HTTP {status}")).http(status);
        rows.push(Answered::new(
            &status.to_string(),
            answer(&format!("{status} X"), header, b""),
            ends,
        ));
    }
    check_answers(&rows);
    assert_eq!((elsewhere.connections(), clear.connections()), (0, 0));
}
