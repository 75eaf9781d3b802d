//! The system log.

use std::path::Path;

use super::patient::{Patient, finding};
use crate::finding::{Finding, Severity};

/// Whether a log line can be written at all.
pub fn findings(patient: &Patient) -> Vec<Finding> {
    let socket = Path::new("/dev/log");
    if !patient.root.is_this_machine() || socket.exists() || patient.lines.is_empty() {
        return Vec::new();
    }
    let what = "there is no /dev/log: logins work, and nothing tells afterwards why one was denied";
    let fix = "systemctl start systemd-journald.socket, or install a system logger such as rsyslog";
    vec![finding(Severity::Warning, "no-log", socket, what, fix)]
}
