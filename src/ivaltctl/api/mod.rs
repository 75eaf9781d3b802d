//! `ivaltctl api`: sends one operation of iVALT's API and shows the answer.

mod push;

use std::path::Path;

use serde_json::{Value, json};

use super::command_line::{ApiArgs, Operation};
use super::terminal::{self, ERROR, OK, WARN, ask, ask_secret};
use super::users::file::require_permission;
use super::users::number;
use super::{Exit, Refused, trust};
use ivalt_core::api::{Answer, ApiError, Client, Exchange};
use ivalt_core::log_line::quote_log_value;
use ivalt_core::secret::Secret;
use ivalt_core::settings::{ClientCredentials, Settings};
use ivalt_core::sys;
use ivalt_core::users::{Entry, Mobile};

/// Sends one operation and shows the verdict.
pub fn run(args: &ApiArgs, config: &Path) -> Result<Exit, Refused> {
    require_permission(config)?;
    let settings = Settings::load(config, trust())?;
    let mut client = Client::new(&settings.api, trust(), sys::platform())?;
    client.check_roots()?;
    let exchange = match &args.operation {
        Operation::Push { name, dialect } => {
            let dialect = dialect.map(Into::into);
            return push::run(name, dialect, args.json, &settings, client);
        }
        Operation::ValidateToken { mobile, user } => {
            let mobile = mobile_number(mobile.as_deref(), user.as_deref(), &settings)?;
            client.validate_global_rest_auth(mobile.as_str(), &ask_token("iVALT token: ")?)
        }
        Operation::ValidateUser => {
            let auth_token = ask_token("iVALT token: ")?;
            client.validate_user(&ask_token("iVALT face token: ")?, &auth_token, None)
        }
        Operation::ClientAuth => client.authenticate_client(&credentials(settings.api.client)?),
    };
    let verdict = ApiVerdict::new(&exchange);
    if args.json {
        terminal::print_json(&verdict.json(&exchange));
    } else {
        verdict.show(&exchange);
    }
    Ok(verdict.exit)
}

fn mobile_number(
    mobile: Option<&str>,
    user: Option<&str>,
    settings: &Settings,
) -> Result<Mobile, Refused> {
    let written = match (mobile, user) {
        (Some(mobile), _) => mobile.to_owned(),
        (None, Some(user)) => return mobile_of(user, settings),
        (None, None) => ask("mobile number: ")?,
    };
    number::read(&written, settings.token.mobile_format)
        .map_err(|why| Refused(format!("{why}; nothing was sent")))
}

fn mobile_of(user: &str, settings: &Settings) -> Result<Mobile, Refused> {
    let (files, format) = (settings.users(), settings.token.mobile_format);
    match files.look_up(trust(), user.as_bytes(), format)?.entry {
        Entry::Enrolled(mobile) | Entry::Disabled(mobile) => Ok(mobile),
        Entry::Bad(problem) => Err(problem.into()),
        Entry::Absent => Err(Refused(format!(
            "{files}: no entry for {user}; add one: ivaltctl users add {user} MOBILE"
        ))),
    }
}

/// The module sends neither empty answers nor anything but visible ASCII, so the tool does not either.
fn ask_token(prompt: &str) -> Result<Secret, Refused> {
    let token = ask_secret(prompt)?.trimmed();
    if token.is_empty() || !token.as_bytes().iter().all(u8::is_ascii_graphic) {
        return Err(Refused(
            "not a token: expected one word of printable ASCII; nothing was sent".into(),
        ));
    }
    Ok(token)
}

fn credentials(configured: Option<ClientCredentials>) -> Result<ClientCredentials, Refused> {
    if let Some(client) = configured {
        return Ok(client);
    }
    let id = ask("client id: ")?;
    let secret = ask_secret("client secret: ")?.trimmed();
    Ok(ClientCredentials { id, secret })
}

/// iVALT's answer in the tool's words.
struct ApiVerdict<'a> {
    exit: Exit,
    word: &'static str,
    cause: &'a str,
    error: Option<&'a ApiError>,
}

impl<'a> ApiVerdict<'a> {
    fn new(exchange: &'a Exchange) -> Self {
        let (exit, word, cause, error) = match &exchange.answer {
            Answer::Verified => (Exit::Done, "success", "", None),
            Answer::Rejected(error) => (Exit::Refused, "refused", "", Some(error)),
            Answer::ApiKeyRefused(error) => (
                Exit::Refused,
                "api-key-refused",
                "iVALT refuses this host's API key; correct api.key in the settings",
                Some(error),
            ),
            Answer::Unusable(cause, error) => (
                Exit::Unavailable,
                "unavailable",
                cause.as_str(),
                Some(error),
            ),
            Answer::LocalFault(cause) => (Exit::Refused, "misconfigured", cause.as_str(), None),
        };
        Self {
            exit,
            word,
            cause,
            error,
        }
    }

    fn code(&self) -> &str {
        self.error.map_or("", |error| &error.code)
    }

    fn detail(&self) -> &str {
        self.error.map_or("", |error| &error.detail)
    }

    /// One line for each value that is not empty.
    fn show(&self, exchange: &Exchange) {
        let style = match self.exit {
            Exit::Done => OK,
            Exit::Unavailable => WARN,
            _ => ERROR,
        };
        terminal::print(terminal::styled(style, self.word));
        let http = exchange.http.map(|status| status.to_string());
        for (name, value) in [
            ("http", http.unwrap_or_default().as_str()),
            ("code", self.code()),
            ("detail", self.detail()),
            ("cause", self.cause),
            (
                "took",
                &format!("{} ms ({})", exchange.elapsed.as_millis(), exchange.steps),
            ),
        ] {
            if !value.is_empty() {
                terminal::print(format_args!(
                    "  {name:<7}{}",
                    quote_log_value(value.as_bytes())
                ));
            }
        }
    }

    fn json(&self, exchange: &Exchange) -> Value {
        json!({
            "verdict": self.word,
            "http": exchange.http,
            "code": self.code(),
            "detail": self.detail(),
            "cause": self.cause,
            "elapsed_ms": u64::try_from(exchange.elapsed.as_millis()).unwrap_or(u64::MAX),
        })
    }
}
