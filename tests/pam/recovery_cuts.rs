//! A recovery code where the disk fails, the process is killed, or many want it at once: it lets in once at most, and
//! whoever is let in has used it up.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use crate::codes::*;
use crate::expect::*;
use support::codes::*;
use support::{Case, Entry, Observed, Reply, StandIn, TempDir, no_program, sandbox_test};

/// pam-client under strace(1) with these options.
pub fn traced(case: Case, options: &[&str]) -> Case {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut path_word = OsString::from("PATH=");
    path_word.push(path);
    let words = ["strace", "-f", "-qq", "-s", "4096"].iter().chain(options);
    let words = words.map(OsString::from);
    let words = [OsString::from("env"), path_word].into_iter().chain(words);
    case.under(words).limit(Duration::from_secs(120))
}

fn with_answer(mut case: Case, answer: &str) -> Case {
    case.script.answers = vec![answer.into()];
    case
}

#[sandbox_test]
fn a_disk_that_fails() {
    if no_program("strace") {
        return;
    }
    let ivalt = StandIn::start();
    for (call, error, what) in [
        (
            "unlinkat",
            "EROFS",
            "no code can be marked as used (read-only file system)",
        ),
        (
            "unlinkat",
            "EIO",
            "no code can be marked as used (input/output error)",
        ),
        (
            "unlinkat",
            "ENOSPC",
            "no code can be marked as used (no space left on device)",
        ),
        (
            "unlinkat",
            "EACCES",
            "no code can be marked as used (permission denied)",
        ),
        (
            "unlinkat",
            "EINTR",
            "no code can be marked as used (interrupted system call)",
        ),
        (
            "fsync",
            "EIO",
            "cannot be synced (input/output error): this code is spent, and let nobody in",
        ),
        (
            "fsync",
            "ENOSPC",
            "cannot be synced (no space left on device): this code is spent, and let nobody in",
        ),
        (
            "fsync",
            "EROFS",
            "cannot be synced (read-only file system): this code is spent, and let nobody in",
        ),
    ] {
        let (case, codes, texts) = with_codes(&ivalt, 2);
        let settings = settings(&case, &ivalt, &codes).set("policy", "unavailable", "ignore");
        let case = with_answer(case.with_settings(&settings), &texts[0]);
        let inject = format!("inject={call}:error={error}");
        let trace = case.dir().join("trace").display().to_string();
        let case = traced(case, &["-o", &trace, "-e", &inject]);
        let observed = case.observe();
        let report = observed.report();
        let line = expect(report, MISCONFIGURED);
        let folder = codes.folder("alice");
        let expected = format!("{}: {what}; ", folder.display());
        assert!(line.get("cause").starts_with(&expected), "{line:?}");
        assert_eq!(report.told(), [BROKEN]);
        let left = if call == "unlinkat" { 2 } else { 1 };
        assert_eq!(
            (codes.left("alice"), codes.used("alice").as_str()),
            (left, ""),
            "{inject}"
        );
    }
}

/// A full file system: removing a file needs no space.
#[sandbox_test]
fn a_record_that_fails_is_no_reason_to_refuse() {
    if no_program("strace") {
        return;
    }
    let ivalt = StandIn::start();
    for (call, error) in [
        ("openat", "ENOSPC"),
        ("openat", "EROFS"),
        ("write", "ENOSPC"),
        ("write", "EIO"),
        ("fdatasync", "EIO"),
    ] {
        let (case, codes, texts) = with_codes(&ivalt, 2);
        let case = with_answer(case, &texts[0]);
        let trace = case.dir().join("trace").display().to_string();
        let used = codes.folder("alice").join("used").display().to_string();
        let inject = format!("inject={call}:error={error}");
        let case = traced(
            case,
            &["-o", &trace, "-P", "used", "-P", &used, "-e", &inject],
        );
        let observed = case.observe();
        let line = expect(observed.report(), ACCEPTED);
        assert_eq!(line.get("detail"), "code 1, 1 left");
        let trace = fs::read_to_string(&trace).unwrap();
        assert!(trace.contains("(INJECTED)"), "{inject}: {trace}");
        assert_eq!(
            codes.used("alice").is_empty(),
            call != "fdatasync",
            "{inject}"
        );
    }
}

/// The system calls of a login with a code, from the look-up of the store to the end of the log line: each by its name
/// and by how many of that name the process has made until then.
fn calls_of_a_login(ivalt: &StandIn) -> Vec<(String, usize)> {
    let (case, codes, texts) = without_preconnect(ivalt, 1);
    let trace = case.dir().join("trace");
    let options = ["-o", trace.to_str().unwrap()];
    let case = traced(with_answer(case, &texts[0]), &options);
    expect(case.observe().report(), ACCEPTED);
    let text = fs::read_to_string(&trace).unwrap();
    let mut counts = BTreeMap::new();
    let mut calls = Vec::new();
    let (mut begun, directory) = (false, codes.directory.display().to_string());
    for line in text.lines() {
        let Some((name, rest)) = line
            .split_once(' ')
            .and_then(|(_, call)| call.trim_start().split_once('('))
        else {
            continue;
        };
        let count = counts.entry(name.to_owned()).or_insert(0);
        *count += 1;
        begun |= name == "openat" && rest.contains(&directory);
        if begun {
            calls.push((name.to_owned(), *count));
        }
        if begun && rest.contains("reason=recovery-code") {
            return calls;
        }
    }
    panic!("no login in {text}");
}

/// With one thread, and without a message that pam-client would note: the system calls are always the same.
fn without_preconnect(ivalt: &StandIn, count: u32) -> (Case, Codes, Vec<String>) {
    let (case, codes, texts) = with_codes(ivalt, count);
    let settings = settings(&case, ivalt, &codes)
        .set("api", "preconnect", false)
        .set("token", "attempts", 1);
    (case.with_settings(&settings).silent(), codes, texts)
}

#[sandbox_test]
fn a_login_that_is_killed_anywhere() {
    if no_program("strace") {
        return;
    }
    let ivalt = StandIn::start();
    let calls = calls_of_a_login(&ivalt);
    let names: Vec<_> = calls.iter().map(|(name, _)| name.as_str()).collect();
    assert!(names.len() < 60, "{names:?}");
    for call in [
        "openat",
        "unlinkat",
        "fsync",
        "fdatasync",
        "connect",
        "write",
    ] {
        assert!(names.contains(&call), "{call}: {names:?}");
    }
    let (mut case, codes, texts) = without_preconnect(&ivalt, u32::try_from(calls.len()).unwrap());
    let mut unused = Vec::new();
    for ((name, count), text) in calls.iter().zip(&texts) {
        let inject = format!("inject={name}:signal=KILL:when={count}");
        case = traced(with_answer(case, text), &["-o", "/dev/null", "-e", &inject]);
        let Observed { status, .. } = case.observe();
        assert!(!status.success(), "{inject}");
        unused.push(codes.file_of("alice", text).exists());
    }
    // Until it is removed it is unused, from then on it is spent.
    let removed = names.iter().position(|name| *name == "unlinkat").unwrap();
    let expected: Vec<_> = (0..names.len()).map(|place| place <= removed).collect();
    assert_eq!(unused, expected, "{names:?}");
    case = case
        .under([])
        .calls(&vec![Entry::Authenticate; texts.len()]);
    case.script.answers = texts.iter().map(|text| text.as_str().into()).collect();
    let codes = unused
        .iter()
        .map(|unused| if *unused { PAM_SUCCESS } else { PAM_AUTH_ERR });
    assert_eq!(
        case.run().codes(Entry::Authenticate),
        codes.collect::<Vec<_>>()
    );
}

/// As processes, each of which has asked its user before any of them hears the answer.
#[sandbox_test]
fn of_64_processes_one_is_let_in() {
    const PROCESSES: usize = 64;
    let ivalt = StandIn::start();
    let (_store, codes, texts) = without_preconnect(&ivalt, 3);
    let waiting = TempDir::new();
    let gate = waiting.join("gate");
    let contender = || {
        let case = Case::against(&ivalt);
        let settings = settings(&case, &ivalt, &codes)
            .set("api", "preconnect", false)
            .set("token", "attempts", 1);
        let answer = Reply {
            answer: Some(texts[1].as_str().into()),
            await_file: Some(gate.clone()),
            ..Reply::default()
        };
        case.with_settings(&settings)
            .answer(answer)
            .limit(Duration::from_secs(120))
    };
    let cases: Vec<_> = (0..PROCESSES).map(|_| contender()).collect();
    let results: Vec<_> = thread::scope(|scope| {
        let runs: Vec<_> = cases
            .iter()
            .map(|case| scope.spawn(|| case.run()))
            .collect();
        let deadline = Instant::now() + Duration::from_secs(100);
        while fs::read_dir(waiting.path()).unwrap().count() < PROCESSES {
            assert!(Instant::now() < deadline, "not all of them ask");
            thread::sleep(Duration::from_millis(10));
        }
        fs::write(&gate, "").unwrap();
        runs.into_iter().map(|run| run.join().unwrap()).collect()
    });
    let (mut accepted, mut refused) = (0, 0);
    for report in &results {
        match report.code() {
            PAM_SUCCESS => {
                accepted += 1;
                assert_eq!(expect(report, ACCEPTED).get("detail"), "code 2, 2 left");
            }
            _ => {
                refused += 1;
                let line = expect(report, REFUSED_CODE);
                assert_eq!(line.get("cause"), "unknown, used or revoked");
            }
        }
    }
    assert_eq!((accepted, refused), (1, PROCESSES - 1));
    assert_eq!(
        (codes.left("alice"), codes.used("alice").lines().count()),
        (2, 1)
    );
}
