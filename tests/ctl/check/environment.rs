//! SELinux, proxies, the clock.

use std::fs;
use std::time::{Duration, SystemTime};

use super::{IVALT, System, USERS, all_give};

#[test]
fn environment() {
    all_give(&[
        (
            "SELinux",
            |s| s.write("etc/selinux/config", "# x\nSELINUX=enforcing\n"),
            &["warning selinux /etc/selinux/config"],
            |s| {
                s.write("etc/selinux/config", "SELINUX=enforcing\n")
                    .write("etc/pam.d/sshd", "@include common-auth\n");
                s
            },
        ),
        (
            "a proxy",
            |s| {
                s.append(
                    "etc/environment",
                    "https_proxy=\"http://u:SECRET-KEY@proxy:3128/\"\n",
                )
            },
            &["warning proxy-not-in-settings /etc/environment:2"],
            |s| {
                s.append("etc/environment", "https_proxy=http://proxy:3128\n")
                    .append(IVALT, "proxy = \"http://proxy:3128\"\n");
                s
            },
        ),
        (
            "a proxy of shells",
            |s| {
                s.write(
                    "etc/profile.d/proxy.sh",
                    "export HTTPS_PROXY=http://proxy:3128\n",
                )
            },
            &["warning proxy-not-in-settings /etc/profile.d/proxy.sh:1"],
            |s| {
                s.write(
                    "etc/profile.d/proxy.sh",
                    "# export HTTPS_PROXY=http://proxy:3128\n",
                )
            },
        ),
        (
            "the clock",
            |s| written_in(s, USERS, 3600),
            &["warning clock-behind /etc/ivalt/users.toml"],
            |s| written_in(s, USERS, 60),
        ),
    ]);
}

fn written_in<'a>(system: &'a System, path: &str, seconds: u64) -> &'a System {
    let file = fs::File::options()
        .append(true)
        .open(system.path(path))
        .unwrap();
    file.set_modified(SystemTime::now() + Duration::from_secs(seconds))
        .unwrap();
    system
}

#[test]
fn the_fix_of_a_proxy_is_a_line_of_the_settings() {
    let system = System::healthy();
    system.append("etc/environment", "https_proxy=http://proxy:3128/\n");
    let fix = &system.check().report["findings"][0]["fix"];
    assert_eq!(
        fix,
        "write under [api] in /etc/ivalt/ivalt.toml: proxy = \"http://proxy:3128\""
    );
    system
        .append(IVALT, "proxy = \"http://proxy:3128\"\n")
        .check()
        .gives("fixed", &[]);
}

/// `timedatectl set-ntp` fails where nothing is installed that it could start.
#[test]
fn the_fix_of_a_clock_fits_what_is_installed() {
    let fix = |files: &[&str]| {
        let system = System::healthy();
        for file in files {
            system.write(file, "");
        }
        let checked = written_in(&system, USERS, 3600).check();
        checked.findings()[0]["fix"].as_str().unwrap().to_owned()
    };
    let timesyncd = "usr/lib/systemd/system/systemd-timesyncd.service";
    let (debian, install) = (
        "etc/debian_version",
        "install chrony, then: systemctl enable --now chronyd",
    );
    assert_eq!(fix(&[]), install);
    assert_eq!(fix(&[debian]), "apt install chrony");
    assert_eq!(fix(&[debian, timesyncd]), "timedatectl set-ntp true");
    assert_eq!(
        fix(&[debian, timesyncd, "lib/systemd/system/chrony.service"]),
        "systemctl enable --now chrony"
    );
    assert_eq!(
        fix(&["usr/lib/systemd/system/chronyd.service"]),
        "systemctl enable --now chronyd"
    );
    assert_eq!(
        fix(&[debian, "usr/lib/systemd/system/ntpsec.service"]),
        "systemctl enable --now ntpsec"
    );
}
