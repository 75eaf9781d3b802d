//! ivaltctl as an administrator calls it: the real program, its words, its exit status.

#[path = "../support/mod.rs"]
mod support;

mod api;
mod command_line;
mod tool;
mod users;
mod users_writing;
mod verify;
