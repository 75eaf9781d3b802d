//! What the application process did to itself before it called libpam: signals, limits, environment, user ids.

use std::collections::BTreeMap;
use std::ffi::c_int;
use std::io;
use std::mem;
use std::ptr;
use std::sync::atomic::{AtomicI32, AtomicU32, Ordering};
use std::time::Duration;

use support::report::Taken;
use support::sandbox::done;
use support::script::{Disposition, Interrupt, Script};

/// The thread that calls libpam.
static CALLER: AtomicI32 = AtomicI32::new(0);
static HERE: [AtomicU32; 65] = [const { AtomicU32::new(0) }; 65];
static ELSEWHERE: [AtomicU32; 65] = [const { AtomicU32::new(0) }; 65];

/// Everything but the limits, which hold during calls only. While this process has one thread.
pub fn prepare(script: &Script) -> io::Result<()> {
    // SAFETY: gettid(2) takes nothing and always succeeds.
    CALLER.store(unsafe { libc::gettid() }, Ordering::Relaxed);
    for (name, value) in &script.env {
        // SAFETY: one thread.
        unsafe { std::env::set_var(name, value) };
    }
    if let Some(cwd) = &script.cwd {
        std::env::set_current_dir(cwd)?;
    }
    if let Some(umask) = script.umask {
        // SAFETY: umask(2) takes a number and always succeeds.
        unsafe { libc::umask(umask) };
    }
    for descriptor in &script.closed {
        // SAFETY: none of them is one of this program's own.
        done(unsafe { libc::close(*descriptor) })?;
    }
    set_signals(script)?;
    if let Some((real, effective)) = script.uids {
        // SAFETY: numbers only.
        done(unsafe { libc::setresuid(real, effective, effective) })?;
    }
    Ok(())
}

fn set_signals(script: &Script) -> io::Result<()> {
    // Rust's start-up ignores the first, nohup and shells the others for what they start in the background.
    for signal in [libc::SIGPIPE, libc::SIGHUP, libc::SIGINT, libc::SIGQUIT] {
        dispose(signal, Disposition::Default)?;
    }
    for (signal, disposition) in &script.signals {
        dispose(*signal, *disposition)?;
    }
    let set = signal_set(&script.blocked);
    // SAFETY: the set is initialised; NULL asks for no old mask.
    done(unsafe { libc::sigprocmask(libc::SIG_BLOCK, &set, ptr::null_mut()) })
}

fn dispose(signal: c_int, disposition: Disposition) -> io::Result<()> {
    let handler = match disposition {
        Disposition::Default => libc::SIG_DFL,
        Disposition::Ignore => libc::SIG_IGN,
        Disposition::Count => count as *const () as libc::sighandler_t,
    };
    // SAFETY: all zero is a valid sigaction without flags; `count` does only what a handler may.
    done(unsafe {
        let mut action: libc::sigaction = mem::zeroed();
        action.sa_sigaction = handler;
        libc::sigaction(signal, &action, ptr::null_mut())
    })
}

/// Whether this is the thread that calls libpam. Async-signal-safe.
pub fn is_caller() -> bool {
    // SAFETY: gettid(2) takes nothing and always succeeds.
    let this = unsafe { libc::gettid() };
    this == CALLER.load(Ordering::Relaxed)
}

/// Async-signal-safe.
extern "C" fn count(signal: c_int) {
    let counters = if is_caller() { &HERE } else { &ELSEWHERE };
    if let Some(counter) = usize::try_from(signal)
        .ok()
        .and_then(|index| counters.get(index))
    {
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

/// What the counting handlers counted.
pub fn taken(script: &Script) -> BTreeMap<i32, Taken> {
    let counting = script
        .signals
        .iter()
        .filter(|(_, disposition)| matches!(disposition, Disposition::Count));
    let load = |counters: &[AtomicU32; 65], signal: i32| {
        let counter = usize::try_from(signal)
            .ok()
            .and_then(|index| counters.get(index));
        counter.map_or(0, |counter| counter.load(Ordering::Relaxed))
    };
    counting
        .map(|(signal, _)| {
            let (here, elsewhere) = (load(&HERE, *signal), load(&ELSEWHERE, *signal));
            (*signal, Taken { here, elsewhere })
        })
        .collect()
}

fn signal_set(signals: &[i32]) -> libc::sigset_t {
    // SAFETY: sigemptyset(3) initialises the set; a wrong number is an error only.
    unsafe {
        let mut set = mem::zeroed();
        libc::sigemptyset(&mut set);
        for signal in signals {
            libc::sigaddset(&mut set, *signal);
        }
        set
    }
}

/// A timer that sends the process signals as long as it lives. It needs no thread and no descriptor.
pub struct SignalTimer {
    signal: c_int,
    timer: libc::timer_t,
}

impl SignalTimer {
    /// Starts it.
    pub fn start(interrupt: Interrupt) -> io::Result<Self> {
        let period = Duration::from_millis(interrupt.every_ms.max(1));
        // SAFETY: all zero is a valid sigevent; every pointer lives until the call returns.
        unsafe {
            let mut event: libc::sigevent = mem::zeroed();
            event.sigev_notify = libc::SIGEV_SIGNAL;
            event.sigev_signo = interrupt.signal;
            let mut timer = mem::zeroed();
            done(libc::timer_create(
                libc::CLOCK_MONOTONIC,
                &mut event,
                &mut timer,
            ))?;
            let this = Self {
                signal: interrupt.signal,
                timer,
            };
            let time = timespec(period);
            let times = libc::itimerspec {
                it_interval: time,
                it_value: time,
            };
            done(libc::timer_settime(timer, 0, &times, ptr::null_mut()))?;
            Ok(this)
        }
    }
}

impl Drop for SignalTimer {
    /// One may be left pending where the application blocks it; that is the timer's doing, not the module's.
    fn drop(&mut self) {
        let set = signal_set(&[self.signal]);
        // SAFETY: the timer is ours; NULL asks for no details of the signal taken.
        unsafe {
            libc::timer_delete(self.timer);
            if is_blocked(self.signal) {
                libc::sigtimedwait(&set, ptr::null_mut(), &timespec(Duration::ZERO));
            }
        }
    }
}

fn is_blocked(signal: c_int) -> bool {
    let mut now = signal_set(&[]);
    // SAFETY: with NULL sigprocmask(2) changes nothing and fills `now`.
    unsafe {
        libc::sigprocmask(libc::SIG_BLOCK, ptr::null(), &mut now);
        libc::sigismember(&now, signal) == 1
    }
}

fn timespec(duration: Duration) -> libc::timespec {
    libc::timespec {
        tv_sec: libc::time_t::try_from(duration.as_secs()).unwrap_or(libc::time_t::MAX),
        tv_nsec: duration.subsec_nanos().into(),
    }
}

/// Soft limits that hold during calls on a handle and are lifted for this program's own work in between.
#[derive(Clone, Debug, Default)]
pub struct SoftLimits {
    /// Resource, limit while called, limit before.
    limits: Vec<(libc::__rlimit_resource_t, libc::rlim_t, libc::rlim_t)>,
}

impl SoftLimits {
    /// Reads the names; nothing is in force yet.
    pub fn new(named: &BTreeMap<String, u64>) -> io::Result<Self> {
        let mut limits = Vec::new();
        for (name, limit) in named {
            let resource = resource(name)?;
            limits.push((resource, *limit, read_limit(resource)?.rlim_cur));
        }
        Ok(Self { limits })
    }

    /// Puts them in force.
    pub fn impose(&self) -> io::Result<()> {
        let mut limits = self.limits.iter();
        limits.try_for_each(|(resource, limit, _)| set_soft_limit(*resource, *limit))
    }

    /// As before.
    pub fn lift(&self) -> io::Result<()> {
        let mut limits = self.limits.iter();
        limits.try_for_each(|(resource, _, before)| set_soft_limit(*resource, *before))
    }
}

fn resource(name: &str) -> io::Result<libc::__rlimit_resource_t> {
    Ok(match name {
        "AS" => libc::RLIMIT_AS,
        "CORE" => libc::RLIMIT_CORE,
        "CPU" => libc::RLIMIT_CPU,
        "DATA" => libc::RLIMIT_DATA,
        "FSIZE" => libc::RLIMIT_FSIZE,
        "MEMLOCK" => libc::RLIMIT_MEMLOCK,
        "NOFILE" => libc::RLIMIT_NOFILE,
        "NPROC" => libc::RLIMIT_NPROC,
        "STACK" => libc::RLIMIT_STACK,
        _ => return Err(io::Error::other(format!("unknown limit {name}"))),
    })
}

fn read_limit(resource: libc::__rlimit_resource_t) -> io::Result<libc::rlimit> {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: getrlimit(2) fills `limit`.
    done(unsafe { libc::getrlimit(resource, &mut limit) }).map(|()| limit)
}

fn set_soft_limit(resource: libc::__rlimit_resource_t, soft: libc::rlim_t) -> io::Result<()> {
    let mut limit = read_limit(resource)?;
    limit.rlim_cur = soft.min(limit.rlim_max);
    // SAFETY: setrlimit(2) reads `limit`.
    done(unsafe { libc::setrlimit(resource, &limit) })
}
