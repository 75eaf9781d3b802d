//! The module under valgrind: nothing read or written that is not ours, nothing lost, no decision on bytes that nobody
//! wrote. Debug builds only: the module as shipped has no symbols, and it is made of the same code.

use std::ffi::OsString;
use std::io::Write;
use std::time::Duration;

use crate::codes::{self, MADE, with_codes};
use crate::dns::{self, Kind, servers};
use crate::expect::*;
use crate::isolation::compiled;
use crate::phones::Host;
use crate::proxies::proxy;
use crate::table::case_within;
use support::codes::*;
use support::server::{Certificate, NOBODY, Server, answer, hold, reset};
use support::{
    Case, Conversation, Entry, Reply, Report, StandIn, TempDir, no_program, sandbox_test,
};

const SUCCESS: &[u8] = br#"{"status":"success","message":"ok"}"#;

/// valgrind is found by the tester's environment; pam-client alone would have none.
fn valgrind(arguments: &[&str]) -> Vec<OsString> {
    let kept = ["PATH", "VALGRIND_LIB", "VALGRIND_OPTS"];
    let kept = kept.iter().filter_map(|name| {
        let mut word = OsString::from(format!("{name}="));
        word.push(std::env::var_os(name)?);
        Some(word)
    });
    let words = ["valgrind"].iter().chain(arguments).map(OsString::from);
    [OsString::from("env")]
        .into_iter()
        .chain(kept)
        .chain(words)
        .collect()
}

/// Runs the case under valgrind, and panics with what valgrind says if that is anything.
#[track_caller]
fn checked(case: Case) -> Report {
    let log = case.dir().join("valgrind");
    let words = valgrind(&[
        "--quiet",
        "--error-exitcode=99",
        "--num-callers=40",
        "--read-inline-info=no",
        "--leak-check=full",
        "--show-leak-kinds=definite",
        "--errors-for-leak-kinds=definite",
        concat!(
            "--suppressions=",
            env!("CARGO_MANIFEST_DIR"),
            "/../../tests/pam/valgrind.supp"
        ),
        &format!("--log-file={}", log.display()),
    ]);
    let case = case.under(words).limit(Duration::from_secs(120));
    let observed = case.observe();
    let said = std::fs::read_to_string(log).unwrap_or_default();
    assert!(
        observed.status.success() && said.is_empty(),
        "{}: {said}{}",
        observed.status,
        observed.stderr
    );
    let report = observed.report();
    assert_eq!(report.changes(), [""; 0]);
    report.clone()
}

/// Our module against this server, with this `api.timeout_seconds`; valgrind makes everything slow.
fn within(server: &Server, seconds: u64) -> Case {
    case_within(
        &format!("https://127.0.0.1:{}", server.port),
        Duration::from_secs(seconds),
    )
}

/// One process, as sudo calls again and again.
#[sandbox_test]
fn answers_of_every_kind() {
    if no_program("valgrind") {
        return;
    }
    let ivalt = StandIn::start();
    let calls: [(&[&str], i32); 12] = [
        (&["accept-1"], PAM_SUCCESS),
        (&["reject-1", "geofence", "timezone"], PAM_MAXTRIES),
        (&["two words", "echo", "accept-2"], PAM_SUCCESS),
        (&["api-key-invalid"], PAM_SERVICE_ERR),
        (&["forbidden"], PAM_SERVICE_ERR),
        (&["http-503"], PAM_AUTHINFO_UNAVAIL),
        (&["http-302"], PAM_AUTHINFO_UNAVAIL),
        (&["garbage"], PAM_AUTHINFO_UNAVAIL),
        (&["oversize"], PAM_AUTHINFO_UNAVAIL),
        (&["half-body"], PAM_AUTHINFO_UNAVAIL),
        (&["hang-up"], PAM_AUTHINFO_UNAVAIL),
        (
            &["escape", "bare-message", "\u{8}\n\r\u{7f}INCORRECT"],
            PAM_AUTH_ERR,
        ),
    ];
    let answers = calls.iter().flat_map(|(answers, _)| *answers);
    let case = Case::against(&ivalt)
        .argument("debug")
        .calls(&[Entry::Authenticate; 12]);
    let settings = case.settings(&ivalt).set("api", "timeout_seconds", 30);
    let case = answers.fold(case.with_settings(&settings), |case, answer| {
        case.answer(*answer)
    });
    assert_eq!(
        checked(case).codes(Entry::Authenticate),
        calls.map(|(_, code)| code)
    );
}

#[sandbox_test]
fn servers_that_fail() {
    if no_program("valgrind") {
        return;
    }
    let refused = case_within(&format!("https://{NOBODY}"), Duration::from_secs(30));
    for (case, cause) in [
        (refused, "connect: connection refused"),
        (
            within(&Server::raw(|stream| reset(&stream)), 30),
            "tls: connection reset",
        ),
    ] {
        assert_eq!(expect(&checked(case), UNAVAILABLE).get("cause"), cause);
    }
    let server = Server::raw(|mut stream| {
        let _ = stream.write_all(&answer("200 OK", "", SUCCESS));
        hold(&stream);
    });
    assert_eq!(
        expect(&checked(within(&server, 30)), UNAVAILABLE).get("cause"),
        "tls: the server does not speak TLS"
    );
    let server = Server::raw(|mut stream| {
        let _ = stream.write_all(&[22, 3, 3, 0, 100, 2, 0]);
        hold(&stream);
    });
    assert_eq!(
        expect(&checked(within(&server, 3)), UNAVAILABLE).get("cause"),
        "timeout after 3 s in tls"
    );
    for (kind, cause) in [
        (Certificate::Expired, "tls: certificate expired"),
        (
            Certificate::UnknownAuthority,
            "tls: certificate of an unknown issuer",
        ),
    ] {
        let server = Server::tls(kind, |_| {});
        assert_eq!(
            expect(&checked(within(&server, 30)), UNAVAILABLE).get("cause"),
            cause
        );
    }
}

#[sandbox_test]
fn ways_to_a_server() {
    if no_program("valgrind") {
        return;
    }
    let server = Server::answering(answer("200 OK", "", SUCCESS));
    let case = case_within(
        &format!("https://valid.example:{}", server.port),
        Duration::from_secs(30),
    );
    let hosts = case
        .dir()
        .write("hosts", "127.0.0.1 valid.example\n", 0o644);
    expect(&checked(case.bind(hosts, "/etc/hosts")), VERIFIED);
    let way = proxy("HTTP/1.1 200 OK\r\n\r\n", Duration::ZERO);
    let through = |way: &Server| {
        let case = within(&server, 30);
        let text = std::fs::read_to_string(case.config()).unwrap();
        case.settings_text(&format!(
            "{text}proxy = \"http://127.0.0.1:{}\"\n",
            way.port
        ))
    };
    expect(&checked(through(&way)), VERIFIED);
}

#[sandbox_test]
fn names() {
    if no_program("valgrind") {
        return;
    }
    let Some(list) = servers(&[
        Kind::Addresses(&[std::net::Ipv4Addr::LOCALHOST]),
        Kind::NameError,
        Kind::Silent,
    ]) else {
        return;
    };
    let server = Server::answering(answer("200 OK", "", SUCCESS));
    expect(
        &checked(dns::case("valid.example", server.port, 30, &list[..1])),
        VERIFIED,
    );
    for dead in &list[1..] {
        let case = dns::case("valid.example", server.port, 1, &[*dead]);
        let line = expect(&checked(case), UNAVAILABLE);
        assert!(line.get("cause").starts_with("dns: "), "{line:?}");
    }
}

#[sandbox_test]
fn users_and_settings_that_cannot_be_used() {
    if no_program("valgrind") {
        return;
    }
    let ivalt = StandIn::start();
    let case = || Case::against(&ivalt).answer("accept-1");
    let users = "[users]\nalice = \"+916283974746\"\nalice = 1\nfirst.last = \"+1\"\n\"\\u0061b\" = { mobile = 5 }\nx = [[1]]\n";
    expect(&checked(case().users(users)), BAD_ENTRY);
    expect(
        &checked(case().users(users).user(b"\xff\xfe".as_slice())),
        NOT_ENROLLED,
    );
    for text in [
        "[api]\nkey = \"k\"\nkey = \"k\"\n",
        "[api]\nkey = \"k\"\nca_file = \"/nonexistent\"\n",
    ] {
        expect(&checked(case().settings_text(text)), MISCONFIGURED);
    }
}

#[sandbox_test]
fn applications_of_every_kind() {
    if no_program("valgrind") {
        return;
    }
    let ivalt = StandIn::start();
    let mut nobody = Case::against(&ivalt);
    nobody.script.conversation = Conversation::NullPointer;
    expect(&checked(nobody), UNANSWERED);
    let calls = [
        Entry::Authenticate,
        Entry::Authenticate,
        Entry::Authenticate,
    ];
    let empty = Case::against(&ivalt)
        .calls(&calls)
        .answer("")
        .answer(Reply::error(PAM_CONV_ERR));
    let no_reply = Reply {
        no_reply: true,
        ..Reply::default()
    };
    assert_eq!(
        checked(empty.answer(no_reply)).codes(Entry::Authenticate),
        [PAM_CONV_ERR; 3]
    );
    let every = [
        Entry::Authenticate,
        Entry::Setcred,
        Entry::AcctMgmt,
        Entry::OpenSession,
        Entry::CloseSession,
        Entry::Chauthtok,
    ];
    let first = Case::against(&ivalt);
    let settings = first.settings(&ivalt).set("api", "timeout_seconds", 30);
    let first = first
        .with_settings(&settings)
        .argument("use_first_pass")
        .authtok("accept-1")
        .calls(&every);
    assert_eq!(checked(first).code(), PAM_SUCCESS);
    let password = Case::against(&ivalt).authtok("accept-1").answer("accept-1");
    expect(&checked(password), PASSWORD);
}

#[sandbox_test]
fn a_panic() {
    if no_program("valgrind") {
        return;
    }
    let ivalt = StandIn::start();
    let dir = TempDir::new();
    let case = Case::against(&ivalt).preload(&compiled("clock_fails_once", &dir));
    let report = checked(case.answer("accept-1"));
    assert_eq!(
        (report.code(), report.log_line().reason()),
        (PAM_ABORT, "internal".into())
    );
}

#[sandbox_test]
fn recovery_codes() {
    if no_program("valgrind") {
        return;
    }
    let ivalt = StandIn::start();
    let (case, codes, texts) = with_codes(&ivalt, 3);
    codes.add("alice", 4, Some(MADE + 1));
    let case = case.calls(&[Entry::Authenticate; 3]);
    let answers = ["rc-", &texts[0], &texts[0], "rc-0", "accept-1", &texts[1]];
    let case = answers
        .iter()
        .fold(case, |case, answer| case.answer(*answer));
    let settings = codes::settings(&case, &ivalt, &codes).set("api", "timeout_seconds", 30);
    let report = checked(case.with_settings(&settings));
    assert_eq!(report.codes(Entry::Authenticate), [PAM_SUCCESS; 3]);
}

/// Approved, denied, held back, and a token, one after the other.
#[sandbox_test]
fn requests_to_phones() {
    if no_program("valgrind") {
        return;
    }
    let ivalt = StandIn::start();
    let host = Host::new();
    let owner = host.owner(&ivalt, 1);
    let case = owner.case_in_real_time().calls(&[Entry::Authenticate; 5]);
    let approved = owner.taps_and(&case, "approve-once", "");
    let denied = owner.taps_and(&case, "deny", "");
    let case = case.answer("").answer(approved).answer("").answer(denied);
    let case = case.answer("").answer("accept-1").answer("");
    let settings = owner.settings(&case).set("api", "timeout_seconds", 30);
    let report = checked(case.with_settings(&settings));
    let reasons: Vec<_> = report
        .log_lines()
        .iter()
        .map(|line| line.reason())
        .collect();
    assert_eq!(
        reasons,
        [
            "push-approved",
            "push-denied",
            "push-limited",
            "verified",
            "push-limited"
        ]
    );
    // And one whose approval is of another phone.
    let owner = host.owner(&ivalt, 2);
    owner.will_answer(&["pending", "sent", "pending", "approved-other"]);
    let case = owner.case_in_real_time().answer("").answer("");
    let settings = owner.settings(&case).set("api", "timeout_seconds", 30);
    expect(&checked(case.with_settings(&settings)), UNAVAILABLE);
}
