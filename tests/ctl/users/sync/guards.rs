//! What is refused, held or accepted.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use serde_json::json;
use support::sandbox_test;

use super::{FIRST, Host, SETTINGS};

#[sandbox_test]
fn what_is_not_set_up_is_refused_with_what_to_write() {
    let host = Host::with("");
    host.refused(&["-"], FIRST, "/etc/ivalt/ivalt.toml: synced_users_file is not set; nothing was changed; write above its first \
        [table]: synced_users_file = \"/etc/ivalt/users-synced.toml\"; from then on until the first sync is done, everybody is denied \
        of whom /etc/ivalt/users.toml says nothing");
    let host = Host::new();
    host.refused(&[], "", "there is no directory to ask; nothing was changed; describe it under [ldap] in \
        /etc/ivalt/directory.toml, see ivalt-directory.toml(5), or name a CSV file: ivaltctl users sync FILE");
    host.directory("[guard]\nlose_percent = 101\n");
    let (called, _) = host.sync(&["-"], FIRST);
    assert_eq!(called.status, 1);
    assert!(
        called
            .stderr
            .starts_with("ivaltctl: /etc/ivalt/directory.toml:2: guard.lose_percent: "),
        "{called:?}"
    );
    host.directory("");
    fs::set_permissions(
        host.path("etc/ivalt/directory.toml"),
        fs::Permissions::from_mode(0o644),
    )
    .unwrap();
    let (called, _) = host.sync(&["-"], FIRST);
    assert_eq!(called.status, 1);
    assert!(
        called.stderr.contains(
            "/etc/ivalt/directory.toml: holds a secret and is readable by group or others"
        ),
        "{called:?}"
    );
}

/// What is written by hand is never replaced, by whatever name.
#[sandbox_test]
fn the_file_of_users_by_hand_is_never_the_synced_one() {
    let host = Host::with("synced_users_file = \"/etc/ivalt/other/users.toml\"\n");
    symlink(".", host.path("etc/ivalt/other")).unwrap();
    host.refused(&["-"], FIRST, "/etc/ivalt/other/users.toml: is the same file as users_file, /etc/ivalt/users.toml, and a sync \
        would replace what is written by hand; nothing was changed; name another file in synced_users_file");
}

#[sandbox_test]
fn nobody_is_never_believed() {
    let host = Host::synced(FIRST);
    for words in [&["-"][..], &["-", "--accept-losses"]] {
        host.refused(
            words,
            "name,mobile\n",
            "nobody was found who can be enrolled; a group that does not exist and an account \
            that may not read answer like that, so this is never believed; nothing was changed",
        );
    }
    host.refused(&["-"], "", "standard input: is empty; nothing was changed");
}

#[sandbox_test]
fn losses_are_refused_until_they_are_accepted() {
    let host = Host::synced(FIRST);
    let rest = "bob,+14155550101,no\n";
    for words in [&["-"][..], &["-", "--dry-run"]] {
        let (called, lines) = host.sync(words, rest);
        assert_eq!(
            (called.status, called.stderr.as_str()),
            (
                1,
                "ivaltctl: 2 of the 2 users who were enabled in the last 24 hours \
            would no longer be (100 %; guard.lose_percent is 10): alice, bob; nothing was changed; if all of them are meant to \
            go: ivaltctl users sync - --accept-losses\n"
            )
        );
        assert_eq!(lines.len(), 2 - words.len());
    }
    host.done(&["-", "--accept-losses"], rest);
    assert_eq!(
        host.users(),
        "bob = { mobile = \"+14155550101\", enabled = false }\n"
    );
    let host = Host::synced(FIRST);
    host.directory("[guard]\nlose_percent = 100\n");
    host.done(&["-"], rest);
}

/// Recovery codes were made for whoever had the old phone.
#[sandbox_test]
fn an_accepted_mobile_takes_the_recovery_codes_along() {
    let host = Host::with(&format!("{SETTINGS}[recovery]\ncodes = true\n"));
    host.done(&["-"], FIRST);
    let codes = |name: &str| {
        let folder = host.path(&format!("lib/ivalt/recovery/user-{name}"));
        fs::read_dir(folder).map_or(0, |found| {
            found
                .filter(|file| {
                    file.as_ref()
                        .unwrap()
                        .file_name()
                        .to_str()
                        .unwrap()
                        .starts_with("code-")
                })
                .count()
        })
    };
    let (alice, bob) = (
        host.path("lib/ivalt/recovery/user-alice"),
        host.path("lib/ivalt/recovery/user-bob"),
    );
    for folder in [&alice, &bob] {
        fs::create_dir_all(folder).unwrap();
        for folder in [folder.parent().unwrap(), folder] {
            fs::set_permissions(folder, fs::Permissions::from_mode(0o700)).unwrap();
        }
        let code = folder.join(format!("code-{}", "0".repeat(64)));
        support::write_file(&code, "number=1\nmade=1\nexpires=never\n", 0o600);
    }
    let changed = "alice,+14155550199\nbob,+14155550101\n\"first.last\",+14155550102,no\n";
    let said = host.json(&["-"], changed);
    assert_eq!(
        (&said["held"], &said["changed"]),
        (&json!(["alice"]), &json!(false))
    );
    assert_eq!(codes("alice"), 1);
    host.json(&["-", "--accept-changes", "alice", "--dry-run"], changed);
    assert_eq!(codes("alice"), 1);
    let (called, lines) = host.sync(
        &["-", "--accept-changes", "alice", "--accept-changes", "bob"],
        changed,
    );
    assert_eq!(
        called.stdout,
        "in step with standard input: 1 changed, 2 unchanged\nchanged mobile: alice\nbob: no changed mobile is held\n"
    );
    assert!(
        lines[1].contains("users sync user=alice change=mobile mobile=***0199 by="),
        "{lines:?}"
    );
    assert_eq!((codes("alice"), codes("bob")), (0, 1));
    // Nobody gets those of somebody who had the name before.
    fs::create_dir_all(host.path("lib/ivalt/recovery/user-carol")).unwrap();
    fs::rename(
        bob.join(format!("code-{}", "0".repeat(64))),
        host.path(&format!(
            "lib/ivalt/recovery/user-carol/code-{}",
            "0".repeat(64)
        )),
    )
    .unwrap();
    let said = host.json(&["-"], &format!("{changed}carol,+14155550103\n"));
    assert_eq!(
        (&said["problems"], &said["added"]),
        (&json!(["carol"]), &json!([]))
    );
    fs::write(
        host.path("etc/ivalt/users.toml"),
        "[users]\ncarol = '+14155550103'\n",
    )
    .unwrap();
    let said = host.json(&["-"], &format!("{changed}carol,+14155550103\n"));
    assert_eq!(
        (&said["problems"], &said["added"]),
        (&json!([]), &json!(["carol"]))
    );
}

#[sandbox_test]
fn changed_mobiles_are_applied_where_the_settings_say_so() {
    let host = Host::synced(FIRST);
    host.directory("[guard]\nchanged_mobiles = \"apply\"\n");
    let said = host.json(
        &["-"],
        "alice,+14155550199\nbob,+14155550101\n\"first.last\",+14155550102,no\n",
    );
    assert_eq!(
        (&said["held"], &said["accepted"]),
        (&json!([]), &json!(["alice"]))
    );
    assert!(host.users().starts_with("alice = \"+14155550199\"\n"));
}

#[sandbox_test]
fn leavers_stay_disabled_where_others_are_not_asked() {
    let host = Host::with(&format!("{SETTINGS}[policy]\nunenrolled = \"ignore\"\n"));
    host.done(&["-"], FIRST);
    let said = host.json(&["-"], "bob,+14155550101\n\"first.last\",+14155550102\n");
    assert_eq!(
        (&said["disabled"], &said["removed"]),
        (&json!(["alice"]), &json!([]))
    );
    assert!(
        host.users()
            .starts_with("alice = { mobile = \"+14155550100\", enabled = false }\n")
    );
}

#[sandbox_test]
fn local_accounts_only_where_they_are_listed() {
    let host = Host::new();
    let rows = "Backup,+14155550109\nbackup,+14155550110\nalice,+14155550100\n";
    let said = host.json(&["-"], rows);
    assert_eq!(
        (&said["problems"], &said["added"]),
        (&json!(["Backup", "backup"]), &json!(["alice"]))
    );
    host.directory("[guard]\nlocal_accounts = [\"backup\"]\n");
    let said = host.json(&["-"], rows);
    assert_eq!(
        (&said["problems"], &said["added"]),
        (&json!(["Backup"]), &json!(["backup"]))
    );
    fs::remove_file(host.path("etc/passwd")).unwrap();
    let (called, _) = host.sync(&["-"], rows);
    assert_eq!(
        (
            called.status,
            called
                .stderr
                .starts_with("ivaltctl: /etc/passwd: cannot be read: No such file")
        ),
        (1, true),
        "{called:?}"
    );
}

/// A file that was cut off while it was copied.
#[sandbox_test]
fn a_csv_file_that_is_cut_off() {
    let rows = "name,mobile,enabled\nalice,+14155550100,true\nbob,+14155550101,false\n";
    let host = Host::synced(rows);
    let bob = "bob = { mobile = \"+14155550101\", enabled = false }\n";
    // Everybody behind a row that is no whole one would be gone.
    let last = rows.rfind(',').unwrap();
    for end in rows.find("bob").unwrap() + 1..=last {
        let refused = "standard input:3: is the end of the file and no whole row: the file is cut off; write or copy it again; \
                       nothing was changed";
        host.refused(&["-"], &rows[..end], refused);
    }
    for end in last + 1..rows.len() - 1 {
        let (called, _) = host.sync(&["-"], &rows[..end]);
        assert_eq!(called.status, 0, "{end} {called:?}");
        assert!(host.users().ends_with(bob), "{end}: {}", host.users());
    }
    // As programs write it that leave out what is empty.
    host.done(
        &["-"],
        "name,mobile,enabled\nbob,+14155550101\nalice,+14155550100,true\n",
    );
    assert!(host.users().ends_with(bob), "{}", host.users());
    host.refused(&["-"], "name,mobile\nalice,+14155550100\nbob,\"+14155550101\ncarol,+14155550102\n", "standard input:3: has an odd number \
        of quotation marks, so that its end is not clear; a quotation mark in a value is written twice; nothing was changed");
}

/// Never a way past the guards, and always one to go on.
#[sandbox_test]
fn damaged_files_are_refused_with_what_helps() {
    let host = Host::synced(FIRST);
    let memory = fs::read(host.memory()).unwrap();
    fs::write(host.memory(), &memory[..memory.len() - 30]).unwrap();
    let (called, _) = host.sync(&["-"], FIRST);
    assert_eq!(called.status, 1);
    let begin = "ivaltctl: /var/lib/ivalt/sync/etc%2fivalt%2fsynced.toml: is damaged (";
    let end = "); nothing was changed; restore it from a backup; without one: mv '/var/lib/ivalt/sync/etc%2fivalt%2fsynced.toml' \
               '/var/lib/ivalt/sync/etc%2fivalt%2fsynced.toml'.damaged, and then whoever is gone and comes back with another \
               mobile is let in with that\n";
    assert!(
        called.stderr.starts_with(begin) && called.stderr.ends_with(end),
        "{called:?}"
    );
    fs::write(host.memory(), &memory).unwrap();
    let text = fs::read_to_string(host.file()).unwrap();
    for (text, end) in [
        (
            text.replace("0101\"", "0101"),
            "mend it, or move it away, and the next sync writes it anew: mv /etc/ivalt/synced.toml \
             /etc/ivalt/synced.toml.damaged\n",
        ),
        (
            "[api]\nkey = \"k\"\n".to_owned(),
            "no sync has written it: mend it, or name another file in synced_users_file\n",
        ),
    ] {
        fs::write(host.file(), text).unwrap();
        let (called, _) = host.sync(&["-"], FIRST);
        assert_eq!(called.status, 1, "{called:?}");
        let end = format!("; nothing was changed; {end}");
        assert!(called.stderr.ends_with(&end), "{called:?}");
    }
    fs::remove_file(host.file()).unwrap();
    // All of them are remembered: nobody is lost, and nobody gets in by another mobile.
    let twice = "alice,+14155550100\n\"first.last\",+14155550102\nbob,+14155550101,no\nalice,+14155550100\n";
    host.refused(
        &["-"],
        twice,
        "2 of the 2 users who were enabled in the last 24 hours would no longer be (100 %; guard.lose_percent is 10): \
         alice, bob; nothing was changed; if all of them are meant to go: ivaltctl users sync - --accept-losses",
    );
    let said = host.json(&["-"], &FIRST.replace("0101", "0199"));
    assert_eq!(
        (&said["added"], &said["held"]),
        (&json!(["alice", "first.last"]), &json!(["bob"]))
    );
}

#[sandbox_test]
fn state_that_others_may_write_is_refused() {
    for name in [
        "lib/ivalt",
        "lib/ivalt/sync",
        "lib/ivalt/sync/etc%2fivalt%2fsynced.toml",
        "etc/ivalt/synced.toml",
    ] {
        let host = Host::synced(FIRST);
        let path = host.path(name);
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode | 0o022)).unwrap();
        let (called, _) = host.sync(
            &["-"],
            "alice,+14155550199\nbob,+14155550101\ncarol,+14155550102\n",
        );
        assert_eq!(called.status, 1, "{name} {called:?}");
        assert!(
            called.stderr.contains(&format!(
                "ivaltctl: /{}: ",
                name.replace("lib/", "var/lib/")
            )),
            "{name} {called:?}"
        );
        assert!(
            host.users().starts_with("alice = \"+14155550100\"\nbob"),
            "{name}"
        );
    }
}

/// To be pasted for one, it would let the changed mobiles of all in.
#[sandbox_test]
fn a_user_called_all_is_not_everybody() {
    let host = Host::synced("all,+14155550100\nalice,+14155550101\nbob,+14155550102\n");
    let changed = "all,+14155550109\nalice,+14155550108\nbob,+14155550102\n";
    let (called, _) = host.sync(&["-"], changed);
    assert_eq!(called.status, 0, "{called:?}");
    for sentence in [
        "all: held: the mobile is ***0109 now and was ***0100; the old one stays; ask all, not by that number, and if it is theirs: \
         ivaltctl users add all MOBILE\n",
        "if it is theirs: ivaltctl users sync - --accept-changes alice\n",
    ] {
        let said = called.stdout.clone() + &called.stderr;
        assert!(said.contains(sentence), "{said}");
    }
}
