//! `PAM_SILENT`, as sudo passes it: what could not be shown begins the first prompt of the next call on the handle.

use crate::expect::*;
use support::codes::*;
use support::{Case, Entry, Reply, Report, StandIn, helper_module, sandbox_test};

/// So many calls on one handle, silent, of one token each.
fn calls(ivalt: &StandIn, number: usize) -> Case {
    let case = Case::against(ivalt).silent();
    let settings = case.settings(ivalt).set("token", "attempts", 1);
    case.with_settings(&settings)
        .calls(&vec![Entry::Authenticate; number])
}

#[track_caller]
fn prompts(report: &Report, expected: &[&str]) {
    assert_eq!(report.prompts(), expected);
    assert_eq!(report.told(), [] as [&str; 0], "PAM_SILENT");
}

fn after(sentence: &str) -> String {
    format!("{sentence} {PROMPT}")
}

#[sandbox_test]
fn what_could_not_be_shown_begins_the_next_prompt_once() {
    let ivalt = StandIn::start();
    for (answer, sentence) in [
        ("http-503", UNREACHABLE),
        ("reject-1", REFUSED),
        ("geofence", OUTSIDE),
        ("two words", "That is not an iVALT token."),
        ("forbidden", BROKEN),
    ] {
        let case = calls(&ivalt, 3).answer(answer).answer("accept-1");
        let report = case.answer("accept-2").run();
        prompts(&report, &[PROMPT, &after(sentence), PROMPT]);
        assert_eq!(report.codes(Entry::Authenticate)[1..], [PAM_SUCCESS; 2]);
    }
    let case = calls(&ivalt, 3).answer("http-503").answer("reject-1");
    let report = case.answer("accept-1").run();
    prompts(&report, &[PROMPT, &after(UNREACHABLE), &after(REFUSED)]);
    // Of several prompts only the first, and only the last sentence of a call with several.
    let case = Case::against(&ivalt).silent();
    let case = case.calls(&[Entry::Authenticate; 2]);
    let answers = [
        "reject-1",
        "reject-2",
        "geofence",
        "no!",
        "two words",
        "accept-1",
    ];
    let report = answers
        .iter()
        .fold(case, |case, answer| case.answer(*answer))
        .run();
    let malformed = after("That is not an iVALT token.");
    let refused = after(REFUSED);
    prompts(
        &report,
        &[
            PROMPT,
            &refused,
            &refused,
            &after(OUTSIDE),
            &refused,
            &malformed,
        ],
    );
}

#[sandbox_test]
fn users_who_are_not_asked_for_a_token_hear_of_it_too() {
    let ivalt = StandIn::start();
    let report = calls(&ivalt, 2).user("bob").answer("x").answer("y").run();
    prompts(&report, &[PROMPT, &after(NOT_SET_UP)]);
}

/// The next call is the next: one that has nothing to say, or that asks nobody, ends it.
#[sandbox_test]
fn it_is_kept_for_one_call() {
    let ivalt = StandIn::start();
    let case = calls(&ivalt, 3).answer("http-503");
    let report = case
        .answer(Reply::error(PAM_CONV_ERR))
        .answer("accept-1")
        .run();
    prompts(&report, &[PROMPT, &after(UNREACHABLE), PROMPT]);
}

#[sandbox_test]
fn it_is_not_kept_beyond_the_handle() {
    let ivalt = StandIn::start();
    let mut case = calls(&ivalt, 1).answer("http-503").answer("accept-1");
    case.script.transactions = 2;
    prompts(&case.run(), &[PROMPT, PROMPT]);
}

#[sandbox_test]
fn another_user_does_not_hear_of_it() {
    let ivalt = StandIn::start();
    let users = "[users]\nalice = \"+916283974746\"\ndora = \"+14155550100\"\n";
    let helper = helper_module("pam_set_authtok");
    for (user, second) in [("dora", PROMPT.to_owned()), ("alice", after(UNREACHABLE))] {
        let case = calls(&ivalt, 2).users(users);
        let case = case.line_after(&format!("auth optional {} user={user}", helper.display()));
        // The change of PAM_USER is the other module's.
        let observed = case.answer("http-503").answer("accept-1").observe();
        prompts(observed.report(), &[PROMPT, &second]);
    }
    // The name changes at the prompt: what is kept is meant for the new one.
    let becomes = Reply {
        set_user: Some("dora".into()),
        answer: Some("http-503".into()),
        ..Reply::default()
    };
    let report = calls(&ivalt, 2)
        .users(users)
        .answer(becomes)
        .answer("accept-1")
        .run();
    prompts(&report, &[PROMPT, &after(UNREACHABLE)]);
}

#[sandbox_test]
fn what_was_shown_is_not_repeated() {
    let ivalt = StandIn::start();
    let case = Case::against(&ivalt).calls(&[Entry::Authenticate; 2]);
    let report = case.answer("http-503").answer("accept-1").run();
    assert_eq!(report.prompts(), [PROMPT, PROMPT]);
    assert_eq!(report.told(), [UNREACHABLE]);
}
