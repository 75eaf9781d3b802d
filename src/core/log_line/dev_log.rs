//! Delivery to the system log, without `openlog` (the application's ident stays) and without waiting for a dead logger.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::net::UnixDatagram;
use std::time::{Duration, Instant};

use socket2::SockRef;
use syslog::{Facility, Formatter3164, LogFormat, Severity};

use super::Level;

const SOCKET: &str = "/dev/log";
/// A login waits at most this long for its log line.
const TIMEOUT: Duration = Duration::from_millis(900);

/// Sends one message of `program`, or drops it; whether it was sent.
pub fn send(program: String, level: Level, message: &str) -> bool {
    let mut datagram = Vec::new();
    let formatter = Formatter3164 {
        facility: Facility::LOG_AUTHPRIV,
        hostname: None,
        process: program,
        pid: std::process::id(),
    };
    // There is no way to report that the log does not work.
    let formatted = formatter.format(&mut datagram, severity(level), message);
    formatted.is_ok() && deliver(&datagram).is_ok()
}

/// A socket of syslog(3) accepts datagrams; connecting to a FIFO or a file fails at once. Only a queue that is full is
/// waited for.
fn deliver(datagram: &[u8]) -> std::io::Result<()> {
    let socket = UnixDatagram::unbound()?;
    socket.connect(SOCKET)?;
    let send = |flags| SockRef::from(&socket).send_with_flags(datagram, flags | libc::MSG_NOSIGNAL);
    let deadline = Instant::now() + TIMEOUT;
    match send(libc::MSG_DONTWAIT) {
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
        result => return result.map(drop),
    }
    loop {
        let left = deadline
            .saturating_duration_since(Instant::now())
            .max(Duration::from_millis(1));
        socket.set_write_timeout(Some(left))?;
        match send(0) {
            // A signal without SA_RESTART.
            Err(error) if error.kind() == ErrorKind::Interrupted && Instant::now() < deadline => {}
            result => return result.map(drop),
        }
    }
}

fn severity(level: Level) -> Severity {
    match level {
        Level::Info => Severity::LOG_INFO,
        Level::Notice => Severity::LOG_NOTICE,
        Level::Warning => Severity::LOG_WARNING,
        Level::Error => Severity::LOG_ERR,
        Level::Critical => Severity::LOG_CRIT,
    }
}

/// The name of the application's executable. Not `argv[0]` or the `comm` of the process: under su both are the caller's
/// choice.
pub fn application_name() -> String {
    let path = fs::read_link("/proc/self/exe").unwrap_or_default();
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    // After an upgrade of the running application, Linux says "/usr/sbin/sshd (deleted)".
    let name: String = name
        .trim_end_matches(" (deleted)")
        .chars()
        .filter(|c| is_ident(*c))
        .take(32)
        .collect();
    if name.is_empty() {
        "pam_ivalt".to_owned()
    } else {
        name
    }
}

fn is_ident(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')
}
