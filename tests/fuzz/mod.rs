//! What an attacker or a typo can feed the module, each target a function over bytes that panics when a promise is
//! broken. libFuzzer calls them (`scripts/fuzz`), and the unit tests with every input that once was a finding.
// No part of the module, so what must not happen in somebody else's process may happen here.
#![allow(clippy::disallowed_methods, clippy::print_stderr)]

pub mod answer;
pub mod application;
pub mod arguments;
pub mod conversation;
pub mod items;
pub mod play;
mod promises;
pub mod settings;
pub mod users;

#[path = "../support/log_line.rs"]
#[allow(dead_code)]
pub(crate) mod log_line;

// The application's side of libpam, shared with pam-client.
#[path = "../pam_client/dev_log.rs"]
#[allow(dead_code, unsafe_code)]
mod dev_log;
#[path = "../pam_client/disguise.rs"]
mod disguise;
#[path = "../pam_client/libpam.rs"]
#[allow(dead_code, unsafe_code)]
mod libpam;
#[path = "../pam_client/report.rs"]
#[allow(dead_code)]
mod report;
#[path = "../pam_client/script.rs"]
#[allow(dead_code)]
mod script;
#[path = "../pam_client/stage.rs"]
#[allow(dead_code, unsafe_code)]
mod stage;

#[cfg(test)]
mod replay;

/// Whether `part` stands somewhere in `whole`.
fn contains(whole: &[u8], part: &[u8]) -> bool {
    !part.is_empty() && whole.windows(part.len()).any(|window| window == part)
}
