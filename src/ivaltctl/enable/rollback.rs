//! Puts back what nobody confirms: the process that waits for the confirmation, which outlives the terminal and the
//! connection from which `enable` was called, and at the next start of the system whatever it could not put back.
//!
//! Whoever waits holds a lock from before the first change until it ends. So it is known whether anybody waits, whatever
//! the clock and the process ids.

use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime};

use super::is_unwritten;
use super::saved_state::{Change, FOLDER, LockedStateDir, Phase, SavedState, StateDir, boot_id};
use super::watch::Watch;
use super::write::{reload, restore};
use crate::audit::{self, Outcome};
use crate::check::program;
use crate::root::Root;
use crate::sshd_listener::is_systemd;
use crate::system_error::reason;
use crate::utc::utc;
use crate::{Exit, Refused, folder, terminal};

/// The unit that puts back at the next start of the system; those that wait have its name, and the service's.
const UNIT: &str = "ivaltctl-rollback";
/// How long the process that waits may take to begin, and one that no longer has anything to wait for to end.
const TIMEOUT: Duration = Duration::from_secs(15);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// Starts the process that waits for the confirmation of a state, and returns once it waits: it no longer depends on
/// this process then. Where systemd runs it, the name of its unit is returned.
///
/// # Errors
/// It could not be started; then there must be no change.
pub fn start(states: &StateDir, state: &SavedState) -> Result<Option<String>, Refused> {
    let service = &state.service;
    // It has nothing to wait for any more, and ends.
    if !within(TIMEOUT, || Ok(!states.is_waited_for(service)?))? {
        return Err(not_started("the one of an earlier `enable` does not end"));
    }
    let unit = under_systemd(service)?;
    let mut child = match unit {
        Some(_) => None,
        None => Some(spawn(service)?),
    };
    let waits = within(TIMEOUT, || {
        let ended = child.as_mut().is_some_and(has_ended);
        match states.is_waited_for(service)? {
            false if ended => Err(not_started("it ended at once")),
            waits => Ok(waits),
        }
    })?;
    match waits {
        true => Ok(unit),
        // Without a saved state it ends when it begins at last.
        false => Err(not_started("it does not begin to wait")),
    }
}

/// Whether something becomes so in time.
fn within(
    time: Duration,
    mut is_so: impl FnMut() -> Result<bool, Refused>,
) -> Result<bool, Refused> {
    let begin = Instant::now();
    while !is_so()? {
        if begin.elapsed() > time {
            return Ok(false);
        }
        sleep(Duration::from_millis(10));
    }
    Ok(true)
}

fn has_ended(child: &mut Child) -> bool {
    child.try_wait().is_ok_and(|status| status.is_some())
}

fn not_started(why: &str) -> Refused {
    Refused(format!(
        "the process that would roll everything back could not be started: {why}; nothing was changed; look for limits and \
         free memory: ulimit -a; free -m"
    ))
}

fn command(service: &str) -> Result<Command, Refused> {
    let program = std::env::current_exe().map_err(|error| not_started(&reason(&error)))?;
    #[expect(clippy::disallowed_methods, reason = "not inside another's process")]
    let mut command = Command::new(program);
    command.arg("rollback").arg(service);
    Ok(command)
}

fn spawn(service: &str) -> Result<Child, Refused> {
    let mut command = command(service)?;
    let command = command.current_dir("/").env_clear();
    let child = silent(command).spawn();
    child.map_err(|error| not_started(&reason(&error)))
}

fn silent(command: &mut Command) -> &mut Command {
    let command = command.stdin(Stdio::null()).stdout(Stdio::null());
    command.stderr(Stdio::null())
}

/// logind may kill what a session leaves behind (`KillUserProcesses`); a service of systemd's own is not the session's.
/// If it is killed, as where memory runs out, systemd starts it again, and it waits until the same time.
fn under_systemd(service: &str) -> Result<Option<String>, Refused> {
    let rollback = command(service)?;
    let unit = format!("{UNIT}-{service}");
    #[expect(clippy::disallowed_methods, reason = "not inside another's process")]
    let mut run = Command::new("/usr/bin/systemd-run");
    run.args(["--quiet", "--collect", "--property=Type=exec"]);
    run.args(["--property=Restart=on-abnormal", "--unit", &unit]);
    // `systemctl isolate` stops whatever the other target does not want.
    run.args(["--property=IgnoreOnIsolate=yes", "--"]);
    run.arg(rollback.get_program()).args(rollback.get_args());
    silent(&mut run);
    let mut runs = || run.status().is_ok_and(|status| status.success());
    // The unit of an earlier one goes away soon after its process.
    let begun = is_systemd() && (0..5).any(|_| runs() || pause());
    Ok(begun.then_some(unit))
}

fn pause() -> bool {
    sleep(Duration::from_millis(200));
    false
}

/// Why the next start of the system would not put back what is pending, if it would not.
pub fn cancelled_by_reboot(root: &Root) -> Option<String> {
    let why = if !root.is_this_machine() {
        return None;
    } else if !is_systemd() {
        "systemd does not run here".to_owned()
    } else if let Some(why) = not_started_at_boot(&show(root, &["LoadState", "WantedBy"])) {
        why
    } else {
        format!("{FOLDER} lies on {}", folder::volatile(Path::new(FOLDER))?)
    };
    Some(format!(
        "a reboot cancels the rollback: what nobody has confirmed by then stays enabled, since {why}"
    ))
}

/// Properties of the unit, as `systemctl show` prints them, one a line; nothing where systemd does not answer.
fn show(root: &Root, properties: &[&str]) -> String {
    const SYSTEMCTL: [&str; 2] = ["/usr/bin/systemctl", "/bin/systemctl"];
    let unit = format!("{UNIT}.service");
    let properties = format!("--property={}", properties.join(","));
    program::output(root, &SYSTEMCTL, &["show", &properties, &unit]).unwrap_or_default()
}

fn value<'a>(shown: &'a str, name: &str) -> Option<&'a str> {
    let mut lines = shown.lines().filter_map(|line| line.split_once('='));
    lines.find_map(|(key, value)| (key == name).then_some(value))
}

/// `is-enabled` would know neither of a link that a package has in /usr/lib/systemd/system nor of a unit that systemd
/// refuses, as before systemd 244 any with `Type=oneshot` and `Restart=`.
fn not_started_at_boot(shown: &str) -> Option<String> {
    let mut wanting = value(shown, "WantedBy").unwrap_or_default().split(' ');
    match value(shown, "LoadState") {
        Some("loaded") if wanting.any(|unit| unit == "sysinit.target") => None,
        Some("loaded") => Some(format!(
            "{UNIT}.service is not enabled; to change that: systemctl enable {UNIT}.service"
        )),
        state => Some(format!(
            "systemd does not have {UNIT}.service ({}); see: systemctl status {UNIT}.service",
            state.unwrap_or("it does not answer")
        )),
    }
}

/// `ivaltctl rollback SERVICE`: waits for the confirmation, and puts back when it does not come.
/// `ivaltctl rollback`: puts back whatever is pending and nobody waits for.
pub fn run(service: Option<&str>) -> Result<Exit, Refused> {
    let root = Root::this_machine()?;
    match service {
        Some(service) => wait(&root, service),
        None => put_back_all(&root),
    }
}

fn wait(root: &Root, service: &str) -> Result<Exit, Refused> {
    // Fails where systemd has done it already.
    let _ = nix::unistd::setsid();
    let states = StateDir::open(root)?;
    let Some(state) = pending(&states, service)? else {
        return Ok(Exit::Done);
    };
    let _waiting = states.wait_for(service)?;
    let until = utc(state.until);
    say(
        service,
        format_args!(
            "waiting for `ivaltctl confirm` until {until}; without it, everything is put back"
        ),
    );
    // A clock that is not set while it runs.
    let deadline = Instant::now() + remaining(state.until, SystemTime::now());
    let mut watch = Watch::new();
    while !is_over(root, &state) {
        match deadline.saturating_duration_since(Instant::now()) {
            Duration::ZERO => return put_back_in_the_end(root, &state),
            left => watch.sleep(left),
        }
    }
    Ok(Exit::Done)
}

/// No `enable` waits for more than a day: where systemd starts this again, the clock may have been set back by years.
fn remaining(until: SystemTime, now: SystemTime) -> Duration {
    let remaining = until.duration_since(now).unwrap_or_default();
    remaining.min(DAY)
}

fn pending(states: &StateDir, service: &str) -> Result<Option<SavedState>, Refused> {
    let state = states.load(service)?;
    Ok(state.filter(|state| state.phase == Phase::Pending))
}

/// What the journal has of it, where systemd runs this.
fn say(service: &str, what: impl Display) {
    terminal::print(format_args!("{service}: {what}"));
}

/// Whether a state is no longer what is pending, and why. One that cannot be read just now confirms nothing.
fn is_over(root: &Root, state: &SavedState) -> bool {
    let now = StateDir::open(root).and_then(|states| states.load(&state.service));
    let now = match now {
        Err(_) => return false,
        Ok(now) if now.as_ref() == Some(state) => return false,
        Ok(now) => now.map(|now| now.phase),
    };
    let why = match now {
        Some(Phase::Confirmed) => "confirmed; iVALT stays enabled",
        Some(Phase::RolledBack) => "put back by another process",
        Some(Phase::Pending) => "enabled anew, for which another process waits",
        None => "disabled; nothing is left to put back",
    };
    say(&state.service, why);
    true
}

/// A full disk, a second ivaltctl or an sshd_config that somebody broke must not keep administrators locked out: it is
/// tried for a day.
fn put_back_in_the_end(root: &Root, state: &SavedState) -> Result<Exit, Refused> {
    let begin = Instant::now();
    let mut is_first = true;
    loop {
        let Err(Refused(why)) = put_back_in_time(root, state) else {
            return Ok(Exit::Done);
        };
        if is_first {
            event(root, state, audit::TIMEOUT).record(Outcome::Failed(&why));
            say(
                &state.service,
                format_args!("cannot be put back yet: {why}"),
            );
        }
        is_first = false;
        if begin.elapsed() > DAY {
            return Err(Refused(why));
        }
        for _ in 0..10 {
            sleep(Duration::from_secs(1));
            if is_over(root, state) {
                return Ok(Exit::Done);
            }
        }
    }
}

fn event<'a>(root: &Root, state: &SavedState, by: &str) -> audit::Change<'a> {
    super::event("rollback", by.to_owned(), root, state)
}

fn put_back_in_time(root: &Root, state: &SavedState) -> Result<(), Refused> {
    let states = StateDir::create(root)?.lock()?;
    if is_over(root, state) {
        return Ok(());
    }
    put_back(&states, root, state, "not confirmed in time")?;
    event(root, state, audit::TIMEOUT).record(Outcome::Done);
    Ok(())
}

/// One that cannot be put back keeps no other from it.
fn put_back_all(root: &Root) -> Result<Exit, Refused> {
    let mut exit = Exit::Done;
    for service in StateDir::open(root)?.services()? {
        if let Err(Refused(why)) = put_back_unless_waited_for(root, &service) {
            terminal::print_error(format_args!("{service}: {why}"));
            exit = Exit::Refused;
        }
    }
    Ok(exit)
}

/// Where nothing is pending, nothing is written: the file system may be read-only.
fn put_back_unless_waited_for(root: &Root, service: &str) -> Result<(), Refused> {
    if pending(&StateDir::open(root)?, service)?.is_none() {
        return Ok(());
    }
    // Until its process waits, `enable` holds this lock.
    let states = StateDir::create(root)?.lock()?;
    let Some(state) = pending(&states, service)? else {
        return Ok(());
    };
    if states.is_waited_for(service)? {
        say(
            service,
            "left alone: a process waits for `ivaltctl confirm`",
        );
        return Ok(());
    }
    let log = event(root, &state, UNIT);
    match put_back(&states, root, &state, why_unconfirmed(&state)) {
        Ok(()) => log.record(Outcome::Done),
        Err(Refused(why)) => {
            if is_recorded(retries(root)) {
                log.record(Outcome::Failed(&why));
            }
            return Err(Refused(why));
        }
    }
    Ok(())
}

/// How often the unit has tried again, if this is the unit's process.
fn retries(root: &Root) -> u32 {
    let shown = show(root, &["MainPID", "NRestarts"]);
    let number = |name| value(&shown, name)?.parse().ok();
    let is_this = number("MainPID") == Some(std::process::id());
    number("NRestarts").filter(|_| is_this).unwrap_or(0)
}

/// Every half minute for days would bury all else: less and less often.
fn is_recorded(retries: u32) -> bool {
    retries == 0 || retries.is_power_of_two()
}

/// A service that is pending while nobody waits for the confirmation.
pub struct Unwaited {
    pub service: String,
    /// Its saved state.
    pub file: PathBuf,
    /// Those of its files that are as they were before.
    pub unwritten: Vec<String>,
    /// All of them are, and the sshd that runs may have the settings of `enable`.
    pub is_as_before: bool,
}

/// All of them, and the saved states that cannot be used; nothing is changed, and nobody is waited for.
pub fn unwaited(root: &Root) -> Vec<Result<Unwaited, (PathBuf, Refused)>> {
    let of_folder = |refused| vec![Err((PathBuf::from(FOLDER), refused))];
    let states = match StateDir::open(root) {
        Ok(states) => states,
        Err(refused) => return of_folder(refused),
    };
    let services = match states.services() {
        Ok(services) => services.into_iter(),
        Err(refused) => return of_folder(refused),
    };
    let found = services.filter_map(|service| {
        let found = unwaited_service(root, &states, &service).transpose()?;
        Some(found.map_err(|refused| (states.path(&service), refused)))
    });
    found.collect()
}

/// Nothing where no file is written: then nothing is enabled, but perhaps in an sshd that was not told, since whoever put
/// its files back was killed before that. It was told, or is another one, after a start of the system.
fn unwaited_service(
    root: &Root,
    states: &StateDir,
    service: &str,
) -> Result<Option<Unwaited>, Refused> {
    let Some(state) = pending(states, service)? else {
        return Ok(None);
    };
    let changes = state.changes.iter();
    let unwritten = changes.filter(|change| is_unwritten(root, change));
    let unwritten: Vec<_> = unwritten.map(|change| root.shown(&change.path)).collect();
    let is_as_before = unwritten.len() == state.changes.len();
    let matters = !is_as_before || (service == "sshd" && is_of_this_boot(&state));
    let found = Unwaited {
        service: state.service,
        file: states.path(service),
        unwritten,
        is_as_before,
    };
    Ok((matters && !states.is_waited_for(service)?).then_some(found))
}

fn is_of_this_boot(state: &SavedState) -> bool {
    state.boot.is_some() && state.boot == boot_id()
}

fn why_unconfirmed(state: &SavedState) -> &'static str {
    match &state.boot {
        None => "not confirmed",
        _ if is_of_this_boot(state) => "not confirmed, and the process that waited has ended",
        Some(_) => "not confirmed before the machine went down",
    }
}

/// Also where a file was edited meanwhile: nobody has confirmed that a login works with it. The edited version is kept.
/// It stays pending until a running sshd has its settings of before.
fn put_back(
    states: &LockedStateDir,
    root: &Root,
    state: &SavedState,
    why: &str,
) -> Result<(), Refused> {
    let mut kept = String::new();
    let keep =
        |change: &Change, edited: Vec<u8>| states.keep_edited(root, change, &edited, &mut kept);
    restore(root, state, keep, reload)??;
    states.save(&SavedState {
        phase: Phase::RolledBack,
        ..state.clone()
    })?;
    let files = state.changes.iter().map(|change| root.shown(&change.path));
    let files = files.collect::<Vec<_>>().join(", ");
    say(
        &state.service,
        format_args!("{why}; put back: {files}{kept}"),
    );
    Ok(())
}

#[cfg(test)]
mod tests;
