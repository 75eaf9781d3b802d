//! Something that is wrong, what it does to a login, and how to fix it.

use std::path::PathBuf;

use serde::Serialize;

/// How bad it is, in ascending order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// Somebody should look at it.
    Warning,
    /// Somebody who should get in does not.
    LocksOut,
    /// Somebody who should not get in does.
    LetsIn,
}

/// One result of `ivaltctl check`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// A stable name: for scripts, tests and the man page.
    pub id: &'static str,
    /// Where it is, by its path in the checked system.
    pub file: Option<PathBuf>,
    /// From 1.
    pub line: Option<usize>,
    /// What is wrong, and what will happen to a login because of it.
    pub what: String,
    /// The command or the text that fixes it.
    pub fix: String,
}
