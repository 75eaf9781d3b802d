//! Something that is wrong, what it does to a login, and how to fix it.

use std::path::PathBuf;

use serde::{Serialize, Serializer};

use crate::sources::Sources;

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

impl Severity {
    /// As JSON has it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Warning => "warning",
            Self::LocksOut => "locks-out",
            Self::LetsIn => "lets-in",
        }
    }
}

/// One result of `ivaltctl check`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// A stable name: for scripts, tests and the man page.
    pub id: &'static str,
    /// Where it is, by its path in the checked system; in JSON bytes that are not UTF-8 are replaced.
    #[serde(serialize_with = "lossy")]
    pub file: Option<PathBuf>,
    /// From 1.
    pub line: Option<usize>,
    /// What is wrong, and what will happen to a login because of it.
    pub what: String,
    /// The command or the text that fixes it.
    pub fix: String,
    /// What an administrator's acceptance depends on, and whether there is one.
    #[serde(flatten)]
    pub acceptance: Acceptance,
}

fn lossy<S: Serializer>(file: &Option<PathBuf>, serializer: S) -> Result<S::Ok, S::Error> {
    let file = file.as_ref().map(|file| file.to_string_lossy());
    file.serialize(serializer)
}

/// What an acceptance of a finding depends on, and whether there is one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Acceptance {
    /// What it was derived from.
    #[serde(skip)]
    pub sources: Sources,
    /// Everybody whom it concerns, if it says so. Then other people in files that list people change nothing; where it
    /// does not say so, every byte of such a file counts.
    #[serde(skip)]
    pub concerns: Option<Vec<String>>,
    /// It says that something cannot be read or understood, so that nobody knows what would be accepted.
    #[serde(skip)]
    pub impossible: bool,
    /// It is accepted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub accepted: Option<Accepted>,
    /// It was accepted, and is no longer what was accepted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub no_longer_accepted: Option<Outdated>,
}

/// Who accepted a finding, when and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Accepted {
    /// A login name.
    pub by: String,
    /// `2026-11-26T06:20:00Z`
    pub when: String,
    pub because: String,
    /// Below `--root` it is only shown.
    #[serde(skip)]
    pub counts_all_the_same: bool,
}

/// An acceptance that holds no longer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Outdated {
    #[serde(flatten)]
    pub was: Accepted,
    /// What is not as it was: the text, the people, files.
    pub changed: Vec<String>,
}

impl Finding {
    /// The same about these people, all of them, also where the text names only some.
    pub fn concerning<T: ToString>(mut self, people: impl IntoIterator<Item = T>) -> Self {
        let people = people.into_iter().map(|name| name.to_string());
        self.acceptance.concerns = Some(people.collect());
        self
    }

    /// The same, which nobody can accept.
    pub fn not_acceptable(mut self) -> Self {
        self.acceptance.impossible = true;
        self
    }

    /// Whether it counts for the exit status, and may stop `enable`.
    pub fn counts(&self) -> bool {
        let accepted = self.acceptance.accepted.as_ref();
        accepted.is_none_or(|accepted| accepted.counts_all_the_same)
    }

    /// Whether it lets in or locks out, and counts.
    pub fn is_dangerous(&self) -> bool {
        self.severity >= Severity::LocksOut && self.counts()
    }
}
