//! The harness itself: what it reports is true, and whatever a module may not do is noticed.

#[path = "harness/push.rs"]
mod push;

use std::fs;
use std::panic::{UnwindSafe, catch_unwind};
use std::time::Duration;

use support::codes::*;
use support::*;

/// A module of `tests/pam_client/misbehave.rs`.
fn misbehaving(fault: &str) -> Case {
    let case = Case::new(helper_module("pam_misbehave")).answer("token");
    if fault.is_empty() {
        case
    } else {
        case.argument(fault)
    }
}

/// It panics, and says this.
#[track_caller]
fn panics(expected: &str, run: impl FnOnce() + UnwindSafe) {
    let payload = catch_unwind(run).expect_err("no panic");
    let words = payload.downcast_ref::<String>().map(String::as_str);
    let words = words.or(payload.downcast_ref::<&str>().copied());
    assert!(
        words.is_some_and(|words| words.contains(expected)),
        "{words:?}"
    );
}

#[sandbox_test]
fn codes_are_those_of_the_stack() {
    let every = [
        Entry::Authenticate,
        Entry::Setcred,
        Entry::AcctMgmt,
        Entry::OpenSession,
        Entry::CloseSession,
    ];
    let permit = Case::new("pam_permit.so").calls(&every).run();
    assert_eq!(every.map(|entry| permit.codes(entry)), [[PAM_SUCCESS]; 5]);
    let deny = Case::new("pam_deny.so").run();
    assert_eq!(deny.code(), PAM_AUTH_ERR);
    assert_eq!(deny.prompts(), [""; 0]);
    let missing = Case::new("/nonexistent/pam_ivalt.so").observe();
    assert_eq!(missing.report().code(), PAM_MODULE_UNKNOWN);
    assert!(
        missing
            .report()
            .log()
            .iter()
            .any(|line| line.contains("/nonexistent/pam_ivalt.so"))
    );
}

#[sandbox_test]
fn pam_unix_asks_and_refuses() {
    let report = Case::new("pam_unix.so")
        .user("nobody")
        .answer("wrong")
        .run();
    assert_eq!(report.code(), PAM_AUTH_ERR);
    assert_eq!(report.prompts(), ["Password: "]);
    assert_eq!(report.messages()[0].style, Style::EchoOff);
    assert!(report.asked_for_delay());
    assert!(
        report.log()[0].contains("authentication failure"),
        "{:?}",
        report.log()
    );
}

#[sandbox_test]
fn a_well_behaved_module_changes_nothing() {
    let report = misbehaving("").run();
    assert_eq!(report.code(), PAM_SUCCESS);
    assert_eq!(report.prompts(), ["token: "]);
    assert_eq!(report.messages()[0].style, Style::EchoOn);
    assert_eq!(report.log(), [""; 0]);
    assert!(!report.asked_for_delay());
    assert!(!report.authenticate().signal_33);
}

#[sandbox_test]
fn every_fault_is_noticed() {
    let faults = [
        ("descriptor", "descriptor 6 left open: /dev/null"),
        (
            "inheritable",
            "in the conversation: descriptor 7 without close-on-exec: /dev/null",
        ),
        ("closes-stdin", "descriptor 0 closed: /dev/null"),
        ("thread", "left alive: pam-client"),
        ("thread", "pam-client takes signals [1, 2, 3"),
        ("child", "children: \"none\" -> \"not reaped\""),
        ("mask", "SigBlk: "),
        ("disposition", "signal 13: \"default\" -> \"ignored\""),
        ("environment", "environment MISBEHAVE: unset -> \"1\""),
        ("directory", "working directory: \"/\" -> \"/proc\""),
        ("umask", "Umask: \"0022\" -> \"0000\""),
        ("locale", "locale: \"C\" -> \"C.UTF-8\""),
        ("ident", "ident of syslog(3): \"pam-client-log: "),
        ("alarm", "interval timer: \"none\" -> \"running\""),
        ("user", "PAM_USER: \"alice\" -> \"root\""),
        (
            "pam-environment",
            "PAM environment MISBEHAVE: unset -> \"1\"",
        ),
    ];
    for (fault, change) in faults {
        // Time for a thread to come to life.
        let reply = Reply::slowly("token", Duration::from_millis(50));
        let mut case = Case::new(helper_module("pam_misbehave"))
            .argument(fault)
            .answer(reply);
        case.script.umask = Some(0o022);
        let observed = case.observe();
        let changes = observed.report().changes();
        assert!(
            changes.iter().any(|found| found.contains(change)),
            "{fault}: {changes:#?}"
        );
        assert_eq!(observed.report().code(), PAM_SUCCESS, "{fault}");
        assert_eq!(
            (observed.stdout.as_str(), observed.stderr.as_str()),
            ("", ""),
            "{fault}"
        );
    }
}

#[sandbox_test]
fn output_delays_and_log_lines_are_caught() {
    assert_eq!(misbehaving("stdout").observe().stdout, "misbehave\n");
    assert_eq!(misbehaving("stderr").observe().stderr, "misbehave\n");
    let delay = misbehaving("delay").run().authenticate().fail_delays_us[0];
    assert!((500_000..=1_500_000).contains(&delay), "{delay}");
    let log = misbehaving("log").run();
    assert!(
        log.log()[0].ends_with(" pam-client-log: misbehave"),
        "{:?}",
        log.log()
    );
    assert!(log.log_lines().is_empty());
}

#[sandbox_test]
fn a_terminal_shows_what_is_printed() {
    for (fault, screen) in [
        ("", ""),
        ("stdout", "misbehave\r\n"),
        ("stderr", "misbehave\r\n"),
    ] {
        let observed = misbehaving(fault).on_a_terminal().observe();
        assert_eq!(
            (observed.stdout.as_str(), observed.stderr.as_str()),
            (screen, ""),
            "{fault}"
        );
    }
}

#[sandbox_test]
fn the_status_of_the_applications_child_is_its_own() {
    for (fault, taken) in [("", 0), ("waits", 1)] {
        let mut case = misbehaving(fault);
        case.script.child_ms = Some(0);
        let changes = case.observe().report().changes();
        let told = changes
            .iter()
            .filter(|change| change.ends_with("the status of the application's child was taken"));
        assert_eq!(told.count(), taken, "{fault}: {changes:?}");
    }
}

#[sandbox_test]
fn descriptors_are_closed_as_scripted() {
    let mut case = misbehaving("descriptor");
    case.script.closed = vec![0, 1, 2];
    let changes = case.observe().report().changes();
    assert_eq!(changes, ["Authenticate: descriptor 0 left open: /dev/null"]);
}

#[sandbox_test]
fn run_does_not_forgive() {
    panics("the module left traces in the application", || {
        misbehaving("descriptor").run();
    });
}

#[sandbox_test]
fn a_hanging_module_is_killed() {
    panics("killed", || {
        misbehaving("hang")
            .limit(Duration::from_millis(500))
            .observe();
    });
}

#[sandbox_test]
fn a_crash_is_reported() {
    panics(
        "no report, pam-client ended with signal: 6 (SIGABRT)",
        || {
            misbehaving("crash").observe().report();
        },
    );
}

#[sandbox_test]
fn conversations_go_as_scripted() {
    let code = |answer: Answer| {
        let case = Case::new(helper_module("pam_misbehave")).answer(answer);
        case.run().code()
    };
    assert_eq!(code("x".into()), PAM_SUCCESS);
    assert_eq!(code(Text::Bytes(vec![0xff, 0xfe]).into()), PAM_SUCCESS);
    let repeat = ("x".to_owned(), 100_000);
    assert_eq!(code(Text::Repeated { repeat }.into()), PAM_SUCCESS);
    assert_eq!(code(Reply::error(PAM_ABORT).into()), PAM_ABORT);
    assert_eq!(
        misbehaving("")
            .calls(&[Entry::Authenticate; 2])
            .run()
            .codes(Entry::Authenticate),
        [0, PAM_CONV_ERR]
    );
    let mut nobody = misbehaving("");
    nobody.script.conversation = script::Conversation::NullPointer;
    assert_eq!(nobody.observe().report().code(), PAM_SYSTEM_ERR);
    let slow = Reply::slowly("x", Duration::from_millis(300));
    let slow = Case::new(helper_module("pam_misbehave")).answer(slow).run();
    assert!(slow.authenticate().elapsed_ms >= 300);
}

#[sandbox_test]
fn the_application_may_change_its_user_at_the_prompt() {
    let reply = Reply {
        answer: Some("x".into()),
        set_user: Some("bob".into()),
        ..Reply::default()
    };
    let report = Case::new(helper_module("pam_misbehave"))
        .answer(reply)
        .run();
    assert_eq!(report.authenticate().items["PAM_USER"], "bob");
}

#[sandbox_test]
fn authtok_reaches_the_modules_below() {
    let told = |case: Case| case.show_authtok().run().told().concat();
    let permit = || Case::new("pam_permit.so");
    assert_eq!(told(permit()), "PAM_AUTHTOK=");
    assert_eq!(
        told(permit().authtok("pass [word] = x")),
        "PAM_AUTHTOK=pass [word] = x"
    );
    let unix = Case::new("pam_unix.so")
        .argument("use_first_pass")
        .authtok("wrong")
        .user("nobody")
        .run();
    assert_eq!((unix.code(), unix.prompts()), (PAM_AUTH_ERR, vec![]));
}

#[sandbox_test]
fn the_helper_leaves_the_verdict_to_others() {
    let helped = |module| {
        Case::new(module)
            .authtok("x")
            .calls(&[Entry::Authenticate, Entry::Setcred])
            .run()
    };
    let codes = |report: Report| [report.code(), report.codes(Entry::Setcred)[0]];
    assert_eq!(codes(helped("pam_permit.so")), [PAM_SUCCESS, PAM_SUCCESS]);
    assert_eq!(helped("pam_deny.so").code(), PAM_AUTH_ERR);
}

#[sandbox_test]
fn items_reach_libpam_byte_for_byte() {
    let case = Case::new("pam_permit.so")
        .user(&b"\xff\xfe"[..])
        .rhost("203.0.113.7");
    let report = case.tty("pts/1").ruser("carol").run();
    let items = &report.authenticate().items;
    assert_eq!(items["PAM_USER"], "\u{fffd}\u{fffd}");
    assert_eq!(items["PAM_RHOST"], "203.0.113.7");
    assert_eq!(
        (items["PAM_TTY"].as_str(), items["PAM_RUSER"].as_str()),
        ("pts/1", "carol")
    );
    let nobody = Case::new("pam_deny.so").without_user().run();
    assert!(!nobody.authenticate().items.contains_key("PAM_USER"));
    let asked = Case::new("pam_unix.so").without_user();
    let asked = asked.answer("nobody").answer("wrong").run();
    assert_eq!(asked.prompts(), ["login:", "Password: "]);
    assert_eq!(asked.authenticate().items["PAM_USER"], "nobody");
}

#[sandbox_test]
fn a_log_that_is_out_of_order_delays_nothing() {
    for kind in [
        DevLog::Missing,
        DevLog::Full,
        DevLog::Stale,
        DevLog::Fifo,
        DevLog::File,
    ] {
        let report = misbehaving("").dev_log(kind).run();
        assert_eq!(
            (report.code(), report.log()),
            (PAM_SUCCESS, vec![]),
            "{kind:?}"
        );
    }
}

#[sandbox_test]
fn a_full_log_hangs_modules_that_trust_syslog() {
    panics("killed", || {
        misbehaving("log")
            .dev_log(DevLog::Full)
            .limit(Duration::from_millis(500))
            .observe();
    });
}

#[sandbox_test]
fn the_machine_keeps_its_dev_and_its_hosts() {
    let listing = || {
        let names = fs::read_dir("/dev")
            .unwrap()
            .map(|entry| entry.unwrap().file_name());
        let mut names: Vec<_> = names.collect();
        names.sort();
        (names, fs::read("/etc/hosts").unwrap())
    };
    let before = listing();
    let case = Case::new("pam_permit.so");
    let hosts = case.dir().write("hosts", "127.0.0.1 elsewhere\n", 0o644);
    assert_eq!(case.bind(hosts, "/etc/hosts").run().code(), PAM_SUCCESS);
    assert_eq!(listing(), before);
}

#[sandbox_test]
fn signals_of_the_application_keep_coming() {
    let slow = Reply::slowly("x", Duration::from_millis(300));
    let mut case = Case::new(helper_module("pam_misbehave")).answer(slow);
    case.script.signals.insert(10, Disposition::Count);
    case.script.interrupt = Some(Interrupt {
        signal: 10,
        every_ms: 20,
    });
    let taken = case.run().signals[&10];
    assert!(taken.here > 5 && taken.elsewhere == 0, "{taken:?}");
    case.script.blocked = vec![10];
    assert_eq!(case.run().signals[&10], Taken::default());
}

#[sandbox_test]
fn a_thread_that_takes_the_applications_signals_is_noticed() {
    let slow = Reply::slowly("x", Duration::from_millis(200));
    let mut case = Case::new(helper_module("pam_misbehave"))
        .argument("thread")
        .answer(slow);
    case.script.signals.insert(17, Disposition::Count);
    case.script.interrupt = Some(Interrupt {
        signal: 17,
        every_ms: 20,
    });
    case.script.blocked = vec![17];
    assert!(case.observe().report().signals[&17].elsewhere > 3);
}

#[sandbox_test]
fn the_process_is_set_up_as_scripted() {
    let mut case = misbehaving("descriptor").env("RUST_BACKTRACE", "1");
    case.script.cwd = Some("/tmp".into());
    case.script.umask = Some(0o077);
    case.script.no_network = true;
    case.script.soft_limits.insert("NOFILE".to_owned(), 3);
    let observed = case.observe();
    assert_eq!(
        observed.report().changes(),
        [""; 0],
        "no descriptor, no leak"
    );
    case.script.soft_limits.clear();
    assert_ne!(case.observe().report().changes(), [""; 0]);
}

#[sandbox_test]
fn several_transactions_in_one_process() {
    let mut case = misbehaving("").answer("again");
    case.script.transactions = 3;
    let report = case.run();
    assert_eq!(
        report.codes(Entry::Authenticate),
        [PAM_SUCCESS, PAM_SUCCESS, PAM_CONV_ERR]
    );
    assert_eq!(report.codes(Entry::End), [PAM_SUCCESS; 3]);
}

#[test]
fn a_log_line_is_taken_apart() {
    let text = "<85>Jan 02 03:04:05 sshd[42]: pam_ivalt(sshd:auth): outcome=deny reason=token-rejected user=alice \
        service=sshd rhost=203.0.113.7 tty=ssh ruser= mobile=***4746 http=403 code=INVALID_GEOFENCE \
        detail=\"outside \\\"the\\\\ area\\x0a\\xc3\\xa4\" cause= attempts=1 elapsed_ms=182";
    let line = LogLine::parse(text);
    assert_eq!((line.facility, line.severity), (10, Severity::Notice));
    assert_eq!(
        (line.ident.as_str(), line.pid, line.service.as_str()),
        ("sshd", 42, "sshd")
    );
    assert_eq!(
        (line.outcome().as_str(), line.reason().as_str()),
        ("deny", "token-rejected")
    );
    assert_eq!(line.get("detail"), "outside \"the\\ area\n\u{e4}");
    assert_eq!(line.get("ruser"), "");
    let long = text.replace("user=alice", &format!("user={}", "x".repeat(256)));
    assert_eq!(LogLine::parse(&long).bytes("user").len(), 256);
    let broken = [
        text.replace("reason=", "why="),
        text.replace("user=alice ", ""),
        text.replace("user=alice", "user=al ice"),
        text.replace("user=alice", "user=\"alice\""),
        text.replace("user=alice", "user=\"al\\x20ice\""),
        text.replace("user=alice", "user=al\u{e4}ce"),
        text.replace("user=alice", &format!("user={}", "x".repeat(257))),
        text.replace("Jan 02", "Jan2"),
        text.replace("[42]", ""),
        format!("{text} more=1"),
    ];
    for text in broken {
        assert!(
            std::panic::catch_unwind(|| LogLine::parse(&text)).is_err(),
            "{text}"
        );
    }
}

#[test]
fn settings_and_stand_in_fit_together() {
    let ivalt = StandIn::start();
    let settings = Settings::against(&ivalt, "/nowhere/users.toml".as_ref());
    let settings = settings
        .set("token", "attempts", 1)
        .set("api", "timeout_seconds", 9);
    let expected = format!(
        "users_file = \"/nowhere/users.toml\"\n\n[api]\nurl = \"https://127.0.0.1:{}/admin/public/api\"\n\
         key = \"test-api-key\"\nca_file = \"{}\"\ntimeout_seconds = 9\n\n[token]\nattempts = 1\n",
        ivalt.port(),
        ivalt.ca().display()
    );
    assert_eq!(settings.text(), expected);
    assert_eq!(
        users(&[("first.last", "+1")]),
        "[users]\n\"first.last\" = \"+1\"\n"
    );
    assert!(
        fs::read_to_string(ivalt.ca())
            .unwrap()
            .contains("BEGIN CERTIFICATE")
    );
    assert_eq!((ivalt.requests().len(), ivalt.connections().len()), (0, 0));
}

#[sandbox_test]
fn the_module_meets_the_stand_in() {
    let ivalt = StandIn::start();
    let report = Case::against(&ivalt).answer("accept-1").run();
    assert_eq!(report.code(), PAM_SUCCESS, "{report:#?}");
    assert_eq!(report.log_line().reason(), "verified");
    assert_eq!(report.log_line().ident, "pam-client");
    assert_eq!(ivalt.tokens(), ["accept-1"]);
}

#[sandbox_test]
fn copies_of_secrets_are_found_where_a_module_leaves_them() {
    let secret = "a token as long as a secret must be, ".repeat(4);
    let watched = |case: Case| case.must_not_leak("the token", &secret);
    // It frees the answer without wiping it.
    let observed = watched(Case::new(helper_module("pam_misbehave")))
        .answer(Text::hidden(&secret))
        .observe();
    let changes = observed.report().changes();
    let found = |call: &str| {
        let words = format!("{call}: a copy of the token in [heap]");
        changes.iter().any(|change| change.starts_with(&words))
    };
    assert!(found("Authenticate") && found("End"), "{changes:?}");
    // Neither libpam nor pam-client leaves any.
    let clean = Case::new("pam_permit.so").hidden_authtok(&secret);
    assert_eq!(watched(clean).run().code(), PAM_SUCCESS);
    let shown = Case::new("pam_permit.so")
        .hidden_authtok(&secret)
        .show_authtok();
    assert_eq!(shown.run().told(), [format!("PAM_AUTHTOK={secret}")]);
}

#[sandbox_test]
fn what_many_rounds_pile_up_is_counted() {
    let case = Case::new(helper_module("pam_misbehave")).argument("descriptor");
    let report = case.rounds(150, &["a", "b"]).observe().report().clone();
    let soak = report.soak();
    assert_eq!(soak.codes, [(PAM_SUCCESS, 150)].into());
    assert_eq!(soak.end.descriptors, soak.warm.descriptors + 50);
    let case = Case::new("pam_deny.so").rounds(3, &["a"]);
    assert_eq!(case.run().soak().codes, [(PAM_AUTH_ERR, 3)].into());
}
