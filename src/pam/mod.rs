//! The door between libpam and the story: the only room with `unsafe`, and the only one that knows PAM's numbers.
#![allow(unsafe_code)]

mod host;
mod look_up;

use std::cell::RefCell;
use std::ffi::CStr;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook};
use std::sync::Once;

use ::pam::constants::{PAM_SILENT, PamFlag, PamResultCode};
use ::pam::module::{PamHandle, PamHooks};

use crate::args::Delay;
use crate::audit;
use crate::authenticate::{Report, Surroundings, authenticate};
use crate::decision::{Decision, Refusal};
use crate::trusted_file::Trust;
use host::PamHost;
pub use look_up::look_up;

/// The module as libpam sees it. Entry points without a method here answer `PAM_IGNORE`.
pub struct Module;

/// The six exported `pam_sm_*` functions.
#[allow(missing_docs)]
mod hooks {
    use super::Module;

    ::pam::pam_hooks!(Module);
}

impl PamHooks for Module {
    fn sm_authenticate(handle: &mut PamHandle, words: Vec<&CStr>, flags: PamFlag) -> PamResultCode {
        silence_panics();
        let mut report = Report::default();
        let mut host = PamHost {
            handle,
            silent: flags & PAM_SILENT != 0,
        };
        guarded(&mut report, |report| {
            authenticate(&words, &mut host, surroundings(), report)
        });
        audit::write(&host.origin(), &report);
        if matches!(report.decision, Decision::Deny(_)) && report.delay == Delay::TwoSeconds {
            host.ask_for_delay();
        }
        code(report.decision)
    }

    /// sshd calls this on a fresh chain, and `PAM_IGNORE` there fails a login that this module let in.
    fn sm_setcred(_: &mut PamHandle, _: Vec<&CStr>, _: PamFlag) -> PamResultCode {
        PamResultCode::PAM_SUCCESS
    }
}

/// The code for every decision; pam(3).
pub(crate) fn code(decision: Decision) -> PamResultCode {
    match decision {
        Decision::Allow => PamResultCode::PAM_SUCCESS,
        Decision::Ignore(_) => PamResultCode::PAM_IGNORE,
        Decision::Deny(refusal) => match refusal {
            Refusal::NotEnrolled | Refusal::Disabled | Refusal::BadEntry => {
                PamResultCode::PAM_USER_UNKNOWN
            }
            Refusal::Unanswered => PamResultCode::PAM_CONV_ERR,
            Refusal::MalformedToken | Refusal::PasswordAsToken | Refusal::TokenRejected => {
                PamResultCode::PAM_AUTH_ERR
            }
            Refusal::TriesExhausted => PamResultCode::PAM_MAXTRIES,
            Refusal::ApiKeyRefused | Refusal::Misconfigured => PamResultCode::PAM_SERVICE_ERR,
            Refusal::Unavailable => PamResultCode::PAM_AUTHINFO_UNAVAIL,
            Refusal::Internal => PamResultCode::PAM_ABORT,
        },
    }
}

/// What this process lends to the story.
#[must_use]
pub fn surroundings() -> Surroundings {
    // SAFETY: geteuid(2) takes nothing and always succeeds.
    let effective_uid = unsafe { libc::geteuid() };
    Surroundings {
        trust: Trust { effective_uid },
        look_up,
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
            PANICKED_AT.with(|at| at.replace(place.unwrap_or_default()));
        }));
    });
}

/// Runs `story`; a panic in it leaves a denial and the place of the panic.
fn guarded(report: &mut Report, story: impl FnOnce(&mut Report)) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(|| story(report))) {
        // Dropping a panic's payload may panic again.
        std::mem::forget(payload);
        report.decision = Decision::Deny(Refusal::Internal);
        report.cause = format!("panic at {}", PANICKED_AT.with(|at| at.take()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_a_denial_with_its_place() {
        silence_panics();
        let mut report = Report::default();
        guarded(&mut report, |report| {
            report.user = b"alice".to_vec();
            report.decision = Decision::Allow;
            panic!("secret");
        });
        assert_eq!(report.decision, Decision::Deny(Refusal::Internal));
        assert_eq!(code(report.decision), PamResultCode::PAM_ABORT);
        assert!(
            report.cause.starts_with("panic at src/pam/mod.rs:"),
            "{}",
            report.cause
        );
        assert_eq!(report.user, b"alice");
    }
}
