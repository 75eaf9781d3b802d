//! What the source's people are to be here: each of them judged alone, and against each other, but not yet against what is
//! enrolled.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use super::number;
use super::person::Person;
use super::settings::Map;
use crate::system_error::shell_word;
use crate::users::names;
use crate::users::snapshot::digits;
use ivalt_core::settings::MobileFormat;
use ivalt_core::user_name::folded;
use ivalt_core::users::Mobile;

/// Somebody who is named once, clearly.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The mobile, or why there is none that could be meant.
    pub mobile: Result<Mobile, String>,
    /// The source says that this person may not log in.
    pub disabled: bool,
}

/// Something of the source that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Where.
    pub place: String,
    /// Whom it concerns, if that can be told.
    pub name: Option<String>,
    /// What is wrong.
    pub why: String,
}

impl Fault {
    /// By which it is listed.
    pub fn name_or_place(&self) -> &str {
        self.name.as_ref().unwrap_or(&self.place)
    }
}

/// All of it.
#[derive(Debug, Default)]
pub struct Judged {
    /// By name.
    pub wanted: BTreeMap<String, Wanted>,
    /// Who is in the source, but not clearly: whoever is enrolled stays so. Whether the source disables one of them.
    pub unclear: BTreeMap<String, bool>,
    /// What is wrong.
    pub faults: Vec<Fault>,
}

/// By what people are judged.
#[derive(Debug)]
pub struct Rules<'a> {
    pub map: &'a Map,
    pub format: MobileFormat,
    pub local: &'a LocalAccounts,
}

/// Whom no directory may give a mobile: the accounts of /etc/passwd, but those that are allowed, and whoever may be somebody
/// whom the file that is written by hand denies.
#[derive(Debug)]
pub struct LocalAccounts {
    /// Of /etc/passwd, in lower case.
    names: HashSet<String>,
    /// Those with the user id 0, without case, realm and domain.
    roots: HashSet<Vec<u8>>,
    allowed: HashSet<String>,
    /// Denied by hand: how it is written there, without case, realm and domain.
    denied: HashMap<Vec<u8>, Vec<String>>,
}

impl LocalAccounts {
    /// `text` is that of passwd(5); `allowed` is `guard.local_accounts`; `denied` are the disabled and bad entries of
    /// `users_file`.
    pub fn new(text: &str, allowed: &[String], denied: Vec<String>) -> Self {
        let mut roots = HashSet::from([b"root".to_vec()]);
        let mut names = HashSet::new();
        for line in text.lines() {
            let mut fields = line.split(':');
            let name = fields.next().unwrap_or_default();
            if fields.nth(1).and_then(|uid| uid.parse().ok()) == Some(0_u32) {
                roots.insert(folded(name.as_bytes()));
            }
            names.insert(name.to_lowercase());
        }
        let mut by_fold: HashMap<Vec<u8>, Vec<String>> = HashMap::new();
        for name in denied {
            let names = by_fold.entry(folded(name.as_bytes())).or_default();
            names.push(name);
        }
        Self {
            names,
            roots,
            allowed: allowed.iter().cloned().collect(),
            denied: by_fold,
        }
    }

    /// Why the source may not give this name a mobile.
    fn refuse(&self, name: &str, is_uid_0: bool) -> Option<String> {
        const ROOT: &str =
            "is, or may be taken for, the user with the id 0, who is enrolled by hand alone";
        const LOCAL: &str =
            "is a local account (/etc/passwd), and not listed in guard.local_accounts";
        if let Some(spelling) = self.denied_as(name) {
            let (name, denied) = (shell_word(name), shell_word(spelling));
            return Some(format!(
                "may be {spelling}, whom users_file denies, in another spelling; if it is another account: ivaltctl users add \
                 {name} MOBILE; if it is the same, and may log in again: ivaltctl users remove {denied}"
            ));
        }
        if self.allowed.contains(name) {
            None
        } else if is_uid_0 || self.roots.contains(&folded(name.as_bytes())) {
            Some(ROOT.to_owned())
        } else if self.names.contains(&name.to_lowercase()) {
            Some(LOCAL.to_owned())
        } else {
            None
        }
    }

    /// Another spelling of this name that is denied by hand: a directory that writes it otherwise from one day to the next
    /// must not let that account in again. Two realms or domains are two accounts.
    fn denied_as(&self, name: &str) -> Option<&str> {
        let folded = folded(name.as_bytes());
        let is_bare = |name: &str| name.to_lowercase().as_bytes() == folded;
        let may_be = |denied: &&String| {
            denied.to_lowercase() == name.to_lowercase() || is_bare(denied) || is_bare(name)
        };
        let denied = self.denied.get(&folded)?;
        // The entry itself counts in place of what is synced.
        let is_itself = denied.iter().any(|denied| denied == name);
        let found = denied.iter().find(may_be).filter(|_| !is_itself);
        found.map(String::as_str)
    }
}

impl Judged {
    /// Judges everybody. `faults` are those that were found before, and whom they concern is not clear either.
    pub fn new(people: &[Person], faults: Vec<Fault>, rules: &Rules) -> Self {
        let mut judged = Self::default();
        let unclear = faults.iter().filter_map(|fault| fault.name.clone());
        let unclear: Vec<String> = unclear.map(|name| rules.name(&name)).collect();
        judged.faults = faults;
        for name in &unclear {
            judged.unclear.insert(name.clone(), false);
        }
        let mut named = Vec::new();
        for person in people {
            named.extend(judged.name(person, rules).map(|name| (name, person)));
        }
        let spellings = spellings(&named, &unclear);
        for (name, person) in named {
            let places = &spellings[&name.to_lowercase()];
            if places.len() == 1 {
                let wanted = rules.wanted(person);
                judged.wanted.insert(name, wanted);
            } else {
                let why = format!("is there more than once ({})", some(places));
                judged.unclear(name, person, why);
            }
        }
        judged
    }

    /// The one name that a person has, if it is possible here.
    fn name(&mut self, person: &Person, rules: &Rules) -> Option<String> {
        let names: BTreeSet<_> = person.names.iter().map(|name| rules.text(name)).collect();
        let mut names = names.into_iter();
        let why = match (names.next(), names.len()) {
            (None, _) => format!("has no {}", rules.map.name),
            (Some(Err(why)), _) => why,
            (Some(Ok(name)), 0) => match rules.local.refuse(&name, person.is_uid_0) {
                None => return Some(name),
                Some(why) => {
                    self.fault(Some(name), person, why);
                    return None;
                }
            },
            (Some(Ok(name)), more) => {
                let all: Vec<String> = [Ok(name)].into_iter().chain(names).flatten().collect();
                let why = format!("has {} names: {}", more + 1, some(&all));
                for name in all {
                    self.unclear(name, person, why.clone());
                }
                return None;
            }
        };
        self.fault(None, person, why);
        None
    }

    fn fault(&mut self, name: Option<String>, person: &Person, why: String) {
        let place = person.place.clone();
        self.faults.push(Fault { place, name, why });
    }

    /// One problem a name, whatever else is wrong with it.
    fn unclear(&mut self, name: String, person: &Person, why: String) {
        match self.unclear.entry(name.clone()) {
            Entry::Occupied(mut known) => *known.get_mut() |= person.disabled,
            Entry::Vacant(new) => {
                new.insert(person.disabled);
                self.fault(Some(name), person, why);
            }
        }
    }
}

impl Rules<'_> {
    fn name(&self, name: &str) -> String {
        match self.map.lowercase {
            true => name.to_lowercase(),
            false => name.to_owned(),
        }
    }

    /// A name that an account can have.
    fn text(&self, name: &[u8]) -> Result<String, String> {
        let text = std::str::from_utf8(name);
        let text = text.map_err(|_| format!("{} is not UTF-8", self.map.name))?;
        match names::invalid_reason(text) {
            None => Ok(self.name(text)),
            Some(why) => Err(why.to_owned()),
        }
    }

    fn wanted(&self, person: &Person) -> Wanted {
        Wanted {
            mobile: self.mobile(&person.mobiles),
            disabled: person.disabled,
        }
    }

    /// Several are one if they differ in form alone.
    fn mobile(&self, written: &[Vec<u8>]) -> Result<Mobile, String> {
        let written = written
            .iter()
            .filter(|value| !value.trim_ascii().is_empty());
        let mut mobiles = Vec::new();
        for value in written {
            let text = std::str::from_utf8(value).map_err(|_| "the mobile is not UTF-8")?;
            mobiles.push(number::read(text, self.map, self.format)?);
        }
        let numbers: HashSet<String> = mobiles.iter().map(|one| digits(one.as_str())).collect();
        match (mobiles.into_iter().next(), numbers.len()) {
            (None, _) => Err("has no mobile".to_owned()),
            (Some(mobile), 1) => Ok(mobile),
            (_, several) => Err(format!("has {several} mobiles")),
        }
    }
}

/// Where each name is, without case: an attribute of a directory compares so.
fn spellings(named: &[(String, &Person)], unclear: &[String]) -> HashMap<String, Vec<String>> {
    let mut places: HashMap<String, Vec<String>> = HashMap::new();
    for (name, person) in named {
        let places = places.entry(name.to_lowercase()).or_default();
        places.push(person.place.clone());
    }
    for name in unclear {
        let places = places.entry(name.to_lowercase()).or_default();
        places.push("a row that cannot be used".to_owned());
    }
    places
}

fn some(texts: &[String]) -> String {
    match texts.len() {
        0..=4 => texts.join(", "),
        many => format!("{} and {} more", texts[..3].join(", "), many - 3),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str =
        "root:x:0:0::/root:/bin/sh\ntoor:x:0:0::/root:/bin/sh\nbackup:x:34:34::/:/bin/sh\n";

    fn person(name: &str, mobiles: &[&str]) -> Person {
        Person {
            place: format!("of {name}"),
            names: vec![name.as_bytes().to_vec()],
            mobiles: mobiles
                .iter()
                .map(|mobile| mobile.as_bytes().to_vec())
                .collect(),
            ..Person::default()
        }
    }

    fn judge(people: &[Person], allowed: &[&str], lowercase: bool) -> Judged {
        let allowed: Vec<String> = allowed.iter().map(|name| (*name).to_owned()).collect();
        let map = Map {
            lowercase,
            ..Map::default()
        };
        let rules = Rules {
            map: &map,
            format: MobileFormat::E164,
            local: &LocalAccounts::new(PASSWD, &allowed, vec!["eve".to_owned()]),
        };
        Judged::new(people, Vec::new(), &rules)
    }

    /// Faults by what they are listed by, and why.
    fn faults(judged: &Judged) -> Vec<(&str, &str)> {
        let faults = judged.faults.iter();
        faults
            .map(|fault| (fault.name_or_place(), fault.why.as_str()))
            .collect()
    }

    #[test]
    fn local_accounts_and_whoever_may_be_root_are_never_taken() {
        const ROOT: &str =
            "is, or may be taken for, the user with the id 0, who is enrolled by hand alone";
        const LOCAL: &str =
            "is a local account (/etc/passwd), and not listed in guard.local_accounts";
        for (name, why) in [
            ("root", ROOT),
            ("Root", ROOT),
            ("ROOT@corp.example", ROOT),
            ("CORP\\root", ROOT),
            ("toor", ROOT),
            ("toor@corp.example", ROOT),
            ("backup", LOCAL),
            ("Backup", LOCAL),
        ] {
            let judged = judge(&[person(name, &["+14155550100"])], &[], false);
            assert_eq!(faults(&judged), [(name, why)]);
            assert!(
                judged.wanted.is_empty() && judged.unclear.is_empty(),
                "{name}"
            );
            let judged = judge(&[person(name, &["+14155550100"])], &[name], false);
            assert_eq!(judged.wanted.keys().collect::<Vec<_>>(), [name]);
        }
        let mut helper = person("helper", &["+14155550100"]);
        helper.is_uid_0 = true;
        let judged = judge(&[helper], &[], false);
        assert_eq!(faults(&judged), [("helper", ROOT)]);
        let judged = judge(
            &[person("backup@corp.example", &["+14155550100"])],
            &[],
            false,
        );
        assert_eq!(judged.wanted.len(), 1, "another account");
    }

    #[test]
    fn whoever_is_denied_by_hand_is_not_let_in_by_another_spelling() {
        for name in ["EVE", "Eve", "eve@corp.example", "CORP\\Eve"] {
            let judged = judge(&[person(name, &["+14155550100"])], &[name], false);
            let name_word = shell_word(name);
            let why = format!(
                "may be eve, whom users_file denies, in another spelling; if it is another account: ivaltctl users add \
                 {name_word} MOBILE; if it is the same, and may log in again: ivaltctl users remove eve"
            );
            assert_eq!(faults(&judged), [(name, why.as_str())]);
            assert!(judged.wanted.is_empty(), "{name}");
        }
        // That entry counts before the synced one, which is there again when it goes.
        let judged = judge(&[person("eve", &["+14155550100"])], &[], false);
        assert_eq!(judged.wanted.keys().collect::<Vec<_>>(), ["eve"]);
    }

    #[test]
    fn the_same_name_of_two_realms_is_two_accounts() {
        let denied = vec!["eve@b.example".to_owned()];
        let local = LocalAccounts::new(PASSWD, &[], denied);
        assert_eq!(local.denied_as("eve@a.example"), None);
        assert_eq!(local.denied_as("eve@b.example"), None);
        assert_eq!(local.denied_as("Eve@b.example"), Some("eve@b.example"));
        assert_eq!(local.denied_as("eve"), Some("eve@b.example"));
    }

    #[test]
    fn a_name_that_is_there_twice_in_whatever_case_is_not_taken() {
        let people =
            ["alice", "Alice", "bob", "bob", "carol"].map(|name| person(name, &["+14155550100"]));
        let judged = judge(&people, &[], false);
        assert_eq!(judged.wanted.keys().collect::<Vec<_>>(), ["carol"]);
        let unclear: Vec<_> = judged.unclear.keys().collect();
        assert_eq!(unclear, ["Alice", "alice", "bob"]);
        assert_eq!(
            faults(&judged)[0],
            ("alice", "is there more than once (of alice, of Alice)")
        );
    }

    #[test]
    fn who_has_not_exactly_one_possible_name_is_named_by_the_place() {
        let mut two = person("dora", &["+14155550100"]);
        two.names.push(b"dora2".to_vec());
        let mut none = person("none", &[]);
        none.names.clear();
        let mut bytes = person("bytes", &[]);
        bytes.names = vec![vec![0xff]];
        let mut same = person("Gil", &["+14155550100"]);
        same.names.push(b"gil".to_vec());
        let people = [
            two,
            none,
            bytes,
            same,
            person("a/b", &[]),
            person("x\n", &[]),
        ];
        let judged = judge(&people, &[], true);
        assert_eq!(
            faults(&judged),
            [
                ("dora", "has 2 names: dora, dora2"),
                ("dora2", "has 2 names: dora, dora2"),
                ("of none", "has no uid"),
                ("of bytes", "uid is not UTF-8"),
                ("of a/b", "an account name cannot contain : or /"),
                ("of x\n", "the name contains a control character"),
            ]
        );
        assert_eq!(judged.wanted.keys().collect::<Vec<_>>(), ["gil"]);
    }

    #[test]
    fn several_mobiles_are_one_if_they_differ_in_form_alone() {
        for (written, mobile) in [
            (&["+14155550100"][..], Ok("+14155550100")),
            (
                &["+1 415 555-0100", "+14155550100", " "],
                Ok("+14155550100"),
            ),
            (&["+14155550100", "+14155550101"], Err("has 2 mobiles")),
            (
                &["+14155550100", "n/a"],
                Err("the mobile contains \"n\"; write it like +14155550100"),
            ),
            (&[], Err("has no mobile")),
            (
                &["", "\u{a0}"],
                Err("the mobile is empty; write it like +14155550100"),
            ),
        ] {
            let judged = judge(&[person("alice", written)], &[], false);
            let read = &judged.wanted["alice"].mobile;
            let read = read.as_ref().map(Mobile::as_str).map_err(String::as_str);
            assert_eq!(read, mobile, "{written:?}");
        }
    }
}
