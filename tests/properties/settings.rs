//! `ivalt.toml`: whatever is written in it is read back, however it is written; whatever is out of range is refused,
//! and the key is named.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use ivalt_core::settings::{Charset, Dialect, Method, MobileFormat, Settings, Tolerance};
use ivalt_core::trusted_file::Trust;

const PATH: &str = "/s";

fn parse(text: &str) -> Result<Settings, String> {
    let trust = Trust {
        effective_uid: u32::MAX,
    };
    Settings::parse(Path::new(PATH), text, trust).map_err(|error| error.to_string())
}

/// What an administrator wants; `None` is the default.
#[derive(Clone, Debug)]
struct Wanted {
    users_file: Option<String>,
    synced_users_file: Option<String>,
    url: Option<String>,
    key: String,
    timeout: Option<u64>,
    ca_file: Option<String>,
    proxy: Option<String>,
    preconnect: Option<bool>,
    client: Option<(String, String)>,
    method: Option<(&'static str, Method)>,
    prompt: Option<String>,
    echo: Option<bool>,
    attempts: Option<u64>,
    lengths: Option<(u64, u64)>,
    charset: Option<(&'static str, Charset)>,
    mobile_format: Option<(&'static str, MobileFormat)>,
    unenrolled: Option<(&'static str, Tolerance)>,
    unavailable: Option<(&'static str, Tolerance)>,
    exempt_networks: Option<Vec<String>>,
    codes: Option<bool>,
    directory: Option<String>,
    push: WantedPush,
}

/// Enabled only as a whole, and with one token.
#[derive(Clone, Debug)]
struct WantedPush {
    enabled: Option<bool>,
    accept: Option<bool>,
    url: Option<String>,
    dialect: Option<(&'static str, Dialect)>,
    services: Option<Vec<String>>,
    wait: Option<u64>,
    max_unanswered: Option<u64>,
}

impl WantedPush {
    fn possible(mut self, method: Option<(&str, Method)>) -> Self {
        let one_token = method.is_none_or(|(_, method)| method == Method::Token);
        if self.accept != Some(true) || self.url.is_none() || !one_token {
            self.enabled = self.enabled.map(|_| false);
        }
        self
    }
}

fn wanted_push() -> impl Strategy<Value = WantedPush> {
    let url = "https://[a-z]{1,8}(:[1-9][0-9]{0,3})?(/[a-z]{1,5})?/?";
    let parts = (
        option::of(any::<bool>()),
        option::of(any::<bool>()),
        option::of(url),
        option::of(select(&DIALECTS[..])),
        option::of(vec("[a-z][a-z0-9-]{0,9}", 0..4)),
        option::of(10u64..=110),
        option::of(1u64..=60),
    );
    parts.prop_map(
        |(enabled, accept, url, dialect, services, wait, max_unanswered)| WantedPush {
            enabled,
            accept,
            url,
            dialect,
            services,
            wait,
            max_unanswered,
        },
    )
}

const DIALECTS: [(&str, Dialect); 2] = [
    ("geo-fence-results", Dialect::GeoFenceResults),
    ("auth-result", Dialect::AuthResult),
];

const METHODS: [(&str, Method); 2] = [
    ("token", Method::Token),
    ("token+face", Method::TokenAndFace),
];
const CHARSETS: [(&str, Charset); 3] = [
    ("digits", Charset::Digits),
    ("alphanumeric", Charset::Alphanumeric),
    ("visible", Charset::Visible),
];
const FORMATS: [(&str, MobileFormat); 2] = [
    ("e164", MobileFormat::E164),
    ("national", MobileFormat::National),
];
const TOLERANCES: [(&str, Tolerance); 2] =
    [("deny", Tolerance::Deny), ("ignore", Tolerance::Ignore)];

/// Any text of one line.
fn one_line(most: usize) -> impl Strategy<Value = String> {
    let text = prop_oneof!["\\PC{0,40}", "[ -~]{0,200}"];
    text.prop_filter("too long", move |text| text.len() <= most)
}

fn path() -> impl Strategy<Value = String> {
    one_line(200).prop_map(|text| format!("/{text}"))
}

/// As they are shown.
fn networks() -> impl Strategy<Value = Vec<String>> {
    let v4 = (0x8000_0000_u32.., 1_u32..32).prop_map(|(bits, prefix)| {
        let first = Ipv4Addr::from(bits & u32::MAX << (32 - prefix));
        format!("{first}/{prefix}")
    });
    let v6 = (1_u128 << 127.., 1_u32..128).prop_map(|(bits, prefix)| {
        let first = Ipv6Addr::from(bits & u128::MAX << (128 - prefix));
        format!("{first}/{prefix}")
    });
    let one = (0x8000_0000_u32..).prop_map(|bits| Ipv4Addr::from(bits).to_string());
    vec(prop_oneof![v4, v6, one], 0..=64)
}

fn wanted() -> impl Strategy<Value = Wanted> {
    let url =
        "https://[a-z]{1,8}([.][a-z]{1,8}){0,2}(:[1-9][0-9]{0,3})?(/[a-zA-Z0-9_.-]{1,5}){0,3}/?";
    let proxy = "http://([a-z]{1,5}:[a-z]{1,5}@)?[a-z]{1,8}:[1-9][0-9]{0,3}/?";
    let api = (
        (option::of(path()), option::of(path())),
        option::of(url),
        "[!-~]{1,60}",
        option::of(1u64..=60),
        option::of(path()),
        option::of(proxy),
        option::of(any::<bool>()),
        option::of((one_line(100), one_line(100))),
    );
    let token = (
        option::of(select(&METHODS[..])),
        option::of(one_line(256)),
        option::of(any::<bool>()),
        option::of(1u64..=10),
        option::of((1u64..=4096, 1u64..=4096).prop_map(|(a, b)| (a.min(b), a.max(b)))),
        option::of(select(&CHARSETS[..])),
        option::of(select(&FORMATS[..])),
    );
    let policy = (
        option::of(select(&TOLERANCES[..])),
        option::of(select(&TOLERANCES[..])),
        option::of(networks()),
    );
    let recovery = (option::of(any::<bool>()), option::of(path()));
    let parts = (api, token, policy, recovery, wanted_push());
    parts.prop_map(|(api, token, policy, recovery, push)| {
        let ((users_file, synced), url, key, timeout, ca_file, proxy, preconnect, client) = api;
        let (method, prompt, echo, attempts, lengths, charset, mobile_format) = token;
        let (unenrolled, unavailable, exempt_networks) = policy;
        let is_another =
            |file: &String| Some(Path::new(file)) != users_file.as_deref().map(Path::new);
        let synced_users_file = synced.filter(is_another);
        let (codes, directory) = recovery;
        Wanted {
            users_file,
            synced_users_file,
            url,
            key,
            timeout,
            ca_file,
            proxy,
            preconnect,
            client,
            method,
            prompt,
            echo,
            attempts,
            lengths,
            charset,
            mobile_format,
            unenrolled,
            unavailable,
            exempt_networks,
            codes,
            directory,
            push: push.possible(method),
        }
    })
}

/// A value before it is written.
#[derive(Clone, Debug)]
enum Value {
    Text(String),
    Number(u64),
    Flag(bool),
    Texts(Vec<String>),
}

/// Section, key, value.
type Entry = (&'static str, &'static str, Value);

impl Wanted {
    fn entries(&self) -> Vec<Entry> {
        let text = |section, key, value: Option<&str>| {
            Some((section, key, Value::Text(value?.to_owned())))
        };
        let number = |section, key, value: Option<u64>| Some((section, key, Value::Number(value?)));
        let flag = |section, key, value: Option<bool>| Some((section, key, Value::Flag(value?)));
        let (id, secret) = self.client.clone().unzip();
        let (min, max) = self.lengths.unzip();
        let push = &self.push;
        let services = push.services.clone();
        let networks = self.exempt_networks.clone();
        let entries = [
            flag("push", "enabled", push.enabled),
            flag("push", "accept_unbound_approvals", push.accept),
            text("push", "url", push.url.as_deref()),
            text("push", "dialect", push.dialect.map(|word| word.0)),
            services.map(|names| ("push", "services", Value::Texts(names))),
            number("push", "wait_seconds", push.wait),
            number("push", "max_unanswered", push.max_unanswered),
            text("", "users_file", self.users_file.as_deref()),
            text("", "synced_users_file", self.synced_users_file.as_deref()),
            networks.map(|networks| ("policy", "exempt_networks", Value::Texts(networks))),
            text("api", "url", self.url.as_deref()),
            text("api", "key", Some(&self.key)),
            number("api", "timeout_seconds", self.timeout),
            text("api", "ca_file", self.ca_file.as_deref()),
            text("api", "proxy", self.proxy.as_deref()),
            flag("api", "preconnect", self.preconnect),
            text("api", "client_id", id.as_deref()),
            text("api", "client_secret", secret.as_deref()),
            text("token", "method", self.method.map(|word| word.0)),
            text("token", "prompt", self.prompt.as_deref()),
            flag("token", "echo", self.echo),
            number("token", "attempts", self.attempts),
            number("token", "min_length", min),
            number("token", "max_length", max),
            text("token", "charset", self.charset.map(|word| word.0)),
            text(
                "token",
                "mobile_format",
                self.mobile_format.map(|word| word.0),
            ),
            text("policy", "unenrolled", self.unenrolled.map(|word| word.0)),
            text("policy", "unavailable", self.unavailable.map(|word| word.0)),
            flag("recovery", "codes", self.codes),
            text("recovery", "directory", self.directory.as_deref()),
        ];
        entries.into_iter().flatten().collect()
    }
}

/// TOML 1.0's ways to write a text.
fn text_as(text: &str, style: u8) -> String {
    let hex = |c: char| match u32::from(c) {
        number @ 0..=0xffff => format!("\\u{number:04x}"),
        number => format!("\\U{number:08X}"),
    };
    let plain = |c: char| c == '\t' || !c.is_control();
    let escaped = |c: char| match c {
        '"' | '\\' => format!("\\{c}"),
        c if plain(c) => c.to_string(),
        c => hex(c),
    };
    match style % 5 {
        0 if !text.contains('\'') && text.chars().all(plain) => format!("'{text}'"),
        1 if !text.contains('\'') && text.chars().all(plain) => format!("'''\n{text}'''"),
        2 => format!("\"{}\"", text.chars().map(hex).collect::<String>()),
        3 => format!(
            "\"\"\"\n{}\\\n \n  \"\"\"",
            text.chars().map(escaped).collect::<String>()
        ),
        _ => format!("\"{}\"", text.chars().map(escaped).collect::<String>()),
    }
}

fn number_as(number: u64, style: u8) -> String {
    let digits = number.to_string();
    let (first, rest) = digits.split_at(1);
    match style % 6 {
        0 => format!("+{number}"),
        1 => format!("0x{number:X}"),
        2 => format!("0o{number:o}"),
        3 => format!("0b{number:b}"),
        4 if !rest.is_empty() => format!("{first}_{rest}"),
        _ => digits,
    }
}

fn value_as(value: &Value, style: u8) -> String {
    match value {
        Value::Text(text) => text_as(text, style),
        Value::Number(number) => number_as(*number, style),
        Value::Flag(flag) => flag.to_string(),
        Value::Texts(texts) => {
            let texts: Vec<_> = texts.iter().map(|text| text_as(text, 4)).collect();
            format!("[{}]", texts.join(" , "))
        }
    }
}

fn key_as(key: &str, style: u8) -> String {
    match style / 6 % 3 {
        0 => format!("\"{key}\""),
        1 => format!("'{key}'"),
        _ => key.to_owned(),
    }
}

/// Entries in their order, by tables, by dotted keys, or by inline tables, with what may stand between lines.
fn written(entries: &[Entry], styles: &[u8], layout: u8) -> String {
    let pairs: Vec<_> = entries
        .iter()
        .zip(styles.iter().cycle())
        .map(|((section, key, value), style)| {
            (*section, key_as(key, *style), value_as(value, *style))
        })
        .collect();
    let of = |wanted: &str| {
        let pairs = pairs.iter().filter(move |(section, ..)| *section == wanted);
        pairs
            .map(|(_, key, value)| format!("{key} = {value}"))
            .collect::<Vec<_>>()
    };
    let end = ["\n", "\r\n", " # \u{e4}\n", "\n\n\t# x\n"][usize::from(styles[0]) % 4];
    let ended = |lines: Vec<String>| lines.join(end) + if lines.is_empty() { "" } else { end };
    let mut sections =
        ["api", "token", "policy", "recovery", "push"].map(|section| (section, of(section)));
    sections.rotate_left(usize::from(styles[0]) % 5);
    let sections = sections.into_iter().filter(|(_, pairs)| !pairs.is_empty());
    let lines = match layout % 3 {
        0 => sections
            .flat_map(|(section, pairs)| [vec![format!("[{section}]")], pairs].concat())
            .collect(),
        1 => sections
            .map(|(section, pairs)| format!("{section} = {{ {} }}", pairs.join(" , ")))
            .collect(),
        _ => {
            let dotted = pairs.iter().filter(|(section, ..)| !section.is_empty());
            dotted
                .map(|(section, key, value)| format!("{section} . {key} = {value}"))
                .collect()
        }
    };
    ended(of("")) + &ended(lines)
}

proptest! {
    #[test]
    fn what_is_written_is_read(
        (wanted, entries) in wanted().prop_flat_map(|wanted| {
            let entries = wanted.entries();
            (Just(wanted), Just(entries).prop_shuffle())
        }),
        styles in vec(any::<u8>(), 21),
        layout in any::<u8>(),
    ) {
        let text = written(&entries, &styles, layout);
        let settings = parse(&text).map_err(|error| TestCaseError::fail(format!("{error}\n{text}")))?;
        let path = |text: &Option<String>| text.as_ref().map(PathBuf::from);
        prop_assert_eq!(Some(settings.users_file), path(&wanted.users_file).or(Some("/etc/ivalt/users.toml".into())));
        prop_assert_eq!(settings.synced_users_file, path(&wanted.synced_users_file));
        let networks = settings.policy.exempt_networks.iter().map(|network| network.to_string());
        prop_assert_eq!(networks.collect::<Vec<_>>(), wanted.exempt_networks.unwrap_or_default());
        let url = wanted.url.as_deref().unwrap_or("https://api.ivalt.com/admin/public/api");
        prop_assert_eq!(settings.api.url, url.trim_end_matches('/'));
        prop_assert_eq!(settings.api.key.as_bytes(), wanted.key.as_bytes());
        prop_assert_eq!(settings.api.timeout.as_secs(), wanted.timeout.unwrap_or(10));
        prop_assert_eq!(settings.api.ca_file, path(&wanted.ca_file));
        prop_assert_eq!(settings.api.proxy, wanted.proxy);
        prop_assert_eq!(settings.api.preconnect, wanted.preconnect.unwrap_or(true));
        let client = settings.api.client.map(|client| (client.id, client.secret.as_bytes().to_vec()));
        prop_assert_eq!(client, wanted.client.map(|(id, secret)| (id, secret.into_bytes())));
        let token = settings.token;
        prop_assert_eq!(token.method, wanted.method.map_or(Method::Token, |word| word.1));
        prop_assert_eq!(token.prompt, wanted.prompt);
        prop_assert_eq!(token.echo, wanted.echo.unwrap_or(true));
        prop_assert_eq!(token.attempts.get(), wanted.attempts.unwrap_or(3));
        let lengths = (token.min_length.get_ref().get(), token.max_length.get());
        prop_assert_eq!(lengths, wanted.lengths.unwrap_or((1, 512)));
        prop_assert_eq!(token.charset, wanted.charset.map_or(Charset::Visible, |word| word.1));
        prop_assert_eq!(token.mobile_format, wanted.mobile_format.map_or(MobileFormat::E164, |word| word.1));
        prop_assert_eq!(settings.policy.unenrolled, wanted.unenrolled.map_or(Tolerance::Deny, |word| word.1));
        prop_assert_eq!(settings.policy.unavailable, wanted.unavailable.map_or(Tolerance::Deny, |word| word.1));
        prop_assert_eq!(settings.recovery.codes, wanted.codes.unwrap_or(false));
        let directory = path(&wanted.directory).or(Some("/var/lib/ivalt/recovery".into()));
        prop_assert_eq!(Some(settings.recovery.directory), directory);
        let (push, wanted) = (settings.push, wanted.push);
        prop_assert_eq!(push.enabled, wanted.enabled.unwrap_or(false));
        prop_assert_eq!(push.accept_unbound_approvals, wanted.accept.unwrap_or(false));
        prop_assert_eq!(push.url, wanted.url.map(|url| url.trim_end_matches('/').to_owned()));
        prop_assert_eq!(push.dialect, wanted.dialect.map_or(Dialect::GeoFenceResults, |word| word.1));
        prop_assert_eq!(push.services, wanted.services.unwrap_or(vec!["sshd".to_owned()]));
        prop_assert_eq!(push.wait.get(), wanted.wait.unwrap_or(60));
        prop_assert_eq!(push.max_unanswered.get(), wanted.max_unanswered.unwrap_or(3));
    }
}

/// A section, a key, and a value in TOML that it cannot have.
fn out_of_range() -> impl Strategy<Value = (&'static str, &'static str, String)> {
    let number = |section, key, most: i64| {
        let value = prop_oneof![any::<i64>(), Just(0), Just(most + 1)];
        let value = value.prop_filter("in range", move |value| !(1..=most).contains(value));
        value.prop_map(move |value| (section, key, value.to_string()))
    };
    let text = |section, key, values: &'static str| {
        values.prop_map(move |value| (section, key, text_as(&value, 4)))
    };
    let word = |section, key, allowed: &'static [&str]| {
        let value =
            "[a-z0-9+]{0,12}".prop_filter("allowed", |value| !allowed.contains(&value.as_str()));
        value.prop_map(move |value| (section, key, text_as(&value, 4)))
    };
    prop_oneof![
        number("api", "timeout_seconds", 60),
        number("token", "attempts", 10),
        number("token", "min_length", 4096),
        number("token", "max_length", 4096),
        text("", "users_file", "([^/].{0,20})?"),
        text("", "synced_users_file", "([^/].{0,20})?"),
        "[0-9]{1,3}[.][0-9]{1,3}[.][0-9]{1,3}|[g-z.]{0,9}|0[.]0[.]0[.]0/0|::/0|10[.]1[.]0[.]0/(33|[1-9]|015)|127[.]0[.]0[.]1|fe80::%[a-z]".prop_map(
            |text| ("policy", "exempt_networks", format!("[{}]", text_as(&text, 4)))
        ),
        text("recovery", "directory", "([^/].{0,20})?"),
        text("api", "ca_file", "([^/].{0,20})?"),
        text("api", "key_file", "([^/].{0,20})?"),
        text(
            "api",
            "url",
            "(http|ftp|file|HTTP)://[a-z]{0,9}|https:/?[a-z]{0,9}|https://([a-z]{1,5}@[a-z]{1,5}|[a-z]{1,5}[?#]|:1|h:|h:65536)"
        ),
        text(
            "api",
            "proxy",
            "(https|socks5)://[a-z]{1,9}|http://([a-z]{1,5}/x|[a-z]{1,5}[?#]|:1|h:|h:65536)"
        ),
        text(
            "token",
            "prompt",
            "[ -~]{0,9}[\u{1}-\u{1f}\u{7f}-\u{9f}][ -~]{0,9}|[ -~]{257,300}"
        ),
        word("token", "method", &["token", "token+face"]),
        number("push", "max_unanswered", 60),
        prop_oneof![0i64..10, 111i64..].prop_map(|value| (
            "push",
            "wait_seconds",
            value.to_string()
        )),
        text(
            "push",
            "url",
            "(http|ftp)://[a-z]{0,9}|https://([a-z]{1,5}@[a-z]{1,5}|h:|:1)"
        ),
        word("push", "dialect", &["geo-fence-results", "auth-result"]),
        word("token", "charset", &["digits", "alphanumeric", "visible"]),
        word("token", "mobile_format", &["e164", "national"]),
        word("policy", "unenrolled", &["deny", "ignore"]),
        word("policy", "unavailable", &["deny", "ignore"]),
    ]
}

/// A key of any section, and a value in TOML that has the wrong type for it.
fn wrong_type() -> impl Strategy<Value = (&'static str, &'static str, String)> {
    let texts = [
        ("", "users_file"),
        ("", "synced_users_file"),
        ("api", "url"),
        ("api", "key"),
        ("api", "key_file"),
        ("api", "ca_file"),
        ("api", "proxy"),
        ("api", "client_id"),
        ("api", "client_secret"),
        ("token", "prompt"),
        ("token", "charset"),
        ("policy", "unavailable"),
        ("recovery", "directory"),
        ("push", "url"),
        ("push", "dialect"),
    ];
    let numbers = [
        ("api", "timeout_seconds"),
        ("token", "attempts"),
        ("token", "max_length"),
        ("push", "wait_seconds"),
        ("push", "max_unanswered"),
    ];
    let flags = [
        ("api", "preconnect"),
        ("token", "echo"),
        ("recovery", "codes"),
        ("push", "enabled"),
        ("push", "accept_unbound_approvals"),
    ];
    let never = [
        "1.5",
        "[1]",
        "[]",
        "{ a = 1 }",
        "1979-05-27",
        "07:32:00",
        "nan",
    ];
    let wrong = |keys: Vec<(&'static str, &'static str)>, more: [&'static str; 2]| {
        let values = Vec::from_iter(never.into_iter().chain(more));
        (select(keys), select(values))
            .prop_map(|((section, key), value)| (section, key, value.to_owned()))
    };
    prop_oneof![
        wrong(texts.to_vec(), ["1", "true"]),
        wrong(numbers.to_vec(), ["\"5\"", "true"]),
        wrong(flags.to_vec(), ["\"true\"", "1"]),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn what_cannot_be_is_refused_by_its_name((section, key, value) in prop_oneof![out_of_range(), wrong_type()]) {
        let (name, section) = match section {
            "" => (key.to_owned(), String::new()),
            section => (format!("{section}.{key}"), format!("[{section}]\n")),
        };
        let text = format!("{section}\n{key} = {value}\n");
        let line = text.lines().position(|line| line.starts_with(key)).map_or(0, |at| at + 1);
        let error = parse(&text).expect_err(&text);
        prop_assert!(error.starts_with(&format!("{PATH}:{line}: {name}: ")), "{}\n{}", error, text);
    }
}
