//! What a login costs, as far as it can be counted: connections, requests, system calls, libraries, bytes.
//! `scripts/bench` measures the rest. Threads and descriptors left behind are counted by `Case::run` itself.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::codes::with_codes;
use crate::expect::*;
use support::trace::Trace;
use support::{
    Case, SERVICE, StandIn, TempDir, module_path, no_program, release_is_tested, sandbox_test,
};

/// What the module may ask of the kernel in one accepted login, beyond what `pam_permit` needs: with one root, a server
/// by address and the connection made meanwhile; all threads, the loader too. A few more than it is, since waiting and
/// memory are by chance.
const SYSTEM_CALLS: usize = 70;
/// Of the module as it is shipped.
const BYTES: u64 = 195 * 1024 * 1024 / 100;

#[sandbox_test]
fn one_login_is_one_connection_and_one_request() {
    let ivalt = StandIn::start();
    expect(&Case::against(&ivalt).answer("accept-1").run(), VERIFIED);
    assert_eq!((ivalt.connections().len(), ivalt.requests().len()), (1, 1));
}

#[sandbox_test]
fn every_further_token_is_one_more_of_each() {
    let ivalt = StandIn::start();
    let case = Case::against(&ivalt).answer("reject-1").answer("reject-2");
    expect(&case.answer("accept-3").run(), VERIFIED);
    assert_eq!((ivalt.connections().len(), ivalt.requests().len()), (3, 3));
}

#[sandbox_test]
fn nothing_is_connected_for_users_who_cannot_get_in() {
    let ivalt = StandIn::start();
    for (entry, row) in [
        ("", NOT_ENROLLED),
        (
            "alice = { mobile = \"+14155550100\", enabled = false }\n",
            DISABLED,
        ),
        ("alice = \"4155550100\"\n", BAD_ENTRY),
    ] {
        let case = Case::against(&ivalt).users(&format!("[users]\n{entry}"));
        expect(&case.answer("accept-1").run(), row);
    }
    assert_eq!((ivalt.connections().len(), ivalt.requests().len()), (0, 0));
}

#[sandbox_test]
fn nothing_is_requested_with_what_is_no_token() {
    let ivalt = StandIn::start();
    for (answer, row) in [("", UNANSWERED), ("two words", MALFORMED)] {
        let case = Case::against(&ivalt);
        let settings = case.settings(&ivalt).set("token", "attempts", 1);
        expect(&case.with_settings(&settings).answer(answer).run(), row);
    }
    assert_eq!(ivalt.requests().len(), 0);
}

#[sandbox_test]
fn a_login_asks_little_of_the_kernel() {
    if no_program("strace") {
        return;
    }
    let (login, floor) = login_and_floor();
    let beyond = login.calls_beyond(&floor);
    assert!(
        (1..=SYSTEM_CALLS).contains(&beyond),
        "{} system calls, {} of them without the module",
        login.system_calls,
        floor.system_calls
    );
}

/// Hosts without recovery codes pay nothing for them, and with them a token costs the same.
#[sandbox_test]
fn recovery_codes_cost_a_token_nothing() {
    if no_program("strace") {
        return;
    }
    let ivalt = StandIn::start();
    let without = |case: &Case| case.settings(&ivalt).set("api", "preconnect", false);
    let case = Case::against(&ivalt).answer("accept-1");
    let settings = without(&case);
    let off = case.with_settings(&settings);
    let (on, codes, _) = with_codes(&ivalt, 1);
    let directory = codes.directory.to_str().unwrap();
    let settings =
        without(&on)
            .set("recovery", "codes", true)
            .set("recovery", "directory", directory);
    let on = on.with_settings(&settings).answer("accept-1");
    assert_eq!(calls_of(&on), calls_of(&off));
}

/// Whoever is enrolled by hand pays nothing for the users of a directory; those are one more file to read.
#[sandbox_test]
fn a_synced_file_costs_only_those_who_are_in_it() {
    if no_program("strace") {
        return;
    }
    let ivalt = StandIn::start();
    let calls = |own: &str, synced: Option<&str>| {
        let case = Case::against(&ivalt).users(own).answer("accept-1");
        let settings = case.settings(&ivalt).set("api", "preconnect", false);
        let settings = synced.map_or(settings.clone(), |text| {
            case.dir().write("synced.toml", text, 0o600);
            settings.with_synced(&case.synced_file())
        });
        calls_of(&case.with_settings(&settings))
    };
    let alice = "[users]\nalice = \"+916283974746\"\n";
    let without = calls(alice, None);
    assert_eq!(calls(alice, Some(alice)), without);
    let with = calls("", Some(alice));
    let more = |name: &str| with[name] - without[name];
    assert_eq!((more("openat"), more("close")), (1, 1), "{with:?}");
    let total = |names: &BTreeMap<String, usize>| names.values().sum::<usize>();
    assert!(total(&with) - total(&without) <= 4, "{with:?}");
}

#[sandbox_test]
fn no_library_comes_along() {
    if no_program("strace") {
        return;
    }
    let (login, floor) = login_and_floor();
    let beyond = login.libraries_beyond(&floor);
    let names: BTreeSet<_> = beyond.iter().map(|path| name(path)).collect();
    assert_eq!(names, ["libpam_ivalt.so".to_owned()].into());
}

/// What a distribution's package of the module would depend on. libgcc_s, without which glibc cannot end a thread either,
/// is loaded at the first panic.
#[test]
fn the_module_needs_two_libraries() {
    let output = Command::new("readelf")
        .args(["--dynamic", "--wide"])
        .arg(module_path())
        .output();
    let text = String::from_utf8(output.expect("readelf, of the linker's package").stdout).unwrap();
    let needed = text.lines().filter(|line| line.contains("(NEEDED)"));
    let names: BTreeSet<_> = needed
        .filter_map(|line| line.split(['[', ']']).nth(1))
        .collect();
    // The dynamic linker's name is that of the architecture.
    let (linker, names): (BTreeSet<_>, BTreeSet<_>) = names
        .into_iter()
        .partition(|name| name.starts_with("ld-linux"));
    assert_eq!(names, ["libc.so.6", "libpam.so.0"].into());
    assert!(linker.len() <= 1, "{linker:?}");
}

#[test]
fn the_module_is_small() {
    if !release_is_tested() {
        return;
    }
    let bytes = std::fs::metadata(module_path()).unwrap().len();
    assert!(bytes <= BYTES, "{bytes} bytes");
}

/// How often each system call is made in an accepted login.
fn calls_of(case: &Case) -> BTreeMap<String, usize> {
    // Of memory the allocator asks for as it happens to be laid out; and an answer comes in one piece or in several.
    const BY_CHANCE: [&str; 7] = [
        "brk", "mmap", "munmap", "mremap", "poll", "read", "recvfrom",
    ];
    expect(&case.run(), VERIFIED);
    let mut names = traced(case.dir(), "reason=verified").names;
    names.retain(|name, _| !BY_CHANCE.contains(&name.as_str()));
    names
}

/// An accepted login through the module, and one through `pam_permit`.
fn login_and_floor() -> (Trace, Trace) {
    let ivalt = StandIn::start();
    let case = Case::against(&ivalt).answer("accept-1");
    expect(&case.run(), VERIFIED);
    let login = traced(case.dir(), "reason=verified");
    assert_eq!(ivalt.requests().len(), 2);
    let floor = Case::new("pam_permit.so");
    floor.run();
    (login, traced(floor.dir(), ""))
}

/// The leanest application logs in on the stack in `confdir`; the log must hold `logged`.
fn traced(confdir: &TempDir, logged: &str) -> Trace {
    let dev = TempDir::new();
    let log = UnixDatagram::bind(dev.join("log")).unwrap();
    log.set_nonblocking(true).unwrap();
    let (program, file) = (application(&dev), dev.join("trace"));
    let words = ["ivalt-test", "alice", "accept-2", "0"];
    assert_eq!(words[0], SERVICE);
    let mut command = Command::new("strace");
    command.args(["-f", "-qq", "-o"]).arg(&file);
    command.arg(program).arg(confdir.path()).args(words);
    let output = with_dev(&dev, command);
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.ends_with(" 0\n"), "no success: {output:?}");
    let mut line = [0; 4096];
    let length = log.recv(&mut line).unwrap_or(0);
    let line = String::from_utf8_lossy(&line[..length]);
    assert!(line.contains(logged), "{line}");
    Trace::read(&file).unwrap()
}

/// tests/bench/login.c, linked by the name libpam is loaded by.
pub fn application(folder: &TempDir) -> PathBuf {
    let source = support::checkout().join("tests/bench/login.c");
    let program = folder.join("login");
    let mut command = Command::new("cc");
    command.args(["-O2", "-D_GNU_SOURCE", "-o"]);
    command.arg(&program).arg(source).arg("-l:libpam.so.0");
    assert!(command.status().expect("cc").success());
    program
}

/// Runs a command with this folder as its `/dev`, so that the machine's log hears nothing.
pub fn with_dev(dev: &TempDir, command: Command) -> Output {
    let mut unshare = Command::new("unshare");
    // SAFETY: geteuid(2) takes nothing and always succeeds.
    if unsafe { libc::geteuid() } != 0 {
        unshare.args(["--user", "--map-root-user"]);
    }
    let script = "mount --no-mtab --bind \"$0\" /dev && exec \"$@\"";
    unshare
        .args(["--mount", "sh", "-c", script])
        .arg(dev.path());
    unshare.arg(command.get_program()).args(command.get_args());
    // cargo's LD_LIBRARY_PATH would have every library looked for in its own folders.
    unshare.env_remove("LD_LIBRARY_PATH");
    unshare
        .output()
        .expect("unshare, of every system's util-linux")
}

fn name(path: &Path) -> String {
    let name = path.file_name().expect("the name of a file");
    name.to_string_lossy().into_owned()
}
