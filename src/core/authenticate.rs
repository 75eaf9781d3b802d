//! The story: from a request to a [`Decision`]. The only place where errors become reasons.

use std::ffi::CStr;
use std::ops::RangeInclusive;
use std::time::Duration;

use crate::api::{Answer, Client, Exchange, Kernel};
use crate::arguments::{Arguments, BadArgument, Debug, Delay, FirstPass};
use crate::conversation::{Conversation, Echo, FACE_PROMPT, NoAnswer, sentence};
use crate::decision::{Decision, Refusal, Tolerated};
use crate::problem::{Problem, ProblemKind};
use crate::secret::Secret;
use crate::settings::{Charset, Method, Settings, Tolerance};
use crate::trusted_file::Trust;
use crate::users::{self, Entry, Mobile};

/// The application that wants somebody authenticated, beyond its conversation.
pub trait Host: Conversation {
    /// `PAM_USER`, as bytes; asked for if the application has not set it.
    ///
    /// # Errors
    /// Nobody answered, or the handle is broken.
    fn user(&mut self) -> Result<Vec<u8>, HostError>;

    /// `PAM_AUTHTOK`, the password an earlier module took.
    ///
    /// # Errors
    /// The handle is broken.
    fn password(&mut self) -> Result<Option<Secret>, HostError>;
}

/// What can be wrong with a host.
#[derive(Debug, PartialEq, Eq)]
pub enum HostError {
    /// It asked for the user's name, and nobody answered.
    NoAnswer,
    /// libpam refused an item; the words say which.
    Broken(&'static str),
}

/// What the process lends to the story.
#[derive(Clone, Copy, Debug)]
pub struct Surroundings {
    /// Whose files are believed.
    pub trust: Trust,
    /// What a connection needs.
    pub kernel: Kernel,
}

/// What a call leaves for the log. It begins as a failure.
#[derive(Debug)]
pub struct Report {
    /// How it ended.
    pub decision: Decision,
    /// `PAM_USER`.
    pub user: Vec<u8>,
    /// The last four digits.
    pub mobile: String,
    /// Status of iVALT's last answer.
    pub http: Option<u16>,
    /// iVALT's code, foreign text.
    pub code: String,
    /// iVALT's detail, foreign text.
    pub detail: String,
    /// What failed, in our words.
    pub cause: String,
    /// How long each step took, for `debug`.
    pub steps: String,
    /// Answers given.
    pub attempts: u64,
    /// Time spent on iVALT; the person's typing is not in it.
    pub elapsed: Duration,
    /// Whether a denial wants a delay.
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
            cause: String::new(),
            steps: String::new(),
            attempts: 0,
            elapsed: Duration::ZERO,
            delay: Delay::TwoSeconds,
        }
    }
}

/// The end of a call, or of one attempt.
#[derive(Debug)]
struct Stop(Refusal, String);

/// iVALT's word for the token of this user's mobile, and where asked for the face. Made in one place, [`Call::validate`].
struct Verified;

/// Decides one call and leaves all there is to say about it in `report`. The person is told of a denial.
pub fn authenticate(
    words: &[&CStr],
    host: &mut dyn Host,
    surroundings: Surroundings,
    report: &mut Report,
) {
    report.decision =
        decide(words, host, surroundings, report).unwrap_or_else(|Stop(refusal, cause)| {
            report.cause = cause;
            Decision::Deny(refusal)
        });
    if !report.steps.is_empty() {
        report.cause = format!("{} ({})", report.cause, report.steps)
            .trim_start()
            .to_owned();
    }
    if let Decision::Deny(refusal) = report.decision {
        if let Some(sentence) = sentence(refusal, &report.code, &report.detail) {
            host.tell(&sentence);
        }
    }
}

fn decide(
    words: &[&CStr],
    host: &mut dyn Host,
    surroundings: Surroundings,
    report: &mut Report,
) -> Result<Decision, Stop> {
    report.delay = Arguments::delay(words);
    let arguments = Arguments::parse(words)?;
    let settings = Settings::load(&arguments.config, surroundings.trust)?;
    refuse_contradiction(&settings, &arguments)?;
    let client = Client::new(&settings.api, surroundings.trust, surroundings.kernel)?;
    let tokens = Tokens::new(arguments.first_pass, &settings, host.password()?);
    let mut call = Call {
        settings: &settings,
        trust: surroundings.trust,
        client,
        tokens,
        debug: arguments.debug,
        report,
    };
    let mut entry = call.find_user(host)?;
    if entry == Entry::Absent && settings.policy.unenrolled == Tolerance::Ignore {
        return Ok(Decision::Ignore(Tolerated::Unenrolled));
    }
    loop {
        let Stop(refusal, cause) = match call.attempt(host, &mut entry) {
            Ok(Verified) => return Ok(Decision::Allow),
            Err(stop) => stop,
        };
        if refusal == Refusal::Unavailable && settings.policy.unavailable == Tolerance::Ignore {
            call.report.cause = cause;
            return Ok(Decision::Ignore(Tolerated::Unavailable));
        }
        if !call.tokens.may_ask_again(refusal) {
            return Err(Stop(call.tokens.last_refusal(refusal), cause));
        }
        call.complain(refusal);
    }
}

/// What the steps of one call share.
struct Call<'a> {
    settings: &'a Settings,
    trust: Trust,
    client: Client,
    tokens: Tokens<'a>,
    debug: Debug,
    report: &'a mut Report,
}

impl Call<'_> {
    fn find_user(&mut self, host: &mut dyn Host) -> Result<Entry, Stop> {
        self.report.user = host.user()?;
        let (path, format) = (&self.settings.users_file, self.settings.token.mobile_format);
        let entry = users::look_up(path, self.trust, &self.report.user, format)?;
        self.report.mobile = match &entry {
            Entry::Enrolled(mobile) | Entry::Disabled(mobile) => mobile.masked(),
            Entry::Absent | Entry::Bad(_) => String::new(),
        };
        Ok(entry)
    }

    /// One try, from the question to iVALT's word. Users who cannot get in are asked like all others.
    fn attempt(&mut self, host: &mut dyn Host, entry: &mut Entry) -> Result<Verified, Stop> {
        if self.settings.api.preconnect && self.tokens.will_ask() && self.mobile(entry).is_ok() {
            self.client.connect_ahead();
        }
        let mut token = self.tokens.next(host)?;
        self.report.forget_last_answer();
        self.report.attempts += 1;
        let mut face = match self.settings.token.method {
            Method::Token => None,
            Method::TokenAndFace => Some(self.tokens.face(host)?),
        };
        self.report.attempts += u64::from(face.is_some());
        // The application may have changed the user while it asked.
        if host.user()? != self.report.user {
            // Should the look-up fail, nothing of the other user's is left.
            *entry = Entry::Absent;
            *entry = self.find_user(host)?;
        }
        let mobile = self.mobile(entry)?;
        self.tokens.guard(&mut token)?;
        face.as_mut()
            .map_or(Ok(()), |face| self.tokens.guard_face(face))?;
        self.client.check_roots()?;
        self.validate(mobile, token, face)
    }

    fn mobile<'e>(&self, entry: &'e Entry) -> Result<&'e Mobile, Stop> {
        match entry {
            Entry::Enrolled(mobile) => Ok(mobile),
            Entry::Disabled(_) => Err(Stop(Refusal::Disabled, String::new())),
            Entry::Bad(problem) => Err(Stop(Refusal::BadEntry, problem.to_string())),
            Entry::Absent => {
                let cause = format!("no entry in {}", self.settings.users_file.display());
                Err(Stop(Refusal::NotEnrolled, cause))
            }
        }
    }

    /// The mobile first: only that operation names the person, so a token that is somebody else's is refused before
    /// it is spent together with a face. The other follows at once, with the same auth token.
    fn validate(
        &mut self,
        mobile: &Mobile,
        token: Secret,
        face: Option<Secret>,
    ) -> Result<Verified, Stop> {
        let exchange = self
            .client
            .validate_global_rest_auth(mobile.as_str(), &token);
        let mut word = self.accepted(exchange);
        if let (Ok(()), Some(face)) = (&word, &face) {
            let exchange = self.client.validate_user(face, &token);
            word = self.accepted(exchange.without_number(mobile.as_str()));
        }
        self.tokens.sent.push(token);
        word.map(|()| Verified)
    }

    fn accepted(&mut self, exchange: Exchange) -> Result<(), Stop> {
        match self.report.note(exchange, self.debug) {
            Answer::Verified => Ok(()),
            Answer::Rejected(_) => Err(Stop(Refusal::TokenRejected, String::new())),
            Answer::ApiKeyRefused(_) => Err(Stop(Refusal::ApiKeyRefused, String::new())),
            Answer::Unusable(cause, _) => Err(Stop(Refusal::Unavailable, cause)),
        }
    }

    fn complain(&mut self, refusal: Refusal) {
        self.tokens.complaint = sentence(refusal, &self.report.code, &self.report.detail);
    }
}

impl Report {
    fn forget_last_answer(&mut self) {
        (self.http, self.code, self.detail) = (None, String::new(), String::new());
        self.steps.clear();
    }

    fn note(&mut self, exchange: Exchange, debug: Debug) -> Answer {
        self.elapsed += exchange.elapsed;
        self.http = exchange.http;
        if let Answer::Rejected(said) | Answer::ApiKeyRefused(said) | Answer::Unusable(_, said) =
            &exchange.answer
        {
            (self.code, self.detail) = (said.code.clone(), said.detail.clone());
        }
        if debug == Debug::On {
            self.steps = exchange.steps;
        }
        exchange.answer
    }
}

/// Where tokens come from, and which are worth sending.
struct Tokens<'a> {
    settings: &'a Settings,
    first_pass: FirstPass,
    /// `PAM_AUTHTOK`
    password: Option<Secret>,
    /// `PAM_AUTHTOK`, while it is to be the first token.
    first: Option<Secret>,
    prompts_left: u64,
    /// Why the last token did not do, for the next prompt: extra lines break applications with one prompt.
    complaint: Option<String>,
    sent: Vec<Secret>,
}

impl<'a> Tokens<'a> {
    fn new(first_pass: FirstPass, settings: &'a Settings, password: Option<Secret>) -> Self {
        let first = password
            .as_ref()
            .map(Secret::trimmed)
            .filter(|token| !token.is_empty());
        Self {
            settings,
            first_pass,
            password,
            first: first.filter(|_| first_pass != FirstPass::Never),
            prompts_left: if first_pass == FirstPass::Use {
                0
            } else {
                settings.token.attempts.get()
            },
            complaint: None,
            sent: Vec::new(),
        }
    }

    /// Whether the next answer comes from the person, who takes time.
    fn will_ask(&self) -> bool {
        self.prompts_left > 0 && self.first.is_none()
    }

    /// The next answer as it was given, never an empty one.
    fn next(&mut self, host: &mut dyn Host) -> Result<Secret, Stop> {
        if let Some(first) = self.first.take() {
            return Ok(first);
        }
        if self.prompts_left == 0 {
            return Err(Stop(
                Refusal::Unanswered,
                "use_first_pass, and no earlier module took a password".to_owned(),
            ));
        }
        self.prompts_left -= 1;
        let complaint = self
            .complaint
            .take()
            .map(|complaint| format!("{complaint} "))
            .unwrap_or_default();
        self.ask(host, &format!("{complaint}{}", self.settings.token.prompt))
    }

    /// The second answer of `token+face`.
    fn face(&self, host: &mut dyn Host) -> Result<Secret, Stop> {
        self.ask(host, FACE_PROMPT)
    }

    fn ask(&self, host: &mut dyn Host, prompt: &str) -> Result<Secret, Stop> {
        let echo = if self.settings.token.echo {
            Echo::On
        } else {
            Echo::Off
        };
        let answer = host.ask(prompt, echo)?;
        if answer.trimmed().is_empty() {
            return Err(Stop(Refusal::Unanswered, "empty answer".to_owned()));
        }
        Ok(answer)
    }

    /// Keeps from the network what is no token. It goes out, if at all, without the white space around it.
    fn guard(&self, answer: &mut Secret) -> Result<(), Stop> {
        let rules = &self.settings.token;
        let shape = Shape {
            length: rules.min_length.get_ref().get()..=rules.max_length.get(),
            charset: rules.charset,
        };
        self.keep_back(answer, &shape)?;
        if self.sent.contains(answer) {
            // A token may be good for one use: it is not sent twice, and iVALT has refused it already.
            return Err(Stop(
                Refusal::TokenRejected,
                "the same token again, not sent".to_owned(),
            ));
        }
        Ok(())
    }

    /// Settings speak of the auth token; what a face token looks like, nobody says.
    fn guard_face(&self, answer: &mut Secret) -> Result<(), Stop> {
        let shape = Shape {
            length: 1..=4096,
            charset: Charset::Visible,
        };
        self.keep_back(answer, &shape)
    }

    fn keep_back(&self, answer: &mut Secret, shape: &Shape) -> Result<(), Stop> {
        if is_dummy_of_sshd(answer.as_bytes()) {
            return Err(Stop(
                Refusal::DummyOfSshd,
                "sshd's dummy answer; it bars this login".to_owned(),
            ));
        }
        if self.is_password(answer) {
            return Err(Stop(Refusal::PasswordAsToken, String::new()));
        }
        *answer = answer.trimmed();
        shape.check(answer.as_bytes())
    }

    fn is_password(&self, answer: &Secret) -> bool {
        let same = |password: &Secret| password == answer || password.trimmed() == answer.trimmed();
        self.first_pass == FirstPass::Never && self.password.as_ref().is_some_and(same)
    }

    fn may_ask_again(&self, refusal: Refusal) -> bool {
        let again = [
            Refusal::MalformedToken,
            Refusal::DummyOfSshd,
            Refusal::TokenRejected,
        ];
        self.prompts_left > 0 && again.contains(&refusal)
    }

    /// `PAM_MAXTRIES` is for those who could have asked again.
    fn last_refusal(&self, refusal: Refusal) -> Refusal {
        let several = self.first_pass != FirstPass::Use && self.settings.token.attempts.get() > 1;
        match refusal {
            Refusal::TokenRejected if several => Refusal::TriesExhausted,
            other => other,
        }
    }
}

/// What a token is made of.
struct Shape {
    /// In bytes.
    length: RangeInclusive<u64>,
    charset: Charset,
}

impl Shape {
    fn check(&self, token: &[u8]) -> Result<(), Stop> {
        let (length, min, max) = (token.len() as u64, self.length.start(), self.length.end());
        let allowed = match self.charset {
            Charset::Digits => u8::is_ascii_digit,
            Charset::Alphanumeric => u8::is_ascii_alphanumeric,
            Charset::Visible => u8::is_ascii_graphic,
        };
        if length < *min {
            return Err(malformed(&format!("shorter than {min} bytes")));
        }
        if length > *max {
            return Err(malformed(&format!("longer than {max} bytes")));
        }
        if token.iter().all(allowed) {
            Ok(())
        } else {
            Err(malformed("characters outside token.charset"))
        }
    }
}

/// What sshd answers for a login it bars: this text, as often as the real answer was long
/// (OpenSSH `auth-pam.c`, `fake_password`).
fn is_dummy_of_sshd(answer: &[u8]) -> bool {
    const DUMMY: &[u8] = b"\x08\n\r\x7fINCORRECT";
    !answer.is_empty()
        && answer
            .iter()
            .zip(DUMMY.iter().cycle())
            .all(|(given, dummy)| given == dummy)
}

/// Two proofs cannot come from the one password that an earlier module took.
fn refuse_contradiction(settings: &Settings, arguments: &Arguments) -> Result<(), Stop> {
    match (settings.token.method, arguments.first_pass) {
        (Method::TokenAndFace, FirstPass::Use) => {
            let what =
                "token.method: \"token+face\" needs two answers, and use_first_pass never asks";
            let problem = Problem::new(ProblemKind::Invalid, what).in_file(&arguments.config);
            Err(problem.fix("use try_first_pass").into())
        }
        (Method::Token | Method::TokenAndFace, _) => Ok(()),
    }
}

fn misconfigured(what: String) -> Stop {
    Stop(Refusal::Misconfigured, what)
}

fn malformed(what: &str) -> Stop {
    Stop(Refusal::MalformedToken, what.to_owned())
}

impl From<BadArgument> for Stop {
    fn from(bad: BadArgument) -> Self {
        misconfigured(bad.to_string())
    }
}

impl From<Problem> for Stop {
    fn from(problem: Problem) -> Self {
        misconfigured(problem.to_string())
    }
}

impl From<NoAnswer> for Stop {
    fn from(NoAnswer: NoAnswer) -> Self {
        Self(
            Refusal::Unanswered,
            "no answer from the conversation".to_owned(),
        )
    }
}

impl From<HostError> for Stop {
    fn from(error: HostError) -> Self {
        match error {
            HostError::NoAnswer => NoAnswer.into(),
            HostError::Broken(what) => Self(Refusal::Internal, what.to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::CString;

    /// A handle from which nothing can be had.
    struct Broken;

    impl Conversation for Broken {
        fn ask(&mut self, _: &str, _: Echo) -> Result<Secret, NoAnswer> {
            panic!("nobody is asked through a broken handle")
        }

        fn tell(&mut self, _: &str) {}
    }

    impl Host for Broken {
        fn user(&mut self) -> Result<Vec<u8>, HostError> {
            Err(HostError::Broken("no user"))
        }

        fn password(&mut self) -> Result<Option<Secret>, HostError> {
            Err(HostError::Broken("no password"))
        }
    }

    #[test]
    fn a_call_begins_as_a_failure_and_a_broken_handle_leaves_it_there() {
        assert_eq!(
            Report::default().decision,
            Decision::Deny(Refusal::Internal)
        );
        let path = std::env::temp_dir().join(format!("pam_ivalt-broken-{}", std::process::id()));
        let ca = path.with_extension("pem");
        let certificate = rcgen::generate_simple_self_signed(["x".to_owned()])
            .unwrap()
            .cert
            .pem();
        std::fs::write(&ca, certificate).unwrap();
        std::fs::write(
            &path,
            format!("[api]\nkey = \"k\"\nca_file = \"{}\"\n", ca.display()),
        )
        .unwrap();
        for file in [&path, &ca] {
            let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
            std::fs::set_permissions(file, mode).unwrap();
        }
        let word = CString::new(format!("config={}", path.display())).unwrap();
        let mut report = Report::default();
        let surroundings = Surroundings {
            trust: Trust {
                effective_uid: std::os::unix::fs::MetadataExt::uid(&path.metadata().unwrap()),
            },
            kernel: Kernel {
                look_up: |_, _, _| panic!("no name is looked up for a broken handle"),
                spawn: |_| panic!("no thread is started for a broken handle"),
                hung_up: |_| panic!("no connection is made for a broken handle"),
            },
        };
        authenticate(&[&word], &mut Broken, surroundings, &mut report);
        assert_eq!(
            (report.decision, report.cause.as_str()),
            (Decision::Deny(Refusal::Internal), "no password")
        );
        [path, ca]
            .iter()
            .for_each(|file| std::fs::remove_file(file).unwrap());
    }
}
