//! What the PAM module and `ivaltctl` share: from settings, users and a typed token to one decision and its log line.
//! It knows nothing of PAM's numbers.
//!
//! Read it from the top; what is lower in this table knows nothing of what is above it:
//!
//! | module | what it does |
//! | --- | --- |
//! | [`authenticate`] | one call, from its beginning to its decision: read this first |
//! | [`push`] | its steps where a login is approved on the phone, and what is known of a phone |
//! | `token` | where tokens come from, and which answers are worth sending |
//! | `denial` | the only place where errors become reasons |
//! | [`recovery`] | one-time recovery codes: what they look like, where they are kept, how one is used up |
//! | [`log_line`] | the one log line |
//! | [`report`] | what a call leaves for the log |
//! | [`api`] | iVALT's operations; the only code that knows HTTP and JSON |
//! | [`conversation`] | the application, how a user is asked or told, and every sentence a user sees |
//! | [`users`] | `users.toml`: whose mobile is whose |
//! | [`networks`] | which addresses are exempt |
//! | [`user_name`] | which user names are spellings of one |
//! | [`settings`] | `ivalt.toml`, into values that need no further checks |
//! | [`settings_text`] | a settings file as TOML: its errors name file, line and key |
//! | [`arguments`] | the words after the module's name in pam.d |
//! | [`only_after`] | whether it is a line's turn, by what sshd says has passed |
//! | [`toml_events`] | TOML as a stream, without copies in errors |
//! | [`trusted_file`] | opens a file, then judges the open handle |
//! | [`problem`] | what is wrong with a file, as data |
//! | [`decision`] | the outcome and its reason, nothing else |
//! | [`secret`] | bytes that redact and wipe themselves |
//! | [`sys`] | what std has no safe function for: name look-up, threads, poll, locks, clocks, memory, accounts; the only `unsafe` here |
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

pub mod api;
pub mod arguments;
pub mod authenticate;
pub mod conversation;
pub mod decision;
mod denial;
pub mod log_line;
pub mod networks;
pub mod only_after;
pub mod problem;
pub mod push;
pub mod recovery;
pub mod report;
pub mod secret;
pub mod settings;
pub mod settings_text;
pub mod sys;
mod token;
pub mod toml_events;
mod toml_values;
pub mod trusted_file;
pub mod user_name;
pub mod users;
