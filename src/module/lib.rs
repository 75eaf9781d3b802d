//! The door between libpam and the story: the only room with `unsafe`, and the only one that knows PAM's numbers.
#![allow(unsafe_code)]

mod application;
mod heap;
mod memory;

use std::cell::RefCell;
use std::ffi::{CStr, c_char, c_int};
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook};
use std::sync::Once;

use ::pam::constants::{PAM_SILENT, PamFlag, PamResultCode};
use ::pam::macros::invoke_hook;
use ::pam::module::PamHandle;

use application::PamApplication;
use ivalt_core::arguments::{Arguments, Delay};
use ivalt_core::authenticate::{Context, authenticate};
use ivalt_core::decision::{Decision, Refusal};
use ivalt_core::log_line::{self, Origin};
use ivalt_core::report::Report;
use ivalt_core::sys::platform;
use ivalt_core::trusted_file::Trust;

/// A `pam_sm_*` function as libpam calls it. pam-bindings' own macro makes the same six, but theirs say nothing in the
/// log when libpam hands over a broken handle; so its guard is called here, with a word for that case.
macro_rules! entry_point {
    ($name:ident, $story:expr, $broken:expr) => {
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
                    $story(handle, &words, flags)
                })
            };
            if !entered {
                silence_panics();
                // A fault in the log must not reach the host either.
                std::mem::forget(catch_unwind($broken));
            }
            code
        }
    };
}

entry_point!(pam_sm_authenticate, sm_authenticate, log_broken_handle);
// sshd calls this on a fresh chain, and PAM_IGNORE there fails a login that this module let in.
entry_point!(pam_sm_setcred, |_, _, _| PamResultCode::PAM_SUCCESS, || {});
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

fn sm_authenticate(handle: &mut PamHandle, words: &[&CStr], flags: PamFlag) -> PamResultCode {
    silence_panics();
    let (mut report, mut origin) = (Report::default(), Origin::default());
    let mut application = PamApplication {
        handle,
        silent: flags & PAM_SILENT != 0,
    };
    catch_panic(&mut report, |report| {
        (origin, report.user) = (application.origin(), application.known_user());
        match memory::for_a_call() {
            Ok(()) => authenticate(words, &mut application, context(), report),
            Err(cause) => (report.cause, report.delay) = (cause, Arguments::delay(words)),
        }
    });
    log_line::write(&origin, &report);
    if matches!(report.decision, Decision::Deny(_)) && report.delay == Delay::TwoSeconds {
        application.ask_for_delay();
    }
    code(report.decision)
}

/// A handle or arguments that are NULL: there is nobody to ask, and nobody to name.
fn log_broken_handle() {
    let report = Report {
        cause: "invalid PAM handle".to_owned(),
        ..Report::default()
    };
    log_line::write(&Origin::default(), &report);
}

/// The code for every decision; pam(3).
pub(crate) fn code(decision: Decision) -> PamResultCode {
    match decision {
        Decision::Allow(_) => PamResultCode::PAM_SUCCESS,
        Decision::Ignore(_) => PamResultCode::PAM_IGNORE,
        Decision::Deny(refusal) => match refusal {
            Refusal::NotEnrolled | Refusal::Disabled | Refusal::BadEntry => {
                PamResultCode::PAM_USER_UNKNOWN
            }
            Refusal::Unanswered => PamResultCode::PAM_CONV_ERR,
            Refusal::MalformedToken
            | Refusal::DummyOfSshd
            | Refusal::PasswordAsToken
            | Refusal::TokenRejected => PamResultCode::PAM_AUTH_ERR,
            Refusal::TriesExhausted => PamResultCode::PAM_MAXTRIES,
            Refusal::ApiKeyRefused | Refusal::Misconfigured => PamResultCode::PAM_SERVICE_ERR,
            Refusal::Unavailable => PamResultCode::PAM_AUTHINFO_UNAVAIL,
            Refusal::Internal => PamResultCode::PAM_ABORT,
        },
    }
}

/// What the story needs of this process.
#[must_use]
pub fn context() -> Context {
    // SAFETY: geteuid(2) takes nothing and always succeeds.
    let effective_uid = unsafe { libc::geteuid() };
    Context {
        trust: Trust { effective_uid },
        platform: platform(),
    }
}

thread_local! {
    /// Where the last panic of this thread happened, for the log.
    static PANICKED_AT: RefCell<String> = const { RefCell::new(String::new()) };
}

/// The default hook of our copy of std writes to the host's stderr and, if the caller has set `RUST_BACKTRACE`,
/// opens files as root.
fn silence_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        set_hook(Box::new(|panic| {
            let place = panic
                .location()
                .map(|location| format!("{}:{}", location.file(), location.line()));
            // A thread that is about to end has no such variable any more.
            let _ = PANICKED_AT.try_with(|at| at.replace(place.unwrap_or_default()));
        }));
    });
}

/// Runs `story`; a panic in it leaves a denial and the place of the panic.
fn catch_panic(report: &mut Report, story: impl FnOnce(&mut Report)) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(|| story(report))) {
        report.decision = Decision::Deny(Refusal::Internal);
        report.cause = format!("panic at {}", PANICKED_AT.with(|at| at.take()));
        // Dropping a panic's payload may panic again; only then is one left behind.
        if let Err(again) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
            std::mem::forget(again);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ivalt_core::decision::DECISIONS;

    #[test]
    #[cfg_attr(miri, ignore = "Miri has no /dev/log")]
    fn a_broken_handle_is_an_abort() {
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
    fn no_door_opens_for_a_broken_handle() {
        let doors = [
            pam_sm_setcred,
            pam_sm_acct_mgmt,
            pam_sm_open_session,
            pam_sm_close_session,
            pam_sm_chauthtok,
        ];
        let (null, nothing) = (std::ptr::null_mut(), std::ptr::null());
        for door in doors {
            for count in [0, 1, -1] {
                // SAFETY: NULL is among what is promised.
                assert_eq!(
                    unsafe { door(null, 0, count, nothing) },
                    PamResultCode::PAM_ABORT
                );
            }
        }
    }

    #[test]
    fn a_panic_is_a_denial_with_its_place() {
        silence_panics();
        let allow = DECISIONS[0];
        assert_eq!(code(allow), PamResultCode::PAM_SUCCESS);
        let mut report = Report::default();
        catch_panic(&mut report, |report| {
            report.user = b"alice".to_vec();
            report.decision = allow;
            panic!("secret");
        });
        assert_eq!(report.decision, Decision::Deny(Refusal::Internal));
        assert_eq!(code(report.decision), PamResultCode::PAM_ABORT);
        assert!(
            report.cause.starts_with("panic at src/module/lib.rs:"),
            "{}",
            report.cause
        );
        assert_eq!(report.user, b"alice");
    }

    #[test]
    #[cfg_attr(miri, ignore = "leaves something behind on purpose")]
    fn a_panic_that_panics_again_when_it_is_dropped() {
        /// What a library may throw.
        struct Bomb;
        impl Drop for Bomb {
            fn drop(&mut self) {
                panic!("again");
            }
        }
        silence_panics();
        let mut report = Report::default();
        let line = line!() + 1;
        catch_panic(&mut report, |_| std::panic::panic_any(Bomb));
        assert_eq!(report.decision, Decision::Deny(Refusal::Internal));
        let place = format!("{}:{line}", file!());
        assert!(report.cause.contains(&place), "{}", report.cause);
    }
}
