//! The only place where errors become reasons.

use crate::arguments::BadArgument;
use crate::conversation::{ApplicationError, NoAnswer};
use crate::decision::Refusal;
use crate::problem::Problem;
use crate::push::NotLocked;
use crate::recovery::NotTaken;

/// How a call ends badly, or one attempt of it: the reason, and the cause in words for the log.
#[derive(Debug)]
pub(crate) struct Denial(pub Refusal, pub String);

impl From<Refusal> for Denial {
    fn from(refusal: Refusal) -> Self {
        Self(refusal, String::new())
    }
}

impl From<BadArgument> for Denial {
    fn from(bad: BadArgument) -> Self {
        Self(Refusal::Misconfigured, bad.to_string())
    }
}

impl From<Problem> for Denial {
    fn from(problem: Problem) -> Self {
        Self(Refusal::Misconfigured, problem.to_string())
    }
}

impl From<NotTaken> for Denial {
    fn from(not_taken: NotTaken) -> Self {
        match not_taken {
            NotTaken::Unknown(cause) => Self(Refusal::CodeRefused, cause),
            NotTaken::Expired(number) => {
                Self(Refusal::CodeRefused, format!("code {number} has expired"))
            }
            NotTaken::Fault(problem) => problem.into(),
        }
    }
}

impl From<NotLocked> for Denial {
    fn from(not_locked: NotLocked) -> Self {
        match not_locked {
            NotLocked::Busy => {
                let cause = "another login on this host waits for an answer on this phone";
                Self(Refusal::PushBusy, cause.to_owned())
            }
            NotLocked::Fault(problem) => problem.into(),
        }
    }
}

impl From<NoAnswer> for Denial {
    fn from(NoAnswer: NoAnswer) -> Self {
        let cause = "no answer from the conversation".to_owned();
        Self(Refusal::Unanswered, cause)
    }
}

impl From<ApplicationError> for Denial {
    fn from(error: ApplicationError) -> Self {
        match error {
            ApplicationError::NoAnswer => NoAnswer.into(),
            ApplicationError::Broken(what) => Self(Refusal::Internal, what.to_owned()),
        }
    }
}
