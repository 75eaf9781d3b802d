//! Servers that break the TLS handshake, or with which none may succeed. No request leaves, whatever they do.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread::sleep;
use std::time::Duration;

use rustls::SupportedProtocolVersion;
use rustls::version::{TLS12, TLS13};

use crate::expect::*;
use crate::server::{Certificate, Server, answer, close_by_reset, hold, reset};
use crate::support::no_stage;
use crate::table::*;

const NO_TLS: &str = "tls: the server does not speak TLS";
const BROKEN: &str = "tls: the server breaks the rules of TLS";
const NOTHING_IN_COMMON: &str = "tls: no TLS version or cipher suite in common";
const CLOSED: &str = "tls: the server closed the connection";
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

/// Answers the ClientHello with these bytes, then does as told.
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

#[test]
fn servers_that_break_the_handshake() {
    if no_stage() {
        return;
    }
    let half = record(22, 3, &[2, 0, 0, 38, 3, 3])[..9].to_vec();
    let hello = || server_hello(3, SUITE);
    all_unavailable(vec![
        fault(
            "reset after accept",
            Server::raw(|stream| reset(&stream)),
            "tls: connection reset",
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
        fault(
            "half a record",
            answering(half.clone(), hold),
            TIMEOUT_IN_TLS,
        ),
        fault(
            "half a record, then closed",
            answering(half.clone(), |_| {}),
            CLOSED,
        ),
        fault(
            "half a record, then reset",
            answering(half, |stream| {
                linger(stream);
                close_by_reset(stream);
            }),
            "tls: connection reset",
        ),
        fault(
            "ServerHello, then silent",
            answering(hello(), hold),
            TIMEOUT_IN_TLS,
        ),
        fault(
            "ServerHello, then closed",
            answering(hello(), |_| {}),
            CLOSED,
        ),
        fault(
            "ServerHello, then reset",
            answering(hello(), |stream| {
                linger(stream);
                close_by_reset(stream);
            }),
            "tls: connection reset",
        ),
        fault("a byte a second", Server::raw(dripping), TIMEOUT_IN_TLS),
        fault(
            "HTTP in the clear",
            answering(answer("200 OK", "", SUCCESS), linger),
            NO_TLS,
        ),
        fault(
            "HTTP 400 in the clear",
            answering(answer("400 Bad Request", "", b""), linger),
            NO_TLS,
        ),
        fault(
            "SSH",
            answering(b"SSH-2.0-OpenSSH_9.2p1\r\n".to_vec(), linger),
            NO_TLS,
        ),
        fault("zeros", answering(vec![0; 64], linger), NO_TLS),
        fault(
            "a record too long",
            answering(vec![22, 3, 3, 0xff, 0xff], linger),
            NO_TLS,
        ),
    ]);
}

#[test]
fn servers_that_break_the_rules() {
    if no_stage() {
        return;
    }
    let hello = || server_hello(3, SUITE);
    let then = |first: Vec<u8>, second: Vec<u8>| [first, second].concat();
    all_unavailable(vec![
        fault("our own ClientHello", Server::raw(echo), BROKEN),
        fault(
            "ServerHello twice",
            answering(then(hello(), hello()), linger),
            BROKEN,
        ),
        fault(
            "ServerHello of zeros",
            answering(record(22, 3, &[2, 0, 0, 2, 0, 0]), linger),
            BROKEN,
        ),
        fault(
            "data before the handshake",
            answering(record(23, 3, SUCCESS), linger),
            BROKEN,
        ),
        fault(
            "data after ServerHello",
            answering(then(hello(), record(23, 3, SUCCESS)), linger),
            BROKEN,
        ),
    ]);
}

/// Old servers choose an old version, or say by an alert that they know no newer one.
#[test]
fn servers_of_old_versions_and_alerts() {
    if no_stage() {
        return;
    }
    all_unavailable(vec![
        fault(
            "TLS 1.0",
            answering(server_hello(1, OLD_SUITE), linger),
            NOTHING_IN_COMMON,
        ),
        fault(
            "TLS 1.1",
            answering(server_hello(2, OLD_SUITE), linger),
            NOTHING_IN_COMMON,
        ),
        fault(
            "SSL 3",
            answering(server_hello(0, OLD_SUITE), linger),
            NOTHING_IN_COMMON,
        ),
        fault(
            "a suite that was not offered",
            answering(server_hello(3, OLD_SUITE), linger),
            BROKEN,
        ),
        fault(
            "an alert of TLS 1.0",
            answering(alert(1, 2, 70), linger),
            NOTHING_IN_COMMON,
        ),
        fault(
            "an alert of TLS 1.1",
            answering(alert(2, 2, 70), linger),
            NOTHING_IN_COMMON,
        ),
        fault(
            "an alert of TLS 1.2",
            answering(alert(3, 2, 70), linger),
            NOTHING_IN_COMMON,
        ),
        fault(
            "handshake failure",
            answering(alert(3, 2, 40), linger),
            "tls: the server sent the alert handshake failure",
        ),
        fault(
            "unrecognised name",
            answering(alert(3, 2, 112), linger),
            "tls: the server sent the alert unrecognised name",
        ),
        fault(
            "an unknown alert",
            answering(alert(3, 2, 200), linger),
            "tls: the server sent the alert 200",
        ),
        fault("a goodbye", answering(alert(3, 1, 0), linger), CLOSED),
    ]);
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

#[test]
fn certificates_that_must_not_be_believed() {
    if no_stage() {
        return;
    }
    let forged = "tls: certificate signed with a weak or unknown algorithm";
    let rows = [
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
            "tls: certificate issued by one that is no authority",
        ),
        (
            Certificate::ForbiddenName,
            "tls: certificate for a name its authority must not issue",
        ),
        (
            Certificate::TooDeep,
            "tls: certificate of an authority too far down",
        ),
        (
            Certificate::OfAuthority,
            "tls: certificate is an authority's, not a server's",
        ),
        (
            Certificate::BrokenSignature,
            "tls: certificate with a bad signature",
        ),
        (Certificate::WeakSignature, forged),
        (
            Certificate::UnknownExtension,
            "tls: certificate with a critical extension nobody here knows",
        ),
    ];
    // A row in each version: in TLS 1.2 and 1.3 certificates come by different messages.
    let both: [&'static SupportedProtocolVersion; 2] = [&TLS12, &TLS13];
    let faults = rows.into_iter().flat_map(|(certificate, cause)| {
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
#[test]
fn certificates_that_are_believed() {
    if no_stage() {
        return;
    }
    for (certificate, version) in [
        (Certificate::Valid, &TLS12),
        (Certificate::Valid, &TLS13),
        (Certificate::WithIntermediate, &TLS12),
        (Certificate::WithIntermediate, &TLS13),
        (Certificate::Revocable, &TLS13),
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
