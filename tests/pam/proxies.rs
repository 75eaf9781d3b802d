//! A proxy of the settings: what it may do wrong, and that it need not be trusted.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread::{self, sleep};
use std::time::Duration;

use crate::expect::{UNAVAILABLE, VERIFIED, expect};
use crate::table::*;
use support::server::{Certificate, NOBODY, Server, answer, close_by_reset, hold, send};
use support::{Report, sandbox_test};

/// A CONNECT proxy (RFC 9110 section 9.3.6) that answers `reply` and then, if it is a 200, passes bytes on.
pub fn proxy(reply: &'static str, pause: Duration) -> Server {
    Server::raw(move |mut client| {
        let head = read_head(&client);
        for byte in reply.bytes() {
            let _ = client.write_all(&[byte]);
            sleep(pause);
        }
        let target = head.split(' ').nth(1).unwrap().to_owned();
        if reply.contains(" 200 ") && head.starts_with("CONNECT ") {
            pass_on(client, TcpStream::connect(target).unwrap());
        }
    })
}

/// All of the client's head: what is unread at the end makes a close a reset.
fn read_head(mut client: &TcpStream) -> String {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && client.read(&mut byte).is_ok_and(|read| read == 1) {
        head.push(byte[0]);
    }
    String::from_utf8(head).unwrap()
}

fn pass_on(client: TcpStream, server: TcpStream) {
    let (mut from, mut to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
    thread::spawn(move || std::io::copy(&mut from, &mut to));
    let (mut from, mut to) = (server, client);
    let _ = std::io::copy(&mut from, &mut to);
}

fn through(proxy: &Server, target: &Server) -> Report {
    let proxy = format!("proxy = \"http://127.0.0.1:{}\"\n", proxy.port);
    with_lines(case(&url(target)), &proxy).run()
}

#[sandbox_test]
fn a_proxy_of_the_settings_is_used() {
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

/// A proxy that reads the CONNECT and answers it with these bytes, then does this.
fn answering(reply: &'static [u8], then: fn(&TcpStream)) -> Server {
    Server::raw(move |mut client| {
        read_head(&client);
        let _ = client.write_all(reply);
        then(&client);
    })
}

fn linger(_: &TcpStream) {
    sleep(Duration::from_millis(300));
}

/// The client's first words to the target, then the end by RST.
fn reset_in_the_tunnel(mut client: &TcpStream) {
    let _ = client.read(&mut [0; 1024]);
    close_by_reset(client);
}

/// A name, the answer to CONNECT, what follows it, and the cause.
type Row = (&'static str, &'static [u8], fn(&TcpStream), &'static str);

const NO_HTTP: &str = "connect: the proxy does not speak HTTP";
const INCOMPLETE: &str = "connect: incomplete answer from the proxy";
const TIMEOUT_IN_CONNECT: &str = "timeout after 2 s in connect";
const OK: &[u8] = b"HTTP/1.1 200 OK\r\n\r\n";

const REFUSALS: [Row; 6] = [
    (
        "403",
        b"HTTP/1.1 403 X\r\ncontent-length: 2\r\n\r\nno",
        linger,
        "connect: the proxy answered HTTP 403",
    ),
    (
        "407",
        b"HTTP/1.1 407 X\r\nproxy-authenticate: Basic\r\n\r\n",
        linger,
        "connect: the proxy answered HTTP 407",
    ),
    (
        "502",
        b"HTTP/1.1 502 Bad Gateway\r\n\r\n",
        linger,
        "connect: the proxy answered HTTP 502",
    ),
    (
        "302",
        b"HTTP/1.1 302 X\r\nlocation: http://127.0.0.1/\r\n\r\n",
        linger,
        "connect: the proxy answered HTTP 302",
    ),
    (
        "204",
        b"HTTP/1.1 204 X\r\n\r\n",
        linger,
        "connect: the proxy answered HTTP 204",
    ),
    (
        "a success of its own",
        b"HTTP/1.1 201 X\r\n\r\n{\"status\":\"success\"}",
        linger,
        "connect: the proxy answered HTTP 201",
    ),
];

const FAULTS: [Row; 13] = [
    ("garbage", b"\x05\xff\r\n\r\n", linger, NO_HTTP),
    ("SSH", b"SSH-2.0-OpenSSH_9.2p1\r\n", linger, NO_HTTP),
    ("status 99", b"HTTP/1.1 099 X\r\n\r\n", linger, NO_HTTP),
    (
        "an endless head",
        b"HTTP/1.1 200 OK\r\nx: ",
        flood,
        INCOMPLETE,
    ),
    ("closed after CONNECT", b"", |_| {}, INCOMPLETE),
    ("half a head", b"HTTP/1.1 200 OK\r\n", |_| {}, INCOMPLETE),
    ("reset", b"", close_by_reset, "connect: connection reset"),
    ("silent", b"", hold, TIMEOUT_IN_CONNECT),
    (
        "half a head, then silent",
        b"HTTP/1.1 200 OK\r\n",
        hold,
        TIMEOUT_IN_CONNECT,
    ),
    (
        "200, then reset",
        OK,
        reset_in_the_tunnel,
        "tls: connection reset",
    ),
    (
        "200, then closed",
        OK,
        close_in_the_tunnel,
        "tls: the server closed the connection",
    ),
    ("200, then silent", OK, hold, "timeout after 2 s in tls"),
    (
        "200, then HTTP",
        b"HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 200 OK\r\n\r\n{}",
        linger,
        "tls: the server does not speak TLS",
    ),
];

fn flood(mut client: &TcpStream) {
    while client.write_all(&[b'x'; 4_096]).is_ok() {}
}

fn close_in_the_tunnel(mut client: &TcpStream) {
    let _ = client.read(&mut [0; 4_096]);
}

#[sandbox_test]
fn proxies_that_fail() {
    let target = Server::answering(answer("200 OK", "", SUCCESS));
    let scripted = |(name, reply, then, cause): Row| (name, answering(reply, then), cause);
    let slow = proxy("HTTP/1.1 200 OK\r\n\r\n", Duration::from_millis(700));
    let mut rows: Vec<_> = REFUSALS.into_iter().chain(FAULTS).map(scripted).collect();
    rows.push(("dripping", slow, TIMEOUT_IN_CONNECT));
    at_once(rows, |(name, way, cause)| {
        unavailable(name, &through(&way, &target), cause);
        assert_eq!(way.connections(), 1, "{name}");
    });
    assert_eq!(target.connections(), 0);
}

#[sandbox_test]
fn proxies_that_are_not_there() {
    let target = Server::answering(answer("200 OK", "", SUCCESS));
    let by = |proxy: &str| with_lines(case(&url(&target)), &format!("proxy = \"{proxy}\"\n"));
    unavailable(
        "refused",
        &by(&format!("http://{NOBODY}")).run(),
        "connect: connection refused",
    );
    let mut nameless = by("http://proxy.ivalt.invalid:3128");
    nameless.script.no_network = true;
    let line = expect(&nameless.run(), UNAVAILABLE);
    assert!(line.get("cause").starts_with("dns: "), "{line:?}");
    let mut cut_off = by("http://192.0.2.1:3128");
    cut_off.script.no_network = true;
    unavailable("no route", &cut_off.run(), "connect: network unreachable");
    assert_eq!(target.connections(), 0);
}
