//! Holds code, samples, pages and man pages together, both ways: what one of them does not know, the others must not
//! name. The code's own lists are read, not copied.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::CString;
use std::path::Path;

use directory_settings::DirectorySettings;
use ivalt_core::arguments::Arguments;
use ivalt_core::decision::{DECISIONS, Decision};
use ivalt_core::log_line::{Origin, fields};
use ivalt_core::report::Report;
use ivalt_core::settings::{MobileFormat, Settings};
use ivalt_core::trusted_file::Trust;
use ivalt_core::users::{Entry, Mobile, look_up};
use support::man_page::{items, section};

/// Of the tool, which is no library.
#[path = "../src/ivaltctl/users/sync/settings.rs"]
#[allow(dead_code, reason = "the tool uses the rest")]
mod directory_settings;

const README: &str = include_str!("../README.md");
const IVALT_TOML: &str = include_str!("../conf/ivalt.toml");
const DIRECTORY_TOML: &str = include_str!("../conf/directory.toml");
const USERS_TOML: &str = include_str!("../conf/users.toml");
const PAM_IVALT_8: &str = include_str!("../debian/pam_ivalt.8");
const IVALT_TOML_5: &str = include_str!("../debian/ivalt.toml.5");
const IVALT_DIRECTORY_TOML_5: &str = include_str!("../debian/ivalt-directory.toml.5");
const IVALT_USERS_TOML_5: &str = include_str!("../debian/ivalt-users.toml.5");

/// The files of this user are as good as root's.
fn trust() -> Trust {
    let effective_uid =
        std::os::unix::fs::MetadataExt::uid(&std::fs::metadata("/proc/self").unwrap());
    Trust { effective_uid }
}

fn settings(text: &str) -> Result<Settings, String> {
    Settings::parse(Path::new("ivalt.toml"), text, trust()).map_err(|error| error.to_string())
}

fn directory(text: &str) -> Result<DirectorySettings, String> {
    DirectorySettings::parse(Path::new("directory.toml"), text).map_err(|error| error.to_string())
}

/// The words in backticks.
fn quoted(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

/// A file of settings: how the code reads it, its sample, its page and the page's parts.
struct Documented {
    read: fn(&str) -> Result<(), String>,
    sample: &'static str,
    page: &'static str,
    parts: &'static [(&'static str, &'static str)],
}

const SETTINGS: Documented = Documented {
    read: |text| settings(text).map(drop),
    sample: IVALT_TOML,
    page: IVALT_TOML_5,
    parts: &[
        ("users_file", ""),
        ("[api]", "api."),
        ("[token]", "token."),
        ("[policy]", "policy."),
        ("[recovery]", "recovery."),
        ("[push]", "push."),
    ],
};

const DIRECTORY: Documented = Documented {
    read: |text| directory(text).map(drop),
    sample: DIRECTORY_TOML,
    page: IVALT_DIRECTORY_TOML_5,
    parts: &[
        ("[ldap]", "ldap."),
        ("[map]", "map."),
        ("[guard]", "guard."),
    ],
};

impl Documented {
    /// The code's own complaint about an unknown key.
    fn complaint(&self, section: &str) -> String {
        let header = if section.is_empty() {
            String::new()
        } else {
            format!("[{section}]\n")
        };
        (self.read)(&format!("{header}no_such_key = 1\n")).unwrap_err()
    }

    fn keys_of_section(&self, section: &str) -> BTreeSet<String> {
        let complaint = self.complaint(section);
        let dot = if section.is_empty() { "" } else { "." };
        quoted(&complaint)
            .into_iter()
            .map(|key| format!("{section}{dot}{key}"))
            .collect()
    }

    fn keys_of_code(&self) -> BTreeSet<String> {
        let sections = self.keys_of_section("");
        let (tables, plain): (BTreeSet<_>, BTreeSet<_>) = sections
            .into_iter()
            .partition(|key| self.complaint(key).contains("unknown setting"));
        plain
            .into_iter()
            .chain(tables.iter().flat_map(|table| self.keys_of_section(table)))
            .collect()
    }

    /// The sample with the keys that have no default, uncommented.
    fn uncommented(&self) -> String {
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
        self.sample.lines().map(line).collect::<Vec<_>>().join("\n")
    }

    /// Every key of the page with its default, where it has one.
    fn keys_of_man(&self) -> BTreeMap<String, Option<toml::Value>> {
        let mut keys = BTreeMap::new();
        for (title, table) in self.parts {
            let lines = section(self.page, title);
            for item in items(&lines, "Cm") {
                let default = match item.body[0].strip_prefix("Default: ") {
                    Some(value) => {
                        let value = value.strip_suffix('.').expect(value);
                        Some(format!("k = {value}").parse::<toml::Table>().unwrap()["k"].clone())
                    }
                    None => {
                        assert_eq!(item.body[0], "No default.", "{}", item.head);
                        None
                    }
                };
                keys.insert(format!("{table}{}", item.head), default);
            }
        }
        keys
    }

    fn assert_every_key_is_everywhere(&self) {
        let sample: BTreeSet<String> = values(&self.uncommented()).into_keys().collect();
        let code = self.keys_of_code();
        assert!(code.len() > 15, "{code:?}");
        assert_eq!(sample, code, "the sample and the code");
        let man: BTreeSet<String> = self.keys_of_man().into_keys().collect();
        assert_eq!(man, code, "the page and the code");
    }

    /// That the sample's are the code's is checked by another test.
    fn assert_the_page_says_the_defaults(&self) {
        let man = self.keys_of_man().into_iter();
        let man: BTreeMap<_, _> = man.filter_map(|(key, value)| Some((key, value?))).collect();
        assert_eq!(man, values(self.sample));
    }

    fn assert_one_line_each(&self) {
        for line in self.sample.lines().filter(|line| line.contains(" = ")) {
            assert!(
                line.trim_start_matches("# ").contains(" # "),
                "without a meaning: {line}"
            );
        }
    }
}

/// What is in backticks in the first cells of the table whose head begins with `head`.
fn first_cells(page: &str, head: &str) -> BTreeSet<String> {
    let after = page.lines().skip_while(|line| !line.starts_with(head));
    let rows = after.skip(2).take_while(|line| line.starts_with('|'));
    let cells = rows.map(|row| row.split('|').nth(1).unwrap());
    cells.flat_map(quoted).map(str::to_owned).collect()
}

/// The keys of a TOML text with their values, those in tables by dotted names.
fn values(text: &str) -> BTreeMap<String, toml::Value> {
    let table: toml::Table = text.parse().unwrap();
    let values = table.into_iter().flat_map(|(key, value)| match value {
        toml::Value::Table(table) => table
            .into_iter()
            .map(|(inner, value)| (format!("{key}.{inner}"), value))
            .collect(),
        value => vec![(key, value)],
    });
    values.collect()
}

#[test]
fn every_key_is_in_code_sample_and_man_page() {
    SETTINGS.assert_every_key_is_everywhere();
    DIRECTORY.assert_every_key_is_everywhere();
}

#[test]
fn the_man_page_says_the_defaults() {
    SETTINGS.assert_the_page_says_the_defaults();
    DIRECTORY.assert_the_page_says_the_defaults();
}

/// Of a directory that is described as far as it must be, since there is none by default.
#[test]
fn the_sample_of_a_directory_shows_the_defaults_and_one_line_each() {
    let needed =
        "uri = \"ldaps://h\"\nbase = \"dc=x\"\nbind_dn = \"cn=s\"\npassword_file = \"/p\"\n";
    let sample = DIRECTORY_TOML
        .replace("[ldap]\n", &format!("[ldap]\n{needed}"))
        .replace("[map]\n", "[map]\nmobile = [\"m\"]\n");
    let least = format!("map.mobile = [\"m\"]\n[ldap]\n{needed}");
    assert_eq!(directory(&sample).unwrap(), directory(&least).unwrap());
    DIRECTORY.assert_one_line_each();
    // Whoever wants a CSV file alone leaves [ldap] out, as the sample says.
    let (_, without) = DIRECTORY_TOML.split_once("[map]").unwrap();
    let without = directory(&format!("[map]{without}")).unwrap();
    assert_eq!(without, DirectorySettings::default());
}

#[test]
fn every_key_of_a_user_is_in_the_man_page() {
    let folder = std::env::temp_dir().join(format!("pam_ivalt-man-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("users.toml");
    std::fs::write(&path, "[users]\nalice = { no_such_key = 1 }\n").unwrap();
    let entry = look_up(&path, trust(), b"alice", MobileFormat::E164);
    std::fs::remove_dir_all(&folder).unwrap();
    let Ok(Entry::Bad(problem)) = entry else {
        panic!("{entry:?}");
    };
    let fix = problem.fix.unwrap();
    let known = fix.as_str().strip_prefix("expected ").unwrap();
    let lines = section(IVALT_USERS_TOML_5, "Entries");
    let man: Vec<_> = items(&lines, "Cm").iter().map(|item| item.head).collect();
    assert_eq!(man, known.split(" or ").collect::<Vec<_>>());
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
    // Only the place of min_length differs.
    let without_span = |text: String| {
        let (before, after) = text.split_once("span: ").unwrap();
        format!("{before}{}", after.split_once(',').unwrap().1)
    };
    assert_eq!(without_span(sample), without_span(least));
    SETTINGS.assert_one_line_each();
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
    let entry = |name: &str| look_up(&path, trust(), name.as_bytes(), MobileFormat::E164).unwrap();
    let mobile = |text| Mobile::parse(text, MobileFormat::E164).unwrap();
    assert_eq!(entry("alice"), Entry::Enrolled(mobile("+916283974746")));
    assert_eq!(entry("first.last"), Entry::Disabled(mobile("+14155550100")));
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn every_argument_is_in_code_and_man_page() {
    let complaint = Arguments::parse(&[CString::new("x").unwrap().as_c_str()])
        .unwrap_err()
        .to_string();
    let known = complaint.split_once("; expected one of ").unwrap().1;
    let code: BTreeSet<String> = known.split(", ").map(str::to_owned).collect();
    let lines = section(PAM_IVALT_8, "Arguments");
    let man = items(&lines, "Cm")
        .into_iter()
        .map(|item| item.head.to_owned());
    assert_eq!(man.collect::<BTreeSet<_>>(), code);
}

#[test]
fn every_key_of_the_log_is_in_the_man_page_in_its_order() {
    let lines = section(PAM_IVALT_8, "The log line");
    let man: Vec<_> = items(&lines, "Cm").iter().map(|item| item.head).collect();
    let (origin, report) = (Origin::default(), Report::default());
    assert_eq!(man, fields(&origin, &report).map(|(key, _)| key));
    let example = lines
        .iter()
        .skip_while(|line| !line.starts_with("pam_ivalt("));
    let example: Vec<_> = example
        .take_while(|line| **line != ".Ed")
        .copied()
        .collect();
    let mut rest = example.join("\n");
    for key in man {
        rest = rest
            .split_once(&format!(" {key}="))
            .expect(key)
            .1
            .to_owned();
    }
}

#[test]
fn the_fragments_for_pam_are_those_of_the_man_page() {
    // A line too long for a page goes on in the next one.
    let man = PAM_IVALT_8.replace(" \\e\n    ", " ");
    for fragment in [
        include_str!("../conf/pam.d/sshd-password-and-ivalt"),
        include_str!("../conf/pam.d/sshd-key-and-ivalt"),
        include_str!("../conf/pam.d/sshd-key-or-password-and-ivalt"),
        include_str!("../conf/pam.d/sudo"),
    ] {
        for line in fragment.lines().filter(|line| !line.starts_with('#')) {
            assert!(
                man.lines().any(|other| other == line),
                "not in pam_ivalt.8: {line}"
            );
        }
    }
}

/// No other package can make a `Proof`; within `ivalt_core` each kind of it is made once.
#[test]
fn success_and_ignore_have_one_producer_each() {
    let mut sources = files_below(&support::checkout().join("src"));
    sources.sort();
    let made_in = |made: &str| {
        let texts = sources.iter().map(|path| {
            let text = std::fs::read_to_string(path).unwrap();
            (path, text.matches(made).count())
        });
        texts
            .filter(|(_, times)| *times > 0)
            .map(|(path, times)| (path.file_name().unwrap().to_str().unwrap(), times))
            .collect::<Vec<_>>()
    };
    for made in [
        "Ok(Decision::Allow(proof))",
        "Ok(Decision::Ignore(tolerated))",
        "Some(Tolerated::Unenrolled)",
        "Some(Tolerated::ExemptNetwork)",
        "Ok(Decision::Ignore(Tolerated::Unavailable))",
        "Proof::of_validated_token()",
    ] {
        assert_eq!(made_in(made), [("authenticate.rs", 1)], "{made}");
    }
    // Whatever makes one, under whichever name; and the list of all decisions, which only tests have.
    assert_eq!(made_in("Ok(Decision::Ignore("), [("authenticate.rs", 2)]);
    assert_eq!(
        made_in("Tolerated::"),
        [("authenticate.rs", 3), ("decision.rs", 6)]
    );
    // PAM's numbers: success for a decision, after a method for an ignored one, and for setcred; PAM_IGNORE for an
    // ignored one, for a line that only_after= passes over and for its setcred, and for the four entry points that do
    // nothing.
    assert_eq!(made_in("PamResultCode::PAM_SUCCESS"), [("lib.rs", 3)]);
    assert_eq!(
        made_in("PamResultCode::PAM_IGNORE"),
        [("entry_points.rs", 4), ("lib.rs", 3)]
    );
    assert_eq!(made_in("Self::PassedOver"), [("only_after.rs", 1)]);
    assert_eq!(made_in("Self::AfterMethod"), [("only_after.rs", 1)]);
    // Those of the list of all decisions, and what reads them; then what makes them.
    assert_eq!(made_in("Proof(Kind::"), [("decision.rs", 6)]);
    assert_eq!(made_in("Self(Kind::"), [("decision.rs", 3)]);
    assert_eq!(
        made_in("of_validated_token"),
        [("authenticate.rs", 1), ("decision.rs", 1)]
    );
    assert_eq!(
        made_in("of_recovery_code"),
        [("decision.rs", 1), ("take.rs", 1)]
    );
    assert_eq!(
        made_in("of_push_approval"),
        [("decision.rs", 1), ("mod.rs", 1)]
    );
    // Recovery codes and requests to phones are for logins: no command of the tool takes a code or lets in by a tap.
    // The model of iVALT, hosts and users is a test.
    assert_eq!(made_in("login: Some"), [("model.rs", 1), ("lib.rs", 1)]);
    assert_eq!(
        made_in("login: None"),
        [("authenticate.rs", 1), ("verify.rs", 1)]
    );
}

/// fail2ban counts a denial, or its filter says that it does not; a new reason must be judged.
#[test]
fn the_filter_judges_every_denial() {
    let filter = include_str!("../conf/fail2ban/filter.d/pam-ivalt.conf");
    let told = |from: &str, to: &str| {
        let part = filter.split_once(from).unwrap().1.split_once(to).unwrap().0;
        let words = part.split(|c: char| !(c.is_ascii_lowercase() || c == '-'));
        words.map(str::to_owned).collect::<BTreeSet<_>>()
    };
    let counted = told("outcome=deny reason=(?:", ")");
    let (guesses, others) = (
        told("makes them:", "# These do not"),
        told("# These do not", "[INCLUDES]"),
    );
    for decision in DECISIONS {
        let (reason, deny) = (decision.reason(), matches!(decision, Decision::Deny(_)));
        assert_eq!(
            counted.contains(reason),
            guesses.contains(reason) && deny,
            "{reason}"
        );
        assert!(
            !deny || counted.contains(reason) != others.contains(reason),
            "{reason}"
        );
    }
}

#[test]
fn every_sample_is_in_the_table_of_samples() {
    let conf = support::checkout().join("conf");
    let name = |path: &Path| path.strip_prefix(&conf).unwrap().display().to_string();
    const ROLE: &str = "ansible/roles/ivalt/";
    let row = |path: &Path| match name(path) {
        name if name.starts_with(ROLE) => ROLE.to_owned(),
        name => name,
    };
    let mut samples: BTreeSet<_> = files_below(&conf).iter().map(|path| row(path)).collect();
    assert!(samples.remove("README.md"));
    let table = first_cells(include_str!("../conf/README.md"), "| file |");
    assert_eq!(table, samples, "conf/README.md and conf/");
}

/// The pages of the project, by their path in the checkout.
fn pages() -> BTreeMap<String, String> {
    let root = support::checkout();
    let folders = ["conf", "debian", "scripts", "src", "tests"].map(|name| root.join(name));
    let below = folders.iter().flat_map(|folder| files_below(folder));
    let top = std::fs::read_dir(root).unwrap();
    let top = top.map(|entry| entry.unwrap().path());
    let pages = below
        .chain(top)
        .filter(|path| path.extension().is_some_and(|kind| kind == "md"));
    let read = |path: std::path::PathBuf| {
        let name = path.strip_prefix(root).unwrap().display().to_string();
        (name, std::fs::read_to_string(path).unwrap())
    };
    let pages: BTreeMap<_, _> = pages.map(read).collect();
    assert!(
        pages.contains_key("debian/interface.md") && pages.len() > 7,
        "{pages:?}"
    );
    pages
}

#[test]
fn the_package_has_every_page_of_its_folder() {
    let installed: Vec<&str> = include_str!("../debian/libpam-ivalt.docs")
        .lines()
        .collect();
    for page in pages().keys().filter(|name| name.starts_with("debian/")) {
        assert!(installed.contains(&page.as_str()), "{page}");
    }
}

/// As forges name headings in links.
fn anchors(page: &str) -> BTreeSet<String> {
    let headings = page.lines().filter_map(|line| line.strip_prefix('#'));
    let anchor = |heading: &str| {
        let words = heading.trim_start_matches('#').trim().to_lowercase();
        let kept = words
            .chars()
            .filter(|c| c.is_alphanumeric() || " -_".contains(*c));
        kept.map(|c| if c == ' ' { '-' } else { c }).collect()
    };
    headings.map(anchor).collect()
}

#[test]
fn every_link_leads_to_a_file_and_a_heading() {
    let (pages, mut links) = (pages(), 0);
    for (name, page) in &pages {
        for link in page.split("](").skip(1) {
            let link = link.split(')').next().unwrap();
            if link.contains("://") {
                continue;
            }
            let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
            let folder = Path::new(name).parent().unwrap();
            let target = if path.is_empty() {
                name.into()
            } else {
                folder.join(path)
            };
            assert!(support::checkout().join(&target).exists(), "{name}: {link}");
            let headings = pages
                .get(&target.display().to_string())
                .map(|page| anchors(page));
            let found = anchor.is_empty() || headings.is_some_and(|known| known.contains(anchor));
            assert!(found, "{name}: {link}");
            links += 1;
        }
    }
    assert!(links > 15, "{links}");
}

/// `pam_ivalt(8), "Reasons", "The log line"`
#[test]
fn every_section_that_a_page_names_is_in_that_man_page() {
    let man = [
        ("pam_ivalt(8)", PAM_IVALT_8),
        ("ivalt.toml(5)", IVALT_TOML_5),
        ("ivalt-directory.toml(5)", IVALT_DIRECTORY_TOML_5),
        ("ivalt-users.toml(5)", IVALT_USERS_TOML_5),
        ("ivaltctl(8)", include_str!("../debian/ivaltctl.8")),
    ];
    let mut seen = 0;
    for (name, page) in &pages() {
        for (title, text) in man {
            for named in page.split(&format!("{title}, \"")).skip(1) {
                for section in sections_named(named) {
                    let is_title = |line: &str| {
                        [".Sh ", ".Ss "]
                            .map(|mark| line.strip_prefix(mark))
                            .contains(&Some(section))
                    };
                    assert!(text.lines().any(is_title), "{name}: {title}, {section}");
                    seen += 1;
                }
            }
        }
    }
    assert!(seen > 20, "{seen}");
}

/// Both, of `Reasons", "The log line" and more`.
fn sections_named(text: &str) -> Vec<&str> {
    let mut pieces = text.split('"');
    let mut sections = vec![pieces.next().unwrap()];
    while pieces.next() == Some(", ") {
        sections.extend(pieces.next());
    }
    sections
}

/// The page that is read first; its commands show and test everything.
#[test]
fn readme_is_short_and_names_demo_and_test() {
    let lines = README.lines().count();
    assert!(lines < 200, "README.md has {lines} lines");
    for script in ["scripts/demo", "scripts/test"] {
        assert!(README.contains(&format!("$ sudo {script} ")), "{script}");
    }
}

fn files_below(folder: &Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    // What cargo left there is not ours.
    let paths = paths.filter(|path| !path.ends_with("target"));
    let below = |path: std::path::PathBuf| {
        if path.is_dir() {
            files_below(&path)
        } else {
            vec![path]
        }
    };
    paths.flat_map(below).collect()
}

#[test]
fn the_changes_name_this_version() {
    let changes = include_str!("../CHANGELOG.md");
    let version = concat!("\n## ", env!("CARGO_PKG_VERSION"), " - ");
    assert!(changes.contains(version), "CHANGELOG.md");
}

/// A row that names a test nobody runs would be a promise.
#[test]
fn the_tests_that_security_names_exist() {
    let security = include_str!("../SECURITY.md");
    let sources = ["src", "tests"].map(|name| sources_of_tests(&support::checkout().join(name)));
    let sources = sources.concat();
    let section = |title: &str| {
        let text = security.split(&format!("\n## {title}")).nth(1);
        let rows = text.expect(title).split("\n## ").next().unwrap().lines();
        let rows = rows.filter(|line| line.starts_with("| ") && !line.starts_with("| ---"));
        rows.skip(1)
            .map(|row| quoted(row.rsplit('|').nth(1).unwrap()))
    };
    let advisories: Vec<_> = section("Advisories").collect();
    assert!(advisories.iter().all(|tests| !tests.is_empty()));
    // Among other words there.
    let is_test = |word: &&str| word.matches('_').count() > 2 && !word.contains(['.', ' ']);
    let set_ups: Vec<_> = section("What a wrong password learns")
        .flatten()
        .filter(is_test)
        .collect();
    assert!(set_ups.len() > 3, "{set_ups:?}");
    for test in advisories.concat().into_iter().chain(set_ups) {
        let [in_rust, in_bash] = [format!("fn {test}("), format!("\n{test}_case() ")];
        assert!(
            sources.contains(&in_rust) || sources.contains(&in_bash),
            "{test}"
        );
    }
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

/// The package of `scripts/fuzz` builds the same module: the same dependencies, in the same versions.
#[test]
fn what_is_fuzzed_is_what_is_shipped() {
    let read = |text: &str| text.parse::<toml::Table>().unwrap();
    let table = |text: &str, key: &str| read(text)[key].as_table().unwrap().clone();
    let workspace = read(include_str!("../Cargo.toml"));
    let fuzzed = table(include_str!("fuzz/Cargo.toml"), "dependencies");
    let module = table(include_str!("../src/module/Cargo.toml"), "dependencies");
    for name in module.keys().filter(|name| *name != "ivalt-core") {
        let wanted = &workspace["workspace"]["dependencies"][name];
        assert_eq!(fuzzed.get(name), Some(wanted), "{name}");
    }

    let core = table(include_str!("../src/core/Cargo.toml"), "dependencies");
    let locked = packages(&read(include_str!("../Cargo.lock")));
    let fuzzed = packages(&read(include_str!("fuzz/Cargo.lock")));
    let linked = module.into_iter().chain(core).map(|(name, _)| name);
    let mut wanted: Vec<String> = linked.filter(|name| name != "ivalt-core").collect();
    let mut seen = BTreeSet::new();
    while let Some(name) = wanted.pop() {
        for (package, needs) in locked
            .iter()
            .filter(|(package, _)| is_named(package, &name))
        {
            let found = fuzzed.iter().any(|(other, _)| other == package);
            assert!(found, "not locked in tests/fuzz/Cargo.lock: {package}");
            if seen.insert(package.clone()) {
                wanted.extend(needs.clone());
            }
        }
    }
    assert!(seen.len() > 30, "{seen:?}");
}

/// Of a lock file: "name version", and what it needs, as "name" or "name version".
fn packages(lock: &toml::Table) -> Vec<(String, Vec<String>)> {
    let text = |value: &toml::Value| value.as_str().unwrap().to_owned();
    let package = |package: &toml::Value| {
        let needs = package.get("dependencies").and_then(toml::Value::as_array);
        let needs = needs.into_iter().flatten().map(text).collect();
        let name = format!("{} {}", text(&package["name"]), text(&package["version"]));
        (name, needs)
    };
    let packages = lock["package"].as_array().unwrap();
    packages.iter().map(package).collect()
}

fn is_named(package: &str, wanted: &str) -> bool {
    package == wanted || package.split(' ').next() == Some(wanted)
}

#[test]
fn every_page_is_installed_and_every_page_named_is_there() {
    let folder = &support::checkout().join("debian");
    let names = std::fs::read_dir(folder).unwrap().map(|entry| {
        let name = entry.unwrap().file_name();
        name.to_string_lossy().into_owned()
    });
    let is_page = |name: &String| name.ends_with(".5") || name.ends_with(".8");
    let pages: BTreeSet<String> = names.filter(is_page).collect();
    let installed = include_str!("../debian/libpam-ivalt.manpages").lines();
    let installed = installed.map(|line| line.strip_prefix("debian/").expect(line).to_owned());
    assert_eq!(installed.collect::<BTreeSet<_>>(), pages);
    for page in &pages {
        let text = std::fs::read_to_string(folder.join(page)).unwrap();
        for line in text.lines().filter_map(|line| line.strip_prefix(".Xr ")) {
            let words: Vec<_> = line.split(' ').collect();
            let name = format!("{}.{}", words[0], words[1]);
            assert!(
                !name.contains("ivalt") || pages.contains(&name),
                "{page}: {name}"
            );
        }
    }
}

const HOSTS_AND_CLIENTS: &str = include_str!("../debian/hosts-and-clients.md");

/// How each row of its tables was run.
fn runs() -> Vec<&'static str> {
    let rows = HOSTS_AND_CLIENTS
        .lines()
        .filter(|line| line.starts_with("| "));
    let last_cells = rows.map(|row| row.trim_matches('|').rsplit(" | ").next().unwrap().trim());
    let runs: Vec<_> = last_cells
        .filter(|cell| *cell != "run" && *cell != "---")
        .collect();
    assert!(runs.len() > 30, "{runs:?}");
    runs
}

/// The cases of a folder of the tests.
fn cases(folder: &str) -> BTreeSet<String> {
    let files = files_below(&support::checkout().join("tests").join(folder));
    let scripts = files
        .into_iter()
        .filter(|path| path.extension().is_some_and(|kind| kind == "sh"));
    let text: String = scripts
        .map(|path| std::fs::read_to_string(path).unwrap())
        .collect();
    let name = |line: &str| Some(line.strip_suffix("_case() {")?.to_owned());
    let cases: BTreeSet<_> = text.lines().filter_map(name).collect();
    assert!(cases.len() > 20, "{cases:?}");
    cases
}

#[test]
fn rows_of_hosts_and_clients_name_cases_that_exist_or_the_day() {
    let known = &cases("hosts") | &cases("e2e");
    for run in runs() {
        if let Some(names) = run.strip_prefix("test: ") {
            let names = quoted(names);
            let unknown: Vec<_> = names
                .iter()
                .filter(|name| !known.contains(**name))
                .collect();
            assert!(!names.is_empty() && unknown.is_empty(), "{run}");
        } else {
            let day = run.strip_prefix("by hand: ").expect(run);
            let day = day.rsplit(", ").next().unwrap();
            let numbers: Vec<Result<u32, _>> = day.split('-').map(str::parse).collect();
            assert!(
                matches!(numbers[..], [Ok(2026..), Ok(1..=12), Ok(1..=31)]),
                "{run}"
            );
        }
    }
}

#[test]
fn every_case_of_hosts_and_clients_has_a_row() {
    let named: BTreeSet<_> = runs().into_iter().flat_map(quoted).collect();
    for case in cases("hosts") {
        assert!(named.contains(case.as_str()), "{case}");
    }
}
