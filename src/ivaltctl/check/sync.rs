//! The synced users file: whether `users sync` keeps it in step, and whether those who are gone are denied.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::path::Path;
use std::time::{Duration, SystemTime};

use super::context::{CheckContext, finding, problem_finding};
use super::timer;
use crate::finding::{Finding, Severity};
use crate::root::Root;
use crate::trust;
use crate::users::sync::{DIRECTORY, DirectorySettings, LAST_SYNC, Memory};
use crate::utc;
use ivalt_core::problem::{Problem, ProblemKind};
use ivalt_core::trusted_file::{ReadPermission, SMALL};

const TIMER: &str = "ivaltctl-sync.timer";
/// One that is late by less has been held up.
const INTERVALS: u32 = 3;

/// Checks the timer and the description of the directory.
pub fn findings(context: &CheckContext) -> Vec<Finding> {
    let found = [
        directory(context.root),
        old(context.root, SystemTime::now()),
    ];
    found.into_iter().flatten().collect()
}

/// Logins do not read it: they go on by what the last sync wrote.
fn directory(root: &Root) -> Option<Finding> {
    let path = Path::new(DIRECTORY);
    let bytes = root.read_trusted(trust(), path, ReadPermission::OwnerOnly, SMALL);
    let problem = match bytes {
        Ok(bytes) => parse(path, &bytes).err()?,
        // That only root may read the settings is a finding of its own.
        Err(Problem {
            kind: ProblemKind::Missing | ProblemKind::PermissionDenied,
            ..
        }) => return None,
        Err(problem) => problem,
    };
    let consequence = "users sync refuses, and who leaves stays enrolled";
    let fix =
        format!("correct it in {DIRECTORY}; every key is explained in ivalt-directory.toml(5)");
    let id = "directory-unusable";
    Some(problem_finding(
        Severity::Warning,
        id,
        path,
        &problem,
        consequence,
        &fix,
    ))
}

fn parse(path: &Path, bytes: &[u8]) -> Result<DirectorySettings, Problem> {
    let text = std::str::from_utf8(bytes);
    let text = text.map_err(|_| Problem::invalid("is not UTF-8").in_file(path))?;
    DirectorySettings::parse(path, text)
}

/// Where the timer is enabled, and no sync was completed for three of its intervals.
fn old(root: &Root, now: SystemTime) -> Option<Finding> {
    let enabled_since = timer::enabled_since(root, TIMER)?;
    let interval = timer::interval(root, TIMER);
    let file = Path::new(crate::enable::STATES).join(LAST_SYNC);
    let text = match root.read(&file) {
        Err(error) if error.kind() == ErrorKind::PermissionDenied => return None,
        read => read.unwrap_or_default(),
    };
    let last = text.split_whitespace().next().and_then(utc::parse);
    // The first sync after it was enabled has the same time.
    let since = last.map_or(enabled_since, |last| last.max(enabled_since));
    // A clock that was wrong is a finding of its own.
    let age = now.duration_since(since).unwrap_or_default();
    if age <= interval * INTERVALS {
        return None;
    }
    let when = match last {
        Some(_) => format!("the last complete sync was {} ago", told(age)),
        None => "no sync was completed since then".to_owned(),
    };
    let what = format!(
        "{TIMER} is enabled, and {when}: changes of the directory do not come here, and who leaves stays enrolled"
    );
    let fix = "see why: systemctl status ivaltctl-sync.service ivaltctl-sync.timer; try it: ivaltctl users sync --dry-run";
    let found = finding(Severity::Warning, "sync-old", file, what, fix);
    Some(found.concerning::<&str>([]))
}

/// `5 hours`, `3 days`
fn told(age: Duration) -> String {
    let hours = age.as_secs() / 3600;
    match hours {
        0..=1 => format!("{} minutes", age.as_secs() / 60),
        2..=47 => format!("{hours} hours"),
        _ => format!("{} days", hours / 24),
    }
}

/// Everybody whom earlier syncs wrote; nobody where what they remember cannot be used, which `users sync` refuses.
pub fn written_before(root: &Root, synced: &Path) -> BTreeSet<String> {
    let memory = root.listing_people(|| Memory::load(root, synced));
    memory.map_or_else(
        |_| BTreeSet::new(),
        |memory| memory.known.into_keys().collect(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_told_in_the_largest_unit() {
        for (seconds, expected) in [
            (600, "10 minutes"),
            (7199, "119 minutes"),
            (7200, "2 hours"),
            (172_799, "47 hours"),
            (172_800, "2 days"),
        ] {
            assert_eq!(told(Duration::from_secs(seconds)), expected);
        }
    }
}
