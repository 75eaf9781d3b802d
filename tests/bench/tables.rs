//! What is printed: tables in Markdown.

use crate::contenders::{Contender, Kind};
use crate::login::Login;
use crate::options::Options;
use crate::rounds::{Measured, Rounds};
use crate::setup::{ROUND_TRIP_MS, Roots, Setup};
use crate::statistics::{Spread, spread};
use crate::users::Table;
use support::trace::Trace;

pub fn print(
    setup: &Setup,
    options: &Options,
    contenders: &[Contender],
    rounds: &Rounds,
    users: &[Table],
) {
    println!("## Logins side by side\n");
    print_method(setup, options);
    row(&HEADINGS.map(str::to_owned));
    rule(HEADINGS.len());
    for (at, contender) in contenders.iter().enumerate() {
        row(&cells(contenders, rounds, at, contender));
    }
    print_users(options, users);
}

fn print_method(setup: &Setup, options: &Options) {
    println!(
        "Medians of {} rounds ({} with a delay, {} of {} logins at 16 at once), the order of contenders drawn anew in \
         each; in brackets the quartiles. Every login is a fresh process, its start included. Ratios are formed within \
         a round; below 1 is better. OpenSSL: the least C program on it, tests/bench/least.c, with the same roots, \
         of which the system's are {} with the stand-in's. System calls and libraries: those beyond pam_permit's, its \
         own in brackets. Private: memory (1024 bytes) that a login alone holds while it and another wait at their prompt, \
         connected if it connects there, beyond pam_permit's; the C program has loaded nothing yet. Round trips: what {ROUND_TRIP_MS} ms for each add; work \
         that is done while an answer is awaited hides a part of them.",
        options.rounds(),
        options.thinking_rounds(),
        options.concurrent_rounds(),
        options.concurrent(),
        setup.roots,
    );
    if options.far.is_none() {
        println!(
            "No tun device here: only the server's answer was delayed by {ROUND_TRIP_MS} ms, connections and handshakes \
             were not, so round trips say less than they should."
        );
    }
    if options.strace.is_none() {
        println!("Left out: system calls and libraries (no strace).");
    }
    if options.curl.is_none() {
        println!("Left out: pam_exec + curl (no curl).");
    }
    println!();
}

const HEADINGS: [&str; 15] = [
    "contender",
    "wall ms",
    "wall ÷ OpenSSL",
    "wall ÷ pam_exec",
    "CPU ms",
    "CPU ÷ OpenSSL",
    "CPU ÷ OpenSSL, one CA",
    "CPU ÷ pam_exec",
    "resident MB",
    "system calls",
    "libraries MB",
    "round trips before the prompt",
    "round trips after the answer",
    "logins a second",
    "private kB at the prompt",
];

fn cells(
    contenders: &[Contender],
    rounds: &Rounds,
    at: usize,
    contender: &Contender,
) -> [String; 15] {
    let of = |kind: fn(&Contender, &Contender) -> bool| {
        let found = contenders.iter().position(|other| kind(other, contender));
        found.map(|found| &rounds.0[found])
    };
    let mine = &rounds.0[at];
    let least = of(|other, me| other.kind == Kind::Least && other.roots == me.roots);
    let leanest = of(|other, _| other.kind == Kind::Least && other.roots == Roots::One);
    let exec = of(|other, _| matches!(other.kind, Kind::PamExec { .. }));
    let floor = of(|other, _| other.kind == Kind::Permit);
    let ratio_to = |other: Option<&Measured>, what: fn(&Login) -> f64| {
        let other = other.map(|other| ratio(&mine.plain, &other.plain, what));
        other.unwrap_or_default()
    };
    let (wall, cpu): (fn(&Login) -> f64, fn(&Login) -> f64) =
        (|login: &Login| login.wall_ms, |login: &Login| login.cpu_ms);
    [
        contender.name(),
        number(spread(mine.plain.iter().map(wall)).median),
        ratio_to(least, wall),
        ratio_to(exec, wall),
        number(spread(mine.plain.iter().map(cpu)).median),
        ratio_to(least, cpu),
        ratio_to(leanest, cpu),
        ratio_to(exec, cpu),
        number(spread(mine.plain.iter().map(|login| login.rss_kib * 1024.0 / 1e6)).median),
        system_calls(mine, floor),
        libraries(mine, floor),
        round_trips(mine, |login| login.before_prompt_ms),
        round_trips(mine, |login| login.after_answer_ms),
        with_spread(spread(mine.concurrent.iter().copied()), 0),
        private(mine, floor),
    ]
}

/// Formed within a round.
pub fn ratio<T>(mine: &[T], other: &[T], what: impl Fn(&T) -> f64) -> String {
    let pairs = mine.iter().zip(other);
    with_spread(
        spread(pairs.map(|(mine, other)| what(mine) / what(other))),
        2,
    )
}

/// What the delay adds, in round trips.
fn round_trips(mine: &Measured, what: impl Fn(&Login) -> f64) -> String {
    if mine.far.iter().all(|login| !login.asked) {
        return String::new();
    }
    let near = spread(mine.near.iter().map(&what)).median;
    let added = mine
        .far
        .iter()
        .map(|login| (what(login) - near) / f64::from(ROUND_TRIP_MS));
    with_spread(spread(added), 2)
}

/// Beyond the floor's; the floor's own in brackets.
fn private(mine: &Measured, floor: Option<&Measured>) -> String {
    let kib = |of: &Measured| spread(of.private_kib.iter().copied()).median;
    match floor {
        Some(floor) if !std::ptr::eq(mine, floor) => fixed(kib(mine) - kib(floor), 0),
        _ => format!("({})", fixed(kib(mine), 0)),
    }
}

/// Beyond the floor's; the floor's own in brackets.
fn system_calls(mine: &Measured, floor: Option<&Measured>) -> String {
    match traces(mine, floor) {
        Some((mine, floor)) if mine.libraries == floor.libraries => {
            format!("({})", mine.system_calls)
        }
        Some((mine, floor)) => mine.calls_beyond(floor).to_string(),
        None => String::new(),
    }
}

fn libraries(mine: &Measured, floor: Option<&Measured>) -> String {
    let Some((mine, floor)) = traces(mine, floor) else {
        return String::new();
    };
    let beyond = mine.libraries_beyond(floor);
    let sizes = beyond
        .iter()
        .filter_map(|path| std::fs::metadata(path).ok());
    let bytes: u64 = sizes.map(|found| found.len()).sum();
    number(bytes as f64 / 1e6)
}

fn traces<'a>(mine: &'a Measured, floor: Option<&'a Measured>) -> Option<(&'a Trace, &'a Trace)> {
    Some((mine.trace.as_ref()?, floor?.trace.as_ref()?))
}

fn print_users(options: &Options, users: &[Table]) {
    println!("\n## A long users.toml\n");
    println!(
        "One user near the end of `users.toml`: from the call of `pam_authenticate` to the prompt, one CA, nothing \
         connected; medians of {} rounds. Look-up: what the file adds to the time against one of ten lines; memory: \
         what it adds to resident memory against the same, the file's own bytes included where they are held.",
        options.users_rounds()
    );
    println!();
    row(&[
        "lines",
        "file MB",
        "prompt after ms",
        "look-up ms",
        "read once ms",
        "look-up ÷ read once",
        "memory MB beyond the file's absence",
    ]
    .map(str::to_owned));
    rule(7);
    for table in users {
        row(&user_cells(table, &users[0]));
    }
}

fn user_cells(table: &Table, smallest: &Table) -> [String; 7] {
    let prompt = |login: &Login| login.before_prompt_ms;
    let pairs = || table.logins.iter().zip(&smallest.logins);
    let added: Vec<f64> = pairs()
        .map(|(mine, small)| prompt(mine) - prompt(small))
        .collect();
    let ratios = added
        .iter()
        .zip(&table.read_once_ms)
        .map(|(added, read)| added / read);
    let megabytes = table.bytes as f64 / 1e6;
    let memory = pairs().map(|(mine, small)| (mine.rss_kib - small.rss_kib) * 1024.0 / 1e6);
    let unless_smallest = |text: String| {
        if table.lines == smallest.lines {
            String::new()
        } else {
            text
        }
    };
    [
        table.lines.to_string(),
        format!("{megabytes:.2}"),
        with_spread(spread(table.logins.iter().map(prompt)), 2),
        unless_smallest(number(spread(added.iter().copied()).median)),
        format!("{:.3}", spread(table.read_once_ms.iter().copied()).median),
        unless_smallest(with_spread(spread(ratios), 2)),
        unless_smallest(number(spread(memory).median)),
    ]
}

pub fn number(value: f64) -> String {
    fixed(value, 1)
}

/// Without the sign of a zero.
fn fixed(value: f64, digits: usize) -> String {
    let text = format!("{value:.digits$}");
    match text.strip_prefix('-') {
        Some(rest) if rest.bytes().all(|byte| matches!(byte, b'0' | b'.')) => rest.to_owned(),
        _ => text,
    }
}

pub fn with_spread(Spread { low, median, high }: Spread, digits: usize) -> String {
    let [low, median, high] = [low, median, high].map(|value| fixed(value, digits));
    format!("{median} ({low}–{high})")
}

/// A whole table under a heading of its own.
pub fn table<const N: usize>(
    heading: &str,
    method: &str,
    titles: [&str; N],
    rows: impl IntoIterator<Item = [String; N]>,
) {
    println!("\n## {heading}\n\n{method}\n");
    row(&titles.map(str::to_owned));
    rule(N);
    for cells in rows {
        row(&cells);
    }
}

fn row(cells: &[String]) {
    println!("| {} |", cells.join(" | "));
}

fn rule(columns: usize) {
    println!("|{}", " --- |".repeat(columns));
}
