//! What an answer of iVALT means at each of the four steps: poll, request, poll, and the poll after an Enter. And what it
//! leaves behind: whether the next login is held back.

use std::thread;

use crate::expect::*;
use crate::phones::*;
use crate::table::at_once;
use support::codes::PAM_CONV_ERR;
use support::server::NOBODY;
use support::{Reply, Report, StandIn, sandbox_test};

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
        "http-500",
        "http-503",
        "http-408",
        "rate-limit",
        "http-302",
        "http-204",
        "http-201",
        "http-405",
        "http-451",
        "garbage",
        "empty",
        "html",
        "hang-up",
        "half-body",
        "oversize",
        "expired",
        "success",
        "approved-word",
        "approved-one",
        "approved-false",
        "approved-above",
        "approved-in-an-array",
        "approved-two-statuses",
        "approved-201",
        "approved-with-error",
    ];
    let others = [
        ("denied-401", REFUSES),
        ("denied-message", REFUSES),
        ("geofence", REFUSES),
        ("hours", REFUSES),
        ("api-key-invalid", KEY),
        ("approved-whole", APPROVES),
        ("approved-as-number", APPROVES),
        ("approved-numbers", APPROVES),
        ("approved-null-error", APPROVES),
        ("approved-other", APPROVES_ANOTHER),
        ("approved-other-country", APPROVES_ANOTHER),
        ("approved-national", APPROVES_ANOTHER),
        ("approved-two-mobiles", APPROVES_ANOTHER),
        ("approved-no-mobile", APPROVES_ANOTHER),
        ("approved-null-mobile", APPROVES_ANOTHER),
        ("approved-array", APPROVES_ANOTHER),
        ("approved-no-details", APPROVES_ANOTHER),
    ];
    let outages = outages.map(|word| (word, OUTAGE));
    // Both read these by the same code.
    let one = |(word, steps)| Meaning {
        word,
        dialect: BOTH[0],
        steps,
    };
    let mut table: Vec<_> = outages.into_iter().chain(others).map(one).collect();
    // A 404 is an answer to a poll in the one, and a refusal in the other.
    for (word, steps) in [
        ("denied", [REFUSES; 2]),
        ("forbidden", [KEY; 2]),
        ("approved", [APPROVES; 2]),
        ("html-404", [OUTAGE; 2]),
        (
            "pending",
            [WAITS, [GOES_ON, held(DENIED), GOES_ON, GOES_ON]],
        ),
        (
            "pending-message",
            [WAITS, [GOES_ON, held(DENIED), GOES_ON, GOES_ON]],
        ),
        (
            "pending-400",
            [OUTAGE, [GOES_ON, held(UNAVAILABLE), GOES_ON, GOES_ON]],
        ),
        ("unknown", [WAITS, REFUSES]),
    ] {
        table.extend(BOTH.into_iter().zip(steps).map(|(dialect, steps)| Meaning {
            word,
            dialect,
            steps,
        }));
    }
    table
}

#[sandbox_test]
fn every_answer_at_every_step() {
    let ivalt = StandIn::start();
    let host = Host::new();
    let steps = |meaning: Meaning| {
        ALL.map(|step| (meaning.word, meaning.dialect, step, meaning.steps[step]))
    };
    let rows: Vec<_> = (1..).zip(table().into_iter().flat_map(steps)).collect();
    let wrong = in_threads(&rows, |(number, (word, dialect, step, ends))| {
        let owner = host.owner(&ivalt, *number);
        let case = owner.case();
        let settings = owner.settings(&case).set("push", "dialect", *dialect);
        let mut case = case.with_settings(&settings);
        owner.will_answer(&[BEFORE[*step], &[word]].concat());
        // Whatever goes on comes to a prompt in the end, where nobody is.
        case.script.answers = vec!["".into(), "".into(), Reply::error(PAM_CONV_ERR).into()];
        let report = case.run();
        let line = expect(&report, row_of(&report));
        let found = (
            line.reason(),
            owner.is_held(),
            owner.operations().len() > step + 1,
        );
        let Ends(row, held) = *ends;
        let expected = (row.unwrap_or(UNANSWERED).1.to_owned(), held, row.is_none());
        (found != expected).then(|| format!("{word} of {dialect} at {step}: {found:?} {line:?}"))
    });
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Code and level are those of the reason.
fn row_of(report: &Report) -> Row {
    let reason = report.log_line().reason();
    let rows = [
        APPROVED,
        DENIED,
        STALE,
        UNAVAILABLE,
        KEY_REFUSED,
        UNANSWERED,
    ];
    let row = rows.into_iter().find(|row| row.1 == reason);
    row.unwrap_or_else(|| panic!("{reason}"))
}

/// A few at a time: most of the time goes by in waiting.
fn in_threads<T: Sync>(rows: &[T], check: impl Fn(&T) -> Option<String> + Sync) -> Vec<String> {
    let parts = rows.chunks(rows.len().div_ceil(6));
    thread::scope(|scope| {
        let threads: Vec<_> = parts
            .map(|part| scope.spawn(|| part.iter().filter_map(&check).collect::<Vec<_>>()))
            .collect();
        threads
            .into_iter()
            .flat_map(|thread| thread.join().unwrap())
            .collect()
    })
}

/// What the log says of them.
#[sandbox_test]
fn the_line_speaks_of_the_last_answer() {
    let ivalt = StandIn::start();
    let host = Host::new();
    let rows: [(&[&str], Row, [&str; 4]); 11] = [
        (
            &["approved"],
            STALE,
            [
                "200",
                "",
                "",
                "iVALT says approved before the request was sent",
            ],
        ),
        (
            &["pending", "sent", "hours"],
            STALE,
            [
                "403",
                "",
                "The user is not within the timezone.",
                "iVALT did not say pending after the request was sent",
            ],
        ),
        (
            &["pending", "denied"],
            DENIED,
            ["403", "", "Denied by the user.", ""],
        ),
        (
            &["pending", "sent", "pending", "denied-message"],
            DENIED,
            ["403", "", "Denied by the user.", ""],
        ),
        (&["forbidden"], KEY_REFUSED, ["403", "", "Forbidden", ""]),
        (
            &["api-key-invalid"],
            KEY_REFUSED,
            ["401", "API_KEY_INVALID", "api key invalid", ""],
        ),
        (
            &["pending", "sent", "pending", "rate-limit"],
            UNAVAILABLE,
            [
                "429",
                "RATE_LIMIT_EXCEEDED",
                "rate limit exceeded",
                "answer: HTTP 429",
            ],
        ),
        (
            &["http-302"],
            UNAVAILABLE,
            [
                "302",
                "",
                "",
                "answer: HTTP 302, a redirect, is not followed",
            ],
        ),
        (
            &["html-404"],
            UNAVAILABLE,
            ["404", "", "", "answer: HTTP 404: body is not a JSON object"],
        ),
        (
            &["pending", "sent", "pending", "approved-array"],
            UNAVAILABLE,
            [
                "200",
                "",
                "",
                "answer: approved, and not with this user's mobile in data.details",
            ],
        ),
        (
            &["pending", "success"],
            UNAVAILABLE,
            [
                "200",
                "",
                "",
                "answer: HTTP 200: body is not a JSON object with exactly one \"data\", in it exactly one \"status\" \
                 true, and no \"error\"",
            ],
        ),
    ];
    for (number, (answers, row, shown)) in (1..).zip(rows) {
        let owner = host.owner(&ivalt, number);
        owner.will_answer(answers);
        let report = owner.case().answer("").answer("").run();
        let line = expect(&report, row);
        let found = ["http", "code", "detail", "cause"].map(|key| line.get(key));
        assert_eq!(found, shown, "{answers:?}");
    }
    // One that never came leaves the one before.
    let owner = host.owner(&ivalt, 99);
    owner.will_answer(&["pending", "sent", "hang-up"]);
    let line = expect(&owner.case().answer("").run(), UNAVAILABLE);
    let found = ["http", "cause"].map(|key| line.get(key));
    assert_eq!(found, ["200", "answer: the server closed the connection"]);
}

/// Slow is well, late is not; and nothing is asked twice.
#[sandbox_test]
fn answers_that_take_their_time() {
    let ivalt = StandIn::start();
    let host = Host::new();
    at_once(ALL.to_vec(), |step| {
        let owner = host.owner(&ivalt, 1 + step as u32);
        let slow = [
            "slow-1200 pending",
            "slow-1200 sent",
            "slow-1200 pending",
            "slow-1200 approved",
        ];
        let words: Vec<_> = BEFORE[step].iter().copied().chain([slow[step]]).collect();
        let rest = ["pending", "sent", "pending", "approved"];
        owner.will_answer(&[&words, &rest[words.len()..]].concat());
        let case = owner.case().answer("").answer("");
        expect(&case.run(), APPROVED);
        assert_eq!(owner.operations().len(), 4);

        let owner = host.owner(&ivalt, 11 + step as u32);
        let late = slow[step].replace("1200", "20000");
        owner.will_answer(&[BEFORE[step], &[&late]].concat());
        let case = owner.case().answer("").answer("");
        let settings = owner.settings(&case).set("api", "timeout_seconds", 3);
        let report = case.with_settings(&settings).run();
        let line = expect(&report, UNAVAILABLE);
        let cause = line.get("cause");
        assert!(cause.starts_with("timeout after 3 s in "), "{cause}");
        assert_eq!(report.told(), [UNREACHABLE]);
        assert_eq!(owner.operations().len(), step + 1);
        assert_eq!(owner.is_held(), step > 0);
    });
}

/// The service that cannot be reached at all.
#[sandbox_test]
fn no_way_to_the_service() {
    let ivalt = StandIn::start();
    let host = Host::new();
    let owner = host.owner(&ivalt, 1);
    let strange = StandIn::start();
    for (url, cause) in [
        (format!("https://{NOBODY}"), "connect: connection refused"),
        (strange.push_url(), "tls: certificate "),
        ("https://ivalt.invalid".to_owned(), "dns: "),
    ] {
        let case = owner.case().answer("").answer("");
        let settings = owner.settings(&case).set("push", "url", url);
        let report = case.with_settings(&settings).run();
        let line = expect(&report, UNAVAILABLE);
        assert!(line.get("cause").starts_with(cause), "{line:?}");
        prompts(&report, &[OR_ENTER]);
        assert!(!owner.is_held());
    }
    assert_eq!((ivalt.requests().len(), strange.requests().len()), (0, 0));
}
