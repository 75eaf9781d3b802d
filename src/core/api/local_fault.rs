//! Faults of this host that come up while it connects: no outage of iVALT's. The caller of su could make some of them, by
//! the limits of setrlimit(2), and `policy.unavailable` would let in.

use std::error::Error as StdError;
use std::io;

use ureq::Error;

use super::transport::{ConnectOnly, EarlyAnswer, Stage};
use crate::problem::{Problem, reason};
use crate::sys::{LookUpFailed, is_shortage};

/// What is wrong with this host, in words for the log, where that is why there is no answer.
pub(super) fn local_fault(error: &Error, stage: Stage) -> Option<String> {
    match error {
        Error::Io(error) if is_shortage(error) => Some(format!("{stage}: {}", shortage(error))),
        Error::Io(error) => of_tls(error.get_ref()?.downcast_ref()?),
        Error::Rustls(error) => of_tls(error),
        Error::Other(error) => match (problem(&**error), error.downcast_ref()) {
            (Some(words), _) => Some(words),
            (None, Some(LookUpFailed::NoAddress(_))) => None,
            (None, None) if error.is::<EarlyAnswer>() || error.is::<ConnectOnly>() => None,
            (None, _) => Some(format!("{stage}: {error}")),
        },
        // What cannot be sent as it is.
        Error::Http(_)
        | Error::BadUri(_)
        | Error::InvalidProxyUrl
        | Error::RequireHttpsOnly(_)
        | Error::Tls(_)
        | Error::TlsRequired => Some(format!("{stage}: {error}")),
        _ => None,
    }
}

pub(super) fn is_local_fault(error: &Error) -> bool {
    local_fault(error, Stage::Connect).is_some()
}

fn of_tls(error: &rustls::Error) -> Option<String> {
    match error {
        rustls::Error::Other(other) => problem(&*other.0),
        rustls::Error::FailedToGetRandomBytes | rustls::Error::FailedToGetCurrentTime => {
            Some(format!("tls: {error}"))
        }
        _ => None,
    }
}

/// The same words as where the file is first read.
fn problem(error: &(dyn StdError + Send + Sync + 'static)) -> Option<String> {
    error.downcast_ref::<Problem>().map(Problem::to_string)
}

fn shortage(error: &io::Error) -> String {
    let words = reason(error);
    match error.raw_os_error() {
        Some(libc::EMFILE) => {
            format!("{words}; raise the limit: ulimit -n, or LimitNOFILE= of the unit")
        }
        _ => words,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;
    use std::sync::Arc;

    use ureq::Timeout;

    fn words(error: impl Into<Error>) -> Option<String> {
        local_fault(&error.into(), Stage::Tls)
    }

    fn system(number: i32) -> Option<String> {
        words(io::Error::from_raw_os_error(number))
    }

    fn of_verifier(error: rustls::Error) -> Option<String> {
        let in_handshake = words(io::Error::new(io::ErrorKind::InvalidData, error.clone()));
        assert_eq!(words(Error::Rustls(error)), in_handshake);
        in_handshake
    }

    #[test]
    fn faults_of_this_host_are_told_from_those_of_the_network() {
        for (number, words) in [
            (
                libc::EMFILE,
                "tls: too many open files; raise the limit: ulimit -n, or LimitNOFILE= of the unit",
            ),
            (libc::ENFILE, "tls: too many open files in system"),
            (libc::ENOMEM, "tls: cannot allocate memory"),
            (libc::ENOBUFS, "tls: no buffer space available"),
        ] {
            assert_eq!(system(number).as_deref(), Some(words));
        }
        // A firewall of this host, or one on the way, may be behind the last two.
        for number in [
            libc::ECONNREFUSED,
            libc::ENETUNREACH,
            libc::EPERM,
            libc::EACCES,
        ] {
            assert_eq!(system(number), None);
        }
        let problem = || Problem::invalid("is bad").in_file(Path::new("/ca"));
        let other = rustls::OtherError(Arc::new(problem()));
        assert_eq!(of_verifier(other.into()).as_deref(), Some("/ca: is bad"));
        assert_eq!(
            words(Error::Other(Box::new(problem()))).as_deref(),
            Some("/ca: is bad")
        );
        let no_random = "tls: failed to get random bytes";
        let error = rustls::Error::FailedToGetRandomBytes;
        assert_eq!(of_verifier(error).as_deref(), Some(no_random));
        assert_eq!(of_verifier(rustls::CertificateError::Expired.into()), None);
        for error in [
            Error::Other(Box::new(LookUpFailed::NoAddress("x"))),
            Error::Other(Box::new(EarlyAnswer)),
            Error::Other(Box::new(ConnectOnly)),
            Error::Timeout(Timeout::Connect),
            Error::HostNotFound,
            Error::ConnectionFailed,
            Error::ConnectProxyFailed(String::new()),
            io::Error::from(io::ErrorKind::UnexpectedEof).into(),
        ] {
            assert_eq!(words(error), None);
        }
        for (error, expected) in [
            (Error::Other(Box::new(LookUpFailed::Local("x"))), "tls: x"),
            (Error::Other(Box::new(io::Error::other("x"))), "tls: x"),
            (Error::BadUri("x".to_owned()), "tls: bad uri: x"),
            (Error::Tls("x"), "tls: x"),
        ] {
            assert_eq!(words(error).as_deref(), Some(expected));
        }
    }
}
