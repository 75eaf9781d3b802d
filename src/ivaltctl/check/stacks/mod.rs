//! What the stacks with pam_ivalt in them do to a login, whatever their modules return.

mod lines;
mod only_after;
mod outcomes;
mod paths;
mod refused;
mod return_codes;
mod services;
mod shape;

use std::path::{Path, PathBuf};

use ivalt_core::arguments::DEFAULT_CONFIG;

use super::accepted::derived;
use crate::finding::{Acceptance, Finding, Severity};
use crate::pam_stack::{
    self, Location, Module, ReturnCode, Rule, RuleType, Service, ivalt_rules, simulate,
};
use crate::root::Root;
use paths::ExecutionPath;
use return_codes::ReturnCodes;

/// What is wrong with the stacks of all services that have pam_ivalt.
pub fn findings(root: &Root) -> Vec<Finding> {
    // That there are other services changes nothing of what is found in one.
    let (names, _) = root.recorded(|| pam_stack::service_names(root));
    let each = names
        .iter()
        .flat_map(|name| derived(root, || findings_of(root, name)));
    let mut all: Vec<Finding> = Vec::new();
    // A fault in a shared file is reported once, at its worst.
    for finding in each.chain(services::shared(root, &names)) {
        let key = |known: &Finding| (known.id, known.file.clone(), known.line);
        match all.iter_mut().find(|known| key(known) == key(&finding)) {
            None => all.push(finding),
            Some(known) if known.severity < finding.severity => *known = finding,
            Some(_) => {}
        }
    }
    all
}

/// What is wrong with the stacks of one service; nothing where pam_ivalt is not in them.
pub fn findings_of(root: &Root, service: &str) -> Vec<Finding> {
    let found = check_service(root, service).into_iter();
    found.map(|(finding, _)| finding).collect()
}

/// Whether the auth stack of a service ends at a wrong password, and goes on to pam_ivalt at a right one.
pub fn wrong_password_ends(root: &Root, service: &str) -> bool {
    let Ok(read) = pam_stack::read(root, service) else {
        return false;
    };
    let rules = read.own(RuleType::Auth);
    refused::is_final(&StackUnderTest::new(root, service, RuleType::Auth, rules))
}

/// A path through a stack that shows a finding. The tests run it on the real libpam.
type Counterexample = (RuleType, ExecutionPath);

/// A finding, and what shows it.
type StackFinding = (Finding, Option<Counterexample>);

/// One stack that is checked.
struct StackUnderTest<'a> {
    service: &'a str,
    rule_type: RuleType,
    rules: &'a [Rule],
    codes: ReturnCodes<'a>,
    paths: Vec<ExecutionPath>,
    found: Vec<StackFinding>,
}

impl<'a> StackUnderTest<'a> {
    fn new(root: &'a Root, service: &'a str, rule_type: RuleType, rules: &'a [Rule]) -> Self {
        let mut plain = ivalt_rules(rules).filter(|(_, module)| module.only_after().is_none());
        let tolerant = plain.any(|(_, module)| !ignores(root, module).is_empty());
        let codes = ReturnCodes::new(root, tolerant, rule_type != RuleType::Auth);
        let mut stack = Self {
            service,
            rule_type,
            rules,
            codes,
            paths: Vec::new(),
            found: Vec::new(),
        };
        stack.paths = stack.paths_of(rules);
        stack
    }

    /// Every path of every login through these rules.
    fn paths_of(&self, rules: &[Rule]) -> Vec<ExecutionPath> {
        let logins = only_after::logins(self.service, rules).into_iter();
        let paths = logins.flat_map(|passed| {
            let codes = |rule: &Rule| self.codes.of(rule, &passed);
            paths::all(rules, !passed.is_empty(), codes)
        });
        paths.collect()
    }

    /// Adds a finding about a line, once.
    fn add(
        &mut self,
        message: Message,
        severity: Severity,
        location: &Location,
        path: Option<ExecutionPath>,
    ) {
        let Location { file, line } = location;
        let same = |(known, _): &StackFinding| {
            (known.id, known.file.as_ref(), known.line) == (message.id, Some(file), Some(*line))
        };
        if self.found.iter().any(same) {
            return;
        }
        let mut finding = message.at(severity, location);
        finding.what = format!("service {}: {}", self.service, finding.what);
        let counterexample = path.map(|path| (self.rule_type, path));
        self.found.push((finding, counterexample));
    }

    /// A login in which this module returns so, and the others what is best.
    fn simulate(&self, at: usize, code: ReturnCode) -> ExecutionPath {
        let mut returned = Vec::new();
        let (result, _) = simulate(self.rules, |rule| {
            let code = if rule == at {
                code
            } else {
                self.codes.of(&self.rules[rule], &[])[0]
            };
            returned.push((rule, code));
            code
        });
        ExecutionPath::simulated(result, returned)
    }

    fn has_severity(&self, severity: Severity) -> bool {
        let mut found = self.found.iter();
        found.any(|(known, _)| known.severity == severity)
    }

    fn has(&self, id: &str) -> bool {
        self.found.iter().any(|(known, _)| known.id == id)
    }

    /// The path on which the most modules succeed.
    fn best_path(&self, wanted: impl Fn(&ExecutionPath) -> bool) -> Option<&ExecutionPath> {
        let wanted = self.paths.iter().filter(|path| wanted(path));
        wanted.min_by_key(|path| std::cmp::Reverse(path.successes()))
    }
}

/// What a finding says.
struct Message {
    id: &'static str,
    what: String,
    fix: String,
}

impl Message {
    fn new(id: &'static str, what: impl Into<String>, fix: impl Into<String>) -> Self {
        Self {
            id,
            what: what.into(),
            fix: fix.into(),
        }
    }

    fn about(self, severity: Severity, file: PathBuf, line: Option<usize>) -> Finding {
        Finding {
            severity,
            id: self.id,
            file: Some(file),
            line,
            what: self.what,
            fix: self.fix,
            acceptance: Acceptance::default(),
        }
    }

    fn at(self, severity: Severity, location: &Location) -> Finding {
        self.about(severity, location.file.clone(), Some(location.line))
    }
}

fn check_service(root: &Root, service: &str) -> Vec<StackFinding> {
    let read = match pam_stack::read(root, service) {
        Ok(read) => read,
        Err(error) => {
            let finding = services::unusable(root, service, &error);
            return finding.map(|finding| (finding, None)).into_iter().collect();
        }
    };
    let mut found = Vec::new();
    for rule_type in RuleType::ALL {
        // Lines of `other` are checked under that name.
        found.extend(check_stack(root, service, rule_type, read.own(rule_type)));
    }
    if ivalt_rules(read.own(RuleType::Auth)).next().is_some() {
        found.extend(account_lines(root, service, &read));
        let around = services::findings(root, service, &read);
        found.extend(around.into_iter().map(|finding| (finding, None)));
    }
    found
}

fn check_stack(
    root: &Root,
    service: &str,
    rule_type: RuleType,
    rules: &[Rule],
) -> Vec<StackFinding> {
    if ivalt_rules(rules).next().is_none() {
        return Vec::new();
    }
    let mut stack = StackUnderTest::new(root, service, rule_type, rules);
    match rule_type {
        RuleType::Auth => {
            lines::check(&mut stack);
            shape::check(&mut stack);
            only_after::check(&mut stack);
            outcomes::check(&mut stack);
            refused::check(&mut stack);
        }
        RuleType::Account => outcomes::account(&mut stack),
        RuleType::Session | RuleType::Password => shape::does_nothing(&mut stack),
    }
    stack.found
}

/// Broken lines of account deny after the token was right.
fn account_lines(root: &Root, service: &str, read: &Service) -> Vec<StackFinding> {
    let rules = read.own(RuleType::Account);
    let mut stack = StackUnderTest::new(root, service, RuleType::Account, rules);
    lines::check(&mut stack);
    stack.found
}

/// What `[policy]` of the settings of this line ignores. Settings that cannot be read ignore nothing.
fn ignores(root: &Root, module: &Module) -> Vec<&'static str> {
    let config = module
        .ivalt_arguments()
        .map_or(DEFAULT_CONFIG.into(), |arguments| arguments.config);
    let text = root.read(Path::new(&config)).unwrap_or_default();
    let table = toml::from_str::<toml::Table>(&text).unwrap_or_default();
    let policy = |key: &&str| {
        table
            .get("policy")
            .and_then(|policy| policy.get(*key)?.as_str())
    };
    let keys = ["unenrolled", "unavailable"].into_iter();
    keys.filter(|key| policy(key) == Some("ignore")).collect()
}

/// A line as it should be, with the path and arguments of the module.
fn line(rule_type: RuleType, control: &str, module: &Module) -> String {
    let words = std::iter::once(&module.path).chain(&module.arguments);
    let words: Vec<_> = words.map(|word| quoted(word)).collect();
    format!("{}    {control}    {}", rule_type.word(), words.join(" "))
}

/// pam.conf(5) puts what has blanks into brackets and escapes the closing one.
fn quoted(word: &str) -> String {
    if word.contains([' ', '\t', '[', ']']) {
        format!("[{}]", word.replace(']', "\\]"))
    } else {
        word.to_owned()
    }
}

/// A control field as a file has it.
fn control(rule: &Rule) -> String {
    if rule.control.contains('=') || rule.control.is_empty() {
        format!("[{}]", rule.control)
    } else {
        rule.control.clone()
    }
}

#[cfg(test)]
mod tests;
