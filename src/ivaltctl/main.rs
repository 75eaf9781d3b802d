//! `ivaltctl`, the administration tool of pam_ivalt: enrol users, check the system, try a token, enable and disable
//! services.
//!
//! | module | what it does |
//! | --- | --- |
//! | [`command_line`] | commands and options, with their help |
//! | [`terminal`] | prompts and output |
//! | [`root`] | every file of the system that is checked: this one, or one below a folder |
//! | [`pam_stack`] | reads pam.d as libpam does, and tells what a stack decides |
//! | [`sources`] | which files something was derived from |
//! | [`finding`] | something that is wrong, and how to fix it |
//! | [`check`] | all checks of `ivaltctl check` |
//! | [`users`] | edits users.toml |
//! | [`recovery`] | makes, lists and revokes one-time recovery codes |
//! | [`caller`] | who called the tool |
//! | [`audit`] | the line in the system log for what a command changed |
//! | [`output`] | what a command that changes something prints, as lines or as one JSON object |
//! | [`lock`] | one ivaltctl at a time changes something |
//! | [`folder`] | changes files in an open folder, atomically |
//! | [`system_error`] | errors of the system: where, why and the remedy |
//! | [`enable`] | enables a service, with automatic rollback; confirms and disables |
//! | [`utc`] | times as RFC 3339 writes them |
//! | [`verify`] | authenticates as the module does, with the terminal as conversation |
//! | [`api`] | sends one operation of iVALT's API and shows the answer |
//! | [`push`] | ends what holds requests to a phone back |
#![deny(unsafe_code)]
#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

mod api;
mod audit;
mod caller;
mod check;
mod command_line;
#[cfg(test)]
mod documents;
mod enable;
mod finding;
mod folder;
mod lock;
mod output;
mod pam_stack;
mod push;
mod recovery;
mod root;
mod sources;
mod sshd_config;
mod sshd_listener;
mod sshd_program;
mod system_error;
mod terminal;
mod users;
mod utc;
mod verify;

use std::process::ExitCode;

use clap::Parser;

use command_line::{Command, CommandLine};
use ivalt_core::problem::Problem;
use ivalt_core::trusted_file::Trust;

/// The exit status; the numbers are those of ivaltctl(8).
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

/// Why a command did nothing: a sentence for the administrator that says what, where, and the fix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused(pub String);

/// From nothing else: an error of the system alone says neither what nor where, see [`system_error`].
impl From<Problem> for Refused {
    fn from(problem: Problem) -> Self {
        Self(problem.to_string())
    }
}

fn main() -> ExitCode {
    let exit = match CommandLine::try_parse() {
        Ok(line) => run(&line).unwrap_or_else(|Refused(why)| {
            terminal::print_error(why);
            Exit::Refused
        }),
        Err(error) => usage(&error),
    };
    ExitCode::from(exit as u8)
}

/// Help and version were asked for; everything else is wrong usage.
fn usage(error: &clap::Error) -> Exit {
    // The reader may have gone away.
    let _ = error.print();
    if error.use_stderr() {
        Exit::Usage
    } else {
        Exit::Done
    }
}

fn run(line: &CommandLine) -> Result<Exit, Refused> {
    match &line.command {
        Command::Check(args) => check::run(args, &line.config),
        Command::Users(args) => Ok(users::run(args, &line.config)),
        Command::Recovery(args) => Ok(recovery::run(args, &line.config)),
        Command::Enable(args) => Ok(enable::enable(args, &line.config)),
        Command::Confirm(args) => Ok(enable::confirm(args, &line.config)),
        Command::Disable(args) => Ok(enable::disable(args)),
        Command::Rollback { service } => enable::rollback(service.as_deref()),
        Command::Verify(args) => verify::run(args, &line.config),
        Command::Api(args) => api::run(args, &line.config),
        Command::Push(args) => Ok(push::run(args, &line.config)),
        Command::Completion { shell } => Ok(command_line::complete(*shell)),
    }
}

/// The tool trusts the same files as the module would.
fn trust() -> Trust {
    Trust {
        effective_uid: nix::unistd::geteuid().as_raw(),
    }
}
