# shellcheck shell=bash
# strace, which counts what a login does. A machine that lacks it gets it unpacked, behind a program of its name that
# keeps the libraries unpacked with it from whatever is traced.

require_tracer() {
    local folder
    ! command -v strace >/dev/null || return 0
    if ! folder=$(fetch_packages tracer strace); then
        say 'no strace: what counts system calls is left out'
        return 0
    fi
    tracer=$stage_cache/strace
    as_builder rm -rf "$tracer"
    unpack_packages "$folder" "$tracer"
    as_builder mkdir "$tracer/traced"
    write_tracer | as_builder tee "$tracer/traced/strace" >/dev/null
    as_builder chmod 0755 "$tracer/traced/strace"
    export PATH="$tracer/traced:$PATH"
}

write_tracer() {
    printf '#!/bin/sh\nLD_LIBRARY_PATH=%q exec %q -E LD_LIBRARY_PATH "$@"\n' \
        "$(printf '%s:' "$tracer"/usr/lib/*-linux-gnu)" "$tracer/usr/bin/strace"
}
