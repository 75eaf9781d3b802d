//! sshd: whether its configuration lets the module ask, and whether it lets anybody past without being asked.
//!
//! `sshd -T` prints what is in force. Where it cannot be asked, the files are read as sshd reads them: the first value
//! of a keyword counts, `Include` is followed, and a `Match` block overrides what stands outside.

mod configuration;

use std::path::Path;
use std::time::Duration;

use super::accounts;
use super::context::{CheckContext, finding};
use crate::finding::{Finding, Severity};
use crate::root::Root;
use configuration::{CONFIG, Configuration, Values};
use ivalt_core::log_line::quote_log_value;
use ivalt_core::settings::{Settings, Tolerance};
use ivalt_core::users::{self, Entry};

const METHODS: &str = "authenticationmethods";

/// What a person needs to find the phone and to type a token.
const TYPING: Duration = Duration::from_secs(20);

/// Examines sshd, if its service asks iVALT.
pub fn findings(context: &CheckContext) -> Vec<Finding> {
    if !context.covers("sshd") {
        return Vec::new();
    }
    let Some(configuration) = Configuration::of(context.root) else {
        return Vec::new();
    };
    let global = Examined {
        context,
        configuration: &configuration,
        values: &configuration.global,
        scope: String::new(),
    };
    let said = global.examine();
    let mut findings = said.clone();
    for (criteria, values) in &configuration.matches {
        let block = Examined {
            values,
            scope: format!("for connections of \"Match {criteria}\": "),
            ..global
        };
        let of_block = block.examine();
        // What the block does not change has been said.
        findings.extend(
            of_block
                .into_iter()
                .filter(|found| !block.said_before(found, &said)),
        );
    }
    findings
}

/// The configuration for all connections, or for those of one `Match` block.
struct Examined<'a> {
    context: &'a CheckContext<'a>,
    configuration: &'a Configuration,
    values: &'a Values,
    scope: String,
}

impl Examined<'_> {
    fn examine(&self) -> Vec<Finding> {
        if self.is("usepam", "no") {
            return vec![self.finding(
                Severity::LetsIn,
                "sshd-pam-off",
                "usepam",
                "UsePAM no: sshd asks no PAM module, so nobody is asked for iVALT, and keys and passwords alone get in",
                "UsePAM yes",
            )];
        }
        [self.methods(), self.prompts(), self.limits(), self.doors()].concat()
    }

    fn is(&self, keyword: &str, word: &str) -> bool {
        self.value(keyword).eq_ignore_ascii_case(word)
    }

    /// The value in force, sshd's default where there is none; sshd_config(5).
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
        let place = self
            .values
            .get(keyword)
            .and_then(|value| value.place.clone());
        let where_to_write = match &place {
            Some((file, _)) => format!("write in {}", file.display()),
            // Below, the first value that stands would count, or a Match block would swallow it.
            None => format!("write at the top of {CONFIG}"),
        };
        let (file, line) = place.map_or((CONFIG.into(), None), |(file, line)| (file, Some(line)));
        let source = self.configuration.source;
        let fix = format!("{where_to_write}: {fix}; then: sshd -t && systemctl reload ssh");
        Finding {
            line,
            ..finding(
                severity,
                id,
                file,
                format!("{}{what}{source}", self.scope),
                fix,
            )
        }
    }

    fn said_before(&self, found: &Finding, before: &[Finding]) -> bool {
        let without = |finding: &Finding, scope: &str| {
            let what = finding
                .what
                .strip_prefix(scope)
                .unwrap_or(&finding.what)
                .to_owned();
            (finding.id, what)
        };
        before
            .iter()
            .any(|said| without(said, "") == without(found, &self.scope))
    }

    /// The lists of `AuthenticationMethods`, each a way in; empty for `any`.
    fn lists(&self) -> Vec<Vec<&str>> {
        let value = self.value(METHODS);
        let lists = value.split_whitespace().filter(|list| *list != "any");
        lists.map(|list| list.split(',').collect()).collect()
    }

    fn methods(&self) -> Vec<Finding> {
        let lists = self.lists();
        if lists.is_empty() {
            return [self.keys(), self.other_methods()].concat();
        }
        let mut findings: Vec<_> = lists.iter().filter_map(|list| self.list(list)).collect();
        if lists.iter().all(|list| list.contains(&"password")) {
            findings.push(self.finding(
                Severity::LocksOut,
                "sshd-methods-impossible",
                METHODS,
                "every list of AuthenticationMethods has the password method, which cannot carry a token: nobody gets in \
                 by ssh",
                "AuthenticationMethods keyboard-interactive",
            ));
        }
        findings
    }

    /// One way in: whether PAM is asked on it, and how often.
    fn list(&self, list: &[&str]) -> Option<Finding> {
        let shown = quote_log_value(list.join(",").as_bytes());
        match list.iter().filter(|method| asks_pam(method)).count() {
            0 => Some(self.finding(
                Severity::LetsIn,
                "sshd-methods-bypass",
                METHODS,
                &format!(
                    "AuthenticationMethods has the list {shown}, which does not run PAM: it gets in without iVALT"
                ),
                "AuthenticationMethods publickey,keyboard-interactive",
            )),
            1 => None,
            _ => Some(self.finding(
                Severity::Warning,
                "sshd-methods-twice",
                METHODS,
                &format!(
                    "AuthenticationMethods has the list {shown}, which runs PAM twice: whoever takes it is asked for two \
                     iVALT tokens"
                ),
                "AuthenticationMethods keyboard-interactive",
            )),
        }
    }

    /// After a key sshd does not run PAM's auth lines, and here one method is enough.
    fn keys(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        let fix = "AuthenticationMethods publickey,keyboard-interactive";
        if self.is("pubkeyauthentication", "yes") {
            // Not to see a key is no proof that there is none: homes may be elsewhere, and a user may add one.
            let who = self.who_has_keys().map_or_else(
                || {
                    "whoever puts a key into ~/.ssh/authorized_keys gets in without iVALT"
                        .to_owned()
                },
                |who| format!("{who} gets in without iVALT"),
            );
            let what = format!(
                "public keys are a method of their own, since AuthenticationMethods is not set, and after a key sshd does \
                 not run PAM's auth lines: {who}"
            );
            findings.push(self.finding(
                Severity::LetsIn,
                "sshd-key-skips",
                "pubkeyauthentication",
                &what,
                fix,
            ));
        }
        findings
    }

    /// The same for hosts and tickets.
    fn other_methods(&self) -> Vec<Finding> {
        let root = self.context.root;
        let mut findings = Vec::new();
        let gssapi = self.is("gssapiauthentication", "yes")
            && root.followed(Path::new("/etc/krb5.keytab")).exists();
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
                "{what} is enough, and sshd does not run PAM's auth lines after it: it gets in without iVALT"
            );
            let fix = "AuthenticationMethods keyboard-interactive publickey,keyboard-interactive";
            findings.push(self.finding(Severity::LetsIn, "sshd-other-skips", keyword, &what, fix));
        }
        findings
    }

    /// Somebody, or something, that has keys already.
    fn who_has_keys(&self) -> Option<String> {
        for keyword in ["authorizedkeyscommand", "trustedusercakeys"] {
            if !self.is(keyword, "none") {
                return Some(format!("whoever has a key by {keyword}"));
            }
        }
        let owners = accounts::local(self.context.root)
            .into_iter()
            .filter(|account| {
                let files = self.value("authorizedkeysfile").split_whitespace();
                account.has_a_shell()
                    && files
                        .into_iter()
                        .any(|file| has_keys(self.context.root, account, file))
            });
        let names: Vec<_> = owners.map(|account| account.name).take(4).collect();
        match names.as_slice() {
            [] => None,
            [one] => Some(format!("{one}, who has a key,")),
            [some @ .., _] if names.len() == 4 => Some(format!(
                "each of {} and others, who have keys,",
                some.join(", ")
            )),
            some => Some(format!("each of {}, who have keys,", some.join(", "))),
        }
    }

    /// Whether the module can ask at all.
    fn prompts(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        // ChallengeResponseAuthentication is its older name.
        let (keyword, name) = (
            "kbdinteractiveauthentication",
            "KbdInteractiveAuthentication",
        );
        let lists = self.lists();
        if self.is(keyword, "no") {
            let what = format!(
                "{name} no: sshd has no way to show the module's prompt, so nobody who needs iVALT gets in by ssh"
            );
            findings.push(self.finding(
                Severity::LocksOut,
                "sshd-prompt-off",
                keyword,
                &what,
                &format!("{name} yes"),
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
        let mut findings = Vec::new();
        if let Some(settings) = self.context.settings_of("sshd") {
            let attempts = settings.token.attempts.get();
            let needed = (settings.api.timeout + TYPING).as_secs() * attempts;
            let granted = seconds(self.value("logingracetime"));
            if granted.is_some_and(|granted| granted > 0 && granted < needed) {
                let what = format!(
                    "LoginGraceTime {}: {attempts} attempts may take {needed} s, each the {} s of api.timeout_seconds and \
                     {} s of typing; sshd hangs up before",
                    self.value("logingracetime"),
                    settings.api.timeout.as_secs(),
                    TYPING.as_secs()
                );
                let fix = format!("LoginGraceTime {needed}");
                findings.push(self.finding(
                    Severity::Warning,
                    "sshd-grace-time",
                    "logingracetime",
                    &what,
                    &fix,
                ));
            }
        }
        if self
            .value("maxauthtries")
            .parse::<u64>()
            .is_ok_and(|tries| tries < 2)
        {
            let what = "MaxAuthTries below 2: one key that is offered and refused ends the connection before the module asks";
            findings.push(self.finding(
                Severity::Warning,
                "sshd-few-tries",
                "maxauthtries",
                what,
                "MaxAuthTries 6",
            ));
        }
        findings
    }

    fn doors(&self) -> Vec<Finding> {
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
        let root_denied = self.context.settings_of("sshd").is_some_and(|settings| {
            settings.policy.unenrolled == Tolerance::Deny
                && !is_enrolled(self.context.root, settings, "root")
        });
        if self.is("permitrootlogin", "yes") && root_denied {
            let what = "PermitRootLogin yes, and root is not enrolled: root may log in and will not get past the module";
            let fix = "PermitRootLogin no";
            findings.push(self.finding(
                Severity::Warning,
                "sshd-root-not-enrolled",
                "permitrootlogin",
                what,
                fix,
            ));
        }
        findings
    }
}

/// Whether a method runs PAM's auth lines. `keyboard-interactive:bsdauth` would be another device.
fn asks_pam(method: &str) -> bool {
    matches!(
        method,
        "password" | "keyboard-interactive" | "keyboard-interactive:pam"
    )
}

fn has_keys(root: &Root, account: &accounts::Account, file: &str) -> bool {
    let file = file
        .replace("%h", &account.home)
        .replace("%u", &account.name)
        .replace("%U", &account.uid.to_string())
        .replace("%%", "%");
    let text = root
        .read(&Path::new(&account.home).join(file))
        .unwrap_or_default();
    let mut lines = text.lines().map(str::trim);
    lines.any(|line| !line.is_empty() && !line.starts_with('#'))
}

fn is_enrolled(root: &Root, settings: &Settings, name: &str) -> bool {
    let file = root.real(&settings.users_file);
    let trust = crate::trust();
    let entry = users::look_up(&file, trust, name.as_bytes(), settings.token.mobile_format);
    // A file that cannot be used is the enrolment's affair.
    matches!(entry, Ok(Entry::Enrolled(_)) | Err(_))
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
