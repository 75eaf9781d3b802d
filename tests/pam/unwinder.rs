//! What a panic needs is loaded then. pam-client is written in Rust and has it from the beginning, so here the application
//! is one in C, as sshd, sudo and su are.

use std::ffi::CStr;
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Output};

use crate::costs::{application, with_dev};
use crate::isolation::compiled;
use support::codes::*;
use support::{Case, SERVICE, StandIn, TempDir, sandbox_test, skipped};

/// What came of a login, and the log.
#[derive(Debug)]
struct Login {
    output: Output,
    log: String,
}

impl Login {
    /// With the library of this C file loaded before all others, and then the one of this name.
    fn with(fault: &str, beside: &str) -> Self {
        let ivalt = StandIn::start();
        let case = Case::against(&ivalt).argument("nodelay");
        let settings = case.settings(&ivalt).set("api", "preconnect", false);
        let case = case.with_settings(&settings);
        case.write_service_file();
        let dev = TempDir::new();
        let log = UnixDatagram::bind(dev.join("log")).unwrap();
        log.set_nonblocking(true).unwrap();
        let preload = compiled(fault, &dev);
        let mut command = Command::new("env");
        command.arg(format!("LD_PRELOAD={}:{beside}", preload.display()));
        command.arg(application(&dev)).arg(case.dir().path());
        command.args([SERVICE, "alice", "accept-1", "0"]);
        let output = with_dev(&dev, command);
        assert_eq!(ivalt.requests().len(), 0);
        let mut line = [0; 4096];
        let length = log.recv(&mut line).unwrap_or(0);
        let log = String::from_utf8_lossy(&line[..length]).into_owned();
        Self { output, log }
    }

    #[track_caller]
    fn expect_denial(&self) {
        let said = String::from_utf8_lossy(&self.output.stdout);
        let (code, errors) = (said.trim_end().rsplit(' ').next(), &self.output.stderr);
        let expected = PAM_ABORT.to_string();
        assert_eq!((code, &**errors), (Some(&*expected), &[][..]), "{self:?}");
        assert!(self.log.contains(" reason=internal "), "{}", self.log);
        assert!(self.log.contains(" cause=\"panic at "), "{}", self.log);
    }
}

#[sandbox_test]
fn a_panic_in_an_application_of_c_is_a_denial() {
    Login::with("clock_fails_once", "").expect_denial();
}

/// Without an unwinder there is no denial to come back with: the process ends, as at any abort(3), and nothing is let in.
#[sandbox_test]
fn a_panic_without_an_unwinder_ends_the_application() {
    let login = Login::with("panics_without_unwinder", "");
    let (output, log) = (&login.output, &login.log);
    assert_eq!(output.status.signal(), Some(libc::SIGABRT), "{output:?}");
    assert_eq!(
        (&*output.stdout, &*output.stderr, &**log),
        (&[][..], &[][..], "")
    );
}

/// As in dovecot and Xvnc, which have libunwind for their own back traces. It has all functions of libgcc_s's, and libgcc_s
/// calls those in place of its own.
#[sandbox_test]
fn a_panic_beside_another_unwinder_is_a_denial() {
    const LIBUNWIND: &CStr = c"libunwind.so.8";
    // SAFETY: the name ends in NUL; the library stays loaded, and nothing is looked up in it.
    if unsafe { libc::dlopen(LIBUNWIND.as_ptr(), libc::RTLD_LAZY) }.is_null() {
        skipped("needs libunwind.so.8, of strace on Debian");
        return;
    }
    Login::with("clock_fails_once", LIBUNWIND.to_str().unwrap()).expect_denial();
}
