//! A PAM application in this process: the real libpam enters the module's own `pam_sm_authenticate` within
//! `pam_authenticate`, and everything that comes out is judged. No network, a `/dev` of its own, files only there.

use std::cell::{Cell, OnceCell, RefCell};
use std::error::Error;
use std::ffi::{CStr, CString, c_char, c_int, c_uint, c_void};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::ptr::{self, NonNull};

use super::call::{Call, PAM_IGNORE, Reply, Seen, c_string};
use super::promises::Promises;
use support::dev_log::Log;
use support::libpam::{self, PamConv, PamHandle, PamMessage, PamResponse};
use support::log_line::LogLine;
use support::report::Entry;
use support::sandbox;
use support::script::{DevLog, Script};

const SHIM: &str = include_str!("shim.c");
const CA: &str = include_str!("ca.pem");
/// In the private `/dev`, so that it is gone with the process.
const FOLDER: &str = "/dev/ivalt";
/// Settings with every default; what they name cannot be reached without a network.
pub const CONFIG: &CStr = c"config=/dev/ivalt/ivalt.toml";
/// Settings that want four to eight digits, hidden, ten times.
pub const DIGITS: &CStr = c"config=/dev/ivalt/digits.toml";
/// Settings that accept recovery codes, of which nobody has any.
pub const CODES: &CStr = c"config=/dev/ivalt/codes.toml";
const LINES_OF_SETTINGS: &str = "users_file = \"/dev/ivalt/users.toml\"\n[api]\nkey = \"key-Wh1sp3r0ut\"\n\
    url = \"https://127.0.0.1:9/\"\nca_file = \"/dev/ivalt/ca.pem\"\n";
const RULES_FOR_DIGITS: &str =
    "[token]\ncharset = \"digits\"\nmin_length = 4\nmax_length = 8\necho = false\nattempts = 10\n";
const CODES_ON: &str = "[recovery]\ncodes = true\ndirectory = \"/dev/ivalt/recovery\"\n";
const USERS: &str = "[users]\nalice = \"+916283974746\"\n\
    bob = { mobile = \"+14155550100\", enabled = false }\ncarol = 5\n";

const PAM_SERVICE: c_int = 1;
const PAM_AUTHTOK: c_int = 6;
/// Items under the keys by which the log line has them.
const LOGGED_ITEMS: [(&str, c_int); 4] = [
    ("service", PAM_SERVICE),
    ("rhost", libpam::PAM_RHOST),
    ("tty", libpam::PAM_TTY),
    ("ruser", libpam::PAM_RUSER),
];

/// A call in progress; libpam and the module come back to it through callbacks.
#[derive(Default)]
struct State {
    call: Call,
    seen: Seen,
    /// The application's handle, once there is one.
    handle: Option<NonNull<PamHandle>>,
    entered: bool,
}

thread_local! {
    /// The module under test.
    static MODULE: Cell<Option<Module>> = const { Cell::new(None) };
    static CALLS: Cell<usize> = const { Cell::new(0) };
    static LOG: OnceCell<Log> = const { OnceCell::new() };
    static STATE: RefCell<State> = RefCell::default();
}

/// Gives this thread `module` as the one under test, its own `/dev`, network and descriptors, and libpam a module that
/// leads back here.
///
/// # Errors
/// This machine grants no private mounts, or has no C compiler.
pub fn enter_sandbox(module: Module) -> Result<(), Box<dyn Error>> {
    MODULE.set(Some(module));
    let shim = load_shim()?;
    let script = Script {
        no_network: true,
        ..Script::default()
    };
    sandbox::build(&script)??;
    // SAFETY: takes a number; this thread's descriptors become its own, so that counting them disturbs nobody.
    sandbox::done(unsafe { libc::unshare(libc::CLONE_FILES) })?;
    write_files(&shim)?;
    let log = Log::place(DevLog::Socket)?;
    LOG.with(|place| place.set(log).map_err(|_| "the sandbox was entered twice"))?;
    keep_panic_hook();
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

/// `pam_sm_authenticate`, pam_sm_authenticate(3).
pub type Module = unsafe extern "C" fn(*mut PamHandle, c_int, c_int, *const *const c_char) -> c_int;

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
    write(
        "codes.toml",
        &format!("{LINES_OF_SETTINGS}{CODES_ON}"),
        0o600,
    )?;
    write("users.toml", USERS, 0o600)?;
    write("ca.pem", CA, 0o644)?;
    write("other", &format!("auth required {shim}\n"), 0o644)
}

/// The module silences panics for good, once: a finding must be heard.
fn keep_panic_hook() {
    let hook = std::panic::take_hook();
    perform(Call::default());
    std::panic::set_hook(hook);
    assert_eq!(calls(), 1, "libpam does not reach the module");
}

/// How often libpam has called the module in this thread: an input that libpam refuses proves nothing.
pub fn calls() -> usize {
    CALLS.get()
}

/// Makes `call`, and panics if a promise is broken. `None` when libpam itself refused.
pub fn perform(call: Call) -> Option<Seen> {
    let (context, promises) = (format!("{call:?}"), Promises::for_call(&call));
    STATE.with(|place| {
        place.replace(State {
            call,
            ..State::default()
        })
    });
    // libpam's own lines go by a descriptor that glibc keeps for the whole process, whose other threads have others.
    // SAFETY: the ident is static, as openlog(3) keeps the pointer.
    unsafe { libc::openlog(c"application".as_ptr(), libc::LOG_NDELAY, libc::LOG_USER) };
    call_libpam();
    // SAFETY: closelog(3) takes nothing.
    unsafe { libc::closelog() };
    let State {
        mut seen, entered, ..
    } = STATE.take();
    let lines = LOG.with(|log| log.get().expect("enter_sandbox comes first").drain());
    if !entered {
        return None;
    }
    let mut lines = lines.into_iter().filter(|line| LogLine::is_ours(line));
    if seen.passed_over() {
        assert_eq!(lines.next(), None, "a log line: {context}");
        promises.passed_over(&seen);
        return Some(seen);
    }
    seen.raw = lines
        .next()
        .unwrap_or_else(|| panic!("no log line: {context}"));
    assert_eq!(lines.next(), None, "a second log line: {context}");
    promises.hold(&seen);
    Some(seen)
}

fn call_libpam() {
    let Some(handle) = start() else {
        return;
    };
    let items = with_state(|state| {
        state.handle = NonNull::new(handle);
        let call = &state.call;
        [
            (libpam::PAM_USER, call.user.clone()),
            (libpam::PAM_RHOST, call.rhost.clone()),
            (libpam::PAM_TTY, call.tty.clone()),
            (libpam::PAM_RUSER, call.ruser.clone()),
        ]
    });
    for (item, text) in items {
        set_item(handle, item, text.as_deref());
    }
    put_auth_info(handle);
    let delay: libpam::FailDelay = note_delay;
    let silent = with_state(|state| state.call.silent);
    let flags = if silent { libpam::PAM_SILENT } else { 0 };
    let (authenticate, _) = libpam::function(Entry::Authenticate).expect("it is one");
    // SAFETY: the handle is live until pam_end; the function is static.
    unsafe {
        libpam::pam_set_item(handle, libpam::PAM_FAIL_DELAY, delay as *const c_void);
        let code = authenticate(handle, flags);
        libpam::pam_end(handle, code);
    }
}

fn start() -> Option<*mut PamHandle> {
    let (service, nobody) = with_state(|state| (state.call.service.clone(), state.call.nobody));
    let conversation = PamConv {
        converse: (!nobody).then_some(converse as libpam::Converse),
        data: ptr::null_mut(),
    };
    let folder = c_string(FOLDER.as_bytes());
    let mut handle = ptr::null_mut();
    // SAFETY: libpam copies the strings and the structure.
    unsafe {
        libpam::pam_start_confdir(
            service.as_deref().unwrap_or(c"sshd").as_ptr(),
            ptr::null(),
            &conversation,
            folder.as_ptr(),
            &mut handle,
        );
    }
    (!handle.is_null()).then_some(handle)
}

fn put_auth_info(handle: *mut PamHandle) {
    let auth_info = with_state(|state| state.call.auth_info.clone());
    if let Some(auth_info) = auth_info {
        let variable = c_string(&[b"SSH_AUTH_INFO_0=", auth_info.to_bytes()].concat());
        // SAFETY: the handle is live, and libpam copies the string.
        unsafe { libpam::pam_putenv(handle, variable.as_ptr()) };
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

fn with_state<T>(what: impl FnOnce(&mut State) -> T) -> T {
    STATE.with_borrow_mut(what)
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
    if with_state(|state| std::mem::replace(&mut state.entered, true)) {
        return PAM_IGNORE;
    }
    CALLS.set(CALLS.get() + 1);
    let (words, authtok) = with_state(|state| {
        let call = &mut state.call;
        (std::mem::take(&mut call.words), call.authtok.take())
    });
    set_item(handle, PAM_AUTHTOK, authtok.as_deref());
    note_user(handle);
    let argv: Vec<_> = words.iter().map(|word| word.as_ptr()).collect();
    let argc = c_int::try_from(argv.len()).unwrap_or(c_int::MAX);
    let module = MODULE.get().expect("the sandbox was entered");
    let before = descriptors();
    // SAFETY: the handle is libpam's own, and the words outlive the call.
    let code = unsafe { module(handle, flags, argc, argv.as_ptr()) };
    let descriptors = [before, descriptors()];
    note_user(handle);
    with_state(|state| {
        (state.seen.code, state.seen.descriptors) = (code, descriptors);
        state.seen.items = LOGGED_ITEMS
            .map(|(key, item)| (key, get_item(handle, item)))
            .into();
    });
    code
}

fn note_user(handle: *mut PamHandle) {
    let user = get_item(handle, libpam::PAM_USER);
    with_state(|state| state.seen.users.push(user));
}

/// Of this thread, which shares them with nobody.
fn descriptors() -> usize {
    let entries = fs::read_dir("/proc/thread-self/fd").expect("/proc");
    entries.count()
}

/// # Safety
/// Called by libpam.
unsafe extern "C" fn note_delay(_: c_int, delay_us: c_uint, _: *mut c_void) {
    with_state(|state| state.seen.delayed |= delay_us > 0);
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
        let message = &**messages;
        (message.style, CStr::from_ptr(message.text).to_bytes())
    };
    let (reply, handle) = with_state(|state| {
        state.seen.said.push((style, text.to_vec()));
        (state.reply(style), state.handle)
    });
    if let (Some(user), Some(handle)) = (&reply.user, handle) {
        set_item(handle.as_ptr(), libpam::PAM_USER, Some(user));
        note_user(handle.as_ptr());
    }
    if reply.code == libpam::PAM_SUCCESS && !reply.no_array {
        let text = reply.text.iter().map(|text| text.to_bytes().to_vec());
        with_state(|state| state.seen.replies.extend(text));
        // SAFETY: where the module wants the array.
        unsafe { *replies = allocate(&reply) };
    }
    reply.code
}

/// From malloc(3), because the module frees it.
fn allocate(reply: &Reply) -> *mut PamResponse {
    let (count, code) = if reply.too_many { (2, -1) } else { (1, 0) };
    // SAFETY: calloc(3) gives room for that many responses, or NULL; strdup(3) copies a C string.
    unsafe {
        let array = libc::calloc(count, size_of::<PamResponse>()).cast::<PamResponse>();
        if let Some(first) = array.as_mut() {
            let text = reply.text.as_ref();
            first.text = text.map_or(ptr::null_mut(), |text| libc::strdup(text.as_ptr()));
            first.code = code;
        }
        array
    }
}

impl State {
    /// Only prompts use up replies.
    fn reply(&mut self, style: c_int) -> Reply {
        match style {
            1 | 2 => self.call.replies.pop_front(),
            _ => Some(Reply::code(self.call.message_code)),
        }
        .unwrap_or_else(|| Reply::code(libpam::PAM_CONV_ERR))
    }
}
