//! The system log.

use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::net::UnixDatagram;
use std::path::Path;

use rustix::io::Errno;

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
    let why = connect(SOCKET).err().and_then(|error| why(&error));
    let finding = |(why, fix)| {
        let what = format!("{why}: logins work, but nothing is logged");
        finding(Severity::Warning, "no-log", Path::new(SOCKET), what, fix)
    };
    why.map(finding).into_iter().collect()
}

fn connect(path: &str) -> io::Result<()> {
    UnixDatagram::unbound()?.connect(path)
}

/// What is wrong, and the fix; nothing where others than root may not look.
fn why(error: &io::Error) -> Option<(String, String)> {
    let exists = fs::symlink_metadata(SOCKET).is_ok();
    let why = match error.kind() {
        ErrorKind::PermissionDenied => return None,
        ErrorKind::NotFound if exists => "/dev/log is a link to nothing".to_owned(),
        ErrorKind::NotFound => "there is no /dev/log".to_owned(),
        ErrorKind::ConnectionRefused if is_folder() => "/dev/log is a folder".to_owned(),
        ErrorKind::ConnectionRefused => "nobody listens at /dev/log".to_owned(),
        _ if Errno::from_io_error(error) == Some(Errno::PROTOTYPE) => {
            return Some((STREAMS.into(), DATAGRAMS.into()));
        }
        _ => format!("/dev/log takes no log lines ({error})"),
    };
    Some((why, fix()))
}

/// Whoever listens is not to lose what other programs log.
const STREAMS: &str = "who listens at /dev/log takes streams alone";
const DATAGRAMS: &str =
    "have that log daemon take datagrams: in syslog-ng, unix-dgram(\"/dev/log\")";

fn fix() -> String {
    if connect(OF_JOURNALD).is_ok() {
        link()
    } else if Path::new("/run/systemd/system").exists() {
        of_systemd()
    } else if is_mounted() {
        "restart this container: the socket that was mounted there is no longer the host's"
            .to_owned()
    } else {
        "install and start a system logger such as rsyslog; into a container, the host's /dev/log may be mounted instead"
            .to_owned()
    }
}

/// systemd starts no socket of a service that runs already, and puts its link in the place of nothing else.
fn of_systemd() -> String {
    let restart = "systemctl restart systemd-journald.service systemd-journald-dev-log.socket";
    match fs::read_link(SOCKET).is_ok_and(|target| target == Path::new(OF_JOURNALD)) {
        true => restart.to_owned(),
        false => format!("{restart} && {}", link()),
    }
}

/// Docker makes a folder where the socket that it shall mount into a container is missing; into a folder, ln would write.
fn link() -> String {
    let before = match (is_mounted(), is_folder()) {
        (true, false) => "umount /dev/log && ",
        (true, true) => "umount /dev/log && rmdir /dev/log && ",
        (false, true) => "rmdir /dev/log && ",
        (false, false) => "",
    };
    format!("{before}ln -sfn {OF_JOURNALD} {SOCKET}")
}

fn is_folder() -> bool {
    fs::symlink_metadata(SOCKET).is_ok_and(|found| found.is_dir())
}

/// By the fifth field of a line, see proc(5).
fn is_mounted() -> bool {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let mut places = mounts.lines().filter_map(|line| line.split(' ').nth(4));
    places.any(|place| place == SOCKET)
}
