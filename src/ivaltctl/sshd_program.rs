//! The sshd of this machine, what it says of its configuration, and the command that makes it read that anew.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use crate::check::program::{self, Printed};
use crate::root::Root;
use crate::sshd_listener;

/// Where distributions install it, here and below `--root` alike.
pub const PROGRAMS: [&str; 2] = ["/usr/sbin/sshd", "/usr/bin/sshd"];
/// What it may lack once it has read its configuration and found nothing wrong with it. The folder is there only while
/// the service runs, and is missing while ssh.socket waits; host keys may be made when the service first starts.
const MISSING_ELSEWHERE: [&str; 4] = [
    "Missing privilege separation directory",
    "no hostkeys available",
    "Privilege separation user",
    "must be owned by root and not group or world-writable",
];
/// Where systemd finds its units.
const UNIT_FOLDERS: [&str; 3] = [
    "/etc/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
];

/// Where `systemctl enable ssh.socket` makes its link.
const ENABLED_SOCKETS: &str = "/etc/systemd/system/sockets.target.wants";

/// Where options are written for them, on Debian, Fedora, and OpenRC.
const OPTIONS: [&str; 4] = [
    "/etc/default/ssh",
    "/etc/sysconfig/sshd",
    "/etc/sysconfig/ssh",
    "/etc/conf.d/sshd",
];

/// Whether there is one.
pub fn is_installed() -> bool {
    PROGRAMS.iter().any(|path| Path::new(path).exists())
}

/// What `sshd -t` says.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    /// There is nothing wrong with the configuration.
    Taken,
    /// Its words.
    Refused(String),
    /// It is not installed, or does not end.
    None,
}

/// Asks `sshd -t`. It needs root.
pub fn test(root: &Root) -> Verdict {
    program::run(root, &PROGRAMS, &["-t"]).map_or(Verdict::None, |printed| verdict(&printed))
}

fn verdict(printed: &Printed) -> Verdict {
    let mut elsewhere = MISSING_ELSEWHERE.iter();
    if printed.success || elsewhere.any(|what| printed.errors.contains(what)) {
        return Verdict::Taken;
    }
    let lines = printed.errors.lines().map(str::trim);
    let lines: Vec<_> = lines.filter(|line| !line.is_empty()).collect();
    Verdict::Refused(lines.join("; "))
}

/// The effective values, as `sshd -T` prints them. It needs root, host keys and /run/sshd; `sshd -G`, since OpenSSH 9.3,
/// needs none of them.
pub fn effective(root: &Root) -> Option<String> {
    let with = |option| program::output(root, &PROGRAMS, &[option]);
    with("-T").or_else(|| with("-G"))
}

/// The command by which a system's running sshd reads its configuration anew. The service is `ssh` on Debian and its
/// kin, and `sshd` elsewhere. It does not depend on whether sshd runs just now: an accepted finding has it in its fix.
pub fn reload_command(root: &Root) -> String {
    command(root, !root.is_this_machine() || sshd_listener::is_systemd())
}

/// Where ssh.socket is enabled, `reload` would take the socket from sshd; `try-restart` does nothing and succeeds where
/// there is none to restart.
fn command(root: &Root, is_systemd: bool) -> String {
    let has = |folder: &str, file: &str| root.names(Path::new(folder)).contains(OsStr::new(file));
    let names = ["ssh", "sshd"];
    let has_unit = |name: &&&str| {
        let unit = format!("{name}.service");
        UNIT_FOLDERS.iter().any(|folder| has(folder, &unit))
    };
    if let Some(name) = names.iter().find(has_unit).filter(|_| is_systemd) {
        let verb = match has(ENABLED_SOCKETS, &format!("{name}.socket")) {
            true => "try-restart",
            false => "reload",
        };
        return format!("systemctl {verb} {name}");
    }
    if let Some(name) = names.iter().find(|name| has("/etc/init.d", name)) {
        return format!("/etc/init.d/{name} reload");
    }
    match is_systemd {
        true => "{ systemctl reload ssh || systemctl reload sshd; }".into(),
        false => "kill -HUP \"$(cat /run/sshd.pid)\"".into(),
    }
}

/// Whether keys may come from where its files do not say: the service manager gives sshd options that name them, which
/// `sshd -T` knows nothing of. EC2 Instance Connect does so on Ubuntu.
pub fn has_keys_by_option(root: &Root) -> bool {
    let keywords = ["authorizedkeys", "trustedusercakeys"];
    option_files(root).iter().any(|file| {
        let text = root.read(file).unwrap_or_default().to_ascii_lowercase();
        let mut lines = text.lines().map(str::trim_start);
        lines.any(|line| {
            !line.starts_with('#') && keywords.iter().any(|keyword| line.contains(keyword))
        })
    })
}

/// Units with their drop-ins, and the files that units and scripts read options from.
fn option_files(root: &Root) -> Vec<PathBuf> {
    let names = ["ssh", "sshd", "ssh@", "sshd@"];
    let units = UNIT_FOLDERS
        .iter()
        .flat_map(|folder| names.map(|name| Path::new(folder).join(format!("{name}.service"))));
    let with_drop_ins = units.flat_map(|unit| {
        let folder = PathBuf::from(format!("{}.d", unit.display()));
        let drop_ins = root.names(&folder).into_iter();
        let drop_ins = drop_ins.map(move |name| folder.join(name));
        drop_ins.chain([unit])
    });
    let others = OPTIONS.iter().map(PathBuf::from);
    with_drop_ins.chain(others).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_with_the_configuration_and_what_is_missing_elsewhere() {
        let says = |errors: &str| {
            verdict(&Printed {
                success: false,
                output: String::new(),
                errors: errors.into(),
            })
        };
        for errors in [
            "Missing privilege separation directory: /run/sshd\r\n",
            "sshd: no hostkeys available -- exiting.\r\n",
            "Privilege separation user sshd does not exist\r\n",
        ] {
            assert_eq!(says(errors), Verdict::Taken, "{errors}");
        }
        let wrong = "/etc/ssh/sshd_config: line 3: Bad configuration option: X\r\n/etc/ssh/sshd_config: terminating, 1 bad configuration options\r\n";
        assert_eq!(
            says(wrong),
            Verdict::Refused(
                "/etc/ssh/sshd_config: line 3: Bad configuration option: X; /etc/ssh/sshd_config: terminating, 1 bad configuration options".into()
            )
        );
    }

    fn system_with(files: &[&str]) -> (tempfile::TempDir, Root) {
        let dir = tempfile::TempDir::new().unwrap();
        let root = files.iter().fold(Root::new(dir.path()), |root, file| {
            root.with(Path::new(file), String::new())
        });
        (dir, root)
    }

    #[test]
    fn the_command_that_reloads() {
        for (file, expected) in [
            (
                "/usr/lib/systemd/system/ssh.service",
                "systemctl reload ssh",
            ),
            ("/lib/systemd/system/sshd.service", "systemctl reload sshd"),
            ("/etc/systemd/system/sshd.service", "systemctl reload sshd"),
            ("/etc/init.d/sshd", "/etc/init.d/sshd reload"),
            ("/etc/init.d/ssh", "/etc/init.d/ssh reload"),
            (
                "/etc/passwd",
                "{ systemctl reload ssh || systemctl reload sshd; }",
            ),
        ] {
            let (_dir, root) = system_with(&[file]);
            assert_eq!(reload_command(&root), expected, "{file}");
        }
    }

    #[test]
    fn the_command_by_the_way_sshd_runs() {
        const UNIT: &str = "/lib/systemd/system/ssh.service";
        const SCRIPT: &str = "/etc/init.d/ssh";
        const SOCKET: &str = "/etc/systemd/system/sockets.target.wants/ssh.socket";
        for (files, is_systemd, expected) in [
            (&[UNIT, SCRIPT][..], true, "systemctl reload ssh"),
            (&[UNIT, SOCKET], true, "systemctl try-restart ssh"),
            (&[UNIT, SCRIPT], false, "/etc/init.d/ssh reload"),
            (&[UNIT], false, "kill -HUP \"$(cat /run/sshd.pid)\""),
        ] {
            let (_dir, root) = system_with(files);
            let found = command(&root, is_systemd);
            assert_eq!(found, expected, "{files:?}");
        }
    }
}
