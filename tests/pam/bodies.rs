//! How an answer's body is framed, what its JSON says, and what iVALT's own words may do to a log and a terminal.

use std::fmt::Write as _;
use std::io::Write as _;
use std::thread::sleep;
use std::time::Duration;

use serde_json::json;

use crate::expect::*;
use crate::server::{Certificate, Server, Tls, answer, close_by_reset, send};
use crate::support::no_stage;
use crate::table::*;

const CLOSED: &str = "answer: the server closed the connection";
const NO_HTTP: &str = "answer: not an HTTP answer";
const NO_OBJECT: &str = "answer: HTTP 200 without a JSON object that has one status";
const FOREIGN: &str = "answer: HTTP 200 in an encoding that was not asked for";
const TIMEOUT_IN_ANSWER: &str = "timeout after 2 s in answer";
const TOO_LONG: &str = "answer: HTTP 200 longer than 64 KiB";

fn verified() -> Ends {
    Ends::verified(200)
}

/// Unavailable with HTTP 200.
fn no(cause: &str) -> Ends {
    Ends::unavailable(cause).http(200)
}

/// A 200 with these headers and bytes, lengths as they are given.
fn raw(headers: &str, body: &[u8]) -> Vec<u8> {
    let head = headers
        .lines()
        .fold("HTTP/1.1 200 OK\r\n".to_owned(), |head, line| {
            head + line + "\r\n"
        });
    [head.as_bytes(), b"\r\n", body].concat()
}

fn chunked(body: &[u8]) -> Vec<u8> {
    raw("transfer-encoding: chunked", body)
}

/// A success of exactly this many bytes.
fn padded(size: usize) -> Vec<u8> {
    let mut body = SUCCESS.to_vec();
    body.resize(size, b' ');
    body
}

fn one_chunk(body: &[u8]) -> Vec<u8> {
    [
        format!("{:x}\r\n", body.len()).as_bytes(),
        body,
        b"\r\n0\r\n\r\n",
    ]
    .concat()
}

#[test]
fn lengths_right_and_wrong() {
    if no_stage() {
        return;
    }
    let length = SUCCESS.len();
    let with = |value: &str| raw(&format!("content-length: {value}"), SUCCESS);
    let both = |first: usize, second: usize| {
        raw(
            &format!("content-length: {first}\ncontent-length: {second}"),
            SUCCESS,
        )
    };
    let chunks = raw(
        &format!("transfer-encoding: chunked\ncontent-length: {length}"),
        &one_chunk(SUCCESS),
    );
    check_answers(&[
        Answered::new("right", with(&length.to_string()), verified()),
        Answered::new("a byte more", with(&(length + 1).to_string()), no(CLOSED)),
        Answered::new(
            "a byte less",
            with(&(length - 1).to_string()),
            no(NO_OBJECT),
        ),
        Answered::new("0", with("0"), no(NO_OBJECT)),
        Answered::new("the same twice", both(length, length), verified()),
        Answered::new(
            "the same in a list",
            with(&format!("{length}, {length}")),
            verified(),
        ),
        Answered::new(
            "two that differ",
            both(length, length - 1),
            Ends::unavailable(NO_HTTP),
        ),
        Answered::new(
            "a list that differs",
            with(&format!("{length}, 1")),
            Ends::unavailable(NO_HTTP),
        ),
        Answered::new("negative", with("-1"), Ends::unavailable(NO_HTTP)),
        Answered::new(
            "with a sign",
            with(&format!("+{length}")),
            Ends::unavailable(NO_HTTP),
        ),
        Answered::new("hexadecimal", with("0x23"), Ends::unavailable(NO_HTTP)),
        Answered::new("empty", with(""), Ends::unavailable(NO_HTTP)),
        Answered::new("words", with("many"), Ends::unavailable(NO_HTTP)),
        Answered::new(
            "2^64",
            with("18446744073709551616"),
            Ends::unavailable(NO_HTTP),
        ),
        Answered::new("2^64 - 1", with("18446744073709551615"), no(CLOSED)),
        Answered::new("none, until the end", raw("", SUCCESS), verified()),
        Answered::new("none, and nothing", raw("", b""), no(NO_OBJECT)),
        Answered::new("chunked all the same", chunks, verified()),
        Answered::new(
            "chunked, and a length that lies",
            raw(
                "content-length: 5\ntransfer-encoding: chunked",
                &one_chunk(SUCCESS),
            ),
            verified(),
        ),
        Answered::new(
            "chunked in HTTP/1.0",
            [
                b"HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
                one_chunk(SUCCESS).as_slice(),
            ]
            .concat(),
            no(NO_OBJECT),
        ),
    ]);
}

#[test]
fn chunks_well_and_badly() {
    if no_stage() {
        return;
    }
    let (a, b) = SUCCESS.split_at(9);
    let two = |end: &str| {
        [
            b"9\r\n",
            a,
            format!("\r\n{:X}\r\n", b.len()).as_bytes(),
            b,
            end.as_bytes(),
        ]
        .concat()
    };
    let size = |line: &str| {
        let length = SUCCESS.len();
        [
            line.replace('N', &format!("{length:x}")).as_bytes(),
            b"\r\n",
            SUCCESS,
            b"\r\n0\r\n\r\n",
        ]
        .concat()
    };
    let bytes: Vec<u8> = SUCCESS
        .iter()
        .flat_map(|byte| [b'1', b'\r', b'\n', *byte, b'\r', b'\n'])
        .chain(*b"0\r\n\r\n")
        .collect();
    let good = [
        ("two", two("\r\n0\r\n\r\n")),
        ("a byte each", bytes),
        ("an extension", size("N;a=b")),
        ("zeros before the size", size("000N")),
        // All of the body is there, so ureq lets the last line be missing.
        ("no end of the trailers", two("\r\n0\r\n")),
        ("trailers", two("\r\n0\r\nx-a: b\r\nstatus: error\r\n\r\n")),
    ];
    let bad = [
        ("no size", size("")),
        ("a word", size("zz")),
        ("negative", size("-N")),
        ("0x", size("0xN")),
        ("beyond 64 bits", size("fffffffffffffffffN")),
        ("a long extension", size(&format!("N;{}", "a".repeat(300)))),
        ("not ASCII", size("\u{ff}")),
        ("no CRLF after a chunk", two("0\r\n\r\n")),
    ];
    let cut = [
        ("no last chunk", two("\r\n")),
        ("half a size", two("\r\n0")),
        ("2^63", size("7fffffffffffffff")),
        ("a chunk too long", size("FF")),
    ];
    let rows = |cases: &[(&str, Vec<u8>)], ends: Ends| -> Vec<_> {
        cases
            .iter()
            .map(|(name, body)| Answered::new(name, chunked(body), ends.clone()))
            .collect()
    };
    check_answers(
        &[
            rows(&good, verified()),
            rows(&bad, no(NO_HTTP)),
            rows(&cut, no(CLOSED)),
        ]
        .concat(),
    );
}

/// A refusal whose body breaks off or is in a foreign coding stays a refusal, and an outage stays an outage.
#[test]
fn a_broken_refusal_is_no_outage() {
    if no_stage() {
        return;
    }
    let mut rows = Vec::new();
    let bodies = [
        ("cut short", "content-length: 99\r\n\r\n{".to_owned()),
        (
            "a broken chunk",
            "transfer-encoding: chunked\r\n\r\nzz\r\n".to_owned(),
        ),
        (
            "half a chunk",
            "transfer-encoding: chunked\r\n\r\n9\r\n{".to_owned(),
        ),
        ("too long", format!("\r\n{}", " ".repeat(65_537))),
        ("gzip", "content-encoding: gzip\r\n\r\nx".to_owned()),
        (
            "a foreign transfer coding",
            "transfer-encoding: gzip\r\n\r\nx".to_owned(),
        ),
    ];
    for (name, body) in &bodies {
        for status in [400, 401, 403, 404, 422, 499] {
            let bytes = format!("HTTP/1.1 {status} X\r\n{body}");
            rows.push(Answered::new(
                &format!("{status} {name}"),
                bytes,
                Ends::rejected(status),
            ));
        }
    }
    let (cut, chunk) = (&bodies[0].1, &bodies[1].1);
    for status in [408, 429, 500, 503] {
        let outage = |body, cause| {
            let bytes = format!("HTTP/1.1 {status} X\r\n{body}");
            Answered::new(
                &status.to_string(),
                bytes,
                Ends::unavailable(cause).http(status),
            )
        };
        rows.extend([outage(cut, CLOSED), outage(chunk, NO_HTTP)]);
    }
    check_answers(&rows);
    check_tolerantly(&rows);
}

#[test]
fn a_refusal_that_stalls_is_no_outage() {
    if no_stage() {
        return;
    }
    let server = Server::tls(Certificate::Valid, |tls| {
        send(
            tls,
            b"HTTP/1.1 403 Forbidden\r\ncontent-length: 99\r\n\r\n{",
        );
        sleep(Duration::from_secs(4));
    });
    let policy = "[token]\nattempts = 1\n[policy]\nunavailable = \"ignore\"\n";
    let line = expect(&with_lines(case(&url(&server)), policy).run(), REJECTED);
    assert_eq!((line.get("http"), server.requests()), ("403".into(), 1));
}

#[test]
fn codings_that_were_not_asked_for() {
    if no_stage() {
        return;
    }
    let coded = |header: &str| {
        answer(
            "200 OK",
            &format!("content-encoding: {header}\r\n"),
            SUCCESS,
        )
    };
    let row = |header: &str| Answered::new(header, coded(header), no(FOREIGN));
    let names = [
        "gzip",
        "deflate",
        "br",
        "zstd",
        "x-gzip",
        "compress",
        "GZIP",
        "identity, gzip",
        "identity;q=1",
        "",
        "\u{1}",
    ];
    let mut rows: Vec<_> = names[..10].iter().map(|name| row(name)).collect();
    rows.push(Answered::new("identity", coded("identity"), verified()));
    rows.push(Answered::new(
        "a control character",
        coded(names[10]),
        Ends::unavailable(NO_HTTP),
    ));
    let twice = "content-encoding: identity\r\ncontent-encoding: gzip\r\n";
    rows.push(Answered::new(
        "identity and gzip",
        answer("200 OK", twice, SUCCESS),
        no(FOREIGN),
    ));
    for coding in [
        "gzip, chunked",
        "gzip",
        "xchunked",
        "chunked, chunked",
        "identity",
    ] {
        let header = format!("transfer-encoding: {coding}");
        rows.push(Answered::new(&header, raw(&header, SUCCESS), no(FOREIGN)));
        rows.push(Answered::new(
            &header,
            raw(&header, &one_chunk(SUCCESS)),
            no(FOREIGN),
        ));
    }
    let gzip = b"\x1f\x8b\x08\0\0\0\0\0\0\x03\xab\x56\x2a".as_slice();
    rows.push(Answered::new(
        "gzip that nobody announced",
        answer("200 OK", "", gzip),
        no(NO_OBJECT),
    ));
    check_answers(&rows);
}

#[test]
fn sizes_around_the_limits() {
    if no_stage() {
        return;
    }
    let mut rows = Vec::new();
    for (size, ends) in [
        (65_536, verified()),
        (65_537, no(TOO_LONG)),
        (200_000, no(TOO_LONG)),
    ] {
        let body = padded(size);
        rows.push(Answered::new(
            &format!("{size} with a length"),
            answer("200 OK", "", &body),
            ends.clone(),
        ));
        rows.push(Answered::new(
            &format!("{size} in one chunk"),
            chunked(&one_chunk(&body)),
            ends.clone(),
        ));
        rows.push(Answered::new(
            &format!("{size} until the end"),
            raw("", &body),
            ends,
        ));
    }
    let head = |size: usize| {
        let length = SUCCESS.len();
        let bare = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\nx-long: \r\n\r\n").len();
        raw(
            &format!(
                "content-length: {length}\nx-long: {}",
                "x".repeat(size - bare)
            ),
            SUCCESS,
        )
    };
    let long = Ends::unavailable("answer: headers longer than 8 KiB");
    rows.push(Answered::new("a head of 8 KiB", head(8_192), verified()));
    rows.push(Answered::new("a byte more", head(8_193), long.clone()));
    rows.push(Answered::new(
        "a head of 16 KiB",
        head(16_384),
        long.clone(),
    ));
    let many = |count: usize| {
        (1..count).fold(
            format!("content-length: {}", SUCCESS.len()),
            |lines, number| format!("{lines}\nx-{number}: y"),
        )
    };
    rows.push(Answered::new(
        "128 headers",
        raw(&many(128), SUCCESS),
        verified(),
    ));
    rows.push(Answered::new(
        "129 headers",
        raw(&many(129), SUCCESS),
        Ends::unavailable(NO_HTTP),
    ));
    check_answers(&rows);
}

#[test]
fn headers_of_every_kind() {
    if no_stage() {
        return;
    }
    let with = |line: &str| answer("200 OK", &format!("{line}\r\n"), SUCCESS);
    let mut rows: Vec<_> = [
        "x-a: \u{e4}",
        "x-a: a\tb",
        "x-a:",
        "status: error",
        "x-api-key: z",
        "set-cookie: a=b",
    ]
    .iter()
    .map(|line| Answered::new(line, with(line), verified()))
    .collect();
    for line in [
        "x-a: \u{1b}[31m",
        "x-a: \0",
        "x-a: \u{7f}",
        "x\u{7}: b",
        "x a: b",
        "x-a : b",
        ": b",
        "no colon",
        "x-a: b\rc: d",
        " folded",
    ] {
        rows.push(Answered::new(
            &format!("{line:?}"),
            with(line),
            Ends::unavailable(NO_HTTP),
        ));
    }
    check_answers(&rows);
}

/// With 200 each of these says nothing.
const NO_SUCCESS: &[&[u8]] = &[
    b"",
    b" ",
    b"garbage",
    b"success",
    b"<html>success</html>",
    b"{",
    b"null",
    b"true",
    b"0",
    b"-1e999",
    b"\"success\"",
    b"[]",
    br#"[{"status":"success"}]"#,
    br#"["status","success"]"#,
    br#"["success"]"#,
    b"{}",
    br#"{"message":"success"}"#,
    br#"{"Status":"success"}"#,
    br#"{"status ":"success"}"#,
    br#"{"":"success"}"#,
    br#"{"data":{"status":"success"}}"#,
    br#"{"error":{"status":"success"},"x":1}"#,
    br#"{"status":null}"#,
    br#"{"status":1}"#,
    br#"{"status":true}"#,
    br#"{"status":["success"]}"#,
    br#"{"status":{"status":"success"}}"#,
    br#"{"status":{}}"#,
    br#"{"status":}"#,
    br#"{"status":success}"#,
    br#"{"status":"success","status":"success"}"#,
    br#"{"status":"error","status":"success"}"#,
    br#"{"status":"success","status":null}"#,
    br#"{"status":"success","st\u0061tus":"error"}"#,
    br#"{"status":"success"}{"status":"success"}"#,
    b"{\"status\":\"success\"}\n{}",
    br#"{"status":"success"}x"#,
    br#"{"status":"success"}]"#,
    br#"{"status":"success",}"#,
    br#"{"status":"success""#,
    br#"{"status":"success"} // so"#,
    b"{'status':'success'}",
    br#"{status:"success"}"#,
    b"{\"status\":\"success\"}\0",
    b"\0{\"status\":\"success\"}",
    b"{\"status\":\"success\",\"x\":\"\0\"}",
    b"{\"status\":\"succ\ness\"}",
    b"\xef\xbb\xbf{\"status\":\"success\"}",
    b"\x0b{\"status\":\"success\"}",
    b"\xc2\xa0{\"status\":\"success\"}",
    b"{\"status\":\"success\",\"x\":\"\xff\"}",
    b"{\"status\":\"success\xc3\"}",
    b"{\"status\":\"success\",\"x\":\"\xed\xa0\x80\"}",
    b"\xff\xfe{\0\"\0s\0",
    b"{\"status\":\"\xc1\xb3uccess\"}",
    br#"{"status":"\ud800"}"#,
    br#"{"status":"success\udc00"}"#,
    br#"{"status":"succ\x65ss"}"#,
    b")]}'\n{\"status\":\"success\"}",
    b"data: {\"status\":\"success\"}",
];

/// None of these is exactly `success`.
const OTHER_WORDS: &[&str] = &[
    "Success",
    "SUCCESS",
    "success ",
    " success",
    "succes",
    "successs",
    "",
    "error",
    "ok",
    "true",
    "1",
    "null",
    "success\\u0000",
    "success\\n",
    "\\u0000success",
    "\\ud83d\\ude00",
    "ѕuccess",
];

#[test]
fn documents_that_are_no_success() {
    if no_stage() {
        return;
    }
    let deep = |size: usize| format!("{}{}", "[".repeat(size), "]".repeat(size));
    let computed = [deep(1_000), deep(30_000), r#"{"a":"#.repeat(10_000)];
    let computed = computed.iter().map(String::as_bytes);
    let unusable = NO_SUCCESS.iter().copied().chain(computed);
    let mut rows: Vec<_> = unusable
        .map(|body| Answered::new(&named(body), answer("200 OK", "", body), no(NO_OBJECT)))
        .collect();
    for status in OTHER_WORDS {
        let body = format!(r#"{{"status":"{status}"}}"#);
        rows.push(Answered::new(
            &body,
            answer("200 OK", "", body.as_bytes()),
            Ends::rejected(200),
        ));
    }
    let none =
        Ends::unavailable("answer: HTTP 204 without a JSON object that has one status").http(204);
    rows.push(Answered::new(
        "204 with nothing",
        "HTTP/1.1 204 No Content\r\n\r\n",
        none,
    ));
    rows.push(Answered::new(
        "success in a 400",
        answer("400 X", "", br#"{"status":"success"}"#),
        Ends::rejected(400),
    ));
    check_answers(&rows);
}

fn named(body: &[u8]) -> String {
    body.escape_ascii().take(60).map(char::from).collect()
}

#[test]
fn documents_that_are_one() {
    if no_stage() {
        return;
    }
    let deep = format!(
        r#"{{"x":{}{},"status":"success"}}"#,
        "[".repeat(1_000),
        "]".repeat(1_000)
    );
    let rows = [
        r#"{"status":"success"}"#,
        r#"{"status":"succ\u0065ss"}"#,
        r#"{"st\u0061tus":"\u0073\u0075ccess"}"#,
        " \r\n\t{ \"status\" : \"success\" }\r\n\t ",
        r#"{"status":"success","error":{"code":"X","detail":"d"}}"#,
        r#"{"message":null,"status":"success","data":{"status":"error"}}"#,
        r#"{"message":"a","message":"b","status":"success"}"#,
        r#"{"status":"success","x":1e999}"#,
        r#"{"status":"success","😀":"\ud83d\ude00"}"#,
        &deep,
    ]
    .map(|body| {
        Answered::new(
            &named(body.as_bytes()),
            answer("200 OK", "", body.as_bytes()),
            verified(),
        )
    });
    check_answers(&rows);
}

/// What could disturb a terminal or forge a log line, each in code and detail.
const FOREIGN_WORDS: [(&str, &str); 10] = [
    ("escape sequences", "\u{1b}[2J\u{1b}]0;owned\u{7}\u{1b}[31m"),
    (
        "newlines",
        "a\nuser=root\r\nNov 24 00:00:00 sshd[1]: pam_ivalt(sshd:auth): outcome=allow",
    ),
    ("quotes", "\" outcome=allow reason=\"verified\\\" \\x41"),
    (
        "NUL and the other controls",
        "\0\u{1}\u{8}\u{b}\u{c}\u{e}\u{7f}\t",
    ),
    ("C1 controls", "\u{80}\u{85}\u{9b}31m\u{9d}\u{9f}"),
    ("bidi", "\u{202e}\u{2066}\u{2069}\u{200f}\u{61c}evil"),
    ("invisible", "\u{200b}\u{feff}\u{2028}\u{2029}\u{ad}"),
    ("other scripts", "Grüße ☃ 日本 ѕuccess \u{1f600} e\u{301}"),
    ("format strings", "%s%n%x ${jndi:ldap://x} $(id) `id` ;|&"),
    ("long", ""),
];

#[test]
fn ivalts_words_reach_no_log_and_no_terminal_raw() {
    if no_stage() {
        return;
    }
    let mut rows = Vec::new();
    for (name, words) in FOREIGN_WORDS {
        let long = "\u{1b}x".repeat(30_000 / 7);
        let words = if words.is_empty() { &long } else { words };
        let logged =
            String::from_utf8_lossy(&words.as_bytes()[..words.len().min(256)]).into_owned();
        let escaped = |text: &str| {
            text.chars().fold(String::new(), |mut json, c| {
                let mut units = [0; 2];
                for unit in c.encode_utf16(&mut units) {
                    let _ = write!(json, "\\u{unit:04x}");
                }
                json
            })
        };
        let body =
            json!({"status": "error", "error": {"code": words, "detail": words}}).to_string();
        let coded = format!(
            r#"{{"status":"error","error":{{"code":"{0}","detail":"{0}"}}}}"#,
            escaped(&words[..words.len().min(256)])
        );
        let message = json!({"message": words}).to_string();
        for (form, status, body, code) in [
            ("as it is", 403, &body, &*logged),
            ("escaped", 422, &coded, &logged),
            ("in a message", 400, &message, ""),
            ("in a 200", 200, &body, &logged),
        ] {
            let ends = Ends::rejected(status).said(code, &logged);
            rows.push(Answered::new(
                &format!("{name} {form}"),
                answer(&format!("{status} X"), "", body.as_bytes()),
                ends,
            ));
        }
        let ends = Ends::unavailable("answer: HTTP 503")
            .http(503)
            .said(&logged, &logged);
        rows.push(Answered::new(
            &format!("{name} in an outage"),
            answer("503 X", "", body.as_bytes()),
            ends,
        ));
    }
    let lone = br#"{"status":"error","error":{"code":"\ud800","detail":"\udc00"}}"#;
    rows.push(Answered::new(
        "lone surrogates",
        answer("403 X", "", lone),
        Ends::rejected(403),
    ));
    let latin = b"{\"status\":\"error\",\"error\":{\"code\":\"X\",\"detail\":\"\xe4\x9b\"}}";
    rows.push(Answered::new(
        "not UTF-8",
        answer("403 X", "", latin),
        Ends::rejected(403),
    ));
    let huge = json!({"status": "error", "error": {"code": "X", "detail": "x".repeat(100_000)}})
        .to_string();
    rows.push(Answered::new(
        "100 kB",
        answer("403 X", "", huge.as_bytes()),
        Ends::rejected(403),
    ));
    for (name, value) in [
        ("numbers", json!(7)),
        ("null", json!(null)),
        ("an array", json!(["x"])),
        ("an object", json!({"x": "y"})),
    ] {
        let body =
            json!({"status": "error", "error": {"code": value, "detail": value}, "message": value})
                .to_string();
        rows.push(Answered::new(
            name,
            answer("403 X", "", body.as_bytes()),
            Ends::rejected(403),
        ));
    }
    check_answers(&rows);
}

/// The next prompt is a terminal, too.
#[test]
fn the_next_prompt_repeats_none_of_ivalts_words() {
    if no_stage() {
        return;
    }
    let words = "\u{1b}[31m geofence\r\n\u{202e}";
    let body = json!({"status": "error", "error": {"code": words, "detail": words}}).to_string();
    let server = Server::answering(answer("403 X", "", body.as_bytes()));
    let report = with_lines(case(&url(&server)), "[token]\nattempts = 2\n").run();
    expect(&report, EXHAUSTED);
    let outside = "iVALT refused the token: outside the allowed area.";
    assert_eq!(
        report.prompts(),
        [
            "iVALT token: ".to_owned(),
            format!("{outside} iVALT token: ")
        ]
    );
    assert_eq!(report.told(), [outside]);
    assert_eq!(server.tokens(), ["accept-1", "accept-2"]);
}

fn fault(name: &'static str, cause: &'static str, act: fn(&mut Tls)) -> Fault {
    Fault {
        name,
        server: Server::tls(Certificate::Valid, act),
        cause,
        met: (1, 1),
    }
}

#[test]
fn answers_that_come_slowly() {
    if no_stage() {
        return;
    }
    all_unavailable(vec![
        fault("silent", TIMEOUT_IN_ANSWER, |_| {
            sleep(Duration::from_secs(4))
        }),
        fault("100, then silent", TIMEOUT_IN_ANSWER, |tls| {
            send(tls, b"HTTP/1.1 100 Continue\r\n\r\n");
            sleep(Duration::from_secs(4));
        }),
        fault("100 for ever", TIMEOUT_IN_ANSWER, |tls| {
            drip(tls, &b"HTTP/1.1 100 Continue\r\n\r\n".repeat(9), 25)
        }),
        fault("103 for ever", TIMEOUT_IN_ANSWER, |tls| {
            drip(tls, &b"HTTP/1.1 103 Early Hints\r\n\r\n".repeat(9), 28)
        }),
        fault(
            "a byte a second of the status line",
            TIMEOUT_IN_ANSWER,
            |tls| drip(tls, b"HTTP/1.1 200 OK\r\n", 1),
        ),
        fault("a byte a second of the head", TIMEOUT_IN_ANSWER, |tls| {
            send(tls, b"HTTP/1.1 200 OK\r\nx-a: ");
            drip(tls, b"bbbbbbb", 1);
        }),
        fault("a header a second", TIMEOUT_IN_ANSWER, |tls| {
            send(tls, b"HTTP/1.1 200 OK\r\n");
            drip(tls, &b"x-a: b\r\n".repeat(9), 8);
        }),
        fault("a byte a second of the body", TIMEOUT_IN_ANSWER, |tls| {
            send(tls, b"HTTP/1.1 200 OK\r\ncontent-length: 35\r\n\r\n");
            drip(tls, SUCCESS, 1);
        }),
        fault("a chunk a second", TIMEOUT_IN_ANSWER, |tls| {
            send(
                tls,
                b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
            );
            drip(tls, &b"1\r\n \r\n".repeat(9), 6);
        }),
        fault("all of the body, and no end", TIMEOUT_IN_ANSWER, |tls| {
            send(tls, &[b"HTTP/1.1 200 OK\r\n\r\n", SUCCESS].concat());
            sleep(Duration::from_secs(4));
        }),
        fault("a size and no end", TIMEOUT_IN_ANSWER, |tls| {
            send(
                tls,
                b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n7",
            );
            sleep(Duration::from_secs(4));
        }),
    ]);
}

#[test]
fn answers_that_never_end_or_break_off() {
    if no_stage() {
        return;
    }
    all_unavailable(vec![
        fault(
            "headers without end",
            "answer: headers longer than 8 KiB",
            |tls| {
                send(tls, b"HTTP/1.1 200 OK\r\n");
                while tls
                    .write_all(&[b"x-a: ".as_slice(), &[b'x'; 500], b"\r\n"].concat())
                    .is_ok()
                {}
            },
        ),
        fault(
            "a status line without end",
            "answer: headers longer than 8 KiB",
            |tls| {
                send(tls, b"HTTP/1.1 200 ");
                while tls.write_all(&[b'x'; 4_096]).is_ok() {}
            },
        ),
        fault("100 without end", TIMEOUT_IN_ANSWER, |tls| {
            while tls.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").is_ok() {}
        }),
        fault(
            "reset after the request",
            "answer: connection reset",
            |tls| close_by_reset(&tls.sock),
        ),
        fault("reset in the head", "answer: connection reset", |tls| {
            send(tls, b"HTTP/1.1 200 OK\r\n");
            sleep(Duration::from_millis(300));
            close_by_reset(&tls.sock);
        }),
        fault("reset in the body", CLOSED, |tls| {
            send(tls, b"HTTP/1.1 200 OK\r\ncontent-length: 35\r\n\r\n{");
            sleep(Duration::from_millis(300));
            close_by_reset(&tls.sock);
        }),
        fault(
            "closed without TLS's goodbye",
            "answer: the server closed the connection",
            |_| {},
        ),
        fault(
            "closed in the clear",
            "tls: the server does not speak TLS",
            |tls| {
                let _ = tls.sock.write_all(&answer("200 OK", "", SUCCESS));
                sleep(Duration::from_millis(300));
            },
        ),
    ]);
}

/// Without TLS's goodbye a body that ends with the connection may have been cut by anybody on the way (RFC 8446
/// section 6.1). ureq does not tell; an object that has its end is whole all the same, and half an object is none.
#[test]
fn a_cut_answer_counts_only_if_its_object_is_whole() {
    if no_stage() {
        return;
    }
    let cut = |body: &[u8], close: fn(&Tls)| {
        let bytes = raw("", body);
        Server::tls(Certificate::Valid, move |tls| {
            send(tls, &bytes);
            sleep(Duration::from_millis(300));
            close(tls);
        })
    };
    let by_reset: fn(&Tls) = |tls| close_by_reset(&tls.sock);
    for close in [by_reset, |_| {}] {
        let whole = cut(SUCCESS, close);
        expect(&run(&whole), VERIFIED);
        let half = cut(br#"{"status":"success""#, close);
        unavailable("half", &run(&half), NO_OBJECT);
        assert_eq!((whole.requests(), half.requests()), (1, 1));
    }
}

/// So many bytes every 700 ms, for longer than the module waits.
fn drip(tls: &mut Tls, bytes: &[u8], at_once: usize) {
    for part in bytes.chunks(at_once).take(6) {
        send(tls, part);
        sleep(Duration::from_millis(700));
    }
}
