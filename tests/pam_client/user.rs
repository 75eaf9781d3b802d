//! The user in front of the application: libpam's conversation, answered from the script.

use std::collections::VecDeque;
use std::ffi::{CStr, CString, c_int, c_uint, c_void};
use std::path::Path;
use std::ptr;
use std::thread::sleep;
use std::time::Duration;

use zeroize::Zeroize;

use crate::process_setup::{self, SoftLimits};
use crate::process_snapshot::ProcessSnapshot;
use support::dev_log::Log;
use support::libpam::{self, PamConv, PamHandle, PamMessage, PamResponse};
use support::report::{Message, Style};
use support::script::{Answer, Conversation, Reply, Script};

/// Lives at one address as long as the handle that knows it.
pub struct User {
    answers: VecDeque<Answer>,
    message_code: c_int,
    limits: SoftLimits,
    /// The signal that is sent to the process again and again.
    timer: Option<c_int>,
    /// Whom `set_user` speaks of; set when there is one.
    pub handle: *mut PamHandle,
    /// The snapshot taken before the call.
    pub before: ProcessSnapshot,
    /// What was said during the call.
    pub messages: Vec<Message>,
    /// What the fail delay function got.
    pub fail_delays_us: Vec<u32>,
    /// What is wrong in the middle of the call.
    pub changes: Vec<String>,
    /// Where the module logs.
    pub log: Log,
    /// What it logged.
    pub logged: Vec<String>,
}

/// A code other than `PAM_SUCCESS`, to be returned as it is.
type Refusal = c_int;

impl User {
    /// With all answers still to give.
    pub fn new(script: &Script, limits: SoftLimits, log: Log) -> Self {
        Self {
            answers: script.answers.clone().into(),
            message_code: script.message_code,
            limits,
            timer: script.interrupt.map(|interrupt| interrupt.signal),
            handle: ptr::null_mut(),
            before: ProcessSnapshot::default(),
            messages: Vec::new(),
            fail_delays_us: Vec::new(),
            changes: Vec::new(),
            log,
            logged: Vec::new(),
        }
    }

    /// What `PAM_CONV` holds. `this` stays valid until `pam_end`.
    pub fn conversation(this: *mut Self, kind: Conversation) -> PamConv {
        let converse: Option<libpam::Converse> = match kind {
            Conversation::Scripted => Some(converse),
            Conversation::NullPointer => None,
        };
        PamConv {
            converse,
            data: this.cast(),
        }
    }

    /// All messages of one call of the conversation: one reply each, or none at all.
    fn answer(
        &mut self,
        said: Vec<(Style, String)>,
    ) -> Result<Option<Vec<Option<CString>>>, Refusal> {
        let mut replies = Vec::new();
        for (style, text) in said {
            let reply = self.next_reply(style);
            let no_reply = reply.no_reply;
            replies.push(self.perform(style, text, reply)?);
            if no_reply {
                return Ok(None);
            }
        }
        Ok(Some(replies))
    }

    /// Only prompts use up answers.
    fn next_reply(&mut self, style: Style) -> Reply {
        let error = |code| Reply {
            error: Some(code),
            ..Reply::default()
        };
        if !matches!(style, Style::EchoOff | Style::EchoOn) {
            return match self.message_code {
                libpam::PAM_SUCCESS => Reply::default(),
                code => error(code),
            };
        }
        match self.answers.pop_front() {
            Some(Answer::Reply(reply)) => reply,
            Some(Answer::Nothing) => Reply::default(),
            Some(Answer::Text(text)) => Reply {
                answer: Some(text),
                ..Reply::default()
            },
            None => error(libpam::PAM_CONV_ERR),
        }
    }

    /// One message: first the waiting, so that whatever the module does meanwhile is in the snapshot.
    fn perform(
        &mut self,
        style: Style,
        text: String,
        reply: Reply,
    ) -> Result<Option<CString>, Refusal> {
        sleep(Duration::from_millis(reply.delay_ms));
        self.observe_call(style, text);
        if let Some(file) = &reply.await_file {
            wait_for(file);
        }
        for (from, to) in &reply.renames {
            std::fs::rename(from, to).map_err(|_| libpam::PAM_CONV_ERR)?;
        }
        if let Some(user) = reply.set_user {
            self.set_user(&user.bytes());
        }
        match (reply.error, reply.answer) {
            (Some(code), _) => Err(code),
            (None, Some(answer)) => Ok(Some(c_string(answer.bytes()))),
            (None, None) => Ok(None),
        }
    }

    /// The log is read first: the question for the ident would be among its lines.
    pub fn snapshot(&mut self, handle: Option<*mut PamHandle>) -> ProcessSnapshot {
        self.logged.extend(self.log.drain());
        let mut snapshot = ProcessSnapshot::take(handle);
        if let Some(signal) = self.timer {
            snapshot.ignore_pending(signal);
        }
        if let Some(ident) = self.log.ident() {
            snapshot.set("ident of syslog(3)", ident);
        }
        snapshot
    }

    fn observe_call(&mut self, style: Style, text: String) {
        let now = self.snapshot(Some(self.handle));
        self.messages.push(Message {
            style,
            text,
            descriptors: self.before.opened(&now),
            threads: self.before.started(&now),
        });
        self.changes.extend(self.before.changes_within(&now));
        if !process_setup::is_caller() {
            let change = "in the conversation: called from another thread";
            self.changes.push(change.to_owned());
        }
    }

    /// Ours is no change of the module's.
    fn set_user(&mut self, name: &[u8]) {
        let name = c_string(name.to_vec());
        // SAFETY: the handle is live during a conversation, and libpam copies the string.
        unsafe { libpam::pam_set_item(self.handle, libpam::PAM_USER, name.as_ptr().cast()) };
        self.before
            .set("PAM_USER", name.to_string_lossy().into_owned());
    }
}

fn wait_for(file: &Path) {
    let waits = file.with_extension(std::process::id().to_string());
    let _ = std::fs::write(waits, "");
    while !file.exists() {
        sleep(Duration::from_micros(200));
    }
}

/// Cut at the first NUL, as C would.
pub fn c_string(mut bytes: Vec<u8>) -> CString {
    let end = bytes.iter().position(|byte| *byte == 0);
    bytes.truncate(end.unwrap_or(bytes.len()));
    CString::new(bytes).unwrap_or_default()
}

/// The conversation function.
///
/// # Safety
/// Called by a module as pam_conv(3) says; `data` is the [`User`] of this handle.
unsafe extern "C" fn converse(
    count: c_int,
    messages: *mut *const PamMessage,
    replies: *mut *mut PamResponse,
    data: *mut c_void,
) -> c_int {
    // SAFETY: while libpam runs, nobody else holds a reference to the user.
    let user = unsafe { &mut *data.cast::<User>() };
    let count = usize::try_from(count).unwrap_or(0);
    // SAFETY: Linux-PAM passes an array of pointers to messages.
    let said = (0..count).map(|index| unsafe { read(*messages.add(index)) });
    let said: Vec<_> = said.collect();
    let lifted = user.limits.lift();
    let answered = user.answer(said);
    let imposed = user.limits.impose();
    if let Err(error) = lifted.and(imposed) {
        user.changes
            .push(format!("pam-client cannot change its limits: {error}"));
    }
    match answered {
        Ok(Some(answers)) => {
            // SAFETY: `replies` is where the module wants the array.
            unsafe { *replies = allocate(answers) };
            libpam::PAM_SUCCESS
        }
        Ok(None) => libpam::PAM_SUCCESS,
        Err(code) => code,
    }
}

/// # Safety
/// A message with a C string or NULL.
unsafe fn read(message: *const PamMessage) -> (Style, String) {
    // SAFETY: as promised.
    unsafe {
        let text = (*message).text;
        let text = if text.is_null() {
            "(null)".into()
        } else {
            CStr::from_ptr(text).to_string_lossy()
        };
        (libpam::style((*message).style), text.into_owned())
    }
}

/// From malloc(3), because the module frees both the array and the texts.
fn allocate(answers: Vec<Option<CString>>) -> *mut PamResponse {
    // SAFETY: calloc(3) gives room for that many responses or NULL; strdup(3) copies a C string.
    unsafe {
        let replies = libc::calloc(answers.len(), size_of::<PamResponse>()).cast::<PamResponse>();
        for (index, answer) in answers.iter().enumerate().filter(|_| !replies.is_null()) {
            if let Some(answer) = answer {
                (*replies.add(index)).text = libc::strdup(answer.as_ptr());
            }
        }
        for answer in answers.into_iter().flatten() {
            // The module's copy is to be the only one.
            answer.into_bytes().zeroize();
        }
        replies
    }
}

/// The fail delay function: without one libpam would sleep, and tests with it.
///
/// # Safety
/// Called by libpam with the data of the conversation.
pub unsafe extern "C" fn note_fail_delay(_: c_int, delay_us: c_uint, data: *mut c_void) {
    // SAFETY: the user of this handle, to whom nobody else holds a reference while libpam runs.
    let user = unsafe { &mut *data.cast::<User>() };
    user.fail_delays_us.push(delay_us);
}
