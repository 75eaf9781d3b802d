//! A PAM module that does, on purpose, one thing no module may: the harness must notice it, or its silence about
//! ours would mean nothing. The argument names the fault; without one it behaves, asks for `token: ` and answers
//! `PAM_SUCCESS` to whatever is said.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::io::Write;
use std::os::fd::IntoRawFd;
use std::ptr;
use std::time::Duration;

const PAM_SUCCESS: c_int = 0;
const PAM_SERVICE_ERR: c_int = 3;
const PAM_USER: c_int = 2;
const PAM_PROMPT_ECHO_ON: c_int = 2;

#[link(name = "pam")]
unsafe extern "C" {
    fn pam_set_item(handle: *mut c_void, item: c_int, value: *const c_void) -> c_int;
    fn pam_putenv(handle: *mut c_void, assignment: *const c_char) -> c_int;
    fn pam_fail_delay(handle: *mut c_void, delay_us: u32) -> c_int;
    fn pam_prompt(
        handle: *mut c_void,
        style: c_int,
        reply: *mut *mut c_char,
        format: *const c_char,
        ...
    ) -> c_int;
}

/// # Safety
/// Called by libpam, as pam_sm_authenticate(3) says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pam_sm_authenticate(
    handle: *mut c_void,
    _flags: c_int,
    count: c_int,
    words: *const *const c_char,
) -> c_int {
    // SAFETY: libpam's own arguments: `count` C strings.
    let fault = (count > 0).then(|| unsafe { CStr::from_ptr(*words) });
    let fault = fault.map_or("", |word| word.to_str().unwrap_or_default());
    // SAFETY: libpam's own handle.
    if !unsafe { is_done(fault, handle) } {
        return PAM_SERVICE_ERR;
    }
    // SAFETY: libpam's own handle.
    unsafe { ask(handle) }
}

/// As a well-behaved module would.
#[unsafe(no_mangle)]
pub extern "C" fn pam_sm_setcred(
    _handle: *mut c_void,
    _flags: c_int,
    _count: c_int,
    _words: *const *const c_char,
) -> c_int {
    PAM_SUCCESS
}

/// # Safety
/// The handle is live.
unsafe fn ask(handle: *mut c_void) -> c_int {
    let mut reply = ptr::null_mut();
    // SAFETY: the format takes nothing; the reply is ours to free.
    unsafe {
        let code = pam_prompt(handle, PAM_PROMPT_ECHO_ON, &mut reply, c"token: ".as_ptr());
        libc::free(reply.cast());
        code
    }
}

/// Commits the fault; false when there is no such fault.
///
/// # Safety
/// The handle is live.
unsafe fn is_done(fault: &str, handle: *mut c_void) -> bool {
    // SAFETY: each call gets static, NUL-terminated strings and a live handle; what they break is the point.
    unsafe {
        match fault {
            "" => {}
            "descriptor" => drop(open_for_ever()),
            "inheritable" => drop(libc::dup(open_for_ever())),
            "closes-stdin" => drop(libc::close(0)),
            "thread" => drop(std::thread::spawn(take_every_signal)),
            "child" => leave_a_child(),
            "waits" => drop(libc::waitpid(-1, ptr::null_mut(), 0)),
            "mask" => block(libc::SIGINT),
            "disposition" => drop(libc::signal(libc::SIGPIPE, libc::SIG_IGN)),
            "environment" => std::env::set_var("MISBEHAVE", "1"),
            "directory" => drop(std::env::set_current_dir("/proc")),
            "umask" => drop(libc::umask(0)),
            "locale" => drop(libc::setlocale(libc::LC_ALL, c"C.UTF-8".as_ptr())),
            // libpam unmaps this module before the application logs again, and openlog(3) keeps the pointer.
            "ident" => libc::openlog(libc::strdup(c"misbehave".as_ptr()), 0, libc::LOG_AUTHPRIV),
            "alarm" => drop(libc::alarm(1000)),
            "stdout" => drop(std::io::stdout().write_all(b"misbehave\n")),
            "stderr" => drop(std::io::stderr().write_all(b"misbehave\n")),
            "user" => drop(pam_set_item(handle, PAM_USER, c"root".as_ptr().cast())),
            "pam-environment" => drop(pam_putenv(handle, c"MISBEHAVE=1".as_ptr())),
            "delay" => drop(pam_fail_delay(handle, 1_000_000)),
            "log" => libc::syslog(libc::LOG_AUTHPRIV | libc::LOG_NOTICE, c"misbehave".as_ptr()),
            "hang" => std::thread::sleep(Duration::from_secs(600)),
            "crash" => std::process::abort(),
            _ => return false,
        }
    }
    true
}

/// Even those that the application has blocked to wait for them: sudo lost its SIGCHLD that way (sudo #519).
fn take_every_signal() {
    // SAFETY: sigemptyset(3) initialises the set.
    unsafe {
        let mut set = std::mem::zeroed();
        libc::sigemptyset(&mut set);
        libc::pthread_sigmask(libc::SIG_SETMASK, &set, ptr::null_mut());
    }
    std::thread::sleep(Duration::from_secs(60));
}

fn open_for_ever() -> c_int {
    std::fs::File::open("/dev/null").map_or(-1, IntoRawFd::into_raw_fd)
}

fn leave_a_child() {
    // SAFETY: the child does nothing but end.
    unsafe {
        if libc::fork() == 0 {
            libc::_exit(0);
        }
    }
}

fn block(signal: c_int) {
    // SAFETY: sigemptyset(3) initialises the set.
    unsafe {
        let mut set = std::mem::zeroed();
        libc::sigemptyset(&mut set);
        libc::sigaddset(&mut set, signal);
        libc::pthread_sigmask(libc::SIG_BLOCK, &set, ptr::null_mut());
    }
}
