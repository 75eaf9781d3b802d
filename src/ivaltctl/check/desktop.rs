//! Services that live in a sandbox, without root's rights or without a network.

use std::path::Path;

use super::accepted::derived;
use super::context::{CheckContext, finding};
use super::services::ModuleLine;
use crate::finding::{Finding, Severity};
use crate::root::Root;

/// polkit's helper is a service of its own since 127, with `PrivateNetwork=yes`.
const HELPER: &str = "polkit-agent-helper@.service";

/// They run their stack as the user, who cannot read the settings (0600).
const AS_THE_USER: [&str; 8] = [
    "kde",
    "swaylock",
    "hyprlock",
    "i3lock",
    "cinnamon-screensaver",
    "mate-screensaver",
    "xfce4-screensaver",
    "vlock",
];

/// They may ask before the network is up.
const SCREENS: [&str; 6] = [
    "gdm-password",
    "lightdm",
    "sddm",
    "lxdm",
    "xdm",
    "xscreensaver",
];

/// Whether it is the service of a desktop, a screen lock or a display manager.
pub fn is_known(service: &str) -> bool {
    service == "polkit-1" || AS_THE_USER.contains(&service) || SCREENS.contains(&service)
}

/// Checks every service that asks iVALT.
pub fn findings(context: &CheckContext) -> Vec<Finding> {
    let mut seen = std::collections::BTreeSet::new();
    let lines = context
        .lines
        .iter()
        .filter(|line| seen.insert(line.service.clone()));
    let each = lines.map(|line| {
        derived(context.root, || {
            context.note(&line.service);
            check(context.root, line).into_iter().collect()
        })
    });
    each.flatten().collect()
}

fn check(root: &Root, line: &ModuleLine) -> Option<Finding> {
    let service = line.service.as_str();
    let (severity, id, what, fix) = if service == "polkit-1" {
        polkit(root)?
    } else if AS_THE_USER.contains(&service) {
        (
            Severity::LocksOut,
            "screen-lock-as-user",
            format!(
                "{service} runs its stack as the user, who cannot read the settings: nobody can unlock (misconfigured)"
            ),
            format!("remove pam_ivalt from the stack of {service}"),
        )
    } else if SCREENS.contains(&service) {
        (
            Severity::Warning,
            "screen-without-network",
            format!(
                "{service} may ask before the network is up, as with wireless networks that a session starts: then nobody gets in (unavailable)"
            ),
            format!(
                "make sure the network is up without a session, or remove pam_ivalt from the stack of {service}"
            ),
        )
    } else {
        return None;
    };
    Some(Finding {
        line: Some(line.line),
        ..finding(severity, id, &line.file, what, fix)
    })
}

fn polkit(root: &Root) -> Option<(Severity, &'static str, String, String)> {
    let (severity, when) = match is_without_network(root) {
        Some(false) => return None,
        Some(true) => (Severity::LocksOut, "polkit asks"),
        None => (Severity::Warning, "from version 127 on, polkit asks"),
    };
    let what = format!(
        "{when} in a sandbox without a network: pkexec and desktop prompts deny everybody who is asked for iVALT \
         (unavailable)"
    );
    let fix = format!(
        "remove the line from polkit-1, or give the helper a network:\n\
         mkdir -p /etc/systemd/system/{HELPER}.d\n\
         printf '[Service]\\nPrivateNetwork=no\\nRestrictAddressFamilies=AF_INET AF_INET6\\n' \
         > /etc/systemd/system/{HELPER}.d/ivalt.conf\n\
         systemctl daemon-reload"
    );
    Some((severity, "polkit-sandbox", what, fix))
}

/// `None` where there is no such unit, or one that does not mention the network. A network without permitted sockets
/// does not help either.
fn is_without_network(root: &Root) -> Option<bool> {
    let text = unit(root);
    let private = values(&text, "PrivateNetwork=").last()?;
    let private = matches!(
        private.to_ascii_lowercase().as_str(),
        "yes" | "true" | "on" | "1"
    );
    Some(private || !may_use_sockets(&text))
}

/// The unit's own text, then that of its drop-ins, as systemd reads them.
fn unit(root: &Root) -> String {
    let folders = [
        "/usr/lib/systemd/system",
        "/lib/systemd/system",
        "/etc/systemd/system",
    ]
    .map(Path::new);
    let mut paths = folders.map(|folder| folder.join(HELPER)).to_vec();
    for folder in folders {
        let drop_ins = folder.join(format!("{HELPER}.d"));
        let names = root.names(&drop_ins).into_iter();
        paths.extend(names.map(|name| drop_ins.join(name)));
    }
    let texts = paths.iter().filter_map(|path| root.read(path).ok());
    texts.map(|text| text + "\n").collect()
}

fn values<'a>(text: &'a str, key: &str) -> impl Iterator<Item = &'a str> {
    text.lines()
        .filter_map(move |line| line.trim().strip_prefix(key))
        .map(str::trim)
}

/// The list grows from line to line; an empty value begins it anew.
fn may_use_sockets(text: &str) -> bool {
    let mut families = Vec::new();
    for value in values(text, "RestrictAddressFamilies=") {
        if value.is_empty() {
            families.clear();
        }
        families.extend(value.split_whitespace());
    }
    let allows_some = families.first().is_some_and(|word| !word.starts_with('~'));
    !allows_some || families.contains(&"AF_INET")
}
