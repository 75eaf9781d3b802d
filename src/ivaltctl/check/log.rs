//! The system log.

use std::io::{self, ErrorKind};
use std::os::unix::net::UnixDatagram;
use std::path::Path;

use super::context::{CheckContext, finding};
use crate::finding::{Finding, Severity};

const SOCKET: &str = "/dev/log";
/// Where journald listens; `/dev/log` is a link to it.
const OF_JOURNALD: &str = "/run/systemd/journal/dev-log";

/// Whether a log line can be written at all: as the module does, to a socket of datagrams at which somebody listens.
pub fn findings(context: &CheckContext) -> Vec<Finding> {
    if !context.root.is_this_machine() || context.lines.is_empty() {
        return Vec::new();
    }
    let Err(error) = connect(SOCKET) else {
        return Vec::new();
    };
    let why = match error.kind() {
        ErrorKind::NotFound => "there is no /dev/log".to_owned(),
        ErrorKind::PermissionDenied => return Vec::new(),
        ErrorKind::ConnectionRefused => "nobody listens at /dev/log".to_owned(),
        _ => format!("/dev/log takes no log lines ({error})"),
    };
    let what = format!("{why}: logins work, but nothing is logged");
    vec![finding(
        Severity::Warning,
        "no-log",
        Path::new(SOCKET),
        what,
        fix(),
    )]
}

fn connect(path: &str) -> io::Result<()> {
    UnixDatagram::unbound()?.connect(path)
}

/// systemd starts no socket of a service that runs already, and a container has none of its units.
fn fix() -> &'static str {
    if connect(OF_JOURNALD).is_ok() {
        "ln -sfn /run/systemd/journal/dev-log /dev/log"
    } else if Path::new("/run/systemd/system").exists() {
        "systemctl restart systemd-journald.service systemd-journald-dev-log.socket"
    } else {
        "install and start a system logger such as rsyslog; into a container, the host's /dev/log may be mounted instead"
    }
}
