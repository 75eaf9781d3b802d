//! What a connection needs of the system and std has no safe function for: name look-up, threads, poll.
#![allow(unsafe_code)]

mod dns;

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsRawFd;
use std::thread::{Builder, JoinHandle};
use std::time::Duration;
use std::{fmt, mem, ptr};

use dns::look_up;

/// More than name services, TLS and ureq need together; it is mapped, not touched.
const STACK: usize = 512 << 10;

/// What a thread does.
pub type Work = Box<dyn FnOnce() + Send>;

/// Looks a host name up on the calling thread within about `budget`, and leaves no thread behind.
pub type LookUp =
    fn(host: &str, port: u16, budget: Duration) -> Result<Vec<SocketAddr>, LookUpFailed>;

/// Why a name has no address, in words for the log.
#[derive(Debug)]
pub struct LookUpFailed(pub &'static str);

impl fmt::Display for LookUpFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for LookUpFailed {}

/// The system calls of a connection; tests replace them.
#[derive(Clone, Copy, Debug)]
pub struct Platform {
    /// How names are looked up.
    pub look_up: LookUp,
    /// Starts a thread that takes no signal of the application's.
    pub spawn: fn(Work) -> io::Result<JoinHandle<()>>,
}

/// That of the running system.
pub fn platform() -> Platform {
    Platform { look_up, spawn }
}

/// The effective user id of this process.
#[must_use]
pub fn effective_uid() -> u32 {
    // SAFETY: geteuid(2) takes nothing and always succeeds.
    unsafe { libc::geteuid() }
}

/// Starts a thread that takes no signal of the application's: it inherits the mask of the thread that starts it.
///
/// # Errors
/// There is no memory for it, or no permission (`RLIMIT_NPROC`).
fn spawn(work: Work) -> io::Result<JoinHandle<()>> {
    if address_space_is_limited() {
        return Err(io::ErrorKind::OutOfMemory.into());
    }
    // SAFETY: sigfillset(3) initialises the set; pthread_sigmask(3) fills `before`, and puts it back on the same
    // thread.
    unsafe {
        let (mut all, mut before): (libc::sigset_t, libc::sigset_t) =
            (mem::zeroed(), mem::zeroed());
        libc::sigfillset(&raw mut all);
        if libc::pthread_sigmask(libc::SIG_SETMASK, &raw const all, &raw mut before) != 0 {
            return Err(io::ErrorKind::Other.into());
        }
        let thread = Builder::new().stack_size(STACK).spawn(work);
        libc::pthread_sigmask(libc::SIG_SETMASK, &raw const before, ptr::null_mut());
        thread
    }
}

/// glibc reserves 64 MiB for the heap of a thread. Where it cannot, every allocation in the thread costs a page at
/// least.
fn address_space_is_limited() -> bool {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: getrlimit(2) fills `limit`, or leaves it as it is.
    unsafe { libc::getrlimit(libc::RLIMIT_AS, &raw mut limit) };
    limit.rlim_cur != libc::RLIM_INFINITY
}

/// Whether a read would not wait, whatever it gives.
///
/// # Errors
/// As poll(2) says, a signal excepted.
pub fn has_input(stream: &TcpStream) -> io::Result<bool> {
    let mut poll = libc::pollfd {
        fd: stream.as_raw_fd(),
        events: libc::POLLIN,
        revents: 0,
    };
    loop {
        // SAFETY: one entry, of an open descriptor, without waiting.
        match unsafe { libc::poll(&raw mut poll, 1, 0) } {
            -1 => match io::Error::last_os_error() {
                error if error.kind() == io::ErrorKind::Interrupted => {}
                error => return Err(error),
            },
            ready => return Ok(ready > 0),
        }
    }
}
