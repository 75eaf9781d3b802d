//! `ivaltctl enable`, `confirm`, `disable`: iVALT for a service, with automatic rollback.
//!
//! The order keeps administrators from being locked out: first the saved state of what was there, then the process
//! that rolls back, then the change.

mod listener;
mod plan;
mod rollback;
mod saved_state;
mod sshd;

use std::io::{self, ErrorKind};
use std::path::Path;

use similar::TextDiff;

use crate::command_line::{DisableArgs, EnableArgs};
use crate::finding::Finding;
use crate::folder::reason;
use crate::root::Root;
use crate::terminal::{self, ERROR, OK, WARN};
use crate::{Exit, Refused, check, pam_stack};
pub use rollback::wait;
use saved_state::{Change, Content, LockedStateDir, Phase, SavedState, StateDir};

/// Enables iVALT for a service. Nobody holds the lock while a question is open: it could keep a rollback waiting.
pub fn enable(enable: &EnableArgs, config: &Path) -> Result<Exit, Refused> {
    let root = system(&enable.root)?;
    let service = service_name(&enable.service)?;
    let states = StateDir::create(&root)?;
    let plan::Plan { changes, notice } = new_plan(&states, &root, service)?;
    let findings = refuse_dangerous(&root, config, &changes)?;
    show(&changes, |change| {
        (bytes_of(&change.before), &change.after.0)
    });
    if !findings.is_empty() {
        check::show(&findings);
    }
    if let Some(notice) = notice {
        terminal::print(terminal::styled(WARN, notice));
    }
    ask_unless(enable.yes)?;
    let states = states.lock()?;
    if new_plan(&states, &root, service)?.changes != changes {
        return Err(changed_meanwhile());
    }
    let mut state = SavedState::new(service, enable.confirm_within, changes);
    if !root.is_this_machine() {
        state.phase = Phase::Confirmed;
    }
    states.save(&state)?;
    apply(&states, &root, &state)?;
    print_next_step(&state, enable);
    Ok(Exit::Done)
}

fn system(folder: &Path) -> Result<Root, Refused> {
    Root::open(folder).map_err(|Refused(why)| Refused(format!("{why}; nothing was changed")))
}

/// What `enable` would change now.
fn new_plan(states: &StateDir, root: &Root, service: &str) -> Result<plan::Plan, Refused> {
    refuse_unless_new(states, root, service)?;
    plan::plan(root, service)
}

fn ask_unless(yes: bool) -> Result<(), Refused> {
    if yes || terminal::confirm("Apply this change?") {
        return Ok(());
    }
    Err(Refused("nothing was changed".into()))
}

fn changed_meanwhile() -> Refused {
    Refused(
        "somebody else has just changed what is shown above; nothing was changed; run this again"
            .into(),
    )
}

/// Keeps every change that waits for a confirmation.
pub fn confirm() -> Result<Exit, Refused> {
    let states = StateDir::create(&Root::this_machine()?)?.lock()?;
    let (pending, others): (Vec<_>, Vec<_>) = states
        .all()?
        .into_iter()
        .partition(|state| state.phase == Phase::Pending);
    if pending.is_empty() {
        let late = others.iter().find(|state| state.phase == Phase::RolledBack);
        return Err(Refused(late.map_or("nothing is waiting for a confirmation".into(), |state| {
            format!("too late: {0} was not confirmed in time, and everything was put back; start again: ivaltctl enable {0}", state.service)
        })));
    }
    for mut state in pending {
        state.phase = Phase::Confirmed;
        states.save(&state)?;
        terminal::print(format_args!("{}: iVALT stays enabled", state.service));
    }
    Ok(Exit::Done)
}

/// Disables iVALT for a service, or for all, or for none: the files are as they were before.
pub fn disable(disable: &DisableArgs) -> Result<Exit, Refused> {
    let root = system(&disable.root)?;
    let states = StateDir::create(&root)?;
    let enabled = enabled(&states, &root, disable)?;
    if enabled.is_empty() {
        terminal::print("`ivaltctl enable` has enabled nothing; nothing to disable");
        return Ok(Exit::Done);
    }
    for state in &enabled {
        show(&state.changes, |change| {
            (&change.after.0, bytes_of(&change.before))
        });
    }
    ask_unless(disable.yes)?;
    let states = states.lock()?;
    // A confirmation alone changes nothing of what is shown.
    let changes = |state: &SavedState| state.changes.clone();
    let now = self::enabled(&states, &root, disable)?;
    if !now.iter().map(changes).eq(enabled.iter().map(changes)) {
        return Err(changed_meanwhile());
    }
    for state in &now {
        restore(&root, state)?;
        states.forget(&state.service)?;
        terminal::print(format_args!(
            "{}: iVALT is disabled, the files are as they were before",
            state.service
        ));
    }
    Ok(Exit::Done)
}

/// The saved states of what is to be disabled, if all of it can be.
fn enabled(
    states: &StateDir,
    root: &Root,
    disable: &DisableArgs,
) -> Result<Vec<SavedState>, Refused> {
    let enabled = match &disable.service {
        Some(service) => vec![enabled_service(states, service)?],
        None => {
            let all = states.all()?.into_iter();
            all.filter(|state| state.phase != Phase::RolledBack && names_ivalt(root, state))
                .collect()
        }
    };
    for state in &enabled {
        refuse_if_edited(root, state)?;
    }
    Ok(enabled)
}

fn enabled_service(states: &StateDir, service: &str) -> Result<SavedState, Refused> {
    let service = service_name(service)?;
    let state = states
        .load(service)?
        .filter(|state| state.phase != Phase::RolledBack);
    state.ok_or_else(|| {
        Refused(format!("{service} was not enabled by `ivaltctl enable`; remove the line manually: sed -i '/pam_ivalt/d' /etc/pam.d/{service}"))
    })
}

/// Whether a file of the service names the module; an administrator may have removed the line, or the service.
fn names_ivalt(root: &Root, state: &SavedState) -> bool {
    state.changes.iter().any(|change| {
        let text = root.read(&change.path).unwrap_or_default();
        text.lines().any(|line| {
            line.split('#')
                .next()
                .is_some_and(|rule| rule.contains("pam_ivalt"))
        })
    })
}

/// The name of a file in pam.d, without anything that leads out of it.
fn service_name(service: &str) -> Result<&str, Refused> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let is_name = pam_stack::is_service_name(service);
    if is_name && !service.is_empty() && service.bytes().all(plain) {
        return Ok(service);
    }
    Err(Refused(format!(
        "{service:?} is not a service name; services are the files in /etc/pam.d: ls /etc/pam.d"
    )))
}

/// An `enable` that was killed before its first change left a state that has nothing to roll back.
fn refuse_unless_new(states: &StateDir, root: &Root, service: &str) -> Result<(), Refused> {
    match states.load(service)? {
        Some(state) if state.phase != Phase::RolledBack && !is_as_before(root, &state) => {
            Err(Refused(format!(
                "{service} is already enabled{}; to disable it: ivaltctl disable {service}",
                if state.phase == Phase::Pending {
                    " and waits for: ivaltctl confirm"
                } else {
                    ""
                }
            )))
        }
        _ => Ok(()),
    }
}

fn is_as_before(root: &Root, state: &SavedState) -> bool {
    let as_before = |change: &Change| {
        read(root, &change.path)
            .is_ok_and(|now| now == change.before.as_ref().map(|content| content.0.clone()))
    };
    state.changes.iter().all(as_before)
}

/// The system as it would be after each `enable` that is possible now.
pub fn results(root: &Root) -> Vec<Root> {
    let plans = pam_stack::service_names(root).into_iter();
    let plans = plans.filter_map(|service| plan::plan(root, &service).ok());
    plans.map(|plan| plan::after(root, &plan.changes)).collect()
}

/// `check` judges the system as it would be: what is left may be shown and does not stop anything.
fn refuse_dangerous(
    root: &Root,
    config: &Path,
    changes: &[Change],
) -> Result<Vec<Finding>, Refused> {
    let result = plan::after(root, changes);
    let config = if root.is_this_machine() {
        &std::path::absolute(config)?
    } else {
        config
    };
    let findings = check::findings(&result, config);
    if !findings.iter().any(Finding::is_dangerous) {
        return Ok(findings);
    }
    check::show(&findings);
    Err(Refused("with this change somebody would be let in or locked out, so nothing was changed; fix the above first, or, \
                 where it is meant: ivaltctl check --accept ID:FILE --because TEXT".into()))
}

/// Every change as a diff.
fn show<'a>(changes: &'a [Change], sides: impl Fn(&'a Change) -> (&'a [u8], &'a [u8])) {
    for change in changes {
        let (old, new) = sides(change);
        let (old, new) = (String::from_utf8_lossy(old), String::from_utf8_lossy(new));
        let path = change.path.display().to_string();
        let diff = TextDiff::from_lines(&*old, &*new)
            .unified_diff()
            .header(&path, &path)
            .to_string();
        for line in diff.lines() {
            terminal::print(match line.as_bytes().first() {
                Some(b'+') => terminal::styled(OK, line),
                Some(b'-') => terminal::styled(ERROR, line),
                _ => line.into(),
            });
        }
    }
}

fn bytes_of(content: &Option<Content>) -> &[u8] {
    content.as_ref().map_or(&[], |content| &content.0)
}

/// From here on, whatever ends this process, the rollback is there.
fn apply(states: &LockedStateDir, root: &Root, state: &SavedState) -> Result<(), Refused> {
    let done = start_rollback(root, state).and_then(|()| write_all(root, state));
    done.map_err(|Refused(why)| {
        match restore(root, state).and_then(|()| states.forget(&state.service)) {
            Ok(()) => Refused(format!("{why}; everything was put back")),
            Err(Refused(worse)) => Refused(format!("{why}; and it could not be put back: {worse}")),
        }
    })
}

fn start_rollback(root: &Root, state: &SavedState) -> Result<(), Refused> {
    if root.is_this_machine() {
        rollback::start(state)
    } else {
        Ok(())
    }
}

fn write_all(root: &Root, state: &SavedState) -> Result<(), Refused> {
    for change in &state.changes {
        write(root, &change.path, &change.after.0).map_err(|error| named(change, &error))?;
    }
    reload(root, state)
}

/// sshd alone has settings of its own that changed; all other services read pam.d at every login.
fn reload(root: &Root, state: &SavedState) -> Result<(), Refused> {
    if state.service != "sshd" || !root.is_this_machine() {
        return Ok(());
    }
    sshd::test().and_then(|()| sshd::reload())
}

/// In reverse order, so that PAM never asks for a token while sshd cannot carry one.
fn restore(root: &Root, state: &SavedState) -> Result<(), Refused> {
    for change in state.changes.iter().rev() {
        let before = change.before.as_ref().map(|content| content.0.as_slice());
        // What `enable` did not reach is left alone: a file that cannot be written must not stop the rollback of the
        // others.
        if read(root, &change.path).is_ok_and(|now| now.as_deref() == before) {
            continue;
        }
        let done = match &change.before {
            Some(content) => write(root, &change.path, &content.0),
            None => match root.remove(&change.path) {
                Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
                done => done,
            },
        };
        done.map_err(|error| named(change, &error))?;
    }
    reload(root, state)
}

fn named(change: &Change, error: &io::Error) -> Refused {
    Refused(format!("{}: {}", change.path.display(), reason(error)))
}

/// Such files may be read by every user.
fn write(root: &Root, path: &Path, bytes: &[u8]) -> io::Result<()> {
    root.replace(path, bytes, 0o644)
}

/// What was edited since `enable` is not thrown away: it is shown.
fn refuse_if_edited(root: &Root, state: &SavedState) -> Result<(), Refused> {
    let mut edited = Vec::new();
    for change in &state.changes {
        let now = read(root, &change.path).map_err(|error| named(change, &error))?;
        let ours = now.as_deref() == Some(change.after.0.as_slice());
        let before = now.as_deref() == change.before.as_ref().map(|content| content.0.as_slice());
        if !ours && !before {
            edited.push((change, now.unwrap_or_default()));
        }
    }
    let Some((first, _)) = edited.first() else {
        return Ok(());
    };
    let path = first.path.display();
    terminal::print_error("edited since `enable`, so it is not put back; the difference:");
    for (change, now) in &edited {
        show(std::slice::from_ref(*change), |change| {
            (&change.after.0, now)
        });
    }
    Err(Refused(format!(
        "nothing was changed; undo the above in {path} and run this again, or remove the lines below \"ivaltctl enable\" manually"
    )))
}

/// Nothing where there is no such file.
fn read(root: &Root, path: &Path) -> io::Result<Option<Vec<u8>>> {
    match root.read_bytes(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        bytes => bytes.map(Some),
    }
}

fn print_next_step(state: &SavedState, enable: &EnableArgs) {
    let service = &state.service;
    if state.phase == Phase::Confirmed {
        terminal::print(format_args!(
            "{service}: iVALT is enabled below {}",
            enable.root.display()
        ));
        return;
    }
    let time = match enable.confirm_within.as_secs() {
        seconds if seconds % 60 == 0 => format!("{} min", seconds / 60),
        seconds => format!("{seconds} s"),
    };
    let what = format!("{service}: iVALT is enabled for {time}");
    terminal::print(terminal::styled(OK, what));
    terminal::print(
        "Keep this session open. Log in from a second one; if that works: ivaltctl confirm",
    );
    terminal::print(
        "Without it, everything is put back automatically, unless the machine reboots first.",
    );
}

#[cfg(test)]
mod tests;
