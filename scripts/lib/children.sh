# shellcheck shell=bash
# Child processes end with the script, also after Ctrl-C, a SIGTERM or a closed terminal: each gets a process group of
# its own, and the script waits for it with `wait`, which signals interrupt.

child='' child_signal=TERM

end_with_children() { trap 'end_child; exit 130' INT TERM HUP; }

run_child() {
    set -m
    "$@" </dev/null &
    child=$!
    set +m
    wait "$child"
}

end_child() {
    [[ -n $child ]] || return 0
    kill -"$child_signal" -- "-$child" 2>/dev/null || true
    wait "$child" 2>/dev/null || true
}
