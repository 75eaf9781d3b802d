//! Names that differ from an enrolled one in case, realm or domain, and may be the same account.

use crate::expect::*;
use crate::isolation::compiled;
use support::{Case, Report, StandIn, TempDir, Text, sandbox_test};

const USERS: &str = "# all\n[users]\nbob = \"+14155550101\"\nalice = \"+916283974746\"\n\
    Carol = { mobile = \"+14155550102\", enabled = false }\ndave = 5\n\"j\u{f6}rg\" = \"+14155550103\"\n\
    'CORP\\erin' = \"+14155550104\"\n\"first.last\" = \"+14155550105\"\nann.lee = \"+14155550106\"\n\
    [users.frank]\nmobile = \"+14155550107\"\n";

/// Who is asked for, and the name in `USERS` that it is a spelling of.
const SPELLINGS: [(&str, &str); 12] = [
    ("ALICE", "alice"),
    ("alice@corp.example", "alice"),
    ("CORP\\Alice", "alice"),
    ("corp\\alice@corp.example", "alice"),
    ("carol", "Carol"),
    ("Dave", "dave"),
    ("J\u{d6}RG", "j\u{f6}rg"),
    ("erin", "CORP\\erin"),
    ("Erin@x", "CORP\\erin"),
    ("First.Last@x", "first.last"),
    ("Ann.Lee", "ann.lee"),
    ("FRANK", "frank"),
];

const OTHERS: [&[u8]; 8] = [
    b"alice2",
    b"al",
    b"",
    b"@alice",
    b"al\xefce",
    b"\xff",
    b"users",
    b"mobile",
];

fn case(ivalt: &StandIn, policy: &str, user: impl Into<Text>) -> Case {
    let case = Case::against(ivalt).users(USERS).user(user);
    let settings = case.settings(ivalt).set("policy", "unenrolled", policy);
    case.with_settings(&settings).answer("accept-1")
}

fn is_there_as(spelling: &str) -> String {
    format!(
        "/users.toml: there is an entry for \"{spelling}\", and names are compared byte for byte; log in by that name; \
         if this one is another account, enrol it: ivaltctl users add NAME MOBILE"
    )
}

#[track_caller]
fn refused(report: &Report, spelling: &str) {
    let line = expect(report, BAD_ENTRY);
    let cause = line.get("cause");
    assert!(cause.ends_with(&is_there_as(spelling)), "{cause}");
    assert_eq!(
        (line.get("mobile"), line.get("attempts")),
        (String::new(), "1".into())
    );
    assert_eq!(report.prompts(), ["iVALT token: "]);
}

#[sandbox_test]
fn no_policy_ignores_another_spelling_of_an_entry() {
    let ivalt = StandIn::start();
    for (user, spelling) in SPELLINGS {
        refused(&case(&ivalt, "ignore", user).run(), spelling);
    }
    // Not UTF-8, in front of the name alone.
    refused(&case(&ivalt, "ignore", &b"\xff\\alice"[..]).run(), "alice");
    for user in OTHERS {
        let report = case(&ivalt, "ignore", user).run();
        assert_eq!(
            expect(&report, IGNORED_UNENROLLED).get("cause"),
            "",
            "{user:?}"
        );
        assert_eq!(report.prompts(), [""; 0]);
    }
    assert_eq!(ivalt.connections().len(), 0);
}

/// `ann = { lee = … }` is TOML for `ann.lee = …`, and its line is no plain entry of another user's.
#[sandbox_test]
fn a_name_without_quotes_may_be_in_a_table() {
    let ivalt = StandIn::start();
    let users = "[users]\nbob = \"+14155550101\"\nann = { lee = \"+14155550106\" }\n";
    let report = case(&ivalt, "ignore", "Ann.Lee").users(users).run();
    refused(&report, "ann.lee");
}

#[sandbox_test]
fn who_is_denied_anyway_reads_of_it_in_the_log() {
    let ivalt = StandIn::start();
    for (user, spelling) in SPELLINGS {
        let report = case(&ivalt, "deny", user).run();
        let cause = expect(&report, NOT_ENROLLED).get("cause");
        let sentence = format!(
            "/users.toml; there is one for \"{spelling}\", and names are compared byte for byte"
        );
        assert!(
            cause.starts_with("no entry in /") && cause.ends_with(&sentence),
            "{cause}"
        );
        assert_eq!(report.prompts(), ["iVALT token: "]);
    }
    for user in OTHERS {
        let cause = expect(&case(&ivalt, "deny", user).run(), NOT_ENROLLED).get("cause");
        assert!(
            cause.starts_with("no entry in /") && cause.ends_with("/users.toml"),
            "{cause}"
        );
    }
    assert_eq!(ivalt.connections().len(), 0);
}

/// Two names of one account in a passwd(5) of the test's own, and what a name service returns for its own spelling.
#[sandbox_test]
fn the_password_database_knows_the_name_that_is_meant() {
    let ivalt = StandIn::start();
    let passwd = TempDir::new();
    let passwd = passwd.write(
        "passwd",
        "root:x:0:0::/:/bin/sh\nalice:x:1000:1000::/:/bin/sh\nALICE:x:1000:1000::/:/bin/sh\nzoe:x:1001:1001::/:/bin/sh\n",
        0o644,
    );
    let with = |user| case(&ivalt, "ignore", user).bind(&passwd, "/etc/passwd");
    refused(&with("ALICE").run(), "alice");
    expect(&with("zoe").run(), IGNORED_UNENROLLED);
    let dir = TempDir::new();
    let library = compiled("passwd_by_other_names", &dir);
    let with = |policy, user: &str| case(&ivalt, policy, user).preload(&library).run();
    refused(&with("ignore", "al"), "alice");
    // It knows this one by a name that is in no file: the one that was given counts all the same.
    refused(&with("ignore", "ALICE"), "alice");
    expect(&with("ignore", "forgotten"), IGNORED_UNENROLLED);
    for user in ["broken", "endless"] {
        let line = expect(&with("ignore", user), MISCONFIGURED);
        assert!(
            line.get("cause").starts_with("password database: "),
            "{line:?}"
        );
    }
    // It is not asked where nobody is let through.
    for user in ["al", "broken"] {
        let cause = expect(&with("deny", user), NOT_ENROLLED).get("cause");
        assert!(cause.ends_with("/users.toml"), "{cause}");
    }
    assert_eq!(ivalt.connections().len(), 0);
}

/// Who has an entry is judged by it, whatever else is there.
#[sandbox_test]
fn an_entry_of_ones_own_counts() {
    let ivalt = StandIn::start();
    let case = case(&ivalt, "ignore", "Alice").users(&format!(
        "{USERS}[users.Alice]\nmobile = \"+14155550108\"\n"
    ));
    expect(&case.run(), VERIFIED);
    assert_eq!(ivalt.requests()[0]["body"]["mobile"], "+14155550108");
}
