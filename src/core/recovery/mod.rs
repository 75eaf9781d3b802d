//! One-time recovery codes, for when iVALT is away or the phone is lost. No network, and nothing that iVALT hears of.

pub mod code;
pub mod store;
mod take;

pub(crate) use take::{NotTaken, take};
