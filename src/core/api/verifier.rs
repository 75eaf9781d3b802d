//! The server's certificate against a bundle of trusted roots. rustls decides, of the roots that it would look at: those
//! whose subject is the issuer of a certificate that the server presents (name chaining, RFC 5280 section 6.1.3). The
//! others, all but one or two of the 150 of a system, are not decoded.

use std::iter;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

use super::roots::{base64_of, certificates, decode, encoded_certificates};

/// As many bytes of a certificate in PEM hold its subject, of most.
const BEGINNING: usize = 640;

/// A verifier with the roots of a bundle.
#[derive(Debug)]
pub(super) struct Verifier {
    pem: Arc<Vec<u8>>,
    provider: Arc<CryptoProvider>,
    /// With the first root that rustls takes.
    first: Arc<WebPkiServerVerifier>,
}

impl Verifier {
    /// `None` of a bundle without a root that rustls takes.
    pub(super) fn new(pem: Arc<Vec<u8>>, provider: Arc<CryptoProvider>) -> Option<Self> {
        let mut first = RootCertStore::empty();
        certificates(&pem).find(|der| first.add(der.clone()).is_ok())?;
        let first =
            WebPkiServerVerifier::builder_with_provider(first.into(), Arc::clone(&provider));
        let first = first.build().ok()?;
        Some(Self {
            pem,
            provider,
            first,
        })
    }

    /// Every root that has one of these subjects, in the order of the bundle; without issuers, every root.
    fn roots_of(&self, issuers: Option<&[&[u8]]>) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        let found = encoded_certificates(&self.pem).filter(|pem| may_be_of(pem, issuers));
        roots.add_parsable_certificates(found.filter_map(decode));
        roots
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let presented = iter::once(end_entity).chain(intermediates);
        let issuers: Option<Vec<_>> = presented.map(|der| Some(names(der)?.0)).collect();
        let roots = Arc::new(self.roots_of(issuers.as_deref()));
        let provider = Arc::clone(&self.provider);
        let verifier = WebPkiServerVerifier::builder_with_provider(roots, provider).build();
        // rustls refuses an empty store. The first root then is none of the issuers either: any says what all would.
        let verifier = verifier.unwrap_or_else(|_| Arc::clone(&self.first));
        verifier.verify_server_cert(end_entity, intermediates, name, ocsp, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.first
            .verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.first
            .verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.first.supported_verify_schemes()
    }
}

/// Whether a certificate in PEM has one of these subjects, as far as its beginning tells. Without issuers, every one.
fn may_be_of(pem: &[u8], issuers: Option<&[&[u8]]>) -> bool {
    let beginning = &pem[..pem.len().min(BEGINNING)];
    // No base64, but what ends a short certificate.
    let end = memchr::memchr(b'-', beginning).unwrap_or(beginning.len());
    let text = base64_of(&beginning[..end]);
    // Four characters are three bytes.
    let der = STANDARD.decode(&text[..text.len() / 4 * 4]);
    match (issuers, der.as_deref().ok().and_then(names)) {
        (Some(issuers), Some((_, subject))) => issuers.contains(&subject),
        _ => true,
    }
}

/// Issuer and subject of a certificate, of which the end may be missing, as DER without tag and length (RFC 5280 section
/// 4.1). rustls takes no certificate of which this says something else than webpki's `Cert::from_der`.
fn names(certificate: &[u8]) -> Option<(&[u8], &[u8])> {
    const INTEGER: u8 = 0x02;
    const SEQUENCE: u8 = 0x30;
    const VERSION: u8 = 0xa0;
    let (_, content) = length(certificate, SEQUENCE)?;
    let (_, content) = length(content, SEQUENCE)?;
    // A certificate of version 1 has none.
    let rest = value(content, VERSION).map_or(content, |(_, rest)| rest);
    let (_serial, rest) = value(rest, INTEGER)?;
    let (_signature, rest) = value(rest, SEQUENCE)?;
    let (issuer, rest) = value(rest, SEQUENCE)?;
    let (_validity, rest) = value(rest, SEQUENCE)?;
    let (subject, _) = value(rest, SEQUENCE)?;
    Some((issuer, subject))
}

/// The value that begins here, if it has this tag, and what comes after it.
fn value(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
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

#[cfg(test)]
mod tests;
