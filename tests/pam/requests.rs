//! What is sent to iVALT, and what never is.

use crate::expect::*;
use support::{Case, StandIn, Style, sandbox_test};

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
        ("3".into(), "403".into())
    );
    assert_eq!(line.get("cause"), "token already tried; not sent again");
    let report = Case::against(&ivalt)
        .argument("try_first_pass")
        .authtok("reject-2")
        .answer("reject-2")
        .run();
    expect(&report, UNANSWERED);
    assert_eq!(ivalt.tokens(), ["reject-1", "reject-2"]);
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
