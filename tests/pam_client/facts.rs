//! What can be said of a process in a name and a value: environment, masks, dispositions, limits, PAM items.

use std::collections::BTreeMap;
use std::ffi::{CStr, c_char, c_int, c_void};
use std::fs;
use std::ptr;

use support::libpam::{self, PamHandle, STRING_ITEMS};

/// The handler of this signal comes with a process's first thread, and stays: glibc's `SIGSETXID`.
const SIGSETXID: c_int = 33;
/// Lines of `/proc/self/status` that belong to the application.
const STATUS: [&str; 13] = [
    "Umask",
    "Uid",
    "Gid",
    "Groups",
    "SigPnd",
    "ShdPnd",
    "SigBlk",
    "CapInh",
    "CapPrm",
    "CapEff",
    "CapBnd",
    "NoNewPrivs",
    "Seccomp",
];

/// All of them; the PAM items and the PAM environment only when there is a handle.
pub fn facts(handle: Option<*mut PamHandle>) -> BTreeMap<String, String> {
    let mut facts = BTreeMap::new();
    facts.extend(status());
    facts.extend(environment());
    facts.extend(limits());
    facts.extend(dispositions());
    facts.extend(others());
    if let Some(handle) = handle {
        facts.extend(items(handle));
        facts.extend(pam_environment(handle));
    }
    facts
}

/// A line of a `status` file of `/proc`.
pub fn field(status: &str, name: &str) -> Option<String> {
    let matching = |line: &str| {
        Some(
            line.strip_prefix(name)?
                .strip_prefix(':')?
                .trim()
                .to_owned(),
        )
    };
    status.lines().find_map(matching)
}

/// Nothing to compare would be no change.
fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn status() -> Vec<(String, String)> {
    let status = read("/proc/self/status");
    let found = STATUS.iter();
    found
        .filter_map(|name| Some(((*name).to_owned(), field(&status, name)?)))
        .collect()
}

fn limits() -> Vec<(String, String)> {
    let limits = read("/proc/self/limits");
    let named = |line: &str| {
        Some((
            line.get(..26)?.trim().to_owned(),
            line.get(26..)?.to_owned(),
        ))
    };
    limits.lines().filter_map(named).collect()
}

/// The block itself, not what `getenv` makes of it.
fn environment() -> Vec<(String, String)> {
    unsafe extern "C" {
        static environ: *const *const c_char;
    }
    // SAFETY: this process has no other thread that changes the block; it is NULL or ends in NULL (environ(7)).
    unsafe { named("environment", environ) }
}

fn pam_environment(handle: *mut PamHandle) -> Vec<(String, String)> {
    // SAFETY: the handle is live; the list ends in NULL, and both it and its strings are the caller's to free.
    unsafe {
        let list = libpam::pam_getenvlist(handle);
        let found = named("PAM environment", list.cast_const().cast());
        let mut entry = list;
        while !entry.is_null() && !(*entry).is_null() {
            libc::free((*entry).cast());
            entry = entry.add(1);
        }
        libc::free(list.cast());
        found
    }
}

/// # Safety
/// `list` is NULL or an array of C strings that ends in NULL.
unsafe fn named(kind: &str, mut list: *const *const c_char) -> Vec<(String, String)> {
    let mut found = Vec::new();
    // SAFETY: as promised by the caller.
    while let Some(entry) = unsafe { list.as_ref() }.filter(|entry| !entry.is_null()) {
        // SAFETY: a C string, says the caller.
        let entry = unsafe { CStr::from_ptr(*entry) }.to_string_lossy();
        let (name, value) = entry.split_once('=').unwrap_or((&entry, "(no =)"));
        found.push((format!("{kind} {name}"), value.to_owned()));
        // SAFETY: this entry was not the NULL at the end.
        list = unsafe { list.add(1) };
    }
    found
}

/// The string items that are set.
pub fn items(handle: *mut PamHandle) -> Vec<(String, String)> {
    let found = STRING_ITEMS.iter();
    found
        .filter_map(|(item, name)| Some(((*name).to_owned(), string_item(handle, *item)?)))
        .collect()
}

fn string_item(handle: *mut PamHandle, item: c_int) -> Option<String> {
    let mut value: *const c_void = ptr::null();
    // SAFETY: the handle is live; the item is one of those whose value is a C string or NULL, and libpam keeps it.
    unsafe {
        let code = libpam::pam_get_item(handle, item, &mut value);
        (code == libpam::PAM_SUCCESS && !value.is_null())
            .then(|| CStr::from_ptr(value.cast()).to_string_lossy().into_owned())
    }
}

/// Asked of the kernel: glibc hides 32 and 33.
fn dispositions() -> Vec<(String, String)> {
    (1..=64)
        .filter(|signal| *signal != SIGSETXID)
        .map(|signal| (format!("signal {signal:02}"), disposition(signal)))
        .collect()
}

/// Whether glibc has installed its handler for the first thread.
pub fn signal_33() -> bool {
    disposition(SIGSETXID) != disposition(32)
}

/// `struct sigaction` of the kernel in hexadecimal: handler, flags, restorer, mask (four words on 64-bit machines).
fn disposition(signal: c_int) -> String {
    let mut action = [0_u64; 4];
    let nothing: *const c_void = ptr::null();
    // SAFETY: the kernel writes at most 32 bytes; a mask of 8 bytes is the only size it accepts.
    let result = unsafe {
        libc::syscall(
            libc::SYS_rt_sigaction,
            signal,
            nothing,
            &mut action,
            8_usize,
        )
    };
    match (result, action[0]) {
        (0, 0) => "default".to_owned(),
        (0, 1) => "ignored".to_owned(),
        (0, _) => format!("{action:x?}"),
        _ => "unknown".to_owned(),
    }
}

fn others() -> Vec<(String, String)> {
    let cwd = std::env::current_dir().map(|cwd| cwd.display().to_string());
    [
        ("working directory", cwd.unwrap_or_default()),
        ("locale", locale()),
        ("children", children()),
        ("interval timer", interval_timer()),
        ("dumpable", dumpable()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into()
}

fn locale() -> String {
    // SAFETY: with NULL setlocale(3) only answers; the string is static until the next call.
    unsafe {
        let name = libc::setlocale(libc::LC_ALL, ptr::null());
        CStr::from_ptr(name).to_string_lossy().into_owned()
    }
}

/// Children alive or waiting to be reaped, without reaping them: their SIGCHLD would be the application's.
fn children() -> String {
    // SAFETY: all zero is a valid siginfo_t, and waitid(2) fills it.
    let (result, child) = unsafe {
        let mut found: libc::siginfo_t = std::mem::zeroed();
        let options = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
        let result = libc::waitid(libc::P_ALL, 0, &mut found, options);
        (result, found.si_pid())
    };
    match (result, child) {
        (0, 0) => "running".to_owned(),
        (0, _) => "not reaped".to_owned(),
        _ => "none".to_owned(),
    }
}

/// Of alarm(2) and setitimer(2). Running ones differ from look to look, so only whether there is one.
fn interval_timer() -> String {
    // SAFETY: all zero is a valid itimerval, and getitimer(2) fills it.
    let timer = unsafe {
        let mut timer: libc::itimerval = std::mem::zeroed();
        libc::getitimer(libc::ITIMER_REAL, &mut timer);
        timer
    };
    let running = timer.it_value.tv_sec != 0 || timer.it_value.tv_usec != 0;
    if running { "running" } else { "none" }.to_owned()
}

fn dumpable() -> String {
    // SAFETY: PR_GET_DUMPABLE takes no further arguments.
    unsafe { libc::prctl(libc::PR_GET_DUMPABLE) }.to_string()
}
