//! The PAM stacks of a system: the one reader of pam.d, the one table of modules, and what libpam makes of a stack.
//!
//! | module | what it does |
//! | --- | --- |
//! | [`reader`] | files of pam.d into the rules of a service, as libpam reads them |
//! | [`lines`] | the text of such a file into lines and words |
//! | [`control`] | control fields, return codes and actions |
//! | [`faults`] | what libpam cannot read |
//! | [`modules`] | what each known module is for, and what it may return |
//! | [`simulator`] | what libpam decides when the modules of a stack return this or that |

mod control;
mod faults;
mod lines;
mod modules;
mod reader;
mod simulator;

pub use control::{Action, ReturnCode};
pub use faults::{Ambiguity, AmbiguityKind, Fault, LoadError, LoadErrorKind, carriage_return};
pub use lines::{extent, is_continued};
pub use modules::{Module, ModuleKind};
pub use reader::{
    FOLDERS, Include, Location, OTHER, PAM_CONF, PAM_D, Rule, RuleTarget, RuleType, Service,
    is_include_file, is_service_name, ivalt_rules, read, service_file, service_names,
};
pub use simulator::{
    Impression, SimulatorState, StackStatus, Transition, asks_for_login, is_beyond_end, simulate,
};

/// Names under which one program calls PAM: the usual one, the other, and the command that uses the other.
pub const ALIAS_SERVICES: [(&str, &str, &str); 2] =
    [("su", "su-l", "su -"), ("sudo", "sudo-i", "sudo -i")];

#[cfg(test)]
mod tests;
