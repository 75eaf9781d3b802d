//! The limits of the process, which under su are the caller's choice (setrlimit(2)): whatever is used up, the
//! application lives, nothing hangs, and nobody gets in unverified.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::expect::*;
use crate::table::{url, with_lines};
use support::codes::*;
use support::server::{Server, answer, trusted_authority};
use support::{Case, Entry, Report, Severity, StandIn, helper_module, sandbox_test};

const INTERNAL: Row = Row("deny", "internal", PAM_ABORT, Severity::Critical);

/// One run with a soft limit during the call; an application that dies of it has no report.
fn limited(case: Case, limit: &str, value: u64) -> Report {
    let mut case = case.answer("accept-1").limit(Duration::from_secs(20));
    case.script.soft_limits.insert(limit.to_owned(), value);
    case.run()
}

/// What became of it on every step of a ladder, until it succeeded several times in a row: the rows in order, each
/// once.
fn climb(
    case: impl Fn() -> Case,
    limit: &str,
    steps: impl Iterator<Item = u64>,
) -> Vec<(String, String)> {
    let mut rungs = Vec::new();
    let mut well = 0;
    for value in steps {
        let report = limited(case(), limit, value);
        let line = report.log_line();
        well = if report.code() == PAM_SUCCESS {
            well + 1
        } else {
            0
        };
        let row = [INTERNAL, MISCONFIGURED, VERIFIED]
            .into_iter()
            .find(|row| row.1 == line.reason());
        expect(
            &report,
            row.unwrap_or_else(|| panic!("{limit} {value}: {line:?}")),
        );
        rungs.push((line.reason(), line.get("cause")));
        if well == 4 {
            break;
        }
    }
    rungs.dedup();
    rungs
}

fn reasons(rungs: &[(String, String)]) -> Vec<&str> {
    rungs.iter().map(|rung| rung.0.as_str()).collect()
}

#[sandbox_test]
fn too_little_memory_is_a_denial_and_no_crash() {
    let ivalt = StandIn::start();
    let no_memory = (
        "internal".to_owned(),
        "out of memory: less than 4 MiB".to_owned(),
    );
    let no_stack = (
        "internal".to_owned(),
        "out of memory: less than 256 KiB of stack".to_owned(),
    );
    let verified = ("verified".to_owned(), String::new());
    let kib = |from, step| {
        (0_u64..)
            .map(move |number| (from + number * step) << 10)
            .take(400)
    };
    for (limit, steps, expected) in [
        // Far below what is mapped already, where not even the stack can grow; then in steps of less than a call takes.
        ("AS", kib(0, 2_048), &no_memory),
        ("AS", kib(4_000, 160), &no_memory),
        // 0 is something else to the kernel (mm/mmap.c, may_expand_vm).
        ("DATA", kib(16, 160), &no_memory),
        ("STACK", kib(0, 24), &no_stack),
    ] {
        let rungs = climb(|| Case::against(&ivalt), limit, steps);
        assert_eq!(rungs, [expected.clone(), verified.clone()], "{limit}");
    }
}

/// The arguments count all the same, and a broken file beside it is not looked at.
#[sandbox_test]
fn without_memory_nothing_else_is_tried() {
    let ivalt = StandIn::start();
    let case = Case::against(&ivalt)
        .argument("nodelay")
        .settings_text("url");
    let report = limited(case, "STACK", 0);
    let line = report.log_line();
    assert_eq!(
        (report.code(), line.reason(), line.severity),
        (PAM_ABORT, "internal".into(), Severity::Critical)
    );
    assert_eq!(
        (line.get("user"), line.get("attempts")),
        ("alice".into(), "0".into())
    );
    assert!(!report.asked_for_delay());
    assert_eq!((report.messages().len(), ivalt.connections().len()), (0, 0));
    // No policy excuses it.
    let case = Case::against(&ivalt).user("bob");
    let settings = case
        .settings(&ivalt)
        .set("policy", "unenrolled", "ignore")
        .set("policy", "unavailable", "ignore");
    expect(
        &limited(case.with_settings(&settings), "DATA", 65_536),
        INTERNAL,
    );
}

/// Of the four MiB that must be there, the system's roots and those of the settings must leave some.
#[sandbox_test]
fn what_a_call_asks_for_is_more_than_it_takes() {
    let ivalt = StandIn::start();
    let roots = |case: &Case| {
        let own = std::fs::read(ivalt.ca()).unwrap();
        let copies = (1 << 20) / own.len() - 1;
        case.dir().write("roots.pem", own.repeat(copies), 0o600)
    };
    let case = || {
        let case = Case::against(&ivalt);
        let settings = case
            .settings(&ivalt)
            .set("api", "ca_file", roots(&case).to_str().unwrap());
        case.with_settings(&settings)
    };
    let kib = (0_u64..200).map(|number| (4_000 + number * 192) << 10);
    assert_eq!(reasons(&climb(case, "AS", kib)), ["internal", "verified"]);
}

/// As long as an answer may be, and of what takes most: digits, and a list of reasons.
#[sandbox_test]
fn a_long_answer_takes_little_of_it() {
    let reasons = format!(r#"["{}"]"#, "\",\"".repeat(21_000));
    for detail in [format!(r#""{}""#, "7".repeat(65_000)), reasons] {
        let body = format!(r#"{{"error":{{"detail":{detail}}}}}"#);
        let server = Server::answering(answer("403 X", "", body.as_bytes()));
        for kib in (4_480..5_600).step_by(40) {
            let lines = "[token]\nattempts = 1\n";
            let case = with_lines(crate::table::case(&url(&server)), lines);
            let roots = trusted_authority(case.dir().path());
            let own = std::fs::read(&roots).unwrap();
            std::fs::write(&roots, own.repeat((1 << 20) / own.len() - 1)).unwrap();
            let case = case.users("[users]\nalice = \"+77777777777\"\n");
            let report = limited(case, "DATA", kib << 10);
            let enough = report.log_line().reason() != "internal";
            expect(&report, if enough { REJECTED } else { INTERNAL });
        }
    }
}

/// users.toml asks for its own memory, and says so.
#[sandbox_test]
fn a_large_users_file_may_not_fit() {
    let ivalt = StandIn::start();
    let mut users = "[users]\nalice = \"+916283974746\"\n".to_owned();
    for number in 0..30_000 {
        users += &format!("user{number} = \"+916283974746\"\n");
    }
    let case = || Case::against(&ivalt).users(&users);
    let not_plain = users.replacen("[users]\n", "[users]\n'bob' = ''\n", 1);
    let report = limited(case().users(&not_plain), "DATA", 5_500 << 10);
    let line = expect(&report, MISCONFIGURED);
    assert!(line.get("cause").ends_with("/users.toml: out of memory (RLIMIT_AS unlimited, RLIMIT_DATA 5500 KiB); raise the limit: ulimit -v, ulimit -d, or LimitAS=, LimitDATA= of the unit"), "{line:?}");
    let kib = (0_u64..200).map(|number| (4_000 + number * 704) << 10);
    assert_eq!(reasons(&climb(case, "AS", kib)).last(), Some(&"verified"));
}

/// The caller of su chooses the limits: want of memory for the users of a directory must not pass for their absence.
#[sandbox_test]
fn a_large_synced_file_may_not_fit() {
    let ivalt = StandIn::start();
    let mut synced = "[users]\n'bob' = ''\n".to_owned();
    for number in 0..30_000 {
        synced += &format!("user{number} = \"+916283974746\"\n");
    }
    synced += "dave = \"+14155550203\"\n";
    let run = |user: &str| {
        let case = Case::against(&ivalt).synced(&synced).user(user);
        let settings = case.settings(&ivalt).with_synced(&case.synced_file()).set(
            "policy",
            "unenrolled",
            "ignore",
        );
        limited(case.with_settings(&settings), "DATA", 5_500 << 10)
    };
    for user in ["dave", "mallory"] {
        let line = expect(&run(user), MISCONFIGURED);
        let cause = line.get("cause");
        let sentence = "/synced.toml: out of memory (RLIMIT_AS unlimited, RLIMIT_DATA 5500 KiB); ";
        assert!(cause.contains(sentence), "{cause}");
    }
    expect(&run("alice"), VERIFIED);
}

#[sandbox_test]
fn limits_that_do_not_matter() {
    let ivalt = StandIn::start();
    for (limit, value) in [
        ("NPROC", 0),
        ("FSIZE", 0),
        ("MEMLOCK", 0),
        ("CORE", 0),
        ("CPU", 1),
        ("DATA", 0),
    ] {
        expect(&limited(Case::against(&ivalt), limit, value), VERIFIED);
    }
    for size in ["0", "1", "18446744073709551615", "no number"] {
        let case = Case::against(&ivalt)
            .env("RUST_MIN_STACK", size)
            .answer("accept-1");
        expect(&case.run(), VERIFIED);
    }
}

/// With none left there is no log either, and libpam fails for its own want of one (libaudit). Hence the module below
/// ours, which closes standard input: the code is ours again.
#[sandbox_test]
fn without_a_free_descriptor_nobody_gets_in() {
    let ivalt = StandIn::start();
    let closes = format!(
        "auth optional {} closes-stdin",
        helper_module("pam_misbehave").display()
    );
    let mut codes = Vec::new();
    for limit in 0..12 {
        let mut case = Case::against(&ivalt).line_after(&closes).answer("accept-1");
        case.script.soft_limits.insert("NOFILE".to_owned(), limit);
        let observed = case.observe();
        assert_eq!(
            (observed.stdout.as_str(), observed.stderr.as_str()),
            ("", "")
        );
        codes.push(observed.report().code());
    }
    // At 0 the descriptor that is freed may not be used again either, and libpam's own code is what remains.
    let first_free = codes
        .iter()
        .position(|code| *code == PAM_SUCCESS)
        .expect("enough at last");
    let (too_few, enough) = codes.split_at(first_free);
    assert!(too_few.len() > 2 && enough.len() > 2, "{codes:?}");
    assert!(enough.iter().all(|code| *code == PAM_SUCCESS), "{codes:?}");
    assert!(
        too_few.iter().skip(1).all(|code| *code == PAM_SERVICE_ERR),
        "{codes:?}"
    );
}

/// Some callers of setuid programs close them; what is opened then gets their numbers.
#[sandbox_test]
fn an_application_without_standard_descriptors_is_served() {
    let ivalt = StandIn::start();
    for closed in [vec![0], vec![1, 2], vec![0, 1, 2]] {
        for (answer, row) in [
            ("accept-1", VERIFIED),
            ("http-503", UNAVAILABLE),
            ("garbage", UNAVAILABLE),
        ] {
            let mut case = Case::against(&ivalt).answer(answer);
            case.script.closed = closed.clone();
            expect(&case.run(), row);
        }
    }
}

#[sandbox_test]
fn several_things_missing_at_once() {
    let ivalt = StandIn::start();
    let mut case = Case::against(&ivalt)
        .calls(&[Entry::Authenticate; 2])
        .answer("accept-1")
        .answer("reject-1");
    case.script.closed = vec![0, 1, 2];
    case.script.umask = Some(0o777);
    for limit in ["NPROC", "FSIZE", "MEMLOCK"] {
        case.script.soft_limits.insert(limit.to_owned(), 0);
    }
    case.script.dev_log = support::DevLog::Full;
    let report = case.run();
    assert_eq!(
        report.codes(Entry::Authenticate),
        [PAM_SUCCESS, PAM_CONV_ERR]
    );
}

/// On every step: too little for any call, too little for this file, or enough; and the line says which limit it is.
/// How often it was too little for the file.
#[track_caller]
fn every_step(case: impl Fn() -> Case, limit: &str, enough: Row) -> usize {
    let kib = (0_u64..400).map(|number| 4_050 + number * 450);
    let (mut out_of_memory, mut well) = (0, 0);
    for kib in kib {
        let report = limited(case(), limit, kib << 10);
        let line = report.log_line();
        let cause = line.get("cause");
        match line.reason().as_str() {
            "internal" => {
                expect(&report, INTERNAL);
                assert_eq!(cause, "out of memory: less than 4 MiB");
            }
            "misconfigured" if cause.contains("out of memory") => {
                expect(&report, MISCONFIGURED);
                let (as_limit, data_limit) = match limit {
                    "AS" => (format!("{kib} KiB"), "unlimited".to_owned()),
                    _ => ("unlimited".to_owned(), format!("{kib} KiB")),
                };
                let sentence = format!(
                    ".toml: out of memory (RLIMIT_AS {as_limit}, RLIMIT_DATA {data_limit}); raise the limit: "
                );
                assert!(cause.contains(&sentence), "{cause}");
                out_of_memory += 1;
            }
            _ => {
                expect(&report, enough);
                well += 1;
            }
        }
        if well == 2 {
            return out_of_memory;
        }
    }
    panic!("{limit}: never enough")
}

/// Each of these makes something large of the file: the parser's list of tokens, a copy, a name, a list of places.
#[sandbox_test]
fn what_grows_with_the_users_file_is_tried_first() {
    const ALICE: &str = "alice = \"+916283974746\"\n";
    let ivalt = StandIn::start();
    let tokens = |piece: &str| piece.repeat(100_000 / piece.len());
    let bytes = |piece: &str| piece.repeat(1_000_000 / piece.len());
    let mut too_little = 0;
    let plain = "user = \"+916283974746\"\n";
    for (users, user, enough) in [
        (
            format!("'bob' = ''\n#{}\n{ALICE}", bytes("x").repeat(4)),
            "alice",
            VERIFIED,
        ),
        (
            format!("'bob' = ''\n{}{ALICE}", tokens(plain)),
            "alice",
            VERIFIED,
        ),
        (format!("{}{ALICE}", bytes(plain)), "alice", VERIFIED),
        (tokens(ALICE), "alice", BAD_ENTRY),
        (
            format!("{ALICE}{}b = ''\n", tokens("b.")),
            "alice",
            VERIFIED,
        ),
        (
            format!("{ALICE}bob = {}\n", tokens("[{},")),
            "alice",
            MISCONFIGURED,
        ),
        (
            format!("{ALICE}bob = \"\\u0061{}\"\n", bytes("x")),
            "alice",
            VERIFIED,
        ),
        (
            format!("alice = \"{}\\u0061\"\n", bytes("x")),
            "alice",
            BAD_ENTRY,
        ),
        (
            format!("{ALICE}\"{}\\u0061\" = ''\n", bytes("x")),
            "alice",
            VERIFIED,
        ),
        (
            format!("{ALICE}bob = 0.{}\n", bytes("1")),
            "alice",
            VERIFIED,
        ),
        (format!("a.\"{}\" = ''\n", bytes("b")), "a.b", NOT_ENROLLED),
        (
            format!("alice = {{ {} = 1 }}\n", bytes("b")),
            "alice",
            BAD_ENTRY,
        ),
        (format!("[{}]\n", bytes("b")), "alice", MISCONFIGURED),
    ] {
        let users = format!("[users]\n{users}");
        let case = || Case::against(&ivalt).users(&users).user(user);
        too_little += every_step(case, "DATA", enough);
    }
    let users = format!("[users]\n'bob' = ''\n{}{ALICE}", bytes(plain));
    too_little += every_step(|| Case::against(&ivalt).users(&users), "AS", VERIFIED);
    assert!(too_little > 30, "{too_little}");
}

/// What a library makes of settings is not tried but checked before: at the edge of what the check asks for, and above.
#[sandbox_test]
fn what_grows_with_the_settings_is_checked_first() {
    let ivalt = StandIn::start();
    let settings = |more: &str| {
        let case = Case::against(&ivalt);
        let text = format!("{more}{}", case.settings(&ivalt).text());
        case.settings_text(&text)
    };
    for piece in ["x.", "[],", "{a=[", "'a',"] {
        let text = format!("x = [{}]\n", piece.repeat(50_000 / piece.len()));
        let edge = text.len() as u64 / 4;
        let causes = (0..8).map(|step| {
            let report = limited(settings(&text), "DATA", (edge + 1_000 * step) << 10);
            expect(&report, MISCONFIGURED).get("cause")
        });
        let causes: Vec<_> = causes.collect();
        let too_little = causes
            .iter()
            .filter(|cause| cause.contains("/ivalt.toml: out of memory (RLIMIT_AS unlimited, "));
        // Then its first fault: x is no setting, or what follows is no TOML.
        assert!((1..8).contains(&too_little.count()), "{causes:?}");
        assert!(causes[7].contains("/ivalt.toml:1: "), "{causes:?}");
    }
}

/// What the first call leaves in the heap of the process must not be missing in the next.
#[sandbox_test]
fn a_large_users_file_in_call_after_call() {
    let ivalt = StandIn::start();
    let mut users = "[users]\n'bob' = ''\n".to_owned();
    for number in 0..30_000 {
        users += &format!("user{number} = \"+916283974746\"\n");
    }
    users += "alice = \"+916283974746\"\n";
    let mut seen = BTreeSet::new();
    for kib in (0..12).map(|step| 16_000 + step * 4_000) {
        let case = Case::against(&ivalt)
            .users(&users)
            .calls(&[Entry::Authenticate; 3])
            .answer("accept-1")
            .answer("accept-2");
        let report = limited(case, "DATA", kib << 10);
        assert_eq!(report.log_lines().len(), 3);
        seen.extend(report.log_lines().iter().map(|line| line.reason()));
    }
    let expected = ["internal", "misconfigured", "unanswered", "verified"];
    assert!(
        seen.iter()
            .all(|reason| expected.contains(&reason.as_str())),
        "{seen:?}"
    );
    assert!(
        seen.contains("misconfigured") && seen.contains("verified"),
        "{seen:?}"
    );
}
