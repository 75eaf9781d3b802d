//! Runs the system's ldapsearch(1): one search at one server, within a time of ours.

use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::users::sync::settings::{Bind, Ldap, Scheme, Uri};
use ivalt_core::secret::Secret;
use ivalt_core::sys;

/// Where distributions install it.
pub const PROGRAM: &str = "/usr/bin/ldapsearch";
/// Ten times what a hundred thousand people take.
const MOST_OUTPUT: usize = 512 << 20;
/// Its words about what went wrong are a few lines.
const MOST_ERRORS: usize = 64 << 10;

/// Who asks, and whom is trusted.
#[derive(Debug)]
pub struct Caller<'a> {
    /// How the directory is asked.
    pub settings: &'a Ldap,
    /// The password of a simple bind.
    pub password: Option<Secret>,
    /// PEM bundle.
    pub ca_file: PathBuf,
}

/// One search.
#[derive(Debug)]
pub struct Query<'a> {
    /// `base`, `one` or `sub`.
    pub scope: &'static str,
    /// Where it begins.
    pub base: &'a str,
    /// In parentheses.
    pub filter: &'a str,
    /// What is asked for.
    pub attributes: Vec<&'a str>,
}

/// Why there is no complete answer.
#[derive(Debug, PartialEq, Eq)]
pub enum Failed {
    /// It could not be run, in words.
    NotRun(String),
    /// It did not end in time.
    TimedOut,
    /// It gave more than could be people.
    TooMuch,
    /// Its exit status, which is a result code of LDAP or 255, and its words.
    Status(i32, String),
}

impl From<io::Error> for Failed {
    fn from(error: io::Error) -> Self {
        Self::NotRun(not_run(&error))
    }
}

impl Caller<'_> {
    /// All that the search prints, if it ends with success before `until`.
    ///
    /// # Errors
    /// Anything else: a part of an answer is none.
    pub fn search(&self, uri: &Uri, query: &Query, until: Instant) -> Result<Vec<u8>, Failed> {
        let child = self.command(uri, query, until).spawn()?;
        Running(child).answer(self.password.as_ref(), until)
    }

    /// The environment is empty but for what is set here, and LDAPNOINIT: neither ldap.conf nor ldaprc nor a variable
    /// changes what is trusted (ldap.conf(5)). The password is in neither of them, nor among the arguments.
    fn command(&self, uri: &Uri, query: &Query, until: Instant) -> Command {
        let seconds = until.saturating_duration_since(Instant::now()).as_secs() + 1;
        #[expect(clippy::disallowed_methods, reason = "not inside another's process")]
        let mut command = Command::new(PROGRAM);
        command
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("LC_ALL", "C")
            .env("LDAPNOINIT", "1")
            .current_dir("/")
            .args(["-LLL", "-o", "ldif_wrap=no"])
            .args(["-o", &format!("nettimeout={seconds}")])
            .args(["-l", &seconds.to_string()])
            .args(["-H", &uri.text]);
        self.tls(&mut command, uri);
        self.bind(&mut command, uri);
        command.args(["-s", query.scope, "-b", query.base]);
        if query.scope == "sub" {
            command.args(["-E", &format!("pr={}/noprompt", self.settings.page)]);
        }
        command.arg(query.filter).args(&query.attributes);
        let stdin = self
            .password
            .as_ref()
            .map_or(Stdio::null(), |_| Stdio::piped());
        command
            .stdin(stdin)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        sys::in_session_of_its_own(&mut command);
        command
    }

    fn tls(&self, command: &mut Command, uri: &Uri) {
        if uri.scheme == Scheme::Ldapi {
            return;
        }
        let ca_file = format!("TLS_CACERT={}", self.ca_file.display());
        command.args(["-o", "TLS_REQCERT=demand", "-o", &ca_file]);
        // TLS 1.2, in OpenLDAP's numbers.
        command.args(["-o", "TLS_PROTOCOL_MIN=3.3"]);
        if self.settings.starttls {
            command.arg("-ZZ");
        }
    }

    fn bind(&self, command: &mut Command, uri: &Uri) {
        match &self.settings.bind {
            Bind::Simple { dn, .. } => {
                command.args(["-x", "-D", dn, "-y", "/proc/self/fd/0"]);
            }
            Bind::Gssapi { keytab } => {
                command.args([
                    "-Q",
                    "-N",
                    "-Y",
                    "GSSAPI",
                    "-O",
                    gssapi_layer(uri, self.settings.starttls),
                ]);
                if uri.scheme != Scheme::Ldap || self.settings.starttls {
                    // AD may refuse a bind that is not tied to its TLS connection (RFC 5929).
                    command.args(["-o", "SASL_CBINDING=tls-endpoint"]);
                }
                let keytab = format!("FILE:{}", keytab.display());
                command.env("KRB5_CLIENT_KTNAME", keytab);
                command.env("KRB5CCNAME", "MEMORY:");
            }
            Bind::External(certificate) => {
                command.args(["-Q", "-Y", "EXTERNAL"]);
                if let Some(certificate) = certificate {
                    let file = |name: &str, path: &Path| format!("{name}={}", path.display());
                    command.args(["-o", &file("TLS_CERT", &certificate.cert_file)]);
                    command.args(["-o", &file("TLS_KEY", &certificate.key_file)]);
                }
            }
        }
    }
}

/// Without TLS, Kerberos itself encrypts; AD refuses both at once.
fn gssapi_layer(uri: &Uri, starttls: bool) -> &'static str {
    match uri.scheme == Scheme::Ldap && !starttls {
        true => "minssf=56",
        false => "minssf=0,maxssf=0",
    }
}

fn not_run(error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::NotFound => format!(
            "{PROGRAM} is not installed; install it: apt install ldap-utils (Debian, Ubuntu), dnf install openldap-clients \
             (Fedora, RHEL), or zypper install openldap2-client (SUSE)"
        ),
        _ => format!(
            "{PROGRAM} cannot be run: {}",
            ivalt_core::problem::reason(error)
        ),
    }
}

/// A program that does not outlive this value.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        if matches!(self.0.try_wait(), Ok(Some(_))) {
            return;
        }
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Running {
    fn answer(mut self, password: Option<&Secret>, until: Instant) -> Result<Vec<u8>, Failed> {
        if let (Some(mut pipe), Some(password)) = (self.0.stdin.take(), password) {
            // A pipe holds more than a password; a program that has ended already has said why.
            let _ = pipe.write_all(password.as_bytes());
        }
        let output = Pipe::new(self.0.stdout.take().map(OwnedFd::from), MOST_OUTPUT)?;
        let errors = Pipe::new(self.0.stderr.take().map(OwnedFd::from), MOST_ERRORS)?;
        let (output, errors) = read_both(output, errors, until)?;
        let status = self.status(until)?;
        let words = String::from_utf8_lossy(&errors).into_owned();
        match (status.code(), status.signal()) {
            (Some(0), _) => Ok(output),
            (Some(code), _) => Err(Failed::Status(code, words)),
            (None, signal) => {
                let signal = signal.unwrap_or_default();
                Err(Failed::NotRun(format!(
                    "{PROGRAM} was ended by signal {signal}"
                )))
            }
        }
    }

    fn status(&mut self, until: Instant) -> Result<ExitStatus, Failed> {
        loop {
            if let Some(status) = self.0.try_wait()? {
                return Ok(status);
            }
            if Instant::now() >= until {
                return Err(Failed::TimedOut);
            }
            sleep(Duration::from_millis(2));
        }
    }
}

/// To their ends.
fn read_both(
    mut output: Pipe,
    mut errors: Pipe,
    until: Instant,
) -> Result<(Vec<u8>, Vec<u8>), Failed> {
    while output.file.is_some() || errors.file.is_some() {
        if Instant::now() >= until {
            return Err(Failed::TimedOut);
        }
        wait_for_input([&output, &errors], until)?;
        output.read()?;
        errors.read()?;
        if output.bytes.len() > MOST_OUTPUT || errors.bytes.len() > MOST_ERRORS {
            return Err(Failed::TooMuch);
        }
    }
    Ok((output.bytes, errors.bytes))
}

/// What a program prints, up to a limit.
struct Pipe {
    file: Option<File>,
    bytes: Vec<u8>,
    most: usize,
}

impl Pipe {
    fn new(pipe: Option<OwnedFd>, most: usize) -> io::Result<Self> {
        let file = pipe.map(File::from);
        if let Some(file) = &file {
            rustix::io::ioctl_fionbio(file, true)?;
        }
        let bytes = Vec::new();
        Ok(Self { file, bytes, most })
    }

    /// What is there now; the end closes it.
    fn read(&mut self) -> io::Result<()> {
        let mut piece = [0; 64 << 10];
        while let Some(file) = &mut self.file {
            match file.read(&mut piece) {
                Ok(0) => self.file = None,
                Ok(length) => self.bytes.extend_from_slice(&piece[..length]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
            if self.bytes.len() > self.most {
                break;
            }
        }
        Ok(())
    }
}

/// Until one of them has something, or has ended; at most until then.
fn wait_for_input(pipes: [&Pipe; 2], until: Instant) -> io::Result<()> {
    let left = until.saturating_duration_since(Instant::now());
    let timeout = Timespec {
        tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: left.subsec_nanos().into(),
    };
    let open = pipes.into_iter().filter_map(|pipe| pipe.file.as_ref());
    let mut open: Vec<_> = open.map(|file| PollFd::new(file, PollFlags::IN)).collect();
    match poll(&mut open, Some(&timeout)) {
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
