//! The text of a settings file in TOML: its errors name file, line and key, and quote no value.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::de::{Deserialize, DeserializeOwned, Deserializer, Unexpected, Visitor};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::problem::{Problem, ProblemKind};
use crate::sys::memory;
use crate::toml_events::{self, SyntaxCheck};
use crate::toml_values::{self, Value};

/// More than the toml crate takes for a byte.
const MEMORY_PER_BYTE: usize = 256;

/// The text of one settings file and where it came from.
#[derive(Clone, Copy, Debug)]
pub struct SettingsText<'a> {
    /// What the sentences call it.
    pub path: &'a Path,
    /// All of it.
    pub text: &'a str,
}

impl SettingsText<'_> {
    /// Its values.
    ///
    /// # Errors
    /// The first thing that is wrong, with file, line and key; it quotes no value, which may be a secret.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        // Of a byte the toml crate makes a token, a value, and copies of both.
        memory::check(self.text.len().saturating_mul(MEMORY_PER_BYTE))
            .map_err(|out_of_memory| Problem::from(out_of_memory).in_file(self.path))?;
        // First, and apart: the errors of a full parse hold a copy of the text, and so of the API key.
        let source = toml_parser::Source::new(self.text);
        toml_events::walk(source, &mut SyntaxCheck(source))
            .map_err(|error| self.locate(&(error.at..error.at), error.problem))?;
        let table = DeTable::parse(self.text).map_err(|error| self.not_toml(&error))?;
        let table = Spanned::new(table.span(), DeValue::Table(table.into_inner()));
        T::deserialize(Value(table)).map_err(|error| self.explain(&error))
    }

    /// What only shows in the whole: keys that are defined twice, impossible numbers and dates.
    fn not_toml(&self, error: &toml::de::Error) -> Problem {
        let span = error.span().unwrap_or(0..0);
        match error.message() {
            "duplicate key" => self
                .at(
                    &span,
                    self.text.get(span.clone()).unwrap_or_default(),
                    "is defined twice",
                )
                .fix("keep one"),
            message => self.at(&span, "", &format!("is not TOML: {message}")),
        }
    }

    fn explain(&self, error: &toml_values::Error) -> Problem {
        let span = error.span();
        let key = error.key();
        let expected = expected(error.message()).unwrap_or("something else");
        if error.message().starts_with("unknown field") {
            let name = self.text.get(span.clone()).unwrap_or_default();
            return self
                .at(&span, &join(&key, name), "unknown setting")
                .fix(format!("expected {expected}"));
        }
        self.at(&span, &key, &format!("must be {expected}"))
    }

    /// `what` is wrong with the value of `key`, or with the text where there is none.
    #[must_use]
    pub fn at(&self, span: &Range<usize>, key: &str, what: &str) -> Problem {
        let colon = if key.is_empty() { "" } else { ": " };
        let what = format!("{key}{colon}{what}");
        self.locate(span, Problem::invalid(what))
    }

    fn locate(&self, span: &Range<usize>, problem: Problem) -> Problem {
        if problem.kind == ProblemKind::Unreadable {
            return problem.in_file(self.path);
        }
        let before = self.text.as_bytes().get(..span.start).unwrap_or_default();
        let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
        problem.in_file(self.path).in_line(line)
    }
}

/// A whole number within bounds, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Number<const MIN: u64, const MAX: u64>(u64);

impl<const MIN: u64, const MAX: u64> Number<MIN, MAX> {
    /// A number that the code knows to be within.
    #[must_use]
    pub const fn new(number: u64) -> Self {
        assert!(MIN <= number && number <= MAX, "out of bounds");
        Self(number)
    }

    /// The number.
    #[must_use]
    pub fn get(self) -> u64 {
        self.0
    }
}

/// A path from the root of the file system on.
#[derive(Debug, serde::Deserialize)]
pub struct AbsolutePath(#[serde(deserialize_with = "absolute_path")] pub PathBuf);

/// The bytes of `path` as text.
///
/// # Errors
/// They are not UTF-8.
pub fn utf8<'a>(path: &Path, bytes: &'a [u8]) -> Result<&'a str, Problem> {
    std::str::from_utf8(bytes).map_err(|error| {
        let line = bytes[..error.valid_up_to()]
            .iter()
            .filter(|byte| **byte == b'\n')
            .count()
            + 1;
        Problem::invalid("is not UTF-8")
            .in_file(path)
            .in_line(line)
            .fix("write the file again as UTF-8 text")
    })
}

fn join(table: &str, key: &str) -> String {
    if table.is_empty() || table == key || table.ends_with(&format!(".{key}")) {
        return if table.is_empty() {
            key.to_owned()
        } else {
            table.to_owned()
        };
    }
    format!("{table}.{key}")
}

/// What serde expected, without what it found.
fn expected(message: &str) -> Option<&str> {
    message
        .rsplit_once(", expected ")
        .map(|(_, expected)| expected)
}

impl<'de, const MIN: u64, const MAX: u64> Deserialize<'de> for Number<MIN, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_i64(NumberVisitor::<MIN, MAX>)
    }
}

struct NumberVisitor<const MIN: u64, const MAX: u64>;

impl<const MIN: u64, const MAX: u64> Visitor<'_> for NumberVisitor<MIN, MAX> {
    type Value = Number<MIN, MAX>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a whole number from {MIN} to {MAX}")
    }

    fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<Self::Value, E> {
        let number = u64::try_from(value)
            .ok()
            .filter(|number| (MIN..=MAX).contains(number));
        number
            .map(Number)
            .ok_or_else(|| E::invalid_value(Unexpected::Signed(value), &self))
    }
}

/// A string that `check` turns into a value, or an error that says only what was expected.
#[derive(Debug)]
pub struct TextVisitor<F> {
    /// What the sentence says must be there.
    pub expected: &'static str,
    /// `None` for whatever cannot be used.
    pub check: F,
}

impl<T, F: Fn(&str) -> Option<T>> Visitor<'_> for TextVisitor<F> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expected)
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<T, E> {
        (self.check)(text).ok_or_else(|| E::invalid_value(Unexpected::Other("text"), &self))
    }
}

/// A path from the root of the file system on.
///
/// # Errors
/// It is none.
pub fn absolute_path<'de, D: Deserializer<'de>>(deserializer: D) -> Result<PathBuf, D::Error> {
    let check =
        |text: &str| (text.starts_with('/') && !text.contains('\0')).then(|| PathBuf::from(text));
    deserializer.deserialize_str(TextVisitor {
        expected: "an absolute path",
        check,
    })
}
