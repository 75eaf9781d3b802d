# shellcheck shell=bash
# The real slapd and an MIT KDC: ways to bind, TLS, limits, locked accounts, faults midway.

ca=$directory/ca.pem

setup_slapd() {
    make_certificates
    write_slapd_conf
    write_people >"$directory/people.ldif"
    mkdir -p "$directory/db" /run/slapd
    slapadd -q -f "$directory/slapd.conf" -l "$directory/people.ldif" || die 'slapadd failed'
    make_realm
    start_slapd
    add_groups
}

# `certificate NAME SUBJECT [SUBJECT_ALT_NAME]`, of the CA.
certificate() {
    openssl req -newkey rsa:2048 -nodes -subj "$2" -keyout "$directory/$1.key" -out "$directory/$1.csr"
    printf '%s\n' "${3:+subjectAltName=$3}" >"$directory/$1.ext"
    openssl x509 -req -in "$directory/$1.csr" -CA "$ca" -CAkey "$directory/ca.key" -CAcreateserial -days 30 \
        -extfile "$directory/$1.ext" -out "$directory/$1.pem"
} 2>/dev/null

authority() {
    openssl req -x509 -newkey rsa:2048 -nodes -days 30 -subj "/CN=$1" -keyout "$directory/$1.key" -out "$directory/$1.pem" \
        2>/dev/null
}

make_certificates() {
    authority ca
    authority other-ca
    certificate server /CN=ldap.test DNS:ldap.test
    certificate client /O=lab/CN=host1.test
    chmod 0600 "$directory"/*.key
}

write_slapd_conf() {
    cat >"$directory/slapd.conf" <<-END
		include /etc/ldap/schema/core.schema
		include /etc/ldap/schema/cosine.schema
		include /etc/ldap/schema/nis.schema
		include /etc/ldap/schema/inetorgperson.schema
		modulepath /usr/lib/ldap
		moduleload back_mdb
		moduleload memberof
		moduleload ppolicy
		loglevel 0
		pidfile $directory/slapd.pid
		TLSCACertificateFile $ca
		TLSCertificateFile $directory/server.pem
		TLSCertificateKeyFile $directory/server.key
		TLSVerifyClient try
		sasl-host ldap.test
		sasl-realm TEST
		sizelimit size.soft=500 size.hard=500 size.prtotal=unlimited
		authz-regexp cn=host1.test,o=lab cn=sync,dc=test
		authz-regexp gidNumber=0\\\\+uidNumber=0,cn=peercred,cn=external,cn=auth cn=sync,dc=test
		authz-regexp uid=sync,(cn=[^,]*,)?cn=gssapi,cn=auth cn=sync,dc=test
		database mdb
		maxsize 1073741824
		suffix dc=test
		rootdn cn=admin,dc=test
		rootpw admin
		directory $directory/db
		index objectClass,uid eq
		limits dn.exact=cn=unpaged,dc=test size.soft=unlimited size.hard=unlimited size.prtotal=disabled
		limits dn.exact=cn=limited,dc=test size.soft=500 size.hard=500 size.prtotal=500
		access to attrs=userPassword by anonymous auth by * none
		access to dn.subtree=ou=people,dc=test by dn.exact=cn=blind,dc=test search by dn.exact=cn=nameless,dc=test search by users read by * none
		access to * by * read
		overlay memberof
		overlay ppolicy
	END
}

entry() { printf '%s\n' "$@" ''; }

# `person NAME NUMBER [LINE…]`
person() {
    entry "dn: uid=$1,ou=people,dc=test" 'objectClass: inetOrgPerson' 'objectClass: posixAccount' \
        'objectClass: shadowAccount' "uid: $1" "cn: $1" 'sn: x' "uidNumber: $2" 'gidNumber: 100' "homeDirectory: /home/$1" \
        "${@:3}"
}

write_people() {
    local account
    entry 'dn: dc=test' 'objectClass: dcObject' 'objectClass: organization' 'o: test' 'dc: test'
    for account in people crowd groups; do
        entry "dn: ou=$account,dc=test" 'objectClass: organizationalUnit' "ou: $account"
    done
    for account in sync blind unpaged limited; do
        entry "dn: cn=$account,dc=test" 'objectClass: organizationalRole' 'objectClass: simpleSecurityObject' \
            "cn: $account" "userPassword: $account secret"
    done
    person alice 1001 'mobile: +49 171 1000001'
    person bob 1002 'mobile: +49 171 1000002' 'pwdAccountLockedTime: 000001010000Z'
    person carol 1003 'mobile: +49 171 1000003' "pwdAccountLockedTime: $(date -u +%Y%m%d%H%M%SZ)"
    person dave 1004 'mobile: +49 171 1000004' 'shadowExpire: 1'
    person erin 1005 'mobile: +49 171 1000005' 'mobile: +49 171 1000006'
    person frank 1006
    person root 1007 'mobile: +49 171 6666666'
    person toor 0 'mobile: +49 171 6666667'
    entry 'dn:: dWlkPWrDtnJnLG91PXBlb3BsZSxkYz10ZXN0' 'objectClass: inetOrgPerson' 'uid:: asO2cmc=' 'cn: j' 'sn: x' \
        'mobile: +49 171 1000007'
    seq -f %04g 0 1199 | sed 's/.*/dn: uid=m&,ou=crowd,dc=test\nobjectClass: inetOrgPerson\nuid: m&\ncn: x\nsn: x\nmobile: +49171200&\n/'
}

# By the running slapd, whose overlay keeps memberOf.
add_groups() {
    {
        entry 'dn: cn=token,ou=groups,dc=test' 'objectClass: groupOfNames' 'cn: token' \
            'member: uid=alice,ou=people,dc=test' 'member: uid=dave,ou=people,dc=test'
        entry 'dn: cn=typo,ou=groups,dc=test' 'objectClass: groupOfNames' 'cn: typo' 'member: cn=sync,dc=test'
    } | ldapadd -x -H "$ldapi" -D cn=admin,dc=test -w admin >/dev/null
}

make_realm() {
    kerberos_client TEST .test
    mkdir -p /etc/krb5kdc /var/lib/krb5kdc
    printf '%s\n' '[realms]' 'TEST = {' '}' >/etc/krb5kdc/kdc.conf
    {
        kdb5_util create -s -r TEST -P realm-secret
        kadmin.local addprinc -randkey ldap/ldap.test
        kadmin.local addprinc -randkey sync
        kadmin.local addprinc -randkey gone
        kadmin.local ktadd -k "$directory/slapd.keytab" ldap/ldap.test
        kadmin.local ktadd -k "$directory/sync.keytab" sync
        kadmin.local ktadd -k "$directory/gone.keytab" gone
        kadmin.local delprinc -force gone
    } >"$directory/realm.log" 2>&1 || die "the realm could not be made: $(tail -n 3 "$directory/realm.log")"
    setsid krb5kdc -n </dev/null >"$directory/kdc.log" 2>&1 &
}

ldapi=ldapi://${directory//\//%2F}%2Fldapi

start_slapd() {
    KRB5_KTNAME=$directory/slapd.keytab setsid /usr/sbin/slapd -d 0 -h "ldap://127.0.0.1 ldaps://127.0.0.1 $ldapi" -f "$directory/slapd.conf" \
        </dev/null >"$directory/slapd.log" 2>&1 &
    wait_for slapd port_open 636
}

# `ask LINE…`: with a simple bind as cn=sync, everybody in ou=people.
simple() {
    directory_toml '[ldap]' "base = \"ou=people,dc=test\"" "ca_file = \"$ca\"" \
        "bind_dn = \"cn=${account:-sync},dc=test\"" "password_file = \"$(secret_file password "${password:-${account:-sync} secret}")\"" \
        "$@" '[map]' 'mobile = ["mobile"]' 'country = "49"' 'trunk = "0"'
}

tls='uri = "ldaps://ldap.test"'
