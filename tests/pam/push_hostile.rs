//! Answers that no service in order gives, byte for byte, where an approval would let in.

use rustls::version::TLS13;

use crate::expect::*;
use crate::phones::*;
use crate::table::{at_once, case, url, with_lines};
use support::server::{Early, Server, answer};
use support::{Case, SERVICE, sandbox_test};

const APPROVAL: &str =
    r#"{"data":{"status":true,"message":"done","details":{"mobile":"+916283974746"}}}"#;
const PENDING: &str = r#"{"error":{"detail":"not found"}}"#;

/// Polls, request and polls get these.
fn server(last: Vec<u8>) -> Server {
    let pending = answer("404 Not Found", "", PENDING.as_bytes());
    let sent = answer("200 OK", "", br#"{"data":{"status":true}}"#);
    let answers = [pending.clone(), sent, pending, last];
    let answers = answers.map(|answer| (Early::No, answer));
    Server::early(&TLS13, b"", answers.into())
}

fn login(server: &Server, host: &Host) -> Case {
    let push = format!(
        "[push]\nenabled = true\naccept_unbound_approvals = true\nurl = \"{}\"\nservices = [\"{SERVICE}\"]\n",
        url(server)
    );
    let mut case = with_lines(case(&url(server)), &format!("preconnect = false\n{push}"));
    case.script.answers = vec!["".into(); 2];
    case.bind(host.run(), "/run")
}

#[sandbox_test]
fn answers_that_are_not_whole_or_not_one() {
    let whole = |headers: &str| answer("200 OK", headers, APPROVAL.as_bytes());
    let raw = |head: &str, body: &str| format!("{head}\r\n\r\n{body}").into_bytes();
    let size = APPROVAL.len();
    let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked";
    let (half, rest) = APPROVAL.split_at(30);
    let deep = format!("{}{}", "[".repeat(30_000), "]".repeat(30_000));
    let padded = |what: &str| APPROVAL.replacen('{', &format!("{{{what},"), 1);
    let of = |body: &str| answer("200 OK", "", body.as_bytes());
    let details = |text: &str| of(&APPROVAL.replace(r#"{"mobile":"+916283974746"}"#, text));
    // What stands in other members does not matter; an early answer of 103 is none.
    let rows: Vec<(&str, Vec<u8>, Row)> = vec![
        ("whole", whole(""), APPROVED),
        (
            "chunked",
            raw(
                chunked,
                &format!(
                    "{:x}\r\n{half}\r\n{:x}\r\n{rest}\r\n0\r\n\r\n",
                    half.len(),
                    rest.len()
                ),
            ),
            APPROVED,
        ),
        (
            "continue before",
            [b"HTTP/1.1 100 Continue\r\n\r\n".to_vec(), whole("")].concat(),
            APPROVED,
        ),
        (
            "no end of chunks",
            raw(chunked, &format!("{size:x}\r\n{APPROVAL}\r\n")),
            UNAVAILABLE,
        ),
        (
            "a chunk too short",
            raw(
                chunked,
                &format!("{:x}\r\n{APPROVAL}\r\n0\r\n\r\n", size + 2),
            ),
            UNAVAILABLE,
        ),
        (
            "shorter than it says",
            raw(
                &format!("HTTP/1.1 200 OK\r\ncontent-length: {}", size + 1),
                APPROVAL,
            ),
            UNAVAILABLE,
        ),
        (
            "cut off",
            raw(
                &format!("HTTP/1.1 200 OK\r\ncontent-length: {}", size - 1),
                APPROVAL,
            ),
            UNAVAILABLE,
        ),
        (
            "two lengths",
            raw(
                &format!("HTTP/1.1 200 OK\r\ncontent-length: {size}\r\ncontent-length: 5"),
                APPROVAL,
            ),
            UNAVAILABLE,
        ),
        (
            "compressed",
            whole("content-encoding: gzip\r\n"),
            UNAVAILABLE,
        ),
        (
            "early hints of 200",
            raw(
                "HTTP/1.1 103 Early Hints",
                &String::from_utf8(answer("404 Not Found", "", PENDING.as_bytes())).unwrap(),
            ),
            UNANSWERED,
        ),
        (
            "deep, elsewhere",
            of(&padded(&format!("\"x\":{deep}"))),
            APPROVED,
        ),
        (
            "error after all",
            of(&APPROVAL.replace("}}}", "}},\"error\":{\"detail\":\"x\"}}")),
            UNAVAILABLE,
        ),
        (
            "error by escapes",
            of(&padded(r#""\u0065rror":1"#)),
            UNAVAILABLE,
        ),
        (
            "data by escapes",
            of(&APPROVAL.replace("data", r"\u0064ata")),
            APPROVED,
        ),
        (
            "two data, one by escapes",
            of(&padded(r#""\u0064ata":{"status":true}"#)),
            UNAVAILABLE,
        ),
        (
            "private key of serde_json",
            of(&format!(
                r#"{{"$serde_json::private::RawValue":{APPROVAL:?}}}"#
            )),
            UNAVAILABLE,
        ),
        (
            "details by that key",
            details(r#"{"$serde_json::private::RawValue":"{\"mobile\":\"+916283974746\"}"}"#),
            UNAVAILABLE,
        ),
        (
            "status by that key",
            of(&APPROVAL.replace(":true", r#":{"$serde_json::private::RawValue":"true"}"#)),
            UNAVAILABLE,
        ),
        (
            "lone surrogate",
            details(r#"{"mobile":"+916283974746","x":"\ud800"}"#),
            APPROVED,
        ),
        (
            "surrogate in the key",
            details(r#"{"mobile\ud800":"1","mobile":"+916283974746"}"#),
            UNAVAILABLE,
        ),
        (
            "full-width plus",
            details("{\"mobile\":\"\u{ff0b}916283974746\"}"),
            UNAVAILABLE,
        ),
        (
            "split country code",
            details(r#"{"country_code":"9","mobile":"16283974746"}"#),
            APPROVED,
        ),
        (
            "country twice over",
            details(r#"{"country_code":"91","mobile":"91 91 6283974746"}"#),
            UNAVAILABLE,
        ),
        (
            "leading zeros",
            details(r#"{"country_code":"0091","mobile":"6283974746"}"#),
            UNAVAILABLE,
        ),
        (
            "trailing digits",
            details(r#"{"mobile":"9162839747460"}"#),
            UNAVAILABLE,
        ),
    ];
    at_once(rows, |(name, bytes, row)| {
        let host = Host::new();
        let server = server(bytes);
        let report = login(&server, &host).run();
        let line = report.log_line();
        println!("{name}: {}", line.get("cause"));
        expect(&report, row);
    });
}
