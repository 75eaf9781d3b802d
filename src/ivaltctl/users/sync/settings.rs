//! `directory.toml`: which directory is asked and how, what its attributes mean, and which changes are not believed.

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::de::{Deserializer, SeqAccess, Visitor};
use toml::Spanned;

use ivalt_core::problem::{Problem, ProblemKind};
use ivalt_core::settings_text::{AbsolutePath, Number, SettingsText, TextVisitor, utf8};
use ivalt_core::trusted_file::{ReadPermission, SMALL, Trust};

/// The settings, in the order of ivalt-directory.toml(5).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DirectorySettings {
    /// `None`: there is no directory to ask.
    pub ldap: Option<Ldap>,
    /// What the source's words mean.
    pub map: Map,
    /// Which changes are not believed.
    pub guard: Guard,
}

/// `[ldap]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ldap {
    /// At least one; asked in this order.
    pub uris: Vec<Uri>,
    /// Whether TLS begins within the protocol of LDAP; then every URI is `ldap://`.
    pub starttls: bool,
    /// PEM bundle that replaces the system's.
    pub ca_file: Option<PathBuf>,
    /// Who asks.
    pub bind: Bind,
    /// The DN below which people are looked for.
    pub base: String,
    /// Which entries are people; begins with a parenthesis.
    pub filter: String,
    /// How many entries are asked for at a time.
    pub page: u64,
    /// All of it, by the clock of this host.
    pub timeout: Duration,
}

/// One server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Uri {
    /// How it is spoken to.
    pub scheme: Scheme,
    /// Its name or address, without brackets; empty for `ldapi://`.
    pub host: String,
    /// Its TCP port.
    pub port: u16,
    /// As ldapsearch(1) takes it.
    pub text: String,
}

/// How a server is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// TCP.
    Ldap,
    /// TLS from the first byte on.
    Ldaps,
    /// A socket of this host.
    Ldapi,
}

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bind {
    /// With a DN, or what AD takes for one, and a password.
    Simple {
        /// Never empty: that would be anonymous.
        dn: String,
        /// Holds the password alone.
        password_file: PathBuf,
    },
    /// Kerberos 5, as the first principal of a keytab.
    Gssapi {
        /// Where its keys are.
        keytab: PathBuf,
    },
    /// As whom TLS, or the socket of `ldapi://`, says.
    External(Option<ClientCertificate>),
}

/// For TLS; both in PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertificate {
    /// Others may read it.
    pub cert_file: PathBuf,
    /// Closed to others.
    pub key_file: PathBuf,
}

/// `[map]`
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(deny_unknown_fields, default, expecting = "a table")]
pub struct Map {
    /// The attribute that names the account.
    #[serde(deserialize_with = "attribute")]
    pub name: String,
    /// Whether names are taken in lower case.
    pub lowercase: bool,
    /// The attributes that may hold the mobile; the first that has a value counts. Empty only where there is no
    /// `[ldap]`.
    #[serde(deserialize_with = "attributes")]
    pub mobile: Vec<String>,
    /// What national numbers get in front, as `49`; empty: they cannot be read.
    #[serde(deserialize_with = "country")]
    pub country: String,
    /// What is taken off national numbers before, as `0`.
    #[serde(deserialize_with = "prefix")]
    pub trunk: String,
    /// What is read as `+`, as `00`.
    #[serde(deserialize_with = "prefix")]
    pub international: String,
}

/// `[guard]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Guard {
    /// More than this share of the enabled may not be lost at once, …
    pub lose_percent: u8,
    /// … where so many are.
    pub lose_at_least: u32,
    /// What becomes of a mobile that is another one.
    pub changed_mobiles: ChangedMobiles,
    /// What becomes of attributes that people may change themselves.
    pub self_writable: SelfWritable,
    /// Local accounts that may be taken all the same.
    pub local_accounts: Vec<String>,
}

/// `guard.changed_mobiles`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangedMobiles {
    /// The old one stays until an administrator accepts the new one.
    Hold,
    /// The new one counts at once.
    Apply,
}

/// `guard.self_writable`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SelfWritable {
    /// Nothing is read from them.
    Refuse,
    /// They are read.
    Accept,
}

impl Default for Map {
    fn default() -> Self {
        Self {
            name: "uid".into(),
            lowercase: false,
            mobile: Vec::new(),
            country: String::new(),
            trunk: String::new(),
            international: String::new(),
        }
    }
}

impl Default for Guard {
    fn default() -> Self {
        RawGuard::default().into()
    }
}

/// Longer than any directory needs, and shorter than an interval of the timer.
type Seconds = Number<1, 3600>;
/// RFC 2696 allows any; AD's own limit is 1000 unless raised.
type Page = Number<1, 100_000>;

/// The file as it is written.
#[derive(Default, serde::Deserialize)]
#[serde(deny_unknown_fields, default, expecting = "a table")]
struct Document {
    ldap: Option<RawLdap>,
    map: Map,
    guard: RawGuard,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields, default, expecting = "a table")]
struct RawLdap {
    uri: Option<Spanned<Uris>>,
    starttls: bool,
    ca_file: Option<AbsolutePath>,
    bind: Spanned<Mechanism>,
    bind_dn: Option<Spanned<Dn>>,
    password_file: Option<Spanned<AbsolutePath>>,
    keytab: Option<Spanned<AbsolutePath>>,
    cert_file: Option<Spanned<AbsolutePath>>,
    key_file: Option<Spanned<AbsolutePath>>,
    #[serde(deserialize_with = "base")]
    base: Option<String>,
    #[serde(deserialize_with = "filter")]
    filter: String,
    page: Page,
    timeout_seconds: Seconds,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields, default, expecting = "a table")]
struct RawGuard {
    lose_percent: Number<0, 100>,
    lose_at_least: Number<1, 1_000_000>,
    #[serde(deserialize_with = "changed_mobiles")]
    changed_mobiles: ChangedMobiles,
    #[serde(deserialize_with = "self_writable")]
    self_writable: SelfWritable,
    #[serde(deserialize_with = "accounts")]
    local_accounts: Vec<String>,
}

#[derive(serde::Deserialize)]
struct Uris(#[serde(deserialize_with = "uris")] Vec<Uri>);

#[derive(serde::Deserialize)]
struct Dn(#[serde(deserialize_with = "bind_dn")] String);

/// `ldap.bind`
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mechanism {
    Simple,
    Gssapi,
    External,
}

impl Default for RawLdap {
    fn default() -> Self {
        Self {
            uri: None,
            starttls: false,
            ca_file: None,
            bind: Spanned::new(0..0, Mechanism::Simple),
            bind_dn: None,
            password_file: None,
            keytab: None,
            cert_file: None,
            key_file: None,
            base: None,
            filter: "(objectClass=person)".into(),
            page: Page::new(500),
            timeout_seconds: Seconds::new(60),
        }
    }
}

impl Default for RawGuard {
    fn default() -> Self {
        Self {
            lose_percent: Number::new(10),
            lose_at_least: Number::new(5),
            changed_mobiles: ChangedMobiles::Hold,
            self_writable: SelfWritable::Refuse,
            local_accounts: Vec::new(),
        }
    }
}

impl From<RawGuard> for Guard {
    fn from(raw: RawGuard) -> Self {
        Self {
            lose_percent: u8::try_from(raw.lose_percent.get()).unwrap_or(0),
            lose_at_least: u32::try_from(raw.lose_at_least.get()).unwrap_or(1),
            changed_mobiles: raw.changed_mobiles,
            self_writable: raw.self_writable,
            local_accounts: raw.local_accounts,
        }
    }
}

impl DirectorySettings {
    /// Reads `directory.toml`. The files that it names are not opened.
    ///
    /// # Errors
    /// The first thing that is wrong, with file, line and key.
    pub fn load(path: &Path, trust: Trust) -> Result<Self, Problem> {
        let bytes = trust.read(path, ReadPermission::OwnerOnly, SMALL);
        let bytes = bytes.map_err(|problem| match problem.kind {
            ProblemKind::Missing => problem.fix("write it as ivalt-directory.toml(5) says"),
            _ => problem,
        })?;
        Self::parse(path, utf8(path, &bytes)?)
    }

    /// As [`DirectorySettings::load`] for a file that has been read.
    ///
    /// # Errors
    /// As [`DirectorySettings::load`].
    pub fn parse(path: &Path, text: &str) -> Result<Self, Problem> {
        let source = SettingsText { path, text };
        let Document { ldap, map, guard } = source.parse()?;
        if ldap.is_some() && map.mobile.is_empty() {
            let fix = "name the attributes that hold it, the first that has a value counts: mobile = [\"…\"] under [map]";
            return Err(missing(&source, "map.mobile").fix(fix));
        }
        Ok(Self {
            ldap: ldap.map(|raw| raw.checked(&source)).transpose()?,
            map,
            guard: guard.into(),
        })
    }
}

fn missing(source: &SettingsText, key: &str) -> Problem {
    let table = key.split('.').next().unwrap_or_default();
    Problem::invalid(format!("{key}: is missing"))
        .in_file(source.path)
        .fix(format!("set it under [{table}]"))
}

impl RawLdap {
    fn checked(self, source: &SettingsText) -> Result<Ldap, Problem> {
        let uris = self
            .uri
            .as_ref()
            .ok_or_else(|| missing(source, "ldap.uri"))?;
        let mechanism = *self.bind.get_ref();
        for uri in &uris.get_ref().0 {
            if let Some(why) = unprotected(uri, self.starttls, mechanism) {
                let text = &uri.text;
                return Err(source.at(&uris.span(), "ldap.uri", &format!("{text}: {why}")));
            }
        }
        Ok(Ldap {
            bind: self.bind(source, &uris.get_ref().0)?,
            uris: uris.get_ref().0.clone(),
            starttls: self.starttls,
            ca_file: self.ca_file.map(|path| path.0),
            base: self.base.ok_or_else(|| missing(source, "ldap.base"))?,
            filter: self.filter,
            page: self.page.get(),
            timeout: Duration::from_secs(self.timeout_seconds.get()),
        })
    }

    fn bind(&self, source: &SettingsText, uris: &[Uri]) -> Result<Bind, Problem> {
        let path = |path: &Option<Spanned<AbsolutePath>>| {
            let path = path.as_ref().map(|path| path.get_ref().0.clone());
            move |key: &str| path.ok_or_else(|| missing(source, key))
        };
        let mechanism = *self.bind.get_ref();
        self.nothing_else(source, mechanism)?;
        match mechanism {
            Mechanism::Simple => {
                let dn = self.bind_dn.as_ref();
                let dn = dn.ok_or_else(|| missing(source, "ldap.bind_dn"))?;
                let password_file = path(&self.password_file)("ldap.password_file")?;
                let dn = dn.get_ref().0.clone();
                Ok(Bind::Simple { dn, password_file })
            }
            Mechanism::Gssapi => {
                let keytab = path(&self.keytab)("ldap.keytab")?;
                Ok(Bind::Gssapi { keytab })
            }
            Mechanism::External if uris.iter().all(|uri| uri.scheme == Scheme::Ldapi) => {
                Ok(Bind::External(None))
            }
            Mechanism::External => Ok(Bind::External(Some(ClientCertificate {
                cert_file: path(&self.cert_file)("ldap.cert_file")?,
                key_file: path(&self.key_file)("ldap.key_file")?,
            }))),
        }
    }

    /// A key of another way to bind would have no effect: whoever wrote it means something else.
    fn nothing_else(&self, source: &SettingsText, mechanism: Mechanism) -> Result<(), Problem> {
        let span = |path: &Option<Spanned<AbsolutePath>>| path.as_ref().map(Spanned::span);
        for (key, of, span) in [
            (
                "bind_dn",
                Mechanism::Simple,
                self.bind_dn.as_ref().map(Spanned::span),
            ),
            (
                "password_file",
                Mechanism::Simple,
                span(&self.password_file),
            ),
            ("keytab", Mechanism::Gssapi, span(&self.keytab)),
            ("cert_file", Mechanism::External, span(&self.cert_file)),
            ("key_file", Mechanism::External, span(&self.key_file)),
        ] {
            if let Some(span) = span.filter(|_| of != mechanism) {
                let what = format!("requires ldap.bind = \"{of}\"");
                return Err(source.at(&span, &format!("ldap.{key}"), &what));
            }
        }
        Ok(())
    }
}

/// Why what is sent to and from this server could be read or changed on the way, or settings contradict each other.
fn unprotected(uri: &Uri, starttls: bool, mechanism: Mechanism) -> Option<&'static str> {
    match (uri.scheme, starttls, mechanism) {
        (Scheme::Ldap, true, _) | (Scheme::Ldap, false, Mechanism::Gssapi) => None,
        (Scheme::Ldaps | Scheme::Ldapi, false, _) => None,
        (Scheme::Ldap, false, _) => Some(
            "whoever is in between reads the password and decides whose mobile is whose; write ldaps://, or set starttls = true",
        ),
        (Scheme::Ldaps | Scheme::Ldapi, true, _) => Some("with starttls, only ldap:// is possible"),
    }
}

impl fmt::Display for Mechanism {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Simple => "simple",
            Self::Gssapi => "gssapi",
            Self::External => "external",
        })
    }
}

impl Scheme {
    fn split(text: &str) -> Option<(Self, &str)> {
        let (scheme, rest) = text.split_once("://")?;
        let scheme = match scheme {
            "ldap" => Self::Ldap,
            "ldaps" => Self::Ldaps,
            "ldapi" => Self::Ldapi,
            _ => return None,
        };
        Some((scheme, rest))
    }
}

impl Uri {
    /// A scheme and a server, no DN, attributes or filter after them (RFC 4516): those are settings of their own.
    fn parse(text: &str) -> Option<Self> {
        let (scheme, rest) = Scheme::split(text)?;
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        let (host, port) = match scheme {
            Scheme::Ldapi => ldapi_path(authority).then_some((String::new(), 0))?,
            Scheme::Ldap => host_and_port(authority, 389)?,
            Scheme::Ldaps => host_and_port(authority, 636)?,
        };
        let end = text.len() - (rest.len() - authority.len());
        let text = if authority.is_empty() {
            text
        } else {
            &text[..end]
        };
        Some(Self {
            scheme,
            host,
            port,
            text: text.to_owned(),
        })
    }
}

/// Percent-encoded, as libldap has it; none is that of libldap.
fn ldapi_path(path: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"%._-".contains(&byte);
    path.bytes().all(plain)
        && (path.is_empty() || path[..3.min(path.len())].eq_ignore_ascii_case("%2f"))
}

fn host_and_port(authority: &str, default: u16) -> Option<(String, u16)> {
    let (host, rest) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (address, rest) = rest.split_once(']')?;
            address.parse::<std::net::Ipv6Addr>().ok()?;
            (address, rest)
        }
        None => {
            let end = authority.find(':').unwrap_or(authority.len());
            let (host, rest) = authority.split_at(end);
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
            (host.bytes().all(plain) && !host.is_empty()).then_some((host, rest))?
        }
    };
    let port = match rest.strip_prefix(':') {
        Some(port) => port.parse().ok().filter(|port| *port != 0)?,
        None if rest.is_empty() => default,
        None => return None,
    };
    Some((host.to_owned(), port))
}

fn uris<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Uri>, D::Error> {
    let check = |text: &str| {
        let uris: Option<Vec<_>> = text.split_ascii_whitespace().map(Uri::parse).collect();
        uris.filter(|uris| !uris.is_empty())
    };
    deserializer.deserialize_str(TextVisitor {
        expected: "ldaps://host, ldap://host or ldapi:///, with nothing after host and port, or several of them with spaces between",
        check,
    })
}

impl<'de> serde::Deserialize<'de> for Mechanism {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let check = |text: &str| {
            [Self::Simple, Self::Gssapi, Self::External]
                .into_iter()
                .find(|mechanism| mechanism.to_string() == text)
        };
        deserializer.deserialize_str(TextVisitor {
            expected: r#""simple", "gssapi" or "external""#,
            check,
        })
    }
}

/// One line of text: a NUL cannot be an argument of a program.
fn line(text: &str) -> Option<String> {
    (!text.contains(char::is_control)).then(|| text.to_owned())
}

fn bind_dn<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    deserializer.deserialize_str(TextVisitor {
        expected: "the DN of an account, or in AD its user principal name",
        check: |text: &str| line(text).filter(|text| !text.trim().is_empty()),
    })
}

fn base<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    deserializer.deserialize_str(TextVisitor {
        expected: "a DN in one line",
        check: |text: &str| line(text).map(Some),
    })
}

/// In parentheses, so that it cannot be taken for an option or an attribute.
fn filter<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let check = |text: &str| {
        let whole = text.starts_with('(') && text.ends_with(')');
        line(text).filter(|_| whole)
    };
    deserializer.deserialize_str(TextVisitor {
        expected: "a filter in parentheses, as in \"(objectClass=person)\"",
        check,
    })
}

const ATTRIBUTE: &str = "the name of an attribute, as in \"uid\"";

/// A short name (RFC 4512 section 1.4): servers answer with it to a number, too.
fn attribute_name(text: &str) -> Option<String> {
    let letter = |c: char| c.is_ascii_alphabetic();
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    (text.starts_with(letter) && text.bytes().all(plain)).then(|| text.to_owned())
}

fn attribute<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    deserializer.deserialize_str(TextVisitor {
        expected: ATTRIBUTE,
        check: attribute_name,
    })
}

fn attributes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    deserializer.deserialize_seq(ListVisitor {
        expected: "a list of attributes' names, each once, as in [\"employeeNumber\"]",
        check: attribute_name,
    })
}

fn country<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    deserializer.deserialize_str(TextVisitor {
        expected: "a country calling code of 1 to 3 digits without +, as in \"49\", or \"\"",
        check: |text: &str| digits(text, 3).filter(|text| !text.starts_with('0')),
    })
}

fn prefix<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    deserializer.deserialize_str(TextVisitor {
        expected: "at most 5 digits, as in \"0\", or \"\"",
        check: |text: &str| digits(text, 5),
    })
}

fn digits(text: &str, most: usize) -> Option<String> {
    let are_digits = text.bytes().all(|byte| byte.is_ascii_digit());
    (are_digits && text.len() <= most).then(|| text.to_owned())
}

fn changed_mobiles<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ChangedMobiles, D::Error> {
    let check = |text: &str| match text {
        "hold" => Some(ChangedMobiles::Hold),
        "apply" => Some(ChangedMobiles::Apply),
        _ => None,
    };
    deserializer.deserialize_str(TextVisitor {
        expected: r#""hold" or "apply""#,
        check,
    })
}

fn self_writable<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SelfWritable, D::Error> {
    let check = |text: &str| match text {
        "refuse" => Some(SelfWritable::Refuse),
        "accept" => Some(SelfWritable::Accept),
        _ => None,
    };
    deserializer.deserialize_str(TextVisitor {
        expected: r#""refuse" or "accept""#,
        check,
    })
}

fn accounts<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    deserializer.deserialize_seq(ListVisitor {
        expected: "a list of accounts' names, each once, as in [\"backup\"]",
        check: |text: &str| line(text).filter(|text| !text.is_empty()),
    })
}

/// A list of different texts, each of which `check` turns into a value.
struct ListVisitor {
    expected: &'static str,
    check: fn(&str) -> Option<String>,
}

impl<'de> Visitor<'de> for ListVisitor {
    type Value = Vec<String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expected)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut values = Vec::new();
        let mut seen = BTreeSet::new();
        while let Some(value) = list.next_element_seed(&self)? {
            if !seen.insert(value.to_ascii_lowercase()) {
                return Err(serde::de::Error::invalid_value(
                    serde::de::Unexpected::Other("text"),
                    &self,
                ));
            }
            values.push(value);
        }
        Ok(values)
    }
}

impl<'de> serde::de::DeserializeSeed<'de> for &ListVisitor {
    type Value = String;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<String, D::Error> {
        let (expected, check) = (self.expected, self.check);
        deserializer.deserialize_str(TextVisitor { expected, check })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATH: &str = "/etc/ivalt/directory.toml";

    fn parse(text: &str) -> Result<DirectorySettings, String> {
        DirectorySettings::parse(Path::new(PATH), text).map_err(|problem| problem.to_string())
    }

    fn refusal(text: &str) -> String {
        let error = parse(text).expect_err(text);
        let rest = error.strip_prefix(PATH);
        rest.unwrap_or_else(|| panic!("{error}")).to_owned()
    }

    /// Line 1 is a valid `[map]`, line 3 the URI; `lines` begin in line 8.
    fn ldap(lines: &str) -> String {
        format!(
            "map.mobile = [\"m\"]\n[ldap]\nuri = \"ldaps://h\"\nbase = \"dc=x\"\n# bind\nbind_dn = \"cn=s\"\npassword_file = \"/p\"\n{lines}"
        )
    }

    fn bound(lines: &str) -> String {
        format!("map.mobile = [\"m\"]\n[ldap]\nbase = \"dc=x\"\n{lines}")
    }

    fn simple() -> Bind {
        Bind::Simple {
            dn: "cn=s".into(),
            password_file: "/p".into(),
        }
    }

    #[test]
    fn the_least_files_give_the_defaults() {
        let settings = parse("").unwrap();
        assert_eq!(settings, DirectorySettings::default());
        let map = &settings.map;
        assert_eq!(
            (&*map.name, map.lowercase, map.mobile.len()),
            ("uid", false, 0)
        );
        assert_eq!([&map.country, &map.trunk, &map.international], ["", "", ""]);
        let guard = Guard {
            lose_percent: 10,
            lose_at_least: 5,
            changed_mobiles: ChangedMobiles::Hold,
            self_writable: SelfWritable::Refuse,
            local_accounts: Vec::new(),
        };
        assert_eq!(settings.guard, guard);
        let expected = Ldap {
            uris: vec![Uri::parse("ldaps://h").unwrap()],
            starttls: false,
            ca_file: None,
            bind: simple(),
            base: "dc=x".into(),
            filter: "(objectClass=person)".into(),
            page: 500,
            timeout: Duration::from_secs(60),
        };
        assert_eq!(parse(&ldap("")).unwrap().ldap, Some(expected));
    }

    #[test]
    fn every_setting_is_wired() {
        let settings = parse(
            r#"[ldap]
            uri = "ldap://dc1.example/  ldap://[2001:db8::1]:1389"
            starttls = true
            ca_file = "/ca.pem"
            bind = "external"
            cert_file = "/c.pem"
            key_file = "/k.pem"
            base = ""
            filter = "(&(a=b)(c=d))"
            page = 1000
            timeout_seconds = 3600
            [map]
            name = "sAMAccountName"
            lowercase = true
            mobile = ["employeeNumber", "x-mobile"]
            country = "49"
            trunk = "0"
            international = "00"
            [guard]
            lose_percent = 0
            lose_at_least = 1
            changed_mobiles = "apply"
            self_writable = "accept"
            local_accounts = ["backup"]"#,
        )
        .unwrap();
        let uri = |text: &str, host: &str, port| Uri {
            scheme: Scheme::Ldap,
            host: host.into(),
            port,
            text: text.into(),
        };
        let ldap = Ldap {
            uris: vec![
                uri("ldap://dc1.example", "dc1.example", 389),
                uri("ldap://[2001:db8::1]:1389", "2001:db8::1", 1389),
            ],
            starttls: true,
            ca_file: Some("/ca.pem".into()),
            bind: Bind::External(Some(ClientCertificate {
                cert_file: "/c.pem".into(),
                key_file: "/k.pem".into(),
            })),
            base: String::new(),
            filter: "(&(a=b)(c=d))".into(),
            page: 1000,
            timeout: Duration::from_secs(3600),
        };
        assert_eq!(settings.ldap, Some(ldap));
        let map = Map {
            name: "sAMAccountName".into(),
            lowercase: true,
            mobile: vec!["employeeNumber".into(), "x-mobile".into()],
            country: "49".into(),
            trunk: "0".into(),
            international: "00".into(),
        };
        assert_eq!(settings.map, map);
        let guard = Guard {
            lose_percent: 0,
            lose_at_least: 1,
            changed_mobiles: ChangedMobiles::Apply,
            self_writable: SelfWritable::Accept,
            local_accounts: vec!["backup".into()],
        };
        assert_eq!(settings.guard, guard);
    }

    #[test]
    fn ways_to_bind() {
        for (lines, expected) in [
            (
                "uri = \"ldap://h\"\nbind = \"gssapi\"\nkeytab = \"/k\"",
                Bind::Gssapi {
                    keytab: "/k".into(),
                },
            ),
            (
                "uri = \"ldapi:///\"\nbind = \"external\"",
                Bind::External(None),
            ),
            (
                "uri = \"ldapi://%2Frun%2Fslapd\"\nbind = \"simple\"\nbind_dn = \"cn=s\"\npassword_file = \"/p\"",
                simple(),
            ),
        ] {
            let found = parse(&bound(lines)).map(|settings| settings.ldap.unwrap().bind);
            assert_eq!(found, Ok(expected), "{lines}");
        }
        for (lines, expected) in [
            ("", ": ldap.uri: is missing; set it under [ldap]"),
            (
                "uri = \"ldaps://h\"",
                ": ldap.bind_dn: is missing; set it under [ldap]",
            ),
            (
                "uri = \"ldaps://h\"\nbind_dn = \"cn=s\"",
                ": ldap.password_file: is missing; set it under [ldap]",
            ),
            (
                "uri = \"ldaps://h\"\nbind = \"gssapi\"",
                ": ldap.keytab: is missing; set it under [ldap]",
            ),
            (
                "uri = \"ldaps://h ldapi:///\"\nbind = \"external\"",
                ": ldap.cert_file: is missing; set it under [ldap]",
            ),
            (
                "uri = \"ldaps://h\"\nbind = \"external\"\ncert_file = \"/c\"",
                ": ldap.key_file: is missing; set it under [ldap]",
            ),
            (
                "uri = \"ldapi:///\"\nbind = \"external\"\nkeytab = \"/k\"",
                ":6: ldap.keytab: requires ldap.bind = \"gssapi\"",
            ),
            (
                "uri = \"ldaps://h\"\nkey_file = \"/k\"",
                ":5: ldap.key_file: requires ldap.bind = \"external\"",
            ),
            (
                "uri = \"ldaps://h\"\nbind = \"gssapi\"\npassword_file = \"/k\"",
                ":6: ldap.password_file: requires ldap.bind = \"simple\"",
            ),
        ] {
            assert_eq!(refusal(&bound(lines)), expected, "{lines}");
        }
    }

    /// Whoever is in between would decide whose mobile is whose.
    #[test]
    fn nothing_is_asked_in_the_clear() {
        const CLEAR: &str = "whoever is in between reads the password and decides whose mobile is whose; write ldaps://, or set starttls = true";
        const BOTH: &str = "with starttls, only ldap:// is possible";
        const SIMPLE: &str = "bind_dn = \"cn=s\"\npassword_file = \"/p\"";
        const EXTERNAL: &str = "bind = \"external\"\ncert_file = \"/c\"\nkey_file = \"/k\"";
        for (uri, lines, why) in [
            ("ldap://h", SIMPLE, CLEAR),
            ("ldap://h", EXTERNAL, CLEAR),
            ("ldaps://h ldap://h", SIMPLE, CLEAR),
            ("ldaps://h", "starttls = true\nbind = \"gssapi\"", BOTH),
            ("ldapi:///", "starttls = true\nbind = \"external\"", BOTH),
        ] {
            let found = refusal(&bound(&format!("uri = \"{uri}\"\n{lines}")));
            let wrong = uri.split(' ').next_back().unwrap();
            assert_eq!(found, format!(":4: ldap.uri: {wrong}: {why}"));
        }
        let keytab = "uri = \"ldap://h ldaps://h\"\nbind = \"gssapi\"\nkeytab = \"/k\"";
        assert!(parse(&bound(keytab)).is_ok());
    }

    #[test]
    fn what_a_uri_is() {
        for text in [
            "ldap://h:1389/",
            "ldaps://192.0.2.7",
            "ldaps://[::1]:636",
            "ldapi:///",
            "ldapi://",
            "ldapi://%2frun%2Fslapd%2fldapi/",
        ] {
            assert!(Uri::parse(text).is_some(), "{text}");
        }
        for text in [
            "h",
            "https://h",
            "cldap://h",
            "LDAP://h",
            "ldap://",
            "ldap:///",
            "ldap:///dc=x",
            "ldaps://h/dc=x",
            "ldaps://h?uid",
            "ldaps://h/?uid",
            "ldaps://u@h",
            "ldaps://h:0",
            "ldaps://h:65536",
            "ldaps://h:",
            "ldaps://[::1",
            "ldaps://[::1]x",
            "ldaps://[h]",
            "ldaps://::1",
            "ldaps://h,ldaps",
            "ldapi://run",
            "ldapi://%2frun/x",
            "ldapi://%2frun:1",
            "-H ldap://h",
            "ldaps://h%2f",
        ] {
            assert_eq!(Uri::parse(text), None, "{text}");
        }
        let texts = |text: &str| {
            uris(serde::de::value::StrDeserializer::<serde::de::value::Error>::new(text))
        };
        assert_eq!(texts(" ldaps://a \tldaps://b ").unwrap().len(), 2);
        assert!(texts("").is_err() && texts("ldaps://a https://b").is_err());
    }

    #[test]
    fn errors_name_file_line_and_key() {
        const URI: &str = "ldap.uri: must be ldaps://host, ldap://host or ldapi:///, with nothing after host and port, or several of them with spaces between";
        const FILTER: &str =
            "ldap.filter: must be a filter in parentheses, as in \"(objectClass=person)\"";
        const NAMES: &str = "map.mobile: must be a list of attributes' names, each once, as in [\"employeeNumber\"]";
        const ACCOUNTS: &str = "guard.local_accounts: must be a list of accounts' names, each once, as in [\"backup\"]";
        const PREFIX: &str = "must be at most 5 digits, as in \"0\", or \"\"";
        const COUNTRY: &str = "map.country: must be a country calling code of 1 to 3 digits without +, as in \"49\", or \"\"";
        for (text, expected) in [
            (
                "lapd = 1".to_owned(),
                ":1: lapd: unknown setting; expected one of `ldap`, `map`, `guard`".to_owned(),
            ),
            (bound("uri = \"https://h\""), format!(":4: {URI}")),
            (bound("uri = [\"ldaps://h\"]"), format!(":4: {URI}")),
            (
                ldap("bind_pw = \"SECRET\""),
                ":8: ldap.bind_pw: unknown setting; expected one of `uri`, `starttls`, `ca_file`, `bind`, `bind_dn`, `password_file`, `keytab`, `cert_file`, `key_file`, `base`, `filter`, `page`, `timeout_seconds`".to_owned(),
            ),
            (ldap("bind = \"none\""), ":8: ldap.bind: must be \"simple\", \"gssapi\" or \"external\"".to_owned()),
            (ldap("starttls = \"yes\""), ":8: ldap.starttls: must be a boolean".to_owned()),
            (ldap("ca_file = \"ca.pem\""), ":8: ldap.ca_file: must be an absolute path".to_owned()),
            (ldap("filter = \"uid=*\""), format!(":8: {FILTER}")),
            (ldap("filter = \"-x\""), format!(":8: {FILTER}")),
            (ldap("filter = \"(a=\\u0000)\""), format!(":8: {FILTER}")),
            (ldap("page = 0"), ":8: ldap.page: must be a whole number from 1 to 100000".to_owned()),
            (
                ldap("timeout_seconds = 3601"),
                ":8: ldap.timeout_seconds: must be a whole number from 1 to 3600".to_owned(),
            ),
            (
                bound("uri = \"ldaps://h\"\nbind_dn = \" \""),
                ":5: ldap.bind_dn: must be the DN of an account, or in AD its user principal name".to_owned(),
            ),
            (
                "[ldap]\nuri = \"ldaps://h\"\nbase = 5".to_owned(),
                ":3: ldap.base: must be a DN in one line".to_owned(),
            ),
            (
                "[ldap]\nuri = \"ldaps://h\"".to_owned(),
                ": map.mobile: is missing; name the attributes that hold it, the first that has a value counts: mobile = [\"…\"] under [map]".to_owned(),
            ),
            (
                "map.mobile = [\"m\"]\n[ldap]\nuri = \"ldaps://h\"\nbind_dn = \"s\"\npassword_file = \"/p\"".to_owned(),
                ": ldap.base: is missing; set it under [ldap]".to_owned(),
            ),
            ("map.mobile = \"m\"".to_owned(), format!(":1: {NAMES}")),
            ("map.mobile = [\"m\",\n\"M\"]".to_owned(), format!(":1: {NAMES}")),
            ("map.mobile = [\"*\"]".to_owned(), format!(":1: {NAMES}")),
            ("map.mobile = [\"-m\"]".to_owned(), format!(":1: {NAMES}")),
            ("map.mobile = [1]".to_owned(), format!(":1: {NAMES}")),
            (
                "map.name = \"0.9.2342\"".to_owned(),
                ":1: map.name: must be the name of an attribute, as in \"uid\"".to_owned(),
            ),
            ("map.country = \"+49\"".to_owned(), format!(":1: {COUNTRY}")),
            ("map.country = \"0\"".to_owned(), format!(":1: {COUNTRY}")),
            ("map.country = 49".to_owned(), format!(":1: {COUNTRY}")),
            ("map.trunk = \"+\"".to_owned(), format!(":1: map.trunk: {PREFIX}")),
            ("map.international = \"000000\"".to_owned(), format!(":1: map.international: {PREFIX}")),
            (
                "guard.lose_percent = 101".to_owned(),
                ":1: guard.lose_percent: must be a whole number from 0 to 100".to_owned(),
            ),
            (
                "guard.lose_at_least = 0".to_owned(),
                ":1: guard.lose_at_least: must be a whole number from 1 to 1000000".to_owned(),
            ),
            (
                "guard.changed_mobiles = true".to_owned(),
                ":1: guard.changed_mobiles: must be \"hold\" or \"apply\"".to_owned(),
            ),
            (
                "guard.self_writable = \"deny\"".to_owned(),
                ":1: guard.self_writable: must be \"refuse\" or \"accept\"".to_owned(),
            ),
            ("guard.local_accounts = [\"\"]".to_owned(), format!(":1: {ACCOUNTS}")),
            ("guard.local_accounts = \"backup\"".to_owned(), format!(":1: {ACCOUNTS}")),
        ] {
            assert_eq!(refusal(&text), expected, "{text}");
        }
    }

    #[test]
    fn the_file_must_be_roots_alone() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::TempDir::new().unwrap();
        let path = folder.path().join("directory.toml");
        let trust = crate::trust();
        let load = || DirectorySettings::load(&path, trust).map_err(|problem| problem.to_string());
        let shown = path.display();
        assert_eq!(
            load(),
            Err(format!(
                "{shown}: does not exist; write it as ivalt-directory.toml(5) says"
            ))
        );
        std::fs::write(&path, "[map]\nname = \"cn\"").unwrap();
        let mode = |mode| std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
        mode(0o640);
        assert_eq!(
            load(),
            Err(format!(
                "{shown}: holds a secret and is readable by group or others (mode 0640); run: chmod 0600 {shown}"
            ))
        );
        mode(0o600);
        assert_eq!(load().unwrap().map.name, "cn");
    }
}
