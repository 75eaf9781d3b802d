//! `ivaltctl confirm`: what `enable` changed stays, service by service, where it is there and nothing is wrong with it.

use std::ffi::OsStr;
use std::path::Path;

use super::saved_state::{Change, FOLDER, LockedStateDir, Phase, SavedState, StateDir};
use super::write::{edited, is_of_pam, not_read, not_written, read, reload};
use super::{event, service_json};
use crate::audit::Outcome;
use crate::caller::caller;
use crate::command_line::ConfirmArgs;
use crate::finding::Finding;
use crate::output::Output;
use crate::pam_stack::{self, FOLDERS, RuleType, ivalt_rules};
use crate::root::Root;
use crate::{Exit, Refused, check, system_error};

/// Keeps every change that waits for a confirmation.
pub fn confirm(args: &ConfirmArgs, config: &Path) -> Exit {
    let mut output = Output::new(args.json, false);
    let result = try_confirm(config, &mut output);
    output.finish(result)
}

/// The lock decides against a rollback whose time has come meanwhile.
fn try_confirm(config: &Path, output: &mut Output) -> Result<(), Refused> {
    let root = Root::this_machine()?;
    let states = StateDir::create(&root)?.lock()?;
    let (mut pending, mut refused) = pending(&states)?;
    let findings = check::findings(&root, &system_error::absolute(config)?);
    show(&root, &pending, &findings, output);
    for state in &mut pending {
        let judged = judge(&root, state, &findings)
            .map_err(|why| Refused(format!("{}: not confirmed: {why}", state.service)))
            .and_then(|()| reload_once_more(&root, state))
            .and_then(|()| keep(&root, &states, state));
        match judged {
            Ok(()) => {
                event("confirm", caller(), &root, state).record(Outcome::Done);
                let sentence = format!("{}: iVALT stays enabled", state.service);
                output.done("confirmed", sentence);
            }
            Err(Refused(why)) => {
                // It stays, unless a power cut undoes that.
                let now = states.load(&state.service).ok().flatten();
                if let Some(now) = now.filter(|now| now.phase == Phase::Confirmed) {
                    event("confirm", caller(), &root, state).record(Outcome::Failed(&why));
                    output.set("changed", true);
                    *state = now;
                }
                refused.push(why);
            }
        }
    }
    let services = pending.iter().map(|state| {
        let until = (state.phase == Phase::Pending).then_some(state.until);
        service_json(state, state.phase, until)
    });
    output.set("services", services.collect::<Vec<_>>());
    match refused.is_empty() {
        true => Ok(()),
        false => Err(Refused(refused.join("\n"))),
    }
}

/// What is pending, and why the saved states of others cannot be used: that stops nobody else.
fn pending(states: &StateDir) -> Result<(Vec<SavedState>, Vec<String>), Refused> {
    let mut pending = Vec::new();
    let mut refused = Vec::new();
    let mut late = None;
    for service in states.services()? {
        match states.load(&service) {
            Ok(Some(state)) if state.phase == Phase::Pending => pending.push(state),
            Ok(Some(state)) if state.phase == Phase::RolledBack => late = late.or(Some(service)),
            Ok(_) => {}
            Err(Refused(why)) => refused.push(format!("{service}: not confirmed: {why}")),
        }
    }
    if !pending.is_empty() || !refused.is_empty() {
        return Ok((pending, refused));
    }
    Err(Refused(late.map_or("nothing is waiting for a confirmation".into(), |service| {
        format!("too late: {service} was not confirmed in time, and everything was put back; start again: ivaltctl enable {service}")
    })))
}

/// What was edited since `enable`, and what is dangerous about one of these services.
pub fn show(root: &Root, pending: &[SavedState], findings: &[Finding], output: &mut Output) {
    for state in pending {
        // What cannot be read is refused, which says so.
        for (change, now) in edited(root, state).unwrap_or_default() {
            output.diff(&change.path, &change.after.0, &now);
        }
    }
    let of_one = |finding: &&Finding| pending.iter().any(|state| stops(root, state, finding));
    let stopping: Vec<_> = findings.iter().filter(of_one).cloned().collect();
    if !stopping.is_empty() {
        output.findings(&stopping);
    }
}

/// A power cut or a rollback may have left some of the files as they were.
///
/// # Errors
/// What is wrong with this service, and how to fix it.
pub fn judge(root: &Root, state: &SavedState, findings: &[Finding]) -> Result<(), String> {
    let service = &state.service;
    for change in &state.changes {
        let path = root.shown(&change.path);
        let now = read(root, &change.path);
        let now = now.map_err(|error| not_read(root, &change.path, &error).0)?;
        let ours = now.as_deref() == Some(&change.after.0);
        if !ours && now.as_ref() == change.before.as_ref().map(|content| &content.0) {
            let is = change
                .before
                .as_ref()
                .map_or("does not exist, as", |_| "is as it was");
            return Err(format!(
                "{path} {is} before `ivaltctl enable`; {0}; then begin again: ivaltctl enable {service}",
                way_back(root, state)
            ));
        }
        if is_of_pam(change) && !asks_for_ivalt(root, change) {
            return Err(format!(
                "{path} was edited and does not ask for iVALT; undo the edit shown above, and run this again"
            ));
        }
    }
    refuse_dangerous(root, state, findings)
}

fn refuse_dangerous(root: &Root, state: &SavedState, findings: &[Finding]) -> Result<(), String> {
    let stopping = findings
        .iter()
        .filter(|finding| stops(root, state, finding));
    let stopping: Vec<_> = stopping.map(place).collect();
    if stopping.is_empty() {
        return Ok(());
    }
    Err(format!(
        "somebody is let in or locked out: {}; fix that as shown above, and run this again, or {}; or, where it is meant: \
         ivaltctl check --accept ID:FILE --because TEXT",
        stopping.join(", "),
        way_back(root, state)
    ))
}

/// `sshd-pam-off in /etc/ssh/sshd_config:9`
fn place(finding: &Finding) -> String {
    let line = finding
        .line
        .map_or(String::new(), |line| format!(":{line}"));
    let file = finding.file.as_ref();
    let place = file.map_or(String::new(), |file| {
        format!(" in {}{line}", file.display())
    });
    format!("{}{place}", finding.id)
}

/// `disable` refuses what was edited.
fn way_back(root: &Root, state: &SavedState) -> String {
    let is_edited = edited(root, state).is_ok_and(|edited| !edited.is_empty());
    let first = if is_edited {
        "undo the edits shown above, and "
    } else {
        ""
    };
    format!(
        "{first}put everything back: ivaltctl disable {}",
        state.service
    )
}

fn asks_for_ivalt(root: &Root, change: &Change) -> bool {
    let name = change.path.file_name().and_then(|name| name.to_str());
    let service = name.and_then(|name| pam_stack::read(root, name).ok());
    service.is_some_and(|service| ivalt_rules(service.own(RuleType::Auth)).next().is_some())
}

fn stops(root: &Root, state: &SavedState, finding: &Finding) -> bool {
    finding.is_dangerous() && !is_of_others(root, state, finding)
}

/// Whether a finding is in a file that only other services read, in pam.d, of sshd or of sudo, or in their saved state.
fn is_of_others(root: &Root, state: &SavedState, finding: &Finding) -> bool {
    let Some(file) = &finding.file else {
        return false;
    };
    let is_below = |folders: &[&str]| folders.iter().any(|folder| file.starts_with(folder));
    if is_below(&FOLDERS) {
        return !reads(root, state, file);
    }
    if is_below(&[FOLDER]) {
        return file.file_stem() != Some(OsStr::new(&state.service));
    }
    if is_below(&["/etc/ssh", "/usr/etc/ssh"]) {
        return state.service != "sshd";
    }
    is_below(&["/etc/sudoers", "/etc/sudoers.d", "/usr/etc/sudoers"]) && state.service != "sudo"
}

/// Whether this file of pam.d is one of the service's, perhaps by an include.
fn reads(root: &Root, state: &SavedState, file: &Path) -> bool {
    let changes = state.changes.iter().filter(|change| is_of_pam(change));
    let mut names = changes.filter_map(|change| change.path.file_name()?.to_str());
    names.any(|name| {
        let (_, read) = root.recorded(|| pam_stack::read(root, name).map(drop));
        read.files.contains_key(file)
    })
}

/// An `enable` that was killed may have written the files and told nobody: then the sshd that runs asks for no iVALT.
fn reload_once_more(root: &Root, state: &SavedState) -> Result<(), Refused> {
    let not_told = |Refused(why)| {
        Refused(format!(
            "{}: not confirmed: the sshd that runs may have other settings: {why}; then run this again",
            state.service
        ))
    };
    reload(root, state).map(drop).map_err(not_told)
}

/// On the disk before it is said; the files, too: an editor, or an `enable` that was killed, may not have synced them.
fn keep(root: &Root, states: &LockedStateDir, state: &mut SavedState) -> Result<(), Refused> {
    let confirmed = SavedState {
        phase: Phase::Confirmed,
        ..state.clone()
    };
    let synced = state.changes.iter().try_for_each(|change| {
        let done = root.sync(&change.path);
        done.map_err(|error| not_written(root, &change.path, &error))
    });
    let saved = synced.and_then(|()| states.save(&confirmed));
    saved.map_err(|Refused(why)| {
        let service = &state.service;
        Refused(format!(
            "{service}: it is not certain that iVALT stays enabled: {why}"
        ))
    })?;
    *state = confirmed;
    Ok(())
}

#[cfg(test)]
pub mod tests;
