//! sshd: tests its configuration, has a running sshd reload it, and makes sure that it did.

use std::path::Path;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::listener::{Found, Listener};
use crate::Refused;

/// Where distributions install it.
const PROGRAMS: [&str; 2] = ["/usr/sbin/sshd", "/usr/bin/sshd"];
/// How long sshd has to begin anew; it does so within a second.
const RELOAD_TIMEOUT: Duration = Duration::from_secs(15);
/// The unit's name is Debian's or everybody else's.
const RELOAD: &str = "systemctl reload ssh || systemctl reload sshd";

/// `sshd -t`
///
/// # Errors
/// What sshd reports.
pub fn test() -> Result<(), Refused> {
    sshd("-t").map(drop)
}

/// Has a running sshd read its settings, as `systemctl reload ssh` does; connections stay. Where none runs, there is
/// nothing to reload, and that is returned.
///
/// # Errors
/// It runs, and does not have the new settings.
pub fn reload() -> Result<Option<&'static str>, Refused> {
    if program().is_none() {
        return Ok(Some("sshd is not installed here; nothing to reload"));
    }
    test()?;
    let effective = sshd("-T")?;
    match Listener::find(&effective)? {
        Found::Listener(listener) => reload_listener(&listener, &effective).map(|()| None),
        Found::NotRunning => Ok(Some(
            "sshd is not running; it reads its configuration when it starts",
        )),
        Found::SocketActivated => Ok(Some(
            "sshd is started for each connection, and reads its configuration then",
        )),
        Found::Unknown(what) => Err(unknown(&what)),
    }
}

/// Refuses where [`reload`] would not know what to reload.
///
/// # Errors
/// What listens in sshd's place.
pub fn require_known_listener() -> Result<(), Refused> {
    // What a change has broken, taking it back may mend.
    let Ok(effective) = sshd("-T") else {
        return Ok(());
    };
    match Listener::find(&effective)? {
        Found::Unknown(what) => Err(unknown(&format!("nothing was changed: {what}"))),
        _ => Ok(()),
    }
}

fn unknown(what: &str) -> Refused {
    Refused(format!(
        "{what}, so it is not clear what must reload sshd's configuration; {RELOAD}"
    ))
}

fn reload_listener(old: &Listener, effective: &str) -> Result<(), Refused> {
    let pid = old.pid;
    kill(Pid::from_raw(pid), Signal::SIGHUP).map_err(|error| {
        Refused(format!(
            "sshd (process {pid}) could not be reloaded: {error}; {RELOAD}"
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
        "sshd (process {pid}) was told to reload its configuration and has not done so; its log says why: journalctl -t sshd; {RELOAD}"
    )))
}

fn program() -> Option<&'static str> {
    PROGRAMS.into_iter().find(|path| Path::new(path).exists())
}

fn sshd(option: &str) -> Result<String, Refused> {
    let program = program().ok_or_else(|| Refused("sshd is not installed here".into()))?;
    let output = Command::new(program).arg(option).env_clear().output()?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let message = String::from_utf8_lossy(&output.stderr).replace("\r\n", "\n");
    Err(Refused(format!(
        "sshd {option}: {}{}",
        message.trim(),
        missing_folder(&message)
    )))
}

/// The folder is there only while the service runs; ssh.socket may wait without it.
fn missing_folder(message: &str) -> String {
    let folder = message
        .lines()
        .find_map(|line| line.strip_prefix("Missing privilege separation directory: "));
    folder.map_or_else(String::new, |folder| {
        format!("; create it: mkdir -m 0755 {}", folder.trim())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_folder_has_its_fix() {
        assert_eq!(
            missing_folder("Missing privilege separation directory: /run/sshd\r\n"),
            "; create it: mkdir -m 0755 /run/sshd"
        );
        assert_eq!(missing_folder("Bad configuration option: X"), "");
    }
}
