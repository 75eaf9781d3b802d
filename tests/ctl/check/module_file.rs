//! The module's file, and who owns what is trusted.

use std::fs;
use std::os::unix::fs::{chown, symlink};

use super::{IVALT, MODULE, MODULES, System, USERS, all_give, nothing, shared_object};
use support::no_root;

#[test]
fn module_file() {
    all_give(&[
        (
            "missing",
            |s| s.remove(MODULE),
            &["locks-out module-missing /etc/pam.d/sshd:2"],
            // Only some files of a system were copied.
            |s| {
                fs::remove_dir_all(s.path("usr")).unwrap();
                s
            },
        ),
        (
            "by its path",
            |s| s.write("etc/pam.d/sudo", "auth required \\\n /opt/pam_ivalt.so\n"),
            &["locks-out module-missing /etc/pam.d/sudo:1"],
            |s| {
                s.write("etc/pam.d/sudo", "auth required /opt/pam_ivalt.so\n");
                s.write_bytes("opt/pam_ivalt.so", &shared_object(62));
                s
            },
        ),
        (
            "text",
            |s| s.write(MODULE, "#!/bin/sh\n"),
            &[NOT_ELF],
            nothing,
        ),
        (
            "a program",
            |s| s.write_bytes(MODULE, b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\x3e\0"),
            &[NOT_ELF],
            nothing,
        ),
        (
            "ARM",
            |s| s.write_bytes(MODULE, &shared_object(183)),
            &[ARCHITECTURE],
            |s| {
                s.write_bytes(MODULE, &shared_object(183))
                    .write_bytes(&format!("{MODULES}/pam_unix.so"), &shared_object(183));
                s
            },
        ),
        (
            "32 bit",
            |s| s.write_bytes(MODULE, &with(4, 1)),
            &[ARCHITECTURE],
            nothing,
        ),
        (
            "another library",
            |s| s.write_bytes(MODULE, &shared_object(62)[..64]),
            &["locks-out module-without-entry /usr/lib/x86_64-linux-gnu/security/pam_ivalt.so"],
            nothing,
        ),
        (
            "writable",
            |s| s.mode(MODULE, 0o664),
            &[WRITABLE],
            |s| s.mode(MODULE, 0o755),
        ),
        (
            "its folder",
            |s| s.mode(MODULES, 0o777),
            &["lets-in module-writable /usr/lib/x86_64-linux-gnu/security"],
            nothing,
        ),
    ]);
}

const NOT_ELF: &str = "locks-out module-not-elf /usr/lib/x86_64-linux-gnu/security/pam_ivalt.so";
const ARCHITECTURE: &str =
    "locks-out module-architecture /usr/lib/x86_64-linux-gnu/security/pam_ivalt.so";
const WRITABLE: &str = "lets-in module-writable /usr/lib/x86_64-linux-gnu/security/pam_ivalt.so";

fn with(at: usize, byte: u8) -> Vec<u8> {
    let mut bytes = shared_object(62);
    bytes[at] = byte;
    bytes
}

#[test]
fn foreign_owners() {
    if no_root("only root can give files away") {
        return;
    }
    let cases = [
        (IVALT, "locks-out settings-untrusted /etc/ivalt/ivalt.toml"),
        (USERS, "locks-out users-untrusted /etc/ivalt/users.toml"),
        (MODULE, WRITABLE),
        (
            MODULES,
            "lets-in module-writable /usr/lib/x86_64-linux-gnu/security",
        ),
    ];
    for (path, expected) in cases {
        let system = System::healthy();
        chown(system.path(path), Some(12345), Some(12345)).unwrap();
        system.check().gives(path, &[expected]);
    }
}

/// PostgreSQL runs as a user of its own; sshd does not.
#[test]
fn settings_of_a_service_that_is_not_roots() {
    if no_root("only root can give files away") {
        return;
    }
    let own = "etc/ivalt/own.toml";
    let of_user = ["warning settings-of-user /etc/ivalt/own.toml"];
    // That the service then cannot read them is a finding about its line.
    let of_root = ["locks-out service-cannot-ask /etc/pam.d/postgresql:1"];
    let untrusted = ["locks-out settings-untrusted /etc/ivalt/own.toml"];
    for (service, uid, expected) in [
        ("postgresql", 12345, &of_user[..]),
        ("postgresql", 0, &of_root),
        ("sshd", 12345, &untrusted),
    ] {
        let system = System::healthy();
        let ours = "auth required pam_ivalt.so config=/etc/ivalt/own.toml\n";
        let line = match service {
            "sshd" => format!("auth requisite pam_unix.so\n{ours}"),
            _ => ours.to_owned(),
        };
        let file = format!("etc/pam.d/{service}");
        fs::copy(system.path(IVALT), system.path(own)).unwrap();
        // sshd would answer a hidden prompt with the password.
        if service == "postgresql" {
            system.append(own, "[token]\necho = false\n");
        }
        chown(system.path(own), Some(uid), Some(uid)).unwrap();
        system
            .mode(own, 0o600)
            .write(&file, &line)
            .check()
            .gives(service, expected);
    }
}

/// Where `/lib` is a folder of its own, libpam looks there; so did those who packaged it, and `pam_unix.so` is there.
#[test]
fn lib_is_no_link_to_usr_lib() {
    const LIB: &str = "lib/x86_64-linux-gnu/security";
    let system = System::healthy();
    system.write_bytes(&format!("{LIB}/pam_unix.so"), &shared_object(62));
    system.remove(&format!("{MODULES}/pam_unix.so"));
    let checked = system.check();
    checked.gives("unmerged", &["locks-out module-missing /etc/pam.d/sshd:2"]);
    let finding = &checked.findings()[0];
    assert_eq!(
        finding["what"],
        "the module /lib/x86_64-linux-gnu/security/pam_ivalt.so does not exist, and libpam does not look for it where it \
         is, /usr/lib/x86_64-linux-gnu/security/pam_ivalt.so: PAM fails this line for everybody (PAM_MODULE_UNKNOWN)"
    );
    let link = "ln -s /usr/lib/x86_64-linux-gnu/security/pam_ivalt.so /lib/x86_64-linux-gnu/security/pam_ivalt.so";
    assert_eq!(finding["fix"], format!("{link}, or remove the line"));
    symlink(
        "/usr/lib/x86_64-linux-gnu/security/pam_ivalt.so",
        system.path(&format!("{LIB}/pam_ivalt.so")),
    )
    .unwrap();
    system.check().gives("linked", &[]);
    // One of another architecture is of no use there.
    let system = System::healthy();
    system.write_bytes(&format!("{LIB}/pam_unix.so"), &shared_object(183));
    system.remove(&format!("{MODULES}/pam_unix.so"));
    let checked = system.check();
    let fix = checked.findings()[0]["fix"].as_str().unwrap().to_owned();
    assert!(fix.starts_with("install -o root"), "{fix}");
}

/// Those of Debian, Fedora and Arch, and of a system whose `/lib` is no link to `usr/lib`.
#[test]
fn every_folder_that_libpam_may_have() {
    for folder in [
        MODULES,
        "usr/lib64/security",
        "usr/lib/security",
        "lib/x86_64-linux-gnu/security",
        "lib64/security",
        "lib/security",
    ] {
        let system = System::healthy();
        fs::rename(system.path(MODULES), system.path("modules")).unwrap();
        fs::create_dir_all(system.path(folder).parent().unwrap()).unwrap();
        fs::rename(system.path("modules"), system.path(folder)).unwrap();
        system.check().gives(folder, &[]);
        system.remove(&format!("{folder}/pam_ivalt.so"));
        let checked = system.check();
        checked.gives(folder, &["locks-out module-missing /etc/pam.d/sshd:2"]);
        let fix = checked.findings()[0]["fix"].as_str().unwrap().to_owned();
        assert!(fix.contains(&format!(" /{folder}/pam_ivalt.so")), "{fix}");
    }
}

/// Which of the two is libpam's cannot be seen; the module must be in both.
#[test]
fn two_folders_with_modules_of_the_system() {
    let lib = "lib/x86_64-linux-gnu/security/pam_unix.so";
    let system = System::healthy();
    system.write_bytes(lib, &shared_object(62));
    system.write_bytes("bin/su", &shared_object(62)[..64]);
    let missing = ["locks-out module-missing /etc/pam.d/sshd:2"];
    system.check().gives("two folders", &missing);
    system.remove(lib);
    fs::remove_dir_all(system.path("lib")).unwrap();
    symlink("usr/lib", system.path("lib")).unwrap();
    system.check().gives("merged", &[]);
}

/// Debian's i386 has a folder of its own, before that of x86-64 in the alphabet.
#[test]
fn modules_of_another_architecture() {
    let other = "usr/lib/i386-linux-gnu/security";
    let system = System::healthy();
    system.write_bytes(&format!("{other}/pam_unix.so"), &with(4, 1));
    system.write_bytes("usr/sbin/sshd", &shared_object(62)[..64]);
    system.check().gives("sshd of x86-64", &[]);
    fs::rename(
        system.path(MODULE),
        system.path(&format!("{other}/pam_ivalt.so")),
    )
    .unwrap();
    let missing = ["locks-out module-missing /etc/pam.d/sshd:2"];
    system.check().gives("beside the wrong one", &missing);
}
