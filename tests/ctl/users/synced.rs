//! The other commands beside a synced file: what is written by hand counts, and the file of `users sync` is not touched.

use std::fs;

use serde_json::{Value, json};

use super::Store;
use support::codes::{PAM_SUCCESS, PAM_USER_UNKNOWN};
use support::{Case, StandIn, sandbox_test};

const OWN: &str =
    "[users]\nroot = \"+14155550100\"\nbin = { mobile = \"+14155550101\", enabled = false }\n";
const SYNCED: &str = "# by ivaltctl users sync\n[users]\nalice = \"+14155550102\"\nbin = \"+14155550103\"\ncarol = { mobile = \"+14155550104\", enabled = false }\nbad = 5\n";
const BY_DISABLE: &str = "alice = { mobile = \"+14155550102\", enabled = false }  # by `ivaltctl users disable`: counts in place of the synced entry\n";

/// Nothing here changes the synced file.
struct Both(Store);

impl Both {
    fn with(own: &str, synced: &str) -> Self {
        let store = Store::with(own);
        let folder = &store.folder;
        let settings = format!(
            "users_file = {:?}\nsynced_users_file = {:?}\n",
            folder.join("users.toml"),
            folder.join("synced.toml")
        );
        folder.write("ivalt.toml", settings, 0o600);
        folder.write("synced.toml", synced, 0o600);
        Self(store)
    }

    fn new() -> Self {
        Self::with(OWN, SYNCED)
    }

    /// Status, standard output and error, and users.toml afterwards, without the folder's name.
    #[track_caller]
    fn call(&self, words: &[&str]) -> (i32, String, String, String) {
        let synced = self.0.folder.join("synced.toml");
        let before = fs::read(&synced).ok();
        let called = self.0.call(words);
        assert_eq!(fs::read(&synced).ok(), before, "{words:?}");
        let config = format!("--config {} ", self.0.config().display());
        let short = |text: &str| self.0.short(&text.replace(&config, ""));
        (
            called.status,
            short(&called.stdout),
            short(&called.stderr),
            self.0.text(),
        )
    }

    #[track_caller]
    fn done(&self, words: &[&str], said: &str, own: &str) {
        assert_eq!(
            self.call(words),
            (0, said.to_owned(), String::new(), own.to_owned()),
            "{words:?}"
        );
    }

    #[track_caller]
    fn refused(&self, words: &[&str], why: &str) {
        let before = self.0.text();
        let expected = (1, String::new(), format!("ivaltctl: {why}\n"), before);
        assert_eq!(self.call(words), expected, "{words:?}");
    }

    fn json(&self, words: &[&str]) -> Value {
        let text = self.0.call(&[words, &["--json"]].concat()).stdout;
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
    }
}

#[test]
fn the_list_says_which_file_has_whom() {
    let both = Both::new();
    let (status, said, errors, _) = both.call(&["list"]);
    assert_eq!((status, errors.as_str()), (0, ""));
    let said: Vec<_> = said.lines().map(str::split_whitespace).collect();
    let said: Vec<_> = said
        .into_iter()
        .map(|words| words.collect::<Vec<_>>().join(" "))
        .collect();
    assert_eq!(
        said,
        [
            "root ***0100 users.toml enabled",
            "bin ***0101 users.toml disabled; the entry in synced.toml does not count",
            "alice ***0102 synced.toml enabled",
            "carol ***0104 synced.toml disabled",
            "bad - synced.toml bad: synced.toml:6: bad: must be a mobile in quotes, like \"+14155550100\"",
        ]
    );
    let [own, synced] = ["users.toml", "synced.toml"].map(|name| both.0.folder.join(name));
    let listed = both.json(&["list"]);
    assert_eq!(
        [&listed[0], &listed[1], &listed[2]],
        [
            &json!({"name": "root", "mobile": "***0100", "state": "enabled", "file": own}),
            &json!({"name": "bin", "mobile": "***0101", "state": "disabled", "file": own, "covers": synced}),
            &json!({"name": "alice", "mobile": "***0102", "state": "enabled", "file": synced}),
        ]
    );
}

#[test]
fn show_says_which_file_counts() {
    let both = Both::new();
    let (_, said, _, _) = both.call(&["show", "bin"]);
    assert_eq!(
        said,
        "name     bin\nmobile   +14155550101\nstate    disabled\nfile     users.toml\ncovers   the entry in synced.toml, \
         which does not count\naccount  known to this machine\n"
    );
    let (_, said, _, _) = both.call(&["show", "alice"]);
    assert_eq!(
        said,
        "name     alice\nmobile   +14155550102\nstate    enabled\nfile     synced.toml\naccount  not known to this machine\n"
    );
    assert_eq!(
        both.json(&["show", "alice"]),
        json!({
            "name": "alice", "mobile": "+14155550102", "state": "enabled", "account": false,
            "file": both.0.folder.join("synced.toml"),
        })
    );
    both.refused(
        &["show", "nobody"],
        "users.toml or synced.toml: no entry for nobody; add one: ivaltctl users add nobody MOBILE",
    );
}

/// One that cannot be read does not hide the other.
#[test]
fn a_file_that_cannot_be_read_does_not_hide_the_other() {
    let both = Both::with(OWN, "[users]\nx = \n");
    let (status, said, errors, _) = both.call(&["list"]);
    assert_eq!(status, 1);
    assert_eq!(said.lines().count(), 2, "{said}");
    assert!(
        errors.starts_with("ivaltctl: synced.toml:2: is not TOML: "),
        "{errors}"
    );
    assert_eq!(both.json(&["list"]).as_array().unwrap().len(), 2);
    let both = Both::with("[users]\nx = \n", SYNCED);
    let (status, said, errors, _) = both.call(&["list"]);
    assert_eq!((status, said.lines().count()), (1, 4), "{said}");
    assert!(errors.contains("users.toml:2: is not TOML: "), "{errors}");
    let both = Both::with("[users]\nx = \n", "[users]\ny = \n");
    let (status, said, errors, _) = both.call(&["list"]);
    assert_eq!((status, said.as_str()), (1, ""));
    assert!(
        errors.contains("users.toml:2: is not TOML: ")
            && errors.contains("synced.toml:2: is not TOML: ")
    );
    // Who is written by hand is not touched by it.
    let both = Both::with(OWN, "[users]\nx = \n");
    assert_eq!(both.call(&["show", "root"]).0, 0);
    assert_eq!(both.call(&["disable", "root"]).0, 0);
    assert_eq!(both.call(&["show", "alice"]).0, 1);
}

#[test]
fn disabled_by_hand_and_enabled_again() {
    let both = Both::new();
    let own = format!("{OWN}{BY_DISABLE}");
    both.done(
        &["disable", "alice"],
        "alice: disabled; the entry in users.toml counts, whatever synced.toml says\n",
        &own,
    );
    both.done(&["disable", "alice"], "alice: is already disabled\n", &own);
    let shown = both.json(&["show", "alice"]);
    assert_eq!(
        (&shown["state"], &shown["covers"]),
        (
            &json!("disabled"),
            &json!(both.0.folder.join("synced.toml"))
        )
    );
    both.done(
        &["enable", "alice"],
        "alice: enabled; the entry in synced.toml counts again\n",
        OWN,
    );
    both.done(&["enable", "alice"], "alice: is already enabled\n", OWN);
    // Whoever is disabled by the directory may be enabled there at any time.
    let carol = BY_DISABLE.replace("alice", "carol").replace("0102", "0104");
    both.done(
        &["disable", "carol"],
        "carol: disabled; the entry in users.toml counts, whatever synced.toml says\n",
        &format!("{OWN}{carol}"),
    );
}

/// The entry that denies stays where nothing would let the user in by right.
#[test]
fn enable_refuses_where_the_directory_decides() {
    let both = Both::new();
    let carol = "synced.toml: carol is disabled there, and the source of `ivaltctl users sync` decides that; nothing was \
                 changed; enable carol in the source, then run: ivaltctl users sync";
    both.refused(&["enable", "carol"], carol);
    both.call(&["disable", "carol"]);
    both.refused(&["enable", "carol"], carol);
    both.call(&["disable", "alice"]);
    both.0.folder.write("synced.toml", "[users]\n", 0o600);
    both.refused(
        &["enable", "alice"],
        "synced.toml: alice is no longer there, so that nothing but the entry in users.toml is left, which denies; nothing was \
         changed; to enrol alice by hand: ivaltctl users remove alice && ivaltctl users add alice MOBILE",
    );
    both.0
        .folder
        .write("synced.toml", "[users]\nalice = 5\n", 0o600);
    both.refused(
        &["enable", "alice"],
        "synced.toml:2: alice: must be a mobile in quotes, like \"+14155550100\"; nothing was changed",
    );
    // Written by hand in another way, it is the administrator's.
    let both = Both::with(
        &format!("{OWN}{}", BY_DISABLE.split('#').next().unwrap()),
        SYNCED,
    );
    assert_eq!(both.call(&["enable", "alice"]).1, "alice: enabled\n");
    assert_eq!(both.json(&["show", "alice"])["mobile"], "+14155550102");
}

#[test]
fn a_synced_user_is_not_removed() {
    let both = Both::new();
    both.refused(
        &["remove", "alice"],
        "synced.toml: alice is there by `ivaltctl users sync`, and would be again; nothing was changed; use users disable: \
         ivaltctl users disable alice",
    );
    both.refused(
        &["remove", "bin"],
        "users.toml:3: bin is in synced.toml as well, whose entry would count instead; nothing was changed; to deny bin, use \
         users disable: ivaltctl users disable bin; to have the synced entry count, delete line 3 of users.toml",
    );
    both.done(
        &["remove", "root"],
        "root: removed\n",
        &OWN.replace("root = \"+14155550100\"\n", ""),
    );
    both.refused(
        &["remove", "nobody"],
        "users.toml or synced.toml: no entry for nobody; add one: ivaltctl users add nobody MOBILE",
    );
    let both = Both::with(OWN, "[users]\nx = \n");
    let (status, _, errors, own) = both.call(&["remove", "root"]);
    assert_eq!((status, own.as_str()), (1, OWN));
    let end = "; nothing was changed; to deny root meanwhile: ivaltctl users disable root\n";
    assert!(errors.ends_with(end), "{errors}");
}

#[test]
fn an_entry_by_hand_counts_from_then_on() {
    let both = Both::new();
    let (status, said, _, own) = both.call(&["add", "alice", "+14155550199"]);
    assert_eq!(
        (status, said.as_str(), own.as_str()),
        (
            0,
            "alice: added with the mobile ***0199\n\
             alice: the entry written by hand counts now, not that of synced.toml\n",
            format!("{OWN}alice = \"+14155550199\"\n").as_str()
        )
    );
    assert_eq!(both.json(&["show", "alice"])["mobile"], "+14155550199");
    let both = Both::new();
    let rows = both.0.folder.write(
        "rows.csv",
        "alice,+14155550199\nbin,+14155550101,no\nnew,+14155550198\n",
        0o600,
    );
    let said = both.json(&["import", &rows.display().to_string()]);
    let notice = format!(
        "alice: the entry written by hand counts now, not that of {}",
        both.0.folder.join("synced.toml").display()
    );
    assert_eq!(
        (&said["notices"], &said["added"]),
        (&json!([notice]), &json!(2))
    );
}

/// Of both files, as far as their entries count.
#[test]
fn shared_mobiles_are_warned_of_over_both_files() {
    let shared = |name: &str, mobile: &str| {
        let said = Both::new().json(&["add", name, mobile]);
        let warnings = said["warnings"].as_array().unwrap().clone();
        let warnings = warnings.iter().filter_map(Value::as_str);
        warnings
            .filter(|warning| warning.contains("same mobile"))
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    assert_eq!(
        shared("new", "+1 415 555 0102"),
        ["new, alice: have the same mobile ***0102"]
    );
    // The synced entry of bin does not count.
    assert_eq!(shared("new", "+14155550103"), [""; 0]);
    // Nor does hers, once there is one by hand.
    assert_eq!(shared("alice", "+14155550102"), [""; 0]);
    let both = Both::with(OWN, &SYNCED.replace("0102", "0100"));
    assert!(
        both.call(&["list"])
            .2
            .contains("warning: root, alice: have the same mobile ***0100\n")
    );
}

#[test]
fn a_dry_run_changes_neither_file() {
    let both = Both::new();
    for words in [
        ["disable", "alice"].as_slice(),
        &["add", "alice", "+14155550199"],
    ] {
        let (status, said, _, own) = both.call(&[words, &["--dry-run"]].concat());
        assert_eq!((status, own.as_str()), (0, OWN), "{said}");
        assert!(said.contains("(dry run: nothing was changed)"), "{said}");
    }
    assert!(!both.0.folder.join("users.toml.lock").exists());
}

/// The login agrees.
#[sandbox_test]
fn a_login_of_a_synced_user_obeys_disable_and_enable() {
    let ivalt = StandIn::start();
    let both = Both::new();
    let login = |user: &str| {
        let case = Case::against(&ivalt);
        let settings = case.settings(&ivalt).text();
        let own = format!("users_file = {:?}", case.users_file());
        let files = format!(
            "users_file = {:?}\nsynced_users_file = {:?}",
            both.0.users_file(),
            both.0.folder.join("synced.toml")
        );
        assert!(settings.contains(&own), "{settings}");
        let case = case.settings_text(&settings.replace(&own, &files));
        case.user(user).answer("accept-1").run().code()
    };
    assert_eq!(login("alice"), PAM_SUCCESS);
    both.call(&["disable", "alice"]);
    assert_eq!(login("alice"), PAM_USER_UNKNOWN);
    both.call(&["enable", "alice"]);
    assert_eq!(login("alice"), PAM_SUCCESS);
    assert_eq!(login("carol"), PAM_USER_UNKNOWN);
}
