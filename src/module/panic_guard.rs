//! A panic of ours ends the call, not the application.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook};
use std::sync::Once;

use ivalt_core::decision::{Decision, Refusal};
use ivalt_core::report::Report;

thread_local! {
    /// Where the last panic of this thread happened, for the log.
    static PANICKED_AT: RefCell<String> = const { RefCell::new(String::new()) };
}

/// The default hook of our copy of std writes to the application's stderr and, if the caller has set `RUST_BACKTRACE`,
/// opens files as root.
pub fn silence_panics() {
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

/// Runs `call`; a panic in it leaves a denial and the place of the panic.
pub fn catch_panic(report: &mut Report, call: impl FnOnce(&mut Report)) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(|| call(report))) {
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
    use ivalt_core::only_after::Turn;

    #[test]
    fn a_panic_is_a_denial_with_its_place() {
        silence_panics();
        let allow = DECISIONS[0];
        assert_eq!(allow.outcome(), "allow");
        let mut report = Report::default();
        catch_panic(&mut report, |report| {
            report.user = b"alice".to_vec();
            report.decision = allow;
            panic!("secret");
        });
        assert_eq!(report.decision, Decision::Deny(Refusal::Internal));
        assert_eq!(
            format!("{:?}", crate::code(report.decision, Turn::Always)),
            "PAM_ABORT"
        );
        assert!(
            report
                .cause
                .starts_with("panic at src/module/panic_guard.rs:"),
            "{}",
            report.cause
        );
        assert_eq!(report.user, b"alice");
    }

    #[test]
    #[cfg_attr(miri, ignore = "leaves something behind on purpose")]
    fn a_panic_that_panics_again_when_it_is_dropped() {
        /// What a library may throw.
        struct PanicsOnDrop;
        impl Drop for PanicsOnDrop {
            fn drop(&mut self) {
                panic!("again");
            }
        }
        silence_panics();
        let mut report = Report::default();
        let line = line!() + 1;
        catch_panic(&mut report, |_| std::panic::panic_any(PanicsOnDrop));
        assert_eq!(report.decision, Decision::Deny(Refusal::Internal));
        let place = format!("{}:{line}", file!());
        assert!(report.cause.contains(&place), "{}", report.cause);
    }
}
