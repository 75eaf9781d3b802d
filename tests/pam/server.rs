//! HTTPS servers that do exactly one thing wrong. rustls and a socket, no HTTP library: it would mend the fault.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::{self, JoinHandle};
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    date_time_ymd,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// A TLS connection as its server sees it.
pub type Tls = StreamOwned<ServerConnection, TcpStream>;

/// What is wrong with the certificate, if anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Certificate {
    Valid,
    Expired,
    /// Within two weeks.
    EndsSoon,
    NotYetValid,
    OtherName,
    SelfSigned,
    UnknownAuthority,
    ForClients,
}

/// The authority that the module is told to trust, and one that it is not.
struct Authorities {
    trusted: Issuer<'static, KeyPair>,
    trusted_pem: String,
    unknown: Issuer<'static, KeyPair>,
}

fn authority(name: &str) -> (Issuer<'static, KeyPair>, String) {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, name);
    let key = KeyPair::generate().unwrap();
    let pem = params.self_signed(&key).unwrap().pem();
    (Issuer::new(params, key), pem)
}

fn authorities() -> &'static Authorities {
    static AUTHORITIES: OnceLock<Authorities> = OnceLock::new();
    AUTHORITIES.get_or_init(|| {
        let (trusted, trusted_pem) = authority("trusted by the tests");
        let (unknown, _) = authority("unknown to the module");
        Authorities {
            trusted,
            trusted_pem,
            unknown,
        }
    })
}

/// Writes the trusted authority to `folder`.
pub fn trusted_authority(folder: &Path) -> PathBuf {
    let path = folder.join("faults-ca.pem");
    std::fs::write(&path, &authorities().trusted_pem).unwrap();
    path
}

fn certificate(kind: Certificate) -> (CertificateDer<'static>, PrivateKeyDer<'static>) {
    let name = if kind == Certificate::OtherName {
        "other.example"
    } else {
        "127.0.0.1"
    };
    let mut params =
        CertificateParams::new(vec![name.to_owned(), format!("{kind:?}.example")]).unwrap();
    params.extended_key_usages = vec![match kind {
        Certificate::ForClients => ExtendedKeyUsagePurpose::ClientAuth,
        _ => ExtendedKeyUsagePurpose::ServerAuth,
    }];
    match kind {
        Certificate::Expired => params.not_after = date_time_ymd(2020, 1, 1),
        Certificate::EndsSoon => {
            params.not_after = (SystemTime::now() + Duration::from_secs(10 * 86_400)).into();
        }
        Certificate::NotYetValid => params.not_before = date_time_ymd(2090, 1, 1),
        _ => {}
    }
    let key = KeyPair::generate().unwrap();
    let signed = match kind {
        Certificate::SelfSigned => params.self_signed(&key),
        Certificate::UnknownAuthority => params.signed_by(&key, &authorities().unknown),
        _ => params.signed_by(&key, &authorities().trusted),
    };
    (
        signed.unwrap().der().clone(),
        PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
    )
}

fn tls_config(kind: Certificate) -> Arc<ServerConfig> {
    let (certificate, key) = certificate(kind);
    let config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key);
    Arc::new(config.unwrap())
}

/// A server on loopback that lives as long as this value.
pub struct Server {
    pub port: u16,
    /// Requests read to their end.
    requests: Arc<AtomicUsize>,
    connections: Arc<AtomicUsize>,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Hands every connection to `act`, before any TLS.
    pub fn raw(act: impl Fn(TcpStream) + Send + Sync + 'static) -> Self {
        Self::start(move |stream, _| act(stream))
    }

    /// Shakes hands with `certificate`, reads the request, then lets `act` answer.
    pub fn tls(certificate: Certificate, act: impl Fn(&mut Tls) + Send + Sync + 'static) -> Self {
        let config = tls_config(certificate);
        Self::start(move |stream, requests| {
            let mut tls =
                StreamOwned::new(ServerConnection::new(Arc::clone(&config)).unwrap(), stream);
            if read_request(&mut tls) {
                requests.fetch_add(1, Ordering::SeqCst);
                act(&mut tls);
            }
        })
    }

    /// Answers with exactly these bytes, then closes.
    pub fn answering(bytes: impl Into<Vec<u8>>) -> Self {
        let bytes = bytes.into();
        Self::tls(Certificate::Valid, move |tls| {
            let _ = tls.write_all(&bytes).and_then(|()| tls.flush());
            tls.conn.send_close_notify();
            let _ = tls.flush();
        })
    }

    fn start(act: impl Fn(TcpStream, &AtomicUsize) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (requests, connections, over) = (
            Arc::default(),
            Arc::<AtomicUsize>::default(),
            Arc::<AtomicBool>::default(),
        );
        let shared = (
            Arc::clone(&requests),
            Arc::clone(&connections),
            Arc::clone(&over),
        );
        let thread = thread::spawn(move || {
            let (requests, connections, over) = shared;
            let act = Arc::new(act);
            for stream in listener
                .incoming()
                .map_while(Result::ok)
                .take_while(|_| !over.load(Ordering::SeqCst))
            {
                connections.fetch_add(1, Ordering::SeqCst);
                let (act, requests) = (Arc::clone(&act), Arc::clone(&requests));
                stream
                    .set_read_timeout(Some(Duration::from_secs(20)))
                    .unwrap();
                thread::spawn(move || act(stream, &requests));
            }
        });
        Self {
            port,
            requests,
            connections,
            over,
            thread: Some(thread),
        }
    }

    pub fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }

    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
        // Wakes the listener.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Reads head and body; `false` when the client went away before.
fn read_request(tls: &mut Tls) -> bool {
    let mut request = Vec::new();
    let mut part = [0; 4096];
    loop {
        match tls.read(&mut part) {
            Ok(0) | Err(_) => return false,
            Ok(amount) => request.extend_from_slice(&part[..amount]),
        }
        let text = String::from_utf8_lossy(&request).to_ascii_lowercase();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .split("content-length: ")
                .nth(1)
                .and_then(|rest| rest.lines().next()?.parse().ok());
            if body.len() >= length.unwrap_or(0) {
                return true;
            }
        }
    }
}

/// An HTTP answer of `status` with `headers` (each ended by CRLF) and a body of the right length.
pub fn answer(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\n{headers}content-length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

/// Closes with RST once the client has begun to speak: earlier, its connect(2) might fail instead.
pub fn reset(stream: &TcpStream) {
    let mut reader = stream;
    let _ = reader.read(&mut [0; 1]);
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
