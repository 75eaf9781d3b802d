# shellcheck shell=bash
# A real domain of Samba, which answers as Active Directory does: disabled, expired and nested, attributes that people may
# write themselves, binds without TLS, Kerberos, more entries than a page.

domain=DC=ad,DC=test

setup_samba() {
    hostname dc1
    rm -f /etc/samba/smb.conf
    samba-tool domain provision --use-rfc2307 --realm=AD.TEST --domain=ADT --server-role=dc --dns-backend=SAMBA_INTERNAL \
        --adminpass=Adm1n-secret --host-ip=127.0.0.1 --host-name=dc1 --option='interfaces = lo' \
        --option='bind interfaces only = yes' >"$directory/provision.log" 2>&1 ||
        die "the domain could not be made: $(tail -n 3 "$directory/provision.log")"
    kerberos_client AD.TEST .ad.test
    make_users >"$directory/users.log" 2>&1 || die "users could not be made: $(tail -n 3 "$directory/users.log")"
    mkdir -p /run/samba /var/log/samba
    setsid samba -F --no-process-group -d 0 </dev/null >"$directory/samba.log" 2>&1 &
    wait_for 'the domain' port_open 636
    wait_for 'its name' ldap_answers
}

ldap_answers() { ldapsearch -x -LLL -H ldap://dc1.ad.test -s base -b '' defaultNamingContext >/dev/null 2>&1; }

make_users() {
    samba-tool user create svcsync Syn-c1-secret
    samba-tool user create alice Al1ce-secret
    samba-tool user create bob B0b-secret-1
    samba-tool user create carol Car0l-secret
    samba-tool user create dave Dav3-secret-1
    samba-tool user disable carol
    samba-tool user setexpiry dave --days=0
    samba-tool group add ops
    samba-tool group add token
    samba-tool group addmembers ops alice,carol,dave
    samba-tool group addmembers token ops,bob
    samba-tool domain exportkeytab "$directory/sync.keytab" --principal=svcsync@AD.TEST
    {
        number alice 1
        number bob 2
        number carol 3
        number dave 4
        # Disabled: such have no password.
        seq -f %04g 0 1199 | sed "s/.*/dn: CN=m&,CN=Users,$domain\nchangetype: add\nobjectClass: user\nsAMAccountName: m&\nuserAccountControl: 514\nemployeeNumber: 0171 200&\n/"
    } >"$directory/changes.ldif"
    ldbmodify -H /var/lib/samba/private/sam.ldb "$directory/changes.ldif"
}

# `number NAME DIGIT`: a mobile of the person's own hand, and one of the administrators'.
number() {
    printf '%s\n' "dn: CN=$1,CN=Users,$domain" 'changetype: modify' 'add: mobile' 'mobile: 0171 6666666' '-' \
        'add: employeeNumber' "employeeNumber: 0171 100000$2" ''
}

# `ad_settings ATTRIBUTE LINE…`: everybody in the group token, and in the groups in it.
ad_settings() {
    directory_toml '[ldap]' "base = \"$domain\"" 'ca_file = "/var/lib/samba/private/tls/ca.pem"' \
        "filter = \"(&(objectClass=user)(memberOf:1.2.840.113556.1.4.1941:=CN=token,CN=Users,$domain))\"" "${@:2}" \
        '[map]' 'name = "sAMAccountName"' "mobile = [\"$1\"]" 'country = "49"' 'trunk = "0"'
}

ad_password() {
    printf 'bind_dn = "svcsync@ad.test"\npassword_file = "%s"\n' "$(secret_file password Syn-c1-secret)"
}
