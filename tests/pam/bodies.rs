//! How an answer's head and body are framed: lengths, chunks, encodings, limits.

use std::thread::sleep;
use std::time::Duration;

use crate::expect::{REJECTED, expect};
use crate::table::*;
use support::sandbox_test;
use support::server::{Certificate, Server, answer, send};

const NO_HTTP: &str = "answer: not an HTTP answer";
const FOREIGN: &str = "answer: HTTP 200: unexpected content or transfer encoding";
const LONG_HEAD: &str = "answer: headers longer than 8 KiB";
const TOO_LONG: &str = "answer: HTTP 200: body longer than 64 KiB";

/// Unavailable without a status: the head is not HTTP.
fn no_http() -> Ends {
    Ends::unavailable(NO_HTTP)
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
        with("content-length: 36", outage(CLOSED)),
        with("content-length: 34", outage(NO_OBJECT)),
        with("content-length: 0", outage(NO_OBJECT)),
        with("content-length: 35\ncontent-length: 35", verified()),
        with("content-length: 35, 35", verified()),
        with("content-length: 35\ncontent-length: 34", no_http()),
        with("content-length: 18446744073709551615", outage(CLOSED)),
        with("", verified()),
        row("nothing until the end", raw("", b""), outage(NO_OBJECT)),
    ]);
    check_answers(&rows);
}

/// The shape of other operations' answers, which says nothing of a token.
#[sandbox_test]
fn a_status_in_data_lets_nobody_in() {
    const ELSEWHERE: &str = "answer: HTTP 200: status is in data.status, not the documented shape";
    let with =
        |body: &'static str, cause| row(body, answer("200 OK", "", body.as_bytes()), outage(cause));
    check_answers(&[
        with(
            r#"{"data":{"status":true,"message":"ok","details":{}}}"#,
            ELSEWHERE,
        ),
        with(r#"{"data":{"status":true},"message":"success"}"#, ELSEWHERE),
        with(r#"{"data":{"status":true},"status":true}"#, NO_OBJECT),
        with(r#"{"data":"status"}"#, NO_OBJECT),
    ]);
}

/// Chunks count more than a length (RFC 9112 section 6.3).
#[sandbox_test]
fn lengths_beside_chunks() {
    let chunks = one_chunk(SUCCESS);
    let with = |lines: &str| row(lines, raw(lines, &chunks), verified());
    check_answers(&[
        with("transfer-encoding: chunked\ncontent-length: 35"),
        with("content-length: 5\ntransfer-encoding: chunked"),
    ]);
}

/// HTTP/1.0 has no transfer codings (RFC 9112 section 6.1): whatever the body is, its framing is faulty.
#[sandbox_test]
fn chunks_in_http_1_0() {
    let chunks = one_chunk(SUCCESS);
    let mut rows = Vec::new();
    for lines in [
        "transfer-encoding: chunked",
        "transfer-encoding: chunked\ncontent-length: 35",
        "content-length: 36\ntransfer-encoding: chunked",
        "Transfer-Encoding: Chunked\nconnection: close",
        "transfer-encoding:",
    ] {
        for body in [SUCCESS, &[b"\n", SUCCESS].concat(), &chunks] {
            let bytes = raw(lines, body);
            let old = [b"HTTP/1.0".as_slice(), &bytes[8..]].concat();
            let refusal = [b"HTTP/1.0 401".as_slice(), &bytes[12..]].concat();
            rows.push(row(lines, old, outage(FOREIGN)));
            rows.push(row(lines, refusal, Ends::rejected(401)));
        }
    }
    check_answers(&rows);
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
    let bad = |name, body: Vec<u8>| row(name, chunked(&body), outage(NO_HTTP));
    let cut = |name, body: Vec<u8>| row(name, chunked(&body), outage(CLOSED));
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

/// A refusal whose body is truncated or has an unexpected coding stays a refusal, and an outage stays an outage.
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

const FOREIGN_TRANSFERS: [&str; 6] = [
    "transfer-encoding: gzip, chunked",
    "transfer-encoding: gzip",
    "transfer-encoding: xchunked",
    "transfer-encoding: chunked, chunked",
    "transfer-encoding: chunked\ntransfer-encoding: chunked",
    "transfer-encoding: identity",
];

#[sandbox_test]
fn codings_that_were_not_asked_for() {
    let mut rows = Vec::new();
    for line in FOREIGN_CODINGS.into_iter().chain(FOREIGN_TRANSFERS) {
        rows.push(row(line, raw(line, SUCCESS), outage(FOREIGN)));
        rows.push(row(line, raw(line, &one_chunk(SUCCESS)), outage(FOREIGN)));
    }
    let gzip = b"\x1f\x8b\x08\0\0\0\0\0\0\x03\xab\x56\x2a";
    rows.extend([
        row(
            "gzip that nobody announced",
            raw("", gzip),
            outage(NO_OBJECT),
        ),
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
        (65_537, outage(TOO_LONG)),
        (200_000, outage(TOO_LONG)),
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
