//! Root's login by ssh, where sshd keeps root's answers from PAM.

use super::{Change, Fault, SSHD, System, USERS, all_give, nothing};
use crate::tool::ivaltctl;

const KEYS: &str = "root/.ssh/authorized_keys";
const BARRED: &[&str] = &["warning root-barred-by-sshd /etc/ssh/sshd_config"];
const ENROLLED: &str = "root = \"+14155550102\"\n";
const KEY_AND_IVALT: &str = "AuthenticationMethods publickey,keyboard-interactive\n";

fn root_has_a_key(system: &System) -> &System {
    system.write(KEYS, "# mine\nssh-ed25519 AAAA root\n")
}

/// A system whose root has a key, with these lines at the end of its sshd_config.
fn configured<'a>(system: &'a System, lines: &str) -> &'a System {
    root_has_a_key(system).append(SSHD, lines)
}

#[test]
fn root_is_barred_where_sshd_takes_no_answer_of_roots() {
    let faults: [Fault; 5] = [
        ("by default", root_has_a_key, BARRED, nothing),
        (
            "as Debian's file has it",
            |s| configured(s, "PermitRootLogin prohibit-password\n"),
            &["warning root-barred-by-sshd /etc/ssh/sshd_config:6"],
            |s| configured(s, "PermitRootLogin yes\n").append(USERS, ENROLLED),
        ),
        (
            "by the older word, and enrolled",
            |s| configured(s, "PermitRootLogin Without-Password\n").append(USERS, ENROLLED),
            &["warning root-barred-by-sshd /etc/ssh/sshd_config:6"],
            |s| configured(s, "PermitRootLogin no\n"),
        ),
        (
            "by its commands",
            |s| configured(s, "PermitRootLogin forced-commands-only\n"),
            &["warning root-barred-by-sshd /etc/ssh/sshd_config:6"],
            |s| s.write(KEYS, "# ssh-ed25519 AAAA root\n"),
        ),
        (
            "with another name",
            |s| {
                s.append("etc/shadow", "toor:*:1::::::\n")
                    .append("etc/passwd", "toor:x:0:0::/var/toor:/bin/sh\n")
                    .write("var/toor/.ssh/authorized_keys", "ssh-ed25519 AAAA root\n")
            },
            BARRED,
            |s| {
                s.append("etc/passwd", "toor:x:0:0::/var/toor:/usr/sbin/nologin\n")
                    .write("var/toor/.ssh/authorized_keys", "ssh-ed25519 AAAA root\n")
            },
        ),
    ];
    all_give(&faults);
}

/// A block that root may be in, and that has a way in for root, is a way in; whether the key alone is one is said elsewhere.
#[test]
fn blocks_that_root_may_be_in() {
    let bypass = "lets-in sshd-methods-bypass /etc/ssh/sshd_config:7";
    let barred = "warning root-barred-by-sshd /etc/ssh/sshd_config";
    let barred_in_block = "warning root-barred-by-sshd /etc/ssh/sshd_config:7";
    let not_enrolled = "warning sshd-root-not-enrolled /etc/ssh/sshd_config:7";
    for (lines, expected) in [
        (
            "Match User root\nAuthenticationMethods publickey\n",
            &[bypass][..],
        ),
        (
            "Match User r?ot,!admin\nAuthenticationMethods publickey\n",
            &[bypass],
        ),
        (
            "Match User *,!root\nAuthenticationMethods publickey\n",
            &[bypass, barred],
        ),
        (
            "Match User Root\nAuthenticationMethods publickey\n",
            &[bypass, barred],
        ),
        (
            "Match User alice\nAuthenticationMethods publickey\n",
            &[bypass, barred],
        ),
        (
            "Match Group root\nAuthenticationMethods publickey\n",
            &[bypass],
        ),
        (
            "Match Group sudo\nAuthenticationMethods publickey\n",
            &[bypass, barred],
        ),
        (
            "Match Address 10.0.0.0/8\nAuthenticationMethods publickey\n",
            &[bypass],
        ),
        (
            "Match User bob Address 10.0.0.0/8\nAuthenticationMethods publickey\n",
            &[bypass, barred],
        ),
        (
            "Match Address 10.0.0.0/8\nPermitRootLogin yes\n",
            &[not_enrolled],
        ),
        ("Match Address 10.0.0.0/8\nPermitRootLogin no\n", &[barred]),
        ("Match User root\nPermitRootLogin yes\n", &[not_enrolled]),
        ("Match User root\nPermitRootLogin no\n", &[]),
        (
            "Match User root\nPermitRootLogin prohibit-password\n",
            &[barred_in_block],
        ),
    ] {
        let system = System::healthy();
        configured(&system, lines).check().gives(lines, expected);
    }
}

/// Without a list, the key alone gets in; without PAM, sshd asks nobody.
#[test]
fn where_pam_is_not_asked_root_is_not_barred() {
    let system = System::healthy();
    root_has_a_key(&system).replace(
        SSHD,
        "AuthenticationMethods publickey,keyboard-interactive keyboard-interactive\n",
        "",
    );
    let skips = "lets-in sshd-key-skips /etc/ssh/sshd_config";
    system.check().gives("no lists", &[skips]);
    let system = System::healthy();
    root_has_a_key(&system).replace(SSHD, "UsePAM yes", "UsePAM no");
    let off = "lets-in sshd-pam-off /etc/ssh/sshd_config:2";
    system.check().gives("no PAM", &[off]);
}

/// What is offered, and what is found once it is written.
#[test]
fn each_choice_of_the_fix_does_what_it_says() {
    let fault = |system: &System| {
        root_has_a_key(system);
        let checked = system.check();
        checked.gives("barred", BARRED);
        checked.findings()[0].clone()
    };
    let system = System::healthy();
    let found = fault(&system);
    assert_eq!(
        found["what"],
        "PermitRootLogin prohibit-password: sshd keeps the answers of root from PAM, and each list of \
         AuthenticationMethods asks PAM: root, who has a key, does not get in by ssh, whatever the key and the token, \
         enrolled or not (as its files say; sshd -T was not run)"
    );
    assert_eq!(
        found["fix"],
        "log in as another user, and use sudo; then accept this: ivaltctl check --accept root-barred-by-sshd --because \
         TEXT\nor, for root with key and token: ivaltctl users add root MOBILE; write at the end of \
         /etc/ssh/sshd_config, then: sshd -t && { systemctl reload ssh || systemctl reload sshd; }\nMatch User root\n    \
         PermitRootLogin yes\n    AuthenticationMethods publickey,keyboard-interactive\nor, in place of these two lines, \
         AuthenticationMethods publickey: then the key is the only factor, and whoever has it is root without iVALT"
    );
    let block = "Match User root\n    PermitRootLogin yes\n";
    system.append(SSHD, &format!("{block}    {KEY_AND_IVALT}"));
    let not_enrolled = ["warning sshd-root-not-enrolled /etc/ssh/sshd_config:7"];
    system.check().gives("not enrolled yet", &not_enrolled);
    system
        .append(USERS, ENROLLED)
        .check()
        .gives("enrolled", &[]);
    let system = System::healthy();
    fault(&system);
    system.append(
        SSHD,
        "Match User root\n    AuthenticationMethods publickey\n",
    );
    let bypass = ["lets-in sshd-methods-bypass /etc/ssh/sshd_config:7"];
    system.check().gives("the key alone", &bypass);
}

/// The first block that sets a value counts, and a package's file is not edited.
#[test]
fn the_block_of_the_fix_is_written_where_it_counts() {
    let place = |change: Change| {
        let system = System::healthy();
        change(root_has_a_key(&system));
        let report = system.check().report;
        let found = &report["findings"][0];
        assert_eq!(found["id"], "root-barred-by-sshd");
        let (_, rest) = found["fix"]
            .as_str()
            .unwrap()
            .split_once("; write ")
            .unwrap();
        rest.split_once(", then: ").unwrap().0.to_owned()
    };
    assert_eq!(
        place(|s| s.write(
            "etc/ssh/sshd_config.d/50-empty.conf",
            "PermitRootLogin prohibit-password\n"
        )),
        "at the end of /etc/ssh/sshd_config"
    );
    assert_eq!(
        place(|s| s.write(
            "etc/ssh/sshd_config.d/50-empty.conf",
            "Match User root\nPermitRootLogin prohibit-password\n"
        )),
        "in /etc/ssh/sshd_config.d/50-empty.conf, above every other Match"
    );
    assert_eq!(
        place(|s| {
            let text = std::fs::read_to_string(s.path(SSHD)).unwrap();
            s.remove(SSHD).write("usr/etc/ssh/sshd_config", &text)
        }),
        "in /etc/ssh/sshd_config.d/00-local.conf"
    );
}

/// `enable sshd` says so before it asks, and writes all the same.
#[test]
fn enable_shows_it_and_is_not_stopped() {
    let system = System::healthy();
    system.write("etc/pam.d/sshd", "auth requisite pam_unix.so\n");
    let stock =
        "Include /etc/ssh/sshd_config.d/*.conf\nKbdInteractiveAuthentication no\nUsePAM yes\n";
    root_has_a_key(&system).write(SSHD, stock);
    let folder = system.path("");
    let words = ["enable", "sshd", "--root", folder.to_str().unwrap()];
    let asked = ivaltctl(&words);
    let shown = asked
        .stdout
        .find("warning /etc/ssh/sshd_config [root-barred-by-sshd]");
    let question = asked.stdout.find("Apply this change?");
    assert!(shown.is_some(), "{asked:?}");
    assert!(
        question.is_none_or(|question| shown < Some(question)),
        "{asked:?}"
    );
    let done = ivaltctl(&[&words[..], &["--yes"]].concat());
    assert_eq!(done.status, 0, "{done:?}");
    system.check().gives("enabled", BARRED);
}

/// Where sshd takes none of root's answers, root need not be enrolled for it.
#[test]
fn root_is_not_to_be_enrolled_for_an_sshd_that_takes_no_answer() {
    let found = |change: Change| {
        let system = System::healthy();
        system.replace("etc/shadow", "root:*", "root:$y$x");
        let report = change(&system).check().report;
        let findings = report["findings"].as_array().unwrap().iter();
        let of_root = findings.filter(|found| found["id"] == "privileged-not-enrolled");
        of_root
            .map(|found| found["what"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    let none: [&str; 0] = [];
    let cannot = |services| {
        [format!(
            "root is privileged and not enrolled, and cannot log in through {services}"
        )]
    };
    assert_eq!(found(nothing), cannot("sudo, sudo-i"));
    assert_eq!(
        found(|s| s.append(SSHD, "PermitRootLogin no\n")),
        cannot("sudo, sudo-i")
    );
    assert_eq!(
        found(|s| s.append(SSHD, "PermitRootLogin yes\n")),
        cannot("sshd, sudo, sudo-i")
    );
    assert_eq!(
        found(|s| s.append(SSHD, "Match Address 10.0.0.0/8\nPermitRootLogin yes\n")),
        cannot("sshd, sudo, sudo-i")
    );
    let without_sudo: Change = |s| {
        s.write("etc/pam.d/sudo", "@include common-auth\n")
            .write("etc/pam.d/sudo-i", "@include common-auth\n")
    };
    assert_eq!(found(without_sudo), none);
}

/// What `PermitRootLogin` says is about root alone.
#[test]
fn others_are_to_be_enrolled_for_sshd_whatever_it_says_of_root() {
    let system = System::healthy();
    system
        .append(SSHD, "PermitRootLogin no\n")
        .replace(USERS, "alice", "carol");
    let report = system.check().report;
    let mut findings = report["findings"].as_array().unwrap().iter();
    let found = findings.find(|found| found["id"] == "privileged-not-enrolled");
    assert_eq!(
        found.unwrap()["what"],
        "alice is privileged and not enrolled, and cannot log in through sshd, sudo, sudo-i"
    );
}

/// Root alone is enrolled; its answers do not come through.
#[test]
fn root_is_nobody_who_gets_in_where_sshd_keeps_its_answers() {
    let only_root = |lines: &str| {
        let system = System::healthy();
        system
            .write(USERS, &format!("[users]\n{ENROLLED}"))
            .replace("etc/shadow", "root:*", "root:$y$x");
        configured(&system, lines);
        let checked = system.check();
        let nobody = |found: &&serde_json::Value| found["id"] == "sshd-nobody-gets-in";
        checked.findings().iter().find(nobody).cloned()
    };
    let found = only_root("PermitRootLogin prohibit-password\n").unwrap();
    assert_eq!(found["severity"], "locks-out");
    assert_eq!(
        found["what"],
        "no enrolled account gets in by ssh: keyboard-interactive asks PAM, and sshd keeps root's answers from it \
         (PermitRootLogin); publickey,keyboard-interactive asks PAM, and sshd keeps root's answers from it \
         (PermitRootLogin) (as its files say; sshd -T was not run)"
    );
    assert_eq!(
        found["fix"],
        "before anything else, enrol an account that is not root's, which logs in and uses sudo: ivaltctl users add NAME \
         MOBILE"
    );
    for way_in in [
        "PermitRootLogin yes\n",
        "Match User root\nPermitRootLogin yes\n",
        "Match Address 10.0.0.0/8\nPermitRootLogin yes\n",
    ] {
        assert_eq!(only_root(way_in), None, "{way_in}");
    }
    // Bob, who has no key, and root, who has one: neither.
    let system = System::healthy();
    system
        .write(
            USERS,
            &format!("[users]\nbob = \"+14155550101\"\n{ENROLLED}"),
        )
        .write("home/bob/.profile", "#\n");
    configured(&system, "").replace(
        SSHD,
        "publickey,keyboard-interactive keyboard-interactive",
        "publickey,keyboard-interactive",
    );
    let checked = system.check();
    let mut findings = checked.findings().iter();
    let found = findings.find(|found| found["id"] == "sshd-nobody-gets-in");
    assert_eq!(
        found.unwrap()["what"],
        "no enrolled account gets in by ssh: publickey,keyboard-interactive needs a key, which none has (as its files say; \
         sshd -T was not run)"
    );
}
