//! The PAM module: a call of libpam is turned into plain values, decided by `ivalt_core`, logged once, and turned back
//! into one of PAM's numbers. No HTTP, no JSON.
//!
//! | module | what it does |
//! | --- | --- |
//! | [`entry_points`] | the six functions that libpam calls |
//! | [`panic_guard`] | a panic of ours is a denial |
//! | [`memory`] | whether the process has the memory that a call needs |
//! | [`application`] | PAM's items and conversation |
//! | [`heap`] | the allocator, which wipes what it frees |
//! | `unwinder` | what a panic needs is loaded when there is one |
#![deny(unsafe_code)]
#![deny(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::dbg_macro,
    clippy::exit
)]
#![cfg_attr(
    not(test),
    deny(
        clippy::disallowed_methods,
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::todo,
        clippy::unreachable
    )
)]
#![warn(missing_docs)]

mod application;
#[cfg(test)]
mod documents;
mod entry_points;
mod heap;
mod memory;
mod panic_guard;
// Tests show where they panic; the unwinder of 32-bit ARM has other functions.
#[cfg(not(any(test, target_arch = "arm")))]
mod unwinder;

use std::ffi::CStr;
use std::path::Path;

use ::pam::constants::{PAM_SILENT, PamFlag, PamResultCode};
use ::pam::module::PamHandle;

pub use entry_points::*;

use application::PamApplication;
use ivalt_core::arguments::{Arguments, Delay};
use ivalt_core::authenticate::{Context, authenticate};
use ivalt_core::conversation::Application;
use ivalt_core::decision::{Decision, Refusal};
use ivalt_core::log_line::{self, Origin};
use ivalt_core::only_after::Turn;
use ivalt_core::push;
use ivalt_core::report::Report;
use ivalt_core::sys::memory::wipe_stack;
use ivalt_core::sys::{account, effective_uid, platform};
use ivalt_core::trusted_file::Trust;
use panic_guard::{catch_panic, silence_panics};

fn sm_authenticate(handle: &mut PamHandle, words: &[&CStr], flags: PamFlag) -> PamResultCode {
    silence_panics();
    let (mut report, mut origin) = (Report::default(), Origin::default());
    let mut turn = Turn::Always;
    let mut application = PamApplication {
        handle,
        silent: flags & PAM_SILENT != 0,
    };
    catch_panic(&mut report, |report| {
        turn = Turn::of(words, &application.ssh_auth_info());
        if turn != Turn::PassedOver {
            (origin, report.user) = (application.origin(), application.known_user());
            decide(words, &mut application, &origin, report);
        }
    });
    if turn == Turn::PassedOver {
        return PamResultCode::PAM_IGNORE;
    }
    log_line::write(&origin, &report);
    if matches!(report.decision, Decision::Deny(_)) && report.delay == Delay::TwoSeconds {
        application.ask_for_delay();
    }
    code(report.decision, turn)
}

fn decide(
    words: &[&CStr],
    application: &mut PamApplication<'_>,
    origin: &Origin,
    report: &mut Report,
) {
    match memory::for_a_call() {
        Ok(()) => {
            authenticate(words, application, context(origin), report);
            // Answers repeat secrets, and libraries leave pieces of them.
            wipe_stack();
        }
        Err(cause) => (report.cause, report.delay) = (cause, Arguments::delay(words)),
    }
}

/// sshd calls this on a fresh chain, and `PAM_IGNORE` there fails a login that this module let in. But a line with
/// `only_after=` must not end the chain, or what stands below it would set no credentials.
fn sm_setcred(words: &[&CStr]) -> PamResultCode {
    if Arguments::has_only_after(words) {
        PamResultCode::PAM_IGNORE
    } else {
        PamResultCode::PAM_SUCCESS
    }
}

/// A handle or arguments that are NULL: there is no conversation, and no user to name.
fn log_invalid_handle() {
    let report = Report {
        cause: "invalid PAM handle".to_owned(),
        ..Report::default()
    };
    log_line::write(&Origin::default(), &report);
}

/// The code for every decision; pam(3). After a method of `only_after=`, `PAM_IGNORE` would have the modules below ask
/// for the password.
pub(crate) fn code(decision: Decision, turn: Turn) -> PamResultCode {
    match decision {
        Decision::Allow(_) => PamResultCode::PAM_SUCCESS,
        Decision::Ignore(_) if turn == Turn::AfterMethod => PamResultCode::PAM_SUCCESS,
        Decision::Ignore(_) => PamResultCode::PAM_IGNORE,
        Decision::Deny(refusal) => match refusal {
            Refusal::NotEnrolled | Refusal::Disabled | Refusal::BadEntry => {
                PamResultCode::PAM_USER_UNKNOWN
            }
            Refusal::Unanswered => PamResultCode::PAM_CONV_ERR,
            Refusal::MalformedToken
            | Refusal::DummyOfSshd
            | Refusal::RootBarredBySshd
            | Refusal::CodeMistyped
            | Refusal::CodeRefused
            | Refusal::CodeNotTakenHere
            | Refusal::PasswordAsToken
            | Refusal::TokenRejected
            | Refusal::PushDenied
            | Refusal::PushUnanswered
            | Refusal::PushBusy
            | Refusal::PushLimited
            | Refusal::PushStale => PamResultCode::PAM_AUTH_ERR,
            Refusal::TriesExhausted | Refusal::CodeTriesExhausted => PamResultCode::PAM_MAXTRIES,
            Refusal::ApiKeyRefused | Refusal::Misconfigured => PamResultCode::PAM_SERVICE_ERR,
            Refusal::Unavailable | Refusal::PushUnavailable => PamResultCode::PAM_AUTHINFO_UNAVAIL,
            Refusal::Internal => PamResultCode::PAM_ABORT,
        },
    }
}

/// What `authenticate` needs of this process.
fn context(origin: &Origin) -> Context<'_> {
    let effective_uid = effective_uid();
    Context {
        trust: Trust { effective_uid },
        platform: platform(),
        account,
        login: Some(origin),
        push_directory: Path::new(push::DIRECTORY),
    }
}
