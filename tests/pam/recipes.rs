//! The lines of pam_ivalt(8), "Groups that are not asked", on the real libpam, with the real pam_succeed_if and
//! pam_access: what they do, and what goes wrong with them.

use std::path::Path;

use support::codes::*;
use support::man_page::section;
use support::{Case, Entry, Report, StandIn, helper_module, sandbox_test};

const PAGE: &str = include_str!("../../debian/pam_ivalt.8");
/// Alice is in no-ivalt, bob in ivalt; dora in neither.
const GROUPS: &str = "root:x:0:\nno-ivalt:x:900:alice\nivalt:x:901:bob\nstaff:x:50:\n";
const ACCOUNTS: &str = "root:x:0:0::/root:/bin/sh\nalice:x:1000:1000::/:/bin/sh\nbob:x:1001:1001::/:/bin/sh\ndora:x:1002:1002::/:/bin/sh\n";
const USERS: &str =
    "[users]\nalice = \"+916283974746\"\nbob = \"+14155550101\"\ndora = \"+14155550102\"\n";

/// The lines of an example that begins below these words: those above pam_ivalt's.
fn example(words: &str) -> Vec<&'static str> {
    let lines = section(PAGE, "Groups that are not asked");
    let from = lines.iter().skip_while(|line| **line != words);
    let from = from.skip_while(|line| !line.starts_with(".Bd")).skip(1);
    let mut lines: Vec<_> = from.take_while(|line| **line != ".Ed").copied().collect();
    assert_eq!(
        lines
            .pop()
            .map(|line| line.split_whitespace().collect::<Vec<_>>()),
        Some(vec!["auth", "required", "pam_ivalt.so"])
    );
    lines
}

const SPARED: &str = "Below the password, for a group that is not asked for iVALT:";
const ASKED: &str = "For a group that alone is asked:";

/// A login with a password that is right or wrong, through these lines and pam_ivalt's below them.
fn login(ivalt: &StandIn, lines: &[&str], user: &str, password_is_right: bool) -> Report {
    let mut case = Case::against(ivalt)
        .users(USERS)
        .user(user)
        .answer("accept-1");
    let code = if password_is_right {
        PAM_SUCCESS
    } else {
        PAM_AUTH_ERR
    };
    let helper = helper_module("pam_set_authtok").display().to_string();
    let common = format!("auth requisite {helper} return={code} setcred=called");
    for line in lines {
        case = case.line_before(&line.replace("@include common-auth", &common));
    }
    for (name, text) in [("group", GROUPS), ("passwd", ACCOUNTS)] {
        let file = case.dir().write(name, text, 0o644);
        case = case.bind(file, Path::new("/etc").join(name));
    }
    let calls = [Entry::Authenticate, Entry::Setcred];
    case.calls(&calls).observe().report().clone()
}

/// Whether the user was asked, and what pam_authenticate returned.
fn outcome(report: &Report) -> (bool, i32) {
    (
        !report.prompts().is_empty(),
        report.codes(Entry::Authenticate)[0],
    )
}

#[sandbox_test]
fn a_group_is_spared_and_everybody_else_is_asked() {
    let ivalt = StandIn::start();
    let lines = example(SPARED);
    let login = |user: &str, right: bool| login(&ivalt, &lines, user, right);
    assert_eq!(outcome(&login("alice", true)), (false, PAM_SUCCESS));
    for user in ["bob", "dora", "mallory"] {
        let (asked, code) = outcome(&login(user, true));
        assert!(asked, "{user}");
        assert_eq!(code == PAM_SUCCESS, user != "mallory", "{user}");
    }
    for user in ["alice", "bob"] {
        assert_eq!(
            outcome(&login(user, false)),
            (false, PAM_AUTH_ERR),
            "{user}"
        );
    }
    for user in ["alice", "bob"] {
        let codes = login(user, true).codes(Entry::Setcred);
        assert_eq!(codes, [PAM_SUCCESS], "credentials of {user}");
    }
}

#[sandbox_test]
fn a_group_alone_is_asked() {
    let ivalt = StandIn::start();
    let lines = example(ASKED);
    let login = |user: &str, right: bool| login(&ivalt, &lines, user, right);
    assert_eq!(outcome(&login("bob", true)), (true, PAM_SUCCESS));
    assert_eq!(outcome(&login("alice", true)), (false, PAM_SUCCESS));
    assert_eq!(outcome(&login("bob", false)), (false, PAM_AUTH_ERR));
    for user in ["alice", "bob"] {
        let codes = login(user, true).codes(Entry::Setcred);
        assert_eq!(codes, [PAM_SUCCESS], "credentials of {user}");
    }
}

/// By the one form everybody is asked, by the other nobody.
#[sandbox_test]
fn a_group_that_does_not_exist() {
    let ivalt = StandIn::start();
    for (words, name, asked) in [(SPARED, "no-ivalt", true), (ASKED, "ivalt", false)] {
        let lines = example(words);
        let mistyped: Vec<_> = lines
            .iter()
            .map(|line| line.replace(&format!("ingroup {name}"), "ingroup mistyped"))
            .collect();
        let mistyped: Vec<_> = mistyped.iter().map(String::as_str).collect();
        assert_ne!(lines, mistyped);
        for user in ["alice", "bob", "dora"] {
            let report = login(&ivalt, &mistyped, user, true);
            assert_eq!(outcome(&report), (asked, PAM_SUCCESS), "{user}");
        }
    }
}

/// Where nothing else has let in, a jump does not.
#[sandbox_test]
fn a_jump_lets_nobody_in() {
    let ivalt = StandIn::start();
    let lines = example(SPARED);
    let report = login(&ivalt, &lines[1..], "alice", true);
    assert_eq!(outcome(&report), (false, PAM_PERM_DENIED));
    assert_eq!(
        outcome(&login(&ivalt, &lines[1..], "bob", true)),
        (true, PAM_SUCCESS)
    );
}

fn from(ivalt: &StandIn, condition: &str, rhost: Option<&str>) -> (bool, i32) {
    let mut case = Case::against(ivalt).users(USERS).answer("accept-1");
    let helper = helper_module("pam_set_authtok").display().to_string();
    case = case.line_before(&format!("auth requisite {helper} return={PAM_SUCCESS}"));
    case = case.line_before(&format!("auth [success=1 default=ignore] {condition}"));
    let file = case.dir().write("passwd", ACCOUNTS, 0o644);
    case = case.bind(file, "/etc/passwd").tty("/dev/pts/0");
    if let Some(rhost) = rhost {
        case = case.rhost(rhost);
    }
    outcome(case.observe().report())
}

#[sandbox_test]
fn a_pattern_is_matched_by_a_name() {
    let ivalt = StandIn::start();
    let pattern = "pam_succeed_if.so quiet rhost =~ 10.1.*";
    let spared = (false, PAM_SUCCESS);
    assert_eq!(from(&ivalt, pattern, Some("10.1.2.3")), spared);
    assert_eq!(from(&ivalt, pattern, Some("10.1.evil.example.com")), spared);
    for asked in [Some("10.11.2.3"), Some("evil.example.com"), None] {
        assert_eq!(
            from(&ivalt, pattern, asked),
            (true, PAM_SUCCESS),
            "{asked:?}"
        );
    }
}

#[sandbox_test]
fn what_pam_access_grants() {
    let ivalt = StandIn::start();
    let folder = support::TempDir::new();
    let access = |text: &str, rhost| {
        let file = folder.write("access.conf", text, 0o644);
        let condition = format!("pam_access.so quiet_log accessfile={}", file.display());
        from(&ivalt, &condition, rhost)
    };
    let (spared, asked) = ((false, PAM_SUCCESS), (true, PAM_SUCCESS));
    let local = "+ : ALL : 10.0.0.0/24\n+ : ALL : LOCAL\n- : ALL : ALL\n";
    assert_eq!(access(local, Some("10.0.0.7")), spared);
    assert_eq!(access(local, Some("192.0.2.7")), asked);
    assert_eq!(access(local, None), spared);
    let without = local.replace("+ : ALL : LOCAL\n", "");
    assert_eq!(access(&without, None), asked);
    // Neither a file without a line for all others, nor a last line without its newline, denies.
    for open in [
        "+ : ALL : 10.0.0.0/24\n",
        without.trim_end(),
        " - : ALL : ALL\n",
    ] {
        assert_eq!(access(open, Some("192.0.2.7")), spared, "{open:?}");
    }
    // One that is missing does.
    let missing = "pam_access.so accessfile=/nonexistent";
    assert_eq!(from(&ivalt, missing, Some("192.0.2.7")), asked);
}
