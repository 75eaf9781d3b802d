//! Root: unless `PermitRootLogin` is `yes`, sshd keeps root's answers from PAM, and lets root in by no method that asks PAM
//! (`sshpam_respond` of OpenSSH's auth-pam.c, `auth_root_allowed` of its auth.c).

use super::configuration::{Configuration, Values};
use super::{KEY_METHODS, LOCAL, METHODS, MatchScope, asks_pam, has_keys, is_vendors};
use crate::check::accounts::{self, Account};
use crate::check::context::CheckContext;
use crate::finding::{Finding, Severity};
use crate::root::Root;
use crate::{sshd_config, sshd_program};
use ivalt_core::log_line::quote_log_value;

const PERMIT: &str = "permitrootlogin";

/// Whether sshd lets this account in by what it answers to PAM.
pub fn takes_answers_of(context: &CheckContext, account: &Account) -> bool {
    if account.uid != 0 {
        return true;
    }
    let configurations = Configuration::all(context.root);
    let takes = |configuration: &Configuration| takes_them_by(context, configuration, account);
    configurations.is_empty() || configurations.iter().any(takes)
}

/// The same with one configuration.
pub(super) fn takes_them_by(
    context: &CheckContext,
    configuration: &Configuration,
    account: &Account,
) -> bool {
    let takes = |values: &Values| scope(context, configuration, values).is(PERMIT, "yes");
    account.uid != 0
        || scopes(context.root, configuration, account)
            .iter()
            .any(takes)
}

/// Accounts of root's that have a key, and get in neither with it nor with a token.
pub(super) fn barred(context: &CheckContext, configuration: &Configuration) -> Vec<Finding> {
    let accounts = accounts::local(context.root).into_iter();
    let roots = accounts.filter(|account| account.uid == 0 && account.has_a_shell());
    roots
        .filter_map(|account| barred_account(context, configuration, &account))
        .collect()
}

fn barred_account(
    context: &CheckContext,
    configuration: &Configuration,
    account: &Account,
) -> Option<Finding> {
    let scopes = scopes(context.root, configuration, account);
    let mut scopes = scopes
        .iter()
        .map(|values| scope(context, configuration, values));
    let everywhere = scopes.next()?;
    let no_way_in = |scope: MatchScope| scope.is(PERMIT, "no") || scope.bars_answers_of_root();
    let barred = everywhere.bars_answers_of_root() && scopes.all(no_way_in);
    let reported = barred && everywhere.root_has_key(account);
    reported.then(|| everywhere.root_barred(account))
}

fn scope<'a>(
    context: &'a CheckContext,
    configuration: &'a Configuration,
    values: &'a Values,
) -> MatchScope<'a> {
    MatchScope {
        context,
        configuration,
        values,
        prefix: String::new(),
    }
}

/// What counts for this account wherever it logs in from, then what may count besides, by blocks of which this cannot be
/// said.
fn scopes(root: &Root, configuration: &Configuration, account: &Account) -> Vec<Values> {
    let meets = |one: &String| meets(root, account, one);
    let all = configuration.blocks().iter().flatten();
    let met: Vec<_> = all
        .filter(|one| meets(one) == Some(true))
        .cloned()
        .collect();
    let blocks = configuration.blocks().iter();
    let possible = blocks.filter(|block| {
        let excluded = block.iter().any(|one| meets(one) == Some(false));
        !excluded && block.iter().any(|one| meets(one).is_none())
    });
    let possible = possible.map(|block| configuration.meeting(&[&met[..], block].concat()));
    std::iter::once(configuration.meeting(&met))
        .chain(possible)
        .collect()
}

/// Whether the account meets a criterion of `Match`; `None` where that depends on more than its name and its groups.
fn meets(root: &Root, account: &Account, criterion: &str) -> Option<bool> {
    let (keyword, list) = criterion.split_once(' ')?;
    match keyword.to_ascii_lowercase().as_str() {
        "user" => {
            let is = |pattern: &str| sshd_config::matches(pattern, &account.name);
            Some(is_in(list, is))
        }
        "group" if !list.contains(['*', '?']) => {
            let local = accounts::local(root);
            let has = |group: &str| accounts::members(root, &local, group).contains(&account.name);
            Some(is_in(list, has))
        }
        _ => None,
    }
}

/// A list of patterns as sshd takes it: what a `!` excludes stays out whatever else is there.
fn is_in(list: &str, is: impl Fn(&str) -> bool) -> bool {
    let excludes = |pattern: &str| pattern.strip_prefix('!').is_some_and(&is);
    let includes = |pattern: &str| !pattern.starts_with('!') && is(pattern);
    !list.split(',').any(excludes) && list.split(',').any(includes)
}

impl MatchScope<'_> {
    /// A list without PAM lets root in by its key.
    fn bars_answers_of_root(&self) -> bool {
        let lists = self.method_lists();
        let every_list_asks = lists
            .iter()
            .all(|list| list.iter().any(|method| asks_pam(method)));
        let permits_others = ["yes", "no"].iter().all(|word| !self.is(PERMIT, word));
        permits_others && !lists.is_empty() && every_list_asks && !self.is("usepam", "no")
    }

    /// Without one, root did not get in before. Keys by a command or by certificates are seldom root's.
    fn root_has_key(&self, account: &Account) -> bool {
        let mut files = self.value("authorizedkeysfile").split_whitespace();
        files.any(|file| has_keys(self.context.root, account, file))
    }

    fn root_barred(&self, account: &Account) -> Finding {
        let name = quote_log_value(account.name.as_bytes());
        let what = format!(
            "PermitRootLogin {}: sshd keeps the answers of {name} from PAM, and each list of AuthenticationMethods asks PAM: \
             {name}, who has a key, does not get in by ssh, whatever the key and the token, enrolled or not",
            self.value(PERMIT)
        );
        let id = "root-barred-by-sshd";
        let found = self.finding(Severity::Warning, id, PERMIT, &what, "");
        let reload = sshd_program::reload_command(self.context.root);
        let fix = format!(
            "log in as another user, and use sudo; then accept this: ivaltctl check --accept {id} --because TEXT\n\
             or, for {name} with key and token: ivaltctl users add {name} MOBILE; write {}, then: sshd -t && {reload}\n\
             Match User {name}\n    PermitRootLogin yes\n    {KEY_METHODS}\n\
             or, in place of these two lines, AuthenticationMethods publickey: then the key is the only factor, and whoever has \
             it is root without iVALT",
            self.place_of_block()
        );
        let fix = Finding { fix, ..found };
        fix.concerning([&account.name])
    }

    /// Of the blocks that a connection meets, the first one counts.
    fn place_of_block(&self) -> String {
        let global = &self.configuration.global;
        let of_block = [PERMIT, METHODS].into_iter().find_map(|keyword| {
            let place = self.location(keyword)?;
            let outside = global
                .get(keyword)
                .and_then(|value| value.location.as_ref());
            (outside != Some(place)).then_some(&place.0)
        });
        let main = &self.configuration.main;
        match of_block {
            Some(file) => format!("in {}, above every other Match", file.display()),
            None if is_vendors(main) => format!("in {LOCAL}"),
            None => format!("at the end of {}", main.display()),
        }
    }
}
