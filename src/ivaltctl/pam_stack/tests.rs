//! Random stacks: what the tool says a stack decides is what the real libpam decides. Compiled into the unit tests.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::ReturnCode::{self, AuthErr, Ignore, NewAuthtokReqd, Success, UserUnknown};
use super::control::{self, Action};
use super::{Location, Module, Rule, RuleTarget, RuleType, read, simulate};
use crate::root::Root;
use support::{Case, DevLog, Entry, TempDir, helper_module, sandbox_test};

/// Codes worth mixing: those with an action of their own in the plain controls, and two kinds of failure.
const CODES: [ReturnCode; 10] = [
    Success,
    Success,
    Success,
    Success,
    Success,
    AuthErr,
    AuthErr,
    UserUnknown,
    NewAuthtokReqd,
    Ignore,
];

/// How many files there are; some include one more.
const FILES: usize = 4;

/// A line, the file it includes by number, or something that is not a line.
#[derive(Clone, Debug)]
enum Row {
    Module(String, ReturnCode),
    Missing(String),
    Include(&'static str, usize),
    Garbage(&'static str),
}

/// Control fields that are invalid, or look invalid.
const ODD: [&str; 10] = [
    "[]",
    "[success=ok default]",
    "requird",
    "[success=0 default=ok]",
    "[ success = ok ignore=ignore default = 1 ]",
    "[success=ok,default=bad]",
    "[required]",
    "[success=9]",
    "[SUCCESS=ok]",
    "[success=oktoo]",
];
const WORDS: [&str; 5] = [
    "required",
    "requisite",
    "sufficient",
    "optional",
    "REQUIRED",
];
const RETURNED: [&str; 8] = [
    "success",
    "auth_err",
    "user_unknown",
    "new_authtok_reqd",
    "ignore",
    "default",
    "perm_denied",
    "module_unknown",
];
const ACTIONS: [&str; 11] = [
    "ignore", "ok", "done", "bad", "die", "reset", "1", "2", "3", "ok", "1",
];

fn control() -> impl Strategy<Value = String> {
    let any = |words: &'static [&'static str]| prop::sample::select(words);
    let pair =
        (any(&RETURNED), any(&ACTIONS)).prop_map(|(code, action)| format!("{code}={action}"));
    let pairs = prop::collection::vec(pair, 1..4);
    prop_oneof![
        5 => any(&WORDS).prop_map(str::to_owned),
        5 => pairs.prop_map(|pairs| format!("[{}]", pairs.join(" "))),
        1 => any(&ODD).prop_map(str::to_owned),
    ]
}

/// At the top, a file of `@include` that is not there makes the service unusable; so does a path without a file name.
fn fatal() -> impl Strategy<Value = Row> {
    prop::sample::select(vec![
        "@include /nowhere",
        "auth optional .so",
        "auth required \\",
    ])
    .prop_map(Row::Garbage)
}

fn row(file: usize) -> impl Strategy<Value = Row> {
    let code = prop::sample::select(CODES.to_vec());
    let included = (
        prop::sample::select(vec!["include", "substack", "substack", "@include"]),
        file + 1..file + 3,
    );
    let garbage = prop::sample::select(vec![
        "garbage",
        "auth",
        "auth required",
        "auth optional",
        "nonsense optional x.so",
        "-auth optional",
        "account required pam_deny.so",
        "auth \\\n required \\\n# said between\n",
        "  # nothing",
        "",
    ]);
    prop_oneof![
        16 => (control(), code).prop_map(|(control, code)| Row::Module(control, code)),
        6 => included.prop_map(|(word, file)| Row::Include(word, file)),
        1 => control().prop_map(Row::Missing),
        1 => garbage.prop_map(Row::Garbage),
    ]
}

/// The files of one stack; the first is the service's. Some include a file that does not exist.
fn files() -> impl Strategy<Value = Vec<Vec<Row>>> {
    let file = |number| prop::collection::vec(row(number), 0..7);
    let last = prop::option::weighted(0.05, fatal());
    (file(0), file(1), file(2), file(3), last).prop_map(|(mut a, b, c, d, last)| {
        a.extend(last);
        vec![a, b, c, d]
    })
}

/// The text of a file, `folder` in front of the names it includes.
fn text(rows: &[Row], number: usize, folder: &str, module: &str) -> String {
    let mut text = String::new();
    for (at, row) in rows.iter().enumerate() {
        let name = format!("{number}.{at}");
        text += &match row {
            Row::Module(control, code) => {
                format!(
                    "auth\t{control} {module} say={name} return={}\n",
                    *code as i32
                )
            }
            Row::Missing(control) => format!("-auth {control} /nowhere/pam_missing.so\n"),
            // Of one that is missing, Debian's libpam makes a step whose actions are whatever its memory holds.
            Row::Include("@include", file) if *file < FILES => {
                format!("@include {folder}f{file}\n")
            }
            Row::Include("@include", _) => "auth include /nowhere\n".into(),
            Row::Include(word, file) => format!("auth {word} {folder}f{file}\n"),
            Row::Garbage(line) => format!("{line}\n"),
        };
    }
    text
}

fn write(files: &[Vec<Row>], at: &Path, folder: &str) {
    fs::create_dir_all(at).expect("a folder");
    let module = helper_module("pam_set_authtok");
    for (number, rows) in files.iter().enumerate() {
        let text = text(rows, number, folder, &module.to_string_lossy());
        fs::write(at.join(format!("f{number}")), text).expect("a file");
    }
    fs::write(at.join("other"), "auth required pam_deny.so\n").expect("a file");
}

/// What the tool says: the return code, and the names of the modules called.
fn model(folder: &Path) -> (ReturnCode, Vec<String>) {
    let Ok(service) = read(&Root::new(folder), "f0") else {
        return (ReturnCode::Abort, Vec::new());
    };
    let rules = service.stack(RuleType::Auth);
    if rules.is_empty() {
        return (ReturnCode::PermDenied, Vec::new());
    }
    let (code, called) = simulate(rules, |at| returned(&rules[at]));
    let scripted = called
        .into_iter()
        .filter(|at| returned(&rules[*at]) != ReturnCode::ModuleUnknown);
    let called = scripted.filter_map(|at| argument(&rules[at], "say="));
    (code, called.collect())
}

/// The scripted module returns what it is told; others of these lines are pam_deny, or do not exist.
fn returned(rule: &Rule) -> ReturnCode {
    match &rule.target {
        RuleTarget::Module(module) if module.name() == "pam_deny" => AuthErr,
        RuleTarget::Module(module) if module.path.ends_with("/libpam_set_authtok.so") => {
            let number = argument(rule, "return=").expect("a code");
            let same = |code: &&ReturnCode| (**code as i32).to_string() == number;
            *CODES.iter().find(same).expect("a code")
        }
        _ => ReturnCode::ModuleUnknown,
    }
}

fn argument(rule: &Rule, name: &str) -> Option<String> {
    let RuleTarget::Module(module) = &rule.target else {
        return None;
    };
    let found = module
        .arguments
        .iter()
        .find_map(|word| word.strip_prefix(name));
    found.map(str::to_owned)
}

/// What libpam says.
fn real(folder: &Path) -> (i32, Vec<String>) {
    let mut case = Case::new("pam_permit.so");
    case.script.confdir = folder.to_owned();
    case.script.service = "f0".into();
    // libpam says more of these files than the queue of a socket holds.
    case.script.dev_log = DevLog::Missing;
    let observed = case.observe();
    let report = observed.report();
    // A service that cannot be read ends before pam_authenticate.
    let codes = report.codes(Entry::Authenticate);
    let first = report.calls.first().map(|call| call.code);
    let code = codes.first().copied().or(first).expect("a call");
    let told = report.told().into_iter().map(str::to_owned).collect();
    (code, told)
}

#[sandbox_test]
fn random_stacks_end_as_libpam_ends_them() {
    let seen = RefCell::new(BTreeMap::new());
    let cases = std::env::var("STACKS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(200);
    let mut runner = TestRunner::new(Config {
        cases,
        max_shrink_iters: 200,
        failure_persistence: None,
        ..Config::default()
    });
    let result = runner.run(&files(), |files| {
        let dir = TempDir::new();
        let (copy, pam_d) = (dir.join("real"), dir.join("etc/pam.d"));
        write(&files, &pam_d, "");
        write(&files, &copy, &format!("{}/", copy.display()));
        let model = model(dir.path());
        *seen.borrow_mut().entry(model.0).or_insert(0) += 1;
        let (code, told) = real(&copy);
        prop_assert_eq!((model.0 as i32, model.1), (code, told));
        Ok(())
    });
    result.unwrap_or_else(|error| panic!("{error}"));
    let seen = seen.into_inner();
    // Stacks that nearly all fail alike would prove little.
    let all = FREQUENT.iter().all(|code| seen.contains_key(code));
    assert!(all, "{seen:?}");
    println!("{seen:?}");
}

/// What random stacks must have ended with, each at least once.
const FREQUENT: [ReturnCode; 6] = [
    Success,
    AuthErr,
    ReturnCode::PermDenied,
    UserUnknown,
    ReturnCode::ModuleUnknown,
    ReturnCode::Abort,
];

/// `include` has the same limit only since libpam 1.6, so that this shows it by substacks.
#[sandbox_test]
fn chains_of_substacks_are_as_long_as_libpam_reads_them() {
    let chain = |folder: &Path, prefix: &str, length: usize| {
        fs::create_dir_all(folder).unwrap();
        for number in 1..length {
            let line = format!("auth substack {prefix}f{number}\n");
            fs::write(folder.join(format!("f{}", number - 1)), line).unwrap();
        }
        let last = folder.join(format!("f{}", length - 1));
        fs::write(last, "auth required pam_permit.so\n").unwrap();
    };
    let lets_in = |length| {
        let dir = TempDir::new();
        let (copy, pam_d) = (dir.join("real"), dir.join("etc/pam.d"));
        chain(&pam_d, "", length);
        chain(&copy, &format!("{}/", copy.display()), length);
        let service = read(&Root::new(dir.path()), "f0").unwrap();
        let (code, _) = simulate(service.stack(RuleType::Auth), |_| Success);
        assert_eq!(code as i32, real(&copy).0, "{length} files");
        code == Success
    };
    assert_eq!([15, 16, 17].map(lets_in), [true, true, false]);
}

/// What a line that does not know the password may be: its code, its action, or the beginning of a substack.
const AROUND: [Option<(ReturnCode, Action)>; 12] = [
    None,
    Some((Success, Action::Ok)),
    Some((AuthErr, Action::Ok)),
    Some((Ignore, Action::Ok)),
    Some((Success, Action::Done)),
    Some((AuthErr, Action::Done)),
    Some((Ignore, Action::Done)),
    Some((Success, Action::Bad)),
    Some((Success, Action::Die)),
    Some((Success, Action::Reset)),
    Some((Success, Action::Jump(1))),
    Some((Success, Action::Jump(2))),
];
const LEVELS: usize = 3;

fn rule_of(level: usize, what: Option<(ReturnCode, Action)>) -> (Rule, ReturnCode) {
    let word = |action| match action {
        Action::Jump(count) => count.to_string(),
        action => format!("{action:?}").to_lowercase(),
    };
    let control = what.map_or("ignore".to_owned(), |(_, action)| word(action));
    let control = format!("default={control}");
    let rule = Rule {
        location: Location {
            file: "/etc/pam.d/x".into(),
            line: 1,
        },
        included_by: Vec::new(),
        level,
        target: match what {
            Some(_) => RuleTarget::Module(Module::default()),
            None => RuleTarget::Substack,
        },
        actions: control::parse(&control).expect("a control field"),
        control,
        control_fault: None,
    };
    (rule, what.map_or(Success, |(code, _)| code))
}

/// Rules, and what their modules return.
type Lines = Vec<(Rule, ReturnCode)>;

/// Whether the last line of these is called, where the password is right, and where it is wrong.
fn reached(lines: &[(Rule, ReturnCode)], password: usize, last: usize) -> (bool, bool) {
    let rules: Vec<_> = lines.iter().map(|(rule, _)| rule.clone()).collect();
    let with = |code| {
        let returned = |at: usize| if at == password { code } else { lines[at].1 };
        simulate(&rules, returned).1.contains(&last)
    };
    (with(Success), with(AuthErr))
}

/// The password as Fedora's files ask for it, between a line above and two below, and pam_ivalt.
fn around(level: usize, above: usize, below: &[(Rule, ReturnCode); 2], ivalt: usize) -> Lines {
    let success = |level| rule_of(level, Some((Success, Action::Ok)));
    let mut lines = vec![success(0); above];
    lines.push(rule_of(level, None));
    let mut sufficient = success(level + 1);
    sufficient.0.actions = control::parse("sufficient").expect("a control field");
    lines.push(sufficient);
    lines.push(rule_of(level + 1, Some((AuthErr, Action::Bad))));
    lines.extend_from_slice(below);
    lines.push(success(ivalt));
    lines
}

/// Whoever reaches a line below a substack with the right password reaches it with a wrong one: nothing but another
/// file ends Fedora's stack there (SECURITY.md).
#[test]
fn no_lines_around_a_substack_see_that_it_has_failed() {
    let all = AROUND
        .iter()
        .flat_map(|what| (0..LEVELS).map(|level| rule_of(level, *what)));
    let all: Vec<_> = all.collect();
    let (mut tried, mut wrong_only) = (0, 0);
    for number in 0..LEVELS * 2 * LEVELS * all.len().pow(2) {
        let (level, rest) = (number % LEVELS, number / LEVELS);
        let (above, rest) = (rest % 2, rest / 2);
        let (ivalt, rest) = (rest % LEVELS, rest / LEVELS);
        let below = [&all[rest % all.len()], &all[rest / all.len()]].map(Clone::clone);
        let lines = around(level, above, &below, ivalt);
        let (right, wrong) = reached(&lines, above + 1, lines.len() - 1);
        assert!(wrong || !right, "{lines:#?}");
        tried += 1;
        wrong_only += usize::from(wrong && !right);
    }
    // The other way round it is possible: `done` leaves a stack that has not failed.
    assert!(tried > 20_000 && wrong_only > 1_000, "{tried} {wrong_only}");
}
