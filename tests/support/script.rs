//! What pam-client is told, as JSON. The driver in `tests/support` builds the same types, so both ends always agree.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::obfuscate::obfuscated;
use super::report::Entry;

/// One process: its surroundings, its PAM transactions, and what the user in front of it says.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Script {
    /// Folder of service files for `pam_start_confdir`.
    pub confdir: PathBuf,
    /// `PAM_SERVICE`, and so the name of the service file.
    pub service: String,
    /// `PAM_USER`; unset when null.
    pub user: Option<Text>,
    /// `PAM_RHOST`; unset when null.
    pub rhost: Option<Text>,
    /// `PAM_TTY`; unset when null.
    pub tty: Option<Text>,
    /// `PAM_RUSER`; unset when null.
    pub ruser: Option<Text>,
    /// One for each prompt, over all calls; `PAM_CONV_ERR` when used up.
    pub answers: Vec<Answer>,
    /// What `PAM_CONV` holds.
    pub conversation: Conversation,
    /// The conversation's code for messages that ask nothing (error, info): 0 as a rule.
    pub message_code: i32,
    /// `PAM_SILENT` on every call.
    pub silent: bool,
    /// What is called on one handle, in order; `pam_authenticate` once when empty.
    pub calls: Vec<Entry>,
    /// How often all of it happens, from `pam_start` to `pam_end`; 0 counts as 1.
    pub transactions: u32,
    /// Very many transactions instead, each with a token of its own.
    pub soak: Option<Soak>,
    /// Put into the PAM environment after `pam_start`, as sshd does.
    pub pam_env: BTreeMap<String, Text>,
    /// Set in this process before `pam_start`.
    pub env: BTreeMap<String, String>,
    /// Soft limits in force during `calls`, not while libpam reads its files, by their name in getrlimit(2) without
    /// `RLIMIT_`.
    pub soft_limits: BTreeMap<String, u64>,
    /// Working directory.
    pub cwd: Option<PathBuf>,
    /// umask(2).
    pub umask: Option<u32>,
    /// Dispositions. Whatever is not named is as a shell would leave it, SIGPIPE deadly.
    pub signals: BTreeMap<i32, Disposition>,
    /// Blocked by the application while it calls.
    pub blocked: Vec<i32>,
    /// Signals that are sent to the process again and again during every call.
    pub interrupt: Option<Interrupt>,
    /// During every call a child of the application's own ends, this long after its start; its SIGCHLD and its status
    /// are the application's.
    pub child_ms: Option<u64>,
    /// Descriptors that the application has closed; some callers of setuid programs close 0, 1 and 2.
    pub closed: Vec<i32>,
    /// What is at `/dev/log`.
    pub dev_log: DevLog,
    /// Files bound over others, in this process only: `[from, to]`.
    pub binds: Vec<(PathBuf, PathBuf)>,
    /// An empty network namespace, as polkit's `PrivateNetwork=yes`.
    pub no_network: bool,
    /// Texts, [`obfuscated`], of which no copy may be in the memory of this process after a call; by what they are.
    pub must_not_leak: BTreeMap<String, Vec<u8>>,
    /// Real and effective user id, as a setuid application has them.
    pub uids: Option<(u32, u32)>,
}

/// Bytes for C, so without NUL.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Text {
    /// UTF-8.
    Plain(String),
    /// Anything else.
    Bytes(Vec<u8>),
    /// The same many times.
    Repeated {
        /// What, and how often.
        repeat: (String, usize),
    },
    /// A secret of which no copy must be left, [`obfuscated`].
    Obfuscated {
        /// As pam-client may keep it.
        obfuscated: Vec<u8>,
    },
}

impl Text {
    /// The bytes meant.
    pub fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Plain(text) => text.clone().into_bytes(),
            Self::Bytes(bytes) => bytes.clone(),
            Self::Repeated {
                repeat: (text, times),
            } => text.repeat(*times).into_bytes(),
            Self::Obfuscated { obfuscated: text } => obfuscated(text),
        }
    }
}

/// What the user does at one prompt.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Answer {
    /// `PAM_SUCCESS` with a reply whose text is NULL.
    Nothing,
    /// Types this.
    Text(Text),
    /// Anything unusual.
    Reply(Reply),
}

/// An answer with circumstances.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Reply {
    /// The text; a reply whose text is NULL when null.
    pub answer: Option<Text>,
    /// The conversation returns this code and no reply.
    pub error: Option<i32>,
    /// The conversation returns `PAM_SUCCESS` and leaves the pointer to the replies as it was: NULL.
    pub no_reply: bool,
    /// `PAM_USER` becomes this before the answer, as some applications allow.
    pub set_user: Option<Text>,
    /// How long the user takes.
    pub delay_ms: u64,
    /// The answer comes when this file is there, for users who all answer at once; each makes one beside it that is named
    /// by the process, to say that it waits.
    pub await_file: Option<PathBuf>,
    /// Files put in place of others meanwhile, by rename: `[from, to]`.
    pub renames: Vec<(PathBuf, PathBuf)>,
}

/// Transactions of one `pam_authenticate`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Soak {
    /// How many.
    pub rounds: u32,
    /// How many until the process has grown to its size.
    pub warm_up: u32,
    /// What tokens begin with, in turn; they end in the number of the transaction.
    pub tokens: Vec<String>,
}

/// What `PAM_CONV` holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Conversation {
    /// A function that answers from the script.
    #[default]
    Scripted,
    /// No function; cron and other applications without a user in front of them.
    NullPointer,
}

/// What a signal does.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Disposition {
    /// `SIG_DFL`
    Default,
    /// `SIG_IGN`
    Ignore,
    /// A handler without `SA_RESTART`, so that system calls are interrupted.
    Count,
}

/// How long a slow reader of `/dev/log` takes for a datagram.
pub const SLOW: Duration = Duration::from_secs(3);

/// A timer of the application.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Interrupt {
    /// Which; give it a disposition or block it.
    pub signal: i32,
    /// First after this time, then again and again.
    pub every_ms: u64,
}

/// What is at `/dev/log`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DevLog {
    /// A socket that is read.
    #[default]
    Socket,
    /// Nothing.
    Missing,
    /// A socket whose queue is full and that is not read.
    Full,
    /// A socket whose queue is full, and every [`SLOW`] one datagram is read.
    Slow,
    /// A socket whose owner is gone.
    Stale,
    /// A named pipe without a reader.
    Fifo,
    /// A regular file.
    File,
}
