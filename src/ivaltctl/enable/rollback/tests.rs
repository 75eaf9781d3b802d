//! What is put back where nobody waits, on systems below a folder.

use std::fs;

use super::*;
use crate::enable::confirm::tests::{DROP_IN, PAM, enabled};
use crate::enable::saved_state::Content;

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
    root.replace(Path::new(PAM), b"@include common-auth\n", 0o644)
        .unwrap();
    assert!(found(&root).is_empty());
}

#[test]
fn what_was_edited_is_kept_and_the_files_are_as_before() {
    let (dir, root, state) = enabled("sshd");
    let states = StateDir::create(&root).unwrap().lock().unwrap();
    states.save(&state).unwrap();
    root.replace(Path::new(PAM), b"# edited\n", 0o644).unwrap();
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

/// Nobody stays locked out because sshd could not be told.
#[test]
fn files_are_back_although_sshd_was_not_told() {
    let (_dir, root, state) = enabled("sshd");
    let told = restore(&root, &state, |_, _| Err(Refused("sshd".into())));
    assert!(told.unwrap().is_err());
    assert!(
        state
            .changes
            .iter()
            .all(|change| is_unwritten(&root, change))
    );
}
