//! Fixes. One that edits files is offered only where the model, run on the edited files, finds no stack worse: [`Judge`]
//! alone makes the text of a fix, so that no finding can leave that out.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::paths::{ExecutionPath, Exploration, IvaltOutcome};
use super::return_codes::ReturnCodes;
use super::{StackFinding, StackUnderTest, check_service, module_of, only_after, services};
use crate::finding::{Finding, Severity};
use crate::pam_stack::{
    self, Location, Module, ModuleKind, PAM_CONF, ReturnCode, Rule, RuleType, Service,
    asks_for_login, is_continued, ivalt_rules,
};
use crate::root::Root;

/// Where a line is known to be wrong, and none of the edits of it makes the stack right.
const BY_HAND: &str =
    "no edit of one line makes this right: write the stack anew, as in pam_ivalt(8), EXAMPLES";

/// So many edits are tried in one run of `check`; a system needs some ten.
const MAX_TRIES: usize = 500;

/// How to fix what a finding says: edits, the best first, and words where none of them holds.
#[derive(Clone, Debug, Default)]
pub struct Fix {
    edits: Vec<Edit>,
    words: String,
}

/// An edit of files, and how a person is told of it.
#[derive(Clone, Debug)]
pub struct Edit {
    pub text: String,
    changes: Vec<Change>,
}

/// Lines in place of one, or beside it.
#[derive(Clone, Debug)]
pub struct Change {
    pub location: Location,
    pub place: Place,
    pub lines: Vec<String>,
}

/// Where new lines go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    Above,
    Instead,
    Below,
}

impl From<&str> for Fix {
    fn from(words: &str) -> Self {
        words.to_owned().into()
    }
}

impl From<String> for Fix {
    fn from(words: String) -> Self {
        Self {
            edits: Vec::new(),
            words,
        }
    }
}

impl From<Edit> for Fix {
    fn from(edit: Edit) -> Self {
        vec![edit].into()
    }
}

impl From<Vec<Edit>> for Fix {
    fn from(edits: Vec<Edit>) -> Self {
        Self {
            edits,
            words: BY_HAND.to_owned(),
        }
    }
}

impl Fix {
    /// What a person is told where no edit holds.
    pub fn or_words(mut self, words: impl Into<String>) -> Self {
        self.words = words.into();
        self
    }

    /// What is said where no edit holds.
    pub fn words(&self) -> &str {
        &self.words
    }
}

impl Edit {
    /// One change.
    pub fn of(change: Change) -> Self {
        Self {
            text: change.lines.join("\n"),
            changes: vec![change],
        }
    }

    /// These lines in place of the one there, which is the finding's.
    pub fn replace(location: &Location, lines: Vec<String>) -> Self {
        Self::of(Change::new(location, Place::Instead, lines))
    }

    /// Without the line there.
    pub fn remove(location: &Location) -> Self {
        Self::replace(location, Vec::new()).told("remove this line")
    }

    /// A line leaves its place, and is written above or below another.
    pub fn relocate(from: &Location, place: Place, to: &Location, line: String) -> Self {
        let word = if place == Place::Above {
            "above"
        } else {
            "below"
        };
        Self {
            text: format!(
                "move {word} line {} of {}: {line}",
                to.line,
                to.file.display()
            ),
            changes: vec![
                Change::new(from, Place::Instead, Vec::new()),
                Change::new(to, place, vec![line]),
            ],
        }
    }

    /// With another change.
    pub fn and(mut self, change: Change) -> Self {
        self.changes.push(change);
        self
    }

    /// Said in these words.
    pub fn told(mut self, text: impl Into<String>) -> Self {
        self.text = text.into();
        self
    }

    /// The system as it would be.
    pub fn apply(&self, root: &Root, service: &str) -> Root {
        let files: BTreeSet<_> = self.files().collect();
        files.into_iter().fold(root.clone(), |root, file| {
            let text = root.read(file).unwrap_or_default();
            let changes = self.changes.iter();
            let changes = changes.filter(|change| change.location.file == file);
            let prefix = match file == Path::new(PAM_CONF) {
                true => format!("{service} "),
                false => String::new(),
            };
            let text = changed(&text, &changes.collect::<Vec<_>>(), &prefix);
            root.with(file, text)
        })
    }

    /// As a person is to write it: a line of pam.conf begins with its service.
    fn shown(&self, service: &str) -> String {
        if self.files().any(|file| file == Path::new(PAM_CONF)) {
            self.text
                .replace("auth    ", &format!("{service} auth    "))
        } else {
            self.text.clone()
        }
    }

    fn files(&self) -> impl Iterator<Item = &Path> {
        self.changes
            .iter()
            .map(|change| change.location.file.as_path())
    }
}

impl Change {
    pub fn new(location: &Location, place: Place, lines: Vec<String>) -> Self {
        Self {
            location: location.clone(),
            place,
            lines,
        }
    }
}

/// The text with these changes, in each line the first word of pam.conf(5) where there is one.
fn changed(text: &str, changes: &[&Change], prefix: &str) -> String {
    let old: Vec<&str> = text.lines().collect();
    let mut new = String::new();
    let mut add = |line: &str| {
        new.push_str(line);
        new.push('\n');
    };
    let mut at = 0;
    while at < old.len() {
        let here = at..end_of_line(&old, at);
        let of = |place| {
            let there =
                move |change: &&&Change| (change.location.line, change.place) == (at + 1, place);
            changes.iter().filter(there)
        };
        let added = |place| of(place).flat_map(|change| &change.lines);
        added(Place::Above).for_each(|line| add(&format!("{prefix}{line}")));
        if of(Place::Instead).next().is_none() {
            old[here.clone()].iter().for_each(|line| add(line));
        }
        for line in added(Place::Instead).chain(added(Place::Below)) {
            add(&format!("{prefix}{line}"));
        }
        at = here.end;
    }
    new
}

/// Where the line that begins there, with those that continue it, has ended. Comments between them belong to it.
fn end_of_line(lines: &[&str], begin: usize) -> usize {
    let silent = |line: &str| {
        let line = line.trim_start();
        line.is_empty() || line.starts_with('#')
    };
    let mut end = begin + 1;
    let mut open = is_continued(lines[begin]) && !silent(lines[begin]);
    while open && end < lines.len() {
        open = silent(lines[end]) || is_continued(lines[end]);
        end += 1;
    }
    end
}

/// What the model says of a service, as far as two systems are compared by it.
#[derive(Default)]
struct Verdict {
    covered: bool,
    found: BTreeMap<(&'static str, Severity), usize>,
    /// The modules that alone let in: who has no other password, still has to get in after an edit.
    alone: BTreeSet<String>,
    /// Some get in without being asked or though denied, with nothing else proven.
    free: bool,
    /// Some get in by a token.
    usable: bool,
    /// Some get in by a token after a wrong password.
    guessed: bool,
}

/// Compares a system with what an edit makes of it.
pub struct Judge<'a> {
    root: &'a Root,
    files: OnceCell<BTreeMap<String, BTreeSet<PathBuf>>>,
    before: RefCell<BTreeMap<String, Rc<Verdict>>>,
    tries: Cell<usize>,
}

impl<'a> Judge<'a> {
    pub fn new(root: &'a Root) -> Self {
        Self {
            root,
            files: OnceCell::new(),
            before: RefCell::default(),
            tries: Cell::new(0),
        }
    }

    /// The finding with the fix that holds.
    pub fn settle(&self, service: &str, found: StackFinding) -> Finding {
        let text = match self.edit(service, &found) {
            Some(edit) => edit.shown(service),
            None => found.fix.words.clone(),
        };
        Finding {
            fix: text,
            ..found.finding
        }
    }

    /// The first edit after which the finding is gone and nothing else is worse.
    pub fn edit<'f>(&self, service: &str, found: &'f StackFinding) -> Option<&'f Edit> {
        let mut edits = found.fix.edits.iter();
        edits.find(|edit| self.holds(service, &found.finding, edit))
    }

    fn holds(&self, service: &str, finding: &Finding, edit: &Edit) -> bool {
        self.tries.set(self.tries.get() + 1);
        if self.tries.get() > MAX_TRIES {
            return false;
        }
        let root = edit.apply(self.root, service);
        let names = self.concerned(service, edit);
        let fine = names.iter().all(|name| {
            let own = (name == service).then_some(finding);
            let (before, after) = (self.before(name), verdict(&root, name));
            after.is_no_worse_than(&before, finding.severity)
                && own.is_none_or(|own| before.counts(own) > after.counts(own))
        });
        let shared = |root| services::shared(root, &names).len();
        fine && shared(&root) <= shared(self.root)
    }

    fn before(&self, service: &str) -> Rc<Verdict> {
        let mut before = self.before.borrow_mut();
        let known = before.entry(service.to_owned());
        let known = known.or_insert_with(|| Rc::new(verdict(self.root, service)));
        Rc::clone(known)
    }

    /// The service, and those that read a file of the edit.
    fn concerned(&self, service: &str, edit: &Edit) -> BTreeSet<String> {
        let files = self.files.get_or_init(|| files_of_services(self.root));
        let uses = |of: &&String| edit.files().any(|file| files[*of].contains(file));
        let others = files.keys().filter(uses).cloned();
        others.chain([service.to_owned()]).collect()
    }
}

/// The files that libpam reads for each service.
fn files_of_services(root: &Root) -> BTreeMap<String, BTreeSet<PathBuf>> {
    let files = |name: &String| {
        let service = pam_stack::read(root, name).unwrap_or_default();
        let rules = RuleType::ALL.map(|rule_type| service.own(rule_type).to_vec());
        let files = rules.into_iter().flatten().flat_map(|rule| {
            let including = rule.included_by.into_iter().map(|include| include.location);
            including.chain([rule.location]).map(|place| place.file)
        });
        files.collect()
    };
    let names = pam_stack::service_names(root).into_iter();
    names.map(|name| (name.clone(), files(&name))).collect()
}

impl Verdict {
    fn counts(&self, finding: &Finding) -> usize {
        let key = (finding.id, finding.severity);
        self.found.get(&key).copied().unwrap_or(0)
    }

    /// A warning may come in place of what let in or locked out; nothing else may come.
    fn is_no_worse_than(&self, before: &Self, fixed: Severity) -> bool {
        let may_come = |severity| severity == Severity::Warning && fixed > Severity::Warning;
        let worse = |(key, count): (&(&'static str, Severity), &usize)| {
            *count > before.found.get(key).copied().unwrap_or(0) && !may_come(key.1)
        };
        let lost = before.covered && !self.covered || before.usable && !self.usable;
        let opened = self.free && !before.free;
        let guessed = self.guessed && !before.guessed && !before.free;
        !lost
            && !opened
            && !guessed
            && !self.found.iter().any(worse)
            && before.alone.is_subset(&self.alone)
    }
}

fn verdict(root: &Root, name: &str) -> Verdict {
    let mut found = BTreeMap::new();
    for StackFinding { finding, .. } in check_service(root, name) {
        *found.entry((finding.id, finding.severity)).or_insert(0) += 1;
    }
    let Ok(service) = pam_stack::read(root, name) else {
        return Verdict {
            found,
            ..Verdict::default()
        };
    };
    let rules = service.own(RuleType::Auth);
    let stack = StackUnderTest::new(root, name, RuleType::Auth, rules);
    let lets_in = |wanted: fn(&ExecutionPath, &[Rule]) -> bool| {
        let mut paths = stack.paths.iter();
        paths.any(|path| path.lets_in() && wanted(path, rules))
    };
    Verdict {
        covered: ivalt_rules(rules).next().is_some(),
        found,
        alone: alone(root, name, &service),
        free: lets_in(is_free),
        usable: lets_in(|path, _| path.facts.ivalt == IvaltOutcome::Allowed),
        guessed: lets_in(|path, _| path.is_guessed()),
    }
}

/// Root becomes any user without being asked, as su always allows.
fn is_free(path: &ExecutionPath, rules: &[Rule]) -> bool {
    let root_is = |(rule, code): &(usize, ReturnCode)| {
        rules[*rule].kind() == ModuleKind::Root && *code == ReturnCode::Success
    };
    match path.facts.ivalt {
        IvaltOutcome::Denied => true,
        IvaltOutcome::NotAsked => path.has_no_proof() && !path.returned.iter().any(root_is),
        IvaltOutcome::Ignored | IvaltOutcome::Allowed => false,
    }
}

fn module_name(rule: &Rule) -> Option<&str> {
    module_of(rule).map(Module::name)
}

/// The modules each of which lets in where no other accepts.
fn alone(root: &Root, name: &str, service: &Service) -> BTreeSet<String> {
    let rules = service.own(RuleType::Auth);
    let asking = rules.iter().filter(|rule| asks_for_login(rule));
    let mut names: BTreeSet<_> = asking.filter_map(module_name).map(str::to_owned).collect();
    names.retain(|module| lets_in_alone(root, name, rules, module));
    names
}

fn lets_in_alone(root: &Root, service: &str, rules: &[Rule], module: &str) -> bool {
    let codes = ReturnCodes::new(root, false, false);
    let fails = |rule: &Rule| asks_for_login(rule) && module_name(rule) != Some(module);
    only_after::logins(service, rules).iter().any(|passed| {
        let codes = |rule: &Rule| {
            let mut codes = codes.of(rule, passed);
            codes.retain(|code| !fails(rule) || *code != ReturnCode::Success);
            codes
        };
        let explored = Exploration::of(rules, !passed.is_empty(), codes);
        explored.is_some_and(|explored| {
            let acceptances = explored.acceptances();
            let lets_in = |at: &usize| module_name(&rules[*at]) == Some(module);
            let mut of_module = acceptances.iter().filter(|(at, _)| lets_in(at));
            of_module.any(|(_, denied)| denied.is_none())
        })
    })
}
