//! Which files `enable` changes, and into what.

use std::fs;
use std::path::{Path, PathBuf};

use super::journal::{Change, Content};
use crate::Refused;
use crate::check::services_with_ivalt;
use crate::root::Root;

/// Where services are.
const FOLDER: &str = "/etc/pam.d";
/// Where distributions keep the services of packages; a file in /etc/pam.d stands in front of them.
const VENDOR: [&str; 2] = ["/usr/lib/pam.d", "/usr/share/pam.d"];
/// Read before all others: sshd takes the first value it finds.
const DROP_IN: &str = "/etc/ssh/sshd_config.d/00-ivalt.conf";
const MARK: &str = "# By `ivaltctl enable`; `ivaltctl disable` puts the file back as it was.";
const OURS: &str = "auth    required    pam_ivalt.so";
/// sshd names in SSH_AUTH_INFO_0 what it has checked already; after a key, the password is skipped.
const UNLESS_KEY: &str = "auth    [success=1 default=ignore]    pam_exec.so quiet /bin/sh -c [case $SSH_AUTH_INFO_0 in publickey*) exit 0;; esac; exit 1]";
/// Modules that check a password or take its place.
const PASSWORD_MODULES: [&str; 8] = [
    "pam_unix.so",
    "pam_sss.so",
    "pam_ldap.so",
    "pam_krb5.so",
    "pam_winbind.so",
    "pam_systemd_home.so",
    "pam_himmelblau.so",
    "pam_kanidm.so",
];

/// Services that a program asks for in place of another: `sudo -i`, `su -`.
const TWINS: [(&str, &str); 2] = [("sudo", "sudo-i"), ("su", "su-l")];

/// The changes that switch iVALT on for a service.
///
/// # Errors
/// The service is not there, has iVALT already, or asks for a password in no way that is known here.
pub fn changes(root: &Root, service: &str) -> Result<Vec<Change>, Refused> {
    let mut changes = Vec::new();
    if service == "sshd" {
        changes.push(drop_in(root)?);
    }
    changes.push(pam_service(root, service)?);
    let twins = TWINS.iter().filter(|(one, _)| *one == service);
    for (_, twin) in twins {
        if root.read(&Path::new(FOLDER).join(twin)).is_ok() && !asks(&after(root, &changes), twin) {
            changes.push(pam_service(root, twin)?);
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

fn asks(root: &Root, service: &str) -> bool {
    services_with_ivalt(root).iter().any(|name| name == service)
}

fn pam_service(root: &Root, service: &str) -> Result<Change, Refused> {
    let path = Path::new(FOLDER).join(service);
    let before = read(root, &path)?;
    let vendor = VENDOR.map(|folder| Path::new(folder).join(service));
    let origin = match &before {
        Some(_) => Some(path.clone()),
        None => vendor.into_iter().find(|path| root.real(path).exists()),
    };
    let origin = origin.ok_or_else(|| {
        Refused(format!(
            "{}: does not exist; services are the files there: ls /etc/pam.d",
            path.display()
        ))
    })?;
    let text = root.read(&origin)?;
    if text
        .lines()
        .any(|line| words(line).any(|word| word.contains("pam_ivalt")))
    {
        return Err(Refused(format!(
            "{}: has pam_ivalt already; nothing to do",
            origin.display()
        )));
    }
    let bytes = read(root, &origin)?.unwrap_or_default();
    Ok(Change {
        after: Content(insert(root, service, &origin, &bytes)?),
        before: before.map(Content),
        path,
    })
}

/// Below the last line that asks for a password; there ours is asked only of those who know it.
fn insert(root: &Root, service: &str, path: &Path, bytes: &[u8]) -> Result<Vec<u8>, Refused> {
    let mut lines: Vec<Vec<u8>> = bytes
        .split_inclusive(|byte| *byte == b'\n')
        .map(<[u8]>::to_vec)
        .collect();
    let text = |line: &[u8]| String::from_utf8_lossy(line).into_owned();
    let asks = |line: &Vec<u8>| brings_password(root, &text(line), 0);
    let Some(at) = lines.iter().rposition(asks) else {
        return Err(Refused(format!(
            "{}: no line here asks for a password, so the right place is not clear; add this line yourself: {OURS}",
            path.display()
        )));
    };
    if text(&lines[at]).trim_end().ends_with('\\') {
        return Err(Refused(format!(
            "{}:{}: the line goes on in the next one; write it as one line first",
            path.display(),
            at + 1
        )));
    }
    lines[at] = [
        below(service, &text(&lines[at]), &lines[at]),
        b"\n".to_vec(),
    ]
    .concat();
    Ok(lines.concat())
}

/// The line that asks for the password, and ours below it. What is included must not end the whole stack: `sufficient`
/// does that in an `include`, and within its own bounds in a `substack`.
fn below(service: &str, text: &str, line: &[u8]) -> Vec<u8> {
    let included = included(text).map(|(_, file)| file.to_owned());
    let substack = included.map(|file| format!("auth    substack    {file}"));
    let lines: Vec<String> = match (substack, service) {
        (Some(substack), "sshd") => [MARK, UNLESS_KEY, &substack, OURS]
            .map(str::to_owned)
            .into(),
        (Some(substack), _) if !text.trim_start().starts_with('@') => {
            [MARK, &substack, OURS].map(str::to_owned).into()
        }
        _ => {
            return [
                line.trim_ascii_end(),
                b"\n",
                MARK.as_bytes(),
                b"\n",
                OURS.as_bytes(),
            ]
            .concat();
        }
    };
    lines.join("\n").into_bytes()
}

fn brings_password(root: &Root, line: &str, depth: u8) -> bool {
    // As deep as libpam itself goes (PAM_SUBSTACK_MAX_LEVEL).
    if depth > 16 {
        return false;
    }
    if let Some((_, file)) = included(line) {
        let text = root.read(&Path::new(FOLDER).join(file)).unwrap_or_default();
        return text
            .lines()
            .any(|line| brings_password(root, line, depth + 1));
    }
    let module = |word: &str| PASSWORD_MODULES.contains(&word.rsplit('/').next().unwrap_or(word));
    is_auth(line) && words(line).any(module)
}

/// The directive and the file of a line that includes another's `auth` lines.
fn included(line: &str) -> Option<(&str, &str)> {
    let mut words = words(line);
    match (words.next()?, words.next()?, words.next()) {
        ("@include", file, None) => Some(("@include", file)),
        (_, how @ ("include" | "substack"), Some(file)) if is_auth(line) => Some((how, file)),
        _ => None,
    }
}

fn is_auth(line: &str) -> bool {
    words(line)
        .next()
        .is_some_and(|word| word.trim_start_matches('-').eq_ignore_ascii_case("auth"))
}

fn words(line: &str) -> impl Iterator<Item = &str> {
    line.split('#')
        .next()
        .unwrap_or_default()
        .split_ascii_whitespace()
}

/// Lets sshd's clients answer prompts of PAM, asks for iVALT after a key too, and keeps sshd's own password method,
/// which cannot carry a token, out of the way.
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
        MARK,
        "UsePAM yes",
        "KbdInteractiveAuthentication yes",
        "PasswordAuthentication no",
    ];
    if !says_methods(root, &config) {
        lines.push("AuthenticationMethods publickey,keyboard-interactive keyboard-interactive");
    }
    let path = PathBuf::from(DROP_IN);
    Ok(Change {
        before: read(root, &path)?.map(Content),
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

/// An administrator who wrote AuthenticationMethods knows what he wants; the doctor says whether iVALT is in it.
fn says_methods(root: &Root, config: &str) -> bool {
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

fn read(root: &Root, path: &Path) -> Result<Option<Vec<u8>>, Refused> {
    match fs::read(root.real(path)) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        bytes => bytes
            .map(Some)
            .map_err(|error| Refused(format!("{}: {error}", path.display()))),
    }
}
