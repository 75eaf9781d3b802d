# shellcheck shell=bash
# Somebody logs in by everything there is, without iVALT or with it. sudo-rs is on Debian 13 alone.

has_sudo_rs() { [[ -x /usr/bin/sudo-rs ]]; }

by_key() { watch visitor ssh -i visitor.key alice@localhost whoami; }
by_password() { watch visitor ssh -o PreferredAuthentications=keyboard-interactive,password alice@localhost whoami; }

# Nothing asks for a token, and everybody who had a way in has it still.
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
    watch alice sudo -A whoami
    expect_let_in_without root
    step "$when: su, without a token"
    typed "$alice_password"
    watch bob su alice -c whoami
    expect_in_through_su
    expect_no_log
    told
    ! has_sudo_rs || sudo_rs_without_ivalt "$when"
}

expect_let_in_without() {
    expect_let_in "$1"
    expect_no_log
    told
}

sudo_rs_without_ivalt() {
    step "$1: sudo-rs, without a token"
    typed "$alice_password"
    watch alice sudo-rs -S whoami
    expect_in_through_sudo_rs
    expect_no_log
    told
}

# su and sudo-rs print their prompts where the command prints.
expect_in_through_su() { expect_last_line alice; }
expect_in_through_sudo_rs() { expect_last_line root; }

expect_last_line() {
    [[ $status -eq 0 ]] || fault "exit status $status instead of 0"
    grep -qE "(^|: )$1\$" "$talk/seen" || fault "printed '$(cat "$talk/seen")' instead of '$1' at the end"
}

tokens=0

# A token that iVALT takes, each once.
fresh() { tokens=$((tokens + 1)); }

# `logins_with_ivalt WHEN [SERVICE…]`: these ask for a token, and obey the answer.
logins_with_ivalt() {
    local when=$1 service
    shift
    for service in "$@"; do "${service}_with_ivalt" "$when"; done
}

ssh_with_ivalt() {
    step "$1: ssh by key, with a token"
    fresh
    answers '' "accept-$tokens"
    by_key
    expect_let_in_with alice sshd
    step "$1: ssh by password, with a token"
    fresh
    answers "$alice_password" "accept-$tokens"
    by_password
    expect_let_in_with alice sshd
    step "$1: ssh by key, with refused tokens"
    answers '' reject-1 reject-2 reject-3
    by_key
    expect_refused 255
    expect_log deny token-rejected sshd alice
    told
}

sudo_with_ivalt() {
    step "$1: sudo, with a token"
    fresh
    answers "$alice_password" "accept-$tokens"
    watch alice sudo -A whoami
    expect_let_in_with root sudo
    step "$1: sudo, with refused tokens"
    answers "$alice_password" reject-1 reject-2 reject-3
    watch alice sudo -A whoami
    expect_refused 1
    expect_log deny token-rejected sudo alice
    told
    ! has_sudo_rs || sudo_rs_with_ivalt "$1"
}

expect_let_in_with() {
    expect_let_in "$1"
    expect_log allow verified "$2" alice
    told
}

sudo_rs_with_ivalt() {
    step "$1: sudo-rs, with a token"
    fresh
    typed "$alice_password" "accept-$tokens"
    watch alice sudo-rs -S whoami
    expect_in_through_sudo_rs
    expect_log allow verified sudo alice
    told
    step "$1: sudo-rs, with refused tokens"
    typed "$alice_password" reject-1 reject-2 reject-3
    watch alice sudo-rs -S whoami
    expect_refused 1
    expect_log deny token-rejected sudo alice
    told
}

su_with_ivalt() {
    step "$1: su, with a token"
    fresh
    typed "$alice_password" "accept-$tokens"
    watch bob su alice -c whoami
    expect_in_through_su
    expect_log allow verified su alice
    told
    step "$1: su, with refused tokens"
    typed "$alice_password" reject-1 reject-2 reject-3
    watch bob su alice -c whoami
    expect_refused 1
    expect_log deny token-rejected su alice
    told
}

unreachable_by_su() {
    step 'su while iVALT cannot be reached: no command is run'
    stop_ivalt
    typed "$alice_password" accept-1001
    watch bob su alice -c whoami
    expect_refused 1
    expect_log deny unavailable su alice
    told
}

# Goes on where su has left off.
unreachable_by_sudo_rs() {
    step 'sudo-rs while iVALT cannot be reached: no command is run'
    typed "$alice_password" accept-1002
    watch alice sudo-rs -S whoami
    expect_refused 1
    expect_log deny unavailable sudo alice
    told
    start_ivalt
    step 'sudo-rs of a user who is not enrolled: no command is run'
    typed "$bob_password" accept-1003
    watch bob sudo-rs -S whoami
    expect_refused 1
    expect_log deny not-enrolled sudo bob
    told
}
