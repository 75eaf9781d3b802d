//! The command line, and how much of everything is done.

use std::fs::File;
use std::io::Write;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::Fault;

/// What `scripts/bench` found on this machine, and how thorough the run is to be.
#[derive(Debug, Default)]
pub struct Options {
    /// The compiled C programs of this folder.
    pub tools: PathBuf,
    /// A folder that vanishes afterwards; the stand-in's files are in it.
    pub work: PathBuf,
    /// `libpam_ivalt.so`
    pub module: PathBuf,
    /// The name under which the stand-in is half a round trip away; without, its answer is delayed instead.
    pub far: Option<String>,
    /// strace(1), if there is one.
    pub strace: Option<PathBuf>,
    /// curl(1), if there is one.
    pub curl: Option<PathBuf>,
    /// A line for every single measurement goes there.
    pub json: Option<PathBuf>,
    /// A few rounds only.
    pub quick: bool,
}

impl Options {
    pub fn parse(mut words: impl Iterator<Item = String>) -> Result<Self, Fault> {
        let mut options = Self::default();
        while let Some(word) = words.next() {
            if word == "--quick" {
                options.quick = true;
                continue;
            }
            let value = words.next().ok_or(format!("{word} needs a value"))?;
            match word.as_str() {
                "--tools" => options.tools = value.into(),
                "--work" => options.work = value.into(),
                "--module" => options.module = value.into(),
                "--far" => options.far = Some(value),
                "--strace" => options.strace = Some(value.into()),
                "--curl" => options.curl = Some(value.into()),
                "--json" => options.json = Some(value.into()),
                _ => return Err(format!("unknown argument {word}").into()),
            }
        }
        Ok(options)
    }

    /// Appends what was measured once to the file of `--json`, as a line: its table, of what it is, and the figures.
    pub fn write_raw(&self, table: &str, of: Value, measured: Value) -> Result<(), Fault> {
        let Some(path) = &self.json else {
            return Ok(());
        };
        let line = json!({"table": table, "of": of, "measured": measured});
        Ok(writeln!(
            File::options().append(true).open(path)?,
            "{line}"
        )?)
    }

    /// Rounds without a delay.
    pub fn rounds(&self) -> usize {
        if self.quick { 3 } else { 40 }
    }

    /// Rounds in which a user thinks, with the delay and without.
    pub fn thinking_rounds(&self) -> usize {
        if self.quick { 1 } else { 11 }
    }

    /// Rounds of many logins at once.
    pub fn concurrent_rounds(&self) -> usize {
        if self.quick { 1 } else { 5 }
    }

    /// Logins of one contender in such a round.
    pub fn concurrent(&self) -> usize {
        if self.quick { 32 } else { 160 }
    }

    /// Logins at once, and rounds of them.
    pub fn at_once(&self) -> &'static [(usize, usize)] {
        if self.quick {
            &[(16, 1)]
        } else {
            &[(16, 5), (64, 3), (256, 3)]
        }
    }

    /// Rounds for each number of roots.
    pub fn roots_rounds(&self) -> usize {
        if self.quick { 1 } else { 15 }
    }

    /// Rounds with a first address that does not answer, and the seconds after which a login is given up.
    pub fn dead_address(&self) -> (usize, u32) {
        if self.quick { (1, 1) } else { (5, 10) }
    }

    /// Sizes of `users.toml`, in lines.
    pub fn users(&self) -> &'static [usize] {
        if self.quick {
            &[10, 1_000, 100_000]
        } else {
            &[10, 1_000, 100_000, 1_000_000]
        }
    }

    /// Rounds for these.
    pub fn users_rounds(&self) -> usize {
        if self.quick { 3 } else { 15 }
    }
}
