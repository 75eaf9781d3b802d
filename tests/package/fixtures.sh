# shellcheck shell=bash
# What a chroot holds: the same as the sandbox (scripts/lib/fixtures.sh), but the accounts are added to Debian's, and
# pam.d and sshd_config are as Debian ships them.

setup_chroot() {
    write_accounts
    save_as_shipped
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

save_as_shipped() {
    mkdir "$sandbox/as-shipped"
    cp -a /etc/pam.d /etc/ssh "$sandbox/as-shipped/"
}

# As an administrator would edit it: the lines of a sample in place of the include, as the sample says.
pam_service_from() {
    local sample=$sandbox/$1 service=$2
    sed -e "/^@include common-auth/{r $sample" -e 'd}' "$sandbox/as-shipped/pam.d/$service" >"/etc/pam.d/$service"
}

sshd_as_shipped() {
    mkdir -p /etc/ssh/sshd_config.d
    stop_sshd
    cp "$sandbox/as-shipped/ssh/sshd_config" /etc/ssh/sshd_config
    start_sshd
}

apt() {
    DEBIAN_FRONTEND=noninteractive capture apt-get -q -y --no-install-recommends \
        -o DPkg::Options::=--force-confold -o DPkg::Options::=--force-unsafe-io "$@"
}

expect_file() { [[ $(stat -c '%U:%G %a' "$1" 2>&1) == "root:root $2" ]] || fault "$1 is not root:root $2: $(ls -ld "$1" 2>&1)"; }
expect_gone() { [[ ! -e $1 ]] || fault "$1 still exists"; }
expect_same() { cmp -s "$1" "$2" || fault "$1 has changed: $(diff "$2" "$1" 2>&1)"; }

expect_pam_as_shipped() {
    local differences
    differences=$(diff -r "$sandbox/as-shipped/pam.d" /etc/pam.d) || fault "pam.d is not as shipped: $differences"
}
