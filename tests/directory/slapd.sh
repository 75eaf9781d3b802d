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

# `simple LINE…`: a simple bind as cn=$account, everybody in ou=people.
account=sync
simple() {
    directory_toml '[ldap]' 'base = "ou=people,dc=test"' "ca_file = \"${trusted:-$ca}\"" "bind_dn = \"cn=$account,dc=test\"" \
        "password_file = \"$(secret_file password "${password-$account secret}")\"" "$@" "${map[@]}"
}

# `other_bind LINE…`: the same with another bind.
other_bind() { directory_toml '[ldap]' 'base = "ou=people,dc=test"' "ca_file = \"$ca\"" "$@" "${map[@]}"; }

map=('[map]' 'mobile = ["mobile"]' 'country = "49"' 'trunk = "0"')
ldaps='uri = "ldaps://ldap.test"'

# Whoever the directory says is locked for good or has expired is disabled; who has no mobile, or two, is a problem, and
# nobody becomes root.
everybody=(
    'alice = "+491711000001"'
    'bob = { mobile = "+491711000002", enabled = false }'
    'carol = "+491711000003"'
    'dave = { mobile = "+491711000004", enabled = false }'
    '"jörg" = "+491711000007"'
)

expect_everybody() {
    expect_people "${everybody[@]}"
    expect_captured "\"source\":\"$1\""
}

ldaps_case() {
    simple "$ldaps"
    sync_people 0
    expect_everybody ldaps://ldap.test
    expect_captured 'its own rules decide who may write mobile'
    simple "$ldaps" '[guard]' 'self_writable = "accept"'
    sync_people 0
    expect_not_captured 'its own rules'
    expect_people "${everybody[@]}"
}

starttls_case() {
    recording_relay 1389 389
    simple 'uri = "ldap://ldap.test:1389"' 'starttls = true'
    sync_people 0
    expect_everybody ldap://ldap.test:1389
    expect_encrypted
}

external_by_socket_case() {
    other_bind 'uri = "ldapi://%2Frun%2Fno-such-socket"' 'bind = "external"'
    expect_no_answer 4 'ldapi://%2Frun%2Fno-such-socket: it cannot be reached (ldap_sasl_interactive_bind: '
    other_bind "uri = \"$ldapi\"" 'bind = "external"'
    sync_people 0
    expect_everybody "$ldapi"
}

external_by_certificate_case() {
    other_bind "$ldaps" 'bind = "external"' "cert_file = \"$directory/client.pem\"" "key_file = \"$directory/client.key\""
    sync_people 0
    expect_everybody ldaps://ldap.test
}

# `kerberos NAME LINE…`: as the principal NAME.
kerberos() { other_bind 'bind = "gssapi"' "keytab = \"$directory/$1.keytab\"" "${@:2}"; }

kerberos_case() {
    kerberos sync 'uri = "ldap://ldap.test"'
    sync_people 0
    expect_everybody ldap://ldap.test
    # No ticket is left behind, and none that is there is used.
    [[ -z $(ls /tmp/krb5cc_* 2>/dev/null) ]] || fault 'there are tickets in /tmp'
    kerberos sync "$ldaps"
    sync_people 0
    kerberos sync 'uri = "ldap://ldap.test"' 'starttls = true'
    sync_people 0
    expect_people "${everybody[@]}"
}

# The answer is encrypted by Kerberos alone, or not believed.
kerberos_encrypts_case() {
    kerberos sync 'uri = "ldap://ldap.test:1389"'
    recording_relay 1389 389
    sync_people 0
    expect_encrypted
}

kerberos_without_account_case() {
    kerberos gone 'uri = "ldap://ldap.test"'
    expect_no_answer 4 "Client 'gone@TEST' not found in Kerberos database"
    expect_captured "klist -kte $directory/gone.keytab"
}

# Why it cannot be reached, where ldapsearch says the same to all of these.
not_reached_case() {
    local trusted
    trusted=$directory/other-ca.pem
    simple "$ldaps"
    expect_no_answer 4 "ldaps://ldap.test: TLS: certificate of an unknown issuer (trusted: $trusted)"
    simple 'uri = "ldap://ldap.test"' 'starttls = true'
    expect_no_answer 4 "ldap://ldap.test: TLS: certificate of an unknown issuer (trusted: $trusted)"
    trusted=''
    simple 'uri = "ldaps://other.test"'
    expect_no_answer 4 'ldaps://other.test: TLS: certificate is for another name'
    simple 'uri = "ldaps://ldap.test:389"'
    expect_no_answer 4 'ldaps://ldap.test:389: TLS: the server closed the connection'
    simple 'uri = "ldaps://ldap.test:1"'
    expect_no_answer 4 'ldaps://ldap.test:1: 127.0.0.1:1: connection refused'
    simple 'uri = "ldaps://nowhere.test"'
    expect_no_answer 4 'ldaps://nowhere.test: no answer from the name server (nowhere.test)'
}

# What would switch verification off for any other program.
nothing_else_is_obeyed_case() {
    local trusted=$directory/other-ca.pem file
    printf '%s\n' 'TLS_REQCERT never' "TLS_CACERT $ca" 'SIZELIMIT 1' 'BASE dc=nowhere' >/etc/ldap/ldap.conf
    for file in /ldaprc /.ldaprc ~/ldaprc ~/.ldaprc; do cp /etc/ldap/ldap.conf "$file"; done
    printf 'dn: cn=x\n' | (cd / && LDAPTLS_REQCERT=never ldapsearch -x -H ldaps://other.test -s base -b '') >/dev/null ||
        fault 'ldapsearch itself does not obey them'
    simple 'uri = "ldaps://other.test"'
    run_captured 4 env LDAPTLS_REQCERT=never "LDAPTLS_CACERT=$ca" LDAPCONF=/etc/ldap/ldap.conf HOME=/root \
        ivaltctl users sync --json
    expect_captured 'TLS: certificate of an unknown issuer'
    simple 'uri = "ldap://ldap.test"' 'starttls = true'
    run_captured 4 env LDAPTLS_REQCERT=never "LDAPTLS_CACERT=$ca" HOME=/root ivaltctl users sync --json
    expect_captured 'TLS: certificate of an unknown issuer'
    expect_nothing_written
    trusted=''
    simple "$ldaps"
    sync_people 0
    expect_people "${everybody[@]}"
    rm -f /ldaprc /.ldaprc ~/ldaprc ~/.ldaprc /etc/ldap/ldap.conf
}

wrong_password_case() {
    local password='no such password'
    simple 'uri = "ldaps://ldap.test ldaps://ldap.test:1640"'
    perl_server 1640 'open my $f, ">", "/run/sandbox/directory/asked"; close $f'
    # To see whether it listens, it was connected to.
    wait_for 'its first connection' test -e "$directory/asked"
    rm "$directory/asked"
    expect_no_answer 4 "refuses ldap.bind_dn cn=sync,dc=test with the password in $directory/password: invalid credentials"
    [[ ! -e $directory/asked ]] || fault 'wrong credentials were tried at the next server'
    expect_not_captured "$password"
}

# A bind without a password would succeed, as nobody.
password_file_case() {
    local password=''
    simple "$ldaps"
    expect_no_answer 1 "ldap.password_file: $directory/password: must hold the password alone, in one line"
    password=$'sync secret\n'
    simple "$ldaps"
    sync_people 0
    expect_people "${everybody[@]}"
    rm "$synced"
    chmod 0644 "$directory/password"
    expect_no_answer 1 "ldap.password_file: $directory/password: holds a secret and is readable by group or others"
    chmod 0600 "$directory/password"
}

ca_file_case() {
    local trusted=$directory/no-ca.pem
    cp "$directory/ca.key" "$trusted"
    simple "$ldaps"
    expect_no_answer 1 "ldap.ca_file: $trusted: holds no certificate in PEM form"
    rm "$trusted"
    expect_no_answer 1 "ldap.ca_file: $trusted: does not exist"
}

# 1200 people, of whom the server gives 500 at once.
pages_case() {
    simple "$ldaps"
    sed -i 's/ou=people/ou=crowd/' /etc/ivalt/directory.toml
    sync_people 0
    [[ $(grep -c '^m[0-9]* = "+49171200[0-9]*"$' "$synced") -eq 1200 ]] || fault "$(wc -l <"$synced") lines were written"
}

limits_case() {
    account=limited
    simple "$ldaps"
    sed -i 's/ou=people/ou=crowd/' /etc/ivalt/directory.toml
    expect_no_answer 4 'only a part of the entries came, because of a limit of the server'
    account=unpaged
    simple "$ldaps"
    expect_no_answer 4 'the server does not let this account ask page by page'
}

# An account without rights and a mistyped group both get "no entries, success".
nobody_case() {
    local before
    simple "$ldaps"
    sync_people 0
    before=$(stat -c '%i %Y' "$synced")
    account=blind
    simple "$ldaps"
    sync_people 1
    simple_group tokens
    sync_people 1
    simple_group typo
    sync_people 1
    expect_people "${everybody[@]}"
    [[ $(stat -c '%i %Y' "$synced") == "$before" ]] || fault 'the file was replaced'
}

simple_group() {
    account=sync
    simple "$ldaps" "filter = \"(memberOf=cn=$1,ou=groups,dc=test)\""
}

group_case() {
    simple_group token
    sync_people 0
    expect_people 'alice = "+491711000001"' 'dave = { mobile = "+491711000004", enabled = false }'
}

base_and_filter_case() {
    simple "$ldaps"
    sed -i 's/ou=people/ou=peple/' /etc/ivalt/directory.toml
    expect_no_answer 4 'ldap.base does not exist there, or this account may not see it'
    simple "$ldaps" 'filter = "((uid=*)"'
    expect_no_answer 4 'ldap.filter is no filter'
    simple "$ldaps" '[map.x]'
    expect_no_answer 1 '/etc/ivalt/directory.toml:'
    simple "$ldaps"
    sed -i 's/^\[map\]/&\nname = "userid"/' /etc/ivalt/directory.toml
    expect_no_answer 1 'none of the 9 entries found has userid: this account may not read it, or the server calls it otherwise'
}

# As of FreeIPA, by the one thing that tells it: the root DSE.
freeipa_case() {
    mkdir -p "$directory/ipa"
    printf 'dn:\nipaTopologyPluginVersion: 1.0\n' >"$directory/root-dse"
    sed -e "s|^directory .*|directory $directory/ipa|" -e 's/^overlay .*//' -e '/^limits/d' \
        -e "s|^pidfile.*|attributetype ( 1.3.6.1.4.1.32473.1 NAME 'ipaTopologyPluginVersion' SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 )\nrootDSE $directory/root-dse|" \
        "$directory/slapd.conf" >"$directory/ipa.conf"
    start_host ipa /usr/sbin/slapd -d 0 -h ldaps://127.0.0.1:1638 -f "$directory/ipa.conf"
    wait_for 'its port' port_open 1638
    local account=admin password=admin
    simple 'uri = "ldaps://ldap.test:1638"'
    expect_no_answer 1 "everybody may change mobile in the own entry (FreeIPA's self-service rules)"
    simple 'uri = "ldaps://ldap.test:1638"' '[guard]' 'self_writable = "accept"'
    expect_no_answer 4 'ldap.base does not exist there'
}

# `relay PORT TO MOST`: passes on what comes and goes, and cuts after so many bytes of an answer.
relay() {
    perl_server "$1" 'my $s = IO::Socket::INET->new("127.0.0.1:'"$2"'"); my $n = 0; my $f;
        open $f, ">>", "/run/sandbox/directory/relayed"; $f->autoflush(1);
        while (1) { my $r = ""; vec($r, fileno $_, 1) = 1 for $c, $s; select $r, undef, undef, undef;
            for ([$c, $s], [$s, $c]) { my ($from, $to) = @$_; next unless vec $r, fileno $from, 1;
                sysread($from, my $d, 8192) or exit; print $f $d; syswrite $to, $d;
                $n += length $d if $from == $s; exit if $n > '"$3"'; } }'
}

recording_relay() {
    rm -f "$directory/relayed"
    relay "$1" "$2" 100000000
}

expect_encrypted() {
    [[ -s $directory/relayed ]] || fault 'nothing went through the relay'
    ! grep -qaE 'alice|1000001|secret' "$directory/relayed" || fault 'it went over the network in the clear'
}

# The first question is answered in whole, of the second a part.
cut_midway_case() {
    relay 1639 636 60000
    simple 'uri = "ldaps://ldap.test:1639 ldaps://ldap.test"'
    sed -i 's/ou=people/ou=crowd/' /etc/ivalt/directory.toml
    expect_no_answer 4 'ldaps://ldap.test:1639: the connection broke off before all entries had come'
}

# It takes connections and says nothing.
hung_case() {
    perl_server 1641 'sleep 600'
    simple 'uri = "ldaps://ldap.test:1641"' 'timeout_seconds = 2'
    expect_no_answer 4 'ldaps://ldap.test:1641: it does not answer'
    has_no_ldapsearch || fault 'ldapsearch is left behind'
    simple 'uri = "ldaps://ldap.test:1641 ldaps://ldap.test:1 ldaps://ldap.test"' 'timeout_seconds = 20'
    sync_people 0
    expect_everybody ldaps://ldap.test
    expect_captured 'not reached: ldaps://ldap.test:1641: it does not answer'
    expect_captured 'not reached: ldaps://ldap.test:1: 127.0.0.1:1: connection refused'
}

# Other users see arguments, root's other programs the environment.
secrets_case() {
    local tool
    perl_server 1641 'sleep 600'
    simple 'uri = "ldaps://ldap.test:1641"' 'timeout_seconds = 60'
    ivaltctl users sync --json >/dev/null 2>&1 &
    tool=$!
    wait_for ldapsearch has_ldapsearch
    ! grep -qa secret "/proc/$(ldapsearches)/cmdline" "/proc/$(ldapsearches)/environ" || fault 'the password is to be seen'
    [[ $(tr '\0' ' ' <"/proc/$(ldapsearches)/environ") == 'LC_ALL=C LDAPNOINIT=1 PATH=/usr/bin:/bin ' ]] ||
        fault "its environment is $(tr '\0' ' ' <"/proc/$(ldapsearches)/environ")"
    [[ $(readlink "/proc/$(ldapsearches)/cwd") == / ]] || fault 'it runs in a folder'
    [[ $(ps_field 6) == "$(ldapsearches)" ]] || fault 'it has no session of its own'
    kill -9 "$tool"
    wait_for 'the end of ldapsearch' has_no_ldapsearch
}

# `ps_field NUMBER`: of /proc/PID/stat.
ps_field() { cut -d' ' -f"$1" "/proc/$(ldapsearches)/stat"; }

not_installed_case() {
    simple "$ldaps"
    mv /usr/bin/ldapsearch /usr/bin/ldapsearch.away
    expect_no_answer 4 '/usr/bin/ldapsearch is not installed; install it: apt install ldap-utils'
    mv /usr/bin/ldapsearch.away /usr/bin/ldapsearch
}
