//! `ivaltctl verify`: the module's own story, with the terminal as conversation.

use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use serde_json::{Map, Value};

use super::command_line::Verify;
use super::terminal::{self, BAD, DOUBTFUL, GOOD, Terminal};
use super::{Exit, Refused, surroundings};
use crate::audit::{self, Origin};
use crate::authenticate::{Report, authenticate};
use crate::decision::Decision;

/// Tries a user's token and shows the decision.
pub fn run(verify: &Verify, config: &Path) -> Result<Exit, Refused> {
    let word = CString::new([b"config=", config.as_os_str().as_bytes()].concat())?;
    let mut terminal = Terminal {
        user: verify.name.clone(),
        told: None,
    };
    let mut report = Report {
        user: verify.name.clone().into_bytes(),
        ..Report::default()
    };
    authenticate(&[&word], &mut terminal, surroundings(), &mut report);
    let origin = Origin {
        service: verify.service.clone().into_bytes(),
        ..Origin::default()
    };
    if verify.json {
        terminal::say(json(&origin, &report));
    } else {
        show(&origin, &report, terminal.told.as_deref());
    }
    Ok(match report.decision {
        Decision::Allow => Exit::Done,
        Decision::Ignore(_) => Exit::Ignored,
        Decision::Deny(_) => Exit::Refused,
    })
}

fn show(origin: &Origin, report: &Report, told: Option<&str>) {
    let style = match report.decision {
        Decision::Allow => GOOD,
        Decision::Ignore(_) => DOUBTFUL,
        Decision::Deny(_) => BAD,
    };
    let verdict = format!(
        "{}: {}",
        report.decision.outcome(),
        report.decision.reason()
    );
    terminal::say(terminal::painted(style, verdict));
    if let Some(sentence) = told {
        terminal::say(format_args!("the person reads: {sentence}"));
    }
    terminal::say(format_args!(
        "the log would say: {}",
        audit::line(origin, report)
    ));
}

/// The fields of the log line; numbers as numbers, where there is one.
fn json(origin: &Origin, report: &Report) -> Value {
    let fields = audit::fields(origin, report);
    let value = |key: &str, text: &str| match key {
        "http" | "attempts" | "elapsed_ms" => text.parse::<u64>().map_or(Value::Null, Value::from),
        _ => Value::from(text),
    };
    let members = fields.iter().map(|(key, text)| {
        let text = String::from_utf8_lossy(text);
        ((*key).to_owned(), value(key, &text))
    });
    Value::Object(members.collect::<Map<_, _>>())
}
