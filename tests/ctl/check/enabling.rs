//! `enable sshd` and `disable sshd` below a folder: which file is changed, and that every byte comes back.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use super::{SSHD, System};
use support::ivaltctl_path;

const INCLUDE: &str = "Include /etc/ssh/sshd_config.d/*.conf\n";
const DEBIAN: &str =
    "Include /etc/ssh/sshd_config.d/*.conf\nKbdInteractiveAuthentication no\nUsePAM yes\n";
const FOLDER: &str = "etc/ssh/sshd_config.d";
const DROP_IN: &str = "etc/ssh/sshd_config.d/00-ivalt.conf";
const VENDOR: &str = "usr/etc/ssh/sshd_config";
const LINES: &str = "UsePAM yes\nKbdInteractiveAuthentication yes\nPasswordAuthentication no\n\
                     AuthenticationMethods publickey,keyboard-interactive keyboard-interactive\n";
const HEADER: &str = "# By `ivaltctl enable`; `ivaltctl disable` puts the file back as it was.\n";
const FOOTER: &str = "# End of what `ivaltctl enable` wrote.\n";

/// A system whose sshd asks no iVALT yet.
fn system(config: &str, version: &str) -> System {
    let system = System::healthy();
    system.write("etc/pam.d/sshd", "auth requisite pam_unix.so\n");
    system.write(SSHD, config);
    system.write("usr/sbin/sshd", &format!("\0OpenSSH_{version}\0"));
    system
}

fn tool(system: &System, words: &[&str]) -> Output {
    let mut command = Command::new(ivaltctl_path());
    command.args(words).arg("--root").arg(system.dir.path());
    command.env_clear().current_dir("/").stdin(Stdio::null());
    command.output().unwrap()
}

/// Everything but the saved state: folders, texts, and where links lead.
fn tree(system: &System) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut folders = vec![system.dir.path().to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(system.dir.path()).unwrap();
            let name = name.display().to_string();
            let metadata = fs::symlink_metadata(&path).unwrap();
            let mode = metadata.permissions().mode();
            let what = if metadata.is_dir() {
                folders.push(path);
                String::new()
            } else if metadata.is_symlink() {
                fs::read_link(&path).unwrap().display().to_string()
            } else {
                String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned()
            };
            found.insert(name, format!("{mode:o} {what}"));
        }
    }
    found.retain(|name, _| !name.starts_with("var"));
    found
}

#[track_caller]
fn enabled(system: &System) {
    let output = tool(system, &["enable", "sshd", "--yes"]);
    let shown = format!("{output:?}");
    assert_eq!(output.status.code(), Some(0), "{shown}");
    let report = system.check();
    assert_eq!(report.report["lets_in"], 0, "{}", report.report);
    assert_eq!(report.report["locks_out"], 0, "{}", report.report);
}

#[track_caller]
fn comes_back(system: &System, before: &BTreeMap<String, String>) {
    let output = tool(system, &["disable", "sshd", "--yes"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(&tree(system), before);
}

#[track_caller]
fn refused(system: &System) -> String {
    let before = tree(system);
    let output = tool(system, &["enable", "sshd", "--yes"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert_eq!(tree(system), before);
    String::from_utf8(output.stderr).unwrap()
}

fn read(system: &System, path: &str) -> String {
    fs::read_to_string(system.path(path)).unwrap()
}

#[test]
fn a_drop_in_where_sshd_comes_to_it_first() {
    for config in [
        DEBIAN,
        "include sshd_config.d/*\nUsePAM no\n",
        "Include \"/etc/ssh/*.d/[0-9]*.conf\"\nUsePAM no\n",
        "Port 22\nInclude=/etc/ssh/sshd_config.d/*.conf\nPasswordAuthentication yes\n",
    ] {
        let system = system(config, "9.2p1");
        let before = tree(&system);
        enabled(&system);
        assert_eq!(
            read(&system, DROP_IN),
            format!("{HEADER}{LINES}"),
            "{config}"
        );
        assert_eq!(read(&system, SSHD), config);
        comes_back(&system, &before);
    }
}

/// Above all else, where a drop-in would not be read, or not first.
#[test]
fn the_top_of_sshd_config_elsewhere() {
    for (config, version) in [
        ("UsePAM no\n", "9.2p1"),
        (
            "PasswordAuthentication yes\nInclude /etc/ssh/sshd_config.d/*.conf\n",
            "9.2p1",
        ),
        (
            "Match User bob\nInclude /etc/ssh/sshd_config.d/*.conf\n",
            "9.2p1",
        ),
        (
            "Include /etc/ssh/sshd_config.d/[1-9]*.conf\r\nUsePAM yes",
            "9.2p1",
        ),
        ("Include '/etc/ssh/sshd_config.d/*.conf'\n", "8.4p1"),
        ("# Include /etc/ssh/sshd_config.d/*.conf\n", "8.2p1"),
        // RHEL 8 and SLE 15 SP2 have no Include: what one names is never read.
        ("Include /etc/ssh/sshd_config.d/*.conf\n", "8.1p1"),
        ("ChallengeResponseAuthentication no\nUsePAM yes\n", "8.0p1"),
        ("UsePAM yes\n", "8.1p1"),
    ] {
        let system = system(config, version);
        system.mode(SSHD, 0o600);
        let before = tree(&system);
        enabled(&system);
        let lines = if version.starts_with('8') {
            LINES.replace("Password", "ChallengeResponseAuthentication yes\nPassword")
        } else {
            LINES.to_owned()
        };
        let expected = format!("{HEADER}{lines}{FOOTER}{config}");
        assert_eq!(read(&system, SSHD), expected, "{config} {version}");
        assert!(!system.path(DROP_IN).exists());
        comes_back(&system, &before);
    }
}

/// A drop-in of an administrator comes before ours.
#[test]
fn an_earlier_drop_in() {
    let system = system(DEBIAN, "9.2p1");
    system.write(
        "etc/ssh/sshd_config.d/00-a.conf",
        "PasswordAuthentication yes\n",
    );
    let before = tree(&system);
    enabled(&system);
    assert_eq!(
        read(&system, SSHD),
        format!("{HEADER}{LINES}{FOOTER}{DEBIAN}")
    );
    comes_back(&system, &before);
}

#[test]
fn a_missing_folder_is_made_and_removed_again() {
    let system = system(DEBIAN, "9.2p1");
    fs::remove_dir_all(system.path(FOLDER)).unwrap();
    let before = tree(&system);
    enabled(&system);
    let mode = fs::metadata(system.path(FOLDER)).unwrap().permissions();
    assert_eq!(mode.mode() & 0o7777, 0o755);
    comes_back(&system, &before);
    // Not while others have a file there, and not if it was there before.
    enabled(&system);
    system.write("etc/ssh/sshd_config.d/50-own.conf", "# mine\n");
    let output = tool(&system, &["disable", "sshd", "--yes"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(
        read(&system, "etc/ssh/sshd_config.d/50-own.conf"),
        "# mine\n"
    );
    system.remove("etc/ssh/sshd_config.d/50-own.conf");
    let before = tree(&system);
    enabled(&system);
    comes_back(&system, &before);
}

/// openSUSE Tumbleweed and SLE 16.
fn vendor(config: &str) -> System {
    let system = system("", "10.0p2");
    system.remove(SSHD).write(VENDOR, config);
    system.mode(VENDOR, 0o640);
    system
}

#[test]
fn a_vendor_file_is_read_and_not_changed() {
    let config = format!(
        "{INCLUDE}Include /usr/etc/ssh/sshd_config.d/*.conf\nUsePAM yes\nPasswordAuthentication yes\n"
    );
    let system = vendor(&config);
    system.write(
        "usr/etc/ssh/sshd_config.d/50-a.conf",
        "KbdInteractiveAuthentication no\n",
    );
    let before = tree(&system);
    enabled(&system);
    assert_eq!(read(&system, DROP_IN), format!("{HEADER}{LINES}"));
    assert_eq!(read(&system, VENDOR), config);
    assert!(!system.path(SSHD).exists());
    comes_back(&system, &before);
    // What an administrator wrote counts instead.
    system.write(SSHD, "UsePAM no\n");
    enabled(&system);
    assert!(!system.path(DROP_IN).exists());
}

#[test]
fn a_vendor_file_that_includes_no_drop_ins_is_left_to_the_administrator() {
    let system = vendor("UsePAM yes\n");
    let why = refused(&system);
    assert!(
        why.contains(
            "/usr/etc/ssh/sshd_config: /etc/ssh/sshd_config.d/00-ivalt.conf would not count here"
        ),
        "{why}"
    );
    assert!(why.contains(LINES.trim_end()), "{why}");
    // They were written by hand.
    let system = vendor(LINES);
    let before = tree(&system);
    enabled(&system);
    assert!(!system.path(DROP_IN).exists() && !system.path(SSHD).exists());
    comes_back(&system, &before);
}

/// NixOS writes it anew.
#[test]
fn a_linked_sshd_config_is_not_replaced() {
    let system = system("", "9.2p1");
    system.remove(SSHD).write("nix/sshd_config", "UsePAM yes\n");
    symlink("/nix/sshd_config", system.path(SSHD)).unwrap();
    let why = refused(&system);
    assert!(why.contains(LINES.trim_end()), "{why}");
    system.write("nix/sshd_config", DEBIAN);
    let before = tree(&system);
    enabled(&system);
    assert!(Path::new(&system.path(DROP_IN)).exists());
    comes_back(&system, &before);
}
