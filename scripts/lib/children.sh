# shellcheck shell=bash
# Child processes end with the script, also after Ctrl-C, a SIGTERM or a closed terminal: each gets a process group of
# its own, and the script waits for it with `wait`, which signals interrupt.

child='' child_signal=TERM beside=()

end_with_children() {
    child='' beside=()
    trap 'end_child; exit 130' INT TERM HUP
}

run_child() {
    set -m
    "$@" </dev/null &
    child=$!
    set +m
    wait "$child"
}

# `run_beside COMMAND…`: without waiting for it; `$!` is its number.
run_beside() {
    set -m
    "$@" </dev/null &
    beside+=("$!")
    set +m
}

end_child() {
    local each
    for each in $child "${beside[@]}"; do kill -"$child_signal" -- "-$each" 2>/dev/null || true; done
    for each in $child "${beside[@]}"; do wait "$each" 2>/dev/null || true; done
}

# `in_groups NUMBER FUNCTION [NAME…]`: `FUNCTION GROUP NUMBER [NAME…]` for as many groups of cases side by side, because most
# cases wait more than they compute; no more groups than names. The output of each is kept whole.
in_groups() {
    local group outputs ended=0 groups=() number=$(($# > 2 && $# - 2 < $1 ? $# - 2 : $1))
    outputs=$(mktemp -d)
    # One process group, which ends as a whole.
    set +m
    for group in $(seq "$number"); do
        { end_with_children && "$2" "$group" "$number" "${@:3}"; } >"$outputs/$group" 2>&1 &
        groups[group]=$!
    done
    for group in "${!groups[@]}"; do
        wait "${groups[group]}" || ended=1
        cat "$outputs/$group"
    done
    return "$ended"
}
