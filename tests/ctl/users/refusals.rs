//! What is refused, and in which words.

use std::fs;

use super::{FILE, Store};
use crate::tool::in_sandbox;
use support::sandbox_test;

#[test]
fn names_and_mobiles_that_cannot_be_are_refused() {
    let store = Store::with("[users]\n");
    let name = "an account name cannot contain : or /; nothing was changed";
    for (words, sentence) in [
        (["add", "", "+14155550100"], ": the name is empty; nothing was changed".to_owned()),
        (["add", "a:b", "+14155550100"], format!("a:b: {name}")),
        (["add", "../a", "+14155550100"], format!("../a: {name}")),
        (
            ["add", "a\nb", "+14155550100"],
            "a\\nb: the name contains a control character; nothing was changed".to_owned(),
        ),
        (
            ["add", "alice", "4155550100"],
            "alice: the mobile has no + and so perhaps no country code; write + and the country code in front, like +14155550100; nothing was changed"
                .to_owned(),
        ),
    ] {
        store.refused(&words, &sentence);
    }
    assert_eq!(store.call(&["add", "-rf", "+14155550100"]).status, 64);
    assert_eq!(store.call(&["add", "alice"]).status, 64);
    for name in [
        "DOM\\user",
        "user@realm",
        "first.last",
        "o'brien",
        "say \"hi\"",
        "m\u{fc}ller",
    ] {
        store.done(&["add", name, "+14155550100"]);
        assert!(
            store
                .done(&["show", name])
                .stdout
                .contains("state    enabled"),
            "{name}"
        );
    }
}

#[test]
fn an_enrolled_user_is_not_added_again() {
    let store = Store::with(FILE);
    let tool = format!(
        "ivaltctl --config {} users",
        store.short(&store.config().display().to_string())
    );
    for (words, sentence) in [
        (
            ["add", "root", "+916283974746"],
            "users.toml:3: root: already enrolled with this mobile; nothing was changed".to_owned(),
        ),
        (
            ["add", "root", "+14155550100"],
            format!(
                "users.toml:3: root: already enrolled with another mobile; to change it: {tool} remove root && {tool} add root +14155550100"
            ),
        ),
        (
            ["add", "first.last", "+14155550100"],
            format!(
                "users.toml:6: first.last: already enrolled with this mobile, disabled; to enable: {tool} enable first.last"
            ),
        ),
        (
            ["add", "twice", "+14155550100"],
            format!(
                "users.toml:10: twice: is defined twice, in lines 9 and 10; keep one; nothing was changed; fix it, or remove it first: {tool} remove twice"
            ),
        ),
    ] {
        store.refused(&words, &sentence);
    }
    store.refused(
        &["disable", "bad"],
        "users.toml:8: bad: must be a mobile in quotes, like \"+14155550100\"; nothing was changed",
    );
    for verb in ["remove", "enable", "disable"] {
        let sentence = format!("users.toml: no entry for Root; add one: {tool} add Root MOBILE");
        store.refused(&[verb, "Root"], &sentence);
    }
}

#[test]
fn a_name_without_its_quotes_is_left_to_an_editor() {
    let store = Store::with("[users]\nfirst.last = '+14155550100'\nalice.disabled = true\n");
    let quotes = "a name with dots needs quotes; write \"first.last\" = \"+14155550100\"";
    for name in ["first.last", "first"] {
        let sentence = format!(
            "users.toml: {name}: refusing to write: the result would not parse as intended (users.toml:2: {name}: {quotes}); nothing was changed; edit the file manually"
        );
        store.refused(&["remove", name], &sentence);
    }
    store.refused(
        &["remove", "alice"],
        "users.toml: alice: refusing to write: the result would not parse as intended (users.toml:3: alice: unknown key \"disabled\"; expected mobile or enabled); nothing was changed; edit the file manually",
    );
}

#[test]
fn a_file_that_the_module_refuses_is_refused_in_its_words() {
    for (text, sentence) in [
        ("[users]\nroot = +\n", "users.toml:2: is not TOML: "),
        (
            "root = '+14155550100'\n",
            "users.toml:1: \"root\" is outside [users]; move it below the line [users]",
        ),
        (
            "[users]\n[users]\n",
            "users.toml:2: [users] is defined twice; keep one",
        ),
    ] {
        let store = Store::with(text);
        for words in [
            &["list"][..],
            &["show", "x"],
            &["add", "x", "+14155550100"],
            &["remove", "x"],
            &["disable", "x"],
        ] {
            let called = store.call(words);
            let stderr = store.short(&called.stderr);
            assert_eq!(
                (called.status, called.stdout.as_str()),
                (1, ""),
                "{words:?}"
            );
            assert!(
                stderr.starts_with(&format!("ivaltctl: {sentence}")),
                "{stderr}"
            );
            assert_eq!(store.text(), text);
        }
    }
    let store = Store::empty();
    fs::write(store.users_file(), b"[users]\nm\xfc = 1\n").unwrap();
    store.refused(
        &["list"],
        "users.toml:2: is not UTF-8; write the file again as UTF-8 text",
    );
}

#[test]
fn settings_need_not_be_complete_but_not_broken() {
    let store = Store::with("[users]\n");
    for (text, sentence) in [
        (
            "[token]\nattempts = 0\n",
            "ivalt.toml:2: token.attempts: must be a whole number from 1 to 10",
        ),
        (
            "users = 1\n",
            "ivalt.toml:1: users: unknown setting; expected one of `users_file`, `synced_users_file`, `api`, `token`, `policy`, `recovery`, `push`",
        ),
        (
            "[api]\nkey = \"secret\"\nkey_file = \"/x\"\n",
            "ivalt.toml:3: api.key_file: conflicts with api.key; set only one",
        ),
        (
            "[api]\nclient_id = \"x\"\n",
            "ivalt.toml:2: api.client_id: requires api.client_secret",
        ),
        (
            "[token]\nmin_length = 9\nmax_length = 8\n",
            "ivalt.toml:2: token.min_length: must not be larger than token.max_length",
        ),
    ] {
        store.folder.write("ivalt.toml", text, 0o600);
        store.refused(&["add", "root", "+916283974746"], sentence);
    }
    // A path that was typed and is not there must not end in the machine's own users.
    fs::remove_file(store.config()).unwrap();
    let sentence = "ivalt.toml: does not exist; create it: install -o root -g root -m 0600 /dev/null ivalt.toml";
    store.refused(&["add", "root", "+916283974746"], sentence);
}

#[sandbox_test]
fn without_settings_the_defaults_are_named() {
    let called = in_sandbox(&["users", "list"]);
    assert_eq!(
        (called.status, called.stderr.as_str()),
        (
            1,
            "ivaltctl: note: /etc/ivalt/ivalt.toml does not exist; using the defaults: /etc/ivalt/users.toml, E.164 mobiles\n\
             ivaltctl: /etc/ivalt/users.toml: does not exist; create it: install -o root -g root -m 0600 /dev/null /etc/ivalt/users.toml\n"
        )
    );
}
