//! What keeps a service from being confirmed, sentence by sentence.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;

use super::*;
use crate::enable::plan;
use crate::enable::tests::{edit, system};
use crate::finding::{Acceptance, Accepted, Severity};

pub const PAM: &str = "/etc/pam.d/sshd";
pub const DROP_IN: &str = "/etc/ssh/sshd_config.d/00-ivalt.conf";

/// A system with sshd and sudo, enabled.
pub fn enabled(service: &str) -> (TempDir, Root, SavedState) {
    let include = "@include common-auth\n";
    let (dir, root) = system(&[
        ("/etc/os-release", "ID=debian\n"),
        ("/etc/pam.d/common-auth", "auth requisite pam_unix.so\n"),
        (PAM, include),
        ("/etc/pam.d/sudo", include),
        ("/etc/pam.d/su", include),
        (
            "/etc/ssh/sshd_config",
            "Include /etc/ssh/sshd_config.d/*.conf\n",
        ),
        ("/etc/ssh/sshd_config.d/10-own.conf", ""),
    ]);
    let changes = plan::plan(&root, service)
        .map_err(|Refused(why)| why)
        .unwrap()
        .changes;
    let state = SavedState::new(service, Duration::from_secs(300), changes);
    for change in &state.changes {
        edit(&root, &change.path, &change.after.0);
    }
    (dir, root, state)
}

fn write(dir: &TempDir, path: &str, text: &str) {
    fs::write(dir.path().join(&path[1..]), text).unwrap();
}

fn judged(
    (_dir, root, state): &(TempDir, Root, SavedState),
    findings: &[Finding],
) -> Result<(), String> {
    judge(root, state, findings).map_err(|why| why.replace(&root.shown(Path::new("/")), "/"))
}

fn found(file: Option<&str>) -> Finding {
    Finding {
        severity: Severity::LetsIn,
        id: "some-id",
        file: file.map(PathBuf::from),
        line: file.map(|_| 9),
        what: String::new(),
        fix: String::new(),
        acceptance: Acceptance::default(),
    }
}

#[test]
fn what_is_there_and_sound_is_confirmed() {
    for service in ["sshd", "sudo", "su"] {
        assert_eq!(judged(&enabled(service), &[]), Ok(()));
    }
}

/// After a cut between two writes, in either order, and while a rollback is under way.
#[test]
fn a_file_that_is_as_before() {
    let system = enabled("sshd");
    write(&system.0, PAM, "@include common-auth\n");
    assert_eq!(
        judged(&system, &[]).unwrap_err(),
        "/etc/pam.d/sshd is as it was before `ivaltctl enable`; put everything back: ivaltctl disable sshd; \
         then begin again: ivaltctl enable sshd"
    );
    let system = enabled("sshd");
    fs::remove_file(system.0.path().join(&DROP_IN[1..])).unwrap();
    assert_eq!(
        judged(&system, &[]).unwrap_err(),
        "/etc/ssh/sshd_config.d/00-ivalt.conf does not exist, as before `ivaltctl enable`; put everything \
         back: ivaltctl disable sshd; then begin again: ivaltctl enable sshd"
    );
    fs::remove_dir_all(system.0.path().join("etc/ssh/sshd_config.d")).unwrap();
    assert!(
        judged(&system, &[])
            .unwrap_err()
            .starts_with("/etc/ssh/sshd_config.d/00-ivalt.conf does not exist, as")
    );
    // `disable` alone would refuse.
    write(&system.0, PAM, "auth required pam_ivalt.so\n");
    assert!(judged(&system, &[]).unwrap_err().contains(
        "; undo the edits shown above, and put everything back: ivaltctl disable sshd; then"
    ));
}

/// What `enable` found as it would write it is no sign of a change that is missing.
#[test]
fn a_file_that_enable_did_not_have_to_change() {
    let (dir, root, mut state) = enabled("sshd");
    for change in &mut state.changes {
        change.before = Some(change.after.clone());
    }
    assert_eq!(judged(&(dir, root, state), &[]), Ok(()));
}

#[test]
fn other_edits_are_kept_unless_nothing_asks_for_ivalt_any_more() {
    let system = enabled("sudo");
    write(
        &system.0,
        "/etc/pam.d/sudo",
        "@include common-auth\nauth required pam_ivalt.so\n# a word\n",
    );
    assert_eq!(judged(&system, &[]), Ok(()));
    write(
        &system.0,
        "/etc/pam.d/sudo",
        "@include common-auth\n# auth required pam_ivalt.so\n",
    );
    assert_eq!(
        judged(&system, &[]).unwrap_err(),
        "/etc/pam.d/sudo was edited and does not ask for iVALT; undo the edit shown above, and run this again"
    );
}

/// In a file that only other services read it does not.
#[test]
fn a_finding_stops_the_services_that_it_concerns() {
    let all = ["sshd", "sudo", "su"];
    for (file, stopped) in [
        (None, &all[..]),
        (Some("/etc/ivalt/users.toml"), &all),
        (Some("/etc/pam.d/common-auth"), &all),
        (Some("/etc/pam.d/sshd"), &["sshd"]),
        (Some("/etc/pam.d/su"), &["su"]),
        (Some("/etc/pam.d/login"), &[]),
        (Some("/usr/lib/pam.d/login"), &[]),
        (Some("/etc/ssh/sshd_config"), &["sshd"]),
        (Some("/usr/etc/ssh/sshd_config"), &["sshd"]),
        (Some("/var/lib/ivalt/sshd.json"), &["sshd"]),
        (Some("/etc/sudoers"), &["sudo"]),
        (Some("/etc/sudoers.d/90-cloud"), &["sudo"]),
    ] {
        let stops = |service: &&str| judged(&enabled(service), &[found(file)]).is_err();
        let stops: Vec<_> = all.into_iter().filter(stops).collect();
        assert_eq!(stops, stopped, "{file:?}");
    }
}

#[test]
fn a_finding_is_named_and_one_that_is_accepted_or_a_warning_stops_nothing() {
    let system = enabled("sshd");
    let mut finding = found(Some("/etc/ssh/sshd_config"));
    assert_eq!(
        judged(&system, &[finding.clone(), found(None)]).unwrap_err(),
        "somebody is let in or locked out: some-id in /etc/ssh/sshd_config:9, some-id; fix that as shown above, \
         and run this again, or put everything back: ivaltctl disable sshd; or, where it is meant: \
         ivaltctl check --accept ID:FILE --because TEXT"
    );
    finding.severity = Severity::LocksOut;
    assert!(judged(&system, &[finding.clone()]).is_err());
    let warning = Finding {
        severity: Severity::Warning,
        ..finding.clone()
    };
    assert_eq!(judged(&system, &[warning]), Ok(()));
    finding.acceptance.accepted = Some(Accepted {
        by: String::new(),
        when: String::new(),
        because: String::new(),
        counts_all_the_same: false,
    });
    assert_eq!(judged(&system, &[finding]), Ok(()));
}

#[test]
fn a_saved_state_that_cannot_be_used_stops_no_other_service() {
    let (dir, root, state) = enabled("sudo");
    let states = StateDir::create(&root).unwrap().lock().unwrap();
    states.save(&state).unwrap();
    write(&dir, "/var/lib/ivalt/login.json", "{");
    let (pending, refused) = pending(&states).unwrap();
    assert_eq!(pending, [state]);
    let path = root.shown(Path::new("/var/lib/ivalt/login.json"));
    assert_eq!(refused.len(), 1);
    assert!(
        refused[0].starts_with(&format!("login: not confirmed: {path}: ")),
        "{refused:?}"
    );
}
