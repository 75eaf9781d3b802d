//! sshd: tests its configuration, has a running sshd reload it, and makes sure that it did.

use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::listener::{Found, Listener};
use crate::root::Root;
use crate::sshd_config::{Setting, SshdConfig};
use crate::{Refused, sshd_program, terminal};

/// How long sshd has to begin anew; it does so within a second.
const RELOAD_TIMEOUT: Duration = Duration::from_secs(15);

/// `sshd -t`
///
/// # Errors
/// What sshd has against its configuration.
pub fn test() -> Result<(), Refused> {
    if !sshd_program::is_installed() {
        return Err(Refused("sshd is not installed here".into()));
    }
    match sshd_program::refusal() {
        Some(words) => Err(Refused(format!("sshd -t: {words}"))),
        None => Ok(()),
    }
}

/// Has a running sshd read its settings, as `systemctl reload ssh` does; connections stay. Where none runs, there is
/// nothing to reload, and that is said.
///
/// # Errors
/// It runs, and does not have the new settings.
pub fn reload(root: &Root) -> Result<(), Refused> {
    let effective = sshd_program::effective().unwrap_or_else(|| from_files(root));
    match Listener::find(&effective)? {
        Found::Listener(listener) => {
            reload_listener(&listener, &effective, &sshd_program::reload_command(root))
        }
        Found::NotRunning => {
            terminal::print("sshd is not running; it reads its configuration when it starts");
            Ok(())
        }
        Found::SocketActivated => {
            terminal::print(
                "sshd is started for each connection, and reads its configuration then",
            );
            Ok(())
        }
        Found::Unknown(what) => Err(Refused(format!(
            "{what}, so it is not clear what must reload sshd's configuration; {}",
            sshd_program::reload_command(root)
        ))),
    }
}

/// Before OpenSSH 9.3 `sshd -T` alone prints the values, and not while /run/sshd is missing.
fn from_files(root: &Root) -> String {
    let settings = SshdConfig::read(root, false).map_or(Vec::new(), |config| config.settings);
    let line = |setting: Setting| format!("{} {}\n", setting.keyword, setting.arguments.join(" "));
    let ports = if settings.iter().any(|setting| setting.keyword == "port") {
        ""
    } else {
        "port 22\n"
    };
    settings.into_iter().map(line).collect::<String>() + ports
}

fn reload_listener(old: &Listener, effective: &str, command: &str) -> Result<(), Refused> {
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
