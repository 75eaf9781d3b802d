//! `ivaltctl api`: the three operations, one request each.

use crate::tool::{Called, with_config};
use support::{Case, StandIn};

fn case(ivalt: &StandIn) -> Case {
    let case = Case::against(ivalt);
    let settings = case.settings(ivalt).set("api", "client_id", "host-1").set(
        "api",
        "client_secret",
        "accept-host",
    );
    case.with_settings(&settings)
}

fn api(case: &Case, words: &[&str], typed: &str) -> Called {
    with_config(&case.config(), &[&["api"], words].concat(), typed)
}

#[test]
fn each_operation_sends_what_is_documented() {
    let ivalt = StandIn::start();
    let case = case(&ivalt);
    for (words, typed) in [
        (
            &["validate-token", "--mobile", "+91 62839-74746"][..],
            "accept-1\n",
        ),
        (&["validate-token"], "+916283974746\naccept-2\n"),
        (&["validate-token", "--user", "alice"], "accept-3\n"),
        (&["validate-user"], "accept-4\naccept-face\n"),
        (&["client-auth"], ""),
    ] {
        let called = api(&case, words, typed);
        assert_eq!(called.status, 0, "{called:?}");
        assert!(
            called
                .stdout
                .starts_with("success\n  http   200\n  took   "),
            "{called:?}"
        );
    }
    let sent: Vec<_> = ivalt
        .requests()
        .iter()
        .map(|request| (request["path"].clone(), request["raw"].clone()))
        .collect();
    let base = "/admin/public/api/";
    let token = |token: &str| format!(r#"{{"mobile":"+916283974746","auth_token":"{token}"}}"#);
    for (index, (path, body)) in [
        ("validate/global/rest/auth", token("accept-1")),
        ("validate/global/rest/auth", token("accept-2")),
        ("validate/global/rest/auth", token("accept-3")),
        (
            "api/v1/validate/user",
            r#"{"face_auth_token":"accept-face","auth_token":"accept-4"}"#.to_owned(),
        ),
        (
            "api/v1/auth",
            r#"{"client_id":"host-1","client_secret":"accept-host"}"#.to_owned(),
        ),
    ]
    .into_iter()
    .enumerate()
    {
        assert_eq!(sent[index], (format!("{base}{path}").into(), body.into()));
    }
    assert_eq!(sent.len(), 5);
}

/// Of a user whom only the synced file names.
#[test]
fn the_mobile_of_a_synced_user() {
    let ivalt = StandIn::start();
    let synced = "[users]\nalice = \"+14155550200\"\ndave = \"+14155550203\"\n";
    let case = case(&ivalt).synced(synced);
    let settings = case.settings(&ivalt).with_synced(&case.synced_file());
    let case = case.with_settings(&settings);
    let validate = |user: &str| api(&case, &["validate-token", "--user", user], "accept-1\n");
    for user in ["alice", "dave"] {
        assert_eq!(validate(user).status, 0, "{user}");
    }
    let requests = ivalt.requests();
    let sent: Vec<_> = requests
        .iter()
        .map(|sent| &sent["body"]["mobile"])
        .collect();
    assert_eq!(sent, ["+916283974746", "+14155550203"]);
    let called = validate("bob");
    let expected = format!(
        "ivaltctl: {} or {}: no entry for bob; add one: ivaltctl users add bob MOBILE\n",
        case.users_file().display(),
        case.synced_file().display()
    );
    assert_eq!((called.status, called.stderr), (1, expected));
}

#[test]
fn the_same_rules_for_every_answer() {
    let ivalt = StandIn::start();
    for (answer, status, verdict) in [
        ("accept", 0, "success"),
        ("reject", 1, "refused"),
        ("geofence", 1, "refused"),
        ("soft-reject", 1, "refused"),
        ("success-400", 1, "refused"),
        ("forbidden", 1, "api-key-refused"),
        ("api-key-invalid", 1, "api-key-refused"),
        ("http-503", 4, "unavailable"),
        ("rate-limit", 4, "unavailable"),
        ("http-302", 4, "unavailable"),
        ("garbage", 4, "unavailable"),
        ("hang-up", 4, "unavailable"),
    ] {
        let case = case(&ivalt);
        let settings =
            case.settings(&ivalt)
                .set("api", "client_id", "x")
                .set("api", "client_secret", answer);
        let case = case.with_settings(&settings);
        for (words, typed) in [
            (
                &["validate-token", "--user", "alice", "--json"][..],
                format!("{answer}\n"),
            ),
            (&["validate-user", "--json"], format!("accept\n{answer}\n")),
            (&["client-auth", "--json"], String::new()),
        ] {
            let called = api(&case, words, &typed);
            assert_eq!(
                (called.status, &called.json()["verdict"]),
                (status, &verdict.into()),
                "{words:?} {answer}"
            );
        }
    }
}

#[test]
fn answers_are_shown_escaped() {
    let ivalt = StandIn::start();
    let called = api(
        &case(&ivalt),
        &["validate-token", "--user", "alice"],
        "escape\n",
    );
    assert_eq!(called.status, 1);
    assert!(
        called.stdout.contains(
            "  http   403\n  code   AUTHENTICATION_FAILED\n  detail \"red \\x1b[31malert"
        ),
        "{called:?}"
    );
    assert!(!called.stdout.contains('\u{1b}'));
}

#[test]
fn an_impossible_token_is_not_sent() {
    let ivalt = StandIn::start();
    let case = case(&ivalt);
    for (words, typed, why) in [
        (
            &["validate-token", "--user", "alice"][..],
            "two words\n",
            "not a token",
        ),
        (&["validate-token", "--user", "alice"], "\n", "not a token"),
        (
            &["validate-token", "--user", "alice"],
            "",
            "no answer: the input ended; answer at a terminal, or on standard input, each question with a line",
        ),
        (
            &["validate-token", "--user", "bob"],
            "accept\n",
            "no entry for bob; add one: ivaltctl users add bob MOBILE",
        ),
        (
            &["validate-token", "--mobile", "6283974746"],
            "accept\n",
            "the mobile has no + and so perhaps no country code; write + and the country code in front, like +14155550100; nothing was sent",
        ),
        (
            &["validate-user"],
            "accept\n",
            "no answer: the input ended; answer at a terminal, or on standard input, each question with a line",
        ),
    ] {
        let called = api(&case, words, typed);
        assert_eq!(called.status, 1, "{called:?}");
        assert!(
            called.stderr.starts_with("ivaltctl: ") && called.stderr.contains(why),
            "{called:?}"
        );
        assert!(called.stdout.is_empty(), "{called:?}");
    }
    assert_eq!(ivalt.connections().len(), 0);
}

#[test]
fn credentials_are_asked_for_where_the_settings_have_none() {
    let ivalt = StandIn::start();
    let called = api(
        &Case::against(&ivalt),
        &["client-auth"],
        "host-2\naccept-typed\n",
    );
    assert_eq!(called.status, 0, "{called:?}");
    assert_eq!(
        ivalt.requests()[0]["raw"],
        r#"{"client_id":"host-2","client_secret":"accept-typed"}"#
    );
    assert!(!called.stdout.contains("accept-typed") && !called.stderr.contains("accept-typed"));
}
