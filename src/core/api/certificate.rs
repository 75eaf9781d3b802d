//! Whose a certificate is, and who issued it, read as webpki does (its `Cert::from_der`): verifier.rs relies on it.

use std::ops::Range;

const INTEGER: u8 = 0x02;
const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;

/// Issuer and subject of a certificate, of which the end may be missing, as DER without tag and length (RFC 5280 section
/// 4.1). `None` if it does not begin as a certificate, or is cut before. Of what else is wrong with it nothing is said.
pub(super) fn names(certificate: &[u8]) -> Option<(&[u8], &[u8])> {
    let (issuer, subject) = places(&|at| certificate.get(at).copied())?;
    Some((certificate.get(issuer)?, certificate.get(subject)?))
}

/// Whether a certificate in base64, of which the end may be missing, has one of these subjects. `None` where that cannot
/// be told.
pub(super) fn has_subject(base64: &[u8], subjects: &[Vec<u8>]) -> Option<bool> {
    let (_, place) = places(&|at| byte(base64, at))?;
    for subject in subjects.iter().filter(|one| one.len() == place.len()) {
        if is_at(place.start, subject, base64)? {
            return Some(true);
        }
    }
    Some(false)
}

fn is_at(start: usize, subject: &[u8], base64: &[u8]) -> Option<bool> {
    for (at, wanted) in (start..).zip(subject) {
        if byte(base64, at)? != *wanted {
            return Some(false);
        }
    }
    Some(true)
}

/// Where issuer and subject are in a certificate with these bytes.
fn places(byte: &impl Fn(usize) -> Option<u8>) -> Option<(Range<usize>, Range<usize>)> {
    let value = |at, tag| value(byte, at, tag);
    let fields = value(value(0, SEQUENCE)?.start, SEQUENCE)?.start;
    // A certificate of version 1 has none.
    let serial = value(fields, VERSION).map_or(fields, |version| version.end);
    let signature = value(serial, INTEGER)?.end;
    let issuer = value(value(signature, SEQUENCE)?.end, SEQUENCE)?;
    let validity = value(issuer.end, SEQUENCE)?;
    Some((issuer, value(validity.end, SEQUENCE)?))
}

/// Where the content of the value is that begins at `at`, if it has this tag. `None` of lengths above 65535, which webpki
/// does not take either.
fn value(byte: &impl Fn(usize) -> Option<u8>, at: usize, tag: u8) -> Option<Range<usize>> {
    if byte(at)? != tag {
        return None;
    }
    let (start, length) = match byte(at + 1)? {
        short @ 0..=0x7f => (at + 2, [0, short]),
        0x81 => (at + 3, [0, byte(at + 2)?]),
        0x82 => (at + 4, [byte(at + 2)?, byte(at + 3)?]),
        _ => return None,
    };
    Some(start..start + usize::from(u16::from_be_bytes(length)))
}

/// One byte of what this base64 (RFC 4648 section 4) encodes: all of it would be most of a login's work.
fn byte(base64: &[u8], at: usize) -> Option<u8> {
    // Four characters are three bytes, each of which is in two of them.
    let first = at + at / 3;
    let (high, low) = (digit(*base64.get(first)?)?, digit(*base64.get(first + 1)?)?);
    let bits = (u16::from(high) << 6 | u16::from(low)) >> (4 - at % 3 * 2);
    Some(bits.to_be_bytes()[1])
}

fn digit(character: u8) -> Option<u8> {
    let digit = DIGITS[usize::from(character)];
    (digit < 64).then_some(digit)
}

/// What each character is worth, 64 of one that is no digit.
const DIGITS: [u8; 256] = {
    let mut digits = [64; 256];
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut at = 0;
    while at < 64 {
        digits[alphabet[at as usize] as usize] = at;
        at += 1;
    }
    digits
};

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    use rcgen::{CertificateParams, DnType, KeyPair};

    #[test]
    fn each_byte_of_base64_is_as_its_decoder_says() {
        let bytes: Vec<u8> = (0..=255).flat_map(|byte| [byte, byte ^ 0x55]).collect();
        let text = STANDARD.encode(&bytes);
        for (at, wanted) in bytes.iter().enumerate() {
            assert_eq!(byte(text.as_bytes(), at), Some(*wanted), "{at}");
        }
        for character in 0..=255 {
            let decoded = STANDARD.decode([character, b'A', b'A', b'A']).ok();
            let byte = byte(&[character, b'A'], 0);
            assert_eq!(byte, decoded.map(|bytes| bytes[0]), "{character}");
        }
        assert_eq!([0, 1, 2].map(|at| byte(b"AA=A", at)), [Some(0), None, None]);
    }

    #[test]
    fn lengths_are_those_of_der() {
        for (bytes, place) in [
            (&[0x30, 0][..], Some(2..2)),
            (&[0x30, 0x7f], Some(2..129)),
            // Without an end of its own, in BER alone.
            (&[0x30, 0x80], None),
            (&[0x30, 0x81, 0xff], Some(3..258)),
            (&[0x30, 0x82, 1, 2], Some(4..262)),
            (&[0x30, 0x83, 0, 1, 2], None),
            (&[0x30, 0x84, 0, 0, 1, 2], None),
            (&[0x31, 0], None),
            (&[0x30], None),
            (&[0x30, 0x81], None),
            (&[0x30, 0x82, 1], None),
            (&[], None),
        ] {
            let byte = |at: usize| bytes.get(at).copied();
            assert_eq!(value(&byte, 0, SEQUENCE), place, "{bytes:?}");
        }
    }

    /// Wherever the beginning of a certificate ends.
    #[test]
    fn a_subject_is_told_rightly_or_not_at_all() {
        let mut params = CertificateParams::default();
        let name = "n".repeat(200);
        params.distinguished_name.push(DnType::CommonName, name);
        let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        let (_, subject) = names(certificate.der()).unwrap();
        let ours = [subject.to_vec()];
        let (mut other, shorter) = (subject.to_vec(), subject[..subject.len() - 1].to_vec());
        *other.last_mut().unwrap() ^= 1;
        let others = [other, shorter, Vec::new()];
        let text = STANDARD.encode(certificate.der());
        for end in 0..=text.len() {
            let text = &text.as_bytes()[..end];
            assert_ne!(has_subject(text, &ours), Some(false), "{end}");
            assert_ne!(has_subject(text, &others), Some(true), "{end}");
        }
        let answers = [&ours[..], &others].map(|subjects| has_subject(text.as_bytes(), subjects));
        assert_eq!(answers, [Some(true), Some(false)]);
    }
}
