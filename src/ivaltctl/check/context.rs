//! What the checks look at: a system, the lines that name our module, and the settings these lines name.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::services::{ModuleLine, lines_with_ivalt, services_with_ivalt};
use crate::finding::{Acceptance, Finding, Severity};
use crate::pam_stack;
use crate::root::Root;
use crate::trust;
use ivalt_core::arguments::DEFAULT_CONFIG;
use ivalt_core::problem::{Fix, Problem, ProblemKind};
use ivalt_core::settings::Settings;
use ivalt_core::trusted_file::{ReadPermission, SMALL, Trust};

/// The system that is checked.
pub struct CheckContext<'a> {
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
    /// The user who alone can use it, if it is not root's and no service that runs as root names it.
    pub owner: Option<u32>,
    pub settings: Result<Settings, Problem>,
    /// What was read for them: this file, and that of the API key.
    pub read: BTreeSet<PathBuf>,
}

/// Services that run as root wherever they are.
pub const RUN_AS_ROOT: [&str; 7] = ["sshd", "sudo", "sudo-i", "su", "su-l", "login", "doas"];

impl Config {
    fn new(root: &Root, path: PathBuf, lines: &[ModuleLine]) -> Self {
        let owner = owner(root, &path, lines);
        let (settings, read) = load(root, &path, trust_with(owner));
        Self {
            path,
            owner,
            settings,
            read,
        }
    }

    /// Whose files its service trusts.
    pub fn trust(&self) -> Trust {
        trust_with(self.owner)
    }
}

fn trust_with(owner: Option<u32>) -> Trust {
    owner.map_or_else(trust, |effective_uid| Trust { effective_uid })
}

fn owner(root: &Root, path: &Path, lines: &[ModuleLine]) -> Option<u32> {
    let mut of_root = lines
        .iter()
        .filter(|line| RUN_AS_ROOT.contains(&line.service.as_str()));
    if path == Path::new(DEFAULT_CONFIG) || of_root.any(|line| line.config() == path) {
        return None;
    }
    let uid = root.link_metadata(path).ok()?.uid();
    (![0, trust().effective_uid].contains(&uid)).then_some(uid)
}

impl<'a> CheckContext<'a> {
    /// Reads stacks and settings.
    pub fn new(root: &'a Root, config: &Path) -> Self {
        let lines = lines_with_ivalt(root);
        let mut paths: Vec<_> = lines.iter().map(ModuleLine::config).collect();
        if paths.is_empty() || config != Path::new(DEFAULT_CONFIG) {
            paths.push(config.to_owned());
        }
        paths.sort();
        paths.dedup();
        let configs = paths
            .into_iter()
            .map(|path| Config::new(root, path, &lines));
        Self {
            root,
            configs: configs.collect(),
            services: services_with_ivalt(root),
            lines,
        }
    }

    /// Whether a service asks iVALT.
    pub fn covers(&self, service: &str) -> bool {
        self.note(service);
        self.services.iter().any(|name| name == service)
    }

    /// What follows is derived from the files of this service.
    pub fn note(&self, service: &str) {
        let _ = pam_stack::read(self.root, service);
    }

    /// The settings a service reads, where they are usable.
    pub fn settings_of(&self, service: &str) -> Option<&Settings> {
        let line = self.lines.iter().find(|line| line.service == service)?;
        self.settings_of_line(line)
    }

    /// The settings a line names, where they are usable.
    pub fn settings_of_line(&self, line: &ModuleLine) -> Option<&Settings> {
        let path = line.config();
        let config = self.configs.iter().find(|config| config.path == path)?;
        self.note(&line.service);
        self.note_settings(config);
        config.settings.as_ref().ok()
    }

    /// All usable settings, with their files.
    pub fn usable(&self) -> impl Iterator<Item = (&Config, &Settings)> {
        self.configs
            .iter()
            .inspect(|config| self.note_settings(config))
            .filter_map(|config| Some((config, config.settings.as_ref().ok()?)))
    }

    /// What follows is derived from these settings, which the module's own code reads.
    fn note_settings(&self, config: &Config) {
        self.root.record(&config.path);
    }
}

/// A finding without a line.
pub fn finding(
    severity: Severity,
    id: &'static str,
    file: impl Into<PathBuf>,
    what: impl Into<String>,
    fix: impl Into<String>,
) -> Finding {
    Finding {
        severity,
        id,
        file: Some(file.into()),
        line: None,
        what: what.into(),
        fix: fix.into(),
        acceptance: Acceptance::default(),
    }
}

/// What happens to a login while the settings, or a file they name, cannot be used.
pub const MISCONFIGURED: &str = "everybody who is asked for iVALT is denied (misconfigured)";

/// A finding about a problem that the module has with `file`.
pub fn problem_finding(
    severity: Severity,
    id: &'static str,
    file: &Path,
    problem: &Problem,
    consequence: &str,
    default_fix: &str,
) -> Finding {
    let what = match (problem.kind, &problem.path) {
        // The file of the finding is the one that names the key file.
        (ProblemKind::KeyFile, Some(path)) => {
            format!("api.key_file: {}: {}", path.display(), problem.what)
        }
        _ => problem.what.clone(),
    };
    let fix = problem.fix.as_ref().map_or(default_fix, Fix::as_str);
    let found = Finding {
        line: problem.line,
        ..finding(severity, id, file, format!("{what}: {consequence}"), fix)
    };
    found.not_acceptable()
}

/// The line that sets a key of a settings file, where it is written in the usual form.
pub fn line_of(root: &Root, file: &Path, key: &str) -> Option<usize> {
    let text = root.read(file).ok()?;
    let sets_key = |line: &str| {
        let rest = line.trim_start().strip_prefix(key);
        rest.is_some_and(|rest| rest.trim_start().starts_with('='))
    };
    text.lines().position(sets_key).map(|index| index + 1)
}

fn load(root: &Root, path: &Path, trust: Trust) -> (Result<Settings, Problem>, BTreeSet<PathBuf>) {
    let read = RefCell::new(BTreeSet::new());
    let settings = Settings::load_by(path, &|path| {
        read.borrow_mut().insert(path.to_owned());
        root.read_trusted(trust, path, ReadPermission::OwnerOnly, SMALL)
    });
    (settings, read.into_inner())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_has_the_line_and_the_fix_of_its_problem() {
        let file = Path::new("/e/i.toml");
        let bad = Problem::invalid("is bad").in_file(file);
        let key = Path::new("/e/api.key");
        for (problem, line, what, fix) in [
            (bad.clone(), None, "is bad: so", "edit it"),
            (
                bad.clone().in_line(3).fix("keep one"),
                Some(3),
                "is bad: so",
                "keep one",
            ),
            (
                bad.clone().run("chmod 0600 x".into()),
                None,
                "is bad: so",
                "chmod 0600 x",
            ),
            (
                Problem {
                    kind: ProblemKind::KeyFile,
                    ..bad.in_file(key)
                },
                None,
                "api.key_file: /e/api.key: is bad: so",
                "edit it",
            ),
        ] {
            let found = problem_finding(Severity::Warning, "x", file, &problem, "so", "edit it");
            assert_eq!(found.file.as_deref(), Some(file));
            assert_eq!(
                (found.line, found.what.as_str(), found.fix.as_str()),
                (line, what, fix)
            );
        }
    }
}
