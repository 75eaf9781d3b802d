//! `ivaltctl push release`: ends what holds requests to a user's phone back. How it comes to that is in
//! [`ivalt_core::push`].

use std::path::Path;

use super::audit::{Change, Outcome};
use super::caller::caller;
use super::command_line::{PushArgs, PushCommand};
use super::output::Output;
use super::terminal::visible;
use super::users::{self, file::require_permission};
use super::{Exit, Refused, trust};
use ivalt_core::push::{DIRECTORY, Held, Kind, NotLocked, Phone};
use ivalt_core::sys;
use ivalt_core::users::{Entry, Mobile};

/// Runs the subcommand.
pub fn run(args: &PushArgs, config: &Path) -> Exit {
    let mut output = Output::new(args.json, false);
    let PushCommand::Release { name } = &args.command;
    let done = release(name, config, &mut output);
    output.finish(done.map_err(|Refused(why)| Refused(visible(&why))))
}

fn release(name: &str, config: &Path, output: &mut Output) -> Result<(), Refused> {
    require_permission(config)?;
    output.set("name", name);
    let mobile = mobile_of(name, config)?;
    let mut phone = lock(name, &mobile)?;
    let held = phone.held(1).map(|held| what_holds(&held));
    let Some(held) = held else {
        output.line(visible(&format!(
            "{name}: nothing holds requests to this phone back"
        )));
        return Ok(());
    };
    phone.release()?;
    let change = Change {
        command: "push release",
        fields: vec![
            ("user", name.to_owned()),
            ("mobile", mobile.masked()),
            ("held", held.clone()),
        ],
        by: caller(),
    };
    change.record(Outcome::Done);
    output.set("held", held.as_str());
    output.done("released", visible(&format!("{name}: released: {held}")));
    Ok(())
}

fn lock(name: &str, mobile: &Mobile) -> Result<Phone, Refused> {
    let locked = Phone::lock(Path::new(DIRECTORY), mobile, trust(), sys::boot_clock);
    locked.map_err(|why| match why {
        NotLocked::Busy => Refused(format!(
            "{name}: a login waits for an answer on this phone; nothing was changed; try again when it has ended; if it does \
             not, lslocks shows its process as that of a lock in {DIRECTORY}"
        )),
        NotLocked::Fault(problem) => Refused(format!("{problem}; nothing was changed")),
    })
}

/// Those of a user who is disabled, too.
fn mobile_of(name: &str, config: &Path) -> Result<Mobile, Refused> {
    let settings = users::enrolment(config)?;
    let (files, format) = (settings.users(), settings.mobile_format);
    match files.look_up(trust(), name.as_bytes(), format)?.entry {
        Entry::Enrolled(mobile) | Entry::Disabled(mobile) => Ok(mobile),
        Entry::Bad(problem) => Err(problem.into()),
        Entry::Absent => Err(Refused(format!(
            "{files}: no entry for {name}; nothing was changed; list them: ivaltctl users list"
        ))),
    }
}

fn what_holds(held: &Held) -> String {
    match held {
        Held::Request(hold, _) => {
            let how = match hold.kind {
                Kind::Denied => "denied",
                Kind::Unanswered => "not answered",
                Kind::Outstanding => "not answered, since its login was killed",
            };
            format!("the request {hold} was {how}")
        }
        Held::Limit(count, last) => {
            let last = last.as_ref().map(|hold| format!(", the last one {hold}"));
            let requests = match count {
                1 => "1 request of the last hour was".to_owned(),
                _ => format!("{count} requests of the last hour were"),
            };
            format!("{requests} not answered{}", last.unwrap_or_default())
        }
        Held::Damaged(path) => format!("{} was damaged", path.display()),
    }
}
