//! The only code that knows HTTP and JSON: iVALT's operations over ureq.
//!
//! | module | what it does |
//! | --- | --- |
//! | `client` | the operations: one request, one answer |
//! | `probe` | a connection that asks about no user, for `ivaltctl check` |
//! | `preconnect` | connects while the user types |
//! | `connect` | which of several addresses is connected to |
//! | `transport` | name look-up, TCP, TLS and the deadline over them |
//! | `records` | where the records of TLS end |
//! | `crypto` | what TLS computes with |
//! | `roots` | the root certificates that verify iVALT |
//! | `verifier` | the server's certificate against those roots |
//! | `certificate` | whose a certificate is, and who issued it |
//! | `answer` | what an answer means |
//! | `push` | requests to the phone, and what their answers mean |
//! | `local_fault` | faults of this host while it connects |
//! | `number` | the mobile in iVALT's words |

mod answer;
mod certificate;
mod client;
mod connect;
mod crypto;
mod local_fault;
mod number;
mod preconnect;
mod probe;
mod push;
mod records;
mod roots;
mod transport;
mod verifier;

pub use answer::{Answer, ApiError, classify};
pub use client::{Client, Exchange, tls_words};
pub use probe::{Probe, TlsSession};
pub use push::{PushAnswer, PushExchange, classify_poll, classify_start};
pub use roots::{Roots, SYSTEM_BUNDLES, certificates, no_certificate};
pub use transport::Stage;

#[cfg(feature = "testing")]
pub use client::from_memory;
