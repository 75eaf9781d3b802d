//! Runs one after another, without a disk: what the guards let through, whatever the source says and whenever it is cut off.

use std::collections::{BTreeSet, HashMap};
use std::path::Path;

use proptest::collection::vec;
use proptest::prelude::*;

use super::file::Now;
use super::memory::{DAY, Memory};
use super::person::Person;
use super::plan::{Accept, Choices, Plan};
use super::settings::{Guard, Map};
use super::wanted::{Judged, LocalAccounts, Rules};
use ivalt_core::settings::MobileFormat;

const E164: MobileFormat = MobileFormat::E164;
const SYNCED: &str = "/etc/ivalt/synced.toml";

/// The disk of a host, and its clock.
#[derive(Clone, Default)]
struct Host {
    text: Option<String>,
    memory: Memory,
    wall: u64,
}

#[derive(Clone, Default)]
struct Options {
    accept: Option<&'static str>,
    accept_losses: bool,
    keep_leavers: bool,
    guard: Guard,
    /// The power goes between memory and file.
    cut: bool,
}

type Row<'r> = (&'r str, &'r str, bool);

impl Host {
    fn new() -> Self {
        Self {
            wall: 1000 * DAY,
            ..Self::default()
        }
    }

    fn now(&self) -> Now {
        match &self.text {
            None => Now::default(),
            Some(text) => Now::parse(Path::new(SYNCED), text, E164).expect("it always parses"),
        }
    }

    fn sync(&mut self, rows: &[Row], options: &Options) -> Result<Plan, String> {
        let people = rows.iter().map(|(name, mobile, disabled)| Person {
            place: (*name).to_owned(),
            names: vec![name.as_bytes().to_vec()],
            mobiles: vec![mobile.as_bytes().to_vec()],
            disabled: *disabled,
            is_uid_0: false,
        });
        let people: Vec<Person> = people.collect();
        let rules = Rules {
            map: &Map::default(),
            format: E164,
            local: &LocalAccounts::new("root:x:0:0::/:/bin/sh\n", &[], Vec::new()),
        };
        let judged = Judged::new(&people, Vec::new(), &rules);
        let now = self.now();
        let memory = self.memory.at(self.wall, &now);
        let accept = match options.accept {
            Some("all") => Accept::All,
            names => Accept::These(names.into_iter().map(str::to_owned).collect()),
        };
        let choices = Choices {
            accept,
            keep_leavers: options.keep_leavers,
            format: E164,
            with_codes: &BTreeSet::new(),
        };
        let plan = Plan::new(judged, &now, &memory, &choices).map_err(|why| why.0)?;
        if !options.accept_losses {
            plan.refuse_losses(&now, &memory, &options.guard)?;
        }
        let text = now.change(Path::new(SYNCED), &plan.entries, "test", E164);
        let text = text.map_err(|why| why.0)?;
        self.memory = plan.remember(&memory, options.accept_losses);
        if !options.cut {
            self.text = text.or(self.text.take());
        }
        Ok(plan)
    }

    #[track_caller]
    fn done(&mut self, rows: &[Row], options: &Options) -> Plan {
        self.sync(rows, options)
            .unwrap_or_else(|why| panic!("{why}"))
    }

    /// `alice +14155550100`, `bob +14155550101 disabled`
    fn shown(&self) -> Vec<String> {
        let entries = self.now().entries.into_iter();
        let shown = entries.map(|(name, present)| {
            let state = if present.enabled { "" } else { " disabled" };
            format!("{name} {}{state}", present.mobile.as_str())
        });
        shown.collect()
    }
}

const A: &str = "+14155550100";
const B: &str = "+14155550101";
const C: &str = "+14155550102";

fn held(plan: &Plan) -> Vec<(&str, &str)> {
    let held = plan.held.iter();
    held.map(|held| (held.name.as_str(), held.why.as_str()))
        .collect()
}

/// So many people, from this number on.
fn people(first: usize, count: usize) -> Vec<(String, String)> {
    let person = |number| (format!("user{number:05}"), format!("+1415{number:07}"));
    (first..first + count).map(person).collect()
}

fn rows(people: &[(String, String)]) -> Vec<Row<'_>> {
    people
        .iter()
        .map(|(name, mobile)| (name.as_str(), mobile.as_str(), false))
        .collect()
}

#[test]
fn a_changed_mobile_with_the_same_end_is_not_taken_for_the_same() {
    let mut host = Host::new();
    let default = Options::default();
    host.done(&[("alice", A, false), ("bob", B, false)], &default);
    let plan = host.done(
        &[("alice", "+916283970100", false), ("bob", B, false)],
        &default,
    );
    let why = "the mobile is ***0100 now and was ***0100, another number with the same end; the old one stays";
    assert_eq!(held(&plan), [("alice", why)]);
}

#[test]
fn a_changed_mobile_is_held_at_every_run_until_it_is_accepted() {
    let mut host = Host::new();
    let default = Options::default();
    host.done(&[("alice", A, false), ("bob", B, false)], &default);
    for _ in 0..3 {
        host.wall += 30 * DAY;
        let plan = host.done(
            &[("alice", C, false), ("bob", "+1 (415) 555-0101", false)],
            &default,
        );
        let why = "the mobile is ***0102 now and was ***0100; the old one stays";
        assert_eq!(held(&plan), [("alice", why)]);
        assert_eq!((plan.unchanged, plan.accepted.len()), (1, 0));
        assert_eq!(host.shown(), ["alice +14155550100", "bob +14155550101"]);
    }
    for accept in ["bob", "alice"] {
        let accept = Options {
            accept: Some(accept),
            ..Options::default()
        };
        host.done(&[("alice", C, false), ("bob", B, false)], &accept);
    }
    assert_eq!(host.shown(), ["alice +14155550102", "bob +14155550101"]);
    let plan = host.done(&[("alice", C, false), ("bob", B, false)], &default);
    assert_eq!((held(&plan).len(), plan.unchanged), (0, 2));
}

/// By the old phone of whoever had the name, or by the new one of whoever has it now: neither.
#[test]
fn who_comes_back_with_another_mobile_is_not_enrolled() {
    for keep_leavers in [false, true] {
        let mut host = Host::new();
        let options = Options {
            keep_leavers,
            ..Options::default()
        };
        host.done(&[("alice", A, false), ("bob", B, false)], &options);
        host.done(&[("bob", B, false)], &options);
        let gone = host.shown();
        for _ in 0..3 {
            host.wall += 30 * DAY;
            for (name, why) in [
                (
                    "alice",
                    [
                        "was here before with the mobile ***0100 and comes back with ***0102; is not enrolled",
                        "the mobile is ***0102 now and was ***0100; the old one stays",
                    ],
                ),
                (
                    "Alice",
                    [
                        "was here before as alice with the mobile ***0100 and comes back with ***0102; is not enrolled",
                        "was here before as alice with the mobile ***0100 and comes back with ***0102; is not enrolled",
                    ],
                ),
            ] {
                let plan = host.done(&[(name, C, false), ("bob", B, false)], &options);
                assert_eq!(held(&plan), [(name, why[usize::from(keep_leavers)])]);
                assert_eq!(host.shown(), gone, "{name}");
            }
        }
        let plan = host.done(&[("alice", A, false), ("bob", B, false)], &options);
        let lists = if keep_leavers { (0, 1) } else { (1, 0) };
        assert_eq!((plan.added.len(), plan.enabled.len()), lists);
        assert_eq!(host.shown(), ["alice +14155550100", "bob +14155550101"]);
    }
}

#[test]
fn who_is_disabled_while_held_is_disabled_and_not_enabled_again_by_it() {
    let mut host = Host::new();
    let default = Options::default();
    host.done(&[("alice", A, false), ("bob", B, false)], &default);
    let plan = host.done(&[("alice", C, true), ("bob", B, false)], &default);
    assert_eq!(
        (held(&plan).len(), &plan.disabled[..]),
        (1, &["alice".to_owned()][..])
    );
    assert_eq!(host.shown()[0], "alice +14155550100 disabled");
    host.done(&[("alice", C, false), ("bob", B, false)], &default);
    assert_eq!(host.shown()[0], "alice +14155550100 disabled");
    host.done(&[("alice", "", false), ("bob", B, false)], &default);
    assert_eq!(host.shown()[0], "alice +14155550100 disabled");
    host.done(&[("alice", A, false), ("bob", B, false)], &default);
    assert_eq!(host.shown()[0], "alice +14155550100");
}

#[test]
fn without_a_readable_mobile_the_known_are_held_and_the_others_a_problem() {
    let mut host = Host::new();
    host.done(&[("alice", A, false)], &Options::default());
    let plan = host.done(
        &[("alice", "n/a", false), ("bob", "n/a", false)],
        &Options::default(),
    );
    let why = "the mobile contains \"n\"; write it like +14155550100";
    assert_eq!(
        held(&plan),
        [("alice", &*format!("{why}; the old one stays"))]
    );
    assert!(!plan.held[0].acceptable);
    assert_eq!(
        (
            plan.faults.len(),
            plan.faults[0].name_or_place(),
            plan.faults[0].why.as_str()
        ),
        (1, "bob", why)
    );
    assert_eq!(host.shown(), ["alice +14155550100"]);
}

/// Time advances by 31 days at most between two syncs.
#[test]
fn who_is_held_is_not_forgotten_and_who_is_gone_is() {
    let bob = ("bob", B, false);
    for there in [true, false] {
        let mut host = Host::new();
        host.done(&[("alice", A, false), bob], &Options::default());
        host.done(&[bob], &Options::default());
        for _ in 0..14 {
            host.wall += 30 * DAY;
            let rows = [bob, ("alice", C, false)];
            host.done(&rows[..=usize::from(there)], &Options::default());
        }
        let plan = host.done(&[("alice", C, false), bob], &Options::default());
        assert_eq!(plan.held.is_empty(), !there);
    }
}

/// `twice` is in the source, so that nobody is lost; but which of them is meant is not known.
#[test]
fn who_is_there_twice_stays() {
    let mut host = Host::new();
    host.done(
        &[("alice", A, false), ("bob", B, false)],
        &Options::default(),
    );
    let twice = [("alice", C, false), ("alice", A, false), ("bob", B, false)];
    let plan = host.done(&twice, &Options::default());
    assert_eq!(
        (plan.faults.len(), plan.removed.len(), plan.unchanged),
        (1, 0, 1)
    );
    assert_eq!(host.shown(), ["alice +14155550100", "bob +14155550101"]);
    for states in [(true, false), (false, true)] {
        let mut host = host.clone();
        let twice = [
            ("alice", A, states.0),
            ("alice", A, states.1),
            ("bob", B, false),
        ];
        host.done(&twice, &Options::default());
        assert_eq!(
            host.shown(),
            ["alice +14155550100 disabled", "bob +14155550101"]
        );
    }
}

#[test]
fn nobody_is_never_believed() {
    let begin = "nobody was found who can be enrolled; a group";
    let mut host = Host::new();
    let accept = Options {
        accept_losses: true,
        accept: Some("all"),
        ..Options::default()
    };
    assert!(host.sync(&[], &accept).unwrap_err().starts_with(begin));
    host.done(&[("alice", A, false)], &accept);
    assert!(host.sync(&[], &accept).unwrap_err().starts_with(begin));
    let why = host.sync(&[("root", A, false)], &accept).unwrap_err();
    let begin = "nobody was found who can be enrolled (1 of them cannot be used, the first is root: is, or may be taken for,";
    assert!(why.starts_with(begin), "{why}");
    assert_eq!(host.shown(), ["alice +14155550100"]);
}

#[test]
fn losses_are_counted_as_documented() {
    for (count, lost, refused) in [
        (100, 10, false),
        (100, 11, true),
        (30, 4, false),
        (30, 5, true),
        (20, 4, false),
        (19, 1, false),
        (19, 2, true),
        (2, 1, false),
        (3, 2, true),
    ] {
        let everybody = people(0, count);
        for disable in [false, true] {
            for days in [0, 3] {
                let mut host = Host::new();
                host.done(&rows(&everybody), &Options::default());
                host.wall += days * DAY;
                let mut rest = rows(&everybody);
                match disable {
                    true => rest.iter_mut().take(lost).for_each(|row| row.2 = true),
                    false => drop(rest.drain(..lost)),
                }
                let done = host.sync(&rest, &Options::default());
                assert_eq!(done.is_err(), refused, "{count} {lost}: {done:?}");
                host.done(
                    &rest,
                    &Options {
                        accept_losses: true,
                        ..Options::default()
                    },
                );
            }
        }
    }
    let everybody = people(0, 100);
    let mut host = Host::new();
    host.done(&rows(&everybody), &Options::default());
    let why = host
        .sync(&rows(&everybody[11..]), &Options::default())
        .unwrap_err();
    assert_eq!(
        why,
        "11 of the 100 users who were enabled in the last 24 hours would no longer be (11 %; guard.lose_percent is 10): \
                     user00000, user00001, user00002, user00003, user00004 and 6 more; nothing was changed"
    );
}

#[test]
fn what_is_lost_bit_by_bit_is_lost_as_well() {
    let everybody = people(0, 100);
    let mut host = Host::new();
    host.done(&rows(&everybody), &Options::default());
    host.wall += 3 * DAY;
    host.done(&rows(&everybody[5..]), &Options::default());
    host.wall += 3600;
    host.done(&rows(&everybody[10..]), &Options::default());
    host.wall += 3600;
    let why = host
        .sync(&rows(&everybody[11..]), &Options::default())
        .unwrap_err();
    assert!(
        why.starts_with("11 of the 100 users who were enabled 24 hours ago would"),
        "{why}"
    );
    let mut accepted = host.clone();
    let accept = Options {
        accept_losses: true,
        ..Options::default()
    };
    accepted.done(&rows(&everybody[11..]), &accept);
    accepted.done(&rows(&everybody[19..]), &Options::default());
    host.wall += DAY;
    host.done(&rows(&everybody[19..]), &Options::default());
}

/// Many new ones, wrong or planted, do not hide that the old ones are gone; nor does a clock.
#[test]
fn losses_are_not_hidden() {
    let (old, new) = (people(0, 100), people(1000, 900));
    let mut host = Host::new();
    host.done(&rows(&old), &Options::default());
    host.wall += 2 * DAY;
    let both = [&old[..], &new[..]].concat();
    host.done(&rows(&both), &Options::default());
    let why = host
        .sync(&rows(&both[60..]), &Options::default())
        .unwrap_err();
    assert!(
        why.starts_with("60 of the 100 users who were enabled 24 hours ago would"),
        "{why}"
    );
    for wall in [0, 1, 90_000 * DAY] {
        let mut host = host.clone();
        host.wall = wall;
        assert!(
            host.sync(&rows(&both[150..]), &Options::default()).is_err(),
            "{wall}"
        );
        host.memory = Memory::default();
        assert!(
            host.sync(&rows(&both[150..]), &Options::default()).is_err(),
            "without memory"
        );
        host.memory = Memory::default();
        host.text = None;
        host.done(&rows(&both[150..]), &Options::default());
    }
    // Without a memory, whoever is in the file was there before whoever comes now.
    let (mut forgetful, newest) = (host.clone(), people(5000, 9000));
    forgetful.memory = Memory::default();
    let all = [&both[..], &newest[..]].concat();
    forgetful.done(&rows(&all), &Options::default());
    let why = forgetful.sync(&rows(&all[150..]), &Options::default());
    let begin = "150 of the 1000 users who were enabled 24 hours ago would";
    assert!(why.unwrap_err().starts_with(begin));
    // The file alone is gone.
    host.text = None;
    assert!(host.sync(&rows(&both[150..]), &Options::default()).is_err());
    host.done(&rows(&both), &Options::default());
}

#[test]
fn a_clock_that_runs_wild_makes_nothing_forgotten() {
    let mut host = Host::new();
    host.done(
        &[("alice", A, false), ("bob", B, false)],
        &Options::default(),
    );
    host.done(&[("bob", B, false)], &Options::default());
    for wall in [0, 200_000 * DAY, 5, 1000 * DAY, 200_000 * DAY, 1000 * DAY] {
        host.wall = wall;
        host.done(&[("bob", B, false)], &Options::default());
    }
    let plan = host.done(
        &[("alice", C, false), ("bob", B, false)],
        &Options::default(),
    );
    assert_eq!(held(&plan)[0].0, "alice");
}

#[test]
fn a_leaver_of_a_host_that_does_not_ask_others_stays_disabled() {
    let mut host = Host::new();
    host.done(
        &[("alice", A, false), ("bob", B, false)],
        &Options::default(),
    );
    // First removed, when whoever is in no file was denied.
    host.done(&[("bob", B, false)], &Options::default());
    assert_eq!(host.shown(), ["bob +14155550101"]);
    let ignore = Options {
        keep_leavers: true,
        ..Options::default()
    };
    host.done(&[("bob", B, false)], &ignore);
    assert_eq!(
        host.shown(),
        ["alice +14155550100 disabled", "bob +14155550101"]
    );
    let plan = host.done(&[("alice", A, false)], &ignore);
    assert_eq!(
        (&plan.disabled[..], &plan.enabled[..]),
        (&["bob".to_owned()][..], &["alice".to_owned()][..])
    );
    host.wall += 1000 * DAY;
    host.done(&[("alice", A, false)], &ignore);
    assert_eq!(
        host.shown(),
        ["alice +14155550100", "bob +14155550101 disabled"]
    );
}

/// A bad entry denies; its user must not get out of the file by leaving.
#[test]
fn a_bad_entry_is_written_anew_from_what_is_remembered() {
    let ignore = Options {
        keep_leavers: true,
        ..Options::default()
    };
    let bad = Some("[users]\nalice = 5\nbob = \"+14155550101\"\n".to_owned());
    let mut host = Host::new();
    host.done(
        &[("alice", A, false), ("bob", B, false)],
        &Options::default(),
    );
    host.text = bad.clone();
    let plan = host.done(
        &[("alice", C, false), ("bob", B, false)],
        &Options::default(),
    );
    assert_eq!(held(&plan)[0].0, "alice");
    assert_eq!(host.shown()[0], "alice +14155550100 disabled");
    host.text = bad.clone();
    host.done(&[("bob", B, false)], &ignore);
    assert_eq!(host.shown()[0], "alice +14155550100 disabled");
    let mut host = Host {
        text: bad,
        ..Host::new()
    };
    let why = host.sync(&[("bob", B, false)], &ignore).unwrap_err();
    assert!(
        why.contains("alice is to be disabled, and the mobile is not known any more"),
        "{why}"
    );
    host.done(&[("bob", B, false)], &Options::default());
    assert_eq!(host.shown(), ["bob +14155550101"]);
}

/// One run of many: who is there with which mobile, and what happens.
fn run() -> impl Strategy<Value = (Vec<(usize, usize, bool)>, u64, bool, bool)> {
    let row = (0..5_usize, 0..3_usize, any::<bool>());
    (vec(row, 0..6), 0..30 * DAY, any::<bool>(), any::<bool>())
}

proptest! {
    /// Whatever comes, a name never has another mobile than the first, unless somebody accepts one.
    #[test]
    fn nobody_gets_another_mobile_by_any_sequence_of_answers(runs in vec(run(), 1..12), keep_leavers: bool) {
        const NAMES: [&str; 5] = ["alice", "Alice", "bob", "d.x", "e\\f"];
        const MOBILES: [&str; 3] = [A, B, C];
        let mut host = Host::new();
        let mut first: HashMap<String, String> = HashMap::new();
        for (rows, passed, cut, accept_losses) in runs {
            host.wall += passed;
            let rows: Vec<Row> = rows.iter().map(|(name, mobile, disabled)| (NAMES[*name], MOBILES[*mobile], *disabled)).collect();
            let options = Options { accept_losses, keep_leavers, cut, ..Options::default() };
            let before = host.shown();
            if host.sync(&rows, &options).is_err() {
                prop_assert_eq!(&host.shown(), &before);
            }
            for (name, present) in host.now().entries {
                let mobile = present.mobile.as_str().to_owned();
                let known = first.entry(name.to_lowercase()).or_insert(mobile.clone());
                prop_assert_eq!(&mobile, known, "{}", name);
            }
        }
    }
}
