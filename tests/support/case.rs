//! One run of pam-client: a service file, a script, and what came of it.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::artifacts::{example, helper_module, module_path};
use super::files::TempDir;
use super::obfuscate::obfuscated;
use super::report::{Entry, Report};
use super::script::{Answer, DevLog, Script, Soak, Text};
use super::settings::{Settings, users};
use super::stand_in::StandIn;
use super::terminal::Terminal;

/// The service all cases use.
pub const SERVICE: &str = "ivalt-test";

/// A stack of PAM modules, files for ours, and a script; `run` may be called again and again.
#[derive(Debug)]
pub struct Case {
    dir: TempDir,
    module: PathBuf,
    control: String,
    arguments: Vec<String>,
    before: Vec<String>,
    after: Vec<String>,
    limit: Duration,
    preload: Option<PathBuf>,
    terminal: bool,
    checker: Vec<OsString>,
    /// Everything else pam-client understands.
    pub script: Script,
}

impl Case {
    /// Any module on its own: an absolute path, or a name in the system's folder.
    pub fn new(module: impl AsRef<Path>) -> Self {
        let dir = TempDir::new();
        let script = Script {
            confdir: dir.path().to_owned(),
            service: SERVICE.to_owned(),
            user: Some("alice".into()),
            ..Script::default()
        };
        Self {
            dir,
            module: module.as_ref().to_owned(),
            control: "required".to_owned(),
            arguments: Vec::new(),
            before: Vec::new(),
            after: Vec::new(),
            limit: Duration::from_secs(30),
            preload: None,
            terminal: false,
            checker: Vec::new(),
            script,
        }
    }

    /// Our module with `config=` of valid settings against this stand-in; alice has +916283974746.
    pub fn against(ivalt: &StandIn) -> Self {
        let case = Self::new(module_path()).users(&users(&[("alice", "+916283974746")]));
        let settings = case.settings(ivalt);
        let config = format!("config={}", case.config().display());
        case.with_settings(&settings).argument(&config)
    }

    /// The folder of this case: the confdir, and where its settings and users are.
    pub fn dir(&self) -> &TempDir {
        &self.dir
    }

    /// Where `with_settings` writes.
    pub fn config(&self) -> PathBuf {
        self.dir.join("ivalt.toml")
    }

    /// Where `users` writes.
    pub fn users_file(&self) -> PathBuf {
        self.dir.join("users.toml")
    }

    /// Where `synced` writes.
    pub fn synced_file(&self) -> PathBuf {
        self.dir.join("synced.toml")
    }

    /// Valid settings that name this case's users file, to be changed and given to `with_settings`.
    pub fn settings(&self, ivalt: &StandIn) -> Settings {
        Settings::against(ivalt, &self.users_file())
    }

    /// Writes `ivalt.toml`, mode 0600.
    pub fn with_settings(self, settings: &Settings) -> Self {
        self.settings_text(&settings.text())
    }

    /// Writes `ivalt.toml` of any text, mode 0600.
    pub fn settings_text(self, text: &str) -> Self {
        self.dir.write("ivalt.toml", text, 0o600);
        self
    }

    /// Writes `users.toml` of any text, mode 0600.
    pub fn users(self, text: &str) -> Self {
        self.dir.write("users.toml", text, 0o600);
        self
    }

    /// Writes a `synced_users_file` of any text, mode 0600, for settings that name it.
    pub fn synced(self, text: &str) -> Self {
        self.dir.write("synced.toml", text, 0o600);
        self
    }

    /// A module argument; blanks and brackets are taken care of.
    pub fn argument(mut self, word: &str) -> Self {
        self.arguments.push(word.to_owned());
        self
    }

    /// Leaves out every argument given so far.
    pub fn without_arguments(mut self) -> Self {
        self.arguments.clear();
        self
    }

    /// The control field of the module's lines; `required` without.
    pub fn control(mut self, control: &str) -> Self {
        self.control = control.to_owned();
        self
    }

    /// A whole line of the service file above the module's.
    pub fn line_before(mut self, line: &str) -> Self {
        self.before.push(line.to_owned());
        self
    }

    /// A whole line of the service file below the module's.
    pub fn line_after(mut self, line: &str) -> Self {
        self.after.push(line.to_owned());
        self
    }

    /// `PAM_AUTHTOK` as a module above ours would have left it.
    pub fn authtok(self, password: &str) -> Self {
        let argument = quoted(&format!("authtok={password}"));
        let helper = helper_module("pam_set_authtok");
        self.line_before(&format!("auth optional {} {argument}", helper.display()))
    }

    /// As [`Case::authtok`], with a password that must not leak.
    pub fn hidden_authtok(self, password: &str) -> Self {
        let digits = obfuscated(password.as_bytes()).into_iter();
        let digits = digits.map(|byte| format!("{byte:02x}"));
        let digits = digits.collect::<Vec<_>>().concat();
        let helper = helper_module("pam_set_authtok");
        self.line_before(&format!(
            "auth optional {} obfuscated={digits}",
            helper.display()
        ))
    }

    /// No copy of this secret may be left in the process after a call. Long ones only: free(3) writes over the first
    /// bytes of what it frees, so they are not looked for, and registers may hold bytes like a short rest.
    pub fn must_not_leak(mut self, name: &str, secret: &str) -> Self {
        let rest = secret.as_bytes().get(32..).expect("a long secret");
        assert!(rest.len() > 64, "a longer secret");
        self.script
            .must_not_leak
            .insert(name.to_owned(), obfuscated(rest));
        self
    }

    /// After the module, `PAM_AUTHTOK` is shown to the user: `PAM_AUTHTOK=…` among the messages.
    pub fn show_authtok(self) -> Self {
        let helper = helper_module("pam_set_authtok");
        self.line_after(&format!("auth optional {} show", helper.display()))
    }

    /// `PAM_USER`; alice without.
    pub fn user(mut self, user: impl Into<Text>) -> Self {
        self.script.user = Some(user.into());
        self
    }

    /// `PAM_USER` stays unset, so that the module must ask.
    pub fn without_user(mut self) -> Self {
        self.script.user = None;
        self
    }

    /// `PAM_RHOST`
    pub fn rhost(mut self, rhost: impl Into<Text>) -> Self {
        self.script.rhost = Some(rhost.into());
        self
    }

    /// `PAM_TTY`
    pub fn tty(mut self, tty: impl Into<Text>) -> Self {
        self.script.tty = Some(tty.into());
        self
    }

    /// `PAM_RUSER`
    pub fn ruser(mut self, ruser: impl Into<Text>) -> Self {
        self.script.ruser = Some(ruser.into());
        self
    }

    /// One more answer. Without any, every prompt meets the end of input.
    pub fn answer(mut self, answer: impl Into<Answer>) -> Self {
        self.script.answers.push(answer.into());
        self
    }

    /// `PAM_SILENT`
    pub fn silent(mut self) -> Self {
        self.script.silent = true;
        self
    }

    /// What is called on the handle; `pam_authenticate` once without.
    pub fn calls(mut self, calls: &[Entry]) -> Self {
        self.script.calls = calls.to_vec();
        self
    }

    /// A variable of the application's environment.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.script.env.insert(name.to_owned(), value.to_owned());
        self
    }

    /// A variable of the PAM environment.
    pub fn pam_env(mut self, name: &str, value: impl Into<Text>) -> Self {
        self.script.pam_env.insert(name.to_owned(), value.into());
        self
    }

    /// What is at `/dev/log`.
    pub fn dev_log(mut self, kind: DevLog) -> Self {
        self.script.dev_log = kind;
        self
    }

    /// Very many transactions and nothing else, with tokens that begin like these and end in a number of their own.
    pub fn rounds(mut self, rounds: u32, tokens: &[&str]) -> Self {
        self.script.soak = Some(Soak {
            rounds,
            warm_up: 100,
            tokens: tokens.iter().map(|token| (*token).to_owned()).collect(),
        });
        self
    }

    /// A file bound over another, for pam-client alone.
    pub fn bind(mut self, from: impl Into<PathBuf>, to: impl Into<PathBuf>) -> Self {
        self.script.binds.push((from.into(), to.into()));
        self
    }

    /// A library loaded before all others, for faults of the C library.
    pub fn preload(mut self, library: &Path) -> Self {
        self.preload = Some(library.to_owned());
        self
    }

    /// Standard input, output and error are a terminal; what is seen there is reported as stdout.
    pub fn on_a_terminal(mut self) -> Self {
        self.terminal = true;
        self
    }

    /// A program that runs pam-client and watches it, with its arguments.
    pub fn under(mut self, checker: impl IntoIterator<Item = OsString>) -> Self {
        self.checker = checker.into_iter().collect();
        self
    }

    /// Wall clock after which the process is killed; 30 s without.
    pub fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Runs, and panics unless the module left the process as it was, printed nothing, and ended in time.
    pub fn run(&self) -> Report {
        let observed = self.observe();
        assert_eq!(observed.stdout, "", "the module wrote to stdout");
        assert_eq!(observed.stderr, "", "the module wrote to stderr");
        assert!(
            observed.status.success(),
            "pam-client ended with {}",
            observed.status
        );
        let report = observed.report();
        assert_eq!(
            report.changes(),
            [] as [&str; 0],
            "the module left traces in the application"
        );
        report.clone()
    }

    /// Runs, and judges nothing but the time.
    pub fn observe(&self) -> Observed {
        self.write_service_file();
        let script = serde_json::to_vec(&self.script).expect("a script is JSON");
        let script = self.dir.write("script.json", script, 0o600);
        let report = self.dir.join("report.json");
        let _ = fs::remove_file(&report);
        let (stdout, stderr) = (self.dir.join("stdout"), self.dir.join("stderr"));
        let mut words = self
            .checker
            .iter()
            .cloned()
            .chain([example("pam-client").into()]);
        let mut command = Command::new(words.next().expect("a program"));
        command
            .args(words)
            .arg("--script")
            .arg(script)
            .arg("--report")
            .arg(&report);
        command.env_clear().current_dir("/").stdin(Stdio::null());
        command.envs(self.preload.iter().map(|library| ("LD_PRELOAD", library)));
        command.stdout(File::create(&stdout).expect("a file for stdout"));
        command.stderr(File::create(&stderr).expect("a file for stderr"));
        let terminal = self.terminal.then(|| Terminal::lend_to(&mut command));
        let mut process = command.spawn().expect("pam-client starts");
        drop(command);
        let status = self.wait(&mut process);
        let read = |path| String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned();
        Observed {
            status,
            stdout: terminal.map_or_else(|| read(stdout), Terminal::screen),
            stderr: read(stderr),
            report: serde_json::from_str(&read(report)).ok(),
        }
    }

    fn wait(&self, process: &mut Child) -> ExitStatus {
        let deadline = Instant::now() + self.limit;
        loop {
            if let Some(status) = process.try_wait().expect("the state of pam-client") {
                return status;
            }
            if Instant::now() > deadline {
                let _ = process.kill();
                let _ = process.wait();
                panic!("pam-client was not done after {:?}: killed", self.limit);
            }
            sleep(Duration::from_millis(2));
        }
    }

    /// The module for the types that are called: libpam complains in the log of functions a module lacks.
    pub fn write_service_file(&self) {
        let words: Vec<_> = self.arguments.iter().map(|word| quoted(word)).collect();
        let rest = format!(
            "{} {} {}",
            self.control,
            self.module.display(),
            words.join(" ")
        );
        let mut lines = self.before.clone();
        lines.push(format!("auth {rest}"));
        lines.extend(self.after.clone());
        lines.extend(self.other_types().map(|kind| format!("{kind} {rest}")));
        self.dir.write(SERVICE, lines.join("\n") + "\n", 0o644);
        // Every system has this file, and libpam complains when it has not.
        self.dir
            .write("other", "auth required pam_deny.so\n", 0o644);
    }

    fn other_types(&self) -> impl Iterator<Item = &'static str> {
        let types = [
            ("account", [Entry::AcctMgmt; 2]),
            ("session", [Entry::OpenSession, Entry::CloseSession]),
            ("password", [Entry::Chauthtok; 2]),
        ];
        let called = |entries: &[Entry]| {
            entries
                .iter()
                .any(|entry| self.script.calls.contains(entry))
        };
        types
            .into_iter()
            .filter(move |(_, entries)| called(entries))
            .map(|(kind, _)| kind)
    }
}

/// One word of a service file; pam.conf(5) puts blanks into brackets and escapes the closing one.
fn quoted(word: &str) -> String {
    if word.contains([' ', '\t', '[', ']']) {
        format!("[{}]", word.replace(']', "\\]"))
    } else {
        word.to_owned()
    }
}

/// A run, not judged.
#[derive(Debug)]
pub struct Observed {
    /// How the process ended.
    pub status: ExitStatus,
    /// What it, or the module in it, printed.
    pub stdout: String,
    /// What it, or the module in it, complained.
    pub stderr: String,
    report: Option<Report>,
}

impl Observed {
    /// Panics when there is none: a crash of the application, or a fault of pam-client.
    pub fn report(&self) -> &Report {
        let Some(report) = &self.report else {
            panic!(
                "no report, pam-client ended with {}: {}",
                self.status, self.stderr
            );
        };
        assert_eq!(report.skip, None, "mark the test #[sandbox_test]");
        report
    }
}

/// Whether this machine refuses pam-client its private `/dev`; then says so, with the name of the test. Asked by every
/// [`sandbox_test`](crate::sandbox_test).
#[must_use]
pub fn sandbox_unavailable() -> bool {
    static REASON: OnceLock<Option<String>> = OnceLock::new();
    let ask = || {
        Case::new("pam_deny.so")
            .observe()
            .report
            .and_then(|report| report.skip)
    };
    let Some(reason) = REASON.get_or_init(ask) else {
        return false;
    };
    skipped(reason);
    true
}

/// Whether this test cannot run without root; then says so, with the name of the test and the reason.
#[must_use]
pub fn no_root(reason: &str) -> bool {
    // SAFETY: geteuid(2) takes nothing and always succeeds.
    let missing = unsafe { libc::geteuid() } != 0;
    if missing {
        skipped(reason);
    }
    missing
}

/// Whether this machine lacks a program that `scripts/test` would have fetched; then says so, with the name of the
/// test.
#[must_use]
pub fn no_program(name: &str) -> bool {
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let missing = !std::env::split_paths(&folders).any(|folder| folder.join(name).exists());
    if missing {
        skipped(&format!("needs {name}"));
    }
    missing
}

/// Past libtest, which hides what a passing test prints.
pub fn skipped(reason: &str) {
    let thread = std::thread::current();
    let name = thread.name().unwrap_or("a test");
    let _ = writeln!(io::stderr(), "SKIPPED {name}: {reason}");
}
