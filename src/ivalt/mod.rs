//! The only code that knows HTTP and JSON: iVALT's operations over ureq.

mod answer;
mod client;
#[cfg(feature = "ivaltctl")]
mod probe;
mod transport;

pub use answer::{Answer, Said, judge};
pub use client::{Client, Exchange, SYSTEM_BUNDLES};
#[cfg(feature = "ivaltctl")]
pub use probe::{Probe, Tls};
pub use transport::{LookUp, LookUpFailed, Stage};
