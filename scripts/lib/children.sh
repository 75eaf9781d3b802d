# shellcheck shell=bash
# Whatever a script starts ends with it, also after Ctrl-C, a SIGTERM or a closed terminal: children get process groups
# of their own, and the script waits for them in a way that signals interrupt.

child='' child_ends_by=TERM

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
    kill -"$child_ends_by" -- "-$child" 2>/dev/null || true
    wait "$child" 2>/dev/null || true
}
