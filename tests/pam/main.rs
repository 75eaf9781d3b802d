//! The module as it is shipped, on the real libpam, against real TLS servers: exact codes, exact lines.

mod bodies;
mod conversation;
mod corrupt;
mod costs;
mod decisions;
mod dns;
mod expect;
mod faults;
mod handshakes;
mod isolation;
mod leaks;
mod limits;
mod load;
#[cfg(debug_assertions)]
mod memory;
mod preconnect;
mod proxies;
mod running;
mod secrets;
mod settings_files;
mod signals;
mod statuses;
mod table;
mod users_files;
