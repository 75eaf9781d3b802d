//! `ivaltctl check`: the doctor.

use std::path::Path;

mod stacks;

use super::command_line::Check;
use super::{Exit, Refused};

/// Looks at everything, and says what is wrong.
pub fn run(_check: &Check, _config: &Path) -> Result<Exit, Refused> {
    Err(Refused("not in this version".into()))
}
