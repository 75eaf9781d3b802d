//! Name look-up against name servers of every kind, through the system's resolver and a private resolv.conf.

use std::fs;
use std::io::{self, Read};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket};
use std::os::unix::process::ExitStatusExt;
use std::sync::atomic::{AtomicU8, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::expect::*;
use crate::running::{has_begun, signal};
use crate::table::with_lines;
use crate::table::{self, SUCCESS, at_once};
use support::server::{Server, answer, black_hole};
use support::{Case, Disposition, Entry, Interrupt, Reply, StandIn, sandbox_test, skipped};

/// How a name server answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Silent,
    NameError,
    ServerFailure,
    Refused,
    /// The name is there, and has no address of any kind.
    NoData,
    /// Bytes that are no DNS.
    Garbage,
    /// The answer to another question, by its number.
    WrongId,
    /// An alias of an alias of a name with this address.
    Aliases(Ipv4Addr),
    /// An alias of itself.
    AliasLoop,
    /// For AAAA and for A.
    Both(Ipv6Addr, Ipv4Addr),
    /// Truncated by UDP; by TCP it accepts and says nothing.
    Truncated,
    /// Only these addresses, for A.
    Addresses(&'static [Ipv4Addr]),
    /// This address for names that end so, as a query encodes them; no other name exists.
    OnlyIn(&'static [u8], Ipv4Addr),
}

/// Starts one on an address of its own, port 53; it lives as long as the test process.
fn name_server(kind: Kind) -> io::Result<Ipv4Addr> {
    static NEXT: AtomicU8 = AtomicU8::new(1);
    let process = std::process::id().to_be_bytes();
    let address = Ipv4Addr::new(
        127,
        process[2],
        process[3],
        NEXT.fetch_add(1, Ordering::SeqCst),
    );
    let socket = UdpSocket::bind((address, 53))?;
    let tcp = TcpListener::bind((address, 53))?;
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
    Ok(address)
}

/// Types of records (RFC 1035 section 3.2.2, RFC 3596).
const A: u16 = 1;
const CNAME: u16 = 5;
const AAAA: u16 = 28;
/// Where the question's name is in every message (RFC 1035 section 4.1.4).
const ASKED_NAME: [u8; 2] = [0xc0, 12];

/// RFC 1035 section 4: header, the question again, and the answers.
fn reply(kind: Kind, query: &[u8]) -> Option<Vec<u8>> {
    let name = query[12..].iter().position(|byte| *byte == 0)? + 13;
    let asked = u16::from_be_bytes([query[name], query[name + 1]]);
    let only = |kind: u16, records: Vec<Vec<u8>>| if asked == kind { records } else { vec![] };
    let (flags, records) = match kind {
        Kind::Silent => return None,
        Kind::Garbage => return Some([&query[..2], &[0xff; 40]].concat()),
        Kind::NameError => (0x8183, vec![]),
        Kind::ServerFailure => (0x8182, vec![]),
        Kind::Refused => (0x8185, vec![]),
        Kind::NoData => (0x8180, vec![]),
        Kind::Truncated => (0x8380, vec![]),
        Kind::WrongId => (0x8180, only(A, vec![address(Ipv4Addr::LOCALHOST)])),
        Kind::Addresses(list) => (0x8180, only(A, list.iter().copied().map(address).collect())),
        Kind::Aliases(last) => (0x8180, only(A, aliases(last))),
        Kind::AliasLoop => (
            0x8180,
            only(A, vec![record(&ASKED_NAME, CNAME, &ASKED_NAME)]),
        ),
        Kind::OnlyIn(end, v4) if query[..name].ends_with(end) => {
            (0x8180, only(A, vec![address(v4)]))
        }
        Kind::OnlyIn(..) => (0x8183, vec![]),
        Kind::Both(v6, _) if asked == AAAA => {
            (0x8180, vec![record(&ASKED_NAME, AAAA, &v6.octets())])
        }
        Kind::Both(_, v4) => (0x8180, only(A, vec![address(v4)])),
    };
    Some(message(kind, query, name + 4, flags, &records))
}

fn message(kind: Kind, query: &[u8], end: usize, flags: u16, records: &[Vec<u8>]) -> Vec<u8> {
    let id = if kind == Kind::WrongId {
        [query[0] ^ 0x55, query[1]]
    } else {
        [query[0], query[1]]
    };
    let count = u8::try_from(records.len()).unwrap();
    [
        id.as_slice(),
        &flags.to_be_bytes(),
        &[0, 1, 0, count, 0, 0, 0, 0],
        &query[12..end],
        &records.concat(),
    ]
    .concat()
}

/// Name, type, class IN, 60 s, length and data.
fn record(name: &[u8], kind: u16, data: &[u8]) -> Vec<u8> {
    let length = u16::try_from(data.len()).unwrap().to_be_bytes();
    [
        name,
        &kind.to_be_bytes(),
        &[0, 1, 0, 0, 0, 60],
        &length,
        data,
    ]
    .concat()
}

fn address(address: Ipv4Addr) -> Vec<u8> {
    record(&ASKED_NAME, A, &address.octets())
}

fn aliases(last: Ipv4Addr) -> Vec<Vec<u8>> {
    let (one, two) = (b"\x03one\x07example\0", b"\x03two\x07example\0");
    vec![
        record(&ASKED_NAME, CNAME, one),
        record(one, CNAME, two),
        record(two, A, &last.octets()),
    ]
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
    let ca = support::server::trusted_authority(case.dir().path());
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

/// One of each kind, in this order. Without root, or where another name server listens on every address, says so: the
/// test is skipped.
pub fn servers(kinds: &[Kind]) -> Option<Vec<Ipv4Addr>> {
    let started: io::Result<_> = kinds.iter().map(|kind| name_server(*kind)).collect();
    started
        .inspect_err(|error| skipped(&format!("port 53 on loopback: {error}")))
        .ok()
}

#[sandbox_test]
fn names_that_have_no_address() {
    let (unknown, unanswered) = (
        "dns: the name does not exist",
        "dns: no answer from the name server",
    );
    let kinds = [
        (Kind::NameError, unknown),
        (Kind::NoData, "dns: the name has no address"),
        (Kind::AliasLoop, unknown),
        (Kind::ServerFailure, unanswered),
        (Kind::Refused, unanswered),
        (Kind::Garbage, unanswered),
        (Kind::WrongId, unanswered),
        (Kind::Silent, unanswered),
    ];
    let Some(list) = servers(&kinds.map(|(kind, _)| kind)) else {
        return;
    };
    at_once(
        list.into_iter().zip(kinds).collect(),
        |(server, (kind, cause))| {
            let report = case("valid.example", 443, 5, &[server]).run();
            let line = expect(&report, UNAVAILABLE);
            assert_eq!(
                (line.get("cause"), line.get("http")),
                (cause.into(), String::new()),
                "{kind:?}"
            );
            let elapsed = report.authenticate().elapsed_ms;
            assert!(elapsed < 4_500, "{kind:?}: {elapsed} ms");
        },
    );
}

/// With a proxy its name is looked up, and iVALT's is left to the proxy.
#[sandbox_test]
fn the_name_of_a_proxy() {
    const PROXY: [Ipv4Addr; 1] = many(1);
    let Some(list) = servers(&[Kind::NameError, Kind::Addresses(&PROXY)]) else {
        return;
    };
    for (server, cause) in [
        (list[0], "dns: the name does not exist"),
        (list[1], "connect: connection refused"),
    ] {
        let case = case("valid.example", 443, 5, &[server]);
        let proxy = "proxy = \"http://proxy.example:1\"\n";
        let report = table::with_lines(case, proxy).run();
        assert_eq!(expect(&report, UNAVAILABLE).get("cause"), cause);
    }
}

#[sandbox_test]
fn aliases_are_followed() {
    let Some(list) = servers(&[Kind::Aliases(Ipv4Addr::LOCALHOST)]) else {
        return;
    };
    let server = Server::answering(answer("200 OK", "", SUCCESS));
    expect(
        &case("valid.example", server.port, 5, &list).run(),
        VERIFIED,
    );
}

#[sandbox_test]
fn dead_name_servers_cost_seconds_not_logins() {
    let Some(list) = servers(&[Kind::Silent, Kind::Silent]) else {
        return;
    };
    let rows = vec![(1, 1, 2_900), (1, 2, 2_900), (5, 1, 4_000), (5, 2, 4_000)];
    at_once(rows, |(timeout, dead, most)| {
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
    });
}

#[sandbox_test]
fn a_living_name_server_after_a_dead_one() {
    let Some(list) = servers(&[Kind::Silent, Kind::Addresses(&[Ipv4Addr::LOCALHOST])]) else {
        return;
    };
    let server = Server::answering(answer("200 OK", "", SUCCESS));
    expect(
        &case("valid.example", server.port, 5, &list).run(),
        VERIFIED,
    );
}

#[sandbox_test]
fn a_truncated_answer_is_not_asked_for_by_tcp() {
    let Some(list) = servers(&[Kind::Truncated]) else {
        return;
    };
    let report = case("valid.example", 443, 2, &list).run();
    let line = expect(&report, UNAVAILABLE);
    assert!(line.get("cause").starts_with("dns: "), "{line:?}");
    assert!(
        report.authenticate().elapsed_ms < 4_500,
        "{} ms",
        report.authenticate().elapsed_ms
    );
}

/// `N` addresses of loopback, each another than in other tests.
const fn many<const N: usize>(third: u8) -> [Ipv4Addr; N] {
    let mut many = [Ipv4Addr::LOCALHOST; N];
    let mut last = 0;
    while last < N {
        many[last] = Ipv4Addr::new(127, 77, third, last as u8 + 1);
        last += 1;
    }
    many
}

static TWO: [Ipv4Addr; 2] = many(2);
static SIXTEEN: [Ipv4Addr; 16] = many(16);
static TWENTY: [Ipv4Addr; 20] = many(20);

/// Whatever the order in which the system gives them: once the first is alive, once the last.
#[sandbox_test]
fn every_address_is_tried_up_to_sixteen() {
    let Some(list) = servers(&[
        Kind::Addresses(&TWO),
        Kind::Addresses(&SIXTEEN),
        Kind::Addresses(&TWENTY),
    ]) else {
        return;
    };
    let refused = Some("connect: connection refused");
    at_once(
        vec![
            (list[0], TWO[0], None),
            (list[0], TWO[1], None),
            (list[1], SIXTEEN[0], None),
            (list[1], SIXTEEN[15], None),
            (list[2], TWENTY[15], None),
            (list[2], TWENTY[16], refused),
            (list[2], TWENTY[19], refused),
        ],
        |(name_server, alive, cause)| {
            let server = Server::answering_at((alive, 0), answer("200 OK", "", SUCCESS));
            let report = case("valid.example", server.port, 5, &[name_server]).run();
            let reached = usize::from(cause.is_none());
            match cause {
                None => drop(expect(&report, VERIFIED)),
                Some(cause) => assert_eq!(expect(&report, UNAVAILABLE).get("cause"), cause),
            }
            assert_eq!(
                (server.connections(), server.requests()),
                (reached, reached),
                "{alive}"
            );
        },
    );
}

/// One address never answers a SYN; the other is tried long before the time is over: half of it would be 30 s.
#[sandbox_test]
fn a_black_hole_before_a_living_address() {
    const PAIR: [Ipv4Addr; 2] = many(3);
    let Some(list) = servers(&[Kind::Addresses(&PAIR)]) else {
        return;
    };
    at_once(
        vec![(PAIR[0], PAIR[1]), (PAIR[1], PAIR[0])],
        |(hole, alive)| {
            let server = Server::answering_at((alive, 0), answer("200 OK", "", SUCCESS));
            let _full = black_hole((hole, server.port).into());
            for preconnect in [true, false] {
                let case = case("valid.example", server.port, 60, &list);
                let text = std::fs::read_to_string(case.config()).unwrap();
                let switch = format!("[api]\npreconnect = {preconnect}");
                let case = case.settings_text(&text.replace("[api]", &switch));
                expect(&case.limit(Duration::from_secs(25)).run(), VERIFIED);
            }
            assert_eq!((server.connections(), server.requests()), (2, 2));
        },
    );
}

/// IPv6 comes first as a rule (RFC 6724); a machine without it says so.
#[sandbox_test]
fn one_family_dead_and_the_other_alive() {
    let Some(list) = servers(&[Kind::Both(Ipv6Addr::LOCALHOST, Ipv4Addr::LOCALHOST)]) else {
        return;
    };
    let mut addresses: Vec<SocketAddr> = vec![(Ipv4Addr::LOCALHOST, 0).into()];
    match TcpListener::bind((Ipv6Addr::LOCALHOST, 0)) {
        Ok(_) => addresses.push((Ipv6Addr::LOCALHOST, 0).into()),
        Err(error) => skipped(&format!("its half with IPv6: {error}")),
    }
    for address in addresses {
        let server = Server::answering_at(address, answer("200 OK", "", SUCCESS));
        let report = case("valid.example", server.port, 5, &list).run();
        expect(&report, VERIFIED);
        assert_eq!(
            (server.connections(), server.requests()),
            (1, 1),
            "{address}"
        );
    }
}

#[sandbox_test]
fn a_machine_without_a_network_knows_no_name() {
    // Reserved names (RFC 6761) that no hosts file has, and no name server to ask.
    let mut nobody = table::case("https://api.ivalt.invalid");
    nobody.script.no_network = true;
    let line = expect(&nobody.run(), UNAVAILABLE);
    assert!(line.get("cause").starts_with("dns: "), "{line:?}");
}

#[sandbox_test]
fn the_hosts_file_is_asked() {
    let server = Server::answering(answer("200 OK", "", SUCCESS));
    let case = table::case(&format!("https://valid.example:{}", server.port));
    let hosts = case
        .dir()
        .write("hosts", "127.0.0.1 valid.example\n", 0o644);
    expect(&case.bind(hosts, "/etc/hosts").run(), VERIFIED);
}

/// A minimal system: no hosts file, no nsswitch.conf, no passwd, no trusted roots of its own.
#[sandbox_test]
fn an_empty_etc_but_for_the_name_server() {
    let Some(list) = servers(&[Kind::Addresses(&[Ipv4Addr::LOCALHOST])]) else {
        return;
    };
    let server = Server::answering(answer("200 OK", "", SUCCESS));
    let case = case("valid.example", server.port, 5, &list);
    let etc = case.dir().join("etc");
    fs::create_dir(&etc).unwrap();
    fs::write(etc.join("resolv.conf"), resolv_conf(&list)).unwrap();
    let report = case.bind(etc, "/etc").run();
    assert_eq!(expect(&report, VERIFIED).get("user"), "alice");
    assert_eq!(server.requests(), 1);
}

/// With a handler and without `SA_RESTART`, or with none: then the application is gone at once.
#[sandbox_test]
fn signals_while_a_dead_name_server_is_asked() {
    let Some(list) = servers(&[Kind::Silent]) else {
        return;
    };
    let mut interrupted = case("valid.example", 443, 5, &list);
    interrupted
        .script
        .signals
        .insert(libc::SIGALRM, Disposition::Count);
    interrupted.script.interrupt = Some(Interrupt {
        signal: libc::SIGALRM,
        every_ms: 1,
    });
    let report = interrupted.run();
    assert_eq!(
        expect(&report, UNAVAILABLE).get("cause"),
        "dns: no answer from the name server"
    );
    let elapsed = report.authenticate().elapsed_ms;
    assert!(
        elapsed <= 4_000 && report.signals[&libc::SIGALRM].here > 100,
        "{elapsed} ms"
    );
    let case = case("valid.example", 443, 5, &list);
    thread::scope(|scope| {
        let run = scope.spawn(|| (case.observe().status.signal(), Instant::now()));
        let process = has_begun(&case, || true);
        let sent = Instant::now();
        signal(process, libc::SIGINT);
        let (ended_by, gone) = run.join().unwrap();
        assert_eq!(ended_by, Some(libc::SIGINT));
        assert!(gone - sent < Duration::from_secs(3), "{:?}", gone - sent);
    });
}

/// Display managers live for months; a new resolv.conf must reach them.
#[sandbox_test]
fn a_new_resolv_conf_is_seen_in_an_old_process() {
    let Some(list) = servers(&[Kind::Silent, Kind::Addresses(&[Ipv4Addr::LOCALHOST])]) else {
        return;
    };
    let server = Server::answering(answer("200 OK", "", SUCCESS));
    let case = case("valid.example", server.port, 5, &list[..1]);
    // Looked up after the answer, which comes with the new file.
    let mut case = with_lines(case, "preconnect = false\n").calls(&[Entry::Authenticate; 2]);
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
    let replace = Reply {
        answer: Some("accept-2".into()),
        renames: vec![("/etc/resolv.new".into(), "/etc/resolv.conf".into())],
        delay_ms: 10,
        ..Reply::default()
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

#[sandbox_test]
fn short_names_are_looked_for_in_every_local_domain() {
    let Some(list) = servers(&[Kind::OnlyIn(b"\x01b\x07example\0", Ipv4Addr::LOCALHOST)]) else {
        return;
    };
    let server = Server::answering(answer("200 OK", "", b"{\"status\":\"success\"}"));
    let line = case("ivalthost", server.port, 5, &list).run().log_line();
    // The stand-in's certificate is for another name; that it is looked at shows that the name was found.
    assert_eq!(line.get("cause"), "tls: certificate is for another name");
}

#[sandbox_test]
fn a_short_name_and_dead_name_servers_stay_within_the_time() {
    let Some(list) = servers(&[Kind::Silent, Kind::Silent, Kind::Silent]) else {
        return;
    };
    let elapsed = case("ivalthost", 443, 4, &list)
        .run()
        .authenticate()
        .elapsed_ms;
    assert!(elapsed < 5_000, "{elapsed} ms");
}
