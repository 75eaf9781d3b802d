//! What tests ask of a report.

use super::log_line::LogLine;
use super::report::{Call, Entry, Message, Report, SoakResult, Style};

impl Report {
    /// The code of the first `pam_authenticate`.
    pub fn code(&self) -> i32 {
        *self
            .codes(Entry::Authenticate)
            .first()
            .expect("a call of pam_authenticate")
    }

    /// What very many transactions came to.
    pub fn soak(&self) -> &SoakResult {
        self.soak.as_ref().expect("a script with `soak`")
    }

    /// The codes of one kind of call, in order.
    pub fn codes(&self, entry: Entry) -> Vec<i32> {
        self.calls_of(entry).map(|call| call.code).collect()
    }

    /// The calls of one kind, in order.
    pub fn calls_of(&self, entry: Entry) -> impl Iterator<Item = &Call> {
        self.calls.iter().filter(move |call| call.call == entry)
    }

    /// The first `pam_authenticate`.
    pub fn authenticate(&self) -> &Call {
        self.calls_of(Entry::Authenticate)
            .next()
            .expect("a call of pam_authenticate")
    }

    /// Everything said, in order.
    pub fn messages(&self) -> Vec<&Message> {
        self.calls.iter().flat_map(|call| &call.messages).collect()
    }

    /// The texts of all prompts, in order.
    pub fn prompts(&self) -> Vec<&str> {
        let asks = |message: &&Message| matches!(message.style, Style::EchoOn | Style::EchoOff);
        let prompts = self.messages().into_iter().filter(asks);
        prompts.map(|message| message.text.as_str()).collect()
    }

    /// The texts of all error and information messages, in order.
    pub fn told(&self) -> Vec<&str> {
        let tells = |message: &&Message| matches!(message.style, Style::Error | Style::Info);
        let told = self.messages().into_iter().filter(tells);
        told.map(|message| message.text.as_str()).collect()
    }

    /// All datagrams, also libpam's and other modules'.
    pub fn log(&self) -> Vec<&str> {
        let lines = self.calls.iter().flat_map(|call| &call.log);
        lines.map(String::as_str).collect()
    }

    /// Our lines.
    pub fn log_lines(&self) -> Vec<LogLine> {
        let lines = self.log().into_iter().filter(|line| LogLine::is_ours(line));
        lines.map(LogLine::parse).collect()
    }

    /// Our only line: one a call is promised.
    pub fn log_line(&self) -> LogLine {
        match self.log_lines().as_slice() {
            [line] => line.clone(),
            _ => panic!("not exactly one line of pam_ivalt: {:#?}", self.log()),
        }
    }

    /// What every call changed, with its name.
    pub fn changes(&self) -> Vec<String> {
        let named = |call: &Call| {
            let name = call.call;
            call.changes
                .iter()
                .map(move |change| format!("{name:?}: {change}"))
                .collect::<Vec<_>>()
        };
        self.calls.iter().flat_map(named).collect()
    }

    /// Whether a delay was asked for in the first `pam_authenticate`.
    pub fn asked_for_delay(&self) -> bool {
        self.authenticate()
            .fail_delays_us
            .iter()
            .any(|delay| *delay > 0)
    }

    /// Where a secret was said or logged; empty is well.
    pub fn places_of(&self, secret: &str) -> Vec<&str> {
        let said = self
            .messages()
            .into_iter()
            .map(|message| message.text.as_str());
        let places = said.chain(self.log());
        places.filter(|text| text.contains(secret)).collect()
    }
}
