//! What a sync says: to people, to programs, and to the system log.

use serde_json::json;

use super::file::{Entries, Now};
use super::person::NoAnswer;
use super::plan::{Plan, shared};
use crate::audit::{Change, Outcome};
use crate::output::Output;
use crate::system_error::shell_word;

/// So many names, and so many sentences, are shown.
const MOST: usize = 20;
/// The lists of names in JSON.
const LISTS: [&str; 6] = [
    "added", "removed", "disabled", "enabled", "held", "problems",
];

/// What programs find also where it is refused: nothing was added, nothing removed.
pub fn start(output: &mut Output, file: &str) {
    output.set("file", file);
    output.set("unchanged", 0);
    for list in LISTS {
        output.set(list, json!([]));
    }
}

/// What the answer came to.
#[derive(Debug)]
pub struct Report<'a> {
    pub plan: &'a Plan,
    pub source: &'a str,
    /// Sentences of the source and of the command line.
    pub notices: Vec<String>,
    /// Without the names: `ivaltctl users sync people.csv --accept-changes`
    pub accept: String,
}

impl Report<'_> {
    /// Prints it. `is_changed`: the file is another one now, or would be.
    pub fn show(&self, is_changed: bool, output: &mut Output) {
        let plan = self.plan;
        output.set("source", self.source);
        output.set("unchanged", plan.unchanged);
        for (list, names) in LISTS.into_iter().zip(self.lists()) {
            output.set(list, names);
        }
        output.set("accepted", plan.accepted.clone());
        let summary = self.summary();
        match is_changed {
            true => output.done("synced", summary),
            false => output.line(summary),
        }
        let lists = LISTS.into_iter().zip(self.lists()).take(4);
        let accepted = ("changed mobile", self.names(&plan.accepted));
        for (what, names) in lists
            .chain([accepted])
            .filter(|(_, names)| !names.is_empty())
        {
            output.line(format!("{what}: {}", some(&names, MOST)));
        }
        let sentences = self.sentences();
        output.notices(sentences.iter().map(String::as_str));
    }

    fn names<'n>(&self, names: &'n [String]) -> Vec<&'n str> {
        names.iter().map(String::as_str).collect()
    }

    /// In the order of [`LISTS`].
    fn lists(&self) -> [Vec<&str>; 6] {
        let plan = self.plan;
        [
            self.names(&plan.added),
            self.names(&plan.removed),
            self.names(&plan.disabled),
            self.names(&plan.enabled),
            plan.held.iter().map(|held| held.name.as_str()).collect(),
            plan.faults
                .iter()
                .map(|fault| fault.name_or_place())
                .collect(),
        ]
    }

    fn summary(&self) -> String {
        let counts = LISTS.into_iter().zip(self.lists().map(|names| names.len()));
        let accepted = ("changed", self.plan.accepted.len());
        let unchanged = ("unchanged", self.plan.unchanged);
        let counts = counts
            .chain([accepted, unchanged])
            .filter(|(_, count)| *count > 0);
        let counts: Vec<String> = counts
            .map(|(what, count)| match (what, count) {
                ("problems", 1) => "1 problem".to_owned(),
                (what, count) => format!("{count} {what}"),
            })
            .collect();
        format!("in step with {}: {}", self.source, counts.join(", "))
    }

    /// Who is held and what is wrong, and how it is accepted.
    fn sentences(&self) -> Vec<String> {
        let held = self.plan.held.iter().map(|held| {
            let name = &held.name;
            let ask = format!("; ask {name}, not by that number, and if it is theirs:");
            let accept = match held.acceptable {
                // As an option it means everybody.
                true if name == "all" => format!("{ask} ivaltctl users add all MOBILE"),
                true => format!("{ask} {} {}", self.accept, shell_word(name)),
                false => String::new(),
            };
            format!("{name}: held: {}{accept}", held.why)
        });
        let faults =
            self.plan
                .faults
                .iter()
                .map(|fault| match (&fault.name, fault.place.as_str()) {
                    (Some(name), "") => format!("{name}: {}", fault.why),
                    (Some(name), place) => format!("{name} ({place}): {}", fault.why),
                    (None, place) => format!("{place}: {}", fault.why),
                });
        let shared = shared(&self.plan.entries)
            .into_iter()
            .map(|(mobile, owners)| format!("{}: have the same mobile {mobile}", some(&owners, 5)));
        let mut sentences = self.notices.clone();
        sentences.extend(at_most(held.chain(faults)));
        sentences.extend(at_most(shared));
        sentences
    }
}

fn at_most(mut sentences: impl Iterator<Item = String>) -> Vec<String> {
    let mut shown: Vec<String> = sentences.by_ref().take(MOST).collect();
    match sentences.count() {
        0 => {}
        more => shown.push(format!("and {more} more of this kind")),
    }
    shown
}

fn some(names: &[&str], most: usize) -> String {
    let shown = names
        .iter()
        .take(most)
        .copied()
        .collect::<Vec<_>>()
        .join(", ");
    match names.len().saturating_sub(most) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// One line for the run, which ended in this way, and then one for each person changed, as long as the log takes them.
pub fn log(plan: &Plan, now: &Now, source: &str, by: &str, outcome: Outcome) {
    let counts = [
        ("added", plan.added.len()),
        ("removed", plan.removed.len()),
        ("disabled", plan.disabled.len()),
        ("enabled", plan.enabled.len()),
        ("held", plan.held.len()),
        ("problems", plan.faults.len()),
        ("unchanged", plan.unchanged),
    ];
    let counts = counts.map(|(key, count)| (key, count.to_string()));
    let fields = [("source", source.to_owned())].into_iter().chain(counts);
    let mut is_heard = change(fields.collect(), by).send(outcome);
    let people = [
        (&plan.added, "added", &plan.entries),
        (&plan.removed, "removed", &now.entries),
        (&plan.disabled, "disabled", &plan.entries),
        (&plan.enabled, "enabled", &plan.entries),
        (&plan.accepted, "mobile", &plan.entries),
    ];
    for (names, word, entries) in people {
        for name in names {
            is_heard = is_heard && change(person(name, word, entries), by).send(Outcome::Done);
        }
    }
}

fn person(name: &str, word: &'static str, entries: &Entries) -> Vec<(&'static str, String)> {
    let mobile = entries.get(name).map(|present| present.mobile.masked());
    vec![
        ("user", name.to_owned()),
        ("change", word.to_owned()),
        ("mobile", mobile.unwrap_or_default()),
    ]
}

/// The line of a run that has changed nothing, as a timer's, which nobody sees.
pub fn log_not_done(source: &str, by: &str, why: &NoAnswer) {
    let counts = LISTS.into_iter().chain(["unchanged"]);
    let counts = counts.map(|key| (key, "0".to_owned()));
    let fields = [("source", source.to_owned())].into_iter().chain(counts);
    let change = change(fields.collect(), by);
    change.record(match why {
        NoAnswer::Unavailable(why) => Outcome::Unavailable(why),
        NoAnswer::Refused(why) => Outcome::Refused(why),
    });
}

fn change<'a>(fields: Vec<(&'a str, String)>, by: &str) -> Change<'a> {
    Change {
        command: "users sync",
        fields,
        by: by.to_owned(),
    }
}
