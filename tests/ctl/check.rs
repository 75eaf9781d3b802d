//! The doctor, on systems below a folder: every fault gives its finding and nothing else, and its healthy twin gives none.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, SystemTime};

use serde_json::Value;

use support::certificates::{Certificate, trusted_authority};
use support::finding_table::{must_know, table};
use support::server::{Server, answer};
use support::{StandIn, TempDir, no_root, write_file};

const IVALT: &str = "etc/ivalt/ivalt.toml";
const USERS: &str = "etc/ivalt/users.toml";
const SSHD: &str = "etc/ssh/sshd_config";
const MODULES: &str = "usr/lib/x86_64-linux-gnu/security";
const MODULE: &str = "usr/lib/x86_64-linux-gnu/security/pam_ivalt.so";

const HEALTHY: [(&str, &str); 16] = [
    (IVALT, "[api]\nkey = \"SECRET-KEY\"\n"),
    (
        USERS,
        "[users]\nalice = \"+14155550100\"\nbob = \"+14155550101\"\n",
    ),
    (
        "etc/passwd",
        "root:x:0:0:root:/root:/bin/bash\ndaemon:x:1:1::/:/usr/sbin/nologin\n\
         alice:x:1000:1000::/home/alice:/bin/bash\nbob:x:1001:1001::/home/bob:/bin/bash\n",
    ),
    ("etc/group", "root:x:0:\nsudo:x:27:alice\nusers:x:100:bob\n"),
    (
        "etc/shadow",
        "root:*:1::::::\nalice:$y$x:1::::::\nbob:$y$x:1::::::\n",
    ),
    (
        "etc/sudoers",
        "Defaults env_reset\nroot ALL=(ALL:ALL) ALL\n%sudo ALL=(ALL:ALL) ALL\n@includedir /etc/sudoers.d\n",
    ),
    ("etc/pam.d/common-auth", "auth required pam_unix.so\n"),
    (
        "etc/pam.d/sshd",
        "@include common-auth\nauth required pam_ivalt.so\n",
    ),
    (
        "etc/pam.d/sudo",
        "@include common-auth\nauth required pam_ivalt.so\n",
    ),
    (
        "etc/pam.d/sudo-i",
        "@include common-auth\nauth required pam_ivalt.so\n",
    ),
    ("etc/pam.d/other", "auth required pam_deny.so\n"),
    (
        SSHD,
        "Include /etc/ssh/sshd_config.d/*.conf\nUsePAM yes\nKbdInteractiveAuthentication yes\n\
         PasswordAuthentication no\nAuthenticationMethods publickey,keyboard-interactive keyboard-interactive\n",
    ),
    ("etc/ssh/sshd_config.d/50-empty.conf", "# nothing\n"),
    ("etc/sudoers.d/README", "# nothing\n"),
    ("etc/environment", "PATH=/usr/bin\n"),
    ("etc/selinux/config", "SELINUX=permissive\n"),
];

/// A system below a folder.
struct System {
    dir: TempDir,
}

impl System {
    fn healthy() -> Self {
        let system = Self {
            dir: TempDir::new(),
        };
        for (path, text) in HEALTHY {
            system.write(path, text);
        }
        system.write_bytes(MODULE, &shared_object(62));
        system.write_bytes(&format!("{MODULES}/pam_unix.so"), &shared_object(62));
        let authority = trusted_authority(system.dir.path());
        system.write(
            "etc/ssl/certs/ca-certificates.crt",
            &fs::read_to_string(authority).unwrap(),
        );
        system
    }

    fn path(&self, path: &str) -> std::path::PathBuf {
        self.dir.join(path)
    }

    fn write(&self, path: &str, text: &str) -> &Self {
        self.write_bytes(path, text.as_bytes())
    }

    fn write_bytes(&self, path: &str, bytes: &[u8]) -> &Self {
        let real = self.path(path);
        fs::create_dir_all(real.parent().unwrap()).unwrap();
        let mode = if path.starts_with("etc/ivalt") {
            0o600
        } else {
            0o644
        };
        write_file(&real, bytes, mode);
        self
    }

    /// Adds to what is there.
    fn append(&self, path: &str, text: &str) -> &Self {
        let before = fs::read_to_string(self.path(path)).unwrap_or_default();
        self.write(path, &(before + text))
    }

    fn replace(&self, path: &str, from: &str, to: &str) -> &Self {
        let before = fs::read_to_string(self.path(path)).unwrap();
        assert!(before.contains(from), "{path} has no {from}");
        self.write(path, &before.replace(from, to))
    }

    fn remove(&self, path: &str) -> &Self {
        fs::remove_file(self.path(path)).unwrap();
        self
    }

    fn mode(&self, path: &str, mode: u32) -> &Self {
        fs::set_permissions(self.path(path), Permissions::from_mode(mode)).unwrap();
        self
    }

    fn run(&self, words: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ivaltctl"));
        command
            .arg("check")
            .arg("--root")
            .arg(self.dir.path())
            .args(words);
        // The environment of whoever runs the tests is none of theirs.
        command.env_clear().current_dir("/").stdin(Stdio::null());
        command.output().unwrap()
    }

    fn check(&self) -> Checked {
        Checked::of(&self.run(&["--json"]))
    }
}

/// What `--json` said.
struct Checked {
    exit: i32,
    report: Value,
}

impl Checked {
    #[track_caller]
    fn of(output: &Output) -> Self {
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(!text.contains("SECRET-KEY"), "{text}");
        assert_eq!(String::from_utf8_lossy(&output.stderr), "");
        Self {
            exit: output.status.code().unwrap(),
            report: serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}")),
        }
    }

    fn findings(&self) -> &Vec<Value> {
        self.report["findings"].as_array().unwrap()
    }

    /// `severity id file:line` of every finding.
    fn lines(&self) -> Vec<String> {
        let line = |finding: &Value| {
            let text = |key: &str| finding[key].as_str().unwrap_or("-").to_owned();
            let number = finding["line"]
                .as_u64()
                .map_or(String::new(), |line| format!(":{line}"));
            format!(
                "{} {} {}{number}",
                text("severity"),
                text("id"),
                text("file")
            )
        };
        self.findings().iter().map(line).collect()
    }

    #[track_caller]
    fn gives(&self, name: &str, expected: &[&str]) -> &Self {
        assert_eq!(self.lines(), expected, "{name}: {:#}", self.report);
        let count = |word: &str| {
            expected
                .iter()
                .filter(|line| line.starts_with(word))
                .count() as u64
        };
        let counts = [
            ("lets_in", "lets-in "),
            ("locks_out", "locks-out "),
            ("warnings", "warning "),
        ];
        for (key, word) in counts {
            assert_eq!(self.report[key], count(word), "{name}");
        }
        let dangerous = count("lets-in ") + count("locks-out ") > 0;
        let exit = if dangerous {
            2
        } else {
            i32::from(!expected.is_empty())
        };
        assert_eq!(self.exit, exit, "{name}");
        let table = table();
        for finding in self.findings() {
            assert_ne!(finding["what"], "", "{name}");
            assert_ne!(finding["fix"], "", "{name}");
            let text = |key: &str| finding[key].as_str().unwrap_or_default();
            must_know(&table, text("id"), text("severity"));
        }
        self
    }
}

/// The header of an ELF shared object for this machine number, and the name libpam looks for.
fn shared_object(machine: u8) -> Vec<u8> {
    let mut bytes = b"\x7fELF\x02\x01\x01".to_vec();
    bytes.resize(16, 0);
    bytes.extend([3, 0, machine, 0]);
    bytes.resize(64, 0);
    bytes.extend(b"\0pam_sm_authenticate\0");
    bytes
}

type Change = for<'a> fn(&'a System) -> &'a System;
/// Its name, what is done, and what that gives; the last change is the twin's, and gives nothing.
type Fault = (&'static str, Change, &'static [&'static str], Change);

fn nothing(system: &System) -> &System {
    system
}

#[track_caller]
fn all_give(faults: &[Fault]) {
    for (name, fault, expected, twin) in faults {
        let system = System::healthy();
        fault(&system);
        system.check().gives(name, expected);
        let system = System::healthy();
        twin(&system);
        system.check().gives(&format!("the twin of: {name}"), &[]);
    }
}

#[test]
fn a_healthy_system_gives_nothing() {
    let system = System::healthy();
    let checked = system.check();
    checked.gives("healthy", &[]);
    assert_eq!(
        checked.report["services"],
        serde_json::json!(["sshd", "sudo", "sudo-i"])
    );
    assert_eq!(checked.report.get("steps"), None);
    let output = system.run(&[]);
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(
        said,
        "nothing found\nservices that ask iVALT: sshd, sudo, sudo-i\n"
    );
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn settings() {
    all_give(&[
        (
            "missing",
            |s| s.remove(IVALT),
            &["locks-out settings-missing /etc/ivalt/ivalt.toml"],
            nothing,
        ),
        (
            "mode",
            |s| s.mode(IVALT, 0o644),
            &["locks-out settings-untrusted /etc/ivalt/ivalt.toml"],
            |s| {
                s.mode(IVALT, 0o400);
                s
            },
        ),
        (
            "group",
            |s| s.mode(IVALT, 0o620),
            &["locks-out settings-untrusted /etc/ivalt/ivalt.toml"],
            nothing,
        ),
        (
            "a link",
            |s| {
                fs::rename(s.path(IVALT), s.path("etc/ivalt/real")).unwrap();
                symlink("real", s.path(IVALT)).unwrap();
                s
            },
            &["locks-out settings-untrusted /etc/ivalt/ivalt.toml"],
            // A folder may be one, also an absolute one.
            |s| {
                fs::create_dir(s.path("data")).unwrap();
                fs::rename(s.path("etc/ivalt"), s.path("data/ivalt")).unwrap();
                symlink("/data/ivalt", s.path("etc/ivalt")).unwrap();
                s
            },
        ),
        (
            "empty",
            |s| s.write(IVALT, ""),
            &["locks-out settings-invalid /etc/ivalt/ivalt.toml"],
            nothing,
        ),
        (
            "unknown key",
            |s| s.append(IVALT, "retries = 3\n"),
            &["locks-out settings-invalid /etc/ivalt/ivalt.toml:3"],
            |s| s.append(IVALT, "timeout_seconds = 3\n"),
        ),
        (
            "out of range",
            |s| s.append(IVALT, "timeout_seconds = 61\n"),
            &["locks-out settings-invalid /etc/ivalt/ivalt.toml:3"],
            |s| s.append(IVALT, "[token]\nattempts = 2\n"),
        ),
        (
            "not UTF-8",
            |s| s.write_bytes(IVALT, b"\n\xff"),
            &["locks-out settings-invalid /etc/ivalt/ivalt.toml:2"],
            nothing,
        ),
        (
            "the vendor's mock",
            |s| s.append(IVALT, "url = \"https://API-docs.ivalt.com/other/\"\n"),
            &["lets-in documentation-mock /etc/ivalt/ivalt.toml:3"],
            |s| s.append(IVALT, "url = \"https://ivalt.example/private\"\n"),
        ),
        (
            "a mock elsewhere",
            |s| {
                s.append(
                    IVALT,
                    "url = \"https://docs.example:8443/_mock/products\"\n",
                )
            },
            &["lets-in documentation-mock /etc/ivalt/ivalt.toml:3"],
            |s| s.append(IVALT, "url = \"https://api-docs.ivalt.com.example/mock\"\n"),
        ),
        (
            "unavailable",
            |s| s.append(IVALT, "[policy]\nunavailable = \"ignore\"\n"),
            &["warning unavailable-ignored /etc/ivalt/ivalt.toml:4"],
            |s| s.append(IVALT, "[policy]\nunavailable = \"deny\"\n"),
        ),
        (
            "unenrolled",
            |s| s.append(IVALT, "[policy]\nunenrolled = \"ignore\"\n"),
            &["warning unenrolled-ignored /etc/ivalt/ivalt.toml:4"],
            |s| s.append(IVALT, "[policy]\nunenrolled = \"deny\"\n"),
        ),
        (
            "hidden",
            |s| s.append(IVALT, "[token]\necho = false\n"),
            &["warning hidden-prompt /etc/ivalt/ivalt.toml:4"],
            |s| {
                s.append(IVALT, "[token]\necho = false\n")
                    .write("etc/pam.d/sshd", "auth required pam_unix.so\n");
                s
            },
        ),
    ]);
}

#[test]
fn files_the_settings_name() {
    all_give(&[
        (
            "no key file",
            |s| s.write(IVALT, "[api]\nkey_file = \"/etc/ivalt/api.key\"\n"),
            &["locks-out key-file-unusable /etc/ivalt/ivalt.toml"],
            |s| {
                s.write(IVALT, "[api]\nkey_file = \"/etc/ivalt/api.key\"\n")
                    .write("etc/ivalt/api.key", "SECRET-KEY\n");
                s
            },
        ),
        (
            "key file open",
            |s| {
                s.write(IVALT, "api.key_file = \"/etc/ivalt/api.key\"\n")
                    .write("etc/ivalt/api.key", "SECRET-KEY\n");
                s.mode("etc/ivalt/api.key", 0o640);
                s
            },
            &["locks-out key-file-unusable /etc/ivalt/ivalt.toml"],
            |s| {
                s.write(IVALT, "api = { key_file = '/etc/ivalt/api.key' }\n")
                    .write("etc/ivalt/api.key", "SECRET-KEY\n");
                s
            },
        ),
        (
            "no CA file",
            |s| s.append(IVALT, "ca_file = \"/etc/ivalt/ca.pem\"\n"),
            &["locks-out roots-unusable /etc/ivalt/ca.pem"],
            |s| {
                let pem = fs::read_to_string(trusted_authority(s.dir.path())).unwrap();
                s.append(IVALT, "ca_file = \"/etc/ivalt/ca.pem\"\n")
                    .write("etc/ivalt/ca.pem", &pem);
                s
            },
        ),
        (
            "no certificate in it",
            |s| {
                s.append(IVALT, "ca_file = \"/etc/ivalt/ca.pem\"\n")
                    .write("etc/ivalt/ca.pem", "-----\n")
            },
            &["locks-out roots-unusable /etc/ivalt/ca.pem"],
            nothing,
        ),
        (
            "expired",
            |s| {
                s.append(IVALT, "ca_file = \"/etc/ivalt/ca.pem\"\n")
                    .write("etc/ivalt/ca.pem", &expired_authority());
                s
            },
            &["warning roots-expired /etc/ivalt/ca.pem"],
            // One that is good is enough.
            |s| {
                let pem = fs::read_to_string(trusted_authority(s.dir.path())).unwrap();
                s.append(IVALT, "ca_file = \"/etc/ivalt/ca.pem\"\n")
                    .write("etc/ivalt/ca.pem", &(expired_authority() + &pem));
                s
            },
        ),
        (
            "no system roots",
            |s| s.remove("etc/ssl/certs/ca-certificates.crt"),
            &["locks-out roots-unusable /etc/ivalt/ivalt.toml"],
            // Only some files of a system were copied.
            |s| {
                fs::remove_dir_all(s.path("etc/ssl")).unwrap();
                s
            },
        ),
        (
            "another file of users",
            |s| {
                s.write(
                    IVALT,
                    "users_file = \"/etc/u.toml\"\n[api]\nkey = \"SECRET-KEY\"\n",
                )
            },
            &["locks-out users-missing /etc/u.toml"],
            |s| {
                s.write(
                    IVALT,
                    "users_file = \"/etc/u.toml\"\n[api]\nkey = \"SECRET-KEY\"\n",
                );
                fs::rename(s.path(USERS), s.path("etc/u.toml")).unwrap();
                s
            },
        ),
        (
            "an argument",
            |s| {
                s.write(
                    "etc/pam.d/sudo",
                    "auth required pam_ivalt.so config=/etc/none.toml\n",
                )
            },
            &["locks-out settings-missing /etc/none.toml"],
            |s| {
                s.write(
                    "etc/pam.d/sudo",
                    "auth required pam_ivalt.so # config=/etc/none.toml\n",
                )
            },
        ),
        (
            "another file of settings in a stack",
            |s| {
                s.write(
                    "etc/pam.d/sudo",
                    "auth required pam_ivalt.so config=/etc/ivalt/sudo.toml debug\n",
                )
            },
            &["locks-out settings-missing /etc/ivalt/sudo.toml"],
            |s| {
                s.write(
                    "etc/pam.d/sudo",
                    "auth required pam_ivalt.so config=/etc/ivalt/sudo.toml debug\n",
                );
                s.write("etc/ivalt/sudo.toml", "[api]\nkey = \"SECRET-KEY\"\n");
                s
            },
        ),
    ]);
}

fn expired_authority() -> String {
    let mut params = rcgen::CertificateParams::default();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    params.not_after = rcgen::date_time_ymd(2020, 1, 1);
    params
        .self_signed(&rcgen::KeyPair::generate().unwrap())
        .unwrap()
        .pem()
}

#[test]
fn the_settings_that_are_named_are_examined() {
    let system = System::healthy();
    let output = system.run(&["--json", "--config", "/etc/ivalt/other.toml"]);
    Checked::of(&output).gives(
        "--config",
        &["locks-out settings-missing /etc/ivalt/other.toml"],
    );
}

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
            nothing,
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
    ]);
}

#[test]
fn who_is_not_enrolled() {
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

const CAROL: &str = "carol:x:1002:1002::/home/carol:/bin/bash\n";

#[test]
fn module_file() {
    all_give(&[
        (
            "missing",
            |s| s.remove(MODULE),
            &["locks-out module-missing /etc/pam.d/sshd:2"],
            // Only some files of a system were copied.
            |s| {
                fs::remove_dir_all(s.path("usr")).unwrap();
                s
            },
        ),
        (
            "by its path",
            |s| s.write("etc/pam.d/sudo", "auth required \\\n /opt/pam_ivalt.so\n"),
            &["locks-out module-missing /etc/pam.d/sudo:1"],
            |s| {
                s.write("etc/pam.d/sudo", "auth required /opt/pam_ivalt.so\n");
                s.write_bytes("opt/pam_ivalt.so", &shared_object(62));
                s
            },
        ),
        (
            "text",
            |s| s.write(MODULE, "#!/bin/sh\n"),
            &[NOT_ELF],
            nothing,
        ),
        (
            "a program",
            |s| s.write_bytes(MODULE, b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\x3e\0"),
            &[NOT_ELF],
            nothing,
        ),
        (
            "ARM",
            |s| s.write_bytes(MODULE, &shared_object(183)),
            &[ARCHITECTURE],
            |s| {
                s.write_bytes(MODULE, &shared_object(183))
                    .write_bytes(&format!("{MODULES}/pam_unix.so"), &shared_object(183));
                s
            },
        ),
        (
            "32 bit",
            |s| s.write_bytes(MODULE, &with(4, 1)),
            &[ARCHITECTURE],
            nothing,
        ),
        (
            "another library",
            |s| s.write_bytes(MODULE, &shared_object(62)[..64]),
            &["locks-out module-without-entry /usr/lib/x86_64-linux-gnu/security/pam_ivalt.so"],
            nothing,
        ),
        (
            "writable",
            |s| s.mode(MODULE, 0o664),
            &[WRITABLE],
            |s| s.mode(MODULE, 0o755),
        ),
        (
            "its folder",
            |s| s.mode(MODULES, 0o777),
            &["lets-in module-writable /usr/lib/x86_64-linux-gnu/security"],
            nothing,
        ),
    ]);
}

const NOT_ELF: &str = "locks-out module-not-elf /usr/lib/x86_64-linux-gnu/security/pam_ivalt.so";
const ARCHITECTURE: &str =
    "locks-out module-architecture /usr/lib/x86_64-linux-gnu/security/pam_ivalt.so";
const WRITABLE: &str = "lets-in module-writable /usr/lib/x86_64-linux-gnu/security/pam_ivalt.so";

fn with(at: usize, byte: u8) -> Vec<u8> {
    let mut bytes = shared_object(62);
    bytes[at] = byte;
    bytes
}

#[test]
fn foreign_owners() {
    if no_root("only root can give files away") {
        return;
    }
    let cases = [
        (IVALT, "locks-out settings-untrusted /etc/ivalt/ivalt.toml"),
        (USERS, "locks-out users-untrusted /etc/ivalt/users.toml"),
        (MODULE, WRITABLE),
        (
            MODULES,
            "lets-in module-writable /usr/lib/x86_64-linux-gnu/security",
        ),
    ];
    for (path, expected) in cases {
        let system = System::healthy();
        chown(system.path(path), Some(12345), Some(12345)).unwrap();
        system.check().gives(path, &[expected]);
    }
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
                s.append(SSHD, "Match User bob\n  X11Forwarding no\nMatch all\n  AuthenticationMethods publickey\n")
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

#[test]
fn sudo() {
    all_give(&[
        (
            "NOPASSWD",
            |s| {
                s.write(
                    "etc/sudoers.d/bob",
                    "# bob\nbob ALL=(root) \\\n NOPASSWD: /bin/ls\n",
                )
                .append(USERS, "")
            },
            &["warning sudo-nopasswd /etc/sudoers.d/bob:2"],
            |s| s.write("etc/sudoers.d/bob", "#bob ALL=(root) NOPASSWD: /bin/ls\n"),
        ),
        (
            "not asked",
            |s| s.append("etc/sudoers", "Defaults:bob env_reset, !authenticate\n"),
            &["warning sudo-not-asked /etc/sudoers:5"],
            |s| s.append("etc/sudoers", "Defaults:bob authenticate\n"),
        ),
        (
            "never again",
            |s| s.append("etc/sudoers", "Defaults timestamp_timeout=-1\n"),
            &["warning sudo-timestamp /etc/sudoers:5"],
            |s| s.append("etc/sudoers", "Defaults timestamp_timeout = 0\n"),
        ),
        (
            "without a person",
            |s| s.append("etc/sudoers", "Defaults noninteractive_auth\n"),
            &["warning sudo-noninteractive /etc/sudoers:5"],
            |s| s.append("etc/sudoers", "Defaults !noninteractive_auth\n"),
        ),
        (
            "many prompts",
            |s| s.append("etc/sudoers", "Defaults passwd_tries = 4\n"),
            &["warning sudo-many-tries /etc/sudoers:5"],
            |s| {
                s.append("etc/sudoers", "Defaults passwd_tries = 4\n")
                    .append(IVALT, "[token]\nattempts = 1\n");
                s
            },
        ),
        (
            "another service",
            |s| s.append("etc/sudoers", "Defaults pam_service = other\n"),
            &["lets-in sudo-other-service /etc/sudoers:5"],
            |s| {
                s.append(
                    "etc/sudoers",
                    "Defaults pam_service = sshd, pam_login_service=sudo\n",
                )
            },
        ),
        (
            "sudo -i",
            |s| s.write("etc/pam.d/sudo-i", "@include common-auth\n"),
            &["warning twin-not-covered /etc/pam.d/sudo-i"],
            // Fedora's.
            |s| s.write("etc/pam.d/sudo-i", "auth include sudo\n"),
        ),
    ]);
}

#[test]
fn desktops() {
    const LINE: &str = "auth required pam_ivalt.so\n";
    const UNIT: &str = "usr/lib/systemd/system/polkit-agent-helper@.service";
    const DROP_IN: &str = "etc/systemd/system/polkit-agent-helper@.service.d/ivalt.conf";
    // As polkit 127 has it.
    const SANDBOX: &str = "[Service]\nPrivateNetwork=yes\nRestrictAddressFamilies=AF_UNIX\n";
    all_give(&[
        (
            "polkit in a sandbox",
            |s| {
                s.write("etc/pam.d/polkit-1", LINE)
                    .write(UNIT, "[Service]\nPrivateNetwork=yes\n")
            },
            &["locks-out polkit-sandbox /etc/pam.d/polkit-1:1"],
            |s| {
                s.write("etc/pam.d/polkit-1", LINE)
                    .write(UNIT, "[Service]\nPrivateNetwork=yes\n");
                s.write(DROP_IN, "[Service]\nPrivateNetwork=no\n");
                s
            },
        ),
        (
            "polkit without sockets of the internet",
            |s| {
                s.write("etc/pam.d/polkit-1", LINE).write(UNIT, SANDBOX);
                s.write(DROP_IN, "[Service]\nPrivateNetwork=no\n");
                s
            },
            &["locks-out polkit-sandbox /etc/pam.d/polkit-1:1"],
            // The one that is shipped, switched on.
            |s| {
                s.write("etc/pam.d/polkit-1", LINE).write(UNIT, SANDBOX);
                let shipped =
                    include_str!("../../conf/polkit/polkit-agent-helper@.service.d/ivalt.conf");
                let settings = shipped.lines().filter(|line| !line.starts_with("# "));
                let settings = settings.map(|line| line.trim_start_matches('#'));
                s.write(DROP_IN, &settings.collect::<Vec<_>>().join("\n"));
                s
            },
        ),
        (
            "polkit with the drop-in as it is shipped",
            |s| {
                s.write("etc/pam.d/polkit-1", LINE).write(UNIT, SANDBOX);
                s.write(
                    DROP_IN,
                    include_str!("../../conf/polkit/polkit-agent-helper@.service.d/ivalt.conf"),
                );
                s
            },
            &["locks-out polkit-sandbox /etc/pam.d/polkit-1:1"],
            nothing,
        ),
        (
            "polkit of unknown age",
            |s| s.write("etc/pam.d/polkit-1", LINE),
            &["warning polkit-sandbox /etc/pam.d/polkit-1:1"],
            |s| s.write(UNIT, "[Service]\nPrivateNetwork=yes\n"),
        ),
        (
            "a vendor's folder",
            |s| s.write("usr/lib/pam.d/polkit-1", LINE),
            &["warning polkit-sandbox /usr/lib/pam.d/polkit-1:1"],
            // The administrator's file counts.
            |s| {
                s.write("usr/lib/pam.d/polkit-1", LINE)
                    .write("etc/pam.d/polkit-1", "@include common-auth\n")
            },
        ),
        (
            "a lock that runs as the user",
            |s| s.write("etc/pam.d/swaylock", LINE),
            &["locks-out screen-lock-as-user /etc/pam.d/swaylock:1"],
            |s| s.write("etc/pam.d/swaylock", "auth required pam_unix.so\n"),
        ),
        (
            "a display manager",
            |s| s.write("etc/pam.d/gdm-password", LINE),
            &["warning screen-without-network /etc/pam.d/gdm-password:1"],
            nothing,
        ),
    ]);
}

#[test]
fn what_stands_around() {
    all_give(&[
        (
            "SELinux",
            |s| s.write("etc/selinux/config", "# x\nSELINUX=enforcing\n"),
            &["warning selinux /etc/selinux/config"],
            |s| {
                s.write("etc/selinux/config", "SELINUX=enforcing\n")
                    .write("etc/pam.d/sshd", "@include common-auth\n");
                s
            },
        ),
        (
            "a proxy",
            |s| {
                s.append(
                    "etc/environment",
                    "https_proxy=\"http://u:SECRET-KEY@proxy:3128/\"\n",
                )
            },
            &["warning proxy-not-in-settings /etc/environment:2"],
            |s| {
                s.append("etc/environment", "https_proxy=http://proxy:3128\n")
                    .append(IVALT, "proxy = \"http://proxy:3128\"\n");
                s
            },
        ),
        (
            "a proxy of shells",
            |s| {
                s.write(
                    "etc/profile.d/proxy.sh",
                    "export HTTPS_PROXY=http://proxy:3128\n",
                )
            },
            &["warning proxy-not-in-settings /etc/profile.d/proxy.sh:1"],
            |s| {
                s.write(
                    "etc/profile.d/proxy.sh",
                    "# export HTTPS_PROXY=http://proxy:3128\n",
                )
            },
        ),
        (
            "the clock",
            |s| written_in(s, USERS, 3600),
            &["warning clock-behind /etc/ivalt/users.toml"],
            |s| written_in(s, USERS, 60),
        ),
    ]);
}

fn written_in<'a>(system: &'a System, path: &str, seconds: u64) -> &'a System {
    let file = fs::File::options()
        .append(true)
        .open(system.path(path))
        .unwrap();
    file.set_modified(SystemTime::now() + Duration::from_secs(seconds))
        .unwrap();
    system
}

#[test]
fn the_fix_of_a_proxy_is_a_line_of_the_settings() {
    let system = System::healthy();
    system.append("etc/environment", "https_proxy=http://proxy:3128/\n");
    let fix = &system.check().report["findings"][0]["fix"];
    assert_eq!(
        fix,
        "write under [api] in /etc/ivalt/ivalt.toml: proxy = \"http://proxy:3128\""
    );
    system
        .append(IVALT, "proxy = \"http://proxy:3128\"\n")
        .check()
        .gives("fixed", &[]);
}

#[test]
fn every_way_to_come_to_the_line() {
    for (name, text, asked) in [
        (
            "in brackets",
            "auth [success=ok default=die] pam_ivalt.so\n",
            true,
        ),
        ("quiet", "-auth required pam_ivalt.so debug\n", true),
        ("a substack", "auth substack second\n", true),
        ("Debian's include", "@include second\n", true),
        ("joined", "auth \\\nrequired \\\npam_ivalt.so\n", true),
        ("a comment", "# auth required pam_ivalt.so\n", false),
        (
            "behind a comment",
            "auth required pam_unix.so # pam_ivalt.so\n",
            false,
        ),
        ("itself", "auth include login\n@include login\n", false),
        ("another type", "session required pam_ivalt.so\n", false),
    ] {
        let system = System::healthy();
        system.write(
            "etc/pam.d/second",
            "auth required pam_unix.so\nauth required pam_ivalt.so\n",
        );
        let report = system.write("etc/pam.d/login", text).check().report;
        let services = report["services"].as_array().unwrap();
        assert_eq!(services.contains(&"login".into()), asked, "{name}");
    }
}

#[test]
fn the_worst_stands_first_and_all_is_counted() {
    let system = System::healthy();
    system
        .replace(SSHD, "UsePAM yes", "UsePAM no")
        .replace(USERS, "bob = \"+14155550101\"", "\"b\\u001b[31mob\" = 5")
        .mode(USERS, 0o644);
    let output = system.run(&[]);
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(!said.contains('\u{1b}'), "{said:?}");
    let heads: Vec<_> = said.lines().filter(|line| !line.starts_with(' ')).collect();
    assert_eq!(
        heads,
        [
            "lets in /etc/ssh/sshd_config:2 [sshd-pam-off]",
            "locks out /etc/ivalt/users.toml:3 [bad-entry]",
            "warning /etc/ivalt/users.toml [users-readable]",
            "1 lets in, 1 locks out, 1 warning",
            "services that ask iVALT: sshd, sudo, sudo-i",
        ]
    );
    assert!(
        said.contains("  fix: chmod 0600 /etc/ivalt/users.toml\n"),
        "{said}"
    );
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn a_root_that_is_none_is_refused() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ivaltctl"));
    let output = command
        .args(["check", "--root", "/no/such/folder"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(
        said,
        "ivaltctl: /no/such/folder: is not a folder; nothing was checked\n"
    );
}

/// A hundred thousand users, all of them wrong, are still counted in one walk.
#[test]
fn a_large_register() {
    let mut text = "[users]\n".to_owned();
    for number in 0..100_000 {
        text += &format!("u{number} = \"4155550100\"\n");
    }
    let system = System::healthy();
    system.write(USERS, &text).write("etc/group", "");
    let begun = std::time::Instant::now();
    let checked = system.check();
    assert_eq!(checked.report["locks_out"], 100_001);
    assert!(
        begun.elapsed() < Duration::from_secs(60),
        "{:?}",
        begun.elapsed()
    );
}

/// A healthy system that asks this URL and trusts this authority.
fn online(url: &str, authority: &Path) -> System {
    let system = System::healthy();
    let pem = fs::read_to_string(authority).unwrap();
    system.write("etc/ivalt/ca.pem", &pem);
    system.write(IVALT, &format!("{CA}url = \"{url}\"\n"));
    system
}

const CA: &str =
    "[api]\nkey = \"test-api-key\"\ntimeout_seconds = 3\nca_file = \"/etc/ivalt/ca.pem\"\n";

fn ask(system: &System) -> Checked {
    Checked::of(&system.run(&["--online", "--json"]))
}

fn steps(checked: &Checked) -> Vec<&str> {
    let steps = checked.report["steps"].as_array().unwrap();
    steps
        .iter()
        .map(|step| step["step"].as_str().unwrap())
        .collect()
}

#[test]
fn online_sees_every_step_and_sends_no_secret() {
    let ivalt = StandIn::start();
    let system = online(&ivalt.url(), &ivalt.ca());
    let checked = ask(&system);
    checked.gives("online", &[]);
    assert_eq!(
        steps(&checked),
        ["dns", "connect", "tls", "request", "answer"]
    );
    let said = |index: usize| {
        checked.report["steps"][index]["said"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    assert_eq!(said(0), "127.0.0.1");
    assert!(
        said(2).starts_with("TLS 1.3, certificate of \"CN=ivalt-stand-in\", by "),
        "{}",
        said(2)
    );
    assert!(checked.report["steps"][2]["ms"].is_u64());
    let requests = ivalt.requests();
    assert_eq!(requests.len(), 1);
    assert_eq!(requests[0]["method"], "HEAD");
    assert!(
        !requests[0].to_string().contains("test-api-key"),
        "{}",
        requests[0]
    );
    assert!(!checked.report.to_string().contains("test-api-key"));
}

#[test]
fn client_credentials_are_tried() {
    let ivalt = StandIn::start();
    for (secret, key, expected) in [
        ("accept-1", "test-api-key", &[][..]),
        (
            "reject-1",
            "test-api-key",
            &["warning online-client-refused /etc/ivalt/ivalt.toml:5"],
        ),
        (
            "accept-1",
            "wrong",
            &["locks-out online-api-key-refused /etc/ivalt/ivalt.toml:5"],
        ),
        (
            "http-503",
            "test-api-key",
            &["locks-out online-answer /etc/ivalt/ivalt.toml:5"],
        ),
    ] {
        let system = online(&ivalt.url(), &ivalt.ca());
        system.append(
            IVALT,
            &format!("client_id = \"id\"\nclient_secret = \"{secret}\"\n"),
        );
        system.replace(IVALT, "test-api-key", key);
        let checked = ask(&system);
        checked.gives(secret, expected);
        assert_eq!(
            steps(&checked),
            ["dns", "connect", "tls", "request", "answer", "api/v1/auth"]
        );
        assert!(
            !checked.report.to_string().contains(secret),
            "{}",
            checked.report
        );
    }
}

#[test]
fn a_way_that_ends_early() {
    let refused = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let authority = TempDir::new();
    let authority = trusted_authority(authority.path());
    let tls = |kind| Server::tls(kind, |_| {});
    let expired = tls(Certificate::Expired);
    let unknown = tls(Certificate::UnknownAuthority);
    let other = tls(Certificate::OtherName);
    let plain =
        Server::raw(|mut stream| drop(std::io::Write::write_all(&mut stream, b"SSH-2.0-x\r\n")));
    let local = |port: u16| format!("https://127.0.0.1:{port}/base");
    for (url, id, cause, last) in [
        (
            local(refused),
            "online-connect",
            "connect: connection refused",
            "connect",
        ),
        (
            "https://ivalt.invalid/base".to_owned(),
            "online-dns",
            "dns: ",
            "dns",
        ),
        (
            local(expired.port),
            "online-tls",
            "tls: certificate expired",
            "tls",
        ),
        (
            local(unknown.port),
            "online-tls",
            "tls: certificate of an unknown issuer",
            "tls",
        ),
        (
            local(other.port),
            "online-tls",
            "tls: certificate is for another name",
            "tls",
        ),
        (local(plain.port), "online-tls", "tls: ", "tls"),
    ] {
        let system = online(&url, &authority);
        let checked = ask(&system);
        checked.gives(cause, &[&format!("locks-out {id} /etc/ivalt/ivalt.toml:5")]);
        let what = checked.report["findings"][0]["what"]
            .as_str()
            .unwrap()
            .to_owned();
        assert!(what.starts_with(cause), "{what}");
        assert_eq!(steps(&checked).last(), Some(&last), "{}", checked.report);
        // By policy, whoever cannot be asked is let past.
        let checked = ask(system.append(IVALT, "[policy]\nunavailable = \"ignore\"\n"));
        let lines = checked.lines();
        assert!(
            lines.contains(&format!("lets-in {id} /etc/ivalt/ivalt.toml:5")),
            "{lines:?}"
        );
    }
}

#[test]
fn what_an_answer_shows() {
    let authority = TempDir::new();
    let authority = trusted_authority(authority.path());
    let now = |headers: &str| answer("404 Not Found", headers, b"");
    for (name, bytes, expected) in [
        (
            "a date long ago",
            now("date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"),
            &["warning online-clock /etc/ivalt/ivalt.toml:5"][..],
        ),
        ("no date", now(""), &[]),
        ("a date that is none", now("date: today\r\n"), &[]),
        (
            "no HTTP",
            b"hello\r\n\r\n".to_vec(),
            &["locks-out online-answer /etc/ivalt/ivalt.toml:5"],
        ),
        (
            "nothing",
            Vec::new(),
            &["locks-out online-answer /etc/ivalt/ivalt.toml:5"],
        ),
    ] {
        let server = Server::answering(bytes);
        let system = online(
            &format!("https://127.0.0.1:{}/base", server.port),
            &authority,
        );
        ask(&system).gives(name, expected);
    }
}

#[test]
fn a_certificate_that_ends_soon() {
    let server = Server::tls(Certificate::EndsSoon, |tls| {
        let _ = std::io::Write::write_all(tls, &answer("200 OK", "", b""));
    });
    let authority = TempDir::new();
    let authority = trusted_authority(authority.path());
    let system = online(
        &format!("https://127.0.0.1:{}/base", server.port),
        &authority,
    );
    ask(&system).gives(
        "ends soon",
        &["warning online-certificate-ends /etc/ivalt/ivalt.toml:5"],
    );
}

#[test]
fn online_uses_the_proxy() {
    let ivalt = StandIn::start();
    let (upstream, authority) = (ivalt.port(), ivalt.ca());
    let proxy = Server::raw(move |stream| tunnel(stream, upstream));
    let system = online(&ivalt.url(), &authority);
    system.append(
        IVALT,
        &format!("proxy = \"http://127.0.0.1:{}\"\n", proxy.port),
    );
    ask(&system).gives("by proxy", &[]);
    assert_eq!((proxy.connections(), ivalt.requests().len()), (1, 1));
}

/// What a proxy does with CONNECT.
fn tunnel(mut client: std::net::TcpStream, port: u16) {
    use std::io::{BufRead, BufReader, Write, copy};
    let mut head = BufReader::new(client.try_clone().unwrap());
    let mut line = String::new();
    while head.read_line(&mut line).is_ok_and(|amount| amount > 2) {
        line.clear();
    }
    client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
    let mut server = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
    let (mut from, mut to) = (server.try_clone().unwrap(), client.try_clone().unwrap());
    let back = std::thread::spawn(move || {
        let _ = copy(&mut from, &mut to);
        let _ = to.shutdown(std::net::Shutdown::Both);
    });
    let _ = copy(&mut head, &mut server);
    let _ = server.shutdown(std::net::Shutdown::Write);
    back.join().unwrap();
}
