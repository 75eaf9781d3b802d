//! What is pointed out, and does not stop anything.

use std::collections::BTreeMap;

use super::everybody::Everybody;
use super::names;
use super::watched::digits;
use crate::terminal::{self, plain};
use ivalt_core::users::Entry;

/// So many of one kind are told; a directory that is down would give as many as there are users.
const MOST: usize = 20;

/// The warnings of a command, in the order they are told.
#[derive(Debug, Default)]
pub struct Warnings(pub Vec<String>);

impl Warnings {
    /// About these names, and mobiles with those who have them.
    pub fn about<'a>(
        names: impl Iterator<Item = &'a str>,
        shared: impl Iterator<Item = (String, Vec<&'a str>)>,
    ) -> Self {
        let mut warnings = Self::default();
        let _notice = terminal::Notice::after_a_second("looking the accounts up".to_owned());
        warnings.unknown(names);
        let shared = shared.filter(|(_, owners)| owners.len() > 1);
        warnings.at_most(shared.map(|(mobile, owners)| {
            let end = &mobile[mobile.len().saturating_sub(4)..];
            format!("{}: have the same mobile ***{end}", some(&owners))
        }));
        warnings
    }

    /// About everybody.
    pub fn about_all(everybody: &Everybody) -> Self {
        let mut owners: BTreeMap<String, Vec<&str>> = BTreeMap::new();
        for person in everybody.people() {
            if let Entry::Enrolled(mobile) | Entry::Disabled(mobile) = &person.entry {
                let owners = owners.entry(digits(mobile.as_str())).or_default();
                owners.push(&person.name);
            }
        }
        let names = everybody.people().iter().map(|person| person.name.as_ref());
        Self::about(names, owners.into_iter())
    }

    /// Tells them on standard error.
    pub fn tell(&self) {
        for warning in &self.0 {
            terminal::complain(format_args!("warning: {}", plain(warning)));
        }
    }

    fn unknown<'a>(&mut self, mut names: impl Iterator<Item = &'a str>) {
        let unknown = names
            .by_ref()
            .filter(|name| names::is_known(name) == Some(false));
        let warnings = unknown.map(|name| format!("{name}: this machine knows no such account"));
        self.0.extend(warnings.take(MOST));
        match names.count() {
            0 => {}
            rest => self
                .0
                .push(format!("the other {rest} accounts were not looked up")),
        }
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
