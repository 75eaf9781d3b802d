# shellcheck shell=bash
# How the real sshd reads sshd_config.

# sshd_config.cases with the sshd that is here; a unit test of ivaltctl compares its own reading with the same table.
sshd_reads_as_the_table_says_case() {
    stop_sshd
    rm -rf "$sandbox/ssh" && cp -a /etc/ssh "$sandbox/ssh"
    local version line name='' file='' skipped='' number=0
    version=$(/usr/sbin/sshd -V 2>&1 | sed -n 's/^.*OpenSSH_\([0-9.]*\).*/\1/p' | head -n1)
    while IFS= read -r line; do
        case $line in
            'case '*) skipped=$(is_skipped "$line" "$version") && clear_ssh && name=$line ;;
            *) [[ -n $skipped ]] || table_line "$line" ;;
        esac
    done <"$repo/tests/e2e/sshd_config.cases"
    [[ $number -gt 60 ]] || fault "$number comparisons"
    clear_ssh
    cp -a "$sandbox/ssh/." /etc/ssh/
}
clear_ssh() { find /etc/ssh -mindepth 1 -delete; }
# Prints something if the case is for other versions.
is_skipped() {
    local limit=${1##* }
    case $1 in
        *', since '*) [[ $(printf '%s\n' "$limit" "$2" | sort -V | head -n1) == "$limit" ]] || echo skipped ;;
        *', before '*) [[ $2 != "$limit" && $(printf '%s\n' "$limit" "$2" | sort -V | head -n1) == "$2" ]] || echo skipped ;;
    esac
}
# A line of a case; `file` is the one that is being written.
table_line() {
    local expected connection
    case $1 in
        'file '*) file=${1#file } && mkdir -p "${file%/*}" && : >"$file" ;;
        'link '*) read -r _ file expected <<<"$1" && mkdir -p "${file%/*}" && ln -s "$expected" "$file" ;;
        '|'*) printf '%s\n' "${1:1}" >>"$file" ;;
        '%'*) /usr/bin/printf '%b\n' "${1:1}" >>"$file" ;;
        'is '*) compare "${1#is }" ;;
        'refused') compare 'refused' ;;
        'for '*)
            connection=${1#for } expected=${1##* / }
            connection=${connection%% / *}
            [[ $connection == *addr=* ]] || connection+=,host=h,addr=192.0.2.9
            compare "$expected" -C "$connection"
            ;;
    esac
}
# `compare EXPECTED [SSHD_OPTION…]`
compare() {
    local expected=$1 printed read=refused prompt=kbdinteractiveauthentication
    ! dpkg --compare-versions "$version" lt 8.7 || prompt=challengeresponseauthentication
    if printed=$(/usr/sbin/sshd -T -h "$sandbox/ssh/ssh_host_ed25519_key" "${@:2}" 2>&1); then
        read=$(for line in usepam "$prompt" passwordauthentication authenticationmethods; do
            sed -n "s/^$line //Ip" <<<"$printed" | head -n1
        done | xargs)
    fi
    number=$((number + 1))
    [[ $read == "$expected" ]] || fault "$name: $expected: $read"
}
