//! How a secret gets into pam-client without standing in its memory: whoever looks for copies must not find his own.

/// The text in disguise, or out of it again; without NUL for text that is ASCII.
pub fn disguised(text: &[u8]) -> Vec<u8> {
    // Room for the NUL of a C string: growing would leave a copy behind.
    let mut bytes = Vec::with_capacity(text.len() + 1);
    bytes.extend(text.iter().map(|byte| byte ^ 0xa5));
    bytes
}
