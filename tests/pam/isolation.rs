//! What the module must leave alone in the application's process, and what an application may do to the module.
//! `Case::run` itself fails when threads, descriptors, signals, environment, working directory or umask changed, or
//! anything was printed.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::expect::*;
use support::codes::*;
use support::server::Server;
use support::{
    Case, DevLog, Disposition, Entry, Interrupt, Severity, StandIn, TempDir, module_path,
    sandbox_test,
};

/// The caller's environment: a proxy and an authority of their own, both really there.
fn hostile(case: Case, hostile: &StandIn) -> Case {
    let proxy = format!("http://127.0.0.1:{}", hostile.port());
    let (ca, keys) = (
        hostile.ca().display().to_string(),
        case.dir().join("keys").display().to_string(),
    );
    let folder = Path::new(&ca).parent().unwrap().display().to_string();
    [
        ("HTTPS_PROXY", &proxy),
        ("https_proxy", &proxy),
        ("ALL_PROXY", &proxy),
        ("HTTP_PROXY", &proxy),
        ("SSL_CERT_FILE", &ca),
        ("SSL_CERT_DIR", &folder),
        ("SSLKEYLOGFILE", &keys),
        ("RUST_LOG", &"trace".to_owned()),
        ("RUST_BACKTRACE", &"full".to_owned()),
        ("RUST_MIN_STACK", &"1000000000000".to_owned()),
        ("RES_OPTIONS", &"timeout:30 attempts:5".to_owned()),
        ("LOCALDOMAIN", &"evil.example".to_owned()),
        ("TZ", &":/etc/shadow".to_owned()),
    ]
    .into_iter()
    .fold(case, |case, (name, value)| case.env(name, value))
}

#[sandbox_test]
fn the_callers_environment_is_not_read() {
    let (ivalt, evil) = (StandIn::start(), StandIn::start());
    let case = hostile(Case::against(&ivalt), &evil).answer("accept-1");
    expect(&case.run(), VERIFIED);
    assert!(!case.dir().join("keys").exists());
    assert_eq!(evil.connections().len(), 0);

    // The caller's authority does not make that server trusted, whatever it answers.
    let settings = case.settings(&ivalt).set("api", "url", evil.url());
    let line = expect(&case.with_settings(&settings).run(), UNAVAILABLE);
    assert!(
        line.get("cause").starts_with("tls: certificate "),
        "{line:?}"
    );
    assert_eq!(evil.requests().len(), 0);
}

/// ureq asks for a proxy of the environment before it hears that there is to be none, and glibc's resolver for its own
/// options. What they say has no effect, see above; anything further would be new.
#[sandbox_test]
fn no_other_variable_is_asked_for() {
    let ivalt = StandIn::start();
    let case = Case::against(&ivalt).answer("accept-1");
    let asked = case.dir().join("asked");
    let spy = compiled("getenv_spy", case.dir());
    let case = case.preload(&spy).env("SPY", asked.to_str().unwrap());
    case.observe();
    let asked = std::fs::read_to_string(&asked).unwrap();
    let mut names: Vec<_> = asked.lines().map(str::to_ascii_lowercase).collect();
    names.sort();
    names.dedup();
    assert_eq!(
        names,
        ["all_proxy", "http_proxy", "https_proxy", "no_proxy"]
    );
}

#[sandbox_test]
fn a_log_that_is_out_of_order_neither_hangs_nor_fails_a_login() {
    let ivalt = StandIn::start();
    for kind in [
        DevLog::Missing,
        DevLog::Full,
        DevLog::Stale,
        DevLog::Fifo,
        DevLog::File,
    ] {
        for (answer, code) in [
            ("accept-1", PAM_SUCCESS),
            ("http-503", PAM_AUTHINFO_UNAVAIL),
        ] {
            let report = Case::against(&ivalt).dev_log(kind).answer(answer).run();
            assert_eq!(report.code(), code, "{kind:?}");
            let elapsed = report.authenticate().elapsed_ms;
            assert!(elapsed < 5_000, "{kind:?} took {elapsed} ms");
        }
    }
}

#[sandbox_test]
fn a_panic_inside_is_a_denial_with_a_log_line_and_the_application_lives_on() {
    let ivalt = StandIn::start();
    let dir = TempDir::new();
    let case = Case::against(&ivalt).preload(&compiled("clock_fails_once", &dir));
    let case = case
        .env("RUST_BACKTRACE", "full")
        .calls(&[Entry::Authenticate; 2])
        .answer("accept-1")
        .answer("accept-2");
    let settings = case.settings(&ivalt).set("api", "preconnect", false);
    let report = case.with_settings(&settings).run();
    assert_eq!(report.codes(Entry::Authenticate), [PAM_ABORT, PAM_SUCCESS]);
    let lines = report.log_lines();
    assert_eq!(lines[0].severity, Severity::Critical);
    assert_eq!(
        (lines[0].outcome(), lines[0].reason(), lines[0].get("user")),
        ("deny".into(), "internal".into(), "alice".into())
    );
    assert!(
        lines[0].get("cause").starts_with("panic at "),
        "{:?}",
        lines[0]
    );
    assert_eq!(lines[1].reason(), "verified");
    assert!(report.asked_for_delay());
    // The first time it was over before anybody was asked.
    assert_eq!(ivalt.tokens(), ["accept-1"]);
}

/// The clock fails in the thread that connects: the user does not notice, the connection is made after the answer.
#[sandbox_test]
fn a_panic_in_the_thread_that_connects_costs_nothing() {
    let ivalt = StandIn::start();
    let dir = TempDir::new();
    let case = Case::against(&ivalt).preload(&compiled("clock_fails_elsewhere", &dir));
    let report = case.env("RUST_BACKTRACE", "full").answer("accept-1").run();
    expect(&report, VERIFIED);
    assert_eq!(ivalt.tokens(), ["accept-1"]);
}

/// A library made from the C file of this name, to be loaded before all others.
pub fn compiled(name: &str, dir: &TempDir) -> PathBuf {
    let source = support::checkout().join(format!("tests/pam/{name}.c"));
    let library = dir.join(&format!("{name}.so"));
    let status = Command::new("cc")
        .args(["-shared", "-fPIC", "-o"])
        .arg(&library)
        .arg(source)
        .status();
    assert!(
        status
            .expect("cc, which links Rust programs, too")
            .success()
    );
    library
}

#[sandbox_test]
fn signals_are_left_to_the_application() {
    let ivalt = StandIn::start();
    let mut case = Case::against(&ivalt).answer("slow-400").answer("accept-1");
    case.script
        .signals
        .insert(libc::SIGALRM, Disposition::Count);
    case.script
        .signals
        .insert(libc::SIGCHLD, Disposition::Count);
    case.script.interrupt = Some(Interrupt {
        signal: libc::SIGALRM,
        every_ms: 3,
    });
    let report = case.run();
    expect(&report, VERIFIED);
    let taken = report.signals[&libc::SIGALRM];
    assert!(taken.here > 20, "{taken:?}");
    assert_eq!(
        taken.elsewhere, 0,
        "no thread of ours takes the application's signals"
    );
    assert_eq!(
        ivalt.requests().len(),
        1,
        "an interrupted call is not repeated"
    );
}

#[sandbox_test]
fn a_server_that_hangs_up_raises_no_sigpipe() {
    // pam-client leaves SIGPIPE deadly.
    let server = Server::raw(|stream| support::server::reset(&stream));
    let ivalt = StandIn::start();
    let case = Case::against(&ivalt).answer("accept-1");
    let settings =
        case.settings(&ivalt)
            .set("api", "url", format!("https://127.0.0.1:{}", server.port));
    expect(&case.with_settings(&settings).run(), UNAVAILABLE);
}

#[sandbox_test]
fn many_calls_in_one_process_leave_nothing_behind() {
    let ivalt = StandIn::start();
    let mut case = Case::against(&ivalt)
        .calls(&[Entry::Authenticate, Entry::Setcred])
        .limit(Duration::from_secs(120));
    case.script.transactions = 50;
    case.script.answers = (0..50)
        .map(|number| format!("accept-{number}").into())
        .collect();
    let report = case.run();
    assert_eq!(report.codes(Entry::Authenticate), [PAM_SUCCESS; 50]);
    assert_eq!((report.log_lines().len(), ivalt.requests().len()), (50, 50));
}

#[sandbox_test]
fn an_application_in_poor_circumstances_is_served() {
    let ivalt = StandIn::start();
    let gone = TempDir::new();
    let mut case = Case::against(&ivalt).answer("accept-1");
    case.script.umask = Some(0o777);
    case.script.cwd = Some(gone.path().to_owned());
    case.script
        .signals
        .insert(libc::SIGPIPE, Disposition::Default);
    case.script.blocked = vec![libc::SIGCHLD, libc::SIGINT];
    expect(&case.run(), VERIFIED);
}

#[sandbox_test]
fn without_a_network_it_denies_at_once() {
    let ivalt = StandIn::start();
    let mut case = Case::against(&ivalt).answer("accept-1");
    case.script.no_network = true;
    let report = case.run();
    expect(&report, UNAVAILABLE);
    assert!(report.authenticate().elapsed_ms < 4_000);
}

#[sandbox_test]
fn nothing_is_connected_or_open_while_the_user_types() {
    let ivalt = StandIn::start();
    let case = Case::against(&ivalt).answer("reject-1").answer("reject-2");
    let settings = case.settings(&ivalt).set("api", "preconnect", false);
    let report = case.with_settings(&settings).run();
    assert_eq!(report.prompts().len(), 3);
    for message in report.messages() {
        assert_eq!(
            (message.descriptors.len(), message.threads.len()),
            (0, 0),
            "{message:?}"
        );
    }
}

/// And not another checkout's that shares the target folder.
#[test]
fn the_module_is_built_from_this_checkout() {
    let sources = std::fs::read_to_string(module_path().with_extension("d")).unwrap();
    let entry_points = support::checkout().join("src/module/lib.rs");
    assert!(
        sources.contains(entry_points.to_str().unwrap()),
        "{sources}"
    );
}
