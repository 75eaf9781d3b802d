# shellcheck shell=bash
# The real sudo-rs, which uses sudo's pam.d file.

sudo_rs_as() {
    local account=$1
    shift
    pam_lines sudo '@include common-auth' 'auth required pam_ivalt.so nodelay' '@include common-account'
    types_ahead "$@"
    run_as "$account" sudo-rs -S whoami
}

sudo_rs_accepted_token_case() {
    sudo_rs_as alice "$alice_password" accept-1
    expect_status 0
    expect_seen '[sudo: input needed] iVALT token: '
    [[ $(tail -n 1 "$terminal/output") == root ]] || fault 'the command did not run'
    expect_lines "$(line sudo allow verified ruser=alice http=200)"
    expect_tokens accept-1
}

sudo_rs_refused_token_case() {
    sudo_rs_as alice "$alice_password" reject-1 reject-2 reject-3 accept-4
    expect_refused 1
    expect_seen '[sudo: input needed] iVALT refused the token. iVALT token: '
    expect_seen 'sudo-rs: Maximum 1 incorrect authentication attempts'
    expect_lines "$(line sudo deny token-rejected ruser=alice "${refused[@]}" attempts=3)"
    expect_tokens reject-1 reject-2 reject-3
}

sudo_rs_not_enrolled_case() {
    sudo_rs_as bob "$bob_password" accept-1
    expect_refused 1
    expect_lines "$(line sudo deny not-enrolled user=bob ruser=bob mobile= 'cause="no entry in /etc/ivalt/users.toml"')"
    expect_tokens
}
