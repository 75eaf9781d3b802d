//! Where tokens come from, and which answers are worth sending.

use std::ops::RangeInclusive;

use crate::arguments::FirstPass;
use crate::conversation::{Conversation, Echo, FACE_PROMPT, PUSH_PROMPT};
use crate::decision::Refusal;
use crate::denial::Denial;
use crate::recovery::code;
use crate::secret::Secret;
use crate::settings::{Charset, DEFAULT_PROMPT, Settings};
use crate::user_name::folded;

/// What was given at a prompt.
pub(crate) enum Typed {
    /// Nothing but the end of a line.
    Enter,
    /// As it was given, never empty.
    Text(Secret),
}

/// The tokens of one call.
pub(crate) struct Tokens<'a> {
    settings: &'a Settings,
    first_pass: FirstPass,
    /// Whether an empty answer at the first prompt is one.
    enter_is_push: bool,
    /// `PAM_AUTHTOK`
    password: Option<Secret>,
    /// `PAM_AUTHTOK`, while it is to be the first token.
    first: Option<Secret>,
    prompts_left: u64,
    /// Why the last token was refused, in the prompt itself: extra lines break applications with one prompt.
    before_prompt: Option<String>,
    sent: Vec<Secret>,
}

impl<'a> Tokens<'a> {
    pub fn new(
        first_pass: FirstPass,
        settings: &'a Settings,
        enter_is_push: bool,
        password: Option<Secret>,
    ) -> Self {
        let first = password
            .as_ref()
            .map(Secret::trimmed)
            .filter(|token| !token.is_empty());
        Self {
            settings,
            first_pass,
            enter_is_push,
            password,
            first: first.filter(|_| first_pass != FirstPass::Never),
            prompts_left: if first_pass == FirstPass::Use {
                0
            } else {
                settings.token.attempts.get()
            },
            before_prompt: None,
            sent: Vec::new(),
        }
    }

    /// Whether the next answer comes from the user, who takes time.
    pub fn will_ask(&self) -> bool {
        self.prompts_left > 0 && self.first.is_none()
    }

    /// The next answer: Enter only where that is one.
    pub fn next(&mut self, user: &mut (impl Conversation + ?Sized)) -> Result<Typed, Denial> {
        if let Some(first) = self.first.take() {
            return Ok(Typed::Text(first));
        }
        if self.prompts_left == 0 {
            return Err(Denial(
                Refusal::Unanswered,
                "use_first_pass, and no earlier module took a password".to_owned(),
            ));
        }
        self.prompts_left -= 1;
        let sentence = self.before_prompt.take();
        let sentence = sentence.map(|sentence| sentence + " ").unwrap_or_default();
        match self.ask(user, &format!("{sentence}{}", self.prompt()))? {
            Typed::Enter if !self.enter_is_push => Err(empty_answer()),
            typed => Ok(typed),
        }
    }

    fn prompt(&self) -> &str {
        match &self.settings.token.prompt {
            Some(own) => own,
            None if self.enter_is_push => PUSH_PROMPT,
            None => DEFAULT_PROMPT,
        }
    }

    /// The second answer of `token+face`.
    pub fn face(&self, user: &mut (impl Conversation + ?Sized)) -> Result<Secret, Denial> {
        match self.ask(user, FACE_PROMPT)? {
            Typed::Enter => Err(empty_answer()),
            Typed::Text(face) => Ok(face),
        }
    }

    /// One prompt, whatever it asks for.
    pub fn ask(
        &self,
        user: &mut (impl Conversation + ?Sized),
        prompt: &str,
    ) -> Result<Typed, Denial> {
        let echo = if self.settings.token.echo {
            Echo::On
        } else {
            Echo::Off
        };
        let answer = user.ask(prompt, echo)?;
        Ok(match answer.trimmed().is_empty() {
            true => Typed::Enter,
            false => Typed::Text(answer),
        })
    }

    /// What the answer is by its form. Where no recovery codes are accepted, none has that form.
    pub fn read_code(&self, answer: &Secret) -> code::Answer {
        if self.settings.recovery.codes {
            code::read(answer)
        } else {
            code::Answer::Other
        }
    }

    /// Refuses to send what is not an auth token; it has been checked to be an answer of the user's.
    pub fn check_auth_token(&self, answer: &Secret) -> Result<(), Denial> {
        let rules = &self.settings.token;
        let format = TokenFormat {
            length: rules.min_length.get_ref().get()..=rules.max_length.get(),
            charset: rules.charset,
        };
        format.check(answer.as_bytes())?;
        if self.sent.contains(answer) {
            // A token may be good for one use: it is not sent twice, and iVALT has refused it already.
            return Err(Denial(
                Refusal::TokenRejected,
                "token already tried; not sent again".to_owned(),
            ));
        }
        Ok(())
    }

    /// The same of a face token. Settings speak of the auth token; iVALT does not document the format of this one.
    pub fn check_face_token(&self, answer: &Secret) -> Result<(), Denial> {
        if self.read_code(answer) != code::Answer::Other {
            let cause = "a recovery code, which belongs at the first prompt; not sent, not spent";
            return Err(Denial(Refusal::MalformedToken, cause.to_owned()));
        }
        let format = TokenFormat {
            length: 1..=4096,
            charset: Charset::Visible,
        };
        format.check(answer.as_bytes())
    }

    /// Refuses what the user has not given as a token or a code, and takes off the white space around it.
    pub fn check_answer(&self, answer: &mut Secret, user: &[u8]) -> Result<(), Denial> {
        refuse_dummy(answer)?;
        if self.is_password(answer) {
            return Err(Refusal::PasswordAsToken.into());
        }
        *answer = answer.trimmed();
        if is_name_of(user, answer) {
            return Err(Denial(Refusal::MalformedToken, USER_NAME.to_owned()));
        }
        Ok(())
    }

    /// Whether sshd has denied this login already, as far as the answer to an earlier module tells: the dummy for an
    /// Enter is empty.
    pub fn check_password(&self) -> Result<(), Denial> {
        self.password.as_ref().map_or(Ok(()), refuse_dummy)
    }

    fn is_password(&self, answer: &Secret) -> bool {
        let same = |password: &Secret| password == answer || password.trimmed() == answer.trimmed();
        self.first_pass == FirstPass::Never && self.password.as_ref().is_some_and(same)
    }

    /// It is not to be sent again.
    pub fn mark_sent(&mut self, token: Secret) {
        self.sent.push(token);
    }

    pub fn may_ask_again(&self, refusal: Refusal) -> bool {
        let again = [
            Refusal::MalformedToken,
            Refusal::DummyOfSshd,
            Refusal::TokenRejected,
            Refusal::CodeMistyped,
            Refusal::CodeRefused,
        ];
        self.prompts_left > 0 && again.contains(&refusal)
    }

    /// There is no other prompt after this one.
    pub fn ask_no_more(&mut self) {
        self.prompts_left = 0;
    }

    /// What the next prompt begins with.
    pub fn begin_prompt_with(&mut self, sentence: Option<String>) {
        self.before_prompt = sentence;
    }

    /// `PAM_MAXTRIES` is for calls that could have asked again.
    pub fn last_refusal(&self, refusal: Refusal) -> Refusal {
        let several = self.first_pass != FirstPass::Use && self.settings.token.attempts.get() > 1;
        match refusal {
            Refusal::TokenRejected if several => Refusal::TriesExhausted,
            Refusal::CodeRefused if several => Refusal::CodeTriesExhausted,
            other => other,
        }
    }
}

fn empty_answer() -> Denial {
    Denial(Refusal::Unanswered, "empty answer".to_owned())
}

/// Services without a dialogue show no prompt and answer a visible one with the name they were given: OpenVPN's plugin,
/// FTP and mail servers. `echo = false` in the settings of all services would be wrong: sshd's password method answers
/// hidden prompts with the UNIX password.
const USER_NAME: &str = "the answer is the user name, as of a service that shows no prompt: \
    most of them need settings of their own by config=, with echo = false; see pam_ivalt(8), HOSTS AND CLIENTS";

/// Whether the answer is this name, in whatever spelling.
fn is_name_of(user: &[u8], answer: &Secret) -> bool {
    answer.as_bytes() == user || Secret::new(folded(answer.as_bytes())).as_bytes() == folded(user)
}

/// What a token is made of.
struct TokenFormat {
    /// In bytes.
    length: RangeInclusive<u64>,
    charset: Charset,
}

impl TokenFormat {
    fn check(&self, token: &[u8]) -> Result<(), Denial> {
        let (length, min, max) = (token.len() as u64, self.length.start(), self.length.end());
        let allowed = match self.charset {
            Charset::Digits => u8::is_ascii_digit,
            Charset::Alphanumeric => u8::is_ascii_alphanumeric,
            Charset::Visible => u8::is_ascii_graphic,
        };
        let malformed = |cause: String| Err(Denial(Refusal::MalformedToken, cause));
        if length < *min {
            return malformed(format!("shorter than {min} bytes"));
        }
        if length > *max {
            return malformed(format!("longer than {max} bytes"));
        }
        if !token.iter().all(allowed) {
            return malformed("characters outside token.charset".to_owned());
        }
        Ok(())
    }
}

fn refuse_dummy(answer: &Secret) -> Result<(), Denial> {
    if is_dummy_of_sshd(answer.as_bytes()) {
        return Err(Denial(
            Refusal::DummyOfSshd,
            "sshd sent its dummy password; it has already denied this login".to_owned(),
        ));
    }
    Ok(())
}

/// What sshd answers for a login that it has already denied: this text, as often as the real answer was long
/// (OpenSSH `auth-pam.c`, `fake_password`).
fn is_dummy_of_sshd(answer: &[u8]) -> bool {
    const DUMMY: &[u8] = b"\x08\n\r\x7fINCORRECT";
    !answer.is_empty()
        && answer
            .iter()
            .zip(DUMMY.iter().cycle())
            .all(|(given, dummy)| given == dummy)
}
