//! A terminal for an application: what is written there is what a user would see.

use std::fs::File;
use std::io::Read;
use std::os::fd::{FromRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::{io, ptr};

/// The screen's side of a pseudo terminal.
#[derive(Debug)]
pub struct Terminal {
    screen: File,
}

impl Terminal {
    /// Makes one the controlling terminal of `command`, and its standard input, output and error.
    pub fn lend_to(command: &mut Command) -> Self {
        let (screen, line) = open();
        let end = || Stdio::from(line.try_clone().expect("a copy of a descriptor"));
        command.stdin(end()).stdout(end()).stderr(end());
        // SAFETY: between fork and exec only setsid(2) and ioctl(2) are called; standard input is the terminal by then.
        unsafe {
            command.pre_exec(|| {
                libc::setsid();
                match libc::ioctl(0, libc::TIOCSCTTY, 0) {
                    0 => Ok(()),
                    _ => Err(io::Error::last_os_error()),
                }
            });
        }
        Self {
            screen: screen.into(),
        }
    }

    /// What is on the screen when nobody has the terminal open any more: drop the command first.
    pub fn screen(mut self) -> String {
        let mut seen = Vec::new();
        // A terminal whose line is closed ends with EIO.
        let _ = self.screen.read_to_end(&mut seen);
        String::from_utf8_lossy(&seen).into_owned()
    }
}

fn open() -> (OwnedFd, OwnedFd) {
    let (mut screen, mut line) = (-1, -1);
    let nothing = ptr::null_mut::<libc::c_char>();
    // SAFETY: openpty(3) fills two descriptors, which nobody else owns; NULL asks for no name and for defaults.
    unsafe {
        let code = libc::openpty(
            &raw mut screen,
            &raw mut line,
            nothing,
            ptr::null_mut(),
            ptr::null_mut(),
        );
        assert_eq!(code, 0, "a pseudo terminal");
        for end in [screen, line] {
            libc::fcntl(end, libc::F_SETFD, libc::FD_CLOEXEC);
        }
        (OwnedFd::from_raw_fd(screen), OwnedFd::from_raw_fd(line))
    }
}
