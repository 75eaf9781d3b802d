//! An answer that was there before the request is none, whatever it says: the server cannot know the token yet.

use std::time::Duration;

use rustls::SupportedProtocolVersion;
use rustls::version::{TLS12, TLS13};

use crate::expect::*;
use crate::proxies;
use crate::table::*;
use support::server::{Early, Server, answer};
use support::{Case, Reply, sandbox_test};

const EARLY: &str = "answer: the server answered before the request was sent";
const SUCCESS_ANSWER: &[u8] =
    b"HTTP/1.1 200 OK\r\ncontent-length: 20\r\n\r\n{\"status\":\"success\"}";
const VERSIONS: [&SupportedProtocolVersion; 2] = [&TLS12, &TLS13];
const IN_THE_HANDSHAKE: [Early; 3] = [
    Early::WithFinished,
    Early::InTwoRecords,
    Early::InHalfARecord,
];

fn right() -> Vec<u8> {
    answer("200 OK", "", SUCCESS)
}

fn wrong() -> Vec<u8> {
    answer("401 X", "", b"{}")
}

/// Our module against this server; the user types for longer than the server waits, or there is no preconnection.
fn case(server: &Server, preconnect: bool) -> Case {
    let mut case = with_lines(
        crate::table::case(&url(server)),
        &format!("preconnect = {preconnect}\n[token]\nattempts = 1\n"),
    );
    let typed = Reply::slowly("accept-1", Duration::from_millis(700));
    case.script.answers = vec![typed.into()];
    case
}

/// One more line in a section of its settings.
fn with(case: Case, section: &str, line: &str) -> Case {
    let text = std::fs::read_to_string(case.config()).unwrap();
    case.settings_text(&text.replace(section, &format!("{section}\n{line}")))
}

fn rows<T: Copy>(of: &[T]) -> Vec<(&'static SupportedProtocolVersion, T)> {
    let of = of.iter().copied();
    of.flat_map(|when| VERSIONS.map(|version| (version, when)))
        .collect()
}

/// The waiting connection is left, and the answer of the next counts.
#[sandbox_test]
fn a_connection_with_an_early_answer_is_not_used() {
    let all = [IN_THE_HANDSHAKE.as_slice(), &[Early::Later]].concat();
    at_once(rows(&all), |(version, when)| {
        for (answer, row) in [(wrong(), REJECTED), (right(), VERIFIED)] {
            let connections = vec![(when, wrong()), (Early::No, answer)];
            let server = Server::early(version, SUCCESS_ANSWER, connections);
            expect(&case(&server, true).run(), row);
            assert_eq!(
                (server.connections(), server.tokens()),
                (2, vec!["accept-1".to_owned()]),
                "{version:?} {when:?}"
            );
        }
    });
}

/// Where it is no other on the next connection, or where there was none before the token, nothing is sent.
#[sandbox_test]
fn nothing_is_sent_after_an_early_answer() {
    at_once(rows(&IN_THE_HANDSHAKE), |(version, when)| {
        for (preconnect, connections) in [(false, 1), (true, 2)] {
            let server = Server::early(version, SUCCESS_ANSWER, vec![(when, wrong())]);
            let report = case(&server, preconnect).run();
            let line = expect(&report, UNAVAILABLE);
            let name = format!("{version:?} {when:?} {preconnect}");
            let fields = ["cause", "http", "code", "detail"].map(|key| line.get(key));
            assert_eq!(fields, [EARLY, "", "", ""], "{name}");
            let met = (server.connections(), server.requests());
            assert_eq!(met, (connections, 0), "{name}");
        }
    });
}

#[sandbox_test]
fn through_a_proxy_it_is_none_either() {
    at_once(rows(&IN_THE_HANDSHAKE), |(version, when)| {
        for (preconnect, connections) in [(false, 1), (true, 2)] {
            let target = Server::early(version, SUCCESS_ANSWER, vec![(when, wrong())]);
            let way = proxies::proxy("HTTP/1.1 200 OK\r\n\r\n", Duration::ZERO);
            let proxy = format!("proxy = \"http://127.0.0.1:{}\"", way.port);
            let report = with(case(&target, preconnect), "[api]", &proxy).run();
            assert_eq!(expect(&report, UNAVAILABLE).get("cause"), EARLY);
            let met = (way.connections(), target.connections(), target.requests());
            assert_eq!(met, (connections, connections, 0), "{version:?} {when:?}");
        }
    });
}

/// The face is asked about on a connection of its own.
#[sandbox_test]
fn the_second_request_of_token_and_face_gets_no_early_answer() {
    at_once(rows(&IN_THE_HANDSHAKE), |(version, when)| {
        let connections = vec![(Early::No, right()), (when, wrong())];
        let server = Server::early(version, SUCCESS_ANSWER, connections);
        let case = case(&server, true).answer("accept-face");
        let report = with(case, "[token]", "method = \"token+face\"").run();
        assert_eq!(expect(&report, UNAVAILABLE).get("cause"), EARLY);
        let met = (server.connections(), server.requests());
        assert_eq!(met, (2, 1), "{version:?} {when:?}");
    });
}

/// Session tickets that come while the user types are no answer.
#[sandbox_test]
fn late_tickets_are_tolerated() {
    at_once(rows(&[true, false]), |(version, preconnect)| {
        let server = Server::early(version, SUCCESS_ANSWER, vec![(Early::No, right())]);
        expect(&case(&server, preconnect).run(), VERIFIED);
        let met = (server.connections(), server.requests());
        assert_eq!(met, (1, 1), "{version:?} {preconnect}");
    });
}
