//! What one call decides, and why. No input, no output, no PAM numbers.

/// The end of every call. A call starts as a failure; `Allow` and each reason to ignore are made in one place each, all in
/// `authenticate`. Each kind of [`Proof`] is made in one place, too.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// The user has proved to be who they say they are.
    Allow(Proof),
    /// The administrator's policy says that this case is not ours to judge.
    Ignore(Tolerated),
    /// Everything else.
    Deny(Refusal),
}

/// That a user is who they say they are. No other package can make one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Proof(Kind);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Token,
    RecoveryCode,
    PushApproval,
}

impl Proof {
    /// Of a token, and where asked for a face, that iVALT has just accepted for this user's mobile.
    pub(crate) fn of_validated_token() -> Self {
        Self(Kind::Token)
    }

    /// Of an unused recovery code of this user, which nobody can use any more.
    pub(crate) fn of_recovery_code() -> Self {
        Self(Kind::RecoveryCode)
    }

    /// Of an approval on this user's phone, after a request of this login alone was pending there.
    pub(crate) fn of_push_approval() -> Self {
        Self(Kind::PushApproval)
    }

    /// Whether it is one that iVALT knows nothing of.
    #[must_use]
    pub fn is_recovery_code(self) -> bool {
        self.0 == Kind::RecoveryCode
    }
}

/// The cases a policy may tolerate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tolerated {
    /// The user has no entry at all.
    Unenrolled,
    /// iVALT could not be asked.
    Unavailable,
    /// `PAM_RHOST` is in one of the networks that are exempt.
    ExemptNetwork,
}

/// Why a call is denied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// No entry for this user.
    NotEnrolled,
    /// The entry says `enabled = false`.
    Disabled,
    /// The entry is there and cannot be used.
    BadEntry,
    /// Nobody answered.
    Unanswered,
    /// The answer cannot be a token.
    MalformedToken,
    /// The answer is sshd's own, for a login that it has already denied; the same reason in the log, other words for
    /// the user.
    DummyOfSshd,
    /// The same for root whose key, ticket or host sshd has accepted: a stranger does not get that far, so that root is told
    /// why.
    RootBarredBySshd,
    /// The answer is the password that an earlier module took.
    PasswordAsToken,
    /// iVALT refused the token.
    TokenRejected,
    /// iVALT refused the last of several tokens; the same reason in the log, another PAM code.
    TriesExhausted,
    /// Meant as a recovery code, and typed wrong; the same reason in the log as for what cannot be a token.
    CodeMistyped,
    /// A recovery code, and not an unused one of this user.
    CodeRefused,
    /// The same of the last of several answers; the same reason in the log, another PAM code.
    CodeTriesExhausted,
    /// A recovery code where none are taken, which leaves it unused; the same reason in the log.
    CodeNotTakenHere,
    /// The request was refused on the phone, or by place or hours.
    PushDenied,
    /// Nobody approved the request in time.
    PushUnanswered,
    /// Another login on this host waits for an answer on this phone.
    PushBusy,
    /// Requests to this phone are held back: earlier ones were not approved.
    PushLimited,
    /// An approval that cannot be of this login's request.
    PushStale,
    /// As `Unavailable`, of a request to the phone: no policy tolerates it; the same reason in the log.
    PushUnavailable,
    /// iVALT refused this host's API key.
    ApiKeyRefused,
    /// iVALT could not be asked, or did not answer in its own format.
    Unavailable,
    /// Arguments, settings or files do not allow a judgement.
    Misconfigured,
    /// A fault of ours or of the PAM handle.
    Internal,
}

/// Every decision there is, for the tests that hold documents and code together.
#[cfg(feature = "testing")]
pub const DECISIONS: [Decision; 30] = [
    Decision::Allow(Proof(Kind::Token)),
    Decision::Allow(Proof(Kind::RecoveryCode)),
    Decision::Allow(Proof(Kind::PushApproval)),
    Decision::Ignore(Tolerated::Unenrolled),
    Decision::Ignore(Tolerated::Unavailable),
    Decision::Ignore(Tolerated::ExemptNetwork),
    Decision::Deny(Refusal::NotEnrolled),
    Decision::Deny(Refusal::Disabled),
    Decision::Deny(Refusal::BadEntry),
    Decision::Deny(Refusal::Unanswered),
    Decision::Deny(Refusal::MalformedToken),
    Decision::Deny(Refusal::DummyOfSshd),
    Decision::Deny(Refusal::RootBarredBySshd),
    Decision::Deny(Refusal::PasswordAsToken),
    Decision::Deny(Refusal::TokenRejected),
    Decision::Deny(Refusal::TriesExhausted),
    Decision::Deny(Refusal::CodeMistyped),
    Decision::Deny(Refusal::CodeRefused),
    Decision::Deny(Refusal::CodeTriesExhausted),
    Decision::Deny(Refusal::CodeNotTakenHere),
    Decision::Deny(Refusal::PushDenied),
    Decision::Deny(Refusal::PushUnanswered),
    Decision::Deny(Refusal::PushBusy),
    Decision::Deny(Refusal::PushLimited),
    Decision::Deny(Refusal::PushStale),
    Decision::Deny(Refusal::PushUnavailable),
    Decision::Deny(Refusal::ApiKeyRefused),
    Decision::Deny(Refusal::Unavailable),
    Decision::Deny(Refusal::Misconfigured),
    Decision::Deny(Refusal::Internal),
];

impl Decision {
    /// The word after `outcome=` in the log.
    #[must_use]
    pub fn outcome(self) -> &'static str {
        match self {
            Self::Allow(_) => "allow",
            Self::Ignore(_) => "ignore",
            Self::Deny(_) => "deny",
        }
    }

    /// The word after `reason=` in the log.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Self::Allow(Proof(Kind::Token)) => "verified",
            Self::Allow(Proof(Kind::RecoveryCode)) => "recovery-code",
            Self::Allow(Proof(Kind::PushApproval)) => "push-approved",
            Self::Ignore(Tolerated::Unenrolled) => "unenrolled",
            Self::Ignore(Tolerated::Unavailable) => "unavailable",
            Self::Ignore(Tolerated::ExemptNetwork) => "exempt-network",
            Self::Deny(refusal) => refusal.reason(),
        }
    }

    /// Whether it is about a recovery code, of which iVALT has heard nothing.
    #[must_use]
    pub fn is_about_a_code(self) -> bool {
        match self {
            Self::Allow(proof) => proof.is_recovery_code(),
            Self::Ignore(_) => false,
            Self::Deny(refusal) => refusal.reason() == "recovery-code-refused",
        }
    }
}

impl Refusal {
    fn reason(self) -> &'static str {
        match self {
            Self::NotEnrolled => "not-enrolled",
            Self::Disabled => "disabled",
            Self::BadEntry => "bad-entry",
            Self::Unanswered => "unanswered",
            Self::MalformedToken
            | Self::DummyOfSshd
            | Self::RootBarredBySshd
            | Self::CodeMistyped => "malformed-token",
            Self::PasswordAsToken => "password-as-token",
            Self::TokenRejected | Self::TriesExhausted => "token-rejected",
            Self::CodeRefused | Self::CodeTriesExhausted | Self::CodeNotTakenHere => {
                "recovery-code-refused"
            }
            Self::PushDenied => "push-denied",
            Self::PushUnanswered => "push-unanswered",
            Self::PushBusy => "push-busy",
            Self::PushLimited => "push-limited",
            Self::PushStale => "push-stale",
            Self::ApiKeyRefused => "api-key-refused",
            Self::Unavailable | Self::PushUnavailable => "unavailable",
            Self::Misconfigured => "misconfigured",
            Self::Internal => "internal",
        }
    }
}
