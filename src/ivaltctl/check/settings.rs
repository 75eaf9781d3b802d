//! `ivalt.toml`. Whether it can be used is the module's own judgement; what follows from its values is said here.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use rustls::pki_types::CertificateDer;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::patient::{Config, Patient, Unusable, Why, apart, finding, line_of};
use crate::finding::{Finding, Severity};
use crate::root::Root;
use crate::surroundings;
use ivalt_core::api::{self, SYSTEM_BUNDLES};
use ivalt_core::settings::{Settings, Tolerance};
use ivalt_core::trusted_file::{Readers, SMALL};

/// Examines every settings file.
pub fn findings(patient: &Patient) -> Vec<Finding> {
    let each = patient
        .configs
        .iter()
        .map(|config| examine(patient, config));
    each.collect::<Vec<_>>().concat()
}

fn examine(patient: &Patient, config: &Config) -> Vec<Finding> {
    match &config.settings {
        Err(unusable) => vec![unusable_settings(&config.path, unusable)],
        Ok(settings) => [
            mock(patient.root, &config.path, settings),
            policies(patient.root, &config.path, settings),
            hidden_prompt(patient, &config.path, settings),
            roots(patient.root, &config.path, settings),
        ]
        .concat(),
    }
}

fn unusable_settings(file: &Path, unusable: &Unusable) -> Finding {
    let (line, what, mend) = apart(&unusable.sentence, file);
    let shown = file.display();
    let (severity, id) = match unusable.why {
        Why::Missing => (Severity::LocksOut, "settings-missing"),
        Why::NotSeen => (Severity::Warning, "settings-not-seen"),
        Why::Untrusted => (Severity::LocksOut, "settings-untrusted"),
        Why::KeyFile => (Severity::LocksOut, "key-file-unusable"),
        Why::Invalid => (Severity::LocksOut, "settings-invalid"),
    };
    let (consequence, mend) = match unusable.why {
        Why::NotSeen => (
            "the doctor cannot say what a login will meet",
            "run as root: sudo ivaltctl check".to_owned(),
        ),
        _ => (
            "everybody who is asked for iVALT is denied (misconfigured)",
            mend.unwrap_or_else(|| {
                format!("correct it in {shown}; every key is explained in ivalt.toml(5)")
            }),
        ),
    };
    Finding {
        line,
        ..finding(severity, id, file, format!("{what}: {consequence}"), mend)
    }
}

/// The vendor's documentation is served by a mock that answers `success` to anything.
fn mock(root: &Root, file: &Path, settings: &Settings) -> Vec<Finding> {
    let url = settings.api.url.to_ascii_lowercase();
    let authority = url.trim_start_matches("https://");
    let (authority, path) = authority.split_once('/').unwrap_or((authority, ""));
    let host = authority
        .split(':')
        .next()
        .unwrap_or_default()
        .trim_end_matches('.');
    let of_documentation = host == "api-docs.ivalt.com";
    if !of_documentation && !format!("/{path}/").contains("/_mock/") {
        return Vec::new();
    }
    let what = "api.url is a documentation mock that accepts any token: whoever is asked for iVALT gets past it with anything";
    let mend = r#"write: url = "https://api.ivalt.com/admin/public/api""#;
    vec![Finding {
        line: line_of(root, file, "url"),
        ..finding(Severity::LetsIn, "documentation-mock", file, what, mend)
    }]
}

fn policies(root: &Root, file: &Path, settings: &Settings) -> Vec<Finding> {
    let policy = &settings.policy;
    let cases = [
        (
            policy.unavailable,
            "unavailable",
            "unavailable-ignored",
            "policy.unavailable = \"ignore\": whoever can cut this machine off from iVALT needs no token",
        ),
        (
            policy.unenrolled,
            "unenrolled",
            "unenrolled-ignored",
            "policy.unenrolled = \"ignore\": accounts without an entry in users.toml get past without a token, new ones too",
        ),
    ];
    let ignored = cases.into_iter().filter(|case| case.0 == Tolerance::Ignore);
    let found = ignored.map(|(_, key, id, what)| Finding {
        line: line_of(root, file, key),
        ..finding(
            Severity::Warning,
            id,
            file,
            what,
            format!("write under [policy]: {key} = \"deny\""),
        )
    });
    found.collect()
}

fn hidden_prompt(patient: &Patient, file: &Path, settings: &Settings) -> Vec<Finding> {
    let asked_by_sshd = patient
        .lines
        .iter()
        .any(|line| line.service == "sshd" && line.config() == file);
    if settings.token.echo || !asked_by_sshd {
        return Vec::new();
    }
    let what = "token.echo = false: sshd's password method answers hidden prompts with the UNIX password, which then \
                goes to iVALT as a token unless an earlier module took the same one";
    vec![Finding {
        line: line_of(patient.root, file, "echo"),
        ..finding(
            Severity::Warning,
            "hidden-prompt",
            file,
            what,
            "write under [token]: echo = true",
        )
    }]
}

/// The certificates by which iVALT is known.
fn roots(root: &Root, file: &Path, settings: &Settings) -> Vec<Finding> {
    let trust = surroundings().trust;
    let Some(bundle) = &settings.api.ca_file else {
        return system_roots(root, file);
    };
    match trust.read(&root.real(bundle), Readers::Anybody, SMALL) {
        Err(refused) => {
            let sentence = root.strip_root_prefix(&refused.to_string());
            let (_, what, mend) = apart(&sentence, bundle);
            vec![unusable_roots(bundle, &what, mend.unwrap_or_default())]
        }
        Ok(pem) => certificates(bundle, &pem),
    }
}

fn unusable_roots(bundle: &Path, what: &str, mend: String) -> Finding {
    let what = format!("{what}: everybody who is asked for iVALT is denied (misconfigured)");
    finding(Severity::LocksOut, "roots-unusable", bundle, what, mend)
}

fn certificates(bundle: &Path, pem: &[u8]) -> Vec<Finding> {
    let ders = api::certificates(pem);
    let usable: Vec<_> = ders
        .filter(|der| rustls::RootCertStore::empty().add(der.clone()).is_ok())
        .collect();
    let shown = bundle.display();
    if usable.is_empty() {
        let mend = format!("look at it: openssl x509 -in {shown} -noout -text");
        return vec![unusable_roots(
            bundle,
            "holds no certificate in PEM form",
            mend,
        )];
    }
    // The module does not look at the dates of an authority, only at those of the server's certificate.
    if usable.iter().all(|der| expired(der)) {
        let what = "every certificate in it has expired: iVALT's next certificate may come from another authority, and \
                    then everybody who is asked for iVALT is denied (unavailable)";
        let mend = "put the authority's current certificate there, or take ca_file out of the settings to trust the system's";
        return vec![finding(
            Severity::Warning,
            "roots-expired",
            bundle,
            what,
            mend,
        )];
    }
    Vec::new()
}

fn expired(der: &CertificateDer) -> bool {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
    X509Certificate::from_der(der)
        .is_ok_and(|(_, certificate)| certificate.validity().not_after.timestamp() < now)
}

fn system_roots(root: &Root, file: &Path) -> Vec<Finding> {
    let bundle = SYSTEM_BUNDLES
        .map(Path::new)
        .into_iter()
        .find(|path| root.followed(path).exists());
    let Some(bundle) = bundle else {
        // A copy of some of a system's files says nothing about the others.
        let whole = ["/etc/ssl", "/etc/pki"]
            .map(Path::new)
            .into_iter()
            .any(|folder| root.followed(folder).is_dir());
        if !whole && !root.is_this_machine() {
            return Vec::new();
        }
        let what =
            "no trusted roots found: everybody who is asked for iVALT is denied (misconfigured)";
        let mend = "run: apt install ca-certificates, or set api.ca_file";
        return vec![finding(
            Severity::LocksOut,
            "roots-unusable",
            file,
            what,
            mend,
        )];
    };
    match surroundings()
        .trust
        .read_system_file(&root.followed(bundle), SMALL)
    {
        Ok(pem) => certificates(bundle, &pem),
        Err(refused) => {
            let sentence = root.strip_root_prefix(&refused.to_string());
            let (_, what, mend) = apart(&sentence, bundle);
            vec![unusable_roots(bundle, &what, mend.unwrap_or_default())]
        }
    }
}
