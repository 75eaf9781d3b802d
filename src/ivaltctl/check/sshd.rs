//! sshd: whether its configuration lets the module ask, and whether it lets anybody in without being asked.
//!
//! `sshd -T` prints the effective values. Where it cannot be run, the files are read as sshd reads them: the first
//! value of a keyword counts, `Include` is followed, and a `Match` block overrides what is outside.

mod configuration;
mod passing;
mod root_login;
pub mod version;

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::accepted::derived;
use super::accounts;
use super::context::{CheckContext, finding};
use super::enrolment::look_up;
use crate::finding::{Finding, Severity};
use crate::pam_stack::{self, Rule, RuleType};
use crate::root::Root;
use crate::{sshd_config, sshd_program};
pub use configuration::FROM_FILES;
use configuration::{Configuration, Location, Values, is_vendors};
use ivalt_core::log_line::quote_log_value;
use ivalt_core::settings::{Settings, Tolerance};
use ivalt_core::users::Entry;
pub use passing::{KEY_LINE, KEY_METHODS, KEY_OR_PASSWORD_METHODS};
pub use root_login::takes_answers_of;

const METHODS: &str = "authenticationmethods";
/// Read before the files of a package, and by hand alone.
const LOCAL: &str = "/etc/ssh/sshd_config.d/00-local.conf";

/// What a user needs to find the phone and to type a token.
const TYPING_TIME: Duration = Duration::from_secs(20);

/// What a login by push takes besides waiting for the approval: the first prompt, and the last polls.
const BESIDE_THE_WAIT: Duration = Duration::from_secs(30);

/// Checks sshd, if its service asks iVALT.
pub fn findings(context: &CheckContext) -> Vec<Finding> {
    if !context.covers("sshd") {
        return Vec::new();
    }
    let mut findings = Vec::from_iter(refused(context.root));
    for configuration in Configuration::all(context.root) {
        let found = of_configuration(context, &configuration);
        let place = |found: &Finding| (found.id, found.file.clone(), found.line);
        let known: Vec<_> = findings.iter().map(place).collect();
        let new = |found: &Finding| !known.contains(&place(found));
        findings.extend(found.into_iter().filter(new));
    }
    findings
}

/// While it runs, sshd keeps the configuration that it has.
fn refused(root: &Root) -> Option<Finding> {
    let words = configuration::refusal(root)?;
    let what = format!(
        "sshd does not take its configuration, so that it does not start again once it stops, and nobody gets in by ssh then; it \
         says: {words}"
    );
    let reload = sshd_program::reload_command(root);
    let fix =
        format!("correct what sshd names, until this prints nothing: sshd -t; then: {reload}");
    let file = sshd_config::main_path(root);
    Some(finding(
        Severity::LocksOut,
        "sshd-config-refused",
        file,
        what,
        fix,
    ))
}

/// The values of `AuthenticationMethods` that the files set: for all connections, and in `Match` blocks.
pub fn written_methods(root: &Root) -> (Option<String>, Vec<String>) {
    let Some(configuration) = Configuration::all(root).into_iter().next() else {
        return (None, Vec::new());
    };
    let written = |values: &Values| Some(values.get(METHODS)?.text.clone());
    let global = written(&configuration.global);
    let blocks = configuration.matches.iter();
    let blocks = blocks
        .filter_map(|(_, values)| written(values).filter(|text| Some(text) != global.as_ref()));
    (global.clone(), blocks.collect())
}

/// Whether sshd runs PAM for anybody who has passed no other method before.
pub fn asks_strangers(root: &Root) -> bool {
    let all = Configuration::all(root);
    let scopes = all.iter().flat_map(|configuration| {
        let blocks = configuration.matches.iter().map(|(_, values)| values);
        blocks.chain([&configuration.global])
    });
    let mut methods = scopes.map(|values| values.get(METHODS).map_or("any", |value| &value.text));
    let begins_with_pam =
        |list: &str| list == "any" || list.split(',').next().is_some_and(asks_pam);
    all.is_empty() || methods.any(|lists| lists.split_whitespace().any(begins_with_pam))
}

/// Whether sshd gives PAM the name of a client in place of its address.
pub fn gives_names(root: &Root) -> bool {
    let all = Configuration::all(root);
    let mut set = all.iter().filter_map(|one| one.global.get("usedns"));
    set.any(|value| value.text.eq_ignore_ascii_case("yes"))
}

fn of_configuration(context: &CheckContext, configuration: &Configuration) -> Vec<Finding> {
    let global = MatchScope {
        context,
        configuration,
        values: &configuration.global,
        prefix: String::new(),
    };
    let reported = global.check();
    let mut findings = reported.clone();
    for (criteria, values) in &configuration.matches {
        let block = MatchScope {
            values,
            prefix: format!("for connections of \"Match {criteria}\": "),
            ..global
        };
        let of_block = block.check().into_iter();
        let new = of_block.filter(|found| !block.is_reported(found, &reported));
        let (people, _) = context.root.recorded(|| people_in(context.root, criteria));
        findings.extend(new.map(|found| match &people {
            Some(people) if names_nobody(&found) => found.concerning(people),
            _ => found,
        }));
    }
    findings.extend(derived(context.root, || {
        root_login::barred(context, configuration)
    }));
    findings
}

/// The configuration for all connections, or for those of one `Match` block.
struct MatchScope<'a> {
    context: &'a CheckContext<'a>,
    configuration: &'a Configuration,
    values: &'a Values,
    /// What a finding must say about the connections it is for.
    prefix: String,
}

/// Whether no account was looked at, nor a file that lists them.
fn names_nobody(found: &Finding) -> bool {
    let acceptance = &found.acceptance;
    acceptance.concerns.is_none() && acceptance.sources.people.is_empty()
}

/// Who may be in a block whose criteria name groups or patterns of users: members come and go, and the criteria stay as
/// they are. Whether each of them is in it does not matter here.
fn people_in(root: &Root, criteria: &str) -> Option<Vec<String>> {
    let words: Vec<_> = criteria.split_whitespace().collect();
    let lists = words.windows(2).filter_map(|pair| {
        let is_group = pair[0].eq_ignore_ascii_case("group");
        (is_group || pair[0].eq_ignore_ascii_case("user")).then_some((is_group, pair[1]))
    });
    let patterns =
        lists.flat_map(|(is_group, list)| list.split(',').map(move |one| (is_group, one)));
    let local = accounts::local(root);
    let of_pattern = |(is_group, pattern): (bool, &str)| match is_group {
        _ if pattern.contains(['*', '?']) => {
            Some(local.iter().map(|account| account.name.clone()).collect())
        }
        true => Some(accounts::members(
            root,
            &local,
            pattern.trim_start_matches('!'),
        )),
        false => None,
    };
    let people: Vec<Vec<String>> = patterns.filter_map(of_pattern).collect();
    (!people.is_empty()).then(|| people.concat())
}

impl MatchScope<'_> {
    fn check(&self) -> Vec<Finding> {
        if self.is("usepam", "no") {
            return self.without_pam();
        }
        self.with_pam()
    }

    /// What would lock out once PAM is on is said before.
    fn without_pam(&self) -> Vec<Finding> {
        let off = self.finding(
            Severity::LetsIn,
            "sshd-pam-off",
            "usepam",
            "UsePAM no: sshd asks no PAM module, so nobody is asked for iVALT, and keys and passwords alone get in",
            "UsePAM yes",
        );
        let then = self.with_pam().into_iter();
        let then = then.filter(|found| found.severity == Severity::LocksOut);
        let then = then.map(|found| Finding {
            what: format!("once UsePAM is yes: {}", found.what),
            ..found
        });
        [off].into_iter().chain(then).collect()
    }

    fn with_pam(&self) -> Vec<Finding> {
        let root = self.context.root;
        [
            self.methods(),
            self.unused_line().into_iter().collect(),
            self.token_alone().into_iter().collect(),
            self.prompts(),
            derived(root, || self.nobody_gets_in().into_iter().collect()),
            derived(root, || self.limits()),
            self.accounts(),
        ]
        .concat()
    }

    fn is(&self, keyword: &str, word: &str) -> bool {
        self.value(keyword).eq_ignore_ascii_case(word)
    }

    /// The effective value, sshd's default where there is none; sshd_config(5).
    fn value(&self, keyword: &str) -> &str {
        let default = match keyword {
            // Debian's and Fedora's files say yes; the program itself says no.
            "usepam"
            | "permitemptypasswords"
            | "hostbasedauthentication"
            | "gssapiauthentication" => "no",
            "logingracetime" => "120",
            "maxauthtries" => "6",
            "permitrootlogin" => "prohibit-password",
            "authenticationmethods" => "any",
            "authorizedkeysfile" => ".ssh/authorized_keys .ssh/authorized_keys2",
            "authorizedkeyscommand" | "trustedusercakeys" => "none",
            _ => "yes",
        };
        self.values
            .get(keyword)
            .map_or(default, |value| value.text.as_str())
    }

    fn finding(
        &self,
        severity: Severity,
        id: &'static str,
        keyword: &str,
        what: &str,
        fix: &str,
    ) -> Finding {
        let (file, line) = match self.location(keyword) {
            Some((file, line)) => (file.clone(), Some(*line)),
            None => (self.configuration.main.clone(), None),
        };
        let source = self.configuration.source;
        let place = self.place_of_fix(fix);
        let reload = sshd_program::reload_command(self.context.root);
        let fix = format!("write {place}: {fix}; then: sshd -t && {reload}");
        Finding {
            line,
            ..finding(
                severity,
                id,
                file,
                format!("{}{what}{source}", self.prefix),
                fix,
            )
        }
    }

    fn location(&self, keyword: &str) -> Option<&Location> {
        self.values.get(keyword)?.location.as_ref()
    }

    /// In place of the line that sets the keyword of the fix; else where it counts for these connections.
    fn place_of_fix(&self, fix: &str) -> String {
        let keyword = fix.split(' ').next().unwrap_or_default();
        let keyword = keyword.to_ascii_lowercase();
        let set = self.location(&keyword).filter(|_| self.sets(&keyword));
        let main = &self.configuration.main;
        match (set, self.first_line()) {
            (Some((file, line)), _) if !is_vendors(file) => {
                format!("in {}, in place of line {line}", file.display())
            }
            (_, Some((file, line))) => format!("in {}, above line {line}", file.display()),
            // Further down, an earlier value would count, or the line would belong to a Match block.
            (None, None) if !is_vendors(main) => format!("at the top of {}", main.display()),
            _ => format!("in {LOCAL}"),
        }
    }

    /// Whether the value is of the block itself, if this is one.
    fn sets(&self, keyword: &str) -> bool {
        let outside = self.configuration.global.get(keyword);
        let outside = outside.and_then(|value| value.location.as_ref());
        self.prefix.is_empty() || self.location(keyword) != outside
    }

    /// Of the block, if this is one.
    fn first_line(&self) -> Option<&Location> {
        let own = self.values.keys().filter(|keyword| self.sets(keyword));
        let lines = own.filter_map(|keyword| self.location(keyword));
        lines.min().filter(|_| !self.prefix.is_empty())
    }

    /// Whether a finding holds for all connections: what the block does not change is reported once.
    fn is_reported(&self, found: &Finding, reported: &[Finding]) -> bool {
        let what = found.what.strip_prefix(&self.prefix);
        let what = what.unwrap_or(&found.what);
        let same = |known: &Finding| known.id == found.id && known.what == what;
        reported.iter().any(same)
    }

    /// The lists of `AuthenticationMethods`, each enough to log in; empty for `any`.
    fn method_lists(&self) -> Vec<Vec<&str>> {
        let value = self.value(METHODS);
        let lists = value.split_whitespace().filter(|list| *list != "any");
        lists.map(|list| list.split(',').collect()).collect()
    }

    fn methods(&self) -> Vec<Finding> {
        let lists = self.method_lists();
        if lists.is_empty() {
            let of_keys = derived(self.context.root, || self.public_keys());
            return [of_keys, self.other_methods()].concat();
        }
        let mut findings: Vec<_> = lists
            .iter()
            .filter_map(|list| self.method_list(list))
            .collect();
        if lists.iter().all(|list| list.contains(&"password")) {
            findings.push(self.finding(
                Severity::LocksOut,
                "sshd-methods-impossible",
                METHODS,
                "every list of AuthenticationMethods has the password method, which cannot carry a token: nobody gets in \
                 by ssh",
                &self.methods_fix(),
            ));
        }
        findings
    }

    /// One list: whether sshd runs PAM for it, and how often.
    fn method_list(&self, list: &[&str]) -> Option<Finding> {
        let shown = quote_log_value(list.join(",").as_bytes());
        match list.iter().filter(|method| asks_pam(method)).count() {
            0 => Some(self.finding(
                Severity::LetsIn,
                "sshd-methods-bypass",
                METHODS,
                &format!(
                    "AuthenticationMethods has the list {shown}, which does not run PAM: users get in by it without iVALT"
                ),
                &self.methods_fix(),
            )),
            1 => None,
            _ => Some(self.finding(
                Severity::Warning,
                "sshd-methods-twice",
                METHODS,
                &format!(
                    "AuthenticationMethods has the list {shown}, which runs PAM twice: users are asked for two iVALT \
                     tokens"
                ),
                &self.methods_fix(),
            )),
        }
    }

    /// A line waits for a method that no list has before PAM. A `Match` block may narrow the lists.
    fn unused_line(&self) -> Option<Finding> {
        let lists = self.method_lists();
        let never = |method: &&str| !lists.iter().any(|list| is_before_pam(method, list));
        let waited_for = self.waited_for();
        let mut unused = waited_for.iter().copied().filter(never);
        let method = unused.next()?;
        if lists.is_empty() || !self.prefix.is_empty() {
            return None;
        }
        let what = format!(
            "a line of pam.d has only_after={method}, and no list of AuthenticationMethods has {method} before \
             keyboard-interactive: that line never asks, and users log in as without it"
        );
        let fix = format!(
            "AuthenticationMethods {method},keyboard-interactive {}",
            self.value(METHODS)
        );
        let id = "sshd-only-after-unused";
        Some(self.finding(Severity::Warning, id, METHODS, &what, &fix))
    }

    /// A list runs PAM alone, which asks for nothing but the token.
    fn token_alone(&self) -> Option<Finding> {
        if self.asks_for_another_proof() {
            return None;
        }
        let lists = self.method_lists();
        let alone = |list: &Vec<&str>| list.iter().all(|method| asks_pam(method));
        lists.iter().any(alone).then(|| {
            self.finding(
                Severity::Warning,
                "sshd-token-alone",
                METHODS,
                "AuthenticationMethods has a list that runs PAM alone, and PAM asks for nothing but the token: it is the \
                 only factor, and strangers may try tokens",
                &self.methods_fix(),
            )
        })
    }

    fn auth_rules(&self) -> Vec<Rule> {
        let service = pam_stack::read(self.context.root, "sshd").unwrap_or_default();
        service.stack(RuleType::Auth).to_vec()
    }

    /// The methods that pam_ivalt lines wait for.
    fn waited_for(&self) -> Vec<&'static str> {
        self.auth_rules()
            .iter()
            .filter_map(Rule::only_after)
            .collect()
    }

    /// After a key sshd does not run PAM's auth lines, and here one method is enough.
    fn public_keys(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        let fix = self.methods_fix();
        if self.is("pubkeyauthentication", "yes") {
            // Homes may be elsewhere, and a user may add a key.
            let (who, people) = self.who_has_keys();
            let what = format!(
                "public keys are enough, since AuthenticationMethods is not set, and after a key sshd does \
                 not run PAM's auth lines: {who} gets in without iVALT"
            );
            let found = self.finding(
                Severity::LetsIn,
                "sshd-key-skips",
                "pubkeyauthentication",
                &what,
                &fix,
            );
            findings.push(found.concerning(people));
        }
        findings
    }

    /// The same for hosts and tickets.
    fn other_methods(&self) -> Vec<Finding> {
        let root = self.context.root;
        let mut findings = Vec::new();
        let gssapi =
            self.is("gssapiauthentication", "yes") && root.exists(Path::new("/etc/krb5.keytab"));
        let others = [
            (
                "hostbasedauthentication",
                self.is("hostbasedauthentication", "yes"),
                "a trusted host",
            ),
            ("gssapiauthentication", gssapi, "a Kerberos ticket"),
        ];
        for (keyword, _, what) in others.into_iter().filter(|other| other.1) {
            let what = format!(
                "{what} is enough, and sshd does not run PAM's auth lines after it: users get in by it without iVALT"
            );
            let fix = self.methods_fix();
            findings.push(self.finding(Severity::LetsIn, "sshd-other-skips", keyword, &what, &fix));
        }
        findings
    }

    /// Users, or a setting, that already have keys, in words and all of them.
    fn who_has_keys(&self) -> (String, Vec<String>) {
        for keyword in ["authorizedkeyscommand", "trustedusercakeys"] {
            if !self.is(keyword, "none") {
                return (format!("anyone who has a key by {keyword}"), Vec::new());
            }
        }
        let root = self.context.root;
        let owners = accounts::local(root).into_iter().filter(|account| {
            let mut files = self.value("authorizedkeysfile").split_whitespace();
            account.has_a_shell() && files.any(|file| has_keys(root, account, file))
        });
        let names: Vec<_> = owners.map(|account| account.name).collect();
        let who = match names.as_slice() {
            [] => "anyone who puts a key into ~/.ssh/authorized_keys".to_owned(),
            [one] => format!("{one}, who has a key,"),
            some if some.len() > 3 => format!(
                "each of {} and others, who have keys,",
                some[..3].join(", ")
            ),
            some => format!("each of {}, who have keys,", some.join(", ")),
        };
        (who, names)
    }

    /// The setting that keeps sshd from showing a prompt of PAM's. Before OpenSSH 8.7 either of two does.
    fn prompt_off(&self) -> Option<(&'static str, &'static str)> {
        let settings = [
            (
                "challengeresponseauthentication",
                "ChallengeResponseAuthentication",
            ),
            (
                "kbdinteractiveauthentication",
                "KbdInteractiveAuthentication",
            ),
        ];
        settings
            .into_iter()
            .find(|(keyword, _)| self.is(keyword, "no"))
    }

    /// Whether the module can ask at all.
    fn prompts(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        let lists = self.method_lists();
        if let Some((keyword, name)) = self.prompt_off() {
            let what = format!(
                "{name} no: sshd has no way to show the module's prompt, so nobody who needs iVALT gets in by ssh"
            );
            let fix = format!("{name} yes");
            findings.push(self.finding(
                Severity::LocksOut,
                "sshd-prompt-off",
                keyword,
                &what,
                &fix,
            ));
        }
        let offered = lists.is_empty() || lists.iter().any(|list| list[0] == "password");
        if self.is("passwordauthentication", "yes") && offered {
            let what = "PasswordAuthentication yes: sshd's password method answers the module's prompt by itself or not at \
                        all, so nobody gets in by it, and clients that prefer it fail with the right password";
            let fix = "PasswordAuthentication no";
            findings.push(self.finding(
                Severity::Warning,
                "sshd-password-method",
                "passwordauthentication",
                what,
                fix,
            ));
        }
        findings
    }

    fn limits(&self) -> Vec<Finding> {
        self.grace_time()
            .into_iter()
            .chain(self.auth_tries())
            .collect()
    }

    fn grace_time(&self) -> Option<Finding> {
        let settings = self.context.settings_of("sshd")?;
        let times = [Some(time_of_tokens(settings)), time_of_push(settings)];
        let (needed, why) = times.into_iter().flatten().max()?;
        let granted = seconds(self.value("logingracetime"))?;
        if granted == 0 || granted >= needed {
            return None;
        }
        let what = format!(
            "LoginGraceTime {}: {why}; sshd hangs up before",
            self.value("logingracetime")
        );
        Some(self.finding(
            Severity::Warning,
            "sshd-grace-time",
            "logingracetime",
            &what,
            &format!("LoginGraceTime {needed}"),
        ))
    }

    fn auth_tries(&self) -> Option<Finding> {
        let tries: u64 = self.value("maxauthtries").parse().ok()?;
        (tries < 2).then(|| {
            self.finding(
                Severity::Warning,
                "sshd-few-tries",
                "maxauthtries",
                "MaxAuthTries below 2: one key that is offered and refused ends the connection before the module asks",
                "MaxAuthTries 6",
            )
        })
    }

    /// Accounts that the token does not protect, or locks out.
    fn accounts(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        if self.is("permitemptypasswords", "yes") {
            let what = "PermitEmptyPasswords yes: for accounts without a password, the iVALT token is the only proof";
            let fix = "PermitEmptyPasswords no";
            findings.push(self.finding(
                Severity::Warning,
                "sshd-empty-passwords",
                "permitemptypasswords",
                what,
                fix,
            ));
        }
        findings.extend(derived(self.context.root, || self.root_not_enrolled()));
        findings
    }

    fn root_not_enrolled(&self) -> Vec<Finding> {
        let root_denied = self.context.settings_of("sshd").is_some_and(|settings| {
            settings.policy.unenrolled == Tolerance::Deny
                && !is_enrolled(self.context.root, settings, "root")
        });
        if !self.is("permitrootlogin", "yes") || !root_denied {
            return Vec::new();
        }
        let what = "PermitRootLogin yes, and root is not enrolled: root may log in and will not get past the module";
        let fix = "PermitRootLogin no";
        let found = self.finding(
            Severity::Warning,
            "sshd-root-not-enrolled",
            "permitrootlogin",
            what,
            fix,
        );
        vec![found.concerning(["root"])]
    }
}

/// How long a login may take, in seconds, and why.
fn time_of_tokens(settings: &Settings) -> (u64, String) {
    let attempts = settings.token.attempts.get();
    let timeout = settings.api.timeout;
    let needed = (timeout + TYPING_TIME).as_secs() * attempts;
    let why = format!(
        "{attempts} attempts may take {needed} s, each the {} s of api.timeout_seconds and {} s of typing",
        timeout.as_secs(),
        TYPING_TIME.as_secs()
    );
    (needed, why)
}

/// The same of one that is approved on the phone.
fn time_of_push(settings: &Settings) -> Option<(u64, String)> {
    let push = &settings.push;
    let is_on = push.enabled && push.services.iter().any(|service| service == "sshd");
    let wait = push.wait.get();
    let needed = wait + BESIDE_THE_WAIT.as_secs();
    let why = format!(
        "a request on the phone may be approved for {wait} s (push.wait_seconds), and with the prompts that takes {needed} s"
    );
    is_on.then_some((needed, why))
}

/// Whether a method runs PAM's auth lines. `keyboard-interactive:bsdauth` would be another device.
fn asks_pam(method: &str) -> bool {
    matches!(
        method,
        "password" | "keyboard-interactive" | "keyboard-interactive:pam"
    )
}

/// Whether sshd runs PAM after this method.
fn is_before_pam(method: &str, list: &[&str]) -> bool {
    let mut rest = list
        .iter()
        .skip_while(|one| one.split(':').next() != Some(method));
    rest.any(|one| asks_pam(one))
}

/// As much of a file of keys as is looked at, in bytes.
const KEYS: u64 = 1 << 20;

fn has_keys(root: &Root, account: &accounts::Account, file: &str) -> bool {
    // What users make of their own files must not become a fault of the system.
    let start = root.listing_people(|| root.read_start(&key_file(account, file), KEYS));
    has_a_key(&String::from_utf8_lossy(&start.unwrap_or_default()))
}

/// A name in `AuthorizedKeysFile`, for an account; sshd_config(5), TOKENS.
fn key_file(account: &accounts::Account, file: &str) -> PathBuf {
    let file = file
        .replace("%h", &account.home)
        .replace("%u", &account.name)
        .replace("%U", &account.uid.to_string())
        .replace("%%", "%");
    Path::new(&account.home).join(file)
}

fn has_a_key(text: &str) -> bool {
    let mut lines = text.lines().map(str::trim);
    lines.any(|line| !line.is_empty() && !line.starts_with('#'))
}

fn is_enrolled(root: &Root, settings: &Settings, name: &str) -> bool {
    // A file that cannot be used is a finding of `enrolment`.
    matches!(
        look_up(root, settings, name),
        Ok(Entry::Enrolled(_)) | Err(_)
    )
}

/// `120`, `2m`, `1h30m`; sshd_config(5), TIME FORMATS.
fn seconds(text: &str) -> Option<u64> {
    let mut total = 0;
    let mut number = String::new();
    for c in text.chars() {
        let unit = match c.to_ascii_lowercase() {
            '0'..='9' => {
                number.push(c);
                continue;
            }
            's' => 1,
            'm' => 60,
            'h' => 3600,
            'd' => 86_400,
            'w' => 604_800,
            _ => return None,
        };
        total += number.parse::<u64>().ok()?.checked_mul(unit)?;
        number.clear();
    }
    match number.as_str() {
        "" => Some(total),
        rest => Some(total + rest.parse::<u64>().ok()?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_as_sshd_writes_them() {
        for (text, expected) in [
            ("0", Some(0)),
            ("120", Some(120)),
            ("2m", Some(120)),
            ("1h30m", Some(5400)),
            ("1m30", Some(90)),
            ("x", None),
            ("m", None),
        ] {
            assert_eq!(seconds(text), expected, "{text}");
        }
    }
}
