//! `users.toml`: whose mobile is whose.
//!
//! The file is walked event by event and never built: one bad entry must refuse one user, not everybody,
//! and a hundred thousand users must not cost a login memory.

use std::borrow::Cow;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::path::Path;

use serde::Deserialize;
use toml::de::ValueDeserializer;
use toml_parser::decoder::{Encoding, ScalarKind};
use toml_parser::parser::EventReceiver;
use toml_parser::{ErrorSink, ParseError, Source, Span};

use crate::plain_lines::without_others;
use crate::problem::{Problem, ProblemKind};
use crate::settings::MobileFormat;
use crate::toml_events::{self, NotToml};
use crate::trusted_file::{LARGE, ReadPermission, Trust};

/// A mobile number: personal data, so `Debug` shows what the log may show.
#[derive(Clone, PartialEq, Eq)]
pub struct Mobile(String);

impl Mobile {
    /// Accepts `written` when it is E.164 once spaces, dashes and dots are taken out: `+`, then 7 to 15 digits
    /// of which the first is not 0 (ITU-T E.164 section 6). `MobileFormat::National` does without `+` and country code.
    #[must_use]
    pub fn parse(written: &str, format: MobileFormat) -> Option<Self> {
        let plain: String = written
            .chars()
            .filter(|c| !matches!(c, ' ' | '-' | '.'))
            .collect();
        let digits = plain.strip_prefix('+');
        let (digits, first) = match format {
            MobileFormat::E164 => (digits?, '1'..='9'),
            MobileFormat::National => (digits.unwrap_or(&plain), '0'..='9'),
        };
        let valid = (7..=15).contains(&digits.len())
            && digits.starts_with(|c| first.contains(&c))
            && digits.bytes().all(|byte| byte.is_ascii_digit());
        valid.then(|| match format {
            MobileFormat::E164 => Self(plain),
            MobileFormat::National => Self(written.to_owned()),
        })
    }

    /// What goes to iVALT.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What may stand in the log: the last four digits.
    #[must_use]
    pub fn masked(&self) -> String {
        let digits: Vec<char> = self.0.chars().filter(char::is_ascii_digit).collect();
        format!(
            "***{}",
            digits[digits.len() - 4..].iter().collect::<String>()
        )
    }
}

impl fmt::Debug for Mobile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.masked())
    }
}

/// What `users.toml` says about one user.
#[derive(Debug, PartialEq, Eq)]
pub enum Entry {
    /// Nothing.
    Absent,
    /// This mobile.
    Enrolled(Mobile),
    /// This mobile, with `enabled = false`.
    Disabled(Mobile),
    /// Something that cannot be used.
    Bad(Problem),
}

/// Looks `name` up in the file at `path`, byte for byte.
///
/// # Errors
/// The file cannot be trusted or is not TOML: then nobody is looked up.
pub fn look_up(
    path: &Path,
    trust: Trust,
    name: &[u8],
    format: MobileFormat,
) -> Result<Entry, Problem> {
    let bytes = trust.read(path, ReadPermission::Anybody, LARGE)?;
    look_up_in(path, &bytes, name, format)
}

/// As [`look_up`] for a file whose bytes are at hand.
///
/// # Errors
/// As [`look_up`].
pub fn look_up_in(
    path: &Path,
    bytes: &[u8],
    name: &[u8],
    format: MobileFormat,
) -> Result<Entry, Problem> {
    let count = |at: usize| bytes.iter().take(at).filter(|byte| **byte == b'\n').count();
    let lines = Lines {
        path,
        before: &count,
    };
    let text = text(bytes, &lines)?;
    let wanted = std::str::from_utf8(name).ok();
    if let Some(entry) = wanted.and_then(|wanted| plain_entry(text, wanted, &lines, format)) {
        return Ok(entry);
    }
    let one = scan(text, One::new(wanted)).map_err(|not_toml| lines.not_toml(not_toml))?;
    Ok(one.found.entry(&lines, name, format))
}

/// The entry, if it can be had without the plain lines of all others. What is wrong needs the whole file, for its lines.
fn plain_entry(text: &str, wanted: &str, lines: &Lines, format: MobileFormat) -> Option<Entry> {
    let text = without_others(text, wanted);
    let one = scan(&text, One::new(Some(wanted))).ok()?;
    let entry = one.found.entry(lines, wanted.as_bytes(), format);
    (!matches!(entry, Entry::Bad(_))).then_some(entry)
}

/// The file as text.
///
/// # Errors
/// It is not UTF-8.
pub fn text<'a>(bytes: &'a [u8], lines: &Lines) -> Result<&'a str, Problem> {
    std::str::from_utf8(bytes).map_err(|error| {
        let problem = Problem::new(ProblemKind::Invalid, "is not UTF-8")
            .fix("write the file again as UTF-8 text");
        lines.locate(error.valid_up_to(), problem)
    })
}

/// Turns an offset into what an editor shows.
#[allow(missing_debug_implementations)]
pub struct Lines<'a> {
    /// The file.
    pub path: &'a Path,
    /// How many line ends stand before an offset: counted, where one is asked for, or looked up, where many are.
    pub before: &'a dyn Fn(usize) -> usize,
}

impl Lines<'_> {
    /// The number of the line at `at`.
    #[must_use]
    pub fn number(&self, at: usize) -> usize {
        (self.before)(at) + 1
    }

    /// Why nobody can be looked up in such a file.
    #[must_use]
    pub fn not_toml(&self, not_toml: NotToml) -> Problem {
        self.locate(not_toml.at, not_toml.problem)
    }

    fn locate(&self, at: usize, problem: Problem) -> Problem {
        problem.in_file(self.path).in_line(self.number(at))
    }

    /// `problem` is about the entry of `name`.
    fn bad(&self, at: usize, name: &[u8], problem: Problem) -> Entry {
        let what = format!("{}: {}", String::from_utf8_lossy(name), problem.what);
        Entry::Bad(self.locate(at, Problem { what, ..problem }))
    }
}

/// What is wrong with an entry.
fn invalid(what: impl Into<String>) -> Problem {
    Problem::new(ProblemKind::Invalid, what)
}

/// Whom the file is asked about.
pub trait Register<'i> {
    /// Where to note what stands under this name; `None` if nobody asked.
    fn of(&mut self, name: &Cow<'i, str>) -> Option<&mut Found<'i>>;

    /// The name that these keys would be with quotes around them, if somebody asked for it.
    fn unquoted(&mut self, keys: &[Cow<'i, str>]) -> Option<(String, &mut Found<'i>)>;
}

/// One user: what a login asks for.
struct One<'i, 'w> {
    wanted: Option<&'w str>,
    found: Found<'i>,
}

impl<'w> One<'_, 'w> {
    fn new(wanted: Option<&'w str>) -> Self {
        Self {
            wanted,
            found: Found::default(),
        }
    }
}

impl<'i> Register<'i> for One<'i, '_> {
    fn of(&mut self, name: &Cow<'i, str>) -> Option<&mut Found<'i>> {
        (self.wanted == Some(name)).then_some(&mut self.found)
    }

    fn unquoted(&mut self, keys: &[Cow<'i, str>]) -> Option<(String, &mut Found<'i>)> {
        let wanted = self.wanted.filter(|name| name.contains('.'))?;
        let name = names_without_quotes(keys).find(|name| name == wanted)?;
        Some((name, &mut self.found))
    }
}

/// What `first.last` and `first.last.mobile` may have been meant to name.
pub fn names_without_quotes(keys: &[Cow<str>]) -> impl Iterator<Item = String> {
    let dotted = keys.join(".");
    let entry = [".mobile", ".enabled"]
        .iter()
        .find_map(|key| dotted.strip_suffix(key))
        .map(str::to_owned);
    std::iter::once(dotted).chain(entry)
}

/// All that the file says about one user, before it is judged.
#[derive(Debug, Default)]
pub struct Found<'i> {
    /// Where the name is defined; `alice.mobile` and `alice.enabled` together are one definition.
    definitions: Vec<usize>,
    /// Whether `alice.mobile` or `alice.enabled` stood there.
    by_dotted_keys: bool,
    /// Whether the definition is a table, in whichever form.
    table: bool,
    mobile: Option<(usize, Cow<'i, str>)>,
    enabled: Option<bool>,
    problem: Option<(usize, Problem)>,
    /// Where the name stands with its dots unquoted, and the whole of it.
    unquoted: Option<(usize, String)>,
    /// Where the name is the first part of such a name, or a table with a key we do not know: who can tell?
    first_part: Option<(usize, String)>,
}

/// What it says, wherever in the file it says so.
impl Hash for Found<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.definitions.len(), self.by_dotted_keys, self.table).hash(state);
        (self.mobile(), self.enabled).hash(state);
        self.problem.as_ref().map(|(_, what)| what).hash(state);
        for name in [&self.unquoted, &self.first_part] {
            name.as_ref().map(|(_, name)| name).hash(state);
        }
    }
}

impl<'i> Found<'i> {
    /// The mobile as it is written.
    #[must_use]
    pub fn mobile(&self) -> Option<&str> {
        self.mobile.as_ref().map(|(_, mobile)| mobile.as_ref())
    }

    /// Where the name stands first.
    #[must_use]
    pub fn at(&self) -> Option<usize> {
        let named = self.first_part.as_ref().or(self.unquoted.as_ref());
        let named = named.map(|(at, _)| *at);
        let elsewhere = named.or(self.problem.as_ref().map(|(at, _)| *at));
        self.definitions.first().copied().or(elsewhere)
    }

    /// The judgement.
    #[must_use]
    pub fn entry(mut self, lines: &Lines, name: &[u8], format: MobileFormat) -> Entry {
        if let Some((at, problem)) = self.fault(lines) {
            return lines.bad(at, name, problem);
        }
        let Some(&first) = self.definitions.first() else {
            return Entry::Absent;
        };
        let Some((at, written)) = self.mobile else {
            let problem = invalid("has no mobile").fix(r#"write { mobile = "+14155550100" }"#);
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
        match self.definitions.as_slice() {
            [] => self
                .unquoted
                .take()
                .map(quotes)
                .or(first_part)
                .or(self.problem.take()),
            [_] if self.table => self.problem.take().or(first_part),
            [_] => self.problem.take(),
            [first, second, ..] => {
                let (one, other) = (lines.number(*first), lines.number(*second));
                let what = format!("stands twice, in lines {one} and {other}");
                let twice = Problem::new(ProblemKind::DefinedTwice, what);
                Some((*second, twice.fix("keep one")))
            }
        }
    }

    /// `alice = …` or `[users.alice]`.
    fn define(&mut self, at: usize, value: Value<'i>) {
        self.definitions.push(at);
        match value {
            Value::Text(mobile) => self.mobile = Some((at, mobile)),
            Value::Table => self.table = true,
            Value::Flag(_) | Value::Other => {
                let what = r#"must be a mobile in quotes, like "+14155550100""#;
                self.note(at, invalid(what));
            }
        }
    }

    /// `alice.mobile = …` or `alice.enabled = …`.
    fn define_by_dotted_key(&mut self, at: usize) {
        if !self.by_dotted_keys {
            self.definitions.push(at);
        }
        (self.by_dotted_keys, self.table) = (true, true);
    }

    /// `users.alice.KEY…`: in alice's table, by a dotted key, or the beginning of somebody else's unquoted name.
    fn below(&mut self, at: usize, path: &[Cow<str>], in_table: bool, value: Value<'i>) {
        match &path[2..] {
            [key] if in_table => self.set(at, key, value),
            [key] if matches!(key.as_ref(), "mobile" | "enabled") => {
                self.define_by_dotted_key(at);
                self.set(at, key, value);
            }
            [key, ..] if in_table => self.note(at, not_known(key)),
            [key, ..] if matches!(value, Value::Flag(_) | Value::Other) => {
                self.note(at, not_known(key))
            }
            _ => drop(self.first_part.get_or_insert((at, path[1..].join(".")))),
        }
    }

    /// A key in the table of the user.
    fn set(&mut self, at: usize, key: &str, value: Value<'i>) {
        match (key, value) {
            ("mobile", Value::Text(_)) if self.mobile.is_some() => {
                self.note(at, invalid("mobile stands twice").fix("keep one"))
            }
            ("enabled", Value::Flag(_)) if self.enabled.is_some() => {
                self.note(at, invalid("enabled stands twice").fix("keep one"))
            }
            ("mobile", Value::Text(mobile)) => self.mobile = Some((at, mobile)),
            ("enabled", Value::Flag(enabled)) => self.enabled = Some(enabled),
            ("mobile", _) => {
                let what = r#"mobile must be a string in quotes, like "+14155550100""#;
                self.note(at, invalid(what));
            }
            ("enabled", _) => self.note(at, invalid("enabled must be true or false")),
            (_, _) => self.note(at, not_known(key)),
        }
    }

    /// The first problem is the one that is told.
    fn note(&mut self, at: usize, problem: Problem) {
        self.problem.get_or_insert((at, problem));
    }
}

fn needs_quotes(dotted: &str) -> Problem {
    let dotted = shown(dotted);
    invalid("a name with dots needs quotes").fix(format!(r#"write "{dotted}" = "+14155550100""#))
}

fn not_known(key: &str) -> Problem {
    invalid(format!("\"{}\" is not known here", shown(key))).fix("known are mobile and enabled")
}

/// A key as a message may show it: where somebody swapped name and mobile, the mobile is the key.
fn shown(key: &str) -> &str {
    if key.bytes().filter(u8::is_ascii_digit).count() < 7 {
        key
    } else {
        "***"
    }
}

/// What is wrong with it, and how it is written.
#[must_use]
pub fn not_a_mobile(format: MobileFormat) -> Problem {
    match format {
        MobileFormat::E164 => {
            invalid("the mobile is not E.164").fix("write + and 7 to 15 digits, like +14155550100")
        }
        MobileFormat::National => {
            invalid("the mobile is not a number").fix("write 7 to 15 digits, like 4155550100")
        }
    }
}

/// Walks the whole document, so that a syntax error anywhere is found, and keeps what `register` asks for.
///
/// # Errors
/// The text is not TOML, or something in it stands outside `[users]`.
pub fn scan<'i, R: Register<'i>>(text: &'i str, register: R) -> Result<R, NotToml> {
    let source = Source::new(text);
    let mut walk = Walk::new(source, register);
    toml_events::walk(source, &mut walk)?;
    walk.finish()
}

/// What stands behind a key, as far as it matters here.
enum Value<'i> {
    Text(Cow<'i, str>),
    Flag(bool),
    Table,
    Other,
}

/// Keeps account of where in the document we are.
#[allow(missing_debug_implementations)]
pub struct Walk<'i, R> {
    source: Source<'i>,
    register: R,
    /// The keys that lead to where we are: header, inline tables, dotted key.
    pub path: Vec<Cow<'i, str>>,
    /// For the header and every open inline table, how many keys of `path` lead to it.
    pub tables: Vec<usize>,
    /// How many arrays are open; nothing in an array concerns us.
    pub arrays: usize,
    /// Where the last key stands.
    pub at: usize,
    users_tables: usize,
    misplaced: Option<NotToml>,
}

impl<'i, R: Register<'i>> Walk<'i, R> {
    /// At the beginning of `source`.
    pub fn new(source: Source<'i>, register: R) -> Self {
        Self {
            source,
            register,
            path: Vec::new(),
            tables: vec![0],
            arrays: 0,
            at: 0,
            users_tables: 0,
            misplaced: None,
        }
    }

    /// What was found.
    ///
    /// # Errors
    /// Something stands outside `[users]`.
    pub fn finish(self) -> Result<R, NotToml> {
        match self.misplaced {
            Some(misplaced) => Err(misplaced),
            None => Ok(self.register),
        }
    }

    /// A value, or a table that begins, at `self.path`.
    fn value(&mut self, value: Value<'i>) {
        match self.path.as_slice() {
            [users] if users == "users" && matches!(value, Value::Table) => self.users_table(),
            [users, name] if users == "users" => {
                if let Some(found) = self.register.of(name) {
                    found.define(self.at, value);
                }
            }
            [users, name, _, ..] if users == "users" => {
                let in_table = self.tables.last().is_some_and(|keys| *keys == 2);
                if let Some(found) = self.register.of(name) {
                    found.below(self.at, &self.path, in_table, value);
                }
                self.unquoted_dots();
            }
            [..] => self.misplace(),
        }
    }

    fn users_table(&mut self) {
        self.users_tables += 1;
        if self.users_tables > 1 {
            self.refuse(invalid("[users] stands twice").fix("keep one"));
        }
    }

    fn unquoted_dots(&mut self) {
        if let Some((name, found)) = self.register.unquoted(&self.path[1..]) {
            found.unquoted.get_or_insert((self.at, name));
        }
    }

    fn misplace(&mut self) {
        let key = self.path.join(".");
        let problem = invalid(format!("\"{}\" stands outside [users]", shown(&key)))
            .fix("move it below the line [users]");
        self.refuse(problem);
    }

    fn refuse(&mut self, problem: Problem) {
        let at = self.at;
        self.misplaced.get_or_insert(NotToml { at, problem });
    }

    /// A value is complete: back to the table it stands in.
    fn close_value(&mut self) {
        if self.arrays == 0 {
            self.path.truncate(self.tables.last().copied().unwrap_or(0));
        }
    }

    fn open_header(&mut self) {
        self.path.clear();
        self.tables = vec![0];
        self.arrays = 0;
    }
}

impl<'i, R: Register<'i>> EventReceiver for Walk<'i, R> {
    fn std_table_open(&mut self, _: Span, _: &mut dyn ErrorSink) {
        self.open_header();
    }

    fn std_table_close(&mut self, _: Span, _: &mut dyn ErrorSink) {
        self.tables = vec![self.path.len() - 1];
        self.value(Value::Table);
        self.tables = vec![self.path.len()];
    }

    fn array_table_open(&mut self, _: Span, _: &mut dyn ErrorSink) {
        self.open_header();
    }

    fn array_table_close(&mut self, _: Span, _: &mut dyn ErrorSink) {
        self.value(Value::Other);
        self.tables = vec![self.path.len()];
    }

    fn inline_table_open(&mut self, _: Span, _: &mut dyn ErrorSink) -> bool {
        if self.arrays == 0 {
            self.value(Value::Table);
            self.tables.push(self.path.len());
        }
        true
    }

    fn inline_table_close(&mut self, _: Span, _: &mut dyn ErrorSink) {
        if self.arrays == 0 {
            self.tables.pop();
            self.close_value();
        }
    }

    fn array_open(&mut self, _: Span, _: &mut dyn ErrorSink) -> bool {
        if self.arrays == 0 {
            self.value(Value::Other);
        }
        self.arrays += 1;
        true
    }

    fn array_close(&mut self, _: Span, _: &mut dyn ErrorSink) {
        self.arrays = self.arrays.saturating_sub(1);
        self.close_value();
    }

    fn simple_key(&mut self, span: Span, encoding: Option<Encoding>, error: &mut dyn ErrorSink) {
        let mut key = Cow::Borrowed("");
        if let Some(raw) = toml_events::raw(self.source, span, encoding) {
            raw.decode_key(&mut key, error);
        }
        if self.arrays == 0 {
            self.at = span.start();
            self.path.push(key);
        }
    }

    fn scalar(&mut self, span: Span, encoding: Option<Encoding>, error: &mut dyn ErrorSink) {
        let mut text = Cow::Borrowed("");
        let Some(raw) = toml_events::raw(self.source, span, encoding) else {
            return;
        };
        let value = match raw.decode_scalar(&mut text, error) {
            ScalarKind::String => Value::Text(text),
            ScalarKind::Boolean(flag) => Value::Flag(flag),
            ScalarKind::DateTime | ScalarKind::Float | ScalarKind::Integer(_) => {
                // Dates and numbers are only recognised up to here, not checked; `toml` itself does so when it builds.
                let built =
                    ValueDeserializer::parse(raw.as_str()).and_then(toml::Value::deserialize);
                if built.is_err() {
                    error.report_error(
                        ParseError::new("invalid number or date").with_unexpected(span),
                    );
                }
                Value::Other
            }
        };
        if self.arrays == 0 {
            self.value(value);
            self.close_value();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(text: &str, name: &str) -> Result<Entry, NotToml> {
        let count = |at| text[..at].matches('\n').count();
        let lines = Lines {
            path: Path::new("users.toml"),
            before: &count,
        };
        let one = scan(text, One::new(Some(name)))?;
        Ok(one.found.entry(&lines, name.as_bytes(), MobileFormat::E164))
    }

    fn enrolled(text: &str, name: &str) -> String {
        match entry(text, name) {
            Ok(Entry::Enrolled(mobile)) => mobile.as_str().to_owned(),
            other => panic!("{other:?}"),
        }
    }

    fn bad(text: &str, name: &str) -> String {
        match entry(text, name) {
            Ok(Entry::Bad(problem)) => problem.to_string(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn every_way_to_write_an_entry() {
        for text in [
            "[users]\nalice = \"+916283974746\"",
            "users.alice = \"+916283974746\"",
            "users = { alice = \"+916283974746\" }",
            "[users]\n\"alice\" = { mobile = '+91 6283-974.746' }",
            "[users]\nalice = { enabled = true, mobile = \"+916283974746\" }\n",
            "[users.alice]\nmobile = \"+916283974746\"",
            "[users]\nalice.mobile = \"+916283974746\"\nalice.enabled = true",
            "[users]\nbob = 3\nalice = \"+916283974746\"\n[users.carol]\nx = [{mobile=\"+1\"}]",
        ] {
            assert_eq!(enrolled(text, "alice"), "+916283974746", "{text}");
        }
        assert_eq!(
            enrolled("[users]\n\"first.last\" = \"+14155550100\"", "first.last"),
            "+14155550100"
        );
        assert_eq!(
            enrolled(
                "[users]\n\"first.last\".mobile = \"+14155550100\"",
                "first.last"
            ),
            "+14155550100"
        );
    }

    #[test]
    fn look_up_is_byte_for_byte() {
        let text = "[users]\nalice = \"+916283974746\"";
        for name in ["", "Alice", "alice ", "alic", "alicea", "users", "mobile"] {
            assert_eq!(entry(text, name), Ok(Entry::Absent), "{name}");
        }
    }

    #[test]
    fn disabled_is_not_absent() {
        let mobile = Mobile::parse("+14155550100", MobileFormat::E164).unwrap();
        let text = "[users]\n\"first.last\" = { mobile = \"+14155550100\", enabled = false }";
        assert_eq!(entry(text, "first.last"), Ok(Entry::Disabled(mobile)));
    }

    #[test]
    fn one_bad_entry_refuses_one_user() {
        const QUOTES: &str =
            r#"a name with dots needs quotes; write "first.last" = "+14155550100""#;
        for (entries, name, what) in [
            (
                "alice = 5",
                "alice",
                r#"2: alice: must be a mobile in quotes, like "+14155550100""#,
            ),
            (
                "alice = +14155550100",
                "alice",
                r#"2: alice: must be a mobile in quotes, like "+14155550100""#,
            ),
            (
                "alice = ['+14155550100']",
                "alice",
                r#"2: alice: must be a mobile in quotes, like "+14155550100""#,
            ),
            (
                "alice = '+1415555'\nalice = '+14155550100'",
                "alice",
                "3: alice: stands twice, in lines 2 and 3; keep one",
            ),
            (
                "alice = '+1415555'\n'alice' = '+1415555'",
                "alice",
                "3: alice: stands twice, in lines 2 and 3; keep one",
            ),
            (
                "alice = '+1415555'\n[users.alice]",
                "alice",
                "3: alice: stands twice, in lines 2 and 3; keep one",
            ),
            (
                "alice = { mobile = '+1415555', mobile = '+1415555' }",
                "alice",
                "2: alice: mobile stands twice; keep one",
            ),
            (
                "alice = {}",
                "alice",
                r#"2: alice: has no mobile; write { mobile = "+14155550100" }"#,
            ),
            (
                "alice = { mobile = 1 }",
                "alice",
                r#"2: alice: mobile must be a string in quotes, like "+14155550100""#,
            ),
            (
                "alice = { mobile = '+14155550100', enabled = 'no' }",
                "alice",
                "2: alice: enabled must be true or false",
            ),
            (
                "alice = { mobile = '+14155550100', enable = false }",
                "alice",
                r#"2: alice: "enable" is not known here; known are mobile and enabled"#,
            ),
            (
                "first.last = '+14155550100'",
                "first.last",
                &format!("2: first.last: {QUOTES}"),
            ),
            (
                "first.last = '+14155550100'",
                "first",
                &format!("2: first: {QUOTES}"),
            ),
            (
                "[users.first.last]\nmobile='+14155550100'",
                "first.last",
                &format!("2: first.last: {QUOTES}"),
            ),
        ] {
            let text = format!("[users]\n{entries}\n[users.bob]\nmobile = '+14155550199'\n");
            assert_eq!(bad(&text, name), format!("users.toml:{what}"), "{entries}");
            assert_eq!(enrolled(&text, "bob"), "+14155550199", "{entries}");
        }
    }

    /// Somebody wanted to bar alice and wrote it in another form: she must not get in for that.
    #[test]
    fn a_key_in_any_form_is_seen() {
        const M: &str = "mobile = '+14155550100'";
        for text in [
            format!("[users]\nalice.{M}\nalice.disabled = true"),
            format!("[users]\nalice.disabled = true\nalice.{M}"),
            format!("[users]\nalice.{M}\nalice.enable = false"),
            format!("[users]\nalice.{M}\nalice.note = 'left in May'"),
            format!("[users.alice]\n{M}\nenabled.x = false"),
            format!("[users.alice]\n{M}\n[users.alice.disabled]"),
            format!("[users]\nalice = {{ {M}, enabled.'' = false }}"),
            format!("[users]\nalice = {{ {M}, x = {{}} }}"),
            "[users]\nalice = '+14155550100'\nalice.enabled = true".to_owned(),
            "[users]\nalice = '+14155550100'\nalice.disabled = true".to_owned(),
            format!("[users]\nalice = {{ {M} }}\nalice.enabled = false"),
            format!("[users]\nalice.{M}\n[users.alice]\nenabled = false"),
            format!("[[users.alice]]\n{M}"),
            "[users.alice]\n".to_owned(),
            "[users]\nalice.enabled = true\n".to_owned(),
        ] {
            bad(&text, "alice");
            let others = format!("{text}\n[users.bob]\n{M}\n");
            assert_eq!(enrolled(&others, "bob"), "+14155550100", "{others}");
        }
    }

    #[test]
    fn enabled_twice_is_a_bad_entry() {
        let text = "[users]\nalice = { mobile = '+14155550100', enabled = true, enabled = true }";
        assert_eq!(
            bad(text, "alice"),
            "users.toml:2: alice: enabled stands twice; keep one"
        );
    }

    #[test]
    fn unquoted_dots_are_an_entry() {
        for text in [
            "[users]\njohn.mobile = '+1'",
            "[users.john]\nmobile = '+1'",
            "[users.john.mobile]\nenabled = true",
        ] {
            assert!(bad(text, "john.mobile").contains("needs quotes"), "{text}");
        }
        assert!(bad("[users.first]\nlast = '+1'", "first.last").contains("needs quotes"));
    }

    #[test]
    fn a_mobile_in_place_of_a_name_is_not_shown() {
        for text in [
            "[users]\nalice.'+14155550177' = 'x'",
            "[users]\nalice = { '+14155550177' = 1 }",
        ] {
            assert!(!bad(text, "alice").contains("4155550177"), "{text}");
        }
        assert!(
            !entry("['+14155550100']", "alice")
                .unwrap_err()
                .problem
                .to_string()
                .contains("4155550100")
        );
    }

    #[test]
    fn an_unquoted_name_does_not_spoil_its_first_part() {
        let text = "[users]\nfirst = '+14155550100'\nfirst.last = '+14155550199'";
        assert_eq!(enrolled(text, "first"), "+14155550100");
    }

    #[test]
    fn what_is_not_toml_refuses_everybody() {
        for (text, line, what) in [
            (
                "[users]\nalice = \"+14155550100\"\nbob = yes\n",
                3,
                "is not TOML: ",
            ),
            (
                "[users]\nalice = \"+14155550100\nbob = 1\n",
                2,
                "is not TOML: ",
            ),
            (
                "[users]\nalice = \"+14155550100\"\nbob = 5_1\"t\n",
                3,
                "is not TOML: invalid number or date",
            ),
            ("[users]\nalice \"+14155550100\"\n", 2, "is not TOML: "),
            ("[users\nalice = \"+14155550100\"\n", 1, "is not TOML: "),
            (
                "alice = \"+14155550100\"\n",
                1,
                "\"alice\" stands outside [users]; move it below the line [users]",
            ),
            (
                "[users]\n[groups]\nalice = \"+14155550100\"\n",
                2,
                "\"groups\" stands outside [users]",
            ),
            (
                "[[users]]\nalice = \"+14155550100\"\n",
                1,
                "\"users\" stands outside [users]",
            ),
            ("[users]\nbob = 2020-13-45\n", 2, "is not TOML: "),
            ("[users]\nbob = 12:99:00\n", 2, "is not TOML: "),
            ("users = 3\n", 1, "\"users\" stands outside [users]"),
            ("[users]\n[users]\n", 2, "[users] stands twice; keep one"),
        ] {
            let NotToml { at, problem } = entry(text, "alice").unwrap_err();
            let sentence = problem.to_string();
            assert_eq!(
                text[..at].matches('\n').count() + 1,
                line,
                "{text}: {sentence}"
            );
            assert!(sentence.starts_with(what), "{text}: {sentence}");
            assert!(!sentence.contains("4155550100"), "{sentence}");
        }
    }

    #[test]
    fn nested_a_thousand_deep_is_refused_without_harm() {
        let text = format!("[users]\nx = {}1{}\n", "[".repeat(1000), "]".repeat(1000));
        assert!(entry(&text, "alice").is_err());
        let text = format!("[users]\nx = {}", "{a=".repeat(1000));
        assert!(entry(&text, "alice").is_err());
    }

    #[test]
    fn a_mobile_is_e164_without_separators() {
        let e164 = |text| Mobile::parse(text, MobileFormat::E164).map(|mobile| mobile.0);
        assert_eq!(e164("+1 415-555.0100"), Some("+14155550100".to_owned()));
        for text in [
            "",
            "+",
            "4155550100",
            "+04155550100",
            "+123456",
            "+1234567890123456",
            "+1415555010a",
            "++14155550100",
            "+1415５550100",
            "+1(415)5550100",
        ] {
            assert_eq!(e164(text), None, "{text}");
        }
        assert!(e164("+1234567").is_some() && e164("+123456789012345").is_some());
        let national = |text| Mobile::parse(text, MobileFormat::National).map(|mobile| mobile.0);
        assert_eq!(national("6283974746"), Some("6283974746".to_owned()));
        assert_eq!(national("0628 397"), Some("0628 397".to_owned()));
        assert_eq!(national("62839"), None);
    }

    #[test]
    fn debug_and_log_show_four_digits() {
        let mobile = Mobile::parse("+916283974746", MobileFormat::E164).unwrap();
        assert_eq!(
            (mobile.masked().as_str(), format!("{mobile:?}").as_str()),
            ("***4746", "***4746")
        );
    }
}
