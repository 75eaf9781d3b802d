//! `users list` and `users show`.

use serde_json::json;

use super::{FILE, Store};

#[test]
fn entries_are_listed_as_a_login_would_read_them() {
    let store = Store::with(FILE);
    let called = store.done(&["list"]);
    assert_eq!(
        store.short(&called.stdout),
        "root        ***4746  enabled\n\
         first.last  ***0100  disabled\n\
         bin         ***0101  enabled\n\
         bad         -        bad: users.toml:8: bad: must be a mobile in quotes, like \"+14155550100\"\n\
         twice       -        bad: users.toml:10: twice: is defined twice, in lines 9 and 10; keep one\n\
         daemon      ***0102  enabled\n"
    );
    assert_eq!(
        called.stderr,
        "ivaltctl: warning: first.last: no such account on this machine\n\
         ivaltctl: warning: bad: no such account on this machine\n\
         ivaltctl: warning: twice: no such account on this machine\n"
    );
    assert_eq!(store.text(), FILE);
}

#[test]
fn the_list_in_json_masks_mobiles_too() {
    let store = Store::with("[users]\nroot = '+14155550100'\nbin = { mobile = '1' }\n");
    let called = store.done(&["list", "--json"]);
    let why = format!(
        "{}:3: bin: the mobile is not E.164; write + and 7 to 15 digits, like +14155550100",
        store.users_file().display()
    );
    assert_eq!(
        called.json(),
        json!([
            {"name": "root", "mobile": "***0100", "state": "enabled", "file": store.users_file()},
            {"name": "bin", "mobile": null, "state": "bad", "reason": why, "file": store.users_file()},
        ])
    );
    assert_eq!(Store::with("").done(&["list", "--json"]).json(), json!([]));
    assert_eq!(
        Store::with("").done(&["list"]).stdout,
        "nobody is enrolled\n"
    );
}

/// Winbind, SSSD and many a host take them for one account.
#[test]
fn names_that_may_be_one_account_are_pointed_out() {
    let store = Store::with(
        "[users]\nroot = '+14155550100'\nRoot = '+14155550101'\n\"CORP\\\\root\" = { mobile = '+14155550102', enabled = false }\nbin = '+14155550103'\nBIN = 5\n\"bin@corp.example\" = '+14155550104'\n",
    );
    let called = store.done(&["list"]);
    let warnings: Vec<&str> = called
        .stderr
        .lines()
        .filter(|line| line.contains("alone"))
        .collect();
    let rest = "differ in case, realm or domain alone; if they are one account, remove all but one";
    assert_eq!(
        warnings,
        [
            format!("ivaltctl: warning: bin, bin@corp.example: {rest}"),
            format!("ivaltctl: warning: root, Root, CORP\\root: {rest}"),
        ]
    );
}

#[test]
fn show_prints_the_whole_mobile() {
    let store = Store::with(FILE);
    assert_eq!(
        store.done(&["show", "root"]).stdout,
        "name     root\nmobile   +916283974746\nstate    enabled\naccount  known to this machine\n"
    );
    assert_eq!(
        store.done(&["show", "first.last", "--json"]).json(),
        json!({"name": "first.last", "mobile": "+14155550100", "state": "disabled", "account": false, "file": store.users_file()})
    );
    assert_eq!(
        store.short(&store.done(&["show", "twice"]).stdout),
        "name     twice\nmobile   -\nstate    bad\n\
         reason   users.toml:10: twice: is defined twice, in lines 9 and 10; keep one\n\
         account  not known to this machine\n"
    );
    let config = store.config();
    store.refused(
        &["show", "nobody"],
        &store.short(&format!(
            "users.toml: no entry for nobody; add one: ivaltctl --config {} users add nobody MOBILE",
            config.display()
        )),
    );
}

#[test]
fn foreign_text_does_not_reach_the_terminal_raw() {
    let store =
        Store::with("[users]\n\"a\\u001b[31m\\u202e\" = 5\nb = { \"\\u001b]0;x\\u0007\" = 1 }\n");
    for words in [["list", "--"].as_slice(), &["show", "b"], &["disable", "b"]] {
        let called = store.call(words);
        let said = [called.stdout, called.stderr].concat();
        assert!(!said.contains(['\x1b', '\x07', '\u{202e}']), "{said:?}");
        assert!(said.contains("\\u{1b}"), "{said:?}");
    }
}
