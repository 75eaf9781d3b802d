//! Certificates of servers, sound and unsound in one way each.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, CrlDistributionPoint, CustomExtension, DnType,
    ExtendedKeyUsagePurpose, GeneralSubtree, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    NameConstraints, date_time_ymd,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// A chain, by what is special about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Certificate {
    Valid,
    Expired,
    /// Within two weeks.
    EndsSoon,
    NotYetValid,
    OtherName,
    SelfSigned,
    UnknownAuthority,
    ForClients,
    /// An authority between ours and the certificate, sent by the server, and not.
    WithIntermediate,
    WithoutIntermediate,
    ExpiredIntermediate,
    /// The issuer is a server like any other.
    IssuedByServer,
    /// The issuer may issue only for `.internal.example`.
    ForbiddenName,
    /// The issuer may not have an authority below it.
    TooDeep,
    /// The server shows the certificate of an authority, as `openssl req -x509` makes them.
    OfAuthority,
    /// One bit of the signature is another.
    BrokenSignature,
    /// An algorithm of 112 bits that nobody supports any more: ecdsa-with-SHA224.
    WeakSignature,
    /// A critical extension that nobody knows.
    UnknownExtension,
    /// For keys that encrypt and do not sign.
    ForEncryption,
    /// Names where its revocation could be looked up.
    Revocable,
}

/// `ecdsa-with-SHA256` in DER; the last byte is the hash (RFC 5758 section 3.2).
const SIGNED_WITH_SHA256: [u8; 8] = [0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2];

/// The authority that the module is told to trust, and others.
struct Authorities {
    trusted: Issuer<'static, KeyPair>,
    trusted_pem: String,
    unknown: Issuer<'static, KeyPair>,
}

fn authority(name: &str) -> (Issuer<'static, KeyPair>, String) {
    let params = authority_params(name);
    let key = KeyPair::generate().unwrap();
    let pem = params.self_signed(&key).unwrap().pem();
    (Issuer::new(params, key), pem)
}

fn authority_params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

fn authorities() -> &'static Authorities {
    static AUTHORITIES: OnceLock<Authorities> = OnceLock::new();
    AUTHORITIES.get_or_init(|| {
        let (trusted, trusted_pem) = authority("trusted by the tests");
        let (unknown, _) = authority("unknown to the module");
        Authorities {
            trusted,
            trusted_pem,
            unknown,
        }
    })
}

/// Writes the trusted authority to `folder`.
pub fn trusted_authority(folder: &Path) -> PathBuf {
    let path = folder.join("faults-ca.pem");
    std::fs::write(&path, &authorities().trusted_pem).unwrap();
    path
}

/// What an administrator may put into `ca_file` instead of a current authority.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Anchor {
    /// An authority that has expired, and a server below it.
    Expired,
    /// A server's certificate, and a server below it.
    OfServer,
    /// The certificate that the server shows; an authority that is not trusted has issued it.
    Shown,
    /// The certificate that the server shows, issued by itself, and of no authority.
    ShownAndSelfSigned,
}

/// The PEM for `ca_file`, and what the server sends, with its key.
pub fn anchored(anchor: Anchor) -> (String, Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
    let (mut params, key) = (authority_params("anchor"), KeyPair::generate().unwrap());
    match anchor {
        Anchor::Expired => params.not_after = date_time_ymd(2020, 1, 1),
        Anchor::OfServer => params.is_ca = IsCa::ExplicitNoCa,
        Anchor::Shown | Anchor::ShownAndSelfSigned => {
            let names = vec!["127.0.0.1".to_owned()];
            params = CertificateParams::new(names).unwrap();
            params.is_ca = IsCa::ExplicitNoCa;
        }
    }
    let root = match anchor {
        Anchor::Shown => params.signed_by(&key, &authorities().unknown),
        _ => params.self_signed(&key),
    };
    let root = root.unwrap();
    if matches!(anchor, Anchor::Shown | Anchor::ShownAndSelfSigned) {
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        return (root.pem(), vec![root.der().clone()], key);
    }
    let server = KeyPair::generate().unwrap();
    let issuer = Issuer::new(params, key);
    let shown = Certificate::Valid.params().signed_by(&server, &issuer);
    let key = PrivateKeyDer::try_from(server.serialize_der()).unwrap();
    (root.pem(), vec![shown.unwrap().der().clone()], key)
}

impl Certificate {
    /// What the server sends, its own first, and its key.
    pub fn chain_and_key(self) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
        let params = self.params();
        let key = KeyPair::generate().unwrap();
        let mut chain = Vec::new();
        let signed = match self {
            Self::SelfSigned => params.self_signed(&key),
            Self::UnknownAuthority => params.signed_by(&key, &authorities().unknown),
            _ => match self.intermediates() {
                Some(links) => {
                    let (issuer, sent) = issue_down(links);
                    chain = sent;
                    params.signed_by(&key, &issuer)
                }
                None => params.signed_by(&key, &authorities().trusted),
            },
        };
        if self == Self::WithoutIntermediate {
            chain.clear();
        }
        chain.insert(0, self.corrupted(signed.unwrap().der()));
        (chain, PrivateKeyDer::try_from(key.serialize_der()).unwrap())
    }

    fn params(self) -> CertificateParams {
        let name = if self == Self::OtherName {
            "other.example"
        } else {
            "127.0.0.1"
        };
        let names = vec![name.to_owned(), format!("{self:?}.example")];
        let mut params = CertificateParams::new(names).unwrap();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        match self {
            Self::ForClients => {
                params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth]
            }
            Self::Expired => params.not_after = date_time_ymd(2020, 1, 1),
            Self::EndsSoon => {
                params.not_after = (SystemTime::now() + Duration::from_secs(10 * 86_400)).into();
            }
            Self::NotYetValid => params.not_before = date_time_ymd(2090, 1, 1),
            Self::OfAuthority => params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained),
            Self::ForEncryption => params.key_usages = vec![KeyUsagePurpose::KeyEncipherment],
            Self::UnknownExtension => params.custom_extensions.push(unknown_extension()),
            Self::Revocable => params.crl_distribution_points.push(CrlDistributionPoint {
                uris: vec!["http://127.0.0.1/crl".to_owned()],
            }),
            _ => {}
        }
        params
    }

    /// The certificates between the trusted authority and the server's, from above.
    fn intermediates(self) -> Option<Vec<CertificateParams>> {
        let mut link = authority_params("between");
        match self {
            Self::WithIntermediate | Self::WithoutIntermediate => {}
            Self::ExpiredIntermediate => link.not_after = date_time_ymd(2020, 1, 1),
            Self::IssuedByServer => link.is_ca = IsCa::ExplicitNoCa,
            Self::ForbiddenName => {
                link.name_constraints = Some(NameConstraints {
                    permitted_subtrees: vec![GeneralSubtree::DnsName(
                        "internal.example".to_owned(),
                    )],
                    excluded_subtrees: vec![],
                });
            }
            Self::TooDeep => {
                link.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
                return Some(vec![link, authority_params("too deep")]);
            }
            _ => return None,
        }
        Some(vec![link])
    }

    fn corrupted(self, der: &CertificateDer<'static>) -> CertificateDer<'static> {
        let mut bytes = der.to_vec();
        match self {
            Self::BrokenSignature => *bytes.last_mut().unwrap() ^= 1,
            Self::WeakSignature => {
                let places =
                    (0..bytes.len()).filter(|at| bytes[*at..].starts_with(&SIGNED_WITH_SHA256));
                for at in places.collect::<Vec<_>>() {
                    bytes[at + 7] = 1;
                }
            }
            _ => {}
        }
        bytes.into()
    }
}

fn unknown_extension() -> CustomExtension {
    let mut extension =
        CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 99_999, 1], vec![5, 0]);
    extension.set_criticality(true);
    extension
}

/// Issues one after the other, each by the one before; the last as issuer, and all in the order of TLS.
fn issue_down(
    links: Vec<CertificateParams>,
) -> (Issuer<'static, KeyPair>, Vec<CertificateDer<'static>>) {
    let mut issuer: Option<Issuer<'static, KeyPair>> = None;
    let mut sent = Vec::new();
    for params in links {
        let key = KeyPair::generate().unwrap();
        let above = issuer.as_ref().unwrap_or(&authorities().trusted);
        sent.insert(0, params.signed_by(&key, above).unwrap().der().clone());
        issuer = Some(Issuer::new(params, key));
    }
    (issuer.unwrap(), sent)
}
