//! Lines that libpam cannot use.

use super::fixes::{Edit, Fix};
use super::paths::{ExecutionPath, IvaltOutcome};
use super::{Message, StackUnderTest, control};
use crate::finding::Severity;
use crate::pam_stack::{
    Action, Fault, Location, Module, ModuleKind, ReturnCode, Rule, RuleTarget, RuleType,
    carriage_return,
};

/// Checks every line of the stack for faults.
pub fn check(stack: &mut StackUnderTest) {
    let rules = stack.rules;
    for (at, rule) in rules.iter().enumerate() {
        match &rule.target {
            RuleTarget::Broken(fault) => broken(stack, rule, fault),
            RuleTarget::Module(module) => {
                unknown_control(stack, at, rule, module);
                missing(stack, at, rule, module);
                last_argument(stack, rule, module);
            }
            RuleTarget::Substack => {}
        }
    }
}

/// What the stack makes of such a line: nobody gets in, or there are ways around it.
fn severity(stack: &StackUnderTest) -> Severity {
    let counts = |path: &&ExecutionPath| {
        stack.rule_type != RuleType::Auth || path.facts.ivalt == IvaltOutcome::Allowed
    };
    if stack
        .paths
        .iter()
        .filter(counts)
        .any(ExecutionPath::lets_in)
    {
        Severity::Warning
    } else {
        Severity::LocksOut
    }
}

fn broken(stack: &mut StackUnderTest, rule: &Rule, fault: &Fault) {
    let what = fault.what();
    let what = format!("{what}; libpam treats the line as a failing module");
    let message = Message::new(id(fault), what, fix(fault, &rule.location));
    let path = stack.best_path(|_| true).cloned();
    stack.add(message, severity(stack), &rule.location, path);
}

/// Without the line, but where something may be missing then.
fn fix(fault: &Fault, location: &Location) -> Fix {
    let words = fault.fix();
    let kept = words
        .split_once(", or put #")
        .or_else(|| words.split_once("; or put #"));
    match (fault, kept) {
        (Fault::TooDeep(_) | Fault::NoName, _) => {
            Fix::from(Edit::remove(location).told(words)).or_words("name the file that is meant")
        }
        (_, Some((kept, _))) => Fix::from(Edit::remove(location).told(words)).or_words(kept),
        (_, None) => words.into(),
    }
}

fn id(fault: &Fault) -> &'static str {
    match fault {
        Fault::Type(_) | Fault::NoControl | Fault::NoModule | Fault::NoName => "broken-line",
        Fault::NoFile(_) => "missing-include",
        Fault::TooDeep(_) => "include-loop",
        Fault::FileUnusable(_) => "broken-include",
    }
}

fn unknown_control(stack: &mut StackUnderTest, at: usize, rule: &Rule, module: &Module) {
    let Some(fault) = rule.control_fault else {
        return;
    };
    let message = Message::new(
        "unknown-control",
        format!(
            "invalid control field {} ({fault}): libpam denies whatever {} returns",
            control(rule).escape_debug(),
            module.name().escape_debug(),
        ),
        Fix::from(stack.with_controls(at, &["required", "requisite"])).or_words(
            "write required, requisite, sufficient or optional in its place, whichever is meant",
        ),
    );
    let path = stack
        .best_path(|path| path.returned_by(at).is_some())
        .cloned();
    stack.add(message, severity(stack), &rule.location, path);
}

fn missing(stack: &mut StackUnderTest, at: usize, rule: &Rule, module: &Module) {
    // pam_ivalt.so itself is another check's (module_file).
    let harmless = rule.actions[ReturnCode::ModuleUnknown] == Action::Ignore;
    if module.kind() == ModuleKind::Ivalt || harmless || !stack.codes.is_missing(module) {
        return;
    }
    let message = Message::new(
        "missing-module",
        format!(
            "{} does not exist; libpam denies instead of calling it",
            module.path.escape_debug()
        ),
        format!(
            "install {}, or correct its name in this line",
            module.name().escape_debug()
        ),
    );
    let path = stack
        .best_path(|path| path.returned_by(at).is_some())
        .cloned();
    stack.add(message, severity(stack), &rule.location, path);
}

/// An argument that pam_ivalt does not know is a finding of its own.
fn last_argument(stack: &mut StackUnderTest, rule: &Rule, module: &Module) {
    let Some(word) = module.arguments.last().filter(|word| word.ends_with('\r')) else {
        return;
    };
    if module.kind() == ModuleKind::Ivalt && module.ivalt_arguments().is_err() {
        return;
    }
    let Some((cause, fix)) = carriage_return(stack.codes.root, &rule.location) else {
        return;
    };
    let what = format!(
        "{cause}: {} is given {}",
        module.name().escape_debug(),
        word.escape_debug()
    );
    let message = Message::new("carriage-return", what, fix);
    stack.add(message, Severity::Warning, &rule.location, None);
}
