//! The table of tests/e2e/sshd_config.cases, which an end-to-end case compares with the real sshd.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::{SshdConfig, Version};
use crate::root::Root;

/// The first release of each kind, and one that is not known.
const VERSIONS: [Option<Version>; 6] = [
    Some((8, 1)),
    Some((8, 2)),
    Some((8, 6)),
    Some((8, 7)),
    Some((10, 4)),
    None,
];

fn is_for(title: &str, version: Option<Version>) -> bool {
    let limit = |word: &str| {
        let (_, number) = title.rsplit_once(word)?;
        let (major, minor) = number.split_once('.')?;
        Some((major.parse().ok()?, minor.parse().ok()?))
    };
    let (since, before): (Option<Version>, Option<Version>) =
        (limit(", since "), limit(", before "));
    let at_least = |limit: Version| version.is_none_or(|version| version >= limit);
    since.is_none_or(at_least) && !before.is_some_and(at_least)
}

/// The escapes of printf(1) that the table has.
fn unescaped(line: &str) -> String {
    let line = match line.strip_suffix("\\c") {
        Some(line) => line.to_owned(),
        None => format!("{line}\n"),
    };
    [("\\r", "\r"), ("\\t", "\t"), ("\\f", "\x0c"), ("\\0", "\0")]
        .iter()
        .fold(line, |line, (escape, byte)| line.replace(escape, byte))
}

/// Writes what a case says below `folder`, and returns its expectations.
fn write<'a>(lines: &[&'a str], folder: &Path) -> Vec<&'a str> {
    let below = |path: &str| -> PathBuf {
        let path = folder.join(path.trim_start_matches('/'));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        path
    };
    let mut open = PathBuf::new();
    let mut expectations = Vec::new();
    for line in lines.iter().filter(|line| !line.is_empty()) {
        let append = |text: String| {
            let before = fs::read_to_string(&open).unwrap_or_default();
            fs::write(&open, before + &text).unwrap();
        };
        match line.split_at(1) {
            ("|", text) => append(format!("{text}\n")),
            ("%", text) => append(unescaped(text)),
            _ => match line.split(' ').collect::<Vec<_>>()[..] {
                ["file", ..] => open = below(&line["file ".len()..]),
                ["link", path, target] => symlink(target, below(path)).unwrap(),
                _ => expectations.push(*line),
            },
        }
    }
    expectations
}

/// As the table has it: UsePAM, the setting of keyboard-interactive, PasswordAuthentication, AuthenticationMethods.
fn read(folder: &Path, version: Option<Version>, criteria: &[String]) -> String {
    let separate = version.is_some_and(|version| version < (8, 7));
    let config = SshdConfig::read_as(&Root::new(folder), version, separate).unwrap();
    let prompt = if separate {
        "challengeresponseauthentication"
    } else {
        "kbdinteractiveauthentication"
    };
    let value = |keyword: &str, default: &str| {
        let setting = config.value(keyword, criteria);
        setting.map_or(default.to_owned(), |setting| setting.arguments.join(" "))
    };
    let flag = |keyword, default| value(keyword, default).to_ascii_lowercase();
    [
        flag("usepam", "no"),
        flag(prompt, "yes"),
        flag("passwordauthentication", "yes"),
        value("authenticationmethods", "any"),
    ]
    .join(" ")
}

#[test]
fn cases() {
    let table = support::checkout().join("tests/e2e/sshd_config.cases");
    let table = fs::read_to_string(table).unwrap();
    let mut compared = 0;
    for case in table.split("\ncase ").skip(1) {
        let lines: Vec<_> = case.lines().collect();
        let folder = TempDir::new().unwrap();
        let expectations = write(&lines[1..], folder.path());
        assert!(!expectations.is_empty(), "{}", lines[0]);
        let versions = VERSIONS.into_iter();
        for version in versions.filter(|version| is_for(lines[0], *version)) {
            for expected in &expectations {
                let Some((criteria, values)) = split(expected) else {
                    continue;
                };
                let read = read(folder.path(), version, &criteria);
                assert_eq!(read, values, "{}: {expected}: {version:?}", lines[0]);
                compared += 1;
            }
        }
    }
    assert!(compared > 300, "{compared}");
}

/// The criteria of the block, and the values. `None` for what sshd refuses.
fn split(expectation: &str) -> Option<(Vec<String>, &str)> {
    if let Some(values) = expectation.strip_prefix("is ") {
        return Some((Vec::new(), values));
    }
    let (_, rest) = expectation.strip_prefix("for ")?.split_once(" / ")?;
    let (criteria, values) = rest.split_once(" / ").unwrap();
    Some((criteria.split(" & ").map(str::to_owned).collect(), values))
}
