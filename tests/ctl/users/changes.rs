//! `users add`, `remove`, `enable` and `disable`: what changes, and what is said.

use serde_json::json;

use super::{FILE, Store};
use crate::tool::with_config;
use support::codes::{PAM_SUCCESS, PAM_USER_UNKNOWN};
use support::{Case, StandIn, sandbox_test};

/// Every form of an entry through the program: what is untouched stays byte for byte.
#[test]
fn only_the_named_entry_is_changed() {
    const TWICE: &str = "twice = '+14155550103'\r\ntwice = '+14155550103'\r\n";
    type Change<'a> = (&'a [&'a str], &'a str, &'a str);
    let added = format!("{TWICE}new = \"+14155550199\"\r\n");
    let changes: [Change; 13] = [
        (&["add", "new", "+1 415-555.0199"], TWICE, &added),
        (
            &["remove", "root"],
            "root = \"+91 6283 974746\"   # the admin\r\n",
            "",
        ),
        (
            &["remove", "first.last"],
            "\t\"first.last\" = { mobile = '+14155550100', enabled = false } # till May\r\n",
            "",
        ),
        (&["remove", "bin"], "bin.mobile = \"+14155550101\"\r\n", ""),
        (&["remove", "bad"], "bad = 5\r\n", ""),
        (&["remove", "twice"], TWICE, ""),
        (
            &["remove", "daemon"],
            "[users.daemon]\r\nmobile = \"+14155550102\"\r\n",
            "",
        ),
        (
            &["enable", "first.last"],
            "{ mobile = '+14155550100', enabled = false } ",
            "'+14155550100' ",
        ),
        (
            &["disable", "root"],
            "\"+91 6283 974746\" ",
            "{ mobile = \"+91 6283 974746\", enabled = false } ",
        ),
        (
            &["disable", "bin"],
            "+14155550101\"\r\n",
            "+14155550101\"\r\nbin.enabled = false\r\n",
        ),
        (
            &["disable", "daemon"],
            "+14155550102\"\r\n",
            "+14155550102\"\r\nenabled = false\r\n",
        ),
        (&["enable", "root"], "", ""),
        (&["disable", "first.last"], "", ""),
    ];
    for (words, before, after) in changes {
        let store = Store::with(FILE);
        store.done(words);
        assert_eq!(store.text(), FILE.replacen(before, after, 1), "{words:?}");
    }
}

#[test]
fn disabled_and_enabled_again_is_byte_for_byte_the_same() {
    let store = Store::with(FILE);
    assert_eq!(store.done(&["disable", "root"]).stdout, "root: disabled\n");
    assert_eq!(
        store.done(&["disable", "root"]).stdout,
        "root: is already disabled\n"
    );
    assert!(
        store
            .done(&["show", "root"])
            .stdout
            .contains("state    disabled\n")
    );
    assert_eq!(store.done(&["enable", "root"]).stdout, "root: enabled\n");
    assert_eq!(store.text(), FILE);
}

#[test]
fn json_of_every_change() {
    let store = Store::with("[users]\n");
    let file = store.users_file().display().to_string();
    let unknown = "no.body: no such account on this machine";
    for (words, said) in [
        (
            ["add", "no.body", "+14155550100"].as_slice(),
            json!({"changed": true, "done": "added", "name": "no.body", "mobile": "***0100", "file": file, "warnings": [unknown]}),
        ),
        (
            &["disable", "no.body"],
            json!({"changed": true, "done": "disabled", "name": "no.body", "file": file, "warnings": []}),
        ),
        (
            &["disable", "no.body"],
            json!({"changed": false, "done": "nothing", "name": "no.body", "state": "disabled", "file": file, "warnings": []}),
        ),
        (
            &["enable", "no.body"],
            json!({"changed": true, "done": "enabled", "name": "no.body", "file": file, "warnings": []}),
        ),
        (
            &["remove", "no.body"],
            json!({"changed": true, "done": "removed", "name": "no.body", "file": file, "warnings": []}),
        ),
    ] {
        assert_eq!(
            store.done(&[words, &["--json"]].concat()).json(),
            said,
            "{words:?}"
        );
    }
    assert_eq!(store.text(), "[users]\n");
}

#[test]
fn a_byte_order_mark_and_a_missing_line_end_do_no_harm() {
    for (before, after) in [
        (
            "\u{feff}[users]\nroot = '+14155550100'",
            "\u{feff}[users]\nroot = '+14155550100'\nbin = \"+14155550101\"\n",
        ),
        (
            "\u{feff}users.root = '+14155550100'",
            "\u{feff}users.root = '+14155550100'\nusers.bin = \"+14155550101\"\n",
        ),
        (
            "users = { root = '+14155550100' }",
            "users = { root = '+14155550100', bin = \"+14155550101\" }",
        ),
    ] {
        let store = Store::with(before);
        store.done(&["add", "bin", "+14155550101"]);
        assert_eq!(store.text(), after);
        store.done(&["remove", "root"]);
        assert_eq!(store.done(&["list"]).stdout, "bin  ***0101  enabled\n");
    }
}

#[test]
fn national_mobiles_stay_as_written() {
    let store = Store::with("[users]\n").national();
    store.done(&["add", "root", "0628 397-4746"]);
    assert_eq!(store.text(), "[users]\nroot = \"0628 397-4746\"\n");
    let called = store.done(&["add", "bin", "06283974746"]);
    assert_eq!(
        called.stderr,
        "ivaltctl: warning: root, bin: have the same mobile ***4746\n"
    );
    store.refused(
        &["add", "daemon", "12"],
        "daemon: the mobile has 2 digits; a number has 7 to 15; nothing was changed",
    );
}

#[test]
fn a_shared_mobile_is_pointed_out() {
    let store = Store::with("[users]\nroot = '+14155550100'\n");
    let called = store.done(&["add", "bin", "+1 415 555 0100"]);
    let warning = "ivaltctl: warning: root, bin: have the same mobile ***0100\n";
    assert_eq!(called.stderr, warning);
    assert_eq!(store.done(&["list"]).stderr, warning);
    assert_eq!(store.done(&["add", "daemon", "+14155550101"]).stderr, "");
}

/// What the tool writes, the module reads.
#[sandbox_test]
fn logins_follow() {
    let ivalt = StandIn::start();
    let case = Case::against(&ivalt).user("first.last").answer("accept-1");
    let after = |words: &[&str]| {
        let called = with_config(&case.config(), &[&["users"], words].concat(), "");
        assert_eq!(called.status, 0, "{called:?}");
        let report = case.run();
        (report.code(), report.log_line().reason())
    };
    let unknown = |reason: &str| (PAM_USER_UNKNOWN, reason.to_owned());
    let verified = (PAM_SUCCESS, "verified".to_owned());
    assert_eq!(after(&["list"]), unknown("not-enrolled"));
    assert_eq!(after(&["add", "first.last", "+91 6283-974746"]), verified);
    assert_eq!(after(&["disable", "first.last"]), unknown("disabled"));
    assert_eq!(after(&["enable", "first.last"]), verified);
    assert_eq!(after(&["remove", "first.last"]), unknown("not-enrolled"));
}
