//! `ivalt.toml`, `key_file` and `ca_file` in every state a file can be in: each denies with file and fix.
//! The messages about its contents are held by the unit tests of `src/core/settings.rs`.

use std::fs;
use std::os::unix::fs::chown;
use std::path::Path;

use crate::corrupt::*;
use crate::expect::*;
use support::{Case, StandIn, no_root, sandbox_test};

/// What no file of ours may be, and what the administrator reads after `PATH: `; `PATH` in it means the path.
const CORRUPTED: [(Corrupt, &str); 11] = [
    (
        remove,
        "does not exist; create it: install -o root -g root -m 0600 /dev/null PATH",
    ),
    (
        link,
        "is a symbolic link; use the real path: readlink -f PATH",
    ),
    (directory, "is not a regular file; inspect: ls -ld PATH"),
    (fifo, "is not a regular file; inspect: ls -ld PATH"),
    (socket, "is not a regular file; inspect: ls -ld PATH"),
    (
        link_to_nothing,
        "is a symbolic link; use the real path: readlink -f PATH",
    ),
    (
        give_away,
        "belongs to user id 4242, not to root; run: chown root:root PATH",
    ),
    (
        |path| mode(path, 0o620),
        "is writable by group or others (mode 0620); run: chmod FIX PATH",
    ),
    (
        |path| mode(path, 0o602),
        "is writable by group or others (mode 0602); run: chmod FIX PATH",
    ),
    (
        |path| pad(path, (1 << 20) + 1),
        "is larger than 1 MiB; inspect: ls -l PATH",
    ),
    (
        |path| pad(path, 2 << 20),
        "is larger than 1 MiB; inspect: ls -l PATH",
    ),
];

/// Modes that only a file with a secret must not have.
const READABLE: [(Corrupt, &str); 3] = [
    (
        |path| mode(path, 0o640),
        "holds a secret and is readable by group or others (mode 0640); run: chmod 0600 PATH",
    ),
    (
        |path| mode(path, 0o604),
        "holds a secret and is readable by group or others (mode 0604); run: chmod 0600 PATH",
    ),
    (
        |path| mode(path, 0o644),
        "holds a secret and is readable by group or others (mode 0644); run: chmod 0600 PATH",
    ),
];

/// Refused without a question and without a connection, and the log says why.
#[track_caller]
fn refused(case: Case, path: &Path, prefix: &str, sentence: &str, fix: &str) {
    let report = case.answer("accept-1").run();
    let line = expect(&report, MISCONFIGURED);
    assert_eq!(line.get("user"), "alice");
    let path = path.display().to_string();
    let whole = format!(
        "{prefix}{path}: {}",
        sentence.replace("PATH", &path).replace("FIX", fix)
    );
    assert_eq!(line.get("cause"), whole[..whole.len().min(256)]);
    assert_eq!(report.prompts(), [] as [&str; 0]);
}

#[sandbox_test]
fn settings_that_cannot_be_trusted() {
    if no_root(OWNER) {
        return;
    }
    let ivalt = StandIn::start();
    for (corrupt, sentence) in CORRUPTED.iter().chain(&READABLE) {
        let case = Case::against(&ivalt);
        let path = case.config();
        corrupt(&path);
        refused(case, &path, "", sentence, "0600");
    }
    assert_eq!(ivalt.connections().len(), 0);
}

#[sandbox_test]
fn settings_that_are_no_text() {
    let ivalt = StandIn::start();
    for (text, sentence) in [
        (
            &b""[..],
            ": api.key: is missing; set it, or api.key_file, under [api]",
        ),
        (
            b"[api]\nkey = \"k\xff\"\n",
            ":2: is not UTF-8; write the file again as UTF-8 text",
        ),
        (
            b"[api]\nkey = \"SECRET\n",
            ":2: is not TOML: invalid basic string",
        ),
        (
            b"[api]\nkey = \"k\"\nkeys = 1\n",
            ":3: api.keys: unknown setting; expected one of `url`, `key`, ",
        ),
    ] {
        let case = Case::against(&ivalt);
        case.dir().write("ivalt.toml", text, 0o600);
        let path = case.config().display().to_string();
        let cause = expect(&case.run(), MISCONFIGURED).get("cause");
        assert!(cause.starts_with(&format!("{path}{sentence}")), "{cause}");
        assert!(!cause.contains("SECRET"), "{cause}");
    }
}

#[sandbox_test]
fn the_largest_settings_are_read() {
    let ivalt = StandIn::start();
    let case = Case::against(&ivalt).answer("accept-1");
    pad(&case.config(), 1 << 20);
    expect(&case.run(), VERIFIED);
}

fn with_key_file(ivalt: &StandIn) -> Case {
    let case = Case::against(ivalt);
    let path = case
        .dir()
        .write("api.key", format!("{}\n", StandIn::API_KEY), 0o600);
    let settings =
        case.settings(ivalt)
            .without("api", "key")
            .set("api", "key_file", path.to_str().unwrap());
    case.with_settings(&settings)
}

#[sandbox_test]
fn a_key_file_is_read_and_must_be_trusted() {
    if no_root(OWNER) {
        return;
    }
    let ivalt = StandIn::start();
    expect(&with_key_file(&ivalt).answer("accept-1").run(), VERIFIED);
    for (corrupt, sentence) in CORRUPTED.iter().chain(&READABLE) {
        let case = with_key_file(&ivalt);
        let path = case.dir().join("api.key");
        corrupt(&path);
        refused(case, &path, "api.key_file: ", sentence, "0600");
    }
    let case = with_key_file(&ivalt);
    case.dir().write("api.key", "two words\n", 0o600);
    let cause = expect(&case.run(), MISCONFIGURED).get("cause");
    assert!(
        cause.ends_with(
            ": api.key_file: must hold the API key: one word of visible ASCII characters"
        ),
        "{cause}"
    );
}

fn with_ca_copy(ivalt: &StandIn) -> Case {
    let case = Case::against(ivalt);
    let path = case
        .dir()
        .write("ca.pem", fs::read(ivalt.ca()).unwrap(), 0o644);
    let settings = case
        .settings(ivalt)
        .set("api", "ca_file", path.to_str().unwrap());
    case.with_settings(&settings)
}

#[sandbox_test]
fn a_ca_file_must_be_trusted_and_hold_a_certificate() {
    if no_root(OWNER) {
        return;
    }
    let ivalt = StandIn::start();
    expect(&with_ca_copy(&ivalt).answer("accept-1").run(), VERIFIED);
    for (corrupt, sentence) in CORRUPTED {
        let case = with_ca_copy(&ivalt);
        let path = case.dir().join("ca.pem");
        corrupt(&path);
        refused(case, &path, "api.ca_file: ", sentence, "go-w");
    }
    for text in [
        "",
        "garbage",
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    ] {
        let case = with_ca_copy(&ivalt);
        let path = case.dir().write("ca.pem", text, 0o644);
        let sentence =
            "holds no certificate in PEM form; inspect: openssl x509 -in PATH -noout -text";
        refused(case, &path, "", sentence, "");
    }
    assert_eq!(ivalt.requests().len(), 1);
}

/// Without `ca_file` the system's bundle counts, also where the distribution makes it a symbolic link.
#[sandbox_test]
fn the_systems_roots_are_the_default() {
    if no_root(OWNER) {
        return;
    }
    let ivalt = StandIn::start();
    let certs = || {
        let case = Case::against(&ivalt).answer("accept-1");
        let settings = case.settings(&ivalt).without("api", "ca_file");
        let folder = case.dir().join("certs");
        fs::create_dir(&folder).unwrap();
        (
            case.with_settings(&settings)
                .bind(&folder, "/etc/ssl/certs"),
            folder,
        )
    };
    let (case, folder) = certs();
    fs::copy(ivalt.ca(), folder.join("ca-certificates.crt")).unwrap();
    expect(&case.run(), VERIFIED);
    let (case, folder) = certs();
    fs::copy(ivalt.ca(), folder.join("real.pem")).unwrap();
    std::os::unix::fs::symlink("real.pem", folder.join("ca-certificates.crt")).unwrap();
    expect(&case.run(), VERIFIED);
    let (case, folder) = certs();
    fs::copy(ivalt.ca(), folder.join("ca-certificates.crt")).unwrap();
    give_away(&folder.join("ca-certificates.crt"));
    expect(&case.run(), MISCONFIGURED);
    // On this system it is apt that installs it, elsewhere it is not.
    let line = expect(&certs().0.run(), MISCONFIGURED);
    assert_eq!(
        line.get("cause"),
        "no trusted roots found; install the package ca-certificates, or set api.ca_file"
    );
}

/// Every file belongs to 4242, which is the effective user; no secret of root's is readable.
fn not_root(ivalt: &StandIn) -> Case {
    let mut case = Case::against(ivalt).answer("accept-1");
    case.script.uids = Some((4242, 4242));
    let ca = case
        .dir()
        .write("ca.pem", fs::read(ivalt.ca()).unwrap(), 0o644);
    let key = case.dir().write("api.key", StandIn::API_KEY, 0o600);
    let settings = case
        .settings(ivalt)
        .without("api", "key")
        .set("api", "key_file", key.to_str().unwrap())
        .set("api", "ca_file", ca.to_str().unwrap());
    let case = case.with_settings(&settings);
    for path in [case.config(), case.users_file(), ca, key] {
        give_away(&path);
    }
    give_away(case.dir().path());
    case
}

const NOT_ROOT: &str = "this process runs as uid 4242, its files must belong to root or to it";

/// PostgreSQL and others ask PAM as a user of their own: what root could read is not theirs, and `namei -l` shows only
/// what is demanded.
#[sandbox_test]
fn a_process_that_is_not_root_is_told_so_with_a_command() {
    if no_root(OWNER) {
        return;
    }
    let ivalt = StandIn::start();
    let roots: Corrupt = |path| chown(path, Some(0), None).unwrap();
    let somebodys: Corrupt = |path| {
        chown(path, Some(1), None).unwrap();
        mode(path, 0o644);
    };
    let own = "give this service its own by config=";
    let denied = "cannot be read (permission denied);";
    let copy = |name| {
        format!(
            "{denied} {NOT_ROOT}: {own}: install -D -o 4242 -m 0600 PATH /etc/ivalt-4242/{name}"
        )
    };
    let shared =
        format!("{denied} {NOT_ROOT}, and be readable to it: chgrp GROUP PATH && chmod g+r PATH");
    let secret: Corrupt = |path| {
        chown(path, Some(0), None).unwrap();
        mode(path, 0o600);
    };
    let create = "does not exist; create it: install -o 4242 -m 0600 /dev/null PATH".to_owned();
    for (name, prefix, corrupt, sentence) in [
        ("ivalt.toml", "", roots, copy("ivalt.toml")),
        ("api.key", "api.key_file: ", roots, copy("api.key")),
        ("users.toml", "", roots, shared.clone()),
        ("ca.pem", "api.ca_file: ", secret, shared),
        (
            "ivalt.toml",
            "",
            somebodys,
            format!("belongs to user id 1; {NOT_ROOT}: {own}; run: chown 4242 PATH"),
        ),
        (
            "users.toml",
            "",
            somebodys,
            format!(
                "belongs to user id 1; {NOT_ROOT}, and be readable to it; run: chown root:root PATH"
            ),
        ),
        ("ivalt.toml", "", remove, create.clone()),
        ("users.toml", "", remove, create),
    ] {
        let case = not_root(&ivalt);
        let path = case.dir().join(name);
        corrupt(&path);
        refused(case, &path, prefix, &sentence, "");
    }
    let case = not_root(&ivalt);
    let closed = case.dir().join("closed");
    fs::create_dir(&closed).unwrap();
    fs::set_permissions(&closed, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    let users = closed.join("users.toml");
    fs::rename(case.users_file(), &users).unwrap();
    let config = case.config();
    let text = fs::read_to_string(&config).unwrap();
    let text = text.replace(case.users_file().to_str().unwrap(), users.to_str().unwrap());
    let case = case.settings_text(&text);
    give_away(&config);
    let sentence = format!("{denied} {NOT_ROOT}, and be readable to it: namei -l PATH");
    refused(case, &users, "", &sentence, "");
    assert_eq!(ivalt.connections().len(), 0);
}

/// Other rights than root's would last until the next sync.
#[sandbox_test]
fn a_process_that_is_not_root_cannot_read_what_a_sync_wrote() {
    if no_root(OWNER) {
        return;
    }
    let ivalt = StandIn::start();
    for (own, row) in [
        ("alice = \"+916283974746\"\n", VERIFIED),
        ("", MISCONFIGURED),
    ] {
        let case = not_root(&ivalt).synced("[users]\nalice = \"+14155550200\"\n");
        case.dir()
            .write("users.toml", format!("[users]\n{own}"), 0o644);
        let line = format!("synced_users_file = \"{}\"\n", case.synced_file().display());
        let config = case.config();
        let text = fs::read_to_string(&config).unwrap();
        let case = case.settings_text(&(line + &text));
        give_away(&config);
        let cause = expect(&case.run(), row).get("cause");
        let sentence = format!(
            "{}: cannot be read (permission denied); this process runs as uid 4242, and a sync leaves its file to root \
             alone: take synced_users_file out of the settings of this service, and enrol its users by hand",
            case.synced_file().display()
        );
        // A value is cut in the log.
        let cut = sentence.get(..256).unwrap_or(&sentence);
        assert_eq!(cause, if row.1 == "verified" { "" } else { cut });
    }
}

/// The commands are right: a copy that belongs to the process, and a users.toml of root's that its group may read.
#[sandbox_test]
fn a_process_that_is_not_root_uses_files_as_it_was_told() {
    if no_root(OWNER) {
        return;
    }
    let ivalt = StandIn::start();
    let case = not_root(&ivalt);
    // The process is in the group 0.
    chown(case.users_file(), Some(0), Some(0)).unwrap();
    mode(&case.users_file(), 0o640);
    expect(&case.run(), VERIFIED);
}

/// A setuid application may run with an effective user other than root; its files are trusted, besides root's.
#[sandbox_test]
fn files_of_the_effective_user_are_trusted() {
    if no_root(OWNER) {
        return;
    }
    let ivalt = StandIn::start();
    let mut case = Case::against(&ivalt).answer("accept-1");
    case.script.uids = Some((4242, 4242));
    for path in [case.config(), case.users_file()] {
        give_away(&path);
    }
    give_away(case.dir().path());
    let ca = case
        .dir()
        .write("ca.pem", fs::read(ivalt.ca()).unwrap(), 0o644);
    let settings = case
        .settings(&ivalt)
        .set("api", "ca_file", ca.to_str().unwrap());
    let config = case.config();
    let case = case.with_settings(&settings);
    give_away(&config);
    expect(&case.run(), VERIFIED);
    // Root's are trusted by every user who can read them; here, only root can.
    chown(&config, Some(0), None).unwrap();
    expect(&case.run(), MISCONFIGURED);
}
