//! What an acceptance holds for, on systems below a folder; tests/e2e/check.sh has the machine itself.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;

const CONFIG: &str = "/etc/ivalt/ivalt.toml";
const SSHD: &str = "/etc/ssh/sshd_config";
const USERS: &str = "/etc/ivalt/users.toml";
const PASSWD: &str = "/etc/passwd";
const LOGIN: &str = "auth required pam_unix.so\nauth required pam_ivalt.so\n";

/// sshd and sudo ask iVALT; warnings and let-ins of different origin.
const FILES: [(&str, &str); 13] = [
    (CONFIG, "[api]\nkey = \"K\"\n"),
    (
        USERS,
        "[users]\nroot = \"+14155550109\"\nalice = \"+14155550100\"\nbob = \"+14155550100\"\n",
    ),
    (
        PASSWD,
        "root:x:0:0::/root:/bin/sh\nalice:x:1000:1000::/home/alice:/bin/sh\n\
         bob:x:1001:1001::/home/bob:/bin/sh\ncarol:x:1002:1002::/home/carol:/bin/sh\n\
         dave:x:1003:1003::/home/dave:/bin/sh\n",
    ),
    ("/etc/group", "sudo:x:27:alice,carol\nusers:x:100:\n"),
    (
        "/etc/sudoers",
        "%sudo ALL=(ALL) ALL\n@includedir /etc/sudoers.d\n",
    ),
    (
        "/etc/sudoers.d/backup",
        "bob, %backup ALL=(ALL) NOPASSWD: /usr/bin/rsync\n",
    ),
    ("/etc/pam.d/sshd", LOGIN),
    (
        "/etc/pam.d/sudo",
        "auth required pam_unix.so\nauth required pam_ivalt.so\n\
         account required pam_unix.so\naccount required pam_ivalt.so\n",
    ),
    ("/etc/os-release", "ID=debian\n"),
    ("/usr/sbin/sshd", "OpenSSH_9.2p1"),
    ("/etc/pam.d/cron", "auth required pam_permit.so\n"),
    (
        SSHD,
        "Include /etc/ssh/sshd_config.d/*.conf\nUsePAM yes\nKbdInteractiveAuthentication yes\n\
         PasswordAuthentication no\n",
    ),
    (
        "/etc/ssh/sshd_config.d/50-sftp.conf",
        "Match Group sftponly\n\tAuthenticationMethods publickey\n",
    ),
];

struct System {
    dir: TempDir,
    root: Root,
}

impl System {
    fn new() -> Self {
        let dir = TempDir::new().unwrap();
        let root = Root::new(dir.path());
        let system = Self { dir, root };
        for (path, text) in FILES {
            system.write(path, text);
        }
        for name in ["alice", "bob", "carol", "dave"] {
            system.write(
                &format!("/home/{name}/.ssh/authorized_keys"),
                "ssh-ed25519 A\n",
            );
        }
        system
    }

    fn path(&self, path: &str) -> PathBuf {
        self.dir.path().join(path.trim_start_matches('/'))
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    }

    fn append(&self, path: &str, text: &str) {
        let before = fs::read_to_string(self.path(path)).unwrap_or_default();
        self.write(path, &(before + text));
    }

    fn replace(&self, path: &str, from: &str, to: &str) {
        let before = fs::read_to_string(self.path(path)).unwrap();
        assert!(before.contains(from), "{path}: {from}");
        self.write(path, &before.replace(from, to));
    }

    fn findings(&self) -> Vec<Finding> {
        super::super::unmarked(&self.root, Path::new(CONFIG))
    }

    /// All that is found, accepted.
    fn records(&self) -> Vec<Record> {
        let found = self.findings();
        let possible = found.iter().filter(|finding| record::is_possible(finding));
        possible
            .map(|finding| Record::new(finding, "alice", "2026-11-26T06:20:00Z", "meant"))
            .collect()
    }

    /// What counts now, with what has changed.
    fn counting(&self, records: &[Record]) -> Vec<String> {
        let mut found = self.findings();
        mark_with(records, false, &mut found);
        let counting = found.iter().filter(|finding| finding.counts());
        let line = |finding: &Finding| {
            let outdated = finding.acceptance.no_longer_accepted.as_ref();
            let changed = outdated.map_or("new".to_owned(), |outdated| outdated.changed.join(", "));
            format!("{}: {changed}", finding.id)
        };
        let mut lines: Vec<_> = counting.map(line).collect();
        lines.sort();
        lines
    }
}

/// Everything is accepted; then something is done, and this counts again.
#[track_caller]
fn counts_again(act: impl FnOnce(&System), expected: &[&str]) {
    let system = System::new();
    let records = system.records();
    assert_eq!(system.counting(&records), [""; 0]);
    act(&system);
    assert_eq!(system.counting(&records), expected);
}

#[test]
fn the_system_has_findings_of_every_origin() {
    let mut ids: Vec<_> = System::new()
        .findings()
        .iter()
        .map(|found| found.id)
        .collect();
    ids.sort_unstable();
    let expected = [
        "account-line",
        "privileged-not-enrolled",
        "shared-mobile",
        "sshd-key-skips",
        "sshd-methods-bypass",
        "sudo-nopasswd",
    ];
    assert_eq!(ids, expected);
}

#[test]
fn what_no_finding_came_from_changes_nothing() {
    counts_again(
        |system| {
            system.append("/etc/hosts", "127.0.0.1 localhost\n");
            system.append("/etc/pam.d/cron", "# a comment\n");
            system.write("/etc/pam.d/new", "auth required pam_permit.so\n");
            system.write("/etc/ssh/sshd_config.d/not-included", "Port 23\n");
            system.write("/etc/ssh/ssh_config", "Port 23\n");
            system.append("/etc/os-release", "VERSION_ID=13\n");
            system.append("/usr/sbin/sshd", "\nOpenSSH_9.2p2");
        },
        &[],
    );
}

#[test]
fn other_people_change_nothing() {
    counts_again(
        |system| {
            system.append(PASSWD, "erin:x:1004:1004::/home/erin:/bin/sh\n");
            system.append(USERS, "erin = \"+14155550104\"\n");
            system.append("/etc/group", "staff:x:50:erin\n");
            system.append("/etc/shadow", "erin:$y$x:1::::::\n");
        },
        &[],
    );
}

#[test]
fn every_byte_of_a_file_it_came_from_counts() {
    counts_again(
        |system| system.append(SSHD, "#"),
        &[
            "sshd-key-skips: /etc/ssh/sshd_config has changed",
            "sshd-methods-bypass: /etc/ssh/sshd_config has changed",
        ],
    );
    // The stack of sshd decides whether it is asked about at all.
    counts_again(
        |system| system.append("/etc/pam.d/sshd", "#"),
        &[
            "privileged-not-enrolled: /etc/pam.d/sshd has changed",
            "sshd-key-skips: /etc/pam.d/sshd has changed",
            "sshd-methods-bypass: /etc/pam.d/sshd has changed",
        ],
    );
    counts_again(
        |system| system.append("/etc/pam.d/sudo", "#"),
        &[
            "account-line: /etc/pam.d/sudo has changed",
            "privileged-not-enrolled: /etc/pam.d/sudo has changed",
            "sudo-nopasswd: /etc/pam.d/sudo has changed",
        ],
    );
    counts_again(
        |system| system.append("/etc/sudoers.d/backup", "#"),
        &[
            "privileged-not-enrolled: /etc/sudoers.d/backup has changed",
            "sudo-nopasswd: /etc/sudoers.d/backup has changed",
        ],
    );
    counts_again(
        |system| system.append(CONFIG, "#"),
        &[
            "account-line: /etc/ivalt/ivalt.toml has changed",
            "privileged-not-enrolled: /etc/ivalt/ivalt.toml has changed",
            "shared-mobile: /etc/ivalt/ivalt.toml has changed",
        ],
    );
}

#[test]
fn a_file_that_comes_or_goes_counts() {
    counts_again(
        |system| system.write("/etc/ssh/sshd_config.d/90-new.conf", ""),
        &[
            "sshd-key-skips: /etc/ssh/sshd_config.d/90-new.conf is new",
            "sshd-methods-bypass: /etc/ssh/sshd_config.d/90-new.conf is new",
        ],
    );
    counts_again(
        |system| system.write("/etc/sudoers.d/new", ""),
        &[
            "privileged-not-enrolled: /etc/sudoers.d/new is new",
            "sudo-nopasswd: /etc/sudoers.d/new is new",
        ],
    );
    counts_again(
        |system| fs::remove_file(system.path("/etc/ssh/sshd_config.d/50-sftp.conf")).unwrap(),
        &["sshd-key-skips: /etc/ssh/sshd_config.d/50-sftp.conf is gone"],
    );
}

#[test]
fn another_person_counts_also_where_the_text_is_the_same() {
    counts_again(
        |system| {
            system.append(PASSWD, "zoe:x:1005:1005::/home/zoe:/bin/sh\n");
            system.write("/home/zoe/.ssh/authorized_keys", "ssh-ed25519 A\n");
        },
        &["sshd-key-skips: it concerns alice, bob, carol, dave, zoe, not alice, bob, carol, dave"],
    );
    // A finding of its own.
    counts_again(
        |system| system.replace("/etc/group", "alice,carol", "alice,carol,dave"),
        &["privileged-not-enrolled: new"],
    );
    counts_again(
        |system| system.append(USERS, "dave = \"+14155550100\"\n"),
        &["shared-mobile: its text has changed, it concerns alice, bob, dave, not alice, bob"],
    );
    // `Match Group sftponly`
    counts_again(
        |system| system.append("/etc/group", "sftponly:x:2000:carol\n"),
        &["sshd-methods-bypass: it concerns carol, not nobody by name"],
    );
    // `%backup` in sudoers
    counts_again(
        |system| system.append("/etc/group", "backup:x:34:alice\n"),
        &["sudo-nopasswd: it concerns alice, bob, not bob"],
    );
}

#[test]
fn its_text_counts() {
    counts_again(
        |system| system.replace("/etc/ssh/sshd_config.d/50-sftp.conf", "sftponly", "staff"),
        &[
            "sshd-key-skips: /etc/ssh/sshd_config.d/50-sftp.conf has changed",
            "sshd-methods-bypass: its text has changed, /etc/ssh/sshd_config.d/50-sftp.conf has changed",
        ],
    );
    let system = System::new();
    let found = &system.findings()[0];
    let record = Record::new(found, "alice", "now", "meant");
    let severity = Severity::LetsIn;
    let (what, fix) = (String::new(), String::new());
    for other in [
        Finding {
            severity,
            ..found.clone()
        },
        Finding {
            what,
            ..found.clone()
        },
        Finding {
            fix,
            ..found.clone()
        },
    ] {
        assert_eq!(record.changes(&other), ["its text has changed"]);
        assert!(!record.fits(&other));
    }
    let file = Some("/etc/x".into());
    assert!(!record.fits(&Finding {
        file,
        ..found.clone()
    }));
    assert!(!record.fits(&Finding {
        id: "x",
        ..found.clone()
    }));
    // Where bytes are the same, a line is; in files that list people it moves with every user.
    assert!(record.fits(&Finding {
        line: Some(9),
        ..found.clone()
    }));
}

/// A check that says nothing of people is derived from every byte of what it reads.
#[test]
fn a_finding_that_names_nobody_depends_on_files_of_people_too() {
    let system = System::new();
    let found = |concerns: Option<Vec<String>>| {
        let check = || {
            let _ = system
                .root
                .listing_people(|| system.root.read(Path::new(PASSWD)));
            let mut found = crate::check::context::finding(Severity::Warning, "x", SSHD, "", "");
            found.acceptance.concerns = concerns;
            vec![found]
        };
        with_own_files(&system.root, derived(&system.root, check)).remove(0)
    };
    let [named, unnamed] = [Some(vec![]), None].map(|concerns| {
        let found = found(concerns.clone());
        (Record::new(&found, "", "", ""), concerns)
    });
    system.append(PASSWD, "erin:x:1004:1004::/home/erin:/bin/sh\n");
    assert!(named.0.fits(&found(named.1)));
    assert_eq!(
        unnamed.0.changes(&found(unnamed.1)),
        ["/etc/passwd has changed"]
    );
    // The file it is about is one of those that count, whether or not it was read.
    system.append(SSHD, "#");
    assert_eq!(
        named.0.changes(&found(Some(vec![]))),
        ["/etc/ssh/sshd_config has changed"]
    );
}

#[test]
fn what_is_unreadable_or_not_understood_cannot_be_accepted() {
    let system = System::new();
    system.write(USERS, "[users]\nalice = 5\n");
    system.write(CONFIG, "[api]\n");
    for finding in system.findings() {
        let impossible = ["bad-entry", "settings-invalid"].contains(&finding.id);
        assert_eq!(record::is_possible(&finding), !impossible, "{finding:?}");
        // Nor by hand.
        let written = Record::new(&finding, "", "", "");
        assert_eq!(written.fits(&finding), !impossible, "{finding:?}");
    }
    // A loop of links, which root cannot read either.
    let system = System::new();
    let record = system
        .records()
        .into_iter()
        .find(|record| record.id() == "sudo-nopasswd");
    std::os::unix::fs::symlink("loop", system.path("/etc/sudoers.d/loop")).unwrap();
    let found = system.findings();
    let found = found
        .iter()
        .find(|finding| finding.id == "sudo-nopasswd")
        .unwrap();
    assert!(!record::is_possible(found), "{found:?}");
    assert!(!record.unwrap().fits(found));
}

/// `sshd -T` cannot be asked about what `enable` would do; afterwards it is.
#[test]
fn what_enable_would_do_is_what_was_done() {
    let system = System::new();
    let found = system.findings();
    let found = found
        .iter()
        .find(|finding| finding.id == "sshd-methods-bypass")
        .unwrap();
    let record = Record::new(found, "", "", "");
    assert!(found.what.ends_with(FROM_FILES_WORDS), "{}", found.what);
    let what = found.what.replace(FROM_FILES_WORDS, "");
    assert!(record.fits(&Finding {
        what,
        ..found.clone()
    }));
}

const FROM_FILES_WORDS: &str = " (as its files say; sshd -T was not run)";

#[test]
fn targets() {
    for (text, id, file) in [
        ("sshd-key-skips", "sshd-key-skips", None),
        (
            "bypassed:/etc/pam.d/a:b",
            "bypassed",
            Some("/etc/pam.d/a:b"),
        ),
    ] {
        let target: Target = text.parse().unwrap();
        assert_eq!(
            (target.id.as_str(), target.file.as_deref()),
            (id, file.map(Path::new))
        );
        assert_eq!(target.shown(), text);
    }
    for text in [
        "",
        "no-such-id",
        "sshd-key-skips ",
        "bypassed:",
        "bypassed:sudo",
        ":/etc",
    ] {
        assert!(text.parse::<Target>().is_err(), "{text}");
    }
    assert!(ids().count() > 80);
}

#[test]
fn a_file_of_another_form_accepts_nothing() {
    let good = record::text(&System::new().records());
    let path = Path::new(FILE);
    assert!(record::parse(path, good.as_bytes()).is_ok());
    for (bad, line) in [
        (good.clone() + "x", None),
        (good.replace("\nby = ", "\nwho = "), None),
        (good.replace("\nby = ", "\nuntil = \"\"\nby = "), None),
        (good.replace("[accepted.sources]", "[accepted.files]"), None),
        ("[[accepted]]\nid = \"selinux\"\n".to_owned(), Some(1)),
        ("accepted = 1\n".to_owned(), Some(1)),
        ("x = 1\n".to_owned(), Some(1)),
        ("# A comment\n\nx = 1\n".to_owned(), Some(3)),
    ] {
        let problem = record::parse(path, bad.as_bytes()).unwrap_err();
        assert_eq!(problem.kind, ProblemKind::Invalid);
        assert_eq!(problem.path.as_deref(), Some(path));
        assert!(line.is_none() || problem.line == line, "{problem:?}");
        let found = unusable(&problem);
        assert_eq!(
            (found.id, found.severity),
            ("acceptances-unusable", Severity::Warning)
        );
        assert!(!record::is_possible(&found));
    }
    assert!(record::parse(path, b"\xff").is_err());
}

/// Of several acceptances that hold no longer, the one that nearly does says the most.
#[test]
fn the_nearest_that_holds_no_longer_is_shown() {
    let system = System::new();
    let accepted = || {
        let mut found = system.findings().into_iter();
        let found = found.find(|finding| finding.id == "sudo-nopasswd").unwrap();
        Record::new(&found, "", "", "")
    };
    let first = accepted();
    system.append("/etc/sudoers", "#\n");
    let second = accepted();
    system.append("/etc/sudoers.d/backup", "#\n");
    for records in [[first.clone(), second.clone()], [second, first.clone()]] {
        let mut found = system.findings();
        mark_with(&records, false, &mut found);
        let found = found.into_iter().find(|finding| first.is_about(finding));
        let outdated = found.unwrap().acceptance.no_longer_accepted.unwrap();
        assert_eq!(outdated.changed, ["/etc/sudoers.d/backup has changed"]);
    }
}

/// What is found says the rest: one list of people, none, several files.
#[test]
fn what_is_written_is_read() {
    let others = System::new().records();
    let what = prop_oneof![any::<String>(), Just("\u{7f}\0\"\\\n".to_owned())];
    proptest!(|(what in what, because: String, name: String)| {
        let found = crate::check::context::finding(Severity::LetsIn, "x", "/etc/x", what, "").concerning([name]);
        let mut records = vec![Record::new(&found, "alice", "now", &because)];
        records.extend(others.clone());
        let text = record::text(&records);
        prop_assert_eq!(record::parse(Path::new(FILE), text.as_bytes()).unwrap(), records);
    });
}
