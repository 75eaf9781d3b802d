//! From `pam_start` to `pam_end`, with a snapshot of the process before and after every call.

use std::ffi::{c_int, c_void};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::ptr;
use std::time::Instant;

use crate::child::Child;
use crate::facts;
use crate::leaks;
use crate::process_setup::{self, SignalTimer, SoftLimits};
use crate::user::{self, User, c_string};
use support::dev_log::Log;
use support::libpam::{self, PamHandle};
use support::report::{Call, Entry};
use support::script::{Script, Text};

/// The process in its role as an application of PAM.
pub struct Application<'a> {
    script: &'a Script,
    limits: SoftLimits,
    /// From `Box::into_raw`: libpam holds a second pointer to it, so there may be no reference while libpam runs.
    user: *mut User,
}

impl<'a> Application<'a> {
    /// Takes on its role. Only after [`support::sandbox::build`].
    pub fn new(script: &'a Script) -> io::Result<Self> {
        let limits = SoftLimits::new(&script.soft_limits)?;
        let log = Log::place(script.dev_log)?;
        process_setup::prepare(script)?;
        let user = Box::new(User::new(script, limits.clone(), log));
        Ok(Self {
            script,
            limits,
            user: Box::into_raw(user),
        })
    }

    /// One handle: start, every call of the script, end.
    pub fn transaction(&mut self, number: u32) -> io::Result<Vec<Call>> {
        let mut handle = ptr::null_mut();
        let start = self.observe(Entry::Start, None, |application| {
            application.start(&mut handle)
        })?;
        let mut calls = vec![start];
        if !handle.is_null() {
            self.set_items(handle)?;
            calls.extend(self.calls_on(handle)?);
            let last = calls.last().map_or(libpam::PAM_SUCCESS, |call| call.code);
            // SAFETY: the handle is live, and nobody uses it afterwards.
            let end = |_: &Self| unsafe { libpam::pam_end(handle, last) };
            calls.push(self.observe(Entry::End, None, end)?);
        }
        for call in &mut calls {
            call.transaction = number;
        }
        Ok(calls)
    }

    fn calls_on(&self, handle: *mut PamHandle) -> io::Result<Vec<Call>> {
        let silent = if self.script.silent {
            libpam::PAM_SILENT
        } else {
            0
        };
        let mut calls = Vec::new();
        for entry in self.entries() {
            let function = libpam::function(entry);
            let (function, flags) = function
                .ok_or_else(|| io::Error::other(format!("{entry:?} is not for scripts")))?;
            // SAFETY: the handle is live until `pam_end`.
            let call = |_: &Self| unsafe { function(handle, flags | silent) };
            calls.push(self.observe(entry, Some(handle), call)?);
        }
        Ok(calls)
    }

    fn entries(&self) -> Vec<Entry> {
        match self.script.calls.as_slice() {
            [] => vec![Entry::Authenticate],
            calls => calls.to_vec(),
        }
    }

    fn start(&self, handle: &mut *mut PamHandle) -> c_int {
        let script = self.script;
        let service = c_string(script.service.clone().into_bytes());
        let confdir = c_string(script.confdir.as_os_str().as_bytes().to_vec());
        let user = script.user.as_ref().map(|user| c_string(user.bytes()));
        let user = user.as_ref().map_or(ptr::null(), |user| user.as_ptr());
        let conversation = User::conversation(self.user, script.conversation);
        // SAFETY: libpam copies the strings and the structure; the user outlives the handle.
        unsafe {
            libpam::pam_start_confdir(
                service.as_ptr(),
                user,
                &conversation,
                confdir.as_ptr(),
                handle,
            )
        }
    }

    fn set_items(&self, handle: *mut PamHandle) -> io::Result<()> {
        let script = self.script;
        let strings = [
            (libpam::PAM_TTY, &script.tty),
            (libpam::PAM_RHOST, &script.rhost),
            (libpam::PAM_RUSER, &script.ruser),
        ];
        for (item, text) in strings {
            if let Some(text) = text.as_ref().map(Text::bytes).map(c_string) {
                set_item(handle, item, text.as_ptr().cast())?;
            }
        }
        for (name, value) in &script.pam_env {
            put_variable(handle, name, &value.bytes())?;
        }
        let note: libpam::FailDelay = user::note_fail_delay;
        set_item(handle, libpam::PAM_FAIL_DELAY, note as *const c_void)?;
        // SAFETY: libpam is not running.
        unsafe { (*self.user).handle = handle };
        Ok(())
    }

    /// Makes one call and gathers all that can be seen of it.
    fn observe(
        &self,
        entry: Entry,
        handle: Option<*mut PamHandle>,
        call: impl FnOnce(&Self) -> c_int,
    ) -> io::Result<Call> {
        let child = handle.and(self.script.child_ms);
        let child = child.map(Child::start).transpose()?;
        self.look_before(handle);
        let timer = self.script.interrupt.map(SignalTimer::start).transpose()?;
        if handle.is_some() {
            self.limits.impose()?;
        }
        let started = Instant::now();
        let code = call(self);
        let elapsed = started.elapsed();
        self.limits.lift()?;
        drop(timer);
        if let Some(child) = child {
            self.take_status_of(&child);
        }
        Ok(Call {
            call: entry,
            code,
            elapsed_ms: u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX),
            ..self.look_after(handle)?
        })
    }

    fn look_before(&self, handle: Option<*mut PamHandle>) {
        // SAFETY: libpam is not running, so this is the only reference.
        let user = unsafe { &mut *self.user };
        user.before = user.snapshot(handle);
    }

    /// What came of the child is no change of the module's.
    fn take_status_of(&self, child: &Child) {
        // SAFETY: libpam is not running, so this is the only reference.
        let user = unsafe { &mut *self.user };
        user.before.set("children", "none".to_owned());
        user.changes.extend(child.missing_status());
    }

    fn look_after(&self, handle: Option<*mut PamHandle>) -> io::Result<Call> {
        // SAFETY: libpam is not running, so this is the only reference.
        let user = unsafe { &mut *self.user };
        let now = user.snapshot(handle);
        let mut changes = std::mem::take(&mut user.changes);
        changes.extend(user.before.changes_after(&now));
        changes.extend(leaks::find(&Vec::from_iter(&self.script.must_not_leak))?);
        Ok(Call {
            rss_kib: resident_kib(),
            messages: std::mem::take(&mut user.messages),
            fail_delays_us: std::mem::take(&mut user.fail_delays_us),
            log: std::mem::take(&mut user.logged),
            changes,
            items: handle.map(facts::items).into_iter().flatten().collect(),
            signal_33: facts::signal_33(),
            ..Call::default()
        })
    }
}

impl Drop for Application<'_> {
    fn drop(&mut self) {
        // SAFETY: from `Box::into_raw`, and every handle that knew it has ended.
        drop(unsafe { Box::from_raw(self.user) });
    }
}

/// `pam_set_item`
pub fn set_item(handle: *mut PamHandle, item: c_int, value: *const c_void) -> io::Result<()> {
    // SAFETY: the handle is live; strings are NUL-terminated and copied, the function is static.
    match unsafe { libpam::pam_set_item(handle, item, value) } {
        libpam::PAM_SUCCESS => Ok(()),
        code => Err(io::Error::other(format!(
            "pam_set_item {item}: code {code}"
        ))),
    }
}

/// `pam_putenv`
fn put_variable(handle: *mut PamHandle, name: &str, value: &[u8]) -> io::Result<()> {
    let variable = c_string([name.as_bytes(), b"=", value].concat());
    // SAFETY: the handle is live; libpam copies the string.
    match unsafe { libpam::pam_putenv(handle, variable.as_ptr()) } {
        libpam::PAM_SUCCESS => Ok(()),
        code => Err(io::Error::other(format!("pam_putenv {name}: code {code}"))),
    }
}

/// From `/proc/self/statm`, whose second number counts pages.
pub fn resident_kib() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = statm
        .split(' ')
        .nth(1)
        .and_then(|pages| pages.parse::<u64>().ok());
    // SAFETY: sysconf(3) takes a number.
    let page = u64::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) });
    pages.unwrap_or(0) * page.unwrap_or(4096) / 1024
}
