//! What a call leaves for the log.

use std::time::Duration;

use crate::api::{Answer, ApiError, Exchange, PushAnswer, PushExchange};
use crate::arguments::{Debug, Delay};
use crate::decision::{Decision, Refusal};

/// All that is known of a call; it begins as a failure.
#[derive(Debug)]
pub struct Report {
    /// How it ended.
    pub decision: Decision,
    /// `PAM_USER`.
    pub user: Vec<u8>,
    /// The last four digits.
    pub mobile: String,
    /// Status of the last answer that iVALT gave.
    pub http: Option<u16>,
    /// Its code, foreign text.
    pub code: String,
    /// Its detail, foreign text.
    pub detail: String,
    /// What is known of the last recovery code: its number, and how many are left.
    pub code_detail: String,
    /// What failed, in our words.
    pub cause: String,
    /// How long each step of the last try took, for `debug`.
    pub steps: String,
    /// Answers given.
    pub attempts: u64,
    /// Time spent on iVALT; the user's typing is not in it.
    pub elapsed: Duration,
    /// Whether a denial asks for a delay.
    pub delay: Delay,
}

impl Default for Report {
    fn default() -> Self {
        Self {
            decision: Decision::Deny(Refusal::Internal),
            user: Vec::new(),
            mobile: String::new(),
            http: None,
            code: String::new(),
            detail: String::new(),
            code_detail: String::new(),
            cause: String::new(),
            steps: String::new(),
            attempts: 0,
            elapsed: Duration::ZERO,
            delay: Delay::TwoSeconds,
        }
    }
}

impl Report {
    /// `http`, `code` and `detail` are those of one answer, and stay where a later try gets none.
    pub(crate) fn record(&mut self, exchange: Exchange, debug: Debug) -> Answer {
        self.elapsed += exchange.elapsed;
        if exchange.http.is_some() {
            self.http = exchange.http;
            (self.code, self.detail) = match &exchange.answer {
                Answer::Verified | Answer::LocalFault(_) => (String::new(), String::new()),
                Answer::Rejected(error)
                | Answer::ApiKeyRefused(error)
                | Answer::Unusable(_, error) => (error.code.clone(), error.detail.clone()),
            };
        }
        if debug == Debug::On {
            self.steps = exchange.steps;
        }
        exchange.answer
    }

    /// The same of a request to the phone.
    pub(crate) fn record_push(&mut self, exchange: PushExchange, debug: Debug) -> PushAnswer {
        self.elapsed += exchange.elapsed;
        if exchange.http.is_some() {
            self.http = exchange.http;
            let none = ApiError::default();
            let error = exchange.answer.error().unwrap_or(&none);
            (self.code, self.detail) = (error.code.clone(), error.detail.clone());
        }
        if debug == Debug::On {
            self.steps = exchange.steps;
        }
        exchange.answer
    }

    /// Of a recovery code iVALT has heard nothing: what it said of an earlier token is not about this decision.
    pub(crate) fn decide(&mut self, decision: Decision) {
        self.decision = decision;
        if decision.is_about_a_code() {
            self.http = None;
            self.code.clear();
            self.detail = std::mem::take(&mut self.code_detail);
        }
    }

    pub(crate) fn append_steps_to_cause(&mut self) {
        if !self.steps.is_empty() {
            let cause = format!("{} ({})", self.cause, self.steps);
            self.cause = cause.trim_start().to_owned();
        }
    }
}
