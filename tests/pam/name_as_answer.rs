//! Hosts that show no prompt answer a visible one with the user's name; it never leaves the machine.

use crate::expect::*;
use support::codes::*;
use support::{Case, Reply, Report, StandIn, sandbox_test};

const CAUSE: &str = "the answer is the user name, as of a service that shows no prompt: \
    most of them need settings of their own by config=, with echo = false; see pam_ivalt(8), HOSTS AND CLIENTS";

/// Refused as often as it was asked, and with no request.
#[track_caller]
fn refused(ivalt: &StandIn, report: &Report, attempts: &str) {
    let line = expect(report, MALFORMED);
    assert_eq!(line.get("cause"), CAUSE);
    assert_eq!(line.get("attempts"), attempts, "{line:?}");
    assert_eq!(ivalt.requests().len(), 0, "{line:?}");
}

#[sandbox_test]
fn an_application_that_answers_everything_with_the_name_sends_nothing() {
    let ivalt = StandIn::start();
    for answer in [
        "alice",
        "Alice",
        "ALICE",
        " alice\t",
        "CORP\\alice",
        "corp.example\\Alice",
        "alice@corp.example",
        "CORP\\ALICE@CORP.EXAMPLE",
        "  Alice@realm \r",
    ] {
        let case = (0..4).fold(Case::against(&ivalt), |case, _| case.answer(answer));
        let report = case.run();
        refused(&ivalt, &report, "3");
        let again = format!("That is not an iVALT token. {PROMPT}");
        let prompts = vec![PROMPT, again.as_str(), again.as_str()];
        assert_eq!(
            (report.prompts(), report.told()),
            (prompts, vec!["That is not an iVALT token."]),
            "{answer}"
        );
    }
}

#[sandbox_test]
fn the_name_may_be_spelled_in_any_way_on_both_sides() {
    let ivalt = StandIn::start();
    for user in [
        "alice",
        "Alice",
        "CORP\\alice",
        "alice@corp.example",
        "ålice",
        "+916283974746",
    ] {
        let users = format!("[users]\n{user:?} = \"+916283974746\"\n");
        for answer in [
            user.to_owned(),
            user.to_uppercase(),
            format!("{user}@other"),
        ] {
            let case = Case::against(&ivalt).users(&users).user(user);
            let settings = case.settings(&ivalt).set("token", "attempts", 1);
            refused(
                &ivalt,
                &case.with_settings(&settings).answer(answer).run(),
                "1",
            );
        }
    }
}

/// A token that only begins with the name, or with another's, is one.
#[sandbox_test]
fn what_only_resembles_the_name_is_a_token() {
    let ivalt = StandIn::start();
    for answer in [
        "alice2",
        "al.ice",
        "bob",
        "@alice",
        "alice\\",
        "alice-accept",
    ] {
        let report = Case::against(&ivalt).answer(answer).run();
        assert_eq!(report.log_line().get("attempts"), "1", "{answer}");
    }
    assert_eq!(
        ivalt.tokens(),
        [
            "alice2",
            "al.ice",
            "bob",
            "@alice",
            "alice\\",
            "alice-accept"
        ]
    );
}

#[sandbox_test]
fn the_name_is_the_one_after_the_prompt() {
    let ivalt = StandIn::start();
    let users = "[users]\nalice = \"+916283974746\"\ndora = \"+14155550100\"\n";
    let becomes_dora = |answer: &str| Reply {
        set_user: Some("dora".into()),
        answer: Some(answer.into()),
        ..Reply::default()
    };
    let case = || {
        let case = Case::against(&ivalt).users(users);
        let settings = case.settings(&ivalt).set("token", "attempts", 1);
        case.with_settings(&settings)
    };
    refused(&ivalt, &case().answer(becomes_dora("Dora")).run(), "1");
    case().answer(becomes_dora("alice")).run();
    assert_eq!(ivalt.tokens(), ["alice"]);
}

#[sandbox_test]
fn a_first_pass_that_is_the_name_is_not_sent_either() {
    let ivalt = StandIn::start();
    let first = |word: &str| Case::against(&ivalt).argument(word).authtok(" Alice@x ");
    refused(&ivalt, &first("use_first_pass").run(), "1");
    let report = first("try_first_pass").answer("alice").run();
    assert_eq!(expect(&report, UNANSWERED).get("attempts"), "2");
    assert_eq!(ivalt.requests().len(), 0);
    let report = first("try_first_pass").answer("accept-1").run();
    expect(&report, VERIFIED);
    assert_eq!(ivalt.tokens(), ["accept-1"]);
}

#[sandbox_test]
fn a_face_token_that_is_the_name_is_not_sent_nor_the_token_beside_it() {
    let ivalt = StandIn::start();
    for (token, face) in [("accept-1", "ALICE"), ("alice", "accept-2")] {
        let case = Case::against(&ivalt);
        let settings = case
            .settings(&ivalt)
            .set("token", "method", "token+face")
            .set("token", "attempts", 1);
        let report = case
            .with_settings(&settings)
            .answer(token)
            .answer(face)
            .run();
        refused(&ivalt, &report, "2");
    }
}

/// The password of an earlier module comes first: users may have their name as password.
#[sandbox_test]
fn dummy_and_password_are_judged_before_length_and_charset_after() {
    let ivalt = StandIn::start();
    let report = Case::against(&ivalt).authtok("alice").answer("alice").run();
    assert_eq!(report.code(), PAM_AUTH_ERR);
    expect(&report, PASSWORD);
    let case = Case::against(&ivalt);
    let settings = case
        .settings(&ivalt)
        .set("token", "charset", "digits")
        .set("token", "min_length", 8)
        .set("token", "attempts", 1);
    refused(
        &ivalt,
        &case.with_settings(&settings).answer("alice").run(),
        "1",
    );
}

/// Who is not enrolled hears what all others hear.
#[sandbox_test]
fn no_other_reason_where_the_user_cannot_get_in() {
    let ivalt = StandIn::start();
    expect(
        &Case::against(&ivalt).user("bob").answer("bob").run(),
        NOT_ENROLLED,
    );
    assert_eq!(ivalt.connections().len(), 0);
}
