//! One user among many: what finding that user costs, against reading the file once.

use std::fmt::Write;
use std::path::Path;
use std::process::Command;

use serde_json::json;

use crate::Fault;
use crate::contenders::application;
use crate::login::{Login, log_in, ms, numbers};
use crate::options::Options;
use crate::setup::{Distance, Roots, Setup};
use crate::statistics::Shuffle;

/// `PAM_CONV_ERR`: the module has found the user and asked, nobody answered, and nothing was sent.
const UNANSWERED: i64 = 19;

/// Everything measured with one size of `users.toml`; one value a round.
#[derive(Debug)]
pub struct Table {
    pub lines: usize,
    pub bytes: usize,
    pub logins: Vec<Login>,
    pub read_once_ms: Vec<f64>,
}

pub fn measure(setup: &Setup, options: &Options) -> Result<Vec<Table>, Fault> {
    let mut tables = Vec::new();
    for &lines in options.users() {
        tables.push(prepare(setup, lines)?);
    }
    let mut shuffle = Shuffle::new();
    for round in 0..=options.users_rounds() {
        for at in shuffle.order(tables.len()) {
            let table = &mut tables[at];
            let words = application(setup, &service(table.lines), &user(table.lines), "", "0");
            let login = log_in(setup, &words, UNANSWERED)?;
            let read_once_ms = read_once(setup, &setup.path(&file(table.lines)))?;
            // The first fills the page cache.
            if round > 0 {
                table.logins.push(login);
                table.read_once_ms.push(read_once_ms);
            }
        }
    }
    Ok(tables)
}

/// Every login, and the reading beside it.
pub fn write_raw(tables: &[Table], options: &Options) -> Result<(), Fault> {
    for table in tables {
        for (login, read_once_ms) in table.logins.iter().zip(&table.read_once_ms) {
            let mut measured = login.raw();
            measured["read_once_ms"] = json!(read_once_ms);
            options.write_raw("users", json!({"lines": table.lines}), measured)?;
        }
    }
    Ok(())
}

fn prepare(setup: &Setup, lines: usize) -> Result<Table, Fault> {
    let mut text = "[users]\n".to_owned();
    for number in 0..lines {
        writeln!(text, "user{number:07} = \"+1415{number:07}\"")?;
    }
    let path = setup.write(&file(lines), &text, 0o600)?;
    setup.write_module_service(&service(lines), Distance::Near, Roots::One, false, &path)?;
    Ok(Table {
        lines,
        bytes: text.len(),
        logins: Vec::new(),
        read_once_ms: Vec::new(),
    })
}

fn file(lines: usize) -> String {
    format!("table-{lines}.toml")
}

fn service(lines: usize) -> String {
    format!("users-{lines}")
}

/// Near the end.
fn user(lines: usize) -> String {
    format!("user{:07}", lines - 2)
}

/// tests/bench/read_once.c
fn read_once(setup: &Setup, path: &Path) -> Result<f64, Fault> {
    let output = Command::new(setup.tool("read_once")).arg(path).output()?;
    match numbers(&String::from_utf8_lossy(&output.stdout))[..] {
        [nanoseconds] => Ok(ms(nanoseconds)),
        _ => Err(format!("{} could not be read", path.display()).into()),
    }
}
