//! The application's side of libpam, as `security/pam_appl.h` of Linux-PAM 1.4 and later declares it.

use std::ffi::{c_char, c_int, c_uint, c_void};

use super::report::{Entry, Style};

/// libpam's handle.
#[repr(C)]
pub struct PamHandle {
    _private: [u8; 0],
}

/// `struct pam_message`
#[repr(C)]
pub struct PamMessage {
    /// One of `PAM_PROMPT_ECHO_OFF` …
    pub style: c_int,
    /// NUL-terminated.
    pub text: *const c_char,
}

/// `struct pam_response`
#[repr(C)]
pub struct PamResponse {
    /// From malloc(3); the module frees it.
    pub text: *mut c_char,
    /// Unused, 0.
    pub code: c_int,
}

/// The conversation function.
pub type Converse = unsafe extern "C" fn(
    c_int,
    *mut *const PamMessage,
    *mut *mut PamResponse,
    *mut c_void,
) -> c_int;

/// `struct pam_conv`
#[repr(C)]
pub struct PamConv {
    /// May be NULL.
    pub converse: Option<Converse>,
    /// Handed to the conversation and to the fail delay function.
    pub data: *mut c_void,
}

/// The function kept in `PAM_FAIL_DELAY`.
pub type FailDelay = unsafe extern "C" fn(c_int, c_uint, *mut c_void);

#[link(name = "pam")]
unsafe extern "C" {
    pub fn pam_start_confdir(
        service: *const c_char,
        user: *const c_char,
        conversation: *const PamConv,
        confdir: *const c_char,
        handle: *mut *mut PamHandle,
    ) -> c_int;
    pub fn pam_end(handle: *mut PamHandle, status: c_int) -> c_int;
    pub fn pam_set_item(handle: *mut PamHandle, item: c_int, value: *const c_void) -> c_int;
    pub fn pam_get_item(handle: *const PamHandle, item: c_int, value: *mut *const c_void) -> c_int;
    pub fn pam_putenv(handle: *mut PamHandle, variable: *const c_char) -> c_int;
    pub fn pam_getenvlist(handle: *mut PamHandle) -> *mut *mut c_char;
    fn pam_authenticate(handle: *mut PamHandle, flags: c_int) -> c_int;
    fn pam_setcred(handle: *mut PamHandle, flags: c_int) -> c_int;
    fn pam_acct_mgmt(handle: *mut PamHandle, flags: c_int) -> c_int;
    fn pam_open_session(handle: *mut PamHandle, flags: c_int) -> c_int;
    fn pam_close_session(handle: *mut PamHandle, flags: c_int) -> c_int;
    fn pam_chauthtok(handle: *mut PamHandle, flags: c_int) -> c_int;
}

pub const PAM_SUCCESS: c_int = 0;
pub const PAM_CONV_ERR: c_int = 19;
pub const PAM_SILENT: c_int = 0x8000;
const PAM_ESTABLISH_CRED: c_int = 2;

pub const PAM_USER: c_int = 2;
pub const PAM_TTY: c_int = 3;
pub const PAM_RHOST: c_int = 4;
pub const PAM_RUSER: c_int = 8;
pub const PAM_FAIL_DELAY: c_int = 10;

/// The items an application may read that are strings.
pub const STRING_ITEMS: [(c_int, &str); 6] = [
    (1, "PAM_SERVICE"),
    (PAM_USER, "PAM_USER"),
    (PAM_TTY, "PAM_TTY"),
    (PAM_RHOST, "PAM_RHOST"),
    (PAM_RUSER, "PAM_RUSER"),
    (9, "PAM_USER_PROMPT"),
];

/// The style behind a number.
pub fn style(number: c_int) -> Style {
    match number {
        1 => Style::EchoOff,
        2 => Style::EchoOn,
        3 => Style::Error,
        4 => Style::Info,
        _ => Style::Unknown,
    }
}

type Call = unsafe extern "C" fn(*mut PamHandle, c_int) -> c_int;

/// The function behind an entry and the flags it gets; `None` for those with a signature of their own.
pub fn function(entry: Entry) -> Option<(Call, c_int)> {
    let function: (Call, c_int) = match entry {
        Entry::Authenticate => (pam_authenticate, 0),
        Entry::Setcred => (pam_setcred, PAM_ESTABLISH_CRED),
        Entry::AcctMgmt => (pam_acct_mgmt, 0),
        Entry::OpenSession => (pam_open_session, 0),
        Entry::CloseSession => (pam_close_session, 0),
        Entry::Chauthtok => (pam_chauthtok, 0),
        Entry::Start | Entry::End => return None,
    };
    Some(function)
}
