//! `users.toml`: whose mobile is whose.
//!
//! The file is read event by event and never built: one bad entry must refuse one user, not everybody,
//! and a hundred thousand users must not cost a login memory.

mod canonical;
mod entry;
#[cfg(feature = "testing")]
pub mod from_memory;
mod mobile;
mod parser;
mod prefilter;
mod spelling;
mod window;

use std::fmt;
use std::path::Path;

pub use entry::RawEntry;
pub use mobile::{Mobile, not_a_mobile};
pub use parser::{EntryVisitor, UsersParser, names_without_quotes, scan};
#[cfg(feature = "testing")]
pub use prefilter::prefilter;

use crate::problem::{Problem, ProblemKind};
use crate::settings::MobileFormat;
use crate::toml_events::NotToml;
use crate::trusted_file::{LARGE, ReadPermission, Trust, TrustedFile};
use parser::SingleUser;
use spelling::Spellings;
use window::WINDOW;

/// What `users.toml` says about one user.
#[derive(Debug, PartialEq, Eq)]
pub enum Entry {
    /// Nothing.
    Absent,
    /// This mobile.
    Enrolled(Mobile),
    /// This mobile, with `enabled = false`.
    Disabled(Mobile),
    /// Something that cannot be used.
    Bad(Problem),
}

/// The files that say whose mobile is whose.
#[derive(Clone, Copy, Debug)]
pub struct Files<'a> {
    /// `users_file`: written by hand, and what it says of a user always counts.
    pub own: &'a Path,
    /// `synced_users_file`: only for users of whom the other says nothing.
    pub synced: Option<&'a Path>,
}

/// What they say about one user.
#[derive(Debug, PartialEq, Eq)]
pub struct Found<'a> {
    /// The entry.
    pub entry: Entry,
    /// The file that has it; the last one where none has.
    pub file: &'a Path,
}

impl<'a> Files<'a> {
    /// Both, in the order in which they count.
    pub fn iter(self) -> impl Iterator<Item = &'a Path> {
        [self.own].into_iter().chain(self.synced)
    }

    /// Looks `name` up, byte for byte. Whoever is in the first file is not touched by the second.
    ///
    /// # Errors
    /// A file that was needed cannot be trusted or is not TOML.
    pub fn look_up(
        self,
        trust: Trust,
        name: &[u8],
        format: MobileFormat,
    ) -> Result<Found<'a>, Problem> {
        let entry = look_up(self.own, trust, name, format)?;
        match (entry, self.synced) {
            (Entry::Absent, Some(file)) => {
                let entry = look_up(file, trust, name, format)
                    .map_err(|problem| of_synced(problem, trust))?;
                Ok(Found { entry, file })
            }
            (entry, _) => Ok(Found {
                entry,
                file: self.own,
            }),
        }
    }

    /// Whether `found` is what the directory says, and only a sync changes it.
    #[must_use]
    pub fn is_synced(self, found: &Found) -> bool {
        self.synced == Some(found.file)
    }

    /// The first name in them that is another spelling of one of `names`, whatever is said of it, and the file that
    /// has it.
    ///
    /// # Errors
    /// As [`Files::look_up`].
    pub fn other_spelling(
        self,
        trust: Trust,
        names: &[&[u8]],
    ) -> Result<Option<(String, &'a Path)>, Problem> {
        let own = other_spelling(self.own, trust, names)?;
        if let Some(spelling) = own {
            return Ok(Some((spelling, self.own)));
        }
        let Some(file) = self.synced else {
            return Ok(None);
        };
        let found =
            other_spelling(file, trust, names).map_err(|problem| of_synced(problem, trust))?;
        Ok(found.map(|spelling| (spelling, file)))
    }
}

/// With an empty file in its place, all who are in it would be users without an entry, whom a policy may ignore; and
/// other rights than root's last until the next sync.
fn of_synced(problem: Problem, trust: Trust) -> Problem {
    let uid = trust.effective_uid;
    match problem.kind {
        ProblemKind::Missing => problem.run("ivaltctl users sync".to_owned()),
        ProblemKind::PermissionDenied if uid != 0 => problem.fix(format!(
            "this process runs as uid {uid}, and a sync leaves its file to root alone: take synced_users_file out of \
             the settings of this service, and enrol its users by hand"
        )),
        _ => problem,
    }
}

/// `/a` or `/a or /b`, in the middle of a sentence about users who are in neither.
impl fmt::Display for Files<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.own.display())?;
        match self.synced {
            Some(synced) => write!(f, " or {}", synced.display()),
            None => Ok(()),
        }
    }
}

/// Looks `name` up in the file at `path`, byte for byte.
///
/// # Errors
/// The file cannot be trusted or is not TOML: then nobody is looked up.
pub fn look_up(
    path: &Path,
    trust: Trust,
    name: &[u8],
    format: MobileFormat,
) -> Result<Entry, Problem> {
    let file = trust.open(path, ReadPermission::Anybody, LARGE)?;
    if let Some(entry) = entry_in_large(&file, name, format) {
        return Ok(entry);
    }
    look_up_in(path, &file.read()?, name, format)
}

/// The entry, if the file is large and the user's lines are enough to tell.
fn entry_in_large(file: &TrustedFile, name: &[u8], format: MobileFormat) -> Option<Entry> {
    let wanted = std::str::from_utf8(name).ok()?;
    let kept = filter_large(file, |name| prefilter::concerns(name, wanted.as_bytes()))?;
    entry_in_kept(&kept, wanted, format)
}

/// What the prefilter keeps of a large file, as far as that can be told piece by piece.
fn filter_large(file: &TrustedFile, wanted: impl Fn(&[u8]) -> bool) -> Option<String> {
    if file.size() <= WINDOW as u64 {
        return None;
    }
    window::filter(|buffer, at| file.read_at(buffer, at), WINDOW, wanted)
}

/// The first name in the file at `path` that is another spelling of one of `names`, whatever is said of it.
///
/// # Errors
/// As [`look_up`].
fn other_spelling(path: &Path, trust: Trust, names: &[&[u8]]) -> Result<Option<String>, Problem> {
    let file = trust.open(path, ReadPermission::Anybody, LARGE)?;
    let spellings = Spellings::of(names);
    let kept = filter_large(&file, |name| spellings.may_match(name));
    if let Some(Ok(found)) = kept.map(|kept| spellings.scan(&kept)) {
        return Ok(found);
    }
    let bytes = file.read()?;
    let count = |at: usize| bytes.iter().take(at).filter(|byte| **byte == b'\n').count();
    let lines = Lines {
        path,
        before: &count,
    };
    let text = text(&bytes, &lines)?;
    let found = spellings.find(text);
    found.map_err(|not_toml| lines.not_toml(not_toml))
}

/// As [`look_up`] for a file that has been read.
///
/// # Errors
/// As [`look_up`].
pub fn look_up_in(
    path: &Path,
    bytes: &[u8],
    name: &[u8],
    format: MobileFormat,
) -> Result<Entry, Problem> {
    let count = |at: usize| bytes.iter().take(at).filter(|byte| **byte == b'\n').count();
    let lines = Lines {
        path,
        before: &count,
    };
    let text = text(bytes, &lines)?;
    let wanted = std::str::from_utf8(name).ok();
    if let Some(entry) = wanted.and_then(|wanted| plain_entry(text, wanted, format)) {
        return Ok(entry);
    }
    let one = scan(text, SingleUser::new(wanted)).map_err(|not_toml| lines.not_toml(not_toml))?;
    Ok(one.found.entry(&lines, name, format))
}

/// The entry, if it can be had without the plain lines of all others. A want of memory needs the whole file, for its
/// sentence.
fn plain_entry(text: &str, wanted: &str, format: MobileFormat) -> Option<Entry> {
    let kept = prefilter::prefilter(text, wanted).ok()?;
    entry_in_kept(&kept, wanted, format)
}

/// The entry in what the prefilter has kept. What is wrong needs the whole file, for its lines.
fn entry_in_kept(kept: &str, wanted: &str, format: MobileFormat) -> Option<Entry> {
    let one = scan(kept, SingleUser::new(Some(wanted))).ok()?;
    let lines = Lines {
        path: Path::new(""),
        before: &|_| 0,
    };
    let entry = one.found.entry(&lines, wanted.as_bytes(), format);
    (!matches!(entry, Entry::Bad(_))).then_some(entry)
}

/// The file as text.
///
/// # Errors
/// It is not UTF-8.
pub fn text<'a>(bytes: &'a [u8], lines: &Lines) -> Result<&'a str, Problem> {
    std::str::from_utf8(bytes).map_err(|error| {
        let problem = Problem::invalid("is not UTF-8").fix("write the file again as UTF-8 text");
        lines.locate(error.valid_up_to(), problem)
    })
}

/// Turns an offset into what an editor shows.
#[allow(missing_debug_implementations)]
pub struct Lines<'a> {
    /// The file.
    pub path: &'a Path,
    /// How many line ends are before an offset: counted where one is wanted, looked up where many are.
    pub before: &'a dyn Fn(usize) -> usize,
}

impl Lines<'_> {
    /// The number of the line at `at`.
    #[must_use]
    pub fn number(&self, at: usize) -> usize {
        (self.before)(at) + 1
    }

    /// Why nobody can be looked up in such a file.
    #[must_use]
    pub fn not_toml(&self, not_toml: NotToml) -> Problem {
        match not_toml.problem.kind {
            ProblemKind::Unreadable => not_toml.problem.in_file(self.path),
            _ => self.locate(not_toml.at, not_toml.problem),
        }
    }

    fn locate(&self, at: usize, problem: Problem) -> Problem {
        problem.in_file(self.path).in_line(self.number(at))
    }

    /// `problem` is about the entry of `name`.
    fn bad(&self, at: usize, name: &[u8], problem: Problem) -> Entry {
        let what = format!("{}: {}", String::from_utf8_lossy(name), problem.what);
        Entry::Bad(self.locate(at, Problem { what, ..problem }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(text: &str, name: &str) -> Result<Entry, NotToml> {
        let count = |at| text[..at].matches('\n').count();
        let lines = Lines {
            path: Path::new("users.toml"),
            before: &count,
        };
        let one = scan(text, SingleUser::new(Some(name)))?;
        Ok(one.found.entry(&lines, name.as_bytes(), MobileFormat::E164))
    }

    fn enrolled(text: &str, name: &str) -> String {
        match entry(text, name) {
            Ok(Entry::Enrolled(mobile)) => mobile.as_str().to_owned(),
            other => panic!("{other:?}"),
        }
    }

    fn bad(text: &str, name: &str) -> String {
        match entry(text, name) {
            Ok(Entry::Bad(problem)) => problem.to_string(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn every_way_to_write_an_entry() {
        for text in [
            "[users]\nalice = \"+916283974746\"",
            "users.alice = \"+916283974746\"",
            "users = { alice = \"+916283974746\" }",
            "[users]\n\"alice\" = { mobile = '+91 6283-974.746' }",
            "[users]\nalice = { enabled = true, mobile = \"+916283974746\" }\n",
            "[users.alice]\nmobile = \"+916283974746\"",
            "[users]\nalice.mobile = \"+916283974746\"\nalice.enabled = true",
            "[users]\nbob = 3\nalice = \"+916283974746\"\n[users.carol]\nx = [{mobile=\"+1\"}]",
        ] {
            assert_eq!(enrolled(text, "alice"), "+916283974746", "{text}");
        }
        assert_eq!(
            enrolled("[users]\n\"first.last\" = \"+14155550100\"", "first.last"),
            "+14155550100"
        );
        assert_eq!(
            enrolled(
                "[users]\n\"first.last\".mobile = \"+14155550100\"",
                "first.last"
            ),
            "+14155550100"
        );
    }

    /// As TOML allows it.
    #[test]
    fn users_in_several_places() {
        const M: &str = "mobile = '+14155550100'";
        for text in [
            format!("[users.bob]\nx = 1\n[users.alice]\n{M}\n[users]\n"),
            format!("users.bob = ''\nusers.alice.{M}\n[users.carol]\n"),
            format!("users = {{ bob = {{}}, alice = {{ {M} }} }}\n"),
        ] {
            assert_eq!(enrolled(&text, "alice"), "+14155550100", "{text}");
        }
    }

    #[test]
    fn look_up_is_byte_for_byte() {
        let text = "[users]\nalice = \"+916283974746\"";
        for name in ["", "Alice", "alice ", "alic", "alicea", "users", "mobile"] {
            assert_eq!(entry(text, name), Ok(Entry::Absent), "{name}");
        }
    }

    #[test]
    fn disabled_is_not_absent() {
        let mobile = Mobile::parse("+14155550100", MobileFormat::E164).unwrap();
        let text = "[users]\n\"first.last\" = { mobile = \"+14155550100\", enabled = false }";
        assert_eq!(entry(text, "first.last"), Ok(Entry::Disabled(mobile)));
    }

    #[test]
    fn one_bad_entry_refuses_one_user() {
        const QUOTES: &str =
            r#"a name with dots needs quotes; write "first.last" = "+14155550100""#;
        for (entries, name, what) in [
            (
                "alice = 5",
                "alice",
                r#"2: alice: must be a mobile in quotes, like "+14155550100""#,
            ),
            (
                "alice = +14155550100",
                "alice",
                r#"2: alice: must be a mobile in quotes, like "+14155550100""#,
            ),
            (
                "alice = ['+14155550100']",
                "alice",
                r#"2: alice: must be a mobile in quotes, like "+14155550100""#,
            ),
            (
                "alice = '+1415555'\nalice = '+14155550100'",
                "alice",
                "3: alice: is defined twice, in lines 2 and 3; keep one",
            ),
            (
                "alice = '+1415555'\n'alice' = '+1415555'",
                "alice",
                "3: alice: is defined twice, in lines 2 and 3; keep one",
            ),
            (
                "alice = '+1415555'\n[users.alice]",
                "alice",
                "3: alice: is defined twice, in lines 2 and 3; keep one",
            ),
            (
                "alice = { mobile = '+1415555', mobile = '+1415555' }",
                "alice",
                "2: alice: mobile is defined twice; keep one",
            ),
            (
                "alice = {}",
                "alice",
                r#"2: alice: has no mobile; write { mobile = "+14155550100" }"#,
            ),
            (
                "alice = { mobile = 1 }",
                "alice",
                r#"2: alice: mobile must be a string in quotes, like "+14155550100""#,
            ),
            (
                "alice = { mobile = '+14155550100', enabled = 'no' }",
                "alice",
                "2: alice: enabled must be true or false",
            ),
            (
                "alice = { mobile = '+14155550100', enable = false }",
                "alice",
                r#"2: alice: unknown key "enable"; expected mobile or enabled"#,
            ),
            (
                "first.last = '+14155550100'",
                "first.last",
                &format!("2: first.last: {QUOTES}"),
            ),
            (
                "first.last = '+14155550100'",
                "first",
                &format!("2: first: {QUOTES}"),
            ),
            (
                "[users.first.last]\nmobile='+14155550100'",
                "first.last",
                &format!("2: first.last: {QUOTES}"),
            ),
        ] {
            let text = format!("[users]\n{entries}\n[users.bob]\nmobile = '+14155550199'\n");
            assert_eq!(bad(&text, name), format!("users.toml:{what}"), "{entries}");
            assert_eq!(enrolled(&text, "bob"), "+14155550199", "{entries}");
        }
    }

    /// An administrator wanted to disable alice and wrote it in another form: that must not let her in.
    #[test]
    fn a_key_in_any_form_is_seen() {
        const M: &str = "mobile = '+14155550100'";
        for text in [
            format!("[users]\nalice.{M}\nalice.disabled = true"),
            format!("[users]\nalice.disabled = true\nalice.{M}"),
            format!("[users]\nalice.{M}\nalice.enable = false"),
            format!("[users]\nalice.{M}\nalice.note = 'left in May'"),
            format!("[users.alice]\n{M}\nenabled.x = false"),
            format!("[users.alice]\n{M}\n[users.alice.disabled]"),
            format!("[users]\nalice = {{ {M}, enabled.'' = false }}"),
            format!("[users]\nalice = {{ {M}, x = {{}} }}"),
            "[users]\nalice = '+14155550100'\nalice.enabled = true".to_owned(),
            "[users]\nalice = '+14155550100'\nalice.disabled = true".to_owned(),
            format!("[users]\nalice = {{ {M} }}\nalice.enabled = false"),
            format!("[users]\nalice.{M}\n[users.alice]\nenabled = false"),
            format!("[[users.alice]]\n{M}"),
            "[users.alice]\n".to_owned(),
            "[users]\nalice.enabled = true\n".to_owned(),
        ] {
            bad(&text, "alice");
            let others = format!("{text}\n[users.bob]\n{M}\n");
            assert_eq!(enrolled(&others, "bob"), "+14155550100", "{others}");
        }
    }

    #[test]
    fn enabled_twice_is_a_bad_entry() {
        let text = "[users]\nalice = { mobile = '+14155550100', enabled = true, enabled = true }";
        assert_eq!(
            bad(text, "alice"),
            "users.toml:2: alice: enabled is defined twice; keep one"
        );
    }

    #[test]
    fn unquoted_dots_are_an_entry() {
        for text in [
            "[users]\njohn.mobile = '+1'",
            "[users.john]\nmobile = '+1'",
            "[users.john.mobile]\nenabled = true",
        ] {
            assert!(bad(text, "john.mobile").contains("needs quotes"), "{text}");
        }
        assert!(bad("[users.first]\nlast = '+1'", "first.last").contains("needs quotes"));
    }

    #[test]
    fn a_mobile_in_place_of_a_name_is_not_shown() {
        for text in [
            "[users]\nalice.'+14155550177' = 'x'",
            "[users]\nalice = { '+14155550177' = 1 }",
        ] {
            assert!(!bad(text, "alice").contains("4155550177"), "{text}");
        }
        assert!(
            !entry("['+14155550100']", "alice")
                .unwrap_err()
                .problem
                .to_string()
                .contains("4155550100")
        );
    }

    #[test]
    fn an_unquoted_name_does_not_break_its_first_part() {
        let text = "[users]\nfirst = '+14155550100'\nfirst.last = '+14155550199'";
        assert_eq!(enrolled(text, "first"), "+14155550100");
    }

    #[test]
    fn what_is_not_toml_refuses_everybody() {
        for (text, line, what) in [
            (
                "[users]\nalice = \"+14155550100\"\nbob = yes\n",
                3,
                "is not TOML: ",
            ),
            (
                "[users]\nalice = \"+14155550100\nbob = 1\n",
                2,
                "is not TOML: ",
            ),
            (
                "[users]\nalice = \"+14155550100\"\nbob = 5_1\"t\n",
                3,
                "is not TOML: invalid number or date",
            ),
            ("[users]\nalice \"+14155550100\"\n", 2, "is not TOML: "),
            ("[users\nalice = \"+14155550100\"\n", 1, "is not TOML: "),
            (
                "alice = \"+14155550100\"\n",
                1,
                "\"alice\" is outside [users]; move it below the line [users]",
            ),
            (
                "[users]\n[groups]\nalice = \"+14155550100\"\n",
                2,
                "\"groups\" is outside [users]",
            ),
            (
                "[[users]]\nalice = \"+14155550100\"\n",
                1,
                "\"users\" is outside [users]",
            ),
            (
                "[users]\r\nbob = 1\r\r\n",
                2,
                "is not TOML: carriage return must be followed by newline; end its lines in LF: sed -i 's/\\r/\\n/g' FILE",
            ),
            ("[users]\nbob = 2020-13-45\n", 2, "is not TOML: "),
            ("[users]\nbob = 12:99:00\n", 2, "is not TOML: "),
            ("users = 3\n", 1, "\"users\" is outside [users]"),
            (
                "[users]\n[users]\n",
                2,
                "[users] is defined twice; keep one",
            ),
            (
                "users = {}\n[users.bob]\n",
                2,
                "[users] is defined twice; keep one",
            ),
            (
                "users = {}\nusers.bob = 'x'\n",
                2,
                "[users] is defined twice; keep one",
            ),
            (
                "users = {}\n[users]\n",
                2,
                "[users] is defined twice; keep one",
            ),
            (
                "users.bob = 'x'\nusers = {}\n",
                2,
                "[users] is defined twice; keep one",
            ),
            (
                "users.bob.mobile = 'x'\n[users]\n",
                2,
                "[users] is defined twice; keep one",
            ),
        ] {
            let NotToml { at, problem } = entry(text, "alice").unwrap_err();
            let sentence = problem.to_string();
            assert_eq!(
                text[..at].matches('\n').count() + 1,
                line,
                "{text}: {sentence}"
            );
            assert!(sentence.starts_with(what), "{text}: {sentence}");
            assert!(!sentence.contains("4155550100"), "{sentence}");
        }
    }

    #[test]
    fn nested_a_thousand_deep_is_refused_without_harm() {
        let text = format!("[users]\nx = {}1{}\n", "[".repeat(1000), "]".repeat(1000));
        assert!(entry(&text, "alice").is_err());
        let text = format!("[users]\nx = {}", "{a=".repeat(1000));
        assert!(entry(&text, "alice").is_err());
    }
}
