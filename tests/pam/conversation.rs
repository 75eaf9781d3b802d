//! The user, and anyone who pretends to be one: answers, names and conversations of every kind. Nothing foreign reaches
//! the log or a terminal raw, and what is no answer lets nobody in.

use std::os::unix::fs::symlink;
use std::time::{Duration, Instant};

use crate::expect::*;
use crate::running::{has_begun, signal};
use support::codes::*;
use support::{Answer, Case, Entry, Reply, Report, StandIn, Text, sandbox_test};

/// Everything that C lets into a string.
fn every_byte() -> Vec<u8> {
    (1..=255).collect()
}

/// What a log reader's terminal and the user's would get: ASCII that prints.
#[track_caller]
fn nothing_raw(report: &Report) {
    let prints = |text: &str| text.bytes().all(|byte| matches!(byte, b' '..=b'~'));
    for text in report
        .log()
        .iter()
        .chain(&report.prompts())
        .chain(&report.told())
    {
        assert!(prints(text), "{text:?}");
    }
}

fn with(ivalt: &StandIn, key: &str, value: impl Into<serde_json::Value>) -> Case {
    let case = Case::against(ivalt);
    let settings = case.settings(ivalt).set("token", key, value);
    case.with_settings(&settings)
}

#[sandbox_test]
fn a_conversation_may_fail_with_any_code() {
    let ivalt = StandIn::start();
    for code in (1..=32).chain([-1, 255, i32::MAX, i32::MIN]) {
        let report = Case::against(&ivalt)
            .answer(Reply::error(code))
            .answer("accept-1")
            .run();
        let line = expect(&report, UNANSWERED);
        assert_eq!(
            (line.get("cause"), line.get("attempts")),
            ("no answer from the conversation".into(), "0".into()),
            "{code}"
        );
        assert_eq!(
            (report.prompts().len(), report.told().len()),
            (1, 0),
            "{code}"
        );
    }
    assert_eq!(ivalt.requests().len(), 0);
}

#[sandbox_test]
fn a_conversation_may_fail_at_the_second_question() {
    let ivalt = StandIn::start();
    let no_reply = || Reply {
        no_reply: true,
        ..Reply::default()
    };
    let ends: [(&str, Answer); 4] = [
        (
            "PAM_CONV_ERR, as sudo on Ctrl-C",
            Reply::error(PAM_CONV_ERR).into(),
        ),
        ("success without replies", no_reply().into()),
        ("a reply of NULL", Answer::Nothing),
        ("an empty line", "".into()),
    ];
    for (name, end) in ends {
        let report = Case::against(&ivalt)
            .answer("geofence")
            .answer(end)
            .answer("accept-1")
            .run();
        let line = expect(&report, UNANSWERED);
        let field = |key| line.get(key);
        // The refused token stays in the line; its own word is redacted.
        assert_eq!(
            [
                field("attempts"),
                field("http"),
                field("code"),
                field("detail")
            ],
            ["1", "403", "INVALID_GEOFENCE", "user is outside of the ***"],
            "{name}"
        );
        assert_eq!(report.prompts().len(), 2, "{name}");
    }
    assert_eq!(ivalt.tokens(), ["geofence"; 4]);
}

#[sandbox_test]
fn a_conversation_may_fail_when_asked_for_the_name() {
    let ivalt = StandIn::start();
    let ends: [Answer; 3] = [
        Reply::error(PAM_CONV_ERR).into(),
        Reply::error(PAM_ABORT).into(),
        Answer::Nothing,
    ];
    for end in ends {
        let report = Case::against(&ivalt)
            .without_user()
            .answer(end)
            .answer("accept-1")
            .run();
        let line = expect(&report, UNANSWERED);
        assert_eq!(
            (line.get("user"), line.get("attempts")),
            (String::new(), "0".into())
        );
    }
    assert_eq!(ivalt.requests().len(), 0);
}

#[sandbox_test]
fn a_byte_that_does_not_print_is_in_no_token() {
    let ivalt = StandIn::start();
    let foreign: Vec<u8> = every_byte()
        .into_iter()
        .filter(|byte| !byte.is_ascii_graphic())
        .collect();
    for bytes in foreign.chunks(10) {
        let mut case = with(&ivalt, "attempts", bytes.len());
        for byte in bytes {
            case = case.answer([b"accept", &[*byte][..], b"1"].concat().as_slice());
        }
        let report = case.run();
        let line = expect(&report, MALFORMED);
        assert_eq!(line.get("cause"), "characters outside token.charset");
        assert_eq!(line.get("attempts"), bytes.len().to_string(), "{bytes:?}");
        nothing_raw(&report);
    }
    assert_eq!(ivalt.requests().len(), 0);
}

#[sandbox_test]
fn an_answer_ends_at_its_nul_and_may_be_huge() {
    let ivalt = StandIn::start();
    let report = Case::against(&ivalt)
        .answer(b"accept-1\0\x1b[31m".as_slice())
        .run();
    expect(&report, VERIFIED);
    assert_eq!(ivalt.tokens(), ["accept-1"]);
    for text in ["x", "\x1b[2J", "accept-1\n"] {
        let huge = || Text::Repeated {
            repeat: (text.to_owned(), 100_000),
        };
        let report = Case::against(&ivalt)
            .answer(huge())
            .answer(huge())
            .answer(huge())
            .run();
        let line = expect(&report, MALFORMED);
        assert_eq!(
            (line.get("cause"), line.get("attempts")),
            ("longer than 512 bytes".into(), "3".into())
        );
        assert!(report.authenticate().elapsed_ms < 5_000);
        nothing_raw(&report);
    }
    assert_eq!(ivalt.requests().len(), 1);
}

#[sandbox_test]
fn what_the_application_says_is_quoted_in_the_log() {
    let ivalt = StandIn::start();
    let forged = b"x\" outcome=allow reason=verified\n<86>Jan  1 00:00:00 sshd[1]: pam_ivalt(sshd:auth): outcome=allow";
    for bytes in [
        every_byte(),
        forged.to_vec(),
        b"\x1b]0;title\x07\x1b[2J\r".to_vec(),
        vec![0xff; 300],
    ] {
        let text = || Text::Bytes(bytes.clone());
        let report = Case::against(&ivalt)
            .user(text())
            .rhost(text())
            .tty(text())
            .ruser(text())
            .answer("accept-1")
            .run();
        let line = expect(&report, NOT_ENROLLED);
        for key in ["user", "rhost", "tty", "ruser"] {
            assert_eq!(line.bytes(key), &bytes[..bytes.len().min(256)], "{key}");
        }
        nothing_raw(&report);
    }
    assert_eq!(ivalt.requests().len(), 0);
}

/// libpam finds its file by the service's name in small letters; it may be anything that a file may be called.
#[sandbox_test]
fn a_service_may_be_called_anything() {
    let ivalt = StandIn::start();
    for (service, label) in [
        ("\u{1b}[31m\n\"\\ =", "__31m_____"),
        ("x:auth): outcome=allow", "x:auth_:_outcome_allow"),
        ("dienst\u{e4}", "dienst__"),
        (&"s".repeat(200), &"s".repeat(64)),
    ] {
        let mut case = Case::against(&ivalt).answer("accept-1");
        symlink(&case.script.service, case.dir().join(service)).unwrap();
        service.clone_into(&mut case.script.service);
        let report = case.run();
        let line = report.log_line();
        assert_eq!(line.bytes("service"), service.as_bytes());
        assert_eq!(
            (line.service.as_str(), line.reason()),
            (label, "verified".into())
        );
        nothing_raw(&report);
    }
}

#[sandbox_test]
fn a_name_that_is_typed_and_one_that_is_enrolled_may_hold_anything() {
    let ivalt = StandIn::start();
    let name = "\u{1b}[31m\n\u{e4}\"";
    for (user, row) in [(r#""+916283974746""#, VERIFIED), ("5", BAD_ENTRY)] {
        let users = format!("[users]\n\"\\u001b[31m\\n\u{e4}\\\"\" = {user}\n");
        let report = Case::against(&ivalt)
            .users(&users)
            .without_user()
            .answer(name)
            .answer("accept-1")
            .run();
        assert_eq!(expect(&report, row).bytes("user"), name.as_bytes());
        nothing_raw(&report);
    }
}

#[sandbox_test]
fn what_ivalt_says_reaches_no_terminal() {
    let ivalt = StandIn::start();
    let report = with(&ivalt, "attempts", 1).answer("escape").run();
    let line = expect(&report, REJECTED);
    assert!(line.get("detail").contains("\u{1b}[31malert"), "{line:?}");
    nothing_raw(&report);
    let report = Case::against(&ivalt)
        .answer("escape")
        .answer("accept-1")
        .run();
    expect(&report, VERIFIED);
    assert_eq!(report.prompts().len(), 2);
    nothing_raw(&report);
}

#[sandbox_test]
fn nothing_is_printed_on_the_applications_terminal() {
    let ivalt = StandIn::start();
    for (answer, row) in [
        ("accept-1", VERIFIED),
        ("forbidden", KEY_REFUSED),
        ("garbage", UNAVAILABLE),
        ("", UNANSWERED),
    ] {
        expect(
            &Case::against(&ivalt).on_a_terminal().answer(answer).run(),
            row,
        );
    }
    let broken = Case::against(&ivalt).settings_text("url").on_a_terminal();
    expect(&broken.run(), MISCONFIGURED);
}

/// An application that leaves Ctrl-C to the system, as su does, is gone at once, whatever the call is waiting for.
#[sandbox_test]
fn an_application_that_dies_of_ctrl_c_dies_at_once() {
    let ivalt = StandIn::start();
    let at_the_prompt = Reply::slowly("accept-1", Duration::from_secs(20));
    for (answer, requests) in [(Answer::from(at_the_prompt), 0), ("slow-20000".into(), 1)] {
        for signal_number in [libc::SIGINT, libc::SIGHUP, libc::SIGTERM] {
            let before = ivalt.requests().len();
            let case = Case::against(&ivalt).answer(answer.clone());
            let killed = std::thread::scope(|scope| {
                let run = scope.spawn(|| (case.observe(), Instant::now()));
                let process = has_begun(&case, || ivalt.requests().len() == before + requests);
                let sent = Instant::now();
                signal(process, signal_number);
                let (observed, gone) = run.join().unwrap();
                assert!(gone - sent < Duration::from_secs(3), "{:?}", gone - sent);
                observed
            });
            let ended_by = std::os::unix::process::ExitStatusExt::signal(&killed.status);
            assert_eq!(ended_by, Some(signal_number));
            assert_eq!((killed.stdout.as_str(), killed.stderr.as_str()), ("", ""));
        }
    }
}

/// An application that counts Ctrl-C and goes on, as sudo does, gets an answer all the same: the call is not repeated.
#[sandbox_test]
fn an_application_that_survives_ctrl_c_gets_its_answer() {
    let ivalt = StandIn::start();
    let mut case = Case::against(&ivalt)
        .answer("slow-700")
        .calls(&[Entry::Authenticate]);
    case.script
        .signals
        .insert(libc::SIGINT, support::Disposition::Count);
    let report = std::thread::scope(|scope| {
        let run = scope.spawn(|| case.run());
        signal(
            has_begun(&case, || ivalt.requests().len() == 1),
            libc::SIGINT,
        );
        run.join().unwrap()
    });
    expect(&report, VERIFIED);
    assert_eq!(
        (report.signals[&libc::SIGINT].here, ivalt.requests().len()),
        (1, 1)
    );
}
