# shellcheck shell=bash
# Builds the release module, ivaltctl, and the two helper programs of the sandbox.

target=${CARGO_TARGET_DIR:-$repo/target}
cache=$target/cache
export CARGO_TARGET_DIR=$target

# The linker wants libpam.so, which only libpam0g-dev installs; the library itself is on every system with PAM.
# A link of that name in a folder of our own is enough.
link_with_libpam() {
    local library
    library=$(ldconfig_path -p | awk '/libpam\.so\.0 / && !found { found = $NF } END { print found }')
    [[ -n $library ]] || die "libpam.so.0 is not on this machine; install it: $(install_fix libpam0g pam pam pam)"
    as_builder mkdir -p "$cache/lib"
    as_builder ln -sfn "$library" "$cache/lib/libpam.so"
    export LIBRARY_PATH="$cache/lib${LIBRARY_PATH:+:$LIBRARY_PATH}"
}

ldconfig_path() { PATH="$PATH:/usr/sbin:/sbin" ldconfig "$@"; }

# The module and ivaltctl.
build_module() { run_child as_builder cargo build --quiet --manifest-path "$repo/Cargo.toml" --release --locked; }

# The helpers are development targets; a debug build is enough and shares its crates with `cargo test`.
build_helpers() {
    run_child as_builder cargo build --quiet --manifest-path "$repo/Cargo.toml" --locked \
        --package pam_ivalt-tests --example syslog-sink --example ivalt-stand-in
}

ivaltctl_file() { printf '%s' "$target/release/ivaltctl"; }
module_file() { printf '%s' "$target/release/libpam_ivalt.so"; }
helper_file() { printf '%s' "$target/debug/examples/$1"; }
