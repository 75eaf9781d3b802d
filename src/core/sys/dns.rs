//! Name look-up on the calling thread, with glibc's time-outs for dead name servers shortened.

use std::ffi::{CString, c_int, c_ulong};
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::net::UnixDatagram;
use std::ptr;
use std::time::Duration;

use super::{LookUpFailed, is_shortage};

/// The first members of glibc's `struct __res_state` (`<bits/types/res_state.h>`), the state of one thread's resolver.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct ResState {
    /// Seconds before a name server is asked again.
    retrans: c_int,
    /// How often all name servers are asked.
    retry: c_int,
    options: c_ulong,
    /// How many name servers there are.
    nscount: c_int,
}

/// `options`: ask by TCP always. glibc's TCP never times out.
const RES_USEVC: c_ulong = 0x8;
/// `options`: take a truncated answer as it is, without asking again by TCP.
const RES_IGNTC: c_ulong = 0x20;
/// `options`: a name with dots that is not found is tried in the local domains, too.
const RES_DNSRCH: c_ulong = 0x200;
/// `options`: a name without dots is tried in the local domains only, and not as it is.
const RES_NOTLDQUERY: c_ulong = 0x0100_0000;
/// `options`: allow answers of more than 512 bytes by UDP (RFC 6891), so that few are truncated.
const RES_USE_EDNS0: c_ulong = 0x0010_0000;

unsafe extern "C" {
    /// The calling thread's state; what `_res` expands to.
    fn __res_state() -> *mut ResState;
    /// What `res_init` expands to; resolver(3).
    fn __res_init() -> c_int;
}

/// Looks `host` up through the system's name services (getaddrinfo(3)).
///
/// # Errors
/// In words for the log; without an answer it takes a second for each of at most three name servers, two for a single
/// one, and never more than `budget` by a second: twice that for a name without dots, which is tried in two forms.
pub fn look_up(host: &str, port: u16, budget: Duration) -> Result<Vec<SocketAddr>, LookUpFailed> {
    let name = CString::new(host).map_err(|_| LookUpFailed::NoAddress("the name holds a NUL"))?;
    let _timeouts = ResolverTimeouts::shorten(budget, host);
    // SAFETY: all zero is what getaddrinfo(3) asks of hints beyond the members set below.
    let mut hints: libc::addrinfo = unsafe { std::mem::zeroed() };
    hints.ai_socktype = libc::SOCK_STREAM;
    let mut list = ptr::null_mut();
    // SAFETY: `name` and `hints` outlive the call; `list` is written only on success.
    let code =
        unsafe { libc::getaddrinfo(name.as_ptr(), ptr::null(), &raw const hints, &raw mut list) };
    if code != 0 {
        return Err(failure(code));
    }
    let list = List(list);
    Ok(list.addresses(port))
}

fn failure(code: c_int) -> LookUpFailed {
    match code {
        libc::EAI_MEMORY => LookUpFailed::Local(words(code)),
        libc::EAI_SYSTEM if lacks_descriptors() => LookUpFailed::Local(
            "the system could not look the name up; are there enough descriptors? run: ulimit -n",
        ),
        _ => LookUpFailed::NoAddress(words(code)),
    }
}

/// `EAI_SYSTEM` also means that a service of nsswitch.conf(5) after `dns` is not installed, and glibc does not keep
/// errno(3). A look-up holds no more than so many sockets and files at once.
fn lacks_descriptors() -> bool {
    let sockets: io::Result<Vec<_>> = (0..4).map(|_| UnixDatagram::unbound()).collect();
    sockets.is_err_and(|error| is_shortage(&error))
}

fn words(code: c_int) -> &'static str {
    match code {
        libc::EAI_NONAME => "the name does not exist",
        // glibc's code for a name that has other records; other C libraries return EAI_NONAME.
        libc::EAI_NODATA => "the name has no address",
        libc::EAI_AGAIN => "no answer from the name server",
        libc::EAI_FAIL => "the name server failed",
        libc::EAI_MEMORY => "out of memory",
        _ => "the system could not look the name up",
    }
}

/// A result of getaddrinfo(3), freed on drop.
struct List(*mut libc::addrinfo);

impl List {
    fn addresses(&self, port: u16) -> Vec<SocketAddr> {
        let mut addresses = Vec::new();
        let mut next = self.0;
        // SAFETY: getaddrinfo(3) made a null-terminated list that lives until freeaddrinfo(3) in `drop`.
        while let Some(info) = unsafe { next.as_ref() } {
            addresses.extend(address(info, port));
            next = info.ai_next;
        }
        addresses
    }
}

impl Drop for List {
    fn drop(&mut self) {
        // SAFETY: the pointer came from a getaddrinfo(3) that succeeded and is freed once.
        unsafe { libc::freeaddrinfo(self.0) };
    }
}

fn address(info: &libc::addrinfo, port: u16) -> Option<SocketAddr> {
    match info.ai_family {
        libc::AF_INET => {
            // SAFETY: for AF_INET, ai_addr points to a sockaddr_in (getaddrinfo(3)), suitably aligned by glibc.
            let v4 = unsafe { info.ai_addr.cast::<libc::sockaddr_in>().as_ref() }?;
            Some((Ipv4Addr::from(u32::from_be(v4.sin_addr.s_addr)), port).into())
        }
        libc::AF_INET6 => {
            // SAFETY: for AF_INET6, ai_addr points to a sockaddr_in6, likewise.
            let v6 = unsafe { info.ai_addr.cast::<libc::sockaddr_in6>().as_ref() }?;
            Some((Ipv6Addr::from(v6.sin6_addr.s6_addr), port).into())
        }
        _ => None,
    }
}

/// glibc waits five seconds for a name server, twice, does it again for every local domain, and waits for ever for
/// one that it asks by TCP. While this lives, the calling thread waits one second for each server, for a single one
/// twice, by UDP only; then the application's own numbers are restored.
struct ResolverTimeouts {
    state: *mut ResState,
    host: ResState,
    ours: ResState,
}

impl ResolverTimeouts {
    fn shorten(budget: Duration, name: &str) -> Self {
        // SAFETY: the state belongs to this thread and lives as long as it; nobody else writes it meanwhile.
        let state = unsafe { __res_state() };
        // SAFETY: fills the state from resolv.conf, as getaddrinfo(3) would. Always: once its numbers are changed,
        // glibc takes the state for the application's own and does not see a new resolv.conf any more.
        unsafe { __res_init() };
        // SAFETY: as above; the reference ends with this function.
        let numbers = unsafe { &mut *state };
        let host = *numbers;
        // What is left of two seconds is a little less.
        let seconds = (budget + Duration::from_millis(500)).as_secs().max(1);
        let seconds = c_int::try_from(seconds).unwrap_or(c_int::MAX);
        numbers.retrans = 1;
        numbers.nscount = host.nscount.min(seconds);
        numbers.retry = if numbers.nscount <= 1 && seconds > 1 {
            2
        } else {
            1
        };
        numbers.options = (host.options | RES_IGNTC | RES_USE_EDNS0) & !RES_USEVC;
        // A whole name is not tried in every local domain on top; a short one, as in `http://proxy:3128`, is only
        // there.
        if name.contains('.') {
            numbers.options &= !RES_DNSRCH;
        } else {
            numbers.options |= RES_NOTLDQUERY;
        }
        let ours = *numbers;
        Self { state, host, ours }
    }
}

impl Drop for ResolverTimeouts {
    fn drop(&mut self) {
        // SAFETY: dropped on the thread that made it (a raw pointer is not Send), whose state it is.
        let numbers = unsafe { &mut *self.state };
        // One by one: glibc's struct goes on where this one has padding, and a copy of the whole would write that too.
        // And only what is still ours: glibc may have loaded a new resolv.conf meanwhile.
        restore_if_unchanged(&mut numbers.retrans, self.ours.retrans, self.host.retrans);
        restore_if_unchanged(&mut numbers.retry, self.ours.retry, self.host.retry);
        restore_if_unchanged(&mut numbers.options, self.ours.options, self.host.options);
        restore_if_unchanged(&mut numbers.nscount, self.ours.nscount, self.host.nscount);
    }
}

fn restore_if_unchanged<T: PartialEq>(number: &mut T, ours: T, host: T) {
    if *number == ours {
        *number = host;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg_attr(miri, ignore = "Miri has no resolver")]
    fn names_of_the_hosts_file_and_names_that_cannot_be() {
        let second = Duration::from_secs(1);
        let found = look_up("localhost", 443, second).unwrap();
        assert!(
            found
                .iter()
                .all(|address| address.ip().is_loopback() && address.port() == 443),
            "{found:?}"
        );
        assert!(!found.is_empty());
        assert_eq!(
            look_up("a\0b", 443, second).unwrap_err().to_string(),
            "the name holds a NUL"
        );
    }

    /// As getaddrinfo(3) makes it, with members that it would not make.
    #[test]
    fn a_list_is_walked_to_its_end() {
        // SAFETY: all zero is a valid value of all three.
        let (mut v4, mut v6, none): (libc::sockaddr_in, libc::sockaddr_in6, libc::addrinfo) =
            unsafe { std::mem::zeroed() };
        v4.sin_addr.s_addr = u32::from(Ipv4Addr::new(192, 0, 2, 1)).to_be();
        v6.sin6_addr.s6_addr = Ipv6Addr::LOCALHOST.octets();
        let mut list = [none; 5];
        list[0].ai_family = libc::AF_INET;
        list[0].ai_addr = (&raw mut v4).cast();
        list[1].ai_family = libc::AF_UNIX;
        list[2].ai_family = libc::AF_INET6;
        list[3].ai_family = libc::AF_INET6;
        list[3].ai_addr = (&raw mut v6).cast();
        list[4].ai_family = libc::AF_INET;
        let first = list.as_mut_ptr();
        for at in 0..4 {
            // SAFETY: both are within the list.
            unsafe { (*first.add(at)).ai_next = first.add(at + 1) };
        }
        let found = std::mem::ManuallyDrop::new(List(first)).addresses(443);
        let addresses = ["192.0.2.1:443", "[::1]:443"].map(|text| text.parse().unwrap());
        assert_eq!(found, addresses);
        assert_eq!(
            std::mem::ManuallyDrop::new(List(ptr::null_mut())).addresses(443),
            []
        );
    }

    #[test]
    #[cfg_attr(miri, ignore = "Miri has no resolver")]
    fn the_applications_numbers_are_restored() {
        // SAFETY: this thread's state, read only.
        let numbers = || unsafe { *__res_state() };
        // SAFETY: as in `shorten`. Without it, numbers that were never restored would look like the application's own.
        unsafe { __res_init() };
        let before = numbers();
        let timeouts = ResolverTimeouts::shorten(Duration::from_secs(10), "a.b");
        assert_eq!(
            (
                numbers().retrans,
                numbers().options & (RES_DNSRCH | RES_IGNTC)
            ),
            (1, RES_IGNTC)
        );
        drop(timeouts);
        assert_eq!(numbers(), before);
    }
}
