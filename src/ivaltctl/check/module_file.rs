//! The shared object that the stacks name: it is loaded into sshd and sudo, so anyone who can write it controls every
//! login.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::accepted::derived;
use super::context::{CheckContext, finding};
use super::services::ModuleLine;
use crate::finding::{Finding, Severity};
use crate::root::Root;
use crate::trust;
use ivalt_core::trusted_file::LARGE;

/// The module that every system has.
const UNIX: &str = "pam_unix.so";
/// Beyond that, nothing is looked for in a shared object.
const MODULE_LIMIT: u64 = LARGE;
/// As much of a shared object as [`machine`] needs.
const ELF_HEADER: u64 = 64;

/// Where distributions keep PAM's modules. Debian puts the machine's name before it.
const FOLDERS: [&str; 4] = [
    "/usr/lib64/security",
    "/usr/lib/security",
    "/lib64/security",
    "/lib/security",
];

/// Checks every file that a line names, once.
pub fn findings(context: &CheckContext) -> Vec<Finding> {
    let mut seen = BTreeSet::new();
    let lines = context
        .lines
        .iter()
        .filter(|line| seen.insert(line.module.clone()));
    let each = lines.map(|line| {
        derived(context.root, || {
            context.note(&line.service);
            check(context.root, line)
        })
    });
    each.flatten().collect()
}

fn check(root: &Root, line: &ModuleLine) -> Vec<Finding> {
    // A copy of some of a system's files says nothing about the others.
    let Some(path) = path(root, line) else {
        return Vec::new();
    };
    if root.exists(&path) {
        [writable(root, &path), not_loadable(root, &path)].concat()
    } else {
        missing(line, &path)
    }
}

/// The shared object that libpam loads for a line; `None` where the system has no modules at all.
pub fn path(root: &Root, line: &ModuleLine) -> Option<PathBuf> {
    if line.module.starts_with('/') {
        return Some(PathBuf::from(&line.module));
    }
    module_folders(root, UNIX)
        .next()
        .map(|folder| folder.join(&line.module))
}

/// The folders libpam may load modules from: those that hold `common`, a module every system has.
pub fn module_folders(root: &Root, common: &str) -> impl Iterator<Item = PathBuf> {
    let multiarch = ["/usr/lib", "/lib"].into_iter().flat_map(|lib| {
        let names = root.names(Path::new(lib)).into_iter();
        let names = names.filter(|name| name.to_string_lossy().contains("-linux-"));
        names.map(move |name| Path::new(lib).join(name).join("security"))
    });
    let folders = multiarch.chain(FOLDERS.map(PathBuf::from));
    folders.filter(move |folder| root.exists(&folder.join(common)))
}

fn missing(line: &ModuleLine, path: &Path) -> Vec<Finding> {
    let what = format!(
        "the module {} does not exist: PAM fails this line for everybody (PAM_MODULE_UNKNOWN)",
        path.display()
    );
    let fix = format!(
        "install -o root -g root -m 0644 libpam_ivalt.so {}, or remove the line",
        path.display()
    );
    vec![Finding {
        line: Some(line.line),
        ..finding(Severity::LocksOut, "module-missing", &line.file, what, fix)
    }]
}

/// The file and its folder: anyone who can write either can put another module there.
fn writable(root: &Root, path: &Path) -> Vec<Finding> {
    let parts = [Some(path), path.parent()].into_iter().flatten();
    let found = parts.filter_map(|part| {
        let metadata = root.metadata(part).ok()?;
        let (mode, owner) = (metadata.mode() & 0o7777, metadata.uid());
        let shown = part.display();
        let (what, fix) = if owner != 0 && owner != trust().effective_uid {
            (
                format!("belongs to user id {owner}"),
                format!("chown root:root {shown}"),
            )
        } else if mode & 0o022 != 0 {
            (
                format!("is writable by group or others (mode {mode:04o})"),
                format!("chmod go-w {shown}"),
            )
        } else {
            return None;
        };
        let what = format!(
            "{what}: anyone who can write it can install a module that lets anyone in, as root"
        );
        Some(finding(
            Severity::LetsIn,
            "module-writable",
            part,
            what,
            fix,
        ))
    });
    found.collect()
}

fn not_loadable(root: &Root, path: &Path) -> Vec<Finding> {
    let bytes = match root.read_start(path, MODULE_LIMIT) {
        Err(error) if error.kind() == ErrorKind::PermissionDenied => return Vec::new(),
        bytes => bytes.unwrap_or_default(),
    };
    let locks_out = |id, what: &str| {
        let what = format!(
            "{what}: PAM cannot load it and fails its line for everybody (PAM_MODULE_UNKNOWN)"
        );
        let fix = format!(
            "install the module built for this machine: install -o root -g root -m 0644 libpam_ivalt.so {}",
            path.display()
        );
        vec![finding(Severity::LocksOut, id, path, what, fix)]
    };
    let Some(machine) = machine(&bytes) else {
        return locks_out("module-not-elf", "is not a shared object");
    };
    if system_machine(root, path).is_some_and(|expected| expected != machine) {
        return locks_out("module-architecture", "is built for another architecture");
    }
    // A dynamic symbol table holds its names as plain strings.
    let entry = b"pam_sm_authenticate\0";
    if !bytes.windows(entry.len()).any(|window| window == entry) {
        return locks_out("module-without-entry", "has no pam_sm_authenticate");
    }
    Vec::new()
}

/// Class, byte order and machine of a shared object, as ELF's header gives them; elf(5).
fn machine(bytes: &[u8]) -> Option<[u8; 4]> {
    let header = bytes.get(..20)?;
    let [class, order] = [header[4], header[5]];
    let [kind, machine] = [[header[16], header[17]], [header[18], header[19]]];
    let shared = if order == 2 { [0, 3] } else { [3, 0] };
    (header.starts_with(b"\x7fELF") && kind == shared)
        .then_some([class, order, machine[0], machine[1]])
}

fn system_machine(root: &Root, path: &Path) -> Option<[u8; 4]> {
    let sibling = path.with_file_name(UNIX);
    let others = module_folders(root, UNIX).map(|folder| folder.join(UNIX));
    let mut places = [sibling].into_iter().chain(others);
    places.find_map(|path| machine(&root.read_start(&path, ELF_HEADER).ok()?))
}
