//! A PAM module for tests: puts a password into `PAM_AUTHTOK`, as `pam_unix` before us would, or shows what is there.
//! Applications cannot do either: libpam refuses that item outside of modules.
//!
//! Arguments: `authtok=TEXT` sets it; `obfuscated=HEX` sets it to a text that must not be in the service file; `show`
//! shows `PAM_AUTHTOK=…` as an information message (nothing after `=` when unset); `say=TEXT` shows that, so that a
//! test can tell which modules were called; `return=CODE` is the answer, without it `PAM_IGNORE`, so that the stack's
//! result is the other modules' alone. It answers for accounts as for passwords. `password=TEXT` asks for a password,
//! puts what is typed into `PAM_AUTHTOK`, and the answer is `PAM_SUCCESS` or `PAM_AUTH_ERR`, as `pam_unix`'s.
//! `user=NAME` becomes `PAM_USER`.
//! `setcred=TEXT` shows that when credentials are set, and answers `PAM_SUCCESS` then; without it, `PAM_IGNORE`.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::ptr;
use std::slice;

use support::obfuscate::obfuscated;
use zeroize::Zeroize;

const PAM_SUCCESS: c_int = 0;
const PAM_USER: c_int = 2;
const PAM_PROMPT_ECHO_OFF: c_int = 1;
const PAM_TEXT_INFO: c_int = 4;
const PAM_AUTHTOK: c_int = 6;
const PAM_AUTH_ERR: c_int = 7;
const PAM_IGNORE: c_int = 25;

#[link(name = "pam")]
unsafe extern "C" {
    fn pam_set_item(handle: *mut c_void, item: c_int, value: *const c_void) -> c_int;
    fn pam_get_item(handle: *const c_void, item: c_int, value: *mut *const c_void) -> c_int;
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
    let mut answer = PAM_IGNORE;
    // SAFETY: libpam's own handle and arguments.
    for word in unsafe { arguments(count, words) } {
        // SAFETY: libpam's own handle.
        let code = match word.to_bytes().split(|byte| *byte == b'=').next() {
            Some(b"authtok") => unsafe { set_authtok(handle, word) },
            // SAFETY: libpam's own handle.
            Some(b"obfuscated") => unsafe { set_obfuscated(handle, word) },
            Some(b"show") => unsafe { show_authtok(handle) },
            Some(b"say") => unsafe { say(handle, word) },
            Some(b"return") => return_code(word, &mut answer),
            // SAFETY: libpam's own handle.
            Some(b"password") => unsafe { ask_password(handle, word, &mut answer) },
            Some(b"setcred") => PAM_SUCCESS,
            // SAFETY: libpam's own handle.
            Some(b"user") => unsafe { set_user(handle, word) },
            _ => -1,
        };
        if code != PAM_SUCCESS {
            return code;
        }
    }
    answer
}

/// # Safety
/// Called by libpam, as pam_sm_acct_mgmt(3) says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pam_sm_acct_mgmt(
    handle: *mut c_void,
    flags: c_int,
    count: c_int,
    words: *const *const c_char,
) -> c_int {
    // SAFETY: the same contract.
    unsafe { pam_sm_authenticate(handle, flags, count, words) }
}

/// # Safety
/// Called by libpam, as pam_sm_setcred(3) says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pam_sm_setcred(
    handle: *mut c_void,
    _flags: c_int,
    count: c_int,
    words: *const *const c_char,
) -> c_int {
    // SAFETY: libpam's own handle and arguments.
    for word in unsafe { arguments(count, words) } {
        if word.to_bytes().starts_with(b"setcred=") {
            // SAFETY: libpam's own handle.
            return unsafe { say(handle, word) };
        }
    }
    PAM_IGNORE
}

/// # Safety
/// `words` is an array of `count` C strings, or NULL when there are none.
unsafe fn arguments<'a>(count: c_int, words: *const *const c_char) -> Vec<&'a CStr> {
    let count = usize::try_from(count).unwrap_or(0);
    if count == 0 {
        return Vec::new();
    }
    // SAFETY: as promised.
    let words = unsafe { slice::from_raw_parts(words, count) };
    // SAFETY: as promised.
    words
        .iter()
        .map(|word| unsafe { CStr::from_ptr(*word) })
        .collect()
}

/// # Safety
/// The handle is live.
unsafe fn set_authtok(handle: *mut c_void, word: &CStr) -> c_int {
    let value = &word.to_bytes_with_nul()["authtok=".len()..];
    // SAFETY: NUL-terminated, and libpam copies it.
    unsafe { pam_set_item(handle, PAM_AUTHTOK, value.as_ptr().cast()) }
}

/// # Safety
/// The handle is live.
unsafe fn set_user(handle: *mut c_void, word: &CStr) -> c_int {
    let value = &word.to_bytes_with_nul()["user=".len()..];
    // SAFETY: NUL-terminated, and libpam copies it.
    unsafe { pam_set_item(handle, PAM_USER, value.as_ptr().cast()) }
}

/// # Safety
/// The handle is live.
unsafe fn set_obfuscated(handle: *mut c_void, word: &CStr) -> c_int {
    let digits = &word.to_bytes()["obfuscated=".len()..];
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    let Some(hidden) = digits.chunks(2).map(byte).collect::<Option<Vec<u8>>>() else {
        return -1;
    };
    let mut value = obfuscated(&hidden);
    value.push(0);
    // SAFETY: NUL-terminated, and libpam copies it.
    let code = unsafe { pam_set_item(handle, PAM_AUTHTOK, value.as_ptr().cast()) };
    value.zeroize();
    code
}

/// # Safety
/// The handle is live.
unsafe fn show_authtok(handle: *mut c_void) -> c_int {
    let mut value: *const c_void = ptr::null();
    let nothing = ptr::null_mut();
    // SAFETY: libpam keeps the string; the format takes exactly it.
    unsafe {
        pam_get_item(handle, PAM_AUTHTOK, &mut value);
        let text = if value.is_null() {
            c"".as_ptr().cast()
        } else {
            value
        };
        pam_prompt(
            handle,
            PAM_TEXT_INFO,
            nothing,
            c"PAM_AUTHTOK=%s".as_ptr(),
            text,
        )
    }
}

/// # Safety
/// The handle is live.
unsafe fn say(handle: *mut c_void, word: &CStr) -> c_int {
    let bytes = word.to_bytes_with_nul();
    let value = bytes.iter().position(|byte| *byte == b'=').unwrap_or(0) + 1;
    let text = &bytes[value..];
    let nothing = ptr::null_mut();
    // SAFETY: NUL-terminated; the format takes exactly it.
    unsafe {
        pam_prompt(
            handle,
            PAM_TEXT_INFO,
            nothing,
            c"%s".as_ptr(),
            text.as_ptr(),
        )
    }
}

/// # Safety
/// The handle is live.
unsafe fn ask_password(handle: *mut c_void, word: &CStr, answer: &mut c_int) -> c_int {
    let mut typed: *mut c_char = ptr::null_mut();
    // SAFETY: the reply is NULL or a C string from malloc(3), which libpam copies; it is freed here.
    unsafe {
        let code = pam_prompt(
            handle,
            PAM_PROMPT_ECHO_OFF,
            &mut typed,
            c"Password: ".as_ptr(),
        );
        if code != PAM_SUCCESS || typed.is_null() {
            *answer = PAM_AUTH_ERR;
            return PAM_SUCCESS;
        }
        pam_set_item(handle, PAM_AUTHTOK, typed.cast_const().cast());
        let right = CStr::from_ptr(typed).to_bytes() == &word.to_bytes()["password=".len()..];
        *answer = if right { PAM_SUCCESS } else { PAM_AUTH_ERR };
        libc::free(typed.cast());
    }
    PAM_SUCCESS
}

fn return_code(word: &CStr, answer: &mut c_int) -> c_int {
    let text = word.to_str().unwrap_or_default();
    match text
        .strip_prefix("return=")
        .and_then(|code| code.parse().ok())
    {
        Some(code) => {
            *answer = code;
            PAM_SUCCESS
        }
        None => -1,
    }
}
