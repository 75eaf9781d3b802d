# shellcheck shell=sh
# Which lines of pam.d name the module: without it, each denies every login that reaches it. For what removes the module:
# scripts/uninstall, the prerm of the Debian package and the %preun of the RPM, which have a copy of this from their build.

# `refuse_without_tools PACKAGE`: without them, nothing would be found.
refuse_without_tools() {
    if awk 'BEGIN { exit 0 }' && sort -u </dev/null; then return 0; fi
    echo "$1 is not removed: awk or sort is missing or fails, and without them nobody knows which lines of pam.d name the module; install it, then remove the package again" >&2
    exit 1
}

# `own_pam_files ROOT`: where libpam looks for services below ROOT, but for what package managers and editors leave there; and
# what authselect writes there from.
own_pam_files() {
    for file in "$1"/etc/pam.conf "$1"/etc/pam.d/* "$1"/usr/lib/pam.d/* "$1"/usr/etc/pam.d/* "$1"/usr/share/pam.d/* \
        "$1"/etc/authselect/*-auth "$1"/etc/authselect/postlogin "$1"/etc/authselect/custom/*/*-auth "$1"/etc/authselect/custom/*/postlogin; do
        case ${file##*/} in
            *~ | *.dpkg-* | *.pam-old | *.rpmnew | *.rpmsave | *.rpmorig) ;;
            *) [ ! -f "$file" ] || printf '%s\n' "$file" ;;
        esac
    done
}

# For `read_as_libpam`. A # in brackets is kept, whatever this libpam does with it.
# shellcheck disable=SC2016 # for awk
as_libpam='
    BEGIN { count = split(ENVIRON["names"], list, "\n"); for (i = 1; i <= count; i++) if (list[i] != "") other[list[i]] = 1 }
    function without_comment(line,    bracket) {
        while (match(line, /\[[^]#]*#[^]]*\]/)) {
            bracket = substr(line, RSTART, RLENGTH)
            gsub(/#/, "\001", bracket)
            line = substr(line, 1, RSTART - 1) bracket substr(line, RSTART + RLENGTH)
        }
        sub(/#.*/, "", line)
        sub(/[ \t\r\v\f]+$/, "", line)
        gsub("\001", "#", line)
        return line
    }
    function finish(    rest, word, before, named) {
        rest = text
        named = index(text, "pam_ivalt")
        while (sub(/^[ \t\r\v\f]+/, "", rest) || rest != "") {
            if (rest == "") break
            if (rest !~ /^\[/ || !match(rest, /^\[[^]]*\]/)) match(rest, /^[^ \t\r\v\f]+/)
            word = substr(rest, 1, RLENGTH)
            rest = substr(rest, RLENGTH + 1)
            gsub(/^\[|\]$/, "", word)
            if (mode == "words") print word
            if (mode == "includes" && before ~ /^(@include|include|substack)$/) print word
            if (word in other) named = 1
            before = tolower(word)
        }
        if (mode ~ /lines/ && named && !generated_text) print "  " name ", line " first ": " text
        text = ""
    }
    $0 != "" {
        name = $0
        number = generated = 0
        text = ""
        shared = mode == "own-lines" && name ~ "^/etc/pam[.]d/common-(auth|account|password|session|session-noninteractive)$"
        while ((getline line < name) > 0) {
            number++
            if (shared && line ~ /^# here are the per-package modules/) generated = 1
            if (shared && line ~ /^# end of pam-auth-update config/) generated = 0
            if (line ~ /^[ \t\r\v\f]*(#|$)/) continue
            line = without_comment(line)
            continued = sub(/\\$/, " ", line)
            if (text == "") { first = number; generated_text = generated }
            text = text line
            if (!continued) finish()
        }
        close(name)
        if (text != "") finish()
    }'

# `read_as_libpam MODE`: the files whose names it reads, with continued lines joined and comments cut. MODE is `includes` (the
# names they include), `words`, `lines` (those that name the module, or a word of $names, a line each) or `own-lines` (the
# same without what pam-auth-update has written).
read_as_libpam() { LC_ALL=C names=${names:-} awk -v mode="$1" "$as_libpam"; }

# `included_by ROOT`: what the files whose names it reads include, where libpam looks for it.
included_by() {
    included_names=$(read_as_libpam includes) || return 1
    printf '%s\n' "$included_names" | while read -r word; do
        case $word in
            /*) [ ! -f "$1$word" ] || printf '%s\n' "$1$word" ;;
            *)
                for folder in etc usr/lib usr/etc usr/share; do
                    [ ! -f "$1/$folder/pam.d/$word" ] || printf '%s\n' "$1/$folder/pam.d/$word"
                done
                ;;
        esac
    done
}

# `pam_files ROOT`
pam_files() {
    files=$(own_pam_files "$1")
    known=
    while [ "$files" != "$known" ]; do
        known=$files
        included=$(printf '%s\n' "$known" | included_by "$1") || return 1
        files=$(printf '%s\n' "$known" "$included" | LC_ALL=C sort -u) || return 1
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
    all_files=$(pam_files '') || return 1
    printf '%s\n' "$all_files" | while read -r file; do
        case $1 in
            *"\"$file\""*) ;;
            *) printf '%s\n' "$file" ;;
        esac
    done
}

# `is_module ROOT FILE`: by whatever name.
is_module() {
    for module in "$1"/lib*/security "$1"/lib/*/security "$1"/usr/lib*/security "$1"/usr/lib/*/security; do
        # shellcheck disable=SC3013 # in POSIX since 2024, and in every sh of these systems before
        [ ! "$2" -ef "$module/pam_ivalt.so" ] || return 0
    done
    return 1
}

# `other_names ROOT`: words of the files whose names it reads that lead to the module by a link.
other_names() {
    words=$(read_as_libpam words | LC_ALL=C sort -u) || return 1
    printf '%s\n' "$words" | while read -r word; do
        for folder in "$1"/lib*/security "$1"/lib/*/security "$1"/usr/lib*/security "$1"/usr/lib/*/security; do
            case $word in
                '' | *pam_ivalt*) continue ;;
                /*) file=$1$word ;;
                *) file=$folder/$word ;;
            esac
            [ ! -f "$file" ] || ! is_module "$1" "$file" || printf '%s\n' "$word"
        done
    done
}

# `lines_naming MODE ROOT FILES`: MODE as of `read_as_libpam`.
lines_naming() {
    names=$(printf '%s\n' "$3" | other_names "$2") || return 1
    printf '%s\n' "$3" | read_as_libpam "$1"
}

# `how_to_remove_lines ROOT`. No command: one that deletes single lines would join others, and lead jumps past the password.
how_to_remove_lines() {
    echo 'Remove these lines in an editor, each with the lines it is continued on (\ at the end), and lower the jumps (success=N) that pass over it.'
    echo 'Where such a line replaced an include or a substack, put that back.'
    [ ! -d "$1/etc/authselect" ] || echo 'Where a file is in /etc/authselect or a link into it, change the profile in /etc/authselect/custom instead, and run: authselect apply-changes'
    echo 'Keep a root shell open, and try a login in a second session while the module is still there; a wrong password must be refused.'
}

# `refuse_if_any PACKAGE LINES`
refuse_if_any() {
    [ -n "$2" ] || return 0
    {
        echo "$1 is not removed: without the module, nobody could log in where these lines name it."
        printf '%s\n' "$2"
        how_to_remove_lines ''
        echo 'Then remove the package again.'
    } >&2
    exit 1
}
