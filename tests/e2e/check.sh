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

# A container has no system log as a rule; a log daemon that was killed leaves its socket behind.
check_without_a_system_log_case() {
    run_ivaltctl 2 check
    expect_not_captured '[no-log]'
    stop_log
    answers "$alice_password" accept-1
    run_as alice sudo -A whoami
    expect_let_in root
    run_ivaltctl 2 check
    expect_captured 'there is no /dev/log: logins work, but nothing is logged'
    expect_captured 'install and start a system logger such as rsyslog'
    perl -MSocket -e 'socket(S, AF_UNIX, SOCK_DGRAM, 0) && bind(S, sockaddr_un("/dev/log")) or die'
    run_ivaltctl 2 check
    expect_captured 'nobody listens at /dev/log: logins work, but nothing is logged'
    rm /dev/log
    touch /dev/log
    run_ivaltctl 2 check
    expect_captured '[no-log]'
    rm /dev/log
    start_log
}
