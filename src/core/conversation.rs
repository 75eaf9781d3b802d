//! The application that wants a user authenticated, how the user is asked or told, and every sentence a user sees.
//!
//! Sentences are plain, are complete before the prompt that follows them, and say nothing about internals: anyone who
//! is refused is not yet authenticated.

use crate::decision::Refusal;
use crate::secret::Secret;

/// The second question of `token+face`; the first is `token.prompt`.
pub(crate) const FACE_PROMPT: &str = "iVALT face token: ";
/// The first question where Enter sends a request to the phone, unless `token.prompt` was changed.
pub(crate) const PUSH_PROMPT: &str = "iVALT token, or Enter for a request on your phone: ";
/// The question while the request is on the phone.
pub(crate) const APPROVE_PROMPT: &str = "Approve the request on your phone, then press Enter: ";
/// What it begins with where there was no approval yet.
pub(crate) const NOT_YET: &str = "Not approved yet. ";

/// Whether what is typed is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Echo {
    /// sshd's `password` method cannot answer such a prompt with the UNIX password, hence the default.
    On,
    /// As for a password.
    Off,
}

/// Nobody answered: no conversation, an error of it, or the end of input.
#[derive(Debug, PartialEq, Eq)]
pub struct NoAnswer;

/// The user at the other end.
pub trait Conversation {
    /// Asks, and waits for the answer.
    ///
    /// # Errors
    /// [`NoAnswer`] when there is none.
    fn ask(&mut self, prompt: &str, echo: Echo) -> Result<Secret, NoAnswer>;

    /// Says why it ends; whether the user sees it does not matter, and under sudo nobody does: sudo wants silence.
    fn tell(&mut self, sentence: &str);

    /// Says what is no error, likewise.
    fn inform(&mut self, sentence: &str) {
        self.tell(sentence);
    }
}

/// The application that wants a user authenticated, beyond its conversation.
pub trait Application: Conversation {
    /// `PAM_USER`, as bytes; asked for if the application has not set it.
    ///
    /// # Errors
    /// Nobody answered, or the handle is broken.
    fn user(&mut self) -> Result<Vec<u8>, ApplicationError>;

    /// `PAM_AUTHTOK`, the password an earlier module took.
    ///
    /// # Errors
    /// The handle is broken.
    fn password(&mut self) -> Result<Option<Secret>, ApplicationError>;

    /// `SSH_AUTH_INFO_0` of the PAM environment: which methods of sshd have passed.
    fn ssh_auth_info(&mut self) -> Vec<u8> {
        Vec::new()
    }

    /// The sentence that the last call on the same handle could not show; given once.
    fn take_unshown(&mut self) -> Option<Unshown> {
        None
    }
}

/// A sentence for this user that could not be shown, because the application wanted silence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unshown {
    /// `PAM_USER` when it was to be said.
    pub user: Vec<u8>,
    /// What was to be said.
    pub sentence: String,
}

/// What can be wrong with an application.
#[derive(Debug, PartialEq, Eq)]
pub enum ApplicationError {
    /// It asked for the user's name, and nobody answered.
    NoAnswer,
    /// libpam refused an item; the words say which.
    Broken(&'static str),
}

/// Which factor iVALT named, found in its `code` or `detail`.
fn refused_factor(code: &str, detail: &str) -> Option<&'static str> {
    let names = |factor: &str| {
        [code, detail]
            .iter()
            .any(|text| text.to_ascii_lowercase().contains(factor))
    };
    if names("geofenc") {
        Some("outside the allowed area")
    } else if names("timezone") || names("time zone") {
        Some("outside the allowed hours")
    } else {
        None
    }
}

/// The sentence for a refusal, or `None` where no user is there to read it.
#[must_use]
pub fn sentence(refusal: Refusal, code: &str, detail: &str) -> Option<String> {
    let sentence = match refusal {
        Refusal::Unanswered => return None,
        Refusal::TokenRejected | Refusal::TriesExhausted => match refused_factor(code, detail) {
            Some(factor) => return Some(format!("iVALT refused the token: {factor}.")),
            None => "iVALT refused the token.",
        },
        Refusal::PushDenied => match refused_factor(code, detail) {
            Some(factor) => return Some(format!("The request was denied: {factor}.")),
            None => "The request was denied.",
        },
        Refusal::PushUnanswered => "Nobody approved the request in time.",
        Refusal::PushBusy => {
            "Another login is waiting for an answer on this phone. If it is not yours, deny it there and tell your \
             administrator."
        }
        Refusal::PushLimited => {
            "Requests to this phone are held back for now; a token or a recovery code still works."
        }
        Refusal::PushStale => {
            "An earlier request was still open on the phone; wait five minutes, approve nothing, and try again."
        }
        // Another sentence would tell a stranger that sshd denies this account.
        Refusal::DummyOfSshd => "iVALT refused the token.",
        Refusal::RootBarredBySshd => {
            "sshd does not let root answer here (PermitRootLogin); iVALT was not asked."
        }
        Refusal::MalformedToken => "That is not an iVALT token.",
        Refusal::CodeMistyped => "That recovery code has a typing error.",
        Refusal::CodeRefused | Refusal::CodeTriesExhausted => {
            "That recovery code is unknown, used or expired."
        }
        Refusal::CodeNotTakenHere => "Recovery codes are not taken here; this one is not spent.",
        Refusal::PasswordAsToken => "That is your password, not an iVALT token.",
        Refusal::NotEnrolled | Refusal::Disabled | Refusal::BadEntry => {
            "iVALT is not set up for this account."
        }
        Refusal::Unavailable | Refusal::PushUnavailable => "iVALT cannot be reached.",
        Refusal::ApiKeyRefused | Refusal::Misconfigured | Refusal::Internal => {
            "iVALT is not set up correctly on this system; please tell its administrator."
        }
    };
    Some(sentence.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_factor_is_named_and_nothing_foreign_is_repeated() {
        let rejected = |code, detail| sentence(Refusal::TokenRejected, code, detail).unwrap();
        assert_eq!(
            rejected("INVALID_GEOFENCE", "\x1b[31m"),
            "iVALT refused the token: outside the allowed area."
        );
        assert_eq!(
            rejected("", "bad Geofencing rule"),
            "iVALT refused the token: outside the allowed area."
        );
        assert_eq!(
            rejected("INVALID_TIMEZONE", ""),
            "iVALT refused the token: outside the allowed hours."
        );
        assert_eq!(
            rejected("", "Outside the allowed time zone"),
            "iVALT refused the token: outside the allowed hours."
        );
        assert_eq!(rejected("X", "\x1b[31m"), "iVALT refused the token.");
    }
}
