//! `ivaltctl enable`, `confirm`, `disable`: iVALT for a service, with automatic rollback.
//!
//! The order keeps administrators from being locked out: first the saved state of what was there, then the process
//! that rolls back, then the change.

mod confirm;
mod disable;
mod pam;
mod plan;
mod rollback;
mod saved_state;
mod sshd;
mod watch;
mod write;

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;
use serde_json::{Value, json};

use crate::audit::{self, Outcome};
use crate::caller::caller;
use crate::command_line::EnableArgs;
use crate::finding::Finding;
use crate::output::Output;
use crate::root::Root;
use crate::terminal::{self, OK};
use crate::{Exit, Refused, check, pam_stack, system_error};
pub use confirm::confirm;
pub use disable::disable;
pub use plan::DROP_IN;
pub use rollback::{Unwaited, run as rollback, unwaited};
use saved_state::{Change, Content, LockedStateDir, Phase, SavedState};
pub use saved_state::{FOLDER as STATES, StateDir};
use write::{is_running_sshd, not_written, read, reload, restore, write_all};

/// Enables iVALT for a service.
pub fn enable(args: &EnableArgs, config: &Path) -> Exit {
    let mut output = Output::new(args.json, args.dry_run);
    let result = try_enable(args, config, &mut output);
    output.finish(result)
}

/// Nobody holds the lock while a question is open: it could keep a rollback waiting.
fn try_enable(args: &EnableArgs, config: &Path, output: &mut Output) -> Result<(), Refused> {
    let root = system(&args.root)?;
    let service = service_name(&args.service)?;
    refuse_broken_sshd_config(&root, service)?;
    let states = StateDir::open(&root)?;
    if let Some(state) = enabled(&states, &root, service)? {
        return report_already_enabled(&root, config, &state, output);
    }
    let plan = new_plan(&states, &root, service)?;
    let findings = refuse_dangerous(&root, config, &plan.changes, output)?;
    for change in &plan.changes {
        output.diff(&change.path, bytes_of(&change.before), &change.after.0);
    }
    if !findings.is_empty() {
        output.findings(&findings);
    }
    output.notices(plan.notice);
    let cancelled = rollback::cancelled_by_reboot(&root);
    output.notices(cancelled.as_deref());
    let mut state = SavedState::new(service, args.confirm_within, plan.changes);
    state.folder = plan::missing_folder(&root, &state.changes);
    match root.is_this_machine() {
        true => state.boot = saved_state::boot_id(),
        false => state.phase = Phase::Confirmed,
    }
    let mut unit = None;
    refuse_unless_possible(&states, &root, &state)?;
    if !output.dry_run {
        ask_unless(args.yes)?;
        let states = StateDir::create(&root)?.lock()?;
        if new_plan(&states, &root, service)?.changes != state.changes {
            return Err(changed_meanwhile());
        }
        state.until = SystemTime::now() + args.confirm_within;
        states.save(&state)?;
        unit = apply(&states, &root, &state, output)?;
    }
    report_enabled(&state, args, output);
    if state.phase == Phase::Pending && !output.dry_run {
        report_rollback(cancelled.is_none(), unit, output);
    }
    Ok(())
}

fn system(folder: &Path) -> Result<Root, Refused> {
    Root::open(folder).map_err(|Refused(why)| Refused(format!("{why}; nothing was changed")))
}

/// What was wrong before must not look like the fault of this change.
fn refuse_broken_sshd_config(root: &Root, service: &str) -> Result<(), Refused> {
    if !is_running_sshd(root, service) {
        return Ok(());
    }
    sshd::require_installed(root)?;
    sshd::test(root).map_err(|Refused(why)| {
        Refused(format!(
            "{why}; sshd does not take its configuration as it is, so nothing was changed; correct it, and run this again"
        ))
    })
}

/// What `enable` would change now.
fn new_plan(states: &StateDir, root: &Root, service: &str) -> Result<plan::Plan, Refused> {
    match enabled(states, root, service)? {
        Some(_) => Err(changed_meanwhile()),
        None => plan::plan(root, service),
    }
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
fn enabled(states: &StateDir, root: &Root, service: &str) -> Result<Option<SavedState>, Refused> {
    let state = states.load(service)?;
    Ok(state.filter(|state| state.phase != Phase::RolledBack && !is_as_before(root, state)))
}

/// Nothing is to be done where everything is as `confirm` demands.
fn report_already_enabled(
    root: &Root,
    config: &Path,
    state: &SavedState,
    output: &mut Output,
) -> Result<(), Refused> {
    let service = &state.service;
    let findings = check::findings(root, &config_of(root, config)?);
    confirm::judge(root, state, &findings).map_err(|why| {
        confirm::show(root, std::slice::from_ref(state), &findings, output);
        Refused(format!(
            "{service} is already enabled, and something is wrong: {why}"
        ))
    })?;
    let (waits, until) = match state.phase {
        Phase::Pending => (" and waits for: ivaltctl confirm", Some(state.until)),
        _ => ("", None),
    };
    output.set("services", vec![service_json(state, state.phase, until)]);
    output.line(format!("{service}: is already enabled{waits}"));
    Ok(())
}

fn is_as_before(root: &Root, state: &SavedState) -> bool {
    let mut changes = state.changes.iter();
    changes.all(|change| is_unwritten(root, change))
}

/// Whether a file is as it was before.
fn is_unwritten(root: &Root, change: &Change) -> bool {
    read(root, &change.path)
        .is_ok_and(|now| now == change.before.as_ref().map(|content| content.0.clone()))
}

/// A system as `enable` would make it.
pub struct Prospect {
    pub root: Root,
    changes: Vec<Change>,
}

impl Prospect {
    /// Whatever `enable` could do now.
    pub fn all(root: &Root) -> Vec<Self> {
        let plans = pam_stack::service_names(root).into_iter();
        let plans = plans.filter_map(|service| plan::plan(root, &service).ok());
        let prospects = plans.map(|plan| Self {
            root: plan::after(root, &plan.changes),
            changes: plan.changes,
        });
        prospects.collect()
    }

    /// A finding of it as `enable` shows it.
    pub fn shown(&self, now: &Root, finding: Finding) -> Finding {
        plan::in_files_of_now(now, &self.changes, finding)
    }
}

/// Below a folder it is a path of that system.
fn config_of(root: &Root, config: &Path) -> Result<PathBuf, Refused> {
    match root.is_this_machine() {
        true => Ok(system_error::absolute(config)?),
        false => Ok(config.to_owned()),
    }
}

/// `check` judges the system as it would be: what is left may be shown and does not stop anything.
fn refuse_dangerous(
    root: &Root,
    config: &Path,
    changes: &[Change],
    output: &mut Output,
) -> Result<Vec<Finding>, Refused> {
    let result = plan::after(root, changes);
    let findings = check::findings(&result, &config_of(root, config)?).into_iter();
    let findings: Vec<_> = findings
        .map(|finding| plan::in_files_of_now(root, changes, finding))
        .collect();
    if !findings.iter().any(Finding::is_dangerous) {
        return Ok(findings);
    }
    output.findings(&findings);
    let why = "with this change somebody would be let in or locked out, so nothing was changed; fix the above first";
    // Below a folder nothing can be accepted.
    let or_accept = match root.is_this_machine() {
        true => ", or, where it is meant: ivaltctl check --accept ID:FILE --because TEXT",
        false => "",
    };
    Err(Refused(format!("{why}{or_accept}")))
}

/// What would fail in the middle of a change is found before it.
fn refuse_unless_possible(
    states: &StateDir,
    root: &Root,
    state: &SavedState,
) -> Result<(), Refused> {
    states.require_writable(root)?;
    for change in &state.changes {
        let writable = root.require_writable(&change.path);
        writable.map_err(|error| not_written(root, &change.path, &error))?;
    }
    if is_running_sshd(root, &state.service) {
        sshd::require_known_listener(root)?;
    }
    Ok(())
}

fn bytes_of(content: &Option<Content>) -> &[u8] {
    content.as_ref().map_or(&[], |content| &content.0)
}

/// From here on, whatever ends this process, the rollback is there. Where systemd runs it, its unit is returned.
fn apply(
    states: &LockedStateDir,
    root: &Root,
    state: &SavedState,
    output: &mut Output,
) -> Result<Option<String>, Refused> {
    let event = event("enable", caller(), root, state);
    let started = start_rollback(states, root, state);
    let begun = started.is_ok();
    let done = started.and_then(|unit| Ok((unit, write_all(root, state)?)));
    let why = match done {
        Ok((unit, notice)) => {
            event.record(Outcome::Done);
            output.notices(notice.as_deref());
            return Ok(unit);
        }
        Err(Refused(why)) => why,
    };
    Err(Refused(match put_back(states, root, state) {
        Ok(kept) => {
            if begun {
                event.record(Outcome::PutBack(&why));
            }
            format!("{why}; everything was put back{kept}")
        }
        Err(Refused(worse)) => {
            event.record(Outcome::Failed(&why));
            output.set("changed", true);
            format!("{why}; {worse}")
        }
    }))
}

/// Which edited version was kept, if somebody has edited a file meanwhile.
fn put_back(states: &LockedStateDir, root: &Root, state: &SavedState) -> Result<String, Refused> {
    let not_put_back =
        |Refused(why): Refused| Refused(format!("and it could not be put back: {why}"));
    let mut kept = String::new();
    let keep =
        |change: &Change, edited: Vec<u8>| states.keep_edited(root, change, &edited, &mut kept);
    let reloaded = restore(root, state, keep, reload).map_err(not_put_back)?;
    reloaded.map_err(|Refused(why)| {
        Refused(format!(
            "the files were put back, and sshd may still have the settings that it had: {why}"
        ))
    })?;
    states.forget(&state.service).map_err(not_put_back)?;
    Ok(kept)
}

/// What the system log says of it.
fn event<'a>(command: &'a str, by: String, root: &Root, state: &SavedState) -> audit::Change<'a> {
    let fields = audit::service_fields(root, &state.service);
    audit::Change {
        command,
        fields,
        by,
    }
}

fn start_rollback(
    states: &StateDir,
    root: &Root,
    state: &SavedState,
) -> Result<Option<String>, Refused> {
    if root.is_this_machine() {
        rollback::start(states, state)
    } else {
        Ok(None)
    }
}

/// What the JSON says of a service: `word` is its state now, until when if that ends by itself.
fn service_json(state: &SavedState, word: impl Serialize, until: Option<SystemTime>) -> Value {
    let until = until.and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    json!({
        "service": state.service,
        "state": word,
        "until": until.map(|time| time.as_secs()),
        "files": state.changes.iter().map(|change| &change.path).collect::<Vec<_>>(),
    })
}

fn report_enabled(state: &SavedState, args: &EnableArgs, output: &mut Output) {
    let service = &state.service;
    let ends = state.phase == Phase::Pending && !output.dry_run;
    let described = service_json(state, state.phase, ends.then_some(state.until));
    output.set("services", vec![described]);
    if state.phase == Phase::Confirmed {
        let root = args.root.display();
        output.done(
            "enabled",
            format_args!("{service}: iVALT is enabled below {root}"),
        );
        return;
    }
    let time = match args.confirm_within.as_secs() {
        seconds if seconds % 60 == 0 => format!("{} min", seconds / 60),
        seconds => format!("{seconds} s"),
    };
    let what = format!("{service}: iVALT is enabled for {time}");
    output.done("enabled", terminal::styled(OK, what));
}

/// `unit` waits for the confirmation, where systemd runs it.
fn report_rollback(survives_reboot: bool, unit: Option<String>, output: &Output) {
    output
        .line("Keep this session open. Log in from a second one; if that works: ivaltctl confirm");
    let reboot = if survives_reboot {
        ", also if the machine reboots first"
    } else {
        ""
    };
    output.line(format!(
        "Without it, everything is put back automatically{reboot}."
    ));
    if let Some(unit) = unit {
        output.line(format!("Until when: systemctl status {unit}"));
    }
}

#[cfg(test)]
mod tests;
