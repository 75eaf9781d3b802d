//! ivaltctl as an administrator calls it: the real program, its words, its exit status.

#[path = "../support/mod.rs"]
mod support;

mod api;
#[allow(dead_code)]
#[path = "../pam/certificates.rs"]
mod certificates;
mod check;
mod command_line;
mod finding_table;
#[allow(dead_code)]
#[path = "../man_page.rs"]
mod man_page;
#[allow(dead_code, unused_imports)]
#[path = "../pam/server.rs"]
mod server;
mod tool;
mod users;
mod users_writing;
mod verify;
