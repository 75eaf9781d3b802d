//! The steps of a login, one after the other.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::model::{APPROVAL, GEOFENCE, Host, PENDING, Phone, Script, Shared, Stopped, World};
use crate::conversation::{APPROVE_PROMPT, PUSH_PROMPT};

const AGAIN: &str = "Not approved yet. Approve the request on your phone, then press Enter: ";
const UNANSWERED: &str = "!Nobody approved the request in time.";
const STALE: &str = "!An earlier request was still open on the phone; wait five minutes, approve nothing, and try again.";

/// A host, a world, and what is known after a login.
struct Case {
    host: Host,
    world: Shared,
}

/// Outcome and reason, cause, what was said after the first prompt, and the operations with their seconds.
struct Seen {
    outcome: &'static str,
    reason: &'static str,
    cause: String,
    said: Vec<String>,
    operations: Vec<String>,
    attempts: u64,
    http: Option<u16>,
}

impl Case {
    fn new() -> Self {
        let (host, world) = (Host::new(), World::new());
        Self { host, world }
    }

    fn scripted(answers: &[(&'static str, u16, &str)]) -> Self {
        let case = Self::new();
        let answers = answers
            .iter()
            .map(|(operation, status, body)| (*operation, *status, (*body).to_owned()));
        case.world.lock().unwrap().scripted.extend(answers);
        case
    }

    fn log_in(&self, mut user: Script) -> Seen {
        let begun = self.world.lock().unwrap().now.as_secs();
        let report = self.host.log_in(&self.world, "203.0.113.7", &mut user);
        let seen = std::mem::take(&mut self.world.lock().unwrap().seen);
        let operations = seen
            .iter()
            .map(|(at, what)| format!("{what}@{}", at - begun));
        assert_eq!(user.said.remove(0), PUSH_PROMPT);
        let leaked = ["6283974746", "283974746", "A B", "key-"];
        let shown = format!(
            "{:?}{}{}{}",
            user.said, report.cause, report.code, report.detail
        );
        assert!(!leaked.iter().any(|text| shown.contains(text)), "{shown}");
        Seen {
            outcome: report.decision.outcome(),
            reason: report.decision.reason(),
            cause: report.cause,
            said: user.said,
            operations: operations.collect(),
            attempts: report.attempts,
            http: report.http,
        }
    }

    fn tap(&self) -> Box<dyn FnMut(&mut Script) + Send> {
        self.then(|world| world.tap())
    }

    fn then(
        &self,
        mut what: impl FnMut(&mut World) + Send + 'static,
    ) -> Box<dyn FnMut(&mut Script) + Send> {
        let world = Arc::clone(&self.world);
        Box::new(move |_| what(&mut world.lock().unwrap()))
    }

    fn advance(&self, seconds: u64) {
        self.world.lock().unwrap().now += Duration::from_secs(seconds);
    }

    /// The reason of a login of now that gets to the second prompt, or why it does not.
    fn next(&self) -> &'static str {
        self.world.lock().unwrap().phone = Phone::Quiet;
        self.log_in(Script::new("alice").answer("")).reason
    }
}

fn alice() -> Script {
    Script::new("alice").answer("")
}

#[test]
fn five_requests_for_a_login_that_is_approved_before_the_second_enter() {
    let case = Case::new();
    let seen = case.log_in(alice().after(case.tap(), Some("")));
    assert_eq!((seen.reason, seen.cause.as_str()), ("push-approved", ""));
    assert_eq!(seen.said, [APPROVE_PROMPT]);
    assert_eq!(seen.operations, ["poll@0", "start@0", "poll@0", "poll@0"]);
    assert_eq!((seen.attempts, seen.http), (2, Some(200)));
    // Nothing is held.
    assert_eq!(case.next(), "unanswered");
}

#[test]
fn polls_follow_an_enter_and_three_enters_are_the_end() {
    let case = Case::new();
    let seen = case.log_in(alice().answer("").answer(" \r").answer("").answer(""));
    assert_eq!(seen.reason, "push-unanswered");
    assert_eq!(seen.said, [APPROVE_PROMPT, AGAIN, AGAIN, UNANSWERED]);
    let polls = [
        "poll@0", "poll@3", "poll@8", "poll@8", "poll@11", "poll@16", "poll@16", "poll@19",
        "poll@24",
    ];
    let operations = [&["poll@0", "start@0", "poll@0"][..], &polls].concat();
    assert_eq!(seen.operations, operations);
    assert_eq!((seen.attempts, seen.http), (4, Some(404)));
}

#[test]
fn a_tap_between_two_polls_is_seen_by_the_next() {
    let case = Case::new();
    case.world.lock().unwrap().scripted.extend([
        ("poll", 404, PENDING.to_owned()),
        ("start", 200, r#"{"data":{"status":true}}"#.to_owned()),
        ("poll", 404, PENDING.to_owned()),
        ("poll", 404, PENDING.to_owned()),
        ("poll", 200, APPROVAL.to_owned()),
    ]);
    let seen = case.log_in(alice().answer(""));
    assert_eq!(seen.reason, "push-approved");
    assert_eq!(seen.operations[3..], ["poll@0", "poll@3"]);
}

#[test]
fn nothing_is_polled_after_wait_seconds() {
    for (waited, operations, reason) in [
        (51, &["poll@51", "poll@54", "poll@59"][..], "unanswered"),
        (52, &["poll@52", "poll@55"], "unanswered"),
        (59, &["poll@59"], "unanswered"),
        (60, &[], "push-unanswered"),
        (3_600, &[], "push-unanswered"),
    ] {
        let case = Case::new();
        let wait = move |world: &mut World| world.now += Duration::from_secs(waited);
        let seen = case.log_in(alice().after(case.then(wait), Some("")));
        assert_eq!(seen.operations[3..], *operations, "{waited}");
        let last = if reason == "unanswered" {
            AGAIN
        } else {
            UNANSWERED
        };
        assert_eq!(
            (seen.reason, seen.said[1].as_str()),
            (reason, last),
            "{waited}"
        );
    }
    // A tap that comes too late is none.
    let case = Case::new();
    let late = |world: &mut World| {
        world.now += Duration::from_secs(60);
        world.tap();
    };
    assert_eq!(
        case.log_in(alice().after(case.then(late), Some(""))).reason,
        "push-unanswered"
    );
}

/// What iVALT says before the request, to it and after it; reason, whether the next login is held, and how.
#[test]
fn every_answer_at_every_step() {
    const NOT: &str = r#"{"data":{"status":true,"details":{"mobile":"+14155550100"}}}"#;
    const KEY: &str = r#"{"message":"Forbidden"}"#;
    const SENT: &str = r#"{"data":{"status":true}}"#;
    let ok = [
        ("poll", 404, PENDING),
        ("start", 200, SENT),
        ("poll", 404, PENDING),
    ];
    for (step, status, body, reason, then) in [
        (0, 200, APPROVAL, "push-stale", None),
        (0, 200, NOT, "push-stale", None),
        (0, 403, KEY, "api-key-refused", None),
        (0, 429, PENDING, "unavailable", None),
        (0, 500, "", "unavailable", None),
        (0, 404, "<html>", "unavailable", None),
        (0, 403, GEOFENCE, "unanswered", Some(300)),
        (1, 200, APPROVAL, "unanswered", Some(300)),
        (1, 403, GEOFENCE, "push-denied", Some(900)),
        (1, 401, r#"{"message":"Denied"}"#, "push-denied", Some(900)),
        (1, 403, KEY, "api-key-refused", None),
        (1, 404, PENDING, "unavailable", Some(300)),
        (1, 429, PENDING, "unavailable", Some(300)),
        (1, 500, "", "unavailable", Some(300)),
        (1, 201, SENT, "unavailable", Some(300)),
        (1, 200, r#"{"status":"success"}"#, "unavailable", Some(300)),
        (2, 200, APPROVAL, "push-stale", None),
        (2, 200, NOT, "push-stale", None),
        (2, 403, GEOFENCE, "push-stale", None),
        (2, 403, KEY, "api-key-refused", None),
        (2, 429, PENDING, "unavailable", Some(300)),
        (2, 502, "", "unavailable", Some(300)),
        (2, 200, SENT, "push-stale", None),
        (3, 200, APPROVAL, "push-approved", None),
        (3, 200, NOT, "unavailable", Some(300)),
        (3, 200, SENT, "unavailable", Some(300)),
        (3, 202, APPROVAL, "unavailable", Some(300)),
        (3, 200, r#"{"status":"success"}"#, "unavailable", Some(300)),
        (3, 403, GEOFENCE, "push-denied", Some(900)),
        (3, 403, KEY, "api-key-refused", None),
        (3, 429, PENDING, "unavailable", Some(300)),
        (3, 500, "", "unavailable", Some(300)),
    ] {
        let mut answers = ok[..step.min(3)].to_vec();
        answers.push((if step == 1 { "start" } else { "poll" }, status, body));
        let mut case = Case::scripted(&answers);
        // No outage of iVALT is one that a policy tolerates here.
        case.host.settings += "[policy]\nunavailable = \"ignore\"\n";
        let user = if step == 3 {
            alice().answer("")
        } else {
            alice()
        };
        let seen = case.log_in(user);
        let at = format!("{step} {status} {body}: {:?}", seen.said);
        assert_eq!(seen.reason, reason, "{at}");
        assert_eq!(seen.outcome == "allow", reason == "push-approved", "{at}");
        assert_ne!(seen.outcome, "ignore", "{at}");
        assert_eq!(case.next() == "push-limited", then.is_some(), "{at}");
        if let Some(seconds) = then {
            case.advance(seconds);
            assert_eq!(case.next(), "push-limited", "{at}");
            case.advance(1);
            assert_eq!(case.next(), "unanswered", "{at}");
        }
    }
}

#[test]
fn what_is_held_back_sends_nothing_and_names_its_cause() {
    let case = Case::new();
    case.world.lock().unwrap().phone = Phone::Refused;
    case.world.lock().unwrap().scripted.extend([
        ("poll", 404, PENDING.to_owned()),
        ("start", 200, r#"{"data":{"status":true}}"#.to_owned()),
        ("poll", 404, PENDING.to_owned()),
    ]);
    let seen = case.log_in(alice().answer(""));
    assert_eq!((seen.reason, seen.http), ("push-denied", Some(403)));
    assert_eq!(
        seen.said[1..],
        ["!The request was denied: outside the allowed area."]
    );
    let seen = case.log_in(alice());
    assert_eq!(seen.operations, [""; 0]);
    assert_eq!(
        seen.said,
        ["!Requests to this phone are held back for now; a token or a recovery code still works."]
    );
    let cause = seen.cause;
    assert!(
        cause.starts_with("the request of the login at 20"),
        "{cause}"
    );
    assert!(
        cause.len() <= 256 && cause.contains("somebody else has passed the other factor"),
        "{cause}"
    );
}

#[test]
fn who_cannot_be_asked_sees_the_same_and_nothing_leaves() {
    const DUMMY: &[u8] = b"\x08\n\r\x7fINCORRECT\x08\n\r";
    for (user, password, reason, end) in [
        (
            "carol",
            None,
            "not-enrolled",
            "!iVALT is not set up for this account.",
        ),
        (
            "bob",
            None,
            "disabled",
            "!iVALT is not set up for this account.",
        ),
        (
            "alice",
            Some(DUMMY),
            "malformed-token",
            "!iVALT refused the token.",
        ),
    ] {
        let case = Case::new();
        let mut script = Script::new(user)
            .answer("")
            .answer("")
            .answer("")
            .answer("");
        script.password = password;
        let seen = case.log_in(script);
        assert_eq!((seen.reason, seen.attempts), (reason, 4), "{user}");
        assert_eq!(seen.said, [APPROVE_PROMPT, AGAIN, AGAIN, end]);
        assert_eq!(seen.operations, [""; 0]);
        let now = case.world.lock().unwrap().now.as_secs();
        assert_eq!(now, 1_000 + 24, "as long as polls take");
        assert!(!case.host.directory().exists());
    }
}

#[test]
fn another_answer_is_judged_as_at_the_first_prompt_and_the_request_is_unanswered() {
    for (answer, reason) in [
        (Some("123456"), "verified"),
        // The first prompt comes again, and nobody answers it.
        (Some("a b"), "unanswered"),
        (None, "unanswered"),
    ] {
        let case = Case::scripted(&[
            ("poll", 404, PENDING),
            ("start", 200, r#"{"data":{"status":true}}"#),
            ("poll", 404, PENDING),
            ("token", 200, r#"{"status":"success"}"#),
        ]);
        case.host
            .settings
            .contains("enabled")
            .then_some(())
            .unwrap();
        let seen = case.log_in(alice().after(|_| {}, answer));
        let reason = if reason == "malformed-token" {
            "unanswered"
        } else {
            reason
        };
        // After a malformed one the first prompt comes again, and nobody answers it.
        assert_eq!(seen.reason, reason, "{answer:?} {:?}", seen.said);
        assert_eq!(case.next(), "push-limited", "{answer:?}");
    }
}

#[test]
fn a_token_at_the_second_prompt_is_judged_by_the_entry_of_now() {
    let case = Case::new();
    let users = case.host.users_file();
    let disable = move |_: &mut Script| {
        fs::write(
            &users,
            "[users]\nalice = { mobile = '+916283974746', enabled = false }\n",
        )
        .unwrap();
    };
    let seen = case.log_in(alice().after(disable, Some("123456")));
    assert_eq!((seen.reason, seen.operations.len()), ("disabled", 3));
}

#[test]
fn a_refused_token_at_the_second_prompt_may_be_tried_again() {
    let case = Case::scripted(&[
        ("poll", 404, PENDING),
        ("start", 200, r#"{"data":{"status":true}}"#),
        ("poll", 404, PENDING),
        ("token", 403, GEOFENCE),
    ]);
    let seen = case.log_in(alice().answer("123456").answer(""));
    let again = format!("iVALT refused the token: outside the allowed area. {PUSH_PROMPT}");
    assert_eq!(seen.said[..2], [APPROVE_PROMPT.to_owned(), again]);
    assert_eq!(seen.reason, "push-limited");
}

#[test]
fn a_user_or_a_mobile_that_changes_is_not_let_in() {
    let case = Case::new();
    let mut tapped = case.tap();
    let seen = case.log_in(alice().after(
        move |script| {
            tapped(script);
            script.user = "dave";
        },
        Some(""),
    ));
    assert_eq!(seen.reason, "not-enrolled");
    for (entries, reason) in [
        ("alice = '+14155550100'", "push-stale"),
        (
            "alice = { mobile = '+916283974746', enabled = false }",
            "disabled",
        ),
        ("bob = '+916283974746'", "not-enrolled"),
        ("alice = 5", "bad-entry"),
    ] {
        let case = Case::new();
        let users = case.host.users_file();
        let mut tapped = case.tap();
        let change = move |script: &mut Script| {
            tapped(script);
            fs::write(&users, format!("[users]\n{entries}\n")).unwrap();
        };
        let seen = case.log_in(alice().after(change, Some("")));
        assert_eq!(
            (seen.reason, seen.operations.len()),
            (reason, 3),
            "{entries}"
        );
        case.host.write_users("alice = '+916283974746'");
        assert_eq!(case.next(), "push-limited", "{entries}");
    }
    // With the same phone, another user all the same.
    let case = Case::new();
    case.host
        .write_users("alice = '+916283974746'\ndave = '+916283974746'");
    let mut tapped = case.tap();
    let change = move |script: &mut Script| {
        tapped(script);
        script.user = "dave";
    };
    let seen = case.log_in(alice().after(change, Some("")));
    assert_eq!(seen.reason, "push-stale");
    assert_eq!(seen.said[1..], [STALE]);
}

/// Elsewhere an Enter is no answer, and the prompt does not offer it.
#[test]
fn enter_means_push_in_the_services_of_the_settings_alone() {
    let listed = "services = [\"cockpit\", \"ssh\"]\n";
    for (settings, service, reason) in [
        ("", "sshd", "push-unanswered"),
        ("", "login", "unanswered"),
        ("", "sshd2", "unanswered"),
        ("", "ssh", "unanswered"),
        (listed, "sshd", "unanswered"),
        (listed, "cockpit", "push-unanswered"),
    ] {
        let mut case = Case::new();
        case.host.settings += settings;
        case.host.service = service;
        let mut user = alice().answer("").answer("").answer("");
        let report = case.host.log_in(&case.world, "", &mut user);
        assert_eq!(report.decision.reason(), reason, "{service}");
        let pushes = reason == "push-unanswered";
        assert_eq!(user.said[0] == PUSH_PROMPT, pushes, "{service}");
        assert_eq!(
            user.said.len(),
            if pushes { 5 } else { 1 },
            "{:?}",
            user.said
        );
        assert_eq!(case.host.directory().exists(), pushes, "{service}");
    }
}

#[test]
fn without_a_lock_or_a_record_nothing_leaves() {
    let case = Case::new();
    fs::create_dir_all(case.host.directory().parent().unwrap()).unwrap();
    std::os::unix::fs::symlink("/tmp", case.host.directory()).unwrap();
    let seen = case.log_in(alice());
    assert_eq!((seen.reason, seen.operations.len()), ("misconfigured", 0));
}

/// SIGSTOP by the caller of su, or a machine that slept: what was tapped meanwhile was for somebody else. A poll that
/// took its time, as it may, was begun in time.
#[test]
fn an_approval_after_the_wait_does_not_count() {
    for (place, stopped, expected) in [
        (Stopped::InPause, 56, "push-approved"),
        (Stopped::InPause, 3_600, "push-unanswered"),
        (Stopped::BeforeAnswer, 59, "push-approved"),
        (Stopped::BeforeAnswer, 69, "push-approved"),
        (Stopped::BeforeAnswer, 71, "push-unanswered"),
        (Stopped::BeforeAnswer, 3_600, "push-unanswered"),
    ] {
        let case = Case::new();
        let stop = case.then(move |world| {
            let tapped: fn(&mut World) = |world| world.tap();
            world.stopped = Some((place, Duration::from_secs(stopped), tapped));
        });
        let seen = case.log_in(alice().after(stop, Some("")));
        assert_eq!(seen.reason, expected, "{place:?} {stopped}");
        let held = expected == "push-unanswered";
        let next = if held { "push-limited" } else { "unanswered" };
        assert_eq!(case.next(), next, "{place:?} {stopped}");
    }
}

/// Root may have removed the lock: then another login may have had the phone, and the tap was for that.
#[test]
fn an_approval_without_the_lock_does_not_count() {
    type Removal = fn(&Path);
    let removals: [Removal; 2] = [
        |folder| fs::remove_file(folder.join("283974746")).unwrap(),
        |folder| fs::remove_dir_all(folder.parent().unwrap()).unwrap(),
    ];
    for removal in removals {
        let case = Case::new();
        let (folder, mut tap) = (case.host.directory(), case.tap());
        let both = move |script: &mut Script| {
            removal(&folder);
            tap(script);
        };
        let seen = case.log_in(alice().after(both, Some("")));
        let cause = "the lock of this phone was removed while the login waited";
        assert_eq!((seen.reason, seen.cause.as_str()), ("push-stale", cause));
    }
}
