//! sshd's effective configuration: from `sshd -T` where it can be run, with file and line from its files.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use glob::{MatchOptions, Pattern};

use super::version::{ONE_PROMPT_SETTING, version};
use crate::check::program;
use crate::root::Root;

/// Where sshd begins to read.
pub const CONFIG: &str = "/etc/ssh/sshd_config";
/// sshd's own limit of `Include` in `Include` (SERVCONF_MAX_DEPTH).
const MAX_DEPTH: usize = 16;

/// A file, and a line of it, from 1.
pub type Location = (PathBuf, usize);

/// An effective value, and where it is set, if it is.
#[derive(Clone, Debug)]
pub struct EffectiveValue {
    pub text: String,
    pub location: Option<Location>,
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
    /// As this sshd reads it; where its version is not known, as each may. None where there is no sshd.
    pub fn all(root: &Root) -> Vec<Self> {
        // An update of sshd that changes nothing here changes nothing of what is found.
        let (known, _) = root.recorded(|| version(root));
        let separate = known.map_or(vec![true, false], |known| vec![known < ONE_PROMPT_SETTING]);
        let read = |separate| Self::read(root, separate);
        separate.into_iter().filter_map(read).collect()
    }

    /// `separate`: whether ChallengeResponseAuthentication is a setting of its own.
    fn read(root: &Root, separate: bool) -> Option<Self> {
        let text = root.read(Path::new(CONFIG)).ok()?;
        let mut reader = ConfigurationReader {
            root,
            separate,
            settings: Vec::new(),
        };
        reader.file(Path::new(CONFIG), &text, MAX_DEPTH, "");
        let settings = reader.settings;
        let mut global = first_values(&settings, str::is_empty);
        if separate {
            imply_prompts(&mut global);
        }
        global.extend(first_values(&settings, |block| block == ALL));
        let source = match effective(root) {
            Some(printed) => {
                global = with_locations(&printed, &global);
                ""
            }
            None => FROM_FILES,
        };
        let matches = criteria(&settings).into_iter().map(|criteria| {
            let mut values = global.clone();
            values.extend(first_values(&settings, |block| meets(criteria, block)));
            (criteria.to_owned(), values)
        });
        Some(Self {
            matches: matches.collect(),
            global,
            source,
        })
    }
}

/// A line of a file.
struct Setting {
    /// Of the `Match` block that it is in; empty where it is in none.
    criteria: String,
    keyword: String,
    value: EffectiveValue,
}

/// The criteria of `Match all`. It overrides what is outside, as every block does.
const ALL: &str = "all";

/// The first value of each keyword in the blocks that apply, as one connection has them.
fn first_values(settings: &[Setting], applies: impl Fn(&str) -> bool) -> Values {
    let mut values = Values::new();
    for setting in settings.iter().filter(|setting| applies(&setting.criteria)) {
        let keyword = setting.keyword.clone();
        values
            .entry(keyword)
            .or_insert_with(|| setting.value.clone());
    }
    values
}

/// Whether connections that meet these criteria, all of which must hold, meet those of another block too.
fn meets(criteria: &str, other: &str) -> bool {
    let rest = criteria.strip_prefix(other).filter(|_| !other.is_empty());
    other == ALL || rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
}

/// The criteria of all blocks but `Match all`, in their order.
fn criteria(settings: &[Setting]) -> Vec<&str> {
    let mut criteria = Vec::new();
    for setting in settings {
        let one = setting.criteria.as_str();
        if !["", ALL].contains(&one) && !criteria.contains(&one) {
            criteria.push(one);
        }
    }
    criteria
}

/// Before OpenSSH 8.7 `ChallengeResponseAuthentication`, which is yes by default, turns the other on for all connections.
fn imply_prompts(global: &mut Values) {
    let off = |value: &EffectiveValue| value.text.eq_ignore_ascii_case("no");
    if global
        .get("challengeresponseauthentication")
        .is_some_and(off)
    {
        return;
    }
    if let Some(value) = global.get_mut("kbdinteractiveauthentication") {
        "yes".clone_into(&mut value.text);
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
    separate: bool,
    settings: Vec<Setting>,
}

impl ConfigurationReader<'_> {
    /// A `Match` in an included file ends with that file, and both its criteria and those of the block that includes the
    /// file must hold.
    fn file(&mut self, file: &Path, text: &str, depth: usize, outer: &str) {
        let mut criteria = outer.to_owned();
        for (number, line) in (1..).zip(text.lines()) {
            let Some((keyword, rest)) = keyword(line, self.separate) else {
                continue;
            };
            match keyword.as_str() {
                "match" => criteria = both(outer, &rest),
                "include" => self.include(&rest, depth, &criteria),
                _ => self.settings.push(Setting {
                    criteria: criteria.clone(),
                    keyword,
                    value: EffectiveValue {
                        text: rest,
                        location: Some((file.to_owned(), number)),
                    },
                }),
            }
        }
    }

    fn include(&mut self, patterns: &str, depth: usize, criteria: &str) {
        if depth == 0 {
            return;
        }
        for pattern in patterns.split_whitespace() {
            let pattern = Path::new("/etc/ssh").join(pattern.trim_matches('"'));
            for file in matching(self.root, &pattern) {
                let text = self.root.read(&file).unwrap_or_default();
                self.file(&file, &text, depth - 1, criteria);
            }
        }
    }
}

/// The criteria of a block in a file that a block with others includes.
fn both(outer: &str, inner: &str) -> String {
    match (outer, inner) {
        ("" | ALL, inner) if inner.eq_ignore_ascii_case(ALL) => ALL.to_owned(),
        ("" | ALL, inner) => inner.to_owned(),
        (outer, inner) if inner.eq_ignore_ascii_case(ALL) => outer.to_owned(),
        (outer, inner) => format!("{outer} {inner}"),
    }
}

/// The keyword in lower case and its value; sshd takes blanks or one `=` between them.
fn keyword(line: &str, separate: bool) -> Option<(String, String)> {
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
        "challengeresponseauthentication" | "skeyauthentication" if !separate => {
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

    /// Of one keyword, for all connections and for those of each block.
    fn values(text: &str, separate: bool, keyword: &str) -> Vec<(String, String)> {
        let config = Path::new("/etc/ssh/sshd_config.d/block.conf");
        let block = "X11Forwarding yes\nMatch Group b\nMaxAuthTries 7\nMatch all\nMaxAuthTries 8\n";
        let root = Root::new(Path::new("/no/such/folder"))
            .with(Path::new(CONFIG), text.to_owned())
            .with(config, block.to_owned());
        let read = Configuration::read(&root, separate).unwrap();
        let value = |values: &Values| {
            values
                .get(keyword)
                .map_or("-", |value| &value.text)
                .to_owned()
        };
        let blocks = read.matches.iter();
        let blocks = blocks.map(|(criteria, values)| (criteria.clone(), value(values)));
        [(String::new(), value(&read.global))]
            .into_iter()
            .chain(blocks)
            .collect()
    }

    #[test]
    fn blocks_override_what_is_outside_and_the_first_of_them_counts() {
        let include = "Include /etc/ssh/sshd_config.d/block.conf\n";
        for (text, expected) in [
            (
                "MaxAuthTries 1\nMatch User a\nMaxAuthTries 2\n",
                &[("", "1"), ("User a", "2")][..],
            ),
            // A block with the same criteria applies to the same connections.
            (
                "Match User a\nMaxAuthTries 2\nMatch User a\nMaxAuthTries 3\n",
                &[("", "-"), ("User a", "2")],
            ),
            (
                "Match User a\nMaxAuthTries 2\nMatch User a Group b\nMaxAuthTries 3\nMatch User ab\nMaxAuthTries 4\n",
                &[
                    ("", "-"),
                    ("User a", "2"),
                    ("User a Group b", "2"),
                    ("User ab", "4"),
                ],
            ),
            ("MaxAuthTries 1\nMatch all\nMaxAuthTries 2\n", &[("", "2")]),
            (
                "Match User a\nMaxAuthTries 2\nMatch all\nMaxAuthTries 3\n",
                &[("", "3"), ("User a", "2")],
            ),
            (
                "Match All\nMaxAuthTries 3\nMatch User a\nMaxAuthTries 2\n",
                &[("", "3"), ("User a", "3")],
            ),
            (
                &format!("{include}MaxAuthTries 1\n"),
                &[("", "8"), ("Group b", "7")],
            ),
            (
                &format!("MaxAuthTries 1\nMatch User a\n{include}MaxAuthTries 2\n"),
                &[("", "1"), ("User a", "8"), ("User a Group b", "7")],
            ),
        ] {
            let expected: Vec<_> = expected
                .iter()
                .map(|(criteria, value)| (criteria.to_string(), value.to_string()))
                .collect();
            assert_eq!(values(text, false, "maxauthtries"), expected, "{text}");
        }
    }

    /// sshd.c of OpenSSH 8.6: challenge-response is implemented via keyboard-interactive.
    #[test]
    fn one_setting_implies_the_other_before_8_7() {
        let kbd = "KbdInteractiveAuthentication no\n";
        for (text, separate, expected) in [
            (kbd, true, "yes"),
            (kbd, false, "no"),
            (
                "KbdInteractiveAuthentication no\nChallengeResponseAuthentication no\n",
                true,
                "no",
            ),
            ("Match all\nKbdInteractiveAuthentication no\n", true, "no"),
            ("ChallengeResponseAuthentication no\n", true, "-"),
            ("ChallengeResponseAuthentication no\n", false, "no"),
        ] {
            let read = values(text, separate, "kbdinteractiveauthentication");
            assert_eq!(read[0].1, expected, "{text} {separate}");
        }
    }

    #[test]
    fn keywords_and_values() {
        let read = |line| keyword(line, false).map(|(keyword, value)| format!("{keyword}|{value}"));
        assert_eq!(read("  UsePAM yes # here").as_deref(), Some("usepam|yes"));
        assert_eq!(read("usepam=no").as_deref(), Some("usepam|no"));
        assert_eq!(
            read("ChallengeResponseAuthentication \"no\"").as_deref(),
            Some("kbdinteractiveauthentication|no")
        );
        assert_eq!(read("# UsePAM no"), None);
        let (older, _) = keyword("ChallengeResponseAuthentication no", true).unwrap();
        assert_eq!(older, "challengeresponseauthentication");
    }
}
