//! A connection to iVALT that asks about no user: name look-up, TCP, TLS, and the head of one HTTP answer. Neither the
//! API key nor any user's data is sent. For the administrator's tool; the module has no use for it.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustls::ClientConnection;
use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{
    ConnectProxyConnector, ConnectionDetails, Connector, NextTimeout, Transport,
};
use ureq::{Agent, Error};

use super::client::{Client, Failure};
use super::transport::{
    CallingThreadResolver, ConnectOnly, Progress, SocketHandle, Stage, TcpConnector, TlsConnector,
};

/// The longest head of an answer that is read, in bytes.
const HEAD_LIMIT: u64 = 16 * 1024;

/// How far a connection to iVALT got, and what was seen of it.
#[derive(Debug, Default)]
pub struct Probe {
    /// Of iVALT, or of the proxy before it.
    pub addresses: Vec<SocketAddr>,
    /// How long each step took.
    pub times: Vec<(Stage, Duration)>,
    /// What the handshake gave.
    pub tls: Option<TlsSession>,
    /// The HTTP status of a `HEAD` without API key, whatever it says.
    pub http: Option<u16>,
    /// The `Date` of this answer: foreign text.
    pub date: Option<String>,
    /// Where and why it ended early, in the words of the log.
    pub failed: Option<(Stage, String)>,
}

/// A connection whose certificate was verified.
#[derive(Debug)]
pub struct TlsSession {
    /// `TLSv1_3`
    pub version: String,
    /// The server's own, as DER.
    pub certificate: Vec<u8>,
}

impl Client {
    /// Connects as a validation does, reads the head of the server's first answer, and ends there.
    #[must_use]
    pub fn probe(&self) -> Probe {
        let progress = self.parts.progress.clone();
        progress.restart(self.timeout);
        let seen = Arc::<Mutex<Probe>>::default();
        let connector = ()
            .chain(ConnectProxyConnector::default())
            .chain(TcpConnector {
                socket: SocketHandle::default(),
                progress: progress.clone(),
            })
            .chain(ProbeConnector {
                tls: TlsConnector {
                    roots: Arc::clone(&self.parts.roots),
                    progress: progress.clone(),
                },
                seen: Arc::clone(&seen),
                progress: progress.clone(),
            });
        let resolver = RecordingResolver {
            resolver: self.parts.resolver(),
            seen: Arc::clone(&seen),
        };
        let answer = Agent::with_parts(self.agent.config().clone(), connector, resolver)
            .head(&self.url)
            .call();
        let mut probe = std::mem::take(&mut *seen.lock().unwrap_or_else(PoisonError::into_inner));
        probe.times = progress.times();
        match answer {
            Err(Error::Other(end)) if end.is::<ConnectOnly>() => {}
            Err(error) => {
                let (Failure::Outage(cause) | Failure::Local(cause)) = self.failure(&error);
                probe.failed = Some((progress.stage(), cause));
            }
            Ok(_) => {}
        }
        probe
    }
}

/// Records the addresses before one of them is tried.
#[derive(Debug)]
struct RecordingResolver {
    resolver: CallingThreadResolver,
    seen: Arc<Mutex<Probe>>,
}

impl Resolver for RecordingResolver {
    fn resolve(
        &self,
        uri: &Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, Error> {
        let addresses = self.resolver.resolve(uri, config, timeout)?;
        self.seen
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .addresses = addresses.iter().copied().collect();
        Ok(addresses)
    }
}

/// The last connector: records what the handshake and one request give, and ends the call.
#[derive(Debug)]
struct ProbeConnector {
    tls: TlsConnector,
    seen: Arc<Mutex<Probe>>,
    progress: Progress,
}

impl<In: Transport> Connector<In> for ProbeConnector {
    type Out = In;

    fn connect(
        &self,
        details: &ConnectionDetails,
        chained: Option<In>,
    ) -> Result<Option<In>, Error> {
        // The connection to a proxy, without TLS.
        if !details.needs_tls() {
            return Ok(chained);
        }
        let stream = chained.ok_or(Error::ConnectionFailed)?;
        let stream = self.tls.handshake(details, stream.boxed())?;
        self.record_tls(&stream.conn);
        self.head(details.uri, stream)?;
        Err(Error::Other(Box::new(ConnectOnly)))
    }
}

impl ProbeConnector {
    fn record_tls(&self, connection: &ClientConnection) {
        let version = connection.protocol_version();
        let certificate = connection.peer_certificates().and_then(<[_]>::first);
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).tls = Some(TlsSession {
            version: version.map_or_else(String::new, |version| format!("{version:?}")),
            certificate: certificate.map_or_else(Vec::new, |der| der.to_vec()),
        });
    }

    /// One request that any HTTP server answers, with nothing in it.
    fn head(&self, uri: &Uri, mut stream: impl Read + Write) -> Result<(), Error> {
        self.progress.enter(Stage::Request);
        let host = uri.authority().map_or("", |authority| authority.as_str());
        let version = env!("CARGO_PKG_VERSION");
        write!(
            stream,
            "HEAD {} HTTP/1.1\r\nhost: {host}\r\nuser-agent: pam_ivalt/{version}\r\nconnection: close\r\n\r\n",
            uri.path()
        )?;
        stream.flush()?;
        self.progress.enter(Stage::Answer);
        let mut head = Vec::new();
        let mut limited = stream.take(HEAD_LIMIT);
        let mut part = [0; 1024];
        while !head.windows(4).any(|end| end == b"\r\n\r\n") {
            match limited.read(&mut part)? {
                0 => break,
                amount => head.extend_from_slice(&part[..amount]),
            }
        }
        self.record_head(&String::from_utf8_lossy(&head));
        Ok(())
    }

    fn record_head(&self, head: &str) {
        let mut lines = head.lines();
        let status = lines.next().unwrap_or_default();
        let status = status
            .strip_prefix("HTTP/1.")
            .and_then(|rest| rest.split(' ').nth(1)?.parse().ok());
        let date = lines.find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("date")
                .then(|| value.trim().to_owned())
        });
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        (seen.http, seen.date) = (status, date);
    }
}
