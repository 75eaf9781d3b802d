//! `--root DIR` is a boundary: whatever DIR holds, no file outside is opened, made or changed, and every fault names the
//! path.

use std::ffi::{CString, OsStr};
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::fd::FromRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::json;

use crate::check::{IVALT, MODULE, SSHD, System, USERS};
use crate::tool::{self, Called, called};
use support::{TempDir, ivaltctl_path, no_root};

/// In every file outside; nothing that is printed may have it.
const CANARY: &str = "CANARY-OF-THE-HOST";

/// What may lie where a file or a folder is expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trap {
    /// `../../…/HOSTFILE`
    Relative,
    /// `/HOSTFILE`
    Absolute,
    /// More than 40 links, the last one relative.
    Chain,
    /// A link to itself.
    Loop,
    Fifo,
    /// A character device whose number nobody has: to open it is an error.
    Device,
    Folder,
    /// A link to /dev/null, which DIR does not have.
    LinkToNull,
    /// The device itself.
    Null,
}

use Trap::{Absolute, Chain, Device, Fifo, Folder, LinkToNull, Loop, Null, Relative};

impl Trap {
    /// Puts it at `path`, in place of what is there.
    fn set(self, system: &System, path: &str, outside: &Path) {
        let at = system.path(path);
        let _ = fs::remove_file(&at).or_else(|_| fs::remove_dir_all(&at));
        fs::create_dir_all(at.parent().unwrap()).unwrap();
        let below = outside.strip_prefix("/").unwrap();
        let relative = Path::new(&"../".repeat(40)).join(below);
        match self {
            Relative => symlink(relative, at).unwrap(),
            Absolute => symlink(outside, at).unwrap(),
            Chain => {
                symlink("/link-0", at).unwrap();
                for number in 0..45 {
                    let next = format!("/link-{}", number + 1);
                    symlink(next, system.path(&format!("link-{number}"))).unwrap();
                }
                symlink(relative, system.path("link-45")).unwrap();
            }
            Loop => symlink(at.file_name().unwrap(), &at).unwrap(),
            Fifo => node(&at, libc::S_IFIFO, 0),
            Device => node(&at, libc::S_IFCHR, libc::makedev(60, 0)),
            Folder => fs::create_dir(at).unwrap(),
            LinkToNull => symlink("/dev/null", at).unwrap(),
            Null => node(&at, libc::S_IFCHR, libc::makedev(1, 3)),
        }
    }
}

fn node(path: &Path, kind: libc::mode_t, device: libc::dev_t) {
    let path = CString::new(path.as_os_str().as_bytes()).unwrap();
    // SAFETY: mknod(2) reads a C string.
    done(unsafe { libc::mknod(path.as_ptr(), kind | 0o600, device) });
}

#[track_caller]
fn done(result: libc::c_int) -> libc::c_int {
    assert!(result >= 0, "{}", io::Error::last_os_error());
    result
}

/// A folder outside with files, which nobody may open.
struct Outside {
    folder: TempDir,
    before: Vec<State>,
    events: File,
}

/// Name, bytes, and whatever a change would change.
type State = (PathBuf, Vec<u8>, [u64; 3], [i64; 4]);

impl Outside {
    fn new() -> Self {
        let folder = TempDir::new();
        for name in ["HOSTFILE", "HOSTFILE.conf"] {
            folder.write(name, format!("{CANARY}\n"), 0o644);
        }
        let before = states(folder.path());
        let events = watch(folder.path());
        Self {
            folder,
            before,
            events,
        }
    }

    /// What a trap leads to: the folder where a folder is expected.
    fn target(&self, is_folder: bool) -> PathBuf {
        match is_folder {
            true => self.folder.path().to_owned(),
            false => self.folder.join("HOSTFILE"),
        }
    }

    #[track_caller]
    fn is_untouched(&self, name: &str) {
        assert_eq!(states(self.folder.path()), self.before, "{name}");
    }

    /// Whether `read` opens a file of it: each time, as somebody who searches this machine does not.
    fn is_read_by(&self, mut read: impl FnMut()) -> bool {
        self.opened();
        let mut reads = || {
            read();
            !self.opened().is_empty()
        };
        reads() && reads() && reads()
    }

    fn opened(&self) -> Vec<String> {
        opened(&self.events)
    }
}

/// From now on, what happens to the files of this folder of the machine.
fn watch(folder: &Path) -> File {
    // SAFETY: inotify(7) takes numbers and a C string; the descriptor belongs to the File alone.
    unsafe {
        let events = done(libc::inotify_init1(libc::IN_NONBLOCK | libc::IN_CLOEXEC));
        let path = CString::new(folder.as_os_str().as_bytes()).unwrap();
        let all = libc::IN_ALL_EVENTS;
        done(libc::inotify_add_watch(events, path.as_ptr(), all));
        File::from_raw_fd(events)
    }
}

/// The files that were opened or changed since the last call. Somebody who lists the folders of this machine opens the
/// folder itself.
fn opened(mut watch: &File) -> Vec<String> {
    let mut names = Vec::new();
    let mut events = [0_u8; 4096];
    while let Ok(length) = watch.read(&mut events) {
        let mut rest = &events[..length];
        // struct inotify_event: three numbers, the length of the name, the name.
        while let Some((head, after)) = rest.split_at_checked(16) {
            let number = |at: usize| u32::from_ne_bytes(head[at..at + 4].try_into().unwrap());
            let (name, after) = after.split_at(number(12) as usize);
            rest = after;
            if number(4) & libc::IN_ISDIR == 0 {
                let name = String::from_utf8_lossy(name);
                names.push(name.trim_matches('\0').to_owned());
            }
        }
    }
    names
}

fn states(folder: &Path) -> Vec<State> {
    let entries = fs::read_dir(folder).unwrap();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.push(folder.to_owned());
    paths.sort();
    let state = |path: PathBuf| {
        let found = fs::symlink_metadata(&path).unwrap();
        let mode = u64::from(found.mode());
        let numbers = [found.ino(), mode, found.nlink()];
        let times = [
            found.mtime(),
            found.mtime_nsec(),
            found.ctime(),
            found.ctime_nsec(),
        ];
        (
            path.clone(),
            fs::read(path).unwrap_or_default(),
            numbers,
            times,
        )
    };
    paths.into_iter().map(state).collect()
}

/// The program; what waits for a FIFO is ended at last.
fn ivaltctl(system: &System, words: &[&str]) -> Called {
    let mut command = Command::new("timeout");
    command
        .arg("300")
        .arg(ivaltctl_path())
        .args(words)
        .arg("--root")
        .arg(system.path(""));
    command.env_clear().env("PATH", "/usr/bin:/bin");
    command.current_dir("/").stdin(Stdio::null());
    let called = called(command.output().unwrap());
    for text in [&called.stdout, &called.stderr] {
        assert!(!text.contains(CANARY), "{words:?}: {text}");
    }
    called
}

/// `severity id file` of every finding.
fn findings(called: &Called) -> Vec<String> {
    assert_eq!(called.stderr, "");
    let report = called.json();
    let findings = report["findings"].as_array().unwrap().iter();
    let line = |finding: &serde_json::Value| {
        let text = |key: &str| finding[key].as_str().unwrap_or("-").to_owned();
        format!("{} {} {}", text("severity"), text("id"), text("file"))
    };
    findings.map(line).collect()
}

/// A path, whether a folder is expected there, and for some traps each what `check` finds.
type Row = (&'static str, bool, [(&'static [Trap], &'static str); 5]);

const OUT: &[Trap] = &[Relative, Absolute];
const LINKS: &[Trap] = &[Chain, Loop];
const SPECIAL: &[Trap] = &[Fifo, Device];
const EMPTY: &[Trap] = &[LinkToNull, Null];

/// A file that the tool reads for itself; empty, it gives `empty`.
const fn read(
    path: &'static str,
    out: &'static str,
    faulty: &'static str,
    empty: &'static str,
) -> Row {
    let rows = [
        (OUT, out),
        (LINKS, faulty),
        (SPECIAL, faulty),
        (&[Folder] as &[Trap], out),
        (EMPTY, empty),
    ];
    (path, false, rows)
}

/// A folder whose names are read. A link to /dev/null makes it empty, as the device itself cannot.
const fn listed(path: &'static str, out: &'static str, faulty: &'static str) -> Row {
    let rows = [
        (OUT, out),
        (LINKS, faulty),
        (SPECIAL, faulty),
        (&[Folder, LinkToNull] as &[Trap], ""),
        (&[Null] as &[Trap], faulty),
    ];
    (path, true, rows)
}

/// A file that the module must be able to trust; there are no links.
const fn trusted(path: &'static str, found: &'static str) -> Row {
    (
        path,
        false,
        [
            (OUT, found),
            (LINKS, found),
            (SPECIAL, found),
            (&[Folder] as &[Trap], found),
            (EMPTY, found),
        ],
    )
}

#[test]
fn what_check_reads() {
    if no_root("makes devices") {
        return;
    }
    for (path, is_folder, traps) in [
        trusted(IVALT, "locks-out settings-untrusted /etc/ivalt/ivalt.toml"),
        trusted(
            "etc/ivalt/api.key",
            "locks-out key-file-unusable /etc/ivalt/ivalt.toml",
        ),
        trusted(USERS, "locks-out users-untrusted /etc/ivalt/users.toml"),
        trusted(
            "etc/ivalt/ca.pem",
            "locks-out roots-unusable /etc/ivalt/ca.pem",
        ),
        read(
            "etc/passwd",
            "warning unreadable-file /etc/passwd",
            "locks-out unreadable-file /etc/passwd",
            "",
        ),
        read(
            "etc/sudoers",
            "warning unreadable-file /etc/sudoers",
            "locks-out unreadable-file /etc/sudoers",
            "",
        ),
        listed(
            "etc/sudoers.d",
            "warning unreadable-file /etc/sudoers.d",
            "locks-out unreadable-file /etc/sudoers.d",
        ),
        read(
            "etc/sudoers.d/README",
            "warning unreadable-file /etc/sudoers.d/README",
            "locks-out unreadable-file /etc/sudoers.d/README",
            "",
        ),
        read(
            SSHD,
            "warning unreadable-file /etc/ssh/sshd_config",
            "locks-out unreadable-file /etc/ssh/sshd_config",
            "lets-in sshd-pam-off /etc/ssh/sshd_config",
        ),
        listed(
            "etc/ssh/sshd_config.d",
            "warning unreadable-file /etc/ssh/sshd_config.d",
            "locks-out unreadable-file /etc/ssh/sshd_config.d",
        ),
        read(
            "etc/ssh/sshd_config.d/50-empty.conf",
            "warning unreadable-file /etc/ssh/sshd_config.d/50-empty.conf",
            "locks-out unreadable-file /etc/ssh/sshd_config.d/50-empty.conf",
            "",
        ),
        read(
            "etc/pam.d/sshd",
            "warning unreadable-file /etc/pam.d/sshd",
            "locks-out unreadable-file /etc/pam.d/sshd",
            "",
        ),
        listed(
            "etc/pam.d",
            "warning unreadable-file /etc/pam.d",
            "locks-out unreadable-file /etc/pam.d",
        ),
        (
            MODULE,
            false,
            [
                (OUT, "locks-out module-missing /etc/pam.d/sshd"),
                (LINKS, "locks-out module-missing /etc/pam.d/sshd"),
                (
                    SPECIAL,
                    "locks-out module-not-elf /usr/lib/x86_64-linux-gnu/security/pam_ivalt.so",
                ),
                (
                    &[Folder, Null],
                    "locks-out module-not-elf /usr/lib/x86_64-linux-gnu/security/pam_ivalt.so",
                ),
                (&[LinkToNull], "locks-out module-missing /etc/pam.d/sshd"),
            ],
        ),
        (
            "etc/ssl/certs/ca-certificates.crt",
            false,
            [
                (OUT, "locks-out roots-unusable /etc/ivalt/ivalt.toml"),
                (LINKS, "locks-out roots-unusable /etc/ivalt/ivalt.toml"),
                (
                    SPECIAL,
                    "locks-out roots-unusable /etc/ssl/certs/ca-certificates.crt",
                ),
                (
                    &[Folder, Null],
                    "locks-out roots-unusable /etc/ssl/certs/ca-certificates.crt",
                ),
                (
                    &[LinkToNull],
                    "locks-out roots-unusable /etc/ivalt/ivalt.toml",
                ),
            ],
        ),
    ] {
        for (traps, expected) in traps {
            for trap in traps {
                let name = format!("{path} {trap:?}");
                let system = with_files_named(path);
                let outside = Outside::new();
                trap.set(&system, path, &outside.target(is_folder));
                let check = || ivaltctl(&system, &["check", "--json"]);
                assert!(!outside.is_read_by(|| drop(check())), "{name}");
                let called = check();
                outside.is_untouched(&name);
                let expected: Vec<&str> = expected.lines().collect();
                assert_eq!(findings(&called), expected, "{name}");
            }
        }
    }
}

/// To open one may do something: /dev/watchdog begins to count. This is /dev/zero, and where devices cannot be opened at
/// all, opening it is an error of its own.
#[test]
fn a_device_is_not_even_opened() {
    if no_root("makes devices") {
        return;
    }
    let system = System::healthy();
    let path = system.path("etc/sudoers");
    fs::remove_file(&path).unwrap();
    node(&path, libc::S_IFCHR, libc::makedev(1, 5));
    let events = watch(&system.path("etc"));
    let called = ivaltctl(&system, &["check", "--json"]);
    let opened = opened(&events);
    assert!(opened.contains(&"passwd".to_owned()), "{opened:?}");
    assert!(!opened.contains(&"sudoers".to_owned()), "{opened:?}");
    let expected = ["locks-out unreadable-file /etc/sudoers"];
    assert_eq!(findings(&called), expected);
}

/// A system whose settings name the file at `path`, if it is one of theirs.
fn with_files_named(path: &str) -> System {
    let system = System::healthy();
    match path {
        "etc/ivalt/api.key" => system.write(IVALT, "[api]\nkey_file = \"/etc/ivalt/api.key\"\n"),
        "etc/ivalt/ca.pem" => system.write(
            IVALT,
            "[api]\nkey = \"K\"\nca_file = \"/etc/ivalt/ca.pem\"\n",
        ),
        _ => &system,
    };
    system
}

#[test]
fn an_unreadable_file_is_explained() {
    let system = System::healthy();
    fs::remove_file(system.path("etc/sudoers")).unwrap();
    symlink("sudoers", system.path("etc/sudoers")).unwrap();
    let large = File::create(system.path("etc/group")).unwrap();
    large.set_len((16 << 20) + 1).unwrap();
    let called = ivaltctl(&system, &["check"]);
    let expected = "\
locks out /etc/group [unreadable-file]
  cannot be read (is larger than 16 MiB): what programs find there is not known, and a login that needs it fails or waits
  fix: put a regular file in its place, or remove it; inspect: namei -l /etc/group
locks out /etc/sudoers [unreadable-file]
  cannot be read (is a symbolic link, or links in its path lead nowhere): what programs find there is not known, and a login that needs it fails or waits
  fix: put a regular file in its place, or remove it; inspect: namei -l /etc/sudoers
2 problems: ";
    assert!(called.stdout.starts_with(expected), "{}", called.stdout);
    assert_eq!(called.status, 2);
}

/// What stops `enable` or `disable`; nothing does where it is empty. `@PATH: WHAT` is a sentence that says how to look.
fn sentence(expected: &str, system: &System) -> String {
    let dir = system.path("").display().to_string();
    let expected = match expected.strip_prefix('@') {
        Some(sentence) => {
            let (path, _) = sentence.split_once(": ").unwrap();
            match sentence.split_once(" …") {
                Some((what, end)) => format!("{what}; inspect: namei -l {path}{end}"),
                None => format!("{sentence}; inspect: namei -l {path}"),
            }
        }
        None => expected.to_owned(),
    };
    let expected = expected.replace("DIR/", &dir);
    match expected.as_str() {
        "" => expected,
        _ => format!("ivaltctl: {expected}\n"),
    }
}

const STATES: &str = "@DIR/var/lib/ivalt: cannot be used: is not a folder, or is a symbolic link";
const LOCK_LINK: &str = "@DIR/var/lib/ivalt/exclusive.lock: cannot be used: is a symbolic link, or links in its path lead nowhere";
const LOCK_FILE: &str = "@DIR/var/lib/ivalt/exclusive.lock: cannot be used: is not a regular file";
const STATE_LINK: &str = "DIR/var/lib/ivalt/sudo.json: is a symbolic link; it is what `enable` writes: inspect it, then move it away";
const STATE_FILE: &str = "DIR/var/lib/ivalt/sudo.json: is not a regular file; it is what `enable` writes: inspect it, then move it away";
const NOT_ENABLED: &str = "sudo was not enabled by `ivaltctl enable`; remove the line from DIR/etc/pam.d/sudo in an editor, with the lines it is continued on, and lower the jumps (success=N) that pass over it";
const NO_SERVICE: &str = "sudo: there is no such service; services are the files in /etc/pam.d, /usr/lib/pam.d, /usr/etc/pam.d, /usr/share/pam.d";
const EDITED: &str = "DIR/etc/pam.d/sudo: edited since `ivaltctl enable`, so nothing was changed; undo these edits and run this again, or remove the lines below \"ivaltctl enable\" manually";
const BOTH_EDITED: &str = "DIR/etc/pam.d/sudo, DIR/etc/pam.d/sudo-i: edited since `ivaltctl enable`, so nothing was changed; undo these edits and run this again, or remove the lines below \"ivaltctl enable\" manually";
const LEADS_TO_NOTHING: &str =
    "@/etc/pam.d/sudo: is a symbolic link that leads to nothing in this system";

/// Service, path, whether a folder is expected there; and for traps what `enable` says, and after one without it what
/// `disable` says.
type WriteRow = (
    &'static str,
    &'static str,
    bool,
    &'static [(&'static [Trap], &'static str, &'static str)],
);

const WRITTEN: &[WriteRow] = &[
    (
        "sudo",
        "var/lib/ivalt/exclusive.lock",
        false,
        &[
            (
                &[Relative, Absolute, Chain, Loop, LinkToNull],
                LOCK_LINK,
                LOCK_LINK,
            ),
            (&[Fifo, Device, Folder, Null], LOCK_FILE, LOCK_FILE),
        ],
    ),
    (
        "sudo",
        "var/lib/ivalt/sudo.json",
        false,
        &[
            (
                &[Relative, Absolute, Chain, Loop, LinkToNull],
                STATE_LINK,
                STATE_LINK,
            ),
            (&[Fifo, Device, Folder, Null], STATE_FILE, STATE_FILE),
        ],
    ),
    (
        "sudo",
        "var/lib/ivalt/.sudo.json.new",
        false,
        &[(
            &[Relative, Absolute, Chain, Loop, LinkToNull, Fifo, Device],
            "",
            "",
        )],
    ),
    (
        "sudo",
        "var/lib/ivalt",
        true,
        &[(
            &[
                Relative, Absolute, Chain, Loop, LinkToNull, Fifo, Device, Null,
            ],
            STATES,
            STATES,
        )],
    ),
    (
        "sudo",
        "var/lib",
        true,
        &[
            (
                OUT,
                "@DIR/var/lib/ivalt: cannot be used: No such file or directory",
                NOT_ENABLED,
            ),
            (
                LINKS,
                "@DIR/var/lib/ivalt: cannot be used: is a symbolic link, or links in its path lead nowhere",
                "@DIR/var/lib/ivalt: cannot be used: is a symbolic link, or links in its path lead nowhere",
            ),
            (&[Fifo, Device, Null], STATES, STATES),
        ],
    ),
    (
        "sudo",
        "etc/pam.d/sudo",
        false,
        &[
            (OUT, LEADS_TO_NOTHING, EDITED),
            (
                LINKS,
                "@/etc/pam.d/sudo: is a symbolic link, or links in its path lead nowhere",
                "@DIR/etc/pam.d/sudo: cannot be read: is a symbolic link, or links in its path lead nowhere",
            ),
            (
                SPECIAL,
                "@/etc/pam.d/sudo: is not a regular file",
                "@DIR/etc/pam.d/sudo: cannot be read: is not a regular file",
            ),
            (
                &[Folder],
                "@/etc/pam.d/sudo: Is a directory",
                "@DIR/etc/pam.d/sudo: cannot be read: Is a directory",
            ),
            (
                EMPTY,
                "/etc/pam.d/sudo: no line here asks for a password, so the right place is not clear; add this line manually: auth    required    pam_ivalt.so",
                EDITED,
            ),
        ],
    ),
    (
        "sudo",
        "etc/pam.d/.sudo.new",
        false,
        &[
            (
                &[Relative, Absolute, Chain, Loop, LinkToNull, Fifo, Device],
                "",
                "",
            ),
            (
                &[Folder],
                "DIR/etc/pam.d/sudo: cannot be written: .sudo.new beside it cannot be removed: Is a directory; everything was put back",
                "DIR/etc/pam.d/sudo: cannot be written: .sudo.new beside it cannot be removed: Is a directory; everything was put back: iVALT stays enabled",
            ),
        ],
    ),
    (
        "sudo",
        "etc/pam.d",
        true,
        &[
            (OUT, NO_SERVICE, BOTH_EDITED),
            (
                LINKS,
                "@/etc/pam.d/sudo: is a symbolic link, or links in its path lead nowhere",
                "@DIR/etc/pam.d/sudo: cannot be read: is a symbolic link, or links in its path lead nowhere",
            ),
            (
                SPECIAL,
                NO_SERVICE,
                "@DIR/etc/pam.d/sudo: cannot be read: is not a folder, or is a symbolic link",
            ),
        ],
    ),
    (
        "sshd",
        "etc/ssh/sshd_config.d/00-ivalt.conf",
        false,
        &[
            (
                OUT,
                "@DIR/etc/ssh/sshd_config.d/00-ivalt.conf: cannot be written: is a symbolic link, or links in its path lead nowhere …; everything was put back",
                "",
            ),
            (
                LINKS,
                "@DIR/etc/ssh/sshd_config.d/00-ivalt.conf: cannot be read: is a symbolic link, or links in its path lead nowhere",
                "@DIR/etc/ssh/sshd_config.d/00-ivalt.conf: cannot be read: is a symbolic link, or links in its path lead nowhere",
            ),
            (
                SPECIAL,
                "@DIR/etc/ssh/sshd_config.d/00-ivalt.conf: cannot be read: is not a regular file",
                "@DIR/etc/ssh/sshd_config.d/00-ivalt.conf: cannot be read: is not a regular file",
            ),
        ],
    ),
    (
        "sshd",
        "etc/ssh/sshd_config.d",
        true,
        &[
            (
                OUT,
                "@DIR/etc/ssh/sshd_config.d/00-ivalt.conf: cannot be written: No such file or directory …; everything was put back",
                "",
            ),
            (
                LINKS,
                "@DIR/etc/ssh/sshd_config.d/00-ivalt.conf: cannot be read: is a symbolic link, or links in its path lead nowhere",
                "@DIR/etc/ssh/sshd_config.d/00-ivalt.conf: cannot be read: is a symbolic link, or links in its path lead nowhere",
            ),
            (
                SPECIAL,
                "@DIR/etc/ssh/sshd_config.d/00-ivalt.conf: cannot be read: is not a folder, or is a symbolic link",
                "@DIR/etc/ssh/sshd_config.d/00-ivalt.conf: cannot be read: is not a folder, or is a symbolic link",
            ),
        ],
    ),
];

/// A system that has no iVALT yet.
fn without_ivalt() -> System {
    let system = System::healthy();
    for name in ["sshd", "sudo", "sudo-i"] {
        let lines = "auth requisite pam_unix.so\naccount required pam_permit.so\n";
        system.write(&format!("etc/pam.d/{name}"), lines);
    }
    system
}

/// What this call says, if it is not what is expected.
fn wrong(
    system: &System,
    words: &[&str],
    outside: &Outside,
    name: &str,
    expected: &str,
) -> Option<String> {
    let called = ivaltctl(system, words);
    outside.is_untouched(name);
    let status = i32::from(!expected.is_empty());
    let expected = sentence(expected, system);
    let right = (called.stderr == expected) && called.status == status;
    (!right).then(|| format!("{name}: {}\n{}{expected}", called.status, called.stderr))
}

#[test]
fn what_enable_and_disable_write() {
    if no_root("makes devices") {
        return;
    }
    let mut all = Vec::new();
    for (service, path, is_folder, traps) in WRITTEN {
        for (traps, enable, disable) in *traps {
            for trap in *traps {
                let outside = Outside::new();
                let target = outside.target(*is_folder);
                let system = without_ivalt();
                trap.set(&system, path, &target);
                let words = ["enable", service, "--yes"];
                let name = format!("enable: {path} {trap:?}");
                all.extend(wrong(&system, &words, &outside, &name, enable));
                let system = without_ivalt();
                all.extend(wrong(&system, &words, &outside, "enable", ""));
                trap.set(&system, path, &target);
                let words = ["disable", service, "--yes"];
                let name = format!("disable: {path} {trap:?}");
                all.extend(wrong(&system, &words, &outside, &name, disable));
            }
        }
    }
    assert!(all.is_empty(), "{}", all.join("\n"));
}

/// Whoever owns DIR can swap a folder for a link between any two calls.
#[test]
fn a_folder_that_becomes_a_link_meanwhile() {
    for name in ["etc/pam.d", "var/lib/ivalt", "var/lib"] {
        let (system, outside) = (without_ivalt(), TempDir::new());
        for file in ["sudo", "sudo-i", "sshd", "sudo.json", "exclusive.lock"] {
            let text = format!("auth requisite pam_unix.so # {CANARY}\n");
            outside.write(file, text, 0o644);
        }
        fs::create_dir_all(outside.join("ivalt")).unwrap();
        fs::create_dir_all(system.path("var/lib/ivalt")).unwrap();
        let before = states(outside.path());
        let below = outside.path().strip_prefix("/").unwrap();
        let (real, link) = (system.path(name), system.path("link"));
        symlink(Path::new(&"../".repeat(40)).join(below), &link).unwrap();
        let stop = AtomicBool::new(false);
        std::thread::scope(|threads| {
            threads.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    exchange(&real, &link);
                }
            });
            // Also where an assertion fails: the scope waits for its threads.
            let _stops = SetOnDrop(&stop);
            for _ in 0..25 {
                for verb in ["enable", "disable"] {
                    let called = ivaltctl(&system, &[verb, "sudo", "--yes"]);
                    assert!([0, 1].contains(&called.status), "{called:?}");
                }
            }
        });
        assert_eq!(states(outside.path()), before, "{name}");
    }
}

struct SetOnDrop<'a>(&'a AtomicBool);

impl Drop for SetOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn exchange(one: &Path, other: &Path) {
    let [one, other] = [one, other].map(|path| CString::new(path.as_os_str().as_bytes()).unwrap());
    let (here, flag) = (libc::AT_FDCWD, libc::RENAME_EXCHANGE);
    // SAFETY: renameat2(2) reads two C strings.
    done(unsafe { libc::renameat2(here, one.as_ptr(), here, other.as_ptr(), flag) });
}

#[test]
fn a_root_that_is_a_link_and_one_that_is_no_folder() {
    let (system, links) = (System::healthy(), TempDir::new());
    let (link, file) = (links.join("link"), links.write("file", "", 0o644));
    symlink(system.path(""), &link).unwrap();
    let call = |words: &[&str], root: &Path| {
        tool::ivaltctl(&[words, &["--root", root.to_str().unwrap()]].concat())
    };
    assert_eq!(call(&["check"], &link).status, 0);
    for (words, end) in [
        (&["check"] as &[&str], "checked"),
        (&["enable", "sudo", "--yes"], "changed"),
        (&["disable", "sudo", "--yes"], "changed"),
    ] {
        let called = call(words, &file);
        let why = format!(
            "ivaltctl: {}: is not a folder; nothing was {end}\n",
            file.display()
        );
        assert_eq!((called.status, called.stderr), (1, why));
    }
}

/// A kernel before 5.6 answers ENOSYS; filters of older containers EPERM.
#[test]
fn a_kernel_without_openat2() {
    let system = System::healthy();
    let dir = system.path("").display().to_string();
    for errno in [libc::ENOSYS, libc::EPERM] {
        let run = |words: &[&str]| {
            let mut command = Command::new(ivaltctl_path());
            command.args(words).env_clear().stdin(Stdio::null());
            // SAFETY: prctl(2) alone is called between fork and exec.
            unsafe { command.pre_exec(move || without_openat2(errno)) };
            called(command.output().unwrap())
        };
        for words in [
            ["check", "--root", &dir].as_slice(),
            &["disable", "sudo", "--root", &dir],
        ] {
            let end = if words[0] == "check" {
                "checked"
            } else {
                "changed"
            };
            let why = format!(
                "ivaltctl: {dir}: this kernel does not offer openat2(2), without which a link in the folder could lead out of \
                 it; it is there from Linux 5.6 on (uname -r), unless a container's filter forbids it; nothing was {end}\n"
            );
            let called = run(words);
            assert_eq!((called.status, called.stderr), (1, why), "{errno}");
        }
        let here = run(&["check", "--json"]);
        assert_eq!(here.stderr, "");
        assert!(here.json()["findings"].is_array());
    }
}

fn without_openat2(errno: i32) -> io::Result<()> {
    let rule = |code: u32, jt, k| libc::sock_filter {
        code: code as u16,
        jt,
        jf: 0,
        k,
    };
    let (load, equals, answer) = (
        libc::BPF_LD | libc::BPF_W | libc::BPF_ABS,
        libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K,
        libc::BPF_RET | libc::BPF_K,
    );
    let mut rules = [
        rule(load, 0, 0),
        rule(equals, 1, libc::SYS_openat2 as u32),
        rule(answer, 0, libc::SECCOMP_RET_ALLOW),
        rule(answer, 0, libc::SECCOMP_RET_ERRNO | errno as u32),
    ];
    let program = libc::sock_fprog {
        len: rules.len() as u16,
        filter: rules.as_mut_ptr(),
    };
    // SAFETY: prctl(2) reads the program, which lives until it returns.
    let set = unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        libc::prctl(
            libc::PR_SET_SECCOMP,
            libc::SECCOMP_MODE_FILTER,
            &raw const program,
        )
    };
    if set == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Escape sequences, C1 controls and changes of direction, of DIR and of the command line; JSON has its own escapes.
#[test]
fn foreign_text_is_made_visible() {
    const HOSTILE: &str = "\u{1b}[2k\u{9b}1m\u{202e}\u{7}";
    const SHOWN: &str = "\\u{1b}[2k\\u{9b}1m\\u{202e}\\u{7}";
    let system = without_ivalt();
    let lines = format!("auth\trequisite pam_unix.so\n# {HOSTILE}.\n");
    system.write("etc/pam.d/sudo", &lines);
    let covered = "auth requisite pam_unix.so\nauth required pam_ivalt.so\n";
    system.write(&format!("etc/pam.d/x{HOSTILE}"), covered);
    let called = |words: &[&str]| {
        let called = ivaltctl(&system, words);
        for text in [&called.stdout, &called.stderr] {
            let acts = |c: char| (c.is_control() && !"\n\t".contains(c)) || c == '\u{202e}';
            assert!(!text.contains(acts), "{text:?}");
        }
        called
    };
    let enabled = called(&["enable", "sudo", "--yes"]);
    assert_eq!((enabled.status, enabled.stderr.as_str()), (0, ""));
    let diff = format!(
        " auth\trequisite pam_unix.so\n+# By `ivaltctl enable`; `ivaltctl disable` puts the file back as it was.\n+auth    required    pam_ivalt.so\n # {SHOWN}.\n"
    );
    assert!(enabled.stdout.contains(&diff), "{}", enabled.stdout);
    let services = format!("services that ask iVALT: sudo, sudo-i, x{SHOWN}\n");
    let checked = called(&["check"]).stdout;
    assert!(checked.ends_with(&services), "{checked}");
    let report = ivaltctl(&system, &["check", "--json"]).json();
    assert_eq!(
        report["services"],
        json!(["sudo", "sudo-i", format!("x{HOSTILE}")])
    );
    system.write("etc/pam.d/sudo", &lines.replace('.', "!"));
    let edited = called(&["disable", "sudo", "--yes"]).stdout;
    assert!(edited.contains(&format!("+# {SHOWN}!\n")), "{edited}");
    called(&["enable", &format!("a{HOSTILE}"), "--yes"]);
    for words in [
        ["check", "--root", &format!("/{HOSTILE}")],
        ["users", "list", &format!("--config=/{HOSTILE}")],
    ] {
        let refused = tool::ivaltctl(&words).stderr;
        assert!(
            refused.contains(SHOWN) && !refused.contains('\u{1b}'),
            "{refused}"
        );
    }
}

/// A line end in a name would put what follows it where a command is expected; JSON has no bytes that are not UTF-8.
#[test]
fn names_that_are_no_text() {
    let system = System::healthy();
    let name = OsStr::from_bytes(b"x\nrm y\xff");
    let rule = "alice ALL=(ALL) NOPASSWD: ALL\n";
    system.write("etc/sudoers", "@includedir /etc/sudoers.d\n");
    system.write("etc/sudoers.d/README", "");
    fs::write(system.path("etc/sudoers.d").join(name), rule).unwrap();
    let shown = "/etc/sudoers.d/x\nrm y\u{fffd}";
    let report = ivaltctl(&system, &["check", "--json"]).json();
    assert_eq!(report["findings"][0]["file"], shown, "{report}");
    let checked = ivaltctl(&system, &["check"]).stdout;
    let fix = "\n  fix: remove NOPASSWD:; run: visudo -f '/etc/sudoers.d/x'$'\\n''rm y\u{fffd}'\n";
    assert!(checked.contains(fix), "{checked}");
}

/// A hard link to a file of root's on the same file system: its mode stays as it is, and nobody locks it.
#[test]
fn a_lock_that_is_another_file() {
    let system = without_ivalt();
    let lock = system.path("var/lib/ivalt/exclusive.lock");
    fs::create_dir_all(lock.parent().unwrap()).unwrap();
    let outside = system.path("shadow");
    fs::write(&outside, "").unwrap();
    fs::set_permissions(&outside, fs::Permissions::from_mode(0o400)).unwrap();
    fs::hard_link(&outside, &lock).unwrap();
    let called = ivaltctl(&system, &["enable", "sudo", "--yes"]);
    let shared = "DIR/var/lib/ivalt/exclusive.lock: users other than root may open it, and so could keep ivaltctl waiting; nothing was changed; remove it: rm DIR/var/lib/ivalt/exclusive.lock";
    assert_eq!(called.stderr, sentence(shared, &system));
    assert_eq!(fs::metadata(&outside).unwrap().mode() & 0o777, 0o400);
}
