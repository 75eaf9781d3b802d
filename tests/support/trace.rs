//! What strace(1) saw of one login, all its processes: system calls and libraries.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// One login.
#[derive(Clone, Debug)]
pub struct Trace {
    /// How many.
    pub system_calls: usize,
    /// How many of each name.
    pub names: BTreeMap<String, usize>,
    /// The files themselves, no links.
    pub libraries: BTreeSet<PathBuf>,
}

impl Trace {
    /// From the file that `strace -f -o` wrote.
    pub fn read(file: &Path) -> std::io::Result<Self> {
        let text = fs::read(file)?;
        let text = String::from_utf8_lossy(&text);
        let calls = calls(&text);
        Ok(Self {
            system_calls: calls.len(),
            names: calls.iter().fold(BTreeMap::new(), |mut names, call| {
                *names.entry(name(call).to_owned()).or_default() += 1;
                names
            }),
            libraries: calls.iter().filter_map(|call| library(call)).collect(),
        })
    }

    /// System calls that `floor` does without.
    pub fn calls_beyond(&self, floor: &Self) -> usize {
        self.system_calls.saturating_sub(floor.system_calls)
    }

    /// Libraries that `floor` does without.
    pub fn libraries_beyond(&self, floor: &Self) -> Vec<PathBuf> {
        let beyond = self.libraries.difference(&floor.libraries);
        beyond.cloned().collect()
    }
}

/// `PID NAME(…) = …`, without the process. What another process interrupted is in two lines of the file,
/// `PID NAME(… <unfinished ...>` and `PID <... NAME resumed>…`; signals and endings are no calls.
fn calls(text: &str) -> Vec<String> {
    let (mut calls, mut unfinished) = (Vec::new(), BTreeMap::new());
    for (process, rest) in text.lines().filter_map(|line| line.split_once(' ')) {
        let rest = rest.trim_start();
        if let Some(begun) = rest.strip_suffix("<unfinished ...>") {
            unfinished.insert(process, begun);
        } else if let Some((_, end)) = rest.split_once(" resumed>") {
            calls.extend(
                unfinished
                    .remove(process)
                    .map(|begun| begun.to_owned() + end),
            );
        } else if rest.starts_with(|c: char| c.is_ascii_lowercase()) {
            calls.push(rest.to_owned());
        }
    }
    // Such as the last of every process.
    calls.extend(unfinished.into_values().map(str::to_owned));
    calls
}

/// `NAME(…) = …`
fn name(call: &str) -> &str {
    call.split('(').next().unwrap_or_default()
}

/// `openat(AT_FDCWD, "/lib/…/libc.so.6", O_RDONLY|O_CLOEXEC) = 3`
fn library(call: &str) -> Option<PathBuf> {
    let (before, result) = call.rsplit_once(" = ")?;
    let path = before.strip_prefix("openat(")?.split('"').nth(1)?;
    let name = Path::new(path).file_name()?.to_str()?;
    let shared = name.ends_with(".so") || name.contains(".so.");
    (shared && !result.starts_with('-')).then(|| fs::canonicalize(path).ok())?
}
