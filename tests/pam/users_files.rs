//! `users.toml` in every state, and every name an application may come with.
//! The messages about its contents are held by the unit tests of `src/core/users`.

use crate::corrupt::*;
use crate::expect::*;
use support::{Case, StandIn, Text, no_root, sandbox_test};

#[track_caller]
fn refused(case: Case, sentence: &str) {
    let report = case.answer("accept-1").run();
    let line = expect(&report, MISCONFIGURED);
    assert!(line.get("cause").contains(sentence), "{line:?}");
    assert_eq!(report.prompts(), [] as [&str; 0]);
}

#[sandbox_test]
fn a_file_that_cannot_be_trusted_refuses_everybody() {
    if no_root(OWNER) {
        return;
    }
    let ivalt = StandIn::start();
    let corrupted: [(Corrupt, &str); 7] = [
        (
            remove,
            "users.toml: does not exist; create it: install -o root -g root -m 0600 /dev/null /",
        ),
        (
            |path| mode(path, 0o664),
            "users.toml: is writable by group or others (mode 0664); run: chmod go-w /",
        ),
        (
            |path| mode(path, 0o606),
            "users.toml: is writable by group or others (mode 0606); run: chmod go-w /",
        ),
        (
            give_away,
            "users.toml: belongs to user id 4242, not to root; run: chown root:root /",
        ),
        (
            link,
            "users.toml: is a symbolic link; use the real path: readlink -f /",
        ),
        (
            directory,
            "users.toml: is not a regular file; inspect: ls -ld /",
        ),
        (
            |path| pad(path, (64 << 20) + 1),
            "users.toml: is larger than 64 MiB; inspect: ls -l /",
        ),
    ];
    for (corrupt, sentence) in corrupted {
        let case = Case::against(&ivalt);
        corrupt(&case.users_file());
        refused(case, sentence);
    }
    assert_eq!(ivalt.connections().len(), 0);
}

#[sandbox_test]
fn others_may_read_it() {
    let ivalt = StandIn::start();
    let case = Case::against(&ivalt).answer("accept-1");
    mode(&case.users_file(), 0o644);
    expect(&case.run(), VERIFIED);
}

#[sandbox_test]
fn what_is_not_toml_refuses_everybody() {
    let ivalt = StandIn::start();
    let good = "[users]\nalice = \"+916283974746\"\n";
    for (text, sentence) in [
        (
            format!("{good}bob = \n").into_bytes(),
            "users.toml:3: is not TOML: ",
        ),
        (
            format!("{good}bob = \"+14155550100\n").into_bytes(),
            "users.toml:3: is not TOML: ",
        ),
        (
            [good.as_bytes(), b"bob = \"\xff\"\n"].concat(),
            "users.toml:3: is not UTF-8; write the file again as UTF-8 text",
        ),
        (
            format!("{good}[users]\n").into_bytes(),
            "users.toml:3: [users] is defined twice; keep one",
        ),
        (
            b"users = { alice = \"+916283974746\" }\n[users.bob]\n".to_vec(),
            "users.toml:2: [users] is defined twice; keep one",
        ),
        // Only at the beginning of a file it is one.
        (
            format!("# comment\n\u{feff}{good}").into_bytes(),
            "users.toml:2: is not TOML: ",
        ),
        (
            b"alice = \"+916283974746\"\n".to_vec(),
            "users.toml:1: \"alice\" is outside [users]; move it below the line [users]",
        ),
    ] {
        let case = Case::against(&ivalt);
        case.dir().write("users.toml", &text, 0o600);
        refused(case, sentence);
    }
    assert_eq!(ivalt.connections().len(), 0);
}

#[sandbox_test]
fn an_empty_file_enrols_nobody() {
    let ivalt = StandIn::start();
    for text in ["", "[users]\n", "# nobody\n"] {
        expect(
            &Case::against(&ivalt).users(text).answer("accept-1").run(),
            NOT_ENROLLED,
        );
    }
}

#[sandbox_test]
fn bad_entries_say_file_line_and_name_and_leave_the_others() {
    let ivalt = StandIn::start();
    let not_e164 = "the mobile is not E.164; write + and 7 to 15 digits, like +14155550100";
    for (entry, user, what) in [
        ("bob = \"+1415555O100\"", "bob", not_e164),
        ("bob = \"+12345\"", "bob", not_e164),
        ("bob = \"+1234567890123456\"", "bob", not_e164),
        ("bob = \"4155550100\"", "bob", not_e164),
        ("bob = \"\"", "bob", not_e164),
        (
            "bob = +14155550100",
            "bob",
            "must be a mobile in quotes, like \"+14155550100\"",
        ),
        (
            "bob = { mobile = \"+14155550100\", enable = false }",
            "bob",
            "unknown key \"enable\"; expected mobile or enabled",
        ),
        (
            "first.last = \"+14155550100\"",
            "first.last",
            "a name with dots needs quotes; write \"first.last\" = \"+14155550100\"",
        ),
        (
            "bob = \"+14155550100\"\nbob = \"+14155550100\"",
            "bob",
            "is defined twice, in lines 3 and 4; keep one",
        ),
    ] {
        let users = format!("[users]\nalice = \"+91 6283-974746\"\n{entry}\n");
        let line = expect(
            &Case::against(&ivalt)
                .users(&users)
                .user(user)
                .answer("accept-1")
                .run(),
            BAD_ENTRY,
        );
        let at = if what.starts_with("is defined twice") {
            4
        } else {
            3
        };
        assert!(
            line.get("cause")
                .ends_with(&format!("/users.toml:{at}: {user}: {what}")),
            "{line:?}"
        );
        expect(
            &Case::against(&ivalt).users(&users).answer("accept-1").run(),
            VERIFIED,
        );
    }
}

#[sandbox_test]
fn names_are_data() {
    let ivalt = StandIn::start();
    let names: [(Text, &[u8]); 9] = [
        ("".into(), b""),
        ("root".into(), b"root"),
        ("../../etc/passwd".into(), b"../../etc/passwd"),
        ("al\nice".into(), b"al\nice"),
        ("alice reason=verified".into(), b"alice reason=verified"),
        ("\u{1b}[31m\"\\".into(), b"\x1b[31m\"\\"),
        ("x".repeat(300).into(), &[b'x'; 256]),
        (Text::from(&b"\xff\xfe\x01alice"[..]), b"\xff\xfe\x01alice"),
        ("Alice".into(), b"Alice"),
    ];
    for (name, logged) in names {
        let report = Case::against(&ivalt).user(name).answer("accept-1").run();
        let line = expect(&report, NOT_ENROLLED);
        assert_eq!(line.bytes("user"), logged);
    }
    assert_eq!(ivalt.connections().len(), 0);
}

#[sandbox_test]
fn foreign_items_are_harmless_in_the_log() {
    let ivalt = StandIn::start();
    let evil = "\u{1b}]0;x\u{7}\n<34>fake: \"\\ \u{9f}";
    let report = Case::against(&ivalt)
        .rhost(evil)
        .tty(evil)
        .ruser(&b"\x80\xff"[..])
        .answer("escape")
        .answer("accept-1")
        .run();
    let line = expect(&report, VERIFIED);
    assert_eq!(
        (line.get("rhost"), line.get("tty")),
        (evil.to_owned(), evil.to_owned())
    );
    assert_eq!(line.bytes("ruser"), b"\x80\xff");
    assert_eq!(report.prompts().len(), 2);
    assert!(
        report
            .prompts()
            .iter()
            .all(|prompt| prompt.bytes().all(|byte| (b' '..=b'~').contains(&byte)))
    );
    let report = Case::against(&ivalt).answer("escape").run();
    let detail = report.log_lines()[0].clone();
    assert_eq!(detail.reason(), "unanswered");
    assert!(
        report.log()[0]
            .bytes()
            .all(|byte| (b' '..=b'~').contains(&byte)),
        "{:?}",
        report.log()
    );
}

#[sandbox_test]
fn names_with_dots_and_spaces_can_be_enrolled() {
    let ivalt = StandIn::start();
    let users = "[users]\n\"first.last\" = \"+14155550100\"\n\"a b\" = \"+14155550101\"\n\"j\u{f6}rg\" = \"+14155550102\"\n";
    for name in ["first.last", "a b", "j\u{f6}rg"] {
        expect(
            &Case::against(&ivalt)
                .users(users)
                .user(name)
                .answer("accept-1")
                .run(),
            VERIFIED,
        );
    }
}

/// What is shown for a byte that is not UTF-8 may itself be somebody's name.
#[sandbox_test]
fn names_that_are_not_text_are_nobodys() {
    let ivalt = StandIn::start();
    let users = "[users]\n\"\u{fffd}lice\" = \"+14155550100\"\n\"\" = \"+14155550101\"\n";
    for name in [&b"\xfflice"[..], b"\xff", b"\xc3"] {
        let case = Case::against(&ivalt).users(users).user(name);
        expect(&case.answer("accept-1").run(), NOT_ENROLLED);
    }
    assert_eq!(ivalt.connections().len(), 0);
}
