//! The administration tool of pam_ivalt.
//!
//! It shares the module's rooms below `ctl` by their files, not by a library: beside an rlib, rustc would leave
//! link-time optimisation out of the module (see Cargo.toml).
#![deny(unsafe_code)]

#[allow(dead_code)]
#[path = "../args.rs"]
mod args;
#[allow(dead_code)]
#[path = "../audit/mod.rs"]
mod audit;
#[allow(dead_code)]
#[path = "../authenticate.rs"]
mod authenticate;
#[allow(dead_code)]
#[path = "../config.rs"]
mod config;
#[allow(dead_code)]
#[path = "../conversation.rs"]
mod conversation;
#[path = "../ctl/mod.rs"]
mod ctl;
#[allow(dead_code)]
#[path = "../decision.rs"]
mod decision;
#[cfg(test)]
#[path = "../../tests/ctl/finding_table.rs"]
mod finding_table;
#[allow(dead_code, unused_imports)]
#[path = "../ivalt/mod.rs"]
mod ivalt;
#[allow(unsafe_code)]
#[path = "../pam/kernel.rs"]
mod kernel;
#[allow(unsafe_code)]
#[path = "../pam/look_up.rs"]
mod look_up;
#[cfg(test)]
#[allow(dead_code)]
#[path = "../../tests/man_page.rs"]
mod man_page;
#[path = "../plain_lines.rs"]
mod plain_lines;
#[allow(dead_code)]
#[path = "../secret.rs"]
mod secret;
#[cfg(test)]
#[allow(unsafe_code)]
#[path = "../../tests/support/mod.rs"]
mod support;
#[allow(dead_code)]
#[path = "../toml_events.rs"]
mod toml_events;
#[allow(dead_code)]
#[path = "../trusted_file.rs"]
mod trusted_file;
#[allow(dead_code)]
#[path = "../users.rs"]
mod users;

fn main() -> std::process::ExitCode {
    ctl::run(std::env::args_os())
}
