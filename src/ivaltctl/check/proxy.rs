//! Proxies in the environment, which the module never reads: anyone who calls su could choose one.

use std::path::{Path, PathBuf};

use super::context::{CheckContext, finding};
use crate::finding::{Finding, Severity};
use crate::root::Root;

const NAMES: [&str; 4] = ["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"];

/// A proxy that others use, and our settings do not name.
pub fn findings(context: &CheckContext) -> Vec<Finding> {
    let Some((config, _)) = context
        .usable()
        .find(|(_, settings)| settings.api.proxy.is_none())
    else {
        return Vec::new();
    };
    let Some((file, line, proxy)) =
        from_files(context.root).or_else(|| from_environment(context.root))
    else {
        return Vec::new();
    };
    let what = "a proxy is set in the environment, which the module does not read: if iVALT is reached only through it, \
                everybody who is asked is denied (unavailable)";
    let fix = format!(
        "write under [api] in {}: proxy = \"{proxy}\"",
        config.path.display()
    );
    vec![Finding {
        line,
        file,
        ..finding(
            Severity::Warning,
            "proxy-not-in-settings",
            &config.path,
            what,
            fix,
        )
    }]
}

/// File, line and value of a proxy.
type ProxySetting = (Option<PathBuf>, Option<usize>, String);

fn from_files(root: &Root) -> Option<ProxySetting> {
    let folder = Path::new("/etc/profile.d");
    let scripts = root.names(folder).into_iter().map(|name| folder.join(name));
    let mut files = [PathBuf::from("/etc/environment")]
        .into_iter()
        .chain(scripts);
    files.find_map(|file| {
        let text = root.read(&file).ok()?;
        let mut lines = (1..).zip(text.lines());
        lines.find_map(|(number, line)| Some((Some(file.clone()), Some(number), from_line(line)?)))
    })
}

fn from_line(line: &str) -> Option<String> {
    let line = line.trim();
    let assignment = line.strip_prefix("export ").unwrap_or(line);
    let (name, value) = assignment.split_once('=')?;
    NAMES
        .contains(&name.trim())
        .then(|| without_credentials(value))
        .flatten()
}

fn from_environment(root: &Root) -> Option<ProxySetting> {
    #[expect(clippy::disallowed_methods, reason = "not inside another's process")]
    let mut values = NAMES.iter().filter_map(|name| std::env::var(name).ok());
    let proxy = root
        .is_this_machine()
        .then(|| values.find_map(|value| without_credentials(&value)))??;
    Some((None, None, proxy))
}

/// As `api.proxy` takes it: user and password are not repeated.
fn without_credentials(value: &str) -> Option<String> {
    let value = value.trim().trim_matches(['"', '\'']).trim_end_matches('/');
    let authority = value.split_once("://").map_or(value, |(_, rest)| rest);
    let (credentials, host) = authority.rsplit_once('@').unwrap_or(("", authority));
    let named = host
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || ".-:[]_".contains(c));
    let login = if credentials.is_empty() {
        ""
    } else {
        "USER:PASSWORD@"
    };
    (named && !host.is_empty()).then(|| format!("http://{login}{host}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_not_repeated() {
        assert_eq!(
            without_credentials("\"http://u:secret@p:3128/\"").as_deref(),
            Some("http://USER:PASSWORD@p:3128")
        );
        assert_eq!(
            from_line("export https_proxy=p.example:3128").as_deref(),
            Some("http://p.example:3128")
        );
        for line in [
            "",
            "https_proxy=",
            "#https_proxy=http://p:1",
            "no_proxy=p",
            "https_proxy=$OTHER",
        ] {
            assert_eq!(from_line(line), None, "{line}");
        }
    }
}
