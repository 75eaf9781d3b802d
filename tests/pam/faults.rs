//! Connections that fail, and answers that never end. Each ends in time, sends a token at most once, and lets nobody
//! in.

use std::io::Write;
use std::net::Ipv4Addr;

use crate::expect::*;
use crate::table::*;
use support::sandbox_test;
use support::server::{Certificate, NOBODY, Server, answer, black_hole, send};

#[sandbox_test]
fn a_right_server_is_trusted() {
    let server = Server::answering(answer("200 OK", "", SUCCESS));
    expect(&run(&server), VERIFIED);
    assert_eq!((server.connections(), server.requests()), (1, 1));
}

#[sandbox_test]
fn connections_that_fail() {
    unavailable(
        "refused",
        &case(&format!("https://{NOBODY}")).run(),
        "connect: connection refused",
    );

    let hole = black_hole((Ipv4Addr::LOCALHOST, 0).into());
    unavailable(
        "black hole",
        &case(&format!("https://{}", hole.0.local_addr().unwrap())).run(),
        "timeout after 2 s in connect",
    );

    // An IPv6 address is not looked up as a name, whether this machine has IPv6 or not.
    let line = expect(
        &case(&format!("https://[::1]:{}", NOBODY.port())).run(),
        UNAVAILABLE,
    );
    assert!(line.get("cause").starts_with("connect: "), "{line:?}");

    let mut cut_off = case("https://192.0.2.1");
    cut_off.script.no_network = true;
    unavailable("no route", &cut_off.run(), "connect: network unreachable");
}

#[sandbox_test]
fn an_endless_answer_is_not_read_to_its_end() {
    let server = Server::tls(Certificate::Valid, |tls| {
        send(
            tls,
            b"HTTP/1.1 200 OK\r\n\r\n{\"status\":\"success\",\"message\":\"",
        );
        while tls.write_all(&[b'x'; 16_384]).is_ok() {}
    });
    let report = run(&server);
    unavailable(
        "endless",
        &report,
        "answer: HTTP 200: body longer than 64 KiB",
    );
    assert!(report.authenticate().elapsed_ms < 2_000);
}
