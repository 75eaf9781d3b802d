//! What the examiners look at: a system, the lines that name our module, and the settings these lines name.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::json;
use toml::de::{DeTable, DeValue};

use super::services::{ModuleLine, lines_with_ivalt, services_with_ivalt};
use crate::finding::{Finding, Severity};
use crate::root::Root;
use crate::surroundings;
use ivalt_core::arguments::DEFAULT_CONFIG;
use ivalt_core::settings::Settings;
use ivalt_core::trusted_file::{Readers, SMALL};

/// A system under examination.
pub struct Patient<'a> {
    pub root: &'a Root,
    /// The services that ask iVALT, sorted.
    pub services: Vec<String>,
    /// The lines of pam.d that name our module.
    pub lines: Vec<ModuleLine>,
    /// Every settings file that a login or the administrator names.
    pub configs: Vec<Config>,
}

/// A settings file and what the module makes of it.
pub struct Config {
    pub path: PathBuf,
    pub settings: Result<Settings, Unusable>,
}

/// Why settings cannot be used, in the module's own sentence.
pub struct Unusable {
    pub why: Why,
    pub sentence: String,
}

/// Which of the ways not to be usable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    Missing,
    /// Only root may look, and we are not.
    NotSeen,
    Untrusted,
    KeyFile,
    Invalid,
}

impl<'a> Patient<'a> {
    /// Reads stacks and settings.
    pub fn new(root: &'a Root, config: &Path) -> Self {
        let lines = lines_with_ivalt(root);
        let mut paths: Vec<_> = lines.iter().map(ModuleLine::config).collect();
        if paths.is_empty() || config != Path::new(DEFAULT_CONFIG) {
            paths.push(config.to_owned());
        }
        paths.sort();
        paths.dedup();
        let configs = paths.into_iter().map(|path| Config {
            settings: load(root, &path),
            path,
        });
        Self {
            root,
            configs: configs.collect(),
            services: services_with_ivalt(root),
            lines,
        }
    }

    /// Whether a service asks iVALT.
    pub fn covers(&self, service: &str) -> bool {
        self.services.iter().any(|name| name == service)
    }

    /// The settings a service reads, where they are usable.
    pub fn settings_of(&self, service: &str) -> Option<&Settings> {
        let line = self.lines.iter().find(|line| line.service == service)?;
        let path = line.config();
        let config = self.configs.iter().find(|config| config.path == path)?;
        config.settings.as_ref().ok()
    }

    /// All usable settings, with their files.
    pub fn usable(&self) -> impl Iterator<Item = (&Path, &Settings)> {
        self.configs
            .iter()
            .filter_map(|config| Some((config.path.as_path(), config.settings.as_ref().ok()?)))
    }
}

/// A finding without a line.
pub fn finding(
    severity: Severity,
    id: &'static str,
    file: impl Into<PathBuf>,
    what: impl Into<String>,
    mend: impl Into<String>,
) -> Finding {
    Finding {
        severity,
        id,
        file: Some(file.into()),
        line: None,
        what: what.into(),
        mend: mend.into(),
    }
}

/// Where a key stands in a settings file, for the eye: keys may be written in other ways, too.
pub fn line_of(root: &Root, file: &Path, key: &str) -> Option<usize> {
    let text = root.read(file).ok()?;
    let stands = |line: &str| {
        let rest = line.trim_start().strip_prefix(key);
        rest.is_some_and(|rest| rest.trim_start().starts_with('='))
    };
    text.lines().position(stands).map(|index| index + 1)
}

fn load(root: &Root, path: &Path) -> Result<Settings, Unusable> {
    let real = root.real(path);
    let trust = surroundings().trust;
    let refused = |why, sentence: String| Unusable {
        why,
        sentence: root.strip_root_prefix(&sentence),
    };
    let bytes = trust
        .read(&real, Readers::OwnerOnly, SMALL)
        .map_err(|error| refused(why_not(&real), error.to_string()))?;
    let settings = match String::from_utf8(bytes) {
        Ok(text) if !root.is_this_machine() => {
            Settings::parse(path, &with_real_key_file(root, &text), trust)
        }
        _ => Settings::load(&real, trust),
    };
    settings.map_err(|error| {
        let sentence = error.to_string();
        let why = if sentence.starts_with("api.key_file: ") {
            Why::KeyFile
        } else {
            Why::Invalid
        };
        refused(why, sentence)
    })
}

fn why_not(real: &Path) -> Why {
    let missing =
        fs::symlink_metadata(real).is_err_and(|error| error.kind() == io::ErrorKind::NotFound);
    let hidden =
        fs::File::open(real).is_err_and(|error| error.kind() == io::ErrorKind::PermissionDenied);
    match (missing, hidden) {
        (true, _) => Why::Missing,
        (_, true) => Why::NotSeen,
        _ => Why::Untrusted,
    }
}

/// The only path that is followed while settings are read must lead below the folder, too. Lines stay what they are.
fn with_real_key_file(root: &Root, text: &str) -> String {
    let Ok(table) = DeTable::parse(text) else {
        return text.to_owned();
    };
    let api = table.get_ref().get("api").map(|api| api.get_ref());
    let key_file = match api {
        Some(DeValue::Table(api)) => api.get("key_file"),
        _ => None,
    };
    let mut text = text.to_owned();
    let path = key_file.and_then(|key_file| Some((key_file.span(), key_file.get_ref().as_str()?)));
    if let Some((span, path)) = path.filter(|(_, path)| path.starts_with('/')) {
        let real = root.real(Path::new(path));
        // A string of JSON is one of TOML.
        text.replace_range(span, &json!(real.to_string_lossy()).to_string());
    }
    text
}

/// The module's sentence taken apart: file and line in front, the mend behind the last semicolon.
pub fn apart(sentence: &str, file: &Path) -> (Option<usize>, String, Option<String>) {
    let prefix = file.display().to_string();
    let rest = sentence.strip_prefix(&prefix).unwrap_or(sentence);
    let numbered = rest
        .strip_prefix(':')
        .and_then(|rest| rest.split_once(": "));
    let (line, rest) = match numbered.map(|(number, rest)| (number.parse().ok(), rest)) {
        Some((Some(line), rest)) => (Some(line), rest),
        _ => (None, rest.strip_prefix(": ").unwrap_or(rest)),
    };
    match rest.rsplit_once("; ") {
        Some((what, mend)) => {
            let mend = mend.strip_prefix("run: ").unwrap_or(mend);
            (line, what.to_owned(), Some(mend.to_owned()))
        }
        None => (line, rest.to_owned(), None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentences_come_apart() {
        let file = Path::new("/e/i.toml");
        for (sentence, line, what, mend) in [
            (
                "/e/i.toml: does not exist; create it: x",
                None,
                "does not exist",
                Some("create it: x"),
            ),
            (
                "/e/i.toml:3: api.key: must be a string",
                Some(3),
                "api.key: must be a string",
                None,
            ),
            (
                "/e/i.toml:2: al: stands twice, in lines 1 and 2; keep one",
                Some(2),
                "al: stands twice, in lines 1 and 2",
                Some("keep one"),
            ),
            (
                "/e/i.toml: is bad; run: chmod 0600 /e/i.toml",
                None,
                "is bad",
                Some("chmod 0600 /e/i.toml"),
            ),
            (
                "api.key_file: /k: is bad",
                None,
                "api.key_file: /k: is bad",
                None,
            ),
        ] {
            assert_eq!(
                apart(sentence, file),
                (line, what.to_owned(), mend.map(str::to_owned))
            );
        }
    }
}
