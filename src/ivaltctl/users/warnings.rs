//! What a command points out without refusing anything.

use std::collections::BTreeMap;
use std::path::Path;

use super::entries::UserEntry;
use super::names;
use super::snapshot::digits;
use crate::terminal::{self, visible};
use ivalt_core::user_name::folded;
use ivalt_core::users::Entry;

/// So many of one kind are printed; a directory that is down would give as many as there are users.
const MOST: usize = 20;

/// Okta and Google Workspace export e-mail addresses as names of users.
const ADDRESSES: &str =
    "an e-mail address is a name here only if the account is called so: getent passwd NAME";

/// The warnings of a command, in the order they are printed.
#[derive(Debug, Default)]
pub struct Warnings(pub Vec<String>);

impl Warnings {
    /// About these names, and about mobiles that several users share.
    pub fn for_names<'a>(
        names: impl Iterator<Item = &'a str>,
        shared: impl Iterator<Item = (String, Vec<&'a str>)>,
    ) -> Self {
        let mut warnings = Self::default();
        let _notice = terminal::ProgressHint::after_a_second("looking up accounts".to_owned());
        warnings.unknown(names);
        let shared = shared.filter(|(_, owners)| owners.len() > 1);
        warnings.at_most(shared.map(|(mobile, owners)| {
            let end = &mobile[mobile.len().saturating_sub(4)..];
            format!("{}: have the same mobile ***{end}", some(&owners))
        }));
        warnings
    }

    /// About all users. Accounts are looked up only for those in the file `by_hand`: people whom a directory has, and this
    /// machine does not know, are no mistake.
    pub fn for_all(users: &[UserEntry], by_hand: &Path) -> Self {
        let mut owners: BTreeMap<String, Vec<&str>> = BTreeMap::new();
        for user in users {
            if let Entry::Enrolled(mobile) | Entry::Disabled(mobile) = &user.entry {
                let owners = owners.entry(digits(mobile.as_str())).or_default();
                owners.push(&user.name);
            }
        }
        let names = users.iter().filter(|user| user.file == by_hand);
        let names = names.map(|user| user.name.as_ref());
        let mut warnings = Self::for_names(names, owners.into_iter());
        warnings.spellings(users);
        warnings
    }

    /// Prints them to standard error.
    pub fn print(&self) {
        for warning in &self.0 {
            terminal::print_error(format_args!("warning: {}", visible(warning)));
        }
    }

    fn unknown<'a>(&mut self, mut names: impl Iterator<Item = &'a str>) {
        let unknown = names
            .by_ref()
            .filter(|name| names::is_known(name) == Some(false));
        let warnings = unknown.map(|name| format!("{name}: no such account on this machine"));
        let begin = self.0.len();
        self.0.extend(warnings.take(MOST));
        if self.0[begin..].iter().any(|warning| warning.contains('@')) {
            self.0.push(ADDRESSES.to_owned());
        }
        match names.count() {
            0 => {}
            rest => self
                .0
                .push(format!("the other {rest} accounts were not looked up")),
        }
    }

    /// A name service may take them for one account, of which each entry is then a way in.
    fn spellings(&mut self, users: &[UserEntry]) {
        let mut by_name: BTreeMap<Vec<u8>, Vec<&str>> = BTreeMap::new();
        for user in users {
            if let Entry::Enrolled(_) | Entry::Disabled(_) = &user.entry {
                let spellings = by_name.entry(folded(user.name.as_bytes())).or_default();
                spellings.push(&user.name);
            }
        }
        let several = by_name.values().filter(|names| names.len() > 1);
        self.at_most(several.map(|names| {
            let names = some(names);
            format!("{names}: differ in case, realm or domain alone; if they are one account, remove all but one")
        }));
    }

    fn at_most(&mut self, mut warnings: impl Iterator<Item = String>) {
        self.0.extend(warnings.by_ref().take(MOST));
        match warnings.count() {
            0 => {}
            more => self.0.push(format!("and {more} more of this kind")),
        }
    }
}

fn some(names: &[&str]) -> String {
    match names.len() {
        0..=5 => names.join(", "),
        many => format!("{} and {} more", names[..4].join(", "), many - 4),
    }
}
