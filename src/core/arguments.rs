//! The words after the module's name in pam.d. Anything unknown is an error: a mistyped option must not vanish.

use std::ffi::{CStr, OsStr};
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

/// Where settings are when `config=` does not say.
pub const DEFAULT_CONFIG: &str = "/etc/ivalt/ivalt.toml";

/// The module's arguments, in the order of the man page.
#[derive(Debug, PartialEq, Eq)]
pub struct Arguments {
    /// `config=PATH`, absolute.
    pub config: PathBuf,
    /// `debug`: the log line says how long each step took.
    pub debug: Debug,
    /// `try_first_pass`, `use_first_pass` or neither.
    pub first_pass: FirstPass,
    /// `nodelay`: a denial asks PAM for no delay.
    pub delay: Delay,
    /// `only_after=METHOD`, one of [`METHODS`]: the line is passed over unless sshd says that METHOD has passed.
    pub only_after: Option<&'static str>,
}

/// The methods of sshd that `only_after=` may name: those that prove something without PAM.
pub const METHODS: [&str; 3] = ["publickey", "hostbased", "gssapi-with-mic"];

/// Whether the log line carries the steps of the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Debug {
    /// Only what failed.
    Off,
    /// How long each step took, too.
    On,
}

/// What is done with `PAM_AUTHTOK`, the password an earlier module took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FirstPass {
    /// It is compared with the answer and never sent anywhere.
    Never,
    /// It is the first token; the user is asked when there is none or it is refused.
    Try,
    /// It is the only token; the user is never asked.
    Use,
}

/// Whether a denial asks PAM to wait before it answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delay {
    /// Two seconds, as `pam_unix` does.
    TwoSeconds,
    /// `nodelay`.
    None,
}

/// An argument that cannot be used.
#[derive(Debug, PartialEq, Eq)]
pub struct BadArgument(String);

impl fmt::Display for BadArgument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "argument in pam.d: {}", self.0)
    }
}

impl Default for Arguments {
    fn default() -> Self {
        Self {
            config: PathBuf::from(DEFAULT_CONFIG),
            debug: Debug::Off,
            first_pass: FirstPass::Never,
            delay: Delay::TwoSeconds,
            only_after: None,
        }
    }
}

impl Arguments {
    /// Reads the arguments that libpam passes.
    ///
    /// # Errors
    /// The first word that is unknown or contradicts another.
    pub fn parse(words: &[&CStr]) -> Result<Self, BadArgument> {
        let mut arguments = Self::default();
        for word in words {
            arguments.take(word.to_bytes())?;
        }
        Ok(arguments)
    }

    /// The delay alone, also where other words are wrong.
    #[must_use]
    pub fn delay(words: &[&CStr]) -> Delay {
        if words.contains(&c"nodelay") {
            Delay::None
        } else {
            Delay::TwoSeconds
        }
    }

    /// Whether one of the words is `only_after=`, also where words are wrong.
    #[must_use]
    pub fn has_only_after(words: &[&CStr]) -> bool {
        words
            .iter()
            .any(|word| word.to_bytes().starts_with(b"only_after="))
    }

    fn take(&mut self, word: &[u8]) -> Result<(), BadArgument> {
        match name_and_value(word) {
            (b"debug", None) => self.debug = Debug::On,
            (b"nodelay", None) => self.delay = Delay::None,
            (b"try_first_pass", None) => self.take_first_pass(FirstPass::Try)?,
            (b"use_first_pass", None) => self.take_first_pass(FirstPass::Use)?,
            (b"config", Some(path)) => self.config = config_path(path)?,
            (b"only_after", Some(method)) => self.take_only_after(method)?,
            (name, value) => return Err(unusable(name, value)),
        }
        Ok(())
    }

    fn take_first_pass(&mut self, wish: FirstPass) -> Result<(), BadArgument> {
        if self.first_pass != FirstPass::Never && self.first_pass != wish {
            return Err(BadArgument(
                "try_first_pass and use_first_pass contradict each other; remove one".into(),
            ));
        }
        self.first_pass = wish;
        Ok(())
    }

    fn take_only_after(&mut self, value: &[u8]) -> Result<(), BadArgument> {
        let known = METHODS.iter().find(|method| method.as_bytes() == value);
        let Some(method) = known else {
            let methods = METHODS.join(", ");
            return Err(BadArgument(format!(
                "only_after=... must name one of {methods}"
            )));
        };
        if self.only_after.is_some_and(|other| other != *method) {
            return Err(BadArgument(
                "only_after= is given twice with different methods; keep one".into(),
            ));
        }
        self.only_after = Some(method);
        Ok(())
    }
}

/// The word before `=`, and what is behind it.
fn name_and_value(word: &[u8]) -> (&[u8], Option<&[u8]>) {
    let mut parts = word.splitn(2, |byte| *byte == b'=');
    (parts.next().unwrap_or(word), parts.next())
}

fn config_path(path: &[u8]) -> Result<PathBuf, BadArgument> {
    // A relative path would be the caller's choice: su and sudo keep the working directory.
    if !path.starts_with(b"/") {
        return Err(BadArgument(format!(
            "config={} must be an absolute path",
            path.escape_ascii()
        )));
    }
    Ok(PathBuf::from(OsStr::from_bytes(path)))
}

/// What is behind `=` is not shown: there may be a secret, as in `key=…` of other modules.
fn unusable(name: &[u8], value: Option<&[u8]>) -> BadArgument {
    let shown = name.escape_ascii();
    BadArgument(match (name, value) {
        (b"debug" | b"nodelay" | b"try_first_pass" | b"use_first_pass", Some(_)) => {
            format!("\"{shown}=...\": {shown} takes no value")
        }
        (b"config", None) => "config needs a value: config=PATH".to_owned(),
        (b"only_after", None) => "only_after needs a value: only_after=METHOD".to_owned(),
        _ => format!(
            "\"{shown}{}\" is unknown; expected one of config=PATH, debug, try_first_pass, use_first_pass, nodelay, only_after=METHOD",
            if value.is_some() { "=..." } else { "" }
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn every_argument_is_used() {
        let words = [
            c"config=/a/b.toml",
            c"debug",
            c"use_first_pass",
            c"nodelay",
            c"only_after=hostbased",
            c"only_after=hostbased",
        ];
        let expected = Arguments {
            config: "/a/b.toml".into(),
            debug: Debug::On,
            first_pass: FirstPass::Use,
            delay: Delay::None,
            only_after: Some("hostbased"),
        };
        assert_eq!(Arguments::parse(&words), Ok(expected));
        assert_eq!(Arguments::parse(&[]), Ok(Arguments::default()));
        assert_eq!(
            Arguments::parse(&[c"try_first_pass"]).unwrap().first_pass,
            FirstPass::Try
        );
    }

    #[test]
    fn nothing_is_almost_an_argument() {
        assert_eq!(
            Arguments::default().config,
            Path::new("/etc/ivalt/ivalt.toml")
        );
        for word in [
            c"",
            c"Debug",
            c"debug=1",
            c"nodelay=1",
            c"nodelays",
            c"no_delay",
            c"config",
            c"try_first_pass=1",
            c"only_after",
            c"only_after=",
            c"only_after=password",
            c"only_after=PublicKey",
            c"only_after=publickey ",
            c"only_after=publickey,hostbased",
            c"only-after=publickey",
        ] {
            assert!(Arguments::parse(&[word]).is_err(), "{word:?}");
        }
        assert_eq!(Arguments::delay(&[c"nodelays", c"no"]), Delay::TwoSeconds);
        assert_eq!(Arguments::delay(&[c"x", c"nodelay"]), Delay::None);
    }

    #[test]
    fn every_method_is_taken_and_two_are_too_many() {
        for method in METHODS {
            let word = std::ffi::CString::new(format!("only_after={method}")).unwrap();
            let arguments = Arguments::parse(&[&word]).unwrap();
            assert_eq!(arguments.only_after, Some(method));
        }
        let two = [c"only_after=publickey", c"only_after=hostbased"];
        assert_eq!(
            Arguments::parse(&two).unwrap_err().to_string(),
            "argument in pam.d: only_after= is given twice with different methods; keep one"
        );
        assert!(Arguments::has_only_after(&[
            c"debug",
            c"only_after=\xff",
            c"x"
        ]));
        assert!(!Arguments::has_only_after(&[
            c"only_after",
            c"xonly_after=publickey"
        ]));
    }

    #[test]
    fn errors_name_the_word_and_hide_the_value() {
        const EXPECTED: &str = "is unknown; expected one of config=PATH, debug, try_first_pass, use_first_pass, nodelay, only_after=METHOD";
        for (words, message) in [
            (
                &[c"debug", c"no\ndelay"][..],
                format!("\"no\\ndelay\" {EXPECTED}"),
            ),
            (&[c"key=SECRET"], format!("\"key=...\" {EXPECTED}")),
            (
                &[c"debug=SECRET"],
                "\"debug=...\": debug takes no value".into(),
            ),
            (
                &[c"try_first_pass="],
                "\"try_first_pass=...\": try_first_pass takes no value".into(),
            ),
            (&[c"config"], "config needs a value: config=PATH".into()),
            (
                &[c"only_after"],
                "only_after needs a value: only_after=METHOD".into(),
            ),
            (
                &[c"only_after=SECRET"],
                "only_after=... must name one of publickey, hostbased, gssapi-with-mic".into(),
            ),
            (
                &[c"config=ivalt.toml"],
                "config=ivalt.toml must be an absolute path".into(),
            ),
            (&[c"config="], "config= must be an absolute path".into()),
            (
                &[c"try_first_pass", c"use_first_pass"],
                "try_first_pass and use_first_pass contradict each other; remove one".into(),
            ),
        ] {
            assert_eq!(
                Arguments::parse(words).unwrap_err().to_string(),
                format!("argument in pam.d: {message}")
            );
        }
    }
}
