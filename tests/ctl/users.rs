//! `ivaltctl users`: what it says, what it writes, and what it leaves alone.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::PathBuf;
use std::process::Command;

use serde_json::json;

use crate::tool::{Called, ivaltctl, with_config};
use support::codes::{PAM_SUCCESS, PAM_USER_UNKNOWN};
use support::{Case, StandIn, TempDir, no_root, no_stage};

/// A folder with settings that lack the API key, as on the day of the installation.
pub struct Office {
    pub folder: TempDir,
}

impl Office {
    pub fn empty() -> Self {
        let folder = TempDir::new();
        let settings = format!("users_file = \"{}\"\n", folder.join("users.toml").display());
        folder.write("ivalt.toml", settings, 0o600);
        Self { folder }
    }

    pub fn with(text: &str) -> Self {
        let office = Self::empty();
        office.folder.write("users.toml", text, 0o600);
        office
    }

    fn national(self) -> Self {
        let users = self.users_file();
        let settings = format!(
            "users_file = \"{}\"\n[token]\nmobile_format = \"national\"\n",
            users.display()
        );
        self.folder.write("ivalt.toml", settings, 0o600);
        self
    }

    pub fn config(&self) -> PathBuf {
        self.folder.join("ivalt.toml")
    }

    pub fn users_file(&self) -> PathBuf {
        self.folder.join("users.toml")
    }

    pub fn call(&self, words: &[&str]) -> Called {
        self.typed(words, "")
    }

    fn typed(&self, words: &[&str], typed: &str) -> Called {
        with_config(&self.config(), &[&["users"], words].concat(), typed)
    }

    pub fn text(&self) -> String {
        fs::read_to_string(self.users_file()).expect("users.toml")
    }

    /// A sentence with the folder's name taken out.
    fn short(&self, text: &str) -> String {
        text.replace(&format!("{}/", self.folder.path().display()), "")
            .replace(&format!("{}", self.folder.path().display()), "FOLDER")
    }

    #[track_caller]
    pub fn done(&self, words: &[&str]) -> Called {
        let called = self.call(words);
        assert_eq!(called.status, 0, "{called:?}");
        called
    }

    /// Refused with exactly this, and nothing changed.
    #[track_caller]
    fn refused(&self, words: &[&str], sentence: &str) {
        let before = fs::read(self.users_file()).ok();
        let called = self.call(words);
        assert_eq!(
            (
                called.status,
                called.stdout.as_str(),
                self.short(&called.stderr).as_str()
            ),
            (1, "", format!("ivaltctl: {sentence}\n").as_str())
        );
        assert_eq!(fs::read(self.users_file()).ok(), before);
        assert!(!self.folder.join(".users.toml.new").exists());
    }
}

const FILE: &str = "# head\r
[users]   # all of them\r
root = \"+91 6283 974746\"   # the admin\r
\r
  # on leave\r
\t\"first.last\" = { mobile = '+14155550100', enabled = false } # till May\r
bin.mobile = \"+14155550101\"\r
bad = 5\r
twice = '+14155550103'\r
twice = '+14155550103'\r
\r
# her own table\r
[users.daemon]\r
mobile = \"+14155550102\"\r
# the end";

#[test]
fn what_stands_there_is_listed_as_a_login_would_read_it() {
    let office = Office::with(FILE);
    let called = office.done(&["list"]);
    assert_eq!(
        office.short(&called.stdout),
        "root        ***4746  enabled\n\
         first.last  ***0100  disabled\n\
         bin         ***0101  enabled\n\
         bad         -        bad: users.toml:8: bad: must be a mobile in quotes, like \"+14155550100\"\n\
         twice       -        bad: users.toml:10: twice: stands twice, in lines 9 and 10; keep one\n\
         daemon      ***0102  enabled\n"
    );
    assert_eq!(
        called.stderr,
        "ivaltctl: warning: first.last: this machine knows no such account\n\
         ivaltctl: warning: bad: this machine knows no such account\n\
         ivaltctl: warning: twice: this machine knows no such account\n"
    );
    assert_eq!(office.text(), FILE);
}

#[test]
fn the_list_for_machines_masks_mobiles_too() {
    let office = Office::with("[users]\nroot = '+14155550100'\nbin = { mobile = '1' }\n");
    let called = office.done(&["list", "--json"]);
    let why = format!(
        "{}:3: bin: the mobile is not E.164; write + and 7 to 15 digits, like +14155550100",
        office.users_file().display()
    );
    assert_eq!(
        called.json(),
        json!([
            {"name": "root", "mobile": "***0100", "state": "enabled"},
            {"name": "bin", "mobile": null, "state": "bad", "reason": why},
        ])
    );
    assert_eq!(Office::with("").done(&["list", "--json"]).json(), json!([]));
    assert_eq!(
        Office::with("").done(&["list"]).stdout,
        "nobody is enrolled\n"
    );
}

#[test]
fn who_is_shown_is_shown_whole() {
    let office = Office::with(FILE);
    assert_eq!(
        office.done(&["show", "root"]).stdout,
        "name     root\nmobile   +916283974746\nstate    enabled\naccount  known to this machine\n"
    );
    assert_eq!(
        office.done(&["show", "first.last", "--json"]).json(),
        json!({"name": "first.last", "mobile": "+14155550100", "state": "disabled", "account": false})
    );
    assert_eq!(
        office.short(&office.done(&["show", "twice"]).stdout),
        "name     twice\nmobile   -\nstate    bad\n\
         reason   users.toml:10: twice: stands twice, in lines 9 and 10; keep one\n\
         account  not known to this machine\n"
    );
    let config = office.config();
    office.refused(
        &["show", "nobody"],
        &office.short(&format!(
            "users.toml: no entry for nobody; add one: ivaltctl --config {} users add nobody MOBILE",
            config.display()
        )),
    );
}

#[test]
fn foreign_text_does_not_reach_the_terminal_raw() {
    let office =
        Office::with("[users]\n\"a\\u001b[31m\\u202e\" = 5\nb = { \"\\u001b]0;x\\u0007\" = 1 }\n");
    for words in [["list", "--"].as_slice(), &["show", "b"], &["disable", "b"]] {
        let called = office.call(words);
        let said = [called.stdout, called.stderr].concat();
        assert!(!said.contains(['\x1b', '\x07', '\u{202e}']), "{said:?}");
        assert!(said.contains("\\u{1b}"), "{said:?}");
    }
}

/// Every form of an entry through the program: what is untouched stays byte for byte.
#[test]
fn only_what_is_meant_is_changed() {
    const TWICE: &str = "twice = '+14155550103'\r\ntwice = '+14155550103'\r\n";
    type Change<'a> = (&'a [&'a str], &'a str, &'a str);
    let added = format!("{TWICE}new = \"+14155550199\"\r\n");
    let changes: [Change; 13] = [
        (&["add", "new", "+1 415-555.0199"], TWICE, &added),
        (
            &["remove", "root"],
            "root = \"+91 6283 974746\"   # the admin\r\n",
            "",
        ),
        (
            &["remove", "first.last"],
            "\t\"first.last\" = { mobile = '+14155550100', enabled = false } # till May\r\n",
            "",
        ),
        (&["remove", "bin"], "bin.mobile = \"+14155550101\"\r\n", ""),
        (&["remove", "bad"], "bad = 5\r\n", ""),
        (&["remove", "twice"], TWICE, ""),
        (
            &["remove", "daemon"],
            "[users.daemon]\r\nmobile = \"+14155550102\"\r\n",
            "",
        ),
        (
            &["enable", "first.last"],
            "{ mobile = '+14155550100', enabled = false } ",
            "'+14155550100' ",
        ),
        (
            &["disable", "root"],
            "\"+91 6283 974746\" ",
            "{ mobile = \"+91 6283 974746\", enabled = false } ",
        ),
        (
            &["disable", "bin"],
            "+14155550101\"\r\n",
            "+14155550101\"\r\nbin.enabled = false\r\n",
        ),
        (
            &["disable", "daemon"],
            "+14155550102\"\r\n",
            "+14155550102\"\r\nenabled = false\r\n",
        ),
        (&["enable", "root"], "", ""),
        (&["disable", "first.last"], "", ""),
    ];
    for (words, before, after) in changes {
        let office = Office::with(FILE);
        office.done(words);
        assert_eq!(office.text(), FILE.replacen(before, after, 1), "{words:?}");
    }
}

#[test]
fn disabled_and_enabled_again_is_byte_for_byte_the_same() {
    let office = Office::with(FILE);
    assert_eq!(office.done(&["disable", "root"]).stdout, "root: disabled\n");
    assert_eq!(
        office.done(&["disable", "root"]).stdout,
        "root: is disabled already\n"
    );
    assert!(
        office
            .done(&["show", "root"])
            .stdout
            .contains("state    disabled\n")
    );
    assert_eq!(office.done(&["enable", "root"]).stdout, "root: enabled\n");
    assert_eq!(office.text(), FILE);
}

#[test]
fn what_was_done_for_machines() {
    let office = Office::with("[users]\n");
    let file = office.users_file().display().to_string();
    let unknown = "no.body: this machine knows no such account";
    for (words, said) in [
        (
            ["add", "no.body", "+14155550100"].as_slice(),
            json!({"done": "added", "name": "no.body", "mobile": "***0100", "file": file, "warnings": [unknown]}),
        ),
        (
            &["disable", "no.body"],
            json!({"done": "disabled", "name": "no.body", "file": file, "warnings": []}),
        ),
        (
            &["disable", "no.body"],
            json!({"done": "nothing", "name": "no.body", "state": "disabled", "file": file, "warnings": []}),
        ),
        (
            &["enable", "no.body"],
            json!({"done": "enabled", "name": "no.body", "file": file, "warnings": []}),
        ),
        (
            &["remove", "no.body"],
            json!({"done": "removed", "name": "no.body", "file": file, "warnings": []}),
        ),
    ] {
        assert_eq!(
            office.done(&[words, &["--json"]].concat()).json(),
            said,
            "{words:?}"
        );
    }
    assert_eq!(office.text(), "[users]\n");
}

#[test]
fn a_byte_order_mark_and_a_missing_line_end_do_no_harm() {
    for (before, after) in [
        (
            "\u{feff}[users]\nroot = '+14155550100'",
            "\u{feff}[users]\nroot = '+14155550100'\nbin = \"+14155550101\"\n",
        ),
        (
            "\u{feff}users.root = '+14155550100'",
            "\u{feff}users.root = '+14155550100'\nusers.bin = \"+14155550101\"\n",
        ),
        (
            "users = { root = '+14155550100' }",
            "users = { root = '+14155550100', bin = \"+14155550101\" }",
        ),
    ] {
        let office = Office::with(before);
        office.done(&["add", "bin", "+14155550101"]);
        assert_eq!(office.text(), after);
        office.done(&["remove", "root"]);
        assert_eq!(office.done(&["list"]).stdout, "bin  ***0101  enabled\n");
    }
}

#[test]
fn names_and_mobiles_that_cannot_be_are_refused() {
    let office = Office::with("[users]\n");
    let name = "no account can have a name with : or /; nothing was changed";
    for (words, sentence) in [
        (["add", "", "+14155550100"], ": the name is empty; nothing was changed".to_owned()),
        (["add", "a:b", "+14155550100"], format!("a:b: {name}")),
        (["add", "../a", "+14155550100"], format!("../a: {name}")),
        (
            ["add", "a\nb", "+14155550100"],
            "a\\nb: the name holds a control character; nothing was changed".to_owned(),
        ),
        (
            ["add", "alice", "4155550100"],
            "alice: the mobile is not E.164; write + and 7 to 15 digits, like +14155550100; nothing was changed"
                .to_owned(),
        ),
    ] {
        office.refused(&words, &sentence);
    }
    assert_eq!(office.call(&["add", "-rf", "+14155550100"]).status, 64);
    assert_eq!(office.call(&["add", "alice"]).status, 64);
    for name in [
        "DOM\\user",
        "user@realm",
        "first.last",
        "o'brien",
        "say \"hi\"",
        "m\u{fc}ller",
    ] {
        office.done(&["add", name, "+14155550100"]);
        assert!(
            office
                .done(&["show", name])
                .stdout
                .contains("state    enabled"),
            "{name}"
        );
    }
}

#[test]
fn national_mobiles_stay_as_written() {
    let office = Office::with("[users]\n").national();
    office.done(&["add", "root", "0628 397-4746"]);
    assert_eq!(office.text(), "[users]\nroot = \"0628 397-4746\"\n");
    let called = office.done(&["add", "bin", "06283974746"]);
    assert_eq!(
        called.stderr,
        "ivaltctl: warning: root, bin: have the same mobile ***4746\n"
    );
    office.refused(
        &["add", "daemon", "12"],
        "daemon: the mobile is not a number; write 7 to 15 digits, like 4155550100; nothing was changed",
    );
}

#[test]
fn who_stands_there_already_is_not_added() {
    let office = Office::with(FILE);
    let tool = format!(
        "ivaltctl --config {} users",
        office.short(&office.config().display().to_string())
    );
    for (words, sentence) in [
        (
            ["add", "root", "+916283974746"],
            "users.toml:3: root stands here already with this mobile; nothing was changed"
                .to_owned(),
        ),
        (
            ["add", "root", "+14155550100"],
            format!(
                "users.toml:3: root stands here already; to change the mobile: {tool} remove root && {tool} add root +14155550100"
            ),
        ),
        (
            ["add", "first.last", "+14155550100"],
            format!(
                "users.toml:6: first.last stands here already with this mobile, disabled; let the person in again: {tool} enable first.last"
            ),
        ),
        (
            ["add", "twice", "+14155550100"],
            format!(
                "users.toml:10: twice: stands twice, in lines 9 and 10; keep one; nothing was changed; fix it, or take it out first: {tool} remove twice"
            ),
        ),
    ] {
        office.refused(&words, &sentence);
    }
    office.refused(
        &["disable", "bad"],
        "users.toml:8: bad: must be a mobile in quotes, like \"+14155550100\"; nothing was changed",
    );
    for verb in ["remove", "enable", "disable"] {
        let sentence = format!("users.toml: no entry for Root; add one: {tool} add Root MOBILE");
        office.refused(&[verb, "Root"], &sentence);
    }
}

#[test]
fn a_name_without_its_quotes_is_left_to_a_person() {
    let office = Office::with("[users]\nfirst.last = '+14155550100'\nalice.disabled = true\n");
    let quotes = "a name with dots needs quotes; write \"first.last\" = \"+14155550100\"";
    for name in ["first.last", "first"] {
        let sentence = format!(
            "users.toml: {name} would not read as wanted afterwards (users.toml:2: {name}: {quotes}); nothing was changed; change it with an editor"
        );
        office.refused(&["remove", name], &sentence);
    }
    office.refused(
        &["remove", "alice"],
        "users.toml: alice would not read as wanted afterwards (users.toml:3: alice: \"disabled\" is not known here; known are mobile and enabled); nothing was changed; change it with an editor",
    );
}

#[test]
fn two_with_one_mobile_are_pointed_out() {
    let office = Office::with("[users]\nroot = '+14155550100'\n");
    let called = office.done(&["add", "bin", "+1 415 555 0100"]);
    let warning = "ivaltctl: warning: root, bin: have the same mobile ***0100\n";
    assert_eq!(called.stderr, warning);
    assert_eq!(office.done(&["list"]).stderr, warning);
    assert_eq!(office.done(&["add", "daemon", "+14155550101"]).stderr, "");
}

#[test]
fn a_file_that_the_module_refuses_is_refused_in_its_words() {
    for (text, sentence) in [
        ("[users]\nroot = +\n", "users.toml:2: is not TOML: "),
        (
            "root = '+14155550100'\n",
            "users.toml:1: \"root\" stands outside [users]; move it below the line [users]",
        ),
        (
            "[users]\n[users]\n",
            "users.toml:2: [users] stands twice; keep one",
        ),
    ] {
        let office = Office::with(text);
        for words in [
            &["list"][..],
            &["show", "x"],
            &["add", "x", "+14155550100"],
            &["remove", "x"],
            &["disable", "x"],
        ] {
            let called = office.call(words);
            let stderr = office.short(&called.stderr);
            assert_eq!(
                (called.status, called.stdout.as_str()),
                (1, ""),
                "{words:?}"
            );
            assert!(
                stderr.starts_with(&format!("ivaltctl: {sentence}")),
                "{stderr}"
            );
            assert_eq!(office.text(), text);
        }
    }
    let office = Office::empty();
    fs::write(office.users_file(), b"[users]\nm\xfc = 1\n").unwrap();
    office.refused(
        &["list"],
        "users.toml:2: is not UTF-8; write the file again as UTF-8 text",
    );
}

#[test]
fn the_trust_rules_hold_for_changes() {
    let office = Office::with("[users]\n");
    let file = office.users_file();
    fs::set_permissions(&file, PermissionsExt::from_mode(0o620)).unwrap();
    let sentence =
        "users.toml: is writable by group or others (mode 0620); run: chmod go-w users.toml";
    office.refused(&["add", "root", "+14155550100"], sentence);
    fs::rename(&file, office.folder.join("real.toml")).unwrap();
    symlink(office.folder.join("real.toml"), &file).unwrap();
    let sentence = "users.toml: is a symbolic link; name the file itself: readlink -f users.toml";
    for words in [
        &["add", "root", "+14155550100"][..],
        &["remove", "root"],
        &["list"],
    ] {
        office.refused(words, sentence);
    }
    assert!(fs::symlink_metadata(&file).unwrap().is_symlink());
}

#[test]
fn the_first_user_makes_the_file() {
    let office = Office::empty();
    office.refused(
        &["list"],
        "users.toml: does not exist; create it: install -o root -g root -m 0600 /dev/null users.toml",
    );
    office.done(&["add", "root", "+916283974746"]);
    let sample = include_str!("../../conf/users.toml");
    assert_eq!(office.text(), format!("{sample}root = \"+916283974746\"\n"));
    assert_eq!(
        fs::metadata(office.users_file()).unwrap().mode() & 0o7777,
        0o600
    );
}

#[test]
fn a_folder_that_is_not_there_is_not_made() {
    let office = Office::empty();
    let settings = format!(
        "users_file = \"{}/no/users.toml\"\n",
        office.folder.path().display()
    );
    office.folder.write("ivalt.toml", settings, 0o600);
    office.refused(
        &["add", "root", "+916283974746"],
        "no: does not exist; create it: install -d -o root -g root -m 0755 no",
    );
}

#[test]
fn owner_group_mode_and_label_stay() {
    if no_root("gives files away") {
        return;
    }
    let office = Office::with("[users]\n");
    let file = office.users_file();
    chown(&file, Some(0), Some(4242)).unwrap();
    fs::set_permissions(&file, PermissionsExt::from_mode(0o640)).unwrap();
    let (name, label) = ("security.selinux", b"system_u:object_r:etc_t:s0\0");
    // Not every file system of a test machine can hold it.
    let labelled = rustix::fs::setxattr(&file, name, label, rustix::fs::XattrFlags::empty());
    office.done(&["add", "root", "+916283974746"]);
    let now = fs::metadata(&file).unwrap();
    assert_eq!(
        (now.uid(), now.gid(), now.mode() & 0o7777),
        (0, 4242, 0o640)
    );
    if labelled.is_ok() {
        let mut read = [0; 64];
        let length = rustix::fs::getxattr(&file, name, &mut read).unwrap();
        assert_eq!(&read[..length], label);
    }
}

#[test]
fn a_new_file_belongs_to_root_in_a_folder_of_a_group() {
    if no_root("gives folders away") {
        return;
    }
    let office = Office::empty();
    chown(office.folder.path(), Some(0), Some(4242)).unwrap();
    fs::set_permissions(office.folder.path(), PermissionsExt::from_mode(0o2755)).unwrap();
    office.done(&["add", "root", "+916283974746"]);
    let now = fs::metadata(office.users_file()).unwrap();
    assert_eq!((now.uid(), now.gid(), now.mode() & 0o7777), (0, 0, 0o600));
}

#[test]
fn without_root_the_way_is_named() {
    if no_root("becomes somebody else") {
        return;
    }
    let office = Office::with("[users]\n");
    let program = office.folder.join("ivaltctl");
    // By another process: a test that forks meanwhile would keep a copy of ours open for writing (ETXTBSY).
    let copied = Command::new("cp")
        .arg(env!("CARGO_BIN_EXE_ivaltctl"))
        .arg(&program)
        .status();
    assert!(copied.unwrap().success());
    fs::set_permissions(office.folder.path(), PermissionsExt::from_mode(0o755)).unwrap();
    let config = office.config();
    let nobody = |words: &[&str]| {
        let mut command = Command::new(&program);
        std::os::unix::process::CommandExt::uid(&mut command, 65534);
        command
            .arg("--config")
            .arg(&config)
            .arg("users")
            .args(words);
        let output = command.output().unwrap();
        assert_eq!(
            (output.status.code(), output.stdout.as_slice()),
            (Some(1), b"".as_slice())
        );
        office.short(&String::from_utf8(output.stderr).unwrap())
    };
    let sudo = "sudo ivaltctl --config ivalt.toml users";
    assert_eq!(
        nobody(&["list"]),
        format!("ivaltctl: ivalt.toml: must not be read by you; run: {sudo} list\n")
    );
    // As an administrator may leave them, and the module accepts with another effective user id.
    fs::set_permissions(&config, PermissionsExt::from_mode(0o600)).unwrap();
    chown(&config, Some(65534), None).unwrap();
    assert_eq!(
        nobody(&["show", "a b"]),
        format!("ivaltctl: users.toml: must not be read by you; run: {sudo} show 'a b'\n")
    );
    assert_eq!(
        nobody(&["add", "root", "+916283974746"]),
        format!(
            "ivaltctl: users.toml: must not be changed by you; run: {sudo} add root +916283974746\n"
        )
    );
}

#[test]
fn settings_need_not_be_complete_but_not_broken() {
    let office = Office::with("[users]\n");
    for (text, sentence) in [
        (
            "[token]\nattempts = 0\n",
            "ivalt.toml:2: token.attempts: must be a whole number from 1 to 10",
        ),
        (
            "users = 1\n",
            "ivalt.toml:1: users: is not a setting; here it is one of `users_file`, `api`, `token`, `policy`",
        ),
        (
            "[api]\nkey = \"secret\"\nkey_file = \"/x\"\n",
            "ivalt.toml:3: api.key_file: stands beside api.key; keep one of the two",
        ),
        (
            "[api]\nclient_id = \"x\"\n",
            "ivalt.toml:2: api.client_id: needs api.client_secret beside it",
        ),
        (
            "[token]\nmin_length = 9\nmax_length = 8\n",
            "ivalt.toml:2: token.min_length: must not be larger than token.max_length",
        ),
    ] {
        office.folder.write("ivalt.toml", text, 0o600);
        office.refused(&["add", "root", "+916283974746"], sentence);
    }
    // A path that was typed and is not there must not end in the machine's own users.
    fs::remove_file(office.config()).unwrap();
    let sentence = "ivalt.toml: does not exist; create it: install -o root -g root -m 0600 /dev/null ivalt.toml";
    office.refused(&["add", "root", "+916283974746"], sentence);
}

#[test]
fn without_settings_the_defaults_are_named() {
    if fs::exists("/etc/ivalt").unwrap_or(true) {
        return;
    }
    let called = ivaltctl(&["users", "list"]);
    assert_eq!(
        (called.status, called.stderr.as_str()),
        (
            1,
            "ivaltctl: note: /etc/ivalt/ivalt.toml does not exist; going on with its defaults: /etc/ivalt/users.toml, E.164 mobiles\n\
             ivaltctl: /etc/ivalt/users.toml: does not exist; create it: install -o root -g root -m 0600 /dev/null /etc/ivalt/users.toml\n"
        )
    );
}

/// What the tool writes, the module reads.
#[test]
fn logins_follow() {
    if no_stage() {
        return;
    }
    let ivalt = StandIn::start();
    let case = Case::against(&ivalt).user("first.last").answer("accept-1");
    let after = |words: &[&str]| {
        let called = with_config(&case.config(), &[&["users"], words].concat(), "");
        assert_eq!(called.status, 0, "{called:?}");
        let report = case.run();
        (report.code(), report.log_line().reason())
    };
    let unknown = |reason: &str| (PAM_USER_UNKNOWN, reason.to_owned());
    let verified = (PAM_SUCCESS, "verified".to_owned());
    assert_eq!(after(&["list"]), unknown("not-enrolled"));
    assert_eq!(after(&["add", "first.last", "+91 6283-974746"]), verified);
    assert_eq!(after(&["disable", "first.last"]), unknown("disabled"));
    assert_eq!(after(&["enable", "first.last"]), verified);
    assert_eq!(after(&["remove", "first.last"]), unknown("not-enrolled"));
}

#[test]
fn a_csv_file_is_imported_whole() {
    let office = Office::with(
        "[users]\nroot = '+14155550100'\nsync = { mobile = '+14155550101', enabled = false }\n",
    );
    let rows = "\u{feff}Name;Mobile;Enabled\r\nbin;+1 415 555 0102;\r\nroot;+14155550100;yes\r\n\
        sync;+14155550101;false\r\nfirst.last;+14155550103;no\r\n";
    let called = office.typed(&["import", "-"], rows);
    assert_eq!(
        (
            called.status,
            called.stdout.as_str(),
            called.stderr.as_str()
        ),
        (
            0,
            "2 users added; there already: root, sync\n",
            "ivaltctl: warning: first.last: this machine knows no such account\n"
        )
    );
    let expected = "[users]\nroot = '+14155550100'\nsync = { mobile = '+14155550101', enabled = false }\n\
        bin = \"+14155550102\"\n\"first.last\" = { mobile = \"+14155550103\", enabled = false }\n";
    assert_eq!(office.text(), expected);
    let inode = fs::metadata(office.users_file()).unwrap().ino();
    let again = office.typed(&["import", "-", "--json"], rows);
    assert_eq!(
        again.json()["skipped"],
        json!(["bin", "first.last", "root", "sync"])
    );
    assert_eq!(again.json()["added"], 0);
    assert_eq!(fs::metadata(office.users_file()).unwrap().ino(), inode);
}

#[test]
fn one_bad_row_and_nothing_is_imported() {
    let office = Office::with("[users]\nroot = '+14155550100'\nsync = 5\n");
    let csv = office.folder.write(
        "new.csv",
        "name,mobile\nbin,+14155550102\nroot,+14155550199\nsync,+14155550103\nbin,+14155550102\ngames,0\n\n,+14155550104\n",
        0o644,
    );
    let csv = csv.to_str().unwrap();
    office.refused(
        &["import", csv],
        "new.csv:3: root: stands otherwise in users.toml:2 already\n\
         ivaltctl: new.csv:4: sync: has a bad entry already: users.toml:3: sync: must be a mobile in quotes, like \"+14155550100\"\n\
         ivaltctl: new.csv:5: bin: stands in line 2, too; keep one\n\
         ivaltctl: new.csv:6: games: the mobile is not E.164; write + and 7 to 15 digits, like +14155550100\n\
         ivaltctl: new.csv:8: the name is empty\n\
         ivaltctl: 5 rows are refused; nothing was changed",
    );
    let called = office.typed(&["import", "-"], "bin,+14155550102,perhaps\n");
    assert_eq!(
        called.stderr,
        "ivaltctl: standard input:1: bin: enabled must be true or false\n\
         ivaltctl: 1 row is refused; nothing was changed\n"
    );
    office.refused(
        &["import", "/no/such.csv"],
        "/no/such.csv: cannot be read (No such file or directory (os error 2))",
    );
}
