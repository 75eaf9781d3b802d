//! The table of modules: what each is for, and what it may return.

use std::ffi::CString;

use ivalt_core::arguments::Arguments;

use super::control::ReturnCode::{self, *};

/// A module as a line names it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Module {
    pub path: String,
    pub arguments: Vec<String>,
}

/// What a success of a module means to a login.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ModuleKind {
    /// pam_ivalt.
    Ivalt,
    /// The user knew a password.
    Password,
    /// The user passed a test other than a password.
    Factor,
    /// The caller is root already.
    Root,
    /// A condition that the administrator set is met.
    Condition,
    /// Nothing: every caller gets it.
    NoProof,
    /// The module is not in the table. It may ask for a proof.
    Unknown,
}

/// Every code but `PAM_INCOMPLETE`, the likely ones first.
const ANY: &[ReturnCode] = &[
    Success,
    AuthErr,
    Ignore,
    UserUnknown,
    AuthinfoUnavail,
    PermDenied,
    Maxtries,
    NewAuthtokReqd,
    CredUnavail,
    ServiceErr,
    SystemErr,
    BufErr,
    CredInsufficient,
    AcctExpired,
    SessionErr,
    CredExpired,
    CredErr,
    NoModuleData,
    ConvErr,
    AuthtokErr,
    AuthtokRecoverErr,
    AuthtokLockBusy,
    AuthtokDisableAging,
    TryAgain,
    Abort,
    AuthtokExpired,
    ModuleUnknown,
    BadItem,
    ConvAgain,
    OpenErr,
    SymbolErr,
];
const PASSWORD: &[ReturnCode] = &[
    Success,
    AuthErr,
    UserUnknown,
    AuthinfoUnavail,
    Maxtries,
    PermDenied,
    CredUnavail,
    SystemErr,
];
/// As sssd's does with `ignore_unknown_user`, winbind's with `unknown_ok`.
const PASSWORD_OR_IGNORE: &[ReturnCode] = &[
    Success,
    AuthErr,
    Ignore,
    UserUnknown,
    AuthinfoUnavail,
    Maxtries,
    PermDenied,
    CredUnavail,
    SystemErr,
];
const CONDITION: &[ReturnCode] = &[
    Success,
    AuthErr,
    Ignore,
    PermDenied,
    UserUnknown,
    ServiceErr,
];
const HELPER: &[ReturnCode] = &[Success, Ignore, AuthErr, ServiceErr, PermDenied];
/// As pam_ivalt(8) has them; the commonest denial first.
const IVALT: &[ReturnCode] = &[
    Success,
    AuthErr,
    UserUnknown,
    ConvErr,
    Maxtries,
    ServiceErr,
    AuthinfoUnavail,
    Abort,
];

/// Modules of one kind that return the same codes.
struct Group {
    kind: ModuleKind,
    names: &'static [&'static str],
    codes: &'static [ReturnCode],
}

const MODULES: [Group; 12] = [
    Group {
        kind: ModuleKind::Ivalt,
        names: &["pam_ivalt", "libpam_ivalt"],
        codes: IVALT,
    },
    Group {
        kind: ModuleKind::Password,
        names: &[
            "pam_unix",
            "pam_sss",
            "pam_krb5",
            "pam_ldap",
            "pam_winbind",
            "pam_userdb",
            "pam_pwdb",
            "pam_tcb",
            "pam_ldapd",
            "pam_himmelblau",
            "libpam_himmelblau",
            "pam_kanidm",
            "libpam_kanidm",
            "pam_mysql",
            "pam_pgsql",
            "pam_sqlite",
            "pam_sqlite3",
            "pam_heimdal",
            "pam_krb5afs",
            "pam_ccreds",
            "pam_centrifydc",
            "pam_lsass",
            "pam_vas3",
            "pam_aad",
            "pam_pwdfile",
            "pam_otpw",
            "pam_ssh",
            "pam_unix_auth",
        ],
        codes: PASSWORD,
    },
    Group {
        kind: ModuleKind::Password,
        // They leave users whom others know to the lines below without being told to.
        names: &["pam_authd", "pam_authd_exec", "pam_systemd_home"],
        codes: PASSWORD_OR_IGNORE,
    },
    Group {
        kind: ModuleKind::Factor,
        names: &[
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
            "pam_howdy",
            "pam_sss_gss",
            "pam_usb",
            "pam_securid",
            "pam_tacplus",
            "pam_oauth2_device",
            "pam_privacyidea",
        ],
        codes: ANY,
    },
    Group {
        kind: ModuleKind::Condition,
        names: &[
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
        ],
        codes: CONDITION,
    },
    Group {
        kind: ModuleKind::Root,
        names: &["pam_rootok"],
        codes: &[Success, AuthErr],
    },
    Group {
        kind: ModuleKind::NoProof,
        names: &["pam_permit"],
        codes: &[Success],
    },
    Group {
        kind: ModuleKind::NoProof,
        names: &["pam_deny"],
        codes: &[AuthErr],
    },
    Group {
        kind: ModuleKind::NoProof,
        names: &["pam_warn"],
        codes: &[Ignore],
    },
    Group {
        kind: ModuleKind::NoProof,
        names: &["pam_cap"],
        codes: &[Ignore, Success],
    },
    Group {
        kind: ModuleKind::NoProof,
        names: &["pam_faillock"],
        codes: &[Success, Ignore, AuthErr],
    },
    Group {
        kind: ModuleKind::NoProof,
        names: &[
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
            "pam_tally",
            "pam_gdm",
            "pam_selinux_permit",
            "pam_afs_session",
            "pam_fscrypt",
            "pam_zfs_key",
            "pam_cifscreds",
            "pam_gnupg",
            "pam_loginuid",
            "pam_limits",
            "pam_mail",
            "pam_tmpdir",
        ],
        codes: HELPER,
    },
];

impl Module {
    /// `pam_unix` of `/lib/security/pam_unix.so`.
    pub fn name(&self) -> &str {
        name_of(&self.path)
    }

    /// What it is for.
    pub fn kind(&self) -> ModuleKind {
        self.group().map_or(ModuleKind::Unknown, |group| group.kind)
    }

    /// What it may return.
    pub fn return_codes(&self) -> &'static [ReturnCode] {
        let first = self.arguments.first().map(String::as_str);
        match self.group() {
            None => ANY,
            Some(group) if group.kind == ModuleKind::Password && self.may_ignore() => {
                PASSWORD_OR_IGNORE
            }
            Some(_) if self.name() == "pam_faillock" && first == Some("authfail") => {
                &[AuthErr, Ignore]
            }
            Some(group) => group.codes,
        }
    }

    /// The words of a pam_ivalt line as the module takes them.
    ///
    /// # Errors
    /// Why it denies everybody.
    pub fn ivalt_arguments(&self) -> Result<Arguments, String> {
        let words = self
            .arguments
            .iter()
            .map(|word| CString::new(word.as_str()));
        let words: Result<Vec<_>, _> = words.collect();
        let words = words.map_err(|error| error.to_string())?;
        let words: Vec<_> = words.iter().map(CString::as_c_str).collect();
        Arguments::parse(&words).map_err(|error| error.to_string())
    }

    /// The method that a pam_ivalt line waits for, by `only_after=`. One whose words are bad waits for none.
    pub fn only_after(&self) -> Option<&'static str> {
        match self.kind() {
            ModuleKind::Ivalt => self.ivalt_arguments().ok()?.only_after,
            _ => None,
        }
    }

    /// The word `only_after=` of a line, whatever it names.
    pub fn only_after_word(&self) -> Option<&str> {
        let mut words = self.arguments.iter();
        words.find_map(|word| word.starts_with("only_after").then_some(word.as_str()))
    }

    fn group(&self) -> Option<&'static Group> {
        MODULES
            .iter()
            .find(|group| group.names.contains(&self.name()))
    }

    fn may_ignore(&self) -> bool {
        let says_so = |word: &String| word.starts_with("ignore_") || word == "unknown_ok";
        self.arguments.iter().any(says_so)
    }
}

/// The file's name without its extension.
pub fn name_of(path: &str) -> &str {
    let file = path.rsplit('/').next().unwrap_or(path);
    file.rsplit_once('.').map_or(file, |(name, _)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_method_is_what_the_module_takes_for_one() {
        let method = |path: &str, words: &[&str]| {
            let module = Module {
                path: path.to_owned(),
                arguments: words.iter().map(|word| (*word).to_owned()).collect(),
            };
            module.only_after()
        };
        let key = Some("publickey");
        let ivalt = "pam_ivalt.so";
        assert_eq!(method(ivalt, &["debug", "only_after=publickey"]), key);
        assert_eq!(method(ivalt, &["only_after=publickey", "retry"]), None);
        assert_eq!(method(ivalt, &["only_after=password"]), None);
        assert_eq!(method(ivalt, &[]), None);
        assert_eq!(method("pam_exec.so", &["only_after=publickey"]), None);
    }

    #[test]
    fn a_password_module_is_ignored_where_its_arguments_say_so() {
        let may_ignore = |argument: &str| {
            let module = Module {
                path: "pam_sss.so".to_owned(),
                arguments: vec![argument.to_owned()],
            };
            module.return_codes().contains(&Ignore)
        };
        let arguments = ["use_first_pass", "ignore_unknown_user", "unknown_ok"];
        assert_eq!(arguments.map(may_ignore), [false, true, true]);
    }
}
