//! Everything of the process that a module must leave as it found it.

use std::collections::BTreeMap;
use std::ffi::c_int;
use std::fs;

use crate::facts::{facts, field};
use support::libpam::PamHandle;

/// Nobody can block these: SIGKILL, SIGSTOP, and the two that glibc keeps for itself.
const UNBLOCKABLE: [c_int; 4] = [9, 19, 32, 33];
/// SIGILL, SIGTRAP, SIGBUS, SIGFPE, SIGSEGV, SIGSYS, and the one by which it ends threads.
const OF_VALGRIND: [c_int; 7] = [4, 5, 7, 8, 11, 31, 64];
/// pam_get_user(3) asks for a user whom the application did not name, and keeps the answer.
const KEPT_BY_LIBPAM: &str = "PAM_USER";
/// `PF_EXITING` of the kernel's `sched.h`: a thread already joined may be in `/proc` a moment longer.
const EXITING: u64 = 4;

/// A snapshot of the process.
#[derive(Clone, Debug, Default)]
pub struct ProcessSnapshot {
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

impl ProcessSnapshot {
    /// Takes the snapshot; with the PAM items and the PAM environment when there is a handle.
    pub fn take(handle: Option<*mut PamHandle>) -> Self {
        Self {
            descriptors: descriptors(),
            threads: threads(),
            facts: facts(handle),
        }
    }

    /// Adds or replaces a fact.
    pub fn set(&mut self, name: &str, value: String) {
        self.facts.insert(name.to_owned(), value);
    }

    /// A signal that the application itself sends may wait or not.
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

    /// What is wrong in `now`, in the middle of a call: descriptors that a program started by the application would
    /// inherit, threads that would take the application's signals.
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
            let taken = thread.takes();
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
            .filter(|name| self.facts.contains_key(*name) || *name != KEPT_BY_LIBPAM)
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

impl Thread {
    /// The blockable signals that its mask leaves open.
    fn takes(&self) -> Vec<c_int> {
        let open = |signal: &c_int| self.blocked & (1 << (signal - 1)) == 0;
        // valgrind never blocks the ones by which it works.
        let checked = self.name.starts_with("memcheck");
        let kept = |signal: &c_int| {
            UNBLOCKABLE.contains(signal) || (checked && OF_VALGRIND.contains(signal))
        };
        let signals = (1..=64).filter(open);
        signals.filter(|signal| !kept(signal)).collect()
    }
}

/// Numbers that are names in a folder of `/proc`. Without them there would never be a change.
fn numbers(folder: &str) -> Vec<i32> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{folder}: {error}"));
    let entries = entries.flatten();
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

/// `None` of one that ends. The order matters: in its last moments the kernel has no signal mask of a thread any more and
/// shows an empty one in `status`, as if it took every signal. It is marked as ending before that, so that a thread whose
/// `stat`, read afterwards, has no such mark had its mask when `status` was read.
fn thread(id: i32) -> Option<Thread> {
    let status = fs::read_to_string(format!("/proc/self/task/{id}/status")).ok()?;
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
    let line = |name| field(&status, name).unwrap_or_default();
    Some(Thread {
        name: line("Name"),
        blocked: u64::from_str_radix(&line("SigBlk"), 16).ok()?,
    })
}
