//! What a wrong password still leads to.

use super::fixes::{Change, Edit, Fix, Place};
use super::only_after::is_sshd;
use super::paths::{ExecutionPath, IvaltOutcome};
use super::{Message, StackUnderTest, line};
use crate::check::desktop;
use crate::finding::Severity;
use crate::pam_stack::{self, Module, ModuleKind, Rule, RuleTarget, RuleType, ivalt_rules};

/// Checks whether somebody with a wrong password is asked for a token.
pub fn check(stack: &mut StackUnderTest) {
    if !old_form(stack) {
        unseen(stack);
    }
}

/// Whether a stack ends at a wrong password, and goes on to pam_ivalt at a right one; for everybody, root too.
pub fn is_final(stack: &StackUnderTest) -> bool {
    let unasked =
        |path: &ExecutionPath| path.lets_in() && path.facts.ivalt == IvaltOutcome::NotAsked;
    ends_at_refusal(stack) && !stack.paths.iter().any(unasked)
}

/// The same for those whom it asks. There are no paths where the stack was not understood.
fn ends_at_refusal(stack: &StackUnderTest) -> bool {
    let wrong = |path: &ExecutionPath| path.facts.after_refusal;
    let right = |path: &ExecutionPath| {
        let facts = &path.facts;
        let asked = facts.ivalt == IvaltOutcome::Allowed && !facts.method_passed;
        path.lets_in() && asked && !path.has_no_proof()
    };
    !stack.paths.iter().any(wrong) && stack.paths.iter().any(right)
}

/// Services that ask somebody who is at the machine or logged in to it.
const LOCAL: [&str; 6] = ["sudo", "sudo-i", "su", "su-l", "doas", "login"];

/// Who calls these is no stranger, and has such a service tell right passwords anyway: where a wrong one ends the stack, by
/// the token prompt itself.
fn is_local(service: &str) -> bool {
    LOCAL.contains(&service) || desktop::is_known(service)
}

/// A substack keeps a failure to itself: no control field of the lines around it can see it. Without one, the lines say
/// themselves what a wrong password leads to.
fn unseen(stack: &mut StackUnderTest) {
    let rules = stack.rules;
    if is_local(stack.service) {
        return;
    }
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

fn fix(stack: &StackUnderTest, at: usize) -> Fix {
    let include = included(stack, at).map(|(edit, _)| edit);
    let edits = include.into_iter().chain(stack.password_by_jumps());
    let edits: Vec<_> = edits.filter(|edit| ends(stack, edit)).collect();
    let words = if is_sshd(stack.service) {
        "AuthenticationMethods publickey,keyboard-interactive in sshd_config, and pam_ivalt, required, as the only line of \
         auth; users without a key cannot log in by ssh then"
    } else {
        "nothing: an included file with sufficient lines ends the whole stack, also at the right password; SECURITY.md \
         says what a wrong one learns"
    };
    Fix::from(edits).or_words(words)
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
fn new_form(stack: &StackUnderTest, at: usize, substack: Option<usize>, module: &Module) -> Fix {
    const BY_TOOL: &str =
        "ivaltctl disable sshd && ivaltctl enable sshd\nwhere the lines were written manually, ";
    let mut after_key = module.clone();
    after_key.arguments.push("only_after=publickey".to_owned());
    let first = line(
        stack.rule_type,
        "[success=done ignore=ignore default=die]",
        &after_key,
    );
    let above = Change::new(
        &stack.rules[at].location,
        Place::Instead,
        vec![first.clone()],
    );
    let include = substack.and_then(|substack| included(stack, substack));
    let include = include.map(|(edit, include)| {
        let plain = line(stack.rule_type, "required", module);
        let own = ivalt_rules(stack.rules).find(|(below, _)| *below > at);
        let own = own.map(|(own, _)| &stack.rules[own].location);
        let own = own.map(|own| Change::new(own, Place::Instead, vec![plain.clone()]));
        let told = format!("in their place: {first}\nbelow it: {include}\nbelow it: {plain}");
        own.into_iter().fold(edit, Edit::and).told(told)
    });
    let jumps = stack.password_by_jumps().map(|edit| {
        let told = format!("above the others: {first}\nand {}", edit.text);
        edit.told(told)
    });
    let edits = include.into_iter().chain(jumps).map(|edit| {
        let told = format!("{BY_TOOL}{}", edit.text);
        edit.and(above.clone()).told(told)
    });
    let edits: Vec<_> = edits.filter(|edit| ends(stack, edit)).collect();
    Fix::from(edits).or_words(format!(
        "{BY_TOOL}pam_ivalt, required, as the only line of auth, and in sshd_config: AuthenticationMethods \
         publickey,keyboard-interactive; users without a key cannot log in by ssh then"
    ))
}

/// A substack's line that includes its file instead, and that line.
fn included(stack: &StackUnderTest, at: usize) -> Option<(Edit, String)> {
    let rule = &stack.rules[at];
    let inside = stack
        .rules
        .get(at + 1)
        .filter(|inside| inside.level > rule.level)?;
    let name = &inside.included_by.last()?.name;
    let include = format!("{}    include    {name}", stack.rule_type.word());
    Some((
        Edit::replace(&rule.location, vec![include.clone()]),
        include,
    ))
}

/// Whether a wrong password ends the edited stack, and a right one does not.
fn ends(stack: &StackUnderTest, edit: &Edit) -> bool {
    let root = edit.apply(stack.codes.root, stack.service);
    pam_stack::read(&root, stack.service).is_ok_and(|read| {
        let rules = read.own(RuleType::Auth);
        ends_at_refusal(&StackUnderTest::new(
            &root,
            stack.service,
            RuleType::Auth,
            rules,
        ))
    })
}
