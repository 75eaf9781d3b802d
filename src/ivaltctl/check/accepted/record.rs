//! One acceptance in accepted.toml, and whether it is that of a finding.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::check::sshd::FROM_FILES;
use crate::finding::{Accepted, Finding};
use ivalt_core::problem::Problem;

const HEADER: &str = "\
# Findings of `ivaltctl check` that are meant. Written by `ivaltctl check --accept`, taken back by `--retract`.
# Each holds for the finding as it was then: its text, the people whom it concerns, and the files it came from, with
# their SHA-256.
";

/// A table of `[[accepted]]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    id: String,
    file: Option<PathBuf>,
    by: String,
    when: String,
    because: String,
    severity: String,
    what: String,
    fix: String,
    concerns: Option<Vec<String>>,
    sources: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Records {
    #[serde(default)]
    accepted: Vec<Record>,
}

/// Every acceptance of the file at `path`.
///
/// # Errors
/// It is not TOML of this form.
pub fn parse(path: &Path, bytes: &[u8]) -> Result<Vec<Record>, Problem> {
    let invalid = |why: String| Problem::invalid(why).in_file(path);
    let text = std::str::from_utf8(bytes).map_err(|_| invalid("is not UTF-8".into()))?;
    let records: Records = toml::from_str(text).map_err(|error| {
        let before = error.span().map(|span| &text[..span.start]);
        let line = before.map_or(1, |before| before.matches('\n').count() + 1);
        let why = error.message().lines().collect::<Vec<_>>().join(" ");
        invalid(format!(
            "is not what `ivaltctl check --accept` writes ({why})"
        ))
        .in_line(line)
    })?;
    Ok(records.accepted)
}

/// The file with these acceptances.
pub fn text(records: &[Record]) -> String {
    let tables = records.iter().map(Record::table);
    HEADER.to_owned() + &tables.collect::<String>()
}

/// Whether a finding can be accepted at all: everything it was derived from could be read and understood.
pub fn is_possible(finding: &Finding) -> bool {
    !finding.acceptance.impossible && sources(finding).is_some()
}

/// Whether an acceptance of the one would be one of the other.
pub fn is_same(one: &Finding, other: &Finding) -> bool {
    Record::new(one, "", "", "").fits(other)
}

/// The digests by path; nothing where a file is unreadable. Files that list people count where a finding does not say
/// whom it concerns.
fn sources(finding: &Finding) -> Option<BTreeMap<String, String>> {
    let acceptance = &finding.acceptance;
    let people = acceptance
        .concerns
        .is_none()
        .then_some(&acceptance.sources.people);
    let files = people
        .into_iter()
        .flatten()
        .chain(&acceptance.sources.files);
    files
        .map(|(path, digest)| Some((path.to_str()?.to_owned(), digest.clone()?)))
        .collect()
}

/// `enable` judges a system that sshd itself cannot be asked about yet.
fn what(finding: &Finding) -> String {
    finding.what.replace(FROM_FILES, "")
}

fn people(finding: &Finding) -> Option<Vec<String>> {
    let mut people = finding.acceptance.concerns.clone()?;
    people.sort();
    people.dedup();
    Some(people)
}

/// `ID:FILE`, or `ID` alone.
pub fn place(id: &str, file: Option<&Path>) -> String {
    let file = file.map(|file| format!(":{}", file.display()));
    format!("{id}{}", file.unwrap_or_default())
}

impl Record {
    /// The acceptance of a finding as it is.
    pub fn new(finding: &Finding, by: &str, when: &str, because: &str) -> Self {
        Self {
            id: finding.id.to_owned(),
            file: finding.file.clone(),
            by: by.to_owned(),
            when: when.to_owned(),
            because: because.to_owned(),
            severity: finding.severity.word().to_owned(),
            what: what(finding),
            fix: finding.fix.clone(),
            concerns: people(finding),
            sources: sources(finding).unwrap_or_default(),
        }
    }

    pub fn id(&self) -> &str {
        &self.id
    }

    pub fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// `ID:FILE`, as `--retract` takes it.
    pub fn place(&self) -> String {
        place(&self.id, self.file())
    }

    /// Who, when and why.
    pub fn accepted(&self, counts_all_the_same: bool) -> Accepted {
        Accepted {
            by: self.by.clone(),
            when: self.when.clone(),
            because: self.because.clone(),
            counts_all_the_same,
        }
    }

    /// Whether it accepts a finding of this id in this file.
    pub fn is_about(&self, finding: &Finding) -> bool {
        self.id == finding.id && self.file == finding.file
    }

    /// Whether it accepts this finding.
    pub fn fits(&self, finding: &Finding) -> bool {
        self.is_about(finding) && is_possible(finding) && self.changes(finding).is_empty()
    }

    /// What is not as it was when it was accepted, in words.
    pub fn changes(&self, finding: &Finding) -> Vec<String> {
        let now = Self::new(finding, "", "", "");
        let text = |record: &Self| {
            let Self {
                severity,
                what,
                fix,
                ..
            } = record;
            [severity, what, fix].map(String::clone)
        };
        let mut changes = Vec::new();
        if text(self) != text(&now) {
            changes.push("its text has changed".to_owned());
        }
        changes.extend(self.other_people(&now));
        let paths = self.sources.keys().chain(now.sources.keys());
        let mut paths: Vec<_> = paths.collect();
        paths.sort();
        paths.dedup();
        changes.extend(paths.into_iter().filter_map(|path| {
            match (self.sources.get(path), now.sources.get(path)) {
                (Some(then), Some(now)) if then == now => None,
                (Some(_), Some(_)) => Some(format!("{path} has changed")),
                (None, _) => Some(format!("{path} is new")),
                (_, None) => Some(format!("{path} is gone")),
            }
        }));
        changes
    }

    fn other_people(&self, now: &Self) -> Option<String> {
        if self.concerns == now.concerns {
            return None;
        }
        let names = |record: &Self| match record.concerns.as_deref() {
            None | Some([]) => "nobody by name".to_owned(),
            Some(people) => people.join(", "),
        };
        Some(format!("it concerns {}, not {}", names(now), names(self)))
    }

    fn table(&self) -> String {
        let mut lines = vec!["\n[[accepted]]".to_owned()];
        let mut add = |key: &str, value: &str| lines.push(format!("{key} = {}", string(value)));
        add("id", &self.id);
        if let Some(file) = self.file.as_deref().and_then(Path::to_str) {
            add("file", file);
        }
        add("by", &self.by);
        add("when", &self.when);
        add("because", &self.because);
        add("severity", &self.severity);
        add("what", &self.what);
        add("fix", &self.fix);
        if let Some(people) = &self.concerns {
            let people: Vec<_> = people.iter().map(|name| string(name)).collect();
            lines.push(format!("concerns = [{}]", people.join(", ")));
        }
        lines.push("[accepted.sources]".to_owned());
        let sources = self.sources.iter();
        lines
            .extend(sources.map(|(path, digest)| format!("{} = {}", string(path), string(digest))));
        lines.join("\n") + "\n"
    }
}

/// A string of JSON is one of TOML, but for DEL.
fn string(text: &str) -> String {
    serde_json::Value::from(text)
        .to_string()
        .replace('\u{7f}', "\\u007f")
}
