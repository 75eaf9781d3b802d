//! Which services ask iVALT, and by which lines.

use std::path::{Path, PathBuf};

use crate::args::DEFAULT_CONFIG;
use crate::ctl::root::Root;

/// Where libpam looks for a service, the administrator's folder first; pam.d(5).
const FOLDERS: [&str; 2] = ["/etc/pam.d", "/usr/lib/pam.d"];
/// libpam's own limit of includes in includes (PAM_SUBSTACK_MAX_LEVEL).
const DEPTH: usize = 16;

/// An `auth` line of a service that names our module.
#[derive(Clone, Debug)]
pub struct ModuleLine {
    /// The service that comes to it, perhaps by an include.
    pub service: String,
    /// Where it stands.
    pub file: PathBuf,
    /// From 1.
    pub line: usize,
    /// `pam_ivalt.so`, or an absolute path.
    pub module: String,
    /// The words behind.
    pub arguments: Vec<String>,
}

impl ModuleLine {
    /// The settings it reads.
    pub fn config(&self) -> PathBuf {
        let named = self.arguments.iter().rev();
        let mut named = named.filter_map(|word| word.strip_prefix("config="));
        named.next().unwrap_or(DEFAULT_CONFIG).into()
    }
}

/// The services of the system that ask iVALT.
pub fn services_with_ivalt(root: &Root) -> Vec<String> {
    let mut services: Vec<_> = lines_with_ivalt(root)
        .into_iter()
        .map(|line| line.service)
        .collect();
    services.sort();
    services.dedup();
    services
}

/// Every line of every service that names our module.
pub fn lines_with_ivalt(root: &Root) -> Vec<ModuleLine> {
    let names = FOLDERS
        .iter()
        .flat_map(|folder| root.names(Path::new(folder)));
    let mut services: Vec<_> = names.filter_map(|name| name.into_string().ok()).collect();
    services.sort();
    services.dedup();
    let mut lines = Vec::new();
    for service in services {
        collect(root, &service, &service, DEPTH, &mut lines);
    }
    lines
}

fn collect(root: &Root, service: &str, name: &str, depth: usize, lines: &mut Vec<ModuleLine>) {
    let Some((file, text)) = service_file(root, name) else {
        return;
    };
    for (number, line) in logical_lines(&text) {
        let words = words(&line);
        match (included(&words), depth) {
            (Some(_), 0) => {}
            (Some(name), _) => collect(root, service, name, depth - 1, lines),
            (None, _) => lines.extend(module_line(service, &file, number, &words)),
        }
    }
}

fn service_file(root: &Root, name: &str) -> Option<(PathBuf, String)> {
    let places = FOLDERS.iter().map(|folder| Path::new(folder).join(name));
    places
        .map(|path| (root.read(&path), path))
        .find_map(|(text, path)| Some((path, text.ok()?)))
}

/// The file that an `auth` line, or Debian's `@include`, puts in its place.
fn included<'a>(words: &[&'a str]) -> Option<&'a str> {
    match words {
        ["@include", name, ..] | ["auth" | "-auth", "include" | "substack", name, ..] => Some(name),
        _ => None,
    }
}

fn module_line(service: &str, file: &Path, line: usize, words: &[&str]) -> Option<ModuleLine> {
    let ["auth" | "-auth", _, module, arguments @ ..] = words else {
        return None;
    };
    let name = module.rsplit('/').next().unwrap_or_default();
    name.starts_with("pam_ivalt").then(|| ModuleLine {
        service: service.to_owned(),
        file: file.to_owned(),
        line,
        module: (*module).to_owned(),
        arguments: arguments.iter().map(|word| (*word).to_owned()).collect(),
    })
}

/// Lines with their numbers; a backslash at the end joins the next, `#` begins a comment.
fn logical_lines(text: &str) -> Vec<(usize, String)> {
    let mut lines = Vec::new();
    let mut open: Option<(usize, String)> = None;
    for (number, line) in (1..).zip(text.lines()) {
        let (begun, mut joined) = open.take().unwrap_or((number, String::new()));
        let line = line.split('#').next().unwrap_or_default();
        match line.strip_suffix('\\') {
            Some(line) => {
                joined.push_str(line);
                joined.push(' ');
                open = Some((begun, joined));
            }
            None => lines.push((begun, joined + line)),
        }
    }
    lines.extend(open);
    lines
}

/// Words; a control value or an argument in brackets is one.
fn words(line: &str) -> Vec<&str> {
    let mut words = Vec::new();
    let mut rest = line.trim_start();
    while !rest.is_empty() {
        let end = match rest.strip_prefix('[').and_then(|inner| inner.find(']')) {
            Some(end) => end + 2,
            None => rest.find(char::is_whitespace).unwrap_or(rest.len()),
        };
        let word = &rest[..end];
        words.push(
            word.strip_prefix('[')
                .map_or(word, |inner| inner.trim_end_matches(']')),
        );
        rest = rest[end..].trim_start();
    }
    words
}
