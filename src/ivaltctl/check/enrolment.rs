//! `users.toml`, compared with the accounts of the system.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::accepted::derived;
use super::accounts::{self, Account};
use super::context::{CheckContext, MISCONFIGURED, finding, problem_finding};
use super::{sshd, sudo};
use crate::finding::{Finding, Severity};
use crate::root::Root;
use crate::users::entries::{self, UserEntry};
use crate::users::snapshot::digits;
use ivalt_core::log_line::quote_log_value;
use ivalt_core::problem::{Problem, ProblemKind};
use ivalt_core::settings::{Settings, Tolerance};
use ivalt_core::trusted_file::{LARGE, ReadPermission, Trust};
use ivalt_core::user_name::folded;
use ivalt_core::users::Entry;

/// One users.toml, and the settings that name it.
struct UsersCheck<'a> {
    context: &'a CheckContext<'a>,
    settings: &'a Settings,
    file: &'a Path,
    users: Vec<UserEntry<'a>>,
}

/// Checks the users file of every settings file.
pub fn findings(context: &CheckContext) -> Vec<Finding> {
    let mut seen = BTreeSet::new();
    let mut findings = Vec::new();
    for (config, settings) in context.usable() {
        let file = settings.users_file.as_path();
        if seen.insert(file) {
            findings.extend(check(context, config.trust(), settings, file));
        }
    }
    findings
}

fn check(context: &CheckContext, trust: Trust, settings: &Settings, file: &Path) -> Vec<Finding> {
    let root = context.root;
    let bytes =
        root.listing_people(|| root.read_trusted(trust, file, ReadPermission::Anybody, LARGE));
    let bytes = match bytes {
        Ok(bytes) => bytes,
        Err(problem) => return vec![unusable(file, &problem)],
    };
    let users = entries::text(file, &bytes)
        .and_then(|text| entries::read_all(file, text, settings.token.mobile_format));
    let users = match users {
        Ok(users) => users,
        Err(problem) => return vec![unusable(file, &problem)],
    };
    let check = UsersCheck {
        context,
        settings,
        file,
        users,
    };
    [
        readable_by_others(root, file),
        check.bad_entries(),
        check.unknown_accounts(),
        check.shared_mobiles(),
        check.spellings(),
        derived(root, || check.nobody_enrolled()),
        derived(root, || check.privileged()),
    ]
    .concat()
}

/// Nobody can be looked up.
fn unusable(file: &Path, problem: &Problem) -> Finding {
    let id = match problem.kind {
        ProblemKind::Missing => "users-missing",
        ProblemKind::PermissionDenied | ProblemKind::Unreadable | ProblemKind::Untrusted => {
            "users-untrusted"
        }
        ProblemKind::Invalid
        | ProblemKind::DefinedTwice
        | ProblemKind::KeyFile
        | ProblemKind::CaFile => "users-invalid",
    };
    let fix = format!("correct it in {}", file.display());
    problem_finding(Severity::LocksOut, id, file, problem, MISCONFIGURED, &fix)
}

/// The module takes 0644; mobile numbers are personal data all the same. A service that is not root's may need them by
/// its group.
fn readable_by_others(root: &Root, file: &Path) -> Vec<Finding> {
    let mode = root.metadata(file).map_or(0, |found| found.mode() & 0o7777);
    if mode & 0o004 == 0 {
        return Vec::new();
    }
    let what = format!(
        "mode {mode:04o}: every account of the system can read the mobile numbers; logins work"
    );
    let fix = format!("chmod o-r {}", file.display());
    let found = finding(Severity::Warning, "users-readable", file, what, fix);
    vec![found.concerning::<&str>([])]
}

impl UsersCheck<'_> {
    fn bad_entries(&self) -> Vec<Finding> {
        let bad = self.users.iter().filter_map(|user| match &user.entry {
            Entry::Bad(problem) => Some(problem),
            _ => None,
        });
        let found = bad.map(|problem| {
            let id = match problem.kind {
                ProblemKind::DefinedTwice => "name-twice",
                _ => "bad-entry",
            };
            let (consequence, fix) = ("this user is denied (bad-entry)", "correct the entry");
            problem_finding(Severity::LocksOut, id, self.file, problem, consequence, fix)
        });
        found.collect()
    }

    /// Not those with bad entries: an unquoted name is not a name.
    fn usable(&self) -> impl Iterator<Item = (&str, &str)> {
        self.users.iter().filter_map(|user| match &user.entry {
            Entry::Enrolled(mobile) | Entry::Disabled(mobile) => {
                Some((user.name.as_ref(), mobile.as_str()))
            }
            Entry::Absent | Entry::Bad(_) => None,
        })
    }

    fn unknown_accounts(&self) -> Vec<Finding> {
        let root = self.context.root;
        let local = accounts::local(root);
        if local.is_empty() {
            return Vec::new();
        }
        let known: HashSet<_> = local.iter().map(|account| account.name.as_str()).collect();
        let unknown = self.usable().map(|(name, _)| name);
        let unknown =
            unknown.filter(|name| !known.contains(name) && !accounts::exists(root, &[], name));
        let found = unknown.map(|name| {
            let shown = quote_log_value(name.as_bytes());
            let what = format!(
                "{shown} is enrolled, but there is no such account: the entry has no effect until there is an account \
                 of that name"
            );
            let fix = format!("ivaltctl users remove {shown}");
            finding(Severity::Warning, "unknown-account", self.file, what, fix).concerning([name])
        });
        found.collect()
    }

    fn shared_mobiles(&self) -> Vec<Finding> {
        let push = self.settings.push.enabled;
        let mut by_mobile: BTreeMap<String, Vec<(&str, &str)>> = BTreeMap::new();
        for (name, mobile) in self.usable() {
            let digits = digits(mobile);
            let known = if push { lock_name(&digits) } else { &digits };
            by_mobile
                .entry(known.to_owned())
                .or_default()
                .push((name, mobile));
        }
        let shared = by_mobile.values().filter(|users| users.len() > 1);
        let found = shared.map(|users| {
            let names = users.iter().map(|(name, _)| *name);
            let shown: Vec<_> = names.clone().map(|name| quote_log_value(name.as_bytes())).collect();
            let mut mobiles = users.iter().map(|(_, mobile)| digits(mobile));
            let first = mobiles.next();
            let same = mobiles.all(|other| Some(other) == first);
            let consequence = match (same, push) {
                (true, false) => "share one mobile: its holder passes iVALT for all of these accounts",
                (true, true) => {
                    "share one mobile: its holder passes iVALT for all of these accounts, and while a request on it waits for \
                     one of them, the others are refused (push-busy)"
                }
                (false, _) => {
                    "have mobiles that end in the same nine digits: while a request waits for one of them, the others are \
                     refused (push-busy)"
                }
            };
            let what = format!("{} {consequence}", shown.join(" and "));
            let last = shown.last().map_or("NAME", String::as_str);
            let fix = format!(
                "if that is not intended: ivaltctl users remove {last} && ivaltctl users add {last} MOBILE"
            );
            finding(Severity::Warning, "shared-mobile", self.file, what, fix).concerning(names)
        });
        found.collect()
    }

    /// A name service may take them for one account, of which each entry is then a way in.
    fn spellings(&self) -> Vec<Finding> {
        let mut by_name: BTreeMap<Vec<u8>, Vec<&str>> = BTreeMap::new();
        for (name, _) in self.usable() {
            by_name
                .entry(folded(name.as_bytes()))
                .or_default()
                .push(name);
        }
        let several = by_name.values().filter(|names| names.len() > 1);
        let found = several.map(|names| {
            let shown: Vec<_> = names.iter().map(|name| quote_log_value(name.as_bytes())).collect();
            let what = format!(
                "{} differ in case, realm or domain alone: where they are one account, each entry is a way in by itself",
                shown.join(" and ")
            );
            let last = shown.last().map_or("NAME", String::as_str);
            let fix = format!("if they are one account: ivaltctl users remove {last}");
            finding(Severity::Warning, "name-spellings", self.file, what, fix).concerning(names)
        });
        found.collect()
    }

    fn is_enrolled(&self, name: &str) -> bool {
        self.users
            .iter()
            .any(|user| user.name == name && matches!(user.entry, Entry::Enrolled(_)))
    }

    fn is_disabled(&self, name: &str) -> bool {
        self.users
            .iter()
            .any(|user| user.name == name && matches!(user.entry, Entry::Disabled(_)))
    }

    fn asked(&self) -> bool {
        let services = self.context.services.iter();
        services.for_each(|service| self.context.note(service));
        let mut configs = self
            .context
            .usable()
            .filter(|(_, settings)| settings.users_file == self.file);
        configs.any(|(config, _)| {
            let mut lines = self.context.lines.iter();
            lines.any(|line| line.config() == config.path)
        })
    }

    fn denies_unenrolled(&self) -> bool {
        self.settings.policy.unenrolled == Tolerance::Deny
    }

    fn nobody_enrolled(&self) -> Vec<Finding> {
        let somebody = self
            .users
            .iter()
            .any(|user| matches!(user.entry, Entry::Enrolled(_)));
        if somebody {
            return Vec::new();
        }
        let (severity, what) = match (self.asked(), self.denies_unenrolled()) {
            (true, true) => (
                Severity::LocksOut,
                "nobody is enrolled: everybody who is asked for iVALT is denied (not-enrolled)",
            ),
            (true, false) => (
                Severity::Warning,
                "nobody is enrolled: nobody is asked for iVALT, everybody logs in without a token",
            ),
            (false, _) => (
                Severity::Warning,
                "nobody is enrolled: a service that asks iVALT would deny everybody",
            ),
        };
        let fix = "ivaltctl users add NAME MOBILE";
        let found = finding(severity, "nobody-enrolled", self.file, what, fix);
        vec![found.concerning::<&str>([])]
    }

    /// That an account is not enrolled may be intended, so each is a warning; but when none of the sudo administrators
    /// can pass, nobody can undo that either.
    fn privileged(&self) -> Vec<Finding> {
        if !self.asked() {
            return Vec::new();
        }
        let (administrators, missing): (Vec<_>, Vec<_>) = {
            let all = privileged(self.context.root);
            let missing = all
                .iter()
                .filter(|account| !self.is_enrolled(&account.name))
                .cloned();
            let missing = missing.collect();
            (all, missing)
        };
        let mut findings: Vec<_> = missing
            .iter()
            .filter_map(|account| self.not_enrolled(account))
            .collect();
        let by_sudo = administrators.iter().any(|account| account.uid != 0);
        if by_sudo && missing.len() == administrators.len() && self.denies_unenrolled() {
            let what = "none of the accounts that administer this machine is enrolled: once they are logged out, none of \
                        them gets in through the services that ask iVALT";
            let fix = "ivaltctl users add NAME MOBILE, for one of them";
            let id = "no-administrator-enrolled";
            let found = finding(Severity::LocksOut, id, self.file, what, fix);
            findings.push(found.concerning(missing.iter().map(|account| &account.name)));
        }
        findings
    }

    /// A disabled user is denied whatever the policy says.
    fn not_enrolled(&self, account: &Account) -> Option<Finding> {
        let name = quote_log_value(account.name.as_bytes());
        let services = self.services_for(account).join(", ");
        if services.is_empty() {
            return None;
        }
        let (state, fix) = match self.is_disabled(&account.name) {
            true => (
                "disabled",
                format!("if that is not intended: ivaltctl users enable {name}"),
            ),
            false => ("not enrolled", format!("ivaltctl users add {name} MOBILE")),
        };
        let what = if state == "disabled" || self.denies_unenrolled() {
            format!("{name} is privileged and {state}, and cannot log in through {services}")
        } else {
            format!(
                "{name} is privileged and {state}, and logs in through {services} without a token"
            )
        };
        let id = "privileged-not-enrolled";
        let found = finding(Severity::Warning, id, self.file, what, fix);
        Some(found.concerning([&account.name]))
    }

    /// Those that ask iVALT, and let the account in by its answer.
    fn services_for(&self, account: &Account) -> Vec<&str> {
        let services = self.context.services.iter().map(String::as_str);
        let asks =
            |service: &&str| *service != "sshd" || sshd::takes_answers_of(self.context, account);
        services.filter(asks).collect()
    }
}

/// What a login by push locks of a mobile: its last nine digits.
fn lock_name(digits: &str) -> &str {
    &digits[digits.len().saturating_sub(9)..]
}

/// The accounts that are root or may become it. Those that nobody can log in to are left out: those without a shell,
/// and root where no password opens it.
pub fn privileged(root: &Root) -> Vec<Account> {
    let local = accounts::local(root);
    let administrators = sudo::administrators(root, &local).into_iter();
    let administrators: HashSet<_> = administrators.map(|account| &account.name).collect();
    let privileged = local.iter().filter(|account| {
        let is_root = account.uid == 0 && accounts::has_a_password(root, &account.name);
        let may_use_sudo = account.uid != 0 && administrators.contains(&account.name);
        account.has_a_shell() && (is_root || may_use_sudo)
    });
    privileged.cloned().collect()
}
