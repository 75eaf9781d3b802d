//! What `enable` has begun and nobody has confirmed.

use super::context::{CheckContext, finding};
use crate::Refused;
use crate::enable::{Unwaited, unwaited};
use crate::finding::{Finding, Severity};

/// What is pending while no process waits for the confirmation. Below a folder nothing is pending, and no process of this
/// machine waits for it.
pub fn findings(context: &CheckContext) -> Vec<Finding> {
    // Another user can neither read the states nor ask whether anybody waits.
    if !context.root.is_this_machine() || !nix::unistd::geteuid().is_root() {
        return Vec::new();
    }
    let found = unwaited(context.root).into_iter();
    let found = found.map(|state| state.map_or_else(unreadable, |state| not_waiting(&state)));
    found.map(Finding::not_acceptable).collect()
}

fn not_waiting(state: &Unwaited) -> Finding {
    let Unwaited { service, .. } = state;
    let begun = "was enabled and not confirmed, and the process that would put it back has ended: it stays so while the \
                 system runs";
    let disable = format!("ivaltctl disable {service}");
    if state.unwritten.is_empty() {
        let fix = format!("where logins work: ivaltctl confirm\nwhere they do not: {disable}");
        let what = format!("{service} {begun}");
        return finding(
            Severity::Warning,
            "rollback-not-waiting",
            &state.file,
            what,
            fix,
        );
    }
    let what = format!(
        "{service} {begun}; only a part of it is written, not {}",
        state.unwritten.join(", ")
    );
    // With sshd's settings alone a key is no longer enough, and whoever has no password cannot log in.
    let severity = match state.unwritten.iter().any(|file| file == "/etc/pam.d/sshd") {
        true => Severity::LocksOut,
        false => Severity::Warning,
    };
    finding(severity, "rollback-not-waiting", &state.file, what, disable)
}

fn unreadable((file, Refused(why)): (std::path::PathBuf, Refused)) -> Finding {
    let what = format!(
        "{why}; until then nobody knows whether it waits for a confirmation, and nothing puts it back"
    );
    let fix = "ls -la /var/lib/ivalt";
    finding(Severity::Warning, "saved-state-unusable", file, what, fix)
}
