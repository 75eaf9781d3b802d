# shellcheck shell=bash
# The doctor on a system with the real sshd, whose word counts more than its files.

# `doctor EXIT_STATUS WORD…`
doctor() {
    local wanted=$1 ending=0
    shift
    ivaltctl check "$@" </dev/null >"$talk/doctor" 2>&1 || ending=$?
    [[ $ending -eq $wanted ]] || fault "ivaltctl check ended with $ending instead of $wanted: $(cat "$talk/doctor")"
}

# Of sshd alone: what else is odd about the cast of this stage is not these cases' affair.
expect_about_sshd() {
    local found
    found=$(sed -n 's/.* \[\(sshd-[a-z-]*\)\]$/\1/p' "$talk/doctor" | sort | xargs)
    [[ $found == "$*" ]] || fault "the doctor finds '$found' instead of '$*': $(cat "$talk/doctor")"
}

expect_the_doctor_to_say() {
    grep -qF -- "$1" "$talk/doctor" || fault "the doctor did not say '$1' but: $(cat "$talk/doctor")"
}

expect_the_doctor_not_to_say() {
    ! grep -qF -- "$1" "$talk/doctor" || fault "the doctor said '$1': $(cat "$talk/doctor")"
}

check_sound_sshd_case() {
    sshd_key_or_password_and_ivalt
    doctor 1
    expect_about_sshd
    expect_the_doctor_not_to_say 'lets in '
    sshd_password_and_ivalt
    doctor 1
    expect_about_sshd
    sshd_key_and_ivalt
    doctor 1
    expect_about_sshd
}

check_asks_sshd_what_is_in_force_case() {
    sshd_password_and_ivalt
    sshd_with 'KbdInteractiveAuthentication no' 'PasswordAuthentication yes' 'LoginGraceTime 20' 'PermitRootLogin no'
    doctor 2
    expect_about_sshd sshd-grace-time sshd-key-skips sshd-password-method sshd-prompt-off
    expect_the_doctor_to_say '/etc/ssh/sshd_config:5 [sshd-prompt-off]'
    expect_the_doctor_not_to_say 'as its files say'
    # What it claims of keys is true: no token is asked for.
    act visitor ssh -i /home/visitor/visitor.key alice@localhost whoami
    expect_let_in alice
    expect_no_log
}

check_looks_into_match_blocks_case() {
    sshd_password_and_ivalt
    sshd_with 'PasswordAuthentication no' 'AuthenticationMethods keyboard-interactive' \
        'Match User alice' 'AuthenticationMethods publickey'
    doctor 2
    expect_about_sshd sshd-methods-bypass
    expect_the_doctor_to_say 'for connections of "Match User alice"'
    expect_the_doctor_not_to_say 'as its files say'
}

# sshd -T fails with it, as sshd itself would at its next start.
check_reads_the_files_where_sshd_is_silent_case() {
    sshd_password_and_ivalt
    printf '%s\n' 'NoSuchKeyword yes' >>/etc/ssh/sshd_config
    sed -i 's/^UsePAM yes/UsePAM no/' /etc/ssh/sshd_config
    doctor 2
    expect_about_sshd sshd-pam-off
    expect_the_doctor_to_say 'as its files say; sshd -T was not asked'
}

check_online_case() {
    sshd_password_and_ivalt
    doctor 1 --online
    expect_the_doctor_to_say 'TLS 1.3, certificate of "CN=ivalt-stand-in"'
    expect_about_sshd
    ivalt_settings 'timeout_seconds = 5' 'client_id = "id"' 'client_secret = "accept-1"'
    doctor 1 --online
    expect_the_doctor_to_say 'api/v1/auth'
}
