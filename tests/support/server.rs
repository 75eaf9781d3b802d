//! HTTPS servers that do exactly one thing wrong. rustls and a socket, no HTTP library: it would repair the fault.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustls::crypto::ring::sign::any_supported_type;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{
    ProtocolVersion, ServerConfig, ServerConnection, StreamOwned, SupportedProtocolVersion,
};

pub use super::certificates::{Anchor, Certificate, anchored, trusted_authority};

/// A TLS connection as its server sees it.
pub type Tls = StreamOwned<ServerConnection, TcpStream>;

fn tls_config(
    kind: Certificate,
    versions: &[&'static SupportedProtocolVersion],
) -> Arc<ServerConfig> {
    let (chain, key) = kind.chain_and_key();
    tls_config_with(chain, &key, versions)
}

fn tls_config_with(
    chain: Vec<CertificateDer<'static>>,
    key: &PrivateKeyDer<'static>,
    versions: &[&'static SupportedProtocolVersion],
) -> Arc<ServerConfig> {
    // Not `with_single_cert`: that looks into the certificate, and refuses some that clients must refuse.
    let key = CertifiedKey::new(chain, any_supported_type(key).unwrap());
    let config = ServerConfig::builder_with_protocol_versions(versions)
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(key)));
    Arc::new(config)
}

/// When a server says what it was not yet asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Early {
    /// Never; its session tickets are late.
    No,
    /// With its Finished.
    WithFinished,
    /// When the client waits for its user.
    Later,
    /// Half of it with its Finished, half of it later.
    InTwoRecords,
    /// In a record that begins with its Finished and ends when a request would have been sent.
    InHalfARecord,
}

/// What a server noted.
#[derive(Default)]
struct ServerLog {
    connections: AtomicUsize,
    /// Of requests that came whole.
    tokens: Mutex<Vec<String>>,
    over: AtomicBool,
}

/// A server on loopback that lives as long as this value.
pub struct Server {
    pub port: u16,
    address: SocketAddr,
    log: Arc<ServerLog>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Hands every connection to `serve`, before any TLS.
    pub fn raw(serve: impl Fn(TcpStream) + Send + Sync + 'static) -> Self {
        Self::start(loopback(), move |stream, _| serve(stream))
    }

    /// Shakes hands with `certificate`, reads the request, then lets `serve` answer.
    pub fn tls(certificate: Certificate, serve: impl Fn(&mut Tls) + Send + Sync + 'static) -> Self {
        let config = tls_config(certificate, rustls::ALL_VERSIONS);
        Self::listening(loopback(), config, move |tls, _| serve(tls))
    }

    /// Answers with exactly these bytes, then closes.
    pub fn answering(bytes: impl Into<Vec<u8>>) -> Self {
        Self::answering_as(Certificate::Valid, rustls::ALL_VERSIONS, bytes)
    }

    /// The same with another certificate, in these versions of TLS.
    pub fn answering_as(
        certificate: Certificate,
        versions: &[&'static SupportedProtocolVersion],
        bytes: impl Into<Vec<u8>>,
    ) -> Self {
        let bytes = bytes.into();
        let config = tls_config(certificate, versions);
        Self::listening(loopback(), config, move |tls, _| send_all(tls, &bytes))
    }

    /// The same with this chain and key.
    pub fn answering_with(
        chain: Vec<CertificateDer<'static>>,
        key: &PrivateKeyDer<'static>,
        bytes: impl Into<Vec<u8>>,
    ) -> Self {
        let bytes = bytes.into();
        let config = tls_config_with(chain, key, rustls::ALL_VERSIONS);
        Self::listening(loopback(), config, move |tls, _| send_all(tls, &bytes))
    }

    /// On each connection with another of these chains, and with the last of them on all further ones.
    pub fn answering_in_turn(
        chains: Vec<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>,
        bytes: impl Into<Vec<u8>>,
    ) -> Self {
        let config = |(chain, key)| tls_config_with(chain, &key, rustls::ALL_VERSIONS);
        let configs: Vec<_> = chains.into_iter().map(config).collect();
        let (next, bytes) = (AtomicUsize::new(0), bytes.into());
        Self::start(loopback(), move |stream, log| {
            let number = next.fetch_add(1, Ordering::SeqCst).min(configs.len() - 1);
            let connection = ServerConnection::new(Arc::clone(&configs[number])).unwrap();
            let mut tls = StreamOwned::new(connection, stream);
            if let Some(token) = read_request(&mut tls) {
                log.tokens.lock().unwrap().push(token);
                send_all(&mut tls, &bytes);
            }
        })
    }

    /// The same at an address of its own.
    pub fn answering_at(address: impl Into<SocketAddr>, bytes: impl Into<Vec<u8>>) -> Self {
        let bytes = bytes.into();
        let listener = TcpListener::bind(address.into()).unwrap();
        let config = tls_config(Certificate::Valid, rustls::ALL_VERSIONS);
        Self::listening(listener, config, move |tls, _| send_all(tls, &bytes))
    }

    /// Answers the token `row-N` with the N-th of these.
    pub fn choosing(answers: Vec<Vec<u8>>) -> Self {
        let config = tls_config(Certificate::Valid, rustls::ALL_VERSIONS);
        Self::listening(loopback(), config, move |tls, token| {
            let number: usize = token["row-".len()..].parse().unwrap();
            send_all(tls, &answers[number]);
        })
    }

    /// Shakes hands, and closes after `idle` unless a request has come by then; the next connections are answered.
    pub fn tired_once(idle: Duration) -> Self {
        let config = tls_config(Certificate::Valid, rustls::ALL_VERSIONS);
        let tired = AtomicBool::new(false);
        Self::start(loopback(), move |stream, log| {
            let connection = ServerConnection::new(Arc::clone(&config)).unwrap();
            if !tired.swap(true, Ordering::SeqCst) {
                stream.set_read_timeout(Some(idle)).unwrap();
            }
            let mut tls = StreamOwned::new(connection, stream);
            if let Some(token) = read_request(&mut tls) {
                log.tokens.lock().unwrap().push(token);
                send_all(&mut tls, &answer("200 OK", "", br#"{"status":"success"}"#));
            }
            tls.conn.send_close_notify();
            let _ = tls.flush();
        })
    }

    /// Says `early` before it is asked, on its first connection, its second and so on at another time each; then reads
    /// the request and answers it. The last of them stands for all further ones.
    pub fn early(
        version: &'static SupportedProtocolVersion,
        early: &'static [u8],
        connections: Vec<(Early, Vec<u8>)>,
    ) -> Self {
        let mut config = tls_config(Certificate::Valid, &[version]);
        // Only TLS 1.3 lets a server speak before the client's Finished (RFC 8446 section 2).
        Arc::get_mut(&mut config).unwrap().send_half_rtt_data = true;
        let next = AtomicUsize::new(0);
        Self::start(loopback(), move |stream, log| {
            let number = next.fetch_add(1, Ordering::SeqCst);
            let (when, answer) = &connections[number.min(connections.len() - 1)];
            let connection = ServerConnection::new(Arc::clone(&config)).unwrap();
            let Ok(mut tls) = speak_early(connection, stream, *when, early) else {
                return;
            };
            if let Some(token) = read_request(&mut tls) {
                log.tokens.lock().unwrap().push(token);
                send_all(&mut tls, answer);
            }
        })
    }

    fn listening(
        listener: TcpListener,
        config: Arc<ServerConfig>,
        serve: impl Fn(&mut Tls, &str) + Send + Sync + 'static,
    ) -> Self {
        Self::start(listener, move |stream, log| {
            let connection = ServerConnection::new(Arc::clone(&config)).unwrap();
            let mut tls = StreamOwned::new(connection, stream);
            if let Some(token) = read_request(&mut tls) {
                log.tokens.lock().unwrap().push(token.clone());
                serve(&mut tls, &token);
            }
        })
    }

    fn start(
        listener: TcpListener,
        serve: impl Fn(TcpStream, &ServerLog) + Send + Sync + 'static,
    ) -> Self {
        let address = listener.local_addr().unwrap();
        let log = Arc::<ServerLog>::default();
        let shared = Arc::clone(&log);
        let thread = thread::spawn(move || {
            let serve = Arc::new(serve);
            for stream in listener
                .incoming()
                .map_while(Result::ok)
                .take_while(|_| !shared.over.load(Ordering::SeqCst))
            {
                shared.connections.fetch_add(1, Ordering::SeqCst);
                let (serve, log) = (Arc::clone(&serve), Arc::clone(&shared));
                stream
                    .set_read_timeout(Some(Duration::from_secs(20)))
                    .unwrap();
                thread::spawn(move || serve(stream, &log));
            }
        });
        Self {
            port: address.port(),
            address,
            log,
            thread: Some(thread),
        }
    }

    /// How many requests were read to their end.
    pub fn requests(&self) -> usize {
        self.tokens().len()
    }

    /// The tokens of these requests, in order.
    pub fn tokens(&self) -> Vec<String> {
        self.log.tokens.lock().unwrap().clone()
    }

    pub fn connections(&self) -> usize {
        self.log.connections.load(Ordering::SeqCst)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.log.over.store(true, Ordering::SeqCst);
        // Wakes the listener.
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// A handshake, and `early` in it or after it.
fn speak_early(
    mut tls: ServerConnection,
    mut stream: TcpStream,
    when: Early,
    early: &[u8],
) -> io::Result<Tls> {
    let (first, second) = early.split_at(early.len() / 2);
    // rustls keeps what it may not send yet.
    match when {
        Early::WithFinished | Early::InHalfARecord => tls.writer().write_all(early)?,
        Early::InTwoRecords => tls.writer().write_all(first)?,
        Early::No | Early::Later => {}
    }
    let held = shake_hands(&mut tls, &mut stream, when == Early::InHalfARecord)?;
    if when == Early::InHalfARecord {
        thread::sleep(Duration::from_millis(1_000));
    }
    stream.write_all(&held)?;
    if when != Early::WithFinished {
        thread::sleep(Duration::from_millis(200));
    }
    match when {
        Early::Later => tls.writer().write_all(early)?,
        Early::InTwoRecords => tls.writer().write_all(second)?,
        _ => {}
    }
    stream.write_all(&flight(&mut tls)?)?;
    Ok(StreamOwned::new(tls, stream))
}

/// Gives back the last bytes of the flight that ends with Finished and what follows it, if they are to be held.
fn shake_hands(
    tls: &mut ServerConnection,
    stream: &mut TcpStream,
    hold: bool,
) -> io::Result<Vec<u8>> {
    let mut held = Vec::new();
    while tls.is_handshaking() {
        if tls.read_tls(stream)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        tls.process_new_packets().map_err(io::Error::other)?;
        let is_13 = tls.protocol_version() == Some(ProtocolVersion::TLSv1_3);
        // In TLS 1.3 the tickets come after it.
        if is_13 && !tls.is_handshaking() {
            break;
        }
        let mut bytes = flight(tls)?;
        if hold && !bytes.is_empty() && (is_13 || !tls.is_handshaking()) {
            held = bytes.split_off(bytes.len() - 10);
        }
        stream.write_all(&bytes)?;
    }
    Ok(held)
}

fn flight(tls: &mut ServerConnection) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    while tls.wants_write() {
        tls.write_tls(&mut bytes)?;
    }
    Ok(bytes)
}

fn loopback() -> TcpListener {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap()
}

/// Reads head and body, and gives the token; none when the client went away before.
fn read_request(tls: &mut Tls) -> Option<String> {
    let mut request = Vec::new();
    let mut part = [0; 4096];
    loop {
        match tls.read(&mut part) {
            Ok(0) | Err(_) => return None,
            Ok(amount) => request.extend_from_slice(&part[..amount]),
        }
        let text = String::from_utf8_lossy(&request);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let head = head.to_ascii_lowercase();
            let length = head
                .split("content-length: ")
                .nth(1)
                .and_then(|rest| rest.lines().next()?.parse().ok());
            if body.len() >= length.unwrap_or(0) {
                let fields: serde_json::Value = serde_json::from_str(body).unwrap_or_default();
                return Some(fields["auth_token"].as_str().unwrap_or_default().to_owned());
            }
        }
    }
}

/// These bytes, then an orderly end.
fn send_all(tls: &mut Tls, bytes: &[u8]) {
    send(tls, bytes);
    tls.conn.send_close_notify();
    let _ = tls.flush();
}

/// These bytes now; the client may be gone.
pub fn send(tls: &mut Tls, bytes: &[u8]) {
    let _ = tls.write_all(bytes).and_then(|()| tls.flush());
}

/// An HTTP answer of `status` with `headers` (each ended by CRLF) and a body of the right length.
pub fn answer(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\n{headers}content-length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

/// Takes what comes and says nothing, for longer than anybody waits.
pub fn hold(mut stream: &TcpStream) {
    let _ = stream.read(&mut [0; 1]);
    thread::sleep(Duration::from_secs(4));
}

/// Closes with RST once the client has begun to speak: earlier, its connect(2) might fail instead.
pub fn reset(stream: &TcpStream) {
    let mut reader = stream;
    let _ = reader.read(&mut [0; 1]);
    close_by_reset(stream);
}

/// The coming close sends RST in place of FIN.
pub fn close_by_reset(stream: &TcpStream) {
    let linger = libc::linger {
        l_onoff: 1,
        l_linger: 0,
    };
    let size = libc::socklen_t::try_from(size_of::<libc::linger>()).unwrap();
    // SAFETY: setsockopt(2) reads `size` bytes of `linger`, which outlives the call; the descriptor is open.
    let code = unsafe {
        libc::setsockopt(
            stream.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_LINGER,
            (&raw const linger).cast(),
            size,
        )
    };
    assert_eq!(code, 0);
}

/// An address of loopback where nobody listens. A port that was free a moment ago may be another test's by now.
pub const NOBODY: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, 77, 1, 1)), 1);

/// A full backlog: the kernel drops every further SYN, as long as the value lives.
pub fn black_hole(address: SocketAddr) -> (TcpListener, Vec<io::Result<TcpStream>>) {
    let full = TcpListener::bind(address).unwrap();
    let address = full.local_addr().unwrap();
    // SAFETY: listen(2) on an open descriptor only changes its backlog.
    unsafe { libc::listen(full.as_raw_fd(), 0) };
    let connect = |_| TcpStream::connect_timeout(&address, Duration::from_millis(200));
    (full, (0..4).map(connect).collect())
}
