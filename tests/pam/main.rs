//! The module as it is shipped, on the real libpam, against real TLS servers: exact codes, exact lines.

#[path = "../support/mod.rs"]
mod support;

mod bodies;
mod certificates;
mod decisions;
mod expect;
mod faults;
mod handshakes;
mod hosts;
mod names;
mod proxies;
mod secrets;
mod server;
mod settings_files;
mod spoil;
mod statuses;
mod table;
mod users_files;
