//! What the stack decides, over all that its modules may answer.

use super::super::super::finding::Severity;
use super::super::super::pam_d::{Action, CODES, Code, PAM_IGNORE, PAM_SUCCESS, Place, Step, What};
use super::super::super::stack;
use super::runs::Ours;
use super::{Patient, Run, Trade, Words, control, line, ours, trade_of};

/// All there is to say of an auth stack.
pub fn look(patient: &mut Patient) {
    denial(patient);
    passed(patient);
    ignored(patient);
    jumps(patient);
    acceptance(patient);
    passwords(patient);
    token_alone(patient);
    fragile(patient);
}

fn module(step: &Step) -> super::Module {
    match &step.what {
        What::Module(module) => module.clone(),
        What::Substack | What::Broken(_) => super::Module::default(),
    }
}

fn name(step: &Step) -> String {
    module(step).name().escape_debug().to_string()
}

/// `PAM_AUTH_ERR` and its like, as libpam's header spells them.
fn code_name(code: Code) -> String {
    format!("PAM_{}", CODES[code].to_ascii_uppercase())
}

/// The control field as it should be: what it was, but with a denial that denies.
fn right_control(step: &Step) -> &'static str {
    match step.actions[PAM_SUCCESS] {
        Action::Done => "[success=done new_authtok_reqd=done default=die]",
        _ => "required",
    }
}

/// We deny, and the person gets in.
fn denial(patient: &mut Patient) {
    let steps = patient.steps;
    for (at, module) in ours(steps) {
        let step = &steps[at];
        let denied = |run: &Run| {
            run.answers
                .iter()
                .find(|(asked, code)| *asked == at && ![PAM_SUCCESS, PAM_IGNORE].contains(code))
                .copied()
        };
        let run = patient
            .smoothest(|run| run.lets_in() && run.ours == Ours::Denied && denied(run).is_some());
        let Some(run) = run.cloned() else { continue };
        let code = denied(&run).map_or(PAM_SUCCESS, |(_, code)| code);
        let undone = match step.actions[code] {
            Action::Bad | Action::Die => reset(steps, &run, at),
            _ => None,
        };
        let culprit = undone.unwrap_or(step);
        let what = format!(
            "the control field {} lets a login succeed that pam_ivalt has denied ({})",
            control(culprit).escape_debug(),
            code_name(code),
        );
        let fix = match undone {
            Some(culprit) => format!("write bad for reset in {}", control(culprit).escape_debug()),
            None => line(patient.kind, right_control(step), module),
        };
        let words = Words {
            id: "denial-does-not-deny",
            what,
            fix,
        };
        patient.find(words, Severity::LetsIn, &culprit.place, Some(&run));
    }
}

/// The step that took our denial back.
fn reset<'a>(steps: &'a [Step], run: &Run, after: usize) -> Option<&'a Step> {
    let later = run.answers.iter().filter(|(step, _)| *step > after);
    let mut resets = later.filter(|(step, code)| steps[*step].actions[*code] == Action::Reset);
    resets.next().map(|(step, _)| &steps[*step])
}

/// The person gets in, and we are not asked.
fn passed(patient: &mut Patient) {
    let steps = patient.steps;
    for (at, step) in steps.iter().enumerate() {
        let trade = trade_of(step);
        let by =
            |run: &Run| run.lets_in() && run.ours == Ours::NotAsked && run.passed_by == Some(at);
        // Root becomes anybody without being asked, as su always had it.
        let Some(run) = patient.smoothest(by).filter(|_| trade != Trade::Root) else {
            continue;
        };
        // A condition that spares some people the token, not the password, may be what somebody wants.
        let condition = matches!(trade, Trade::Condition | Trade::Factor);
        let free = patient.smoothest(|run| by(run) && !(condition && run.accepted != 0));
        let severity = match free {
            Some(_) => Severity::LetsIn,
            None => Severity::Warning,
        };
        let run = free.unwrap_or(run).clone();
        bypass(patient, at, severity, &run);
    }
}

fn bypass(patient: &mut Patient, at: usize, severity: Severity, run: &Run) {
    let step = &patient.steps[at];
    // Behind a pam_deny that has denied already we are asked in vain.
    let asked = |run: &Run| run.lets_in() && run.ours != Ours::NotAsked;
    let reached = patient.runs.iter().any(asked);
    let id = match (severity, reached) {
        (Severity::Warning, _) => "some-not-asked",
        (_, true) => "bypassed",
        (_, false) => "never-reached",
    };
    let code = run
        .answers
        .iter()
        .find(|(asked, _)| *asked == at)
        .map_or(PAM_SUCCESS, |(_, code)| *code);
    let how = match step.actions[code] {
        Action::Jump(count) => format!("jumps over pam_ivalt ({count} further)"),
        _ => "ends the stack before pam_ivalt is asked".to_owned(),
    };
    let what = format!(
        "{} {} when {} answers {}: such logins need no token",
        control(step).escape_debug(),
        how,
        name(step),
        code_name(code)
    );
    let (place, fix) = way_round(patient, at, severity);
    patient.find(Words { id, what, fix }, severity, &place, Some(run));
}

/// Where to put our line, or how to keep the other one from ending our stack.
fn way_round(patient: &Patient, at: usize, severity: Severity) -> (Place, String) {
    let steps = patient.steps;
    let step = &steps[at];
    let after = ours(steps).find(|(ours, _)| *ours > at);
    let Some((our_at, our_module)) = after else {
        return (step.place.clone(), String::new());
    };
    let ours = &steps[our_at];
    let own = line(patient.kind, &control(ours), our_module);
    if severity == Severity::Warning {
        return (
            step.place.clone(),
            format!("nothing, if that is meant; else move above this line: {own}"),
        );
    }
    if let Some((include, name)) = included(step, ours) {
        let fix = format!("{}    substack    {name}", patient.kind.word());
        return (include, fix);
    }
    let target = match step.actions[PAM_SUCCESS] {
        Action::Jump(_) => format!("move below the line the jump leads to: {own}"),
        _ => format!(
            "move above line {} of {}: {own}",
            step.place.line,
            step.place.file.display()
        ),
    };
    (step.place.clone(), target)
}

/// The line that includes the file of the one that ends the stack: as a substack it would end only itself.
fn included(step: &Step, ours: &Step) -> Option<(Place, String)> {
    let both = step.way.iter().zip(&ours.way);
    let shared = both.take_while(|(a, b)| a == b).count();
    let include = step.way.get(shared)?;
    let inner = step.way.get(shared + 1).unwrap_or(&step.place);
    let name = inner.file.strip_prefix("/etc/pam.d").unwrap_or(&inner.file);
    Some((include.clone(), name.display().to_string()))
}

/// `[policy]` lets us step aside. Then another module must have asked for a proof: CVE-2025-23013 was the lack of one.
fn ignored(patient: &mut Patient) {
    let steps = patient.steps;
    let Some((at, module)) = ours(steps).next().filter(|_| patient.answers.tolerant) else {
        return;
    };
    let ignored = |run: &Run| run.ours == Ours::Ignored;
    let free = |run: &Run| run.lets_in() && ignored(run) && run.accepted == 0;
    let Some(run) = patient.smoothest(free).cloned() else {
        return ignored_in_vain(patient, at);
    };
    let grants = |(step, code): &&(usize, Code)| {
        matches!(steps[*step].actions[*code], Action::Ok | Action::Done) && *code == PAM_SUCCESS
    };
    let granted = run.answers.iter().find(grants);
    let granted = granted.map_or(&steps[at], |(step, _)| &steps[*step]);
    let words = Words::new(
        "ignore-lets-in",
        format!(
            "when [policy] lets pam_ivalt answer PAM_IGNORE, {} alone makes the login succeed: nobody has asked for a proof",
            name(granted)
        ),
        format!(
            "set unenrolled and unavailable to \"deny\" in [policy], or write: {}",
            line(patient.kind, "[success=ok default=bad]", module)
        ),
    );
    patient.find(words, Severity::LetsIn, &steps[at].place, Some(&run));
}

/// We step aside, and nobody else lets in.
fn ignored_in_vain(patient: &mut Patient, at: usize) {
    let step = &patient.steps[at];
    let ignored = |run: &Run| run.ours == Ours::Ignored;
    let meant = step.actions[PAM_IGNORE] != Action::Ignore;
    if meant || patient.runs.iter().any(|run| run.lets_in() && ignored(run)) {
        return;
    }
    let words = Words::new(
        "ignore-denies",
        "[policy] says \"ignore\", but no other module of this stack lets anybody in: the login is denied all the same",
        "set unenrolled and unavailable to \"deny\" in [policy], to say what happens",
    );
    let run = patient.smoothest(ignored).cloned();
    patient.find(words, Severity::Warning, &step.place, run.as_ref());
}

/// Jumps beyond the end of their stack, which libpam answers with a denial.
fn jumps(patient: &mut Patient) {
    let steps = patient.steps;
    for (at, step) in steps.iter().enumerate() {
        let answers = patient.answers.of(patient.root, step);
        let beyond = |code: &Code| stack::is_beyond_end(steps, at, step.actions[*code]);
        let module = matches!(step.what, What::Module(_));
        let Some(code) = answers.iter().copied().find(|code| module && beyond(code)) else {
            continue;
        };
        let severity = if code == PAM_SUCCESS {
            Severity::LocksOut
        } else {
            Severity::Warning
        };
        let words = Words {
            id: "jump-beyond-end",
            what: format!(
                "{} jumps beyond the last line of its stack when {} answers {}: libpam denies",
                control(step).escape_debug(),
                name(step),
                code_name(code)
            ),
            fix: "count the lines that follow in this stack, a substack as one, and jump over less"
                .to_owned(),
        };
        let run = patient
            .smoothest(|run| run.answers.contains(&(at, code)))
            .cloned();
        patient.find(words, severity, &step.place, run.as_ref());
    }
}

/// The token is right, and the person does not get in whatever the others say.
fn acceptance(patient: &mut Patient) {
    let steps = patient.steps;
    let allowed = |run: &Run| run.ours == Ours::Allowed;
    let explained = patient.has_severity(Severity::LocksOut) || patient.has("never-reached");
    if explained || patient.runs.iter().any(|run| run.lets_in() && allowed(run)) {
        return;
    }
    let Some((at, module)) = ours(steps).next() else {
        return;
    };
    let step = &steps[at];
    let words = match step.actions[PAM_SUCCESS] {
        Action::Ok | Action::Done => Words::new(
            "acceptance-denied",
            "no login succeeds, whatever the modules answer",
            "move the line to where a login that has passed the password goes on: below @include common-auth, or below auth substack system-auth",
        ),
        _ => Words::new(
            "acceptance-denied",
            format!(
                "under {} an accepted token does not let in",
                control(step).escape_debug()
            ),
            line(patient.kind, "required", module),
        ),
    };
    let run = patient
        .smoothest(allowed)
        .or_else(|| patient.smoothest(|_| true));
    let run = run.cloned();
    patient.find(words, Severity::LocksOut, &step.place, run.as_ref());
}

/// A password is right, and its owner does not get in whatever the others say.
fn passwords(patient: &mut Patient) {
    let steps = patient.steps;
    if patient.has_severity(Severity::LocksOut) {
        return;
    }
    for (at, step) in steps.iter().enumerate() {
        let accepted = |run: &Run| run.has_accepted(at);
        let password = trade_of(step) == Trade::Password;
        if !password
            || patient
                .runs
                .iter()
                .any(|run| accepted(run) && run.lets_in())
        {
            continue;
        }
        let Some(run) = patient.smoothest(accepted).cloned() else {
            continue;
        };
        let words = Words {
            id: "password-denied",
            what: format!("who gives {} the right password is denied: {} leads to a line that denies", name(step), control(step).escape_debug()),
            fix: "count again how many lines the jump must leave out, pam_ivalt's among them, or move pam_ivalt below the block".to_owned(),
        };
        patient.find(words, Severity::LocksOut, &step.place, Some(&run));
    }
}

/// Our success ends the stack before a password is asked for.
fn token_alone(patient: &mut Patient) {
    let steps = patient.steps;
    let alone = |run: &Run| {
        run.lets_in() && run.ours == Ours::Allowed && run.skipped_password && run.accepted == 0
    };
    let Some(run) = patient.smoothest(alone).cloned() else {
        return;
    };
    let Some((at, module)) = ours(steps).next() else {
        return;
    };
    let words = Words {
        id: "password-not-asked",
        what: format!(
            "{} ends the stack when the token is right: the token replaces the password",
            control(&steps[at]).escape_debug()
        ),
        fix: line(patient.kind, "required", module),
    };
    patient.find(words, Severity::Warning, &steps[at].place, Some(&run));
}

/// A denial that denies only because nothing else in the stack has an opinion.
fn fragile(patient: &mut Patient) {
    let steps = patient.steps;
    let fragile = |run: &Run| run.ours == Ours::Denied && run.undecided;
    if patient.has("denial-does-not-deny") {
        return;
    }
    let Some(run) = patient.smoothest(fragile).cloned() else {
        return;
    };
    let Some((at, module)) = ours(steps).next() else {
        return;
    };
    let words = Words {
        id: "fragile-control",
        what: format!(
            "{} ignores a denial; it denies only because no other module lets in yet",
            control(&steps[at]).escape_debug()
        ),
        fix: line(patient.kind, right_control(&steps[at]), module),
    };
    patient.find(words, Severity::Warning, &steps[at].place, Some(&run));
}

/// An account line: we answer `PAM_IGNORE` there.
pub fn account(patient: &mut Patient) {
    let steps = patient.steps;
    let Some((at, _)) = ours(steps).next() else {
        return;
    };
    let severity = if patient.runs.iter().any(Run::lets_in) {
        Severity::Warning
    } else {
        Severity::LocksOut
    };
    let what = match severity {
        Severity::Warning => "pam_ivalt does nothing for account".to_owned(),
        _ => "pam_ivalt answers PAM_IGNORE for account, and nothing else in this stack lets anybody in".to_owned(),
    };
    let words = Words {
        id: "account-line",
        what,
        fix: "remove this line; auth alone asks for a token".to_owned(),
    };
    let run = patient.smoothest(|_| true).cloned();
    patient.find(words, severity, &steps[at].place, run.as_ref());
}
