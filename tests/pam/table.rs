//! Tables of faults: what a server does, and what the module must make of it. Whatever happens, a call ends in time
//! and sends its token at most once.

use std::thread;
use std::time::Duration;

use crate::expect::*;
use support::server::{Server, trusted_authority};
use support::{Call, Case, LogLine, Report, module_path, users};

pub const SUCCESS: &[u8] = br#"{"status":"success","message":"ok"}"#;
/// `api.timeout_seconds` here.
pub const TIMEOUT: Duration = Duration::from_secs(2);
/// What a busy machine may add: less than the same time once more.
const GRACE: Duration = Duration::from_millis(1900);

/// Values of `cause`.
pub const CLOSED: &str = "answer: the server closed the connection";
pub const NO_OBJECT: &str =
    "answer: HTTP 200: body is not a JSON object with exactly one \"status\"";
pub const TIMEOUT_IN_ANSWER: &str = "timeout after 2 s in answer";

/// Our module against this URL; alice has two tokens to give.
pub fn case(url: &str) -> Case {
    case_within(url, TIMEOUT)
}

/// The same with another `api.timeout_seconds`.
pub fn case_within(url: &str, timeout: Duration) -> Case {
    let case = Case::new(module_path()).users(&users(&[("alice", "+916283974746")]));
    let ca = trusted_authority(case.dir().path());
    let text = format!(
        "users_file = \"{}\"\n[api]\nurl = \"{url}\"\nkey = \"test-api-key\"\nca_file = \"{}\"\ntimeout_seconds = {}\n",
        case.users_file().display(),
        ca.display(),
        timeout.as_secs(),
    );
    let config = format!("config={}", case.config().display());
    case.settings_text(&text)
        .argument(&config)
        .answer("accept-1")
        .answer("accept-2")
}

/// More lines for the end of the settings.
pub fn with_lines(case: Case, lines: &str) -> Case {
    let text = std::fs::read_to_string(case.config()).unwrap();
    case.settings_text(&format!("{text}{lines}"))
}

pub fn url(server: &Server) -> String {
    format!("https://127.0.0.1:{}/base", server.port)
}

pub fn run(server: &Server) -> Report {
    case(&url(server)).run()
}

/// Unavailable for this cause, within the time-out and a second, and never a second request.
#[track_caller]
pub fn unavailable(name: &str, report: &Report, cause: &str) {
    let line = expect(report, UNAVAILABLE);
    assert_eq!(line.get("cause"), cause, "{name}");
    assert_eq!(report.prompts().len(), 1, "{name}");
    assert_eq!(report.told(), [UNREACHABLE], "{name}");
    in_time(name, report.authenticate());
}

/// The same where the user took so long before.
#[track_caller]
pub fn unavailable_after(name: &str, report: &Report, cause: &str, typing: Duration) {
    assert_eq!(expect(report, UNAVAILABLE).get("cause"), cause, "{name}");
    let elapsed = Duration::from_millis(report.authenticate().elapsed_ms);
    let waited = elapsed.saturating_sub(typing);
    assert!(waited <= TIMEOUT + GRACE, "{name} took {waited:?}");
}

#[track_caller]
fn in_time(name: &str, call: &Call) {
    let elapsed = Duration::from_millis(call.elapsed_ms);
    assert!(elapsed <= TIMEOUT + GRACE, "{name} took {elapsed:?}");
}

/// A server that must end in `unavailable`, after so many connections and requests.
pub struct Fault {
    pub name: &'static str,
    pub server: Server,
    pub cause: &'static str,
    pub met: (usize, usize),
}

/// All at once: most of the time goes by in waiting.
pub fn all_unavailable(faults: Vec<Fault>) {
    at_once(faults, |fault| {
        unavailable(fault.name, &run(&fault.server), fault.cause);
        let met = (fault.server.connections(), fault.server.requests());
        assert_eq!(met, fault.met, "{}", fault.name);
    });
}

/// Each in a thread of its own, with the name of the test for what is skipped or fails.
pub fn at_once<T: Send>(rows: Vec<T>, check: impl Fn(T) + Sync) {
    thread::scope(|scope| {
        for row in rows {
            scope.spawn(|| check(row));
        }
    });
}

/// An answer, and what the log says of it.
#[derive(Clone)]
pub struct Answered {
    pub name: String,
    pub bytes: Vec<u8>,
    pub ends: Ends,
}

/// One row of a table of answers.
pub fn row(name: &str, bytes: impl Into<Vec<u8>>, ends: Ends) -> Answered {
    Answered {
        name: name.to_owned(),
        bytes: bytes.into(),
        ends,
    }
}

impl Answered {
    fn tolerated(mut self) -> Self {
        if self.ends.row.1 == "unavailable" {
            self.ends.row = IGNORED_UNAVAILABLE;
        }
        self
    }
}

/// A reason of pam_ivalt(8), and the fields that belong to iVALT's answer.
#[derive(Clone, Debug)]
pub struct Ends {
    row: Row,
    http: String,
    code: String,
    detail: String,
    cause: String,
}

impl Ends {
    /// Let in; only ever with 2xx.
    pub fn verified(http: u16) -> Self {
        Self::new(VERIFIED).http(http)
    }

    pub fn rejected(http: u16) -> Self {
        Self::new(REJECTED).http(http)
    }

    pub fn key_refused(http: u16) -> Self {
        Self::new(KEY_REFUSED).http(http)
    }

    /// Without an HTTP status.
    pub fn unavailable(cause: &str) -> Self {
        Self {
            cause: cause.to_owned(),
            ..Self::new(UNAVAILABLE)
        }
    }

    fn new(row: Row) -> Self {
        Self {
            row,
            http: String::new(),
            code: String::new(),
            detail: String::new(),
            cause: String::new(),
        }
    }

    pub fn http(self, status: u16) -> Self {
        Self {
            http: status.to_string(),
            ..self
        }
    }

    pub fn said(self, code: &str, detail: &str) -> Self {
        Self {
            code: code.to_owned(),
            detail: detail.to_owned(),
            ..self
        }
    }

    fn summary(&self) -> String {
        let Row(outcome, reason, ..) = self.row;
        let Self {
            http,
            code,
            detail,
            cause,
            ..
        } = self;
        format!("{outcome} {reason} http={http} code={code} detail={detail} cause={cause}")
    }

    fn sentence(&self) -> &'static [&'static str] {
        match self.row.1 {
            "verified" => &[],
            // Another module may let in; the user sees nothing.
            _ if self.row.0 == "ignore" => &[],
            "token-rejected" if self.code == "INVALID_GEOFENCE" => &[OUTSIDE],
            "token-rejected" => &[REFUSED],
            "api-key-refused" => &[BROKEN],
            _ => &[UNREACHABLE],
        }
    }
}

fn summary(line: &LogLine) -> String {
    let [outcome, reason, http, code, detail, cause] =
        ["outcome", "reason", "http", "code", "detail", "cause"].map(|key| line.get(key));
    format!("{outcome} {reason} http={http} code={code} detail={detail} cause={cause}")
}

/// All in one process, one transaction and one token each.
pub fn check_answers(rows: &[Answered]) {
    check_with("", rows);
}

/// The same where the policy ignores an outage: everything else must still deny.
pub fn check_tolerantly(rows: &[Answered]) {
    let rows: Vec<_> = rows.iter().cloned().map(Answered::tolerated).collect();
    check_with("[policy]\nunavailable = \"ignore\"\n", &rows);
}

fn check_with(policy: &str, rows: &[Answered]) {
    let server = Server::choosing(rows.iter().map(|row| row.bytes.clone()).collect());
    let mut case = with_lines(
        case(&url(&server)),
        &format!("[token]\nattempts = 1\n{policy}"),
    );
    let tokens: Vec<_> = (0..rows.len())
        .map(|number| format!("row-{number}"))
        .collect();
    case.script.answers = tokens.iter().cloned().map(Into::into).collect();
    case.script.transactions = u32::try_from(rows.len()).unwrap();
    let reports = transactions(&case.limit(Duration::from_secs(120)).run());
    let seen = reports.iter().map(|report| summary(&report.log_line()));
    let wrong: Vec<_> = rows
        .iter()
        .zip(seen)
        .filter(|(row, seen)| row.ends.summary() != *seen)
        .map(|(row, seen)| {
            format!(
                "{}\n  expected {}\n  but was  {seen}",
                row.name,
                row.ends.summary()
            )
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(reports.len(), rows.len());
    for (row, report) in rows.iter().zip(&reports) {
        expect(report, row.ends.row);
        assert_eq!(report.prompts(), ["iVALT token: "], "{}", row.name);
        assert_eq!(report.told(), row.ends.sentence(), "{}", row.name);
        in_time(&row.name, report.authenticate());
    }
    assert_eq!(server.tokens(), tokens, "each token was sent once");
    assert_eq!(server.connections(), rows.len());
}

/// One report for each transaction of a process.
fn transactions(report: &Report) -> Vec<Report> {
    let last = report.calls.last().map_or(0, |call| call.transaction);
    let one = |number| Report {
        pid: report.pid,
        calls: report
            .calls
            .iter()
            .filter(|call| call.transaction == number)
            .cloned()
            .collect(),
        ..Report::default()
    };
    (0..=last).map(one).collect()
}

/// Let in with HTTP 200.
pub fn verified() -> Ends {
    Ends::verified(200)
}

/// Unavailable with HTTP 200.
pub fn outage(cause: &str) -> Ends {
    Ends::unavailable(cause).http(200)
}

/// A 200 with these headers and bytes, lengths as they are given.
pub fn raw(headers: &str, body: &[u8]) -> Vec<u8> {
    let head = headers
        .lines()
        .fold("HTTP/1.1 200 OK\r\n".to_owned(), |head, line| {
            head + line + "\r\n"
        });
    [head.as_bytes(), b"\r\n", body].concat()
}
