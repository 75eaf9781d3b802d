//! `sshd_config` and what it includes, read as sshd reads them: `load_server_config`, `process_server_config_line` and
//! `match_cfg_line` of OpenSSH's servconf.c, `strdelim` and `argv_split` of its misc.c. `check` and `enable` read alike.

mod pattern;
mod words;

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::check::version;
use crate::root::Root;
pub use pattern::matches_name as matches;

/// Where sshd begins to read.
pub const CONFIG: &str = "/etc/ssh/sshd_config";
/// Where openSUSE's and SUSE's sshd begins to read if there is no [`CONFIG`].
pub const VENDOR_CONFIG: &str = "/usr/etc/ssh/sshd_config";
/// Against this folder sshd resolves an `Include` that is not absolute.
const FOLDER: &str = "/etc/ssh";
/// sshd's own limit of `Include` in `Include` (SERVCONF_MAX_DEPTH); beyond it, it refuses to start.
const MAX_DEPTH: usize = 16;
/// No system has as many; files that include one another many times over must not keep `check` busy for ever.
const MAX_FILES: usize = 2000;
/// The first OpenSSH that has `Include`; for one before it is a bad option, and sshd does not start.
const INCLUDE: Version = (8, 2);
/// Settings that count for all connections or none: sshd does not take them from a `Match` block.
const GLOBAL_ONLY: [&str; 3] = [
    "usepam",
    "logingracetime",
    "challengeresponseauthentication",
];

/// Of OpenSSH, as (major, minor).
pub type Version = (u32, u32);

/// A line that sets something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// In lower case.
    pub keyword: String,
    /// Without quotes and comments.
    pub arguments: Vec<String>,
    pub file: PathBuf,
    pub line: usize,
    pub scope: Scope,
}

/// For which connections a line counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// It is outside of all `Match` blocks.
    Global,
    /// It is in a block with these criteria, such as `User alice`, all of which must be met, also those of a block that
    /// includes the file. None for `Match all`.
    Match(Vec<String>),
}

/// All settings of a system's sshd.
#[derive(Clone, Debug)]
pub struct SshdConfig {
    /// The file with which sshd begins.
    pub main: PathBuf,
    /// In the order in which sshd comes to them: the first one counts.
    pub settings: Vec<Setting>,
    /// The `Match` blocks in their order, the same criteria only once.
    pub blocks: Vec<Vec<String>>,
}

impl SshdConfig {
    /// As the system's own sshd reads them; as a current one does where its version is not known. `separate`: whether
    /// `ChallengeResponseAuthentication` is a setting of its own. `None` where there is no sshd_config.
    pub fn read(root: &Root, separate: bool) -> Option<Self> {
        Self::read_as(root, version(root), separate)
    }

    fn read_as(root: &Root, version: Option<Version>, separate: bool) -> Option<Self> {
        let (main, text) = main_file(root)?;
        let mut reader = Reader {
            root,
            version,
            separate,
            files_left: MAX_FILES,
            config: Self {
                main: main.to_owned(),
                settings: Vec::new(),
                blocks: Vec::new(),
            },
        };
        reader.file(main, &text, MAX_DEPTH, &Scope::Global);
        Some(reader.config)
    }

    /// What the lines outside of all blocks say, and those of `Match all`.
    pub fn outside(&self, keyword: &str) -> Option<&Setting> {
        let for_all = |setting: &&Setting| match &setting.scope {
            Scope::Match(of_block) => of_block.is_empty(),
            Scope::Global => true,
        };
        self.of_keyword(keyword).find(for_all)
    }

    /// What counts for connections that meet these criteria and no others; outside of all blocks with none. A block
    /// overrides what is outside, `Match all` alike, whose lines also count as if they were outside.
    pub fn value(&self, keyword: &str, criteria: &[String]) -> Option<&Setting> {
        self.of_blocks(keyword, criteria)
            .or_else(|| self.outside(keyword))
    }

    /// What the blocks say for these connections.
    pub fn of_blocks(&self, keyword: &str, criteria: &[String]) -> Option<&Setting> {
        let applies = |setting: &&Setting| match &setting.scope {
            Scope::Match(of_block) => of_block.iter().all(|one| criteria.contains(one)),
            Scope::Global => false,
        };
        let mut settings = self.of_keyword(keyword);
        settings
            .find(applies)
            .filter(|_| !GLOBAL_ONLY.contains(&keyword))
    }

    fn of_keyword(&self, keyword: &str) -> impl Iterator<Item = &Setting> {
        let settings = self.settings.iter();
        settings.filter(move |setting| setting.keyword == keyword)
    }
}

/// Whether an sshd of this version knows `Include`.
pub fn has_include(version: Option<Version>) -> bool {
    version.is_none_or(|version| version >= INCLUDE)
}

/// The file with which a system's sshd begins.
pub fn main_path(root: &Root) -> &'static Path {
    main_file(root).map_or(Path::new(CONFIG), |(path, _)| path)
}

fn main_file(root: &Root) -> Option<(&'static Path, String)> {
    let main = Path::new(CONFIG);
    match root.read(main) {
        Ok(text) => Some((main, text)),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let vendor = Path::new(VENDOR_CONFIG);
            Some((vendor, root.read(vendor).ok()?))
        }
        Err(_) => None,
    }
}

struct Reader<'a> {
    root: &'a Root,
    version: Option<Version>,
    separate: bool,
    files_left: usize,
    config: SshdConfig,
}

impl Reader<'_> {
    /// A `Match` in an included file ends with that file.
    fn file(&mut self, file: &Path, text: &str, depth: usize, outer: &Scope) {
        let mut scope = outer.clone();
        let text = words::loaded(text, self.version);
        for (number, line) in (1..).zip(text.split('\n')) {
            let Some((keyword, arguments)) = words::line(line, self.version) else {
                continue;
            };
            match keyword.as_str() {
                "match" => scope = self.block(outer, &arguments),
                "include" if has_include(self.version) => self.include(&arguments, depth, &scope),
                _ => self.config.settings.push(Setting {
                    keyword: self.same(keyword),
                    arguments,
                    file: file.to_owned(),
                    line: number,
                    scope: scope.clone(),
                }),
            }
        }
    }

    fn block(&mut self, outer: &Scope, arguments: &[String]) -> Scope {
        let mut criteria = match outer {
            Scope::Global => Vec::new(),
            Scope::Match(criteria) => criteria.clone(),
        };
        for one in own_criteria(arguments) {
            if !criteria.contains(&one) {
                criteria.push(one);
            }
        }
        if !criteria.is_empty() && !self.config.blocks.contains(&criteria) {
            self.config.blocks.push(criteria.clone());
        }
        Scope::Match(criteria)
    }

    /// What a pattern does not find is no error for sshd.
    fn include(&mut self, patterns: &[String], depth: usize, scope: &Scope) {
        if depth == 0 {
            self.files_left = 0;
        }
        for pattern in patterns {
            let absolute = Path::new(FOLDER).join(pattern);
            // sshd does not expand a tilde, and takes it for the beginning of a path.
            for file in pattern::files(self.root, &absolute).filter(|_| !pattern.starts_with('~')) {
                if self.files_left == 0 {
                    return;
                }
                self.files_left -= 1;
                let text = self.root.read(&file).unwrap_or_default();
                self.file(&file, &text, depth - 1, scope);
            }
        }
    }

    /// One keyword for those that are the same setting.
    fn same(&self, keyword: String) -> String {
        match keyword.as_str() {
            "challengeresponseauthentication" | "skeyauthentication" if !self.separate => {
                "kbdinteractiveauthentication".to_owned()
            }
            "dsaauthentication" => "pubkeyauthentication".to_owned(),
            _ => keyword,
        }
    }
}

/// `User alice` and `Group admins` of a line with both, all of which must be met; none of `all`.
fn own_criteria(arguments: &[String]) -> Vec<String> {
    let mut words = arguments.iter();
    let mut criteria = Vec::new();
    while let Some(word) = words.next() {
        match word.to_ascii_lowercase().as_str() {
            "all" => {}
            "invalid-user" => criteria.push(word.clone()),
            _ if word.contains('=') => criteria.push(word.replacen('=', " ", 1)),
            _ => criteria.push(format!(
                "{word} {}",
                words.next().map_or("", String::as_str)
            )),
        }
    }
    criteria
}

#[cfg(test)]
mod tests;
