# shellcheck shell=bash
# Checks the finished packages. Each of them is built twice, in two folders, and must be the same bytes: as root in a
# chroot of Debian 12, and with its own rustc; otherwise on the machine.

check_package() {
    local built built_again
    fetch_for_package
    if [[ $(id -u) -eq 0 ]]; then
        in_groups 2 build_in_bookworm
        built=$(built_in_chroot bookworm) built_again=$(built_in_chroot bookworm-again)
    else
        build_if_changed
        built=$package_cache built_again=$package_cache/again
    fi
    assert 'two builds in two folders are the same bytes' same_packages "$built" "$built_again"
    assert 'a build for arm64 runs no program of arm64, and makes the bill of materials of arm64' builds_for_arm64
    assert 'debian/copyright names the linked crates of Cargo.lock' copyright_is_current
    check_files "$built" "$(dpkg-architecture -qDEB_HOST_MULTIARCH)"
}

# `check_files FOLDER TRIPLET`: the packages in it, and what is in them.
check_files() {
    checked=$1 unpacked=$package_cache/unpacked
    as_builder rm -rf "$unpacked"
    as_builder dpkg-deb -x "$(package_file "$checked")" "$unpacked"
    as_builder dpkg-deb -x "$(package_file "$checked" -dbgsym)" "$unpacked"
    check_contents "$2"
    check_hardening
}

package_file() { printf '%s' "$1"/libpam-ivalt"${2:-}"_*.deb; }

# `build_in_bookworm GROUP NUMBER`. Two builds side by side, because a build's last step uses one core only.
build_in_bookworm() { if [[ $1 -eq 1 ]]; then build_in_chroot bookworm; else build_in_chroot bookworm-again; fi; }

# Takes minutes, so only where the sources have changed.
build_if_changed() {
    local sources
    sources=$(sources_of_package)
    [[ $(cat "$package_cache/sources" 2>/dev/null) != "$sources" ]] || return 0
    as_builder rm -f "$package_cache/sources"
    run_child build_twice
    keep_packages "$package_cache/build" "$package_cache"
    as_builder mkdir -p "$package_cache/again"
    keep_packages "$package_cache/elsewhere/build" "$package_cache/again"
    as_builder tee "$package_cache/sources" <<<"$sources" >/dev/null
}

build_twice() {
    local first=0 second=0
    # One process group, which ends as a whole.
    set +m
    build_package "$package_cache/build" &
    first=$!
    build_elsewhere &
    second=$!
    wait "$first"
    wait "$second"
}

# With sources and crates in other folders than the first time.
build_elsewhere() {
    local elsewhere=$package_cache/elsewhere
    as_builder rm -rf "$elsewhere"
    as_builder mkdir -p "$elsewhere"
    as_builder cp -al "$crates" "$elsewhere/crates"
    crates=$elsewhere/crates
    build_package "$elsewhere/build"
}

same_packages() {
    local package
    for package in "$1"/*.deb; do cmp "$package" "$2/${package##*/}" || return 1; done
}

# By what make would run: only `scripts/test --arm64` builds it.
builds_for_arm64() {
    local rust=aarch64-unknown-linux-gnu commands line
    commands=$(without_network "$repo" "$debhelper" dpkg-architecture --host-arch arm64 --command \
        make --dry-run -f debian/rules override_dh_auto_build 2>&1) || return 1
    for line in "cargo build --release --locked --target $rust --config 'target.$rust.linker = \"aarch64-linux-gnu-gcc\"'" \
        'target/debug/ivaltctl completion bash >target/ivaltctl.bash' "scripts/sbom --target $rust >target/pam_ivalt.cdx.json"; do
        grep -qxF -- "$line" <<<"$commands" || { say "does not run: $line" && return 1; }
    done
    ! grep -F "target/$rust" <<<"$commands"
}

copyright_is_current() { write_copyright | diff "$repo/debian/copyright" -; }

check_contents() {
    packaged=$unpacked/usr/lib/$1/security/pam_ivalt.so
    assert 'the one conffile is ivalt.toml, as the sample, closed to others' only_conffile
    assert 'users.toml is not a file of the package' test ! -e "$unpacked/etc/ivalt/users.toml"
    assert 'the profile is off by default' grep -qx 'Default: no' "$unpacked/usr/share/pam-configs/ivalt"
    assert 'the profile makes the module required' grep -qxP '\trequired\tpam_ivalt.so' "$unpacked/usr/share/pam-configs/ivalt"
    assert 'completion for bash, zsh and fish' has_completions
    assert 'every sample of conf/ is an example' diff -r "$repo/conf" "$unpacked/usr/share/doc/libpam-ivalt/examples"
    assert 'both changelogs: of debian/, and for users' has_changelogs
    assert 'every page of debian/libpam-ivalt.docs is there' has_pages
    assert "no path of the builder's" no_builders_path
    assert 'symbols of module and ivaltctl are in -dbgsym' has_symbols
    assert 'systemd makes the folder of push' cmp "$repo/debian/libpam-ivalt.tmpfiles" "$unpacked/usr/lib/tmpfiles.d/libpam-ivalt.conf"
    assert 'depends on what it loads' depends_on libc6 libgcc-s1 libpam0g libpam-runtime ca-certificates
}

only_conffile() {
    [[ $(dpkg-deb --info "$(package_file "$checked")" conffiles) == /etc/ivalt/ivalt.toml ]] &&
        cmp "$repo/conf/ivalt.toml" "$unpacked/etc/ivalt/ivalt.toml" &&
        [[ $(stat -c %a "$unpacked/etc/ivalt/ivalt.toml") == 600 ]] && ! grep -q '^ *key' "$unpacked/etc/ivalt/ivalt.toml"
}

has_completions() {
    grep -q ivaltctl "$unpacked/usr/share/bash-completion/completions/ivaltctl" &&
        grep -q '^#compdef ivaltctl' "$unpacked/usr/share/zsh/vendor-completions/_ivaltctl" &&
        grep -q '^complete -c ivaltctl' "$unpacked/usr/share/fish/vendor_completions.d/ivaltctl.fish"
}

has_changelogs() {
    local documents=$unpacked/usr/share/doc/libpam-ivalt
    cmp <(zcat "$documents/changelog.gz" | head -n 1) <(head -n 1 "$repo/debian/changelog") &&
        { [[ ! -e $repo/CHANGELOG.md ]] || zcat -f "$documents"/CHANGELOG.md* | cmp - "$repo/CHANGELOG.md"; }
}

has_pages() {
    local page
    while read -r page; do
        zcat -f "$unpacked/usr/share/doc/libpam-ivalt/${page##*/}"* | cmp - "$repo/$page" || return 1
    done <"$repo/debian/libpam-ivalt.docs"
}

# In a chroot, the builder's folder is /run/kept.
no_builders_path() { ! grep -rqaF -e "$repo" -e "$(builder_home)/." -e /run/kept "$unpacked"; }

has_symbols() {
    local file id
    for file in "$packaged" "$unpacked/usr/sbin/ivaltctl"; do
        id=$(readelf --notes "$file" | sed -n 's/.*Build ID: //p')
        has_segment "$file" LOAD && [[ -s $unpacked/usr/lib/debug/.build-id/${id:0:2}/${id:2}.debug ]] || return 1
    done
}

depends_on() {
    local depends name
    depends=" $(dpkg-deb --field "$(package_file "$checked")" Depends),"
    for name in "$@"; do grep -qE " $name( \([^)]*\))?," <<<"$depends" || return 1; done
}

check_hardening() {
    check_linked "$packaged"
    check_linked_tool "$unpacked/usr/sbin/ivaltctl"
}
