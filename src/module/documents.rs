//! The reasons of pam_ivalt(8), held to the code: outcome, PAM code and level.

use std::collections::BTreeSet;

use ivalt_core::decision::{DECISIONS, Decision};
use ivalt_core::log_line::{Level, level};
use support::man_page::{items, section};

use super::code;

const README: &str = include_str!("../../README.md");
const PAM_IVALT_8: &str = include_str!("../../debian/pam_ivalt.8");

/// The words in backticks.
fn quoted(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

/// The rows of the table in README whose head begins with `head`.
fn rows(head: &str) -> Vec<&'static str> {
    let after = README.lines().skip_while(|line| !line.starts_with(head));
    after
        .skip(2)
        .take_while(|line| line.starts_with('|'))
        .collect()
}

/// The name of syslog's level, as journalctl(1) and rsyslog write it.
fn level_name(decision: Decision) -> &'static str {
    match level(decision) {
        Level::Info => "info",
        Level::Notice => "notice",
        Level::Warning => "warning",
        Level::Error => "err",
        Level::Critical => "crit",
    }
}

#[test]
fn every_reason_stands_in_the_man_page_with_outcome_code_and_level() {
    let lines = section(PAM_IVALT_8, "Reasons");
    let mut man = BTreeSet::new();
    for item in items(&lines, "Cm") {
        let [outcomes, levels] = ["Sy", "Em"].map(|name| item.marked(name));
        assert_eq!((outcomes.len(), levels.len()), (1, 1), "{}", item.head);
        for code in item.marked("Er") {
            man.insert([item.head, outcomes[0], code, levels[0]].map(str::to_owned));
        }
    }
    let code = DECISIONS.map(|decision| {
        let code = format!("{:?}", code(decision));
        let words = [
            decision.reason(),
            decision.outcome(),
            &code,
            level_name(decision),
        ];
        words.map(str::to_owned)
    });
    assert_eq!(man, BTreeSet::from(code));
}

#[test]
fn every_reason_stands_in_readme_with_its_code() {
    let mut pairs = BTreeSet::new();
    for row in rows("| `reason=` |") {
        let cells: Vec<&str> = row.split('|').collect();
        for code in quoted(cells[2]) {
            pairs.insert((quoted(cells[1])[0].to_owned(), code.to_owned()));
        }
    }
    let code = DECISIONS.map(|decision| {
        (
            decision.reason().to_owned(),
            format!("{:?}", code(decision)),
        )
    });
    assert_eq!(pairs, BTreeSet::from(code));
}
