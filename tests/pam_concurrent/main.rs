//! Applications of PAM that do not wait their turn: several threads with a handle each, as in a display manager or a
//! mail server, and a process that forks between two calls on one handle.
//!
//! `pam-concurrent CONFDIR SERVICE threads|fork` prints what came of it as JSON ([`Outcome`]). As in pam-client, the
//! system's log is one of its own.

// Its own part of what pam-client is made of.

use std::error::Error;
use std::ffi::{CStr, CString, c_int, c_void};
use std::{mem, ptr, thread, time::Duration};

use serde::Serialize;
use support::dev_log::Log;
use support::libpam::{self, PamConv, PamHandle, PamMessage, PamResponse};
use support::sandbox;
use support::script::{DevLog, Script};

/// How often every thread goes from `pam_start` to `pam_end`.
const TRANSACTIONS: usize = 50;
/// One a thread; each gets the answers of its own and no other.
const USERS: [&CStr; 2] = [c"alice", c"bob"];

/// What came of it.
#[derive(Default, Serialize)]
struct Outcome {
    /// Of every thread, or of the call before the fork, the child's and the parent's.
    codes: Vec<Vec<c_int>>,
    /// All datagrams.
    log: Vec<String>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<_> = std::env::args().skip(1).collect();
    let [confdir, service, mode] = words.as_slice() else {
        return Err("usage: pam-concurrent CONFDIR SERVICE threads|fork".into());
    };
    sandbox::build(&Script::default())??;
    let log = Log::place(DevLog::Socket)?;
    let application = Application {
        confdir: CString::new(confdir.as_str())?,
        service: CString::new(service.as_str())?,
    };
    let outcome = match mode.as_str() {
        "threads" => application.threads(&log),
        "fork" => application.fork(&log),
        _ => return Err("the last word is threads or fork".into()),
    };
    println!("{}", serde_json::to_string(&outcome)?);
    Ok(())
}

struct Application {
    confdir: CString,
    service: CString,
}

impl Application {
    /// Every second token is one to which iVALT has no answer.
    fn threads(&self, log: &Log) -> Outcome {
        let work = |user: &'static CStr| {
            let token = |number| match number % 2 {
                0 => format!("accept-{}-{number}", user.to_string_lossy()),
                _ => "http-503".to_owned(),
            };
            (0..TRANSACTIONS)
                .map(|number| self.transaction(user, &token(number)))
                .collect()
        };
        let mut outcome = Outcome::default();
        thread::scope(|scope| {
            let threads = USERS.map(|user| scope.spawn(move || work(user)));
            while threads.iter().any(|thread| !thread.is_finished()) {
                outcome.log.extend(log.drain());
                thread::sleep(Duration::from_millis(1));
            }
            outcome
                .codes
                .extend(threads.into_iter().filter_map(|thread| thread.join().ok()));
        });
        outcome.log.extend(log.drain());
        outcome
    }

    fn transaction(&self, user: &CStr, token: &str) -> c_int {
        let mut answer = Answer::new(token);
        let handle = self.start(user, &mut answer);
        // SAFETY: the handle is live until `pam_end`, and the answer outlives it.
        unsafe {
            let code = authenticate(handle);
            libpam::pam_end(handle, code);
            code
        }
    }

    fn fork(&self, log: &Log) -> Outcome {
        let mut answer = Answer::new("accept-before");
        let handle = self.start(USERS[0], &mut answer);
        // SAFETY: this process has one thread. The handle is live; parent and child have a copy each, and one answer.
        let codes = unsafe {
            let before = authenticate(handle);
            let child = libc::fork();
            answer.0 = Some(if child == 0 {
                c"accept-child".into()
            } else {
                c"accept-parent".into()
            });
            let code = authenticate(handle);
            libpam::pam_end(handle, code);
            if child == 0 {
                libc::_exit(code);
            }
            let mut status = 0;
            libc::waitpid(child, &raw mut status, 0);
            let in_child = if libc::WIFEXITED(status) {
                libc::WEXITSTATUS(status)
            } else {
                -status
            };
            [before, in_child, code]
        };
        Outcome {
            codes: codes.map(|code| vec![code]).into(),
            log: log.drain(),
        }
    }

    fn start(&self, user: &CStr, answer: *mut Answer) -> *mut PamHandle {
        let conversation = PamConv {
            converse: Some(converse),
            data: answer.cast(),
        };
        let mut handle = ptr::null_mut();
        // SAFETY: libpam copies the strings and the structure; the answer lives as long as the handle.
        let code = unsafe {
            libpam::pam_start_confdir(
                self.service.as_ptr(),
                user.as_ptr(),
                &conversation,
                self.confdir.as_ptr(),
                &mut handle,
            )
        };
        assert_eq!(code, libpam::PAM_SUCCESS, "pam_start");
        handle
    }
}

/// # Safety
/// The handle is live.
unsafe fn authenticate(handle: *mut PamHandle) -> c_int {
    libpam::function(support::report::Entry::Authenticate)
        // SAFETY: as promised by the caller.
        .map_or(-1, |(function, flags)| unsafe { function(handle, flags) })
}

/// Given once.
struct Answer(Option<CString>);

impl Answer {
    fn new(token: &str) -> Self {
        Self(CString::new(token).ok())
    }
}

/// # Safety
/// Called by a module as pam_conv(3) says; `data` is the [`Answer`] of this handle.
unsafe extern "C" fn converse(
    count: c_int,
    messages: *mut *const PamMessage,
    replies: *mut *mut PamResponse,
    data: *mut c_void,
) -> c_int {
    // SAFETY: one message at a time is all our module sends; the answer is this handle's own. Both allocations are the
    // module's to free.
    unsafe {
        let asks = matches!((**messages).style, 1 | 2);
        let answer = (*data.cast::<Answer>()).0.take_if(|_| asks);
        if count != 1 || (asks && answer.is_none()) {
            return libpam::PAM_CONV_ERR;
        }
        let reply = libc::calloc(1, mem::size_of::<PamResponse>()).cast::<PamResponse>();
        (*reply).text = answer.map_or(ptr::null_mut(), |answer| libc::strdup(answer.as_ptr()));
        *replies = reply;
        libpam::PAM_SUCCESS
    }
}
