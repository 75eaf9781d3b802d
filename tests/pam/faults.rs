//! Everything that can be wrong with a server or the way to it. Each ends in time, sends a token at most once, and
//! lets nobody in.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread::sleep;
use std::time::Duration;

use crate::expect::*;
use crate::server::{Certificate, Server, Tls, answer, reset, trusted_authority};
use crate::support::{Case, Report, module_path, no_stage, users};

const SUCCESS: &[u8] = br#"{"status":"success","message":"ok"}"#;
/// `api.timeout_seconds` here.
const TIMEOUT: Duration = Duration::from_secs(2);

fn case(url: &str) -> Case {
    let case = Case::new(module_path()).users(&users(&[("alice", "+916283974746")]));
    let ca = trusted_authority(case.dir().path());
    let text = format!(
        "users_file = \"{}\"\n[api]\nurl = \"{url}\"\nkey = \"test-api-key\"\nca_file = \"{}\"\ntimeout_seconds = {}\n",
        case.users_file().display(),
        ca.display(),
        TIMEOUT.as_secs(),
    );
    let config = format!("config={}", case.config().display());
    case.settings_text(&text)
        .argument(&config)
        .answer("accept-1")
        .answer("accept-2")
}

fn run(server: &Server) -> Report {
    case(&format!("https://127.0.0.1:{}/base", server.port)).run()
}

/// Unavailable for this cause, within the time-out and a second, and never a second request.
#[track_caller]
fn unavailable(name: &str, report: &Report, cause: &str) {
    let line = expect(report, UNAVAILABLE);
    assert_eq!(line.get("cause"), cause, "{name}");
    assert_eq!(report.prompts().len(), 1, "{name}");
    let elapsed = Duration::from_millis(report.authenticate().elapsed_ms);
    assert!(
        elapsed <= TIMEOUT + Duration::from_secs(1),
        "{name} took {elapsed:?}"
    );
}

#[test]
fn a_right_server_is_believed() {
    if no_stage() {
        return;
    }
    let server = Server::answering(answer("200 OK", "", SUCCESS));
    expect(&run(&server), VERIFIED);
    assert_eq!((server.connections(), server.requests()), (1, 1));
}

#[test]
fn connections_that_fail() {
    if no_stage() {
        return;
    }
    let refused = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    unavailable(
        "refused",
        &case(&format!("https://127.0.0.1:{refused}")).run(),
        "connect: connection refused",
    );

    // A full backlog: the kernel drops every further SYN.
    let full = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = full.local_addr().unwrap().port();
    // SAFETY: listen(2) on an open descriptor only changes its backlog.
    unsafe { libc::listen(std::os::fd::AsRawFd::as_raw_fd(&full), 0) };
    let address = full.local_addr().unwrap();
    let _waiting: Vec<_> = (0..4)
        .map(|_| std::net::TcpStream::connect_timeout(&address, Duration::from_millis(200)))
        .collect();
    unavailable(
        "black hole",
        &case(&format!("https://127.0.0.1:{port}")).run(),
        "timeout after 2 s in connect",
    );

    let mut cut_off = case("https://192.0.2.1");
    cut_off.script.no_network = true;
    unavailable("no route", &cut_off.run(), "connect: network unreachable");
}

#[test]
fn servers_that_break_the_handshake() {
    if no_stage() {
        return;
    }
    let faults: [(&str, Server, &str); 6] = [
        (
            "reset after accept",
            Server::raw(|stream| reset(&stream)),
            "tls: connection reset",
        ),
        (
            "closed after accept",
            Server::raw(close),
            "tls: the server closed the connection",
        ),
        (
            "silent after accept",
            Server::raw(|stream| hold(&stream)),
            "timeout after 2 s in tls",
        ),
        (
            "half a record",
            Server::raw(half_a_record),
            "timeout after 2 s in tls",
        ),
        (
            "HTTP in the clear",
            Server::raw(plain_http),
            "tls: the server does not speak TLS",
        ),
        (
            "an alert",
            Server::raw(alert),
            "tls: the server sent the alert HandshakeFailure",
        ),
    ];
    for (name, server, cause) in faults {
        unavailable(name, &run(&server), cause);
        assert_eq!((server.connections(), server.requests()), (1, 0), "{name}");
    }
}

fn hold(mut stream: &std::net::TcpStream) {
    let _ = stream.read(&mut [0; 1]);
    sleep(Duration::from_secs(4));
}

/// Unread bytes would make it a reset.
fn close(mut stream: std::net::TcpStream) {
    let _ = stream.read(&mut [0; 4096]);
}

fn half_a_record(mut stream: std::net::TcpStream) {
    let _ = stream.write_all(&[22, 3, 3, 0, 100, 2, 0]);
    hold(&stream);
}

fn plain_http(mut stream: std::net::TcpStream) {
    let _ = stream.read(&mut [0; 1024]);
    let _ = stream.write_all(&answer("200 OK", "", SUCCESS));
    sleep(Duration::from_millis(200));
}

fn alert(mut stream: std::net::TcpStream) {
    let _ = stream.read(&mut [0; 1024]);
    let _ = stream.write_all(&[21, 3, 3, 0, 2, 2, 40]);
    sleep(Duration::from_millis(200));
}

#[test]
fn certificates_that_must_not_be_believed() {
    if no_stage() {
        return;
    }
    for (certificate, cause) in [
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
    ] {
        let server = Server::tls(certificate, |tls| send(tls, &answer("200 OK", "", SUCCESS)));
        unavailable(&format!("{certificate:?}"), &run(&server), cause);
        assert_eq!(
            (server.connections(), server.requests()),
            (1, 0),
            "{certificate:?}"
        );
    }
}

fn send(tls: &mut Tls, bytes: &[u8]) {
    let _ = tls.write_all(bytes).and_then(|()| tls.flush());
}

#[test]
fn answers_that_are_none() {
    if no_stage() {
        return;
    }
    let no_object = "answer: HTTP 200 without a JSON object that has one status";
    let gzip = "answer: HTTP 200 in an encoding that was not asked for";
    let faults: Vec<(&str, Vec<u8>, &str)> = vec![
        (
            "no status line",
            SUCCESS.to_vec(),
            "answer: not an HTTP answer",
        ),
        (
            "nothing",
            Vec::new(),
            "answer: the server closed the connection",
        ),
        (
            "half a head",
            b"HTTP/1.1 200 OK\r\ncontent-le".to_vec(),
            "answer: the server closed the connection",
        ),
        (
            "shorter than announced",
            b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n{\"status\":\"success\"}".to_vec(),
            "answer: the server closed the connection",
        ),
        (
            "cut by its length",
            b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n{\"status\":\"success\"}".to_vec(),
            no_object,
        ),
        (
            "a broken chunk",
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n".to_vec(),
            "answer: not an HTTP answer",
        ),
        (
            "gzip announced",
            answer("200 OK", "content-encoding: gzip\r\n", SUCCESS),
            gzip,
        ),
        (
            "identity and gzip",
            answer(
                "200 OK",
                "content-encoding: identity\r\ncontent-encoding: gzip\r\n",
                SUCCESS,
            ),
            gzip,
        ),
        (
            "64 KiB and a byte",
            answer("200 OK", "", &padded(65_537)),
            "answer: HTTP 200 longer than 64 KiB",
        ),
        (
            "a redirect with success",
            answer("302 Found", "location: https://127.0.0.1:1/\r\n", SUCCESS),
            "answer: HTTP 302, a redirect, is not followed",
        ),
        (
            "304",
            b"HTTP/1.1 304 Not Modified\r\n\r\n".to_vec(),
            "answer: HTTP 304, a redirect, is not followed",
        ),
        (
            "an array",
            answer("200 OK", "", b"[\"success\"]"),
            no_object,
        ),
        (
            "twice",
            answer("200 OK", "", br#"{"status":"success","status":"success"}"#),
            no_object,
        ),
        (
            "two documents",
            answer("200 OK", "", br#"{"status":"success"}{"status":"success"}"#),
            no_object,
        ),
        (
            "byte-order mark",
            answer("200 OK", "", "\u{feff}{\"status\":\"success\"}".as_bytes()),
            no_object,
        ),
        (
            "NUL after it",
            answer("200 OK", "", b"{\"status\":\"success\"}\0"),
            no_object,
        ),
        (
            "not UTF-8",
            answer(
                "200 OK",
                "",
                b"{\"status\":\"success\",\"message\":\"\xff\"}",
            ),
            no_object,
        ),
    ];
    for (name, bytes, cause) in faults {
        let server = Server::answering(bytes);
        unavailable(name, &run(&server), cause);
        assert_eq!((server.connections(), server.requests()), (1, 1), "{name}");
    }
}

/// A success of exactly this many bytes.
fn padded(size: usize) -> Vec<u8> {
    let mut body = SUCCESS.to_vec();
    body.resize(size, b' ');
    body
}

#[test]
fn answers_that_are_one() {
    if no_stage() {
        return;
    }
    for (name, bytes) in [
        ("64 KiB", answer("200 OK", "", &padded(65_536))),
        ("201", answer("201 Created", "", SUCCESS)),
        ("HTTP/1.0", [b"HTTP/1.0 200 OK\r\n\r\n", SUCCESS].concat()),
        ("until closed", [b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n", SUCCESS].concat()),
        ("chunked", b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\n{\"sta\r\nf\r\ntus\":\"success\"}\r\n0\r\n\r\n".to_vec()),
        ("identity", answer("200 OK", "content-encoding: Identity\r\n", SUCCESS)),
        ("after 100", [b"HTTP/1.1 100 Continue\r\n\r\n".as_slice(), &answer("200 OK", "", SUCCESS)].concat()),
        ("escaped", answer("200 OK", "", br#"{"st\u0061tus":"succ\u0065ss"}"#)),
    ] {
        let server = Server::answering(bytes);
        let line = expect(&run(&server), VERIFIED);
        assert_eq!((line.get("attempts"), server.requests()), ("1".into(), 1), "{name}");
    }
}

#[test]
fn servers_that_take_their_time() {
    if no_stage() {
        return;
    }
    let drip_head = |tls: &mut Tls| drip(tls, b"HTTP/1.1 200 OK\r\nx-a: b\r\n");
    let drip_body = |tls: &mut Tls| {
        send(tls, b"HTTP/1.1 200 OK\r\ncontent-length: 35\r\n\r\n");
        drip(tls, SUCCESS);
    };
    let silent = |_: &mut Tls| sleep(Duration::from_secs(4));
    let hundred = |tls: &mut Tls| {
        send(tls, b"HTTP/1.1 100 Continue\r\n\r\n");
        sleep(Duration::from_secs(4));
    };
    let faults: [(&str, Server); 4] = [
        ("silent", Server::tls(Certificate::Valid, silent)),
        ("100, then silent", Server::tls(Certificate::Valid, hundred)),
        (
            "a byte a second of the head",
            Server::tls(Certificate::Valid, drip_head),
        ),
        (
            "a byte a second of the body",
            Server::tls(Certificate::Valid, drip_body),
        ),
    ];
    for (name, server) in faults {
        unavailable(name, &run(&server), "timeout after 2 s in answer");
        assert_eq!((server.connections(), server.requests()), (1, 1), "{name}");
    }
}

fn drip(tls: &mut Tls, bytes: &[u8]) {
    for byte in bytes.iter().take(6) {
        send(tls, &[*byte]);
        sleep(Duration::from_millis(700));
    }
}

#[test]
fn names_that_have_no_address() {
    if no_stage() {
        return;
    }
    // Reserved names (RFC 6761) that no hosts file has, and no name server to ask.
    let mut nobody = case("https://api.ivalt.invalid");
    nobody.script.no_network = true;
    let line = expect(&nobody.run(), UNAVAILABLE);
    assert!(line.get("cause").starts_with("dns: "), "{line:?}");
}

#[test]
fn the_hosts_file_is_asked() {
    if no_stage() {
        return;
    }
    let server = Server::answering(answer("200 OK", "", SUCCESS));
    let case = case(&format!("https://valid.example:{}", server.port));
    let hosts = case
        .dir()
        .write("hosts", "127.0.0.1 valid.example\n", 0o644);
    expect(&case.bind(hosts, "/etc/hosts").run(), VERIFIED);
}
