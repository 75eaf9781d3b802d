//! `users list` and `users show`.

use serde_json::json;

use super::{FILE, Store};

#[test]
fn what_stands_there_is_listed_as_a_login_would_read_it() {
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
        "ivaltctl: warning: first.last: this machine knows no such account\n\
         ivaltctl: warning: bad: this machine knows no such account\n\
         ivaltctl: warning: twice: this machine knows no such account\n"
    );
    assert_eq!(store.text(), FILE);
}

#[test]
fn the_list_for_machines_masks_mobiles_too() {
    let store = Store::with("[users]\nroot = '+14155550100'\nbin = { mobile = '1' }\n");
    let called = store.done(&["list", "--json"]);
    let why = format!(
        "{}:3: bin: the mobile is not E.164; write + and 7 to 15 digits, like +14155550100",
        store.users_file().display()
    );
    assert_eq!(
        called.json(),
        json!([
            {"name": "root", "mobile": "***0100", "state": "enabled"},
            {"name": "bin", "mobile": null, "state": "bad", "reason": why},
        ])
    );
    assert_eq!(Store::with("").done(&["list", "--json"]).json(), json!([]));
    assert_eq!(
        Store::with("").done(&["list"]).stdout,
        "nobody is enrolled\n"
    );
}

#[test]
fn who_is_shown_is_shown_whole() {
    let store = Store::with(FILE);
    assert_eq!(
        store.done(&["show", "root"]).stdout,
        "name     root\nmobile   +916283974746\nstate    enabled\naccount  known to this machine\n"
    );
    assert_eq!(
        store.done(&["show", "first.last", "--json"]).json(),
        json!({"name": "first.last", "mobile": "+14155550100", "state": "disabled", "account": false})
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
