# shellcheck shell=bash
# The scenario of scripts/demo, which the package's tests run as well. Each defines what it prints: `section` and `step`
# begin, `report` ends a step.

scenario() {
    section 'SSH: key or password + iVALT (conf/pam.d/sshd-key-or-password-and-ivalt), as ivaltctl enable sshd writes it'
    sshd_key_or_password_and_ivalt
    ssh_key_first
    ssh_password_first
    ssh_neither

    section 'SSH: password + iVALT (conf/pam.d/sshd-password-and-ivalt)'
    sshd_password_and_ivalt
    ssh_accepted
    ssh_refused

    section 'SSH: key + iVALT (conf/pam.d/sshd-key-and-ivalt, AuthenticationMethods publickey,keyboard-interactive)'
    sshd_key_and_ivalt
    ssh_key_and_token
    ssh_key_alone

    section 'SSH: key + iVALT, by a request on the phone in place of a token: push.enabled = true'
    allow_push
    ssh_push_approved
    ssh_push_denied
    ssh_push_held
    ssh_token_while_push_is_held
    write_ivalt_settings

    section 'sudo: password + iVALT (conf/pam.d/sudo)'
    sudo_accepted
    sudo_refused

    section 'iVALT cannot be reached: its server was stopped'
    stop_ivalt
    ssh_unreachable
    sudo_unreachable

    section 'iVALT still cannot be reached, and alice has recovery codes: recovery.codes = true, ivaltctl recovery make alice'
    make_recovery_codes
    ssh_recovery_code
    ssh_recovery_code_again
    sudo_recovery_code
    write_ivalt_settings
    start_ivalt

    section 'bob has a password and an authorized key, but no entry in users.toml'
    ssh_not_enrolled
    sudo_not_enrolled

    section 'bob comes from a file of the personnel office: synced_users_file, ivaltctl users sync'
    ssh_synced
    ssh_changed_mobile_is_held
}

ssh_key_first() {
    step 'ssh with a key asks for the token alone'
    answers '' accept-11
    run_as visitor ssh -i visitor.key alice@localhost whoami
    expect_let_in alice
    expect_log allow verified sshd alice
    expect_requests 1
    report
}

ssh_password_first() {
    step 'ssh without a key asks for password and token'
    answers "$alice_password" accept-12
    run_as visitor ssh alice@localhost whoami
    expect_let_in alice
    expect_log allow verified sshd alice
    expect_requests 1
    report
}

ssh_neither() {
    step 'ssh with a wrong password never asks for a token'
    answers wrong-password accept-13
    run_as visitor ssh alice@localhost whoami
    expect_refused 255
    expect_no_log
    expect_requests 0
    report
}

ssh_accepted() {
    step 'ssh with an accepted token gets a shell'
    answers "$alice_password" accept-1
    run_as visitor ssh alice@localhost whoami
    expect_let_in alice
    expect_log allow verified sshd alice
    expect_requests 1
    report
}

ssh_refused() {
    step 'ssh with refused tokens does not'
    answers "$alice_password" reject-1 reject-2 reject-3
    run_as visitor ssh alice@localhost whoami
    expect_refused 255
    expect_log deny token-rejected sshd alice
    expect_requests 3
    report
}

ssh_key_and_token() {
    step 'ssh with key and accepted token gets a shell'
    answers '' accept-2
    run_as visitor ssh -i visitor.key alice@localhost whoami
    expect_let_in alice
    expect_log allow verified sshd alice
    expect_requests 1
    report
}

ssh_key_alone() {
    step 'ssh with the key alone does not'
    answers '' ''
    run_as visitor ssh -i visitor.key -o BatchMode=yes alice@localhost whoami
    expect_refused 255
    expect_no_log
    expect_requests 0
    report
}

ssh_push_approved() {
    step 'ssh with Enter, and a tap on the phone, gets a shell'
    answers '' '<Enter>' '<approve-once> <Enter>'
    run_as visitor ssh -i visitor.key alice@localhost whoami
    expect_let_in alice
    expect_log allow push-approved sshd alice
    report
}

ssh_push_denied() {
    step 'ssh whose request is denied on the phone does not'
    answers '' '<Enter>' '<deny> <Enter>'
    run_as visitor ssh -i visitor.key alice@localhost whoami
    expect_refused 255
    expect_log deny push-denied sshd alice
    report
}

ssh_push_held() {
    step 'nor does the next one, which sends no request: somebody may know the password, and the line says who'
    answers '' '<Enter>'
    run_as visitor ssh -i visitor.key alice@localhost whoami
    expect_refused 255
    expect_log deny push-limited sshd alice
    expect_requests 0
    report
}

ssh_token_while_push_is_held() {
    step 'a token gets a shell all the same'
    answers '' accept-14
    run_as visitor ssh -i visitor.key alice@localhost whoami
    expect_let_in alice
    expect_log allow verified sshd alice
    expect_requests 1
    report
}

sudo_accepted() {
    step 'sudo with an accepted token runs the command'
    answers "$alice_password" accept-3
    run_as alice sudo -A whoami
    expect_let_in root
    expect_log allow verified sudo alice
    expect_requests 1
    report
}

sudo_refused() {
    step 'sudo with refused tokens does not'
    answers "$alice_password" reject-4 reject-5 reject-6
    run_as alice sudo -A whoami
    expect_refused 1
    expect_log deny token-rejected sudo alice
    expect_requests 3
    report
}

ssh_unreachable() {
    step 'ssh while iVALT cannot be reached: nobody gets in'
    answers '' accept-7
    run_as visitor ssh -i visitor.key alice@localhost whoami
    expect_refused 255
    expect_log deny unavailable sshd alice
    report
}

sudo_unreachable() {
    step 'sudo while iVALT cannot be reached: no command is run'
    answers "$alice_password" accept-8
    run_as alice sudo -A whoami
    expect_refused 1
    expect_log deny unavailable sudo alice
    report
}

ssh_recovery_code() {
    step 'ssh with a recovery code in place of the token gets a shell, without iVALT'
    answers '' "${codes_of_alice[0]}"
    run_as visitor ssh -i visitor.key alice@localhost whoami
    expect_let_in_by_code alice
    expect_log allow recovery-code sshd alice
    report
}

ssh_recovery_code_again() {
    step 'ssh with the same code once more does not'
    answers '' "${codes_of_alice[0]}" "${codes_of_alice[0]}" "${codes_of_alice[0]}"
    run_as visitor ssh -i visitor.key alice@localhost whoami
    expect_refused 255
    expect_log deny recovery-code-refused sshd alice
    report
}

sudo_recovery_code() {
    step 'sudo with the next code runs the command'
    answers "$alice_password" "${codes_of_alice[1]}"
    run_as alice sudo -A whoami
    expect_let_in_by_code root
    expect_log allow recovery-code sudo alice
    report
}

# The output begins with how many codes are left, where the application shows that.
expect_let_in_by_code() {
    [[ $status -eq 0 ]] || fault "exit status $status instead of 0"
    [[ $(tail -n1 "$terminal/output") == "$1" ]] || fault "printed '$(cat "$terminal/output")' instead of '$1'"
}

ssh_not_enrolled() {
    step 'ssh of a user who is not enrolled: asked like any other, never let in'
    answers '' accept-9
    run_as visitor ssh -i visitor.key bob@localhost whoami
    expect_refused 255
    expect_log deny not-enrolled sshd bob
    expect_requests 0
    report
}

sudo_not_enrolled() {
    step 'sudo of a user who is not enrolled: no command is run'
    answers "$bob_password" accept-10
    run_as bob sudo -A whoami
    expect_refused 1
    expect_log deny not-enrolled sudo bob
    expect_requests 0
    report
}

# `sync_users MOBILE`: bob is in the source with it. He is in /etc/passwd, so the settings must name him.
sync_users() {
    printf 'name,mobile\nbob,%s\n' "$1" >"$sandbox/people.csv"
    capture ivaltctl users sync "$sandbox/people.csv" || fault "not synced: $(cat "$terminal/captured")"
}

sync_from_a_file() {
    sed -i '1i synced_users_file = "/etc/ivalt/users-synced.toml"' /etc/ivalt/ivalt.toml
    printf '[guard]\nlocal_accounts = ["bob"]\n' >/etc/ivalt/directory.toml
    chmod 0600 /etc/ivalt/directory.toml
    sync_users +4915112345603
}

ssh_synced() {
    step 'ssh as bob, whom the sync has enrolled, asks for a token, and gets a shell'
    sync_from_a_file
    answers '' accept-15
    run_as visitor ssh -i visitor.key bob@localhost whoami
    expect_let_in bob
    expect_log allow verified sshd bob
    expect_requests 1
    report
}

ssh_changed_mobile_is_held() {
    step 'the next sync has another mobile for bob: it is held, and the old one counts'
    sync_users +4915112345604
    expect_captured 'held'
    answers '' accept-16
    run_as visitor ssh -i visitor.key bob@localhost whoami
    expect_let_in bob
    expect_the_line '.* mobile=\*\*\*5603 .*'
    report
}
