# shellcheck shell=bash
# The package for arm64: built on this machine's architecture, in a chroot of Debian 13, and tested in a chroot of Debian 13
# for arm64, whose programs QEMU runs (enter-emulation). Before that, the module alone.

require_arm64_chroots() {
    require_arm64_build_chroot
    prepare_chroot trixie-arm64 from_archive_of_arm64 trixie
    emulated prepare_chroot trixie-arm64-logins from_chroot trixie-arm64
}

require_arm64_build_chroot() {
    require_build_chroot trixie
    prepare_chroot trixie-arm64-build with_arm64 trixie-build
}

# With what scripts/package asks for, and QEMU alone of a package of 70 MB.
with_arm64() {
    local folder=$chroots/$2
    cp -a "$chroots/$1" "$folder" &&
        chroot_with_network "$folder" dpkg --add-architecture arm64 &&
        chroot_with_network "$folder" apt-get -q update &&
        install_in_chroot "$2" &&
        chroot_with_network "$folder" sh -c 'cd /tmp && apt-get -q download qemu-user && dpkg-deb --fsys-tarfile qemu-user_*.deb |
        tar -x -C / ./usr/bin/qemu-aarch64 && rm qemu-user_*.deb'
}

# The second stage runs arm64 programs. In a user namespace it can make no device; in what it takes for a container of
# LXC it does not try.
from_archive_of_arm64() {
    local folder=$chroots/$2
    run_debootstrap "$1" "$folder" --foreign --arch=arm64 &&
        emulated chroot_with_network "$folder" env container=lxc /debootstrap/debootstrap --second-stage &&
        emulated complete_chroot "$folder"
}

# `emulated COMMAND…`: the chroots that it enters are of arm64.
emulated() {
    # shellcheck disable=SC2034 # for chroots.sh
    local emulation=("$repo/scripts/lib/enter-emulation" "$chroots/trixie-arm64-build/usr/bin/qemu-aarch64")
    "$@"
}

arm64_packages() { printf '%s/arm64' "$(built_in_chroot "trixie-arm64${1:-}")"; }

check_arm64_package() {
    assert 'two builds in two folders are the same bytes' same_packages "$(arm64_packages)" "$(arm64_packages -again)"
    check_files "$(arm64_packages)" aarch64-linux-gnu
    assert 'module and ivaltctl are of arm64' of_arm64 "$packaged" "$unpacked/usr/sbin/ivaltctl"
    assert 'the bill of materials is that of arm64' has_arm64_sbom
}

of_arm64() {
    local file
    for file in "$@"; do grep -q 'Machine: *AArch64' <<<"$(readelf --file-header "$file")" || return 1; done
}

# By what depends on what, which differs between architectures; the version of Rust is that of the chroot.
has_arm64_sbom() {
    diff <(zcat -f "$unpacked"/usr/share/doc/libpam-ivalt/pam_ivalt.cdx.json* | grep '"ref"') \
        <(as_builder "$repo/scripts/sbom" --target aarch64-unknown-linux-gnu | grep '"ref"')
}

test_arm64_package() { emulated test_in_chroot trixie-arm64 "$(arm64_packages)" "$1"; }

# What every run tests of arm64: logins with the module alone, for which neither binfmt_misc nor a chroot of arm64 is needed.
logins_on_arm64() {
    require_arm64_build_chroot
    fetch_crates
    build_helpers
    run_in_chroot "$chroots/trixie-arm64-build" "$package_cache" bash /run/sandbox/tests/arm64/run "${crates##*/}"
}

# On no release does its own Rust compile for arm64 as it comes; which package is missing is the release's.
check_arm64_requirements() {
    assert 'Debian 12: what the build for arm64 lacks, and the commands' lacks_for_arm64 bookworm libstd-rust-web-dev
    assert 'Debian 13: what the build for arm64 lacks, and the commands' lacks_for_arm64 trixie libstd-rust-dev
}

# shellcheck disable=SC2016 # for the inner shell
lacks_for_arm64() {
    run_in_chroot "$chroots/$1-build" "$package_cache" bash -c '! lacks=$(/run/checkout/scripts/package --host-arch arm64 2>&1) &&
        diff <(printf "%s\n" "$1") <(tail -n 1 <<<"$lacks")' lacks "package: cannot build for arm64, this machine has no Rust standard library for aarch64-unknown-linux-gnu, no aarch64-linux-gnu-gcc, no libpam.so of arm64; run: dpkg --add-architecture arm64 && apt update && apt install $2:arm64 gcc-aarch64-linux-gnu libpam0g-dev:arm64"
}
