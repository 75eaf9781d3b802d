//! How a secret gets into pam-client without being in its memory: a search for copies must not find its own.

/// The text obfuscated, or made plain again; without NUL for text that is ASCII.
pub fn obfuscated(text: &[u8]) -> Vec<u8> {
    // Room for the NUL of a C string: growing would leave a copy behind.
    let mut bytes = Vec::with_capacity(text.len() + 1);
    bytes.extend(text.iter().map(|byte| byte ^ 0xa5));
    bytes
}
