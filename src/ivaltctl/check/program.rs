//! Runs programs of this machine: by their absolute path, without a shell, and with a time limit.

use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use crate::root::Root;

const TIMEOUT: Duration = Duration::from_secs(5);
/// Of a program that has to load a language with its libraries first, on the slowest of machines.
const SLOW_TIMEOUT: Duration = Duration::from_secs(30);

/// What a program that ended by itself has printed.
pub struct Printed {
    pub success: bool,
    pub output: String,
    pub errors: String,
}

/// The output of the first of these programs that exists; `None` where there is none, where it fails, and as for [`run`].
pub fn output(root: &Root, places: &[&str], arguments: &[&str]) -> Option<String> {
    let printed = run(root, places, arguments)?;
    printed.success.then_some(printed.output)
}

/// The same for a program that takes long to start.
pub fn slow_output(root: &Root, places: &[&str], arguments: &[&str]) -> Option<String> {
    let printed = run_within(SLOW_TIMEOUT, root, places, arguments)?;
    printed.success.then_some(printed.output)
}

/// Runs the first of these programs that exists; `None` where there is none, where it does not end in time, and for a
/// system below a folder: its programs are not run, and this machine's know nothing of it.
pub fn run(root: &Root, places: &[&str], arguments: &[&str]) -> Option<Printed> {
    run_within(TIMEOUT, root, places, arguments)
}

fn run_within(
    limit: Duration,
    root: &Root,
    places: &[&str],
    arguments: &[&str],
) -> Option<Printed> {
    if !root.is_this_machine() {
        return None;
    }
    let program = places.iter().find(|place| Path::new(place).exists())?;
    #[expect(clippy::disallowed_methods, reason = "not inside another's process")]
    let mut child = Command::new(program)
        .args(arguments)
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .env("LC_ALL", "C")
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .ok()?;
    let output = reader(child.stdout.take()?);
    let errors = reader(child.stderr.take()?);
    let success = wait(child, limit)?.success();
    Some(Printed {
        success,
        output: output.recv_timeout(limit).ok()?,
        errors: errors.recv_timeout(limit).ok()?,
    })
}

/// A program whose pipe is full would not end.
fn reader(mut pipe: impl Read + Send + 'static) -> mpsc::Receiver<String> {
    let (sender, printed) = mpsc::channel();
    #[expect(clippy::disallowed_methods, reason = "not inside another's process")]
    thread::spawn(move || {
        let mut text = Vec::new();
        if pipe.read_to_end(&mut text).is_ok() {
            let _ = sender.send(String::from_utf8_lossy(&text).into_owned());
        }
    });
    printed
}

fn wait(mut child: Child, limit: Duration) -> Option<ExitStatus> {
    let deadline = Instant::now() + limit;
    while Instant::now() < deadline {
        if let Some(status) = child.try_wait().ok()? {
            return Some(status);
        }
        sleep(Duration::from_millis(5));
    }
    let _ = child.kill();
    let _ = child.wait();
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_output_of_a_success_counts() {
        let here = Root::new(Path::new("/"));
        assert_eq!(
            output(&here, &["/no/such", "/bin/echo"], &["a b"]),
            Some("a b\n".into())
        );
        assert_eq!(output(&here, &["/bin/false"], &[]), None);
        assert_eq!(output(&here, &["/no/such"], &[]), None);
        let failed = run(
            &here,
            &["/bin/sh"],
            &["-c", "echo out; echo why >&2; exit 3"],
        );
        let failed = failed.unwrap();
        assert!(!failed.success);
        assert_eq!((&*failed.output, &*failed.errors), ("out\n", "why\n"));
    }

    #[test]
    fn what_does_not_end_in_time_has_said_nothing() {
        let here = Root::new(Path::new("/"));
        let within = |limit| {
            let arguments = ["-c", "echo early; exec sleep 1000"];
            run_within(limit, &here, &["/bin/sh"], &arguments).map(|printed| printed.output)
        };
        assert_eq!(within(Duration::from_millis(50)), None);
        assert_eq!(
            slow_output(&here, &["/bin/echo"], &["late"]),
            Some("late\n".into())
        );
    }

    #[test]
    fn nothing_is_run_for_a_system_below_a_folder() {
        let dir = tempfile::TempDir::new().unwrap();
        let below = Root::new(dir.path());
        assert_eq!(output(&below, &["/bin/echo"], &[]), None);
    }
}
