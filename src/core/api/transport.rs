//! A connection, from the name to the handshake, made of parts that ureq lets us choose: name look-up on the calling
//! thread, a socket that can be shut down from another thread, TLS with roots read once, and one deadline for all of
//! it.

use std::fmt;
use std::io::{self, Read, Write};
use std::mem;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use rustls::pki_types::ServerName;
use rustls::{ClientConnection, StreamOwned};
use ureq::Error;
use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, Either, LazyBuffers, NextTimeout, Transport,
    TransportAdapter, time,
};
use zeroize::Zeroizing;

use super::connect::{SEND_TIMEOUT, connect, in_turn};
use super::records::Records;
use super::roots::Roots;
use crate::sys::{LookUp, read_without_waiting};

/// The steps of a validation, as the log names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Name look-up.
    Dns,
    /// TCP, and the proxy's CONNECT.
    Connect,
    /// TLS handshake.
    Tls,
    /// The request is sent.
    Request,
    /// The answer is read.
    Answer,
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Dns => "dns",
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::Request => "request",
            Self::Answer => "answer",
        })
    }
}

/// Not a fault: only the connection was wanted. ureq can end a call only by an answer or an error.
#[derive(Debug)]
pub struct ConnectOnly;

impl fmt::Display for ConnectOnly {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("only the connection was wanted")
    }
}

impl std::error::Error for ConnectOnly {}

/// What is not known to be an answer: it began before the request was written.
#[derive(Debug)]
pub struct EarlyAnswer;

impl fmt::Display for EarlyAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the server answered before the request was sent")
    }
}

impl std::error::Error for EarlyAnswer {}

/// How far a validation has come, shared by the parts of its connection.
#[derive(Clone, Debug)]
pub struct Progress(Arc<Mutex<Clock>>);

#[derive(Debug)]
struct Clock {
    deadline: Instant,
    /// The steps taken, and how long each took.
    steps: Vec<(Stage, Duration)>,
    /// When the last of them began; none while the user types.
    running: Option<Instant>,
}

impl Progress {
    /// A validation that must be over after `timeout`.
    pub fn begin(timeout: Duration) -> Self {
        Self(Arc::new(Mutex::new(Clock {
            deadline: Instant::now() + timeout,
            steps: Vec::new(),
            running: None,
        })))
    }

    /// Where the validation is; before anything happened, at the name look-up.
    pub fn stage(&self) -> Stage {
        self.clock(|clock| clock.steps.last().map_or(Stage::Dns, |step| step.0))
    }

    /// The same validation with all of its time before it: it waited for the user.
    pub fn reset_deadline(&self, timeout: Duration) {
        self.clock(|clock| clock.deadline = Instant::now() + timeout);
    }

    /// Begins from the name look-up again, with all of its time before it.
    pub fn restart(&self, timeout: Duration) {
        self.clock(|clock| (clock.steps, clock.running) = (Vec::new(), None));
        self.reset_deadline(timeout);
    }

    /// From now on the user is waited for.
    pub fn pause(&self) {
        self.clock(Clock::stop);
    }

    /// `dns 2 ms, connect 11 ms, …` for `debug`.
    pub fn durations(&self) -> String {
        let words = |(stage, time): (Stage, Duration)| format!("{stage} {} ms", time.as_millis());
        let words = self.times().into_iter().map(words);
        words.collect::<Vec<_>>().join(", ")
    }

    /// How long each step took; the last one until now.
    pub fn times(&self) -> Vec<(Stage, Duration)> {
        self.clock(|clock| {
            clock.stop();
            clock.steps.clone()
        })
    }

    pub(super) fn enter(&self, stage: Stage) {
        self.clock(|clock| {
            if clock.running.is_none() || clock.steps.last().is_none_or(|last| last.0 != stage) {
                clock.stop();
                clock.steps.push((stage, Duration::ZERO));
                clock.running = Some(Instant::now());
            }
        });
    }

    /// What is left of the time.
    pub fn left(&self) -> Duration {
        let deadline = self.clock(|clock| clock.deadline);
        deadline.saturating_duration_since(Instant::now())
    }

    fn clock<T>(&self, with: impl FnOnce(&mut Clock) -> T) -> T {
        with(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn cap(&self, mut timeout: NextTimeout) -> NextTimeout {
        timeout.after = timeout.after.min(time::Duration::Exact(self.left()));
        timeout
    }
}

impl Clock {
    fn stop(&mut self) {
        if let (Some(begun), Some(last)) = (self.running.take(), self.steps.last_mut()) {
            last.1 += begun.elapsed();
        }
    }
}

/// The sockets of the connections that are being made or kept, by which another thread can end them: shutdown(2) wakes
/// poll(2), recv(2) and, of most kernels, connect(2).
#[derive(Clone, Debug, Default)]
pub struct SocketHandle(Arc<Mutex<HandleState>>);

#[derive(Debug, Default)]
struct HandleState {
    shut_down: bool,
    streams: Vec<Weak<TcpStream>>,
}

impl SocketHandle {
    /// Ends what there is, and whatever is tried afterwards.
    pub fn shut_down(&self) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.shut_down = true;
        for stream in state.streams.iter().filter_map(Weak::upgrade) {
            // A socket that is no longer connected cannot be shut down, and need not be.
            let _ = stream.shutdown(std::net::Shutdown::Both);
        }
    }

    pub(super) fn is_shut_down(&self) -> bool {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.shut_down
    }

    pub(super) fn register(&self, stream: &Arc<TcpStream>) -> Result<(), Error> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if state.shut_down {
            return Err(Error::ConnectionFailed);
        }
        state.streams.push(Arc::downgrade(stream));
        Ok(())
    }
}

/// ureq's own resolver starts a thread that outlives the call; this one asks on the calling thread.
#[derive(Debug)]
pub struct CallingThreadResolver {
    pub look_up: LookUp,
    pub progress: Progress,
}

impl Resolver for CallingThreadResolver {
    fn resolve(&self, uri: &Uri, _: &Config, _: NextTimeout) -> Result<ResolvedSocketAddrs, Error> {
        self.progress.enter(Stage::Dns);
        let host = host_without_brackets(uri);
        let default_port = if uri.scheme_str() == Some("https") {
            443
        } else {
            80
        };
        let port = uri.port_u16().unwrap_or(default_port);
        let found = match host.parse::<IpAddr>() {
            Ok(address) => vec![SocketAddr::new(address, port)],
            Err(_) => (self.look_up)(host, port, self.progress.left())
                .map_err(|failed| Error::Other(Box::new(failed)))?,
        };
        let mut addresses = self.empty();
        // ureq's list has 16 places.
        in_turn(found)
            .into_iter()
            .take(16)
            .for_each(|address| addresses.push(address));
        if addresses.is_empty() {
            Err(Error::HostNotFound)
        } else {
            Ok(addresses)
        }
    }
}

/// Connects over TCP, by IPv4 or IPv6.
#[derive(Debug)]
pub struct TcpConnector {
    pub socket: SocketHandle,
    pub progress: Progress,
}

impl<In: Transport> Connector<In> for TcpConnector {
    type Out = Either<In, TcpTransport>;

    fn connect(
        &self,
        details: &ConnectionDetails,
        chained: Option<In>,
    ) -> Result<Option<Self::Out>, Error> {
        self.progress.enter(Stage::Connect);
        // A connection through a proxy is there already.
        if let Some(chained) = chained {
            return Ok(Some(Either::A(chained)));
        }
        let stream = connect(&details.addrs, &self.socket, &self.progress)?;
        stream.set_nodelay(true)?;
        let config = details.config;
        let buffers = LazyBuffers::new(config.input_buffer_size(), config.output_buffer_size());
        Ok(Some(Either::B(TcpTransport {
            stream,
            buffers,
            progress: self.progress.clone(),
            timeouts: [Duration::ZERO, SEND_TIMEOUT],
        })))
    }
}

/// A TCP connection that never waits past the deadline.
#[derive(Debug)]
pub struct TcpTransport {
    stream: Arc<TcpStream>,
    buffers: LazyBuffers,
    progress: Progress,
    /// The time-outs that the socket has, for reading and for writing.
    timeouts: [Duration; 2],
}

impl TcpTransport {
    /// The kernel is up to an eighth late with a socket's time-out; this is short enough for it to be punctual.
    const POLL_INTERVAL: Duration = Duration::from_millis(1500);

    /// How long the next system call may wait, `most` at most, if there is time at all.
    fn next_timeout(&self, timeout: NextTimeout, most: Duration) -> Result<Duration, Error> {
        let timeout = self.progress.cap(timeout);
        match timeout.after {
            time::Duration::Exact(left) if !left.is_zero() => Ok(left.min(most)),
            _ => Err(Error::Timeout(timeout.reason)),
        }
    }
}

/// As the time-out of a read: only what has arrived is wanted. No wait of ureq's is zero.
const WITHOUT_WAITING: time::Duration = time::Duration::Exact(Duration::ZERO);

fn waiting(after: time::Duration) -> NextTimeout {
    NextTimeout {
        after,
        ..NextTimeout::default()
    }
}

/// Whether a system call on a socket ended without a result, by its time-out or by a signal without `SA_RESTART`.
fn is_retryable(error: &io::Error) -> bool {
    use io::ErrorKind::{Interrupted, TimedOut, WouldBlock};
    matches!(error.kind(), Interrupted | TimedOut | WouldBlock)
}

impl Transport for TcpTransport {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        let mut sent = 0;
        while sent < amount {
            let wait = self.next_timeout(timeout, SEND_TIMEOUT)?;
            if mem::replace(&mut self.timeouts[1], wait) != wait {
                self.stream.set_write_timeout(Some(wait))?;
            }
            match (&*self.stream).write(&self.buffers.output()[sent..amount]) {
                Err(error) if is_retryable(&error) => {}
                written => sent += written?,
            }
        }
        Ok(())
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        if timeout.after == WITHOUT_WAITING {
            let amount = read_without_waiting(&self.stream, self.buffers.input_append_buf())?;
            // A server that always has more to say does not hold the deadline up.
            self.next_timeout(waiting(time::Duration::NotHappening), Self::POLL_INTERVAL)?;
            self.buffers.input_appended(amount);
            return Ok(amount > 0);
        }
        loop {
            let wait = self.next_timeout(timeout, Self::POLL_INTERVAL)?;
            if mem::replace(&mut self.timeouts[0], wait) != wait {
                self.stream.set_read_timeout(Some(wait))?;
            }
            match (&*self.stream).read(self.buffers.input_append_buf()) {
                Err(error) if is_retryable(&error) => {}
                read => {
                    let amount = read?;
                    self.buffers.input_appended(amount);
                    return Ok(amount > 0);
                }
            }
        }
    }

    fn is_open(&mut self) -> bool {
        false
    }
}

/// TLS 1.2 or 1.3, the certificate and its name always verified.
#[derive(Debug)]
pub struct TlsConnector {
    pub roots: Arc<Roots>,
    pub progress: Progress,
}

impl<In: Transport> Connector<In> for TlsConnector {
    type Out = Either<In, TlsTransport>;

    fn connect(
        &self,
        details: &ConnectionDetails,
        chained: Option<In>,
    ) -> Result<Option<Self::Out>, Error> {
        let transport = chained.ok_or(Error::ConnectionFailed)?;
        // The connection to a proxy passes here too, without TLS; its CONNECT is still part of connecting.
        if !details.needs_tls() {
            return Ok(Some(Either::A(transport)));
        }
        let stream = self.handshake(details, transport.boxed())?;
        let config = details.config;
        Ok(Some(Either::B(TlsTransport {
            stream,
            buffers: LazyBuffers::new(config.input_buffer_size(), config.output_buffer_size()),
            progress: self.progress.clone(),
            request: Zeroizing::default(),
            is_checked: false,
            is_used: false,
        })))
    }
}

impl TlsConnector {
    /// The whole handshake, over a connection that is open.
    pub(super) fn handshake(
        &self,
        details: &ConnectionDetails,
        transport: Box<dyn Transport>,
    ) -> Result<TlsStream, Error> {
        self.progress.enter(Stage::Tls);
        let config = self.roots.client_config();
        let config = config.map_err(|error| Error::Other(Box::new(error)))?;
        let name = ServerName::try_from(host_without_brackets(details.uri))
            .map_err(|_| Error::Tls("the host of api.url is no name for TLS"))?;
        let mut connection = ClientConnection::new(config, name.to_owned())?;
        let mut socket = TransportAdapter::new(transport, Arc::clone(&details.current_time));
        socket.set_timeout(details.timeout);
        let mut socket = Records::new(socket);
        connection.complete_io(&mut socket)?;
        Ok(StreamOwned::new(connection, socket))
    }
}

/// The host of a URL, an IPv6 address without its brackets.
fn host_without_brackets(uri: &Uri) -> &str {
    let host = uri.host().unwrap_or_default();
    host.trim_start_matches('[').trim_end_matches(']')
}

/// TLS over a transport.
pub(super) type TlsStream = StreamOwned<ClientConnection, Records<TransportAdapter>>;

/// The connection as HTTP sees it. A request is written as a whole, when its answer is first waited for: so nothing can
/// arrive between its parts.
pub struct TlsTransport {
    stream: TlsStream,
    buffers: LazyBuffers,
    progress: Progress,
    /// What is not yet written.
    request: Zeroizing<Vec<u8>>,
    /// Whether [`Transport::is_open`] has just looked for an early answer.
    is_checked: bool,
    /// Whether a byte of a request may have left.
    is_used: bool,
}

impl fmt::Debug for TlsTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TlsTransport")
    }
}

impl TlsTransport {
    fn send_request(&mut self, timeout: NextTimeout) -> Result<(), Error> {
        if !mem::take(&mut self.is_checked) {
            self.refuse_early_answer(timeout)?;
        }
        self.stream.sock.inner.set_timeout(timeout);
        self.is_used = true;
        let request = mem::take(&mut self.request);
        self.stream.write_all(&request)?;
        Ok(self.stream.flush()?)
    }

    /// Takes what has arrived before a request: session tickets (RFC 8446 section 4.6.1) and nothing else. A record that
    /// has begun is waited for, as long as `rest` says.
    fn refuse_early_answer(&mut self, rest: NextTimeout) -> Result<(), Error> {
        loop {
            let state = self.stream.conn.process_new_packets()?;
            if state.plaintext_bytes_to_read() > 0 {
                return Err(Error::Other(Box::new(EarlyAnswer)));
            }
            let socket = &mut self.stream.sock;
            let is_complete = socket.is_complete();
            let timeout = if is_complete {
                waiting(WITHOUT_WAITING)
            } else {
                rest
            };
            socket.inner.set_timeout(timeout);
            match self.stream.conn.read_tls(socket) {
                Err(error) if is_complete && error.kind() == io::ErrorKind::WouldBlock => {
                    return Ok(());
                }
                // Also after a close_notify.
                Ok(0) => return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
                read => drop(read?),
            }
        }
    }
}

impl Transport for TlsTransport {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, _: NextTimeout) -> Result<(), Error> {
        self.progress.enter(Stage::Request);
        let output = &self.buffers.output()[..amount];
        self.request.extend_from_slice(output);
        Ok(())
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        if !self.request.is_empty() {
            self.send_request(timeout)?;
        }
        self.progress.enter(Stage::Answer);
        self.stream.sock.inner.set_timeout(timeout);
        let amount = self.stream.read(self.buffers.input_append_buf())?;
        self.buffers.input_appended(amount);
        Ok(amount > 0)
    }

    /// Whether a first request can be sent; nothing is sent after it.
    fn is_open(&mut self) -> bool {
        self.is_checked =
            !self.is_used && self.refuse_early_answer(waiting(WITHOUT_WAITING)).is_ok();
        self.is_checked
    }

    fn is_tls(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ureq::Agent;

    /// Linux 6.4 to 6.6 refuse to shut a socket down while connect(2) waits (`EBUSY`).
    #[test]
    #[cfg_attr(miri, ignore = "Miri has no sockets")]
    fn an_attempt_whose_socket_could_not_be_shut_down_ends_as_well() {
        let hole = support::server::black_hole((std::net::Ipv4Addr::LOCALHOST, 0).into());
        let address = hole.0.local_addr().unwrap();
        let (socket, progress) = (
            SocketHandle::default(),
            Progress::begin(Duration::from_secs(5)),
        );
        let failure = std::thread::scope(|scope| {
            let connecting = scope.spawn(|| connect(&[address], &socket, &progress));
            std::thread::sleep(Duration::from_millis(50));
            socket.0.lock().unwrap().shut_down = true;
            connecting.join().unwrap().unwrap_err()
        });
        assert!(!matches!(failure, Error::Timeout(_)), "{failure}");
    }

    /// A server that always has more to say before the request is sent.
    #[test]
    #[cfg_attr(miri, ignore = "Miri has no sockets")]
    fn what_has_arrived_is_not_taken_after_the_deadline() {
        let listener = std::net::TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0)).unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        listener.accept().unwrap().0.write_all(b"more").unwrap();
        assert_eq!(stream.peek(&mut [0]).unwrap(), 1);
        let read_within = |time| {
            let mut transport = TcpTransport {
                stream: Arc::new(stream.try_clone().unwrap()),
                buffers: LazyBuffers::new(2, 2),
                progress: Progress::begin(time),
                timeouts: [Duration::ZERO, SEND_TIMEOUT],
            };
            transport.await_input(waiting(WITHOUT_WAITING))
        };
        assert!(read_within(Duration::from_secs(60)).unwrap());
        assert!(matches!(
            read_within(Duration::ZERO),
            Err(Error::Timeout(_))
        ));
    }

    /// The name server may give more addresses of one family than are tried.
    #[test]
    fn addresses_of_both_families_are_among_those_that_are_tried() {
        let resolver = CallingThreadResolver {
            look_up: |_, port, _| {
                let v6 = (1..=20).map(|last| IpAddr::from([0, 0, 0, 0, 0, 0, 0, last]));
                let all = v6.chain([IpAddr::from([192, 0, 2, 1])]);
                Ok(all.map(|address| (address, port).into()).collect())
            },
            progress: Progress::begin(Duration::from_secs(1)),
        };
        let uri = Uri::from_static("https://valid.example");
        let config = Agent::config_builder().build();
        let found = resolver
            .resolve(&uri, &config, NextTimeout::default())
            .unwrap();
        let first: Vec<_> = found.iter().take(3).map(ToString::to_string).collect();
        assert_eq!(first, ["[::1]:443", "192.0.2.1:443", "[::2]:443"]);
        assert_eq!(found.len(), 16);
    }
}
