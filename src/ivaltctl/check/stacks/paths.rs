//! Every path through a stack. Logins in the same state before a rule have the same paths from there, so that all of
//! them together are a few thousand states.

use std::collections::HashSet;

use crate::pam_stack::{
    Impression, ModuleKind, ReturnCode, Rule, SimulatorState, StackStatus, Transition,
};

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
    password_asked: bool,
    /// pam_ivalt was asked although no password was right.
    pub after_refusal: bool,
    /// The rules that accepted a password or another proof, as bits.
    accepted: u64,
}

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

    /// Whether this rule has accepted a proof.
    pub fn has_accepted(&self, rule: usize) -> bool {
        self.facts.accepted & bit(rule) != 0
    }

    /// Whether nothing has accepted a proof, no rule and no method before.
    pub fn has_no_proof(&self) -> bool {
        self.facts.accepted == 0 && !self.facts.method_passed
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

fn bit(rule: usize) -> u64 {
    1 << (rule % 64)
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

/// A path to every state in which a stack can end, for logins that have passed a method before, or have not.
pub fn all(
    rules: &[Rule],
    method_passed: bool,
    codes: impl Fn(&Rule) -> Vec<ReturnCode>,
) -> Vec<ExecutionPath> {
    let codes: Vec<_> = rules.iter().map(codes).collect();
    let start = Node {
        login: LoginState::start(method_passed),
        from: None,
        returned: None,
    };
    let mut known = HashSet::from([start.login.clone()]);
    let mut nodes = vec![start];
    let mut paths = Vec::new();
    let mut at = 0;
    while at < nodes.len() {
        let login = nodes[at].login.clone();
        let rule = login.state.next;
        if rule == rules.len() {
            paths.push(path_to(&nodes, at));
        }
        for code in codes.get(rule).into_iter().flatten() {
            let next = login.after(rules, *code);
            if known.insert(next.clone()) {
                nodes.push(Node {
                    login: next,
                    from: Some(at),
                    returned: login.state.calls_module(rules).then_some((rule, *code)),
                });
            }
        }
        at += 1;
    }
    paths
}

fn path_to(nodes: &[Node], end: usize) -> ExecutionPath {
    let mut returned = Vec::new();
    let mut at = Some(end);
    while let Some(node) = at.map(|at| &nodes[at]) {
        returned.extend(node.returned);
        at = node.from;
    }
    returned.reverse();
    let LoginState { state, facts } = &nodes[end].login;
    let StackStatus { impression, .. } = state.status;
    ExecutionPath {
        code: state.status.result(),
        facts: facts.clone(),
        undecided: impression == Impression::None,
        returned,
    }
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
        let proof = matches!(
            kind,
            ModuleKind::Password | ModuleKind::Factor | ModuleKind::Unknown
        );
        if proof && code == ReturnCode::Success {
            facts.accepted |= bit(here);
        }
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
        accepted: 0,
    };

    /// A line with `only_after=` returns `PAM_IGNORE` only where its method has not passed.
    fn add_call(&mut self, at: usize, rule: &Rule, code: ReturnCode) {
        if code == ReturnCode::Ignore && rule.only_after().is_some() {
            self.stepped_aside.get_or_insert(at);
            return;
        }
        self.after_refusal |= self.password_asked && self.accepted == 0;
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
