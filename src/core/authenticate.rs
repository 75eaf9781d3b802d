//! One call from its beginning to its [`Decision`]: the code to read first.

use std::ffi::CStr;
use std::io;
use std::path::Path;
use std::time::SystemTime;

use crate::api::{Answer, Client, Exchange};
use crate::arguments::{Arguments, Debug, FirstPass};
use crate::conversation::{Application, Unshown, sentence};
use crate::decision::{Decision, Proof, Refusal, Tolerated};
use crate::denial::Denial;
use crate::log_line::Origin;
use crate::only_after::has_proof;
use crate::problem::{Problem, reason};
use crate::push::{Answered, PushLogin, is_meant_by_enter};
use crate::recovery::code::{self, Code};
use crate::recovery::store::Use;
use crate::recovery::{NotTaken, take};
use crate::report::Report;
use crate::secret::Secret;
use crate::settings::{Method, Settings, Tolerance};
use crate::sys::{Account, Platform};
use crate::token::{Tokens, Typed};
use crate::trusted_file::Trust;
use crate::users::{Entry, Mobile};

/// What a call needs of the process it runs in.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// Whose files are trusted.
    pub trust: Trust,
    /// What a connection needs.
    pub platform: Platform,
    /// The account that the password database has for a name.
    pub account: fn(&[u8]) -> io::Result<Option<Account>>,
    /// Only for logins: recovery codes are taken, requests go to phones, and this is whom the records of both name.
    /// `None` where codes are refused unused and nothing is sent to a phone.
    pub login: Option<&'a Origin>,
    /// Where the locks of the phones are, [`crate::push::DIRECTORY`].
    pub push_directory: &'a Path,
}

/// Decides one call and leaves all there is to say about it in `report`. The user is told of a denial.
pub fn authenticate(
    words: &[&CStr],
    application: &mut dyn Application,
    context: Context,
    report: &mut Report,
) {
    let unshown = application.take_unshown();
    let decision = decide(words, application, context, unshown, report);
    conclude(decision, application, report);
}

pub(crate) fn conclude(
    decision: Result<Decision, Denial>,
    application: &mut dyn Application,
    report: &mut Report,
) {
    let decision = decision.unwrap_or_else(|Denial(refusal, cause)| {
        report.cause = cause;
        Decision::Deny(refusal)
    });
    report.decide(decision);
    report.append_steps_to_cause();
    if let Decision::Deny(refusal) = report.decision {
        if let Some(sentence) = sentence(refusal, &report.code, &report.detail) {
            application.tell(&sentence);
        }
    }
}

fn decide(
    words: &[&CStr],
    application: &mut dyn Application,
    context: Context,
    unshown: Option<Unshown>,
    report: &mut Report,
) -> Result<Decision, Denial> {
    report.delay = Arguments::delay(words);
    let arguments = Arguments::parse(words)?;
    let settings = Settings::load(&arguments.config, context.trust)?;
    refuse_contradiction(&settings, &arguments)?;
    let client = Client::new(&settings.api, context.trust, context.platform)?;
    let push = is_meant_by_enter(&settings, arguments.first_pass, context.login);
    let password = application.password()?;
    let tokens = Tokens::new(arguments.first_pass, &settings, push, password);
    let call = Call {
        settings: &settings,
        context,
        client,
        tokens,
        debug: arguments.debug,
        report,
    };
    call.decide(application, unshown)
}

/// Two proofs cannot come from the one password that an earlier module took.
fn refuse_contradiction(settings: &Settings, arguments: &Arguments) -> Result<(), Problem> {
    match (settings.token.method, arguments.first_pass) {
        (Method::TokenAndFace, FirstPass::Use) => {
            let what =
                "token.method: \"token+face\" needs two answers, and use_first_pass never asks";
            let problem = Problem::invalid(what).in_file(&arguments.config);
            Err(problem.fix("use try_first_pass"))
        }
        (Method::Token | Method::TokenAndFace, _) => Ok(()),
    }
}

/// What the steps of one call share.
pub(crate) struct Call<'a> {
    pub settings: &'a Settings,
    pub context: Context<'a>,
    pub client: Client,
    pub tokens: Tokens<'a>,
    pub debug: Debug,
    pub report: &'a mut Report,
}

impl Call<'_> {
    /// From the user's name on.
    pub fn decide(
        mut self,
        application: &mut dyn Application,
        unshown: Option<Unshown>,
    ) -> Result<Decision, Denial> {
        let mut entry = self.find_user(application)?;
        self.begin_with(unshown);
        if entry == Entry::Absent && self.settings.policy.unenrolled == Tolerance::Ignore {
            if let Some(bad) = self.entry_by_another_spelling()? {
                entry = bad;
            }
        }
        match self.not_asked(&entry) {
            Some(tolerated) => Ok(Decision::Ignore(tolerated)),
            None => self.attempts(application, entry),
        }
    }

    /// Why a policy leaves this user to the other modules, if one does. The network is the cause in the log.
    fn not_asked(&mut self, entry: &Entry) -> Option<Tolerated> {
        let policy = &self.settings.policy;
        let unenrolled = match entry {
            Entry::Enrolled(_) => None,
            Entry::Absent if policy.unenrolled == Tolerance::Ignore => Some(Tolerated::Unenrolled),
            Entry::Absent | Entry::Disabled(_) | Entry::Bad(_) => return None,
        };
        let origin = self.context.login;
        match origin.and_then(|origin| policy.exempt_networks.holding(&origin.rhost)) {
            Some(network) => {
                self.report.cause = network.to_string();
                Some(Tolerated::ExemptNetwork)
            }
            None => unenrolled,
        }
    }

    /// The entry of the user of now.
    pub fn find_user(&mut self, application: &mut dyn Application) -> Result<Entry, Denial> {
        self.report.user = application.user()?;
        // Should the look-up fail, nothing of another user's is left.
        self.report.mobile.clear();
        let (users, format) = (self.settings.users(), self.settings.token.mobile_format);
        let found = users.look_up(self.context.trust, &self.report.user, format)?;
        let entry = found.entry;
        self.report.mobile = match &entry {
            Entry::Enrolled(mobile) | Entry::Disabled(mobile) => mobile.masked(),
            Entry::Absent | Entry::Bad(_) => String::new(),
        };
        Ok(entry)
    }

    /// The first prompt begins with what this user, and nobody else, was to be told.
    fn begin_with(&mut self, unshown: Option<Unshown>) {
        let unshown = unshown.filter(|unshown| unshown.user == self.report.user);
        self.tokens
            .begin_prompt_with(unshown.map(|unshown| unshown.sentence));
    }

    /// Before a policy ignores those without an entry: the same account may be enrolled by a name that is spelled
    /// otherwise, here or in the password database.
    fn entry_by_another_spelling(&self) -> Result<Option<Entry>, Denial> {
        let user = &self.report.user;
        let own = (self.context.account)(user).map_err(|error| {
            let cause = format!("password database: {}", reason(&error));
            Denial(Refusal::Misconfigured, cause)
        })?;
        let own = own.as_ref().map_or(user, |account| &account.name);
        let names = [user, own].map(Vec::as_slice);
        let users = self.settings.users();
        let found = users.other_spelling(self.context.trust, &names)?;
        Ok(found.map(|(spelling, path)| {
            let what = format!(
                "there is an entry for \"{spelling}\", and names are compared byte for byte"
            );
            let fix = "log in by that name; if this one is another account, enrol it: ivaltctl users add NAME MOBILE";
            Entry::Bad(Problem::invalid(what).in_file(path).fix(fix))
        }))
    }

    /// Told when the answer is there, so that nobody hears from the time to the prompt who is enrolled.
    fn not_enrolled(&self) -> Denial {
        let users = self.settings.users();
        let mut cause = format!("no entry in {users}");
        let names = [self.report.user.as_slice()];
        if let Ok(Some((spelling, _))) = users.other_spelling(self.context.trust, &names) {
            cause +=
                &format!("; there is one for \"{spelling}\", and names are compared byte for byte");
        }
        Denial(Refusal::NotEnrolled, cause)
    }

    /// Tries until one ends the call.
    fn attempts(
        &mut self,
        application: &mut dyn Application,
        mut entry: Entry,
    ) -> Result<Decision, Denial> {
        loop {
            let Denial(refusal, cause) = match self.attempt(application, &mut entry) {
                Ok(proof) => return Ok(Decision::Allow(proof)),
                Err(denial) => self.with_reason_for_root(denial, application),
            };
            let ignored = self.settings.policy.unavailable == Tolerance::Ignore;
            if refusal == Refusal::Unavailable && ignored {
                self.report.cause = cause;
                return Ok(Decision::Ignore(Tolerated::Unavailable));
            }
            if !self.tokens.may_ask_again(refusal) {
                return Err(Denial(self.tokens.last_refusal(refusal), cause));
            }
            self.explain_in_prompt(refusal);
        }
    }

    /// After a key sshd sends its dummy only for root: everybody else whom it denies does not get past the key.
    fn with_reason_for_root(&self, denial: Denial, application: &mut dyn Application) -> Denial {
        let Denial(Refusal::DummyOfSshd, cause) = denial else {
            return denial;
        };
        let is_root = || {
            let account = (self.context.account)(&self.report.user).ok().flatten();
            account.is_some_and(|account| account.uid == 0)
        };
        if has_proof(&application.ssh_auth_info()) && is_root() {
            return Denial(
                Refusal::RootBarredBySshd,
                format!("{cause} by PermitRootLogin"),
            );
        }
        Denial(Refusal::DummyOfSshd, cause)
    }

    /// One try, from the question to iVALT's answer. Users who cannot get in are asked like all others.
    fn attempt(
        &mut self,
        application: &mut dyn Application,
        entry: &mut Entry,
    ) -> Result<Proof, Denial> {
        if self.settings.api.preconnect && self.tokens.will_ask() && self.mobile(entry).is_ok() {
            self.client.preconnect();
        }
        let typed = self.tokens.next(application)?;
        self.report.steps.clear();
        self.report.attempts += 1;
        let token = match typed {
            Typed::Text(token) => token,
            Typed::Enter => match PushLogin::begin(self, application, entry)?.wait(application)? {
                Answered::Approved(proof) => return Ok(proof),
                Answered::Typed(token) => {
                    *entry = self.find_user(application)?;
                    token
                }
            },
        };
        self.judge(token, application, entry)
    }

    /// An answer that is no request for the phone.
    fn judge(
        &mut self,
        mut token: Secret,
        application: &mut dyn Application,
        entry: &mut Entry,
    ) -> Result<Proof, Denial> {
        let code = self.tokens.read_code(&token);
        let mut face = match self.settings.token.method {
            Method::TokenAndFace if code == code::Answer::Other => {
                Some(self.tokens.face(application)?)
            }
            Method::Token | Method::TokenAndFace => None,
        };
        self.report.attempts += u64::from(face.is_some());
        // The application may have changed the user while it asked.
        if application.user()? != self.report.user {
            *entry = self.find_user(application)?;
        }
        if *entry == Entry::Absent {
            return Err(self.not_enrolled());
        }
        let mobile = self.mobile(entry)?;
        self.tokens.check_answer(&mut token, &self.report.user)?;
        match code {
            code::Answer::Code(code) => return self.take(&code, application),
            code::Answer::Mistyped(why) => {
                return Err(Denial(Refusal::CodeMistyped, why.to_owned()));
            }
            code::Answer::Other => {}
        }
        self.tokens.check_auth_token(&token)?;
        if let Some(face) = &mut face {
            self.tokens.check_answer(face, &self.report.user)?;
            self.tokens.check_face_token(face)?;
        }
        self.client.check_roots()?;
        self.validate(mobile, token, face)
    }

    /// Uses a recovery code up. Whatever fails, it never ends as `Unavailable`, which a policy may tolerate.
    fn take(&mut self, code: &Code, application: &mut dyn Application) -> Result<Proof, Denial> {
        self.report.code_detail.clear();
        // A prompt may be kept open for days, and there is no iVALT to refuse those who were disabled meanwhile.
        let entry = self.find_user(application)?;
        if entry == Entry::Absent {
            return Err(self.not_enrolled());
        }
        self.mobile(&entry)?;
        let Some(origin) = self.context.login else {
            let cause = "recovery codes are taken in logins alone; not spent".to_owned();
            return Err(Denial(Refusal::CodeNotTakenHere, cause));
        };
        let (directory, user) = (&self.settings.recovery.directory, &self.report.user);
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let now = now.map_or(u64::MAX, |since| since.as_secs());
        let taken = take(directory, self.context.trust, user, code, now).inspect_err(|not| {
            if let NotTaken::Expired(number) = not {
                self.report.code_detail = format!("code {number}");
            }
        })?;
        taken.record(&Use::new(taken.number, now, &origin.service, &origin.rhost));
        let left = taken.left.map(|left| format!(", {left} left"));
        let left = left.unwrap_or_default();
        self.report.code_detail = format!("code {}{left}", taken.number);
        application.inform(&format!("Recovery code {} accepted{left}.", taken.number));
        Ok(taken.proof)
    }

    /// The mobile of a user whose phone may be sent a request.
    pub fn reachable(&self, entry: &Entry) -> Result<Mobile, Denial> {
        if *entry == Entry::Absent {
            return Err(self.not_enrolled());
        }
        let mobile = self.mobile(entry)?;
        self.tokens.check_password()?;
        Ok(mobile.clone())
    }

    fn mobile<'e>(&self, entry: &'e Entry) -> Result<&'e Mobile, Denial> {
        match entry {
            Entry::Enrolled(mobile) => Ok(mobile),
            Entry::Disabled(_) => Err(Refusal::Disabled.into()),
            Entry::Bad(problem) => Err(Denial(Refusal::BadEntry, problem.to_string())),
            Entry::Absent => Err(Refusal::NotEnrolled.into()),
        }
    }

    /// The mobile first: only that operation names the user, so another user's token is refused before
    /// it is spent together with a face. The other follows at once, with the same auth token.
    fn validate(
        &mut self,
        mobile: &Mobile,
        token: Secret,
        face: Option<Secret>,
    ) -> Result<Proof, Denial> {
        let exchange = self
            .client
            .validate_global_rest_auth(mobile.as_str(), &token);
        let mut result = self.accepted(exchange);
        if let (Ok(()), Some(face)) = (&result, &face) {
            let mobile = Some(mobile.as_str());
            let exchange = self.client.validate_user(face, &token, mobile);
            result = self.accepted(exchange);
        }
        self.tokens.mark_sent(token);
        result.map(|()| Proof::of_validated_token())
    }

    fn accepted(&mut self, exchange: Exchange) -> Result<(), Denial> {
        match self.report.record(exchange, self.debug) {
            Answer::Verified => Ok(()),
            Answer::Rejected(_) => Err(Refusal::TokenRejected.into()),
            Answer::ApiKeyRefused(_) => Err(Refusal::ApiKeyRefused.into()),
            Answer::Unusable(cause, _) => Err(Denial(Refusal::Unavailable, cause)),
            Answer::LocalFault(cause) => Err(Denial(Refusal::Misconfigured, cause)),
        }
    }

    fn explain_in_prompt(&mut self, refusal: Refusal) {
        let sentence = sentence(refusal, &self.report.code, &self.report.detail);
        self.tokens.begin_prompt_with(sentence);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conversation::{ApplicationError, Conversation, Echo, NoAnswer};
    use std::ffi::CString;

    /// A handle from which nothing can be had.
    struct Broken;

    impl Conversation for Broken {
        fn ask(&mut self, _: &str, _: Echo) -> Result<Secret, NoAnswer> {
            panic!("nobody is asked through an invalid handle")
        }

        fn tell(&mut self, _: &str) {}
    }

    impl Application for Broken {
        fn user(&mut self) -> Result<Vec<u8>, ApplicationError> {
            Err(ApplicationError::Broken("no user"))
        }

        fn password(&mut self) -> Result<Option<Secret>, ApplicationError> {
            Err(ApplicationError::Broken("no password"))
        }
    }

    #[test]
    fn a_call_begins_as_a_failure_and_an_invalid_handle_leaves_it_there() {
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
        let context = Context {
            trust: Trust {
                effective_uid: std::os::unix::fs::MetadataExt::uid(&path.metadata().unwrap()),
            },
            platform: Platform {
                look_up: |_, _, _| panic!("no name is looked up for an invalid handle"),
                spawn: |_| panic!("no thread is started for an invalid handle"),
                pause: |_| panic!("nobody waits for an invalid handle"),
                boot_clock: || panic!("nothing is counted for an invalid handle"),
            },
            account: |_| panic!("no name is looked up for an invalid handle"),
            login: None,
            push_directory: Path::new("/nonexistent"),
        };
        authenticate(&[&word], &mut Broken, context, &mut report);
        assert_eq!(
            (report.decision, report.cause.as_str()),
            (Decision::Deny(Refusal::Internal), "no password")
        );
        [path, ca]
            .iter()
            .for_each(|file| std::fs::remove_file(file).unwrap());
    }
}
