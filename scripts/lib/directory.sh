# shellcheck shell=bash
# Runs `ivaltctl users sync` against real directories, in chroots of Debian 13 with the ivaltctl that was built on this
# machine: slapd and an MIT KDC; a domain of Samba.

require_directory_chroot() {
    require_sandbox
    fetch_debootstrap
    prepare_chroot trixie from_archive trixie
    prepare_chroot trixie-directory from_chroot trixie
}

require_samba_chroot() {
    require_directory_chroot
    prepare_chroot trixie-samba from_chroot trixie-directory
}

# `cases_of_directory CHROOT FILE [NAME…]`: the cases of tests/directory/FILE.sh that are named, by default all.
cases_of_directory() {
    local chroot=$1 kept=$cache/directory
    shift
    build_module
    build_helpers
    as_builder mkdir -p "$kept"
    install -m 0755 "$(ivaltctl_file)" "$kept/ivaltctl"
    # A domain has a name for its machine, which is not to be this one's.
    run_in_chroot "$chroots/$chroot" "$kept" unshare --uts bash /run/sandbox/tests/directory/run "$@"
}
