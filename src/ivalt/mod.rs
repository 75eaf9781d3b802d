//! The only code that knows HTTP and JSON: iVALT's operations over ureq.

mod answer;
mod client;
mod transport;

pub use answer::{Answer, judge};
pub use client::{Client, Exchange};
pub use transport::{LookUp, LookUpFailed, Stage};

#[cfg(any(test, fuzzing))]
pub use client::from_memory;
