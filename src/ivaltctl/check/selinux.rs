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

const CONFIG: &str = "/etc/selinux/config";
const FOLDER: &str = "/sys/fs/selinux";
/// Since OpenSSH 9.8 it calls PAM: where Debian, Fedora, openSUSE and Arch install it.
const SESSION_PROGRAMS: [&str; 4] = [
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
            let module = module_file::path(context.root, line);
            needs.modules.extend(module);
            let config = context.configs.iter().find(|c| c.path == line.config());
            needs
                .files
                .extend(config.map(|c| c.read.clone()).unwrap_or_default());
            if let Some(settings) = context.settings_of_line(line) {
                needs.ports.insert(settings.api.port());
                needs.files.insert(settings.users_file.clone());
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
        // Of the files in one folder.
        found.dedup();
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
        let fix = "install semanage (policycoreutils-python-utils), then run ivaltctl check again";
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
    ) -> io::Result<Option<Finding>> {
        let folder = path.parent().map(|folder| (folder, "dir", &["search"][..]));
        let parts = folder.into_iter().chain([(path, "file", permissions)]);
        for (part, class, permissions) in parts {
            let Ok(label) = self.kernel.label(part) else {
                continue;
            };
            if !self.allows(&label, class, permissions)? {
                return Ok(Some(self.mislabelled(part, &label, consequence)));
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
            "restorecon -RFv {shown}; where the label stays, the file is in a place that sshd may not read: move it to \
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
    let file = format!("/root/ivalt-{type_of_port}.cil");
    format!(
        "echo '(optional ivalt_{type_of_port} (allow {domain} {type_of_port} (tcp_socket (name_connect))))' > {file}\n\
         semodule -i {file}"
    )
}

/// The type of a TCP port; `None` where semanage(8) is missing.
fn type_of_port(root: &Root, port: u16) -> Option<String> {
    if port == HTTPS {
        return Some(HTTPS_TYPE.to_owned());
    }
    let places = ["/usr/sbin/semanage", "/sbin/semanage"];
    type_in_list(&program::output(root, &places, &["port", "-l"])?, port)
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
