//! The connection is made while the user types: one thread for one connection, gone when the call returns.

use std::fmt;
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{ConnectionDetails, Connector, NextTimeout, Transport};
use ureq::{Agent, Error, Timeout};

use super::local_fault::is_local_fault;
use super::transport::{ConnectOnly, Progress, SocketHandle, Stage};
use crate::sys::Platform;

/// Idle time-outs of servers and firewalls begin at a minute; for a connection that waited longer a new one is made.
const MAX_IDLE: Duration = Duration::from_secs(50);
/// A connection that failed longer ago is tried again, since it may succeed by now; one that failed just now is not.
const RETRY_FAILED_AFTER: Duration = Duration::from_secs(1);

/// Where a connection waits for its request.
#[derive(Clone, Debug, Default)]
pub struct ConnectionSlot(Arc<Mutex<Option<Box<dyn Transport>>>>);

impl ConnectionSlot {
    /// Keeps a connection.
    pub fn put(&self, transport: Box<dyn Transport>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(transport);
    }

    /// The connection, if there is one; the slot is empty then.
    pub fn take(&self) -> Option<Box<dyn Transport>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn is_full(&self) -> bool {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .is_some()
    }
}

/// The last connector of a preconnection. No request gets past it: every connection to iVALT goes into the slot.
pub struct StoreInSlot<C> {
    pub connector: C,
    pub slot: ConnectionSlot,
    pub progress: Progress,
}

impl<C> fmt::Debug for StoreInSlot<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StoreInSlot")
    }
}

impl<C: Connector<()>> Connector<()> for StoreInSlot<C> {
    type Out = Box<dyn Transport>;

    fn connect(
        &self,
        details: &ConnectionDetails,
        chained: Option<()>,
    ) -> Result<Option<Self::Out>, Error> {
        let transport = self.connector.connect(details, chained)?;
        let transport = transport.ok_or(Error::ConnectionFailed)?.boxed();
        // ureq connects to a proxy by the same connector; only CONNECT is sent over that, and it is not the one that
        // waits.
        if !details.needs_tls() {
            return Ok(Some(transport));
        }
        self.progress.pause();
        self.slot.put(transport);
        Err(Error::Other(Box::new(ConnectOnly)))
    }
}

/// The connector of a request: takes the connection that waits, if there is one.
pub struct TakeFromSlot<C> {
    pub connector: C,
    pub slot: ConnectionSlot,
}

impl<C> fmt::Debug for TakeFromSlot<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TakeFromSlot")
    }
}

impl<C: Connector<()>> Connector<()> for TakeFromSlot<C> {
    type Out = Box<dyn Transport>;

    fn connect(
        &self,
        details: &ConnectionDetails,
        chained: Option<()>,
    ) -> Result<Option<Self::Out>, Error> {
        match self.slot.take() {
            Some(waiting) => Ok(Some(waiting)),
            None => Ok(self
                .connector
                .connect(details, chained)?
                .map(Transport::boxed)),
        }
    }
}

/// No name is looked up while a connection waits.
#[derive(Debug)]
pub struct SkipDnsIfConnected<R> {
    pub resolver: R,
    pub slot: ConnectionSlot,
}

impl<R: Resolver> Resolver for SkipDnsIfConnected<R> {
    fn resolve(
        &self,
        uri: &Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, Error> {
        if self.slot.is_full() {
            Ok(self.empty())
        } else {
            self.resolver.resolve(uri, config, timeout)
        }
    }
}

/// A connection that is being made by a thread of its own. Dropping it shuts the connection down and ends the thread.
pub struct Preconnect {
    thread: Option<JoinHandle<()>>,
    /// When the thread ended, and why.
    ended: Receiver<(Instant, Option<Error>)>,
    socket: SocketHandle,
    slot: ConnectionSlot,
}

impl Preconnect {
    /// Starts a thread in which `agent` connects; its connections go into `slot` and can be shut down by `socket`.
    /// `None` where no thread can be started: then the connection is made after the answer.
    pub fn start(
        platform: Platform,
        agent: Agent,
        url: &str,
        socket: SocketHandle,
        slot: ConnectionSlot,
    ) -> Option<Self> {
        let (sender, ended) = channel();
        let url = url.to_owned();
        let connect = move || {
            let error = agent.post(url).send_empty().err();
            let _ = sender.send((Instant::now(), error));
        };
        let thread = Some((platform.spawn)(Box::new(connect)).ok()?);
        Some(Self {
            thread,
            ended,
            socket,
            slot,
        })
    }

    /// Waits for the connection, if it is still being made. `None` where a new one is to be made.
    ///
    /// # Errors
    /// It failed while it was waited for, or a moment before.
    pub fn finish(mut self, progress: &Progress) -> Result<Option<Box<dyn Transport>>, Error> {
        let (since, error) = match self.ended.try_recv() {
            Err(TryRecvError::Empty) => self.wait(progress)?,
            Err(TryRecvError::Disconnected) => return Ok(None),
            Ok(ended) => ended,
        };
        match error {
            Some(Error::Other(error)) if error.is::<ConnectOnly>() => {
                self.join();
                let waiting = self.slot.take();
                Ok(waiting.and_then(|waiting| usable(waiting, since)))
            }
            Some(error) if since.elapsed() < RETRY_FAILED_AFTER => Err(error),
            _ => Ok(None),
        }
    }

    fn wait(&mut self, progress: &Progress) -> Result<(Instant, Option<Error>), Error> {
        match self.ended.recv_timeout(progress.left()) {
            Ok(ended) => return Ok(ended),
            // A panic.
            Err(RecvTimeoutError::Disconnected) => return Ok((Instant::now(), None)),
            Err(RecvTimeoutError::Timeout) => {}
        }
        let stage = progress.stage();
        self.socket.shut_down();
        self.join();
        match self.ended.try_recv() {
            // A look-up cannot be interrupted, so its own error is there by now.
            Ok(ended) if stage == Stage::Dns => Ok(ended),
            Ok((since, Some(error))) if is_local_fault(&error) => Ok((since, Some(error))),
            _ => Err(Error::Timeout(Timeout::Global)),
        }
    }

    /// A panic in it has left no error and no connection.
    fn join(&mut self) {
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// The connection, if nothing has happened to it since.
fn usable(mut waiting: Box<dyn Transport>, since: Instant) -> Option<Box<dyn Transport>> {
    (since.elapsed() < MAX_IDLE && waiting.is_open()).then_some(waiting)
}

impl Drop for Preconnect {
    fn drop(&mut self) {
        if self.thread.is_some() {
            self.socket.shut_down();
            self.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ureq::unversioned::transport::Buffers;

    #[derive(Debug)]
    struct Waiting {
        open: bool,
    }

    impl Transport for Waiting {
        fn buffers(&mut self) -> &mut dyn Buffers {
            unreachable!("nothing is sent or read")
        }

        fn transmit_output(&mut self, _: usize, _: NextTimeout) -> Result<(), Error> {
            unreachable!("nothing is sent")
        }

        fn await_input(&mut self, _: NextTimeout) -> Result<bool, Error> {
            unreachable!("nothing is read")
        }

        fn is_open(&mut self) -> bool {
            self.open
        }
    }

    /// Gateways close idle connections, some without a word.
    #[test]
    fn a_connection_that_has_waited_for_long_is_not_used() {
        let is_used =
            |(open, idle)| usable(Waiting { open }.boxed(), Instant::now() - idle).is_some();
        let rows = [
            (true, Duration::ZERO),
            (true, MAX_IDLE),
            (false, Duration::ZERO),
        ];
        assert_eq!(rows.map(is_used), [true, false, false]);
    }
}
