//! sudo's rules.

use super::{IVALT, System, USERS, all_give, nothing};

#[test]
fn sudo() {
    all_give(&[
        (
            "NOPASSWD",
            |s| {
                s.write(
                    "etc/sudoers.d/bob",
                    "# bob\nbob ALL=(root) \\\n NOPASSWD: /bin/ls\n",
                )
                .append(USERS, "")
            },
            &["warning sudo-nopasswd /etc/sudoers.d/bob:2"],
            |s| s.write("etc/sudoers.d/bob", "#bob ALL=(root) NOPASSWD: /bin/ls\n"),
        ),
        (
            "NOPASSWD behind a blank",
            |s| s.append("etc/sudoers", "alice ALL=(ALL:ALL) NOPASSWD : ALL\n"),
            &["warning sudo-nopasswd /etc/sudoers:5"],
            |s| s.append("etc/sudoers", "alice ALL=/bin/echo NOPASSWD\\: ALL\n"),
        ),
        (
            "NOPASSWD below a comment that ends in a backslash",
            |s| {
                s.append(
                    "etc/sudoers",
                    "# old: \\\nalice ALL=(ALL:ALL) NOPASSWD: ALL\n",
                )
            },
            &["warning sudo-nopasswd /etc/sudoers:6"],
            |s| {
                s.append(
                    "etc/sudoers",
                    "# old: \\\n# alice ALL=(ALL:ALL) NOPASSWD: ALL\n",
                )
            },
        ),
        (
            "exempt group",
            |s| s.append("etc/sudoers", "Defaults exempt_group = \"sudo\"\n"),
            &["warning sudo-exempt-group /etc/sudoers:5"],
            |s| s.append("etc/sudoers", "Defaults !exempt_group\n"),
        ),
        (
            "once a year",
            |s| {
                s.append(
                    "etc/sudoers",
                    "Defaults env_reset, timestamp_timeout = 525600\n",
                )
            },
            &["warning sudo-timestamp /etc/sudoers:5"],
            |s| s.append("etc/sudoers", "Defaults timestamp_timeout = 1440\n"),
        ),
        (
            "the later setting counts",
            |s| {
                s.append("etc/sudoers", "Defaults timestamp_timeout = 5\n")
                    .write("etc/sudoers.d/z", "Defaults timestamp_timeout = -1\n")
            },
            // The folder is included in line 4.
            &[],
            |s| {
                s.append("etc/sudoers", "Defaults:alice !authenticate\n")
                    .append("etc/sudoers", "Defaults:alice authenticate\n")
            },
        ),
        (
            "two scopes are two settings",
            |s| {
                s.append("etc/sudoers", "Defaults:alice, bob !authenticate\n")
                    .append("etc/sudoers", "Defaults authenticate\n")
            },
            &["warning sudo-not-asked /etc/sudoers:5"],
            nothing,
        ),
        (
            "not asked",
            |s| s.append("etc/sudoers", "Defaults:bob env_reset, !authenticate\n"),
            &["warning sudo-not-asked /etc/sudoers:5"],
            |s| s.append("etc/sudoers", "Defaults:bob authenticate\n"),
        ),
        (
            "never again",
            |s| s.append("etc/sudoers", "Defaults timestamp_timeout=-1\n"),
            &["warning sudo-timestamp /etc/sudoers:5"],
            |s| s.append("etc/sudoers", "Defaults timestamp_timeout = 0\n"),
        ),
        (
            "without a person",
            |s| s.append("etc/sudoers", "Defaults noninteractive_auth\n"),
            &["warning sudo-noninteractive /etc/sudoers:5"],
            |s| s.append("etc/sudoers", "Defaults !noninteractive_auth\n"),
        ),
        (
            "many prompts",
            |s| s.append("etc/sudoers", "Defaults passwd_tries = 4\n"),
            &["warning sudo-many-tries /etc/sudoers:5"],
            |s| {
                s.append("etc/sudoers", "Defaults passwd_tries = 4\n")
                    .append(IVALT, "[token]\nattempts = 1\n");
                s
            },
        ),
        (
            "another service",
            |s| s.append("etc/sudoers", "Defaults pam_service = other\n"),
            &["lets-in sudo-other-service /etc/sudoers:5"],
            |s| {
                s.append(
                    "etc/sudoers",
                    "Defaults pam_service = sshd, pam_login_service=sudo\n",
                )
            },
        ),
        (
            "sudo -i",
            |s| s.write("etc/pam.d/sudo-i", "@include common-auth\n"),
            &["warning twin-not-covered /etc/pam.d/sudo-i"],
            // Fedora's.
            |s| s.write("etc/pam.d/sudo-i", "auth include sudo\n"),
        ),
    ]);
}

/// Carol is not enrolled; each line makes her an administrator, and its counterpart does not.
#[test]
fn whom_sudoers_names() {
    const LINES: [(&str, &str); 11] = [
        ("carol ALL=ALL", "carolin ALL=ALL"),
        ("\"carol\" ALL=ALL", "\"car ol\" ALL=ALL"),
        ("car\\x6fl ALL=ALL", "car\\x20l ALL=ALL"),
        ("#1002 ALL=ALL", "#1003 ALL=ALL"),
        ("%#50 ALL=ALL", "%#51 ALL=ALL"),
        ("%#1002 ALL=ALL", "%#1003 ALL=ALL"),
        ("%domain\\ admins ALL=ALL", "%domain ALL=ALL"),
        ("\"%domain admins\" ALL=ALL", "+admins ALL=ALL"),
        (
            "User_Alias ADM = bob, carol\nADM ALL=ALL",
            "User_Alias ADM = carol",
        ),
        ("ALL ALL=/bin/ls", "ALL, !carol ALL=/bin/ls"),
        ("alice, \\\n carol ALL=ALL", "#carol ALL=ALL"),
    ];
    for (line, other) in LINES {
        let warning = "warning privileged-not-enrolled /etc/ivalt/users.toml";
        for (line, expected) in [(line, &[warning][..]), (other, &[])] {
            let system = System::healthy();
            system.append("etc/passwd", "carol:x:1002:1002::/home/carol:/bin/sh\n");
            system.append("etc/group", "domain admins:x:50:dave,carol\n");
            system.append("etc/sudoers", &format!("{line}\n"));
            system.check().gives(line, expected);
        }
    }
}

/// As openSUSE ships it: the administrator's own file takes its place.
#[test]
fn the_vendors_file() {
    let line = "bob ALL=(ALL) NOPASSWD: ALL\n";
    let system = System::healthy();
    system.write("usr/etc/sudoers", "@includedir /usr/etc/sudoers.d\n");
    system.write("usr/etc/sudoers.d/bob", line);
    system.check().gives("the administrator's", &[]);
    system.remove("etc/sudoers").check().gives(
        "the vendor's",
        &["warning sudo-nopasswd /usr/etc/sudoers.d/bob:1"],
    );
}

#[test]
fn includes() {
    let line = "bob ALL=(ALL) NOPASSWD: ALL\n";
    for include in [
        "@include extra",
        "#include extra",
        "@include /etc/extra",
        "@include \"extra\"",
        "@include %htra",
        "@include ex\\x74ra",
        "@includedir ../etc/d",
    ] {
        let system = System::healthy();
        system.write("etc/hostname", "ex.example.com\n");
        system.append("etc/sudoers", &format!("{include}\n"));
        let file = match include.contains("dir") {
            true => {
                system.write("etc/d/skipped.rpmsave", line);
                system.write("etc/d/skipped~", line);
                "etc/d/extra"
            }
            false => "etc/extra",
        };
        system.write(file, line);
        let lines = system.check().lines();
        assert_eq!(lines.len(), 1, "{include}: {lines:?}");
        assert!(
            lines[0].starts_with("warning sudo-nopasswd /etc/"),
            "{lines:?}"
        );
        assert!(lines[0].ends_with("extra:1"), "{lines:?}");
    }
}

/// Two files that include each other twice would be read 2 to the power of 128 times.
#[test]
fn includes_that_double() {
    let system = System::healthy();
    let twice = "@include /etc/sudoers.d/a\n@include /etc/sudoers.d/a\n";
    system.write("etc/sudoers.d/a", twice);
    system.check().gives("doubled", &[]);
}
