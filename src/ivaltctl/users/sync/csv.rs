//! A CSV file as a source: the columns are those of `users import`.

use std::path::Path;

use super::person::{Answer, NoAnswer, Person};
use super::wanted::Fault;
use crate::Refused;
use crate::command_line::ColumnTitles;
use crate::system_error::shell_word;
use crate::users::{command, import, shown};
use ivalt_core::problem::Problem;
use ivalt_core::settings::MobileFormat;

/// Everybody who is not in it is gone, so it cannot be split.
const TOO_LARGE: &str = "leave out columns that are not read";

/// Reads the file, or standard input for `-`; and the rows that cannot be used.
///
/// # Errors
/// It cannot be read, or not be believed as a whole.
pub fn read(
    path: &Path,
    columns: &ColumnTitles,
    config: &Path,
) -> Result<(Answer, Vec<Fault>), NoAnswer> {
    let bytes = import::read(path, TOO_LARGE)?;
    let file = shell_word(&path.to_string_lossy());
    let request = import::Request {
        format: MobileFormat::E164,
        name: columns.name_column.as_deref(),
        mobile: columns.mobile_column.as_deref(),
        command: command(config, &format!("users sync {file}")),
    };
    let refuse = |problem: Problem| {
        let problem = problem.in_file(shown(path));
        NoAnswer::Refused(format!("{problem}; nothing was changed"))
    };
    let (rows, note) = import::raw_rows(&bytes, &request).map_err(refuse)?;
    let mut answer = Answer {
        source: shown(path).display().to_string(),
        notices: note.into_iter().collect(),
        ..Answer::default()
    };
    let mut faults = Vec::new();
    for row in rows {
        match person(row) {
            Ok(person) => answer.people.push(person),
            Err(fault) => faults.push(fault),
        }
    }
    Ok((answer, faults))
}

fn person(row: import::RawRow) -> Result<Person, Fault> {
    let place = format!("line {}", row.line);
    let (name, mobile, enabled) = match row.fields {
        Ok(fields) => fields,
        Err(why) => {
            let name = None;
            return Err(Fault { place, name, why });
        }
    };
    let names = vec![name.clone().into_bytes()];
    match enabled {
        Ok(enabled) => Ok(Person {
            place,
            names,
            mobiles: vec![mobile.into_bytes()],
            disabled: !enabled,
            is_uid_0: false,
        }),
        Err(why) => Err(Fault {
            place,
            name: Some(name),
            why,
        }),
    }
}

impl From<Refused> for NoAnswer {
    fn from(Refused(why): Refused) -> Self {
        Self::Refused(why)
    }
}

impl From<Problem> for NoAnswer {
    fn from(problem: Problem) -> Self {
        Self::Refused(problem.to_string())
    }
}
