//! What is pointed out, and does not stop anything.

use std::collections::HashMap;

use super::everybody::Everybody;
use super::names;
use crate::ctl::terminal::{self, plain};
use crate::users::{Entry, Mobile};

/// So many of one kind are told; a directory that is down would give as many as there are users.
const MOST: usize = 20;

/// The warnings of a command, in the order they are told.
#[derive(Debug, Default)]
pub struct Warnings(pub Vec<String>);

impl Warnings {
    /// About everybody (`None`), or only what concerns these names.
    pub fn about<'a>(everybody: &'a Everybody, names: Option<&[&'a str]>) -> Self {
        let mut warnings = Self::default();
        let _notice = terminal::Notice::after_a_second("looking the accounts up".to_owned());
        match names {
            Some(names) => warnings.unknown(names.iter().copied()),
            None => warnings.unknown(everybody.people().map(|person| person.name.as_ref())),
        }
        warnings.same_mobile(everybody, names);
        warnings
    }

    /// Tells them on standard error.
    pub fn tell(&self) {
        for warning in &self.0 {
            terminal::complain(format_args!("warning: {}", plain(warning)));
        }
    }

    fn unknown<'a>(&mut self, names: impl Iterator<Item = &'a str>) {
        let unknown = names.filter(|name| names::is_known(name) == Some(false));
        self.at_most(unknown.map(|name| format!("{name}: this machine knows no such account")));
    }

    fn same_mobile<'a>(&mut self, everybody: &'a Everybody, names: Option<&[&'a str]>) {
        let mut owners: HashMap<String, Vec<&str>> = HashMap::new();
        for person in everybody.people() {
            if let Entry::Enrolled(mobile) | Entry::Disabled(mobile) = &person.entry {
                let owners = owners.entry(digits(mobile)).or_default();
                owners.push(&person.name);
            }
        }
        let concerned: Vec<&str> = match names {
            Some(names) => names.to_vec(),
            None => everybody
                .people()
                .map(|person| person.name.as_ref())
                .collect(),
        };
        let shared = concerned.into_iter().filter_map(|name| {
            let (Entry::Enrolled(mobile) | Entry::Disabled(mobile)) = &everybody.of(name)?.entry
            else {
                return None;
            };
            // Once for all who share it, however many of them are concerned.
            let owners = owners
                .remove(&digits(mobile))
                .filter(|owners| owners.len() > 1)?;
            Some(format!(
                "{}: have the same mobile {}",
                some(&owners),
                mobile.masked()
            ))
        });
        self.at_most(shared);
    }

    fn at_most(&mut self, mut warnings: impl Iterator<Item = String>) {
        self.0.extend(warnings.by_ref().take(MOST));
        match warnings.count() {
            0 => {}
            more => self.0.push(format!("and {more} more of this kind")),
        }
    }
}

/// National numbers are compared, too, and may be written with blanks or without.
fn digits(mobile: &Mobile) -> String {
    mobile
        .as_str()
        .chars()
        .filter(char::is_ascii_digit)
        .collect()
}

fn some(names: &[&str]) -> String {
    match names.len() {
        0..=5 => names.join(", "),
        many => format!("{} and {} more", names[..4].join(", "), many - 4),
    }
}
