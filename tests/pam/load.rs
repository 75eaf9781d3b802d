//! Many calls: in one process one after the other, while the files change, and with a log that cannot keep up.

use std::collections::HashSet;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use support::codes::*;
use support::{Case, DevLog, StandIn, release_is_tested, sandbox_test, users, write_file};

/// The module that is shipped is fast.
fn rounds() -> u32 {
    if release_is_tested() { 10_000 } else { 1_000 }
}

fn case(ivalt: &StandIn) -> Case {
    let case = Case::against(ivalt).limit(Duration::from_secs(120));
    let settings = case
        .settings(ivalt)
        .set("api", "timeout_seconds", 30)
        .set("token", "attempts", 1);
    case.with_settings(&settings)
}

/// Resident memory stays as it was after the first hundred; no descriptor and no thread is left.
#[sandbox_test]
fn very_many_logins_in_one_process() {
    let ivalt = StandIn::start();
    let tokens = ["accept-", "accept-", "reject-", "body:"];
    let rounds = rounds();
    let report = case(&ivalt).rounds(rounds, &tokens).run();
    let soak = report.soak();
    println!("{rounds} logins: {soak:?}");
    let quarter = rounds / 4;
    let codes = [
        (PAM_SUCCESS, 2 * quarter),
        (PAM_AUTH_ERR, quarter),
        (PAM_AUTHINFO_UNAVAIL, quarter),
    ];
    assert_eq!(soak.codes, codes.into());
    assert_eq!(soak.logged, rounds as usize);
    let sent = ivalt.tokens();
    let each = (0..rounds as usize).map(|number| format!("{}{number}", tokens[number % 4]));
    assert_eq!(sent, Vec::from_iter(each));
    let (warm, end) = (&soak.warm, &soak.end);
    assert_eq!(
        (warm.descriptors, warm.threads),
        (end.descriptors, end.threads)
    );
    assert!(end.rss_kib <= warm.rss_kib + 128, "{warm:?} {end:?}");
}

/// Every file is read as one of those that were there, never as a mixture: each server knows its own key only and
/// has a certificate of its own, and each mobile is from a whole file. Between the two files there is no
/// such promise.
#[sandbox_test]
fn files_that_are_replaced_meanwhile() {
    let rounds = rounds() / 4;
    let keys = ["key-of-the-first".to_owned(), "K2".repeat(1_000)];
    let servers = [StandIn::with_key(&keys[0]), StandIn::with_key(&keys[1])];
    let mobiles = ["+916283974746", "+4915112345678"];
    let case = case(&servers[0]).rounds(rounds, &["accept-"]);
    let padding = format!("# {}\n", "x".repeat(100_000));
    let settings = [0, 1].map(|which| {
        let settings = case
            .settings(&servers[which])
            .set("api", "timeout_seconds", 30)
            .set("api", "key", keys[which].as_str());
        padding.repeat(which) + &settings.text()
    });
    let users =
        [0, 1].map(|which| padding.repeat(2 * (1 - which)) + &users(&[("alice", mobiles[which])]));
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| replace_in_turn(&over, &case.config(), &settings, Duration::from_millis(3)));
        scope
            .spawn(|| replace_in_turn(&over, &case.users_file(), &users, Duration::from_millis(5)));
        let observed = scope.spawn(|| case.observe()).join();
        over.store(true, Ordering::Relaxed);
        let observed = observed.expect("a run within its limit");
        assert_eq!(
            observed.report().soak().codes,
            [(PAM_SUCCESS, rounds)].into()
        );
    });
    let tokens = servers.iter().flat_map(StandIn::tokens);
    assert_eq!(tokens.collect::<HashSet<_>>().len(), rounds as usize);
    for server in &servers {
        let requests = server.requests();
        let mut of_each = [0; 2];
        for request in &requests {
            let mobile = mobiles
                .iter()
                .position(|mobile| request["body"]["mobile"] == *mobile);
            of_each[mobile.expect("a mobile of the files")] += 1;
        }
        assert!(of_each.iter().all(|number| *number > 0), "{of_each:?}");
    }
}

/// As an administrator's tools do it: written beside, then renamed.
fn replace_in_turn(over: &AtomicBool, path: &Path, texts: &[String; 2], pause: Duration) {
    let beside = path.with_extension("new");
    for text in texts.iter().cycle() {
        if over.load(Ordering::Relaxed) {
            break;
        }
        write_file(&beside, text, 0o600);
        fs::rename(&beside, path).unwrap();
        thread::sleep(pause);
    }
}

/// A login waits for its log for a second at most, however little room there is in it.
#[sandbox_test]
fn a_log_that_cannot_keep_up() {
    let ivalt = StandIn::start();
    let report = case(&ivalt)
        .dev_log(DevLog::Slow)
        .rounds(6, &["accept-"])
        .run();
    let soak = report.soak();
    assert_eq!(soak.codes, [(PAM_SUCCESS, 6)].into());
    assert!((800..2_000).contains(&soak.longest_ms), "{soak:?}");
}
