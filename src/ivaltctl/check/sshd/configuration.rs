//! sshd's effective configuration: from `sshd -T` where it can be run, with file and line from its files.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::check::program;
use crate::root::Root;
use crate::sshd_config::{Setting, SshdConfig};

/// An effective value, and where it is set, if it is.
#[derive(Clone, Debug)]
pub struct EffectiveValue {
    pub text: String,
    pub location: Option<(PathBuf, usize)>,
}

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
}

impl Configuration {
    /// `None` where there is no sshd.
    pub fn of(root: &Root) -> Option<Self> {
        let files = SshdConfig::read(root)?;
        let mut global = values(&files, &[]);
        let source = match effective(root) {
            Some(printed) => {
                global = with_locations(&printed, &global);
                ""
            }
            None => " (as its files say; sshd -T was not run)",
        };
        let matches = files.blocks.iter().map(|criteria| {
            let mut of_block = global.clone();
            of_block.extend(values(&files, criteria));
            (criteria.join(" Match "), of_block)
        });
        Some(Self {
            matches: matches.collect(),
            main: files.main.clone(),
            global,
            source,
        })
    }
}

/// What the files say for connections that match these criteria and no others.
fn values(files: &SshdConfig, criteria: &[String]) -> Values {
    let keywords = files.settings.iter().map(|setting| &setting.keyword);
    let effective = |keyword: &String| {
        let Setting {
            arguments,
            file,
            line,
            ..
        } = files.value(keyword, criteria)?;
        let value = EffectiveValue {
            text: arguments.join(" "),
            location: Some((file.clone(), *line)),
        };
        Some((keyword.clone(), value))
    };
    keywords.filter_map(effective).collect()
}

/// sshd needs root, host keys and /run/sshd for it. It does not know of a change that is not written yet.
fn effective(root: &Root) -> Option<String> {
    let can_be_run = root.is_this_machine() && !root.differs_below(Path::new("/etc/ssh"));
    can_be_run.then(|| program::output(&["/usr/sbin/sshd", "/usr/bin/sshd"], &["-T"]))?
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
