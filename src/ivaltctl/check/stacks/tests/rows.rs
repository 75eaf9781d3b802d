//! The table: a broken file, the finding it must give, and the healthy version.

use super::Row;
use super::Severity::{LetsIn, LocksOut, Warning};

const DEBIAN: Row = Row {
    name: "",
    tree: "debian-12",
    service: "sshd",
    file: "sshd",
    broken: "",
    healthy: HEALTHY,
    also: &[],
    id: "",
    severity: LetsIn,
    location: ("/etc/pam.d/sshd", 2),
};
const TRIXIE: Row = Row {
    tree: "debian-13",
    ..DEBIAN
};
const FEDORA: Row = Row {
    tree: "fedora",
    healthy: FEDORA_HEALTHY,
    ..DEBIAN
};
const FEDORA_SUDO: Row = Row {
    tree: "fedora",
    service: "sudo",
    file: "sudo",
    healthy: "auth requisite pam_unix.so\nauth required pam_ivalt.so\naccount include system-auth\n",
    location: ("/etc/pam.d/sudo", 2),
    ..DEBIAN
};
const COMMON: Row = Row {
    service: "sshd",
    file: "common-auth",
    healthy: "auth [success=1 default=ignore] pam_unix.so\nauth requisite pam_deny.so\nauth required pam_permit.so\nauth required pam_ivalt.so\n",
    location: ("/etc/pam.d/common-auth", 2),
    ..DEBIAN
};
const TOLERANT: &[(&str, &str)] = &[(
    "/etc/ivalt/ivalt.toml",
    "[policy]\nunenrolled = \"ignore\"\n",
)];

const EXEMPT: &[(&str, &str)] = &[(
    "/etc/ivalt/ivalt.toml",
    "[policy]\nexempt_networks = [\"192.0.2.0/24\"]\n",
)];

const HEALTHY: &str = "@include common-auth\nauth required pam_ivalt.so\n@include common-account\n";
const KEY: &str = "auth required pam_ivalt.so\n@include common-account\n";
const FEDORA_HEALTHY: &str =
    "auth required pam_ivalt.so\nauth include postlogin\naccount include password-auth\n";
const KEY_OR_PASSWORD: &str =
    "auth [success=done ignore=ignore default=die] pam_ivalt.so only_after=publickey
@include common-auth
auth required pam_ivalt.so
@include common-account
";
const AFTER_KEY: Row = Row {
    healthy: KEY_OR_PASSWORD,
    location: ("/etc/pam.d/sshd", 1),
    ..DEBIAN
};
const LOGIN: Row = Row {
    service: "login",
    file: "login",
    healthy: "@include common-auth\nauth required pam_ivalt.so\n",
    location: ("/etc/pam.d/login", 1),
    ..DEBIAN
};

/// What ends at a wrong password as Fedora's password-auth does not.
macro_rules! fedora_by_jumps {
    () => {
        "but so that a wrong password ends the stack (later changes of password-auth, by authselect or an update, do not reach these lines):
auth    required    pam_env.so
auth    required    pam_faildelay.so delay=2000000
auth    required    pam_faillock.so preauth silent
auth    [default=1 ignore=ignore success=ok]    pam_usertype.so isregular
auth    [default=1 ignore=ignore success=ok]    pam_localuser.so
auth    [success=4 new_authtok_reqd=4 default=ignore]    pam_unix.so nullok
auth    [default=1 ignore=ignore success=ok]    pam_usertype.so isregular
auth    [success=2 new_authtok_reqd=2 default=ignore]    pam_sss.so forward_pass
auth    required    pam_faillock.so authfail
auth    requisite    pam_deny.so
auth    required    pam_ivalt.so"
    };
}
pub const FEDORA_BY_JUMPS: &str = fedora_by_jumps!();

pub const ROWS: &[Row] = &[
    Row {
        name: "optional",
        broken: "@include common-auth\nauth optional pam_ivalt.so\n@include common-account\n",
        id: "denial-does-not-deny",
        ..DEBIAN
    },
    Row {
        name: "optional, in capitals",
        broken: "@include common-auth\nAUTH OPTIONAL pam_ivalt.so\n",
        healthy: "@include common-auth\nAUTH REQUIRED pam_ivalt.so\n",
        id: "denial-does-not-deny",
        ..DEBIAN
    },
    Row {
        name: "default=ignore",
        broken: "@include common-auth\nauth [success=ok default=ignore] pam_ivalt.so\n",
        healthy: "@include common-auth\nauth [success=ok default=bad] pam_ivalt.so\n",
        id: "denial-does-not-deny",
        ..TRIXIE
    },
    Row {
        name: "default=ok",
        broken: "@include common-auth\nauth [default=ok] pam_ivalt.so use_first_pass_not\n",
        healthy: HEALTHY,
        id: "bad-argument",
        severity: LocksOut,
        ..DEBIAN
    },
    Row {
        name: "user_unknown=ignore",
        broken: "@include common-auth\nauth [success=ok user_unknown=ignore default=die] pam_ivalt.so\n",
        healthy: "@include common-auth\nauth [success=ok default=die] pam_ivalt.so\n",
        id: "denial-does-not-deny",
        ..DEBIAN
    },
    Row {
        name: "authinfo_unavail=ignore",
        broken: "@include common-auth\nauth [success=ok authinfo_unavail=ignore default=die] pam_ivalt.so\n",
        id: "denial-does-not-deny",
        ..DEBIAN
    },
    Row {
        name: "sufficient below the password",
        broken: "@include common-auth\nauth sufficient pam_ivalt.so\n",
        id: "denial-does-not-deny",
        ..DEBIAN
    },
    Row {
        name: "sufficient above the password",
        broken: "auth sufficient pam_ivalt.so\n@include common-auth\n",
        id: "denial-does-not-deny",
        location: ("/etc/pam.d/sshd", 1),
        ..DEBIAN
    },
    Row {
        name: "sufficient above permit",
        broken: "auth sufficient pam_ivalt.so\nauth required pam_permit.so\n",
        healthy: "auth sufficient pam_ivalt.so\nauth required pam_deny.so\n",
        id: "denial-does-not-deny",
        location: ("/etc/pam.d/sshd", 1),
        ..DEBIAN
    },
    Row {
        name: "a jump over pam_deny",
        broken: "auth [success=1 default=1] pam_ivalt.so\nauth requisite pam_deny.so\nauth required pam_permit.so\n",
        healthy: "auth [success=1 default=ignore] pam_ivalt.so\nauth requisite pam_deny.so\nauth required pam_permit.so\n",
        id: "denial-does-not-deny",
        location: ("/etc/pam.d/sshd", 1),
        ..DEBIAN
    },
    Row {
        name: "our denial jumps",
        broken: "@include common-auth\nauth [success=ok default=1] pam_ivalt.so\nauth requisite pam_deny.so\nauth optional pam_permit.so\n",
        healthy: "@include common-auth\nauth [success=1 default=ignore] pam_ivalt.so\nauth requisite pam_deny.so\nauth optional pam_permit.so\n",
        id: "denial-does-not-deny",
        ..TRIXIE
    },
    Row {
        name: "reset in a substack",
        broken: "@include common-auth\nauth substack ours\n",
        healthy: "@include common-auth\nauth required pam_ivalt.so\n",
        also: &[(
            "/etc/pam.d/ours",
            "auth required pam_ivalt.so\nauth [success=reset default=reset] pam_permit.so\n",
        )],
        id: "denial-does-not-deny",
        location: ("/etc/pam.d/ours", 2),
        ..DEBIAN
    },
    Row {
        name: "optional in a substack",
        broken: "auth substack ours\n@include common-auth\n",
        healthy: "@include common-auth\nauth requisite pam_ivalt.so\n",
        also: &[("/etc/pam.d/ours", "auth optional pam_ivalt.so\n")],
        id: "denial-does-not-deny",
        location: ("/etc/pam.d/ours", 1),
        ..DEBIAN
    },
    Row {
        name: "optional, continued lines",
        broken: "@include common-auth\nauth \\\n  optional \\\n  pam_ivalt.so\n",
        healthy: "@include common-auth\nauth \\\n  required \\\n  pam_ivalt.so\n",
        id: "denial-does-not-deny",
        ..DEBIAN
    },
    Row {
        name: "sufficient pam_unix above",
        broken: "auth sufficient pam_unix.so\nauth required pam_ivalt.so\n",
        healthy: "auth required pam_unix.so\nauth required pam_ivalt.so\n",
        id: "bypassed",
        location: ("/etc/pam.d/sshd", 1),
        ..DEBIAN
    },
    Row {
        name: "below sufficient and deny",
        broken: "auth sufficient pam_unix.so\nauth requisite pam_deny.so\nauth required pam_ivalt.so\n",
        healthy: "auth requisite pam_unix.so\nauth required pam_ivalt.so\n",
        id: "never-reached",
        location: ("/etc/pam.d/sshd", 1),
        ..DEBIAN
    },
    Row {
        name: "Fedora's include in sudo",
        broken: "auth include system-auth\nauth required pam_ivalt.so\n",
        id: "never-reached",
        location: ("/etc/pam.d/sudo", 1),
        ..FEDORA_SUDO
    },
    Row {
        name: "Fedora's include in sshd",
        broken: "auth include password-auth\nauth required pam_ivalt.so\n",
        id: "never-reached",
        location: ("/etc/pam.d/sshd", 1),
        ..FEDORA
    },
    Row {
        name: "inside Fedora's system-auth, too low",
        file: "system-auth",
        broken: "auth sufficient pam_unix.so\nauth required pam_deny.so\nauth required pam_ivalt.so\n",
        healthy: "auth requisite pam_unix.so\nauth required pam_ivalt.so\n",
        id: "never-reached",
        location: ("/etc/pam.d/system-auth", 1),
        also: &[
            ("/etc/pam.d/sudo", "auth include system-auth\n"),
            ("/etc/pam.d/sudo-i", "auth include sudo\n"),
        ],
        ..FEDORA_SUDO
    },
    Row {
        name: "the jump of pam_unix leads past ours",
        file: "common-auth",
        broken: "auth [success=2 default=ignore] pam_unix.so\nauth requisite pam_deny.so\nauth required pam_ivalt.so\nauth required pam_permit.so\n",
        healthy: COMMON.healthy,
        id: "never-reached",
        location: ("/etc/pam.d/common-auth", 1),
        also: &[("/etc/pam.d/sshd", "@include common-auth\n")],
        ..COMMON
    },
    Row {
        name: "done above ours",
        broken: "auth [success=done default=die] pam_unix.so\nauth required pam_ivalt.so\n",
        healthy: "auth [success=ok default=die] pam_unix.so\nauth required pam_ivalt.so\n",
        id: "never-reached",
        location: ("/etc/pam.d/sshd", 1),
        ..DEBIAN
    },
    Row {
        name: "sufficient pam_permit above",
        broken: "auth sufficient pam_permit.so\nauth required pam_ivalt.so\n",
        healthy: KEY,
        id: "never-reached",
        location: ("/etc/pam.d/sshd", 1),
        ..DEBIAN
    },
    Row {
        name: "a condition that asks nobody",
        broken: "auth sufficient pam_succeed_if.so user ingroup staff\nauth required pam_ivalt.so\n",
        healthy: KEY,
        id: "bypassed",
        location: ("/etc/pam.d/sshd", 1),
        ..DEBIAN
    },
    Row {
        name: "a group without tokens",
        broken: "@include common-auth\nauth [success=1 default=ignore] pam_succeed_if.so user ingroup exempt\nauth required pam_ivalt.so\n",
        id: "some-not-asked",
        severity: Warning,
        ..DEBIAN
    },
    Row {
        name: "another factor will do",
        broken: "auth sufficient pam_u2f.so\nauth required pam_ivalt.so\n",
        healthy: KEY,
        id: "some-not-asked",
        severity: Warning,
        location: ("/etc/pam.d/sshd", 1),
        ..DEBIAN
    },
    Row {
        name: "ignore and permit",
        broken: "auth required pam_ivalt.so\nauth required pam_permit.so\n",
        healthy: "auth [success=ok default=bad] pam_ivalt.so\nauth required pam_permit.so\n",
        also: TOLERANT,
        id: "ignore-lets-in",
        location: ("/etc/pam.d/sshd", 1),
        ..DEBIAN
    },
    Row {
        name: "ignore and pam_cap",
        broken: "auth required pam_ivalt.so\nauth optional pam_cap.so\n",
        healthy: HEALTHY,
        also: TOLERANT,
        id: "ignore-lets-in",
        location: ("/etc/pam.d/sshd", 1),
        ..TRIXIE
    },
    Row {
        name: "ignore and faillock",
        broken: "auth required pam_faillock.so preauth\nauth required pam_ivalt.so\n",
        healthy: "auth required pam_faillock.so preauth\nauth required pam_unix.so\nauth required pam_ivalt.so\n",
        also: TOLERANT,
        id: "ignore-lets-in",
        ..FEDORA
    },
    Row {
        name: "ignore of other settings",
        broken: "auth required pam_ivalt.so config=/etc/ivalt/ssh.toml\nauth required pam_permit.so\n",
        healthy: "auth required pam_ivalt.so config=/etc/ivalt/ivalt.toml\nauth required pam_permit.so\n",
        also: &[(
            "/etc/ivalt/ssh.toml",
            "[policy]\nunavailable = \"ignore\"\n",
        )],
        id: "ignore-lets-in",
        location: ("/etc/pam.d/sshd", 1),
        ..DEBIAN
    },
    Row {
        name: "ignore alone",
        broken: KEY,
        healthy: HEALTHY,
        also: TOLERANT,
        id: "ignore-denies",
        severity: LocksOut,
        location: ("/etc/pam.d/sshd", 1),
        ..DEBIAN
    },
    Row {
        name: "ignore alone, from exempt networks",
        broken: KEY,
        healthy: HEALTHY,
        also: EXEMPT,
        id: "ignore-denies",
        severity: LocksOut,
        location: ("/etc/pam.d/sshd", 1),
        ..DEBIAN
    },
    Row {
        name: "ignore alone, in an outage",
        broken: KEY,
        healthy: HEALTHY,
        also: &[(
            "/etc/ivalt/ivalt.toml",
            "[policy]\nunavailable = \"ignore\"\n",
        )],
        id: "ignore-denies",
        severity: Warning,
        location: ("/etc/pam.d/sshd", 1),
        ..DEBIAN
    },
    Row {
        name: "success=die",
        broken: "@include common-auth\nauth [success=die default=bad] pam_ivalt.so\n",
        id: "acceptance-denied",
        severity: LocksOut,
        ..DEBIAN
    },
    Row {
        name: "default=die alone",
        broken: "@include common-auth\nauth [default=die] pam_ivalt.so\n",
        healthy: "@include common-auth\nauth [success=ok default=die] pam_ivalt.so\n",
        id: "acceptance-denied",
        severity: LocksOut,
        ..DEBIAN
    },
    Row {
        name: "success=bad",
        broken: "@include common-auth\nauth [success=bad] pam_ivalt.so\n",
        id: "acceptance-denied",
        severity: LocksOut,
        ..TRIXIE
    },
    Row {
        name: "success=ignore, alone",
        broken: "auth [success=ignore default=bad] pam_ivalt.so\n",
        healthy: KEY,
        id: "acceptance-denied",
        severity: LocksOut,
        location: ("/etc/pam.d/sshd", 1),
        ..DEBIAN
    },
    Row {
        name: "between jump and deny",
        file: "common-auth",
        broken: "auth [success=1 default=ignore] pam_unix.so\nauth required pam_ivalt.so\nauth requisite pam_deny.so\nauth required pam_permit.so\n",
        also: &[("/etc/pam.d/sshd", "@include common-auth\n")],
        id: "acceptance-denied",
        severity: LocksOut,
        ..COMMON
    },
    Row {
        name: "one jump not counted again",
        file: "common-auth",
        broken: "auth [success=2 default=ignore] pam_unix.so\nauth required pam_ivalt.so\nauth [success=1 default=ignore] pam_sss.so\nauth requisite pam_deny.so\nauth required pam_permit.so\n",
        also: &[("/etc/pam.d/sshd", "@include common-auth\n")],
        id: "password-denied",
        severity: LocksOut,
        location: ("/etc/pam.d/common-auth", 1),
        ..COMMON
    },
    Row {
        name: "authd jumps over ours to pam_deny",
        file: "common-auth",
        broken: "auth [success=2 ignore=ignore default=die authinfo_unavail=ignore] pam_authd_exec.so /usr/libexec/authd-pam\nauth required pam_ivalt.so\nauth [success=1 default=ignore] pam_unix.so nullok\nauth requisite pam_deny.so\nauth required pam_permit.so\n",
        healthy: "auth [success=2 ignore=ignore default=die authinfo_unavail=ignore] pam_authd_exec.so /usr/libexec/authd-pam\nauth [success=1 default=ignore] pam_unix.so nullok\nauth requisite pam_deny.so\nauth required pam_permit.so\nauth required pam_ivalt.so\n",
        also: &[("/etc/pam.d/sshd", "@include common-auth\n")],
        id: "password-denied",
        severity: LocksOut,
        location: ("/etc/pam.d/common-auth", 1),
        ..COMMON
    },
    Row {
        name: "kanidm jumps over ours to pam_deny",
        broken: "auth [success=2 new_authtok_reqd=done default=ignore] pam_kanidm.so ignore_unknown_user\nauth required pam_ivalt.so\nauth [success=1 default=ignore] pam_unix.so\nauth requisite pam_deny.so\nauth required pam_permit.so\n",
        healthy: "auth [success=2 new_authtok_reqd=done default=ignore] pam_kanidm.so ignore_unknown_user\nauth [success=1 default=ignore] pam_unix.so\nauth requisite pam_deny.so\nauth required pam_ivalt.so\n",
        id: "password-denied",
        severity: LocksOut,
        location: ("/etc/pam.d/sshd", 1),
        ..DEBIAN
    },
    Row {
        name: "a module of our own jumps over ours to pam_deny",
        broken: "auth [success=2 default=ignore] pam_private.so\nauth required pam_ivalt.so\nauth [success=1 default=ignore] pam_unix.so\nauth requisite pam_deny.so\nauth required pam_permit.so\n",
        healthy: "auth [success=2 default=ignore] pam_private.so\nauth [success=1 default=ignore] pam_unix.so\nauth requisite pam_deny.so\nauth required pam_ivalt.so\n",
        id: "password-denied",
        severity: LocksOut,
        location: ("/etc/pam.d/sshd", 1),
        ..DEBIAN
    },
    Row {
        name: "a finger opens what denies",
        broken: "auth [success=2 default=ignore] pam_fprintd.so\nauth required pam_ivalt.so\nauth [success=1 default=ignore] pam_unix.so\nauth requisite pam_deny.so\nauth required pam_permit.so\n",
        healthy: "auth [success=2 default=ignore] pam_fprintd.so\nauth [success=1 default=ignore] pam_unix.so\nauth requisite pam_deny.so\nauth required pam_ivalt.so\n",
        id: "password-denied",
        severity: LocksOut,
        location: ("/etc/pam.d/sshd", 1),
        ..DEBIAN
    },
    Row {
        name: "a module of our own jumps behind ours",
        broken: "auth [success=2 default=ignore] pam_private.so\nauth requisite pam_unix.so\nauth required pam_ivalt.so\nauth required pam_permit.so\n",
        healthy: "auth [success=1 default=ignore] pam_private.so\nauth requisite pam_unix.so\nauth required pam_ivalt.so\nauth required pam_permit.so\n",
        id: "bypassed",
        location: ("/etc/pam.d/sshd", 1),
        ..DEBIAN
    },
    Row {
        name: "a module of our own jumps beyond the end",
        broken: "auth [success=3 default=ignore] pam_private.so\nauth requisite pam_unix.so\nauth required pam_ivalt.so\n",
        healthy: "auth [success=1 default=ignore] pam_private.so\nauth requisite pam_unix.so\nauth required pam_ivalt.so\n",
        id: "jump-beyond-end",
        severity: LocksOut,
        location: ("/etc/pam.d/sshd", 1),
        ..DEBIAN
    },
    Row {
        name: "our jump beyond the end",
        broken: "@include common-auth\nauth [success=1 default=bad] pam_ivalt.so\n",
        id: "jump-beyond-end",
        severity: LocksOut,
        ..DEBIAN
    },
    Row {
        name: "a jump of pam_unix beyond the end",
        broken: "auth [success=2 default=die] pam_unix.so\nauth required pam_ivalt.so\n",
        healthy: "auth [success=ok default=die] pam_unix.so\nauth required pam_ivalt.so\n",
        id: "jump-beyond-end",
        severity: LocksOut,
        location: ("/etc/pam.d/sshd", 1),
        ..DEBIAN
    },
    Row {
        name: "a jump out of a substack",
        broken: "auth substack password-auth\nauth substack ours\n",
        also: &[(
            "/etc/pam.d/ours",
            "auth [success=1 default=bad] pam_ivalt.so\n",
        )],
        id: "jump-beyond-end",
        severity: LocksOut,
        location: ("/etc/pam.d/ours", 1),
        ..FEDORA
    },
    Row {
        name: "unknown control",
        broken: "@include common-auth\nauth requird pam_ivalt.so\n",
        id: "unknown-control",
        severity: LocksOut,
        ..DEBIAN
    },
    Row {
        name: "a comma in the control",
        broken: "@include common-auth\nauth [success=ok,default=bad] pam_ivalt.so\n",
        healthy: "@include common-auth\nauth [success=ok default=bad] pam_ivalt.so\n",
        id: "unknown-control",
        severity: LocksOut,
        ..DEBIAN
    },
    Row {
        name: "include of nothing",
        broken: "auth substack passwd-auth\nauth required pam_ivalt.so\n",
        id: "missing-include",
        severity: LocksOut,
        location: ("/etc/pam.d/sshd", 1),
        ..FEDORA
    },
    Row {
        name: "@include of nothing",
        broken: "@include common-ath\nauth required pam_ivalt.so\n",
        id: "unusable-service",
        severity: LocksOut,
        location: ("/etc/pam.d/sshd", 1),
        ..DEBIAN
    },
    Row {
        name: "@include on Fedora",
        broken: "@include password-auth\nauth required pam_ivalt.so\n",
        id: "broken-line",
        severity: LocksOut,
        location: ("/etc/pam.d/sshd", 1),
        ..FEDORA
    },
    Row {
        name: "a backslash at the end",
        broken: "@include common-auth\nauth required pam_ivalt.so \\\n",
        id: "unusable-service",
        severity: LocksOut,
        ..DEBIAN
    },
    Row {
        name: "garbage",
        broken: "@include common-auth\nauth required pam_ivalt.so\nplease ask for a token\n",
        id: "broken-line",
        severity: LocksOut,
        location: ("/etc/pam.d/sshd", 3),
        ..DEBIAN
    },
    Row {
        name: "no module",
        broken: "@include common-auth\nauth required pam_ivalt.so\nauth required\n",
        id: "broken-line",
        severity: LocksOut,
        location: ("/etc/pam.d/sshd", 3),
        ..TRIXIE
    },
    Row {
        name: "broken account",
        broken: "@include common-auth\nauth required pam_ivalt.so\naccount include common-acount\n",
        id: "missing-include",
        severity: LocksOut,
        location: ("/etc/pam.d/sshd", 3),
        ..DEBIAN
    },
    Row {
        name: "a file in a loop",
        broken: "auth substack ours\nauth required pam_ivalt.so\n",
        healthy: FEDORA_HEALTHY,
        also: &[("/etc/pam.d/ours", "auth substack ours\n")],
        id: "include-loop",
        severity: LocksOut,
        location: ("/etc/pam.d/ours", 1),
        ..FEDORA
    },
    Row {
        name: "a module is not there",
        broken: "auth required pam_unix.so\r\nauth required pam_ivalt.so\n",
        healthy: "auth required pam_unix.so\nauth required pam_ivalt.so\n",
        also: &[
            ("/usr/lib64/security/pam_permit.so", ""),
            ("/usr/lib64/security/pam_unix.so", ""),
            ("/usr/lib64/security/pam_ivalt.so", ""),
        ],
        id: "missing-module",
        severity: LocksOut,
        location: ("/etc/pam.d/sshd", 1),
        ..FEDORA
    },
    Row {
        name: "a service in a loop",
        broken: "auth required pam_unix.so\nauth required pam_ivalt.so\nauth substack sshd\n",
        healthy: FEDORA_HEALTHY,
        id: "include-loop",
        severity: LocksOut,
        location: ("/etc/pam.d/sshd", 3),
        ..FEDORA
    },
    Row {
        name: "unknown argument",
        broken: "@include common-auth\nauth required pam_ivalt.so retry=3\n",
        id: "bad-argument",
        severity: LocksOut,
        ..DEBIAN
    },
    Row {
        name: "both first passes",
        broken: "@include common-auth\nauth required pam_ivalt.so try_first_pass use_first_pass\n",
        id: "bad-argument",
        severity: LocksOut,
        ..DEBIAN
    },
    Row {
        name: "relative settings",
        broken: "@include common-auth\nauth required pam_ivalt.so config=ivalt.toml\n",
        id: "bad-argument",
        severity: LocksOut,
        ..TRIXIE
    },
    Row {
        name: "use_first_pass and no password",
        broken: "auth required pam_ivalt.so use_first_pass\n",
        healthy: KEY,
        id: "first-pass-without-password",
        severity: LocksOut,
        location: ("/etc/pam.d/sshd", 1),
        ..DEBIAN
    },
    Row {
        name: "try_first_pass and no password",
        broken: "auth required pam_ivalt.so try_first_pass\n",
        healthy: KEY,
        id: "first-pass-without-password",
        severity: Warning,
        location: ("/etc/pam.d/sshd", 1),
        ..DEBIAN
    },
    Row {
        name: "the password as token",
        broken: "@include common-auth\nauth required pam_ivalt.so use_first_pass\n",
        id: "password-leaves",
        severity: Warning,
        ..DEBIAN
    },
    Row {
        name: "account, nothing else",
        broken: "@include common-auth\nauth required pam_ivalt.so\naccount required pam_ivalt.so\n",
        id: "account-line",
        severity: LocksOut,
        location: ("/etc/pam.d/sshd", 3),
        ..DEBIAN
    },
    Row {
        name: "account among others",
        broken: "@include common-auth\nauth required pam_ivalt.so\naccount required pam_ivalt.so\n@include common-account\n",
        id: "account-line",
        severity: Warning,
        location: ("/etc/pam.d/sshd", 3),
        ..DEBIAN
    },
    Row {
        name: "session",
        broken: "@include common-auth\nauth required pam_ivalt.so\nsession required pam_ivalt.so\n",
        id: "does-nothing",
        severity: Warning,
        location: ("/etc/pam.d/sshd", 3),
        ..DEBIAN
    },
    Row {
        name: "password",
        broken: "@include common-auth\nauth required pam_ivalt.so\npassword optional pam_ivalt.so\n",
        id: "does-nothing",
        severity: Warning,
        location: ("/etc/pam.d/sshd", 3),
        ..DEBIAN
    },
    Row {
        name: "twice",
        broken: "@include common-auth\nauth required pam_ivalt.so\nauth required pam_ivalt.so\n",
        id: "asked-twice",
        severity: Warning,
        location: ("/etc/pam.d/sshd", 3),
        ..DEBIAN
    },
    Row {
        name: "twice, where the first ignores",
        broken: "@include common-auth\nauth [success=done ignore=ignore default=die] pam_ivalt.so\nauth required pam_ivalt.so\n",
        also: TOLERANT,
        id: "asked-twice",
        severity: Warning,
        location: ("/etc/pam.d/sshd", 3),
        ..DEBIAN
    },
    Row {
        name: "twice, and neither denial denies",
        broken: "@include common-auth\nauth optional pam_ivalt.so\nauth optional pam_ivalt.so\n",
        id: "denial-does-not-deny",
        ..DEBIAN
    },
    Row {
        name: "above the password",
        broken: "auth required pam_ivalt.so\n@include common-auth\n",
        id: "before-password",
        severity: Warning,
        location: ("/etc/pam.d/sshd", 1),
        ..DEBIAN
    },
    Row {
        name: "the token in place of the password",
        broken: "auth [success=done default=die] pam_ivalt.so\nauth required pam_unix.so\n",
        id: "password-not-asked",
        severity: Warning,
        location: ("/etc/pam.d/sshd", 1),
        ..DEBIAN
    },
    Row {
        name: "a password that need not be right",
        broken: "auth optional pam_unix.so\nauth required pam_ivalt.so\n",
        healthy: "auth requisite pam_unix.so\nauth required pam_ivalt.so\n",
        id: "password-not-needed",
        severity: Warning,
        location: ("/etc/pam.d/sshd", 1),
        ..DEBIAN
    },
    Row {
        name: "sufficient alone",
        broken: "auth sufficient pam_ivalt.so\n",
        healthy: KEY,
        id: "fragile-control",
        severity: Warning,
        location: ("/etc/pam.d/sshd", 1),
        ..DEBIAN
    },
    Row {
        name: "in other",
        service: "other",
        file: "other",
        broken: HEALTHY,
        healthy: "@include common-auth\n@include common-account\n",
        id: "in-other",
        severity: Warning,
        location: ("/etc/pam.d/other", 2),
        ..DEBIAN
    },
    Row {
        name: "su - is not covered",
        service: "su",
        file: "su",
        broken: "auth sufficient pam_rootok.so\n@include common-auth\nauth required pam_ivalt.so\n@include common-account\n",
        healthy: "@include common-account\n",
        also: &[(
            "/etc/pam.d/su-l",
            "auth sufficient pam_rootok.so\n@include common-auth\n",
        )],
        id: "twin-not-covered",
        severity: Warning,
        location: ("/etc/pam.d/su-l", 0),
        ..DEBIAN
    },
    Row {
        name: "a comment in a continued line",
        broken: "@include common-auth\nauth required \\\n# ours\npam_ivalt.so\n",
        id: "ambiguous-line",
        severity: Warning,
        ..DEBIAN
    },
    Row {
        name: "key or password by a shell, optional",
        broken: "auth [success=1 default=ignore] pam_exec.so quiet /bin/sh -c [case $SSH_AUTH_INFO_0 in publickey*) exit 0;; esac; exit 1]\nauth substack common-auth\nauth optional pam_ivalt.so\n",
        healthy: KEY_OR_PASSWORD,
        id: "denial-does-not-deny",
        location: ("/etc/pam.d/sshd", 3),
        ..DEBIAN
    },
    Row {
        name: "key or password by a shell, one line too far",
        broken: "auth [success=2 default=ignore] pam_exec.so quiet /bin/sh -c [case $SSH_AUTH_INFO_0 in publickey*) exit 0;; esac; exit 1]\nauth substack common-auth\nauth required pam_ivalt.so\nauth required pam_permit.so\n",
        healthy: KEY_OR_PASSWORD,
        id: "bypassed",
        location: ("/etc/pam.d/sshd", 1),
        ..TRIXIE
    },
    Row {
        name: "Arch, the include ends nothing",
        tree: "arch",
        broken: "auth include system-remote-login\nauth optional pam_ivalt.so\n",
        healthy: "auth include system-remote-login\nauth required pam_ivalt.so\naccount include system-remote-login\n",
        id: "denial-does-not-deny",
        ..DEBIAN
    },
    Row {
        name: "openSUSE, sufficient",
        tree: "opensuse",
        broken: "auth requisite pam_nologin.so\nauth include common-auth\nauth sufficient pam_ivalt.so\n",
        healthy: "auth requisite pam_nologin.so\nauth include common-auth\nauth required pam_ivalt.so\n",
        id: "denial-does-not-deny",
        location: ("/etc/pam.d/sshd", 3),
        ..DEBIAN
    },
    Row {
        name: "after a key, no second line",
        broken: "auth [success=done ignore=ignore default=die] pam_ivalt.so only_after=publickey\n@include common-auth\n",
        id: "only-after-lets-in",
        ..AFTER_KEY
    },
    Row {
        name: "after a key, as the second line",
        broken: "@include common-auth\nauth required pam_ivalt.so only_after=publickey\n",
        id: "only-after-lets-in",
        location: ("/etc/pam.d/sshd", 2),
        ..AFTER_KEY
    },
    Row {
        name: "after a key, both lines",
        broken: "auth [success=done ignore=ignore default=die] pam_ivalt.so only_after=publickey\n@include common-auth\nauth required pam_ivalt.so only_after=hostbased\n",
        id: "only-after-lets-in",
        ..AFTER_KEY
    },
    Row {
        name: "after a key, optional",
        broken: "auth optional pam_ivalt.so only_after=publickey\n@include common-auth\n",
        id: "denial-does-not-deny",
        ..AFTER_KEY
    },
    Row {
        name: "after a key, sufficient",
        broken: "auth sufficient pam_ivalt.so only_after=publickey\n@include common-auth\n",
        id: "denial-does-not-deny",
        ..AFTER_KEY
    },
    Row {
        name: "after a key, default=ignore",
        broken: "auth [default=ignore] pam_ivalt.so only_after=publickey\n@include common-auth\n",
        id: "denial-does-not-deny",
        ..AFTER_KEY
    },
    Row {
        name: "after a key, default=ok",
        broken: "auth [success=done ignore=ignore default=ok] pam_ivalt.so only_after=publickey\n@include common-auth\nauth optional pam_ivalt.so\n",
        id: "denial-does-not-deny",
        location: ("/etc/pam.d/sshd", 3),
        ..AFTER_KEY
    },
    Row {
        name: "after a key, required",
        broken: "auth required pam_ivalt.so only_after=publickey\n@include common-auth\nauth required pam_ivalt.so\n",
        id: "asked-twice",
        severity: Warning,
        ..AFTER_KEY
    },
    Row {
        name: "after a key, sufficient, and a second line",
        broken: "auth sufficient pam_ivalt.so only_after=publickey\n@include common-auth\nauth required pam_ivalt.so\n",
        id: "asked-twice",
        severity: Warning,
        ..AFTER_KEY
    },
    Row {
        name: "after a key, in a substack",
        broken: "auth substack ours\n@include common-auth\nauth required pam_ivalt.so\n",
        also: &[(
            "/etc/pam.d/ours",
            "auth [success=done ignore=ignore default=die] pam_ivalt.so only_after=publickey\n",
        )],
        id: "asked-twice",
        severity: Warning,
        location: ("/etc/pam.d/ours", 1),
        ..AFTER_KEY
    },
    Row {
        name: "after a key, the password's way is closed",
        broken: "auth [success=done default=die] pam_ivalt.so only_after=publickey\n@include common-auth\nauth required pam_ivalt.so\n",
        id: "only-after-denies",
        severity: LocksOut,
        ..AFTER_KEY
    },
    Row {
        name: "after a key, past the password",
        broken: "auth [success=done ignore=1 default=die] pam_ivalt.so only_after=publickey\nauth requisite pam_unix.so\nauth required pam_ivalt.so\n",
        id: "password-not-asked",
        severity: Warning,
        ..AFTER_KEY
    },
    Row {
        name: "after no method",
        broken: "auth [success=done ignore=ignore default=die] pam_ivalt.so only_after=password\n@include common-auth\nauth required pam_ivalt.so\n",
        id: "bad-argument",
        severity: LocksOut,
        ..AFTER_KEY
    },
    Row {
        name: "after a key, alone",
        broken: "auth required pam_ivalt.so only_after=publickey\n",
        healthy: KEY,
        id: "only-after-alone",
        severity: LocksOut,
        ..AFTER_KEY
    },
    Row {
        name: "after a key, for accounts",
        broken: "@include common-auth\nauth required pam_ivalt.so\naccount required pam_ivalt.so only_after=publickey\n",
        id: "account-line",
        severity: LocksOut,
        location: ("/etc/pam.d/sshd", 3),
        ..AFTER_KEY
    },
    Row {
        name: "after a key, where policies ignore",
        broken: "auth [success=done ignore=ignore default=die] pam_ivalt.so only_after=publickey\nauth required pam_ivalt.so\nauth optional pam_permit.so\n",
        also: TOLERANT,
        id: "ignore-lets-in",
        location: ("/etc/pam.d/sshd", 2),
        ..AFTER_KEY
    },
    Row {
        name: "after a key, where networks are exempt",
        broken: "auth [success=done ignore=ignore default=die] pam_ivalt.so only_after=publickey\nauth required pam_ivalt.so\nauth optional pam_permit.so\n",
        also: EXEMPT,
        id: "ignore-lets-in",
        location: ("/etc/pam.d/sshd", 2),
        ..AFTER_KEY
    },
    Row {
        name: "after a key, in login",
        broken: "auth [success=done ignore=ignore default=die] pam_ivalt.so only_after=publickey\n@include common-auth\nauth required pam_ivalt.so\n",
        id: "only-after-elsewhere",
        severity: Warning,
        ..LOGIN
    },
    Row {
        name: "after a key, in login, no second line",
        broken: "auth [success=done ignore=ignore default=die] pam_ivalt.so only_after=publickey\n@include common-auth\n",
        id: "only-after-lets-in",
        ..LOGIN
    },
    Row {
        name: "after a key, in login, alone",
        broken: "auth required pam_ivalt.so only_after=publickey\n",
        id: "only-after-elsewhere",
        severity: LocksOut,
        ..LOGIN
    },
    Row {
        name: "a shell that looks for the key",
        broken: "auth [success=1 default=ignore] pam_exec.so quiet /bin/sh -c [case $SSH_AUTH_INFO_0 in publickey*) exit 0;; esac; exit 1]\nauth substack common-auth\nauth required pam_ivalt.so\n",
        id: "old-key-or-password",
        severity: Warning,
        ..AFTER_KEY
    },
    Row {
        name: "a shell that looks for the key, on Fedora",
        broken: "auth [success=1 default=ignore] pam_exec.so quiet /bin/sh -c [case $SSH_AUTH_INFO_0 in publickey*) exit 0;; esac; exit 1]\nauth substack password-auth\nauth required pam_ivalt.so\n",
        id: "old-key-or-password",
        severity: Warning,
        location: ("/etc/pam.d/sshd", 1),
        ..FEDORA
    },
    Row {
        name: "a substack that could be an include",
        broken: "auth substack common-auth\nauth required pam_ivalt.so\n",
        id: "wrong-password-goes-on",
        severity: Warning,
        ..AFTER_KEY
    },
    Row {
        name: "a substack in a substack",
        broken: "auth substack outer\nauth required pam_ivalt.so\n",
        also: &[("/etc/pam.d/outer", "auth substack common-auth\n")],
        id: "wrong-password-goes-on",
        severity: Warning,
        ..AFTER_KEY
    },
    Row {
        name: "Fedora's substack",
        broken: "auth substack password-auth\nauth required pam_ivalt.so\nauth include postlogin\n",
        id: "wrong-password-goes-on",
        severity: Warning,
        location: ("/etc/pam.d/sshd", 1),
        ..FEDORA
    },
    Row {
        name: "after a key, and Fedora's substack",
        broken: "auth [success=done ignore=ignore default=die] pam_ivalt.so only_after=publickey\nauth substack password-auth\nauth required pam_ivalt.so\nauth include postlogin\n",
        id: "wrong-password-goes-on",
        severity: Warning,
        ..FEDORA
    },
    Row {
        name: "after a key, and Fedora's include",
        broken: "auth [success=done ignore=ignore default=die] pam_ivalt.so only_after=publickey\nauth include password-auth\nauth required pam_ivalt.so\n",
        id: "bypassed",
        ..FEDORA
    },
    Row {
        name: "spared, and nobody lets in",
        broken: "auth [success=1 default=ignore] pam_succeed_if.so quiet user ingroup exempt\nauth required pam_ivalt.so\n",
        id: "spared-denied",
        severity: LocksOut,
        location: ("/etc/pam.d/sshd", 1),
        ..DEBIAN
    },
    Row {
        name: "a group that does not exist is asked",
        broken: "@include common-auth\nauth [success=ignore default=1] pam_succeed_if.so quiet user ingroup ivalt-user\nauth required pam_ivalt.so\n",
        also: &[("/etc/group", "root:x:0:\nivalt-users:x:900:alice\n")],
        id: "group-unknown",
        ..DEBIAN
    },
    Row {
        name: "who is outside a group that does not exist is not asked",
        broken: "@include common-auth\nauth [success=1 default=ignore] pam_succeed_if.so uid >= 1000 quiet USER NOTINGROUP ivalt-user:staff\nauth required pam_ivalt.so\n",
        also: &[
            ("/etc/group", "root:x:0:\nivalt-users:x:900:alice\n"),
            (
                "/etc/nsswitch.conf",
                "group: files [SUCCESS=merge] systemd # sss\n",
            ),
        ],
        id: "group-unknown",
        ..TRIXIE
    },
    Row {
        name: "a pattern of addresses",
        service: "ftp",
        file: "ftp",
        broken: "@include common-auth\nauth [success=1 default=ignore] pam_succeed_if.so rhost =~ 10.1.*\nauth required pam_ivalt.so\n",
        id: "rhost-pattern",
        location: ("/etc/pam.d/ftp", 2),
        ..DEBIAN
    },
    Row {
        name: "all but a pattern of addresses, with names",
        broken: "@include common-auth\nauth [success=ignore default=1] pam_succeed_if.so quiet rhost noglob 192.0.2.[0-9]*\nauth required pam_ivalt.so\n",
        also: &[("/etc/ssh/sshd_config", "UseDNS yes\nUsePAM yes\n")],
        id: "rhost-pattern",
        ..DEBIAN
    },
    Row {
        name: "a pattern of addresses, without names",
        broken: "@include common-auth\nauth [success=1 default=ignore] pam_succeed_if.so rhost =~ 10.1.*\nauth required pam_ivalt.so\n",
        also: &[("/etc/ssh/sshd_config", "UsePAM yes\n")],
        id: "rhost-pattern",
        severity: Warning,
        ..DEBIAN
    },
    Row {
        name: "LOCAL is every sudo",
        service: "sudo",
        file: "sudo",
        broken: "@include common-auth\nauth [success=1 default=ignore] pam_access.so accessfile=/etc/security/access-local.conf\nauth required pam_ivalt.so\n",
        also: &[
            (
                "/etc/security/access-local.conf",
                "# here\n+ : ALL : 10.0.0.0/24\n+ : ALL : LOCAL\n- : ALL : ALL\n",
            ),
            (
                "/etc/pam.d/sudo-i",
                "@include common-auth\nauth required pam_ivalt.so\n",
            ),
        ],
        id: "access-local",
        location: ("/etc/pam.d/sudo", 2),
        ..DEBIAN
    },
    Row {
        name: "nobody is denied access",
        broken: "@include common-auth\nauth [success=1 default=ignore] pam_access.so nodefgroup\nauth required pam_ivalt.so\n",
        also: &[
            ("/etc/security/access.conf", "# - : ALL : ALL\n"),
            (
                "/etc/security/access.d/10.conf",
                "+ : ALL : 10.0.0.0/24\n- : ALL : ALL",
            ),
        ],
        id: "access-open",
        ..DEBIAN
    },
    Row {
        name: "everybody is granted access",
        service: "su",
        file: "su",
        broken: "@include common-auth\nauth [success=1 default=ignore] pam_access.so\nauth required pam_ivalt.so\n",
        also: &[("/etc/security/access.conf", "+ : ALL : ALL\n")],
        id: "access-open",
        location: ("/etc/pam.d/su", 2),
        ..DEBIAN
    },
];

/// Tree, service, its file, and id and fix of all that is found. `quiet` and `outer` are files of the test.
type Exactly = (
    &'static str,
    &'static str,
    &'static str,
    &'static [(&'static str, &'static str)],
);
pub const EXACTLY: [Exactly; 16] = [
    (
        "debian-12",
        "sshd-internal",
        "auth [success=done ignore=ignore default=die] pam_ivalt.so only_after=publickey\n@include common-auth\nauth required pam_ivalt.so\n",
        &[],
    ),
    (
        "debian-12",
        "sshd",
        "auth [success=done ignore=ignore default=die] pam_ivalt.so only_after=publickey\nauth [success=1 default=ignore] pam_unix.so\nauth required pam_ivalt.so\nauth optional pam_permit.so\n",
        &[("bypassed", "auth    requisite    pam_unix.so")],
    ),
    (
        "debian-12",
        "sshd",
        "auth [success=done default=die] pam_ivalt.so only_after=publickey\n",
        &[(
            "only-after-alone",
            "for key, then iVALT alone: auth    required    pam_ivalt.so",
        )],
    ),
    (
        "debian-12",
        "sshd",
        "auth [success=done ignore=ignore default=die] pam_ivalt.so only_after=publickey\nauth required pam_unix.so\nauth requisite pam_deny.so\n",
        &[(
            "only-after-alone",
            "for key, then iVALT alone: auth    required    pam_ivalt.so",
        )],
    ),
    (
        "debian-12",
        "sshd",
        "auth requisite pam_deny.so\nauth required pam_ivalt.so only_after=publickey\n",
        &[(
            "acceptance-denied",
            "move the line to where a login that has passed the password goes on: below @include common-auth, or below auth substack system-auth",
        )],
    ),
    (
        "debian-12",
        "sshd",
        "auth substack quiet\nauth optional pam_unix.so\nauth required pam_ivalt.so\n",
        &[("password-not-needed", "auth    requisite    pam_unix.so")],
    ),
    (
        "debian-12",
        "sshd",
        "auth substack outer\nauth required pam_ivalt.so\n",
        &[(
            "wrong-password-goes-on",
            "AuthenticationMethods publickey,keyboard-interactive in sshd_config, and pam_ivalt, required, as the only line of auth; users without a key cannot log in by ssh then",
        )],
    ),
    (
        "debian-12",
        "sshd",
        "auth optional pam_ivalt.so\nauth optional pam_unix.so\n",
        &[
            (
                "before-password",
                "move below line 2 of /etc/pam.d/sshd: auth    optional    pam_ivalt.so",
            ),
            ("denial-does-not-deny", "auth    required    pam_ivalt.so"),
        ],
    ),
    (
        "debian-12",
        "sshd",
        "auth [success=done ignore=ignore default=die] pam_ivalt.so only_after=publickey\nauth sufficient pam_ivalt.so\n",
        &[(
            "fragile-control",
            "auth    [success=done new_authtok_reqd=done default=die]    pam_ivalt.so",
        )],
    ),
    (
        "debian-12",
        "login",
        "auth [success=done ignore=ignore default=die] pam_ivalt.so only_after=publickey\nauth requisite pam_deny.so\n",
        &[(
            "only-after-elsewhere",
            "write the line without only_after=, below the one that asks for the password",
        )],
    ),
    (
        "debian-12",
        "login",
        "auth [success=done ignore=ignore default=die] pam_ivalt.so only_after=publickey\n@include common-auth\n",
        &[
            (
                "only-after-lets-in",
                "add a line below the one that asks for the password: auth    required    pam_ivalt.so",
            ),
            (
                "only-after-elsewhere",
                "below the line that asks for the password: auth    required    pam_ivalt.so",
            ),
        ],
    ),
    (
        "fedora",
        "sshd",
        "auth substack password-auth\nauth required pam_ivalt.so\n",
        &[(
            "wrong-password-goes-on",
            concat!(
                "in place of line 1 of /etc/pam.d/sshd, and of the line of pam_ivalt, what password-auth has, ",
                fedora_by_jumps!()
            ),
        )],
    ),
    (
        "fedora",
        "login",
        "auth substack password-auth\nauth required pam_ivalt.so\n",
        &[],
    ),
    (
        "debian-12",
        "sshd",
        "@include common-auth\nauth [success=2 default=ignore] pam_succeed_if.so user ingroup exempt\nauth required pam_ivalt.so\n",
        &[(
            "jump-beyond-end",
            "auth    [success=1 default=ignore]    pam_succeed_if.so user ingroup exempt",
        )],
    ),
    (
        "debian-12",
        "doas",
        "@include common-auth\nauth [success=1 default=ignore] pam_succeed_if.so rhost =~ 10.1.*\nauth required pam_ivalt.so\n",
        &[("some-not-asked", "nothing, if that is meant")],
    ),
    (
        "debian-12",
        "ftp",
        "@include common-auth\nauth [success=1 default=ignore] pam_succeed_if.so rhost =~ 10.1.*\nauth required pam_ivalt.so\n",
        &[(
            "rhost-pattern",
            "remove this line, and let pam_ivalt compare addresses; in ivalt.toml, under [policy]: exempt_networks = [\"10.1.0.0/16\"]",
        )],
    ),
];
