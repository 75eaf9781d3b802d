//! Control fields: what a module's return code does to its stack; pam.conf(5).

use std::fmt;
use std::ops::Index;

/// PAM's return codes, in the order of their numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ReturnCode {
    Success,
    OpenErr,
    SymbolErr,
    ServiceErr,
    SystemErr,
    BufErr,
    PermDenied,
    AuthErr,
    CredInsufficient,
    AuthinfoUnavail,
    UserUnknown,
    Maxtries,
    NewAuthtokReqd,
    AcctExpired,
    SessionErr,
    CredUnavail,
    CredExpired,
    CredErr,
    NoModuleData,
    ConvErr,
    AuthtokErr,
    AuthtokRecoverErr,
    AuthtokLockBusy,
    AuthtokDisableAging,
    TryAgain,
    Ignore,
    Abort,
    AuthtokExpired,
    ModuleUnknown,
    BadItem,
    ConvAgain,
    Incomplete,
}

/// Each code and its name in a control field, in the order in which libpam compares.
const NAMES: [(ReturnCode, &str); 32] = [
    (ReturnCode::Success, "success"),
    (ReturnCode::OpenErr, "open_err"),
    (ReturnCode::SymbolErr, "symbol_err"),
    (ReturnCode::ServiceErr, "service_err"),
    (ReturnCode::SystemErr, "system_err"),
    (ReturnCode::BufErr, "buf_err"),
    (ReturnCode::PermDenied, "perm_denied"),
    (ReturnCode::AuthErr, "auth_err"),
    (ReturnCode::CredInsufficient, "cred_insufficient"),
    (ReturnCode::AuthinfoUnavail, "authinfo_unavail"),
    (ReturnCode::UserUnknown, "user_unknown"),
    (ReturnCode::Maxtries, "maxtries"),
    (ReturnCode::NewAuthtokReqd, "new_authtok_reqd"),
    (ReturnCode::AcctExpired, "acct_expired"),
    (ReturnCode::SessionErr, "session_err"),
    (ReturnCode::CredUnavail, "cred_unavail"),
    (ReturnCode::CredExpired, "cred_expired"),
    (ReturnCode::CredErr, "cred_err"),
    (ReturnCode::NoModuleData, "no_module_data"),
    (ReturnCode::ConvErr, "conv_err"),
    (ReturnCode::AuthtokErr, "authtok_err"),
    (ReturnCode::AuthtokRecoverErr, "authtok_recover_err"),
    (ReturnCode::AuthtokLockBusy, "authtok_lock_busy"),
    (ReturnCode::AuthtokDisableAging, "authtok_disable_aging"),
    (ReturnCode::TryAgain, "try_again"),
    (ReturnCode::Ignore, "ignore"),
    (ReturnCode::Abort, "abort"),
    (ReturnCode::AuthtokExpired, "authtok_expired"),
    (ReturnCode::ModuleUnknown, "module_unknown"),
    (ReturnCode::BadItem, "bad_item"),
    (ReturnCode::ConvAgain, "conv_again"),
    (ReturnCode::Incomplete, "incomplete"),
];

/// `PAM_AUTH_ERR` and its like, as libpam's header spells them.
impl fmt::Display for ReturnCode {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let (_, name) = NAMES[*self as usize];
        write!(f, "PAM_{}", name.to_ascii_uppercase())
    }
}

/// What a return code of a module does to its stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    Ignore,
    Ok,
    Done,
    Bad,
    Die,
    Reset,
    /// Skips so many of the rules that follow on this level.
    Jump(usize),
}

/// An action for every return code.
#[derive(Clone, Debug)]
pub struct Actions([Action; NAMES.len()]);

impl Index<ReturnCode> for Actions {
    type Output = Action;

    fn index(&self, code: ReturnCode) -> &Action {
        &self.0[code as usize]
    }
}

impl Actions {
    /// What libpam does where it cannot read the control field: every code is a failure, success too.
    pub const BAD: Self = Self([Action::Bad; NAMES.len()]);

    /// The largest number of rules that one of them skips.
    pub fn longest_jump(&self) -> Option<usize> {
        let jumps = self.0.iter().filter_map(|action| match action {
            Action::Jump(count) => Some(*count),
            _ => None,
        });
        jumps.max()
    }

    fn keyword(success: Action, other: Action) -> Self {
        let mut actions = Self([other; NAMES.len()]);
        actions.0[ReturnCode::Success as usize] = success;
        actions.0[ReturnCode::NewAuthtokReqd as usize] = success;
        actions.0[ReturnCode::Ignore as usize] = Action::Ignore;
        actions
    }
}

/// The actions of a control field.
///
/// # Errors
/// Why libpam cannot read it; its actions are then [`Actions::BAD`].
pub fn parse(control: &str) -> Result<Actions, &'static str> {
    match control.to_ascii_lowercase().as_str() {
        "required" => Ok(Actions::keyword(Action::Ok, Action::Bad)),
        "requisite" => Ok(Actions::keyword(Action::Ok, Action::Die)),
        "optional" => Ok(Actions::keyword(Action::Ok, Action::Ignore)),
        "sufficient" => Ok(Actions::keyword(Action::Done, Action::Ignore)),
        _ => bracketed(control),
    }
}

/// `success=ok default=bad`. A default is for the codes not named so far; the others stay `bad`.
fn bracketed(control: &str) -> Result<Actions, &'static str> {
    let mut actions = [None; NAMES.len()];
    let mut text = control.trim_start_matches(is_space);
    while !text.is_empty() {
        let (code, rest) = return_code(text)?;
        let rest = rest.trim_start_matches(is_space);
        let rest = rest.strip_prefix('=').ok_or("\"=\" is missing")?;
        let (action, rest) = action(rest.trim_start_matches(is_space))?;
        match code {
            Some(code) => actions[code as usize] = Some(action),
            None => actions.iter_mut().for_each(|any| {
                any.get_or_insert(action);
            }),
        }
        text = rest.trim_start_matches(is_space);
    }
    Ok(Actions(actions.map(|action| action.unwrap_or(Action::Bad))))
}

/// isspace(3)
fn is_space(letter: char) -> bool {
    matches!(letter, ' ' | '\t' | '\n' | '\r' | '\x0b' | '\x0c')
}

/// A code, or `default`. libpam compares prefixes.
fn return_code(text: &str) -> Result<(Option<ReturnCode>, &str), &'static str> {
    let mut named = NAMES
        .iter()
        .filter_map(|(code, name)| Some((*code, text.strip_prefix(name)?)));
    if let Some((code, rest)) = named.next() {
        return Ok((Some(code), rest));
    }
    match text.strip_prefix("default") {
        Some(rest) => Ok((None, rest)),
        None => Err("a name of a return code is missing"),
    }
}

fn action(text: &str) -> Result<(Action, &str), &'static str> {
    let words = [
        ("ignore", Action::Ignore),
        ("ok", Action::Ok),
        ("done", Action::Done),
        ("bad", Action::Bad),
        ("die", Action::Die),
        ("reset", Action::Reset),
    ];
    for (word, action) in words {
        if let Some(rest) = text.strip_prefix(word) {
            return Ok((action, rest));
        }
    }
    let end = text.find(|letter: char| !letter.is_ascii_digit());
    let (digits, rest) = text.split_at(end.unwrap_or(text.len()));
    match digits.parse::<i32>() {
        Ok(0) => Err("a jump must skip at least one rule"),
        Ok(count) => Ok((Action::Jump(usize::try_from(count).unwrap_or(0)), rest)),
        Err(_) => Err("an action is missing"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_in_the_order_of_the_numbers() {
        for (number, (code, _)) in NAMES.iter().enumerate() {
            assert_eq!(*code as usize, number, "{code}");
        }
        assert_eq!(ReturnCode::AuthErr.to_string(), "PAM_AUTH_ERR");
    }
}
