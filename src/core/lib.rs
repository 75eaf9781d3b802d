//! What the PAM module and `ivaltctl` share: from settings, users and a typed token to one decision and its log line.
//! It knows nothing of PAM's numbers.
//!
//! Read it from the top; what stands lower in this table knows nothing of what stands above it:
//!
//! | module | what it does |
//! | --- | --- |
//! | [`authenticate`] | the story: from request to decision |
//! | [`log_line`] | the one log line |
//! | [`api`] | iVALT's operations; the only code that knows HTTP and JSON |
//! | [`conversation`] | how a user is asked or told, and every sentence a user sees |
//! | [`arguments`], [`settings`], [`users`] | words and files into typed values |
//! | [`plain_lines`] | what of `users.toml` need not be parsed |
//! | [`toml_events`] | TOML as a stream, without copies in errors |
//! | [`trusted_file`] | opens a file, then judges the open handle |
//! | [`problem`] | what is wrong with a file, as data |
//! | [`decision`] | the outcome and its reason, nothing else |
//! | [`secret`] | bytes that redact and wipe themselves |
//! | [`sys`] | what std has no safe word for: name look-up, threads, poll; the only `unsafe` here |
#![deny(unsafe_code)]
#![deny(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::dbg_macro,
    clippy::exit
)]
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::todo,
        clippy::unreachable
    )
)]
#![warn(missing_docs)]

pub mod api;
pub mod arguments;
pub mod authenticate;
pub mod conversation;
pub mod decision;
pub mod log_line;
pub mod plain_lines;
pub mod problem;
pub mod secret;
pub mod settings;
pub mod sys;
pub mod toml_events;
pub mod trusted_file;
pub mod users;
