//! Services in a sandbox, without privileges, or without a network.

use super::{all_give, nothing};

#[test]
fn desktops() {
    const LINE: &str = "auth required pam_ivalt.so\n";
    const UNIT: &str = "usr/lib/systemd/system/polkit-agent-helper@.service";
    const DROP_IN: &str = "etc/systemd/system/polkit-agent-helper@.service.d/ivalt.conf";
    // As polkit 127 has it.
    const SANDBOX: &str = "[Service]\nPrivateNetwork=yes\nRestrictAddressFamilies=AF_UNIX\n";
    all_give(&[
        (
            "polkit in a sandbox",
            |s| {
                s.write("etc/pam.d/polkit-1", LINE)
                    .write(UNIT, "[Service]\nPrivateNetwork=yes\n")
            },
            &["locks-out polkit-sandbox /etc/pam.d/polkit-1:1"],
            |s| {
                s.write("etc/pam.d/polkit-1", LINE)
                    .write(UNIT, "[Service]\nPrivateNetwork=yes\n");
                s.write(DROP_IN, "[Service]\nPrivateNetwork=no\n");
                s
            },
        ),
        (
            "polkit without sockets of the internet",
            |s| {
                s.write("etc/pam.d/polkit-1", LINE).write(UNIT, SANDBOX);
                s.write(DROP_IN, "[Service]\nPrivateNetwork=no\n");
                s
            },
            &["locks-out polkit-sandbox /etc/pam.d/polkit-1:1"],
            // The one that is shipped, enabled.
            |s| {
                s.write("etc/pam.d/polkit-1", LINE).write(UNIT, SANDBOX);
                let shipped =
                    include_str!("../../../conf/polkit/polkit-agent-helper@.service.d/ivalt.conf");
                let settings = shipped.lines().filter(|line| !line.starts_with("# "));
                let settings = settings.map(|line| line.trim_start_matches('#'));
                s.write(DROP_IN, &settings.collect::<Vec<_>>().join("\n"));
                s
            },
        ),
        (
            "polkit with the drop-in as it is shipped",
            |s| {
                s.write("etc/pam.d/polkit-1", LINE).write(UNIT, SANDBOX);
                s.write(
                    DROP_IN,
                    include_str!("../../../conf/polkit/polkit-agent-helper@.service.d/ivalt.conf"),
                );
                s
            },
            &["locks-out polkit-sandbox /etc/pam.d/polkit-1:1"],
            nothing,
        ),
        (
            "polkit of unknown age",
            |s| s.write("etc/pam.d/polkit-1", LINE),
            &["warning polkit-sandbox /etc/pam.d/polkit-1:1"],
            |s| s.write(UNIT, "[Service]\nPrivateNetwork=yes\n"),
        ),
        (
            "a vendor's folder",
            |s| s.write("usr/lib/pam.d/polkit-1", LINE),
            &["warning polkit-sandbox /usr/lib/pam.d/polkit-1:1"],
            // The administrator's file counts.
            |s| {
                s.write("usr/lib/pam.d/polkit-1", LINE)
                    .write("etc/pam.d/polkit-1", "@include common-auth\n")
            },
        ),
        (
            "a lock that runs as the user",
            |s| s.write("etc/pam.d/swaylock", LINE),
            &["locks-out screen-lock-as-user /etc/pam.d/swaylock:1"],
            |s| s.write("etc/pam.d/swaylock", "auth required pam_unix.so\n"),
        ),
        (
            "a display manager",
            |s| s.write("etc/pam.d/gdm-password", LINE),
            &["warning screen-without-network /etc/pam.d/gdm-password:1"],
            nothing,
        ),
    ]);
}
