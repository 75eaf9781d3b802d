//! Recovery codes: who has any, and whether a login could take one.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::time::{SystemTime, UNIX_EPOCH};

use ivalt_core::recovery::store::{CodeFile, Use};
use support::no_root;

use super::{IVALT, System, USERS};

const STORE: &str = "var/lib/ivalt/recovery";
const DAY: u64 = 86_400;

fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs()
}

/// A system that accepts codes, and on which nobody has any.
fn accepting() -> System {
    let system = System::healthy();
    system.append(IVALT, "[recovery]\ncodes = true\n");
    system
}

/// The file of a code, by its number; its name would be a hash.
fn file(user: &str, number: u32) -> String {
    format!("{STORE}/user-{user}/code-{number:064}")
}

fn give(system: &System, user: &str, numbers: std::ops::RangeInclusive<u32>, expires: Option<u64>) {
    for number in numbers {
        let made = now();
        let content = CodeFile {
            number,
            made,
            expires,
        };
        private(system, &file(user, number), &content.text());
    }
    private(
        system,
        &format!("{STORE}/user-{user}/salt"),
        &"x".repeat(32),
    );
}

fn private(system: &System, path: &str, text: &str) {
    system.write(path, text).mode(path, 0o600);
    let folder = std::path::Path::new(path)
        .parent()
        .unwrap()
        .to_str()
        .unwrap()
        .to_owned();
    system.mode(&folder, 0o700).mode(STORE, 0o700);
}

fn used(system: &System, user: &str, number: u32, service: &str) {
    let line = Use::new(number, 1, service.as_bytes(), b"").line();
    let path = format!("{STORE}/user-{user}/used");
    let before = fs::read_to_string(system.path(&path)).unwrap_or_default();
    private(system, &path, &(before + &line));
}

/// A system where alice, who administers it, has codes for long.
pub fn supplied() -> System {
    let system = accepting();
    give(&system, "alice", 1..=10, Some(now() + 365 * DAY));
    system
}

/// The same of the store itself, whatever else is found.
#[track_caller]
fn only_of_store(system: &System) -> (String, String) {
    let checked = system.check();
    let path = format!("/{STORE}");
    let mut findings = checked.findings().iter();
    let found = findings.find(|one| one["file"] == path.as_str()).unwrap();
    let text = |key: &str| found[key].as_str().unwrap().to_owned();
    (text("what"), text("fix"))
}

/// What the only finding says, and how to fix it.
#[track_caller]
fn only(system: &System, expected: &str) -> (String, String) {
    let checked = system.check();
    checked.gives(expected, &[expected]);
    let text = |key: &str| checked.findings()[0][key].as_str().unwrap().to_owned();
    (text("what"), text("fix"))
}

#[test]
fn a_store_in_order_is_no_finding() {
    supplied().check().gives("in order", &[]);
    // Never used, and off: nothing is said.
    System::healthy().check().gives("off", &[]);
    let system = supplied();
    give(&system, "alice", 1..=10, None);
    used(&system, "alice", 11, "sshd");
    private(&system, &format!("{STORE}/exclusive.lock"), "");
    private(&system, &format!("{STORE}/user-alice/last-number"), "11");
    system.check().gives("used", &[]);
}

const NOBODY: &str = "warning recovery-no-administrator /var/lib/ivalt/recovery";

#[test]
fn somebody_who_administers_has_codes() {
    let system = accepting();
    let (what, fix) = only(&system, NOBODY);
    assert_eq!(
        (what.as_str(), fix.as_str()),
        (
            "nobody who administers this machine (alice) has a recovery code: while iVALT cannot be reached, or a phone is lost, \
             none of them gets in through the services that ask iVALT",
            "ivaltctl recovery make alice"
        )
    );
    // Bob may use no sudo.
    give(&system, "bob", 1..=10, None);
    only(&system, NOBODY);
    give(&system, "alice", 1..=10, None);
    system.check().gives("alice has some", &[]);
    // Nobody is asked.
    let system = accepting();
    for service in ["sshd", "sudo", "sudo-i"] {
        system.write(&format!("etc/pam.d/{service}"), "@include common-auth\n");
    }
    system.check().gives("nobody is asked", &[]);
}

#[test]
fn codes_of_an_administrator_who_cannot_use_them_do_not_count() {
    let system = accepting();
    system
        .replace("etc/group", "sudo:x:27:alice", "sudo:x:27:aaron,alice")
        .replace(
            "etc/passwd",
            "alice:x:",
            "aaron:x:1005:1005::/:/bin/sh\nalice:x:",
        );
    give(&system, "aaron", 1..=10, None);
    let fix = || {
        let checked = system.check();
        let mut findings = checked.findings().iter();
        let found = findings.find(|one| one["id"] == "recovery-no-administrator");
        found.expect("it is found")["fix"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    assert_eq!(fix(), "ivaltctl recovery make alice");
    give(&system, "alice", 1..=10, None);
    let disabled = "alice = { mobile = \"+14155550100\", enabled = false }";
    system.replace(USERS, "alice = \"+14155550100\"", disabled);
    assert_eq!(
        fix(),
        "enrol or enable one of them, then: ivaltctl recovery make NAME"
    );
}

#[test]
fn codes_that_have_expired_are_none() {
    let system = accepting();
    give(&system, "alice", 1..=10, Some(now() - 1));
    let expired = "warning recovery-expired /var/lib/ivalt/recovery/user-alice";
    system.check().gives("all of them", &[NOBODY, expired]);
    give(&system, "alice", 1..=4, Some(now() + 40 * DAY));
    let (what, fix) = only(&system, expired);
    assert_eq!(what, "recovery codes 5 to 10 of alice have expired");
    assert_eq!(fix, "ivaltctl recovery make alice --replace");
}

#[test]
fn codes_that_expire_within_thirty_days() {
    let soon = "warning recovery-expires-soon /var/lib/ivalt/recovery/user-alice";
    let system = supplied();
    give(&system, "alice", 3..=3, Some(now() + 29 * DAY));
    let (what, _) = only(&system, soon);
    assert_eq!(what, "recovery code 3 of alice expires within 30 days");
    give(&system, "alice", 3..=3, Some(now() + 31 * DAY));
    system.check().gives("in a month", &[]);
}

#[test]
fn three_or_fewer_left() {
    let few = "warning recovery-few-left /var/lib/ivalt/recovery/user-bob";
    let system = supplied();
    give(&system, "bob", 1..=4, None);
    system.check().gives("four", &[]);
    for left in (0..=3_u32).rev() {
        fs::remove_file(system.path(&file("bob", left + 1))).unwrap();
        used(&system, "bob", left + 1, "sshd");
        let (what, fix) = only(&system, few);
        let word = if left == 1 { "code" } else { "codes" };
        assert_eq!(what, format!("bob has {left} recovery {word} left"));
        assert_eq!(fix, "ivaltctl recovery make bob --replace");
    }
    // Revoked on purpose.
    used(&system, "bob", 9, "ivaltctl");
    system.check().gives("revoked", &[]);
}

#[test]
fn a_code_that_has_come_back() {
    let restored = "warning recovery-code-restored /var/lib/ivalt/recovery/user-alice";
    let system = supplied();
    used(&system, "alice", 3, "sshd");
    let (what, fix) = only(&system, restored);
    assert_eq!(
        what,
        "recovery code 3 of alice was used or revoked before and is there again, as after a restore from a backup or a \
         snapshot: whoever has the sheet gets in once more"
    );
    assert_eq!(fix, "ivaltctl recovery revoke alice 3");
    used(&system, "alice", 7, "ivaltctl");
    let (_, fix) = only(&system, restored);
    assert_eq!(fix, "ivaltctl recovery revoke alice 3 7");
}

#[test]
fn codes_of_nobody_who_is_enrolled() {
    let system = supplied();
    give(&system, "eve", 1..=2, None);
    let (what, fix) = only(
        &system,
        "warning recovery-not-enrolled /var/lib/ivalt/recovery/user-eve",
    );
    assert_eq!(
        what,
        "eve has 2 recovery codes and is not enrolled: they count again for whoever is enrolled under this name"
    );
    assert_eq!(fix, "ivaltctl recovery revoke eve --all");
    system.append(
        USERS,
        "eve = { mobile = \"+14155550105\", enabled = false }\n",
    );
    let disabled = system.check();
    let ids: Vec<_> = disabled.lines();
    assert!(
        !ids.iter()
            .any(|line| line.contains("recovery-not-enrolled")),
        "{ids:?}"
    );
}

#[test]
fn codes_that_no_settings_take() {
    let system = supplied();
    system.replace(IVALT, "codes = true", "codes = false");
    let (what, fix) = only(&system, "warning recovery-off /var/lib/ivalt/recovery");
    assert_eq!(
        what,
        "recovery codes were made for alice, and recovery.codes is false: no login takes them"
    );
    assert_eq!(
        fix,
        "write under [recovery] in /etc/ivalt/ivalt.toml: codes = true\n\
         or, if nobody is to use any: ivaltctl recovery revoke NAME --all"
    );
    // Only that, whatever else is wrong with them.
    system.mode(STORE, 0o777);
    give(&system, "eve", 1..=1, Some(1));
    only(&system, "warning recovery-off /var/lib/ivalt/recovery");
}

#[test]
fn everything_in_the_store_is_closed_to_others() {
    let unsafe_at = |path: &str| format!("warning recovery-store-unsafe /{path}");
    let folder = format!("{STORE}/user-alice");
    let salt = format!("{folder}/salt");
    for (path, mode, wanted) in [
        (STORE, 0o755, 0o700),
        (STORE, 0o770, 0o700),
        (folder.as_str(), 0o750, 0o700),
        (salt.as_str(), 0o644, 0o600),
        (&file("alice", 3), 0o620, 0o600),
    ] {
        let system = supplied();
        system.mode(path, mode);
        let (what, fix) = only(&system, &unsafe_at(path));
        let (consequence, more) = match mode & 0o022 {
            0 => (
                "a login may refuse the codes in it, and others may read their hashes",
                "",
            ),
            _ => (
                "codes in it may be somebody else's",
                "\nthen, since codes may have been put there: ivaltctl recovery make NAME --replace",
            ),
        };
        assert_eq!(
            what,
            format!("has the mode {mode:04o} instead of {wanted:04o}: {consequence}")
        );
        assert_eq!(fix, format!("chmod {wanted:04o} /{path}{more}"));
        system.mode(path, wanted).check().gives(path, &[]);
    }
    // The fix would keep everybody else out of it.
    let system = supplied();
    system
        .mode(STORE, 0o755)
        .write(&format!("{STORE}/apt/lists"), "");
    let (_, fix) = only_of_store(&system);
    assert_eq!(
        fix,
        "it holds other things: write under [recovery] in the settings: directory = a folder for recovery codes alone"
    );
    // A file system of its own.
    let system = supplied();
    let fsck = format!("{STORE}/lost+found");
    fs::create_dir(system.path(&fsck)).unwrap();
    system.check().gives("lost+found", &[]);
    for make in [
        |path: &std::path::Path| symlink("/dev/null", path).unwrap(),
        |path: &std::path::Path| {
            nix::unistd::mkfifo(path, nix::sys::stat::Mode::from_bits_truncate(0o600)).unwrap();
        },
        |path: &std::path::Path| {
            fs::create_dir(path).unwrap();
            fs::set_permissions(path, fs::Permissions::from_mode(0o700)).unwrap();
        },
    ] {
        let system = supplied();
        let path = format!("{folder}/used");
        make(&system.path(&path));
        let checked = system.check();
        let lines = checked.lines();
        assert_eq!(
            lines[0], "warning recovery-store-unsafe /var/lib/ivalt/recovery",
            "{lines:?}"
        );
    }
}

#[test]
fn everything_in_the_store_is_roots() {
    if no_root("gives files away") {
        return;
    }
    let folder = format!("{STORE}/user-alice");
    for path in [STORE, &folder, &file("alice", 3)] {
        let system = supplied();
        std::os::unix::fs::chown(system.path(path), Some(4242), None).unwrap();
        let (what, fix) = only(&system, &format!("warning recovery-store-unsafe /{path}"));
        assert_eq!(
            what,
            "belongs to user id 4242, not to root: codes in it may be somebody else's"
        );
        assert!(
            fix.starts_with(&format!("chown root:root /{path}\n")),
            "{fix}"
        );
    }
}

#[test]
fn a_unit_that_keeps_its_service_from_the_store() {
    let unit = "usr/lib/systemd/system/ssh.service";
    let system = supplied();
    system.write(
        unit,
        "[Service]\nExecStart=/usr/sbin/sshd -D\nProtectSystem=strict\n",
    );
    let expected = format!("warning recovery-not-writable /{unit}:3");
    let (what, fix) = only(&system, &expected);
    assert_eq!(
        what,
        "ssh.service: ProtectSystem=strict keeps sshd from marking a recovery code in /var/lib/ivalt/recovery as used: every \
         code is denied (misconfigured)"
    );
    assert_eq!(
        fix,
        "install -d /etc/systemd/system/ssh.service.d\n\
         printf '[Service]\\nReadWritePaths=-%s\\n' /var/lib/ivalt/recovery > /etc/systemd/system/ssh.service.d/ivalt-recovery.conf\n\
         systemctl daemon-reload; systemctl try-restart ssh.service"
    );
    // The fix is one.
    let drop_in = "etc/systemd/system/ssh.service.d/ivalt-recovery.conf";
    let lines = "[Service]\nReadWritePaths=-/var/lib/ivalt/recovery\n";
    system.write(drop_in, lines).check().gives("fixed", &[]);
    system.write(drop_in, "[Service]\nInaccessiblePaths=/var/lib/ivalt\n");
    let (_, fix) = only(
        &system,
        &format!("warning recovery-not-writable /{drop_in}:2"),
    );
    assert_eq!(
        fix,
        "take the path out of this setting, by a drop-in (systemctl edit ssh.service), or name another recovery.directory"
    );
    // sshd asks no iVALT, or takes no codes.
    system.write("etc/pam.d/sshd", "@include common-auth\n");
    system.check().gives("sshd is not asked", &[]);
}
