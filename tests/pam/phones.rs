//! Push as a test needs it: a machine with a `/run` of its own, a user with a phone, and what the owner does with it.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use ivalt_core::push::Record;
use support::codes::{PAM_AUTH_ERR, PAM_SUCCESS};
use support::{Answer, Case, Reply, Report, Severity, StandIn, TempDir, users};

use crate::expect::Row;

pub const APPROVED: Row = Row("allow", "push-approved", PAM_SUCCESS, Severity::Info);
pub const DENIED: Row = Row("deny", "push-denied", PAM_AUTH_ERR, Severity::Warning);
pub const NOT_APPROVED: Row = Row("deny", "push-unanswered", PAM_AUTH_ERR, Severity::Warning);
pub const BUSY: Row = Row("deny", "push-busy", PAM_AUTH_ERR, Severity::Warning);
pub const LIMITED: Row = Row("deny", "push-limited", PAM_AUTH_ERR, Severity::Warning);
pub const STALE: Row = Row("deny", "push-stale", PAM_AUTH_ERR, Severity::Warning);

/// What the user reads.
pub const OR_ENTER: &str = "iVALT token, or Enter for a request on your phone: ";
pub const APPROVE: &str = "Approve the request on your phone, then press Enter: ";
pub const AGAIN: &str = "Not approved yet. Approve the request on your phone, then press Enter: ";
pub const NOBODY: &str = "Nobody approved the request in time.";
pub const ANOTHER_WAITS: &str = "Another login is waiting for an answer on this phone. If it is not yours, deny it there \
    and tell your administrator.";
pub const HELD_BACK: &str =
    "Requests to this phone are held back for now; a token or a recovery code still works.";
pub const STILL_OPEN: &str = "An earlier request was still open on the phone; wait five minutes, approve nothing, and \
    try again.";
pub const SAID_NO: &str = "The request was denied.";

/// Requests to iVALT, as `StandIn::operations` names them.
pub const START: &str = "biometric-auth-request";
pub const POLL: &str = "biometric-geo-fence-auth-results";
pub const AUTH_RESULT: &str = "biometric-auth-result";

/// A machine: it has one `/run`, and so one lock and one record for a mobile.
pub struct Host {
    run: TempDir,
}

impl Host {
    pub fn new() -> Self {
        let run = TempDir::new();
        fs::set_permissions(run.path(), Permissions::from_mode(0o755)).unwrap();
        Self { run }
    }

    /// Whoever logs in as alice here; `number` makes the phone another.
    pub fn owner<'a>(&'a self, ivalt: &'a StandIn, number: u32) -> Owner<'a> {
        let mobile = format!("+9162839{number:05}");
        Owner {
            host: self,
            ivalt,
            mobile,
        }
    }

    /// Where `/run/ivalt/push` is.
    pub fn folder(&self) -> PathBuf {
        self.run.join("ivalt/push")
    }

    pub fn run(&self) -> &Path {
        self.run.path()
    }
}

/// alice, and the phone she is enrolled with.
pub struct Owner<'a> {
    pub host: &'a Host,
    pub ivalt: &'a StandIn,
    pub mobile: String,
}

impl Owner<'_> {
    /// Our module with push in this service. Its long sleeps take no time.
    pub fn case(&self) -> Case {
        let case = self.case_in_real_time().preload(&clock_ahead());
        let sleeps = case.dir().join("sleeps");
        case.env("SLEEPS", sleeps.to_str().unwrap())
    }

    pub fn case_in_real_time(&self) -> Case {
        let case = Case::against(self.ivalt).users(&users(&[("alice", &self.mobile)]));
        let settings = self.settings(&case);
        let case = case.with_settings(&settings).bind(self.host.run(), "/run");
        case.limit(Duration::from_secs(90))
    }

    /// Valid settings with push, to be changed.
    pub fn settings(&self, case: &Case) -> support::Settings {
        let settings = case.settings(self.ivalt).with_push(self.ivalt);
        // Several requests to a login, and several logins at once, on a machine that may be busy.
        settings.set("api", "timeout_seconds", 20)
    }

    pub fn will_answer(&self, words: &[&str]) {
        self.ivalt.will_answer(&self.mobile, words);
    }

    /// Requests so far.
    pub fn operations(&self) -> Vec<String> {
        self.ivalt.operations(&self.mobile)
    }

    /// The owner taps, and then this is typed.
    pub fn taps_and(&self, case: &Case, word: &str, answer: &str) -> Answer {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let prepared = case.dir().write(&format!("tap-{number}"), word, 0o600);
        let reply = Reply {
            answer: Some(answer.into()),
            renames: vec![(prepared, self.ivalt.tap_file(&self.mobile))],
            ..Reply::default()
        };
        reply.into()
    }

    /// Enter, and a tap of this kind before the second.
    pub fn with_tap(&self, case: Case, word: &str) -> Case {
        let tapped = self.taps_and(&case, word, "");
        case.answer("").answer(tapped)
    }

    /// The lock and record of this phone.
    pub fn record(&self) -> PathBuf {
        self.host
            .folder()
            .join(&self.mobile[self.mobile.len() - 9..])
    }

    /// What is remembered of this phone.
    pub fn remembered(&self) -> Record {
        let content = fs::read(self.record()).unwrap_or_default();
        Record::parse(&content).expect("a record that is whole")
    }

    /// Whether the next login will be held back.
    pub fn is_held(&self) -> bool {
        self.remembered().hold.is_some()
    }

    /// Whether the next login is held back, with its cause; it is given up before the request is answered.
    pub fn held(&self) -> Option<String> {
        self.held_later(0)
    }

    /// The same, so many seconds from now.
    pub fn held_later(&self, seconds: i64) -> Option<String> {
        let before = self.operations().len();
        self.will_answer(&["http-503"]);
        let report = later(self.case(), seconds).answer("").run();
        let line = report.log_line();
        let asked = self.operations().len() - before;
        match line.reason().as_str() {
            "push-limited" => {
                crate::expect::expect(&report, LIMITED);
                assert_eq!((report.told(), asked), (vec![HELD_BACK], 0));
                fs::remove_file(self.ivalt.answers_file(&self.mobile)).unwrap();
                Some(line.get("cause"))
            }
            "unavailable" => {
                assert_eq!(asked, 1, "{line:?}");
                None
            }
            other => panic!("{other}: {line:?}"),
        }
    }
}

/// The clock that counts from the boot is so many seconds ahead.
pub fn later(case: Case, seconds: i64) -> Case {
    case.env("BOOT_AHEAD", &seconds.to_string())
}

/// How long the module slept, in whole seconds.
pub fn sleeps(case: &Case) -> Vec<u64> {
    let notes = fs::read_to_string(case.dir().join("sleeps")).unwrap_or_default();
    notes.lines().map(|line| line.parse().unwrap()).collect()
}

/// A hidden copy of the report's prompts.
#[track_caller]
pub fn prompts(report: &Report, expected: &[&str]) {
    assert_eq!(report.prompts(), expected);
}

/// See the C file; made once, and left among cargo's own.
fn clock_ahead() -> PathBuf {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    let make = || {
        let dir = TempDir::new();
        let made = crate::isolation::compiled("clock_ahead", &dir);
        let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join("clock_ahead.so");
        let unfinished = kept.with_extension(std::process::id().to_string());
        fs::copy(made, &unfinished).unwrap();
        fs::rename(unfinished, &kept).unwrap();
        kept
    };
    LIBRARY.get_or_init(make).clone()
}
