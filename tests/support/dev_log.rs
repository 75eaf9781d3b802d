//! What is at `/dev/log`, and what arrived there.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;

use super::script::{DevLog, SLOW};

const PATH: &str = "/dev/log";
/// The ident this process gives to openlog(3), as su and sudo give theirs.
const IDENT: &std::ffi::CStr = c"pam-client-log";
/// Text of the datagrams that show which ident is in force.
const PROBE: &std::ffi::CStr = c"which ident is this?";

/// The receiving end. The senders of a full queue live as long.
pub struct Log {
    kind: DevLog,
    socket: Option<UnixDatagram>,
    reader: Option<libc::pid_t>,
}

impl Log {
    /// Makes `/dev/log`; only after [`super::sandbox::build`].
    pub fn place(kind: DevLog) -> io::Result<Self> {
        let socket = match kind {
            DevLog::Socket | DevLog::Full | DevLog::Slow => Some(bind()?),
            DevLog::Stale => bind().map(|_| None)?,
            DevLog::File => fs::write(PATH, "").map(|()| None)?,
            DevLog::Fifo => make_fifo().map(|()| None)?,
            DevLog::Missing => None,
        };
        if matches!(kind, DevLog::Full | DevLog::Slow) {
            fill()?;
        }
        let reader = socket.as_ref().filter(|_| kind == DevLog::Slow);
        let reader = reader.map(read_slowly).transpose()?;
        open_syslog();
        Ok(Self {
            kind,
            socket,
            reader,
        })
    }

    /// What arrived since the last time, without waiting.
    pub fn drain(&self) -> Vec<String> {
        match (self.kind, &self.socket) {
            (DevLog::Socket, Some(socket)) => std::iter::from_fn(|| receive(socket)).collect(),
            (DevLog::File, _) => take_lines(),
            _ => Vec::new(),
        }
    }

    /// The ident with which syslog(3) of this process speaks now; only where the log is read. Drain first.
    pub fn ident(&self) -> Option<String> {
        if self.kind != DevLog::Socket {
            return None;
        }
        // SAFETY: the format has no conversions and is NUL-terminated.
        unsafe { libc::syslog(libc::LOG_DEBUG, PROBE.as_ptr()) };
        let line = receive(self.socket.as_ref()?).unwrap_or_else(|| "nothing came".to_owned());
        // `<15>Mon dd hh:mm:ss IDENT: text`; IDENT[PID] if a module has set LOG_PID.
        line.get(20..).map(str::to_owned)
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        if let Some(reader) = self.reader {
            // SAFETY: our own child, not reaped yet; NULL asks for no status.
            unsafe {
                libc::kill(reader, libc::SIGKILL);
                libc::waitpid(reader, std::ptr::null_mut(), 0);
            }
        }
    }
}

/// A process, because a thread would be one of the application's.
fn read_slowly(socket: &UnixDatagram) -> io::Result<libc::pid_t> {
    // SAFETY: this process has one thread, and the child does what may be done after fork(2) until it is killed.
    unsafe {
        let child = libc::fork();
        super::sandbox::done(child)?;
        if child == 0 {
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
            loop {
                std::thread::sleep(SLOW);
                let _ = socket.recv(&mut [0; 1]);
            }
        }
        Ok(child)
    }
}

/// Everybody may write there, as on a real system.
fn bind() -> io::Result<UnixDatagram> {
    let socket = UnixDatagram::bind(PATH)?;
    socket.set_nonblocking(true)?;
    fs::set_permissions(PATH, Permissions::from_mode(0o666))?;
    Ok(socket)
}

fn fill() -> io::Result<()> {
    let sender = UnixDatagram::unbound()?;
    sender.connect(PATH)?;
    sender.set_nonblocking(true)?;
    while sender.send(b"<0>filling").is_ok() {}
    Ok(())
}

fn make_fifo() -> io::Result<()> {
    // SAFETY: the path is NUL-terminated.
    super::sandbox::done(unsafe { libc::mkfifo(c"/dev/log".as_ptr(), 0o666) })
}

/// An application that logs has its connection open before it calls libpam; so libpam's own lines open nothing new.
fn open_syslog() {
    // SAFETY: the ident is static, as openlog(3) keeps the pointer.
    unsafe { libc::openlog(IDENT.as_ptr(), libc::LOG_NDELAY, libc::LOG_USER) };
}

fn receive(socket: &UnixDatagram) -> Option<String> {
    let mut buffer = vec![0; 64 * 1024];
    let length = socket.recv(&mut buffer).ok()?;
    Some(String::from_utf8_lossy(&buffer[..length]).into_owned())
}

fn take_lines() -> Vec<String> {
    let text = fs::read(PATH).unwrap_or_default();
    let _ = fs::write(PATH, "");
    let text = String::from_utf8_lossy(&text);
    text.lines().map(str::to_owned).collect()
}
