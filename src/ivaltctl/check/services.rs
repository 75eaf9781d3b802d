//! Which services ask iVALT, and by which lines.

use std::path::PathBuf;

use super::stacks;
use crate::pam_d::{self, Kind};
use crate::root::Root;
use ivalt_core::arguments::DEFAULT_CONFIG;

/// An `auth` line of a service that names our module.
#[derive(Clone, Debug)]
pub struct ModuleLine {
    /// The service that comes to it, perhaps by an include.
    pub service: String,
    /// Where it stands.
    pub file: PathBuf,
    /// From 1.
    pub line: usize,
    /// `pam_ivalt.so`, or an absolute path.
    pub module: String,
    /// The words behind.
    pub arguments: Vec<String>,
}

impl ModuleLine {
    /// The settings it reads.
    pub fn config(&self) -> PathBuf {
        let named = self.arguments.iter().rev();
        let mut named = named.filter_map(|word| word.strip_prefix("config="));
        named.next().unwrap_or(DEFAULT_CONFIG).into()
    }
}

/// The services of the system that ask iVALT.
pub fn services_with_ivalt(root: &Root) -> Vec<String> {
    let mut services: Vec<_> = lines_with_ivalt(root)
        .into_iter()
        .map(|line| line.service)
        .collect();
    services.sort();
    services.dedup();
    services
}

/// Every line of every service that names our module; a service that has no `auth` lines of its own has `other`'s.
pub fn lines_with_ivalt(root: &Root) -> Vec<ModuleLine> {
    let services = stacks::names(root).into_iter();
    services.flat_map(|name| lines_of(root, &name)).collect()
}

fn lines_of(root: &Root, name: &str) -> Vec<ModuleLine> {
    // What libpam cannot use at all is told by the examiner of stacks.
    let service = pam_d::read(root, name).ok();
    let service = service.filter(|service| service.has(Kind::Auth) || name == pam_d::OTHER);
    let Some(service) = service else {
        return Vec::new();
    };
    let steps = service.stack(Kind::Auth);
    let lines = stacks::ours(steps).map(|(at, module)| ModuleLine {
        service: name.to_owned(),
        file: steps[at].place.file.clone(),
        line: steps[at].place.line,
        module: module.path.clone(),
        arguments: module.arguments.clone(),
    });
    lines.collect()
}
