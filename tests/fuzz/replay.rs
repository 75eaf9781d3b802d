//! Every input that once was a finding, and every seed, through the function that libFuzzer calls.

use std::ffi::CString;
use std::fs;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, PoisonError};

use targets::{
    answer, application, arguments, conversation, items, ldif, recovery, settings, users,
};

#[path = "mod.rs"]
mod targets;

#[path = "mutations.rs"]
mod mutations;

#[test]
fn answer_replayed() {
    replay("answer", answer::run);
}

#[test]
fn settings_replayed() {
    replay("settings", settings::run);
}

#[test]
fn recovery_replayed() {
    replay("recovery", recovery::run);
}

#[test]
fn users_replayed() {
    replay("users", users::run);
}

#[test]
fn ldif_replayed() {
    replay("ldif", ldif::run);
}

#[test]
fn arguments_replayed() {
    replay_in_sandbox("arguments", arguments::run);
}

#[test]
fn conversation_replayed() {
    replay_in_sandbox("conversation", conversation::run);
}

#[test]
fn items_replayed() {
    replay_in_sandbox("items", items::run);
}

/// A thread of its own: the sandbox that it enters ends with it, and the other tests do not notice.
fn replay_in_sandbox(target: &'static str, run: fn(&[u8])) {
    // syslog(3), with which libpam speaks, is the whole process's.
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let thread = std::thread::spawn(move || {
        if let Err(reason) = application::enter_sandbox(module()) {
            // Past libtest, which hides what a passing test prints.
            let _ = writeln!(std::io::stderr(), "SKIPPED {target}_replayed: {reason}");
            return;
        }
        replay(target, run);
        assert!(application::calls() > 1, "no input of {target} gets there");
    });
    thread
        .join()
        .unwrap_or_else(|_| panic!("{target}: see above"));
}

/// The entry point of the module as it is shipped.
fn module() -> application::Module {
    let path = CString::new(support::module_path().as_os_str().as_bytes()).unwrap();
    // SAFETY: the path is NUL-terminated; what is loaded stays loaded (NODELETE), and the function's type is PAM's.
    unsafe {
        let handle = libc::dlopen(path.as_ptr(), libc::RTLD_NOW);
        assert!(!handle.is_null(), "{path:?}");
        let function = libc::dlsym(handle, c"pam_sm_authenticate".as_ptr());
        assert!(!function.is_null(), "pam_sm_authenticate");
        std::mem::transmute::<*mut libc::c_void, application::Module>(function)
    }
}

fn replay(target: &str, run: fn(&[u8])) {
    let (mut replayed, mut failed) = (0, 0);
    for kind in ["seeds", "regressions"] {
        let folder = support::checkout()
            .join("tests/fuzz")
            .join(kind)
            .join(target);
        let inputs = fs::read_dir(&folder).into_iter().flatten();
        for path in inputs.map(|entry| entry.unwrap().path()) {
            let input = fs::read(&path).unwrap();
            replayed += 1;
            if let Err(payload) = catch_unwind(AssertUnwindSafe(|| run(&input))) {
                let words = payload.downcast_ref::<String>().map(String::as_str);
                let words = words.or(payload.downcast_ref::<&str>().copied());
                // The hook may be the module's own, which says nothing.
                eprintln!("{}: {}", path.display(), words.unwrap_or("a panic"));
                failed += 1;
            }
        }
    }
    assert_eq!(failed, 0, "inputs of {target} that fail");
    assert!(replayed > 0, "no inputs of {target}");
}
