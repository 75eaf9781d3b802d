# shellcheck shell=bash
# strace, with which the system calls of a login are counted. Where the machine lacks it, it is unpacked, behind a
# wrapper that keeps the libraries unpacked with it away from the traced program.

require_strace() {
    local folder
    ! command -v strace >/dev/null || return 0
    if ! folder=$(fetch_packages strace strace); then
        say 'no strace: system calls are not counted'
        return 0
    fi
    strace=$cache/strace
    as_builder rm -rf "$strace"
    unpack_packages "$folder" "$strace"
    as_builder mkdir "$strace/traced"
    write_strace_wrapper | as_builder tee "$strace/traced/strace" >/dev/null
    as_builder chmod 0755 "$strace/traced/strace"
    export PATH="$strace/traced:$PATH"
}

write_strace_wrapper() {
    printf '#!/bin/sh\nLD_LIBRARY_PATH=%q exec %q -E LD_LIBRARY_PATH "$@"\n' \
        "$(printf '%s:' "$strace"/usr/lib/*-linux-gnu)" "$strace/usr/bin/strace"
}
