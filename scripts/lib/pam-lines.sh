# shellcheck shell=sh
# Which lines of pam.d name the module: without it, each denies every login that reaches it. For what removes the module:
# scripts/uninstall, the prerm of the Debian package and the %preun of the RPM, which have a copy of this from their build.

# `own_pam_files ROOT`: where libpam looks for services below ROOT, but for what package managers and editors leave there.
own_pam_files() {
    for file in "$1"/etc/pam.conf "$1"/etc/pam.d/* "$1"/usr/lib/pam.d/* "$1"/usr/etc/pam.d/* "$1"/usr/share/pam.d/*; do
        case ${file##*/} in
            *~ | *.dpkg-* | *.pam-old | *.rpmnew | *.rpmsave | *.rpmorig) ;;
            *) [ ! -f "$file" ] || printf '%s\n' "$file" ;;
        esac
    done
}

# `included_by ROOT FILE`: what it includes from elsewhere, by an absolute path.
included_by() {
    awk '!/^[ \t]*#/ { for (i = 1; i < NF; i++) if ($i ~ /^(@include|include|substack)$/ && $(i + 1) ~ "^/") print $(i + 1) }' "$2" |
        while read -r file; do [ ! -f "$1$file" ] || printf '%s\n' "$1$file"; done
}

# `pam_files ROOT`
pam_files() {
    files=$(own_pam_files "$1")
    known=
    while [ "$files" != "$known" ]; do
        known=$files
        files=$({
            printf '%s\n' "$known"
            printf '%s\n' "$known" | while read -r file; do included_by "$1" "$file"; done
        } | sort -u)
    done
    printf '%s\n' "$files"
}

# What would be removed by `ivaltctl disable --all`, as a JSON object; nothing where it refuses, and then it says why.
disabled_by_ivaltctl() {
    if object=$(ivaltctl disable --all --dry-run --json 2>/dev/null); then
        printf '%s\n' "$object"
    else
        ivaltctl disable --all --dry-run >&2 || true
    fi
}

# `files_left_by OBJECT`: those that `disabled_by_ivaltctl` does not name.
files_left_by() {
    pam_files '' | while read -r file; do
        case $1 in
            *"\"$file\""*) ;;
            *) printf '%s\n' "$file" ;;
        esac
    done
}

# The lines that name the module in the files whose names it reads.
lines_in_files() {
    while read -r file; do
        [ ! -f "$file" ] || awk '/^[^#]*pam_ivalt/ { print "  " FILENAME ", line " FNR ": " $0 }' "$file"
    done
}

# No command: one that deletes single lines would join others, and lead jumps past the password.
how_to_remove_lines() {
    echo 'Remove these lines in an editor, each with the lines it is continued on (\ at the end), and lower the jumps (success=N) that pass over it.'
    echo 'Where such a line replaced an include or a substack, put that back.'
    echo 'Keep a root shell open, and try a login in a second session while the module is still there; a wrong password must be refused.'
}

# `refuse_if_any PACKAGE LINES`
refuse_if_any() {
    [ -n "$2" ] || return 0
    {
        echo "$1 is not removed: without the module, nobody could log in where these lines name it."
        printf '%s\n' "$2"
        how_to_remove_lines
        echo 'Then remove the package again.'
    } >&2
    exit 1
}
