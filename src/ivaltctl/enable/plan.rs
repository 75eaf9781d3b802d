//! Which files `enable` changes, and into what.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use similar::TextDiff;

use super::pam::{self, HEADER, PAM_LINE, password_line};
use super::saved_state::{Change, Content};
use super::write::read;
use crate::Refused;
use crate::check::{self, services_with_ivalt};
use crate::finding::Finding;
use crate::pam_stack::{self, ALIAS_SERVICES, Include};
use crate::root::Root;
use crate::sshd_config::{self, SshdConfig};
use crate::system_error;

/// Read before all others: sshd takes the first value it finds.
pub const DROP_IN: &str = "/etc/ssh/sshd_config.d/00-ivalt.conf";
/// Ends what is written at the top of sshd_config.
const FOOTER: &str = "# End of what `ivaltctl enable` wrote.";

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
    let mut changes = vec![pam::change(root, service)?];
    let aliases = ALIAS_SERVICES.iter().filter(|(name, ..)| *name == service);
    for (_, alias, _) in aliases {
        let exists = pam_stack::service_file(root, alias).is_some();
        if exists && !is_covered(&after(root, &changes), alias) {
            changes.push(pam::change(root, alias)?);
        }
    }
    let notice = None;
    Ok(Plan { changes, notice })
}

/// Key or password where a wrong password ends the stack, as the simulator says; else key alone.
fn sshd(root: &Root) -> Result<Plan, Refused> {
    for lines in [with_key_line, with_key_line_and_include] {
        let config = sshd_config(root, SshdSetup::KeyOrPassword)?;
        let service = pam::change_to(root, "sshd", &lines)?;
        let changes = config.into_iter().chain([service]).collect::<Vec<_>>();
        if check::wrong_password_ends(&after(root, &changes), "sshd") {
            let notice = None;
            return Ok(Plan { changes, notice });
        }
    }
    refuse_without_include(root)?;
    let config = sshd_config(root, SshdSetup::Key)?;
    let service = pam::change_to(root, "sshd", &in_place_of_password)?;
    Ok(Plan {
        changes: config.into_iter().chain([service]).collect(),
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

/// A finding about the files as they would be, at the line of the file that is there now.
pub fn in_files_of_now(root: &Root, changes: &[Change], finding: Finding) -> Finding {
    let mut changes = changes.iter();
    let change = changes.find(|change| Some(&change.path) == finding.file.as_ref());
    let (Some(change), Some(line)) = (change, finding.line) else {
        return finding;
    };
    let in_vendor_folder = || {
        let name = change.path.file_name()?.to_str()?;
        let of_pam = change.path.starts_with(pam_stack::PAM_D);
        pam_stack::service_file(root, name).filter(|_| of_pam)
    };
    let now = match change.before {
        Some(_) => change.path.clone(),
        None => in_vendor_folder().unwrap_or_else(|| change.path.clone()),
    };
    let before = root.read(&now).unwrap_or_default();
    let after = String::from_utf8_lossy(&change.after.0);
    let diff = TextDiff::from_lines(&*before, &*after);
    let mut lines = diff.iter_all_changes();
    let Some(of_diff) = lines.find(|known| known.new_index() == Some(line - 1)) else {
        return finding;
    };
    let what = match of_diff.old_index() {
        Some(_) => finding.what,
        None => format!(
            "{}; this is about a line that `enable` would write: {}",
            finding.what,
            of_diff.value().trim_end()
        ),
    };
    Finding {
        file: Some(now),
        line: of_diff.old_index().map(|index| index + 1),
        what,
        ..finding
    }
}

fn is_covered(root: &Root, service: &str) -> bool {
    services_with_ivalt(root).iter().any(|name| name == service)
}

/// The three lines of "key or password, then iVALT".
fn with_key_line(_: Option<&Include>, line: &[u8]) -> Vec<Vec<u8>> {
    let (header, key) = (HEADER.into(), check::KEY_LINE.into());
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

/// What `enable` changes of sshd's configuration. Nothing where an administrator wrote all of it, in a file that is not
/// ours to change.
fn sshd_config(root: &Root, setup: SshdSetup) -> Result<Option<Change>, Refused> {
    if SshdConfig::read(root, true).is_none() {
        return Err(no_configuration(root));
    }
    let lines = sshd_lines(root, setup)?;
    let drop_in = drop_in(root, &lines)?;
    if comes_first(root, &drop_in, &lines) {
        return Ok(Some(drop_in));
    }
    let main = sshd_config::main_path(root);
    if main == Path::new(sshd_config::CONFIG) && !is_link(root, main) {
        return Ok(Some(at_the_top(root, main, &lines)?));
    }
    if lines.iter().all(|line| is_set(root, line)) {
        return Ok(None);
    }
    Err(Refused(format!(
        "{}: {DROP_IN} would not count here, and this file is a package's or a symbolic link, which `enable` does not \
         replace; write these lines where sshd reads them before all others, and run this again:\n{}",
        main.display(),
        lines.join("\n")
    )))
}

/// Below a folder it is all that is known of sshd.
fn no_configuration(root: &Root) -> Refused {
    let mut files = [sshd_config::CONFIG, sshd_config::VENDOR_CONFIG].into_iter();
    let unreadable = files.find_map(|path| {
        let path = Path::new(path);
        let error = root.read(path).err()?;
        let is_there = error.kind() != ErrorKind::NotFound;
        is_there.then(|| system_error::problem(path, "cannot be read", &error))
    });
    unreadable.map_or_else(
        || super::sshd::missing(root, &format!("{} is not there", sshd_config::CONFIG)),
        Refused::from,
    )
}

/// They let clients answer PAM's prompts, ask for iVALT after a key too, and turn off sshd's own password method, which
/// cannot carry a token.
fn sshd_lines(root: &Root, setup: SshdSetup) -> Result<Vec<&'static str>, Refused> {
    let mut lines = vec!["UsePAM yes", "KbdInteractiveAuthentication yes"];
    if check::has_older_prompt_setting(root) {
        lines.push("ChallengeResponseAuthentication yes");
    }
    lines.push("PasswordAuthentication no");
    let others = root.clone().with(Path::new(DROP_IN), String::new());
    let (global, blocks) = check::written_methods(&others);
    match setup {
        SshdSetup::Key => refuse_without_key(global.iter().chain(&blocks))?,
        SshdSetup::KeyOrPassword => {}
    }
    // What an administrator wrote for all connections is kept; `check` says whether iVALT is in it, and in each block.
    if global.is_none() {
        lines.push(match setup {
            SshdSetup::KeyOrPassword => check::KEY_OR_PASSWORD_METHODS,
            SshdSetup::Key => check::KEY_METHODS,
        });
    }
    Ok(lines)
}

fn drop_in(root: &Root, lines: &[&str]) -> Result<Change, Refused> {
    let path = PathBuf::from(DROP_IN);
    let before = read(root, &path);
    let before = before.map_err(|error| {
        system_error::problem(Path::new(&root.shown(&path)), "cannot be read", &error)
    })?;
    let text = format!("{HEADER}\n{}\n", lines.join("\n"));
    Ok(Change {
        before: before.map(Content),
        path,
        after: Content(text.into_bytes()),
    })
}

/// Before OpenSSH 8.2 there is no `Include`; elsewhere it may be missing, come too late, or be in a `Match` block. To
/// write one would make sshd read whatever else is in that folder.
fn at_the_top(root: &Root, main: &Path, lines: &[&str]) -> Result<Change, Refused> {
    let before = root.read_bytes(main).map_err(|error| {
        system_error::problem(Path::new(&root.shown(main)), "cannot be read", &error)
    })?;
    let ours = format!("{HEADER}\n{}\n{FOOTER}\n", lines.join("\n"));
    Ok(Change {
        path: main.to_owned(),
        after: Content([ours.as_bytes(), &before].concat()),
        before: Some(Content(before)),
    })
}

/// Whether sshd comes to these lines in the changed file before it comes to others of their keywords.
fn comes_first(root: &Root, change: &Change, lines: &[&str]) -> bool {
    let Some(config) = SshdConfig::read(&after(root, std::slice::from_ref(change)), true) else {
        return false;
    };
    lines.iter().all(|line| {
        let setting = config.outside(&keyword(line));
        setting.is_some_and(|setting| setting.file == change.path)
    })
}

fn is_set(root: &Root, line: &str) -> bool {
    let words = line.split(' ').skip(1);
    SshdConfig::read(root, true).is_some_and(|config| {
        let setting = config.outside(&keyword(line));
        setting.is_some_and(|setting| words.eq(&setting.arguments))
    })
}

fn is_link(root: &Root, path: &Path) -> bool {
    let metadata = root.link_metadata(path);
    metadata.is_ok_and(|metadata| metadata.is_symlink())
}

fn keyword(line: &str) -> String {
    let keyword = line.split(' ').next().unwrap_or_default();
    keyword.to_ascii_lowercase()
}

/// The folder of a new file, if it is missing: `enable` makes it, and `disable` removes it.
pub fn missing_folder(root: &Root, changes: &[Change]) -> Option<PathBuf> {
    let folders = changes.iter().filter_map(|change| change.path.parent());
    let mut missing = folders.filter(|folder| !root.is_folder(folder));
    missing.next().map(Path::to_owned)
}

/// There the stack asks for the token alone, which must not be the only factor.
fn refuse_without_key<'a>(mut methods: impl Iterator<Item = &'a String>) -> Result<(), Refused> {
    let has_key = |list: &str| list.split(',').next() == Some("publickey");
    let Some(methods) = methods.find(|lists| !lists.split_whitespace().all(has_key)) else {
        return Ok(());
    };
    Err(Refused(format!(
        "sshd_config has \"AuthenticationMethods {methods}\". On this system a wrong password does not end the PAM stack, so that key, then iVALT is all that \
         can be enabled; write AuthenticationMethods publickey,keyboard-interactive, or remove the line, and run this again. Users \
         without an SSH key cannot log in by ssh then"
    )))
}
