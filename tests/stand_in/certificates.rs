//! A certificate authority and one server certificate, made anew at every start.

use std::error::Error;
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// Every name by which a client may call the stand-in; `.test` never resolves by accident (RFC 6761).
const SERVER_NAMES: [&str; 5] = [
    "api.ivalt.test",
    "far.ivalt.test",
    "dead.ivalt.test",
    "localhost",
    "127.0.0.1",
];

/// What clients trust, and what the server proves.
pub struct Certificates {
    pub ca_pem: String,
    pub server: Arc<ServerConfig>,
}

/// The CA's key is forgotten here: nothing else can be issued under it.
pub fn issue() -> Result<Certificates, Box<dyn Error>> {
    let ca_key = KeyPair::generate()?;
    let ca_params = ca_params()?;
    let ca_pem = ca_params.self_signed(&ca_key)?.pem();
    let issuer = Issuer::new(ca_params, ca_key);

    let server_key = KeyPair::generate()?;
    let server_certificate = server_params()?.signed_by(&server_key, &issuer)?;
    let server = server_config(
        server_certificate.der().clone(),
        PrivateKeyDer::try_from(server_key.serialize_der())?,
    )?;
    Ok(Certificates { ca_pem, server })
}

fn ca_params() -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::default();
    params
        .distinguished_name
        .push(DnType::CommonName, "ivalt-stand-in CA");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok(params)
}

fn server_params() -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new(SERVER_NAMES.map(str::to_owned))?;
    params
        .distinguished_name
        .push(DnType::CommonName, "ivalt-stand-in");
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

/// TLS 1.2 and 1.3 (rustls has nothing older), no client certificate, HTTP/1.1 only.
fn server_config(
    certificate: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
) -> Result<Arc<ServerConfig>, Box<dyn Error>> {
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
