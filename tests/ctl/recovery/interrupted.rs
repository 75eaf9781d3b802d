//! `recovery make` where it fails, is killed or is not alone.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::thread;

use serde_json::Value;
use support::no_program;

use super::{Host, range};

const MAKE: [&str; 6] = ["recovery", "make", "alice", "--stdout", "--count", "2"];

/// As many codes as the disk has, and no folder or file that the next one could not use.
#[track_caller]
fn must_be_usable(host: &Host, name: &str) {
    let on_disk = host.numbers("alice");
    assert_eq!(host.listed("alice").len(), on_disk.len(), "{name}");
    let made = host.make(&["alice", "--count", "1"]);
    let after = host.numbers("alice");
    assert_eq!(after.len(), on_disk.len() + 1, "{name}");
    assert_eq!(
        after.last().copied().map(u64::from),
        Some(made[0].0),
        "{name}"
    );
    assert!(
        after.windows(2).all(|pair| pair[0] < pair[1]),
        "{name}: {after:?}"
    );
}

/// A full or failing disk at every call that writes: nothing is printed, and no code is left.
#[test]
fn nothing_is_printed_that_is_not_on_the_disk() {
    if no_program("strace") {
        return;
    }
    for (calls, error) in [
        ("openat", "ENOSPC"),
        ("write", "ENOSPC"),
        ("fsync", "EIO"),
        ("renameat", "ENOSPC"),
        ("mkdirat", "EROFS"),
    ] {
        let mut failed = 0;
        for number in 1.. {
            let host = Host::new();
            let at = format!("inject={calls}:error={error}:when={number}");
            let user = host.user("alice").display().to_string();
            // Of the many files that a program opens, those of the store.
            let of_store = ["-P", &user, "-e", &at];
            let options = if calls == "openat" {
                &of_store[..]
            } else {
                &of_store[2..]
            };
            let called = host.traced(options, &MAKE);
            if !host.was_injected() {
                break;
            }
            let name = format!("{calls} {error} {number}");
            let stdout = String::from_utf8(called.stdout).unwrap();
            // Some calls may fail: those of the program's start, and of the system log.
            if called.status.code() == Some(0) {
                assert_eq!(stdout.matches("rc-").count(), 2, "{name}");
                assert_eq!(host.numbers("alice"), range(1, 2), "{name}");
                continue;
            }
            failed += 1;
            assert!(!stdout.contains("rc-"), "{name}: {stdout}");
            let stderr = String::from_utf8(called.stderr).unwrap();
            let contradicts = stderr.contains("nothing was changed") && stderr.contains("is made");
            assert!(!contradicts, "{name}: {stderr}");
            assert!(host.numbers("alice").is_empty(), "{name}");
            if host.user("alice").exists() {
                must_be_usable(&host, &name);
            }
        }
        assert!(failed > 0, "{calls}");
    }
}

/// As CIFS says it. A login could not sync the folder either: it would use up every code, and deny.
#[test]
fn where_folders_cannot_be_synced_no_code_is_made() {
    if no_program("strace") {
        return;
    }
    let host = Host::new();
    let called = host.traced_to_the_end(&["-e", "inject=fsync:error=EINVAL"], &MAKE);
    let expected = "ivaltctl: state/recovery: lies where a folder cannot be synced (Invalid argument), so that a login would \
                    use up a code and deny it; nothing was changed; write under [recovery] in the settings: directory = a \
                    folder on a disk\n";
    let said = (
        called.status,
        called.stdout.as_str(),
        &*host.short(&called.stderr),
    );
    assert_eq!(said, (1, "", expected));
    assert!(!host.folder.join("state").exists());
}

/// A store that was moved there.
#[test]
fn check_finds_a_store_that_cannot_be_synced() {
    if no_program("strace") {
        return;
    }
    let host = Host::new();
    host.make(&["alice", "--count", "4"]);
    let settings = fs::read_to_string(host.config()).unwrap();
    fs::write(host.config(), settings + "[api]\nkey = \"k\"\n").unwrap();
    let store = host.store().display().to_string();
    let options = ["-P", &store, "-e", "inject=fsync:error=EINVAL"];
    let found = |options: &[&str]| {
        let checked = host.traced_to_the_end(options, &["check", "--json"]).json();
        let findings = checked["findings"].as_array().unwrap().iter();
        let of_store = findings.filter(|finding| finding["id"] == "recovery-not-writable");
        of_store.cloned().collect::<Vec<_>>()
    };
    let [finding] = &found(&options)[..] else {
        panic!("not one finding");
    };
    assert_eq!(finding["file"], store.as_str());
    assert_eq!(
        finding["what"],
        "lies where a folder cannot be synced (Invalid argument): a login uses up the code, and denies it (misconfigured)"
    );
    assert_eq!(found(&["-e", "trace=fsync"]), [] as [Value; 0]);
}

/// The folder is there, and the disk fails while codes are written into it.
#[test]
fn a_disk_that_fails_makes_no_code_and_says_so_once() {
    if no_program("strace") {
        return;
    }
    let host = Host::new();
    host.make(&["alice", "--count", "1"]);
    let user = host.user("alice").display().to_string();
    for number in 1..4 {
        let at = format!("inject=fsync:error=EIO:when={number}");
        let called = host.traced_to_the_end(&["-P", &user, "-e", &at], &MAKE);
        let expected = "ivaltctl: state/recovery/user-alice: cannot be synced (Input/output error): no code is made; look for \
                        errors of that disk: dmesg\n";
        let said = (
            called.status,
            called.stdout.as_str(),
            &*host.short(&called.stderr),
        );
        assert_eq!(said, (1, "", expected), "{number}");
        assert_eq!(host.numbers("alice"), [1], "{number}");
    }
}

/// Killed at every call that changes the disk: every code there is listed, and the next call goes on.
#[test]
fn killed_at_any_moment_what_is_there_is_listed() {
    if no_program("strace") {
        return;
    }
    let (mut killed, mut left) = (0, 0);
    for calls in ["fsync", "renameat", "mkdirat", "write"] {
        for number in 1.. {
            let host = Host::new();
            let at = format!("inject={calls}:signal=KILL:when={number}");
            let output = host.traced(&["-e", &at], &MAKE);
            if output.status.signal().is_none() {
                assert_eq!(output.status.code(), Some(0));
                break;
            }
            killed += 1;
            left += host.numbers("alice").len();
            must_be_usable(&host, &format!("{calls} {number}"));
        }
    }
    assert!(killed > 10 && left > 0, "{killed} {left}");
}

/// The last of what is written to the store is synced before the first byte is printed.
#[test]
fn codes_are_on_the_disk_before_they_are_printed() {
    if no_program("strace") {
        return;
    }
    let host = Host::new();
    let words = ["-y", "-e", "trace=fsync,renameat,write"];
    host.traced_to_the_end(&words, &MAKE);
    let trace = fs::read_to_string(host.folder.join("trace")).unwrap();
    let lines: Vec<&str> = trace.lines().collect();
    let printed = lines
        .iter()
        .position(|line| line.contains(" write(") && line.contains("Recovery codes"));
    let (before, after) = lines.split_at(printed.expect(&trace));
    let of_store = |line: &&&str| line.contains("/user-alice");
    assert_eq!(after.iter().filter(of_store).count(), 0, "{trace}");
    let last_rename = before
        .iter()
        .rposition(|line| line.contains(" renameat("))
        .expect(&trace);
    // Each code's file before its rename, and the folder after the last one.
    let syncs = |lines: &[&str], end: &str| {
        let of = |line: &&&str| line.contains(" fsync(") && line.contains(end);
        lines.iter().filter(of).count()
    };
    assert_eq!(syncs(&before[last_rename..], "/user-alice>)"), 1, "{trace}");
    assert_eq!(syncs(before, ".new>)"), 3, "{trace}");
}

/// Of several at once, each has its numbers, and there is one salt.
#[test]
fn several_at_once_share_no_number() {
    let host = Host::new();
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..3 {
                    let made = host.make(&["alice", "--count", "5"]);
                    assert_eq!(made.len(), 5);
                }
            });
        }
    });
    assert_eq!(host.numbers("alice"), range(1, 120));
}

/// While somebody is removed, nobody makes codes for the same name.
#[test]
fn makers_and_removers_at_once_leave_no_code_without_its_entry() {
    for _ in 0..10 {
        let host = Host::new();
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| host.call(&MAKE));
            }
            scope.spawn(|| host.done(&["users", "remove", "alice"]));
        });
        assert!(host.numbers("alice").is_empty());
    }
}
