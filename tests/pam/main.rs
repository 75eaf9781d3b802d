//! The module as it is shipped, on the real libpam, against real TLS servers: exact codes, exact lines.

mod bodies;
mod conversation;
mod corrupt;
mod costs;
mod decisions;
mod dns;
mod documents;
mod early_answers;
mod entry_points;
mod expect;
mod face;
mod faults;
mod first_pass;
mod foreign_text;
mod handshakes;
mod isolation;
mod leaks;
mod limits;
mod load;
mod log_fields;
#[cfg(debug_assertions)]
mod memory;
mod preconnect;
mod prompts;
mod proxies;
mod requests;
mod running;
mod secrets;
mod settings_files;
mod signals;
mod slow_answers;
mod statuses;
mod table;
mod token_rules;
mod user_names;
mod users_files;
