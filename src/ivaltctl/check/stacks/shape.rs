//! What can be seen of our lines themselves: their arguments, their place among the others.

use super::super::super::finding::Severity;
use super::super::super::pam_d::{Code, Module, Step};
use super::{Patient, Trade, Words, arguments, line, ours, trade_of};
use ivalt_core::arguments::FirstPass;

/// What ours answers when it is misconfigured, and when it gets no token.
const PAM_SERVICE_ERR: Code = 3;
const PAM_CONV_ERR: Code = 19;

/// Every one of our lines.
pub fn look(patient: &mut Patient) {
    let steps = patient.steps;
    for (at, module) in ours(steps) {
        match arguments(module) {
            Err(why) => bad_argument(patient, at, module, &why),
            Ok(arguments) => first_pass(patient, at, module, arguments.first_pass),
        }
    }
    twice(patient);
    before_password(patient);
}

fn bad_argument(patient: &mut Patient, at: usize, module: &Module, why: &str) {
    let step = &patient.steps[at];
    let run = patient.imagine(at, PAM_SERVICE_ERR);
    let plain = Module {
        arguments: Vec::new(),
        ..module.clone()
    };
    let words = Words {
        id: "bad-argument",
        what: format!("{why}; pam_ivalt denies everybody (misconfigured)"),
        fix: format!(
            "for instance: {}",
            line(patient.kind, &super::control(step), &plain)
        ),
    };
    patient.find(words, Severity::LocksOut, &step.place, Some(&run));
}

fn first_pass(patient: &mut Patient, at: usize, module: &Module, wish: FirstPass) {
    let word = match wish {
        FirstPass::Never => return,
        FirstPass::Try => "try_first_pass",
        FirstPass::Use => "use_first_pass",
    };
    let steps = patient.steps;
    let above = |trade| steps[..at].iter().any(|step| trade_of(step) == trade);
    let (id, severity, what) = match wish {
        _ if above(Trade::Password) => (
            "password-leaves",
            Severity::Warning,
            "the UNIX password that a module above took is sent to iVALT as the token",
        ),
        _ if above(Trade::Unknown) => return,
        FirstPass::Use => (
            "first-pass-without-password",
            Severity::LocksOut,
            "no module above takes a password, so that there is no token and everybody is denied",
        ),
        FirstPass::Try | FirstPass::Never => (
            "first-pass-without-password",
            Severity::Warning,
            "no module above takes a password, so that the word does nothing",
        ),
    };
    let mut without = module.clone();
    without.arguments.retain(|argument| argument != word);
    let fix = line(patient.kind, &super::control(&steps[at]), &without);
    let words = Words::new(id, format!("{word}: {what}"), fix);
    let run = patient.imagine(at, PAM_CONV_ERR);
    patient.find(words, severity, &steps[at].place, Some(&run));
}

fn twice(patient: &mut Patient) {
    let Some(run) = patient.runs.iter().find(|run| run.asked > 1).cloned() else {
        return;
    };
    let steps = patient.steps;
    let asked = run.answers.iter().map(|(step, _)| *step);
    let Some(second) = asked
        .filter(|step| trade_of(&steps[*step]) == Trade::Ours)
        .nth(1)
    else {
        return;
    };
    let words = Words {
        id: "asked-twice",
        what: "one login passes pam_ivalt twice: the person is asked for two tokens".to_owned(),
        fix: "remove this line".to_owned(),
    };
    patient.find(words, Severity::Warning, &steps[second].place, None);
}

/// A password typed at our prompt is recognised only when it has been taken before.
fn before_password(patient: &mut Patient) {
    let steps = patient.steps;
    let Some((first, module)) = ours(steps).next() else {
        return;
    };
    let password = |step: &&Step| trade_of(step) == Trade::Password;
    if steps[..first].iter().any(|step| password(&step)) {
        return;
    }
    let Some(below) = steps[first..].iter().find(password) else {
        return;
    };
    let words = Words {
        id: "before-password",
        what: "strangers reach iVALT without knowing a password, and a password typed as the token cannot be told from one and is sent".to_owned(),
        fix: format!("move the line below line {} of {}: {}", below.place.line, below.place.file.display(), line(patient.kind, &super::control(&steps[first]), module)),
    };
    patient.find(words, Severity::Warning, &steps[first].place, None);
}

/// For sessions and changes of passwords the module answers `PAM_IGNORE`.
pub fn does_nothing(patient: &mut Patient) {
    let steps = patient.steps;
    for (at, _) in ours(steps) {
        let words = Words {
            id: "does-nothing",
            what: format!("pam_ivalt does nothing for {}", patient.kind.word()),
            fix: "remove this line; auth alone asks for a token".to_owned(),
        };
        patient.find(words, Severity::Warning, &steps[at].place, None);
    }
}
