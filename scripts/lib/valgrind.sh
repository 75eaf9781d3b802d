# shellcheck shell=bash
# valgrind for tests/pam/memory.rs, and glibc's debug symbols for it, on a machine that lacks them.

# Where it cannot be fetched, the tests that need it report themselves as skipped.
require_valgrind() {
    unpack_missing valgrind valgrind=valgrind || return 0
    [[ -n $tools ]] || return 0
    link_debug_files "$tools/usr/lib/debug"
    export PATH="$PATH:$tools/usr/bin" VALGRIND_LIB="$tools/usr/libexec/valgrind"
    export VALGRIND_OPTS="--extra-debuginfo-path=$tools/usr/lib/debug"
}

# valgrind does not run without the symbols of ld.so. By build id it looks for them in /usr/lib/debug only; in other
# folders by name, below the path of the library.
link_debug_files() {
    local folder
    for folder in /usr/lib/*-linux-gnu; do
        as_builder mkdir -p "$1$folder"
        find "$1/.build-id" -name '*.debug' -print0 | as_builder xargs -0r ln -sft "$1$folder"
    done
}
