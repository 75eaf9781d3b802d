//! One-time recovery codes: who is let in by which answer, what the log says of it, and that iVALT hears nothing.

use crate::codes::*;
use crate::dns::{self, Kind, servers};
use crate::expect::*;
use ivalt_core::recovery::store::parse_used;
use support::codes::*;
use support::server::NOBODY;
use support::{Case, Entry, LogLine, Reply, Report, StandIn, Style, Text, sandbox_test};

/// Nothing of iVALT's in the line, and this detail and cause.
#[track_caller]
fn of_a_code(line: &LogLine, detail: &str, cause: &str) {
    let shown = ["http", "code", "detail", "cause"].map(|key| line.get(key));
    assert_eq!(shown, ["", "", detail, cause], "{line:?}");
}

fn informed(report: &Report) -> Vec<&str> {
    let messages = report.messages().into_iter();
    let infos = messages.filter(|message| message.style == Style::Info);
    infos.map(|message| message.text.as_str()).collect()
}

fn after(sentence: &str) -> String {
    format!("{sentence} {PROMPT}")
}

const GONE: &str = "unknown, used or revoked";

#[sandbox_test]
fn a_code_gets_in_once() {
    let ivalt = StandIn::start();
    let (case, codes, texts) = with_codes(&ivalt, 7);
    let case = case.rhost("203.0.113.7").answer(texts[2].as_str());
    let report = case.run();
    let line = expect(&report, ACCEPTED);
    of_a_code(&line, "code 3, 6 left", "");
    assert_eq!(
        ["mobile", "attempts"].map(|key| line.get(key)),
        ["***4746", "1"]
    );
    assert_eq!(report.prompts(), [PROMPT]);
    assert_eq!(informed(&report), ["Recovery code 3 accepted, 6 left."]);
    assert_eq!(codes.left("alice"), 6);
    let used = parse_used(codes.used("alice").as_bytes());
    assert_eq!((used.len(), used[0].number), (1, 3));
    assert_eq!(
        (used[0].service.as_str(), used[0].rhost.as_str()),
        ("ivalt-test", "203.0.113.7")
    );
    assert!(used[0].time > MADE);

    let case = case.answer(texts[2].as_str()).answer(texts[6].as_str());
    let report = case.run();
    let line = expect(&report, ACCEPTED);
    of_a_code(&line, "code 7, 5 left", "");
    assert_eq!(line.get("attempts"), "3");
    assert_eq!(report.prompts(), [PROMPT, &after(UNKNOWN), &after(UNKNOWN)]);
    assert_eq!(codes.used("alice").lines().count(), 2);
    assert_eq!(ivalt.requests().len(), 0);
}

#[sandbox_test]
fn case_dashes_blanks_and_the_usual_confusions_do_not_matter() {
    let ivalt = StandIn::start();
    let (case, codes, texts) = with_codes(&ivalt, 8);
    let plain = |text: &str| text.replace('-', "");
    let confused = |text: &str| text[3..].replace('0', "O").replace('1', "l");
    let answers = [
        texts[0].to_lowercase(),
        format!(" \t{}\r\n", texts[1].to_uppercase()),
        plain(&texts[2]),
        format!("Rc-{}", plain(&texts[3][3..])),
        texts[4][3..].to_owned(),
        plain(&texts[5][3..]).to_lowercase(),
        format!("rc-{}", confused(&texts[6]).replace('-', " ")),
        confused(&texts[7]).to_uppercase().replace('L', "i"),
    ];
    let case = case.calls(&[Entry::Authenticate; 8]);
    let case = answers
        .iter()
        .fold(case, |case, answer| case.answer(answer.as_str()));
    let report = case.run();
    assert_eq!(report.codes(Entry::Authenticate), [PAM_SUCCESS; 8]);
    assert_eq!((codes.left("alice"), ivalt.requests().len()), (0, 0));
}

#[sandbox_test]
fn what_is_not_an_unused_code_of_this_user_is_refused_and_nothing_is_spent() {
    let ivalt = StandIn::start();
    let (case, codes, texts) = with_codes(&ivalt, 2);
    let expired = codes.add("alice", 3, Some(MADE + 1));
    let of_bob = codes.add("bob", 1, None);
    let (_other_host, _, of_another_host) = with_codes(&ivalt, 1);
    let in_time = codes.add("alice", 4, Some(u64::MAX));
    let case = case.users(&support::users(&[
        ("alice", "+916283974746"),
        ("bob", "+14155550100"),
    ]));
    let settings = settings(&case, &ivalt, &codes).set("token", "attempts", 1);
    let mut case = case.with_settings(&settings);
    expect(&single(&mut case, &texts[1]), ACCEPTED);
    for (answer, detail, cause) in [
        (&texts[1], "", GONE),
        (&expired, "code 3", "code 3 has expired"),
        (&of_bob, "", GONE),
        (&of_another_host[0], "", GONE),
    ] {
        let report = single(&mut case, answer);
        of_a_code(&expect(&report, REFUSED_CODE), detail, cause);
        assert_eq!(report.told(), [UNKNOWN]);
    }
    let report = single(&mut case, &in_time);
    // The expired one is there, and does not count.
    of_a_code(&expect(&report, ACCEPTED), "code 4, 1 left", "");
    assert_eq!(codes.left("alice"), 2);
    assert_eq!(codes.left("bob"), 1);
    assert_eq!(codes.used("alice").lines().count(), 2);
    assert_eq!(codes.used("bob"), "");
    let mut case = case.user("bob");
    expect(&single(&mut case, &of_bob), ACCEPTED);
    assert_eq!(ivalt.requests().len(), 0);
}

/// A run with this one answer.
fn single(case: &mut Case, answer: &str) -> Report {
    case.script.answers = vec![answer.into()];
    case.run()
}

#[sandbox_test]
fn the_last_refusal_is_that_of_tokens() {
    let ivalt = StandIn::start();
    let (case, codes, texts) = with_codes(&ivalt, 1);
    let case = case.answer(texts[0].as_str());
    expect(&case.run(), ACCEPTED);
    let mut case = case.answer(texts[0].as_str()).answer(texts[0].as_str());
    let report = case.run();
    of_a_code(&expect(&report, EXHAUSTED_CODES), "", GONE);
    assert_eq!(report.prompts(), [PROMPT, &after(UNKNOWN), &after(UNKNOWN)]);
    assert_eq!(report.told(), [UNKNOWN]);
    // What iVALT said of the token before is not about the code; and the last answer counts.
    case.script.answers = ["geofence", "geofence-2", &texts[0]].map(Into::into).into();
    of_a_code(&expect(&case.run(), EXHAUSTED_CODES), "", GONE);
    case.script.answers = [&texts[0], "geofence", "two words"].map(Into::into).into();
    let line = expect(&case.run(), MALFORMED);
    assert_eq!(
        ["http", "code", "attempts"].map(|key| line.get(key)),
        ["403", "INVALID_GEOFENCE", "3"]
    );
    case.script.answers = [&texts[0], "reject-1", "reject-2"].map(Into::into).into();
    expect(&case.run(), EXHAUSTED);
    let fresh = codes.add("alice", 2, None);
    case.script.answers = ["geofence", &texts[0], &fresh].map(Into::into).into();
    of_a_code(&expect(&case.run(), ACCEPTED), "code 2, 0 left", "");
    // Without a second question there is no last one.
    let case = case.argument("use_first_pass").authtok(&texts[0]);
    expect(&case.run(), REFUSED_CODE);
}

#[sandbox_test]
fn typing_errors_are_asked_again_as_such() {
    let ivalt = StandIn::start();
    let (mut case, codes, texts) = with_codes(&ivalt, 1);
    let text = texts[0].as_str();
    let other = if text.ends_with('0') { "1" } else { "0" };
    let (few, many) = ("too few symbols", "too many symbols");
    for (answer, cause) in [
        (
            format!("{}{other}", &text[..text.len() - 1]),
            "the check symbols do not fit",
        ),
        (text[..text.len() - 1].to_owned(), few),
        (format!("{text}0"), many),
        (format!("RC-{}", "0".repeat(400)), many),
        ("rc-".to_owned(), few),
        ("rC-hunter2".to_owned(), few),
        (format!("rc-{}", text), many),
        (
            format!("rc-U{}", &text[4..]),
            "a character that no code has",
        ),
        (
            format!("rc-{}\u{e9}", &text[3..text.len() - 2]),
            "a character that no code has",
        ),
    ] {
        case.script.answers = vec![answer.as_str().into(), "".into()];
        let report = case.run();
        expect(&report, UNANSWERED);
        assert_eq!(report.prompts(), [PROMPT, &after(MISTYPED)], "{answer}");
        case.script.answers = vec![answer.as_str().into(); 3];
        let report = case.run();
        let line = expect(&report, MALFORMED);
        assert_eq!(
            line.get("cause"),
            format!("recovery code: {cause}"),
            "{answer}"
        );
        assert_eq!(report.told(), [MISTYPED]);
    }
    case.script.answers = vec!["rc-".into(), text.into()];
    of_a_code(&expect(&case.run(), ACCEPTED), "code 1, 0 left", "");
    assert_eq!((codes.left("alice"), ivalt.requests().len()), (0, 0));
}

/// The same answer is a code only by its check symbols, or by its beginning.
#[sandbox_test]
fn any_other_answer_goes_to_ivalt() {
    let ivalt = StandIn::start();
    let (mut case, codes, texts) = with_codes(&ivalt, 1);
    let text = texts[0].as_str();
    let other = if text.ends_with('0') { "1" } else { "0" };
    let wrong = format!("{}{other}", &text[3..text.len() - 1]);
    let answers = [wrong.as_str(), "rc", "rcaccept", "r-c-1", "accept-rc-1"];
    for answer in answers {
        case.script.answers = vec![answer.into()];
        let reason = case.run().log_line().reason();
        let expected = if answer.starts_with("accept") {
            "verified"
        } else {
            "unanswered"
        };
        assert_eq!(reason, expected, "{answer}");
    }
    assert_eq!(ivalt.tokens(), answers);
    assert_eq!(codes.left("alice"), 1);
}

#[sandbox_test]
fn where_codes_are_off_nothing_has_their_form() {
    let ivalt = StandIn::start();
    let (case, codes, texts) = with_codes(&ivalt, 1);
    let directory = codes.directory.to_str().unwrap();
    for settings in [
        case.settings(&ivalt),
        case.settings(&ivalt)
            .set("recovery", "directory", directory),
        settings(&case, &ivalt, &codes).set("recovery", "codes", false),
    ] {
        let case = Case::against(&ivalt)
            .with_settings(&settings.set("token", "attempts", 2))
            .users(&support::users(&[("alice", "+916283974746")]));
        let users = case.users_file();
        let text = std::fs::read_to_string(case.config()).unwrap();
        let line = text.lines().next().unwrap().to_owned();
        let text = text.replace(&line, &format!("users_file = \"{}\"", users.display()));
        let case = case.settings_text(&text);
        let report = case.answer(texts[0].as_str()).answer("rc-1").run();
        expect(&report, EXHAUSTED);
        assert_eq!(report.prompts(), [PROMPT, &after(REFUSED)]);
    }
    assert_eq!(ivalt.tokens(), [texts[0].as_str(), "rc-1"].repeat(3));
    assert_eq!(codes.left("alice"), 1);
}

#[sandbox_test]
fn it_is_judged_after_dummy_password_and_name_and_before_length_and_charset() {
    let ivalt = StandIn::start();
    let (case, codes, texts) = with_codes(&ivalt, 2);
    let settings = settings(&case, &ivalt, &codes)
        .set("token", "charset", "digits")
        .set("token", "max_length", 6);
    let case = case.with_settings(&settings).answer(texts[0].as_str());
    expect(&case.run(), ACCEPTED);

    let password = case.authtok(&texts[1]).answer(texts[1].as_str());
    let mut password = password;
    password.script.answers = vec![texts[1].as_str().into()];
    expect(&password.run(), PASSWORD);

    // A user whose name has the form of a code, asked for without a prompt.
    let (case, codes, _) = with_codes(&ivalt, 1);
    let name = "rc-0123-4567-89ab-cdef-yw";
    let case = case
        .users(&support::users(&[(name, "+916283974746")]))
        .user(name);
    let case = case.answer(name).answer(name).answer(name);
    let line = expect(&case.run(), MALFORMED);
    assert!(
        line.get("cause").starts_with("the answer is the user name"),
        "{line:?}"
    );
    assert_eq!((codes.left("alice"), ivalt.requests().len()), (1, 0));
}

#[sandbox_test]
fn only_enrolled_users_can_use_theirs() {
    let ivalt = StandIn::start();
    let (mut case, codes, texts) = with_codes(&ivalt, 1);
    case.script.answers = vec![texts[0].as_str().into()];
    for (entry, row) in [
        ("", NOT_ENROLLED),
        (
            "alice = { mobile = \"+14155550100\", enabled = false }\n",
            DISABLED,
        ),
        ("alice = \"4155550100\"\n", BAD_ENTRY),
    ] {
        case = case.users(&format!("[users]\n{entry}"));
        let report = case.run();
        expect(&report, row);
        assert_eq!((report.prompts(), codes.left("alice")), (vec![PROMPT], 1));
    }
    // The application changes the user while it asks.
    let case = case.users(&support::users(&[
        ("alice", "+916283974746"),
        ("bob", "+14155550100"),
    ]));
    let mut case = case.user("bob");
    case.script.answers = vec![
        Reply {
            answer: Some(texts[0].as_str().into()),
            set_user: Some("alice".into()),
            ..Reply::default()
        }
        .into(),
    ];
    let line = expect(&case.run(), ACCEPTED);
    assert_eq!(line.get("user"), "alice");
    assert_eq!((codes.left("alice"), ivalt.requests().len()), (0, 0));
}

/// No time ends the prompt of su(1).
#[sandbox_test]
fn whoever_is_disabled_while_the_prompt_is_open_can_use_none() {
    let ivalt = StandIn::start();
    let (mut case, codes, texts) = with_codes(&ivalt, 1);
    for (entry, row) in [
        ("", NOT_ENROLLED),
        (
            "alice = { mobile = \"+14155550100\", enabled = false }\n",
            DISABLED,
        ),
        ("alice = \"4155550100\"\n", BAD_ENTRY),
    ] {
        case = case.users(&support::users(&[("alice", "+916283974746")]));
        let text = format!("[users]\n{entry}");
        let new = case.dir().write("new.toml", text, 0o600);
        case.script.answers = vec![
            Reply {
                answer: Some(texts[0].as_str().into()),
                renames: vec![(new, case.users_file())],
                ..Reply::default()
            }
            .into(),
        ];
        expect(&case.run(), row);
        assert_eq!((codes.left("alice"), ivalt.requests().len()), (1, 0));
    }
}

#[sandbox_test]
fn with_token_and_face_a_code_at_the_first_prompt_ends_the_questions() {
    const FACE: &str = "iVALT face token: ";
    let ivalt = StandIn::start();
    let (case, codes, texts) = with_codes(&ivalt, 2);
    let settings = settings(&case, &ivalt, &codes).set("token", "method", "token+face");
    let mut case = case.with_settings(&settings).answer(texts[0].as_str());
    let report = case.run();
    assert_eq!(expect(&report, ACCEPTED).get("attempts"), "1");
    assert_eq!(report.prompts(), [PROMPT]);

    case.script.answers = [&texts[0], "rc-1", &texts[1]].map(Into::into).into();
    let report = case.run();
    expect(&report, ACCEPTED);
    assert_eq!(
        report.prompts(),
        [PROMPT, &after(UNKNOWN), &after(MISTYPED)]
    );

    // Whoever it is: who is asked for the face does not tell who is enrolled.
    let mut stranger = case.user("mallory");
    stranger.script.answers = vec![texts[1].as_str().into()];
    let report = stranger.run();
    expect(&report, NOT_ENROLLED);
    assert_eq!(report.prompts(), [PROMPT]);

    let fresh = codes.add("alice", 3, None);
    let mut case = stranger.user("alice");
    for answer in [fresh.as_str(), "rc-", &fresh[3..]] {
        case.script.answers = ["accept-1", answer, ""].map(Into::into).into();
        let report = case.run();
        expect(&report, UNANSWERED);
        let not_a_token = after("That is not an iVALT token.");
        assert_eq!(report.prompts(), [PROMPT, FACE, &not_a_token], "{answer}");
    }
    assert_eq!((codes.left("alice"), ivalt.requests().len()), (1, 0));
}

#[sandbox_test]
fn a_password_that_an_earlier_module_took_may_be_a_code() {
    let ivalt = StandIn::start();
    let (case, codes, texts) = with_codes(&ivalt, 2);
    let case = case.argument("use_first_pass").authtok(&texts[0]);
    let report = case.run();
    expect(&report, ACCEPTED);
    assert_eq!(report.prompts(), [""; 0]);
    let again = Case::against(&ivalt).argument("try_first_pass");
    let settings = settings(&again, &ivalt, &codes);
    let again = again.with_settings(&settings).authtok(&texts[0]);
    let report = again.answer(texts[1].as_str()).run();
    expect(&report, ACCEPTED);
    assert_eq!(report.prompts(), [after(UNKNOWN)]);
    assert_eq!((codes.left("alice"), ivalt.requests().len()), (0, 0));
}

/// However the connection that is made ahead fares, and whatever a policy says of an outage.
#[sandbox_test]
fn it_works_while_ivalt_is_away() {
    let hole = support::server::black_hole(([127, 0, 0, 1], 0).into());
    let hole = hole.0.local_addr().unwrap();
    let ivalt = StandIn::start();
    for url in [NOBODY, hole].map(|address| format!("https://{address}")) {
        for preconnect in [true, false] {
            let (case, codes, texts) = with_codes(&ivalt, 2);
            let settings = settings(&case, &ivalt, &codes)
                .set("api", "url", url.as_str())
                .set("api", "preconnect", preconnect)
                .set("policy", "unavailable", "ignore");
            let mut case = case.with_settings(&settings);
            let report = single(&mut case, &texts[0]);
            let line = expect(&report, ACCEPTED);
            assert_eq!(line.get("elapsed_ms"), "0");
            case.script.answers = vec![texts[0].as_str().into(); 3];
            expect(&case.run(), EXHAUSTED_CODES);
            case.script.answers = vec!["rc-".into(); 3];
            expect(&case.run(), MALFORMED);
            std::fs::remove_file(codes.folder("alice").join("salt")).unwrap();
            std::fs::create_dir(codes.folder("alice").join("salt")).unwrap();
            expect(&single(&mut case, &texts[1]), MISCONFIGURED);
        }
    }
    assert_eq!(ivalt.requests().len(), 0);
}

#[sandbox_test]
fn it_works_without_a_name_server() {
    let Some(list) = servers(&[Kind::Silent]) else {
        return;
    };
    let case = dns::case("valid.example", 443, 10, &list);
    let codes = Codes::new(&case);
    let texts = codes.make("alice", 1);
    let text = std::fs::read_to_string(case.config()).unwrap();
    let directory = codes.directory.display();
    let recovery = format!("{text}\n[recovery]\ncodes = true\ndirectory = \"{directory}\"\n");
    let mut case = case.settings_text(&recovery);
    expect(&single(&mut case, &texts[0]), ACCEPTED);
}

#[sandbox_test]
fn who_wants_silence_hears_of_it_at_the_next_prompt() {
    let ivalt = StandIn::start();
    let (case, _, texts) = with_codes(&ivalt, 2);
    let case = case.silent().calls(&[Entry::Authenticate; 2]);
    let report = case.answer(texts[0].as_str()).answer("accept-1").run();
    assert_eq!(report.codes(Entry::Authenticate), [PAM_SUCCESS; 2]);
    assert_eq!(informed(&report), [""; 0]);
    let prompts = [PROMPT, &after("Recovery code 1 accepted, 1 left.")];
    assert_eq!(report.prompts(), prompts);
}

/// Some applications refuse messages: that is no reason to refuse the login.
#[sandbox_test]
fn an_application_that_takes_no_messages_is_none_the_worse() {
    let ivalt = StandIn::start();
    let (mut case, _, texts) = with_codes(&ivalt, 1);
    case.script.message_code = PAM_CONV_ERR;
    expect(&single(&mut case, &texts[0]), ACCEPTED);
}

/// A name as hostile as they come has a folder of its own, and nothing outside the store is touched.
#[sandbox_test]
fn names_of_every_kind() {
    let ivalt = StandIn::start();
    for name in [
        "../alice",
        ".",
        "Alice",
        "first.last",
        "%61lice",
        "a b\u{e4}",
        "corp\\alice",
    ] {
        let (case, codes, of_alice) = with_codes(&ivalt, 1);
        let text = codes.add(name, 1, None);
        let case = case.users(&support::users(&[(name, "+916283974746")]));
        let case = case.user(Text::from(name)).answer(of_alice[0].as_str());
        let case = case.answer(text.as_str());
        let line = expect(&case.run(), ACCEPTED);
        assert_eq!(line.get("attempts"), "2", "{name}");
        assert_eq!((codes.left(name), codes.left("alice")), (0, 1), "{name}");
    }
    let (case, _, texts) = with_codes(&ivalt, 1);
    let long = "a".repeat(251);
    let case = case.users(&support::users(&[(&long, "+916283974746")]));
    let mut case = case.user(Text::from(long.as_str()));
    case.script.answers = vec![texts[0].as_str().into(); 3];
    let line = expect(&case.run(), EXHAUSTED_CODES);
    assert_eq!(
        line.get("cause"),
        "the name is too long to have recovery codes"
    );
}
