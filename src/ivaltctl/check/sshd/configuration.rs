//! sshd's effective configuration: from `sshd -T` where it can be run, with file and line from its files.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::version::{ONE_PROMPT_SETTING, version};
use crate::root::Root;
use crate::sshd_config::{Setting, SshdConfig};
use crate::sshd_program::{self, Verdict};

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
    /// The file with which sshd begins.
    pub main: PathBuf,
    /// What a finding must say about where this comes from.
    pub source: &'static str,
    files: SshdConfig,
}

impl Configuration {
    /// As this sshd reads it; where its version is not known, as each may. None where there is no sshd.
    pub fn all(root: &Root) -> Vec<Self> {
        let separate =
            version(root).map_or(vec![true, false], |known| vec![known < ONE_PROMPT_SETTING]);
        let read = |separate| Self::read(root, separate);
        separate.into_iter().filter_map(read).collect()
    }

    /// `separate`: whether ChallengeResponseAuthentication is a setting of its own.
    fn read(root: &Root, separate: bool) -> Option<Self> {
        let files = SshdConfig::read(root, separate)?;
        let mut global = values(&files, &[]);
        if separate {
            imply_prompts(&files, &mut global);
        }
        let source = match effective(root) {
            Some(printed) => {
                global = with_locations(&printed, &global);
                ""
            }
            None => FROM_FILES,
        };
        let mut configuration = Self {
            matches: Vec::new(),
            main: files.main.clone(),
            global,
            source,
            files,
        };
        let blocks = configuration.blocks().iter();
        let matches = blocks.map(|criteria| (criteria.join(" "), configuration.meeting(criteria)));
        configuration.matches = matches.collect();
        Some(configuration)
    }

    /// The criteria of each `Match` block, such as `User alice`.
    pub fn blocks(&self) -> &[Vec<String>] {
        &self.files.blocks
    }

    /// For connections that meet these criteria and no others.
    pub fn meeting(&self, criteria: &[String]) -> Values {
        let mut values = self.global.clone();
        values.extend(of_blocks(&self.files, criteria));
        values
    }
}

/// Before OpenSSH 8.7 `ChallengeResponseAuthentication`, which is yes by default, turns the other on for all connections,
/// but not where a block for all of them says otherwise.
fn imply_prompts(files: &SshdConfig, global: &mut Values) {
    let off = |value: &EffectiveValue| value.text.eq_ignore_ascii_case("no");
    let in_block = of_blocks(files, &[]).contains_key("kbdinteractiveauthentication");
    if in_block
        || global
            .get("challengeresponseauthentication")
            .is_some_and(off)
    {
        return;
    }
    if let Some(value) = global.get_mut("kbdinteractiveauthentication") {
        "yes".clone_into(&mut value.text);
    }
}

/// Whether a file is a package's: what is written there does not outlive an update.
pub fn is_vendors(file: &Path) -> bool {
    file.starts_with("/usr")
}

/// What the files say for connections that meet these criteria and no others.
fn values(files: &SshdConfig, criteria: &[String]) -> Values {
    collect(files, |keyword| files.value(keyword, criteria))
}

/// What the blocks say for them.
fn of_blocks(files: &SshdConfig, criteria: &[String]) -> Values {
    collect(files, |keyword| files.of_blocks(keyword, criteria))
}

fn collect<'a>(files: &'a SshdConfig, value: impl Fn(&str) -> Option<&'a Setting>) -> Values {
    let keywords = files.settings.iter().map(|setting| &setting.keyword);
    let located = |keyword: &String| {
        let setting = value(keyword)?;
        let value = EffectiveValue {
            text: setting.arguments.join(" "),
            location: Some((setting.file.clone(), setting.line)),
        };
        Some((keyword.clone(), value))
    };
    keywords.filter_map(located).collect()
}

/// sshd does not know of a change that is not written yet.
fn effective(root: &Root) -> Option<String> {
    let is_written = !root.differs_below(Path::new("/etc/ssh"));
    is_written.then(|| sshd_program::effective(root))?
}

/// Why sshd does not take its configuration, in its own words.
pub fn refusal(root: &Root) -> Option<String> {
    // Others than root may not read all of it.
    let can_tell = root.is_this_machine() && nix::unistd::geteuid().is_root();
    if !can_tell || root.differs_below(Path::new("/etc/ssh")) {
        return None;
    }
    match sshd_program::test(root) {
        Verdict::Refused(words) => Some(words),
        Verdict::Taken | Verdict::None => None,
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sshd_config::CONFIG;

    /// Of one keyword, for all connections and for those of each block.
    fn values(text: &str, separate: bool, keyword: &str) -> Vec<(String, String)> {
        let config = Path::new("/etc/ssh/sshd_config.d/block.conf");
        let block = "X11Forwarding yes\nMatch Group b\nMaxAuthTries 7\nMatch all\nMaxAuthTries 8\n";
        let dir = tempfile::TempDir::new().unwrap();
        let root = Root::new(dir.path())
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
}
