# shellcheck shell=bash
# strace, with which the system calls of a login are counted. Where the machine lacks it, it is unpacked, behind a
# wrapper that keeps the libraries unpacked with it away from the traced program.

require_strace() {
    if ! unpack_missing strace strace=strace; then
        say 'no strace: system calls are not counted'
        return 0
    fi
    [[ -n $tools ]] || return 0
    as_builder mkdir "$tools/traced"
    write_strace_wrapper | as_builder tee "$tools/traced/strace" >/dev/null
    as_builder chmod 0755 "$tools/traced/strace"
    export PATH="$tools/traced:$PATH"
}

write_strace_wrapper() {
    printf '#!/bin/sh\nLD_LIBRARY_PATH=%q exec %q -E LD_LIBRARY_PATH "$@"\n' \
        "$(printf '%s:' "$tools"/usr/lib/*-linux-gnu)" "$tools/usr/bin/strace"
}
