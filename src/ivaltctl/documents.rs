//! Holds the command line, the findings of `check` and ivaltctl(8) together, both ways. A unit test, since the code's
//! own lists are not public.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use clap::{Command, CommandFactory};

use super::Exit;
use super::command_line::CommandLine;
use support::finding_table::table;
use support::man_page::{items, section};

const PAGE: &str = include_str!("../../debian/ivaltctl.8");

/// What clap adds to every command by itself.
const OF_CLAP: [&str; 4] = ["--help", "--version", "-V", "-h"];
/// Literals of `check` that look like ids of findings and are not.
const NOT_IDS: [&str; 12] = [
    "auth-pam",
    "cinnamon-screensaver",
    "gdm-password",
    "gssapi-with-mic",
    "keyboard-interactive",
    "mate-screensaver",
    "prohibit-password",
    "pure-ftpd",
    "su-l",
    "sudo-i",
    "systemd-timesyncd",
    "xrdp-sesman",
];
/// Ids of one word, which nothing tells from other words; the tests that provoke findings hold these, too.
const IDS_OF_ONE_WORD: [&str; 2] = ["bypassed", "selinux"];

/// For each command its options, as they are typed, and the names of its values.
type Words = BTreeMap<String, BTreeSet<String>>;

fn words_of_code(command: &Command, name: &str, words: &mut Words) {
    let own = words.entry(name.to_owned()).or_default();
    for argument in command.get_arguments() {
        let names = argument.get_value_names().unwrap_or_default();
        match argument.get_long() {
            Some(long) => own.insert(format!("--{long}")),
            None => own.insert(names[0].to_string()),
        };
        assert_eq!(argument.get_short(), None, "{name}");
    }
    for below in command
        .get_subcommands()
        .filter(|below| !below.is_hide_set())
    {
        let name = format!("{name} {}", below.get_name());
        words_of_code(below, name.trim_start(), words);
    }
}

/// `.Fl -long`, `.Fl h , Fl -help`
fn options(line: &str) -> impl Iterator<Item = String> {
    let words = line.split([' ', '.']);
    let after = words.skip_while(|word| *word != "Fl").collect::<Vec<_>>();
    let named = |pair: &[&str]| (pair[0] == "Fl").then(|| format!("-{}", pair[1]));
    after
        .windows(2)
        .filter_map(named)
        .collect::<Vec<_>>()
        .into_iter()
}

/// The same from COMMANDS; the options of ivaltctl itself are in DESCRIPTION.
fn words_of_man() -> Words {
    let mut words = Words::new();
    let mut name = String::new();
    let general = items(&section(PAGE, "DESCRIPTION"), "Fl")
        .into_iter()
        .flat_map(|item| options(&format!("Fl {}", item.head)).collect::<Vec<_>>());
    words.insert(String::new(), general.collect());
    for line in section(PAGE, "COMMANDS") {
        if let Some(head) = line.strip_prefix(".It Cm ") {
            let (command, values) = head.split_once(" Ar ").unwrap_or((head, ""));
            name = command.to_owned();
            let values = values.split_whitespace().map(str::to_owned);
            let twice = words.insert(name.clone(), values.collect());
            assert_eq!(twice, None, "{name} is listed twice");
        } else if line.starts_with(".It Fl ") {
            words.entry(name.clone()).or_default().extend(options(line));
        }
    }
    words
}

#[test]
fn every_command_option_and_value_is_in_the_man_page() {
    let mut code = Words::new();
    words_of_code(&CommandLine::command(), "", &mut code);
    code.entry(String::new())
        .or_default()
        .extend(OF_CLAP.map(str::to_owned));
    assert!(code.len() > 15, "{code:?}");
    assert_eq!(
        words_of_man(),
        code,
        "debian/ivaltctl.8 and the command line"
    );
}

#[test]
fn the_synopsis_is_complete() {
    let mut code = Words::new();
    words_of_code(&CommandLine::command(), "", &mut code);
    let (typed, values): (BTreeSet<_>, BTreeSet<_>) = code
        .values()
        .flatten()
        .cloned()
        .partition(|word| word.starts_with('-'));
    let lines = section(PAGE, "SYNOPSIS");
    let of_page: BTreeSet<_> = lines.iter().flat_map(|line| options(line)).collect();
    assert_eq!(of_page, typed);
    let words: BTreeSet<_> = lines.iter().flat_map(|line| line.split(' ')).collect();
    for word in code
        .keys()
        .flat_map(|name| name.split(' '))
        .filter(|word| !word.is_empty())
    {
        assert!(words.contains(word), "{word} is not in SYNOPSIS");
    }
    for value in values {
        assert!(words.contains(value.as_str()), "{value} is not in SYNOPSIS");
    }
}

/// The commands that the pages tell people to type.
#[test]
fn documented_commands_exist() {
    let mut code = Words::new();
    words_of_code(&CommandLine::command(), "", &mut code);
    let texts = [
        PAGE,
        include_str!("../../README.md"),
        include_str!("../../SECURITY.md"),
        include_str!("../../CONTRIBUTING.md"),
        include_str!("../../conf/README.md"),
        include_str!("../../debian/hosts-and-clients.md"),
        include_str!("../../debian/interface.md"),
        include_str!("../../debian/other-systems.md"),
        include_str!("../../debian/pam_ivalt.8"),
        include_str!("../../debian/ivalt.toml.5"),
        include_str!("../../debian/ivalt-directory.toml.5"),
        include_str!("../../debian/ivalt-users.toml.5"),
    ];
    let mut seen = 0;
    for text in texts {
        for mark in ["`ivaltctl ", ".Ql ivaltctl ", "# ivaltctl ", "| ivaltctl "] {
            for typed in text.split(mark).skip(1) {
                let typed = typed.split(['\n', '`']).next().unwrap_or_default();
                must_be_a_command(typed, &code);
                seen += 1;
            }
        }
    }
    assert!(seen > 20, "{seen}");
}

fn must_be_a_command(typed: &str, code: &Words) {
    // Macros and punctuation of mdoc are no words.
    let is_word = |word: &&str| word.starts_with(|c: char| c.is_ascii_lowercase());
    let mut typed = typed.split_whitespace().take_while(is_word);
    let Some(first) = typed.next().filter(|word| *word != "help") else {
        return;
    };
    assert!(code.contains_key(first), "ivaltctl {first}");
    let has_more = code
        .keys()
        .any(|name| name.starts_with(&format!("{first} ")));
    if let Some(second) = typed.next().filter(|_| has_more) {
        let name = format!("{first} {second}");
        assert!(code.contains_key(&name), "ivaltctl {name}");
    }
}

#[test]
fn every_exit_status_is_in_the_man_page() {
    // A new one must be added here, and there.
    let number = |exit: Exit| match exit {
        Exit::Done
        | Exit::Refused
        | Exit::Dangerous
        | Exit::Ignored
        | Exit::Unavailable
        | Exit::Usage => (exit as u8).to_string(),
    };
    let code = [
        Exit::Done,
        Exit::Refused,
        Exit::Dangerous,
        Exit::Ignored,
        Exit::Unavailable,
        Exit::Usage,
    ]
    .map(number);
    let lines = section(PAGE, "EXIT STATUS");
    let page: Vec<_> = items(&lines, "").iter().map(|item| item.head).collect();
    assert_eq!(page, code);
}

#[test]
fn every_finding_is_in_the_man_page() {
    let folder = support::checkout().join("src/ivaltctl/check");
    let mut literals = BTreeSet::new();
    collect(&folder, &mut literals);
    let is_id = |word: &str| word.contains('-') || IDS_OF_ONE_WORD.contains(&word);
    let others = NOT_IDS.map(str::to_owned);
    assert!(
        others.iter().all(|name| literals.contains(name)),
        "{others:?}"
    );
    let code: BTreeSet<String> = literals
        .into_iter()
        .filter(|word| is_id(word) && !others.contains(word))
        .collect();
    let page: BTreeSet<String> = table().into_keys().map(str::to_owned).collect();
    assert!(page.len() > 80, "{}", page.len());
    assert_eq!(page, code, "debian/ivaltctl.8 and src/ivaltctl/check");
}

/// Literals of small letters and hyphens, those of unit tests left out.
fn collect(folder: &Path, literals: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.ends_with("tests") {
            continue;
        }
        if path.is_dir() {
            collect(&path, literals);
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
        let pieces: Vec<&str> = code.split('"').collect();
        let is_word = |piece: &str| {
            let plain = |byte: u8| byte.is_ascii_lowercase() || byte == b'-';
            piece.starts_with(|c: char| c.is_ascii_lowercase()) && piece.bytes().all(plain)
        };
        literals.extend(
            pieces
                .iter()
                .filter(|piece| is_word(piece))
                .map(|piece| (*piece).to_owned()),
        );
    }
}
