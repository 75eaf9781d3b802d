//! `ivaltctl`, the administration tool of pam_ivalt: enrol, check, try, switch on and back off.
//!
//! | room | what it does |
//! | --- | --- |
//! | [`command_line`] | every word that may be typed, with its help |
//! | [`terminal`] | what is asked and said |
//! | [`root`] | the system that is looked at: this one, or one below a folder |
//! | [`pam_stack`] | the files of pam.d as libpam reads them, and what a stack decides |
//! | [`finding`] | something that is wrong, and what mends it |
//! | [`check`] | the doctor |
//! | [`users`] | users.toml, edited |
//! | [`replace`] | one file in the place of another |
//! | [`enable`] | switched on, confirmed or put back, switched off |
//! | [`verify`] | the module's own story with the terminal as conversation |
//! | [`api`] | one operation of iVALT's API, and what it said |
#![deny(unsafe_code)]

mod api;
mod check;
mod command_line;
#[cfg(test)]
mod documents;
mod enable;
mod finding;
mod pam_stack;
mod replace;
mod root;
mod terminal;
mod users;
mod verify;

use std::process::ExitCode;

use clap::Parser;

use command_line::{Command, CommandLine};
use ivalt_core::authenticate::Surroundings;
use ivalt_core::sys;
use ivalt_core::trusted_file::Trust;

/// What the shell gets to know; the numbers are INTERFACE's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Done, allowed, nothing found.
    Done = 0,
    /// Refused, nothing changed; `check`: warnings.
    Refused = 1,
    /// `check`: something lets in or locks out.
    Dangerous = 2,
    /// `verify`: ignored by policy.
    Ignored = 3,
    /// `api`: iVALT could not be asked.
    Unavailable = 4,
    /// Wrong usage (`EX_USAGE` of sysexits.h).
    Usage = 64,
}

/// Why a command did nothing: a sentence for the administrator that names what, where, and the mend.
#[derive(Debug, PartialEq, Eq)]
pub struct Refused(pub String);

impl<E: std::fmt::Display> From<E> for Refused {
    fn from(error: E) -> Self {
        Self(error.to_string())
    }
}

fn main() -> ExitCode {
    let exit = match CommandLine::try_parse() {
        Ok(line) => obey(&line).unwrap_or_else(|Refused(why)| {
            terminal::complain(&why);
            Exit::Refused
        }),
        Err(error) => usage(&error),
    };
    ExitCode::from(exit as u8)
}

/// Help and version are asked for; everything else is a mistake.
fn usage(error: &clap::Error) -> Exit {
    // Nobody may be there to read it.
    let _ = error.print();
    if error.use_stderr() {
        Exit::Usage
    } else {
        Exit::Done
    }
}

fn obey(line: &CommandLine) -> Result<Exit, Refused> {
    match &line.command {
        Command::Check(check) => check::run(check, &line.config),
        Command::Users(users) => users::run(users, &line.config),
        Command::Enable(words) => enable::enable(words, &line.config),
        Command::Confirm(_) => enable::confirm(),
        Command::Disable(words) => enable::disable(words),
        Command::Rollback { service } => enable::wait(service),
        Command::Verify(verify) => verify::run(verify, &line.config),
        Command::Api(operation) => api::run(operation, &line.config),
        Command::Completion { shell } => Ok(command_line::complete(*shell)),
    }
}

/// What the story needs of this process. The tool trusts the same files as the module would.
fn surroundings() -> Surroundings {
    let effective_uid = nix::unistd::geteuid().as_raw();
    Surroundings {
        trust: Trust { effective_uid },
        kernel: sys::lent(),
    }
}
