//! sshd's effective configuration: from `sshd -T` where it can be run, with file and line from its files.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use glob::{MatchOptions, Pattern};

use crate::check::program;
use crate::root::Root;

/// Where sshd begins to read.
pub const CONFIG: &str = "/etc/ssh/sshd_config";
/// sshd's own limit of `Include` in `Include` (SERVCONF_MAX_DEPTH).
const MAX_DEPTH: usize = 16;

/// An effective value, and where it is set, if it is.
#[derive(Clone, Debug)]
pub struct EffectiveValue {
    pub text: String,
    pub location: Option<(PathBuf, usize)>,
}

/// What a finding says that `sshd -T` was not asked about.
pub const FROM_FILES: &str = " (as its files say; sshd -T was not run)";

/// Keywords in lower case.
pub type Values = BTreeMap<String, EffectiveValue>;

/// The configuration for all connections, and what each `Match` block makes of it.
#[derive(Debug)]
pub struct Configuration {
    pub global: Values,
    pub matches: Vec<(String, Values)>,
    /// What a finding must say about where this comes from.
    pub source: &'static str,
}

impl Configuration {
    /// `None` where there is no sshd.
    pub fn of(root: &Root) -> Option<Self> {
        let text = root.read(Path::new(CONFIG)).ok()?;
        let mut reader = ConfigurationReader {
            root,
            blocks: vec![(String::new(), Values::new())],
        };
        reader.file(Path::new(CONFIG), &text, MAX_DEPTH, 0);
        let mut blocks = reader.blocks.into_iter();
        let mut global = blocks.next().map(|(_, values)| values).unwrap_or_default();
        let source = match effective(root) {
            Some(printed) => {
                global = with_locations(&printed, &global);
                ""
            }
            None => FROM_FILES,
        };
        let matches = blocks.map(|(criteria, own)| {
            let mut values = global.clone();
            values.extend(own);
            (criteria, values)
        });
        Some(Self {
            matches: matches.collect(),
            global,
            source,
        })
    }
}

/// sshd needs root, host keys and /run/sshd for it. It does not know of a change that is not written yet.
fn effective(root: &Root) -> Option<String> {
    let can_be_run = !root.differs_below(Path::new("/etc/ssh"));
    can_be_run.then(|| program::output(root, &["/usr/sbin/sshd", "/usr/bin/sshd"], &["-T"]))?
}

/// The values that sshd prints, with its keywords in mixed case from OpenSSH 10.4 on; the locations are those of the
/// files.
fn with_locations(printed: &str, files: &Values) -> Values {
    let mut values = Values::new();
    for (keyword, text) in printed.lines().filter_map(|line| line.split_once(' ')) {
        let keyword = keyword.to_ascii_lowercase();
        let value = EffectiveValue {
            text: text.trim().to_owned(),
            location: files.get(&keyword).and_then(|value| value.location.clone()),
        };
        values.entry(keyword).or_insert(value);
    }
    values
}

struct ConfigurationReader<'a> {
    root: &'a Root,
    /// The first is for all connections; then one for each `Match`.
    blocks: Vec<(String, Values)>,
}

impl ConfigurationReader<'_> {
    /// A `Match` in an included file ends with that file.
    fn file(&mut self, file: &Path, text: &str, depth: usize, mut block: usize) {
        for (number, line) in (1..).zip(text.lines()) {
            let Some((keyword, rest)) = keyword(line) else {
                continue;
            };
            match keyword.as_str() {
                "match" if rest.eq_ignore_ascii_case("all") => block = 0,
                "match" => {
                    block = self.blocks.len();
                    self.blocks.push((rest, Values::new()));
                }
                "include" => self.include(&rest, depth, block),
                _ => {
                    let value = EffectiveValue {
                        text: rest,
                        location: Some((file.to_owned(), number)),
                    };
                    self.blocks[block].1.entry(keyword).or_insert(value);
                }
            }
        }
    }

    fn include(&mut self, patterns: &str, depth: usize, block: usize) {
        if depth == 0 {
            return;
        }
        for pattern in patterns.split_whitespace() {
            let pattern = Path::new("/etc/ssh").join(pattern.trim_matches('"'));
            for file in matching(self.root, &pattern) {
                let text = self.root.read(&file).unwrap_or_default();
                self.file(&file, &text, depth - 1, block);
            }
        }
    }
}

/// The keyword in lower case and its value; sshd takes blanks or one `=` between them.
fn keyword(line: &str) -> Option<(String, String)> {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return None;
    }
    let end = line.find(|c: char| c.is_whitespace() || c == '=')?;
    let rest = line[end..].trim_start();
    let rest = rest.strip_prefix('=').unwrap_or(rest);
    // Since 8.5 a comment may follow a value.
    let rest = rest.split(" #").next().unwrap_or_default().trim();
    let keyword = match line[..end].to_ascii_lowercase().as_str() {
        "challengeresponseauthentication" | "skeyauthentication" => {
            "kbdinteractiveauthentication".to_owned()
        }
        other => other.to_owned(),
    };
    Some((keyword, rest.trim_matches('"').to_owned()))
}

/// The files that a pattern names, sorted, as glob(7) does with a pattern in the last part.
fn matching(root: &Root, pattern: &Path) -> Vec<PathBuf> {
    let (Some(folder), Some(last)) = (pattern.parent(), pattern.file_name()) else {
        return Vec::new();
    };
    let last = last.to_string_lossy();
    let names = root.names(folder).into_iter();
    names
        .filter(|name| matches(&last, &name.to_string_lossy()))
        .map(|name| folder.join(name))
        .collect()
}

/// A pattern that cannot be read is a name, as in glob(7).
fn matches(pattern: &str, name: &str) -> bool {
    let options = MatchOptions {
        require_literal_leading_dot: true,
        ..MatchOptions::new()
    };
    Pattern::new(pattern).map_or(pattern == name, |pattern| {
        pattern.matches_with(name, options)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_of_include() {
        for (pattern, name, expected) in [
            ("*.conf", "50-a.conf", true),
            ("*.conf", "a.conf~", false),
            ("5?-a.conf", "50-a.conf", true),
            ("a", "a", true),
            ("a", "A", false),
            ("*", "", true),
            ("*", ".swp", false),
            (".*", ".swp", true),
            ("[0-4]*", "50-a", false),
            ("[!0-4]*", "50-a", true),
            ("[a", "[a", true),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn keywords_and_values() {
        let read = |line| keyword(line).map(|(keyword, value)| format!("{keyword}|{value}"));
        assert_eq!(read("  UsePAM yes # here").as_deref(), Some("usepam|yes"));
        assert_eq!(read("usepam=no").as_deref(), Some("usepam|no"));
        assert_eq!(
            read("ChallengeResponseAuthentication \"no\"").as_deref(),
            Some("kbdinteractiveauthentication|no")
        );
        assert_eq!(read("# UsePAM no"), None);
    }
}
