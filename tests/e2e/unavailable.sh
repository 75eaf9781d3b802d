# shellcheck shell=bash
# iVALT does not answer properly: nobody gets in, and nobody waits long.

unavailable_refused_connection_case() {
    token_alone
    stop_ivalt
    answers '' accept-1
    run_as visitor ssh alice@localhost whoami
    expect_refused 255
    expect_seen 'iVALT cannot be reached.'
    expect_log deny unavailable sshd alice
    expect_the_line '.* http= code= detail= cause="connect: connection refused" attempts=1 .*'
}

unavailable_name_not_found_case() {
    sed -i '/api.ivalt.test/d' /etc/hosts
    token_alone
    answers '' accept-1
    run_as visitor ssh alice@localhost whoami
    write_name_service
    expect_refused 255
    expect_log deny unavailable sshd alice
    expect_the_line '.* cause="?dns.*'
    expect_requests 0
}

unavailable_foreign_certificate_case() {
    start_stand_in "$sandbox/other" 8443
    sed -i "s|^ca_file.*|ca_file = \"$sandbox/other/ca.pem\"|" /etc/ivalt/ivalt.toml
    token_alone
    answers '' accept-1
    run_as visitor ssh alice@localhost whoami
    stop_stand_in "$sandbox/other"
    expect_refused 255
    expect_log deny unavailable sshd alice
    expect_the_line '.* cause="tls: .*'
    expect_requests 0
}

unavailable_server_error_case() {
    token_alone
    answers '' http-503
    run_as visitor ssh alice@localhost whoami
    expect_refused 255
    expect_log deny unavailable sshd alice
    expect_the_line '.* http=503 .*'
}

unavailable_slow_case() {
    ivalt_settings 'timeout_seconds = 1'
    token_alone
    answers '' slow-20000
    run_as visitor ssh alice@localhost whoami
    expect_refused 255
    expect_within 10
    expect_log deny unavailable sshd alice
    expect_the_line '.* cause="timeout after 1 s .*'
}

allowed_by_policy_unavailable_case() {
    ivalt_settings '[policy]' 'unavailable = "ignore"'
    password_and_token
    stop_ivalt
    answers "$alice_password" accept-1
    run_as visitor ssh alice@localhost whoami
    expect_let_in alice
    expect_log ignore unavailable sshd alice
}

# A login neither fails nor waits for its log.
no_log_case() {
    token_alone
    stop_log
    answers '' accept-1
    run_as visitor ssh alice@localhost whoami
    expect_let_in alice
    expect_within 5
    expect_requests 1
}

# Any user of the host can bring such outages about, so the policy for outages lets nobody in.
misconfigured_without_a_port_to_connect_from_case() {
    misconfigured_without_ports SOCK_STREAM 'connect: no local port is free to connect from; inspect: ss --tcp --all --processes'
}

misconfigured_without_a_port_to_ask_a_name_server_from_case() {
    sed -i '/api.ivalt.test/d' /etc/hosts
    misconfigured_without_ports SOCK_DGRAM 'dns: no local port is free to ask a name server from; inspect: ss --udp --all --processes'
    write_name_service
}

# `misconfigured_without_ports TYPE CAUSE`: while bob holds all for sockets of this type.
misconfigured_without_ports() {
    local ports holder
    ivalt_settings '[policy]' 'unavailable = "ignore"'
    ports=$(cat /proc/sys/net/ipv4/ip_local_port_range)
    bob_takes_every_port "$1"
    types_ahead "$alice_password" accept-1
    run_as bob su alice -c whoami
    kill "$holder"
    echo "$ports" >/proc/sys/net/ipv4/ip_local_port_range
    expect_refused 1
    expect_log deny misconfigured su alice
    expect_the_line ".* cause=\"$2\" .*"
    expect_requests 0
}

# Of a short range, which takes no time.
bob_takes_every_port() {
    local ready=$terminal/ports
    echo '40000 40099' >/proc/sys/net/ipv4/ip_local_port_range
    # shellcheck disable=SC2016 # for Perl
    setpriv --reuid=bob --regid=bob --clear-groups perl -MSocket -e 'my @held;
        my $type = Socket->can(shift)->();
        for my $port (40000 .. 40099) {
            socket($held[$port], AF_INET, $type, 0) && bind($held[$port], sockaddr_in($port, INADDR_ANY)) or die;
        }
        $| = 1; print "held"; sleep 60' "$1" >"$ready" &
    holder=$!
    wait_for 'the ports' grep -q held "$ready"
    rm "$ready"
}
