//! Token, API key, password and whole mobile appear in no log at any level, no message and no error text.

use crate::codes::with_codes;
use support::server::{Server, answer, trusted_authority};
use support::{Case, Report, StandIn, sandbox_test};

const KEY: &str = "key-7f3a9c";
const PASSWORD: &str = "pw-5d1e8b";
const TOKEN: &str = "tok-2b6c4d";
const MOBILE: &str = "6283974746";

/// Everything that anyone but iVALT gets to see.
fn seen(report: &Report) -> String {
    let messages = report
        .messages()
        .into_iter()
        .map(|message| message.text.clone());
    messages
        .chain(report.log().into_iter().map(str::to_owned))
        .collect::<Vec<_>>()
        .join("\n")
}

#[track_caller]
fn nothing_of_it(name: &str, report: &Report) {
    // Silence would prove nothing.
    report.log_line();
    let seen = seen(report);
    for secret in [KEY, PASSWORD, TOKEN, MOBILE] {
        assert!(!seen.contains(secret), "{name} shows {secret}: {seen}");
    }
}

fn case(ivalt: &StandIn) -> Case {
    let case = Case::against(ivalt).argument("debug").authtok(PASSWORD);
    let settings = case.settings(ivalt).set("api", "key", KEY);
    case.with_settings(&settings)
}

#[sandbox_test]
fn whatever_happens() {
    let ivalt = StandIn::start();
    for answer in [
        TOKEN.to_owned(),
        PASSWORD.to_owned(),
        format!("{TOKEN} {KEY}"),
        TOKEN.repeat(60),
    ] {
        nothing_of_it(&answer, &case(&ivalt).answer(answer.as_str()).run());
    }
    nothing_of_it(
        "use_first_pass",
        &case(&ivalt).argument("use_first_pass").run(),
    );
    nothing_of_it(
        "bad argument",
        &case(&ivalt).argument(&format!("key={KEY}")).run(),
    );
    let users = format!("[users]\nalice = \"{MOBILE}\"\n");
    nothing_of_it("bad entry", &case(&ivalt).users(&users).answer(TOKEN).run());
    let users = format!("[users]\nalice = \"+91{MOBILE}\nbob = 1\n");
    nothing_of_it("no TOML", &case(&ivalt).users(&users).answer(TOKEN).run());
}

#[sandbox_test]
fn recovery_codes() {
    let ivalt = StandIn::start();
    let (case, codes, texts) = with_codes(&ivalt, 2);
    let file = codes.file_of("alice", &texts[0]);
    let hash = file.file_name().unwrap().to_str().unwrap()[5..].to_owned();
    let text = &texts[0];
    let nothing_of_it = |name: &str, case: &Case| {
        let report = case.run();
        report.log_line();
        let seen = seen(&report) + &codes.used("alice");
        let lower = seen.to_ascii_lowercase();
        for part in [
            &text[3..12],
            &text[8..17],
            &text.replace('-', "")[2..10],
            &hash[..8],
        ] {
            assert!(
                !lower.contains(&part.to_ascii_lowercase()),
                "{name} shows {part}: {seen}"
            );
        }
    };
    let mut case = case.argument("debug");
    for answer in [
        format!("{text}0"),
        text[..text.len() - 1].to_owned(),
        text[3..20].to_owned(),
    ] {
        case.script.answers = vec![answer.as_str().into(); 3];
        nothing_of_it(&answer, &case);
    }
    case.script.answers = vec![text.as_str().into(); 3];
    let content = std::fs::read(&file).unwrap();
    std::fs::write(&file, "x").unwrap();
    nothing_of_it("a file that cannot be used", &case);
    std::fs::write(&file, content).unwrap();
    nothing_of_it("accepted", &case);
    nothing_of_it("refused", &case);
    assert_eq!(codes.left("alice"), 1);
    // The shorter one is an ordinary answer, which is sent once.
    assert_eq!(ivalt.tokens(), [&text[3..20]]);
}

#[sandbox_test]
fn broken_settings() {
    let ivalt = StandIn::start();
    for text in [
        format!("[api]\nkey = \"{KEY}\n"),
        format!("[api]\nkey = {KEY}\n"),
        format!("[api]\nkey = \"{KEY}\"\nkey = \"{KEY}\"\n"),
        format!("[api]\nkey = [\"{KEY}\"]\n"),
        format!("[api]\nkey = \"{KEY} {KEY}\"\n"),
        format!("[api]\ntimeout_seconds = \"{KEY}\"\n"),
        format!("[api]\nkey = \"k\"\nurl = \"https://{KEY}:x@api.ivalt.com/\"\n"),
        format!("[api]\nkey = \"k\"\nproxy = \"http://u:{KEY}@proxy/x\"\n"),
        format!("[api]\nkey = \"k\"\n[token]\nmethod = \"{KEY}\"\n"),
    ] {
        nothing_of_it(
            &text,
            &case(&ivalt).settings_text(&text).answer(TOKEN).run(),
        );
    }
}

#[sandbox_test]
fn what_ivalt_repeats_is_redacted() {
    let detail = format!("token {TOKEN} of +91{MOBILE} ({MOBILE}), 3974746 but 974746, with {KEY}");
    let body =
        format!(r#"{{"status":"error","error":{{"code":"X-{TOKEN}","detail":"{detail}"}}}}"#);
    let server = Server::answering(answer("403 Forbidden", "", body.as_bytes()));
    let ivalt = StandIn::start();
    let case = case(&ivalt).answer(TOKEN);
    let ca = trusted_authority(case.dir().path());
    let settings =
        case.settings(&ivalt)
            .set("api", "key", KEY)
            .set("api", "ca_file", ca.to_str().unwrap());
    let settings = settings.set("token", "attempts", 1);
    let report = case
        .with_settings(&settings.set("api", "url", format!("https://127.0.0.1:{}", server.port)))
        .run();
    nothing_of_it("repeated", &report);
    let line = report.log_line();
    assert_eq!(
        line.get("detail"),
        "token *** of *** (***), *** but 974746, with ***"
    );
    assert_eq!(
        (line.get("code"), line.get("mobile")),
        ("X-***".into(), "***4746".into())
    );
}

/// A token that is part of the key must not break the key up: the rest of it would stay.
#[sandbox_test]
fn a_secret_within_a_secret_is_redacted() {
    let key = "key-echo-6283974746-TAIL";
    let body = format!(r#"{{"status":"error","error":{{"detail":"key {key} token echo"}}}}"#);
    let server = Server::answering(answer("403 Forbidden", "", body.as_bytes()));
    let ivalt = StandIn::start();
    let case = case(&ivalt).answer("echo");
    let ca = trusted_authority(case.dir().path());
    let settings =
        case.settings(&ivalt)
            .set("api", "key", key)
            .set("api", "ca_file", ca.to_str().unwrap());
    let settings = settings.set("token", "attempts", 1);
    let report = case
        .with_settings(&settings.set("api", "url", format!("https://127.0.0.1:{}", server.port)))
        .run();
    assert_eq!(report.log_line().get("detail"), "key *** token ***");
}

#[sandbox_test]
fn a_mobile_written_in_another_form_is_redacted_too() {
    let ivalt = StandIn::start();
    for (users, format, repeated, shown) in [
        (
            "[users]\nalice = \"+916283974746\"\n",
            "e164",
            "+91-628397-4746",
            "***",
        ),
        (
            "[users]\nalice = \"+916283974746\"\n",
            "e164",
            "(628)397-4746",
            "(***",
        ),
        (
            "[users]\nalice = \"0628 397 4746\"\n",
            "national",
            "06283974746",
            "***",
        ),
        (
            "[users]\nalice = \"+14155550177\"\n",
            "e164",
            "415--555--0177",
            "***",
        ),
        (
            "[users]\nalice = \"+14155550177\"\n",
            "e164",
            "no:1/415/555/0177",
            "no:***",
        ),
    ] {
        let body = format!(r#"body:{{"status":"error","error":{{"detail":"{repeated}"}}}}"#);
        let case = Case::against(&ivalt).users(users).answer(body.as_str());
        let settings = case
            .settings(&ivalt)
            .set("token", "mobile_format", format)
            .set("token", "attempts", 1);
        let detail = case.with_settings(&settings).run().log_line().get("detail");
        assert_eq!(detail, shown, "{format}");
    }
}

/// The second operation of `token+face` is not told the mobile, and may repeat it all the same.
#[sandbox_test]
fn the_mobile_in_the_answer_about_the_face_is_scrubbed_too() {
    let ivalt = StandIn::start();
    let repeated = r#"body:{"status":"error","error":{"detail":"of+91-628397-4746"}}"#;
    let case = Case::against(&ivalt).answer("accept-1").answer(repeated);
    let settings = case
        .settings(&ivalt)
        .set("token", "method", "token+face")
        .set("token", "attempts", 1);
    let report = case.with_settings(&settings).run();
    assert_eq!(ivalt.requests().len(), 2);
    assert_eq!(report.log_line().get("detail"), "of***");
}
