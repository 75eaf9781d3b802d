//! A child of the application's own that ends while a module works, as sudo's and sshd's may.

use std::ffi::c_int;
use std::io;
use std::thread::sleep;
use std::time::Duration;

/// The status it ends with.
const STATUS: c_int = 7;

/// One that has been started and not waited for.
pub struct Child(libc::pid_t);

impl Child {
    /// It ends of its own accord, this much later.
    pub fn start(after_ms: u64) -> io::Result<Self> {
        // SAFETY: this process has one thread, and the child only sleeps and ends.
        match unsafe { libc::fork() } {
            -1 => Err(io::Error::last_os_error()),
            0 => {
                sleep(Duration::from_millis(after_ms));
                // SAFETY: takes a number and does not return.
                unsafe { libc::_exit(STATUS) }
            }
            child => Ok(Self(child)),
        }
    }

    /// Waits for it; in words when another thread or module has.
    pub fn missing_status(&self) -> Option<String> {
        let mut status = 0;
        loop {
            // SAFETY: waitpid(2) fills `status`.
            let found = unsafe { libc::waitpid(self.0, &raw mut status, 0) };
            let interrupted = io::Error::last_os_error().kind() == io::ErrorKind::Interrupted;
            if found == self.0 || !interrupted {
                let ours = found == self.0 && libc::WEXITSTATUS(status) == STATUS;
                return (!ours)
                    .then(|| "the status of the application's child was taken".to_owned());
            }
        }
    }
}
