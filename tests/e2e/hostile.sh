# shellcheck shell=bash
# The caller of sudo and su controls the environment. Here it names a proxy that really listens and a certificate
# authority, which would accept anything, libraries to preload, and variables that make careless programs write files as
# root.

hostile=$sandbox/hostile

hostile_proxy_listens() {
    start_stand_in "$hostile" 8443
    rm -f /tmp/by-preload
    [[ -e $hostile/evil.so ]] || build_preload
    cp "$hostile/ca.pem" "$hostile/certs/"
}

build_preload() {
    mkdir -p "$hostile/certs"
    printf '%s\n' '#include <fcntl.h>' \
        '__attribute__((constructor)) static void run(void) { open("/tmp/by-preload", O_CREAT | O_WRONLY, 0666); }' |
        cc -shared -fPIC -x c - -o "$hostile/evil.so"
    cp "$hostile/evil.so" "$hostile/libpam.so.0"
}

hostile_proxy=http://127.0.0.1:8443
hostile_proxies=(HTTPS_PROXY="$hostile_proxy" https_proxy="$hostile_proxy" HTTP_PROXY="$hostile_proxy"
    http_proxy="$hostile_proxy" ALL_PROXY="$hostile_proxy" all_proxy="$hostile_proxy" NO_PROXY='')
hostile_rest=(SSL_CERT_FILE="$hostile/ca.pem" SSL_CERT_DIR="$hostile/certs" SSLKEYLOGFILE=/tmp/by-tls-keys
    RUST_LOG=trace RUST_BACKTRACE=full RUST_LIB_BACKTRACE=1 RUST_MIN_STACK=1
    RES_OPTIONS='debug attempts:5 timeout:30' LOCALDOMAIN=evil.test HOSTALIASES="$hostile/aliases"
    LD_PRELOAD="$hostile/evil.so" LD_AUDIT="$hostile/evil.so" LD_LIBRARY_PATH="$hostile"
    LD_DEBUG=all LD_DEBUG_OUTPUT=/tmp/by-loader)
hostile_env=(env "${hostile_proxies[@]}" "${hostile_rest[@]}")

expect_nothing_hostile_happened() {
    local files
    [[ ! -s $hostile/connections.jsonl ]] || fault "$(wc -l <"$hostile/connections.jsonl") connections to the hostile proxy"
    files=$(written_since_mark)
    [[ -z $files ]] || fault "files were written: $files"
}

mark_files() {
    touch "$sandbox/mark"
    sleep 0.02
}

# Without what sudo, su and login record themselves.
written_since_mark() {
    find /home /root /tmp /etc /var /usr /run -path /run/sandbox -prune -o -path /run/layers -prune -o -type f \
        -newer "$sandbox/mark" -not -path '/run/sudo/ts/*' -not -name '[bw]tmp' -not -name utmp -not -name lastlog -print
}

# Otherwise the cases below would prove nothing: each trap works where it is trusted.
hostile_traps_work_case() {
    hostile_proxy_listens
    exec 8<>/dev/tcp/127.0.0.1/8443
    exec 8>&-
    wait_for 'the record of the hostile proxy' test -s "$hostile/connections.jsonl"
    LD_PRELOAD=$hostile/evil.so true
    LD_PRELOAD=$hostile/evil.so setsid true
    [[ -e /tmp/by-preload ]] || fault 'the library to preload does nothing'
    stop_stand_in "$hostile"
    stop_ivalt
    start_stand_in "$hostile" 443
    sed -i "s|^ca_file.*|ca_file = \"$hostile/ca.pem\"|" /etc/ivalt/ivalt.toml
    answers "$alice_password" accept-1
    run_as alice sudo -A whoami
    stop_stand_in "$hostile"
    expect_let_in root
}

hostile_environment_under_sudo_case() {
    hostile_proxy_listens
    answers "$alice_password" accept-1
    mark_files
    run_as alice "${hostile_env[@]}" sudo -A whoami
    stop_stand_in "$hostile"
    expect_let_in root
    expect_log allow verified sudo alice
    expect_requests 1
    expect_nothing_hostile_happened
}

hostile_environment_under_su_case() {
    hostile_proxy_listens
    types_ahead "$alice_password" accept-1
    mark_files
    run_as bob "${hostile_env[@]}" su alice -c whoami
    stop_stand_in "$hostile"
    expect_seen alice
    expect_log allow verified su alice
    expect_requests 1
    expect_nothing_hostile_happened
}

hostile_proxy_while_ivalt_is_down_under_sudo_case() {
    hostile_proxy_listens
    stop_ivalt
    answers "$alice_password" accept-1
    mark_files
    run_as alice "${hostile_env[@]}" sudo -A whoami
    stop_stand_in "$hostile"
    expect_refused 1
    expect_log deny unavailable sudo alice
    expect_nothing_hostile_happened
}

hostile_proxy_while_ivalt_is_down_under_su_case() {
    hostile_proxy_listens
    stop_ivalt
    types_ahead "$alice_password" accept-1
    mark_files
    run_as bob "${hostile_env[@]}" su alice -c whoami
    stop_stand_in "$hostile"
    expect_refused 1
    expect_log deny unavailable su alice
    expect_nothing_hostile_happened
}

# The caller controls the network too: a hostile server answers at iVALT's address. Only the system's CA bundle may be
# trusted. (Without the proxy, which would hide a module that trusts the wrong certificates.)
hostile_server_at_ivalts_address() {
    mkdir -p /etc/ssl/certs
    cp "$ivalt/ca.pem" /etc/ssl/certs/ca-certificates.crt
    sed -i '/^ca_file/d' /etc/ivalt/ivalt.toml
    hostile_proxy_listens
    stop_stand_in "$hostile"
    stop_ivalt
    start_stand_in "$hostile" 443
    cp "$hostile/ca.pem" "$hostile/certs/"
}

hostile_authority_under_sudo_case() {
    hostile_server_at_ivalts_address
    answers "$alice_password" accept-1
    run_as alice env "${hostile_rest[@]}" sudo -A whoami
    stop_stand_in "$hostile"
    expect_refused 1
    expect_log deny unavailable sudo alice
    expect_the_line '.* cause="tls: .*'
    [[ ! -s $hostile/requests.jsonl ]] || fault 'the token was sent to the hostile server'
}

hostile_authority_under_su_case() {
    hostile_server_at_ivalts_address
    types_ahead "$alice_password" accept-1
    run_as bob env "${hostile_rest[@]}" su alice -c whoami
    stop_stand_in "$hostile"
    expect_refused 1
    expect_log deny unavailable su alice
    expect_the_line '.* cause="tls: .*'
    [[ ! -s $hostile/requests.jsonl ]] || fault 'the token was sent to the hostile server'
}
