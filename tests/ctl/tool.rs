//! Calls of ivaltctl.

use std::io::{self, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use support::{Script, ivaltctl_path, sandbox};

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
    finish(command(words), typed)
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

/// The program where `/dev/log` is a socket of this test's, and what arrived there.
pub fn with_log(words: &[&str], typed: &str) -> (Called, Vec<String>) {
    logged(command(words), typed)
}

/// The same on a machine whose `/run` is this folder.
pub fn on_host(run: &Path, words: &[&str]) -> (Called, Vec<String>) {
    heard(command_on(run, words), "")
}

/// The program on a machine whose `/run` is this folder.
pub fn command_on(run: &Path, words: &[&str]) -> Command {
    let mut command = command(words);
    bind_over(&mut command, vec![(run.to_owned(), "/run".into())]);
    command
}

/// A program that finds these folders in the place of the machine's: `(from, to)`.
pub fn bind_over(command: &mut Command, binds: Vec<(PathBuf, PathBuf)>) {
    let script = Script {
        binds,
        ..Script::default()
    };
    sandbox::build_with(command, script);
}

/// What the program says, and what it logs.
fn logged(mut command: Command, typed: &str) -> (Called, Vec<String>) {
    sandbox::build_for(&mut command);
    heard(command, typed)
}

/// What a program says that has a `/dev` of its own, and what it logs.
pub fn heard(mut command: Command, typed: &str) -> (Called, Vec<String>) {
    let log = UnixDatagram::unbound().expect("a socket");
    let descriptor = log.as_raw_fd();
    // SAFETY: between fork and exec; the name is made where only the program sees it.
    unsafe {
        command.pre_exec(move || bind(descriptor, b"/dev/log"));
    }
    let called = finish(command, typed);
    log.set_nonblocking(true).expect("a socket");
    let mut buffer = [0; 4096];
    let lines = std::iter::from_fn(|| {
        let length = log.recv(&mut buffer).ok()?;
        Some(String::from_utf8_lossy(&buffer[..length]).into_owned())
    });
    (called, lines.collect())
}

fn bind(socket: RawFd, name: &[u8]) -> io::Result<()> {
    // SAFETY: zeros are a valid address without a name.
    let mut address: libc::sockaddr_un = unsafe { std::mem::zeroed() };
    address.sun_family = libc::sa_family_t::try_from(libc::AF_UNIX).unwrap_or_default();
    for (to, from) in address.sun_path.iter_mut().zip(name) {
        *to = libc::c_char::from_ne_bytes([*from]);
    }
    let length = libc::socklen_t::try_from(size_of_val(&address)).unwrap_or_default();
    // SAFETY: the address is as long as is said, and outlives the call.
    let bound = unsafe { libc::bind(socket, (&raw const address).cast(), length) };
    if bound == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

fn finish(mut command: Command, typed: &str) -> Called {
    let mut process = command.spawn().expect("ivaltctl starts");
    let mut stdin = process.stdin.take().expect("a pipe");
    // A program that does not read its input is free not to.
    let _ = stdin.write_all(typed.as_bytes());
    drop(stdin);
    called(process.wait_with_output().expect("its output"))
}

/// The program with these words, as [`heard`] needs it.
pub fn command(words: &[&str]) -> Command {
    let mut command = Command::new(ivaltctl_path());
    command.args(words);
    piped(command)
}

/// As [`heard`] needs it.
pub fn piped(mut command: Command) -> Command {
    command
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
