//! `ivaltctl confirm`: what `enable` changed stays.

use super::saved_state::{Phase, StateDir};
use super::{event, service_json};
use crate::audit::Outcome;
use crate::caller::caller;
use crate::command_line::ConfirmArgs;
use crate::output::Output;
use crate::root::Root;
use crate::{Exit, Refused};

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
