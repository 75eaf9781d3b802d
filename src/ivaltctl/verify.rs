//! `ivaltctl verify`: the module's own story, with the terminal as conversation.

use std::ffi::{CStr, CString};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use serde_json::{Map, Value};

use super::command_line::Verify;
use super::root::Root;
use super::terminal::{self, BAD, DOUBTFUL, GOOD, Terminal};
use super::{Exit, Refused, check, surroundings};
use ivalt_core::arguments::DEFAULT_CONFIG;
use ivalt_core::authenticate::authenticate;
use ivalt_core::decision::Decision;
use ivalt_core::log_line::{self, Origin};
use ivalt_core::report::Report;

/// Tries a user's token and shows the decision.
pub fn run(verify: &Verify, config: &Path) -> Result<Exit, Refused> {
    let words = arguments(verify, config)?;
    let words: Vec<&CStr> = words.iter().map(CString::as_c_str).collect();
    let mut terminal = Terminal {
        user: verify.name.clone(),
        told: None,
    };
    let mut report = Report {
        user: verify.name.clone().into_bytes(),
        ..Report::default()
    };
    authenticate(&words, &mut terminal, surroundings(), &mut report);
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
        Decision::Allow(_) => Exit::Done,
        Decision::Ignore(_) => Exit::Ignored,
        Decision::Deny(_) => Exit::Refused,
    })
}

/// Those of the service's line in pam.d, if it has one, without those that take the token from another module; else
/// the settings of the command line.
fn arguments(verify: &Verify, config: &Path) -> Result<Vec<CString>, Refused> {
    let lines = check::lines_with_ivalt(&Root::new(Path::new("/")));
    let line = lines
        .into_iter()
        .find(|line| line.service == verify.service);
    let own = line.map_or(Vec::new(), |line| line.arguments).into_iter();
    let mut words: Vec<_> = own
        .filter(|word| !word.ends_with("_first_pass"))
        .map(CString::new)
        .collect::<Result<_, _>>()?;
    // The last one counts. The default of the command line does not outdo the service's.
    if config != Path::new(DEFAULT_CONFIG) || words.is_empty() {
        words.push(CString::new(
            [b"config=", config.as_os_str().as_bytes()].concat(),
        )?);
    }
    Ok(words)
}

fn show(origin: &Origin, report: &Report, told: Option<&str>) {
    let style = match report.decision {
        Decision::Allow(_) => GOOD,
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
        log_line::line(origin, report)
    ));
}

/// The fields of the log line; numbers as numbers, where there is one.
fn json(origin: &Origin, report: &Report) -> Value {
    let fields = log_line::fields(origin, report);
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
