//! ivaltctl as an administrator calls it: the real program, its words, its exit status.

mod api;
mod audit;
mod boundary;
mod check;
mod command_line;
mod enable;
mod push;
mod recovery;
mod tool;
mod users;
mod verify;
