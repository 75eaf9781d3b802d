//! What the stack decides, over all that its modules may return.

use super::fixes::{Edit, Fix, Place};
use super::only_after::logins;
use super::paths::{ExecutionPath, IvaltOutcome};
use super::shape::only_auth;
use super::{EXEMPT, Message, StackUnderTest, control, ignores, line, module_of};
use crate::finding::{Finding, Severity};
use crate::pam_stack::{
    Action, Include, Location, Module, ModuleKind, ReturnCode, Rule, RuleTarget, asks_for_login,
    is_beyond_end, ivalt_rules,
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
    password_not_needed(stack);
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
        let edits = match undone {
            Some(culprit) => stack.bad_for_reset(culprit),
            None => stack.denying(at, module),
        };
        let message = Message::new("denial-does-not-deny", what, edits);
        stack.add(message, Severity::LetsIn, &culprit.location, Some(path));
    }
}

impl StackUnderTest<'_> {
    fn bad_for_reset(&self, culprit: &Rule) -> Vec<Edit> {
        let Some(module) = module_of(culprit) else {
            return Vec::new();
        };
        let written = control(culprit);
        let bad = line(self.rule_type, &written.replace("reset", "bad"), module);
        let told = format!("write bad for reset in {}", written.escape_debug());
        vec![Edit::replace(&culprit.location, vec![bad]).told(told)]
    }

    /// The line with a control field under which its denial denies, and what that needs beside it.
    fn denying(&self, at: usize, module: &Module) -> Vec<Edit> {
        let rule = &self.rules[at];
        let right = right_control(rule);
        let mut edits = self.with_controls(at, &[right, "required", "[success=1 default=ignore]"]);
        edits.extend(self.moved_below(at, "required"));
        if rule.only_after().is_some() {
            let alone = self.with_control(at, right);
            let second = self.plain_below_password(rule, module);
            edits.extend(second.map(|second| {
                let told = format!(
                    "{}\nand below line {} of {}: {}",
                    alone.text,
                    second.location.line,
                    second.location.file.display(),
                    second.lines.join("")
                );
                alone.and(second).told(told)
            }));
        }
        edits
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
fn fix_bypass(stack: &StackUnderTest, at: usize, severity: Severity) -> (Location, Fix) {
    let rules = stack.rules;
    let rule = &rules[at];
    let location = rule.location.clone();
    let Some((below, module)) = ivalt_rules(rules).find(|(below, _)| *below > at) else {
        return (location, Fix::from(Vec::new()));
    };
    let ivalt = &rules[below];
    let written = control(ivalt);
    let own = line(stack.rule_type, &written, module);
    if severity == Severity::Warning {
        let above = Edit::relocate(&ivalt.location, Place::Above, &location, own.clone());
        let told = format!("nothing, if that is meant; else move above this line: {own}");
        let fix = Fix::from(above.told(told));
        return (location, fix.or_words("nothing, if that is meant"));
    }
    let mut edits = Vec::new();
    if let Some(include) = included_apart(rule, ivalt) {
        let substack = format!("{}    substack    {}", stack.rule_type.word(), include.name);
        let mut lines = vec![substack];
        lines.extend(stack.other_lines(include));
        edits.push(Edit::replace(&include.location, lines));
        edits.extend(stack.password_by_jumps());
        return (include.location.clone(), edits.into());
    }
    if asks_for_login(rule) {
        edits.push(stack.with_control(at, "requisite"));
    }
    if let Action::Jump(_) = rule.actions[ReturnCode::Success] {
        let mut moved = stack.moved_below(below, &written);
        if let Some(first) = moved.first_mut() {
            first.text = format!("move below the line the jump leads to: {own}");
        }
        edits.extend(moved);
    }
    edits.extend(stack.password_by_jumps());
    edits.push(Edit::relocate(
        &ivalt.location,
        Place::Above,
        &location,
        own,
    ));
    (location, edits.into())
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
    let policy =
        "set unenrolled and unavailable to \"deny\", and exempt_networks to [], in [policy]";
    let edit = stack.with_control(at, "[success=ok default=bad]");
    let told = format!("{policy}, or write: {}", edit.text);
    let granted = path.returned.iter().find(grants);
    let granted = granted.map_or(&rules[at], |(rule, _)| &rules[*rule]);
    let message = Message::new(
        "ignore-lets-in",
        format!(
            "when [policy] lets pam_ivalt return PAM_IGNORE, {} alone makes the login succeed: no module has asked for a proof",
            name(granted)
        ),
        Fix::from(edit.told(told)).or_words(policy),
    );
    stack.add(message, Severity::LetsIn, &rules[at].location, Some(path));
}

const EXEMPT_IN_VAIN: &str = "[policy] has exempt_networks, but no other module of this stack lets anybody in: whoever \
    comes from there is denied (PAM_PERM_DENIED)";
const EXEMPT_FIX: &str = "after a key, have the two lines of \"sshd: key or password, then iVALT\" in pam_ivalt(8); else \
    give this service settings without exempt_networks, by config=";

/// pam_ivalt returns `PAM_IGNORE`, and no other module lets anybody in.
fn ignored_in_vain(stack: &mut StackUnderTest, at: usize, module: &Module) {
    let rule = &stack.rules[at];
    let ignored = |path: &ExecutionPath| path.facts.ivalt == IvaltOutcome::Ignored;
    let meant = rule.actions[ReturnCode::Ignore] != Action::Ignore;
    let lets_in = |path: &ExecutionPath| path.lets_in() && ignored(path);
    if meant || stack.paths.iter().any(lets_in) {
        return;
    }
    let path = stack.best_path(ignored).cloned();
    let mut keys = ignores(stack.codes.root, stack.service, module);
    if keys.last() == Some(&EXEMPT) {
        keys.pop();
        let message = Message::new("ignore-denies", EXEMPT_IN_VAIN, EXEMPT_FIX);
        stack.add(message, Severity::LocksOut, &rule.location, path.clone());
    }
    let (severity, who) = match keys.as_slice() {
        [] => return,
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
            Fix::from(stack.shorter_jumps(at, code)).or_words(
                "count the lines that follow in this stack, a substack as one, and jump over fewer",
            ),
        );
        let path = stack
            .best_path(|path| path.returned_by(at) == Some(code))
            .cloned();
        stack.add(message, severity, &rule.location, path);
    }
}

impl StackUnderTest<'_> {
    /// The line with a jump that leads less far, or, at the end of the stack, with none.
    fn shorter_jumps(&self, at: usize, code: ReturnCode) -> Vec<Edit> {
        let Action::Jump(count) = self.rules[at].actions[code] else {
            return Vec::new();
        };
        let with = |action: String| {
            let written = control(&self.rules[at]);
            self.with_control(
                at,
                &written.replace(&format!("={count}"), &format!("={action}")),
            )
        };
        // Nobody counts so many lines.
        let fewer = (1..count.min(16)).rev().map(|count| count.to_string());
        fewer.chain(["ok".to_owned()]).map(with).collect()
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
    let Some((at, _)) = ivalt_rules(stack.rules).next() else {
        return;
    };
    let rule = &stack.rules[at];
    let (what, fix) = match rule.actions[ReturnCode::Success] {
        Action::Ok | Action::Done => (
            "no login succeeds, whatever the modules return".to_owned(),
            Fix::from(stack.moved_below(at, &control(rule))).or_words(
                "move the line to where a login that has passed the password goes on: below @include common-auth, or below \
                 auth substack system-auth",
            ),
        ),
        _ => (
            format!(
                "under {} an accepted token does not let in",
                control(rule).escape_debug()
            ),
            stack.with_control(at, "required").into(),
        ),
    };
    let message = Message::new("acceptance-denied", what, fix);
    let path = stack
        .best_path(allowed)
        .or_else(|| stack.best_path(|_| true));
    let path = path.cloned();
    stack.add(message, Severity::LocksOut, &rule.location, path);
}

/// A password, or what an unknown module takes for one, is right, and its owner does not get in whatever the other
/// modules return. Where nobody does, other findings say why.
fn passwords(stack: &mut StackUnderTest) {
    let allowed = |path: &ExecutionPath| path.facts.ivalt == IvaltOutcome::Allowed;
    let lets_in = |path: &ExecutionPath| path.lets_in() && allowed(path);
    if stack.has("only-after-alone") || !stack.paths.iter().any(lets_in) {
        return;
    }
    for (at, path) in stack.denied.clone() {
        let rule = &stack.rules[at];
        let explained = stack.locks_out_at(&rule.location);
        if explained || !asks_for_login(rule) {
            continue;
        }
        let what = format!(
            "a user whom {} has accepted is denied: {} leads to a line that denies",
            name(rule),
            control(rule).escape_debug()
        );
        let fix = Fix::from(stack.reachable_by(at)).or_words(
            "count again how many lines the jump must skip, pam_ivalt's among them, or move pam_ivalt below the block",
        );
        let message = Message::new("password-denied", what, fix);
        stack.add(message, Severity::LocksOut, &rule.location, Some(path));
    }
}

impl StackUnderTest<'_> {
    fn locks_out_at(&self, location: &Location) -> bool {
        let here = |finding: &Finding| {
            let place = (finding.file.as_ref(), finding.line);
            place == (Some(&location.file), Some(location.line))
        };
        let mut found = self.found.iter().map(|found| &found.finding);
        found.any(|finding| finding.severity == Severity::LocksOut && here(finding))
    }

    /// pam_ivalt where a jump of this rule leads, or a jump of it that leads to pam_ivalt.
    fn reachable_by(&self, at: usize) -> Vec<Edit> {
        let mut edits = Vec::new();
        for (ivalt, _) in ivalt_rules(self.rules) {
            edits.extend(self.moved_below(ivalt, &control(&self.rules[ivalt])));
        }
        let written = control(&self.rules[at]);
        if let Action::Jump(count) = self.rules[at].actions[ReturnCode::Success] {
            let jumps = (1..count + 4).filter(|other| *other != count);
            edits.extend(jumps.map(|other| {
                let other = format!("={other}");
                self.with_control(at, &written.replace(&format!("={count}"), &other))
            }));
        }
        edits
    }
}

/// A password is asked for, and a wrong one does not deny: the token is the only factor. Where no password is asked
/// for, that is what the administrator wrote; sshd-token-alone says more of it.
fn password_not_needed(stack: &mut StackUnderTest) {
    if stack.has_severity(Severity::LetsIn) {
        return;
    }
    let Some(path) = stack.best_path(ExecutionPath::is_guessed).cloned() else {
        return;
    };
    let asked = path.returned.iter().map(|(at, _)| *at);
    let mut passwords = asked.filter(|at| stack.rules[*at].kind() == ModuleKind::Password);
    let Some(at) = passwords.next() else { return };
    let rule = &stack.rules[at];
    let mut edits = stack.with_controls(at, &["requisite", "required"]);
    edits.extend(stack.password_by_jumps());
    let message = Message::new(
        "password-not-needed",
        format!(
            "{} passes over a wrong password for {}: the token alone lets in",
            control(rule).escape_debug(),
            name(rule)
        ),
        Fix::from(edits)
            .or_words("nothing, if that is meant; else let a wrong password end the stack"),
    );
    stack.add(message, Severity::Warning, &rule.location, Some(path));
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
    let mut edits = stack.with_controls(at, &[alone_control(rule), "required"]);
    edits.extend(stack.moved_below(at, "required"));
    edits.extend(stack.password_by_jumps());
    let message = Message::new(
        "password-not-asked",
        format!(
            "{} ends the stack when the token is right: the token replaces the password",
            control(rule).escape_debug()
        ),
        edits,
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
    let edits = stack.denying(at, module);
    let message = Message::new(
        "fragile-control",
        format!(
            "{} ignores a denial; it denies only because no other module lets in yet",
            control(rule).escape_debug()
        ),
        edits,
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
    let fix = only_auth(&stack.rules[at].location);
    let message = Message::new("account-line", what, fix);
    let path = stack.best_path(|_| true).cloned();
    stack.add(message, severity, &stack.rules[at].location, path);
}
