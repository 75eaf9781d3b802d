# shellcheck shell=bash
# What the chroot holds: ivaltctl, the log, and one directory, which runs as long as the cases do.

directory=$sandbox/directory
synced=/etc/ivalt/synced.toml

setup_directory() {
    write_name_service
    # A line each: the first name of a line is the one that Kerberos goes by.
    printf '127.0.0.1 %s\n' ldap.test other.test 'dc1.ad.test dc1' >>/etc/hosts
    prepare_folders
    mkdir -p "$directory"
    install -m 0755 /run/kept/ivaltctl /usr/sbin/
    ivaltctl --version >/dev/null || die 'what was built on this machine does not run on Debian 13; run it on Debian 12 or 13'
    start_log
}

# What every case begins with: nobody has been synced yet.
reset_sandbox() {
    stop_servers
    rm -rf "$synced" /etc/ivalt/*.lock /var/lib/ivalt /etc/ivalt/directory.toml
    install -d /etc/ivalt
    printf '%s\n' "synced_users_file = \"$synced\"" '[api]' 'key = "k"' >/etc/ivalt/ivalt.toml
    chmod 0600 /etc/ivalt/ivalt.toml
}

# `secret_file NAME TEXT`: closed to others; prints its path.
secret_file() {
    (umask 077 && printf '%s' "$2" >"$directory/$1")
    printf '%s' "$directory/$1"
}

# `directory_toml LINE…`: the whole of it.
directory_toml() {
    printf '%s\n' "$@" >/etc/ivalt/directory.toml
    chmod 0600 /etc/ivalt/directory.toml
}

# `sync_people STATUS [ARGUMENT…]`
sync_people() { run_ivaltctl "$1" users sync --json "${@:2}"; }

# `expect_people LINE…`: exactly these entries of the synced file, in this order.
expect_people() {
    local found
    found=$(sed '/^#/d; /^\[users\]/d; /^$/d' "$synced" 2>/dev/null) || true
    [[ $found == "$(printf '%s\n' "$@")" ]] || fault "synced are '$found' instead of '$(printf '%s\n' "$@")'; $(cat "$terminal/captured")"
}

expect_nothing_written() { [[ ! -e $synced ]] || fault "written although refused: $(cat "$synced")"; }

# `expect_no_answer STATUS TEXT`: it ends so, says so, and changes nothing.
expect_no_answer() {
    sync_people "$1"
    expect_captured "$2"
    expect_nothing_written
}

# The process ids of ldapsearch.
ldapsearches() { grep -lsx ldapsearch /proc/[0-9]*/comm | cut -d/ -f3; }
has_ldapsearch() { [[ -n $(ldapsearches) ]]; }
has_no_ldapsearch() { ! has_ldapsearch; }

# `perl_server PORT CODE`: runs CODE for every connection, which is $c.
perl_server() {
    # shellcheck disable=SC2016 # for perl
    start_host "port-$1" perl -MIO::Socket::INET -e 'my ($port, $code) = @ARGV;
        $SIG{CHLD} = "IGNORE";
        my $s = IO::Socket::INET->new(LocalAddr => "127.0.0.1:$port", Listen => 9, ReuseAddr => 1) or die "$port: $!";
        while (my $c = $s->accept) { next if fork; $s->close; eval $code; die $@ if $@; exit }' "$1" "$2"
    wait_for "port $1" port_open "$1"
}

# `kerberos_client REALM DOMAIN`: without DNS, in which this machine has another name.
kerberos_client() {
    printf '%s\n' '[libdefaults]' "default_realm = $1" 'dns_lookup_kdc = false' 'rdns = false' '[realms]' "$1 = {" \
        'kdc = 127.0.0.1' '}' '[domain_realm]' "$2 = $1" >/etc/krb5.conf
}
