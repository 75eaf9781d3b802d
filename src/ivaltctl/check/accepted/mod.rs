//! Findings that an administrator means: `check --accept` and `--retract`.
//!
//! An acceptance holds for a finding as it was shown: its severity and text, the people whom it concerns, and the bytes
//! of every file that was read to find it. What was read is noted by [`Root`] itself, so that no check has to say it.

mod record;

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::SystemTime;

use crate::caller::caller;
use crate::command_line::CheckArgs;
use crate::finding::{Finding, Outdated};
use crate::output::Output;
use crate::root::Root;
use crate::system_error;
use crate::users::file::{Locked, UsersFile};
use crate::utc::utc;
use crate::{Exit, Refused, enable, trust};
use ivalt_core::problem::{Problem, ProblemKind};
use ivalt_core::trusted_file::{ReadPermission, SMALL};
use record::Record;

use super::context::problem_finding;
use crate::finding::Severity;

/// Where acceptances are recorded, whatever `--config` says.
const FILE: &str = "/etc/ivalt/accepted.toml";
/// For a file of acceptances that is not trusted or not understood.
const FIX: &str = "inspect it, then move it away, and accept again what is meant: mv /etc/ivalt/accepted.toml \
                   /etc/ivalt/accepted.toml.old; ivaltctl check --accept ID --because TEXT";
/// Every id is listed there, and only there; a test holds the page to the code.
const PAGE: &str = include_str!("../../../../debian/ivaltctl.8");

/// What a check finds, each finding with the files that were read for it.
pub fn derived(root: &Root, check: impl FnOnce() -> Vec<Finding>) -> Vec<Finding> {
    let (mut found, sources) = root.recorded(check);
    for finding in &mut found {
        finding.acceptance.sources.extend(&sources);
    }
    found
}

/// Adds to each finding the file that it is about, if no check has read that. Whether a folder is trusted is not
/// derived from bytes.
pub fn with_own_files(root: &Root, mut found: Vec<Finding>) -> Vec<Finding> {
    for finding in &mut found {
        let Some(file) = &finding.file else { continue };
        let sources = &mut finding.acceptance.sources;
        if !sources.people.contains_key(file) && !sources.files.contains_key(file) {
            let ((), own) = root.recorded(|| root.record(file));
            sources.extend(&own);
        }
    }
    found
}

/// Says of each finding whether it is accepted, and adds one where the file of acceptances cannot be used.
pub fn mark(root: &Root, findings: &mut Vec<Finding>) {
    match read(root) {
        Ok(records) => mark_with(&records, !root.is_this_machine(), findings),
        Err(problem) => findings.push(unusable(&problem)),
    }
}

fn mark_with(records: &[Record], only_shown: bool, findings: &mut [Finding]) {
    let fitting = |finding: &Finding| records.iter().find(|record| record.fits(finding));
    let used: Vec<_> = findings.iter().filter_map(fitting).collect();
    for finding in findings {
        if let Some(record) = fitting(finding) {
            finding.acceptance.accepted = Some(record.accepted(only_shown));
            continue;
        }
        // One that fits another finding of the same file says nothing about this one.
        let unused = |record: &&Record| record.is_about(finding) && !used.contains(record);
        let outdated = records.iter().filter(unused);
        let outdated = outdated.map(|record| (record, record.changes(finding)));
        let nearest = outdated.min_by_key(|(_, changed)| changed.len());
        finding.acceptance.no_longer_accepted = nearest.map(|(record, changed)| Outdated {
            was: record.accepted(only_shown),
            changed,
        });
    }
}

/// All acceptances; none where there is no file.
fn read(root: &Root) -> Result<Vec<Record>, Problem> {
    let path = Path::new(FILE);
    let bytes = root.read_trusted(trust(), path, ReadPermission::Anybody, SMALL);
    if bytes
        .as_ref()
        .is_err_and(|problem| problem.kind == ProblemKind::Missing)
    {
        return Ok(Vec::new());
    }
    let records = bytes.and_then(|bytes| record::parse(path, &bytes));
    let records = records.map_err(|problem| {
        let fix = match problem.kind {
            ProblemKind::PermissionDenied => "run as root: sudo ivaltctl check",
            // Made root's, it would accept whatever others have written.
            _ => FIX,
        };
        problem.fix(fix)
    })?;
    refuse_readable(root, path)?;
    Ok(records)
}

/// Others may not have written it then, so that its mode is all that must be corrected.
fn refuse_readable(root: &Root, path: &Path) -> Result<(), Problem> {
    let mode = root.metadata(path).map_or(0, |found| found.mode() & 0o7777);
    if mode & 0o044 == 0 {
        return Ok(());
    }
    let what = format!("is readable by group or others (mode {mode:04o})");
    let problem = Problem::new(ProblemKind::Untrusted, what).in_file(path);
    Err(problem.run(format!("chmod 0600 {FILE}")))
}

fn unusable(problem: &Problem) -> Finding {
    let (id, consequence) = ("acceptances-unusable", "no finding is accepted");
    problem_finding(
        Severity::Warning,
        id,
        Path::new(FILE),
        problem,
        consequence,
        FIX,
    )
}

/// `ID` or `ID:FILE`, one that the tool has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    id: String,
    file: Option<PathBuf>,
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (id, file) = match text.split_once(':') {
            Some((id, file)) => (id, Some(file)),
            None => (text, None),
        };
        if !ids().any(|known| known == id) {
            return Err("there is no finding with this id; ids are in brackets in the output of: ivaltctl check".into());
        }
        if file.is_some_and(|file| !file.starts_with('/')) {
            return Err(
                "expected ID or ID:FILE, with the path of the file as check shows it".into(),
            );
        }
        Ok(Self {
            id: id.to_owned(),
            file: file.map(PathBuf::from),
        })
    }
}

/// Every id of ivaltctl(8).
fn ids() -> impl Iterator<Item = &'static str> {
    let diagnostics = PAGE.split(".Sh DIAGNOSTICS").nth(1).unwrap_or_default();
    let items = diagnostics
        .lines()
        .filter_map(|line| line.strip_prefix(".It Cm "));
    items.filter_map(|item| Some(item.split_once(" Pq ")?.0))
}

impl Target {
    fn names(&self, id: &str, file: Option<&Path>) -> bool {
        self.id == id && (self.file.is_none() || self.file.as_deref() == file)
    }

    fn finds(&self, findings: Vec<Finding>) -> Vec<Finding> {
        let named = findings.into_iter();
        named
            .filter(|finding| self.names(finding.id, finding.file.as_deref()))
            .collect()
    }

    fn shown(&self) -> String {
        record::place(&self.id, self.file.as_deref())
    }
}

/// Changes what is accepted, where that is asked for.
pub fn change(args: &CheckArgs, config: &Path) -> Option<Exit> {
    let mut output = Output::new(args.json, false);
    let result = match (&args.accept, &args.retract) {
        (Some(target), _) => {
            let because = args.because.as_deref().unwrap_or_default();
            accept(target, because, config, &mut output)
        }
        (_, Some(target)) => retract(target, &mut output),
        (None, None) => return None,
    };
    Some(output.finish(result))
}

fn accept(
    target: &Target,
    because: &str,
    config: &Path,
    output: &mut Output,
) -> Result<(), Refused> {
    let root = Root::this_machine()?;
    let found = found(&root, target, &system_error::absolute(config)?)?;
    if let Some(impossible) = found.iter().find(|finding| !record::is_possible(finding)) {
        return Err(not_acceptable(impossible));
    }
    let file = UsersFile::new(FILE.into());
    let locked = file.lock()?;
    let mut records = read_to_change(&root)?;
    let new = |finding: &&Finding| !records.iter().any(|record| record.fits(finding));
    let new: Vec<_> = found.iter().filter(new).collect();
    if new.is_empty() {
        let places: BTreeSet<_> = found.iter().map(place).collect();
        for place in &places {
            output.line(format!(
                "{place}: accepted already; to change the reason, retract it first"
            ));
        }
        output.set("findings", Vec::from_iter(places));
        return Ok(());
    }
    // What they replace: others about the same file that fit nothing of what is found.
    records.retain(|record| {
        let about = found.iter().any(|finding| record.is_about(finding));
        !about || found.iter().any(|finding| record.fits(finding))
    });
    let (by, when) = (caller(), utc(SystemTime::now()));
    records.extend(
        new.iter()
            .map(|finding| Record::new(finding, &by, &when, because)),
    );
    replace(&locked, &records, output)?;
    let places: BTreeSet<_> = new.into_iter().map(place).collect();
    done(output, "accepted", places);
    Ok(())
}

/// What is found now; failing that, what `enable` would refuse or warn of: there it must be accepted before.
fn found(root: &Root, target: &Target, config: &Path) -> Result<Vec<Finding>, Refused> {
    let found = target.finds(super::unmarked(root, config));
    if !found.is_empty() {
        return Ok(found);
    }
    let mut all: Vec<Finding> = Vec::new();
    for prospect in enable::Prospect::all(root) {
        let found = super::unmarked(&prospect.root, config).into_iter();
        let found = found.filter(|finding| {
            let shown = prospect.shown(root, finding.clone());
            let mut files = [&finding.file, &shown.file].into_iter();
            files.any(|file| target.names(finding.id, file.as_deref()))
        });
        let new = found.filter(|one| !all.iter().any(|known| record::is_same(known, one)));
        let new: Vec<_> = new.collect();
        all.extend(new);
    }
    if all.is_empty() {
        return Err(not_found(target));
    }
    Ok(all)
}

fn not_found(target: &Target) -> Refused {
    let shown = target.shown();
    if target.id.split('-').next() == Some("online") {
        return Refused(format!(
            "{shown}: what --online finds is about the connection at that moment and cannot be accepted; nothing was changed"
        ));
    }
    Refused(format!(
        "{shown}: is not found now, so there is nothing to accept; nothing was changed; see what is found: ivaltctl check"
    ))
}

fn not_acceptable(finding: &Finding) -> Refused {
    Refused(format!(
        "{}: says that something cannot be read or understood, so nobody can know what would be accepted; nothing was \
         changed; fix it: {}",
        place(finding),
        finding.fix
    ))
}

fn retract(target: &Target, output: &mut Output) -> Result<(), Refused> {
    let root = Root::this_machine()?;
    let file = UsersFile::new(FILE.into());
    let locked = file.lock()?;
    let records = read_to_change(&root)?.into_iter();
    let (retracted, kept): (Vec<_>, Vec<_>) =
        records.partition(|record| target.names(record.id(), record.file()));
    if retracted.is_empty() {
        let shown = target.shown();
        return Err(Refused(format!(
            "{shown}: is not accepted; nothing was changed; see what is: cat {FILE}"
        )));
    }
    replace(&locked, &kept, output)?;
    let places: BTreeSet<_> = retracted.iter().map(Record::place).collect();
    done(output, "retracted", places);
    Ok(())
}

/// It is changed even if a power cut may undo that.
fn replace(locked: &Locked, records: &[Record], output: &mut Output) -> Result<(), Refused> {
    let synced = locked.replace(&record::text(records))?;
    output.set("changed", true);
    synced
}

/// Nothing is written over a file that is not trusted or not understood.
fn read_to_change(root: &Root) -> Result<Vec<Record>, Refused> {
    read(root).map_err(|problem| Refused(format!("{problem}; nothing was changed")))
}

/// `ID:FILE`, as `--accept` takes it.
fn place(finding: &Finding) -> String {
    record::place(finding.id, finding.file.as_deref())
}

fn done(output: &mut Output, word: &str, places: BTreeSet<String>) {
    for place in &places {
        output.done(word, format!("{place}: {word}"));
    }
    output.set("findings", Vec::from_iter(places));
}

#[cfg(test)]
mod tests;
