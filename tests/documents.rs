//! Holds code, samples and README together, both ways: what one of them does not know, the others must not name.
//! Compiled into the unit tests, where the code's own lists are at hand.

use std::collections::BTreeSet;
use std::ffi::CString;
use std::path::Path;

use crate::args::Arguments;
use crate::config::{MobileFormat, Settings};
use crate::decision::{Decision, Refusal, Tolerated};
use crate::pam::{code, surroundings};
use crate::users::{Entry, Mobile, look_up};

const README: &str = include_str!("../README.md");
const IVALT_TOML: &str = include_str!("../conf/ivalt.toml");
const USERS_TOML: &str = include_str!("../conf/users.toml");

const DECISIONS: [Decision; 16] = [
    Decision::Allow,
    Decision::Ignore(Tolerated::Unenrolled),
    Decision::Ignore(Tolerated::Unavailable),
    Decision::Deny(Refusal::NotEnrolled),
    Decision::Deny(Refusal::Disabled),
    Decision::Deny(Refusal::BadEntry),
    Decision::Deny(Refusal::Unanswered),
    Decision::Deny(Refusal::MalformedToken),
    Decision::Deny(Refusal::DummyOfSshd),
    Decision::Deny(Refusal::PasswordAsToken),
    Decision::Deny(Refusal::TokenRejected),
    Decision::Deny(Refusal::TriesExhausted),
    Decision::Deny(Refusal::ApiKeyRefused),
    Decision::Deny(Refusal::Unavailable),
    Decision::Deny(Refusal::Misconfigured),
    Decision::Deny(Refusal::Internal),
];

fn settings(text: &str) -> Result<Settings, String> {
    Settings::parse(Path::new("ivalt.toml"), text, surroundings().trust)
        .map_err(|error| error.to_string())
}

/// The words in backticks.
fn quoted(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

/// The keys of a section, from the code's own complaint about an unknown one.
fn keys_of_code(section: &str) -> BTreeSet<String> {
    let header = if section.is_empty() {
        String::new()
    } else {
        format!("[{section}]\n")
    };
    let complaint = settings(&format!("{header}no_such_key = 1\n")).unwrap_err();
    let dot = if section.is_empty() { "" } else { "." };
    quoted(&complaint)
        .into_iter()
        .map(|key| format!("{section}{dot}{key}"))
        .collect()
}

fn all_keys_of_code() -> BTreeSet<String> {
    let sections = keys_of_code("");
    let (tables, plain): (BTreeSet<_>, BTreeSet<_>) = sections
        .into_iter()
        .partition(|key| keys_of_table(key).is_some());
    plain
        .into_iter()
        .chain(tables.iter().flat_map(|table| keys_of_code(table)))
        .collect()
}

fn keys_of_table(key: &str) -> Option<()> {
    settings(&format!("[{key}]\n"))
        .err()
        .filter(|complaint| !complaint.contains("must be an absolute"))
        .map(drop)
}

/// The rows of the table in README whose head begins with `head`.
fn rows(head: &str) -> Vec<&'static str> {
    let after = README.lines().skip_while(|line| !line.starts_with(head));
    after
        .skip(2)
        .take_while(|line| line.starts_with('|'))
        .collect()
}

fn first_cells(head: &str) -> BTreeSet<String> {
    let cells = rows(head)
        .into_iter()
        .map(|row| row.split('|').nth(1).unwrap());
    cells.flat_map(quoted).map(str::to_owned).collect()
}

/// `conf/ivalt.toml` with the keys that have no default switched on.
fn uncommented() -> String {
    let line = |line: &'static str| match line.strip_prefix("# ") {
        Some(rest)
            if rest
                .split_once(" = ")
                .is_some_and(|(key, _)| !key.contains(' ')) =>
        {
            rest
        }
        _ => line,
    };
    IVALT_TOML.lines().map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn every_key_stands_in_code_sample_and_readme() {
    let sample: toml::Table = uncommented().parse().unwrap();
    let keys = sample.iter().flat_map(|(key, value)| match value {
        toml::Value::Table(table) => table.keys().map(|inner| format!("{key}.{inner}")).collect(),
        _ => vec![key.clone()],
    });
    let sample: BTreeSet<String> = keys.collect();
    let code = all_keys_of_code();
    assert!(
        code.contains("api.timeout_seconds") && code.len() > 15,
        "{code:?}"
    );
    assert_eq!(sample, code, "conf/ivalt.toml and src/config.rs");
    assert_eq!(first_cells("| key |"), code, "README.md and src/config.rs");
}

#[test]
fn the_sample_shows_the_defaults_and_one_line_each() {
    let with_key = |text: &str| {
        format!(
            "{:?}",
            settings(&text.replace("[api]\n", "[api]\nkey = \"k\"\n")).unwrap()
        )
    };
    let (sample, least) = (with_key(IVALT_TOML), with_key("[api]\n"));
    // Only where min_length stands differs.
    let without_span = |text: String| text.replace(|c: char| c.is_ascii_digit(), "");
    assert_eq!(without_span(sample), without_span(least));
    for line in IVALT_TOML.lines().filter(|line| line.contains(" = ")) {
        assert!(
            line.trim_start_matches("# ").contains(" # "),
            "without a meaning: {line}"
        );
    }
    assert!(
        settings(IVALT_TOML)
            .unwrap_err()
            .contains("api.key: is missing"),
        "the sample must hold no key"
    );
}

#[test]
fn the_sample_of_users_is_what_the_code_reads() {
    let folder = std::env::temp_dir().join(format!("pam_ivalt-documents-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("users.toml");
    std::fs::write(
        &path,
        USERS_TOML
            .replace("# alice", "alice")
            .replace("# \"first", "\"first"),
    )
    .unwrap();
    let entry = |name: &str| {
        look_up(
            &path,
            surroundings().trust,
            name.as_bytes(),
            MobileFormat::E164,
        )
        .unwrap()
    };
    let mobile = |text| Mobile::parse(text, MobileFormat::E164).unwrap();
    assert_eq!(entry("alice"), Entry::Enrolled(mobile("+916283974746")));
    assert_eq!(entry("first.last"), Entry::Disabled(mobile("+14155550100")));
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn every_argument_stands_in_code_and_readme() {
    let complaint = Arguments::parse(&[CString::new("x").unwrap().as_c_str()])
        .unwrap_err()
        .to_string();
    let known = complaint.split_once("known are ").unwrap().1;
    let code: BTreeSet<String> = known.split(", ").map(str::to_owned).collect();
    assert_eq!(first_cells("| argument |"), code);
}

#[test]
fn every_reason_stands_in_readme_with_its_code() {
    let mut pairs = BTreeSet::new();
    for row in rows("| `reason=` |") {
        let cells: Vec<&str> = row.split('|').collect();
        for code in quoted(cells[2]) {
            pairs.insert((quoted(cells[1])[0].to_owned(), code.to_owned()));
        }
    }
    let code = DECISIONS.map(|decision| {
        (
            decision.reason().to_owned(),
            format!("{:?}", code(decision)),
        )
    });
    assert_eq!(pairs, BTreeSet::from(code));
}

#[test]
fn the_fragments_for_pam_are_those_of_readme() {
    for fragment in [
        include_str!("../conf/pam.d/sshd-password-and-ivalt"),
        include_str!("../conf/pam.d/sshd-key-and-ivalt"),
        include_str!("../conf/pam.d/sshd-key-or-password-and-ivalt"),
        include_str!("../conf/pam.d/sudo"),
    ] {
        for line in fragment.lines().filter(|line| !line.starts_with('#')) {
            assert!(
                README.lines().any(|other| other == line),
                "not in README.md: {line}"
            );
        }
    }
}

#[test]
fn success_and_ignore_have_one_producer_each() {
    let story = include_str!("../src/authenticate.rs");
    let others = [
        include_str!("../src/pam/host.rs"),
        include_str!("../src/conversation.rs"),
        include_str!("../src/users.rs"),
    ];
    for (made, times) in [
        ("Ok(Decision::Allow)", 1),
        ("Ok(Decision::Ignore(Tolerated::Unenrolled))", 1),
        ("Ok(Decision::Ignore(Tolerated::Unavailable))", 1),
        ("|()| Verified", 1),
    ] {
        assert_eq!(story.matches(made).count(), times, "{made}");
        assert!(others.iter().all(|text| !text.contains(made)), "{made}");
    }
}

/// A row that names a test nobody runs would be a promise.
#[test]
fn the_tests_that_security_names_exist() {
    let security = include_str!("../SECURITY.md");
    let sources = sources_of_tests(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests")));
    let advisories = security.split("## Advisories").nth(1).unwrap();
    let mut named = 0;
    for row in advisories
        .lines()
        .filter(|line| line.starts_with("| "))
        .skip(1)
    {
        let tests = quoted(row.rsplit('|').nth(1).unwrap());
        assert!(!tests.is_empty() || row.starts_with("| ---"), "{row}");
        for test in tests {
            let [in_rust, in_bash] = [format!("fn {test}("), format!("\n{test}_case() ")];
            assert!(
                sources.contains(&in_rust) || sources.contains(&in_bash),
                "{test}"
            );
            named += 1;
        }
    }
    assert!(named > 15, "{named}");
}

#[test]
fn the_changelog_of_the_package_is_in_step() {
    let changelog = include_str!("../debian/changelog");
    let released = format!("pam-ivalt ({}) ", env!("CARGO_PKG_VERSION"));
    assert!(changelog.starts_with(&released), "{changelog}");
}

fn sources_of_tests(folder: &Path) -> String {
    let mut text = String::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            text += &sources_of_tests(&path);
        } else if path
            .extension()
            .is_some_and(|kind| kind == "rs" || kind == "sh")
        {
            text += &std::fs::read_to_string(&path).unwrap();
        }
    }
    text
}
