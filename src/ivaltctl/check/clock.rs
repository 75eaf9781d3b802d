//! The clock, by which certificates are judged.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::patient::{Patient, finding};
use super::program;
use crate::finding::{Finding, Severity};

/// What may be: clocks of network file systems differ a little.
const TOLERANCE: Duration = Duration::from_secs(300);

/// Whether the clock is behind files that were written by it, and whether anything keeps it right.
pub fn findings(patient: &Patient) -> Vec<Finding> {
    [behind(patient), unsynchronised(patient)].concat()
}

fn behind(patient: &Patient) -> Vec<Finding> {
    let configs = patient.configs.iter().map(|config| config.path.clone());
    let users = patient
        .usable()
        .map(|(_, settings)| settings.users_file.clone());
    let files: Vec<PathBuf> = configs.chain(users).chain(["/etc/passwd".into()]).collect();
    let written = files.iter().filter_map(|file| {
        let written = fs::metadata(patient.root.followed(file)).and_then(|found| found.modified());
        Some((written.ok()?, file))
    });
    let Some((newest, file)) = written.max() else {
        return Vec::new();
    };
    let ahead = newest.duration_since(SystemTime::now()).unwrap_or_default();
    if ahead <= TOLERANCE {
        return Vec::new();
    }
    let what = format!(
        "was written {} minutes in the future: the clock is wrong, and while it is far off, iVALT's certificate is \
         refused and everybody who is asked is denied (unavailable)",
        ahead.as_secs() / 60
    );
    vec![finding(
        Severity::Warning,
        "clock-behind",
        file,
        what,
        fix(),
    )]
}

fn unsynchronised(patient: &Patient) -> Vec<Finding> {
    if !patient.root.is_this_machine() || patient.lines.is_empty() {
        return Vec::new();
    }
    let said = program::output(
        &["/usr/bin/timedatectl"],
        &["show", "--property=NTPSynchronized", "--value"],
    );
    if said.is_none_or(|said| said.trim() != "no") {
        return Vec::new();
    }
    let what = "nothing keeps the clock right: when it is far off, iVALT's certificate is refused and everybody who is \
                asked is denied (unavailable)";
    vec![Finding {
        file: None,
        ..finding(
            Severity::Warning,
            "clock-unsynchronised",
            Path::new(""),
            what,
            fix(),
        )
    }]
}

/// What sets a clock right.
pub fn fix() -> &'static str {
    "timedatectl set-ntp true"
}
