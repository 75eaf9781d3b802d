//! What counts as a token: charset, lengths, and sshd's dummy password, which is not a token.

use crate::expect::*;
use support::{Case, StandIn, sandbox_test};

#[sandbox_test]
fn malformed_tokens_never_leave_and_may_be_corrected() {
    let ivalt = StandIn::start();
    let long = "x".repeat(513);
    for (answer, cause) in [
        (long.as_str(), "longer than 512 bytes"),
        ("two words", "characters outside token.charset"),
        ("t\u{f6}ken", "characters outside token.charset"),
        ("esc\x1b[31m", "characters outside token.charset"),
        (
            "\x08\n\r\x7fINCORRECT",
            "sshd sent its dummy password; it has already denied this login",
        ),
        (
            "\x08\n\r\x7fINCORRECT\x08\n\r\x7fINC",
            "sshd sent its dummy password; it has already denied this login",
        ),
        (
            "\x08",
            "sshd sent its dummy password; it has already denied this login",
        ),
        (
            "\x08\n\r\x7f",
            "sshd sent its dummy password; it has already denied this login",
        ),
    ] {
        let report = Case::against(&ivalt)
            .answer(answer)
            .answer(answer)
            .answer(answer)
            .run();
        let line = expect(&report, MALFORMED);
        assert_eq!(
            (line.get("cause"), line.get("attempts")),
            (cause.into(), "3".into()),
            "{answer:?}"
        );
        // A stranger must not learn from another sentence that sshd denies this account.
        let said = if cause.starts_with("sshd") {
            REFUSED
        } else {
            "That is not an iVALT token."
        };
        let again = format!("{said} {PROMPT}");
        assert_eq!(report.prompts(), [PROMPT, &again, &again]);
        assert_eq!(report.told(), [said]);
    }
    let huge = Case::against(&ivalt).answer("x".repeat(100_000)).run();
    assert_eq!(expect(&huge, UNANSWERED).get("attempts"), "1");
    assert_eq!(ivalt.requests().len(), 0);
    expect(
        &Case::against(&ivalt)
            .answer("two words")
            .answer("x".repeat(512))
            .answer("accept-1")
            .run(),
        VERIFIED,
    );
    assert_eq!(ivalt.tokens().len(), 2);
}

#[sandbox_test]
fn charset_and_lengths_are_obeyed() {
    let ivalt = StandIn::start();
    for (charset, min, max, answer, row, cause) in [
        (
            "digits",
            1,
            512,
            "12345a",
            MALFORMED,
            "characters outside token.charset",
        ),
        (
            "alphanumeric",
            1,
            512,
            "abc-1",
            MALFORMED,
            "characters outside token.charset",
        ),
        ("alphanumeric", 1, 512, "accept1", VERIFIED, ""),
        ("visible", 1, 512, "accept!~", VERIFIED, ""),
        (
            "visible",
            9,
            512,
            "accept-1",
            MALFORMED,
            "shorter than 9 bytes",
        ),
        ("visible", 8, 8, "accept-1", VERIFIED, ""),
        (
            "visible",
            1,
            7,
            "accept-1",
            MALFORMED,
            "longer than 7 bytes",
        ),
    ] {
        let case = Case::against(&ivalt).answer(answer);
        let settings = case
            .settings(&ivalt)
            .set("token", "charset", charset)
            .set("token", "attempts", 1);
        let settings = settings
            .set("token", "min_length", min)
            .set("token", "max_length", max);
        let line = expect(&case.with_settings(&settings).run(), row);
        assert_eq!(line.get("cause"), cause, "{answer}");
    }
}

#[sandbox_test]
fn the_dummy_of_sshd_is_no_password_and_a_password_no_typing_error() {
    let ivalt = StandIn::start();
    // sshd gives the password prompt the same dummy, as long as what was typed there.
    let report = Case::against(&ivalt).authtok("\x08").answer("\x08").run();
    expect(&report, UNANSWERED);
    assert_eq!(report.prompts()[1], format!("{REFUSED} {PROMPT}"));
    let report = Case::against(&ivalt)
        .authtok("two words")
        .answer("two words")
        .run();
    expect(&report, PASSWORD);
}

#[sandbox_test]
fn digits_are_digits() {
    let ivalt = StandIn::start();
    let case = Case::against(&ivalt).answer("0123456789");
    let settings = case
        .settings(&ivalt)
        .set("token", "charset", "digits")
        .set("token", "attempts", 1);
    expect(&case.with_settings(&settings).run(), REJECTED);
    assert_eq!(ivalt.tokens(), ["0123456789"]);
}

/// sshd sends the dummy after a key for nobody but root. Who has proved nothing, and whoever is not root, hears what everybody
/// hears, as often.
#[sandbox_test]
fn root_with_a_key_is_told_that_sshd_keeps_the_answer() {
    let ivalt = StandIn::start();
    let dummy = "\x08\n\r\x7fINCORRECT";
    let call = |user: &str, passed: &str| {
        let case = Case::against(&ivalt)
            .users("[users]\nroot = \"+14155550100\"\nalice = \"+14155550101\"\n");
        let case = case.user(user).pam_env("SSH_AUTH_INFO_0", passed);
        case.answer(dummy).answer(dummy).answer(dummy).run()
    };
    for passed in [
        "publickey ssh-ed25519 AAAA\n",
        "hostbased x\n",
        "gssapi-with-mic x\n",
    ] {
        let report = call("root", passed);
        let line = expect(&report, MALFORMED);
        let cause =
            "sshd sent its dummy password; it has already denied this login by PermitRootLogin";
        assert_eq!(
            (line.get("cause"), line.get("attempts")),
            (cause.into(), "1".into())
        );
        assert_eq!(report.prompts(), [PROMPT]);
        let sentence = "sshd does not let root answer here (PermitRootLogin); iVALT was not asked.";
        assert_eq!(report.told(), [sentence]);
    }
    let again = format!("{REFUSED} {PROMPT}");
    for (user, passed) in [
        ("root", ""),
        ("root", "password\n"),
        ("root", "keyboard-interactive/pam\n"),
        ("root", "publickey-x\n"),
        ("alice", "publickey ssh-ed25519 AAAA\n"),
        ("alice", ""),
    ] {
        let report = call(user, passed);
        let line = expect(&report, MALFORMED);
        let cause = "sshd sent its dummy password; it has already denied this login";
        assert_eq!(
            (line.get("cause"), line.get("attempts")),
            (cause.into(), "3".into()),
            "{user} {passed}"
        );
        assert_eq!(
            report.prompts(),
            [PROMPT, &again, &again],
            "{user} {passed}"
        );
        assert_eq!(report.told(), [REFUSED], "{user} {passed}");
    }
    assert_eq!(ivalt.requests().len(), 0);
}
