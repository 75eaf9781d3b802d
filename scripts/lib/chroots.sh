# shellcheck shell=bash
# Chroots: minimal Debian systems, made by debootstrap, in which apt installs the package as on any machine.
#
# They are made once, below target/chroots: SUITE is empty, SUITE-logins has what users log in with, SUITE-build what
# packages are built and checked with. A command run in one sees it through an overlay whose upper layer is a tmpfs, in
# private mount, process and network namespaces: nothing stays, and no test has a network. To make them again:
# rm -rf target/chroots.

chroots=$target/chroots
suites=(bookworm trixie)

# Debian 12's own rustc is too old: its package is built on the machine, with rustup's.
packages_of() {
    case $1 in
        bookworm-logins) echo openssh-server openssh-client sudo pamtester ;;
        trixie-logins) echo openssh-server openssh-client sudo sudo-rs pamtester ;;
        trixie-hosts) echo openvpn postgresql vsftpd sudo sudo-rs ansible-core openssh-server openssh-client rsync git mosh \
            putty-tools python3-apt python3-paramiko python3-asyncssh opendoas dovecot-imapd sasl2-bin ;;
        trixie-directory) echo slapd ldap-utils krb5-kdc krb5-admin-server libsasl2-modules-gssapi-mit openssl ;;
        trixie-samba) echo samba-ad-dc samba-ad-provision ldb-tools ;;
        bookworm-vm | trixie-vm) echo linux-image-cloud-amd64 initramfs-tools zstd systemd-sysv udev dbus libpam-systemd openssh-server \
            openssh-client sudo polkitd pkexec apparmor cron systemd-container iproute2 ca-certificates bsdutils \
            ldap-utils slapd ;;
        bookworm-rpm | trixie-rpm) echo rpm rpmlint sudo ;;
        bookworm-build) echo lintian ;;
        trixie-build) echo lintian debhelper cargo rustc libpam0g-dev ;;
    esac
}

require_chroots() {
    require_sandbox
    local suite
    fetch_debootstrap
    for suite in "${suites[@]}"; do
        prepare_chroot "$suite" from_archive "$suite"
        prepare_chroot "$suite-logins" from_chroot "$suite"
        prepare_chroot "$suite-build" from_chroot "$suite"
    done
}

fetch_debootstrap() {
    local packages folder
    mapfile -t packages < <(missing_packages debootstrap=debootstrap)
    debootstrap=/usr
    [[ ${#packages[@]} -gt 0 ]] || return 0
    folder=$(fetch_packages debootstrap "${packages[@]}")
    debootstrap=$cache/debootstrap-unpacked/usr
    as_builder rm -rf "${debootstrap%/usr}"
    unpack_packages "$folder" "${debootstrap%/usr}"
}

# `prepare_chroot NAME from_archive|from_chroot SOURCE`: makes it, unless it exists.
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
    local suite=$1 mirror
    # shellcheck disable=SC2016 # for apt
    mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Origin: Debian' 'Component: main' |
        grep -v security | head -n 1)
    run_child in_private_mounts env DEBOOTSTRAP_DIR="$debootstrap/share/debootstrap" PATH="$PATH:$debootstrap/bin:/usr/sbin:/sbin" \
        "$debootstrap/sbin/debootstrap" --variant=minbase "$suite" "$chroots/$suite" ${mirror:+"$mirror"}
    no_services "$chroots/$suite"
    chroot_with_network "$chroots/$suite" apt-get -q clean
    chroot_with_network "$chroots/$suite" apt-get -q update
    # For apt to find it when the package needs it and there is no network.
    chroot_with_network "$chroots/$suite" apt-get -q -y --no-install-recommends --download-only install ca-certificates
}

from_chroot() {
    cp -a "$chroots/$1" "$chroots/$2"
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

# The TMPDIR of scripts/test does not exist in the chroot.
in_private_mounts() { env --unset=TMPDIR unshare --mount --pid --fork --kill-child --mount-proc --propagation private "$@"; }

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
        setpriv --pdeathsig KILL \
        unshare --mount --net --pid --fork --kill-child --mount-proc --propagation private \
        setsid --wait bash "$repo/scripts/lib/enter-chroot" "$cache/mount-point" "$chroot" "$kept" \
        "$(helper_file syslog-sink)" "$(helper_file ivalt-stand-in)" "$@"
}

machine_suite() {
    local VERSION_CODENAME=''
    # shellcheck source=/dev/null
    [[ ! -r /etc/os-release ]] || . /etc/os-release
    printf '%s' "$VERSION_CODENAME"
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

# As a user of that release would: scripts/package, with its own rustc. The crates are downloaded before.
build_in_chroot() {
    local suite=$1 kept sources
    kept=$package_cache/$suite
    fetch_crates
    sources="$(sources_of_package) $(cat "$chroots/$suite-build.contents")"
    [[ $(cat "$kept/sources" 2>/dev/null) != "$sources" ]] || return 0
    rm -rf "$kept"
    mkdir -p "$kept/package"
    cp -al "$crates" "$kept/package/"
    run_in_chroot "$chroots/$suite-build" "$kept" env CARGO_TARGET_DIR=/run/kept /run/checkout/scripts/package
    rm -rf "$kept/package/build"
    echo "$sources" >"$kept/sources"
}
