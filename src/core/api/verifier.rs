//! The server's certificate against a bundle of trusted roots. rustls decides, of the roots that it would look at: those
//! whose subject is the issuer of a certificate that the server presents (name chaining, RFC 5280 section 6.1.3). The
//! others, all but one or two of the 150 of a system, are not decoded.

use std::iter;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, DigitallySignedStruct, Error, OtherError, RootCertStore, SignatureScheme,
};

use super::certificate::{has_subject, names};
use super::roots::{Bundle, base64_of, certificates, decode, encoded_certificates};

/// As many bytes of a certificate in PEM hold its subject, of most.
const BEGINNING: usize = 512;

/// A verifier with the roots of a bundle.
#[derive(Debug)]
pub(super) struct Verifier {
    bundle: Arc<Bundle>,
    provider: Arc<CryptoProvider>,
    /// With the first root that rustls takes.
    first: Arc<WebPkiServerVerifier>,
    /// The subject of that root.
    first_subject: Vec<u8>,
    /// The issuers of the last handshake, and the verifier with their roots.
    last: Mutex<Option<(Issuers, Arc<WebPkiServerVerifier>)>>,
}

/// As DER, without tag and length. `None` where one cannot be told: then every root is looked at.
type Issuers = Option<Vec<Vec<u8>>>;

impl Verifier {
    /// `None` of a bundle without a root that rustls takes.
    pub(super) fn new(
        bundle: Arc<Bundle>,
        pem: &[u8],
        provider: Arc<CryptoProvider>,
    ) -> Option<Self> {
        let first = first_root(pem)?;
        let first_subject = first.roots.first()?.subject.to_vec();
        let first = of_roots(first, &provider)?;
        let last = Mutex::default();
        Some(Self {
            bundle,
            provider,
            first,
            first_subject,
            last,
        })
    }

    /// rustls's own verifier, with every root that it would look at.
    fn of_issuers(&self, issuers: Issuers) -> Result<Arc<WebPkiServerVerifier>, Error> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, verifier)) = last.as_ref().filter(|(known, _)| *known == issuers) {
            return Ok(Arc::clone(verifier));
        }
        let pem = self.bundle.take();
        let pem = pem.map_err(|problem| OtherError(Arc::new(problem)))?;
        let found = of_roots(roots_of(&pem, &issuers), &self.provider);
        if found.is_none() && first_root(&pem).is_none() {
            return Err(OtherError(Arc::new(self.bundle.no_certificate())).into());
        }
        // Where no root is an issuer, the first is not either, and says what all would …
        let found = found.unwrap_or_else(|| Arc::clone(&self.first));
        // … but in a bundle that was replaced since: there it may be a root that was withdrawn.
        if Arc::ptr_eq(&found, &self.first) && self.first_may_be_of(&issuers) {
            return Err(CertificateError::UnknownIssuer.into());
        }
        *last = Some((issuers, Arc::clone(&found)));
        Ok(found)
    }

    fn first_may_be_of(&self, issuers: &Issuers) -> bool {
        let issuers = issuers.as_deref();
        issuers.is_none_or(|issuers| issuers.contains(&self.first_subject))
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
        let issuers = presented.map(|der| Some(names(der)?.0.to_vec())).collect();
        let verifier = self.of_issuers(issuers)?;
        verifier.verify_server_cert(end_entity, intermediates, name, ocsp, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        signer: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.first.verify_tls12_signature(message, signer, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        signer: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.first.verify_tls13_signature(message, signer, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.first.supported_verify_schemes()
    }
}

/// rustls's own verifier. None of an empty store.
fn of_roots(
    roots: RootCertStore,
    provider: &Arc<CryptoProvider>,
) -> Option<Arc<WebPkiServerVerifier>> {
    let builder = WebPkiServerVerifier::builder_with_provider(roots.into(), Arc::clone(provider));
    builder.build().ok()
}

/// The first root that rustls takes, alone.
fn first_root(pem: &[u8]) -> Option<RootCertStore> {
    let mut first = RootCertStore::empty();
    certificates(pem).find(|der| first.add(der.clone()).is_ok())?;
    Some(first)
}

/// Every root that has one of these subjects, in the order of the bundle.
fn roots_of(pem: &[u8], issuers: &Issuers) -> RootCertStore {
    let mut roots = RootCertStore::empty();
    let found = encoded_certificates(pem).filter(|encoded| may_be_of(encoded, issuers));
    roots.add_parsable_certificates(found.filter_map(decode));
    roots
}

/// Whether a certificate in PEM has one of these subjects, as far as its beginning tells.
fn may_be_of(encoded: &[u8], issuers: &Issuers) -> bool {
    let beginning = base64_of(&encoded[..encoded.len().min(BEGINNING)]);
    let issuers = issuers.as_deref();
    issuers.and_then(|issuers| has_subject(&beginning, issuers)) != Some(false)
}

#[cfg(test)]
mod tests;
