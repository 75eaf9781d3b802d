//! A `/dev` and a few files of this process's own: the machine's stay as they are, and its settings are not seen.

use std::ffi::{CStr, CString};
use std::fs;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{OpenOptionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::ptr;

use super::script::Script;

/// What a program may expect in `/dev`, besides `log`.
const DEVICES: [&str; 8] = [
    "null", "zero", "full", "random", "urandom", "tty", "ptmx", "pts",
];

/// Where a machine on which the module is installed has its own settings.
const SETTINGS: &str = "/etc/ivalt";

/// Builds it. The inner error is a machine that grants no private mounts: a reason to skip, not to fail.
pub fn build(script: &Script) -> io::Result<Result<(), String>> {
    if let Err(error) = separate(script.no_network) {
        return Ok(Err(format!("no private mount namespace here: {error}")));
    }
    match private_mounts() {
        // Some systems grant every user the namespace and then nothing in it.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            return Ok(Err(format!("no private mounts here: {error}")));
        }
        result => result?,
    }
    for (from, to) in &script.binds {
        bind(from, to)?;
    }
    Ok(Ok(()))
}

fn private_mounts() -> io::Result<()> {
    let everything = libc::MS_REC | libc::MS_PRIVATE;
    mount(Path::new("none"), Path::new("/"), None, everything)?;
    hide(Path::new(SETTINGS))?;
    private_dev()
}

/// An empty folder in the place of this one, if there is one.
fn hide(folder: &Path) -> io::Result<()> {
    if !folder.exists() {
        return Ok(());
    }
    mount(Path::new("tmpfs"), folder, Some(c"tmpfs"), libc::MS_NOSUID)
}

/// A sandbox for another program, without a script.
pub fn build_for(command: &mut Command) {
    build_with(command, Script::default());
}

/// The same, with what else the script says of it.
pub fn build_with(command: &mut Command, script: Script) {
    // SAFETY: between fork and exec; the child has one thread, and glibc allows it to allocate.
    unsafe {
        command.pre_exec(move || build(&script)?.map_err(io::Error::other));
    }
}

/// As root at once, otherwise through a user namespace in which every user id stays the same.
fn separate(no_network: bool) -> io::Result<()> {
    let flags = libc::CLONE_NEWNS | if no_network { libc::CLONE_NEWNET } else { 0 };
    // SAFETY: geteuid(2), getegid(2) take nothing and always succeed.
    let (uid, gid) = unsafe { (libc::geteuid(), libc::getegid()) };
    if uid == 0 && unshare(flags).is_ok() {
        return Ok(());
    }
    unshare(flags | libc::CLONE_NEWUSER)?;
    fs::write("/proc/self/setgroups", "deny")?;
    fs::write("/proc/self/uid_map", format!("{uid} {uid} 1"))?;
    fs::write("/proc/self/gid_map", format!("{gid} {gid} 1"))
}

fn unshare(flags: libc::c_int) -> io::Result<()> {
    // SAFETY: unshare(2) takes no pointers; this process has one thread.
    done(unsafe { libc::unshare(flags) })
}

/// A small tmpfs over `/dev`; through a descriptor the old one can still be reached to bind its devices.
fn private_dev() -> io::Result<()> {
    let mut options = fs::OpenOptions::new();
    let old: OwnedFd = options
        .read(true)
        .custom_flags(libc::O_PATH | libc::O_DIRECTORY)
        .open("/dev")?
        .into();
    let dev = Path::new("/dev");
    mount(
        Path::new("tmpfs"),
        dev,
        Some(c"tmpfs"),
        libc::MS_NOSUID | libc::MS_NOEXEC,
    )?;
    for name in DEVICES {
        let from = format!("/proc/self/fd/{}/{name}", old.as_raw_fd());
        match fs::metadata(&from) {
            Ok(found) => bind_device(Path::new(&from), &dev.join(name), found.is_dir())?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    symlink("/proc/self/fd", dev.join("fd"))
}

fn bind_device(from: &Path, to: &Path, is_folder: bool) -> io::Result<()> {
    if is_folder {
        fs::create_dir(to)?;
    } else {
        fs::File::create_new(to)?;
    }
    bind(from, to)
}

fn bind(from: &Path, to: &Path) -> io::Result<()> {
    mount(from, to, None, libc::MS_BIND | libc::MS_REC)
}

fn mount(from: &Path, to: &Path, kind: Option<&CStr>, flags: libc::c_ulong) -> io::Result<()> {
    let source = CString::new(from.as_os_str().as_bytes())?;
    let target = CString::new(to.as_os_str().as_bytes())?;
    // Unused for binds, but valgrind wants to see a string.
    let kind = kind.unwrap_or(c"none").as_ptr();
    // SAFETY: all strings are NUL-terminated and outlive the call; mount(2) allows NULL for data.
    let mounted =
        done(unsafe { libc::mount(source.as_ptr(), target.as_ptr(), kind, flags, ptr::null()) });
    mounted.map_err(|error| {
        let what = format!("mount {} on {}: {error}", from.display(), to.display());
        io::Error::new(error.kind(), what)
    })
}

/// The usual convention of system calls: -1 and errno.
pub fn done(result: libc::c_int) -> io::Result<()> {
    match result {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}
