//! The table of findings in ivaltctl(8).

use std::collections::BTreeMap;

use super::man_page::{items, section};

/// Every id with its severities, as the tool's JSON calls them.
pub fn table() -> BTreeMap<&'static str, Vec<String>> {
    let lines = section(include_str!("../../debian/ivaltctl.8"), "DIAGNOSTICS");
    let mut table = BTreeMap::new();
    for item in items(&lines, "Cm") {
        let (id, severities) = item.head.split_once(" Pq ").expect(item.head);
        let severities = severities.split(" or ").map(|word| word.replace(' ', "-"));
        let twice = table.insert(id, severities.collect());
        assert_eq!(twice, None, "{id} is listed twice");
    }
    table
}

/// Fails where the man page does not know the finding, or not with this severity.
#[track_caller]
pub fn must_know(table: &BTreeMap<&str, Vec<String>>, id: &str, severity: &str) {
    let known = table.get(id);
    assert!(
        known.is_some_and(|known| known.iter().any(|word| word == severity)),
        "debian/ivaltctl.8 does not have {id} as {severity}, but {known:?}"
    );
}
