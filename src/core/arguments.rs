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
}

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

    fn take(&mut self, word: &[u8]) -> Result<(), BadArgument> {
        match word {
            b"debug" => self.debug = Debug::On,
            b"nodelay" => self.delay = Delay::None,
            b"try_first_pass" => self.take_first_pass(FirstPass::Try)?,
            b"use_first_pass" => self.take_first_pass(FirstPass::Use)?,
            _ => self.config = config_path(word)?,
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
}

fn config_path(word: &[u8]) -> Result<PathBuf, BadArgument> {
    let Some(path) = word.strip_prefix(b"config=") else {
        return Err(BadArgument(format!(
            "\"{}\" is unknown; expected one of config=PATH, debug, try_first_pass, use_first_pass, nodelay",
            name(word).escape_ascii()
        )));
    };
    // A relative path would be the caller's choice: su and sudo keep the working directory.
    if !path.starts_with(b"/") {
        return Err(BadArgument(format!(
            "config={} must be an absolute path",
            path.escape_ascii()
        )));
    }
    Ok(PathBuf::from(OsStr::from_bytes(path)))
}

/// What is before `=`: after it there may be a secret, as in `key=…` of other modules.
fn name(word: &[u8]) -> &[u8] {
    word.split(|byte| *byte == b'=').next().unwrap_or(word)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn every_argument_is_used() {
        let words = [c"config=/a/b.toml", c"debug", c"use_first_pass", c"nodelay"];
        let expected = Arguments {
            config: "/a/b.toml".into(),
            debug: Debug::On,
            first_pass: FirstPass::Use,
            delay: Delay::None,
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
        ] {
            assert!(Arguments::parse(&[word]).is_err(), "{word:?}");
        }
        assert_eq!(Arguments::delay(&[c"nodelays", c"no"]), Delay::TwoSeconds);
        assert_eq!(Arguments::delay(&[c"x", c"nodelay"]), Delay::None);
    }

    #[test]
    fn errors_name_the_word() {
        let message = |words: &[&CStr]| Arguments::parse(words).unwrap_err().to_string();
        assert_eq!(
            message(&[c"debug", c"no\ndelay"]),
            "argument in pam.d: \"no\\ndelay\" is unknown; expected one of config=PATH, debug, try_first_pass, use_first_pass, nodelay"
        );
        assert!(message(&[c"key=SECRET"]).starts_with("argument in pam.d: \"key\" is unknown;"));
        assert_eq!(
            message(&[c"config=ivalt.toml"]),
            "argument in pam.d: config=ivalt.toml must be an absolute path"
        );
        assert_eq!(
            message(&[c"config="]),
            "argument in pam.d: config= must be an absolute path"
        );
        assert_eq!(
            message(&[c"try_first_pass", c"use_first_pass"]),
            "argument in pam.d: try_first_pass and use_first_pass contradict each other; remove one"
        );
    }
}
