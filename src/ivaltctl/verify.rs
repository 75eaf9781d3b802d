//! `ivaltctl verify`: authenticates as the module does, with the terminal as conversation.

use std::ffi::{CStr, CString};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use serde_json::{Map, Value};

use super::check::{self, ModuleLine};
use super::command_line::VerifyArgs;
use super::root::Root;
use super::terminal::{self, ERROR, OK, Terminal, WARN};
use super::{Exit, Refused, trust};
use ivalt_core::arguments::DEFAULT_CONFIG;
use ivalt_core::authenticate::{Context, authenticate};
use ivalt_core::decision::Decision;
use ivalt_core::log_line::{self, Origin};
use ivalt_core::push;
use ivalt_core::report::Report;
use ivalt_core::sys;

/// What stands for no service; the default of `--service`.
pub const NO_SERVICE: &str = "ivaltctl";

/// Tries a user's token and shows the decision.
pub fn run(args: &VerifyArgs, config: &Path) -> Result<Exit, Refused> {
    let line = line_of(&Root::this_machine()?, &args.service);
    if line.is_none() && args.service != NO_SERVICE {
        terminal::print_error(format_args!(
            "warning: no line of pam_ivalt.so in /etc/pam.d/{}: its logins are not asked; tried without arguments",
            terminal::visible(&args.service)
        ));
    }
    let arguments = arguments(line.as_ref(), config);
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
        account: sys::account,
        login: None,
        push_directory: Path::new(push::DIRECTORY),
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
        if let Some(ModuleLine { file, line, .. }) = line {
            terminal::print(terminal::visible(&format!(
                "line of pam.d: {}:{line}",
                file.display()
            )));
        }
    }
    Ok(match report.decision {
        Decision::Allow(_) => Exit::Done,
        Decision::Ignore(_) => Exit::Ignored,
        Decision::Deny(_) => Exit::Refused,
    })
}

/// The line of pam.d that a login of the service reaches: where sshd has one for keys besides, the one for all others.
fn line_of(root: &Root, service: &str) -> Option<ModuleLine> {
    let lines = check::lines_with_ivalt(root);
    let lines = lines.into_iter().filter(|line| line.service == service);
    lines.min_by_key(|line| {
        line.arguments
            .iter()
            .any(|word| word.starts_with("only_after="))
    })
}

/// The module's arguments: those of the service's line, if it has one, without those that take the token from another
/// module; else the settings of the command line.
fn arguments(line: Option<&ModuleLine>, config: &Path) -> Vec<CString> {
    let own = line.map_or(&[][..], |line| &line.arguments).iter();
    // Neither holds a NUL: one ends a line of pam.d, and an argument of ours.
    let mut arguments: Vec<_> = own
        .filter(|argument| !argument.ends_with("_first_pass"))
        .filter_map(|argument| CString::new(argument.as_str()).ok())
        .collect();
    // The last `config=` counts. The default of the command line does not override the service's.
    if config != Path::new(DEFAULT_CONFIG) || arguments.is_empty() {
        // The module takes an absolute path alone.
        let config = std::path::absolute(config).unwrap_or_else(|_| config.to_owned());
        let config = [b"config=", config.as_os_str().as_bytes()].concat();
        arguments.extend(CString::new(config).ok());
    }
    arguments
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_that_a_login_reaches() {
        let system = support::checkout().join("tests/ctl/pam.d/debian-12");
        let line = |text: &str| {
            let root = Root::new(&system).with(Path::new("/etc/pam.d/sshd"), text.to_owned());
            line_of(&root, "sshd").map(|line| (line.line, line.arguments))
        };
        let key =
            "auth [success=done ignore=ignore default=die] pam_ivalt.so only_after=publickey\n";
        let all =
            "auth requisite pam_unix.so\nauth required pam_ivalt.so config=/etc/ivalt/a.toml\n";
        let of_all = vec!["config=/etc/ivalt/a.toml".to_owned()];
        assert_eq!(line(&format!("{key}{all}")), Some((3, of_all.clone())));
        assert_eq!(
            line(&format!("{all}{key}auth required pam_ivalt.so\n")),
            Some((2, of_all))
        );
        assert_eq!(
            line(key),
            Some((1, vec!["only_after=publickey".to_owned()]))
        );
        assert_eq!(line("auth required pam_unix.so\n"), None);
    }
}
