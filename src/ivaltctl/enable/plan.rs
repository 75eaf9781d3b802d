//! Which files `enable` changes, and into what.

use std::path::{Path, PathBuf};

use super::read;
use super::saved_state::{Change, Content};
use crate::Refused;
use crate::check::{self, services_with_ivalt};
use crate::pam_stack::{self, ALIAS_SERVICES, FOLDERS, Include, ModuleKind, RuleType, Service};
use crate::root::Root;

/// Read before all others: sshd takes the first value it finds.
const DROP_IN: &str = "/etc/ssh/sshd_config.d/00-ivalt.conf";
const HEADER: &str = "# By `ivaltctl enable`; `ivaltctl disable` puts the file back as it was.";
const PAM_LINE: &str = "auth    required    pam_ivalt.so";
/// Asks users whose key sshd has checked, and is passed over by all others.
const KEY_LINE: &str =
    "auth    [success=done ignore=ignore default=die]    pam_ivalt.so only_after=publickey";

/// What `enable` changes.
pub struct Plan {
    pub changes: Vec<Change>,
    /// What an administrator must know before.
    pub notice: Option<&'static str>,
}

/// How sshd asks for iVALT.
#[derive(Clone, Copy, PartialEq, Eq)]
enum SshdSetup {
    /// After a key, and after a password.
    KeyOrPassword,
    /// After a key alone, since nothing ends the stack at a wrong password.
    Key,
}

/// Shown where [`SshdSetup::Key`] is all that can be enabled.
const KEY_ALONE: &str = "sshd: key, then iVALT. The PAM files of this system cannot end a login at a wrong password and \
still ask for a token after the right one.\nUSERS WITHOUT AN SSH KEY CANNOT LOG IN BY SSH AFTER THIS CHANGE. To see who \
has one: ls -l /home/*/.ssh/authorized_keys\nFor password, then iVALT, and what a wrong password reveals there: \
man pam_ivalt, \"sshd: password, then iVALT\"";

/// The changes that enable iVALT for a service, and for its alias where it has one.
///
/// # Errors
/// The service does not exist, has iVALT already, or no known module in it asks for a password.
pub fn plan(root: &Root, service: &str) -> Result<Plan, Refused> {
    if service == "sshd" {
        return sshd(root);
    }
    let mut changes = vec![pam_service(root, service, with_ivalt)?];
    let aliases = ALIAS_SERVICES.iter().filter(|(name, ..)| *name == service);
    for (_, alias, _) in aliases {
        let exists = pam_stack::service_file(root, alias).is_some();
        if exists && !is_covered(&after(root, &changes), alias) {
            changes.push(pam_service(root, alias, with_ivalt)?);
        }
    }
    let notice = None;
    Ok(Plan { changes, notice })
}

/// Key or password where a wrong password ends the stack, as the simulator says; else key alone.
fn sshd(root: &Root) -> Result<Plan, Refused> {
    for lines in [with_key_line, with_key_line_and_include] {
        let drop_in = drop_in(root, SshdSetup::KeyOrPassword)?;
        let changes = vec![drop_in, pam_service(root, "sshd", lines)?];
        if check::wrong_password_ends(&after(root, &changes), "sshd") {
            let notice = None;
            return Ok(Plan { changes, notice });
        }
    }
    refuse_without_include(root)?;
    let drop_in = drop_in(root, SshdSetup::Key)?;
    Ok(Plan {
        changes: vec![drop_in, pam_service(root, "sshd", in_place_of_password)?],
        notice: Some(KEY_ALONE),
    })
}

/// Where the service names the modules itself, one line in place of another may leave half of them.
fn refuse_without_include(root: &Root) -> Result<(), Refused> {
    let service = pam_stack::read(root, "sshd").unwrap_or_default();
    match password_line(&service) {
        Some((_, None)) => Err(Refused(
            "sshd: a wrong password does not end the PAM stack, so that strangers would be asked for a token; write requisite \
             in the line of /etc/pam.d/sshd that asks for the password, and run this again"
                .into(),
        )),
        _ => Ok(()),
    }
}

/// The system as it would be.
pub fn after(root: &Root, changes: &[Change]) -> Root {
    changes.iter().fold(root.clone(), |root, change| {
        let text = String::from_utf8_lossy(&change.after.0).into_owned();
        root.with(&change.path, text)
    })
}

fn is_covered(root: &Root, service: &str) -> bool {
    services_with_ivalt(root).iter().any(|name| name == service)
}

/// The lines in place of the one that asks for the password, perhaps by an include.
type Lines = fn(Option<&Include>, &[u8]) -> Vec<Vec<u8>>;

/// A file in /etc/pam.d overrides the one of a package's folder.
fn pam_service(root: &Root, name: &str, lines: Lines) -> Result<Change, Refused> {
    let path = Path::new(pam_stack::PAM_D).join(name);
    refuse_link(root, &path)?;
    let origin = pam_stack::service_file(root, name).ok_or_else(|| {
        let folders = FOLDERS.join(", ");
        Refused(format!(
            "{name}: there is no such service; services are the files in {folders}"
        ))
    })?;
    let service = pam_stack::read(root, name).map_err(|error| {
        let (file, line) = (error.location.file.display(), error.location.line);
        let (what, fix) = (error.kind.what(), error.kind.fix());
        Refused(format!("{file}:{line}: {what}; {fix}"))
    })?;
    refuse_covered(name, &service)?;
    let bytes = root.read_bytes(&origin);
    let bytes = bytes.map_err(|error| Refused(format!("{}: {error}", origin.display())))?;
    Ok(Change {
        after: Content(insert(&origin, &bytes, &service, lines)?),
        before: (origin == path).then_some(Content(bytes)),
        path,
    })
}

/// The link's target may belong to other services, too, and authselect writes it anew.
fn refuse_link(root: &Root, path: &Path) -> Result<(), Refused> {
    let metadata = root.link_metadata(path);
    if !metadata.is_ok_and(|metadata| metadata.is_symlink()) {
        return Ok(());
    }
    let path = path.display();
    Err(Refused(format!(
        "{path}: is a symbolic link, which `enable` does not replace; add this line manually: {PAM_LINE}"
    )))
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
fn insert(
    path: &Path,
    bytes: &[u8],
    service: &Service,
    instead: Lines,
) -> Result<Vec<u8>, Refused> {
    let mut lines: Vec<&[u8]> = bytes.split_inclusive(|byte| *byte == b'\n').collect();
    let Some((number, include)) = password_line(service).filter(|(line, _)| *line <= lines.len())
    else {
        return Err(Refused(format!(
            "{}: no line here asks for a password, so the right place is not clear; add this line manually: {PAM_LINE}",
            path.display()
        )));
    };
    let line = &mut lines[number - 1];
    if pam_stack::is_continued(&String::from_utf8_lossy(line)) {
        return Err(Refused(format!(
            "{}:{number}: the line continues on the next one; write it as one line first",
            path.display()
        )));
    }
    let mut instead = instead(include, line.trim_ascii_end());
    instead.push(Vec::new());
    let instead = instead.join(&b'\n');
    *line = &instead;
    Ok(lines.concat())
}

/// The number of the last line of the service's own file that asks for a password, perhaps by an include.
fn password_line(service: &Service) -> Option<(usize, Option<&Include>)> {
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
            let substack = format!("auth    substack    {}", include.name);
            vec![header, substack.into(), ivalt]
        }
        _ => vec![line.to_owned(), header, ivalt],
    }
}

/// The three lines of "key or password, then iVALT".
fn with_key_line(_: Option<&Include>, line: &[u8]) -> Vec<Vec<u8>> {
    let (header, key) = (HEADER.into(), KEY_LINE.into());
    vec![header, key, line.to_owned(), PAM_LINE.into()]
}

/// The same where a substack would keep to itself what an include does not.
fn with_key_line_and_include(include: Option<&Include>, line: &[u8]) -> Vec<Vec<u8>> {
    let include = include.filter(|include| !include.all_types);
    let include = include.map(|include| format!("auth    include    {}", include.name));
    with_key_line(None, include.as_deref().map_or(line, str::as_bytes))
}

fn in_place_of_password(_: Option<&Include>, _: &[u8]) -> Vec<Vec<u8>> {
    vec![HEADER.into(), PAM_LINE.into()]
}

/// Lets clients answer PAM's prompts, asks for iVALT after a key too, and turns off sshd's own password method, which
/// cannot carry a token.
fn drop_in(root: &Root, setup: SshdSetup) -> Result<Change, Refused> {
    let mut lines = vec![
        HEADER,
        "UsePAM yes",
        "KbdInteractiveAuthentication yes",
        "PasswordAuthentication no",
    ];
    let methods = methods(root, &config_with_drop_ins(root)?);
    match setup {
        SshdSetup::Key => refuse_without_key(&methods)?,
        SshdSetup::KeyOrPassword => {}
    }
    if methods.is_empty() {
        lines.push(match setup {
            SshdSetup::KeyOrPassword => {
                "AuthenticationMethods publickey,keyboard-interactive keyboard-interactive"
            }
            SshdSetup::Key => "AuthenticationMethods publickey,keyboard-interactive",
        });
    }
    let path = PathBuf::from(DROP_IN);
    let before = read(root, &path);
    let before = before.map_err(|error| Refused(format!("{DROP_IN}: {error}")))?;
    Ok(Change {
        before: before.map(Content),
        path,
        after: Content((lines.join("\n") + "\n").into_bytes()),
    })
}

/// sshd's main file, which must include its drop-ins.
fn config_with_drop_ins(root: &Root) -> Result<String, Refused> {
    let main = Path::new("/etc/ssh/sshd_config");
    let config = root.read(main).map_err(|error| {
        Refused(format!(
            "{}: {error}; is the ssh server installed?",
            main.display()
        ))
    })?;
    if config.lines().any(includes_drop_ins) {
        return Ok(config);
    }
    Err(Refused(format!(
        "{}: does not include {}; make this its first line: Include /etc/ssh/sshd_config.d/*.conf",
        main.display(),
        DROP_IN
    )))
}

fn includes_drop_ins(line: &str) -> bool {
    let mut words = words(line);
    words
        .next()
        .is_some_and(|word| word.eq_ignore_ascii_case("include"))
        && words.any(|word| word.starts_with("/etc/ssh/sshd_config.d/*"))
}

/// AuthenticationMethods that an administrator wrote are kept; `check` says whether iVALT is in them.
fn methods(root: &Root, config: &str) -> Vec<String> {
    let folder = Path::new("/etc/ssh/sshd_config.d");
    let drop_ins = root.names(folder).into_iter();
    // glob(7) leaves out hidden files, such as one of ours that a killed `enable` did not finish.
    let drop_ins = drop_ins
        .filter(|name| !name.as_encoded_bytes().starts_with(b"."))
        .filter(|name| name != "00-ivalt.conf");
    let texts = drop_ins.map(|name| root.read(&folder.join(name)).unwrap_or_default());
    let lines = texts.chain([config.to_owned()]);
    let lines = lines.flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>());
    let sets_them = |line: &String| {
        let first = words(line).next();
        first.is_some_and(|word| word.eq_ignore_ascii_case("authenticationmethods"))
    };
    lines.filter(sets_them).collect()
}

/// There the stack asks for the token alone, which must not be the only factor.
fn refuse_without_key(methods: &[String]) -> Result<(), Refused> {
    let has_key = |list: &str| list.split(',').next() == Some("publickey");
    let fits = |line: &&String| words(line).skip(1).all(has_key);
    let Some(line) = methods.iter().find(|line| !fits(line)) else {
        return Ok(());
    };
    Err(Refused(format!(
        "sshd_config has \"{}\". On this system a wrong password does not end the PAM stack, so that key, then iVALT is all that \
         can be enabled; write AuthenticationMethods publickey,keyboard-interactive, or remove the line, and run this again. Users \
         without an SSH key cannot log in by ssh then",
        line.trim()
    )))
}

fn words(line: &str) -> impl Iterator<Item = &str> {
    line.split('#')
        .next()
        .unwrap_or_default()
        .split_ascii_whitespace()
}
