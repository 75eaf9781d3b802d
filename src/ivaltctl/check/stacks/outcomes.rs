//! What the stack decides, over all that its modules may return.

use super::only_after::logins;
use super::paths::{ExecutionPath, IvaltOutcome};
use super::{Message, StackUnderTest, control, ignores, line};
use crate::finding::Severity;
use crate::pam_stack::{
    Action, Include, Location, Module, ModuleKind, ReturnCode, Rule, RuleTarget, is_beyond_end,
    ivalt_rules,
};

/// Checks an auth stack.
pub fn check(stack: &mut StackUnderTest) {
    denial(stack);
    passed(stack);
    ignored(stack);
    jumps(stack);
    acceptance(stack);
    passwords(stack);
    token_alone(stack);
    fragile(stack);
}

fn name(rule: &Rule) -> String {
    match &rule.target {
        RuleTarget::Module(module) => module.name().escape_debug().to_string(),
        RuleTarget::Substack | RuleTarget::Broken(_) => String::new(),
    }
}

/// The control field as it should be: what it was, but with a denial that denies.
pub fn right_control(rule: &Rule) -> &'static str {
    match rule.actions[ReturnCode::Success] {
        _ if rule.only_after().is_some() => "[success=done ignore=ignore default=die]",
        Action::Done => "[success=done new_authtok_reqd=done default=die]",
        _ => "required",
    }
}

/// pam_ivalt denies, and the user gets in.
fn denial(stack: &mut StackUnderTest) {
    let rules = stack.rules;
    for (at, module) in ivalt_rules(rules) {
        let rule = &rules[at];
        let denied = |path: &ExecutionPath| {
            let neither =
                |code: &ReturnCode| ![ReturnCode::Success, ReturnCode::Ignore].contains(code);
            path.returned_by(at).filter(neither)
        };
        let path = stack.best_path(|path| {
            path.lets_in() && path.facts.ivalt == IvaltOutcome::Denied && denied(path).is_some()
        });
        let Some((path, code)) = path.and_then(|path| Some((path.clone(), denied(path)?))) else {
            continue;
        };
        let undone = match rule.actions[code] {
            Action::Bad | Action::Die => reset(rules, &path, at),
            _ => None,
        };
        let culprit = undone.unwrap_or(rule);
        let what = format!(
            "the control field {} lets a login succeed that pam_ivalt has denied ({code})",
            control(culprit).escape_debug(),
        );
        let fix = match undone {
            Some(culprit) => format!("write bad for reset in {}", control(culprit).escape_debug()),
            None => line(stack.rule_type, right_control(rule), module),
        };
        let message = Message::new("denial-does-not-deny", what, fix);
        stack.add(message, Severity::LetsIn, &culprit.location, Some(path));
    }
}

/// The rule that overrode the denial.
fn reset<'a>(rules: &'a [Rule], path: &ExecutionPath, after: usize) -> Option<&'a Rule> {
    let later = path.returned.iter().filter(|(rule, _)| *rule > after);
    let mut resets = later.filter(|(rule, code)| rules[*rule].actions[*code] == Action::Reset);
    resets.next().map(|(rule, _)| &rules[*rule])
}

/// The user gets in, and pam_ivalt is not asked.
fn passed(stack: &mut StackUnderTest) {
    for (at, rule) in stack.rules.iter().enumerate() {
        let kind = rule.kind();
        let by = |path: &ExecutionPath| {
            path.lets_in()
                && path.facts.ivalt == IvaltOutcome::NotAsked
                && path.facts.passed_by == Some(at)
        };
        // Root becomes any user without being asked, as su always allows.
        let Some(path) = stack.best_path(by).filter(|_| kind != ModuleKind::Root) else {
            continue;
        };
        // A condition that spares some users the token, not the password, may be what an administrator wants.
        let condition = matches!(kind, ModuleKind::Condition | ModuleKind::Factor);
        let free = stack.best_path(|path| by(path) && (!condition || path.has_no_proof()));
        let severity = match free {
            Some(_) => Severity::LetsIn,
            None => Severity::Warning,
        };
        let path = free.unwrap_or(path).clone();
        bypass(stack, at, severity, path);
    }
}

fn bypass(stack: &mut StackUnderTest, at: usize, severity: Severity, path: ExecutionPath) {
    let rule = &stack.rules[at];
    // Below a pam_deny that has denied already, asking iVALT changes nothing.
    let asked = |path: &ExecutionPath| path.lets_in() && path.facts.ivalt != IvaltOutcome::NotAsked;
    let reached = stack.paths.iter().any(asked);
    let id = match (severity, reached) {
        (Severity::Warning, _) => "some-not-asked",
        (_, true) => "bypassed",
        (_, false) => "never-reached",
    };
    let code = path.returned_by(at).unwrap_or(ReturnCode::Success);
    let how = match rule.actions[code] {
        Action::Jump(_) => "jumps over pam_ivalt",
        _ => "ends the stack before pam_ivalt is asked",
    };
    let what = format!(
        "{} {how} when {} returns {code}: such logins need no token",
        control(rule).escape_debug(),
        name(rule),
    );
    let (location, fix) = fix_bypass(stack, at, severity);
    stack.add(Message::new(id, what, fix), severity, &location, Some(path));
}

/// Where to put the pam_ivalt line, or how to keep the other one from ending its stack.
fn fix_bypass(stack: &StackUnderTest, at: usize, severity: Severity) -> (Location, String) {
    let rules = stack.rules;
    let rule = &rules[at];
    let location = rule.location.clone();
    let Some((below, module)) = ivalt_rules(rules).find(|(below, _)| *below > at) else {
        return (location, String::new());
    };
    let ivalt = &rules[below];
    let own = line(stack.rule_type, &control(ivalt), module);
    if severity == Severity::Warning {
        let fix = format!("nothing, if that is meant; else move above this line: {own}");
        return (location, fix);
    }
    if let Some(include) = included_apart(rule, ivalt) {
        let fix = format!("{}    substack    {}", stack.rule_type.word(), include.name);
        return (include.location.clone(), fix);
    }
    let fix = match rule.actions[ReturnCode::Success] {
        Action::Jump(_) => format!("move below the line the jump leads to: {own}"),
        _ => format!(
            "move above line {} of {}: {own}",
            location.line,
            location.file.display()
        ),
    };
    (location, fix)
}

/// The line that includes the file of the rule that ends the stack, but not that of the other: as a substack it would
/// end only itself.
fn included_apart<'a>(rule: &'a Rule, other: &Rule) -> Option<&'a Include> {
    let both = rule.included_by.iter().zip(&other.included_by);
    let shared = both.take_while(|(a, b)| a == b).count();
    rule.included_by.get(shared)
}

/// `[policy]` lets pam_ivalt step aside. Then another module must have asked for a proof: CVE-2025-23013 was the lack
/// of one.
fn ignored(stack: &mut StackUnderTest) {
    let rules = stack.rules;
    let mut plain = ivalt_rules(rules).filter(|(_, module)| module.only_after().is_none());
    let Some((at, module)) = plain.next().filter(|_| stack.codes.tolerant) else {
        return;
    };
    let free = |path: &ExecutionPath| {
        path.lets_in() && path.facts.ivalt == IvaltOutcome::Ignored && path.has_no_proof()
    };
    let Some(path) = stack.best_path(free).cloned() else {
        return ignored_in_vain(stack, at, module);
    };
    let grants = |(rule, code): &&(usize, ReturnCode)| {
        let action = rules[*rule].actions[*code];
        *code == ReturnCode::Success && matches!(action, Action::Ok | Action::Done)
    };
    let granted = path.returned.iter().find(grants);
    let granted = granted.map_or(&rules[at], |(rule, _)| &rules[*rule]);
    let message = Message::new(
        "ignore-lets-in",
        format!(
            "when [policy] lets pam_ivalt return PAM_IGNORE, {} alone makes the login succeed: no module has asked for a proof",
            name(granted)
        ),
        format!(
            "set unenrolled and unavailable to \"deny\" in [policy], or write: {}",
            line(stack.rule_type, "[success=ok default=bad]", module)
        ),
    );
    stack.add(message, Severity::LetsIn, &rules[at].location, Some(path));
}

/// pam_ivalt returns `PAM_IGNORE`, and no other module lets anybody in.
fn ignored_in_vain(stack: &mut StackUnderTest, at: usize, module: &Module) {
    let rule = &stack.rules[at];
    let ignored = |path: &ExecutionPath| path.facts.ivalt == IvaltOutcome::Ignored;
    let meant = rule.actions[ReturnCode::Ignore] != Action::Ignore;
    let lets_in = |path: &ExecutionPath| path.lets_in() && ignored(path);
    if meant || stack.paths.iter().any(lets_in) {
        return;
    }
    let keys = ignores(stack.codes.root, module);
    let (severity, who) = match keys.as_slice() {
        ["unavailable"] => (Severity::Warning, "during an outage everybody is"),
        ["unenrolled"] => (Severity::LocksOut, "users without an entry are"),
        _ => (
            Severity::LocksOut,
            "users without an entry, and during an outage everybody, are",
        ),
    };
    let what = format!(
        "[policy] says \"ignore\" for {}, but no other module of this stack lets anybody in: {who} denied all the same \
         (PAM_PERM_DENIED)",
        keys.join(" and ")
    );
    let fix = format!(
        "say what happens: set {} to \"deny\" in [policy]",
        keys.join(" and ")
    );
    let path = stack.best_path(ignored).cloned();
    let message = Message::new("ignore-denies", what, fix);
    stack.add(message, severity, &rule.location, path);
}

/// Jumps beyond the end of their stack, for which libpam denies.
fn jumps(stack: &mut StackUnderTest) {
    let rules = stack.rules;
    for (at, rule) in rules.iter().enumerate() {
        let is_module = matches!(rule.target, RuleTarget::Module(_));
        let beyond = |code: &ReturnCode| is_beyond_end(rules, at, rule.actions[*code]);
        let codes = logins(stack.service, rules)
            .into_iter()
            .flat_map(|passed| stack.codes.of(rule, &passed));
        let Some(code) = codes.filter(|_| is_module).find(beyond) else {
            continue;
        };
        let severity = match code {
            ReturnCode::Success => Severity::LocksOut,
            _ => Severity::Warning,
        };
        let message = Message::new(
            "jump-beyond-end",
            format!(
                "{} jumps beyond the last line of its stack when {} returns {code}: libpam denies",
                control(rule).escape_debug(),
                name(rule),
            ),
            "count the lines that follow in this stack, a substack as one, and jump over fewer",
        );
        let path = stack
            .best_path(|path| path.returned_by(at) == Some(code))
            .cloned();
        stack.add(message, severity, &rule.location, path);
    }
}

/// The token is right, and the user does not get in whatever the other modules return.
fn acceptance(stack: &mut StackUnderTest) {
    let allowed = |path: &ExecutionPath| path.facts.ivalt == IvaltOutcome::Allowed;
    let lets_in = |path: &ExecutionPath| path.lets_in() && allowed(path);
    let reached = !stack.has("never-reached") && !stack.has("only-after-lets-in");
    let explained = stack.has_severity(Severity::LocksOut) || !reached;
    if explained || stack.paths.iter().any(lets_in) {
        return;
    }
    let Some((at, module)) = ivalt_rules(stack.rules).next() else {
        return;
    };
    let rule = &stack.rules[at];
    let (what, fix) = match rule.actions[ReturnCode::Success] {
        Action::Ok | Action::Done => (
            "no login succeeds, whatever the modules return".to_owned(),
            "move the line to where a login that has passed the password goes on: below @include common-auth, or below \
             auth substack system-auth"
                .to_owned(),
        ),
        _ => (
            format!(
                "under {} an accepted token does not let in",
                control(rule).escape_debug()
            ),
            line(stack.rule_type, "required", module),
        ),
    };
    let message = Message::new("acceptance-denied", what, fix);
    let path = stack
        .best_path(allowed)
        .or_else(|| stack.best_path(|_| true));
    let path = path.cloned();
    stack.add(message, Severity::LocksOut, &rule.location, path);
}

/// A password is right, and its owner does not get in whatever the other modules return.
fn passwords(stack: &mut StackUnderTest) {
    if stack.has_severity(Severity::LocksOut) {
        return;
    }
    for (at, rule) in stack.rules.iter().enumerate() {
        let accepted = |path: &ExecutionPath| path.has_accepted(at);
        let lets_in = |path: &ExecutionPath| accepted(path) && path.lets_in();
        if rule.kind() != ModuleKind::Password || stack.paths.iter().any(lets_in) {
            continue;
        }
        let Some(path) = stack.best_path(accepted).cloned() else {
            continue;
        };
        let message = Message::new(
            "password-denied",
            format!(
                "a user with the right password for {} is denied: {} leads to a line that denies",
                name(rule),
                control(rule).escape_debug()
            ),
            "count again how many lines the jump must skip, pam_ivalt's among them, or move pam_ivalt below the block",
        );
        stack.add(message, Severity::LocksOut, &rule.location, Some(path));
    }
}

/// An accepted token ends the stack before a password is asked for.
fn token_alone(stack: &mut StackUnderTest) {
    let alone = |path: &ExecutionPath| {
        path.lets_in()
            && path.facts.ivalt == IvaltOutcome::Allowed
            && path.facts.skipped_password
            && path.has_no_proof()
    };
    let path = stack.best_path(alone).cloned();
    let ivalt = ivalt_rules(stack.rules).next();
    let (Some(path), Some((at, module))) = (path, ivalt) else {
        return;
    };
    let rule = &stack.rules[at];
    // One that names no method for `only_after=` has a fix of its own.
    if module.only_after_word().is_some() && module.only_after().is_none() {
        return;
    }
    let message = Message::new(
        "password-not-asked",
        format!(
            "{} ends the stack when the token is right: the token replaces the password",
            control(rule).escape_debug()
        ),
        line(stack.rule_type, alone_control(rule), module),
    );
    stack.add(message, Severity::Warning, &rule.location, Some(path));
}

/// One that goes on to the password.
fn alone_control(rule: &Rule) -> &'static str {
    match rule.only_after() {
        Some(_) => right_control(rule),
        None => "required",
    }
}

/// A denial that denies only because no other module in the stack lets anybody in.
fn fragile(stack: &mut StackUnderTest) {
    if stack.has("denial-does-not-deny") {
        return;
    }
    let fragile = |path: &ExecutionPath| path.facts.ivalt == IvaltOutcome::Denied && path.undecided;
    let path = stack.best_path(fragile).cloned();
    let Some(path) = path else { return };
    let asked = |(at, _): &(usize, _)| {
        path.returned_by(*at).is_some() && !path.steps_aside(stack.rules, *at)
    };
    let Some((at, module)) = ivalt_rules(stack.rules).find(asked) else {
        return;
    };
    let rule = &stack.rules[at];
    let message = Message::new(
        "fragile-control",
        format!(
            "{} ignores a denial; it denies only because no other module lets in yet",
            control(rule).escape_debug()
        ),
        line(stack.rule_type, right_control(rule), module),
    );
    stack.add(message, Severity::Warning, &rule.location, Some(path));
}

/// An account line: pam_ivalt returns `PAM_IGNORE` there.
pub fn account(stack: &mut StackUnderTest) {
    let Some((at, _)) = ivalt_rules(stack.rules).next() else {
        return;
    };
    let (severity, what) = if stack.paths.iter().any(ExecutionPath::lets_in) {
        (Severity::Warning, "pam_ivalt does nothing for account")
    } else {
        (
            Severity::LocksOut,
            "pam_ivalt returns PAM_IGNORE for account, and no other module of this stack lets anybody in",
        )
    };
    let message = Message::new(
        "account-line",
        what,
        "remove this line; auth alone asks for a token",
    );
    let path = stack.best_path(|_| true).cloned();
    stack.add(message, severity, &stack.rules[at].location, path);
}
