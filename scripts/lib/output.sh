# shellcheck shell=bash
# What the scripts print: plain lines to standard output, errors in one sentence to standard error.

say() { printf '%s\n' "$*"; }

die() {
    printf '%s: %s\n' "${0##*/}" "$*" >&2
    exit 1
}

# Prints a file, indented. The output of a client may hold control characters.
show_file() { tr -d '\r' <"$1" | cat --show-nonprinting | sed 's/^/    /'; }
