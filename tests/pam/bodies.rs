//! How an answer's body is framed, what its JSON says, and what iVALT's own words may do to a log and a terminal.

use std::fmt::Write as _;
use std::io::Write as _;
use std::thread::sleep;
use std::time::Duration;

use serde_json::json;

use crate::expect::{EXHAUSTED, REJECTED, VERIFIED, expect};
use crate::table::*;
use support::sandbox_test;
use support::server::{Certificate, Server, Tls, answer, close_by_reset, send};

const CLOSED: &str = "answer: the server closed the connection";
const NO_HTTP: &str = "answer: not an HTTP answer";
const NO_OBJECT: &str = "answer: HTTP 200 without a JSON object that has one status";
const FOREIGN: &str = "answer: HTTP 200 in an encoding that was not asked for";
const TIMEOUT_IN_ANSWER: &str = "timeout after 2 s in answer";
const LONG_HEAD: &str = "answer: headers longer than 8 KiB";
const TOO_LONG: &str = "answer: HTTP 200 longer than 64 KiB";

fn verified() -> Ends {
    Ends::verified(200)
}

/// Unavailable with HTTP 200.
fn no(cause: &str) -> Ends {
    Ends::unavailable(cause).http(200)
}

/// Unavailable without a status: the head was not even understood.
fn no_http() -> Ends {
    Ends::unavailable(NO_HTTP)
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

/// A length is a number in decimal digits, one, or the same again.
const NO_LENGTHS: [&str; 9] = [
    "35, 1",
    "-1",
    "+35",
    "0x23",
    "",
    "many",
    "35 35",
    "3.5",
    "18446744073709551616",
];

#[sandbox_test]
fn lengths_right_and_wrong() {
    assert_eq!(SUCCESS.len(), 35);
    let with = |lines: &str, ends: Ends| row(lines, raw(lines, SUCCESS), ends);
    let mut rows: Vec<_> = NO_LENGTHS
        .iter()
        .map(|value| with(&format!("content-length: {value}"), no_http()))
        .collect();
    rows.extend([
        with("content-length: 35", verified()),
        with("content-length: 36", no(CLOSED)),
        with("content-length: 34", no(NO_OBJECT)),
        with("content-length: 0", no(NO_OBJECT)),
        with("content-length: 35\ncontent-length: 35", verified()),
        with("content-length: 35, 35", verified()),
        with("content-length: 35\ncontent-length: 34", no_http()),
        with("content-length: 18446744073709551615", no(CLOSED)),
        with("", verified()),
        row("nothing until the end", raw("", b""), no(NO_OBJECT)),
    ]);
    check_answers(&rows);
}

/// Chunks count more than a length (RFC 9112 section 6.3); HTTP/1.0 has none.
#[sandbox_test]
fn lengths_beside_chunks() {
    let chunks = one_chunk(SUCCESS);
    let with = |lines: &str| row(lines, raw(lines, &chunks), verified());
    let old = b"HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".as_slice();
    check_answers(&[
        with("transfer-encoding: chunked\ncontent-length: 35"),
        with("content-length: 5\ntransfer-encoding: chunked"),
        row("HTTP/1.0", [old, &chunks].concat(), no(NO_OBJECT)),
    ]);
}

/// Two chunks, then this.
fn two_chunks(end: &str) -> Vec<u8> {
    let (first, second) = SUCCESS.split_at(9);
    let size = format!("\r\n{:X}\r\n", second.len());
    [b"9\r\n", first, size.as_bytes(), second, end.as_bytes()].concat()
}

/// One chunk with this line for a size; 23 would be right.
fn sized(line: &str) -> Vec<u8> {
    [line.as_bytes(), b"\r\n", SUCCESS, b"\r\n0\r\n\r\n"].concat()
}

fn chunk_of_each_byte() -> Vec<u8> {
    let chunk = |byte: &u8| [b'1', b'\r', b'\n', *byte, b'\r', b'\n'];
    let chunks = SUCCESS.iter().flat_map(chunk);
    chunks.chain(*b"0\r\n\r\n").collect()
}

#[sandbox_test]
fn chunks_well_made() {
    let with = |name, body: Vec<u8>| row(name, chunked(&body), verified());
    check_answers(&[
        with("two", two_chunks("\r\n0\r\n\r\n")),
        with("a byte each", chunk_of_each_byte()),
        with("an extension", sized("23;a=b")),
        with("zeros before the size", sized("00023")),
        with(
            "trailers",
            two_chunks("\r\n0\r\nx-a: b\r\nstatus: error\r\n\r\n"),
        ),
        // All of the body is there, so ureq lets the last line be missing.
        with("no end of the trailers", two_chunks("\r\n0\r\n")),
    ]);
}

#[sandbox_test]
fn chunks_badly_made() {
    let bad = |name, body: Vec<u8>| row(name, chunked(&body), no(NO_HTTP));
    let cut = |name, body: Vec<u8>| row(name, chunked(&body), no(CLOSED));
    check_answers(&[
        bad("no size", sized("")),
        bad("a word", sized("zz")),
        bad("negative", sized("-23")),
        bad("0x", sized("0x23")),
        bad("beyond 64 bits", sized("fffffffffffffffff23")),
        bad(
            "a long extension",
            sized(&format!("23;{}", "a".repeat(300))),
        ),
        bad("not ASCII", sized("\u{ff}")),
        bad("no CRLF after a chunk", two_chunks("0\r\n\r\n")),
        cut("no last chunk", two_chunks("\r\n")),
        cut("half a size", two_chunks("\r\n0")),
        cut("2^63", sized("7fffffffffffffff")),
        cut("a chunk too long", sized("FF")),
    ]);
}

/// Ends of heads, and bodies that are not what these announce.
const BROKEN_BODIES: [&str; 5] = [
    "content-length: 99\r\n\r\n{",
    "transfer-encoding: chunked\r\n\r\nzz\r\n",
    "transfer-encoding: chunked\r\n\r\n9\r\n{",
    "content-encoding: gzip\r\n\r\nx",
    "transfer-encoding: gzip\r\n\r\nx",
];

/// A refusal whose body breaks off or is in a foreign coding stays a refusal, and an outage stays an outage.
#[sandbox_test]
fn a_broken_refusal_is_no_outage() {
    let long = format!("\r\n{}", " ".repeat(65_537));
    let with = |status: u16, rest: &str, ends: Ends| {
        row(
            &format!("{status} {rest:.30}"),
            format!("HTTP/1.1 {status} X\r\n{rest}"),
            ends,
        )
    };
    let mut rows = Vec::new();
    for rest in BROKEN_BODIES.into_iter().chain([long.as_str()]) {
        for status in [400, 401, 403, 404, 422, 499] {
            rows.push(with(status, rest, Ends::rejected(status)));
        }
    }
    for status in [408, 429, 500, 503] {
        for (rest, cause) in [(BROKEN_BODIES[0], CLOSED), (BROKEN_BODIES[1], NO_HTTP)] {
            rows.push(with(status, rest, Ends::unavailable(cause).http(status)));
        }
    }
    check_answers(&rows);
    check_tolerantly(&rows);
}

#[sandbox_test]
fn a_refusal_that_stalls_is_no_outage() {
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

/// None of them is identity alone.
const FOREIGN_CODINGS: [&str; 11] = [
    "content-encoding: gzip",
    "content-encoding: deflate",
    "content-encoding: br",
    "content-encoding: zstd",
    "content-encoding: x-gzip",
    "content-encoding: GZIP",
    "content-encoding: identity, gzip",
    "content-encoding: identity\ncontent-encoding: gzip",
    "content-encoding: gzip\ncontent-encoding: identity",
    "content-encoding: identity;q=1",
    "content-encoding:",
];
const FOREIGN_TRANSFERS: [&str; 5] = [
    "transfer-encoding: gzip, chunked",
    "transfer-encoding: gzip",
    "transfer-encoding: xchunked",
    "transfer-encoding: chunked, chunked",
    "transfer-encoding: identity",
];

#[sandbox_test]
fn codings_that_were_not_asked_for() {
    let mut rows = Vec::new();
    for line in FOREIGN_CODINGS.into_iter().chain(FOREIGN_TRANSFERS) {
        rows.push(row(line, raw(line, SUCCESS), no(FOREIGN)));
        rows.push(row(line, raw(line, &one_chunk(SUCCESS)), no(FOREIGN)));
    }
    let gzip = b"\x1f\x8b\x08\0\0\0\0\0\0\x03\xab\x56\x2a";
    rows.extend([
        row("gzip that nobody announced", raw("", gzip), no(NO_OBJECT)),
        row(
            "identity",
            raw("content-encoding: Identity", SUCCESS),
            verified(),
        ),
        row(
            "a control character",
            raw("content-encoding: \u{1}", SUCCESS),
            no_http(),
        ),
    ]);
    check_answers(&rows);
}

#[sandbox_test]
fn bodies_around_the_limit() {
    let mut rows = Vec::new();
    for (size, ends) in [
        (65_536, verified()),
        (65_537, no(TOO_LONG)),
        (200_000, no(TOO_LONG)),
    ] {
        let body = padded(size);
        let with_length = answer("200 OK", "", &body);
        let named = |how| format!("{size} {how}");
        rows.push(row(&named("with a length"), with_length, ends.clone()));
        rows.push(row(
            &named("in one chunk"),
            chunked(&one_chunk(&body)),
            ends.clone(),
        ));
        rows.push(row(&named("until the end"), raw("", &body), ends));
    }
    check_answers(&rows);
}

#[sandbox_test]
fn heads_around_the_limit() {
    let head = |size: usize| {
        let bare = raw("x-long: ", b"").len();
        raw(&format!("x-long: {}", "x".repeat(size - bare)), SUCCESS)
    };
    let many = |count: usize| {
        let lines: Vec<_> = (0..count).map(|number| format!("x-{number}: y")).collect();
        raw(&lines.join("\n"), SUCCESS)
    };
    let long = || Ends::unavailable(LONG_HEAD);
    check_answers(&[
        row("8 KiB", head(8_192), verified()),
        row("a byte more", head(8_193), long()),
        row("16 KiB", head(16_384), long()),
        row("128 headers", many(128), verified()),
        row("129 headers", many(129), no_http()),
    ]);
}

#[sandbox_test]
fn headers_of_every_kind() {
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
    .map(|line| row(line, with(line), verified()))
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
        rows.push(row(
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

#[sandbox_test]
fn documents_that_are_no_success() {
    let deep = |size: usize| format!("{}{}", "[".repeat(size), "]".repeat(size));
    let computed = [deep(1_000), deep(30_000), r#"{"a":"#.repeat(10_000)];
    let computed = computed.iter().map(String::as_bytes);
    let unusable = NO_SUCCESS.iter().copied().chain(computed);
    let mut rows: Vec<_> = unusable
        .map(|body| row(&named(body), answer("200 OK", "", body), no(NO_OBJECT)))
        .collect();
    for status in OTHER_WORDS {
        let body = format!(r#"{{"status":"{status}"}}"#);
        rows.push(row(
            &body,
            answer("200 OK", "", body.as_bytes()),
            Ends::rejected(200),
        ));
    }
    let none =
        Ends::unavailable("answer: HTTP 204 without a JSON object that has one status").http(204);
    rows.push(row(
        "204 with nothing",
        "HTTP/1.1 204 No Content\r\n\r\n",
        none,
    ));
    rows.push(row(
        "success in a 400",
        answer("400 X", "", br#"{"status":"success"}"#),
        Ends::rejected(400),
    ));
    check_answers(&rows);
}

fn named(body: &[u8]) -> String {
    body.escape_ascii().take(60).map(char::from).collect()
}

#[sandbox_test]
fn documents_that_are_one() {
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
        row(
            &named(body.as_bytes()),
            answer("200 OK", "", body.as_bytes()),
            verified(),
        )
    });
    check_answers(&rows);
}

/// What could disturb a terminal or forge a log line, each in code and detail.
const FOREIGN_WORDS: [(&str, &str); 9] = [
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
];

/// What the log may hold of these words: LogLine::parse takes back the escapes, and no other bytes.
fn logged(words: &str) -> String {
    String::from_utf8_lossy(&words.as_bytes()[..words.len().min(256)]).into_owned()
}

/// As JSON may write it: every character by its UTF-16 units.
fn escaped(text: &str) -> String {
    text.encode_utf16().fold(String::new(), |mut json, unit| {
        let _ = write!(json, "\\u{unit:04x}");
        json
    })
}

/// These words in every place where iVALT may put them.
fn said_everywhere(name: &str, words: &str) -> Vec<Answered> {
    let logged = logged(words);
    let plain = json!({"status": "error", "error": {"code": words, "detail": words}}).to_string();
    let coded = escaped(&logged);
    let coded = format!(r#"{{"status":"error","error":{{"code":"{coded}","detail":"{coded}"}}}}"#);
    let message = json!({"message": words}).to_string();
    let with = |status: u16, body: &str, ends: Ends| {
        let bytes = answer(&format!("{status} X"), "", body.as_bytes());
        row(&format!("{status} {name}"), bytes, ends)
    };
    let outage = Ends::unavailable("answer: HTTP 503").http(503);
    vec![
        with(403, &plain, Ends::rejected(403).said(&logged, &logged)),
        with(422, &coded, Ends::rejected(422).said(&logged, &logged)),
        with(400, &message, Ends::rejected(400).said("", &logged)),
        with(200, &plain, Ends::rejected(200).said(&logged, &logged)),
        with(503, &plain, outage.said(&logged, &logged)),
    ]
}

#[sandbox_test]
fn ivalts_words_reach_no_log_and_no_terminal_raw() {
    let long = "\u{1b}x".repeat(4_000);
    let words = FOREIGN_WORDS.into_iter().chain([("long", long.as_str())]);
    let rows: Vec<_> = words
        .flat_map(|(name, words)| said_everywhere(name, words))
        .collect();
    check_answers(&rows);
}

#[sandbox_test]
fn what_is_no_text_is_not_repeated() {
    let with = |name, body: &[u8]| row(name, answer("403 X", "", body), Ends::rejected(403));
    let value = |name, value: serde_json::Value| {
        let error = json!({"code": value, "detail": value});
        with(
            name,
            json!({"error": error, "message": value})
                .to_string()
                .as_bytes(),
        )
    };
    let (ae, quote) = (
        b"\xe4\x9b",
        br#"{"status":"error","error":{"code":"X","detail":""#,
    );
    check_answers(&[
        value("a number", json!(7)),
        value("null", json!(null)),
        value("an array", json!(["x"])),
        value("an object", json!({"x": "y"})),
        value("100 kB", json!("x".repeat(100_000))),
        with(
            "lone surrogates",
            br#"{"error":{"code":"\ud800","detail":"\udc00"}}"#,
        ),
        with("not UTF-8", &[quote.as_slice(), ae, b"\"}}"].concat()),
        with("breaks off", quote),
    ]);
}

/// The next prompt is a terminal, too.
#[sandbox_test]
fn the_next_prompt_repeats_none_of_ivalts_words() {
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

/// A name, the cause, and what the server does once it has the request.
type Row = (&'static str, &'static str, fn(&mut Tls));

const SLOW: [Row; 11] = [
    ("silent", TIMEOUT_IN_ANSWER, |_| {
        sleep(Duration::from_secs(4))
    }),
    ("100, then silent", TIMEOUT_IN_ANSWER, |tls| {
        send(tls, b"HTTP/1.1 100 Continue\r\n\r\n");
        sleep(Duration::from_secs(4));
    }),
    ("100 for ever", TIMEOUT_IN_ANSWER, |tls| {
        drip(tls, &b"HTTP/1.1 100 Continue\r\n\r\n".repeat(9), 25)
    }),
    ("103 for ever", TIMEOUT_IN_ANSWER, |tls| {
        drip(tls, &b"HTTP/1.1 103 Early Hints\r\n\r\n".repeat(9), 28)
    }),
    (
        "a byte a second of the status line",
        TIMEOUT_IN_ANSWER,
        |tls| drip(tls, b"HTTP/1.1 200 OK\r\n", 1),
    ),
    ("a byte a second of the head", TIMEOUT_IN_ANSWER, |tls| {
        send(tls, b"HTTP/1.1 200 OK\r\nx-a: ");
        drip(tls, b"bbbbbbb", 1);
    }),
    ("a header a second", TIMEOUT_IN_ANSWER, |tls| {
        send(tls, b"HTTP/1.1 200 OK\r\n");
        drip(tls, &b"x-a: b\r\n".repeat(9), 8);
    }),
    ("a byte a second of the body", TIMEOUT_IN_ANSWER, |tls| {
        send(tls, b"HTTP/1.1 200 OK\r\ncontent-length: 35\r\n\r\n");
        drip(tls, SUCCESS, 1);
    }),
    ("a chunk a second", TIMEOUT_IN_ANSWER, |tls| {
        send(
            tls,
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
        );
        drip(tls, &b"1\r\n \r\n".repeat(9), 6);
    }),
    ("all of the body, and no end", TIMEOUT_IN_ANSWER, |tls| {
        send(tls, &[b"HTTP/1.1 200 OK\r\n\r\n", SUCCESS].concat());
        sleep(Duration::from_secs(4));
    }),
    ("a size and no end", TIMEOUT_IN_ANSWER, |tls| {
        send(
            tls,
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n7",
        );
        sleep(Duration::from_secs(4));
    }),
];

const ENDLESS_OR_CUT: [Row; 8] = [
    (
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
    (
        "a status line without end",
        "answer: headers longer than 8 KiB",
        |tls| {
            send(tls, b"HTTP/1.1 200 ");
            while tls.write_all(&[b'x'; 4_096]).is_ok() {}
        },
    ),
    ("100 without end", TIMEOUT_IN_ANSWER, |tls| {
        while tls.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").is_ok() {}
    }),
    (
        "reset after the request",
        "answer: connection reset",
        |tls| close_by_reset(&tls.sock),
    ),
    ("reset in the head", "answer: connection reset", |tls| {
        send(tls, b"HTTP/1.1 200 OK\r\n");
        sleep(Duration::from_millis(300));
        close_by_reset(&tls.sock);
    }),
    ("reset in the body", CLOSED, |tls| {
        send(tls, b"HTTP/1.1 200 OK\r\ncontent-length: 35\r\n\r\n{");
        sleep(Duration::from_millis(300));
        close_by_reset(&tls.sock);
    }),
    (
        "closed without TLS's goodbye",
        "answer: the server closed the connection",
        |_| {},
    ),
    (
        "closed in the clear",
        "tls: the server does not speak TLS",
        |tls| {
            let _ = tls.sock.write_all(&answer("200 OK", "", SUCCESS));
            sleep(Duration::from_millis(300));
        },
    ),
];

#[sandbox_test]
fn answers_that_come_slowly_or_break_off() {
    let fault = |(name, cause, act): Row| Fault {
        name,
        server: Server::tls(Certificate::Valid, act),
        cause,
        met: (1, 1),
    };
    all_unavailable(SLOW.into_iter().chain(ENDLESS_OR_CUT).map(fault).collect());
}

/// Without TLS's goodbye a body that ends with the connection may have been cut by anybody on the way (RFC 8446
/// section 6.1). ureq does not tell; an object that has its end is whole all the same, and half an object is none.
#[sandbox_test]
fn a_cut_answer_counts_only_if_its_object_is_whole() {
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
