# shellcheck shell=bash disable=SC2154 # variables of scripts/lib
# `users sync` by its unit and timer: in the unit's sandbox the real ldapsearch asks a real slapd, over TLS.

sync_by_the_timer_case() {
    start_from installed
    guest "$(declare -f start_slapd write_directory unit_ended); start_slapd; write_directory
        systemd-analyze --man=no verify ivaltctl-sync.service ivaltctl-sync.timer
        [[ \$(systemctl is-enabled ivaltctl-sync.timer) == disabled ]] || fault 'the timer is enabled by the package'
        mkdir -p /run/systemd/system/ivaltctl-sync.timer.d
        printf '[Timer]\nOnCalendar=\nRandomizedDelaySec=0\nOnActiveSec=1s\n' >/run/systemd/system/ivaltctl-sync.timer.d/now.conf
        systemctl daemon-reload
        systemctl enable --quiet --now ivaltctl-sync.timer
        wait_for 'the first sync' unit_ended
        [[ \$(systemctl show --value -p Result ivaltctl-sync) == success ]] || fault \"\$(systemctl status ivaltctl-sync)\"
        [[ \$(stat -c '%a %U:%G' /etc/ivalt/synced.toml) == '600 root:root' ]] || fault \"\$(ls -l /etc/ivalt)\"
        grep -qx 'dora = \"+491711000002\"' /etc/ivalt/synced.toml || fault \"\$(cat /etc/ivalt/synced.toml)\"
        [[ \$(stat -c '%a %U:%G' /var/lib/ivalt /var/lib/ivalt/last-sync) == \$'700 root:root\n600 root:root' ]] || fault \"\$(ls -la /var/lib/ivalt)\"
        [[ \$(journal -q SYSLOG_FACILITY=10 -o cat -g '^users sync source=|ivaltctl.*users sync source=' | grep -c 'added=1 .*outcome=done') -eq 1 ]] ||
            fault \"\$(journalctl -q -u ivaltctl-sync; journalctl -q SYSLOG_FACILITY=10)\""
    guest "before=\$(stat -c '%i %Y' /etc/ivalt/synced.toml)
        kill \"\$(cat /run/slapd.pid)\"
        ! systemctl start ivaltctl-sync.service || fault 'it does not fail'
        [[ \$(systemctl show --value -p ExecMainStatus ivaltctl-sync) == 4 ]] || fault \"\$(systemctl status ivaltctl-sync)\"
        journalctl --sync
        { systemctl status ivaltctl-sync || true; } | grep -q 'ivaltctl\[[0-9]*\]: ivaltctl: ' || fault \"the status does not say why: \$(systemctl status ivaltctl-sync)\"
        [[ \$(stat -c '%i %Y' /etc/ivalt/synced.toml) == \"\$before\" ]] || fault 'the file has changed'
        [[ \$(systemctl list-timers --all --no-legend ivaltctl-sync.timer) == *ivaltctl-sync.service ]] || fault \"\$(systemctl list-timers --all)\""
}

unit_ended() { [[ $(systemctl show --value -p ExecMainExitTimestampMonotonic ivaltctl-sync) != 0 ]]; }

# With a certificate for the name of the machine, by which ldapsearch knows itself; dora is in it. Not below /var/tmp, of which the unit has another one.
start_slapd() {
    local folder=/srv/slapd
    mkdir -p "$folder/db"
    openssl req -x509 -newkey rsa:2048 -nodes -days 30 -subj /CN=ca -keyout "$folder/ca.key" -out "$folder/ca.pem" 2>/dev/null
    openssl req -newkey rsa:2048 -nodes -subj /CN=ivalt-test -keyout "$folder/key" -out "$folder/csr" 2>/dev/null
    openssl x509 -req -in "$folder/csr" -CA "$folder/ca.pem" -CAkey "$folder/ca.key" -days 30 -out "$folder/pem" \
        -extfile <(echo subjectAltName=DNS:ivalt-test) 2>/dev/null
    printf '%s\n' 'include /etc/ldap/schema/core.schema' 'include /etc/ldap/schema/cosine.schema' \
        'include /etc/ldap/schema/inetorgperson.schema' 'modulepath /usr/lib/ldap' 'moduleload back_mdb' \
        'pidfile /run/slapd.pid' "TLSCertificateFile $folder/pem" "TLSCertificateKeyFile $folder/key" \
        'database mdb' 'suffix dc=test' 'rootdn cn=sync,dc=test' 'rootpw secret' "directory $folder/db" >"$folder/conf"
    printf '%s\n' 'dn: dc=test' 'objectClass: dcObject' 'objectClass: organization' 'o: test' '' 'dn: uid=dora,dc=test' \
        'objectClass: inetOrgPerson' 'uid: dora' 'cn: dora' 'sn: dora' 'mobile: +49 171 1000002' | slapadd -q -f "$folder/conf"
    slapd -h ldaps:/// -f "$folder/conf"
}

write_directory() {
    write_ivalt_settings
    sed -i '1i synced_users_file = "/etc/ivalt/synced.toml"' /etc/ivalt/ivalt.toml
    printf secret >/etc/ivalt/directory.password
    printf '%s\n' '[ldap]' 'uri = "ldaps://ivalt-test"' 'ca_file = "/srv/slapd/ca.pem"' 'bind = "simple"' \
        'bind_dn = "cn=sync,dc=test"' 'password_file = "/etc/ivalt/directory.password"' 'base = "dc=test"' \
        '[map]' 'mobile = ["mobile"]' >/etc/ivalt/directory.toml
    chmod 0600 /etc/ivalt/directory.*
}
