//! What sshd is told: from `sshd -T` where it can be asked, with the places from its files.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::check::program;
use crate::root::Root;

/// Where sshd begins to read.
pub const CONFIG: &str = "/etc/ssh/sshd_config";
/// sshd's own limit of `Include` in `Include` (SERVCONF_MAX_DEPTH).
const DEPTH: usize = 16;

/// A value in force, and where it stands, if it does.
#[derive(Clone, Debug)]
pub struct Value {
    pub text: String,
    pub place: Option<(PathBuf, usize)>,
}

/// Keywords in small letters.
pub type Values = BTreeMap<String, Value>;

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
        let mut reading = Reading {
            root,
            blocks: vec![(String::new(), Values::new())],
        };
        reading.file(Path::new(CONFIG), &text, DEPTH, 0);
        let mut blocks = reading.blocks.into_iter();
        let mut global = blocks.next().map(|(_, values)| values).unwrap_or_default();
        let source = match in_force(root) {
            Some(printed) => {
                confirm(&mut global, &printed);
                ""
            }
            None => " (as its files say; sshd -T was not asked)",
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

/// sshd needs root, host keys and /run/sshd for it. A change that is not written yet, it does not know.
fn in_force(root: &Root) -> Option<String> {
    let can_be_asked = root.is_this_machine() && !root.differs_below(Path::new("/etc/ssh"));
    can_be_asked.then(|| program::output(&["/usr/sbin/sshd", "/usr/bin/sshd"], &["-T"]))?
}

/// What sshd prints counts; the places are those of the files, where they agree.
fn confirm(global: &mut Values, printed: &str) {
    let mut confirmed = Values::new();
    for line in printed.lines() {
        let Some((keyword, text)) = line.split_once(' ') else {
            continue;
        };
        let place = global.get(keyword).and_then(|value| value.place.clone());
        let value = Value {
            text: text.trim().to_owned(),
            place,
        };
        confirmed.entry(keyword.to_owned()).or_insert(value);
    }
    *global = confirmed;
}

struct Reading<'a> {
    root: &'a Root,
    /// The first is for all connections; then one for each `Match`.
    blocks: Vec<(String, Values)>,
}

impl Reading<'_> {
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
                    let value = Value {
                        text: rest,
                        place: Some((file.to_owned(), number)),
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

/// The keyword in small letters and its value; sshd takes blanks or one `=` between them.
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

/// The files that a pattern names, sorted, as glob(7) does with `*` and `?` in the last part.
fn matching(root: &Root, pattern: &Path) -> Vec<PathBuf> {
    let (Some(folder), Some(last)) = (pattern.parent(), pattern.file_name()) else {
        return Vec::new();
    };
    let last = last.to_string_lossy();
    let names = root.names(folder).into_iter();
    let names = names.filter(|name| fits(last.as_bytes(), name.to_string_lossy().as_bytes()));
    let visible =
        names.filter(|name| last.starts_with('.') || !name.to_string_lossy().starts_with('.'));
    visible.map(|name| folder.join(name)).collect()
}

fn fits(pattern: &[u8], name: &[u8]) -> bool {
    match (pattern, name) {
        ([], []) => true,
        ([b'*', rest @ ..], _) => {
            fits(rest, name) || (!name.is_empty() && fits(pattern, &name[1..]))
        }
        ([b'?', rest @ ..], [_, name @ ..]) => fits(rest, name),
        ([one, rest @ ..], [other, name @ ..]) => one == other && fits(rest, name),
        _ => false,
    }
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
            ("*", "", true),
        ] {
            assert_eq!(
                fits(pattern.as_bytes(), name.as_bytes()),
                expected,
                "{pattern} {name}"
            );
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
