//! `ivalt.toml`: read once a call, into values that need no further checks.

use std::collections::BTreeSet;
use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustls::pki_types::ServerName;
use serde::de::{Deserialize, Deserializer, SeqAccess, Unexpected, Visitor};
use toml::Spanned;
use ureq::http::Uri;
use zeroize::Zeroizing;

use crate::networks::Networks;
use crate::problem::{Problem, ProblemKind};
use crate::secret::Secret;
use crate::settings_text::{AbsolutePath, Number, SettingsText, TextVisitor, absolute_path, utf8};
use crate::trusted_file::{ReadPermission, SMALL, Trust};
use crate::users::Files;

/// The settings, in the order of ivalt.toml(5).
#[derive(Debug)]
pub struct Settings {
    /// Where the users' mobiles are.
    pub users_file: PathBuf,
    /// Where those are that `ivaltctl users sync` writes, for users of whom `users_file` says nothing.
    pub synced_users_file: Option<PathBuf>,
    /// How iVALT is reached.
    pub api: Api,
    /// What the user is asked.
    pub token: Token,
    /// What happens where the module cannot judge.
    pub policy: Policy,
    /// What gets in without iVALT.
    pub recovery: Recovery,
    /// Logins that are approved on the phone.
    pub push: Push,
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
    /// Connect while the user types.
    pub preconnect: bool,
    /// For `api/v1/auth` only.
    pub client: Option<ClientCredentials>,
}

fn port_of(url: &str, default: u16) -> u16 {
    let uri = url.parse::<Uri>().ok();
    uri.and_then(|uri| uri.port_u16()).unwrap_or(default)
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
#[serde(deny_unknown_fields, default, expecting = "a table")]
pub struct Token {
    /// Which proofs iVALT asks for.
    #[serde(deserialize_with = "method")]
    pub method: Method,
    /// What the user reads, if it was set.
    #[serde(deserialize_with = "prompt")]
    pub prompt: Option<String>,
    /// Whether the answer is shown while it is typed.
    pub echo: bool,
    /// How often the user is asked.
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
#[serde(deny_unknown_fields, default, expecting = "a table")]
pub struct Policy {
    /// For users without any entry.
    #[serde(deserialize_with = "tolerance")]
    pub unenrolled: Tolerance,
    /// When iVALT cannot be asked.
    #[serde(deserialize_with = "tolerance")]
    pub unavailable: Tolerance,
    /// Whoever comes from there is not asked.
    pub exempt_networks: Networks,
}

/// `[recovery]`
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(deny_unknown_fields, default, expecting = "a table")]
pub struct Recovery {
    /// Whether recovery codes are accepted.
    pub codes: bool,
    /// Where they are kept.
    #[serde(deserialize_with = "absolute_path")]
    pub directory: PathBuf,
}

/// `[push]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Push {
    /// Whether Enter at the prompt sends a request to the phone. Then the next two are as they must be.
    pub enabled: bool,
    /// The administrator knows that iVALT ties no approval to a login.
    pub accept_unbound_approvals: bool,
    /// Base URL without a slash at the end; `https` only.
    pub url: Option<String>,
    /// How approvals are asked for.
    pub dialect: Dialect,
    /// The values of `PAM_SERVICE` for which it is.
    pub services: Vec<String>,
    /// `wait_seconds`: how long after the request an approval counts.
    pub wait: Number<10, 110>,
    /// How many requests of the last hour may be unanswered, for a mobile.
    pub max_unanswered: Number<1, 60>,
}

/// `push.dialect`: the operation that says whether the request was approved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// `biometric-geo-fence-auth-results`
    GeoFenceResults,
    /// `biometric-auth-result`
    AuthResult,
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
    /// The user is denied.
    Deny,
    /// The module answers `PAM_IGNORE`.
    Ignore,
}

/// What the user reads where `token.prompt` is not set, and Enter sends no request to the phone.
pub const DEFAULT_PROMPT: &str = "iVALT token: ";

/// Reads a file that must be closed to other users; as [`Trust::read`].
pub type ReadSecret<'a> = &'a dyn Fn(&Path) -> Result<Vec<u8>, Problem>;

fn read_secret(path: &Path, trust: Trust) -> Result<Vec<u8>, Problem> {
    trust.read(path, ReadPermission::OwnerOnly, SMALL)
}

impl Settings {
    /// The TCP ports the module connects to: the proxy's, or those of the URLs.
    #[must_use]
    pub fn ports(&self) -> BTreeSet<u16> {
        let push = self.push.url.as_ref().filter(|_| self.push.enabled);
        match &self.api.proxy {
            Some(proxy) => [port_of(proxy, 80)].into(),
            None => {
                let urls = [&self.api.url].into_iter().chain(push);
                urls.map(|url| port_of(url, 443)).collect()
            }
        }
    }

    /// The files that say whose mobile is whose.
    #[must_use]
    pub fn users(&self) -> Files<'_> {
        Files {
            own: &self.users_file,
            synced: self.synced_users_file.as_deref(),
        }
    }

    /// Reads `ivalt.toml` and, where it names one, the key file.
    ///
    /// # Errors
    /// The first thing that is wrong, with file, line and key.
    pub fn load(path: &Path, trust: Trust) -> Result<Self, Problem> {
        Self::load_by(path, &|path| read_secret(path, trust))
    }

    /// As [`Settings::load`] for a system whose files, closed to other users, are read by `read`.
    ///
    /// # Errors
    /// As [`Settings::load`].
    pub fn load_by(path: &Path, read: ReadSecret) -> Result<Self, Problem> {
        let bytes = Zeroizing::new(read(path)?);
        let text = utf8(path, &bytes)?;
        let source = SettingsText { path, text };
        source.settings(source.parse()?, read)
    }

    /// As [`Settings::load`] for a file that has been read.
    ///
    /// # Errors
    /// As [`Settings::load`].
    pub fn parse(path: &Path, text: &str, trust: Trust) -> Result<Self, Problem> {
        let source = SettingsText { path, text };
        source.settings(source.parse()?, &|path| read_secret(path, trust))
    }
}

/// What the enrolment of users needs of `ivalt.toml`: the API key may still be missing, and is not read.
#[derive(Debug)]
pub struct Enrolment {
    /// Where the users' mobiles are.
    pub users_file: PathBuf,
    /// Where those are that `ivaltctl users sync` writes.
    pub synced_users_file: Option<PathBuf>,
    /// For users without any entry.
    pub unenrolled: Tolerance,
    /// How a mobile is written.
    pub mobile_format: MobileFormat,
    /// Where the users' recovery codes are.
    pub recovery: Recovery,
}

impl Enrolment {
    /// Reads `ivalt.toml`.
    ///
    /// # Errors
    /// As [`Settings::load`], but for the API key.
    pub fn load(path: &Path, trust: Trust) -> Result<Self, Problem> {
        let bytes = Zeroizing::new(read_secret(path, trust)?);
        let text = utf8(path, &bytes)?;
        let source = SettingsText { path, text };
        let document: Document = source.parse()?;
        source.lengths(&document.token)?;
        if let (Some(_), Some(file)) = (&document.api.key, &document.api.key_file) {
            return Err(source.two_keys(file));
        }
        let Document {
            users_file,
            synced_users_file,
            api,
            token,
            policy,
            recovery,
            push: _,
        } = document;
        source.client(api.client_id, api.client_secret)?;
        Ok(Self {
            synced_users_file: source.synced_users_file(synced_users_file, &users_file)?,
            users_file,
            unenrolled: policy.unenrolled,
            mobile_format: token.mobile_format,
            recovery,
        })
    }

    /// Where there is no `ivalt.toml` yet.
    #[must_use]
    pub fn by_default() -> Self {
        let document = Document::default();
        Self {
            users_file: document.users_file,
            synced_users_file: None,
            unenrolled: document.policy.unenrolled,
            mobile_format: document.token.mobile_format,
            recovery: document.recovery,
        }
    }

    /// The files that say whose mobile is whose.
    #[must_use]
    pub fn users(&self) -> Files<'_> {
        Files {
            own: &self.users_file,
            synced: self.synced_users_file.as_deref(),
        }
    }
}

/// The file as it is written; lines and keys are by default what a `Settings` needs.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields, default, expecting = "a table")]
struct Document {
    #[serde(deserialize_with = "absolute_path")]
    users_file: PathBuf,
    synced_users_file: Option<Spanned<AbsolutePath>>,
    api: RawApi,
    token: Token,
    policy: Policy,
    recovery: Recovery,
    push: RawPush,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields, default, expecting = "a table")]
struct RawPush {
    enabled: Spanned<bool>,
    accept_unbound_approvals: Spanned<bool>,
    #[serde(deserialize_with = "push_url")]
    url: Option<String>,
    #[serde(deserialize_with = "dialect")]
    dialect: Dialect,
    #[serde(deserialize_with = "services")]
    services: Vec<String>,
    wait_seconds: Number<10, 110>,
    max_unanswered: Number<1, 60>,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields, default, expecting = "a table")]
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

impl Default for Document {
    fn default() -> Self {
        Self {
            users_file: "/etc/ivalt/users.toml".into(),
            synced_users_file: None,
            api: RawApi::default(),
            token: Token::default(),
            policy: Policy::default(),
            recovery: Recovery::default(),
            push: RawPush::default(),
        }
    }
}

impl Default for RawPush {
    fn default() -> Self {
        Self {
            enabled: Spanned::new(0..0, false),
            accept_unbound_approvals: Spanned::new(0..0, false),
            url: None,
            dialect: Dialect::GeoFenceResults,
            services: vec!["sshd".into()],
            wait_seconds: Number::new(60),
            max_unanswered: Number::new(3),
        }
    }
}

impl Default for RawApi {
    fn default() -> Self {
        Self {
            url: "https://api.ivalt.com/admin/public/api".into(),
            key: None,
            key_file: None,
            timeout_seconds: Number::new(10),
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
            prompt: None,
            echo: true,
            attempts: Number::new(3),
            min_length: Spanned::new(0..0, Number::new(1)),
            max_length: Number::new(512),
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
            exempt_networks: Networks::default(),
        }
    }
}

impl Default for Recovery {
    fn default() -> Self {
        Self {
            codes: false,
            directory: "/var/lib/ivalt/recovery".into(),
        }
    }
}

impl SettingsText<'_> {
    fn settings(&self, document: Document, read: ReadSecret) -> Result<Settings, Problem> {
        let Document {
            users_file,
            synced_users_file,
            api,
            token,
            policy,
            recovery,
            push,
        } = document;
        self.lengths(&token)?;
        let push = self.push(push, token.method)?;
        Ok(Settings {
            synced_users_file: self.synced_users_file(synced_users_file, &users_file)?,
            users_file,
            api: self.api(api, read)?,
            token,
            policy,
            recovery,
            push,
        })
    }

    /// A sync replaces the whole of its file.
    fn synced_users_file(
        &self,
        synced: Option<Spanned<AbsolutePath>>,
        own: &Path,
    ) -> Result<Option<PathBuf>, Problem> {
        let Some(synced) = synced else {
            return Ok(None);
        };
        if synced.get_ref().0 != own {
            return Ok(Some(synced.into_inner().0));
        }
        let what =
            "must be another file than users_file: a sync would replace what is written by hand";
        Err(self.at(&synced.span(), "synced_users_file", what))
    }

    /// Where it is not enabled, anything may be missing.
    fn push(&self, raw: RawPush, method: Method) -> Result<Push, Problem> {
        let enabled_at = raw.enabled.span();
        let push = Push {
            enabled: raw.enabled.into_inner(),
            accept_unbound_approvals: *raw.accept_unbound_approvals.get_ref(),
            url: raw.url,
            dialect: raw.dialect,
            services: raw.services,
            wait: raw.wait_seconds,
            max_unanswered: raw.max_unanswered,
        };
        if !push.enabled {
            return Ok(push);
        }
        if !push.accept_unbound_approvals {
            return Err(self.unbound(&raw.accept_unbound_approvals, &enabled_at));
        }
        if push.url.is_none() {
            let what = "is missing: push.enabled needs it, and it is never derived from api.url";
            let problem = self.at(&enabled_at, "push.url", what);
            return Err(problem.fix("set url = \"https://api.ivalt.com\" under [push]"));
        }
        match method {
            Method::Token => Ok(push),
            Method::TokenAndFace => {
                let what =
                    "requires token.method = \"token\": no face token comes with an approval";
                Err(self.at(&enabled_at, "push.enabled", what))
            }
        }
    }

    fn unbound(&self, accept: &Spanned<bool>, enabled_at: &Range<usize>) -> Problem {
        let at = if accept.span().is_empty() {
            enabled_at
        } else {
            &accept.span()
        };
        let what = "must be true where push.enabled is: iVALT ties no approval to a login, so a tap on the phone \
            may let in whoever else logs in at the same moment";
        let problem = self.at(at, "push.accept_unbound_approvals", what);
        problem.fix("read \"Push\" in pam_ivalt(8) before you set it")
    }

    fn lengths(&self, token: &Token) -> Result<(), Problem> {
        if token.min_length.get_ref().get() <= token.max_length.get() {
            return Ok(());
        }
        Err(self.at(
            &token.min_length.span(),
            "token.min_length",
            "must not be larger than token.max_length",
        ))
    }

    fn api(&self, raw: RawApi, read: ReadSecret) -> Result<Api, Problem> {
        Ok(Api {
            url: raw.url,
            key: self.key(raw.key, raw.key_file, read)?,
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
        read: ReadSecret,
    ) -> Result<Secret, Problem> {
        match (key, file) {
            (Some(key), None) => self.header_value(&key.span(), "api.key", key.get_ref()),
            (None, Some(file)) => {
                let path = &file.get_ref().0;
                let content =
                    read(path).map_err(|problem| problem.of_kind(ProblemKind::KeyFile))?;
                let content = Secret::new(content);
                self.header_value(&file.span(), "api.key_file", &content)
            }
            (Some(_), Some(file)) => Err(self.two_keys(&file)),
            (None, None) => Err(Problem::invalid("api.key: is missing")
                .in_file(self.path)
                .fix("set it, or api.key_file, under [api]")),
        }
    }

    fn two_keys(&self, file: &Spanned<AbsolutePath>) -> Problem {
        self.at(&file.span(), "api.key_file", "conflicts with api.key")
            .fix("set only one")
    }

    /// An API key goes out as an HTTP header value, RFC 9110 section 5.5.
    fn header_value(
        &self,
        span: &Range<usize>,
        key: &str,
        value: &Secret,
    ) -> Result<Secret, Problem> {
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
    ) -> Result<Option<ClientCredentials>, Problem> {
        match (id, secret) {
            (None, None) => Ok(None),
            (Some(id), Some(secret)) => Ok(Some(ClientCredentials {
                id: id.into_inner(),
                secret: secret.into_inner(),
            })),
            (Some(id), None) => {
                Err(self.at(&id.span(), "api.client_id", "requires api.client_secret"))
            }
            (None, Some(secret)) => Err(self.at(
                &secret.span(),
                "api.client_secret",
                "requires api.client_id",
            )),
        }
    }
}

/// Not that of `api.url`: below that one, the vendor documents an operation of a poll's name that submits a result.
fn push_url<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let url = url(deserializer)?;
    if !url.to_ascii_lowercase().contains("/admin/public/api") {
        return Ok(Some(url));
    }
    let expected = "a URL without /admin/public/api, below which a poll would submit a result";
    Err(serde::de::Error::invalid_value(
        Unexpected::Other("text"),
        &expected,
    ))
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
    let url = deserializer.deserialize_str(TextVisitor { expected, check })?;
    if has_name_for_tls(&url) {
        return Ok(url);
    }
    let expected = "a URL whose host is a DNS name or an IP address";
    Err(serde::de::Error::invalid_value(
        Unexpected::Other("text"),
        &expected,
    ))
}

/// Whether a certificate can be for it.
fn has_name_for_tls(url: &str) -> bool {
    let uri = url.parse::<Uri>().unwrap_or_default();
    let host = uri.host().unwrap_or_default();
    let host = host.trim_start_matches('[').trim_end_matches(']');
    ServerName::try_from(host).is_ok()
}

fn proxy<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let check = |text: &str| {
        let path = text
            .get(7..)
            .and_then(|rest| rest.split_once('/'))
            .map_or("", |(_, path)| path);
        let plain = text.starts_with("http://") && path.is_empty() && !text.contains(['?', '#']);
        (plain && is_uri(text) && ureq::Proxy::new(text).is_ok()).then(|| Some(text.to_owned()))
    };
    deserializer.deserialize_str(TextVisitor {
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

fn prompt<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    // PAM_MAX_MSG_SIZE is 512, and a complaint goes before the prompt.
    let check = |text: &str| {
        (text.len() <= 256 && !text.contains(char::is_control)).then(|| Some(text.to_owned()))
    };
    deserializer.deserialize_str(TextVisitor {
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
    deserializer.deserialize_str(TextVisitor {
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
    deserializer.deserialize_str(TextVisitor {
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
    deserializer.deserialize_str(TextVisitor {
        expected: r#""e164" or "national""#,
        check,
    })
}

fn dialect<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Dialect, D::Error> {
    let check = |text: &str| match text {
        "geo-fence-results" => Some(Dialect::GeoFenceResults),
        "auth-result" => Some(Dialect::AuthResult),
        _ => None,
    };
    deserializer.deserialize_str(TextVisitor {
        expected: r#""geo-fence-results" or "auth-result""#,
        check,
    })
}

fn services<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    deserializer.deserialize_seq(ServicesVisitor)
}

struct ServicesVisitor;

impl<'de> Visitor<'de> for ServicesVisitor {
    type Value = Vec<String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of services' names, like [\"sshd\"]")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut services = Vec::new();
        while let Some(ServiceName(name)) = list.next_element()? {
            services.push(name);
        }
        Ok(services)
    }
}

/// As libpam gives it to modules: in lower case, which it makes of any other (pam_start(3)).
struct ServiceName(String);

impl<'de> Deserialize<'de> for ServiceName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let check = |text: &str| {
            let plain = !text.is_empty() && !text.contains(char::is_control);
            plain.then(|| Self(text.to_ascii_lowercase()))
        };
        deserializer.deserialize_str(TextVisitor {
            expected: "a list of services' names, like [\"sshd\"]",
            check,
        })
    }
}

fn tolerance<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Tolerance, D::Error> {
    let check = |text: &str| match text {
        "deny" => Some(Tolerance::Deny),
        "ignore" => Some(Tolerance::Ignore),
        _ => None,
    };
    deserializer.deserialize_str(TextVisitor {
        expected: r#""deny" or "ignore""#,
        check,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATH: &str = "/etc/ivalt/ivalt.toml";
    const TRUST: Trust = Trust {
        effective_uid: u32::MAX,
    };

    fn settings(text: &str) -> Result<Settings, String> {
        Settings::parse(Path::new(PATH), text, TRUST).map_err(|error| error.to_string())
    }

    fn refusal(text: &str) -> String {
        let error = settings(text).expect_err(text);
        error
            .strip_prefix(PATH)
            .unwrap_or_else(|| panic!("{error}"))
            .to_owned()
    }

    #[test]
    fn the_least_file_gives_the_defaults() {
        let settings = settings("[api]\nkey = \"k\"").unwrap();
        assert_eq!(settings.users_file, Path::new("/etc/ivalt/users.toml"));
        assert_eq!(settings.synced_users_file, None);
        assert_eq!(settings.policy.exempt_networks, Networks::default());
        assert_eq!(settings.api.url, "https://api.ivalt.com/admin/public/api");
        assert_eq!(settings.api.key, Secret::new(b"k".to_vec()));
        assert_eq!(settings.api.timeout, Duration::from_secs(10));
        assert_eq!(
            (
                settings.api.ca_file,
                settings.api.proxy,
                settings.api.preconnect
            ),
            (None, None, true)
        );
        assert!(settings.api.client.is_none());
        let token = settings.token;
        assert_eq!(
            (token.method, token.prompt.as_deref(), token.echo),
            (Method::Token, None, true)
        );
        assert_eq!(
            (
                token.attempts.get(),
                token.min_length.get_ref().get(),
                token.max_length.get()
            ),
            (3, 1, 512)
        );
        assert_eq!(
            (token.charset, token.mobile_format),
            (Charset::Visible, MobileFormat::E164)
        );
        assert_eq!(
            (settings.policy.unenrolled, settings.policy.unavailable),
            (Tolerance::Deny, Tolerance::Deny)
        );
        let recovery = settings.recovery;
        assert_eq!(
            (recovery.codes, recovery.directory.as_path()),
            (false, Path::new("/var/lib/ivalt/recovery"))
        );
        let defaults = Push {
            enabled: false,
            accept_unbound_approvals: false,
            url: None,
            dialect: Dialect::GeoFenceResults,
            services: vec!["sshd".to_owned()],
            wait: Number::new(60),
            max_unanswered: Number::new(3),
        };
        assert_eq!(settings.push, defaults);
    }

    #[test]
    fn every_setting_of_push_is_wired() {
        let text = r#"[push]
            enabled = true
            accept_unbound_approvals = true
            url = "https://push.ivalt.test/"
            dialect = "auth-result"
            services = ["sshd", "Cockpit"]
            wait_seconds = 110
            max_unanswered = 60
            [api]
            key = "k""#;
        let expected = Push {
            enabled: true,
            accept_unbound_approvals: true,
            url: Some("https://push.ivalt.test".to_owned()),
            dialect: Dialect::AuthResult,
            services: vec!["sshd".to_owned(), "cockpit".to_owned()],
            wait: Number::new(110),
            max_unanswered: Number::new(60),
        };
        assert_eq!(settings(text).unwrap().push, expected);
    }

    /// Nobody turns it on without having read what it means, and none of it is needed where it is off.
    #[test]
    fn push_is_enabled_by_hand_and_as_a_whole() {
        const UNBOUND: &str = "push.accept_unbound_approvals: must be true where push.enabled is: iVALT ties no approval \
            to a login, so a tap on the phone may let in whoever else logs in at the same moment; \
            read \"Push\" in pam_ivalt(8) before you set it";
        const URL: &str = "push.url: is missing: push.enabled needs it, and it is never derived from api.url; \
            set url = \"https://api.ivalt.com\" under [push]";
        const FACE: &str =
            "push.enabled: requires token.method = \"token\": no face token comes with an approval";
        let (accept, url) = ("accept_unbound_approvals = true", "url = \"https://h\"");
        for (lines, expected) in [
            ("enabled = true".to_owned(), format!(":4: {UNBOUND}")),
            (
                format!("{url}\nenabled = true\naccept_unbound_approvals = false"),
                format!(":6: {UNBOUND}"),
            ),
            (format!("{accept}\nenabled = true"), format!(":5: {URL}")),
            (
                format!("enabled = true\n{accept}\n{url}\n[token]\nmethod = \"token+face\""),
                format!(":4: {FACE}"),
            ),
        ] {
            assert_eq!(refusal(&with("push", &lines)), expected, "{lines}");
        }
        for lines in [
            "enabled = false\n[token]\nmethod = \"token+face\"".to_owned(),
            accept.to_owned(),
            url.to_owned(),
            format!("enabled = true\n{accept}\n{url}\nservices = []"),
        ] {
            assert!(settings(&with("push", &lines)).is_ok(), "{lines}");
        }
    }

    #[test]
    fn the_port_is_that_of_the_proxy_where_there_is_one() {
        for (lines, port) in [
            ("", 443),
            ("url = \"https://h:8443/x\"", 8443),
            ("proxy = \"http://u:p@[::1]:3128/\"", 3128),
            ("proxy = \"http://p\"\nurl = \"https://h:8443\"", 80),
        ] {
            let found = settings(&format!("[api]\nkey = \"k\"\n{lines}")).unwrap();
            assert_eq!(found.ports(), [port].into(), "{lines}");
        }
        let url = "url = \"https://h:8443\"";
        let push = format!("[push]\n{url}\naccept_unbound_approvals = true\nenabled = ");
        for (lines, ports) in [
            (format!("{push}true"), &[443, 8443][..]),
            (format!("{url}\n{push}true"), &[8443]),
            (format!("{push}false"), &[443]),
            (format!("proxy = \"http://p\"\n{push}true"), &[80]),
        ] {
            let found = settings(&format!("[api]\nkey = \"k\"\n{lines}")).unwrap();
            let found: Vec<_> = found.ports().into_iter().collect();
            assert_eq!(found, ports, "{lines}");
        }
    }

    #[test]
    fn every_setting_is_wired() {
        let settings = settings(
            r#"users_file = "/u.toml"
            synced_users_file = "/s.toml"
            [api]
            url = "https://ivalt.test:8443/x/"
            key = " k2 "
            timeout_seconds = 60
            ca_file = "/ca.pem"
            proxy = "http://user:pw@proxy:3128/"
            preconnect = false
            client_id = "id"
            client_secret = "cs"
            [token]
            method = "token+face"
            prompt = "Zahl: "
            echo = false
            attempts = 10
            min_length = 6
            max_length = 8
            charset = "digits"
            mobile_format = "national"
            [policy]
            unenrolled = "ignore"
            unavailable = "ignore"
            exempt_networks = ["10.1.0.0/16", "2001:db8::/32"]
            [recovery]
            codes = true
            directory = "/srv/codes""#,
        )
        .unwrap();
        assert_eq!(settings.users_file, Path::new("/u.toml"));
        assert_eq!(
            settings.synced_users_file.as_deref(),
            Some(Path::new("/s.toml"))
        );
        let users = settings.users();
        assert_eq!(
            users.iter().collect::<Vec<_>>(),
            [Path::new("/u.toml"), Path::new("/s.toml")]
        );
        let networks = settings.policy.exempt_networks.iter();
        let networks: Vec<_> = networks.map(|network| network.to_string()).collect();
        assert_eq!(networks, ["10.1.0.0/16", "2001:db8::/32"]);
        assert_eq!(settings.api.url, "https://ivalt.test:8443/x");
        assert_eq!(settings.api.key, Secret::new(b"k2".to_vec()));
        assert_eq!(settings.api.timeout, Duration::from_secs(60));
        assert_eq!(settings.api.ca_file.as_deref(), Some(Path::new("/ca.pem")));
        assert_eq!(
            settings.api.proxy.as_deref(),
            Some("http://user:pw@proxy:3128/")
        );
        assert!(!settings.api.preconnect);
        let client = settings.api.client.unwrap();
        assert_eq!(
            (client.id.as_str(), client.secret.as_bytes()),
            ("id", b"cs".as_slice())
        );
        let token = settings.token;
        assert_eq!(
            (token.method, token.prompt.as_deref(), token.echo),
            (Method::TokenAndFace, Some("Zahl: "), false)
        );
        assert_eq!(
            (
                token.attempts.get(),
                token.min_length.get_ref().get(),
                token.max_length.get()
            ),
            (10, 6, 8)
        );
        assert_eq!(
            (token.charset, token.mobile_format),
            (Charset::Digits, MobileFormat::National)
        );
        assert_eq!(
            (settings.policy.unenrolled, settings.policy.unavailable),
            (Tolerance::Ignore, Tolerance::Ignore)
        );
        let recovery = settings.recovery;
        assert_eq!(
            (recovery.codes, recovery.directory.as_path()),
            (true, Path::new("/srv/codes"))
        );
    }

    /// With `{}` for the lines that are tried, and a valid rest.
    fn with(section: &str, lines: &str) -> String {
        match section {
            "" => format!("{lines}\n[api]\nkey = \"k\"\n"),
            "api" => format!("[api]\nkey = \"k\"\n{lines}\n"),
            _ => format!("[api]\nkey = \"k\"\n[{section}]\n{lines}\n"),
        }
    }

    #[test]
    fn errors_name_file_line_and_key() {
        const URL: &str = "api.url: must be a URL that begins with https:// and has no credentials, query or fragment";
        const HOST: &str = "api.url: must be a URL whose host is a DNS name or an IP address";
        const PROXY: &str = "api.proxy: must be a URL of the form http://host:port";
        const NETWORKS: &str = "policy.exempt_networks: must be a list of at most 64 networks, like [\"10.1.0.0/16\", \"2001:db8::/32\"]";
        const NETWORK: &str = "policy.exempt_networks: must be an address or a network in numbers, like \"192.0.2.7\", \"10.1.0.0/16\" or \"2001:db8::/32\"";
        for (section, lines, expected) in [
            (
                "",
                "user_file = \"/x\"",
                ":1: user_file: unknown setting; expected one of `users_file`, `synced_users_file`, `api`, `token`, `policy`, `recovery`, `push`",
            ),
            (
                "",
                "users_file = \"x\"",
                ":1: users_file: must be an absolute path",
            ),
            (
                "",
                "users_file = 5",
                ":1: users_file: must be an absolute path",
            ),
            (
                "",
                "synced_users_file = \"x\"",
                ":1: synced_users_file: must be an absolute path",
            ),
            (
                "",
                "synced_users_file = \"/etc/ivalt//users.toml\"",
                ":1: synced_users_file: must be another file than users_file: a sync would replace what is written by hand",
            ),
            (
                "",
                "users_file = \"/u\"\nsynced_users_file = \"/u\"",
                ":2: synced_users_file: must be another file than users_file: a sync would replace what is written by hand",
            ),
            ("", "policy = 5", ":1: policy: must be a table"),
            (
                "api",
                "timeout_seconds = 0",
                ":3: api.timeout_seconds: must be a whole number from 1 to 60",
            ),
            (
                "api",
                "timeout_seconds = 61",
                ":3: api.timeout_seconds: must be a whole number from 1 to 60",
            ),
            (
                "api",
                "timeout_seconds = -1",
                ":3: api.timeout_seconds: must be a whole number from 1 to 60",
            ),
            (
                "api",
                "timeout_seconds = 1.5",
                ":3: api.timeout_seconds: must be a whole number from 1 to 60",
            ),
            (
                "api",
                "timeout_seconds = \"10\"",
                ":3: api.timeout_seconds: must be a whole number from 1 to 60",
            ),
            (
                "api",
                "url = \"http://api.ivalt.com\"",
                &format!(":3: {URL}"),
            ),
            ("api", "url = \"https://\"", &format!(":3: {URL}")),
            ("api", "url = \"https://1.2.3\"", &format!(":3: {HOST}")),
            (
                "api",
                "url = \"https://a!b.example/x\"",
                &format!(":3: {HOST}"),
            ),
            (
                "api",
                "url = \"https://[fe80::1%25eth0]/\"",
                &format!(":3: {HOST}"),
            ),
            (
                "api",
                "url = \"https://u:p@api.ivalt.com\"",
                &format!(":3: {URL}"),
            ),
            (
                "api",
                "url = \"https://api.ivalt.com/#x\"",
                &format!(":3: {URL}"),
            ),
            (
                "api",
                "url = \"https://api.ivalt.com/?x\"",
                &format!(":3: {URL}"),
            ),
            (
                "api",
                "url = \"https://api.ivalt.com:99999/\"",
                &format!(":3: {URL}"),
            ),
            (
                "api",
                "url = \"https://api.ivalt.com:/\"",
                &format!(":3: {URL}"),
            ),
            (
                "api",
                "url = \"https://api ivalt.com/\"",
                &format!(":3: {URL}"),
            ),
            (
                "api",
                "proxy = \"https://proxy:3128\"",
                &format!(":3: {PROXY}"),
            ),
            ("api", "proxy = \"proxy:3128\"", &format!(":3: {PROXY}")),
            (
                "api",
                "proxy = \"http://proxy:3128/x\"",
                &format!(":3: {PROXY}"),
            ),
            (
                "api",
                "proxy = \"http://proxy:3128?x\"",
                &format!(":3: {PROXY}"),
            ),
            ("api", "proxy = \"http://\"", &format!(":3: {PROXY}")),
            ("api", "proxy = \"http://:3128\"", &format!(":3: {PROXY}")),
            (
                "api",
                "proxy = \"http://pro xy:3128\"",
                &format!(":3: {PROXY}"),
            ),
            (
                "api",
                "proxy = \"socks5://proxy:3128\"",
                &format!(":3: {PROXY}"),
            ),
            (
                "api",
                "proxy = \"http://u%ff:p@proxy:3128\"",
                &format!(":3: {PROXY}"),
            ),
            ("api", "url = \"https://:443/\"", &format!(":3: {URL}")),
            (
                "api",
                "ca_file = \"/a\\u0000b\"",
                ":3: api.ca_file: must be an absolute path",
            ),
            (
                "token",
                "prompt = \"a\\u001bb\"",
                ":4: token.prompt: must be at most 256 bytes of text in one line",
            ),
            ("api", "proxy = true", &format!(":3: {PROXY}")),
            (
                "api",
                "preconnect = \"yes\"",
                ":3: api.preconnect: must be a boolean",
            ),
            (
                "api",
                "client_id = \"x\"",
                ":3: api.client_id: requires api.client_secret",
            ),
            (
                "api",
                "client_secret = \"x\"",
                ":3: api.client_secret: requires api.client_id",
            ),
            (
                "api",
                "ca_file = \"ca.pem\"",
                ":3: api.ca_file: must be an absolute path",
            ),
            (
                "api",
                "key_file = \"/k\"",
                ":3: api.key_file: conflicts with api.key; set only one",
            ),
            ("api", "key = \"k\"", ":3: key: is defined twice; keep one"),
            (
                "api",
                "keys = \"SECRET\"",
                ":3: api.keys: unknown setting; expected one of `url`, `key`, `key_file`, `timeout_seconds`, `ca_file`, `proxy`, `preconnect`, `client_id`, `client_secret`",
            ),
            (
                "token",
                "method = \"face\"",
                ":4: token.method: must be \"token\" or \"token+face\"",
            ),
            (
                "token",
                "prompt = \"a\\nb\"",
                ":4: token.prompt: must be at most 256 bytes of text in one line",
            ),
            ("token", "echo = 1", ":4: token.echo: must be a boolean"),
            (
                "token",
                "attempts = 0",
                ":4: token.attempts: must be a whole number from 1 to 10",
            ),
            (
                "token",
                "attempts = 11",
                ":4: token.attempts: must be a whole number from 1 to 10",
            ),
            (
                "token",
                "min_length = 0",
                ":4: token.min_length: must be a whole number from 1 to 4096",
            ),
            (
                "token",
                "max_length = 4097",
                ":4: token.max_length: must be a whole number from 1 to 4096",
            ),
            (
                "token",
                "max_length = 5\nmin_length = 6",
                ":5: token.min_length: must not be larger than token.max_length",
            ),
            (
                "token",
                "charset = \"any, expected SECRET\"",
                ":4: token.charset: must be \"digits\", \"alphanumeric\" or \"visible\"",
            ),
            (
                "token",
                "mobile_format = [\"e164\"]",
                ":4: token.mobile_format: must be \"e164\" or \"national\"",
            ),
            (
                "policy",
                "unenrolled = \"allow\"",
                ":4: policy.unenrolled: must be \"deny\" or \"ignore\"",
            ),
            (
                "policy",
                "unavailable = true",
                ":4: policy.unavailable: must be \"deny\" or \"ignore\"",
            ),
            (
                "policy",
                "exempt_networks = \"10.1.0.0/16\"",
                &format!(":4: {NETWORKS}"),
            ),
            ("policy", "exempt_networks = [1]", &format!(":4: {NETWORK}")),
            (
                "policy",
                "exempt_networks = [\n\"10.1.0.0/16\",\n\"office.example\",\n]",
                &format!(":6: {NETWORK}"),
            ),
            (
                "policy",
                "exempt_networks = [\n\"10.1.2.3/16\"]",
                ":5: policy.exempt_networks: must be \"10.1.0.0/16\" for the network or \"10.1.2.3\" for one address, not 10.1.2.3/16",
            ),
            (
                "policy",
                "exempt_networks = [\"0.0.0.0/0\"]",
                ":4: policy.exempt_networks: must be networks that are known: /0 exempts everybody",
            ),
            (
                "policy",
                "exempt_network = []",
                ":4: policy.exempt_network: unknown setting; expected one of `unenrolled`, `unavailable`, `exempt_networks`",
            ),
            (
                "recovery",
                "codes = \"yes\"",
                ":4: recovery.codes: must be a boolean",
            ),
            (
                "recovery",
                "directory = \"recovery\"",
                ":4: recovery.directory: must be an absolute path",
            ),
            (
                "recovery",
                "code = true",
                ":4: recovery.code: unknown setting; expected `codes` or `directory`",
            ),
            ("push", "enabled = 1", ":4: push.enabled: must be a boolean"),
            (
                "push",
                "enabled = \"true\"",
                ":4: push.enabled: must be a boolean",
            ),
            (
                "push",
                "accept_unbound_approvals = \"yes\"",
                ":4: push.accept_unbound_approvals: must be a boolean",
            ),
            (
                "push",
                "url = \"http://api.ivalt.com\"",
                ":4: push.url: must be a URL that begins with https:// and has no credentials, query or fragment",
            ),
            (
                "push",
                "url = \"https://h/?x\"",
                ":4: push.url: must be a URL that begins with https:// and has no credentials, query or fragment",
            ),
            (
                "push",
                "url = \"https://api.ivalt.com/admin/public/api/\"",
                ":4: push.url: must be a URL without /admin/public/api, below which a poll would submit a result",
            ),
            (
                "push",
                "url = \"https://1.2.3\"",
                ":4: push.url: must be a URL whose host is a DNS name or an IP address",
            ),
            (
                "push",
                "dialect = \"geo\"",
                ":4: push.dialect: must be \"geo-fence-results\" or \"auth-result\"",
            ),
            (
                "push",
                "dialect = 1",
                ":4: push.dialect: must be \"geo-fence-results\" or \"auth-result\"",
            ),
            (
                "push",
                "services = \"sshd\"",
                ":4: push.services: must be a list of services' names, like [\"sshd\"]",
            ),
            (
                "push",
                "services = [1]",
                ":4: push.services: must be a list of services' names, like [\"sshd\"]",
            ),
            (
                "push",
                "services = [\"\"]",
                ":4: push.services: must be a list of services' names, like [\"sshd\"]",
            ),
            (
                "push",
                "services = [\"a\\u0000\"]",
                ":4: push.services: must be a list of services' names, like [\"sshd\"]",
            ),
            (
                "push",
                "wait_seconds = 9",
                ":4: push.wait_seconds: must be a whole number from 10 to 110",
            ),
            (
                "push",
                "wait_seconds = 111",
                ":4: push.wait_seconds: must be a whole number from 10 to 110",
            ),
            (
                "push",
                "wait_seconds = 1.5",
                ":4: push.wait_seconds: must be a whole number from 10 to 110",
            ),
            (
                "push",
                "max_unanswered = 0",
                ":4: push.max_unanswered: must be a whole number from 1 to 60",
            ),
            (
                "push",
                "max_unanswered = 61",
                ":4: push.max_unanswered: must be a whole number from 1 to 60",
            ),
            (
                "push",
                "wait = 60",
                ":4: push.wait: unknown setting; expected one of `enabled`, `accept_unbound_approvals`, `url`, `dialect`, `services`, `wait_seconds`, `max_unanswered`",
            ),
            (
                "polices",
                "x = 1",
                ":3: polices: unknown setting; expected one of `users_file`, `synced_users_file`, `api`, `token`, `policy`, `recovery`, `push`",
            ),
        ] {
            let error = refusal(&with(section, lines));
            assert!(!error.contains("SECRET"), "{error}");
            assert_eq!(error, expected, "[{section}] {lines}");
        }
    }

    #[test]
    fn sixty_four_networks_are_enough() {
        let list = |number: u8| {
            let networks = (0..number).map(|number| format!("\"192.0.2.{number}\""));
            let list = networks.collect::<Vec<_>>().join(",");
            settings(&with("policy", &format!("exempt_networks = [{list}]")))
        };
        assert_eq!(list(64).unwrap().policy.exempt_networks.iter().count(), 64);
        assert_eq!(
            list(65).unwrap_err(),
            "/etc/ivalt/ivalt.toml:4: policy.exempt_networks: must be a list of at most 64 networks, like [\"10.1.0.0/16\", \"2001:db8::/32\"]"
        );
    }

    /// Whoever enrols users needs both files, and no API key.
    #[test]
    fn enrolment_knows_both_files() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ivalt.toml");
        let load = |text: &str| {
            std::fs::write(&path, text).unwrap();
            let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
            std::fs::set_permissions(&path, mode).unwrap();
            let effective_uid = std::os::unix::fs::MetadataExt::uid(&path.metadata().unwrap());
            Enrolment::load(&path, Trust { effective_uid })
        };
        let text = "synced_users_file = \"/s.toml\"\n[policy]\nunenrolled = \"ignore\"\n";
        let enrolment = load(text).unwrap();
        assert_eq!(
            enrolment.users().to_string(),
            "/etc/ivalt/users.toml or /s.toml"
        );
        assert_eq!(enrolment.unenrolled, Tolerance::Ignore);
        let same = load("synced_users_file = \"/etc/ivalt/users.toml\"\n").unwrap_err();
        assert_eq!((same.line, same.path.as_ref()), (Some(1), Some(&path)));
        let default = Enrolment::by_default();
        assert_eq!(default.users().to_string(), "/etc/ivalt/users.toml");
        assert_eq!(default.unenrolled, Tolerance::Deny);
    }

    #[test]
    fn lengths_have_limits() {
        let key = |length: usize| settings(&format!("[api]\nkey = \"{}\"", "k".repeat(length)));
        assert!(key(4096).is_ok());
        assert!(
            key(4097)
                .unwrap_err()
                .ends_with(": must hold the API key: one word of visible ASCII characters")
        );
        let prompt = |length: usize| {
            settings(&with(
                "token",
                &format!("prompt = \"{}\"", "p".repeat(length)),
            ))
        };
        assert!(prompt(256).is_ok());
        assert!(
            prompt(257)
                .unwrap_err()
                .ends_with(": must be at most 256 bytes of text in one line")
        );
    }

    #[test]
    fn the_key_is_needed_and_never_quoted() {
        assert_eq!(
            refusal(""),
            ": api.key: is missing; set it, or api.key_file, under [api]"
        );
        assert_eq!(
            refusal("[api]\n"),
            ": api.key: is missing; set it, or api.key_file, under [api]"
        );
        for value in ["", " ", "two words", "nul\\u0000", "s\u{e4}cret"] {
            let error = refusal(&format!("[api]\nkey = \"{value}\""));
            assert_eq!(
                error,
                ":2: api.key: must hold the API key: one word of visible ASCII characters"
            );
        }
        for text in [
            "[api]\nkey = \"SECRET",
            "[api]\nkey = SECRET",
            "[api]\nkey = \"SECRET\" x",
            "key = \"SECRET\"",
        ] {
            assert!(!refusal(text).contains("SECRET"), "{}", refusal(text));
        }
        assert_eq!(refusal("[api]\nkey = 5"), ":2: api.key: must be a string");
    }
}
