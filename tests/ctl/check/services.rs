//! Which services ask iVALT.

use std::fs;
use std::os::unix::fs::symlink;

use serde_json::json;

use super::{MODULES, System, shared_object};

#[test]
fn every_form_of_a_line_with_ivalt() {
    for (name, text, asked) in [
        (
            "in brackets",
            "auth [success=ok default=die] pam_ivalt.so\n",
            true,
        ),
        ("quiet", "-auth required pam_ivalt.so debug\n", true),
        ("a substack", "auth substack second\n", true),
        ("Debian's include", "@include second\n", true),
        ("joined", "auth \\\nrequired \\\npam_ivalt.so\n", true),
        ("a comment", "# auth required pam_ivalt.so\n", false),
        (
            "behind a comment",
            "auth required pam_unix.so # pam_ivalt.so\n",
            false,
        ),
        ("itself", "auth include login\n@include login\n", false),
        ("another type", "session required pam_ivalt.so\n", false),
    ] {
        let system = System::healthy();
        system.write(
            "etc/pam.d/second",
            "auth required pam_unix.so\nauth required pam_ivalt.so\n",
        );
        let report = system.write("etc/pam.d/login", text).check().report;
        let services = report["services"].as_array().unwrap();
        assert_eq!(services.contains(&"login".into()), asked, "{name}");
    }
}

const WITH_IVALT: &str = "auth required pam_unix.so\nauth required pam_ivalt.so\n";

/// The services of a system in which sshd and sudo do not ask by lines of their own.
#[track_caller]
fn services(system: &System) -> serde_json::Value {
    let report = system.check().report;
    let listed = report["services"].as_array().unwrap();
    let listed: Vec<_> = listed.iter().map(|name| name.as_str().unwrap()).collect();
    let text = String::from_utf8(system.run(&[]).stdout).unwrap();
    let said = match &listed[..] {
        [] => "\nno service asks iVALT\n".to_owned(),
        listed => format!("\nservices that ask iVALT: {}\n", listed.join(", ")),
    };
    assert!(text.ends_with(&said), "{text}");
    report["services"].clone()
}

fn without_ivalt() -> System {
    let system = System::healthy();
    for name in ["sshd", "sudo", "sudo-i"] {
        system.write(&format!("etc/pam.d/{name}"), "@include common-auth\n");
    }
    system
}

/// Nothing asks for them by name.
#[test]
fn files_that_are_included_are_no_services() {
    for name in [
        "common-auth",
        "common-auth-pc",
        "system-auth",
        "system-auth-ac",
        "password-auth",
        "system-remote-login",
        "base-auth",
        "two-factors",
    ] {
        let system = without_ivalt();
        system.write(&format!("etc/pam.d/{name}"), WITH_IVALT);
        system.write("etc/pam.d/sshd", &format!("auth substack {name}\n"));
        if name != "common-auth" {
            system.write(
                "etc/pam.d/sudo",
                &format!("auth include /etc/pam.d/{name}\n"),
            );
            assert_eq!(services(&system), json!(["sshd", "sudo"]), "{name}");
        } else {
            assert_eq!(
                services(&system),
                json!(["sshd", "sudo", "sudo-i"]),
                "{name}"
            );
        }
    }
    // Where nobody includes it, no login reaches it.
    let system = without_ivalt();
    system.write("etc/pam.d/system-auth", WITH_IVALT);
    assert_eq!(services(&system), json!([]));
}

/// `su -` includes the lines of su, which is a service all the same; so is one that includes itself.
#[test]
fn services_that_are_included_are_services() {
    for (name, by) in [
        ("su", "su-l"),
        ("sudo", "sudo-i"),
        ("login", "remote"),
        ("vsftpd", "ours"),
        ("gdm-password", "ours"),
    ] {
        let system = without_ivalt();
        system.write(&format!("etc/pam.d/{name}"), WITH_IVALT);
        system.write(
            &format!("etc/pam.d/{by}"),
            &format!("auth include {name}\n"),
        );
        let mut expected = [name, by];
        expected.sort_unstable();
        assert_eq!(services(&system), json!(expected), "{name}");
    }
    let system = without_ivalt();
    system.write(
        "etc/pam.d/ours",
        &format!("{WITH_IVALT}account include ours\n"),
    );
    assert_eq!(services(&system), json!(["ours"]));
}

/// As libpam opens them, and by the name of the link: of authselect, of alternatives, of a whole folder.
#[test]
fn links_are_read_and_named_as_the_service() {
    for (link, target, file) in [
        ("login", "/etc/pam.d/login.target", "etc/pam.d/login.target"),
        ("login", "../authselect/login", "etc/authselect/login"),
        ("login", "/etc/static/pam.d/login", "etc/static/pam.d/login"),
    ] {
        let system = without_ivalt();
        system.write(file, WITH_IVALT);
        symlink(target, system.path("etc/pam.d").join(link)).unwrap();
        let listed = services(&system);
        let names = listed.as_array().unwrap();
        assert!(names.contains(&json!("login")), "{target}: {listed}");
    }
    let system = without_ivalt();
    system.write("etc/authselect/system-auth", WITH_IVALT);
    symlink(
        "/etc/authselect/system-auth",
        system.path("etc/pam.d/system-auth"),
    )
    .unwrap();
    system.write("etc/pam.d/login", "auth substack system-auth\n");
    assert_eq!(services(&system), json!(["login"]));
    let system = without_ivalt();
    system.write("etc/pam.d/login", WITH_IVALT);
    fs::create_dir_all(system.path("etc/static")).unwrap();
    fs::rename(system.path("etc/pam.d"), system.path("etc/static/pam.d")).unwrap();
    symlink("/etc/static/pam.d", system.path("etc/pam.d")).unwrap();
    assert_eq!(services(&system), json!(["login"]));
}

#[test]
fn copies_of_service_files_are_no_services() {
    for name in [
        "sudo.save",
        "sudo.bk",
        "sudo.ori",
        "sudo.1",
        "sudo-old",
        "sudo~",
        "sudo.rpmsave",
        "sudo.dpkg-dist",
        "common-auth.pam-config-backup",
        "sudo (copy)",
    ] {
        let system = System::healthy();
        // As a service of its own it would let in.
        system.write(
            &format!("etc/pam.d/{name}"),
            "auth sufficient pam_permit.so\nauth required pam_ivalt.so\n",
        );
        system.check().gives(name, &[]);
        assert_eq!(
            services(&system),
            json!(["sshd", "sudo", "sudo-i"]),
            "{name}"
        );
    }
}

/// To libpam it is part of the last word.
#[test]
fn carriage_returns_are_named() {
    const CAUSE: &str =
        "the line ends with a carriage return (CRLF), which libpam takes for part of its last word";
    for (name, text, expected) in [
        (
            "of a module",
            "auth required pam_unix.so\r\nauth required pam_ivalt.so\n",
            &["locks-out missing-module /etc/pam.d/login:1"][..],
        ),
        (
            "of ours",
            "auth required pam_unix.so\nauth required pam_ivalt.so\r\n",
            &[
                "locks-out module-missing /etc/pam.d/login:2",
                "locks-out acceptance-denied /etc/pam.d/login:2",
            ],
        ),
        (
            "of an argument of ours",
            "auth required pam_unix.so\nauth required pam_ivalt.so debug\r\n",
            &["locks-out bad-argument /etc/pam.d/login:2"][..],
        ),
        (
            "of an argument",
            "auth required pam_unix.so nullok\r\nauth required pam_ivalt.so\n",
            &["warning carriage-return /etc/pam.d/login:1"][..],
        ),
        (
            "an empty line",
            "# head\r\n\r\nauth required pam_unix.so\nauth required pam_ivalt.so\n",
            &["locks-out broken-line /etc/pam.d/login:2"][..],
        ),
        (
            "of a control field",
            "auth required pam_unix.so\nauth required pam_ivalt.so\nauth required\r\n",
            &["locks-out broken-line /etc/pam.d/login:3"][..],
        ),
        (
            "of an include",
            "auth include common-auth\r\nauth required pam_ivalt.so\n",
            &["locks-out missing-include /etc/pam.d/login:1"][..],
        ),
        (
            "of Debian's include",
            "auth required pam_ivalt.so\n@include common-auth\r\n",
            &["locks-out unusable-service /etc/pam.d/login:2"][..],
        ),
    ] {
        let system = System::healthy();
        // The module that every system has shows where modules are.
        system.write_bytes(&format!("{MODULES}/pam_permit.so"), &shared_object(62));
        let checked = system.write("etc/pam.d/login", text).check();
        checked.gives(name, expected);
        for finding in checked.findings() {
            assert!(
                finding["what"].as_str().unwrap().contains(CAUSE),
                "{name}: {finding}"
            );
            let file = finding["file"].as_str().unwrap();
            let fix = format!("sed -i --follow-symlinks 's/\\r$//' {file}");
            assert_eq!(finding["fix"], fix, "{name}");
        }
    }
}

#[test]
fn a_line_that_replaces_another_says_which() {
    let system = System::healthy();
    system.write(
        "etc/pam.d/login",
        "auth \\\n required pam_unix.so\n\nauth required \\\n pam_ivalt.so retry\n",
    );
    let checked = system.check();
    checked.gives(
        "a continued line",
        &["locks-out bad-argument /etc/pam.d/login:4"],
    );
    let fixes = |text: &str| {
        system.write("etc/pam.d/login", text);
        let findings = system.check().findings().clone();
        findings[0]["fix"].as_str().unwrap().to_owned()
    };
    assert_eq!(
        fixes("auth required pam_unix.so\n# here\nauth optional pam_ivalt.so\n"),
        "in place of line 3: auth    required    pam_ivalt.so"
    );
    assert_eq!(
        fixes("auth include ours\nauth required pam_ivalt.so\n"),
        "create that file, or name one that exists"
    );
}

#[test]
fn a_fault_of_an_included_file_has_its_own_line() {
    let system = System::healthy();
    system.write(
        "etc/pam.d/ours",
        "# head\nauth optional pam_env.so\nauth optional \\\n pam_env.so \\\n",
    );
    let text = "auth required pam_unix.so\nauth include ours\nauth required pam_ivalt.so\n";
    let checked = system.write("etc/pam.d/login", text).check();
    checked.gives(
        "an include",
        &["locks-out broken-include /etc/pam.d/login:2"],
    );
    let what = checked.findings()[0]["what"].as_str().unwrap();
    let cause = "libpam gives up on /etc/pam.d/ours, line 3: the last line ends with a backslash";
    assert!(what.contains(cause), "{what}");
    let text = "auth required pam_unix.so\nauth required pam_ivalt.so\n@include ours\n";
    let checked = system.write("etc/pam.d/login", text).check();
    checked.gives(
        "Debian's",
        &["locks-out unusable-service /etc/pam.d/ours:3"],
    );
}
