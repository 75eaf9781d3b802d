//! `recovery make`.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::process::{Command, Stdio};

use serde_json::json;
use support::sandbox_test;
use support::terminal::Terminal;

use super::{Host, codes, file_of, range};
use crate::tool::{Called, called, in_sandbox, ivaltctl, with_log};

const SHEET: &str = "Recovery codes

  account   alice
  host      HOST
  made      DATE
  valid     until TIME (UTC)

     1   CODE
     2   CODE

How to use one: type it where you are asked for the iVALT token, after password or
key as usual. Capital letters and dashes do not matter. Each code lets alice in once,
on HOST only, also while iVALT is up: cross it out.

Keep this sheet as you keep a key. Nobody can print these codes again. If it is lost,
or somebody may have read it:
  ivaltctl --config CONFIG recovery revoke alice --all
One of them only:
  ivaltctl --config CONFIG recovery revoke alice 1
";

/// The sheet with what is new each time taken out, and its codes.
#[track_caller]
fn without_codes(host: &Host, sheet: &str) -> (String, Vec<String>) {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    let mut found = Vec::new();
    let lines = sheet.lines().map(|line| match line.split_once("   rc-") {
        Some((number, code)) => {
            found.push(format!("rc-{code}"));
            format!("{number}   CODE")
        }
        None if line.starts_with("  made ") => {
            assert_eq!(line.len(), "  made      2026-11-26".len(), "{line}");
            "  made      DATE".to_owned()
        }
        None if line.starts_with("  valid     until ") => "  valid     until TIME (UTC)".to_owned(),
        None => line
            .replace(name.trim(), "HOST")
            .replace(host.config().to_str().unwrap(), "CONFIG"),
    });
    let text = lines.map(|line| line + "\n").collect();
    (text, found)
}

#[test]
fn a_terminal_shows_the_sheet_and_the_disk_has_what_the_module_looks_for() {
    let host = Host::new();
    let mut command = Command::new(env!("CARGO_BIN_EXE_ivaltctl"));
    command.arg("--config").arg(host.config());
    command.args(["recovery", "make", "alice", "--count", "2"]);
    let terminal = Terminal::lend_to(&mut command);
    assert_eq!(command.status().unwrap().code(), Some(0));
    drop(command);
    let (sheet, codes) = without_codes(&host, &terminal.screen().replace("\r\n", "\n"));
    assert_eq!(sheet, SHEET);
    for (index, code) in codes.iter().enumerate() {
        let shape = "rc-xxxx-xxxx-xxxx-xxxx-xx";
        assert_eq!(code.len(), shape.len(), "{code}");
        let content = fs::read_to_string(file_of(&host, "alice", code)).unwrap();
        assert!(
            content.starts_with(&format!("number={}\nmade=", index + 1)),
            "{content}"
        );
    }
    assert_eq!((codes.len(), host.numbers("alice")), (2, range(1, 2)));
    for (path, mode) in [
        (host.folder.join("state"), 0o40700),
        (host.store(), 0o40700),
        (host.user("alice"), 0o40700),
        (host.store().join("exclusive.lock"), 0o100_600),
        (host.user("alice").join("salt"), 0o100_600),
        (host.user("alice").join("last-number"), 0o100_600),
        (file_of(&host, "alice", &codes[0]), 0o100_600),
    ] {
        assert_eq!(fs::metadata(&path).unwrap().mode(), mode, "{path:?}");
    }
    assert_eq!(fs::read(host.user("alice").join("salt")).unwrap().len(), 32);
    assert_eq!(fs::read_dir(host.user("alice")).unwrap().count(), 4);
}

#[test]
fn elsewhere_only_with_stdout() {
    let host = Host::new();
    let why = "standard output is no terminal, and codes that are printed there may be read by others or kept in a file; \
               nothing was changed; if that is meant, add --stdout";
    host.refused(&["recovery", "make", "alice"], why);
    assert!(!host.folder.join("state").exists());
    let called = host.call(&["recovery", "make", "alice", "--json"]);
    let said = json!({"changed": false, "done": "nothing", "refused": why});
    assert_eq!((called.status, called.json()), (1, said));
    let called = host.done(&["recovery", "make", "alice", "--stdout", "--count", "2"]);
    assert_eq!(called.stderr, "");
    assert_eq!(without_codes(&host, &called.stdout).0, SHEET);
}

#[test]
fn the_object_for_programs() {
    let host = Host::new();
    let words = ["recovery", "make", "alice", "--stdout", "--json"];
    let mut object = host.done(&words).json();
    let made = codes(&object);
    let members = object.as_object_mut().unwrap();
    for key in ["codes", "host", "made", "expires"] {
        assert_ne!(members.remove(key), None, "{key}");
    }
    let expected = json!({
        "changed": true, "done": "made", "name": "alice", "replaced": [],
        "directory": host.store().display().to_string(),
    });
    assert_eq!(object, expected);
    assert_eq!(made.len(), 10);
    for (number, code) in made {
        let content = fs::read_to_string(file_of(&host, "alice", &code)).unwrap();
        assert!(content.starts_with(&format!("number={number}\n")));
    }
}

#[test]
fn numbers_go_on_also_after_a_replacement() {
    let host = Host::new();
    host.make(&["alice"]);
    host.make(&["alice", "--count", "2"]);
    assert_eq!(host.numbers("alice"), range(1, 12));
    let salt = fs::read(host.user("alice").join("salt")).unwrap();
    host.done(&["recovery", "revoke", "alice", "12", "11"]);
    let words = [
        "recovery",
        "make",
        "alice",
        "--count",
        "3",
        "--replace",
        "--stdout",
        "--json",
    ];
    let object = host.done(&words).json();
    assert_eq!(object["replaced"], json!(range(1, 10)));
    assert_eq!(host.numbers("alice"), [13, 14, 15]);
    host.done(&["recovery", "revoke", "alice", "--all"]);
    host.make(&["alice", "--count", "1"]);
    assert_eq!(host.numbers("alice"), [16]);
    // Also where the file that says so is lost, as far as others say it.
    fs::remove_file(host.user("alice").join("last-number")).unwrap();
    host.make(&["alice", "--count", "1"]);
    assert_eq!(host.numbers("alice"), [16, 17]);
    assert_eq!(fs::read(host.user("alice").join("salt")).unwrap(), salt);
    host.make(&["bob", "--count", "1"]);
    assert_eq!(host.numbers("bob"), [1]);
    assert_ne!(fs::read(host.user("bob").join("salt")).unwrap(), salt);
}

#[test]
fn codes_expire_when_they_are_told_to() {
    let host = Host::new();
    for (words, seconds) in [
        (&[][..], Some(365 * 86_400)),
        (&["--expires", "90d"], Some(90 * 86_400)),
        (&["--expires", "12h"], Some(43_200)),
        (&["--expires", "never"], None),
    ] {
        host.make(&[&["alice", "--replace", "--count", "1"], words].concat());
        let file = host.files("alice")[0];
        assert_eq!(
            file.expires.map(|time| time - file.made),
            seconds,
            "{words:?}"
        );
    }
}

/// Under the lock of the file that names them, so that no sync takes them away meanwhile.
#[test]
fn synced_users_have_codes() {
    let host = Host::new();
    let file = host.folder.write(
        "synced.toml",
        "[users]\nalice = '+14155550200'\ncarol = '+14155550202'\ndave = '+14155550203'\n\
         erin = { mobile = '+14155550204', enabled = false }\n",
        0o600,
    );
    let settings = fs::read_to_string(host.config()).unwrap();
    let line = format!("synced_users_file = \"{}\"\n", file.display());
    host.folder
        .write("ivalt.toml", format!("{line}{settings}"), 0o600);
    let lock = host.folder.join(".synced.toml.lock");
    host.make(&["alice", "--count", "1"]);
    assert!(!lock.exists());
    host.make(&["dave", "--count", "1"]);
    assert!(lock.exists());
    assert_eq!(
        (host.numbers("alice"), host.numbers("dave")),
        (vec![1], vec![1])
    );
    let config = host.config();
    let command =
        |words: &str| host.short(&format!("ivaltctl --config {} {words}", config.display()));
    let only = "and only enabled users can use recovery codes; nothing was changed";
    for (name, sentence) in [
        (
            "carol",
            format!(
                "carol: is disabled, {only}; enable first: {}",
                command("users enable carol")
            ),
        ),
        (
            "erin",
            format!(
                "erin: is disabled, {only}; enable the account where it is synced from, then: {}",
                command("users sync")
            ),
        ),
        (
            "mallory",
            format!(
                "users.toml or synced.toml: no entry for mallory, and only enrolled users can use recovery codes; \
                 nothing was changed; enrol first: {} MOBILE",
                command("users add mallory")
            ),
        ),
    ] {
        host.refused(&["recovery", "make", name, "--stdout"], &sentence);
    }
    // Whoever is enrolled by hand is not touched by it.
    fs::remove_file(&file).unwrap();
    host.make(&["alice", "--count", "1"]);
    host.refused(
        &["recovery", "make", "dave", "--stdout"],
        "synced.toml: does not exist; run: ivaltctl users sync",
    );
    assert_eq!(
        (host.numbers("alice"), host.numbers("dave")),
        (vec![1, 2], vec![1])
    );
}

#[test]
fn only_enrolled_users_have_codes() {
    let host = Host::new();
    let config = host.config();
    let command =
        |words: &str| host.short(&format!("ivaltctl --config {} {words}", config.display()));
    let make = |name: &str, sentence: &str| {
        host.refused(&["recovery", "make", name, "--stdout"], sentence);
    };
    make(
        "dave",
        &format!(
            "users.toml: no entry for dave, and only enrolled users can use recovery codes; nothing was changed; enrol first: {} MOBILE",
            command("users add dave")
        ),
    );
    make(
        "carol",
        &format!(
            "carol: is disabled, and only enabled users can use recovery codes; nothing was changed; enable first: {}",
            command("users enable carol")
        ),
    );
    make(
        "../x",
        "../x: an account name cannot contain : or /; nothing was changed",
    );
    let long = "a".repeat(251);
    make(
        &long,
        &format!(
            "{long}: the name is too long for a folder of recovery codes; nothing was changed"
        ),
    );
    let called = host.call(&["recovery", "make", "bad", "--stdout"]);
    assert_eq!((called.status, called.stdout.as_str()), (1, ""));
    assert!(
        called.stderr.ends_with("; nothing was changed\n"),
        "{called:?}"
    );
    assert!(!host.folder.join("state").exists());
}

#[test]
fn names_of_directories_stay_in_the_store() {
    let host = Host::new();
    for (name, folder) in [
        ("first.last", "user-first%2elast"),
        ("DOM\\Eve", "user-%44%4f%4d%5c%45ve"),
        ("salt", "user-salt"),
    ] {
        host.done(&["users", "add", name, "+14155550199"]);
        host.make(&[name, "--count", "1"]);
        assert!(host.store().join(folder).is_dir(), "{folder}");
        let listed = host.done(&["recovery", "list", name, "--json"]).json();
        assert_eq!(listed[0]["name"], name);
    }
}

#[test]
fn settings_that_do_not_take_codes_are_pointed_out() {
    let host = Host::new();
    host.settings(false, &host.store());
    let called = host.done(&["recovery", "make", "alice", "--stdout"]);
    assert_eq!(
        host.short(&called.stderr),
        "ivaltctl: warning: recovery.codes is false: no login takes these codes; write under [recovery] in ivalt.toml: codes = true\n"
    );
    assert_eq!(host.numbers("alice"), range(1, 10));
}

#[sandbox_test]
fn a_store_that_a_reboot_empties_must_be_meant() {
    let host = Host::new();
    // /dev is a tmpfs of the sandbox's.
    host.settings(true, "/dev/ivalt/recovery".as_ref());
    let config = host.config();
    let words = [
        "--config",
        config.to_str().unwrap(),
        "recovery",
        "make",
        "alice",
        "--stdout",
    ];
    let refused = in_sandbox(&words);
    assert_eq!((refused.status, refused.stdout.as_str()), (1, ""));
    assert_eq!(
        refused.stderr,
        "ivaltctl: /dev/ivalt/recovery: lies on tmpfs, so that the codes may be gone after a reboot, or used ones back; \
         nothing was changed; write under [recovery] in the settings: directory = a folder on a disk; or add --volatile\n"
    );
    let made = in_sandbox(&[&words[..], &["--volatile"]].concat());
    assert_eq!(made.status, 0, "{made:?}");
}

fn printing_to(host: &Host, stdout: Stdio, words: &[&str]) -> Called {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ivaltctl"));
    command.arg("--config").arg(host.config());
    command
        .args(["recovery", "make", "alice", "--stdout"])
        .args(words);
    command.stdout(stdout).stderr(Stdio::piped());
    called(command.output().unwrap())
}

#[test]
fn what_cannot_be_printed_is_revoked() {
    let host = Host::new();
    host.make(&["alice", "--count", "2"]);
    let mut last = 2;
    for words in [&[][..], &["--json"], &["--replace"]] {
        let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        let (reader, gone) = std::io::pipe().unwrap();
        drop(reader);
        for (stdout, why) in [
            (Stdio::from(full), "No space left on device"),
            (Stdio::from(gone), "Broken pipe"),
        ] {
            let called = printing_to(&host, stdout, words);
            let sentence =
                format!("ivaltctl: the codes cannot be printed: {why}; they were revoked\n");
            assert_eq!((called.status, called.stderr), (1, sentence), "{words:?}");
            assert_eq!(host.numbers("alice"), [1, 2], "{words:?}");
            last += 10;
        }
    }
    // A number that was printed in part is never given again.
    host.make(&["alice", "--count", "1"]);
    assert_eq!(host.numbers("alice"), [1, 2, last + 1]);
}

#[test]
fn what_others_may_have_written_is_not_used() {
    let host = Host::new();
    host.make(&["alice", "--count", "1"]);
    host.make(&["bob", "--count", "1"]);
    let words = ["recovery", "make", "alice", "--stdout"];
    let salt = host.user("alice").join("salt");
    let faults = [
        (host.store(), 0o40777, 0o40700),
        (host.store(), 0o40750, 0o40700),
        (host.user("alice"), 0o40770, 0o40700),
        (salt.clone(), 0o100_640, 0o100_600),
    ];
    for (path, mode, right) in faults {
        let set = |mode: u32| {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode & 0o777)).unwrap()
        };
        set(mode);
        let shown = path.display();
        let sentence = format!(
            "{shown}: has the mode {:04o} instead of {:04o}; nothing was changed; chmod {:04o} {shown}",
            mode & 0o777,
            right & 0o777,
            right & 0o777
        );
        host.refused(&words, &host.short(&sentence));
        set(right);
    }
    // Of another user's folder only that one is refused.
    fs::set_permissions(host.user("bob"), fs::Permissions::from_mode(0o777)).unwrap();
    host.done(&words);
    let elsewhere = host.folder.write("elsewhere", "x".repeat(32), 0o600);
    fs::remove_file(&salt).unwrap();
    symlink(elsewhere, &salt).unwrap();
    let shown = host.short(&salt.display().to_string());
    host.refused(
        &words,
        &format!(
            "{shown}: is not a regular file; nothing was changed; inspect it (ls -la {shown}), then move it out of the store"
        ),
    );
}

/// Neither locks nor folders are left there, and no command is named that would close it to everybody else.
#[test]
fn a_folder_of_something_else_is_no_store() {
    let host = Host::new();
    let other = host.folder.path().join("lib");
    for folder in ["lib", "lib/apt"] {
        fs::create_dir(host.folder.path().join(folder)).unwrap();
    }
    fs::set_permissions(&other, fs::Permissions::from_mode(0o755)).unwrap();
    host.settings(true, &other);
    for words in [
        &["recovery", "make", "alice", "--stdout"][..],
        &["recovery", "revoke", "alice", "--all"],
    ] {
        host.refused(
            words,
            "lib: has the mode 0755 instead of 0700; nothing was changed; it holds other things: write under [recovery] in the \
             settings: directory = a folder for recovery codes alone",
        );
    }
    assert_eq!(fs::read_dir(&other).unwrap().count(), 1);
}

/// With another salt, no code of before could be found.
#[test]
fn a_salt_is_made_once() {
    let host = Host::new();
    host.make(&["alice", "--count", "2"]);
    let salt = host.user("alice").join("salt");
    let user = host.user("alice").display().to_string();
    for damage in ["", "half of one"] {
        match damage {
            "" => fs::remove_file(&salt).unwrap(),
            text => drop(
                host.folder
                    .write("state/recovery/user-alice/salt", text, 0o600),
            ),
        }
        host.refused(
            &["recovery", "make", "alice", "--stdout"],
            &host.short(&format!(
                "{user}: cannot be written: has codes, and no usable file named salt, without which none of them lets in; restore \
                 that file, or make new codes with --replace; nothing was changed"
            )),
        );
    }
    host.make(&["alice", "--count", "2", "--replace"]);
    assert_eq!(host.numbers("alice"), [3, 4]);
    // A power cut behind its making has left it empty, and no code.
    host.done(&["recovery", "revoke", "alice", "--all"]);
    File::create(&salt).unwrap();
    host.make(&["alice", "--count", "1"]);
    assert_eq!(fs::read(&salt).unwrap().len(), 32);
    assert_eq!(host.numbers("alice"), [5]);
}

#[sandbox_test]
fn one_line_in_the_system_log() {
    let host = Host::new();
    let config = host.config();
    let log = |words: &[&str]| {
        let words = [&["--config", config.to_str().unwrap()], words].concat();
        let (called, lines) = with_log(&words, "");
        let lines: Vec<_> = lines
            .iter()
            .map(|line| {
                line.split_once("]: ")
                    .unwrap()
                    .1
                    .split(" by=")
                    .next()
                    .unwrap()
                    .to_owned()
            })
            .collect();
        (called.status, lines)
    };
    let end = format!("directory={}", host.store().display());
    let make = [
        "recovery",
        "make",
        "alice",
        "--stdout",
        "--expires",
        "never",
    ];
    let line = format!("recovery make user=alice numbers=1-10 {end} expires=never");
    assert_eq!(log(&make), (0, vec![line]));
    let revoke = ["recovery", "revoke", "alice", "1", "3", "2", "7"];
    assert_eq!(log(&[&revoke[..], &["--dry-run"]].concat()), (0, vec![]));
    let line = format!("recovery revoke user=alice numbers=\"1-3,7\" {end}");
    assert_eq!(log(&revoke), (0, vec![line]));
    assert_eq!(log(&revoke), (1, vec![]));
    assert_eq!(log(&["recovery", "list"]), (0, vec![]));
    assert_eq!(log(&make[..3]), (1, vec![]));
    let line = "users remove user=alice recovery_codes=6".to_owned();
    let (status, lines) = log(&["users", "remove", "alice"]);
    let short = lines[0].split(" file=").next().unwrap().to_owned();
    assert_eq!((status, short, lines.len()), (0, line, 1));
}

#[test]
fn wrong_usage() {
    for words in [
        &["recovery"][..],
        &["recovery", "make"],
        &["recovery", "make", "alice", "--count", "0"],
        &["recovery", "make", "alice", "--count", "1001"],
        &["recovery", "make", "alice", "--expires", "soon"],
        &["recovery", "make", "alice", "--dry-run"],
        &["recovery", "make", "alice", "--root", "/"],
        &["recovery", "revoke", "alice"],
        &["recovery", "revoke", "alice", "0"],
        &["recovery", "revoke", "alice", "x"],
        &["recovery", "revoke", "alice", "1", "--all"],
        &["recovery", "list", "alice", "bob"],
    ] {
        let called = ivaltctl(words);
        assert_eq!(
            (called.status, called.stdout.as_str()),
            (64, ""),
            "{words:?}"
        );
    }
}
