# shellcheck shell=bash
# Formatting and lints, and where their programs come from on a machine that lacks them.

shell_scripts=(scripts/bench scripts/demo scripts/fuzz scripts/install scripts/sbom scripts/test scripts/uninstall
    scripts/lib/enter-bench scripts/lib/enter-stage scripts/lib/askpass tests/e2e/run tests/e2e/crowd
    tests/e2e/own-token .ci/run)

# The package's, some of which are plain sh.
shell_scripts+=(scripts/package scripts/lib/enter-build scripts/lib/enter-root tests/roots/run debian/tests/verdicts
    debian/libpam-ivalt.postinst debian/libpam-ivalt.prerm debian/libpam-ivalt.postrm)

# rustup adds its own components; a toolchain of Debian's gets its packages unpacked beside it.
require_lint_tools() {
    has_lints || ! command -v rustup >/dev/null || as_builder rustup --quiet component add rustfmt clippy || true
    local packages folder
    mapfile -t packages < <(missing_packages shellcheck=shellcheck mandoc=mandoc cargo-fmt=rustfmt \
        cargo-clippy=rust-clippy)
    [[ ${#packages[@]} -gt 0 ]] || return 0
    lint_tools=$stage_cache/lint-tools
    as_builder rm -rf "$lint_tools"
    folder=$(fetch_packages lint "${packages[@]}")
    unpack_packages "$folder" "$lint_tools"
}

has_lints() { cargo fmt --version && cargo clippy --version; } >/dev/null 2>&1

# What was unpacked brings its libraries along; nothing but these programs may see them.
lint() {
    if [[ -z ${lint_tools:-} ]]; then
        as_builder "$@"
    else
        as_builder env PATH="$lint_tools/usr/bin:$PATH" \
            LD_LIBRARY_PATH="$(printf '%s:' "$lint_tools"/usr/lib/*-linux-gnu)${LD_LIBRARY_PATH:-}" "$@"
    fi
}

# Every complaint counts, style too. Which other pages a machine has is no affair of ours.
lint_man_pages() {
    local said
    # mandoc's own status tells of the kinds left out here, too; the words decide.
    said=$({ lint mandoc -T lint debian/*.[1-8] 2>&1 || true; } |
        grep -vE 'STYLE: referenced manual not found:|^mandoc: outdated mandoc\.db lacks ') || return 0
    printf '%s\n' "$said"
    return 1
}
