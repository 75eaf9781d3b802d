//! iVALT's operations. What they share: one POST, one deadline, one classification of the answer.

use std::io::{self, Read};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::CertificateError;
use serde::Serialize;
use ureq::config::Config;
use ureq::http::{HeaderValue, Response, Uri, Version};
use ureq::unversioned::transport::{ConnectProxyConnector, Connector};
use ureq::{Agent, Body, Error, Proxy};
use zeroize::Zeroizing;

use super::answer::{Answer, ApiError, Sent, classify};
use super::local_fault::local_fault;
use super::preconnect::{
    ConnectionSlot, Preconnect, SkipDnsIfConnected, StoreInSlot, TakeFromSlot,
};
use super::roots::Roots;
use super::transport::{
    CallingThreadResolver, EarlyAnswer, Progress, SocketHandle, Stage, TcpConnector, TlsConnector,
};
use crate::problem::Problem;
use crate::secret::Secret;
use crate::settings::{Api, ClientCredentials};
use crate::sys::{LookUp, LookUpFailed, Platform};
use crate::trusted_file::Trust;

/// The longest answer that is read, in bytes.
const ANSWER_LIMIT: u64 = 64 * 1024;

/// One validation that has ended, well or badly.
#[derive(Debug)]
pub struct Exchange {
    /// What it means.
    pub answer: Answer,
    /// The HTTP status, if one came.
    pub http: Option<u16>,
    /// From the name look-up to the last byte.
    pub elapsed: Duration,
    /// How long each step took, and which of its activities iVALT names, for `debug`: partly foreign text.
    pub steps: String,
}

/// What came back, not yet judged.
pub(super) struct Reply {
    pub http: Option<u16>,
    /// The body, or why it was not read; or why there is none.
    pub body: Result<Result<Zeroizing<Vec<u8>>, &'static str>, Failure>,
    pub elapsed: Duration,
    pub steps: String,
}

/// Why there is no answer, in words for the log.
pub(super) enum Failure {
    /// The network, or iVALT.
    Outage(String),
    /// This host.
    Local(String),
}

/// Knows how to ask iVALT, one question after the other.
pub struct Client {
    pub(super) url: String,
    key: Secret,
    pub(super) timeout: Duration,
    pub(super) agent: Agent,
    /// Where the agent finds the connection that was made in advance.
    slot: ConnectionSlot,
    pub(super) parts: ConnectorParts,
    platform: Platform,
    preconnection: Option<Preconnect>,
}

/// What every connector to iVALT shares.
pub(super) struct ConnectorParts {
    pub(super) roots: Arc<Roots>,
    look_up: LookUp,
    pub(super) progress: Progress,
}

impl ConnectorParts {
    fn connector(&self, socket: SocketHandle) -> impl Connector<()> {
        let progress = || self.progress.clone();
        ().chain(ConnectProxyConnector::default())
            .chain(TcpConnector {
                socket,
                progress: progress(),
            })
            .chain(TlsConnector {
                roots: Arc::clone(&self.roots),
                progress: progress(),
            })
    }

    pub(super) fn resolver(&self) -> CallingThreadResolver {
        CallingThreadResolver {
            look_up: self.look_up,
            progress: self.progress.clone(),
        }
    }
}

#[derive(Serialize)]
struct GlobalRestAuth<'a> {
    mobile: &'a str,
    auth_token: &'a str,
}

#[derive(Serialize)]
struct ValidateUser<'a> {
    face_auth_token: &'a str,
    auth_token: &'a str,
}

#[derive(Serialize)]
struct ClientAuth<'a> {
    client_id: &'a str,
    client_secret: &'a str,
}

/// Tokens have been checked to be ASCII, and settings are UTF-8 throughout.
fn text(secret: &Secret) -> &str {
    std::str::from_utf8(secret.as_bytes()).unwrap_or_default()
}

impl Client {
    /// Reads the trusted roots; connects nowhere yet.
    ///
    /// # Errors
    /// The roots or the proxy cannot be used.
    pub fn new(api: &Api, trust: Trust, platform: Platform) -> Result<Self, Problem> {
        let roots = Roots::read(api.ca_file.as_deref(), trust)?;
        Self::with_roots(api, roots, platform)
    }

    /// As [`Client::new`] for roots that have been read.
    ///
    /// # Errors
    /// The proxy cannot be used.
    pub fn with_roots(api: &Api, roots: Roots, platform: Platform) -> Result<Self, Problem> {
        let proxy = api.proxy.as_deref().map(Proxy::new).transpose();
        let proxy = proxy.map_err(|_| {
            let what = "api.proxy: must be a URL of the form http://host:port";
            Problem::invalid(what)
        })?;
        let parts = ConnectorParts {
            roots: Arc::new(roots),
            look_up: platform.look_up,
            progress: Progress::begin(api.timeout),
        };
        let (config, slot) = (config(api.timeout, proxy), ConnectionSlot::default());
        let connector = TakeFromSlot {
            connector: parts.connector(SocketHandle::default()),
            slot: slot.clone(),
        };
        let resolver = SkipDnsIfConnected {
            resolver: parts.resolver(),
            slot: slot.clone(),
        };
        Ok(Self {
            url: api.url.clone(),
            key: api.key.clone(),
            timeout: api.timeout,
            agent: Agent::with_parts(config, connector, resolver),
            slot,
            parts,
            platform,
            preconnection: None,
        })
    }

    /// Begins to connect, so that the next request can be sent at once. Nothing is sent, and nobody waits for it.
    pub fn preconnect(&mut self) {
        // The last one ends before the next begins.
        self.preconnection = None;
        self.parts.progress.restart(self.timeout);
        let (socket, slot) = (SocketHandle::default(), ConnectionSlot::default());
        let connector = StoreInSlot {
            connector: self.parts.connector(socket.clone()),
            slot: slot.clone(),
            progress: self.parts.progress.clone(),
        };
        let config = self.agent.config().clone();
        let agent = Agent::with_parts(config, connector, self.parts.resolver());
        self.preconnection = Preconnect::start(self.platform, agent, &self.url, socket, slot);
    }

    /// Whether there are any trusted roots; a large bundle is not read to its end before this is called.
    ///
    /// # Errors
    /// There are none.
    pub fn check_roots(&self) -> Result<(), Problem> {
        self.parts.roots.client_config().map(drop)
    }

    /// "Global REST authentication validation": whether `token` is this mobile's. The only operation that names a user.
    #[must_use]
    pub fn validate_global_rest_auth(&mut self, mobile: &str, token: &Secret) -> Exchange {
        let auth_token = text(token);
        self.post(
            "validate/global/rest/auth",
            &GlobalRestAuth { mobile, auth_token },
            &[auth_token],
            Some(mobile),
        )
    }

    /// "API v1 user validation": whether the two tokens belong to the same user. It does not say to which: never a
    /// proof on its own, only beside [`Client::validate_global_rest_auth`] with the same auth token.
    #[must_use]
    pub fn validate_user(
        &mut self,
        face_token: &Secret,
        auth_token: &Secret,
        mobile: Option<&str>,
    ) -> Exchange {
        let [face_auth_token, auth_token] = [text(face_token), text(auth_token)];
        self.post(
            "api/v1/validate/user",
            &ValidateUser {
                face_auth_token,
                auth_token,
            },
            &[face_auth_token, auth_token],
            mobile,
        )
    }

    /// "API v1 authentication": whether iVALT knows this host's credentials. It says nothing about a user.
    #[must_use]
    pub fn authenticate_client(&mut self, client: &ClientCredentials) -> Exchange {
        let (client_id, client_secret) = (client.id.as_str(), text(&client.secret));
        self.post(
            "api/v1/auth",
            &ClientAuth {
                client_id,
                client_secret,
            },
            &[client_secret],
            None,
        )
    }

    /// Sends once; whatever goes wrong, nothing is sent a second time.
    fn post(
        &mut self,
        operation: &str,
        fields: &impl Serialize,
        secrets: &[&str],
        mobile: Option<&str>,
    ) -> Exchange {
        let url = self.url.clone();
        let Reply {
            http,
            body,
            elapsed,
            mut steps,
        } = self.exchange(&url, operation, fields);
        let answer = match (http, body) {
            (Some(status), Ok(Ok(body))) => classify(status, Ok(&body)),
            (Some(status), Ok(Err(unread))) => classify(status, Err(unread)),
            (_, Err(Failure::Outage(cause))) => Answer::Unusable(cause, ApiError::default()),
            (_, Err(Failure::Local(cause))) => Answer::LocalFault(cause),
            (None, Ok(_)) => Answer::Unusable("answer: no status".into(), ApiError::default()),
        };
        let secrets = &[secrets, &[self.key_text()]].concat();
        let answer = answer.map_error(|error| error.redact(&Sent { secrets, mobile }));
        if let Some(activity) = answer.activity() {
            steps += ", activity ";
            steps += activity;
        }
        Exchange {
            answer,
            http,
            elapsed,
            steps,
        }
    }

    /// One POST to `operation` below `url`, and what comes back.
    pub(super) fn exchange(
        &mut self,
        url: &str,
        operation: &str,
        fields: &impl Serialize,
    ) -> Reply {
        let begun = Instant::now();
        let mut http = None;
        let body = self
            .use_preconnection(url)
            .and_then(|()| self.send(url, operation, fields))
            .and_then(|mut response| {
                http = Some(response.status().as_u16());
                read_answer(&mut response)
            });
        let body = body.map_err(|error| self.failure(&error));
        Reply {
            http,
            body,
            elapsed: begun.elapsed(),
            steps: self.parts.progress.durations(),
        }
    }

    /// As it is sent; no answer is to be shown with it.
    pub(super) fn key_text(&self) -> &str {
        text(&self.key)
    }

    /// From here on the user waits. A connection that was made in advance is used if it is still open, and leads where
    /// the request goes.
    fn use_preconnection(&mut self, url: &str) -> Result<(), Error> {
        let preconnection = self.preconnection.take();
        let Some(preconnection) = preconnection.filter(|_| same_server(url, &self.url)) else {
            self.parts.progress.restart(self.timeout);
            return Ok(());
        };
        self.parts.progress.reset_deadline(self.timeout);
        match preconnection.finish(&self.parts.progress)? {
            Some(waiting) => self.slot.put(waiting),
            None => self.parts.progress.restart(self.parts.progress.left()),
        }
        Ok(())
    }

    fn send(
        &self,
        url: &str,
        operation: &str,
        fields: &impl Serialize,
    ) -> Result<Response<Body>, Error> {
        let body = serde_json::to_vec(fields).map_err(|error| Error::Other(Box::new(error)))?;
        let body = Zeroizing::new(body);
        let mut key = HeaderValue::from_bytes(self.key.as_bytes())
            .map_err(|error| Error::Other(Box::new(error)))?;
        key.set_sensitive(true);
        self.agent
            .post(format!("{url}/{operation}"))
            .header("x-api-key", key)
            .header("content-type", "application/json")
            .header("accept", "application/json")
            .header("accept-encoding", "identity")
            .send(body.as_slice())
    }

    pub(super) fn failure(&self, error: &Error) -> Failure {
        let stage = self.parts.progress.stage();
        match local_fault(error, stage) {
            Some(cause) => Failure::Local(cause),
            None => Failure::Outage(self.cause(error, stage)),
        }
    }

    fn cause(&self, error: &Error, stage: Stage) -> String {
        match error {
            Error::Timeout(_) => format!("timeout after {} s in {stage}", self.timeout.as_secs()),
            Error::HostNotFound => "dns: the name has no address".to_owned(),
            Error::Rustls(error) => format!("tls: {}", tls_words(error)),
            Error::Io(error) => io_words(error, stage),
            Error::ConnectProxyFailed(what) => format!("connect: {}", proxy_words(what)),
            Error::Protocol(_) if stage == Stage::Connect => {
                "connect: the proxy does not speak HTTP".to_owned()
            }
            Error::Protocol(_) => format!("{stage}: not an HTTP answer"),
            // The end in the middle of a chunk's size.
            Error::BodyStalled => format!("{stage}: the server closed the connection"),
            Error::LargeResponseHeader(..) => format!("{stage}: headers longer than 8 KiB"),
            Error::Other(error) if error.is::<LookUpFailed>() => format!("dns: {error}"),
            Error::Other(error) if error.is::<EarlyAnswer>() => format!("answer: {error}"),
            other => format!("{stage}: {other}"),
        }
    }
}

/// Every default of ureq that matters is overridden here: it reads the environment, follows redirects with the API key,
/// never times out, trusts compiled-in roots and starts a thread for names.
fn config(timeout: Duration, proxy: Option<Proxy>) -> Config {
    Agent::config_builder()
        .proxy(proxy)
        .https_only(true)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .http_status_as_error(false)
        .timeout_global(Some(timeout))
        .max_idle_connections(0)
        .max_idle_connections_per_host(0)
        .input_buffer_size(16 * 1024)
        .output_buffer_size(8 * 1024)
        .max_response_header_size(8 * 1024)
        .user_agent(concat!("pam_ivalt/", env!("CARGO_PKG_VERSION")))
        .build()
}

/// Whether a connection made for one of these URLs leads where the other does.
fn same_server(url: &str, other: &str) -> bool {
    let place = |url: &str| {
        let uri = url.parse::<Uri>().ok()?;
        let host = uri.host()?.to_ascii_lowercase();
        Some((uri.scheme().cloned(), host, uri.port_u16().unwrap_or(443)))
    };
    place(url).is_some_and(|one| place(other) == Some(one))
}

/// The body, or why it was not read.
fn read_answer(
    response: &mut Response<Body>,
) -> Result<Result<Zeroizing<Vec<u8>>, &'static str>, Error> {
    let status = response.status().as_u16();
    read_body(response).or_else(|error| match status {
        408 | 429 => Err(error),
        // A truncated refusal is a refusal: an attacker on the network must not turn it into "unavailable".
        400..=499 => Ok(Err("truncated body")),
        _ => Err(error),
    })
}

fn read_body(
    response: &mut Response<Body>,
) -> Result<Result<Zeroizing<Vec<u8>>, &'static str>, Error> {
    if has_foreign_coding(response) {
        return Ok(Err("unexpected content or transfer encoding"));
    }
    let mut body = Zeroizing::new(Vec::new());
    response
        .body_mut()
        .as_reader()
        .take(ANSWER_LIMIT + 1)
        .read_to_end(&mut body)?;
    Ok(if body.len() as u64 > ANSWER_LIMIT {
        Err("body longer than 64 KiB")
    } else {
        Ok(body)
    })
}

/// A coding that was not asked for, or a transfer coding where HTTP has none: twice (RFC 9112 section 7.1), and in
/// HTTP/1.0 (section 6.1), where ureq would take the chunks for the body.
fn has_foreign_coding(response: &Response<Body>) -> bool {
    let is_other = |header, known: &str| {
        let other = |value: &HeaderValue| !value.as_bytes().eq_ignore_ascii_case(known.as_bytes());
        response.headers().get_all(header).iter().any(other)
    };
    let transfers = response.headers().get_all("transfer-encoding");
    let allowed = usize::from(response.version() == Version::HTTP_11);
    is_other("content-encoding", "identity")
        || is_other("transfer-encoding", "chunked")
        || transfers.iter().count() > allowed
}

/// ureq says `proxy server responded 407/407`, or that no more came: the end, or its buffer is full.
fn proxy_words(what: &str) -> String {
    match what.rsplit_once('/') {
        Some((_, status)) => format!("the proxy answered HTTP {status}"),
        None => "incomplete answer from the proxy".to_owned(),
    }
}

fn io_words(error: &io::Error, stage: Stage) -> String {
    let tls = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match (tls, error.kind(), error.raw_os_error()) {
        (Some(tls), _, _) => format!("tls: {}", tls_words(tls)),
        (None, io::ErrorKind::UnexpectedEof, _) if stage == Stage::Connect => {
            format!("connect: {}", proxy_words(""))
        }
        (None, io::ErrorKind::UnexpectedEof, _) => {
            format!("{stage}: the server closed the connection")
        }
        // A reset that is noticed while writing.
        (None, io::ErrorKind::BrokenPipe, _) => format!("{stage}: connection reset"),
        (None, kind, Some(code)) if kind.to_string().contains("uncategorized") => {
            format!("{stage}: system error {code}")
        }
        (None, kind, _) => format!("{stage}: {kind}"),
    }
}

/// What failed, in words for the log.
#[must_use]
pub fn tls_words(error: &rustls::Error) -> String {
    use rustls::{AlertDescription, Error, InvalidMessage};
    let words = match error {
        Error::InvalidCertificate(reason) => return certificate_words(reason),
        // An older server answers either with its version or with an alert.
        Error::PeerIncompatible(_) | Error::AlertReceived(AlertDescription::ProtocolVersion) => {
            "no TLS version or cipher suite in common"
        }
        Error::AlertReceived(AlertDescription::Unknown(number)) => {
            return format!("the server sent the alert {number}");
        }
        Error::AlertReceived(alert) => {
            return format!(
                "the server sent the alert {}",
                spaced(&format!("{alert:?}"))
            );
        }
        Error::InvalidMessage(
            InvalidMessage::InvalidContentType
            | InvalidMessage::UnknownProtocolVersion
            | InvalidMessage::MessageTooLarge
            | InvalidMessage::InvalidEmptyPayload,
        ) => "the server does not speak TLS",
        Error::InvalidMessage(_)
        | Error::PeerMisbehaved(_)
        | Error::InappropriateMessage { .. }
        | Error::InappropriateHandshakeMessage { .. }
        | Error::PeerSentOversizedRecord
        | Error::DecryptError => "TLS protocol violation",
        Error::NoCertificatesPresented => "the server sent no certificate",
        Error::Other(error) => return error.0.to_string(),
        other => return other.to_string(),
    };
    words.to_owned()
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
        CertificateError::BadEncoding => "certificate is damaged",
        CertificateError::UnhandledCriticalExtension => {
            "certificate with an unsupported critical extension"
        }
        CertificateError::UnsupportedSignatureAlgorithmContext { .. }
        | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => {
            "certificate signed with a weak or unknown algorithm"
        }
        CertificateError::Other(reason) => return path_words(&reason.to_string()),
        other => return format!("certificate refused: {}", spaced(&format!("{other:?}"))),
    };
    words.to_owned()
}

/// rustls passes these on from its certificate checker by their names alone.
fn path_words(name: &str) -> String {
    let words = match name {
        "CaUsedAsEndEntity" => "certificate is a CA's, not a server's",
        "EndEntityUsedAsCa" => "certificate issuer is not a CA",
        "NameConstraintViolation" => "certificate violates a name constraint of its CA",
        "PathLenConstraintViolated" => "certificate CA path too long",
        "UnsupportedCriticalExtension" => "certificate with an unsupported critical extension",
        other => return format!("certificate refused: {}", spaced(other)),
    };
    words.to_owned()
}

/// `HandshakeFailure` is "handshake failure"; what follows a name in brackets is left out.
fn spaced(name: &str) -> String {
    let name = name.chars().take_while(char::is_ascii_alphanumeric);
    let mut capital = true;
    name.fold(String::new(), |mut words, letter| {
        if letter.is_ascii_uppercase() && !capital {
            words.push(' ');
        }
        capital = letter.is_ascii_uppercase();
        words.push(letter.to_ascii_lowercase());
        words
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rare_failures_have_words_too() {
        assert_eq!(
            path_words("MaximumPathDepthExceeded"),
            "certificate refused: maximum path depth exceeded"
        );
        assert_eq!(
            certificate_words(&CertificateError::ApplicationVerificationFailure),
            "certificate refused: application verification failure"
        );
        assert_eq!(
            spaced("UnknownCA(DerTypeId { x: 1 })"),
            "unknown ca",
            "what is in brackets is left out"
        );
        let strange = io::Error::from_raw_os_error(libc::EHOSTDOWN);
        assert_eq!(
            io_words(&strange, Stage::Connect),
            format!("connect: system error {}", libc::EHOSTDOWN)
        );
    }
}

#[cfg(feature = "testing")]
pub mod from_memory;
