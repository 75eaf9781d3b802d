# shellcheck shell=bash
# What the scripts say: plain lines to standard output, faults in one sentence to standard error.

say() { printf '%s\n' "$*"; }

die() {
    printf '%s: %s\n' "${0##*/}" "$*" >&2
    exit 1
}

# Shows a file, indented, under the line that told about it. What a client printed may hold control characters.
show_file() { tr -d '\r' <"$1" | cat --show-nonprinting | sed 's/^/    /'; }
