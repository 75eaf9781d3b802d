# shellcheck shell=bash
# Writes debian/copyright: who holds the copyright of the sources, and of every crate linked into module and tool.
# Not cargo-about: some 120 crates to compile in CI, outside Cargo.lock and deny.toml, and no Debian format.

# Written from the crates of Cargo.lock; `scripts/test` compares it with the file in debian/.
write_copyright() {
    printf 'Format: %s\nUpstream-Name: pam_ivalt\n' \
        https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
    printf '%s\n' 'Comment:' ' vendor/ holds, as "cargo vendor" lays them out, the crates of Cargo.lock that are' \
        ' linked into the module and ivaltctl. Where a crate offers a choice of licences, Expat is taken if it is' \
        ' among them, else Apache-2.0. This file is written by scripts/package --copyright.'
    stanza '*' '2026 The pam_ivalt authors' 'Expat or Apache-2.0'
    stanza 'vendor/std/*' 'The Rust Project contributors' Expat \
        "Rust's standard library, which comes with the compiler; offered under MIT OR Apache-2.0."
    linked_crates | while IFS='|' read -r name version offered; do crate_stanza "$name" "$version" "$offered"; done
    texts
}

# NAME|VERSION|LICENCES. For amd64 on every machine, so that the result is the same; macros are not linked.
linked_crates() {
    as_builder cargo tree --quiet --locked --offline --manifest-path "$repo/Cargo.toml" \
        --package pam_ivalt --package ivaltctl --target x86_64-unknown-linux-gnu --edges normal,no-proc-macro --prefix none --format '{p}|{l}' |
        sed -nE 's/^([^ ]+) v([^ |]+)[^|]*\|([^(]*[^( ])( \(\*\))?$/\1|\2|\3/p' | grep -vE '^(pam_ivalt|ivalt-core|ivaltctl)\|' | LC_ALL=C sort -u
}

crate_stanza() {
    local name=$1 version=$2 offered=$3 folder=$crates/$1
    [[ ! -d $folder-$version ]] || folder=$folder-$version
    stanza "vendor/$name/*" "$(holders "$folder" "$name")" "$(licence_taken "$offered")" "Version $version, offered under $offered."
}

# From the licence files, which must be kept; where they name nobody, the crate's authors.
holders() {
    local folder=$1 name=$2 lines
    lines=$(cat "$folder"/*{LICENSE,COPY}* 2>/dev/null | sed -nE 's/^[ /*#]*Copyright (\([cC]\) )?([0-9A-Z].*[^ ]) *$/\2/p' |
        grep -vE '^(License|Notice|\[)' | LC_ALL=C sort -u)
    [[ -n $lines ]] || lines=$(tr '\n' ' ' <"$folder/Cargo.toml" | sed -nE 's/.* authors = \[([^]]*)\].*/\1/p' |
        grep -oE '"[^"]+"' | tr -d '"')
    printf '%s\n' "${lines:-The authors of $name}"
}

licence_taken() {
    case " ${1//\// OR } " in
        *' AND '*) echo "${1// AND / and }" ;;
        *' MIT '*) echo Expat ;;
        *' Apache-2.0 '*) echo Apache-2.0 ;;
        *) echo "$1" ;;
    esac
}

# `stanza FILES HOLDERS LICENCE [COMMENT]`
stanza() {
    printf '\nFiles: %s\nCopyright:\n %s\nLicense: %s\n' "$1" "${2//$'\n'/$'\n' }" "$3"
    [[ -z ${4:-} ]] || printf 'Comment: %s\n' "$4"
}

# The text of each licence once, from a crate that has it.
texts() {
    printf '\nLicense: Apache-2.0\n %s\n %s\n' 'On Debian systems, the text of the Apache License, version 2.0, is in' \
        /usr/share/common-licenses/Apache-2.0.
    text Expat "$crates/bytes/LICENSE"
    text ISC "$crates/untrusted/LICENSE.txt"
    text BSD-3-Clause "$crates/subtle/LICENSE"
    text CDLA-Permissive-2.0 "$crates/webpki-roots/LICENSE"
}

text() {
    printf '\nLicense: %s\n' "$1"
    sed -E 's|^// ?||; /^Copyright/d; s/ +$//' "$2" | sed '/./,$!d' | sed 's/^$/./; s/^/ /'
}
