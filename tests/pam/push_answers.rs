//! What an answer of iVALT means at each of the four steps: poll, request, poll, and the poll after an Enter. And what it
//! leaves behind: whether the next login is held back.

use std::thread;

use crate::expect::*;
use crate::phones::*;
use support::codes::PAM_CONV_ERR;
use support::{Reply, StandIn, sandbox_test};

/// What comes before the answer, by step.
const BEFORE: [&[&str]; 4] = [
    &[],
    &["pending"],
    &["pending", "sent"],
    &["pending", "sent", "pending"],
];

/// How a login ends, and whether the phone is held for it. `None`: it goes on.
#[derive(Clone, Copy)]
struct Ends(Option<Row>, bool);

const GOES_ON: Ends = Ends(None, true);
const fn ends(row: Row) -> Ends {
    Ends(Some(row), false)
}
const fn held(row: Row) -> Ends {
    Ends(Some(row), true)
}

const ALL: [usize; 4] = [0, 1, 2, 3];

/// An answer, by dialect, and what comes of it at each step.
struct Meaning {
    word: &'static str,
    dialect: &'static str,
    steps: [Ends; 4],
}

const BOTH: [&str; 2] = ["geo-fence-results", "auth-result"];

/// No judgement of anything.
const OUTAGE: [Ends; 4] = [
    ends(UNAVAILABLE),
    held(UNAVAILABLE),
    held(UNAVAILABLE),
    held(UNAVAILABLE),
];
const REFUSES: [Ends; 4] = [GOES_ON, held(DENIED), ends(STALE), held(DENIED)];
const KEY: [Ends; 4] = [ends(KEY_REFUSED); 4];
const WAITS: [Ends; 4] = [GOES_ON, held(UNAVAILABLE), GOES_ON, GOES_ON];
/// The answer to a request that says it was sent is no pending, and an approval is no "sent".
const APPROVES: [Ends; 4] = [ends(STALE), GOES_ON, ends(STALE), ends(APPROVED)];
const APPROVES_ANOTHER: [Ends; 4] = [ends(STALE), GOES_ON, ends(STALE), held(UNAVAILABLE)];

fn table() -> Vec<Meaning> {
    let outages = [
        "http-500", "http-502", "http-503", "http-408", "rate-limit", "http-302", "http-204", "http-201",
        "garbage", "empty", "html", "hang-up", "half-body", "oversize", "html-404", "expired", "success",
        "approved-word", "approved-one", "approved-false", "approved-above", "approved-in-an-array",
        "http-405", "http-451",
    ];
    let both = |word: &'static str, steps: [Ends; 4]| BOTH.map(|dialect| Meaning { word, dialect, steps });
    let mut table: Vec<Meaning> = outages.into_iter().flat_map(|word| both(word, OUTAGE)).collect();
    for (word, steps) in [
        ("denied", REFUSES),
        ("denied-401", REFUSES),
        ("denied-message", REFUSES),
        ("geofence", REFUSES),
        ("hours", REFUSES),
        ("forbidden", KEY),
        ("api-key-invalid", KEY),
        ("pending", WAITS),
        ("pending-message", WAITS),
        ("approved", APPROVES),
        ("approved-whole", APPROVES),
        ("approved-as-number", APPROVES),
        ("approved-national", APPROVES),
        ("approved-numbers", APPROVES),
        ("approved-null-error", APPROVES),
        ("approved-other", APPROVES_ANOTHER),
        ("approved-other-country", APPROVES),
        ("approved-no-mobile", APPROVES_ANOTHER),
        ("approved-null-mobile", APPROVES_ANOTHER),
        ("approved-array", APPROVES_ANOTHER),
        ("approved-no-details", APPROVES_ANOTHER),
    ] {
        table.extend(both(word, steps));
    }
    table
}

/// The numbers of a status alone: what is not in the table is an outage.
#[sandbox_test]
fn every_answer_at_every_step() {
    let ivalt = StandIn::start();
    let host = Host::new();
    let rows: Vec<_> = table()
        .into_iter()
        .flat_map(|meaning| ALL.map(|step| (meaning.word, meaning.dialect, step, meaning.steps[step])))
        .collect();
    let numbered: Vec<_> = (1..).zip(rows).collect();
    let wrong: Vec<_> = in_threads(&numbered, |(number, (word, dialect, step, ends))| {
        let owner = host.owner(&ivalt, *number);
        let mut case = owner.case();
        let settings = owner.settings(&case).set("push", "dialect", *dialect);
        case = case.with_settings(&settings);
        owner.will_answer(&[BEFORE[*step], &[word]].concat());
        // Whatever goes on comes to a prompt in the end, where nobody is.
        case.script.answers = vec!["".into(), "".into(), Reply::error(PAM_CONV_ERR).into()];
        let line = case.run().log_line();
        let found = (line.outcome(), line.reason());
        let Ends(row, held) = *ends;
        let row = row.unwrap_or(UNANSWERED);
        let asked = owner.operations().len();
        let went_on = asked > step + 1;
        let was_held = owner.held().is_some();
        let expected = (row.0.to_owned(), row.1.to_owned());
        let right = found == expected && was_held == held && went_on == ends.0.is_none();
        (!right).then(|| format!("{word} of {dialect} at {step}: {found:?}, held {was_held}, {asked} requests: {line:?}"))
    });
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A few at a time: most of the time goes by in waiting.
fn in_threads<T: Sync>(rows: &[T], check: impl Fn(&T) -> Option<String> + Sync) -> Vec<String> {
    let parts = rows.chunks(rows.len().div_ceil(6));
    thread::scope(|scope| {
        let threads: Vec<_> = parts
            .map(|part| scope.spawn(|| part.iter().filter_map(&check).collect::<Vec<_>>()))
            .collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    })
}
