//! SELinux: whether the loaded policy lets sshd do what the module does in it.
//!
//! The kernel answers for the policy that is loaded, modules and booleans of the administrator included: selinuxfs has
//! the files behind security_compute_create(3) and security_compute_av(3). Policies differ: Debian's lets sshd connect
//! anywhere, Fedora's does not; `sshd-session` is a domain of its own on RHEL 10, and permissive in its first releases.

use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use super::context::{CheckContext, MISCONFIGURED, finding};
use super::{module_file, program};
use crate::finding::{Finding, Severity};
use crate::root::Root;
use crate::sshd_program::PROGRAMS;
use ivalt_core::recovery::store::is_code_file;

const CONFIG: &str = "/etc/selinux/config";
const FOLDER: &str = "/sys/fs/selinux";
/// Since OpenSSH 9.8 it calls PAM: where Debian, Fedora, openSUSE and Arch install it.
pub const SESSION_PROGRAMS: [&str; 4] = [
    "/usr/lib/openssh/sshd-session",
    "/usr/libexec/openssh/sshd-session",
    "/usr/libexec/ssh/sshd-session",
    "/usr/lib/ssh/sshd-session",
];
const HTTPS: u16 = 443;
/// The type of port 443 in every policy that descends from the reference policy.
const HTTPS_TYPE: &str = "http_port_t";
/// Types that other ports have where proxies and servers listen. No policy has all of them.
const OTHER_TYPES: [&str; 5] = [
    HTTPS_TYPE,
    "http_cache_port_t",
    "squid_port_t",
    "unreserved_port_t",
    "port_t",
];
/// Fedora's boolean by which programs that log users in may connect to ports of [`HTTPS_TYPE`].
const BOOLEAN: &str = "authlogin_yubikey";
const READ: [&str; 3] = ["getattr", "open", "read"];
/// What dlopen(3) needs of a shared object besides.
const LOAD: [&str; 5] = ["getattr", "open", "read", "map", "execute"];
/// What taking a recovery code needs, of the folder it is in and of its file.
const TAKE_FROM: [&str; 5] = ["search", "read", "open", "write", "remove_name"];
const TAKE: [&str; 4] = ["getattr", "open", "read", "unlink"];
/// A flag of an answer: the domain is permissive, so nothing is denied.
const PERMISSIVE: u32 = 1;

/// Whether sshd may connect to iVALT, or to the proxy, and read the module and its files.
pub fn findings(context: &CheckContext) -> Vec<Finding> {
    if !context.covers("sshd") {
        return Vec::new();
    }
    if !context.root.is_this_machine() {
        return below_a_folder(context.root).into_iter().collect();
    }
    let is_enforcing = Selinuxfs.read("enforce").is_ok_and(|text| text == "1");
    if !is_enforcing || !PROGRAMS.iter().any(|path| Path::new(path).exists()) {
        return Vec::new();
    }
    let needs = Needs::of(context);
    let type_of = |port| type_of_port(context.root, port);
    Policy::of_sshd(&Selinuxfs)
        .and_then(|policy| policy.judge(&needs, &type_of))
        .unwrap_or_else(|error| vec![not_asked(&error)])
}

/// The first of these folders and files from which the loaded policy does not let sshd take a recovery code, with its
/// label and the domain of sshd. A policy that cannot be asked is a finding of [`findings`].
pub fn keeps_from_codes(context: &CheckContext, paths: &[PathBuf]) -> Option<Mislabelled> {
    if !context.covers("sshd") || !context.root.is_this_machine() {
        return None;
    }
    let is_enforcing = Selinuxfs.read("enforce").is_ok_and(|text| text == "1");
    let policy = is_enforcing.then(|| Policy::of_sshd(&Selinuxfs));
    policy?.ok()?.keeps_from_codes(paths).ok()?
}

/// A file or folder with a label that keeps sshd from using it.
#[derive(Debug, PartialEq, Eq)]
pub struct Mislabelled {
    pub path: PathBuf,
    pub label: String,
    pub domain: String,
}

/// The policy of a system that does not run cannot be asked.
fn below_a_folder(root: &Root) -> Option<Finding> {
    let text = root.read(Path::new(CONFIG)).unwrap_or_default();
    text.lines()
        .find(|line| line.trim() == "SELINUX=enforcing")?;
    let what = "SELinux will be enforcing, and only the running system can be asked whether its policy lets sshd connect to \
                iVALT: where it does not, everybody who is asked for iVALT by ssh is denied (unavailable)";
    let fix = "run ivaltctl check there once it runs, before anybody needs it";
    Some(finding(Severity::Warning, "selinux", CONFIG, what, fix))
}

fn not_asked(error: &io::Error) -> Finding {
    let what = format!(
        "SELinux is enforcing, and its policy cannot be asked whether it lets sshd connect to iVALT: {error}"
    );
    let fix = "run ivaltctl check as root in an unconfined domain (id -Z); after a login by ssh: ausearch -m avc -ts recent";
    finding(Severity::Warning, "selinux", CONFIG, what, fix)
}

/// What a login by ssh needs.
#[derive(Default)]
struct Needs {
    /// TCP ports the module connects to.
    ports: BTreeSet<u16>,
    modules: BTreeSet<PathBuf>,
    /// Settings and the files they name.
    files: BTreeSet<PathBuf>,
}

impl Needs {
    fn of(context: &CheckContext) -> Self {
        let mut needs = Self::default();
        for line in context.lines.iter().filter(|line| line.service == "sshd") {
            needs.modules.extend(module_file::paths(context.root, line));
            let config = context.configs.iter().find(|c| c.path == line.config());
            needs
                .files
                .extend(config.map(|c| c.read.clone()).unwrap_or_default());
            if let Some(settings) = context.settings_of_line(line) {
                needs.ports.extend(settings.ports());
                needs
                    .files
                    .extend(settings.users().iter().map(Path::to_owned));
                needs.files.extend(settings.api.ca_file.clone());
            }
        }
        needs
    }
}

/// The kernel's side; tests have a policy of their own.
trait Kernel {
    /// A file of selinuxfs.
    fn read(&self, file: &str) -> io::Result<String>;
    /// Writes a question to a file of selinuxfs, and reads the answer.
    fn ask(&self, file: &str, question: &str) -> io::Result<String>;
    /// The context of process 1.
    fn init(&self) -> io::Result<String>;
    /// The context of a file.
    fn label(&self, path: &Path) -> io::Result<String>;
}

struct Selinuxfs;

impl Kernel for Selinuxfs {
    fn read(&self, file: &str) -> io::Result<String> {
        fs::read_to_string(Path::new(FOLDER).join(file)).map(|text| trimmed(&text))
    }

    fn ask(&self, file: &str, question: &str) -> io::Result<String> {
        let path = Path::new(FOLDER).join(file);
        #[expect(clippy::disallowed_methods, reason = "the kernel's own, on no disk")]
        let mut opened = OpenOptions::new().read(true).write(true).open(path)?;
        opened.write_all(question.as_bytes())?;
        let mut answer = [0; 4096];
        let length = opened.read(&mut answer)?;
        Ok(trimmed(&String::from_utf8_lossy(&answer[..length])))
    }

    fn init(&self) -> io::Result<String> {
        fs::read_to_string("/proc/1/attr/current").map(|text| trimmed(&text))
    }

    fn label(&self, path: &Path) -> io::Result<String> {
        let mut label = [0_u8; 4096];
        let length = rustix::fs::getxattr(path, "security.selinux", &mut label)?;
        Ok(trimmed(&String::from_utf8_lossy(&label[..length])))
    }
}

/// Contexts end with NUL, or do not.
fn trimmed(text: &str) -> String {
    text.trim_matches(['\0', '\n', ' ']).to_owned()
}

/// The loaded policy, as it concerns one domain.
struct Policy<'a> {
    kernel: &'a dyn Kernel,
    /// The context in which sshd calls PAM.
    domain: String,
    /// The label of its program, of the form that every label of the policy has.
    label: String,
}

impl<'a> Policy<'a> {
    /// The domain is that of the next start of the system: sshd may have been started by hand now.
    fn of_sshd(kernel: &'a dyn Kernel) -> io::Result<Self> {
        let init = kernel.init()?;
        let label = label_of_first(kernel, &PROGRAMS).ok_or(ErrorKind::NotFound)?;
        let mut sshd = transition(kernel, &init, &label)?;
        if sshd == init {
            // Without systemd a script starts it.
            let script = with_type(&init, "initrc_t");
            sshd = transition(kernel, &script, &label).unwrap_or(sshd);
        }
        let session = label_of_first(kernel, &SESSION_PROGRAMS);
        let domain = match session {
            Some(label) => transition(kernel, &sshd, &label)?,
            None => sshd,
        };
        Ok(Self {
            kernel,
            domain,
            label,
        })
    }

    fn judge(
        &self,
        needs: &Needs,
        type_of: &dyn Fn(u16) -> Option<String>,
    ) -> io::Result<Vec<Finding>> {
        let mut found = Vec::new();
        for port in &needs.ports {
            found.extend(self.connection(*port, type_of(*port))?);
        }
        let consequence = "PAM fails the line that names it for everybody (PAM_MODULE_UNKNOWN)";
        for path in &needs.modules {
            found.extend(self.file(path, &LOAD, consequence)?);
        }
        for path in &needs.files {
            found.extend(self.file(path, &READ, MISCONFIGURED)?);
        }
        // A folder has several files.
        let mut seen = BTreeSet::new();
        found.retain(|found: &Finding| seen.insert((found.file.clone(), found.what.clone())));
        Ok(found)
    }

    fn connection(&self, port: u16, type_of_port: Option<String>) -> io::Result<Option<Finding>> {
        let Some(type_of_port) = type_of_port else {
            return self.connection_to_unknown(port);
        };
        if self.connects(&type_of_port)? {
            return Ok(None);
        }
        let domain = type_in(&self.domain);
        let what = format!(
            "SELinux does not let sshd ({domain}) connect to port {port} ({type_of_port}): everybody who is asked for iVALT \
             by ssh is denied (unavailable)"
        );
        let boolean = self.kernel.read(&format!("booleans/{BOOLEAN}"));
        // "0 0": off, and nothing pending.
        let is_off = boolean.is_ok_and(|value| value.starts_with('0'));
        let fix = match is_off && type_of_port == HTTPS_TYPE {
            true => format!("setsebool -P {BOOLEAN} on"),
            false => module(domain, &type_of_port),
        };
        let found = finding(Severity::LocksOut, "selinux", CONFIG, what, fix);
        Ok(Some(found))
    }

    /// The kernel knows the type of a port, and does not say it.
    fn connection_to_unknown(&self, port: u16) -> io::Result<Option<Finding>> {
        let asked = OTHER_TYPES.map(|name| self.connects(name));
        // The policy does not have the others.
        let known: Vec<bool> = asked.into_iter().flatten().collect();
        if !known.is_empty() && !known.contains(&false) {
            return Ok(None);
        }
        let what = format!(
            "SELinux is enforcing, and whether it lets sshd ({}) connect to port {port} depends on the type of the port, which \
             is not known here: where it does not, everybody who is asked for iVALT by ssh is denied (unavailable)",
            type_in(&self.domain)
        );
        let fix = "install semanage (policycoreutils-python-utils), or see why semanage port -l fails; then run ivaltctl check again";
        Ok(Some(finding(
            Severity::Warning,
            "selinux",
            CONFIG,
            what,
            fix,
        )))
    }

    fn connects(&self, type_of_port: &str) -> io::Result<bool> {
        self.allows(
            &with_type(&self.label, type_of_port),
            "tcp_socket",
            &["name_connect"],
        )
    }

    /// A file and the folder it is in, where they exist.
    fn file(
        &self,
        path: &Path,
        permissions: &[&str],
        consequence: &str,
    ) -> io::Result<Vec<Finding>> {
        let folder = path.parent().map(|folder| (folder, "dir", &["search"][..]));
        let parts = folder.into_iter().chain([(path, "file", permissions)]);
        let mut found = Vec::new();
        for (part, class, permissions) in parts {
            let Ok(label) = self.kernel.label(part) else {
                continue;
            };
            if !self.allows(&label, class, permissions)? {
                found.push(self.mislabelled(part, &label, consequence));
            }
        }
        Ok(found)
    }

    /// Of folders, and files of codes.
    fn keeps_from_codes(&self, paths: &[PathBuf]) -> io::Result<Option<Mislabelled>> {
        for path in paths {
            let Ok(label) = self.kernel.label(path) else {
                continue;
            };
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let allowed = match is_code_file(&name) {
                true => self.allows(&label, "file", &TAKE)?,
                false => self.allows(&label, "dir", &TAKE_FROM)?,
            };
            if !allowed {
                return Ok(Some(Mislabelled {
                    path: path.clone(),
                    label: type_in(&label).to_owned(),
                    domain: type_in(&self.domain).to_owned(),
                }));
            }
        }
        Ok(None)
    }

    fn mislabelled(&self, path: &Path, label: &str, consequence: &str) -> Finding {
        let what = format!(
            "SELinux does not let sshd ({}) use it, labelled {}: {consequence}",
            type_in(&self.domain),
            type_in(label)
        );
        let shown = path.display();
        let fix = format!(
            "restorecon -Fv {shown}; where the label stays, the file is in a place that sshd may not read: move it to \
             /etc/ivalt, a module to the folder of pam_unix.so"
        );
        finding(Severity::LocksOut, "selinux", path, what, fix)
    }

    /// Whether the domain has all of these permissions, security_compute_av(3).
    fn allows(&self, target: &str, class: &str, permissions: &[&str]) -> io::Result<bool> {
        let index = number(&self.kernel.read(&format!("class/{class}/index"))?)?;
        let mut wanted = 0_u32;
        for name in permissions {
            match self.kernel.read(&format!("class/{class}/perms/{name}")) {
                Ok(place) => wanted |= 1 << (number(&place)? - 1),
                // An older policy does not know it, and the kernel then does not ask.
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        let question = format!("{} {target} {index} {wanted:x}", self.domain);
        let answer = self.kernel.ask("access", &question)?;
        // allowed decided auditallow auditdeny seqno flags
        let fields: Vec<&str> = answer.split(' ').collect();
        let [allowed, _, _, _, _, flags] = fields[..] else {
            return Err(ErrorKind::InvalidData.into());
        };
        Ok(hexadecimal(flags)? & PERMISSIVE != 0 || hexadecimal(allowed)? & wanted == wanted)
    }
}

fn label_of_first(kernel: &dyn Kernel, paths: &[&str]) -> Option<String> {
    let mut paths = paths.iter();
    paths.find_map(|path| kernel.label(Path::new(path)).ok())
}

/// The context of a process of this one that executes a file of that label, security_compute_create(3).
fn transition(kernel: &dyn Kernel, from: &str, label: &str) -> io::Result<String> {
    let class = kernel.read("class/process/index")?;
    kernel.ask("create", &format!("{from} {label} {class}"))
}

fn number(text: &str) -> io::Result<u32> {
    let number = text
        .parse()
        .ok()
        .filter(|number| (1..=0xffff).contains(number));
    number.ok_or_else(|| ErrorKind::InvalidData.into())
}

fn hexadecimal(text: &str) -> io::Result<u32> {
    u32::from_str_radix(text, 16).map_err(|_| ErrorKind::InvalidData.into())
}

/// `system_u:system_r:sshd_t:s0-s0:c0.c1023`
fn type_in(context: &str) -> &str {
    context.split(':').nth(2).unwrap_or(context)
}

/// The same context with another type.
fn with_type(context: &str, name: &str) -> String {
    let mut fields: Vec<&str> = context.split(':').collect();
    if let Some(field) = fields.get_mut(2) {
        *field = name;
    }
    fields.join(":")
}

/// A module of one rule. In an optional block: if an upgrade of the policy drops one of the types, the rule is left out,
/// where without the block no policy could be built any more.
fn module(domain: &str, type_of_port: &str) -> String {
    let file = format!("ivalt-{type_of_port}.cil");
    format!(
        "echo '(optional ivalt_{type_of_port} (allow {domain} {type_of_port} (tcp_socket (name_connect))))' > {file}\n\
         semodule -i {file}"
    )
}

/// The type of a TCP port; `None` where semanage(8) is missing or fails. In Python, it takes seconds on a slow machine.
fn type_of_port(root: &Root, port: u16) -> Option<String> {
    if port == HTTPS {
        return Some(HTTPS_TYPE.to_owned());
    }
    let places = ["/usr/sbin/semanage", "/sbin/semanage"];
    type_in_list(&program::slow_output(root, &places, &["port", "-l"])?, port)
}

/// `http_port_t    tcp    80, 443, 8008-8009`; where ranges overlap, the smallest is meant.
fn type_in_list(list: &str, port: u16) -> Option<String> {
    let entries = list.lines().flat_map(|line| {
        let mut words = line.split_whitespace();
        let name = words.next().unwrap_or_default();
        let is_tcp = words.next() == Some("tcp");
        let ranges = words.map(|word| word.trim_end_matches(','));
        let ranges = ranges.filter_map(move |word| Some((size_of_range(word, port)?, name)));
        ranges.filter(move |_| is_tcp)
    });
    entries.min().map(|(_, name)| name.to_owned())
}

/// The size of `1024-32767` or `443`, if the port is in it.
fn size_of_range(range: &str, port: u16) -> Option<u16> {
    let (first, last) = range.split_once('-').unwrap_or((range, range));
    let (first, last): (u16, u16) = (first.parse().ok()?, last.parse().ok()?);
    (first..=last).contains(&port).then(|| last - first)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A policy as the kernel answers for it.
    struct Loaded {
        /// Type, label's type, and the type that follows.
        transitions: Vec<[&'static str; 3]>,
        labels: Vec<[&'static str; 2]>,
        /// Domain, type, and the permissions in hexadecimal.
        rules: Vec<(&'static str, &'static str, u32)>,
        types: Vec<&'static str>,
        permissive: bool,
        boolean: Option<&'static str>,
        mls: bool,
    }

    const NAME_CONNECT: u32 = 0x40_0000;
    const SEARCH: u32 = 0x40_0000;
    const READABLE: u32 = 0x4_0012;
    const LOADABLE: u32 = 0x4_4412;
    const WRITE: u32 = 0x4;
    const UNLINK: u32 = 0x20;
    const REMOVE_NAME: u32 = 0x100;
    const TAKEN: u32 = WRITE | UNLINK | REMOVE_NAME;
    const MODULE: &str = "/usr/lib/x86_64-linux-gnu/security/pam_ivalt.so";

    /// As Debian 13 has it.
    fn debian() -> Loaded {
        Loaded {
            transitions: vec![["init_t", "sshd_exec_t", "sshd_t"]],
            labels: vec![
                ["/usr/sbin/sshd", "sshd_exec_t"],
                ["/usr/lib/openssh/sshd-session", "sshd_exec_t"],
                ["/usr/lib/x86_64-linux-gnu/security", "lib_t"],
                [MODULE, "lib_t"],
                ["/etc/ivalt", "etc_t"],
                ["/etc/ivalt/ivalt.toml", "etc_t"],
                ["/etc/ivalt/users.toml", "etc_t"],
            ],
            rules: vec![
                ("sshd_t", "http_port_t", NAME_CONNECT),
                ("sshd_t", "http_cache_port_t", NAME_CONNECT),
                ("sshd_t", "unreserved_port_t", NAME_CONNECT),
                ("sshd_t", "lib_t", LOADABLE | SEARCH),
                ("sshd_t", "etc_t", READABLE | SEARCH),
            ],
            types: vec!["http_port_t", "http_cache_port_t", "unreserved_port_t"],
            permissive: false,
            boolean: None,
            mls: true,
        }
    }

    /// As RHEL 10 has it.
    fn red_hat() -> Loaded {
        let mut policy = debian();
        policy
            .transitions
            .push(["sshd_t", "sshd_session_exec_t", "sshd_session_t"]);
        policy.labels[1] = ["/usr/libexec/openssh/sshd-session", "sshd_session_exec_t"];
        policy.rules = vec![
            ("sshd_t", "http_port_t", NAME_CONNECT),
            ("sshd_session_t", "lib_t", LOADABLE | SEARCH),
            ("sshd_session_t", "etc_t", READABLE | SEARCH),
        ];
        policy.types.push("squid_port_t");
        policy.boolean = Some("0 0");
        policy
    }

    impl Loaded {
        fn context(&self, role: &str, name: &str) -> String {
            let range = if self.mls { ":s0" } else { "" };
            format!("system_u:{role}:{name}{range}")
        }

        fn knows(&self, name: &str) -> bool {
            let of_labels = self.labels.iter().map(|[_, label]| label);
            let of_domains = self.transitions.iter().flatten();
            let mut known = self.types.iter().chain(of_labels).chain(of_domains);
            known.any(|known| *known == name)
        }
    }

    impl Kernel for Loaded {
        fn read(&self, file: &str) -> io::Result<String> {
            Ok(match file {
                "class/process/index" => "2",
                "class/file/index" => "6",
                "class/dir/index" => "7",
                "class/tcp_socket/index" => "15",
                "class/tcp_socket/perms/name_connect" | "class/dir/perms/search" => "23",
                "class/dir/perms/write" => "3",
                "class/file/perms/unlink" => "6",
                "class/dir/perms/remove_name" => "9",
                "class/file/perms/read" | "class/dir/perms/read" => "2",
                "class/file/perms/getattr" => "5",
                "class/file/perms/map" => "11",
                "class/file/perms/execute" => "15",
                "class/file/perms/open" | "class/dir/perms/open" => "19",
                "booleans/authlogin_yubikey" => self.boolean.ok_or(ErrorKind::NotFound)?,
                other => panic!("{other}"),
            }
            .to_owned())
        }

        fn ask(&self, file: &str, question: &str) -> io::Result<String> {
            let words: Vec<&str> = question.split(' ').collect();
            let (domain, target) = (type_in(words[0]), type_in(words[1]));
            for word in &words[..2] {
                // The kernel takes no context without its range, and none with one too many.
                if (word.split(':').count() == 4) != self.mls || !self.knows(type_in(word)) {
                    return Err(ErrorKind::InvalidInput.into());
                }
            }
            if file == "create" {
                assert_eq!(words[2..], ["2"]);
                let mut all = self.transitions.iter();
                let found = all.find(|[from, label, _]| [*from, *label] == [domain, target]);
                return Ok(self.context("system_r", found.map_or(domain, |found| found[2])));
            }
            assert_eq!((file, words[1].contains(":object_r:")), ("access", true));
            let class = if target.ends_with("_port_t") {
                &["15"][..]
            } else {
                &["6", "7"]
            };
            assert!(class.contains(&words[2]), "{question}");
            let of_both = |rule: &&(&str, &str, u32)| (rule.0, rule.1) == (domain, target);
            let allowed = self.rules.iter().find(of_both).map_or(0, |rule| rule.2);
            let flags = u32::from(self.permissive);
            Ok(format!("{allowed:x} ffffffff 0 ffffffff 7 {flags:x}"))
        }

        fn init(&self) -> io::Result<String> {
            Ok(self.context("system_r", "init_t"))
        }

        fn label(&self, path: &Path) -> io::Result<String> {
            let mut labels = self.labels.iter();
            let found = labels.find(|[file, _]| Path::new(file) == path);
            let [_, label] = found.ok_or(ErrorKind::NotFound)?;
            Ok(self.context("object_r", label))
        }
    }

    fn judged_with(policy: &Loaded, port: u16, type_of_port: Option<&str>) -> Vec<Finding> {
        let needs = Needs {
            ports: [port].into(),
            modules: [MODULE.into()].into(),
            files: [
                "/etc/ivalt/ivalt.toml".into(),
                "/etc/ivalt/users.toml".into(),
            ]
            .into(),
        };
        let type_of = |_| type_of_port.map(str::to_owned);
        let asked = Policy::of_sshd(policy).and_then(|policy| policy.judge(&needs, &type_of));
        asked.unwrap_or_else(|error| vec![not_asked(&error)])
    }

    fn judged(policy: &Loaded) -> Vec<(Severity, String, String, String)> {
        shown(judged_with(policy, 443, Some("http_port_t")))
    }

    fn shown(found: Vec<Finding>) -> Vec<(Severity, String, String, String)> {
        let each = found.into_iter().map(|found| {
            assert_eq!(found.id, "selinux");
            let file = found.file.unwrap().to_str().unwrap().to_owned();
            (found.severity, file, found.what, found.fix)
        });
        each.collect()
    }

    const BOOLEAN_ON: &str = "setsebool -P authlogin_yubikey on";

    fn denied(
        domain: &str,
        port: u16,
        type_of_port: &str,
        fix: &str,
    ) -> (Severity, String, String, String) {
        let what = format!(
            "SELinux does not let sshd ({domain}) connect to port {port} ({type_of_port}): everybody who is asked for iVALT by \
             ssh is denied (unavailable)"
        );
        (Severity::LocksOut, CONFIG.into(), what, fix.into())
    }

    #[test]
    fn a_policy_that_lets_sshd_connect_is_no_finding() {
        assert_eq!(judged(&debian()), []);
        let without_ranges = Loaded {
            mls: false,
            ..debian()
        };
        assert_eq!(judged(&without_ranges), []);
    }

    #[test]
    fn the_domain_is_the_one_that_calls_pam() {
        assert_eq!(
            judged(&red_hat()),
            [denied("sshd_session_t", 443, "http_port_t", BOOLEAN_ON)]
        );
        let mut before_the_split = red_hat();
        before_the_split.labels.remove(1);
        before_the_split.rules = debian().rules;
        before_the_split.rules.remove(0);
        assert_eq!(
            judged(&before_the_split),
            [denied("sshd_t", 443, "http_port_t", BOOLEAN_ON)]
        );
    }

    #[test]
    fn without_systemd_a_script_starts_sshd() {
        let mut policy = debian();
        policy.transitions = vec![
            ["initrc_t", "sshd_exec_t", "sshd_t"],
            ["init_t", "init_exec_t", "init_t"],
        ];
        assert_eq!(judged(&policy), []);
    }

    #[test]
    fn a_permissive_domain_is_denied_nothing() {
        assert_eq!(
            judged(&Loaded {
                permissive: true,
                ..red_hat()
            }),
            []
        );
    }

    #[test]
    fn the_remedy_is_one_that_the_policy_has() {
        let rule = "echo '(optional ivalt_http_port_t (allow sshd_session_t http_port_t (tcp_socket (name_connect))))' > \
                    ivalt-http_port_t.cil\nsemodule -i ivalt-http_port_t.cil";
        for boolean in [None, Some("1 1"), Some("1 0")] {
            let policy = Loaded {
                boolean,
                ..red_hat()
            };
            assert_eq!(
                judged(&policy),
                [denied("sshd_session_t", 443, "http_port_t", rule)],
                "{boolean:?}"
            );
        }
        let proxy = rule.replace("http_port_t", "squid_port_t");
        assert_eq!(
            shown(judged_with(&red_hat(), 3128, Some("squid_port_t"))),
            [denied("sshd_session_t", 3128, "squid_port_t", &proxy)]
        );
    }

    #[test]
    fn the_type_of_a_port_may_be_unknown() {
        assert_eq!(shown(judged_with(&debian(), 3128, None)), []);
        let what = "SELinux is enforcing, and whether it lets sshd (sshd_session_t) connect to port 3128 depends on the type of \
                    the port, which is not known here: where it does not, everybody who is asked for iVALT by ssh is denied \
                    (unavailable)";
        let fix = "install semanage (policycoreutils-python-utils), or see why semanage port -l fails; then run ivaltctl check again";
        let unknown = (
            Severity::Warning,
            CONFIG.to_owned(),
            what.to_owned(),
            fix.to_owned(),
        );
        assert_eq!(
            shown(judged_with(&red_hat(), 3128, None)),
            std::slice::from_ref(&unknown)
        );
        // No type is known at all.
        let policy = Loaded {
            types: Vec::new(),
            ..red_hat()
        };
        assert_eq!(shown(judged_with(&policy, 3128, None)), [unknown]);
    }

    #[test]
    fn a_policy_that_cannot_be_asked_is_a_warning() {
        let policy = Loaded {
            types: Vec::new(),
            ..debian()
        };
        let found = judged(&policy);
        let [(Severity::Warning, file, what, _)] = &found[..] else {
            panic!("{found:?}");
        };
        assert_eq!(file, CONFIG);
        let expected = "SELinux is enforcing, and its policy cannot be asked whether it lets sshd connect to iVALT: ";
        assert!(what.starts_with(expected), "{what}");
    }

    #[test]
    fn files_with_the_label_of_another_place() {
        let relabelled = |path: &str| {
            let mut policy = debian();
            let label = policy.labels.iter_mut().find(|[file, _]| *file == path);
            label.unwrap()[1] = "user_home_t";
            judged(&policy)
        };
        for (path, consequence) in [
            (
                MODULE,
                "PAM fails the line that names it for everybody (PAM_MODULE_UNKNOWN)",
            ),
            ("/etc/ivalt/users.toml", MISCONFIGURED),
            ("/etc/ivalt", MISCONFIGURED),
        ] {
            let what = format!(
                "SELinux does not let sshd (sshd_t) use it, labelled user_home_t: {consequence}"
            );
            let fix = format!(
                "restorecon -Fv {path}; where the label stays, the file is in a place that sshd may not read: move it to \
                 /etc/ivalt, a module to the folder of pam_unix.so"
            );
            let expected = (Severity::LocksOut, path.to_owned(), what, fix);
            assert_eq!(relabelled(path), [expected]);
        }
        // It can be read, and not be mapped.
        let mut policy = debian();
        policy.rules[3].2 = READABLE | SEARCH;
        assert_eq!(judged(&policy)[0].1, MODULE);
    }

    #[test]
    fn an_older_policy_does_not_know_every_permission() {
        struct Older(Loaded);
        impl Kernel for Older {
            fn read(&self, file: &str) -> io::Result<String> {
                match file {
                    "class/file/perms/map" => Err(ErrorKind::NotFound.into()),
                    file => self.0.read(file),
                }
            }
            fn ask(&self, file: &str, question: &str) -> io::Result<String> {
                self.0.ask(file, question)
            }
            fn init(&self) -> io::Result<String> {
                self.0.init()
            }
            fn label(&self, path: &Path) -> io::Result<String> {
                self.0.label(path)
            }
        }
        let mut policy = debian();
        policy.rules[3].2 = (LOADABLE | SEARCH) & !0x400;
        let asked = |kernel: &dyn Kernel| {
            let policy = Policy::of_sshd(kernel)?;
            policy
                .file(Path::new(MODULE), &LOAD, "x")
                .map(|found| !found.is_empty())
        };
        assert!(asked(&policy).unwrap());
        assert!(!asked(&Older(policy)).unwrap());
    }

    #[test]
    fn a_label_from_which_no_code_is_taken() {
        let code = format!("/var/lib/ivalt/recovery/user-a/code-{}", "0".repeat(64));
        let store = "/var/lib/ivalt/recovery";
        let paths: Vec<PathBuf> = [store, "/var/lib/ivalt/recovery/user-a", &code]
            .map(PathBuf::from)
            .into();
        let code: &'static str = code.leak();
        let judged = |folder: u32, label: &'static str| {
            let mut policy = red_hat();
            policy.labels.push([store, "var_auth_t"]);
            policy
                .labels
                .push(["/var/lib/ivalt/recovery/user-a", "var_auth_t"]);
            policy.labels.push([code, label]);
            policy.rules.push(("sshd_session_t", "var_auth_t", folder));
            policy.types.extend(["var_auth_t", "var_lib_t"]);
            let policy = Policy::of_sshd(&policy).unwrap();
            policy.keeps_from_codes(&paths).unwrap()
        };
        let mislabelled = |path: &str, label: &str| {
            Some(Mislabelled {
                path: path.into(),
                label: label.into(),
                domain: "sshd_session_t".into(),
            })
        };
        let all = READABLE | SEARCH | TAKEN;
        assert_eq!(judged(all, "var_auth_t"), None);
        assert_eq!(judged(all, "var_lib_t"), mislabelled(code, "var_lib_t"));
        for missing in [WRITE, REMOVE_NAME, UNLINK] {
            let found = judged(all & !missing, "var_auth_t");
            let path = if missing == UNLINK { code } else { store };
            assert_eq!(found, mislabelled(path, "var_auth_t"), "{missing:x}");
        }
    }

    #[test]
    fn ports_as_semanage_lists_them() {
        let list = "SELinux Port Type              Proto    Port Number\n\n\
                    dns_port_t                     udp      443\n\
                    http_cache_port_t              tcp      3128, 8080, 8118, 10001-10010\n\
                    http_port_t                    tcp      80, 443, 8443\n\
                    unreserved_port_t              tcp      1024-32767, 61000-65535\n\
                    hi_reserved_port_t             tcp      512-1023\n";
        for (port, expected) in [
            (443, Some("http_port_t")),
            (8443, Some("http_port_t")),
            (3128, Some("http_cache_port_t")),
            (10005, Some("http_cache_port_t")),
            (10011, Some("unreserved_port_t")),
            (65535, Some("unreserved_port_t")),
            (1, None),
        ] {
            assert_eq!(type_in_list(list, port).as_deref(), expected, "{port}");
        }
    }
}
