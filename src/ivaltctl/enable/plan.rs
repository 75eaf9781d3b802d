//! Which files `enable` changes, and into what.

use std::fs;
use std::path::{Path, PathBuf};

use super::read;
use super::saved_state::{Change, Content};
use crate::Refused;
use crate::check::services_with_ivalt;
use crate::pam_stack::{self, ALIAS_SERVICES, FOLDERS, Include, ModuleKind, RuleType, Service};
use crate::root::Root;

/// Read before all others: sshd takes the first value it finds.
const DROP_IN: &str = "/etc/ssh/sshd_config.d/00-ivalt.conf";
const HEADER: &str = "# By `ivaltctl enable`; `ivaltctl disable` puts the file back as it was.";
const PAM_LINE: &str = "auth    required    pam_ivalt.so";
/// sshd names in SSH_AUTH_INFO_0 what it has checked already; after a key, the password is skipped.
const UNLESS_KEY: &str = "auth    [success=1 default=ignore]    pam_exec.so quiet /bin/sh -c [case $SSH_AUTH_INFO_0 in publickey*) exit 0;; esac; exit 1]";

/// The changes that enable iVALT for a service, and for its alias where it has one.
///
/// # Errors
/// The service does not exist, has iVALT already, or no known module in it asks for a password.
pub fn changes(root: &Root, service: &str) -> Result<Vec<Change>, Refused> {
    let mut changes = Vec::new();
    if service == "sshd" {
        changes.push(drop_in(root)?);
    }
    changes.push(pam_service(root, service)?);
    let aliases = ALIAS_SERVICES.iter().filter(|(name, ..)| *name == service);
    for (_, alias, _) in aliases {
        let exists = pam_stack::service_file(root, alias).is_some();
        if exists && !is_covered(&after(root, &changes), alias) {
            changes.push(pam_service(root, alias)?);
        }
    }
    Ok(changes)
}

/// The system as it would be.
pub fn after(root: &Root, changes: &[Change]) -> Root {
    changes.iter().fold(root.clone(), |root, change| {
        let text = String::from_utf8_lossy(&change.after.0).into_owned();
        root.with(&change.path, text)
    })
}

fn is_covered(root: &Root, service: &str) -> bool {
    services_with_ivalt(root).iter().any(|name| name == service)
}

/// A file in /etc/pam.d overrides the one of a package's folder.
fn pam_service(root: &Root, name: &str) -> Result<Change, Refused> {
    let path = Path::new(pam_stack::PAM_D).join(name);
    refuse_link(root, &path)?;
    let origin = pam_stack::service_file(root, name).ok_or_else(|| {
        let folders = FOLDERS.join(", ");
        Refused(format!(
            "{name}: there is no such service; services are the files in {folders}"
        ))
    })?;
    let service = pam_stack::read(root, name).map_err(|error| {
        let (file, line) = (error.location.file.display(), error.location.line);
        let (what, fix) = (error.kind.what(), error.kind.fix());
        Refused(format!("{file}:{line}: {what}; {fix}"))
    })?;
    refuse_covered(name, &service)?;
    let bytes = root.read_bytes(&origin)?;
    Ok(Change {
        after: Content(insert(name, &origin, &bytes, &service)?),
        before: (origin == path).then_some(Content(bytes)),
        path,
    })
}

/// The link's target may belong to other services, too, and authselect writes it anew.
fn refuse_link(root: &Root, path: &Path) -> Result<(), Refused> {
    let metadata = fs::symlink_metadata(root.real(path));
    if !metadata.is_ok_and(|metadata| metadata.is_symlink()) {
        return Ok(());
    }
    let path = path.display();
    Err(Refused(format!(
        "{path}: is a symbolic link, which `enable` does not replace; add this line manually: {PAM_LINE}"
    )))
}

fn refuse_covered(name: &str, service: &Service) -> Result<(), Refused> {
    for rules in RuleType::ALL.map(|rule_type| service.own(rule_type)) {
        if let Some((at, _)) = pam_stack::ivalt_rules(rules).next() {
            let location = &rules[at].location;
            let (file, line) = (location.file.display(), location.line);
            return Err(Refused(format!(
                "{file}:{line}: {name} has pam_ivalt already; nothing to do"
            )));
        }
    }
    Ok(())
}

/// Below the last line that asks for a password; there only users who know it are asked for a token.
fn insert(name: &str, path: &Path, bytes: &[u8], service: &Service) -> Result<Vec<u8>, Refused> {
    let mut lines: Vec<&[u8]> = bytes.split_inclusive(|byte| *byte == b'\n').collect();
    let Some((number, include)) = password_line(service).filter(|(line, _)| *line <= lines.len())
    else {
        return Err(Refused(format!(
            "{}: no line here asks for a password, so the right place is not clear; add this line manually: {PAM_LINE}",
            path.display()
        )));
    };
    let line = &mut lines[number - 1];
    if pam_stack::is_continued(&String::from_utf8_lossy(line)) {
        return Err(Refused(format!(
            "{}:{number}: the line continues on the next one; write it as one line first",
            path.display()
        )));
    }
    let with_ivalt = with_ivalt(name, include, line);
    *line = &with_ivalt;
    Ok(lines.concat())
}

/// The number of the last line of the service's own file that asks for a password, perhaps by an include.
fn password_line(service: &Service) -> Option<(usize, Option<&Include>)> {
    let mut rules = service.own(RuleType::Auth).iter();
    let password = rules.rfind(|rule| rule.kind() == ModuleKind::Password)?;
    let include = password.included_by.first();
    let location = include.map_or(&password.location, |include| &include.location);
    Some((location.line, include))
}

/// The line that asks for the password, and pam_ivalt's below it. What is included must not end the whole stack:
/// `sufficient` does that in an `include`, and within its own bounds in a `substack`.
fn with_ivalt(name: &str, include: Option<&Include>, line: &[u8]) -> Vec<u8> {
    let line = line.trim_ascii_end();
    let substack = include.map(|include| format!("auth    substack    {}", include.name));
    let mut lines = match (include, &substack) {
        (Some(_), Some(substack)) if name == "sshd" => {
            vec![
                HEADER.as_bytes(),
                UNLESS_KEY.as_bytes(),
                substack.as_bytes(),
            ]
        }
        (Some(include), Some(substack)) if !include.all_types => {
            vec![HEADER.as_bytes(), substack.as_bytes()]
        }
        _ => vec![line, HEADER.as_bytes()],
    };
    lines.extend([PAM_LINE.as_bytes(), b""]);
    lines.join(&b'\n')
}

/// Lets clients answer PAM's prompts, asks for iVALT after a key too, and turns off sshd's own password method, which
/// cannot carry a token.
fn drop_in(root: &Root) -> Result<Change, Refused> {
    let main = Path::new("/etc/ssh/sshd_config");
    let config = root.read(main).map_err(|error| {
        Refused(format!(
            "{}: {error}; is the ssh server installed?",
            main.display()
        ))
    })?;
    if !config.lines().any(includes_drop_ins) {
        return Err(Refused(format!(
            "{}: does not include {}; make this its first line: Include /etc/ssh/sshd_config.d/*.conf",
            main.display(),
            DROP_IN
        )));
    }
    let mut lines = vec![
        HEADER,
        "UsePAM yes",
        "KbdInteractiveAuthentication yes",
        "PasswordAuthentication no",
    ];
    if !sets_methods(root, &config) {
        lines.push("AuthenticationMethods publickey,keyboard-interactive keyboard-interactive");
    }
    let path = PathBuf::from(DROP_IN);
    let before = read(root, &path);
    let before = before.map_err(|error| Refused(format!("{DROP_IN}: {error}")))?;
    Ok(Change {
        before: before.map(Content),
        path,
        after: Content((lines.join("\n") + "\n").into_bytes()),
    })
}

fn includes_drop_ins(line: &str) -> bool {
    let mut words = words(line);
    words
        .next()
        .is_some_and(|word| word.eq_ignore_ascii_case("include"))
        && words.any(|word| word.starts_with("/etc/ssh/sshd_config.d/*"))
}

/// AuthenticationMethods that an administrator wrote are kept; `check` says whether iVALT is in them.
fn sets_methods(root: &Root, config: &str) -> bool {
    let folder = root.real(Path::new("/etc/ssh/sshd_config.d"));
    let drop_ins = fs::read_dir(folder).into_iter().flatten().flatten();
    let drop_ins = drop_ins
        .map(|entry| entry.path())
        .filter(|path| !path.ends_with("00-ivalt.conf"));
    let texts = drop_ins
        .map(|path| String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned());
    texts.chain([config.to_owned()]).any(|text| {
        text.lines().any(|line| {
            words(line)
                .next()
                .is_some_and(|word| word.eq_ignore_ascii_case("authenticationmethods"))
        })
    })
}

fn words(line: &str) -> impl Iterator<Item = &str> {
    line.split('#')
        .next()
        .unwrap_or_default()
        .split_ascii_whitespace()
}
