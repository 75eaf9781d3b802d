//! SELinux keeps sshd from the network, unless a boolean or the policy allows it.

use std::fs;
use std::path::Path;

use super::context::{CheckContext, finding};
use super::program;
use crate::finding::{Finding, Severity};
use crate::root::Root;

const CONFIG: &str = "/etc/selinux/config";

/// Whether sshd may connect to iVALT, or to the proxy.
pub fn findings(context: &CheckContext) -> Vec<Finding> {
    if !context.covers("sshd") || !enforcing(context.root) || allowed(context.root) {
        return Vec::new();
    }
    let what = "SELinux is enforcing, and sshd may not connect to the network: everybody who is asked for iVALT by ssh is \
                denied (unavailable), unless your policy has a rule for it";
    let mut fix = "setsebool -P authlogin_yubikey on".to_owned();
    let proxy = context
        .settings_of("sshd")
        .and_then(|settings| settings.api.proxy.as_deref());
    if let Some(port) = proxy.and_then(|proxy| proxy.trim_end_matches('/').rsplit_once(':')) {
        fix += &format!(
            "\nand for the proxy: semanage port -m -t http_port_t -p tcp {}",
            port.1
        );
    }
    vec![finding(Severity::Warning, "selinux", CONFIG, what, fix)]
}

fn enforcing(root: &Root) -> bool {
    if root.is_this_machine() {
        return fs::read_to_string("/sys/fs/selinux/enforce").is_ok_and(|text| text.trim() == "1");
    }
    let text = root.read(Path::new(CONFIG)).unwrap_or_default();
    text.lines().any(|line| line.trim() == "SELINUX=enforcing")
}

fn allowed(root: &Root) -> bool {
    let asked = program::output(
        root,
        &["/usr/sbin/getsebool", "/sbin/getsebool"],
        &["authlogin_yubikey"],
    );
    asked.is_some_and(|text| text.trim().ends_with("--> on"))
}
