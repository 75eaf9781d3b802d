//! The edits of a stack that findings have in common.

use std::collections::BTreeSet;
use std::path::Path;

use super::fixes::{Change, Edit, Place};
use super::only_after::without_method;
use super::{StackUnderTest, control, line, module_of};
use crate::pam_stack::{
    self, Action, Include, Location, Module, ModuleKind, ReturnCode, Rule, RuleType,
    asks_for_login, ivalt_rules,
};

const DENY: &str = "requisite    pam_deny.so";

impl StackUnderTest<'_> {
    /// The line of a rule with another control field.
    pub fn with_control(&self, at: usize, control: &str) -> Edit {
        let rule = &self.rules[at];
        let module = module_of(rule).cloned().unwrap_or_default();
        let new = line(self.rule_type, control, &module);
        Edit::replace(&rule.location, vec![new])
    }

    /// The line of a rule with each of these control fields.
    pub fn with_controls(&self, at: usize, controls: &[&str]) -> Vec<Edit> {
        let controls = controls.iter();
        let edits = controls.map(|control| self.with_control(at, control));
        edits.collect()
    }

    /// The line of a rule, by this control field, below each of the lines that follow in its file.
    pub fn moved_below(&self, at: usize, control: &str) -> Vec<Edit> {
        let rule = &self.rules[at];
        let module = module_of(rule).cloned().unwrap_or_default();
        let own = line(self.rule_type, control, &module);
        let file = &rule.location.file;
        let below = self.rules[at + 1..].iter();
        let places: BTreeSet<_> = below.filter_map(|rule| place_in(file, rule)).collect();
        let places = places.into_iter().filter(|place| **place > rule.location);
        let edits = places.map(|to| Edit::relocate(&rule.location, Place::Below, to, own.clone()));
        edits.collect()
    }

    /// A line as `required` without `only_after=`, below the last one of its file that asks for a password.
    pub fn plain_below_password(&self, rule: &Rule, module: &Module) -> Option<Change> {
        let mut rules = self.rules.iter();
        let password = rules.rfind(|rule| rule.kind() == ModuleKind::Password)?;
        let place = place_in(&rule.location.file, password)?;
        let plain = line(self.rule_type, "required", &without_method(module));
        Some(Change::new(place, Place::Below, vec![plain]))
    }

    /// With that line; below the one that waits for a method where no line asks for a password.
    pub fn with_plain_line(&self, rule: &Rule, module: &Module) -> Edit {
        let plain = line(self.rule_type, "required", &without_method(module));
        let here = || Change::new(&rule.location, Place::Below, vec![plain]);
        let change = self.plain_below_password(rule, module);
        Edit::of(change.unwrap_or_else(here))
    }

    /// With that line in place of the one that waits for a method.
    pub fn in_plain_place(&self, rule: &Rule, module: &Module) -> Edit {
        let edit = self.with_plain_line(rule, module);
        edit.and(gone(&rule.location))
    }

    /// The line without its method, and without any other line of the stack.
    pub fn alone(&self, at: usize, module: &Module) -> Edit {
        let own = &self.rules[at].location;
        let plain = line(self.rule_type, "required", &without_method(module));
        let others = self
            .rules
            .iter()
            .filter_map(|rule| place_in(&own.file, rule));
        let others = others.filter(|place| *place != own);
        let edit = Edit::replace(own, vec![plain]);
        others.fold(edit, |edit, place| edit.and(gone(place)))
    }

    /// Lines of `sufficient` end the stack before the one of pam_ivalt below them. As jumps to that line, with a line
    /// that denies above it, they do not; what was in a file of its own comes into that of the service.
    pub fn password_by_jumps(&self) -> Option<Edit> {
        let mut plain = ivalt_rules(self.rules).filter(|(_, module)| module.only_after().is_none());
        let (own, module) = plain.next()?;
        let ivalt = &self.rules[own];
        let (include, block) = self.password_block(ivalt)?;
        let mut lines = self.as_jumps(&block)?;
        lines.extend(include.iter().flat_map(|include| self.other_lines(include)));
        lines.push(line(self.rule_type, "required", module));
        let (from, to) = (&block.first()?.location, &block.last()?.location);
        let place = include.map_or(from, |include| &include.location);
        let file = place.file.display();
        let where_to = match include {
            Some(Include { name, .. }) => format!(
                "line {} of {file}, and of the line of pam_ivalt, what {name} has, but so that a wrong password ends the \
                 stack (later changes of {name}, by authselect or an update, do not reach these lines)",
                place.line
            ),
            None => format!(
                "lines {} to {} of {file}, and of the line of pam_ivalt",
                from.line, to.line
            ),
        };
        let text = format!("in place of {where_to}:\n{}", lines.join("\n"));
        let edit = Edit::replace(place, lines).told(text);
        let others = block.iter().map(|rule| &rule.location);
        let others = others.filter(|other| include.is_none() && *other != place);
        let edit = others.fold(edit, |edit, other| edit.and(gone(other)));
        Some(edit.and(gone(&ivalt.location)))
    }

    /// From the first line that ends the stack to the last one that does or denies: those of a file that is included,
    /// or of the one that pam_ivalt's line is in.
    fn password_block(&self, ivalt: &Rule) -> Option<(Option<&Include>, Vec<&Rule>)> {
        let rules = self.rules;
        let ends =
            |rule: &Rule| asks_for_login(rule) && rule.actions[ReturnCode::Success] == Action::Done;
        let first = rules.iter().position(ends)?;
        let last = rules.iter().rposition(|rule| ends(rule) || is_deny(rule))?;
        let include = rules[first].included_by.get(ivalt.included_by.len());
        let depth = rules[first].included_by.len();
        let in_block = |(at, rule): &(usize, &Rule)| match include {
            Some(include) => rule.included_by.contains(include),
            None => (first..=last).contains(at) && rule.location != ivalt.location,
        };
        let block = rules.iter().enumerate().filter(in_block);
        let block: Vec<_> = block.map(|(_, rule)| rule).collect();
        let fits = |rule: &&Rule| {
            let there = include.is_some() || rule.location.file == ivalt.location.file;
            there && rule.included_by.len() == depth && module_of(rule).is_some()
        };
        block.iter().all(fits).then_some((include, block))
    }

    /// The lines of the block with jumps behind its end, where a line denies.
    fn as_jumps(&self, block: &[&Rule]) -> Option<Vec<String>> {
        let ends_in_deny = block.last().is_some_and(|rule| is_deny(rule));
        let count = block.len() + usize::from(!ends_in_deny);
        let mut lines = Vec::new();
        for (at, rule) in block.iter().enumerate() {
            let module = module_of(rule)?;
            let jump = count - at - 1;
            let control = match rule.actions[ReturnCode::Success] {
                _ if ends_in_deny && at + 1 == count => "requisite".to_owned(),
                Action::Done if !rule.control.eq_ignore_ascii_case("sufficient") => return None,
                Action::Done => format!("[success={jump} new_authtok_reqd={jump} default=ignore]"),
                _ => control(rule),
            };
            lines.push(line(self.rule_type, &control, module));
        }
        if !ends_in_deny {
            lines.push(format!("{}    {DENY}", self.rule_type.word()));
        }
        Some(lines)
    }

    /// What `@include` brings besides the lines of this stack.
    pub fn other_lines(&self, include: &Include) -> Vec<String> {
        let service = pam_stack::read(self.codes.root, self.service).unwrap_or_default();
        let brings = |rule_type: &RuleType| {
            let mut rules = service.own(*rule_type).iter();
            *rule_type != self.rule_type && rules.any(|rule| rule.included_by.contains(include))
        };
        let types = RuleType::ALL.into_iter().filter(|_| include.all_types);
        let types = types.filter(brings);
        types
            .map(|rule_type| format!("{}    include    {}", rule_type.word(), include.name))
            .collect()
    }
}

fn gone(location: &Location) -> Change {
    Change::new(location, Place::Instead, Vec::new())
}

fn is_deny(rule: &Rule) -> bool {
    module_of(rule).is_some_and(|module| module.name() == "pam_deny")
}

/// The line by which a rule is in a file, its own or one that includes it.
pub fn place_in<'a>(file: &Path, rule: &'a Rule) -> Option<&'a Location> {
    let including = rule.included_by.iter().map(|include| &include.location);
    including
        .chain([&rule.location])
        .find(|place| place.file == *file)
}
