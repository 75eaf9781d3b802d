//! What is wrong with a file or with something in it, as data: programs look at [`Problem::kind`], and only people
//! read the sentence.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// Why a file, or something in it, cannot be used. It never quotes a value, which may be a secret.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Problem {
    /// The file.
    pub path: Option<PathBuf>,
    /// The line in it, from 1.
    pub line: Option<usize>,
    /// Which fault it is, for programs.
    pub kind: ProblemKind,
    /// What is wrong, beginning with the key or the user where it is about one.
    pub what: String,
    /// How it is fixed, where the fault does not already say so.
    pub fix: Option<Fix>,
}

/// The faults that a program may have to tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ProblemKind {
    /// There is no such file.
    Missing,
    /// This process may not open it.
    PermissionDenied,
    /// It could not be read for another reason.
    Unreadable,
    /// Its type, owner, mode or size is not that of a trusted file.
    Untrusted,
    /// What is in it cannot be used.
    Invalid,
    /// A user has two entries.
    DefinedTwice,
    /// The file that `api.key_file` names cannot be read.
    KeyFile,
    /// The file that `api.ca_file` names cannot be read.
    CaFile,
}

/// How a problem is fixed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Fix {
    /// By this command.
    Run(String),
    /// As these words say.
    Words(String),
}

impl Problem {
    /// A problem of which nothing but `what` is known.
    #[must_use]
    pub fn new(kind: ProblemKind, what: impl Into<String>) -> Self {
        Self {
            path: None,
            line: None,
            kind,
            what: what.into(),
            fix: None,
        }
    }

    /// Something that cannot be used as it is.
    #[must_use]
    pub fn invalid(what: impl Into<String>) -> Self {
        Self::new(ProblemKind::Invalid, what)
    }

    /// The same, in this file.
    #[must_use]
    pub fn in_file(self, path: &Path) -> Self {
        Self {
            path: Some(path.to_owned()),
            ..self
        }
    }

    /// The same, in this line.
    #[must_use]
    pub fn in_line(self, line: usize) -> Self {
        Self {
            line: Some(line),
            ..self
        }
    }

    /// The same, fixed by this command.
    #[must_use]
    pub fn run(self, command: String) -> Self {
        Self {
            fix: Some(Fix::Run(command)),
            ..self
        }
    }

    /// The same, fixed as these words say.
    #[must_use]
    pub fn fix(self, words: impl Into<String>) -> Self {
        Self {
            fix: Some(Fix::Words(words.into())),
            ..self
        }
    }

    /// The same, of another kind.
    #[must_use]
    pub(crate) fn of_kind(self, kind: ProblemKind) -> Self {
        Self { kind, ..self }
    }
}

/// An error of the system in the words of strerror(3), without its number.
#[must_use]
pub fn system_words(error: &io::Error) -> String {
    let mut words = error.to_string();
    words.truncate(words.find(" (os error ").unwrap_or(words.len()));
    words
}

/// The same as the middle of a sentence.
#[must_use]
pub fn reason(error: &io::Error) -> String {
    let mut words = system_words(error);
    if let Some(first) = words.get_mut(..1) {
        first.make_ascii_lowercase();
    }
    words
}

impl ProblemKind {
    /// The setting that names the file.
    fn setting(self) -> Option<&'static str> {
        match self {
            Self::KeyFile => Some("api.key_file"),
            Self::CaFile => Some("api.ca_file"),
            Self::Missing
            | Self::PermissionDenied
            | Self::Unreadable
            | Self::Untrusted
            | Self::Invalid
            | Self::DefinedTwice => None,
        }
    }
}

impl Fix {
    /// The command or the words alone.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Run(text) | Self::Words(text) => text,
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(setting) = self.kind.setting() {
            write!(f, "{setting}: ")?;
        }
        match (&self.path, self.line) {
            (Some(path), Some(line)) => write!(f, "{}:{line}: ", path.display())?,
            (Some(path), None) => write!(f, "{}: ", path.display())?,
            (None, _) => {}
        }
        f.write_str(&self.what)?;
        match &self.fix {
            Some(Fix::Run(command)) => write!(f, "; run: {command}"),
            Some(Fix::Words(words)) => write!(f, "; {words}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Problem {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_of_the_system_has_its_own_words() {
        for (number, words) in [
            (libc::EACCES, "permission denied"),
            (libc::EIO, "input/output error"),
            (libc::EMFILE, "too many open files"),
        ] {
            assert_eq!(reason(&io::Error::from_raw_os_error(number)), words);
        }
        assert_eq!(reason(&io::Error::other("")), "");
        assert_eq!(reason(&io::Error::other("\u{dc}bel")), "\u{dc}bel");
    }

    #[test]
    fn one_sentence_says_where_what_and_the_fix() {
        let bare = Problem::new(ProblemKind::Invalid, "is bad");
        assert_eq!(bare.to_string(), "is bad");
        let placed = bare.in_file(Path::new("/f")).in_line(3);
        assert_eq!(placed.to_string(), "/f:3: is bad");
        assert_eq!(
            placed.clone().fix("keep one").to_string(),
            "/f:3: is bad; keep one"
        );
        assert_eq!(
            placed
                .of_kind(ProblemKind::KeyFile)
                .run("rm /f".to_owned())
                .to_string(),
            "api.key_file: /f:3: is bad; run: rm /f"
        );
    }
}
