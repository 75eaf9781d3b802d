//! `ivaltctl users sync` on a host of its own: what it says, what it writes, and what it leaves alone. What follows from what
//! is in the unit tests.

mod guards;
mod interrupted;

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};
use support::{TempDir, ivaltctl_path, sandbox_test};

use crate::tool::{Called, bind_over, heard, piped};

const SETTINGS: &str = "synced_users_file = \"/etc/ivalt/synced.toml\"\n";
const PASSWD: &str = "root:x:0:0::/root:/bin/sh\nbackup:x:34:34::/var/backups:/bin/sh\n";
const FIRST: &str = "alice,+14155550100\nbob,+14155550101\n\"first.last\",+14155550102,no\n";

/// `/etc` and `/var/lib` of a host, below a folder.
struct Host {
    folder: TempDir,
}

impl Host {
    fn new() -> Self {
        Self::with(SETTINGS)
    }

    fn with(settings: &str) -> Self {
        let folder = TempDir::new();
        fs::create_dir_all(folder.join("etc/ivalt")).unwrap();
        fs::create_dir_all(folder.join("lib")).unwrap();
        folder.write("etc/passwd", PASSWD, 0o644);
        folder.write("etc/group", "root:x:0:\n", 0o644);
        folder.write("etc/nsswitch.conf", "passwd: files\ngroup: files\n", 0o644);
        folder.write("etc/ivalt/users.toml", "[users]\n", 0o600);
        folder.write("etc/ivalt/ivalt.toml", settings, 0o600);
        Self { folder }
    }

    /// A host on which these were enrolled by a sync.
    #[track_caller]
    fn synced(rows: &str) -> Self {
        let host = Self::new();
        host.done(&["-"], rows);
        host
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn file(&self) -> PathBuf {
        self.path("etc/ivalt/synced.toml")
    }

    fn memory(&self) -> PathBuf {
        self.path("lib/ivalt/sync/etc%2fivalt%2fsynced.toml")
    }

    fn directory(&self, text: &str) {
        self.folder.write("etc/ivalt/directory.toml", text, 0o600);
    }

    /// `program` with the tool and these words at the end, on this host.
    fn command(&self, program: &[&str], words: &[&str]) -> Command {
        let tool = ivaltctl_path();
        let mut all: Vec<&str> = program.to_vec();
        all.push(tool.to_str().unwrap());
        all.extend(words);
        let mut command = Command::new(all[0]);
        command.args(&all[1..]);
        let binds = [("etc", "/etc"), ("lib", "/var/lib")];
        let binds = binds.map(|(from, to)| (self.path(from), PathBuf::from(to)));
        bind_over(&mut command, binds.to_vec());
        piped(command)
    }

    fn ivaltctl(&self, words: &[&str], typed: &str) -> (Called, Vec<String>) {
        heard(self.command(&[], words), typed)
    }

    fn sync(&self, words: &[&str], typed: &str) -> (Called, Vec<String>) {
        self.ivaltctl(&[&["users", "sync"], words].concat(), typed)
    }

    #[track_caller]
    fn done(&self, words: &[&str], typed: &str) -> Called {
        let (called, _) = self.sync(words, typed);
        assert_eq!(called.status, 0, "{called:?}");
        called
    }

    #[track_caller]
    fn json(&self, words: &[&str], typed: &str) -> Value {
        self.done(&[words, &["--json"]].concat(), typed).json()
    }

    /// Refused with exactly this; nothing on the disk has changed but locks.
    #[track_caller]
    fn refused(&self, words: &[&str], typed: &str, sentence: &str) {
        let before = self.tree();
        let (called, lines) = self.sync(words, typed);
        let said = (
            called.status,
            called.stdout.as_str(),
            called.stderr.as_str(),
        );
        assert_eq!(said, (1, "", format!("ivaltctl: {sentence}\n").as_str()));
        assert_eq!(self.tree(), before);
        let [line] = &lines[..] else {
            panic!("{lines:?}");
        };
        assert!(
            line.contains(" unchanged=0 by=") && line.contains(" outcome=refused cause="),
            "{line}"
        );
    }

    /// The entries of the synced file, without its head.
    fn users(&self) -> String {
        let text = fs::read_to_string(self.file()).unwrap();
        text.split_once("[users]\n").unwrap().1.to_owned()
    }

    /// All files but locks, with mode, inode, time and content.
    fn tree(&self) -> Vec<(PathBuf, u32, u64, i64, Vec<u8>)> {
        let mut found = Vec::new();
        let mut folders = vec![self.folder.path().to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                let metadata = fs::symlink_metadata(&path).unwrap();
                if metadata.is_dir() {
                    folders.push(path);
                } else if metadata.is_file() && path.extension().is_none_or(|end| end != "lock") {
                    let bytes = fs::read(&path).unwrap();
                    found.push((
                        path,
                        metadata.mode(),
                        metadata.ino(),
                        metadata.mtime_nsec(),
                        bytes,
                    ));
                }
            }
        }
        found.sort();
        found
    }
}

#[sandbox_test]
fn a_first_sync_and_one_without_a_change() {
    let host = Host::new();
    let (called, lines) = host.sync(&["-"], FIRST);
    let said = (
        called.status,
        called.stdout.as_str(),
        called.stderr.as_str(),
    );
    let expected = "in step with standard input: 3 added\nadded: alice, bob, first.last\n";
    assert_eq!(said, (0, expected, ""));
    let text = fs::read_to_string(host.file()).unwrap();
    let expected = "# Written by `ivaltctl users sync`, which alone changes it: what is written here by hand is lost. \
                    Source: standard input\n# To deny somebody on this host at once: ivaltctl users disable NAME\n\n[users]\n\
                    alice = \"+14155550100\"\nbob = \"+14155550101\"\n\
                    \"first.last\" = { mobile = \"+14155550102\", enabled = false }\n";
    assert_eq!(text, expected);
    let metadata = fs::metadata(host.file()).unwrap();
    let root = (
        metadata.uid(),
        metadata.gid(),
        metadata.permissions().mode() & 0o7777,
    );
    assert_eq!(
        root,
        (
            nix::unistd::geteuid().as_raw(),
            nix::unistd::getegid().as_raw(),
            0o600
        )
    );
    for (path, mode) in [
        ("lib/ivalt", 0o700),
        ("lib/ivalt/sync", 0o700),
        ("lib/ivalt/last-sync", 0o600),
    ] {
        assert_eq!(
            fs::metadata(host.path(path)).unwrap().mode() & 0o7777,
            mode,
            "{path}"
        );
    }
    assert_eq!(fs::metadata(host.memory()).unwrap().mode() & 0o7777, 0o600);
    let last = fs::read_to_string(host.path("lib/ivalt/last-sync")).unwrap();
    let (time, counts) = last.split_at("2026-11-26T06:20:00Z".len());
    assert!(time.ends_with('Z'), "{last}");
    assert_eq!(
        counts,
        " added=3 removed=0 disabled=0 enabled=0 held=0 problems=0 unchanged=0\n"
    );
    let ends: Vec<_> = lines
        .iter()
        .map(|line| {
            line.split_once("]: ")
                .unwrap()
                .1
                .split(" by=")
                .next()
                .unwrap()
        })
        .collect();
    assert_eq!(
        ends,
        [
            "users sync source=\"standard input\" added=3 removed=0 disabled=0 enabled=0 held=0 problems=0 unchanged=0",
            "users sync user=alice change=added mobile=***0100",
            "users sync user=bob change=added mobile=***0101",
            "users sync user=first.last change=added mobile=***0102",
        ]
    );
    let before = fs::metadata(host.file()).unwrap();
    let (called, lines) = host.sync(&["-"], FIRST);
    assert_eq!(
        (called.status, called.stdout.as_str()),
        (0, "in step with standard input: 3 unchanged\n")
    );
    assert_eq!(lines.len(), 1);
    assert!(
        lines[0].contains(" added=0 ") && lines[0].contains(" unchanged=3 by="),
        "{lines:?}"
    );
    let after = fs::metadata(host.file()).unwrap();
    let facts = |found: &fs::Metadata| (found.ino(), found.mtime_nsec(), found.ctime_nsec());
    assert_eq!(facts(&before), facts(&after));
}

/// Every list, for programs; and the same said without doing it.
#[sandbox_test]
fn json_has_every_list() {
    let rows: String = (0..100)
        .map(|number| format!("u{number:02},+1415555{number:04}\n"))
        .collect();
    let host = Host::synced(
        &(rows.clone()
            + "changed,+14155559000\nleaver,+14155559001\nill,+14155559002\nwell,+14155559003,no\n"),
    );
    let rows = rows
        + "changed,+14155559999\nill,+14155559002,no\nwell,+14155559003\nnew,+14155559004\nbroken,none\nroot,+14155559005\n,+14155559006\n";
    let expected = json!({
        "changed": false,
        "done": "nothing",
        "dry_run": true,
        "would_change": true,
        "added": ["new"],
        "removed": ["leaver"],
        "disabled": ["ill"],
        "enabled": ["well"],
        "held": ["changed"],
        "problems": ["line 107", "root", "broken"],
        "accepted": [],
        "unchanged": 100,
        "file": "/etc/ivalt/synced.toml",
        "source": "standard input",
        "notices": [
            "changed: held: the mobile is ***9999 now and was ***9000; the old one stays; ask changed, not by that number, and if it is theirs: ivaltctl users sync - --accept-changes changed",
            "line 107: the name is empty",
            "root (line 106): is, or may be taken for, the user with the id 0, who is enrolled by hand alone",
            "broken: the mobile contains \"n\"; write it like +14155550100",
        ],
    });
    let before = host.tree();
    let mut said = host.json(&["-", "--dry-run"], &rows);
    sort(&mut said);
    let mut sorted = expected.clone();
    sort(&mut sorted);
    assert_eq!(said, sorted);
    assert_eq!(host.tree(), before);
    let mut said = host.json(&["-"], &rows);
    sort(&mut said);
    let members = sorted.as_object_mut().unwrap();
    members.remove("dry_run");
    members.remove("would_change");
    members.insert("changed".into(), true.into());
    members.insert("done".into(), "synced".into());
    assert_eq!(said, sorted);
}

/// In which order problems are found does not matter.
fn sort(said: &mut Value) {
    for list in ["problems", "notices"] {
        let list = said[list].as_array_mut().unwrap();
        list.sort_by_key(Value::to_string);
    }
}

/// What somebody else wrote is shown, written and logged so that nothing acts on it.
#[sandbox_test]
fn hostile_names_do_no_harm() {
    let host = Host::new();
    let names = [
        "x\u{202e}y",
        "a\u{9b}31m",
        "\"b\" outcome=done",
        "c'd",
        "DOM\\e",
        "#f",
        "[users]",
        "g = \u{1b}",
    ];
    let rows: String = names
        .iter()
        .enumerate()
        .map(|(at, name)| format!("\"{}\",+1415555000{at}\n", name.replace('"', "\"\"")))
        .collect();
    let (called, lines) = host.sync(&["-"], &rows);
    assert_eq!(called.status, 0, "{called:?}");
    let text = called.stdout + &called.stderr + &lines.concat();
    assert!(!text.contains(['\u{202e}', '\u{9b}', '\u{1b}']), "{text}");
    assert!(
        lines
            .iter()
            .any(|line| line.contains("user=\"\\\"b\\\" outcome=done\" change=added")),
        "{lines:?}"
    );
    let said = host.json(&["-"], &rows);
    assert_eq!(said["unchanged"], 6);
    assert_eq!(said["problems"].as_array().unwrap().len(), 2);
    for name in [
        "x\u{202e}y",
        "\"b\" outcome=done",
        "c'd",
        "DOM\\e",
        "#f",
        "[users]",
    ] {
        let path = host.file();
        let text = fs::read(&path).unwrap();
        let format = ivalt_core::settings::MobileFormat::E164;
        let entry = ivalt_core::users::look_up_in(&path, &text, name.as_bytes(), format).unwrap();
        assert!(
            matches!(entry, ivalt_core::users::Entry::Enrolled(_)),
            "{name}"
        );
    }
}

/// From a file, with titles, in the form that the country has.
#[sandbox_test]
fn a_csv_file_with_titles_and_national_numbers() {
    let host = Host::new();
    host.directory(
        "[map]\nlowercase = true\ncountry = \"49\"\ntrunk = \"0\"\ninternational = \"00\"\n",
    );
    let text = "\u{feff}SamAccountName;Enabled;Mobile\r\nAlice;True;0171 5550100\r\nBob;False;0049 171 5550101\r\n";
    fs::write(host.path("etc/people.csv"), text).unwrap();
    let said = host.json(&["/etc/people.csv"], "");
    assert_eq!(said["source"], "/etc/people.csv");
    assert_eq!(
        said["notices"],
        json!([
            "names are read from \"SamAccountName\", mobiles from \"Mobile\", who is disabled from \"Enabled\""
        ])
    );
    assert_eq!(
        host.users(),
        "alice = \"+491715550100\"\nbob = { mobile = \"+491715550101\", enabled = false }\n"
    );
    let again = host.json(
        &[
            "/etc/people.csv",
            "--name-column",
            "SamAccountName",
            "--mobile-column",
            "Mobile",
        ],
        "",
    );
    assert_eq!(
        (&again["changed"], &again["unchanged"]),
        (&json!(false), &json!(2))
    );
}
