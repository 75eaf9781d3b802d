//! Every way through a stack. Logins that stand alike before the same step go the same ways from there, so that all
//! of them together are a few thousand states.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use super::super::super::pam_d::{Code, PAM_IGNORE, PAM_SUCCESS, Step};
use super::super::super::stack::{Impression, Move, State};
use super::modules::{Trade, trade_of};

/// What our lines said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ours {
    NotAsked,
    Denied,
    Ignored,
    /// One of them allowed.
    Allowed,
}

/// What is worth knowing of a login besides libpam's own state.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Login {
    state: State,
    ours: Ours,
    /// How often ours was asked: not at all, once, more often.
    asked: u8,
    /// The step that led past ours first.
    passed_by: Option<usize>,
    /// Ours led past a step that asks for a password.
    skipped_password: bool,
    /// The steps that accepted a password or another proof, as bits.
    accepted: u64,
}

/// One way to the end of a stack.
#[derive(Clone, Debug)]
pub struct Run {
    /// What the application gets.
    pub code: Code,
    pub ours: Ours,
    pub asked: u8,
    pub passed_by: Option<usize>,
    pub skipped_password: bool,
    pub accepted: u64,
    /// No module has said anything that counts.
    pub undecided: bool,
    /// The modules asked, and what they said.
    pub answers: Vec<(usize, Code)>,
}

impl Run {
    /// One that nobody has found by walking.
    pub fn imagined(code: Code, answers: Vec<(usize, Code)>) -> Self {
        Self {
            code,
            ours: Ours::Denied,
            asked: 1,
            passed_by: None,
            skipped_password: false,
            accepted: 0,
            undecided: false,
            answers,
        }
    }

    /// Whether the person gets in.
    pub fn lets_in(&self) -> bool {
        self.code == PAM_SUCCESS
    }

    /// Whether this step has accepted a proof.
    pub fn has_accepted(&self, step: usize) -> bool {
        self.accepted & bit(step) != 0
    }

    /// How many modules had nothing to complain of.
    pub fn successes(&self) -> usize {
        let content = |(_, code): &&(usize, Code)| *code == PAM_SUCCESS;
        self.answers.iter().filter(content).count()
    }
}

fn bit(step: usize) -> u64 {
    1 << (step % 64)
}

/// A login, where it came from, and the answer that led here.
struct Node {
    login: Login,
    from: Option<usize>,
    answer: Option<(usize, Code)>,
}

/// A run for every state in which a stack can end.
pub fn all(steps: &[Step], answers: impl Fn(&Step) -> Vec<Code>) -> Vec<Run> {
    let answers: Vec<_> = steps.iter().map(answers).collect();
    let mut nodes = vec![Node {
        login: Login::start(),
        from: None,
        answer: None,
    }];
    let mut known = HashMap::from([(nodes[0].login.clone(), ())]);
    let mut runs = Vec::new();
    let mut at = 0;
    while at < nodes.len() {
        let login = nodes[at].login.clone();
        let step = login.state.next;
        if step == steps.len() {
            runs.push(run(&nodes, at));
        } else {
            for code in &answers[step] {
                let next = login.after(steps, *code);
                if let Entry::Vacant(place) = known.entry(next) {
                    let answer = login.state.is_asked(steps).then_some((step, *code));
                    nodes.push(Node {
                        login: place.key().clone(),
                        from: Some(at),
                        answer,
                    });
                    place.insert(());
                }
            }
        }
        at += 1;
    }
    runs
}

fn run(nodes: &[Node], end: usize) -> Run {
    let mut answers = Vec::new();
    let mut at = Some(end);
    while let Some(node) = at.map(|at| &nodes[at]) {
        answers.extend(node.answer);
        at = node.from;
    }
    answers.reverse();
    let login = &nodes[end].login;
    Run {
        code: login.state.verdict.code(),
        ours: login.ours,
        asked: login.asked,
        passed_by: login.passed_by,
        skipped_password: login.skipped_password,
        accepted: login.accepted,
        undecided: login.state.verdict.impression == Impression::None,
        answers,
    }
}

impl Login {
    fn start() -> Self {
        Self {
            state: State::start(),
            ours: Ours::NotAsked,
            asked: 0,
            passed_by: None,
            skipped_password: false,
            accepted: 0,
        }
    }

    fn after(&self, steps: &[Step], code: Code) -> Self {
        let here = self.state.next;
        let (state, moved) = self.state.after(steps, code);
        let trade = trade_of(&steps[here]);
        let passed = if moved == Move::Over {
            &steps[here + 1..state.next]
        } else {
            &[]
        };
        let mut login = Self {
            state,
            ..self.clone()
        };
        let passed_ours = passed.iter().any(|step| trade_of(step) == Trade::Ours);
        let passed_password = passed.iter().any(|step| trade_of(step) == Trade::Password);
        if trade == Trade::Ours {
            login.hear(code);
            login.skipped_password |= passed_password;
        } else if passed_ours && login.asked == 0 && login.passed_by.is_none() {
            login.passed_by = Some(here);
        }
        if matches!(trade, Trade::Password | Trade::Factor | Trade::Unknown) && code == PAM_SUCCESS
        {
            login.accepted |= bit(here);
        }
        login
    }

    fn hear(&mut self, code: Code) {
        self.asked = (self.asked + 1).min(2);
        self.ours = match (code, self.ours) {
            (PAM_SUCCESS, _) | (_, Ours::Allowed) => Ours::Allowed,
            (PAM_IGNORE, Ours::NotAsked | Ours::Ignored) => Ours::Ignored,
            _ => Ours::Denied,
        };
    }
}
