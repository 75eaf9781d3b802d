//! How the system that is checked installs a package.

use std::path::Path;

use crate::root::Root;

/// Words of `ID` and `ID_LIKE` in os-release(5), and the command of these distributions.
const COMMANDS: [(&str, &str); 5] = [
    ("debian", "apt install"),
    ("fedora", "dnf install"),
    ("suse", "zypper install"),
    ("arch", "pacman -S"),
    ("alpine", "apk add"),
];

/// The command that installs this package; `None` where the distribution is not known.
pub fn install(root: &Root, package: &str) -> Option<String> {
    install_by_name(root, |_| package)
}

/// The same for a package whose name depends on the command.
pub fn install_by_name<'a>(root: &Root, name: impl FnOnce(&str) -> &'a str) -> Option<String> {
    // A fix depends on more files than its finding; of these, its text says enough.
    let command = root.recorded(|| command(root)).0?;
    Some(format!("{command} {}", name(command)))
}

fn command(root: &Root) -> Option<&'static str> {
    let is_debian = root.exists(Path::new("/etc/debian_version"));
    let text = ["/etc/os-release", "/usr/lib/os-release"].map(Path::new);
    let text = text.into_iter().find_map(|path| root.read(path).ok());
    let names = text.as_deref().map_or_else(Vec::new, names);
    let known = COMMANDS
        .iter()
        .find(|(name, _)| names.contains(name) || *name == "debian" && is_debian);
    known.map(|(_, command)| *command)
}

fn names(os_release: &str) -> Vec<&str> {
    let values = os_release.lines().filter_map(|line| {
        let (key, value) = line.split_once('=')?;
        matches!(key, "ID" | "ID_LIKE").then_some(value)
    });
    let words = values.flat_map(|value| value.trim_matches(['"', '\'']).split_whitespace());
    words.collect()
}
