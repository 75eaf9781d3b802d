# shellcheck shell=bash
# A user denied by sshd or by users.toml is asked for a token like any other; no request leaves the machine.

denied_unknown_user_case() {
    token_alone
    answers '' accept-1 accept-2 accept-3
    run_as visitor ssh ghost@localhost whoami
    expect_refused 255
    expect_log deny malformed-token sshd ghost
    expect_requests 0
}

denied_root_login_case() {
    token_alone 'PermitRootLogin no'
    answers '' accept-1 accept-2 accept-3
    run_as visitor ssh root@localhost whoami
    expect_refused 255
    expect_log deny malformed-token sshd root
    expect_requests 0
}

denied_root_without_password_case() {
    token_alone 'PermitRootLogin prohibit-password'
    answers '' accept-1 accept-2 accept-3
    run_as visitor ssh root@localhost whoami
    expect_refused 255
    expect_requests 0
}

denied_deny_users_case() {
    token_alone 'DenyUsers alice'
    answers '' accept-1 accept-2 accept-3
    run_as visitor ssh alice@localhost whoami
    expect_refused 255
    expect_log deny malformed-token sshd alice
    expect_requests 0
}

denied_not_enrolled_case() {
    token_alone
    answers '' accept-1
    run_as visitor ssh bob@localhost whoami
    expect_refused 255
    expect_dialogue '(bob@localhost) iVALT token: accept-1'
    expect_seen 'iVALT is not set up for this account.'
    expect_log deny not-enrolled sshd bob
    expect_requests 0
}

denied_disabled_case() {
    token_alone
    answers '' accept-1
    run_as visitor ssh carol@localhost whoami
    expect_refused 255
    expect_dialogue '(carol@localhost) iVALT token: accept-1'
    expect_log deny disabled sshd carol
    expect_requests 0
}

denied_bad_entry_case() {
    echo 'bob = "not a number"' >>/etc/ivalt/users.toml
    token_alone
    answers '' accept-1
    run_as visitor ssh bob@localhost whoami
    expect_refused 255
    expect_log deny bad-entry sshd bob
    expect_requests 0
}

# Settings that everyone can read do not keep the API key secret; the module refuses them.
denied_by_settings_others_can_read_case() {
    chmod 0644 /etc/ivalt/ivalt.toml
    token_alone
    answers '' accept-1
    run_as visitor ssh alice@localhost whoami
    expect_refused 255
    expect_misconfigured 'chmod 0600 /etc/ivalt/ivalt.toml'
    expect_requests 0
}

denied_by_an_unknown_key_case() {
    ivalt_settings 'retries = 3'
    token_alone
    answers '' accept-1
    run_as visitor ssh alice@localhost whoami
    expect_refused 255
    expect_misconfigured '/etc/ivalt/ivalt.toml:5: api.retries'
    expect_requests 0
}

expect_misconfigured() {
    wait_for_log
    expect_the_line "outcome=deny reason=misconfigured user=alice service=sshd .* cause=\"[^\"]*$1.*"
}

allowed_by_policy_not_enrolled_case() {
    ivalt_settings '[policy]' 'unenrolled = "ignore"'
    password_and_token
    answers "$bob_password" ''
    run_as visitor ssh bob@localhost whoami
    expect_let_in bob
    expect_dialogue '(bob@localhost) Password: bob-unix-password'
    expect_log ignore unenrolled sshd bob
    expect_requests 0
}
