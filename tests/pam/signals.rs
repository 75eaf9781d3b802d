//! Signals of the application during a call, and applications that use the module in unusual ways: they get their
//! signals, their children and their answers.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::expect::*;
use crate::running::{has_begun, signal};
use support::codes::*;
use support::server::{Server, reset};
use support::{
    Case, DevLog, Disposition, Interrupt, LogLine, Reply, Report, StandIn, example, helper_module,
    module_path, sandbox_test, users,
};

/// SIGALRM every millisecond, with a handler and without `SA_RESTART`: every system call that waits is interrupted.
fn with_repeated_signals(mut case: Case) -> Report {
    case.script
        .signals
        .insert(libc::SIGALRM, Disposition::Count);
    case.script.interrupt = Some(Interrupt {
        signal: libc::SIGALRM,
        every_ms: 1,
    });
    let report = case.run();
    let taken = report.signals[&libc::SIGALRM];
    assert_eq!(
        taken.elsewhere, 0,
        "no thread of ours takes the application's signals"
    );
    report
}

/// The module against something at this port that is no whole server; a time-out of 2 s.
fn at(ivalt: &StandIn, port: u16) -> Case {
    let case = Case::against(ivalt).answer("accept-1").answer("accept-2");
    let settings = case.settings(ivalt).set("api", "timeout_seconds", 2);
    let settings = settings.set("api", "url", format!("https://127.0.0.1:{port}"));
    case.with_settings(&settings)
}

#[track_caller]
fn unavailable(report: &Report, cause: &str) {
    assert_eq!(expect(report, UNAVAILABLE).get("cause"), cause);
    let elapsed = report.authenticate().elapsed_ms;
    assert!(elapsed < 3_900, "took {elapsed} ms");
    assert!(report.signals[&libc::SIGALRM].here > 100, "too few signals");
}

#[sandbox_test]
fn repeated_signals_change_no_answer() {
    let ivalt = StandIn::start();
    for (answer, row) in [
        ("slow-400", VERIFIED),
        ("slow-reject-300", REJECTED),
        ("half-body", UNAVAILABLE),
    ] {
        let case = Case::against(&ivalt).answer(answer);
        let settings = case.settings(&ivalt).set("token", "attempts", 1);
        expect(&with_repeated_signals(case.with_settings(&settings)), row);
    }
    assert_eq!(
        ivalt.tokens(),
        ["slow-400", "slow-reject-300", "half-body"],
        "an interrupted call is not repeated"
    );
}

#[sandbox_test]
fn repeated_signals_stop_no_clock() {
    let ivalt = StandIn::start();
    // A backlog that is full: the kernel leaves further connections unanswered.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    full_backlog(&listener);
    let waiting: Vec<_> = (0..4)
        .map_while(|_| TcpStream::connect_timeout(&address, Duration::from_millis(50)).ok())
        .collect();
    // On a thread that blocks signals, and on the application's own.
    for preconnect in [true, false] {
        let case = at(&ivalt, address.port());
        let settings = case.settings(&ivalt).set("api", "timeout_seconds", 2);
        let settings = settings
            .set("api", "url", format!("https://{address}"))
            .set("api", "preconnect", preconnect);
        unavailable(
            &with_repeated_signals(case.with_settings(&settings)),
            "timeout after 2 s in connect",
        );
    }
    drop(waiting);
    let silent = Server::raw(|_stream| std::thread::sleep(Duration::from_secs(6)));
    unavailable(
        &with_repeated_signals(at(&ivalt, silent.port)),
        "timeout after 2 s in tls",
    );
    let case = Case::against(&ivalt).answer("slow-20000");
    let settings = case.settings(&ivalt).set("api", "timeout_seconds", 2);
    unavailable(
        &with_repeated_signals(case.with_settings(&settings)),
        "timeout after 2 s in answer",
    );
}

/// std listens with a backlog of 128; one of 0 has room for a single connection (listen(2)).
fn full_backlog(listener: &TcpListener) {
    use std::os::fd::AsRawFd;
    // SAFETY: listen(2) takes a descriptor, which is open, and a number.
    assert_eq!(unsafe { libc::listen(listener.as_raw_fd(), 0) }, 0);
}

#[sandbox_test]
fn repeated_signals_and_a_full_log() {
    let ivalt = StandIn::start();
    for (answer, code) in [
        ("accept-1", PAM_SUCCESS),
        ("http-503", PAM_AUTHINFO_UNAVAIL),
    ] {
        let report =
            with_repeated_signals(Case::against(&ivalt).dev_log(DevLog::Full).answer(answer));
        assert_eq!(report.code(), code);
        let elapsed = report.authenticate().elapsed_ms;
        assert!(elapsed < 5_000, "took {elapsed} ms");
    }
}

/// In every phase of a request; pam-client leaves SIGPIPE deadly.
#[sandbox_test]
fn a_server_that_hangs_up_raises_no_sigpipe_under_repeated_signals() {
    let ivalt = StandIn::start();
    let gone = Server::raw(drop);
    let rude = Server::raw(|stream| reset(&stream));
    for server in [&gone, &rude] {
        expect(&with_repeated_signals(at(&ivalt, server.port)), UNAVAILABLE);
    }
    for answer in ["hang-up", "half-body"] {
        expect(
            &with_repeated_signals(Case::against(&ivalt).answer(answer)),
            UNAVAILABLE,
        );
    }
}

#[sandbox_test]
fn the_applications_child_is_left_to_it() {
    let ivalt = StandIn::start();
    for (disposition, blocked) in [
        (Disposition::Count, vec![]),
        (Disposition::Count, vec![libc::SIGCHLD]),
        (Disposition::Default, vec![]),
    ] {
        let mut case = Case::against(&ivalt).answer("slow-600");
        case.script.signals.insert(libc::SIGCHLD, disposition);
        case.script.blocked = blocked.clone();
        case.script.child_ms = Some(300);
        let observed = case.observe();
        let report = observed.report();
        expect(report, VERIFIED);
        // It waits where the application blocks it; that it does is what pam-client sees.
        let waits = report.changes().iter().any(|change| change.contains("Pnd"));
        assert_eq!(waits, !blocked.is_empty(), "{:?}", report.changes());
        assert!(
            report.changes().iter().all(|change| change.contains("Pnd")),
            "{:?}",
            report.changes()
        );
        if matches!(disposition, Disposition::Count) {
            assert_eq!(
                report.signals[&libc::SIGCHLD].here,
                u32::from(blocked.is_empty())
            );
        }
    }
}

#[sandbox_test]
fn an_application_that_is_stopped_continues_where_it_was() {
    let ivalt = StandIn::start();
    let typing = Reply::slowly("accept-1", Duration::from_millis(400));
    for (answer, requests) in [(typing.into(), 0), ("slow-400".into(), 1)] {
        let before = ivalt.requests().len();
        let mut case = Case::against(&ivalt);
        case.script.answers = vec![answer];
        let report = std::thread::scope(|scope| {
            let run = scope.spawn(|| case.run());
            let process = has_begun(&case, || ivalt.requests().len() == before + requests);
            signal(process, libc::SIGSTOP);
            std::thread::sleep(Duration::from_millis(600));
            signal(process, libc::SIGCONT);
            run.join().unwrap()
        });
        expect(&report, VERIFIED);
        assert!(report.authenticate().elapsed_ms >= 700);
        assert_eq!(ivalt.requests().len(), before + 1);
    }
}

/// The time-out also counts while the application is stopped: what came too late is not taken.
#[sandbox_test]
fn an_application_that_is_stopped_for_too_long_is_denied() {
    let ivalt = StandIn::start();
    let case = Case::against(&ivalt).answer("slow-3000").answer("accept-1");
    let settings = case.settings(&ivalt).set("api", "timeout_seconds", 1);
    let case = case.with_settings(&settings);
    let report = std::thread::scope(|scope| {
        let run = scope.spawn(|| case.run());
        let process = has_begun(&case, || ivalt.requests().len() == 1);
        signal(process, libc::SIGSTOP);
        std::thread::sleep(Duration::from_millis(1_200));
        signal(process, libc::SIGCONT);
        run.join().unwrap()
    });
    assert_eq!(
        expect(&report, UNAVAILABLE).get("cause"),
        "timeout after 1 s in answer"
    );
}

/// One stack, two lines of ours: each asks, each logs, and both must be satisfied.
#[sandbox_test]
fn twice_in_one_stack() {
    let ivalt = StandIn::start();
    for copy in [false, true] {
        for (first, second, code) in [
            ("accept-1", "accept-2", PAM_SUCCESS),
            ("reject-1", "accept-2", PAM_AUTH_ERR),
            ("accept-1", "reject-2", PAM_AUTH_ERR),
        ] {
            let case = Case::against(&ivalt).answer(first).answer(second);
            let settings = case.settings(&ivalt).set("token", "attempts", 1);
            let other = if copy {
                case.dir().join("pam_other.so")
            } else {
                module_path()
            };
            if copy {
                fs::copy(module_path(), &other).unwrap();
            }
            let line = format!(
                "auth required {} config={}",
                other.display(),
                case.config().display()
            );
            let report = case.with_settings(&settings).line_before(&line).run();
            assert_eq!(report.code(), code, "{first} {second}");
            let attempts: Vec<_> = report
                .log_lines()
                .iter()
                .map(|line| line.get("attempts"))
                .collect();
            assert_eq!(
                (attempts, report.prompts().len()),
                (vec!["1".into(), "1".into()], 2)
            );
        }
    }
    assert_eq!(ivalt.requests().len(), 12);
}

/// A module that starts threads beside ours: they are not ours to join, and do not disturb.
#[sandbox_test]
fn beside_a_module_with_threads() {
    let ivalt = StandIn::start();
    let beside = format!(
        "auth optional {} thread",
        helper_module("pam_misbehave").display()
    );
    let case = Case::against(&ivalt)
        .line_before(&beside)
        .answer("x")
        .answer("slow-200");
    let observed = case.observe();
    assert_eq!(observed.report().code(), PAM_SUCCESS);
    assert_eq!(observed.report().log_line().reason(), "verified");
}

/// What pam-concurrent says: codes, and our log lines.
fn concurrent(case: &Case, mode: &str) -> (Vec<Vec<i32>>, Vec<LogLine>) {
    case.write_service_file();
    let mut program = Command::new(example("pam-concurrent"));
    program
        .arg(case.dir().path())
        .arg(&case.script.service)
        .arg(mode);
    let said = program.env_clear().output().unwrap();
    let errors = String::from_utf8_lossy(&said.stderr);
    assert!(
        said.status.success() && errors.is_empty(),
        "{}: {errors}",
        said.status
    );
    let outcome: Value = serde_json::from_slice(&said.stdout).unwrap();
    let lines: Vec<String> = serde_json::from_value(outcome["log"].clone()).unwrap();
    let ours = lines.iter().filter(|line| LogLine::is_ours(line));
    (
        serde_json::from_value(outcome["codes"].clone()).unwrap(),
        ours.map(|line| LogLine::parse(line)).collect(),
    )
}

/// Two threads with a handle each, fifty times; every second token is one to which iVALT has no answer.
#[sandbox_test]
fn in_two_threads_at_once() {
    let ivalt = StandIn::start();
    let numbers = [("alice", "+916283974746"), ("bob", "+14155550100")];
    // Without a function of the application's own, libpam itself would sleep.
    let case = Case::against(&ivalt)
        .users(&users(&numbers))
        .argument("nodelay");
    let (codes, lines) = concurrent(&case, "threads");
    assert_eq!(
        codes,
        vec![[PAM_SUCCESS, PAM_AUTHINFO_UNAVAIL].repeat(25); 2]
    );
    for (user, number) in numbers {
        let reasons: Vec<_> = lines
            .iter()
            .filter(|line| line.get("user") == user)
            .map(LogLine::reason)
            .collect();
        assert_eq!(reasons, ["verified", "unavailable"].repeat(25));
        let accept = format!("accept-{user}-");
        let token = |request: &Value| request["body"]["auth_token"].as_str().unwrap().to_owned();
        let requests = ivalt.requests();
        let theirs: Vec<_> = requests
            .iter()
            .filter(|request| token(request).starts_with(&accept))
            .collect();
        assert!(
            theirs
                .iter()
                .all(|request| request["body"]["mobile"] == number)
        );
        assert_eq!(theirs.len(), 25);
    }
    assert_eq!((lines.len(), ivalt.requests().len()), (100, 100));
}

/// A process that forks between two calls on its handle: parent and child go on, each for itself.
#[sandbox_test]
fn after_a_fork() {
    let ivalt = StandIn::start();
    let (codes, lines) = concurrent(&Case::against(&ivalt), "fork");
    assert_eq!(codes, [[PAM_SUCCESS]; 3]);
    assert!(
        lines
            .iter()
            .all(|line| line.reason() == "verified" && line.get("attempts") == "1")
    );
    let mut processes: Vec<_> = lines.iter().map(|line| line.pid).collect();
    processes.sort_unstable();
    processes.dedup();
    assert_eq!(
        (lines.len(), processes.len()),
        (3, 2),
        "each under its own number"
    );
    let mut tokens = ivalt.tokens();
    tokens.sort_unstable();
    assert_eq!(tokens, ["accept-before", "accept-child", "accept-parent"]);
}
