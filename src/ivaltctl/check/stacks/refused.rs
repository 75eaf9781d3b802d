//! What a wrong password still leads to.

use super::only_after::is_sshd;
use super::paths::{ExecutionPath, IvaltOutcome};
use super::{Message, StackUnderTest, line};
use crate::finding::Severity;
use crate::pam_stack::{Module, ModuleKind, Rule, RuleTarget, ivalt_rules};

/// Checks whether somebody with a wrong password is asked for a token.
pub fn check(stack: &mut StackUnderTest) {
    if !old_form(stack) {
        unseen(stack);
    }
}

/// Whether a stack ends at a wrong password, and goes on to pam_ivalt at a right one.
pub fn is_final(stack: &StackUnderTest) -> bool {
    all_final(&stack.paths)
}

fn all_final(paths: &[ExecutionPath]) -> bool {
    let wrong = |path: &ExecutionPath| {
        path.facts.after_refusal || (path.lets_in() && path.facts.ivalt == IvaltOutcome::NotAsked)
    };
    let right = |path: &ExecutionPath| {
        let facts = &path.facts;
        let asked = facts.ivalt == IvaltOutcome::Allowed && !facts.method_passed;
        path.lets_in() && asked && !path.has_no_proof()
    };
    !paths.iter().any(wrong) && paths.iter().any(right)
}

/// A substack keeps a failure to itself: no control field of the lines around it can see it.
fn unseen(stack: &mut StackUnderTest) {
    let rules = stack.rules;
    let refused =
        |path: &ExecutionPath| path.facts.after_refusal && password_substack(rules, path).is_some();
    let Some(path) = stack.best_path(refused).cloned() else {
        return;
    };
    let Some(at) = password_substack(rules, &path) else {
        return;
    };
    let message = Message::new(
        "wrong-password-goes-on",
        "a wrong password does not end this stack, since a substack keeps its failure to itself: whoever knows no \
         password is asked for a token, and learns who is enrolled and whether a token is right",
        fix(stack, at),
    );
    stack.add(message, Severity::Warning, &rules[at].location, Some(path));
}

fn fix(stack: &StackUnderTest, at: usize) -> String {
    let included = as_include(stack.rules, at);
    let name = included.get(at).and_then(|rule| rule.included_by.last());
    match name {
        Some(include) if all_final(&stack.paths_of(&included)) => {
            format!("{}    include    {}", stack.rule_type.word(), include.name)
        }
        _ if is_sshd(stack.service) => {
            "AuthenticationMethods publickey,keyboard-interactive in sshd_config, and in place of this line and the one of \
             pam_ivalt: auth    required    pam_ivalt.so; users without a key cannot log in by ssh then"
                .to_owned()
        }
        _ => "nothing: an included file with sufficient lines ends the whole stack, also at the right password; SECURITY.md \
              says what a wrong one learns"
            .to_owned(),
    }
}

/// The rules as they would be if the line included its file, not as a substack.
fn as_include(rules: &[Rule], at: usize) -> Vec<Rule> {
    let inside = |rule: &&Rule| rule.level > rules[at].level;
    let length = rules[at + 1..].iter().take_while(inside).count();
    let mut included = rules.to_vec();
    included[at + 1..=at + length]
        .iter_mut()
        .for_each(|rule| rule.level -= 1);
    included.remove(at);
    included
}

/// The rule that includes the password as a substack, where pam_ivalt is outside.
fn password_substack(rules: &[Rule], path: &ExecutionPath) -> Option<usize> {
    let called = |kind| {
        let mut called = path.returned.iter().map(|(at, _)| *at);
        called.find(|at| rules[*at].kind() == kind)
    };
    let password = called(ModuleKind::Password)?;
    let ivalt = path
        .returned
        .iter()
        .map(|(at, _)| *at)
        .find(|at| *at > password && rules[*at].kind() == ModuleKind::Ivalt)?;
    if rules[password].level <= rules[ivalt].level {
        return None;
    }
    let level = rules[ivalt].level;
    let is_it = |rule: &Rule| rule.target == RuleTarget::Substack && rule.level == level;
    rules[..password].iter().rposition(is_it)
}

/// What `ivaltctl enable sshd` wrote before `only_after=`: a shell that looks for the key, a jump, a substack.
fn old_form(stack: &mut StackUnderTest) -> bool {
    let rules = stack.rules;
    let Some(at) = rules.iter().position(looks_for_the_key) else {
        return false;
    };
    let Some((_, module)) = ivalt_rules(rules).find(|(below, _)| *below > at) else {
        return false;
    };
    let Some(path) = stack.best_path(|path| path.facts.after_refusal).cloned() else {
        return false;
    };
    let fix = new_form(stack, at, password_substack(rules, &path), module);
    let message = Message::new(
        "old-key-or-password",
        "a shell decides who is asked for the password, and a wrong one does not end this stack: whoever knows none is \
         asked for a token, and learns who is enrolled and whether a token is right",
        fix,
    );
    stack.add(message, Severity::Warning, &rules[at].location, Some(path));
    true
}

fn looks_for_the_key(rule: &Rule) -> bool {
    let RuleTarget::Module(module) = &rule.target else {
        return false;
    };
    let mut words = module.arguments.iter();
    module.name() == "pam_exec" && words.any(|word| word.contains("SSH_AUTH_INFO_0"))
}

/// By the tool, which knows what was there before, or by hand.
fn new_form(stack: &StackUnderTest, at: usize, substack: Option<usize>, module: &Module) -> String {
    let own = |control, module| line(stack.rule_type, control, module);
    let plain = own("required", module);
    let mut after_key = module.clone();
    after_key.arguments.push("only_after=publickey".to_owned());
    let first = own("[success=done ignore=ignore default=die]", &after_key);
    let by_hand = match substack.and_then(|substack| include_that_ends(stack, at, substack)) {
        Some(include) => format!("{first}\nbelow it: {include}\nbelow it: {plain}"),
        None => format!(
            "{plain}\nand in sshd_config: AuthenticationMethods publickey,keyboard-interactive; users without a key cannot log \
             in by ssh then"
        ),
    };
    format!(
        "ivaltctl disable sshd && ivaltctl enable sshd\nwhere the lines were written manually, in their place: {by_hand}"
    )
}

/// The line that includes the password's file, if a wrong password then ends the stack. `jump` is the line that goes.
fn include_that_ends(stack: &StackUnderTest, jump: usize, substack: usize) -> Option<String> {
    let mut included = as_include(stack.rules, substack);
    let name = included.get(substack)?.included_by.last()?.name.clone();
    included.remove(jump);
    all_final(&stack.paths_of(&included)).then(|| format!("auth    include    {name}"))
}
