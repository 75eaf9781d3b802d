# shellcheck shell=bash
# Formatting and lints, and their programs on a machine that lacks them.

shell_scripts=(scripts/bench scripts/demo scripts/fuzz scripts/install scripts/sbom scripts/test scripts/uninstall
    scripts/lib/enter-bench scripts/lib/enter-sandbox scripts/lib/askpass tests/e2e/run
    tests/hosts/run tests/directory/run tests/e2e/concurrent-logins tests/e2e/askpass-per-user .ci/run)

shell_scripts+=(scripts/vm scripts/lib/enter-vm tests/vm/run tests/vm/set-up-image tests/vm/set-up-guest
    tests/vm/image/usr/local/sbin/{serial-shell,unpack-files} tests/vm/image/etc/initramfs-tools/hooks/tests "$repo"/tests/vm/*.sh)

# Those of the package, some of which are plain sh.
shell_scripts+=(scripts/package scripts/lib/enter-build scripts/lib/enter-chroot scripts/lib/enter-emulation tests/package/run tests/arm64/run debian/tests/verdicts
    debian/libpam-ivalt.postinst debian/libpam-ivalt.prerm debian/libpam-ivalt.postrm debian/sync-pam.sh scripts/lib/pam-lines.sh)

# Those of the RPM.
shell_scripts+=(scripts/rpm/build scripts/rpm/post scripts/rpm/preun scripts/rpm/postun tests/rpm/run)

# rustup adds its own components; for Debian's toolchain, the packages are unpacked.
require_lint_tools() {
    has_lints || ! command -v rustup >/dev/null || as_builder rustup --quiet component add rustfmt clippy || true
    unpack_missing lint shellcheck=shellcheck mandoc=mandoc cargo-fmt=rustfmt cargo-clippy=rust-clippy
    lint_tools=$tools
}

has_lints() { cargo fmt --version && cargo clippy --version; } >/dev/null 2>&1

# Unpacked programs need the libraries unpacked with them; no other program may see those.
lint() {
    if [[ -z ${lint_tools:-} ]]; then
        as_builder "$@"
    else
        as_builder env PATH="$lint_tools/usr/bin:$PATH" \
            LD_LIBRARY_PATH="$(printf '%s:' "$lint_tools"/usr/lib/*-linux-gnu)${LD_LIBRARY_PATH:-}" "$@"
    fi
}

# Every complaint counts, style too, except about pages that this machine does not have.
lint_man_pages() {
    local complaints
    # mandoc's exit status counts the excluded complaints too; the text decides.
    complaints=$({ lint mandoc -T lint debian/*.[1-8] 2>&1 || true; } |
        grep -vE 'STYLE: referenced manual not found:|^mandoc: outdated mandoc\.db lacks ') || return 0
    printf '%s\n' "$complaints"
    return 1
}
