# shellcheck shell=bash
# Throw-away roots: whole small Debians, made by debootstrap, in which the package is installed by apt as anywhere.
#
# They are made once, below target/roots: SUITE with nothing, SUITE-logins with what people log in by, SUITE-build with
# what packages are built and judged by. What is run in one sees it through an overlay whose upper layer is a tmpfs, in
# mount, process and network namespaces of its own: nothing stays, and no test has a network. To have them made anew:
# rm -rf target/roots.

roots=$target/roots
suites=(bookworm trixie)

# Debian 12's own rustc is too old: its package is built on the machine, by rustup's.
packages_of() {
    case $1 in
        bookworm-logins) echo openssh-server openssh-client sudo pamtester ;;
        trixie-logins) echo openssh-server openssh-client sudo sudo-rs pamtester ;;
        bookworm-build) echo lintian ;;
        trixie-build) echo lintian debhelper cargo rustc libpam0g-dev ;;
    esac
}

require_roots() {
    require_stage
    local suite
    fetch_debootstrap
    for suite in "${suites[@]}"; do
        prepare_root "$suite" from_archive "$suite"
        prepare_root "$suite-logins" from_root "$suite"
        prepare_root "$suite-build" from_root "$suite"
    done
}

fetch_debootstrap() {
    local packages folder
    mapfile -t packages < <(missing_packages debootstrap=debootstrap)
    debootstrap=/usr
    [[ ${#packages[@]} -gt 0 ]] || return 0
    folder=$(fetch_packages debootstrap "${packages[@]}")
    debootstrap=$stage_cache/debootstrap-unpacked/usr
    as_builder rm -rf "${debootstrap%/usr}"
    unpack_packages "$folder" "${debootstrap%/usr}"
}

# `prepare_root NAME HOW FROM`: makes it, unless it is there.
prepare_root() {
    local name=$1 root=$roots/$1 what
    shift
    what="$* $(packages_of "$name")"
    [[ $(cat "$root.is" 2>/dev/null) != "$what" ]] || return 0
    say "making the throw-away root $name"
    rm -rf "$root" "$root.is"
    mkdir -p "$roots"
    "$@" "$name" >"$root.log" 2>&1 || die "the throw-away root $name could not be made: $(tail -n 3 "$root.log") (more in $root.log)"
    echo "$what" >"$root.is"
}

# Roots hold other people's setuid programs and belong to root; what the machine calls its archive, is theirs.
from_archive() {
    local suite=$1 mirror
    # shellcheck disable=SC2016 # for apt
    mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Origin: Debian' 'Component: main' |
        grep -v security | head -n 1)
    run_child in_private_mounts env DEBOOTSTRAP_DIR="$debootstrap/share/debootstrap" PATH="$PATH:$debootstrap/bin:/usr/sbin:/sbin" \
        "$debootstrap/sbin/debootstrap" --variant=minbase "$suite" "$roots/$suite" ${mirror:+"$mirror"}
    no_services "$roots/$suite"
    in_root_with_network "$roots/$suite" apt-get -q clean
    in_root_with_network "$roots/$suite" apt-get -q update
    # For apt to find them when the package wants them, and there is no network.
    in_root_with_network "$roots/$suite" apt-get -q -y --no-install-recommends --download-only install ca-certificates
}

from_root() {
    local base=$roots/$1 root=$roots/$2
    cp -a "$base" "$root"
    # shellcheck disable=SC2046 # words
    in_root_with_network "$root" env DEBIAN_FRONTEND=noninteractive apt-get -q -y --no-install-recommends \
        -o DPkg::Options::=--force-unsafe-io install $(packages_of "$2")
}

# As in every chroot: maintainers' scripts start nothing.
no_services() {
    printf '#!/bin/sh\nexit 101\n' >"$1/usr/sbin/policy-rc.d"
    chmod 0755 "$1/usr/sbin/policy-rc.d"
}

# scripts/test has a TMPDIR of its own, which is not in the root.
in_private_mounts() { env --unset=TMPDIR unshare --mount --pid --fork --kill-child --mount-proc --propagation private "$@"; }

in_root_with_network() {
    local root=$1
    shift
    cp /etc/resolv.conf "$root/etc/resolv.conf"
    # shellcheck disable=SC2016 # for the inner shell
    run_child in_private_mounts sh -c 'mount --no-mtab -t proc proc "$0/proc" && exec chroot "$0" "$@"' "$root" "$@"
}

# `run_in_root ROOT FOLDER SCRIPT…`: with the checkout's scripts and tests at /run/stage, the checkout itself at
# /run/checkout and FOLDER, which alone keeps what is written, at /run/kept.
run_in_root() {
    local root=$1 kept=$2
    shift 2
    mkdir -p "$stage_cache/root" "$kept"
    child_ends_by=KILL
    run_child env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin TERM="${TERM:-dumb}" LC_ALL=C.UTF-8 \
        setpriv --pdeathsig KILL \
        unshare --mount --net --pid --fork --kill-child --mount-proc --propagation private \
        setsid --wait bash "$repo/scripts/lib/enter-root" "$stage_cache/root" "$root" "$kept" \
        "$(helper_file syslog-sink)" "$(helper_file ivalt-stand-in)" "$@"
}

machine_suite() {
    local VERSION_CODENAME=''
    # shellcheck source=/dev/null
    [[ ! -r /etc/os-release ]] || . /etc/os-release
    printf '%s' "$VERSION_CODENAME"
}

# `in_root SUITE FOLDER PLAY`: what tests/roots/run plays with the package in FOLDER.
in_root() {
    local package
    build_helpers
    package=$(package_file "$2")
    run_in_root "$roots/$1-logins" "$2" bash /run/stage/tests/roots/run "$3" "/run/kept/${package##*/}"
}

# The whole of it: `lintian` judges the packages that the .changes name.
in_root_lintian() {
    run_in_root "$roots/$1-build" "$2" bash -c 'lintian --version && lintian --allow-root --pedantic --fail-on error,warning /run/kept/*.changes'
}

built_in_root() { printf '%s' "$package_cache/$1/package"; }

# As anybody on that release would: scripts/package, with its own rustc. The crates are there already.
build_in_root() {
    local suite=$1 kept sources
    kept=$package_cache/$suite
    fetch_crates
    sources="$(sources_of_package) $(cat "$roots/$suite-build.is")"
    [[ $(cat "$kept/sources" 2>/dev/null) != "$sources" ]] || return 0
    rm -rf "$kept"
    mkdir -p "$kept/package"
    cp -al "$crates" "$kept/package/"
    run_in_root "$roots/$suite-build" "$kept" env CARGO_TARGET_DIR=/run/kept /run/checkout/scripts/package
    rm -rf "$kept/package/build"
    echo "$sources" >"$kept/sources"
}
