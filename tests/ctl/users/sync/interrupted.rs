//! A sync that fails, is killed or is not alone.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::process::Output;
use std::thread;

use support::{no_program, sandbox_test};

use super::{FIRST, Host};

/// One is added, one is lost, one is disabled; alice's mobile has changed and is accepted.
const SECOND: &str = "alice,+14155550199\nbob,+14155550101,no\ncarol,+14155550103\n";
const BEFORE: &str = "alice = \"+14155550100\"\nbob = \"+14155550101\"\n\"first.last\" = { mobile = \"+14155550102\", enabled = false }\n";
const AFTER: &str = "alice = \"+14155550199\"\nbob = { mobile = \"+14155550101\", enabled = false }\ncarol = \"+14155550103\"\n";

fn traced(host: &Host, inject: &str) -> Output {
    let trace = host.path("trace");
    support::write_file(&host.path("etc/people.csv"), SECOND, 0o600);
    let strace = ["strace", "-f", "-o", trace.to_str().unwrap(), "-e", inject];
    let words = [
        "users",
        "sync",
        "/etc/people.csv",
        "--accept-changes",
        "alice",
        "--accept-losses",
    ];
    host.command(&strace, &words)
        .output()
        .expect("strace starts")
}

/// The file is the old one or the new one, never another; and where it is the old one, the mobile that was accepted is
/// accepted no longer.
#[track_caller]
fn old_or_new(host: &Host, name: &str) -> bool {
    let left = host.users();
    assert!([BEFORE, AFTER].contains(&left.as_str()), "{name}: {left}");
    let is_new = left == AFTER;
    if !is_new {
        let said = host.json(
            &["-"],
            &(SECOND.to_owned() + "\"first.last\",+14155550102,no\n"),
        );
        assert_eq!(said["held"], serde_json::json!(["alice"]), "{name}");
        assert!(
            host.users().starts_with("alice = \"+14155550100\"\n"),
            "{name}"
        );
    }
    let said = host.json(&["-", "--accept-changes", "all", "--accept-losses"], SECOND);
    assert_eq!(
        said["unchanged"].as_u64().unwrap()
            + said["added"].as_array().unwrap().len() as u64
            + said["accepted"].as_array().unwrap().len() as u64,
        3,
        "{name}: {said}"
    );
    assert_eq!(host.users(), AFTER, "{name}");
    is_new
}

#[sandbox_test]
fn killed_at_any_moment_the_file_is_the_old_one_or_the_new_one() {
    if no_program("strace") {
        return;
    }
    let (mut killed, mut new) = (0, 0);
    for calls in ["fsync", "renameat", "mkdirat", "fchmod"] {
        for number in 1.. {
            let host = Host::synced(FIRST);
            let output = traced(&host, &format!("inject={calls}:signal=KILL:when={number}"));
            if output.status.signal().is_none() {
                assert_eq!(output.status.code(), Some(0), "{output:?}");
                break;
            }
            killed += 1;
            new += usize::from(old_or_new(&host, &format!("{calls} {number}")));
        }
    }
    assert!(killed > 8 && new > 0 && new < killed, "{killed} {new}");
}

#[sandbox_test]
fn a_disk_that_fails_changes_nothing_or_says_what_it_did() {
    if no_program("strace") {
        return;
    }
    let mut failed = 0;
    for (calls, error) in [
        ("fsync", "EIO"),
        ("renameat", "ENOSPC"),
        ("fchmod", "EPERM"),
    ] {
        for number in 1.. {
            let host = Host::synced(FIRST);
            let output = traced(
                &host,
                &format!("inject={calls}:error={error}:when={number}"),
            );
            let trace = fs::read_to_string(host.path("trace")).unwrap();
            if !trace.contains("(INJECTED)") {
                break;
            }
            let name = format!("{calls} {error} {number}");
            let stderr = String::from_utf8(output.stderr).unwrap();
            let is_new = host.users() == AFTER;
            if output.status.code() == Some(0) {
                assert!(is_new, "{name}: {stderr}");
                continue;
            }
            failed += 1;
            assert_eq!(output.status.code(), Some(1), "{name}");
            assert_eq!(
                is_new,
                stderr.contains("the change is made"),
                "{name}: {stderr}"
            );
            old_or_new(&host, &name);
        }
    }
    assert!(failed > 4, "{failed}");
}

/// The memory is on the disk before the file is another one.
#[sandbox_test]
fn the_memory_is_synced_before_the_file_is_replaced() {
    if no_program("strace") {
        return;
    }
    let host = Host::synced(FIRST);
    let output = traced(&host, "trace=fsync,renameat");
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let trace = fs::read_to_string(host.path("trace")).unwrap();
    let lines: Vec<&str> = trace
        .lines()
        .filter(|line| !line.contains("resumed>"))
        .collect();
    let renamed = |name: &str| {
        lines
            .iter()
            .position(|line| line.contains(" renameat(") && line.contains(name))
            .expect(&trace)
    };
    let (memory, file) = (
        renamed("etc%2fivalt%2fsynced.toml.new"),
        renamed("\".synced.toml.new\""),
    );
    assert!(memory < file, "{trace}");
    // The folder of the one, and the content of the other.
    let syncs = lines[memory..file]
        .iter()
        .filter(|line| line.contains(" fsync("))
        .count();
    assert_eq!(syncs, 2, "{trace}");
}

/// One after the other, and the file is that of one of them.
#[sandbox_test]
fn several_at_once_leave_a_whole_file() {
    let host = Host::synced(FIRST);
    let people = |first: usize| -> String {
        (first..first + 500)
            .map(|number| format!("u{number},+1415555{number:04}\n"))
            .collect()
    };
    thread::scope(|scope| {
        for first in [0, 1000, 2000] {
            let (host, people) = (&host, &people);
            scope.spawn(move || {
                let (called, _) = host.sync(&["-", "--accept-losses"], &people(first));
                assert_eq!(called.status, 0, "{called:?}");
            });
        }
    });
    let said = [0, 1000, 2000].map(|first| {
        let (called, _) = host.sync(
            &["-", "--dry-run", "--accept-losses", "--json"],
            &people(first),
        );
        called.json()["unchanged"].as_u64().unwrap()
    });
    assert_eq!(said.iter().sum::<u64>(), 500, "{said:?}");
}
