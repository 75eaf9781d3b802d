//! Whether each service that asks iVALT may remove a file in the store of recovery codes: a code that cannot be marked
//! as used lets nobody in.

use std::path::{Path, PathBuf};

use super::super::context::CheckContext;
use super::super::selinux::{self, Mislabelled};
use super::apparmor::{self, Apparmorfs};
use super::unit::{self, Forbids};
use super::warning;
use crate::finding::Finding;
use crate::system_error::shell_word;
use rustix::fs::StatVfsMountFlags;

const ID: &str = "recovery-not-writable";

/// What keeps a service from it. `paths` are the store, the folders in it and a code of each, for SELinux.
pub fn findings(context: &CheckContext, directory: &Path, paths: &[PathBuf]) -> Vec<Finding> {
    let services = context
        .services
        .iter()
        .filter(|service| takes_codes(context, service, directory));
    let mut found: Vec<Finding> = services
        .flat_map(|service| of_service(context, service, directory))
        .collect();
    found.extend(read_only(context, directory));
    let mislabelled = selinux::keeps_from_codes(context, paths);
    found.extend(mislabelled.map(|mislabelled| by_selinux(directory, &mislabelled)));
    found
}

/// Whether the service's settings name this store. Where they are not usable, `check` says so.
fn takes_codes(context: &CheckContext, service: &str, directory: &Path) -> bool {
    let settings = context.settings_of(service);
    settings.is_some_and(|settings| settings.recovery.directory == directory)
}

fn of_service(context: &CheckContext, service: &str, directory: &Path) -> Vec<Finding> {
    let units = unit::forbidding(context.root, service, directory);
    let by_units = units
        .iter()
        .map(|forbids| by_unit(service, forbids, directory));
    let profile = context.root.is_this_machine().then(|| {
        let name = apparmor::forbidding(&Apparmorfs, service, directory)?;
        Some(by_apparmor(service, &name, directory))
    });
    by_units.chain(profile.flatten()).collect()
}

fn by_unit(service: &str, forbids: &Forbids, directory: &Path) -> Finding {
    let Forbids { unit, setting, .. } = forbids;
    let what = format!(
        "{unit}: {setting} keeps {service} from marking a recovery code in {} as used: every code is denied (misconfigured)",
        directory.display()
    );
    let fix = match forbids.can_be_lifted {
        true => lift(service, unit, directory),
        false => format!(
            "take the path out of this setting, by a drop-in (systemctl edit {unit}), or name another recovery.directory"
        ),
    };
    Finding {
        line: Some(forbids.line),
        ..warning(ID, &forbids.file, what, fix)
    }
}

/// sshd keeps its sessions when it is restarted; other units may not.
fn lift(service: &str, unit: &str, directory: &Path) -> String {
    let folder = format!("/etc/systemd/system/{unit}.d");
    let directory = shell_word(&directory.to_string_lossy());
    let write = format!(
        "install -d {folder}\nprintf '[Service]\\nReadWritePaths=-%s\\n' {directory} > {folder}/ivalt-recovery.conf"
    );
    let then = match service == "sshd" && !unit.contains('@') {
        true => format!("systemctl daemon-reload; systemctl try-restart {unit}"),
        false => format!("systemctl daemon-reload    it counts when {unit} starts the next time"),
    };
    format!("{write}\n{then}")
}

fn by_apparmor(service: &str, profile: &str, directory: &Path) -> Finding {
    let what = format!(
        "the AppArmor profile {profile} keeps {service} from marking a recovery code as used: every code is denied \
         (misconfigured)"
    );
    let store = directory.display();
    let fix = format!(
        "add to the profile: {store}/ r, {store}/** rw, (the lines are in pam_ivalt(8), \"AppArmor\"), then: apparmor_parser -r \
         the file of the profile"
    );
    warning(ID, directory, what, fix)
}

fn by_selinux(directory: &Path, mislabelled: &Mislabelled) -> Finding {
    let Mislabelled {
        path,
        label,
        domain,
    } = mislabelled;
    let what = format!(
        "SELinux does not let sshd ({domain}) mark a recovery code as used there, labelled {label}: every code is denied \
         (misconfigured)"
    );
    let (pattern, store) = (
        shell_word(&format!("{}(/.*)?", directory.display())),
        shell_word(&directory.to_string_lossy()),
    );
    let fix = format!("semanage fcontext -a -t var_auth_t {pattern}\nrestorecon -RFv {store}");
    warning(ID, path, what, fix)
}

/// Root's own rights do not help there.
fn read_only(context: &CheckContext, directory: &Path) -> Option<Finding> {
    if !context.root.is_this_machine() {
        return None;
    }
    let found = rustix::fs::statvfs(directory).ok()?;
    let what = "lies on a file system that is mounted read-only: no recovery code can be marked as used, and every code is \
                denied (misconfigured)";
    let fix = format!("findmnt -T {}", shell_word(&directory.to_string_lossy()));
    let is_read_only = found.f_flag.contains(StatVfsMountFlags::RDONLY);
    is_read_only.then(|| warning(ID, directory, what.to_owned(), fix))
}
