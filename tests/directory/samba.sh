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

# Disabled and expired; in a group that is in the group.
people_of_ad=(
    'alice = "+491711000001"'
    'bob = "+491711000002"'
    'carol = { mobile = "+491711000003", enabled = false }'
    'dave = { mobile = "+491711000004", enabled = false }'
)

ad='uri = "ldaps://dc1.ad.test"'

domain_case() {
    ad_settings employeeNumber "$ad" "$(ad_password)"
    sync_people 0
    expect_people "${people_of_ad[@]}"
    expect_captured '"source":"ldaps://dc1.ad.test"'
    # Its rules are known.
    expect_not_captured 'its own rules'
    ad_settings employeeNumber 'uri = "ldap://dc1.ad.test"' 'starttls = true' "$(ad_password)"
    sync_people 0
    expect_captured '"changed":false'
}

domain_by_keytab_case() {
    local uri
    for uri in ldap ldaps; do
        ad_settings employeeNumber "uri = \"$uri://dc1.ad.test\"" 'bind = "gssapi"' "keytab = \"$directory/sync.keytab\""
        sync_people 0
        expect_people "${people_of_ad[@]}"
    done
    ad_settings employeeNumber 'uri = "ldap://dc1.ad.test"' 'starttls = true' 'bind = "gssapi"' \
        "keytab = \"$directory/sync.keytab\""
    sync_people 0
    expect_people "${people_of_ad[@]}"
}

# What alice can do with her password is what is refused; what she cannot is taken.
written_by_oneself_case() {
    local attribute
    for attribute in mobile telephoneNumber otherMobile pager ipPhone info; do
        alice_writes "$attribute" 0
        ad_settings "$attribute" "$ad" "$(ad_password)"
        expect_no_answer 1 "everybody may change $attribute in the own entry (Active Directory's property set "
    done
    ad_settings employeeNumber "$ad" "$(ad_password)"
    sed -i 's/"sAMAccountName"/"info"/' /etc/ivalt/directory.toml
    expect_no_answer 1 'everybody may change info in the own entry'
    for attribute in employeeNumber sAMAccountName; do alice_writes "$attribute" 50; done
    ad_settings mobile "$ad" "$(ad_password)" '[guard]' 'self_writable = "accept"'
    sync_people 0
    expect_people 'alice = "+15550666"' 'bob = "+491716666666"' 'carol = { mobile = "+491716666666", enabled = false }' \
        'dave = { mobile = "+491716666666", enabled = false }'
    ad_settings employeNumber "$ad" "$(ad_password)"
    sync_people 1
    expect_captured 'its schema has no attribute employeNumber'
}

# `alice_writes ATTRIBUTE STATUS`: with her password, in her own entry.
alice_writes() {
    local ending=0
    printf '%s\n' "dn: CN=alice,CN=Users,$domain" 'changetype: modify' "replace: $1" "$1: +15550666" |
        LDAPTLS_CACERT=/var/lib/samba/private/tls/ca.pem ldapmodify -x -H ldaps://dc1.ad.test -D alice@ad.test \
            -y "$(secret_file alice Al1ce-secret)" >/dev/null 2>&1 || ending=$?
    [[ $ending -eq $2 ]] || fault "alice writes her own $1: $ending instead of $2"
}

# More than AD gives at once; 1200 of them disabled.
domain_pages_case() {
    ad_settings employeeNumber "$ad" "$(ad_password)" 'page = 1000'
    sed -i 's/^filter = .*/filter = "(\&(objectClass=user)(employeeNumber=*))"/' /etc/ivalt/directory.toml
    sync_people 0
    [[ $(grep -c '^m[0-9]* = { mobile = "+49171200[0-9]*", enabled = false }$' "$synced") -eq 1200 ]] ||
        fault "$(wc -l <"$synced") lines were written"
    [[ $(grep -c '^[a-z]* = ' "$synced") -eq 4 ]] || fault 'alice, bob, carol and dave are missing'
}

domain_refuses_case() {
    ad_settings employeeNumber "$ad" 'bind_dn = "nobody@ad.test"' \
        "password_file = \"$(secret_file password Syn-c1-secret)\""
    expect_no_answer 4 'refuses ldap.bind_dn nobody@ad.test'
    ad_settings employeeNumber 'uri = "ldaps://other.test"' "$(ad_password)"
    expect_no_answer 4 'ldaps://other.test: TLS: certificate is for another name'
    # Which no settings of ours send: a bind without TLS is refused there, too.
    run_captured 8 ldapsearch -x -H ldap://dc1.ad.test -D svcsync@ad.test -y "$directory/password" -b "$domain"
    ad_settings employeeNumber "$ad" "$(ad_password)"
    sed -i 's/CN=token/CN=tokens/' /etc/ivalt/directory.toml
    expect_no_answer 1 'nobody'
}
