//! Services whose program shows no prompt, as hosts-and-clients.md has them: each but Pure-FTPd was run with the real
//! program.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::accepted::derived;
use super::accounts;
use super::context::{CheckContext, finding};
use super::services::ModuleLine;
use crate::finding::{Finding, Severity};
use crate::pam_stack::{self, ModuleKind, ReturnCode, Rule, RuleTarget, RuleType, simulate};
use crate::root::Root;
use ivalt_core::arguments::DEFAULT_CONFIG;
use ivalt_core::settings::{DEFAULT_PROMPT, Settings};

/// A program that has one password field, with which it answers hidden prompts.
struct Host {
    services: &'static [&'static str],
    program: &'static str,
    /// What it does at a visible prompt, and how the module denies then.
    at_visible_prompt: &'static str,
}

/// Where the package has it.
const PAGE: &str = "/usr/share/doc/libpam-ivalt/hosts-and-clients.md";
const USER_NAME: &str =
    "answers a visible prompt with the user name: everybody is refused (malformed-token)";
const NO_ANSWER: &str = "does not answer a visible prompt: everybody is refused (unanswered)";
const CRASH: &str = "crashes at a visible prompt: everybody is refused";

const HOSTS: [Host; 7] = [
    Host {
        services: &["openvpn"],
        program: "OpenVPN's plugin auth-pam",
        at_visible_prompt: USER_NAME,
    },
    Host {
        services: &["postgresql"],
        program: "PostgreSQL",
        at_visible_prompt: NO_ANSWER,
    },
    Host {
        services: &["vsftpd", "ftp"],
        program: "vsftpd",
        at_visible_prompt: NO_ANSWER,
    },
    Host {
        services: &["xrdp-sesman"],
        program: "xrdp-sesman",
        at_visible_prompt: NO_ANSWER,
    },
    // Pure-FTPd by its source (log_pam.c).
    Host {
        services: &["proftpd", "pure-ftpd"],
        program: "the FTP server",
        at_visible_prompt: USER_NAME,
    },
    Host {
        services: &["dovecot"],
        program: "dovecot",
        at_visible_prompt: USER_NAME,
    },
    // The programs that ask it pass the names of their protocols.
    Host {
        services: &[
            "saslauthd",
            "imap",
            "pop",
            "pop3",
            "sieve",
            "smtp",
            "smtpd",
            "smtp.postfix",
            "smtp.sendmail",
            "lmtp",
            "nntp",
            "ldap",
            "xmpp",
        ],
        program: "saslauthd",
        at_visible_prompt: CRASH,
    },
];

/// The host that runs modules without root's rights, and the account it has for that.
const AS_ITS_USER: (&str, &str) = ("postgresql", "postgres");

/// Whether a program is known that asks for this service.
pub fn is_known(service: &str) -> bool {
    host(service).is_some()
}

/// The program that asks for this service, and shows no prompt.
pub fn program(service: &str) -> Option<&'static str> {
    host(service).map(|host| host.program)
}

fn host(service: &str) -> Option<&'static Host> {
    HOSTS.iter().find(|host| host.services.contains(&service))
}

/// Checks every service of such a program that asks iVALT.
pub fn findings(context: &CheckContext) -> Vec<Finding> {
    let mut seen = BTreeSet::new();
    let asks = |line: &&ModuleLine| {
        let mut words = line.arguments.iter();
        !words.any(|word| word == "use_first_pass" || word.starts_with("only_after"))
    };
    let lines = context.lines.iter().filter(asks);
    let lines = lines.filter(|line| seen.insert(line.service.as_str()));
    let each =
        lines.map(|line| derived(context.root, || check(context, line).into_iter().collect()));
    each.flatten().collect()
}

fn check(context: &CheckContext, line: &ModuleLine) -> Option<Finding> {
    let host = host(&line.service)?;
    // Settings that cannot be used at all are a finding of their own.
    let settings = context.settings_of_line(line)?;
    let service = pam_stack::read(context.root, &line.service).ok()?;
    let rules = service.own(RuleType::Auth);
    let (what, fix) = cannot_ask(context.root, host, line, settings, rules)?;
    let severity = if gets_in_all_the_same(rules) && host.at_visible_prompt != CRASH {
        Severity::Warning
    } else {
        Severity::LocksOut
    };
    let what = format!("service {}: {what}", line.service);
    Some(Finding {
        line: Some(line.line),
        ..finding(severity, "service-cannot-ask", &line.file, what, fix)
    })
}

/// Why, and what makes it work.
fn cannot_ask(
    root: &Root,
    host: &Host,
    line: &ModuleLine,
    settings: &Settings,
    rules: &[Rule],
) -> Option<(String, String)> {
    let program = host.program;
    let by_name = line.service == "openvpn";
    let prompt = settings.token.prompt.as_deref();
    let prompt = prompt.unwrap_or(DEFAULT_PROMPT);
    if by_name && prompts_are_answered_by_name(root, &line.service, prompt) {
        return None;
    }
    if settings.token.echo {
        let fix = if by_name { by_list(line) } else { hidden(line) };
        return Some((format!("{program} {}", host.at_visible_prompt), fix));
    }
    if let Some(file) = unreadable(root, line, settings) {
        let (file, user) = (file.display(), AS_ITS_USER.1);
        let what = format!(
            "{program} runs modules as {user}, who cannot read {file}: everybody is refused (misconfigured)"
        );
        return Some((what, hidden(line)));
    }
    let password = password_above(rules, line)?;
    let what = format!(
        "{program} has one password field, and line {} of {} takes it as the password: it is not sent as the token, and \
         everybody is refused (password-as-token)",
        password.location.line,
        password.location.file.display()
    );
    Some((what, hidden(line)))
}

fn password_above<'a>(rules: &'a [Rule], line: &ModuleLine) -> Option<&'a Rule> {
    let is_ours = |rule: &Rule| {
        (&rule.location.file, rule.location.line) == (&line.file, line.line)
            && rule.kind() == ModuleKind::Ivalt
    };
    let ours = rules.iter().position(is_ours)?;
    let mut above = rules[..ours].iter();
    above.find(|rule| rule.kind() == ModuleKind::Password)
}

/// Whether the other modules let the user in although pam_ivalt denies.
fn gets_in_all_the_same(rules: &[Rule]) -> bool {
    let returned = |at: usize| match &rules[at].target {
        RuleTarget::Module(module) if module.kind() != ModuleKind::Ivalt => {
            module.return_codes()[0]
        }
        _ => ReturnCode::AuthErr,
    };
    simulate(rules, returned).0 == ReturnCode::Success
}

/// The file that the account of the service cannot read, where its rights can be seen.
fn unreadable(root: &Root, line: &ModuleLine, settings: &Settings) -> Option<PathBuf> {
    let (service, user) = AS_ITS_USER;
    if line.service != service {
        return None;
    }
    let local = accounts::local(root);
    let account = local.iter().find(|account| account.name == user);
    let config = line.config();
    let owner = root.metadata(&config).ok()?.uid();
    // Settings that others can read are not trusted.
    if owner == 0 || account.is_some_and(|account| account.uid != owner) {
        return Some(config);
    }
    let account = account?;
    let may_read = |file: &Path| {
        let metadata = root.metadata(file).ok()?;
        let mode = metadata.mode();
        let by_group = || {
            let group = accounts::group_name(root, metadata.gid());
            let members = group.map(|group| accounts::members(root, &local, &group));
            members.is_some_and(|members| members.iter().any(|name| name == user))
        };
        Some(
            mode & 0o004 != 0
                || (mode & 0o040 != 0 && by_group())
                || (mode & 0o400 != 0 && metadata.uid() == account.uid),
        )
    };
    let mut files = settings.users().iter();
    let unreadable = files.find(|file| may_read(file) == Some(false));
    unreadable.map(Path::to_owned)
}

/// Settings of the service's own, in which the prompt is hidden; and no other module that takes the field.
fn hidden(line: &ModuleLine) -> String {
    let own = own_settings(line);
    let mut steps = vec![format!(
        "read {PAGE} first: the token goes into the password field, and is then the only factor unless the service \
         demands a certificate; to do without iVALT there, remove line {} of {}; else:",
        line.line,
        line.file.display()
    )];
    if line.service == AS_ITS_USER.0 {
        let user = AS_ITS_USER.1;
        let folder = own.parent().unwrap_or(Path::new("/")).display();
        steps.push(format!("install -d -o {user} -g {user} -m 0700 {folder}"));
        steps.push(format!(
            "install -o {user} -g {user} -m 0600 {DEFAULT_CONFIG} {folder}/"
        ));
        steps.push(format!(
            "chgrp {user} /etc/ivalt/users.toml && chmod 0640 /etc/ivalt/users.toml"
        ));
    } else if line.config() == Path::new(DEFAULT_CONFIG) {
        steps.push(format!(
            "install -m 0600 {DEFAULT_CONFIG} {}",
            own.display()
        ));
    }
    steps.push(format!(
        "in {}, below [token]: echo = false, and attempts = 1",
        own.display()
    ));
    steps.push(format!(
        "in place of line {} of {}, and of the lines that ask for a password: auth    required    pam_ivalt.so config={}",
        line.line,
        line.file.display(),
        own.display()
    ));
    steps.join("\n")
}

/// Those it has, unless sshd and sudo use them as well, whose prompts would be hidden too.
fn own_settings(line: &ModuleLine) -> PathBuf {
    match line.config() {
        config if config != Path::new(DEFAULT_CONFIG) => config,
        _ if line.service == AS_ITS_USER.0 => "/etc/ivalt/postgresql/ivalt.toml".into(),
        _ => format!("/etc/ivalt/{}.toml", line.service).into(),
    }
}

fn by_list(line: &ModuleLine) -> String {
    format!(
        "in the server's configuration: plugin /usr/lib/openvpn/openvpn-plugin-auth-pam.so \"{} login USERNAME password \
         PASSWORD ivalt OTP\"\nbelow it: auth-gen-token\nin every client's: static-challenge \"iVALT token: \" 1\nmore in \
         {PAGE}; to do without iVALT there, remove line {} of {}",
        line.service,
        line.line,
        line.file.display()
    )
}

/// Whether the plugin's list answers our prompt by the one-time password, in every server that uses this service.
fn prompts_are_answered_by_name(root: &Root, service: &str, prompt: &str) -> bool {
    let folders = ["/etc/openvpn", "/etc/openvpn/server"].map(Path::new);
    let files = folders.into_iter().flat_map(|folder| {
        let names = root.names(folder).into_iter();
        names.map(move |name| folder.join(name))
    });
    let files = files.filter(|file| file.extension().is_some_and(|end| end == "conf"));
    let texts = files.filter_map(|file| root.read(&file).ok());
    let lists: Vec<_> = texts
        .flat_map(|text| plugin_lists(&text, service))
        .collect();
    !lists.is_empty() && lists.iter().all(|list| answers(list, prompt))
}

/// What follows the service in each line of the plugin: names and values by turns.
fn plugin_lists(text: &str, service: &str) -> Vec<Vec<String>> {
    let lines = text.lines().filter_map(|line| {
        let line = line.split(['#', ';']).next()?.replace(['"', '\''], " ");
        let mut words = line.split_whitespace().map(str::to_owned);
        let is_plugin = words.next()? == "plugin" && words.next()?.contains("auth-pam");
        (is_plugin && words.next()? == service).then(|| words.collect())
    });
    lines.collect()
}

/// As the plugin compares: from the first letter or digit of the prompt on, whatever the case; the first match counts.
fn answers(list: &[String], prompt: &str) -> bool {
    let prompt = prompt.trim_start_matches(|letter: char| !letter.is_ascii_alphanumeric());
    let prompt = prompt.to_ascii_lowercase();
    let mut pairs = list.chunks_exact(2);
    let found = pairs.find(|pair| prompt.starts_with(&pair[0].to_ascii_lowercase()));
    found.is_some_and(|pair| pair[1].contains("OTP"))
}
