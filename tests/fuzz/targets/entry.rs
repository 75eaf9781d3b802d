//! The module as a library of this program, so that libFuzzer sees its coverage.

use std::ffi::{c_char, c_int};

use support::libpam::PamHandle;

/// # Safety
/// As libpam calls a module, pam_sm_authenticate(3).
pub unsafe extern "C" fn pam_sm_authenticate(
    handle: *mut PamHandle,
    flags: c_int,
    argc: c_int,
    argv: *const *const c_char,
) -> c_int {
    let flags = flags.try_into().unwrap_or_default();
    // SAFETY: as the caller promises.
    unsafe { pam_ivalt::pam_sm_authenticate(handle.cast(), flags, argc, argv) as c_int }
}
