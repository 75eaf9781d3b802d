//! What `enable` has begun and nobody has confirmed.

use std::path::{Path, PathBuf};

use super::context::{CheckContext, finding};
use crate::Refused;
use crate::enable::{DROP_IN, STATES as FOLDER, Unwaited, unwaited};
use crate::finding::{Finding, Severity};
use crate::system_error::shell_word;

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
    if state.is_as_before {
        let what = "sshd was enabled and not confirmed, its files are as they were before, and the process that put them back \
                    has ended before it told the sshd that runs: that may still ask for iVALT and refuse a key alone";
        return finding(
            Severity::Warning,
            "rollback-not-waiting",
            &state.file,
            what,
            disable,
        );
    }
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

fn unreadable((file, Refused(why)): (PathBuf, Refused)) -> Finding {
    let what = format!(
        "{why}; until then nobody knows whether it waits for a confirmation, and nothing puts it back"
    );
    let fix = unreadable_fix(&file);
    finding(Severity::Warning, "saved-state-unusable", file, what, fix)
}

/// Nothing is put back by a state that cannot be used, so that moving it away loses nothing; what it says may be somebody
/// else's, so that nobody is told to make it usable. sshd's settings first, see `enable/write.rs`.
fn unreadable_fix(file: &Path) -> String {
    let shown = shell_word(&file.to_string_lossy());
    let Some(service) = file.file_stem().filter(|_| file != Path::new(FOLDER)) else {
        return format!(
            "keep a root shell open, and see what is wrong with it: ls -la {shown}; namei -l {shown}"
        );
    };
    let service = service.to_string_lossy();
    let pam = shell_word(&format!("/etc/pam.d/{service}"));
    let settings = match service == "sshd" {
        true => format!(
            "mv {DROP_IN} ~/ (where there is none, remove what `ivaltctl enable` wrote at the top of \
             /etc/ssh/sshd_config), sshd -t, and only if that says nothing have sshd reload; then "
        ),
        false => String::new(),
    };
    format!(
        "keep a root shell open, and see what is wrong with it: ls -la {FOLDER}; head -c 2000 {shown}\n\
         where logins work and iVALT is to stay: mv {shown} {shown}.old\n\
         where they do not: {settings}put {pam} back from a backup or from its package, try a login, then the same mv"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unwaited(service: &str, unwritten: &[&str], is_as_before: bool) -> Finding {
        not_waiting(&Unwaited {
            service: service.to_owned(),
            file: Path::new(FOLDER).join(format!("{service}.json")),
            unwritten: unwritten.iter().map(|file| (*file).to_owned()).collect(),
            is_as_before,
        })
    }

    fn shown(found: &Finding) -> (Severity, &str, &str, &str) {
        (found.severity, found.id, &found.what, &found.fix)
    }

    const WAITS: &str = "rollback-not-waiting";

    #[test]
    fn what_is_written_and_not_confirmed() {
        let found = unwaited("sudo", &[], false);
        assert_eq!(
            found.file.as_deref(),
            Some(Path::new("/var/lib/ivalt/sudo.json"))
        );
        let what = "sudo was enabled and not confirmed, and the process that would put it back has ended: it stays so while \
                    the system runs";
        let fix = "where logins work: ivaltctl confirm\nwhere they do not: ivaltctl disable sudo";
        assert_eq!(shown(&found), (Severity::Warning, WAITS, what, fix));
    }

    /// sshd asks for a key and a password then.
    #[test]
    fn settings_of_sshd_without_pam_lock_out_and_nothing_else_does() {
        for (service, unwritten, severity) in [
            ("sshd", "/etc/pam.d/sshd", Severity::LocksOut),
            (
                "sshd",
                "/etc/ssh/sshd_config.d/00-ivalt.conf",
                Severity::Warning,
            ),
            ("sudo", "/etc/pam.d/sudo-i", Severity::Warning),
        ] {
            let found = unwaited(service, &[unwritten], false);
            let what = format!(
                "{service} was enabled and not confirmed, and the process that would put it back has ended: it stays so \
                 while the system runs; only a part of it is written, not {unwritten}"
            );
            let fix = format!("ivaltctl disable {service}");
            assert_eq!(shown(&found), (severity, WAITS, &*what, &*fix));
        }
        let both = unwaited("sshd", &["/etc/pam.d/a", "/etc/pam.d/sshd"], false);
        assert_eq!(both.severity, Severity::LocksOut);
        assert!(both.what.ends_with(", not /etc/pam.d/a, /etc/pam.d/sshd"));
    }

    #[test]
    fn an_sshd_that_was_not_told() {
        let found = unwaited("sshd", &["/etc/pam.d/sshd"], true);
        let what = "sshd was enabled and not confirmed, its files are as they were before, and the process that put them back \
                    has ended before it told the sshd that runs: that may still ask for iVALT and refuse a key alone";
        assert_eq!(
            shown(&found),
            (Severity::Warning, WAITS, what, "ivaltctl disable sshd")
        );
    }

    #[test]
    fn a_state_that_cannot_be_used_is_moved_away_last() {
        let of = |file: &str| unreadable((file.into(), Refused("why".into())));
        let found = of("/var/lib/ivalt/sudo.json");
        let what = "why; until then nobody knows whether it waits for a confirmation, and nothing puts it back";
        let fix = "keep a root shell open, and see what is wrong with it: ls -la /var/lib/ivalt; head -c 2000 \
                   /var/lib/ivalt/sudo.json\n\
                   where logins work and iVALT is to stay: mv /var/lib/ivalt/sudo.json /var/lib/ivalt/sudo.json.old\n\
                   where they do not: put /etc/pam.d/sudo back from a backup or from its package, try a login, then the \
                   same mv";
        let id = "saved-state-unusable";
        assert_eq!(shown(&found), (Severity::Warning, id, what, fix));
        assert_eq!(
            found.file.as_deref(),
            Some(Path::new("/var/lib/ivalt/sudo.json"))
        );
        let of_sshd = of("/var/lib/ivalt/sshd.json").fix;
        let place = |words: &str| of_sshd.find(words).unwrap_or_else(|| panic!("{of_sshd}"));
        assert!(place("mv /etc/ssh/sshd_config.d/00-ivalt.conf ~/") < place("sshd -t"));
        assert!(place("sshd -t") < place("put /etc/pam.d/sshd back"));
        let folder = of(FOLDER).fix;
        assert_eq!(
            folder,
            "keep a root shell open, and see what is wrong with it: ls -la /var/lib/ivalt; namei -l /var/lib/ivalt"
        );
    }
}
