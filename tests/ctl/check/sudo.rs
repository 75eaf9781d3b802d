//! sudo's rules.

use super::{IVALT, USERS, all_give};

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
