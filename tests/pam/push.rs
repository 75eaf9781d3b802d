//! A login by push: what is asked, what is sent and when, and who is let in.

use std::time::Duration;

use crate::codes;
use crate::expect::*;
use crate::phones::*;
use crate::proxies::proxy;
use crate::table::at_once;
use support::codes::*;
use support::{
    Answer, Conversation, Entry, LogLine, Reply, Report, StandIn, Style, sandbox_test, users,
};

/// A name, answers, and how it ends.
type Ending<'a> = (&'a str, &'a [&'a str], Row);

fn fields<const N: usize>(line: &LogLine, keys: [&str; N]) -> [String; N] {
    keys.map(|key| line.get(key))
}

#[sandbox_test]
fn approved_before_the_first_enter() {
    let ivalt = StandIn::start();
    let host = Host::new();
    for (number, dialect, poll) in [
        (1, "geo-fence-results", POLL),
        (2, "auth-result", AUTH_RESULT),
    ] {
        let owner = host.owner(&ivalt, number);
        let case = owner.with_tap(owner.case().rhost("203.0.113.7"), "approve");
        let settings =
            owner
                .settings(&case)
                .set("push", "dialect", dialect)
                .set("api", "preconnect", false);
        let case = case.with_settings(&settings);
        let report = case.run();
        let line = expect(&report, APPROVED);
        assert_eq!(
            fields(
                &line,
                [
                    "user", "rhost", "http", "code", "detail", "cause", "attempts"
                ]
            ),
            ["alice", "203.0.113.7", "200", "", "", "", "2"]
        );
        assert_eq!(line.get("mobile"), format!("***{}", &owner.mobile[9..]));
        prompts(&report, &[OR_ENTER, APPROVE]);
        assert_eq!(report.told(), [""; 0]);
        assert!(
            report
                .messages()
                .iter()
                .all(|said| said.style == Style::EchoOn)
        );
        assert_eq!(owner.operations(), [poll, START, poll, poll]);
        assert_eq!(ivalt.connections().len(), ivalt.requests().len());
        assert_eq!(sleeps(&case), [0; 0]);
        assert_eq!(owner.held(), None);
    }
}

#[sandbox_test]
fn what_is_sent() {
    let ivalt = StandIn::start();
    let host = Host::new();
    let owner = host.owner(&ivalt, 1);
    expect(&owner.with_tap(owner.case(), "approve").run(), APPROVED);
    for request in ivalt.requests() {
        let path = request["path"].as_str().unwrap();
        assert!(
            ["/", ""].concat().len() == 1 && path.rfind('/') == Some(0),
            "{path}"
        );
        assert_eq!(request["method"], "POST");
        assert_eq!(
            request["raw"],
            format!(r#"{{"mobile":"{}"}}"#, owner.mobile)
        );
        assert_eq!(request["headers"]["x-api-key"], StandIn::API_KEY);
        assert_eq!(request["headers"]["content-type"], "application/json");
        assert_eq!(request["headers"]["accept-encoding"], "identity");
    }
    assert_eq!(ivalt.requests().len(), 4);
    // As written in users.toml, where the API wants it so.
    let case = owner.case().users(&users(&[("alice", "6283974746")]));
    let settings = owner
        .settings(&case)
        .set("token", "mobile_format", "national");
    let case = case.with_settings(&settings).answer("").answer("x");
    case.run();
    assert_eq!(ivalt.requests()[4]["raw"], r#"{"mobile":"6283974746"}"#);
}

/// A phone, what polls after the Enters say, how it ends, how many Enters and polls that takes, and the sleeps between.
type Polled<'a> = (u32, Vec<&'a str>, Row, usize, usize, &'a [u64]);

/// Nobody is kept waiting once the answer is there, and after three of them it is over.
#[sandbox_test]
fn polls_follow_every_enter() {
    let ivalt = StandIn::start();
    let host = Host::new();
    let sent = ["pending", "sent", "pending"];
    let pending = ["pending"; 3];
    let asked = |polls: usize| [vec![POLL, START], vec![POLL; polls + 1]].concat();
    let rows: Vec<Polled> = vec![
        (1, vec!["approved"], APPROVED, 1, 1, &[]),
        (2, vec!["pending", "approved"], APPROVED, 1, 2, &[3]),
        (
            3,
            vec!["pending", "pending", "approved"],
            APPROVED,
            1,
            3,
            &[3, 5],
        ),
        (
            4,
            [&pending[..], &["approved"]].concat(),
            APPROVED,
            2,
            4,
            &[3, 5],
        ),
        (
            5,
            [&pending[..], &["pending", "denied"]].concat(),
            DENIED,
            2,
            5,
            &[3, 5, 3],
        ),
        (
            6,
            [&pending[..], &pending, &["approved"]].concat(),
            APPROVED,
            3,
            7,
            &[3, 5, 3, 5],
        ),
        (7, vec![], NOT_APPROVED, 3, 9, &[3, 5, 3, 5, 3, 5]),
    ];
    at_once(rows, |(number, answers, row, enters, polls, slept)| {
        let owner = host.owner(&ivalt, number);
        owner.will_answer(&[&sent[..], &answers].concat());
        let mut case = owner.case();
        case.script.answers = vec!["".into(); 9];
        let report = case.run();
        let line = expect(&report, row);
        let said = [vec![OR_ENTER, APPROVE], vec![AGAIN; enters - 1]].concat();
        prompts(&report, &said);
        assert_eq!(line.get("attempts"), (enters + 1).to_string());
        assert_eq!(owner.operations(), asked(polls), "{number}");
        assert_eq!(sleeps(&case), slept, "{number}");
        let told: &[&str] = match row.1 {
            "push-approved" => &[],
            "push-denied" => &[SAID_NO],
            _ => &[NOBODY],
        };
        assert_eq!(report.told(), told);
        assert_eq!(owner.held().is_some(), row.0 == "deny");
        if row.1 == "push-unanswered" {
            let pending = "The mobile number provided (***) was not found.";
            assert_eq!(
                fields(&line, ["http", "code", "detail", "cause"]),
                ["404", "", pending, ""]
            );
        }
    });
}

/// The same by the system's own clocks.
#[sandbox_test]
fn polls_wait_three_and_five_seconds() {
    let ivalt = StandIn::start();
    let host = Host::new();
    let rows = [
        (1, ["pending", "approved", "approved"], 3_000, 2),
        (2, ["pending", "pending", "approved"], 8_000, 3),
    ];
    at_once(rows.into(), |(number, answers, least, polls)| {
        let owner = host.owner(&ivalt, number);
        owner.will_answer(&[&["pending", "sent", "pending"][..], &answers].concat());
        let case = owner.case_in_real_time().answer("").answer("");
        let report = case.run();
        let line = expect(&report, APPROVED);
        assert_eq!(owner.operations().len(), 3 + polls);
        let elapsed = report.authenticate().elapsed_ms;
        assert!((least..least + 20_000).contains(&elapsed), "{elapsed} ms");
        // Nobody asked iVALT meanwhile.
        let asking: u64 = line.get("elapsed_ms").parse().unwrap();
        assert!(asking < least, "{asking} ms");
    });
}

/// The sentence names what the service names.
#[sandbox_test]
fn denied_on_the_phone_by_place_or_by_hours() {
    let ivalt = StandIn::start();
    let host = Host::new();
    for (number, tap, http, sentence) in [
        (1, "deny", "403", SAID_NO),
        (
            2,
            "geofence",
            "403",
            "The request was denied: outside the allowed area.",
        ),
        (
            3,
            "hours",
            "403",
            "The request was denied: outside the allowed hours.",
        ),
    ] {
        for dialect in ["geo-fence-results", "auth-result"] {
            let owner = host.owner(
                &ivalt,
                if dialect == "auth-result" {
                    number + 3
                } else {
                    number
                },
            );
            let case = owner.with_tap(owner.case(), tap);
            let settings = owner.settings(&case).set("push", "dialect", dialect);
            let report = case.with_settings(&settings).answer("").run();
            let line = expect(&report, DENIED);
            assert_eq!(fields(&line, ["http", "code", "attempts"]), [http, "", "2"]);
            assert!(!line.get("detail").is_empty());
            assert_eq!(report.told(), [sentence], "{tap} {dialect}");
            prompts(&report, &[OR_ENTER, APPROVE]);
            assert!(owner.held().is_some());
        }
    }
}

/// What anybody else approved, or approved before, lets nobody in.
#[sandbox_test]
fn an_approval_from_before_is_stale() {
    let ivalt = StandIn::start();
    let host = Host::new();
    let owner = host.owner(&ivalt, 1);
    for (answers, http, asked) in [
        (&["approved"][..], "200", &[POLL][..]),
        (
            &["pending", "sent", "approved"],
            "200",
            &[POLL, START, POLL],
        ),
        (&["denied", "sent", "denied"], "403", &[POLL, START, POLL]),
        (
            &["pending", "sent", "geofence"],
            "403",
            &[POLL, START, POLL],
        ),
    ] {
        let before = owner.operations().len();
        owner.will_answer(answers);
        let report = owner.case().answer("").answer("").run();
        let line = expect(&report, STALE);
        assert_eq!(fields(&line, ["http", "attempts"]), [http, "1"]);
        prompts(&report, &[OR_ENTER]);
        assert_eq!(report.told(), [STILL_OPEN]);
        assert_eq!(owner.operations()[before..], *asked);
        assert_eq!(owner.held(), None, "{answers:?}");
    }
}

/// The service may leave an approval to be read for as long as it likes.
#[sandbox_test]
fn a_sticky_approval_lets_in_once() {
    let ivalt = StandIn::start();
    let host = Host::new();
    let owner = host.owner(&ivalt, 1);
    expect(
        &owner.with_tap(owner.case(), "approve-sticky").run(),
        APPROVED,
    );
    for _ in 0..2 {
        expect(&owner.case().answer("").answer("").run(), STALE);
    }
    // One that is read once is gone, and the next login is one of its own.
    let owner = host.owner(&ivalt, 2);
    for _ in 0..2 {
        expect(
            &owner.with_tap(owner.case(), "approve-once").run(),
            APPROVED,
        );
    }
    // And one that the next request voids is noticed before that.
    let owner = host.owner(&ivalt, 3);
    expect(&owner.with_tap(owner.case(), "approve").run(), APPROVED);
    expect(&owner.case().answer("").run(), STALE);
}

/// NULL, the end of input and an application that does not ask are no Enter.
#[sandbox_test]
fn no_answer_is_no_enter() {
    let ivalt = StandIn::start();
    let host = Host::new();
    let owner = host.owner(&ivalt, 1);
    let no_reply = Reply {
        no_reply: true,
        ..Reply::default()
    };
    let nothing: [Answer; 3] = [
        Answer::Nothing,
        Reply::error(PAM_CONV_ERR).into(),
        no_reply.into(),
    ];
    for answer in nothing.clone() {
        let report = owner.case().answer(answer).answer("").run();
        expect(&report, UNANSWERED);
        prompts(&report, &[OR_ENTER]);
    }
    let mut nobody = owner.case();
    nobody.script.conversation = Conversation::NullPointer;
    expect(&nobody.run(), UNANSWERED);
    assert_eq!(owner.operations(), [""; 0]);
    assert!(!owner.record().exists());
    // At the second prompt the request is on the phone: a tap would approve the next one.
    for (number, answer) in (2..).zip(nothing) {
        let owner = host.owner(&ivalt, number);
        let report = owner.case().answer("").answer(answer).answer("").run();
        let line = expect(&report, UNANSWERED);
        assert_eq!(line.get("attempts"), "1");
        prompts(&report, &[OR_ENTER, APPROVE]);
        assert_eq!(owner.operations(), [POLL, START, POLL]);
        assert!(owner.held().is_some());
    }
}

/// White space is no answer either, as for tokens.
#[sandbox_test]
fn blanks_are_an_enter() {
    let ivalt = StandIn::start();
    let host = Host::new();
    let owner = host.owner(&ivalt, 1);
    let case = owner.case();
    let tapped = owner.taps_and(&case, "approve", "\r\n");
    expect(&case.answer(" \t").answer(tapped).run(), APPROVED);
}

#[sandbox_test]
fn an_enter_elsewhere_is_no_answer() {
    let ivalt = StandIn::start();
    let host = Host::new();
    let owner = host.owner(&ivalt, 1);
    let with = |section, key, value: serde_json::Value| {
        let case = owner.case();
        let settings = owner.settings(&case).set(section, key, value);
        case.with_settings(&settings)
    };
    let none: &[&str] = &[];
    for (name, case) in [
        ("sshd", with("push", "services", ["sshd"].as_slice().into())),
        (
            "parts",
            with(
                "push",
                "services",
                ["ivalt", "ivalt-test2"].as_slice().into(),
            ),
        ),
        ("none", with("push", "services", none.into())),
        ("off", with("push", "enabled", false.into())),
        ("try", owner.case().argument("try_first_pass")),
        (
            "try and none",
            owner.case().argument("try_first_pass").authtok(""),
        ),
    ] {
        let report = case.answer("").answer("").run();
        assert_eq!(report.prompts(), [PROMPT], "{name}");
        expect(&report, UNANSWERED);
    }
    let case = owner.case().argument("use_first_pass").authtok("");
    expect(&case.answer("").run(), UNANSWERED);
    let case = with("push", "services", ["sshd"].as_slice().into());
    expect(&case.answer("accept-1").run(), VERIFIED);
    // libpam has names of services in lower case.
    let case = with("push", "services", ["sshd", "IVALT-Test"].as_slice().into());
    prompts(&case.run(), &[OR_ENTER]);
    assert_eq!(owner.operations(), ["auth"]);
    assert!(!owner.host.folder().exists());
}

/// The service is the one of the stack, and `sshd` is the default.
#[sandbox_test]
fn sshd_is_the_service_where_none_is_named() {
    let ivalt = StandIn::start();
    let host = Host::new();
    let owner = host.owner(&ivalt, 1);
    let mut case = owner.case();
    let settings = owner.settings(&case).without("push", "services");
    case = case.with_settings(&settings).answer("");
    expect(&case.run(), UNANSWERED);
    case.script.service = "sshd".to_owned();
    case.write_service_file();
    std::fs::rename(case.dir().join("ivalt-test"), case.dir().join("sshd")).unwrap();
    owner.will_answer(&["approved"]);
    let report = case.run();
    assert_eq!(report.log_line().reason(), "push-stale");
    prompts(&report, &[OR_ENTER]);
}

#[sandbox_test]
fn prompt_and_echo_are_the_administrators_here_too() {
    let ivalt = StandIn::start();
    let host = Host::new();
    let owner = host.owner(&ivalt, 1);
    let case = owner.with_tap(owner.case(), "approve");
    let settings = owner
        .settings(&case)
        .set("token", "prompt", "Code or Enter? ")
        .set("token", "echo", false);
    let report = case.with_settings(&settings).run();
    expect(&report, APPROVED);
    prompts(&report, &["Code or Enter? ", APPROVE]);
    assert!(
        report
            .messages()
            .iter()
            .all(|said| said.style == Style::EchoOff)
    );
    // Even if it is the default of hosts without push.
    let case = owner.case();
    let settings = owner.settings(&case).set("token", "prompt", PROMPT);
    prompts(&case.with_settings(&settings).run(), &[PROMPT]);
}

#[sandbox_test]
fn a_token_is_still_a_token() {
    let ivalt = StandIn::start();
    let host = Host::new();
    let owner = host.owner(&ivalt, 1);
    let report = owner.case().answer("accept-1").run();
    expect(&report, VERIFIED);
    prompts(&report, &[OR_ENTER]);
    let report = owner
        .case()
        .answer("reject-1")
        .answer("two words")
        .answer("reject-2")
        .run();
    expect(&report, EXHAUSTED);
    let refused = format!("{REFUSED} {OR_ENTER}");
    let malformed = format!("That is not an iVALT token. {OR_ENTER}");
    prompts(&report, &[OR_ENTER, &refused, &malformed]);
    // Who is refused a token may still press Enter.
    let case = owner.case();
    let tapped = owner.taps_and(&case, "approve", "");
    let report = case.answer("reject-3").answer("").answer(tapped).run();
    assert_eq!(expect(&report, APPROVED).get("attempts"), "3");
    prompts(&report, &[OR_ENTER, &refused, APPROVE]);
}

/// Judged as at the first prompt; the request is nobody's from then on.
#[sandbox_test]
fn another_answer_at_the_second_prompt() {
    let ivalt = StandIn::start();
    let host = Host::new();
    let rows: [Ending; 7] = [
        ("token", &["accept-1"], VERIFIED),
        ("outage", &["http-503"], UNAVAILABLE),
        ("password", &["hunter2"], PASSWORD),
        ("user name", &["alice", "alice", "alice"], MALFORMED),
        (
            "dummy",
            &["\u{8}\n\r\u{7f}INCORRECT", "\u{8}\n\r\u{7f}INC", "\u{8}"],
            MALFORMED,
        ),
        ("malformed", &["two words", "no token", "x y"], MALFORMED),
        ("refused", &["reject-1", "reject-2", "reject-3"], EXHAUSTED),
    ];
    at_once(
        (1..).zip(rows).collect(),
        |(number, (name, answers, row))| {
            let owner = host.owner(&ivalt, number);
            let case = owner.case().authtok("hunter2").answer("");
            let case = answers
                .iter()
                .fold(case, |case, answer| case.answer(*answer));
            let report = case.run();
            expect(&report, row);
            assert_eq!(report.prompts()[..2], [OR_ENTER, APPROVE], "{name}");
            let asked = owner.operations();
            assert_eq!(asked[..3], [POLL, START, POLL], "{name}");
            let tokens = asked[3..].iter().filter(|operation| *operation == "auth");
            assert_eq!(tokens.count(), asked.len() - 3, "{name}: {asked:?}");
            assert!(owner.held().is_some(), "{name}");
        },
    );
}

/// A refusal there asks as at the first, and an Enter to that finds the phone held.
#[sandbox_test]
fn after_a_refused_token_at_the_second_prompt() {
    let ivalt = StandIn::start();
    let host = Host::new();
    let owner = host.owner(&ivalt, 1);
    let refused = format!("{REFUSED} {OR_ENTER}");
    let report = owner
        .case()
        .answer("")
        .answer("reject-1")
        .answer("accept-2")
        .run();
    expect(&report, VERIFIED);
    prompts(&report, &[OR_ENTER, APPROVE, &refused]);
    let owner = host.owner(&ivalt, 2);
    let report = owner.case().answer("").answer("reject-1").answer("").run();
    expect(&report, LIMITED);
    prompts(&report, &[OR_ENTER, APPROVE, &refused]);
    assert_eq!(report.told(), [HELD_BACK]);
}

#[sandbox_test]
fn a_recovery_code_at_the_second_prompt() {
    let ivalt = StandIn::start();
    let host = Host::new();
    let owner = host.owner(&ivalt, 1);
    let case = owner.case();
    let codes = codes::Codes::new(&case);
    let texts = codes.make("alice", 2);
    let settings = owner.settings(&case).set("recovery", "codes", true).set(
        "recovery",
        "directory",
        codes.directory.to_str().unwrap(),
    );
    let report = case
        .with_settings(&settings)
        .answer("")
        .answer(texts[0].as_str())
        .run();
    let line = expect(&report, codes::ACCEPTED);
    assert_eq!(
        fields(&line, ["http", "code", "detail"]),
        ["", "", "code 1, 1 left"]
    );
    assert!(owner.held().is_some());
}

/// Everybody is asked alike, and waits alike.
#[sandbox_test]
fn users_who_cannot_get_in_see_the_same_prompts_and_nothing_leaves() {
    let ivalt = StandIn::start();
    let host = Host::new();
    for (entry, row) in [
        ("", NOT_ENROLLED),
        (
            "alice = { mobile = \"+916283900001\", enabled = false }\n",
            DISABLED,
        ),
        ("alice = \"4155550100\"\n", BAD_ENTRY),
    ] {
        let owner = host.owner(&ivalt, 1);
        let mut case = owner.case().users(&format!("[users]\n{entry}"));
        case.script.answers = vec!["".into(); 9];
        let report = case.run();
        let line = expect(&report, row);
        assert_eq!(fields(&line, ["http", "attempts"]), ["", "4"]);
        prompts(&report, &[OR_ENTER, APPROVE, AGAIN, AGAIN]);
        assert_eq!(report.told(), [NOT_SET_UP]);
        assert_eq!(sleeps(&case), [3, 5, 3, 5, 3, 5]);
        // A token at the second prompt ends it as one at the first does.
        case.script.answers = vec!["".into(), "accept-1".into()];
        let report = case.run();
        expect(&report, row);
        prompts(&report, &[OR_ENTER, APPROVE]);
    }
    assert_eq!((ivalt.connections().len(), ivalt.requests().len()), (0, 0));
    assert!(!host.folder().exists());
}

/// As the application or another administrator may do while a prompt is open.
#[sandbox_test]
fn whose_phone_it_is_is_looked_up_after_each_answer() {
    let ivalt = StandIn::start();
    let host = Host::new();
    let other = ("bob", "+14155550100");
    let becomes = |name: &str| Reply {
        answer: Some("".into()),
        set_user: Some(name.into()),
        ..Reply::default()
    };
    // At the first prompt: the request goes to the one who is meant then.
    let owner = host.owner(&ivalt, 1);
    let case = owner
        .case()
        .users(&users(&[("alice", &owner.mobile), other]));
    let case = case.answer(becomes("bob"));
    let line = expect(&case.run(), UNANSWERED);
    assert_eq!(fields(&line, ["user", "mobile"]), ["bob", "***0100"]);
    assert_eq!(owner.operations(), [""; 0]);
    assert_eq!(ivalt.operations(other.1), [POLL, START, POLL]);
    let case = owner.case().answer(becomes("mallory")).answer("");
    expect(&case.run(), UNANSWERED);
    assert_eq!(owner.operations(), [""; 0]);
    // At the second: whatever the phone of the other says is not about this login.
    let owner = host.owner(&ivalt, 2);
    let case = owner.case().users(&users(&[
        ("alice", &owner.mobile),
        ("dora", "+14155550177"),
    ]));
    owner.will_answer(&["pending", "sent", "pending", "approved"]);
    let report = case.answer("").answer(becomes("dora")).run();
    let line = expect(&report, STALE);
    assert_eq!(line.get("user"), "dora");
    assert_eq!(owner.operations().len(), 3);
    assert_eq!(ivalt.operations("+14155550177"), [""; 0]);
}

/// Whatever is typed there.
#[sandbox_test]
fn an_entry_that_changes_at_the_second_prompt() {
    let ivalt = StandIn::start();
    let host = Host::new();
    let rows = [
        ("", "", NOT_ENROLLED),
        (
            "alice = { mobile = \"MOBILE\", enabled = false }\n",
            "",
            DISABLED,
        ),
        ("alice = 1\n", "", BAD_ENTRY),
        ("alice = \"+14155550100\"\n", "", STALE),
        ("", "accept-1", NOT_ENROLLED),
        (
            "alice = { mobile = \"MOBILE\", enabled = false }\n",
            "accept-2",
            DISABLED,
        ),
        ("alice = 1\n", "accept-3", BAD_ENTRY),
    ];
    for (number, (entry, answer, row)) in (1..).zip(rows) {
        let owner = host.owner(&ivalt, number);
        let case = owner.case();
        let entry = entry.replace("MOBILE", &owner.mobile);
        let new = case
            .dir()
            .write("new.toml", format!("[users]\n{entry}"), 0o600);
        let reply = Reply {
            answer: Some(answer.into()),
            renames: vec![(new, case.users_file())],
            ..Reply::default()
        };
        owner.will_answer(&["pending", "sent", "pending", "approved", "approved"]);
        expect(&case.answer("").answer(reply).answer("").run(), row);
        assert_eq!(owner.operations(), [POLL, START, POLL]);
        assert!(owner.is_held());
    }
}

/// sshd asks those whom it has denied like all others, and answers for them.
#[sandbox_test]
fn a_login_that_sshd_has_barred_rings_no_phone() {
    let ivalt = StandIn::start();
    let host = Host::new();
    for (number, password) in [(1, "\u{8}\n\r\u{7f}INCORRECT"), (2, "\u{8}\n\r\u{7f}INC")] {
        let owner = host.owner(&ivalt, number);
        let mut case = owner.case().hidden_authtok(password);
        case.script.answers = vec!["".into(); 9];
        let report = case.run();
        let line = expect(&report, MALFORMED);
        assert_eq!(
            line.get("cause"),
            "sshd sent its dummy password; it has already denied this login"
        );
        assert_eq!(report.prompts()[..4], [OR_ENTER, APPROVE, AGAIN, AGAIN]);
        assert_eq!(owner.operations(), [""; 0]);
        assert!(!owner.record().exists());
    }
}

/// Only what the table calls unavailable for tokens may be tolerated.
#[sandbox_test]
fn no_policy_covers_any_of_it() {
    let ivalt = StandIn::start();
    let host = Host::new();
    let rows: [(&[&str], Row); 7] = [
        (&["http-503"], UNAVAILABLE),
        (&["pending", "http-503"], UNAVAILABLE),
        (&["pending", "sent", "hang-up"], UNAVAILABLE),
        (&["pending", "sent", "pending", "rate-limit"], UNAVAILABLE),
        (&["approved"], STALE),
        (&["pending", "denied"], DENIED),
        (&["forbidden"], KEY_REFUSED),
    ];
    for (number, (answers, row)) in (1..).zip(rows) {
        let owner = host.owner(&ivalt, number);
        owner.will_answer(answers);
        let case = owner.case().answer("").answer("").answer("");
        let settings = owner
            .settings(&case)
            .set("policy", "unavailable", "ignore")
            .set("policy", "unenrolled", "ignore");
        expect(&case.with_settings(&settings).run(), row);
    }
    // What it covers, it still does.
    let owner = host.owner(&ivalt, 99);
    let case = owner.case().answer("http-503");
    let settings = owner.settings(&case).set("policy", "unavailable", "ignore");
    expect(&case.with_settings(&settings).run(), IGNORED_UNAVAILABLE);
}

/// As sudo asks by default.
#[sandbox_test]
fn what_could_not_be_shown_begins_the_next_first_prompt() {
    let ivalt = StandIn::start();
    let host = Host::new();
    let owner = host.owner(&ivalt, 1);
    owner.will_answer(&["approved"]);
    let case = owner.case().silent().calls(&[Entry::Authenticate; 2]);
    let report = case.answer("").answer("accept-1").run();
    let after = format!("{STILL_OPEN} {OR_ENTER}");
    prompts(&report, &[OR_ENTER, &after]);
    assert_eq!(report.told(), [""; 0]);
    assert_eq!(
        report.codes(Entry::Authenticate),
        [PAM_AUTH_ERR, PAM_SUCCESS]
    );
}

/// Of what the service says of the owner nothing is anybody's business.
#[sandbox_test]
fn nothing_of_the_owner_is_logged_or_shown() {
    let ivalt = StandIn::start();
    let host = Host::new();
    let private = [
        "Alice",
        "Liddell",
        "example.org",
        "Oxford",
        "51.75",
        "356938035643809",
        "4711",
    ];
    let rows: [&[&str]; 6] = [
        &["pending", "sent", "pending", "approved"],
        &["approved"],
        &["pending", "sent", "pending", "approved-array"],
        &["pending", "sent", "pending", "approved-other"],
        &["pending", "sent", "pending", "approved-201"],
        &["pending", "sent", "pending", "approved-with-error"],
    ];
    for (number, answers) in (1..).zip(rows) {
        let owner = host.owner(&ivalt, number);
        owner.will_answer(answers);
        let report = owner.case().argument("debug").answer("").answer("").run();
        for word in private {
            assert_eq!(report.places_of(word), [""; 0], "{answers:?}");
        }
        for word in [&owner.mobile[1..], &owner.mobile[3..]] {
            assert_eq!(report.places_of(word), [""; 0], "{answers:?}");
        }
    }
    // A detail is redacted as that of a token is.
    let owner = host.owner(&ivalt, 99);
    owner.will_answer(&["pending", "sent", "pending", "echo"]);
    let report = owner.case().argument("debug").answer("").answer("").run();
    let line = expect(&report, DENIED);
    assert!(
        line.get("detail").starts_with("of ***, ***, by ***, "),
        "{line:?}"
    );
    assert_eq!(report.places_of(StandIn::API_KEY), [""; 0]);
}

/// `debug` adds the steps of the last request to the one line.
#[sandbox_test]
fn debug_says_how_long_the_last_request_took() {
    let ivalt = StandIn::start();
    let host = Host::new();
    let owner = host.owner(&ivalt, 1);
    let case = owner.with_tap(owner.case().argument("debug"), "approve");
    let cause = expect(&case.run(), APPROVED).get("cause");
    let cause = cause.replace(|c: char| c.is_ascii_digit(), "");
    assert_eq!(
        cause,
        "(dns  ms, connect  ms, tls  ms, request  ms, answer  ms)"
    );
}

/// Typing is no time spent on iVALT, and nor is waiting for a tap.
#[sandbox_test]
fn elapsed_is_what_ivalt_took() {
    let ivalt = StandIn::start();
    let host = Host::new();
    let owner = host.owner(&ivalt, 1);
    owner.will_answer(&[
        "slow-150 pending",
        "slow-150 sent",
        "slow-150 pending",
        "pending",
        "slow-150 approved",
    ]);
    let long = Duration::from_millis(900);
    let case = owner
        .case()
        .answer(Reply::slowly("", long))
        .answer(Reply::slowly("", long));
    let line = expect(&case.run(), APPROVED);
    let elapsed: u64 = line.get("elapsed_ms").parse().unwrap();
    assert!((600..3_000).contains(&elapsed), "{elapsed}");
}

fn connections(ivalt: &StandIn) -> usize {
    ivalt.connections().len()
}

/// The first poll goes by the connection that was made while the user read the prompt, if that leads there.
#[sandbox_test]
fn the_connection_made_ahead_serves_the_first_poll() {
    let (api, push) = (StandIn::start(), StandIn::start());
    let host = Host::new();
    // So that it is there before the Enter.
    let typed = || Reply::slowly("", Duration::from_millis(700));
    let owner = host.owner(&api, 1);
    owner.will_answer(&["approved"]);
    let report = owner.case().answer(typed()).run();
    expect(&report, STALE);
    assert_eq!(report.messages()[0].descriptors.len(), 1);
    assert_eq!((connections(&api), api.requests().len()), (1, 1));
    // A port of its own: nothing is sent by that connection.
    let case = owner.case();
    push.will_answer(&owner.mobile, &["approved"]);
    let ca =
        std::fs::read_to_string(api.ca()).unwrap() + &std::fs::read_to_string(push.ca()).unwrap();
    let ca = case.dir().write("both.pem", ca, 0o600);
    let settings = owner
        .settings(&case)
        .set("push", "url", push.push_url())
        .set("api", "ca_file", ca.to_str().unwrap());
    let case = case.with_settings(&settings);
    let report = case.answer(typed()).run();
    expect(&report, STALE);
    assert_eq!((connections(&api), api.requests().len()), (2, 1));
    assert_eq!((connections(&push), push.requests().len()), (1, 1));
    // Another name of the same host is another host.
    owner.will_answer(&["approved"]);
    let case = owner.case();
    let url = api.push_url().replace("127.0.0.1", "localhost");
    let settings = owner.settings(&case).set("push", "url", url);
    expect(&case.with_settings(&settings).answer(typed()).run(), STALE);
    assert_eq!((connections(&api), api.requests().len()), (4, 2));
    // Without it.
    owner.will_answer(&["approved"]);
    let case = owner.case();
    let settings = owner.settings(&case).set("api", "preconnect", false);
    let report = case.with_settings(&settings).answer(typed()).run();
    expect(&report, STALE);
    assert_eq!(report.messages()[0].descriptors.len(), 0);
    assert_eq!((connections(&api), api.requests().len()), (5, 3));
}

/// No connection is open while the user looks at the phone.
#[sandbox_test]
fn nothing_is_open_at_the_second_prompt_but_the_lock() {
    let ivalt = StandIn::start();
    let host = Host::new();
    let owner = host.owner(&ivalt, 1);
    let report: Report = owner.with_tap(owner.case(), "approve").run();
    expect(&report, APPROVED);
    let second = report.messages()[1];
    assert_eq!(second.threads, [""; 0], "{second:?}");
    let record = owner
        .record()
        .file_name()
        .unwrap()
        .to_str()
        .unwrap()
        .to_owned();
    let others = second
        .descriptors
        .iter()
        .filter(|open| !open.contains(&record));
    assert_eq!(others.collect::<Vec<_>>(), [""; 0], "{second:?}");
}

type Change<'a> = &'a dyn Fn(support::Settings) -> support::Settings;

/// As every request to iVALT: by the proxy of the settings, and with its authorities alone.
#[sandbox_test]
fn the_proxy_of_the_settings_is_used() {
    let ivalt = StandIn::start();
    let host = Host::new();
    let owner = host.owner(&ivalt, 1);
    let way = proxy("HTTP/1.1 200 OK\r\n\r\n", Duration::ZERO);
    let case = owner.with_tap(owner.case(), "approve");
    let url = format!("http://127.0.0.1:{}", way.port);
    let settings = owner
        .settings(&case)
        .set("api", "preconnect", false)
        .set("api", "proxy", url);
    expect(&case.with_settings(&settings).run(), APPROVED);
    assert_eq!((way.connections(), connections(&ivalt)), (4, 4));
}

/// One question is one question, with a request to the phone or without.
#[sandbox_test]
fn with_one_attempt() {
    let ivalt = StandIn::start();
    let host = Host::new();
    for (number, answer, row, prompts_seen) in [
        (1, "", APPROVED, 2),
        (2, "reject-1", REJECTED, 2),
        (3, "two words", MALFORMED, 2),
    ] {
        let owner = host.owner(&ivalt, number);
        let case = owner.case();
        let settings = owner.settings(&case).set("token", "attempts", 1);
        let case = case.with_settings(&settings);
        let tapped = owner.taps_and(&case, "approve", answer);
        let report = case.answer("").answer(tapped).answer("accept-1").run();
        expect(&report, row);
        assert_eq!(report.prompts().len(), prompts_seen);
    }
}

/// In the first of two lines under sshd, too; and where its method has not passed, nobody is rung.
#[sandbox_test]
fn after_a_key() {
    let ivalt = StandIn::start();
    let host = Host::new();
    let owner = host.owner(&ivalt, 1);
    let case = || owner.case().argument("only_after=publickey");
    let passed = case().pam_env("SSH_AUTH_INFO_0", "publickey ssh-ed25519 AAAA");
    expect(&owner.with_tap(passed, "approve-once").run(), APPROVED);
    let before = owner.operations().len();
    let observed = owner.with_tap(case(), "approve-once").observe();
    assert_eq!(observed.report().messages().len(), 0);
    assert_eq!(owner.operations().len(), before);
    // A policy's "ignore" is a success there; this is none.
    owner.will_answer(&["http-503"]);
    let passed = case().pam_env("SSH_AUTH_INFO_0", "publickey ssh-ed25519 AAAA");
    let settings = owner
        .settings(&passed)
        .set("policy", "unavailable", "ignore");
    let report = passed.with_settings(&settings).answer("").run();
    expect(&report, UNAVAILABLE);
}

/// Settings that contradict themselves; every key is in the sentence, with its line.
#[sandbox_test]
fn settings_that_are_refused() {
    let ivalt = StandIn::start();
    let host = Host::new();
    let owner = host.owner(&ivalt, 1);
    let refused = |name: &str, change: Change| {
        let case = owner.case();
        let settings = change(owner.settings(&case));
        let case = case.with_settings(&settings).answer("accept-1");
        let report = case.run();
        let line = expect(&report, MISCONFIGURED);
        assert_eq!(report.told(), [BROKEN], "{name}");
        let file = case.config().display().to_string();
        let cause = line.get("cause");
        cause
            .strip_prefix(&file)
            .map(str::to_owned)
            .unwrap_or(cause)
    };
    // It ends in where to read more.
    let unbound = "push.accept_unbound_approvals: must be true where push.enabled is: iVALT ties no approval to a login, \
                   so a tap on the phone may let in whoever else logs in at the same moment; ";
    let push = |key: &'static str, value: serde_json::Value| {
        move |s: support::Settings| s.set("push", key, value.clone())
    };
    let rows: [(Change, &str, &str); 12] = [
        (
            &push("accept_unbound_approvals", false.into()),
            ":13: ",
            unbound,
        ),
        (
            &|s| s.without("push", "accept_unbound_approvals"),
            ":10: ",
            unbound,
        ),
        (
            &|s| s.without("push", "url"),
            ":10: ",
            "push.url: is missing: push.enabled needs it, and it is never derived from api.url; set url = \
             \"https://api.ivalt.com\" under [push]",
        ),
        (
            &push("url", "http://127.0.0.1/".into()),
            ":13: ",
            "push.url: must be a URL that begins with https:// and has no credentials, query or fragment",
        ),
        (
            &|s| s.set("token", "method", "token+face"),
            ":13: ",
            "push.enabled: requires token.method = \"token\": no face token comes with an approval",
        ),
        (
            &push("dialect", "auth".into()),
            ":14: ",
            "push.dialect: must be \"geo-fence-results\" or \"auth-result\"",
        ),
        (
            &push("wait_seconds", 9.into()),
            ":14: ",
            "push.wait_seconds: must be a whole number from 10 to 110",
        ),
        (
            &push("wait_seconds", 111.into()),
            ":14: ",
            "push.wait_seconds: must be a whole number from 10 to 110",
        ),
        (
            &push("max_unanswered", 0.into()),
            ":14: ",
            "push.max_unanswered: must be a whole number from 1 to 60",
        ),
        (
            &push("max_unanswered", 61.into()),
            ":14: ",
            "push.max_unanswered: must be a whole number from 1 to 60",
        ),
        (
            &push("services", "sshd".into()),
            ":13: ",
            "push.services: must be a list of services' names, like [\"sshd\"]",
        ),
        (
            &push("timeout", 5.into()),
            ":14: ",
            "push.timeout: unknown setting; expected one of `enabled`, `accept_unbound_approvals`, `url`, `dialect`, \
             `services`, `wait_seconds`, `max_unanswered`",
        ),
    ];
    for (change, at, sentence) in rows {
        let cause = refused(sentence, change);
        let found = cause.strip_prefix(at).unwrap_or_else(|| panic!("{cause}"));
        let whole = found == sentence || found.starts_with(unbound);
        assert!(whole, "{cause}");
    }
    // Switched off, the rest may be missing or not.
    let case = owner.case();
    for settings in [
        case.settings(&ivalt).set("push", "enabled", false),
        case.settings(&ivalt).set("push", "max_unanswered", 1),
        owner
            .settings(&case)
            .set("push", "enabled", false)
            .set("token", "method", "token+face"),
    ] {
        let case = owner
            .case()
            .with_settings(&settings)
            .answer("accept-1")
            .answer("accept-face");
        expect(&case.run(), VERIFIED);
    }
}
