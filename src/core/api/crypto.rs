//! What TLS computes with.

use std::sync::Arc;

use rustls::Error;
use rustls::crypto::{CryptoProvider, KeyProvider, ring};
use rustls::pki_types::PrivateKeyDer;
use rustls::sign::SigningKey;

/// rustls' own choice of ring's, but for keys of our own: there is no client certificate, and what would load its key
/// and sign by it is 55 KB.
pub(super) fn provider() -> CryptoProvider {
    CryptoProvider {
        key_provider: &NoKeys,
        ..ring::default_provider()
    }
}

#[derive(Debug)]
struct NoKeys;

impl KeyProvider for NoKeys {
    fn load_private_key(&self, _: PrivateKeyDer<'static>) -> Result<Arc<dyn SigningKey>, Error> {
        Err(Error::General("no client certificates".to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fewer cipher suites, key exchanges or signature schemes would be fewer servers.
    #[test]
    fn all_that_rustls_offers_by_itself_is_offered() {
        let (ours, rustls) = (provider(), ring::default_provider());
        assert_eq!(ours.cipher_suites, rustls.cipher_suites);
        let names = |provider: &CryptoProvider| {
            let groups = provider.kx_groups.iter().map(|group| group.name());
            groups.collect::<Vec<_>>()
        };
        assert_eq!(names(&ours), names(&rustls));
        assert_eq!(
            ours.signature_verification_algorithms.supported_schemes(),
            rustls.signature_verification_algorithms.supported_schemes()
        );
    }

    #[test]
    fn no_key_is_loaded() {
        let key = rcgen::KeyPair::generate().unwrap();
        let key = || PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        assert!(
            ring::default_provider()
                .key_provider
                .load_private_key(key())
                .is_ok()
        );
        assert!(provider().key_provider.load_private_key(key()).is_err());
    }
}
