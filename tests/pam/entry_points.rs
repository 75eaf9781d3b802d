//! Entry points besides `pam_sm_authenticate`, a second call, and the module's arguments.

use crate::expect::*;
use support::codes::*;
use support::{Case, Entry, StandIn, sandbox_test};

#[sandbox_test]
fn unknown_and_contradicting_arguments_deny() {
    let ivalt = StandIn::start();
    for (word, cause) in [
        (
            "nullok",
            "argument in pam.d: \"nullok\" is unknown; expected one of config=PATH, debug, try_first_pass, use_first_pass, nodelay, only_after=METHOD",
        ),
        (
            "key=SECRET",
            "argument in pam.d: \"key=...\" is unknown; expected one of config=PATH, debug, try_first_pass, use_first_pass, nodelay, only_after=METHOD",
        ),
        (
            "debug=SECRET",
            "argument in pam.d: \"debug=...\": debug takes no value",
        ),
        (
            "config=ivalt.toml",
            "argument in pam.d: config=ivalt.toml must be an absolute path",
        ),
    ] {
        let report = Case::against(&ivalt)
            .argument(word)
            .answer("accept-1")
            .run();
        assert_eq!(expect(&report, MISCONFIGURED).get("cause"), cause);
        assert_eq!((report.prompts(), report.told()), (vec![], vec![BROKEN]));
    }
    let both = Case::against(&ivalt)
        .argument("try_first_pass")
        .argument("use_first_pass")
        .run();
    expect(&both, MISCONFIGURED);
    assert_eq!(ivalt.connections().len(), 0);
}

#[sandbox_test]
fn the_other_entry_points() {
    let ivalt = StandIn::start();
    let others = [
        Entry::AcctMgmt,
        Entry::OpenSession,
        Entry::CloseSession,
        Entry::Chauthtok,
    ];
    let calls = [&[Entry::Authenticate, Entry::Setcred], others.as_slice()].concat();
    let report = Case::against(&ivalt).calls(&calls).answer("accept-1").run();
    expect(&report, VERIFIED);
    assert_eq!(report.codes(Entry::Setcred), [PAM_SUCCESS]);
    for entry in others {
        // What libpam makes of a stack in which every module said PAM_IGNORE.
        assert_eq!(report.codes(entry), [PAM_PERM_DENIED], "{entry:?}");
    }
    // sshd's parent calls pam_setcred on a chain that never authenticated.
    let report = Case::against(&ivalt).calls(&[Entry::Setcred]).run();
    assert_eq!(
        (report.codes(Entry::Setcred), report.log().len()),
        (vec![PAM_SUCCESS], 0)
    );
}

#[sandbox_test]
fn called_again_on_one_handle_it_asks_again() {
    let ivalt = StandIn::start();
    let report = Case::against(&ivalt)
        .calls(&[Entry::Authenticate; 3])
        .answer("accept-1")
        .answer("http-503")
        .answer("accept-3")
        .run();
    assert_eq!(
        report.codes(Entry::Authenticate),
        [PAM_SUCCESS, PAM_AUTHINFO_UNAVAIL, PAM_SUCCESS]
    );
    assert_eq!(report.log_lines().len(), 3);
}

/// Beside a module that succeeds, one that says PAM_IGNORE changes nothing; any error of it would.
#[sandbox_test]
fn the_other_entry_points_change_no_stack() {
    let ivalt = StandIn::start();
    for (kind, entry) in [
        ("account", Entry::AcctMgmt),
        ("session", Entry::OpenSession),
        ("session", Entry::CloseSession),
        ("password", Entry::Chauthtok),
    ] {
        let permit = format!("{kind} required pam_permit.so");
        let report = Case::against(&ivalt)
            .line_after(&permit)
            .calls(&[entry])
            .run();
        assert_eq!(report.codes(entry), [PAM_SUCCESS], "{entry:?}");
    }
}
