//! What pam-client saw, as JSON. The driver in `tests/support` reads the same types.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Everything, in order.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Report {
    /// Why nothing was done: this machine grants no private `/dev`.
    pub skip: Option<String>,
    /// The process.
    pub pid: u32,
    /// Every call into libpam, `pam_start` and `pam_end` included.
    pub calls: Vec<Call>,
    /// Signals with a counting handler: how many the calling thread took, and how many any other.
    pub signals: BTreeMap<i32, Taken>,
    /// What many transactions came to, in place of `calls`.
    pub soak: Option<SoakResult>,
}

/// Very many transactions.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct SoakResult {
    /// How often each code came.
    pub codes: BTreeMap<i32, u32>,
    /// Datagrams that reached `/dev/log`.
    pub logged: usize,
    /// Wall clock of the slowest transaction.
    pub longest_ms: u64,
    /// After the warm-up.
    pub warm: Footprint,
    /// After the last transaction.
    pub end: Footprint,
}

/// What a process takes.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Footprint {
    /// Resident memory.
    pub rss_kib: u64,
    /// Open descriptors.
    pub descriptors: usize,
    /// Threads alive.
    pub threads: usize,
}

/// One call into libpam.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Call {
    /// Which.
    pub call: Entry,
    /// Counted from 0.
    pub transaction: u32,
    /// The PAM code.
    pub code: i32,
    /// Wall clock, the user's delays included.
    pub elapsed_ms: u64,
    /// Resident memory afterwards; this program itself keeps some 2 KiB a call.
    pub rss_kib: u64,
    /// What the user was asked and told.
    pub messages: Vec<Message>,
    /// What libpam gave the `PAM_FAIL_DELAY` function: 0 when no delay was asked for, and off by up to a half.
    pub fail_delays_us: Vec<u32>,
    /// Datagrams that reached `/dev/log`; for a FIFO or a file, what was written there.
    pub log: Vec<String>,
    /// Everything that is not as it was before the call, in words; empty when the module behaved.
    pub changes: Vec<String>,
    /// `PAM_USER` and the other items afterwards, those that are set.
    pub items: BTreeMap<String, String>,
    /// Whether signal 33 has a handler: glibc installs one for good with the first thread of a process.
    pub signal_33: bool,
}

/// A call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Entry {
    /// `pam_start_confdir`; not for scripts.
    Start,
    /// `pam_authenticate`
    #[default]
    Authenticate,
    /// `pam_setcred` with `PAM_ESTABLISH_CRED`
    Setcred,
    /// `pam_acct_mgmt`
    AcctMgmt,
    /// `pam_open_session`
    OpenSession,
    /// `pam_close_session`
    CloseSession,
    /// `pam_chauthtok`
    Chauthtok,
    /// `pam_end`; not for scripts.
    End,
}

/// One message of a conversation.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Message {
    /// How.
    pub style: Style,
    /// What, bytes that are not UTF-8 replaced.
    pub text: String,
    /// Descriptors open now that were not before the call.
    pub descriptors: Vec<String>,
    /// Threads alive now that were not before the call.
    pub threads: Vec<String>,
}

/// The style of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Style {
    /// `PAM_PROMPT_ECHO_OFF`
    EchoOff,
    /// `PAM_PROMPT_ECHO_ON`
    EchoOn,
    /// `PAM_ERROR_MSG`
    Error,
    /// `PAM_TEXT_INFO`
    Info,
    /// A style Linux-PAM does not have.
    Unknown,
}

/// Where signals were taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Taken {
    /// By the thread that calls libpam.
    pub here: u32,
    /// By any other: the module's threads steal the application's signals.
    pub elsewhere: u32,
}
