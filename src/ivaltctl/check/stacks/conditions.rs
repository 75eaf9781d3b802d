//! Conditions above pam_ivalt that do not mean what they look like: they pass by others than those who are meant.

use std::path::{Path, PathBuf};

use super::fixes::{Edit, Fix};
use super::paths::{ExecutionPath, Exploration, IvaltOutcome};
use super::{Message, StackUnderTest, module_of, only_after};
use crate::check::{accounts, sshd, sudo};
use crate::finding::Severity;
use crate::pam_stack::{Location, Module, ModuleKind, ReturnCode, Rule};
use crate::root::Root;

/// Services whose programs name no remote host: their callers are logged in.
pub const WITHOUT_RHOST: [&str; 5] = ["sudo", "sudo-i", "su", "su-l", "doas"];

/// A condition that is met, or is not, by others than those who are meant.
struct Trap {
    /// What its module returns for them.
    code: ReturnCode,
    severity: Severity,
    message: Message,
}

/// Checks every condition of an auth stack.
pub fn check(stack: &mut StackUnderTest) {
    for (at, rule) in stack.rules.iter().enumerate() {
        let Some(module) = module_of(rule).filter(|module| !stack.codes.is_missing(module)) else {
            continue;
        };
        let traps = match module.name() {
            "pam_succeed_if" => succeed_if(stack, rule, module),
            "pam_access" => access(stack, rule, module).into_iter().collect(),
            _ => Vec::new(),
        };
        traps.into_iter().for_each(|trap| add(stack, at, trap));
        if rule.kind() == ModuleKind::Condition {
            spared_in_vain(stack, at);
        }
    }
}

/// A jump over pam_ivalt by itself lets nobody in: another module of the stack must have.
fn spared_in_vain(stack: &mut StackUnderTest, at: usize) {
    let spared = |path: &ExecutionPath| path.facts.passed_by == Some(at);
    let lets_in = |path: &ExecutionPath| spared(path) && path.lets_in();
    let undecided = stack.best_path(|path| spared(path) && path.undecided);
    let Some(path) = undecided
        .filter(|_| !stack.paths.iter().any(lets_in))
        .cloned()
    else {
        return;
    };
    let message = Message::new(
        "spared-denied",
        "whom this condition spares the token is denied: a jump lets nobody in, and no other line of this stack does",
        "put the condition below what asks for the password; for sshd with keys alone, in its place, in sshd_config: Match \
         Group NAME, and in that block: AuthenticationMethods publickey",
    );
    let location = &stack.rules[at].location;
    stack.add(message, Severity::LocksOut, location, Some(path));
}

/// Only where those whom it concerns get in without being asked.
fn add(stack: &mut StackUnderTest, at: usize, trap: Trap) {
    let Some(path) = stack.passed_by(at, trap.code) else {
        return;
    };
    let location = &stack.rules[at].location;
    let same = (Some(&location.file), Some(location.line));
    stack.found.retain(|known| {
        let known = &known.finding;
        known.id != "some-not-asked" || (known.file.as_ref(), known.line) != same
    });
    stack.add(trap.message, trap.severity, location, Some(path));
}

impl StackUnderTest<'_> {
    /// A login that gets in without being asked when this rule returns this code.
    fn passed_by(&self, at: usize, code: ReturnCode) -> Option<ExecutionPath> {
        let logins = only_after::logins(self.service, self.rules).into_iter();
        let explored = logins.filter_map(|passed| {
            let codes = |rule: &Rule| match std::ptr::eq(rule, &self.rules[at]) {
                true => vec![code],
                false => self.codes.of(rule, &passed),
            };
            Exploration::of(self.rules, !passed.is_empty(), codes)
        });
        let explored: Vec<_> = explored.collect();
        let by_it = |path: &ExecutionPath| {
            let facts = &path.facts;
            let not_asked = facts.ivalt == IvaltOutcome::NotAsked;
            path.lets_in() && not_asked && facts.passed_by == Some(at)
        };
        let paths = explored.iter().flat_map(Exploration::paths).filter(by_it);
        paths.max_by_key(ExecutionPath::successes)
    }
}

/// What the administrator wants to have instead: addresses that are compared as addresses.
fn by_settings(rule: &Rule, networks: &str) -> Fix {
    let told = format!(
        "remove this line, and let pam_ivalt compare addresses; in ivalt.toml, under [policy]: exempt_networks = [\"{networks}\"]"
    );
    let removed = Edit::remove(&rule.location).told(told.clone());
    Fix::from(removed).or_words(told)
}

/// Each condition by itself; `modules/pam_succeed_if/pam_succeed_if.c`.
fn succeed_if(stack: &StackUnderTest, rule: &Rule, module: &Module) -> Vec<Trap> {
    const FLAGS: [&str; 6] = [
        "debug",
        "use_uid",
        "quiet",
        "quiet_fail",
        "quiet_success",
        "audit",
    ];
    let words = module.arguments.iter().map(String::as_str);
    let words: Vec<_> = words.filter(|word| !FLAGS.contains(word)).collect();
    let conditions = words.chunks_exact(3);
    let traps = conditions.filter_map(|condition| {
        let [field, operator, value] = condition else {
            return None;
        };
        let operator = operator.to_ascii_lowercase();
        match operator.as_str() {
            "ingroup" => no_group(stack, value, ReturnCode::AuthErr),
            "notingroup" => no_group(stack, value, ReturnCode::Success),
            "=~" | "glob" if is_rhost(field) => pattern(stack, rule, value, ReturnCode::Success),
            "!~" | "noglob" if is_rhost(field) => pattern(stack, rule, value, ReturnCode::AuthErr),
            _ => None,
        }
    });
    traps.collect()
}

fn is_rhost(field: &str) -> bool {
    field.eq_ignore_ascii_case("rhost")
}

/// Of groups that do not exist, nobody is a member. `code` is what the module then returns.
fn no_group(stack: &StackUnderTest, list: &str, code: ReturnCode) -> Option<Trap> {
    let mut groups = list.split(':').filter(|name| !name.is_empty()).peekable();
    groups.peek()?;
    // Acceptances of other findings must not depend on every line of group(5).
    let lacks = |name| {
        stack
            .codes
            .root
            .recorded(|| accounts::lacks_group(stack.codes.root, name))
            .0
    };
    if !groups.all(lacks) {
        return None;
    }
    let list = list.escape_debug();
    let message = Message::new(
        "group-unknown",
        format!(
            "there is no group {list}: the condition takes everybody for somebody outside it, and they need no token"
        ),
        format!(
            "correct the name {list} in this line, as getent group has it; better, have the condition name those who are \
             not asked, so that a wrong name asks everybody: pam_ivalt(8), \"Groups and networks that are not asked\""
        ),
    );
    Some(Trap {
        code,
        severity: Severity::LetsIn,
        message,
    })
}

/// fnmatch(3) compares an address as text, and a name in its place as well.
fn pattern(stack: &StackUnderTest, rule: &Rule, pattern: &str, code: ReturnCode) -> Option<Trap> {
    let of_addresses = |letter: char| letter.is_ascii_digit() || ".*?[]-!^".contains(letter);
    let local = WITHOUT_RHOST.contains(&stack.service);
    if local || !pattern.ends_with('*') || !pattern.chars().all(of_addresses) {
        return None;
    }
    // sshd gives an address, unless UseDNS says otherwise.
    let by_address = only_after::is_sshd(stack.service) && !sshd::gives_names(stack.codes.root);
    let (severity, when) = match by_address {
        true => (Severity::Warning, ", once UseDNS in sshd_config is yes"),
        false => (Severity::LetsIn, ""),
    };
    let literal = pattern.split(['*', '?', '[']).next().unwrap_or_default();
    let message = Message::new(
        "rhost-pattern",
        format!(
            "{pattern} is compared with the remote host as text, and a name such as {literal}evil.example.com matches it{when}: \
             whoever has such a name for the own address needs no token"
        ),
        by_settings(rule, &network(pattern)),
    );
    Some(Trap {
        code,
        severity,
        message,
    })
}

/// `10.1.0.0/16` for `10.1.*`
fn network(pattern: &str) -> String {
    let parts: Vec<_> = pattern.split('.').collect();
    let octets = parts.iter().map_while(|part| part.parse::<u8>().ok());
    let octets: Vec<_> = octets.map(|octet| octet.to_string()).collect();
    let count = octets.len();
    if !(1..4).contains(&count) || parts[count..].iter().any(|part| *part != "*") {
        return "ADDRESS/BITS".to_owned();
    }
    let padded = [&octets[..], &vec!["0".to_owned(); 4 - count]].concat();
    format!("{}/{}", padded.join("."), count * 8)
}

/// What pam_access(8) says of people whom no line names.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Denied,
    /// This line grants access.
    Granted(Location),
    /// No line says anything, which grants access.
    NoLine,
}

/// A grant of pam_access spares the token; its files were often written for other questions.
fn access(stack: &StackUnderTest, rule: &Rule, module: &Module) -> Option<Trap> {
    const STRANGER: [&str; 3] = ["ALL", "0.0.0.0/0", "::/0"];
    let root = stack.codes.root;
    let files = access_files(root, module)?;
    let local = WITHOUT_RHOST.contains(&stack.service) && !sudo::names_a_host(root, stack.service);
    let (id, what) = match verdict(root, &files, &STRANGER)? {
        Verdict::Granted(line) => (
            "access-open",
            format!("{} grants access to everybody", place(&line)),
        ),
        Verdict::NoLine => {
            let what = "has no line that denies everybody else, and pam_access then grants access";
            ("access-open", format!("{} {what}", files[0].display()))
        }
        Verdict::Denied if !local => return None,
        Verdict::Denied => match verdict(root, &files, &["ALL", "LOCAL"])? {
            Verdict::Granted(line) => {
                let what = "grants access to LOCAL, which is everybody without a remote host, and so is every call of";
                (
                    "access-local",
                    format!("{} {what} {}", place(&line), stack.service),
                )
            }
            Verdict::Denied | Verdict::NoLine => return None,
        },
    };
    let message = Message::new(
        id,
        format!("{what}: they need no token"),
        by_settings(rule, "ADDRESS/BITS"),
    );
    Some(Trap {
        code: ReturnCode::Success,
        severity: Severity::LetsIn,
        message,
    })
}

fn place(line: &Location) -> String {
    format!("line {} of {}", line.line, line.file.display())
}

/// The files that the module reads, one after the other; nothing where its arguments change their form, or where it gives
/// up for want of the file.
fn access_files(root: &Root, module: &Module) -> Option<Vec<PathBuf>> {
    const FILE: &str = "/etc/security/access.conf";
    const FOLDER: &str = "/etc/security/access.d";
    let other_form = |word: &String| word.starts_with("fieldsep=") || word.starts_with("listsep=");
    if module.arguments.iter().any(other_form) {
        return None;
    }
    let mut words = module.arguments.iter().rev();
    if let Some(file) = words.find_map(|word| word.strip_prefix("accessfile=")) {
        let file = PathBuf::from(file);
        return root.exists(&file).then(|| vec![file]);
    }
    let more = root.names(Path::new(FOLDER)).into_iter();
    let more = more.map(|name| Path::new(FOLDER).join(name));
    let more = more.filter(|file| file.extension().is_some_and(|end| end == "conf"));
    Some([PathBuf::from(FILE)].into_iter().chain(more).collect())
}

/// Of an ordinary user whose origin is one of these words. Lines that name people or addresses are not about them.
fn verdict(root: &Root, files: &[PathBuf], origins: &[&str]) -> Option<Verdict> {
    for file in files.iter().filter(|file| root.exists(file)) {
        let text = root.read(file).ok()?;
        let lines = text.split_inclusive('\n').enumerate();
        let mut matching = lines.filter_map(|(at, line)| Some((at, permission(line, origins)?)));
        if let Some((at, granted)) = matching.next() {
            let location = Location {
                file: file.clone(),
                line: at + 1,
            };
            let verdict = if granted {
                Verdict::Granted(location)
            } else {
                Verdict::Denied
            };
            return Some(verdict);
        }
    }
    Some(Verdict::NoLine)
}

/// Whether a line grants or denies; nothing where it is not about them. The module passes over a last line without its
/// newline.
fn permission(line: &str, origins: &[&str]) -> Option<bool> {
    let line = line.strip_suffix('\n')?.trim_end();
    let mut fields = line.splitn(3, ':');
    let [permission, users, from] = [fields.next()?, fields.next()?, fields.next()?];
    let concerned = lists(users, &["ALL"]) && lists(from, origins);
    match permission.chars().next()? {
        '+' if concerned => Some(true),
        '-' if concerned => Some(false),
        _ => None,
    }
}

/// Whether one of these words is in the list, and not among its exceptions.
fn lists(list: &str, wanted: &[&str]) -> bool {
    let words = list.split([',', ' ', '\t']).filter(|word| !word.is_empty());
    let words: Vec<_> = words.collect();
    let is_except = |word: &&str| word.eq_ignore_ascii_case("EXCEPT");
    let has = |words: &[&str]| {
        let wanted = |word: &&str| wanted.iter().any(|known| word.eq_ignore_ascii_case(known));
        words.iter().any(wanted)
    };
    let mut parts = words.split(is_except);
    parts.next().is_some_and(has) && !parts.any(has)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_as_a_network() {
        for (pattern, expected) in [
            ("10.*", "10.0.0.0/8"),
            ("10.1.*", "10.1.0.0/16"),
            ("10.1.*.*", "10.1.0.0/16"),
            ("192.0.2.*", "192.0.2.0/24"),
            ("192.0.2.1*", "ADDRESS/BITS"),
            ("10.*.2.*", "ADDRESS/BITS"),
            ("999.1.*", "ADDRESS/BITS"),
            ("*", "ADDRESS/BITS"),
            ("192.0.2.1.*", "ADDRESS/BITS"),
        ] {
            assert_eq!(network(pattern), expected, "{pattern}");
        }
    }

    #[test]
    fn lines_as_pam_access_reads_them() {
        for (line, here, from_elsewhere) in [
            ("+ : ALL : LOCAL\n", Some(true), None),
            ("+:ALL:10.0.0.0/24 local\n", Some(true), None),
            ("+ : ALL EXCEPT root : LOCAL\n", Some(true), None),
            ("+ : ALL : ALL\n", Some(true), Some(true)),
            ("- : ALL : ALL\n", Some(false), Some(false)),
            ("- : ALL : ALL EXCEPT LOCAL\n", None, Some(false)),
            (
                "- : ALL : ALL EXCEPT 10.0.0.0/8\n",
                Some(false),
                Some(false),
            ),
            ("- : ALL : 0.0.0.0/0\n", None, Some(false)),
            ("+ : alice : LOCAL\n", None, None),
            ("- : ALL : ALL", None, None),
            ("# + : ALL : ALL\n", None, None),
            (" + : ALL : ALL\n", None, None),
            ("+ : ALL\n", None, None),
            ("\n", None, None),
        ] {
            assert_eq!(permission(line, &["ALL", "LOCAL"]), here, "{line}");
            assert_eq!(
                permission(line, &["ALL", "0.0.0.0/0"]),
                from_elsewhere,
                "{line}"
            );
        }
    }
}
