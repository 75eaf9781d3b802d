//! Logins that wait at their prompt, and the memory they hold meanwhile.

use std::ffi::OsString;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use crate::Fault;
use crate::login::{Login, in_order, reported};
use crate::setup::Setup;

/// Between two looks at the memory.
const PAUSE: Duration = Duration::from_millis(50);

/// A negative time: a login waits until it is released.
pub const UNTIL_RELEASED: i32 = -1;

/// A login with `UNTIL_RELEASED` as its time to think.
#[derive(Debug)]
pub struct Waiting<'a> {
    words: &'a [OsString],
    child: Child,
    said: BufReader<ChildStdout>,
    pid: String,
}

impl<'a> Waiting<'a> {
    /// Before its prompt.
    pub fn start(setup: &Setup, words: &'a [OsString]) -> Result<Self, Fault> {
        let mut command = in_order(Command::new(setup.tool("clock")));
        command
            .args(words)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut child = command.spawn()?;
        let said = BufReader::new(child.stdout.take().ok_or("no standard output")?);
        let pid = String::new();
        Ok(Self {
            words,
            child,
            said,
            pid,
        })
    }

    pub fn wait_for_prompt(&mut self) -> Result<(), Fault> {
        self.said.read_line(&mut self.pid)?;
        Ok(())
    }

    /// proc_pid_smaps(5): what this process alone has mapped, in KiB.
    fn private_kib(&self) -> Result<u64, Fault> {
        let smaps = fs::read_to_string(format!("/proc/{}/smaps_rollup", self.pid.trim()))?;
        let private = smaps.lines().filter(|line| line.starts_with("Private_"));
        let kib = private.filter_map(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
        Ok(kib.sum())
    }

    pub fn release(&mut self) {
        self.child.stdin = None;
    }

    pub fn finish(mut self) -> Result<Login, Fault> {
        self.release();
        let mut said = String::new();
        self.said.read_to_string(&mut said)?;
        self.child.wait()?;
        reported(self.words, &said, "", 0)
    }
}

/// KiB a login, once it no longer changes: whoever connects at the prompt has connected.
pub fn settled_private_kib(all: &[Waiting]) -> Result<f64, Fault> {
    let mut before = 0;
    loop {
        sleep(PAUSE);
        let now: u64 = all
            .iter()
            .map(Waiting::private_kib)
            .sum::<Result<u64, Fault>>()?;
        if now == before {
            return Ok(now as f64 / all.len() as f64);
        }
        before = now;
    }
}

/// One login's beside another: alone it would be charged with the pages of libraries, too. Both then succeed.
pub fn private_kib(setup: &Setup, words: &[OsString]) -> Result<f64, Fault> {
    let mut both = [Waiting::start(setup, words)?, Waiting::start(setup, words)?];
    both.iter_mut().try_for_each(Waiting::wait_for_prompt)?;
    let kib = settled_private_kib(&both)?;
    for waiting in both {
        waiting.finish()?;
    }
    Ok(kib)
}
