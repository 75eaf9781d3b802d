//! `ivalt.toml`: read once a call, into values that need no further checks.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::de::{Deserialize, Deserializer, Unexpected, Visitor};
use toml::Spanned;
use toml::de::{DeTable, Deserializer as TomlDeserializer};
use ureq::http::Uri;
use zeroize::Zeroizing;

use crate::secret::Secret;
use crate::trusted_file::{Readers, Refused, SMALL, Trust};

/// The settings, in the order of ivalt.toml(5).
#[derive(Debug)]
pub struct Settings {
    /// Where the users' mobiles are.
    pub users_file: PathBuf,
    /// How iVALT is reached.
    pub api: Api,
    /// What the person is asked.
    pub token: Token,
    /// What happens where the module cannot judge.
    pub policy: Policy,
}

/// `[api]`
#[derive(Debug)]
pub struct Api {
    /// Base URL without a slash at the end; `https` only.
    pub url: String,
    /// Value of the header `x-api-key`.
    pub key: Secret,
    /// One validation, from name look-up to the last byte of the answer.
    pub timeout: Duration,
    /// PEM bundle that replaces the system's.
    pub ca_file: Option<PathBuf>,
    /// `http://host:port`; the environment is never read.
    pub proxy: Option<String>,
    /// Connect while the person types.
    pub preconnect: bool,
    /// For `api/v1/auth` only.
    pub client: Option<ClientCredentials>,
}

/// The host's own credentials for `api/v1/auth`.
#[derive(Debug)]
pub struct ClientCredentials {
    /// `api.client_id`
    pub id: String,
    /// `api.client_secret`
    pub secret: Secret,
}

/// `[token]`
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Token {
    /// Which proofs iVALT asks for.
    #[serde(deserialize_with = "method")]
    pub method: Method,
    /// What the person reads.
    #[serde(deserialize_with = "prompt")]
    pub prompt: String,
    /// Whether the answer is shown while it is typed.
    pub echo: bool,
    /// How often the person is asked.
    pub attempts: Number<1, 10>,
    /// In bytes, white space around not counted.
    pub min_length: Spanned<Number<1, 4096>>,
    /// In bytes, white space around not counted.
    pub max_length: Number<1, 4096>,
    /// What a token is made of.
    #[serde(deserialize_with = "charset")]
    pub charset: Charset,
    /// How the mobile goes to iVALT.
    #[serde(deserialize_with = "mobile_format")]
    pub mobile_format: MobileFormat,
}

/// `[policy]`
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Policy {
    /// For users without any entry.
    #[serde(deserialize_with = "tolerance")]
    pub unenrolled: Tolerance,
    /// When iVALT cannot be asked.
    #[serde(deserialize_with = "tolerance")]
    pub unavailable: Tolerance,
}

/// `token.method`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// The auth token alone.
    Token,
    /// The auth token, then the face token.
    TokenAndFace,
}

/// `token.charset`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Charset {
    /// 0-9
    Digits,
    /// 0-9, A-Z, a-z
    Alphanumeric,
    /// 0x21..=0x7e
    Visible,
}

/// `token.mobile_format`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MobileFormat {
    /// `+916283974746`
    E164,
    /// As written in `users.toml`.
    National,
}

/// `policy.*`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tolerance {
    /// The person does not get in.
    Deny,
    /// The module answers `PAM_IGNORE`.
    Ignore,
}

/// A whole number within bounds, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Number<const MIN: u64, const MAX: u64>(u64);

impl<const MIN: u64, const MAX: u64> Number<MIN, MAX> {
    /// The number.
    #[must_use]
    pub fn get(self) -> u64 {
        self.0
    }
}

/// A sentence for the administrator: file, line, key, what is wrong. It never quotes a value, which may be a secret.
#[derive(Debug, PartialEq, Eq)]
pub struct Misconfigured(String);

impl fmt::Display for Misconfigured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<Refused> for Misconfigured {
    fn from(refused: Refused) -> Self {
        Self(refused.to_string())
    }
}

impl Settings {
    /// Reads `ivalt.toml` and, where it names one, the key file.
    ///
    /// # Errors
    /// The first thing that is wrong, with file, line and key.
    pub fn load(path: &Path, trust: Trust) -> Result<Self, Misconfigured> {
        let bytes = Zeroizing::new(trust.read(path, Readers::OwnerOnly, SMALL)?);
        let source = Source {
            path,
            text: utf8(path, &bytes)?,
        };
        let document = source.parse()?;
        source.settings(document, trust)
    }
}

/// The file as it is written; lines and keys are by default what a `Settings` needs.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Document {
    #[serde(deserialize_with = "absolute_path")]
    users_file: PathBuf,
    api: RawApi,
    token: Token,
    policy: Policy,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawApi {
    #[serde(deserialize_with = "url")]
    url: String,
    key: Option<Spanned<Secret>>,
    key_file: Option<Spanned<AbsolutePath>>,
    timeout_seconds: Number<1, 60>,
    ca_file: Option<AbsolutePath>,
    #[serde(deserialize_with = "proxy")]
    proxy: Option<String>,
    preconnect: bool,
    client_id: Option<Spanned<String>>,
    client_secret: Option<Spanned<Secret>>,
}

#[derive(serde::Deserialize)]
struct AbsolutePath(#[serde(deserialize_with = "absolute_path")] PathBuf);

impl Default for Document {
    fn default() -> Self {
        Self {
            users_file: "/etc/ivalt/users.toml".into(),
            api: RawApi::default(),
            token: Token::default(),
            policy: Policy::default(),
        }
    }
}

impl Default for RawApi {
    fn default() -> Self {
        Self {
            url: "https://api.ivalt.com/admin/public/api".into(),
            key: None,
            key_file: None,
            timeout_seconds: Number(10),
            ca_file: None,
            proxy: None,
            preconnect: true,
            client_id: None,
            client_secret: None,
        }
    }
}

impl Default for Token {
    fn default() -> Self {
        Self {
            method: Method::Token,
            prompt: "iVALT token: ".into(),
            echo: true,
            attempts: Number(3),
            min_length: Spanned::new(0..0, Number(1)),
            max_length: Number(512),
            charset: Charset::Visible,
            mobile_format: MobileFormat::E164,
        }
    }
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            unenrolled: Tolerance::Deny,
            unavailable: Tolerance::Deny,
        }
    }
}

/// The text of one settings file and where it came from.
struct Source<'a> {
    path: &'a Path,
    text: &'a str,
}

impl Source<'_> {
    fn parse(&self) -> Result<Document, Misconfigured> {
        let table = DeTable::parse(self.text).map_err(|error| self.explain(&error))?;
        // From the table, not from the text: then an error holds no copy of the text, which holds the API key.
        Document::deserialize(TomlDeserializer::from(table)).map_err(|error| self.explain(&error))
    }

    /// `toml`'s own sentences quote the offending line; this takes only place, key and what was expected.
    fn explain(&self, error: &toml::de::Error) -> Misconfigured {
        let span = error.span().unwrap_or(0..0);
        let key = key_of(&error.to_string());
        let message = error.message();
        if message.starts_with("unknown field") {
            let name = self.text.get(span.clone()).unwrap_or_default();
            let known = expected(message).unwrap_or_default();
            return self.at(
                &span,
                &join(&key, name),
                &format!("is not a setting; here it is {known}"),
            );
        }
        match expected(message) {
            Some(expected) if message.starts_with("invalid ") => {
                self.at(&span, &key, &format!("must be {expected}"))
            }
            _ => self.at(&span, &key, message),
        }
    }

    fn at(&self, span: &Range<usize>, key: &str, what: &str) -> Misconfigured {
        let before = self.text.as_bytes().get(..span.start).unwrap_or_default();
        let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
        let colon = if key.is_empty() { "" } else { ": " };
        Misconfigured(format!(
            "{}:{line}: {key}{colon}{what}",
            self.path.display()
        ))
    }

    fn settings(&self, document: Document, trust: Trust) -> Result<Settings, Misconfigured> {
        let Document {
            users_file,
            api,
            token,
            policy,
        } = document;
        if token.min_length.get_ref().get() > token.max_length.get() {
            return Err(self.at(
                &token.min_length.span(),
                "token.min_length",
                "must not be larger than token.max_length",
            ));
        }
        Ok(Settings {
            users_file,
            api: self.api(api, trust)?,
            token,
            policy,
        })
    }

    fn api(&self, raw: RawApi, trust: Trust) -> Result<Api, Misconfigured> {
        Ok(Api {
            url: raw.url,
            key: self.key(raw.key, raw.key_file, trust)?,
            timeout: Duration::from_secs(raw.timeout_seconds.get()),
            ca_file: raw.ca_file.map(|path| path.0),
            proxy: raw.proxy,
            preconnect: raw.preconnect,
            client: self.client(raw.client_id, raw.client_secret)?,
        })
    }

    fn key(
        &self,
        key: Option<Spanned<Secret>>,
        file: Option<Spanned<AbsolutePath>>,
        trust: Trust,
    ) -> Result<Secret, Misconfigured> {
        match (key, file) {
            (Some(key), None) => self.header_value(&key.span(), "api.key", key.get_ref()),
            (None, Some(file)) => {
                let path = &file.get_ref().0;
                let content = Secret::new(trust.read(path, Readers::OwnerOnly, SMALL)?);
                self.header_value(&file.span(), "api.key_file", &content)
            }
            (Some(_), Some(file)) => Err(self.at(
                &file.span(),
                "api.key_file",
                "stands beside api.key; keep one of the two",
            )),
            (None, None) => Err(Misconfigured(format!(
                "{}: api.key: is missing; set it, or api.key_file, under [api]",
                self.path.display()
            ))),
        }
    }

    /// An API key goes out as an HTTP header value, RFC 9110 section 5.5.
    fn header_value(
        &self,
        span: &Range<usize>,
        key: &str,
        value: &Secret,
    ) -> Result<Secret, Misconfigured> {
        let value = value.trimmed();
        let visible = value.as_bytes().iter().all(u8::is_ascii_graphic);
        if visible && (1..=4096).contains(&value.as_bytes().len()) {
            return Ok(value);
        }
        Err(self.at(
            span,
            key,
            "must hold the API key: one word of visible ASCII characters",
        ))
    }

    fn client(
        &self,
        id: Option<Spanned<String>>,
        secret: Option<Spanned<Secret>>,
    ) -> Result<Option<ClientCredentials>, Misconfigured> {
        match (id, secret) {
            (None, None) => Ok(None),
            (Some(id), Some(secret)) => Ok(Some(ClientCredentials {
                id: id.into_inner(),
                secret: secret.into_inner(),
            })),
            (Some(id), None) => Err(self.at(
                &id.span(),
                "api.client_id",
                "needs api.client_secret beside it",
            )),
            (None, Some(secret)) => Err(self.at(
                &secret.span(),
                "api.client_secret",
                "needs api.client_id beside it",
            )),
        }
    }
}

/// The bytes of `path` as text.
fn utf8<'a>(path: &Path, bytes: &'a [u8]) -> Result<&'a str, Misconfigured> {
    str::from_utf8(bytes).map_err(|error| {
        let line = bytes[..error.valid_up_to()]
            .iter()
            .filter(|byte| **byte == b'\n')
            .count()
            + 1;
        Misconfigured(format!(
            "{}:{line}: is not UTF-8; write the file again as UTF-8 text",
            path.display()
        ))
    })
}

/// The dotted key that `toml` names in the last line of its sentence.
fn key_of(sentence: &str) -> String {
    let key = sentence
        .trim_end()
        .rsplit_once("\nin `")
        .map(|(_, key)| key.trim_end_matches('`'));
    key.unwrap_or_default().to_owned()
}

fn join(table: &str, key: &str) -> String {
    if table.is_empty() || table == key || table.ends_with(&format!(".{key}")) {
        return if table.is_empty() {
            key.to_owned()
        } else {
            table.to_owned()
        };
    }
    format!("{table}.{key}")
}

/// What serde expected, without what it found.
fn expected(message: &str) -> Option<&str> {
    message
        .rsplit_once(", expected ")
        .map(|(_, expected)| expected)
}

impl<'de, const MIN: u64, const MAX: u64> Deserialize<'de> for Number<MIN, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_i64(NumberVisitor::<MIN, MAX>)
    }
}

struct NumberVisitor<const MIN: u64, const MAX: u64>;

impl<const MIN: u64, const MAX: u64> Visitor<'_> for NumberVisitor<MIN, MAX> {
    type Value = Number<MIN, MAX>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a whole number from {MIN} to {MAX}")
    }

    fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<Self::Value, E> {
        let number = u64::try_from(value)
            .ok()
            .filter(|number| (MIN..=MAX).contains(number));
        number
            .map(Number)
            .ok_or_else(|| E::invalid_value(Unexpected::Signed(value), &self))
    }
}

/// A string that `check` turns into a value, or an error that says only what was expected.
struct Text<F> {
    expected: &'static str,
    check: F,
}

impl<T, F: Fn(&str) -> Option<T>> Visitor<'_> for Text<F> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expected)
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<T, E> {
        (self.check)(text).ok_or_else(|| E::invalid_value(Unexpected::Other("text"), &self))
    }
}

fn absolute_path<'de, D: Deserializer<'de>>(deserializer: D) -> Result<PathBuf, D::Error> {
    let check =
        |text: &str| (text.starts_with('/') && !text.contains('\0')).then(|| PathBuf::from(text));
    deserializer.deserialize_str(Text {
        expected: "an absolute path",
        check,
    })
}

fn url<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let expected = "a URL that begins with https:// and has no credentials, query or fragment";
    let check = |text: &str| {
        let plain = text
            .get(..8)
            .is_some_and(|scheme| scheme.eq_ignore_ascii_case("https://"))
            && !text.contains(['@', '?', '#']);
        (plain && is_uri(text)).then(|| text.trim_end_matches('/').to_owned())
    };
    deserializer.deserialize_str(Text { expected, check })
}

fn proxy<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let check = |text: &str| {
        let path = text
            .get(7..)
            .and_then(|rest| rest.split_once('/'))
            .map_or("", |(_, path)| path);
        let plain = text.starts_with("http://") && path.is_empty() && !text.contains(['?', '#']);
        (plain && is_uri(text)).then(|| Some(text.to_owned()))
    };
    deserializer.deserialize_str(Text {
        expected: "a URL of the form http://host:port",
        check,
    })
}

fn is_uri(text: &str) -> bool {
    let uri = text.parse::<Uri>().ok();
    let authority = uri.as_ref().and_then(Uri::authority);
    // `http` takes "host:" and "host:70000" for authorities without a port.
    authority.is_some_and(|a| {
        !a.host().is_empty() && (a.port().is_some() || !after_host(a.as_str()).contains(':'))
    })
}

/// What follows the host in `user@host:port` or `[::1]:port`.
fn after_host(authority: &str) -> &str {
    let host = authority
        .rsplit_once('@')
        .map_or(authority, |(_, host)| host);
    host.rsplit_once(']').map_or(host, |(_, rest)| rest)
}

fn prompt<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    // PAM_MAX_MSG_SIZE is 512, and a complaint goes before the prompt.
    let check = |text: &str| {
        (text.len() <= 256 && !text.contains(char::is_control)).then(|| text.to_owned())
    };
    deserializer.deserialize_str(Text {
        expected: "at most 256 bytes of text in one line",
        check,
    })
}

fn method<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Method, D::Error> {
    let check = |text: &str| match text {
        "token" => Some(Method::Token),
        "token+face" => Some(Method::TokenAndFace),
        _ => None,
    };
    deserializer.deserialize_str(Text {
        expected: r#""token" or "token+face""#,
        check,
    })
}

fn charset<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Charset, D::Error> {
    let check = |text: &str| match text {
        "digits" => Some(Charset::Digits),
        "alphanumeric" => Some(Charset::Alphanumeric),
        "visible" => Some(Charset::Visible),
        _ => None,
    };
    deserializer.deserialize_str(Text {
        expected: r#""digits", "alphanumeric" or "visible""#,
        check,
    })
}

fn mobile_format<'de, D: Deserializer<'de>>(deserializer: D) -> Result<MobileFormat, D::Error> {
    let check = |text: &str| match text {
        "e164" => Some(MobileFormat::E164),
        "national" => Some(MobileFormat::National),
        _ => None,
    };
    deserializer.deserialize_str(Text {
        expected: r#""e164" or "national""#,
        check,
    })
}

fn tolerance<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Tolerance, D::Error> {
    let check = |text: &str| match text {
        "deny" => Some(Tolerance::Deny),
        "ignore" => Some(Tolerance::Ignore),
        _ => None,
    };
    deserializer.deserialize_str(Text {
        expected: r#""deny" or "ignore""#,
        check,
    })
}
