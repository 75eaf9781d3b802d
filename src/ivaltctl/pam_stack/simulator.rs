//! What a stack decides: libpam's `_pam_dispatch_aux` (`libpam/pam_dispatch.c`), rule by rule.
//!
//! [`SimulatorState`] is what libpam knows between two rules. [`simulate`] follows one row of return codes; `check`
//! follows all of them.

use super::control::{Action, ReturnCode};
use super::modules::ModuleKind;
use super::reader::{Rule, RuleTarget};

/// What libpam thinks of a login so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Impression {
    None,
    Positive,
    Negative,
}

/// What a stack would return if it ended here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StackStatus {
    pub impression: Impression,
    pub code: ReturnCode,
}

impl StackStatus {
    const START: Self = Self {
        impression: Impression::None,
        code: ReturnCode::PermDenied,
    };

    /// Success counts only where a module has returned it.
    pub fn result(self) -> ReturnCode {
        match self {
            Self {
                impression: Impression::Positive,
                code,
            } => code,
            Self {
                code: ReturnCode::Success,
                ..
            } => ReturnCode::PermDenied,
            Self { code, .. } => code,
        }
    }

    fn ok(&mut self, code: ReturnCode) {
        let undecided = match self.impression {
            Impression::None => true,
            Impression::Positive => self.code == ReturnCode::Success,
            Impression::Negative => false,
        };
        if undecided {
            self.impression = Impression::Positive;
            self.code = code;
        }
    }

    fn bad(&mut self, code: ReturnCode) {
        if self.impression != Impression::Negative {
            self.impression = Impression::Negative;
            self.code = if code == ReturnCode::Ignore {
                ReturnCode::PermDenied
            } else {
                code
            };
        }
    }
}

/// What libpam knows between two rules.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SimulatorState {
    /// The rule that comes next; the number of rules at the end.
    pub next: usize,
    pub status: StackStatus,
    /// The level of the rule that was last.
    level: usize,
    /// What it was when each substack began, from the outermost.
    before: Vec<StackStatus>,
}

/// How libpam goes on after a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transition {
    /// To the following rule.
    Next,
    /// Over some rules, or out of this level.
    Skip,
}

impl SimulatorState {
    /// Before the first rule.
    pub fn start() -> Self {
        Self {
            next: 0,
            status: StackStatus::START,
            level: 0,
            before: vec![StackStatus::START],
        }
    }

    /// Where the rule that comes next is a module, its return code must be given; elsewhere libpam needs none.
    pub fn calls_module(&self, rules: &[Rule]) -> bool {
        matches!(rules[self.next].target, RuleTarget::Module(_))
    }

    /// After the next rule. `code` is what its module returned.
    pub fn after(&self, rules: &[Rule], code: ReturnCode) -> (Self, Transition) {
        let rule = &rules[self.next];
        let mut state = self.clone();
        state.enter(rule.level);
        let mut at = self.next;
        match rule.target {
            RuleTarget::Substack => {}
            RuleTarget::Broken(_) => state.apply_action(rules, &mut at, ReturnCode::PermDenied),
            RuleTarget::Module(_) => state.apply_action(rules, &mut at, code),
        }
        let transition = if at == self.next {
            Transition::Next
        } else {
            Transition::Skip
        };
        state.level = rule.level;
        state.next = at + 1;
        state.forget(rules);
        (state, transition)
    }

    fn enter(&mut self, level: usize) {
        if self.level < level {
            // Substacks begin one by one, but their first lines need not be modules.
            self.before.truncate(level);
            self.before.resize(level + 1, self.status);
        }
    }

    /// Makes states equal that differ only in what libpam will not read again.
    fn forget(&mut self, rules: &[Rule]) {
        let level = rules.get(self.next).map_or(0, |rule| rule.level);
        self.before.truncate(level.min(self.level) + 1);
    }

    fn apply_action(&mut self, rules: &[Rule], at: &mut usize, code: ReturnCode) {
        let rule = &rules[*at];
        match rule.actions[code] {
            Action::Ignore => {}
            Action::Ok => self.status.ok(code),
            Action::Done => {
                self.status.ok(code);
                if self.status.impression == Impression::Positive {
                    leave(rules, at, rule.level);
                }
            }
            Action::Bad => self.status.bad(code),
            Action::Die => {
                self.status.bad(code);
                leave(rules, at, rule.level);
            }
            Action::Reset => self.status = self.before[rule.level],
            Action::Jump(count) => {
                if !jump(rules, at, rule.level, count) {
                    self.status = StackStatus {
                        impression: Impression::Negative,
                        code: ReturnCode::PermDenied,
                    };
                }
            }
        }
    }
}

/// To the last rule of this level.
fn leave(rules: &[Rule], at: &mut usize, level: usize) {
    while rules.get(*at + 1).is_some_and(|next| next.level >= level) {
        *at += 1;
    }
}

/// Whether a jump of the rule leads beyond the end of its level; then libpam denies.
pub fn is_beyond_end(rules: &[Rule], at: usize, action: Action) -> bool {
    match action {
        Action::Jump(count) => !jump(rules, &mut { at }, rules[at].level, count),
        _ => false,
    }
}

/// Over `count` rules of this level, a substack counting as one. False when there are not so many.
fn jump(rules: &[Rule], at: &mut usize, level: usize, count: usize) -> bool {
    let level_of = |at: usize| rules.get(at).map(|rule| rule.level);
    for _ in 0..count {
        if level_of(*at + 1).is_none_or(|next| next < level) {
            return false;
        }
        *at += 1;
        while level_of(*at + 1).is_some_and(|next| next > level) {
            *at += 1;
        }
    }
    true
}

/// Whether a login may rest on the success of this rule: it asks for a password or another factor, or is unknown and
/// its success ends the stack or jumps.
pub fn asks_for_login(rule: &Rule) -> bool {
    let success = rule.actions[ReturnCode::Success];
    match rule.kind() {
        ModuleKind::Password | ModuleKind::Factor => true,
        ModuleKind::Unknown => matches!(success, Action::Jump(_) | Action::Done),
        _ => false,
    }
}

/// What `pam_authenticate` returns when the modules return what `returned` gives, and which rules called one.
pub fn simulate(
    rules: &[Rule],
    mut returned: impl FnMut(usize) -> ReturnCode,
) -> (ReturnCode, Vec<usize>) {
    let mut state = SimulatorState::start();
    let mut called = Vec::new();
    while state.next < rules.len() {
        let calls = state.calls_module(rules);
        let code = if calls {
            returned(state.next)
        } else {
            ReturnCode::Success
        };
        called.extend(calls.then_some(state.next));
        state = state.after(rules, code).0;
    }
    (state.status.result(), called)
}
