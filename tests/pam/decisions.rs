//! Every row of debian/interface.md's table, what may ask again, what is sent, and what the user sees.

use crate::expect::*;
use support::codes::*;
use support::{Act, Answer, Case, Conversation, Entry, StandIn, Style, sandbox_test};

const PROMPT: &str = "iVALT token: ";
const REFUSED: &str = "iVALT refused the token.";
const NOT_SET_UP: &str = "iVALT is not set up for this account.";
const UNREACHABLE: &str = "iVALT cannot be reached.";
const BROKEN: &str = "iVALT is not set up correctly on this system; please tell its administrator.";

#[sandbox_test]
fn an_accepted_token_lets_in() {
    let ivalt = StandIn::start();
    let report = Case::against(&ivalt)
        .rhost("203.0.113.7")
        .tty("ssh")
        .ruser("bob")
        .answer("accept-1")
        .run();
    let line = expect(&report, VERIFIED);
    for (key, value) in [
        ("user", "alice"),
        ("service", "ivalt-test"),
        ("rhost", "203.0.113.7"),
        ("tty", "ssh"),
        ("ruser", "bob"),
        ("mobile", "***4746"),
        ("http", "200"),
        ("code", ""),
        ("detail", ""),
        ("cause", ""),
        ("attempts", "1"),
    ] {
        assert_eq!(line.get(key), value, "{key}");
    }
    assert_eq!((report.prompts(), report.told()), (vec![PROMPT], vec![]));
    assert_eq!(report.messages()[0].style, Style::EchoOn);
    let requests = ivalt.requests();
    assert_eq!(requests.len(), 1);
    assert_eq!(
        (&requests[0]["method"], &requests[0]["path"]),
        (
            &"POST".into(),
            &"/admin/public/api/validate/global/rest/auth".into()
        )
    );
    assert_eq!(
        requests[0]["raw"],
        r#"{"mobile":"+916283974746","auth_token":"accept-1"}"#
    );
    assert_eq!(requests[0]["headers"]["x-api-key"], StandIn::API_KEY);
    assert_eq!(requests[0]["headers"]["content-type"], "application/json");
    assert_eq!(requests[0]["headers"]["accept"], "application/json");
    assert_eq!(requests[0]["headers"]["accept-encoding"], "identity");
    let agent = concat!("pam_ivalt/", env!("CARGO_PKG_VERSION"));
    assert_eq!(requests[0]["headers"]["user-agent"], agent);
}

#[sandbox_test]
fn white_space_around_a_token_is_not_sent() {
    let ivalt = StandIn::start();
    expect(
        &Case::against(&ivalt).answer(" \taccept-1\r\n").run(),
        VERIFIED,
    );
    assert_eq!(ivalt.tokens(), ["accept-1"]);
}

#[sandbox_test]
fn refusals_ask_again_with_the_reason_in_the_prompt() {
    let ivalt = StandIn::start();
    let report = Case::against(&ivalt)
        .answer("geofence")
        .answer("timezone")
        .answer("reject-1")
        .run();
    let line = expect(&report, EXHAUSTED);
    assert_eq!(line.get("attempts"), "3");
    assert_eq!(
        (line.get("http"), line.get("code")),
        ("403".into(), "AUTHENTICATION_FAILED".into())
    );
    assert_eq!(line.get("detail"), "authentication failed");
    let prompts = [
        PROMPT.to_owned(),
        format!("iVALT refused the token: outside the allowed area. {PROMPT}"),
        format!("iVALT refused the token: outside the allowed time zone. {PROMPT}"),
    ];
    assert_eq!(
        (report.prompts(), report.told()),
        (prompts.iter().map(String::as_str).collect(), vec![REFUSED])
    );
    assert_eq!(ivalt.tokens(), ["geofence", "timezone", "reject-1"]);
    let report = Case::against(&ivalt)
        .answer("reject-2")
        .answer("no!")
        .answer("accept-2")
        .run();
    assert_eq!(expect(&report, VERIFIED).get("attempts"), "3");
}

#[sandbox_test]
fn one_attempt_is_no_maxtries() {
    let ivalt = StandIn::start();
    let case = Case::against(&ivalt);
    let settings = case.settings(&ivalt).set("token", "attempts", 1);
    let report = case
        .with_settings(&settings)
        .answer("geofence")
        .answer("accept-1")
        .run();
    expect(&report, REJECTED);
    assert_eq!(
        report.told(),
        ["iVALT refused the token: outside the allowed area."]
    );
    assert_eq!(ivalt.tokens(), ["geofence"]);
}

#[sandbox_test]
fn every_way_to_refuse_is_a_refusal() {
    let ivalt = StandIn::start();
    for (token, http, code, detail) in [
        (
            "reject-1",
            "403",
            "AUTHENTICATION_FAILED",
            "authentication failed",
        ),
        ("unknown-user", "404", "USER_NOT_FOUND", "user not found"),
        ("invalid-mobile", "422", "INVALID_MOBILE", "invalid mobile"),
        ("bare-detail", "400", "", "bare detail"),
        ("bare-message", "400", "", "bare message"),
        (
            "soft-reject",
            "200",
            "AUTHENTICATION_FAILED",
            "authentication failed",
        ),
        ("http-401", "401", "", "status 401"),
        ("http-499", "499", "", "status 499"),
        ("success-400", "400", "", ""),
        ("body:{\"status\":\"Success\"}", "200", "", ""),
        ("body:{\"status\":\"success\\u0020\"}", "200", "", ""),
    ] {
        let case = Case::against(&ivalt);
        let settings = case.settings(&ivalt).set("token", "attempts", 1);
        let line = expect(&case.with_settings(&settings).answer(token).run(), REJECTED);
        assert_eq!(
            (line.get("http"), line.get("code")),
            (http.into(), code.into()),
            "{token}"
        );
        if token != "success-400" {
            assert_eq!(line.get("detail"), detail, "{token}");
        }
    }
}

#[sandbox_test]
fn what_is_no_answer_is_unavailable_and_asked_once() {
    let ivalt = StandIn::start();
    for (token, http, cause) in [
        ("http-500", "500", "answer: HTTP 500"),
        ("http-503", "503", "answer: HTTP 503"),
        ("http-408", "408", "answer: HTTP 408"),
        ("rate-limit", "429", "answer: HTTP 429"),
        (
            "success-302",
            "302",
            "answer: HTTP 302, a redirect, is not followed",
        ),
        (
            "http-307",
            "307",
            "answer: HTTP 307, a redirect, is not followed",
        ),
        ("success-500", "500", "answer: HTTP 500"),
        (
            "garbage",
            "200",
            "answer: HTTP 200 without a JSON object that has one status",
        ),
        (
            "empty",
            "200",
            "answer: HTTP 200 without a JSON object that has one status",
        ),
        (
            "html",
            "200",
            "answer: HTTP 200 without a JSON object that has one status",
        ),
        (
            "http-204",
            "204",
            "answer: HTTP 204 without a JSON object that has one status",
        ),
        ("oversize", "200", "answer: HTTP 200 longer than 64 KiB"),
        ("hang-up", "", "answer: the server closed the connection"),
        (
            "half-body",
            "200",
            "answer: the server closed the connection",
        ),
    ] {
        let before = ivalt.requests().len();
        let report = Case::against(&ivalt).answer(token).answer("accept-1").run();
        let line = expect(&report, UNAVAILABLE);
        assert_eq!(
            (line.get("http"), line.get("cause")),
            (http.into(), cause.into()),
            "{token}"
        );
        assert_eq!(
            (report.prompts(), report.told()),
            (vec![PROMPT], vec![UNREACHABLE]),
            "{token}"
        );
        assert_eq!(ivalt.requests().len(), before + 1, "{token}");
    }
    assert!(
        ivalt
            .requests()
            .iter()
            .all(|request| request["path"] != "/elsewhere")
    );
}

#[sandbox_test]
fn a_refused_api_key_is_the_hosts_fault() {
    let ivalt = StandIn::start();
    let case = Case::against(&ivalt);
    let settings = case.settings(&ivalt).set("api", "key", "wrong-key");
    let report = case
        .with_settings(&settings)
        .answer("accept-1")
        .answer("accept-1")
        .run();
    let line = expect(&report, KEY_REFUSED);
    assert_eq!(
        (line.get("http"), line.get("detail")),
        ("403".into(), "Forbidden".into())
    );
    assert_eq!(
        (report.prompts(), report.told()),
        (vec![PROMPT], vec![BROKEN])
    );
    for (token, http) in [("forbidden", "403"), ("api-key-invalid", "401")] {
        let line = expect(&Case::against(&ivalt).answer(token).run(), KEY_REFUSED);
        assert_eq!(line.get("http"), http);
    }
}

#[sandbox_test]
fn who_is_not_enrolled_is_asked_like_all_others() {
    let ivalt = StandIn::start();
    let users = "[users]\nalice = \"+916283974746\"\ncarol = { mobile = \"+916283974747\", enabled = false }\ndave = 5\n";
    for (user, row, mobile) in [
        ("bob", NOT_ENROLLED, ""),
        ("carol", DISABLED, "***4747"),
        ("dave", BAD_ENTRY, ""),
    ] {
        for answer in ["accept-1", "no good token"] {
            let report = Case::against(&ivalt)
                .users(users)
                .user(user)
                .answer(answer)
                .answer("accept-2")
                .run();
            let line = expect(&report, row);
            assert_eq!(
                (line.get("user"), line.get("mobile"), line.get("attempts")),
                (user.into(), mobile.into(), "1".into())
            );
            assert_eq!(
                (report.prompts(), report.told()),
                (vec![PROMPT], vec![NOT_SET_UP])
            );
        }
        expect(
            &Case::against(&ivalt).users(users).user(user).run(),
            UNANSWERED,
        );
    }
    assert_eq!((ivalt.requests().len(), ivalt.connections().len()), (0, 0));
}

#[sandbox_test]
fn unenrolled_is_ignored_only_by_policy_and_only_without_any_entry() {
    let ivalt = StandIn::start();
    let users = "[users]\ncarol = { mobile = \"+916283974747\", enabled = false }\ndave = 5\n";
    for (user, row, prompts) in [
        ("bob", IGNORED_UNENROLLED, 0),
        ("carol", DISABLED, 1),
        ("dave", BAD_ENTRY, 1),
    ] {
        let case = Case::against(&ivalt).users(users).user(user);
        let settings = case.settings(&ivalt).set("policy", "unenrolled", "ignore");
        let report = case.with_settings(&settings).answer("accept-1").run();
        expect(&report, row);
        assert_eq!(report.prompts().len(), prompts);
    }
    assert_eq!(ivalt.requests().len(), 0);
    // The rest of the stack decides.
    let case = Case::against(&ivalt)
        .users(users)
        .user("bob")
        .line_after("auth required pam_permit.so");
    let settings = case.settings(&ivalt).set("policy", "unenrolled", "ignore");
    assert_eq!(case.with_settings(&settings).run().code(), PAM_SUCCESS);
}

#[sandbox_test]
fn unavailable_is_ignored_only_by_policy() {
    let ivalt = StandIn::start();
    let tolerant = |token: &str| {
        let case = Case::against(&ivalt).answer(token);
        let settings = case
            .settings(&ivalt)
            .set("policy", "unavailable", "ignore")
            .set("token", "attempts", 1);
        case.with_settings(&settings).run()
    };
    let line = expect(&tolerant("http-503"), IGNORED_UNAVAILABLE);
    assert_eq!(line.get("cause"), "answer: HTTP 503");
    expect(&tolerant("garbage"), IGNORED_UNAVAILABLE);
    expect(&tolerant("reject-1"), REJECTED);
    expect(&tolerant("forbidden"), KEY_REFUSED);
    expect(&tolerant("a token"), MALFORMED);
    expect(&tolerant("accept-1"), VERIFIED);
}

#[sandbox_test]
fn no_answer_is_a_denial_without_a_request() {
    let ivalt = StandIn::start();
    let no_reply = Act {
        no_reply: true,
        ..Act::default()
    };
    let answers: [(&str, Answer); 6] = [
        ("empty", "".into()),
        ("white space", " \t ".into()),
        ("a reply of NULL", Answer::Nothing),
        ("no reply", no_reply.into()),
        ("PAM_CONV_ERR", Act::error(PAM_CONV_ERR).into()),
        ("PAM_ABORT", Act::error(PAM_ABORT).into()),
    ];
    for (name, answer) in answers {
        let report = Case::against(&ivalt)
            .answer(answer)
            .answer("accept-1")
            .run();
        let line = expect(&report, UNANSWERED);
        assert_eq!(line.get("attempts"), "0", "{name}");
        assert_eq!(
            (report.prompts().len(), report.told()),
            (1, vec![]),
            "{name}"
        );
    }
    expect(&Case::against(&ivalt).run(), UNANSWERED);
    let mut case = Case::against(&ivalt);
    case.script.conversation = Conversation::NullPointer;
    expect(&case.run(), UNANSWERED);
    // Nor can anybody be asked for the name: libpam itself would jump to NULL.
    case.script.user = None;
    expect(&case.run(), UNANSWERED);
    // Applications may answer an error to any message; the refusal stays what it was.
    let mut case = Case::against(&ivalt).answer("http-503");
    case.script.message_code = PAM_CONV_ERR;
    expect(&case.run(), UNAVAILABLE);
    assert_eq!(ivalt.tokens(), ["http-503"]);
}

#[sandbox_test]
fn malformed_tokens_never_leave_and_may_be_corrected() {
    let ivalt = StandIn::start();
    let long = "x".repeat(513);
    for (answer, cause) in [
        (long.as_str(), "longer than 512 bytes"),
        ("two words", "characters outside token.charset"),
        ("t\u{f6}ken", "characters outside token.charset"),
        ("esc\x1b[31m", "characters outside token.charset"),
        (
            "\x08\n\r\x7fINCORRECT",
            "sshd's dummy answer; it bars this login",
        ),
        (
            "\x08\n\r\x7fINCORRECT\x08\n\r\x7fINC",
            "sshd's dummy answer; it bars this login",
        ),
        ("\x08", "sshd's dummy answer; it bars this login"),
        ("\x08\n\r\x7f", "sshd's dummy answer; it bars this login"),
    ] {
        let report = Case::against(&ivalt)
            .answer(answer)
            .answer(answer)
            .answer(answer)
            .run();
        let line = expect(&report, MALFORMED);
        assert_eq!(
            (line.get("cause"), line.get("attempts")),
            (cause.into(), "3".into()),
            "{answer:?}"
        );
        // A stranger must not learn from other words that sshd bars this account.
        let said = if cause.starts_with("sshd") {
            REFUSED
        } else {
            "That is not an iVALT token."
        };
        let again = format!("{said} {PROMPT}");
        assert_eq!(report.prompts(), [PROMPT, &again, &again]);
        assert_eq!(report.told(), [said]);
    }
    let huge = Case::against(&ivalt).answer("x".repeat(100_000)).run();
    assert_eq!(expect(&huge, UNANSWERED).get("attempts"), "1");
    assert_eq!(ivalt.requests().len(), 0);
    expect(
        &Case::against(&ivalt)
            .answer("two words")
            .answer("x".repeat(512))
            .answer("accept-1")
            .run(),
        VERIFIED,
    );
    assert_eq!(ivalt.tokens().len(), 2);
}

#[sandbox_test]
fn charset_and_lengths_are_obeyed() {
    let ivalt = StandIn::start();
    for (charset, min, max, answer, row, cause) in [
        (
            "digits",
            1,
            512,
            "12345a",
            MALFORMED,
            "characters outside token.charset",
        ),
        (
            "alphanumeric",
            1,
            512,
            "abc-1",
            MALFORMED,
            "characters outside token.charset",
        ),
        ("alphanumeric", 1, 512, "accept1", VERIFIED, ""),
        ("visible", 1, 512, "accept!~", VERIFIED, ""),
        (
            "visible",
            9,
            512,
            "accept-1",
            MALFORMED,
            "shorter than 9 bytes",
        ),
        ("visible", 8, 8, "accept-1", VERIFIED, ""),
        (
            "visible",
            1,
            7,
            "accept-1",
            MALFORMED,
            "longer than 7 bytes",
        ),
    ] {
        let case = Case::against(&ivalt).answer(answer);
        let settings = case
            .settings(&ivalt)
            .set("token", "charset", charset)
            .set("token", "attempts", 1);
        let settings = settings
            .set("token", "min_length", min)
            .set("token", "max_length", max);
        let line = expect(&case.with_settings(&settings).run(), row);
        assert_eq!(line.get("cause"), cause, "{answer}");
    }
}

#[sandbox_test]
fn a_password_is_never_sent() {
    let ivalt = StandIn::start();
    for answer in ["accept-password", " accept-password ", "accept-password\n"] {
        let report = Case::against(&ivalt)
            .authtok("accept-password")
            .answer(answer)
            .answer("accept-1")
            .run();
        expect(&report, PASSWORD);
        assert_eq!(report.prompts(), [PROMPT]);
        assert_eq!(
            report.told(),
            ["That is your password, not an iVALT token."]
        );
    }
    assert_eq!(ivalt.requests().len(), 0);
    let other = Case::against(&ivalt)
        .authtok("hunter2")
        .answer("accept-1")
        .show_authtok()
        .run();
    expect(&other, VERIFIED);
    assert_eq!(
        other.told(),
        ["PAM_AUTHTOK=hunter2"],
        "the password of the stack is not touched"
    );
    assert_eq!(ivalt.tokens(), ["accept-1"]);
}

#[sandbox_test]
fn use_first_pass_never_asks() {
    let ivalt = StandIn::start();
    let case = |authtok: &str| {
        Case::against(&ivalt)
            .argument("use_first_pass")
            .authtok(authtok)
            .answer("accept-2")
    };
    for (authtok, row, attempts) in [
        ("accept-1", VERIFIED, "1"),
        ("reject-1", REJECTED, "1"),
        ("two words", MALFORMED, "1"),
        ("", UNANSWERED, "0"),
    ] {
        let report = case(authtok).run();
        assert_eq!(expect(&report, row).get("attempts"), attempts, "{authtok}");
        assert_eq!(report.prompts(), [] as [&str; 0], "{authtok}");
    }
    let report = Case::against(&ivalt)
        .argument("use_first_pass")
        .answer("accept-2")
        .run();
    assert_eq!(
        expect(&report, UNANSWERED).get("cause"),
        "use_first_pass, and no earlier module took a password"
    );
    let report = case("accept-1").user("bob").run();
    expect(&report, NOT_ENROLLED);
    assert_eq!(report.prompts(), [] as [&str; 0]);
    assert_eq!(ivalt.tokens(), ["accept-1", "reject-1"]);
}

#[sandbox_test]
fn try_first_pass_asks_when_there_is_none_or_it_is_refused() {
    let ivalt = StandIn::start();
    let case = || Case::against(&ivalt).argument("try_first_pass");
    let report = case().authtok("accept-1").run();
    expect(&report, VERIFIED);
    assert_eq!(report.prompts(), [] as [&str; 0]);

    let report = case().authtok("geofence").answer("accept-2").run();
    assert_eq!(expect(&report, VERIFIED).get("attempts"), "2");
    assert_eq!(
        report.prompts(),
        [format!(
            "iVALT refused the token: outside the allowed area. {PROMPT}"
        )]
    );

    let report = case().authtok("two words").answer("accept-3").run();
    expect(&report, VERIFIED);
    assert_eq!(
        report.prompts(),
        [format!("That is not an iVALT token. {PROMPT}")]
    );

    for authtok in [None, Some("")] {
        let case = case().answer("accept-4");
        let report = authtok.into_iter().fold(case, Case::authtok).run();
        assert_eq!(
            (expect(&report, VERIFIED).get("attempts"), report.prompts()),
            ("1".into(), vec![PROMPT])
        );
    }
    // attempts counts questions: with one, the refused first pass is followed by one question.
    let one = case()
        .authtok("reject-1")
        .answer("reject-2")
        .answer("accept-5");
    let settings = one.settings(&ivalt).set("token", "attempts", 1);
    let report = one.with_settings(&settings).run();
    expect(&report, REJECTED);
    assert_eq!(report.prompts().len(), 1);
    let report = case()
        .authtok("reject-1")
        .answer("reject-2")
        .answer("reject-3")
        .answer("reject-4")
        .run();
    assert_eq!(
        (
            expect(&report, EXHAUSTED).get("attempts"),
            report.prompts().len()
        ),
        ("4".into(), 3)
    );
}

#[sandbox_test]
fn the_same_token_is_sent_once() {
    let ivalt = StandIn::start();
    let report = Case::against(&ivalt)
        .answer("reject-1")
        .answer(" reject-1")
        .answer("reject-1")
        .run();
    let line = expect(&report, EXHAUSTED);
    assert_eq!(
        (line.get("attempts"), line.get("http")),
        ("3".into(), String::new())
    );
    assert_eq!(line.get("cause"), "the same token again, not sent");
    let report = Case::against(&ivalt)
        .argument("try_first_pass")
        .authtok("reject-2")
        .answer("reject-2")
        .run();
    expect(&report, UNANSWERED);
    assert_eq!(ivalt.tokens(), ["reject-1", "reject-2"]);
}

#[sandbox_test]
fn the_user_is_who_he_is_after_the_prompt() {
    let ivalt = StandIn::start();
    let users = "[users]\nalice = \"+916283974746\"\ndora = \"+14155550100\"\n";
    let becomes = |user: &str| Act {
        set_user: Some(user.into()),
        answer: Some("accept-1".into()),
        ..Act::default()
    };
    let report = Case::against(&ivalt)
        .users(users)
        .answer(becomes("dora"))
        .run();
    let line = expect(&report, VERIFIED);
    assert_eq!(
        (line.get("user"), line.get("mobile")),
        ("dora".into(), "***0100".into())
    );
    assert_eq!(ivalt.requests()[0]["body"]["mobile"], "+14155550100");
    let line = expect(
        &Case::against(&ivalt)
            .users(users)
            .answer(becomes("bob"))
            .run(),
        NOT_ENROLLED,
    );
    assert_eq!(
        (line.get("user"), line.get("mobile")),
        ("bob".into(), String::new())
    );
    assert_eq!(ivalt.requests().len(), 1);
}

/// PAM_USER changes at the first prompt and that token is refused: the second token must be judged by the new user's
/// mobile, not by the old one's.
#[sandbox_test]
fn a_user_who_changed_stays_changed_at_the_next_prompt() {
    let ivalt = StandIn::start();
    let users = "[users]\nalice = \"+916283974746\"\ndora = \"+14155550100\"\n";
    let becomes = Act {
        set_user: Some("dora".into()),
        answer: Some("reject-1".into()),
        ..Act::default()
    };
    let case = Case::against(&ivalt).users(users);
    let report = case.answer(becomes).answer("accept-2").run();
    let line = expect(&report, VERIFIED);
    assert_eq!(
        (line.get("user"), line.get("mobile")),
        ("dora".into(), "***0100".into())
    );
    let mobiles: Vec<_> = ivalt
        .requests()
        .iter()
        .map(|request| request["body"]["mobile"].clone())
        .collect();
    assert_eq!(mobiles, ["+14155550100", "+14155550100"]);
}

#[sandbox_test]
fn the_name_is_asked_for_when_the_application_has_none() {
    let ivalt = StandIn::start();
    let report = Case::against(&ivalt)
        .without_user()
        .answer("alice")
        .answer("accept-1")
        .run();
    assert_eq!(expect(&report, VERIFIED).get("user"), "alice");
    assert_eq!(report.prompts().len(), 2);
    expect(&Case::against(&ivalt).without_user().run(), UNANSWERED);
}

#[sandbox_test]
fn mobiles_go_out_as_the_settings_say() {
    let ivalt = StandIn::start();
    for (format, written, sent) in [
        ("e164", "+91 6283-974.746", "+916283974746"),
        ("national", "6283974746", "6283974746"),
        ("national", "+916283974746", "+916283974746"),
    ] {
        let case = Case::against(&ivalt)
            .users(&format!("[users]\nalice = \"{written}\"\n"))
            .answer("accept-1");
        let settings = case.settings(&ivalt).set("token", "mobile_format", format);
        expect(&case.with_settings(&settings).run(), VERIFIED);
        assert_eq!(ivalt.requests().last().unwrap()["body"]["mobile"], sent);
    }
}

#[sandbox_test]
fn prompt_and_echo_are_the_administrators() {
    let ivalt = StandIn::start();
    let case = Case::against(&ivalt).answer("accept-1");
    let settings = case
        .settings(&ivalt)
        .set("token", "prompt", "Zahl, bitte: ")
        .set("token", "echo", false);
    let report = case.with_settings(&settings).run();
    expect(&report, VERIFIED);
    assert_eq!(
        (report.messages()[0].style, report.prompts()),
        (Style::EchoOff, vec!["Zahl, bitte: "])
    );
}

#[sandbox_test]
fn silence_and_delay_are_obeyed() {
    let ivalt = StandIn::start();
    let report = Case::against(&ivalt).silent().answer("http-503").run();
    expect(&report, UNAVAILABLE);
    assert_eq!((report.prompts(), report.told()), (vec![PROMPT], vec![]));
    let report = Case::against(&ivalt)
        .argument("nodelay")
        .answer("http-503")
        .run();
    assert_eq!(
        (report.code(), report.asked_for_delay()),
        (PAM_AUTHINFO_UNAVAIL, false)
    );
    // libpam spreads the two seconds by up to a quarter either way.
    let report = Case::against(&ivalt).answer("http-503").run();
    let delay = *report.authenticate().fail_delays_us.iter().max().unwrap();
    assert!((1_000_000..=3_000_000).contains(&delay), "{delay}");
}

#[sandbox_test]
fn debug_adds_the_steps_to_the_one_line() {
    let ivalt = StandIn::start();
    let line = expect(
        &Case::against(&ivalt)
            .argument("debug")
            .answer("accept-1")
            .run(),
        VERIFIED,
    );
    let cause = line.get("cause").replace(|c: char| c.is_ascii_digit(), "");
    assert_eq!(
        cause,
        "(dns  ms, connect  ms, tls  ms, request  ms, answer  ms)"
    );
}

#[sandbox_test]
fn unknown_and_contradicting_arguments_deny() {
    let ivalt = StandIn::start();
    for (word, cause) in [
        (
            "nullok",
            "argument in pam.d: \"nullok\" is not known; known are config=PATH, debug, try_first_pass, use_first_pass, nodelay",
        ),
        (
            "key=SECRET",
            "argument in pam.d: \"key\" is not known; known are config=PATH, debug, try_first_pass, use_first_pass, nodelay",
        ),
        (
            "config=ivalt.toml",
            "argument in pam.d: config=ivalt.toml must be an absolute path",
        ),
    ] {
        let report = Case::against(&ivalt)
            .argument(word)
            .answer("accept-1")
            .run();
        assert_eq!(expect(&report, MISCONFIGURED).get("cause"), cause);
        assert_eq!((report.prompts(), report.told()), (vec![], vec![BROKEN]));
    }
    let both = Case::against(&ivalt)
        .argument("try_first_pass")
        .argument("use_first_pass")
        .run();
    expect(&both, MISCONFIGURED);
    assert_eq!(ivalt.connections().len(), 0);
}

/// Our module with `method = "token+face"`.
fn token_and_face(ivalt: &StandIn) -> Case {
    let case = Case::against(ivalt);
    let settings = case.settings(ivalt).set("token", "method", "token+face");
    case.with_settings(&settings)
}

/// What was sent, in order: the operation and its body.
fn sent(ivalt: &StandIn) -> Vec<(String, String)> {
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    let requests = ivalt.requests().into_iter();
    requests
        .map(|request| {
            let path = text(&request["path"]);
            let operation = path.strip_prefix("/admin/public/api/").unwrap().to_owned();
            (operation, text(&request["raw"]))
        })
        .collect()
}

#[sandbox_test]
fn token_and_face_are_asked_for_and_both_must_pass() {
    let ivalt = StandIn::start();
    let report = token_and_face(&ivalt)
        .answer("accept-1")
        .answer(" accept-face\n")
        .run();
    let line = expect(&report, VERIFIED);
    assert_eq!(
        (line.get("attempts"), line.get("http")),
        ("2".into(), "200".into())
    );
    assert_eq!(report.prompts(), [PROMPT, "iVALT face token: "]);
    let global = r#"{"mobile":"+916283974746","auth_token":"accept-1"}"#;
    let user = r#"{"face_auth_token":"accept-face","auth_token":"accept-1"}"#;
    let expected = [
        ("validate/global/rest/auth", global),
        ("api/v1/validate/user", user),
    ];
    assert_eq!(
        sent(&ivalt),
        expected.map(|(path, body)| (path.to_owned(), body.to_owned()))
    );
    for request in ivalt.requests() {
        assert_eq!(request["headers"]["x-api-key"], StandIn::API_KEY);
    }
}

#[sandbox_test]
fn a_refused_token_keeps_the_face_back_and_both_are_asked_for_again() {
    let ivalt = StandIn::start();
    let answers = [
        "reject-1",
        "accept-face-1",
        "accept-2",
        "geofence",
        "accept-3",
        "accept-face-3",
    ];
    let report = answers
        .iter()
        .fold(token_and_face(&ivalt), |case, answer| case.answer(*answer))
        .run();
    expect(&report, VERIFIED);
    let face = "iVALT face token: ";
    let again = format!("{REFUSED} {PROMPT}");
    let outside = format!("iVALT refused the token: outside the allowed area. {PROMPT}");
    assert_eq!(
        report.prompts(),
        [PROMPT, face, &again, face, &outside, face]
    );
    let operations: Vec<_> = sent(&ivalt).into_iter().map(|(path, _)| path).collect();
    let (global, user) = ("validate/global/rest/auth", "api/v1/validate/user");
    assert_eq!(operations, [global, global, user, global, user]);
}

#[sandbox_test]
fn a_face_alone_lets_nobody_in() {
    let ivalt = StandIn::start();
    let run = |answers: &[&str]| {
        let case = token_and_face(&ivalt);
        let settings = case
            .settings(&ivalt)
            .set("token", "method", "token+face")
            .set("token", "attempts", 1);
        let case = case.with_settings(&settings);
        answers
            .iter()
            .fold(case, |case, answer| case.answer(*answer))
            .run()
    };
    expect(&run(&["reject-1", "accept-1"]), REJECTED);
    expect(&run(&["accept-1", "reject-1"]), REJECTED);
    let line = expect(&run(&["accept-2", "http-503"]), UNAVAILABLE);
    assert_eq!(
        (line.get("http"), line.get("attempts")),
        ("503".into(), "2".into())
    );
    expect(&run(&["accept-3", "forbidden"]), KEY_REFUSED);
    let before = ivalt.requests().len();
    // Both are judged before the first leaves.
    expect(&run(&["accept-4", "two words"]), MALFORMED);
    assert_eq!(expect(&run(&["accept-4"]), UNANSWERED).get("attempts"), "1");
    expect(&run(&["accept-4", " "]), UNANSWERED);
    let dummy = "\u{8}\n\r\u{7f}INCORRECT";
    expect(&run(&["accept-4", dummy]), MALFORMED);
    let password = token_and_face(&ivalt)
        .authtok("pw")
        .answer("accept-4")
        .answer("pw");
    expect(&password.run(), PASSWORD);
    assert_eq!(ivalt.requests().len(), before);
}

#[sandbox_test]
fn token_and_face_with_a_first_pass() {
    let ivalt = StandIn::start();
    let report = token_and_face(&ivalt)
        .argument("try_first_pass")
        .authtok("accept-1")
        .answer("accept-face")
        .run();
    expect(&report, VERIFIED);
    assert_eq!(report.prompts(), ["iVALT face token: "]);
    let report = token_and_face(&ivalt)
        .argument("use_first_pass")
        .authtok("accept-2")
        .answer("accept-face")
        .run();
    let line = expect(&report, MISCONFIGURED);
    assert!(
        line.get("cause").ends_with(
            "\"token+face\" needs two answers, and use_first_pass never asks; use try_first_pass"
        ),
        "{line:?}"
    );
    assert_eq!(ivalt.tokens().len(), 2);
}

#[sandbox_test]
fn who_is_not_enrolled_is_asked_for_both_like_all_others() {
    let ivalt = StandIn::start();
    let report = token_and_face(&ivalt)
        .user("bob")
        .answer("accept-1")
        .answer("accept-face")
        .run();
    expect(&report, NOT_ENROLLED);
    assert_eq!(report.prompts(), [PROMPT, "iVALT face token: "]);
    assert_eq!(ivalt.connections().len(), 0);
}

#[sandbox_test]
fn the_other_entry_points() {
    let ivalt = StandIn::start();
    let others = [
        Entry::AcctMgmt,
        Entry::OpenSession,
        Entry::CloseSession,
        Entry::Chauthtok,
    ];
    let calls = [&[Entry::Authenticate, Entry::Setcred], others.as_slice()].concat();
    let report = Case::against(&ivalt).calls(&calls).answer("accept-1").run();
    expect(&report, VERIFIED);
    assert_eq!(report.codes(Entry::Setcred), [PAM_SUCCESS]);
    for entry in others {
        // What libpam makes of a stack in which every module said PAM_IGNORE.
        assert_eq!(report.codes(entry), [PAM_PERM_DENIED], "{entry:?}");
    }
    // sshd's parent calls pam_setcred on a chain that never authenticated.
    let report = Case::against(&ivalt).calls(&[Entry::Setcred]).run();
    assert_eq!(
        (report.codes(Entry::Setcred), report.log().len()),
        (vec![PAM_SUCCESS], 0)
    );
}

#[sandbox_test]
fn called_again_on_one_handle_it_asks_again() {
    let ivalt = StandIn::start();
    let report = Case::against(&ivalt)
        .calls(&[Entry::Authenticate; 3])
        .answer("accept-1")
        .answer("http-503")
        .answer("accept-3")
        .run();
    assert_eq!(
        report.codes(Entry::Authenticate),
        [PAM_SUCCESS, PAM_AUTHINFO_UNAVAIL, PAM_SUCCESS]
    );
    assert_eq!(report.log_lines().len(), 3);
}

#[sandbox_test]
fn the_policy_for_outages_covers_nothing_else() {
    let ivalt = StandIn::start();
    let users = "[users]\nalice = \"+916283974746\"\ncarol = { mobile = \"+916283974747\", enabled = false }\n";
    let tolerant = |user: &str| {
        let case = Case::against(&ivalt)
            .users(users)
            .user(user)
            .authtok("accept-password");
        let settings = case.settings(&ivalt).set("policy", "unavailable", "ignore");
        case.with_settings(&settings)
    };
    expect(&tolerant("alice").run(), UNANSWERED);
    expect(&tolerant("alice").answer("accept-password").run(), PASSWORD);
    expect(&tolerant("bob").answer("accept-1").run(), NOT_ENROLLED);
    expect(&tolerant("carol").answer("accept-1").run(), DISABLED);
    expect(&tolerant("alice").argument("bogus").run(), MISCONFIGURED);
    let case = tolerant("alice");
    let not_toml = case.dir().write("not.toml", "[", 0o600);
    let corrupt = Act {
        set_user: Some("dora".into()),
        renames: vec![(not_toml, case.users_file())],
        answer: Some("accept-1".into()),
        ..Act::default()
    };
    expect(&case.answer(corrupt).run(), MISCONFIGURED);
    assert_eq!(ivalt.requests().len(), 0);
}

#[sandbox_test]
fn a_changed_user_is_not_excused_by_policy() {
    let ivalt = StandIn::start();
    let becomes = Act {
        set_user: Some("bob".into()),
        answer: Some("accept-1".into()),
        ..Act::default()
    };
    let case = Case::against(&ivalt).answer(becomes);
    let settings = case.settings(&ivalt).set("policy", "unenrolled", "ignore");
    expect(&case.with_settings(&settings).run(), NOT_ENROLLED);
}

#[sandbox_test]
fn a_refusal_is_told_as_an_error() {
    let ivalt = StandIn::start();
    let report = Case::against(&ivalt).answer("http-503").run();
    let styles: Vec<_> = report
        .messages()
        .iter()
        .map(|message| message.style)
        .collect();
    assert_eq!(styles, [Style::EchoOn, Style::Error]);
}

#[sandbox_test]
fn the_dummy_of_sshd_is_no_password_and_a_password_no_typing_error() {
    let ivalt = StandIn::start();
    // sshd gives the password prompt the same dummy, as long as what was typed there.
    let report = Case::against(&ivalt).authtok("\x08").answer("\x08").run();
    expect(&report, UNANSWERED);
    assert_eq!(report.prompts()[1], format!("{REFUSED} {PROMPT}"));
    let report = Case::against(&ivalt)
        .authtok("two words")
        .answer("two words")
        .run();
    expect(&report, PASSWORD);
}

#[sandbox_test]
fn elapsed_is_the_sum_of_what_ivalt_took() {
    let ivalt = StandIn::start();
    let elapsed = |case: Case| {
        expect(&case.run(), VERIFIED)
            .get("elapsed_ms")
            .parse::<u64>()
            .unwrap()
    };
    let twice = elapsed(
        Case::against(&ivalt)
            .answer("slow-reject-300")
            .answer("slow-310"),
    );
    assert!((600..3_000).contains(&twice), "{twice}");
    let typing = Act::slowly("accept-1", std::time::Duration::from_millis(1_500));
    let typed = elapsed(Case::against(&ivalt).answer(typing));
    assert!(typed < 1_000, "{typed}");
}

/// README: `http`, `code` and `detail` belong to the last answer; an empty line is none.
#[sandbox_test]
fn a_refused_token_is_in_the_log_though_the_person_gives_up() {
    let ivalt = StandIn::start();
    let line = Case::against(&ivalt)
        .answer("reject-1")
        .answer("")
        .run()
        .log_line();
    assert_eq!(
        (line.reason().as_str(), line.get("http").as_str()),
        ("unanswered", "403")
    );
}

#[sandbox_test]
fn the_line_speaks_of_the_last_answer() {
    let ivalt = StandIn::start();
    for (last, http, detail) in [
        ("garbage", "200", ""),
        ("http-503", "503", "status 503"),
        ("hang-up", "", ""),
    ] {
        let line = expect(
            &Case::against(&ivalt).answer("geofence").answer(last).run(),
            UNAVAILABLE,
        );
        assert_eq!(
            (line.get("http"), line.get("code"), line.get("detail")),
            (http.into(), String::new(), detail.into())
        );
    }
}

#[sandbox_test]
fn nodelay_counts_also_beside_an_error() {
    let ivalt = StandIn::start();
    let report = Case::against(&ivalt)
        .argument("bogus")
        .argument("nodelay")
        .run();
    assert_eq!(
        (report.code(), report.asked_for_delay()),
        (PAM_SERVICE_ERR, false)
    );
    let report = Case::against(&ivalt)
        .settings_text("")
        .argument("nodelay")
        .run();
    assert_eq!(
        (report.code(), report.asked_for_delay()),
        (PAM_SERVICE_ERR, false)
    );
}

#[sandbox_test]
fn a_first_pass_is_trimmed_like_an_answer() {
    let ivalt = StandIn::start();
    expect(
        &Case::against(&ivalt)
            .argument("use_first_pass")
            .authtok(" accept-1 ")
            .run(),
        VERIFIED,
    );
    assert_eq!(ivalt.tokens(), ["accept-1"]);
}

#[sandbox_test]
fn digits_are_digits() {
    let ivalt = StandIn::start();
    let case = Case::against(&ivalt).answer("0123456789");
    let settings = case
        .settings(&ivalt)
        .set("token", "charset", "digits")
        .set("token", "attempts", 1);
    expect(&case.with_settings(&settings).run(), REJECTED);
    assert_eq!(ivalt.tokens(), ["0123456789"]);
}

/// Beside a module that succeeds, one that says PAM_IGNORE changes nothing; any error of it would.
#[sandbox_test]
fn the_other_entry_points_stand_in_nobodys_way() {
    let ivalt = StandIn::start();
    for (kind, entry) in [
        ("account", Entry::AcctMgmt),
        ("session", Entry::OpenSession),
        ("session", Entry::CloseSession),
        ("password", Entry::Chauthtok),
    ] {
        let permit = format!("{kind} required pam_permit.so");
        let report = Case::against(&ivalt)
            .line_after(&permit)
            .calls(&[entry])
            .run();
        assert_eq!(report.codes(entry), [PAM_SUCCESS], "{entry:?}");
    }
}
