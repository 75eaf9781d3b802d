//! `users --dry-run`: what would be done is said, and nothing is.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::MetadataExt;

use serde_json::{Value, json};

use super::{FILE, Store};

/// The names in a folder, and what a change of users.toml would change of it.
type Facts = (Vec<OsString>, Option<(u64, i64, i64, Vec<u8>)>);

fn facts(store: &Store) -> Facts {
    let entries = fs::read_dir(store.folder.path()).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    let file = fs::metadata(store.users_file()).ok().map(|metadata| {
        let bytes = fs::read(store.users_file()).unwrap();
        (
            metadata.ino(),
            metadata.ctime(),
            metadata.ctime_nsec(),
            bytes,
        )
    });
    (names, file)
}

/// `said` without `file` and `warnings`, which are as ever.
#[track_caller]
fn dry(store: &Store, words: &[&str], status: i32, line: &str, said: Value) {
    let before = facts(store);
    let rows = "bin,+14155550101\nnew,+14155550199\n";
    let words = [words, &["--dry-run"]].concat();
    let called = store.typed(&words, rows);
    assert_eq!(
        (called.status, called.stdout.as_str()),
        (status, line),
        "{called:?}"
    );
    let mut object = store
        .typed(&[&words[..], &["--json"]].concat(), rows)
        .json();
    let members = object.as_object_mut().unwrap();
    members.remove("file");
    members.remove("warnings");
    assert_eq!(object, said, "{words:?}");
    assert_eq!(facts(store), before, "{words:?}");
}

#[test]
fn nothing_is_changed_and_no_lock_file_is_left() {
    const END: &str = "(dry run: nothing was changed)\n";
    let store = Store::with(FILE);
    let said = |would_change: bool, more: Value| {
        let mut said = json!({"changed": false, "done": "nothing", "dry_run": true, "would_change": would_change});
        let members = said.as_object_mut().unwrap();
        members.extend(more.as_object().unwrap().clone());
        said
    };
    dry(
        &store,
        &["add", "new", "+14155550199"],
        0,
        &format!("new: added with the mobile ***0199 {END}"),
        said(true, json!({"name": "new", "mobile": "***0199"})),
    );
    dry(
        &store,
        &["remove", "twice"],
        0,
        &format!("twice: removed {END}"),
        said(true, json!({"name": "twice"})),
    );
    dry(
        &store,
        &["disable", "root"],
        0,
        &format!("root: disabled {END}"),
        said(true, json!({"name": "root"})),
    );
    dry(
        &store,
        &["enable", "first.last"],
        0,
        &format!("first.last: enabled {END}"),
        said(true, json!({"name": "first.last"})),
    );
    dry(
        &store,
        &["enable", "root"],
        0,
        "root: is already enabled\n",
        said(false, json!({"name": "root", "state": "enabled"})),
    );
    dry(
        &store,
        &["import", "-"],
        0,
        &format!("1 user added; already present: bin {END}"),
        said(
            true,
            json!({"added": 1, "skipped": ["bin"], "repeated": [], "without_mobile": []}),
        ),
    );
    let no_entry = format!(
        "{0}: no entry for ghost; add one: ivaltctl --config {1} users add ghost MOBILE",
        store.users_file().display(),
        store.config().display()
    );
    dry(
        &store,
        &["remove", "ghost"],
        1,
        "",
        said(false, json!({"refused": no_entry})),
    );
}

#[test]
fn a_file_that_does_not_exist_is_not_created() {
    let store = Store::empty();
    dry(
        &store,
        &["add", "new", "+14155550199"],
        0,
        "new: added with the mobile ***0199 (dry run: nothing was changed)\n",
        json!({"changed": false, "done": "nothing", "dry_run": true, "would_change": true, "name": "new", "mobile": "***0199"}),
    );
    assert!(!store.users_file().exists());
}

#[test]
fn what_would_be_refused_is_refused() {
    let store = Store::with("[users]\nroot = '+14155550100'\n");
    store.refused(
        &["add", "root", "+14155550100", "--dry-run"],
        "users.toml:2: root: already enrolled with this mobile; nothing was changed",
    );
    let lock = store.folder.write(".users.toml.lock", "", 0o644);
    for words in [&["remove", "root"][..], &["remove", "root", "--dry-run"]] {
        store.refused(
            words,
            ".users.toml.lock: users other than root may open it, and so could keep ivaltctl waiting; nothing was changed; remove it: rm .users.toml.lock",
        );
    }
    fs::remove_file(lock).unwrap();
    fs::remove_file(store.users_file()).unwrap();
    fs::write(store.config(), "users_file = \"/nonexistent/users.toml\"\n").unwrap();
    let called = store.call(&["add", "root", "+14155550100", "--dry-run"]);
    assert_eq!(
        (called.status, called.stderr.as_str()),
        (
            1,
            "ivaltctl: /nonexistent: does not exist; create it: install -d -o root -g root -m 0755 /nonexistent\n"
        )
    );
}

/// Reading is what they do anyway.
#[test]
fn list_and_show_are_as_ever() {
    let store = Store::with("[users]\nroot = '+14155550100'\n");
    for words in [&["list"][..], &["show", "root"], &["list", "--json"]] {
        let dry = store.done(&[words, &["--dry-run"]].concat());
        assert_eq!(dry.stdout, store.done(words).stdout);
    }
}

#[test]
fn refusals_in_json() {
    let store = Store::with("[users]\nroot = '+14155550100'\n");
    let called = store.call(&["add", "root", "+14155550100", "--json"]);
    let why = format!(
        "{}:2: root: already enrolled with this mobile; nothing was changed",
        store.users_file().display()
    );
    assert_eq!(
        (called.status, &called.stderr),
        (1, &format!("ivaltctl: {why}\n"))
    );
    assert_eq!(
        called.json(),
        json!({"changed": false, "done": "nothing", "refused": why})
    );
    let called = store.typed(
        &["import", "-", "--json"],
        "name,mobile,enabled\nbin,1,\nsync,+14155550102,perhaps\n",
    );
    assert_eq!(called.status, 1);
    assert_eq!(
        called.json(),
        json!({
            "changed": false, "done": "nothing",
            "problems": [
                "standard input:2: bin: the mobile has no + and so perhaps no country code; write + and the country code in front, like +14155550100",
                "standard input:3: sync: enabled: expected true or false, yes or no, 1 or 0, active or disabled; if the column is about something else, remove it",
            ],
            "refused": "2 rows are refused; nothing was changed",
        })
    );
}
