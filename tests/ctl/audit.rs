//! The line in the system log for what a command changed, and none for what it did not.

use nix::unistd::{Uid, User, getuid};
use support::sandbox_test;

use crate::enable::asks_nobody;
use crate::tool::with_log;
use crate::users::Store;

/// Who runs the tests, as `by=` names them.
fn by() -> String {
    let login = std::fs::read_to_string("/proc/self/loginuid").unwrap_or_default();
    let login = login.trim().parse().ok().filter(|uid| *uid != u32::MAX);
    let uid = login.map_or(getuid(), Uid::from_raw);
    User::from_uid(uid)
        .unwrap()
        .map_or(uid.to_string(), |user| user.name)
}

/// What is logged, without priority and time: `<85>Nov 26 07:15:00 ivaltctl[123]: `, and with PID for the number.
#[track_caller]
fn logged(words: &[&str], typed: &str, status: i32) -> Vec<String> {
    let (called, lines) = with_log(words, typed);
    assert_eq!(called.status, status, "{called:?}");
    let message = |line: &String| {
        // authpriv.notice: 10 * 8 + 5.
        let rest = line
            .strip_prefix("<85>")
            .unwrap_or_else(|| panic!("{line}"));
        let rest = &rest["Nov 26 07:15:00 ".len()..];
        let rest = rest
            .strip_prefix("ivaltctl[")
            .unwrap_or_else(|| panic!("{line}"));
        let (pid, message) = rest.split_once("]: ").unwrap();
        assert!(pid.parse::<u32>().is_ok(), "{line}");
        message.to_owned()
    };
    lines.iter().map(message).collect()
}

#[sandbox_test]
fn every_change_of_users_and_nothing_else() {
    let store = Store::with("[users]\nroot = '+14155550100'\n");
    let (config, file) = (store.config(), store.users_file());
    let rows = "bin,+14155550102\nsync,+14155550103,no\nroot,+14155550100\n";
    let end = format!("file={} by={} outcome=done", file.display(), by());
    let call = |words: &[&str], status| {
        let config = ["--config", config.to_str().unwrap(), "users"];
        logged(&[&config, words].concat(), rows, status)
    };
    let nothing: [String; 0] = [];
    for (words, line) in [
        (
            &["add", "bob", "+1 415 555 0101"][..],
            "users add user=bob mobile=***0101",
        ),
        (&["disable", "bob"], "users disable user=bob mobile=***0101"),
        (&["enable", "bob"], "users enable user=bob mobile=***0101"),
        (&["import", "-"], "users import added=2 users=\"bin,sync\""),
        (&["remove", "bob"], "users remove user=bob"),
        (
            &["add", "x\" outcome=", "+14155550109"],
            "users add user=\"x\\\" outcome=\" mobile=***0109",
        ),
    ] {
        let dry_run = [words, &["--dry-run"]].concat();
        assert_eq!(call(&dry_run, 0), nothing, "{words:?}");
        assert_eq!(call(words, 0), [format!("{line} {end}")], "{words:?}");
    }
    for (words, status) in [
        (&["list"][..], 0),
        (&["show", "root"], 0),
        (&["enable", "root"], 0),
        (&["import", "-"], 0),
        (&["add", "root", "+14155550100"], 1),
        (&["remove", "ghost"], 1),
    ] {
        assert_eq!(call(words, status), nothing, "{words:?}");
    }
}

/// It is this machine's administrator who changes another system; its name is in the line.
#[sandbox_test]
fn changes_of_a_system_below_a_folder_name_it() {
    let system = asks_nobody();
    let root = system.path("");
    let root = root.to_str().unwrap().trim_end_matches('/');
    let call = |words: &[&str], status| logged(&[words, &["--root", root]].concat(), "", status);
    let nothing: [String; 0] = [];
    let line = |command: &str| {
        format!(
            "{command} service=sudo root={root} by={} outcome=done",
            by()
        )
    };
    assert_eq!(call(&["enable", "sudo", "--dry-run"], 0), nothing);
    assert_eq!(call(&["enable", "sudo"], 1), nothing);
    assert_eq!(call(&["enable", "sudo", "--yes"], 0), [line("enable")]);
    assert_eq!(call(&["enable", "sudo", "--yes"], 0), nothing);
    assert_eq!(call(&["disable", "--all", "--dry-run"], 0), nothing);
    assert_eq!(call(&["disable", "--all", "--yes"], 0), [line("disable")]);
    assert_eq!(call(&["disable", "--all", "--yes"], 0), nothing);
}

/// A healthy machine may have no log at all.
#[sandbox_test]
fn without_a_log_everything_is_done_all_the_same() {
    let store = Store::with("[users]\n");
    let config = store.config();
    let words = [
        "--config",
        config.to_str().unwrap(),
        "users",
        "add",
        "bin",
        "+14155550102",
    ];
    let called = crate::tool::in_sandbox(&words);
    assert_eq!(
        (called.status, called.stderr.as_str()),
        (0, ""),
        "{called:?}"
    );
}
