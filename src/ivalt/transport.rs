//! The parts of a connection that ureq lets us choose: name look-up on the calling thread, where the call
//! stands when it fails, and buffers that are wiped.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use ureq::Error;
use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, NextTimeout, TcpConnector, Transport, time,
};
use zeroize::Zeroize;

/// Looks a host name up on the calling thread within about `budget`, and leaves no thread behind.
pub type LookUp =
    fn(host: &str, port: u16, budget: Duration) -> Result<Vec<SocketAddr>, LookUpFailed>;

/// Why a name has no address, in words for the log.
#[derive(Debug)]
pub struct LookUpFailed(pub &'static str);

impl fmt::Display for LookUpFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for LookUpFailed {}

/// The steps of a validation, as the log names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Name look-up.
    Dns,
    /// TCP, and the proxy's CONNECT.
    Connect,
    /// TLS handshake.
    Tls,
    /// The request goes out.
    Request,
    /// The answer comes in.
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

/// How far a validation has come, shared by the parts of its connection.
#[derive(Clone, Debug)]
pub struct Progress {
    deadline: Instant,
    steps: Arc<Mutex<Vec<(Stage, Instant)>>>,
}

impl Progress {
    /// A validation that must be over after `timeout`.
    pub fn begin(timeout: Duration) -> Self {
        Self {
            deadline: Instant::now() + timeout,
            steps: Arc::default(),
        }
    }

    /// Where the validation stands; before anything happened, at the name look-up.
    pub fn stage(&self) -> Stage {
        self.steps
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .last()
            .map_or(Stage::Dns, |step| step.0)
    }

    /// `dns 2 ms, connect 11 ms, …` for `debug`.
    pub fn durations(&self) -> String {
        let words = |(stage, time): (Stage, Duration)| format!("{stage} {} ms", time.as_millis());
        self.times()
            .into_iter()
            .map(words)
            .collect::<Vec<_>>()
            .join(", ")
    }

    /// How long each step took; the last one until now.
    pub fn times(&self) -> Vec<(Stage, Duration)> {
        let steps = self.steps.lock().unwrap_or_else(PoisonError::into_inner);
        let ends = steps
            .iter()
            .skip(1)
            .map(|step| step.1)
            .chain([Instant::now()]);
        let times = steps.iter().zip(ends);
        times.map(|(step, end)| (step.0, end - step.1)).collect()
    }

    pub(super) fn enter(&self, stage: Stage) {
        let mut steps = self.steps.lock().unwrap_or_else(PoisonError::into_inner);
        if steps.last().is_none_or(|last| last.0 != stage) {
            steps.push((stage, Instant::now()));
        }
    }

    fn left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    fn cap(&self, mut timeout: NextTimeout) -> NextTimeout {
        timeout.after = timeout.after.min(time::Duration::Exact(self.left()));
        timeout
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
        let host = uri
            .host()
            .unwrap_or_default()
            .trim_start_matches('[')
            .trim_end_matches(']');
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
        found
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

/// ureq's TCP connector, kept to what is left of the time: for a connection to a proxy, ureq grants it the whole again.
#[derive(Debug)]
pub struct Tcp {
    tcp: TcpConnector,
    progress: Progress,
}

impl Tcp {
    pub fn new(progress: Progress) -> Self {
        Self {
            tcp: TcpConnector::default(),
            progress,
        }
    }
}

impl<In: Transport> Connector<In> for Tcp {
    type Out = Bounded<<TcpConnector as Connector<In>>::Out>;

    fn connect(
        &self,
        details: &ConnectionDetails,
        chained: Option<In>,
    ) -> Result<Option<Self::Out>, Error> {
        self.progress.enter(Stage::Connect);
        let timeout = self.progress.cap(details.timeout);
        if timeout.after.is_zero() {
            // ureq would grant a second.
            return Err(Error::Timeout(timeout.reason));
        }
        let stream = match chained {
            // A connection through a proxy is there already.
            Some(_) => self.tcp.connect(details, chained)?,
            None => self.connect_one_by_one(details, timeout)?,
        };
        Ok(stream.map(|inner| Bounded {
            inner,
            progress: self.progress.clone(),
        }))
    }
}

impl Tcp {
    /// Every address has its share of the time, and an error of one, whichever it is, leaves the others: ureq gives the
    /// first more than half, and gives up at errors that a filter in the network can cause.
    fn connect_one_by_one<In: Transport>(
        &self,
        details: &ConnectionDetails,
        timeout: NextTimeout,
    ) -> Result<Option<<TcpConnector as Connector<In>>::Out>, Error> {
        let mut result = Err(Error::HostNotFound);
        for (index, address) in details.addrs.iter().enumerate() {
            let mut share = timeout;
            let others = u32::try_from(details.addrs.len() - index).unwrap_or(1);
            share.after = time::Duration::Exact(self.progress.left() / others);
            result = self
                .tcp
                .connect(&alone(details, *address, share), None::<In>);
            if result.is_ok() || self.progress.left().is_zero() {
                break;
            }
        }
        result
    }
}

/// The same connection to one of its addresses.
fn alone<'a>(
    details: &ConnectionDetails<'a>,
    address: SocketAddr,
    timeout: NextTimeout,
) -> ConnectionDetails<'a> {
    let mut addrs = details.resolver.empty();
    addrs.push(address);
    ConnectionDetails {
        uri: details.uri,
        addrs,
        config: details.config,
        request_level: details.request_level,
        resolver: details.resolver,
        now: details.now,
        timeout,
        current_time: Arc::clone(&details.current_time),
        run_connector: Arc::clone(&details.run_connector),
        register_shutdown: Arc::clone(&details.register_shutdown),
    }
}

/// Notes that what was about a connection, a proxy's CONNECT included, is over, and the target's TLS begins.
#[derive(Debug)]
pub struct EnterTls(pub Progress);

impl<In: Transport> Connector<In> for EnterTls {
    type Out = In;

    fn connect(
        &self,
        details: &ConnectionDetails,
        chained: Option<In>,
    ) -> Result<Option<In>, Error> {
        if details.needs_tls() {
            self.0.enter(Stage::Tls);
        }
        Ok(chained)
    }
}

/// A connection that never waits past the deadline: ureq grants a proxy its whole time-out for every read anew, and
/// the kernel is up to an eighth late with a socket's time-out.
#[derive(Debug)]
pub struct Bounded<T: Transport> {
    inner: T,
    progress: Progress,
}

impl<T: Transport> Bounded<T> {
    /// Short enough for the kernel to be punctual.
    const SLICE: Duration = Duration::from_millis(1500);
}

impl<T: Transport> Transport for Bounded<T> {
    fn buffers(&mut self) -> &mut dyn Buffers {
        self.inner.buffers()
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        self.inner
            .transmit_output(amount, self.progress.cap(timeout))
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        loop {
            let mut slice = self.progress.cap(timeout);
            slice.after = slice.after.min(time::Duration::Exact(Self::SLICE));
            match self.inner.await_input(slice) {
                Err(Error::Timeout(_)) if !self.progress.left().is_zero() => {}
                result => return result,
            }
        }
    }

    fn is_open(&mut self) -> bool {
        self.inner.is_open()
    }

    fn is_tls(&self) -> bool {
        self.inner.is_tls()
    }
}

/// The last connector: the connection is ready for the request.
#[derive(Debug)]
pub struct Wipe(pub Progress);

impl<In: Transport> Connector<In> for Wipe {
    type Out = Wiped<In>;

    fn connect(
        &self,
        _: &ConnectionDetails,
        chained: Option<In>,
    ) -> Result<Option<Wiped<In>>, Error> {
        Ok(chained.map(|inner| Wiped {
            inner,
            progress: self.0.clone(),
        }))
    }
}

/// A connection that wipes its buffers, which held API key and token in the clear.
#[derive(Debug)]
pub struct Wiped<T: Transport> {
    inner: T,
    progress: Progress,
}

impl<T: Transport> Wiped<T> {
    /// The bare connection to a proxy passes here too; its CONNECT is still part of connecting.
    fn enter(&self, stage: Stage) {
        if self.inner.is_tls() {
            self.progress.enter(stage);
        }
    }
}

impl<T: Transport> Transport for Wiped<T> {
    fn buffers(&mut self) -> &mut dyn Buffers {
        self.inner.buffers()
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        self.enter(Stage::Request);
        self.inner.transmit_output(amount, timeout)
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        self.enter(Stage::Answer);
        self.inner.await_input(timeout)
    }

    fn is_open(&mut self) -> bool {
        // Connections are not reused, and asking a TLS 1.3 connection spoils it.
        false
    }

    fn is_tls(&self) -> bool {
        self.inner.is_tls()
    }
}

impl<T: Transport> Drop for Wiped<T> {
    fn drop(&mut self) {
        let buffers = self.inner.buffers();
        buffers.output().zeroize();
        buffers.input_consume(buffers.input().len());
        buffers.input_append_buf().zeroize();
    }
}
