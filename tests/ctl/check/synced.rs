//! The synced file beside users.toml: the same findings, with fixes that fit, and none about people of a directory.

use std::fs;
use std::os::unix::fs::symlink;
use std::time::{Duration, SystemTime};

use super::{IVALT, System, USERS, all_give, nothing};

const SYNCED: &str = "etc/ivalt/synced.toml";
const NAMES_IT: &str = "synced_users_file = \"/etc/ivalt/synced.toml\"\n";
/// Bob and others, whom the machine need not know.
const PEOPLE: &str = "[users]\nbob = \"+14155550101\"\nzoe = \"+14155550110\"\nyan = { mobile = \"+14155550111\", enabled = false }\n";

/// Alice is written by hand, bob synced.
fn synced(system: &System) -> &System {
    let settings = fs::read_to_string(system.path(IVALT)).unwrap();
    system
        .write(IVALT, &format!("{NAMES_IT}{settings}"))
        .replace(USERS, "bob = \"+14155550101\"\n", "")
        .write(SYNCED, PEOPLE)
}

#[test]
fn a_synced_file() {
    all_give(&[
        (
            "missing",
            |s| synced(s).remove(SYNCED),
            &["locks-out users-missing /etc/ivalt/synced.toml"],
            |s| synced(s),
        ),
        (
            "writable",
            |s| synced(s).mode(SYNCED, 0o660),
            &["locks-out users-untrusted /etc/ivalt/synced.toml"],
            |s| synced(s).mode(SYNCED, 0o400),
        ),
        (
            "readable",
            |s| synced(s).mode(SYNCED, 0o644),
            &["warning users-readable /etc/ivalt/synced.toml"],
            |s| synced(s).mode(SYNCED, 0o640),
        ),
        (
            "not TOML",
            |s| synced(s).append(SYNCED, "carol = \n"),
            &["locks-out users-invalid /etc/ivalt/synced.toml:5"],
            nothing,
        ),
        (
            "not UTF-8",
            |s| synced(s).write_bytes(SYNCED, b"[users]\n# \xff"),
            &["locks-out users-invalid /etc/ivalt/synced.toml:2"],
            nothing,
        ),
        (
            "bad entry",
            |s| synced(s).replace(SYNCED, "zoe = \"+", "zoe = \""),
            &["locks-out bad-entry /etc/ivalt/synced.toml:3"],
            // The entry by hand counts.
            |s| {
                synced(s)
                    .replace(SYNCED, "bob = \"+", "bob = \"")
                    .append(USERS, "bob = \"+14155550101\"\n")
            },
        ),
        (
            "twice",
            |s| synced(s).append(SYNCED, "zoe = \"+14155550112\"\n"),
            &["locks-out name-twice /etc/ivalt/synced.toml:5"],
            nothing,
        ),
        (
            "one mobile in both files",
            |s| synced(s).replace(SYNCED, "+14155550110", "+14155550100"),
            &["warning shared-mobile /etc/ivalt/synced.toml"],
            |s| {
                synced(s)
                    .replace(SYNCED, "+14155550101", "+14155550100")
                    .append(USERS, "bob = \"+14155550101\"\n")
            },
        ),
        (
            "a spelling in both files",
            |s| synced(s).replace(SYNCED, "zoe", "ALICE"),
            &["warning name-spellings /etc/ivalt/synced.toml"],
            |s| synced(s).replace(SYNCED, "zoe", "alice"),
        ),
        (
            "names that no account has",
            |s| synced(s).replace(SYNCED, "bob", "\"bob@corp.example\""),
            &["warning unknown-account /etc/ivalt/synced.toml"],
            |s| {
                synced(s)
                    .replace(SYNCED, "bob", "\"bob@corp.example\"")
                    .write("etc/nsswitch.conf", "passwd: files systemd sss\n")
            },
        ),
        (
            "nobody in either",
            |s| {
                synced(s)
                    .write(USERS, "[users]\n")
                    .write(SYNCED, "[users]\n")
                    .write("etc/group", "")
            },
            &["locks-out nobody-enrolled /etc/ivalt/users.toml"],
            |s| synced(s).write(USERS, "[users]\n").write("etc/group", ""),
        ),
        (
            "an administrator in neither",
            |s| {
                synced(s)
                    .write("etc/group", "sudo:x:27:alice,carol\n")
                    .append("etc/passwd", "carol:x:1002:1002::/home/carol:/bin/bash\n")
            },
            &["warning privileged-not-enrolled /etc/ivalt/users.toml"],
            |s| synced(s).write("etc/group", "sudo:x:27:alice,bob\n"),
        ),
    ]);
}

/// None of them removes what the next sync would bring back, or writes into a file of the tool's.
#[test]
fn the_fixes_fit_a_synced_file() {
    type Case = (fn(&System), &'static str, &'static str);
    let cases: [Case; 6] = [
        (
            |s| _ = s.remove(SYNCED),
            "does not exist: everybody whom /etc/ivalt/users.toml does not name is denied (misconfigured)",
            "ivaltctl users sync",
        ),
        (
            |s| _ = s.write(SYNCED, "x = 1\n"),
            "\"x\" is outside [users]: everybody whom /etc/ivalt/users.toml does not name is denied \
             (misconfigured)",
            "mv /etc/ivalt/synced.toml /etc/ivalt/synced.toml.damaged && ivaltctl users sync",
        ),
        (
            |s| _ = s.append(SYNCED, "x = 1\n"),
            "x: must be a mobile in quotes, like \"+14155550100\": this user is denied (bad-entry)",
            "ivaltctl users sync",
        ),
        (
            |s| _ = s.replace(SYNCED, "+14155550110", "+14155550100"),
            "alice and zoe share one mobile: its holder passes iVALT for all of these accounts",
            "if that is not intended: correct zoe in the source of users sync; to deny at once: ivaltctl users disable zoe",
        ),
        (
            |s| _ = s.replace(SYNCED, "zoe", "ALICE"),
            "alice and ALICE differ in case, realm or domain alone: where they are one account, each entry is a way in by itself",
            "if they are one account: take ALICE out of the source of users sync; to deny at once: ivaltctl users disable ALICE",
        ),
        (
            |s| {
                s.replace(
                    SYNCED,
                    "\"+14155550101\"",
                    "{ mobile = \"+14155550101\", enabled = false }",
                )
                .write("etc/group", "sudo:x:27:alice,bob\n");
            },
            "bob is privileged and disabled, and cannot log in through sshd, sudo, sudo-i",
            "if that is not intended: enable bob in the source of users sync, then: ivaltctl users sync",
        ),
    ];
    for (fault, what, fix) in cases {
        let system = System::healthy();
        synced(&system);
        fault(&system);
        let report = system.check().report;
        let found = &report["findings"][0];
        assert_eq!(
            (&found["what"], &found["fix"]),
            (&what.into(), &fix.into()),
            "{report:#}"
        );
    }
}

/// Where nobody but a synced user can help: recovery codes, keys, root's password.
#[test]
fn synced_users_are_enrolled_users() {
    let system = System::healthy();
    synced(&system)
        .write(USERS, "[users]\n")
        .write("etc/group", "sudo:x:27:bob\n");
    system
        .check()
        .gives("the only administrator is synced", &[]);
    system.write(
        SYNCED,
        "[users]\nzoe = \"+14155550110\"\nalice = \"+14155550112\"\n",
    );
    system.check().gives(
        "and then is not",
        &[
            "locks-out no-administrator-enrolled /etc/ivalt/users.toml",
            "warning privileged-not-enrolled /etc/ivalt/users.toml",
        ],
    );
    // Root with a password, whom sshd lets in.
    let system = System::healthy();
    let root = |s: &System| _ = synced(s).replace("etc/shadow", "root:*", "root:$y$x");
    root(&system);
    system.append("etc/ssh/sshd_config", "PermitRootLogin yes\n");
    let found = system.check().lines();
    assert!(
        found
            .iter()
            .any(|line| line.starts_with("warning sshd-root-not-enrolled ")),
        "{found:?}"
    );
    system.append(SYNCED, "root = \"+14155550113\"\n");
    system.check().gives("root is synced", &[]);
}

#[test]
fn networks_that_are_not_asked() {
    all_give(&[
        (
            "two halves",
            |s| {
                s.append(
                    IVALT,
                    "[policy]\n exempt_networks = [\"0.0.0.0/1\", \"128.0.0.0/1\"]\n",
                )
            },
            &["lets-in exempt-halves /etc/ivalt/ivalt.toml:4"],
            |s| {
                s.append(IVALT, "[policy]\nexempt_networks = [\"10.0.0.0/8\", \"172.16.0.0/12\", \"2001:db8::/32\"]\n")
            },
        ),
        (
            "every address of IPv6",
            |s| {
                s.append(
                    IVALT,
                    "[policy]\nexempt_networks = [\"10.0.0.0/8\", \"2000::/3\"]\n",
                )
            },
            &["lets-in exempt-halves /etc/ivalt/ivalt.toml:4"],
            |s| s.append(IVALT, "[policy]\nexempt_networks = [\"fd00::/8\"]\n"),
        ),
    ]);
}

const MEMORY: &str = "var/lib/ivalt/sync/etc%2fivalt%2fsynced.toml";

/// What earlier syncs wrote: these names.
fn remember(system: &System, names: &[&str]) {
    let count = names.len();
    let mut text = format!(
        "{{\"version\":1,\"file\":\"/etc/ivalt/synced.toml\",\"time\":1,\"wall\":1,\"names\":{count}}}\n"
    );
    for name in names {
        text += &format!("{{\"name\":\"{name}\",\"known\":{{\"mobile\":\"+14155550199\"}}}}\n");
    }
    system
        .write(MEMORY, &text)
        .mode(MEMORY, 0o600)
        .mode("var/lib/ivalt/sync", 0o700)
        .mode("var/lib/ivalt", 0o700);
}

/// With `unenrolled = "ignore"` whoever is in neither file is let in: leavers are kept there, disabled.
#[test]
fn leavers_who_are_let_in() {
    let system = System::healthy();
    synced(&system).append(IVALT, "[policy]\nunenrolled = \"ignore\"\n");
    let tolerant = "warning unenrolled-ignored /etc/ivalt/ivalt.toml:5";
    system.check().gives("no memory", &[tolerant]);
    remember(&system, &["alice", "bob", "yan", "zoe"]);
    system
        .check()
        .gives("all are in one of the files", &[tolerant]);
    remember(&system, &["alice", "bob", "xenia", "yan", "zack", "zoe"]);
    let checked = system.check();
    checked.gives(
        "two are gone",
        &["lets-in leavers-let-in /etc/ivalt/synced.toml", tolerant],
    );
    let found = &checked.report["findings"][0];
    assert_eq!(
        found["what"],
        "xenia and 1 more: written by users sync before and now in neither file; with policy.unenrolled = \"ignore\" they need \
         no token"
    );
    assert_eq!(found["fix"], "ivaltctl users sync");
    system.replace(IVALT, "ignore", "deny");
    system.check().gives("who is in neither is denied", &[]);
}

/// In seconds before now.
fn utc(ago: u64) -> String {
    let time = SystemTime::now() - Duration::from_secs(ago);
    let seconds = time
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap()
        .as_secs();
    let output = std::process::Command::new("date")
        .args(["-u", "-d", &format!("@{seconds}"), "+%Y-%m-%dT%H:%M:%SZ"])
        .output();
    String::from_utf8(output.unwrap().stdout)
        .unwrap()
        .trim()
        .to_owned()
}

/// The timer as it is shipped, enabled so many seconds ago.
fn timer(system: &System, ago: u64) {
    let unit = "usr/lib/systemd/system/ivaltctl-sync.timer";
    system.write(
        unit,
        "[Timer]\nOnCalendar=hourly\nRandomizedDelaySec=15min\n",
    );
    let wants = system.path("etc/systemd/system/timers.target.wants");
    fs::create_dir_all(&wants).unwrap();
    let link = wants.join("ivaltctl-sync.timer");
    let _ = fs::remove_file(&link);
    symlink("/usr/lib/systemd/system/ivaltctl-sync.timer", &link).unwrap();
    let touched = std::process::Command::new("touch")
        .args(["-h", "-d", &utc(ago)])
        .arg(&link)
        .status();
    assert!(touched.unwrap().success());
}

#[test]
fn a_sync_that_is_too_old() {
    const OLD: [&str; 1] = ["warning sync-old /var/lib/ivalt/last-sync"];
    const LAST: &str = "var/lib/ivalt/last-sync";
    let noted = |system: &System, ago: u64| {
        let text = format!("{} added=0 removed=0\n", utc(ago));
        system.write(LAST, &text);
    };
    let system = System::healthy();
    synced(&system);
    noted(&system, 1_000_000);
    system.check().gives("the timer is not enabled", &[]);
    timer(&system, 1_000_000);
    let checked = system.check();
    checked.gives("days ago", &OLD);
    assert_eq!(
        checked.report["findings"][0]["what"],
        "ivaltctl-sync.timer is enabled, and the last complete sync was 11 days ago: changes of the directory do not come here, and \
         who leaves stays enrolled"
    );
    noted(&system, 3 * 3600 + 60);
    system.check().gives("three hours ago", &OLD);
    noted(&system, 3 * 3600 - 60);
    system.check().gives("less than three hours ago", &[]);
    noted(&system, 3 * 3600 + 60);
    timer(&system, 60);
    system.check().gives("enabled since then", &[]);
    timer(&system, 1_000_000);
    let daily = "etc/systemd/system/ivaltctl-sync.timer.d/daily.conf";
    system.write(daily, "[Timer]\nOnCalendar=\nOnCalendar=*-*-* 04:00\n");
    system.check().gives("once a day", &[]);
    noted(&system, 4 * 86_400);
    system.check().gives("once a day, four days ago", &OLD);
    system.write(LAST, "yesterday\n");
    system.check().gives("a time that cannot be read", &OLD);
    system.remove(LAST);
    let checked = system.check();
    checked.gives("never", &OLD);
    assert!(
        checked.report["findings"][0]["what"]
            .as_str()
            .unwrap()
            .contains("and no sync was completed since then: ")
    );
    timer(&system, 60);
    system.check().gives("enabled a minute ago", &[]);
}

#[test]
fn a_description_of_the_directory_that_cannot_be_used() {
    const DIRECTORY: &str = "etc/ivalt/directory.toml";
    const RIGHT: &str = "[map]\nlowercase = true\n";
    all_give(&[
        (
            "readable by others",
            |s| synced(s).write(DIRECTORY, RIGHT).mode(DIRECTORY, 0o644),
            &["warning directory-unusable /etc/ivalt/directory.toml"],
            |s| synced(s).write(DIRECTORY, RIGHT),
        ),
        (
            "an unknown key",
            |s| synced(s).write(DIRECTORY, "[map]\nlowercases = true\n"),
            &["warning directory-unusable /etc/ivalt/directory.toml:2"],
            |s| synced(s).write(DIRECTORY, "[guard]\nlose_percent = 20\n"),
        ),
        (
            "not UTF-8",
            |s| synced(s).write_bytes(DIRECTORY, b"# \xff\n"),
            &["warning directory-unusable /etc/ivalt/directory.toml"],
            nothing,
        ),
    ]);
}
