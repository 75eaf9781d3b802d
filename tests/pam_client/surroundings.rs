//! Everything of the process that a module must leave as it found it.

use std::collections::BTreeMap;
use std::ffi::{CStr, c_char, c_int, c_void};
use std::fs;
use std::ptr;

use crate::libpam::{self, PamHandle, STRING_ITEMS};

/// The handler of this signal comes with a process's first thread, and stays: glibc's `SIGSETXID`.
const SIGSETXID: c_int = 33;
/// Nobody can block these: SIGKILL, SIGSTOP, and the two that glibc keeps for itself.
const UNBLOCKABLE: [c_int; 4] = [9, 19, 32, SIGSETXID];
/// Lines of `/proc/self/status` that are the host's affair.
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
/// `PF_EXITING` of the kernel's `sched.h`: a thread already joined may stand in `/proc` a moment longer.
const EXITING: u64 = 4;

/// A picture of the process.
#[derive(Clone, Debug, Default)]
pub struct Surroundings {
    descriptors: BTreeMap<i32, Descriptor>,
    threads: BTreeMap<i32, Thread>,
    facts: BTreeMap<String, String>,
}

#[derive(Clone, Debug, PartialEq)]
struct Descriptor {
    target: String,
    close_on_exec: bool,
    status_flags: c_int,
}

#[derive(Clone, Debug)]
struct Thread {
    name: String,
    blocked: u64,
}

impl Surroundings {
    /// Takes the picture; with the PAM items and the PAM environment when there is a handle.
    pub fn take(handle: Option<*mut PamHandle>) -> Self {
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
        Self {
            descriptors: descriptors(),
            threads: threads(),
            facts,
        }
    }

    /// Adds or replaces a fact.
    pub fn set(&mut self, name: &str, value: String) {
        self.facts.insert(name.to_owned(), value);
    }

    /// A signal that the host itself sends may wait or not.
    pub fn ignore_pending(&mut self, signal: c_int) {
        for name in ["SigPnd", "ShdPnd"] {
            let pending = self.facts.get(name).map_or("0", String::as_str);
            let pending = u64::from_str_radix(pending, 16).unwrap_or(0) & !(1 << (signal - 1));
            self.set(name, format!("{pending:016x}"));
        }
    }

    /// Everything that is different in `now`, when the call is over.
    pub fn changes_after(&self, now: &Self) -> Vec<String> {
        let mut changes = self.changed_facts(now);
        changes.extend(self.lost_descriptors(now));
        for (number, descriptor) in self.new_descriptors(now) {
            changes.push(format!(
                "descriptor {number} left open: {}",
                descriptor.target
            ));
        }
        for (id, thread) in self.new_threads(now) {
            changes.push(format!("thread {id} left alive: {}", thread.name));
        }
        changes
    }

    /// What is wrong in `now`, in the middle of a call: descriptors that a program started by the host would inherit,
    /// threads that would take the host's signals.
    pub fn changes_within(&self, now: &Self) -> Vec<String> {
        let mut changes = self.changed_facts(now);
        changes.extend(self.lost_descriptors(now));
        let inherited = |(number, descriptor): (&i32, &Descriptor)| {
            let open = !descriptor.close_on_exec;
            open.then(|| {
                format!(
                    "descriptor {number} without close-on-exec: {}",
                    descriptor.target
                )
            })
        };
        changes.extend(self.new_descriptors(now).filter_map(inherited));
        for (id, thread) in self.new_threads(now) {
            let taken = takes(thread.blocked);
            if !taken.is_empty() {
                changes.push(format!(
                    "thread {id} {} takes signals {taken:?}",
                    thread.name
                ));
            }
        }
        for change in &mut changes {
            change.insert_str(0, "in the conversation: ");
        }
        changes
    }

    /// Descriptors of `now` that are new, in words.
    pub fn opened(&self, now: &Self) -> Vec<String> {
        self.new_descriptors(now)
            .map(|(number, descriptor)| format!("{number} {}", descriptor.target))
            .collect()
    }

    /// Threads of `now` that are new, in words.
    pub fn started(&self, now: &Self) -> Vec<String> {
        self.new_threads(now)
            .map(|(id, thread)| format!("{id} {}", thread.name))
            .collect()
    }

    fn new_descriptors<'a>(
        &'a self,
        now: &'a Self,
    ) -> impl Iterator<Item = (&'a i32, &'a Descriptor)> {
        let new = |(number, _): &(&i32, &Descriptor)| !self.descriptors.contains_key(number);
        now.descriptors.iter().filter(new)
    }

    fn new_threads<'a>(&'a self, now: &'a Self) -> impl Iterator<Item = (&'a i32, &'a Thread)> {
        let new = |(id, _): &(&i32, &Thread)| !self.threads.contains_key(id);
        now.threads.iter().filter(new)
    }

    fn lost_descriptors(&self, now: &Self) -> Vec<String> {
        let mut changes = Vec::new();
        for (number, before) in &self.descriptors {
            match now.descriptors.get(number) {
                None => changes.push(format!("descriptor {number} closed: {}", before.target)),
                Some(after) if after != before => {
                    changes.push(format!("descriptor {number}: {before:?} -> {after:?}"));
                }
                Some(_) => {}
            }
        }
        changes
    }

    fn changed_facts(&self, now: &Self) -> Vec<String> {
        let names = self.facts.keys().chain(now.facts.keys());
        let mut names: Vec<_> = names.collect();
        names.sort();
        names.dedup();
        let value = |facts: &BTreeMap<String, String>, name| {
            facts
                .get(name)
                .map_or("unset".to_owned(), |text: &String| format!("{text:?}"))
        };
        names
            .into_iter()
            .filter(|name| self.facts.get(*name) != now.facts.get(*name))
            .map(|name| {
                format!(
                    "{name}: {} -> {}",
                    value(&self.facts, name),
                    value(&now.facts, name)
                )
            })
            .collect()
    }
}

/// The blockable signals that a mask of `/proc` leaves open.
fn takes(blocked: u64) -> Vec<c_int> {
    let open = |signal: &c_int| blocked & (1 << (signal - 1)) == 0;
    (1..=64)
        .filter(|signal| !UNBLOCKABLE.contains(signal))
        .filter(open)
        .collect()
}

/// Numbers that stand as names in a folder of `/proc`.
fn numbers(folder: &str) -> Vec<i32> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect()
}

fn descriptors() -> BTreeMap<i32, Descriptor> {
    // The descriptor that lists them is closed by now, and fails readlink(2).
    let found = numbers("/proc/self/fd").into_iter();
    found
        .filter_map(|number| Some((number, descriptor(number)?)))
        .collect()
}

fn descriptor(number: i32) -> Option<Descriptor> {
    let target = fs::read_link(format!("/proc/self/fd/{number}")).ok()?;
    // SAFETY: F_GETFD and F_GETFL read two words; a closed descriptor is an error only.
    let (flags, status_flags) = unsafe {
        (
            libc::fcntl(number, libc::F_GETFD),
            libc::fcntl(number, libc::F_GETFL),
        )
    };
    Some(Descriptor {
        target: target.to_string_lossy().into_owned(),
        close_on_exec: flags & libc::FD_CLOEXEC != 0,
        status_flags,
    })
}

fn threads() -> BTreeMap<i32, Thread> {
    let found = numbers("/proc/self/task").into_iter();
    found.filter_map(|id| Some((id, thread(id)?))).collect()
}

fn thread(id: i32) -> Option<Thread> {
    let stat = fs::read_to_string(format!("/proc/self/task/{id}/stat")).ok()?;
    // The name in parentheses may hold anything; `flags` is the seventh field after it (proc(5), field 9).
    let flags: u64 = stat
        .rsplit(')')
        .next()?
        .split_whitespace()
        .nth(6)?
        .parse()
        .ok()?;
    if flags & EXITING != 0 {
        return None;
    }
    let status = fs::read_to_string(format!("/proc/self/task/{id}/status")).ok()?;
    let line = |name| field(&status, name).unwrap_or_default();
    Some(Thread {
        name: line("Name"),
        blocked: u64::from_str_radix(&line("SigBlk"), 16).ok()?,
    })
}

fn field(status: &str, name: &str) -> Option<String> {
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

fn status() -> Vec<(String, String)> {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let found = STATUS.iter();
    found
        .filter_map(|name| Some(((*name).to_owned(), field(&status, name)?)))
        .collect()
}

fn limits() -> Vec<(String, String)> {
    let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
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

/// Children alive or waiting to be reaped, without reaping them: their SIGCHLD would be the host's.
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
