//! `--online`, against servers of the tests' own.

use std::fs;
use std::path::Path;

use super::{Checked, IVALT, System};
use support::certificates::{Certificate, trusted_authority};
use support::server::{NOBODY, Server, answer};
use support::{StandIn, TempDir};

/// A healthy system that asks this URL and trusts this authority.
fn online(url: &str, authority: &Path) -> System {
    let system = System::healthy();
    let pem = fs::read_to_string(authority).unwrap();
    system.write("etc/ivalt/ca.pem", &pem);
    system.write(IVALT, &format!("{CA}url = \"{url}\"\n"));
    system
}

const CA: &str =
    "[api]\nkey = \"test-api-key\"\ntimeout_seconds = 3\nca_file = \"/etc/ivalt/ca.pem\"\n";

fn ask(system: &System) -> Checked {
    Checked::of(&system.run(&["--online", "--json"]))
}

fn steps(checked: &Checked) -> Vec<&str> {
    let steps = checked.report["steps"].as_array().unwrap();
    steps
        .iter()
        .map(|step| step["step"].as_str().unwrap())
        .collect()
}

#[test]
fn online_sees_every_step_and_sends_no_secret() {
    let ivalt = StandIn::start();
    let system = online(&ivalt.url(), &ivalt.ca());
    let checked = ask(&system);
    checked.gives("online", &[]);
    assert_eq!(
        steps(&checked),
        ["dns", "connect", "tls", "request", "answer"]
    );
    let said = |index: usize| {
        checked.report["steps"][index]["said"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    assert_eq!(said(0), "127.0.0.1");
    assert!(
        said(2).starts_with("TLS 1.3, certificate of \"CN=ivalt-stand-in\", by "),
        "{}",
        said(2)
    );
    assert!(checked.report["steps"][2]["ms"].is_u64());
    let requests = ivalt.requests();
    assert_eq!(requests.len(), 1);
    assert_eq!(requests[0]["method"], "HEAD");
    assert!(
        !requests[0].to_string().contains("test-api-key"),
        "{}",
        requests[0]
    );
    assert!(!checked.report.to_string().contains("test-api-key"));
}

#[test]
fn client_credentials_are_tried() {
    let ivalt = StandIn::start();
    for (secret, key, expected) in [
        ("accept-1", "test-api-key", &[][..]),
        (
            "reject-1",
            "test-api-key",
            &["warning online-client-refused /etc/ivalt/ivalt.toml:5"],
        ),
        (
            "accept-1",
            "wrong",
            &["locks-out online-api-key-refused /etc/ivalt/ivalt.toml:5"],
        ),
        (
            "http-503",
            "test-api-key",
            &["locks-out online-answer /etc/ivalt/ivalt.toml:5"],
        ),
    ] {
        let system = online(&ivalt.url(), &ivalt.ca());
        system.append(
            IVALT,
            &format!("client_id = \"id\"\nclient_secret = \"{secret}\"\n"),
        );
        system.replace(IVALT, "test-api-key", key);
        let checked = ask(&system);
        checked.gives(secret, expected);
        assert_eq!(
            steps(&checked),
            ["dns", "connect", "tls", "request", "answer", "api/v1/auth"]
        );
        assert!(
            !checked.report.to_string().contains(secret),
            "{}",
            checked.report
        );
    }
}

#[test]
fn a_connection_that_fails() {
    let authority = TempDir::new();
    let authority = trusted_authority(authority.path());
    let tls = |kind| Server::tls(kind, |_| {});
    let expired = tls(Certificate::Expired);
    let unknown = tls(Certificate::UnknownAuthority);
    let other = tls(Certificate::OtherName);
    let plain =
        Server::raw(|mut stream| drop(std::io::Write::write_all(&mut stream, b"SSH-2.0-x\r\n")));
    let local = |port: u16| format!("https://127.0.0.1:{port}/base");
    for (url, id, cause, last) in [
        (
            format!("https://{NOBODY}/base"),
            "online-connect",
            "connect: connection refused",
            "connect",
        ),
        (
            "https://ivalt.invalid/base".to_owned(),
            "online-dns",
            "dns: ",
            "dns",
        ),
        (
            local(expired.port),
            "online-tls",
            "tls: certificate expired",
            "tls",
        ),
        (
            local(unknown.port),
            "online-tls",
            "tls: certificate of an unknown issuer",
            "tls",
        ),
        (
            local(other.port),
            "online-tls",
            "tls: certificate is for another name",
            "tls",
        ),
        (local(plain.port), "online-tls", "tls: ", "tls"),
    ] {
        let system = online(&url, &authority);
        let checked = ask(&system);
        checked.gives(cause, &[&format!("locks-out {id} /etc/ivalt/ivalt.toml:5")]);
        let what = checked.report["findings"][0]["what"]
            .as_str()
            .unwrap()
            .to_owned();
        assert!(what.starts_with(cause), "{what}");
        assert_eq!(steps(&checked).last(), Some(&last), "{}", checked.report);
        // By policy, users are let in while iVALT cannot be reached.
        let checked = ask(system.append(IVALT, "[policy]\nunavailable = \"ignore\"\n"));
        let lines = checked.lines();
        assert!(
            lines.contains(&format!("lets-in {id} /etc/ivalt/ivalt.toml:5")),
            "{lines:?}"
        );
    }
}

#[test]
fn date_and_form_of_an_answer() {
    let authority = TempDir::new();
    let authority = trusted_authority(authority.path());
    let now = |headers: &str| answer("404 Not Found", headers, b"");
    for (name, bytes, expected) in [
        (
            "a date long ago",
            now("date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"),
            &["warning online-clock /etc/ivalt/ivalt.toml:5"][..],
        ),
        ("no date", now(""), &[]),
        ("not a date", now("date: today\r\n"), &[]),
        (
            "no HTTP",
            b"hello\r\n\r\n".to_vec(),
            &["locks-out online-answer /etc/ivalt/ivalt.toml:5"],
        ),
        (
            "nothing",
            Vec::new(),
            &["locks-out online-answer /etc/ivalt/ivalt.toml:5"],
        ),
    ] {
        let server = Server::answering(bytes);
        let system = online(
            &format!("https://127.0.0.1:{}/base", server.port),
            &authority,
        );
        ask(&system).gives(name, expected);
    }
}

#[test]
fn a_certificate_that_ends_soon() {
    let server = Server::tls(Certificate::EndsSoon, |tls| {
        let _ = std::io::Write::write_all(tls, &answer("200 OK", "", b""));
    });
    let authority = TempDir::new();
    let authority = trusted_authority(authority.path());
    let system = online(
        &format!("https://127.0.0.1:{}/base", server.port),
        &authority,
    );
    ask(&system).gives(
        "ends soon",
        &["warning online-certificate-ends /etc/ivalt/ivalt.toml:5"],
    );
}

#[test]
fn online_uses_the_proxy() {
    let ivalt = StandIn::start();
    let (upstream, authority) = (ivalt.port(), ivalt.ca());
    let proxy = Server::raw(move |stream| tunnel(stream, upstream));
    let system = online(&ivalt.url(), &authority);
    system.append(
        IVALT,
        &format!("proxy = \"http://127.0.0.1:{}\"\n", proxy.port),
    );
    ask(&system).gives("by proxy", &[]);
    assert_eq!((proxy.connections(), ivalt.requests().len()), (1, 1));
}

/// What a proxy does with CONNECT.
fn tunnel(mut client: std::net::TcpStream, port: u16) {
    use std::io::{BufRead, BufReader, Write, copy};
    let mut head = BufReader::new(client.try_clone().unwrap());
    let mut line = String::new();
    while head.read_line(&mut line).is_ok_and(|amount| amount > 2) {
        line.clear();
    }
    client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
    let mut server = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
    let (mut from, mut to) = (server.try_clone().unwrap(), client.try_clone().unwrap());
    let back = std::thread::spawn(move || {
        let _ = copy(&mut from, &mut to);
        let _ = to.shutdown(std::net::Shutdown::Both);
    });
    let _ = copy(&mut head, &mut server);
    let _ = server.shutdown(std::net::Shutdown::Write);
    back.join().unwrap();
}
