//! iVALT, hosts and users in memory: the steps of a login, the lock and the record as they are, HTTP without a network, and
//! a time that passes only where somebody waits.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use super::is_meant_by_enter;
use crate::api::{Client, Roots};
use crate::arguments::{Debug, FirstPass};
use crate::authenticate::{Call, Context, conclude};
use crate::conversation::{Application, ApplicationError, Conversation, Echo, NoAnswer};
use crate::log_line::Origin;
use crate::report::Report;
use crate::secret::Secret;
use crate::settings::Settings;
use crate::sys::{LookUpFailed, Platform};
use crate::token::Tokens;
use crate::trusted_file::Trust;

pub const KEY: &str = "key-Wh1sp3r0ut";

/// What iVALT knows of the one mobile that all are about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phone {
    /// Nothing was sent, or it is over.
    Quiet,
    Pending,
    Approved,
    Refused,
}

/// Where a process is when it is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stopped {
    InPause,
    BeforeAnswer,
}

/// Where a process is stopped, for how long, and what happens meanwhile.
pub type Stop = (Stopped, Duration, fn(&mut World));

/// iVALT, and the time.
pub struct World {
    pub now: Duration,
    /// For so long the process is stopped in its next pause, or until the next answer, and what happens meanwhile.
    pub stopped: Option<Stop>,
    pub phone: Phone,
    /// Whether an approval can be read once.
    pub is_used_up: bool,
    /// What it answers next, whatever it knows: to which operation, status and body.
    pub scripted: VecDeque<(&'static str, u16, String)>,
    /// What came, and when: the operation's beginning or a pause.
    pub seen: Vec<(u64, String)>,
}

pub type Shared = Arc<Mutex<World>>;

thread_local!(static WORLD: RefCell<Option<Shared>> = const { RefCell::new(None) });

/// The world of this thread, for functions that cannot be told.
pub fn enter(world: &Shared) {
    WORLD.set(Some(Arc::clone(world)));
}

fn world<T>(what: impl FnOnce(&mut World) -> T) -> T {
    let world = WORLD.with_borrow(|world| world.clone().expect("no world was entered"));
    let mut world = world.lock().unwrap();
    what(&mut world)
}

pub fn pause(time: Duration) {
    world(|world| {
        world.now += time;
        if !time.is_zero() {
            world.stop(Stopped::InPause);
        }
    });
}

pub fn boot_clock() -> Duration {
    world(|world| world.now)
}

pub const APPROVAL: &str = r#"{"data":{"status":true,"message":"done","details":{"name":"A","country_code":"91","mobile":"6283974746"}}}"#;
const SENT: &str = r#"{"data":{"status":true,"message":"sent","details":null}}"#;
pub const PENDING: &str =
    r#"{"error":{"detail":"The mobile number provided (6283974746) was not found."}}"#;
pub const GEOFENCE: &str = r#"{"error":{"detail":"You are not within the geofencing location."}}"#;

impl World {
    pub fn new() -> Shared {
        Arc::new(Mutex::new(Self {
            now: Duration::from_secs(1_000),
            stopped: None,
            phone: Phone::Quiet,
            is_used_up: false,
            scripted: VecDeque::new(),
            seen: Vec::new(),
        }))
    }

    /// The owner approves what the phone shows, if it shows anything.
    pub fn tap(&mut self) {
        if self.phone == Phone::Pending {
            self.phone = Phone::Approved;
        }
    }

    fn stop(&mut self, place: Stopped) {
        if let Some((_, time, meanwhile)) = self.stopped.take_if(|stopped| stopped.0 == place) {
            self.now += time;
            meanwhile(self);
        }
    }

    fn answer(&mut self, operation: &str) -> (u16, String) {
        self.stop(Stopped::BeforeAnswer);
        self.seen.push((self.now.as_secs(), operation.to_owned()));
        let scripted = self.scripted.front();
        if scripted.is_some_and(|(next, ..)| *next == operation) {
            let (_, status, body) = self.scripted.pop_front().unwrap();
            return (status, body);
        }
        match (operation, self.phone) {
            ("start", Phone::Approved) => (200, SENT.to_owned()),
            ("start", _) => {
                self.phone = Phone::Pending;
                (200, SENT.to_owned())
            }
            (_, Phone::Approved) => {
                if self.is_used_up {
                    self.phone = Phone::Quiet;
                }
                (200, APPROVAL.to_owned())
            }
            (_, Phone::Refused) => (403, GEOFENCE.to_owned()),
            (_, Phone::Quiet | Phone::Pending) => (404, PENDING.to_owned()),
        }
    }
}

fn serve(world: &Shared, request: &[u8]) -> Vec<u8> {
    let request = String::from_utf8(request.to_vec()).unwrap();
    let operation = match request.split(' ').nth(1).unwrap() {
        "/push/biometric-auth-request" => "start",
        "/push/biometric-geo-fence-auth-results" => "poll",
        "/admin/validate/global/rest/auth" => "token",
        other => panic!("{other}"),
    };
    assert!(
        request.contains(&format!("x-api-key: {KEY}\r\n")),
        "{request}"
    );
    assert!(
        request.contains(r#"{"mobile":"+916283974746""#),
        "{request}"
    );
    let (status, body) = world.lock().unwrap().answer(operation);
    let length = body.len();
    format!("HTTP/1.1 {status} X\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}")
        .into_bytes()
}

/// One machine with its users and its locks.
pub struct Host {
    folder: tempfile::TempDir,
    pub settings: String,
    pub service: &'static str,
}

impl Host {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let users = folder.path().join("users.toml");
        let settings = format!(
            "users_file = {users:?}\n[api]\nkey = \"{KEY}\"\nurl = \"https://192.0.2.1/admin\"\n[push]\nenabled = true\n\
             accept_unbound_approvals = true\nurl = \"https://192.0.2.1/push\"\n"
        );
        let host = Self {
            folder,
            settings,
            service: "sshd",
        };
        host.write_users(
            "alice = '+916283974746'\nbob = { mobile = '+916283974746', enabled = false }",
        );
        host
    }

    pub fn write_users(&self, entries: &str) {
        let path = self.users_file();
        fs::write(&path, format!("[users]\n{entries}\n")).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
    }

    pub fn users_file(&self) -> PathBuf {
        self.folder.path().join("users.toml")
    }

    pub fn directory(&self) -> PathBuf {
        self.folder.path().join("ivalt/push")
    }

    /// One call, from the first prompt to the log.
    pub fn log_in(&self, world: &Shared, rhost: &str, application: &mut dyn Application) -> Report {
        enter(world);
        let effective_uid = fs::metadata("/proc/self").unwrap().uid();
        let trust = Trust { effective_uid };
        let settings = Settings::parse(Path::new("ivalt.toml"), &self.settings, trust).unwrap();
        let origin = Origin {
            service: self.service.into(),
            rhost: rhost.as_bytes().to_vec(),
            ..Origin::default()
        };
        let directory = self.directory();
        let served = Arc::clone(world);
        let service = Arc::new(move |request: &[u8]| serve(&served, request));
        let mut report = Report::default();
        let password = application.password().unwrap();
        let push = is_meant_by_enter(&settings, FirstPass::Never, Some(&origin));
        let call = Call {
            settings: &settings,
            context: Context {
                trust,
                platform: PLATFORM,
                account: |_| Ok(None),
                login: Some(&origin),
                push_directory: &directory,
            },
            client: Client::served_by(service, Secret::new(KEY.into()), roots()),
            tokens: Tokens::new(FirstPass::Never, &settings, push, password),
            debug: Debug::Off,
            report: &mut report,
        };
        let decision = call.decide(application, None);
        conclude(decision, application, &mut report);
        report
    }
}

/// A login by push needs some; nobody is verified by them here.
fn roots() -> Arc<Roots> {
    static ROOTS: OnceLock<Arc<Roots>> = OnceLock::new();
    let roots = ROOTS.get_or_init(|| {
        let certificate = rcgen::generate_simple_self_signed(["x".to_owned()]);
        let pem = certificate.unwrap().cert.pem();
        Arc::new(Roots::from_pem("memory".into(), pem.into_bytes()))
    });
    Arc::clone(roots)
}

const PLATFORM: Platform = Platform {
    look_up: |_, _, _| Err(LookUpFailed::NoAddress("names are not looked up here")),
    spawn: |_| Err(std::io::ErrorKind::Unsupported.into()),
    pause,
    boot_clock,
};

/// What happens at one prompt, before the answer.
pub struct Step {
    pub before: Box<dyn FnMut(&mut Script) + Send>,
    /// `None` hangs up.
    pub answer: Option<&'static str>,
}

/// A user who does what was written beforehand.
pub struct Script {
    pub user: &'static str,
    pub password: Option<&'static [u8]>,
    pub steps: VecDeque<Step>,
    /// Prompts, and sentences after `!`.
    pub said: Vec<String>,
}

impl Script {
    pub fn new(user: &'static str) -> Self {
        Self {
            user,
            password: None,
            steps: VecDeque::new(),
            said: Vec::new(),
        }
    }

    pub fn answer(self, answer: &'static str) -> Self {
        self.after(|_| {}, Some(answer))
    }

    pub fn after(
        mut self,
        before: impl FnMut(&mut Self) + Send + 'static,
        answer: Option<&'static str>,
    ) -> Self {
        let before = Box::new(before);
        self.steps.push_back(Step { before, answer });
        self
    }
}

impl Conversation for Script {
    fn ask(&mut self, prompt: &str, _: Echo) -> Result<Secret, NoAnswer> {
        self.said.push(prompt.to_owned());
        let mut step = self.steps.pop_front().ok_or(NoAnswer)?;
        (step.before)(self);
        let answer = step.answer.ok_or(NoAnswer)?;
        Ok(Secret::new(answer.into()))
    }

    fn tell(&mut self, sentence: &str) {
        self.said.push(format!("!{sentence}"));
    }
}

impl Application for Script {
    fn user(&mut self) -> Result<Vec<u8>, ApplicationError> {
        Ok(self.user.into())
    }

    fn password(&mut self) -> Result<Option<Secret>, ApplicationError> {
        Ok(self.password.map(|password| Secret::new(password.into())))
    }
}
