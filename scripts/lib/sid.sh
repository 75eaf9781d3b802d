# shellcheck shell=bash
# Debian sid, as an early warning of what the next release changes: the package that Debian 13 builds, in today's sid.

# Made again each time, because the archive changes every day.
require_sid_chroot() {
    require_sandbox
    fetch_debootstrap
    rm -rf "$chroots"/sid{,-logins}{,.contents}
    prepare_chroot sid from_archive sid
    prepare_chroot sid-logins from_chroot sid
    chroot "$chroots/sid-logins" dpkg-query --show libc6 libpam0g openssh-server sudo sudo-rs polkitd systemd
}

require_package_for_sid() {
    require_build_chroot trixie
    build_in_chroot trixie
}
