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
    case_within(url, TIMEOUT)
}

/// alice, two accepted tokens, and a server at `url` that has this long for its answer.
pub fn case_within(url: &str, timeout: Duration) -> Case {
    let case = Case::new(module_path()).users(&users(&[("alice", "+916283974746")]));
    let ca = trusted_authority(case.dir().path());
    let text = format!(
        "users_file = \"{}\"\n[api]\nurl = \"{url}\"\nkey = \"test-api-key\"\nca_file = \"{}\"\ntimeout_seconds = {}\n",
        case.users_file().display(),
        ca.display(),
        timeout.as_secs(),
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

    // An address of IPv6 is no name to be looked up, whether this machine has IPv6 or not.
    let line = expect(
        &case(&format!("https://[::1]:{refused}")).run(),
        UNAVAILABLE,
    );
    assert!(line.get("cause").starts_with("connect: "), "{line:?}");

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

pub fn hold(mut stream: &std::net::TcpStream) {
    let _ = stream.read(&mut [0; 1]);
    sleep(Duration::from_secs(4));
}

/// Unread bytes would make it a reset.
fn close(mut stream: std::net::TcpStream) {
    let _ = stream.read(&mut [0; 4096]);
}

pub fn half_a_record(mut stream: std::net::TcpStream) {
    let _ = stream.write_all(&[22, 3, 3, 0, 100, 2, 0]);
    hold(&stream);
}

pub fn plain_http(mut stream: std::net::TcpStream) {
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

/// A refusal whose body breaks off, stalls or is in a foreign coding stays a refusal, whatever the policy says.
#[test]
fn a_broken_refusal_is_no_outage() {
    if no_stage() {
        return;
    }
    let chunk = b"HTTP/1.1 401 Unauthorized\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n".to_vec();
    let short = b"HTTP/1.1 403 Forbidden\r\ncontent-length: 99\r\n\r\n{".to_vec();
    let stall = |tls: &mut Tls| {
        send(
            tls,
            b"HTTP/1.1 403 Forbidden\r\ncontent-length: 99\r\n\r\n{",
        );
        sleep(Duration::from_secs(4));
    };
    for (name, server, http) in [
        ("a broken chunk", Server::answering(chunk), "401"),
        ("cut short", Server::answering(short), "403"),
        ("stalled", Server::tls(Certificate::Valid, stall), "403"),
        (
            "too long",
            Server::answering(answer("404 Not Found", "", &[b' '; 65_537])),
            "404",
        ),
        (
            "gzip",
            Server::answering(answer("422 X", "content-encoding: gzip\r\n", b"x")),
            "422",
        ),
    ] {
        let case = case(&format!("https://127.0.0.1:{}", server.port));
        let text = std::fs::read_to_string(case.config()).unwrap();
        let policy = "[token]\nattempts = 1\n[policy]\nunavailable = \"ignore\"\n";
        let line = expect(
            &case.settings_text(&format!("{text}{policy}")).run(),
            REJECTED,
        );
        assert_eq!(line.get("http"), http, "{name}");
    }
}

#[test]
fn an_outage_that_breaks_off_stays_one() {
    if no_stage() {
        return;
    }
    for status in [
        "408 Request Timeout",
        "429 Too Many Requests",
        "503 Service Unavailable",
    ] {
        let head = format!("HTTP/1.1 {status}\r\ncontent-length: 99\r\n\r\n{{");
        let line = expect(&run(&Server::answering(head)), UNAVAILABLE);
        assert_eq!(line.get("http"), status[..3], "{line:?}");
    }
}

#[test]
fn foreign_transfer_codings_are_not_accepted() {
    if no_stage() {
        return;
    }
    for coding in ["gzip, chunked", "gzip", "xchunked", "chunked, chunked"] {
        let head = format!("HTTP/1.1 200 OK\r\ntransfer-encoding: {coding}\r\n\r\n");
        let body = b"14\r\n{\"status\":\"success\"}\r\n0\r\n\r\n";
        let server = Server::answering([head.as_bytes(), body].concat());
        let report = run(&server);
        let line = expect(&report, UNAVAILABLE);
        assert!(
            line.get("cause").starts_with("answer: "),
            "{coding}: {line:?}"
        );
        let server = Server::answering([head.as_bytes(), SUCCESS].concat());
        expect(&run(&server), UNAVAILABLE);
    }
}

#[test]
fn a_head_that_never_ends_is_too_long() {
    if no_stage() {
        return;
    }
    let head = format!("HTTP/1.1 200 OK\r\nx-long: {}\r\n", "x".repeat(9_000));
    let line = expect(&run(&Server::answering(head)), UNAVAILABLE);
    assert!(
        line.get("cause")
            .starts_with("answer: response header is too big"),
        "{line:?}"
    );
}

/// A CONNECT proxy (RFC 9110 section 9.3.6) that answers `reply` and then, if it is a 200, passes bytes on.
pub fn proxy(reply: &'static str, pause: Duration) -> Server {
    Server::raw(move |mut client| {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            if client.read(&mut byte).unwrap_or(0) == 0 {
                return;
            }
            head.push(byte[0]);
        }
        let head = String::from_utf8(head).unwrap();
        for byte in reply.bytes() {
            let _ = client.write_all(&[byte]);
            sleep(pause);
        }
        let target = head.split(' ').nth(1).unwrap().to_owned();
        if reply.contains(" 200 ") && head.starts_with("CONNECT ") {
            pass_on(client, std::net::TcpStream::connect(target).unwrap());
        }
    })
}

fn pass_on(client: std::net::TcpStream, server: std::net::TcpStream) {
    let (mut from, mut to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
    std::thread::spawn(move || std::io::copy(&mut from, &mut to));
    let (mut from, mut to) = (server, client);
    let _ = std::io::copy(&mut from, &mut to);
}

fn through(proxy: &Server, target: &Server) -> Report {
    let case = case(&format!("https://127.0.0.1:{}", target.port));
    let text = std::fs::read_to_string(case.config()).unwrap();
    case.settings_text(&format!(
        "{text}proxy = \"http://127.0.0.1:{}\"\n",
        proxy.port
    ))
    .run()
}

#[test]
fn a_proxy_of_the_settings_is_used() {
    if no_stage() {
        return;
    }
    let target = Server::answering(answer("200 OK", "", SUCCESS));
    let way = proxy("HTTP/1.1 200 OK\r\n\r\n", Duration::ZERO);
    expect(&through(&way, &target), VERIFIED);
    assert_eq!((way.connections(), target.requests()), (1, 1));

    // The certificate is the target's all the same.
    let evil = Server::tls(Certificate::UnknownAuthority, |tls| {
        send(tls, &answer("200 OK", "", SUCCESS))
    });
    unavailable(
        "evil target",
        &through(&way, &evil),
        "tls: certificate of an unknown issuer",
    );
    assert_eq!(evil.requests(), 0);
}

#[test]
fn proxies_that_fail() {
    if no_stage() {
        return;
    }
    let target = Server::answering(answer("200 OK", "", SUCCESS));
    let denied = proxy(
        "HTTP/1.1 407 Proxy Authentication Required\r\n\r\n",
        Duration::ZERO,
    );
    unavailable(
        "407",
        &through(&denied, &target),
        "connect: proxy server responded 407/407",
    );
    let silent = Server::raw(|stream| hold(&stream));
    unavailable(
        "silent",
        &through(&silent, &target),
        "timeout after 2 s in connect",
    );
    let dripping = proxy("HTTP/1.1 200 OK\r\n\r\n", Duration::from_millis(700));
    unavailable(
        "dripping",
        &through(&dripping, &target),
        "timeout after 2 s in connect",
    );
    assert_eq!(target.connections(), 0);
}

#[test]
fn an_endless_answer_is_not_read_to_its_end() {
    if no_stage() {
        return;
    }
    let server = Server::tls(Certificate::Valid, |tls| {
        send(
            tls,
            b"HTTP/1.1 200 OK\r\n\r\n{\"status\":\"success\",\"message\":\"",
        );
        while tls.write_all(&[b'x'; 16_384]).is_ok() {}
    });
    let report = run(&server);
    unavailable("endless", &report, "answer: HTTP 200 longer than 64 KiB");
    assert!(report.authenticate().elapsed_ms < 1_500);
}
