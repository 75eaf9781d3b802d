//! The module as it is shipped, on the real libpam, against real TLS servers: exact codes, exact lines.

mod ahead;
mod bodies;
mod counts;
mod decisions;
mod expect;
mod faults;
mod handshakes;
mod hosts;
mod limits;
mod load;
#[cfg(debug_assertions)]
mod memory;
mod names;
mod person;
mod proxies;
mod remnants;
mod running;
mod secrets;
mod settings_files;
mod signals;
mod spoil;
mod statuses;
mod table;
mod users_files;
