//! A case that is still running, for tests that interfere with its process.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::thread::sleep;
use std::time::{Duration, Instant};

use support::Case;

/// Waits until pam-client of this case runs and `so_far` holds, and a moment for it to come to rest; its process id.
pub fn has_begun(case: &Case, so_far: impl Fn() -> bool) -> libc::pid_t {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        if let Some(process) = process_of(case).filter(|_| so_far()) {
            sleep(Duration::from_millis(150));
            return process;
        }
        assert!(Instant::now() < deadline, "pam-client does not come so far");
        sleep(Duration::from_millis(5));
    }
}

/// The process whose arguments name the folder of this case.
fn process_of(case: &Case) -> Option<libc::pid_t> {
    let folder = case.dir().path().as_os_str().as_bytes();
    let names_it = |process: &libc::pid_t| {
        let words = fs::read(format!("/proc/{process}/cmdline")).unwrap_or_default();
        words
            .windows(folder.len() + 1)
            .any(|part| part.starts_with(folder) && part.ends_with(b"/"))
    };
    let entries = fs::read_dir("/proc").unwrap().flatten();
    entries
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .find(names_it)
}

/// kill(2)
pub fn signal(process: libc::pid_t, number: i32) {
    // SAFETY: numbers only; the process is a child of this one that nobody has waited for.
    assert_eq!(unsafe { libc::kill(process, number) }, 0);
}
