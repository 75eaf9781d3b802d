# shellcheck shell=bash
# What all cases before this one left behind, and a login with `debug`.

secrets_in_no_log_case() {
    password_and_token
    pam_service sshd '@include common-auth' 'auth required pam_ivalt.so nodelay debug'
    answers "$alice_password" reject-1 accept-2
    run_as visitor ssh alice@localhost whoami
    expect_let_in alice
    local secret
    for secret in accept- reject- test-api-key unix-password "${alice_mobile#+91}" 49151123456; do
        ! grep -qF -- "$secret" "$log" || fault "the log has '$secret': $(grep -m1 -F -- "$secret" "$log")"
    done
}

passwords_in_no_request_case() {
    token_alone
    answers '' accept-1
    run_as visitor ssh alice@localhost whoami
    expect_the_request accept-1
    stop_ivalt
    ! grep -F unix-password "$sandbox/all-requests" || fault 'a UNIX password was sent to iVALT'
    grep -qF accept-1 "$sandbox/all-requests" || fault 'the record of all requests is empty'
}
