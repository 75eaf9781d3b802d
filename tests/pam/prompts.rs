//! What may ask again, what the user sees, and how long a denial takes.

use crate::expect::*;
use support::codes::*;
use support::{Case, StandIn, Style, sandbox_test};

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
        format!("iVALT refused the token: outside the allowed hours. {PROMPT}"),
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
fn a_refusal_is_shown_as_an_error() {
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
