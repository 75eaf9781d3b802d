//! Push where the login is killed, the file system fails, or the module panics: whatever may be on the phone holds it,
//! nothing leaves that could not be written down before, and nobody is let in.

use std::collections::BTreeMap;
use std::fs;
use std::thread;

use crate::expect::*;
use crate::phones::*;
use crate::recovery_cuts::traced;
use crate::running::{has_begun, signal};
use crate::table::at_once;
use support::codes::*;
use support::{Answer, Case, Reply, StandIn, TempDir, no_program, sandbox_test};

/// Waits for ever.
fn at_a_prompt(gates: &TempDir) -> Answer {
    let waits = Reply {
        await_file: Some(gates.join("never")),
        ..Reply::default()
    };
    waits.into()
}

/// SIGKILL while this case is there, with so many requests sent.
fn killed(owner: &Owner, case: &Case, requests: usize) {
    thread::scope(|scope| {
        let run = scope.spawn(|| case.observe());
        let process = has_begun(case, || owner.operations().len() == requests);
        signal(process, libc::SIGKILL);
        assert!(!run.join().unwrap().status.success());
    });
}

/// Where, what iVALT answers until then and what is typed, after how many requests, and whether that holds the phone.
type Killed<'a> = (&'a str, &'a [&'a str], Vec<Answer>, usize, bool);

#[sandbox_test]
fn killed_at_each_step() {
    let ivalt = StandIn::start();
    let host = Host::new();
    let gates = TempDir::new();
    let slow = ["slow-20000 pending", "slow-20000 sent"];
    let enter = || Answer::from("");
    let rows: [Killed; 8] = [
        ("prompt 1", &[], vec![at_a_prompt(&gates)], 0, false),
        ("poll 1", &slow[..1], vec![enter()], 1, false),
        ("request", &["pending", slow[1]], vec![enter()], 2, true),
        (
            "poll 2",
            &["pending", "sent", slow[0]],
            vec![enter()],
            3,
            true,
        ),
        ("prompt 2", &[], vec![enter(), at_a_prompt(&gates)], 3, true),
        (
            "poll 3",
            &["pending", "sent", "pending", slow[0]],
            vec![enter(), enter()],
            4,
            true,
        ),
        (
            "poll 4",
            &["pending", "sent", "pending", "pending", slow[0]],
            vec![enter(), enter()],
            5,
            true,
        ),
        ("pause", &[], vec![enter(), enter()], 4, true),
    ];
    at_once((1..).zip(rows).collect(), |(number, row)| {
        let (name, answers, typed, requests, held) = row;
        let owner = host.owner(&ivalt, number);
        owner.will_answer(answers);
        let mut case = match name {
            "pause" => owner.case_in_real_time(),
            _ => owner.case(),
        };
        let settings = owner.settings(&case).set("api", "timeout_seconds", 30);
        case = case.with_settings(&settings).rhost("203.0.113.7");
        case.script.answers = typed;
        killed(&owner, &case, requests);
        let cause = owner.held();
        assert_eq!(cause.is_some(), held, "{name}: {cause:?}");
        if let Some(cause) = cause {
            assert!(cause.contains("203.0.113.7"), "{name}: {cause}");
            assert!(owner.held_later(290).is_some(), "{name}");
            assert_eq!(owner.held_later(310), None, "{name}");
        }
    });
}

/// The system calls that touch files and connections, from the look-up of the folder to the end: each by its name and by
/// how many of that name the process has made until then.
fn calls_of_a_login(ivalt: &StandIn) -> Vec<(String, usize)> {
    let host = Host::new();
    let (owner, case) = one_that_is_approved(&host, ivalt, 999);
    let trace = case.dir().join("trace");
    let case = traced(case, &["-o", trace.to_str().unwrap()]);
    expect(case.observe().report(), APPROVED);
    assert_eq!(owner.operations().len(), 4);
    let text = fs::read_to_string(&trace).unwrap();
    let mut counts = BTreeMap::new();
    let (mut begun, mut calls) = (false, Vec::new());
    for line in text.lines() {
        let call = line.split_once(' ').map(|(_, call)| call.trim_start());
        let Some((name, rest)) = call.and_then(|call| call.split_once('(')) else {
            continue;
        };
        let count = counts.entry(name.to_owned()).or_insert(0);
        *count += 1;
        begun |= name == "openat" && rest.contains("\"/run\"");
        let watched = [
            "mkdirat",
            "openat",
            "flock",
            "pread64",
            "pwrite64",
            "ftruncate",
            "connect",
        ];
        if begun && watched.contains(&name) {
            calls.push((name.to_owned(), *count));
        }
        if rest.contains("reason=push-approved") {
            return calls;
        }
    }
    panic!("no login in {text}");
}

/// With one thread, and without the library that has its own look at each clock: the system calls are always the same.
fn one_that_is_approved<'a>(host: &'a Host, ivalt: &'a StandIn, number: u32) -> (Owner<'a>, Case) {
    let owner = host.owner(ivalt, number);
    let case = owner.with_tap(owner.case_in_real_time(), "approve-once");
    let settings = owner.settings(&case).set("api", "preconnect", false);
    let case = case.with_settings(&settings).silent();
    (owner, case)
}

#[sandbox_test]
fn killed_at_each_system_call() {
    if no_program("strace") {
        return;
    }
    let ivalt = StandIn::start();
    let calls = calls_of_a_login(&ivalt);
    let names: Vec<_> = calls.iter().map(|(name, _)| name.as_str()).collect();
    let writes: Vec<_> = (0..names.len())
        .filter(|place| names[*place] == "pwrite64")
        .collect();
    // One before the request leaves, one when it has been approved; the lock is given up last.
    assert_eq!((writes.len(), names.len() < 60), (2, true), "{names:?}");
    let locks = names.iter().filter(|name| **name == "flock").count();
    // And last of all the log.
    let last = names.last_chunk::<2>().unwrap();
    assert_eq!((locks, last), (2, &["flock", "connect"]), "{names:?}");
    let rows: Vec<_> = calls.iter().enumerate().collect();
    let held = |place: usize| (writes[0] + 1..=writes[1]).contains(&place);
    for part in rows.chunks(4) {
        at_once(part.to_vec(), |(place, (name, count))| {
            let host = Host::new();
            let (owner, case) = one_that_is_approved(&host, &ivalt, 100 + place as u32);
            let inject = format!("inject={name}:signal=KILL:when={count}");
            let case = traced(case, &["-o", "/dev/null", "-e", &inject]);
            let observed = case.observe();
            assert!(!observed.status.success(), "{inject}");
            assert_eq!(owner.held().is_some(), held(place), "{place} of {names:?}");
        });
    }
}

/// A full tmpfs, among others. The first poll has been answered by then; the request is not sent.
#[sandbox_test]
fn a_record_that_cannot_be_written() {
    if no_program("strace") {
        return;
    }
    let ivalt = StandIn::start();
    let calls = calls_of_a_login(&ivalt);
    // The loader has read libraries by then.
    let first = |name: &str| calls.iter().find(|call| call.0 == name).unwrap().1;
    let rows: [(&str, &str, usize, &str); 7] = [
        (
            "pwrite64",
            "ENOSPC",
            1,
            "cannot be written (no space left on device), so nothing was sent; inspect: df /run/ivalt/push",
        ),
        (
            "pwrite64",
            "EIO",
            1,
            "cannot be written (input/output error), so nothing was sent; inspect: df /run/ivalt/push",
        ),
        (
            "pwrite64",
            "EROFS",
            1,
            "cannot be written (read-only file system), so nothing was sent; inspect: df /run/ivalt/push",
        ),
        (
            "flock",
            "ENOLCK",
            0,
            "cannot be used (no locks available); inspect: namei -l /run/ivalt/push",
        ),
        (
            "pread64",
            "EIO",
            0,
            "cannot be used (input/output error); inspect: namei -l /run/ivalt/push",
        ),
        (
            "mkdirat",
            "ENOSPC",
            0,
            "cannot be used (no space left on device); inspect: namei -l /run",
        ),
        (
            "mkdirat",
            "EROFS",
            0,
            "cannot be used (read-only file system); inspect: namei -l /run",
        ),
    ];
    at_once((1..).zip(rows).collect(), |(number, row)| {
        let (call, error, asked, sentence) = row;
        let host = Host::new();
        let owner = host.owner(&ivalt, number);
        let case = owner.case_in_real_time().answer("").answer("");
        let settings = owner.settings(&case).set("policy", "unavailable", "ignore");
        let inject = format!("inject={call}:error={error}:when={}+", first(call));
        let case = traced(
            case.with_settings(&settings.set("api", "preconnect", false)),
            &["-o", "/dev/null", "-e", &inject],
        );
        let observed = case.observe();
        let report = observed.report();
        let line = expect(report, MISCONFIGURED);
        let path = match call {
            "mkdirat" => "/run/ivalt".to_owned(),
            _ => format!("/run/ivalt/push/***{}", &owner.mobile[9..]),
        };
        assert_eq!(line.get("cause"), format!("{path}: {sentence}"), "{inject}");
        assert_eq!(report.told(), [BROKEN], "{inject}");
        assert_eq!(owner.operations(), [POLL; 1][..asked], "{inject}");
        assert_eq!(owner.held(), None, "{inject}");
    });
}

/// What cannot be taken back holds, and changes nothing of the answer.
#[sandbox_test]
fn a_record_that_cannot_be_cleared() {
    if no_program("strace") {
        return;
    }
    let ivalt = StandIn::start();
    let host = Host::new();
    let owner = host.owner(&ivalt, 1);
    let case = owner.with_tap(owner.case_in_real_time(), "approve-once");
    let inject = "inject=pwrite64:error=ENOSPC:when=2+";
    let case = traced(case, &["-o", "/dev/null", "-e", inject]);
    expect(case.observe().report(), APPROVED);
    assert!(owner.held().is_some());
}

/// Rust's standard library panics where a clock fails: at each reading from the first to the last, nobody is let in, the
/// lock is free, and what may be on the phone holds it.
#[sandbox_test]
fn a_panic_anywhere() {
    let ivalt = StandIn::start();
    let host = Host::new();
    let (mut approved, mut panics) = (0, [0, 0]);
    for number in (1..).step_by(5) {
        let owner = host.owner(&ivalt, number);
        let case = owner.with_tap(owner.case(), "approve-once");
        let settings = owner.settings(&case).set("api", "preconnect", false);
        let case = case
            .with_settings(&settings)
            .env("CLOCK_FAILS", &number.to_string());
        let report = case.run();
        if report.code() == PAM_SUCCESS {
            expect(&report, APPROVED);
            approved += 1;
            if approved == 2 {
                break;
            }
            continue;
        }
        assert_eq!(report.code(), PAM_ABORT, "{number}");
        // Where the log is what has failed, there is none.
        for line in report.log_lines() {
            assert_eq!(line.reason(), "internal", "{line:?}");
            assert!(line.get("cause").starts_with("panic at "), "{line:?}");
        }
        let sent = owner.operations().len();
        let held = owner.held().is_some();
        // The request may be on its way though its answer was not read.
        assert!(held || sent <= 1 || sent == 4, "{number}: {sent} requests");
        panics[usize::from(held)] += 1;
    }
    assert!(panics[0] > 1 && panics[1] > 2, "{panics:?}");
}
