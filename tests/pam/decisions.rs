//! Every reason of pam_ivalt(8), and what the policies cover.

use crate::expect::*;
use support::codes::*;
use support::{Answer, Case, Conversation, Reply, StandIn, sandbox_test};

#[sandbox_test]
fn every_way_to_refuse_is_a_refusal() {
    let ivalt = StandIn::start();
    for (token, http, code, detail) in [
        (
            "reject-1",
            "403",
            "AUTHENTICATION_FAILED",
            "authentication failed",
        ),
        ("unknown-user", "404", "USER_NOT_FOUND", "user not found"),
        ("invalid-mobile", "422", "INVALID_MOBILE", "invalid mobile"),
        ("bare-detail", "400", "", "bare detail"),
        ("bare-message", "400", "", "bare message"),
        (
            "soft-reject",
            "200",
            "AUTHENTICATION_FAILED",
            "authentication failed",
        ),
        ("http-401", "401", "", "status 401"),
        ("http-499", "499", "", "status 499"),
        ("success-400", "400", "", ""),
        ("body:{\"status\":\"Success\"}", "200", "", ""),
        ("body:{\"status\":\"success\\u0020\"}", "200", "", ""),
    ] {
        let case = Case::against(&ivalt);
        let settings = case.settings(&ivalt).set("token", "attempts", 1);
        let line = expect(&case.with_settings(&settings).answer(token).run(), REJECTED);
        assert_eq!(
            (line.get("http"), line.get("code")),
            (http.into(), code.into()),
            "{token}"
        );
        if token != "success-400" {
            assert_eq!(line.get("detail"), detail, "{token}");
        }
    }
}

#[sandbox_test]
fn what_is_no_answer_is_unavailable_and_asked_once() {
    let ivalt = StandIn::start();
    for (token, http, cause) in [
        ("http-500", "500", "answer: HTTP 500"),
        ("http-503", "503", "answer: HTTP 503"),
        ("http-408", "408", "answer: HTTP 408"),
        ("rate-limit", "429", "answer: HTTP 429"),
        (
            "success-302",
            "302",
            "answer: HTTP 302, a redirect, is not followed",
        ),
        (
            "http-307",
            "307",
            "answer: HTTP 307, a redirect, is not followed",
        ),
        ("success-500", "500", "answer: HTTP 500"),
        (
            "garbage",
            "200",
            "answer: HTTP 200: body is not a JSON object with exactly one \"status\"",
        ),
        (
            "empty",
            "200",
            "answer: HTTP 200: body is not a JSON object with exactly one \"status\"",
        ),
        (
            "html",
            "200",
            "answer: HTTP 200: body is not a JSON object with exactly one \"status\"",
        ),
        (
            "http-204",
            "204",
            "answer: HTTP 204: body is not a JSON object with exactly one \"status\"",
        ),
        (
            "oversize",
            "200",
            "answer: HTTP 200: body longer than 64 KiB",
        ),
        ("hang-up", "", "answer: the server closed the connection"),
        (
            "half-body",
            "200",
            "answer: the server closed the connection",
        ),
    ] {
        let before = ivalt.requests().len();
        let report = Case::against(&ivalt).answer(token).answer("accept-1").run();
        let line = expect(&report, UNAVAILABLE);
        assert_eq!(
            (line.get("http"), line.get("cause")),
            (http.into(), cause.into()),
            "{token}"
        );
        assert_eq!(
            (report.prompts(), report.told()),
            (vec![PROMPT], vec![UNREACHABLE]),
            "{token}"
        );
        assert_eq!(ivalt.requests().len(), before + 1, "{token}");
    }
    assert!(
        ivalt
            .requests()
            .iter()
            .all(|request| request["path"] != "/elsewhere")
    );
}

#[sandbox_test]
fn a_refused_api_key_is_a_fault_of_the_system() {
    let ivalt = StandIn::start();
    let case = Case::against(&ivalt);
    let settings = case.settings(&ivalt).set("api", "key", "wrong-key");
    let report = case
        .with_settings(&settings)
        .answer("accept-1")
        .answer("accept-1")
        .run();
    let line = expect(&report, KEY_REFUSED);
    assert_eq!(
        (line.get("http"), line.get("detail")),
        ("403".into(), "Forbidden".into())
    );
    assert_eq!(
        (report.prompts(), report.told()),
        (vec![PROMPT], vec![BROKEN])
    );
    for (token, http) in [("forbidden", "403"), ("api-key-invalid", "401")] {
        let line = expect(&Case::against(&ivalt).answer(token).run(), KEY_REFUSED);
        assert_eq!(line.get("http"), http);
    }
}

#[sandbox_test]
fn users_who_are_not_enrolled_are_asked_like_all_others() {
    let ivalt = StandIn::start();
    let users = "[users]\nalice = \"+916283974746\"\ncarol = { mobile = \"+916283974747\", enabled = false }\ndave = 5\n";
    for (user, row, mobile) in [
        ("bob", NOT_ENROLLED, ""),
        ("carol", DISABLED, "***4747"),
        ("dave", BAD_ENTRY, ""),
    ] {
        for answer in ["accept-1", "no good token"] {
            let report = Case::against(&ivalt)
                .users(users)
                .user(user)
                .answer(answer)
                .answer("accept-2")
                .run();
            let line = expect(&report, row);
            assert_eq!(
                (line.get("user"), line.get("mobile"), line.get("attempts")),
                (user.into(), mobile.into(), "1".into())
            );
            assert_eq!(
                (report.prompts(), report.told()),
                (vec![PROMPT], vec![NOT_SET_UP])
            );
        }
        expect(
            &Case::against(&ivalt).users(users).user(user).run(),
            UNANSWERED,
        );
    }
    assert_eq!((ivalt.requests().len(), ivalt.connections().len()), (0, 0));
}

#[sandbox_test]
fn unenrolled_is_ignored_only_by_policy_and_only_without_any_entry() {
    let ivalt = StandIn::start();
    let users = "[users]\ncarol = { mobile = \"+916283974747\", enabled = false }\ndave = 5\n";
    for (user, row, prompts) in [
        ("bob", IGNORED_UNENROLLED, 0),
        ("carol", DISABLED, 1),
        ("dave", BAD_ENTRY, 1),
    ] {
        let case = Case::against(&ivalt).users(users).user(user);
        let settings = case.settings(&ivalt).set("policy", "unenrolled", "ignore");
        let report = case.with_settings(&settings).answer("accept-1").run();
        expect(&report, row);
        assert_eq!(report.prompts().len(), prompts);
    }
    assert_eq!(ivalt.requests().len(), 0);
    // The rest of the stack decides.
    let case = Case::against(&ivalt)
        .users(users)
        .user("bob")
        .line_after("auth required pam_permit.so");
    let settings = case.settings(&ivalt).set("policy", "unenrolled", "ignore");
    assert_eq!(case.with_settings(&settings).run().code(), PAM_SUCCESS);
}

#[sandbox_test]
fn unavailable_is_ignored_only_by_policy() {
    let ivalt = StandIn::start();
    let tolerant = |token: &str| {
        let case = Case::against(&ivalt).answer(token);
        let settings = case
            .settings(&ivalt)
            .set("policy", "unavailable", "ignore")
            .set("token", "attempts", 1);
        case.with_settings(&settings).run()
    };
    let line = expect(&tolerant("http-503"), IGNORED_UNAVAILABLE);
    assert_eq!(line.get("cause"), "answer: HTTP 503");
    expect(&tolerant("garbage"), IGNORED_UNAVAILABLE);
    expect(&tolerant("reject-1"), REJECTED);
    expect(&tolerant("forbidden"), KEY_REFUSED);
    expect(&tolerant("a token"), MALFORMED);
    expect(&tolerant("accept-1"), VERIFIED);
}

#[sandbox_test]
fn no_answer_is_a_denial_without_a_request() {
    let ivalt = StandIn::start();
    let no_reply = Reply {
        no_reply: true,
        ..Reply::default()
    };
    let answers: [(&str, Answer); 6] = [
        ("empty", "".into()),
        ("white space", " \t ".into()),
        ("a reply of NULL", Answer::Nothing),
        ("no reply", no_reply.into()),
        ("PAM_CONV_ERR", Reply::error(PAM_CONV_ERR).into()),
        ("PAM_ABORT", Reply::error(PAM_ABORT).into()),
    ];
    for (name, answer) in answers {
        let report = Case::against(&ivalt)
            .answer(answer)
            .answer("accept-1")
            .run();
        let line = expect(&report, UNANSWERED);
        assert_eq!(line.get("attempts"), "0", "{name}");
        assert_eq!(
            (report.prompts().len(), report.told()),
            (1, vec![]),
            "{name}"
        );
    }
    expect(&Case::against(&ivalt).run(), UNANSWERED);
    let mut case = Case::against(&ivalt);
    case.script.conversation = Conversation::NullPointer;
    expect(&case.run(), UNANSWERED);
    // Nor can anybody be asked for the name: libpam itself would jump to NULL.
    case.script.user = None;
    expect(&case.run(), UNANSWERED);
    // Applications may answer an error to any message; the refusal stays what it was.
    let mut case = Case::against(&ivalt).answer("http-503");
    case.script.message_code = PAM_CONV_ERR;
    expect(&case.run(), UNAVAILABLE);
    assert_eq!(ivalt.tokens(), ["http-503"]);
}

#[sandbox_test]
fn the_policy_for_outages_covers_nothing_else() {
    let ivalt = StandIn::start();
    let users = "[users]\nalice = \"+916283974746\"\ncarol = { mobile = \"+916283974747\", enabled = false }\n";
    let tolerant = |user: &str| {
        let case = Case::against(&ivalt)
            .users(users)
            .user(user)
            .authtok("accept-password");
        let settings = case.settings(&ivalt).set("policy", "unavailable", "ignore");
        case.with_settings(&settings)
    };
    expect(&tolerant("alice").run(), UNANSWERED);
    expect(&tolerant("alice").answer("accept-password").run(), PASSWORD);
    expect(&tolerant("bob").answer("accept-1").run(), NOT_ENROLLED);
    expect(&tolerant("carol").answer("accept-1").run(), DISABLED);
    expect(&tolerant("alice").argument("bogus").run(), MISCONFIGURED);
    let case = tolerant("alice");
    let not_toml = case.dir().write("not.toml", "[", 0o600);
    let corrupt = Reply {
        set_user: Some("dora".into()),
        renames: vec![(not_toml, case.users_file())],
        answer: Some("accept-1".into()),
        ..Reply::default()
    };
    expect(&case.answer(corrupt).run(), MISCONFIGURED);
    assert_eq!(ivalt.requests().len(), 0);
}

#[sandbox_test]
fn a_changed_user_is_not_excused_by_policy() {
    let ivalt = StandIn::start();
    let becomes = Reply {
        set_user: Some("bob".into()),
        answer: Some("accept-1".into()),
        ..Reply::default()
    };
    let case = Case::against(&ivalt).answer(becomes);
    let settings = case.settings(&ivalt).set("policy", "unenrolled", "ignore");
    expect(&case.with_settings(&settings).run(), NOT_ENROLLED);
}
