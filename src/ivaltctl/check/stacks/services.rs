//! What concerns more than one stack: which services there are, and which of them go together.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::super::super::finding::{Finding, Severity};
use super::super::super::pam_d::{self, Ambiguity, Kind, Place, Service, Unusable, Why};
use super::super::super::root::Root;
use super::{Diagnosis, ours};

/// The services with a file. Editors and package managers leave copies beside them, which are none.
pub fn names(root: &Root) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for folder in pam_d::FOLDERS.map(Path::new) {
        for entry in std::fs::read_dir(root.real(folder))
            .into_iter()
            .flatten()
            .flatten()
        {
            let name = entry.file_name().to_string_lossy().into_owned();
            // authselect's files are absolute links, which only the root can follow.
            if is_service(&name) && root.read(&folder.join(&name)).is_ok() {
                names.insert(name);
            }
        }
    }
    names
}

fn is_service(name: &str) -> bool {
    let copies = [
        ".bak", ".orig", ".old", ".rpmnew", ".rpmsave", ".rpmorig", ".pacnew", ".pacsave", ".swp",
    ];
    let copy = copies.iter().any(|end| name.ends_with(end))
        || name.contains(".dpkg-")
        || name.contains(".ucf-");
    // libpam asks for services by lower-case names.
    !(copy
        || name.starts_with('.')
        || name.ends_with('~')
        || name.bytes().any(|byte| byte.is_ascii_uppercase()))
}

/// Lines of ours that more services include than anybody thinks of.
pub fn shared(root: &Root, names: &BTreeSet<String>) -> Vec<Finding> {
    let mut users: BTreeMap<Place, Vec<&str>> = BTreeMap::new();
    for name in names {
        let Ok(service) = pam_d::read(root, name) else {
            continue;
        };
        if !(service.has(Kind::Auth) || name == pam_d::OTHER) {
            continue;
        }
        let steps = service.stack(Kind::Auth);
        let places: BTreeSet<_> = ours(steps)
            .map(|(at, _)| (&steps[at].place, steps[at].way.is_empty()))
            .collect();
        for (place, _) in places.into_iter().filter(|(_, own)| !own) {
            users.entry(place.clone()).or_default().push(name);
        }
    }
    // One more name for the same program, such as su-l, is nothing to warn of.
    let many = users.into_iter().filter(|(_, names)| names.len() > 1);
    many.map(|(place, names)| Finding {
        severity: Severity::Warning,
        id: "shared-file",
        what: format!("pam_ivalt covers every service that includes this file, with those that have no network or nobody to ask (polkit, desktops): {}", names.join(", ")),
        fix: "move the line to the file of each service that is meant, below the include".to_owned(),
        file: Some(place.file),
        line: Some(place.line),
    }).collect()
}

/// Names under which one program asks, by how it is called.
const TWINS: [(&str, &str, &str); 2] = [("su", "su-l", "su -"), ("sudo", "sudo-i", "sudo -i")];

/// A service is covered, and its twin is not.
pub fn twin(root: &Root, service: &str) -> Option<Diagnosis> {
    let (twin, how) = TWINS.iter().find_map(|(one, other, how)| match service {
        _ if service == *one => Some((
            *other,
            format!("{how} asks as {other}, which has no pam_ivalt"),
        )),
        _ if service == *other => Some((
            *one,
            format!("only {how} asks as {other}; {one} has no pam_ivalt"),
        )),
        _ => None,
    })?;
    let file = pam_d::file_of(root, twin)?;
    let read = pam_d::read(root, twin).ok()?;
    if ours(read.stack(Kind::Auth)).next().is_some() {
        return None;
    }
    Some(said(
        "twin-not-covered",
        Severity::Warning,
        Some(file.clone()),
        None,
        format!("service {service}: {how}: no token is needed there"),
        format!("add pam_ivalt's line to {} too", file.display()),
    ))
}

/// Ours stands in for whatever has no file.
pub fn in_other(service: &str, read: &Service) -> Option<Diagnosis> {
    if service != pam_d::OTHER {
        return None;
    }
    let steps = read.stack(Kind::Auth);
    let (at, _) = ours(steps).next()?;
    let place = steps[at].place.clone();
    Some(said(
        "in-other",
        Severity::Warning,
        Some(place.file),
        Some(place.line),
        "pam_ivalt covers every service that has no file of its own".to_owned(),
        "move the line to the file of each service that is meant".to_owned(),
    ))
}

/// Lines that another version of libpam reads otherwise.
pub fn doubts(service: &str, read: &Service) -> Vec<Diagnosis> {
    let words = |what| match what {
        Ambiguity::CutContinuation => (
            "a comment or an empty line follows a backslash: libpam before 1.6 skips it, later ones end the line there",
            "write the line in one",
        ),
        Ambiguity::LongLine => (
            "libpam before 1.6 takes what is beyond 1022 bytes for a line of its own, and denies",
            "shorten the line",
        ),
    };
    let one = |doubt: &pam_d::Doubt| {
        let (what, fix) = words(doubt.what);
        said(
            "ambiguous-line",
            Severity::Warning,
            Some(doubt.place.file.clone()),
            Some(doubt.place.line),
            format!("service {service}: {what}"),
            fix.to_owned(),
        )
    };
    read.doubts.iter().map(one).collect()
}

/// libpam gives up on the service.
pub fn unusable(root: &Root, service: &str, unusable: &Unusable) -> Vec<Diagnosis> {
    let file = pam_d::file_of(root, service);
    let mentions = |path: &PathBuf| root.read(path).is_ok_and(|text| text.contains("pam_ivalt"));
    if !file.iter().chain([&unusable.place.file]).any(mentions) {
        return Vec::new();
    }
    let (what, fix) = given_up(&unusable.why);
    let what = format!("service {service}: {what}; every call of libpam ends with PAM_ABORT");
    let Place { file, line } = unusable.place.clone();
    let (id, fix) = ("unusable-service", fix.to_owned());
    vec![said(
        id,
        Severity::LocksOut,
        Some(file),
        Some(line),
        what,
        fix,
    )]
}

fn given_up(why: &Why) -> (String, &'static str) {
    match why {
        Why::Unfinished => (
            "the last line ends with a backslash".into(),
            "take the backslash out",
        ),
        Why::NoFile(name) => (
            format!("there is no file {} to include", name.escape_debug()),
            "create that file, or name one that is there",
        ),
        Why::NoName => (
            "the line includes a file without naming it".into(),
            "name the file, or remove the line: Debian's libpam takes the program down with it",
        ),
        Why::NoModuleName(path) => (
            format!("{} names no module", path.escape_debug()),
            "correct the name of the module",
        ),
        Why::TooDeep(name) => (
            format!("{} includes itself", name.escape_debug()),
            "remove this line: before version 1.6 libpam takes the program down with it",
        ),
    }
}

fn said(
    id: &'static str,
    severity: Severity,
    file: Option<PathBuf>,
    line: Option<usize>,
    what: String,
    fix: String,
) -> Diagnosis {
    let finding = Finding {
        severity,
        id,
        file,
        line,
        what,
        fix,
    };
    Diagnosis {
        finding,
        proof: None,
    }
}
