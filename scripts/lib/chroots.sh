# shellcheck shell=bash
# Chroots: minimal Debian systems, made by debootstrap, in which apt installs the package as on any machine.
#
# They are made once, below target/chroots: SUITE is empty, SUITE-logins has what users log in with, SUITE-build what
# packages are built and checked with. A command run in one sees it through an overlay whose upper layer is a tmpfs, in
# private mount, process and network namespaces: nothing stays, and no test has a network. To make them again:
# rm -rf target/chroots.

chroots=$target/chroots
suites=(bookworm trixie)
# What commands in a chroot of another architecture are run by, see arm64.sh.
emulation=()

# Debian 12's rustc is too old. For browsers it has another one, whose security archive keeps it up to date.
packages_of() {
    case $1 in
        bookworm-logins) echo openssh-server openssh-client sudo pamtester ;;
        trixie-logins) echo openssh-server openssh-client sudo sudo-rs pamtester ;;
        # QEMU takes a minute for the certificates.
        trixie-arm64-logins) echo openssh-server openssh-client sudo sudo-rs pamtester ca-certificates ;;
        sid-logins) echo openssh-server openssh-client sudo sudo-rs pamtester polkitd ;;
        trixie-hosts) echo openvpn postgresql vsftpd sudo sudo-rs ansible-core openssh-server openssh-client rsync git mosh \
            putty-tools python3-apt python3-paramiko python3-asyncssh opendoas dovecot-imapd sasl2-bin ;;
        trixie-directory) echo slapd ldap-utils krb5-kdc krb5-admin-server libsasl2-modules-gssapi-mit openssl ;;
        trixie-samba) echo samba-ad-dc samba-ad-provision ldb-tools ;;
        bookworm-vm | trixie-vm) echo linux-image-cloud-amd64 initramfs-tools zstd systemd-sysv udev dbus libpam-systemd openssh-server \
            openssh-client sudo polkitd pkexec apparmor cron systemd-container iproute2 ca-certificates bsdutils \
            ldap-utils slapd ;;
        bookworm-build) echo lintian debhelper cargo-web rustc-web libpam0g-dev ;;
        bookworm-rpm) echo rpm rpmlint sudo ;;
        trixie-build) echo lintian debhelper cargo rustc libpam0g-dev ;;
        trixie-arm64-build) echo gcc-aarch64-linux-gnu libpam0g-dev:arm64 libstd-rust-dev:arm64 ;;
    esac
}

require_chroots() {
    local suite
    for suite in "${suites[@]}"; do
        require_build_chroot "$suite"
        prepare_chroot "$suite-logins" from_chroot "$suite"
    done
}

require_build_chroot() {
    require_sandbox
    fetch_debootstrap
    prepare_chroot "$1" from_archive "$1"
    prepare_chroot "$1-build" from_chroot_with_security "$1"
}

fetch_debootstrap() {
    unpack_missing debootstrap debootstrap=debootstrap
    debootstrap=$tools/usr
}

# `prepare_chroot NAME from_archive|from_chroot|from_chroot_with_security SOURCE`: makes it, unless it exists.
prepare_chroot() {
    local name=$1 folder=$chroots/$1 contents
    shift
    contents="$* $(packages_of "$name")"
    [[ $(cat "$folder.contents" 2>/dev/null) != "$contents" ]] || return 0
    say "making the chroot $name"
    rm -rf "$folder" "$folder.contents"
    mkdir -p "$chroots"
    "$@" "$name" >"$folder.log" 2>&1 || die "could not make the chroot $name: $(tail -n 3 "$folder.log") (more in $folder.log)"
    echo "$contents" >"$folder.contents"
}

# Chroots hold setuid programs and belong to root. The archive is the one that the machine itself uses.
from_archive() {
    run_debootstrap "$1" "$chroots/$1" && complete_chroot "$chroots/$1"
}

# `run_debootstrap SUITE FOLDER [OPTION…]`
run_debootstrap() {
    local mirror
    mirror=$(archive_of_machine Debian)
    run_child in_private_mounts env DEBOOTSTRAP_DIR="$debootstrap/share/debootstrap" PATH="$PATH:$debootstrap/bin:/usr/sbin:/sbin" \
        "$debootstrap/sbin/debootstrap" --variant=minbase "${@:3}" "$1" "$2" ${mirror:+"$mirror"}
}

# `set -e` has no effect in what `prepare_chroot` calls. ca-certificates are for apt to find when the package needs them and
# there is no network.
complete_chroot() {
    no_services "$1" &&
        of_any_date "$1" &&
        chroot_with_network "$1" apt-get -q clean &&
        chroot_with_network "$1" apt-get -q update &&
        chroot_with_network "$1" apt-get -q -y --no-install-recommends --download-only install ca-certificates
}

# `archive_of_machine Debian|Debian-Security`
archive_of_machine() {
    # shellcheck disable=SC2016 # for apt
    apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Origin: Debian' 'Component: main' "Label: $1" | sed -n 1p
}

from_chroot() {
    cp -a "$chroots/$1" "$chroots/$2" && install_in_chroot "$2"
}

from_chroot_with_security() {
    local folder=$chroots/$2 archive
    archive=$(archive_of_machine Debian-Security)
    cp -a "$chroots/$1" "$folder" &&
        of_any_date "$folder" &&
        echo "deb ${archive:-http://security.debian.org/debian-security} $1-security main" >"$folder/etc/apt/sources.list.d/security.list" &&
        chroot_with_network "$folder" apt-get -q update &&
        install_in_chroot "$2"
}

install_in_chroot() {
    # shellcheck disable=SC2046 # words
    chroot_with_network "$chroots/$1" env DEBIAN_FRONTEND=noninteractive apt-get -q -y --no-install-recommends \
        -o DPkg::Options::=--force-unsafe-io install $(packages_of "$1")
}

# As usual in a chroot: maintainer scripts start no service.
no_services() {
    printf '#!/bin/sh\nexit 101\n' >"$1/usr/sbin/policy-rc.d"
    chmod 0755 "$1/usr/sbin/policy-rc.d"
}

# A mirror that has stopped, or a copy of an earlier archive, is signed all the same.
of_any_date() { echo 'Acquire::Check-Valid-Until "false";' >"$1/etc/apt/apt.conf.d/of-any-date"; }

# The TMPDIR of scripts/test does not exist in the chroot.
in_private_mounts() {
    env --unset=TMPDIR "${emulation[@]}" unshare --mount --pid --fork --kill-child --mount-proc --propagation private "$@"
}

chroot_with_network() {
    local folder=$1
    shift
    cp /etc/resolv.conf "$folder/etc/resolv.conf"
    # shellcheck disable=SC2016 # for the inner shell
    run_child in_private_mounts sh -c 'mount --no-mtab -t proc proc "$0/proc" && exec chroot "$0" "$@"' "$folder" "$@"
}

# `run_in_chroot CHROOT FOLDER COMMAND…`: with copies of the checkout's scripts and tests in /run/sandbox, the checkout
# itself, read-only, in /run/checkout, and FOLDER, which alone keeps what is written, in /run/kept.
run_in_chroot() {
    local chroot=$1 kept=$2
    shift 2
    mkdir -p "$cache/mount-point" "$kept"
    child_signal=KILL
    run_child env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin TERM="${TERM:-dumb}" LC_ALL=C.UTF-8 \
        setpriv --pdeathsig KILL "${emulation[@]}" \
        unshare --mount --net --ipc --pid --fork --kill-child --mount-proc --propagation private \
        setsid --wait bash "$repo/scripts/lib/enter-chroot" "$cache/mount-point" "$chroot" "$kept" \
        "$(helper_file syslog-sink)" "$(helper_file ivalt-stand-in)" "$@"
}

# `test_in_chroot SUITE FOLDER TEST`: this test of tests/package/run, with the package in FOLDER.
test_in_chroot() {
    local package
    build_helpers
    package=$(package_file "$2")
    run_in_chroot "$chroots/$1-logins" "$2" bash /run/sandbox/tests/package/run "$3" "/run/kept/${package##*/}"
}

# Every package that the .changes file names.
lintian_in_chroot() {
    build_helpers
    run_in_chroot "$chroots/$1-build" "$2" bash -c 'lintian --version && lintian --allow-root --pedantic --fail-on error,warning /run/kept/*.changes'
}

built_in_chroot() { printf '%s' "$package_cache/$1/package"; }

# `build_in_chroot SUITE[-again] [OPTION…]`: as a user of that release would, by scripts/package with its own rustc and what
# debian/control says that it needs. The crates are downloaded before. Each is built in a folder of its own name.
build_in_chroot() {
    local name=$1 chroot=$chroots/${1%-again}-build kept sources
    shift
    kept=$package_cache/$name
    fetch_crates
    build_helpers
    sources="$(sources_of_package) $(cat "$chroot.contents")"
    [[ $(cat "$kept/sources" 2>/dev/null) != "$sources" ]] || return 0
    rm -rf "$kept"
    mkdir -p "$kept/package"
    cp -al "$crates" "$kept/package/"
    # shellcheck disable=SC2016 # for the inner shell
    run_in_chroot "$chroot" "$package_cache" env CARGO_TARGET_DIR="/run/kept/$name" \
        sh -c 'cd /run/checkout && dpkg-checkbuilddeps -I debian/control && scripts/package "$@"' package "$@"
    rm -rf "$kept"/package/{build,arm64/build}
    echo "$sources" >"$kept/sources"
}
