//! `ivalt.toml`: an error names its place and no secret; what is accepted is within bounds and what the file says.

use std::path::Path;
use std::str::from_utf8;
use std::time::Duration;

use super::contains;
use crate::config::{Settings, Tolerance};
use crate::trusted_file::Trust;

const PATH: &str = "/etc/ivalt/ivalt.toml";
/// The API key of the seeds.
const KEY: &str = "Wh1sp3r0ut";
/// Root's files and nobody else's.
const TRUST: Trust = Trust { effective_uid: 0 };

/// As the text of the file.
pub fn run(input: &[u8]) {
    let Ok(text) = from_utf8(input) else {
        return;
    };
    if names_a_file(text) {
        return;
    }
    match Settings::parse(Path::new(PATH), text, TRUST) {
        Ok(settings) => accepted(text, &settings),
        Err(error) => refused(text, &error.to_string()),
    }
}

/// Whatever stands in this machine's files is not part of the input.
fn names_a_file(text: &str) -> bool {
    text.parse::<toml::Table>().is_ok_and(|table| {
        table
            .get("api")
            .is_some_and(|api| api.get("key_file").is_some())
    })
}

fn refused(text: &str, error: &str) {
    let rest = error
        .strip_prefix(PATH)
        .and_then(|rest| rest.strip_prefix(':'));
    let rest = rest.unwrap_or_else(|| panic!("no path: {error}"));
    let line = rest.split(':').next().unwrap_or_default();
    let lines = text.matches('\n').count() + 1;
    let missing = rest == " api.key: is missing; set it, or api.key_file, under [api]";
    assert!(
        missing || line.parse().is_ok_and(|line| (1..=lines).contains(&line)),
        "no line: {error}"
    );
    if only_values_hold_the_key(text) {
        assert!(!error.contains(KEY), "{error}");
    }
}

/// Behind `= "` there is a value, a comment or nonsense; as a key, a key's name may be quoted.
fn only_values_hold_the_key(text: &str) -> bool {
    text.match_indices(KEY)
        .all(|(at, _)| text[..at].ends_with("= \"") || text[..at].ends_with("= '"))
}

fn accepted(text: &str, settings: &Settings) {
    let table: toml::Table = text
        .parse()
        .unwrap_or_else(|error| panic!("not TOML: {error}"));
    let empty = toml::Table::new();
    let section = |name| {
        table
            .get(name)
            .and_then(toml::Value::as_table)
            .unwrap_or(&empty)
    };
    let (api, token, policy) = (section("api"), section("token"), section("policy"));
    let number = |section: &toml::Table, key, default| {
        section
            .get(key)
            .map_or(Some(default), toml::Value::as_integer)
            .and_then(|n| u64::try_from(n).ok())
    };
    let string =
        |section: &toml::Table, key| section.get(key).and_then(|v| v.as_str().map(str::to_owned));
    assert!(
        table
            .keys()
            .all(|key| ["users_file", "api", "token", "policy"].contains(&key.as_str()))
    );
    assert!(
        policy
            .keys()
            .all(|key| ["unenrolled", "unavailable"].contains(&key.as_str()))
    );

    let key = string(api, "key").unwrap_or_default();
    assert_eq!(settings.api.key.as_bytes(), key.trim_ascii().as_bytes());
    assert!(!settings.api.key.is_empty());
    assert!(
        settings
            .api
            .url
            .to_ascii_lowercase()
            .starts_with("https://")
    );
    assert!(!settings.api.url.contains(['@', '?', '#']) && !settings.api.url.ends_with('/'));
    assert!(settings.users_file.is_absolute());
    assert!(
        settings
            .api
            .ca_file
            .as_deref()
            .is_none_or(Path::is_absolute)
    );
    let timeout = number(api, "timeout_seconds", 10).map(Duration::from_secs);
    assert_eq!(Some(settings.api.timeout), timeout);
    assert!((1..=60).contains(&settings.api.timeout.as_secs()));

    let rules = &settings.token;
    let (min, max) = (rules.min_length.get_ref().get(), rules.max_length.get());
    assert_eq!(Some(rules.attempts.get()), number(token, "attempts", 3));
    assert_eq!(
        (Some(min), Some(max)),
        (
            number(token, "min_length", 1),
            number(token, "max_length", 512)
        )
    );
    assert!((1..=10).contains(&rules.attempts.get()));
    assert!(1 <= min && min <= max && max <= 4096);
    assert!(rules.prompt.len() <= 256 && !rules.prompt.contains(char::is_control));

    for (key, tolerance) in [
        ("unenrolled", settings.policy.unenrolled),
        ("unavailable", settings.policy.unavailable),
    ] {
        let word = string(policy, key);
        assert_eq!(
            tolerance == Tolerance::Ignore,
            word.as_deref() == Some("ignore"),
            "{key}"
        );
    }
    assert!(!contains(
        format!("{:?}", settings.api.key).as_bytes(),
        KEY.as_bytes()
    ));
}
