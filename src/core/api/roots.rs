//! The root certificates that verify iVALT: those of `api.ca_file`, or of the system.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use memchr::memmem;
use rustls::client::Resumption;
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};

use super::crypto::provider;
use crate::problem::{Problem, ProblemKind};
use crate::trusted_file::{ReadPermission, SMALL, Trust};

/// Where distributions keep the trusted roots: Debian and Arch, Fedora, openSUSE, Alpine.
pub const SYSTEM_BUNDLES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// A bundle up to this size, in bytes, is read to its end at once; a larger one when the first handshake needs it, so
/// that nobody waits for it at the prompt.
const AT_ONCE: usize = 32 * 1024;

/// Trusted roots, and what TLS makes of them, once.
pub struct Roots {
    path: PathBuf,
    pem: Vec<u8>,
    config: OnceLock<Result<Arc<ClientConfig>, Problem>>,
}

impl fmt::Debug for Roots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Roots({})", self.path.display())
    }
}

impl Roots {
    /// Reads the bundle.
    ///
    /// # Errors
    /// It cannot be trusted or read, or is small and holds no certificate.
    pub fn read(ca_file: Option<&Path>, trust: Trust) -> Result<Self, Problem> {
        let (path, pem) = match ca_file {
            Some(path) => {
                let pem = trust.read(path, ReadPermission::Anybody, SMALL);
                (
                    path,
                    pem.map_err(|problem| problem.of_kind(ProblemKind::CaFile))?,
                )
            }
            None => system_bundle(trust)?,
        };
        let roots = Self::from_pem(path.to_owned(), pem);
        if roots.pem.len() <= AT_ONCE {
            roots.client_config()?;
        }
        Ok(roots)
    }

    /// Those of a bundle that has been read.
    pub fn from_pem(path: PathBuf, pem: Vec<u8>) -> Self {
        let config = OnceLock::new();
        Self { path, pem, config }
    }

    /// How this client speaks TLS.
    ///
    /// # Errors
    /// The bundle holds no certificate.
    pub fn client_config(&self) -> Result<Arc<ClientConfig>, Problem> {
        self.config.get_or_init(|| self.build()).clone()
    }

    fn build(&self) -> Result<Arc<ClientConfig>, Problem> {
        let mut store = RootCertStore::empty();
        // One that rustls takes is enough; those it cannot read are left out.
        let (taken, _) = store.add_parsable_certificates(certificates(&self.pem));
        // An empty set would be silent.
        if taken == 0 {
            return Err(no_certificate(&self.path));
        }
        let builder = ClientConfig::builder_with_provider(Arc::new(provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| Problem::invalid(error.to_string()))?;
        let mut config = builder.with_root_certificates(store).with_no_client_auth();
        // There is no second connection that could use it.
        config.resumption = Resumption::disabled();
        Ok(Arc::new(config))
    }
}

/// The certificates between their lines of PEM (RFC 7468), the text around them and what is no base64 left out.
pub fn certificates(pem: &[u8]) -> impl Iterator<Item = CertificateDer<'static>> {
    const BEGIN: &[u8] = b"-----BEGIN CERTIFICATE-----";
    let begin = |rest: &[u8]| memmem::find(rest, BEGIN);
    let mut rest = begin(pem).map(|at| &pem[at + BEGIN.len()..]);
    let bodies = std::iter::from_fn(move || {
        let body = rest?;
        let end = begin(body);
        rest = end.map(|at| &body[at + BEGIN.len()..]);
        Some(&body[..end.unwrap_or(body.len())])
    });
    bodies.filter_map(decode)
}

fn decode(body: &[u8]) -> Option<CertificateDer<'static>> {
    let mut rest = &body[..memmem::find(body, b"-----END CERTIFICATE-----")?];
    let mut text = Vec::with_capacity(rest.len());
    while let Some(at) = memchr::memchr(b'\n', rest) {
        text.extend_from_slice(rest[..at].trim_ascii());
        rest = &rest[at + 1..];
    }
    text.extend_from_slice(rest.trim_ascii());
    Some(STANDARD.decode(text).ok()?.into())
}

/// Of a bundle without certificates.
#[must_use]
pub fn no_certificate(path: &Path) -> Problem {
    Problem::invalid("holds no certificate in PEM form")
        .in_file(path)
        .fix(format!(
            "inspect: openssl x509 -in {} -noout -text",
            path.display()
        ))
}

fn system_bundle(trust: Trust) -> Result<(&'static Path, Vec<u8>), Problem> {
    let path = SYSTEM_BUNDLES
        .map(Path::new)
        .into_iter()
        .find(|path| path.exists());
    let path = path.ok_or_else(no_roots)?;
    Ok((path, trust.read_system_file(path, SMALL)?))
}

fn no_roots() -> Problem {
    Problem::new(ProblemKind::Missing, "no trusted roots found")
        .run("apt install ca-certificates, or set api.ca_file".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn certificates_between_other_things() {
        let pem = b"# \xff a comment\n-----BEGIN CERTIFICATE-----\r\nAQI\r\nD\r\n-----END CERTIFICATE-----\n\
            -----BEGIN PRIVATE KEY-----\nBAUG\n-----END PRIVATE KEY-----\n\
            -----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n\
            -----BEGIN TRUSTED CERTIFICATE-----\nBwgJ\n-----END TRUSTED CERTIFICATE-----\n\
            -----BEGIN CERTIFICATE-----\nCgsM\n-----END CERTIFICATE-----\n\
            -----BEGIN CERTIFICATE-----\nDQ==\n";
        let found: Vec<Vec<u8>> = certificates(pem).map(|der| der.to_vec()).collect();
        assert_eq!(found, [[1, 2, 3], [10, 11, 12]]);
    }
}
