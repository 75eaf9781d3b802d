//! Lines that wait for a method of sshd (`only_after=`): those who have not passed it must be asked by another line, and
//! nothing but sshd says who has passed.

use super::fixes::{Edit, Fix};
use super::outcomes::right_control;
use super::paths::{ExecutionPath, IvaltOutcome};
use super::{Message, StackUnderTest, control, line};
use crate::finding::Severity;
use crate::pam_stack::{
    Action, Module, ModuleKind, ReturnCode, Rule, RuleTarget, ivalt_rules, simulate,
};

/// The logins that a stack can tell apart: for each, which of the methods its lines wait for have passed.
pub fn logins(service: &str, rules: &[Rule]) -> Vec<Vec<&'static str>> {
    let mut logins = vec![Vec::new()];
    if !is_sshd(service) {
        return logins;
    }
    let mut methods: Vec<_> = rules.iter().filter_map(Rule::only_after).collect();
    methods.sort_unstable();
    methods.dedup();
    for method in methods {
        let with_it = logins.clone().into_iter();
        logins.extend(with_it.map(|passed| [passed, vec![method]].concat()));
    }
    logins
}

/// sshd asks for the service of its program's name, or of PAMServiceName.
pub fn is_sshd(service: &str) -> bool {
    service.contains("ssh")
}

/// Checks the lines of an auth stack that wait for a method.
pub fn check(stack: &mut StackUnderTest) {
    let waiting =
        ivalt_rules(stack.rules).find_map(|(at, module)| Some((at, module, module.only_after()?)));
    let Some((at, module, method)) = waiting else {
        return;
    };
    if is_sshd(stack.service) {
        not_asked(stack);
        others_denied(stack, at, module, method);
        credentials(stack, at, module);
    } else {
        not_asked(stack);
        elsewhere(stack, at, module);
    }
}

/// A login that has not passed the method gets in, and no line asks it for iVALT.
fn not_asked(stack: &mut StackUnderTest) {
    let free = |path: &ExecutionPath| {
        path.lets_in()
            && path.facts.ivalt == IvaltOutcome::NotAsked
            && path.facts.passed_by.is_none()
            && path.facts.stepped_aside.is_some()
    };
    let Some(path) = stack.best_path(free).cloned() else {
        return;
    };
    let Some((rule, method, module)) = path.facts.stepped_aside.and_then(|at| waiting(stack, at))
    else {
        return;
    };
    let plain = line(stack.rule_type, "required", &without_method(module));
    let fix = if is_below_password(stack.rules, rule) {
        Edit::replace(&rule.location, vec![plain])
    } else {
        let told = format!("add a line below the one that asks for the password: {plain}");
        stack.with_plain_line(rule, module).told(told)
    };
    let message = Message::new(
        "only-after-lets-in",
        format!("logins that have not passed {method} are not asked for iVALT, and get in"),
        fix,
    );
    stack.add(message, Severity::LetsIn, &rule.location, Some(path));
}

fn is_below_password(rules: &[Rule], rule: &Rule) -> bool {
    let above = rules
        .iter()
        .take_while(|other| other.location != rule.location);
    above
        .map(Rule::kind)
        .any(|kind| kind == ModuleKind::Password)
}

fn waiting<'a>(
    stack: &StackUnderTest<'a>,
    at: usize,
) -> Option<(&'a Rule, &'static str, &'a Module)> {
    let rule = &stack.rules[at];
    match &rule.target {
        RuleTarget::Module(module) => Some((rule, module.only_after()?, module)),
        RuleTarget::Substack | RuleTarget::Broken(_) => None,
    }
}

/// A line of pam_ivalt as it asks everybody.
pub fn without_method(module: &Module) -> Module {
    let mut module = module.clone();
    module
        .arguments
        .retain(|word| !word.starts_with("only_after="));
    module
}

/// The control field makes something of `PAM_IGNORE`, so that who has not passed the method does not reach the password.
fn others_denied(stack: &mut StackUnderTest, at: usize, module: &Module, method: &str) {
    let rule = &stack.rules[at];
    let below = stack.rules[at..].iter();
    let has_password = below.filter(|rule| rule.kind() == ModuleKind::Password);
    let lets_in = |path: &ExecutionPath| path.lets_in() && !path.facts.method_passed;
    let ignored = rule.actions[ReturnCode::Ignore] == Action::Ignore;
    if ignored || has_password.count() == 0 || stack.paths.iter().any(lets_in) {
        return;
    }
    let message = Message::new(
        "only-after-denies",
        format!(
            "the control field {} denies logins that have not passed {method}: nobody gets in by the password",
            control(rule).escape_debug()
        ),
        Edit::replace(
            &rule.location,
            vec![line(stack.rule_type, right_control(rule), module)],
        ),
    );
    let path = stack.best_path(|path| !path.facts.method_passed).cloned();
    stack.add(message, Severity::LocksOut, &rule.location, path);
}

/// sshd calls `pam_setcred` on a handle of its own. There such a line answers `PAM_IGNORE`; if no other line sets
/// credentials, libpam denies, and sshd hangs up after the token was right.
fn credentials(stack: &mut StackUnderTest, at: usize, module: &Module) {
    let rules = stack.rules;
    let lets_in = stack.paths.iter().any(ExecutionPath::lets_in);
    let best = |rule: usize| stack.codes.of(&rules[rule], &[])[0];
    let (code, _) = simulate(rules, best);
    if !lets_in || code == ReturnCode::Success {
        return;
    }
    let plain = line(stack.rule_type, "required", &without_method(module));
    let message = Message::new(
        "only-after-alone",
        "pam_setcred fails, since this line sets no credentials and no other line of the stack does: sshd ends every login",
        Fix::from(stack.alone(at, module).told(format!("for key, then iVALT alone: {plain}")))
            .or_words("for key, then iVALT alone, write its line without only_after= in place of all other auth lines"),
    );
    let location = rules[at].location.clone();
    stack.add(message, Severity::LocksOut, &location, None);
}

/// Only sshd says which methods have passed.
fn elsewhere(stack: &mut StackUnderTest, at: usize, module: &Module) {
    let rules = stack.rules;
    let asks = |path: &ExecutionPath| path.lets_in() && path.facts.ivalt != IvaltOutcome::NotAsked;
    let gets_in = stack.paths.iter().any(ExecutionPath::lets_in);
    let severity = if gets_in {
        Severity::Warning
    } else {
        Severity::LocksOut
    };
    let fix = if stack.paths.iter().any(asks) {
        Fix::from(Edit::remove(&rules[at].location))
    } else {
        let plain = line(stack.rule_type, "required", &without_method(module));
        let told = format!("below the line that asks for the password: {plain}");
        let edit = stack.in_plain_place(&rules[at], module).told(told);
        Fix::from(edit).or_words(
            "write the line without only_after=, below the one that asks for the password",
        )
    };
    let message = Message::new(
        "only-after-elsewhere",
        "only_after= waits for what sshd alone says, so that this line never asks anybody",
        fix,
    );
    let path = stack.best_path(|_| true).cloned();
    let location = rules[at].location.clone();
    stack.add(message, severity, &location, path);
}
