//! What a stack decides: libpam's `_pam_dispatch_aux` (`libpam/pam_dispatch.c`), step by step.
//!
//! [`State`] is what libpam knows between two steps. [`decide`] walks it along one row of answers; the doctor walks
//! it along all of them.

use super::pam_d::{Action, Code, PAM_IGNORE, PAM_PERM_DENIED, PAM_SUCCESS, Step, What};

/// What libpam answers in the place of a module it cannot load.
pub const PAM_MODULE_UNKNOWN: Code = 28;

/// What libpam thinks of a login so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Impression {
    None,
    Positive,
    Negative,
}

/// What a stack would answer if it ended here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Verdict {
    pub impression: Impression,
    pub status: Code,
}

impl Verdict {
    const START: Self = Self {
        impression: Impression::None,
        status: PAM_PERM_DENIED,
    };

    /// Success counts only where a module has said so.
    pub fn code(self) -> Code {
        match self {
            Self {
                impression: Impression::Positive,
                status,
            } => status,
            Self {
                status: PAM_SUCCESS,
                ..
            } => PAM_PERM_DENIED,
            Self { status, .. } => status,
        }
    }

    fn ok(&mut self, code: Code) {
        let open = match self.impression {
            Impression::None => true,
            Impression::Positive => self.status == PAM_SUCCESS,
            Impression::Negative => false,
        };
        if open {
            self.impression = Impression::Positive;
            self.status = code;
        }
    }

    fn bad(&mut self, code: Code) {
        if self.impression != Impression::Negative {
            self.impression = Impression::Negative;
            self.status = if code == PAM_IGNORE {
                PAM_PERM_DENIED
            } else {
                code
            };
        }
    }
}

/// Between two steps.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct State {
    /// The step that comes next; the number of steps at the end.
    pub next: usize,
    pub verdict: Verdict,
    /// The level of the step that was last.
    level: usize,
    /// What it was when each substack began, from the outermost.
    before: Vec<Verdict>,
}

/// How a step went on to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Move {
    /// To the following step.
    Along,
    /// Over some steps, or out of this level.
    Over,
}

impl State {
    /// Before the first step.
    pub fn start() -> Self {
        Self {
            next: 0,
            verdict: Verdict::START,
            level: 0,
            before: vec![Verdict::START],
        }
    }

    /// Where the step that comes next is a module, somebody must say what it answers; elsewhere libpam knows.
    pub fn is_asked(&self, steps: &[Step]) -> bool {
        matches!(steps[self.next].what, What::Module(_))
    }

    /// One step on. `code` is the module's answer.
    pub fn after(&self, steps: &[Step], code: Code) -> (Self, Move) {
        let step = &steps[self.next];
        let mut state = self.clone();
        state.enter(step.level);
        let mut at = self.next;
        match step.what {
            What::Substack => {}
            What::Broken(_) => state.obey(steps, &mut at, PAM_PERM_DENIED),
            What::Module(_) => state.obey(steps, &mut at, code),
        }
        let moved = if at == self.next {
            Move::Along
        } else {
            Move::Over
        };
        state.level = step.level;
        state.next = at + 1;
        state.forget(steps);
        (state, moved)
    }

    fn enter(&mut self, level: usize) {
        if self.level < level {
            // Substacks begin one by one, but their first lines need not be modules.
            self.before.truncate(level);
            self.before.resize(level + 1, self.verdict);
        }
    }

    /// Makes states equal that differ only in what nobody will look at any more.
    fn forget(&mut self, steps: &[Step]) {
        let level = steps.get(self.next).map_or(0, |step| step.level);
        self.before.truncate(level.min(self.level) + 1);
    }

    fn obey(&mut self, steps: &[Step], at: &mut usize, code: Code) {
        let step = &steps[*at];
        match step.actions[code] {
            Action::Ignore => {}
            Action::Ok => self.verdict.ok(code),
            Action::Done => {
                self.verdict.ok(code);
                if self.verdict.impression == Impression::Positive {
                    leave(steps, at, step.level);
                }
            }
            Action::Bad => self.verdict.bad(code),
            Action::Die => {
                self.verdict.bad(code);
                leave(steps, at, step.level);
            }
            Action::Reset => self.verdict = self.before[step.level],
            Action::Jump(count) => {
                if !jump(steps, at, step.level, count) {
                    self.verdict = Verdict {
                        impression: Impression::Negative,
                        status: PAM_PERM_DENIED,
                    };
                }
            }
        }
    }
}

/// To the last step of this level.
fn leave(steps: &[Step], at: &mut usize, level: usize) {
    while steps.get(*at + 1).is_some_and(|next| next.level >= level) {
        *at += 1;
    }
}

/// Whether a jump of the step leads beyond the end of its level; then libpam denies.
pub fn is_beyond_end(steps: &[Step], at: usize, action: Action) -> bool {
    match action {
        Action::Jump(count) => !jump(steps, &mut { at }, steps[at].level, count),
        _ => false,
    }
}

/// Over `count` steps of this level, a substack counting as one. False when there are not so many.
fn jump(steps: &[Step], at: &mut usize, level: usize, count: usize) -> bool {
    let level_of = |at: usize| steps.get(at).map(|step| step.level);
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

/// What `pam_authenticate` answers when each step answers as `answer` says, and which steps were asked.
pub fn decide(steps: &[Step], mut answer: impl FnMut(usize) -> Code) -> (Code, Vec<usize>) {
    let mut state = State::start();
    let mut called = Vec::new();
    while state.next < steps.len() {
        let asked = state.is_asked(steps);
        let code = if asked {
            answer(state.next)
        } else {
            PAM_SUCCESS
        };
        called.extend(asked.then_some(state.next));
        state = state.after(steps, code).0;
    }
    (state.verdict.code(), called)
}

#[cfg(test)]
mod tests;
