//! The sshd that listens, found by its pid file or by its sockets, see proc(5).

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use crate::Refused;

/// The process to which new connections go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    pub pid: i32,
    /// The inodes of its listening sockets.
    sockets: BTreeSet<u64>,
    /// The address of its stack, which execve(2) draws anew.
    stack: String,
}

/// What listens for ssh.
#[derive(Debug, PartialEq, Eq)]
pub enum Found {
    Listener(Listener),
    NotRunning,
    /// The service manager listens.
    SocketActivated,
    /// Something else; the words say what.
    Unknown(String),
}

/// Listening TCP sockets of this network namespace: inode and port.
type Sockets = BTreeMap<u64, u16>;

impl Listener {
    /// Looks for it. `effective` is what `sshd -T` prints.
    ///
    /// # Errors
    /// /proc cannot be read.
    pub fn find(effective: &str) -> Result<Found, Refused> {
        let sockets = listening_sockets()?;
        let ports = ports(effective);
        let listeners: Vec<Listener> = processes()?
            .into_iter()
            .filter(|pid| is_sshd(*pid))
            .filter_map(|pid| Self::of(pid, &sockets))
            .collect();
        let pid_file = pid_file(effective);
        let by_file = listeners.iter().find(|found| Some(found.pid) == pid_file);
        // A session has sockets of its own where its client forwards ports.
        let on_ports = |found: &&Self| {
            found
                .sockets
                .iter()
                .any(|inode| ports.contains(&sockets[inode]))
        };
        let found = by_file.or_else(|| listeners.iter().find(on_ports));
        Ok(match found {
            Some(listener) => Found::Listener(listener.clone()),
            None => not_sshd(&sockets, &ports, listeners.first()),
        })
    }

    fn of(pid: i32, sockets: &Sockets) -> Option<Self> {
        let held = held_sockets(pid, sockets);
        (!held.is_empty()).then(|| Self {
            pid,
            sockets: held,
            stack: stack(pid).unwrap_or_default(),
        })
    }

    /// After SIGHUP sshd executes itself again: it opens its sockets anew, or keeps those that it was given.
    pub fn has_begun_anew(&self, old: &Self) -> bool {
        self.pid == old.pid && (self.sockets != old.sockets || self.stack != old.stack)
    }
}

fn not_sshd(sockets: &Sockets, ports: &BTreeSet<u16>, elsewhere: Option<&Listener>) -> Found {
    let wanted: Sockets = sockets
        .iter()
        .filter(|(_, port)| ports.contains(port))
        .map(|(inode, port)| (*inode, *port))
        .collect();
    match (elsewhere, wanted.values().next()) {
        (_, Some(_)) if !held_sockets(1, &wanted).is_empty() => Found::SocketActivated,
        (_, Some(port)) => Found::Unknown(format!("what listens on port {port} is not sshd")),
        (Some(listener), None) => Found::Unknown(format!(
            "sshd (process {}) does not listen on the port of its configuration",
            listener.pid
        )),
        (None, None) => Found::NotRunning,
    }
}

/// Keywords are in mixed case from OpenSSH 10.4 on.
fn values<'a>(effective: &'a str, keyword: &'a str) -> impl Iterator<Item = &'a str> {
    effective.lines().filter_map(move |line| {
        let (name, value) = line.split_once(' ')?;
        name.eq_ignore_ascii_case(keyword).then_some(value.trim())
    })
}

fn ports(effective: &str) -> BTreeSet<u16> {
    let of_addresses = values(effective, "listenaddress").filter_map(|value| {
        // An address may be followed by a routing domain.
        value
            .split(' ')
            .next()?
            .rsplit_once(':')
            .map(|(_, port)| port)
    });
    values(effective, "port")
        .chain(of_addresses)
        .filter_map(|port| port.parse().ok())
        .collect()
}

fn pid_file(effective: &str) -> Option<i32> {
    let file = values(effective, "pidfile").next()?;
    fs::read_to_string(file).ok()?.trim().parse().ok()
}

/// `/proc/net/tcp`: after the number of the line come local address, remote address, state, and six columns on the inode.
fn listening_sockets() -> Result<Sockets, Refused> {
    const LISTEN: &str = "0A";
    let mut sockets = Sockets::new();
    for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
        // There is no tcp6 where there is no IPv6.
        let Ok(text) = fs::read_to_string(table) else {
            continue;
        };
        sockets.extend(text.lines().filter_map(|line| {
            let fields: Vec<&str> = line.split_ascii_whitespace().collect();
            let [_, local, _, LISTEN, _, _, _, _, _, inode, ..] = fields[..] else {
                return None;
            };
            let port = u16::from_str_radix(local.rsplit_once(':')?.1, 16).ok()?;
            Some((inode.parse().ok()?, port))
        }));
    }
    Ok(sockets)
}

fn processes() -> Result<Vec<i32>, Refused> {
    let entries = fs::read_dir("/proc").map_err(|error| Refused(format!("/proc: {error}")))?;
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    Ok(pids.collect())
}

/// The number in an old pid file may be another program's by now. Under an emulator the executable is the emulator.
fn is_sshd(pid: i32) -> bool {
    let program = fs::read_link(format!("/proc/{pid}/exe")).unwrap_or_default();
    let name = program
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    let command = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    is_roots(&status)
        && (name.trim_end_matches(" (deleted)") == "sshd" || command.trim_end() == "sshd")
}

/// By its real user id, the first of four: a program with the set-user-id bit belongs to root, too, keeps the sockets of
/// whoever starts it, and has the name of the link by which it was started.
fn is_roots(status: &str) -> bool {
    let mut fields = status.lines().filter_map(|line| line.strip_prefix("Uid:"));
    fields.any(|uids| uids.split_whitespace().all(|uid| uid == "0"))
}

fn held_sockets(pid: i32, sockets: &Sockets) -> BTreeSet<u64> {
    let entries = fs::read_dir(Path::new("/proc").join(pid.to_string()).join("fd"));
    let targets = entries.into_iter().flatten().flatten();
    targets
        .filter_map(|entry| {
            let target = fs::read_link(entry.path()).ok()?;
            let inode = target
                .to_str()?
                .strip_prefix("socket:[")?
                .strip_suffix(']')?;
            inode.parse().ok()
        })
        .filter(|inode| sockets.contains_key(inode))
        .collect()
}

/// `startstack`, the 28th field of /proc/PID/stat; the second, in brackets, may have anything in it.
fn stack(pid: i32) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, fields) = stat.rsplit_once(") ")?;
    fields.split(' ').nth(28 - 3).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn su_by_the_name_of_sshd_is_no_sshd() {
        assert!(is_roots("Name:\tsshd\nUid:\t0\t0\t0\t0\n"));
        assert!(!is_roots("Name:\tsshd\nUid:\t1000\t0\t0\t0\n"));
        assert!(!is_roots(""));
    }

    #[test]
    fn keywords_in_any_case() {
        let printed = "Port 22\nport 2222\nListenAddress [::]:2200 rdomain x\nlistenaddress 0.0.0.0:22\nPidFile none\n";
        assert_eq!(ports(printed), BTreeSet::from([22, 2200, 2222]));
        assert_eq!(values(printed, "pidfile").next(), Some("none"));
    }
}
