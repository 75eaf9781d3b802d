//! `--root DIR` is a boundary: whatever DIR holds, no file outside is opened, made or changed, and every fault names the
//! path.

use std::ffi::CString;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::fd::{AsRawFd, FromRawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::check::{IVALT, MODULE, SSHD, System, USERS};
use crate::tool::{Called, called};
use support::{TempDir, no_root};

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

const TRAPS: [Trap; 9] = [
    Relative, Absolute, Chain, Loop, Fifo, Device, Folder, LinkToNull, Null,
];

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

/// A folder outside with a file, which nobody may open.
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
        folder.write("HOSTFILE", format!("{CANARY}\n"), 0o644);
        let before = states(folder.path());
        // SAFETY: inotify(7) takes numbers and a C string; the descriptor belongs to the File alone.
        let events = unsafe {
            let events = done(libc::inotify_init1(libc::IN_NONBLOCK | libc::IN_CLOEXEC));
            let path = CString::new(folder.path().as_os_str().as_bytes()).unwrap();
            done(libc::inotify_add_watch(
                events,
                path.as_ptr(),
                libc::IN_ALL_EVENTS,
            ));
            File::from_raw_fd(events)
        };
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
        let mut events = [0; 4096];
        let seen = (&self.events).read(&mut events);
        let none = seen.as_ref().map_err(io::Error::kind);
        assert_eq!(
            none,
            Err(io::ErrorKind::WouldBlock),
            "{name}: it was opened"
        );
        assert_eq!(states(self.folder.path()), self.before, "{name}");
        assert!(self.events.as_raw_fd() >= 0);
    }
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
        .args(["300", env!("CARGO_BIN_EXE_ivaltctl")])
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

#[test]
fn matrix() {
    if no_root("makes devices") {
        return;
    }
    for (path, is_folder) in [
        (IVALT, false),
        ("etc/ivalt/api.key", false),
        (USERS, false),
        ("etc/ivalt/ca.pem", false),
        ("etc/passwd", false),
        ("etc/sudoers", false),
        ("etc/sudoers.d", true),
        ("etc/sudoers.d/README", false),
        (SSHD, false),
        ("etc/ssh/sshd_config.d", true),
        ("etc/ssh/sshd_config.d/50-empty.conf", false),
        ("etc/pam.d/sshd", false),
        ("etc/pam.d/common-auth", false),
        ("etc/pam.d", true),
        (MODULE, false),
        ("etc/ssl/certs/ca-certificates.crt", false),
    ] {
        for trap in TRAPS {
            let system = System::healthy();
            if path.ends_with("api.key") {
                system.write(IVALT, "[api]\nkey_file = \"/etc/ivalt/api.key\"\n");
            }
            if path.ends_with("ca.pem") {
                system.write(
                    IVALT,
                    "[api]\nkey = \"K\"\nca_file = \"/etc/ivalt/ca.pem\"\n",
                );
            }
            let outside = Outside::new();
            trap.set(&system, path, &outside.target(is_folder));
            let called = ivaltctl(&system, &["check", "--json"]);
            outside.is_untouched(path);
            println!("{path} {trap:?}: {} {:?}", called.status, findings(&called));
        }
    }
}

#[test]
fn matrix2() {
    if no_root("makes devices") {
        return;
    }
    for (service, path, is_folder) in [
        ("sudo", "var/lib/ivalt/exclusive.lock", false),
        ("sudo", "var/lib/ivalt/sudo.json", false),
        ("sudo", "var/lib/ivalt/.sudo.json.new", false),
        ("sudo", "var/lib/ivalt", true),
        ("sudo", "var/lib", true),
        ("sudo", "etc/pam.d/sudo", false),
        ("sudo", "etc/pam.d", true),
        ("sudo", "etc/pam.d/.sudo.new", false),
        ("sshd", "etc/ssh/sshd_config.d/00-ivalt.conf", false),
        ("sshd", "etc/ssh/sshd_config.d", true),
        ("sshd", SSHD, false),
    ] {
        for trap in TRAPS {
            for after in [false, true] {
                let system = System::healthy();
                for name in ["sudo", "sudo-i", "sshd"] {
                    system.write(
                        &format!("etc/pam.d/{name}"),
                        "auth requisite pam_unix.so\naccount required pam_permit.so\n",
                    );
                }
                if after {
                    let c = ivaltctl(&system, &["enable", service, "--yes"]);
                    assert_eq!(c.status, 0, "{c:?}");
                }
                let outside = Outside::new();
                trap.set(&system, path, &outside.target(is_folder));
                let called = ivaltctl(
                    &system,
                    &[if after { "disable" } else { "enable" }, service, "--yes"],
                );
                outside.is_untouched(path);
                println!(
                    "{path} {trap:?} {after}: {} {:?} {:?}",
                    called.status,
                    called
                        .stderr
                        .replace(system.path("").to_str().unwrap(), "DIR/"),
                    called.stdout.lines().last()
                );
            }
        }
    }
}
