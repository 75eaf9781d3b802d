//! One call as plain values: what goes in, and what came out.

use std::collections::VecDeque;
use std::ffi::{CString, c_int};

use support::log_line::LogLine;

/// What the user does at one prompt.
#[derive(Debug, Default)]
pub struct Reply {
    /// The text; NULL without.
    pub text: Option<CString>,
    /// The conversation's code; nothing but `PAM_SUCCESS` gives a reply.
    pub code: c_int,
    /// `PAM_SUCCESS`, and no array of replies.
    pub no_array: bool,
    /// Replies more than were asked for.
    pub too_many: bool,
    /// `PAM_USER` becomes this first.
    pub user: Option<CString>,
}

impl Reply {
    /// Types this.
    #[must_use]
    pub fn text(text: &[u8]) -> Self {
        Self {
            text: Some(c_string(text)),
            ..Self::default()
        }
    }

    /// The conversation fails with this code, or says `PAM_SUCCESS` with a reply that is NULL.
    #[must_use]
    pub fn code(code: c_int) -> Self {
        Self {
            code,
            ..Self::default()
        }
    }
}

/// What goes in. Items that are `None` are not set.
#[derive(Debug, Default)]
pub struct Call {
    /// The module's arguments.
    pub words: Vec<CString>,
    /// `PAM_USER`
    pub user: Option<CString>,
    /// `PAM_RHOST`
    pub rhost: Option<CString>,
    /// `PAM_TTY`
    pub tty: Option<CString>,
    /// `PAM_RUSER`
    pub ruser: Option<CString>,
    /// `PAM_SERVICE`
    pub service: Option<CString>,
    /// `PAM_AUTHTOK`, as an earlier module has set it.
    pub authtok: Option<CString>,
    /// `SSH_AUTH_INFO_0` of the PAM environment.
    pub auth_info: Option<CString>,
    /// One for each prompt, then errors.
    pub replies: VecDeque<Reply>,
    /// The conversation's code for messages.
    pub message_code: c_int,
    /// `PAM_CONV` without a function.
    pub nobody: bool,
    /// `PAM_SILENT`
    pub silent: bool,
}

/// Without a policy that ignores, `only_after=` alone makes it.
pub const PAM_IGNORE: c_int = 25;

/// What came out.
#[derive(Debug, Default)]
pub struct Seen {
    /// The module's own code.
    pub code: c_int,
    /// Style and bytes of every prompt and message.
    pub said: Vec<(c_int, Vec<u8>)>,
    /// Answers that reached libpam or the module.
    pub replies: Vec<Vec<u8>>,
    /// Whether libpam was asked to wait.
    pub delayed: bool,
    /// Every `PAM_USER` there was, empty where there was none.
    pub users: Vec<Vec<u8>>,
    /// The keys of a log line that are items, and these items.
    pub items: Vec<(&'static str, Vec<u8>)>,
    /// How many descriptors were open before and after.
    pub descriptors: [usize; 2],
    /// The one log line, unchanged; empty where `only_after=` passed the line over.
    pub raw: String,
}

impl Seen {
    /// Nothing was done, and so nothing was logged.
    #[must_use]
    pub fn passed_over(&self) -> bool {
        self.code == PAM_IGNORE
    }

    /// The log line taken apart.
    #[must_use]
    pub fn log(&self) -> LogLine {
        LogLine::parse(&self.raw)
    }
}

/// The bytes of one record of an input, which hold no NUL.
#[must_use]
pub fn c_string(bytes: &[u8]) -> CString {
    CString::new(bytes).unwrap_or_default()
}
