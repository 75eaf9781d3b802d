//! Which lines `enable` writes into a service's file of pam.d, and in place of which.

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use super::saved_state::{Change, Content};
use crate::check;
use crate::pam_stack::{
    self, FOLDERS, Include, Location, ModuleKind, PAM_D, RuleType, Service, carriage_return,
};
use crate::root::Root;
use crate::{Refused, system_error};

pub const HEADER: &str = "# By `ivaltctl enable`; `ivaltctl disable` puts the file back as it was.";
pub const PAM_LINE: &str = "auth    required    pam_ivalt.so";

/// The lines in place of the one that asks for the password, perhaps by an include. That one may be several lines of
/// the file, each but the last ending with a backslash.
type Lines<'a> = &'a dyn Fn(Option<&Include>, &[u8]) -> Vec<Vec<u8>>;

/// A change of the file of a service, and where in it.
struct Edit {
    change: Change,
    /// The file that the service has now, which may be in a vendor's folder.
    origin: PathBuf,
    /// The lines of it that ask for the password.
    instead_of: RangeInclusive<usize>,
    lines: Vec<Vec<u8>>,
}

/// The change for a service other than sshd.
///
/// # Errors
/// The service does not exist, has iVALT already, is a link, or no known module in it asks for a password.
pub fn change(root: &Root, name: &str) -> Result<Change, Refused> {
    let plain = edit(root, name, &with_ivalt)?;
    if is_sound(root, name, &plain) {
        return unless_link(root, name, plain);
    }
    let service = read(root, name)?;
    let substack = |include: Option<&Include>, line: &[u8]| with_substack(&service, include, line);
    match edit(root, name, &substack) {
        Ok(substack) if is_sound(root, name, &substack) => unless_link(root, name, substack),
        _ => unless_link(root, name, plain),
    }
}

/// The change that puts these lines in place of the one that asks for the password.
///
/// # Errors
/// As [`change`].
pub fn change_to(root: &Root, name: &str, lines: Lines) -> Result<Change, Refused> {
    unless_link(root, name, edit(root, name, lines)?)
}

fn no_service(root: &Root, name: &str) -> Refused {
    let mut unreadable = root.unreadable().into_iter();
    let there = unreadable.find(|(path, _)| path.ends_with(name));
    Refused(there.map_or_else(
        || {
            let folders = FOLDERS.join(", ");
            format!("{name}: there is no such service; services are the files in {folders}")
        },
        |(path, why)| {
            let path = path.display();
            format!("{path}: {why}; inspect: namei -l {path}")
        },
    ))
}

/// A file in /etc/pam.d overrides the one of a package's folder.
fn edit(root: &Root, name: &str, lines: Lines) -> Result<Edit, Refused> {
    let path = Path::new(PAM_D).join(name);
    let origin = pam_stack::service_file(root, name).ok_or_else(|| no_service(root, name))?;
    let service = read(root, name)?;
    refuse_covered(name, &service)?;
    let bytes = root.read_bytes(&origin).map_err(|error| {
        system_error::problem(Path::new(&root.shown(&origin)), "cannot be read", &error)
    })?;
    let (instead_of, lines) = replacement(root, &origin, &bytes, &service, lines)?;
    let mut after: Vec<&[u8]> = bytes.split_inclusive(|byte| *byte == b'\n').collect();
    let mut new = lines.join(&b'\n');
    new.push(b'\n');
    after.splice(instead_of.start() - 1..*instead_of.end(), [&*new]);
    Ok(Edit {
        change: Change {
            after: Content(after.concat()),
            before: (origin == path).then_some(Content(bytes)),
            path,
        },
        origin,
        instead_of,
        lines,
    })
}

fn read(root: &Root, name: &str) -> Result<Service, Refused> {
    pam_stack::read(root, name).map_err(|error| {
        let (file, line) = (error.location.file.display(), error.location.line);
        let (what, fix) = (error.kind.what(), error.kind.fix());
        match carriage_return(root, &error.location) {
            Some((cause, fix)) => Refused(format!("{file}:{line}: {what}: {cause}; run: {fix}")),
            None => Refused(format!("{file}:{line}: {what}; {fix}")),
        }
    })
}

fn refuse_covered(name: &str, service: &Service) -> Result<(), Refused> {
    for rules in RuleType::ALL.map(|rule_type| service.own(rule_type)) {
        if let Some((at, _)) = pam_stack::ivalt_rules(rules).next() {
            let location = &rules[at].location;
            let (file, line) = (location.file.display(), location.line);
            return Err(Refused(format!(
                "{file}:{line}: {name} has pam_ivalt already; nothing to do"
            )));
        }
    }
    Ok(())
}

/// Below the last line that asks for a password; there only users who know it are asked for a token.
fn replacement(
    root: &Root,
    path: &Path,
    bytes: &[u8],
    service: &Service,
    instead: Lines,
) -> Result<(RangeInclusive<usize>, Vec<Vec<u8>>), Refused> {
    let text = String::from_utf8_lossy(bytes);
    let file = path.display();
    let Some((number, include)) = password_line(service) else {
        let why = "no line here asks for a password, so the right place is not clear";
        return Err(Refused(match first_carriage_return(root, path, &text) {
            Some((line, (cause, fix))) => format!("{file}:{line}: {cause}, and {why}; run: {fix}"),
            None => format!("{file}: {why}; add this line manually: {PAM_LINE}"),
        }));
    };
    let place = Location {
        file: path.to_owned(),
        line: number,
    };
    if let Some((cause, fix)) = carriage_return(root, &place) {
        return Err(Refused(format!("{file}:{number}: {cause}; run: {fix}")));
    }
    let Some(numbers) = pam_stack::extent(&text, number) else {
        return Err(Refused(format!(
            "{file}:{number}: a comment or an empty line follows a backslash, which versions of libpam read differently; \
             write it as one line first"
        )));
    };
    let lines = bytes.split_inclusive(|byte| *byte == b'\n');
    let lines = lines
        .skip(numbers.start() - 1)
        .take(numbers.clone().count());
    let line = lines.collect::<Vec<_>>().concat();
    let line = line.strip_suffix(b"\n").unwrap_or(&line);
    let new = instead(include, line);
    if let Some(include) = include.filter(|_| !new.iter().any(|new| new == line)) {
        refuse_jump_into(service, include)?;
    }
    Ok((numbers, new))
}

fn first_carriage_return(
    root: &Root,
    path: &Path,
    text: &str,
) -> Option<(usize, (&'static str, String))> {
    let numbers = 1..=text.lines().count();
    let mut found = numbers.filter_map(|line| {
        let file = path.to_owned();
        Some((line, carriage_return(root, &Location { file, line })?))
    });
    found.next()
}

/// As one line the file counts as one rule, so that a jump would end elsewhere.
fn refuse_jump_into(service: &Service, include: &Include) -> Result<(), Refused> {
    let rules = service.own(RuleType::Auth);
    let inside = |rule: &pam_stack::Rule| rule.included_by.first() == Some(include);
    let first = rules.iter().position(inside).unwrap_or(rules.len());
    // It is a substack already.
    if rules.get(first).is_none_or(|rule| rule.level > 0) {
        return Ok(());
    }
    let above = rules[..first].iter().enumerate();
    let mut jumps = above.filter(|(at, rule)| {
        rule.level == 0
            && rule
                .actions
                .longest_jump()
                .is_some_and(|count| at + count >= first)
    });
    let Some((_, rule)) = jumps.next() else {
        return Ok(());
    };
    let (file, line) = (rule.location.file.display(), rule.location.line);
    let name = include.name.escape_debug();
    Err(Refused(format!(
        "{file}:{line}: [{}] counts the lines of {name}, which would be one line then: it would jump elsewhere; write what the \
         line is for without a jump, and run this again",
        rule.control.escape_debug()
    )))
}

/// The number of the last line of the service's own file that asks for a password, perhaps by an include.
pub fn password_line(service: &Service) -> Option<(usize, Option<&Include>)> {
    let mut rules = service.own(RuleType::Auth).iter();
    let password = rules.rfind(|rule| rule.kind() == ModuleKind::Password)?;
    let include = password.included_by.first();
    let location = include.map_or(&password.location, |include| &include.location);
    Some((location.line, include))
}

/// The line that asks for the password, and pam_ivalt's below it. What is included must not end the whole stack:
/// `sufficient` does that in an `include`, and within its own bounds in a `substack`.
fn with_ivalt(include: Option<&Include>, line: &[u8]) -> Vec<Vec<u8>> {
    let (header, ivalt) = (HEADER.into(), PAM_LINE.into());
    match include {
        Some(include) if !include.all_types => {
            vec![
                header,
                include_line(RuleType::Auth, "substack", include),
                ivalt,
            ]
        }
        _ => vec![line.to_owned(), header, ivalt],
    }
}

/// The same for Debian's `@include`, in whose place each type of the file has a line of its own.
fn with_substack(service: &Service, include: Option<&Include>, line: &[u8]) -> Vec<Vec<u8>> {
    let Some(include) = include.filter(|include| include.all_types) else {
        return with_ivalt(include, line);
    };
    let substack = include_line(RuleType::Auth, "substack", include);
    let mut lines = vec![HEADER.into(), substack, PAM_LINE.into()];
    let others = [RuleType::Account, RuleType::Password, RuleType::Session].into_iter();
    let others = others.filter(|rule_type| {
        let mut rules = service.own(*rule_type).iter();
        rules.any(|rule| rule.included_by.first() == Some(include))
    });
    lines.extend(others.map(|rule_type| include_line(rule_type, "include", include)));
    lines
}

fn include_line(rule_type: RuleType, control: &str, include: &Include) -> Vec<u8> {
    let name = &include.name;
    format!("{}    {control}    {name}", rule_type.word()).into_bytes()
}

/// Whether the stacks of the service would let in or lock out nobody who is not meant.
fn is_sound(root: &Root, name: &str, edit: &Edit) -> bool {
    let text = String::from_utf8_lossy(&edit.change.after.0).into_owned();
    let after = root.clone().with(&edit.change.path, text);
    check::stack_is_sound(&after, name)
}

/// A link is left alone: other services may use its target, authselect, NixOS and alternatives write both anew, and
/// `disable` could not put it back.
fn unless_link(root: &Root, name: &str, edit: Edit) -> Result<Change, Refused> {
    let path = &edit.change.path;
    let Ok(target) = root.read_link(path) else {
        return Ok(edit.change);
    };
    let manually = if is_sound(root, name, &edit) {
        edit.manually()
    } else {
        "run ivaltctl check after you have added pam_ivalt manually".to_owned()
    };
    Err(Refused(format!(
        "{}: is a symbolic link to {}, which `enable` does not replace: other services may use that file, and what made \
         the link may write it anew; {manually}",
        path.display(),
        target.display(),
    )))
}

impl Edit {
    /// What an administrator would type.
    fn manually(&self) -> String {
        let (first, last) = (self.instead_of.start(), self.instead_of.end());
        let file = self.origin.display();
        let header = HEADER.as_bytes();
        let lines = self.lines.iter().filter(|line| *line != header);
        let lines: Vec<_> = lines.map(|line| String::from_utf8_lossy(line)).collect();
        match &lines[..] {
            [_, ivalt] if ivalt == PAM_LINE && self.keeps_line() => {
                format!("below line {last} of {file}, add this line manually: {ivalt}")
            }
            lines => format!(
                "in place of line {first} of {file}, write manually: {}",
                lines.join("\nbelow it: ")
            ),
        }
    }

    fn keeps_line(&self) -> bool {
        self.lines
            .first()
            .is_some_and(|line| line != HEADER.as_bytes())
    }
}
