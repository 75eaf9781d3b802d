//! `ivaltctl disable`: files become what they were before `enable`.

use std::path::Path;

use super::saved_state::{Change, LockedStateDir, Phase, SavedState, StateDir};
use super::write::{Notice, edited, not_read, read, reload, restore, write};
use super::{
    ask_unless, bytes_of, changed_meanwhile, event, refuse_unless_possible, service_json,
    service_name, sshd, system,
};
use crate::audit::Outcome;
use crate::caller::caller;
use crate::command_line::DisableArgs;
use crate::output::Output;
use crate::root::Root;
use crate::{Exit, Refused, pam_stack, sshd_program};

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
            "; remove the line from {shown} in an editor, with the lines it is continued on, and lower the jumps (success=N) that pass over it"
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
    let mut kept = String::new();
    let mut keep =
        |change: &Change, edited: Vec<u8>| states.keep_edited(root, change, &edited, &mut kept);
    for (at, state) in enabled.iter().enumerate() {
        match restore(root, state, &mut keep, reload_restored).and_then(|reloaded| reloaded) {
            Ok(notice) => output.notices(notice.as_deref()),
            Err(Refused(why)) => {
                let Refused(why) = undo(root, &enabled[..=at], &present, keep, &why, output);
                return Err(Refused(why + &kept));
            }
        }
    }
    output.notices(kept.strip_prefix("; "));
    // The files are as before, even if a state stays.
    output.set("changed", true);
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
    mut keep: impl FnMut(&Change, Vec<u8>) -> Result<(), Refused>,
    why: &str,
    output: &mut Output,
) -> Refused {
    let was = |change: &Change| {
        let mut files = present.iter();
        files.find_map(|(path, bytes)| bytes.as_deref().filter(|_| *path == change.path))
    };
    let done = restored
        .iter()
        .try_for_each(|state| write(root, state, was, &mut keep).map(drop));
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
    let not_told = |error| match sshd::test(root) {
        Ok(()) => Err(error),
        Err(Refused(why)) => {
            let command = sshd_program::reload_command(root);
            Ok(Some(format!(
                "{why}; the files are as they were before, and sshd was not told to read them, since it would end; until it \
                 does, it has the settings of `enable` while PAM does not ask for iVALT, so a password alone may be enough: \
                 correct its configuration, then: sshd -t && {command}"
            )))
        }
    };
    reload(root, state).or_else(not_told)
}

/// What was edited since `enable` is not thrown away: it is shown.
fn refuse_if_edited(root: &Root, state: &SavedState, output: &mut Output) -> Result<(), Refused> {
    let edited = edited(root, state)?;
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

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::enable::confirm::tests::{PAM, enabled};
    use crate::enable::tests::edit;

    /// After it was judged.
    #[test]
    fn what_is_edited_while_it_is_disabled_is_kept() {
        let (dir, root, state) = enabled("sshd");
        edit(&root, Path::new(PAM), b"# edited\n");
        let states = StateDir::create(&root).unwrap().lock().unwrap();
        states.save(&state).unwrap();
        let mut output = Output::new(false, false);
        assert!(restore_all(&states, &root, &[state], &mut output).is_ok());
        let kept = dir.path().join("var/lib/ivalt/etc-pam.d-sshd.edited");
        assert_eq!(fs::read(kept).unwrap(), b"# edited\n");
        let now = root.read(Path::new(PAM)).unwrap();
        assert_eq!(now, "@include common-auth\n");
    }
}
