//! `ivaltctl enable`, `confirm`, `disable`: iVALT is switched on for a service, with a way back.
//!
//! The order is what keeps an administrator from being locked out: first the journal of what was there, then the
//! process that puts it back, then the change.

mod journal;
mod plan;
mod sshd;
mod way_back;

use std::fs;
use std::io::{self, ErrorKind};
use std::path::Path;

use similar::TextDiff;

use super::command_line::{DisableArgs, EnableArgs};
use super::finding::{Finding, Severity};
use super::replace::replace;
use super::root::Root;
use super::terminal::{self, ERROR, OK};
use super::{Exit, Refused, check};
use journal::{Change, Content, Journal, Journals, State};
pub use way_back::wait;

/// Switches iVALT on for a service.
pub fn enable(enable: &EnableArgs, config: &Path) -> Result<Exit, Refused> {
    let root = Root::new(&enable.root);
    let service = plain_name(&enable.service)?;
    let journals = Journals::open(&root)?;
    refuse_unless_new(&journals, &root, service)?;
    let changes = plan::changes(&root, service)?;
    refuse_dangerous(&root, config, &changes)?;
    show(&changes, |change| {
        (bytes_of(&change.before), &change.after.0)
    });
    if !enable.yes && !terminal::confirm("Write this?") {
        return Err(Refused("nothing was changed".into()));
    }
    let mut journal = Journal::new(service, enable.confirm_within, changes);
    if !root.is_this_machine() {
        journal.state = State::Confirmed;
    }
    journals.save(&journal)?;
    carry_out(&journals, &root, &journal)?;
    say_what_next(&journal, enable);
    Ok(Exit::Done)
}

/// Keeps every change that waits for it.
pub fn confirm() -> Result<Exit, Refused> {
    let journals = Journals::open(&Root::new(Path::new("/")))?;
    let (pending, others): (Vec<_>, Vec<_>) = journals
        .all()?
        .into_iter()
        .partition(|journal| journal.state == State::Pending);
    if pending.is_empty() {
        let late = others
            .iter()
            .find(|journal| journal.state == State::PutBack);
        return Err(Refused(late.map_or("nothing waits for a confirmation".into(), |journal| {
            format!("too late: nobody confirmed {0} in time, and everything was put back; begin again: ivaltctl enable {0}", journal.service)
        })));
    }
    for mut journal in pending {
        journal.state = State::Confirmed;
        journals.save(&journal)?;
        terminal::say(format_args!("{}: iVALT stays switched on", journal.service));
    }
    Ok(Exit::Done)
}

/// Switches iVALT off: the files are as they were before.
pub fn disable(disable: &DisableArgs) -> Result<Exit, Refused> {
    let root = Root::new(&disable.root);
    let service = plain_name(&disable.service)?;
    let journals = Journals::open(&root)?;
    let journal = journals
        .load(service)?
        .filter(|journal| journal.state != State::PutBack);
    let journal = journal.ok_or_else(|| {
        Refused(format!("{service} was not switched on by `ivaltctl enable`; take the line out yourself: sed -i '/pam_ivalt/d' /etc/pam.d/{service}"))
    })?;
    refuse_if_edited(&root, &journal)?;
    show(&journal.changes, |change| {
        (&change.after.0, bytes_of(&change.before))
    });
    if !disable.yes && !terminal::confirm("Write this?") {
        return Err(Refused("nothing was changed".into()));
    }
    put_back(&root, &journal)?;
    journals.forget(service)?;
    terminal::say(format_args!(
        "{service}: iVALT is switched off, the files are as they were before"
    ));
    Ok(Exit::Done)
}

/// The name of a file in pam.d, and nothing that leads out of it.
fn plain_name(service: &str) -> Result<&str, Refused> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if !service.is_empty() && !service.starts_with('.') && service.bytes().all(plain) {
        return Ok(service);
    }
    Err(Refused(format!(
        "{service:?} is no name of a service; services are the files in /etc/pam.d: ls /etc/pam.d"
    )))
}

/// An `enable` that was killed before its first change left a journal behind that undoes nothing.
fn refuse_unless_new(journals: &Journals, root: &Root, service: &str) -> Result<(), Refused> {
    match journals.load(service)? {
        Some(journal) if journal.state != State::PutBack && !is_as_before(root, &journal) => {
            Err(Refused(format!(
                "{service} is switched on already{}; to switch it off: ivaltctl disable {service}",
                if journal.state == State::Pending {
                    " and waits for: ivaltctl confirm"
                } else {
                    ""
                }
            )))
        }
        _ => Ok(()),
    }
}

fn is_as_before(root: &Root, journal: &Journal) -> bool {
    let as_before = |change: &Change| {
        read(root, change)
            .is_ok_and(|now| now == change.before.as_ref().map(|content| content.0.clone()))
    };
    journal.changes.iter().all(as_before)
}

/// The doctor looks at the system as it would be.
fn refuse_dangerous(root: &Root, config: &Path, changes: &[Change]) -> Result<(), Refused> {
    let result = plan::after(root, changes);
    let config = if root.is_this_machine() {
        &std::path::absolute(config)?
    } else {
        config
    };
    let findings = check::findings(&result, config);
    let dangerous: Vec<&Finding> = findings
        .iter()
        .filter(|finding| finding.severity >= Severity::LocksOut)
        .collect();
    if dangerous.is_empty() {
        return Ok(());
    }
    check::show(&dangerous);
    Err(Refused("with this change somebody would be let in or locked out, so nothing was changed; fix the above first".into()))
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
            terminal::say(match line.as_bytes().first() {
                Some(b'+') => terminal::styled(OK, line),
                Some(b'-') => terminal::styled(ERROR, line),
                _ => line.to_owned(),
            });
        }
    }
}

fn bytes_of(content: &Option<Content>) -> &[u8] {
    content.as_ref().map_or(&[], |content| &content.0)
}

/// From here on, whatever ends this process, the way back is there.
fn carry_out(journals: &Journals, root: &Root, journal: &Journal) -> Result<(), Refused> {
    let done = start_way_back(root, journal).and_then(|()| write_all(root, journal));
    done.map_err(|Refused(why)| {
        match put_back(root, journal).and_then(|()| journals.forget(&journal.service)) {
            Ok(()) => Refused(format!("{why}; everything was put back")),
            Err(Refused(worse)) => Refused(format!("{why}; and it could not be put back: {worse}")),
        }
    })
}

fn start_way_back(root: &Root, journal: &Journal) -> Result<(), Refused> {
    if root.is_this_machine() {
        way_back::start(journal)
    } else {
        Ok(())
    }
}

fn write_all(root: &Root, journal: &Journal) -> Result<(), Refused> {
    for change in &journal.changes {
        let named = |error: io::Error| Refused(format!("{}: {error}", change.path.display()));
        put(&root.real(&change.path), &change.after.0).map_err(named)?;
    }
    reload(root, journal)
}

/// sshd alone has settings of its own that changed; all other services read pam.d at every login.
fn reload(root: &Root, journal: &Journal) -> Result<(), Refused> {
    if journal.service != "sshd" || !root.is_this_machine() {
        return Ok(());
    }
    sshd::test().and_then(|()| sshd::reload())
}

/// In reverse order, so that PAM asks for no token before sshd can carry one, nor after.
fn put_back(root: &Root, journal: &Journal) -> Result<(), Refused> {
    for change in journal.changes.iter().rev() {
        let before = change.before.as_ref().map(|content| content.0.as_slice());
        // What was not reached is left alone: a file that cannot be written must not keep the others from their way back.
        if read(root, change).is_ok_and(|now| now.as_deref() == before) {
            continue;
        }
        let real = root.real(&change.path);
        let done = match &change.before {
            Some(content) => put(&real, &content.0),
            None => match fs::remove_file(&real) {
                Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
                done => done,
            },
        };
        done.map_err(|error| Refused(format!("{}: {error}", change.path.display())))?;
    }
    reload(root, journal)
}

/// Such files are everybody's to read.
fn put(path: &Path, bytes: &[u8]) -> io::Result<()> {
    replace(path, bytes, 0o644, || Ok(()))
}

/// What somebody changed since `enable` is not thrown away: it is shown.
fn refuse_if_edited(root: &Root, journal: &Journal) -> Result<(), Refused> {
    let mut edited = Vec::new();
    for change in &journal.changes {
        let now = read(root, change)?;
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
    terminal::complain(
        "changed by somebody since `enable`, so it is not put back; this is the difference:",
    );
    for (change, now) in &edited {
        show(std::slice::from_ref(*change), |change| {
            (&change.after.0, now)
        });
    }
    Err(Refused(format!(
        "nothing was changed; undo the above in {path} and call this again, or take the lines below \"ivaltctl enable\" out yourself"
    )))
}

fn read(root: &Root, change: &Change) -> io::Result<Option<Vec<u8>>> {
    match fs::read(root.real(&change.path)) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        bytes => bytes.map(Some),
    }
}

fn say_what_next(journal: &Journal, enable: &EnableArgs) {
    let service = &journal.service;
    if journal.state == State::Confirmed {
        terminal::say(format_args!(
            "{service}: iVALT is switched on below {}",
            enable.root.display()
        ));
        return;
    }
    let time = match enable.confirm_within.as_secs() {
        seconds if seconds % 60 == 0 => format!("{} min", seconds / 60),
        seconds => format!("{seconds} s"),
    };
    let what = format!("{service}: iVALT is switched on for {time}");
    terminal::say(terminal::styled(OK, what));
    terminal::say("Keep this session. Log in from a second one; if that works: ivaltctl confirm");
    terminal::say(
        "Without it, everything is put back by itself; only a reboot before leaves it as it is.",
    );
}
