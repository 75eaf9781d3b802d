//! What can be seen of the pam_ivalt lines themselves: their arguments, their place among the others.

use ivalt_core::arguments::FirstPass;

use super::fixes::{Edit, Fix};
use super::outcomes::right_control;
use super::{Message, StackUnderTest, control, line};
use crate::finding::Severity;
use crate::pam_stack::{Location, Module, ModuleKind, ReturnCode, Rule, RuleTarget, ivalt_rules};

/// Checks every pam_ivalt line.
pub fn check(stack: &mut StackUnderTest) {
    for (at, module) in ivalt_rules(stack.rules) {
        match module.ivalt_arguments() {
            Err(why) => bad_argument(stack, at, module, &why),
            Ok(arguments) => first_pass(stack, at, module, arguments.first_pass),
        }
    }
    twice(stack);
    before_password(stack);
}

fn bad_argument(stack: &mut StackUnderTest, at: usize, module: &Module, why: &str) {
    let rule = &stack.rules[at];
    let path = stack.simulate(at, ReturnCode::ServiceErr);
    // Without a method, a first line would ask strangers.
    let plain = Module {
        arguments: module
            .only_after_word()
            .map(|_| "only_after=publickey".to_owned())
            .into_iter()
            .collect(),
        ..module.clone()
    };
    let plain = line(stack.rule_type, &control(rule), &plain);
    let fix = Edit::replace(&rule.location, vec![plain]);
    let message = Message::new(
        "bad-argument",
        format!("{why}; pam_ivalt denies everybody (misconfigured)"),
        Fix::from(fix.clone().told(format!("for instance: {}", fix.text)))
            .or_words("correct the arguments: pam_ivalt(8) has them all"),
    );
    stack.add(message, Severity::LocksOut, &rule.location, Some(path));
}

fn first_pass(stack: &mut StackUnderTest, at: usize, module: &Module, first_pass: FirstPass) {
    let word = match first_pass {
        FirstPass::Never => return,
        FirstPass::Try => "try_first_pass",
        FirstPass::Use => "use_first_pass",
    };
    let rules = stack.rules;
    let above = |kind| rules[..at].iter().any(|rule| rule.kind() == kind);
    let (id, severity, what) = match first_pass {
        _ if above(ModuleKind::Password) => (
            "password-leaves",
            Severity::Warning,
            "the UNIX password that a module above took is sent to iVALT as the token",
        ),
        _ if above(ModuleKind::Unknown) => return,
        FirstPass::Use => (
            "first-pass-without-password",
            Severity::LocksOut,
            "no module above takes a password, so that there is no token and everybody is denied",
        ),
        FirstPass::Try | FirstPass::Never => (
            "first-pass-without-password",
            Severity::Warning,
            "no module above takes a password, so that the argument does nothing",
        ),
    };
    let mut without = module.clone();
    without.arguments.retain(|argument| argument != word);
    let without = line(stack.rule_type, &control(&rules[at]), &without);
    let fix = Edit::replace(&rules[at].location, vec![without]);
    let message = Message::new(id, format!("{word}: {what}"), fix);
    let path = stack.simulate(at, ReturnCode::ConvErr);
    stack.add(message, severity, &rules[at].location, Some(path));
}

fn twice(stack: &mut StackUnderTest) {
    let rules = stack.rules;
    let mut twice = stack.paths.iter().filter(|path| path.facts.asked > 1);
    let Some(path) = twice.next() else {
        return;
    };
    let called = path.returned.iter().map(|(rule, _)| *rule);
    let ivalt = called.filter(|rule| rules[*rule].kind() == ModuleKind::Ivalt);
    let asks = |rule: &usize| !path.steps_aside(rules, *rule);
    let mut ivalt = ivalt.filter(asks);
    let (Some(first), Some(second)) = (ivalt.next(), ivalt.next()) else {
        return;
    };
    let (fix, at) = match &rules[first].target {
        // Without the second line, nobody who has not passed the method is asked.
        RuleTarget::Module(module) if module.only_after().is_some() => {
            let own = line(stack.rule_type, right_control(&rules[first]), module);
            let told = format!("in the file of the service itself: {own}");
            let edit = stack.with_control(first, right_control(&rules[first]));
            // In a substack it would only end that.
            let fix = Fix::from(edit.told(told)).or_words(
                "put the line into the file of the service itself, so that it ends the whole stack",
            );
            (fix, first)
        }
        _ => (Edit::remove(&rules[second].location).into(), second),
    };
    let message = Message::new(
        "asked-twice",
        "one login passes pam_ivalt twice: the user is asked for two tokens",
        fix,
    );
    stack.add(message, Severity::Warning, &rules[at].location, None);
}

/// A password typed at the token prompt is recognised only when a module above has taken it.
fn before_password(stack: &mut StackUnderTest) {
    let rules = stack.rules;
    // Strangers do not reach a line that waits for a key; one that names no method has a fix of its own.
    let mut asking = ivalt_rules(rules).filter(|(_, module)| module.only_after_word().is_none());
    let Some((first, _)) = asking.next() else {
        return;
    };
    let is_password = |rule: &&Rule| rule.kind() == ModuleKind::Password;
    if rules[..first].iter().any(|rule| is_password(&rule)) {
        return;
    }
    if !rules[first..].iter().any(|rule| is_password(&rule)) {
        return;
    }
    let mut edits = stack.moved_below(first, &control(&rules[first]));
    edits.extend(stack.password_by_jumps());
    let message = Message::new(
        "before-password",
        "strangers reach iVALT without knowing a password, and a password typed as the token cannot be recognised and is sent",
        Fix::from(edits).or_words(
            "nothing, if that is meant; else put the lines that ask for the password above this one, so that a wrong \
             password ends the stack",
        ),
    );
    stack.add(message, Severity::Warning, &rules[first].location, None);
}

/// Without a line of another type.
pub fn only_auth(location: &Location) -> Fix {
    Edit::remove(location)
        .told("remove this line; auth alone asks for a token")
        .into()
}

/// For sessions and changes of passwords the module returns `PAM_IGNORE`.
pub fn does_nothing(stack: &mut StackUnderTest) {
    let rules = stack.rules;
    for (at, _) in ivalt_rules(rules) {
        let what = format!("pam_ivalt does nothing for {}", stack.rule_type.word());
        let message = Message::new("does-nothing", what, only_auth(&rules[at].location));
        stack.add(message, Severity::Warning, &rules[at].location, None);
    }
}
