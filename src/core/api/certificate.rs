//! Whose a certificate is, and who issued it, read as webpki does (its `Cert::from_der`): verifier.rs relies on it.

/// Issuer and subject of a certificate, of which the end may be missing, as DER without tag and length (RFC 5280 section
/// 4.1). `None` if it does not begin as a certificate, or is cut before. Of what else is wrong with it nothing is said.
pub(super) fn names(certificate: &[u8]) -> Option<(&[u8], &[u8])> {
    const INTEGER: u8 = 0x02;
    const SEQUENCE: u8 = 0x30;
    const VERSION: u8 = 0xa0;
    let (_, fields) = length(length(certificate, SEQUENCE)?.1, SEQUENCE)?;
    // A certificate of version 1 has none.
    let rest = value(fields, VERSION).map_or(fields, |(_, rest)| rest);
    let (_serial, rest) = value(rest, INTEGER)?;
    let (_signature, rest) = value(rest, SEQUENCE)?;
    let (issuer, rest) = value(rest, SEQUENCE)?;
    let (_validity, rest) = value(rest, SEQUENCE)?;
    let (subject, _) = value(rest, SEQUENCE)?;
    Some((issuer, subject))
}

/// The value that begins here, if it has this tag, and what comes after it.
pub(super) fn value(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (length, rest) = length(der, tag)?;
    rest.split_at_checked(length)
}

/// The length of the value that begins here, if it has this tag, and what comes after tag and length. `None` of lengths
/// above 65535, which webpki does not take either.
fn length(der: &[u8], tag: u8) -> Option<(usize, &[u8])> {
    let (length, rest) = match der.strip_prefix(&[tag])? {
        [short @ 0..=0x7f, rest @ ..] => ([0, *short], rest),
        [0x81, long, rest @ ..] => ([0, *long], rest),
        [0x82, high, low, rest @ ..] => ([*high, *low], rest),
        _ => return None,
    };
    Some((usize::from(u16::from_be_bytes(length)), rest))
}
