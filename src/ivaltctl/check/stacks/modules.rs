//! What the modules of others are for, and what they may answer.

use std::path::{Path, PathBuf};

use super::super::super::pam_d::{Code, Module, PAM_IGNORE, PAM_SUCCESS, Step, What};
use super::super::super::root::Root;
use super::super::super::stack::PAM_MODULE_UNKNOWN;

/// What a success of a module means to a login.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trade {
    /// It is ours.
    Ours,
    /// The person knew a password.
    Password,
    /// The person passed a test other than a password.
    Factor,
    /// The caller is root already.
    Root,
    /// Something is so that the administrator asked about.
    Condition,
    /// Nothing: whoever calls gets it.
    Nothing,
    /// Nobody here knows the module. It may ask for a proof.
    Unknown,
}

/// Every code but `PAM_INCOMPLETE`, the likely ones first.
const ANYTHING: &[Code] = &[
    0, 7, 25, 10, 9, 6, 11, 12, 15, 3, 4, 5, 8, 13, 14, 16, 17, 18, 19, 20, 21, 22, 23, 24, 26, 27,
    28, 29, 30, 1, 2,
];
const PASSWORD: &[Code] = &[0, 7, 10, 9, 11, 6, 15, 4];
/// As sssd's does with ignore_unknown_user, winbind's with unknown_ok.
const PASSWORD_OR_IGNORE: &[Code] = &[0, 7, 25, 10, 9, 11, 6, 15, 4];
const CONDITION: &[Code] = &[0, 7, 25, 6, 10, 3];
const HELPER: &[Code] = &[0, 25, 7, 3, 6];
/// Ours, as INTERFACE's table has them; the commonest denial first.
const DENIALS: &[Code] = &[7, 10, 19, 11, 3, 9, 26];

const PASSWORDS: [&str; 12] = [
    "pam_unix",
    "pam_sss",
    "pam_krb5",
    "pam_ldap",
    "pam_winbind",
    "pam_userdb",
    "pam_pwdb",
    "pam_tcb",
    "pam_ldapd",
    "pam_systemd_home",
    "pam_himmelblau",
    "pam_mysql",
];
const FACTORS: [&str; 12] = [
    "pam_u2f",
    "pam_google_authenticator",
    "pam_oath",
    "pam_duo",
    "pam_yubico",
    "pam_fprintd",
    "pam_pkcs11",
    "pam_p11",
    "pam_ssh_agent_auth",
    "pam_radius_auth",
    "pam_rssh",
    "pam_radius",
];
const CONDITIONS: [&str; 13] = [
    "pam_succeed_if",
    "pam_exec",
    "pam_listfile",
    "pam_localuser",
    "pam_usertype",
    "pam_access",
    "pam_wheel",
    "pam_time",
    "pam_rhosts",
    "pam_timestamp",
    "pam_script",
    "pam_ftp",
    "pam_securetty",
];
const HELPERS: [&str; 15] = [
    "pam_env",
    "pam_faildelay",
    "pam_nologin",
    "pam_group",
    "pam_issue",
    "pam_keyinit",
    "pam_echo",
    "pam_gnome_keyring",
    "pam_kwallet5",
    "pam_kwallet",
    "pam_shells",
    "pam_sepermit",
    "pam_tally2",
    "pam_mount",
    "pam_ecryptfs",
];

/// What a module is for.
pub fn trade(module: &Module) -> Trade {
    let name = module.name();
    match name {
        "pam_ivalt" | "libpam_ivalt" => Trade::Ours,
        "pam_rootok" => Trade::Root,
        _ if PASSWORDS.contains(&name) => Trade::Password,
        _ if FACTORS.contains(&name) => Trade::Factor,
        _ if CONDITIONS.contains(&name) => Trade::Condition,
        "pam_permit" | "pam_deny" | "pam_warn" | "pam_cap" | "pam_faillock" => Trade::Nothing,
        _ if HELPERS.contains(&name) => Trade::Nothing,
        _ => Trade::Unknown,
    }
}

/// The trade of a step; one without a module has none.
pub fn trade_of(step: &Step) -> Trade {
    match &step.what {
        What::Module(module) => trade(module),
        What::Substack | What::Broken(_) => Trade::Nothing,
    }
}

fn answers(module: &Module) -> &'static [Code] {
    let name = module.name();
    let first = module.arguments.first().map(String::as_str);
    match name {
        "pam_permit" => &[PAM_SUCCESS],
        "pam_deny" => &[7],
        "pam_warn" => &[PAM_IGNORE],
        "pam_rootok" => &[PAM_SUCCESS, 7],
        "pam_cap" => &[PAM_IGNORE, PAM_SUCCESS],
        "pam_faillock" if first == Some("authfail") => &[7, PAM_IGNORE],
        "pam_faillock" => &[PAM_SUCCESS, PAM_IGNORE, 7],
        _ if HELPERS.contains(&name) => HELPER,
        _ => match trade(module) {
            Trade::Password if ignores(module) => PASSWORD_OR_IGNORE,
            Trade::Password => PASSWORD,
            Trade::Condition => CONDITION,
            _ => ANYTHING,
        },
    }
}

fn ignores(module: &Module) -> bool {
    let tells = |word: &String| word.starts_with("ignore_") || word == "unknown_ok";
    module.arguments.iter().any(tells)
}

/// What the steps of a stack may answer.
pub struct Answers {
    /// `[policy]` of the settings lets ours answer `PAM_IGNORE`.
    pub tolerant: bool,
    /// Ours only ignores, as it does for accounts.
    pub idle: bool,
    folders: Vec<PathBuf>,
}

impl Answers {
    /// As far as can be told from the system.
    pub fn new(root: &Root, tolerant: bool, idle: bool) -> Self {
        Self {
            tolerant,
            idle,
            folders: module_folders(root),
        }
    }

    /// One code for each thing the step's control field can make of its answers.
    pub fn of(&self, root: &Root, step: &Step) -> Vec<Code> {
        let What::Module(module) = &step.what else {
            return vec![PAM_SUCCESS];
        };
        let ours = trade(module) == Trade::Ours;
        let possible = if self.is_missing(root, module) {
            vec![PAM_MODULE_UNKNOWN]
        } else if ours && self.idle {
            vec![PAM_IGNORE]
        } else if ours {
            self.ours()
        } else {
            answers(module).to_vec()
        };
        let kind = |code: Code| (step.actions[code], code == PAM_SUCCESS, code == PAM_IGNORE);
        let mut chosen: Vec<Code> = Vec::new();
        for code in possible {
            if !chosen.iter().any(|known| kind(*known) == kind(code)) {
                chosen.push(code);
            }
        }
        chosen
    }

    fn ours(&self) -> Vec<Code> {
        let ignored = self.tolerant.then_some(PAM_IGNORE);
        [PAM_SUCCESS]
            .into_iter()
            .chain(DENIALS.iter().copied())
            .chain(ignored)
            .collect()
    }

    /// Whether libpam will not find the file. A system without any folder of modules keeps them elsewhere.
    pub fn is_missing(&self, root: &Root, module: &Module) -> bool {
        if module.path.starts_with('/') {
            let path = module.path.replace("$ISA", ".");
            return !self.folders.is_empty() && !root.real(Path::new(&path)).exists();
        }
        let there = |folder: &PathBuf| folder.join(&module.path).exists();
        !self.folders.is_empty() && !self.folders.iter().any(there)
    }
}

/// Where distributions keep modules: the folders that hold the one nobody can do without.
fn module_folders(root: &Root) -> Vec<PathBuf> {
    let mut folders = Vec::new();
    for library in ["/lib", "/lib64", "/usr/lib", "/usr/lib64"] {
        let library = root.real(Path::new(library));
        folders.push(library.join("security"));
        let inside = std::fs::read_dir(&library).into_iter().flatten().flatten();
        folders.extend(
            inside
                .filter(is_multiarch)
                .map(|entry| entry.path().join("security")),
        );
    }
    folders.retain(|folder| folder.join("pam_permit.so").exists());
    folders
}

fn is_multiarch(entry: &std::fs::DirEntry) -> bool {
    entry.file_name().to_string_lossy().contains("-linux-")
}
