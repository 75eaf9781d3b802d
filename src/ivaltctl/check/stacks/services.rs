//! What concerns more than one stack: which services share a line, and which of them go together.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use super::Message;
use crate::finding::{Acceptance, Finding, Severity};
use crate::pam_stack::{
    self, ALIAS_SERVICES, Ambiguity, AmbiguityKind, LoadError, LoadErrorKind, Location, RuleType,
    Service, ivalt_rules,
};
use crate::root::Root;
use crate::sources::Sources;

/// pam_ivalt lines in a file that several services include.
pub fn shared(root: &Root, names: &BTreeSet<String>) -> Vec<Finding> {
    let mut users: BTreeMap<Location, (BTreeSet<&str>, Sources)> = BTreeMap::new();
    for name in names {
        let (service, sources) = root.recorded(|| pam_stack::read(root, name));
        let Ok(service) = service else {
            continue;
        };
        let rules = service.own(RuleType::Auth);
        let ivalt = ivalt_rules(rules).map(|(at, _)| &rules[at]);
        for rule in ivalt.filter(|rule| !rule.included_by.is_empty()) {
            let known = users.entry(rule.location.clone()).or_default();
            known.0.insert(name);
            known.1.extend(&sources);
        }
    }
    // An alias of the same program, such as su-l, needs no warning.
    let many = users.into_iter().filter(|(_, (names, _))| names.len() > 1);
    many.map(|(location, (names, sources))| {
        shared_file(location, &Vec::from_iter(names).join(", "), sources)
    })
    .collect()
}

fn shared_file(location: Location, names: &str, sources: Sources) -> Finding {
    Finding {
        severity: Severity::Warning,
        id: "shared-file",
        what: format!(
            "pam_ivalt covers every service that includes this file, also those without a network or a user to ask \
             (polkit, desktops): {names}"
        ),
        fix: "move the line to the file of each service that is meant, below the include"
            .to_owned(),
        file: Some(location.file),
        line: Some(location.line),
        acceptance: Acceptance {
            sources,
            ..Acceptance::default()
        },
    }
}

/// What concerns a service that has pam_ivalt as a whole.
pub fn findings(root: &Root, service: &str, read: &Service) -> Vec<Finding> {
    let mut found: Vec<_> = ambiguities(service, read).collect();
    found.extend(alias(root, service));
    found.extend(in_other(service, read));
    found
}

/// A service is covered, and its alias is not.
fn alias(root: &Root, service: &str) -> Option<Finding> {
    let (alias, how) = ALIAS_SERVICES.iter().find_map(|(one, other, command)| {
        let of_command = format!("{command} calls PAM as {other}, which has no pam_ivalt");
        let of_program = format!("only {command} calls PAM as {other}; {one} has no pam_ivalt");
        match service {
            _ if service == *one => Some((*other, of_command)),
            _ if service == *other => Some((*one, of_program)),
            _ => None,
        }
    })?;
    let file = pam_stack::service_file(root, alias)?;
    let read = pam_stack::read(root, alias).ok()?;
    if ivalt_rules(read.stack(RuleType::Auth)).next().is_some() {
        return None;
    }
    let message = Message::new(
        "twin-not-covered",
        format!("service {service}: {how}: no token is needed there"),
        format!("add pam_ivalt's line to {} too", file.display()),
    );
    Some(message.about(Severity::Warning, file, None))
}

/// A line of `other` covers whatever has no file.
fn in_other(service: &str, read: &Service) -> Option<Finding> {
    if service != pam_stack::OTHER {
        return None;
    }
    let rules = read.own(RuleType::Auth);
    let (at, _) = ivalt_rules(rules).next()?;
    let message = Message::new(
        "in-other",
        "pam_ivalt covers every service that has no file of its own",
        "move the line to the file of each service that is meant",
    );
    Some(message.at(Severity::Warning, &rules[at].location))
}

/// Lines that another version of libpam reads differently.
fn ambiguities<'a>(service: &'a str, read: &'a Service) -> impl Iterator<Item = Finding> + 'a {
    read.ambiguities.iter().map(move |Ambiguity { location, kind }| {
        let (what, fix) = match kind {
            AmbiguityKind::InterruptedLine => (
                "a comment or an empty line follows a backslash: libpam before 1.6 skips it, later ones end the line there",
                "write it as one line",
            ),
            AmbiguityKind::LongLine => (
                "libpam before 1.6 takes what is beyond 1022 bytes for a line of its own, and denies",
                "shorten the line",
            ),
        };
        let message = Message::new("ambiguous-line", format!("service {service}: {what}"), fix);
        message.at(Severity::Warning, location)
    })
}

/// The id of what is too much to follow.
pub const NOT_UNDERSTOOD: &str = "stack-not-understood";

/// A stack that nobody has followed to its end may let in.
pub fn not_understood(what: String) -> Message {
    Message::new(
        NOT_UNDERSTOOD,
        format!("{what}: it was not checked, and may let anybody in"),
        "make it shorter: include each file once, and no file in itself",
    )
}

/// libpam gives up on the service.
pub fn unusable(root: &Root, service: &str, error: &LoadError) -> Option<Finding> {
    if error.kind == LoadErrorKind::TooLarge {
        let message = not_understood(format!("service {service}: {}", error.kind.what()));
        return Some(message.at(Severity::LetsIn, &error.location));
    }
    let file = pam_stack::service_file(root, service);
    let mentions = |path: &PathBuf| root.read(path).is_ok_and(|text| text.contains("pam_ivalt"));
    if !file.iter().chain([&error.location.file]).any(mentions) {
        return None;
    }
    let message = Message::new(
        "unusable-service",
        format!(
            "service {service}: {}; every call of libpam ends with PAM_ABORT",
            error.kind.what()
        ),
        error.kind.fix(),
    );
    let found = message.at(Severity::LocksOut, &error.location);
    Some(found.not_acceptable())
}
