//! What is put back where nobody waits, on systems below a folder.

use std::fs;

use super::*;
use crate::enable::confirm::tests::{DROP_IN, PAM, enabled};
use crate::enable::saved_state::Content;
use crate::enable::tests::{edit, not_edited};
use crate::enable::write::read;

/// What `check` is told: the service, and which of its files are as they were.
fn found(root: &Root) -> Vec<(String, Vec<String>)> {
    let found = unwaited(root).into_iter().map(|one| one.ok().unwrap());
    found.map(|one| (one.service, one.unwritten)).collect()
}

#[test]
fn pending_and_nobody_waits() {
    let (_dir, root, state) = enabled("sshd");
    assert!(found(&root).is_empty());
    let states = StateDir::create(&root).unwrap().lock().unwrap();
    states.save(&state).unwrap();
    assert_eq!(found(&root), [("sshd".to_owned(), Vec::new())]);
    let waiting = states.wait_for("sshd").unwrap();
    assert!(found(&root).is_empty());
    drop(states);
    assert!(put_back_unless_waited_for(&root, "sshd").is_ok());
    let states = StateDir::open(&root).unwrap();
    assert_eq!(pending(&states, "sshd").unwrap(), Some(state));
    drop(waiting);
    root.remove(Path::new(DROP_IN)).unwrap();
    assert_eq!(
        found(&root),
        [("sshd".to_owned(), vec![root.shown(Path::new(DROP_IN))])]
    );
    edit(&root, Path::new(PAM), b"@include common-auth\n");
    assert!(found(&root).is_empty());
}

#[test]
fn what_was_edited_is_kept_and_the_files_are_as_before() {
    let (dir, root, state) = enabled("sshd");
    let states = StateDir::create(&root).unwrap().lock().unwrap();
    states.save(&state).unwrap();
    edit(&root, Path::new(PAM), b"# edited\n");
    assert!(put_back(&states, &root, &state, "not confirmed").is_ok());
    let kept = dir.path().join("var/lib/ivalt/etc-pam.d-sshd.edited");
    assert_eq!(fs::read(kept).unwrap(), b"# edited\n");
    for change in &state.changes {
        let before = change.before.clone().map(|Content(bytes)| bytes);
        assert_eq!(read(&root, &change.path).unwrap(), before);
    }
    let phase = states.load("sshd").ok().flatten().map(|state| state.phase);
    assert_eq!(phase, Some(Phase::RolledBack));
}

#[test]
fn a_clock_that_was_set_back_makes_nobody_wait_for_years() {
    let now = SystemTime::now();
    let minute = Duration::from_secs(60);
    for (until, expected) in [
        (now + minute, minute),
        (now - minute, Duration::ZERO),
        (now + 4 * 365 * DAY, DAY),
    ] {
        assert_eq!(remaining(until, now), expected);
    }
}

/// What was edited in each of two rollbacks is there; the same edit once.
#[test]
fn every_edited_version_is_kept() {
    let (dir, root, state) = enabled("sshd");
    let states = StateDir::create(&root).unwrap().lock().unwrap();
    let first = dir.path().join("var/lib/ivalt/etc-pam.d-sshd.edited");
    let second = dir.path().join("var/lib/ivalt/etc-pam.d-sshd.edited.2");
    for (text, kept) in [
        ("# one\n", &first),
        ("# two\n", &second),
        ("# two\n", &second),
        ("# one\n", &first),
    ] {
        edit(&root, Path::new(PAM), text.as_bytes());
        assert!(put_back(&states, &root, &state, "not confirmed").is_ok());
        assert_eq!(fs::read_to_string(kept).unwrap(), text);
    }
    let names = fs::read_dir(dir.path().join("var/lib/ivalt")).unwrap();
    let edited = names.filter(|name| {
        let name = name.as_ref().unwrap().file_name();
        name.to_str().unwrap().contains(".edited")
    });
    assert_eq!(edited.count(), 2);
}

#[test]
fn an_sshd_of_this_boot_may_not_have_been_told() {
    let (_dir, root, mut state) = enabled("sshd");
    let states = StateDir::create(&root).unwrap().lock().unwrap();
    assert!(restore(&root, &state, not_edited, |_, _| Ok(None)).is_ok());
    for (boot, reported) in [
        (None, false),
        (Some("an earlier one".to_owned()), false),
        (boot_id(), true),
    ] {
        state.boot = boot;
        states.save(&state).unwrap();
        let found = unwaited(&root).into_iter().map(|one| one.ok().unwrap());
        let found: Vec<_> = found.map(|one| one.is_as_before).collect();
        assert_eq!(found, vec![true; usize::from(reported)], "{:?}", state.boot);
    }
    let waiting = states.wait_for("sshd").unwrap();
    assert!(found(&root).is_empty());
    drop(waiting);
    let (_dir, root, mut state) = enabled("su");
    let states = StateDir::create(&root).unwrap().lock().unwrap();
    state.boot = boot_id();
    assert!(restore(&root, &state, not_edited, |_, _| Ok(None)).is_ok());
    states.save(&state).unwrap();
    assert!(found(&root).is_empty());
}

#[test]
fn what_fails_again_and_again_is_recorded_less_and_less_often() {
    let recorded = (0..40).filter(|retries| is_recorded(*retries));
    assert_eq!(recorded.collect::<Vec<_>>(), [0, 1, 2, 4, 8, 16, 32]);
}

#[test]
fn only_what_systemd_has_and_sysinit_wants_is_started_at_boot() {
    let why = |shown: &str| not_started_at_boot(shown);
    assert_eq!(why("LoadState=loaded\nWantedBy=sysinit.target\n"), None);
    assert_eq!(
        why("WantedBy=other.target sysinit.target\nLoadState=loaded\n"),
        None
    );
    let disabled = "ivaltctl-rollback.service is not enabled; to change that: systemctl enable ivaltctl-rollback.service";
    for wanting in ["", "WantedBy=\n", "WantedBy=rescue.target\n"] {
        let shown = format!("LoadState=loaded\n{wanting}");
        assert_eq!(why(&shown).as_deref(), Some(disabled));
    }
    for (shown, state) in [
        (
            "LoadState=bad-setting\nWantedBy=sysinit.target\n",
            "bad-setting",
        ),
        ("LoadState=masked\nWantedBy=\n", "masked"),
        ("LoadState=not-found\n", "not-found"),
        ("", "it does not answer"),
    ] {
        let expected = format!(
            "systemd does not have ivaltctl-rollback.service ({state}); see: systemctl status ivaltctl-rollback.service"
        );
        assert_eq!(why(shown), Some(expected));
    }
}

/// A reload takes seconds.
#[test]
fn what_is_edited_while_sshd_is_told_is_kept() {
    let (_dir, root, state) = enabled("sshd");
    let mut kept = Vec::new();
    let keep = |change: &Change, edited: Vec<u8>| {
        kept.push((change.path.clone(), edited));
        Ok(())
    };
    let reload = |root: &Root, _: &SavedState| {
        edit(root, Path::new(PAM), b"# edited\n");
        Ok(None)
    };
    assert!(restore(&root, &state, keep, reload).unwrap().is_ok());
    assert_eq!(kept, [(PathBuf::from(PAM), b"# edited\n".to_vec())]);
    assert!(
        state
            .changes
            .iter()
            .all(|change| is_unwritten(&root, change))
    );
}

/// What cannot be kept is not replaced.
#[test]
fn what_was_edited_stays_where_it_cannot_be_kept() {
    let (_dir, root, state) = enabled("su");
    edit(&root, Path::new("/etc/pam.d/su"), b"# edited\n");
    let full = |_: &Change, _: Vec<u8>| Err(Refused("no room".into()));
    let Err(Refused(why)) = restore(&root, &state, full, |_, _| Ok(None)) else {
        panic!("it was put back");
    };
    let path = root.shown(Path::new("/etc/pam.d/su"));
    assert_eq!(why, format!("{path}: cannot be written: no room"));
    assert_eq!(root.read(Path::new("/etc/pam.d/su")).unwrap(), "# edited\n");
}

/// Nobody stays locked out because sshd could not be told.
#[test]
fn files_are_back_although_sshd_was_not_told() {
    let (_dir, root, state) = enabled("sshd");
    let told = restore(&root, &state, not_edited, |_, _| {
        Err(Refused("sshd".into()))
    });
    assert!(told.unwrap().is_err());
    assert!(
        state
            .changes
            .iter()
            .all(|change| is_unwritten(&root, change))
    );
}
