//! users.toml, held against the accounts of the system.

use std::process::Command;

use super::{Checked, IVALT, System, USERS, all_give, nothing};
use support::ivaltctl_path;

#[test]
fn users_file() {
    all_give(&[
        (
            "missing",
            |s| s.remove(USERS),
            &["locks-out users-missing /etc/ivalt/users.toml"],
            nothing,
        ),
        (
            "writable",
            |s| s.mode(USERS, 0o660),
            &["locks-out users-untrusted /etc/ivalt/users.toml"],
            |s| s.mode(USERS, 0o400),
        ),
        (
            "readable",
            |s| s.mode(USERS, 0o644),
            &["warning users-readable /etc/ivalt/users.toml"],
            |s| s.mode(USERS, 0o640),
        ),
        (
            "not TOML",
            |s| s.append(USERS, "carol = \n"),
            &["locks-out users-invalid /etc/ivalt/users.toml:4"],
            nothing,
        ),
        (
            "not UTF-8",
            |s| s.write_bytes(USERS, b"[users]\n\n# \xff"),
            &["locks-out users-invalid /etc/ivalt/users.toml:3"],
            nothing,
        ),
        (
            "bad entry",
            |s| s.replace(USERS, "bob = \"+14155550101\"", "bob = \"4155550101\""),
            &["locks-out bad-entry /etc/ivalt/users.toml:3"],
            |s| {
                s.replace(USERS, "bob = \"+14155550101\"", "bob = \"4155550101\"");
                s.replace(USERS, "+14155550100", "4155550100")
                    .append(IVALT, "[token]\nmobile_format = \"national\"\n");
                s
            },
        ),
        (
            "unquoted dots",
            |s| s.append(USERS, "first.last = \"+14155550102\"\n"),
            &["locks-out bad-entry /etc/ivalt/users.toml:4"],
            |s| {
                s.append(USERS, "\"first.last\" = \"+14155550102\"\n");
                s.append("etc/passwd", "first.last:x:1002:1002::/home/f:/bin/sh\n");
                s
            },
        ),
        (
            "twice",
            |s| s.append(USERS, "bob = \"+14155550102\"\n"),
            &["locks-out name-twice /etc/ivalt/users.toml:4"],
            nothing,
        ),
        (
            "no account",
            |s| s.append(USERS, "carol = \"+14155550102\"\n"),
            &["warning unknown-account /etc/ivalt/users.toml"],
            |s| {
                s.append(USERS, "carol = \"+14155550102\"\n")
                    .append("etc/passwd", "carol:x:1002:1::/:/bin/sh\n");
                s
            },
        ),
        (
            "one mobile",
            |s| s.replace(USERS, "+14155550101", "+1 415 555-0100"),
            &["warning shared-mobile /etc/ivalt/users.toml"],
            nothing,
        ),
        (
            "two spellings",
            |s| {
                s.append(USERS, "\"CORP\\\\Bob@x\" = \"+14155550102\"\n")
                    .append("etc/passwd", "CORP\\Bob@x:x:1002:1::/:/bin/sh\n");
                s
            },
            &["warning name-spellings /etc/ivalt/users.toml"],
            |s| {
                s.append(USERS, "\"CORP\\\\Bobby@x\" = \"+14155550102\"\n")
                    .append("etc/passwd", "CORP\\Bobby@x:x:1002:1::/:/bin/sh\n");
                s
            },
        ),
    ]);
}

#[test]
fn users_not_enrolled() {
    all_give(&[
        (
            "nobody",
            |s| s.write(USERS, "[users]\n").write("etc/group", ""),
            &["locks-out nobody-enrolled /etc/ivalt/users.toml"],
            nothing,
        ),
        (
            "nobody, asked by nobody",
            |s| {
                s.write(USERS, "");
                for service in ["sshd", "sudo", "sudo-i"] {
                    s.remove(&format!("etc/pam.d/{service}"));
                }
                s
            },
            &["warning nobody-enrolled /etc/ivalt/users.toml"],
            nothing,
        ),
        (
            "all disabled",
            |s| {
                s.write(
                    USERS,
                    "[users]\nbob = { mobile = \"+14155550101\", enabled = false }\n",
                )
                .write("etc/group", "");
                s
            },
            &["locks-out nobody-enrolled /etc/ivalt/users.toml"],
            nothing,
        ),
        (
            "one of sudo",
            |s| {
                s.replace("etc/group", "sudo:x:27:alice", "sudo:x:27:alice,carol")
                    .append("etc/passwd", CAROL)
            },
            &["warning privileged-not-enrolled /etc/ivalt/users.toml"],
            |s| {
                s.replace("etc/group", "sudo:x:27:alice", "sudo:x:27:alice,carol")
                    .append("etc/passwd", CAROL);
                s.append(USERS, "carol = \"+14155550102\"\n");
                s
            },
        ),
        (
            "by her own group",
            |s| s.append("etc/passwd", "carol:x:1002:27::/home/carol:/bin/bash\n"),
            &["warning privileged-not-enrolled /etc/ivalt/users.toml"],
            |s| {
                s.append(
                    "etc/passwd",
                    "carol:x:1002:27::/home/carol:/usr/sbin/nologin\n",
                )
            },
        ),
        (
            "by name",
            |s| {
                s.append("etc/passwd", CAROL)
                    .write("etc/sudoers.d/carol", "carol ALL=(ALL) ALL\n")
            },
            &["warning privileged-not-enrolled /etc/ivalt/users.toml"],
            // sudo leaves names with dots out.
            |s| {
                s.append("etc/passwd", CAROL)
                    .write("etc/sudoers.d/carol.old", "carol ALL=(ALL) ALL\n")
            },
        ),
        (
            "root with a password",
            |s| s.replace("etc/shadow", "root:*", "root:$y$x"),
            &["warning privileged-not-enrolled /etc/ivalt/users.toml"],
            |s| {
                s.replace("etc/shadow", "root:*", "root:$y$x")
                    .append(USERS, "root = \"+14155550102\"\n")
            },
        ),
        (
            "none of them",
            |s| {
                s.replace("etc/group", "sudo:x:27:alice", "sudo:x:27:carol")
                    .append("etc/passwd", CAROL)
            },
            &[
                "locks-out no-administrator-enrolled /etc/ivalt/users.toml",
                "warning privileged-not-enrolled /etc/ivalt/users.toml",
            ],
            nothing,
        ),
    ]);
}

/// `users add` would be refused: she has an entry.
#[test]
fn the_fix_for_a_disabled_administrator_enables_her() {
    let system = System::healthy();
    system
        .replace("etc/group", "sudo:x:27:alice", "sudo:x:27:alice,carol")
        .append("etc/passwd", CAROL)
        .append(
            USERS,
            "carol = { mobile = \"+14155550102\", enabled = false }\n",
        );
    let checked = system.check();
    let found = &checked.report["findings"][0];
    assert_eq!(found["id"], "privileged-not-enrolled");
    assert_eq!(
        found["what"],
        "carol is privileged and disabled, and cannot log in through sshd, sudo, sudo-i"
    );
    assert_eq!(
        found["fix"],
        "if that is not intended: ivaltctl users enable carol"
    );
}

const CAROL: &str = "carol:x:1002:1002::/home/carol:/bin/bash\n";

/// A hundred thousand users, all of them wrong, are still counted in one walk: the limit is one of the processor's time,
/// whatever else it has to do.
#[test]
fn a_large_users_file() {
    let mut text = "[users]\n".to_owned();
    for number in 0..100_000 {
        text += &format!("u{number} = \"4155550100\"\n");
    }
    let system = System::healthy();
    system.write(USERS, &text).write("etc/group", "");
    let limited = "ulimit -t 60 && exec \"$0\" check --json --root \"$1\"";
    let mut shell = Command::new("sh");
    shell
        .args(["-c", limited])
        .arg(ivaltctl_path())
        .arg(system.path(""))
        .env_clear();
    let checked = Checked::of(&shell.output().unwrap());
    assert_eq!(checked.report["locks_out"], 100_001);
}
