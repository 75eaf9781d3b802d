//! Logins that are approved on the phone.

use std::fs;
use std::os::unix::fs::{chown, symlink};

use support::no_root;

use super::recovery::supplied;
use super::{IVALT, SSHD, System, USERS};

const PUSH: &str =
    "[push]\nenabled = true\naccept_unbound_approvals = true\nurl = \"https://api.ivalt.com\"\n";
const COMMON: &str = "etc/pam.d/common-auth";
const KEY_LINE: &str =
    "auth [success=done ignore=ignore default=die] pam_ivalt.so only_after=publickey\n";

/// A system in order, where Enter sends a request.
fn pushing() -> System {
    let system = supplied();
    system
        .append(IVALT, PUSH)
        .write(COMMON, "auth requisite pam_unix.so\n");
    system
}

/// With these services.
fn pushing_for(services: &str) -> System {
    let system = pushing();
    system.append(IVALT, &format!("services = [{services}]\n"));
    system
}

/// What the only finding says, and how to fix it.
#[track_caller]
fn only(system: &System, expected: &str) -> (String, String) {
    let checked = system.check();
    checked.gives(expected, &[expected]);
    let text = |key: &str| checked.findings()[0][key].as_str().unwrap().to_owned();
    (text("what"), text("fix"))
}

#[test]
fn push_in_order_is_no_finding() {
    pushing().check().gives("in order", &[]);
    // Off, whatever else is written.
    let system = pushing();
    system
        .replace(IVALT, "enabled = true", "enabled = false")
        .write(COMMON, "auth required pam_unix.so\n");
    system.check().gives("off", &[]);
}

const ANYBODY: &str = "lets-in push-by-anybody /etc/pam.d/sshd:2";

#[test]
fn a_wrong_password_that_goes_on() {
    let system = pushing();
    system.write(COMMON, "auth required pam_unix.so\n");
    let (what, fix) = only(&system, ANYBODY);
    assert_eq!(
        what,
        "service sshd: whoever knows no password gets to this prompt, and by Enter sends a request to the phone of any enrolled \
         user: that keeps the user from push, and one tap out of habit may let a stranger in"
    );
    assert_eq!(
        fix,
        "in sshd_config: AuthenticationMethods publickey,keyboard-interactive, and pam_ivalt, required, as the only line of \
         auth; users without a key cannot log in by ssh then\nor let a wrong password end the stack above this line, as in \
         pam_ivalt(8), EXAMPLES (requisite, where the line that asks for it says required)\nuntil then: write under [push] in \
         /etc/ivalt/ivalt.toml: enabled = false"
    );
    // The fixes are some.
    let methods = "AuthenticationMethods publickey,keyboard-interactive keyboard-interactive";
    let by_key = "AuthenticationMethods publickey,keyboard-interactive";
    system.replace(SSHD, methods, by_key);
    system.check().gives("a key comes first", &[]);
    // One block where none does.
    system.append(
        SSHD,
        "Match User bob\nAuthenticationMethods keyboard-interactive\n",
    );
    system.check().gives("in a block", &[ANYBODY]);
    let list = "services = [\"sudo\"]\n";
    system.append(IVALT, list);
    assert!(!system.check().lines().contains(&ANYBODY.to_owned()));
}

#[test]
fn stacks_by_which_strangers_reach_the_prompt() {
    for (name, text, line) in [
        (
            "nothing stands before",
            "auth required pam_ivalt.so\n",
            Some(1),
        ),
        (
            "the password below",
            "auth required pam_ivalt.so\nauth requisite pam_unix.so\n",
            Some(1),
        ),
        (
            "a substack keeps the failure",
            "auth substack common-auth\nauth required pam_ivalt.so\n",
            Some(2),
        ),
        (
            "a condition skips the password",
            "auth [success=1 default=ignore] pam_localuser.so\nauth requisite pam_unix.so\nauth required pam_ivalt.so\n",
            Some(3),
        ),
        (
            "not enough of a proof",
            "auth required pam_faillock.so preauth\nauth required pam_ivalt.so\n",
            Some(2),
        ),
        (
            "another factor",
            "auth requisite pam_google_authenticator.so\nauth required pam_ivalt.so\n",
            None,
        ),
        (
            "another factor, of those who have it",
            "auth requisite pam_google_authenticator.so nullok\nauth required pam_ivalt.so\n",
            Some(2),
        ),
        (
            "another factor that goes on",
            "auth required pam_u2f.so\nauth required pam_ivalt.so\n",
            Some(2),
        ),
        (
            "a module that nobody knows",
            "auth requisite pam_private.so\nauth required pam_ivalt.so\n",
            None,
        ),
        (
            "a password that jumps",
            "auth [success=1 default=ignore] pam_unix.so\nauth requisite pam_deny.so\nauth required pam_ivalt.so\n",
            None,
        ),
        (
            "after a key alone",
            &format!("{KEY_LINE}@include common-auth\nauth required pam_ivalt.so\n"),
            None,
        ),
        (
            "the second line asks strangers",
            &format!("{KEY_LINE}auth required pam_unix.so\nauth required pam_ivalt.so\n"),
            Some(3),
        ),
        (
            "Enter is nothing there",
            "auth required pam_unix.so\nauth required pam_ivalt.so try_first_pass\n",
            None,
        ),
    ] {
        let system = pushing();
        let lines = system.write("etc/pam.d/sshd", text).check().lines();
        let mut found = lines
            .iter()
            .filter(|found| found.contains(" push-by-anybody "));
        let expected = line.map(|line| format!("lets-in push-by-anybody /etc/pam.d/sshd:{line}"));
        assert_eq!(found.next(), expected.as_ref(), "{name}: {lines:?}");
    }
}

/// No method of another program comes first.
#[test]
fn other_services_are_reached_by_anybody_too() {
    let system = pushing_for("\"sshd\", \"cockpit\"");
    let stack = "auth required pam_unix.so\nauth required pam_ivalt.so\n";
    system.write("etc/pam.d/cockpit", stack);
    let (_, fix) = only(&system, "lets-in push-by-anybody /etc/pam.d/cockpit:2");
    assert_eq!(
        fix,
        "let a wrong password end the stack above this line, as in pam_ivalt(8), EXAMPLES (requisite, where the line that asks \
         for it says required)\nuntil then: write under [push] in /etc/ivalt/ivalt.toml: services = [\"sshd\"]"
    );
    system.write(
        "etc/pam.d/cockpit",
        &stack.replace("required pam_unix", "requisite pam_unix"),
    );
    system.check().gives("a wrong password ends it", &[]);
}

#[test]
fn sshd_waits_long_enough_for_an_approval() {
    let expected = "warning sshd-grace-time /etc/ssh/sshd_config:1";
    for (grace, wait, found) in [
        ("120", 90, None),
        (
            "120",
            91,
            Some(
                "LoginGraceTime 120: a request on the phone may be approved for 91 s (push.wait_seconds), and with the \
                          prompts that takes 121 s; sshd hangs up before",
            ),
        ),
        ("2m", 91, Some("LoginGraceTime 2m: ")),
        ("2m1", 91, None),
        ("0", 110, None),
        // Three attempts by token may take longer.
        (
            "1m",
            10,
            Some("LoginGraceTime 1m: 3 attempts may take 90 s"),
        ),
    ] {
        let system = pushing();
        system.append(IVALT, &format!("wait_seconds = {wait}\n"));
        let text = fs::read_to_string(system.path(SSHD)).unwrap();
        system.write(SSHD, &format!("LoginGraceTime {grace}\n{text}"));
        let Some(found) = found else {
            system.check().gives(grace, &[]);
            continue;
        };
        let (what, fix) = only(&system, expected);
        assert!(what.starts_with(found), "{what}");
        let needed = if wait == 91 { 121 } else { 90 };
        assert!(
            fix.contains(&format!(": LoginGraceTime {needed}; then: ")),
            "{fix}"
        );
    }
    // Without a line it is 120.
    let system = pushing();
    system.append(IVALT, "wait_seconds = 110\n");
    let (_, fix) = only(&system, "warning sshd-grace-time /etc/ssh/sshd_config");
    assert!(fix.contains("LoginGraceTime 140"), "{fix}");
    let system = pushing_for("\"sudo\"");
    system.append(IVALT, "wait_seconds = 110\n");
    let lines = system.check().lines();
    assert!(
        !lines.iter().any(|line| line.contains("grace")),
        "{lines:?}"
    );
}

#[test]
fn processes_that_their_callers_can_stop() {
    for service in ["sudo", "sudo-i", "su", "su-l", "doas"] {
        let system = pushing_for(&format!("\"sshd\", \"{service}\""));
        for other in ["su", "su-l", "doas"] {
            let text = "@include common-auth\nauth required pam_ivalt.so\n";
            system.write(&format!("etc/pam.d/{other}"), text);
        }
        let (what, fix) = only(&system, "warning push-by-sudo /etc/ivalt/ivalt.toml:9");
        assert!(
            what.starts_with(&format!("push.services has {service}: ")),
            "{what}"
        );
        assert_eq!(
            fix,
            "write under [push] in /etc/ivalt/ivalt.toml: services = [\"sshd\"]"
        );
    }
}

#[test]
fn names_that_share_a_phone() {
    let expected = "warning shared-mobile /etc/ivalt/users.toml";
    for (other, push, what) in [
        (
            "+14155550100",
            false,
            Some("share one mobile: its holder passes iVALT for all of these accounts"),
        ),
        (
            "+14155550100",
            true,
            Some(
                "share one mobile: its holder passes iVALT for all of these accounts, and while a request on it waits for one of \
                 them, the others are refused (push-busy)",
            ),
        ),
        (
            "+49155550100",
            true,
            Some(
                "have mobiles that end in the same nine digits: while a request waits for one of them, the others are refused \
                 (push-busy)",
            ),
        ),
        ("+49155550100", false, None),
        ("+14165550100", true, None),
    ] {
        let system = pushing();
        if !push {
            system.replace(IVALT, "enabled = true", "enabled = false");
        }
        system.replace(USERS, "+14155550101", other);
        match what {
            Some(what) => assert_eq!(only(&system, expected).0, format!("alice and bob {what}")),
            None => drop(system.check().gives(other, &[])),
        }
    }
}

#[test]
fn push_without_recovery_codes() {
    let system = System::healthy();
    system
        .append(IVALT, PUSH)
        .write(COMMON, "auth requisite pam_unix.so\n");
    let (what, fix) = only(
        &system,
        "warning push-without-recovery /etc/ivalt/ivalt.toml:4",
    );
    assert_eq!(
        what,
        "push is on, and recovery.codes is false: whoever knows a user's password can keep that user from push by requests that \
         nobody answers, and then only a token gets in"
    );
    assert!(fix.contains("codes = true\n"), "{fix}");
}

#[test]
fn services_that_do_not_ask() {
    let system = pushing_for("\"sshd\", \"shsd\"");
    let expected = "warning push-not-asked /etc/ivalt/ivalt.toml:9";
    let (what, fix) = only(&system, expected);
    assert_eq!(
        what,
        "push.services has shsd, which does not ask iVALT by these settings: Enter means push in none of its logins"
    );
    assert_eq!(
        fix,
        "if it is misspelt, correct it; else: ivaltctl enable shsd"
    );
    // By other settings it does.
    system
        .write(
            "etc/pam.d/shsd",
            "@include common-auth\nauth required pam_ivalt.so config=/etc/ivalt/own.toml\n",
        )
        .write("etc/ivalt/own.toml", "[api]\nkey = \"SECRET-KEY\"\n");
    system.check().gives("other settings", &[expected]);
    // Nothing is enabled yet.
    let system = pushing();
    for service in ["sshd", "sudo", "sudo-i"] {
        system.write(&format!("etc/pam.d/{service}"), "@include common-auth\n");
    }
    system.check().gives("nobody is asked", &[]);
}

#[test]
fn programs_that_answer_by_themselves() {
    let system = pushing_for("\"vsftpd\"");
    let own = "auth required pam_ivalt.so\n";
    system.write("etc/pam.d/vsftpd", own);
    let cannot_ask = "locks-out service-cannot-ask /etc/pam.d/vsftpd:1";
    let anybody = "lets-in push-by-anybody /etc/pam.d/vsftpd:1";
    let visible = "warning push-no-prompt /etc/ivalt/ivalt.toml:9";
    system
        .check()
        .gives("a visible prompt", &[anybody, cannot_ask, visible]);
    // Behind a certificate, say.
    system.append(IVALT, "[token]\necho = false\n");
    let checked = system.check();
    let hidden = "lets-in push-no-prompt /etc/ivalt/ivalt.toml:9";
    let of_sshd = "warning hidden-prompt /etc/ivalt/ivalt.toml:11";
    checked.gives("a hidden prompt", &[hidden, anybody, of_sshd]);
    let of_sshd = checked.findings()[2]["what"].as_str().unwrap();
    assert!(
        of_sshd
            .ends_with("; an empty password is taken for Enter, and sends a request to the phone"),
        "{of_sshd}"
    );
    assert_eq!(
        checked.findings()[0]["what"],
        "push.services has vsftpd: vsftpd shows no prompt and answers by itself, so that nobody can press Enter once the request \
         is approved; and an empty password field is taken for Enter, at both prompts"
    );
}

#[test]
fn the_folder_of_locks_is_roots_alone() {
    let expected = |path: &str| format!("locks-out push-folder-unsafe /{path}");
    let made_anew = |removed: &str| {
        format!(
            "{removed}\nsystemd-tmpfiles --create --prefix=/run/ivalt    without systemd, the next login by push makes it"
        )
    };
    let (above, folder) = ("run/ivalt", "run/ivalt/push");
    let system = pushing();
    fs::create_dir_all(system.path(folder)).unwrap();
    for (path, mode) in [(above, 0o770), (folder, 0o702), (folder, 0o1777)] {
        system.mode(above, 0o700).mode(folder, 0o700);
        system.check().gives("in order", &[]);
        let (what, fix) = only(system.mode(path, mode), &expected(path));
        assert!(
            what.starts_with(
                "is writable by others than root: logins by push are denied (misconfigured), "
            ),
            "{what}"
        );
        assert_eq!(fix, made_anew(&format!("rm -r /{path}")));
    }
    for path in [folder, above] {
        fs::remove_dir_all(system.path(path)).unwrap();
        symlink("/etc", system.path(path)).unwrap();
        let (what, fix) = only(&system, &expected(path));
        assert!(what.starts_with("is no folder: "), "{what}");
        assert_eq!(fix, made_anew(&format!("rm /{path}")));
        fs::remove_file(system.path(path)).unwrap();
        fs::create_dir_all(system.path(folder)).unwrap();
    }
    if no_root("gives a folder away") {
        return;
    }
    system.mode(above, 0o700).mode(folder, 0o700);
    chown(system.path(folder), Some(4242), None).unwrap();
    assert!(
        only(&system, &expected(folder))
            .0
            .starts_with("is not root's: ")
    );
}

#[test]
fn a_unit_that_keeps_its_service_from_the_locks() {
    let unit = "usr/lib/systemd/system/ssh.service";
    let system = pushing();
    system.write(
        unit,
        "[Service]\nProtectSystem=strict\nReadWritePaths=/var/lib/ivalt\n",
    );
    let (what, fix) = only(&system, &format!("warning push-not-writable /{unit}:2"));
    assert_eq!(
        what,
        "ssh.service: ProtectSystem=strict keeps sshd from locking a phone in /run/ivalt/push: every login by push is denied \
         (misconfigured)"
    );
    assert_eq!(
        fix,
        "install -d /etc/systemd/system/ssh.service.d\n\
         printf '[Service]\\nReadWritePaths=-%s\\n' /run/ivalt > /etc/systemd/system/ssh.service.d/ivalt-push.conf\n\
         systemctl daemon-reload; systemctl try-restart ssh.service"
    );
    let drop_in = "etc/systemd/system/ssh.service.d/ivalt-push.conf";
    system.write(drop_in, "[Service]\nReadWritePaths=-/run/ivalt\n");
    system.check().gives("fixed", &[]);
}

/// It answers anything.
#[test]
fn the_mock_of_the_documentation() {
    let system = pushing();
    let mock = "https://api-docs.ivalt.com/_mock";
    system.replace(IVALT, "https://api.ivalt.com", mock);
    let (what, _) = only(&system, "lets-in documentation-mock /etc/ivalt/ivalt.toml");
    assert!(
        what.starts_with("push.url is a documentation mock: "),
        "{what}"
    );
}
