//! Very many transactions in one process, without the snapshots that would take longer than they do.

use std::ffi::{CString, c_int, c_uint, c_void};
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::ptr;
use std::time::Instant;

use crate::process_setup;
use crate::transaction::{resident_kib, set_item};
use crate::user::c_string;
use support::dev_log::Log;
use support::libpam::{self, PamConv, PamMessage, PamResponse};
use support::report::{Entry, Footprint, SoakResult};
use support::script::{Script, Soak, Text};

/// Runs them. Only after [`support::sandbox::build`].
pub fn run(script: &Script, soak: &Soak) -> io::Result<SoakResult> {
    let log = Log::place(script.dev_log)?;
    process_setup::prepare(script)?;
    let mut result = SoakResult::default();
    for number in 0..soak.rounds {
        let token = &soak.tokens[number as usize % soak.tokens.len()];
        let token = c_string(format!("{token}{number}").into_bytes());
        let began = Instant::now();
        let code = authenticate(script, &token)?;
        let elapsed = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        result.longest_ms = result.longest_ms.max(elapsed);
        *result.codes.entry(code).or_default() += 1;
        result.logged += log.drain().len();
        if number + 1 == soak.warm_up {
            result.warm = footprint();
        }
    }
    result.end = footprint();
    Ok(result)
}

/// From `pam_start` to `pam_end`.
fn authenticate(script: &Script, token: &CString) -> io::Result<c_int> {
    let conversation = PamConv {
        converse: Some(converse),
        data: token.as_ptr().cast_mut().cast(),
    };
    let service = c_string(script.service.clone().into_bytes());
    let confdir = c_string(script.confdir.as_os_str().as_bytes().to_vec());
    let user = c_string(script.user.as_ref().map(Text::bytes).unwrap_or_default());
    let mut handle = ptr::null_mut();
    let (function, flags) = libpam::function(Entry::Authenticate).ok_or(io::ErrorKind::Other)?;
    // SAFETY: libpam copies the strings and the structure; the token outlives the handle, which is used until its end.
    unsafe {
        let started = libpam::pam_start_confdir(
            service.as_ptr(),
            user.as_ptr(),
            &conversation,
            confdir.as_ptr(),
            &mut handle,
        );
        if started != libpam::PAM_SUCCESS {
            return Err(io::Error::other(format!("pam_start: code {started}")));
        }
        let no_delay: libpam::FailDelay = no_delay;
        set_item(handle, libpam::PAM_FAIL_DELAY, no_delay as *const c_void)?;
        let code = function(handle, flags);
        libpam::pam_end(handle, code);
        Ok(code)
    }
}

/// Answers every message with the token: replies to those that ask nothing are allowed, and the module's to free.
///
/// # Safety
/// Called by a module as pam_conv(3) says; `data` is a C string.
unsafe extern "C" fn converse(
    count: c_int,
    _: *mut *const PamMessage,
    replies: *mut *mut PamResponse,
    data: *mut c_void,
) -> c_int {
    let count = usize::try_from(count).unwrap_or(0);
    // SAFETY: `replies` is where the module wants an array from malloc(3), with texts from malloc(3).
    unsafe {
        let array = libc::calloc(count, size_of::<PamResponse>()).cast::<PamResponse>();
        for index in 0..count {
            (*array.add(index)).text = libc::strdup(data.cast());
        }
        *replies = array;
    }
    libpam::PAM_SUCCESS
}

/// Without such a function libpam would sleep.
unsafe extern "C" fn no_delay(_: c_int, _: c_uint, _: *mut c_void) {}

fn footprint() -> Footprint {
    let entries = |folder| fs::read_dir(folder).expect("a folder of /proc").count();
    Footprint {
        rss_kib: resident_kib(),
        descriptors: entries("/proc/self/fd"),
        threads: entries("/proc/self/task"),
    }
}
