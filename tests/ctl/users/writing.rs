//! users.toml while it is written: killed at any moment, by several at once, and very large.

use std::fs;
use std::os::unix::fs::{chown, symlink};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::fcntl::{Flock, FlockArg};

use super::Store;
use support::{ivaltctl_path, no_root, release_is_tested};

fn start(store: &Store, words: &[&str]) -> Child {
    Command::new(ivaltctl_path())
        .arg("--config")
        .arg(store.config())
        .arg("users")
        .args(words)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("ivaltctl starts")
}

fn many(count: usize) -> String {
    let line = |number: usize| format!("u{number:07} = \"+1415{number:07}\"\n");
    let lines: String = (0..count).map(line).collect();
    format!("[users]\n{lines}")
}

/// Kills spread evenly over a whole run, and a little past its end.
#[test]
fn killed_at_any_moment_the_file_is_the_old_or_the_new_one() {
    let store = Store::with(&many(1000));
    let begin = Instant::now();
    store.done(&["add", "first", "+14155550100"]);
    let whole = begin.elapsed();
    let (mut killed, mut old, mut new) = (0, 0, 0);
    for number in 0..1000 {
        if killed == 120 {
            break;
        }
        let before = store.text();
        let name = format!("n{number}");
        let mut child = start(&store, &["add", &name, "+14155550100"]);
        thread::sleep(whole.mul_f64(f64::from(number % 40) / 36.0));
        child.kill().unwrap();
        let status = child.wait().unwrap();
        let after = store.text();
        let added = format!("{before}{name} = \"+14155550100\"\n");
        assert!(after == before || after == added, "{number}");
        if status.signal().is_none() {
            assert_eq!((status.code(), after == added), (Some(0), true), "{number}");
            continue;
        }
        killed += 1;
        if after == before {
            old += 1
        } else {
            new += 1
        }
        assert_eq!(
            store.call(&["show", &name]).status,
            i32::from(after == before)
        );
    }
    assert!(
        killed == 120 && old > 0,
        "{killed} killed, {old} old, {new} new"
    );
    store.done(&["add", "last", "+14155550100"]);
    assert!(!store.folder.join(".users.toml.new").exists());
}

#[test]
fn leftovers_of_a_killed_writer_do_no_harm() {
    let store = Store::with("[users]\n");
    store.folder.write(".users.toml.new", "half of", 0o600);
    store.folder.write(".users.toml.lock", "", 0o600);
    store.done(&["add", "root", "+14155550100"]);
    assert_eq!(store.text(), "[users]\nroot = \"+14155550100\"\n");
    let names = fs::read_dir(store.folder.path()).unwrap();
    let mut names: Vec<_> = names.map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, [".users.toml.lock", "ivalt.toml", "users.toml"]);
}

#[test]
fn writers_at_once_lose_nothing() {
    let store = Store::empty();
    thread::scope(|scope| {
        for writer in 0..4 {
            let store = &store;
            scope.spawn(move || {
                for number in 0..25 {
                    let (name, mobile) = (
                        format!("w{writer}-{number}"),
                        format!("+1415555{writer}{number:03}"),
                    );
                    store.done(&["add", &name, &mobile]);
                }
            });
        }
    });
    let listed = store.done(&["list"]).stdout;
    assert_eq!(
        listed
            .lines()
            .filter(|line| line.ends_with("  enabled"))
            .count(),
        100,
        "{listed}"
    );
}

#[test]
fn a_second_writer_waits_and_then_gives_up() {
    let store = Store::with("[users]\n");
    let lock = store.folder.write(".users.toml.lock", "", 0o600);
    let lock = fs::File::open(lock).unwrap();
    let lock = Flock::lock(lock, FlockArg::LockExclusive).unwrap();
    let mut waiting = start(&store, &["add", "root", "+14155550100"]);
    let called = store.call(&["add", "bin", "+14155550101"]);
    assert_eq!((called.status, called.stdout.as_str()), (1, ""));
    let sentence = "users.toml: another ivaltctl has been changing it for 10 s; nothing was changed; find it: fuser -v ";
    assert!(called.stderr.contains(sentence), "{}", called.stderr);
    assert_eq!(waiting.wait().unwrap().code(), Some(1));
    // Readers do not wait.
    store.done(&["list"]);
    let mut waiting = start(&store, &["add", "root", "+14155550100"]);
    thread::sleep(Duration::from_millis(200));
    drop(lock);
    assert_eq!(waiting.wait().unwrap().code(), Some(0));
    assert_eq!(store.text(), "[users]\nroot = \"+14155550100\"\n");
}

/// flock(2) takes a descriptor that was opened for reading.
#[test]
fn a_lock_that_others_could_hold_is_refused() {
    for mode in [0o604, 0o640, 0o666] {
        let store = Store::with("[users]\n");
        let lock = store.folder.write(".users.toml.lock", "", mode);
        let called = store.call(&["add", "root", "+14155550100"]);
        let path = lock.display();
        let sentence = format!(
            "ivaltctl: {path}: users other than root may open it, and so could keep ivaltctl waiting; nothing was changed; remove it: rm {path}\n"
        );
        assert_eq!((called.status, called.stderr), (1, sentence), "{mode:o}");
        assert_eq!(store.text(), "[users]\n");
    }
}

#[test]
fn a_lock_that_is_a_link_or_of_another_user_is_refused() {
    let store = Store::with("[users]\n");
    let elsewhere = store.folder.write("elsewhere", "", 0o600);
    let lock = store.folder.join(".users.toml.lock");
    symlink(&elsewhere, &lock).unwrap();
    assert_eq!(store.call(&["add", "root", "+14155550100"]).status, 1);
    fs::remove_file(&lock).unwrap();
    if no_root("gives a lock away") {
        return;
    }
    let lock = store.folder.write(".users.toml.lock", "", 0o600);
    chown(&lock, Some(4242), None).unwrap();
    let called = store.call(&["add", "root", "+14155550100"]);
    let end = format!(
        "users other than root may open it, and so could keep ivaltctl waiting; nothing was changed; remove it: rm {}\n",
        lock.display()
    );
    assert_eq!(called.status, 1);
    assert!(called.stderr.ends_with(&end), "{}", called.stderr);
    assert_eq!(store.text(), "[users]\n");
}

/// Every entry is parsed, which a program that is not optimised does slowly; there, comments make up the size.
fn as_large_as_can_be(spare: usize) -> String {
    let users = if release_is_tested() {
        2_500_000
    } else {
        20_000
    };
    let mut text = many(users);
    let comment = format!("# {}\n", "x".repeat(1020));
    let size = (64 << 20) - spare;
    while text.len() + comment.len() <= size {
        text.push_str(&comment);
    }
    text.extend(std::iter::repeat_n('#', size - text.len()));
    text
}

#[test]
fn sixty_four_mebibytes_can_be_changed_and_not_passed() {
    let before = as_large_as_can_be(32);
    let store = Store::with(&before);
    store.done(&["add", "root", "+14155550100"]);
    let after = store.text();
    assert!(after == format!("{before}\nroot = \"+14155550100\"\n"));
    let called = store.call(&["add", "bin", "+14155550101"]);
    assert_eq!(called.status, 1);
    let sentence =
        "users.toml: would be larger than 64 MiB, which the module refuses; nothing was changed\n";
    assert!(called.stderr.ends_with(sentence), "{}", called.stderr);
    assert!(store.text() == after);
}

/// An editor that knows nothing of our lock puts its own file in the place while we work.
#[test]
fn an_edit_made_meanwhile_is_not_lost() {
    let store = Store::with(&many(50_000));
    let begin = Instant::now();
    store.done(&["add", "bin", "+14155550101"]);
    let whole = begin.elapsed();
    let mut refused = 0;
    // Edits spread evenly over a whole run, until some have hit.
    for number in 0..400 {
        if refused == 3 {
            break;
        }
        let store = Store::with(&many(50_000));
        let edited = format!("{}root = \"+14155550100\"\n", store.text());
        let child = start(&store, &["add", "bin", "+14155550101"]);
        while !store.folder.join(".users.toml.lock").exists() {
            thread::sleep(Duration::from_millis(1));
        }
        thread::sleep(whole.mul_f64(f64::from(number % 40) / 40.0));
        let swap = store.folder.write("users.toml~", &edited, 0o600);
        fs::rename(swap, store.users_file()).unwrap();
        let called = child.wait_with_output().unwrap();
        let stderr = String::from_utf8(called.stderr).unwrap();
        match called.status.code() {
            // Before our change, or after it: both are correct.
            Some(0) => assert!(store.text().starts_with(&edited)),
            _ => {
                assert!(
                    stderr.contains("another program has just changed it; try again"),
                    "{stderr}"
                );
                assert!(store.text() == edited);
                refused += 1;
            }
        }
    }
    assert_eq!(refused, 3);
}

#[test]
fn a_hundred_thousand_rows_are_imported_in_seconds() {
    let store = Store::with("[users]\n");
    let row = |number: usize| format!("p{number:06},+4930{number:07}\n");
    let rows: String = (0..100_000).map(row).collect();
    let csv = store.folder.write("new.csv", rows, 0o600);
    let begin = Instant::now();
    let called = store.done(&["import", csv.to_str().unwrap()]);
    let took = begin.elapsed();
    assert_eq!(called.stdout, "100000 users added\n");
    assert_eq!(store.text().lines().count(), 100_001);
    assert!(took < Duration::from_secs(60), "{took:?}");
}
