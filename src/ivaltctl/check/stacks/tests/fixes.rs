//! No fix makes anything worse, and no fixes form a circle: over all fixtures, and over random short stacks.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use super::*;
use crate::check::stacks::fixes::Edit;

/// Who gets in by the auth stack of a service.
#[derive(Clone, Copy, Debug, Default)]
struct Logins {
    /// Without being asked, or denied; root, and who meets a condition with a proof, left out.
    free: bool,
    /// By the right token.
    usable: bool,
    /// By the token, after a wrong password.
    wrong_password: bool,
}

fn logins(root: &Root, service: &str) -> Logins {
    let Ok(read) = pam_stack::read(root, service) else {
        return Logins::default();
    };
    let rules = read.own(RuleType::Auth);
    let stack = StackUnderTest::new(root, service, RuleType::Auth, rules);
    let lets_in = |wanted: &dyn Fn(&ExecutionPath) -> bool| {
        stack
            .paths
            .iter()
            .any(|path| path.lets_in() && wanted(path))
    };
    use paths::IvaltOutcome::{Allowed, Denied, NotAsked};
    let root_itself = |path: &ExecutionPath| {
        let by = |(rule, code): &(usize, ReturnCode)| {
            rules[*rule].kind() == pam_stack::ModuleKind::Root && *code == ReturnCode::Success
        };
        path.returned.iter().any(by)
    };
    let unasked = |path: &ExecutionPath| match path.facts.ivalt {
        Denied => true,
        NotAsked => path.has_no_proof() && !root_itself(path),
        _ => false,
    };
    let allowed = |path: &ExecutionPath| path.facts.ivalt == Allowed;
    Logins {
        free: lets_in(&unasked),
        usable: lets_in(&allowed),
        wrong_password: lets_in(&|path: &ExecutionPath| {
            allowed(path) && path.facts.password_asked && path.has_no_proof()
        }),
    }
}

impl Logins {
    fn is_worse_than(self, before: Self) -> bool {
        let guessed = self.wrong_password && !before.wrong_password && !before.free;
        (self.free && !before.free) || (before.usable && !self.usable) || guessed
    }
}

/// How many findings of each id and severity a service has.
fn counted(root: &Root, service: &str) -> BTreeMap<(&'static str, Severity), usize> {
    let mut counted = BTreeMap::new();
    for StackFinding { finding, .. } in check_service(root, service) {
        *counted.entry((finding.id, finding.severity)).or_insert(0) += 1;
    }
    counted
}

/// The edits that are offered for a service, each with its finding.
fn offered(root: &Root, service: &str) -> Vec<(Finding, Edit)> {
    let judge = Judge::new(root);
    let offered = check_service(root, service)
        .into_iter()
        .filter_map(|found| {
            let edit = judge.edit(service, &found).cloned();
            let finding = judge.settle(service, found);
            // A line that is to be written is an edit, which the model has run.
            let has_line = finding.fix.contains("auth    ");
            assert!(edit.is_some() || !has_line, "{finding:#?}");
            Some((finding, edit?))
        });
    offered.collect()
}

/// Why one of the fixes that are offered must not be.
fn fault(root: &Root, service: &str, offered: Vec<(Finding, Edit)>) -> Option<String> {
    let judged = |root: &Root, name: &str| (counted(root, name), logins(root, name));
    let lines = |root: &Root, name: &str| format!("{:?}", pam_stack::read(root, name));
    for (finding, edit) in &offered {
        let edited = edit.apply(root, service);
        for name in pam_stack::service_names(root) {
            if lines(root, &name) == lines(&edited, &name) {
                continue;
            }
            let (before, after) = (judged(root, &name), judged(&edited, &name));
            let worse = after.0.iter().any(|(key, count)| {
                let new = *count > before.0.get(key).copied().unwrap_or(0);
                new && (key.1 > Severity::Warning || finding.severity == Severity::Warning)
            });
            if worse || after.1.is_worse_than(before.1) {
                return Some(format!("{name}: {before:?} {after:?} after {finding:#?}"));
            }
        }
    }
    circle(root, service, offered)
}

/// Fixes are made until none is offered any more.
fn circle(root: &Root, service: &str, mut offered: Vec<(Finding, Edit)>) -> Option<String> {
    let mut root = root.clone();
    for _ in 0..30 {
        if offered.is_empty() {
            return None;
        }
        root = offered.swap_remove(0).1.apply(&root, service);
        offered = self::offered(&root, service);
    }
    Some(format!("no end: {offered:#?}"))
}

#[test]
fn no_fix_of_a_fixture_makes_anything_worse() {
    let mut faults = Vec::new();
    let mut edits = 0;
    let mut check = |name: &str, root: &Root, service: &str| {
        let offered = offered(root, service);
        edits += offered.len();
        faults.extend(fault(root, service, offered).map(|fault| format!("{name}: {fault}")));
    };
    for row in ROWS {
        let dir = row.system(row.broken);
        check(row.name, &Root::new(dir.path()), row.service);
    }
    for (tree, service, lines, _) in EXACTLY {
        check(lines, &exactly(tree, service, lines), service);
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert!(edits > 70, "{edits}");
}

const CONTROLS: [&str; 13] = [
    "required",
    "required",
    "requisite",
    "sufficient",
    "sufficient",
    "optional",
    "[success=1 default=ignore]",
    "[success=2 default=ignore]",
    "[success=1 default=bad]",
    "[success=done default=die]",
    "[success=ok default=bad]",
    "[default=die]",
    "[success=reset default=ignore]",
];
const MODULES: [&str; 14] = [
    "pam_ivalt.so",
    "pam_ivalt.so",
    "pam_unix.so",
    "pam_unix.so",
    "pam_sss.so",
    "pam_authd_exec.so /usr/libexec/authd-pam",
    "pam_private.so",
    "pam_u2f.so",
    "pam_deny.so",
    "pam_deny.so",
    "pam_permit.so",
    "pam_env.so",
    "pam_succeed_if.so user ingroup staff",
    "pam_rootok.so",
];
const WHOLE: [&str; 6] = [
    "@include common-auth",
    "auth include sources",
    "auth substack sources",
    "auth [success=done ignore=ignore default=die] pam_ivalt.so only_after=publickey",
    "auth requird pam_unix.so",
    "please",
];
/// As Fedora's files end.
const SOURCES: &str =
    "auth sufficient pam_unix.so\nauth sufficient pam_sss.so\nauth required pam_deny.so\n";

fn any_line() -> impl Strategy<Value = String> {
    let any = |words: &'static [&'static str]| prop::sample::select(words);
    let module = (any(&CONTROLS), any(&MODULES));
    let module = module.prop_map(|(control, module)| format!("auth {control} {module}"));
    prop_oneof![8 => module, 1 => any(&WHOLE).prop_map(str::to_owned)]
}

/// One of the lines is pam_ivalt's.
fn any_stack() -> impl Strategy<Value = String> {
    let lines = prop::collection::vec(any_line(), 1..5);
    let ivalt = prop::sample::select(&CONTROLS[..]);
    (lines, ivalt, any::<prop::sample::Index>()).prop_map(|(mut lines, control, place)| {
        let place = place.index(lines.len() + 1);
        lines.insert(place, format!("auth {control} pam_ivalt.so"));
        lines.join("\n") + "\n"
    })
}

#[test]
fn no_fix_of_a_random_stack_makes_anything_worse() {
    let cases = std::env::var("STACKS")
        .ok()
        .and_then(|text| text.parse().ok());
    let config = Config {
        cases: cases.unwrap_or(300),
        failure_persistence: None,
        ..Config::default()
    };
    // The same stacks each time: what is wrong with one must not show on another day.
    let seed = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let mut runner = TestRunner::new_with_rng(config, seed);
    let dir = TempDir::new();
    fs::create_dir_all(dir.join("etc/pam.d")).expect("a folder");
    let pam_d = Path::new("/etc/pam.d");
    let common = fs::read_to_string(trees().join("debian-12/etc/pam.d/common-auth"));
    let base = Root::new(dir.path())
        .with(&pam_d.join("common-auth"), common.expect("a file"))
        .with(&pam_d.join("sources"), SOURCES.into());
    let seen = std::cell::RefCell::new(BTreeSet::new());
    let service = prop::sample::select(vec!["sshd", "sudo"]);
    let result = runner.run(&(service, any_stack()), |(service, text)| {
        let root = base.clone().with(&pam_d.join(service), text.clone());
        let offered = offered(&root, service);
        let ids = offered.iter().map(|(finding, _)| finding.id);
        seen.borrow_mut().extend(ids);
        let fault = fault(&root, service, offered);
        prop_assert!(
            fault.is_none(),
            "{}:\n{}\n{}",
            service,
            text,
            fault.unwrap_or_default()
        );
        Ok(())
    });
    result.unwrap_or_else(|error| panic!("{error}"));
    assert!(seen.borrow().len() > 8, "{:?}", seen.borrow());
}

/// The one that led from a warning to a hole, and back.
#[test]
fn a_line_above_the_password_is_not_sent_below_a_sufficient_one() {
    let text =
        "auth required pam_ivalt.so\nauth sufficient pam_unix.so\nauth required pam_deny.so\n";
    let path = Path::new("/etc/pam.d/login");
    let root = Root::new(&trees().join("debian-12")).with(path, text.into());
    let found = findings_of(&root, "login");
    let fix = "in place of lines 2 to 3 of /etc/pam.d/login, and of the line of pam_ivalt:\n\
               auth    [success=1 new_authtok_reqd=1 default=ignore]    pam_unix.so\n\
               auth    requisite    pam_deny.so\n\
               auth    required    pam_ivalt.so";
    assert_eq!(found[0].fix, fix);
    let (_, edit) = offered(&root, "login").swap_remove(0);
    let edited = edit.apply(&root, "login");
    assert_eq!(findings_of(&edited, "login"), []);
    let text = edited.read(path).expect("a text");
    assert_eq!(
        text,
        fix.split_once('\n').expect("lines").1.to_owned() + "\n"
    );
}

/// Lines of a service in a system with two files to include, and what is offered for its first finding of this id.
fn first_fix(service: &str, text: &str, id: &str) -> (Root, String, Edit) {
    let path = Path::new("/etc/pam.d").join(service);
    let mine = "auth sufficient pam_unix.so\naccount required pam_unix.so\n";
    let root = Root::new(&trees().join("debian-12"))
        .with(Path::new("/etc/pam.d/mine"), mine.into())
        .with(&path, text.into());
    let mut offered = offered(&root, service).into_iter();
    let (finding, edit) = offered.find(|(finding, _)| finding.id == id).expect(id);
    (root, finding.fix, edit)
}

#[test]
fn an_edit_takes_a_continued_line_whole() {
    let text = "# first\n@include common-auth\nauth \\\n  optional \\\n# ours\n  pam_ivalt.so\n\n@include common-account";
    let (root, fix, edit) = first_fix("login", text, "denial-does-not-deny");
    let edited = edit.apply(&root, "login");
    let text = edited.read(Path::new("/etc/pam.d/login")).expect("a text");
    let expected = format!("# first\n@include common-auth\n{fix}\n\n@include common-account\n");
    assert_eq!(text, expected);
    assert_eq!(fix, "auth    required    pam_ivalt.so");
}

/// `@include` brings lines of every type, and a substack those of one.
#[test]
fn account_lines_stay_where_an_include_becomes_a_substack() {
    let text = "@include mine\nauth required pam_ivalt.so\n";
    let (root, fix, edit) = first_fix("login", text, "bypassed");
    assert_eq!(fix, "auth    substack    mine\naccount    include    mine");
    let edited = edit.apply(&root, "login");
    let service = pam_stack::read(&edited, "login").expect("a service");
    assert_eq!(service.own(RuleType::Account).len(), 1);
}

#[test]
fn lines_of_pam_conf_begin_with_their_service() {
    let dir = TempDir::new();
    let path = Path::new("/etc/pam.conf");
    let text = "sudo auth requisite pam_unix.so\nsudo auth optional pam_ivalt.so\nsu auth required pam_deny.so\n";
    let root = Root::new(dir.path()).with(path, text.into());
    let (finding, edit) = offered(&root, "sudo").swap_remove(0);
    let line = "sudo auth    required    pam_ivalt.so";
    assert_eq!(finding.fix, line);
    let edited = edit.apply(&root, "sudo").read(path).expect("a text");
    let expected = text.replace("sudo auth optional pam_ivalt.so", line);
    assert_eq!(edited, expected);
}

fn asks_after_refusal(root: &Root, service: &str) -> bool {
    let read = pam_stack::read(root, service).expect("a service");
    let rules = read.own(RuleType::Auth);
    let stack = StackUnderTest::new(root, service, RuleType::Auth, rules);
    stack.paths.iter().any(|path| path.facts.after_refusal)
}

/// On Fedora, whose files end in `sufficient` lines, what makes it right is these lines with jumps.
#[test]
fn the_fix_of_a_substack_ends_at_a_wrong_password() {
    let substacks = ELSEWHERE.iter().filter(|row| row.3.contains("substack"));
    let mut fixed = 0;
    for (tree, like, from, to) in substacks {
        let root = Root::new(&trees().join(tree));
        let path = pam_stack::service_file(&root, like).expect("a service");
        let text = root.read(&path).expect("a text");
        let with_ivalt = format!("{to}\nauth required pam_ivalt.so");
        let text = text.replacen(from, &with_ivalt, 1);
        // Under its own name, each but sshd asks nobody but those who are logged in.
        let (service, path) = ("cockpit", Path::new("/etc/pam.d/cockpit"));
        let root = root.with(path, text);
        assert!(asks_after_refusal(&root, service), "{service}");
        let mut offered = offered(&root, service);
        assert_eq!(
            offered.len(),
            1,
            "{service}: {:#?}",
            findings_of(&root, service)
        );
        let (finding, edit) = offered.swap_remove(0);
        assert_eq!(finding.id, "wrong-password-goes-on");
        let edited = edit.apply(&root, service);
        assert_eq!(findings(&edited), [], "{service}");
        assert!(!asks_after_refusal(&edited, service), "{service}");
        fixed += 1;
    }
    assert_eq!(fixed, 4);
}

/// What `enable` writes there must not become a warning, least of all one without a fix.
#[test]
fn who_is_logged_in_is_no_stranger() {
    let text = "auth substack password-auth\nauth required pam_ivalt.so\n";
    let found = |service: &str| {
        let path = Path::new("/etc/pam.d").join(service);
        let root = Root::new(&trees().join("fedora")).with(&path, text.into());
        let found = findings_of(&root, service);
        let mut found = found.iter();
        found.any(|finding| finding.id == "wrong-password-goes-on")
    };
    for service in [
        "sudo",
        "sudo-i",
        "su",
        "su-l",
        "doas",
        "login",
        "polkit-1",
        "gdm-password",
        "swaylock",
    ] {
        assert!(!found(service), "{service}");
    }
    for service in ["sshd", "remote", "cockpit", "another"] {
        assert!(found(service), "{service}");
    }
}

/// A second source of passwords must not be shut out by what is right for one.
#[test]
fn who_has_a_password_elsewhere_still_gets_in() {
    let text =
        "auth sufficient pam_unix.so\nauth sufficient pam_sss.so\nauth required pam_ivalt.so\n";
    let (.., fix, _) = first_fix("login", text, "bypassed");
    assert!(!fix.contains("requisite    pam_unix.so"), "{fix}");
    let one = "auth sufficient pam_unix.so\nauth required pam_ivalt.so\n";
    let (.., fix, _) = first_fix("login", one, "bypassed");
    assert_eq!(fix, "auth    requisite    pam_unix.so");
}
