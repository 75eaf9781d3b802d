//! A PAM application in this process: the real libpam enters the module's own `pam_sm_authenticate` within
//! `pam_authenticate`, and everything that comes out is judged. No network, a `/dev` of its own, files only there.
#![allow(unsafe_code)]

use std::cell::{OnceCell, RefCell};
use std::collections::VecDeque;
use std::error::Error;
use std::ffi::{CStr, CString, c_char, c_int, c_uint, c_void};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::ptr;

use super::contains;
use super::dev_log::Log;
use super::libpam::{self, PamConv, PamHandle, PamMessage, PamResponse};
use super::log_line::{AUTHPRIV, LogLine, Severity};
use super::script::{DevLog, Script};
use super::stage;
use crate::pam::pam_sm_authenticate;

const SHIM: &str = include_str!("shim.c");
const CA: &str = include_str!("ca.pem");
/// In the private `/dev`, so that it is gone with the process.
const FOLDER: &str = "/dev/ivalt";
/// Settings with every default; what they name cannot be reached without a network.
pub const CONFIG: &CStr = c"config=/dev/ivalt/ivalt.toml";
/// Settings that want four to eight digits, hidden, ten times.
pub const DIGITS: &CStr = c"config=/dev/ivalt/digits.toml";
/// Part of the API key, and in the seeds of passwords and tokens.
pub const SECRET: &[u8] = b"Wh1sp3r0ut";
const LINES_OF_SETTINGS: &str = "users_file = \"/dev/ivalt/users.toml\"\n[api]\nkey = \"key-Wh1sp3r0ut\"\n\
    url = \"https://127.0.0.1:9/\"\nca_file = \"/dev/ivalt/ca.pem\"\n";
const RULES_FOR_DIGITS: &str =
    "[token]\ncharset = \"digits\"\nmin_length = 4\nmax_length = 8\necho = false\nattempts = 10\n";
const USERS: &str = "[users]\nalice = \"+916283974746\"\n\
    bob = { mobile = \"+14155550100\", enabled = false }\ncarol = 5\n";

const PAM_SERVICE: c_int = 1;
const PAM_AUTHTOK: c_int = 6;
const PAM_IGNORE: c_int = 25;

/// What the person does at one prompt.
#[derive(Debug, Default)]
pub struct Act {
    /// The reply; NULL without.
    pub reply: Option<CString>,
    /// The conversation's code; nothing but `PAM_SUCCESS` gives a reply.
    pub code: c_int,
    /// `PAM_SUCCESS`, and no array of replies.
    pub no_array: bool,
    /// Replies more than were asked for.
    pub too_many: bool,
    /// `PAM_USER` becomes this first.
    pub user: Option<CString>,
}

/// One call: what goes in.
#[derive(Debug, Default)]
pub struct Play {
    /// The module's arguments.
    pub words: Vec<CString>,
    /// PAM's items; not set without.
    pub user: Option<CString>,
    /// Likewise.
    pub rhost: Option<CString>,
    /// Likewise.
    pub tty: Option<CString>,
    /// Likewise.
    pub ruser: Option<CString>,
    /// Likewise.
    pub service: Option<CString>,
    /// Likewise; an earlier module has set it.
    pub authtok: Option<CString>,
    /// One for each prompt, then errors.
    pub acts: VecDeque<Act>,
    /// The conversation's code for messages.
    pub message_code: c_int,
    /// `PAM_CONV` without a function.
    pub nobody: bool,
    /// `PAM_SILENT`
    pub silent: bool,
}

/// What came out.
#[derive(Debug, Default)]
pub struct Seen {
    /// Of the module itself.
    pub code: c_int,
    /// Style and bytes of every prompt and message.
    pub said: Vec<(c_int, Vec<u8>)>,
    /// Answers that reached the module.
    pub replies: Vec<Vec<u8>>,
    /// What libpam was asked to wait, if anything.
    pub delayed: bool,
    /// The one line.
    pub line: Option<LogLine>,
    /// As it stood there.
    pub raw: String,
    /// Every `PAM_USER` there was, in order, empty where there was none.
    pub users: Vec<Vec<u8>>,
    service: Vec<u8>,
    rhost: Vec<u8>,
    tty: Vec<u8>,
    ruser: Vec<u8>,
    descriptors: [usize; 2],
}

/// A call in progress; libpam and the module come back to it through callbacks.
struct Stand {
    play: Play,
    seen: Option<Seen>,
    said: Vec<(c_int, Vec<u8>)>,
    replies: Vec<Vec<u8>>,
    users: Vec<Vec<u8>>,
    delayed: bool,
    handle: *mut PamHandle,
}

struct Application {
    log: Log,
}

thread_local! {
    static APPLICATION: OnceCell<Application> = const { OnceCell::new() };
    static STAND: RefCell<Option<Stand>> = const { RefCell::new(None) };
}

/// Gives this thread its own `/dev`, network and descriptors, and libpam a module that leads back here.
///
/// # Errors
/// This machine grants no private mounts, or has no C compiler.
pub fn enter_stage() -> Result<(), Box<dyn Error>> {
    let shim = load_shim()?;
    let script = Script {
        no_network: true,
        ..Script::default()
    };
    stage::build(&script)??;
    // SAFETY: takes a number; this thread's descriptors become its own, so that counting them disturbs nobody.
    stage::done(unsafe { libc::unshare(libc::CLONE_FILES) })?;
    write_files(&shim)?;
    let log = Log::place(DevLog::Socket)?;
    APPLICATION.with(|application| {
        application
            .set(Application { log })
            .map_err(|_| "twice on the stage")
    })?;
    if cfg!(fuzzing) {
        keep_panic_hook();
    }
    Ok(())
}

/// glibc knows a library that is loaded by its name, so the file may be gone before libpam asks for it.
fn load_shim() -> Result<String, Box<dyn Error>> {
    // SAFETY: gettid(2) takes nothing and always succeeds.
    let folder = std::env::temp_dir().join(format!("pam_ivalt-fuzz-{}", unsafe { libc::gettid() }));
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir(&folder)?;
    let (source, library) = (folder.join("shim.c"), folder.join("shim.so"));
    fs::write(&source, SHIM)?;
    let mut cc = Command::new("cc");
    let status = cc
        .args(["-shared", "-fPIC", "-o"])
        .arg(&library)
        .arg(&source)
        .status()?;
    let name = CString::new(library.as_os_str().as_bytes())?;
    // SAFETY: the name is NUL-terminated; what is loaded has no initialisers.
    let handle = unsafe { libc::dlopen(name.as_ptr(), libc::RTLD_NOW) };
    fs::remove_dir_all(&folder)?;
    if !status.success() || handle.is_null() {
        return Err("the C compiler (cc) cannot build tests/fuzz/shim.c".into());
    }
    // SAFETY: shim.c declares the variable as a pointer to a function of this type.
    unsafe {
        let place = libc::dlsym(handle, c"fuzzed_module".as_ptr());
        *place.cast::<Module>() = enter_module;
    }
    Ok(name.into_string()?)
}

type Module = unsafe extern "C" fn(*mut PamHandle, c_int, c_int, *const *const c_char) -> c_int;

fn write_files(shim: &str) -> std::io::Result<()> {
    let folder = Path::new(FOLDER);
    fs::create_dir(folder)?;
    let write = |name: &str, text: &str, mode| {
        fs::write(folder.join(name), text)?;
        fs::set_permissions(folder.join(name), fs::Permissions::from_mode(mode))
    };
    write("ivalt.toml", LINES_OF_SETTINGS, 0o600)?;
    write(
        "digits.toml",
        &format!("{LINES_OF_SETTINGS}{RULES_FOR_DIGITS}"),
        0o600,
    )?;
    write("users.toml", USERS, 0o600)?;
    write("ca.pem", CA, 0o644)?;
    write("other", &format!("auth required {shim}\n"), 0o644)
}

/// The module silences panics for good, once: a finding must be heard.
fn keep_panic_hook() {
    let hook = std::panic::take_hook();
    perform(Play::default());
    std::panic::set_hook(hook);
}

/// Plays `play` and holds what comes out to what is promised for every call. `None` when libpam itself refused.
pub fn perform(play: Play) -> Option<Seen> {
    let context = format!("{play:?}");
    let (service, secrets) = (play.service.clone(), Secrets::of(&play));
    let silent = play.silent;
    let stand = Stand {
        play,
        seen: None,
        said: Vec::new(),
        replies: Vec::new(),
        users: Vec::new(),
        delayed: false,
        handle: ptr::null_mut(),
    };
    STAND.with(|place| place.replace(Some(stand)));
    // libpam's own lines go by a descriptor that glibc keeps for the whole process, whose other threads have others.
    // SAFETY: the ident is static, as openlog(3) keeps the pointer.
    unsafe { libc::openlog(c"application".as_ptr(), libc::LOG_NDELAY, libc::LOG_USER) };
    call_libpam(service.as_deref().unwrap_or(c"sshd"));
    // SAFETY: closelog(3) takes nothing.
    unsafe { libc::closelog() };
    let stand = STAND.with(|place| place.take())?;
    let log =
        APPLICATION.with(|application| application.get().map(|on_stage| on_stage.log.drain()));
    let log = log.expect("enter_stage comes first");
    let mut seen = stand.seen?;
    (seen.said, seen.replies, seen.users) = (stand.said, stand.replies, stand.users);
    seen.delayed = stand.delayed;
    let mut lines = log.into_iter().filter(|line| LogLine::is_ours(line));
    seen.raw = lines
        .next()
        .unwrap_or_else(|| panic!("no log line: {context}"));
    assert_eq!(lines.next(), None, "a second log line: {context}");
    seen.line = Some(LogLine::parse(&seen.raw));
    seen.judge(silent);
    secrets.judge(&seen);
    Some(seen)
}

fn call_libpam(service: &CStr) {
    let conversation = PamConv {
        converse: with_stand(|stand| (!stand.play.nobody).then_some(converse as libpam::Converse)),
        data: ptr::null_mut(),
    };
    let folder = CString::new(FOLDER).unwrap_or_default();
    let mut handle = ptr::null_mut();
    // SAFETY: libpam copies the strings and the structure.
    unsafe {
        libpam::pam_start_confdir(
            service.as_ptr(),
            ptr::null(),
            &conversation,
            folder.as_ptr(),
            &mut handle,
        );
    }
    if handle.is_null() {
        return;
    }
    let (items, silent) = with_stand(|stand| {
        stand.handle = handle;
        let play = &stand.play;
        let items = [
            (libpam::PAM_USER, play.user.clone()),
            (libpam::PAM_RHOST, play.rhost.clone()),
            (libpam::PAM_TTY, play.tty.clone()),
            (libpam::PAM_RUSER, play.ruser.clone()),
        ];
        (items, if play.silent { libpam::PAM_SILENT } else { 0 })
    });
    for (item, text) in items {
        set_item(handle, item, text.as_deref());
    }
    let delay: libpam::FailDelay = note_delay;
    let (authenticate, _) =
        libpam::function(super::report::Entry::Authenticate).expect("it is one");
    // SAFETY: the handle is live until pam_end; the function is static.
    unsafe {
        libpam::pam_set_item(handle, libpam::PAM_FAIL_DELAY, delay as *const c_void);
        let code = authenticate(handle, silent);
        libpam::pam_end(handle, code);
    }
}

fn set_item(handle: *mut PamHandle, item: c_int, text: Option<&CStr>) {
    if let Some(text) = text {
        // SAFETY: the handle is live, and libpam copies the string.
        unsafe { libpam::pam_set_item(handle, item, text.as_ptr().cast()) };
    }
}

fn get_item(handle: *mut PamHandle, item: c_int) -> Vec<u8> {
    let mut value = ptr::null();
    // SAFETY: the handle is live; a string item is NULL or a C string that lives until it is set again.
    unsafe {
        libpam::pam_get_item(handle, item, &mut value);
        if value.is_null() {
            Vec::new()
        } else {
            CStr::from_ptr(value.cast()).to_bytes().to_vec()
        }
    }
}

fn with_stand<T>(what: impl FnOnce(&mut Stand) -> T) -> T {
    STAND.with_borrow_mut(|stand| what(stand.as_mut().expect("a call in progress")))
}

/// libpam, through the shim. Only here may an application set `PAM_AUTHTOK`.
///
/// # Safety
/// Called by libpam as a module.
unsafe extern "C" fn enter_module(
    handle: *mut PamHandle,
    flags: c_int,
    _: c_int,
    _: *const *const c_char,
) -> c_int {
    // For the service "other", libpam reads its file twice.
    if with_stand(|stand| stand.seen.is_some()) {
        return PAM_IGNORE;
    }
    let (words, authtok) = with_stand(|stand| {
        (
            std::mem::take(&mut stand.play.words),
            stand.play.authtok.take(),
        )
    });
    set_item(handle, PAM_AUTHTOK, authtok.as_deref());
    with_stand(|stand| stand.users.push(get_item(handle, libpam::PAM_USER)));
    let argv: Vec<_> = words.iter().map(|word| word.as_ptr()).collect();
    let argc = c_int::try_from(argv.len()).unwrap_or(c_int::MAX);
    let flags = flags.try_into().unwrap_or_default();
    let before = descriptors();
    // SAFETY: the handle is libpam's own, and the words outlive the call.
    let code = unsafe { pam_sm_authenticate(handle.cast(), flags, argc, argv.as_ptr()) } as c_int;
    let descriptors = [before, descriptors()];
    with_stand(|stand| {
        stand.users.push(get_item(handle, libpam::PAM_USER));
        stand.seen = Some(Seen {
            code,
            descriptors,
            service: get_item(handle, PAM_SERVICE),
            rhost: get_item(handle, libpam::PAM_RHOST),
            tty: get_item(handle, libpam::PAM_TTY),
            ruser: get_item(handle, libpam::PAM_RUSER),
            ..Seen::default()
        });
    });
    code
}

/// Of this thread, which shares them with nobody.
fn descriptors() -> usize {
    fs::read_dir("/proc/thread-self/fd").map_or(0, Iterator::count)
}

/// # Safety
/// Called by libpam.
unsafe extern "C" fn note_delay(_: c_int, delay_us: c_uint, _: *mut c_void) {
    with_stand(|stand| stand.delayed |= delay_us > 0);
}

/// # Safety
/// Called by a module or libpam as pam_conv(3) says.
unsafe extern "C" fn converse(
    count: c_int,
    messages: *mut *const PamMessage,
    replies: *mut *mut PamResponse,
    _: *mut c_void,
) -> c_int {
    assert_eq!(count, 1, "one message at a time");
    // SAFETY: an array of one pointer to a message with a C string.
    let (style, text) = unsafe {
        (
            (**messages).style,
            CStr::from_ptr((**messages).text).to_bytes().to_vec(),
        )
    };
    let (act, handle) = with_stand(|stand| {
        stand.said.push((style, text));
        (stand.act(style), stand.handle)
    });
    if let Some(user) = &act.user {
        set_item(handle, libpam::PAM_USER, Some(user));
        with_stand(|stand| stand.users.push(user.to_bytes().to_vec()));
    }
    if act.code == libpam::PAM_SUCCESS && !act.no_array {
        if let Some(reply) = &act.reply {
            with_stand(|stand| stand.replies.push(reply.to_bytes().to_vec()));
        }
        // SAFETY: calloc(3) gives room or NULL; strdup(3) copies; the module frees both.
        unsafe {
            let array = libc::calloc(if act.too_many { 2 } else { 1 }, size_of::<PamResponse>())
                .cast::<PamResponse>();
            (*array).text = act
                .reply
                .as_ref()
                .map_or(ptr::null_mut(), |reply| libc::strdup(reply.as_ptr()));
            (*array).code = if act.too_many { -1 } else { 0 };
            *replies = array;
        }
    }
    act.code
}

impl Stand {
    /// Only prompts use up acts.
    fn act(&mut self, style: c_int) -> Act {
        let failed = |code| Act {
            code,
            ..Act::default()
        };
        match style {
            1 | 2 => self
                .play
                .acts
                .pop_front()
                .unwrap_or(failed(libpam::PAM_CONV_ERR)),
            _ => failed(self.play.message_code),
        }
    }
}

/// Reasons, with their code and level in INTERFACE.md, that an application without a network may see.
const REASONS: [(&str, c_int, Severity); 10] = [
    ("not-enrolled", 10, Severity::Notice),
    ("disabled", 10, Severity::Notice),
    ("bad-entry", 10, Severity::Notice),
    ("unanswered", 19, Severity::Notice),
    ("malformed-token", 7, Severity::Notice),
    ("password-as-token", 7, Severity::Warning),
    ("token-rejected", 7, Severity::Notice),
    ("token-rejected", 11, Severity::Notice),
    ("unavailable", 9, Severity::Warning),
    ("misconfigured", 3, Severity::Error),
];

impl Seen {
    /// The log line.
    ///
    /// # Panics
    /// Never for what `perform` returns.
    #[must_use]
    pub fn log(&self) -> &LogLine {
        self.line.as_ref().expect("perform has read it")
    }

    /// What holds for every call, whatever went in.
    fn judge(&self, silent: bool) {
        let line = self.log();
        let known = REASONS
            .iter()
            .find(|(reason, code, _)| *reason == line.reason() && *code == self.code);
        let Some((.., severity)) = known else {
            panic!("code {} for {}", self.code, self.raw);
        };
        assert_eq!(
            (line.outcome().as_str(), line.severity, line.facility),
            ("deny", *severity, AUTHPRIV)
        );
        for (key, item) in [
            ("service", &self.service),
            ("rhost", &self.rhost),
            ("tty", &self.tty),
            ("ruser", &self.ruser),
        ] {
            assert_eq!(line.bytes(key), cut(item), "{key}");
        }
        let user = line.bytes("user");
        assert!(
            // Asked for the name, a person may type anything.
            self.users
                .iter()
                .chain(&self.replies)
                .any(|known| cut(known) == user),
            "user {user:?} of {:?}",
            self.users
        );
        let mobile = match user {
            b"alice" => "***4746",
            b"bob" => "***0100",
            _ => "",
        };
        assert!(
            [mobile, ""].contains(&line.get("mobile").as_str()),
            "{}",
            self.raw
        );
        assert_eq!(
            self.descriptors[0], self.descriptors[1],
            "descriptors left open"
        );
        self.judge_what_was_said(silent);
        if line.reason() == "unavailable" {
            assert_eq!(
                (user, line.get("mobile").as_str()),
                (b"alice".as_slice(), "***4746"),
                "sent for {}",
                self.raw
            );
        }
    }

    fn judge_what_was_said(&self, silent: bool) {
        for (style, text) in &self.said {
            let text = std::str::from_utf8(text).expect("UTF-8");
            assert!(
                !text.contains(char::is_control) && text.len() < 512,
                "{text:?}"
            );
            assert!(
                !(silent && [3, 4].contains(style)),
                "PAM_SILENT, and {text:?}"
            );
        }
    }
}

fn cut(bytes: &[u8]) -> &[u8] {
    &bytes[..bytes.len().min(256)]
}

/// What must not come out again, unless it also went in where it may be seen.
struct Secrets {
    hidden: Vec<Vec<u8>>,
    seen_anyway: Vec<Vec<u8>>,
}

impl Secrets {
    fn of(play: &Play) -> Self {
        let replies = play.acts.iter().filter_map(|act| act.reply.as_ref());
        let hidden = replies
            .chain(&play.authtok)
            .map(|secret| secret.to_bytes().trim_ascii());
        // Bytes that no sentence or path of ours holds; a log cuts, so the first will do.
        let telling = |secret: &[u8]| {
            secret
                .iter()
                .any(|byte| b"#%^~$!".contains(byte) || *byte >= 0x80)
        };
        let hidden = hidden.map(|secret| &secret[..secret.len().min(16)]);
        let hidden = hidden.filter(|secret| secret.len() >= 8 && telling(secret));
        let items = [
            &play.user,
            &play.rhost,
            &play.tty,
            &play.ruser,
            &play.service,
        ];
        let users = play.acts.iter().filter_map(|act| act.user.as_ref());
        let seen = items.into_iter().flatten().chain(&play.words).chain(users);
        // Asked for the name, a person may type anything: that is the name then.
        let names = play
            .acts
            .iter()
            .filter(|_| play.user.is_none())
            .filter_map(|act| act.reply.as_ref());
        Self {
            hidden: hidden
                .map(<[u8]>::to_vec)
                .chain([SECRET.to_vec()])
                .collect(),
            seen_anyway: seen
                .chain(names)
                .map(|text| text.to_bytes().to_vec())
                .collect(),
        }
    }

    fn judge(&self, seen: &Seen) {
        let fields = seen.log().fields.iter().map(|field| &field.1);
        let said = seen.said.iter().map(|(_, text)| text);
        for text in fields.chain(said) {
            for secret in &self.hidden {
                let known = self.seen_anyway.iter().any(|other| overlap(other, secret));
                assert!(
                    known || !contains(text, secret),
                    "{secret:?} came out: {}",
                    seen.raw
                );
            }
        }
    }
}

/// libpam makes the service lower case, so case does not count.
fn overlap(text: &[u8], secret: &[u8]) -> bool {
    contains(&text.to_ascii_lowercase(), &secret.to_ascii_lowercase())
}

/// The bytes of one record of an input, which hold no NUL.
#[must_use]
pub fn c_string(bytes: &[u8]) -> CString {
    CString::new(bytes).unwrap_or_default()
}
