//! What libpam cannot read, or reads differently from version to version, and how to fix it.

use super::lines::logical_lines;
use super::reader::Location;
use crate::root::Root;
use crate::system_error::shell_word;

/// Why a rule can only fail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The first word is not a type.
    Type(String),
    /// Nothing follows the type.
    NoControl,
    /// Nothing follows the control field.
    NoModule,
    /// This file cannot be opened.
    NoFile(String),
    /// This file includes itself.
    TooDeep(String),
    /// The line includes a file without naming it.
    NoName,
    /// This makes libpam give up on the included file.
    FileUnusable(Box<LoadError>),
}

impl Fault {
    /// What is wrong.
    pub fn what(&self) -> String {
        match self {
            Self::Type(word) => format!("\"{}\" is not a PAM type", word.escape_debug()),
            Self::NoControl | Self::NoModule => "the line ends before it names a module".to_owned(),
            Self::NoFile(name) => format!("there is no file {} to include", name.escape_debug()),
            Self::TooDeep(name) => format!("{} includes itself", name.escape_debug()),
            Self::NoName => "the line includes a file without naming it".to_owned(),
            Self::FileUnusable(error) => {
                let file = error.location.file.to_string_lossy();
                let (line, what) = (error.location.line, error.kind.what());
                format!(
                    "libpam gives up on {}, line {line}: {what}",
                    file.escape_debug()
                )
            }
        }
    }

    /// How to fix it.
    pub fn fix(&self) -> &'static str {
        match self {
            Self::Type(_) => {
                "begin the line with auth, account, password or session, or put # before it"
            }
            Self::NoControl | Self::NoModule => {
                "complete the line: type, control field, module; or put # before it"
            }
            Self::NoFile(_) => "create that file, or name one that exists",
            Self::TooDeep(_) => "remove this line: libpam before 1.6 crashes the program",
            Self::NoName => {
                "name the file, or remove the line: Debian's libpam crashes the program"
            }
            Self::FileUnusable(_) => "correct that line of that file",
        }
    }
}

/// Something that makes libpam give up on a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadError {
    pub location: Location,
    pub kind: LoadErrorKind,
}

/// Why libpam gives up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LoadErrorKind {
    /// The last line ends with a backslash.
    Unfinished,
    /// `@include` cannot include its file.
    Include(Fault),
    /// The path of a module has no file name.
    NoModuleName(String),
    /// libpam may not give up, but nobody writes so many includes: files include each other again and again.
    TooLarge,
}

impl LoadErrorKind {
    /// What is wrong.
    pub fn what(&self) -> String {
        match self {
            Self::Unfinished => "the last line ends with a backslash".to_owned(),
            Self::Include(fault) => fault.what(),
            Self::NoModuleName(path) => {
                format!("{} is not the path of a module", path.escape_debug())
            }
            Self::TooLarge => "it includes more files than are read".to_owned(),
        }
    }

    /// How to fix it.
    pub fn fix(&self) -> &'static str {
        match self {
            Self::Unfinished => "remove the backslash",
            Self::Include(fault) => fault.fix(),
            Self::NoModuleName(_) => "correct the path of the module",
            Self::TooLarge => "include each file once, and no file in itself",
        }
    }
}

/// A line that libpam's versions read differently.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ambiguity {
    pub location: Location,
    pub kind: AmbiguityKind,
}

/// What libpam's versions disagree about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AmbiguityKind {
    /// A comment or an empty line after a backslash: before 1.6 it is skipped, since then the line ends there.
    InterruptedLine,
    /// Before 1.6 what is beyond 1022 bytes is a line of its own.
    LongLine,
}

/// What is wrong with a line that has a carriage return, as files from DOS and Windows do, and the command that fixes it:
/// to libpam it is part of the last word, of a module's path, say; an empty line with it is a line of unknown type.
pub fn carriage_return(root: &Root, location: &Location) -> Option<(&'static str, String)> {
    let text = root.read(&location.file).ok()?;
    let mut lines = logical_lines(&text).into_iter().flatten();
    let line = lines.find(|line| line.number == location.line)?;
    let what =
        "the line ends with a carriage return (CRLF), which libpam takes for part of its last word";
    let file = shell_word(&location.file.to_string_lossy());
    let fix = format!("sed -i --follow-symlinks 's/\\r$//' {file}");
    line.text.ends_with('\r').then_some((what, fix))
}
