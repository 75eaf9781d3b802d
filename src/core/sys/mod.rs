//! What is needed of the system and std has no safe function for: name look-up, threads, poll, memory, directories,
//! the password database.
#![allow(unsafe_code)]

mod accounts;
pub mod bytes;
mod dns;
pub mod folder;
pub mod memory;

use std::ffi::c_int;
use std::fs::File;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};
use std::{fmt, mem, ptr};

pub use accounts::{Account, account};
use dns::look_up;

/// More than name services, TLS and ureq need together; it is mapped, not touched.
const STACK: usize = 512 << 10;

/// What a thread does.
pub type Work = Box<dyn FnOnce() + Send>;

/// Looks a host name up on the calling thread within about `budget`, and leaves no thread behind.
pub type LookUp =
    fn(host: &str, port: u16, budget: Duration) -> Result<Vec<SocketAddr>, LookUpFailed>;

/// Whether this process or this host has too few descriptors, or too little memory, for a system call: no fault of the
/// network.
#[must_use]
pub fn is_shortage(error: &io::Error) -> bool {
    use libc::{EMFILE, ENFILE, ENOBUFS, ENOMEM};
    matches!(
        error.raw_os_error(),
        Some(EMFILE | ENFILE | ENOBUFS | ENOMEM)
    )
}

/// Why a look-up gave no address, in words for the log.
#[derive(Debug)]
pub enum LookUpFailed {
    /// The name, or its servers.
    NoAddress(&'static str),
    /// This process or this host.
    Local(&'static str),
}

impl fmt::Display for LookUpFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::NoAddress(words) | Self::Local(words)) = self;
        f.write_str(words)
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
    /// Waits so long.
    pub pause: fn(Duration),
    /// The time since the system started, [`boot_clock`]: nobody can set it back.
    pub boot_clock: fn() -> Duration,
}

/// That of the running system.
pub fn platform() -> Platform {
    Platform {
        look_up,
        spawn,
        pause: std::thread::sleep,
        boot_clock,
    }
}

/// `CLOCK_BOOTTIME` of clock_gettime(2): goes on while the system is suspended, and no clock that is set moves it.
#[must_use]
pub fn boot_clock() -> Duration {
    // SAFETY: timespec is two numbers, which clock_gettime(2) fills.
    let time = unsafe {
        let mut time: libc::timespec = mem::zeroed();
        libc::clock_gettime(libc::CLOCK_BOOTTIME, &raw mut time);
        time
    };
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or_default())
}

/// Takes the exclusive lock of flock(2) if nobody has it; whether it is ours now. It belongs to the open file: a child
/// of this process that has the descriptor has the lock, too, until [`unlock`].
///
/// # Errors
/// As flock(2), `EWOULDBLOCK` excepted.
pub fn try_lock(file: &File) -> io::Result<bool> {
    // SAFETY: the descriptor is open.
    if unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) } == 0 {
        return Ok(true);
    }
    match io::Error::last_os_error() {
        error if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
        error => Err(error),
    }
}

/// Gives the lock up, also where a child still has the descriptor.
pub fn unlock(file: &File) {
    // SAFETY: the descriptor is open.
    unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_UN) };
}

/// The effective user id of this process.
#[must_use]
pub fn effective_uid() -> u32 {
    // SAFETY: geteuid(2) takes nothing and always succeeds.
    unsafe { libc::geteuid() }
}

/// Gives the program that `command` starts a session and process group of its own, so that it has no terminal to ask at,
/// and ends it by SIGKILL where the calling thread ends before it (prctl(2), `PR_SET_PDEATHSIG`).
pub fn in_session_of_its_own(command: &mut std::process::Command) {
    // SAFETY: between fork(2) and execve(2) only two system calls are made, both of which a signal handler may make, too.
    unsafe {
        command.pre_exec(|| {
            if libc::setsid() < 0 {
                return Err(io::Error::last_os_error());
            }
            match libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) {
                0 => Ok(()),
                _ => Err(io::Error::last_os_error()),
            }
        });
    }
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

/// Reads what has arrived, as recv(2) with `MSG_DONTWAIT`: `WouldBlock` where nothing has.
///
/// # Errors
/// As recv(2) says.
pub fn read_without_waiting(stream: &TcpStream, buffer: &mut [u8]) -> io::Result<usize> {
    let (to, size) = (buffer.as_mut_ptr().cast(), buffer.len());
    // SAFETY: `size` bytes at `to` may be written as long as `buffer` is borrowed; the descriptor is open.
    let amount = unsafe { libc::recv(stream.as_raw_fd(), to, size, libc::MSG_DONTWAIT) };
    usize::try_from(amount).map_err(|_| io::Error::last_os_error())
}

/// The place of the first of these connections that is made, has failed or was shut down, waiting for it at most so
/// long.
///
/// # Errors
/// As poll(2) says, a signal excepted.
pub fn first_decided<'a>(
    streams: impl IntoIterator<Item = &'a TcpStream>,
    timeout: Duration,
) -> io::Result<Option<usize>> {
    let entry = |stream: &TcpStream| libc::pollfd {
        fd: stream.as_raw_fd(),
        events: libc::POLLOUT,
        revents: 0,
    };
    let mut entries: Vec<_> = streams.into_iter().map(entry).collect();
    let count = libc::nfds_t::try_from(entries.len()).unwrap_or(0);
    let end = Instant::now() + timeout;
    loop {
        let left = end.saturating_duration_since(Instant::now());
        // Rounded up: poll(2) counts in milliseconds.
        let left = c_int::try_from(left.as_micros().div_ceil(1000)).unwrap_or(c_int::MAX);
        // SAFETY: `count` entries, of descriptors that are open as long as `streams` are borrowed.
        if unsafe { libc::poll(entries.as_mut_ptr(), count, left) } >= 0 {
            return Ok(entries.iter().position(|entry| entry.revents != 0));
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}
