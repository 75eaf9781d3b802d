//! The CSV file of `users import`: the columns name, mobile and, optionally, enabled.

use std::collections::HashMap;
use std::io::Read;
use std::path::Path;

use csv::ByteRecord;

use super::names;
use crate::Refused;
use ivalt_core::problem::Problem;
use ivalt_core::settings::MobileFormat;
use ivalt_core::trusted_file::LARGE;
use ivalt_core::users::Mobile;

/// One row that can be used.
#[derive(Debug, PartialEq, Eq)]
pub struct Row {
    /// The line of the file, as an editor counts.
    pub line: usize,
    /// The account.
    pub name: String,
    /// The mobile number, valid.
    pub mobile: Mobile,
    /// Whether the user may log in.
    pub enabled: bool,
}

/// All rows, good and bad.
#[derive(Debug, Default)]
pub struct Table {
    /// Those that can be used.
    pub rows: Vec<Row>,
    /// What is wrong with the others, without the mobile; lines are those an editor shows.
    pub problems: Vec<Problem>,
}

/// The bytes of the file, or of standard input for `-`.
///
/// # Errors
/// It cannot be read, or is larger than users.toml may become.
pub fn read(path: &Path) -> Result<Vec<u8>, Refused> {
    let refuse =
        |error: std::io::Error| Refused(format!("{}: cannot be read ({error})", path.display()));
    let source: Box<dyn Read> = if path == Path::new("-") {
        Box::new(std::io::stdin())
    } else {
        Box::new(std::fs::File::open(path).map_err(refuse)?)
    };
    let mut bytes = Vec::new();
    source
        .take(LARGE + 1)
        .read_to_end(&mut bytes)
        .map_err(refuse)?;
    if bytes.len() as u64 > LARGE {
        return Err(Refused(format!(
            "{}: is larger than {} MiB",
            path.display(),
            LARGE >> 20
        )));
    }
    Ok(bytes)
}

/// Parses the rows.
pub fn parse(bytes: &[u8], format: MobileFormat) -> Table {
    // Spreadsheets write a byte-order mark.
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let mut lines = LineCounter {
        bytes,
        at: 0,
        line: 1,
    };
    let (mut table, mut columns, mut seen) = (Table::default(), None, HashMap::new());
    for record in reader(bytes).byte_records().flatten() {
        let line = lines.line_of(&record);
        // Spreadsheets leave empty rows below the last one.
        if record.iter().all(<[u8]>::is_empty) {
            continue;
        }
        let row = match &columns {
            Some(columns) => Columns::row(columns, &record, line, format),
            None => match Columns::from_header(&record) {
                Some(Ok(header)) => {
                    columns = Some(header);
                    continue;
                }
                Some(Err(what)) => {
                    table.problems.push(Problem::invalid(what).in_line(line));
                    return table;
                }
                None => columns
                    .insert(Columns::default_order())
                    .row(&record, line, format),
            },
        };
        match row.and_then(|row| reject_duplicate(row, &mut seen)) {
            Ok(row) => table.rows.push(row),
            Err(what) => table.problems.push(Problem::invalid(what).in_line(line)),
        }
    }
    table
}

/// Spreadsheets write semicolons where the comma is a decimal point.
fn reader(bytes: &[u8]) -> csv::Reader<&[u8]> {
    let first = bytes
        .split(|byte| *byte == b'\n')
        .next()
        .unwrap_or_default();
    let semicolon = first.contains(&b';') && !first.contains(&b',');
    csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .trim(csv::Trim::All)
        .delimiter(if semicolon { b';' } else { b',' })
        .from_reader(bytes)
}

/// csv's own count is one behind after CRLF and before empty lines.
struct LineCounter<'a> {
    bytes: &'a [u8],
    at: usize,
    line: usize,
}

impl LineCounter<'_> {
    fn line_of(&mut self, record: &ByteRecord) -> usize {
        let begin = record.position().map_or(0, csv::Position::byte);
        let mut begin = usize::try_from(begin)
            .unwrap_or(0)
            .clamp(self.at, self.bytes.len());
        while matches!(self.bytes.get(begin), Some(b'\r' | b'\n')) {
            begin += 1;
        }
        let passed = &self.bytes[self.at..begin];
        self.line += passed.iter().filter(|byte| **byte == b'\n').count();
        self.at = begin;
        self.line
    }
}

fn reject_duplicate(row: Row, seen: &mut HashMap<String, usize>) -> Result<Row, String> {
    match seen.insert(row.name.clone(), row.line) {
        None => Ok(row),
        Some(line) => Err(format!("{}: is also in line {line}; keep one", row.name)),
    }
}

/// The position of each column.
struct Columns {
    name: usize,
    mobile: usize,
    enabled: Option<usize>,
    count: usize,
}

impl Columns {
    fn default_order() -> Self {
        Self {
            name: 0,
            mobile: 1,
            enabled: Some(2),
            count: 3,
        }
    }

    /// `None` if the record is not a header. An unknown column is an error: somebody may rely on it.
    fn from_header(record: &ByteRecord) -> Option<Result<Self, String>> {
        let titles: Vec<String> = record
            .iter()
            .map(|title| String::from_utf8_lossy(title).to_ascii_lowercase())
            .collect();
        let position = |wanted: &str| titles.iter().position(|title| title == wanted);
        let (name, mobile) = (position("name")?, position("mobile")?);
        let enabled = position("enabled");
        let known = 2 + usize::from(enabled.is_some());
        let unknown = |title: &&String| !["name", "mobile", "enabled"].contains(&title.as_str());
        if let Some(title) = titles.iter().find(unknown) {
            return Some(Err(format!(
                "unknown column \"{title}\"; expected name, mobile and enabled"
            )));
        }
        if titles.len() != known {
            return Some(Err("a column is defined twice; keep one".to_owned()));
        }
        Some(Ok(Self {
            name,
            mobile,
            enabled,
            count: known,
        }))
    }

    fn row(&self, record: &ByteRecord, line: usize, format: MobileFormat) -> Result<Row, String> {
        let mut fields = Vec::with_capacity(3);
        for field in record {
            fields.push(std::str::from_utf8(field).map_err(|_| "is not UTF-8")?);
        }
        if !(2..=self.count).contains(&fields.len()) {
            return Err(format!(
                "has {} columns; expected name,mobile or name,mobile,enabled",
                fields.len()
            ));
        }
        let field = |index: usize| fields.get(index).copied().unwrap_or_default();
        let name = field(self.name).to_owned();
        if let Some(why) = names::invalid_reason(&name) {
            return Err(why.to_owned());
        }
        let Some(mobile) = Mobile::parse(field(self.mobile), format) else {
            return Err(format!(
                "{name}: {}",
                ivalt_core::users::not_a_mobile(format)
            ));
        };
        let enabled = match self.enabled.map_or("", field).to_ascii_lowercase().as_str() {
            "" | "true" | "yes" => true,
            "false" | "no" => false,
            _ => return Err(format!("{name}: enabled must be true or false")),
        };
        Ok(Row {
            line,
            name,
            mobile,
            enabled,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(text: &str) -> Vec<(usize, String, String, bool)> {
        let table = parse(text.as_bytes(), MobileFormat::E164);
        assert_eq!(table.problems, [], "{text}");
        let row = |row: Row| {
            (
                row.line,
                row.name,
                row.mobile.as_str().to_owned(),
                row.enabled,
            )
        };
        table.rows.into_iter().map(row).collect()
    }

    fn problems(text: &str) -> Vec<(usize, String)> {
        let table = parse(text.as_bytes(), MobileFormat::E164);
        table
            .problems
            .into_iter()
            .map(|problem| (problem.line.unwrap(), problem.what))
            .collect()
    }

    #[test]
    fn one_row_in_every_form() {
        let expected = |line| vec![(line, "alice".to_owned(), "+14155550100".to_owned(), true)];
        for (line, text) in [
            (1, "alice,+14155550100"),
            (1, "alice,+14155550100,true\n"),
            (1, "alice , +1 415-555.0100 ,\r\n"),
            (1, "\"alice\",\"+14155550100\"\n"),
            (1, "alice;+14155550100;yes\n"),
            (2, "name,mobile\nalice,+14155550100\n"),
            (
                2,
                "\u{feff}Name;Mobile;Enabled\r\nalice;+14155550100;TRUE\r\n",
            ),
            (1, "alice,+14155550100\n,\n ,,\n"),
            (4, "name,mobile\r\n\r\n\r\nalice,+14155550100\r\n"),
            (3, "mobile,name\n\n+14155550100,alice\n"),
            (2, "enabled,mobile,name\nyes,+14155550100,alice\n"),
        ] {
            assert_eq!(rows(text), expected(line), "{text}");
        }
        assert!(!rows("alice,+14155550100,no")[0].3);
        assert_eq!(rows(""), []);
    }

    #[test]
    fn every_bad_row_is_reported() {
        let text = "alice,+14155550100\nbob\n:,+14155550100\ncarol,0\nalice,+14155550100\ndave,+14155550100,maybe\n\
            erin,+14155550100,true,x\n";
        let expected = [
            (
                2,
                "has 1 columns; expected name,mobile or name,mobile,enabled",
            ),
            (3, "an account name cannot contain : or /"),
            (
                4,
                "carol: the mobile is not E.164; write + and 7 to 15 digits, like +14155550100",
            ),
            (5, "alice: is also in line 1; keep one"),
            (6, "dave: enabled must be true or false"),
            (
                7,
                "has 4 columns; expected name,mobile or name,mobile,enabled",
            ),
        ];
        assert_eq!(
            problems(text),
            expected.map(|(line, what)| (line, what.to_owned()))
        );
        let latin1 = parse(b"m\xfcller,+14155550100", MobileFormat::E164);
        assert_eq!(latin1.problems[0].what, "is not UTF-8");
    }

    #[test]
    fn an_unknown_header_is_refused() {
        assert_eq!(
            problems("name,mobile,disabled\nalice,+14155550100,true"),
            [(
                1,
                "unknown column \"disabled\"; expected name, mobile and enabled".to_owned()
            )]
        );
        assert_eq!(
            problems("name,mobile,mobile\n"),
            [(1, "a column is defined twice; keep one".to_owned())]
        );
    }
}
