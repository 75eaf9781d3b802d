# shellcheck shell=bash
# Who and what is in a throw-away root: the cast of the stage, but the system's own accounts, pam.d and sshd_config stay
# as Debian ships them.

set_the_root() {
    write_accounts
    keep_as_shipped
    write_name_service
    write_sudoers
    write_ssh_client
    prepare_folders
    start_log
    start_ivalt
    sshd_as_shipped
}

write_accounts() {
    local account
    for account in alice bob carol visitor; do useradd --no-create-home --shell /bin/sh "$account"; done
    set_passwords
    make_homes
}

keep_as_shipped() {
    mkdir "$stage/as-shipped"
    cp -a /etc/pam.d /etc/ssh "$stage/as-shipped/"
}

# An administrator's edit: the lines of a sample in place of the include, as the sample says.
pam_service_as_in() {
    local sample=$stage/$1 service=$2
    sed -e "/^@include common-auth/{r $sample" -e 'd}' "$stage/as-shipped/pam.d/$service" >"/etc/pam.d/$service"
}

sshd_as_shipped() {
    mkdir -p /etc/ssh/sshd_config.d
    stop_sshd
    cp "$stage/as-shipped/ssh/sshd_config" /etc/ssh/sshd_config
    /usr/sbin/sshd
    wait_for sshd test -s /run/sshd.pid
}

pam_as_shipped() {
    rm -rf /etc/pam.d
    cp -a "$stage/as-shipped/pam.d" /etc/pam.d
}

# What the package's own programs say is kept for whoever reads about a fault.
quietly() { "$@" </dev/null >"$talk/said" 2>&1; }

apt() {
    DEBIAN_FRONTEND=noninteractive quietly apt-get -q -y --no-install-recommends \
        -o DPkg::Options::=--force-confold -o DPkg::Options::=--force-unsafe-io "$@"
}

tool() { quietly ivaltctl "$@" || fault "ivaltctl $*: $(cat "$talk/said")"; }

# sshd reads its settings after SIGHUP in its own time.
tool_and_sshd() {
    tool "$@"
    sleep 0.5
}

expect_said() { grep -qF -- "$1" "$talk/said" || fault "nobody said '$1' but: $(cat "$talk/said")"; }
expect_file() { [[ $(stat -c '%U:%G %a' "$1" 2>&1) == "root:root $2" ]] || fault "$1 is not root:root $2: $(ls -ld "$1" 2>&1)"; }
expect_gone() { [[ ! -e $1 ]] || fault "$1 is there"; }
expect_same() { cmp -s "$1" "$2" || fault "$1 is not as it was: $(diff "$2" "$1" 2>&1)"; }

expect_pam_as_shipped() {
    local differences
    differences=$(diff -r "$stage/as-shipped/pam.d" /etc/pam.d) || fault "pam.d is not as shipped: $differences"
}
