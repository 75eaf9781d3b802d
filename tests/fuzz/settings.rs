//! `ivalt.toml`: an error names its place and no secret; what is accepted is within bounds and what the file says.

use std::net::IpAddr;
use std::path::Path;
use std::str::from_utf8;
use std::time::Duration;

use super::contains;
use ivalt_core::networks::Networks;
use ivalt_core::settings::{Api, Method, Recovery, Settings, Token, Tolerance};
use ivalt_core::trusted_file::Trust;

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

/// What this machine's files hold is not part of the input.
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
    let file: toml::Table = text
        .parse()
        .unwrap_or_else(|error| panic!("not TOML: {error}"));
    let known = [
        "users_file",
        "synced_users_file",
        "api",
        "token",
        "policy",
        "recovery",
        "push",
    ];
    assert!(file.keys().all(|key| known.contains(&key.as_str())));
    let files: Vec<_> = settings.users().iter().collect();
    assert!(files.iter().all(|file| file.is_absolute()));
    assert!(files.len() == 1 || files[0] != files[1]);
    let written = file.get("synced_users_file").and_then(toml::Value::as_str);
    assert_eq!(
        settings.synced_users_file.as_deref(),
        written.map(Path::new)
    );
    api_is_as_written(&Section::of(&file, "api"), &settings.api);
    token_is_as_written(&Section::of(&file, "token"), &settings.token);
    recovery_is_as_written(&Section::of(&file, "recovery"), &settings.recovery);
    push_is_as_written(&Section::of(&file, "push"), settings);
    let policy = Section::of(&file, "policy");
    for (key, tolerance) in [
        ("unenrolled", settings.policy.unenrolled),
        ("unavailable", settings.policy.unavailable),
    ] {
        let ignore = policy.text(key) == Some("ignore");
        assert_eq!(tolerance == Tolerance::Ignore, ignore, "{key}");
    }
    networks_are_as_written(&policy, &settings.policy.exempt_networks);
}

/// Each begins with its own address, and none is everything.
fn networks_are_as_written(policy: &Section, networks: &Networks) {
    let written = policy
        .value("exempt_networks")
        .and_then(toml::Value::as_array);
    let written: Vec<_> = written.into_iter().flatten().collect();
    assert_eq!(networks.iter().count(), written.len());
    assert!(written.len() <= 64);
    for (network, text) in networks.iter().zip(written) {
        let text = text.as_str().unwrap_or_default();
        let (address, prefix) = text.split_once('/').unwrap_or((text, ""));
        let address: IpAddr = address.parse().unwrap_or_else(|_| panic!("{text}"));
        assert!(!address.is_loopback() && prefix != "0", "{text}");
        let (first, last) = network.ends();
        assert_eq!(first, address, "{text}");
        let width = if address.is_ipv4() { "32" } else { "128" };
        assert_eq!(first == last, ["", width].contains(&prefix), "{text}");
        assert!(network.holds(last) || last.is_loopback(), "{text}");
        assert_eq!(address.to_canonical(), address, "{text}");
    }
    for rhost in ["127.0.0.1", "::1", "localhost", ""] {
        assert_eq!(networks.holding(rhost.as_bytes()), None);
    }
}

/// Enabled only by hand and as a whole.
fn push_is_as_written(file: &Section, settings: &Settings) {
    let (push, flag) = (&settings.push, |key| {
        file.value(key).and_then(toml::Value::as_bool)
    });
    assert_eq!(push.enabled, flag("enabled").unwrap_or_default());
    let accepted = flag("accept_unbound_approvals").unwrap_or_default();
    assert_eq!(push.accept_unbound_approvals, accepted);
    let url = file.text("url").map(|url| url.trim_end_matches('/'));
    assert_eq!(push.url.as_deref(), url);
    assert!(url.is_none_or(|url| url.to_ascii_lowercase().starts_with("https://")));
    let possible = accepted && url.is_some() && settings.token.method == Method::Token;
    assert!(possible || !push.enabled);
    assert_eq!(Some(push.wait.get()), file.number("wait_seconds", 60));
    assert_eq!(
        Some(push.max_unanswered.get()),
        file.number("max_unanswered", 3)
    );
    assert!((10..=110).contains(&push.wait.get()) && (1..=60).contains(&push.max_unanswered.get()));
    assert!(
        push.services
            .iter()
            .all(|service| !service.contains(char::is_control))
    );
}

fn recovery_is_as_written(file: &Section, recovery: &Recovery) {
    let codes = file.value("codes").and_then(toml::Value::as_bool);
    assert_eq!(recovery.codes, codes.unwrap_or_default());
    let directory = file.text("directory").unwrap_or("/var/lib/ivalt/recovery");
    assert_eq!(recovery.directory, Path::new(directory));
    assert!(recovery.directory.is_absolute());
}

/// A table of the file, empty where there is none.
struct Section<'a>(Option<&'a toml::Table>);

impl<'a> Section<'a> {
    fn of(file: &'a toml::Table, name: &str) -> Self {
        Self(file.get(name).and_then(toml::Value::as_table))
    }

    fn value(&self, key: &str) -> Option<&'a toml::Value> {
        self.0.and_then(|table| table.get(key))
    }

    fn text(&self, key: &str) -> Option<&'a str> {
        self.value(key).and_then(toml::Value::as_str)
    }

    fn number(&self, key: &str, default: u64) -> Option<u64> {
        let written = self.value(key);
        written.map_or(Some(default), |value| {
            value.as_integer().and_then(|number| number.try_into().ok())
        })
    }
}

fn api_is_as_written(file: &Section, api: &Api) {
    let key = file.text("key").unwrap_or_default().trim_ascii();
    assert_eq!(api.key.as_bytes(), key.as_bytes());
    assert!(!api.key.is_empty());
    let shown = format!("{:?}", api.key);
    assert!(!contains(shown.as_bytes(), KEY.as_bytes()), "{shown}");
    assert!(api.url.to_ascii_lowercase().starts_with("https://"));
    assert!(!api.url.contains(['@', '?', '#']) && !api.url.ends_with('/'));
    assert!(api.ca_file.as_deref().is_none_or(Path::is_absolute));
    let seconds = file.number("timeout_seconds", 10);
    assert_eq!(Some(api.timeout), seconds.map(Duration::from_secs));
    assert!((1..=60).contains(&api.timeout.as_secs()));
}

fn token_is_as_written(file: &Section, token: &Token) {
    let (min, max) = (token.min_length.get_ref().get(), token.max_length.get());
    let attempts = token.attempts.get();
    assert_eq!(Some(attempts), file.number("attempts", 3));
    assert_eq!(Some(min), file.number("min_length", 1));
    assert_eq!(Some(max), file.number("max_length", 512));
    assert!((1..=10).contains(&attempts));
    assert!(1 <= min && min <= max && max <= 4096);
    let prompt = token.prompt.as_deref().unwrap_or_default();
    assert!(prompt.len() <= 256 && !prompt.contains(char::is_control));
}
