//! The byte ranges of what users.toml says about one user, so that an edit leaves all the rest as it is.
//!
//! The module's own parser keeps track of the path; this receives the same events and records offsets.

use std::borrow::Cow;
use std::ops::Range;

use toml_parser::decoder::Encoding;
use toml_parser::parser::EventReceiver;
use toml_parser::{ErrorSink, Source, Span};

use ivalt_core::toml_events::{self, NotToml};
use ivalt_core::users::{EntryVisitor, RawEntry, UsersParser};

/// `key = value`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    /// The first part of the key begins.
    pub start: usize,
    /// The last part of the key begins.
    pub last_key: usize,
    /// The value.
    pub value: Range<usize>,
    /// In an inline table: where the comma before it is, if there is one.
    pub inline: Option<Option<usize>>,
}

/// Something the file says about the user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Occurrence {
    /// `alice = …`
    Entry(Pair),
    /// `mobile = …` of the user, by a dotted key or in the user's table.
    Mobile(Pair),
    /// `enabled = …`, likewise.
    Enabled(Pair),
    /// `[users.alice]` and what is below it, up to the last value.
    Table(Range<usize>),
}

/// Where a new entry goes; ends are those of the last value, or of the header.
#[derive(Debug, Default)]
pub struct InsertionPoint {
    /// Below the line `[users]`.
    pub table: Option<usize>,
    /// Whether another table follows below `[users]`.
    pub followed: bool,
    /// Where the last entry below `[users]` begins.
    pub last: Option<usize>,
    /// In `users = { … }`, and whether it has entries.
    pub inline: Option<(usize, bool)>,
    /// `users.alice = …` at the beginning of the file.
    pub dotted: Option<usize>,
    /// Whether there is a table such as `[users.alice]`.
    pub tables: bool,
}

/// Where the file says what.
#[derive(Debug, Default)]
pub struct Spans {
    /// In the order of the file.
    pub occurrences: Vec<Occurrence>,
    /// For a new entry.
    pub insertion: InsertionPoint,
}

impl Spans {
    /// Looks for `user`.
    ///
    /// # Errors
    /// As the module's own look-up.
    pub fn find(text: &str, user: &str) -> Result<Self, NotToml> {
        let source = Source::new(text);
        let mut recorder = SpanRecorder {
            parser: UsersParser::new(source, NoVisitor),
            user,
            header: 0,
            section: Section::Elsewhere,
            tables: vec![OpenTable::default()],
            spans: Self::default(),
        };
        toml_events::walk(source, &mut recorder)?;
        recorder.parser.finish()?;
        Ok(recorder.spans)
    }
}

/// Only the parser's path is needed here.
struct NoVisitor;

impl<'i> EntryVisitor<'i> for NoVisitor {
    fn visit(&mut self, _: &Cow<'i, str>) -> Option<&mut RawEntry<'i>> {
        None
    }

    fn unquoted(&mut self, _: &[Cow<'i, str>]) -> Option<(String, &mut RawEntry<'i>)> {
        None
    }
}

/// Which header we are below.
#[derive(PartialEq, Eq)]
enum Section {
    Users,
    /// `[users.alice]` of the user; the index of its occurrence.
    OfUser(usize),
    Elsewhere,
}

/// The document, or an open inline table.
#[derive(Default)]
struct OpenTable {
    start: usize,
    last_key: usize,
    comma: Option<usize>,
    /// Where the value of the key begins, if it is an array or an inline table.
    value: usize,
}

struct SpanRecorder<'i, 'u> {
    parser: UsersParser<'i, NoVisitor>,
    user: &'u str,
    header: usize,
    section: Section,
    tables: Vec<OpenTable>,
    spans: Spans,
}

impl SpanRecorder<'_, '_> {
    fn open_table(&mut self) -> &mut OpenTable {
        if self.tables.is_empty() {
            self.tables.push(OpenTable::default());
        }
        let last = self.tables.len() - 1;
        &mut self.tables[last]
    }

    /// The pair whose value ends at `end` is complete; `keys` of the path lead to its value.
    fn pair(&mut self, value: Range<usize>, keys: usize) {
        let inline = self.tables.len() > 1;
        let table = self.open_table();
        let pair = Pair {
            start: table.start,
            last_key: table.last_key,
            inline: inline.then_some(table.comma),
            value,
        };
        self.extend_section(&pair, keys);
        let path = &self.parser.path[..keys];
        let [users, name, rest @ ..] = path else {
            return;
        };
        if users != "users" || name != self.user {
            return;
        }
        let occurrence = match rest {
            [] => Occurrence::Entry(pair),
            [key] if key == "mobile" => Occurrence::Mobile(pair),
            [key] if key == "enabled" => Occurrence::Enabled(pair),
            [..] => return,
        };
        self.spans.occurrences.push(occurrence);
    }

    /// The section, or the inline table of all users, reaches at least to the end of this pair.
    fn extend_section(&mut self, pair: &Pair, keys: usize) {
        let (insertion, end) = (&mut self.spans.insertion, pair.value.end);
        if pair.inline.is_some() {
            let of_users = self.tables.len() == 2 && self.parser.tables[1] == 1;
            if of_users && self.parser.path[0] == "users" {
                insertion.inline = Some((end, true));
            }
            return;
        }
        match self.section {
            Section::Users => (insertion.table, insertion.last) = (Some(end), Some(pair.start)),
            Section::OfUser(index) => {
                if let Occurrence::Table(range) = &mut self.spans.occurrences[index] {
                    range.end = end;
                }
            }
            Section::Elsewhere if self.parser.tables[0] == 0 && keys > 1 => {
                insertion.dotted = Some(end)
            }
            Section::Elsewhere => {}
        }
    }

    fn open_header(&mut self, at: usize) {
        self.header = at;
        self.tables = vec![OpenTable::default()];
        if self.section == Section::Users {
            self.spans.insertion.followed = true;
        }
        self.section = Section::Elsewhere;
    }

    fn close_header(&mut self, end: usize) {
        match self.parser.path.as_slice() {
            [users] if users == "users" => {
                self.section = Section::Users;
                self.spans.insertion.table = Some(end);
            }
            [users, name] if users == "users" => {
                self.spans.insertion.tables = true;
                if name == self.user {
                    self.section = Section::OfUser(self.spans.occurrences.len());
                    let table = Occurrence::Table(self.header..end);
                    self.spans.occurrences.push(table);
                }
            }
            _ => {}
        }
    }
}

impl EventReceiver for SpanRecorder<'_, '_> {
    fn std_table_open(&mut self, span: Span, error: &mut dyn ErrorSink) {
        self.open_header(span.start());
        self.parser.std_table_open(span, error);
    }

    fn std_table_close(&mut self, span: Span, error: &mut dyn ErrorSink) {
        self.parser.std_table_close(span, error);
        self.close_header(span.end());
    }

    fn array_table_open(&mut self, span: Span, error: &mut dyn ErrorSink) {
        self.open_header(span.start());
        self.parser.array_table_open(span, error);
    }

    fn array_table_close(&mut self, span: Span, error: &mut dyn ErrorSink) {
        self.parser.array_table_close(span, error);
        self.close_header(span.end());
    }

    fn inline_table_open(&mut self, span: Span, error: &mut dyn ErrorSink) -> bool {
        if self.parser.arrays == 0 {
            self.open_table().value = span.start();
            if self.parser.path == ["users"] && self.tables.len() == 1 {
                self.spans.insertion.inline = Some((span.end(), false));
            }
            self.tables.push(OpenTable::default());
        }
        self.parser.inline_table_open(span, error)
    }

    fn inline_table_close(&mut self, span: Span, error: &mut dyn ErrorSink) {
        if self.parser.arrays == 0 && self.tables.len() > 1 {
            let keys = self.parser.tables[self.tables.len() - 1];
            self.tables.pop();
            let start = self.open_table().value;
            // `users = { … }` itself holds entries and is not one.
            self.pair(start..span.end(), keys);
        }
        self.parser.inline_table_close(span, error);
    }

    fn array_open(&mut self, span: Span, error: &mut dyn ErrorSink) -> bool {
        if self.parser.arrays == 0 {
            self.open_table().value = span.start();
        }
        self.parser.array_open(span, error)
    }

    fn array_close(&mut self, span: Span, error: &mut dyn ErrorSink) {
        if self.parser.arrays == 1 {
            let (start, keys) = (self.open_table().value, self.parser.path.len());
            self.pair(start..span.end(), keys);
        }
        self.parser.array_close(span, error);
    }

    fn simple_key(&mut self, span: Span, encoding: Option<Encoding>, error: &mut dyn ErrorSink) {
        if self.parser.arrays == 0 {
            let first = self.parser.path.len() == self.parser.tables.last().copied().unwrap_or(0);
            let table = self.open_table();
            if first {
                table.start = span.start();
            }
            table.last_key = span.start();
        }
        self.parser.simple_key(span, encoding, error);
    }

    fn scalar(&mut self, span: Span, encoding: Option<Encoding>, error: &mut dyn ErrorSink) {
        if self.parser.arrays == 0 {
            let keys = self.parser.path.len();
            self.pair(span.start()..span.end(), keys);
        }
        self.parser.scalar(span, encoding, error);
    }

    fn value_sep(&mut self, span: Span, _: &mut dyn ErrorSink) {
        if self.parser.arrays == 0 {
            self.open_table().comma = Some(span.start());
        }
    }
}
