//! The doctor's eye for pam.d: what the stacks with pam_ivalt in them do to a login, whatever their modules answer.

mod lines;
mod modules;
mod runs;
mod services;
mod shape;
mod verdicts;

use std::ffi::CString;
use std::path::Path;

use super::super::finding::{Finding, Severity};
use super::super::pam_d::{self, Code, Kind, Module, Place, Service, Step, What};
use super::super::root::Root;
use super::super::stack;
use ivalt_core::arguments::{Arguments, DEFAULT_CONFIG};
use modules::{Answers, Trade, trade_of};
use runs::Run;
pub use services::names;

/// What is wrong with the stacks of all services that have pam_ivalt.
pub fn findings(root: &Root) -> Vec<Finding> {
    let names = services::names(root);
    let each = names.iter().flat_map(|name| findings_of(root, name));
    let mut all: Vec<Finding> = Vec::new();
    // What stands in a shared file is said once, at its worst.
    for finding in each.chain(services::shared(root, &names)) {
        let place = |known: &Finding| (known.id, known.file.clone(), known.line);
        match all.iter_mut().find(|known| place(known) == place(&finding)) {
            None => all.push(finding),
            Some(known) if known.severity < finding.severity => *known = finding,
            Some(_) => {}
        }
    }
    all
}

/// What is wrong with the stacks of one service; nothing where pam_ivalt is not in them.
pub fn findings_of(root: &Root, service: &str) -> Vec<Finding> {
    let found = diagnose(root, service).into_iter();
    found.map(|diagnosis| diagnosis.finding).collect()
}

/// A finding, and a login that shows it.
#[derive(Debug)]
struct Diagnosis {
    finding: Finding,
    /// Read by the tests, which put the login before the real libpam.
    #[cfg_attr(not(test), allow(dead_code))]
    proof: Option<Proof>,
}

/// What each module answers, and what comes of it.
#[derive(Clone, Debug)]
#[cfg_attr(not(test), allow(dead_code))]
struct Proof {
    kind: Kind,
    answers: Vec<(Place, Code)>,
    code: Code,
}

/// One stack under examination.
struct Patient<'a> {
    root: &'a Root,
    service: &'a str,
    kind: Kind,
    steps: &'a [Step],
    answers: Answers,
    runs: Vec<Run>,
    found: Vec<Diagnosis>,
}

impl<'a> Patient<'a> {
    fn new(root: &'a Root, service: &'a str, kind: Kind, steps: &'a [Step]) -> Self {
        let tolerant = ours(steps).any(|(_, module)| is_tolerant(root, module));
        let answers = Answers::new(root, tolerant, kind != Kind::Auth);
        let runs = runs::all(steps, |step| answers.of(root, step));
        Self {
            root,
            service,
            kind,
            steps,
            answers,
            runs,
            found: Vec::new(),
        }
    }

    /// Adds a finding about a line, once.
    fn find(&mut self, what: Words, severity: Severity, place: &Place, run: Option<&Run>) {
        let same = |known: &Diagnosis| {
            let Finding { id, file, line, .. } = &known.finding;
            (*id, file.as_ref(), *line) == (what.id, Some(&place.file), Some(place.line))
        };
        if self.found.iter().any(same) {
            return;
        }
        let proof = run.map(|run| self.proof(run));
        let finding = Finding {
            severity,
            id: what.id,
            file: Some(place.file.clone()),
            line: Some(place.line),
            what: format!("service {}: {}", self.service, what.what),
            fix: what.fix,
        };
        self.found.push(Diagnosis { finding, proof });
    }

    fn proof(&self, run: &Run) -> Proof {
        let place = |step: usize| self.steps[step].place.clone();
        let answers = run.answers.iter().map(|(step, code)| (place(*step), *code));
        Proof {
            kind: self.kind,
            answers: answers.collect(),
            code: run.code,
        }
    }

    /// A login in which this module answers so, and the others as well as they can.
    fn imagine(&self, at: usize, code: Code) -> Run {
        let others = |step: usize| self.answers.of(self.root, &self.steps[step])[0];
        let mut answers = Vec::new();
        let (end, _) = stack::decide(self.steps, |step| {
            let answer = if step == at { code } else { others(step) };
            answers.push((step, answer));
            answer
        });
        Run::imagined(end, answers)
    }

    fn has_severity(&self, severity: Severity) -> bool {
        self.found
            .iter()
            .any(|known| known.finding.severity == severity)
    }

    fn has(&self, id: &str) -> bool {
        self.found.iter().any(|known| known.finding.id == id)
    }

    /// The login in which the fewest modules complain.
    fn smoothest(&self, wanted: impl Fn(&Run) -> bool) -> Option<&Run> {
        let wanted = self.runs.iter().filter(|run| wanted(run));
        wanted.min_by_key(|run| std::cmp::Reverse(run.successes()))
    }
}

/// What is said about a line.
struct Words {
    id: &'static str,
    what: String,
    fix: String,
}

impl Words {
    fn new(id: &'static str, what: impl Into<String>, fix: impl Into<String>) -> Self {
        Self {
            id,
            what: what.into(),
            fix: fix.into(),
        }
    }
}

fn diagnose(root: &Root, service: &str) -> Vec<Diagnosis> {
    let read = match pam_d::read(root, service) {
        Ok(read) => read,
        Err(unusable) => return services::unusable(root, service, &unusable),
    };
    let mut found = Vec::new();
    for kind in Kind::ALL {
        // Lines of `other` are examined under that name.
        if read.has(kind) || service == pam_d::OTHER {
            found.extend(examine(root, service, kind, read.stack(kind)));
        }
    }
    found.extend(around(root, service, &read));
    found
}

fn examine(root: &Root, service: &str, kind: Kind, steps: &[Step]) -> Vec<Diagnosis> {
    if ours(steps).next().is_none() {
        return Vec::new();
    }
    let mut patient = Patient::new(root, service, kind, steps);
    match kind {
        Kind::Auth => {
            lines::look(&mut patient);
            shape::look(&mut patient);
            verdicts::look(&mut patient);
        }
        Kind::Account => verdicts::account(&mut patient),
        Kind::Session | Kind::Password => shape::does_nothing(&mut patient),
    }
    patient.found
}

/// What is not a matter of one stack.
fn around(root: &Root, service: &str, read: &Service) -> Vec<Diagnosis> {
    let covered = ours(read.stack(Kind::Auth)).next().is_some();
    if !covered || !(read.has(Kind::Auth) || service == pam_d::OTHER) {
        return Vec::new();
    }
    let mut found = services::doubts(service, read);
    if read.has(Kind::Account) {
        found.extend(account_lines(root, service, read));
    }
    found.extend(services::twin(root, service));
    found.extend(services::in_other(service, read));
    found
}

/// Broken lines of account deny after the token was right.
fn account_lines(root: &Root, service: &str, read: &Service) -> Vec<Diagnosis> {
    let mut patient = Patient::new(root, service, Kind::Account, read.stack(Kind::Account));
    lines::look(&mut patient);
    patient.found
}

/// Our lines.
pub fn ours(steps: &[Step]) -> impl Iterator<Item = (usize, &Module)> {
    steps
        .iter()
        .enumerate()
        .filter_map(|(at, step)| match &step.what {
            What::Module(module) if trade_of(step) == Trade::Ours => Some((at, module)),
            _ => None,
        })
}

/// The arguments as the module would take them.
fn arguments(module: &Module) -> Result<Arguments, String> {
    let words: Result<Vec<_>, _> = module
        .arguments
        .iter()
        .map(|word| CString::new(word.as_str()))
        .collect();
    let words = words.map_err(|error| error.to_string())?;
    let words: Vec<_> = words.iter().map(CString::as_c_str).collect();
    Arguments::parse(&words).map_err(|error| error.to_string())
}

/// Whether the settings of this line let the module answer `PAM_IGNORE`. Settings that cannot be read never do.
fn is_tolerant(root: &Root, module: &Module) -> bool {
    let config = arguments(module).map_or(DEFAULT_CONFIG.into(), |arguments| arguments.config);
    let text = root.read(Path::new(&config)).unwrap_or_default();
    let Ok(table) = toml::from_str::<toml::Table>(&text) else {
        return false;
    };
    let policy = |key: &str| {
        table
            .get("policy")
            .and_then(|policy| policy.get(key)?.as_str())
    };
    [policy("unenrolled"), policy("unavailable")].contains(&Some("ignore"))
}

/// A line as it should be, in the words of the step.
fn line(kind: Kind, control: &str, module: &Module) -> String {
    let words = std::iter::once(&module.path).chain(&module.arguments);
    let words: Vec<_> = words.map(|word| quoted(word)).collect();
    format!("{}    {control}    {}", kind.word(), words.join(" "))
}

/// pam.conf(5) puts what has blanks into brackets and escapes the closing one.
fn quoted(word: &str) -> String {
    if word.contains([' ', '\t', '[', ']']) {
        format!("[{}]", word.replace(']', "\\]"))
    } else {
        word.to_owned()
    }
}

/// A control field as it stands in a file.
fn control(step: &Step) -> String {
    if step.control.contains('=') || step.control.is_empty() {
        format!("[{}]", step.control)
    } else {
        step.control.clone()
    }
}

#[cfg(test)]
mod tests;
