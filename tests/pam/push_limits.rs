//! One login at a time for a phone, and none where a late tap could let in somebody else: lock, record and holds.

use std::fs::{self, Permissions};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use crate::expect::*;
use crate::phones::*;
use support::codes::PAM_CONV_ERR;
use support::{Case, Reply, Report, StandIn, TempDir, no_root, sandbox_test, users};

/// Enter, and then nobody.
fn rings(case: Case) -> Report {
    case.answer("").answer(Reply::error(PAM_CONV_ERR)).run()
}

/// Runs `meanwhile` while this case waits at its second prompt; then it is answered with Enter.
fn while_it_waits(owner: &Owner, case: Case, meanwhile: impl FnOnce()) -> Report {
    let gates = TempDir::new();
    let gate = gates.join("gate");
    let waits = Reply {
        answer: Some("".into()),
        await_file: Some(gate.clone()),
        ..Reply::default()
    };
    let case = case.answer("").answer(waits);
    thread::scope(|scope| {
        let run = scope.spawn(|| case.run());
        let deadline = Instant::now() + Duration::from_secs(60);
        while fs::read_dir(gates.path()).unwrap().count() == 0 {
            assert!(
                Instant::now() < deadline && !run.is_finished(),
                "it does not wait"
            );
            thread::sleep(Duration::from_millis(5));
        }
        meanwhile();
        owner.ivalt.tap(&owner.mobile, "approve");
        fs::write(gate, "").unwrap();
        run.join().unwrap()
    })
}

#[sandbox_test]
fn one_login_at_a_time() {
    let ivalt = StandIn::start();
    let host = Host::new();
    let owner = host.owner(&ivalt, 1);
    let first = while_it_waits(&owner, owner.case(), || {
        let asked = owner.operations();
        assert_eq!(asked, [POLL, START, POLL]);
        for _ in 0..2 {
            let report = owner.case().answer("").answer("").run();
            let line = expect(&report, BUSY);
            assert_eq!([line.get("http"), line.get("attempts")], ["", "1"]);
            prompts(&report, &[OR_ENTER]);
            assert_eq!(report.told(), [ANOTHER_WAITS]);
        }
        // Another name, another form of it, the same phone.
        let national = owner.mobile[3..].to_owned();
        for (name, number, format) in [
            ("dora", &owner.mobile, "e164"),
            ("eve", &national, "national"),
        ] {
            let case = owner.case().users(&users(&[(name, number)])).user(name);
            let settings = owner.settings(&case).set("token", "mobile_format", format);
            expect(&case.with_settings(&settings).answer("").run(), BUSY);
        }
        assert_eq!(owner.operations(), asked);
        // Another phone, and a token for this one.
        let other = host.owner(&ivalt, 2);
        expect(&other.with_tap(other.case(), "approve").run(), APPROVED);
        expect(&owner.case().answer("accept-1").run(), VERIFIED);
    });
    expect(&first, APPROVED);
    // Another host knows nothing of it: one tap lets both in.
    let (owner, there) = (host.owner(&ivalt, 3), Host::new());
    let first = while_it_waits(&owner, owner.case(), || {
        let other = there.owner(&ivalt, 3);
        expect(&other.with_tap(other.case(), "approve").run(), APPROVED);
    });
    expect(&first, APPROVED);
}

/// However the first ended, the lock is free.
#[sandbox_test]
fn the_lock_ends_with_the_login() {
    let ivalt = StandIn::start();
    let host = Host::new();
    let owner = host.owner(&ivalt, 1);
    for answers in [
        &["approved"][..],
        &["http-503"],
        &["forbidden"],
        &["pending", "sent", "approved"],
        &["pending", "forbidden"],
        &["pending", "sent", "pending", "approved"],
    ] {
        owner.will_answer(answers);
        let reason = owner.case().answer("").answer("").run().log_line().reason();
        assert_ne!(reason, "push-busy", "{answers:?}");
    }
    assert_eq!(owner.held(), None);
}

/// An answer that never comes, and one that comes too late, are on the phone all the same.
#[sandbox_test]
fn a_request_that_nobody_answered_holds_the_phone_for_five_minutes() {
    let ivalt = StandIn::start();
    let host = Host::new();
    let owner = host.owner(&ivalt, 1);
    let mut case = owner.case().rhost("203.0.113.7");
    case.script.answers = vec!["".into(); 4];
    expect(&case.run(), NOT_APPROVED);
    let cause = owner.held().unwrap();
    assert!(cause.contains("203.0.113.7"), "{cause}");
    // The owner wakes up: whoever comes now has not sent this request.
    ivalt.tap(&owner.mobile, "approve-sticky");
    // It slept for 24 s of those on its way.
    assert!(owner.held_later(290).is_some());
    assert_eq!(owner.held_later(330), None);
}

#[sandbox_test]
fn a_denial_holds_it_for_fifteen() {
    let ivalt = StandIn::start();
    let host = Host::new();
    let owner = host.owner(&ivalt, 1);
    let case = owner.with_tap(owner.case().rhost("2001:db8::7"), "deny");
    expect(&case.run(), DENIED);
    for seconds in [0, 301, 890] {
        let cause = owner.held_later(seconds).unwrap();
        assert!(
            cause.contains("2001:db8::7") && cause.contains("was denied on the phone"),
            "{cause}"
        );
    }
    assert_eq!(owner.held_later(901), None);
}

/// The login that is held back names the one that caused it: from where, and when by the clock on the wall.
#[sandbox_test]
fn the_cause_names_who_caused_it() {
    let ivalt = StandIn::start();
    let host = Host::new();
    for (number, rhost, shown) in [
        (1, "203.0.113.7", "203.0.113.7"),
        (2, "gate.example", "gate.example"),
        (3, "a b\"\n\u{1b}[31m", "\\x"),
        (4, "", ""),
        (5, &"x".repeat(2_000), "xxx"),
    ] {
        let owner = host.owner(&ivalt, number);
        let case = owner.case().rhost(rhost);
        // 2033-05-18 03:33:20
        let ahead = 2_000_000_000 - now();
        let case = case.env("WALL_AHEAD", &ahead.to_string());
        expect(&rings(case), UNANSWERED);
        let cause = owner.held().unwrap();
        assert!(
            cause.contains("2033-05-18") && cause.contains("03:3"),
            "{cause}"
        );
        assert!(cause.contains(shown), "{cause}");
        // Whoever chose that name has not hidden the rest.
        let told = cause.ends_with("to end that, run: ivaltctl push release NAME");
        assert!(told || number == 3, "{cause}");
        assert!(!cause.contains(['\n', '\u{1b}']), "{cause}");
    }
}

fn now() -> i64 {
    let since = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap();
    since.as_secs().try_into().unwrap()
}

#[sandbox_test]
fn only_so_many_in_an_hour() {
    let ivalt = StandIn::start();
    let host = Host::new();
    for (number, most) in [(1, None), (2, Some(1)), (3, Some(5))] {
        let owner = host.owner(&ivalt, number);
        let case = || match most {
            None => owner.case(),
            Some(most) => {
                let case = owner.case();
                let settings = owner.settings(&case).set("push", "max_unanswered", most);
                case.with_settings(&settings)
            }
        };
        let most = i64::from(most.unwrap_or(3));
        for number in 0..most {
            expect(&rings(later(case(), 340 * number)), UNANSWERED);
        }
        let over = 340 * most;
        let report = rings(later(case(), over));
        let line = expect(&report, LIMITED);
        assert_eq!(report.told(), [HELD_BACK]);
        assert!(!line.get("cause").is_empty());
        expect(&rings(later(case(), 3_595)), LIMITED);
        // The first is an hour old, and then this one is one more.
        if most > 1 {
            expect(&rings(later(case(), 3_605)), UNANSWERED);
            expect(&rings(later(case(), 3_605 + 302)), LIMITED);
        }
    }
}

/// What was answered is no request that nobody answered.
#[sandbox_test]
fn answered_requests_do_not_count() {
    let ivalt = StandIn::start();
    let host = Host::new();
    let owner = host.owner(&ivalt, 1);
    for number in 0..4 {
        let case = later(owner.case(), 1_000 * number);
        let (word, row) = if number == 2 {
            ("deny", DENIED)
        } else {
            ("approve-once", APPROVED)
        };
        expect(&owner.with_tap(case, word).run(), row);
    }
    for _ in 0..4 {
        owner.will_answer(&["pending", "sent", "approved"]);
        expect(&rings(later(owner.case(), 4_000)), STALE);
    }
    assert_eq!(owner.held_later(4_000), None);
}

/// A token or a code stays possible all the while.
#[sandbox_test]
fn a_held_phone_holds_no_token() {
    let ivalt = StandIn::start();
    let host = Host::new();
    let owner = host.owner(&ivalt, 1);
    expect(&rings(owner.case()), UNANSWERED);
    expect(&owner.case().answer("accept-1").run(), VERIFIED);
    let report = owner.case().answer("").answer("accept-1").run();
    expect(&report, LIMITED);
    prompts(&report, &[OR_ENTER]);
    // Another phone is another's.
    let other = host.owner(&ivalt, 2);
    expect(&other.with_tap(other.case(), "approve").run(), APPROVED);
}

/// The wall's clock may be set as anybody likes; after a reboot the other one begins anew.
#[sandbox_test]
fn clocks_that_jump() {
    let ivalt = StandIn::start();
    let host = Host::new();
    let owner = host.owner(&ivalt, 1);
    expect(&rings(later(owner.case(), 1_000)), UNANSWERED);
    for wall in [-100_000_000, -301, 301, 100_000_000] {
        let case = later(owner.case(), 1_001).env("WALL_AHEAD", &wall.to_string());
        expect(&rings(case), LIMITED);
    }
    // A /run that was kept across a reboot: nobody knows how long ago that was.
    expect(&rings(later(owner.case(), 0)), LIMITED);
    expect(&rings(later(owner.case(), 250)), LIMITED);
    expect(&rings(later(owner.case(), 330)), UNANSWERED);
}

/// Made as it must be, whatever the application's umask.
#[sandbox_test]
fn folder_and_record_are_made() {
    let ivalt = StandIn::start();
    for umask in [0o022, 0o000, 0o777] {
        let host = Host::new();
        let owner = host.owner(&ivalt, 1);
        let mut case = owner.with_tap(owner.case(), "approve-once");
        case.script.umask = Some(umask);
        expect(&case.run(), APPROVED);
        let mode = |path: &Path| fs::symlink_metadata(path).unwrap().mode() & 0o7777;
        let folder = host.folder();
        assert_eq!(mode(folder.parent().unwrap()), 0o700);
        assert_eq!(mode(&folder), 0o700);
        assert_eq!(mode(&owner.record()), 0o600);
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
    }
}

/// Nothing of the mobile is in the record's name but what ends every form of it, and nothing in it grows.
#[sandbox_test]
fn the_record_has_one_size() {
    let ivalt = StandIn::start();
    let host = Host::new();
    let owner = host.owner(&ivalt, 1);
    let size = || fs::metadata(owner.record()).unwrap().len();
    expect(&rings(owner.case()), UNANSWERED);
    let first = size();
    for number in 1..4 {
        let case = later(owner.case(), 4_000 * number).rhost("x".repeat(300 * number as usize));
        expect(&rings(case), UNANSWERED);
        assert_eq!(size(), first);
    }
    let name = owner.record().file_name().unwrap().to_owned();
    assert_eq!(name.len(), 9);
}

type Plant<'a> = &'a dyn Fn(&Path);

fn folder(path: &Path, mode: u32) {
    fs::DirBuilder::new().mode(0o700).create(path).unwrap();
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

/// What stands at the place of `/run/ivalt`, of `push` in it, and of the record in that: whoever could put it there
/// would decide who is let in.
#[sandbox_test]
fn planted_folders_and_records() {
    let ivalt = StandIn::start();
    let outside = TempDir::new();
    folder(&outside.join("folder"), 0o700);
    let target = outside.write("file", "as before", 0o600);
    let elsewhere = outside.join("folder");
    let link_to_folder = |path: &Path| symlink(&elsewhere, path).unwrap();
    let link_to_file = |path: &Path| symlink(&target, path).unwrap();
    let dangling = |path: &Path| symlink(outside.join("missing"), path).unwrap();
    let fifo = |path: &Path| {
        assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
    };
    let file = |path: &Path| fs::write(path, "").unwrap();
    let group = |path: &Path| folder(path, 0o770);
    let others = |path: &Path| folder(path, 0o707);
    let sticky = |path: &Path| folder(path, 0o1777);
    let hard = |path: &Path| fs::hard_link(&target, path).unwrap();
    let open = |path: &Path| {
        fs::write(path, "").unwrap();
        fs::set_permissions(path, Permissions::from_mode(0o666)).unwrap();
    };
    let directory = |path: &Path| folder(path, 0o700);
    let of_folders: [(&str, Plant); 8] = [
        ("a link", &link_to_folder),
        ("a link to a file", &link_to_file),
        ("a dangling link", &dangling),
        ("a FIFO", &fifo),
        ("a file", &file),
        ("writable by the group", &group),
        ("writable by others", &others),
        ("sticky", &sticky),
    ];
    let of_records: [(&str, Plant); 6] = [
        ("a link", &link_to_file),
        ("a dangling link", &dangling),
        ("a FIFO", &fifo),
        ("a folder", &directory),
        ("a hard link", &hard),
        ("writable by others", &open),
    ];
    for place in 0..3 {
        let kinds: &[(&str, Plant)] = if place < 2 { &of_folders } else { &of_records };
        for (kind, plant) in kinds {
            let host = Host::new();
            let owner = host.owner(&ivalt, 1);
            let path = planted(&host, &owner, place, plant);
            misconfigured(&owner, &path, kind);
            assert_eq!(fs::read_to_string(&target).unwrap(), "as before", "{kind}");
            assert_eq!(fs::read_dir(&elsewhere).unwrap().count(), 0, "{kind}");
            assert!(!outside.join("missing").exists());
        }
    }
}

/// The folders above it are as they should be.
fn planted(host: &Host, owner: &Owner, place: usize, plant: &dyn Fn(&Path)) -> PathBuf {
    let places = [host.run().join("ivalt"), host.folder(), owner.record()];
    for above in &places[..place] {
        folder(above, 0o700);
    }
    plant(&places[place]);
    places[place].clone()
}

#[track_caller]
fn misconfigured(owner: &Owner, path: &Path, name: &str) {
    let before = owner.operations().len();
    let report = owner.case().answer("").answer("").run();
    let line = expect(&report, MISCONFIGURED);
    // As the module sees it.
    let seen = Path::new("/run").join(path.strip_prefix(owner.host.run()).unwrap());
    // The name of a record is most of the mobile.
    let seen = if path == owner.record() {
        seen.with_file_name(format!("***{}", &owner.mobile[9..]))
    } else {
        seen
    };
    let cause = line.get("cause");
    assert!(
        cause.starts_with(&format!("{}: ", seen.display())) && cause.contains("; "),
        "{name}: {cause}"
    );
    assert_eq!(report.told(), [BROKEN], "{name}");
    prompts(&report, &[OR_ENTER]);
    assert_eq!(owner.operations().len(), before, "{name}");
}

#[sandbox_test]
fn folders_and_records_of_somebody_else() {
    if no_root("changes owners") {
        return;
    }
    let ivalt = StandIn::start();
    for place in 0..3 {
        let host = Host::new();
        let owner = host.owner(&ivalt, 1);
        let path = planted(&host, &owner, place, &|path| {
            if place < 2 {
                folder(path, 0o700);
            } else {
                fs::write(path, "").unwrap();
                fs::set_permissions(path, Permissions::from_mode(0o600)).unwrap();
            }
            chown(path, Some(12345), None).unwrap();
        });
        misconfigured(&owner, &path, "another's");
        // And then it is as good as new.
        chown(&path, Some(0), None).unwrap();
        expect(
            &owner.with_tap(owner.case(), "approve-once").run(),
            APPROVED,
        );
    }
}

/// Nobody guesses what a record once said.
#[sandbox_test]
fn a_damaged_record_holds_the_phone() {
    let ivalt = StandIn::start();
    let host = Host::new();
    let owner = host.owner(&ivalt, 1);
    expect(&rings(owner.case()), UNANSWERED);
    let right = fs::read(owner.record()).unwrap();
    let changed = |at: usize, byte: u8| {
        let mut bytes = right.clone();
        bytes[at] = byte;
        bytes
    };
    for bytes in [
        b"x".to_vec(),
        vec![0; right.len()],
        vec![b' '; right.len()],
        vec![0xff; right.len()],
        right[..right.len() / 2].to_vec(),
        right[..right.len() - 1].to_vec(),
        [right.clone(), b"\n".to_vec()].concat(),
        vec![b'1'; 1 << 20],
        changed(0, b'\0'),
        changed(0, b'-'),
        changed(2, 0xff),
    ] {
        fs::write(owner.record(), &bytes).unwrap();
        for seconds in [0, 100_000] {
            let cause = owner.held_later(seconds).unwrap();
            assert!(
                cause.starts_with("/run/ivalt/push/") && cause.contains("is damaged"),
                "{cause}"
            );
            assert!(
                cause.contains("; run: ivaltctl push release NAME"),
                "{cause}"
            );
        }
        assert_eq!(
            fs::read(owner.record()).unwrap(),
            bytes,
            "it is kept as it is"
        );
    }
    // Nothing at all is a record that was not written yet.
    fs::write(owner.record(), "").unwrap();
    assert_eq!(owner.held(), None);
    fs::remove_file(owner.record()).unwrap();
    assert_eq!(owner.held(), None);
}
