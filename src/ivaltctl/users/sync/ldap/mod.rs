//! The directory: people by the system's ldapsearch(1), complete or not at all.
//!
//! | module | what it does |
//! | --- | --- |
//! | [`server`] | which kind of directory it is, and what people may change there by themselves |
//! | [`people`] | what an entry says of a person |
//! | [`program`] | runs ldapsearch: environment, arguments, time |
//! | [`causes`] | what its failures mean |
//! | [`tls`] | why a server cannot be reached |
//! | [`ldif`] | what it prints |

mod causes;
mod ldif;
mod people;
mod program;
mod server;
mod tls;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use super::DIRECTORY;
use super::person::{Answer, NoAnswer, Person};
use super::settings::{Bind, Guard, Ldap, Map, SelfWritable, Uri};
use crate::trust;
use ivalt_core::api::{SYSTEM_BUNDLES, certificates, no_certificate};
use ivalt_core::problem::{Problem, ProblemKind};
use ivalt_core::secret::Secret;
use ivalt_core::trusted_file::{ReadPermission, SMALL};
use ldif::Entry;
use program::{Caller, Failed, Query};
use server::{Kind, OwnersMay};

/// Asks the directory for its people.
///
/// # Errors
/// It has not answered completely, or what it says must not be believed.
pub fn read(settings: &Ldap, map: &Map, guard: &Guard) -> Result<Answer, NoAnswer> {
    let caller = caller(settings).map_err(NoAnswer::Refused)?;
    let until = Instant::now() + settings.timeout;
    let (uri, root_dse, mut notices) = first_reachable(&caller, until)?;
    let directory = Directory {
        caller: &caller,
        uri,
        map,
        until,
    };
    let kind = server::kind(&root_dse);
    notices.extend(directory.require_foreign_hands(&kind, guard)?);
    let entries = directory.search(&directory.people())?;
    let people = directory.persons(&entries, &kind)?;
    notices.extend(without_mobiles(&people, map));
    Ok(Answer {
        people,
        source: uri.text.clone(),
        notices,
    })
}

/// Reads what ldapsearch gets from files; what it opens by itself must at least be what it may trust.
fn caller(settings: &Ldap) -> Result<Caller<'_>, String> {
    let mut password = None;
    match &settings.bind {
        Bind::Simple { password_file, .. } => {
            let content = secret("password_file", password_file)?;
            password = Some(only_line(password_file, &content)?);
        }
        Bind::Gssapi { keytab } => drop(secret("keytab", keytab)?),
        Bind::External(None) => {}
        Bind::External(Some(certificate)) => {
            public("cert_file", &certificate.cert_file)?;
            drop(secret("key_file", &certificate.key_file)?);
        }
    }
    let ca_file = match &settings.ca_file {
        Some(path) => {
            // Whom does TLS trust where there is nobody?
            if certificates(&public("ca_file", path)?).next().is_none() {
                return Err(named("ca_file", &no_certificate(path)));
            }
            path.clone()
        }
        None => system_bundle(),
    };
    Ok(Caller {
        settings,
        password,
        ca_file,
    })
}

/// An empty file, which the module's own sentence proposes, would help nobody here.
fn named(key: &str, problem: &Problem) -> String {
    match problem.kind {
        ProblemKind::Missing => {
            let fix = format!("put it there, or correct {key} under [ldap] in {DIRECTORY}");
            format!("ldap.{key}: {}", problem.clone().fix(fix))
        }
        _ => format!("ldap.{key}: {problem}"),
    }
}

fn secret(key: &str, path: &Path) -> Result<Secret, String> {
    let bytes = trust().read(path, ReadPermission::OwnerOnly, SMALL);
    let bytes = bytes.map_err(|problem| named(key, &problem))?;
    Ok(Secret::new(bytes))
}

fn public(key: &str, path: &Path) -> Result<Vec<u8>, String> {
    let bytes = trust().read(path, ReadPermission::Anybody, SMALL);
    bytes.map_err(|problem| named(key, &problem))
}

fn system_bundle() -> PathBuf {
    let mut bundles = SYSTEM_BUNDLES.iter().map(Path::new);
    let found = bundles.find(|path| path.exists());
    // Where there is none, its name stands in the error.
    found.unwrap_or(Path::new(SYSTEM_BUNDLES[0])).to_owned()
}

/// A bind with an empty password succeeds, as nobody (RFC 4513 section 5.1.2).
fn only_line(path: &Path, content: &Secret) -> Result<Secret, String> {
    let bytes = content.as_bytes();
    let line = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let is_line = !line.iter().any(|byte| matches!(byte, 0 | b'\n' | b'\r'));
    match (1..=4096).contains(&line.len()) && is_line {
        true => Ok(Secret::new(line.to_vec())),
        false => Err(format!(
            "ldap.password_file: {}: must hold the password alone, in one line",
            path.display()
        )),
    }
}

/// The first server that says what it is, and about each before it why it was passed over.
fn first_reachable<'a>(
    caller: &Caller<'a>,
    until: Instant,
) -> Result<(&'a Uri, Entry, Vec<String>), NoAnswer> {
    let uris = &caller.settings.uris;
    let mut why = Vec::new();
    for (at, uri) in uris.iter().enumerate() {
        // However long one of them is silent, each has its turn.
        let left = until.saturating_duration_since(Instant::now());
        let servers = u32::try_from(uris.len() - at).unwrap_or(u32::MAX);
        let turn = Instant::now() + (left / servers).max(Duration::from_secs(1));
        match caller.search(uri, &root_dse(), turn) {
            Ok(output) => {
                let entry = entries(uri, &output)?.into_iter().next();
                let notices = why.iter().map(|why| format!("not reached: {why}"));
                return Ok((uri, entry.unwrap_or_default(), notices.collect()));
            }
            Err(failed) if causes::is_unreachable(&failed) => {
                why.push(unreachable(caller, uri, &failed))
            }
            Err(failed) => return Err(unavailable(caller, uri, &failed)),
        }
    }
    Err(NoAnswer::Unavailable(why.join("; ")))
}

/// What tells the directories of which more is known.
fn root_dse() -> Query<'static> {
    Query {
        scope: "base",
        base: "",
        filter: "(objectClass=*)",
        attributes: server::OF_ROOT_DSE.to_vec(),
    }
}

fn unreachable(caller: &Caller, uri: &Uri, failed: &Failed) -> String {
    let why = match failed {
        Failed::TimedOut => "it does not answer".to_owned(),
        Failed::Status(_, words) if causes::is_not_contacted(words) => tls::explain(caller, uri)
            .unwrap_or_else(|| format!("it cannot be reached ({})", causes::said(words))),
        _ => causes::words(failed, caller.settings),
    };
    format!("{}: {why}", uri.text)
}

fn unavailable(caller: &Caller, uri: &Uri, failed: &Failed) -> NoAnswer {
    let words = causes::words(failed, caller.settings);
    NoAnswer::Unavailable(format!("{}: {words}", uri.text))
}

fn entries(uri: &Uri, output: &[u8]) -> Result<Vec<Entry>, NoAnswer> {
    ldif::parse(output).map_err(|not_ldif| {
        let (line, what) = (not_ldif.line, not_ldif.what);
        let text = &uri.text;
        NoAnswer::Unavailable(format!(
            "{text}: what ldapsearch printed cannot be read: line {line}: {what}"
        ))
    })
}

/// A server that has been reached, and what is asked of it.
struct Directory<'a> {
    caller: &'a Caller<'a>,
    uri: &'a Uri,
    map: &'a Map,
    until: Instant,
}

impl Directory<'_> {
    fn search(&self, query: &Query) -> Result<Vec<Entry>, NoAnswer> {
        let output = self.caller.search(self.uri, query, self.until);
        let output = output.map_err(|failed| unavailable(self.caller, self.uri, &failed))?;
        entries(self.uri, &output)
    }

    fn refuse(&self, why: &str) -> NoAnswer {
        NoAnswer::Refused(format!("{}: {why}", self.uri.text))
    }

    /// What decides who is let in with which phone.
    fn attributes(&self) -> Vec<&str> {
        let mobiles = self.map.mobile.iter().map(String::as_str);
        mobiles.chain([self.map.name.as_str()]).collect()
    }

    fn people(&self) -> Query<'_> {
        let mut attributes = self.attributes();
        attributes.extend(people::ATTRIBUTES);
        Query {
            scope: "sub",
            base: &self.caller.settings.base,
            filter: &self.caller.settings.filter,
            attributes,
        }
    }

    /// Refuses attributes that people may change by themselves; of a server whose rules cannot be read, a notice.
    fn require_foreign_hands(
        &self,
        kind: &Kind,
        guard: &Guard,
    ) -> Result<Option<String>, NoAnswer> {
        if guard.self_writable == SelfWritable::Accept {
            return Ok(None);
        }
        let own = match kind {
            Kind::ActiveDirectory(schema) => self.of_schema(schema)?,
            Kind::FreeIpa => server::of_freeipa(&self.attributes()),
            Kind::Other => return Ok(Some(self.unknown_rules())),
        };
        own.first()
            .map_or(Ok(None), |own| Err(self.refuse(&own_hands(own))))
    }

    fn of_schema(&self, schema: &str) -> Result<Vec<OwnersMay>, NoAnswer> {
        let attributes = self.attributes();
        let filter = server::filter(&attributes);
        let schema = self.search(&server::query(schema, &filter))?;
        server::of_schema(&schema, &attributes).map_err(|name| {
            self.refuse(&format!(
                "its schema has no attribute {name}, or this account may not read the schema; correct map.name or map.mobile"
            ))
        })
    }

    fn unknown_rules(&self) -> String {
        let (uri, mobile) = (&self.uri.text, self.map.mobile.join(", "));
        format!(
            "{uri}: its own rules decide who may write {mobile}, and they cannot be read from here: where people may write \
             it themselves, whoever has a password can enrol a phone; once you have looked: self_writable = \"accept\" under \
             [guard]"
        )
    }

    /// # Errors
    /// The answer cannot say who is who, or who may not log in.
    fn persons(&self, entries: &[Entry], kind: &Kind) -> Result<Vec<Person>, NoAnswer> {
        let now = SystemTime::now();
        let people = entries
            .iter()
            .filter_map(|entry| people::person(entry, self.map, now));
        let people: Vec<_> = people.collect();
        if matches!(kind, Kind::ActiveDirectory(_)) && entries.iter().any(people::hides_its_state) {
            return Err(self.refuse(
                "this account may not read userAccountControl of everybody, so that nobody can tell who is disabled; let the \
                 directory's administrator grant that",
            ));
        }
        if !people.is_empty() && people.iter().all(|person| person.names.is_empty()) {
            let (number, name) = (people.len(), &self.map.name);
            return Err(self.refuse(&format!(
                "none of the {number} entries found has {name}: this account may not read it, or the server calls it otherwise; \
                 correct map.name"
            )));
        }
        Ok(people)
    }
}

fn own_hands(own: &OwnersMay) -> String {
    let OwnersMay { attribute, rule } = own;
    format!(
        "everybody may change {attribute} in the own entry ({rule}): whoever has somebody's password would enrol a phone of \
         their own with it, and the second factor would be the password again; name an attribute that only administrators \
         may write, such as employeeNumber, or if this directory has other rules: self_writable = \"accept\" under [guard]"
    )
}

/// As of an account that lost the right to read it.
fn without_mobiles(people: &[Person], map: &Map) -> Option<String> {
    let nobody_has = !people.is_empty() && people.iter().all(|person| person.mobiles.is_empty());
    let mobile = map.mobile.join(", ");
    nobody_has.then(|| {
        format!("nobody has {mobile}: the account that asks may not read it, or the server calls it otherwise")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_one_line_and_never_empty() {
        let line = |content: &[u8]| {
            let line = only_line(Path::new("/p"), &Secret::new(content.to_vec()));
            line.map(|secret| secret.as_bytes().to_vec())
        };
        for content in [&b"a b "[..], b"a b \n", b"a b \r\n"] {
            assert_eq!(line(content), Ok(b"a b ".to_vec()));
        }
        let wrong = "ldap.password_file: /p: must hold the password alone, in one line";
        for content in [&b""[..], b"\n", b"a\nb\n", b"a\n\n", b"a\0", &[b'a'; 4097]] {
            assert_eq!(line(content), Err(wrong.to_owned()));
        }
        assert!(line(&[b'a'; 4096]).is_ok());
    }
}
