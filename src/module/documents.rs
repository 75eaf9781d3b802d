//! The reasons of pam_ivalt(8), held to the code: outcome, PAM code and level.

use std::collections::BTreeSet;

use ivalt_core::decision::{DECISIONS, Decision};
use ivalt_core::log_line::{Level, level};
use ivalt_core::only_after::Turn;
use support::man_page::{items, section};

use super::code;

const PAM_IVALT_8: &str = include_str!("../../debian/pam_ivalt.8");

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
fn every_reason_is_in_the_man_page_with_outcome_code_and_level() {
    let lines = section(PAM_IVALT_8, "Reasons");
    let mut man = BTreeSet::new();
    for item in items(&lines, "Cm") {
        let [outcomes, levels] = ["Sy", "Em"].map(|name| item.marked(name));
        assert_eq!((outcomes.len(), levels.len()), (1, 1), "{}", item.head);
        for code in item.marked("Er") {
            man.insert([item.head, outcomes[0], code, levels[0]].map(str::to_owned));
        }
    }
    let rows = [Turn::Always, Turn::AfterMethod].map(|turn| {
        DECISIONS.map(|decision| {
            let code = format!("{:?}", code(decision, turn));
            let words = [
                decision.reason(),
                decision.outcome(),
                &code,
                level_name(decision),
            ];
            words.map(str::to_owned)
        })
    });
    assert_eq!(man, rows.concat().into_iter().collect());
}
