//! `ivaltctl verify`: authenticates as the module does, with the terminal as conversation.

use std::ffi::{CStr, CString};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use serde_json::{Map, Value};

use super::command_line::VerifyArgs;
use super::root::Root;
use super::terminal::{self, ERROR, OK, Terminal, WARN};
use super::{Exit, Refused, check, trust};
use ivalt_core::arguments::DEFAULT_CONFIG;
use ivalt_core::authenticate::{Context, authenticate};
use ivalt_core::decision::Decision;
use ivalt_core::log_line::{self, Origin};
use ivalt_core::report::Report;
use ivalt_core::sys;

/// Tries a user's token and shows the decision.
pub fn run(args: &VerifyArgs, config: &Path) -> Result<Exit, Refused> {
    let arguments = arguments(args, config)?;
    let arguments: Vec<&CStr> = arguments.iter().map(CString::as_c_str).collect();
    let mut terminal = Terminal {
        user: args.name.clone(),
        last_message: None,
    };
    let mut report = Report {
        user: args.name.clone().into_bytes(),
        ..Report::default()
    };
    let context = Context {
        trust: trust(),
        platform: sys::platform(),
        account_name: sys::account_name,
    };
    authenticate(&arguments, &mut terminal, context, &mut report);
    let origin = Origin {
        service: args.service.clone().into_bytes(),
        ..Origin::default()
    };
    if args.json {
        terminal::print_json(&json(&origin, &report));
    } else {
        show(&origin, &report, terminal.last_message.as_deref());
    }
    Ok(match report.decision {
        Decision::Allow(_) => Exit::Done,
        Decision::Ignore(_) => Exit::Ignored,
        Decision::Deny(_) => Exit::Refused,
    })
}

/// The module's arguments: those of the service's line in pam.d, if it has one, without those that take the token from
/// another module; else the settings of the command line.
fn arguments(args: &VerifyArgs, config: &Path) -> Result<Vec<CString>, Refused> {
    let lines = check::lines_with_ivalt(&Root::this_machine()?);
    let line = lines.into_iter().find(|line| line.service == args.service);
    let own = line.map_or(Vec::new(), |line| line.arguments).into_iter();
    let mut arguments: Vec<_> = own
        .filter(|argument| !argument.ends_with("_first_pass"))
        .map(CString::new)
        .collect::<Result<_, _>>()?;
    // The last `config=` counts. The default of the command line does not override the service's.
    if config != Path::new(DEFAULT_CONFIG) || arguments.is_empty() {
        arguments.push(CString::new(
            [b"config=", config.as_os_str().as_bytes()].concat(),
        )?);
    }
    Ok(arguments)
}

fn show(origin: &Origin, report: &Report, message: Option<&str>) {
    let style = match report.decision {
        Decision::Allow(_) => OK,
        Decision::Ignore(_) => WARN,
        Decision::Deny(_) => ERROR,
    };
    let verdict = format!(
        "{}: {}",
        report.decision.outcome(),
        report.decision.reason()
    );
    terminal::print(terminal::styled(style, verdict));
    if let Some(message) = message {
        terminal::print(format_args!("user sees: {message}"));
    }
    terminal::print(format_args!("log line: {}", log_line::line(origin, report)));
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
