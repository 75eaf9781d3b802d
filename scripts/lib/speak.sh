# shellcheck shell=bash
# What the scripts say: plain lines to standard output, faults in one sentence to standard error.

say() { printf '%s\n' "$*"; }

die() {
    printf '%s: %s\n' "${0##*/}" "$*" >&2
    exit 1
}

# Shows a file, indented, under the line that told about it.
show_file() { sed 's/^/    /' "$1"; }
