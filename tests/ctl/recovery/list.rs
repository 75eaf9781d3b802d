//! `recovery list`.

use std::fs;

use serde_json::json;

use super::Host;

/// A store with a code in every state, as a login leaves it.
fn host() -> Host {
    let host = Host::new();
    host.make(&["bob", "--count", "1", "--expires", "never"]);
    host.make(&["alice", "--count", "5"]);
    for entry in fs::read_dir(host.user("alice")).unwrap() {
        let path = entry.unwrap().path();
        let text = fs::read_to_string(&path).unwrap_or_default();
        let number = text.lines().next().unwrap_or_default();
        match number {
            "number=1" => {
                fs::write(&path, "number=1\nmade=1764165600\nexpires=1764165601\n").unwrap()
            }
            "number=2" | "number=3" => {
                fs::write(&path, format!("{number}\nmade=1764165600\nexpires=never\n")).unwrap()
            }
            "number=4" => fs::remove_file(&path).unwrap(),
            "number=5" => fs::write(&path, "number=5\n").unwrap(),
            _ => {}
        }
    }
    let used = "number=4 time=1764165700 service=sshd rhost=203.0.113.7\n\
                number=3 time=1764165701 service=sudo rhost=\n\
                number=9 time=1764165702 service=ivaltctl rhost=\n\
                number=8 time=176416";
    host.folder
        .write("state/recovery/user-alice/used", used, 0o600);
    host
}

/// As a damaged disk may have them.
#[test]
fn the_largest_numbers_there_are() {
    let host = Host::new();
    host.make(&["bob", "--count", "1"]);
    let end = u64::MAX;
    for name in ["0", "1"] {
        let text = format!("number={}\nmade={end}\nexpires={end}\n", u32::MAX);
        let file = format!("state/recovery/user-bob/code-{}", name.repeat(64));
        host.folder.write(&file, text, 0o600);
    }
    let listed = host.listed("bob");
    assert_eq!(listed.len(), 3);
    assert_eq!(listed[2]["expires"], "9999-12-31T23:59:59Z");
    let number = u32::MAX.to_string();
    let revoked = host.done(&["recovery", "revoke", "bob", &number]);
    assert_eq!(
        revoked.stdout,
        "bob: codes 4294967295, 4294967295 revoked\n"
    );
}

#[test]
fn every_state_of_a_code() {
    let host = host();
    let bob = host.files("bob")[0].made;
    let today = host.done(&["recovery", "list", "bob"]).stdout;
    let date = today
        .split("made ")
        .nth(1)
        .unwrap()
        .split(',')
        .next()
        .unwrap();
    assert!(
        bob > 1_764_165_600 && date.len() == "2026-11-26".len(),
        "{today}"
    );
    let alice = "alice     -  unreadable\n\
                 alice     1  expired, made 2025-11-26, expires 2025-11-26\n\
                 alice     2  unused, made 2025-11-26, expires never\n\
                 alice     3  restored, made 2025-11-26, expires never, used 2025-11-26T14:01:41Z by sudo from this host\n\
                 alice     4  used 2025-11-26T14:01:40Z by sshd from 203.0.113.7\n";
    assert_eq!(host.done(&["recovery", "list", "alice"]).stdout, alice);
    let all = format!("{alice}bob       1  unused, made {date}, expires never\n");
    assert_eq!(host.done(&["recovery", "list"]).stdout, all);
    assert_eq!(
        host.done(&["recovery", "list", "dave"]).stdout,
        "dave: has no recovery codes\n"
    );
    assert_eq!(
        Host::new().done(&["recovery", "list"]).stdout,
        "nobody has recovery codes\n"
    );
}

#[test]
fn the_same_for_programs() {
    let host = host();
    let used = host.user("alice").join("used");
    let as_quoted = fs::read_to_string(&used).unwrap().replace(
        "service=sudo rhost=",
        r#"service="my \"sudo\"" rhost="h\xc3\xa9""#,
    );
    fs::write(&used, as_quoted).unwrap();
    let row = |number: u32, state: &str, more: serde_json::Value| {
        let mut row = json!({
            "name": "alice", "number": number, "state": state, "made": "2025-11-26T14:00:00Z",
            "expires": null, "used": null, "service": null, "rhost": null,
        });
        let members = row.as_object_mut().unwrap();
        members.extend(more.as_object().unwrap().clone());
        row
    };
    let mut unreadable = row(0, "unreadable", json!({"made": null}));
    unreadable["number"] = json!(null);
    let used = json!({"made": null, "used": "2025-11-26T14:01:40Z", "service": "sshd", "rhost": "203.0.113.7"});
    let restored =
        json!({"used": "2025-11-26T14:01:41Z", "service": "my \"sudo\"", "rhost": "h\u{e9}"});
    assert_eq!(
        host.listed("alice"),
        [
            unreadable,
            row(1, "expired", json!({"expires": "2025-11-26T14:00:01Z"})),
            row(2, "unused", json!({})),
            row(3, "restored", restored),
            row(4, "used", used),
        ]
    );
    assert_eq!(
        Host::new().done(&["recovery", "list", "--json"]).stdout,
        "[]\n"
    );
}
