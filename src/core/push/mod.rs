//! Logins that are approved on the phone: the steps of one, from the Enter at the first prompt to its end.
//!
//! iVALT ties no approval to a login. So one login at a time waits for a phone; nothing counts that iVALT said before the
//! request; and a request that was not answered holds the next ones back for as long as it may live.

#[cfg(test)]
mod model;
mod phone;
mod record;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod two_attackers;

use std::time::Duration;

pub use phone::{DIRECTORY, Ending, Held, NotLocked, Phone};
pub use record::{Hold, Kind, Record};

use crate::api::{Client, PushAnswer, PushExchange};
use crate::arguments::FirstPass;
use crate::authenticate::Call;
use crate::conversation::{APPROVE_PROMPT, Application, NOT_YET};
use crate::decision::{Proof, Refusal};
use crate::denial::Denial;
use crate::log_line::Origin;
use crate::secret::Secret;
use crate::settings::{Dialect, Settings};
use crate::token::Typed;
use crate::users::{Entry, Mobile};

/// How often a user may press Enter at the second prompt.
const ENTERS: usize = 3;
/// Before each poll that follows an Enter: at 0, 3 and 8 s.
const PAUSES: [Duration; 3] = [
    Duration::ZERO,
    Duration::from_secs(3),
    Duration::from_secs(5),
];

/// Whether an empty answer at the first prompt asks for a request on the phone.
pub(crate) fn is_meant_by_enter(
    settings: &Settings,
    first_pass: FirstPass,
    login: Option<&Origin>,
) -> bool {
    let services = &settings.push.services;
    let is_listed = |login: &Origin| {
        services
            .iter()
            .any(|service| service.as_bytes() == login.service)
    };
    settings.push.enabled && first_pass == FirstPass::Never && login.is_some_and(is_listed)
}

/// What comes of the second prompt.
pub(crate) enum Answered {
    /// The request was approved.
    Approved(Proof),
    /// Something else was typed, to be judged as at the first prompt.
    Typed(Secret),
}

/// One login while it waits for the phone.
pub(crate) struct PushLogin<'a, 'c> {
    call: &'a mut Call<'c>,
    /// Or why nothing was sent. Those for whom nothing is sent see the same prompts and wait as long.
    request: Result<Request, Denial>,
    /// When it was sent, by the boot clock.
    since: Duration,
}

impl<'a, 'c> PushLogin<'a, 'c> {
    /// Sends a request to the phone of the user, as `PAM_USER` and `users.toml` say now.
    ///
    /// # Errors
    /// The login ends before the second prompt.
    pub fn begin(
        call: &'a mut Call<'c>,
        application: &mut dyn Application,
        entry: &mut Entry,
    ) -> Result<Self, Denial> {
        *entry = call.find_user(application)?;
        let since = (call.context.platform.boot_clock)();
        let request = match call.reachable(entry) {
            Ok(mobile) => Ok(Request::send(call, mobile)?),
            Err(denial) => Err(denial),
        };
        Ok(Self {
            call,
            since: request.as_ref().map_or(since, |request| request.since),
            request,
        })
    }

    /// The second prompt, until the request is approved, refused or too old, or something else is typed.
    ///
    /// # Errors
    /// Not approved.
    pub fn wait(mut self, application: &mut dyn Application) -> Result<Answered, Denial> {
        let mut prompt = APPROVE_PROMPT.to_owned();
        for _ in 0..ENTERS {
            let typed = self.call.tokens.ask(application, &prompt)?;
            self.call.report.attempts += 1;
            if let Typed::Text(answer) = typed {
                return Ok(Answered::Typed(answer));
            }
            self.look_up_again(application)?;
            if let Some(proof) = self.poll_after_enter()? {
                return Ok(Answered::Approved(proof));
            }
            if self.left().is_zero() {
                break;
            }
            prompt = format!("{NOT_YET}{APPROVE_PROMPT}");
        }
        Err(self.unanswered())
    }

    /// The application may have changed the user while it asked, and the administrator the entry.
    fn look_up_again(&mut self, application: &mut dyn Application) -> Result<(), Denial> {
        let entry = self.call.find_user(application)?;
        match (&mut self.request, self.call.reachable(&entry)) {
            (Ok(request), Ok(mobile))
                if request.mobile == mobile && request.user == self.call.report.user =>
            {
                Ok(())
            }
            (Ok(_), Ok(_)) => Err(Denial(
                Refusal::PushStale,
                "user or mobile changed after the request".to_owned(),
            )),
            (Ok(_), Err(denial)) => Err(denial),
            (Err(before), Err(denial)) => {
                *before = denial;
                Ok(())
            }
            (Err(_), Ok(_)) => Err(Denial(
                Refusal::PushStale,
                "the user can be asked by now; no request was sent".to_owned(),
            )),
        }
    }

    /// No poll after `wait_seconds`: the later, the likelier is an approval of something else.
    fn poll_after_enter(&mut self) -> Result<Option<Proof>, Denial> {
        for pause in PAUSES {
            if self.left() <= pause {
                return Ok(None);
            }
            (self.call.context.platform.pause)(pause);
            if let Ok(request) = &mut self.request {
                if let Some(proof) = request.poll(self.call)? {
                    return Ok(Some(proof));
                }
            }
        }
        Ok(None)
    }

    fn left(&self) -> Duration {
        let wait = Duration::from_secs(self.call.settings.push.wait.get());
        let now = (self.call.context.platform.boot_clock)();
        wait.saturating_sub(now.saturating_sub(self.since))
    }

    fn unanswered(self) -> Denial {
        match self.request {
            Ok(_) => Refusal::PushUnanswered.into(),
            Err(denial) => {
                self.call.tokens.ask_no_more();
                denial
            }
        }
    }
}

type Operation = fn(&mut Client, &str, Dialect, &str) -> PushExchange;

/// What is on the phone. Dropped before it has ended, it counts as unanswered.
struct Request {
    user: Vec<u8>,
    mobile: Mobile,
    phone: Phone,
    since: Duration,
}

impl Request {
    /// Poll, request, poll: five minutes are a request's life, and iVALT does not say whose an approval is.
    fn send(call: &mut Call, mobile: Mobile) -> Result<Self, Denial> {
        let context = call.context;
        let boot_clock = context.platform.boot_clock;
        call.client.check_roots()?;
        let phone = Phone::lock(context.push_directory, &mobile, context.trust, boot_clock)?;
        let mut request = Self {
            user: call.report.user.clone(),
            mobile,
            phone,
            since: boot_clock(),
        };
        request.refuse_if_held(call)?;
        request.refuse_earlier_approval(call)?;
        request.start(call)?;
        request.require_pending(call)?;
        Ok(request)
    }

    fn refuse_if_held(&mut self, call: &Call) -> Result<(), Denial> {
        match self.phone.held(call.settings.push.max_unanswered.get()) {
            Some(held) => Err(Denial(Refusal::PushLimited, held.to_string())),
            None => Ok(()),
        }
    }

    fn refuse_earlier_approval(&mut self, call: &mut Call) -> Result<(), Denial> {
        match self.ask(call, Client::poll_push) {
            PushAnswer::Pending(_) | PushAnswer::Refused(_) => Ok(()),
            PushAnswer::Approved | PushAnswer::ApprovedByAnother => {
                let cause = "iVALT says approved before the request was sent".to_owned();
                Err(Denial(Refusal::PushStale, cause))
            }
            other => Err(self.failed(other)),
        }
    }

    fn start(&mut self, call: &mut Call) -> Result<(), Denial> {
        let rhost = call.context.login.map(|login| login.rhost.as_slice());
        self.phone.request_leaves(rhost.unwrap_or_default())?;
        self.since = (call.context.platform.boot_clock)();
        match self.ask(call, Client::start_push) {
            PushAnswer::Sent => Ok(()),
            PushAnswer::Refused(_) => Err(self.denied()),
            other => Err(self.failed(other)),
        }
    }

    fn require_pending(&mut self, call: &mut Call) -> Result<(), Denial> {
        match self.ask(call, Client::poll_push) {
            PushAnswer::Pending(_) => Ok(()),
            PushAnswer::Approved | PushAnswer::ApprovedByAnother | PushAnswer::Refused(_) => {
                self.phone.end(Ending::Settled);
                let cause = "iVALT did not say pending after the request was sent".to_owned();
                Err(Denial(Refusal::PushStale, cause))
            }
            other => Err(self.failed(other)),
        }
    }

    /// The only place where an approval becomes a proof: iVALT has said pending since the request was sent.
    fn poll(&mut self, call: &mut Call) -> Result<Option<Proof>, Denial> {
        match self.ask(call, Client::poll_push) {
            PushAnswer::Pending(_) => Ok(None),
            PushAnswer::Approved if self.is_too_late(call) => Ok(None),
            PushAnswer::Approved if !self.phone.is_in_place() => {
                let cause = "the lock of this phone was removed while the login waited";
                Err(Denial(Refusal::PushStale, cause.to_owned()))
            }
            PushAnswer::Approved => {
                self.phone.end(Ending::Settled);
                Ok(Some(Proof::of_push_approval()))
            }
            PushAnswer::Refused(_) => Err(self.denied()),
            other => Err(self.failed(other)),
        }
    }

    /// Whether the last poll cannot have begun in time: the caller of su may stop its process before a poll, and let it
    /// go on when the owner approves something else.
    fn is_too_late(&self, call: &Call) -> bool {
        let wait = Duration::from_secs(call.settings.push.wait.get());
        let waited = (call.context.platform.boot_clock)().saturating_sub(self.since);
        waited > wait + call.settings.api.timeout
    }

    /// Settings in which push is enabled have its URL.
    fn ask(&self, call: &mut Call, operation: Operation) -> PushAnswer {
        let push = &call.settings.push;
        let url = push.url.as_deref().unwrap_or_default();
        let exchange = operation(&mut call.client, url, push.dialect, self.mobile.as_str());
        call.report.record_push(exchange, call.debug)
    }

    fn denied(&mut self) -> Denial {
        self.phone.end(Ending::Denied);
        Refusal::PushDenied.into()
    }

    /// Anything else. A request that has left stays unanswered, unless iVALT does not know this host.
    fn failed(&mut self, answer: PushAnswer) -> Denial {
        match answer {
            PushAnswer::ApiKeyRefused(_) => {
                self.phone.end(Ending::Settled);
                Refusal::ApiKeyRefused.into()
            }
            PushAnswer::Unavailable(cause, _) => Denial(Refusal::PushUnavailable, cause),
            PushAnswer::LocalFault(cause) => Denial(Refusal::Misconfigured, cause),
            PushAnswer::Sent
            | PushAnswer::Pending(_)
            | PushAnswer::Approved
            | PushAnswer::ApprovedByAnother
            | PushAnswer::Refused(_) => Denial(
                Refusal::PushUnavailable,
                "answer: approved, and not with this user's mobile in data.details".to_owned(),
            ),
        }
    }
}
