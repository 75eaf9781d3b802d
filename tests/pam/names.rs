//! Name look-up against name servers of every kind, through the system's resolver and a private resolv.conf.

use std::io::Read;
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::sync::atomic::{AtomicU8, Ordering};
use std::thread;
use std::time::Duration;

use crate::expect::*;
use crate::server::{Server, answer};
use crate::support::{Act, Case, Entry, StandIn, no_root, no_stage};

/// How a name server answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Silent,
    NameError,
    ServerFailure,
    /// Truncated by UDP; by TCP it accepts and says nothing.
    Truncated,
    /// Only these addresses, for A.
    Addresses(&'static [Ipv4Addr]),
}

/// Starts one on an address of its own, port 53; it lives as long as the test process. `None` without root.
fn name_server(kind: Kind) -> Option<Ipv4Addr> {
    static NEXT: AtomicU8 = AtomicU8::new(1);
    let process = std::process::id().to_be_bytes();
    let address = Ipv4Addr::new(
        127,
        process[2],
        process[3],
        NEXT.fetch_add(1, Ordering::SeqCst),
    );
    let socket = UdpSocket::bind((address, 53)).ok()?;
    let tcp = TcpListener::bind((address, 53)).ok()?;
    thread::spawn(move || {
        for mut stream in tcp.incoming().flatten() {
            thread::spawn(move || while stream.read(&mut [0; 512]).is_ok_and(|read| read > 0) {});
        }
    });
    thread::spawn(move || {
        let mut query = [0; 1500];
        while let Ok((length, from)) = socket.recv_from(&mut query) {
            if let Some(reply) = reply(kind, &query[..length]) {
                let _ = socket.send_to(&reply, from);
            }
        }
    });
    Some(address)
}

/// RFC 1035 section 4: header, the question again, and the answers.
fn reply(kind: Kind, query: &[u8]) -> Option<Vec<u8>> {
    let name = query[12..].iter().position(|byte| *byte == 0)? + 13;
    let is_a = query[name..name + 2] == [0, 1];
    let (flags, addresses): ([u8; 2], &[Ipv4Addr]) = match kind {
        Kind::Silent => return None,
        Kind::NameError => ([0x81, 0x83], &[]),
        Kind::ServerFailure => ([0x81, 0x82], &[]),
        Kind::Truncated => ([0x83, 0x80], &[]),
        Kind::Addresses(addresses) => ([0x81, 0x80], if is_a { addresses } else { &[] }),
    };
    let count = u8::try_from(addresses.len()).unwrap();
    let mut reply = [
        &query[..2],
        &flags,
        &[0, 1, 0, count, 0, 0, 0, 0],
        &query[12..name + 4],
    ]
    .concat();
    for address in addresses {
        // A pointer to the name, type A, class IN, 60 s, 4 bytes.
        reply.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4]);
        reply.extend(address.octets());
    }
    Some(reply)
}

fn resolv_conf(servers: &[Ipv4Addr]) -> String {
    let lines = servers
        .iter()
        .map(|server| format!("nameserver {server}\n"));
    lines
        .chain(["search a.example b.example\n".to_owned()])
        .collect()
}

/// Our module for `https://HOST:PORT`, with a resolv.conf of these servers.
pub fn case(host: &str, port: u16, timeout: u64, servers: &[Ipv4Addr]) -> Case {
    let ivalt = StandIn::start();
    let case = Case::against(&ivalt).answer("accept-1");
    let ca = crate::server::trusted_authority(case.dir().path());
    let settings = case
        .settings(&ivalt)
        .set("api", "url", format!("https://{host}:{port}"));
    let settings =
        settings
            .set("api", "ca_file", ca.to_str().unwrap())
            .set("api", "timeout_seconds", timeout);
    let resolv = case.dir().write("resolv.conf", resolv_conf(servers), 0o644);
    let switch = case
        .dir()
        .write("nsswitch.conf", "hosts: files dns\n", 0o644);
    case.with_settings(&settings)
        .bind(resolv, "/etc/resolv.conf")
        .bind(switch, "/etc/nsswitch.conf")
}

pub fn servers(kinds: &[Kind]) -> Option<Vec<Ipv4Addr>> {
    if no_stage() {
        return None;
    }
    if no_root("port 53 on loopback needs root") {
        return None;
    }
    kinds.iter().map(|kind| name_server(*kind)).collect()
}

#[test]
fn names_that_no_server_knows() {
    let Some(list) = servers(&[Kind::NameError, Kind::ServerFailure]) else {
        return;
    };
    for (server, cause) in [
        (list[0], "dns: the name does not exist"),
        (list[1], "dns: no answer from the name server"),
    ] {
        let line = expect(&case("valid.example", 443, 5, &[server]).run(), UNAVAILABLE);
        assert_eq!(
            (line.get("cause"), line.get("http")),
            (cause.into(), String::new())
        );
    }
}

#[test]
fn dead_name_servers_cost_seconds_not_logins() {
    let Some(list) = servers(&[Kind::Silent, Kind::Silent]) else {
        return;
    };
    for (timeout, dead, most) in [(1, 1, 2_000), (1, 2, 2_000), (5, 1, 2_500), (5, 2, 2_500)] {
        let report = case("valid.example", 443, timeout, &list[..dead]).run();
        assert_eq!(
            expect(&report, UNAVAILABLE).get("cause"),
            "dns: no answer from the name server"
        );
        let elapsed = report.authenticate().elapsed_ms;
        assert!(
            elapsed <= most,
            "{dead} dead servers, {timeout} s: {elapsed} ms"
        );
    }
}

#[test]
fn a_living_name_server_after_a_dead_one() {
    let Some(list) = servers(&[Kind::Silent, Kind::Addresses(&[Ipv4Addr::LOCALHOST])]) else {
        return;
    };
    let server = Server::answering(answer("200 OK", "", b"{\"status\":\"success\"}"));
    expect(
        &case("valid.example", server.port, 5, &list).run(),
        VERIFIED,
    );
}

#[test]
fn a_truncated_answer_is_not_asked_for_by_tcp() {
    let Some(list) = servers(&[Kind::Truncated]) else {
        return;
    };
    let report = case("valid.example", 443, 2, &list).run();
    let line = expect(&report, UNAVAILABLE);
    assert!(line.get("cause").starts_with("dns: "), "{line:?}");
    assert!(
        report.authenticate().elapsed_ms < 3_000,
        "{} ms",
        report.authenticate().elapsed_ms
    );
}

#[test]
fn every_address_is_tried() {
    const DEAD: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 99);
    // More than ureq's list of addresses holds.
    const MANY: [Ipv4Addr; 20] = {
        let mut many = [DEAD; 20];
        let mut last = 0;
        while last < 20 {
            many[last as usize] = Ipv4Addr::new(127, 0, 1, last);
            last += 1;
        }
        many
    };
    let Some(list) = servers(&[
        Kind::Addresses(&[DEAD, Ipv4Addr::LOCALHOST]),
        Kind::Addresses(&MANY),
    ]) else {
        return;
    };
    let server = Server::answering(answer("200 OK", "", b"{\"status\":\"success\"}"));
    expect(
        &case("valid.example", server.port, 5, &list[..1]).run(),
        VERIFIED,
    );
    assert_eq!((server.connections(), server.requests()), (1, 1));
    let line = expect(
        &case("valid.example", server.port, 5, &list[1..]).run(),
        UNAVAILABLE,
    );
    assert_eq!(line.get("cause"), "connect: connection refused");
}

/// Display managers live for months; a new resolv.conf must reach them.
#[test]
fn a_new_resolv_conf_is_seen_in_an_old_process() {
    let Some(list) = servers(&[Kind::Silent, Kind::Addresses(&[Ipv4Addr::LOCALHOST])]) else {
        return;
    };
    let server = Server::answering(answer("200 OK", "", b"{\"status\":\"success\"}"));
    let mut case =
        case("valid.example", server.port, 5, &list[..1]).calls(&[Entry::Authenticate; 2]);
    // A bound file cannot be renamed over; a folder can be bound, and the file in it replaced.
    case.script
        .binds
        .retain(|(_, to)| !to.ends_with("resolv.conf"));
    let etc = case.dir().join("etc");
    std::fs::create_dir(&etc).unwrap();
    for name in [
        "hosts",
        "nsswitch.conf",
        "passwd",
        "host.conf",
        "login.defs",
    ] {
        let _ = std::fs::copy(format!("/etc/{name}"), etc.join(name));
    }
    std::fs::write(etc.join("nsswitch.conf"), "hosts: files dns\n").unwrap();
    std::fs::write(etc.join("resolv.conf"), resolv_conf(&list[..1])).unwrap();
    std::fs::write(etc.join("resolv.new"), resolv_conf(&list[1..])).unwrap();
    case.script.binds = vec![(etc, "/etc".into())];
    let replace = Act {
        answer: Some("accept-2".into()),
        renames: vec![("/etc/resolv.new".into(), "/etc/resolv.conf".into())],
        delay_ms: 10,
        ..Act::default()
    };
    let report = case.answer(replace).limit(Duration::from_secs(30)).run();
    let lines = report.log_lines();
    assert_eq!(
        (lines[0].get("cause"), lines[1].reason()),
        (
            "dns: no answer from the name server".into(),
            "verified".into()
        )
    );
}
