//! What is printed.

use std::process::Command;

use super::{SSHD, System, USERS};
use support::ivaltctl_path;

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
        "nothing found; 0 accepted\nservices that ask iVALT: sshd, sudo, sudo-i\n"
    );
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn the_worst_comes_first_and_all_is_counted() {
    let system = System::healthy();
    system
        .replace(SSHD, "UsePAM yes", "UsePAM no")
        .replace(USERS, "bob = \"+14155550101\"", "\"b\\u001b[31mob\" = 5")
        .mode(USERS, 0o644);
    let output = system.run(&[]);
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(!said.contains('\u{1b}'), "{said:?}");
    let elsewhere = format!(
        "files and commands are those of the system below {}; run them there, not on this machine",
        system.path("etc").parent().unwrap().display()
    );
    let heads: Vec<_> = said.lines().filter(|line| !line.starts_with(' ')).collect();
    assert_eq!(
        heads,
        [
            "lets in /etc/ssh/sshd_config:2 [sshd-pam-off]",
            "locks out /etc/ivalt/users.toml:3 [bad-entry]",
            "warning /etc/ivalt/users.toml [users-readable]",
            "3 problems: 1 lets users in, 1 locks users out, 1 warning; 0 accepted",
            &elsewhere,
            "services that ask iVALT: sshd, sudo, sudo-i",
        ]
    );
    assert!(
        said.contains("  fix: chmod o-r /etc/ivalt/users.toml\n"),
        "{said}"
    );
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn a_root_that_is_not_a_folder_is_refused() {
    let mut command = Command::new(ivaltctl_path());
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

#[test]
fn one_problem_is_counted_in_the_singular() {
    let system = System::healthy();
    let output = system.mode(USERS, 0o644).run(&[]);
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(
        said.contains("\n1 problem: 0 let users in, 0 lock users out, 1 warning; 0 accepted\n"),
        "{said}"
    );
    assert_eq!(output.status.code(), Some(1));
}
