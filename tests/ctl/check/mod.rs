//! `ivaltctl check` on systems below a folder: every fault gives its finding and nothing else, and its healthy
//! counterpart gives none.

mod desktop;
mod enabling;
mod environment;
mod hosts;
mod module_file;
mod online;
mod push;
mod recovery;
mod report;
mod root_login;
mod services;
mod settings;
mod sshd;
mod sudo;
mod synced;
mod users;

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use support::certificates::trusted_authority;
use support::finding_table::{must_know, table};
use support::{TempDir, ivaltctl_path, write_file};

pub const IVALT: &str = "etc/ivalt/ivalt.toml";
pub const USERS: &str = "etc/ivalt/users.toml";
pub const SSHD: &str = "etc/ssh/sshd_config";
const MODULES: &str = "usr/lib/x86_64-linux-gnu/security";
pub const MODULE: &str = "usr/lib/x86_64-linux-gnu/security/pam_ivalt.so";

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
pub struct System {
    dir: TempDir,
}

impl System {
    pub fn healthy() -> Self {
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

    pub fn path(&self, path: &str) -> std::path::PathBuf {
        self.dir.join(path)
    }

    pub fn write(&self, path: &str, text: &str) -> &Self {
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
    pub fn append(&self, path: &str, text: &str) -> &Self {
        let before = fs::read_to_string(self.path(path)).unwrap_or_default();
        self.write(path, &(before + text))
    }

    pub fn replace(&self, path: &str, from: &str, to: &str) -> &Self {
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
        let mut command = Command::new(ivaltctl_path());
        command
            .arg("check")
            .arg("--root")
            .arg(self.dir.path())
            .args(words);
        // Proxies in the environment of the tests must not become findings.
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
/// Its name, what is done, and what that gives; the last change is that of the healthy counterpart, and gives nothing.
type Fault = (&'static str, Change, &'static [&'static str], Change);

fn nothing(system: &System) -> &System {
    system
}

#[track_caller]
fn all_give(faults: &[Fault]) {
    for (name, fault, expected, counterpart) in faults {
        let system = System::healthy();
        fault(&system);
        system.check().gives(name, expected);
        let system = System::healthy();
        counterpart(&system);
        system
            .check()
            .gives(&format!("the healthy counterpart of: {name}"), &[]);
    }
}
