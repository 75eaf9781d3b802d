//! Where in users.toml things stand, byte for byte, so that all the rest can stay as it is.
//!
//! The module's own walk keeps account of where it is; this listens beside it and notes offsets.

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

/// Something that speaks of the wanted user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// `alice = …`
    Entry(Pair),
    /// `mobile = …` or `enabled = …` of the user, by a dotted key or in the user's table; true: `enabled`.
    Key(Pair, bool),
    /// `[users.alice]` and what stands below it, up to the last value.
    Table(Range<usize>),
}

/// Where somebody new belongs; ends are those of the last value, or of the header.
#[derive(Debug, Default)]
pub struct Home {
    /// Below the line `[users]`.
    pub table: Option<usize>,
    /// Whether something else follows below `[users]`.
    pub followed: bool,
    /// The last of those below `[users]`, by its beginning.
    pub last: Option<usize>,
    /// In `users = { … }`, and whether somebody is there.
    pub inline: Option<(usize, bool)>,
    /// `users.alice = …` at the beginning of the file.
    pub dotted: Option<usize>,
    /// `[users.alice]` stands somewhere.
    pub tables: bool,
}

/// What stands where.
#[derive(Debug, Default)]
pub struct Places {
    /// In the order of the file.
    pub of_wanted: Vec<Place>,
    /// For somebody new.
    pub home: Home,
}

impl Places {
    /// Looks for the user `wanted`.
    ///
    /// # Errors
    /// As the module's own look-up.
    pub fn of(text: &str, wanted: &str) -> Result<Self, NotToml> {
        let source = Source::new(text);
        let mut listener = Listener {
            walk: UsersParser::new(source, Nobody),
            wanted,
            header: 0,
            section: Section::Elsewhere,
            levels: vec![Level::default()],
            places: Self::default(),
        };
        toml_events::walk(source, &mut listener)?;
        listener.walk.finish()?;
        Ok(listener.places)
    }
}

/// The walk is wanted for its account of where it is alone.
struct Nobody;

impl<'i> EntryVisitor<'i> for Nobody {
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
    /// `[users.alice]`, where alice is wanted; the number of its place.
    Wanted(usize),
    Elsewhere,
}

/// The document, or an open inline table.
#[derive(Default)]
struct Level {
    start: usize,
    last_key: usize,
    comma: Option<usize>,
    /// Where the value of the key begins, if it is an array or an inline table.
    value: usize,
}

struct Listener<'i, 'w> {
    walk: UsersParser<'i, Nobody>,
    wanted: &'w str,
    header: usize,
    section: Section,
    levels: Vec<Level>,
    places: Places,
}

impl Listener<'_, '_> {
    fn level(&mut self) -> &mut Level {
        if self.levels.is_empty() {
            self.levels.push(Level::default());
        }
        let last = self.levels.len() - 1;
        &mut self.levels[last]
    }

    /// The pair whose value ends at `end` is complete; `keys` of the path lead to its value.
    fn pair(&mut self, value: Range<usize>, keys: usize) {
        let inline = self.levels.len() > 1;
        let level = self.level();
        let pair = Pair {
            start: level.start,
            last_key: level.last_key,
            inline: inline.then_some(level.comma),
            value,
        };
        self.settle(&pair, keys);
        let path = &self.walk.path[..keys];
        let [users, name, rest @ ..] = path else {
            return;
        };
        if users != "users" || name != self.wanted {
            return;
        }
        let place = match rest {
            [] => Place::Entry(pair),
            [key] if matches!(key.as_ref(), "mobile" | "enabled") => {
                Place::Key(pair, key == "enabled")
            }
            [..] => return,
        };
        self.places.of_wanted.push(place);
    }

    /// The section, or the inline table of all users, reaches as far as this.
    fn settle(&mut self, pair: &Pair, keys: usize) {
        let (home, end) = (&mut self.places.home, pair.value.end);
        if pair.inline.is_some() {
            let of_users = self.levels.len() == 2 && self.walk.tables[1] == 1;
            if of_users && self.walk.path[0] == "users" {
                home.inline = Some((end, true));
            }
            return;
        }
        match self.section {
            Section::Users => (home.table, home.last) = (Some(end), Some(pair.start)),
            Section::Wanted(place) => {
                if let Place::Table(range) = &mut self.places.of_wanted[place] {
                    range.end = end;
                }
            }
            Section::Elsewhere if self.walk.tables[0] == 0 && keys > 1 => home.dotted = Some(end),
            Section::Elsewhere => {}
        }
    }

    fn open_header(&mut self, at: usize) {
        self.header = at;
        self.levels = vec![Level::default()];
        if self.section == Section::Users {
            self.places.home.followed = true;
        }
        self.section = Section::Elsewhere;
    }

    fn close_header(&mut self, end: usize) {
        match self.walk.path.as_slice() {
            [users] if users == "users" => {
                self.section = Section::Users;
                self.places.home.table = Some(end);
            }
            [users, name] if users == "users" => {
                self.places.home.tables = true;
                if name == self.wanted {
                    self.section = Section::Wanted(self.places.of_wanted.len());
                    let table = Place::Table(self.header..end);
                    self.places.of_wanted.push(table);
                }
            }
            _ => {}
        }
    }
}

impl EventReceiver for Listener<'_, '_> {
    fn std_table_open(&mut self, span: Span, error: &mut dyn ErrorSink) {
        self.open_header(span.start());
        self.walk.std_table_open(span, error);
    }

    fn std_table_close(&mut self, span: Span, error: &mut dyn ErrorSink) {
        self.walk.std_table_close(span, error);
        self.close_header(span.end());
    }

    fn array_table_open(&mut self, span: Span, error: &mut dyn ErrorSink) {
        self.open_header(span.start());
        self.walk.array_table_open(span, error);
    }

    fn array_table_close(&mut self, span: Span, error: &mut dyn ErrorSink) {
        self.walk.array_table_close(span, error);
        self.close_header(span.end());
    }

    fn inline_table_open(&mut self, span: Span, error: &mut dyn ErrorSink) -> bool {
        if self.walk.arrays == 0 {
            self.level().value = span.start();
            if self.walk.path == ["users"] && self.levels.len() == 1 {
                self.places.home.inline = Some((span.end(), false));
            }
            self.levels.push(Level::default());
        }
        self.walk.inline_table_open(span, error)
    }

    fn inline_table_close(&mut self, span: Span, error: &mut dyn ErrorSink) {
        if self.walk.arrays == 0 && self.levels.len() > 1 {
            let keys = self.walk.tables[self.levels.len() - 1];
            self.levels.pop();
            let start = self.level().value;
            // `users = { … }` itself is a home, not a pair in one.
            self.pair(start..span.end(), keys);
        }
        self.walk.inline_table_close(span, error);
    }

    fn array_open(&mut self, span: Span, error: &mut dyn ErrorSink) -> bool {
        if self.walk.arrays == 0 {
            self.level().value = span.start();
        }
        self.walk.array_open(span, error)
    }

    fn array_close(&mut self, span: Span, error: &mut dyn ErrorSink) {
        if self.walk.arrays == 1 {
            let (start, keys) = (self.level().value, self.walk.path.len());
            self.pair(start..span.end(), keys);
        }
        self.walk.array_close(span, error);
    }

    fn simple_key(&mut self, span: Span, encoding: Option<Encoding>, error: &mut dyn ErrorSink) {
        if self.walk.arrays == 0 {
            let first = self.walk.path.len() == self.walk.tables.last().copied().unwrap_or(0);
            let level = self.level();
            if first {
                level.start = span.start();
            }
            level.last_key = span.start();
        }
        self.walk.simple_key(span, encoding, error);
    }

    fn scalar(&mut self, span: Span, encoding: Option<Encoding>, error: &mut dyn ErrorSink) {
        if self.walk.arrays == 0 {
            let keys = self.walk.path.len();
            self.pair(span.start()..span.end(), keys);
        }
        self.walk.scalar(span, encoding, error);
    }

    fn value_sep(&mut self, span: Span, _: &mut dyn ErrorSink) {
        if self.walk.arrays == 0 {
            self.level().comma = Some(span.start());
        }
    }
}
