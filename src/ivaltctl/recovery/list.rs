//! `recovery list`: what is known of every code but the code.

use std::path::Path;

use serde_json::{Value, json};

use super::sheet::{date, time, until};
use super::store::{Contents, REVOKED, UnusedCode, UserFolder};
use super::{not_read, now, open};
use crate::output::Output;
use crate::root::Root;
use crate::terminal::{OK, Text, WARN, visible};
use crate::{Refused, users};
use ivalt_core::recovery::store::{CodeFile, Use};

/// A longer name shifts the columns of its own line only.
const WIDEST: usize = 32;

/// One code.
#[derive(Debug)]
struct Row {
    name: String,
    number: Option<u32>,
    /// As long as it is unused.
    content: Option<CodeFile>,
    used: Option<Use>,
    state: &'static str,
}

/// Lists the codes of a user, or of everybody.
pub fn list(name: Option<&str>, config: &Path, output: &mut Output) -> Result<(), Refused> {
    let directory = users::enrolment(config)?.recovery.directory;
    let rows = rows(&directory, name)?;
    let nothing = match name {
        Some(name) => format!("{name}: has no recovery codes"),
        None => "nobody has recovery codes".to_owned(),
    };
    output.report(
        || text(&rows, &nothing),
        || rows.iter().map(object).collect(),
    );
    Ok(())
}

fn rows(directory: &Path, name: Option<&str>) -> Result<Vec<Row>, Refused> {
    let Some(store) = open(&Root::this_machine()?, directory)? else {
        return Ok(Vec::new());
    };
    let users = match name {
        Some(name) => store.user(name).map(|user| user.into_iter().collect()),
        None => store.users(),
    };
    let users: Vec<UserFolder> = users.map_err(|error| not_read(&store.path, &error))?;
    let mut rows = Vec::new();
    for user in users {
        let contents = user.read().map_err(|error| not_read(&user.path, &error))?;
        rows.extend(rows_of(&user.name, &contents));
    }
    Ok(rows)
}

/// By number.
fn rows_of(name: &str, contents: &Contents) -> Vec<Row> {
    let unused = contents
        .codes
        .iter()
        .map(|code| unused(name, contents, code));
    let is_gone = |used: &&Use| {
        let mut numbers = contents.codes.iter().map(UnusedCode::number);
        !numbers.any(|number| number == Some(used.number))
    };
    let used = contents.used.iter().filter(is_gone);
    // Nobody misses what was revoked.
    let used = used.filter(|used| used.service != REVOKED).map(|used| Row {
        name: name.to_owned(),
        number: Some(used.number),
        content: None,
        state: "used",
        used: Some(used.clone()),
    });
    let mut rows: Vec<_> = unused.chain(used).collect();
    rows.sort_by_key(|row| row.number);
    rows
}

fn unused(name: &str, contents: &Contents, code: &UnusedCode) -> Row {
    let used = code.number().and_then(|number| contents.use_of(number));
    let state = match code.content {
        None => "unreadable",
        // Its file has come back.
        Some(_) if used.is_some() => "restored",
        Some(content) if content.has_expired(now()) => "expired",
        Some(_) => "unused",
    };
    Row {
        name: name.to_owned(),
        number: code.number(),
        content: code.content,
        used: used.cloned(),
        state,
    }
}

fn text(rows: &[Row], nothing: &str) -> Text {
    if rows.is_empty() {
        return visible(nothing).into();
    }
    let widths = rows.iter().map(|row| visible(&row.name).chars().count());
    let column = widths.max().unwrap_or_default().min(WIDEST);
    let mut text = Text::default();
    for (index, row) in rows.iter().enumerate() {
        let line_end = if index == 0 { "" } else { "\n" };
        let name = visible(&row.name);
        let number = row
            .number
            .map_or("-".to_owned(), |number| number.to_string());
        let style = if row.state == "unused" { OK } else { WARN };
        text = text
            .then(format_args!("{line_end}{name:<column$}  {number:>4}  "))
            .then_styled(style, row.state)
            .then(details(row));
    }
    text
}

fn details(row: &Row) -> String {
    let mut details = Vec::new();
    if let Some(content) = row.content {
        let until = until(content.expires);
        let until = until.split('T').next().unwrap_or_default();
        details.push(format!("made {}, expires {until}", date(content.made)));
    }
    if let Some(used) = &row.used {
        let word = if row.content.is_some() { "used " } else { "" };
        let when = time(used.time);
        details.push(match used.service.as_str() {
            REVOKED => format!("revoked {when}"),
            service => format!("{word}{when} by {service} from {}", rhost(used)),
        });
    }
    let sign = if row.content.is_some() { ", " } else { " " };
    match details.is_empty() {
        true => String::new(),
        false => format!("{sign}{}", details.join(", ")),
    }
}

fn rhost(used: &Use) -> &str {
    match used.rhost.as_str() {
        "" | "\"\"" => "this host",
        rhost => rhost,
    }
}

fn object(row: &Row) -> Value {
    let used = row.used.as_ref();
    json!({
        "name": row.name,
        "number": row.number,
        "state": row.state,
        "made": row.content.map(|content| time(content.made)),
        "expires": row.content.and_then(|content| content.expires).map(time),
        "used": used.map(|used| time(used.time)),
        "service": used.map(|used| unquoted(&used.service)),
        "rhost": used.map(|used| unquoted(&used.rhost)),
    })
}

/// What the application gave, of a value quoted as in the log.
fn unquoted(value: &str) -> String {
    let inner = value
        .strip_prefix('"')
        .and_then(|value| value.strip_suffix('"'));
    // What a damaged file has is shown as it is.
    let bytes = inner.and_then(|inner| unescaped(inner.bytes()));
    bytes.map_or(value.to_owned(), |bytes| {
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

fn unescaped(mut escaped: impl Iterator<Item = u8>) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    while let Some(byte) = escaped.next() {
        bytes.push(match byte {
            b'\\' => match escaped.next()? {
                b'x' => {
                    let digits = [escaped.next()?, escaped.next()?];
                    u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?
                }
                other => other,
            },
            other => other,
        });
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ivalt_core::log_line::quote_log_value;

    #[test]
    fn programs_get_what_the_application_gave() {
        for plain in [
            "",
            "sshd",
            "my service",
            "a\"b\\c",
            "\\x41",
            "tab\there",
            "grüße",
        ] {
            assert_eq!(unquoted(&quote_log_value(plain.as_bytes())), plain);
        }
        assert_eq!(unquoted(&quote_log_value(b"\xff")), "\u{fffd}");
        for damaged in [r#""a"#, r#""a\""#, r#""\x4""#, r#""\xzz""#] {
            assert_eq!(unquoted(damaged), damaged);
        }
    }
}
