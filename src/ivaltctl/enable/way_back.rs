//! The process that puts everything back unless somebody confirms. It outlives the terminal and the connection from
//! which `enable` was called.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime};

use super::journal::{Journal, Journals, State, peek};
use super::{put_back, read};
use crate::root::Root;
use crate::{Exit, Refused, terminal};

/// What the waiting process says once it no longer depends on its parent.
const READY: &str = "waiting";

/// Starts it, and returns when it no longer depends on this process.
///
/// # Errors
/// It could not be started; then there must be no change.
pub fn start(journal: &Journal) -> Result<(), Refused> {
    if under_systemd(journal) {
        return Ok(());
    }
    let mut child = way_back(journal)?
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let mut line = String::new();
    if let Some(stdout) = child.stdout.take() {
        BufReader::new(stdout).read_line(&mut line)?;
    }
    if line.trim_end() == READY {
        return Ok(());
    }
    let _ = child.kill();
    let _ = child.wait();
    Err(Refused(
        "the process that would put everything back could not be started".into(),
    ))
}

fn way_back(journal: &Journal) -> Result<Command, Refused> {
    let mut command = Command::new(std::env::current_exe()?);
    command
        .arg("way-back")
        .arg(&journal.service)
        .current_dir("/")
        .env_clear();
    Ok(command)
}

/// logind may kill what a session leaves behind (`KillUserProcesses`); a service of systemd's own is not the session's.
fn under_systemd(journal: &Journal) -> bool {
    let Ok(way_back) = way_back(journal) else {
        return false;
    };
    if !Path::new("/run/systemd/system").exists() {
        return false;
    }
    let unit = format!("--unit=ivaltctl-way-back-{}", journal.service);
    let mut run = Command::new("/usr/bin/systemd-run");
    run.args(["--quiet", "--collect", "--property=Type=exec", &unit, "--"]);
    run.arg(way_back.get_program()).args(way_back.get_args());
    run.stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    run.status().is_ok_and(|status| status.success())
}

/// `ivaltctl way-back SERVICE`: waits for the confirmation, and undoes the change when it does not come.
pub fn wait(service: &str) -> Result<Exit, Refused> {
    // Fails where systemd has done it already.
    let _ = nix::unistd::setsid();
    let root = Root::new(Path::new("/"));
    let Some(journal) = peek(&root, service)?.filter(|journal| journal.state == State::Pending)
    else {
        return Ok(Exit::Done);
    };
    terminal::say(READY);
    let left = journal
        .until
        .duration_since(SystemTime::now())
        .unwrap_or_default();
    // By a clock that nobody sets.
    let deadline = Instant::now() + left;
    while Instant::now() < deadline {
        if !waits(&root, &journal) {
            return Ok(Exit::Done);
        }
        sleep(Duration::from_millis(200).min(deadline.saturating_duration_since(Instant::now())));
    }
    undo_in_the_end(&root, &journal)
}

/// A full disk or a second ivaltctl must not keep the door locked: it is tried for a day.
fn undo_in_the_end(root: &Root, journal: &Journal) -> Result<Exit, Refused> {
    let mut tries = 24 * 60 * 6;
    loop {
        tries -= 1;
        match undo(root, journal) {
            Err(_) if tries > 0 => sleep(Duration::from_secs(10)),
            done => return done,
        }
    }
}

/// A journal that cannot be read just now confirms nothing.
fn waits(root: &Root, journal: &Journal) -> bool {
    peek(root, &journal.service).map_or(true, |now| now.as_ref() == Some(journal))
}

/// Also where somebody edited a file meanwhile: nobody has confirmed that a login works with it. It is kept.
fn undo(root: &Root, journal: &Journal) -> Result<Exit, Refused> {
    let journals = Journals::open(root)?;
    if journals.load(&journal.service)?.as_ref() != Some(journal) {
        return Ok(Exit::Done);
    }
    for change in &journal.changes {
        let now = read(root, change)?.unwrap_or_default();
        if now != change.after.0 && Some(&now) != change.before.as_ref().map(|content| &content.0) {
            journals.keep(&change.path, &now)?;
        }
    }
    put_back(root, journal)?;
    journals.save(&Journal {
        state: State::PutBack,
        ..journal.clone()
    })?;
    Ok(Exit::Done)
}
