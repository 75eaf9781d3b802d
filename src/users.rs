//! `users.toml`: whose mobile is whose.
//!
//! The file is walked event by event and never built: one bad entry must refuse one user, not everybody,
//! and a hundred thousand users must not cost a login memory.

use std::borrow::Cow;
use std::fmt;
use std::path::Path;

use toml_parser::decoder::{Encoding, ScalarKind};
use toml_parser::parser::{EventReceiver, RecursionGuard, ValidateWhitespace, parse_document};
use toml_parser::{ErrorSink, ParseError, Raw, Source, Span};

use crate::config::MobileFormat;
use crate::trusted_file::{LARGE, Readers, Refused, Trust};

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
    /// Something that cannot be used; the sentence names file, line and user.
    Bad(String),
}

/// Why nobody can be looked up: a sentence with file and line.
#[derive(Debug, PartialEq, Eq)]
pub struct Unusable(String);

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<Refused> for Unusable {
    fn from(refused: Refused) -> Self {
        Self(refused.to_string())
    }
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
) -> Result<Entry, Unusable> {
    let bytes = trust.read(path, Readers::Anybody, LARGE)?;
    let lines = Lines {
        path,
        bytes: &bytes,
    };
    let text = std::str::from_utf8(&bytes).map_err(|error| {
        lines.unusable(
            error.valid_up_to(),
            "is not UTF-8; write the file again as UTF-8 text",
        )
    })?;
    let found = scan(text, std::str::from_utf8(name).ok())
        .map_err(|(at, what)| lines.unusable(at, &what))?;
    Ok(found.entry(&lines, name, format))
}

/// Turns an offset into what an editor shows.
struct Lines<'a> {
    path: &'a Path,
    bytes: &'a [u8],
}

impl Lines<'_> {
    fn number(&self, at: usize) -> usize {
        self.bytes
            .iter()
            .take(at)
            .filter(|byte| **byte == b'\n')
            .count()
            + 1
    }

    fn unusable(&self, at: usize, what: &str) -> Unusable {
        Unusable(format!(
            "{}:{}: {what}",
            self.path.display(),
            self.number(at)
        ))
    }

    fn bad(&self, at: usize, name: &[u8], what: &str) -> Entry {
        let name = String::from_utf8_lossy(name);
        Entry::Bad(format!(
            "{}:{}: {name}: {what}",
            self.path.display(),
            self.number(at)
        ))
    }
}

/// All that the file says about the wanted user, before it is judged.
#[derive(Default)]
struct Found<'i> {
    /// Where the name is defined.
    definitions: Vec<usize>,
    mobile: Option<(usize, Cow<'i, str>)>,
    enabled: Option<bool>,
    problem: Option<(usize, String)>,
    /// Where the name stands with its dots unquoted, or as the first part of such a name; and that name.
    dotted: Option<(usize, String)>,
}

impl<'i> Found<'i> {
    fn entry(self, lines: &Lines, name: &[u8], format: MobileFormat) -> Entry {
        let Some(&first) = self.definitions.first() else {
            return match self.dotted {
                Some((at, dotted)) => lines.bad(at, name, &needs_quotes(&dotted)),
                None => Entry::Absent,
            };
        };
        if let Some(&second) = self.definitions.get(1) {
            let what = format!(
                "stands twice, in lines {} and {}; keep one",
                lines.number(first),
                lines.number(second)
            );
            return lines.bad(second, name, &what);
        }
        if let Some((at, what)) = self.problem {
            return lines.bad(at, name, &what);
        }
        let Some((at, written)) = self.mobile else {
            return lines.bad(
                first,
                name,
                r#"has no mobile; write { mobile = "+14155550100" }"#,
            );
        };
        match (Mobile::parse(&written, format), self.enabled) {
            (None, _) => lines.bad(at, name, not_a_mobile(format)),
            (Some(mobile), Some(false)) => Entry::Disabled(mobile),
            (Some(mobile), _) => Entry::Enrolled(mobile),
        }
    }

    /// `alice = …` or `[users.alice]`.
    fn define(&mut self, at: usize, value: Value<'i>) {
        self.definitions.push(at);
        match value {
            Value::Text(mobile) => self.mobile = Some((at, mobile)),
            Value::Table => {}
            Value::Flag(_) | Value::Other => {
                self.complain(at, r#"must be a mobile in quotes, like "+14155550100""#)
            }
        }
    }

    /// `mobile = …` or `enabled = …` in the table of the wanted user.
    fn set(&mut self, at: usize, key: &str, value: Value<'i>) {
        match (key, value) {
            ("mobile", Value::Text(_)) if self.mobile.is_some() => {
                self.complain(at, "mobile stands twice; keep one")
            }
            ("enabled", Value::Flag(_)) if self.enabled.is_some() => {
                self.complain(at, "enabled stands twice; keep one")
            }
            ("mobile", Value::Text(mobile)) => self.mobile = Some((at, mobile)),
            ("enabled", Value::Flag(enabled)) => self.enabled = Some(enabled),
            ("mobile", _) => self.complain(
                at,
                r#"mobile must be a string in quotes, like "+14155550100""#,
            ),
            ("enabled", _) => self.complain(at, "enabled must be true or false"),
            (_, _) => self.complain(
                at,
                &format!("\"{key}\" is not known here; known are mobile and enabled"),
            ),
        }
    }

    fn complain(&mut self, at: usize, what: &str) {
        self.problem.get_or_insert_with(|| (at, what.to_owned()));
    }
}

fn needs_quotes(dotted: &str) -> String {
    format!(r#"a name with dots needs quotes; write "{dotted}" = "+14155550100""#)
}

fn not_a_mobile(format: MobileFormat) -> &'static str {
    match format {
        MobileFormat::E164 => {
            "the mobile is not E.164; write + and 7 to 15 digits, like +14155550100"
        }
        MobileFormat::National => {
            "the mobile is not a number; write 7 to 15 digits, like 4155550100"
        }
    }
}

/// Walks the whole document, so that a syntax error anywhere is found, and keeps what concerns `wanted`.
fn scan<'i>(text: &'i str, wanted: Option<&str>) -> Result<Found<'i>, (usize, String)> {
    let source = Source::new(text);
    let tokens = source.lex().into_vec();
    let mut walk = Walk::new(source, wanted);
    let mut first_error: Option<ParseError> = None;
    let mut guard = RecursionGuard::new(&mut walk, 80);
    parse_document(
        &tokens,
        &mut ValidateWhitespace::new(&mut guard, source),
        &mut first_error,
    );
    if let Some(error) = first_error {
        let at = error
            .unexpected()
            .or(error.context())
            .map_or(0, |span| span.start());
        return Err((at, format!("is not TOML: {}", error.description())));
    }
    match walk.misplaced {
        Some(misplaced) => Err(misplaced),
        None => Ok(walk.found),
    }
}

/// What stands behind a key, as far as it matters here.
enum Value<'i> {
    Text(Cow<'i, str>),
    Flag(bool),
    Table,
    Other,
}

struct Walk<'i, 'w> {
    source: Source<'i>,
    wanted: Option<&'w str>,
    /// The keys that lead to where we are: header, inline tables, dotted key.
    path: Vec<Cow<'i, str>>,
    /// For the header and every open inline table, how many keys of `path` lead to it.
    tables: Vec<usize>,
    /// How many arrays are open; nothing in an array concerns us.
    arrays: usize,
    /// Where the last key stands.
    at: usize,
    users_tables: usize,
    found: Found<'i>,
    misplaced: Option<(usize, String)>,
}

impl<'i, 'w> Walk<'i, 'w> {
    fn new(source: Source<'i>, wanted: Option<&'w str>) -> Self {
        let (path, tables, found) = (Vec::new(), vec![0], Found::default());
        Self {
            source,
            wanted,
            path,
            tables,
            arrays: 0,
            at: 0,
            users_tables: 0,
            found,
            misplaced: None,
        }
    }

    fn raw(&self, span: Span, encoding: Option<Encoding>) -> Option<Raw<'i>> {
        let text = self.source.get(span)?.as_str();
        Some(Raw::new_unchecked(text, encoding, span))
    }

    fn is_wanted(&self, name: &str) -> bool {
        self.wanted == Some(name)
    }

    /// A value, or a table that begins, at `self.path`.
    fn value(&mut self, value: Value<'i>) {
        let in_own_table = self.tables.last().is_some_and(|keys| *keys == 2);
        match self.path.as_slice() {
            [users] if users == "users" && matches!(value, Value::Table) => self.users_table(),
            [users, name] if users == "users" => {
                if self.is_wanted(name) {
                    self.found.define(self.at, value);
                }
            }
            [users, name, key] if users == "users" && (in_own_table || is_entry_key(key)) => {
                if self.is_wanted(name) {
                    if !in_own_table && self.found.definitions.is_empty() {
                        self.found.definitions.push(self.at);
                    }
                    self.found.set(self.at, key, value);
                }
            }
            [users, _, _, ..] if users == "users" => self.unquoted_dots(),
            [..] => self.misplace(),
        }
    }

    fn users_table(&mut self) {
        self.users_tables += 1;
        if self.users_tables > 1 {
            self.misplaced
                .get_or_insert((self.at, "[users] stands twice; keep one".to_owned()));
        }
    }

    fn unquoted_dots(&mut self) {
        let dotted = self.path[1..].join(".");
        if self.is_wanted(&dotted) || self.is_wanted(&self.path[1]) {
            self.found.dotted.get_or_insert((self.at, dotted));
        }
    }

    fn misplace(&mut self) {
        let key = self.path.join(".");
        let what = format!("\"{key}\" stands outside [users]; move it below the line [users]");
        self.misplaced.get_or_insert((self.at, what));
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

fn is_entry_key(key: &str) -> bool {
    matches!(key, "mobile" | "enabled")
}

impl EventReceiver for Walk<'_, '_> {
    fn std_table_open(&mut self, _: Span, _: &mut dyn ErrorSink) {
        self.open_header();
    }

    fn std_table_close(&mut self, _: Span, _: &mut dyn ErrorSink) {
        self.tables = vec![self.path.len()];
        self.value(Value::Table);
    }

    fn array_table_open(&mut self, _: Span, _: &mut dyn ErrorSink) {
        self.open_header();
    }

    fn array_table_close(&mut self, _: Span, _: &mut dyn ErrorSink) {
        self.tables = vec![self.path.len()];
        self.misplace();
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
        if let Some(raw) = self.raw(span, encoding) {
            raw.decode_key(&mut key, error);
        }
        if self.arrays == 0 {
            self.at = span.start();
            self.path.push(key);
        }
    }

    fn scalar(&mut self, span: Span, encoding: Option<Encoding>, error: &mut dyn ErrorSink) {
        let mut text = Cow::Borrowed("");
        let Some(raw) = self.raw(span, encoding) else {
            return;
        };
        let kind = raw.decode_scalar(&mut text, error);
        if self.arrays == 0 {
            self.value(match kind {
                ScalarKind::String => Value::Text(text),
                ScalarKind::Boolean(flag) => Value::Flag(flag),
                ScalarKind::DateTime | ScalarKind::Float | ScalarKind::Integer(_) => Value::Other,
            });
            self.close_value();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(text: &str, name: &str) -> Result<Entry, (usize, String)> {
        let lines = Lines {
            path: Path::new("users.toml"),
            bytes: text.as_bytes(),
        };
        scan(text, Some(name)).map(|found| found.entry(&lines, name.as_bytes(), MobileFormat::E164))
    }

    fn enrolled(text: &str, name: &str) -> String {
        match entry(text, name) {
            Ok(Entry::Enrolled(mobile)) => mobile.as_str().to_owned(),
            other => panic!("{other:?}"),
        }
    }

    fn bad(text: &str, name: &str) -> String {
        match entry(text, name) {
            Ok(Entry::Bad(what)) => what,
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
            ("users = 3\n", 1, "\"users\" stands outside [users]"),
            ("[users]\n[users]\n", 2, "[users] stands twice; keep one"),
        ] {
            let (at, sentence) = entry(text, "alice").unwrap_err();
            let lines = Lines {
                path: Path::new("users.toml"),
                bytes: text.as_bytes(),
            };
            assert_eq!(lines.number(at), line, "{text}: {sentence}");
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
