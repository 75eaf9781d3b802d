//! The accounts of the system: by its name services on this machine, by its files below a folder.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use nix::unistd::{Gid, Group, User};

use crate::root::Root;

/// A line of passwd(5).
#[derive(Clone, Debug)]
pub struct Account {
    pub name: String,
    pub uid: u32,
    /// Its own group.
    pub gid: u32,
    pub home: String,
    shell: String,
}

impl Account {
    /// Whether somebody can have a session with it.
    pub fn has_a_shell(&self) -> bool {
        !self.shell.ends_with("/nologin") && !self.shell.ends_with("/false")
    }
}

/// The accounts in the system's own file; those of a directory service are not listed, only found by name.
pub fn local(root: &Root) -> Vec<Account> {
    let text = read(root, "/etc/passwd").unwrap_or_default();
    text.lines().filter_map(account).collect()
}

/// A file that lists people.
fn read(root: &Root, path: &str) -> io::Result<String> {
    root.listing_people(|| root.read(Path::new(path)))
}

fn account(line: &str) -> Option<Account> {
    let fields: Vec<_> = line.split(':').collect();
    let [name, _, uid, gid, _, home, shell] = fields[..] else {
        return None;
    };
    Some(Account {
        name: name.to_owned(),
        uid: uid.parse().ok()?,
        gid: gid.parse().ok()?,
        home: home.to_owned(),
        shell: shell.to_owned(),
    })
}

/// Whether the system knows the name. A directory that does not answer does not prove that it does not.
pub fn exists(root: &Root, local: &[Account], name: &str) -> bool {
    let here = local.iter().any(|account| account.name == name);
    here || (root.is_this_machine() && !matches!(User::from_name(name), Ok(None)))
}

/// The members of a group, also those whose own group it is.
pub fn members(root: &Root, local: &[Account], group: &str) -> Vec<String> {
    let local_group = group_line(root, |name, _| name == group);
    let (gid, mut members) = match local_group {
        Some([_, _, gid, members]) => (
            gid.parse().ok(),
            members.split(',').map(str::to_owned).collect(),
        ),
        None => from_name_services(root, group),
    };
    let own = local.iter().filter(|account| Some(account.gid) == gid);
    members.extend(own.map(|account| account.name.clone()));
    members.retain(|name: &String| !name.is_empty());
    members
}

/// Whether there is no group of this name, as far as the system can be asked.
pub fn lacks_group(root: &Root, group: &str) -> bool {
    if group_line(root, |name, _| name == group).is_some() {
        return false;
    }
    match root.is_this_machine() {
        true => name_services_lack(group),
        false => root.exists(Path::new("/etc/group")) && only_files_have(root, "group"),
    }
}

/// Asked once for each: every fix is tried on the stacks, and a directory may not answer.
fn name_services_lack(group: &str) -> bool {
    static KNOWN: Mutex<BTreeMap<String, bool>> = Mutex::new(BTreeMap::new());
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    let lacks = || matches!(Group::from_name(group), Ok(None));
    *known.entry(group.to_owned()).or_insert_with(lacks)
}

/// Whether nsswitch.conf(5) names no directory service for this database: where there is no such file, the C library
/// reads files. This machine asks its services.
pub fn only_files_have(root: &Root, database: &str) -> bool {
    let text = root
        .read(Path::new("/etc/nsswitch.conf"))
        .unwrap_or_default();
    let of_database = |line: &'_ str| {
        let line = line.split('#').next().unwrap_or_default();
        let (name, services) = line.split_once(':')?;
        (name.trim() == database).then(|| services.to_owned())
    };
    let services = text.lines().find_map(of_database);
    let services = services.unwrap_or_else(|| "files".to_owned());
    let local = |word: &str| ["files", "systemd"].contains(&word) || word.starts_with(['[', '!']);
    services
        .split_whitespace()
        .all(|word| local(word) || word.ends_with(']'))
}

/// The name of the group that has this ID.
pub fn group_name(root: &Root, gid: u32) -> Option<String> {
    let gid_text = gid.to_string();
    let local = group_line(root, |_, gid| gid == gid_text);
    let from_name_services = || {
        let group = Group::from_gid(Gid::from_raw(gid)).ok().flatten();
        group
            .filter(|_| root.is_this_machine())
            .map(|group| group.name)
    };
    local.map(|[name, ..]| name).or_else(from_name_services)
}

/// The fields of the first line of group(5) with such a name and ID.
fn group_line(root: &Root, wanted: impl Fn(&str, &str) -> bool) -> Option<[String; 4]> {
    let text = read(root, "/etc/group").ok()?;
    let fields = text.lines().map(|line| line.split(':').map(str::to_owned));
    let mut groups = fields.filter_map(|fields| fields.collect::<Vec<_>>().try_into().ok());
    groups.find(|[name, _, gid, _]: &[String; 4]| wanted(name, gid))
}

fn from_name_services(root: &Root, group: &str) -> (Option<u32>, Vec<String>) {
    let found = root
        .is_this_machine()
        .then(|| Group::from_name(group).ok().flatten());
    found.flatten().map_or((None, Vec::new()), |group| {
        (Some(group.gid.as_raw()), group.mem)
    })
}

/// Whether a password opens the account, as far as shadow(5) can be read.
pub fn has_a_password(root: &Root, name: &str) -> bool {
    let Ok(text) = read(root, "/etc/shadow") else {
        return true;
    };
    let mut fields = text.lines().map(|line| line.split(':'));
    let hash = fields.find_map(|mut fields| (fields.next() == Some(name)).then(|| fields.next()));
    // No password hashes to `!` or `*`.
    hash.flatten()
        .is_none_or(|hash| !hash.starts_with(['!', '*']))
}
