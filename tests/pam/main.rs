//! The module as it is shipped, on the real libpam, against real TLS servers: exact codes, exact lines.

#[path = "../support/mod.rs"]
mod support;

mod counts;
mod decisions;
mod expect;
mod faults;
mod hosts;
mod names;
mod secrets;
mod server;
mod settings_files;
mod spoil;
mod users_files;
