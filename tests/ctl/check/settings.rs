//! ivalt.toml and the files it names.

use std::fs;
use std::os::unix::fs::symlink;

use super::{Checked, IVALT, System, USERS, all_give, nothing};
use support::certificates::{Anchor, anchored, trusted_authority};

#[test]
fn settings() {
    all_give(&[
        (
            "missing",
            |s| s.remove(IVALT),
            &["locks-out settings-missing /etc/ivalt/ivalt.toml"],
            nothing,
        ),
        (
            "mode",
            |s| s.mode(IVALT, 0o644),
            &["locks-out settings-untrusted /etc/ivalt/ivalt.toml"],
            |s| {
                s.mode(IVALT, 0o400);
                s
            },
        ),
        (
            "group",
            |s| s.mode(IVALT, 0o620),
            &["locks-out settings-untrusted /etc/ivalt/ivalt.toml"],
            nothing,
        ),
        (
            "a link",
            |s| {
                fs::rename(s.path(IVALT), s.path("etc/ivalt/real")).unwrap();
                symlink("real", s.path(IVALT)).unwrap();
                s
            },
            &["locks-out settings-untrusted /etc/ivalt/ivalt.toml"],
            // A folder may be one, also an absolute one.
            |s| {
                fs::create_dir(s.path("data")).unwrap();
                fs::rename(s.path("etc/ivalt"), s.path("data/ivalt")).unwrap();
                symlink("/data/ivalt", s.path("etc/ivalt")).unwrap();
                s
            },
        ),
        (
            "empty",
            |s| s.write(IVALT, ""),
            &["locks-out settings-invalid /etc/ivalt/ivalt.toml"],
            nothing,
        ),
        (
            "unknown key",
            |s| s.append(IVALT, "retries = 3\n"),
            &["locks-out settings-invalid /etc/ivalt/ivalt.toml:3"],
            |s| s.append(IVALT, "timeout_seconds = 3\n"),
        ),
        (
            "out of range",
            |s| s.append(IVALT, "timeout_seconds = 61\n"),
            &["locks-out settings-invalid /etc/ivalt/ivalt.toml:3"],
            |s| s.append(IVALT, "[token]\nattempts = 2\n"),
        ),
        (
            "not UTF-8",
            |s| s.write_bytes(IVALT, b"\n\xff"),
            &["locks-out settings-invalid /etc/ivalt/ivalt.toml:2"],
            nothing,
        ),
        (
            "the vendor's mock",
            |s| s.append(IVALT, "url = \"https://API-docs.ivalt.com/other/\"\n"),
            &["lets-in documentation-mock /etc/ivalt/ivalt.toml:3"],
            |s| s.append(IVALT, "url = \"https://ivalt.example/private\"\n"),
        ),
        (
            "a mock elsewhere",
            |s| {
                s.append(
                    IVALT,
                    "url = \"https://docs.example:8443/_mock/products\"\n",
                )
            },
            &["lets-in documentation-mock /etc/ivalt/ivalt.toml:3"],
            |s| s.append(IVALT, "url = \"https://api-docs.ivalt.com.example/mock\"\n"),
        ),
        (
            "unavailable",
            |s| s.append(IVALT, "[policy]\nunavailable = \"ignore\"\n"),
            &["warning unavailable-ignored /etc/ivalt/ivalt.toml:4"],
            |s| s.append(IVALT, "[policy]\nunavailable = \"deny\"\n"),
        ),
        (
            "unenrolled",
            |s| s.append(IVALT, "[policy]\nunenrolled = \"ignore\"\n"),
            &["warning unenrolled-ignored /etc/ivalt/ivalt.toml:4"],
            |s| s.append(IVALT, "[policy]\nunenrolled = \"deny\"\n"),
        ),
        (
            "hidden",
            |s| s.append(IVALT, "[token]\necho = false\n"),
            &["warning hidden-prompt /etc/ivalt/ivalt.toml:4"],
            |s| {
                s.append(IVALT, "[token]\necho = false\n")
                    .write("etc/pam.d/sshd", "auth required pam_unix.so\n");
                s
            },
        ),
    ]);
}

#[test]
fn files_the_settings_name() {
    all_give(&[
        (
            "no key file",
            |s| s.write(IVALT, "[api]\nkey_file = \"/etc/ivalt/api.key\"\n"),
            &["locks-out key-file-unusable /etc/ivalt/ivalt.toml"],
            |s| {
                s.write(IVALT, "[api]\nkey_file = \"/etc/ivalt/api.key\"\n")
                    .write("etc/ivalt/api.key", "SECRET-KEY\n");
                s
            },
        ),
        (
            "key file open",
            |s| {
                s.write(IVALT, "api.key_file = \"/etc/ivalt/api.key\"\n")
                    .write("etc/ivalt/api.key", "SECRET-KEY\n");
                s.mode("etc/ivalt/api.key", 0o640);
                s
            },
            &["locks-out key-file-unusable /etc/ivalt/ivalt.toml"],
            |s| {
                s.write(IVALT, "api = { key_file = '/etc/ivalt/api.key' }\n")
                    .write("etc/ivalt/api.key", "SECRET-KEY\n");
                s
            },
        ),
        (
            "no CA file",
            |s| s.append(IVALT, "ca_file = \"/etc/ivalt/ca.pem\"\n"),
            &["locks-out roots-unusable /etc/ivalt/ca.pem"],
            |s| {
                let pem = fs::read_to_string(trusted_authority(s.dir.path())).unwrap();
                s.append(IVALT, "ca_file = \"/etc/ivalt/ca.pem\"\n")
                    .write("etc/ivalt/ca.pem", &pem);
                s
            },
        ),
        (
            "no certificate in it",
            |s| {
                s.append(IVALT, "ca_file = \"/etc/ivalt/ca.pem\"\n")
                    .write("etc/ivalt/ca.pem", "-----\n")
            },
            &["locks-out roots-unusable /etc/ivalt/ca.pem"],
            nothing,
        ),
        (
            "expired",
            |s| {
                s.append(IVALT, "ca_file = \"/etc/ivalt/ca.pem\"\n")
                    .write("etc/ivalt/ca.pem", &expired_authority());
                s
            },
            &["warning roots-expired /etc/ivalt/ca.pem"],
            // One that is good is enough.
            |s| {
                let pem = fs::read_to_string(trusted_authority(s.dir.path())).unwrap();
                s.append(IVALT, "ca_file = \"/etc/ivalt/ca.pem\"\n")
                    .write("etc/ivalt/ca.pem", &(expired_authority() + &pem));
                s
            },
        ),
        (
            "a server's certificate",
            |s| {
                let (pem, ..) = anchored(Anchor::OfServer);
                let good = fs::read_to_string(trusted_authority(s.dir.path())).unwrap();
                s.append(IVALT, "ca_file = \"/etc/ivalt/ca.pem\"\n")
                    .write("etc/ivalt/ca.pem", &(good + &pem));
                s
            },
            &["warning roots-not-ca /etc/ivalt/ca.pem"],
            |s| {
                let pem = fs::read_to_string(trusted_authority(s.dir.path())).unwrap();
                s.append(IVALT, "ca_file = \"/etc/ivalt/ca.pem\"\n")
                    .write("etc/ivalt/ca.pem", &pem);
                s
            },
        ),
        (
            "no system roots",
            |s| s.remove("etc/ssl/certs/ca-certificates.crt"),
            &["locks-out roots-unusable /etc/ivalt/ivalt.toml"],
            // Only some files of a system were copied.
            |s| {
                fs::remove_dir_all(s.path("etc/ssl")).unwrap();
                s
            },
        ),
        (
            "another file of users",
            |s| {
                s.write(
                    IVALT,
                    "users_file = \"/etc/u.toml\"\n[api]\nkey = \"SECRET-KEY\"\n",
                )
            },
            &["locks-out users-missing /etc/u.toml"],
            |s| {
                s.write(
                    IVALT,
                    "users_file = \"/etc/u.toml\"\n[api]\nkey = \"SECRET-KEY\"\n",
                );
                fs::rename(s.path(USERS), s.path("etc/u.toml")).unwrap();
                s
            },
        ),
        (
            "an argument",
            |s| {
                s.write(
                    "etc/pam.d/sudo",
                    "auth required pam_ivalt.so config=/etc/none.toml\n",
                )
            },
            &["locks-out settings-missing /etc/none.toml"],
            |s| {
                s.write(
                    "etc/pam.d/sudo",
                    "auth required pam_ivalt.so # config=/etc/none.toml\n",
                )
            },
        ),
        (
            "another file of settings in a stack",
            |s| {
                s.write(
                    "etc/pam.d/sudo",
                    "auth required pam_ivalt.so config=/etc/ivalt/sudo.toml debug\n",
                )
            },
            &["locks-out settings-missing /etc/ivalt/sudo.toml"],
            |s| {
                s.write(
                    "etc/pam.d/sudo",
                    "auth required pam_ivalt.so config=/etc/ivalt/sudo.toml debug\n",
                );
                s.write("etc/ivalt/sudo.toml", "[api]\nkey = \"SECRET-KEY\"\n");
                s
            },
        ),
    ]);
}

fn expired_authority() -> String {
    let mut params = rcgen::CertificateParams::default();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    params.not_after = rcgen::date_time_ymd(2020, 1, 1);
    params
        .self_signed(&rcgen::KeyPair::generate().unwrap())
        .unwrap()
        .pem()
}

#[test]
fn settings_of_the_command_line_are_checked() {
    let system = System::healthy();
    let output = system.run(&["--json", "--config", "/etc/ivalt/other.toml"]);
    Checked::of(&output).gives(
        "--config",
        &["locks-out settings-missing /etc/ivalt/other.toml"],
    );
}
