//! sudo: when it does not call PAM at all, and as which service it calls PAM.

mod sudoers;
mod tokens;

use std::cell::RefCell;
use std::collections::{BTreeMap, HashSet};
use std::rc::Rc;

use super::accounts::{self, Account};
use super::context::{CheckContext, finding};
use crate::finding::{Finding, Severity};
use crate::root::Root;
use crate::system_error::shell_word;
use sudoers::{Grant, Location, Person, Setting, Sudoers};

/// More prompts than that for one command are a warning.
const MAX_PROMPTS: u64 = 10;
/// Minutes for which iVALT may stay passed without a warning: a day.
const MAX_TIMEOUT: f64 = 24.0 * 60.0;

/// Checks sudo, if its service asks iVALT.
pub fn findings(context: &CheckContext) -> Vec<Finding> {
    if !context.covers("sudo") {
        return Vec::new();
    }
    let sudoers = Sudoers::read(context.root);
    let settings = in_effect(&sudoers.settings);
    let of_settings = settings.filter_map(|setting| check_setting(context, setting));
    let accounts = accounts::local(context.root);
    let people = |grant: &Grant| {
        let named = |person: &LocalAccount| sudoers.names(grant, person);
        filtered(context.root, &accounts, named)
    };
    let of_grants = sudoers.grants.iter().filter(|grant| grant.nopasswd);
    let of_grants = of_grants.map(|grant| without_password(grant, &people(grant)));
    of_settings.chain(of_grants).collect()
}

/// Which of these accounts may run anything by sudo. Where sudoers cannot be read, members of the groups that
/// distributions use.
pub fn administrators<'a>(root: &Root, accounts: &'a [Account]) -> Vec<&'a Account> {
    let sudoers = Sudoers::read(root);
    filtered(root, accounts, |person| match sudoers.is_empty() {
        true => ["sudo", "wheel", "admin"]
            .iter()
            .any(|group| person.in_group(group)),
        false => sudoers.grants_to(person),
    })
}

/// Whether sudo tells PAM the name of this host as that of the remote one.
pub fn names_a_host(root: &Root, service: &str) -> bool {
    let settings = Sudoers::read(root).settings;
    let names = |setting: &Setting| setting.name == "pam_rhost" && !setting.negated;
    service.starts_with("sudo") && settings.iter().any(names)
}

fn filtered<'a>(
    root: &Root,
    accounts: &'a [Account],
    matches: impl Fn(&LocalAccount) -> bool,
) -> Vec<&'a Account> {
    let groups = Groups {
        root,
        accounts,
        members: RefCell::default(),
    };
    let matches = |account: &&Account| {
        matches(&LocalAccount {
            account,
            groups: &groups,
        })
    };
    accounts.iter().filter(matches).collect()
}

/// Each group is looked up once: a directory service may be asked for it.
struct Groups<'a> {
    root: &'a Root,
    accounts: &'a [Account],
    members: RefCell<BTreeMap<String, Rc<HashSet<String>>>>,
}

impl Groups<'_> {
    fn members(&self, name: &str) -> Rc<HashSet<String>> {
        let look_up = || {
            let members = accounts::members(self.root, self.accounts, name);
            Rc::new(members.into_iter().collect())
        };
        let mut known = self.members.borrow_mut();
        Rc::clone(known.entry(name.to_owned()).or_insert_with(look_up))
    }
}

struct LocalAccount<'a> {
    account: &'a Account,
    groups: &'a Groups<'a>,
}

impl Person for LocalAccount<'_> {
    fn name(&self) -> &str {
        &self.account.name
    }

    fn uid(&self) -> u32 {
        self.account.uid
    }

    fn in_group(&self, name: &str) -> bool {
        self.groups.members(name).contains(&self.account.name)
    }

    /// Groups of one ID are one group.
    fn in_group_id(&self, gid: u32) -> bool {
        let name = || accounts::group_name(self.groups.root, gid);
        self.account.gid == gid || name().is_some_and(|name| self.in_group(&name))
    }
}

/// Of two for the same users, host or commands the last.
fn in_effect(settings: &[Setting]) -> impl Iterator<Item = &Setting> {
    let is_set_later = |at: usize, setting: &Setting| {
        settings[at + 1..]
            .iter()
            .any(|later| (&later.scope, &later.name) == (&setting.scope, &setting.name))
    };
    let settings = settings.iter().enumerate();
    settings.filter_map(move |(at, setting)| (!is_set_later(at, setting)).then_some(setting))
}

fn warning(location: &Location, id: &'static str, what: &str, fix: &str) -> Finding {
    let file = &location.file;
    Finding {
        line: Some(location.line),
        ..finding(
            Severity::Warning,
            id,
            file,
            what,
            format!(
                "{fix}; run: visudo -f {}",
                shell_word(&file.to_string_lossy())
            ),
        )
    }
}

fn check_setting(context: &CheckContext, setting: &Setting) -> Option<Finding> {
    let (at, value) = (&setting.location, setting.value.as_str());
    match (setting.name.as_str(), setting.negated) {
        ("authenticate", true) => Some(warning(
            at,
            "sudo-not-asked",
            "!authenticate: sudo runs these commands without calling PAM, so without iVALT",
            "remove !authenticate",
        )),
        ("exempt_group", false) if !value.is_empty() => Some(warning(
            at,
            "sudo-exempt-group",
            &format!(
                "exempt_group: for members of {value}, sudo runs commands without calling PAM, so without iVALT"
            ),
            "remove exempt_group",
        )
        .concerning(members(context.root, value))),
        ("noninteractive_auth", false) => Some(warning(
            at,
            "sudo-noninteractive",
            "noninteractive_auth: sudo -n runs the module, whose prompt nobody can answer: scripts fail with a denial and \
             its delay, in place of sudo's \"a password is required\"",
            "remove noninteractive_auth",
        )),
        ("timestamp_timeout", false) => timeout(at, value.parse().ok()?),
        ("passwd_tries", false) => many_tries(context, at, value.parse().ok()?),
        ("pam_service", false) => other_service(context, at, value, "sudo"),
        ("pam_login_service", false) => other_service(context, at, value, "sudo -i"),
        _ => None,
    }
}

/// Nothing else that sudo's files say depends on them.
fn members(root: &Root, group: &str) -> Vec<String> {
    let members = || accounts::members(root, &accounts::local(root), group);
    root.recorded(members).0
}

fn timeout(at: &Location, minutes: f64) -> Option<Finding> {
    let what = match minutes {
        minutes if minutes < 0.0 => {
            "timestamp_timeout is negative: a user who has passed iVALT once is not asked again until the next boot".to_owned()
        }
        minutes if minutes > MAX_TIMEOUT => format!(
            "timestamp_timeout: a user who has passed iVALT once is not asked again for {:.0} days",
            (minutes / MAX_TIMEOUT).ceil()
        ),
        _ => return None,
    };
    Some(warning(
        at,
        "sudo-timestamp",
        &what,
        "timestamp_timeout = 15",
    ))
}

/// sudo runs the whole stack again after a denial, passwd_tries times.
fn many_tries(context: &CheckContext, at: &Location, tries: u64) -> Option<Finding> {
    let attempts = context.settings_of("sudo")?.token.attempts.get();
    let prompts = tries.saturating_mul(attempts);
    let what = format!(
        "passwd_tries = {tries}, and each try may ask for {attempts} tokens: one command may ask {prompts} times"
    );
    let fix = "passwd_tries = 3, or token.attempts = 1 in the settings";
    (prompts > MAX_PROMPTS).then(|| warning(at, "sudo-many-tries", &what, fix))
}

fn other_service(
    context: &CheckContext,
    at: &Location,
    service: &str,
    command: &str,
) -> Option<Finding> {
    if context.covers(service) {
        return None;
    }
    let what = format!(
        "{command} calls PAM as \"{service}\", which does not ask iVALT: users run commands by it without iVALT"
    );
    let fix = format!("add the pam_ivalt line to /etc/pam.d/{service}, too");
    Some(Finding {
        severity: Severity::LetsIn,
        ..warning(at, "sudo-other-service", &what, &fix)
    })
}

/// It concerns whom the line names, also by a group or an alias: who is added later has not been accepted.
fn without_password(grant: &Grant, people: &[&Account]) -> Finding {
    let what = "NOPASSWD: sudo runs these commands without calling PAM, so without iVALT";
    let found = warning(&grant.location, "sudo-nopasswd", what, "remove NOPASSWD:");
    found.concerning(people.iter().map(|account| &account.name))
}
