//! What a failure of ldapsearch means, in words for an administrator, and what to do about it.

use super::program::Failed;
use crate::users::sync::settings::{Bind, Ldap};

/// Result codes of LDAP, RFC 4511 appendix A, that ldapsearch has as exit status.
const STRONGER_AUTH_REQUIRED: i32 = 8;
const BUSY: i32 = 51;
const UNAVAILABLE: i32 = 52;

/// Whether another server may be asked instead: this one was not reached, or says so itself. Wrong credentials are no
/// reason: they would be wrong there, too, and count towards a lock-out.
pub fn is_unreachable(failed: &Failed) -> bool {
    match failed {
        Failed::TimedOut | Failed::Status(BUSY | UNAVAILABLE, _) => true,
        Failed::Status(_, words) => is_not_contacted(words),
        Failed::NotRun(_) | Failed::TooMuch => false,
    }
}

/// `LDAP_SERVER_DOWN`, `LDAP_CONNECT_ERROR` of libldap, which are no result codes.
pub fn is_not_contacted(words: &str) -> bool {
    words.contains(" (-1)") || words.contains(" (-11)")
}

/// In words.
pub fn words(failed: &Failed, settings: &Ldap) -> String {
    match failed {
        Failed::NotRun(why) => why.clone(),
        Failed::TimedOut => format!(
            "no complete answer within ldap.timeout_seconds ({} s); if it only takes long, raise that",
            settings.timeout.as_secs()
        ),
        Failed::TooMuch => "more than 512 MiB came: narrow ldap.base or ldap.filter".to_owned(),
        Failed::Status(code, words) => of_status(*code, &said(words), settings),
    }
}

/// The lines of ldapsearch as one.
pub fn said(words: &str) -> String {
    let lines = words.lines().map(str::trim).filter(|line| !line.is_empty());
    let lines = lines.map(|line| line.replace("additional info: ", ""));
    let said = lines.collect::<Vec<_>>().join(", ");
    said.chars().take(500).collect()
}

fn of_status(code: i32, said: &str, settings: &Ldap) -> String {
    if said.contains("(-7)") {
        return format!(
            "ldap.filter is no filter ({said}); see RFC 4515: {}",
            settings.filter
        );
    }
    let what = match code {
        11 if said.contains("pagedResults") => {
            "the server does not let this account ask page by page; let the directory's administrator allow that"
        }
        3 | 4 | 11 => {
            "only a part of the entries came, because of a limit of the server; lower ldap.page, or let the directory's \
             administrator raise the limits of this account"
        }
        STRONGER_AUTH_REQUIRED | 13 => {
            "the server demands encryption; use ldaps://, or starttls = true with ldap://"
        }
        10 => "ldap.base is on another server; name that one in ldap.uri",
        32 => "ldap.base does not exist there, or this account may not see it",
        34 => "ldap.base or ldap.bind_dn is no DN",
        48 | 53 => "the server refuses to do that",
        49 => return bind_refused(said, settings),
        50 => {
            "this account may not do that; let the directory's administrator grant it the right to read"
        }
        BUSY | UNAVAILABLE => "the server is busy or going down",
        // What GnuTLS makes of a connection that ends within a record.
        80 => "the connection broke off before all entries had come",
        _ if is_not_contacted(said) => "the connection broke off before all entries had come",
        _ => return of_sasl(said, settings),
    };
    format!("{what} ({said})")
}

/// What AD's number after `data` means.
const OF_AD: [(&str, &str); 8] = [
    ("data 525", "there is no such account"),
    ("data 52e", "the password is wrong"),
    ("data 530", "the account may not log in at this time"),
    ("data 531", "the account may not log in from here"),
    ("data 532", "the account's password has expired"),
    ("data 533", "the account is disabled"),
    ("data 701", "the account has expired"),
    ("data 775", "the account is locked"),
];

fn bind_refused(said: &str, settings: &Ldap) -> String {
    let of_ad = OF_AD.iter().find(|(number, _)| said.contains(number));
    let must_change = said.contains("data 773");
    let why = match of_ad {
        Some((_, why)) => why,
        None if must_change => "the account must change its password first",
        None => "invalid credentials",
    };
    match &settings.bind {
        Bind::Simple { dn, password_file } => format!(
            "the server refuses ldap.bind_dn {dn} with the password in {}: {why} ({said})",
            password_file.display()
        ),
        _ => of_sasl(said, settings),
    }
}

fn of_sasl(said: &str, settings: &Ldap) -> String {
    match &settings.bind {
        Bind::Gssapi { .. } if said.contains("No worthy mechs") => format!(
            "Kerberos is missing here ({said}); install it: apt install libsasl2-modules-gssapi-mit (Debian, Ubuntu), \
             dnf install cyrus-sasl-gssapi (Fedora, RHEL), or zypper install cyrus-sasl-gssapi (SUSE)"
        ),
        Bind::Gssapi { keytab } if said.contains("GSSAPI") => format!(
            "Kerberos: {said}; compare the keys, the clock and the realm: klist -kte {}; timedatectl; cat /etc/krb5.conf",
            keytab.display()
        ),
        Bind::External(_) if said.contains("Inappropriate") || said.contains("Invalid") => {
            format!(
                "the server does not know this certificate, or this user of the socket ({said})"
            )
        }
        _ if said.is_empty() => "ldapsearch failed without a word".to_owned(),
        _ => said.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::users::sync::settings::DirectorySettings;
    use std::path::Path;

    fn settings(bind: &str) -> Ldap {
        let text =
            format!("map.mobile = [\"m\"]\n[ldap]\nuri = \"ldaps://h\"\nbase = \"dc=x\"\n{bind}");
        let settings = DirectorySettings::parse(Path::new("/d"), &text).unwrap();
        settings.ldap.unwrap()
    }

    #[test]
    fn only_who_was_not_reached_is_passed_over() {
        let status = |code, words: &str| Failed::Status(code, words.into());
        for (failed, expected) in [
            (
                status(
                    255,
                    "ldap_sasl_bind(SIMPLE): Can't contact LDAP server (-1)\n",
                ),
                true,
            ),
            (status(1, "ldap_start_tls: Connect error (-11)\n"), true),
            (status(52, "ldap_bind: Server is unavailable (52)"), true),
            (status(51, "ldap_bind: Server is busy (51)"), true),
            (Failed::TimedOut, true),
            (status(49, "ldap_bind: Invalid credentials (49)"), false),
            (
                status(254, "ldap_sasl_interactive_bind: Local error (-2)"),
                false,
            ),
            (Failed::TooMuch, false),
            (Failed::NotRun("x".into()), false),
        ] {
            assert_eq!(is_unreachable(&failed), expected, "{failed:?}");
        }
    }

    #[test]
    fn each_failure_says_what_to_do() {
        let simple = settings("bind_dn = \"cn=s\"\npassword_file = \"/p\"");
        let gssapi = settings("bind = \"gssapi\"\nkeytab = \"/k\"");
        let external = settings("bind = \"external\"\ncert_file = \"/c\"\nkey_file = \"/k\"");
        let refused = "ldap_bind: Invalid credentials (49)\n\tadditional info: 80090308: LdapErr: DSID-0C090439, comment: AcceptSecurityContext error, data 775, v4563\n";
        for (settings, code, words, begin) in [
            (
                &simple,
                49,
                "ldap_bind: Invalid credentials (49)\n",
                "the server refuses ldap.bind_dn cn=s with the password in /p: invalid credentials (ldap_bind: Invalid credentials (49))",
            ),
            (
                &simple,
                49,
                refused,
                "the server refuses ldap.bind_dn cn=s with the password in /p: the account is locked (ldap_bind: Invalid credentials (49), 80090308: LdapErr:",
            ),
            (
                &simple,
                4,
                "Size limit exceeded (4)",
                "only a part of the entries came",
            ),
            (
                &simple,
                11,
                "Administrative limit exceeded (11)",
                "only a part of the entries came",
            ),
            (
                &simple,
                8,
                "ldap_bind: Strong(er) authentication required (8)",
                "the server demands encryption; use ldaps://",
            ),
            (
                &simple,
                32,
                "No such object (32)",
                "ldap.base does not exist there",
            ),
            (
                &simple,
                249,
                "ldap_search_ext: Bad search filter (-7)",
                "ldap.filter is no filter (ldap_search_ext: Bad search filter (-7)); see RFC 4515: (objectClass=person)",
            ),
            (
                &simple,
                255,
                "ldap_result: Can't contact LDAP server (-1)",
                "the connection broke off before all entries had come (ldap_result",
            ),
            (
                &simple,
                80,
                "ldap_result: Other (80)",
                "the connection broke off before all entries had come (ldap_result",
            ),
            (&simple, 7, "something", "something"),
            (&simple, 1, " \n", "ldapsearch failed without a word"),
            (
                &gssapi,
                250,
                "ldap_sasl_interactive_bind: Unknown authentication method (-6)\n\tadditional info: SASL(-4): no mechanism available: No worthy mechs found",
                "Kerberos is missing here (",
            ),
            (
                &gssapi,
                254,
                "ldap_sasl_interactive_bind: Local error (-2)\n\tadditional info: SASL(-1): generic failure: GSSAPI Error: x",
                "Kerberos: ldap_sasl_interactive_bind: Local error (-2), SASL(-1): generic failure: GSSAPI Error: x; compare the keys, the clock and the realm: klist -kte /k;",
            ),
            (
                &external,
                48,
                "ldap_sasl_interactive_bind: Inappropriate authentication (48)",
                "the server refuses to do that (ldap_sasl",
            ),
            (
                &external,
                49,
                "Invalid credentials (49)",
                "the server does not know this certificate",
            ),
        ] {
            let found = super::words(&Failed::Status(code, words.into()), settings);
            assert!(found.starts_with(begin), "{found}");
        }
    }
}
