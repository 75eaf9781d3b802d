//! What an entry says of a person.

use std::time::{SystemTime, UNIX_EPOCH};

use super::ldif::Entry;
use crate::users::sync::person::Person;
use crate::users::sync::settings::Map;
use crate::utc::utc;

/// The attributes that tell who may not log in, whose user id is 0, and what is no person.
pub const ATTRIBUTES: [&str; 8] = [
    "objectClass",
    "uidNumber",
    "userAccountControl",
    "accountExpires",
    "nsAccountLock",
    "krbPrincipalExpiration",
    "pwdAccountLockedTime",
    "shadowExpire",
];

/// `None` for a group, which "member of, in chain" brings along, and for a computer, which in AD is a user as well.
pub fn person(entry: &Entry, map: &Map, now: SystemTime) -> Option<Person> {
    if ["group", "computer"]
        .iter()
        .any(|class| entry.has("objectClass", class))
    {
        return None;
    }
    let values =
        |name: &String| -> Vec<Vec<u8>> { entry.values(name).map(<[u8]>::to_vec).collect() };
    let mut mobiles = map.mobile.iter().map(values);
    Some(Person {
        place: entry.dn.clone(),
        names: values(&map.name),
        mobiles: mobiles
            .find(|values| !values.is_empty())
            .unwrap_or_default(),
        disabled: is_disabled(entry, now),
        is_uid_0: entry.values("uidNumber").any(|id| number(id) == Some(0)),
    })
}

/// Whether it is a user of AD, each of whom has userAccountControl, and does not show it; or may be one, and hides that, too.
pub fn hides_its_state(entry: &Entry) -> bool {
    let may_be_user =
        entry.has("objectClass", "user") || entry.values("objectClass").next().is_none();
    may_be_user && entry.values("userAccountControl").next().is_none()
}

/// A value that cannot be understood may have been meant to lock somebody out.
fn is_disabled(entry: &Entry, now: SystemTime) -> bool {
    let any = |name: &str, ends: &dyn Fn(&[u8]) -> bool| entry.values(name).any(ends);
    any("userAccountControl", &|flags| {
        number(flags).is_none_or(|flags| flags & ACCOUNT_DISABLE != 0)
    }) || any("accountExpires", &|time| file_time_is_over(time, now))
        || any("nsAccountLock", &|locked| {
            !locked.trim_ascii().eq_ignore_ascii_case(b"false")
        })
        || any("krbPrincipalExpiration", &|time| {
            generalized_time_is_over(time, now)
        })
        || entry.has("pwdAccountLockedTime", LOCKED_FOR_GOOD)
        || any("shadowExpire", &|day| day_is_over(day, now))
}

/// `UF_ACCOUNTDISABLE`
const ACCOUNT_DISABLE: i64 = 2;
/// slapo-ppolicy(5): until an administrator unlocks the account. Any other time ends by itself.
const LOCKED_FOR_GOOD: &str = "000001010000Z";
/// From 1601 to 1970.
const FILE_TIME_EPOCH: u64 = 11_644_473_600;

fn number(value: &[u8]) -> Option<i64> {
    std::str::from_utf8(value).ok()?.trim().parse().ok()
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs()
}

/// AD's `accountExpires`: units of 100 ns since 1601; 0 and the largest number mean never.
fn file_time_is_over(value: &[u8], now: SystemTime) -> bool {
    match number(value).map(u64::try_from) {
        Some(Ok(0)) => false,
        Some(Ok(time)) => time / 10_000_000 <= seconds(now) + FILE_TIME_EPOCH,
        _ => true,
    }
}

/// `20270101000000Z`, with whatever fraction of a second.
fn generalized_time_is_over(value: &[u8], now: SystemTime) -> bool {
    let digits = value
        .iter()
        .take_while(|byte| byte.is_ascii_digit())
        .count();
    if digits != 14 || value.last() != Some(&b'Z') {
        return true;
    }
    let now: Vec<u8> = utc(now).bytes().filter(u8::is_ascii_digit).collect();
    value[..digits] <= *now
}

/// shadow(5): days since 1970, as pam_unix has it; -1 means never.
fn day_is_over(value: &[u8], now: SystemTime) -> bool {
    let today = i64::try_from(seconds(now) / 86400).unwrap_or_default();
    number(value).is_none_or(|day| day != -1 && day <= today)
}

#[cfg(test)]
mod tests {
    use super::super::ldif;
    use super::*;
    use std::time::Duration;

    /// 2026-11-26T06:20:00Z
    fn now() -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(1_795_674_000)
    }

    fn read(lines: &str) -> Option<Person> {
        let map = Map {
            mobile: vec!["employeeNumber".into(), "mobile".into()],
            ..Map::default()
        };
        let entries = ldif::parse(format!("dn: cn=a\n{lines}\n\n").as_bytes()).unwrap();
        person(&entries[0], &map, now())
    }

    #[test]
    fn a_person() {
        let person =
            read("UID: alice\nuid: al\nmobile: 1\nEMPLOYEENUMBER: 2\nemployeenumber: 3").unwrap();
        let expected = Person {
            place: "cn=a".into(),
            names: vec![b"alice".to_vec(), b"al".to_vec()],
            mobiles: vec![b"2".to_vec(), b"3".to_vec()],
            disabled: false,
            is_uid_0: false,
        };
        assert_eq!(person, expected);
        assert_eq!(read("mobile: 1").unwrap().mobiles, [b"1"]);
        assert_eq!(
            read("cn: a"),
            Some(Person {
                place: "cn=a".into(),
                ..Person::default()
            })
        );
        for (id, is_0) in [("0", true), (" 00", true), ("1000", false), ("x", false)] {
            assert_eq!(
                read(&format!("uidNumber: {id}")).unwrap().is_uid_0,
                is_0,
                "{id}"
            );
        }
    }

    #[test]
    fn groups_and_computers_are_no_people() {
        assert_eq!(read("objectClass: top\nobjectClass: group\nuid: g"), None);
        assert_eq!(
            read("objectClass: user\nobjectClass: Computer\nuid: c$"),
            None
        );
        assert!(read("objectClass: posixGroup").is_some() && read("objectClass: user").is_some());
    }

    #[test]
    fn a_user_of_ad_shows_its_state() {
        for (lines, hides) in [
            ("objectClass: user", true),
            ("objectClass: user\nuserAccountControl: 512", false),
            ("objectClass: contact", false),
            ("sAMAccountName: alice", true),
        ] {
            let entries = ldif::parse(format!("dn: cn=a\n{lines}\n\n").as_bytes()).unwrap();
            assert_eq!(hides_its_state(&entries[0]), hides, "{lines}");
        }
    }

    #[test]
    fn who_may_not_log_in() {
        for (line, disabled) in [
            ("userAccountControl: 512", false),
            ("userAccountControl: 514", true),
            ("userAccountControl: 66050", true),
            ("userAccountControl: 66048", false),
            ("userAccountControl: 0x202", true),
            ("accountExpires: 0", false),
            ("accountExpires: 9223372036854775807", false),
            ("accountExpires: 134401475990000000", true),
            ("accountExpires: 134401476000000000", true),
            ("accountExpires: 134401476010000000", false),
            ("accountExpires: -1", true),
            ("accountExpires: x", true),
            ("nsAccountLock: TRUE", true),
            ("nsAccountLock: true", true),
            ("nsAccountLock: FALSE", false),
            ("nsAccountLock: false ", false),
            ("nsAccountLock: 1", true),
            ("nsAccountLock:", true),
            ("krbPrincipalExpiration: 20261126062000Z", true),
            ("krbPrincipalExpiration: 20261126062001Z", false),
            ("krbPrincipalExpiration: 20261126062001.5Z", false),
            ("krbPrincipalExpiration: 20251231235959Z", true),
            ("krbPrincipalExpiration: 2030", true),
            ("pwdAccountLockedTime: 000001010000Z", true),
            ("pwdAccountLockedTime: 20261126055500Z", false),
            ("shadowExpire: -1", false),
            ("shadowExpire: 20783", true),
            ("shadowExpire: 20784", false),
            ("shadowExpire: 0", true),
            ("shadowExpire:", true),
        ] {
            assert_eq!(read(line).unwrap().disabled, disabled, "{line}");
        }
    }
}
