//! The clock, by which certificates are judged.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::context::{CheckContext, finding};
use super::{packages, program};
use crate::finding::{Finding, Severity};
use crate::root::Root;

/// Clocks of network file systems differ a little.
pub const TOLERANCE: Duration = Duration::from_secs(300);

/// Whether the clock is behind files that were written by it, and whether anything synchronises it.
pub fn findings(context: &CheckContext) -> Vec<Finding> {
    [behind(context), unsynchronised(context)].concat()
}

fn behind(context: &CheckContext) -> Vec<Finding> {
    let configs = context.configs.iter().map(|config| config.path.clone());
    let users = context
        .usable()
        .flat_map(|(_, settings)| settings.users().iter().map(Path::to_owned));
    let files: Vec<PathBuf> = configs.chain(users).chain(["/etc/passwd".into()]).collect();
    let written = files.iter().filter_map(|file| {
        let written = context
            .root
            .metadata(file)
            .and_then(|found| found.modified());
        Some((written.ok()?, file))
    });
    let Some((newest, file)) = written.max() else {
        return Vec::new();
    };
    let ahead = newest.duration_since(SystemTime::now()).unwrap_or_default();
    if ahead <= TOLERANCE {
        return Vec::new();
    }
    let what = format!(
        "was written {} minutes in the future: the clock is wrong, and while it is far off, iVALT's certificate is \
         refused and everybody who is asked is denied (unavailable)",
        ahead.as_secs() / 60
    );
    let fix = fix(context.root);
    vec![finding(Severity::Warning, "clock-behind", file, what, fix)]
}

fn unsynchronised(context: &CheckContext) -> Vec<Finding> {
    if !context.root.is_this_machine() || context.lines.is_empty() {
        return Vec::new();
    }
    let output = program::output(
        context.root,
        &["/usr/bin/timedatectl"],
        &["show", "--property=NTPSynchronized", "--value"],
    );
    if output.is_none_or(|output| output.trim() != "no") {
        return Vec::new();
    }
    let what = "the clock is not synchronised: when it is far off, iVALT's certificate is refused and everybody who is \
                asked is denied (unavailable)";
    vec![Finding {
        file: None,
        ..finding(
            Severity::Warning,
            "clock-unsynchronised",
            Path::new(""),
            what,
            fix(context.root),
        )
    }]
}

/// The command that keeps a clock right, by what is installed.
pub fn fix(root: &Root) -> String {
    // A fix depends on more files than its finding; of these, its text says enough.
    root.recorded(|| command(root)).0
}

fn command(root: &Root) -> String {
    let has = |unit: &&str| {
        let folders = ["/usr/lib", "/lib", "/etc"];
        let path = |folder| PathBuf::from(format!("{folder}/systemd/system/{unit}.service"));
        folders.map(path).iter().any(|path| root.exists(path))
    };
    let others = ["chrony", "chronyd", "ntpsec", "ntpd", "openntpd"];
    match others.iter().find(|unit| has(unit)) {
        Some(unit) => format!("systemctl enable --now {unit}"),
        None if has(&"systemd-timesyncd") => "timedatectl set-ntp true".to_owned(),
        None => install_chrony(root),
    }
}

/// Debian starts it; elsewhere that is a command of its own.
fn install_chrony(root: &Root) -> String {
    match packages::install(root, "chrony") {
        Some(command) if command.starts_with("apt ") => command,
        Some(command) => format!("{command} && systemctl enable --now chronyd"),
        None => "install chrony, then: systemctl enable --now chronyd".to_owned(),
    }
}
