# shellcheck shell=bash
# Runs real hosts of PAM modules, and clients, in a chroot of Debian 13, with the module that was built on this machine.

require_hosts_chroot() {
    require_sandbox
    fetch_debootstrap
    prepare_chroot trixie from_archive trixie
    prepare_chroot trixie-hosts from_chroot trixie
}

# `hosts_and_clients [NAME…]`: these cases of tests/hosts, by default all.
hosts_and_clients() {
    local kept=$cache/hosts
    build_module
    build_helpers
    as_builder mkdir -p "$kept"
    install -m 0644 "$(module_file)" "$kept/pam_ivalt.so"
    install -m 0755 "$(ivaltctl_file)" "$kept/ivaltctl"
    in_groups 3 group_of_hosts "$@"
}

group_of_hosts() { run_in_chroot "$chroots/trixie-hosts" "$cache/hosts" bash /run/sandbox/tests/hosts/run "$@"; }
