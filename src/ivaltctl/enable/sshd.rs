//! sshd: tests its configuration, has a running sshd reload it, and makes sure that it did.

use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::listener::{Found, Listener};
use crate::root::Root;
use crate::sshd_config::{Setting, SshdConfig};
use crate::sshd_program::Verdict;
use crate::{Refused, sshd_program};

/// How long sshd has to begin anew; it does so within a second.
const RELOAD_TIMEOUT: Duration = Duration::from_secs(15);

/// `sshd -t`
///
/// # Errors
/// What sshd has against its configuration.
pub fn test(root: &Root) -> Result<(), Refused> {
    if !sshd_program::is_installed() {
        return Err(Refused("sshd is not installed here".into()));
    }
    match sshd_program::test(root) {
        Verdict::Taken => Ok(()),
        Verdict::Refused(words) => Err(Refused(format!("sshd -t: {words}"))),
        Verdict::None => Err(Refused(
            "sshd -t does not end, so it is not known what sshd makes of its configuration".into(),
        )),
    }
}

/// Has a running sshd read its settings, as `systemctl reload ssh` does; connections stay. Where none runs, there is
/// nothing to reload, and that is returned.
///
/// # Errors
/// It runs, and does not have the new settings.
pub fn reload(root: &Root) -> Result<Option<String>, Refused> {
    if !sshd_program::is_installed() {
        return Ok(Some("sshd is not installed here; nothing to reload".into()));
    }
    test(root)?;
    let effective = effective(root);
    match Listener::find(&effective)? {
        Found::Listener(listener) => reload_listener(root, &listener, &effective).map(|()| None),
        Found::NotRunning => Ok(Some(
            "sshd is not running; it reads its configuration when it starts".into(),
        )),
        Found::SocketActivated => Ok(Some(
            "sshd is started for each connection, and reads its configuration then".into(),
        )),
        Found::Unknown(what) => Err(unknown(root, &what)),
    }
}

/// As [`reload`], where sshd may not be able to test its configuration, as while the system starts: where none runs,
/// that does not matter.
///
/// # Errors
/// It runs, and does not have the new settings.
pub fn reload_if_running(root: &Root) -> Result<Option<String>, Refused> {
    let runs =
        sshd_program::is_installed() && Listener::find(&effective(root))? != Found::NotRunning;
    if runs { reload(root) } else { Ok(None) }
}

/// Refuses where [`reload`] would not know what to reload.
///
/// # Errors
/// What listens in sshd's place.
pub fn require_known_listener(root: &Root) -> Result<(), Refused> {
    match Listener::find(&effective(root))? {
        Found::Unknown(what) => Err(unknown(root, &format!("nothing was changed: {what}"))),
        _ => Ok(()),
    }
}

/// Before OpenSSH 9.3 `sshd -T` alone prints the values, and not while /run/sshd is missing.
fn effective(root: &Root) -> String {
    sshd_program::effective(root).unwrap_or_else(|| {
        let settings = SshdConfig::read(root, false).map_or(Vec::new(), |config| config.settings);
        let has_port = settings.iter().any(|setting| setting.keyword == "port");
        let line =
            |setting: Setting| format!("{} {}\n", setting.keyword, setting.arguments.join(" "));
        let lines: String = settings.into_iter().map(line).collect();
        lines + if has_port { "" } else { "port 22\n" }
    })
}

fn unknown(root: &Root, what: &str) -> Refused {
    let command = sshd_program::reload_command(root);
    Refused(format!(
        "{what}, so it is not clear what must reload sshd's configuration; {command}"
    ))
}

fn reload_listener(root: &Root, old: &Listener, effective: &str) -> Result<(), Refused> {
    let command = sshd_program::reload_command(root);
    let pid = old.pid;
    kill(Pid::from_raw(pid), Signal::SIGHUP).map_err(|error| {
        Refused(format!(
            "sshd (process {pid}) could not be reloaded: {error}; {command}"
        ))
    })?;
    let begin = Instant::now();
    while begin.elapsed() < RELOAD_TIMEOUT {
        match Listener::find(effective)? {
            Found::Listener(new) if new.has_begun_anew(old) => return Ok(()),
            _ => sleep(Duration::from_millis(50)),
        }
    }
    Err(Refused(format!(
        "sshd (process {pid}) was told to reload its configuration and has not done so; its log says why: journalctl -t sshd; {command}"
    )))
}
