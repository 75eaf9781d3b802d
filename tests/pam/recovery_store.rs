//! The store of recovery codes as it must not be: every wrong owner, mode, kind and link, in each of its places. Nobody
//! is let in, nothing is spent, and the log names path, fault and fix.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;

use crate::codes::*;
use crate::expect::*;
use support::{Case, StandIn, no_root, sandbox_test};

/// alice has two codes, and gives the first.
struct Fixture {
    case: Case,
    codes: Codes,
    texts: Vec<String>,
}

impl Fixture {
    fn new(ivalt: &StandIn) -> Self {
        let (mut case, codes, texts) = with_codes(ivalt, 2);
        case.script.answers = vec![texts[0].as_str().into()];
        Self { case, codes, texts }
    }

    /// Denied for this cause, in which PATH is where the fault is as sentences call it.
    #[track_caller]
    fn misconfigured(&self, name: &str, path: &Path, cause: &str) {
        let report = self.case.run();
        let line = expect(&report, MISCONFIGURED);
        let cause = cause.replace("PATH", path.to_str().unwrap());
        assert_eq!(line.get("cause"), cut(&cause), "{name}");
        assert_eq!(report.told(), [BROKEN], "{name}");
    }

    /// And the code is as good as before, once the fault is mended.
    #[track_caller]
    fn accepted(&self, name: &str) {
        let line = expect(&self.case.run(), ACCEPTED);
        assert_eq!(line.get("detail"), "code 1, 1 left", "{name}");
    }

    /// The directory, the user's folder, the salt and the code's file, each as sentences call it.
    fn places(&self) -> [(&'static str, std::path::PathBuf, std::path::PathBuf); 4] {
        let folder = self.codes.folder("alice");
        let (salt, code) = (
            folder.join("salt"),
            self.codes.file_of("alice", &self.texts[0]),
        );
        let directory = self.codes.directory.clone();
        [
            ("directory", directory.clone(), directory),
            ("folder", folder.clone(), folder.clone()),
            ("salt", salt.clone(), salt),
            ("code", code, folder.join("code-*")),
        ]
    }
}

/// Puts something in this place.
type Make<'a> = &'a dyn Fn(&Path);

/// A value of the log line.
fn cut(text: &str) -> &str {
    &text[..text.len().min(256)]
}

#[sandbox_test]
fn wrong_owners() {
    if no_root("changes owners") {
        return;
    }
    let ivalt = StandIn::start();
    for place in 0..4 {
        let fixture = Fixture::new(&ivalt);
        let (name, path, shown) = &fixture.places()[place];
        chown(path, Some(12345), None).unwrap();
        let cause = "PATH: belongs to user id 12345, not to root; run: chown root:root PATH";
        fixture.misconfigured(name, shown, cause);
        chown(path, Some(0), None).unwrap();
        fixture.accepted(name);
    }
}

#[sandbox_test]
fn wrong_modes() {
    let ivalt = StandIn::start();
    let set = |path: &Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    for place in 0..4 {
        let fixture = Fixture::new(&ivalt);
        let (name, path, shown) = &fixture.places()[place];
        let is_folder = path.is_dir();
        for mode in [0o755, 0o770, 0o710, 0o701, 0o1777] {
            if is_folder {
                set(path, mode);
                let cause = format!(
                    "PATH: is open to group or others (mode {mode:04o}); if it holds recovery codes alone, run: \
                     chmod 0700 PATH"
                );
                fixture.misconfigured(name, shown, &cause);
            }
        }
        for (mode, what) in [
            (0o644, "holds a secret and is readable by group or others"),
            (0o640, "holds a secret and is readable by group or others"),
            (0o602, "is writable by group or others"),
            (0o620, "is writable by group or others"),
        ] {
            if !is_folder {
                set(path, mode);
                let cause = format!("PATH: {what} (mode {mode:04o}); run: chmod 0600 PATH");
                fixture.misconfigured(name, shown, &cause);
            }
        }
        set(path, if is_folder { 0o700 } else { 0o600 });
        fixture.accepted(name);
    }
}

#[sandbox_test]
fn symbolic_links() {
    let ivalt = StandIn::start();
    for place in 0..4 {
        let fixture = Fixture::new(&ivalt);
        let (name, path, shown) = &fixture.places()[place];
        let aside = fixture.case.dir().join("aside");
        fs::rename(path, &aside).unwrap();
        symlink(&aside, path).unwrap();
        let what = if aside.is_dir() {
            "is not a directory"
        } else {
            "is a symbolic link"
        };
        fixture.misconfigured(
            name,
            shown,
            &format!("PATH: {what}; inspect: namei -l PATH"),
        );
        // As a path in the settings may end in one.
        if place == 0 {
            let text = fs::read_to_string(fixture.case.config()).unwrap();
            let slash = text.replace("/recovery\"", "/recovery/\"");
            assert_ne!(slash, text);
            fs::write(fixture.case.config(), slash).unwrap();
            let cause = format!("{0}/: {what}; inspect: namei -l {0}/", shown.display());
            fixture.misconfigured(name, shown, &cause);
        }
        fs::remove_file(path).unwrap();
        fs::rename(&aside, path).unwrap();
        fixture.accepted(name);
    }
}

#[sandbox_test]
fn what_is_no_regular_file() {
    let ivalt = StandIn::start();
    let fifo = |path: &Path| {
        assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
    };
    let short = support::TempDir::new().join("s");
    let socket = |path: &Path| {
        // A name for bind(2) has about a hundred bytes.
        fs::create_dir(short.parent().unwrap()).unwrap();
        drop(UnixListener::bind(&short).unwrap());
        fs::rename(&short, path).unwrap();
        fs::remove_dir(short.parent().unwrap()).unwrap();
    };
    let folder = |path: &Path| fs::create_dir(path).unwrap();
    let file = |path: &Path| fs::write(path, "").unwrap();
    let kinds: [(&str, Make); 4] = [
        ("a FIFO", &fifo),
        ("a socket", &socket),
        ("a folder", &folder),
        ("a file", &file),
    ];
    for place in 0..4 {
        for (kind, make) in kinds {
            let fixture = Fixture::new(&ivalt);
            let (name, path, shown) = &fixture.places()[place];
            if (kind == "a folder") == path.is_dir() && kind != "a FIFO" && kind != "a socket"
                || (kind == "a file" && !path.is_dir())
            {
                continue;
            }
            let aside = fixture.case.dir().join("aside");
            fs::rename(path, &aside).unwrap();
            make(path);
            let cause = match (aside.is_dir(), kind) {
                (true, _) => "PATH: is not a directory; inspect: namei -l PATH",
                (false, "a socket") => {
                    "PATH: cannot be opened (no such device or address); inspect: namei -l PATH"
                }
                (false, _) => "PATH: is not a regular file; inspect: ls -ld PATH",
            };
            fixture.misconfigured(&format!("{name}: {kind}"), shown, cause);
            let removed = if path.is_dir() {
                fs::remove_dir(path)
            } else {
                fs::remove_file(path)
            };
            removed.unwrap();
            fs::rename(&aside, path).unwrap();
            fixture.accepted(name);
        }
    }
}

/// The other name would still be there after the code was used.
#[sandbox_test]
fn hard_links() {
    let ivalt = StandIn::start();
    for place in 2..4 {
        let fixture = Fixture::new(&ivalt);
        let (name, path, shown) = &fixture.places()[place];
        let other = fixture.case.dir().join("second-name");
        fs::hard_link(path, &other).unwrap();
        let folder = fixture.codes.folder("alice");
        let cause = format!(
            "PATH: has 2 hard links: a copy would stay when it is removed; inspect: find {} -type f -links +1",
            folder.display()
        );
        fixture.misconfigured(name, shown, &cause);
        fs::remove_file(other).unwrap();
        fixture.accepted(name);
    }
}

#[sandbox_test]
fn contents_that_nobody_wrote() {
    let ivalt = StandIn::start();
    for (place, content, what) in [
        (2, &b""[..], "does not hold 32 bytes"),
        (2, &[7; 31], "does not hold 32 bytes"),
        (2, &[7; 33], "does not hold 32 bytes"),
        (3, b"", "is not the file of a code"),
        (
            3,
            b"number=1\nmade=1764165600\nexpires=",
            "is not the file of a code",
        ),
        (
            3,
            b"number=1\nmade=1764165600\nexpires=never\n\n",
            "is not the file of a code",
        ),
        (
            3,
            b"number=-1\nmade=1764165600\nexpires=never\n",
            "is not the file of a code",
        ),
        (3, &[b'x'; 4096], "is not the file of a code"),
    ] {
        let fixture = Fixture::new(&ivalt);
        let (name, path, shown) = &fixture.places()[place];
        let right = fs::read(path).unwrap();
        fs::write(path, content).unwrap();
        let cause = format!("PATH: {what}; run: ivaltctl recovery make NAME --replace");
        fixture.misconfigured(name, shown, &cause);
        fs::write(path, right).unwrap();
        fixture.accepted(name);
    }
}

/// No codes have been made, or all are gone: that is no fault, and tokens can still be tried.
#[sandbox_test]
fn what_is_missing_holds_no_codes() {
    let ivalt = StandIn::start();
    for place in 0..3 {
        let fixture = Fixture::new(&ivalt);
        let (name, path, shown) = &fixture.places()[place];
        let aside = fixture.case.dir().join("aside");
        fs::rename(path, &aside).unwrap();
        let case = &fixture.case;
        let settings = settings(case, &ivalt, &fixture.codes).set("token", "attempts", 1);
        let text = fs::read_to_string(case.config()).unwrap();
        fs::write(case.config(), settings.text()).unwrap();
        let line = expect(&case.run(), REFUSED_CODE);
        let cause = format!("{}: does not exist", shown.display());
        assert_eq!(line.get("cause"), cause, "{name}");
        fs::write(case.config(), text).unwrap();
        fs::rename(&aside, path).unwrap();
        fixture.accepted(name);
    }
}

/// The record is for people: whatever stands in its place, the login succeeds, and nothing is written elsewhere.
#[sandbox_test]
fn a_record_that_cannot_be_written() {
    let ivalt = StandIn::start();
    let outside = support::TempDir::new();
    let target = outside.write("target", "as before", 0o600);
    let link = |path: &Path| symlink(&target, path).unwrap();
    let hard = |path: &Path| fs::hard_link(&target, path).unwrap();
    let folder = |path: &Path| fs::create_dir(path).unwrap();
    let fifo = |path: &Path| {
        assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
    };
    let kinds: [Make; 4] = [&link, &hard, &folder, &fifo];
    for make in kinds {
        let fixture = Fixture::new(&ivalt);
        make(&fixture.codes.folder("alice").join("used"));
        fixture.accepted("used");
        assert_eq!(fs::read_to_string(&target).unwrap(), "as before");
    }
    // The caller of su sets the limit, and the signal for exceeding it would kill su.
    let mut fixture = Fixture::new(&ivalt);
    fixture
        .case
        .script
        .soft_limits
        .insert("FSIZE".to_owned(), 0);
    fixture.accepted("RLIMIT_FSIZE");
    assert_eq!(fixture.codes.used("alice"), "");
}
