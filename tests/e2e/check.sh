# shellcheck shell=bash
# `ivaltctl check` on a system with the real sshd, whose own account of its settings counts more than its files.

# `expect_about_sshd ID…`: exactly these findings about sshd. Others about this sandbox do not matter here.
expect_about_sshd() {
    local found
    found=$(sed -n 's/.* \[\(sshd-[a-z-]*\)\]$/\1/p' "$terminal/captured" | sort | xargs)
    [[ $found == "$*" ]] || fault "check finds '$found' instead of '$*': $(cat "$terminal/captured")"
}

# What check adds where sshd -T fails.
from_files_only='as its files say'

check_sound_sshd_case() {
    sshd_key_or_password_and_ivalt
    run_ivaltctl 1 check
    expect_about_sshd
    expect_not_captured 'lets in '
    sshd_password_and_ivalt
    run_ivaltctl 1 check
    expect_about_sshd
    sshd_key_and_ivalt
    run_ivaltctl 1 check
    expect_about_sshd
}

check_asks_sshd_for_its_settings_case() {
    sshd_password_and_ivalt
    sshd_with 'KbdInteractiveAuthentication no' 'PasswordAuthentication yes' 'LoginGraceTime 20' 'PermitRootLogin no'
    run_ivaltctl 2 check
    expect_about_sshd sshd-grace-time sshd-key-skips sshd-password-method sshd-prompt-off
    expect_captured '/etc/ssh/sshd_config:5 [sshd-prompt-off]'
    expect_not_captured "$from_files_only"
    # What it says about keys is true: no token is asked for.
    run_as visitor ssh -i /home/visitor/visitor.key alice@localhost whoami
    expect_let_in alice
    expect_no_log
}

check_looks_into_match_blocks_case() {
    sshd_password_and_ivalt
    sshd_with 'PasswordAuthentication no' 'AuthenticationMethods keyboard-interactive' \
        'Match User alice' 'AuthenticationMethods publickey'
    run_ivaltctl 2 check
    expect_about_sshd sshd-methods-bypass
    expect_captured 'for connections of "Match User alice"'
    expect_not_captured "$from_files_only"
}

# sshd -T fails, as sshd itself would at its next start.
check_reads_the_files_where_sshd_fails_case() {
    sshd_password_and_ivalt
    printf '%s\n' 'NoSuchKeyword yes' >>/etc/ssh/sshd_config
    sed -i 's/^UsePAM yes/UsePAM no/' /etc/ssh/sshd_config
    run_ivaltctl 2 check
    expect_about_sshd sshd-config-refused sshd-pam-off
    expect_captured "$from_files_only; sshd -T was not run"
}

check_online_case() {
    sshd_password_and_ivalt
    run_ivaltctl 1 check --online
    expect_captured 'TLS 1.3, certificate of "CN=ivalt-stand-in"'
    expect_about_sshd
    ivalt_settings 'timeout_seconds = 5' 'client_id = "id"' 'client_secret = "accept-1"'
    run_ivaltctl 1 check --online
    expect_captured 'api/v1/auth'
}
