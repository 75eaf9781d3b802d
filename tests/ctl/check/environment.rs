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

/// By os-release(5), since programs of one package manager exist in other distributions, too.
#[test]
fn the_fix_names_the_package_manager_of_the_system() {
    let fixes = |files: &[(&str, &str)]| {
        let system = System::healthy();
        system.remove("etc/ssl/certs/ca-certificates.crt");
        for (path, text) in files {
            system.write(path, text);
        }
        let checked = written_in(&system, USERS, 3600).check();
        let fix = |id: &str| {
            let found = checked.findings().iter().find(|found| found["id"] == id);
            found.unwrap()["fix"].as_str().unwrap().to_owned()
        };
        (fix("roots-unusable"), fix("clock-behind"))
    };
    let (etc, usr) = ("etc/os-release", "usr/lib/os-release");
    for (files, command) in [
        (&[(etc, "NAME=x\nID=debian\n")][..], "apt install"),
        (&[(etc, "ID=ubuntu\nID_LIKE=debian\n")], "apt install"),
        (&[("etc/debian_version", "12.0\n")], "apt install"),
        (&[(usr, "ID=fedora\n")], "dnf install"),
        (
            &[(etc, "ID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"\n")],
            "dnf install",
        ),
        (
            &[(etc, "ID=\"sles\"\nID_LIKE='suse'\n"), (usr, "ID=debian\n")],
            "zypper install",
        ),
        (&[(usr, "ID=arch\n")], "pacman -S"),
        (&[(usr, "ID=alpine\n")], "apk add"),
    ] {
        let started = match command {
            "apt install" => "",
            _ => " && systemctl enable --now chronyd",
        };
        let expected = (
            format!("{command} ca-certificates, or set api.ca_file"),
            format!("{command} chrony{started}"),
        );
        assert_eq!(fixes(files), expected, "{files:?}");
    }
    for files in [
        &[][..],
        &[(etc, "ID=debianish\nNAME=debian\nBUG=ID=arch\n")],
    ] {
        let expected = (
            "install the package ca-certificates, or set api.ca_file".to_owned(),
            "install chrony, then: systemctl enable --now chronyd".to_owned(),
        );
        assert_eq!(fixes(files), expected, "{files:?}");
    }
}
