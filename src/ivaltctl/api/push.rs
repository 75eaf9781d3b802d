//! `ivaltctl api push`: one request to a phone, with every answer shown.
//!
//! It lets nobody in. The approval that it asks for would let in whoever else waits for one: so it takes the lock of a
//! login, obeys its holds and sets them.

use std::path::Path;
use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::system_error::shell_word;
use crate::terminal::{self, ERROR, OK, WARN};
use crate::{Exit, Refused, trust};
use ivalt_core::api::{Client, PushAnswer, PushExchange};
use ivalt_core::log_line::quote_log_value;
use ivalt_core::push::{DIRECTORY, Ending, NotLocked, Phone};
use ivalt_core::settings::{Dialect, Settings};
use ivalt_core::sys::{self, Platform};
use ivalt_core::users::{Entry, Mobile};

/// How long answers are asked for once the request has left.
const WAIT: Duration = Duration::from_secs(60);
/// Between two polls. All requests of one call are fifteen or so; iVALT takes a hundred a minute for a key.
const INTERVAL: Duration = Duration::from_secs(5);
/// What stands for the address of a login in the record of the request.
const RHOST: &[u8] = b"ivaltctl";
/// Of a long answer so many characters are shown.
const SHOWN: usize = 1000;

/// Sends a request to the phone of a user, and shows every answer for a minute.
pub fn run(
    name: &str,
    dialect: Option<Dialect>,
    json: bool,
    settings: &Settings,
    client: Client,
) -> Result<Exit, Refused> {
    let push = &settings.push;
    let url = push.url.clone().ok_or_else(|| {
        let why = "push.url is missing in the settings; write under [push]: url = \"https://api.ivalt.com\"; nothing was sent";
        Refused(why.to_owned())
    })?;
    let mobile = mobile_of(name, settings)?;
    let platform = sys::platform();
    let directory = Path::new(DIRECTORY);
    let phone = match Phone::lock(directory, &mobile, trust(), platform.boot_clock) {
        Ok(phone) => phone,
        Err(NotLocked::Busy) => return Ok(Ended::Busy.report(name, &[], json)),
        Err(NotLocked::Fault(problem)) => return Err(problem.into()),
    };
    let mut attempt = Attempt {
        service: Ivalt {
            client,
            url,
            dialect: dialect.unwrap_or(push.dialect),
            mobile: mobile.as_str().to_owned(),
        },
        phone,
        platform,
        begun: (platform.boot_clock)(),
        has_left: false,
        answers: Vec::new(),
        shows: !json,
    };
    let ended = attempt.run(push.max_unanswered.get())?;
    Ok(ended.report(name, &attempt.answers, json))
}

/// As a login would take it: of whoever is disabled, nothing is sent.
fn mobile_of(name: &str, settings: &Settings) -> Result<Mobile, Refused> {
    let (files, format) = (settings.users(), settings.token.mobile_format);
    let found = files.look_up(trust(), name.as_bytes(), format)?;
    let is_synced = files.is_synced(&found);
    let file = found.file.display();
    Err(Refused(match found.entry {
        Entry::Enrolled(mobile) => return Ok(mobile),
        Entry::Bad(problem) => return Err(problem.into()),
        Entry::Disabled(_) if is_synced => format!(
            "{file}: {name} is disabled; enable the account where it is synced from, then: ivaltctl users sync; nothing was sent"
        ),
        Entry::Disabled(_) => {
            format!("{file}: {name} is disabled; ivaltctl users enable {name}; nothing was sent")
        }
        Entry::Absent => format!(
            "{files}: no entry for {name}; add one: ivaltctl users add {name} MOBILE; nothing was sent"
        ),
    }))
}

/// What is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operation {
    Start,
    Poll,
}

/// iVALT's side; tests have one of their own.
trait Service {
    fn ask(&mut self, operation: Operation) -> PushExchange;
    /// The text without what nobody needs to see of it.
    fn hide(&self, text: &str) -> String;
}

struct Ivalt {
    client: Client,
    url: String,
    dialect: Dialect,
    mobile: String,
}

impl Service for Ivalt {
    fn ask(&mut self, operation: Operation) -> PushExchange {
        let (url, mobile) = (&self.url, &self.mobile);
        match operation {
            Operation::Start => self.client.start_push(url, self.dialect, mobile),
            Operation::Poll => self.client.poll_push(url, self.dialect, mobile),
        }
    }

    fn hide(&self, text: &str) -> String {
        self.client.hide(text, &self.mobile)
    }
}

/// How the call ended.
#[derive(Debug, PartialEq, Eq)]
enum Ended {
    Approved,
    Denied,
    Unanswered,
    Busy,
    /// Why.
    Limited(String),
    Stale,
    KeyRefused,
    /// Why, and whether the request had left.
    Unavailable(String, bool),
    /// A fault of this host; the same.
    Misconfigured(String, bool),
}

/// One call, from its first answer to its last.
struct Attempt<S> {
    service: S,
    phone: Phone,
    platform: Platform,
    /// By the boot clock.
    begun: Duration,
    has_left: bool,
    answers: Vec<Value>,
    /// Whether each answer is printed as it comes.
    shows: bool,
}

impl<S: Service> Attempt<S> {
    /// The steps of a login, but that nobody has to press Enter.
    fn run(&mut self, max_unanswered: u64) -> Result<Ended, Refused> {
        if let Some(held) = self.phone.held(max_unanswered) {
            return Ok(Ended::Limited(held.to_string()));
        }
        match self.ask(Operation::Poll) {
            PushAnswer::Pending(_) | PushAnswer::Refused(_) => {}
            PushAnswer::Approved | PushAnswer::ApprovedByAnother => return Ok(Ended::Stale),
            other => return Ok(self.failed(other)),
        }
        self.phone.request_leaves(RHOST)?;
        self.has_left = true;
        let left = self.now();
        match self.ask(Operation::Start) {
            PushAnswer::Sent => {}
            PushAnswer::Refused(_) => return Ok(self.ended(Ending::Denied, Ended::Denied)),
            other => return Ok(self.failed(other)),
        }
        match self.ask(Operation::Poll) {
            PushAnswer::Pending(_) => Ok(self.wait(left)),
            PushAnswer::Approved | PushAnswer::ApprovedByAnother | PushAnswer::Refused(_) => {
                Ok(self.ended(Ending::Settled, Ended::Stale))
            }
            other => Ok(self.failed(other)),
        }
    }

    /// Polls until the request is answered. One more shows whether that answer stays.
    fn wait(&mut self, left: Duration) -> Ended {
        while self.now().saturating_sub(left) < WAIT {
            (self.platform.pause)(INTERVAL);
            let ended = match self.ask(Operation::Poll) {
                PushAnswer::Pending(_) => continue,
                PushAnswer::Approved => self.ended(Ending::Settled, Ended::Approved),
                PushAnswer::Refused(_) => self.ended(Ending::Denied, Ended::Denied),
                other => return self.failed(other),
            };
            (self.platform.pause)(INTERVAL);
            self.ask(Operation::Poll);
            return ended;
        }
        Ended::Unanswered
    }

    fn ended(&mut self, ending: Ending, ended: Ended) -> Ended {
        self.phone.end(ending);
        ended
    }

    fn failed(&mut self, answer: PushAnswer) -> Ended {
        match answer {
            PushAnswer::ApiKeyRefused(_) => self.ended(Ending::Settled, Ended::KeyRefused),
            PushAnswer::Unavailable(cause, _) => Ended::Unavailable(cause, self.has_left),
            PushAnswer::LocalFault(cause) => Ended::Misconfigured(cause, self.has_left),
            _ => {
                let cause = "approved, and not with this user's mobile in data.details";
                Ended::Unavailable(cause.to_owned(), self.has_left)
            }
        }
    }

    fn now(&self) -> Duration {
        (self.platform.boot_clock)()
    }

    fn ask(&mut self, operation: Operation) -> PushAnswer {
        let at = self.now().saturating_sub(self.begun);
        let exchange = self.service.ask(operation);
        let shown = Shown {
            at,
            exchange: &exchange,
            body: body(&exchange, |text| self.service.hide(text)),
        };
        if self.shows {
            shown.print();
        }
        self.answers.push(shown.json());
        exchange.answer
    }
}

/// One answer as it is shown.
struct Shown<'a> {
    at: Duration,
    exchange: &'a PushExchange,
    body: Option<Value>,
}

impl Shown<'_> {
    fn print(&self) {
        let exchange = self.exchange;
        let http = exchange
            .http
            .map_or("-".to_owned(), |http| http.to_string());
        terminal::print(format_args!(
            "{:>6.1} s  {}  http {http}  {} ms  {}",
            self.at.as_secs_f64(),
            exchange.operation,
            exchange.elapsed.as_millis(),
            means(&exchange.answer)
        ));
        if let PushAnswer::Unavailable(cause, _) | PushAnswer::LocalFault(cause) = &exchange.answer
        {
            terminal::print(format_args!(
                "          {}",
                quote_log_value(cause.as_bytes())
            ));
        }
        if let Some(body) = &self.body {
            let text = body
                .as_str()
                .map_or_else(|| body.to_string(), str::to_owned);
            terminal::print(format_args!("          {}", terminal::visible(&cut(&text))));
        }
    }

    fn json(&self) -> Value {
        let milliseconds = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let cause = match &self.exchange.answer {
            PushAnswer::Unavailable(cause, _) | PushAnswer::LocalFault(cause) => cause.as_str(),
            _ => "",
        };
        json!({
            "at_ms": milliseconds(self.at),
            "operation": self.exchange.operation,
            "http": self.exchange.http,
            "elapsed_ms": milliseconds(self.exchange.elapsed),
            "means": means(&self.exchange.answer),
            "cause": cause,
            "body": self.body,
        })
    }
}

fn means(answer: &PushAnswer) -> &'static str {
    match answer {
        PushAnswer::Sent => "sent",
        PushAnswer::Pending(_) => "pending",
        PushAnswer::Approved => "approved",
        PushAnswer::ApprovedByAnother => "approved-by-another",
        PushAnswer::Refused(_) => "refused",
        PushAnswer::ApiKeyRefused(_) => "api-key-refused",
        PushAnswer::Unavailable(..) => "unavailable",
        PushAnswer::LocalFault(_) => "misconfigured",
    }
}

/// The answer, without the mobile, and of `details` with the names of its fields alone: it holds name, e-mail, address
/// and position of a person.
fn body(exchange: &PushExchange, hide: impl Fn(&str) -> String) -> Option<Value> {
    let body = exchange.body.as_ref()?;
    if let Ok(value) = serde_json::from_slice(body) {
        return Some(without_details(value, &hide));
    }
    let text = String::from_utf8_lossy(body);
    // JSON that is cut off, say, or too deep: names may be written by escapes.
    let may_have_details =
        text.contains(['{', '\\']) || text.to_ascii_lowercase().contains("details");
    match may_have_details {
        true => Some(format!("not JSON, {} bytes, and not shown", body.len()).into()),
        false => Some(hide(&text).into()),
    }
}

fn without_details(value: Value, hide: &dyn Fn(&str) -> String) -> Value {
    let member = |(key, value): (String, Value)| {
        let value = match key.eq_ignore_ascii_case("details") {
            true => names_of(&value, hide),
            false => without_details(value, hide),
        };
        (hide(&key), value)
    };
    match value {
        Value::Object(members) => members
            .into_iter()
            .map(member)
            .collect::<Map<_, _>>()
            .into(),
        Value::Array(values) => {
            let values = values.into_iter().map(|value| without_details(value, hide));
            values.collect::<Vec<_>>().into()
        }
        Value::String(text) => hide(&text).into(),
        Value::Number(number) if hide(&number.to_string()) != number.to_string() => "***".into(),
        other => other,
    }
}

/// What kind of value it is, and what its fields are called.
fn names_of(value: &Value, hide: &dyn Fn(&str) -> String) -> Value {
    match value {
        Value::Null => Value::Null,
        Value::Object(members) => {
            let names = members.keys().map(|name| (hide(name), "***".into()));
            names.collect::<Map<_, _>>().into()
        }
        Value::Array(values) => {
            let values = values.iter().map(|value| names_of(value, hide));
            values.collect::<Vec<_>>().into()
        }
        Value::Bool(_) | Value::Number(_) | Value::String(_) => "***".into(),
    }
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        None => text.to_owned(),
        Some((end, _)) => format!("{} ... ({} bytes)", &text[..end], text.len()),
    }
}

impl Ended {
    /// As the log has it of a login.
    fn word(&self) -> &'static str {
        match self {
            Self::Approved => "push-approved",
            Self::Denied => "push-denied",
            Self::Unanswered => "push-unanswered",
            Self::Busy => "push-busy",
            Self::Limited(_) => "push-limited",
            Self::Stale => "push-stale",
            Self::KeyRefused => "api-key-refused",
            Self::Unavailable(..) => "unavailable",
            Self::Misconfigured(..) => "misconfigured",
        }
    }

    fn exit(&self) -> Exit {
        match self {
            Self::Approved => Exit::Done,
            Self::Unavailable(..) => Exit::Unavailable,
            _ => Exit::Refused,
        }
    }

    /// What that means, and what to do.
    fn says(&self, name: &str) -> String {
        let release = format!("to end that: ivaltctl push release {}", shell_word(name));
        match self {
            Self::Approved => "the request was approved; nobody was let in".to_owned(),
            Self::Denied => {
                format!("the request was denied; others to this phone are held back for 15 minutes; {release}")
            }
            Self::Unanswered => format!(
                "nobody approved the request within {} s; others to this phone are held back for 5 minutes; {release}",
                WAIT.as_secs()
            ),
            Self::Busy => "a login of this host waits for an answer on this phone; nothing was sent".to_owned(),
            Self::Limited(why) => format!("nothing was sent: {why}"),
            Self::Stale => "iVALT answered as if for an earlier request, so that no approval would count; wait five minutes, approve \
                            nothing, and try again"
                .to_owned(),
            Self::KeyRefused => {
                "iVALT refuses this host's API key; correct api.key in the settings".to_owned()
            }
            Self::Unavailable(cause, false) | Self::Misconfigured(cause, false) => cause.clone(),
            Self::Unavailable(cause, true) | Self::Misconfigured(cause, true) => {
                format!("{cause}; the request may have left: others to this phone are held back for 5 minutes; {release}")
            }
        }
    }

    fn report(&self, name: &str, answers: &[Value], json: bool) -> Exit {
        let exit = self.exit();
        if json {
            terminal::print_json(&json!({
                "verdict": self.word(),
                "says": self.says(name),
                "answers": answers,
            }));
            return exit;
        }
        let style = match exit {
            Exit::Done => OK,
            Exit::Unavailable => WARN,
            _ => ERROR,
        };
        terminal::print(
            terminal::styled(style, self.word()).then(format!("\n  {}", self.says(name))),
        );
        exit
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ivalt_core::api::ApiError;
    use ivalt_core::push::{Held, Kind};
    use ivalt_core::settings::MobileFormat;
    use std::cell::Cell;

    thread_local! {
        /// Since the system started, in seconds.
        static NOW: Cell<u64> = const { Cell::new(1000) };
    }

    fn clock() -> Duration {
        Duration::from_secs(NOW.get())
    }

    fn pause(time: Duration) {
        NOW.set(NOW.get() + time.as_secs());
    }

    /// What polls get from the third on; before, all goes well.
    struct Answers {
        at_last: fn() -> PushAnswer,
        /// How many pending ones come before that.
        pending: usize,
        asked: Vec<Operation>,
    }

    impl Service for &mut Answers {
        fn ask(&mut self, operation: Operation) -> PushExchange {
            self.asked.push(operation);
            let answer = match operation {
                Operation::Start => PushAnswer::Sent,
                Operation::Poll if self.asked.len() > 3 + self.pending => (self.at_last)(),
                Operation::Poll => PushAnswer::Pending(ApiError::default()),
            };
            PushExchange {
                operation: "biometric",
                answer,
                http: Some(200),
                elapsed: Duration::ZERO,
                steps: String::new(),
                body: None,
            }
        }

        fn hide(&self, text: &str) -> String {
            text.to_owned()
        }
    }

    fn mobile() -> Mobile {
        Mobile::parse("+916283974746", MobileFormat::E164).unwrap()
    }

    fn lock(run: &Path) -> Phone {
        Phone::lock(&run.join("ivalt/push"), &mobile(), trust(), clock).unwrap()
    }

    /// How it ends, after how many requests and seconds, and what holds others back then.
    fn attempt(pending: usize, at_last: fn() -> PushAnswer) -> (Ended, usize, u64, Option<Kind>) {
        let run = tempfile::TempDir::new().unwrap();
        let mut answers = Answers {
            at_last,
            pending,
            asked: Vec::new(),
        };
        let begun = NOW.get();
        let mut attempt = Attempt {
            service: &mut answers,
            phone: lock(run.path()),
            platform: Platform {
                pause,
                boot_clock: clock,
                ..sys::platform()
            },
            begun: clock(),
            has_left: false,
            answers: Vec::new(),
            shows: false,
        };
        let ended = attempt.run(3).unwrap();
        drop(attempt);
        let kind = lock(run.path()).held(3).map(|held| match held {
            Held::Request(hold, _) => hold.kind,
            other => panic!("{other:?}"),
        });
        (ended, answers.asked.len(), NOW.get() - begun, kind)
    }

    #[test]
    fn polls_go_on_until_an_answer_or_for_a_minute() {
        let never = || PushAnswer::Pending(ApiError::default());
        let unanswered = Some(Kind::Unanswered);
        assert_eq!(attempt(0, never), (Ended::Unanswered, 15, 60, unanswered));
        let approved = || PushAnswer::Approved;
        assert_eq!(attempt(0, approved), (Ended::Approved, 5, 10, None));
        assert_eq!(attempt(11, approved), (Ended::Approved, 16, 65, None));
        assert_eq!(attempt(12, approved).0, Ended::Unanswered);
        let refused = || PushAnswer::Refused(ApiError::default());
        assert_eq!(
            attempt(2, refused),
            (Ended::Denied, 7, 20, Some(Kind::Denied))
        );
    }

    #[test]
    fn what_is_no_answer_of_this_user_ends_it_and_holds() {
        let unanswered = Some(Kind::Unanswered);
        let by_another = || PushAnswer::ApprovedByAnother;
        let (ended, requests, seconds, held) = attempt(0, by_another);
        let why = "approved, and not with this user's mobile in data.details".to_owned();
        assert_eq!(ended, Ended::Unavailable(why, true));
        assert_eq!((requests, seconds, held), (4, 5, unanswered));
        let unavailable = || PushAnswer::Unavailable("HTTP 429".into(), ApiError::default());
        let (ended, requests, _, held) = attempt(1, unavailable);
        assert_eq!(
            (ended.exit(), requests, held),
            (Exit::Unavailable, 5, unanswered)
        );
        let local = || PushAnswer::LocalFault("connect: cannot allocate memory".into());
        let (ended, requests, _, held) = attempt(1, local);
        assert_eq!(
            (ended.exit(), requests, held),
            (Exit::Refused, 5, unanswered)
        );
        let why = "connect: cannot allocate memory; the request may have left";
        assert!(ended.says("alice").starts_with(why));
        let key = || PushAnswer::ApiKeyRefused(ApiError::default());
        assert_eq!(attempt(0, key), (Ended::KeyRefused, 4, 5, None));
    }

    #[test]
    fn of_details_the_names_are_shown_and_of_the_mobile_nothing() {
        let shown = |text: &str| {
            let exchange = PushExchange {
                operation: "",
                answer: PushAnswer::Sent,
                http: None,
                elapsed: Duration::ZERO,
                steps: String::new(),
                body: Some(text.as_bytes().to_vec().into()),
            };
            let hide = |text: &str| text.replace("4746", "***");
            body(&exchange, hide).unwrap().to_string()
        };
        for (text, expected) in [
            (
                r#"{"data":{"details":{"name":"A","at":{"lat":5}}}}"#,
                r#"{"data":{"details":{"at":"***","name":"***"}}}"#,
            ),
            (
                r#"[{"details":[{"name":"A"},"B",null],"detail":"of 4746"}]"#,
                r#"[{"detail":"of ***","details":[{"name":"***"},"***",null]}]"#,
            ),
            (
                r#"{"x":14746,"4746":47,"details":true}"#,
                r#"{"***":47,"details":"***","x":"***"}"#,
            ),
            ("<p>4746", r#""<p>***""#),
            (
                r#"{"d\u0065tails":{"name":"A"},"Details":{"name":"A"}}"#,
                r#"{"Details":{"name":"***"},"details":{"name":"***"}}"#,
            ),
            (
                r#"{"d\u0065tails":{"name":"A"}"#,
                r#""not JSON, 28 bytes, and not shown""#,
            ),
            (
                r#"DETAILS [ "name", "A" "#,
                r#""not JSON, 22 bytes, and not shown""#,
            ),
            (
                r#"{"details":{"name":"A"}"#,
                r#""not JSON, 23 bytes, and not shown""#,
            ),
        ] {
            assert_eq!(shown(text), expected);
        }
        assert_eq!(cut(&"x".repeat(1000)), "x".repeat(1000));
        assert_eq!(
            cut(&"x".repeat(1001)),
            "x".repeat(1000) + " ... (1001 bytes)"
        );
    }
}
