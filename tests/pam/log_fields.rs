//! What the fields of the log line belong to: steps, times, iVALT's last answer.

use crate::expect::*;
use support::{Case, Reply, StandIn, sandbox_test};

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
    let typing = Reply::slowly("accept-1", std::time::Duration::from_millis(1_500));
    let typed = elapsed(Case::against(&ivalt).answer(typing));
    assert!(typed < 1_000, "{typed}");
}

/// `http`, `code` and `detail` belong to the last answer of iVALT; an empty line is not sent and gets no answer.
#[sandbox_test]
fn a_refused_token_is_in_the_log_though_the_user_gives_up() {
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
