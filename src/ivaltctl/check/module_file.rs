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

/// Programs that load libpam.
const PROGRAMS: [&str; 4] = ["/usr/sbin/sshd", "/usr/bin/su", "/bin/su", "/usr/bin/sudo"];

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
    let each = paths(root, line).into_iter().map(|path| {
        if root.exists(&path) {
            [writable(root, &path), not_loadable(root, &path)].concat()
        } else {
            missing(root, line, &path)
        }
    });
    each.flatten().collect()
}

/// The shared objects that libpam may load for a line, one as a rule; none where the system has no modules at all: a
/// copy of some of a system's files says nothing about the others.
pub fn paths(root: &Root, line: &ModuleLine) -> Vec<PathBuf> {
    if line.module.starts_with('/') {
        return vec![PathBuf::from(&line.module)];
    }
    let folders = folders_of_libpam(root).into_iter();
    folders.map(|folder| folder.join(&line.module)).collect()
}

/// libpam has one folder built in, where `pam_unix.so` of its architecture is. Where `/lib` is no link to `/usr/lib`,
/// there may be two with one, and each may be that of libpam. A library of another architecture has another folder.
fn folders_of_libpam(root: &Root) -> Vec<PathBuf> {
    let mut seen = BTreeSet::new();
    let mut all: Vec<_> = module_folders(root, UNIX).collect();
    all.retain(|folder| {
        let found = root.metadata(&folder.join(UNIX));
        found.map_or(true, |file| seen.insert((file.dev(), file.ino())))
    });
    let of_logins = PROGRAMS.into_iter().find_map(|path| machine_of(root, path));
    let mut same = all.clone();
    same.retain(|folder| of_logins.is_some() && machine_of(root, folder.join(UNIX)) == of_logins);
    if same.is_empty() {
        all.truncate(1);
        same = all;
    }
    same
}

/// The folders libpam may load modules from: those that hold `common`, a module every system has.
pub fn module_folders(root: &Root, common: &str) -> impl Iterator<Item = PathBuf> {
    let folders = known_folders(root);
    folders.filter(move |folder| root.exists(&folder.join(common)))
}

fn known_folders(root: &Root) -> impl Iterator<Item = PathBuf> {
    let multiarch = ["/usr/lib", "/lib"].into_iter().flat_map(|lib| {
        let names = root.names(Path::new(lib)).into_iter();
        let names = names.filter(|name| name.to_string_lossy().contains("-linux-"));
        names.map(move |name| Path::new(lib).join(name).join("security"))
    });
    multiarch.chain(FOLDERS.map(PathBuf::from))
}

fn missing(root: &Root, line: &ModuleLine, path: &Path) -> Vec<Finding> {
    let place = elsewhere(root, path);
    let (beside, command) = match &place {
        Some(place) => (
            format!(
                ", and libpam does not look for it where it is, {}",
                place.display()
            ),
            format!("ln -s {} {}", place.display(), path.display()),
        ),
        None => (
            String::new(),
            format!(
                "install -o root -g root -m 0644 libpam_ivalt.so {}",
                path.display()
            ),
        ),
    };
    let what = format!(
        "the module {} does not exist{beside}: PAM fails this line for everybody (PAM_MODULE_UNKNOWN)",
        path.display()
    );
    let fix = format!("{command}, or remove the line");
    vec![Finding {
        line: Some(line.line),
        ..finding(Severity::LocksOut, "module-missing", &line.file, what, fix)
    }]
}

/// The same module, of the same architecture, in a folder that is not libpam's.
fn elsewhere(root: &Root, path: &Path) -> Option<PathBuf> {
    let expected = machine_of(root, path.with_file_name(UNIX))?;
    let mut places = known_folders(root).filter_map(|folder| Some(folder.join(path.file_name()?)));
    places.find(|place| place != path && machine_of(root, place) == Some(expected))
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

/// That of a file, which no finding is derived from alone.
fn machine_of(root: &Root, path: impl AsRef<Path>) -> Option<[u8; 4]> {
    let start = root.recorded(|| root.read_start(path.as_ref(), ELF_HEADER));
    machine(&start.0.ok()?)
}

fn system_machine(root: &Root, path: &Path) -> Option<[u8; 4]> {
    let sibling = path.with_file_name(UNIX);
    let others = module_folders(root, UNIX).map(|folder| folder.join(UNIX));
    let mut places = [sibling].into_iter().chain(others);
    places.find_map(|path| machine(&root.read_start(&path, ELF_HEADER).ok()?))
}
