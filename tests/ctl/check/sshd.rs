//! sshd's configuration.

use serde_json::Value;

use super::{Checked, Fault, IVALT, SSHD, System, USERS, nothing};

/// Every fault gives its findings, and what is written as their fixes does not make anything worse.
#[track_caller]
fn all_give(faults: &[Fault]) {
    super::all_give(faults);
    for (name, fault, _, _) in faults {
        let found = fault(&System::healthy()).check();
        let of_sshd = |finding: &&Value| finding["id"].as_str().unwrap().starts_with("sshd-");
        for finding in found.findings().iter().filter(of_sshd) {
            let system = System::healthy();
            fault(&system);
            let id = finding["id"].as_str().unwrap();
            if write_fix(&system, finding["fix"].as_str().unwrap()) {
                is_better(name, id, &found, &system.check());
            }
        }
    }
}

/// Writes what a fix says: a setting, and perhaps a line of PAM. False where it has no such form.
fn write_fix(system: &System, fix: &str) -> bool {
    assert!(
        fix.starts_with("write ") || fix.starts_with("before anything else: "),
        "{fix}"
    );
    let Some((place, rest)) = fix
        .strip_prefix("write ")
        .and_then(|fix| fix.split_once(": "))
    else {
        return false;
    };
    let mut parts = rest.split("; ");
    let setting = parts.next().unwrap();
    let (file, line) = match place.split_once(", ") {
        Some((file, at)) => (file.strip_prefix("in /").unwrap(), at),
        None => (
            place.strip_prefix("at the top of /").unwrap(),
            "above line 1",
        ),
    };
    insert(
        system,
        file,
        setting,
        |number, _| line.ends_with(&format!(" line {number}")),
        line.starts_with("in place of"),
    );
    for part in parts {
        if let Some((place, text)) = part
            .strip_prefix("and in /")
            .and_then(|part| part.split_once(": "))
        {
            let (file, above) = place.split_once(", above ").unwrap();
            let word = if above == "pam_ivalt" {
                above
            } else {
                "common-auth"
            };
            insert(system, file, text, |_, line| line.contains(word), false);
        }
    }
    true
}

fn insert(
    system: &System,
    file: &str,
    text: &str,
    at: impl Fn(usize, &str) -> bool,
    in_place: bool,
) {
    let before = std::fs::read_to_string(system.path(file)).unwrap();
    let mut lines: Vec<_> = before.lines().collect();
    let at = lines
        .iter()
        .enumerate()
        .position(|(index, line)| at(index + 1, line))
        .unwrap();
    lines.splice(at..at + usize::from(in_place), [text]);
    system.write(file, &(lines.join("\n") + "\n"));
}

#[track_caller]
fn is_better(name: &str, id: &str, before: &Checked, after: &Checked) {
    let count = |checked: &Checked, key: &str| checked.report[key].as_u64().unwrap();
    let counts = |checked| ["lets_in", "locks_out", "warnings"].map(|key| count(checked, key));
    let same = |checked: &Checked| {
        checked
            .findings()
            .iter()
            .filter(|found| found["id"] == id)
            .count()
    };
    let ([was_in, was_out, _], [is_in, is_out, _]) = (counts(before), counts(after));
    let worse = is_in > was_in || is_out > was_out || counts(after) >= counts(before);
    assert!(
        !worse && same(after) < same(before),
        "{name}, {id}: {:#}",
        after.report
    );
}

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

/// The lists that are there stay.
#[test]
fn the_fix_adds_the_list_that_a_line_waits_for() {
    let system = System::healthy();
    let checked = system
        .write("etc/pam.d/sshd", &three_lines("hostbased"))
        .check();
    let fix = checked.findings()[0]["fix"].as_str().unwrap();
    let lists =
        "hostbased,keyboard-interactive publickey,keyboard-interactive keyboard-interactive";
    let start = format!(
        "write in /etc/ssh/sshd_config, in place of line 5: AuthenticationMethods {lists}; "
    );
    assert!(fix.starts_with(&start), "{fix}");
}

/// What all others have stays.
#[test]
fn the_fix_of_a_block_is_written_there() {
    let system = System::healthy();
    key_and_ivalt(&system).write("etc/pam.d/sshd", &three_lines("publickey"));
    key_of_bob(&system).append(
        SSHD,
        "Match User bob\nX11Forwarding no\nPubkeyAuthentication no\n",
    );
    let checked = system.check();
    let fix = checked.findings()[0]["fix"].as_str().unwrap();
    let place = "write in /etc/ssh/sshd_config, above line 7: AuthenticationMethods ";
    assert!(fix.starts_with(place), "{fix}");
    assert!(write_fix(&system, fix));
    system.check().gives("the fix", &[]);
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

const KEY: &str = "AuthenticationMethods publickey,keyboard-interactive\n";
/// As pam-auth-update writes it with two password modules.
const BY_SSSD: &str = "auth [success=2 default=ignore] pam_unix.so\nauth [success=1 default=ignore] pam_sss.so\n\
                       auth requisite pam_deny.so\nauth required pam_permit.so\n";
const NOBODY: &[&str] = &["locks-out sshd-nobody-gets-in /etc/ssh/sshd_config:5"];

const UNIT: &str = "usr/lib/systemd/system/ssh.service";

/// Alice and bob have homes, and passwords or none; key and iVALT.
fn key_and_ivalt(system: &System) -> &System {
    system
        .write("home/alice/.profile", "#\n")
        .write("home/bob/.profile", "#\n");
    system.write("etc/pam.d/sshd", "auth required pam_ivalt.so\n");
    system.replace(
        SSHD,
        METHODS,
        "AuthenticationMethods publickey,keyboard-interactive\n",
    )
}

fn key_of_bob(system: &System) -> &System {
    system.write("home/bob/.ssh/authorized_keys", "ssh-ed25519 AAAA b\n")
}

fn no_passwords(system: &System) -> &System {
    system.write(
        "etc/shadow",
        "root:*:1::::::\nalice:!:1::::::\nbob:*:1::::::\n",
    )
}

#[test]
fn somebody_enrolled_gets_in_by_ssh() {
    all_give(&[
        ("no key", key_and_ivalt, NOBODY, |s| {
            key_of_bob(key_and_ivalt(s))
        }),
        (
            "the key of one who is disabled",
            |s| {
                key_of_bob(key_and_ivalt(s)).replace(
                    USERS,
                    "\"+14155550101\"",
                    "{ mobile = \"+14155550101\", enabled = false }",
                )
            },
            NOBODY,
            |s| key_and_ivalt(s).append(SSHD, "AuthorizedKeysCommand /usr/bin/keys\n"),
        ),
        (
            "no key where they are kept",
            |s| key_of_bob(key_and_ivalt(s)).append(SSHD, "AuthorizedKeysFile /etc/ssh/keys/%u\n"),
            NOBODY,
            |s| {
                s.write("etc/ssh/keys/bob", "ssh-ed25519 AAAA b\n");
                key_and_ivalt(s).append(SSHD, "AuthorizedKeysFile /etc/ssh/keys/%u\n")
            },
        ),
        (
            "no keys at all",
            |s| key_of_bob(key_and_ivalt(s)).append(SSHD, "AuthorizedKeysFile none\n"),
            NOBODY,
            |s| key_and_ivalt(s).append(SSHD, "TrustedUserCAKeys /etc/ssh/ca.pub\n"),
        ),
        // What is in it may be mounted at a login.
        ("a home with nothing in it", key_and_ivalt, NOBODY, |s| {
            key_and_ivalt(s).remove("home/bob/.profile")
        }),
        (
            "no option names keys",
            |s| {
                s.write(
                    "etc/default/ssh",
                    "#SSHD_OPTS=-oAuthorizedKeysCommand=/usr/bin/keys\n",
                );
                key_and_ivalt(s).write(UNIT, "[Service]\nExecStart=/usr/sbin/sshd -D $SSHD_OPTS\n")
            },
            NOBODY,
            |s| {
                key_and_ivalt(s).write(
                    "usr/lib/systemd/system/ssh.service.d/ec2-instance-connect.conf",
                    "[Service]\nExecStart=\nExecStart=/usr/sbin/sshd -D -o \"AuthorizedKeysCommand /usr/bin/keys\" $SSHD_OPTS\n",
                )
            },
        ),
        (
            "an option that names no keys",
            |s| key_and_ivalt(s).write("etc/default/ssh", "SSHD_OPTS=\"-o LogLevel=VERBOSE\"\n"),
            NOBODY,
            |s| {
                key_and_ivalt(s).write(
                    "etc/default/ssh",
                    "SSHD_OPTS=\"-o TrustedUserCAKeys=/etc/ssh/ca\"\n",
                )
            },
        ),
        (
            "keys are off",
            |s| key_of_bob(key_and_ivalt(s)).append(SSHD, "PubkeyAuthentication no\n"),
            NOBODY,
            // Homes may be mounted at a login.
            |s| key_and_ivalt(s).replace("etc/passwd", "/home/bob:", "/net/bob:"),
        ),
        (
            "keys are off in a block",
            |s| {
                key_of_bob(key_and_ivalt(s))
                    .append(SSHD, "Match User bob\nPubkeyAuthentication no\n")
            },
            NOBODY,
            nothing,
        ),
        (
            "hosts are off",
            |s| {
                s.replace(
                    SSHD,
                    METHODS,
                    "AuthenticationMethods hostbased,keyboard-interactive\n",
                )
            },
            NOBODY,
            |s| {
                s.replace(SSHD, METHODS, "HostbasedAuthentication yes\nAuthenticationMethods hostbased,keyboard-interactive\n")
            },
        ),
        (
            "PAM asks for a password that nobody has",
            |s| key_of_bob(no_passwords(s)),
            NOBODY,
            |s| key_of_bob(no_passwords(s)).write("etc/pam.d/sshd", &three_lines("publickey")),
        ),
        (
            "keys are enough, and nobody has a password",
            |s| key_of_bob(no_passwords(s)).replace(SSHD, METHODS, ""),
            &["lets-in sshd-key-skips /etc/ssh/sshd_config"],
            |s| key_of_bob(no_passwords(s)).write("etc/pam.d/sshd", &three_lines("publickey")),
        ),
        (
            "nothing but the token, and nobody has a key",
            |s| key_and_ivalt(s).replace(SSHD, KEY, METHODS),
            &["warning sshd-token-alone /etc/ssh/sshd_config:5"],
            |s| {
                s.write(
                    "etc/pam.d/sshd",
                    "auth requisite pam_unix.so\nauth required pam_ivalt.so\n",
                );
                s.write("home/alice/.profile", "#\n")
            },
        ),
        (
            "nobody would get in once PAM is on",
            |s| key_and_ivalt(s).replace(SSHD, "UsePAM yes", "UsePAM no"),
            &[
                "lets-in sshd-pam-off /etc/ssh/sshd_config:2",
                "locks-out sshd-nobody-gets-in /etc/ssh/sshd_config:5",
            ],
            nothing,
        ),
        (
            "a password that nobody has, and other methods are enough",
            |s| no_passwords(s).replace(SSHD, METHODS, "PubkeyAuthentication no\n"),
            &["locks-out sshd-nobody-gets-in /etc/ssh/sshd_config"],
            // It may be a directory's.
            |s| {
                no_passwords(s)
                    .write("etc/pam.d/common-auth", BY_SSSD)
                    .replace(
                        SSHD,
                        METHODS,
                        "PubkeyAuthentication no\nAuthenticationMethods keyboard-interactive\n",
                    )
            },
        ),
    ]);
}

/// A user of a directory may have both.
#[test]
fn of_accounts_elsewhere_nothing_is_known() {
    let system = System::healthy();
    key_and_ivalt(&system).append(USERS, "carol = \"+14155550102\"\n");
    system
        .check()
        .gives("carol", &["warning unknown-account /etc/ivalt/users.toml"]);
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

/// Where no list is set, a key alone gets in, and that is what is said.
#[test]
fn a_line_after_a_key_is_not_unused_where_no_list_is_set() {
    let system = System::healthy();
    system.write("etc/pam.d/sshd", &three_lines("publickey"));
    let lists = "AuthenticationMethods publickey,keyboard-interactive keyboard-interactive\n";
    system.replace(SSHD, lists, "");
    let expected = ["lets-in sshd-key-skips /etc/ssh/sshd_config"];
    system.check().gives("no lists", &expected);
}

/// What is done, its finding, and the fix.
type Advice = (fn(&System), &'static str, &'static str);

/// The service is asked of the system, and a line is to be written where it counts and outlives an update.
#[test]
fn fixes_name_files_and_services_that_there_are() {
    let vendor = "usr/etc/ssh/sshd_config";
    let vendor_drop_in = "usr/etc/ssh/sshd_config.d/50-a.conf";
    let includes =
        "Include /etc/ssh/sshd_config.d/*.conf\nInclude /usr/etc/ssh/sshd_config.d/*.conf\n";
    let rest = "KbdInteractiveAuthentication yes\nPasswordAuthentication no\n\
                AuthenticationMethods publickey,keyboard-interactive keyboard-interactive\n";
    let faults: [Advice; 5] = [
        (
            |s| {
                s.replace(SSHD, "UsePAM yes", "UsePAM no");
                s.write("lib/systemd/system/ssh.service", "");
            },
            "lets-in sshd-pam-off /etc/ssh/sshd_config:2",
            "write in /etc/ssh/sshd_config, in place of line 2: UsePAM yes; then: sshd -t && systemctl reload ssh",
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
            "write in /etc/ssh/sshd_config.d/50-empty.conf, in place of line 1: UsePAM yes; then: sshd -t && systemctl reload sshd",
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
