//! `ivaltctl verify`: the module's decision, reason and wording.

use crate::tool::{Called, with_config};
use support::{Case, StandIn, module_path};

struct Try {
    ivalt: StandIn,
    case: Case,
}

impl Try {
    fn new() -> Self {
        let ivalt = StandIn::start();
        let case = Case::against(&ivalt);
        Self { ivalt, case }
    }

    fn with(self, section: &str, key: &str, value: &str) -> Self {
        let settings = self.case.settings(&self.ivalt).set(section, key, value);
        let case = self.case.with_settings(&settings);
        Self { case, ..self }
    }

    fn verify(&self, words: &[&str], typed: &str) -> Called {
        with_config(&self.case.config(), &[&["verify"], words].concat(), typed)
    }
}

#[test]
fn the_decision_is_the_exit_status() {
    let with_token = Try::new();
    let called = with_token.verify(&["alice"], "accept-1\n");
    assert_eq!(
        (called.status, called.stderr.as_str()),
        (0, ""),
        "{called:?}"
    );
    assert!(
        called
            .stdout
            .starts_with("allow: verified\nlog line: pam_ivalt(ivaltctl:auth): outcome=allow ")
    );
    assert_eq!(with_token.ivalt.tokens(), ["accept-1"]);

    let called = with_token.verify(
        &["alice", "--service", "sshd"],
        "geofence\nreject-2\nreject-3\n",
    );
    assert_eq!(called.status, 1);
    let lines: Vec<_> = called.stdout.lines().collect();
    assert_eq!(
        lines[..2],
        [
            "deny: token-rejected",
            "user sees: iVALT refused the token."
        ]
    );
    assert!(lines[2].contains(
        "pam_ivalt(sshd:auth): outcome=deny reason=token-rejected user=alice service=sshd "
    ));
    assert!(
        lines[2].contains(" mobile=***4746 http=403 ") && lines[2].contains(" attempts=3 "),
        "{called:?}"
    );

    let called = with_token.verify(&["bob"], "accept-1\n");
    assert_eq!(
        (called.status, called.stdout.lines().next()),
        (1, Some("deny: not-enrolled"))
    );
    let called = Try::new()
        .with("policy", "unenrolled", "ignore")
        .verify(&["bob"], "");
    assert_eq!(
        (called.status, called.stdout.lines().next()),
        (3, Some("ignore: unenrolled"))
    );
    let called = Try::new()
        .with("policy", "unenrolled", "ignore")
        .verify(&["ALICE@corp.example"], "accept-1\n");
    assert_eq!(
        (called.status, called.stdout.lines().next()),
        (1, Some("deny: bad-entry"))
    );
    assert!(
        called
            .stdout
            .contains("users.toml: there is an entry for \\\"alice\\\", and names are compared"),
        "{called:?}"
    );
}

/// A trial comes from no network; whose entry counts is as in a login.
#[test]
fn nobody_is_exempt_and_synced_users_are_known() {
    let tool = Try::new();
    let case = tool.case.synced("[users]\ndave = \"+14155550203\"\n");
    let settings = case
        .settings(&tool.ivalt)
        .with_synced(&case.synced_file())
        .set_raw(
            "policy",
            "exempt_networks",
            r#"["0.0.0.0/1", "128.0.0.0/1"]"#,
        );
    let tool = Try {
        case: case.with_settings(&settings),
        ..tool
    };
    for user in ["alice", "dave"] {
        let called = tool.verify(&[user, "--service", "sshd"], "accept-1\n");
        let first = called.stdout.lines().next();
        assert_eq!((called.status, first), (0, Some("allow: verified")));
    }
    let called = tool.verify(&["bob"], "accept-1\n");
    let first = called.stdout.lines().next();
    assert_eq!((called.status, first), (1, Some("deny: not-enrolled")));
    let requests = tool.ivalt.requests();
    let sent: Vec<_> = requests
        .iter()
        .map(|sent| &sent["body"]["mobile"])
        .collect();
    assert_eq!(sent, ["+916283974746", "+14155550203"]);
}

/// Nobody is rung for a trial.
#[test]
fn enter_is_no_answer_where_push_is_on() {
    let tool = Try::new();
    let settings = tool.case.settings(&tool.ivalt).with_push(&tool.ivalt);
    let services = vec!["ivaltctl", "sshd", support::SERVICE];
    let settings = settings.set("push", "services", services);
    let tool = Try {
        case: tool.case.with_settings(&settings),
        ..tool
    };
    for words in [&["alice"][..], &["alice", "--service", "sshd"]] {
        let called = tool.verify(words, "\n");
        let first = called.stdout.lines().next();
        assert_eq!((called.status, first), (1, Some("deny: unanswered")));
    }
    assert_eq!(tool.ivalt.requests().len(), 0);
    assert_eq!(tool.verify(&["alice"], "accept-1\n").status, 0);
}

#[test]
fn json_has_the_fields_of_the_log_line() {
    let with_token = Try::new();
    let called = with_token.verify(&["alice", "--json"], "timezone\n");
    let json = called.json();
    for (key, value) in [
        ("outcome", "deny"),
        ("reason", "unanswered"),
        ("user", "alice"),
        ("service", "ivaltctl"),
    ] {
        assert_eq!(json[key], value, "{key}");
    }
    assert_eq!(
        (json["attempts"].as_u64(), json["http"].as_u64()),
        (Some(1), Some(403))
    );
    let keys: Vec<_> = json.as_object().unwrap().keys().collect();
    assert_eq!(keys.len(), 14);
    assert!(json["elapsed_ms"].is_u64());
}

#[support::sandbox_test]
fn it_decides_as_the_module_does() {
    assert!(module_path().exists());
    for token in [
        "accept-1",
        "reject-1",
        "http-503",
        "forbidden",
        "garbage",
        "two words",
        "",
        "http-302",
        "escape",
    ] {
        let tool = Try::new().with("token", "charset", "visible");
        let settings = tool.case.settings(&tool.ivalt).set("token", "attempts", 1);
        let tool = Try {
            case: tool.case.with_settings(&settings),
            ..tool
        };
        let said = tool
            .verify(&["alice", "--json"], &format!("{token}\n"))
            .json();
        let line = Case::against(&tool.ivalt)
            .with_settings(&settings_of(&tool))
            .answer(token)
            .run()
            .log_line();
        for key in [
            "outcome", "reason", "user", "mobile", "code", "detail", "cause",
        ] {
            assert_eq!(said[key], line.get(key), "{token}: {key}");
        }
    }
}

/// The same settings for a case with a folder of its own.
fn settings_of(tool: &Try) -> support::Settings {
    tool.case.settings(&tool.ivalt).set("token", "attempts", 1)
}

#[test]
fn broken_settings_are_named_and_nothing_is_asked() {
    let called = with_config(
        "/nonexistent/ivalt.toml".as_ref(),
        &["verify", "alice"],
        "accept-1\n",
    );
    assert_eq!(called.status, 1);
    assert!(
        called.stdout.starts_with("deny: misconfigured\n"),
        "{called:?}"
    );
    assert!(
        called
            .stdout
            .contains("/nonexistent/ivalt.toml: does not exist; create it: "),
        "{called:?}"
    );
}

#[test]
fn no_secret_is_printed() {
    let tool = Try::new();
    for typed in ["reject-SECRET\n", "two SECRET words\n", "SECRET\nSECRET\n"] {
        for words in [&["alice"][..], &["alice", "--json"]] {
            let called = tool.verify(words, typed);
            let all = called.stdout + &called.stderr;
            for secret in ["SECRET", StandIn::API_KEY, "6283974746"] {
                assert!(!all.contains(secret), "{typed:?}: {all}");
            }
        }
    }
}
