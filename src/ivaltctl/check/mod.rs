//! `ivaltctl check`: the doctor. It reads, and says what is wrong, what a login will meet because of it, and the fix.
//!
//! | examiner | what it looks at |
//! | --- | --- |
//! | [`settings`] | `ivalt.toml`, the key file, the trusted roots |
//! | [`enrolment`] | `users.toml`, against the accounts of the system |
//! | [`module_file`] | the `.so` that the stacks name |
//! | [`stacks`] | what the lines of pam.d do to a login, whatever their modules answer |
//! | [`sshd`] | its effective configuration |
//! | [`sudo`] | `/etc/sudoers` |
//! | [`desktop`] | services that live in a sandbox, without privileges or without a network |
//! | [`selinux`], [`proxy`], [`clock`], [`log`] | what stands around |
//! | [`online`] | iVALT itself, when it may be asked |

mod accounts;
mod clock;
mod desktop;
mod enrolment;
mod log;
mod module_file;
mod online;
mod patient;
mod program;
mod proxy;
mod selinux;
mod services;
mod settings;
mod sshd;
mod stacks;
mod sudo;

use std::fmt::Write;
use std::path::Path;

use serde_json::json;

use super::command_line::Check;
use super::finding::{Finding, Severity};
use super::root::Root;
use super::terminal::{self, BAD, DOUBTFUL, GOOD, plain};
use super::{Exit, Refused};
use online::Step;
use patient::Patient;
pub use services::{lines_with_ivalt, services_with_ivalt};

/// Looks at everything, and says what is wrong.
pub fn run(check: &Check, config: &Path) -> Result<Exit, Refused> {
    let root = Root::new(&check.root);
    if !root.real(Path::new("/")).is_dir() {
        let why = format!(
            "{}: is not a folder; nothing was checked",
            check.root.display()
        );
        return Err(Refused(why));
    }
    let config = if root.is_this_machine() {
        std::path::absolute(config)?
    } else {
        config.to_owned()
    };
    let patient = Patient::new(&root, &config);
    let mut findings = examine(&patient);
    let mut steps = Vec::new();
    if check.online {
        steps = online::ask(&patient, &mut findings);
    }
    sort(&mut findings);
    if check.json {
        terminal::say(in_json(&patient, &findings, check.online.then_some(&steps)));
    } else {
        report(&patient, &findings, &steps);
    }
    Ok(exit(&findings))
}

/// What is wrong with a system as it is, or as it would be after a change ([`Root::with`]); the worst first.
pub fn findings(root: &Root, config: &Path) -> Vec<Finding> {
    let mut findings = examine(&Patient::new(root, config));
    sort(&mut findings);
    findings
}

/// One examiner after the other.
fn examine(patient: &Patient) -> Vec<Finding> {
    [
        settings::findings(patient),
        enrolment::findings(patient),
        module_file::findings(patient),
        stacks::findings(patient.root),
        sshd::findings(patient),
        sudo::findings(patient),
        desktop::findings(patient),
        selinux::findings(patient),
        proxy::findings(patient),
        clock::findings(patient),
        log::findings(patient),
    ]
    .concat()
}

fn sort(findings: &mut [Finding]) {
    let place = |finding: &Finding| (finding.file.clone(), finding.line);
    findings.sort_by(|one, other| {
        let worse = other.severity.cmp(&one.severity);
        worse.then_with(|| place(one).cmp(&place(other)))
    });
}

fn exit(findings: &[Finding]) -> Exit {
    match findings.iter().map(|finding| finding.severity).max() {
        None => Exit::Done,
        Some(Severity::Warning) => Exit::Refused,
        Some(Severity::LocksOut | Severity::LetsIn) => Exit::Dangerous,
    }
}

fn count<'a>(findings: impl IntoIterator<Item = &'a Finding>, severity: Severity) -> usize {
    let like = findings
        .into_iter()
        .filter(|finding| finding.severity == severity);
    like.count()
}

fn report(patient: &Patient, findings: &[Finding], steps: &[Step]) {
    for step in steps {
        let line = format!("{:<12}{:>6} ms  {}", step.step, step.ms, step.said);
        terminal::say(plain(line.trim_end()));
    }
    if findings.is_empty() {
        terminal::say(terminal::painted(GOOD, "nothing found"));
    } else {
        show(&findings.iter().collect::<Vec<_>>());
    }
    let services = &patient.services;
    if services.is_empty() {
        terminal::say("no service asks iVALT");
    } else {
        let line = format!("services that ask iVALT: {}", services.join(", "));
        terminal::say(plain(&line));
    }
}

/// Shows findings, and how many there are of each kind.
pub fn show(findings: &[&Finding]) {
    findings.iter().for_each(|finding| show_one(finding));
    let [lets_in, locks_out, warnings] = [Severity::LetsIn, Severity::LocksOut, Severity::Warning]
        .map(|severity| count(findings.iter().copied(), severity));
    let plural = if warnings == 1 { "" } else { "s" };
    terminal::say(format_args!(
        "{lets_in} lets in, {locks_out} locks out, {warnings} warning{plural}"
    ));
}

fn show_one(finding: &Finding) {
    let (style, word) = match finding.severity {
        Severity::LetsIn => (BAD, "lets in"),
        Severity::LocksOut => (BAD, "locks out"),
        Severity::Warning => (DOUBTFUL, "warning"),
    };
    let mut place = String::new();
    if let Some(file) = &finding.file {
        let _ = write!(place, " {}", file.display());
    }
    if let Some(line) = finding.line {
        let _ = write!(place, ":{line}");
    }
    terminal::say(format_args!(
        "{}{} [{}]",
        terminal::painted(style, word),
        plain(&place),
        finding.id
    ));
    terminal::say(format_args!("  {}", plain(&finding.what)));
    for line in finding.fix.lines() {
        terminal::say(format_args!("  fix: {}", plain(line)));
    }
}

fn in_json(patient: &Patient, findings: &[Finding], steps: Option<&Vec<Step>>) -> String {
    let mut report = json!({
        "findings": findings,
        "lets_in": count(findings, Severity::LetsIn),
        "locks_out": count(findings, Severity::LocksOut),
        "warnings": count(findings, Severity::Warning),
        "services": patient.services,
    });
    if let Some(steps) = steps {
        report["steps"] = json!(steps);
    }
    report.to_string()
}
