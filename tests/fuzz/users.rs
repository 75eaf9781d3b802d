//! `users.toml`, looked up event by event, against `toml`'s whole document: nobody may get in as somebody else.

use std::path::Path;
use std::str::from_utf8;

use serde::Deserialize;
use toml::Value;
use toml::de::{DeTable, Deserializer};

use ivalt_core::settings::MobileFormat;
use ivalt_core::users::{Entry, Mobile, look_up_in};

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

fn judge(name: &[u8], file: &[u8], format: MobileFormat) {
    let found = look_up_in(Path::new("/users.toml"), file, name, format);
    let Ok(text) = from_utf8(file) else {
        assert!(found.is_err(), "not UTF-8, and {found:?}");
        return;
    };
    let name = from_utf8(name).ok();
    let (document, errors) = DeTable::parse_recoverable(text);
    let doubled = !errors.is_empty();
    if errors.iter().any(|error| !is_double(error.message())) {
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
        // Its dots are not in quotes.
        (Ok(Entry::Bad(_)), Expected::Absent) => name.is_some_and(|name| name.contains('.')),
        // What is defined twice may deny more than one user, and lets nobody in.
        (Err(_) | Ok(Entry::Bad(_)), _) => doubled,
        _ => false,
    };
    assert!(
        agrees,
        "{name:?}: found {found:?}, expected {expected:?}, {errors:?}"
    );
}

/// A name that is defined twice concerns that user; every other fault concerns all users.
fn is_double(message: &str) -> bool {
    message == "duplicate key" || message.starts_with("cannot extend ")
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
            if entry.keys().any(|key| key != "mobile" && key != "enabled") {
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
