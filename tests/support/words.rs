//! Short ways to write what a script holds.

use std::time::Duration;

use super::obfuscate::obfuscated;
use super::script::{Answer, Reply, Text};

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self::Plain(text.to_owned())
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Self::Plain(text)
    }
}

impl Text {
    /// A secret that must not leak.
    pub fn hidden(secret: &str) -> Self {
        Self::Obfuscated {
            obfuscated: obfuscated(secret.as_bytes()),
        }
    }
}

impl From<&[u8]> for Text {
    fn from(bytes: &[u8]) -> Self {
        Self::Bytes(bytes.to_owned())
    }
}

impl<T: Into<Text>> From<T> for Answer {
    fn from(text: T) -> Self {
        Self::Text(text.into())
    }
}

impl From<Reply> for Answer {
    fn from(reply: Reply) -> Self {
        Self::Reply(reply)
    }
}

impl Reply {
    /// Answers after a while.
    pub fn slowly(answer: impl Into<Text>, delay: Duration) -> Self {
        Self {
            answer: Some(answer.into()),
            delay_ms: u64::try_from(delay.as_millis()).expect("a delay in 64 bits"),
            ..Self::default()
        }
    }

    /// The conversation fails with this code.
    pub fn error(code: i32) -> Self {
        Self {
            error: Some(code),
            ..Self::default()
        }
    }
}
