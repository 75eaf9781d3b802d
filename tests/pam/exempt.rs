//! `policy.exempt_networks`: who is not asked, and everybody who is.

use crate::corrupt::*;
use crate::expect::*;
use support::codes::*;
use support::{Case, Reply, Settings, Severity, StandIn, Text, sandbox_test};

const USERS: &str = "[users]\nalice = \"+916283974746\"\nbob = { mobile = \"+14155550101\", enabled = false }\ncarol = 5\n";
const NETWORKS: &str = r#"["10.1.0.0/16", "192.0.2.7", "2001:db8::/32"]"#;
const INSIDE: &str = "10.1.2.3";

fn with(case: Case, ivalt: &StandIn, change: impl FnOnce(Settings) -> Settings) -> Case {
    let settings = case.settings(ivalt);
    let settings = settings.set_raw("policy", "exempt_networks", NETWORKS);
    case.with_settings(&change(settings))
}

fn case(ivalt: &StandIn, user: &str, rhost: impl Into<Text>) -> Case {
    let case = Case::against(ivalt).users(USERS).user(user).rhost(rhost);
    with(case, ivalt, |settings| settings).answer("accept-1")
}

#[sandbox_test]
fn whoever_comes_from_such_a_network_is_not_asked() {
    let ivalt = StandIn::start();
    for (rhost, network) in [
        ("10.1.0.0", "10.1.0.0/16"),
        (INSIDE, "10.1.0.0/16"),
        ("::ffff:10.1.2.3", "10.1.0.0/16"),
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8::1", "2001:db8::/32"),
        ("2001:DB8:0:0:0:0:0:1", "2001:db8::/32"),
    ] {
        let report = case(&ivalt, "alice", rhost).run();
        let line = expect(&report, EXEMPT);
        assert_eq!(
            (line.get("cause"), line.get("rhost")),
            (network.into(), rhost.into())
        );
        assert_eq!(
            ["mobile", "attempts", "elapsed_ms", "http"].map(|key| line.get(key)),
            ["***4746", "0", "0", ""]
        );
        assert_eq!((report.prompts(), report.told()), (vec![], vec![]));
        assert!(!report.authenticate().signal_33, "a thread was started");
    }
    // The rest of the stack decides.
    let below = case(&ivalt, "alice", INSIDE).line_after("auth required pam_permit.so");
    assert_eq!(below.run().code(), PAM_SUCCESS);
    let denied = case(&ivalt, "alice", INSIDE).line_after("auth required pam_deny.so");
    assert_eq!(denied.run().code(), PAM_AUTH_ERR);
    assert_eq!(ivalt.connections().len(), 0);
}

#[sandbox_test]
fn everybody_else_is_asked() {
    let ivalt = StandIn::start();
    let outside: [&[u8]; 22] = [
        b"",
        b"10.2.0.0",
        b"192.0.2.8",
        b"2001:db9::1",
        b"127.0.0.1",
        b"::1",
        b"localhost",
        b"UNKNOWN",
        b"10.1.2.3.example.com",
        b"10.1.evil.example.com",
        b" 10.1.2.3",
        b"10.1.2.3 ",
        b"10.1.2.3\n",
        b"10.1.2.3:22",
        b"10.1.2.3%eth0",
        b"[2001:db8::1]",
        b"2001:db8::1%eth0",
        b"010.1.2.3",
        b"10.1.515",
        b"0x0a010203",
        b"64:ff9b::10.1.2.3",
        b"\xff10.1.2.3",
    ];
    for rhost in outside {
        let report = case(&ivalt, "alice", rhost).run();
        let line = expect(&report, VERIFIED);
        assert_eq!(line.get("cause"), "", "{rhost:?}");
        assert_eq!(report.prompts(), [PROMPT], "{rhost:?}");
    }
    // As under sudo: the application says nothing.
    let mut nowhere = case(&ivalt, "alice", "");
    nowhere.script.rhost = None;
    expect(&nowhere.run(), VERIFIED);
    assert_eq!(ivalt.tokens().len(), outside.len() + 1);
}

#[sandbox_test]
fn no_other_item_of_the_application_counts() {
    let ivalt = StandIn::start();
    let report = case(&ivalt, "alice", "").tty(INSIDE).ruser(INSIDE).run();
    expect(&report, VERIFIED);
    let passed = case(&ivalt, "alice", "")
        .env("PAM_RHOST", INSIDE)
        .env("SSH_CONNECTION", "10.1.2.3 22 10.1.2.4 22")
        .pam_env("PAM_RHOST", INSIDE);
    expect(&passed.run(), VERIFIED);
}

#[sandbox_test]
fn disabled_and_bad_entries_deny_there_too() {
    let ivalt = StandIn::start();
    for policy in ["deny", "ignore"] {
        for (user, row) in [("bob", DISABLED), ("carol", BAD_ENTRY)] {
            let case = with(case(&ivalt, user, INSIDE), &ivalt, |settings| {
                settings.set("policy", "unenrolled", policy)
            });
            let report = case.run();
            expect(&report, row);
            assert_eq!(
                (report.prompts(), report.told()),
                (vec![PROMPT], vec![NOT_SET_UP])
            );
        }
    }
    assert_eq!(ivalt.connections().len(), 0);
}

#[sandbox_test]
fn who_is_not_enrolled_is_exempt_only_where_a_policy_ignores_that() {
    let ivalt = StandIn::start();
    let run = |policy: &str, user: &str, rhost: &str| {
        let case = with(case(&ivalt, user, rhost), &ivalt, |settings| {
            settings.set("policy", "unenrolled", policy)
        });
        case.run()
    };
    let report = run("deny", "mallory", INSIDE);
    let line = expect(&report, NOT_ENROLLED);
    assert!(line.get("cause").starts_with("no entry in /"), "{line:?}");
    assert_eq!(report.prompts(), [PROMPT]);
    let report = run("ignore", "mallory", INSIDE);
    assert_eq!(expect(&report, EXEMPT).get("cause"), "10.1.0.0/16");
    assert_eq!(report.prompts(), [""; 0]);
    assert_eq!(
        expect(&run("ignore", "mallory", "10.2.0.0"), IGNORED_UNENROLLED).get("cause"),
        ""
    );
    // Not by another spelling.
    for user in ["ALICE", "Bob", "carol@corp.example"] {
        expect(&run("ignore", user, INSIDE), BAD_ENTRY);
        expect(&run("deny", user, INSIDE), NOT_ENROLLED);
    }
    assert_eq!(ivalt.connections().len(), 0);
}

/// Those of the synced file by the same rules.
#[sandbox_test]
fn synced_users_are_exempt_alike() {
    let ivalt = StandIn::start();
    let synced = "[users]\nbob = \"+14155550201\"\ndave = \"+14155550202\"\nerin = { mobile = \"+14155550203\", enabled = false }\n";
    let with = |user: &str| {
        let case = case(&ivalt, user, INSIDE).synced(synced);
        let file = case.synced_file();
        with(case, &ivalt, |settings| settings.with_synced(&file))
    };
    expect(&with("alice").run(), EXEMPT);
    expect(&with("dave").run(), EXEMPT);
    expect(&with("bob").run(), DISABLED);
    expect(&with("erin").run(), DISABLED);
    expect(&with("mallory").run(), NOT_ENROLLED);
    let case = with("dave");
    remove(&case.synced_file());
    expect(&case.run(), MISCONFIGURED);
}

/// Nothing that is wrong goes unseen because all clients are exempt.
#[sandbox_test]
fn what_is_misconfigured_denies_there_too() {
    let ivalt = StandIn::start();
    expect(
        &case(&ivalt, "alice", INSIDE).argument("bogus").run(),
        MISCONFIGURED,
    );
    let corrupted: [Corrupt; 3] = [
        remove,
        |path| mode(path, 0o666),
        |path| {
            std::fs::write(path, "[users]\nalice = \n").unwrap();
        },
    ];
    for corrupt in corrupted {
        let case = case(&ivalt, "alice", INSIDE);
        corrupt(&case.users_file());
        expect(&case.run(), MISCONFIGURED);
    }
    let unknown = with(case(&ivalt, "alice", INSIDE), &ivalt, |settings| {
        settings.set("policy", "exempt_network", "10.1.0.0/16")
    });
    expect(&unknown.run(), MISCONFIGURED);
    for (networks, sentence) in [
        (
            r#"["10.1.0.0/16", "0.0.0.0/0"]"#,
            "policy.exempt_networks: must be networks that are known: /0 exempts everybody",
        ),
        (
            r#"["10.1.2.3/16"]"#,
            "policy.exempt_networks: must be \"10.1.0.0/16\" for the network or \"10.1.2.3\" for one address, not 10.1.2.3/16",
        ),
        (
            r#"["127.0.0.1"]"#,
            "policy.exempt_networks: must be networks of other hosts: a loopback address is that of every tunnel and proxy on this one",
        ),
    ] {
        let case = with(case(&ivalt, "alice", INSIDE), &ivalt, |settings| {
            settings.set_raw("policy", "exempt_networks", networks)
        });
        let report = case.run();
        let line = expect(&report, MISCONFIGURED);
        assert!(line.get("cause").ends_with(sentence), "{line:?}");
        assert_eq!((report.prompts(), report.told()), (vec![], vec![BROKEN]));
    }
}

/// `PAM_SUCCESS`, as of every policy that ignores there: a key has passed, and the password below is not asked for.
#[sandbox_test]
fn after_the_method_of_only_after_it_lets_in() {
    let ivalt = StandIn::start();
    let tolerated = Row("ignore", "exempt-network", PAM_SUCCESS, Severity::Warning);
    let after = |user: &str, rhost: &str| {
        case(&ivalt, user, rhost)
            .control("[success=done ignore=ignore default=die]")
            .argument("only_after=publickey")
            .line_after("auth required pam_deny.so")
            .pam_env("SSH_AUTH_INFO_0", "publickey ssh-ed25519 AAAA\n")
    };
    let line = expect(&after("alice", INSIDE).run(), tolerated);
    assert_eq!(line.get("cause"), "10.1.0.0/16");
    expect(&after("bob", INSIDE).run(), DISABLED);
    expect(&after("alice", "10.2.0.0").run(), VERIFIED);
    // Without the method nothing is read or logged, and the modules below decide.
    let passed_over = after("alice", INSIDE).pam_env("SSH_AUTH_INFO_0", "");
    let report = passed_over.run();
    assert_eq!((report.code(), report.log()), (PAM_AUTH_ERR, vec![]));
}

/// Whoever was asked is judged by the answer, whatever the application changes meanwhile.
#[sandbox_test]
fn nobody_becomes_exempt_at_the_prompt() {
    let ivalt = StandIn::start();
    for (user, rhost) in [("bob", INSIDE), ("mallory", INSIDE), ("alice", "10.2.0.0")] {
        let becomes = Reply {
            set_user: Some("alice".into()),
            answer: Some("reject-1".into()),
            ..Reply::default()
        };
        let mut case = with(case(&ivalt, user, rhost), &ivalt, |settings| {
            settings.set("token", "attempts", 1)
        });
        case.script.answers = vec![becomes.into()];
        expect(&case.run(), REJECTED);
    }
}
