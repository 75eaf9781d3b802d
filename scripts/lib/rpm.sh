# shellcheck shell=bash
# The RPM: built on this machine by rpmbuild, checked by rpmlint, and installed, upgraded and removed by rpm in a chroot of
# Debian 12, which has rpm, but no package that meets its dependencies. glibc 2.34 is enough for what any machine builds.

rpms=$target/rpm

require_rpm_chroot() {
    require_sandbox
    fetch_debootstrap
    prepare_chroot bookworm from_archive bookworm
    prepare_chroot bookworm-rpm from_chroot bookworm
}

# Two releases, for the upgrade, from the release build; it takes seconds where that is made already.
check_rpm() {
    link_with_libpam
    build_helpers
    unpack_missing rpm rpmbuild=rpm
    as_builder rm -rf "$rpms"
    run_child without_network "$repo" "$tools" scripts/rpm/build 1
    changed_sample
    run_child without_network "$repo" "$tools" env HOME="$rpms/home" CARGO_HOME="${CARGO_HOME:-$(builder_home)/.cargo}" scripts/rpm/build 2
    run_in_chroot "$chroots/bookworm-rpm" "$rpms" bash /run/sandbox/tests/rpm/run
}

# A sample of the next release has one line more than before: rpmbuild reads macros in HOME, and runs this one after %install.
changed_sample() {
    as_builder mkdir -p "$rpms/home"
    # shellcheck disable=SC2016 # for rpmbuild
    echo '%__arch_install_post echo "# One line more than before." >>$RPM_BUILD_ROOT/etc/ivalt/ivalt.toml' |
        as_builder tee "$rpms/home/.rpmmacros" >/dev/null
}
