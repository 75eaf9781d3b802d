# shellcheck shell=bash
# The real OpenVPN: a server with its auth-pam plugin, and a client, over loopback.

vpn=/etc/openvpn/loopback
plugin=/usr/lib/openvpn/openvpn-plugin-auth-pam.so
# The plugin's list: a prompt that begins with the word, whatever the case, is answered with what stands behind it.
by_name='openvpn login USERNAME password PASSWORD ivalt OTP'

# `openvpn_server ARGUMENT_OF_THE_PLUGIN [OPTION…]`
openvpn_server() {
    local argument=$1
    shift
    [[ -e /dev/net/tun ]] || { mkdir -p /dev/net && mknod -m 0600 /dev/net/tun c 10 200; }
    install -D -m 0600 -t "$vpn" /usr/share/doc/openvpn/examples/sample-keys/*
    start_host openvpn openvpn --cd "$vpn" --dev tun --topology subnet --server 10.8.0.0 255.255.255.0 --verb 3 \
        --local 127.0.0.1 --ca ca.crt --cert server.crt --key server.key --dh none \
        --plugin "$plugin" "$argument" "$@"
    wait_for 'the OpenVPN server' grep -q 'Initialization Sequence Completed' "$hosts/openvpn"
}

# `openvpn_client PASSWORD [TOKEN]`: connects as alice, at a terminal where the token is typed at the challenge.
openvpn_client() {
    # When `script` ends, OpenVPN gets a SIGHUP, at which it would connect again.
    local command='exec openvpn --client --writepid /run/sandbox/hosts/openvpn-client.pid --dev tun --route-nopull --remote 127.0.0.1 --verb 3 --auth-retry none --ca ca.crt
        --cert client.crt --key client.key --auth-user-pass password'
    printf '%s\n' alice "$1" >"$vpn/password"
    chmod 0600 "$vpn/password"
    [[ $# -eq 1 ]] || command+=' --static-challenge "iVALT token: " 1'
    # shellcheck disable=SC2016 # for the inner shell
    start_host client env -C "$vpn" bash -c '{ echo "$1"; sleep 120; } | script --quiet --flush --command "$2" /dev/null' \
        - "${2:-}" "${command//$'\n'/ }"
    wait_for "OpenVPN's answer" grep -qE 'Initialization Sequence Completed|AUTH_FAILED|fatal error' "$hosts/client"
}

expect_connected() { expect_host_said client 'Initialization Sequence Completed'; }
expect_not_connected() {
    expect_host_said client 'AUTH_FAILED'
    ! grep -q 'Initialization Sequence Completed' "$hosts/client" || fault 'connected'
}

vpn_line() { line openvpn "$1" "$2" rhost=127.0.0.1 "${@:3}"; }

vpn_stack() { pam_lines openvpn "$@" 'account required pam_unix.so'; }
vpn_password_and_ivalt() { vpn_stack 'auth requisite pam_unix.so nodelay' 'auth required pam_ivalt.so nodelay'; }

# Without a list the plugin answers a visible prompt with the name of the user, which must not leave the machine.
openvpn_as_shipped_case() {
    vpn_password_and_ivalt
    openvpn_server openvpn
    openvpn_client "$alice_password"
    expect_not_connected
    expect_lines "$(vpn_line deny malformed-token attempts=3 "cause=$user_name_cause")"
    expect_tokens
}

openvpn_prompt_by_name_case() {
    vpn_password_and_ivalt
    openvpn_server "$by_name"
    openvpn_client "$alice_password" accept-1
    expect_connected
    expect_lines "$(vpn_line allow verified http=200)"
    expect_tokens accept-1
}

# The plugin answers every prompt of a call alike: it is sent once, whatever `attempts` is, and the line keeps the answer.
openvpn_prompt_by_name_refused_case() {
    vpn_password_and_ivalt
    openvpn_server "$by_name"
    openvpn_client "$alice_password" reject-1
    expect_not_connected
    expect_lines "$(vpn_line deny token-rejected "${refused[@]}" 'cause="token already tried; not sent again"' attempts=3)"
    expect_tokens reject-1
}

openvpn_prompt_by_name_wrong_password_case() {
    vpn_password_and_ivalt
    openvpn_server "$by_name"
    openvpn_client wrong accept-1
    expect_not_connected
    expect_no_log
    expect_tokens
}

# The client's certificate is the other factor, and the password field holds the token.
openvpn_token_in_the_password_field_case() {
    vpn_stack 'auth required pam_ivalt.so nodelay config=/etc/ivalt/openvpn.toml'
    own_settings /etc/ivalt/openvpn.toml root "${hidden[@]}"
    openvpn_server openvpn
    openvpn_client accept-1
    expect_connected
    expect_lines "$(vpn_line allow verified http=200)"
    expect_tokens accept-1
}

openvpn_refused_token_in_the_password_field_case() {
    vpn_stack 'auth required pam_ivalt.so nodelay config=/etc/ivalt/openvpn.toml'
    own_settings /etc/ivalt/openvpn.toml root "${hidden[@]}"
    openvpn_server openvpn
    openvpn_client reject-1
    expect_not_connected
    expect_lines "$(vpn_line deny token-rejected "${refused[@]}")"
    expect_tokens reject-1
}

# Both sides renegotiate every hour unless told otherwise; the client then sends what it sent before.
openvpn_renegotiation_case() {
    vpn_password_and_ivalt
    openvpn_server "$by_name" --reneg-sec 5
    openvpn_client "$alice_password" accept-1
    expect_connected
    wait_for 'the second answer' has_lines 2
    # Before the third.
    pkill -KILL -x openvpn
    expect_lines "$(vpn_line allow verified http=200)" "$(vpn_line allow verified http=200)"
    expect_tokens accept-1 accept-1
}

has_lines() { [[ $(log_lines | wc -l) -ge $1 ]]; }

# With a token of the server's own, nobody is asked again. It is renewed for two hand-windows, which are a minute each unless
# told otherwise.
openvpn_renegotiation_with_auth_gen_token_case() {
    vpn_password_and_ivalt
    openvpn_server "$by_name" --reneg-sec 4 --auth-gen-token 0 120
    openvpn_client "$alice_password" accept-1
    wait_for 'a renegotiation' grep -q 'TLS: soft reset' "$hosts/openvpn"
    wait_for 'its end' renegotiated
    expect_connected
    expect_lines "$(vpn_line allow verified http=200)"
    expect_tokens accept-1
}

renegotiated() { grep -q 'Control Channel: ' <<<"$(sed '1,/TLS: soft reset/d' "$hosts/openvpn")"; }
