//! iVALT's operations. What they share: one POST, one deadline, one judgement of the answer.

use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rustls::CertificateError;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde::Serialize;
use ureq::http::{HeaderValue, Response};
use ureq::tls::{Certificate, RootCerts, TlsConfig, TlsProvider};
use ureq::unversioned::transport::{ConnectProxyConnector, Connector, RustlsConnector};
use ureq::{Agent, Body, Error, Proxy};
use zeroize::Zeroizing;

use super::answer::{Answer, Said, judge};
use super::transport::{
    CallingThreadResolver, EnterTls, LookUp, LookUpFailed, Progress, Stage, Tcp, Wipe,
};
use crate::config::Api;
use crate::secret::Secret;
use crate::trusted_file::{Readers, SMALL, Trust};

/// The longest answer that is read, in bytes.
const ANSWER_LIMIT: u64 = 64 * 1024;

/// Where distributions keep the trusted roots: Debian and Arch, Fedora, openSUSE, Alpine.
const SYSTEM_BUNDLES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// One validation that has ended, well or badly.
#[derive(Debug)]
pub struct Exchange {
    /// What it means.
    pub answer: Answer,
    /// The HTTP status, if one came.
    pub http: Option<u16>,
    /// From the name look-up to the last byte.
    pub elapsed: Duration,
    /// How long each step took, for `debug`.
    pub steps: String,
}

/// Knows how to ask iVALT; holds no connection.
#[derive(Debug)]
pub struct Client {
    url: String,
    key: Secret,
    roots: Arc<Vec<Certificate<'static>>>,
    proxy: Option<Proxy>,
    timeout: Duration,
    look_up: LookUp,
}

/// The way to iVALT for one validation.
struct Way {
    agent: Agent,
    progress: Progress,
}

#[derive(Serialize)]
struct GlobalRestAuth<'a> {
    mobile: &'a str,
    auth_token: &'a str,
}

impl Client {
    /// Reads the trusted roots; connects nowhere yet.
    ///
    /// # Errors
    /// A sentence for the administrator: the roots or the proxy cannot be used.
    pub fn new(api: &Api, trust: Trust, look_up: LookUp) -> Result<Self, String> {
        let proxy = api.proxy.as_deref().map(Proxy::new).transpose();
        Ok(Self {
            url: api.url.clone(),
            key: api.key.clone(),
            roots: Arc::new(roots(api.ca_file.as_deref(), trust)?),
            proxy: proxy
                .map_err(|_| "api.proxy: must be a URL of the form http://host:port".to_owned())?,
            timeout: api.timeout,
            look_up,
        })
    }

    /// "Global REST authentication validation": whether `token` is this mobile's. The only operation that names a person.
    #[must_use]
    pub fn validate_global_rest_auth(&self, mobile: &str, token: &Secret) -> Exchange {
        let progress = Progress::begin(self.timeout);
        let network =
            ().chain(ConnectProxyConnector::default())
                .chain(Tcp::new(progress.clone()))
                .chain(EnterTls(progress.clone()))
                .chain(RustlsConnector::default());
        self.validate_by(&self.way(network, progress), mobile, token)
    }

    fn validate_by(&self, way: &Way, mobile: &str, token: &Secret) -> Exchange {
        let auth_token = std::str::from_utf8(token.as_bytes()).unwrap_or_default();
        let digits = mobile.trim_start_matches('+');
        // The number also without country code; its last digits may be seen.
        let numbers = (0..digits.len().saturating_sub(6)).filter_map(|from| digits.get(from..));
        let secrets: Vec<_> = [auth_token, mobile].into_iter().chain(numbers).collect();
        self.post(
            way,
            "validate/global/rest/auth",
            &GlobalRestAuth { mobile, auth_token },
            &secrets,
        )
    }

    /// Sends once; whatever goes wrong, nothing is sent a second time.
    fn post(
        &self,
        way: &Way,
        operation: &str,
        fields: &impl Serialize,
        secrets: &[&str],
    ) -> Exchange {
        let begun = Instant::now();
        let mut http = None;
        let answer = self
            .send(&way.agent, operation, fields)
            .and_then(|mut response| {
                http = Some(response.status().as_u16());
                answer(&mut response)
            });
        let answer = answer.unwrap_or_else(|error| {
            Answer::Unusable(self.cause(&error, &way.progress), Said::default())
        });
        let key = std::str::from_utf8(self.key.as_bytes()).unwrap_or_default();
        Exchange {
            answer: answer.map_said(|said| said.without(&[secrets, &[key]].concat())),
            http,
            elapsed: begun.elapsed(),
            steps: way.progress.durations(),
        }
    }

    fn send(
        &self,
        agent: &Agent,
        operation: &str,
        fields: &impl Serialize,
    ) -> Result<Response<Body>, Error> {
        // Large enough for any token: a growing vector would leave unwiped copies behind.
        let mut body = Zeroizing::new(Vec::with_capacity(16 * 1024));
        serde_json::to_writer(&mut *body, fields).map_err(|error| Error::Other(Box::new(error)))?;
        let key = Bytes::from_owner(Zeroizing::new(self.key.as_bytes().to_vec()));
        let mut key =
            HeaderValue::from_maybe_shared(key).map_err(|error| Error::Other(Box::new(error)))?;
        key.set_sensitive(true);
        agent
            .post(format!("{}/{operation}", self.url))
            .header("x-api-key", key)
            .header("content-type", "application/json")
            .header("accept", "application/json")
            .header("accept-encoding", "identity")
            .send(body.as_slice())
    }

    /// Every default of ureq that matters is overridden here: it reads the environment, follows redirects with the
    /// API key, never times out, trusts compiled-in roots and starts a thread for names.
    fn way(&self, connector: impl Connector, progress: Progress) -> Way {
        let tls = TlsConfig::builder()
            .provider(TlsProvider::Rustls)
            .root_certs(RootCerts::Specific(Arc::clone(&self.roots)))
            .build();
        let config = Agent::config_builder()
            .proxy(self.proxy.clone())
            .https_only(true)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .http_status_as_error(false)
            .timeout_global(Some(self.timeout))
            .max_idle_connections(0)
            .max_idle_connections_per_host(0)
            .input_buffer_size(16 * 1024)
            .output_buffer_size(8 * 1024)
            .max_response_header_size(8 * 1024)
            .user_agent(concat!("pam_ivalt/", env!("CARGO_PKG_VERSION")))
            .tls_config(tls)
            .build();
        let resolver = CallingThreadResolver {
            look_up: self.look_up,
            progress: progress.clone(),
        };
        let connector = connector.chain(Wipe(progress.clone()));
        Way {
            agent: Agent::with_parts(config, connector, resolver),
            progress,
        }
    }

    fn cause(&self, error: &Error, progress: &Progress) -> String {
        let stage = progress.stage();
        match error {
            Error::Timeout(_) => format!("timeout after {} s in {stage}", self.timeout.as_secs()),
            Error::HostNotFound => "dns: the name has no address".to_owned(),
            Error::Rustls(error) => format!("tls: {}", tls_words(error)),
            Error::Io(error) => io_words(error, stage),
            Error::ConnectProxyFailed(what) => format!("connect: {what}"),
            Error::Protocol(_) => format!("{stage}: not an HTTP answer"),
            Error::Other(error) if error.is::<LookUpFailed>() => format!("dns: {error}"),
            other => format!("{stage}: {other}"),
        }
    }
}

fn answer(response: &mut Response<Body>) -> Result<Answer, Error> {
    let status = response.status().as_u16();
    let body = read(response).or_else(|error| match status {
        408 | 429 => Err(error),
        // A refusal that breaks off is a refusal: cutting it must not make iVALT unavailable.
        400..=499 => Ok(Err("that breaks off")),
        _ => Err(error),
    })?;
    Ok(match body {
        Ok(body) => judge(status, Ok(&body)),
        Err(unread) => judge(status, Err(unread)),
    })
}

/// The body, or why it is not looked at.
fn read(response: &mut Response<Body>) -> Result<Result<Zeroizing<Vec<u8>>, &'static str>, Error> {
    let all = |header, allowed: &str| {
        let allowed =
            |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(allowed.as_bytes());
        response.headers().get_all(header).iter().all(allowed)
    };
    if !all("content-encoding", "identity") || !all("transfer-encoding", "chunked") {
        return Ok(Err("in an encoding that was not asked for"));
    }
    // Enough at once: a growing vector would leave unwiped copies of what iVALT repeats.
    let mut body = Zeroizing::new(Vec::with_capacity(64 * 1024 + 32));
    response
        .body_mut()
        .as_reader()
        .take(ANSWER_LIMIT + 1)
        .read_to_end(&mut body)?;
    Ok(if body.len() as u64 > ANSWER_LIMIT {
        Err("longer than 64 KiB")
    } else {
        Ok(body)
    })
}

/// The roots of `ca_file`, or else of the first bundle the system has. Never none: an empty set would be silent.
fn roots(ca_file: Option<&Path>, trust: Trust) -> Result<Vec<Certificate<'static>>, String> {
    let (path, bundle) = match ca_file {
        Some(path) => {
            let bundle = trust.read(path, Readers::Anybody, SMALL);
            (
                path,
                bundle.map_err(|refused| format!("api.ca_file: {refused}"))?,
            )
        }
        None => system_bundle(trust)?,
    };
    let ders = CertificateDer::pem_slice_iter(&bundle).filter_map(Result::ok);
    let ders: Vec<_> = ders.collect();
    // One that rustls takes is enough; it leaves out those it cannot read, as it would later.
    if !ders
        .iter()
        .any(|der| rustls::RootCertStore::empty().add(der.clone()).is_ok())
    {
        let path = path.display();
        return Err(format!(
            "{path}: holds no certificate in PEM form; look at it: openssl x509 -in {path} -noout -text"
        ));
    }
    Ok(ders
        .iter()
        .map(|der| Certificate::from_der(der).to_owned())
        .collect())
}

fn system_bundle(trust: Trust) -> Result<(&'static Path, Vec<u8>), String> {
    let path = SYSTEM_BUNDLES
        .map(Path::new)
        .into_iter()
        .find(|path| path.exists());
    let path =
        path.ok_or("no trusted roots found; run: apt install ca-certificates, or set api.ca_file")?;
    let bundle = trust.read_system_file(path, SMALL);
    Ok((path, bundle.map_err(|refused| refused.to_string())?))
}

fn io_words(error: &io::Error, stage: Stage) -> String {
    let tls = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match (tls, error.kind(), error.raw_os_error()) {
        (Some(tls), _, _) => format!("tls: {}", tls_words(tls)),
        (None, io::ErrorKind::UnexpectedEof, _) => {
            format!("{stage}: the server closed the connection")
        }
        // A reset that is noticed while writing.
        (None, io::ErrorKind::BrokenPipe, _) => format!("{stage}: connection reset"),
        (None, kind, Some(code)) if kind.to_string().contains("uncategorized") => {
            format!("{stage}: os error {code}")
        }
        (None, kind, _) => format!("{stage}: {kind}"),
    }
}

fn tls_words(error: &rustls::Error) -> String {
    match error {
        rustls::Error::InvalidCertificate(reason) => certificate_words(reason),
        rustls::Error::AlertReceived(alert) => format!("the server sent the alert {alert:?}"),
        rustls::Error::PeerIncompatible(_) => "no TLS version or cipher suite in common".to_owned(),
        rustls::Error::InvalidMessage(_) => "the server does not speak TLS".to_owned(),
        other => other.to_string(),
    }
}

fn certificate_words(reason: &CertificateError) -> String {
    let words = match reason {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "certificate expired"
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "certificate not valid yet"
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "certificate is for another name"
        }
        CertificateError::UnknownIssuer => "certificate of an unknown issuer",
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            "certificate is not for servers"
        }
        CertificateError::Revoked => "certificate revoked",
        CertificateError::BadSignature => "certificate with a bad signature",
        other => return format!("certificate refused ({other:?})"),
    };
    words.to_owned()
}

#[cfg(any(test, fuzzing))]
#[path = "../../tests/fuzz/from_memory.rs"]
pub mod from_memory;
