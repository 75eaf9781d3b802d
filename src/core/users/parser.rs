//! The file as a stream of entries.

use std::borrow::Cow;

use toml::de::DeValue;
use toml_parser::decoder::{Encoding, ScalarKind, StringBuilder};
use toml_parser::parser::EventReceiver;
use toml_parser::{ErrorSink, ParseError, Source, Span};

use super::entry::{RawEntry, Value, redact_number, shown};
use crate::problem::Problem;
use crate::sys::memory::{self, OutOfMemory, SmallBlocks};
use crate::toml_events::{self, NotToml};
use crate::toml_values;

/// Whose entries are wanted.
pub trait EntryVisitor<'i> {
    /// Where to record what is defined under this name; `None` if it is not wanted.
    fn visit(&mut self, name: &Cow<'i, str>) -> Option<&mut RawEntry<'i>>;

    /// The name that these keys would be with quotes around them, if that is wanted.
    fn unquoted(&mut self, keys: &[Cow<'i, str>]) -> Option<(String, &mut RawEntry<'i>)>;
}

/// The one user that a login asks for.
pub(super) struct SingleUser<'i, 'w> {
    wanted: Option<&'w str>,
    pub found: RawEntry<'i>,
}

impl<'w> SingleUser<'_, 'w> {
    pub fn new(wanted: Option<&'w str>) -> Self {
        Self {
            wanted,
            found: RawEntry::default(),
        }
    }
}

impl<'i> EntryVisitor<'i> for SingleUser<'i, '_> {
    fn visit(&mut self, name: &Cow<'i, str>) -> Option<&mut RawEntry<'i>> {
        (self.wanted == Some(name)).then_some(&mut self.found)
    }

    fn unquoted(&mut self, keys: &[Cow<'i, str>]) -> Option<(String, &mut RawEntry<'i>)> {
        let wanted = self.wanted.filter(|name| name.contains('.'))?;
        let rest = without_quotes(keys, wanted)?;
        matches!(rest.as_str(), "" | ".mobile" | ".enabled")
            .then(|| (wanted.to_owned(), &mut self.found))
    }
}

/// What follows `wanted` in these keys, joined by dots, if it is no longer than `.enabled`: `names_without_quotes`
/// without copies, which are as large as a key.
fn without_quotes(keys: &[Cow<str>], wanted: &str) -> Option<String> {
    let mut rest = wanted;
    let mut behind = String::new();
    for (number, key) in keys.iter().enumerate() {
        for piece in [if number == 0 { "" } else { "." }, key] {
            let common = rest.len().min(piece.len());
            let (begins, more) = (piece.get(..common)?, piece.get(common..)?);
            rest = rest.strip_prefix(begins)?;
            if behind.len() + more.len() > ".enabled".len() {
                return None;
            }
            behind.push_str(more);
        }
    }
    rest.is_empty().then_some(behind)
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

/// Reads the whole document, so that a syntax error anywhere is found, and keeps what `visitor` asks for.
///
/// # Errors
/// The text is not TOML, or something in it is outside `[users]`.
pub fn scan<'i, R: EntryVisitor<'i>>(text: &'i str, visitor: R) -> Result<R, NotToml> {
    let source = Source::new(text);
    let mut parser = UsersParser::new(source, visitor);
    toml_events::walk(source, &mut parser)?;
    parser.finish()
}

/// A key or a text, borrowed where it has no escapes; what there is no memory for is left out.
#[derive(Default)]
struct Text<'i> {
    text: Cow<'i, str>,
    failed: bool,
}

impl Text<'_> {
    fn append(&mut self, piece: &str) {
        let (mut owned, borrowed) = match std::mem::take(&mut self.text) {
            Cow::Owned(owned) => (owned, ""),
            Cow::Borrowed(borrowed) => (String::new(), borrowed),
        };
        for piece in [borrowed, piece] {
            self.failed |= memory::push_str(&mut owned, piece).is_err();
        }
        self.text = Cow::Owned(owned);
    }
}

impl<'i> StringBuilder<'i> for Text<'i> {
    fn clear(&mut self) {
        self.text = Cow::Borrowed("");
    }

    fn push_str(&mut self, piece: &'i str) -> bool {
        if self.text.is_empty() {
            self.text = Cow::Borrowed(piece);
        } else {
            self.append(piece);
        }
        true
    }

    fn push_char(&mut self, piece: char) -> bool {
        self.append(piece.encode_utf8(&mut [0; 4]));
        true
    }
}

/// Keeps track of where in the document it is.
#[allow(missing_debug_implementations)]
pub struct UsersParser<'i, R> {
    source: Source<'i>,
    visitor: R,
    /// The keys that lead to where we are: header, inline tables, dotted key.
    pub path: Vec<Cow<'i, str>>,
    /// For the header and every open inline table, how many keys of `path` lead to it.
    pub tables: Vec<usize>,
    /// How many arrays are open; nothing in an array concerns us.
    pub arrays: usize,
    /// Where the last key is.
    pub at: usize,
    /// Whether `[users]` or `users = {…}` has been seen.
    users_table: bool,
    /// Whether it was `users = {…}`, to which TOML lets nothing be added.
    users_complete: bool,
    /// Whether `users.alice = …` has been seen, after which TOML allows no `[users]`.
    users_by_dotted_keys: bool,
    misplaced: Option<NotToml>,
    blocks: SmallBlocks,
}

impl<'i, R: EntryVisitor<'i>> UsersParser<'i, R> {
    /// At the beginning of `source`.
    pub fn new(source: Source<'i>, visitor: R) -> Self {
        Self {
            source,
            visitor,
            path: Vec::new(),
            tables: vec![0],
            arrays: 0,
            at: 0,
            users_table: false,
            users_complete: false,
            users_by_dotted_keys: false,
            misplaced: None,
            blocks: SmallBlocks::default(),
        }
    }

    /// What was found.
    ///
    /// # Errors
    /// Something is outside `[users]`.
    pub fn finish(self) -> Result<R, NotToml> {
        match self.misplaced {
            Some(misplaced) => Err(misplaced),
            None => Ok(self.visitor),
        }
    }

    /// A value, or a table that begins, at `self.path`.
    fn value(&mut self, value: Value<'i>) {
        self.note_dotted_users();
        match self.path.as_slice() {
            [users] if users == "users" && matches!(value, Value::Table) => self.users_table(),
            [users, name] if users == "users" => {
                if let Some(found) = self.visitor.visit(name) {
                    found.define(self.at, value);
                }
            }
            [users, name, _, ..] if users == "users" => {
                let in_table = self.tables.last().is_some_and(|keys| *keys == 2);
                if let Some(found) = self.visitor.visit(name) {
                    found.below(self.at, &self.path, in_table, value);
                }
                self.unquoted_dots();
            }
            [..] => self.misplace(),
        }
    }

    fn users_table(&mut self) {
        if self.users_table || self.users_by_dotted_keys {
            self.users_twice();
        }
        self.users_table = true;
    }

    /// `users.alice = …` before the first header, and anything that adds to `users = {…}`.
    fn note_dotted_users(&mut self) {
        if self.path.len() > 1 && self.path.first().is_some_and(|key| key == "users") {
            self.users_by_dotted_keys |= self.tables == [0];
            if self.users_complete && self.tables.len() == 1 {
                self.users_twice();
            }
        }
    }

    fn users_twice(&mut self) {
        self.refuse(Problem::invalid("[users] is defined twice").fix("keep one"));
    }

    fn unquoted_dots(&mut self) {
        if let Some((name, found)) = self.visitor.unquoted(&self.path[1..]) {
            found.unquoted.get_or_insert((self.at, name));
        }
    }

    fn misplace(&mut self) {
        let key = shown(&self.path);
        let problem = Problem::invalid(format!("\"{}\" is outside [users]", redact_number(&key)))
            .fix("move it below the line [users]");
        self.refuse(problem);
    }

    fn refuse(&mut self, problem: Problem) {
        let at = self.at;
        self.misplaced.get_or_insert(NotToml { at, problem });
    }

    /// Without memory nothing is known of the file.
    fn try_memory(&mut self, result: Result<(), OutOfMemory>) {
        if let Err(out_of_memory) = result {
            self.misplaced = Some(out_of_memory.into());
        }
    }

    /// Counts what a decoded text has allocated.
    fn decoded(&mut self, text: Text<'i>) -> Cow<'i, str> {
        let counted = match &text.text {
            _ if text.failed => Err(OutOfMemory),
            Cow::Owned(owned) => self.blocks.add(owned.capacity()),
            Cow::Borrowed(_) => Ok(()),
        };
        self.try_memory(counted);
        text.text
    }

    /// A value is complete: back to the table it is in.
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

impl<'i, R: EntryVisitor<'i>> EventReceiver for UsersParser<'i, R> {
    fn std_table_open(&mut self, _: Span, _: &mut dyn ErrorSink) {
        self.open_header();
    }

    fn std_table_close(&mut self, _: Span, _: &mut dyn ErrorSink) {
        self.tables = vec![self.path.len().saturating_sub(1)];
        self.value(Value::Table);
        self.tables = vec![self.path.len()];
    }

    fn array_table_open(&mut self, _: Span, _: &mut dyn ErrorSink) {
        self.open_header();
    }

    fn array_table_close(&mut self, _: Span, _: &mut dyn ErrorSink) {
        self.tables = vec![self.path.len().saturating_sub(1)];
        self.value(Value::Other);
        self.tables = vec![self.path.len()];
    }

    fn inline_table_open(&mut self, _: Span, _: &mut dyn ErrorSink) -> bool {
        if self.arrays == 0 {
            self.value(Value::Table);
            self.users_complete |= self.path.len() == 1;
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
        let mut key = Text::default();
        if let Some(raw) = toml_events::raw(self.source, span, encoding) {
            raw.decode_key(&mut key, error);
        }
        let key = self.decoded(key);
        if self.arrays == 0 {
            self.at = span.start();
            let pushed = memory::push(&mut self.path, key);
            self.try_memory(pushed);
        }
    }

    fn scalar(&mut self, span: Span, encoding: Option<Encoding>, error: &mut dyn ErrorSink) {
        let mut text = Text::default();
        let Some(raw) = toml_events::raw(self.source, span, encoding) else {
            return;
        };
        let value = match raw.decode_scalar(&mut text, error) {
            ScalarKind::String => Value::Text(self.decoded(text)),
            ScalarKind::Boolean(flag) => Value::Flag(flag),
            ScalarKind::DateTime | ScalarKind::Float | ScalarKind::Integer(_) => {
                // What `toml` may take below for copies of it.
                if memory::check(raw.len().saturating_mul(8)).is_err() {
                    return self.try_memory(Err(OutOfMemory));
                }
                // Dates and numbers are only recognised up to here, not checked; `toml` itself does so when it builds.
                let built = DeValue::parse(raw.as_str());
                if !built.is_ok_and(|value| toml_values::is_representable(value.get_ref())) {
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
