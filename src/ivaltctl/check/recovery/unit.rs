//! Whether the unit in which systemd runs a service lets it write below a folder, systemd.exec(5).

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::root::Root;

/// Where unit files are; of two with one name, the first counts (systemd.unit(5)).
const FOLDERS: [&str; 5] = [
    "/etc/systemd/system",
    "/run/systemd/system",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
];

/// A setting by which a unit keeps its processes from writing to a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forbids {
    pub unit: String,
    pub file: PathBuf,
    /// From 1.
    pub line: usize,
    /// `ProtectSystem=strict`
    pub setting: String,
    /// A `ReadWritePaths=` of the folder itself would lift it.
    pub can_be_lifted: bool,
}

/// The settings of the units of a service that keep it from writing below `folder`, one a unit.
pub fn forbidding(root: &Root, service: &str, folder: &Path) -> Vec<Forbids> {
    let mut names_of: BTreeMap<PathBuf, Vec<String>> = BTreeMap::new();
    for unit in units(service) {
        if let Some(fragment) = fragment(root, &unit) {
            names_of.entry(fragment).or_default().push(unit);
        }
    }
    let judged = names_of.iter().filter_map(|(fragment, names)| {
        let unit = fragment.file_name()?.to_string_lossy().into_owned();
        Unit::read(root, fragment, names).forbids(unit, folder)
    });
    judged.collect()
}

/// What the files of a unit set in this section, keys with values, in the order in which they count.
pub fn assignments(root: &Root, unit: &str, section: &str) -> Vec<(String, String)> {
    let Some(fragment) = fragment(root, unit) else {
        return Vec::new();
    };
    let files = [fragment]
        .into_iter()
        .chain(drop_ins(root, &[unit.to_owned()]));
    let texts = files.map(|file| root.read(&file).unwrap_or_default());
    let assignments = texts.flat_map(|text| {
        let of_section = of_section(&text, section).into_iter();
        of_section.map(|(_, key, value)| (key, value))
    });
    assignments.collect()
}

/// The file of a unit; of an alias, which is a link to a unit of another name, that unit's. `None` where there is no such
/// unit, or where it is masked.
fn fragment(root: &Root, unit: &str) -> Option<PathBuf> {
    let mut fragments = FOLDERS.iter().map(|folder| Path::new(folder).join(unit));
    let found = fragments.find(|path| root.link_metadata(path).is_ok())?;
    match root.read_link(&found) {
        Ok(target) if target == Path::new("/dev/null") => None,
        Ok(target) if target.file_name() != found.file_name() => {
            let mut others = FOLDERS.iter().map(Path::new);
            let other = others.find_map(|folder| {
                let path = folder.join(target.file_name()?);
                root.link_metadata(&path).is_ok().then_some(path)
            });
            Some(other.unwrap_or(found))
        }
        _ => Some(found),
    }
}

/// What runs the program that calls PAM as this service. sudo and su run in the session of whoever calls them.
fn units(service: &str) -> Vec<String> {
    let known: &[&str] = match service {
        "sshd" => &[
            "ssh.service",
            "sshd.service",
            "ssh@.service",
            "sshd@.service",
        ],
        "login" => &[
            "getty@.service",
            "serial-getty@.service",
            "console-getty.service",
        ],
        "polkit-1" => &["polkit-agent-helper@.service"],
        "sudo" | "sudo-i" | "su" | "su-l" => &[],
        other => return vec![format!("{other}.service")],
    };
    known.iter().map(|name| (*name).to_owned()).collect()
}

/// How a unit's processes see a path. Of two for one path the first counts: systemd sorts them so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Access {
    Hidden,
    ReadOnly,
    Writable,
}

struct Mount {
    path: PathBuf,
    access: Access,
    place: Option<(PathBuf, usize)>,
    setting: String,
}

/// The mounts of a unit.
#[derive(Default)]
struct Unit {
    of_lists: BTreeMap<&'static str, Vec<Mount>>,
    of_system: Vec<Mount>,
}

impl Unit {
    /// The unit of a file, with the drop-ins of all its names.
    fn read(root: &Root, fragment: &Path, names: &[String]) -> Self {
        let mut settings = Self::default();
        let drop_ins = drop_ins(root, names);
        for file in [fragment]
            .into_iter()
            .chain(drop_ins.iter().map(|file| &**file))
        {
            let text = root.read(file).unwrap_or_default();
            settings.read_file(file, &text);
        }
        settings
    }

    fn read_file(&mut self, file: &Path, text: &str) {
        for (line, key, value) in of_section(text, "Service") {
            self.set(&key, &value, file, line);
        }
    }

    fn set(&mut self, key: &str, value: &str, file: &Path, line: usize) {
        let setting = format!("{key}={value}");
        let mount = |path: PathBuf, access| Mount {
            path,
            access,
            place: Some((file.to_owned(), line)),
            setting: setting.clone(),
        };
        if key == "ProtectSystem" {
            let mounts = system_paths(value);
            let mounts = mounts.map(|(path, access)| mount(path.into(), access));
            self.of_system = mounts.collect();
            return;
        }
        let Some((name, access)) = list(key) else {
            return;
        };
        let mounts = self.of_lists.entry(name).or_default();
        if value.is_empty() {
            mounts.clear();
        }
        let prefix = if name == "StateDirectory" {
            "/var/lib/"
        } else {
            ""
        };
        let paths = words(value).into_iter().map(|word| {
            let path = word.trim_start_matches(['-', '+']);
            // SOURCE:DESTINATION:OPTIONS of the bind mounts; what follows the path of a tmpfs are its options.
            let mut parts = path.split(':');
            let source = parts.next().unwrap_or_default();
            let is_bind = name.starts_with("Bind");
            let shown = parts.next().filter(|_| is_bind).unwrap_or(source);
            mount(format!("{prefix}{shown}").into(), access)
        });
        mounts.extend(paths);
    }

    /// The innermost mount decides; below a hidden one there is none.
    fn forbids(&self, unit: String, folder: &Path) -> Option<Forbids> {
        let all = self.of_lists.values().flatten().chain(&self.of_system);
        let mut around: Vec<&Mount> = all
            .filter(|mount| folder.starts_with(&mount.path))
            .collect();
        around.sort_by_key(|mount| (mount.path.components().count(), mount.access));
        let hidden = around.iter().find(|mount| mount.access == Access::Hidden);
        let innermost = around.last().map(|last| last.path.clone());
        let of_innermost = around
            .iter()
            .find(|mount| Some(&mount.path) == innermost.as_ref());
        let decides = hidden.or(of_innermost)?;
        if decides.access == Access::Writable {
            return None;
        }
        let (file, line) = decides.place.clone()?;
        Some(Forbids {
            unit,
            file,
            line,
            setting: decides.setting.clone(),
            can_be_lifted: decides.access == Access::ReadOnly && decides.path != folder,
        })
    }
}

/// The lists of paths, with the names they had before systemd 231.
fn list(key: &str) -> Option<(&'static str, Access)> {
    Some(match key {
        "ReadWritePaths" | "ReadWriteDirectories" => ("ReadWritePaths", Access::Writable),
        "ReadOnlyPaths" | "ReadOnlyDirectories" => ("ReadOnlyPaths", Access::ReadOnly),
        "InaccessiblePaths" | "InaccessibleDirectories" => ("InaccessiblePaths", Access::Hidden),
        "TemporaryFileSystem" => ("TemporaryFileSystem", Access::Hidden),
        "BindPaths" => ("BindPaths", Access::Writable),
        "BindReadOnlyPaths" => ("BindReadOnlyPaths", Access::ReadOnly),
        "StateDirectory" => ("StateDirectory", Access::Writable),
        _ => return None,
    })
}

/// What `ProtectSystem=` makes read-only, and what it leaves.
fn system_paths(value: &str) -> impl Iterator<Item = (&'static str, Access)> {
    const USR: [&str; 3] = ["/usr", "/boot", "/efi"];
    const LEFT: [&str; 6] = ["/proc", "/sys", "/dev", "/home", "/root", "/run/user"];
    let (read_only, left): (Vec<_>, &[&str]) = match value {
        "strict" => (vec!["/"], &LEFT),
        "full" => ([&USR[..], &["/etc"]].concat(), &[]),
        "1" | "yes" | "true" | "on" | "y" | "t" => (USR.to_vec(), &[]),
        _ => (Vec::new(), &[]),
    };
    let read_only = read_only.into_iter().map(|path| (path, Access::ReadOnly));
    read_only.chain(left.iter().map(|path| (*path, Access::Writable)))
}

/// The files of `NAME.d` for each name of the unit, and of `service.d`, in the order in which they count: by name, whatever their folder; of two
/// with one name, the first folder's.
fn drop_ins(root: &Root, names: &[String]) -> Vec<PathBuf> {
    let mut files: BTreeMap<OsString, PathBuf> = BTreeMap::new();
    let of_names = names.iter().map(|name| format!("{name}.d"));
    let kind = names.first().and_then(|name| name.rsplit('.').next());
    let of_kind = format!("{}.d", kind.unwrap_or("service"));
    for of in of_names.chain([of_kind]) {
        for folder in FOLDERS.iter().map(|folder| Path::new(folder).join(&of)) {
            let names = root.names(&folder).into_iter();
            for name in names.filter(|name| Path::new(name).extension() == Some("conf".as_ref())) {
                let file = folder.join(&name);
                files.entry(name).or_insert(file);
            }
        }
    }
    files.into_values().collect()
}

/// The lines of a section: each number, key and value.
fn of_section(text: &str, section: &str) -> Vec<(usize, String, String)> {
    let header = format!("[{section}]");
    let mut inside = false;
    let mut found = Vec::new();
    for (line, assignment) in logical_lines(text) {
        if assignment.starts_with('[') {
            inside = assignment == header;
        } else if let Some((key, value)) = assignment.split_once('=').filter(|_| inside) {
            found.push((line, key.trim().to_owned(), value.trim().to_owned()));
        }
    }
    found
}

/// Lines with their numbers, without comments; one that ends with a backslash goes on in the next.
fn logical_lines(text: &str) -> Vec<(usize, String)> {
    let mut lines: Vec<(usize, String)> = Vec::new();
    let mut goes_on = false;
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.starts_with(['#', ';']) || (line.is_empty() && !goes_on) {
            continue;
        }
        let part = line.strip_suffix('\\');
        match lines.last_mut().filter(|_| goes_on) {
            Some((_, whole)) => *whole += &format!(" {}", part.unwrap_or(line)),
            None => lines.push((index + 1, part.unwrap_or(line).to_owned())),
        }
        goes_on = part.is_some();
    }
    lines
}

/// Words between white space; quotes hold one together.
fn words(value: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quote = None;
    for c in value.chars() {
        match quote {
            Some(open) if c == open => quote = None,
            None if c == '"' || c == '\'' => quote = Some(c),
            None if c.is_whitespace() => words.push(String::new()),
            _ => words.last_mut().into_iter().for_each(|word| word.push(c)),
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use tempfile::TempDir;

    const STORE: &str = "/var/lib/ivalt/recovery";

    /// `FILE:LINE SETTING`, with ` (final)` where no ReadWritePaths= would help.
    fn judged(service: &str, files: &[(&str, &str)]) -> Vec<String> {
        let dir = TempDir::new().unwrap();
        for (path, text) in files {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let found = forbidding(&Root::new(dir.path()), service, Path::new(STORE));
        let shown = |found: Forbids| {
            let end = if found.can_be_lifted { "" } else { " (final)" };
            let file = found.file.display();
            format!(
                "{} {file}:{} {}{end}",
                found.unit, found.line, found.setting
            )
        };
        found.into_iter().map(shown).collect()
    }

    fn of_ssh(settings: &str) -> Vec<String> {
        let text = format!("[Unit]\nProtectSystem=strict\n[Service]\n{settings}");
        let unit = "usr/lib/systemd/system/ssh.service";
        let found = judged("sshd", &[(unit, &text)]).into_iter();
        let begin = format!("ssh.service /{unit}:");
        found
            .map(|line| line.strip_prefix(&begin).unwrap().to_owned())
            .collect()
    }

    #[test]
    fn what_a_unit_makes_read_only() {
        let nothing: [&str; 0] = [];
        for settings in [
            "ExecStart=/usr/sbin/sshd -D\n",
            "ProtectSystem=yes\n",
            "ProtectSystem=full\n",
            "ProtectSystem=strict\nProtectSystem=no\n",
            "ProtectSystem=strict\nReadWritePaths=/etc -/var/lib/ivalt\n",
            "ProtectSystem=strict\nReadWritePaths=/etc \\\n  \"/var/lib\"\n",
            "ProtectSystem=strict\nStateDirectory=ivalt\n",
            "ReadOnlyPaths=/var/lib/iv\n",
            "ReadOnlyPaths=/var\nReadOnlyPaths=\n",
            "#ReadOnlyPaths=/var\n; ReadOnlyPaths=/var\n",
            "InaccessiblePaths=-/var/lib/ivalt/recovery/x\n",
            "TemporaryFileSystem=/tmp:ro\nBindReadOnlyPaths=/var:/mnt\n",
            "[Install]\nReadOnlyPaths=/var\n",
        ] {
            assert_eq!(of_ssh(settings), nothing, "{settings}");
        }
        for (settings, expected) in [
            ("ProtectSystem=strict\n", "4 ProtectSystem=strict"),
            ("\n# x\nReadOnlyPaths=-/var\n", "6 ReadOnlyPaths=-/var"),
            ("ReadOnlyDirectories=/\n", "4 ReadOnlyDirectories=/"),
            (
                "ReadWritePaths=/var/lib\nReadOnlyPaths=/var/lib/ivalt\n",
                "5 ReadOnlyPaths=/var/lib/ivalt",
            ),
            (
                "ReadWritePaths=/var/lib/ivalt/recovery\nReadOnlyPaths=/var/lib/ivalt/recovery\n",
                "5 ReadOnlyPaths=/var/lib/ivalt/recovery (final)",
            ),
            (
                "InaccessiblePaths=/var\nReadWritePaths=/var/lib/ivalt\n",
                "4 InaccessiblePaths=/var (final)",
            ),
            (
                "TemporaryFileSystem=/var/lib:ro\n",
                "4 TemporaryFileSystem=/var/lib:ro (final)",
            ),
            (
                "BindReadOnlyPaths=/srv:/var/lib\n",
                "4 BindReadOnlyPaths=/srv:/var/lib",
            ),
        ] {
            assert_eq!(of_ssh(settings), [expected], "{settings}");
        }
    }

    #[test]
    fn drop_ins_count_by_name_and_a_file_in_etc_replaces_the_vendors() {
        let vendor = ("usr/lib/systemd/system/ssh.service", "[Service]\n");
        let strict = "[Service]\nProtectSystem=strict\n";
        let (early, late) = (
            "usr/lib/systemd/system/ssh.service.d/10-a.conf",
            "etc/systemd/system/ssh.service.d/20-b.conf",
        );
        let found =
            "ssh.service /usr/lib/systemd/system/ssh.service.d/10-a.conf:2 ProtectSystem=strict";
        assert_eq!(judged("sshd", &[vendor, (early, strict)]), [found]);
        let nothing: [&str; 0] = [];
        let off = (late, "[Service]\nProtectSystem=off\n");
        assert_eq!(judged("sshd", &[vendor, (early, strict), off]), nothing);
        // The same name in /etc hides it.
        let hidden = ("etc/systemd/system/ssh.service.d/10-a.conf", "");
        assert_eq!(judged("sshd", &[vendor, (early, strict), hidden]), nothing);
        let not_read = ("usr/lib/systemd/system/ssh.service.d/10-a.conf~", strict);
        assert_eq!(judged("sshd", &[vendor, not_read]), nothing);
        let of_all = ("etc/systemd/system/service.d/x.conf", strict);
        assert_eq!(judged("sshd", &[vendor, of_all]).len(), 1);
        let own = ("etc/systemd/system/ssh.service", "[Service]\n");
        assert_eq!(
            judged("sshd", &[("lib/systemd/system/ssh.service", strict), own]),
            nothing
        );
        // Drop-ins alone are no unit.
        assert_eq!(judged("sshd", &[(early, strict)]), nothing);
    }

    /// As Debian has it: `sshd.service` is an alias, and the drop-ins of both names count for the one unit.
    #[test]
    fn drop_ins_of_an_alias_are_those_of_the_unit() {
        let dir = TempDir::new().unwrap();
        let write = |path: &str, text: &str| {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        let strict = "[Service]\nProtectSystem=strict\n";
        write("usr/lib/systemd/system/ssh.service", "[Service]\n");
        write("etc/systemd/system/ssh.service.d/strict.conf", strict);
        let link = dir.path().join("etc/systemd/system/sshd.service");
        std::os::unix::fs::symlink("/usr/lib/systemd/system/ssh.service", &link).unwrap();
        let judged = || forbidding(&Root::new(dir.path()), "sshd", Path::new(STORE));
        let found = judged();
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].unit, "ssh.service");
        let lifted = "[Service]\nReadWritePaths=/var/lib/ivalt/recovery\n";
        write("etc/systemd/system/sshd.service.d/ivalt.conf", lifted);
        assert_eq!(judged(), []);
        // The other way round; and a unit of its own has its own.
        write("etc/systemd/system/ssh.service.d/strict.conf", lifted);
        write("etc/systemd/system/sshd.service.d/ivalt.conf", strict);
        assert_eq!(judged(), []);
        fs::remove_file(&link).unwrap();
        write("etc/systemd/system/sshd.service", "[Service]\n");
        let found = judged();
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].unit, "sshd.service");
        // A masked unit does not run.
        fs::remove_file(&link).unwrap();
        std::os::unix::fs::symlink("/dev/null", &link).unwrap();
        assert_eq!(judged(), []);
    }

    #[test]
    fn each_service_has_its_units() {
        let strict = "[Service]\nProtectSystem=strict\n";
        let at = |unit: &str| format!("usr/lib/systemd/system/{unit}");
        for (service, unit) in [
            ("sshd", "sshd@.service"),
            ("login", "getty@.service"),
            ("polkit-1", "polkit-agent-helper@.service"),
            ("vsftpd", "vsftpd.service"),
        ] {
            let found = judged(service, &[(&at(unit), strict)]);
            assert_eq!(found.len(), 1, "{service}");
            assert!(found[0].starts_with(unit), "{found:?}");
        }
        let nothing: [&str; 0] = [];
        assert_eq!(judged("sudo", &[(&at("sudo.service"), strict)]), nothing);
    }
}
