//! Which services ask iVALT, and by which lines.

use std::path::PathBuf;

use crate::pam_stack::{self, RuleType, ivalt_rules};
use crate::root::Root;
use ivalt_core::arguments::DEFAULT_CONFIG;

/// An `auth` line of a service that names the module.
#[derive(Clone, Debug)]
pub struct ModuleLine {
    /// The service that has it, perhaps by an include.
    pub service: String,
    pub file: PathBuf,
    /// From 1.
    pub line: usize,
    /// `pam_ivalt.so`, or an absolute path.
    pub module: String,
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

/// Every line of every service that names the module; a service that has no `auth` lines of its own has `other`'s.
pub fn lines_with_ivalt(root: &Root) -> Vec<ModuleLine> {
    let services = pam_stack::service_names(root).into_iter();
    services.flat_map(|name| lines_of(root, &name)).collect()
}

fn lines_of(root: &Root, name: &str) -> Vec<ModuleLine> {
    // A service that libpam cannot use at all is a finding of `stacks`.
    let Ok(service) = pam_stack::read(root, name) else {
        return Vec::new();
    };
    let rules = service.own(RuleType::Auth);
    let lines = ivalt_rules(rules).map(|(at, module)| ModuleLine {
        service: name.to_owned(),
        file: rules[at].location.file.clone(),
        line: rules[at].location.line,
        module: module.path.clone(),
        arguments: module.arguments.clone(),
    });
    lines.collect()
}
