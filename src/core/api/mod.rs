//! The only code that knows HTTP and JSON: iVALT's operations over ureq.

mod answer;
mod client;
mod preconnect;
mod probe;
mod roots;
mod transport;

pub use answer::{Answer, Said, judge};
pub use client::{Client, Exchange};
pub use probe::{Probe, Tls};
pub use roots::{SYSTEM_BUNDLES, certificates, no_certificate};
pub use transport::Stage;

#[cfg(feature = "testing")]
pub use client::from_memory;
