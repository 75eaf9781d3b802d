# shellcheck shell=bash
# Logins that are approved on the phone, on the real sshd, sudo and su: who is let in, and what is left on the phone of
# those who go away.

approve_prompt='Approve the request on your phone, then press Enter: '
another_waits='Another login is waiting for an answer on this phone. If it is not yours, deny it there and tell your administrator.'
held_back='Requests to this phone are held back for now; a token or a recovery code still works.'

# `push_for SERVICE…`: in these services Enter sends a request.
push_for() {
    local services
    printf -v services '"%s", ' "$@"
    ivalt_settings
    allow_push
    echo "services = [${services%, }]" >>/etc/ivalt/ivalt.toml
    rm -f "$ivalt"/{tap,answers}-*
}

tap() {
    printf '%s' "$1" >"$ivalt/tap.new"
    mv "$ivalt/tap.new" "$(cat "$sandbox/phone")"
}

# `expect_operations NAME…`: the last parts of the paths of what was sent since the recording began.
expect_operations() {
    local sent
    sent=$(new_requests | sed -n 's/.*"path":"[^"]*\/\([^"/]*\)".*/\1/p' | tr '\n' ' ')
    [[ $sent == "${*:+$* }" ]] || fault "sent '$sent' instead of '$*'"
}

start=biometric-auth-request poll=biometric-geo-fence-auth-results

# Alice's phone is held, or not: who presses Enter, hears so or is asked to approve.
expect_held() {
    answers '' '<Enter>'
    run_as visitor ssh alice@localhost whoami
    expect_refused 255
    expect_log deny push-limited sshd alice
    expect_seen "$held_back"
    expect_requests 0
}

expect_approved() {
    answers '' '<Enter>' '<approve-once> <Enter>'
    run_as visitor ssh alice@localhost whoami
    expect_let_in alice
    expect_log allow push-approved sshd alice
}

push_ssh_key_first_case() {
    push_for sshd
    key_and_token
    answers '' '<Enter>' '<approve-once> <Enter>'
    run_as visitor ssh -i visitor.key alice@localhost whoami
    expect_let_in alice
    expect_dialogue "(alice@localhost) iVALT token, or Enter for a request on your phone: <Enter>
(alice@localhost) $approve_prompt<approve-once> <Enter>"
    expect_log allow push-approved sshd alice
    expect_the_line 'outcome=allow reason=push-approved user=alice service=sshd rhost=127.0.0.1 tty=ssh ruser= mobile=\*\*\*4746 http=200 code= detail= cause= attempts=2 elapsed_ms=[0-9]+'
    expect_operations "$poll" "$start" "$poll" "$poll"
    [[ $(stat -c '%U:%G %a' /run/ivalt /run/ivalt/push | sort -u) == 'root:root 700' ]] || fault 'the folder is not as it must be'
}

push_ssh_password_first_case() {
    push_for sshd
    password_and_token
    answers "$alice_password" '<Enter>' '<approve-once> <Enter>'
    run_as visitor ssh alice@localhost whoami
    expect_let_in alice
    expect_log allow push-approved sshd alice
    expect_operations "$poll" "$start" "$poll" "$poll"
    # A token, where there is one, as ever.
    answers "$alice_password" accept-1
    run_as visitor ssh alice@localhost whoami
    expect_let_in alice
    expect_the_request accept-1
}

push_a_wrong_password_rings_nobody_case() {
    push_for sshd
    password_and_token
    answers 'not-the-password' '<Enter>' '<approve-once> <Enter>'
    run_as visitor ssh alice@localhost whoami
    expect_refused 255
    expect_no_log
    expect_requests 0
}

# Whom sshd bars it asks all the same, and answers for the client. In place of Enter that is an Enter, too: what tells is
# the answer to the module above.
push_a_barred_account_rings_nobody_case() {
    push_for sshd
    pam_service sshd 'auth optional pam_unix.so nodelay' 'auth required pam_ivalt.so nodelay'
    sshd_with 'PasswordAuthentication no' 'AuthenticationMethods keyboard-interactive' 'DenyUsers alice'
    answers "$alice_password" '<Enter>' 'accept-1' 'accept-2' 'accept-3'
    run_as visitor ssh alice@localhost whoami
    expect_refused 255
    expect_seen "$approve_prompt"
    expect_requests 0
    [[ ! -e /run/ivalt/push ]] || fault 'a phone was locked'
}

push_denied_on_the_phone_case() {
    push_for sshd
    token_alone
    answers '' '<Enter>' '<geofence> <Enter>'
    run_as visitor ssh alice@localhost whoami
    expect_refused 255
    expect_log deny push-denied sshd alice
    expect_seen 'The request was denied: outside the allowed area.'
    expect_held
    expect_the_line '.* cause="the request of the login at 20[0-9-]+T[0-9:]+Z with rhost=127.0.0.1 was denied on the phone: .*'
    # A token gets in all the while.
    answers '' accept-1
    run_as visitor ssh alice@localhost whoami
    expect_let_in alice
    run_ivaltctl 0 push release alice
    expect_approved
}

# Tap and Enter later than at once: sshd has a time limit for the whole, and the client is asked again.
push_approved_at_the_second_enter_case() {
    push_for sshd
    token_alone
    answers '' '<Enter>' '<Enter>' '<approve-once> <Enter>'
    run_as visitor ssh alice@localhost whoami
    expect_let_in alice
    expect_seen "Not approved yet. $approve_prompt"
    expect_log allow push-approved sshd alice
    expect_operations "$poll" "$start" "$poll" "$poll" "$poll" "$poll" "$poll"
}

# --- users who go away ---

at_the_second_prompt() {
    ssh_at_terminal
    types 'iVALT token, or Enter for a request on your phone:' ''
    wait_for 'the second prompt' on_screen 'Approve the request on your phone, then press Enter:'
}

push_ctrl_c_at_the_second_prompt_case() {
    push_for sshd
    token_alone
    at_the_second_prompt
    presses 'Approve the request' "$ctrl_c"
    wait_for 'the end of what sshd started' no_session
    local took=$(($(milliseconds) - pressed))
    [[ $took -lt 5000 ]] || fault "gone after $took ms"
    console_closes
    expect_no_log
    expect_operations "$poll" "$start" "$poll"
    # The owner taps now: whoever comes next has not sent this request.
    tap approve-sticky
    expect_held
}

push_window_closed_at_the_second_prompt_case() {
    push_for sshd
    token_alone
    at_the_second_prompt
    close_the_window
    expect_held
}

# While it polls, the module does not notice; the wait is short, and then nobody is let in.
push_ctrl_c_after_the_enter_case() {
    push_for sshd
    token_alone
    at_the_second_prompt
    types 'Approve the request' ''
    presses_once_read 'Approve the request' "$ctrl_c"
    wait_for 'the end of what sshd started' no_session
    console_closes
    expect_held
}

push_login_grace_time_case() {
    push_for sshd
    token_alone 'LoginGraceTime 3'
    at_the_second_prompt
    wait_for 'the end of what sshd started' no_session
    console_closes
    expect_no_log
    expect_operations "$poll" "$start" "$poll"
    token_alone
    expect_held
}

# --- two at once ---

# `meanwhile COMMAND…`: by askpass, while a console is open; its output in $terminal/second.
meanwhile() {
    chown -R visitor: "$terminal"
    status=0
    setsid --wait setpriv --reuid=visitor --regid=visitor --init-groups --reset-env \
        env -C /home/visitor SSH_ASKPASS="$sandbox/scripts/lib/askpass" SSH_ASKPASS_REQUIRE=force \
        timeout "$run_seconds" "$@" </dev/null >"$terminal/second" 2>&1 || status=$?
}

push_two_clients_at_once_case() {
    push_for sshd
    token_alone
    at_the_second_prompt
    answers '' '<Enter>' '<Enter>'
    meanwhile ssh alice@localhost whoami
    [[ $status -eq 255 ]] || fault "the second ended with $status"
    grep -qF "$another_waits" "$terminal/second" || fault "the second saw: $(cat "$terminal/second")"
    expect_log deny push-busy sshd alice
    expect_operations "$poll" "$start" "$poll"
    # The owner approves the one request that there is.
    tap approve-once
    types 'Approve the request' ''
    command_ends
    console_closes
    grep -qx $'alice\r' "$terminal/output" || fault 'the first did not get in'
    grep -q 'outcome=allow reason=push-approved user=alice' <<<"$(log_lines)" || fault 'no line of the first'
    expect_operations "$poll" "$start" "$poll" "$poll"
}

# --- other services ---

push_sudo_where_it_is_listed_case() {
    push_for sshd sudo
    answers "$alice_password" '<Enter>' '<approve-once> <Enter>'
    run_as alice sudo -A whoami
    expect_let_in root
    expect_log allow push-approved sudo alice
    expect_operations "$poll" "$start" "$poll" "$poll"
}

push_sudo_where_it_is_not_case() {
    push_for sshd
    answers "$alice_password" '<Enter>'
    run_as alice sudo -A whoami
    expect_refused 1
    expect_log deny unanswered sudo alice
    expect_seen 'iVALT token: <Enter>'
    expect_requests 0
}

# One host, one phone: whatever service asks.
push_sudo_while_ssh_waits_case() {
    push_for sshd sudo
    token_alone
    at_the_second_prompt
    answers "$alice_password" '<Enter>'
    chown -R alice: "$terminal"
    setsid --wait setpriv --reuid=alice --regid=alice --init-groups --reset-env env SUDO_ASKPASS="$sandbox/scripts/lib/askpass" \
        sudo -A whoami </dev/null >"$terminal/second" 2>&1 && fault 'sudo ran the command'
    grep -q 'reason=push-busy user=alice service=sudo' <<<"$(log_lines)" || fault "no line of sudo: $(log_lines)"
    console_closes
}

push_ctrl_c_at_the_second_prompt_of_su_case() {
    push_for su sshd
    at_terminal_of bob 'su alice -c whoami'
    types 'Password:' "$alice_password"
    types 'iVALT token, or Enter for a request on your phone:' ''
    presses 'Approve the request' "$ctrl_c"
    expect_back_within 4000 130
    expect_no_log
    expect_operations "$poll" "$start" "$poll"
    token_alone
    expect_held
}

push_su_case() {
    push_for su
    at_terminal_of bob 'su alice -c whoami'
    types 'Password:' "$alice_password"
    types 'iVALT token, or Enter for a request on your phone:' ''
    wait_for 'the second prompt' on_screen 'Approve the request'
    tap approve-once
    pressed=$(milliseconds)
    types 'Approve the request' ''
    expect_back_within 10000 0 alice
    expect_log allow push-approved su alice
}

# --- whoever is not enrolled ---

push_who_is_not_enrolled_is_asked_alike_case() {
    push_for sshd
    token_alone
    at_terminal_of visitor 'ssh bob@localhost whoami'
    types 'iVALT token, or Enter for a request on your phone:' ''
    presses 'Approve the request on your phone, then press Enter:' "$ctrl_c"
    wait_for 'the end of what sshd started' no_session
    console_closes
    expect_requests 0
    [[ ! -e /run/ivalt/push ]] || fault 'a phone was locked'
}

# --- a /run that is not as it should be ---

push_on_a_full_tmpfs_case() {
    push_for sshd
    token_alone
    install -d -m 0700 /run/ivalt
    mount -t tmpfs -o size=16k,mode=0700 full /run/ivalt
    install -d -m 0700 /run/ivalt/push
    dd if=/dev/zero of=/run/ivalt/filled bs=4k status=none 2>/dev/null || true
    answers '' '<Enter>' '<approve-once> <Enter>'
    run_as visitor ssh alice@localhost whoami
    expect_refused 255
    expect_log deny misconfigured sshd alice
    expect_the_line '.* cause="/run/ivalt/push/\*\*\*4746: cannot be written \(no space left on device\), so nothing was sent; inspect: df /run/ivalt/push" .*'
    expect_operations "$poll"
    rm /run/ivalt/filled
    expect_approved
    umount /run/ivalt
}

push_planted_by_a_user_case() {
    push_for sshd
    token_alone
    install -d -m 0700 -o alice /run/ivalt
    answers '' '<Enter>'
    run_as visitor ssh alice@localhost whoami
    expect_refused 255
    expect_log deny misconfigured sshd alice
    expect_the_line '.* cause="/run/ivalt: belongs to user id 1001; inspect: ls -la /run" .*'
    expect_requests 0
    rm -rf /run/ivalt
    ln -s /home/alice /run/ivalt
    answers '' '<Enter>'
    run_as visitor ssh alice@localhost whoami
    expect_refused 255
    expect_log deny misconfigured sshd alice
    expect_requests 0
    [[ ! -e /home/alice/push ]] || fault 'a link was followed'
    rm /run/ivalt
}
