//! `only_after=METHOD`: whether it is the turn of a line, and what stands below it.

use crate::expect::*;
use support::codes::*;
use support::{
    Case, Entry, Report, Severity, StandIn, Text, helper_module, module_path, sandbox_test,
};

const METHODS: [&str; 3] = ["publickey", "hostbased", "gssapi-with-mic"];
const AUTH_INFO: &str = "SSH_AUTH_INFO_0";
const KEY: &str = "publickey ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIPz\n";
/// Of the first of two lines, in the stack of pam_ivalt(8).
const CONTROL: &str = "[success=done ignore=ignore default=die]";
const PASSWORD_PROMPT: &str = "Password: ";

const TOLERATED_UNENROLLED: Row = Row("ignore", "unenrolled", PAM_SUCCESS, Severity::Warning);
const TOLERATED_OUTAGE: Row = Row("ignore", "unavailable", PAM_SUCCESS, Severity::Warning);

/// A module that says so when it is reached, and succeeds.
fn below(case: Case) -> Case {
    let helper = helper_module("pam_set_authtok");
    let line = format!(
        "auth required {} say=below setcred=credentials return=0",
        helper.display()
    );
    case.line_after(&line)
}

fn after(case: Case, method: &str) -> Case {
    case.control(CONTROL)
        .argument(&format!("only_after={method}"))
}

/// Settings that would deny if they were read, and a user who would be asked if there were one.
fn unusable(method: &str) -> Case {
    let case = Case::new(module_path()).without_user();
    below(after(case.argument("config=/nonexistent"), method)).answer("accept-1")
}

/// `PAM_IGNORE`, and nothing else that can be seen.
#[track_caller]
fn passed_over(report: &Report, name: &str) {
    assert_eq!(report.code(), PAM_SUCCESS, "{name}");
    assert_eq!(report.told(), ["below"], "{name}");
    assert_eq!(report.prompts(), [] as [&str; 0], "{name}");
    assert_eq!(report.log(), [] as [&str; 0], "{name}");
    assert!(!report.asked_for_delay(), "{name}");
    let call = report.authenticate();
    assert_eq!(call.items.get("PAM_USER"), None, "{name}");
    assert!(!call.signal_33, "a thread was started: {name}");
}

#[sandbox_test]
fn a_line_is_passed_over_unless_its_method_has_passed() {
    for method in METHODS {
        let others: Vec<_> = METHODS.iter().filter(|other| **other != method).collect();
        for passed in [
            String::new(),
            "\n".to_owned(),
            format!("{} x {method}\n", others[0]),
            format!("{}\n{} {method}\n", others[0], others[1]),
            format!("{method}-x ssh-ed25519 AAAA\n"),
            format!("{method}/pam\n"),
            format!("x{method}\n"),
            format!(" {method}\n"),
            method.to_ascii_uppercase(),
            method[..method.len() - 1].to_owned(),
        ] {
            let report = unusable(method).pam_env(AUTH_INFO, passed.as_str()).run();
            passed_over(&report, &format!("{method}, and {passed:?}"));
        }
        let report = unusable(method).pam_env("SSH_AUTH_INFO_1", method).run();
        passed_over(&report, method);
        passed_over(&unusable(method).run(), method);
    }
    let bytes: &[u8] = b"\xff\npublickey\xff\n";
    let report = unusable("publickey").pam_env(AUTH_INFO, bytes).run();
    passed_over(&report, "not UTF-8");
}

/// su's caller chooses the environment of the process.
#[sandbox_test]
fn the_environment_of_the_process_does_not_count() {
    let report = unusable("publickey").env(AUTH_INFO, KEY).run();
    passed_over(&report, "in the environment of the process");
}

#[sandbox_test]
fn after_its_method_a_line_is_as_any_other() {
    let ivalt = StandIn::start();
    for method in METHODS {
        for passed in [
            method.to_owned(),
            format!("{method}\n"),
            format!("{method} ssh-ed25519 AAAA\n"),
            format!("keyboard-interactive/pam\n{method} x\npassword\n"),
        ] {
            let case =
                below(after(Case::against(&ivalt), method)).pam_env(AUTH_INFO, passed.as_str());
            let sent = ivalt.requests().len();
            let report = case.answer("accept-1").run();
            expect(&report, VERIFIED);
            assert_eq!(
                (report.prompts(), report.told()),
                (vec![PROMPT], vec![]),
                "{passed:?}"
            );
            assert_eq!(ivalt.requests().len(), sent + 1);
        }
    }
    let case = |user: &str| {
        let case = below(after(Case::against(&ivalt), "publickey")).user(user);
        case.pam_env(AUTH_INFO, KEY)
    };
    let report = case("bob").answer("accept-1").run();
    expect(&report, NOT_ENROLLED);
    assert_eq!(
        (report.prompts(), report.told()),
        (vec![PROMPT], vec![NOT_SET_UP])
    );
    expect(&case("alice").run(), UNANSWERED);
    expect(&case("alice").answer("http-503").run(), UNAVAILABLE);
    let thrice = case("alice").answer("reject-1").answer("reject-2");
    expect(&thrice.answer("reject-3").run(), EXHAUSTED);
    let unread =
        below(after(Case::new(module_path()), "publickey")).argument("config=/nonexistent");
    expect(&unread.pam_env(AUTH_INFO, KEY).run(), MISCONFIGURED);
}

#[sandbox_test]
fn bad_arguments_deny_whether_the_method_has_passed_or_not() {
    let ivalt = StandIn::start();
    let methods =
        "argument in pam.d: only_after=... must name one of publickey, hostbased, gssapi-with-mic";
    for (words, cause) in [
        (&["only_after="][..], methods),
        (&["only_after=password"], methods),
        (&["only_after=keyboard-interactive"], methods),
        (&["only_after=PublicKey"], methods),
        (&["only_after=publickey,hostbased"], methods),
        (&["only_after=publickey", "only_after=none"], methods),
        (
            &["only_after=publickey", "only_after=hostbased"],
            "argument in pam.d: only_after= is given twice with different methods; keep one",
        ),
        (
            &["only_after"],
            "argument in pam.d: only_after needs a value: only_after=METHOD",
        ),
        (
            &["only_after=publickey", "debug=1"],
            "argument in pam.d: \"debug=...\": debug takes no value",
        ),
    ] {
        for passed in ["", KEY] {
            let case = below(Case::against(&ivalt)).control(CONTROL);
            let case = words.iter().fold(case, |case, word| case.argument(word));
            let report = case.pam_env(AUTH_INFO, passed).answer("accept-1").run();
            assert_eq!(expect(&report, MISCONFIGURED).get("cause"), cause);
            assert_eq!((report.prompts(), report.told()), (vec![], vec![BROKEN]));
        }
    }
    assert_eq!(ivalt.connections().len(), 0);
}

/// With `PAM_IGNORE`, the module below would ask for a password that users with a key may not have.
#[sandbox_test]
fn a_policy_that_ignores_after_the_method_lets_in() {
    let ivalt = StandIn::start();
    let case = |passed: &str| {
        let case = below(after(Case::against(&ivalt), "publickey"));
        let settings = case
            .settings(&ivalt)
            .set("policy", "unenrolled", "ignore")
            .set("policy", "unavailable", "ignore");
        case.with_settings(&settings).pam_env(AUTH_INFO, passed)
    };
    let report = case(KEY).user("bob").run();
    expect(&report, TOLERATED_UNENROLLED);
    assert_eq!((report.prompts(), report.told()), (vec![], vec![]));
    let report = case(KEY).answer("http-503").run();
    expect(&report, TOLERATED_OUTAGE);
    assert_eq!((report.prompts(), report.told()), (vec![PROMPT], vec![]));
    for user in ["alice", "bob"] {
        let report = case("").user(user).answer("http-503").run();
        assert_eq!((report.code(), report.told()), (PAM_SUCCESS, vec!["below"]));
        assert_eq!((report.prompts(), report.log()), (vec![], vec![]));
    }
    // Policies cover nothing else, here either.
    let thrice = case(KEY).answer("reject-1").answer("reject-2");
    expect(&thrice.answer("reject-3").run(), EXHAUSTED);
    let disabled =
        case(KEY).users("[users]\nalice = { mobile = \"+916283974746\", enabled = false }\n");
    expect(&disabled.answer("accept-1").run(), DISABLED);
}

/// The stack of pam_ivalt(8) for key or password; `common-auth` as on Debian, with a module for pam_unix.
fn key_or_password(ivalt: &StandIn) -> Case {
    let case = Case::against(ivalt);
    let helper = helper_module("pam_set_authtok");
    let (helper, config) = (helper.display(), case.config());
    let ours = format!(
        "auth required {} config={}",
        module_path().display(),
        config.display()
    );
    after(case, "publickey")
        .line_after(&format!(
            "auth [success=1 default=ignore] {helper} password=swordfish setcred=unix"
        ))
        .line_after("auth requisite pam_deny.so")
        .line_after("auth required pam_permit.so")
        .line_after(&format!("auth optional {helper} setcred=group"))
        .line_after(&ours)
}

#[sandbox_test]
fn a_key_and_a_token_let_in_without_a_password() {
    let ivalt = StandIn::start();
    let case = key_or_password(&ivalt).pam_env(AUTH_INFO, KEY);
    let report = case.answer("accept-1").run();
    expect(&report, VERIFIED);
    assert_eq!(report.prompts(), [PROMPT]);
    let report = key_or_password(&ivalt)
        .pam_env(AUTH_INFO, KEY)
        .user("bob")
        .answer("accept-1")
        .run();
    expect(&report, NOT_ENROLLED);
    assert_eq!(report.prompts(), [PROMPT]);
}

#[sandbox_test]
fn a_password_and_a_token_let_in_without_a_key() {
    let ivalt = StandIn::start();
    for passed in ["", "keyboard-interactive/pam\n"] {
        let case = key_or_password(&ivalt).pam_env(AUTH_INFO, passed);
        let report = case.answer("swordfish").answer("accept-1").run();
        expect(&report, VERIFIED);
        assert_eq!(report.prompts(), [PASSWORD_PROMPT, PROMPT]);
        let case = key_or_password(&ivalt).pam_env(AUTH_INFO, passed);
        let thrice = case
            .answer("swordfish")
            .answer("reject-1")
            .answer("swordfish");
        let report = thrice.answer("reject-3").run();
        assert_eq!(expect(&report, PASSWORD).get("attempts"), "2");
    }
}

/// What PAM_SILENT kept back waits for the line that asks: one that is passed over does not use it up.
#[sandbox_test]
fn a_line_that_is_passed_over_leaves_the_sentence_to_the_next() {
    let ivalt = StandIn::start();
    let case = key_or_password(&ivalt)
        .silent()
        .calls(&[Entry::Authenticate; 2]);
    let case = case.answer("swordfish").answer("http-503");
    let report = case.answer("swordfish").answer("accept-1").run();
    assert_eq!(
        report.codes(Entry::Authenticate),
        [PAM_AUTHINFO_UNAVAIL, PAM_SUCCESS]
    );
    let told = format!("{UNREACHABLE} {PROMPT}");
    assert_eq!(
        report.prompts(),
        [PASSWORD_PROMPT, PROMPT, PASSWORD_PROMPT, told.as_str()]
    );
}

/// Whoever has neither learns nothing: one prompt, the same end for everybody, no line of ours and no connection.
#[sandbox_test]
fn a_wrong_password_ends_the_stack_before_anybody_is_asked_for_a_token() {
    let ivalt = StandIn::start();
    let users = "[users]\nalice = \"+916283974746\"\ncarol = { mobile = \"+14155550100\", enabled = false }\n";
    for user in ["alice", "bob", "carol"] {
        let case = key_or_password(&ivalt).users(users).user(user);
        let report = case.answer("wrong").answer("accept-1").run();
        assert_eq!(report.code(), PAM_AUTH_ERR, "{user}");
        assert_eq!(
            (report.prompts(), report.told()),
            (vec![PASSWORD_PROMPT], vec![]),
            "{user}"
        );
        assert_eq!(report.log_lines().len(), 0, "{user}");
    }
    assert_eq!(ivalt.connections().len(), 0);
}

/// Groups and tickets that modules of `common-auth` set are set after a key as well.
#[sandbox_test]
fn credentials_are_set_by_the_modules_below() {
    let ivalt = StandIn::start();
    let both = [Entry::Authenticate, Entry::Setcred];
    let case = key_or_password(&ivalt).pam_env(AUTH_INFO, KEY).calls(&both);
    let report = case.answer("accept-1").run();
    assert_eq!(
        (
            report.codes(Entry::Authenticate),
            report.codes(Entry::Setcred)
        ),
        (vec![PAM_SUCCESS], vec![PAM_SUCCESS])
    );
    assert_eq!(report.told(), ["unix", "group"]);

    let case = key_or_password(&ivalt).calls(&both);
    let report = case.answer("swordfish").answer("accept-2").run();
    assert_eq!(report.codes(Entry::Setcred), [PAM_SUCCESS]);
    assert_eq!(report.told(), ["unix", "group"]);

    // sshd's parent calls it on a chain that never authenticated, with the PAM environment or without.
    for passed in ["", KEY] {
        let case = key_or_password(&ivalt).pam_env(AUTH_INFO, passed);
        let report = case.calls(&[Entry::Setcred]).run();
        assert_eq!(report.codes(Entry::Setcred), [PAM_SUCCESS], "{passed:?}");
        assert_eq!(report.told(), ["unix", "group"], "{passed:?}");
        assert_eq!(report.log_lines().len(), 0);
    }
}

/// Alone in a stack, `PAM_IGNORE` is what libpam makes `PAM_PERM_DENIED` of.
#[sandbox_test]
fn setcred_of_such_a_line_is_ignored() {
    let ivalt = StandIn::start();
    for (words, code) in [
        (&["only_after=publickey"][..], PAM_PERM_DENIED),
        (&["only_after=bogus"], PAM_PERM_DENIED),
        (&["only_after=hostbased", "bogus"], PAM_PERM_DENIED),
        (&["nodelay"], PAM_SUCCESS),
        (&["bogus"], PAM_SUCCESS),
    ] {
        for passed in ["", KEY] {
            let case = Case::against(&ivalt).calls(&[Entry::Setcred]);
            let case = words.iter().fold(case, |case, word| case.argument(word));
            let report = case.pam_env(AUTH_INFO, Text::from(passed)).run();
            assert_eq!(report.codes(Entry::Setcred), [code], "{words:?}");
            assert_eq!(report.log(), [] as [&str; 0], "{words:?}");
        }
    }
}
