//! Servers that break the TLS handshake, or with which none may succeed. No request leaves, whatever they do.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread::sleep;
use std::time::Duration;

use rustls::SupportedProtocolVersion;
use rustls::version::{TLS12, TLS13};

use crate::expect::{VERIFIED, expect};
use crate::table::*;
use support::sandbox_test;
use support::server::{Anchor, Certificate, Server, anchored, answer, close_by_reset, hold, reset};

const NO_TLS: &str = "tls: the server does not speak TLS";
const BROKEN: &str = "tls: TLS protocol violation";
const NOTHING_IN_COMMON: &str = "tls: no TLS version or cipher suite in common";
const CLOSED: &str = "tls: the server closed the connection";
const RESET: &str = "tls: connection reset";
const TIMEOUT_IN_TLS: &str = "timeout after 2 s in tls";

/// A handshake record of TLS 1.2's form (RFC 8446 section 5.1).
fn record(kind: u8, version: u8, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(payload.len()).unwrap().to_be_bytes();
    [&[kind, 3, version], length.as_slice(), payload].concat()
}

/// A ServerHello that chooses this version and cipher suite (RFC 5246 section 7.4.1.3): 1 is TLS 1.0, 3 is TLS 1.2.
fn server_hello(version: u8, suite: [u8; 2]) -> Vec<u8> {
    let mut hello = vec![2, 0, 0, 38, 3, version];
    hello.extend([7; 32]);
    hello.push(0);
    hello.extend(suite);
    hello.push(0);
    record(22, version, &hello)
}

fn alert(version: u8, level: u8, description: u8) -> Vec<u8> {
    record(21, version, &[level, description])
}

/// ECDHE-ECDSA with AES 128: with CBC and SHA-1, as TLS 1.0 had it, and with GCM.
const OLD_SUITE: [u8; 2] = [0xc0, 0x09];
const SUITE: [u8; 2] = [0xc0, 0x2b];

/// Answers the ClientHello with these bytes, then does this.
fn answering(bytes: Vec<u8>, then: fn(&TcpStream)) -> Server {
    Server::raw(move |mut stream| {
        let _ = stream.read(&mut [0; 4096]);
        let _ = stream.write_all(&bytes);
        then(&stream);
    })
}

fn linger(_: &TcpStream) {
    sleep(Duration::from_millis(300));
}

/// Unread bytes would make it a reset.
fn close(mut stream: &TcpStream) {
    let _ = stream.read(&mut [0; 4096]);
}

fn fault(name: &'static str, server: Server, cause: &'static str) -> Fault {
    Fault {
        name,
        server,
        cause,
        met: (1, 0),
    }
}

/// A name, the answer to the ClientHello, what follows it, and the cause.
type Row = (&'static str, fn() -> Vec<u8>, fn(&TcpStream), &'static str);

const BREAKS: [Row; 12] = [
    ("half a record", half, hold, TIMEOUT_IN_TLS),
    ("half a record, then closed", half, |_| {}, CLOSED),
    ("half a record, then reset", half, late_reset, RESET),
    ("ServerHello, then silent", hello, hold, TIMEOUT_IN_TLS),
    ("ServerHello, then closed", hello, |_| {}, CLOSED),
    ("ServerHello, then reset", hello, late_reset, RESET),
    ("a close_notify", || alert(3, 1, 0), linger, CLOSED),
    (
        "HTTP in the clear",
        || answer("200 OK", "", SUCCESS),
        linger,
        NO_TLS,
    ),
    (
        "HTTP 400 in the clear",
        || answer("400 X", "", b""),
        linger,
        NO_TLS,
    ),
    (
        "SSH",
        || b"SSH-2.0-OpenSSH_9.2p1\r\n".to_vec(),
        linger,
        NO_TLS,
    ),
    ("zeros", || vec![0; 64], linger, NO_TLS),
    (
        "a record too long",
        || vec![22, 3, 3, 255, 255],
        linger,
        NO_TLS,
    ),
];

const BROKEN_RULES: [Row; 5] = [
    (
        "ServerHello twice",
        || [hello(), hello()].concat(),
        linger,
        BROKEN,
    ),
    (
        "ServerHello of zeros",
        || record(22, 3, &[2, 0, 0, 2, 0, 0]),
        linger,
        BROKEN,
    ),
    (
        "data before the handshake",
        || record(23, 3, SUCCESS),
        linger,
        BROKEN,
    ),
    (
        "data after ServerHello",
        || [hello(), record(23, 3, SUCCESS)].concat(),
        linger,
        BROKEN,
    ),
    (
        "a suite that was not offered",
        || server_hello(3, OLD_SUITE),
        linger,
        BROKEN,
    ),
];

/// Old servers choose an old version, or say by an alert that they know no newer one.
const OLD_VERSIONS_AND_ALERTS: [Row; 9] = [
    (
        "SSL 3",
        || server_hello(0, OLD_SUITE),
        linger,
        NOTHING_IN_COMMON,
    ),
    (
        "TLS 1.0",
        || server_hello(1, OLD_SUITE),
        linger,
        NOTHING_IN_COMMON,
    ),
    (
        "TLS 1.1",
        || server_hello(2, OLD_SUITE),
        linger,
        NOTHING_IN_COMMON,
    ),
    (
        "an alert of TLS 1.0",
        || alert(1, 2, 70),
        linger,
        NOTHING_IN_COMMON,
    ),
    (
        "an alert of TLS 1.1",
        || alert(2, 2, 70),
        linger,
        NOTHING_IN_COMMON,
    ),
    (
        "an alert of TLS 1.2",
        || alert(3, 2, 70),
        linger,
        NOTHING_IN_COMMON,
    ),
    (
        "handshake failure",
        || alert(3, 2, 40),
        linger,
        "tls: the server sent the alert handshake failure",
    ),
    (
        "unrecognised name",
        || alert(3, 2, 112),
        linger,
        "tls: the server sent the alert unrecognised name",
    ),
    (
        "an unknown alert",
        || alert(3, 2, 200),
        linger,
        "tls: the server sent the alert 200",
    ),
];

fn hello() -> Vec<u8> {
    server_hello(3, SUITE)
}

fn half() -> Vec<u8> {
    hello()[..9].to_vec()
}

fn late_reset(stream: &TcpStream) {
    linger(stream);
    close_by_reset(stream);
}

#[sandbox_test]
fn servers_that_break_the_handshake() {
    let rows = BREAKS
        .into_iter()
        .chain(BROKEN_RULES)
        .chain(OLD_VERSIONS_AND_ALERTS);
    let scripted =
        rows.map(|(name, bytes, then, cause)| fault(name, answering(bytes(), then), cause));
    let others = [
        fault(
            "reset after accept",
            Server::raw(|stream| reset(&stream)),
            RESET,
        ),
        fault(
            "closed after accept",
            Server::raw(|stream| close(&stream)),
            CLOSED,
        ),
        fault(
            "silent after accept",
            Server::raw(|stream| hold(&stream)),
            TIMEOUT_IN_TLS,
        ),
        fault("a byte a second", Server::raw(dripping), TIMEOUT_IN_TLS),
        fault("our own ClientHello", Server::raw(echo), BROKEN),
    ];
    all_unavailable(scripted.chain(others).collect());
}

fn dripping(mut stream: TcpStream) {
    for byte in server_hello(3, SUITE).chunks(1).take(6) {
        let _ = stream.write_all(byte);
        sleep(Duration::from_millis(700));
    }
}

fn echo(mut stream: TcpStream) {
    let mut hello = [0; 4096];
    let length = stream.read(&mut hello).unwrap_or(0);
    let _ = stream.write_all(&hello[..length]);
    linger(&stream);
}

const UNTRUSTED: [(Certificate, &str); 15] = [
    (Certificate::Expired, "tls: certificate expired"),
    (Certificate::NotYetValid, "tls: certificate not valid yet"),
    (
        Certificate::OtherName,
        "tls: certificate is for another name",
    ),
    (
        Certificate::SelfSigned,
        "tls: certificate of an unknown issuer",
    ),
    (
        Certificate::UnknownAuthority,
        "tls: certificate of an unknown issuer",
    ),
    (
        Certificate::ForClients,
        "tls: certificate is not for servers",
    ),
    (
        Certificate::WithoutIntermediate,
        "tls: certificate of an unknown issuer",
    ),
    (Certificate::ExpiredIntermediate, "tls: certificate expired"),
    (
        Certificate::IssuedByServer,
        "tls: certificate issuer is not a CA",
    ),
    (
        Certificate::ForbiddenName,
        "tls: certificate violates a name constraint of its CA",
    ),
    (Certificate::TooDeep, "tls: certificate CA path too long"),
    (
        Certificate::OfAuthority,
        "tls: certificate is a CA's, not a server's",
    ),
    (
        Certificate::BrokenSignature,
        "tls: certificate with a bad signature",
    ),
    (
        Certificate::WeakSignature,
        "tls: certificate signed with a weak or unknown algorithm",
    ),
    (
        Certificate::UnknownExtension,
        "tls: certificate with an unsupported critical extension",
    ),
];

#[sandbox_test]
fn certificates_that_must_not_be_trusted() {
    // A row in each version: in TLS 1.2 and 1.3 certificates come by different messages.
    let both: [&'static SupportedProtocolVersion; 2] = [&TLS12, &TLS13];
    let faults = UNTRUSTED.into_iter().flat_map(|(certificate, cause)| {
        both.map(|version| Fault {
            name: "a certificate",
            server: Server::answering_as(certificate, &[version], answer("200 OK", "", SUCCESS)),
            cause,
            met: (1, 0),
        })
    });
    all_unavailable(faults.collect());
}

/// Nobody looks for revocations or at a key's usage: rustls has no lists to look into, and fetches none.
#[sandbox_test]
fn certificates_that_are_trusted() {
    for (certificate, version) in [
        (Certificate::Valid, &TLS12),
        (Certificate::Valid, &TLS13),
        (Certificate::WithIntermediate, &TLS12),
        (Certificate::WithIntermediate, &TLS13),
        (Certificate::Revocable, &TLS13),
        (Certificate::EndsSoon, &TLS13),
        (Certificate::ForEncryption, &TLS13),
    ] {
        let server = Server::answering_as(certificate, &[version], answer("200 OK", "", SUCCESS));
        expect(&run(&server), VERIFIED);
        assert_eq!(
            (server.connections(), server.requests()),
            (1, 1),
            "{certificate:?}"
        );
    }
}

/// What is in `ca_file` is an anchor (RFC 5280 section 6.1.1): its name and key count, neither its dates nor whether it
/// calls itself an authority. A server's certificate of another issuer is no anchor for itself.
#[sandbox_test]
fn every_certificate_in_ca_file_is_an_anchor() {
    for (anchor, cause) in [
        (Anchor::Expired, None),
        (Anchor::OfServer, None),
        (Anchor::ShownAndSelfSigned, None),
        (Anchor::Shown, Some("tls: certificate of an unknown issuer")),
    ] {
        let (pem, chain, key) = anchored(anchor);
        let server = Server::answering_with(chain, &key, answer("200 OK", "", SUCCESS));
        let case = case(&url(&server));
        // In the place of the authority that the tests trust.
        std::fs::write(case.dir().join("faults-ca.pem"), pem).unwrap();
        let report = case.run();
        match cause {
            None => drop(expect(&report, VERIFIED)),
            Some(cause) => unavailable("an anchor", &report, cause),
        }
        let requests = usize::from(cause.is_none());
        let met = (server.connections(), server.requests());
        assert_eq!(met, (1, requests), "{anchor:?}");
    }
}
