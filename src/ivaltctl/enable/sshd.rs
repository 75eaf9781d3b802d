//! sshd: tests its configuration and has a running sshd reload it.

use std::path::Path;
use std::process::Command;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::Refused;

/// Where distributions install it.
const PROGRAMS: [&str; 2] = ["/usr/sbin/sshd", "/usr/bin/sshd"];

/// `sshd -t`
///
/// # Errors
/// What sshd reports.
pub fn test() -> Result<(), Refused> {
    sshd("-t").map(drop)
}

/// Has a running sshd read its settings, as `systemctl reload ssh` does; connections stay.
///
/// # Errors
/// It runs and cannot be signalled.
pub fn reload() -> Result<(), Refused> {
    let effective = sshd("-T")?;
    let file = effective
        .lines()
        .find_map(|line| line.strip_prefix("pidfile "));
    let pid = file
        .and_then(|file| std::fs::read_to_string(file).ok())
        .and_then(|text| text.trim().parse().ok());
    match pid.filter(|pid| is_sshd(*pid)) {
        Some(pid) => kill(Pid::from_raw(pid), Signal::SIGHUP).map_err(|error| {
            Refused(format!(
                "sshd (process {pid}) could not be reloaded: {error}"
            ))
        }),
        // It reads its settings when it starts.
        None => Ok(()),
    }
}

/// The number in an old file may be another program's by now.
fn is_sshd(pid: i32) -> bool {
    let program = std::fs::read_link(format!("/proc/{pid}/exe")).unwrap_or_default();
    let name = program
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    name.trim_end_matches(" (deleted)") == "sshd"
}

fn sshd(option: &str) -> Result<String, Refused> {
    let program = PROGRAMS.into_iter().find(|path| Path::new(path).exists());
    let program = program.ok_or_else(|| Refused("sshd is not installed here".into()))?;
    let output = Command::new(program).arg(option).env_clear().output()?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let message = String::from_utf8_lossy(&output.stderr);
    Err(Refused(format!("sshd {option}: {}", message.trim())))
}
