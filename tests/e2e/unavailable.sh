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
