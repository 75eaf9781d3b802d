//! The root certificates that verify iVALT: those of `api.ca_file`, or of the system.

use std::fmt;
use std::iter;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls::ClientConfig;
use rustls::client::Resumption;
use rustls::pki_types::CertificateDer;

use super::crypto::provider;
use super::verifier::Verifier;
use crate::problem::{Problem, ProblemKind};
use crate::sys::bytes::{memchr, memmem};
use crate::trusted_file::{ReadPermission, SMALL, Trust};

/// Where distributions keep the trusted roots: Debian and Arch, Fedora, openSUSE, Alpine.
pub const SYSTEM_BUNDLES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// A bundle up to this size, in bytes, is examined at once; a larger one before the first handshake, so that nobody waits
/// for it at the prompt.
const AT_ONCE: usize = 32 * 1024;

/// Trusted roots, and what TLS makes of them, once.
pub struct Roots {
    bundle: Arc<Bundle>,
    config: OnceLock<Result<Arc<ClientConfig>, Problem>>,
}

/// A file with certificates in PEM.
pub(super) struct Bundle {
    path: PathBuf,
    pem: Mutex<Option<Arc<Vec<u8>>>>,
    /// Of a large one: a login that waits for a phone does not keep it, a further handshake reads it again.
    read_again: Option<(ReadBundle, Trust)>,
}

type ReadBundle = fn(Trust, &Path) -> Result<Vec<u8>, Problem>;

impl Bundle {
    pub(super) fn kept(path: PathBuf, pem: Vec<u8>) -> Self {
        Self {
            path,
            pem: Mutex::new(Some(Arc::new(pem))),
            read_again: None,
        }
    }

    /// The whole bundle, of which a large one is then no longer held.
    ///
    /// # Errors
    /// It is read again, and can no longer be.
    pub(super) fn take(&self) -> Result<Arc<Vec<u8>>, Problem> {
        let Some((read, trust)) = self.read_again else {
            return Ok(self.held().clone().unwrap_or_default());
        };
        let held = self.held().take();
        held.map_or_else(|| read(trust, &self.path).map(Arc::new), Ok)
    }

    pub(super) fn no_certificate(&self) -> Problem {
        no_certificate(&self.path)
    }

    fn held(&self) -> MutexGuard<'_, Option<Arc<Vec<u8>>>> {
        self.pem.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Bundle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Bundle({})", self.path.display())
    }
}

impl fmt::Debug for Roots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Roots({})", self.bundle.path.display())
    }
}

impl Roots {
    /// Reads the bundle.
    ///
    /// # Errors
    /// It cannot be trusted or read, or is small and holds no certificate.
    pub fn read(ca_file: Option<&Path>, trust: Trust) -> Result<Self, Problem> {
        let (path, read, pem): (_, ReadBundle, _) = match ca_file {
            Some(path) => (path, read_ca_file, read_ca_file(trust, path)?),
            None => {
                let (path, pem) = first_system_bundle(trust)?;
                (path, read_system_bundle, pem)
            }
        };
        let is_small = pem.len() <= AT_ONCE;
        let mut bundle = Bundle::kept(path.to_owned(), pem);
        bundle.read_again = (!is_small).then_some((read, trust));
        let roots = Self::new(bundle);
        if is_small {
            roots.client_config()?;
        }
        Ok(roots)
    }

    /// Those of a bundle that has been read.
    pub fn from_pem(path: PathBuf, pem: Vec<u8>) -> Self {
        Self::new(Bundle::kept(path, pem))
    }

    fn new(bundle: Bundle) -> Self {
        Self {
            bundle: Arc::new(bundle),
            config: OnceLock::new(),
        }
    }

    /// How this client speaks TLS.
    ///
    /// # Errors
    /// The bundle holds no certificate.
    pub fn client_config(&self) -> Result<Arc<ClientConfig>, Problem> {
        self.config.get_or_init(|| self.build()).clone()
    }

    fn build(&self) -> Result<Arc<ClientConfig>, Problem> {
        let provider = Arc::new(provider());
        // One that rustls takes is enough; those it cannot read are left out. An empty set would be silent.
        let bundle = &self.bundle;
        let pem = bundle.held().clone().unwrap_or_default();
        let verifier = Verifier::new(Arc::clone(bundle), &pem, Arc::clone(&provider))
            .ok_or_else(|| bundle.no_certificate())?;
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| Problem::invalid(error.to_string()))?;
        // rustls calls any verifier but its own dangerous. This one leaves the decision to rustls's own.
        let builder = builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier));
        let mut config = builder.with_no_client_auth();
        // There is no second connection that could use it.
        config.resumption = Resumption::disabled();
        Ok(Arc::new(config))
    }
}

/// The certificates between their lines of PEM (RFC 7468), the text around them and what is no base64 left out.
pub fn certificates(pem: &[u8]) -> impl Iterator<Item = CertificateDer<'static>> {
    encoded_certificates(pem).filter_map(decode)
}

/// What follows each line that begins a certificate, up to the next such line.
pub(super) fn encoded_certificates(pem: &[u8]) -> impl Iterator<Item = &[u8]> {
    const BEGIN: &[u8] = b"-----BEGIN CERTIFICATE-----";
    let begin = |rest: &[u8]| memmem(rest, BEGIN);
    let mut rest = begin(pem).map(|at| &pem[at + BEGIN.len()..]);
    iter::from_fn(move || {
        let body = rest?;
        let end = begin(body);
        rest = end.map(|at| &body[at + BEGIN.len()..]);
        Some(&body[..end.unwrap_or(body.len())])
    })
}

/// One of [`encoded_certificates`]. `None` if it does not end, or is no base64.
pub(super) fn decode(encoded: &[u8]) -> Option<CertificateDer<'static>> {
    let end = memmem(encoded, b"-----END CERTIFICATE-----")?;
    Some(STANDARD.decode(base64_of(&encoded[..end])).ok()?.into())
}

/// Lines without their ends and the blanks around them.
pub(super) fn base64_of(lines: &[u8]) -> Vec<u8> {
    let mut rest = lines;
    let mut text = Vec::with_capacity(rest.len());
    while let Some(at) = memchr(b'\n', rest) {
        text.extend_from_slice(rest[..at].trim_ascii());
        rest = &rest[at + 1..];
    }
    text.extend_from_slice(rest.trim_ascii());
    text
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

fn read_ca_file(trust: Trust, path: &Path) -> Result<Vec<u8>, Problem> {
    let pem = trust.read(path, ReadPermission::Anybody, SMALL);
    pem.map_err(|problem| problem.of_kind(ProblemKind::CaFile))
}

fn read_system_bundle(trust: Trust, path: &Path) -> Result<Vec<u8>, Problem> {
    trust.read_system_file(path, SMALL)
}

/// The first that exists.
fn first_system_bundle(trust: Trust) -> Result<(&'static Path, Vec<u8>), Problem> {
    for path in SYSTEM_BUNDLES.map(Path::new) {
        match read_system_bundle(trust, path) {
            Err(problem) if problem.kind == ProblemKind::Missing => {}
            read => return Ok((path, read?)),
        }
    }
    Err(no_roots())
}

fn no_roots() -> Problem {
    Problem::new(ProblemKind::Missing, "no trusted roots found")
        .fix("install the package ca-certificates, or set api.ca_file")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{MetadataExt, PermissionsExt};

    use rcgen::{CertificateParams, KeyPair};

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

    #[test]
    fn a_large_bundle_is_not_kept_and_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ca.pem");
        let pem = CertificateParams::default().self_signed(&KeyPair::generate().unwrap());
        let pem = pem.unwrap().pem();
        let trust = Trust {
            effective_uid: fs::metadata(folder.path()).unwrap().uid(),
        };
        let read = |pem: &str| {
            fs::write(&path, pem).unwrap();
            fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
            let roots = Roots::read(Some(&path), trust).unwrap();
            roots.client_config().unwrap();
            assert_eq!(*roots.bundle.take().unwrap(), pem.as_bytes());
            roots
        };
        let small = read(&pem);
        assert!(small.bundle.held().is_some());
        let large = read(&pem.repeat(AT_ONCE / pem.len() + 1));
        assert!(large.bundle.held().is_none());
        fs::write(&path, "other").unwrap();
        assert_eq!(*large.bundle.take().unwrap(), b"other");
        assert_eq!(*small.bundle.take().unwrap(), pem.as_bytes());
        fs::remove_file(&path).unwrap();
        assert_eq!(large.bundle.take().unwrap_err().kind, ProblemKind::CaFile);
        large.client_config().unwrap();
    }
}
