//! The synced users file: what it says now, and its new text.
//!
//! A login reads it up to the name it looks for by a fast path, which ends at the first line that it does not know. So every
//! entry is one plain line, and names that need escapes stand last.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use super::person::NoAnswer;
use crate::Refused;
use crate::terminal::visible;
use crate::users::file::UsersFile;
use crate::users::{entries, entries::text};
use ivalt_core::problem::{Problem, ProblemKind};
use ivalt_core::settings::MobileFormat;
use ivalt_core::trusted_file::{LARGE, ReadPermission};
use ivalt_core::users::{Entry, Mobile};

/// How the first line begins. What follows tells the source of the last change.
const OWNER: &str = "# Written by `ivaltctl users sync`, which alone changes it: what is written here by hand is lost. Source: ";

/// One entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Present {
    pub mobile: Mobile,
    pub enabled: bool,
}

/// All entries, by name.
pub type Entries = BTreeMap<String, Present>;

/// What the file says now.
#[derive(Debug, Default)]
pub struct Now {
    /// Whether there is one.
    pub exists: bool,
    /// Those that a login can use, or would deny as disabled.
    pub entries: Entries,
    /// Those that are bad: somebody has edited the file.
    pub bad: BTreeMap<String, Problem>,
    text: String,
}

impl Now {
    /// Reads it as the module would; nothing where there is none yet.
    ///
    /// # Errors
    /// The module would refuse everybody; what to do about it.
    pub fn read(file: &UsersFile, format: MobileFormat) -> Result<Self, NoAnswer> {
        let path = file.path();
        let bytes = match crate::trust().read(path, ReadPermission::Anybody, LARGE) {
            Err(problem) if problem.kind == ProblemKind::Missing => return Ok(Self::default()),
            read => read?,
        };
        let now = text(path, &bytes).and_then(|text| Self::parse(path, text, format));
        now.map_err(|problem| damaged(path, &problem, bytes.starts_with(OWNER.as_bytes())))
    }

    pub fn parse(path: &Path, text: &str, format: MobileFormat) -> Result<Self, Problem> {
        let mut now = Self {
            exists: true,
            text: text.to_owned(),
            ..Self::default()
        };
        for user in entries::read_all(path, text, format)? {
            let name = user.name.into_owned();
            let (mobile, enabled) = match user.entry {
                Entry::Enrolled(mobile) => (mobile, true),
                Entry::Disabled(mobile) => (mobile, false),
                Entry::Bad(problem) => {
                    now.bad.insert(name, problem);
                    continue;
                }
                Entry::Absent => continue,
            };
            now.entries.insert(name, Present { mobile, enabled });
        }
        Ok(now)
    }

    /// The text that says this, or none where the file says it already. Another source alone is no change, so that a
    /// second server of the same directory leaves the file as it is.
    ///
    /// # Errors
    /// The module would not read from it what is meant.
    pub fn change(
        &self,
        path: &Path,
        entries: &Entries,
        source: &str,
        format: MobileFormat,
    ) -> Result<Option<String>, Refused> {
        let new = render(entries, source);
        if self.text.starts_with(OWNER) && rest(&self.text) == rest(&new) {
            return Ok(None);
        }
        let again = Self::parse(path, &new, format)?;
        if again.entries != *entries || !again.bad.is_empty() {
            return Err(Refused(format!(
                "{}: refusing to write: the result would not parse as intended; nothing was changed",
                path.display()
            )));
        }
        Ok(Some(new))
    }
}

/// A file of ours can be made anew, without anybody being let in who was not: the memory knows the mobiles. Another one may
/// be anything, and must stay where it is.
fn damaged(path: &Path, problem: &Problem, is_ours: bool) -> NoAnswer {
    let file = crate::system_error::shell_word(&path.to_string_lossy());
    let fix = match is_ours {
        true => format!(
            "mend it, or move it away, and the next sync writes it anew: mv {file} {file}.damaged"
        ),
        false => {
            "no sync has written it: mend it, or name another file in synced_users_file".to_owned()
        }
    };
    NoAnswer::Refused(format!("{problem}; nothing was changed; {fix}"))
}

/// All but the first line.
fn rest(text: &str) -> &str {
    text.split_once('\n').map_or("", |(_, rest)| rest)
}

fn render(entries: &Entries, source: &str) -> String {
    let mut text = format!(
        "{OWNER}{}\n# To deny somebody on this host at once: ivaltctl users disable NAME\n\n[users]\n",
        visible(source)
    );
    let (escaped, plain): (Vec<_>, Vec<_>) =
        entries.iter().partition(|(name, _)| needs_escapes(name));
    for (name, present) in plain.into_iter().chain(escaped) {
        let (key, mobile) = (key(name), present.mobile.as_str());
        let _ = match present.enabled {
            true => writeln!(text, "{key} = \"{mobile}\""),
            false => writeln!(text, "{key} = {{ mobile = \"{mobile}\", enabled = false }}"),
        };
    }
    text
}

fn needs_escapes(name: &str) -> bool {
    name.contains(['"', '\\'])
}

/// Control characters are in no name.
fn key(name: &str) -> String {
    let bare = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    match !name.is_empty() && name.bytes().all(bare) {
        true => name.to_owned(),
        false => format!("\"{}\"", name.replace('\\', "\\\\").replace('"', "\\\"")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const E164: MobileFormat = MobileFormat::E164;

    fn present(mobile: &str, enabled: bool) -> Present {
        let mobile = Mobile::parse(mobile, E164).unwrap();
        Present { mobile, enabled }
    }

    fn entries(names: &[(&str, bool)]) -> Entries {
        let entry = |(name, enabled): &(&str, bool)| {
            ((*name).to_owned(), present("+14155550100", *enabled))
        };
        names.iter().map(entry).collect()
    }

    fn path() -> &'static Path {
        Path::new("synced.toml")
    }

    #[test]
    fn names_that_need_escapes_stand_last() {
        let wanted = entries(&[
            ("DOM\\carol", true),
            ("bob", false),
            ("first.last", true),
            ("z\"", true),
            ("zoë", true),
        ]);
        let text = render(&wanted, "ldaps://dc1.example\n\u{1b}[31m");
        let expected = "# Written by `ivaltctl users sync`, which alone changes it: what is written here by hand is lost. Source: \
                        ldaps://dc1.example\\n\\u{1b}[31m\n\
                        # To deny somebody on this host at once: ivaltctl users disable NAME\n\n\
                        [users]\n\
                        bob = { mobile = \"+14155550100\", enabled = false }\n\
                        \"first.last\" = \"+14155550100\"\n\
                        \"zoë\" = \"+14155550100\"\n\
                        \"DOM\\\\carol\" = \"+14155550100\"\n\
                        \"z\\\"\" = \"+14155550100\"\n";
        assert_eq!(text, expected);
    }

    #[test]
    fn another_source_alone_is_no_change() {
        let wanted = entries(&[("alice", true)]);
        let now = Now::parse(path(), &render(&wanted, "ldaps://dc1"), E164).unwrap();
        assert_eq!(now.entries, wanted);
        assert_eq!(now.change(path(), &wanted, "ldaps://dc2", E164), Ok(None));
        let by_hand = Now::parse(path(), "[users]\nalice = '+14155550100'\n", E164).unwrap();
        let new = by_hand
            .change(path(), &wanted, "ldaps://dc2", E164)
            .unwrap();
        assert_eq!(new, Some(render(&wanted, "ldaps://dc2")));
        let empty = Now::default()
            .change(path(), &Entries::new(), "x", E164)
            .unwrap();
        assert!(empty.is_some());
    }

    proptest! {
        /// Whatever a name is made of, the module reads back what was written, by the slow path and by the fast one.
        #[test]
        fn what_is_written_is_read_back(
            names in proptest::collection::btree_set("[a-c.\\\\\"' @#=\\[\\]{}é\u{202e}\u{2028}-]{1,6}", 0..8),
            source in "\\PC{0,20}",
        ) {
            let names: Vec<_> = names.iter().map(|name| (name.as_str(), name.len() % 2 == 0)).collect();
            let wanted = entries(&names);
            let text = Now::default().change(path(), &wanted, &source, E164).unwrap().unwrap();
            for (name, enabled) in names {
                let entry = ivalt_core::users::look_up_in(path(), text.as_bytes(), name.as_bytes(), E164).unwrap();
                let mobile = Mobile::parse("+14155550100", E164).unwrap();
                let expected = if enabled { Entry::Enrolled(mobile) } else { Entry::Disabled(mobile) };
                prop_assert_eq!(entry, expected);
            }
        }
    }
}
