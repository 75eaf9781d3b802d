//! Connecting to the first of several addresses that answers (RFC 8305), on one thread.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, SockRef, Socket, Type};
use ureq::{Error, Timeout};

use super::local_fault::is_local_fault;
use super::transport::{Progress, SocketHandle};
use crate::sys::first_decided;

/// An address that has not answered for so long does not keep the next from being tried as well (RFC 8305 section 5).
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// `SO_SNDTIMEO` of every connection: how long connect(2) or one write may wait.
pub const SEND_TIMEOUT: Duration = ATTEMPT_DELAY;
/// Where others are waited for at the same time. Zero would be without end; the kernel makes it one tick of its clock.
const ONE_TICK: Duration = Duration::from_micros(1);

/// The same addresses, the families in turn, the first one's first (RFC 8305 section 4).
pub fn in_turn(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let is_ipv6 = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let is_first = |address: &SocketAddr| address.is_ipv6() == is_ipv6;
    let (first, second): (Vec<_>, Vec<_>) = addresses.into_iter().partition(is_first);
    let pair = |at| [first.get(at), second.get(at)];
    let pairs = (0..first.len().max(second.len())).flat_map(pair);
    pairs.flatten().copied().collect()
}

/// Connects to the first of these addresses that answers; the attempts at the others end with that.
///
/// # Errors
/// The time is over; or each has failed, then that of the last that did.
pub fn connect(
    addresses: &[SocketAddr],
    socket: &SocketHandle,
    progress: &Progress,
) -> Result<Arc<TcpStream>, Error> {
    let attempts = Attempts {
        addresses,
        socket,
        progress,
        delay: delay(progress.left(), addresses.len()),
        pending: Vec::new(),
        next: Instant::now(),
        failure: Error::HostNotFound,
    };
    attempts.first()
}

/// However little time there is, each address has its turn.
fn delay(left: Duration, addresses: usize) -> Duration {
    let count = u32::try_from(addresses).unwrap_or(u32::MAX);
    ATTEMPT_DELAY.min(left.checked_div(count).unwrap_or_default())
}

struct Attempts<'a> {
    /// Those that were not tried yet.
    addresses: &'a [SocketAddr],
    socket: &'a SocketHandle,
    progress: &'a Progress,
    delay: Duration,
    pending: Vec<Arc<TcpStream>>,
    /// When the next address is tried.
    next: Instant,
    /// Of the last that failed, see `note`.
    failure: Error,
}

impl Attempts<'_> {
    fn first(mut self) -> Result<Arc<TcpStream>, Error> {
        loop {
            if self.progress.left().is_zero() {
                self.note(Error::Timeout(Timeout::Connect));
                return Err(self.failure);
            }
            if self.pending.is_empty() || Instant::now() >= self.next {
                match self.addresses.split_first() {
                    Some((address, rest)) => {
                        self.addresses = rest;
                        if let Some(stream) = self.begin(*address) {
                            return Ok(stream);
                        }
                    }
                    None if self.pending.is_empty() => return Err(self.failure),
                    None => {}
                }
            }
            if let Some(stream) = self.wait()? {
                return Ok(stream);
            }
        }
    }

    /// A fault of this host is what counts in the end: without it, this attempt might have succeeded.
    fn note(&mut self, failure: Error) {
        if !is_local_fault(&self.failure) {
            self.failure = failure;
        }
    }

    /// The connection, where it is made before the next is to be tried.
    fn begin(&mut self, address: SocketAddr) -> Option<Arc<TcpStream>> {
        let is_alone = self.pending.is_empty() && self.delay == SEND_TIMEOUT;
        let timeout = if is_alone { SEND_TIMEOUT } else { ONE_TICK };
        let next = Instant::now() + self.delay;
        match begin(address, self.socket, timeout) {
            Ok((stream, true)) => return Some(stream),
            Ok((stream, false)) => {
                self.pending.push(stream);
                self.next = next;
            }
            Err(error) => self.note(error),
        }
        None
    }

    /// The first that is connected, waiting for it until the next is to be tried.
    fn wait(&mut self) -> Result<Option<Arc<TcpStream>>, Error> {
        let mut timeout = self.progress.left();
        if !self.addresses.is_empty() {
            timeout = timeout.min(self.next.saturating_duration_since(Instant::now()));
        }
        while !self.pending.is_empty() {
            let pending = self.pending.iter().map(|stream| &**stream);
            let Some(decided) = first_decided(pending, timeout)? else {
                break;
            };
            let stream = self.pending.remove(decided);
            match finish(&stream) {
                Ok(()) => return Ok(Some(stream)),
                Err(error) => self.note(error),
            }
            // The next is tried at once, unless another is connected already.
            (self.next, timeout) = (Instant::now(), Duration::ZERO);
        }
        Ok(None)
    }
}

/// Waits for the connection for `timeout`, and whether it is made by then. A socket that blocks needs neither poll(2) nor
/// fcntl(2), and goes on connecting when its time-out or a signal has ended the call.
fn begin(
    address: SocketAddr,
    handle: &SocketHandle,
    timeout: Duration,
) -> Result<(Arc<TcpStream>, bool), Error> {
    let domain = Domain::for_address(address);
    let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
    let stream = Arc::new(TcpStream::from(socket));
    handle.register(&stream)?;
    stream.set_write_timeout(Some(timeout))?;
    let begun = SockRef::from(&*stream).connect(&address.into());
    // Linux 6.4 to 6.6 do not shut a socket down while connect(2) waits (EBUSY).
    if handle.is_shut_down() {
        return Err(Error::ConnectionFailed);
    }
    match begun {
        Ok(()) if timeout == SEND_TIMEOUT => Ok((stream, true)),
        Ok(()) => Ok((stream, false)),
        Err(error) if matches!(error.raw_os_error(), Some(libc::EINPROGRESS | libc::EINTR)) => {
            Ok((stream, false))
        }
        Err(error) => Err(failure(error)),
    }
}

fn failure(error: io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::TimedOut => Error::Timeout(Timeout::Connect),
        _ => error.into(),
    }
}

/// What poll(2) does not say: whether the connection was made.
fn finish(stream: &TcpStream) -> Result<(), Error> {
    if let Some(error) = stream.take_error()? {
        return Err(failure(error));
    }
    // It has none where it was shut down meanwhile.
    stream.peer_addr()?;
    Ok(stream.set_write_timeout(Some(SEND_TIMEOUT))?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read as _;
    use std::net::{Ipv4Addr, TcpListener};
    use std::thread;
    use support::server::black_hole;

    const LOOPBACK: (Ipv4Addr, u16) = (Ipv4Addr::LOCALHOST, 0);

    fn connect_within(addresses: &[SocketAddr], seconds: u64) -> Result<SocketAddr, Error> {
        let progress = Progress::begin(Duration::from_secs(seconds));
        let stream = connect(addresses, &SocketHandle::default(), &progress)?;
        Ok(stream.peer_addr().unwrap())
    }

    fn refusing() -> SocketAddr {
        TcpListener::bind(LOOPBACK).unwrap().local_addr().unwrap()
    }

    #[test]
    fn families_are_tried_in_turn() {
        let parse = |list: &str| -> Vec<SocketAddr> {
            list.split(' ').map(|text| text.parse().unwrap()).collect()
        };
        for (from, to) in [
            (
                "[::1]:1 [::2]:1 [::3]:1 1.1.1.1:1",
                "[::1]:1 1.1.1.1:1 [::2]:1 [::3]:1",
            ),
            (
                "1.1.1.1:1 1.1.1.2:1 [::1]:1 [::2]:1",
                "1.1.1.1:1 [::1]:1 1.1.1.2:1 [::2]:1",
            ),
            ("1.1.1.1:1 1.1.1.2:1", "1.1.1.1:1 1.1.1.2:1"),
        ] {
            assert_eq!(in_turn(parse(from)), parse(to));
        }
        assert_eq!(in_turn(Vec::new()), []);
    }

    #[test]
    fn every_address_has_its_turn() {
        let seconds = Duration::from_secs;
        assert_eq!(delay(seconds(10), 16), ATTEMPT_DELAY);
        assert_eq!(delay(seconds(1), 4), ATTEMPT_DELAY);
        assert_eq!(delay(seconds(1), 16), Duration::from_micros(62_500));
        assert_eq!(delay(seconds(1), 0), Duration::ZERO);
    }

    /// A turn of each would be ten seconds.
    #[test]
    #[cfg_attr(miri, ignore = "Miri has no sockets")]
    fn an_address_that_is_dead_is_not_waited_for() {
        let holes: Vec<_> = (0..5).map(|_| black_hole(LOOPBACK.into())).collect();
        let alive = TcpListener::bind(LOOPBACK).unwrap();
        let mut addresses: Vec<_> = holes
            .iter()
            .map(|hole| hole.0.local_addr().unwrap())
            .collect();
        addresses.extend([refusing(), alive.local_addr().unwrap()]);
        let connected = connect_within(&addresses, 60).unwrap();
        assert_eq!(connected, alive.local_addr().unwrap());
    }

    /// Its backlog has room again after a while; the address that was tried meanwhile never answers.
    #[test]
    #[cfg_attr(miri, ignore = "Miri has no sockets")]
    fn an_address_that_answers_late_is_not_given_up() {
        let (late, never) = (black_hole(LOOPBACK.into()), black_hole(LOOPBACK.into()));
        let addresses = [&late, &never].map(|hole| hole.0.local_addr().unwrap());
        let connected = thread::scope(|scope| {
            scope.spawn(|| {
                thread::sleep(Duration::from_millis(600));
                late.1.iter().flatten().for_each(|_| drop(late.0.accept()));
            });
            connect_within(&addresses, 30).unwrap()
        });
        assert_eq!(connected, addresses[0]);
    }

    #[test]
    #[cfg_attr(miri, ignore = "Miri has no sockets")]
    fn where_all_fail_the_last_failure_counts_and_while_one_is_pending_the_time() {
        let hole = black_hole(LOOPBACK.into());
        let dead = hole.0.local_addr().unwrap();
        let unreachable: SocketAddr = "[ff0e::1]:443".parse().unwrap();
        for addresses in [vec![refusing()], vec![unreachable, refusing()]] {
            let failure = connect_within(&addresses, 5).unwrap_err().to_string();
            assert!(failure.contains("refused"), "{failure}");
        }
        for addresses in [vec![dead], vec![dead, refusing()], vec![refusing(), dead]] {
            let failure = connect_within(&addresses, 1).unwrap_err();
            assert!(matches!(failure, Error::Timeout(_)), "{failure}");
        }
        assert!(matches!(connect_within(&[], 5), Err(Error::HostNotFound)));
    }

    /// Reads of one that does not wait would go round and round until the answer is there.
    #[test]
    #[cfg_attr(miri, ignore = "Miri has no sockets")]
    fn a_connection_waits_for_its_input() {
        let alive = TcpListener::bind(LOOPBACK).unwrap();
        let address = alive.local_addr().unwrap();
        let progress = Progress::begin(Duration::from_secs(30));
        let stream = connect(&[address], &SocketHandle::default(), &progress).unwrap();
        let timeout = Duration::from_millis(100);
        stream.set_read_timeout(Some(timeout)).unwrap();
        let begun = Instant::now();
        let read = (&*stream).read(&mut [0]).unwrap_err();
        assert_eq!(read.kind(), io::ErrorKind::WouldBlock);
        // The kernel's clock has ticks.
        assert!(begun.elapsed() >= timeout / 2, "{:?}", begun.elapsed());
    }

    /// So short a time-out as that of an attempt beside others would make every write go round and round.
    #[test]
    #[cfg_attr(miri, ignore = "Miri has no sockets")]
    fn a_connection_waits_for_its_output_however_it_was_made() {
        let hole = black_hole(LOOPBACK.into());
        let alive = TcpListener::bind(LOOPBACK).unwrap();
        let [dead, alive] = [&hole.0, &alive].map(|listener| listener.local_addr().unwrap());
        for addresses in [vec![alive], vec![dead, alive]] {
            let progress = Progress::begin(Duration::from_secs(30));
            let stream = connect(&addresses, &SocketHandle::default(), &progress).unwrap();
            // The kernel rounds up to ticks of its clock.
            assert!(stream.write_timeout().unwrap() >= Some(SEND_TIMEOUT));
        }
    }

    #[test]
    #[cfg_attr(miri, ignore = "Miri has no sockets")]
    fn an_attempt_that_cannot_begin_is_a_failure_of_its_own() {
        let unreachable: SocketAddr = "[ff0e::1]:443".parse().unwrap();
        let failure = connect_within(&[unreachable], 5).unwrap_err();
        assert!(matches!(failure, Error::Io(_)), "{failure}");
    }

    #[test]
    #[cfg_attr(miri, ignore = "Miri has no sockets")]
    fn another_thread_ends_every_attempt() {
        let holes: Vec<_> = (0..3).map(|_| black_hole(LOOPBACK.into())).collect();
        let addresses: Vec<_> = holes
            .iter()
            .map(|hole| hole.0.local_addr().unwrap())
            .collect();
        let (socket, progress) = (
            SocketHandle::default(),
            Progress::begin(Duration::from_secs(60)),
        );
        let failure = thread::scope(|scope| {
            let connecting = scope.spawn(|| connect(&addresses, &socket, &progress));
            // Two of them by now, on a machine that is not busy.
            thread::sleep(Duration::from_millis(400));
            socket.shut_down();
            connecting.join().unwrap().unwrap_err()
        });
        assert!(!matches!(failure, Error::Timeout(_)), "{failure}");
    }
}
