//! Valid settings to start from.

use std::fmt::Write;
use std::path::Path;

use serde_json::Value;

use super::case::SERVICE;
use super::stand_in::StandIn;

/// `ivalt.toml`, key by key in the order they were set.
#[derive(Clone, Debug)]
pub struct Settings {
    keys: Vec<(String, String, String)>,
}

impl Settings {
    /// The least that works against the stand-in; `timeout_seconds` is 5.
    pub fn against(ivalt: &StandIn, users_file: &Path) -> Self {
        Self { keys: Vec::new() }
            .set("", "users_file", path(users_file))
            .set("api", "url", ivalt.url())
            .set("api", "key", StandIn::API_KEY)
            .set("api", "ca_file", path(&ivalt.ca()))
            .set("api", "timeout_seconds", 5)
    }

    /// With what a sync wrote to this file.
    pub fn with_synced(self, file: &Path) -> Self {
        self.set("", "synced_users_file", path(file))
    }

    /// Push in the service of all cases, by this stand-in.
    pub fn with_push(self, ivalt: &StandIn) -> Self {
        self.set("push", "enabled", true)
            .set("push", "accept_unbound_approvals", true)
            .set("push", "url", ivalt.push_url())
            .set("push", "services", vec![SERVICE])
    }

    /// Adds or replaces a key; the top level is section `""`.
    pub fn set(self, section: &str, key: &str, value: impl Into<Value>) -> Self {
        // Strings, numbers and booleans are written alike in JSON and in TOML.
        self.set_raw(section, key, &value.into().to_string())
    }

    /// Adds or replaces a key whose value is TOML text, valid or not.
    pub fn set_raw(self, section: &str, key: &str, value: &str) -> Self {
        let mut settings = self.without(section, key);
        settings
            .keys
            .push((section.to_owned(), key.to_owned(), value.to_owned()));
        settings
    }

    /// Leaves a key out.
    pub fn without(mut self, section: &str, key: &str) -> Self {
        self.keys
            .retain(|(s, k, _)| (s.as_str(), k.as_str()) != (section, key));
        self
    }

    /// The file's text.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for wanted in ["", "api", "token", "policy", "recovery", "push"] {
            let mut lines = self
                .keys
                .iter()
                .filter(|(section, ..)| section == wanted)
                .peekable();
            if lines.peek().is_some() && !wanted.is_empty() {
                let _ = writeln!(text, "\n[{wanted}]");
            }
            for (_, key, value) in lines {
                let _ = writeln!(text, "{key} = {value}");
            }
        }
        text
    }
}

/// A `users.toml` with these names and mobile numbers.
pub fn users(entries: &[(&str, &str)]) -> String {
    let mut text = "[users]\n".to_owned();
    for (name, mobile) in entries {
        let _ = writeln!(text, "{} = {}", Value::from(*name), Value::from(*mobile));
    }
    text
}

fn path(path: &Path) -> &str {
    path.to_str().expect("paths of tests are UTF-8")
}
