//! Something that is wrong, what it does to a login, and what fixes it.

use std::path::PathBuf;

use serde::Serialize;

/// How bad it is; the order counts.
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

/// One result of the doctor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// A name that stays: for scripts, tests and the man page.
    pub id: &'static str,
    /// Where it stands, as the checked system calls it.
    pub file: Option<PathBuf>,
    /// From 1.
    pub line: Option<usize>,
    /// What is wrong, and what will happen to a login because of it.
    pub what: String,
    /// The command or the text that fixes it.
    pub fix: String,
}
