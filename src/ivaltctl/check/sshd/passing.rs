//! Whether anybody enrolled can still pass sshd's methods and the PAM lines behind them.

use std::collections::{BTreeSet, HashMap};
use std::io::ErrorKind;
use std::path::Path;

use super::root_login::takes_them_by;
use super::{KEYS, METHODS, MatchScope, asks_pam, key_file};
use crate::check::accounts::{self, Account};
use crate::check::enrolment;
use crate::finding::{Finding, Severity};
use crate::pam_stack::{self, ModuleKind, ReturnCode, Rule, RuleTarget, ivalt_rules};
use crate::sshd_program;
use crate::users::entries;
use ivalt_core::settings::Settings;
use ivalt_core::users::Entry;

/// Key or password, each with iVALT.
pub const KEY_OR_PASSWORD_METHODS: &str =
    "AuthenticationMethods publickey,keyboard-interactive keyboard-interactive";
/// Key and iVALT.
pub const KEY_METHODS: &str = "AuthenticationMethods publickey,keyboard-interactive";
/// Asks users whose key sshd has checked, and is passed over by all others.
pub const KEY_LINE: &str =
    "auth    [success=done ignore=ignore default=die]    pam_ivalt.so only_after=publickey";

/// A wrong password ends the stack there.
const PASSWORD_LINE: &str = "auth    requisite    pam_unix.so";
const PAM_FILE: &str = "/etc/pam.d/sshd";

/// What somebody enrolled has to log in with, besides the phone. What cannot be known counts as there.
#[derive(Clone, Copy)]
struct Means {
    key: bool,
    /// One of the system's own, which pam_unix checks.
    password: bool,
    /// sshd hands PAM what they answer.
    answers: bool,
}

impl MatchScope<'_> {
    /// Nobody enrolled passes any list.
    pub(super) fn nobody_gets_in(&self) -> Option<Finding> {
        let mut lists = self.method_lists();
        if lists.is_empty() {
            lists = vec![vec!["publickey"], vec!["keyboard-interactive"]];
        }
        let impossible = lists.iter().all(|list| list.contains(&"password"));
        if impossible || self.prompt_off().is_some() || self.somebody_passes(&lists) {
            return None;
        }
        let reasons: BTreeSet<_> = lists.iter().map(|list| self.obstacle(list)).collect();
        let reasons: Vec<_> = reasons.into_iter().collect();
        let what = format!("no enrolled account gets in by ssh: {}", reasons.join("; "));
        let id = "sshd-nobody-gets-in";
        let found = self.finding(Severity::LocksOut, id, METHODS, &what, &self.methods_fix());
        let fix = if self.is_passable(self.fixed_methods()) {
            found.fix.clone()
        } else if !self.somebody(|means| means.answers) {
            "before anything else, enrol an account that is not root's, which logs in and uses sudo: ivaltctl users add NAME \
             MOBILE"
                .to_owned()
        } else {
            "before anything else: PubkeyAuthentication yes, and the public key of an enrolled user in \
             ~/.ssh/authorized_keys; or a password for one: passwd NAME"
                .to_owned()
        };
        Some(Finding { fix, ..found })
    }

    /// What keeps everybody enrolled from passing this list.
    fn obstacle(&self, list: &[&str]) -> String {
        let shown = list.join(",");
        let off = list.iter().find(|method| !self.is_on(method));
        if let Some(method) = off {
            return format!("{shown} needs {method}, which is off");
        }
        if !self.somebody(|means| means.answers) {
            return format!(
                "{shown} asks PAM, and sshd keeps root's answers from it (PermitRootLogin)"
            );
        }
        if list.contains(&"publickey") && !self.somebody(|means| means.key && means.answers) {
            return format!("{shown} needs a key, which none has");
        }
        format!("{shown} needs a password, which PAM asks for and none has")
    }

    fn somebody_passes(&self, lists: &[Vec<&str>]) -> bool {
        self.somebody(|means| lists.iter().any(|list| self.passes(*means, list)))
    }

    /// Hosts, tickets and other methods may be anybody's.
    fn passes(&self, means: Means, list: &[&str]) -> bool {
        let before_pam: Vec<_> = list
            .iter()
            .take_while(|method| !asks_pam(method))
            .copied()
            .collect();
        list.iter().all(|method| {
            let passed = match *method {
                "publickey" => means.key,
                "password" => false,
                method if asks_pam(method) => means.answers && self.passes_pam(means, &before_pam),
                _ => true,
            };
            passed && self.is_on(method)
        })
    }

    /// sshd leaves out a list with a method that is off.
    fn is_on(&self, method: &str) -> bool {
        match method {
            "publickey" => !self.is("pubkeyauthentication", "no"),
            "hostbased" => self.is("hostbasedauthentication", "yes"),
            "gssapi-with-mic" => self.is("gssapiauthentication", "yes"),
            _ => true,
        }
    }

    /// Whether the auth lines may let in somebody whose token is right. All modules but pam_unix say yes.
    fn passes_pam(&self, means: Means, passed: &[&str]) -> bool {
        let rules = self.auth_rules();
        let lets_in = |password| {
            let code = |at: usize| returned(&rules[at], password, passed);
            pam_stack::simulate(&rules, code).0 == ReturnCode::Success
        };
        // Where nobody passes, the findings of the stack say so.
        means.password || lets_in(false) || !lets_in(true)
    }

    /// Whether this holds for somebody enrolled. So it does where nobody is, which is a finding of `enrolment`, as is a
    /// file that cannot be used.
    fn somebody(&self, holds: impl Fn(&Means) -> bool) -> bool {
        let root = self.context.root;
        let Some(settings) = self.context.settings_of("sshd") else {
            return true;
        };
        root.listing_people(|| self.somebody_of(settings, holds))
    }

    fn somebody_of(&self, settings: &Settings, holds: impl Fn(&Means) -> bool) -> bool {
        let root = self.context.root;
        let files: Vec<_> = settings.users().iter().collect();
        let bytes: Vec<_> = files
            .iter()
            .map(|file| enrolment::read(root, crate::trust(), file))
            .collect();
        let mut users = files.iter().zip(&bytes).map(|(file, bytes)| {
            let users = enrolment::users_of(file, bytes, settings.token.mobile_format);
            users.unwrap_or_default()
        });
        let own = users.next().unwrap_or_default();
        let users = entries::merged(own, users.next().unwrap_or_default());
        let enrolled = users
            .iter()
            .filter(|user| matches!(user.entry, Entry::Enrolled(_)));
        let local = accounts::local(root);
        // The first line of a name counts.
        let local: HashMap<_, _> = local
            .iter()
            .rev()
            .map(|account| (account.name.as_str(), account))
            .collect();
        let mut means = enrolled
            .map(|user| self.means(local.get(user.name.as_ref()).copied()))
            .peekable();
        means.peek().is_none() || means.any(|means| holds(&means))
    }

    /// Of accounts of a directory nothing is known.
    fn means(&self, account: Option<&Account>) -> Means {
        account.map_or(
            Means {
                key: true,
                password: true,
                answers: true,
            },
            |account| Means {
                key: self.may_have_key(account),
                password: accounts::has_a_password(self.context.root, &account.name),
                answers: takes_them_by(self.context, self.configuration, account),
            },
        )
    }

    /// Keys by a command or by certificates may be anybody's. A home that is not there, or has nothing
    /// in it, may be mounted at a login.
    fn may_have_key(&self, account: &Account) -> bool {
        let by_setting = ["authorizedkeyscommand", "trustedusercakeys"];
        let root = self.context.root;
        if by_setting.iter().any(|keyword| !self.is(keyword, "none"))
            || sshd_program::has_keys_by_option(root)
        {
            return true;
        }
        let home = Path::new(&account.home);
        let home_is_there = !root.names(home).is_empty();
        let files = self.value("authorizedkeysfile").split_whitespace();
        let mut files = files
            .filter(|file| *file != "none")
            .map(|file| key_file(account, file));
        // What users make of their own files must not become a fault of the system.
        files.any(|file| match root.read_start(&file, KEYS) {
            Ok(start) => super::has_a_key(&String::from_utf8_lossy(&start)),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                file.starts_with(home) && !home_is_there
            }
            Err(_) => true,
        })
    }

    /// The lists that ask everybody for iVALT and for something else.
    fn fixed_methods(&self) -> &'static str {
        if self.asks_for_another_proof() {
            KEY_OR_PASSWORD_METHODS
        } else {
            KEY_METHODS
        }
    }

    fn is_passable(&self, methods: &str) -> bool {
        let lists = methods.split_whitespace().skip(1);
        let lists: Vec<Vec<_>> = lists.map(|list| list.split(',').collect()).collect();
        self.somebody_passes(&lists)
    }

    /// Whether PAM asks for anything but the token.
    pub(super) fn asks_for_another_proof(&self) -> bool {
        let proof = [
            ModuleKind::Password,
            ModuleKind::Factor,
            ModuleKind::Unknown,
        ];
        self.auth_rules()
            .iter()
            .any(|rule| proof.contains(&rule.kind()))
    }

    /// `AuthenticationMethods` as it should be, and what PAM needs besides.
    pub(super) fn methods_fix(&self) -> String {
        // A fix depends on more files than its finding; of these, its text says enough.
        self.context.root.recorded(|| self.methods_to_write()).0
    }

    fn methods_to_write(&self) -> String {
        match self.fixed_methods() {
            KEY_METHODS if self.is_passable(KEY_METHODS) => {
                format!("{KEY_METHODS}; users without a key cannot log in by ssh then")
            }
            KEY_METHODS => format!(
                "{KEY_OR_PASSWORD_METHODS}; and in {}, above pam_ivalt: {PASSWORD_LINE}",
                self.file_with_ivalt()
            ),
            methods if self.waited_for().contains(&"publickey") => methods.to_owned(),
            methods => format!(
                "{methods}; and in {PAM_FILE}, above what asks for the password: {KEY_LINE}"
            ),
        }
    }

    fn file_with_ivalt(&self) -> String {
        let rules = self.auth_rules();
        let first = ivalt_rules(&rules).next();
        first.map_or(PAM_FILE.to_owned(), |(at, _)| {
            rules[at].location.file.display().to_string()
        })
    }
}

/// What a module returns at best to somebody with a password or without, who has passed these methods.
fn returned(rule: &Rule, password: bool, passed: &[&str]) -> ReturnCode {
    let name = match &rule.target {
        RuleTarget::Module(module) => module.name(),
        RuleTarget::Substack | RuleTarget::Broken(_) => "",
    };
    match rule.only_after() {
        Some(method) if !passed.contains(&method) => ReturnCode::Ignore,
        _ if name == "pam_deny" || (name == "pam_unix" && !password) => ReturnCode::AuthErr,
        _ => ReturnCode::Success,
    }
}
