//! `check` and `enable` read pam.d alike: what one sees, the other sees.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::Duration;

use tempfile::TempDir;

use super::saved_state::{Change, SavedState, StateDir};
use super::{apply, plan, write};
use crate::check::services_with_ivalt;
use crate::output::Output;
use crate::pam_stack::{self, ModuleKind, RuleType};
use crate::root::Root;
use crate::sshd_config::SshdConfig;
use crate::{Refused, check};

const DEBIAN: (&str, &str) = ("/etc/os-release", "ID=debian\n");
const SUSE: (&str, &str) = ("/etc/os-release", "ID=opensuse-tumbleweed\n");
const UNIX: &str = "auth required pam_unix.so\n";

/// A system below a folder.
pub fn system(files: &[(&str, &str)]) -> (TempDir, Root) {
    let dir = TempDir::new().unwrap();
    for (path, text) in files {
        let path = dir.path().join(path.trim_start_matches('/'));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let root = Root::new(dir.path());
    (dir, root)
}

/// As somebody else does.
pub fn edit(root: &Root, path: &Path, bytes: &[u8]) {
    root.replace(path, bytes, 0o644, || Ok(())).unwrap();
}

pub fn not_edited(change: &Change, _: Vec<u8>) -> Result<(), Refused> {
    panic!("{:?} was edited", change.path)
}

fn changes(root: &Root, service: &str) -> Result<Vec<Change>, String> {
    let plan = plan::plan(root, service);
    plan.map(|plan| plan.changes).map_err(|Refused(why)| why)
}

/// What `enable` makes of /etc/pam.d/sudo, which `check` must then find covered; or why it refuses.
#[track_caller]
fn enabled(files: &[(&str, &str)]) -> Result<String, String> {
    let (_dir, root) = system(files);
    let changes = changes(&root, "sudo")?;
    let after = plan::after(&root, &changes);
    assert!(services_with_ivalt(&after).contains(&"sudo".to_owned()));
    Ok(after.read(Path::new("/etc/pam.d/sudo")).unwrap())
}

/// Whether `check` sees a module in the auth stack of sudo that asks for a password.
fn check_sees_password(files: &[(&str, &str)]) -> bool {
    let (_dir, root) = system(files);
    let service = pam_stack::read(&root, "sudo");
    let asks = |service: pam_stack::Service| {
        let mut rules = service.stack(RuleType::Auth).iter();
        rules.any(|rule| rule.kind() == ModuleKind::Password)
    };
    service.is_ok_and(asks)
}

#[track_caller]
fn both_see_a_password(files: &[(&str, &str)]) -> String {
    assert!(check_sees_password(files));
    enabled(files).unwrap_or_else(|why| panic!("{why}"))
}

#[track_caller]
fn neither_sees_a_password(files: &[(&str, &str)]) -> String {
    assert!(!check_sees_password(files));
    enabled(files).expect_err("a refusal")
}

#[test]
fn services_of_every_vendor_folder() {
    for folder in ["/usr/lib/pam.d", "/usr/etc/pam.d", "/usr/share/pam.d"] {
        let text = both_see_a_password(&[SUSE, (&format!("{folder}/sudo"), UNIX)]);
        assert!(text.starts_with(UNIX), "{folder}: {text}");
        assert!(text.ends_with("\nauth    required    pam_ivalt.so\n"));
    }
}

#[test]
fn check_lists_services_of_every_vendor_folder() {
    let text = format!("{UNIX}auth required pam_ivalt.so\n");
    for folder in pam_stack::FOLDERS {
        let (_dir, root) = system(&[SUSE, (&format!("{folder}/vsftpd"), &text)]);
        assert_eq!(services_with_ivalt(&root), ["vsftpd"], "{folder}");
    }
}

#[test]
fn included_files_of_a_vendor_folder() {
    for folder in ["/usr/lib/pam.d", "/usr/etc/pam.d"] {
        let text = both_see_a_password(&[
            SUSE,
            ("/etc/pam.d/sudo", "auth include common-auth\n"),
            (&format!("{folder}/common-auth"), UNIX),
        ]);
        assert!(
            text.contains("\nauth    substack    common-auth\n"),
            "{text}"
        );
    }
}

/// Debian's libpam does not look there.
#[test]
fn included_files_of_a_vendor_folder_on_debian() {
    neither_sees_a_password(&[
        DEBIAN,
        ("/etc/pam.d/sudo", "auth include common-auth\n"),
        ("/usr/lib/pam.d/common-auth", UNIX),
    ]);
}

#[test]
fn every_password_module() {
    for name in [
        "pam_unix",
        "pam_sss",
        "pam_krb5",
        "pam_ldap",
        "pam_winbind",
        "pam_userdb",
        "pam_pwdb",
        "pam_tcb",
        "pam_ldapd",
        "pam_systemd_home",
        "pam_himmelblau",
        "pam_kanidm",
        "pam_mysql",
    ] {
        let line = format!("auth required {name}.so\n");
        both_see_a_password(&[DEBIAN, ("/etc/pam.d/sudo", &line)]);
        let above = format!("auth required pam_ivalt.so\n{line}");
        let (_dir, root) = system(&[DEBIAN, ("/etc/pam.d/sudo", &above)]);
        let findings = check::findings(&root, Path::new("/etc/ivalt/ivalt.toml"));
        let found = |id: &str| findings.iter().any(|finding| finding.id == id);
        assert!(found("before-password"), "{name}: {findings:#?}");
    }
}

const ADDED: &str = "# By `ivaltctl enable`; `ivaltctl disable` puts the file back as it was.\n\
                     auth    required    pam_ivalt.so\n";

/// What is below the last of its lines; the lines themselves stay as they are, to the byte.
#[test]
fn a_continued_line() {
    for (line, rest) in [
        ("auth \\\n required \\\n pam_unix.so\n", ""),
        (
            "auth \\ \t\n required pam_unix.so \t\n",
            "account required pam_unix.so\n",
        ),
        ("auth required pam_unix.so \\\n  nullok # \\\n", "# end"),
    ] {
        let before = format!("# head\n{line}{rest}");
        let text = both_see_a_password(&[DEBIAN, ("/etc/pam.d/sudo", &before)]);
        assert_eq!(text, format!("# head\n{line}{ADDED}{rest}"));
    }
    let text = both_see_a_password(&[
        SUSE,
        (
            "/etc/pam.d/sudo",
            "auth \\\n include \\\n common-auth\nsession optional pam_umask.so\n",
        ),
        ("/etc/pam.d/common-auth", UNIX),
    ]);
    assert_eq!(
        text,
        ADDED.replace("auth ", "auth    substack    common-auth\nauth ")
            + "session optional pam_umask.so\n"
    );
}

/// There libpam's versions disagree about where the line ends.
#[test]
fn a_comment_between_continued_lines() {
    let text = "auth required \\\n# here\n pam_unix.so\n";
    let why = enabled(&[DEBIAN, ("/etc/pam.d/sudo", text)]).expect_err("a refusal");
    assert_eq!(
        why,
        "/etc/pam.d/sudo:1: a comment or an empty line follows a backslash, which versions of libpam read differently; \
         write it as one line first"
    );
}

/// Of a common-auth that ends the stack where the password is right.
const SUFFICIENT: &str =
    "auth sufficient pam_unix.so\nauth sufficient pam_sss.so\nauth required pam_deny.so\n";
const ALL_TYPES: &str = "auth sufficient pam_unix.so\nsession optional pam_umask.so\nauth required pam_deny.so\n\
                         password required pam_unix.so\naccount required pam_unix.so\n";

/// As an include it would end before anybody is asked; the file's other types stay included.
#[test]
fn at_include_of_a_file_that_ends_the_stack() {
    for (included, others) in [
        (SUFFICIENT, ""),
        (
            ALL_TYPES,
            "account    include    common-auth\npassword    include    common-auth\nsession    include    common-auth\n",
        ),
    ] {
        for (service, above, below) in [
            (
                "sudo",
                "session required pam_limits.so\n",
                "@include common-account\n",
            ),
            (
                "su",
                "auth sufficient pam_rootok.so\n",
                "session required pam_limits.so\n",
            ),
            (
                "login",
                "auth requisite pam_nologin.so\n",
                "auth optional pam_group.so\n",
            ),
        ] {
            let path = format!("/etc/pam.d/{service}");
            let (_dir, root) = system(&[
                DEBIAN,
                (
                    &path,
                    &format!("{above}@include common-auth # ours\n{below}"),
                ),
                ("/etc/pam.d/common-auth", included),
                (
                    "/etc/pam.d/common-account",
                    "account required pam_unix.so\n",
                ),
            ]);
            let after = plan::after(&root, &changes(&root, service).unwrap());
            let substack = ADDED.replace("auth ", "auth    substack    common-auth\nauth ");
            assert_eq!(
                after.read(Path::new(&path)).unwrap(),
                format!("{above}{substack}{others}{below}"),
                "{service}"
            );
            for other in [RuleType::Account, RuleType::Password, RuleType::Session] {
                assert_eq!(
                    modules(&root, service, other),
                    modules(&after, service, other),
                    "{service}"
                );
            }
            let findings = check::findings(&after, Path::new("/etc/ivalt/ivalt.toml"));
            let of_stack = findings.iter().filter(|finding| {
                let file = finding.file.as_deref().unwrap_or(Path::new(""));
                file.starts_with("/etc/pam.d")
            });
            let ids: Vec<_> = of_stack.map(|finding| finding.id).collect();
            assert!(ids.is_empty(), "{service}: {ids:?}");
        }
    }
}

/// The files and lines of the modules of a stack.
fn modules(root: &Root, service: &str, rule_type: RuleType) -> Vec<(String, usize)> {
    let service = pam_stack::read(root, service).expect("a service");
    let rules = service.own(rule_type).iter();
    rules
        .map(|rule| (rule.location.file.display().to_string(), rule.location.line))
        .filter(|(file, _)| file.ends_with("common-auth"))
        .collect()
}

#[test]
fn at_include_stays_where_the_stack_goes_on() {
    for included in [
        UNIX,
        "auth [success=1 default=ignore] pam_unix.so\nauth requisite pam_deny.so\nauth required pam_permit.so\n",
    ] {
        let text = both_see_a_password(&[
            DEBIAN,
            (
                "/etc/pam.d/sudo",
                "@include common-auth # ours\n@include other\n",
            ),
            ("/etc/pam.d/common-auth", included),
            ("/etc/pam.d/other", ""),
        ]);
        assert_eq!(
            text,
            format!("@include common-auth # ours\n{ADDED}@include other\n")
        );
    }
}

/// In a substack the lines of the file count as one.
#[test]
fn a_jump_into_an_included_file() {
    let jump = "auth [success=1 default=ignore] pam_succeed_if.so user = backup\n";
    for (include, count, jumps) in [
        ("auth include common-auth\n", 1, true),
        // Already one line.
        ("auth substack common-auth\n", 2, false),
    ] {
        let jump = jump.replace("success=1", &format!("success={count}"));
        let files = [
            SUSE,
            (
                "/etc/pam.d/sudo",
                &format!("{jump}{include}auth optional pam_env.so\n"),
            ),
            ("/etc/pam.d/common-auth", SUFFICIENT),
        ];
        match enabled(&files) {
            Err(why) if jumps => assert_eq!(
                why,
                "/etc/pam.d/sudo:1: [success=1 default=ignore] counts the lines of common-auth, which would be one line \
                 then: it would jump elsewhere; write what the line is for without a jump, and run this again"
            ),
            Ok(_) if !jumps => {}
            other => panic!("{include}: {other:?}"),
        }
    }
    // The line stays as it is, and what `check` says of it is shown.
    let text = both_see_a_password(&[
        DEBIAN,
        ("/etc/pam.d/sudo", &format!("{jump}@include common-auth\n")),
        ("/etc/pam.d/common-auth", SUFFICIENT),
    ]);
    assert_eq!(text, format!("{jump}@include common-auth\n{ADDED}"));
}

#[test]
fn a_backslash_in_a_comment_continues_nothing() {
    both_see_a_password(&[
        DEBIAN,
        ("/etc/pam.d/sudo", "auth required pam_unix.so # \\\n"),
    ]);
}

#[test]
fn at_include_elsewhere_than_on_debian() {
    let files = [
        ("/etc/pam.d/sudo", "@include common-auth\n"),
        ("/etc/pam.d/common-auth", UNIX),
    ];
    both_see_a_password(&[&[DEBIAN], &files[..]].concat());
    neither_sees_a_password(&[&[SUSE], &files[..]].concat());
}

#[test]
fn words_in_capitals() {
    for line in ["AUTH INCLUDE common-auth\n", "@INCLUDE common-auth\n"] {
        both_see_a_password(&[
            DEBIAN,
            ("/etc/pam.d/sudo", line),
            ("/etc/pam.d/common-auth", UNIX),
        ]);
    }
}

/// To libpam it is part of the name of the file or of the module.
#[test]
fn carriage_returns_are_named() {
    const CAUSE: &str =
        "the line ends with a carriage return (CRLF), which libpam takes for part of its last word";
    const FIX: &str = "run: sed -i --follow-symlinks 's/\\r$//' /etc/pam.d/sudo";
    let why = |text: &str| {
        let files = [
            DEBIAN,
            ("/etc/pam.d/sudo", text),
            ("/etc/pam.d/common-auth", UNIX),
        ];
        enabled(&files).expect_err("a refusal")
    };
    assert_eq!(
        why("# head\r\n@include common-auth\r\n"),
        format!("/etc/pam.d/sudo:2: there is no file common-auth\\r to include: {CAUSE}; {FIX}")
    );
    assert_eq!(
        why("# head\r\nauth include common-auth\r\n"),
        format!(
            "/etc/pam.d/sudo:2: {CAUSE}, and no line here asks for a password, so the right place is not clear; {FIX}"
        )
    );
    assert_eq!(
        why("auth required pam_unix.so\r\n"),
        format!("/etc/pam.d/sudo:1: {CAUSE}; {FIX}")
    );
}

#[test]
fn brackets_hold_a_word_together() {
    both_see_a_password(&[
        DEBIAN,
        ("/etc/pam.d/sudo", "auth [include] common-auth\n"),
        ("/etc/pam.d/common-auth", UNIX),
    ]);
}

#[test]
fn the_name_of_a_module_among_the_arguments_of_another() {
    neither_sees_a_password(&[
        DEBIAN,
        ("/etc/pam.d/sudo", "auth required pam_exec.so pam_unix.so\n"),
    ]);
    both_see_a_password(&[
        DEBIAN,
        (
            "/etc/pam.d/sudo",
            "auth required pam_unix.so\nauth optional pam_exec.so /usr/bin/pam_ivalt-log\n",
        ),
    ]);
}

#[test]
fn a_service_that_libpam_cannot_use() {
    let why = neither_sees_a_password(&[
        DEBIAN,
        (
            "/etc/pam.d/sudo",
            "auth required pam_unix.so\n@include nothing\n",
        ),
    ]);
    assert_eq!(
        why,
        "/etc/pam.d/sudo:2: there is no file nothing to include; create that file, or name one that exists"
    );
}

#[test]
fn covered_already_by_an_included_file() {
    let why = enabled(&[
        DEBIAN,
        ("/etc/pam.d/sudo", "@include common-auth\n"),
        (
            "/etc/pam.d/common-auth",
            "auth required pam_unix.so\nauth required pam_ivalt.so\n",
        ),
    ]);
    let why = why.expect_err("a refusal");
    assert_eq!(
        why,
        "/etc/pam.d/common-auth:2: sudo has pam_ivalt already; nothing to do"
    );
}

/// `check` warns of an alias without pam_ivalt wherever libpam finds its file.
#[test]
fn an_alias_service_of_a_vendor_folder() {
    let (_dir, root) = system(&[
        SUSE,
        ("/etc/pam.d/sudo", UNIX),
        ("/usr/etc/pam.d/sudo-i", UNIX),
    ]);
    let after = plan::after(&root, &changes(&root, "sudo").unwrap());
    assert_eq!(services_with_ivalt(&after), ["sudo", "sudo-i"]);
}

/// `check` follows it below the root; `enable` replaces files and would leave the link's target as it is.
#[test]
fn a_service_file_that_is_a_link() {
    let own = "auth required pam_env.so\nauth \\\n required pam_unix.so\n";
    for (target, text, manually) in [
        (
            "/etc/sudo.pam",
            own,
            "below line 3 of /etc/pam.d/sudo, add this line manually: auth    required    pam_ivalt.so",
        ),
        (
            "../sudo.pam",
            "auth include system-auth\n",
            "in place of line 1 of /etc/pam.d/sudo, write manually: auth    substack    system-auth\n\
             below it: auth    required    pam_ivalt.so",
        ),
        (
            "../sudo.pam",
            "auth sufficient pam_unix.so\nauth required pam_deny.so\n",
            "run ivaltctl check after you have added pam_ivalt manually",
        ),
    ] {
        let (dir, root) = system(&[
            SUSE,
            ("/etc/sudo.pam", text),
            ("/etc/pam.d/system-auth", SUFFICIENT),
        ]);
        symlink(target, dir.path().join("etc/pam.d/sudo")).unwrap();
        assert_eq!(
            changes(&root, "sudo").expect_err("a refusal"),
            format!(
                "/etc/pam.d/sudo: is a symbolic link to {target}, which `enable` does not replace: other services may \
                 use that file, and what made the link may write it anew; {manually}"
            )
        );
    }
}

/// What is found in the file as it would be is told at the line it has now.
#[test]
fn findings_are_about_lines_that_exist() {
    let (_dir, root) = system(&[
        SUSE,
        (
            "/usr/etc/pam.d/sudo",
            "auth required pam_unix.so\naccount requird pam_unix.so\n",
        ),
    ]);
    let changes = changes(&root, "sudo").unwrap();
    let finding = |line| {
        let finding = check::findings(
            &plan::after(&root, &changes),
            Path::new("/etc/ivalt/ivalt.toml"),
        );
        let mut finding = finding
            .into_iter()
            .find(|finding| finding.id == "unknown-control")
            .unwrap();
        assert_eq!(finding.file.as_deref(), Some(Path::new("/etc/pam.d/sudo")));
        assert_eq!(finding.line, Some(4));
        finding.line = Some(line);
        finding.what = "wrong".to_owned();
        let finding = plan::in_files_of_now(&root, &changes, finding);
        (
            finding.file.unwrap().display().to_string(),
            finding.line,
            finding.what,
        )
    };
    let file = || "/usr/etc/pam.d/sudo".to_owned();
    assert_eq!(finding(4), (file(), Some(2), "wrong".to_owned()));
    let ours =
        "wrong; this is about a line that `enable` would write: auth    required    pam_ivalt.so";
    assert_eq!(finding(3), (file(), None, ours.to_owned()));
}

/// It is a service like any other, also when no other has lines of its own.
#[test]
fn the_service_other() {
    let (_dir, root) = system(&[DEBIAN, ("/etc/pam.d/other", UNIX)]);
    let after = plan::after(&root, &changes(&root, "other").unwrap());
    assert_eq!(services_with_ivalt(&after), ["other"]);
}

#[test]
fn copies_are_not_services() {
    let copies = [
        "sudo.save",
        "sudo.bk",
        "sudo.ori",
        "sudo.1",
        "sudo.20261126",
        "sudo-old",
        "sudo~",
        "sudo.rpmsave",
        "sudo.rpmnew",
        "sudo.dpkg-old",
        "sudo.dpkg-dist",
        "sudo.orig",
        "sudo.bak",
        "sudo.swp",
        ".sudo.swp",
        "common-auth.pam-config-backup",
        "sudo (copy)",
        "sudo 2",
        "#sudo#",
        "Sudo",
        "sudo_backup",
        "sudo.ucf-dist",
        "sudo.pam-old",
    ];
    for name in copies {
        let (_dir, root) = system(&[DEBIAN, (&format!("/etc/pam.d/{name}"), UNIX)]);
        assert!(pam_stack::service_names(&root).is_empty(), "{name}");
    }
    for name in [&copies[..], &["../sudo", ""]].concat() {
        assert!(super::service_name(name).is_err(), "{name}");
    }
    for name in [
        "sudo-i",
        "polkit-1",
        "postgresql-9.6",
        "smtp.postfix",
        "gdm-password",
        "samba4",
    ] {
        assert_eq!(super::service_name(name), Ok(name));
    }
}

/// A system below tests/ctl/pam.d, with sshd's settings.
fn distribution(tree: &str, config: &str) -> Root {
    let config = format!("Include /etc/ssh/sshd_config.d/*.conf\n{config}");
    let root = Root::new(&support::checkout().join("tests/ctl/pam.d").join(tree));
    root.with(Path::new("/etc/ssh/sshd_config"), config)
}

/// The auth lines of sshd after `enable`, without comments, and the methods.
fn sshd(root: &Root) -> (Vec<String>, String, bool) {
    let plan = plan::plan(root, "sshd").map_err(|Refused(why)| why);
    let plan = plan.unwrap_or_else(|why| panic!("{why}"));
    let after = plan::after(root, &plan.changes);
    let read = |path: &str| after.read(Path::new(path)).unwrap();
    let squeezed = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    let lines = read("/etc/pam.d/sshd");
    let lines = lines.lines().map(squeezed);
    let auth = lines.filter(|line| line.starts_with("auth") || line == "@include common-auth");
    let drop_in = read("/etc/ssh/sshd_config.d/00-ivalt.conf");
    let methods = drop_in.lines().find(|line| line.starts_with("Auth"));
    let methods = methods.unwrap_or_default().to_owned();
    (auth.collect(), methods, plan.notice.is_some())
}

const BOTH: &str = "AuthenticationMethods publickey,keyboard-interactive keyboard-interactive";
const KEY: &str = "AuthenticationMethods publickey,keyboard-interactive";
const AFTER_KEY: &str =
    "auth [success=done ignore=ignore default=die] pam_ivalt.so only_after=publickey";
const IVALT: &str = "auth required pam_ivalt.so";

#[test]
fn sshd_by_key_or_password_where_a_wrong_password_ends_the_stack() {
    for (tree, password) in [
        ("debian-12", "@include common-auth"),
        ("debian-13", "@include common-auth"),
        ("arch", "auth include system-remote-login"),
    ] {
        let (lines, methods, notice) = sshd(&distribution(tree, ""));
        assert_eq!(lines, [AFTER_KEY, password, IVALT], "{tree}");
        assert_eq!((methods.as_str(), notice), (BOTH, false), "{tree}");
    }
}

/// What an administrator wrote there stays; our own file and hidden ones, which sshd does not read, say nothing.
#[test]
fn methods_of_other_drop_ins_are_kept() {
    let written = "authenticationmethods publickey,keyboard-interactive\n";
    for (name, expected) in [
        ("10-own.conf", ""),
        (".10-own.conf", BOTH),
        ("00-ivalt.conf", BOTH),
    ] {
        let drop_in = format!("/etc/ssh/sshd_config.d/{name}");
        let (_dir, root) = system(&[
            ("/etc/pam.d/sshd", "auth requisite pam_unix.so\n"),
            ("/etc/ssh/sshd_config", "include /etc/ssh/sshd_config.d/*\n"),
            (&drop_in, written),
        ]);
        let (_, methods, notice) = sshd(&root);
        assert_eq!((methods.as_str(), notice), (expected, false), "{name}");
    }
}

#[test]
fn sshd_by_key_alone_where_nothing_ends_it() {
    for (tree, others) in [
        ("fedora", &[IVALT, "auth include postlogin"][..]),
        ("opensuse", &["auth requisite pam_nologin.so", IVALT]),
    ] {
        let (lines, methods, notice) = sshd(&distribution(tree, ""));
        assert_eq!(lines, others, "{tree}");
        assert_eq!((methods.as_str(), notice), (KEY, true), "{tree}");
        let fits = sshd(&distribution(tree, KEY));
        assert_eq!((fits.1.as_str(), fits.2), ("", true), "{tree}");
        for config in [
            BOTH,
            "AuthenticationMethods keyboard-interactive",
            "AuthenticationMethods keyboard-interactive,publickey",
        ] {
            let why = changes(&distribution(tree, config), "sshd").unwrap_err();
            assert!(
                why.starts_with(&format!("sshd_config has \"{config}\".")),
                "{why}"
            );
        }
        let block = "Match User bob\n  authenticationmethods keyboard-interactive\n";
        let why = changes(&distribution(tree, block), "sshd").unwrap_err();
        assert!(
            why.starts_with("sshd_config has \"AuthenticationMethods keyboard-interactive\"."),
            "{why}"
        );
    }
}

/// What a block says is for its connections alone; all others need the line of `enable`.
#[test]
fn methods_of_blocks_are_not_those_of_all_connections() {
    for (config, expected) in [
        (format!("Match User bob\n{KEY}\n"), BOTH),
        (
            "Match Group sftponly\nAuthenticationMethods publickey\n".to_owned(),
            BOTH,
        ),
        (format!("{KEY}\nMatch User bob\n{BOTH}\n"), ""),
        (
            format!("Match User bob\nX11Forwarding no\nMatch all\n{BOTH}\n"),
            "",
        ),
    ] {
        let (_, methods, _) = sshd(&distribution("debian-12", &config));
        assert_eq!(methods, expected, "{config}");
    }
}

/// Before 8.7 sshd asks PAM nothing while the one is off, as in Debian 11's own file, whatever the other is.
#[test]
fn both_settings_for_prompts_where_there_are_or_may_be_two() {
    let one = "KbdInteractiveAuthentication yes\n";
    let two = "KbdInteractiveAuthentication yes\nChallengeResponseAuthentication yes\n";
    for (program, expected) in [
        ("OpenSSH_8.6p1", two),
        ("OpenSSH_8.7p1", one),
        ("OpenSSH_10.0p2", one),
        ("no release", two),
    ] {
        let root = distribution("debian-12", "ChallengeResponseAuthentication no\n");
        let root = root.with(Path::new("/usr/sbin/sshd"), program.to_owned());
        let plan = plan::plan(&root, "sshd")
            .map_err(|Refused(why)| why)
            .unwrap();
        let after = plan::after(&root, &plan.changes);
        let drop_in = after
            .read(Path::new("/etc/ssh/sshd_config.d/00-ivalt.conf"))
            .unwrap();
        let lines = drop_in.split_inclusive('\n');
        let prompts: String = lines
            .filter(|line| {
                line.contains("AuthenticationMethods")
                    || line.contains("Response")
                    || line.contains("KbdInteractive")
            })
            .collect();
        assert_eq!(prompts, format!("{expected}{BOTH}\n"), "{program}");
    }
}

#[test]
fn a_substack_becomes_an_include_where_that_ends_the_stack() {
    let root = distribution("debian-12", "");
    let text = "auth substack common-auth\n".to_owned();
    let root = root.with(Path::new("/etc/pam.d/sshd"), text);
    let (lines, methods, notice) = sshd(&root);
    assert_eq!(lines, [AFTER_KEY, "auth include common-auth", IVALT]);
    assert_eq!((methods.as_str(), notice), (BOTH, false));
}

#[test]
fn a_password_module_that_does_not_end_the_stack_is_left_to_the_administrator() {
    let root = |control: &str| {
        let text = format!("auth {control} pam_unix.so\n");
        distribution("debian-12", "").with(Path::new("/etc/pam.d/sshd"), text)
    };
    let why = changes(&root("required"), "sshd").unwrap_err();
    assert!(why.contains("write requisite in the line"), "{why}");
    let (lines, ..) = sshd(&root("requisite"));
    assert_eq!(lines, [AFTER_KEY, "auth requisite pam_unix.so", IVALT]);
}

/// The factors of one login that succeeds.
type Way = BTreeSet<&'static str>;

/// How people get in by ssh: with sshd's settings of one system and pam.d of another.
fn ways_in(settings: &Root, pam_d: &Root) -> BTreeSet<Way> {
    let config = SshdConfig::read(settings, false).unwrap();
    let words = |keyword: &str, default: &str| match config.outside(keyword) {
        Some(setting) => setting.arguments.clone(),
        None => vec![default.to_owned()],
    };
    let methods = words("authenticationmethods", "any");
    let mut lists: Vec<Vec<&str>> = methods
        .iter()
        .map(|list| list.split(',').collect())
        .collect();
    if methods == ["any"] {
        lists = ["publickey", "password", "keyboard-interactive"]
            .map(|one| vec![one])
            .to_vec();
    }
    let is_off = |method: &&str| match *method {
        "password" => words("passwordauthentication", "yes") == ["no"],
        "keyboard-interactive" => words("kbdinteractiveauthentication", "yes") == ["no"],
        _ => false,
    };
    lists.retain(|list| !list.iter().any(is_off));
    lists
        .iter()
        .filter_map(|list| way_in(pam_d, list))
        .collect()
}

fn way_in(pam_d: &Root, methods: &[&str]) -> Option<Way> {
    let after_key = methods[0] == "publickey";
    let mut way = Way::new();
    for method in methods {
        let asked = pam_asks(pam_d, after_key);
        match *method {
            "publickey" => drop(way.insert("key")),
            // sshd gives PAM the one password for every prompt.
            "password" if asked.len() > 1 => return None,
            _ => way.extend(asked),
        }
    }
    Some(way)
}

fn pam_asks(pam_d: &Root, after_key: bool) -> Way {
    let text = pam_d.read(Path::new("/etc/pam.d/sshd")).unwrap();
    let lines: Vec<_> = text.lines().collect();
    if after_key && lines.contains(&check::KEY_LINE) {
        return Way::from(["token"]);
    }
    let password = [
        "@include common-auth",
        "auth       substack     password-auth",
    ];
    let asks = [
        ("password", lines.iter().any(|line| password.contains(line))),
        ("token", lines.contains(&super::pam::PAM_LINE)),
    ];
    asks.into_iter()
        .filter_map(|(factor, asked)| asked.then_some(factor))
        .collect()
}

/// Stops the writes at a file: what is in the way cannot be removed.
fn in_the_way(dir: &TempDir, change: &Change) -> std::path::PathBuf {
    let path = dir.path().join(change.path.strip_prefix("/").unwrap());
    let name = path.file_name().unwrap().to_str().unwrap();
    let folder = path.with_file_name(format!(".{name}.new"));
    fs::create_dir(&folder).unwrap();
    folder
}

/// Every state that a power cut can leave while `enable` writes, and while the files are put back.
fn states_between(dir: &TempDir, root: &Root, state: &SavedState) -> Vec<Root> {
    let path = |root: &Root, change: &Change| (change.path.clone(), root.read(&change.path).ok());
    let mut between = Vec::new();
    for back in [false, true] {
        for change in &state.changes {
            let folder = in_the_way(dir, change);
            let stopped = match back {
                false => write::write_all(root, state).map(drop),
                true => write::restore(root, state, not_edited, |_, _| Ok(None)).map(drop),
            };
            assert!(stopped.is_err(), "{:?} is not written", change.path);
            let files = state.changes.iter().map(|change| path(root, change));
            let seen = files.fold(root.clone(), |seen, (path, text)| match text {
                Some(text) => seen.with(&path, text),
                None => seen,
            });
            between.push(seen);
            fs::remove_dir(folder).unwrap();
            match back {
                false => drop(write::restore(root, state, not_edited, |_, _| Ok(None)).unwrap()),
                true => drop(write::write_all(root, state).unwrap()),
            }
        }
        if !back {
            write::write_all(root, state).unwrap();
        }
    }
    between
}

/// Neither on the disk nor in an sshd that still runs with the settings before.
#[test]
fn nothing_between_two_writes_is_more_open_than_before_and_after() {
    let debian = ("/etc/pam.d/sshd", "@include common-auth\n");
    let common = (
        "/etc/pam.d/common-auth",
        "auth [success=1 default=ignore] pam_unix.so\nauth requisite pam_deny.so\nauth required pam_permit.so\n",
    );
    let fedora = ("/etc/pam.d/sshd", "auth       substack     password-auth\n");
    let shared = ("/etc/pam.d/password-auth", SUFFICIENT);
    let keys = "PasswordAuthentication no\nKbdInteractiveAuthentication no\n";
    let passwords = "KbdInteractiveAuthentication no\n";
    let prompts = "PasswordAuthentication no\n";
    for (id, service, included) in [(DEBIAN, debian, common), (SUSE, fedora, shared)] {
        for config in [keys, passwords, prompts, ""] {
            let config = format!("Include /etc/ssh/sshd_config.d/*.conf\n{config}");
            let (dir, root) = system(&[
                id,
                service,
                included,
                ("/etc/ssh/sshd_config", &config),
                // So that putting it back is a write, too.
                ("/etc/ssh/sshd_config.d/00-ivalt.conf", "# nothing\n"),
            ]);
            let state = SavedState::new("sshd", Duration::ZERO, changes(&root, "sshd").unwrap());
            assert_eq!(state.changes.len(), 2);
            let after = plan::after(&root, &state.changes);
            let before = state.changes.iter().fold(root.clone(), |before, change| {
                before.with(&change.path, root.read(&change.path).unwrap())
            });
            let allowed = &ways_in(&before, &before) | &ways_in(&after, &after);
            let between = states_between(&dir, &root, &state);
            assert_eq!(between.len(), 4);
            for state in between {
                for way in ways_in(&state, &state) {
                    let as_closed = allowed.iter().any(|allowed| allowed.is_subset(&way));
                    assert!(
                        as_closed,
                        "{}: {config}: {way:?}; allowed: {allowed:?}",
                        service.1
                    );
                }
            }
        }
    }
}

/// Between the plan and the write systemd is asked, and sshd.
#[test]
fn what_is_edited_before_enable_writes_it_is_kept() {
    let (dir, root) = system(&[DEBIAN, ("/etc/pam.d/su", UNIX)]);
    let su = Path::new("/etc/pam.d/su");
    let state = SavedState::new("su", Duration::ZERO, changes(&root, "su").unwrap());
    edit(&root, su, b"# edited\n");
    let states = StateDir::create(&root).unwrap().lock().unwrap();
    states.save(&state).unwrap();
    let Err(Refused(why)) = apply(&states, &root, &state, &mut Output::new(false, false)) else {
        panic!("it was enabled");
    };
    let path = root.shown(su);
    let kept = dir.path().join("var/lib/ivalt/etc-pam.d-su.edited");
    assert_eq!(
        why,
        format!(
            "{path}: cannot be written: somebody else has just changed it; everything was put back; \
             {path} was edited, that version is kept: {}",
            kept.display()
        )
    );
    assert_eq!(fs::read(kept).unwrap(), b"# edited\n");
    assert_eq!(root.read(su).unwrap(), UNIX);
}
