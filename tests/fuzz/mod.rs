//! What an attacker or a typo can feed the module or the tool, each target a function over bytes that panics when a promise is
//! broken. libFuzzer calls them (`scripts/fuzz`), and `cargo test` with every seed and every input that once was a
//! finding.

pub mod answer;
pub mod application;
pub mod arguments;
pub mod call;
pub mod conversation;
pub mod items;
pub mod ldif;
mod promises;
mod push;
pub mod recovery;
pub mod settings;
pub mod users;

/// Whether `part` is somewhere in `whole`.
fn contains(whole: &[u8], part: &[u8]) -> bool {
    !part.is_empty() && whole.windows(part.len()).any(|window| window == part)
}
