//! What the fields of the log line belong to: steps, times, iVALT's last answer.

use crate::expect::*;
use crate::table::{case, url, with_lines};
use serde_json::json;
use support::server::{Server, answer};
use support::{Case, LogLine, Reply, StandIn, sandbox_test};

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
    assert!(typed < 1_500, "{typed}");
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

const OUTSIDE_403: [&str; 3] = ["403", "INVALID_GEOFENCE", "user is outside of the ***"];

fn last_answer(line: &LogLine) -> [String; 3] {
    ["http", "code", "detail"].map(|key| line.get(key))
}

#[sandbox_test]
fn the_line_speaks_of_the_last_answer() {
    let ivalt = StandIn::start();
    for (last, row, fields) in [
        ("garbage", UNAVAILABLE, ["200", "", ""]),
        ("half-body", UNAVAILABLE, ["200", "", ""]),
        ("http-503", UNAVAILABLE, ["503", "", "status 503"]),
        ("forbidden", KEY_REFUSED, ["403", "", "Forbidden"]),
        ("accept-2", VERIFIED, ["200", "", ""]),
        // No answer: the one before stays.
        ("hang-up", UNAVAILABLE, OUTSIDE_403),
    ] {
        let report = Case::against(&ivalt).answer("geofence").answer(last).run();
        assert_eq!(last_answer(&expect(&report, row)), fields, "{last}");
    }
}

/// A host that answers each prompt alike, and whatever else is not sent, leaves iVALT's reason in the line.
#[sandbox_test]
fn a_try_that_is_not_sent_keeps_the_last_answer() {
    let ivalt = StandIn::start();
    for (last, row) in [
        ("geofence", EXHAUSTED),
        ("two words", MALFORMED),
        ("alice", MALFORMED),
        ("\u{8}\n\r\u{7f}INCORRECT", MALFORMED),
        ("hunter2", PASSWORD),
        ("", UNANSWERED),
    ] {
        let case = Case::against(&ivalt).authtok("hunter2");
        let report = case.answer("geofence").answer(last).answer(last).run();
        assert_eq!(last_answer(&expect(&report, row)), OUTSIDE_403, "{last:?}");
    }
    let becomes_bob = Reply {
        set_user: Some("bob".into()),
        answer: Some("accept-2".into()),
        ..Reply::default()
    };
    let report = Case::against(&ivalt)
        .answer("geofence")
        .answer(becomes_bob)
        .run();
    assert_eq!(last_answer(&expect(&report, NOT_ENROLLED)), OUTSIDE_403);
    assert_eq!(ivalt.tokens(), ["geofence"; 7]);
}

/// All three at once: nothing of the 403 is left beside a later answer, whichever of the two operations gave it.
#[sandbox_test]
fn an_answer_about_the_face_replaces_the_one_about_the_token() {
    let ivalt = StandIn::start();
    let case = |face: &str| {
        let case = Case::against(&ivalt);
        let settings = case.settings(&ivalt).set("token", "method", "token+face");
        let case = case.with_settings(&settings);
        case.answer("geofence")
            .answer("x")
            .answer("accept-1")
            .answer(face)
    };
    for (face, row, fields) in [
        ("accept-face", VERIFIED, ["200", "", ""]),
        ("hang-up", UNAVAILABLE, ["200", "", ""]),
        ("http-503", UNAVAILABLE, ["503", "", "status 503"]),
    ] {
        let line = expect(&case(face).run(), row);
        assert_eq!(last_answer(&line), fields, "{face}");
    }
}

/// Steps are those of the last try, which may have had none.
#[sandbox_test]
fn a_try_that_is_not_sent_has_no_steps() {
    let ivalt = StandIn::start();
    let case = Case::against(&ivalt).argument("debug");
    let report = case
        .answer("geofence")
        .answer("geofence")
        .answer("geofence")
        .run();
    let line = expect(&report, EXHAUSTED);
    assert_eq!(line.get("cause"), "token already tried; not sent again");
}

/// What the vendor's support asks for is foreign text: cut, escaped, without what was sent, and only with `debug`.
#[sandbox_test]
fn the_activity_of_a_refusal_is_in_the_cause_with_debug() {
    let long = "y".repeat(100);
    for (activity, shown) in [
        ("0af7-651916cd", "0af7-651916cd"),
        ("of 628/397//4746 by accept-1", "of *** by ***"),
        ("a\u{1b}[31m\r\nb\"", "a\u{1b}[31m\r\nb\""),
        (long.as_str(), &long[..64]),
    ] {
        let body = json!({"error": {"detail": "d"}, "debug": {"activityId": activity}});
        let refused = answer("403 X", "", body.to_string().as_bytes());
        let server = Server::answering(refused);
        for debug in [true, false] {
            let case = with_lines(case(&url(&server)), "[token]\nattempts = 1\n");
            let case = if debug { case.argument("debug") } else { case };
            let cause = expect(&case.run(), REJECTED).get("cause");
            if debug {
                let end = format!(" ms, activity {shown})");
                assert!(cause.starts_with('(') && cause.ends_with(&end), "{cause:?}");
            } else {
                assert_eq!(cause, "");
            }
        }
    }
}
