//! Whose token it is: `PAM_USER` as it is after the prompt.

use crate::expect::*;
use support::{Case, Reply, StandIn, sandbox_test};

#[sandbox_test]
fn the_user_is_read_again_after_the_prompt() {
    let ivalt = StandIn::start();
    let users = "[users]\nalice = \"+916283974746\"\ndora = \"+14155550100\"\n";
    let becomes = |user: &str| Reply {
        set_user: Some(user.into()),
        answer: Some("accept-1".into()),
        ..Reply::default()
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
    let becomes = Reply {
        set_user: Some("dora".into()),
        answer: Some("reject-1".into()),
        ..Reply::default()
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

/// The look-up of the new name fails: the line has nothing of the old one's.
#[sandbox_test]
fn a_user_who_changed_leaves_no_mobile_behind() {
    let ivalt = StandIn::start();
    let case = Case::against(&ivalt);
    let gone = case.dir().join("gone");
    let becomes = Reply {
        set_user: Some("dora".into()),
        answer: Some("accept-1".into()),
        renames: vec![(case.users_file(), gone)],
        ..Reply::default()
    };
    let line = expect(&case.answer(becomes).run(), MISCONFIGURED);
    assert_eq!(
        (line.get("user"), line.get("mobile")),
        ("dora".into(), String::new())
    );
    assert_eq!(ivalt.requests().len(), 0);
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
