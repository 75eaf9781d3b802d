//! Where recovery codes are kept: names and contents of the files below `recovery.directory`, all of them root's.
//!
//! | path | what it is |
//! | --- | --- |
//! | `user-NAME/` | folder of one user, mode 0700 as the directory itself |
//! | `user-NAME/salt` | 32 random bytes, made once |
//! | `user-NAME/code-HEX` | one unused code; its name is made of user and code, its content is a [`CodeFile`] |
//! | `user-NAME/used` | a line for each code that was used, a [`Use`] |
//! | `user-NAME/last-number` | the highest number ever given to a code of this user, in decimal |

use std::fmt::Write;
use std::io;

use ring::hmac;

use super::code::{self, Code};
use crate::log_line::quote_log_value;
use crate::secret::Secret;

/// In a user's folder: the key of its code files' names.
pub const SALT: &str = "salt";
/// In bytes.
pub const SALT_LENGTH: usize = 32;
/// In a user's folder: a line for each code that was used.
pub const USED: &str = "used";
/// In a user's folder: the highest number that a code of this user has had. Written before the codes are, so that no
/// number comes back.
pub const LAST_NUMBER: &str = "last-number";

const USER: &str = "user-";
const CODE: &str = "code-";
/// `NAME_MAX`, in bytes.
const LONGEST_NAME: usize = 255;
/// Of what code files are named by. Another way of naming them gets another number.
const VERSION: &[u8] = b"1";

/// The name of a user's folder, which no other user has and which cannot leave the directory: every byte but `a-z`,
/// `0-9`, `_` and `-` as `%XX`. `None` if it is longer than a name of a folder may be.
#[must_use]
pub fn user_folder(user: &[u8]) -> Option<String> {
    let mut name = USER.to_owned();
    for byte in user {
        match byte {
            b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' => name.push(char::from(*byte)),
            _ => drop(write!(name, "%{byte:02x}")),
        }
    }
    (name.len() <= LONGEST_NAME).then_some(name)
}

/// Whose folder this is. `None` for a name that [`user_folder`] does not give.
#[must_use]
pub fn user_of_folder(name: &str) -> Option<Vec<u8>> {
    let mut rest = name.strip_prefix(USER)?.bytes();
    let mut user = Vec::new();
    while let Some(byte) = rest.next() {
        user.push(match byte {
            b'%' => hex_digit(rest.next()?)? << 4 | hex_digit(rest.next()?)?,
            other => other,
        });
    }
    (user_folder(&user).as_deref() == Some(name)).then_some(user)
}

fn hex_digit(byte: u8) -> Option<u8> {
    char::from(byte)
        .to_digit(16)
        .and_then(|digit| u8::try_from(digit).ok())
}

/// The content of a new [`SALT`].
///
/// # Errors
/// getrandom(2) gives none.
pub fn new_salt() -> io::Result<Secret> {
    let mut bytes = vec![0; SALT_LENGTH];
    code::fill_randomly(&mut bytes)?;
    Ok(Secret::new(bytes))
}

/// The name of a code's file: HMAC-SHA256 (RFC 2104) under the user's salt. What is left of all of it on the stack is
/// below the caller's frame.
#[must_use]
#[inline(never)]
pub fn code_file(salt: &Secret, user: &[u8], code: &Code) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, salt.as_bytes());
    let mut context = hmac::Context::with_key(&key);
    for part in [VERSION, b"\0", user, b"\0", code.symbols()] {
        context.update(part);
    }
    let mut name = CODE.to_owned();
    for byte in context.sign().as_ref() {
        let _ = write!(name, "{byte:02x}");
    }
    name
}

/// Whether a file of this name holds an unused code.
#[must_use]
pub fn is_code_file(name: &str) -> bool {
    let hex = name.strip_prefix(CODE).unwrap_or_default();
    hex.len() == 64
        && hex
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// The content of a code's file: three lines, `number=3`, `made=1764165600`, `expires=1795701600` or `expires=never`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CodeFile {
    /// From 1; a user's codes never have the same.
    pub number: u32,
    /// Seconds since 1970, UTC.
    pub made: u64,
    /// The same; the code is refused from then on. `None` for never.
    pub expires: Option<u64>,
}

impl CodeFile {
    /// The content.
    #[must_use]
    pub fn text(&self) -> String {
        let Self { number, made, .. } = self;
        let expires = match self.expires {
            Some(time) => time.to_string(),
            None => "never".to_owned(),
        };
        format!("number={number}\nmade={made}\nexpires={expires}\n")
    }

    /// Reads the content; `None` where it is anything else.
    #[must_use]
    pub fn parse(content: &[u8]) -> Option<Self> {
        let mut lines = std::str::from_utf8(content).ok()?.lines();
        let mut value = |key| lines.next()?.strip_prefix(key)?.strip_prefix('=');
        let (number, made, expires) = (value("number")?, value("made")?, value("expires")?);
        let file = Self {
            number: number.parse().ok()?,
            made: made.parse().ok()?,
            expires: match expires {
                "never" => None,
                time => Some(time.parse().ok()?),
            },
        };
        (file.text().as_bytes() == content).then_some(file)
    }

    /// Whether it is past its time.
    #[must_use]
    pub fn has_expired(&self, now: u64) -> bool {
        self.expires.is_some_and(|time| now >= time)
    }
}

/// A line of [`USED`]: `number=3 time=1764165600 service=sshd rhost=203.0.113.7`, values quoted as in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Use {
    /// That of the code.
    pub number: u32,
    /// Seconds since 1970, UTC.
    pub time: u64,
    /// `PAM_SERVICE`, as the log line shows it.
    pub service: String,
    /// `PAM_RHOST`, likewise.
    pub rhost: String,
}

impl Use {
    /// Of foreign bytes.
    #[must_use]
    pub fn new(number: u32, time: u64, service: &[u8], rhost: &[u8]) -> Self {
        let [service, rhost] = [service, rhost].map(quote_log_value);
        Self {
            number,
            time,
            service,
            rhost,
        }
    }

    /// The line with its end.
    #[must_use]
    pub fn line(&self) -> String {
        let Self {
            number,
            time,
            service,
            rhost,
        } = self;
        format!("number={number} time={time} service={service} rhost={rhost}\n")
    }

    fn parse(line: &str) -> Option<Self> {
        let (number, rest) = line.strip_prefix("number=")?.split_once(" time=")?;
        let (time, rest) = rest.split_once(" service=")?;
        let (service, rest) = quoted(rest)?;
        let (rhost, rest) = quoted(rest.strip_prefix(" rhost=")?)?;
        rest.is_empty().then_some(Self {
            number: number.parse().ok()?,
            time: time.parse().ok()?,
            service: service.to_owned(),
            rhost: rhost.to_owned(),
        })
    }
}

/// The first value of the text as [`quote_log_value`] wrote it, and what follows it.
fn quoted(text: &str) -> Option<(&str, &str)> {
    let Some(inner) = text.strip_prefix('"') else {
        return Some(text.split_at(text.find(' ').unwrap_or(text.len())));
    };
    let mut escaped = false;
    let end = inner.find(|character| {
        let is_end = character == '"' && !escaped;
        escaped = character == '\\' && !escaped;
        is_end
    })?;
    text.split_at_checked(end + 2)
}

/// The lines of [`USED`]; what a full disk has cut off is left out.
#[must_use]
pub fn parse_used(content: &[u8]) -> Vec<Use> {
    let text = String::from_utf8_lossy(content);
    text.lines().filter_map(Use::parse).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recovery::code::Answer;
    use crate::sys::memory::{is_on_the_stack, wipe_stack};

    #[test]
    fn a_users_folder_is_that_of_nobody_else_and_stays_in_the_directory() {
        for (user, folder) in [
            (&b"alice"[..], "user-alice"),
            (b"Alice", "user-%41lice"),
            (b"first.last", "user-first%2elast"),
            (b"../../etc", "user-%2e%2e%2f%2e%2e%2fetc"),
            (b"", "user-"),
            (b"%41", "user-%2541"),
            (b"\xff-_", "user-%ff-_"),
        ] {
            assert_eq!(user_folder(user).as_deref(), Some(folder));
            assert_eq!(user_of_folder(folder).as_deref(), Some(user));
        }
        assert_eq!(user_folder(&[b'a'; 250]).map(|name| name.len()), Some(255));
        assert_eq!(user_folder(&[b'a'; 251]), None);
        for name in [
            "alice", "user-%61", "user-%4", "user-A", "user-%2E", "user-a/b",
        ] {
            assert_eq!(user_of_folder(name), None, "{name}");
        }
    }

    #[test]
    fn a_codes_file_is_named_by_salt_user_and_code() {
        let code = |text: &str| match code::read(&Secret::new(text.as_bytes().to_vec())) {
            Answer::Code(code) => code,
            other => panic!("{text}: {other:?}"),
        };
        let salt = Secret::new((0..32).collect());
        let name = code_file(&salt, b"alice", &code("rc-0123-4567-89AB-CDEF-YW"));
        // printf '1\0alice\00123456789ABCDEF' | openssl dgst -sha256 -mac HMAC -macopt hexkey:000102…1f
        assert_eq!(
            name,
            "code-e2b4e6584a73a0452589f6fe0e203a26682dd965f3610a79b955814e6aec0a2d"
        );
        assert!(is_code_file(&name));
        for other in ["salt", "used", "code-", "code-0", &name.to_uppercase()] {
            assert!(!is_code_file(other), "{other}");
        }
    }

    #[test]
    #[cfg_attr(miri, ignore = "Miri has no such stack")]
    fn what_the_hash_leaves_on_the_stack_is_wiped() {
        // Reading the stack writes over some of it, and what is left there depends on the code.
        let is_left = |wipe: fn()| {
            let (code, salt) = (code::generate().unwrap(), new_salt().unwrap());
            let _ = code_file(&salt, b"alice", &code);
            wipe();
            is_on_the_stack(code.symbols(), 16 << 10)
        };
        assert!((0..100).any(|_| is_left(|| {})), "the test looks elsewhere");
        assert!(!(0..100).any(|_| is_left(wipe_stack)));
    }

    #[test]
    fn what_a_code_file_holds() {
        for (file, text) in [
            (
                CodeFile {
                    number: 3,
                    made: 1_764_165_600,
                    expires: Some(1_795_701_600),
                },
                "number=3\nmade=1764165600\nexpires=1795701600\n",
            ),
            (
                CodeFile {
                    number: 1,
                    made: 0,
                    expires: None,
                },
                "number=1\nmade=0\nexpires=never\n",
            ),
        ] {
            assert_eq!(file.text(), text);
            assert_eq!(CodeFile::parse(text.as_bytes()), Some(file));
            for cut in 0..text.len() {
                assert_eq!(CodeFile::parse(&text.as_bytes()[..cut]), None, "{cut}");
            }
        }
        for text in [
            "number=03\nmade=0\nexpires=never\n",
            "number=3\nmade=0\nexpires=+1\n",
        ] {
            assert_eq!(CodeFile::parse(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn a_code_is_good_until_its_second() {
        let until = |expires| CodeFile {
            number: 1,
            made: 0,
            expires,
        };
        assert!(!until(Some(10)).has_expired(9));
        assert!(until(Some(10)).has_expired(10));
        assert!(!until(None).has_expired(u64::MAX));
    }

    #[test]
    fn uses_are_read_as_they_were_written() {
        let uses = [
            Use::new(3, 1_764_165_600, b"sshd", b"203.0.113.7"),
            Use::new(4, 1, b"", b""),
            Use::new(5, 2, b"a b", b"x\" number=9 \\\n"),
        ];
        let text = uses.each_ref().map(Use::line).concat();
        assert!(text.starts_with("number=3 time=1764165600 service=sshd rhost=203.0.113.7\n"));
        assert_eq!(parse_used(text.as_bytes()), uses);
        // A line that was cut off spoils the next one, and no other.
        let torn = format!("number=1 time=2 service=ss{text}");
        assert_eq!(parse_used(torn.as_bytes()), uses[1..]);
    }
}
