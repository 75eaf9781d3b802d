//! Certificates that fit together, and such as do not. Made once: signing is slow.

use std::iter;
use std::sync::OnceLock;

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, DnValue,
    ExtendedKeyUsagePurpose, GeneralSubtree, IsCa, Issuer, KeyPair, NameConstraints,
    PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519, date_time_ymd,
};
use rustls::pki_types::CertificateDer;

use super::bundles;

const SERVER: &str = "server.example";
/// 2026-01-01.
const NOW: u64 = 1_767_225_600;
/// As many subjects, some of them alike, each with two keys.
const AUTHORITIES: usize = 18;
const LINKS: usize = 160;
const SERVERS: usize = 120;
const BUNDLES: usize = 24;

/// Random numbers, from which a case is made.
pub struct Digits(Box<dyn Iterator<Item = u32>>);

impl Digits {
    pub fn new(digits: Vec<u32>) -> Self {
        Self(Box::new(digits.into_iter().chain(iter::repeat(0))))
    }

    /// The same at each run (Numerical Recipes, "quick and dirty").
    fn fixed() -> Self {
        let next = |last: &u32| Some(last.wrapping_mul(1_664_525).wrapping_add(1_013_904_223));
        Self(Box::new(
            iter::successors(Some(17), next).map(|digit| digit >> 8),
        ))
    }

    pub fn below(&mut self, end: usize) -> usize {
        self.0.next().unwrap() as usize % end
    }

    pub fn choose<'a, T>(&mut self, list: &'a [T]) -> &'a T {
        &list[self.below(list.len())]
    }
}

/// What a server shows, and when, and who is expected.
#[derive(Clone, Debug)]
pub struct Presented {
    pub chain: Vec<CertificateDer<'static>>,
    pub name: &'static str,
    pub now: u64,
}

impl Presented {
    fn new(chain: Vec<CertificateDer<'static>>) -> Self {
        let (name, now) = (SERVER, NOW);
        Self { chain, name, now }
    }

    pub fn damage(&mut self, digits: &mut Digits) {
        let at = digits.below(self.chain.len());
        let mut der = self.chain[at].to_vec();
        damage(&mut der, digits);
        self.chain[at] = der.into();
    }
}

/// Another byte, mostly where the names are; or the end is missing, or there is more.
pub fn damage(der: &mut Vec<u8>, digits: &mut Digits) {
    let end = if digits.below(4) == 0 { 2000 } else { 120 };
    let at = digits.below(end.min(der.len()).max(1));
    match digits.below(8) {
        0 => der.truncate(at),
        1 => der.push(0),
        _ if der.is_empty() => {}
        2 => der.insert(at, 0),
        3 => der[at] = *digits.choose(&[0x30, 0x02, 0xa0, 0x80, 0x81, 0x82, 0x83, 0x7f]),
        _ => der
            .iter_mut()
            .skip(at)
            .take(1)
            .for_each(|byte| *byte ^= 1 << digits.below(8)),
    }
}

struct Link {
    der: CertificateDer<'static>,
    subject: usize,
    issuer: usize,
}

/// The authorities are numbered; each has a root.
pub struct Pool {
    pub roots: Vec<CertificateDer<'static>>,
    links: Vec<Link>,
    servers: Vec<Link>,
}

impl Pool {
    pub fn get() -> &'static Self {
        static POOL: OnceLock<Pool> = OnceLock::new();
        POOL.get_or_init(Self::new)
    }

    fn new() -> Self {
        let mut digits = Digits::fixed();
        let authorities: Vec<_> = (0..AUTHORITIES).map(authority).collect();
        let roots = authorities
            .iter()
            .enumerate()
            .map(|(number, (params, key))| {
                // Whoever is trusted may have been signed by another.
                let (other, signer) = &authorities[(number + 3) % AUTHORITIES];
                match number % 6 {
                    5 => params.signed_by(key, &Issuer::from_params(other, signer)),
                    _ => params.self_signed(key),
                }
            });
        let roots = roots.map(|root| root.unwrap().der().clone()).collect();
        let links = (0..LINKS).map(|_| {
            let (subject, issuer) = (digits.below(AUTHORITIES), digits.below(AUTHORITIES));
            let (params, key) = &authorities[subject];
            let mut params = params.clone();
            vary_authority(&mut params, &mut digits);
            let der = signed(&params, key, &authorities[issuer]);
            Link {
                der,
                subject,
                issuer,
            }
        });
        let links = links.collect();
        let key = KeyPair::generate().unwrap();
        let servers = (0..SERVERS).map(|number| {
            // Of each authority one at least.
            let issuer = number % AUTHORITIES;
            let mut params = CertificateParams::new([SERVER.to_owned()]).unwrap();
            if number >= AUTHORITIES {
                vary_server(&mut params, &mut digits);
            }
            let der = signed(&params, &key, &authorities[issuer]);
            Link {
                der,
                subject: AUTHORITIES,
                issuer,
            }
        });
        let servers = servers.collect();
        Self {
            roots,
            links,
            servers,
        }
    }

    /// Random halves of the roots, in random order.
    pub fn bundles(&self) -> Vec<Vec<u8>> {
        let mut digits = Digits::fixed();
        let bundles = (0..BUNDLES).map(|_| {
            let roots = (0..AUTHORITIES * 2 / 3).map(|_| digits.choose(&self.roots).clone());
            roots
                .flat_map(|root| bundles::pem(&root, "\n", 64))
                .collect()
        });
        bundles.collect()
    }

    pub fn one_chain_of_each_root(&self) -> Vec<Presented> {
        let servers = self.servers[..AUTHORITIES].iter();
        servers
            .map(|server| Presented::new(vec![server.der.clone()]))
            .collect()
    }

    pub fn presented(&self, digits: &mut Digits) -> Presented {
        let server = digits.choose(&self.servers);
        let (mut chain, mut issuer) = (vec![server.der.clone()], server.issuer);
        for _ in 0..digits.below(4) {
            let fitting: Vec<_> = self
                .links
                .iter()
                .filter(|link| link.subject == issuer)
                .collect();
            let link = match digits.below(8) {
                0 => digits.choose(&self.links),
                // Another key of the same subject, as often as there is one.
                1 => self
                    .links
                    .iter()
                    .find(|link| link.subject == issuer ^ 1)
                    .unwrap_or(fitting[0]),
                _ => digits.choose(&fitting),
            };
            chain.push(link.der.clone());
            issuer = link.issuer;
        }
        let mut presented = Presented::new(chain);
        for _ in 0..digits.below(6).saturating_sub(3) {
            self.spoil(&mut presented, digits);
        }
        presented
    }

    fn spoil(&self, presented: &mut Presented, digits: &mut Digits) {
        let chain = &mut presented.chain;
        let (one, other) = (digits.below(chain.len()), digits.below(chain.len()));
        match digits.below(11) {
            0 => chain.swap(one, other),
            1 if chain.len() > 1 => drop(chain.remove(one)),
            2 => chain.push(chain[one].clone()),
            3 => chain.insert(one + 1, digits.choose(&self.links).der.clone()),
            4 => chain.push(digits.choose(&self.roots).clone()),
            5 => chain[0] = digits.choose(&self.roots).clone(),
            6 => chain.push(digits.choose(&self.servers).der.clone()),
            7 => {
                presented.name = *digits.choose(&["other.example", "127.0.0.1", "a.server.example"])
            }
            8 => presented.now = *digits.choose(&[1_500_000_000, 4_000_000_000]),
            9 => chain.reverse(),
            _ => presented.damage(digits),
        }
    }
}

fn signed(
    params: &CertificateParams,
    key: &KeyPair,
    (issuer, signer): &(CertificateParams, KeyPair),
) -> CertificateDer<'static> {
    let issued = params.signed_by(key, &Issuer::from_params(issuer, signer));
    issued.unwrap().der().clone()
}

/// Two numbers have one subject and different keys.
fn authority(number: usize) -> (CertificateParams, KeyPair) {
    let algorithm = match number {
        6 => &PKCS_ECDSA_P384_SHA384,
        9 => &PKCS_ED25519,
        _ => &PKCS_ECDSA_P256_SHA256,
    };
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name = subject(number / 2);
    match number {
        2 => params.not_after = date_time_ymd(2020, 1, 1),
        4 => params.is_ca = IsCa::ExplicitNoCa,
        8 => params.name_constraints = Some(only_below("internal.example")),
        11 => params.name_constraints = Some(only_below("example")),
        _ => {}
    }
    (params, KeyPair::generate_for(algorithm).unwrap())
}

fn subject(number: usize) -> DistinguishedName {
    let mut subject = DistinguishedName::new();
    let mut push = |kind, value: DnValue| subject.push(kind, value);
    match number {
        // Alike, and not the same to the byte.
        0 => push(DnType::CommonName, DnValue::Utf8String("Root".to_owned())),
        1 => push(
            DnType::CommonName,
            DnValue::PrintableString("Root".try_into().unwrap()),
        ),
        2 => push(DnType::CommonName, DnValue::Utf8String("root".to_owned())),
        3 => push(DnType::CommonName, DnValue::Utf8String("Root ".to_owned())),
        4 => push(
            DnType::OrganizationName,
            DnValue::Utf8String("Root".to_owned()),
        ),
        5 => {
            push(
                DnType::OrganizationName,
                DnValue::Utf8String("Root".to_owned()),
            );
            push(DnType::CommonName, DnValue::Utf8String("Root".to_owned()));
        }
        // No subject at all.
        6 => {}
        // Two bytes of length; and beyond what is decoded at first.
        7 => push(DnType::CommonName, DnValue::Utf8String("Root ".repeat(40))),
        _ => push(DnType::CommonName, DnValue::Utf8String("Root ".repeat(200))),
    }
    subject
}

fn only_below(domain: &str) -> NameConstraints {
    NameConstraints {
        permitted_subtrees: vec![GeneralSubtree::DnsName(domain.to_owned())],
        excluded_subtrees: Vec::new(),
    }
}

fn vary_authority(params: &mut CertificateParams, digits: &mut Digits) {
    match digits.below(16) {
        0 => params.not_after = date_time_ymd(2020, 1, 1),
        1 => params.not_before = date_time_ymd(2090, 1, 1),
        2 => params.is_ca = IsCa::NoCa,
        3 => params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0)),
        4 => params.name_constraints = Some(only_below("internal.example")),
        5 => params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth],
        _ => {
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            params.not_after = date_time_ymd(2100, 1, 1);
        }
    }
}

fn vary_server(params: &mut CertificateParams, digits: &mut Digits) {
    match digits.below(12) {
        0 => params.not_after = date_time_ymd(2020, 1, 1),
        1 => params.not_before = date_time_ymd(2090, 1, 1),
        2 => params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained),
        3 => params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth],
        4 => params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth],
        5 => params.subject_alt_names.clear(),
        _ => {}
    }
}
