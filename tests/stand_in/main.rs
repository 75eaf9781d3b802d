//! A stand-in for iVALT's cloud: all operations over real TLS on the loopback, for tests and for trying the module
//! manually. The token sent in chooses the answer; see [`answers`]. For push it is a file in DIR; see [`push`].
//!
//! `ivalt-stand-in --dir DIR [--address A] [--port N] [--api-key KEY]`
//!
//! In DIR it leaves `ca.pem` (what clients must trust), `connections.jsonl` and `requests.jsonl`
//! (what they did) and, once it listens, `port`. It ends by the first signal.

mod answers;
mod arguments;
mod certificates;
mod exchange;
mod operations;
mod push;
mod reply;
mod request_log;

use std::convert::Infallible;
use std::error::Error;
use std::io::Write;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;

use arguments::Arguments;
use exchange::StandIn;
use push::Phones;
use request_log::RequestLog;

/// `EX_USAGE` of sysexits.h, as `ivaltctl` uses it.
const WRONG_USAGE: u8 = 64;

fn main() -> ExitCode {
    let arguments = match Arguments::parse(std::env::args().skip(1)) {
        Ok(arguments) => arguments,
        Err(problem) => {
            eprintln!("ivalt-stand-in: {problem}\n{}", arguments::USAGE);
            return ExitCode::from(WRONG_USAGE);
        }
    };
    let Err(error) = run(arguments);
    eprintln!("ivalt-stand-in: {error}");
    ExitCode::FAILURE
}

/// One thread serves all clients: waiting answers are timers, so 64 at once do not disturb each other.
fn run(arguments: Arguments) -> Result<Infallible, Box<dyn Error>> {
    let request_log = RequestLog::start(&arguments.dir)?;
    let certificates = certificates::issue()?;
    request_log.write_ca(&certificates.ca_pem)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    tokio::task::LocalSet::new()
        .block_on(&runtime, serve(arguments, request_log, certificates.server))
}

/// Binds the loopback unless told otherwise, says that it is ready, then takes connections for ever.
async fn serve(
    arguments: Arguments,
    request_log: RequestLog,
    tls: Arc<ServerConfig>,
) -> Result<Infallible, Box<dyn Error>> {
    let listener = listen((arguments.address, arguments.port).into())?;
    let port = listener.local_addr()?.port();
    request_log.announce(port)?;
    // The program that started us may have closed the pipe already: the port file is enough for it.
    let _ = writeln!(
        std::io::stdout(),
        "ivalt-stand-in: https://127.0.0.1:{port}, requests in {}",
        request_log.requests_path().display()
    );
    let phones = Phones::new(&arguments.dir);
    let stand_in = StandIn::new(arguments.api_key, port, request_log, phones);
    let stand_in = Rc::new(stand_in);
    accept_for_ever(&listener, &TlsAcceptor::from(tls), &stand_in).await
}

/// std's listener keeps 128 connections that were not yet accepted; of more at once the kernel drops some, and they come
/// again a second later.
fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(1024)
}

/// Records every connection before the TLS handshake, so that pre-connecting clients are seen too.
async fn accept_for_ever(
    listener: &TcpListener,
    tls: &TlsAcceptor,
    stand_in: &Rc<StandIn>,
) -> Result<Infallible, Box<dyn Error>> {
    loop {
        let Ok((stream, peer)) = listener.accept().await else {
            // Out of descriptors, most likely: some are closed soon.
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        };
        stand_in.request_log().note_connection(peer)?;
        let connection = converse(stream, tls.clone(), Rc::clone(stand_in));
        tokio::task::spawn_local(connection);
    }
}

/// One connection from handshake to close. Errors are the peer's fault or intended (`hang-up`).
async fn converse(stream: TcpStream, tls: TlsAcceptor, stand_in: Rc<StandIn>) {
    let _ = stream.set_nodelay(true);
    let Ok(stream) = tls.accept(stream).await else {
        return;
    };
    let service = service_fn(move |request| {
        let stand_in = Rc::clone(&stand_in);
        async move { stand_in.answer(request).await }
    });
    let _ = http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await;
}
