//! `ivaltctl enable` and `disable` on systems below a folder: their JSON, and what a dry run leaves alone.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::check::System;
use crate::tool::{Called, bind_over, command, heard, ivaltctl};
use support::{TempDir, sandbox_test};

const SUDO: [&str; 2] = ["/etc/pam.d/sudo", "/etc/pam.d/sudo-i"];

/// A healthy system on which sudo does not ask for iVALT.
pub fn asks_nobody() -> System {
    let system = System::healthy();
    for service in SUDO {
        system.write(&service[1..], "@include common-auth\n");
    }
    system
}

fn call(system: &System, words: &[&str]) -> Called {
    let root = system.path("");
    ivaltctl(&[words, &["--root", root.to_str().unwrap()]].concat())
}

/// The whole of standard output is one object.
#[track_caller]
fn json_of(system: &System, words: &[&str], status: i32) -> Value {
    let called = call(system, &[words, &["--json"]].concat());
    assert_eq!(called.status, status, "{called:?}");
    assert_eq!(called.stdout.lines().count(), 1, "{called:?}");
    called.json()
}

fn sudo(state: &str) -> Value {
    json!([{"service": "sudo", "state": state, "until": null, "files": SUDO}])
}

/// Everything below a folder: mode, inode, when content and attributes changed, and the bytes.
type Tree = BTreeMap<PathBuf, (u32, u64, (i64, i64), (i64, i64), Vec<u8>)>;

fn tree(folder: &Path) -> Tree {
    let mut tree = Tree::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(path) = folders.pop() {
        let metadata = fs::symlink_metadata(&path).unwrap();
        if metadata.is_dir() {
            let entries = fs::read_dir(&path).unwrap();
            folders.extend(entries.map(|entry| entry.unwrap().path()));
        }
        let facts = (
            metadata.mode(),
            metadata.ino(),
            (metadata.mtime(), metadata.mtime_nsec()),
            (metadata.ctime(), metadata.ctime_nsec()),
            fs::read(&path).unwrap_or_default(),
        );
        tree.insert(path, facts);
    }
    tree
}

#[track_caller]
fn unchanged(system: &System, before: &Tree) {
    let after = tree(&system.path(""));
    let paths = before.keys().chain(after.keys());
    let differs = |path: &&PathBuf| before.get(*path) != after.get(*path);
    let changed: Vec<_> = paths.filter(differs).collect();
    assert!(changed.is_empty(), "{changed:?}");
}

fn diff(path: &str, before: &str, after: &str) -> String {
    format!("--- {path}\n+++ {path}\n{before}{after}")
}

fn enabling(path: &str) -> String {
    diff(
        path,
        "@@ -1 +1,3 @@\n",
        " @include common-auth\n+# By `ivaltctl enable`; `ivaltctl disable` puts the file back as it was.\n\
         +auth    required    pam_ivalt.so\n",
    )
}

fn disabling(path: &str) -> String {
    diff(
        path,
        "@@ -1,3 +1 @@\n",
        " @include common-auth\n-# By `ivaltctl enable`; `ivaltctl disable` puts the file back as it was.\n\
         -auth    required    pam_ivalt.so\n",
    )
}

#[test]
fn json_from_enable_to_disable() {
    let system = asks_nobody();
    assert_eq!(
        json_of(&system, &["enable", "sudo", "--yes"], 0),
        json!({"changed": true, "done": "enabled", "diffs": SUDO.map(enabling), "services": sudo("confirmed")})
    );
    assert_eq!(
        json_of(&system, &["enable", "sudo", "--yes"], 0),
        json!({"changed": false, "done": "nothing", "services": sudo("confirmed")})
    );
    assert_eq!(
        json_of(&system, &["enable", "sudo", "--dry-run"], 0),
        json!({
            "changed": false, "done": "nothing", "dry_run": true, "would_change": false,
            "services": sudo("confirmed"),
        })
    );
    assert_eq!(
        json_of(&system, &["disable", "sudo", "--yes"], 0),
        json!({"changed": true, "done": "disabled", "diffs": SUDO.map(disabling), "services": sudo("disabled")})
    );
    assert_eq!(
        json_of(&system, &["disable", "--all", "--yes"], 0),
        json!({"changed": false, "done": "nothing", "services": []})
    );
    assert_eq!(
        json_of(&system, &["disable", "sudo", "--yes"], 1)["changed"],
        json!(false)
    );
}

/// What `enable` wrote may have been put back in part, or edited away: to say that it is enabled would be wrong.
#[test]
fn what_is_enabled_in_part_is_not_taken_for_enabled() {
    let system = asks_nobody();
    let as_before = fs::read_to_string(system.path("etc/pam.d/sudo-i")).unwrap();
    json_of(&system, &["enable", "sudo", "--yes"], 0);
    let enabled = fs::read_to_string(system.path("etc/pam.d/sudo-i")).unwrap();
    system.append("etc/pam.d/sudo-i", "# mine\n");
    json_of(&system, &["enable", "sudo", "--yes"], 0);
    let file = system.path("etc/pam.d/sudo-i").display().to_string();
    for (text, why) in [
        (
            as_before.clone(),
            format!(
                "{file} is as it was before `ivaltctl enable`; put everything back: ivaltctl disable sudo; then begin again: \
                 ivaltctl enable sudo"
            ),
        ),
        (
            format!("{as_before}# mine\n"),
            format!(
                "{file} was edited and does not ask for iVALT; undo the edit shown above, and run this again"
            ),
        ),
    ] {
        system.write("etc/pam.d/sudo-i", &text);
        let before = tree(&system.path(""));
        let said = json_of(&system, &["enable", "sudo", "--yes"], 1);
        assert_eq!(
            said["refused"],
            format!("sudo is already enabled, and something is wrong: {why}")
        );
        unchanged(&system, &before);
    }
    system.write("etc/pam.d/sudo-i", &enabled);
    system.replace("etc/ivalt/ivalt.toml", "SECRET-KEY", "");
    let said = json_of(&system, &["enable", "sudo", "--yes"], 1);
    assert_eq!(said["findings"][0]["id"], "settings-invalid");
    assert!(said["refused"].as_str().unwrap().starts_with(
        "sudo is already enabled, and something is wrong: somebody is let in or locked out: settings-invalid in "
    ));
}

/// An administrator who removes the line, or turns it into a comment, has disabled the service, and nobody has edited what
/// `disable` would put back.
#[test]
fn a_line_that_was_removed_manually_is_not_put_back() {
    let system = asks_nobody();
    json_of(&system, &["enable", "sudo", "--yes"], 0);
    for file in ["etc/pam.d/sudo", "etc/pam.d/sudo-i"] {
        let text = fs::read_to_string(system.path(file)).unwrap();
        system.write(
            file,
            &text.replace("auth    required    pam_ivalt", "#auth required pam_ivalt"),
        );
    }
    assert_eq!(
        json_of(&system, &["disable", "--all", "--yes"], 0),
        json!({"changed": false, "done": "nothing", "services": []})
    );
    let refused = json_of(&system, &["disable", "sudo", "--yes"], 1);
    assert_eq!(refused["changed"], json!(false));
}

#[test]
fn a_refusal_says_why_on_standard_error_and_in_the_object() {
    let system = asks_nobody();
    system.replace("etc/ivalt/ivalt.toml", "SECRET-KEY", "");
    for option in ["--yes", "--dry-run"] {
        let called = call(&system, &["enable", "sudo", option, "--json"]);
        let why = "with this change somebody would be let in or locked out, so nothing was changed; fix the above first";
        assert_eq!(
            (called.status, called.stderr.as_str()),
            (1, format!("ivaltctl: {why}\n").as_str())
        );
        let said = called.json();
        assert_eq!(said["refused"], why);
        assert_eq!(
            (&said["changed"], &said["done"]),
            (&json!(false), &json!("nothing"))
        );
        assert_eq!(said["findings"][0]["id"], "settings-invalid");
        assert_eq!(said["findings"].as_array().unwrap().len(), 1);
    }
}

/// On a machine without it nobody runs `sshd -t`; below a folder its settings are all that is known of it.
#[sandbox_test]
fn where_sshd_is_not_installed_the_command_that_installs_it_is_named() {
    let nothing = TempDir::new();
    for (system, install) in [
        ("ID=debian\n", "install it: apt install openssh-server"),
        ("ID=fedora\n", "install it: dnf install openssh-server"),
        (
            "ID=sles\nID_LIKE=\"suse\"\n",
            "install it: zypper install openssh",
        ),
        ("ID=arch\n", "install it: pacman -S openssh"),
        ("ID=unheard-of\n", "install OpenSSH's server"),
    ] {
        let expected = |why: &str| {
            format!(
                "ivaltctl: sshd is not installed ({why}), so nothing was changed; for logins by ssh, {install}; then run this again\n"
            )
        };
        let folder = TempDir::new();
        fs::create_dir(folder.join("etc")).unwrap();
        folder.write("etc/os-release", system, 0o644);
        let words = ["enable", "sshd", "--dry-run"];
        let below = ivaltctl(&[&words[..], &["--root", folder.path().to_str().unwrap()]].concat());
        let why = "/etc/ssh/sshd_config is not there";
        assert_eq!((below.status, below.stderr), (1, expected(why)));
        let mut here = command(&words);
        let binds = [
            (folder.join("etc"), "/etc"),
            (nothing.path().to_owned(), "/usr/sbin"),
        ];
        bind_over(&mut here, binds.map(|(from, to)| (from, to.into())).into());
        let (here, log) = heard(here, "");
        let why = "neither /usr/sbin/sshd nor /usr/bin/sshd is there";
        assert_eq!((here.status, here.stderr), (1, expected(why)));
        assert_eq!(log, [""; 0]);
    }
}

/// What is there and cannot be read is not taken for missing.
#[test]
fn an_sshd_config_that_cannot_be_read_is_named() {
    for path in ["/etc/ssh/sshd_config", "/usr/etc/ssh/sshd_config"] {
        let system = asks_nobody();
        fs::remove_file(system.path("etc/ssh/sshd_config")).unwrap();
        fs::create_dir_all(system.path(&path[1..])).unwrap();
        let called = call(&system, &["enable", "sshd", "--dry-run"]);
        let why = format!("ivaltctl: {path}: cannot be read: Is a directory");
        assert!(called.stderr.starts_with(&why), "{called:?}");
        assert_eq!(called.status, 1);
    }
}

#[test]
fn a_dry_run_shows_the_change_and_makes_none() {
    let system = asks_nobody();
    let before = tree(&system.path(""));
    assert_eq!(
        json_of(&system, &["enable", "sudo", "--dry-run"], 0),
        json!({
            "changed": false, "done": "nothing", "dry_run": true, "would_change": true,
            "diffs": SUDO.map(enabling), "services": sudo("confirmed"),
        })
    );
    let called = call(&system, &["enable", "sudo", "--dry-run"]);
    let shown = SUDO.map(enabling).concat();
    let root = system.path("");
    let end = format!(
        "sudo: iVALT is enabled below {} (dry run: nothing was changed)\n",
        root.display()
    );
    assert_eq!((called.status, called.stdout), (0, shown + &end));
    assert_eq!(call(&system, &["enable", "nosuch", "--dry-run"]).status, 1);
    assert_eq!(call(&system, &["disable", "sudo", "--dry-run"]).status, 1);
    assert_eq!(call(&system, &["disable", "--all", "--dry-run"]).status, 0);
    unchanged(&system, &before);

    assert_eq!(call(&system, &["enable", "sudo", "--yes"]).status, 0);
    // An older version left it open; a dry run does not close it.
    let folder = system.path("var/lib/ivalt");
    fs::set_permissions(&folder, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let before = tree(&system.path(""));
    assert_eq!(
        json_of(&system, &["disable", "--all", "--dry-run"], 0),
        json!({
            "changed": false, "done": "nothing", "dry_run": true, "would_change": true,
            "diffs": SUDO.map(disabling), "services": sudo("disabled"),
        })
    );
    let called = call(&system, &["disable", "sudo", "--dry-run"]);
    let end = "sudo: iVALT is disabled, the files are as they were before (dry run: nothing was changed)\n";
    assert_eq!(
        (called.status, called.stdout),
        (0, SUDO.map(disabling).concat() + end)
    );
    unchanged(&system, &before);

    system.append("etc/pam.d/sudo-i", "# mine\n");
    let before = tree(&system.path(""));
    let said = json_of(&system, &["disable", "--all", "--dry-run"], 1);
    assert!(
        said["refused"].as_str().unwrap().contains(
            "/etc/pam.d/sudo-i: edited since `ivaltctl enable`, so nothing was changed; "
        )
    );
    assert_eq!(said["diffs"].as_array().unwrap().len(), 1);
    unchanged(&system, &before);
}

/// What a later step would refuse, a dry run refuses.
#[test]
fn a_dry_run_sees_a_lock_that_others_could_hold() {
    let system = asks_nobody();
    system.write("var/lib/ivalt/exclusive.lock", "");
    let lock = system.path("var/lib/ivalt/exclusive.lock");
    for option in ["--dry-run", "--yes"] {
        let called = call(&system, &["enable", "sudo", option]);
        assert_eq!(called.status, 1, "{called:?}");
        assert_eq!(
            called.stderr,
            format!(
                "ivaltctl: {0}: users other than root may open it, and so could keep ivaltctl waiting; nothing was changed; remove it: rm {0}\n",
                lock.display()
            )
        );
    }
}

/// What belongs to others is shown as text.
#[test]
fn escape_sequences_of_the_system_do_not_reach_the_terminal() {
    let system = asks_nobody();
    system.write(
        "etc/pam.d/sudo",
        "# \u{1b}]0;x\u{7}\n@include\tcommon-auth\n",
    );
    let called = call(&system, &["enable", "sudo", "--dry-run"]);
    assert_eq!(called.status, 0, "{called:?}");
    assert!(
        called
            .stdout
            .contains("\n # \\u{1b}]0;x\\u{7}\n @include\tcommon-auth\n+"),
        "{called:?}"
    );
    let diff = &json_of(&system, &["enable", "sudo", "--dry-run"], 0)["diffs"][0];
    assert!(
        diff.as_str().unwrap().contains("\n # \u{1b}]0;x\u{7}\n"),
        "{diff}"
    );
}
