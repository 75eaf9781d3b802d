//! Whether the loaded AppArmor profile of a service lets it use a recovery code. The kernel answers for what is loaded,
//! by the file behind aa_query_file_path(3).

use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::path::Path;

use glob::Pattern;

use crate::check::selinux::SESSION_PROGRAMS;

const FOLDER: &str = "/sys/kernel/security/apparmor";
/// The class of questions about files.
const FILE: u8 = 2;
pub const WRITE: u32 = 0x02;
pub const READ: u32 = 0x04;
pub const DELETE: u32 = 0x20;
pub const LOCK: u32 = 0x8000;
/// What follows the store in the question: a code of some user.
pub const A_CODE: &str = "user-x/code-x";

/// A loaded profile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    pub name: String,
    /// The programs to which it is attached, as apparmor.d(5) writes them.
    pub attach: String,
    pub mode: String,
}

/// The kernel's side; tests have profiles of their own.
pub trait Kernel {
    /// # Errors
    /// It has no AppArmor, or this process may not ask.
    fn profiles(&self) -> io::Result<Vec<Profile>>;
    /// What the profile lets root do with a file of its own.
    ///
    /// # Errors
    /// As [`Kernel::profiles`].
    fn allowed(&self, profile: &str, path: &Path) -> io::Result<u32>;
}

/// The running kernel.
pub struct Apparmorfs;

impl Kernel for Apparmorfs {
    fn profiles(&self) -> io::Result<Vec<Profile>> {
        let mut profiles = Vec::new();
        for entry in fs::read_dir(Path::new(FOLDER).join("policy/profiles"))? {
            let folder = entry?.path();
            let text = |name: &str| fs::read_to_string(folder.join(name));
            let text = |name: &str| Ok::<_, io::Error>(text(name)?.trim_end().to_owned());
            profiles.push(Profile {
                name: text("name")?,
                attach: text("attach")?,
                mode: text("mode")?,
            });
        }
        Ok(profiles)
    }

    fn allowed(&self, profile: &str, path: &Path) -> io::Result<u32> {
        let file = Path::new(FOLDER).join(".access");
        let mut question = [b"label\0", profile.as_bytes(), b"\0"].concat();
        question.push(FILE);
        question.extend(path.as_os_str().as_encoded_bytes());
        #[expect(clippy::disallowed_methods, reason = "the kernel's own, on no disk")]
        let mut opened = OpenOptions::new().read(true).write(true).open(file)?;
        opened.write_all(&question)?;
        let mut answer = String::new();
        opened.read_to_string(&mut answer)?;
        allowed_in(&answer).ok_or(ErrorKind::InvalidData.into())
    }
}

/// `allow 0x00000024\ndeny 0x00000000\n…`
fn allowed_in(answer: &str) -> Option<u32> {
    let number = |word: &str| {
        let mut lines = answer.lines();
        let value = lines.find_map(|line| line.strip_prefix(word))?;
        u32::from_str_radix(value.trim().strip_prefix("0x")?, 16).ok()
    };
    Some(number("allow ")? & !number("deny ")?)
}

/// The name of the profile that denies the programs of a service any of these rights to a file, if one does. Where there
/// is no AppArmor, none does.
pub fn forbidding(kernel: &dyn Kernel, service: &str, file: &Path, rights: u32) -> Option<String> {
    let enforces = |profile: &Profile| ["enforce", "kill"].contains(&profile.mode.as_str());
    let profiles = kernel.profiles().ok()?.into_iter().filter(enforces);
    let programs = programs(service);
    let confines = |profile: &Profile| {
        let mut programs = programs.iter();
        programs.any(|program| is_attached(&profile.attach, program))
    };
    let forbids = |profile: &Profile| {
        let allowed = kernel.allowed(&profile.name, file);
        allowed.is_ok_and(|allowed| allowed & rights != rights)
    };
    let mut of_service = profiles.filter(confines);
    of_service.find(forbids).map(|profile| profile.name)
}

/// The programs that call PAM as this service, by their usual places.
fn programs(service: &str) -> Vec<String> {
    let name = match service {
        "sshd" => {
            let session = SESSION_PROGRAMS.into_iter();
            return session
                .chain(["/usr/sbin/sshd"])
                .map(str::to_owned)
                .collect();
        }
        "sudo-i" => "sudo",
        "su-l" => "su",
        other => other,
    };
    let places = ["/usr/sbin/", "/usr/bin/", "/sbin/", "/bin/"].into_iter();
    places.map(|place| format!("{place}{name}")).collect()
}

/// Whether an attachment such as `/usr/{,s}bin/ssh*` holds for a program.
fn is_attached(attachment: &str, program: &str) -> bool {
    alternatives(attachment)
        .iter()
        .any(|pattern| Pattern::new(pattern).is_ok_and(|pattern| pattern.matches(program)))
}

/// `/{usr/,}bin/su` as `/usr/bin/su` and `/bin/su`; braces within braces too.
fn alternatives(pattern: &str) -> Vec<String> {
    let Some(open) = pattern.rfind('{') else {
        return vec![pattern.to_owned()];
    };
    let Some(length) = pattern[open..].find('}') else {
        return vec![pattern.to_owned()];
    };
    let (before, inside, after) = (
        &pattern[..open],
        &pattern[open + 1..open + length],
        &pattern[open + length + 1..],
    );
    let parts = inside.split(',');
    parts
        .flat_map(|part| alternatives(&format!("{before}{part}{after}")))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Loaded(Vec<(&'static str, &'static str, &'static str, u32)>);

    impl Kernel for Loaded {
        fn profiles(&self) -> io::Result<Vec<Profile>> {
            let each = self.0.iter().map(|(name, attach, mode, _)| Profile {
                name: (*name).to_owned(),
                attach: (*attach).to_owned(),
                mode: (*mode).to_owned(),
            });
            Ok(each.collect())
        }

        fn allowed(&self, profile: &str, path: &Path) -> io::Result<u32> {
            assert_eq!(path, Path::new("/store/user-x/code-x"));
            let mut all = self.0.iter();
            let found = all.find(|(name, ..)| *name == profile);
            Ok(found.ok_or(ErrorKind::NotFound)?.3)
        }
    }

    fn judged(service: &str, profile: (&'static str, &'static str, &'static str, u32)) -> bool {
        let kernel = Loaded(vec![("other", "/usr/bin/man", "enforce", 0), profile]);
        let code = Path::new("/store").join(A_CODE);
        let found = forbidding(&kernel, service, &code, READ | DELETE);
        assert!(found.as_deref().is_none_or(|name| name == profile.0));
        found.is_some()
    }

    #[test]
    fn a_profile_that_enforces_and_does_not_let_unlink() {
        let sshd = "/usr/sbin/sshd";
        for allowed in [0, READ, DELETE, 0x1b] {
            assert!(
                judged("sshd", (sshd, sshd, "enforce", allowed)),
                "{allowed:x}"
            );
            assert!(judged("sshd", (sshd, sshd, "kill", allowed)));
            assert!(!judged("sshd", (sshd, sshd, "complain", allowed)));
            assert!(!judged("sshd", (sshd, sshd, "unconfined", allowed)));
        }
        assert!(!judged("sshd", (sshd, sshd, "enforce", READ | DELETE)));
        assert!(!judged("sudo", (sshd, sshd, "enforce", 0)));
    }

    #[test]
    fn attachments_have_alternatives_and_wildcards() {
        for (service, attach) in [
            ("sshd", "/usr/{bin,sbin}/sshd"),
            ("sshd", "/usr/lib{,exec}/{,open}ssh/sshd-session"),
            ("sudo-i", "/{usr/,}bin/sudo"),
            ("su-l", "/{,usr/}bin/s{u,g}"),
            ("login", "/bin/log*"),
        ] {
            assert!(judged(service, ("p", attach, "enforce", 0)), "{attach}");
        }
        for attach in ["/usr/{bin/sshd", "/usr/sbin/sshd2", "<unknown>", "sshd"] {
            assert!(!judged("sshd", ("p", attach, "enforce", 0)), "{attach}");
        }
    }

    #[test]
    fn the_answer_of_the_kernel() {
        let answer = "allow 0x00000a26\ndeny 0x00000020\naudit 0x00000000\nquiet 0x00000000\n";
        assert_eq!(allowed_in(answer), Some(0xa06));
        assert_eq!(allowed_in("allow 0x1\n"), None);
    }
}
