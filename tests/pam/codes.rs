//! Recovery codes as a test needs them: a store with codes of known text, and the settings for it.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use ivalt_core::recovery::code::{self, Code};
use ivalt_core::recovery::store::{self, CodeFile};
use ivalt_core::secret::Secret;
use support::{Case, Severity, StandIn, codes::*, write_file};

use crate::expect::Row;

pub const ACCEPTED: Row = Row("allow", "recovery-code", PAM_SUCCESS, Severity::Warning);
pub const REFUSED_CODE: Row = Row(
    "deny",
    "recovery-code-refused",
    PAM_AUTH_ERR,
    Severity::Warning,
);
pub const EXHAUSTED_CODES: Row = Row(
    "deny",
    "recovery-code-refused",
    PAM_MAXTRIES,
    Severity::Warning,
);

/// What the user reads.
pub const MISTYPED: &str = "That recovery code has a typing error.";
pub const UNKNOWN: &str = "That recovery code is unknown, used or expired.";

/// When the codes of a test were made.
pub const MADE: u64 = 1_764_165_600;

/// The recovery codes of one case.
pub struct Codes {
    pub directory: PathBuf,
}

impl Codes {
    /// No user has any yet.
    pub fn new(case: &Case) -> Self {
        let directory = case.dir().join("recovery");
        make_folder(&directory);
        Self { directory }
    }

    pub fn folder(&self, user: &str) -> PathBuf {
        self.directory
            .join(store::user_folder(user.as_bytes()).unwrap())
    }

    fn salt(&self, user: &str) -> Secret {
        let (folder, path) = (self.folder(user), self.folder(user).join(store::SALT));
        if !folder.exists() {
            make_folder(&folder);
            write_file(&path, store::new_salt().unwrap().as_bytes(), 0o600);
        }
        Secret::new(fs::read(path).unwrap())
    }

    /// One more code, as it is printed.
    pub fn add(&self, user: &str, number: u32, expires: Option<u64>) -> String {
        let code = code::generate().unwrap();
        let file = CodeFile {
            number,
            made: MADE,
            expires,
        };
        let path = self.file(user, &code);
        write_file(&path, file.text(), 0o600);
        String::from_utf8(code::format(&code).as_bytes().to_vec()).unwrap()
    }

    /// So many codes, numbered from 1.
    pub fn make(&self, user: &str, count: u32) -> Vec<String> {
        (1..=count)
            .map(|number| self.add(user, number, None))
            .collect()
    }

    pub fn file(&self, user: &str, code: &Code) -> PathBuf {
        let name = store::code_file(&self.salt(user), user.as_bytes(), code);
        self.folder(user).join(name)
    }

    /// The file of a code as it is printed.
    pub fn file_of(&self, user: &str, text: &str) -> PathBuf {
        match code::read(&Secret::new(text.as_bytes().to_vec())) {
            code::Answer::Code(code) => self.file(user, &code),
            other => panic!("{other:?}"),
        }
    }

    /// How many are unused.
    pub fn left(&self, user: &str) -> usize {
        let names = fs::read_dir(self.folder(user)).unwrap();
        let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| store::is_code_file(name)).count()
    }

    pub fn used(&self, user: &str) -> String {
        fs::read_to_string(self.folder(user).join(store::USED)).unwrap_or_default()
    }
}

fn make_folder(path: &Path) {
    DirBuilder::new().mode(0o700).create(path).unwrap();
}

/// Our module with recovery codes; alice has so many.
pub fn with_codes(ivalt: &StandIn, count: u32) -> (Case, Codes, Vec<String>) {
    let case = Case::against(ivalt);
    let codes = Codes::new(&case);
    let texts = codes.make("alice", count);
    let settings = settings(&case, ivalt, &codes);
    (case.with_settings(&settings), codes, texts)
}

/// Valid settings with recovery codes, to be changed.
pub fn settings(case: &Case, ivalt: &StandIn, codes: &Codes) -> support::Settings {
    let directory = codes.directory.to_str().unwrap();
    case.settings(ivalt)
        .set("recovery", "codes", true)
        .set("recovery", "directory", directory)
}
