//! Broken stacks, the finding each must give, and a healthy version that gives none. What lets in or locks out is run
//! on the real libpam with the real module. Compiled into the unit tests.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::*;
use crate::finding::Severity::{self, LetsIn, Warning};
use rows::{EXACTLY, FEDORA_BY_JUMPS, ROWS};

mod fixes;
mod rows;
use support::finding_table::{must_know, table};
use support::{Case, DevLog, Entry, StandIn, TempDir, helper_module, module_path, sandbox_test};

/// A system below tests/ctl/pam.d with a few files changed.
#[derive(Clone, Copy)]
pub struct Row {
    name: &'static str,
    tree: &'static str,
    service: &'static str,
    /// The file whose text is at fault, below /etc/pam.d.
    file: &'static str,
    broken: &'static str,
    healthy: &'static str,
    /// Files with the same text in both, by whole path.
    also: &'static [(&'static str, &'static str)],
    id: &'static str,
    severity: Severity,
    location: (&'static str, usize),
}

impl Row {
    fn system(&self, text: &str) -> TempDir {
        let dir = TempDir::new();
        copy(&trees().join(self.tree), dir.path());
        let changed = (format!("/etc/pam.d/{}", self.file), text);
        let also = self
            .also
            .iter()
            .map(|(path, text)| ((*path).to_owned(), *text));
        for (path, text) in also.chain([changed]) {
            let path = dir.join(path.trim_start_matches('/'));
            fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
            fs::write(path, text).expect("a file");
        }
        dir
    }
}

fn trees() -> PathBuf {
    support::checkout().join("tests/ctl/pam.d")
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("a folder").flatten() {
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if from.is_dir() {
            copy(&from, &to);
        } else {
            fs::copy(from, to).expect("a file");
        }
    }
}

type Short = (&'static str, Severity, String, usize);

fn short(found: &[Finding]) -> Vec<Short> {
    let one = |finding: &Finding| {
        let file = finding.file.as_ref().map(|file| file.display().to_string());
        (
            finding.id,
            finding.severity,
            file.unwrap_or_default(),
            finding.line.unwrap_or(0),
        )
    };
    found.iter().map(one).collect()
}

/// What is wrong with the stacks of one service.
fn findings_of(root: &Root, service: &str) -> Vec<Finding> {
    let judge = Judge::new(root);
    let found = check_service(root, service).into_iter();
    found.map(|found| judge.settle(service, found)).collect()
}

#[test]
fn every_broken_stack_gives_its_finding() {
    let mut wrong = Vec::new();
    let table = table();
    for row in ROWS {
        let dir = row.system(row.broken);
        let found = findings_of(&Root::new(dir.path()), row.service);
        let expected = (
            row.id,
            row.severity,
            row.location.0.to_owned(),
            row.location.1,
        );
        let worse = found.iter().any(|finding| finding.severity > row.severity);
        if !short(&found).contains(&expected) || worse {
            wrong.push(format!("{}: {:#?}", row.name, short(&found)));
        }
        for finding in &found {
            assert!(
                !finding.what.is_empty() && !finding.fix.is_empty(),
                "{finding:?}"
            );
            let severity = serde_json::to_value(finding.severity).expect("a word");
            must_know(&table, finding.id, severity.as_str().unwrap_or_default());
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(ROWS.len() >= 40);
}

#[test]
fn every_healthy_version_gives_none() {
    let mut wrong = Vec::new();
    for row in ROWS {
        let dir = row.system(row.healthy);
        let found = findings_of(&Root::new(dir.path()), row.service);
        if !found.is_empty() {
            wrong.push(format!("{}: {found:#?}", row.name));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn exactly(tree: &str, service: &str, lines: &str) -> Root {
    let quiet = "auth optional pam_env.so\n";
    let nested = "auth substack common-auth\n";
    Root::new(&trees().join(tree))
        .with(Path::new("/etc/pam.d/quiet"), quiet.into())
        .with(Path::new("/etc/pam.d/outer"), nested.into())
        .with(&Path::new("/etc/pam.d").join(service), lines.into())
}

/// Neither more nor less, and with this fix.
#[test]
fn these_lines_give_these_findings_and_no_others() {
    for (tree, service, lines, expected) in EXACTLY {
        let root = exactly(tree, service, lines);
        let found = findings_of(&root, service);
        let found: Vec<_> = found
            .iter()
            .map(|found| (found.id, found.fix.as_str()))
            .collect();
        assert_eq!(found, expected, "{tree} {service}:\n{lines}");
    }
}

/// Where the program names no client, nobody is exempt.
#[test]
fn only_services_with_clients_ignore_networks() {
    for (service, expected) in [("sshd", &["ignore-denies"][..]), ("sudo", &[]), ("su", &[])] {
        let lines = "auth required pam_ivalt.so\naccount required pam_unix.so\n";
        let settings = "[policy]\nexempt_networks = [\"192.0.2.0/24\"]\n";
        let root = exactly("debian-12", service, lines)
            .with(Path::new("/etc/ivalt/ivalt.toml"), settings.into());
        let found = findings_of(&root, service);
        let found = found.iter().map(|found| found.id);
        let found: Vec<_> = found.filter(|id| id.starts_with("ignore-")).collect();
        assert_eq!(found, expected, "{service}");
    }
}

/// Of what `enable` would write, with a proof beside the token, and for everybody.
#[test]
fn where_a_wrong_password_ends_the_stack() {
    const KEY: &str =
        "auth [success=done ignore=ignore default=die] pam_ivalt.so only_after=publickey\n";
    const PLAIN: &str = "auth required pam_ivalt.so\n";
    for (lines, expected) in [
        (format!("{KEY}@include common-auth\n{PLAIN}"), true),
        (PLAIN.to_owned(), false),
        (format!("{KEY}auth requisite pam_deny.so\n"), false),
        (format!("{KEY}@include common-auth\n"), false),
        (
            format!(
                "auth requisite pam_unix.so\nauth [success=1 default=ignore] pam_localuser.so\n{PLAIN}auth required pam_permit.so\n"
            ),
            false,
        ),
    ] {
        let root = Root::new(&trees().join("debian-12"));
        let root = root.with(Path::new("/etc/pam.d/sshd"), lines.clone());
        assert_eq!(wrong_password_ends(&root, "sshd"), expected, "{lines}");
    }
}

#[test]
fn the_untouched_systems_give_none() {
    for tree in ["debian-12", "debian-13", "fedora", "opensuse", "arch"] {
        assert_eq!(findings(&Root::new(&trees().join(tree))), [], "{tree}");
    }
}

/// The documented set-ups, as conf/pam.d has them.
#[test]
fn the_documented_setups_give_none() {
    let conf = |name: &str| {
        let path = support::checkout().join("conf/pam.d").join(name);
        fs::read_to_string(path).expect("a sample")
    };
    let lines = |name: &str| conf(name).replace("#@include", "# @include");
    for tree in ["debian-12", "debian-13"] {
        for sample in [
            "sshd-password-and-ivalt",
            "sshd-key-and-ivalt",
            "sshd-key-or-password-and-ivalt",
        ] {
            assert_clean(tree, &[("sshd", "@include common-auth\n", &lines(sample))]);
        }
        let sudo = lines("sudo");
        let both = [
            ("sudo", "@include common-auth\n", &*sudo),
            ("sudo-i", "@include common-auth\n", &*sudo),
        ];
        assert_clean(tree, &both);
        // su-l includes su, login has more above and below.
        assert_clean(tree, &[("su", "@include common-auth\n", &sudo)]);
        assert_clean(tree, &[("login", "@include common-auth\n", &sudo)]);
    }
}

/// The same where `include` would end our stack with its own: tree, service, the line that goes, the one that comes.
const ELSEWHERE: [(&str, &str, &str, &str); 9] = [
    (
        "fedora",
        "sshd",
        "auth       substack     password-auth",
        "auth substack password-auth",
    ),
    (
        "fedora",
        "sshd",
        "auth       substack     password-auth",
        "",
    ),
    (
        "fedora",
        "sudo",
        "auth       include      system-auth",
        "auth substack system-auth",
    ),
    (
        "fedora",
        "su",
        "auth\t\tsubstack\tsystem-auth",
        "auth substack system-auth",
    ),
    (
        "fedora",
        "login",
        "auth       substack     system-auth",
        "auth substack system-auth",
    ),
    (
        "opensuse",
        "sshd",
        "auth        include     common-auth",
        "auth include common-auth",
    ),
    (
        "opensuse",
        "sudo",
        "auth     include        common-auth",
        "auth include common-auth",
    ),
    (
        "arch",
        "sshd",
        "auth      include   system-remote-login",
        "auth include system-remote-login",
    ),
    (
        "arch",
        "sudo",
        "auth\t\tinclude\t\tsystem-auth",
        "auth include system-auth",
    ),
];

#[test]
fn the_same_setups_elsewhere_give_no_more_than_substacks_do() {
    for (tree, service, include, instead) in ELSEWHERE {
        let with_ivalt = format!("{instead}\nauth required pam_ivalt.so");
        assert_clean_but_for_substacks(tree, (service, include, &with_ivalt));
    }
}

fn assert_clean(tree: &str, changes: &[(&str, &str, &str)]) {
    assert_eq!(found_in(tree, changes), [], "{tree} {changes:?}");
}

/// A substack of the password has this one warning under sshd, which strangers reach; nothing else has any.
fn assert_clean_but_for_substacks(tree: &str, (service, from, to): (&str, &str, &str)) {
    let found = found_in(tree, &[(service, from, to)]);
    let ids: BTreeSet<_> = found.iter().map(|finding| finding.id).collect();
    let expected = if to.contains("substack") && service == "sshd" {
        BTreeSet::from(["wrong-password-goes-on"])
    } else {
        BTreeSet::new()
    };
    assert_eq!(ids, expected, "{tree} {service}: {found:#?}");
    assert!(found.iter().all(|finding| finding.severity == Warning));
}

fn found_in(tree: &str, changes: &[(&str, &str, &str)]) -> Vec<Finding> {
    let mut root = Root::new(&trees().join(tree));
    for (service, from, to) in changes {
        let path = pam_stack::service_file(&root, service).expect("a service");
        let text = root.read(&path).expect("its text");
        assert!(text.contains(from), "{tree} {service}");
        root = root.with(&path, text.replacen(from, to, 1));
        assert!(
            pam_stack::read(&root, service).is_ok_and(|read| ivalt_rules(
                read.stack(RuleType::Auth)
            )
            .next()
            .is_some())
        );
    }
    findings(&root)
}

#[test]
fn a_shared_file_names_the_services_it_covers() {
    let path = Path::new("/etc/pam.d/common-auth");
    let root = Root::new(&trees().join("debian-12"));
    let text = root.read(path).expect("a text") + "auth required pam_ivalt.so\n";
    let found = findings(&root.with(path, text));
    let place = "/etc/pam.d/common-auth".to_owned();
    let mut expected = vec![
        ("in-other", Warning, place.clone(), 6),
        ("shared-file", Warning, place, 6),
    ];
    let mut found_short = short(&found);
    found_short.sort_by_key(|one| one.0);
    expected.sort_by_key(|one| one.0);
    assert_eq!(found_short, expected);
    let shared = found
        .iter()
        .find(|finding| finding.id == "shared-file")
        .expect("it");
    for service in [
        "cron", "login", "other", "polkit-1", "sshd", "sudo", "sudo-i",
    ] {
        assert!(shared.what.contains(service), "{}", shared.what);
    }
}

/// Without any folder libpam reads one file, whose lines name their service; a vendor's folder makes it forget that.
#[test]
fn pam_conf_counts_where_there_is_no_folder() {
    let dir = TempDir::new();
    fs::create_dir(dir.join("etc")).expect("a folder");
    let text = "sshd auth optional pam_ivalt.so\nSSHD auth required pam_unix.so\nsudo auth required pam_ivalt.so\n";
    fs::write(dir.join("etc/pam.conf"), text).expect("a file");
    let root = Root::new(dir.path());
    let place = "/etc/pam.conf".to_owned();
    let expected = [("denial-does-not-deny", LetsIn, place, 1)];
    assert_eq!(short(&findings_of(&root, "sshd"))[1..], expected);
    fs::create_dir_all(dir.join("usr/lib/pam.d")).expect("a folder");
    assert_eq!(findings_of(&root, "sshd"), []);
}

/// What `enable` checks before it writes a change.
#[test]
fn a_change_is_judged_before_it_is_made() {
    let path = Path::new("/etc/pam.d/sudo");
    let root = Root::new(&trees().join("fedora"));
    let text = root.read(path).expect("a text");
    let line = "auth       include      system-auth\n";
    let changed = text.replacen(line, &format!("{line}auth required pam_ivalt.so\n"), 1);
    let found = findings_of(&root.with(path, changed), "sudo");
    assert_eq!(
        short(&found),
        [("never-reached", LetsIn, "/etc/pam.d/sudo".to_owned(), 2)]
    );
    assert_eq!(found[0].fix, "auth    substack    system-auth");
}

/// Following states must find neither more nor less than trying every row of return codes.
#[test]
fn no_path_through_a_stack_is_missed_or_made_up() {
    let mut compared = 0;
    for row in ROWS {
        for text in [row.broken, row.healthy] {
            let dir = row.system(text);
            let root = Root::new(dir.path());
            let Ok(service) = pam_stack::read(&root, row.service) else {
                continue;
            };
            let rules = service.stack(RuleType::Auth);
            let codes = ReturnCodes::new(&root, true, false);
            for passed in only_after::logins(row.service, rules) {
                let choices = rules.iter().map(|rule| codes.of(rule, &passed));
                let choices: Vec<_> = choices.collect();
                let count = choices.iter().map(Vec::len).product::<usize>();
                if count > 20_000 {
                    continue;
                }
                let codes = |rule: &Rule| codes.of(rule, &passed);
                let explored = Exploration::of(rules, !passed.is_empty(), codes);
                let followed: BTreeSet<_> = explored
                    .expect("few states")
                    .paths()
                    .map(|path| path.code)
                    .collect();
                let tried: BTreeSet<_> = (0..count)
                    .map(|number| tried(rules, &choices, number))
                    .collect();
                assert_eq!(followed, tried, "{}", row.name);
                compared += 1;
            }
        }
    }
    assert!(compared > 80, "{compared}");
}

/// The result of one row of return codes, numbered.
fn tried(rules: &[Rule], choices: &[Vec<ReturnCode>], number: usize) -> ReturnCode {
    let mut rest = number;
    let mut row = Vec::new();
    for choice in choices {
        row.push(choice[rest % choice.len()]);
        rest /= choice.len();
    }
    simulate(rules, |rule| row[rule]).0
}

#[sandbox_test]
fn libpam_agrees_with_what_is_said() {
    let ivalt = StandIn::start();
    let mut proven = 0;
    // Debian's libpam knows @include, which upstream's takes for a line of no type.
    let here = |row: &&Row| row.tree.starts_with("debian") || !row.broken.contains("@include");
    for row in ROWS.iter().filter(here) {
        let dir = row.system(row.broken);
        let root = Root::new(dir.path());
        for found in check_service(&root, row.service) {
            let StackFinding {
                finding,
                counterexample,
                ..
            } = found;
            // That one is about pam_setcred, and has a test of its own.
            if finding.severity == Warning || finding.id == "only-after-alone" {
                continue;
            }
            let login = Login::new(&root, row, counterexample);
            let lets_in = login.code == ReturnCode::Success;
            let right = lets_in == (finding.severity == LetsIn);
            assert!(right, "{}: {login:?}", row.name);
            let real = real(row, &dir, &login, &ivalt);
            let name = row.name;
            assert_eq!(real, login.code as i32, "{name}: {finding:#?} {login:?}");
            proven += 1;
        }
    }
    println!("{proven} verdicts proven on libpam");
    assert!(proven >= 30, "{proven}");
}

/// A fix must not open what was closed.
#[test]
fn the_fixes_of_lines_after_a_key() {
    let control = "[success=done ignore=ignore default=die]";
    let first = format!("auth    {control}    pam_ivalt.so only_after=publickey");
    let below =
        "add a line below the one that asks for the password: auth    required    pam_ivalt.so";
    let tool =
        "ivaltctl disable sshd && ivaltctl enable sshd\nwhere the lines were written manually, ";
    let old = format!("{tool}in their place: ");
    let (include, plain) = (
        "auth    include    common-auth",
        "auth    required    pam_ivalt.so",
    );
    for (name, fix) in [
        ("after no method", format!("for instance: {first}")),
        ("after a key, no second line", below.to_owned()),
        (
            "after a key, as the second line",
            "auth    required    pam_ivalt.so".to_owned(),
        ),
        ("after a key, the password's way is closed", first.clone()),
        (
            "after a key, required",
            format!("in the file of the service itself: {first}"),
        ),
        ("after a key, past the password", first.clone()),
        ("after a key, sufficient", first.clone()),
        ("after a key, in login", "remove this line".to_owned()),
        (
            "a shell that looks for the key",
            format!("{old}{first}\nbelow it: {include}\nbelow it: {plain}"),
        ),
        (
            "a shell that looks for the key, on Fedora",
            format!(
                "{tool}above the others: {first}\nand in place of line 2 of /etc/pam.d/sshd, and of the line of pam_ivalt, \
                 what password-auth has, {FEDORA_BY_JUMPS}",
            ),
        ),
        (
            "a substack that could be an include",
            "auth    include    common-auth".to_owned(),
        ),
    ] {
        let row = ROWS.iter().find(|row| row.name == name).expect(name);
        let dir = row.system(row.broken);
        let found = findings_of(&Root::new(dir.path()), row.service);
        let found = found.iter().find(|found| found.id == row.id).expect(name);
        assert_eq!(found.fix, fix, "{name}");
    }
}

/// Without a method, the line would ask before the password and replace it; the method is what is wrong.
#[test]
fn a_line_after_no_method_has_one_finding() {
    let row = ROWS.iter().find(|row| row.name == "after no method");
    let dir = row.unwrap().system(row.unwrap().broken);
    let found = findings_of(&Root::new(dir.path()), "sshd");
    let ids: Vec<_> = found.iter().map(|found| found.id).collect();
    assert_eq!(ids, ["bad-argument"]);
}

/// What cannot be followed is not fine; and no file makes `check` work without end.
#[test]
fn what_is_too_much_to_follow_is_said() {
    let ivalt = "auth requisite pam_unix.so\nauth required pam_ivalt.so\n";
    let of = |text: String| {
        let root = Root::new(&trees().join("fedora"));
        let root = root.with(Path::new("/etc/pam.d/sshd"), text);
        short(&findings(&root))
    };
    let here = |id, severity, line| (id, severity, "/etc/pam.d/sshd".to_owned(), line);
    let too_much = |line| [here("stack-not-understood", LetsIn, line)];
    for include in ["include", "substack"] {
        let twice = format!("{ivalt}auth {include} sshd\nauth {include} sshd\n");
        assert_eq!(of(twice), too_much(3), "{include}");
    }
    // Where no line is pam_ivalt's, it may be in what was not read.
    let others = "auth include sshd\n".repeat(2);
    assert_eq!(of(others), too_much(1));
    let long = "auth required pam_env.so\n".repeat(paths::MAX_RULES - 1);
    assert_eq!(of(format!("{long}{ivalt}")), too_much(1));
    let long = "auth required pam_env.so\n".repeat(paths::MAX_RULES - 2);
    assert_eq!(of(format!("{long}{ivalt}")), []);
    let over = "auth [success=ok auth_err=bad perm_denied=ignore default=1] pam_private.so\n";
    let pair = format!("{over}auth optional pam_ivalt.so\n");
    assert_eq!(of(pair.repeat(120)), too_much(1));
}

/// Modules that nobody knows may each have accepted the user or not; their number does not multiply the states.
#[test]
fn many_unknown_modules_are_followed() {
    let unknown = (0..40).map(|number| format!("auth optional pam_private{number}.so\n"));
    let lines: String = unknown.collect::<String>() + "auth required pam_ivalt.so\n";
    let root = Root::new(&trees().join("fedora")).with(Path::new("/etc/pam.d/sshd"), lines);
    assert_eq!(findings_of(&root, "sshd"), []);
    let service = pam_stack::read(&root, "sshd").expect("a service");
    let rules = service.own(RuleType::Auth);
    let codes = ReturnCodes::new(&root, false, false);
    let explored = Exploration::of(rules, false, |rule| codes.of(rule, &[]));
    let paths = explored.expect("few states").paths().count();
    assert!(paths < 100, "{paths}");
}

/// What a policy ignores is PAM_SUCCESS after a key, and PAM_IGNORE in every other line.
#[test]
fn a_line_after_a_key_ignores_only_without_it() {
    let control = "[success=done ignore=ignore default=die]";
    let text =
        format!("auth {control} pam_ivalt.so only_after=publickey\nauth required pam_ivalt.so\n");
    let root = Root::new(&trees().join("debian-12")).with(Path::new("/etc/pam.d/sshd"), text);
    let service = pam_stack::read(&root, "sshd").expect("a service");
    let rules = service.stack(RuleType::Auth);
    let codes = ReturnCodes::new(&root, true, false);
    let ignores = |rule: usize, passed: &[&str]| {
        let codes = codes.of(&rules[rule], passed);
        (codes.contains(&ReturnCode::Ignore), codes.len() > 1)
    };
    assert_eq!(ignores(0, &[]), (true, false));
    assert_eq!(ignores(0, &["hostbased"]), (true, false));
    assert_eq!(ignores(0, &["publickey"]), (false, true));
    assert_eq!(ignores(1, &["publickey"]), (true, true));
    let logins = |service: &str| only_after::logins(service, rules);
    assert_eq!(logins("sshd"), [vec![], vec!["publickey"]]);
    assert_eq!(logins("sudo"), [Vec::<&str>::new()]);
    let text = ["hostbased", "publickey", "hostbased"]
        .map(|method| format!("auth optional pam_ivalt.so only_after={method}\n"));
    let root = root.with(Path::new("/etc/pam.d/sshd"), text.concat());
    let service = pam_stack::read(&root, "sshd").expect("a service");
    assert_eq!(
        only_after::logins("sshd", service.stack(RuleType::Auth)),
        [
            vec![],
            vec!["hostbased"],
            vec!["publickey"],
            vec!["hostbased", "publickey"]
        ]
    );
}

/// As sshd calls it: on a handle of its own, and again on that of the login.
#[sandbox_test]
fn pam_setcred_fails_where_only_a_line_after_a_key_is_left() {
    let ivalt = StandIn::start();
    let after_key = |control: &str| {
        let case = Case::against(&ivalt).control(control);
        let case = case.argument("only_after=publickey");
        case.pam_env("SSH_AUTH_INFO_0", "publickey")
            .answer("accept-1")
    };
    let helper = helper_module("pam_set_authtok");
    let below = format!("auth required {} setcred=called return=0", helper.display());
    let alone = || after_key("required");
    let first = || after_key("[success=done ignore=ignore default=die]").line_after(&below);
    let codes = |case: Case, calls: &[Entry]| case.calls(calls).run().codes(Entry::Setcred);
    for calls in [
        &[Entry::Authenticate, Entry::Setcred][..],
        &[Entry::Setcred],
    ] {
        assert_eq!(codes(alone(), calls), [ReturnCode::PermDenied as i32]);
        assert_eq!(codes(first(), calls), [ReturnCode::Success as i32]);
    }
}

/// What the module of each line returns, and what the application gets.
#[derive(Debug)]
struct Login {
    rule_type: RuleType,
    returned: Vec<(Location, ReturnCode)>,
    code: ReturnCode,
}

impl Login {
    fn new(root: &Root, row: &Row, counterexample: Option<Counterexample>) -> Self {
        let Some((rule_type, path)) = counterexample else {
            // libpam gives up: no module is called at all.
            return Self {
                rule_type: RuleType::Auth,
                returned: Vec::new(),
                code: ReturnCode::Abort,
            };
        };
        let service = pam_stack::read(root, row.service).expect("a service");
        let rules = service.stack(rule_type);
        let location = |(rule, code): &(usize, ReturnCode)| (rules[*rule].location.clone(), *code);
        Self {
            rule_type,
            returned: path.returned.iter().map(location).collect(),
            code: path.code,
        }
    }

    fn returned_by(&self, file: &Path, line: usize) -> Option<ReturnCode> {
        let here = |location: &Location| location.file == file && location.line == line;
        let mut returned = self.returned.iter();
        returned
            .find(|(location, _)| here(location))
            .map(|(_, code)| *code)
    }
}

/// The same files with the real module in the pam_ivalt lines and scripted ones in all others.
fn real(row: &Row, dir: &TempDir, login: &Login, ivalt: &StandIn) -> i32 {
    let asked = |(location, code): &&(Location, ReturnCode)| {
        let line = line_at(dir, location);
        let aside = line.contains("only_after=") && *code == ReturnCode::Ignore;
        line.contains("pam_ivalt") && !aside
    };
    let ivalt_codes = login.returned.iter().filter(asked);
    let ivalt_codes: Vec<_> = ivalt_codes.map(|(_, code)| *code).collect();
    let mut case = with_user(Case::against(ivalt), ivalt, &ivalt_codes);
    case = case.pam_env("SSH_AUTH_INFO_0", methods_passed(dir, login));
    let target = case.dir().join("pam.d");
    fs::create_dir(&target).expect("a folder");
    // The folder that counts most comes last, over the others.
    for folder in pam_stack::FOLDERS.iter().rev() {
        transplant(dir, Path::new(folder), &target, login, &case.config());
    }
    case.script.confdir = target;
    case.script.service = row.service.to_owned();
    case.script.dev_log = DevLog::Missing;
    let entry = match login.rule_type {
        RuleType::Account => Entry::AcctMgmt,
        _ => Entry::Authenticate,
    };
    let observed = case.calls(&[entry]).observe();
    let report = observed.report();
    let code = report.codes(entry).first().copied();
    code.unwrap_or(report.calls[0].code)
}

fn transplant(dir: &TempDir, folder: &Path, target: &Path, login: &Login, config: &Path) {
    let real = dir
        .path()
        .join(folder.strip_prefix("/").expect("a whole path"));
    for entry in fs::read_dir(real).into_iter().flatten().flatten() {
        let file = folder.join(entry.file_name());
        let text = fs::read_to_string(entry.path()).expect("a text");
        let lines = text.split('\n').enumerate();
        let lines = lines.map(|(at, line)| {
            let code = login.returned_by(&file, at + 1);
            rewritten(line, target, code, config)
        });
        let text = lines.collect::<Vec<_>>().join("\n");
        fs::write(target.join(entry.file_name()), text).expect("a file");
    }
}

/// As sshd would say it: the lines that wait for a method and asked show that it has passed.
fn methods_passed(dir: &TempDir, login: &Login) -> String {
    let asked = login
        .returned
        .iter()
        .filter(|(_, code)| *code != ReturnCode::Ignore);
    let lines = asked.map(|(location, _)| line_at(dir, location));
    let methods = lines.filter_map(|line| {
        let (_, method) = line.split_once("only_after=")?;
        Some(method.to_owned())
    });
    methods.collect::<Vec<_>>().join("\n")
}

fn line_at(dir: &TempDir, location: &Location) -> String {
    let path = dir.join(location.file.to_string_lossy().trim_start_matches('/'));
    let text = fs::read_to_string(path).unwrap_or_default();
    let line = text.lines().nth(location.line - 1);
    line.unwrap_or_default().to_owned()
}

/// A user, and settings, for which the real module returns these codes.
fn with_user(case: Case, ivalt: &StandIn, codes: &[ReturnCode]) -> Case {
    let mut settings = case.settings(ivalt).set("token", "attempts", 1);
    let mut user = "alice";
    let mut case = case;
    for (number, code) in codes.iter().enumerate() {
        match code {
            ReturnCode::Success => case = case.answer(format!("accept-{number}").as_str()),
            ReturnCode::AuthErr => case = case.answer(format!("reject-{number}").as_str()),
            ReturnCode::AuthinfoUnavail => {
                settings = settings.set("api", "url", "https://127.0.0.1:1/");
                case = case.answer("accept-1");
            }
            ReturnCode::UserUnknown => {
                user = "mallory";
                case = case.answer("accept-1");
            }
            ReturnCode::Ignore => {
                user = "mallory";
                settings = settings.set("policy", "unenrolled", "ignore");
            }
            // No answer, invalid arguments and missing files need no settings.
            ReturnCode::ConvErr | ReturnCode::ServiceErr | ReturnCode::ModuleUnknown => {}
            code => panic!("no user makes the module return {code}"),
        }
    }
    case.with_settings(&settings).user(user)
}

/// A line as it must be for libpam with a folder of its own, which Debian's does not use for includes.
fn rewritten(line: &str, folder: &Path, code: Option<ReturnCode>, config: &Path) -> String {
    let Some((head, module, rest)) = parts(line) else {
        return line.to_owned();
    };
    let included = |name: &str| {
        if name.starts_with('/') {
            name.to_owned()
        } else {
            format!("{}/{name}", folder.display())
        }
    };
    let control = head.split_whitespace().last().unwrap_or_default();
    if matches!(control, "@include" | "include" | "substack") {
        return format!("{head} {} {rest}", included(module));
    }
    // A module that is said to be missing must be missing.
    if code == Some(ReturnCode::ModuleUnknown) {
        return line.to_owned();
    }
    if module.contains("pam_ivalt") {
        let words = rest
            .split_whitespace()
            .filter(|word| !word.starts_with("config=/"));
        let words: Vec<_> = words.collect();
        return format!(
            "{head} {} config={} {}",
            module_path().display(),
            config.display(),
            words.join(" ")
        );
    }
    let code = code.unwrap_or(ReturnCode::AuthErr) as i32;
    let helper = helper_module("pam_set_authtok");
    format!("{head} {} return={code}", helper.display())
}

/// Type and control, module, arguments; nothing for what is no whole line.
fn parts(line: &str) -> Option<(&str, &str, &str)> {
    let text = line.trim_end();
    if text.trim_start().starts_with('#') || text.ends_with('\\') {
        return None;
    }
    let kind = text.trim_start().split([' ', '\t']).next()?;
    let after = text.find(kind)? + kind.len();
    let control = text[after..].trim_start();
    let begin = text.len() - control.len();
    let end = match (kind, control.strip_prefix('[')) {
        ("@include", _) => after,
        (_, Some(_)) => begin + control.find(']')? + 1,
        _ => begin + control.find([' ', '\t'])?,
    };
    let module = text[end..].trim_start();
    let length = module.find([' ', '\t']).unwrap_or(module.len());
    (length > 0).then(|| (&text[..end], &module[..length], &module[length..]))
}

/// The changes that debian/other-systems.md shows, made to the files as the distributions ship them.
#[test]
fn the_changes_shown_for_other_systems_give_no_more_than_substacks_do() {
    let page = include_str!("../../../../../debian/other-systems.md");
    let section = page.split("\n## Lines for pam.d\n").nth(1).expect("it");
    let section = section.split("\n## ").next().expect("its end");
    let mut made = 0;
    for (heading, tree) in [
        ("Fedora, RHEL and derivatives", "fedora"),
        ("Arch", "arch"),
        ("openSUSE", "opensuse"),
    ] {
        let text = section.split(&format!("### {heading}\n")).nth(1);
        let text = text.expect(heading).split("\n### ").next().expect("text");
        let mut blocks = text.split("```diff\n");
        let mut before = blocks.next().expect("words");
        for block in blocks {
            let (diff, after) = block.split_once("```").expect("an end");
            let file = before.rsplit("`/etc/pam.d/").next().expect("a file");
            let service = file.split('`').next().expect("a service");
            let [from, to] = ['-', '+'].map(|side| side_of(diff, side));
            assert_clean_but_for_substacks(tree, (service, &from, &to));
            (before, made) = (after, made + 1);
        }
    }
    assert_eq!(made, 8);
}

/// What a difference leaves of its lines before or after it.
fn side_of(diff: &str, side: char) -> String {
    let lines = diff.lines().filter(|line| line.starts_with([' ', side]));
    lines.flat_map(|line| [&line[1..], "\n"]).collect()
}
