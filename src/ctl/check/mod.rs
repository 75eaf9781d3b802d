//! `ivaltctl check`: the doctor.

use std::path::Path;

use super::command_line::Check;
use super::{Exit, Refused};

/// Looks at everything, and says what is wrong.
pub fn run(_check: &Check, _config: &Path) -> Result<Exit, Refused> {
    Err(Refused("not in this version".into()))
}

/// All that is wrong with this system.
pub fn findings(_root: &super::root::Root, _config: &Path) -> Vec<super::finding::Finding> {
    Vec::new()
}

/// Prints findings.
pub fn show(_findings: &[&super::finding::Finding]) {}
