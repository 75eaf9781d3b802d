//! `ivaltctl users`: users.toml, edited.

use std::path::Path;

use super::command_line::Users;
use super::{Exit, Refused};

/// Obeys one of the subcommands.
pub fn run(_users: &Users, _config: &Path) -> Result<Exit, Refused> {
    Err(Refused("not in this version".into()))
}
