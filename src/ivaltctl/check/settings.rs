//! `ivalt.toml`. Whether it can be used is the module's own judgement; what its values do to a login is said here.

use std::path::Path;

use rustls::pki_types::CertificateDer;
use x509_parser::prelude::{ASN1Time, FromDer, X509Certificate, X509Version};

use super::accepted::derived;
use super::context::{CheckContext, Config, MISCONFIGURED, finding, line_of, problem_finding};
use super::packages;
use crate::finding::{Finding, Severity};
use crate::root::Root;
use crate::trust;
use ivalt_core::api::{self, SYSTEM_BUNDLES};
use ivalt_core::problem::{Problem, ProblemKind};
use ivalt_core::settings::{Settings, Tolerance};
use ivalt_core::trusted_file::{ReadPermission, SMALL};

/// Checks every settings file.
pub fn findings(context: &CheckContext) -> Vec<Finding> {
    let each = context.configs.iter();
    let each = each.map(|config| derived(context.root, || check(context, config)));
    each.collect::<Vec<_>>().concat()
}

fn check(context: &CheckContext, config: &Config) -> Vec<Finding> {
    match &config.settings {
        Err(problem) => vec![unusable_settings(&config.path, problem)],
        Ok(settings) => [
            of_a_user(config),
            documentation_mock(context.root, &config.path, settings),
            policies(context.root, &config.path, settings),
            derived(context.root, || {
                hidden_prompt(context, &config.path, settings)
            }),
            roots(context.root, &config.path, settings),
        ]
        .concat(),
    }
}

/// Of a service that runs as that user, such as PostgreSQL; whether it does cannot be seen from here.
fn of_a_user(config: &Config) -> Vec<Finding> {
    let Some(uid) = config.owner else {
        return Vec::new();
    };
    let what = format!(
        "belongs to user id {uid}: a service that runs as this user can use it; in every other {MISCONFIGURED}"
    );
    let fix = format!(
        "nothing, if all services that name it run as user id {uid}; if they run as root: chown root:root {}",
        config.path.display()
    );
    vec![finding(
        Severity::Warning,
        "settings-of-user",
        &config.path,
        what,
        fix,
    )]
}

fn unusable_settings(file: &Path, problem: &Problem) -> Finding {
    let (severity, id) = match problem.kind {
        ProblemKind::Missing => (Severity::LocksOut, "settings-missing"),
        ProblemKind::PermissionDenied => (Severity::Warning, "settings-not-seen"),
        ProblemKind::Untrusted | ProblemKind::Unreadable => {
            (Severity::LocksOut, "settings-untrusted")
        }
        ProblemKind::KeyFile => (Severity::LocksOut, "key-file-unusable"),
        ProblemKind::CaFile | ProblemKind::Invalid | ProblemKind::DefinedTwice => {
            (Severity::LocksOut, "settings-invalid")
        }
    };
    if problem.kind == ProblemKind::PermissionDenied {
        let what = format!("{}: its effect on logins cannot be checked", problem.what);
        let found = finding(severity, id, file, what, "run as root: sudo ivaltctl check");
        return found.not_acceptable();
    }
    let fix = format!(
        "correct it in {}; every key is explained in ivalt.toml(5)",
        file.display()
    );
    problem_finding(severity, id, file, problem, MISCONFIGURED, &fix)
}

/// The vendor's documentation is served by a mock that answers `success` to anything.
fn documentation_mock(root: &Root, file: &Path, settings: &Settings) -> Vec<Finding> {
    let push = &settings.push;
    let of_push = push.url.as_deref().filter(|_| push.enabled);
    let api = is_mock(&settings.api.url).then(|| {
        let what = "api.url is a documentation mock that accepts any token: anyone who is asked for iVALT gets in with any \
                    token";
        let fix = r#"write: url = "https://api.ivalt.com/admin/public/api""#;
        (what, fix, line_of(root, file, "url"))
    });
    let push = of_push.is_some_and(is_mock).then_some((
        "push.url is a documentation mock: whoever presses Enter may be let in without the phone",
        r#"write under [push]: url = "https://api.ivalt.com""#,
        None,
    ));
    let found = [api, push].into_iter().flatten();
    let found = found.map(|(what, fix, line)| Finding {
        line,
        ..finding(Severity::LetsIn, "documentation-mock", file, what, fix)
    });
    found.collect()
}

fn is_mock(url: &str) -> bool {
    let url = url.to_ascii_lowercase();
    let authority = url.trim_start_matches("https://");
    let (authority, path) = authority.split_once('/').unwrap_or((authority, ""));
    let host = authority
        .split(':')
        .next()
        .unwrap_or_default()
        .trim_end_matches('.');
    host == "api-docs.ivalt.com" || format!("/{path}/").contains("/_mock/")
}

fn policies(root: &Root, file: &Path, settings: &Settings) -> Vec<Finding> {
    let policy = &settings.policy;
    let cases = [
        (
            policy.unavailable,
            "unavailable",
            "unavailable-ignored",
            "policy.unavailable = \"ignore\": anyone who can cut this machine off from iVALT needs no token",
        ),
        (
            policy.unenrolled,
            "unenrolled",
            "unenrolled-ignored",
            "policy.unenrolled = \"ignore\": accounts without an entry in users.toml, new ones included, log in without a token",
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

fn hidden_prompt(context: &CheckContext, file: &Path, settings: &Settings) -> Vec<Finding> {
    context.note("sshd");
    let asked_by_sshd = context
        .lines
        .iter()
        .any(|line| line.service == "sshd" && line.config() == file);
    if settings.token.echo || !asked_by_sshd {
        return Vec::new();
    }
    let of_push = match settings.push.enabled {
        true => "; an empty password is taken for Enter, and sends a request to the phone",
        false => "",
    };
    let what = format!(
        "token.echo = false: sshd's password method answers hidden prompts with the UNIX password, which then goes to iVALT as \
         a token unless an earlier module took the same one{of_push}"
    );
    vec![Finding {
        line: line_of(context.root, file, "echo"),
        ..finding(
            Severity::Warning,
            "hidden-prompt",
            file,
            what,
            "write under [token]: echo = true",
        )
    }]
}

/// The trusted roots.
fn roots(root: &Root, file: &Path, settings: &Settings) -> Vec<Finding> {
    let Some(bundle) = &settings.api.ca_file else {
        return system_roots(root, file);
    };
    match root.read_trusted(trust(), bundle, ReadPermission::Anybody, SMALL) {
        Ok(pem) => [certificates(bundle, &pem), no_authorities(bundle, &pem)].concat(),
        Err(problem) => vec![unusable_roots(bundle, &problem)],
    }
}

/// The module trusts them as authorities all the same.
fn no_authorities(bundle: &Path, pem: &[u8]) -> Vec<Finding> {
    if !api::certificates(pem).any(|der| is_no_authority(&der)) {
        return Vec::new();
    }
    let what = "a certificate in it is a server's, not a CA's, and is trusted as a CA's: whoever has its key can pose as \
                iVALT, and where iVALT's certificate was issued by another CA, everybody is denied (unavailable)";
    let fix = "put the certificate of the CA that issued it there";
    vec![finding(
        Severity::Warning,
        "roots-not-ca",
        bundle,
        what,
        fix,
    )]
}

/// RFC 5280 section 4.2.1.9; a certificate of version 1 does not say.
fn is_no_authority(der: &CertificateDer) -> bool {
    X509Certificate::from_der(der).is_ok_and(|(_, certificate)| {
        certificate.version() == X509Version::V3 && !certificate.is_ca()
    })
}

fn unusable_roots(bundle: &Path, problem: &Problem) -> Finding {
    let id = "roots-unusable";
    problem_finding(Severity::LocksOut, id, bundle, problem, MISCONFIGURED, "")
}

fn certificates(bundle: &Path, pem: &[u8]) -> Vec<Finding> {
    let ders = api::certificates(pem);
    let usable: Vec<_> = ders
        .filter(|der| rustls::RootCertStore::empty().add(der.clone()).is_ok())
        .collect();
    if usable.is_empty() {
        return vec![unusable_roots(bundle, &api::no_certificate(bundle))];
    }
    // The module does not look at the dates of an authority, only at those of the server's certificate.
    if usable.iter().all(|der| expired(der)) {
        let what = "every certificate in it has expired: iVALT's next certificate may come from another authority, and \
                    then everybody who is asked for iVALT is denied (unavailable)";
        let fix = "put the authority's current certificate there, or remove ca_file from the settings to trust the system's";
        return vec![finding(
            Severity::Warning,
            "roots-expired",
            bundle,
            what,
            fix,
        )];
    }
    Vec::new()
}

fn expired(der: &CertificateDer) -> bool {
    X509Certificate::from_der(der)
        .is_ok_and(|(_, certificate)| certificate.validity().not_after < ASN1Time::now())
}

/// The file in which the system keeps the roots that it trusts.
pub fn system_bundle(root: &Root) -> Option<&'static Path> {
    let mut bundles = SYSTEM_BUNDLES.into_iter().map(Path::new);
    bundles.find(|path| root.exists(path))
}

fn system_roots(root: &Root, file: &Path) -> Vec<Finding> {
    let Some(bundle) = system_bundle(root) else {
        // A copy of some of a system's files says nothing about the others.
        let whole = ["/etc/ssl", "/etc/pki"]
            .map(Path::new)
            .into_iter()
            .any(|folder| root.is_folder(folder));
        if !whole && !root.is_this_machine() {
            return Vec::new();
        }
        let what = format!("no trusted roots found: {MISCONFIGURED}");
        let fix = packages::install(root, "ca-certificates, or set api.ca_file");
        let unknown = "install the package ca-certificates, or set api.ca_file";
        let fix = fix.unwrap_or_else(|| unknown.to_owned());
        let id = "roots-unusable";
        return vec![finding(Severity::LocksOut, id, file, what, fix)];
    };
    let pem = root.read_system_file(trust(), bundle, SMALL);
    match pem {
        Ok(pem) => certificates(bundle, &pem),
        Err(problem) => vec![unusable_roots(bundle, &problem)],
    }
}
