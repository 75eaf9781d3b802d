//! `users.toml`, as a login looks it up, against the same file read event by event to its end, and against `toml`'s
//! whole document: nobody may get in as somebody else, or by a file that the others refuse.

use std::borrow::Cow;
use std::ops::Range;
use std::path::Path;
use std::str::from_utf8;

use serde::Deserialize;
use toml::Value;
use toml::de::{DeTable, Deserializer, Error};

use ivalt_core::problem::Problem;
use ivalt_core::settings::MobileFormat;
use ivalt_core::users::{
    self, Entry, EntryVisitor, Lines, Mobile, RawEntry, from_memory, look_up_in,
    names_without_quotes,
};

/// The first line is the name that is looked up, the rest the file.
pub fn run(input: &[u8]) {
    let end = input
        .iter()
        .position(|byte| *byte == b'\n')
        .unwrap_or(input.len());
    let (name, file) = (&input[..end], input.get(end + 1..).unwrap_or_default());
    for format in [MobileFormat::E164, MobileFormat::National] {
        judge(name, file, format);
    }
}

/// Panics where the three do not agree about `name`.
pub fn judge(name: &[u8], file: &[u8], format: MobileFormat) {
    let found = look_up_in(Path::new(PATH), file, name, format);
    let whole = read_whole(file, name, format);
    let shown = name.escape_ascii();
    for size in [16, 40, 41 + file.len() % 175, WINDOW] {
        if let Some(entry) = from_memory::entry(file, name, format, size) {
            assert_eq!(Ok(&entry), whole.as_ref(), "{shown}: by a window of {size}");
        }
    }
    assert_eq!(found, whole, "{shown}: by a login, and by the whole file");
    let Ok(text) = from_utf8(file) else {
        assert!(found.is_err(), "not UTF-8, and {found:?}");
        return;
    };
    let name = from_utf8(name).ok();
    let (document, errors) = DeTable::parse_recoverable(text);
    let doubled = !errors.is_empty();
    if errors.iter().any(|error| !is_double(error, text)) {
        assert!(found.is_err(), "{errors:?}, and {found:?}");
        return;
    }
    // Some numbers are looked at only now.
    let Ok(document) = toml::Table::deserialize(Deserializer::from(document)) else {
        assert!(found.is_err(), "not TOML, and {found:?}");
        return;
    };
    if let Some(times) = plain_lines(text, name) {
        let as_promised = matches!(found, Ok(Entry::Bad(_))) == (times > 1);
        assert!(as_promised, "{times} times, and {found:?}");
    }
    let expected = expect(&document, name, format);
    let agrees = match (&found, &expected) {
        (Err(_), Expected::Unusable) => true,
        (Ok(Entry::Enrolled(mobile)), Expected::Enrolled(other)) => mobile == other,
        (Ok(Entry::Disabled(mobile)), Expected::Disabled(other)) => mobile == other,
        (Ok(Entry::Bad(_)), Expected::Bad) => true,
        (Ok(Entry::Absent), Expected::Absent) => true,
        // What is defined twice may deny more than one user, and lets nobody in.
        (Err(_) | Ok(Entry::Bad(_)), _) if doubled => true,
        // `first.last = "…"` beside `first = "…"`: that concerns first.last.
        (Ok(Entry::Enrolled(_)), Expected::FirstPart) => doubled,
        (Ok(Entry::Bad(_)), Expected::FirstPart) => true,
        // Its dots are not in quotes.
        (Ok(Entry::Bad(_)), Expected::Absent) => name.is_some_and(|name| name.contains('.')),
        _ => false,
    };
    assert!(
        agrees,
        "{name:?}: found {found:?}, expected {expected:?}, {errors:?}"
    );
}

const PATH: &str = "/users.toml";
/// Of a login.
const WINDOW: usize = 64 << 10;

/// Every line is parsed, whatever a login may leave out.
fn read_whole(file: &[u8], name: &[u8], format: MobileFormat) -> Result<Entry, Problem> {
    let lines = Lines {
        path: Path::new(PATH),
        before: &|at| file[..at].iter().filter(|byte| **byte == b'\n').count(),
    };
    let text = users::text(file, &lines)?;
    let one = OneUser {
        name: from_utf8(name).ok(),
        found: RawEntry::default(),
    };
    let one = users::scan(text, one).map_err(|not_toml| lines.not_toml(not_toml))?;
    Ok(one.found.entry(&lines, name, format))
}

struct OneUser<'i, 'n> {
    name: Option<&'n str>,
    found: RawEntry<'i>,
}

impl<'i> EntryVisitor<'i> for OneUser<'i, '_> {
    fn visit(&mut self, name: &Cow<'i, str>) -> Option<&mut RawEntry<'i>> {
        (self.name == Some(name)).then_some(&mut self.found)
    }

    fn unquoted(&mut self, keys: &[Cow<'i, str>]) -> Option<(String, &mut RawEntry<'i>)> {
        let name = self.name.filter(|name| name.contains('.'))?;
        let written = names_without_quotes(keys).find(|written| written == name)?;
        Some((written, &mut self.found))
    }
}

/// A name that is defined twice concerns that user; every other fault concerns all users.
fn is_double(error: &Error, text: &str) -> bool {
    let double =
        error.message() == "duplicate key" || error.message().starts_with("cannot extend ");
    let names_users = error.span().is_some_and(|span| is_users(text, span));
    double && !names_users
}

/// Whether this is the key `users` itself: in a header, or before the first one.
fn is_users(text: &str, key: Range<usize>) -> bool {
    let before = &text[..key.start];
    let line = before.rfind('\n').map_or(0, |end| end + 1);
    let (above, left) = (&before[..line], before[line..].trim_ascii());
    let first_header = !above.lines().any(|line| line.trim_start().starts_with('['));
    let written = text[key].trim_matches(['"', '\'']);
    written == "users" && (matches!(left, "[" | "[[") || left.is_empty() && first_header)
}

/// How often the name is in a file of nothing but `name = "+mobile"` below `[users]`; `None` for other files.
fn plain_lines(text: &str, name: Option<&str>) -> Option<usize> {
    let mut times = 0;
    for line in text.strip_prefix("[users]\n")?.lines() {
        let (key, value) = line.split_once(" = \"+")?;
        let digits = value.strip_suffix('"')?;
        let plain = !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_alphanumeric());
        let e164 = (7..=15).contains(&digits.len()) && !digits.starts_with('0');
        if !plain || !e164 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        times += usize::from(Some(key) == name);
    }
    Some(times)
}

#[derive(Debug)]
enum Expected {
    Unusable,
    Absent,
    Bad,
    /// Nothing but what may be the rest of a name without quotes.
    FirstPart,
    Enrolled(Mobile),
    Disabled(Mobile),
}

fn expect(document: &toml::Table, name: Option<&str>, format: MobileFormat) -> Expected {
    let users = match document.get("users") {
        _ if document.keys().any(|key| key != "users") => return Expected::Unusable,
        None => return Expected::Absent,
        Some(Value::Table(users)) => users,
        Some(_) => return Expected::Unusable,
    };
    let mobile = |text: &str| Mobile::parse(text, format);
    match name.and_then(|name| users.get(name)) {
        None => Expected::Absent,
        Some(Value::String(text)) => mobile(text).map_or(Expected::Bad, Expected::Enrolled),
        Some(Value::Table(entry)) => {
            let known = |key: &String| key == "mobile" || key == "enabled";
            let rest = |(key, value): (&String, &Value)| !known(key) && value.is_str();
            if !entry.is_empty() && entry.iter().all(rest) {
                return Expected::FirstPart;
            }
            if !entry.keys().all(known) {
                return Expected::Bad;
            }
            let number = entry.get("mobile").and_then(Value::as_str).and_then(mobile);
            match (number, entry.get("enabled")) {
                (Some(mobile), None | Some(Value::Boolean(true))) => Expected::Enrolled(mobile),
                (Some(mobile), Some(Value::Boolean(false))) => Expected::Disabled(mobile),
                _ => Expected::Bad,
            }
        }
        Some(_) => Expected::Bad,
    }
}
