//! Runs programs of this machine: by their absolute path, without a shell, and with a time limit.

use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use crate::root::Root;

const TIMEOUT: Duration = Duration::from_secs(5);

/// The output of the first of these programs that exists; `None` where there is none, where it fails, where it does not
/// end in time, and for a system below a folder: its programs are not run, and this machine's know nothing of it.
pub fn output(root: &Root, places: &[&str], arguments: &[&str]) -> Option<String> {
    if !root.is_this_machine() {
        return None;
    }
    let program = places.iter().find(|place| Path::new(place).exists())?;
    let mut child = Command::new(program)
        .args(arguments)
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .env("LC_ALL", "C")
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    let mut pipe = child.stdout.take()?;
    let (sender, printed) = mpsc::channel();
    // A program whose pipe is full would not end.
    thread::spawn(move || {
        let mut text = Vec::new();
        let read = pipe.read_to_end(&mut text);
        let _ = sender.send(read.map(|_| text));
    });
    if !wait(child)?.success() {
        return None;
    }
    let text = printed.recv_timeout(TIMEOUT).ok()?.ok()?;
    Some(String::from_utf8_lossy(&text).into_owned())
}

fn wait(mut child: Child) -> Option<ExitStatus> {
    let deadline = Instant::now() + TIMEOUT;
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
    }

    #[test]
    fn nothing_is_run_for_a_system_below_a_folder() {
        let dir = tempfile::TempDir::new().unwrap();
        let below = Root::new(dir.path());
        assert_eq!(output(&below, &["/bin/echo"], &[]), None);
    }
}
