//! `method = "token+face"`: two answers, two requests, and both must pass.

use crate::expect::*;
use support::{Case, StandIn, sandbox_test};

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
fn users_who_are_not_enrolled_are_asked_for_both_like_all_others() {
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

/// That request does not name the mobile, and iVALT knows it all the same.
#[sandbox_test]
fn a_mobile_in_the_answer_about_the_face_is_not_logged() {
    let ivalt = StandIn::start();
    let answer = r#"body:{"status":"error","error":{"code":"OF_916283974746","detail":"of:+91-6283-974746"},"debug":{"activityId":"6283974746"}}"#;
    let case = token_and_face(&ivalt).argument("debug");
    let report = case.answer("accept-1").answer(answer).run();
    let line = expect(&report, UNANSWERED);
    assert_eq!(
        ["http", "code", "detail"].map(|key| line.get(key)),
        ["200", "OF_***", "of:***"]
    );
    let cause = line.get("cause");
    assert!(cause.ends_with(", activity ***)"), "{cause}");
}
