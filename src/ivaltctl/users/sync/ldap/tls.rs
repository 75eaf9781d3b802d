//! Why a server cannot be reached: ldapsearch says "Can't contact LDAP server" to a wrong name, a closed port and an
//! unknown CA alike.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use rustls::pki_types::ServerName;
use rustls::{ClientConnection, StreamOwned};

use super::program::Caller;
use crate::trust;
use crate::users::sync::settings::{Scheme, Uri};
use ivalt_core::api::{Roots, tls_words};
use ivalt_core::sys;

/// Each step takes at most so long.
const PATIENCE: Duration = Duration::from_secs(5);

/// In words, or `None` where nothing is wrong as far as the beginning of TLS.
pub fn explain(caller: &Caller, uri: &Uri) -> Option<String> {
    if uri.scheme == Scheme::Ldapi {
        return None;
    }
    let stream = match connect(uri) {
        Ok(stream) => stream,
        Err(why) => return Some(why),
    };
    let starttls = caller.settings.starttls;
    match (uri.scheme, starttls) {
        (Scheme::Ldaps, _) => handshake(caller, uri, stream).err(),
        (_, true) => start_tls(stream)
            .and_then(|stream| handshake(caller, uri, stream))
            .err(),
        _ => None,
    }
}

fn connect(uri: &Uri) -> Result<TcpStream, String> {
    let found = (sys::platform().look_up)(&uri.host, uri.port, PATIENCE);
    let addresses = found.map_err(|error| format!("{error} ({})", uri.host))?;
    let mut why = "the name has no address".to_owned();
    let end = Instant::now() + PATIENCE;
    for address in &addresses {
        let left = end.saturating_duration_since(Instant::now());
        match connect_to(address, left) {
            Ok(stream) => return Ok(stream),
            Err(error) => why = format!("{}: {}", address, words(&error)),
        }
    }
    Err(why)
}

fn connect_to(address: &SocketAddr, left: Duration) -> io::Result<TcpStream> {
    // Zero is no time-out.
    let left = left.max(Duration::from_millis(1));
    let stream = TcpStream::connect_timeout(address, left)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}

fn words(error: &io::Error) -> String {
    let tls = error.get_ref().and_then(|inner| inner.downcast_ref());
    match (tls, error.kind()) {
        (Some(tls), _) => tls_words(tls),
        (None, io::ErrorKind::UnexpectedEof) => "the server closed the connection".to_owned(),
        (None, io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => "no answer".to_owned(),
        _ => ivalt_core::problem::reason(error),
    }
}

/// An extended request for StartTLS, and the answer that it is granted (RFC 4511 section 4.14).
fn start_tls(mut stream: TcpStream) -> Result<TcpStream, String> {
    let mut request = b"\x30\x1d\x02\x01\x01\x77\x18\x80\x16".to_vec();
    request.extend_from_slice(b"1.3.6.1.4.1.1466.20037");
    let mut begin = [0; 2];
    let mut exchange = || {
        stream.write_all(&request)?;
        stream.read_exact(&mut begin)?;
        let mut rest = vec![0; usize::from(begin[1] & 0x7f)];
        stream.read_exact(&mut rest)?;
        io::Result::Ok(rest)
    };
    let answer = exchange().map_err(|error| format!("StartTLS: {}", words(&error)))?;
    // The message's number, the response's head, then the result code: success is 0.
    match answer.get(..8) {
        Some([2, 1, 1, 0x78, _, 10, 1, 0]) => Ok(stream),
        _ => Err("the server grants no StartTLS; use ldaps://, or set up TLS there".to_owned()),
    }
}

fn handshake(caller: &Caller, uri: &Uri, stream: TcpStream) -> Result<(), String> {
    let roots = Roots::read(caller.settings.ca_file.as_deref(), trust());
    let config = roots.and_then(|roots| roots.client_config());
    let config = config.map_err(|problem| problem.what)?;
    let name = ServerName::try_from(uri.host.clone());
    let name = name.map_err(|_| "the host is no name that a certificate can be for".to_owned())?;
    let connection = ClientConnection::new(config, name);
    let connection = connection.map_err(|error| tls_words(&error))?;
    let mut stream = StreamOwned::new(connection, stream);
    while stream.conn.is_handshaking() {
        let done = stream.conn.complete_io(&mut stream.sock);
        let ca = caller.ca_file.display();
        done.map_err(|error| format!("TLS: {} (trusted: {ca})", words(&error)))?;
    }
    Ok(())
}
