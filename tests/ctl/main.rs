//! The administration tool, as a program.

#[path = "../support/mod.rs"]
mod support;

mod check;
#[allow(dead_code)]
#[path = "../pam/server.rs"]
mod server;
