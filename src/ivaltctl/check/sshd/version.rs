//! Which OpenSSH a system has: its settings differ by version.

use std::path::Path;

use crate::root::Root;
use crate::sshd_program::PROGRAMS;

/// The first in which `ChallengeResponseAuthentication` is but another name of `KbdInteractiveAuthentication`: before, PAM
/// may prompt only where both are on.
pub const ONE_PROMPT_SETTING: (u32, u32) = (8, 7);
const DPKG_STATUS: &str = "/var/lib/dpkg/status";

/// The version as (major, minor), such as (9, 2) of `OpenSSH_9.2p1`: from the release that the program itself holds (what
/// `sshd -V` prints, which OpenSSH before 9.2 knows in its error only), else from dpkg's database. `None` if neither says.
pub fn version(root: &Root) -> Option<(u32, u32)> {
    // An update that changes nothing of what follows voids no acceptance of a finding.
    root.recorded(|| installed(root)).0
}

fn installed(root: &Root) -> Option<(u32, u32)> {
    let of_program = |path: &&str| release(&root.read_bytes(Path::new(path)).ok()?);
    let of_package = || packaged(&root.read(Path::new(DPKG_STATUS)).ok()?);
    PROGRAMS.iter().find_map(of_program).or_else(of_package)
}

/// Whether `ChallengeResponseAuthentication` must be on besides `KbdInteractiveAuthentication`, as far as is known. Later
/// versions take it as another name.
pub fn has_older_prompt_setting(root: &Root) -> bool {
    version(root).is_none_or(|known| known < ONE_PROMPT_SETTING)
}

/// The release of portable OpenSSH in a program's bytes. The `p` tells it from the patterns by which sshd knows its
/// clients, such as `OpenSSH_7.4*`.
fn release(program: &[u8]) -> Option<(u32, u32)> {
    let name = b"OpenSSH_";
    let mut found = program.windows(name.len()).enumerate();
    found.find_map(|(at, bytes)| {
        let rest = &program[at + name.len()..];
        (bytes == name).then(|| number(&rest[..rest.len().min(16)]))?
    })
}

/// `9.2p1 …` is (9, 2).
fn number(text: &[u8]) -> Option<(u32, u32)> {
    let end = text.iter().position(|byte| *byte == b'p')?;
    text.get(end + 1).filter(|byte| byte.is_ascii_digit())?;
    let (major, minor) = std::str::from_utf8(&text[..end]).ok()?.split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

/// The version of the installed package; `1:8.4p1-5+deb11u3` is 8.4.
fn packaged(status: &str) -> Option<(u32, u32)> {
    let mut packages = status.split("\n\n");
    let package = packages.find(|package| {
        let has = |line| package.lines().any(|one| one == line);
        has("Package: openssh-server") && has("Status: install ok installed")
    })?;
    let version = package
        .lines()
        .find_map(|line| line.strip_prefix("Version: "))?;
    let upstream = version.split_once(':').map_or(version, |(_, rest)| rest);
    number(upstream.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_in_a_program() {
        for (bytes, expected) in [
            (
                &b"\0OpenSSH_7.4*\0OpenSSH_6.6.1*\0OpenSSH_9.2p1 Debian-2+deb12u6\0"[..],
                Some((9, 2)),
            ),
            (b"OpenSSH_10.0p2", Some((10, 0))),
            (b"OpenSSH_8.4p1\0", Some((8, 4))),
            (b"OpenSSH_2.*,OpenSSH_3.0*\0", None),
            (b"OpenSSH_7.0*\0p1", None),
            (b"OpenSSH_8.4p", None),
            (b"OpenSSH_", None),
            (b"", None),
        ] {
            assert_eq!(release(bytes), expected, "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn versions_of_packages() {
        let package = |name: &str, status: &str, version: &str| {
            format!(
                "Package: {name}\nStatus: {status}\nArchitecture: amd64\nVersion: {version}\nDescription: x\n"
            )
        };
        let installed = "install ok installed";
        let server = package("openssh-server", installed, "1:8.4p1-5+deb11u3");
        let client = package("openssh-client", installed, "1:9.2p1-2");
        assert_eq!(packaged(&format!("{client}\n{server}")), Some((8, 4)));
        assert_eq!(packaged(&client), None);
        let removed = package("openssh-server", "deinstall ok config-files", "1:8.4p1-5");
        assert_eq!(packaged(&removed), None);
        assert_eq!(
            packaged(&package("openssh-server", installed, "10.0p1-7")),
            Some((10, 0))
        );
    }
}
