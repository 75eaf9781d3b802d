//! Whether each service that asks iVALT may remove a file in the store of recovery codes: a code that cannot be marked
//! as used lets nobody in.

use std::path::{Path, PathBuf};

use super::super::context::CheckContext;
use super::super::selinux::{self, Mislabelled};
use super::apparmor::{self, Apparmorfs};
use super::unit::{self, Forbids};
use super::warning;
use crate::finding::Finding;
use crate::system_error::{reason, shell_word};
use rustix::fs::{OFlags, StatVfsMountFlags};

const ID: &str = "recovery-not-writable";

/// What the module does with files of a folder, and what a login ends with where the service may not.
pub struct Use<'a> {
    /// Of the finding.
    pub id: &'static str,
    pub folder: &'a Path,
    /// One of the files, and the rights that AppArmor must give.
    pub file: PathBuf,
    pub rights: u32,
    /// `marking a recovery code in FOLDER as used`
    pub act: String,
    /// `every code is denied (misconfigured)`
    pub consequence: &'static str,
    /// What allows it in a profile.
    pub profile_lines: String,
    /// The name of a drop-in, and what must be writable by it.
    pub drop_in: &'static str,
    pub writable: &'a Path,
    /// What helps where a unit hides the folder.
    pub elsewhere: &'static str,
}

impl<'a> Use<'a> {
    fn of_a_code(directory: &'a Path) -> Self {
        let store = directory.display();
        Self {
            id: ID,
            folder: directory,
            file: directory.join(apparmor::A_CODE),
            rights: apparmor::READ | apparmor::DELETE,
            act: format!("marking a recovery code in {store} as used"),
            consequence: "every code is denied (misconfigured)",
            profile_lines: format!("{store}/ r, {store}/** rw,"),
            drop_in: "ivalt-recovery.conf",
            writable: directory,
            elsewhere: ", or name another recovery.directory",
        }
    }
}

/// What keeps a service from it. `paths` are the store, the folders in it and a code of each, for SELinux.
pub fn findings(context: &CheckContext, directory: &Path, paths: &[PathBuf]) -> Vec<Finding> {
    let services = context
        .services
        .iter()
        .filter(|service| takes_codes(context, service, directory));
    let mut found: Vec<Finding> = services
        .flat_map(|service| forbidden(context, service, &Use::of_a_code(directory)))
        .collect();
    found.extend(read_only(context, directory));
    found.extend(not_syncable(context, directory));
    let mislabelled = selinux::keeps_from_codes(context, paths);
    found.extend(mislabelled.map(|mislabelled| by_selinux(directory, &mislabelled)));
    found
}

/// Whether the service's settings name this store. Where they are not usable, `check` says so.
fn takes_codes(context: &CheckContext, service: &str, directory: &Path) -> bool {
    let settings = context.settings_of(service);
    settings.is_some_and(|settings| settings.recovery.directory == directory)
}

/// The unit of a service, and its loaded profile, where they forbid this.
pub fn forbidden(context: &CheckContext, service: &str, needed: &Use) -> Vec<Finding> {
    let units = unit::forbidding(context.root, service, needed.folder);
    let by_units = units
        .iter()
        .map(|forbids| by_unit(service, forbids, needed));
    let profile = context.root.is_this_machine().then(|| {
        let name = apparmor::forbidding(&Apparmorfs, service, &needed.file, needed.rights)?;
        Some(by_apparmor(service, &name, needed))
    });
    by_units.chain(profile.flatten()).collect()
}

fn by_unit(service: &str, forbids: &Forbids, needed: &Use) -> Finding {
    let Forbids { unit, setting, .. } = forbids;
    let what = format!(
        "{unit}: {setting} keeps {service} from {}: {}",
        needed.act, needed.consequence
    );
    let fix = match forbids.can_be_lifted {
        true => lift(service, unit, needed),
        false => format!(
            "take the path out of this setting, by a drop-in (systemctl edit {unit}){}",
            needed.elsewhere
        ),
    };
    Finding {
        line: Some(forbids.line),
        ..warning(needed.id, &forbids.file, what, fix)
    }
}

/// sshd keeps its sessions when it is restarted; other units may not.
fn lift(service: &str, unit: &str, needed: &Use) -> String {
    let folder = format!("/etc/systemd/system/{unit}.d");
    let directory = shell_word(&needed.writable.to_string_lossy());
    let write = format!(
        "install -d {folder}\nprintf '[Service]\\nReadWritePaths=-%s\\n' {directory} > {folder}/{}",
        needed.drop_in
    );
    let then = match service == "sshd" && !unit.contains('@') {
        true => format!("systemctl daemon-reload; systemctl try-restart {unit}"),
        false => format!("systemctl daemon-reload    it counts when {unit} starts the next time"),
    };
    format!("{write}\n{then}")
}

fn by_apparmor(service: &str, profile: &str, needed: &Use) -> Finding {
    let what = format!(
        "the AppArmor profile {profile} keeps {service} from {}: {}",
        needed.act, needed.consequence
    );
    let fix = format!(
        "add to the profile: {} (the lines are in pam_ivalt(8), \"AppArmor\"), then: apparmor_parser -r the file of the profile",
        needed.profile_lines
    );
    warning(needed.id, needed.folder, what, fix)
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

/// A login removes the file of a code, and then cannot sync the folder.
fn not_syncable(context: &CheckContext, directory: &Path) -> Option<Finding> {
    if !context.root.is_this_machine() {
        return None;
    }
    let folder = context.root.open_folder(directory, OFlags::empty()).ok()?;
    let error = folder.require_syncable().err()?;
    let what = format!(
        "lies where a folder cannot be synced ({}): a login uses up the code, and denies it (misconfigured)",
        reason(&error)
    );
    let fix = "write under [recovery] in the settings: directory = a folder on a disk\nthen: ivaltctl recovery make NAME";
    Some(warning(ID, directory, what, fix.to_owned()))
}
