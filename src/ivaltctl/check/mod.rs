//! `ivaltctl check`: reads only, and reports what is wrong, what that does to a login, and how to fix it.
//!
//! | module | what it checks |
//! | --- | --- |
//! | [`settings`] | `ivalt.toml`, the key file, the trusted roots |
//! | [`enrolment`] | `users.toml` and the synced file, against the accounts of the system |
//! | [`sync`], [`timer`] | whether `users sync` keeps the synced file in step |
//! | [`exempt`] | networks that are not asked |
//! | [`module_file`] | the `.so` that the stacks name |
//! | [`stacks`] | what the lines of pam.d do to a login, whatever their modules return |
//! | [`sshd`] | its effective configuration |
//! | [`sudo`] | `/etc/sudoers` |
//! | [`desktop`] | services that run in a sandbox, without privileges or without a network |
//! | [`hosts`] | services whose program shows no prompt |
//! | [`selinux`], [`proxy`], [`clock`], [`log`] | the environment of a login |
//! | [`push`] | logins that are approved on the phone |
//! | [`recovery`] | one-time recovery codes, and whether a login could take one |
//! | [`rollback`] | what `enable` has begun and nobody has confirmed |
//! | [`unreadable`] | files that the others could not read |
//! | [`online`] | iVALT itself, with `--online` |
//!
//! [`accepted`] says which of the findings are meant.

mod accepted;
mod accounts;
mod clock;
mod context;
mod desktop;
mod enrolment;
mod exempt;
mod hosts;
mod log;
mod module_file;
mod online;
pub mod packages;
pub mod program;
mod proxy;
mod push;
mod recovery;
mod rollback;
mod selinux;
mod services;
mod settings;
mod sshd;
mod stacks;
mod sudo;
mod sync;
mod timer;
mod unreadable;

use std::fmt::Write;
use std::path::Path;

use serde_json::{Value, json};

use super::command_line::CheckArgs;
use super::finding::{Accepted, Finding, Severity};
use super::pam_stack::{Location, RuleType, carriage_return};
use super::root::Root;
use super::terminal::{self, ERROR, OK, WARN, visible};
use super::{Exit, Refused};
pub use accepted::Target;
use accepted::{derived, with_own_files};
use context::CheckContext;
use online::ProbeStep;
pub use recovery::recovery_warnings;
pub use services::{ModuleLine, lines_with_ivalt, services_with_ivalt};
pub use sshd::version::{has_older_prompt_setting, version};
pub use sshd::{KEY_LINE, KEY_METHODS, KEY_OR_PASSWORD_METHODS, written_methods};
pub use stacks::{stack_is_sound, wrong_password_ends};

/// Runs all checks and reports what they find, or changes what is accepted.
pub fn run(args: &CheckArgs, config: &Path) -> Result<Exit, Refused> {
    if let Some(done) = accepted::change(args, config) {
        return Ok(done);
    }
    let root = Root::open(&args.root);
    let root = root.map_err(|Refused(why)| Refused(format!("{why}; nothing was checked")))?;
    let config = if root.is_this_machine() {
        crate::system_error::absolute(config)?
    } else {
        config.to_owned()
    };
    let context = CheckContext::new(&root, &config);
    let mut findings = run_all(&context);
    accepted::mark(&root, &mut findings);
    let mut steps = Vec::new();
    if args.online {
        steps = online::probe(&context, &mut findings);
    }
    sort(&mut findings);
    if args.json {
        terminal::print_json(&in_json(&context, &findings, args.online.then_some(&steps)));
    } else {
        report(&context, &findings, &steps);
    }
    Ok(exit(&findings))
}

/// What is wrong with a system as it is, or as it would be after a change ([`Root::with`]); what is accepted last, and
/// before that the worst first.
pub fn findings(root: &Root, config: &Path) -> Vec<Finding> {
    let mut findings = unmarked(root, config);
    accepted::mark(root, &mut findings);
    sort(&mut findings);
    findings
}

/// The same, without a word about what is accepted.
fn unmarked(root: &Root, config: &Path) -> Vec<Finding> {
    run_all(&CheckContext::new(root, config))
}

/// One check after the other.
fn run_all(context: &CheckContext) -> Vec<Finding> {
    type Check = fn(&CheckContext) -> Vec<Finding>;
    let checks: [Check; 17] = [
        settings::findings,
        enrolment::findings,
        exempt::findings,
        sync::findings,
        module_file::findings,
        |context| stacks::findings(context.root),
        sshd::findings,
        sudo::findings,
        desktop::findings,
        hosts::findings,
        selinux::findings,
        proxy::findings,
        clock::findings,
        log::findings,
        push::findings,
        recovery::findings,
        rollback::findings,
    ];
    let found = checks.map(|check| derived(context.root, || check(context)));
    let mut findings = with_own_files(context.root, found.concat());
    findings.extend(unreadable::findings(context.root, &findings));
    let named = |finding| name_carriage_return(context.root, in_place(finding));
    findings.into_iter().map(named).collect()
}

/// A fix that is a line of pam.d goes where the finding is.
fn in_place(finding: Finding) -> Finding {
    let begins_with = |rule_type: RuleType| {
        finding
            .fix
            .starts_with(&format!("{}    ", rule_type.word()))
    };
    match finding.line {
        Some(line) if RuleType::ALL.into_iter().any(begins_with) => Finding {
            fix: format!("in place of line {line}: {}", finding.fix),
            ..finding
        },
        _ => finding,
    }
}

/// What is wrong with a line of pam.d may be nothing but its end: then no other fix helps.
fn name_carriage_return(root: &Root, finding: Finding) -> Finding {
    const OF_WORDS: [&str; 8] = [
        "acceptance-denied",
        "bad-argument",
        "broken-line",
        "missing-include",
        "missing-module",
        "module-missing",
        "unknown-control",
        "unusable-service",
    ];
    let place = match (&finding.file, finding.line) {
        (Some(file), Some(line)) if OF_WORDS.contains(&finding.id) => Location {
            file: file.clone(),
            line,
        },
        _ => return finding,
    };
    match carriage_return(root, &place) {
        Some((cause, fix)) => Finding {
            what: format!("{}; {cause}", finding.what),
            fix,
            ..finding
        },
        None => finding,
    }
}

fn sort(findings: &mut [Finding]) {
    let place = |finding: &Finding| (finding.file.clone(), finding.line);
    findings.sort_by(|one, other| {
        let counts = other.counts().cmp(&one.counts());
        let worse = counts.then_with(|| other.severity.cmp(&one.severity));
        worse.then_with(|| place(one).cmp(&place(other)))
    });
}

fn exit(findings: &[Finding]) -> Exit {
    let counting = findings.iter().filter(|finding| finding.counts());
    match counting.map(|finding| finding.severity).max() {
        None => Exit::Done,
        Some(Severity::Warning) => Exit::Refused,
        Some(Severity::LocksOut | Severity::LetsIn) => Exit::Dangerous,
    }
}

/// How many of these count.
fn count(findings: &[Finding], severity: Severity) -> usize {
    let counting = findings.iter().filter(|finding| finding.counts());
    counting
        .filter(|finding| finding.severity == severity)
        .count()
}

fn count_accepted(findings: &[Finding]) -> usize {
    let accepted = |finding: &&Finding| finding.acceptance.accepted.is_some();
    findings.iter().filter(accepted).count()
}

fn report(context: &CheckContext, findings: &[Finding], steps: &[ProbeStep]) {
    for step in steps {
        let line = format!("{:<12}{:>6} ms  {}", step.step, step.ms, step.said);
        terminal::print(visible(line.trim_end()));
    }
    show(findings);
    if !context.root.is_this_machine() && !findings.is_empty() {
        terminal::print(format_args!(
            "files and commands are those of the system below {}; run them there, not on this machine",
            visible(&context.root.folder().display().to_string())
        ));
    }
    let services = &context.services;
    if services.is_empty() {
        terminal::print("no service asks iVALT");
    } else {
        let line = format!("services that ask iVALT: {}", services.join(", "));
        terminal::print(visible(&line));
    }
}

/// Prints findings, and how many there are of each severity.
pub fn show(findings: &[Finding]) {
    findings.iter().for_each(show_one);
    let accepted = count_accepted(findings);
    let [lets_in, locks_out, warnings] = [Severity::LetsIn, Severity::LocksOut, Severity::Warning]
        .map(|severity| count(findings, severity));
    let problems = lets_in + locks_out + warnings;
    if problems == 0 {
        let nothing = terminal::styled(OK, "nothing found");
        terminal::print(nothing.then(format_args!("; {accepted} accepted")));
        return;
    }
    let problem = number(problems, "problem", "problems");
    let lets_in = number(lets_in, "lets", "let");
    let locks_out = number(locks_out, "locks", "lock");
    let warnings = number(warnings, "warning", "warnings");
    terminal::print(format_args!(
        "{problem}: {lets_in} users in, {locks_out} users out, {warnings}; {accepted} accepted"
    ));
}

/// `1 warning`, `2 warnings`
fn number(count: usize, one: &str, more: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { more })
}

fn show_one(finding: &Finding) {
    let (style, word) = match finding.severity {
        Severity::LetsIn => (ERROR, "lets in"),
        Severity::LocksOut => (ERROR, "locks out"),
        Severity::Warning => (WARN, "warning"),
    };
    let mut place = String::new();
    if let Some(file) = &finding.file {
        let _ = write!(place, " {}", file.display());
    }
    if let Some(line) = finding.line {
        let _ = write!(place, ":{line}");
    }
    let (style, word) = match finding.counts() {
        true => (style, word.to_owned()),
        false => (OK, format!("accepted, {word}")),
    };
    let place = format!("{} [{}]", visible(&place), finding.id);
    terminal::print(terminal::styled(style, word).then(place));
    terminal::print(format_args!("  {}", visible(&finding.what)));
    show_acceptance(finding);
    for line in finding.fix.lines() {
        terminal::print(format_args!("  fix: {}", visible(line)));
    }
}

/// Who accepted it, when and why, and why that counts no longer.
fn show_acceptance(finding: &Finding) {
    let say = |text: String| terminal::print(format_args!("  {}", visible(&text)));
    let words = |accepted: &Accepted| {
        let Accepted {
            by, when, because, ..
        } = accepted;
        format!("accepted by {by}, {when}: {because}")
    };
    if let Some(accepted) = &finding.acceptance.accepted {
        let below_root = match accepted.counts_all_the_same {
            true => " (below --root it counts all the same)",
            false => "",
        };
        say(words(accepted) + below_root);
    }
    if let Some(outdated) = &finding.acceptance.no_longer_accepted {
        say(format!(
            "{}; that holds no longer: {}",
            words(&outdated.was),
            outdated.changed.join(", ")
        ));
    }
}

fn in_json(context: &CheckContext, findings: &[Finding], steps: Option<&Vec<ProbeStep>>) -> Value {
    let mut report = json!({
        "findings": findings,
        "lets_in": count(findings, Severity::LetsIn),
        "locks_out": count(findings, Severity::LocksOut),
        "warnings": count(findings, Severity::Warning),
        "accepted": count_accepted(findings),
        "services": context.services,
    });
    if let Some(steps) = steps {
        report["steps"] = json!(steps);
    }
    report
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    #[test]
    fn what_is_accepted_comes_last_and_does_not_count() {
        let found = |severity, counts_all_the_same: Option<bool>| {
            let mut found = context::finding(severity, "x", "/a", "", "");
            found.acceptance.accepted = counts_all_the_same.map(|counts_all_the_same| Accepted {
                by: String::new(),
                when: String::new(),
                because: String::new(),
                counts_all_the_same,
            });
            found
        };
        let warning = found(Severity::Warning, None);
        let accepted = found(Severity::LetsIn, Some(false));
        let mut findings = [accepted.clone(), warning.clone()];
        sort(&mut findings);
        assert_eq!(findings, [warning, accepted.clone()]);
        assert_eq!(exit(&findings), Exit::Refused);
        assert_eq!(count(&findings, Severity::LetsIn), 0);
        assert_eq!(count_accepted(&findings), 1);
        assert_eq!(exit(&[accepted]), Exit::Done);
        // Below a folder.
        let shown = [found(Severity::LetsIn, Some(true))];
        assert_eq!(exit(&shown), Exit::Dangerous);
        assert_eq!(count(&shown, Severity::LetsIn), 1);
    }

    #[test]
    fn the_worst_comes_first_then_by_file_and_line() {
        let at = |severity, file: &str, line| Finding {
            line: Some(line),
            ..context::finding(severity, "x", file, "", "")
        };
        let mut findings = [
            at(Severity::Warning, "/b", 1),
            at(Severity::Warning, "/a", 2),
            at(Severity::Warning, "/a", 1),
            at(Severity::LetsIn, "/c", 1),
        ];
        sort(&mut findings);
        let order = findings.map(|finding| (finding.file, finding.line));
        let expected = [("/c", 1), ("/a", 1), ("/a", 2), ("/b", 1)];
        assert_eq!(
            order,
            expected.map(|(file, line)| (Some(PathBuf::from(file)), Some(line)))
        );
    }
}
