//! What the stacks with pam_ivalt in them do to a login, whatever their modules return.

mod conditions;
mod edits;
mod fixes;
mod lines;
mod only_after;
mod outcomes;
mod paths;
mod refused;
mod return_codes;
mod services;
mod shape;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use ivalt_core::arguments::DEFAULT_CONFIG;

use crate::finding::{Acceptance, Finding, Severity};
use crate::pam_stack::{
    self, Location, Module, ReturnCode, Rule, RuleTarget, RuleType, Service, ivalt_rules, simulate,
};
use crate::root::Root;
use fixes::{Fix, Judge};
use paths::{ExecutionPath, Exploration};
use return_codes::ReturnCodes;

/// What is wrong with the stacks of all services that have pam_ivalt.
pub fn findings(root: &Root) -> Vec<Finding> {
    // That there are other services changes nothing of what is found in one.
    let ((names, judge), _) = root.recorded(|| (pam_stack::service_names(root), Judge::new(root)));
    let found = all_found(root, &names).into_iter();
    // A fix depends on more files than its finding; of these, its text says enough.
    let settle = |(service, found)| root.recorded(|| judge.settle(service, found)).0;
    found.map(settle).collect()
}

/// The findings of all services, each with the one where it is worst: a fault in a shared file is reported once.
fn all_found<'n>(root: &Root, names: &'n BTreeSet<String>) -> Vec<(&'n str, StackFinding)> {
    let each = names.iter().flat_map(|name| {
        let (found, sources) = root.recorded(|| check_service(root, name));
        found.into_iter().map(move |mut found| {
            found.finding.acceptance.sources.extend(&sources);
            (name.as_str(), found)
        })
    });
    let shared = services::shared(root, names).into_iter();
    let shared = shared.map(|found| ("", found.into()));
    let mut all: Vec<(&str, StackFinding)> = Vec::new();
    for (service, found) in each.chain(shared) {
        let key = |known: &Finding| (known.id, known.file.clone(), known.line);
        let mut known = all.iter_mut();
        match known.find(|(_, known)| key(&known.finding) == key(&found.finding)) {
            None => all.push((service, found)),
            Some(known) if known.1.finding.severity < found.finding.severity => {
                *known = (service, found);
            }
            Some(_) => {}
        }
    }
    all
}

/// Whether nothing is wrong with the stacks of a service that lets in or locks out.
pub fn stack_is_sound(root: &Root, service: &str) -> bool {
    let mut found = check_service(root, service).into_iter();
    found.all(|found| found.finding.severity == Severity::Warning)
}

/// Whether the auth stack of a service ends at a wrong password, and goes on to pam_ivalt at a right one.
pub fn wrong_password_ends(root: &Root, service: &str) -> bool {
    let Ok(read) = pam_stack::read(root, service) else {
        return false;
    };
    let rules = read.own(RuleType::Auth);
    refused::is_final(&StackUnderTest::new(root, service, RuleType::Auth, rules))
}

/// The line by which somebody who has proven nothing, neither by this stack nor to sshd before it, is asked for iVALT and
/// could have a request sent to the phone, if there is one.
pub fn asks_strangers(root: &Root, service: &str) -> Option<Location> {
    let read = pam_stack::read(root, service).ok()?;
    let rules = read.own(RuleType::Auth);
    let stack = StackUnderTest::new(root, service, RuleType::Auth, rules);
    let path = stack.best_path(|path| path.facts.asked_stranger)?;
    let is_ivalt = |at: &usize| rules[*at].kind() == pam_stack::ModuleKind::Ivalt;
    let mut called = path.returned.iter().map(|(at, _)| *at).filter(is_ivalt);
    let at = called.find(|at| !path.steps_aside(rules, *at))?;
    Some(rules[at].location.clone())
}

/// A path through a stack that shows a finding. The tests run it on the real libpam.
type Counterexample = (RuleType, ExecutionPath);

/// A finding whose fix is not settled, and what shows it.
struct StackFinding {
    finding: Finding,
    fix: Fix,
    #[cfg_attr(
        not(test),
        expect(dead_code, reason = "the tests run it on the real libpam")
    )]
    counterexample: Option<Counterexample>,
}

/// One whose fix is words.
impl From<Finding> for StackFinding {
    fn from(finding: Finding) -> Self {
        Self {
            fix: finding.fix.as_str().into(),
            finding,
            counterexample: None,
        }
    }
}

/// One stack that is checked.
struct StackUnderTest<'a> {
    service: &'a str,
    rule_type: RuleType,
    rules: &'a [Rule],
    codes: ReturnCodes<'a>,
    paths: Vec<ExecutionPath>,
    /// The rules that accept a proof whose owner gets in no more after that, with a path that shows it.
    denied: BTreeMap<usize, ExecutionPath>,
    found: Vec<StackFinding>,
}

impl<'a> StackUnderTest<'a> {
    fn new(root: &'a Root, service: &'a str, rule_type: RuleType, rules: &'a [Rule]) -> Self {
        let mut plain = ivalt_rules(rules).filter(|(_, module)| module.only_after().is_none());
        let tolerant = plain.any(|(_, module)| !ignores(root, service, module).is_empty());
        let codes = ReturnCodes::new(root, tolerant, rule_type != RuleType::Auth);
        let mut stack = Self {
            service,
            rule_type,
            rules,
            codes,
            paths: Vec::new(),
            denied: BTreeMap::new(),
            found: Vec::new(),
        };
        match stack.explore(rules) {
            Some(explored) => stack.remember(&explored),
            None => stack.not_understood(),
        }
        stack
    }

    /// Every login through these rules. Nothing where that is too much.
    fn explore<'r>(&self, rules: &'r [Rule]) -> Option<Vec<Exploration<'r>>> {
        let logins = only_after::logins(self.service, rules).into_iter();
        let explored = logins.map(|passed| {
            let codes = |rule: &Rule| self.codes.of(rule, &passed);
            Exploration::of(rules, !passed.is_empty(), codes)
        });
        explored.collect()
    }

    fn remember(&mut self, explored: &[Exploration]) {
        self.paths = explored.iter().flat_map(Exploration::paths).collect();
        let acceptances = explored.iter().flat_map(Exploration::acceptances);
        let mut of_rules: BTreeMap<usize, Vec<_>> = BTreeMap::new();
        for (rule, denied) in acceptances {
            of_rules.entry(rule).or_default().push(denied);
        }
        let never = |(rule, denied): (usize, Vec<Option<ExecutionPath>>)| {
            let denied: Option<Vec<_>> = denied.into_iter().collect();
            Some((rule, denied?.swap_remove(0)))
        };
        self.denied = of_rules.into_iter().filter_map(never).collect();
    }

    /// Not to follow a stack to its end must not look as if it were fine.
    fn not_understood(&mut self) {
        let Some(rule) = self.rules.first() else {
            return;
        };
        let outermost = rule.included_by.first().map(|include| &include.location);
        let location = outermost.unwrap_or(&rule.location).clone();
        let message = services::not_understood(format!(
            "this stack has {} rules, whose results combine in more ways than are followed",
            self.rules.len()
        ));
        self.add(message, Severity::LetsIn, &location, None);
    }

    fn is_understood(&self) -> bool {
        !self.has(services::NOT_UNDERSTOOD)
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
        let same = |StackFinding { finding: known, .. }: &StackFinding| {
            (known.id, known.file.as_ref(), known.line) == (message.id, Some(file), Some(*line))
        };
        if self.found.iter().any(same) {
            return;
        }
        let fix = message.fix.clone();
        let mut finding = message.at(severity, location);
        finding.what = format!("service {}: {}", self.service, finding.what);
        let counterexample = path.map(|path| (self.rule_type, path));
        self.found.push(StackFinding {
            finding,
            fix,
            counterexample,
        });
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
        found.any(|known| known.finding.severity == severity)
    }

    fn has(&self, id: &str) -> bool {
        self.found.iter().any(|known| known.finding.id == id)
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
    fix: Fix,
}

impl Message {
    fn new(id: &'static str, what: impl Into<String>, fix: impl Into<Fix>) -> Self {
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
            fix: self.fix.words().to_owned(),
            acceptance: Acceptance {
                impossible: self.id == services::NOT_UNDERSTOOD,
                ..Acceptance::default()
            },
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
            return finding.map(StackFinding::from).into_iter().collect();
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
        found.extend(around.into_iter().map(StackFinding::from));
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
        _ if !stack.is_understood() => {}
        RuleType::Auth => {
            lines::check(&mut stack);
            shape::check(&mut stack);
            only_after::check(&mut stack);
            outcomes::check(&mut stack);
            conditions::check(&mut stack);
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

/// The key of the networks from which nobody is asked.
const EXEMPT: &str = "exempt_networks";

/// What `[policy]` of the settings of this line ignores in this service, networks last. Settings that cannot be read ignore nothing.
fn ignores(root: &Root, service: &str, module: &Module) -> Vec<&'static str> {
    let config = module
        .ivalt_arguments()
        .map_or(DEFAULT_CONFIG.into(), |arguments| arguments.config);
    let text = root.read(Path::new(&config)).unwrap_or_default();
    let table = toml::from_str::<toml::Table>(&text).unwrap_or_default();
    let policy = |key: &str| table.get("policy").and_then(|policy| policy.get(key));
    let ignored = |key: &&str| policy(key).and_then(toml::Value::as_str) == Some("ignore");
    let networks = policy(EXEMPT).and_then(toml::Value::as_array);
    let exempt = networks.is_some_and(|networks| !networks.is_empty())
        && !conditions::WITHOUT_RHOST.contains(&service);
    let keys = ["unenrolled", "unavailable"].into_iter().filter(ignored);
    keys.chain(exempt.then_some(EXEMPT)).collect()
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

/// The module that a rule calls.
fn module_of(rule: &Rule) -> Option<&Module> {
    match &rule.target {
        RuleTarget::Module(module) => Some(module),
        RuleTarget::Substack | RuleTarget::Broken(_) => None,
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
