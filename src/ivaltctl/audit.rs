//! The line in the system log for what a command changed: who changed what. A command that changed nothing leaves none.

use std::fmt::Write;

use ivalt_core::log_line::{self, Level, quote_log_value};

use crate::root::Root;

/// The name in front of the line.
const PROGRAM: &str = "ivaltctl";
/// Who rolls a change back that nobody has confirmed.
pub const TIMEOUT: &str = "timeout";

/// What a command changed.
#[derive(Debug)]
pub struct Change<'a> {
    /// As it is typed: `users add`.
    pub command: &'a str,
    /// In the order in which they are written. No value is a secret or a whole mobile number.
    pub fields: Vec<(&'a str, String)>,
    /// The login name of who did it, see [`crate::caller::caller`]; or [`TIMEOUT`].
    pub by: String,
}

/// How the change ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome<'a> {
    /// It is made.
    Done,
    /// It was begun and could not be finished, for this reason, and everything was put back.
    PutBack(&'a str),
    /// It was begun, and could neither be finished nor put back, for this reason.
    Failed(&'a str),
    /// It was not begun, for this reason. Only what a timer runs says so, which nobody sees.
    Refused(&'a str),
    /// The same: something that had to be asked did not answer.
    Unavailable(&'a str),
}

impl Change<'_> {
    /// Writes the line to the system log (facility authpriv, level notice); waits a second at most, and fails silently.
    pub fn record(&self, outcome: Outcome) {
        self.send(outcome);
    }

    /// As [`Change::record`], for whoever has thousands to send: whether it could be sent.
    pub fn send(&self, outcome: Outcome) -> bool {
        log_line::write_message(PROGRAM, Level::Notice, &self.line(outcome))
    }

    /// `users add user=bob mobile=***0101 by=alice outcome=done`
    fn line(&self, outcome: Outcome) -> String {
        let mut line = self.command.to_owned();
        let by = [("by", self.by.clone())];
        for (key, value) in self.fields.iter().chain(&by) {
            let _ = write!(line, " {key}={}", quote_log_value(value.as_bytes()));
        }
        let (word, cause) = match outcome {
            Outcome::Done => ("done", None),
            Outcome::PutBack(cause) => ("put-back", Some(cause)),
            Outcome::Failed(cause) => ("failed", Some(cause)),
            Outcome::Refused(cause) => ("refused", Some(cause)),
            Outcome::Unavailable(cause) => ("unavailable", Some(cause)),
        };
        let _ = write!(line, " outcome={word}");
        if let Some(cause) = cause {
            let _ = write!(line, " cause={}", quote_log_value(cause.as_bytes()));
        }
        line
    }
}

/// The fields of a service's change. A system below a folder is named: its services are not this machine's.
pub fn service_fields<'a>(root: &Root, service: &str) -> Vec<(&'a str, String)> {
    let mut fields = vec![("service", service.to_owned())];
    if !root.is_this_machine() {
        fields.push(("root", root.folder().display().to_string()));
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn the_documented_lines() {
        let add = Change {
            command: "users add",
            fields: vec![("user", "bob".into()), ("mobile", "***0101".into())],
            by: "alice".into(),
        };
        assert_eq!(
            add.line(Outcome::Done),
            "users add user=bob mobile=***0101 by=alice outcome=done"
        );
        let rollback = Change {
            command: "rollback",
            fields: service_fields(&Root::new(Path::new("/")), "sshd"),
            by: TIMEOUT.into(),
        };
        assert_eq!(
            rollback.line(Outcome::Failed("/etc/pam.d/sshd: No space left")),
            "rollback service=sshd by=timeout outcome=failed cause=\"/etc/pam.d/sshd: No space left\""
        );
    }

    #[test]
    fn what_is_below_a_folder_says_so_and_foreign_text_is_quoted() {
        let folder = tempfile::Builder::new().prefix("a b").tempdir().unwrap();
        let enable = Change {
            command: "enable",
            fields: service_fields(&Root::new(folder.path()), "sudo"),
            by: "x outcome=done\n".into(),
        };
        assert_eq!(
            enable.line(Outcome::PutBack("why")),
            format!(
                "enable service=sudo root=\"{}\" by=\"x outcome=done\\x0a\" outcome=put-back cause=why",
                folder.path().display()
            )
        );
    }
}
