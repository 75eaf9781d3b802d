//! PAM module that asks for an iVALT token and lets a person in when iVALT accepts it.
//!
//! The story is [`authenticate::authenticate`]. Around it, lower rooms know nothing of upper ones:
//!
//! | room | what it does |
//! | --- | --- |
//! | [`secret`] | bytes that redact and wipe themselves |
//! | [`decision`] | the outcome and its reason, nothing else |
//! | [`trusted_file`] | opens a file, then judges the open handle |
//! | [`toml_events`] | TOML as a stream, without copies in errors |
//! | [`plain_lines`] | what of `users.toml` need not be parsed |
//! | [`args`], [`config`], [`users`] | words and files into typed values |
//! | [`conversation`] | how a person is asked or told, and every sentence a person sees |
//! | [`ivalt`] | the only code that knows HTTP and JSON |
//! | [`audit`] | the one log line |
//! | [`authenticate`] | from request to decision |
//! | [`pam`] | the door: PAM's numbers and pointers, the heap, and the only `unsafe` |
#![deny(unsafe_code)]
#![deny(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::dbg_macro,
    clippy::exit
)]
#![cfg_attr(
    not(any(test, fuzzing)),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::todo,
        clippy::unreachable
    )
)]
#![warn(missing_docs)]

pub mod args;
pub mod audit;
pub mod authenticate;
pub mod config;
pub mod conversation;
pub mod decision;
pub mod ivalt;
pub mod pam;
pub mod plain_lines;
pub mod secret;
pub mod toml_events;
pub mod trusted_file;
pub mod users;

#[cfg(test)]
#[path = "../tests/documents.rs"]
mod documents;

#[cfg(test)]
#[path = "../tests/properties.rs"]
mod properties;

#[cfg(any(test, fuzzing))]
#[path = "../tests/fuzz/mod.rs"]
pub mod fuzz;
