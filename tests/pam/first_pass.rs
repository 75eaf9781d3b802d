//! `try_first_pass` and `use_first_pass`: the password of an earlier module as the token.

use crate::expect::*;
use support::{Case, StandIn, sandbox_test};

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
