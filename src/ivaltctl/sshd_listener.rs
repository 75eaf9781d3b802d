//! The sshd that listens, found by its pid file or by its sockets, see proc(5).
//!
//! How it gets its sockets decides what makes it read its configuration anew:
//! - it opens them itself: `ssh.service` of Debian and Ubuntu, every init script, `sshd -D` below runit, s6, or as the
//!   first process of a container. SIGHUP.
//! - systemd opens them and starts `ssh.service` at the first connection (`Accept=no`): `ssh.socket` of Debian 12, of
//!   Debian 13, and of Ubuntu since 22.10, where it is the default and a generator copies `Port` and `ListenAddress` from
//!   sshd_config into it. That one process then takes all connections. At SIGHUP it would close the socket, and end
//!   (OpenSSH 9.2) or open one of its own.
//! - systemd opens them and starts a process for each connection (`Accept=yes`): `ssh.socket` of Debian 11 and before,
//!   and `sshd.socket` of Fedora and Arch. Nothing is left to be told.

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
    /// The process that started it and holds the same sockets.
    activator: Option<i32>,
}

/// What listens for ssh.
#[derive(Debug, PartialEq, Eq)]
pub enum Found {
    /// It has opened its sockets itself.
    Listener(Listener),
    /// systemd has opened them; the name is the service's.
    Service(Listener, String),
    NotRunning,
    /// systemd alone listens, and starts sshd for the next connection.
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
        let listeners = Self::all(&sockets)?;
        let pid_file = pid_file(effective);
        let by_file = listeners.iter().find(|found| Some(found.pid) == pid_file);
        let on_ports = |found: &&Self| {
            found
                .sockets
                .iter()
                .any(|inode| ports.contains(&sockets[inode]))
        };
        // ssh.socket has ports of its own.
        let activated = |found: &&Self| found.activator.is_some();
        let mut rest = listeners.iter();
        let found = by_file
            .or_else(|| rest.clone().find(on_ports))
            .or_else(|| rest.find(activated));
        Ok(match found {
            Some(listener) => listener.clone().with_activator(),
            None => not_sshd(&sockets, &ports, listeners.first()),
        })
    }

    fn all(sockets: &Sockets) -> Result<Vec<Self>, Refused> {
        let daemons = processes()?.into_iter().filter(|pid| is_daemon(*pid));
        Ok(daemons.filter_map(|pid| Self::of(pid, sockets)).collect())
    }

    fn of(pid: i32, sockets: &Sockets) -> Option<Self> {
        let held = held_sockets(pid, sockets);
        if held.is_empty() {
            return None;
        }
        let holds_one = |parent: &i32| !held_sockets(*parent, sockets).is_disjoint(&held);
        Some(Self {
            pid,
            activator: parent(&text(pid, "status")).filter(holds_one),
            sockets: held,
            stack: stack(pid).unwrap_or_default(),
        })
    }

    fn with_activator(self) -> Found {
        let pid = self.pid;
        match (self.activator, service(&text(pid, "cgroup"))) {
            (None, _) => Found::Listener(self),
            (Some(1), Some(service)) if is_systemd() => Found::Service(self, service),
            (Some(activator), _) => Found::Unknown(format!(
                "sshd (process {pid}) has its socket from process {activator}, which is not systemd or has not started it as a \
                 service"
            )),
        }
    }

    /// After SIGHUP sshd executes itself again: it opens its sockets anew, or keeps those that it was given.
    pub fn has_begun_anew(&self, old: &Self) -> bool {
        self.pid == old.pid && (self.sockets != old.sockets || self.stack != old.stack)
    }
}

/// Whether the first process is systemd, see sd_booted(3).
pub fn is_systemd() -> bool {
    Path::new("/run/systemd/system").is_dir()
}

fn not_sshd(sockets: &Sockets, ports: &BTreeSet<u16>, elsewhere: Option<&Listener>) -> Found {
    let wanted: Sockets = sockets
        .iter()
        .filter(|(_, port)| ports.contains(port))
        .map(|(inode, port)| (*inode, *port))
        .collect();
    match (elsewhere, wanted.values().next()) {
        (_, Some(_)) if is_systemd() && !held_sockets(1, &wanted).is_empty() => {
            Found::SocketActivated
        }
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
fn is_daemon(pid: i32) -> bool {
    let program = fs::read_link(format!("/proc/{pid}/exe")).unwrap_or_default();
    let name = program
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    let is_sshd =
        name.trim_end_matches(" (deleted)") == "sshd" || text(pid, "comm").trim_end() == "sshd";
    is_sshd && is_roots(&text(pid, "status")) && !is_connection(&text(pid, "cmdline"))
}

/// A file of the process; nothing where it has ended.
fn text(pid: i32, file: &str) -> String {
    let bytes = fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// By the title that sshd gives itself; the one that listens says so in its own since OpenSSH 8.2. A connection listens,
/// too, where its client forwards ports, and outlives the sshd that took it.
fn is_connection(cmdline: &str) -> bool {
    cmdline.starts_with("sshd: ") && !cmdline.contains("[listener]")
}

fn parent(status: &str) -> Option<i32> {
    let mut fields = status.lines().filter_map(|line| line.strip_prefix("PPid:"));
    fields.next()?.trim().parse().ok()
}

/// Of systemd's hierarchy, which with cgroup v1 has a name: `0::/system.slice/ssh.service`, see cgroups(7).
fn service(cgroups: &str) -> Option<String> {
    let mut paths = cgroups.lines().filter_map(|line| {
        let (_, rest) = line.split_once(':')?;
        let (controllers, path) = rest.split_once(':')?;
        matches!(controllers, "" | "name=systemd").then_some(path)
    });
    paths.find_map(|path| {
        let (_, unit) = path.rsplit_once('/')?;
        unit.ends_with(".service").then(|| unit.to_owned())
    })
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
    fn a_connection_is_not_what_listens() {
        for (cmdline, expected) in [
            ("/usr/sbin/sshd\0-D\0", false),
            (
                "sshd: /usr/sbin/sshd -D [listener] 0 of 10-100 startups\0\0",
                false,
            ),
            ("sshd: root@pts/0\0\0", true),
            ("sshd: alice [priv]\0", true),
            ("", false),
        ] {
            assert_eq!(is_connection(cmdline), expected, "{cmdline}");
        }
    }

    #[test]
    fn the_parent() {
        assert_eq!(parent("Name:\tsshd\nPid:\t7\nPPid:\t1\nUid:\t0\n"), Some(1));
        assert_eq!(parent(""), None);
    }

    #[test]
    fn the_service_by_the_cgroup() {
        let v1 =
            "12:pids:/system.slice/other.service\n1:name=systemd:/system.slice/ssh.service\n0::/\n";
        for (cgroups, expected) in [
            ("0::/system.slice/ssh.service\n", Some("ssh.service")),
            (v1, Some("ssh.service")),
            ("0::/user.slice/user-0.slice/session-3.scope\n", None),
            ("0::/\n", None),
            ("", None),
        ] {
            assert_eq!(service(cgroups).as_deref(), expected, "{cgroups}");
        }
    }

    #[test]
    fn keywords_in_any_case() {
        let printed = "Port 22\nport 2222\nListenAddress [::]:2200 rdomain x\nlistenaddress 0.0.0.0:22\nPidFile none\n";
        assert_eq!(ports(printed), BTreeSet::from([22, 2200, 2222]));
        assert_eq!(values(printed, "pidfile").next(), Some("none"));
    }
}
