# shellcheck shell=bash
# Builds the Debian package: fetches what it is built from, then builds without a network.

package_cache=$target/package
crates=$package_cache/crates

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
        die "cargo could not fetch the crates (its output is in $crates.log)"
    as_builder touch "$crates/complete"
}

# debhelper is written in Perl and must be in /usr; it is unpacked, and mounted there for the build only.
fetch_debhelper() {
    local packages folder
    mapfile -t packages < <(missing_packages dh=debhelper dpkg-buildpackage=dpkg-dev)
    debhelper=''
    [[ ${#packages[@]} -gt 0 ]] || return 0
    folder=$(fetch_packages debhelper "${packages[@]}")
    debhelper=$cache/debhelper-unpacked
    as_builder rm -rf "$debhelper"
    unpack_packages "$folder" "$debhelper"
}

# Builds in a copy of the checkout, which stays clean. The copy has the date of the changelog, as everything in the
# package does; it is always built from scratch, because cargo decides by these dates what to rebuild.
build_package() {
    local folder=$1 source=$1/pam-ivalt
    as_builder rm -rf "$folder"
    as_builder mkdir -p "$source"
    tar -C "$repo" --exclude=./target --exclude=./.git --mtime="$(changelog_date)" -c . | as_builder tar -x -C "$source"
    without_network "$source" "$debhelper" \
        env CRATES="$crates" LIBRARY_PATH="$LIBRARY_PATH" dpkg-buildpackage --no-sign --build=binary --no-check-builddeps \
        >"$folder/log" 2>&1 || die "dpkg-buildpackage failed: $(tail -n 20 "$folder/log")"
}

changelog_date() { sed -n 's/^ -- .*>  //p' "$repo/debian/changelog" | head -n 1; }

# Namespaces need root, or a kernel that grants user namespaces to everyone.
without_network() {
    local options=()
    [[ $(id -u) -eq 0 ]] || options=(--map-root-user)
    unshare "${options[@]}" --mount --net --propagation private "$repo/scripts/lib/enter-build" "$@"
}

# A hash of what two builds must have in common to be the same: the sources, the compiler, and the scripts that build or
# make the bill of materials.
sources_of_package() {
    {
        tar -C "$repo" --sort=name --mtime=@0 --owner=0 --group=0 --exclude=./target --exclude=./.git --exclude=./.ci \
            --exclude=./tests --exclude=./scripts -c .
        cat "$repo/scripts/sbom" "$repo/scripts/lib"/{build-package.sh,cyclonedx.awk,enter-build}
        as_builder rustc --version --verbose
    } | sha256sum | cut -c1-32
}

keep_packages() {
    local from=$1 to=$2
    as_builder rm -f "$to"/*.{deb,buildinfo,changes}
    as_builder cp "$from"/*.{deb,buildinfo,changes} "$to/"
}
