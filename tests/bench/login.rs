//! One login in a process of its own, and what it cost.

use std::ffi::OsString;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::Fault;
use crate::setup::Setup;
use support::trace::Trace;

/// What `clock` and the program it ran reported.
#[derive(Clone, Copy, Debug)]
pub struct Login {
    /// From the start of the process to its end.
    pub wall_ms: f64,
    /// User and system, all its processes.
    pub cpu_ms: f64,
    /// The largest resident set of any of its processes.
    pub rss_kib: f64,
    /// Whether there was a prompt.
    pub asked: bool,
    /// From the call of `pam_authenticate` to the prompt; without a prompt, to the result.
    pub before_prompt_ms: f64,
    /// From the answer, or without a prompt from the call, to the result.
    pub after_answer_ms: f64,
}

impl Login {
    /// Its line of JSON.
    pub fn raw(&self) -> Value {
        json!({
            "wall_ms": self.wall_ms, "cpu_ms": self.cpu_ms, "rss_kib": self.rss_kib,
            "before_prompt_ms": self.before_prompt_ms, "after_answer_ms": self.after_answer_ms,
        })
    }
}

/// Runs `words` under `clock`; a login that does not end in `code` is no measurement.
pub fn log_in(setup: &Setup, words: &[OsString], code: i64) -> Result<Login, Fault> {
    let output = in_order(Command::new(setup.tool("clock")))
        .args(words)
        .output()?;
    let complaint = String::from_utf8_lossy(&output.stderr);
    reported(
        words,
        &String::from_utf8_lossy(&output.stdout),
        &complaint,
        code,
    )
}

/// What `clock` and the program said.
pub fn reported(
    words: &[OsString],
    said: &str,
    complaint: &str,
    code: i64,
) -> Result<Login, Fault> {
    let told = numbers(said);
    let [
        begun,
        prompted,
        answered,
        ended,
        got,
        started,
        over,
        cpu_us,
        rss_kib,
        0,
    ] = told[..]
    else {
        return Err(format!("{words:?} failed: {said}{complaint}").into());
    };
    if got != code {
        return Err(format!("{words:?} ended with code {got}, not {code}").into());
    }
    let since = |moment: i64| if moment == 0 { begun } else { moment };
    Ok(Login {
        wall_ms: ms(over - started),
        cpu_ms: ms(cpu_us * 1000),
        rss_kib: rss_kib as f64,
        asked: prompted != 0,
        before_prompt_ms: ms(if prompted == 0 { ended } else { prompted } - begun),
        after_answer_ms: ms(ended - since(answered)),
    })
}

/// The same login under strace.
pub fn traced(setup: &Setup, strace: &Path, words: &[OsString]) -> Result<Trace, Fault> {
    let file = setup.path("trace");
    let status = in_order(Command::new(strace))
        .args(["-f", "-qq", "-o"])
        .arg(&file)
        .args(words)
        .stdout(Stdio::null())
        .status()?;
    if !status.success() {
        return Err(format!("{} of {words:?} ended with {status}", strace.display()).into());
    }
    Ok(Trace::read(&file)?)
}

/// Nothing of our own environment.
pub fn in_order(mut command: Command) -> Command {
    command.env_clear().env("PATH", "/usr/bin:/bin");
    command.current_dir("/").stdin(Stdio::null());
    command
}

/// Every number of a text that holds nothing else; none at all if it does.
pub fn numbers(text: &str) -> Vec<i64> {
    let numbers: Result<Vec<i64>, _> = text.split_whitespace().map(str::parse).collect();
    numbers.unwrap_or_default()
}

pub fn ms(nanoseconds: i64) -> f64 {
    nanoseconds as f64 / 1e6
}
