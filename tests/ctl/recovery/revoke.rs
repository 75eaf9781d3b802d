//! `recovery revoke`.

use std::fs;

use serde_json::json;

use super::{Host, file_of};

const ALL: [&str; 4] = ["recovery", "revoke", "alice", "--all"];

#[test]
fn by_number_or_all() {
    let host = Host::new();
    let made = host.make(&["alice", "--count", "6"]);
    host.make(&["bob", "--count", "1"]);
    let file = file_of(&host, "alice", &made[2].1);
    let called = host.done(&["recovery", "revoke", "alice", "3"]);
    assert_eq!(called.stdout, "alice: code 3 revoked\n");
    assert!(!file.exists());
    let called = host.done(&["recovery", "revoke", "alice", "5", "1", "1"]);
    assert_eq!(called.stdout, "alice: codes 1, 5 revoked\n");
    assert_eq!(host.numbers("alice"), [2, 4, 6]);
    assert_eq!(host.done(&ALL).stdout, "alice: codes 2, 4, 6 revoked\n");
    assert_eq!(
        host.done(&ALL).stdout,
        "alice: has no unused recovery codes\n"
    );
    assert_eq!(host.listed("alice"), [json!(null); 0]);
    assert_eq!(host.numbers("bob"), [1]);
}

#[test]
fn one_that_is_not_there_refuses_all() {
    let host = Host::new();
    let none = "alice: has no unused code 1; nothing was changed; list them: ivaltctl --config ivalt.toml recovery list";
    host.refused(&["recovery", "revoke", "alice", "1"], none);
    host.make(&["alice", "--count", "2"]);
    host.refused(
        &["recovery", "revoke", "alice", "1", "3"],
        "alice: has no unused code 3; nothing was changed; list them: ivaltctl --config ivalt.toml recovery list",
    );
    host.refused(
        &["recovery", "revoke", "bob", "1"],
        "bob: has no unused code 1; nothing was changed; list them: ivaltctl --config ivalt.toml recovery list",
    );
}

#[test]
fn a_dry_run_and_the_object_for_programs() {
    let host = Host::new();
    let call = |words: &[&str]| host.done(&[&ALL, words, &["--json"]].concat()).json();
    let object = |changed: bool, done: &str, numbers: &[u32]| {
        let directory = host.store().display().to_string();
        json!({"changed": changed, "done": done, "name": "alice", "numbers": numbers, "directory": directory})
    };
    assert_eq!(call(&[]), object(false, "nothing", &[]));
    host.make(&["alice", "--count", "2"]);
    let before = host.tree();
    let mut dry = object(false, "nothing", &[1, 2]);
    dry["dry_run"] = json!(true);
    dry["would_change"] = json!(true);
    assert_eq!(call(&["--dry-run"]), dry);
    assert_eq!(
        host.done(&[&ALL[..], &["--dry-run"]].concat()).stdout,
        "alice: codes 1, 2 revoked (dry run: nothing was changed)\n"
    );
    assert_eq!(host.tree(), before);
    assert_eq!(call(&[]), object(true, "revoked", &[1, 2]));
    assert_eq!(call(&[]), object(false, "nothing", &[]));
}

/// It has no number by which it could be named.
#[test]
fn what_cannot_be_read_goes_with_all() {
    let host = Host::new();
    let made = host.make(&["alice", "--count", "2"]);
    fs::write(file_of(&host, "alice", &made[0].1), "number=").unwrap();
    assert_eq!(
        host.done(&ALL).stdout,
        "alice: codes 2 and 1 unreadable revoked\n"
    );
    let entries = fs::read_dir(host.user("alice")).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert_eq!(names.filter(|name| name.starts_with("code-")).count(), 0);
}

/// A code is gone also where nothing can be written down about it.
#[test]
fn without_the_file_of_uses_it_is_revoked_all_the_same() {
    let host = Host::new();
    host.make(&["alice", "--count", "2"]);
    fs::create_dir(host.user("alice").join("used")).unwrap();
    let called = host.call(&ALL);
    assert_eq!(called.status, 1, "{called:?}");
    fs::remove_dir(host.user("alice").join("used")).unwrap();
    assert_eq!(host.done(&ALL).stdout, "alice: codes 1, 2 revoked\n");
}
