//! A PAM application for tests: the real libpam, a scripted user, a `/dev` of its own, and a report of everything
//! that can be seen from outside the module.
//!
//! `pam-client --script FILE --report FILE`
//!
//! [`script`] says what goes in, [`report`] what comes out. Its own stdout and stderr stay empty unless the module
//! writes there, or this program itself fails: then it ends with status 2 and no report.

mod child;
mod facts;
mod leaks;
mod process_setup;
mod process_snapshot;
mod soak;
mod transaction;
mod user;

use std::error::Error;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use support::report::Report;
use support::sandbox;
use support::script::Script;
use transaction::Application;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("pam-client: {error}");
            ExitCode::from(2)
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let (script, report) = arguments()?;
    let script: Script = serde_json::from_slice(&fs::read(script)?)?;
    // Opened before user ids change and files are bound over others.
    let report = fs::File::create(report)?;
    serde_json::to_writer(&report, &perform(&script)?)?;
    Ok(())
}

fn arguments() -> Result<(PathBuf, PathBuf), &'static str> {
    let words: Vec<_> = std::env::args_os().skip(1).collect();
    match words.as_slice() {
        [a, script, b, report] if a == "--script" && b == "--report" => {
            Ok((script.into(), report.into()))
        }
        _ => Err("usage: pam-client --script FILE --report FILE"),
    }
}

fn perform(script: &Script) -> io::Result<Report> {
    let mut report = Report {
        pid: std::process::id(),
        ..Report::default()
    };
    if let Err(reason) = sandbox::build(script)? {
        report.skip = Some(reason);
        return Ok(report);
    }
    if let Some(soak) = &script.soak {
        report.soak = Some(soak::run(script, soak)?);
        return Ok(report);
    }
    let mut application = Application::new(script)?;
    for number in 0..script.transactions.max(1) {
        report.calls.extend(application.transaction(number)?);
    }
    report.signals = process_setup::taken(script);
    Ok(report)
}
