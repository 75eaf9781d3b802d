//! `ivaltctl enable`, `confirm`, `disable`: iVALT for a service, with automatic rollback.
//!
//! The order keeps administrators from being locked out: first the saved state of what was there, then the process
//! that rolls back, then the change.

mod listener;
mod pam;
mod plan;
mod rollback;
mod saved_state;
mod sshd;
mod watch;

use std::io::{self, ErrorKind};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;
use serde_json::{Value, json};

use crate::audit::{self, Outcome};
use crate::caller::caller;
use crate::command_line::{ConfirmArgs, DisableArgs, EnableArgs};
use crate::finding::Finding;
use crate::output::Output;
use crate::root::Root;
use crate::terminal::{self, OK};
use crate::{Exit, Refused, check, pam_stack, sshd_program, system_error};
pub use rollback::run as rollback;
use saved_state::{Change, Content, LockedStateDir, Phase, SavedState, StateDir};

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
    sshd::test(root).map_err(|Refused(why)| {
        Refused(format!(
            "{why}; sshd does not take its configuration as it is, so nothing was changed; correct it, and run this again"
        ))
    })
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
pub fn confirm(args: &ConfirmArgs) -> Exit {
    let mut output = Output::new(args.json, false);
    let result = try_confirm(&mut output);
    output.finish(result)
}

fn try_confirm(output: &mut Output) -> Result<(), Refused> {
    let root = Root::this_machine()?;
    let states = StateDir::create(&root)?.lock()?;
    let (mut pending, others): (Vec<_>, Vec<_>) = states
        .all()?
        .into_iter()
        .partition(|state| state.phase == Phase::Pending);
    if pending.is_empty() {
        let late = others.iter().find(|state| state.phase == Phase::RolledBack);
        return Err(Refused(late.map_or("nothing is waiting for a confirmation".into(), |state| {
            format!("too late: {0} was not confirmed in time, and everything was put back; start again: ivaltctl enable {0}", state.service)
        })));
    }
    for state in &mut pending {
        state.phase = Phase::Confirmed;
        states.save(state)?;
        event("confirm", caller(), &root, state).record(Outcome::Done);
        let sentence = format!("{}: iVALT stays enabled", state.service);
        output.done("confirmed", sentence);
    }
    let confirmed = pending.iter();
    let confirmed = confirmed.map(|state| service_json(state, state.phase, None));
    output.set("services", confirmed.collect::<Vec<_>>());
    Ok(())
}

/// Disables iVALT for a service, or for all, or for none: the files are as they were before.
pub fn disable(args: &DisableArgs) -> Exit {
    let mut output = Output::new(args.json, args.dry_run);
    let result = try_disable(args, &mut output);
    output.finish(result)
}

fn try_disable(args: &DisableArgs, output: &mut Output) -> Result<(), Refused> {
    let root = system(&args.root)?;
    let states = StateDir::open(&root)?;
    let enabled = enabled(&states, &root, args, output)?;
    let disabled = enabled.iter();
    let disabled = disabled.map(|state| service_json(state, "disabled", None));
    output.set("services", disabled.collect::<Vec<_>>());
    if enabled.is_empty() {
        output.line("`ivaltctl enable` has enabled nothing; nothing to disable");
        return Ok(());
    }
    for state in &enabled {
        for change in &state.changes {
            output.diff(&change.path, &change.after.0, bytes_of(&change.before));
        }
        refuse_unless_possible(&states, &root, state)?;
    }
    if !output.dry_run {
        ask_unless(args.yes)?;
        let states = StateDir::create(&root)?.lock()?;
        let now = self::enabled(&states, &root, args, output)?;
        // A confirmation alone changes nothing of what is shown.
        if !now.iter().map(changes).eq(enabled.iter().map(changes)) {
            return Err(changed_meanwhile());
        }
        restore_all(&states, &root, &now, output)?;
    }
    for state in &enabled {
        let service = &state.service;
        let sentence = format!("{service}: iVALT is disabled, the files are as they were before");
        output.done("disabled", sentence);
    }
    Ok(())
}

fn changes(state: &SavedState) -> &[Change] {
    &state.changes
}

/// The saved states of what is to be disabled, if all of it can be; sshd's first, which alone may refuse its files.
fn enabled(
    states: &StateDir,
    root: &Root,
    args: &DisableArgs,
    output: &mut Output,
) -> Result<Vec<SavedState>, Refused> {
    let mut enabled = match &args.service {
        Some(service) => vec![enabled_service(states, root, service)?],
        None => {
            let all = states.all()?.into_iter();
            all.filter(|state| state.phase != Phase::RolledBack && names_ivalt(root, state))
                .collect()
        }
    };
    enabled.sort_by_key(|state| state.service != "sshd");
    for state in &enabled {
        refuse_if_edited(root, state, output)?;
    }
    Ok(enabled)
}

fn enabled_service(states: &StateDir, root: &Root, service: &str) -> Result<SavedState, Refused> {
    let service = service_name(service)?;
    let state = states
        .load(service)?
        .filter(|state| state.phase != Phase::RolledBack);
    state.ok_or_else(|| not_enabled(root, service))
}

fn not_enabled(root: &Root, service: &str) -> Refused {
    let file = Path::new(pam_stack::PAM_D).join(service);
    let names_ivalt = root
        .read(&file)
        .is_ok_and(|text| text.contains("pam_ivalt"));
    let shown = root.shown(&file);
    let rest = match names_ivalt {
        true => format!(
            "; remove the line manually: sed -i --follow-symlinks '/pam_ivalt/d' {}",
            system_error::shell_word(&shown)
        ),
        false => format!(
            ", and {shown} does not name pam_ivalt; see which services ask iVALT: ivaltctl check"
        ),
    };
    Refused(format!(
        "{service} was not enabled by `ivaltctl enable`{rest}"
    ))
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

/// `check` judges the system as it would be: what is left may be shown and does not stop anything.
fn refuse_dangerous(
    root: &Root,
    config: &Path,
    changes: &[Change],
    output: &mut Output,
) -> Result<Vec<Finding>, Refused> {
    let result = plan::after(root, changes);
    let config = if root.is_this_machine() {
        &system_error::absolute(config)?
    } else {
        config
    };
    let findings = check::findings(&result, config).into_iter();
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
    Err(Refused(
        match restore(root, state).and_then(|_| states.forget(&state.service)) {
            Ok(()) => {
                if begun {
                    event.record(Outcome::PutBack(&why));
                }
                format!("{why}; everything was put back")
            }
            Err(Refused(worse)) => {
                event.record(Outcome::Failed(&why));
                output.set("changed", true);
                format!("{why}; and it could not be put back: {worse}")
            }
        },
    ))
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

/// The folder of a new file, which `restore_files` removes again.
fn make_missing_folder(root: &Root, state: &SavedState) -> Result<(), Refused> {
    let Some(folder) = &state.folder else {
        return Ok(());
    };
    let made = root.make_folder(folder, 0o755);
    made.map(drop)
        .map_err(|error| not_written(root, folder, &error))
}

/// What an administrator must know.
type Notice = Option<String>;

fn write_all(root: &Root, state: &SavedState) -> Result<Notice, Refused> {
    make_missing_folder(root, state)?;
    for change in &state.changes {
        put(root, &change.path, Some(&change.after.0))?;
    }
    reload(root, state)
}

fn restore(root: &Root, state: &SavedState) -> Result<Notice, Refused> {
    restore_files(root, state)?;
    reload(root, state)
}

/// In reverse order, so that PAM never asks for a token while sshd cannot carry one.
fn restore_files(root: &Root, state: &SavedState) -> Result<(), Refused> {
    for change in state.changes.iter().rev() {
        let before = change.before.as_ref().map(|content| content.0.as_slice());
        put(root, &change.path, before)?;
    }
    if let Some(folder) = &state.folder {
        // Others may have put files there.
        let _ = root.remove_folder(folder);
    }
    Ok(())
}

/// All of them or none: where one cannot be restored, all files become what they were.
fn restore_all(
    states: &LockedStateDir,
    root: &Root,
    enabled: &[SavedState],
    output: &mut Output,
) -> Result<(), Refused> {
    let mut present = Vec::new();
    for change in enabled.iter().flat_map(changes) {
        let path = change.path.as_path();
        let bytes = read(root, path).map_err(|error| not_read(root, path, &error))?;
        present.push((path, bytes));
    }
    for (at, state) in enabled.iter().enumerate() {
        match restore_files(root, state).and_then(|()| reload_restored(root, state)) {
            Ok(notice) => output.notices(notice.as_deref()),
            Err(Refused(why)) => {
                return Err(undo(root, &enabled[..=at], &present, &why, output));
            }
        }
    }
    for state in enabled {
        event("disable", caller(), root, state).record(Outcome::Done);
        states.forget(&state.service)?;
    }
    Ok(())
}

/// Puts back what was `present` before these were restored, and says so.
fn undo(
    root: &Root,
    restored: &[SavedState],
    present: &[(&Path, Option<Vec<u8>>)],
    why: &str,
    output: &mut Output,
) -> Refused {
    let done = restored
        .iter()
        .try_for_each(|state| make_missing_folder(root, state));
    let mut files = present.iter();
    let done =
        done.and_then(|()| files.try_for_each(|(path, bytes)| put(root, path, bytes.as_deref())));
    let done = done.and_then(|()| {
        restored
            .iter()
            .try_for_each(|state| reload(root, state).map(drop))
    });
    let outcome = match done {
        Ok(()) => Outcome::PutBack(why),
        Err(_) => Outcome::Failed(why),
    };
    for state in restored {
        event("disable", caller(), root, state).record(outcome);
    }
    Refused(match done {
        Ok(()) => format!("{why}; everything was put back: iVALT stays enabled"),
        Err(Refused(worse)) => {
            output.set("changed", true);
            format!("{why}; and it could not be put back: {worse}")
        }
    })
}

/// An sshd that does not take the files as they were, for a reason that is not ours, would end at a reload.
fn reload_restored(root: &Root, state: &SavedState) -> Result<Notice, Refused> {
    let is_sshd = is_running_sshd(root, &state.service) && sshd_program::is_installed();
    let Some(Refused(why)) = is_sshd.then(|| sshd::test(root).err()).flatten() else {
        return reload(root, state);
    };
    let command = sshd_program::reload_command(root);
    Ok(Some(format!(
        "{why}; the files are as they were before, and sshd was not told to read them, since it would end; until it does, it \
         asks for iVALT: correct its configuration, then: sshd -t && {command}"
    )))
}

/// sshd alone has settings of its own that changed; all other services read pam.d at every login.
fn reload(root: &Root, state: &SavedState) -> Result<Notice, Refused> {
    if is_running_sshd(root, &state.service) {
        sshd::reload(root)
    } else {
        Ok(None)
    }
}

fn is_running_sshd(root: &Root, service: &str) -> bool {
    service == "sshd" && root.is_this_machine()
}

/// Makes these the bytes of a file; with none there is no file. What is so already is left alone: a file that cannot be
/// written must not stop the rollback of the others.
fn put(root: &Root, path: &Path, wanted: Option<&[u8]>) -> Result<(), Refused> {
    if read(root, path).is_ok_and(|now| now.as_deref() == wanted) {
        return Ok(());
    }
    let done = match wanted {
        // Such files may be read by every user.
        Some(bytes) => root.replace(path, bytes, 0o644),
        None => match root.remove(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            done => done,
        },
    };
    done.map_err(|error| not_written(root, path, &error))
}

fn not_written(root: &Root, path: &Path, error: &io::Error) -> Refused {
    system_error::problem(Path::new(&root.shown(path)), "cannot be written", error).into()
}

fn not_read(root: &Root, path: &Path, error: &io::Error) -> Refused {
    system_error::problem(Path::new(&root.shown(path)), "cannot be read", error).into()
}

/// What was edited since `enable` is not thrown away: it is shown.
fn refuse_if_edited(root: &Root, state: &SavedState, output: &mut Output) -> Result<(), Refused> {
    let mut edited = Vec::new();
    for change in &state.changes {
        let now = read(root, &change.path).map_err(|error| not_read(root, &change.path, &error))?;
        let ours = now.as_deref() == Some(change.after.0.as_slice());
        let before = now.as_deref() == change.before.as_ref().map(|content| content.0.as_slice());
        if !ours && !before {
            edited.push((change, now.unwrap_or_default()));
        }
    }
    if edited.is_empty() {
        return Ok(());
    }
    for (change, now) in &edited {
        output.diff(&change.path, &change.after.0, now);
    }
    let paths: Vec<_> = edited
        .iter()
        .map(|(change, _)| root.shown(&change.path))
        .collect();
    Err(Refused(format!(
        "{}: edited since `ivaltctl enable`, so nothing was changed; undo these edits and run this again, or remove the lines below \"ivaltctl enable\" manually",
        paths.join(", ")
    )))
}

/// Nothing where there is no such file.
fn read(root: &Root, path: &Path) -> io::Result<Option<Vec<u8>>> {
    match root.read_bytes(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        bytes => bytes.map(Some),
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
