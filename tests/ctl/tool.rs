//! Calls of ivaltctl.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use support::sandbox;

/// What one call came to.
#[derive(Debug)]
pub struct Called {
    pub status: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Called {
    /// What was printed is one JSON value.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// The program with these words and an empty standard input.
pub fn ivaltctl(words: &[&str]) -> Called {
    ivaltctl_typed(words, "")
}

/// The program with these words; `typed` comes from standard input.
pub fn ivaltctl_typed(words: &[&str], typed: &str) -> Called {
    let mut process = command(words).spawn().expect("ivaltctl starts");
    let mut stdin = process.stdin.take().expect("a pipe");
    // A program that does not read its input is free not to.
    let _ = stdin.write_all(typed.as_bytes());
    drop(stdin);
    called(process.wait_with_output().expect("its output"))
}

/// The program with `--config` of this file in front.
pub fn with_config(config: &Path, words: &[&str], typed: &str) -> Called {
    let config = config.to_str().expect("paths of tests are UTF-8");
    ivaltctl_typed(&[&["--config", config], words].concat(), typed)
}

/// The program where the machine's own settings are not seen.
pub fn in_sandbox(words: &[&str]) -> Called {
    let mut command = command(words);
    sandbox::build_for(&mut command);
    called(command.output().expect("ivaltctl starts"))
}

fn command(words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ivaltctl"));
    command
        .args(words)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// What a finished program came to.
pub fn called(output: Output) -> Called {
    let text = |bytes| String::from_utf8(bytes).expect("ivaltctl speaks UTF-8");
    Called {
        status: output.status.code().expect("an exit status, no signal"),
        stdout: text(output.stdout),
        stderr: text(output.stderr),
    }
}
