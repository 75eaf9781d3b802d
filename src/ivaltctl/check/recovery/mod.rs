//! One-time recovery codes: whether those who administer the system have any, and whether a login could take one. Their
//! first use is an emergency, so that whatever is wrong must be known before.
//!
//! | module | what it asks |
//! | --- | --- |
//! | [`unit`] | the unit in which systemd runs a service |
//! | [`apparmor`] | the loaded profile of a service |
//! | [`access`] | both, SELinux, and the file system |

pub mod access;
pub mod apparmor;
pub mod unit;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::accepted::derived;
use super::context::{CheckContext, Config, finding};
use super::enrolment::{look_up, privileged};
use crate::finding::{Finding, Severity};
use crate::recovery::now;
use crate::recovery::store::{Contents, Fault, REVOKED, Store, UserFolder, ranges};
use crate::root::Root;
use crate::system_error::{reason, shell_word};
use ivalt_core::log_line::quote_log_value;
use ivalt_core::recovery::store::CodeFile;
use ivalt_core::settings::Settings;
use ivalt_core::users::Entry;

/// So few codes are soon none.
const FEW: usize = 3;
/// So long before it expires, a code is worth a warning, in seconds.
const SOON: u64 = 30 * 24 * 3600;

/// Checks every store that settings name.
pub fn findings(context: &CheckContext) -> Vec<Finding> {
    let mut directories: BTreeMap<&Path, Vec<(&Config, &Settings)>> = BTreeMap::new();
    for (config, settings) in context.usable() {
        let of_directory = directories.entry(settings.recovery.directory.as_path());
        of_directory.or_default().push((config, settings));
    }
    let each = directories.into_iter().map(|(directory, settings)| {
        derived(context.root, || check(context, directory, &settings))
    });
    each.collect::<Vec<_>>().concat()
}

/// For `recovery make`, which says it to whoever makes codes.
pub fn recovery_warnings(root: &Root, config: &Path, directory: &Path) -> Vec<String> {
    let context = CheckContext::new(root, config);
    let paths = Store::open(root, directory).ok().flatten();
    let paths = paths.map(|store| paths_to_take(&store)).unwrap_or_default();
    let found = access::findings(&context, directory, &paths).into_iter();
    let words = |finding: Finding| {
        let fix = finding.fix.replace('\n', "; ");
        let file = finding.file.unwrap_or_default();
        format!("{}: {}; to fix it: {fix}", file.display(), finding.what)
    };
    found.map(words).collect()
}

fn check(
    context: &CheckContext,
    directory: &Path,
    settings: &[(&Config, &Settings)],
) -> Vec<Finding> {
    let on: Vec<_> = settings
        .iter()
        .filter(|(_, settings)| settings.recovery.codes)
        .collect();
    let store = match Store::open(context.root, directory) {
        Ok(store) => store,
        // Another user cannot look, and `check` has said so of the settings.
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => return Vec::new(),
        Err(error) if !on.is_empty() => return vec![unusable(directory, &reason(&error))],
        Err(_) => return Vec::new(),
    };
    let users = match store.as_ref().map_or(Ok(Vec::new()), read) {
        Ok(users) => users,
        Err(error) if !on.is_empty() => return vec![unusable(directory, &reason(&error))],
        Err(_) => Vec::new(),
    };
    if on.is_empty() {
        return off(directory, settings, &users);
    }
    let check = RecoveryCheck {
        context,
        directory,
        settings: on.iter().map(|(_, settings)| *settings).collect(),
        users,
    };
    let access = store.as_ref().map_or(Vec::new(), |store| {
        access::findings(context, directory, &paths_to_take(store))
    });
    [
        store.as_ref().map_or(Vec::new(), faults),
        check.of_users(),
        derived(context.root, || check.no_administrator()),
        access,
    ]
    .concat()
}

/// A user and what is in the folder.
struct User {
    name: String,
    path: PathBuf,
    contents: Contents,
}

fn read(store: &Store) -> std::io::Result<Vec<User>> {
    let users = store.users()?.into_iter();
    let read = |user: UserFolder| {
        Ok(User {
            contents: user.read()?,
            name: user.name,
            path: user.path,
        })
    };
    users.map(read).collect()
}

/// The store, the folders in it, and a code of each.
fn paths_to_take(store: &Store) -> Vec<PathBuf> {
    let mut paths = vec![store.path.clone()];
    for user in store.users().unwrap_or_default() {
        let contents = user.read().unwrap_or_default();
        let code = contents
            .codes
            .first()
            .map(|code| user.path.join(&code.file));
        paths.push(user.path);
        paths.extend(code);
    }
    paths
}

fn warning(id: &'static str, file: &Path, what: String, fix: String) -> Finding {
    finding(Severity::Warning, id, file, what, fix)
}

fn unusable(directory: &Path, why: &str) -> Finding {
    let what = format!("cannot be read ({why}): no recovery code is accepted (misconfigured)");
    let fix = format!("namei -l {}", shell_word(&directory.to_string_lossy()));
    warning("recovery-store-unsafe", directory, what, fix).not_acceptable()
}

/// Codes that nobody can use.
fn off(directory: &Path, settings: &[(&Config, &Settings)], users: &[User]) -> Vec<Finding> {
    let having = users.iter().filter(|user| !user.contents.codes.is_empty());
    let names: Vec<_> = having.map(|user| user.name.as_str()).collect();
    let Some((config, _)) = settings.first().filter(|_| !names.is_empty()) else {
        return Vec::new();
    };
    let what = format!(
        "recovery codes were made for {}, and recovery.codes is false: no login takes them",
        some(&names)
    );
    let fix = format!(
        "write under [recovery] in {}: codes = true\nor, if nobody is to use any: ivaltctl recovery revoke NAME --all",
        config.path.display()
    );
    vec![warning("recovery-off", directory, what, fix).concerning(names)]
}

/// As the log has names; the first few.
fn some(names: &[&str]) -> String {
    const MOST: usize = 5;
    let shown = names
        .iter()
        .take(MOST)
        .map(|name| quote_log_value(name.as_bytes()));
    let shown = shown.collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(MOST) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

fn faults(store: &Store) -> Vec<Finding> {
    let faults = match store.faults() {
        Ok(faults) => faults,
        Err(error) => return vec![unusable(&store.path, &reason(&error))],
    };
    let found = faults.into_iter().map(|fault: Fault| {
        let (consequence, more) = match fault.writable {
            true => (
                "codes in it may be somebody else's",
                "\nthen, since codes may have been put there: ivaltctl recovery make NAME --replace",
            ),
            false => ("a login may refuse the codes in it, and others may read their hashes", ""),
        };
        let what = format!("{}: {consequence}", fault.what);
        let fix = fault.fix + more;
        warning("recovery-store-unsafe", &fault.path, what, fix).not_acceptable()
    });
    found.collect()
}

/// A store whose codes are accepted.
struct RecoveryCheck<'a> {
    context: &'a CheckContext<'a>,
    directory: &'a Path,
    /// Those that name it.
    settings: Vec<&'a Settings>,
    users: Vec<User>,
}

impl RecoveryCheck<'_> {
    fn of_users(&self) -> Vec<Finding> {
        let now = now();
        let of_user = |user: &User| {
            let found = match self.is_enrolled(&user.name) {
                false => vec![not_enrolled(user)],
                true => vec![
                    restored(user),
                    expired(user, now),
                    expiring(user, now),
                    few(user, now),
                ],
            };
            let found = found.into_iter().flatten();
            let found = found.map(|finding| finding.concerning([&user.name]));
            found.collect::<Vec<_>>()
        };
        self.users.iter().flat_map(of_user).collect()
    }

    /// Whether any of the settings has an entry for the name, disabled or not: who is disabled keeps the codes.
    fn is_enrolled(&self, name: &str) -> bool {
        self.has_entry(name, |entry| *entry != Entry::Absent)
    }

    /// Whether any of the settings has an entry with which codes are taken.
    fn is_enabled(&self, name: &str) -> bool {
        self.has_entry(name, |entry| matches!(entry, Entry::Enrolled(_)))
    }

    fn has_entry(&self, name: &str, is_meant: impl Fn(&Entry) -> bool) -> bool {
        let root = self.context.root;
        // What is wrong with the whole file is a finding about that file.
        let entry = |settings: &&Settings| {
            let entry = look_up(root, settings, name);
            entry.map_or(true, |entry| is_meant(&entry))
        };
        self.settings.iter().any(entry)
    }

    /// Whoever could log in and help the others.
    fn no_administrator(&self) -> Vec<Finding> {
        if self.context.services.is_empty() {
            return Vec::new();
        }
        let administrators = privileged(self.context.root);
        let now = now();
        let has_codes = |name: &str| {
            let mut users = self.users.iter().filter(|user| user.name == name);
            users.any(|user| user.contents.usable(now).next().is_some()) && self.is_enabled(name)
        };
        if administrators.is_empty() || administrators.iter().any(|one| has_codes(&one.name)) {
            return Vec::new();
        }
        let names: Vec<_> = administrators.iter().map(|one| one.name.as_str()).collect();
        let what = format!(
            "nobody who administers this machine ({}) has a recovery code: while iVALT cannot be reached, or a phone is lost, \
             none of them gets in through the services that ask iVALT",
            some(&names)
        );
        let fix = match names.iter().find(|name| self.is_enabled(name)) {
            Some(name) => format!("ivaltctl recovery make {}", shell_word(name)),
            // `make` would refuse.
            None => "enrol or enable one of them, then: ivaltctl recovery make NAME".to_owned(),
        };
        let id = "recovery-no-administrator";
        vec![warning(id, self.directory, what, fix).concerning(names)]
    }
}

fn not_enrolled(user: &User) -> Option<Finding> {
    let codes = user.contents.codes.len();
    let what = format!(
        "{} has {codes} recovery codes and is not enrolled: they count again for whoever is enrolled under this name",
        shown(user)
    );
    let fix = format!("ivaltctl recovery revoke {} --all", shell_word(&user.name));
    (codes > 0).then(|| warning("recovery-not-enrolled", &user.path, what, fix))
}

/// A file that came back from a backup or a snapshot.
fn restored(user: &User) -> Option<Finding> {
    let codes = user.contents.codes.iter().filter_map(|code| code.content);
    let codes = codes.filter(|code| user.contents.use_of(code.number).is_some());
    let numbers = numbers(codes);
    let what = format!(
        "{} {} used or revoked before and {} there again, as after a restore from a backup or a snapshot: whoever has the sheet \
         gets in once more",
        of(user, &numbers),
        if numbers.len() == 1 { "was" } else { "were" },
        if numbers.len() == 1 { "is" } else { "are" }
    );
    let revoke: Vec<_> = numbers.iter().map(u32::to_string).collect();
    let fix = format!(
        "ivaltctl recovery revoke {} {}",
        shell_word(&user.name),
        revoke.join(" ")
    );
    (!numbers.is_empty()).then(|| warning("recovery-code-restored", &user.path, what, fix))
}

fn expired(user: &User, now: u64) -> Option<Finding> {
    let codes = user.contents.codes.iter().filter_map(|code| code.content);
    let numbers = numbers(codes.filter(|code| code.has_expired(now)));
    let word = if numbers.len() == 1 { "has" } else { "have" };
    let what = format!("{} {word} expired", of(user, &numbers));
    (!numbers.is_empty()).then(|| warning("recovery-expired", &user.path, what, make(user)))
}

fn expiring(user: &User, now: u64) -> Option<Finding> {
    let is_soon = |code: &CodeFile| code.has_expired(now.saturating_add(SOON));
    let numbers = numbers(user.contents.usable(now).filter(is_soon));
    let word = if numbers.len() == 1 {
        "expires"
    } else {
        "expire"
    };
    let what = format!("{} {word} within 30 days", of(user, &numbers));
    (!numbers.is_empty()).then(|| warning("recovery-expires-soon", &user.path, what, make(user)))
}

/// Nobody misses codes that were revoked, and codes that have expired are a finding themselves.
fn few(user: &User, now: u64) -> Option<Finding> {
    let left = user.contents.usable(now).count();
    let is_over = match left {
        0 => {
            let last = user.contents.used.last();
            last.is_none_or(|last| last.service == REVOKED) || !user.contents.codes.is_empty()
        }
        left => left > FEW,
    };
    let word = if left == 1 { "code" } else { "codes" };
    let what = format!("{} has {left} recovery {word} left", shown(user));
    (!is_over).then(|| warning("recovery-few-left", &user.path, what, make(user)))
}

fn numbers(codes: impl Iterator<Item = CodeFile>) -> Vec<u32> {
    codes.map(|code| code.number).collect()
}

fn shown(user: &User) -> String {
    quote_log_value(user.name.as_bytes())
}

/// `recovery codes 1 to 3 of alice`
fn of(user: &User, numbers: &[u32]) -> String {
    let word = if numbers.len() == 1 { "code" } else { "codes" };
    format!(
        "recovery {word} {} of {}",
        ranges(numbers, " to ", ", "),
        shown(user)
    )
}

fn make(user: &User) -> String {
    format!(
        "ivaltctl recovery make {} --replace",
        shell_word(&user.name)
    )
}
