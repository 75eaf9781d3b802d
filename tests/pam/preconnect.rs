//! The connection that is made while the user types, and the moment between connecting and answering.

use std::net::TcpListener;
use std::time::Duration;

use crate::corrupt::give_away;
use crate::expect::*;
use crate::table::{self, SUCCESS, url, with_lines};
use support::certificates::Certificate;
use support::codes::PAM_CONV_ERR;
use support::server::{Server, answer, black_hole, hold, reset};
use support::{Answer, Case, Entry, Reply, Report, StandIn, no_root, sandbox_test};

/// How long the user takes here.
const TYPING: Duration = Duration::from_millis(700);

/// Our module against this URL; the user answers so.
fn case(url: &str, answers: impl IntoIterator<Item = Answer>) -> Case {
    let mut case = table::case(url);
    case.script.answers = answers.into_iter().collect();
    case
}

fn typed(token: &str) -> Answer {
    Reply::slowly(token, TYPING).into()
}

/// Ctrl-C in most applications, after a while.
fn gives_up() -> Answer {
    let interrupted = Reply {
        error: Some(PAM_CONV_ERR),
        delay_ms: 400,
        ..Reply::default()
    };
    interrupted.into()
}

fn right() -> Server {
    Server::answering(answer("200 OK", "", SUCCESS))
}

/// What the call took beyond the user's own time.
fn beyond(report: &Report, typing: Duration) -> Duration {
    Duration::from_millis(report.authenticate().elapsed_ms).saturating_sub(typing)
}

#[sandbox_test]
fn it_is_made_before_the_answer_and_carries_the_request() {
    let server = right();
    let report = case(&url(&server), [typed("accept-1")]).run();
    let line = expect(&report, VERIFIED);
    assert_eq!(
        (server.connections(), server.tokens()),
        (1, vec!["accept-1".to_owned()])
    );
    let asked = &report.messages()[0];
    assert_eq!(
        (asked.descriptors.len(), asked.threads.len()),
        (1, 0),
        "{asked:?}"
    );
    let elapsed: u64 = line.get("elapsed_ms").parse().unwrap();
    assert!(elapsed < 700, "the user's typing is in it: {elapsed} ms");
}

#[sandbox_test]
fn the_prompt_does_not_wait_for_it() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let _hole = black_hole(address);
    // Asked at once, the user gives up after 400 ms; waiting for the connection would take two seconds more.
    let report = case(&format!("https://{address}"), [gives_up()]).run();
    expect(&report, UNANSWERED);
    let waited = beyond(&report, Duration::from_millis(400));
    assert!(waited < Duration::from_millis(1500), "{waited:?}");
}

#[sandbox_test]
fn giving_up_is_not_delayed_whatever_the_network_does() {
    let silent = Server::raw(|stream| hold(&stream));
    let closing = Server::raw(|stream| reset(&stream));
    let living = right();
    for server in [&silent, &closing, &living] {
        let report = case(&url(server), [gives_up()]).run();
        expect(&report, UNANSWERED);
        let waited = beyond(&report, Duration::from_millis(400));
        assert!(waited < Duration::from_millis(1500), "{waited:?}");
        assert_eq!(server.requests(), 0);
    }
}

#[sandbox_test]
fn a_server_that_closed_meanwhile_is_noticed_before_the_request() {
    let server = Server::tired_once(Duration::from_millis(200));
    let report = case(&url(&server), [typed("accept-1")]).run();
    expect(&report, VERIFIED);
    assert_eq!(
        (server.connections(), server.tokens()),
        (2, vec!["accept-1".to_owned()])
    );
}

#[sandbox_test]
fn what_failed_meanwhile_is_tried_again_and_what_still_fails_is_reported() {
    let long = Duration::from_millis(1500);
    let server = Server::tls(Certificate::Expired, |_| {});
    let answers = [Reply::slowly("accept-1", long).into(), "accept-2".into()];
    let report = case(&url(&server), answers).run();
    table::unavailable_after("expired", &report, "tls: certificate expired", long);
    assert_eq!((server.connections(), server.requests()), (2, 0));

    // Refused a moment ago: not tried again, the user has waited already.
    let report = case(&url(&server), ["accept-1".into(), "accept-2".into()]).run();
    table::unavailable("expired", &report, "tls: certificate expired");
    assert_eq!((server.connections(), server.requests()), (3, 0));
}

#[sandbox_test]
fn the_time_counts_from_the_answer() {
    // Longer than `timeout_seconds` before the answer, and silence after it.
    let silent = Server::tls(Certificate::Valid, |tls| hold(&tls.sock));
    let long = Duration::from_millis(2500);
    let answers = [Reply::slowly("accept-1", long).into()];
    let report = case(&url(&silent), answers).run();
    table::unavailable_after("silent", &report, "timeout after 2 s in answer", long);
    assert_eq!((silent.connections(), silent.requests()), (1, 1));
    assert!(beyond(&report, long) >= Duration::from_millis(1900));
}

#[sandbox_test]
fn every_attempt_has_its_own() {
    let ivalt = StandIn::start();
    let report = Case::against(&ivalt)
        .answer(typed("reject-1"))
        .answer(typed("two words"))
        .answer(typed("accept-2"))
        .run();
    expect(&report, VERIFIED);
    assert_eq!(ivalt.tokens(), ["reject-1", "accept-2"]);
    // The one for the malformed answer was cut, without a request.
    assert_eq!(ivalt.connections().len(), 3);
}

#[sandbox_test]
fn nothing_is_connected_for_users_who_cannot_get_in_or_are_not_asked() {
    let ivalt = StandIn::start();
    let disabled = "[users]\nalice = { mobile = \"+916283974746\", enabled = false }\n";
    expect(
        &Case::against(&ivalt)
            .users(disabled)
            .answer(typed("accept-1"))
            .run(),
        DISABLED,
    );
    expect(
        &Case::against(&ivalt)
            .user("bob")
            .answer(typed("accept-1"))
            .run(),
        NOT_ENROLLED,
    );
    let becomes = Reply {
        set_user: Some("bob".into()),
        answer: Some("accept-1".into()),
        delay_ms: 10,
        ..Reply::default()
    };
    let unasked = Case::against(&ivalt).argument("use_first_pass");
    expect(&unasked.run(), UNANSWERED);
    assert_eq!(ivalt.connections().len(), 0);
    // Where the application changes the user at the prompt, there is a connection, and it carries nothing.
    expect(&Case::against(&ivalt).answer(becomes).run(), NOT_ENROLLED);
    assert_eq!(ivalt.requests().len(), 0);
}

#[sandbox_test]
fn a_setting_turns_it_off() {
    let server = right();
    let case = with_lines(
        case(&url(&server), [typed("accept-1")]),
        "preconnect = false\n",
    );
    let report = case.run();
    expect(&report, VERIFIED);
    let asked = &report.messages()[0];
    assert_eq!(
        (asked.descriptors.len(), asked.threads.len()),
        (0, 0),
        "{asked:?}"
    );
}

/// Signals are blocked in it (`Case::run` looks), and an application that allows no further process gets none.
#[sandbox_test]
fn without_a_thread_the_work_is_done_after_the_answer() {
    // Root may exceed RLIMIT_NPROC.
    if no_root("becoming somebody else needs root") {
        return;
    }
    let server = right();
    let mut case = case(&url(&server), [typed("accept-1")]);
    case.script.soft_limits.insert("NPROC".into(), 0);
    case.script.uids = Some((4242, 4242));
    for file in [
        case.config(),
        case.users_file(),
        case.dir().path().to_owned(),
    ] {
        give_away(&file);
    }
    let report = case.run();
    expect(&report, VERIFIED);
    let asked = &report.messages()[0];
    assert_eq!(
        (asked.descriptors.len(), asked.threads.len()),
        (0, 0),
        "{asked:?}"
    );
    assert_eq!((server.connections(), server.requests()), (1, 1));
}

#[sandbox_test]
fn a_thread_that_is_still_at_work_is_harmless_at_the_prompt() {
    let silent = Server::raw(|stream| hold(&stream));
    let report = case(&url(&silent), [typed("accept-1")]).run();
    table::unavailable_after("silent", &report, "timeout after 2 s in tls", TYPING);
    assert_eq!(report.messages()[0].threads.len(), 1);
    assert_eq!((silent.connections(), silent.requests()), (1, 0));
}

#[sandbox_test]
fn many_of_them_leave_nothing_behind() {
    let ivalt = StandIn::start();
    let mut case = Case::against(&ivalt)
        .calls(&[Entry::Authenticate])
        .limit(Duration::from_secs(60));
    case.script.transactions = 30;
    case.script.answers = (0..30)
        .map(|number| {
            if number % 3 == 0 {
                gives_up_at_once()
            } else {
                format!("accept-{number}").as_str().into()
            }
        })
        .collect();
    let report = case.run();
    assert_eq!((report.log_lines().len(), ivalt.requests().len()), (30, 20));
}

fn gives_up_at_once() -> Answer {
    Reply::error(PAM_CONV_ERR).into()
}
