//! All that the file says about one user, and what it means for a login.

use std::borrow::Cow;
use std::hash::{Hash, Hasher};

use super::{Entry, Lines, Mobile, not_a_mobile};
use crate::problem::{Problem, ProblemKind};
use crate::settings::MobileFormat;

/// The value of a key, as far as it matters here.
pub(super) enum Value<'i> {
    Text(Cow<'i, str>),
    Flag(bool),
    Table,
    Other,
}

/// All that the file says about one user, before it is checked.
#[derive(Debug, Default)]
pub struct RawEntry<'i> {
    /// Where the name is defined; `alice.mobile` and `alice.enabled` together are one definition.
    definitions: Definitions,
    /// Whether `alice.mobile` or `alice.enabled` defined it.
    by_dotted_keys: bool,
    /// Whether the definition is a table, in whichever form.
    table: bool,
    mobile: Option<(usize, Cow<'i, str>)>,
    enabled: Option<bool>,
    problem: Option<(usize, Problem)>,
    /// Where the name is written with its dots unquoted, and the whole of it.
    pub(super) unquoted: Option<(usize, String)>,
    /// Where the name is the first part of such a name, or a table with an unknown key: both are possible.
    first_part: Option<(usize, String)>,
}

/// However often it is, two places are told of.
#[derive(Debug, Default)]
struct Definitions {
    first: Option<usize>,
    second: Option<usize>,
    number: usize,
}

impl Definitions {
    fn add(&mut self, at: usize) {
        self.number += 1;
        match self.number {
            1 => self.first = Some(at),
            2 => self.second = Some(at),
            _ => {}
        }
    }
}

/// What it says, wherever in the file it says so.
impl Hash for RawEntry<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.definitions.number, self.by_dotted_keys, self.table).hash(state);
        (self.mobile(), self.enabled).hash(state);
        self.problem.as_ref().map(|(_, what)| what).hash(state);
        for name in [&self.unquoted, &self.first_part] {
            name.as_ref().map(|(_, name)| name).hash(state);
        }
    }
}

impl<'i> RawEntry<'i> {
    /// The mobile as it is written.
    #[must_use]
    pub fn mobile(&self) -> Option<&str> {
        self.mobile.as_ref().map(|(_, mobile)| mobile.as_ref())
    }

    /// Where the name is first defined.
    #[must_use]
    pub fn at(&self) -> Option<usize> {
        let named = self.first_part.as_ref().or(self.unquoted.as_ref());
        let named = named.map(|(at, _)| *at);
        let elsewhere = named.or(self.problem.as_ref().map(|(at, _)| *at));
        self.definitions.first.or(elsewhere)
    }

    /// What it means for a login.
    #[must_use]
    pub fn entry(mut self, lines: &Lines, name: &[u8], format: MobileFormat) -> Entry {
        if let Some((at, problem)) = self.fault(lines) {
            return lines.bad(at, name, problem);
        }
        let Some(first) = self.definitions.first else {
            return Entry::Absent;
        };
        let Some((at, written)) = self.mobile else {
            let problem =
                Problem::invalid("has no mobile").fix(r#"write { mobile = "+14155550100" }"#);
            return lines.bad(first, name, problem);
        };
        match (Mobile::parse(&written, format), self.enabled) {
            (None, _) => lines.bad(at, name, not_a_mobile(format)),
            (Some(mobile), Some(false)) => Entry::Disabled(mobile),
            (Some(mobile), _) => Entry::Enrolled(mobile),
        }
    }

    /// What is wrong with the form of the entry, if anything, and where.
    fn fault(&mut self, lines: &Lines) -> Option<(usize, Problem)> {
        let quotes = |(at, dotted): (usize, String)| (at, needs_quotes(&dotted));
        let first_part = self.first_part.take().map(quotes);
        match (self.definitions.first, self.definitions.second) {
            (None, _) => self
                .unquoted
                .take()
                .map(quotes)
                .or(first_part)
                .or(self.problem.take()),
            (Some(_), None) if self.table => self.problem.take().or(first_part),
            (Some(_), None) => self.problem.take(),
            (Some(first), Some(second)) => {
                let (one, other) = (lines.number(first), lines.number(second));
                let what = format!("is defined twice, in lines {one} and {other}");
                let twice = Problem::new(ProblemKind::DefinedTwice, what);
                Some((second, twice.fix("keep one")))
            }
        }
    }

    /// `alice = …` or `[users.alice]`.
    pub(super) fn define(&mut self, at: usize, value: Value<'i>) {
        self.definitions.add(at);
        match value {
            Value::Text(mobile) => self.mobile = Some((at, mobile)),
            Value::Table => self.table = true,
            Value::Flag(_) | Value::Other => {
                let what = r#"must be a mobile in quotes, like "+14155550100""#;
                self.note(at, Problem::invalid(what));
            }
        }
    }

    /// `alice.mobile = …` or `alice.enabled = …`.
    fn define_by_dotted_key(&mut self, at: usize) {
        if !self.by_dotted_keys {
            self.definitions.add(at);
        }
        (self.by_dotted_keys, self.table) = (true, true);
    }

    /// `users.alice.KEY…`: in alice's table, by a dotted key, or the beginning of another user's unquoted name.
    pub(super) fn below(&mut self, at: usize, path: &[Cow<str>], in_table: bool, value: Value<'i>) {
        match &path[2..] {
            [key] if in_table => self.set(at, key, value),
            [key] if matches!(key.as_ref(), "mobile" | "enabled") => {
                self.define_by_dotted_key(at);
                self.set(at, key, value);
            }
            [key, ..] if in_table => self.note(at, unknown_key(key)),
            [key, ..] if matches!(value, Value::Flag(_) | Value::Other) => {
                self.note(at, unknown_key(key))
            }
            _ if self.first_part.is_none() => self.first_part = Some((at, shown(&path[1..]))),
            _ => {}
        }
    }

    /// A key in the table of the user.
    fn set(&mut self, at: usize, key: &str, value: Value<'i>) {
        match (key, value) {
            ("mobile", Value::Text(_)) if self.mobile.is_some() => self.note(
                at,
                Problem::invalid("mobile is defined twice").fix("keep one"),
            ),
            ("enabled", Value::Flag(_)) if self.enabled.is_some() => self.note(
                at,
                Problem::invalid("enabled is defined twice").fix("keep one"),
            ),
            ("mobile", Value::Text(mobile)) => self.mobile = Some((at, mobile)),
            ("enabled", Value::Flag(enabled)) => self.enabled = Some(enabled),
            ("mobile", _) => {
                let what = r#"mobile must be a string in quotes, like "+14155550100""#;
                self.note(at, Problem::invalid(what));
            }
            ("enabled", _) => self.note(at, Problem::invalid("enabled must be true or false")),
            (_, _) => self.note(at, unknown_key(key)),
        }
    }

    /// The first problem is the one that is told.
    fn note(&mut self, at: usize, problem: Problem) {
        self.problem.get_or_insert((at, problem));
    }
}

fn needs_quotes(dotted: &str) -> Problem {
    let dotted = redact_number(dotted);
    Problem::invalid("a name with dots needs quotes")
        .fix(format!(r#"write "{dotted}" = "+14155550100""#))
}

fn unknown_key(key: &str) -> Problem {
    let key = shown(&[Cow::Borrowed(key)]);
    Problem::invalid(format!("unknown key \"{}\"", redact_number(&key)))
        .fix("expected mobile or enabled")
}

/// Keys as one, and no more of them than the log shows of a value.
pub(super) fn shown(keys: &[Cow<str>]) -> String {
    let dotted = keys.iter().enumerate().flat_map(|(number, key)| {
        let dot = if number == 0 { "" } else { "." };
        dot.chars().chain(key.chars())
    });
    dotted.take(256).collect()
}

/// A key as a message may show it: where name and mobile were swapped, the mobile is the key.
pub(super) fn redact_number(key: &str) -> &str {
    if key.bytes().filter(u8::is_ascii_digit).count() < 7 {
        key
    } else {
        "***"
    }
}
