//! Files that are there and cannot be read: a FIFO, a device, a link that leads nowhere, one that is too large.

use std::path::Path;

use super::context::finding;
use crate::finding::{Finding, Severity};
use crate::root::{BROKEN_LINK, Root};

/// What the other checks have come across and have no finding about.
pub fn findings(root: &Root, others: &[Finding]) -> Vec<Finding> {
    let is_known = |file: &Path| {
        others
            .iter()
            .any(|other| other.file.as_deref() == Some(file))
    };
    let mut unreadable = root.unreadable();
    unreadable.retain(|file, _| !is_known(file));
    let found = unreadable.into_iter().map(|(file, why)| {
        // A copy of a part of a system has such links, and a folder among files harms nobody who does not ask for it.
        let severity = match why == BROKEN_LINK || root.is_folder(&file) {
            true => Severity::Warning,
            false => Severity::LocksOut,
        };
        let what = format!(
            "cannot be read ({why}): what programs find there is not known, and a login that needs it fails or waits"
        );
        let fix = format!(
            "put a regular file in its place, or remove it; inspect: namei -l {}",
            file.display()
        );
        finding(severity, "unreadable-file", file, what, fix)
    });
    found.collect()
}
