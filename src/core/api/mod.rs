//! The only code that knows HTTP and JSON: iVALT's operations over ureq.

mod answer;
mod client;
mod preconnect;
mod probe;
mod roots;
mod transport;

use std::net::TcpStream;
use std::thread::JoinHandle;

pub use answer::{Answer, Said, judge};
pub use client::{Client, Exchange};
pub use probe::{Probe, Tls};
pub use roots::{SYSTEM_BUNDLES, certificates, no_certificate};
pub use transport::{LookUp, LookUpFailed, Stage};

/// What a thread does.
pub type Work = Box<dyn FnOnce() + Send>;

/// What a connection needs of the system, and what std has no safe word for.
#[derive(Clone, Copy, Debug)]
pub struct Kernel {
    /// How names are looked up.
    pub look_up: LookUp,
    /// Starts a thread that takes no signal of the host's.
    pub spawn: fn(Work) -> std::io::Result<JoinHandle<()>>,
    /// Whether the other side has closed, told without reading.
    pub hung_up: fn(&TcpStream) -> bool,
}

#[cfg(feature = "testing")]
pub use client::from_memory;
