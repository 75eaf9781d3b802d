//! Services whose program shows no prompt, as debian/hosts-and-clients.md has them.

use std::fs;
use std::os::unix::fs::{MetadataExt, chown};

use super::{IVALT, System, USERS, all_give, nothing};

const LINE: &str = "auth required pam_ivalt.so\n";
const PASSWORD: &str = "auth requisite pam_unix.so\nauth required pam_ivalt.so\n";
const OWN: &str = "auth required pam_ivalt.so config=/etc/ivalt/own.toml\n";
const SETTINGS: &str = "[api]\nkey = \"SECRET-KEY\"\n[token]\n";

/// The service with settings of its own, the prompt hidden.
fn hidden<'a>(system: &'a System, service: &str) -> &'a System {
    system.write(&format!("etc/pam.d/{service}"), OWN);
    system.write(
        "etc/ivalt/own.toml",
        &format!("{SETTINGS}echo = false\nattempts = 1\n"),
    )
}

#[test]
fn programs_that_answer_by_themselves() {
    for (service, how) in [
        (
            "openvpn",
            "answers a visible prompt with the user name: everybody is refused (malformed-token)",
        ),
        (
            "proftpd",
            "answers a visible prompt with the user name: everybody is refused (malformed-token)",
        ),
        (
            "pure-ftpd",
            "answers a visible prompt with the user name: everybody is refused (malformed-token)",
        ),
        (
            "dovecot",
            "answers a visible prompt with the user name: everybody is refused (malformed-token)",
        ),
        (
            "vsftpd",
            "does not answer a visible prompt: everybody is refused (unanswered)",
        ),
        (
            "postgresql",
            "does not answer a visible prompt: everybody is refused (unanswered)",
        ),
        (
            "xrdp-sesman",
            "does not answer a visible prompt: everybody is refused (unanswered)",
        ),
        (
            "saslauthd",
            "crashes at a visible prompt: everybody is refused",
        ),
        ("imap", "crashes at a visible prompt: everybody is refused"),
        ("smtp", "crashes at a visible prompt: everybody is refused"),
    ] {
        let system = System::healthy();
        let file = format!("etc/pam.d/{service}");
        let expected = |line| format!("locks-out service-cannot-ask /{file}:{line}");
        for (text, line) in [(LINE, 1), (PASSWORD, 2)] {
            let checked = system.write(&file, text).check();
            checked.gives(service, &[&expected(line)]);
            let what = checked.findings()[0]["what"].as_str().unwrap();
            assert!(what.starts_with(&format!("service {service}: ")), "{what}");
            assert!(what.ends_with(how), "{what}");
        }
        // Without our line it is nothing to us.
        system
            .write(&file, "auth required pam_unix.so\n")
            .check()
            .gives(service, &[]);
        if service == "postgresql" {
            continue;
        }
        hidden(&system, service).check().gives(service, &[]);
        // The visible prompt of settings of its own.
        system.write("etc/ivalt/own.toml", SETTINGS);
        system.check().gives(service, &[&expected(1)]);
        // One field: the password's line has taken it.
        hidden(&system, service).write(&file, &format!("auth requisite pam_unix.so\n{OWN}"));
        let checked = system.check();
        checked.gives(service, &[&expected(2)]);
        let what = checked.findings()[0]["what"].as_str().unwrap();
        assert!(
            what.ends_with(&format!(
                "has one password field, and line 1 of /{file} takes it as the password: it is not sent as the token, and \
                 everybody is refused (password-as-token)"
            )),
            "{what}"
        );
    }
}

/// The line is not asked, or others let in without it.
#[test]
fn lines_by_which_nobody_is_refused() {
    let system = System::healthy();
    system.write(
        "etc/pam.d/vsftpd",
        "auth sufficient pam_ivalt.so\nauth required pam_unix.so\n",
    );
    let lines = system.check().lines();
    assert!(
        lines.contains(&"warning service-cannot-ask /etc/pam.d/vsftpd:1".to_owned()),
        "{lines:?}"
    );
    system.write(
        "etc/pam.d/vsftpd",
        "auth requisite pam_unix.so\nauth required pam_ivalt.so use_first_pass\n",
    );
    let lines = system.check().lines();
    assert_eq!(lines, ["warning password-leaves /etc/pam.d/vsftpd:2"]);
}

#[test]
fn the_list_of_openvpns_plugin() {
    const FOUND: &[&str] = &["locks-out service-cannot-ask /etc/pam.d/openvpn:2"];
    const GOOD: &str = "port 1194\nplugin /usr/lib/openvpn/openvpn-plugin-auth-pam.so \
                        \"openvpn login USERNAME password PASSWORD ivalt OTP\"\nauth-gen-token\n";
    fn with<'a>(system: &'a System, text: &str) -> &'a System {
        system.write("etc/pam.d/openvpn", PASSWORD);
        system.write("etc/openvpn/server/vpn.conf", text)
    }
    all_give(&[
        (
            "no server",
            |s| s.write("etc/pam.d/openvpn", PASSWORD),
            FOUND,
            |s| with(s, GOOD),
        ),
        (
            "no list",
            |s| with(s, "plugin openvpn-plugin-auth-pam.so openvpn\n"),
            FOUND,
            |s| {
                with(
                    s,
                    "plugin openvpn-plugin-auth-pam.so openvpn login USERNAME IVALT OTP\n",
                )
            },
        ),
        (
            "commented out",
            |s| with(s, &GOOD.replace("plugin /", "# plugin /")),
            FOUND,
            |s| with(s, GOOD).write("etc/openvpn/client.conf", "remote vpn.example\n"),
        ),
        (
            "another service",
            |s| with(s, &GOOD.replace("\"openvpn", "\"login")),
            FOUND,
            |s| with(s, GOOD).write("etc/openvpn/old.conf", &GOOD.replace("\"openvpn", "\"vpn")),
        ),
        (
            "a prompt that begins otherwise",
            |s| with(s, GOOD).append(IVALT, "[token]\nprompt = \"Token of iVALT: \"\n"),
            FOUND,
            |s| with(s, GOOD).append(IVALT, "[token]\nprompt = \"[ivalt] \"\n"),
        ),
        (
            "one server of two",
            |s| with(s, GOOD).write("etc/openvpn/old.conf", "plugin x-auth-pam.so openvpn\n"),
            FOUND,
            |s| with(s, GOOD).write("etc/openvpn/old.txt", "plugin x-auth-pam.so openvpn\n"),
        ),
        (
            "answered by the password",
            |s| with(s, &GOOD.replace("ivalt OTP", "ivalt PASSWORD")),
            FOUND,
            nothing,
        ),
    ]);
}

/// Root gives files away, and postgres must be able to read them.
#[test]
fn what_postgresql_can_read() {
    if fs::metadata("/proc/self").unwrap().uid() != 0 {
        eprintln!("SKIPPED what_postgresql_can_read: only root can give files away");
        return;
    }
    let system = System::healthy();
    system.append(
        "etc/passwd",
        "postgres:x:110:117::/var/lib/postgresql:/bin/bash\n",
    );
    system.append("etc/group", "postgres:x:117:\nssl-cert:x:118:postgres\n");
    hidden(&system, "postgresql");
    const FOUND: &str = "locks-out service-cannot-ask /etc/pam.d/postgresql:1";
    const OF_USER: &str = "warning settings-of-user /etc/ivalt/own.toml";
    for (owner, group, mode, expected, unreadable) in [
        (0, 0, 0o600, &[FOUND][..], "/etc/ivalt/own.toml"),
        (111, 0, 0o600, &[FOUND, OF_USER], "/etc/ivalt/own.toml"),
        (110, 0, 0o600, &[FOUND, OF_USER], "/etc/ivalt/users.toml"),
        (110, 117, 0o600, &[FOUND, OF_USER], "/etc/ivalt/users.toml"),
        (110, 117, 0o640, &[OF_USER], ""),
        (110, 118, 0o640, &[OF_USER], ""),
        (110, 27, 0o640, &[FOUND, OF_USER], "/etc/ivalt/users.toml"),
    ] {
        chown(system.path("etc/ivalt/own.toml"), Some(owner), None).unwrap();
        chown(system.path(USERS), Some(0), Some(group)).unwrap();
        system.mode(USERS, mode);
        let name = format!("{owner} {group} {mode:o}");
        let checked = system.check();
        checked.gives(&name, expected);
        if !unreadable.is_empty() {
            assert_eq!(
                checked.findings()[0]["what"],
                format!(
                    "service postgresql: PostgreSQL runs modules as postgres, who cannot read {unreadable}: everybody is \
                     refused (misconfigured)"
                ),
                "{name}"
            );
        }
    }
}
