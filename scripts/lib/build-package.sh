# shellcheck shell=bash
# Builds the Debian package: fetches what it is built from, then builds without a network.

package_cache=$target/package
crates=$package_cache/crates
# Where the packages are kept, and what dpkg-buildpackage is told for another architecture.
built_packages=$package_cache cross_options=()

# `build_for ARCHITECTURE`: packages are built for it, from now on.
build_for() {
    [[ $1 != "$(dpkg --print-architecture)" ]] || return 0
    [[ $1 == arm64 ]] ||
        die "no package for '$1' can be built on another architecture, only for arm64; on a machine of that architecture, run: scripts/package"
    require_arm64_compilers
    # shellcheck disable=SC2034 # for scripts/package
    built_packages=$package_cache/arm64
    cross_options=(--host-arch=arm64 --build-profiles=cross)
}

# The names of arm64 in Rust and in GNU, and what compiles for it; nothing is installed.
require_arm64_compilers() {
    local rust=aarch64-unknown-linux-gnu gnu=aarch64-linux-gnu missing=() packages=() commands=() package
    if ! has_standard_library "$rust"; then
        missing+=("Rust standard library for $rust")
        package=$(standard_library_package)
        if [[ -n $package ]]; then packages+=("$package:arm64"); else commands+=("rustup target add $rust"); fi
    fi
    command -v "$gnu-gcc" >/dev/null || missing+=("$gnu-gcc") packages+=("gcc-$gnu")
    [[ -e /usr/lib/$gnu/libpam.so ]] || missing+=('libpam.so of arm64') packages+=(libpam0g-dev:arm64)
    [[ ${#missing[@]} -gt 0 ]] || return 0
    [[ ${#packages[@]} -eq 0 ]] || commands+=("$(install_for_arm64 "${packages[@]}")")
    die "cannot build for arm64, this machine has no $(join ', no ' "${missing[@]}"); run: $(join ', then: ' "${commands[@]}")"
}

has_standard_library() { compgen -G "$(as_builder rustc --print target-libdir --target "$1")/libstd-*.rlib" >/dev/null; }

# That of this machine's own architecture, which two versions of Rust in Debian 12 name differently; nothing with rustup.
standard_library_package() {
    { dpkg-query --search "$(as_builder rustc --print target-libdir)/libstd-*.rlib" 2>/dev/null || true; } | sed -n '1s/:.*//p'
}

# Packages of another architecture are known to apt only where it was added.
install_for_arm64() {
    dpkg --print-foreign-architectures | grep -qx arm64 || printf 'dpkg --add-architecture arm64 && apt update && '
    printf 'apt install %s' "$*"
}

# `join SEPARATOR WORD…`
join() {
    printf '%s' "$2"
    [[ $# -le 2 ]] || printf "$1%s" "${@:3}"
}

fetch_for_package() {
    link_with_libpam
    fetch_crates
    fetch_debhelper
}

# The crates of Cargo.lock, in a folder named after the lock file's hash.
fetch_crates() {
    local lock
    lock=$(sha256sum <"$repo/Cargo.lock" | cut -c1-16)
    crates=$package_cache/crates-$lock
    [[ ! -e $crates/complete ]] || return 0
    say 'fetching the crates of Cargo.lock'
    as_builder rm -rf "$package_cache"/crates-*
    as_builder mkdir -p "$crates"
    as_builder cargo vendor --quiet --locked --manifest-path "$repo/Cargo.toml" "$crates" >"$crates.log" 2>&1 ||
        die "cargo could not fetch the crates: $(tail -n 1 "$crates.log") (more in $crates.log)"
    as_builder touch "$crates/complete"
}

# debhelper is written in Perl and must be in /usr; it is unpacked, and mounted there for the build only.
fetch_debhelper() {
    unpack_missing debhelper dh=debhelper dpkg-buildpackage=dpkg-dev
    debhelper=$tools
}

# Builds in a copy of the checkout, which stays clean. The copy has the date of the changelog, as everything in the
# package does; it is always built from scratch, because cargo decides by these dates what to rebuild.
build_package() {
    local folder=$1 source=$1/pam-ivalt
    as_builder rm -rf "$folder"
    as_builder mkdir -p "$source"
    tar -C "$repo" --exclude=./target --exclude=./.git --mtime="$(changelog_date)" -c . | as_builder tar -x -C "$source"
    without_network "$source" "$debhelper" \
        env CRATES="$crates" LIBRARY_PATH="$LIBRARY_PATH" \
        dpkg-buildpackage --no-sign --build=binary --no-check-builddeps "${cross_options[@]}" \
        >"$folder/log" 2>&1 || die "dpkg-buildpackage failed: $(tail -n 20 "$folder/log")"
}

changelog_date() { sed -n 's/^ -- .*>  //p' "$repo/debian/changelog" | head -n 1; }

without_network() { in_build_namespaces "$repo/scripts/lib/enter-build" "$@"; }

# Namespaces need root, or a kernel that grants user namespaces to everyone.
in_build_namespaces() {
    local options=()
    [[ $(id -u) -eq 0 ]] || options=(--map-root-user)
    unshare "${options[@]}" --mount --net --propagation private "$@"
}

require_build_namespaces() {
    ! in_build_namespaces true 2>/dev/null || return 0
    [[ $(id -u) -eq 0 ]] ||
        die 'this machine lets only root make namespaces, which keep the network from the build; run: sudo scripts/package'
    die 'this machine does not let root make namespaces, which keep the network from the build (a container without privileges?); run it on a real or virtual machine, or in a container started with --privileged'
}

# A hash of what two builds must have in common to be the same: the sources, the compiler, and the scripts that build or
# make the bill of materials.
sources_of_package() {
    {
        tar -C "$repo" --sort=name --mtime=@0 --owner=0 --group=0 --exclude=./target --exclude=./.git --exclude=./.ci \
            --exclude=./tests --exclude=./scripts -c .
        cat "$repo/scripts/sbom" "$repo/scripts/lib"/{build-package.sh,cyclonedx.awk,enter-build,pam-lines.sh}
        as_builder rustc --version --verbose
    } | sha256sum | cut -c1-32
}

keep_packages() {
    local from=$1 to=$2
    as_builder rm -f "$to"/*.{deb,buildinfo,changes}
    as_builder cp "$from"/*.{deb,buildinfo,changes} "$to/"
}
