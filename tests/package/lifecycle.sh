# shellcheck shell=bash
# The package installed, used, upgraded, removed, installed again and purged, with logins in between.

test_lifecycle() {
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
    manually_added_line
    edited_since_enabled
    service_removed_since_enabled
    purged
    logins_without_ivalt 'purged'
    installed
    logins_without_ivalt 'installed after the purge'
    autopkgtest
}

installed() {
    step 'apt installs the package, nothing in pam.d changes, and nobody is enrolled'
    apt install "$deb" || fault "apt: $(cat "$terminal/captured")"
    expect_pam_as_shipped
    expect_file /etc/ivalt 755
    expect_file /etc/ivalt/ivalt.toml 600
    expect_file /etc/ivalt/users.toml 600
    expect_same /etc/ivalt/users.toml "$sandbox/conf/users.toml"
    expect_same /etc/ivalt/ivalt.toml "$sandbox/conf/ivalt.toml"
    expect_file "$(module)" 644
    expect_unit_enabled
    expect_push_folder
    [[ $(ivaltctl --version) == "ivaltctl $version" ]] || fault "ivaltctl is $(ivaltctl --version)"
    report
}

# By deb-systemd-helper, which needs no systemd that runs. The timer of `users sync` is for administrators to enable.
expect_unit_enabled() {
    [[ /etc/systemd/system/sysinit.target.wants/ivaltctl-rollback.service -ef /usr/lib/systemd/system/ivaltctl-rollback.service ]] ||
        fault "the unit is not enabled: $(find /etc/systemd /usr/lib/systemd -name 'ivaltctl*' 2>&1)"
    [[ -e /usr/lib/systemd/system/ivaltctl-sync.service && -e /usr/lib/systemd/system/ivaltctl-sync.timer ]] || fault 'no timer of users sync'
    [[ -z $(find /etc/systemd -name 'ivaltctl-sync*') ]] || fault "enabled: $(find /etc/systemd -name 'ivaltctl-sync*')"
}

# Where nothing makes it, the module does.
expect_push_folder() {
    command -v systemd-tmpfiles >/dev/null || return 0
    expect_file /run/ivalt 700
    expect_file /run/ivalt/push 700
}

module() { echo "/usr/lib/$(dpkg --print-architecture | sed 's/amd64/x86_64/; s/arm64/aarch64/')-linux-gnu/security/pam_ivalt.so"; }

enabled() {
    write_ivalt_settings
    cp -a /etc/ivalt "$sandbox/settings"
    step 'ivaltctl enable: sudo, su and sshd ask for a token'
    local service
    for service in sudo su sshd; do
        run_ivaltctl 0 enable "$service" --yes
        run_ivaltctl 0 confirm
    done
    report
    logins_with_ivalt 'enabled' ssh sudo su
}

upgraded() {
    step 'an upgrade keeps settings, users and enabled services'
    cp -a /etc/pam.d "$sandbox/enabled"
    apt install "$newer" || fault "apt: $(cat "$terminal/captured")"
    diff -r "$sandbox/enabled" /etc/pam.d || fault 'pam.d has changed'
    expect_same /etc/ivalt/ivalt.toml "$sandbox/settings/ivalt.toml"
    expect_same /etc/ivalt/users.toml "$sandbox/settings/users.toml"
    expect_file /etc/ivalt/ivalt.toml 600
    expect_file /etc/ivalt/ivalt.toml.dpkg-dist 600
    report
}

removed_while_enabled() {
    step 'removal undoes ivaltctl enable, and keeps the settings'
    run_ivaltctl 0 disable su --yes
    run_ivaltctl 0 enable su --yes --confirm-within 1h
    apt remove libpam-ivalt || fault "apt: $(cat "$terminal/captured")"
    expect_removed
    expect_same /etc/ivalt/users.toml "$sandbox/settings/users.toml"
    expect_same /etc/ivalt/ivalt.toml "$sandbox/settings/ivalt.toml"
    report
}

expect_removed() {
    expect_pam_as_shipped
    expect_gone /etc/ssh/sshd_config.d/00-ivalt.conf
    expect_gone "$(module)"
    expect_gone /usr/sbin/ivaltctl
    expect_gone /usr/share/pam-configs/ivalt
}

installed_again() {
    step 'installed again, the settings are kept, and nothing but the unit is enabled'
    apt install "$deb" || fault "apt: $(cat "$terminal/captured")"
    expect_unit_enabled
    expect_pam_as_shipped
    expect_same /etc/ivalt/users.toml "$sandbox/settings/users.toml"
    expect_same /etc/ivalt/ivalt.toml "$sandbox/settings/ivalt.toml"
    report
    logins_without_ivalt 'installed again'
}

# pam-auth-update leaves sshd's settings alone: a key is enough, and the `password` method carries no token.
everywhere() {
    step 'pam-auth-update enables it everywhere'
    pam_auth_update --enable ivalt
    grep -qxP 'auth\trequired\t+pam_ivalt.so ?' /etc/pam.d/common-auth || fault 'common-auth does not require pam_ivalt'
    report
    logins_with_ivalt 'everywhere' sudo su
    step 'pam-auth-update disables it'
    pam_auth_update --disable ivalt
    expect_pam_as_shipped
    report
    logins_without_ivalt 'no longer everywhere'
}

pam_auth_update() { DEBIAN_FRONTEND=noninteractive capture pam-auth-update "$@" || fault "pam-auth-update: $(cat "$terminal/captured")"; }

removed_while_everywhere() {
    step 'removal takes the line out of common-auth'
    pam_auth_update --enable ivalt
    apt remove libpam-ivalt || fault "apt: $(cat "$terminal/captured")"
    expect_removed
    report
    logins_without_ivalt 'removed from everywhere'
    step 'installed again, it is not enabled automatically'
    apt install "$deb" || fault "apt: $(cat "$terminal/captured")"
    expect_pam_as_shipped
    report
}

manually_added_line() {
    step 'removal is refused while a manually added line names the module, and changes nothing'
    pam_service_from conf/pam.d/sudo sudo
    run_ivaltctl 0 enable su --yes
    run_ivaltctl 0 confirm
    pam_auth_update --enable ivalt
    cp -a /etc/pam.d "$sandbox/edited"
    ! apt remove libpam-ivalt || fault 'it was removed'
    expect_captured 'libpam-ivalt is not removed: without the module, nobody could log in where these lines name it.'
    expect_captured "  /etc/pam.d/sudo, line $(grep -n '^auth.*pam_ivalt' /etc/pam.d/sudo | cut -d: -f1): auth    required    pam_ivalt.so"
    expect_captured 'Remove these lines in an editor, each with the lines it is continued on'
    expect_not_captured 'sed -i'
    diff -r "$sandbox/edited" /etc/pam.d || fault 'pam.d has changed'
    [[ -e $(module) ]] || fault 'the module is gone'
    dpkg-query -W -f '${db:Status-Status}' libpam-ivalt | grep -qx installed || fault 'dpkg considers it broken'
    report
    pam_auth_update --disable ivalt
    logins_with_ivalt 'after the refusal' sudo su
    step 'with that line removed, the package can be removed'
    sed -i '/^[^#]*pam_ivalt/d' /etc/pam.d/sudo
    apt remove libpam-ivalt || fault "apt: $(cat "$terminal/captured")"
    cp "$sandbox/as-shipped/pam.d/sudo" /etc/pam.d/sudo
    expect_removed
    report
    logins_without_ivalt 'removed after the refusal'
    apt install "$deb" || die "apt: $(cat "$terminal/captured")"
}

edited_since_enabled() {
    step 'removal is refused where a file was edited since ivaltctl enable'
    run_ivaltctl 0 enable sudo --yes
    run_ivaltctl 0 enable su --yes
    run_ivaltctl 0 confirm
    echo '# a word of my own' >>/etc/pam.d/sudo
    rm -rf "$sandbox/edited"
    cp -a /etc/pam.d "$sandbox/edited"
    ! apt remove libpam-ivalt || fault 'it was removed'
    expect_captured '+# a word of my own'
    expect_captured 'libpam-ivalt is not removed: without the module, nobody could log in where these lines name it.'
    expect_captured "  /etc/pam.d/sudo, line $(grep -n '^auth.*pam_ivalt' /etc/pam.d/sudo | cut -d: -f1): "
    diff -r "$sandbox/edited" /etc/pam.d || fault 'iVALT was disabled elsewhere'
    report
    logins_with_ivalt 'after that refusal' sudo su
    sed -i '$d' /etc/pam.d/sudo
    step 'removal is refused where ivaltctl disable fails, and iVALT stays on'
    pam_auth_update --enable ivalt
    rm -rf "$sandbox/edited"
    cp -a /etc/pam.d "$sandbox/edited"
    mount --bind /etc/pam.d/sudo /etc/pam.d/sudo
    ! apt remove libpam-ivalt || fault 'it was removed'
    umount /etc/pam.d/sudo
    expect_captured "  /etc/pam.d/sudo, line $(grep -n '^auth.*pam_ivalt' /etc/pam.d/sudo | cut -d: -f1): "
    diff -r "$sandbox/edited" /etc/pam.d || fault 'iVALT was disabled elsewhere'
    pam_auth_update --disable ivalt
    report
    step 'removal is refused where a file that is included from elsewhere, or a vendor, names the module'
    printf 'auth include %s\n' "$sandbox/elsewhere" >/etc/pam.d/elsewhere
    printf 'auth substack %s\n' "$sandbox/further" >"$sandbox/elsewhere"
    echo 'auth required pam_ivalt.so' >"$sandbox/further"
    mkdir -p /usr/lib/pam.d
    printf '# pam_ivalt\nauth required pam_ivalt.so debug\n' >/usr/lib/pam.d/vendor
    cp -a /etc/pam.d/. "$sandbox/edited"
    ! apt remove libpam-ivalt || fault 'it was removed'
    expect_captured "  $sandbox/further, line 1: auth required pam_ivalt.so"
    expect_captured '  /usr/lib/pam.d/vendor, line 2: auth required pam_ivalt.so debug'
    diff -r "$sandbox/edited" /etc/pam.d || fault 'iVALT was disabled elsewhere'
    rm /usr/lib/pam.d/vendor /etc/pam.d/elsewhere "$sandbox/elsewhere" "$sandbox/further"
    report
    step 'removal is refused where a copy of common-auth names the module, and iVALT stays on everywhere'
    pam_auth_update --enable ivalt
    cp /etc/pam.d/common-auth /etc/pam.d/common-auth-vpn
    rm -rf "$sandbox/edited"
    cp -a /etc/pam.d "$sandbox/edited"
    ! apt remove libpam-ivalt || fault 'it was removed'
    expect_captured "  /etc/pam.d/common-auth-vpn, line $(grep -n pam_ivalt /etc/pam.d/common-auth | cut -d: -f1): "
    diff -r "$sandbox/edited" /etc/pam.d || fault 'iVALT was disabled elsewhere'
    rm /etc/pam.d/common-auth-vpn
    pam_auth_update --disable ivalt
    report
    step 'removal is refused where pam-auth-update refuses, and iVALT stays on everywhere'
    pam_auth_update --enable ivalt
    sed -i '/^# here are the per-package modules/a auth\toptional\tpam_faildelay.so' /etc/pam.d/common-auth
    rm -rf "$sandbox/edited"
    cp -a /etc/pam.d "$sandbox/edited"
    ! apt remove libpam-ivalt || fault 'it was removed'
    expect_captured 'Local modifications to /etc/pam.d/common-*, not updating.'
    expect_captured "/etc/pam.d/common-auth:$(grep -n pam_ivalt /etc/pam.d/common-auth | cut -d: -f1):"
    diff -r "$sandbox/edited" /etc/pam.d || fault 'iVALT was disabled elsewhere'
    sed -i '/pam_faildelay.so$/d' /etc/pam.d/common-auth
    pam_auth_update --disable ivalt
    report
}

# As if openssh-server had been purged, and its file with it.
service_removed_since_enabled() {
    step 'removal is not blocked by an enabled service that no longer exists'
    run_ivaltctl 0 enable sshd --yes
    run_ivaltctl 0 confirm
    rm /etc/pam.d/sshd
    apt remove libpam-ivalt || fault "apt: $(cat "$terminal/captured")"
    expect_gone "$(module)"
    report
    cp "$sandbox/as-shipped/pam.d/sshd" /etc/pam.d/sshd
    rm -f /etc/ssh/sshd_config.d/00-ivalt.conf
    sshd_as_shipped
    apt install "$deb" || die "apt: $(cat "$terminal/captured")"
}

# All that ivaltctl writes, also what a killed one leaves, and by any name that `synced_users_file` gives.
write_everything() {
    local name
    run_ivaltctl 0 users add visitor +4915112345699
    for name in accepted directory hr; do touch "/etc/ivalt/$name.toml"; done
    for name in users accepted hr; do touch /etc/ivalt/."$name".toml.{lock,new}; done
    touch /etc/ivalt/.users.toml.dpkg-new
    mkdir -p /var/lib/ivalt/{recovery/alice,sync} /run/ivalt/push
    touch /var/lib/ivalt/{.sudo.json.new,etc-pam.d-sudo.edited,recovery/alice/1,sync/hr,last-sync} /run/ivalt/push/1
    # Which is meant for scripts of packages.
    DPKG_MAINTSCRIPT_PACKAGE=libpam-ivalt deb-systemd-helper enable ivaltctl-sync.timer
    install -D /dev/null /var/lib/systemd/timers/stamp-ivaltctl-sync.timer
    # As if the ssh server had been purged before, while iVALT was enabled for it.
    # shellcheck disable=SC2016 # no command
    echo '# By `ivaltctl enable`; `ivaltctl disable` puts the file back as it was.' >/etc/ssh/sshd_config.d/00-ivalt.conf
    touch /etc/ssh/sshd_config.d/.00-ivalt.conf.new
}

removed_and_purged() {
    step 'removal keeps settings, users, recovery codes and saved states'
    write_everything
    kept_at_removal >"$sandbox/kept"
    apt remove libpam-ivalt || fault "apt: $(cat "$terminal/captured")"
    kept_at_removal | diff "$sandbox/kept" - || fault 'something is missing or new'
    report
    step "an administrator's own files stay when it is purged, and with them the folder"
    touch /etc/ivalt/ca.pem /etc/ivalt/mine.toml
    apt purge libpam-ivalt || fault "apt: $(cat "$terminal/captured")"
    [[ $(find /etc/ivalt -type f | sort | xargs) == '/etc/ivalt/ca.pem /etc/ivalt/mine.toml' ]] || fault "left: $(ls -lA /etc/ivalt)"
    report
    rm /etc/ivalt/ca.pem /etc/ivalt/mine.toml
    apt install "$deb" || die "apt: $(cat "$terminal/captured")"
}

kept_at_removal() { find /etc/ivalt /etc/ssh /var/lib/ivalt /run/ivalt -printf '%p %m %s\n' | sort; }

purged() {
    removed_and_purged
    step 'purged, nothing is left'
    write_everything
    apt purge libpam-ivalt || fault "apt: $(cat "$terminal/captured")"
    expect_removed
    [[ -z $(left_over) ]] || fault "left: $(left_over)"
    report
}

# Without the package itself and the checkout, which are mounted below /run.
left_over() { find /etc /var /run /usr -xdev -path "$sandbox" -prune -o -name '*ivalt*' -print; }

# As autopkgtest would.
autopkgtest() {
    local names name
    read -ra names < <(sed -n 's/^Tests: //p' "$sandbox/debian/tests/control")
    for name in "${names[@]}"; do
        step "debian/tests/$name"
        capture "$sandbox/debian/tests/$name" || fault "$(cat "$terminal/captured")"
        report
    done
}
