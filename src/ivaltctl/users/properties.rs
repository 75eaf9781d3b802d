//! What must hold for every change of every file, in whichever form it is written.

use std::collections::HashSet;
use std::path::Path;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use super::Entry;
use super::edit::{self, NewEntry, quoted_key};
use super::entries::read_all;
use super::snapshot::{Selection, Snapshot};
use super::spans::Spans;
use ivalt_core::settings::MobileFormat;
use ivalt_core::trusted_file::Trust;
use ivalt_core::users::look_up;

const NAMES: [&str; 10] = [
    "alice",
    "bob",
    "first.last",
    "DOM\\x",
    "a b",
    "m\u{fc}ller",
    "mobile",
    "users",
    "42",
    "first",
];

/// How an entry may be written; the last ones are bad.
fn entry(name: &str, number: u32, form: usize) -> Vec<String> {
    let (key, mobile) = (quoted_key(name), format!("+1415555{number:04}"));
    let forms: Vec<Vec<String>> = vec![
        vec![format!("{key} = \"{mobile}\"")],
        vec![format!("{key}='{mobile}'")],
        vec![format!(
            "{key} = {{ mobile = \"{mobile}\", enabled = false }}"
        )],
        vec![format!("{key} = {{enabled=true,mobile='{mobile}'}}")],
        vec![format!("{key}.mobile = '{mobile}'")],
        vec![
            format!("{key}.mobile = '{mobile}'"),
            format!("{key} . enabled = false"),
        ],
        vec![format!("{key} = {number}")],
        vec![format!("{key} = ['{mobile}', {{ mobile = '{mobile}' }}]")],
        vec![format!("{key} = '{mobile}'"), format!("{key} = '{mobile}'")],
        vec![format!("{key}.other = '{mobile}'")],
        vec![format!(
            "{key} = {{ mobile = '{mobile}', note = {{ a = [1, 2] }} }}"
        )],
    ];
    forms[form % forms.len()].clone()
}

fn lines(users: &[(&str, usize)], prefix: &str, comment: &str) -> Vec<String> {
    let entries = users.iter().enumerate().flat_map(|(number, (name, form))| {
        let number = u32::try_from(number).unwrap();
        entry(name, number, *form)
    });
    entries
        .map(|entry| format!("{prefix}{entry}{comment}"))
        .collect()
}

fn tables(users: &[(&str, usize)]) -> Vec<String> {
    let table = |(number, (name, form)): (usize, &(&str, usize))| {
        let enabled = ["", "enabled = false", "# enabled", "enabled = 3"][form % 4];
        format!(
            "\n# of {number}\n[users.{}]\nmobile = '+1415556{number:04}'\n{enabled}",
            quoted_key(name)
        )
    };
    users.iter().enumerate().map(table).collect()
}

/// A file in one of the documented forms, with the names in it.
fn file() -> impl Strategy<Value = String> {
    let users = subsequence(NAMES.to_vec(), 0..=NAMES.len()).prop_shuffle();
    let forms = vec(0usize..20, NAMES.len());
    let style = (
        0usize..4,
        0usize..=10,
        select(vec!["", " # said", "\t"]),
        any::<bool>(),
        any::<bool>(),
        any::<bool>(),
    );
    (users, forms, style).prop_map(|(names, forms, (style, split, comment, crlf, bom, end))| {
        let users: Vec<(&str, usize)> = names.into_iter().zip(forms).collect();
        // TOML lets no table be added to `users = {…}`.
        let split = if style < 2 { split } else { users.len() };
        let (first, rest) = users.split_at(split.min(users.len()));
        let mut text = vec!["# head".to_owned()];
        match style {
            0 => text.push("[users] # all".to_owned()),
            1 => {}
            2 => text.push(format!("users = {{ {} }}", lines(first, "", "").join(", "))),
            _ => text.push(format!(
                "users = {{\n  {},\n}}",
                lines(first, "", "").join(",\n  ")
            )),
        }
        match style {
            0 => text.extend(lines(first, "  ", comment)),
            1 => text.extend(lines(first, "users.", comment)),
            _ => {}
        }
        text.extend(tables(rest));
        let mut text = text.join("\n").replace("{\n  ,\n", "{\n");
        if end {
            text.push('\n');
        }
        if crlf {
            text = text.replace('\n', "\r\n");
        }
        if bom { format!("\u{feff}{text}") } else { text }
    })
}

/// All users but `name`; lines may have moved.
fn others(text: &str, name: &str) -> Vec<(String, String)> {
    let users = read_all(Path::new("users.toml"), text, MobileFormat::E164)
        .unwrap_or_else(|why| panic!("{why}: {text}"));
    let others = users.iter().filter(|user| user.name != name);
    others
        .map(|user| (user.name.to_string(), describe(&user.entry)))
        .collect()
}

/// All but `name` read as before, and so says the snapshot's hash.
fn others_as_before(before: &str, after: &str, name: &str) {
    assert_eq!(
        others(before, name),
        others(after, name),
        "{before}\n->\n{after}"
    );
    assert_eq!(
        snapshot(before, name).others,
        snapshot(after, name).others,
        "{before}\n->\n{after}"
    );
}

fn snapshot<'a>(text: &str, name: &'a str) -> Snapshot<'a> {
    let selection = Selection {
        names: HashSet::from([name]),
        ..Selection::default()
    };
    Snapshot::read(
        Path::new("users.toml"),
        text,
        MobileFormat::E164,
        &selection,
    )
    .unwrap_or_else(|why| panic!("{why}: {text}"))
}

/// What the text says of `name`, in words.
fn says(text: &str, name: &str) -> String {
    describe(snapshot(text, name).entry(name))
}

fn describe(entry: &Entry) -> String {
    match entry {
        Entry::Absent => "absent".to_owned(),
        Entry::Enrolled(mobile) => format!("enabled {}", mobile.as_str()),
        Entry::Disabled(mobile) => format!("disabled {}", mobile.as_str()),
        Entry::Bad(_) => "bad".to_owned(),
    }
}

/// `after` is `before` with something put in at one place.
fn is_insertion(before: &str, after: &str) -> bool {
    let same = before
        .bytes()
        .zip(after.bytes())
        .take_while(|(a, b)| a == b)
        .count();
    let end = before
        .bytes()
        .rev()
        .zip(after.bytes().rev())
        .take_while(|(a, b)| a == b)
        .count();
    same + end >= before.len()
}

proptest! {
    #[test]
    fn an_added_user_is_enrolled_as_requested(
        text in file(),
        name in prop_oneof![select(NAMES.to_vec()).prop_map(str::to_owned), "[^\\p{Cc}]{1,12}"],
        enabled in any::<bool>(),
    ) {
        prop_assume!(says(&text, &name) == "absent");
        let mobile = "+916283974746";
        let after = edit::add(&text, &[NewEntry { name: &name, mobile, enabled, comment: None }]).unwrap();
        let word = if enabled { "enabled" } else { "disabled" };
        prop_assert_eq!(says(&after, &name), format!("{word} {mobile}"), "{}\n->\n{}", text, after);
        prop_assert!(is_insertion(&text, &after), "{}\n->\n{}", text, after);
        others_as_before(&text, &after, &name);
        let again = edit::remove(&after, &name).unwrap();
        prop_assert_eq!(says(&again, &name), "absent", "{}\n->\n{}", after, again);
        others_as_before(&text, &again, &name);
    }

    /// In whatever form the file is, `users enable` finds again what `users disable` wrote for a synced user.
    #[test]
    fn an_entry_of_disable_is_found_again(text in file(), name in "[^\\p{Cc}]{1,12}") {
        prop_assume!(says(&text, &name) == "absent");
        let new = NewEntry { name: &name, mobile: "+916283974746", enabled: false, comment: Some(edit::BY_DISABLE) };
        let after = edit::add(&text, &[new]).unwrap();
        prop_assert_eq!(says(&after, &name), "disabled +916283974746", "{}\n->\n{}", text, after);
        prop_assert_eq!(edit::is_by_disable(&after, &name).unwrap(), !text.contains("\nusers = {"), "{}", after);
        others_as_before(&text, &after, &name);
    }

    #[test]
    fn a_removed_user_is_gone_and_nobody_else(text in file(), name in select(NAMES.to_vec())) {
        let after = edit::remove(&text, name).unwrap();
        // `alice.other = …` may be somebody called "alice.other", and stays.
        if !text.contains(&format!("{}.other", quoted_key(name))) && says(&text, name) != "bad" {
            prop_assert_eq!(says(&after, name), "absent", "{}\n->\n{}", text, after);
        }
        let occurrences = Spans::find(&text, name).unwrap().occurrences.len();
        prop_assert!(is_insertion(&after, &text) || occurrences > 1, "{}\n->\n{}", text, after);
        others_as_before(&text, &after, name);
    }

    #[test]
    fn a_disabled_user_keeps_the_mobile(text in file(), name in select(NAMES.to_vec())) {
        let before = says(&text, name);
        let Some((word, mobile)) = before.split_once(' ') else { return Ok(()) };
        let after = edit::set_enabled(&text, name, word != "enabled").unwrap();
        let other = if word == "enabled" { "disabled" } else { "enabled" };
        prop_assert_eq!(says(&after, name), format!("{other} {mobile}"), "{}\n->\n{}", text, after);
        others_as_before(&text, &after, name);
        let again = edit::set_enabled(&after, name, word == "enabled").unwrap();
        prop_assert_eq!(says(&again, name), before, "{}\n->\n{}", after, again);
        others_as_before(&text, &again, name);
    }

    /// The tool's judgement of an entry is that of a login, to the letter.
    #[test]
    fn the_judgement_is_the_modules(text in file(), name in select(NAMES.to_vec())) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("users.toml");
        std::fs::write(&path, &text).unwrap();
        let trust = Trust { effective_uid: nix::unistd::geteuid().as_raw() };
        let selection = Selection { names: HashSet::from([name]), ..Selection::default() };
        let snapshot = Snapshot::read(&path, &text, MobileFormat::E164, &selection).unwrap();
        let looked_up = look_up(&path, trust, name.as_bytes(), MobileFormat::E164).unwrap();
        prop_assert_eq!(snapshot.entry(name), &looked_up, "{}", text);
        let users = read_all(&path, &text, MobileFormat::E164).unwrap();
        let listed = users.iter().find(|user| user.name == name);
        // "first.last" without quotes is listed as "first".
        if let Some(user) = listed {
            prop_assert_eq!(&user.entry, &looked_up, "{}", text);
        }
    }

    /// The hash of the others covers whatever changes their logins.
    #[test]
    fn a_change_of_another_user_changes_the_hash(text in file(), [one, other] in [select(NAMES.to_vec()), select(NAMES.to_vec())]) {
        prop_assume!(one != other);
        let after = edit::remove(&text, one).unwrap();
        if others(&text, other) != others(&after, other) {
            prop_assert_ne!(snapshot(&text, other).others, snapshot(&after, other).others);
        }
    }
}
