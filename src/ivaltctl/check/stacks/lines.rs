//! Lines that libpam cannot obey.

use super::super::super::finding::Severity;
use super::super::super::pam_d::{Action, Fault, Kind, Module, Step, What};
use super::super::super::stack::PAM_MODULE_UNKNOWN;
use super::modules::trade;
use super::runs::{Ours, Run};
use super::{Patient, Trade, Words, control, line};

/// Every broken line of the stack.
pub fn look(patient: &mut Patient) {
    let steps = patient.steps;
    for (at, step) in steps.iter().enumerate() {
        match &step.what {
            What::Broken(fault) => broken(patient, step, fault),
            What::Module(module) => {
                unknown_control(patient, at, step, module);
                missing(patient, at, step, module);
            }
            What::Substack => {}
        }
    }
}

/// What the stack makes of a line that cannot be obeyed: nobody gets in, or there are ways around it.
fn severity(patient: &Patient) -> Severity {
    let asked = |run: &Run| patient.kind != Kind::Auth || run.ours == Ours::Allowed;
    if patient.runs.iter().any(|run| run.lets_in() && asked(run)) {
        Severity::Warning
    } else {
        Severity::LocksOut
    }
}

fn broken(patient: &mut Patient, step: &Step, fault: &Fault) {
    let severity = severity(patient);
    let words = words(fault);
    let run = patient.smoothest(|_| true).cloned();
    patient.find(words, severity, &step.place, run.as_ref());
}

/// A fault in words, with what it does.
fn words(fault: &Fault) -> Words {
    let (id, what, fix) = match fault {
        Fault::Type(word) => (
            "broken-line",
            format!("\"{}\" is no type of line", word.escape_debug()),
            "begin the line with auth, account, password or session, or put # before it",
        ),
        Fault::NoControl | Fault::NoModule => (
            "broken-line",
            "the line ends before it names a module".to_owned(),
            "complete the line: type, control field, module; or put # before it",
        ),
        Fault::NoFile(name) => (
            "missing-include",
            format!("there is no file {} to include", name.escape_debug()),
            "create that file, or name one that is there",
        ),
        Fault::TooDeep(name) => (
            "include-loop",
            format!("{} includes itself", name.escape_debug()),
            "remove this line: before version 1.6 libpam takes the program down with it",
        ),
        Fault::NoName => (
            "broken-line",
            "the line includes a file without naming it".to_owned(),
            "name the file, or remove the line: Debian's libpam takes the program down with it",
        ),
        Fault::GivenUp(file) => (
            "broken-include",
            format!("libpam gives up on {}", file.escape_debug()),
            "fix that file: its last line ends with a backslash, or it includes what is not there",
        ),
    };
    let what = format!("{what}; libpam puts a step there that denies");
    Words::new(id, what, fix)
}

fn unknown_control(patient: &mut Patient, at: usize, step: &Step, module: &Module) {
    let Some(fault) = step.control_fault else {
        return;
    };
    let words = Words {
        id: "unknown-control",
        what: format!(
            "the control field {} is none ({fault}): libpam denies whatever {} answers",
            control(step).escape_debug(),
            module.name().escape_debug(),
        ),
        fix: line(patient.kind, "required", module),
    };
    let run = patient
        .smoothest(|run| run.answers.iter().any(|(asked, _)| *asked == at))
        .cloned();
    patient.find(words, severity(patient), &step.place, run.as_ref());
}

fn missing(patient: &mut Patient, at: usize, step: &Step, module: &Module) {
    // Ours has an examiner of its own.
    let harmless = step.actions[PAM_MODULE_UNKNOWN] == Action::Ignore;
    if trade(module) == Trade::Ours || harmless || !patient.answers.is_missing(patient.root, module)
    {
        return;
    }
    let asked = |run: &Run| run.answers.iter().any(|(asked, _)| *asked == at);
    let severity = severity(patient);
    let words = Words {
        id: "missing-module",
        what: format!(
            "{} is not there; libpam denies in its place",
            module.path.escape_debug()
        ),
        fix: format!(
            "install {}, or correct its name: {}",
            module.name().escape_debug(),
            line(patient.kind, &control(step), module)
        ),
    };
    let run = patient.smoothest(asked).cloned();
    patient.find(words, severity, &step.place, run.as_ref());
}
