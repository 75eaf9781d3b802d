//! `ivaltctl api push` and `ivaltctl push release`: what is sent, shown and logged, and what later calls find.

use std::fs::{self, Permissions};
use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command};
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::fcntl::{Flock, FlockArg};
use serde_json::Value;
use support::server::{Server, answer, black_hole, trusted_authority};
use support::{Case, Settings, StandIn, TempDir, ivaltctl_path, sandbox_test, users};

use crate::tool::{Called, bind_over, command_on, heard, on_host, piped};

const MOBILE: &str = "+916283974746";
const START: &str = "biometric-auth-request";
const POLL: &str = "biometric-geo-fence-auth-results";
/// More than there are folders above the lock, each of which takes a descriptor first.
const ADDRESSES: [Ipv4Addr; 3] = [
    Ipv4Addr::new(127, 77, 9, 11),
    Ipv4Addr::new(127, 77, 9, 12),
    Ipv4Addr::new(127, 77, 9, 13),
];

/// A machine with a `/run` of its own, where alice is enrolled.
struct Host {
    ivalt: StandIn,
    case: Case,
    run: TempDir,
}

impl Host {
    fn new() -> Self {
        let ivalt = StandIn::start();
        let run = TempDir::new();
        fs::set_permissions(run.path(), Permissions::from_mode(0o755)).unwrap();
        let case = Case::against(&ivalt).users(&users(&[("alice", MOBILE)]));
        Self { ivalt, case, run }.with(|settings| settings)
    }

    /// With push as a login needs it, changed so.
    fn with(self, change: impl FnOnce(Settings) -> Settings) -> Self {
        let settings = change(self.case.settings(&self.ivalt).with_push(&self.ivalt));
        let case = self.case.with_settings(&settings);
        Self { case, ..self }
    }

    fn words<'a>(&self, words: &[&'a str], config: &'a str) -> Vec<&'a str> {
        [&["--config", config], words].concat()
    }

    /// What is said and logged.
    fn call(&self, words: &[&str]) -> (Called, Vec<String>) {
        let config = self.case.config();
        on_host(
            self.run.path(),
            &self.words(words, config.to_str().unwrap()),
        )
    }

    /// The exit status and the verdict, in which nothing of a person is left.
    #[track_caller]
    fn push(&self, words: &[&str]) -> (i32, Value) {
        let (called, log) = self.call(&[&["api", "push", "alice", "--json"], words].concat());
        assert_eq!(log, [""; 0], "{called:?}");
        for secret in [
            "6283974746",
            "Liddell",
            "Oxford",
            "51.7501",
            StandIn::API_KEY,
        ] {
            assert!(!called.stdout.contains(secret), "{secret}: {called:?}");
        }
        (called.status, called.json())
    }

    /// The same, and how often iVALT was asked meanwhile.
    #[track_caller]
    fn gives(&self, words: &[&str], status: i32, verdict: &str, requests: usize) -> Value {
        let before = self.ivalt.requests().len();
        let (exit, said) = self.push(words);
        let verdict = (status, verdict);
        assert_eq!(
            (exit, said["verdict"].as_str().unwrap()),
            verdict,
            "{said:#}"
        );
        assert_eq!(self.ivalt.requests().len() - before, requests, "{said:#}");
        assert_eq!(said["answers"].as_array().unwrap().len(), requests);
        said
    }

    /// A server at the last address of its name; the settings are there for `api client-auth`, too.
    fn at_these_addresses(self, server: &Server) -> Self {
        let url = format!("https://valid.example:{}", server.port);
        let hosts = ADDRESSES.map(|address| format!("{address} valid.example\n"));
        fs::write(self.run.join("hosts"), hosts.concat()).unwrap();
        fs::write(self.run.join("nsswitch.conf"), "hosts: files\n").unwrap();
        let ca = trusted_authority(self.run.path());
        self.with(|settings| {
            let settings = settings.set("api", "ca_file", ca.to_str().unwrap());
            let settings = settings.set("api", "client_id", "host-1");
            let settings = settings.set("api", "client_secret", "accept-host");
            let settings = settings.set("api", "url", url.clone());
            settings.set("push", "url", url)
        })
    }

    /// On a machine with these `hosts` and `nsswitch.conf`, and with so many descriptors.
    fn call_with_descriptors(&self, limit: u32, words: &[&str]) -> Called {
        let set_limit = "ulimit -S -n \"$0\" && exec \"$@\"";
        let mut command = Command::new("sh");
        command.args(["-c", set_limit, &limit.to_string()]);
        command.arg(ivaltctl_path()).arg("--config");
        command.arg(self.case.config()).args(words);
        let mut command = piped(command);
        let file = |name: &str| (self.run.join(name), format!("/etc/{name}").into());
        let run = (self.run.path().to_owned(), "/run".into());
        bind_over(
            &mut command,
            vec![file("hosts"), file("nsswitch.conf"), run],
        );
        heard(command, "").0
    }

    fn release(&self) -> (Called, Vec<String>) {
        self.call(&["push", "release", "alice", "--json"])
    }
}

#[sandbox_test]
fn an_approval_and_whether_it_stays() {
    let host = Host::new();
    let words = ["pending", "sent", "pending", "approved", "approved"];
    host.ivalt.will_answer(MOBILE, &words);
    let (called, log) = host.call(&["api", "push", "alice"]);
    assert_eq!((called.status, log.len()), (0, 0), "{called:?}");
    let lines: Vec<_> = called.stdout.lines().collect();
    assert_eq!(lines.len(), 12, "{called:?}");
    for (line, end) in [
        (0, "pending"),
        (2, "sent"),
        (4, "pending"),
        (6, "approved"),
        (8, "approved"),
    ] {
        let operation = if line == 2 { START } else { POLL };
        assert!(
            lines[line].contains(&format!(" s  {operation}  http ")),
            "{called:?}"
        );
        assert!(lines[line].ends_with(&format!(" ms  {end}")), "{called:?}");
    }
    assert!(
        lines[1].contains("The mobile number provided (***) was not found."),
        "{called:?}"
    );
    assert_eq!(
        lines[7].trim(),
        "{\"data\":{\"details\":{\"address\":\"***\",\"country_code\":\"***\",\"email\":\"***\",\"id\":\"***\",\"imei\":\"***\",\
         \"latitude\":\"***\",\"longitude\":\"***\",\"mobile\":\"***\",\"name\":\"***\"},\"message\":\"Biometric Authentication \
         successfully done.\",\"status\":true}}"
    );
    assert_eq!(
        lines[10..],
        [
            "push-approved",
            "  the request was approved; nobody was let in"
        ]
    );
    assert_eq!(
        host.ivalt.operations(MOBILE),
        [POLL, START, POLL, POLL, POLL]
    );
    // Nothing holds the next one back.
    let (called, log) = host.release();
    assert_eq!((called.status, log.len()), (0, 0));
    assert_eq!(called.json()["changed"], false);
}

#[sandbox_test]
fn what_a_denial_holds_back_and_what_ends_that() {
    let host = Host::new();
    host.ivalt.will_answer(MOBILE, &["pending", "denied"]);
    host.gives(&[], 1, "push-denied", 2);
    let said = host.gives(&[], 1, "push-limited", 0);
    let why = said["says"].as_str().unwrap();
    assert!(
        why.starts_with("nothing was sent: the request of the login at 20"),
        "{why}"
    );
    let (called, log) = host.release();
    assert_eq!(
        (called.status, called.stderr.as_str()),
        (0, ""),
        "{called:?}"
    );
    let said = called.json();
    let held = said["held"].as_str().unwrap();
    assert!(
        held.starts_with("the request of the login at 20")
            && held.ends_with("Z with rhost=ivaltctl was denied"),
        "{held}"
    );
    assert_eq!(
        (&said["changed"], &said["done"], &said["name"]),
        (&true.into(), &"released".into(), &"alice".into())
    );
    assert_eq!(log.len(), 1, "{log:?}");
    let line = format!("]: push release user=alice mobile=***4746 held=\"{held}\" by=");
    assert!(
        log[0].contains(&line) && log[0].ends_with(" outcome=done"),
        "{log:?}"
    );
    // Nothing is left of it.
    let (called, log) = host.release();
    assert_eq!((called.status, log.len()), (0, 0), "{called:?}");
    assert_eq!(
        (&called.json()["changed"], &called.json()["done"]),
        (&false.into(), &"nothing".into())
    );
    host.ivalt.will_answer(MOBILE, &["approved"]);
    host.gives(&[], 1, "push-stale", 1);
}

#[sandbox_test]
fn each_way_to_end_before_the_wait() {
    const HOLDS: Option<&str> = Some("the request of the login at ");
    for (words, status, verdict, requests, left) in [
        (&["approved"][..], 1, "push-stale", 1, None),
        (&["approved-other"], 1, "push-stale", 1, None),
        (&["http-503"], 4, "unavailable", 1, None),
        (&["rate-limit"], 4, "unavailable", 1, None),
        (&["html-404"], 4, "unavailable", 1, None),
        (&["forbidden"], 1, "api-key-refused", 1, None),
        // What was denied before is no matter.
        (&["denied", "not-sent"], 4, "unavailable", 2, HOLDS),
        (&["pending", "hang-up"], 4, "unavailable", 2, HOLDS),
        (&["pending", "geofence"], 1, "push-denied", 2, HOLDS),
        (&["pending", "forbidden"], 1, "api-key-refused", 2, None),
        (&["pending", "sent", "approved"], 1, "push-stale", 3, None),
        (
            &["pending", "sent", "approved-array"],
            1,
            "push-stale",
            3,
            None,
        ),
        (&["pending", "sent", "denied"], 1, "push-stale", 3, None),
        (&["pending", "sent", "http-503"], 4, "unavailable", 3, HOLDS),
        (&["pending", "sent", "success"], 4, "unavailable", 3, HOLDS),
    ] {
        let host = Host::new();
        host.ivalt.will_answer(MOBILE, words);
        host.gives(&[], status, verdict, requests);
        let released = host.release().0.json();
        assert_eq!(released["changed"], left.is_some(), "{words:?}: {released}");
        let held = released["held"].as_str().unwrap_or_default();
        assert!(
            held.starts_with(left.unwrap_or_default()),
            "{words:?}: {held}"
        );
    }
}

#[sandbox_test]
fn one_login_at_a_time() {
    let host = Host::new();
    host.ivalt.will_answer(MOBILE, &["approved"]);
    host.gives(&[], 1, "push-stale", 1);
    let file = fs::File::open(host.run.join("ivalt/push/283974746")).unwrap();
    let held = Flock::lock(file, FlockArg::LockExclusiveNonblock).unwrap();
    host.gives(&[], 1, "push-busy", 0);
    let (called, log) = host.release();
    assert_eq!((called.status, log.len()), (1, 0), "{called:?}");
    assert_eq!(
        called.json()["refused"],
        "alice: a login waits for an answer on this phone; nothing was changed; try again when it has ended; if it does not, \
         lslocks shows its process as that of a lock in /run/ivalt/push"
    );
    drop(held);
    host.ivalt.will_answer(MOBILE, &["approved"]);
    host.gives(&[], 1, "push-stale", 1);
}

/// As by Ctrl-C; but SIGINT is ignored in what a shell has started in the background, the tests among it.
#[sandbox_test]
fn where_it_is_stopped_the_hold_stays() {
    let host = Host::new();
    let config = host.case.config();
    let words = host.words(&["api", "push", "alice"], config.to_str().unwrap());
    let mut process = command_on(host.run.path(), &words).spawn().unwrap();
    wait_for_requests(&host, 3, &mut process);
    nix::sys::signal::kill(
        nix::unistd::Pid::from_raw(process.id().try_into().unwrap()),
        nix::sys::signal::Signal::SIGTERM,
    )
    .unwrap();
    let ended = process.wait().unwrap();
    assert_eq!(
        std::os::unix::process::ExitStatusExt::signal(&ended),
        Some(15)
    );
    let said = host.gives(&[], 1, "push-limited", 0);
    assert!(
        said["says"]
            .as_str()
            .unwrap()
            .contains("ivaltctl push release"),
        "{said}"
    );
    let held = host.release().0.json()["held"].as_str().unwrap().to_owned();
    assert!(
        held.ends_with("was not answered, since its login was killed"),
        "{held}"
    );
}

fn wait_for_requests(host: &Host, count: usize, process: &mut Child) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while host.ivalt.requests().len() < count {
        assert!(Instant::now() < deadline && process.try_wait().unwrap().is_none());
        sleep(Duration::from_millis(20));
    }
}

#[sandbox_test]
fn the_other_dialect_and_settings_in_which_push_is_off() {
    let host = Host::new().with(|settings| {
        let settings = settings.set("push", "enabled", false);
        settings.without("push", "accept_unbound_approvals")
    });
    host.ivalt.will_answer(MOBILE, &["approved", "approved"]);
    host.gives(&[], 1, "push-stale", 1);
    host.gives(&["--dialect", "auth-result"], 1, "push-stale", 1);
    assert_eq!(
        host.ivalt.operations(MOBILE),
        [POLL, "biometric-auth-result"]
    );
    let host = host.with(|settings| settings.set("push", "dialect", "auth-result"));
    host.ivalt.will_answer(MOBILE, &["approved", "approved"]);
    host.gives(&[], 1, "push-stale", 1);
    host.gives(&["--dialect", "geo-fence-results"], 1, "push-stale", 1);
    let operations = host.ivalt.operations(MOBILE);
    assert_eq!(operations[2..], ["biometric-auth-result", POLL]);
    // It is never derived from api.url.
    let host = host.with(|settings| {
        settings
            .set("push", "enabled", false)
            .without("push", "url")
    });
    let (called, _) = host.call(&["api", "push", "alice"]);
    assert_eq!((called.status, called.stdout.as_str()), (1, ""));
    assert_eq!(
        called.stderr,
        "ivaltctl: push.url is missing in the settings; write under [push]: url = \"https://api.ivalt.com\"; nothing was sent\n"
    );
    assert_eq!(host.ivalt.requests().len(), 4);
}

#[sandbox_test]
fn to_whom_nothing_is_sent() {
    let host = Host::new();
    let users = "[users]\nalice = { mobile = \"+916283974746\", enabled = false }\ncarol = \"7\"\n";
    let case = host.case.users(users);
    let host = Host { case, ..host };
    for (name, why) in [
        (
            "alice",
            "alice is disabled; ivaltctl users enable alice; nothing was sent",
        ),
        (
            "mallory",
            "no entry for mallory; add one: ivaltctl users add mallory MOBILE; nothing was sent",
        ),
        ("carol", "carol"),
    ] {
        let (called, log) = host.call(&["api", "push", name]);
        assert_eq!(
            (called.status, called.stdout.as_str(), log.len()),
            (1, "", 0),
            "{called:?}"
        );
        assert!(called.stderr.contains(why), "{called:?}");
    }
    assert_eq!(host.ivalt.requests().len(), 0);
    // A hold may be ended before a user is enabled again.
    assert_eq!(host.release().0.status, 0);
    let (called, log) = host.call(&["push", "release", "mallory"]);
    assert_eq!((called.status, log.len()), (1, 0));
    assert!(
        called.stderr.ends_with(
            "no entry for mallory; nothing was changed; list them: ivaltctl users list\n"
        ),
        "{called:?}"
    );
}

/// The attempts at the first addresses, which never answer, have the last descriptors: no outage of iVALT's. `api client-auth`
/// says the same of the same host.
#[sandbox_test]
fn a_fault_of_this_host_is_no_outage() {
    let [first, second, last] = ADDRESSES;
    let hole = black_hole((first, 0).into());
    let port = hole.0.local_addr().unwrap().port();
    let _hole = black_hole((second, port).into());
    let forbidden = answer("403 Forbidden", "", br#"{"message":"Forbidden"}"#);
    let server = Server::answering_at((last, port), forbidden);
    let host = Host::new().at_these_addresses(&server);
    for words in [
        &["api", "push", "alice", "--json"][..],
        &["api", "client-auth", "--json"],
    ] {
        let mut limits = 4..16;
        let mut last = Value::Null;
        loop {
            let limit = limits.next().expect("a limit that is enough");
            let called = host.call_with_descriptors(limit, words);
            assert_eq!(called.status, 1, "{limit}: {called:?}");
            // Before anything was asked.
            if called.stdout.is_empty() {
                continue;
            }
            let said = called.json();
            match said["verdict"].as_str() {
                Some("api-key-refused") => break,
                verdict => assert_eq!(verdict, Some("misconfigured"), "{limit}: {called:?}"),
            }
            last = said;
        }
        let why = last["says"].as_str().or(last["cause"].as_str()).unwrap();
        let cause =
            "connect: too many open files; raise the limit: ulimit -n, or LimitNOFILE= of the unit";
        assert_eq!(why, cause, "{last:#}");
    }
}

/// What is written by hand counts, and what is not there is what the directory says.
#[sandbox_test]
fn synced_users() {
    let host = Host::new();
    let case = host.case.synced(
        "[users]\nalice = { mobile = \"+14155550200\", enabled = false }\ndave = \"+916283974746\"\n\
         erin = { mobile = \"+14155550204\", enabled = false }\n",
    );
    let file = case.synced_file();
    let host = Host { case, ..host }.with(|settings| settings.with_synced(&file));
    for user in ["alice", "dave"] {
        host.ivalt.will_answer(MOBILE, &["approved"]);
        let (called, _) = host.call(&["api", "push", user, "--json"]);
        assert_eq!(called.json()["verdict"], "push-stale", "{called:?}");
        let (called, _) = host.call(&["push", "release", user]);
        assert_eq!(called.status, 0, "{called:?}");
    }
    let sent = host.ivalt.requests().len();
    let own = host.case.users_file();
    for (words, why) in [
        (
            &["api", "push", "erin"],
            format!(
                "{}: erin is disabled; enable the account where it is synced from, then: ivaltctl users sync; nothing was sent",
                file.display()
            ),
        ),
        (
            &["api", "push", "mallory"],
            format!(
                "{} or {}: no entry for mallory; add one: ivaltctl users add mallory MOBILE; nothing was sent",
                own.display(),
                file.display()
            ),
        ),
        (
            &["push", "release", "mallory"],
            format!(
                "{} or {}: no entry for mallory; nothing was changed; list them: ivaltctl users list",
                own.display(),
                file.display()
            ),
        ),
    ] {
        let (called, log) = host.call(words);
        assert_eq!((called.status, log.len()), (1, 0));
        assert_eq!(called.stderr, format!("ivaltctl: {why}\n"));
    }
    assert_eq!(host.ivalt.requests().len(), sent);
}

/// The module would deny, so nothing is sent.
#[sandbox_test]
fn a_folder_that_is_not_roots_alone() {
    let host = Host::new();
    fs::create_dir(host.run.join("ivalt")).unwrap();
    fs::set_permissions(host.run.join("ivalt"), Permissions::from_mode(0o777)).unwrap();
    for words in [&["api", "push", "alice"][..], &["push", "release", "alice"]] {
        let (called, _) = host.call(words);
        assert_eq!(
            (called.status, called.stdout.as_str()),
            (1, ""),
            "{called:?}"
        );
        assert!(called.stderr.contains("/run/ivalt: "), "{called:?}");
    }
    assert_eq!(host.ivalt.requests().len(), 0);
}

/// An answer is not believed to be harmless.
#[sandbox_test]
fn answers_are_shown_escaped() {
    for (word, shown) in [
        ("escape", "\\u001b[31malert\\u001b[0m\\nsecond"),
        ("escape", "\\u{202e}reversed"),
        ("garbage", ""),
        ("echo", ", ***, by ***, "),
    ] {
        let host = Host::new();
        host.ivalt.will_answer(MOBILE, &["pending", word]);
        let (called, _) = host.call(&["api", "push", "alice"]);
        assert!(called.stdout.contains(shown), "{called:?}");
        for secret in ["\u{1b}", "\u{202e}", "6283974746", StandIn::API_KEY] {
            assert!(!called.stdout.contains(secret), "{called:?}");
        }
    }
}
