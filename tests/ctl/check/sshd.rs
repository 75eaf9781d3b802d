//! sshd's configuration.

use super::{IVALT, SSHD, System, USERS, all_give, nothing};

/// Key or password, and iVALT.
fn three_lines(method: &str) -> String {
    let control = "[success=done ignore=ignore default=die]";
    format!(
        "auth {control} pam_ivalt.so only_after={method}\n@include common-auth\nauth required pam_ivalt.so\n"
    )
}

/// Users without a key would be locked out by the usual fix.
#[test]
fn the_fix_keeps_the_way_by_password() {
    let fix_of = |text: &str| {
        let system = System::healthy();
        system.write("etc/pam.d/sshd", text);
        let methods = "AuthenticationMethods publickey,keyboard-interactive keyboard-interactive\n";
        let report = system.replace(SSHD, methods, "").check().report;
        let findings = report["findings"].as_array().unwrap();
        let skips = findings
            .iter()
            .find(|found| found["id"] == "sshd-key-skips");
        let fix = skips.unwrap()["fix"].as_str().unwrap().to_owned();
        let (_, fix) = fix.split_once(": ").unwrap();
        fix.split(';').next().unwrap().to_owned()
    };
    assert_eq!(
        fix_of(&three_lines("publickey")),
        "AuthenticationMethods publickey,keyboard-interactive keyboard-interactive"
    );
    assert_eq!(
        fix_of("auth required pam_ivalt.so\n"),
        "AuthenticationMethods publickey,keyboard-interactive"
    );
}

#[test]
fn sshd() {
    all_give(&[
        (
            "no PAM",
            |s| s.replace(SSHD, "UsePAM yes", "UsePAM no"),
            &["lets-in sshd-pam-off /etc/ssh/sshd_config:2"],
            // It matters only where sshd asks iVALT.
            |s| {
                s.replace(SSHD, "UsePAM yes", "UsePAM no")
                    .write("etc/pam.d/sshd", "@include common-auth\n")
            },
        ),
        (
            "a line after a method that is in no list",
            |s| s.write("etc/pam.d/sshd", &three_lines("hostbased")),
            &["warning sshd-only-after-unused /etc/ssh/sshd_config:5"],
            |s| {
                s.write("etc/pam.d/sshd", &three_lines("publickey"));
                // A block may narrow the lists.
                s.append(
                    SSHD,
                    "Match User bob\nAuthenticationMethods keyboard-interactive\n",
                )
            },
        ),
        (
            "a line after a method that comes too late",
            |s| {
                s.write("etc/pam.d/sshd", &three_lines("publickey"));
                s.replace(
                    SSHD,
                    "publickey,keyboard-interactive keyboard-interactive",
                    "keyboard-interactive,publickey",
                )
            },
            &["warning sshd-only-after-unused /etc/ssh/sshd_config:5"],
            |s| {
                s.write("etc/pam.d/sshd", &three_lines("publickey"));
                s.replace(
                    SSHD,
                    "publickey,keyboard-interactive keyboard-interactive",
                    "publickey,keyboard-interactive:pam",
                )
            },
        ),
        (
            "nothing but the token",
            |s| s.write("etc/pam.d/sshd", "auth required pam_ivalt.so\n"),
            &["warning sshd-token-alone /etc/ssh/sshd_config:5"],
            |s| {
                s.write("etc/pam.d/sshd", "auth required pam_ivalt.so\n");
                s.replace(
                    SSHD,
                    "publickey,keyboard-interactive keyboard-interactive",
                    "publickey,keyboard-interactive",
                )
            },
        ),
        (
            "sshd's own default",
            |s| s.replace(SSHD, "UsePAM yes\n", ""),
            &["lets-in sshd-pam-off /etc/ssh/sshd_config"],
            // sshd takes an equals sign, and any case.
            |s| s.replace(SSHD, "UsePAM yes", "usepam = YES # on"),
        ),
        (
            "no prompt",
            |s| {
                s.replace(
                    SSHD,
                    "KbdInteractiveAuthentication yes",
                    "ChallengeResponseAuthentication no",
                )
            },
            &["locks-out sshd-prompt-off /etc/ssh/sshd_config:3"],
            |s| s.replace(SSHD, "KbdInteractiveAuthentication yes\n", ""),
        ),
        (
            "the first value counts",
            |s| {
                s.write(
                    "etc/ssh/sshd_config.d/50-empty.conf",
                    "KbdInteractiveAuthentication no\n",
                )
            },
            &["locks-out sshd-prompt-off /etc/ssh/sshd_config.d/50-empty.conf:1"],
            |s| {
                s.append(SSHD, "KbdInteractiveAuthentication no\n")
                    .write("etc/ssh/sshd_config.d/x.off", "UsePAM no\n");
                s
            },
        ),
        (
            "passwords",
            |s| {
                s.replace(
                    SSHD,
                    "PasswordAuthentication no",
                    "PasswordAuthentication yes",
                );
                s.replace(
                    SSHD,
                    "AuthenticationMethods publickey,keyboard-interactive keyboard-interactive\n",
                    "",
                );
                s.append(SSHD, "PubkeyAuthentication no\n");
                s
            },
            &["warning sshd-password-method /etc/ssh/sshd_config:4"],
            // AuthenticationMethods does not offer it.
            |s| {
                s.replace(
                    SSHD,
                    "PasswordAuthentication no",
                    "PasswordAuthentication yes",
                )
            },
        ),
        (
            "keys that somebody has",
            |s| {
                s.replace(SSHD, METHODS, "").write(
                    "home/alice/.ssh/authorized_keys",
                    "# mine\nssh-ed25519 AAAA a\n",
                );
                s
            },
            &["lets-in sshd-key-skips /etc/ssh/sshd_config"],
            |s| s.write("home/alice/.ssh/authorized_keys", "ssh-ed25519 AAAA a\n"),
        ),
        (
            "keys that nobody has yet",
            |s| {
                s.replace(SSHD, METHODS, "AuthenticationMethods any\n")
                    .write("home/alice/.ssh/authorized_keys", "# none\n")
            },
            &["lets-in sshd-key-skips /etc/ssh/sshd_config"],
            |s| s.replace(SSHD, METHODS, "PubkeyAuthentication no\n"),
        ),
        (
            "keys by a command",
            |s| s.replace(SSHD, METHODS, "AuthorizedKeysCommand /usr/bin/keys\n"),
            &["lets-in sshd-key-skips /etc/ssh/sshd_config"],
            nothing,
        ),
        (
            "hosts",
            |s| {
                s.replace(
                    SSHD,
                    METHODS,
                    "PubkeyAuthentication no\nHostbasedAuthentication yes\n",
                )
            },
            &["lets-in sshd-other-skips /etc/ssh/sshd_config:6"],
            nothing,
        ),
        (
            "tickets",
            |s| {
                s.replace(
                    SSHD,
                    METHODS,
                    "PubkeyAuthentication no\nGSSAPIAuthentication yes\n",
                )
                .write("etc/krb5.keytab", "k");
                s
            },
            &["lets-in sshd-other-skips /etc/ssh/sshd_config:6"],
            // Fedora says yes everywhere; without a keytab there are no tickets.
            |s| {
                s.replace(
                    SSHD,
                    METHODS,
                    "PubkeyAuthentication no\nGSSAPIAuthentication yes\n",
                )
            },
        ),
    ]);
}

const KBD: &str = "KbdInteractiveAuthentication yes\n";
const OLDER: &str = "ChallengeResponseAuthentication no\n";
const OFF: &[&str] = &["locks-out sshd-prompt-off /etc/ssh/sshd_config:3"];

fn openssh<'a>(system: &'a System, release: &str) -> &'a System {
    let program = format!("\0OpenSSH_7.4*\0OpenSSH_{release} Debian-5\0");
    system.write("usr/sbin/sshd", &program)
}

/// As sshd 8.4 and 9.2 do: before 8.7 the older setting is one of its own, and implies the newer.
#[test]
fn prompts_of_sshd_by_its_version() {
    all_give(&[
        (
            "8.4, the older one off",
            |s| openssh(s.replace(SSHD, KBD, OLDER), "8.4p1"),
            OFF,
            |s| {
                openssh(
                    s.replace(SSHD, KBD, "KbdInteractiveAuthentication no\n"),
                    "8.4p1",
                )
            },
        ),
        (
            "8.6, both, the newer first",
            |s| openssh(s.replace(SSHD, KBD, &[OLDER, KBD].concat()), "8.6p1"),
            OFF,
            |s| openssh(s.replace(SSHD, KBD, "#\n"), "8.6p1"),
        ),
        (
            "8.4, off in a block",
            |s| {
                openssh(
                    s.append(SSHD, "Match User bob\nKbdInteractiveAuthentication no\n"),
                    "8.4p1",
                )
            },
            &["locks-out sshd-prompt-off /etc/ssh/sshd_config:7"],
            nothing,
        ),
        (
            "8.7, one setting with two names",
            |s| openssh(s.replace(SSHD, KBD, &[OLDER, KBD].concat()), "8.7p1"),
            OFF,
            |s| openssh(s.replace(SSHD, KBD, &[KBD, OLDER].concat()), "8.7p1"),
        ),
        (
            "by the version of the package",
            |s| {
                s.write(
                    "var/lib/dpkg/status",
                    "Package: openssh-server\nStatus: install ok installed\nVersion: 1:8.4p1-5+deb11u3\n",
                );
                s.replace(SSHD, KBD, &[KBD, OLDER].concat())
            },
            &["locks-out sshd-prompt-off /etc/ssh/sshd_config:4"],
            nothing,
        ),
        (
            "an unknown version, off for the older ones",
            |s| s.replace(SSHD, KBD, &[KBD, OLDER].concat()),
            &["locks-out sshd-prompt-off /etc/ssh/sshd_config:4"],
            nothing,
        ),
        (
            "an unknown version, off for the newer ones",
            |s| s.replace(SSHD, KBD, "KbdInteractiveAuthentication no\n"),
            OFF,
            |s| {
                s.replace(
                    SSHD,
                    KBD,
                    &[KBD, "ChallengeResponseAuthentication yes\n"].concat(),
                )
            },
        ),
    ]);
}

const METHODS: &str = "AuthenticationMethods publickey,keyboard-interactive keyboard-interactive\n";

#[test]
fn methods_of_sshd() {
    all_give(&[
        (
            "a key alone",
            |s| {
                s.replace(
                    SSHD,
                    METHODS,
                    "AuthenticationMethods publickey,keyboard-interactive publickey\n",
                )
            },
            &["lets-in sshd-methods-bypass /etc/ssh/sshd_config:5"],
            nothing,
        ),
        (
            "two others",
            |s| {
                s.replace(
                    SSHD,
                    METHODS,
                    "AuthenticationMethods hostbased,publickey keyboard-interactive\n",
                )
            },
            &["lets-in sshd-methods-bypass /etc/ssh/sshd_config:5"],
            |s| {
                s.replace(
                    SSHD,
                    METHODS,
                    "AuthenticationMethods publickey,keyboard-interactive:pam\n",
                )
            },
        ),
        (
            "another device",
            |s| {
                s.replace(
                    SSHD,
                    METHODS,
                    "AuthenticationMethods keyboard-interactive:bsdauth\n",
                )
            },
            &["lets-in sshd-methods-bypass /etc/ssh/sshd_config:5"],
            nothing,
        ),
        (
            "twice",
            |s| {
                s.replace(
                    SSHD,
                    METHODS,
                    "AuthenticationMethods keyboard-interactive,keyboard-interactive\n",
                )
            },
            &["warning sshd-methods-twice /etc/ssh/sshd_config:5"],
            nothing,
        ),
        (
            "a password and iVALT",
            |s| {
                s.replace(
                    SSHD,
                    METHODS,
                    "AuthenticationMethods password,keyboard-interactive\n",
                )
            },
            &[
                "locks-out sshd-methods-impossible /etc/ssh/sshd_config:5",
                "warning sshd-methods-twice /etc/ssh/sshd_config:5",
            ],
            nothing,
        ),
        (
            "a key and a password",
            |s| s.replace(SSHD, METHODS, "AuthenticationMethods publickey,password\n"),
            &["locks-out sshd-methods-impossible /etc/ssh/sshd_config:5"],
            nothing,
        ),
        (
            "in a block",
            |s| s.append(SSHD, "Match User bob\n  AuthenticationMethods publickey\n"),
            &["lets-in sshd-methods-bypass /etc/ssh/sshd_config:7"],
            |s| {
                s.append(SSHD, "Match User bob\n  X11Forwarding no\nMatch all\n  AuthenticationMethods publickey,keyboard-interactive\n")
            },
        ),
        (
            "in the block of all",
            |s| {
                s.append(SSHD, "Match User bob\n  X11Forwarding no\nMatch all\n  AuthenticationMethods publickey\n")
            },
            &["lets-in sshd-methods-bypass /etc/ssh/sshd_config:9"],
            // The first block that applies counts.
            |s| {
                s.append(
                    SSHD,
                    "Match all\n  AuthenticationMethods publickey,keyboard-interactive\nMatch all\n  AuthenticationMethods publickey\n",
                )
            },
        ),
        (
            "in the first of two blocks",
            |s| {
                s.append(
                    SSHD,
                    "Match User bob\n  AuthenticationMethods publickey\nMatch User bob\n  AuthenticationMethods keyboard-interactive\n",
                )
            },
            &["lets-in sshd-methods-bypass /etc/ssh/sshd_config:7"],
            |s| {
                s.append(
                    SSHD,
                    "Match User bob\n  AuthenticationMethods keyboard-interactive\nMatch User bob\n  AuthenticationMethods publickey\n",
                )
            },
        ),
        (
            "quoted lists",
            |s| {
                s.replace(
                    SSHD,
                    METHODS,
                    "AuthenticationMethods \"publickey,keyboard-interactive\" 'publickey'\n",
                )
            },
            &["lets-in sshd-methods-bypass /etc/ssh/sshd_config:5"],
            |s| {
                s.replace(SSHD, METHODS, "AuthenticationMethods \"publickey,keyboard-interactive\" 'keyboard-interactive'\n")
            },
        ),
        (
            "in a block of an included file",
            |s| {
                s.write(
                    "etc/ssh/sshd_config.d/50-empty.conf",
                    "Match Group x\nKbdInteractiveAuthentication no\n",
                )
            },
            &["locks-out sshd-prompt-off /etc/ssh/sshd_config.d/50-empty.conf:2"],
            nothing,
        ),
    ]);
}

#[test]
fn limits_of_sshd() {
    all_give(&[
        (
            "short",
            |s| s.append(SSHD, "LoginGraceTime 1m29s\n"),
            &["warning sshd-grace-time /etc/ssh/sshd_config:6"],
            |s| s.append(SSHD, "LoginGraceTime 1m30s\n"),
        ),
        (
            "long attempts",
            |s| s.append(IVALT, "timeout_seconds = 60\n"),
            &["warning sshd-grace-time /etc/ssh/sshd_config"],
            |s| {
                s.append(IVALT, "timeout_seconds = 60\n")
                    .append(SSHD, "LoginGraceTime 0\n")
            },
        ),
        (
            "one try",
            |s| s.append(SSHD, "MaxAuthTries 1\n"),
            &["warning sshd-few-tries /etc/ssh/sshd_config:6"],
            |s| s.append(SSHD, "MaxAuthTries 2\n"),
        ),
        (
            "no password",
            |s| s.append(SSHD, "PermitEmptyPasswords yes\n"),
            &["warning sshd-empty-passwords /etc/ssh/sshd_config:6"],
            |s| s.append(SSHD, "PermitEmptyPasswords no\n"),
        ),
        (
            "root",
            |s| s.append(SSHD, "PermitRootLogin yes\n"),
            &["warning sshd-root-not-enrolled /etc/ssh/sshd_config:6"],
            |s| {
                s.append(SSHD, "PermitRootLogin yes\n")
                    .append(USERS, "root = \"+14155550102\"\n")
            },
        ),
    ]);
}

/// The service is asked of the system, and a line is to be written where it counts and outlives an update.
#[test]
fn fixes_name_files_and_services_that_there_are() {
    let vendor = "usr/etc/ssh/sshd_config";
    let vendor_drop_in = "usr/etc/ssh/sshd_config.d/50-a.conf";
    let includes =
        "Include /etc/ssh/sshd_config.d/*.conf\nInclude /usr/etc/ssh/sshd_config.d/*.conf\n";
    let rest = "KbdInteractiveAuthentication yes\nPasswordAuthentication no\n\
                AuthenticationMethods publickey,keyboard-interactive keyboard-interactive\n";
    let faults: [(fn(&System), &str, &str); 5] = [
        (
            |s| {
                s.replace(SSHD, "UsePAM yes", "UsePAM no");
                s.write("lib/systemd/system/ssh.service", "");
            },
            "lets-in sshd-pam-off /etc/ssh/sshd_config:2",
            "write in /etc/ssh/sshd_config: UsePAM yes; then: sshd -t && systemctl reload ssh",
        ),
        (
            |s| {
                s.replace(SSHD, "UsePAM yes\n", "");
                s.write("usr/lib/systemd/system/sshd.service", "");
            },
            "lets-in sshd-pam-off /etc/ssh/sshd_config",
            "write at the top of /etc/ssh/sshd_config: UsePAM yes; then: sshd -t && systemctl reload sshd",
        ),
        (
            |s| {
                s.write("etc/init.d/sshd", "");
            },
            "lets-in sshd-pam-off /usr/etc/ssh/sshd_config",
            "write in /etc/ssh/sshd_config.d/00-local.conf: UsePAM yes; then: sshd -t && /etc/init.d/sshd reload",
        ),
        (
            |s| {
                s.write("usr/etc/ssh/sshd_config.d/50-a.conf", "UsePAM no\n");
            },
            "lets-in sshd-pam-off /usr/etc/ssh/sshd_config.d/50-a.conf:1",
            "write in /etc/ssh/sshd_config.d/00-local.conf: UsePAM yes; then: sshd -t && { systemctl reload ssh || systemctl reload sshd; }",
        ),
        (
            |s| {
                s.write("etc/ssh/sshd_config.d/50-empty.conf", "UsePAM no\n");
                s.write("etc/systemd/system/sshd.service", "");
            },
            "lets-in sshd-pam-off /etc/ssh/sshd_config.d/50-empty.conf:1",
            "write in /etc/ssh/sshd_config.d/50-empty.conf: UsePAM yes; then: sshd -t && systemctl reload sshd",
        ),
    ];
    for (number, (fault, line, fix)) in faults.into_iter().enumerate() {
        let system = System::healthy();
        if number >= 2 {
            system.remove(SSHD);
            system.write(vendor, &format!("{includes}{rest}"));
            system.write(vendor_drop_in, "# UsePAM yes\n");
        }
        fault(&system);
        let checked = system.check();
        checked.gives(line, &[line]);
        assert_eq!(checked.findings()[0]["fix"], fix);
    }
}
