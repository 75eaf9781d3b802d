//! What strace(1) sees of one login: system calls and libraries.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::Fault;
use crate::world::World;

/// One login, all its processes.
#[derive(Clone, Debug)]
pub struct Trace {
    pub system_calls: usize,
    pub libraries: BTreeSet<PathBuf>,
}

/// Logs in under strace.
pub fn trace(world: &World, strace: &Path, words: &[OsString]) -> Result<Trace, Fault> {
    let file = world.path("trace");
    let status = Command::new(strace)
        .args(["-f", "-qq", "-o"])
        .arg(&file)
        .args(words)
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status()?;
    if !status.success() {
        return Err(format!("{} of {words:?} ended with {status}", strace.display()).into());
    }
    let text = fs::read(&file)?;
    Ok(read(&String::from_utf8_lossy(&text)))
}

fn read(text: &str) -> Trace {
    let calls: Vec<&str> = text.lines().filter_map(call).collect();
    Trace {
        system_calls: calls.len(),
        libraries: calls.iter().filter_map(|call| library(call)).collect(),
    }
}

/// `PID NAME(…`; the second half of a call that was interrupted, signals and endings are none.
fn call(line: &str) -> Option<&str> {
    let call = line
        .trim_start_matches(|c: char| c.is_ascii_digit())
        .trim_start();
    call.starts_with(|c: char| c.is_ascii_lowercase())
        .then_some(call)
}

/// `openat(AT_FDCWD, "/lib/…/libc.so.6", O_RDONLY|O_CLOEXEC) = 3`
fn library(call: &str) -> Option<PathBuf> {
    let (before, result) = call.rsplit_once(" = ")?;
    let path = before.strip_prefix("openat(")?.split('"').nth(1)?;
    let name = Path::new(path).file_name()?.to_str()?;
    let shared = name.ends_with(".so") || name.contains(".so.") && name != "ld.so.cache";
    (shared && !result.starts_with('-')).then(|| fs::canonicalize(path).ok())?
}

impl Trace {
    /// The size of the libraries that `floor` does without, in MB.
    pub fn megabytes_beyond(&self, floor: &Self) -> f64 {
        let sizes = self
            .libraries
            .difference(&floor.libraries)
            .filter_map(|path| fs::metadata(path).ok());
        sizes.map(|found| found.len() as f64 / 1e6).sum()
    }
}
