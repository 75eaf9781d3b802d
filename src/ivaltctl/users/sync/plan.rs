//! What a sync makes of the synced file: pure, from what the source wants, what the file says now and what is remembered.
//!
//! Whatever is in doubt stays as it is, and nobody in doubt is enabled: a second factor that follows whoever may write the
//! directory is the first one again.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::file::{Entries, Now, Present};
use super::memory::Memory;
use super::settings::Guard;
use super::wanted::{Fault, Judged, Wanted};
use crate::Refused;
use crate::users::snapshot::digits;
use ivalt_core::settings::MobileFormat;
use ivalt_core::users::Mobile;

/// Below so many names, two are as many as may be lost.
const FEW: usize = 20;

/// By what is decided.
#[derive(Debug)]
pub struct Choices<'a> {
    /// Whose changed mobile is accepted.
    pub accept: Accept,
    /// `policy.unenrolled` is "ignore": whoever is in no file is not asked, so nobody may go out of the file.
    pub keep_leavers: bool,
    pub format: MobileFormat,
    /// Whoever has recovery codes, is not enrolled by hand, and so would have those of an earlier enrolment.
    pub with_codes: &'a BTreeSet<String>,
}

/// `--accept-changes`, and `guard.changed_mobiles = "apply"`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Accept {
    All,
    These(BTreeSet<String>),
}

impl Accept {
    fn holds(&self, name: &str) -> bool {
        match self {
            Self::All => true,
            Self::These(names) => names.contains(name),
        }
    }
}

/// What is to become of the file, and what is said about it.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// All that the file shall say.
    pub entries: Entries,
    pub added: Vec<String>,
    pub removed: Vec<String>,
    pub disabled: Vec<String>,
    pub enabled: Vec<String>,
    /// Whose changed mobile is let in.
    pub accepted: Vec<String>,
    /// Who stays as they are, and why.
    pub held: Vec<Held>,
    /// What cannot be used.
    pub faults: Vec<Fault>,
    /// How many others are in the file before and after, and the same.
    pub unchanged: usize,
    /// Who is in the source, whether enrolled or not.
    there: BTreeSet<String>,
}

/// Somebody of whom the source says something that is not done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    pub name: String,
    pub why: String,
    /// `--accept-changes` would do it.
    pub acceptable: bool,
}

/// Decides about one name after another.
struct Planner<'a> {
    now: &'a Now,
    memory: &'a Memory,
    choices: &'a Choices<'a>,
    spellings: HashMap<String, Vec<&'a str>>,
    plan: Plan,
}

impl Plan {
    /// Makes the plan. `memory` is that of this time, see [`Memory::at`].
    ///
    /// # Errors
    /// Nobody is found; or somebody would be let in without being asked.
    pub fn new(
        judged: Judged,
        now: &Now,
        memory: &Memory,
        choices: &Choices,
    ) -> Result<Self, Refused> {
        let mut planner = Planner {
            now,
            memory,
            choices,
            spellings: memory.spellings(),
            plan: Self::default(),
        };
        planner.plan.faults = judged.faults;
        for (name, wanted) in &judged.wanted {
            planner.plan.there.insert(name.clone());
            planner.want(name, wanted);
        }
        for (name, disabled) in &judged.unclear {
            planner.plan.there.insert(name.clone());
            planner.stay(name, *disabled);
        }
        if planner.plan.entries.is_empty() {
            return Err(nobody(&planner.plan.faults));
        }
        planner.leave()?;
        planner.compare();
        Ok(planner.plan)
    }

    /// What is remembered once this is done.
    pub fn remember(&self, before: &Memory, accept_losses: bool) -> Memory {
        let mut memory = before.clone();
        let time = memory.time;
        for (name, present) in &self.entries {
            let known = memory.known.entry(name.clone()).or_default();
            present.mobile.as_str().clone_into(&mut known.mobile);
        }
        for (name, known) in &mut memory.known {
            let present = self.entries.get(name);
            known.set_enabled(present.is_some_and(|present| present.enabled), time);
            if accept_losses && known.lost.is_some() {
                (known.since, known.lost) = (None, None);
            }
            known.gone = match (self.there.contains(name), present) {
                (true, Some(_)) => None,
                // As long as it is held it is not forgotten.
                (true, None) => Some(time),
                (false, _) => known.gone.or(Some(time)),
            };
        }
        memory.forget(|name| self.entries.contains_key(name));
        memory
    }

    /// Refuses if too many of those who were enabled lately, or a day ago, are no longer.
    ///
    /// # Errors
    /// How many, of how many, who; without the command.
    pub fn refuse_losses(&self, now: &Now, memory: &Memory, guard: &Guard) -> Result<(), String> {
        let is_enabled = |name: &str| {
            self.entries
                .get(name)
                .is_some_and(|present| present.enabled)
        };
        let was_enabled = |name: &str| match now.exists {
            true => now.entries.get(name).is_some_and(|present| present.enabled),
            // Somebody has removed it; then the memory alone knows.
            false => true,
        };
        let time = memory.time;
        let known = || memory.known.iter();
        let lately = known().filter(|(_, known)| known.was_enabled_lately(time));
        let a_day_ago = known().filter(|(_, known)| known.was_enabled_a_day_ago(time));
        let names =
            |found: Vec<(&String, _)>| found.into_iter().map(|(name, _)| name.clone()).collect();
        let bases: [(Vec<String>, &str); 2] = [
            (names(a_day_ago.collect()), "24 hours ago"),
            (names(lately.collect()), "in the last 24 hours"),
        ];
        for (base, when) in bases {
            let lost: Vec<&String> = base.iter().filter(|name| !is_enabled(name)).collect();
            let loses_now = lost.iter().any(|name| was_enabled(name));
            if loses_now && is_too_many(lost.len(), base.len(), guard) {
                return Err(losses(&lost, base.len(), when, guard));
            }
        }
        Ok(())
    }
}

fn is_too_many(lost: usize, base: usize, guard: &Guard) -> bool {
    let at_least = usize::try_from(guard.lose_at_least).unwrap_or(usize::MAX);
    let at_least = if base < FEW {
        at_least.min(2)
    } else {
        at_least
    };
    lost >= at_least && lost * 100 > base * usize::from(guard.lose_percent)
}

fn losses(lost: &[&String], base: usize, when: &str, guard: &Guard) -> String {
    let names: Vec<&str> = lost.iter().take(5).map(|name| name.as_str()).collect();
    let more = match lost.len() - names.len() {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!(
        "{} of the {base} users who were enabled {when} would no longer be ({} %; guard.lose_percent is {}): {}{more}; nothing \
         was changed",
        lost.len(),
        lost.len() * 100 / base.max(1),
        guard.lose_percent,
        names.join(", ")
    )
}

fn nobody(faults: &[Fault]) -> Refused {
    let why = match faults {
        [] => String::new(),
        [first, ..] => format!(
            " ({} of them cannot be used, the first is {}: {})",
            faults.len(),
            first.name_or_place(),
            first.why
        ),
    };
    Refused(format!(
        "nobody was found who can be enrolled{why}; a group that does not exist and an account that may not read answer like \
         that, so this is never believed; nothing was changed"
    ))
}

impl<'a> Planner<'a> {
    /// Somebody whom the source names clearly.
    fn want(&mut self, name: &str, wanted: &Wanted) {
        let here = self.now.entries.get(name);
        match (&wanted.mobile, self.known(name)) {
            (Ok(_), None) if self.has_earlier_codes(name) => self.refuse_codes(name),
            (Ok(mobile), None) => self.enrol(name, mobile.clone(), wanted.disabled),
            (Ok(mobile), Some((_, known))) if is_same(mobile.as_str(), &known) => {
                let mobile = here.map_or(mobile, |here| &here.mobile).clone();
                self.enrol(name, mobile, wanted.disabled);
            }
            (Ok(mobile), Some(_)) if self.choices.accept.holds(name) => {
                self.plan.accepted.push(name.to_owned());
                self.enrol(name, mobile.clone(), wanted.disabled);
            }
            (Ok(mobile), Some((spelling, known))) => {
                let why = self.changed(name, mobile, spelling, &known);
                self.plan.there.insert(spelling.to_owned());
                self.hold(name, why, true);
                self.stay(name, wanted.disabled);
            }
            (Err(why), _) if here.is_some() => {
                self.hold(name, format!("{why}; the old one stays"), false);
                self.stay(name, wanted.disabled);
            }
            (Err(why), _) => {
                self.fault(name, why.clone());
                self.stay(name, wanted.disabled);
            }
        }
    }

    /// The mobile by which this name was known, also in another case: the same person to a directory.
    fn known(&self, name: &str) -> Option<(&'a str, String)> {
        if let Some((name, known)) = self.memory.known.get_key_value(name) {
            return Some((name, known.mobile.clone()));
        }
        let spelling = *self.spellings.get(&name.to_lowercase())?.first()?;
        Some((spelling, self.memory.known[spelling].mobile.clone()))
    }

    fn has_earlier_codes(&self, name: &str) -> bool {
        self.choices.with_codes.contains(name)
    }

    fn refuse_codes(&mut self, name: &str) {
        let name_word = crate::system_error::shell_word(name);
        self.fault(name, format!(
            "recovery codes of an earlier entry would count again; revoke them first: ivaltctl recovery revoke {name_word} --all"
        ));
        self.stay(name, true);
    }

    fn changed(&self, name: &str, mobile: &Mobile, spelling: &str, known: &str) -> String {
        let (new, old) = (mobile.masked(), masked(known));
        // Whoever chooses the number chooses its end.
        let same = if new == old {
            ", another number with the same end"
        } else {
            ""
        };
        let other = if spelling == name {
            String::new()
        } else {
            format!(" as {spelling}")
        };
        match self.now.entries.contains_key(name) {
            true => format!("the mobile is {new} now and was {old}{same}; the old one stays"),
            false => format!(
                "was here before{other} with the mobile {old} and comes back with {new}{same}; is not enrolled"
            ),
        }
    }

    fn enrol(&mut self, name: &str, mobile: Mobile, disabled: bool) {
        let present = Present {
            mobile,
            enabled: !disabled,
        };
        self.plan.entries.insert(name.to_owned(), present);
    }

    /// As it is now. That the source disables somebody counts, that it enables somebody does not.
    fn stay(&mut self, name: &str, disabled: bool) {
        let here = self.now.entries.get(name);
        let enabled = here.is_some_and(|here| here.enabled) && !disabled;
        if let Some(mobile) = self.own_mobile(name) {
            let is_here = here.is_some() || self.now.bad.contains_key(name);
            if is_here || self.choices.keep_leavers {
                self.enrol(name, mobile, !enabled);
            }
        }
    }

    /// The mobile of the entry, or the one that was last written.
    fn own_mobile(&self, name: &str) -> Option<Mobile> {
        let here = self.now.entries.get(name).map(|here| here.mobile.clone());
        let remembered = || {
            let known = self.memory.known.get(name)?;
            Mobile::parse(&known.mobile, self.choices.format)
        };
        here.or_else(remembered)
    }

    /// Whoever is not in the source: removed, or kept as disabled where whoever is in no file is not asked.
    fn leave(&mut self) -> Result<(), Refused> {
        if !self.choices.keep_leavers {
            return Ok(());
        }
        let known = self.now.entries.keys().chain(self.now.bad.keys());
        let known: BTreeSet<&String> = known.chain(self.memory.known.keys()).collect();
        for name in known {
            if self.plan.entries.contains_key(name) {
                continue;
            }
            match (self.own_mobile(name), self.now.bad.get(name)) {
                (Some(mobile), _) => self.enrol(name, mobile, true),
                (None, Some(problem)) => return Err(Refused(format!(
                    "{problem}; {name} is to be disabled, and the mobile is not known any more; nothing was changed; mend the \
                     entry, or disable it by hand: {name} = {{ mobile = \"…\", enabled = false }}"
                ))),
                (None, None) => self.fault(name, "is gone, and cannot be kept as disabled: the mobile that is remembered is not of token.mobile_format".to_owned()),
            }
        }
        Ok(())
    }

    /// What that changes.
    fn compare(&mut self) {
        let plan = &mut self.plan;
        let held: BTreeSet<&str> = plan.held.iter().map(|held| held.name.as_str()).collect();
        let faulty = plan.faults.iter().filter_map(|fault| fault.name.as_deref());
        let in_doubt: BTreeSet<&str> = faulty.chain(held).collect();
        let mut unchanged = 0;
        let (mut added, mut disabled, mut enabled) = (Vec::new(), Vec::new(), Vec::new());
        for (name, after) in &plan.entries {
            let list = match self.now.entries.get(name) {
                None => &mut added,
                Some(before) if before.enabled && !after.enabled => &mut disabled,
                Some(before) if !before.enabled && after.enabled => &mut enabled,
                Some(before) => {
                    let same = before == after && !in_doubt.contains(name.as_str());
                    unchanged += usize::from(same);
                    continue;
                }
            };
            list.push(name.clone());
        }
        let was_here = self.now.entries.keys().chain(self.now.bad.keys());
        let removed = was_here.filter(|name| !plan.entries.contains_key(*name));
        let removed: BTreeSet<String> = removed.cloned().collect();
        plan.removed = removed.into_iter().collect();
        plan.unchanged = unchanged;
        (plan.added, plan.disabled, plan.enabled) = (added, disabled, enabled);
    }

    fn hold(&mut self, name: &str, why: String, acceptable: bool) {
        let name = name.to_owned();
        self.plan.held.push(Held {
            name,
            why,
            acceptable,
        });
    }

    fn fault(&mut self, name: &str, why: String) {
        self.plan.faults.push(Fault {
            place: String::new(),
            name: Some(name.to_owned()),
            why,
        });
    }
}

/// Numbers that differ in form alone are one.
fn is_same(one: &str, other: &str) -> bool {
    digits(one) == digits(other)
}

/// As [`Mobile::masked`], of what may be none.
fn masked(mobile: &str) -> String {
    let digits = digits(mobile);
    format!("***{}", &digits[digits.len().saturating_sub(4)..])
}

/// Names with the same mobile, by mobile; masked.
pub fn shared(entries: &Entries) -> Vec<(String, Vec<&str>)> {
    let mut owners: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for (name, present) in entries {
        let owners = owners.entry(digits(present.mobile.as_str())).or_default();
        owners.push(name);
    }
    let several = owners.into_iter().filter(|(_, owners)| owners.len() > 1);
    several
        .map(|(mobile, owners)| (masked(&mobile), owners))
        .collect()
}
