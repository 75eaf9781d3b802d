//! `--online`: the connection to iVALT, step by step, and what its faults do to a login.
//!
//! No token is made up: the only operation that proves the API key without a user is `api/v1/auth`, for hosts that have
//! client credentials. Without them, nothing but the head of an empty request is sent, and no key.

use std::io::{self, IsTerminal};
use std::path::Path;
use std::time::{Duration, SystemTime};

use serde::Serialize;
use x509_parser::prelude::{ASN1Time, FromDer, X509Certificate};

use super::clock;
use super::context::{CheckContext, finding, line_of};
use super::settings::system_bundle;
use crate::finding::{Finding, Severity};
use crate::root::Root;
use crate::terminal;
use ivalt_core::api::{Answer, Client, Probe, Roots, Stage};
use ivalt_core::log_line::quote_log_value;
use ivalt_core::settings::{Api, ClientCredentials, Settings, Tolerance};
use ivalt_core::sys;
use ivalt_core::trusted_file::{ReadPermission, SMALL, Trust};

/// A certificate that ends within so many days should have been renewed.
const DAYS: i64 = 14;

/// One step of the connection.
#[derive(Debug, Serialize)]
pub struct ProbeStep {
    /// `dns`, `connect`, `tls`, `request`, `answer`, `api/v1/auth`.
    pub step: String,
    /// How long it took.
    pub ms: u64,
    /// What was seen, or what failed.
    pub said: String,
}

/// Probes every iVALT that the settings name.
pub fn probe(context: &CheckContext, findings: &mut Vec<Finding>) -> Vec<ProbeStep> {
    let mut steps = Vec::new();
    for (config, settings) in context.usable() {
        let api = &settings.api;
        // Roots that cannot be used are a finding about the settings.
        let Some(roots) = roots(context.root, config.trust(), api) else {
            continue;
        };
        let client = Client::with_roots(api, roots, sys::platform());
        let client = client.and_then(|client| client.check_roots().map(|()| client));
        let Ok(mut client) = client else {
            continue;
        };
        if io::stderr().is_terminal() {
            terminal::print_error(format_args!(
                "asking {} …",
                quote_log_value(api.url.as_bytes())
            ));
        }
        let check = ApiCheck {
            context,
            file: &config.path,
            settings,
        };
        let probe = client.probe();
        steps.extend(check.steps(&probe));
        findings.extend(check.findings(&probe));
        if let (None, Some(credentials)) = (&probe.failed, &api.client) {
            let (step, found) = check.authenticate(&mut client, credentials);
            steps.push(step);
            findings.extend(found);
        }
    }
    steps
}

/// The trusted roots of the system that is checked, where they can be read.
fn roots(root: &Root, trust: Trust, api: &Api) -> Option<Roots> {
    let path = match &api.ca_file {
        Some(path) => path,
        None => system_bundle(root)?,
    };
    let pem = match &api.ca_file {
        Some(path) => root.read_trusted(trust, path, ReadPermission::Anybody, SMALL),
        None => root.read_system_file(trust, path, SMALL),
    };
    Some(Roots::from_pem(path.to_owned(), pem.ok()?))
}

struct ApiCheck<'a> {
    context: &'a CheckContext<'a>,
    file: &'a Path,
    settings: &'a Settings,
}

impl ApiCheck<'_> {
    fn steps(&self, probe: &Probe) -> Vec<ProbeStep> {
        let steps = probe.times.iter().map(|(stage, time)| ProbeStep {
            step: stage.to_string(),
            ms: milliseconds(*time),
            said: match &probe.failed {
                Some((failed, cause)) if failed == stage => cause.clone(),
                _ => result(probe, *stage),
            },
        });
        steps.collect()
    }

    fn finding(&self, severity: Severity, id: &'static str, what: &str, fix: &str) -> Finding {
        Finding {
            line: line_of(self.context.root, self.file, "url"),
            ..finding(severity, id, self.file, what, fix)
        }
    }

    fn findings(&self, probe: &Probe) -> Vec<Finding> {
        let mut findings = Vec::new();
        if let Some((stage, cause)) = &probe.failed {
            findings.push(self.unavailable(*stage, cause));
        } else if probe.http.is_none() {
            findings.push(self.unavailable(Stage::Answer, "answer: not an HTTP answer"));
        }
        findings.extend(
            probe
                .tls
                .as_ref()
                .and_then(|tls| self.certificate(&tls.certificate)),
        );
        findings.extend(probe.date.as_deref().and_then(|date| self.clock(date)));
        findings
    }

    /// What the module calls unavailable; by policy, that denies users or lets them in.
    fn unavailable(&self, stage: Stage, cause: &str) -> Finding {
        let (severity, consequence) = match self.settings.policy.unavailable {
            Tolerance::Deny => (
                Severity::LocksOut,
                "everybody who is asked for iVALT is denied",
            ),
            Tolerance::Ignore => (
                Severity::LetsIn,
                "everybody logs in without a token, because of policy.unavailable",
            ),
        };
        let host = self.host();
        let (id, fix) = match stage {
            Stage::Dns => (
                "online-dns",
                format!("inspect: getent ahosts {host}; then /etc/resolv.conf, or api.proxy"),
            ),
            Stage::Connect => (
                "online-connect",
                format!("inspect: curl -v https://{host}/; then firewall, or api.proxy"),
            ),
            Stage::Tls => (
                "online-tls",
                format!(
                    "inspect: openssl s_client -connect {host}:443 -servername {host}; then clock, api.ca_file"
                ),
            ),
            Stage::Request | Stage::Answer => {
                ("online-answer", format!("inspect: curl -v https://{host}/"))
            }
        };
        let what = format!(
            "{}: {consequence} (unavailable)",
            quote_log_value(cause.as_bytes()).trim_matches('"')
        );
        self.finding(severity, id, &what, &fix)
    }

    fn host(&self) -> String {
        let url = self
            .settings
            .api
            .url
            .get("https://".len()..)
            .unwrap_or_default();
        let authority = url.split('/').next().unwrap_or_default();
        let name = authority
            .rsplit_once(':')
            .map_or(authority, |(name, _)| name);
        quote_log_value(name.as_bytes())
    }

    fn certificate(&self, der: &[u8]) -> Option<Finding> {
        let days = days_left(&X509Certificate::from_der(der).ok()?.1);
        let what = format!(
            "iVALT's certificate expires in {days} days: from then on everybody who is asked for iVALT is denied, if it is not \
             renewed"
        );
        let fix = "ask the operator of the server in api.url to renew it";
        (days < DAYS)
            .then(|| self.finding(Severity::Warning, "online-certificate-ends", &what, fix))
    }

    fn clock(&self, date: &str) -> Option<Finding> {
        let theirs = httpdate::parse_http_date(date).ok()?;
        let difference = SystemTime::now()
            .duration_since(theirs)
            .unwrap_or_else(|ahead| ahead.duration());
        let what = format!(
            "the clock differs from iVALT's by {} minutes: when it is far off, iVALT's certificate is refused and \
             everybody who is asked is denied (unavailable)",
            difference.as_secs() / 60
        );
        (difference > clock::TOLERANCE).then(|| {
            self.finding(
                Severity::Warning,
                "online-clock",
                &what,
                &clock::fix(self.context.root),
            )
        })
    }

    /// The one operation that proves this host's key without a user's token.
    fn authenticate(
        &self,
        client: &mut Client,
        credentials: &ClientCredentials,
    ) -> (ProbeStep, Option<Finding>) {
        let exchange = client.authenticate_client(credentials);
        let (said, found) = match &exchange.answer {
            Answer::Verified => ("success".to_owned(), None),
            Answer::ApiKeyRefused(_) => (
                "the API key is refused".to_owned(),
                Some(self.finding(
                    Severity::LocksOut,
                    "online-api-key-refused",
                    "iVALT refuses this host's API key: everybody who is asked for iVALT is denied (api-key-refused)",
                    "correct api.key",
                )),
            ),
            Answer::Rejected(error) => {
                let words = quote_log_value(format!("{} {}", error.code, error.detail).trim().as_bytes());
                let what = format!("iVALT refuses api.client_id and api.client_secret ({words}); logins do not need them");
                let fix = "correct both, or remove both";
                (
                    format!("refused: {words}"),
                    Some(self.finding(Severity::Warning, "online-client-refused", &what, fix)),
                )
            }
            Answer::Unusable(cause, _) | Answer::LocalFault(cause) => (cause.clone(), Some(self.unavailable(Stage::Answer, cause))),
        };
        let step = ProbeStep {
            step: "api/v1/auth".to_owned(),
            ms: milliseconds(exchange.elapsed),
            said,
        };
        (step, found)
    }
}

/// What was seen in a step that succeeded.
fn result(probe: &Probe, stage: Stage) -> String {
    match (stage, &probe.tls) {
        (Stage::Dns, _) => {
            let addresses: Vec<_> = probe
                .addresses
                .iter()
                .map(|address| address.ip().to_string())
                .collect();
            addresses.join(", ")
        }
        (Stage::Tls, Some(tls)) => match X509Certificate::from_der(&tls.certificate) {
            Ok((_, certificate)) => format!(
                "{}, certificate of {}, by {}, {} days left",
                tls.version.replace('_', ".").replacen("TLSv", "TLS ", 1),
                quote_log_value(certificate.subject().to_string().as_bytes()),
                quote_log_value(certificate.issuer().to_string().as_bytes()),
                days_left(&certificate)
            ),
            Err(_) => tls.version.clone(),
        },
        (Stage::Answer, _) => probe.http.map_or_else(String::new, |status| {
            format!("HTTP {status} to an empty request without the API key")
        }),
        _ => String::new(),
    }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn days_left(certificate: &X509Certificate) -> i64 {
    let end = certificate.validity().not_after.timestamp();
    end.saturating_sub(ASN1Time::now().timestamp()) / 86_400
}
