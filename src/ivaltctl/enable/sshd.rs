//! sshd: tests its configuration, has a running sshd reload it, and makes sure that it did.

use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::check::{packages, program};
use crate::root::Root;
use crate::sshd_config::{Setting, SshdConfig};
use crate::sshd_listener::{Found, Listener};
use crate::sshd_program::Verdict;
use crate::{Refused, sshd_program};

/// How long sshd has to begin anew; it does so within a second.
const RELOAD_TIMEOUT: Duration = Duration::from_secs(15);

const SYSTEMCTL: [&str; 2] = ["/usr/bin/systemctl", "/bin/systemctl"];

/// # Errors
/// It is not installed; and how it would be.
pub fn require_installed(root: &Root) -> Result<(), Refused> {
    if sshd_program::is_installed() {
        return Ok(());
    }
    let neither = sshd_program::PROGRAMS.join(" nor ");
    Err(missing(root, &format!("neither {neither} is there")))
}

/// Why sshd is taken for missing, and what to do about it.
pub fn missing(root: &Root, why: &str) -> Refused {
    let install = packages::install_by_name(root, package)
        .map_or("install OpenSSH's server".to_owned(), |command| {
            format!("install it: {command}")
        });
    Refused(format!(
        "sshd is not installed ({why}), so nothing was changed; for logins by ssh, {install}; then run this again"
    ))
}

/// The one with an sshd that uses PAM.
fn package(command: &str) -> &'static str {
    match command {
        "pacman -S" | "zypper install" => "openssh",
        "apk add" => "openssh-server-pam",
        _ => "openssh-server",
    }
}

/// `sshd -t`
///
/// # Errors
/// What sshd has against its configuration.
pub fn test(root: &Root) -> Result<(), Refused> {
    match sshd_program::test(root) {
        Verdict::Taken => Ok(()),
        Verdict::Refused(words) => Err(Refused(format!("sshd -t: {words}"))),
        Verdict::None => Err(Refused(
            "sshd -t does not end, so it is not known what sshd makes of its configuration".into(),
        )),
    }
}

/// Has a running sshd read its settings; connections stay. Where none runs, nothing is called, not even at early boot, and
/// what that means is returned.
///
/// # Errors
/// It runs, and does not have the new settings.
pub fn reload(root: &Root) -> Result<Option<String>, Refused> {
    if !sshd_program::is_installed() {
        return Ok(Some("sshd is not installed here; nothing to reload".into()));
    }
    let effective = effective(root);
    match Listener::find(&effective)? {
        Found::Listener(listener) => {
            test(root)?;
            reload_listener(root, &listener, &effective).map(|()| None)
        }
        Found::Service(listener, service) => {
            test(root)?;
            restart_service(root, &listener, &service, &effective).map(|()| None)
        }
        Found::NotRunning => Ok(Some(
            "sshd is not running; it reads its configuration when it starts".into(),
        )),
        Found::SocketActivated => Ok(Some(
            "systemd listens and starts sshd for a connection; it reads its configuration then"
                .into(),
        )),
        Found::Unknown(what) => Err(unknown(root, &what)),
    }
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
    let pid = old.pid;
    kill(Pid::from_raw(pid), Signal::SIGHUP).map_err(|error| {
        let command = sshd_program::reload_command(root);
        Refused(format!(
            "sshd (process {pid}) could not be reloaded: {error}; {command}"
        ))
    })?;
    let is_new = |found| matches!(found, Found::Listener(new) if new.has_begun_anew(old));
    wait_until(old, effective, &sshd_program::reload_command(root), is_new)
}

/// Its sessions stay (`KillMode=process`), and so does the socket, in which connections wait meanwhile. Without the order of
/// units: this may be called by one that ssh.service has to wait for. Without the limit of starts: systemd closes the socket
/// of a service that is started for the sixth time within ten seconds.
fn restart_service(
    root: &Root,
    old: &Listener,
    service: &str,
    effective: &str,
) -> Result<(), Refused> {
    let systemctl = |arguments: &[&str]| program::run(root, &SYSTEMCTL, arguments);
    systemctl(&["reset-failed", service]);
    let restart = ["--job-mode=ignore-dependencies", "try-restart", service];
    // A slow machine may take longer than the time limit of programs.
    if let Some(printed) = systemctl(&restart).filter(|printed| !printed.success) {
        return Err(Refused(format!(
            "sshd (process {}) could not be restarted: {}; systemctl try-restart {service}",
            old.pid,
            printed.errors.trim()
        )));
    }
    let command = format!("systemctl try-restart {service}");
    wait_until(old, effective, &command, |found| match found {
        Found::Service(new, _) => new.pid != old.pid,
        found => found == Found::SocketActivated,
    })
}

fn wait_until(
    old: &Listener,
    effective: &str,
    command: &str,
    is_new: impl Fn(Found) -> bool,
) -> Result<(), Refused> {
    let begin = Instant::now();
    while begin.elapsed() < RELOAD_TIMEOUT {
        if is_new(Listener::find(effective)?) {
            return Ok(());
        }
        sleep(Duration::from_millis(50));
    }
    Err(Refused(format!(
        "sshd (process {}) was told to reload its configuration and has not done so; its log says why: journalctl -t sshd; {command}",
        old.pid
    )))
}
