//! The process that rolls everything back unless it is confirmed. It outlives the terminal and the connection from
//! which `enable` was called.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime};

use super::saved_state::{Phase, SavedState, StateDir};
use super::write::{Notice, not_read, read, reload, restore};
use crate::audit::{self, Outcome};
use crate::root::Root;
use crate::system_error::reason;
use crate::{Exit, Refused, terminal};

/// What the waiting process prints once it no longer depends on its parent.
const READY: &str = "waiting";

/// Starts it, and returns once it no longer depends on this process.
///
/// # Errors
/// It could not be started; then there must be no change.
pub fn start(state: &SavedState) -> Result<(), Refused> {
    if under_systemd(state) {
        return Ok(());
    }
    let mut child = command(state)?
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| not_started(&reason(&error)))?;
    let mut line = String::new();
    if let Some(stdout) = child.stdout.take() {
        let read = BufReader::new(stdout).read_line(&mut line);
        read.map_err(|error| not_started(&reason(&error)))?;
    }
    if line.trim_end() == READY {
        return Ok(());
    }
    let _ = child.kill();
    let _ = child.wait();
    Err(not_started("it ended at once"))
}

fn not_started(why: &str) -> Refused {
    Refused(format!(
        "the process that would roll everything back could not be started: {why}; nothing was changed; look for limits and \
         free memory: ulimit -a; free -m"
    ))
}

fn command(state: &SavedState) -> Result<Command, Refused> {
    let program = std::env::current_exe().map_err(|error| not_started(&reason(&error)))?;
    #[expect(clippy::disallowed_methods, reason = "not inside another's process")]
    let mut command = Command::new(program);
    command
        .arg("rollback")
        .arg(&state.service)
        .current_dir("/")
        .env_clear();
    Ok(command)
}

/// logind may kill what a session leaves behind (`KillUserProcesses`); a service of systemd's own is not the session's.
fn under_systemd(state: &SavedState) -> bool {
    let Ok(rollback) = command(state) else {
        return false;
    };
    if !Path::new("/run/systemd/system").exists() {
        return false;
    }
    let unit = format!("--unit=ivaltctl-rollback-{}", state.service);
    #[expect(clippy::disallowed_methods, reason = "not inside another's process")]
    let mut run = Command::new("/usr/bin/systemd-run");
    run.args(["--quiet", "--collect", "--property=Type=exec", &unit, "--"]);
    run.arg(rollback.get_program()).args(rollback.get_args());
    run.stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    run.status().is_ok_and(|status| status.success())
}

/// `ivaltctl rollback SERVICE`: waits for the confirmation, and rolls back when it does not come.
pub fn wait(service: &str) -> Result<Exit, Refused> {
    // Fails where systemd has done it already.
    let _ = nix::unistd::setsid();
    let root = Root::this_machine()?;
    let state = StateDir::open(&root)?.load(service)?;
    let Some(state) = state.filter(|state| state.phase == Phase::Pending) else {
        return Ok(Exit::Done);
    };
    terminal::print(READY);
    let remaining = state
        .until
        .duration_since(SystemTime::now())
        .unwrap_or_default();
    // A clock that is not set while it runs.
    let deadline = Instant::now() + remaining;
    while Instant::now() < deadline {
        if !is_pending(&root, &state) {
            return Ok(Exit::Done);
        }
        sleep(Duration::from_millis(200).min(deadline.saturating_duration_since(Instant::now())));
    }
    rollback_with_retry(&root, &state)
}

/// A full disk, a second ivaltctl or an sshd_config that somebody broke must not keep administrators locked out: it is
/// tried for a day.
fn rollback_with_retry(root: &Root, state: &SavedState) -> Result<Exit, Refused> {
    let log = event(root, state);
    if let Some(reloaded) = with_retry(&log, || rollback(root, state))? {
        reloaded.or_else(|_| with_retry(&log, || reload(root, state)))?;
        log.record(Outcome::Done);
    }
    Ok(Exit::Done)
}

fn with_retry<T>(
    log: &audit::Change,
    attempt: impl Fn() -> Result<T, Refused>,
) -> Result<T, Refused> {
    const TRIES: u32 = 24 * 60 * 6;
    for left in (1..TRIES).rev() {
        match attempt() {
            Ok(done) => return Ok(done),
            Err(Refused(why)) if left == TRIES - 1 => log.record(Outcome::Failed(&why)),
            Err(_) => {}
        }
        sleep(Duration::from_secs(10));
    }
    attempt()
}

fn event<'a>(root: &Root, state: &SavedState) -> audit::Change<'a> {
    super::event("rollback", audit::TIMEOUT.to_owned(), root, state)
}

/// A state that cannot be read just now confirms nothing.
fn is_pending(root: &Root, state: &SavedState) -> bool {
    let now = StateDir::open(root).and_then(|states| states.load(&state.service));
    now.map_or(true, |now| now.as_ref() == Some(state))
}

/// What a running sshd said to it, if there was anything to roll back. Also where a file was edited meanwhile: nobody has confirmed that a login
/// works with it. The edited version is kept.
fn rollback(root: &Root, state: &SavedState) -> Result<Option<Result<Notice, Refused>>, Refused> {
    let states = StateDir::create(root)?.lock()?;
    if states.load(&state.service)?.as_ref() != Some(state) {
        return Ok(None);
    }
    for change in &state.changes {
        let now = read(root, &change.path);
        let now = now
            .map_err(|error| not_read(root, &change.path, &error))?
            .unwrap_or_default();
        if now != change.after.0 && Some(&now) != change.before.as_ref().map(|content| &content.0) {
            states.keep(&change.path, &now)?;
        }
    }
    let reloaded = restore(root, state, reload)?;
    states.save(&SavedState {
        phase: Phase::RolledBack,
        ..state.clone()
    })?;
    Ok(Some(reloaded))
}
