//! Who called the tool.

use std::fs;

use nix::unistd::{Uid, User, getuid};

/// `/proc/self/loginuid` of a process that began with no login: (uid_t)-1.
const NO_LOGIN: u32 = u32::MAX;

/// The login name of whoever called the tool, also through sudo or su; the number where it has no name.
///
/// It is the login user id that pam_loginuid(8) has set at the login, which only root can change; `SUDO_USER` would be
/// whatever the environment says. Without a login (a service, a container) it is the user of this process, so root.
pub fn caller() -> String {
    let login = fs::read_to_string("/proc/self/loginuid").ok();
    let uid = login.and_then(|text| login_uid(&text)).unwrap_or(getuid());
    let user = User::from_uid(uid).ok().flatten();
    user.map_or_else(|| uid.to_string(), |user| user.name)
}

fn login_uid(text: &str) -> Option<Uid> {
    let uid = text.trim().parse().ok()?;
    (uid != NO_LOGIN).then_some(Uid::from_raw(uid))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_that_never_was_is_none() {
        assert_eq!(login_uid("1000\n"), Some(Uid::from_raw(1000)));
        assert_eq!(login_uid("0"), Some(Uid::from_raw(0)));
        assert_eq!(login_uid("4294967295"), None);
        assert_eq!(login_uid(""), None);
    }
}
