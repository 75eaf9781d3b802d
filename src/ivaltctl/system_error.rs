//! Errors of the system, never alone: which file, what could not be done with it, why, and what an administrator does
//! about it.

use std::io;
use std::path::{Path, PathBuf};

use nix::errno::Errno;

use ivalt_core::problem::{Problem, ProblemKind, system_words};

/// The problem with the file at `path`. `what` is what could not be done, as in `cannot be read`, `cannot be written`.
///
/// The remedies are those that harm nothing where the guess is wrong: errno(3) tells what failed, not why.
pub fn problem(path: &Path, what: &str, error: &io::Error) -> Problem {
    let errno = error.raw_os_error().map(Errno::from_raw);
    if matches!(errno, Some(Errno::EACCES | Errno::EPERM)) && !nix::unistd::geteuid().is_root() {
        return needs_root(path);
    }
    let kind = match error.kind() {
        io::ErrorKind::NotFound => ProblemKind::Missing,
        io::ErrorKind::PermissionDenied => ProblemKind::PermissionDenied,
        _ => ProblemKind::Unreadable,
    };
    let problem = Problem::new(kind, format!("{what}: {}", reason(error))).in_file(path);
    match errno.and_then(|errno| remedy(path, errno)) {
        Some(remedy) => problem.fix(remedy),
        // Something of ours, which says itself what to do.
        None if errno.is_none() => problem,
        None => problem.fix(format!("inspect: namei -l {}", word(path))),
    }
}

/// The path from the root of the file system on.
///
/// # Errors
/// The current folder is gone.
pub fn absolute(path: &Path) -> Result<PathBuf, Problem> {
    std::path::absolute(path).map_err(|error| {
        let what = format!(
            "cannot be found from the current folder: {}",
            reason(&error)
        );
        let problem = Problem::new(ProblemKind::Unreadable, what).in_file(path);
        problem.fix("name it by its absolute path")
    })
}

/// Only root may: the command as it was typed, with sudo in front.
pub fn needs_root(path: &Path) -> Problem {
    let words: Vec<String> = std::env::args_os()
        .skip(1)
        .map(|word| shell_word(&word.to_string_lossy()))
        .collect();
    Problem::new(ProblemKind::PermissionDenied, "permission denied")
        .in_file(path)
        .run(format!("sudo ivaltctl {}", words.join(" ")))
}

/// The error in the system's words, without its number; in our own where those mislead.
pub fn reason(error: &io::Error) -> String {
    match error.raw_os_error().map(Errno::from_raw) {
        Some(Errno::ELOOP) => {
            return "is a symbolic link, or links in its path lead nowhere".to_owned();
        }
        Some(Errno::ENOTDIR) => return "is not a folder, or is a symbolic link".to_owned(),
        // As crate::folder says it of whatever is no regular file.
        Some(Errno::ENXIO) => return "is not a regular file".to_owned(),
        _ => {}
    }
    system_words(error)
}

fn remedy(path: &Path, errno: Errno) -> Option<String> {
    // The file itself may not exist yet.
    let folder = word(path.parent().unwrap_or(path));
    let path = word(path);
    Some(match errno {
        // After an error of the disk the kernel itself makes a file system read-only: mount(8), errors=remount-ro.
        Errno::EROFS => format!(
            "if dmesg shows no error of that disk and it is meant to be writable: mount -o remount,rw \"$(findmnt -n -o TARGET -T {folder})\""
        ),
        Errno::ENOSPC => format!("make room: df -h {folder}; df -i {folder}"),
        Errno::EDQUOT => format!("make room, or raise the quota: df -h {folder}; repquota -a"),
        Errno::EIO => "the disk fails: see dmesg".to_owned(),
        // rename(2) onto a file that is mounted by itself, as containers do.
        Errno::EBUSY => {
            format!("if it is mounted by itself, change it where it comes from: findmnt -T {path}")
        }
        // ioctl_iflags(2): not even root changes an immutable file, or anything in an immutable folder.
        Errno::EPERM => format!("look for the attributes i and a: lsattr -d {folder} {path}"),
        // Root is above modes, but not above SELinux, AppArmor or the server of a network file system.
        Errno::EACCES => {
            format!(
                "look for SELinux, AppArmor or NFS: journalctl -b -g denied; findmnt -T {folder}"
            )
        }
        _ => return None,
    })
}

fn word(path: &Path) -> String {
    shell_word(&path.to_string_lossy())
}

/// The word, quoted for a shell, in one line: what stands in a line of its own looks like a command.
pub fn shell_word(word: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._:@/+=-".contains(&byte);
    if !word.is_empty() && word.bytes().all(plain) {
        return word.to_owned();
    }
    let quoted = format!("'{}'", word.replace('\'', r"'\''"));
    quoted.replace('\n', r"'$'\n''")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sentence(errno: Errno) -> String {
        let error = io::Error::from(errno);
        problem(Path::new("/etc/a b/f"), "cannot be written", &error).to_string()
    }

    #[test]
    fn the_remedy_fits_the_error() {
        for (errno, expected) in [
            (
                Errno::EROFS,
                "Read-only file system; if dmesg shows no error of that disk and it is meant to be writable: mount -o remount,rw \"$(findmnt -n -o TARGET -T '/etc/a b')\"",
            ),
            (
                Errno::ENOSPC,
                "No space left on device; make room: df -h '/etc/a b'; df -i '/etc/a b'",
            ),
            (
                Errno::EDQUOT,
                "Disk quota exceeded; make room, or raise the quota: df -h '/etc/a b'; repquota -a",
            ),
            (Errno::EIO, "Input/output error; the disk fails: see dmesg"),
            (
                Errno::EBUSY,
                "Device or resource busy; if it is mounted by itself, change it where it comes from: findmnt -T '/etc/a b/f'",
            ),
            (
                Errno::ENOTDIR,
                "is not a folder, or is a symbolic link; inspect: namei -l '/etc/a b/f'",
            ),
        ] {
            let expected = format!("/etc/a b/f: cannot be written: {expected}");
            assert_eq!(sentence(errno), expected);
        }
    }

    #[test]
    fn who_may_not_becomes_root_and_root_looks_further() {
        let (denied, not_permitted) = (sentence(Errno::EACCES), sentence(Errno::EPERM));
        if !nix::unistd::geteuid().is_root() {
            assert_eq!(denied, not_permitted);
            let begin = "/etc/a b/f: permission denied; run: sudo ivaltctl ";
            assert!(denied.starts_with(begin), "{denied}");
            return;
        }
        assert_eq!(
            denied,
            "/etc/a b/f: cannot be written: Permission denied; look for SELinux, AppArmor or NFS: journalctl -b -g denied; findmnt -T '/etc/a b'"
        );
        assert_eq!(
            not_permitted,
            "/etc/a b/f: cannot be written: Operation not permitted; look for the attributes i and a: lsattr -d '/etc/a b' '/etc/a b/f'"
        );
    }

    #[test]
    fn a_word_is_one_word_in_one_line() {
        for (word, expected) in [
            ("/etc/a-b.c", "/etc/a-b.c"),
            ("", "''"),
            ("a b;$(c)", "'a b;$(c)'"),
            ("it's", r"'it'\''s'"),
            ("x\nrm y", r"'x'$'\n''rm y'"),
        ] {
            assert_eq!(shell_word(word), expected);
        }
    }

    #[test]
    fn an_error_of_ours_speaks_for_itself() {
        let error = io::Error::other("another program has just changed it; try again");
        assert_eq!(
            problem(Path::new("/f"), "cannot be written", &error).to_string(),
            "/f: cannot be written: another program has just changed it; try again"
        );
    }
}
