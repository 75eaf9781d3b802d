//! The connection is made while the person types: one thread for one connection, gone when the call returns.

use std::fmt;
use std::net::TcpStream;
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{ConnectionDetails, Connector, NextTimeout, Transport};
use ureq::{Agent, Error, Timeout};

use super::transport::{Enough, Line, Progress, Stage};
use crate::sys::Platform;

/// Idle time-outs of servers and firewalls begin at a minute; an older connection is made anew.
const FRESH: Duration = Duration::from_secs(50);
/// What failed longer ago may go well by now, and is tried anew; what failed just now is not.
const LONG_AGO: Duration = Duration::from_secs(1);

/// Where a connection waits for its request.
#[derive(Clone, Debug, Default)]
pub struct Berth(Arc<Mutex<Option<Box<dyn Transport>>>>);

impl Berth {
    /// A connection comes in.
    pub fn moor(&self, transport: Box<dyn Transport>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(transport);
    }

    /// It goes out again.
    pub fn leave(&self) -> Option<Box<dyn Transport>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn holds(&self) -> bool {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .is_some()
    }
}

/// The end of the way for whoever is sent ahead. No request gets past it: every connection to iVALT waits in the berth.
pub struct IntoBerth<C> {
    pub way: C,
    pub berth: Berth,
    pub progress: Progress,
}

impl<C> fmt::Debug for IntoBerth<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("IntoBerth")
    }
}

impl<C: Connector<()>> Connector<()> for IntoBerth<C> {
    type Out = Box<dyn Transport>;

    fn connect(
        &self,
        details: &ConnectionDetails,
        chained: Option<()>,
    ) -> Result<Option<Self::Out>, Error> {
        let transport = self.way.connect(details, chained)?;
        let transport = transport.ok_or(Error::ConnectionFailed)?.boxed();
        // ureq connects to a proxy by the same way; only CONNECT is sent over that, and it is not the one that waits.
        if !details.needs_tls() {
            return Ok(Some(transport));
        }
        self.progress.pause();
        self.berth.moor(transport);
        Err(Error::Other(Box::new(Enough)))
    }
}

/// The way of a request: by the connection that waits, if there is one.
pub struct FromBerth<C> {
    pub way: C,
    pub berth: Berth,
}

impl<C> fmt::Debug for FromBerth<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FromBerth")
    }
}

impl<C: Connector<()>> Connector<()> for FromBerth<C> {
    type Out = Box<dyn Transport>;

    fn connect(
        &self,
        details: &ConnectionDetails,
        chained: Option<()>,
    ) -> Result<Option<Self::Out>, Error> {
        match self.berth.leave() {
            Some(waiting) => Ok(Some(waiting)),
            None => Ok(self.way.connect(details, chained)?.map(Transport::boxed)),
        }
    }
}

/// No name is looked up for a connection that waits.
#[derive(Debug)]
pub struct LookUpUnlessConnected<R> {
    pub resolver: R,
    pub berth: Berth,
}

impl<R: Resolver> Resolver for LookUpUnlessConnected<R> {
    fn resolve(
        &self,
        uri: &Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, Error> {
        if self.berth.holds() {
            Ok(self.empty())
        } else {
            self.resolver.resolve(uri, config, timeout)
        }
    }
}

/// A connection on its way. Dropped, it is cut, and its thread is over.
pub struct Ahead {
    thread: Option<JoinHandle<()>>,
    /// When the thread was over, and why.
    over: Receiver<(Instant, Option<Error>)>,
    line: Line,
    berth: Berth,
}

impl Ahead {
    /// Sends `agent` ahead, whose connections end in `berth` and can be cut by `line`. `None` where no thread can be
    /// had: then the connection is made after the answer.
    pub fn begin(
        platform: Platform,
        agent: Agent,
        url: &str,
        line: Line,
        berth: Berth,
    ) -> Option<Self> {
        let (sender, over) = channel();
        let url = url.to_owned();
        let way = move || {
            let error = agent.post(url).send_empty().err();
            let _ = sender.send((Instant::now(), error));
        };
        let thread = Some((platform.spawn)(Box::new(way)).ok()?);
        Some(Self {
            thread,
            over,
            line,
            berth,
        })
    }

    /// Waits for the connection, if it is still on its way. `None` where a new one is to be made.
    ///
    /// # Errors
    /// It failed while it was waited for, or a moment before.
    pub fn arrive(
        mut self,
        platform: Platform,
        progress: &Progress,
    ) -> Result<Option<Box<dyn Transport>>, Error> {
        let (since, error) = match self.over.try_recv() {
            Err(TryRecvError::Empty) => self.wait(progress)?,
            Err(TryRecvError::Disconnected) => return Ok(None),
            Ok(over) => over,
        };
        match error {
            Some(Error::Other(error)) if error.is::<Enough>() => Ok(self.fresh(platform, since)),
            Some(error) if since.elapsed() < LONG_AGO => Err(error),
            _ => Ok(None),
        }
    }

    fn wait(&mut self, progress: &Progress) -> Result<(Instant, Option<Error>), Error> {
        match self.over.recv_timeout(progress.left()) {
            Ok(over) => return Ok(over),
            // A panic.
            Err(RecvTimeoutError::Disconnected) => return Ok((Instant::now(), None)),
            Err(RecvTimeoutError::Timeout) => {}
        }
        let stage = progress.stage();
        self.line.cut();
        self.join();
        match self.over.try_recv() {
            // A look-up cannot be cut short, so its own word is there by now.
            Ok(over) if stage == Stage::Dns => Ok(over),
            _ => Err(Error::Timeout(Timeout::Global)),
        }
    }

    fn fresh(&mut self, platform: Platform, since: Instant) -> Option<Box<dyn Transport>> {
        self.join();
        let waiting = self.berth.leave()?;
        let stands = |stream: Arc<TcpStream>| !(platform.hung_up)(&stream);
        (since.elapsed() < FRESH && self.line.stream().is_some_and(stands)).then_some(waiting)
    }

    /// A panic in it has left no word and no connection.
    fn join(&mut self) {
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for Ahead {
    fn drop(&mut self) {
        if self.thread.is_some() {
            self.line.cut();
            self.join();
        }
    }
}
