# shellcheck shell=bash
# The life of the package: installed, used, upgraded, removed, installed again, purged, with logins in between.

life() {
    logins_without_ivalt 'before'
    installed
    logins_without_ivalt 'installed'
    enabled
    upgraded
    logins_with_ivalt 'upgraded' ssh sudo su
    removed_while_enabled
    logins_without_ivalt 'removed'
    installed_again
    everywhere
    removed_while_everywhere
    named_by_hand
    edited_since_enabled
    gone_since_enabled
    purged
    logins_without_ivalt 'purged'
    installed
    logins_without_ivalt 'installed after all'
    autopkgtest
}

installed() {
    step 'apt installs the package, nothing in pam.d changes, and nobody is enrolled'
    apt install "$deb" || fault "apt: $(cat "$talk/said")"
    expect_pam_as_shipped
    expect_file /etc/ivalt 755
    expect_file /etc/ivalt/ivalt.toml 600
    expect_file /etc/ivalt/users.toml 600
    expect_same /etc/ivalt/users.toml "$stage/conf/users.toml"
    expect_same /etc/ivalt/ivalt.toml "$stage/conf/ivalt.toml"
    expect_file "$(module)" 644
    [[ $(ivaltctl --version) == "ivaltctl $version" ]] || fault "ivaltctl is $(ivaltctl --version)"
    told
}

module() { echo "/usr/lib/$(dpkg --print-architecture | sed 's/amd64/x86_64/; s/arm64/aarch64/')-linux-gnu/security/pam_ivalt.so"; }

enabled() {
    write_ivalt_settings
    cp -a /etc/ivalt "$stage/settings"
    step 'ivaltctl enable: sudo, su and sshd ask for a token'
    local service
    for service in sudo su sshd; do
        tool_and_sshd enable "$service" --yes
        tool_and_sshd confirm
    done
    told
    logins_with_ivalt 'enabled' ssh sudo su
}

upgraded() {
    step 'an upgrade keeps settings, users and what was enabled'
    cp -a /etc/pam.d "$stage/enabled"
    apt install "$newer" || fault "apt: $(cat "$talk/said")"
    diff -r "$stage/enabled" /etc/pam.d || fault 'pam.d has changed'
    expect_same /etc/ivalt/ivalt.toml "$stage/settings/ivalt.toml"
    expect_same /etc/ivalt/users.toml "$stage/settings/users.toml"
    expect_file /etc/ivalt/ivalt.toml 600
    expect_file /etc/ivalt/ivalt.toml.dpkg-dist 600
    told
}

removed_while_enabled() {
    step 'the removal takes out what ivaltctl enable wrote, and keeps the settings'
    tool disable su --yes
    tool enable su --yes --confirm-within 1h
    apt remove libpam-ivalt || fault "apt: $(cat "$talk/said")"
    expect_removed
    expect_same /etc/ivalt/users.toml "$stage/settings/users.toml"
    expect_same /etc/ivalt/ivalt.toml "$stage/settings/ivalt.toml"
    told
    sleep 0.5
}

expect_removed() {
    expect_pam_as_shipped
    expect_gone /etc/ssh/sshd_config.d/00-ivalt.conf
    expect_gone "$(module)"
    expect_gone /usr/sbin/ivaltctl
    expect_gone /usr/share/pam-configs/ivalt
}

installed_again() {
    step 'installed again, it finds its settings, and nothing is enabled'
    apt install "$deb" || fault "apt: $(cat "$talk/said")"
    expect_pam_as_shipped
    expect_same /etc/ivalt/users.toml "$stage/settings/users.toml"
    expect_same /etc/ivalt/ivalt.toml "$stage/settings/ivalt.toml"
    told
    logins_without_ivalt 'installed again'
}

# Through common-auth sshd's own settings stay: a key alone is enough, and its `password` method carries no token.
everywhere() {
    step 'pam-auth-update switches it on everywhere'
    pam_auth_update --enable ivalt
    grep -qxP 'auth\trequired\t+pam_ivalt.so ?' /etc/pam.d/common-auth || fault 'common-auth does not require pam_ivalt'
    told
    logins_with_ivalt 'everywhere' sudo su
    step 'pam-auth-update switches it off'
    pam_auth_update --disable ivalt
    expect_pam_as_shipped
    told
    logins_without_ivalt 'no longer everywhere'
}

pam_auth_update() { DEBIAN_FRONTEND=noninteractive quietly pam-auth-update "$@" || fault "pam-auth-update: $(cat "$talk/said")"; }

removed_while_everywhere() {
    step 'the removal takes it out of common-auth'
    pam_auth_update --enable ivalt
    apt remove libpam-ivalt || fault "apt: $(cat "$talk/said")"
    expect_removed
    told
    logins_without_ivalt 'removed from everywhere'
    step 'installed again, it is not switched on by itself'
    apt install "$deb" || fault "apt: $(cat "$talk/said")"
    expect_pam_as_shipped
    told
}

named_by_hand() {
    step 'the removal is refused while a line written by hand names the module, and nothing has changed'
    pam_service_as_in conf/pam.d/sudo sudo
    tool enable su --yes
    tool confirm
    pam_auth_update --enable ivalt
    rm -rf "$stage/by-hand" && cp -a /etc/pam.d "$stage/by-hand"
    ! apt remove libpam-ivalt || fault 'it was removed'
    expect_said 'libpam-ivalt is not removed: without the module, nobody could log in where these lines name it.'
    expect_said "  /etc/pam.d/sudo, line $(grep -n '^auth.*pam_ivalt' /etc/pam.d/sudo | cut -d: -f1): auth    required    pam_ivalt.so"
    expect_said "  sed -i '/^[^#]*pam_ivalt/d' FILE"
    diff -r "$stage/by-hand" /etc/pam.d || fault 'pam.d has changed'
    [[ -e $(module) ]] || fault 'the module is gone'
    dpkg-query -W -f '${db:Status-Status}' libpam-ivalt | grep -qx installed || fault 'dpkg takes it for broken'
    told
    pam_auth_update --disable ivalt
    logins_with_ivalt 'after the refusal' sudo su
    step 'with that line taken out as told, the package can be removed'
    sed -i '/^[^#]*pam_ivalt/d' /etc/pam.d/sudo
    apt remove libpam-ivalt || fault "apt: $(cat "$talk/said")"
    cp "$stage/as-shipped/pam.d/sudo" /etc/pam.d/sudo
    expect_removed
    told
    logins_without_ivalt 'removed after the refusal'
    apt install "$deb" || die "apt: $(cat "$talk/said")"
}

edited_since_enabled() {
    step 'the removal is refused where somebody changed what ivaltctl enable wrote'
    tool enable sudo --yes
    tool confirm
    echo '# a word of my own' >>/etc/pam.d/sudo
    ! apt remove libpam-ivalt || fault 'it was removed'
    expect_said '+# a word of my own'
    expect_said 'libpam-ivalt is not removed: without the module, nobody could log in where these lines name it.'
    expect_said "  /etc/pam.d/sudo, line $(grep -n '^auth.*pam_ivalt' /etc/pam.d/sudo | cut -d: -f1): "
    told
    logins_with_ivalt 'after that refusal' sudo
    sed -i '$d' /etc/pam.d/sudo
}

# openssh-server was purged meanwhile, and its file with it.
gone_since_enabled() {
    step 'the removal is not held up by an enabled service that is gone'
    tool enable sshd --yes
    tool confirm
    rm /etc/pam.d/sshd
    apt remove libpam-ivalt || fault "apt: $(cat "$talk/said")"
    expect_gone "$(module)"
    told
    cp "$stage/as-shipped/pam.d/sshd" /etc/pam.d/sshd
    rm -f /etc/ssh/sshd_config.d/00-ivalt.conf
    sshd_as_shipped
    apt install "$deb" || die "apt: $(cat "$talk/said")"
}

purged() {
    step 'purged, nothing of it is left'
    apt purge libpam-ivalt || fault "apt: $(cat "$talk/said")"
    expect_removed
    expect_gone /etc/ivalt
    expect_gone /var/lib/ivalt
    expect_gone /usr/share/doc/libpam-ivalt
    told
}

# As autopkgtest would.
autopkgtest() {
    local names name
    read -ra names < <(sed -n 's/^Tests: //p' "$stage/debian/tests/control")
    for name in "${names[@]}"; do
        step "debian/tests/$name"
        quietly "$stage/debian/tests/$name" || fault "$(cat "$talk/said")"
        told
    done
}
