//! The six functions that libpam calls.
#![allow(unsafe_code)]

use std::ffi::{CStr, c_char, c_int};
use std::panic::catch_unwind;

use ::pam::constants::{PamFlag, PamResultCode};
use ::pam::macros::invoke_hook;
use ::pam::module::PamHandle;

use super::{log_invalid_handle, sm_authenticate, sm_setcred};
use crate::panic_guard::silence_panics;

/// A `pam_sm_*` function as libpam calls it. pam-bindings' own macro makes the same six, but theirs say nothing in the
/// log when libpam passes an invalid handle; so its guard is called here, with something to do in that case.
macro_rules! entry_point {
    ($name:ident, $function:expr, $invalid:expr) => {
        /// See the man page of the same name, pam_sm_authenticate(3) and others.
        ///
        /// # Safety
        /// `handle` and `argv` are libpam's own, or NULL.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name(
            handle: *mut PamHandle,
            flags: PamFlag,
            argc: c_int,
            argv: *const *const c_char,
        ) -> PamResultCode {
            let mut entered = false;
            // SAFETY: as promised by libpam; the guard checks for NULL and catches panics.
            let code = unsafe {
                invoke_hook(handle, argc, argv, |handle, words| {
                    entered = true;
                    $function(handle, &words, flags)
                })
            };
            if !entered {
                silence_panics();
                // A fault in the log must not reach the application either.
                std::mem::forget(catch_unwind($invalid));
            }
            code
        }
    };
}

entry_point!(pam_sm_authenticate, sm_authenticate, log_invalid_handle);
entry_point!(
    pam_sm_setcred,
    |_, words: &[&CStr], _| sm_setcred(words),
    || {}
);
entry_point!(pam_sm_acct_mgmt, |_, _, _| PamResultCode::PAM_IGNORE, || {});
entry_point!(
    pam_sm_open_session,
    |_, _, _| PamResultCode::PAM_IGNORE,
    || {}
);
entry_point!(
    pam_sm_close_session,
    |_, _, _| PamResultCode::PAM_IGNORE,
    || {}
);
entry_point!(pam_sm_chauthtok, |_, _, _| PamResultCode::PAM_IGNORE, || {});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg_attr(miri, ignore = "Miri has no /dev/log")]
    fn an_invalid_handle_is_an_abort() {
        let null = std::ptr::null_mut();
        // SAFETY: NULL is among what is promised.
        let codes = unsafe {
            [
                pam_sm_authenticate(null, 0, 0, std::ptr::null()),
                pam_sm_setcred(null, 0, -1, std::ptr::null()),
            ]
        };
        assert_eq!(codes, [PamResultCode::PAM_ABORT, PamResultCode::PAM_ABORT]);
    }

    #[test]
    fn no_entry_point_accepts_an_invalid_handle() {
        let entry_points = [
            pam_sm_setcred,
            pam_sm_acct_mgmt,
            pam_sm_open_session,
            pam_sm_close_session,
            pam_sm_chauthtok,
        ];
        let (null, nothing) = (std::ptr::null_mut(), std::ptr::null());
        for entry_point in entry_points {
            for count in [0, 1, -1] {
                // SAFETY: NULL is among what is promised.
                assert_eq!(
                    unsafe { entry_point(null, 0, count, nothing) },
                    PamResultCode::PAM_ABORT
                );
            }
        }
    }
}
