//! The system log.

use std::path::Path;

use super::context::{CheckContext, finding};
use crate::finding::{Finding, Severity};

/// Whether a log line can be written at all.
pub fn findings(context: &CheckContext) -> Vec<Finding> {
    let socket = Path::new("/dev/log");
    if !context.root.is_this_machine() || socket.exists() || context.lines.is_empty() {
        return Vec::new();
    }
    let what = "there is no /dev/log: logins work, but nothing is logged";
    let fix = "systemctl start systemd-journald.socket, or install a system logger such as rsyslog";
    vec![finding(Severity::Warning, "no-log", socket, what, fix)]
}
