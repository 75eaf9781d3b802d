# shellcheck shell=bash
# Logins by ssh, sudo, su and sudo-rs, without iVALT or with it. Only Debian 13 has sudo-rs.

has_sudo_rs() { [[ -x /usr/bin/sudo-rs ]]; }

by_key() { run_as visitor ssh -i visitor.key alice@localhost whoami; }
by_password() { run_as visitor ssh -o PreferredAuthentications=keyboard-interactive,password alice@localhost whoami; }

# Nothing asks for a token, and every login works as before.
logins_without_ivalt() {
    local when=$1
    step "$when: ssh by key, without a token"
    answers ''
    by_key
    expect_let_in_without alice
    step "$when: ssh by password, without a token"
    answers "$alice_password"
    by_password
    expect_let_in_without alice
    step "$when: sudo, without a token"
    answers "$alice_password"
    run_as alice sudo -A whoami
    expect_let_in_without root
    step "$when: su, without a token"
    types_ahead "$alice_password"
    run_as bob su alice -c whoami
    expect_last_line alice
    expect_no_log
    report
    ! has_sudo_rs || sudo_rs_without_ivalt "$when"
}

expect_let_in_without() {
    expect_let_in "$1"
    expect_no_log
    report
}

sudo_rs_without_ivalt() {
    step "$1: sudo-rs, without a token"
    types_ahead "$alice_password"
    run_as alice sudo-rs -S whoami
    expect_last_line root
    expect_no_log
    report
}

# For su and sudo-rs, which print their prompts to the same output as the command.
expect_last_line() {
    [[ $status -eq 0 ]] || fault "exit status $status instead of 0"
    grep -qE "(^|: )$1\$" "$terminal/output" || fault "printed '$(cat "$terminal/output")' instead of '$1' at the end"
}

tokens=0

# A new token that iVALT accepts, since it accepts each only once.
new_token() { tokens=$((tokens + 1)); }

# `logins_with_ivalt WHEN [SERVICE…]`: each asks for a token and obeys the answer.
logins_with_ivalt() {
    local when=$1 service
    shift
    for service in "$@"; do "${service}_with_ivalt" "$when"; done
}

ssh_with_ivalt() {
    step "$1: ssh by key, with a token"
    new_token
    answers '' "accept-$tokens"
    by_key
    expect_let_in_with alice sshd
    step "$1: ssh by password, with a token"
    new_token
    answers "$alice_password" "accept-$tokens"
    by_password
    expect_let_in_with alice sshd
    step "$1: ssh by key, with refused tokens"
    answers '' reject-1 reject-2 reject-3
    by_key
    expect_refused 255
    expect_log deny token-rejected sshd alice
    report
}

sudo_with_ivalt() {
    step "$1: sudo, with a token"
    new_token
    answers "$alice_password" "accept-$tokens"
    run_as alice sudo -A whoami
    expect_let_in_with root sudo
    step "$1: sudo, with refused tokens"
    answers "$alice_password" reject-1 reject-2 reject-3
    run_as alice sudo -A whoami
    expect_refused 1
    expect_log deny token-rejected sudo alice
    report
    ! has_sudo_rs || sudo_rs_with_ivalt "$1"
}

expect_let_in_with() {
    expect_let_in "$1"
    expect_log allow verified "$2" alice
    report
}

sudo_rs_with_ivalt() {
    step "$1: sudo-rs, with a token"
    new_token
    types_ahead "$alice_password" "accept-$tokens"
    run_as alice sudo-rs -S whoami
    expect_last_line root
    expect_log allow verified sudo alice
    report
    step "$1: sudo-rs, with refused tokens"
    types_ahead "$alice_password" reject-1 reject-2 reject-3
    run_as alice sudo-rs -S whoami
    expect_refused 1
    expect_log deny token-rejected sudo alice
    report
}

su_with_ivalt() {
    step "$1: su, with a token"
    new_token
    types_ahead "$alice_password" "accept-$tokens"
    run_as bob su alice -c whoami
    expect_last_line alice
    expect_log allow verified su alice
    report
    step "$1: su, with refused tokens"
    types_ahead "$alice_password" reject-1 reject-2 reject-3
    run_as bob su alice -c whoami
    expect_refused 1
    expect_log deny token-rejected su alice
    report
}

unreachable_by_su() {
    step 'su while iVALT cannot be reached: no command is run'
    stop_ivalt
    types_ahead "$alice_password" accept-1001
    run_as bob su alice -c whoami
    expect_refused 1
    expect_log deny unavailable su alice
    report
}

# iVALT is still stopped by `unreachable_by_su`.
unreachable_by_sudo_rs() {
    step 'sudo-rs while iVALT cannot be reached: no command is run'
    types_ahead "$alice_password" accept-1002
    run_as alice sudo-rs -S whoami
    expect_refused 1
    expect_log deny unavailable sudo alice
    report
    start_ivalt
    step 'sudo-rs of a user who is not enrolled: no command is run'
    # The demo has enrolled bob by a sync.
    sed -i /^synced_users_file/d /etc/ivalt/ivalt.toml
    types_ahead "$bob_password" accept-1003
    run_as bob sudo-rs -S whoami
    expect_refused 1
    expect_log deny not-enrolled sudo bob
    report
}
