//! PAM's items and conversation as `authenticate` needs them. Items are copied at once: the application may replace
//! them while it asks.
#![allow(unsafe_code)]

use std::ffi::{CStr, c_char, c_int, c_uint, c_void};

use ::pam::constants::{
    PAM_ERROR_MSG, PAM_PROMPT_ECHO_OFF, PAM_PROMPT_ECHO_ON, PAM_TEXT_INFO, PamMessageStyle,
};
use ::pam::conv::Conv;
use ::pam::items::{AuthTok, Item, RHost, RUser, Service, Tty, User};
use ::pam::module::{PamHandle, PamResult};

use ivalt_core::conversation::{
    Application, ApplicationError, Conversation, Echo, NoAnswer, Unshown,
};
use ivalt_core::log_line::Origin;
use ivalt_core::secret::Secret;

#[link(name = "pam")]
unsafe extern "C" {
    /// `pam_fail_delay(3)`
    fn pam_fail_delay(handle: *mut PamHandle, microseconds: c_uint) -> c_int;
    /// `pam_getenv(3)`
    fn pam_getenv(handle: *mut PamHandle, name: *const c_char) -> *const c_char;
}

/// The delay after a denial, as `pam_unix` asks for it.
const FAIL_DELAY_MICROSECONDS: c_uint = 2_000_000;

/// The name by which libpam keeps an `Option<Unshown>`; that of this version, should another one be loaded, too.
const UNSHOWN: &str = concat!("pam_ivalt-", env!("CARGO_PKG_VERSION"), "-unshown");

/// One call of an application through libpam.
pub struct PamApplication<'a> {
    pub handle: &'a mut PamHandle,
    /// `PAM_SILENT`: the application wants no messages.
    pub silent: bool,
}

impl PamApplication<'_> {
    /// Who asked, as far as libpam knows.
    pub fn origin(&self) -> Origin {
        Origin {
            service: bytes(self.handle.get_item::<Service>(), |item| item.0),
            rhost: bytes(self.handle.get_item::<RHost>(), |item| item.0),
            tty: bytes(self.handle.get_item::<Tty>(), |item| item.0),
            ruser: bytes(self.handle.get_item::<RUser>(), |item| item.0),
        }
    }

    /// `PAM_USER` without asking for it; empty where the application has not set it.
    pub fn known_user(&self) -> Vec<u8> {
        self.user_item().ok().flatten().unwrap_or_default()
    }

    /// Asks libpam to wait before the application hears of a denial.
    pub fn ask_for_delay(&mut self) {
        // SAFETY: the handle is libpam's own, valid during the call that passed it (pam_fail_delay(3)).
        // It can only fail where there is no memory; then there is no delay.
        unsafe { pam_fail_delay(self.handle, FAIL_DELAY_MICROSECONDS) };
    }

    fn say(&mut self, style: PamMessageStyle, sentence: &str) {
        if self.silent {
            self.keep(sentence);
            return;
        }
        if let Ok(Some(conversation)) = self.handle.get_item::<Conv>() {
            // Applications are free to refuse messages.
            let _ = conversation.send(style, sentence);
        }
    }

    /// For the next call on this handle; libpam frees it with the handle. Without memory the sentence is lost.
    fn keep(&mut self, sentence: &str) {
        let unshown = Unshown {
            user: self.known_user(),
            sentence: sentence.to_owned(),
        };
        let _ = self.handle.set_data(UNSHOWN, Box::new(Some(unshown)));
    }

    /// pam_get_user(3) calls the application's function without looking whether it is NULL.
    fn has_conversation(&self) -> bool {
        let conversation = self.handle.get_item::<Conv>().ok().flatten();
        let function = conversation.map(|conversation| {
            // SAFETY: `struct pam_conv` of pam_conv(3) begins with the pointer to the function.
            unsafe { *conversation.into_raw().cast::<*const c_void>() }
        });
        function.is_some_and(|function| !function.is_null())
    }

    fn user_item(&self) -> Result<Option<Vec<u8>>, ApplicationError> {
        let user = self
            .handle
            .get_item::<User>()
            .map_err(|_| ApplicationError::Broken("libpam refuses PAM_USER"))?;
        Ok(user.map(|user| user.to_bytes().to_vec()))
    }
}

/// An item as bytes of our own; empty where it is not set.
fn bytes<'a, T>(item: PamResult<Option<T>>, text: impl FnOnce(T) -> &'a CStr) -> Vec<u8> {
    item.ok()
        .flatten()
        .map(|item| text(item).to_bytes().to_vec())
        .unwrap_or_default()
}

impl Conversation for PamApplication<'_> {
    fn ask(&mut self, prompt: &str, echo: Echo) -> Result<Secret, NoAnswer> {
        let style = match echo {
            Echo::On => PAM_PROMPT_ECHO_ON,
            Echo::Off => PAM_PROMPT_ECHO_OFF,
        };
        let conversation = self
            .handle
            .get_item::<Conv>()
            .ok()
            .flatten()
            .ok_or(NoAnswer)?;
        let answer = conversation
            .send(style, prompt)
            .ok()
            .flatten()
            .ok_or(NoAnswer)?;
        Ok(Secret::new(answer.as_bytes().to_vec()))
    }

    fn tell(&mut self, sentence: &str) {
        self.say(PAM_ERROR_MSG, sentence);
    }

    fn inform(&mut self, sentence: &str) {
        self.say(PAM_TEXT_INFO, sentence);
    }
}

impl Application for PamApplication<'_> {
    fn user(&mut self) -> Result<Vec<u8>, ApplicationError> {
        if let Some(user) = self.user_item()? {
            return Ok(user);
        }
        if self.has_conversation() {
            // Its result cannot be used for names that are not UTF-8; the item that it has set can.
            let _ = self.handle.get_user(None);
        }
        self.user_item()?.ok_or(ApplicationError::NoAnswer)
    }

    fn password(&mut self) -> Result<Option<Secret>, ApplicationError> {
        let password = self
            .handle
            .get_item::<AuthTok>()
            .map_err(|_| ApplicationError::Broken("libpam refuses PAM_AUTHTOK"))?;
        Ok(password.map(|password| Secret::new(password.as_bytes().to_vec())))
    }

    /// Which methods of sshd have passed; empty where the application does not say. Of the PAM environment, which the
    /// application and the modules above fill: that of the process is the caller's choice.
    fn ssh_auth_info(&mut self) -> Vec<u8> {
        // SAFETY: the handle is libpam's own; the value is NULL or a C string that lives until the variable is set again.
        unsafe {
            let value = pam_getenv(self.handle, c"SSH_AUTH_INFO_0".as_ptr());
            if value.is_null() {
                Vec::new()
            } else {
                CStr::from_ptr(value).to_bytes().to_vec()
            }
        }
    }

    fn take_unshown(&mut self) -> Option<Unshown> {
        // SAFETY: only this module stores by that name, and always this type.
        let kept = unsafe { self.handle.get_data::<Option<Unshown>>(UNSHOWN) };
        let unshown = kept.ok()?.clone()?;
        // The old one is freed, and so wiped.
        let _ = self.handle.set_data(UNSHOWN, Box::new(None::<Unshown>));
        Some(unshown)
    }
}
