//! `users.toml` and the synced file, compared with the accounts of the system.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::accepted::derived;
use super::accounts::{self, Account};
use super::context::{CheckContext, Config, MISCONFIGURED, finding, problem_finding};
use super::{sshd, sudo, sync};
use crate::finding::{Finding, Severity};
use crate::root::Root;
use crate::system_error::shell_word;
use crate::users::command;
use crate::users::entries::{self, UserEntry};
use crate::users::snapshot::digits;
use ivalt_core::log_line::quote_log_value;
use ivalt_core::problem::{Problem, ProblemKind};
use ivalt_core::settings::{MobileFormat, Settings, Tolerance};
use ivalt_core::trusted_file::{LARGE, ReadPermission, Trust};
use ivalt_core::user_name::folded;
use ivalt_core::users::{Entry, Files, look_up_in};

/// The files of users, and the settings that name them.
struct UsersCheck<'a> {
    context: &'a CheckContext<'a>,
    config: &'a Config,
    settings: &'a Settings,
    files: Files<'a>,
    /// Those of both; of a name in both, what is written by hand.
    users: Vec<UserEntry<'a>>,
}

/// Checks the users files of every settings file.
pub fn findings(context: &CheckContext) -> Vec<Finding> {
    let mut seen = BTreeSet::new();
    let mut findings = Vec::new();
    for (config, settings) in context.usable() {
        let files = settings.users();
        if seen.insert((files.own, files.synced)) {
            findings.extend(check(context, config, settings));
        }
    }
    // Two settings may share one of their files.
    let mut known = HashSet::new();
    findings.retain(|found: &Finding| {
        seen.len() == 1 || known.insert((found.id, found.file.clone(), found.what.clone()))
    });
    findings
}

fn check(context: &CheckContext, config: &Config, settings: &Settings) -> Vec<Finding> {
    let root = context.root;
    let files = settings.users();
    let read = |file| read(root, config.trust(), file);
    let bytes = (read(files.own), files.synced.map(read));
    let users = |file, bytes| users_of(file, bytes, settings.token.mobile_format);
    let own = users(files.own, &bytes.0);
    let synced = files.synced.zip(bytes.1.as_ref());
    let synced = synced.map(|(file, bytes)| users(file, bytes)).transpose();
    let mut unusable: Vec<_> = own
        .as_ref()
        .err()
        .map(unusable_by_hand)
        .into_iter()
        .collect();
    unusable.extend(
        synced
            .as_ref()
            .err()
            .map(|why| unusable_synced(config, files, why)),
    );
    let (Ok(own), Ok(synced)) = (own, synced) else {
        return unusable;
    };
    let check = UsersCheck {
        context,
        config,
        settings,
        files,
        users: entries::merged(own, synced.unwrap_or_default()),
    };
    let readable = files.iter().flat_map(|file| readable_by_others(root, file));
    [
        readable.collect(),
        check.bad_entries(),
        check.unknown_accounts(),
        check.unknown_to_this_machine(),
        check.shared_mobiles(),
        check.spellings(),
        derived(root, || check.nobody_enrolled()),
        derived(root, || check.privileged()),
        derived(root, || check.leavers()),
    ]
    .concat()
}

/// A file of users, as the module would read it.
pub fn read(root: &Root, trust: Trust, file: &Path) -> Result<Vec<u8>, Problem> {
    root.listing_people(|| root.read_trusted(trust, file, ReadPermission::Anybody, LARGE))
}

/// All users of a file that has been read.
pub fn users_of<'a>(
    file: &'a Path,
    bytes: &'a Result<Vec<u8>, Problem>,
    format: MobileFormat,
) -> Result<Vec<UserEntry<'a>>, Problem> {
    let bytes = bytes.as_ref().map_err(Problem::clone)?;
    entries::read_all(file, entries::text(file, bytes)?, format)
}

/// What a login of this name would find.
///
/// # Errors
/// A file that it needs cannot be used, which is a finding by itself.
pub fn look_up(root: &Root, settings: &Settings, name: &str) -> Result<Entry, Problem> {
    let mut entry = Entry::Absent;
    for file in settings.users().iter() {
        let bytes = read(root, crate::trust(), file)?;
        entry = look_up_in(file, &bytes, name.as_bytes(), settings.token.mobile_format)?;
        if entry != Entry::Absent {
            break;
        }
    }
    Ok(entry)
}

fn id_of(problem: &Problem) -> &'static str {
    match problem.kind {
        ProblemKind::Missing => "users-missing",
        ProblemKind::PermissionDenied | ProblemKind::Unreadable | ProblemKind::Untrusted => {
            "users-untrusted"
        }
        ProblemKind::Invalid
        | ProblemKind::DefinedTwice
        | ProblemKind::KeyFile
        | ProblemKind::CaFile => "users-invalid",
    }
}

/// Nobody can be looked up.
fn unusable_by_hand(problem: &Problem) -> Finding {
    let file = problem.path.clone().unwrap_or_default();
    let fix = format!("correct it in {}", file.display());
    let severity = Severity::LocksOut;
    problem_finding(
        severity,
        id_of(problem),
        &file,
        problem,
        MISCONFIGURED,
        &fix,
    )
}

/// Those whom the other file names are not touched by it.
fn unusable_synced(config: &Config, files: Files, problem: &Problem) -> Finding {
    let synced = files.synced.unwrap_or(Path::new(""));
    let consequence = format!(
        "everybody whom {} does not name is denied (misconfigured)",
        files.own.display()
    );
    let sync = command(&config.path, "users sync");
    let (id, shown) = (id_of(problem), shell_word(&synced.to_string_lossy()));
    let fix = match problem.kind {
        ProblemKind::Missing => sync,
        // What is written there by hand is lost; the mobiles are remembered.
        ProblemKind::Invalid | ProblemKind::DefinedTwice => {
            format!("mv {shown} {shown}.damaged && {sync}")
        }
        _ => problem
            .fix
            .as_ref()
            .map_or(sync, |fix| fix.as_str().to_owned()),
    };
    let found = problem_finding(Severity::LocksOut, id, synced, problem, &consequence, &fix);
    Finding { fix, ..found }
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
            let file = problem.path.as_deref().unwrap_or(self.files.own);
            let (consequence, fix) = ("this user is denied (bad-entry)", "correct the entry");
            let found = problem_finding(Severity::LocksOut, id, file, problem, consequence, fix);
            match Some(file) == self.files.synced {
                true => Finding {
                    fix: self.sync(),
                    ..found
                },
                false => found,
            }
        });
        found.collect()
    }

    fn is_synced(&self, user: &UserEntry) -> bool {
        Some(user.file) == self.files.synced
    }

    /// Not those with bad entries: an unquoted name is not a name.
    fn usable(&self) -> impl Iterator<Item = (&UserEntry<'_>, &str)> {
        self.users.iter().filter_map(|user| match &user.entry {
            Entry::Enrolled(mobile) | Entry::Disabled(mobile) => Some((user, mobile.as_str())),
            Entry::Absent | Entry::Bad(_) => None,
        })
    }

    /// Of those who are written by hand.
    fn unknown_accounts(&self) -> Vec<Finding> {
        let root = self.context.root;
        let local = accounts::local(root);
        if local.is_empty() {
            return Vec::new();
        }
        let known: HashSet<_> = local.iter().map(|account| account.name.as_str()).collect();
        let by_hand = self.usable().filter(|(user, _)| !self.is_synced(user));
        let unknown = by_hand.map(|(user, _)| user.name.as_ref());
        let unknown =
            unknown.filter(|name| !known.contains(name) && !accounts::exists(root, &[], name));
        let found = unknown.map(|name| {
            let shown = quote_log_value(name.as_bytes());
            let what = format!(
                "{shown} is enrolled, but there is no such account: the entry has no effect until there is an account \
                 of that name"
            );
            let fix = self.removal(name);
            let file = self.files.own;
            finding(Severity::Warning, "unknown-account", file, what, fix).concerning([name])
        });
        found.collect()
    }

    /// A directory has people whom this machine does not know. That it knows none of them is a wrong attribute or column.
    fn unknown_to_this_machine(&self) -> Vec<Finding> {
        /// A directory service may take long for each.
        const MOST: usize = 50;
        let root = self.context.root;
        let local = accounts::local(root);
        let below_root = !root.is_this_machine();
        let Some(file) = self.files.synced else {
            return Vec::new();
        };
        if local.is_empty() || below_root && !accounts::only_files_have(root, "passwd") {
            return Vec::new();
        }
        let known: HashSet<_> = local.iter().map(|account| account.name.as_str()).collect();
        let is_synced = |user: &&UserEntry| self.is_synced(user) || user.covers.is_some();
        let synced = self.users.iter().filter(is_synced);
        if synced
            .clone()
            .any(|user| known.contains(user.name.as_ref()))
        {
            return Vec::new();
        }
        // Accounts of those who have left may be gone.
        let enabled = synced.filter(|user| matches!(user.entry, Entry::Enrolled(_)));
        let names: Vec<_> = enabled.take(MOST).map(|user| user.name.as_ref()).collect();
        let exists = |name: &&str| accounts::exists(root, &[], name);
        if names.is_empty() || names.iter().any(exists) {
            return Vec::new();
        }
        let what = format!(
            "none of the names in it is that of an account, neither {} nor another that was looked up: nobody can use these \
             entries, and who has an account is not enrolled by them",
            quote_log_value(names[0].as_bytes())
        );
        let fix = "compare: getent passwd NAME; in directory.toml, under [map]: name; of a CSV: --name-column";
        let found = finding(Severity::Warning, "unknown-account", file, what, fix);
        vec![found.concerning::<&str>([])]
    }

    /// How a user loses an entry.
    fn removal(&self, name: &str) -> String {
        let shown = quote_log_value(name.as_bytes());
        let user = self.users.iter().find(|user| user.name == name);
        match user {
            Some(user) if self.is_synced(user) => {
                format!(
                    "take {shown} out of the source of users sync; to deny at once: ivaltctl users disable {shown}"
                )
            }
            Some(user) if user.covers.is_some() => format!("ivaltctl users disable {shown}"),
            _ => format!("ivaltctl users remove {shown}"),
        }
    }

    fn shared_mobiles(&self) -> Vec<Finding> {
        let push = self.settings.push.enabled;
        let mut by_mobile: BTreeMap<String, Vec<(&UserEntry, &str)>> = BTreeMap::new();
        for (user, mobile) in self.usable() {
            let digits = digits(mobile);
            let known = if push { lock_name(&digits) } else { &digits };
            by_mobile
                .entry(known.to_owned())
                .or_default()
                .push((user, mobile));
        }
        let shared = by_mobile.values().filter(|users| users.len() > 1);
        let found = shared.filter_map(|users| {
            let names = users.iter().map(|(user, _)| user.name.as_ref());
            let shown: Vec<_> = names.clone().map(|name: &str| quote_log_value(name.as_bytes())).collect();
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
            let (last, last_shown) = (users.last()?.0, shown.last()?);
            let fix = match self.is_synced(last) || last.covers.is_some() {
                true => format!(
                    "if that is not intended: correct {last_shown} in the source of users sync; to deny at once: ivaltctl users \
                     disable {last_shown}"
                ),
                false => format!(
                    "if that is not intended: ivaltctl users remove {last_shown} && ivaltctl users add {last_shown} MOBILE"
                ),
            };
            let found = finding(Severity::Warning, "shared-mobile", last.file, what, fix);
            Some(found.concerning(names))
        });
        found.collect()
    }

    /// A name service may take them for one account, of which each entry is then a way in.
    fn spellings(&self) -> Vec<Finding> {
        let mut by_name: BTreeMap<Vec<u8>, Vec<&UserEntry>> = BTreeMap::new();
        for (user, _) in self.usable() {
            by_name
                .entry(folded(user.name.as_bytes()))
                .or_default()
                .push(user);
        }
        let several = by_name.values().filter(|users| users.len() > 1);
        let found = several.filter_map(|users| {
            let names = users.iter().map(|user| user.name.as_ref());
            let shown: Vec<_> = names.clone().map(|name: &str| quote_log_value(name.as_bytes())).collect();
            let what = format!(
                "{} differ in case, realm or domain alone: where they are one account, each entry is a way in by itself",
                shown.join(" and ")
            );
            let last = users.last()?;
            let fix = format!("if they are one account: {}", self.removal(&last.name));
            let found = finding(Severity::Warning, "name-spellings", last.file, what, fix);
            Some(found.concerning(names))
        });
        found.collect()
    }

    fn is_enrolled(&self, name: &str) -> bool {
        self.users
            .iter()
            .any(|user| user.name == name && matches!(user.entry, Entry::Enrolled(_)))
    }

    fn disabled(&self, name: &str) -> Option<&UserEntry<'_>> {
        let is_meant =
            |user: &&UserEntry| user.name == name && matches!(user.entry, Entry::Disabled(_));
        self.users.iter().find(is_meant)
    }

    fn asked(&self) -> bool {
        let services = self.context.services.iter();
        services.for_each(|service| self.context.note(service));
        let mut configs = self
            .context
            .usable()
            .filter(|(_, settings)| is_same(settings.users(), self.files));
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
        let fix = match self.files.synced {
            Some(_) => self.sync(),
            None => "ivaltctl users add NAME MOBILE".to_owned(),
        };
        let found = finding(severity, "nobody-enrolled", self.files.own, what, fix);
        vec![found.concerning::<&str>([])]
    }

    fn sync(&self) -> String {
        command(&self.config.path, "users sync")
    }

    /// Whom the syncs wrote and neither file has: with `unenrolled = "ignore"` they are let in. The next sync keeps them,
    /// disabled.
    fn leavers(&self) -> Vec<Finding> {
        let Some(synced) = self.files.synced.filter(|_| !self.denies_unenrolled()) else {
            return Vec::new();
        };
        let known: HashSet<_> = self.users.iter().map(|user| user.name.as_ref()).collect();
        let gone = sync::written_before(self.context.root, synced).into_iter();
        let gone: Vec<_> = gone.filter(|name| !known.contains(name.as_str())).collect();
        let Some(first) = gone.first() else {
            return Vec::new();
        };
        let more = match gone.len() - 1 {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let what = format!(
            "{}{more}: written by users sync before and now in neither file; with policy.unenrolled = \"ignore\" they need no \
             token",
            quote_log_value(first.as_bytes())
        );
        let found = finding(
            Severity::LetsIn,
            "leavers-let-in",
            synced,
            what,
            self.sync(),
        );
        vec![found.concerning(gone)]
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
            let found = finding(Severity::LocksOut, id, self.files.own, what, fix);
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
        let (state, fix) = match self.disabled(&account.name) {
            Some(user) if self.is_synced(user) => (
                "disabled",
                format!(
                    "if that is not intended: enable {name} in the source of users sync, then: ivaltctl users sync"
                ),
            ),
            Some(_) => (
                "disabled",
                format!("if that is not intended: ivaltctl users enable {name}"),
            ),
            None => ("not enrolled", format!("ivaltctl users add {name} MOBILE")),
        };
        let what = if state == "disabled" || self.denies_unenrolled() {
            format!("{name} is privileged and {state}, and cannot log in through {services}")
        } else {
            format!(
                "{name} is privileged and {state}, and logs in through {services} without a token"
            )
        };
        let id = "privileged-not-enrolled";
        let found = finding(Severity::Warning, id, self.files.own, what, fix);
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

fn is_same(one: Files, other: Files) -> bool {
    (one.own, one.synced) == (other.own, other.synced)
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
