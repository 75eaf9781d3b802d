//! Files that are there and are not read: a FIFO, a device, a link that leads nowhere, one that is too large.

use super::context::{CheckContext, finding};
use crate::finding::{Finding, Severity};

/// What the other checks have come across; so they come first.
pub fn findings(context: &CheckContext) -> Vec<Finding> {
    let unreadable = context.root.unreadable().into_iter();
    let found = unreadable.map(|(file, why)| {
        // A folder among the files of a folder harms nobody who does not ask for it.
        let severity = match context.root.is_folder(&file) {
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
        finding(severity, "unreadable-file", file, what, fix).not_acceptable()
    });
    found.collect()
}
