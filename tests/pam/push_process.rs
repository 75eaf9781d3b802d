//! What push leaves of the application it runs in, and what that may do to it: memory, signals, limits, environment.

use std::collections::BTreeSet;
use std::fs;
use std::thread::sleep;
use std::time::Duration;

use crate::expect::*;
use crate::isolation::compiled;
use crate::leaks::secret;
use crate::phones::*;
use crate::running::{has_begun, signal};
use support::codes::*;
use support::obfuscate::obfuscated;
use support::{
    Answer, Case, DevLog, Disposition, Entry, Interrupt, Reply, Report, StandIn, Text, sandbox_test,
};

/// What the stand-in says of the owner of a phone. The ends of it: free(3) writes over the beginning.
const PRIVATE: [&str; 4] = [
    "liddell@example.org",
    "Church, Oxford",
    "938035643809",
    "51.7501\",\"longitude",
];

fn keeps_nothing(owner: &Owner, mut case: Case, key: &str) -> Case {
    for (number, word) in PRIVATE.iter().enumerate() {
        // Their names must not be they themselves.
        let name = format!("what is private, {number}");
        case.script
            .must_not_leak
            .insert(name, obfuscated(word.as_bytes()));
    }
    let settings = owner.settings(&case).set("api", "key", key);
    case.with_settings(&settings).must_not_leak("the key", key)
}

#[sandbox_test]
fn no_copy_of_an_answer_or_of_the_key_is_left() {
    let key = secret("key-", 7);
    let ivalt = StandIn::with_key(&key);
    let host = Host::new();
    let rows: [(&[&str], Row); 8] = [
        (&["pending", "sent", "pending", "approved"], APPROVED),
        (
            &["pending", "sent", "pending", "pending", "approved"],
            APPROVED,
        ),
        (&["approved"], STALE),
        (&["pending", "sent", "approved-array"], STALE),
        (
            &["pending", "sent", "pending", "approved-other"],
            UNAVAILABLE,
        ),
        (
            &["pending", "sent", "pending", "approved-with-error"],
            UNAVAILABLE,
        ),
        (&["pending", "sent", "pending", "approved-201"], UNAVAILABLE),
        (&["pending", "sent", "pending", "hours"], DENIED),
    ];
    for (number, (answers, row)) in (1..).zip(rows) {
        let owner = host.owner(&ivalt, number);
        owner.will_answer(answers);
        let case = keeps_nothing(&owner, owner.case().argument("debug"), &key);
        let case = case
            .calls(&[Entry::Authenticate, Entry::Setcred])
            .answer("")
            .answer("");
        expect(&case.run(), row);
    }
}

#[sandbox_test]
fn no_copy_of_a_token_at_the_second_prompt_is_left() {
    let (token, key) = (secret("accept-", 8), secret("key-", 9));
    let ivalt = StandIn::with_key(&key);
    let host = Host::new();
    let owner = host.owner(&ivalt, 1);
    let case = keeps_nothing(&owner, owner.case(), &key).must_not_leak("the token", &token);
    let report = case.answer("").answer(Text::hidden(&token)).run();
    expect(&report, VERIFIED);
    assert_eq!(ivalt.tokens(), [token]);
    // And where it is the password, which is sent to nobody.
    let owner = host.owner(&ivalt, 2);
    let token = secret("accept-", 10);
    let case = keeps_nothing(&owner, owner.case(), &key).must_not_leak("the password", &token);
    let case = case.hidden_authtok(&token);
    expect(
        &case.answer("").answer(Text::hidden(&token)).run(),
        PASSWORD,
    );
}

/// pam-client looks after every call; here the calls are many.
#[sandbox_test]
fn many_logins_in_one_process_leave_nothing_behind() {
    let ivalt = StandIn::start();
    let host = Host::new();
    let owner = host.owner(&ivalt, 1);
    let mut case = owner.case().limit(Duration::from_secs(60));
    let taps = (0..12).flat_map(|number| {
        let last = match number % 3 {
            0 => "accept-1".into(),
            _ => owner.taps_and(&case, "approve-once", ""),
        };
        [
            Answer::from(if number % 3 == 0 { "two words" } else { "" }),
            last,
        ]
    });
    case.script.answers = taps.collect();
    case.script.transactions = 12;
    let report = case.run();
    let reasons: Vec<_> = report
        .log_lines()
        .iter()
        .map(|line| line.reason())
        .collect();
    assert_eq!(
        reasons,
        ["verified", "push-approved", "push-approved"].repeat(4)
    );
    assert_eq!(fs::read_dir(host.folder()).unwrap().count(), 1);
}

/// The same, of a process that never ends its own way.
#[sandbox_test]
fn no_other_variable_is_asked_for() {
    let ivalt = StandIn::start();
    let host = Host::new();
    let owner = host.owner(&ivalt, 1);
    let case = owner.case_in_real_time();
    let (asked, spy) = (case.dir().join("asked"), compiled("getenv_spy", case.dir()));
    let case = case.preload(&spy).env("SPY", asked.to_str().unwrap());
    let case = owner.with_tap(case, "approve");
    case.observe();
    let asked = fs::read_to_string(&asked).unwrap();
    let names: BTreeSet<_> = asked.lines().map(str::to_ascii_lowercase).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    assert_eq!(
        names,
        ["all_proxy", "http_proxy", "https_proxy", "no_proxy"]
    );
}

#[sandbox_test]
fn the_callers_environment_is_not_read() {
    let (ivalt, evil) = (StandIn::start(), StandIn::start());
    let host = Host::new();
    let owner = host.owner(&ivalt, 1);
    let proxy = format!("http://127.0.0.1:{}", evil.port());
    let case = ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"]
        .iter()
        .fold(owner.case(), |case, name| case.env(name, &proxy));
    let case = case
        .env("SSL_CERT_FILE", evil.ca().to_str().unwrap())
        .env("XDG_RUNTIME_DIR", "/tmp")
        .env("TMPDIR", "/nonexistent")
        .env("TZ", ":/etc/shadow");
    expect(&owner.with_tap(case, "approve").run(), APPROVED);
    assert_eq!(evil.connections().len(), 0);
    // The caller's authority does not make that server trusted.
    let owner = host.owner(&ivalt, 2);
    let case = owner
        .case()
        .env("SSL_CERT_FILE", evil.ca().to_str().unwrap());
    let settings = owner.settings(&case).set("push", "url", evil.push_url());
    expect(&case.with_settings(&settings).answer("").run(), UNAVAILABLE);
    assert_eq!(evil.requests().len(), 0);
}

fn with_repeated_signals(mut case: Case, every_ms: u64) -> Report {
    case.script
        .signals
        .insert(libc::SIGALRM, Disposition::Count);
    case.script.interrupt = Some(Interrupt {
        signal: libc::SIGALRM,
        every_ms,
    });
    let report = case.run();
    let taken = report.signals[&libc::SIGALRM];
    assert_eq!(taken.elsewhere, 0, "{taken:?}");
    assert!(taken.here > 100, "{taken:?}");
    report
}

/// A handler without `SA_RESTART`: neither request nor pause is cut short, and none is repeated.
#[sandbox_test]
fn repeated_signals_change_nothing() {
    let ivalt = StandIn::start();
    let host = Host::new();
    let owner = host.owner(&ivalt, 1);
    owner.will_answer(&["pending", "slow-300 sent", "pending", "pending", "approved"]);
    let case = owner.case_in_real_time().answer("").answer("");
    let report = with_repeated_signals(case, 1);
    expect(&report, APPROVED);
    assert_eq!(owner.operations(), [POLL, START, POLL, POLL, POLL]);
    assert!(report.authenticate().elapsed_ms >= 3_300);
}

/// Ctrl-Z, and `fg` a moment later: what is too late is too late.
#[sandbox_test]
fn an_application_that_is_stopped_continues_where_it_was() {
    let ivalt = StandIn::start();
    let host = Host::new();
    let owner = host.owner(&ivalt, 1);
    owner.will_answer(&["pending", "sent", "pending", "pending", "approved"]);
    let case = owner.case_in_real_time().answer("").answer("");
    let report = std::thread::scope(|scope| {
        let run = scope.spawn(|| case.run());
        let process = has_begun(&case, || owner.operations().len() == 4);
        signal(process, libc::SIGSTOP);
        sleep(Duration::from_millis(300));
        signal(process, libc::SIGCONT);
        run.join().unwrap()
    });
    expect(&report, APPROVED);
    assert_eq!(owner.operations().len(), 5);
}

/// By the clock that counts while the machine sleeps.
#[sandbox_test]
fn an_enter_after_the_wait_is_not_polled() {
    let ivalt = StandIn::start();
    let host = Host::new();
    let rows = [
        (1, 9, Some(10), APPROVED, 4),
        (2, 11, Some(10), NOT_APPROVED, 3),
        (3, 58, None, APPROVED, 4),
        (4, 61, None, NOT_APPROVED, 3),
        (5, 100_000, Some(110), NOT_APPROVED, 3),
    ];
    for (number, seconds, wait, row, asked) in rows {
        let owner = host.owner(&ivalt, number);
        owner.will_answer(&["pending", "sent", "pending", "approved"]);
        let case = owner.case();
        let clock = case.dir().write("clock", "0", 0o600);
        let prepared = case.dir().write("later", seconds.to_string(), 0o600);
        let late = Reply {
            answer: Some("".into()),
            renames: vec![(prepared, clock.clone())],
            ..Reply::default()
        };
        let settings = owner.settings(&case);
        let settings = match wait {
            Some(wait) => settings.set("push", "wait_seconds", wait),
            None => settings,
        };
        let case = case
            .with_settings(&settings)
            .env("BOOT_AHEAD", clock.to_str().unwrap());
        let report = case.answer("").answer(late).answer("").run();
        expect(&report, row);
        prompts(&report, &[OR_ENTER, APPROVE]);
        assert_eq!(owner.operations().len(), asked, "{seconds}");
        assert_eq!(owner.is_held(), row.0 == "deny");
    }
}

/// And no poll follows that would be later than that.
#[sandbox_test]
fn no_poll_is_later_than_the_wait() {
    let ivalt = StandIn::start();
    let host = Host::new();
    for (number, wait, slept, polls) in [(1, 10, vec![3, 5], 3), (2, 20, vec![3, 5, 3, 5], 6)] {
        let owner = host.owner(&ivalt, number);
        let mut case = owner.case();
        let settings = owner.settings(&case).set("push", "wait_seconds", wait);
        case = case.with_settings(&settings);
        case.script.answers = vec!["".into(); 9];
        expect(&case.run(), NOT_APPROVED);
        let all = sleeps(&case);
        assert_eq!(all[..slept.len()], slept);
        assert!(all.iter().sum::<u64>() <= wait);
        let after = owner.operations().len() - 3;
        assert!((polls..=polls + 2).contains(&after), "{after}");
    }
}

#[sandbox_test]
fn limits_of_the_caller() {
    let ivalt = StandIn::start();
    let host = Host::new();
    for (number, limit, value, row) in [
        (1, "NPROC", 0, APPROVED),
        (2, "MEMLOCK", 0, APPROVED),
        (3, "CORE", 0, APPROVED),
        (4, "CPU", 2, APPROVED),
        (5, "FSIZE", 4_096, APPROVED),
        // A write beyond it would end the application by a signal.
        (6, "FSIZE", 4_095, MISCONFIGURED),
        (7, "FSIZE", 0, MISCONFIGURED),
    ] {
        let owner = host.owner(&ivalt, number);
        let mut case = owner.with_tap(owner.case(), "approve");
        case.script.soft_limits.insert(limit.to_owned(), value);
        let report = case.run();
        let line = expect(&report, row);
        if limit == "FSIZE" && value < 4_096 {
            let cause = line.get("cause");
            assert!(
                cause.contains(": cannot be written (file too large), so nothing was sent; "),
                "{cause}"
            );
            assert_eq!(owner.operations(), [POLL]);
        }
    }
}

/// Too little memory: an answer in time, and nobody in.
#[sandbox_test]
fn too_little_memory() {
    let ivalt = StandIn::start();
    let host = Host::new();
    let mut number = 0;
    for (limit, from, step) in [("AS", 4_000, 400), ("DATA", 16, 400), ("STACK", 0, 48)] {
        let (mut well, mut reasons) = (0, Vec::new());
        for kib in (0..200).map(|rung| from + rung * step) {
            number += 1;
            let owner = host.owner(&ivalt, number);
            let mut case = owner.with_tap(owner.case(), "approve");
            case.script.soft_limits.insert(limit.to_owned(), kib << 10);
            let line = case.run().log_line();
            reasons.push(line.reason());
            well += u32::from(line.reason() == "push-approved");
            if well == 3 {
                break;
            }
        }
        reasons.dedup();
        assert_eq!(reasons, ["internal", "push-approved"], "{limit}");
    }
}

/// Some callers of setuid programs close them, and some leave few others.
#[sandbox_test]
fn descriptors_of_the_caller() {
    let ivalt = StandIn::start();
    let host = Host::new();
    for (number, closed) in [(1, vec![0]), (2, vec![1, 2]), (3, vec![0, 1, 2])] {
        let owner = host.owner(&ivalt, number);
        let mut case = owner.with_tap(owner.case(), "approve");
        case.script.closed = closed;
        expect(&case.run(), APPROVED);
        assert!(!owner.is_held());
    }
    for limit in 4..16 {
        let owner = host.owner(&ivalt, 100 + limit);
        let mut case = owner.with_tap(owner.case(), "approve");
        case.script
            .soft_limits
            .insert("NOFILE".to_owned(), limit.into());
        let observed = case.observe();
        assert_eq!(
            (observed.stdout.as_str(), observed.stderr.as_str()),
            ("", "")
        );
        let (code, sent) = (observed.report().code(), owner.operations().len());
        // Whoever was let in had everything asked, and whatever left without an end holds the phone.
        assert!(
            code != PAM_SUCCESS || sent == 4,
            "{limit}: {code}, {sent} requests"
        );
        assert!(
            sent < 2 || code == PAM_SUCCESS || owner.is_held(),
            "{limit}"
        );
        assert!(limit < 14 || code == PAM_SUCCESS, "{limit}: {code}");
    }
}

#[sandbox_test]
fn a_log_that_is_out_of_order() {
    let ivalt = StandIn::start();
    let host = Host::new();
    for (number, kind) in [
        (1, DevLog::Missing),
        (2, DevLog::Full),
        (3, DevLog::Stale),
        (4, DevLog::Fifo),
    ] {
        let owner = host.owner(&ivalt, number);
        let report = owner.with_tap(owner.case().dev_log(kind), "approve").run();
        assert_eq!(report.code(), PAM_SUCCESS, "{kind:?}");
        assert!(report.authenticate().elapsed_ms < 10_000);
        assert!(!owner.is_held());
    }
}
