//! What `users` does with the codes of those whose entries it changes.

use std::fs;
use std::os::unix::process::ExitStatusExt;

use serde_json::json;
use support::no_program;

use super::{Host, range};

#[test]
fn whoever_is_removed_has_no_codes_left() {
    let host = Host::new();
    host.make(&["alice"]);
    host.make(&["bob", "--count", "1"]);
    host.done(&["recovery", "revoke", "alice", "2"]);
    let before = host.tree();
    host.done(&["users", "remove", "alice", "--dry-run"]);
    assert_eq!(host.tree(), before);
    let called = host.done(&["users", "remove", "alice"]);
    assert_eq!(called.stdout, "alice: removed\n");
    assert!(!host.user("alice").exists());
    assert_eq!(host.numbers("bob"), [1]);
    host.done(&["users", "add", "alice", "+14155550100"]);
    host.make(&["alice", "--count", "1"]);
    assert_eq!(host.numbers("alice"), [1]);
}

#[test]
fn whoever_is_disabled_keeps_them() {
    let host = Host::new();
    host.make(&["alice"]);
    let before = host.tree();
    host.done(&["users", "disable", "alice"]);
    assert_eq!(host.numbers("alice"), range(1, 10));
    host.done(&["users", "enable", "alice"]);
    assert_eq!(host.tree(), before);
}

/// Whoever is in the synced file is enrolled, whatever becomes of an entry by hand; with another mobile that would be
/// somebody else.
#[test]
fn a_synced_user_keeps_them() {
    let host = Host::new();
    host.make(&["alice"]);
    let synced = host
        .folder
        .write("synced.toml", "[users]\nalice = '+14155550100'\n", 0o600);
    let settings = fs::read_to_string(host.config()).unwrap();
    let settings = format!("synced_users_file = {synced:?}\n{settings}");
    host.folder.write("ivalt.toml", settings, 0o600);
    host.folder.write("users.toml", "[users]\n", 0o600);
    for word in ["disable", "enable"] {
        host.done(&["users", word, "alice"]);
        assert_eq!(host.numbers("alice"), range(1, 10), "{word}");
    }
    assert_eq!(
        fs::read_to_string(host.folder.join("users.toml")).unwrap(),
        "[users]\n"
    );
    let config = host.short(&host.config().display().to_string());
    host.refused(
        &["users", "add", "alice", "+14155550199"],
        &format!(
            "alice: recovery codes of an earlier entry would count again; nothing was changed; revoke them first: ivaltctl \
             --config {config} recovery revoke alice --all"
        ),
    );
    host.done(&["users", "add", "alice", "+14155550100"]);
    assert_eq!(host.numbers("alice"), range(1, 10));
}

/// An editor removes an entry, and knows nothing of codes.
#[test]
fn nobody_is_enrolled_with_the_codes_of_another() {
    let host = Host::new();
    host.make(&["alice"]);
    host.make(&["bob", "--count", "1"]);
    host.folder.write("users.toml", "[users]\n", 0o600);
    let config = host.short(&host.config().display().to_string());
    let refusal = |who: &str, name: &str| {
        format!(
            "{who}: recovery codes of an earlier entry would count again; nothing was changed; revoke them first: \
             ivaltctl --config {config} recovery revoke {name} --all"
        )
    };
    host.refused(
        &["users", "add", "alice", "+14155550100"],
        &refusal("alice", "alice"),
    );
    let rows = host.folder.write(
        "new.csv",
        "alice,+14155550100\ndave,+14155550104\nbob,+14155550101\n",
        0o600,
    );
    let rows = rows.to_str().unwrap();
    host.refused(&["users", "import", rows], &refusal("alice, bob", "alice"));
    host.done(&["users", "add", "dave", "+14155550105"]);
    host.done(&["recovery", "revoke", "alice", "--all"]);
    host.done(&["users", "add", "alice", "+14155550100"]);
}

/// Whatever happens in between: no entry, no codes.
#[test]
fn killed_at_any_moment_no_code_is_left_without_its_entry() {
    if no_program("strace") {
        return;
    }
    let (mut killed, mut without_codes) = (0, 0);
    for calls in ["unlinkat", "renameat", "fsync"] {
        for number in 1.. {
            let host = Host::new();
            host.make(&["alice", "--count", "3"]);
            let at = format!("inject={calls}:signal=KILL:when={number}");
            let output = host.traced(&["-e", &at], &["users", "remove", "alice"]);
            let text = fs::read_to_string(host.folder.join("users.toml")).unwrap();
            let (has_entry, codes) = (text.contains("alice"), host.numbers("alice"));
            assert!(has_entry || codes.is_empty(), "{calls} {number}: {codes:?}");
            if output.status.signal().is_none() {
                assert_eq!((output.status.code(), has_entry), (Some(0), false));
                break;
            }
            killed += 1;
            without_codes += usize::from(has_entry && codes.is_empty());
            // It can be done once more.
            host.call(&["users", "remove", "alice"]);
            assert!(!host.user("alice").exists(), "{calls} {number}");
        }
    }
    assert!(killed > 8 && without_codes > 2, "{killed} {without_codes}");
}

/// The error names what has been done already.
#[test]
fn an_entry_that_cannot_be_removed() {
    if no_program("strace") {
        return;
    }
    let host = Host::new();
    host.make(&["alice", "--count", "3"]);
    let called = host.traced_to_the_end(
        &["-e", "inject=renameat:error=ENOSPC"],
        &["users", "remove", "alice"],
    );
    assert_eq!(called.status, 1);
    let end = "; the recovery codes are deleted all the same\n";
    assert!(called.stderr.ends_with(end), "{called:?}");
    assert!(!host.user("alice").exists());
    // And where the codes cannot be deleted, nothing else is done.
    let host = Host::new();
    host.make(&["alice", "--count", "3"]);
    let words = ["users", "remove", "alice", "--json"];
    let called = host.traced_to_the_end(&["-e", "inject=unlinkat:error=EROFS"], &words);
    assert_eq!(
        (called.status, &called.json()["changed"]),
        (1, &json!(false))
    );
    assert!(
        called.stderr.contains("to deny alice meanwhile: ivaltctl "),
        "{called:?}"
    );
    assert_eq!(host.numbers("alice"), [1, 2, 3]);
    assert!(
        fs::read_to_string(host.folder.join("users.toml"))
            .unwrap()
            .contains("alice")
    );
}
