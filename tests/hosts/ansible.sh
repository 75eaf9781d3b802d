# shellcheck shell=bash
# The real ansible, by the real ssh: key, then iVALT.

master=/home/visitor/master

# `open_master TOKEN`: the connection that a person opens and ansible uses.
open_master() {
    answers '' "$1"
    run_as visitor ssh -i visitor.key -o ControlMaster=yes -o ControlPath="$master" -o ControlPersist=60 -fN alice@localhost
    expect_status 0
}

close_master() { run_as visitor ssh -o ControlPath="$master" -O exit alice@localhost; }

# `ansible_as ACCOUNT [OPTION…]`: runs whoami there.
ansible_as() {
    run_as visitor env ANSIBLE_PYTHON_INTERPRETER=/usr/bin/python3 ANSIBLE_DEPRECATION_WARNINGS=0 LC_ALL=C.UTF-8 \
        ansible localhost, -i localhost, -u "$1" --private-key visitor.key -m command -a whoami -o "${@:2}"
}

expect_ran_as() { expect_let_in "localhost | CHANGED | rc=0 | (stdout) $1"; }

# It answers no prompt of keyboard-interactive: nobody is asked.
ansible_as_shipped_case() {
    sshd_key_then_ivalt
    ansible_as alice
    expect_status 4
    expect_seen 'alice@localhost: Permission denied (keyboard-interactive).'
    expect_no_log
    expect_tokens
}

ansible_connection_opened_by_hand_case() {
    sshd_key_then_ivalt
    open_master accept-1
    expect_lines "$(sshd_line allow verified http=200)"
    expect_tokens accept-1
    ansible_as alice --ssh-common-args="-oControlPath=$master"
    expect_ran_as alice
    expect_no_log
    expect_tokens
    close_master
}

# `ansible_become TOKEN`: with sudo asking for the token alone, because ansible answers one prompt.
ansible_become() {
    sshd_key_then_ivalt
    pam_lines sudo 'auth required pam_ivalt.so nodelay' '@include common-account'
    open_master accept-1
    ansible_as alice --ssh-common-args="-oControlPath=$master" --become -e "ansible_become_password=$1"
}

ansible_become_with_the_token_case() {
    ansible_become accept-2
    expect_ran_as root
    expect_lines "$(line sudo allow verified tty=/dev/pts/1 ruser=alice http=200)"
    expect_tokens accept-2
    close_master
}

ansible_become_refused_case() {
    ansible_become reject-2
    expect_status 2
    expect_seen 'Incorrect sudo password'
    expect_lines "$(line sudo deny unanswered tty=/dev/pts/1 ruser=alice "${refused[@]}" 'cause="no answer from the conversation"')"
    expect_tokens reject-2
    close_master
}

ansible_become_after_the_password_case() {
    sshd_key_then_ivalt
    pam_lines sudo '@include common-auth' 'auth required pam_ivalt.so nodelay' '@include common-account'
    open_master accept-1
    ansible_as alice --ssh-common-args="-oControlPath=$master" --become -e "ansible_become_password=$alice_password"
    expect_status 2
    expect_seen 'Incorrect sudo password'
    expect_lines "$(line sudo deny unanswered tty=/dev/pts/1 ruser=alice 'cause="no answer from the conversation"' attempts=0)"
    expect_tokens
    close_master
}

# A service account has its key, and is not asked for a token.
ansible_service_account_case() {
    sshd_key_then_ivalt 'Match User carol' 'AuthenticationMethods publickey'
    ansible_as carol
    expect_ran_as carol
    expect_no_log
    ansible_as alice
    expect_status 4
}

ansible_paramiko_case() {
    sshd_key_then_ivalt
    ansible_as alice --connection paramiko -e ansible_host_key_checking=false -e ansible_password=accept-1
    expect_ran_as alice
    expect_lines "$(sshd_line allow verified http=200)"
    expect_tokens accept-1
}
