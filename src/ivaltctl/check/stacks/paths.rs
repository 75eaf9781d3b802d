//! Every path through a stack. Logins in the same state before a rule have the same paths from there, so that all of
//! them together are some hundred states; where they are more than [`MAX_STATES`], nothing is said of any.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use super::module_of;
use crate::pam_stack::{
    Impression, Module, ModuleKind, ReturnCode, Rule, SimulatorState, StackStatus, Transition,
};
use ivalt_core::arguments::FirstPass;

/// What the pam_ivalt lines of a path returned, taken together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum IvaltOutcome {
    NotAsked,
    Denied,
    Ignored,
    /// One of them allowed.
    Allowed,
}

/// What `check` has to know of a path.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Facts {
    pub ivalt: IvaltOutcome,
    /// How often pam_ivalt was asked: 0, 1, or 2 for more often.
    pub asked: u8,
    /// The rule that led past pam_ivalt first.
    pub passed_by: Option<usize>,
    /// The first pam_ivalt line that did nothing, since its method has not passed.
    pub stepped_aside: Option<usize>,
    /// A method that a pam_ivalt line waits for has passed before PAM was asked: sshd has checked a key.
    pub method_passed: bool,
    /// pam_ivalt led past a rule that asks for a password.
    pub skipped_password: bool,
    /// A rule asked for a password.
    pub password_asked: bool,
    /// pam_ivalt was asked although no password was right.
    pub after_refusal: bool,
    /// A line that takes Enter for a request on the phone asked somebody who has proven nothing.
    pub asked_stranger: bool,
    /// A rule accepted a password or another proof.
    accepted: bool,
    /// The same, where another factor that has nothing to say of a user counts as proof.
    proven: bool,
}

/// Stacks of real systems have some hundreds; a file that was made to keep `check` busy has any number.
pub const MAX_STATES: usize = 5_000;

/// Stacks of real systems have at most some forty rules.
pub const MAX_RULES: usize = 256;

/// One path to the end of a stack.
#[derive(Clone, Debug)]
pub struct ExecutionPath {
    /// What the application gets.
    pub code: ReturnCode,
    pub facts: Facts,
    /// No module has returned anything that counts.
    pub undecided: bool,
    /// The rules whose module was called, and what it returned.
    pub returned: Vec<(usize, ReturnCode)>,
}

impl ExecutionPath {
    /// One of the simulator's, in which pam_ivalt denies.
    pub fn simulated(code: ReturnCode, returned: Vec<(usize, ReturnCode)>) -> Self {
        Self {
            code,
            facts: Facts {
                ivalt: IvaltOutcome::Denied,
                asked: 1,
                ..Facts::START
            },
            undecided: false,
            returned,
        }
    }

    /// Whether the user gets in.
    pub fn lets_in(&self) -> bool {
        self.code == ReturnCode::Success
    }

    /// Whether nothing has accepted a proof, no rule and no method before.
    pub fn has_no_proof(&self) -> bool {
        !self.facts.accepted && !self.facts.method_passed
    }

    /// Whether a token lets in after a wrong password.
    pub fn is_guessed(&self) -> bool {
        let allowed = self.facts.ivalt == IvaltOutcome::Allowed;
        self.lets_in() && allowed && self.facts.password_asked && self.has_no_proof()
    }

    /// What the module of a rule returned, if it was called.
    pub fn returned_by(&self, rule: usize) -> Option<ReturnCode> {
        let mut returned = self.returned.iter();
        returned
            .find(|(called, _)| *called == rule)
            .map(|(_, code)| *code)
    }

    /// Whether pam_ivalt did nothing at this rule, since its method has not passed.
    pub fn steps_aside(&self, rules: &[Rule], rule: usize) -> bool {
        let ignored = self.returned_by(rule) == Some(ReturnCode::Ignore);
        ignored && rules[rule].only_after().is_some()
    }

    /// How many modules succeeded.
    pub fn successes(&self) -> usize {
        let success = |(_, code): &&(usize, ReturnCode)| *code == ReturnCode::Success;
        self.returned.iter().filter(success).count()
    }
}

/// libpam's state, and what `check` knows besides.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct LoginState {
    state: SimulatorState,
    facts: Facts,
}

/// A login, where it came from, and the return code that led here.
struct Node {
    login: LoginState,
    from: Option<usize>,
    returned: Option<(usize, ReturnCode)>,
}

/// What a rule returned, and the logins before and after it, by their numbers.
struct Edge {
    from: usize,
    to: usize,
    rule: usize,
    code: ReturnCode,
}

/// Every login through a stack that has passed a method before, or has not.
pub struct Exploration<'a> {
    rules: &'a [Rule],
    nodes: Vec<Node>,
    edges: Vec<Edge>,
}

impl<'a> Exploration<'a> {
    /// Follows all return codes that the rules may give. Nothing where that is too much.
    pub fn of(
        rules: &'a [Rule],
        method_passed: bool,
        codes: impl Fn(&Rule) -> Vec<ReturnCode>,
    ) -> Option<Self> {
        if rules.len() > MAX_RULES {
            return None;
        }
        let codes: Vec<_> = rules.iter().map(codes).collect();
        let start = LoginState::start(method_passed);
        let mut known = HashMap::from([(start.clone(), 0)]);
        let mut nodes = vec![Node {
            login: start,
            from: None,
            returned: None,
        }];
        let mut edges = Vec::new();
        let mut from = 0;
        while from < nodes.len() {
            let login = nodes[from].login.clone();
            let rule = login.state.next;
            for &code in codes.get(rule).into_iter().flatten() {
                let next = login.after(rules, code);
                let to = match known.entry(next) {
                    Entry::Occupied(known) => *known.get(),
                    Entry::Vacant(new) => {
                        let calls = login.state.calls_module(rules);
                        nodes.push(Node {
                            login: new.key().clone(),
                            from: Some(from),
                            returned: calls.then_some((rule, code)),
                        });
                        *new.insert(nodes.len() - 1)
                    }
                };
                edges.push(Edge {
                    from,
                    to,
                    rule,
                    code,
                });
            }
            if nodes.len() > MAX_STATES {
                return None;
            }
            from += 1;
        }
        Some(Self {
            rules,
            nodes,
            edges,
        })
    }

    /// A path to every state in which the stack can end.
    pub fn paths(&self) -> impl Iterator<Item = ExecutionPath> {
        let ends = (0..self.nodes.len()).filter(|node| self.is_end(*node));
        ends.map(|end| self.path_to(end))
    }

    /// For each rule that can accept a proof: nothing where some login gets in after that, else a path that shows that
    /// none does.
    pub fn acceptances(&self) -> HashMap<usize, Option<ExecutionPath>> {
        let lets_in = self.can_let_in();
        let mut found = HashMap::new();
        for edge in &self.edges {
            if edge.code != ReturnCode::Success || !is_proof(self.rules[edge.rule].kind()) {
                continue;
            }
            if lets_in[edge.to] {
                found.insert(edge.rule, None);
            } else {
                let path = || Some(self.path_through(edge));
                found.entry(edge.rule).or_insert_with(path);
            }
        }
        found
    }

    fn is_end(&self, node: usize) -> bool {
        self.nodes[node].login.state.next == self.rules.len()
    }

    /// Of each login, whether it may still get in.
    fn can_let_in(&self) -> Vec<bool> {
        let gets_in = |(at, node): (usize, &Node)| {
            self.is_end(at) && node.login.state.status.result() == ReturnCode::Success
        };
        let mut can: Vec<_> = self.nodes.iter().enumerate().map(gets_in).collect();
        let mut edges: Vec<_> = self.edges.iter().collect();
        // Every rule leads to one further below.
        edges.sort_by_key(|edge| std::cmp::Reverse(edge.rule));
        for edge in edges {
            can[edge.from] |= can[edge.to];
        }
        can
    }

    fn path_to(&self, end: usize) -> ExecutionPath {
        let mut returned = Vec::new();
        let mut at = Some(end);
        while let Some(node) = at.map(|at| &self.nodes[at]) {
            returned.extend(node.returned);
            at = node.from;
        }
        returned.reverse();
        self.ending(end, returned)
    }

    /// A path by this edge, and from there to the end by what is best for the login.
    fn path_through(&self, edge: &Edge) -> ExecutionPath {
        let mut returned = self.path_to(edge.from).returned;
        returned.push((edge.rule, edge.code));
        let mut at = edge.to;
        while let Some(next) = self.edges.iter().find(|edge| edge.from == at) {
            let calls = self.nodes[at].login.state.calls_module(self.rules);
            returned.extend(calls.then_some((next.rule, next.code)));
            at = next.to;
        }
        self.ending(at, returned)
    }

    fn ending(&self, end: usize, returned: Vec<(usize, ReturnCode)>) -> ExecutionPath {
        let LoginState { state, facts } = &self.nodes[end].login;
        let StackStatus { impression, .. } = state.status;
        ExecutionPath {
            code: state.status.result(),
            facts: facts.clone(),
            undecided: impression == Impression::None,
            returned,
        }
    }
}

/// Under `*_first_pass` no answer is Enter.
fn takes_enter(rule: &Rule) -> bool {
    let arguments = module_of(rule).map(Module::ivalt_arguments);
    arguments.is_some_and(|known| known.is_ok_and(|known| known.first_pass == FirstPass::Never))
}

/// Without being told to, no other factor leaves users to the lines below; of what is not known, the best is assumed.
fn proves(rule: &Rule, code: ReturnCode) -> bool {
    let kind = rule.kind();
    let spares = |module: &Module| {
        let mut words = module.arguments.iter();
        words.any(|word| ["nullok", "nouserok"].contains(&word.as_str()))
    };
    match code {
        ReturnCode::Success | ReturnCode::NewAuthtokReqd => is_proof(kind),
        ReturnCode::Ignore => {
            let other = matches!(kind, ModuleKind::Factor | ModuleKind::Unknown);
            other && !module_of(rule).is_some_and(spares)
        }
        _ => false,
    }
}

fn is_proof(kind: ModuleKind) -> bool {
    use ModuleKind::{Factor, Password, Unknown};
    matches!(kind, Password | Factor | Unknown)
}

impl LoginState {
    fn start(method_passed: bool) -> Self {
        Self {
            state: SimulatorState::start(),
            facts: Facts {
                method_passed,
                ..Facts::START
            },
        }
    }

    fn after(&self, rules: &[Rule], code: ReturnCode) -> Self {
        let here = self.state.next;
        let (state, transition) = self.state.after(rules, code);
        let skipped = match transition {
            Transition::Next => &[],
            Transition::Skip => &rules[here + 1..state.next],
        };
        let skips = |kind| skipped.iter().any(|rule| rule.kind() == kind);
        let mut facts = self.facts.clone();
        let kind = rules[here].kind();
        if kind == ModuleKind::Ivalt {
            facts.add_call(here, &rules[here], code);
            facts.skipped_password |= skips(ModuleKind::Password);
        } else if skips(ModuleKind::Ivalt) && facts.asked == 0 && facts.passed_by.is_none() {
            facts.passed_by = Some(here);
        }
        facts.password_asked |= kind == ModuleKind::Password;
        facts.accepted |= is_proof(kind) && code == ReturnCode::Success;
        facts.proven |= proves(&rules[here], code);
        Self { state, facts }
    }
}

impl Facts {
    const START: Self = Self {
        ivalt: IvaltOutcome::NotAsked,
        asked: 0,
        passed_by: None,
        stepped_aside: None,
        method_passed: false,
        skipped_password: false,
        password_asked: false,
        after_refusal: false,
        asked_stranger: false,
        accepted: false,
        proven: false,
    };

    /// A line with `only_after=` returns `PAM_IGNORE` only where its method has not passed.
    fn add_call(&mut self, at: usize, rule: &Rule, code: ReturnCode) {
        if code == ReturnCode::Ignore && rule.only_after().is_some() {
            self.stepped_aside.get_or_insert(at);
            return;
        }
        self.after_refusal |= self.password_asked && !self.accepted;
        self.asked_stranger |= !self.proven && !self.method_passed && takes_enter(rule);
        self.add_outcome(code);
    }

    fn add_outcome(&mut self, code: ReturnCode) {
        self.asked = (self.asked + 1).min(2);
        self.ivalt = match (code, self.ivalt) {
            (ReturnCode::Success, _) | (_, IvaltOutcome::Allowed) => IvaltOutcome::Allowed,
            (ReturnCode::Ignore, IvaltOutcome::NotAsked | IvaltOutcome::Ignored) => {
                IvaltOutcome::Ignored
            }
            _ => IvaltOutcome::Denied,
        };
    }
}
