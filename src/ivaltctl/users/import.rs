//! The CSV file of `users import`: accounts and their mobiles, in the form in which directories and spreadsheets write
//! them.

mod columns;
#[cfg(test)]
mod tests;
mod text;

use std::collections::HashMap;
use std::io::Read;
use std::path::Path;

use csv::ByteRecord;

use super::snapshot::digits;
use super::{names, number};
use crate::Refused;
use crate::system_error;
use columns::Columns;
use ivalt_core::problem::Problem;
use ivalt_core::settings::MobileFormat;
use ivalt_core::trusted_file::LARGE;
use ivalt_core::users::Mobile;
use text::Text;

/// What is read, and how.
#[derive(Debug)]
pub struct Request<'a> {
    /// The form of the mobiles.
    pub format: MobileFormat,
    /// The title of the column with the accounts; `None`: one of the usual titles.
    pub name: Option<&'a str>,
    /// The same of the mobiles.
    pub mobile: Option<&'a str>,
    /// The command without the titles, for a sentence that proposes them.
    pub command: String,
}

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
    /// Line and name of the rows without a mobile.
    pub without_mobile: Vec<(usize, String)>,
    /// Line and name of the rows that say again what an earlier one says.
    pub repeated: Vec<(usize, String)>,
    /// Which columns were read, where that is not plain.
    pub note: Option<String>,
}

/// The bytes of the file, or of standard input for `-`. `too_large` says what to do about one that is.
///
/// # Errors
/// It cannot be read, or is larger than users.toml may become.
pub fn read(path: &Path, too_large: &str) -> Result<Vec<u8>, Refused> {
    let refuse = |error: std::io::Error| system_error::problem(path, "cannot be read", &error);
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
            "{}: is larger than {} MiB; nothing was changed; {too_large}",
            path.display(),
            LARGE >> 20
        )));
    }
    Ok(bytes)
}

/// Parses the rows.
///
/// # Errors
/// None of them can be read, or there is none.
pub fn parse(bytes: &[u8], request: &Request) -> Result<Table, Problem> {
    let text = Text::new(bytes)?;
    let mut records = Records::new(&text);
    let (columns, first) = columns(&mut records, request)?;
    let mut table = Table {
        note: columns.note(),
        ..Table::default()
    };
    let mut seen = HashMap::new();
    for record in first.into_iter().chain(records) {
        if let Err(what) = table.take(&record, &columns, &mut seen, request.format) {
            let problem = Problem::invalid(what).in_line(record.line);
            table.problems.push(problem);
        }
    }
    match (
        &table.rows[..],
        &table.problems[..],
        &table.without_mobile[..],
    ) {
        ([], [], []) => Err(Problem::invalid("has titles, and no row below them")),
        ([], [], _) => Err(Problem::invalid("no row has a mobile")),
        _ => Ok(table),
    }
}

/// The columns, and the first row of a file without titles.
fn columns(records: &mut Records, request: &Request) -> Result<(Columns, Option<Record>), Problem> {
    let first = records.next().ok_or_else(|| Problem::invalid("is empty"))?;
    match Columns::of_titles(&first.fields, request) {
        None => Ok((Columns::default_order(), Some(first))),
        Some(columns) => {
            let columns = columns.map_err(|problem| problem.in_line(first.line))?;
            Ok((columns, None))
        }
    }
}

/// A row as it is written, for `users sync`, which judges it otherwise.
#[derive(Debug, PartialEq, Eq)]
pub struct RawRow {
    /// The line of the file, as an editor counts.
    pub line: usize,
    /// The account, the mobile, and whether the user may log in, or why that cannot be told; or why nothing can.
    pub fields: Result<(String, String, Result<bool, String>), String>,
}

/// All rows as they are written, and which columns were read, where that is not plain.
///
/// # Errors
/// None of them can be read; or the file ends, or goes on, in the middle of a value, so that rows may be hidden in it.
pub fn raw_rows(bytes: &[u8], request: &Request) -> Result<(Vec<RawRow>, Option<String>), Problem> {
    let text = Text::new(bytes)?;
    let width = Records::new(&text).next().map_or(0, |row| row.fields.len());
    let mut records = Records::new(&text);
    let (columns, first) = columns(&mut records, request)?;
    let mut rows = Vec::new();
    let mut records = first.into_iter().chain(records).peekable();
    while let Some(record) = records.next() {
        let line = record.line;
        if record.quotes % 2 != 0 {
            return Err(Problem::invalid(ODD_QUOTES).in_line(line));
        }
        let is_ended = records.peek().is_some() || text.rows().ends_with(b"\n");
        if !is_ended && record.fields.len() < width {
            return Err(Problem::invalid(CUT_OFF).in_line(line));
        }
        let fields = columns.whole_fields(&record.fields, width, is_ended);
        let fields = fields.map(|fields| {
            let (name, mobile) = (fields.name.to_owned(), fields.mobile.to_owned());
            (name, mobile, fields.enabled)
        });
        rows.push(RawRow { line, fields });
    }
    Ok((rows, columns.note()))
}

/// Of the last row. Everybody behind it would be gone.
const CUT_OFF: &str =
    "is the end of the file and no whole row: the file is cut off; write or copy it again";

/// Of a row.
const ODD_QUOTES: &str = "has an odd number of quotation marks, so that its end is not clear; a quotation mark in a value is written twice";

impl Table {
    fn take(
        &mut self,
        record: &Record,
        columns: &Columns,
        seen: &mut HashMap<String, usize>,
        format: MobileFormat,
    ) -> Result<(), String> {
        if record.quotes % 2 != 0 {
            return Err(ODD_QUOTES.to_owned());
        }
        let fields = columns.fields(&record.fields)?;
        if let Some(why) = names::invalid_reason(fields.name) {
            return Err(why.to_owned());
        }
        let (line, name) = (record.line, fields.name.to_owned());
        if fields.mobile.trim().is_empty() {
            self.without_mobile.push((line, name));
            return Ok(());
        }
        let named = |why: String| format!("{name}: {why}");
        let mobile = number::read(fields.mobile, format).map_err(named)?;
        let enabled = fields.enabled.map_err(named)?;
        let row = Row {
            line,
            name,
            mobile,
            enabled,
        };
        match seen.get(&row.name).map(|at| &self.rows[*at]) {
            None => {
                seen.insert(row.name.clone(), self.rows.len());
                self.rows.push(row);
            }
            Some(earlier) => match row.difference(earlier) {
                None => self.repeated.push((line, row.name)),
                Some(what) => {
                    return Err(format!(
                        "{}: is also in line {}, {what}; keep one",
                        row.name, earlier.line
                    ));
                }
            },
        }
        Ok(())
    }
}

impl Row {
    /// What an earlier row says otherwise of the same user.
    fn difference(&self, earlier: &Self) -> Option<&'static str> {
        if digits(self.mobile.as_str()) != digits(earlier.mobile.as_str()) {
            return Some("with another mobile");
        }
        match (self.enabled, earlier.enabled) {
            (true, false) => Some("disabled"),
            (false, true) => Some("enabled"),
            _ => None,
        }
    }
}

/// A row of the file that is not empty: spreadsheets leave empty ones below the last.
struct Record {
    line: usize,
    fields: ByteRecord,
    quotes: usize,
}

struct Records<'a> {
    rows: &'a [u8],
    reader: csv::Reader<&'a [u8]>,
    at: usize,
    line: usize,
}

impl<'a> Records<'a> {
    fn new(text: &'a Text) -> Self {
        let rows = text.rows();
        let reader = csv::ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .trim(csv::Trim::All)
            .delimiter(text.delimiter)
            .from_reader(rows);
        Self {
            rows,
            reader,
            at: 0,
            line: text.first_line(),
        }
    }

    /// csv's own count is one behind after CRLF and before empty lines.
    fn line_of(&mut self, fields: &ByteRecord) -> usize {
        let begin = fields.position().map_or(0, csv::Position::byte);
        let mut begin = usize::try_from(begin)
            .unwrap_or(0)
            .clamp(self.at, self.rows.len());
        while matches!(self.rows.get(begin), Some(b'\r' | b'\n')) {
            begin += 1;
        }
        self.line += text::line_ends(&self.rows[self.at..begin]);
        self.at = begin;
        self.line
    }

    fn quotes(&self) -> usize {
        let end = usize::try_from(self.reader.position().byte()).unwrap_or(self.rows.len());
        let row = self.rows.get(self.at..end).unwrap_or_default();
        row.iter().filter(|byte| **byte == b'"').count()
    }
}

impl Iterator for Records<'_> {
    type Item = Record;

    fn next(&mut self) -> Option<Record> {
        let mut fields = ByteRecord::new();
        while let Ok(true) = self.reader.read_byte_record(&mut fields) {
            let line = self.line_of(&fields);
            if fields.iter().any(|field| !field.is_empty()) {
                let quotes = self.quotes();
                return Some(Record {
                    line,
                    fields,
                    quotes,
                });
            }
        }
        None
    }
}
