//! Against rustls's own verifier with the whole bundle: the same answer, word for word, whatever the bundle and whatever
//! the server presents.

mod bundles;
mod pool;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use memchr::memmem;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use rustls::crypto::ring;

use super::*;
use pool::{Digits, Pool, Presented};

const CHAINS: u32 = 10_000;
const DAMAGED: u32 = 2_000;

/// Who answers of a bundle.
struct Both {
    ours: Option<Verifier>,
    whole: Option<Arc<WebPkiServerVerifier>>,
}

impl Both {
    fn new(pem: &[u8]) -> Self {
        let provider = Arc::new(ring::default_provider());
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(every_certificate(pem));
        let bundle = Bundle::kept(PathBuf::new(), pem.to_vec());
        let whole =
            WebPkiServerVerifier::builder_with_provider(roots.into(), Arc::clone(&provider));
        Self {
            ours: Verifier::new(Arc::new(bundle), pem, provider),
            whole: whole.build().ok(),
        }
    }

    /// What both say.
    fn answer(&self, presented: &Presented) -> Result<String, TestCaseError> {
        let ask = |verifier: &dyn ServerCertVerifier| {
            let (first, rest) = presented.chain.split_first().unwrap();
            let name = ServerName::try_from(presented.name).unwrap();
            let now = UnixTime::since_unix_epoch(Duration::from_secs(presented.now));
            let answer = verifier.verify_server_cert(first, rest, &name, &[], now);
            format!("{:?}", answer.map(|_| ()))
        };
        let ours = self.ours.as_ref().map(|verifier| ask(verifier));
        let whole = self.whole.as_ref().map(|verifier| ask(&**verifier));
        prop_assert_eq!(&ours, &whole);
        Ok(ours.unwrap_or_else(|| "no certificate".to_owned()))
    }
}

/// Every certificate of a bundle, one after the other.
fn every_certificate(pem: &[u8]) -> Vec<CertificateDer<'static>> {
    let (begin, end) = ("-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----");
    let begins: Vec<_> = memmem::find_iter(pem, begin).collect();
    let parts = begins.iter().enumerate().map(|(number, at)| {
        let next = begins.get(number + 1).copied().unwrap_or(pem.len());
        &pem[at + begin.len()..next]
    });
    let certificates = parts.filter_map(|part| {
        let body = &part[..memmem::find(part, end.as_bytes())?];
        let lines = body.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
        Some(
            STANDARD
                .decode(lines.collect::<Vec<_>>().concat())
                .ok()?
                .into(),
        )
    });
    certificates.collect()
}

/// How often each answer was given, by its first words.
#[derive(Default)]
struct Answers(RefCell<BTreeMap<String, u32>>);

impl Answers {
    fn count(&self, answer: &str) {
        let words = answer.split(|letter: char| !letter.is_alphanumeric());
        let words: Vec<_> = words.filter(|word| !word.is_empty()).take(5).collect();
        *self.0.borrow_mut().entry(words.join(" ")).or_default() += 1;
    }

    #[track_caller]
    fn assert_seen(&self, wanted: &[&str]) {
        let seen = self.0.borrow();
        for answer in wanted {
            let times = seen.iter().filter(|(words, _)| words.contains(answer));
            assert!(
                times.map(|(_, times)| times).sum::<u32>() > 0,
                "{answer}: {seen:?}"
            );
        }
    }
}

/// Runs `case` with random digits; a failure prints those of the shortest that fails.
#[track_caller]
fn check(cases: u32, case: impl Fn(&mut Digits) -> Result<(), TestCaseError>) {
    let config = ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(cases)
    };
    let digits = proptest::collection::vec(any::<u32>(), 24);
    let done = TestRunner::new(config).run(&digits, |digits| case(&mut Digits::new(digits)));
    if let Err(failed) = done {
        panic!("{failed}");
    }
}

#[test]
fn chains_are_answered_as_by_the_whole_bundle() {
    let pool = Pool::get();
    let bundles: Vec<_> = pool.bundles().iter().map(|pem| Both::new(pem)).collect();
    let answers = Answers::default();
    check(CHAINS, |digits| {
        let bundle = digits.choose(&bundles);
        answers.count(&bundle.answer(&pool.presented(digits))?);
        Ok(())
    });
    answers.assert_seen(&[
        "Ok",
        "UnknownIssuer",
        "Expired",
        "NotValidYet",
        "BadSignature",
        "NotValidForName",
        "BadEncoding",
        "InvalidPurpose",
        "CaUsedAsEndEntity",
        "EndEntityUsedAsCa",
        "NameConstraintViolation",
        "PathLenConstraintViolated",
    ]);
}

#[test]
fn odd_bundles_are_answered_as_a_whole() {
    let pool = Pool::get();
    let chains = pool.one_chain_of_each_root();
    let mut with_roots = 0;
    for (name, pem) in bundles::odd(pool) {
        let bundle = Both::new(&pem);
        with_roots += u32::from(bundle.ours.is_some());
        for presented in &chains {
            if let Err(failed) = bundle.answer(presented) {
                panic!("{name}: {failed}");
            }
        }
    }
    assert!(with_roots >= 44, "{with_roots}");
}

/// A byte of a root, of its PEM, or of what is presented.
#[test]
fn damage_is_answered_as_by_the_whole_bundle() {
    let pool = Pool::get();
    let chains = pool.one_chain_of_each_root();
    let answers = Answers::default();
    check(DAMAGED, |digits| {
        let number = digits.below(chains.len());
        let (mut root, mut presented) = (pool.roots[number].to_vec(), chains[number].clone());
        let damaged = digits.below(3);
        match damaged {
            0 => pool::damage(&mut root, digits),
            1 => presented.damage(digits),
            _ => {}
        }
        let other = digits.choose(&pool.roots);
        let mut pem = bundles::pem(other, "\n", 64);
        pem.extend(bundles::pem(&root, "\n", 64));
        if damaged == 2 {
            let at = digits.below(pem.len());
            pem[at] = *digits.choose(b"\n\r -=A/\0\xff");
        }
        answers.count(&Both::new(&pem).answer(&presented)?);
        Ok(())
    });
    answers.assert_seen(&["Ok", "UnknownIssuer", "BadSignature", "BadEncoding"]);
}

#[test]
fn other_roots_are_not_decoded() {
    // The subjects of the last four are beyond the beginning, and so decoded.
    let (short, _) = Pool::get().roots.split_last_chunk::<4>().unwrap();
    let plain: Vec<_> = short.iter().map(|root| root.to_vec()).collect();
    let version_1 = short.iter().map(|root| bundles::version_1(root)).collect();
    for roots in [plain, version_1] {
        let pem: Vec<_> = roots
            .iter()
            .flat_map(|root| bundles::pem(root, "\n", 64))
            .collect();
        for root in &roots {
            let (_, subject) = names(root).unwrap();
            let same = roots
                .iter()
                .filter(|other| names(other).unwrap().1 == subject);
            let found = roots_of(&pem, &Some(vec![subject.to_vec()]));
            assert_eq!(found.len(), same.count());
        }
        assert_eq!(roots_of(&pem, &None).len(), roots.len());
    }
}

#[test]
fn issuers_are_looked_for_once() {
    let pool = Pool::get();
    let pem = bundles::pem(&pool.roots[0], "\n", 64);
    let both = Both::new(&pem);
    let ours = both.ours.unwrap();
    let of = |issuers: &Issuers| ours.of_issuers(issuers.clone()).unwrap();
    let (_, subject) = names(&pool.roots[0]).unwrap();
    let (known, other) = (Some(vec![subject.to_vec()]), Some(vec![b"other".to_vec()]));
    let last = of(&known);
    assert!(Arc::ptr_eq(&last, &of(&known)));
    assert!(Arc::ptr_eq(&of(&other), &ours.first));
    assert!(!Arc::ptr_eq(&of(&None), &last));
}

/// A root that is withdrawn while a login lasts is so from the next handshake on, the first of the bundle, too.
#[test]
fn a_replaced_bundle_is_answered_by_the_new_one() {
    let pool = Pool::get();
    let chains = pool.one_chain_of_each_root();
    let provider = Arc::new(ring::default_provider());
    for (number, old) in pool.roots.iter().enumerate() {
        let next = &pool.roots[(number + 1) % pool.roots.len()];
        let (old, new) = (bundles::pem(old, "\n", 64), bundles::pem(next, "\n", 64));
        let bundle = Arc::new(Bundle::kept(PathBuf::new(), new.clone()));
        let ours = Verifier::new(bundle, &old, Arc::clone(&provider));
        let both = Both {
            ours,
            ..Both::new(&new)
        };
        for presented in &chains {
            both.answer(presented).unwrap();
        }
    }
    let first = Bundle::kept(PathBuf::new(), b"no certificate".to_vec());
    let old = bundles::pem(&pool.roots[0], "\n", 64);
    let ours = Verifier::new(Arc::new(first), &old, provider).unwrap();
    assert!(ours.of_issuers(None).is_err());
}
