//! `users.toml`, held against the accounts of the system.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::accounts::{self, Account};
use super::patient::{Patient, apart, finding};
use super::sudo;
use crate::finding::{Finding, Severity};
use crate::root::Root;
use crate::surroundings;
use crate::users::everybody::{Everybody, Person};
use ivalt_core::log_line::harmless;
use ivalt_core::settings::{Settings, Tolerance};
use ivalt_core::trusted_file::{LARGE, Readers};
use ivalt_core::users::Entry;

/// What one users.toml says, and who may be asked by it.
struct Register<'a> {
    patient: &'a Patient<'a>,
    settings: &'a Settings,
    file: &'a Path,
    everybody: Everybody<'a>,
}

/// Examines the users file of every settings file.
pub fn findings(patient: &Patient) -> Vec<Finding> {
    let mut seen = BTreeSet::new();
    let mut findings = Vec::new();
    for (_, settings) in patient.usable() {
        let file = settings.users_file.as_path();
        if seen.insert(file) {
            findings.extend(examine(patient, settings, file));
        }
    }
    findings
}

fn examine(patient: &Patient, settings: &Settings, file: &Path) -> Vec<Finding> {
    let text = match read(patient.root, file) {
        Ok(text) => text,
        Err(finding) => return vec![*finding],
    };
    let everybody = match Everybody::read(file, &text, settings.token.mobile_format) {
        Ok(everybody) => everybody,
        Err(unusable) => return vec![untrusted("users-invalid", file, &unusable.to_string())],
    };
    let register = Register {
        patient,
        settings,
        file,
        everybody,
    };
    [
        readable_by_others(patient.root, file),
        register.bad_entries(),
        register.unknown_accounts(),
        register.shared_mobiles(),
        register.nobody(),
        register.privileged(),
    ]
    .concat()
}

fn read(root: &Root, file: &Path) -> Result<String, Box<Finding>> {
    let real = root.real(file);
    let read = surroundings().trust.read(&real, Readers::Anybody, LARGE);
    let bytes = read.map_err(|refused| {
        let sentence = root.strip_root_prefix(&refused.to_string());
        let missing = fs::symlink_metadata(&real).is_err();
        let id = if missing {
            "users-missing"
        } else {
            "users-untrusted"
        };
        Box::new(untrusted(id, file, &sentence))
    })?;
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        let line = error.as_bytes()[..at]
            .iter()
            .filter(|byte| **byte == b'\n')
            .count()
            + 1;
        let sentence = format!(
            "{}:{line}: is not UTF-8; write the file again as UTF-8 text",
            file.display()
        );
        Box::new(untrusted("users-invalid", file, &sentence))
    })
}

/// Nobody can be looked up.
fn untrusted(id: &'static str, file: &Path, sentence: &str) -> Finding {
    let (line, what, mend) = apart(sentence, file);
    let what = format!("{what}: everybody who is asked for iVALT is denied (misconfigured)");
    let mend = mend.unwrap_or_else(|| format!("correct it in {}", file.display()));
    Finding {
        line,
        ..finding(Severity::LocksOut, id, file, what, mend)
    }
}

/// The module takes 0644; mobile numbers are personal data all the same.
fn readable_by_others(root: &Root, file: &Path) -> Vec<Finding> {
    let mode = fs::metadata(root.real(file)).map_or(0, |found| found.mode() & 0o7777);
    if mode & 0o044 == 0 {
        return Vec::new();
    }
    let what = format!(
        "mode {mode:04o}: every account of the system can read the mobile numbers; logins work"
    );
    let mend = format!("chmod 0600 {}", file.display());
    vec![finding(
        Severity::Warning,
        "users-readable",
        file,
        what,
        mend,
    )]
}

impl Register<'_> {
    fn people(&self) -> impl Iterator<Item = &Person<'_>> {
        self.everybody.people().iter()
    }

    fn bad_entries(&self) -> Vec<Finding> {
        let bad = self.people().filter_map(|person| match &person.entry {
            Entry::Bad(why) => Some(why),
            _ => None,
        });
        let found = bad.map(|why| {
            let (line, what, mend) = apart(why, self.file);
            let id = if what.contains(": stands twice, in lines ") {
                "name-twice"
            } else {
                "bad-entry"
            };
            let what = format!("{what}: this user is denied (bad-entry)");
            let mend = mend.unwrap_or_else(|| "correct the entry".to_owned());
            Finding {
                line,
                ..finding(Severity::LocksOut, id, self.file, what, mend)
            }
        });
        found.collect()
    }

    /// Not those with bad entries: an unquoted name is none.
    fn usable(&self) -> impl Iterator<Item = (&str, &str)> {
        self.people().filter_map(|person| match &person.entry {
            Entry::Enrolled(mobile) | Entry::Disabled(mobile) => {
                Some((person.name.as_ref(), mobile.as_str()))
            }
            Entry::Absent | Entry::Bad(_) => None,
        })
    }

    fn unknown_accounts(&self) -> Vec<Finding> {
        let root = self.patient.root;
        let local = accounts::local(root);
        if local.is_empty() {
            return Vec::new();
        }
        let known: HashSet<_> = local.iter().map(|account| account.name.as_str()).collect();
        let unknown = self.usable().map(|(name, _)| name);
        let unknown =
            unknown.filter(|name| !known.contains(name) && !accounts::exists(root, &[], name));
        let found = unknown.map(|name| {
            let shown = harmless(name.as_bytes());
            let what = format!(
                "{shown} is enrolled, and there is no such account: nobody is asked by this entry, until somebody gets \
                 an account of that name"
            );
            let mend = format!("ivaltctl users remove {shown}");
            finding(Severity::Warning, "unknown-account", self.file, what, mend)
        });
        found.collect()
    }

    fn shared_mobiles(&self) -> Vec<Finding> {
        let mut by_mobile: BTreeMap<String, Vec<&str>> = BTreeMap::new();
        for (name, mobile) in self.usable() {
            // National numbers may be written with blanks or without.
            let digits = mobile.chars().filter(char::is_ascii_digit).collect();
            by_mobile.entry(digits).or_default().push(name);
        }
        let shared = by_mobile.values().filter(|names| names.len() > 1);
        let found = shared.map(|names| {
            let shown: Vec<_> = names.iter().map(|name| harmless(name.as_bytes())).collect();
            let what = format!(
                "{} have one mobile: the person with that phone passes iVALT for all of these accounts",
                shown.join(" and ")
            );
            let mend = format!(
                "if that is not meant: ivaltctl users add {} MOBILE",
                shown.last().map_or("NAME", String::as_str)
            );
            finding(Severity::Warning, "shared-mobile", self.file, what, mend)
        });
        found.collect()
    }

    fn is_enrolled(&self, name: &str) -> bool {
        let enrolled = |person: &Person| matches!(person.entry, Entry::Enrolled(_));
        self.people()
            .any(|person| person.name == name && enrolled(person))
    }

    fn asked(&self) -> bool {
        let mut configs = self
            .patient
            .usable()
            .filter(|(_, settings)| settings.users_file == self.file);
        configs.any(|(path, _)| self.patient.lines.iter().any(|line| line.config() == path))
    }

    fn denies_unenrolled(&self) -> bool {
        self.settings.policy.unenrolled == Tolerance::Deny
    }

    fn nobody(&self) -> Vec<Finding> {
        let somebody = self
            .people()
            .any(|person| matches!(person.entry, Entry::Enrolled(_)));
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
                "nobody is enrolled: nobody is asked for iVALT, all get past without a token",
            ),
            (false, _) => (
                Severity::Warning,
                "nobody is enrolled: a service that asks iVALT would deny everybody",
            ),
        };
        let mend = "ivaltctl users add NAME MOBILE";
        vec![finding(severity, "nobody-enrolled", self.file, what, mend)]
    }

    /// Not enrolled may be meant, so it is a warning for each; when of those who administer the machine by sudo none can
    /// pass, nobody can take it back either.
    fn privileged(&self) -> Vec<Finding> {
        if !self.asked() {
            return Vec::new();
        }
        let (administrators, missing): (Vec<_>, Vec<_>) = {
            let all = privileged(self.patient.root);
            let missing = all
                .iter()
                .filter(|account| !self.is_enrolled(&account.name))
                .cloned();
            let missing = missing.collect();
            (all, missing)
        };
        let mut findings: Vec<_> = missing
            .iter()
            .map(|account| self.not_enrolled(account))
            .collect();
        let by_sudo = administrators.iter().any(|account| account.uid != 0);
        if by_sudo && missing.len() == administrators.len() && self.denies_unenrolled() {
            let what = "none of the accounts that administer this machine is enrolled: once they are logged out, none of \
                        them gets in through the services that ask iVALT";
            let mend = "ivaltctl users add NAME MOBILE, for one of them";
            findings.push(finding(
                Severity::LocksOut,
                "no-administrator-enrolled",
                self.file,
                what,
                mend,
            ));
        }
        findings
    }

    fn not_enrolled(&self, account: &Account) -> Finding {
        let name = harmless(account.name.as_bytes());
        let services = self.patient.services.join(", ");
        let what = if self.denies_unenrolled() {
            format!("{name} is privileged and not enrolled: it will not get in through {services}")
        } else {
            format!(
                "{name} is privileged and not enrolled: it gets past {services} without a token"
            )
        };
        let mend = format!("ivaltctl users add {name} MOBILE");
        finding(
            Severity::Warning,
            "privileged-not-enrolled",
            self.file,
            what,
            mend,
        )
    }
}

/// The accounts that are root or may become it. Those into which nobody can log in are left out: without a shell, and
/// root where no password opens it.
fn privileged(root: &Root) -> Vec<Account> {
    let local = accounts::local(root);
    let granted = sudo::subjects(root);
    let of_groups = granted
        .groups
        .iter()
        .flat_map(|group| accounts::members(root, &local, group));
    let names: BTreeSet<_> = of_groups.chain(granted.users).collect();
    let privileged = local.into_iter().filter(|account| {
        let root_itself = account.uid == 0 && accounts::has_a_password(root, &account.name);
        account.has_a_shell()
            && (root_itself || (account.uid != 0 && names.contains(&account.name)))
    });
    privileged.collect()
}
