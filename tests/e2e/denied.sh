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

# Debian's default: sshd keeps root's answers from PAM. With root's key proven, root is told why, in one prompt a try; without
# it, everybody is told the same. The finding comes with the key, and goes with the block that it offers.
denied_root_with_key_and_token_case() {
    local line='outcome=deny reason=malformed-token user=root service=sshd rhost=127.0.0.1 tty=ssh ruser= mobile=\*\*\*5600 http= code= detail='
    root_has_a_key
    key_or_password_of_root 'PermitRootLogin prohibit-password'
    run_ivaltctl 1 check
    expect_captured '[root-barred-by-sshd]'
    answers '' accept-1 accept-2 accept-3
    run_as visitor ssh -o NumberOfPasswordPrompts=1 -i visitor.key root@localhost whoami
    expect_refused 255
    expect_dialogue '(root@localhost) iVALT token: accept-1'
    expect_seen 'sshd does not let root answer here (PermitRootLogin); iVALT was not asked.'
    expect_log deny malformed-token sshd root
    expect_the_line "$line cause=\"sshd sent its dummy password; it has already denied this login by PermitRootLogin\" attempts=1 elapsed_ms=0"
    expect_requests 0
    token_alone 'PermitRootLogin prohibit-password'
    answers '' accept-1 accept-2 accept-3
    run_as visitor ssh -o NumberOfPasswordPrompts=1 root@localhost whoami
    expect_refused 255
    expect_dialogue '(root@localhost) iVALT token: accept-1
(root@localhost) iVALT refused the token. iVALT token: accept-2
(root@localhost) iVALT refused the token. iVALT token: accept-3'
    expect_the_line "$line cause=\"sshd sent its dummy password; it has already denied this login\" attempts=3 elapsed_ms=0"
    expect_requests 0
}

# What `check` offers lets root in, with key and token, and with nothing less.
denied_root_let_in_by_a_block_case() {
    root_has_a_key
    key_or_password_of_root 'PermitRootLogin prohibit-password' 'Match User root' 'PermitRootLogin yes' \
        'AuthenticationMethods publickey,keyboard-interactive'
    run_ivaltctl 1 check
    expect_not_captured '[root-barred-by-sshd]'
    answers '' accept-1
    run_as visitor ssh -i visitor.key root@localhost whoami
    expect_let_in root
    expect_log allow verified sshd root
    answers '' accept-2
    run_as visitor ssh root@localhost whoami
    expect_refused 255
    expect_no_log
    key_or_password_of_root 'PermitRootLogin prohibit-password' 'Match User root' 'AuthenticationMethods publickey'
    run_ivaltctl 2 check
    expect_captured '[sshd-methods-bypass]'
    answers ''
    run_as visitor ssh -i visitor.key root@localhost whoami
    expect_let_in root
    expect_no_log
}

root_has_a_key() {
    install -d /etc/ssh/keys
    install -m 0644 /home/visitor/visitor.key.pub /etc/ssh/keys/root
}

key_or_password_of_root() {
    sshd_key_or_password_and_ivalt
    remove_delays
    sshd_with "${key_or_password_settings[@]}" 'AuthorizedKeysFile /etc/ssh/keys/%u' "$@"
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

# The client keeps back what comes without a prompt; sshd's own setting hides nothing of ours.
denied_with_another_log_level_case() {
    token_alone 'LogLevel QUIET'
    answers '' accept-1
    run_as visitor ssh bob@localhost whoami
    expect_seen 'iVALT is not set up for this account.'
    expect_log deny not-enrolled sshd bob
    answers '' accept-1
    run_as visitor ssh -o LogLevel=ERROR bob@localhost whoami
    ! grep -qF 'iVALT is not set up' "$terminal/output" || fault 'the client showed the sentence'
    expect_log deny not-enrolled sshd bob
}
