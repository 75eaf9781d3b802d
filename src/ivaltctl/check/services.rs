//! Which services ask iVALT, and by which lines.

use std::collections::BTreeSet;
use std::path::PathBuf;

use super::context::RUN_AS_ROOT;
use super::{desktop, hosts};
use crate::pam_stack::{self, FOLDERS, RuleType, Service, ivalt_rules};
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
    let names = pam_stack::service_names(root).into_iter();
    // A service that libpam cannot use at all is a finding of `stacks`.
    let read = names.filter_map(|name| Some((pam_stack::read(root, &name).ok()?, name)));
    let read: Vec<_> = read.collect();
    let included = read
        .iter()
        .flat_map(|(service, name)| included_by(service, name));
    let included: BTreeSet<_> = included.collect();
    let is_service = |name: &str| {
        let is_include = included.contains(name) && !is_asked_for(name);
        !is_include && !pam_stack::is_include_file(name)
    };
    let services = read.iter().filter(|(_, name)| is_service(name));
    services
        .flat_map(|(service, name)| lines_of(service, name))
        .collect()
}

/// Services that programs ask for, and that others include.
fn is_asked_for(name: &str) -> bool {
    const INCLUDED: [&str; 7] = [
        pam_stack::OTHER,
        "remote",
        "runuser",
        "passwd",
        "gdm",
        "cron",
        "crond",
    ];
    let known = RUN_AS_ROOT.contains(&name) || INCLUDED.contains(&name);
    known || desktop::is_known(name) || hosts::is_known(name)
}

/// The files of pam.d that a service includes, itself left out.
fn included_by<'a>(service: &'a Service, name: &str) -> BTreeSet<&'a str> {
    let rules = RuleType::ALL
        .into_iter()
        .flat_map(|rule_type| service.own(rule_type));
    let includes = rules.flat_map(|rule| &rule.included_by);
    let names: BTreeSet<_> = includes.map(|include| include.name.as_str()).collect();
    let files = names.into_iter().filter_map(file_of_pam_d);
    files.filter(|file| *file != name).collect()
}

/// The name of a file of pam.d, which an include may give with its folder.
fn file_of_pam_d(include: &str) -> Option<&str> {
    match include.rsplit_once('/') {
        Some((folder, file)) => FOLDERS.contains(&folder).then_some(file),
        None => Some(include),
    }
}

fn lines_of(service: &Service, name: &str) -> Vec<ModuleLine> {
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
