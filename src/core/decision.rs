//! What one call decides, and why. No input, no output, no PAM numbers.

/// The end of every call. A call starts as a failure; `Allow` and each `Ignore` are made in one place each, all in
/// `authenticate`.
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

/// That iVALT verified the token for this user's mobile, and where asked for the face. No other package can make one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Proof(());

impl Proof {
    /// Of a token, and where asked for a face, that iVALT has just accepted.
    pub(crate) fn of_validated_token() -> Self {
        Self(())
    }
}

/// The two cases a policy may tolerate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tolerated {
    /// The user has no entry at all in `users.toml`.
    Unenrolled,
    /// iVALT could not be asked.
    Unavailable,
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
pub const DECISIONS: [Decision; 17] = [
    Decision::Allow(Proof(())),
    Decision::Ignore(Tolerated::Unenrolled),
    Decision::Ignore(Tolerated::Unavailable),
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
            Self::Allow(_) => "verified",
            Self::Ignore(Tolerated::Unenrolled) => "unenrolled",
            Self::Ignore(Tolerated::Unavailable) => "unavailable",
            Self::Deny(refusal) => refusal.reason(),
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
            Self::MalformedToken | Self::DummyOfSshd | Self::RootBarredBySshd => "malformed-token",
            Self::PasswordAsToken => "password-as-token",
            Self::TokenRejected | Self::TriesExhausted => "token-rejected",
            Self::ApiKeyRefused => "api-key-refused",
            Self::Unavailable => "unavailable",
            Self::Misconfigured => "misconfigured",
            Self::Internal => "internal",
        }
    }
}
