//! Answers that come slowly, never end, or are truncated.

use std::io::Write as _;
use std::thread::sleep;
use std::time::Duration;

use crate::expect::{VERIFIED, expect};
use crate::table::*;
use support::sandbox_test;
use support::server::{Certificate, Server, Tls, answer, close_by_reset, send};

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
        "closed without close_notify",
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
    let fault = |(name, cause, serve): Row| Fault {
        name,
        server: Server::tls(Certificate::Valid, serve),
        cause,
        met: (1, 1),
    };
    all_unavailable(SLOW.into_iter().chain(ENDLESS_OR_CUT).map(fault).collect());
}

/// Without TLS's close_notify a body that ends with the connection may have been cut by an attacker (RFC 8446
/// section 6.1). ureq does not report it; an object that has its end is whole all the same, and half an object is not
/// JSON.
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
