//! What the rules of a stack may return on this system.

use std::path::{Path, PathBuf};

use crate::check::module_file::module_folders;
use crate::pam_stack::{Module, ModuleKind, ReturnCode, Rule, RuleTarget};
use crate::root::Root;

/// What the rules of a stack may return.
pub struct ReturnCodes<'a> {
    pub root: &'a Root,
    /// `[policy]` of the settings lets pam_ivalt return `PAM_IGNORE`, but where it has `only_after=`.
    pub tolerant: bool,
    /// pam_ivalt always returns `PAM_IGNORE`, as it does for accounts.
    pub idle: bool,
    folders: Vec<PathBuf>,
}

impl<'a> ReturnCodes<'a> {
    /// As far as the system shows it.
    pub fn new(root: &'a Root, tolerant: bool, idle: bool) -> Self {
        Self {
            root,
            tolerant,
            idle,
            folders: module_folders(root, "pam_permit.so").collect(),
        }
    }

    /// One code for each thing the rule's control field can make of its return codes, for a login that has passed these
    /// methods before.
    pub fn of(&self, rule: &Rule, passed: &[&str]) -> Vec<ReturnCode> {
        let RuleTarget::Module(module) = &rule.target else {
            return vec![ReturnCode::Success];
        };
        let effect = |code: ReturnCode| {
            let special = [ReturnCode::Success, ReturnCode::Ignore].map(|known| known == code);
            (rule.actions[code], special)
        };
        let mut chosen: Vec<ReturnCode> = Vec::new();
        for code in self.of_module(module, passed) {
            if !chosen.iter().any(|known| effect(*known) == effect(code)) {
                chosen.push(code);
            }
        }
        chosen
    }

    fn of_module(&self, module: &Module, passed: &[&str]) -> Vec<ReturnCode> {
        let ivalt = module.kind() == ModuleKind::Ivalt;
        let waits_for = module.only_after();
        if self.is_missing(module) {
            vec![ReturnCode::ModuleUnknown]
        } else if ivalt && self.idle || waits_for.is_some_and(|method| !passed.contains(&method)) {
            vec![ReturnCode::Ignore]
        } else {
            // Where the method has passed, what a policy ignores is PAM_SUCCESS.
            let may_ignore = ivalt && self.tolerant && waits_for.is_none();
            let ignored = may_ignore.then_some(ReturnCode::Ignore);
            let codes = module.return_codes().iter().copied();
            codes.chain(ignored).collect()
        }
    }

    /// Whether libpam will not find the file. A system without any folder of modules keeps them elsewhere.
    pub fn is_missing(&self, module: &Module) -> bool {
        if module.path.starts_with('/') {
            let path = module.path.replace("$ISA", ".");
            return !self.folders.is_empty() && !self.root.exists(Path::new(&path));
        }
        let has_it = |folder: &PathBuf| self.root.exists(&folder.join(&module.path));
        !self.folders.is_empty() && !self.folders.iter().any(has_it)
    }
}
