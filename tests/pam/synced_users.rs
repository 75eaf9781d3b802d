//! `synced_users_file`: read for users of whom `users_file` says nothing, and by the same rules.

use std::path::Path;

use crate::corrupt::*;
use crate::expect::*;
use support::{Case, Reply, StandIn, Text, no_root, sandbox_test};

const OWN: &str = "[users]\nalice = \"+916283974746\"\nbob = { mobile = \"+14155550101\", enabled = false }\ncarol = 5\n";
/// The first three are in both.
const SYNCED: &str = "# ivaltctl users sync\n[users]\nalice = \"+14155550200\"\nbob = \"+14155550201\"\n\
    carol = \"+14155550202\"\ndave = \"+14155550203\"\nerin = { mobile = \"+14155550204\", enabled = false }\n\
    frank = 5\n\"first.last\" = \"+14155550205\"\n";

fn case(ivalt: &StandIn, policy: &str, user: impl Into<Text>) -> Case {
    let case = Case::against(ivalt).users(OWN).synced(SYNCED).user(user);
    let settings = case.settings(ivalt).set("policy", "unenrolled", policy);
    let settings = settings.with_synced(&case.synced_file());
    case.with_settings(&settings).answer("accept-1")
}

fn last_mobile(ivalt: &StandIn) -> String {
    let requests = ivalt.requests();
    let mobile = &requests.last().unwrap()["body"]["mobile"];
    mobile.as_str().unwrap().to_owned()
}

#[sandbox_test]
fn what_is_written_by_hand_always_counts() {
    let ivalt = StandIn::start();
    for (user, row, masked) in [
        ("alice", VERIFIED, "***4746"),
        ("bob", DISABLED, "***0101"),
        ("carol", BAD_ENTRY, ""),
        ("dave", VERIFIED, "***0203"),
        ("erin", DISABLED, "***0204"),
        ("frank", BAD_ENTRY, ""),
        ("first.last", VERIFIED, "***0205"),
        ("mallory", NOT_ENROLLED, ""),
    ] {
        let report = case(&ivalt, "deny", user).run();
        let line = expect(&report, row);
        assert_eq!(line.get("mobile"), masked, "{user}");
        assert_eq!(report.prompts(), [PROMPT], "{user}");
        let told = match row.1 {
            "verified" => vec![],
            _ => vec![NOT_SET_UP],
        };
        assert_eq!(report.told(), told, "{user}");
    }
    let sent: Vec<_> = ivalt
        .requests()
        .iter()
        .map(|request| request["body"]["mobile"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(sent, ["+916283974746", "+14155550203", "+14155550205"]);
}

/// Whoever reads the log knows where to look.
#[sandbox_test]
fn the_cause_names_the_file() {
    let ivalt = StandIn::start();
    let cause = |user: &str, row| {
        let case = case(&ivalt, "deny", user);
        let folder = format!("{}/", case.dir().path().display());
        let cause = expect(&case.run(), row).get("cause");
        cause.replace(&folder, "")
    };
    assert_eq!(
        cause("mallory", NOT_ENROLLED),
        "no entry in users.toml or synced.toml"
    );
    assert_eq!(
        cause("carol", BAD_ENTRY),
        "users.toml:4: carol: must be a mobile in quotes, like \"+14155550100\""
    );
    assert_eq!(
        cause("frank", BAD_ENTRY),
        "synced.toml:8: frank: must be a mobile in quotes, like \"+14155550100\""
    );
    assert_eq!(
        cause("Dave", NOT_ENROLLED),
        "no entry in users.toml or synced.toml; there is one for \"dave\", and names are compared byte for byte"
    );
}

/// Also those who are disabled or bad there.
#[sandbox_test]
fn a_file_that_cannot_be_trusted_touches_only_whom_the_other_does_not_name() {
    if no_root(OWNER) {
        return;
    }
    let ivalt = StandIn::start();
    let corrupted: [(Corrupt, &str); 9] = [
        (
            remove,
            "synced.toml: does not exist; run: ivaltctl users sync",
        ),
        (
            |path| mode(path, 0o664),
            "synced.toml: is writable by group or others (mode 0664); run: chmod go-w /",
        ),
        (
            |path| mode(path, 0o606),
            "synced.toml: is writable by group or others (mode 0606); run: chmod go-w /",
        ),
        (
            give_away,
            "synced.toml: belongs to user id 4242, not to root; run: chown root:root /",
        ),
        (
            link,
            "synced.toml: is a symbolic link; use the real path: readlink -f /",
        ),
        (
            directory,
            "synced.toml: is not a regular file; inspect: ls -ld /",
        ),
        (
            fifo,
            "synced.toml: is not a regular file; inspect: ls -ld /",
        ),
        (
            |path| pad(path, (64 << 20) + 1),
            "synced.toml: is larger than 64 MiB; inspect: ls -l /",
        ),
        (
            |path| std::fs::write(path, "[users]\ndave = \n").unwrap(),
            "synced.toml:2: is not TOML: ",
        ),
    ];
    for (corrupt, sentence) in corrupted {
        let with = |policy: &str, user: &str| {
            let case = case(&ivalt, policy, user);
            corrupt(&case.synced_file());
            case.run()
        };
        let connected = ivalt.connections().len();
        for (policy, user) in [("deny", "dave"), ("deny", "erin"), ("ignore", "mallory")] {
            let report = with(policy, user);
            let line = expect(&report, MISCONFIGURED);
            assert!(line.get("cause").contains(sentence), "{line:?}");
            assert_eq!(report.prompts(), [""; 0]);
        }
        expect(&with("deny", "bob"), DISABLED);
        expect(&with("ignore", "carol"), BAD_ENTRY);
        assert_eq!(ivalt.connections().len(), connected);
        expect(&with("deny", "alice"), VERIFIED);
        assert_eq!(last_mobile(&ivalt), "+916283974746");
    }
}

/// It decides who is disabled: nobody is looked up past it.
#[sandbox_test]
fn without_the_file_written_by_hand_nobody_gets_in() {
    let ivalt = StandIn::start();
    let corrupted: [Corrupt; 3] = [
        remove,
        |path| mode(path, 0o666),
        |path| {
            std::fs::write(path, "[users]\nbob = \n").unwrap();
        },
    ];
    for corrupt in corrupted {
        for user in ["alice", "dave"] {
            let case = case(&ivalt, "ignore", user);
            corrupt(&case.users_file());
            let line = expect(&case.run(), MISCONFIGURED);
            assert!(line.get("cause").contains("/users.toml"), "{line:?}");
        }
    }
    assert_eq!(ivalt.connections().len(), 0);
}

#[sandbox_test]
fn others_may_read_it() {
    let ivalt = StandIn::start();
    let case = case(&ivalt, "deny", "dave");
    mode(&case.synced_file(), 0o644);
    expect(&case.run(), VERIFIED);
}

#[sandbox_test]
fn without_the_setting_it_is_not_read() {
    let ivalt = StandIn::start();
    let case = case(&ivalt, "deny", "dave");
    let settings = case.settings(&ivalt);
    let line = expect(&case.with_settings(&settings).run(), NOT_ENROLLED);
    assert!(line.get("cause").ends_with("/users.toml"), "{line:?}");
}

/// In either file, whatever is said there.
#[sandbox_test]
fn no_policy_ignores_another_spelling_in_either_file() {
    let ivalt = StandIn::start();
    for (user, spelling, file) in [
        ("ALICE", "alice", "users.toml"),
        ("Bob@corp.example", "bob", "users.toml"),
        ("CORP\\carol", "carol", "users.toml"),
        ("Dave", "dave", "synced.toml"),
        ("erin@corp.example", "erin", "synced.toml"),
        ("FRANK", "frank", "synced.toml"),
        ("First.Last", "first.last", "synced.toml"),
    ] {
        let report = case(&ivalt, "ignore", user).run();
        let cause = expect(&report, BAD_ENTRY).get("cause");
        let sentence = format!("/{file}: there is an entry for \"{spelling}\", and names are ");
        assert!(cause.contains(&sentence), "{cause}");
        assert_eq!(report.prompts(), [PROMPT]);
    }
    let report = case(&ivalt, "ignore", "mallory").run();
    expect(&report, IGNORED_UNENROLLED);
    assert_eq!(report.prompts(), [""; 0]);
    assert_eq!(ivalt.connections().len(), 0);
}

/// The fast path of the look-up ends at the first line that it does not know: those that need escapes stand last.
#[sandbox_test]
fn every_form_of_a_name_that_a_sync_writes() {
    let ivalt = StandIn::start();
    let synced = "# ivaltctl users sync\n[users]\n-_9 = \"+14155550200\"\nZoe = \"+14155550201\"\n\
        \"CORP\\\\zoe\" = \"+14155550202\"\n\"a \\\"b\\\"\" = { mobile = \"+14155550203\", enabled = false }\n";
    let with = |user: &str| case(&ivalt, "deny", user).users("").synced(synced).run();
    for (user, mobile) in [("-_9", "0200"), ("Zoe", "0201"), ("CORP\\zoe", "0202")] {
        let line = expect(&with(user), VERIFIED);
        assert_eq!(line.get("mobile"), format!("***{mobile}"), "{user}");
    }
    expect(&with("a \"b\""), DISABLED);
    expect(&with("CORP\\\\zoe"), NOT_ENROLLED);
}

/// The application changes the user while it asks, and the administrator the files.
#[sandbox_test]
fn what_changes_while_the_prompt_is_open() {
    let ivalt = StandIn::start();
    let becomes = |user: &str| Reply {
        set_user: Some(user.into()),
        answer: Some("accept-1".into()),
        ..Reply::default()
    };
    for (user, row) in [
        ("dave", VERIFIED),
        ("erin", DISABLED),
        ("bob", DISABLED),
        ("mallory", NOT_ENROLLED),
    ] {
        let mut case = case(&ivalt, "ignore", "alice");
        case.script.answers = vec![becomes(user).into()];
        expect(&case.run(), row);
    }
    assert_eq!(ivalt.tokens().len(), 1);
    assert_eq!(last_mobile(&ivalt), "+14155550203");
    // From a synced user to one who is looked up in a file that is gone by then.
    let mut case = case(&ivalt, "deny", "dave");
    let away = case.dir().join("away.toml");
    let reply = Reply {
        renames: vec![(case.synced_file(), away)],
        ..becomes("first.last")
    };
    case.script.answers = vec![reply.into()];
    let line = expect(&case.run(), MISCONFIGURED);
    assert!(
        line.get("cause")
            .ends_with("/synced.toml: does not exist; run: ivaltctl users sync"),
        "{line:?}"
    );
    assert_eq!(line.get("mobile"), "");
}

/// A copy of one must not become the other.
#[sandbox_test]
fn one_file_cannot_be_both() {
    let ivalt = StandIn::start();
    let case = case(&ivalt, "deny", "alice");
    let file: &Path = &case.users_file();
    let settings = case.settings(&ivalt).with_synced(file);
    let line = expect(&case.with_settings(&settings).run(), MISCONFIGURED);
    assert!(
        line.get("cause").ends_with(
            "synced_users_file: must be another file than users_file: a sync would replace what is written by hand"
        ),
        "{line:?}"
    );
}
