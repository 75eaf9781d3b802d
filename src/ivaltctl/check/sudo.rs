//! sudo: when it does not call PAM at all, and as which service it calls PAM.
//!
//! `/etc/sudoers` and what it includes are read as text, since only root may read them and sudo itself lists the rules
//! of one user at a time; sudo-rs reads the same files.

use std::path::{Path, PathBuf};

use super::context::{CheckContext, finding};
use crate::finding::{Finding, Severity};
use crate::root::Root;

const SUDOERS: &str = "/etc/sudoers";
/// sudo's own limit of includes in includes (MAX_SUDOERS_DEPTH).
const MAX_DEPTH: usize = 128;
/// More prompts than that for one command are a warning.
const MAX_PROMPTS: u64 = 10;

/// A line of sudoers.
struct SudoersLine {
    file: PathBuf,
    number: usize,
    text: String,
}

/// The users and groups that sudoers gives rights.
#[derive(Debug, Default)]
pub struct SudoSubjects {
    pub users: Vec<String>,
    pub groups: Vec<String>,
}

/// Checks sudo, if its service asks iVALT.
pub fn findings(context: &CheckContext) -> Vec<Finding> {
    if !context.covers("sudo") {
        return Vec::new();
    }
    let lines = lines(context.root);
    let of_lines = lines.iter().flat_map(|line| match defaults(&line.text) {
        Some(settings) => settings
            .iter()
            .filter_map(|setting| check_default(context, line, setting))
            .collect(),
        None => check_grant(line),
    });
    of_lines.collect()
}

/// Who may use sudo: groups by `%`, users by their name. Where sudoers cannot be read, the groups distributions use.
pub fn subjects(root: &Root) -> SudoSubjects {
    let lines = lines(root);
    if lines.is_empty() {
        let groups = ["sudo", "wheel", "admin"].map(str::to_owned).to_vec();
        return SudoSubjects {
            groups,
            ..SudoSubjects::default()
        };
    }
    let mut subjects = SudoSubjects::default();
    for line in lines.iter().filter(|line| is_grant(&line.text)) {
        let subject = line.text.split('=').next().unwrap_or_default();
        // The last word before `=` is the host.
        let users = subject
            .trim()
            .rsplit_once(char::is_whitespace)
            .map_or("", |(users, _)| users);
        for name in users.split(',').map(str::trim) {
            match name.strip_prefix('%') {
                Some(group) => subjects.groups.push(group.to_owned()),
                None => subjects.users.push(name.to_owned()),
            }
        }
    }
    subjects
}

fn is_grant(text: &str) -> bool {
    let alias = [
        "User_Alias",
        "Runas_Alias",
        "Host_Alias",
        "Cmnd_Alias",
        "Cmd_Alias",
    ];
    text.contains('=')
        && defaults(text).is_none()
        && !alias.iter().any(|word| text.starts_with(word))
}

fn lines(root: &Root) -> Vec<SudoersLine> {
    let mut lines = Vec::new();
    collect(root, Path::new(SUDOERS), MAX_DEPTH, &mut lines);
    lines
}

fn collect(root: &Root, file: &Path, depth: usize, lines: &mut Vec<SudoersLine>) {
    let Ok(text) = root.read(file) else {
        return;
    };
    for (number, text) in logical_lines(&text) {
        let (word, rest) = text.split_once(char::is_whitespace).unwrap_or((&text, ""));
        let named = file
            .parent()
            .unwrap_or(Path::new("/"))
            .join(rest.trim().trim_matches('"'));
        match (word, depth) {
            ("@include" | "#include" | "@includedir" | "#includedir", 0) => {}
            ("@include" | "#include", _) => collect(root, &named, depth - 1, lines),
            ("@includedir" | "#includedir", _) => {
                // sudoers(5): names with a dot and those that end in a tilde are left out.
                let names = root
                    .names(&named)
                    .into_iter()
                    .map(|name| name.to_string_lossy().into_owned());
                for name in names.filter(|name| !name.contains('.') && !name.ends_with('~')) {
                    collect(root, &named.join(name), depth - 1, lines);
                }
            }
            _ if text.starts_with('#') && !is_user_id(&text) => {}
            _ if text.is_empty() => {}
            _ => lines.push(SudoersLine {
                file: file.to_owned(),
                number,
                text,
            }),
        }
    }
}

/// `#1000 ALL=…` names a user by number; everything else after `#` is a comment.
fn is_user_id(text: &str) -> bool {
    text.as_bytes().get(1).is_some_and(u8::is_ascii_digit)
}

/// Lines with their numbers; a backslash at the end joins the next.
fn logical_lines(text: &str) -> Vec<(usize, String)> {
    let mut lines = Vec::new();
    let mut open: Option<(usize, String)> = None;
    for (number, line) in (1..).zip(text.lines()) {
        let (begun, mut joined) = open.take().unwrap_or((number, String::new()));
        match line.strip_suffix('\\') {
            Some(line) => {
                joined.push_str(line);
                open = Some((begun, joined));
            }
            None => {
                joined.push_str(line);
                lines.push((begun, without_comment(&joined).trim().to_owned()));
            }
        }
    }
    lines.extend(open);
    lines
}

/// A comment after a rule, but not `#include`, nor a user by number.
fn without_comment(line: &str) -> &str {
    let comment = line.char_indices().skip(1).find(|(at, c)| {
        let next = line.as_bytes().get(at + 1);
        *c == '#'
            && line[..*at].ends_with(char::is_whitespace)
            && !next.is_some_and(u8::is_ascii_digit)
    });
    comment.map_or(line, |(at, _)| &line[..at])
}

/// The settings of a `Defaults` line: `Defaults[@host|:user|!command|>runas] a, !b, c = d`.
fn defaults(text: &str) -> Option<Vec<String>> {
    let rest = text.strip_prefix("Defaults")?;
    let rest = match rest.chars().next()? {
        c if c.is_whitespace() => rest,
        '@' | ':' | '!' | '>' => rest.split_once(char::is_whitespace)?.1,
        _ => return None,
    };
    Some(
        rest.split(',')
            .map(|setting| setting.trim().to_owned())
            .collect(),
    )
}

fn warning(line: &SudoersLine, id: &'static str, what: &str, fix: &str) -> Finding {
    Finding {
        line: Some(line.number),
        ..finding(
            Severity::Warning,
            id,
            &line.file,
            what,
            format!("visudo -f {}: {fix}", line.file.display()),
        )
    }
}

fn check_default(context: &CheckContext, line: &SudoersLine, setting: &str) -> Option<Finding> {
    let (name, value) = setting.split_once('=').unwrap_or((setting, ""));
    let (name, value) = (name.trim(), value.trim().trim_matches('"'));
    match name {
        "!authenticate" => Some(warning(
            line,
            "sudo-not-asked",
            "!authenticate: sudo runs these commands without calling PAM, so without iVALT",
            "remove !authenticate",
        )),
        "noninteractive_auth" => Some(warning(
            line,
            "sudo-noninteractive",
            "noninteractive_auth: sudo -n runs the module, whose prompt nobody can answer: scripts fail with a denial and \
             its delay, in place of sudo's \"a password is required\"",
            "remove noninteractive_auth",
        )),
        "timestamp_timeout" | "!timestamp_timeout" if value.starts_with('-') => Some(warning(
            line,
            "sudo-timestamp",
            "timestamp_timeout is negative: a user who has passed iVALT once is not asked again until the next boot",
            "timestamp_timeout = 15",
        )),
        "passwd_tries" => many_tries(context, line, value.parse().ok()?),
        "pam_service" => other_service(context, line, value, "sudo"),
        "pam_login_service" => other_service(context, line, value, "sudo -i"),
        _ => None,
    }
}

/// sudo runs the whole stack again after a denial, passwd_tries times.
fn many_tries(context: &CheckContext, line: &SudoersLine, tries: u64) -> Option<Finding> {
    let attempts = context.settings_of("sudo")?.token.attempts.get();
    let prompts = tries.saturating_mul(attempts);
    let what = format!(
        "passwd_tries = {tries}, and each try may ask for {attempts} tokens: one command may ask {prompts} times"
    );
    (prompts > MAX_PROMPTS).then(|| {
        warning(
            line,
            "sudo-many-tries",
            &what,
            "passwd_tries = 3, or token.attempts = 1 in the settings",
        )
    })
}

fn other_service(
    context: &CheckContext,
    line: &SudoersLine,
    service: &str,
    command: &str,
) -> Option<Finding> {
    if context.covers(service) {
        return None;
    }
    let what = format!(
        "{command} calls PAM as \"{service}\", which does not ask iVALT: users run commands by it without iVALT"
    );
    let fix = format!("add the pam_ivalt line to /etc/pam.d/{service}, too");
    Some(Finding {
        severity: Severity::LetsIn,
        ..warning(line, "sudo-other-service", &what, &fix)
    })
}

fn check_grant(line: &SudoersLine) -> Vec<Finding> {
    if !is_grant(&line.text) || !line.text.contains("NOPASSWD:") {
        return Vec::new();
    }
    let what = "NOPASSWD: sudo runs these commands without calling PAM, so without iVALT";
    vec![warning(line, "sudo-nopasswd", what, "remove NOPASSWD:")]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_defaults() {
        for (text, expected) in [
            ("Defaults a, !b", Some(vec!["a", "!b"])),
            ("Defaults:alice !authenticate", Some(vec!["!authenticate"])),
            ("Defaults\tpasswd_tries = 5", Some(vec!["passwd_tries = 5"])),
            ("Defaultsx a", None),
            ("alice ALL=(ALL) ALL", None),
        ] {
            let expected =
                expected.map(|words| words.into_iter().map(str::to_owned).collect::<Vec<_>>());
            assert_eq!(defaults(text), expected, "{text}");
        }
    }

    #[test]
    fn comments_and_joined_lines() {
        let lines = logical_lines("a \\\nb # c\n# d\n#includedir /x\n#1000 ALL=ALL\n");
        let texts: Vec<_> = lines
            .iter()
            .map(|(line, text)| format!("{line} {text}"))
            .collect();
        assert_eq!(
            texts,
            ["1 a b", "3 # d", "4 #includedir /x", "5 #1000 ALL=ALL"]
        );
    }
}
