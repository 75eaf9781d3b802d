//! Approving a login on the phone: whether anybody can have a request sent, and whether an approval can let in.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::accepted::derived;
use super::context::{CheckContext, Config, finding, line_of};
use super::recovery::access::{Use, forbidden};
use super::recovery::apparmor::{LOCK, READ, WRITE};
use super::services::ModuleLine;
use super::{hosts, sshd, stacks};
use crate::finding::{Finding, Severity};
use crate::pam_stack::Location;
use crate::root::Root;
use crate::system_error::shell_word;
use crate::trust;
use ivalt_core::log_line::quote_log_value;
use ivalt_core::push::DIRECTORY;
use ivalt_core::settings::Settings;
use rustix::fs::FileType;

/// What a login makes where it is missing, with [`DIRECTORY`] in it.
const ABOVE: &str = "/run/ivalt";
/// Their caller can stop the process between request and approval, and go on with it later.
const BY_LOCAL_USERS: [&str; 5] = ["sudo", "sudo-i", "su", "su-l", "doas"];

/// Checks all settings in which push is on.
pub fn findings(context: &CheckContext) -> Vec<Finding> {
    let on: Vec<_> = context
        .usable()
        .filter(|(_, settings)| settings.push.enabled)
        .collect();
    let each = on.iter().map(|(config, settings)| {
        let check = PushCheck {
            context,
            config,
            settings,
        };
        check.findings()
    });
    let folder = match on.is_empty() {
        true => Vec::new(),
        false => derived(context.root, || unsafe_folder(context.root)),
    };
    each.flatten().chain(folder).collect()
}

/// Settings in which push is on.
struct PushCheck<'a> {
    context: &'a CheckContext<'a>,
    config: &'a Config,
    settings: &'a Settings,
}

impl PushCheck<'_> {
    fn findings(&self) -> Vec<Finding> {
        let root = self.context.root;
        let services = self.settings.push.services.iter();
        let of_services = services.map(|service| derived(root, || self.of_service(service)));
        let mut found: Vec<_> = of_services.flatten().collect();
        found.extend(derived(root, || self.without_codes()));
        found
    }

    fn of_service(&self, service: &str) -> Vec<Finding> {
        self.context.note(service);
        if !self.is_read_by(|line| line.service == service) {
            return self.not_asked(service).into_iter().collect();
        }
        let found = [
            self.anybody(service),
            self.without_prompt(service),
            self.stoppable(service),
        ];
        let cannot_lock = forbidden(self.context, service, &locking());
        found.into_iter().flatten().chain(cannot_lock).collect()
    }

    /// Whether such a line of pam.d names these settings.
    fn is_read_by(&self, line: impl Fn(&ModuleLine) -> bool) -> bool {
        let mut lines = self.context.lines.iter();
        lines.any(|one| one.config() == self.config.path && line(one))
    }

    /// About the services that are listed.
    fn warning(&self, id: &'static str, what: String, fix: String) -> Finding {
        let file = &self.config.path;
        Finding {
            line: self.line_of("services"),
            ..finding(Severity::Warning, id, file, what, fix)
        }
    }

    fn line_of(&self, key: &str) -> Option<usize> {
        let line = |key| line_of(self.context.root, &self.config.path, key);
        line(key).or_else(|| line("enabled"))
    }

    /// How a service is taken out of the list.
    fn without(&self, service: &str) -> String {
        let services = self.settings.push.services.iter();
        let others = services.filter(|other| *other != service);
        let others: Vec<_> = others.map(|other| format!("{other:?}")).collect();
        let file = self.config.path.display();
        match others.is_empty() {
            true => format!("write under [push] in {file}: enabled = false"),
            false => format!(
                "write under [push] in {file}: services = [{}]",
                others.join(", ")
            ),
        }
    }

    /// Before anybody logs in by any service, nothing is wrong with that.
    fn not_asked(&self, service: &str) -> Option<Finding> {
        if !self.is_read_by(|_| true) {
            return None;
        }
        let what = format!(
            "push.services has {}, which does not ask iVALT by these settings: Enter means push in none of its logins",
            quote_log_value(service.as_bytes())
        );
        let fix = format!(
            "if it is misspelt, correct it; else: ivaltctl enable {}",
            shell_word(service)
        );
        Some(self.warning("push-not-asked", what, fix))
    }

    /// By Enter, whoever reaches the prompt has a request sent to the phone of whomever they name.
    fn anybody(&self, service: &str) -> Option<Finding> {
        let root = self.context.root;
        let Location { file, line } = stacks::asks_strangers(root, service)?;
        if service == "sshd" && !sshd::asks_strangers(root) {
            return None;
        }
        let what = format!(
            "service {service}: whoever knows no password gets to this prompt, and by Enter sends a request to the phone of any \
             enrolled user: that keeps the user from push, and one tap out of habit may let a stranger in"
        );
        let fix = format!(
            "{}\nuntil then: {}",
            stop_strangers(service),
            self.without(service)
        );
        Some(Finding {
            line: Some(line),
            ..finding(Severity::LetsIn, "push-by-anybody", file, what, fix)
        })
    }

    /// There, an empty password field is an empty answer to both prompts, and nobody presses Enter.
    fn without_prompt(&self, service: &str) -> Option<Finding> {
        let program = hosts::program(service)?;
        let what = format!(
            "push.services has {service}: {program} shows no prompt and answers by itself, so that nobody can press Enter once \
             the request is approved"
        );
        let found = self.warning("push-no-prompt", what, self.without(service));
        if self.settings.token.echo {
            return Some(found);
        }
        let what = format!(
            "{}; and an empty password field is taken for Enter, at both prompts",
            found.what
        );
        Some(Finding {
            severity: Severity::LetsIn,
            what,
            ..found
        })
    }

    fn stoppable(&self, service: &str) -> Option<Finding> {
        let is_local = BY_LOCAL_USERS.contains(&service);
        let what = format!(
            "push.services has {service}: whoever calls it can stop its process while it waits, and let it go on when its owner \
             approves something else; an orphaned sudo under su then runs the command"
        );
        is_local.then(|| self.warning("push-by-sudo", what, self.without(service)))
    }

    /// Who knows a password can ring, and ring again.
    fn without_codes(&self) -> Vec<Finding> {
        if self.settings.recovery.codes {
            return Vec::new();
        }
        let file = &self.config.path;
        let what = "push is on, and recovery.codes is false: whoever knows a user's password can keep that user from push by \
                    requests that nobody answers, and then only a token gets in";
        let fix = format!(
            "write under [recovery] in {}: codes = true\nthen, for those who must always get in: ivaltctl recovery make NAME",
            file.display()
        );
        let id = "push-without-recovery";
        vec![Finding {
            line: self.line_of("enabled"),
            ..finding(Severity::Warning, id, file, what, fix)
        }]
    }
}

/// What a login does with the folder.
fn locking() -> Use<'static> {
    Use {
        id: "push-not-writable",
        folder: Path::new(DIRECTORY),
        file: Path::new(DIRECTORY).join("123456789"),
        rights: READ | WRITE | LOCK,
        act: format!("locking a phone in {DIRECTORY}"),
        consequence: "every login by push is denied (misconfigured)",
        profile_lines: format!("{ABOVE}/{{,push/}} rw, {DIRECTORY}/* rwk,"),
        drop_in: "ivalt-push.conf",
        writable: Path::new(ABOVE),
        elsewhere: "",
    }
}

/// What makes strangers end before the prompt.
fn stop_strangers(service: &str) -> String {
    const PASSWORD: &str = "let a wrong password end the stack above this line, as in pam_ivalt(8), EXAMPLES (requisite, where the \
                            line that asks for it says required)";
    const KEY: &str = "in sshd_config: AuthenticationMethods publickey,keyboard-interactive, and pam_ivalt, required, as the \
                       only line of auth; users without a key cannot log in by ssh then";
    match service {
        "sshd" => format!("{KEY}\nor {PASSWORD}"),
        _ => PASSWORD.to_owned(),
    }
}

/// Where the module would find no lock that it trusts.
fn unsafe_folder(root: &Root) -> Vec<Finding> {
    let folders = [Path::new(ABOVE), Path::new(DIRECTORY)];
    let mut faults = folders.into_iter().filter_map(|folder| {
        let found = root.link_metadata(folder).ok()?;
        let ours = [0, trust().effective_uid].contains(&found.uid());
        let (what, command) = match () {
            () if FileType::from_raw_mode(found.mode()) != FileType::Directory => {
                ("is no folder", "rm")
            }
            () if !ours => ("is not root's", "rm -r"),
            () if found.mode() & 0o022 != 0 => ("is writable by others than root", "rm -r"),
            () => return None,
        };
        Some((folder, what, command))
    });
    let Some((folder, what, command)) = faults.next() else {
        return Vec::new();
    };
    let what = format!(
        "{what}: logins by push are denied (misconfigured), and holds of phones may be somebody else's"
    );
    // SELinux may keep a login from making folders in /run, as Debian's policy does.
    let fix = format!(
        "{command} {}\nsystemd-tmpfiles --create --prefix={ABOVE}    without systemd, the next login by push makes it",
        folder.display()
    );
    let id = "push-folder-unsafe";
    vec![finding(Severity::LocksOut, id, folder, what, fix).not_acceptable()]
}
